/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/prober_int.h"

#include <stdlib.h>

static bool
earlier(struct sched_item a, struct sched_item b)
{
	return mono_diff_ns(a.due, b.due) < 0;
}

static void
place(struct sched *h, size_t at, struct sched_item item)
{
	h->v[at] = item;
	item.probe->heap_at = at;
}

static void
sift_up(struct sched *h, struct sched_item item)
{
	size_t at = item.probe->heap_at;

	while (at > 0) {
		const size_t up = (at - 1) / 2;

		if (!earlier(item, h->v[up]))
			break;
		place(h, at, h->v[up]);
		at = up;
	}
	place(h, at, item);
}

static void
sift_down(struct sched *h, struct sched_item item)
{
	size_t at = item.probe->heap_at;

	for (;;) {
		size_t down = 2 * at + 1;

		if (down >= h->n)
			break;
		if (down + 1 < h->n && earlier(h->v[down + 1], h->v[down]))
			down++;
		if (!earlier(h->v[down], item))
			break;
		place(h, at, h->v[down]);
		at = down;
	}
	place(h, at, item);
}

bool
sched_push(struct sched *h, struct probe *p)
{
	if (h->n == h->cap) {
		const size_t cap = h->cap ? 2 * h->cap : 64;
		struct sched_item *v = realloc(h->v, cap * sizeof(*v));

		if (!v)
			return false;
		h->v = v;
		h->cap = cap;
	}
	p->heap_at = h->n++;
	sift_up(h, (struct sched_item){p->due, p});
	return true;
}

void
sched_remove(struct sched *h, struct probe *p)
{
	struct probe *last = h->v[--h->n].probe;

	if (last == p)
		return;
	last->heap_at = p->heap_at;
	sched_move(h, last);
}

void
sched_move(struct sched *h, struct probe *p)
{
	const struct sched_item item = {p->due, p};

	sift_up(h, item);
	sift_down(h, item);
}
