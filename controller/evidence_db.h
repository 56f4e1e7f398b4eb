/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packets around a closed loss run: one row of arrays
 * (twmesh_private.loss_run_evidence), so that 200 packets are written, and in
 * time deleted, as one.
 */
#ifndef TWMESH_CONTROLLER_EVIDENCE_DB_H
#define TWMESH_CONTROLLER_EVIDENCE_DB_H

#include "lib/base/lossrun.h"
#include "lib/pg/pgbuf.h"
#include "lib/pg/pgc.h"

bool evidence_db_attach(struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Sends the row in an open pipeline; b is scratch. */
bool evidence_db_put(struct pgc *db, struct pgbuf *b, uint32_t src_id,
                     const struct loss_run *run, struct pgc_err *err)
    __attribute__((warn_unused_result));

#endif
