/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/reorder.h"

static int32_t
ahead(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/* i - j for the arrival at index i: j is the smallest index, within the ring,
 * whose number is larger. */
static uint32_t
extent(const struct reorder *r, uint32_t seq)
{
	const uint64_t back = r->n < REORDER_RING ? r->n : REORDER_RING;

	for (uint64_t d = back; d > 0; d--) {
		if (ahead(r->seq[(r->n - d) % REORDER_RING], seq) > 0)
			return (uint32_t)d;
	}
	return 1; /* it is below NextExp, so something larger came: long ago */
}

uint32_t
reorder_arrive(struct reorder *r, uint32_t seq)
{
	uint32_t e = 0;

	if (r->n > 0 && ahead(seq, r->next_exp) < 0)
		e = extent(r, seq);
	else
		r->next_exp = seq + 1;
	r->seq[r->n++ % REORDER_RING] = seq;
	return e;
}

void
reorder_cut(struct reorder *r)
{
	r->n = 0;
}
