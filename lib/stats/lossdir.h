/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The direction of each loss of a flow, from what the reflector says it
 * received.
 *
 * A reply of a twmesh reflector carries its bitmap of the last 64 sequence
 * numbers up to `highest`, and how many packets of the session it received,
 * copies apart.
 *   - a bit that is set, in any reply: the packet reached the reflector, so
 *     its loss was backward. That is final.
 *   - a bit that is clear, in a later reply: it did not, so forward, unless a
 *     later bitmap still shows it (it was overtaken by 64 packets at most).
 *   - packets older than the bitmap and newer than the `highest` of the reply
 *     before: the difference of the counters says how many of them arrived. If
 *     none or all, each is decided; if some, only their numbers are, and that
 *     only when the whole gap lies in one interval. Otherwise they stay
 *     undetermined.
 * A reflector that starts anew (another instance id, or its counter fell back:
 * it forgot the session) knows nothing of the time before the first packet it
 * shows; clear bits before that one mean nothing, and no counters are compared
 * across it. The same holds for the first reply of a session.
 *
 * Of a foreign reflector that was proved to count for itself only its sequence
 * numbers speak: between two replies that came in order, the replies missing
 * in between are the packets of that gap that it received (rule 7). Numbers
 * that came with copies and with overtaken packets are not missing, and one
 * that comes later takes the claim back. A copy whose answer is lost too
 * cannot be told from a packet.
 *
 * Facts are booked where the packet's book is, whether its interval is still
 * open or was shipped already, and in the loss run that goes on.
 */
#ifndef TWMESH_STATS_LOSSDIR_H
#define TWMESH_STATS_LOSSDIR_H

#include "lib/stats/book.h"
#include "lib/stats/seqwin.h"

#include <stdbool.h>
#include <stdint.h>

#define LOSSDIR_BITS 64

struct lossdir {
	bool valid; /* the fields below hold */
	uint64_t instance_id;
	uint32_t highest;  /* of the latest reply, by it */
	uint32_t distinct; /* packets received by then, without copies */
	uint32_t floor;    /* first packet this instance is known to have */
	uint32_t lives;    /* times it began, as far as was seen */
	bool has_old;
	uint64_t old_instance_id; /* before the restart: stragglers */
	/* foreign reflectors: the last reply that came in order */
	bool counted;
	uint32_t seq, rseq;
};

/* The latest time that the reflector began anew: between these two packets, by
 * their order of sending. */
struct run_restart {
	bool seen;
	uint64_t before, after;
};

/* Where facts are booked: of one flow. */
struct lossbook {
	struct seqwin *win;
	struct books *books;
	struct tally *run;           /* of the loss run that goes on, or NULL */
	struct run_restart *restart; /* or NULL */
	unsigned flow;
};

struct lossdir_report {
	uint64_t instance_id, bitmap;
	uint32_t highest, distinct;
};

/* Is the report possible for the reply to packet `seq`? Nothing of a report
 * that is not may be used. */
bool lossdir_plausible(const struct lossdir_report *r, const struct seqwin *w,
                       uint32_t seq);
void lossdir_learn(struct lossdir *d, struct lossbook *b,
                   const struct lossdir_report *r);
/* A foreign reflector that counts answered `seq` as its packet `rseq`, for the
 * first time. */
void lossdir_count(struct lossdir *d, struct lossbook *b, uint32_t seq,
                   uint32_t rseq);
/* It answered a copy of a packet that had been answered before. */
void lossdir_count_copy(struct lossdir *d, struct lossbook *b, uint32_t rseq);
/* The reflector answers without state: what was known is void. */
void lossdir_forget(struct lossdir *d, struct lossbook *b);
/* Is it of the life of the reflector before this one? */
bool lossdir_is_straggler(const struct lossdir *d, uint64_t instance_id);
/* p is about to leave the window. */
void lossdir_evict(const struct lossdir *d, struct lossbook *b, struct pkt *p);

/* Books p as lost, in the direction known so far; and takes that back. */
void lossdir_lost(struct lossbook *b, struct pkt *p);
void lossdir_unlost(struct lossbook *b, struct pkt *p);
/* The loss run takes in a lost packet. */
void lossdir_join_run(struct lossbook *b, struct pkt *p);

#endif
