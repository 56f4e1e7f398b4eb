/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/samples.h"

#include "lib/stats/percentile.h"

#include <stdlib.h>

void
samples_reserve(struct samples *s, size_t n)
{
	size_t cap = s->cap ? s->cap : 16;
	int64_t *bigger;

	if (n <= s->cap)
		return;
	while (cap < n && cap < SAMPLES_MAX)
		cap *= 2;
	if (cap <= s->cap)
		return;
	bigger = realloc(s->v, cap * sizeof(*bigger));
	if (!bigger)
		return;
	s->v = bigger;
	s->cap = cap;
}

void
samples_add(struct samples *s, int64_t v)
{
	if (s->n < s->cap)
		s->v[s->n++] = v;
	else
		s->missing = true;
}

void
samples_clear(struct samples *s)
{
	s->n = 0;
	s->missing = false;
}

void
samples_release(struct samples *s)
{
	free(s->v);
	*s = (struct samples){.v = NULL};
}

bool
samples_sort(struct samples *s)
{
	if (s->n == 0 || s->missing)
		return false;
	percentile_sort(s->v, s->n);
	return true;
}
