/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/emu/relq.h"

#include <stdlib.h>

bool
relq_init(struct relq *q, size_t size)
{
	*q = (struct relq){.size = size};
	q->item = calloc(size, sizeof(*q->item));
	return q->item;
}

void
relq_clear(struct relq *q)
{
	free(q->item);
	*q = (struct relq){0};
}

static bool
before(const struct relq_item *a, const struct relq_item *b)
{
	return a->due.ns != b->due.ns ? a->due.ns < b->due.ns
	                              : a->order < b->order;
}

bool
relq_push(struct relq *q, struct mono due, void *what)
{
	const struct relq_item x = {due, q->next_order, what};
	size_t i = q->n;

	if (q->n == q->size)
		return false;
	q->next_order++;
	q->n++;
	for (; i > 0 && before(&x, &q->item[(i - 1) / 2]); i = (i - 1) / 2)
		q->item[i] = q->item[(i - 1) / 2];
	q->item[i] = x;
	return true;
}

const struct relq_item *
relq_top(const struct relq *q)
{
	return q->n > 0 ? &q->item[0] : NULL;
}

void *
relq_pop(struct relq *q)
{
	struct relq_item last;
	size_t i = 0;
	void *what;

	if (q->n == 0)
		return NULL;
	what = q->item[0].what;
	last = q->item[--q->n];
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= q->n)
			break;
		if (child + 1 < q->n &&
		    before(&q->item[child + 1], &q->item[child]))
			child++;
		if (!before(&q->item[child], &last))
			break;
		q->item[i] = q->item[child];
		i = child;
	}
	q->item[i] = last;
	return what;
}
