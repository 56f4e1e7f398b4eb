/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a transaction of results stores, counted per 5 minutes and source and
 * appended to twmesh_private.stored in the same transaction: by these counts
 * rollups know that they are stale (rollup.h). Revisions are counted where
 * they are stored (revise_db.c).
 */
#ifndef TWMESH_CONTROLLER_COUNTS_H
#define TWMESH_CONTROLLER_COUNTS_H

#include "controller/wbatch.h"
#include "lib/pg/pgbuf.h"
#include "lib/pg/pgc.h"

struct count {
	struct wall at; /* of the 5 minutes */
	uint32_t src_id;
	uint32_t rows;
};

struct counts {
	struct pgc *db; /* borrowed */
	struct pgbuf buf;
	struct count *list; /* owned */
	size_t n, size;
};

bool counts_attach(struct counts *c, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
void counts_clear(struct counts *c);
/* Of the batches b[0..n) that are stored, sorted by node. */
bool counts_store(struct counts *c, struct wbatch *const *b, size_t n,
                  struct pgc_err *err) __attribute__((warn_unused_result));

#endif
