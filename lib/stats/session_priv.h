/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of a session.
 *
 *   session.c     life, sending, the passing of time, what is taken out
 *   session_iv.c  intervals, and steps of the clock that cut them
 *   session_rx.c  replies: what one says
 *   session_delay.c  when its delays are final
 *
 * Open intervals form a list, oldest first; there are (loss timeout + 0.5 s) /
 * interval + 2 of them at most. They close at the head, move to the closed
 * list, and become results when taken, so that sorting and histograms are paid
 * there, in slices. Interval buffers are reused.
 *
 * A packet is in the window of its flow (seqwin) and points to its interval
 * and its book. Conservation, of each interval at its close: sent = received +
 * lost; lost = forward + backward + undetermined.
 */
#ifndef TWMESH_STATS_SESSION_PRIV_H
#define TWMESH_STATS_SESSION_PRIV_H

#include "lib/stats/interval.h"
#include "lib/stats/lossdir.h"
#include "lib/stats/reorder.h"
#include "lib/stats/runtrack.h"
#include "lib/stats/seqwin.h"
#include "lib/stats/session.h"

#define FOREVER ((struct mono){INT64_MAX})
/* Received samples that wait for their true T3; the oldest gives up. */
#define HELD_MAX 8U

struct interval_list {
	struct interval *head, *last; /* owned */
};

/* What came while no interval was open; goes into the next one. */
struct held_counts {
	uint32_t late, duplicates, local_drops;
};

/* A received packet whose delays are not final yet. */
struct held {
	uint32_t seq, rseq;
	struct mono t4;
	int64_t t4_nic_ns; /* NS_UNKNOWN */
	bool corrected;
};

/* A true T3 whose reply has not come yet. */
struct told {
	bool valid;
	uint32_t rseq;
	struct wall t3;
};

struct flow {
	struct seqwin win;
	struct lossdir dir;
	struct reorder round, back; /* by sender's, by reflector's numbers */
	struct jitter fwd_jitter, bwd_jitter;
	struct held held[HELD_MAX]; /* ring, in order of arrival */
	unsigned held_at, held_n;
	struct told told[HELD_MAX]; /* ring, the latest ones */
	unsigned told_at;
	bool no_pred;           /* the next packet has no predecessor */
	int fwd_hops, bwd_hops; /* last seen; -1: none yet */
	/* Of the reflector's life that lossdir counted as `lives`: */
	uint32_t lives;
	uint32_t copies; /* its count of copies, as last told */
	struct lossbook book;
};

struct session {
	struct session_params p;
	struct interval_conf conf;
	uint64_t epoch;
	struct flow *flow; /* owned: p.flows of them */
	unsigned turn;     /* flow of the next send */
	uint64_t tries;    /* sends, failed ones too, over all flows */
	struct books books;
	struct runtrack runs;
	struct interval_list open, closed;
	struct interval *spare; /* owned: list of buffers to reuse */
	struct held_counts held;
	int64_t clock_off_ns; /* wall - mono, last seen; when clock_seen */
	bool clock_seen;
	struct mono now; /* latest instant that was told; when clock_seen */
	struct wall last_start; /* of the intervals so far */
	struct wall closed_end; /* slots before it are too late to be told */
	bool fresh;             /* the next interval begins at its first slot */
	bool stepped; /* the clock stepped since the last one was opened */
	bool answered;
	bool counting; /* a foreign reflector that was proved to count */
};

/* session_iv.c */
void list_append(struct interval_list *l, struct interval *iv);
struct interval *list_pop(struct interval_list *l);
/* NULL when its interval was closed already, or out of memory: such packets
 * are not counted. */
struct interval *interval_of(struct session *s, struct clock_pair sched);
struct interval *interval_find(const struct session *s, struct wall at);
/* For what is booked by its arrival; NULL: none is open. */
struct interval *interval_at(struct session *s, struct wall at);
/* Closes the oldest open interval. */
void interval_close_head(struct session *s);
void spare_put(struct session *s, struct interval *iv);
/* Frees books that nobody needs any more. */
void books_tidy(struct session *s);
/* Looks for a step of the wall clock: cuts the open intervals at it, and dates
 * anew what was not taken yet. */
void step_watch(struct session *s, struct clock_pair at);
/* No IPDV or jitter across this instant. */
void flows_cut(struct session *s);

/* session_delay.c */
/* Are both stamps of the NIC's clock there, and can they be true? */
bool delay_by_nic(const struct pkt *p, struct mono t4, int64_t t4_nic_ns);
/* T4 - T1 by the best stamps; NS_UNKNOWN when absurd. */
int64_t delay_raw_ns(const struct pkt *p, struct mono t4, int64_t t4_nic_ns);
/* By the stamps that p has now. */
struct sample delay_sample(const struct pkt *p, struct mono t4,
                           int64_t t4_nic_ns);
/* p was received: its delays wait for the true T3 where it may come. */
void delay_hold(struct session *s, unsigned flow, struct pkt *p,
                const struct session_reply *r);
/* The true T3 that r tells of an earlier reply. */
void delay_follow_up(struct session *s, unsigned flow,
                     const struct session_reply *r);
/* p is about to leave the window: its delays wait no longer. */
void delay_evict(struct session *s, unsigned flow, const struct pkt *p);
/* Makes the delays of what waits final, oldest first, until `iv` has none. */
void settle_interval(struct session *s, const struct interval *iv);

#endif
