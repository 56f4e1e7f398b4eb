/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/book.h"

#include <stdlib.h>

struct book *
books_open(struct books *b, unsigned flows, struct wall start)
{
	struct book *k = calloc(1, sizeof(*k) + flows * sizeof(k->flow[0]));

	if (!k)
		return NULL;
	k->start = start;
	k->flows = flows;
	if (b->last)
		b->last->next = k;
	else
		b->head = k;
	b->last = k;
	b->n++;
	return k;
}

void
books_release(struct books *b)
{
	while (b->head) {
		struct book *next = b->head->next;

		free(b->head);
		b->head = next;
	}
	b->last = NULL;
	b->n = 0;
}

struct tally
book_sum(const struct book *b)
{
	struct tally sum = {0, 0, 0, 0};

	for (unsigned i = 0; i < b->flows; i++) {
		sum.lost += b->flow[i].t.lost;
		sum.fwd += b->flow[i].t.fwd;
		sum.bwd += b->flow[i].t.bwd;
		sum.evicted += b->flow[i].t.evicted;
	}
	return sum;
}

static bool
is_spent(const struct books *b, const struct book *k)
{
	struct tally sum;

	if (!k->shipped || k->changed)
		return false;
	sum = book_sum(k);
	return tally_undet(&sum) == 0 || b->n > BOOKS_MAX;
}

struct book *
books_spent(struct books *b)
{
	struct book *before = NULL;

	for (struct book *k = b->head; k; before = k, k = k->next) {
		if (!is_spent(b, k))
			continue;
		if (before)
			before->next = k->next;
		else
			b->head = k->next;
		if (b->last == k)
			b->last = before;
		b->n--;
		k->next = NULL;
		return k;
	}
	return NULL;
}
