/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The losses of one interval by flow and direction, kept apart from the
 * interval: a direction may be decided by a reply that comes long after the
 * interval was closed and shipped. Then the book is `changed`, and a revision
 * is due.
 *
 *   open ──interval closes──▶ shipped ──all decided, or too many──▶ freed
 *
 * Packets of the window point to their book until it is freed.
 */
#ifndef TWMESH_STATS_BOOK_H
#define TWMESH_STATS_BOOK_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shipped books that still wait for a direction: an outage of 85 minutes at
 * 10 s intervals. What is older stays undetermined. */
#define BOOKS_MAX 512U

/* Lost packets of one flow: lost = fwd + bwd + undetermined. */
struct tally {
	uint32_t lost, fwd, bwd;
	uint32_t evicted; /* of the undetermined: gone from the window, but
	                   * the reflector's counters may still tell */
};

static inline uint32_t
tally_undet(const struct tally *t)
{
	return t->lost - t->fwd - t->bwd;
}

struct book_flow {
	struct tally t;
	uint32_t first_seq, last_seq; /* valid when has_seq */
	bool has_seq;
};

struct book {
	struct book *next; /* older to newer */
	struct wall start; /* of the interval, as in its result */
	int64_t clock_ns;  /* when shipped: the clock of start, wall - mono */
	bool shipped, changed;
	bool restart; /* the reflector began anew within it */
	unsigned flows;
	struct book_flow flow[];
};

struct books {
	struct book *head, *last; /* owned */
	size_t n;
};

/* Appended; NULL when out of memory. */
struct book *books_open(struct books *b, unsigned flows, struct wall start);
void books_release(struct books *b);
/* All flows together. */
struct tally book_sum(const struct book *b);
/* The first that is not needed any more (shipped, told, and all decided, or
 * there are too many); unlinked, to be freed by the caller once no packet
 * points to it. NULL: none. */
struct book *books_spent(struct books *b);

#endif
