/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The single jobs of the keeper, each on a connection of its caller. What is a
 * transaction asks for the fence in it (lease.h) and reports `lost` when that
 * is over: nothing was changed then.
 */
#ifndef TWMESH_CONTROLLER_KEEPER_JOBS_H
#define TWMESH_CONTROLLER_KEEPER_JOBS_H

#include "controller/lease.h"

/* Days; raw results are kept longer than a node's spool may hold any. */
#define KEEP_RAW_MIN 4
#define KEEP_MAX 36500
struct keep {
	int raw, five, hour; /* raw <= five <= hour */
};

/* BEGIN and the fence. *ours false: rolled back, nothing to do. */
bool keeper_begin(struct lease *l, struct pgc *db, const char *begin,
                  bool *ours, struct pgc_err *err)
    __attribute__((warn_unused_result));

/* Partitions of the days a spool may still deliver, and ahead. */
bool leaves_make(struct lease *l, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* One thing that is due, of a partition that is over: drop it, or build its
 * index. *more: it was done, there may be another. Only one session at a time
 * does this: leaves_turn() says whether it is ours. */
bool leaves_turn(struct pgc *db, bool *ours, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool leaves_tidy(struct lease *l, struct pgc *db, const struct keep *keep,
                 bool *more, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Rows that have outlived their use, some at a time. */
bool keeper_forget(struct lease *l, struct pgc *db, bool *more,
                   struct pgc_err *err) __attribute__((warn_unused_result));
/* What is usual on the paths of some sources, where limits need it. */
bool keeper_floors(struct lease *l, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* What explains the critical directions: opens and ends incidents. */
bool keeper_incidents(struct lease *l, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));

#endif
