/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How late sends leave, by their schedule: counts in buckets of an eighth of
 * an octave (12 %), which one thread adds to and any thread reads.
 */
#ifndef TWMESH_MESHD_LATENESS_H
#define TWMESH_MESHD_LATENESS_H

#include <stdatomic.h>
#include <stdint.h>

#define LATENESS_BUCKETS 232 /* up to 1 s; the last holds all that is later */

struct lateness {
	_Atomic uint64_t n[LATENESS_BUCKETS];
};

/* ns below 0 (early) count as 0. */
void lateness_add(struct lateness *l, int64_t ns);
/* The counts as they are now. */
void lateness_read(const struct lateness *l, uint64_t n[LATENESS_BUCKETS]);
/* Nearest rank of the counts, upper edge of its bucket, ns; -1: none. pct from
 * 0 to 100. */
int64_t lateness_percentile(const uint64_t n[LATENESS_BUCKETS], double pct);

#endif
