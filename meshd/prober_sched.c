/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/prober_int.h"

#include <stdlib.h>

static bool
earlier(const struct probe *a, const struct probe *b)
{
	return mono_diff_ns(a->due, b->due) < 0;
}

static void
place(struct sched *h, size_t at, struct probe *p)
{
	h->v[at] = p;
	p->heap_at = at;
}

static void
sift_up(struct sched *h, struct probe *p)
{
	size_t at = p->heap_at;

	while (at > 0) {
		const size_t up = (at - 1) / 2;

		if (!earlier(p, h->v[up]))
			break;
		place(h, at, h->v[up]);
		at = up;
	}
	place(h, at, p);
}

static void
sift_down(struct sched *h, struct probe *p)
{
	size_t at = p->heap_at;

	for (;;) {
		size_t down = 2 * at + 1;

		if (down >= h->n)
			break;
		if (down + 1 < h->n && earlier(h->v[down + 1], h->v[down]))
			down++;
		if (!earlier(h->v[down], p))
			break;
		place(h, at, h->v[down]);
		at = down;
	}
	place(h, at, p);
}

bool
sched_push(struct sched *h, struct probe *p)
{
	if (h->n == h->cap) {
		const size_t cap = h->cap ? 2 * h->cap : 64;
		struct probe **v = realloc(h->v, cap * sizeof(*v));

		if (!v)
			return false;
		h->v = v;
		h->cap = cap;
	}
	place(h, h->n++, p);
	sift_up(h, p);
	return true;
}

void
sched_remove(struct sched *h, struct probe *p)
{
	struct probe *last = h->v[--h->n];

	if (last == p)
		return;
	place(h, p->heap_at, last);
	sched_move(h, last);
}

void
sched_move(struct sched *h, struct probe *p)
{
	sift_up(h, p);
	sift_down(h, p);
}
