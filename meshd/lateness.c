/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/lateness.h"

#include <math.h>

/* Below 8 ns each value has a bucket of its own; above, the three bits behind
 * the highest one choose among the eight of an octave. */
static unsigned
bucket_of(uint64_t ns)
{
	unsigned octave, at;

	if (ns < 8)
		return (unsigned)ns;
	octave = 63U - (unsigned)__builtin_clzll(ns);
	at = (octave - 2) * 8 + ((ns >> (octave - 3)) & 7);
	return at < LATENESS_BUCKETS ? at : LATENESS_BUCKETS - 1;
}

static int64_t
upper_edge(unsigned bucket)
{
	if (bucket < 8)
		return bucket;
	return (((int64_t)(bucket % 8) + 9) << (bucket / 8 - 1)) - 1;
}

void
lateness_add(struct lateness *l, int64_t ns)
{
	atomic_fetch_add_explicit(&l->n[bucket_of(ns > 0 ? (uint64_t)ns : 0)],
	                          1, memory_order_relaxed);
}

void
lateness_read(const struct lateness *l, uint64_t n[LATENESS_BUCKETS])
{
	for (unsigned i = 0; i < LATENESS_BUCKETS; i++)
		n[i] = atomic_load_explicit(&l->n[i], memory_order_relaxed);
}

int64_t
lateness_percentile(const uint64_t n[LATENESS_BUCKETS], double pct)
{
	uint64_t total = 0, seen = 0, rank;

	for (unsigned i = 0; i < LATENESS_BUCKETS; i++)
		total += n[i];
	if (total == 0)
		return -1;
	rank = (uint64_t)ceil((double)total * pct / 100);
	if (rank == 0)
		rank = 1;
	for (unsigned i = 0; i < LATENESS_BUCKETS - 1; i++) {
		seen += n[i];
		if (seen >= rank)
			return upper_edge(i);
	}
	return upper_edge(LATENESS_BUCKETS - 1);
}
