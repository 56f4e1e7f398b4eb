/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loss runs in the database, inside the writer's transaction.
 *
 * Of a run the message with the highest revision stands, whatever order they
 * are stored in: twmesh_private.loss_run is written only by a higher one.
 * loss_run_open, the small table behind `crit` by an open run, is made anew
 * from it for the runs concerned, so that it cannot disagree. The packets of a
 * closed run are one row of arrays.
 */
#ifndef TWMESH_CONTROLLER_RUNS_DB_H
#define TWMESH_CONTROLLER_RUNS_DB_H

#include "controller/wbatch.h"
#include "lib/pg/pgbuf.h"
#include "lib/pg/pgc.h"

/* A run of the transaction. */
struct run_ref {
	uint32_t src_id;
	const struct loss_run *run; /* borrowed from its batch */
	int64_t offset_ns; /* the source's clock less ours; 0 if not known */
	int64_t age_ns; /* since the first lost packet was sent, when it came */
	bool effective; /* it is what the database holds now */
};

struct runs_db {
	struct pgc *db; /* borrowed */
	struct run_ref
	    *list; /* owned; sorted by source, destination, class, id */
	size_t n, size;
	struct pgbuf buf;
};

bool runs_db_attach(struct runs_db *r, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
void runs_db_clear(struct runs_db *r);
/* Stores the runs of those batches that are new; r->list holds them then,
 * until the next call. */
bool runs_db_store(struct runs_db *r, struct wbatch *const *b, size_t n,
                   struct pgc_err *err) __attribute__((warn_unused_result));

#endif
