/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the loss runs of a session (RFC 3357 5, docs/MEASUREMENT.md): it walks
 * the packets in the order they were sent, over all flows, behind the oldest
 * that is not decided yet, and looks ahead of it for packets that later ones
 * of their flow overtook, so that a run shows before the loss timeout.
 *
 *   ... R R L L L │ S S S     │ is the border: all before it are received (R)
 *           └run┘             or lost (L), the packet at it is still out (S)
 *
 * Runs of one and two packets are counted in the interval of the packet that
 * ends them, longer ones in that of their third packet, and told as news.
 */
#ifndef TWMESH_STATS_RUNTRACK_H
#define TWMESH_STATS_RUNTRACK_H

#include "lib/base/lossrun.h"
#include "lib/stats/book.h"
#include "lib/stats/lossdir.h"
#include "lib/stats/seqwin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run that goes on is told again so often. */
#define RUNTRACK_AGAIN_NS (10 * NS_PER_S)

struct order_ref {
	uint32_t seq;
	uint32_t flow;
};

struct run_news {
	struct run_news *next;
	struct loss_run run; /* owns its packets */
};

/* A packet's T1 by both clocks, kept for the run's durations. */
struct run_edge {
	bool known;
	struct clock_pair t1;
	uint64_t order;
	uint32_t seq, flow;
};

/* One packet of the evidence, while it is gathered. */
struct run_evidence {
	uint64_t order;
	struct loss_run_packet p;
};

struct runtrack {
	struct order_ref *ring; /* owned: mask + 1, by order of sending */
	uint32_t mask;
	uint64_t next;   /* order of the next packet */
	uint64_t border; /* all before it are decided */
	unsigned flows;
	struct tally *tally; /* owned: of the run, by flow */

	bool active; /* lost packets stand right before the border */
	struct run_edge before, first, last, seen; /* seen: last received */
	bool long_booked;     /* in the interval of its third packet: */
	uint64_t third_order; /* valid then */
	/* Of a long run, before the window forgets how it began: what stands
	 * before it and its first packets. Owned; NULL: none. */
	struct run_evidence *head;
	size_t head_n;
	struct run_restart restart;

	bool told; /* the run is known outside, by this id: */
	bool told_confirmed;
	uint64_t run_id;
	uint32_t revision;
	struct mono told_at;
	struct run_edge told_first, told_last;

	uint64_t seed, runs;
	struct mono dropped_at; /* our own socket dropped; valid when dropped */
	bool dropped;
	struct run_news *news, **news_end; /* owned, oldest first */
};

/* Room for `packets` in flight over all flows. */
bool runtrack_init(struct runtrack *t, uint32_t packets, unsigned flows,
                   uint64_t seed) __attribute__((warn_unused_result));
void runtrack_release(struct runtrack *t);

/* p was sent on the flow: sets p->order. */
void runtrack_sent(struct runtrack *t, unsigned flow, struct pkt *p);
/* Our own socket dropped packets, of those sent until now. */
void runtrack_dropped(struct runtrack *t, struct mono now);

/* The wall clock stepped: all dates follow, those of news that were not taken
 * yet too. The packets of the window are the caller's. */
void runtrack_redate(struct runtrack *t, int64_t moved_ns);

/* What it needs of the session: the lossbook of each flow. */
typedef struct lossbook *runtrack_flow_fn(void *arg, unsigned flow);
/* Packets were received or lost; now is when. */
void runtrack_advance(struct runtrack *t, runtrack_flow_fn *flow, void *arg,
                      struct mono now);
/* The session ends, or pauses: what goes on is closed without an end. */
void runtrack_finish(struct runtrack *t, runtrack_flow_fn *flow, void *arg,
                     struct mono now);

#endif
