/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/percentile.h"
#include "lib/base/clock.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

uint64_t
percentile_rank(uint64_t n, double p)
{
	/* 99.9 x 1000 / 100 is 999 and a bit in binary: not rank 1000 */
	const double exact = p * (double)n / 100.0;
	const double rank = ceil(exact * (1.0 - 4.0 * DBL_EPSILON));

	if (rank < 1.0)
		return 1;
	if (rank >= (double)n)
		return n;
	return (uint64_t)rank;
}

static int
compare(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

void
percentile_sort(int64_t *v, size_t n)
{
	if (n > 1)
		qsort(v, n, sizeof(*v), compare);
}

int64_t
percentile_sorted(const int64_t *v, size_t n, double p)
{
	return n ? v[percentile_rank(n, p) - 1] : NS_UNKNOWN;
}
