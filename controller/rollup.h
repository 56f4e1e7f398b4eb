/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rollups: history in buckets of 5 minutes and 1 hour (twmesh.rollup_5min,
 * twmesh.rollup_1h), one row per session, recomputed whole and replaced.
 *
 *   writer    rows, and in the same transaction counts (twmesh_private.stored)
 *   keeper    adds the counts up (bucket.rows, .revisions); where they differ
 *             from what was rolled up (bucket.rolled_*) the bucket is stale
 *   rollup    in one snapshot: raw rows out, merged here, rollup rows in,
 *             rolled_* = the counts of that snapshot
 *
 * Everything hangs on the one snapshot (REPEATABLE READ): counts that were
 * read before rows came, or after, would call a stale rollup fresh. A count
 * that was not added up yet only means that the bucket is done once more.
 */
#ifndef TWMESH_CONTROLLER_ROLLUP_H
#define TWMESH_CONTROLLER_ROLLUP_H

#include "controller/lease.h"
#include "controller/rollrow.h"
#include "lib/base/log.h"
#include "lib/pg/pgcopy.h"
#include "lib/pg/pgcopyout.h"

struct rollup {
	struct lease *lease; /* borrowed */
	struct pgc *db;      /* borrowed */
	/* A bucket is over so long after its end, and what classes take to
	 * report (loss timeout, spread). */
	int64_t grace_ns;
	struct log_limit log_gone;
	struct roll sum; /* the session under way */
	struct pgcopyout in;
	struct pgcopy out;
};

struct rollup *rollup_new(void);    /* NULL: out of memory */
void rollup_free(struct rollup *r); /* NULL is allowed */
bool rollup_attach(struct rollup *r, struct lease *l, struct pgc *db,
                   struct pgc_err *err) __attribute__((warn_unused_result));

/* Adds up what was stored since the last call. */
bool rollup_count(struct rollup *r, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Redoes the newest stale bucket of `step_s` (300, 3600) that is over, for
 * some sources. *more: there was one. */
bool rollup_some(struct rollup *r, int step_s, bool *more, struct pgc_err *err)
    __attribute__((warn_unused_result));

#endif
