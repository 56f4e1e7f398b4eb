/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of runtrack: runtrack.c walks and tells, runtrack_evidence.c
 * keeps the packets around a run.
 */
#ifndef TWMESH_STATS_RUNTRACK_PRIV_H
#define TWMESH_STATS_RUNTRACK_PRIV_H

#include "lib/stats/runtrack.h"

/* The session as runtrack sees it, for the length of a call. */
struct view {
	struct runtrack *t;
	runtrack_flow_fn *flow;
	void *arg;
	struct mono now;
};

/* The packet sent as the order-th, or NULL when it has left its window. */
struct pkt *run_find(const struct view *v, uint64_t order, unsigned *flow);

/* The third packet of the run was lost. */
void evidence_start(const struct view *v);
/* So was p, a later one. */
void evidence_add(const struct view *v, const struct pkt *p, unsigned flow);
/* The run ended before `end`: r gets its packets. */
void evidence_finish(const struct view *v, const struct tally *sum,
                     uint64_t end, struct loss_run *r);

#endif
