/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exact percentiles by nearest rank (RFC 2330 11.3: no interpolation).
 */
#ifndef TWMESH_STATS_PERCENTILE_H
#define TWMESH_STATS_PERCENTILE_H

#include <stddef.h>
#include <stdint.h>

/* Below so many samples a percentile says nothing and is NULL. */
#define PERCENTILE_P99_MIN_N 50
#define PERCENTILE_P99_9_MIN_N 1000

/* 1-based rank, max(1, ceil(p n / 100)), at most n. n > 0, p in (0, 100]. */
uint64_t percentile_rank(uint64_t n, double p);
/* Sorts ascending, in place. */
void percentile_sort(int64_t *v, size_t n);
/* Of n ascending values; NS_UNKNOWN when n is 0. */
int64_t percentile_sorted(const int64_t *v, size_t n, double p);

#endif
