/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mesh file becomes what is in force: one transaction under the roster's
 * lock, one epoch. And maintenance of nodes, which makes none: nobody measures
 * anything else because of it.
 */
#ifndef TWMESH_CONTROLLER_APPLY_DB_H
#define TWMESH_CONTROLLER_APPLY_DB_H

#include "controller/letters.h"
#include "lib/pg/pgc.h"

/* As in roster_db.h: true with an answer, a refusal too. */
bool apply_db(struct pgc *db, const struct ask *ask, struct tell *answer,
              struct pgc_err *err) __attribute__((warn_unused_result));
bool maintenance_db(struct pgc *db, const struct ask *ask, struct tell *answer,
                    struct pgc_err *err) __attribute__((warn_unused_result));

#endif
