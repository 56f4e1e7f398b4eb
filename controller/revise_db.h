/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Revisions: the directions of a stored result's losses, corrected inside the
 * writer's transaction. A row is found by its key and by having lost as much;
 * one that knows as much already stays. twmesh.result_revision says which rows
 * were corrected, the ledger how many.
 */
#ifndef TWMESH_CONTROLLER_REVISE_DB_H
#define TWMESH_CONTROLLER_REVISE_DB_H

#include "controller/wbatch.h"
#include "lib/pg/pgbuf.h"
#include "lib/pg/pgc.h"

struct revise_db {
	struct pgc *db; /* borrowed */
	struct pgbuf buf;
};

bool revise_db_attach(struct revise_db *r, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
void revise_db_clear(struct revise_db *r);
/* All revisions of the batch (there is at least one), and its ledger row. */
bool revise_db_store(struct revise_db *r, const struct wbatch *b,
                     struct pgc_err *err) __attribute__((warn_unused_result));

#endif
