/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/news.h"

#include <stdlib.h>
#include <string.h>

const struct loss_run *
news_run(const struct news *l, size_t i)
{
	return &((const struct run_letter *)(const void *)l->item[i])->run;
}

const struct revision *
news_revision(const struct news *l, size_t i)
{
	return &((const struct revision_letter *)(const void *)l->item[i])
	            ->revision;
}

static size_t
packets_of(const struct news *l, size_t i)
{
	return l->item[i]->kind == LETTER_RUN ? news_run(l, i)->packet_n : 0;
}

static bool
grow(struct news *l)
{
	const size_t cap = l->cap ? l->cap * 2 : 64;
	struct prober_letter **p =
	    reallocarray(l->item, cap, sizeof(struct prober_letter *));

	if (!p)
		return false;
	l->item = p;
	l->cap = cap;
	return true;
}

bool
news_add(struct news *l, struct prober_letter *p, struct mono now)
{
	if (l->n == l->cap && !grow(l)) {
		prober_letter_free(&p->letter);
		return false;
	}
	if (l->n == 0)
		l->due = mono_add_ns(now, NEWS_GATHER_NS);
	l->item[l->n++] = p;
	l->packets += packets_of(l, l->n - 1);
	return true;
}

void
news_drop(struct news *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		l->packets -= packets_of(l, i);
		prober_letter_free(&l->item[i]->letter);
	}
	l->n -= n;
	if (l->n > 0)
		memmove(l->item, l->item + n,
		        l->n * sizeof(struct prober_letter *));
}

bool
news_is_over(const struct news *l)
{
	return l->n > NEWS_MAX || l->packets > NEWS_PACKETS_MAX;
}

void
news_clear(struct news *l)
{
	news_drop(l, l->n);
	free(l->item);
	memset(l, 0, sizeof(*l));
}

size_t
news_batch(const struct news *l)
{
	size_t n = 0, packets = 0;

	while (n < l->n && n < NEWS_BATCH &&
	       letters_same_clock(l->item[n]->clock_ns, l->item[0]->clock_ns)) {
		packets += packets_of(l, n);
		if (n > 0 && packets > NEWS_BATCH_PACKETS)
			break;
		n++;
	}
	return n;
}

static void
stretch(struct spool_span *s, struct wall from, struct wall to)
{
	if (from.ns < s->from.ns)
		s->from = from;
	if (to.ns > s->to.ns)
		s->to = to;
}

struct spool_span
news_span(const struct news *l, size_t n)
{
	struct spool_span s = {
	    {INT64_MAX}, {INT64_MIN}, 0, l->item[0]->clock_ns};

	for (size_t i = 0; i < n; i++) {
		if (l->item[i]->kind == LETTER_RUN)
			stretch(&s, news_run(l, i)->first,
			        news_run(l, i)->last);
		else
			stretch(&s, news_revision(l, i)->start,
			        news_revision(l, i)->start);
	}
	/* a clock that was set back within a run */
	if (s.to.ns < s.from.ns)
		s.to = s.from;
	return s;
}
