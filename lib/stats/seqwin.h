/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The window of packets in flight or lately decided: a ring by sequence
 * number, so that a reply finds its packet by one mask. Sequence numbers are
 * 32 bits and wrap. No allocation per packet: what falls out of the ring is
 * handed back to be decided first.
 *
 *   SENT ──in time──▶ RECEIVED        LOST ──a stamp proves it came in
 *     └──timeout──▶ LOST                     time──▶ RECEIVED
 */
#ifndef TWMESH_STATS_SEQWIN_H
#define TWMESH_STATS_SEQWIN_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct book;
struct interval;

enum pkt_state { PKT_NONE, PKT_SENT, PKT_RECEIVED, PKT_LOST };

enum loss_dir {
	DIR_UNDET, /* not known (yet) */
	DIR_FWD,   /* did not reach the reflector */
	DIR_BWD,   /* reached it */
	DIR_GROUP  /* counted within a group of which only numbers are known */
};

/* For a packet that is not lost (yet), dir is what it would be if it were. */
struct pkt {
	uint32_t seq;
	uint8_t state, dir;  /* enum pkt_state, enum loss_dir */
	bool counted : 1;    /* false: warm-up */
	bool late : 1;       /* a reply came after the timeout */
	bool stepped : 1;    /* the clock stepped while it was out */
	bool no_pred : 1;    /* no IPDV with the packet before */
	bool t1_kernel : 1;  /* t1 is the kernel's stamp */
	bool settled : 1;    /* RECEIVED, and its delays are final */
	bool by_number : 1;  /* dir is one of a group: only numbers are known */
	bool in_run : 1;     /* booked in the loss run that goes on */
	bool has_rseq : 1;   /* a reply came: rseq .. tos hold */
	struct interval *iv; /* borrowed; NULL: warm-up, or closed */
	struct book *book;   /* borrowed; outlives iv */
	uint64_t order;      /* of sending, over all flows of the session */
	struct clock_pair t1;
	int64_t moved_ns; /* of the wall clock since t1, by steps */
	uint64_t t1_wire;
	int64_t t1_nic_ns;      /* NS_UNKNOWN */
	int64_t fwd_ns, bwd_ns; /* when settled; NS_UNKNOWN */
	/* Of the first reply, and the reflector's number of a copy's: */
	uint32_t rseq, rseq_copy;
	uint32_t arrival; /* rank of its arrival at the reflector, without
	                   * copies, from 1; 0 unknown */
	int16_t sender_ttl, ttl, tos; /* -1 */
	struct wall t2, t3, t4;       /* t4 is moved by steps */
};

struct seqwin {
	struct pkt *ring; /* owned; mask + 1 of them */
	uint32_t mask;
	uint32_t next; /* sequence number of the next packet */
	uint64_t sent; /* in all */
	uint32_t tail; /* all before it are decided by time */
	uint32_t low;  /* before it, no loss waits for its direction */
	uint32_t high; /* highest that was answered; valid when any, which
	                * ends when it leaves the ring */
	bool any;
};

/* a - b on the circle of 32 bits: positive when a comes after b. */
static inline int32_t
seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/* T1 by the wall clock of today, as it is told outside: t1 itself stays by the
 * clock of its time, as the other samples of its interval. */
static inline struct wall
pkt_sent_at(const struct pkt *p)
{
	return wall_moved(p->t1.wall, p->moved_ns);
}

/* Room for `packets`, rounded up to a power of two. False: out of memory. */
bool seqwin_init(struct seqwin *w, uint32_t packets, uint32_t first_seq)
    __attribute__((warn_unused_result));
void seqwin_release(struct seqwin *w);

/* The packet with that number, or NULL: never sent, or long forgotten. */
struct pkt *seqwin_find(const struct seqwin *w, uint32_t seq);
/* The packet that the next one pushes out, or NULL. */
struct pkt *seqwin_oldest(const struct seqwin *w);
/* The next packet, cleared but for seq and state SENT. */
struct pkt *seqwin_push(struct seqwin *w);
/* The first sequence number still in the ring. */
uint32_t seqwin_first(const struct seqwin *w);
/* Moves `low` over what needs no direction any more. */
void seqwin_advance_low(struct seqwin *w);

#endif
