/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A growing list of delays, ns, for exact percentiles. Memory is reserved when
 * a packet is sent, so that a reply never allocates.
 */
#ifndef TWMESH_STATS_SAMPLES_H
#define TWMESH_STATS_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More than this are not kept (8 MB): the percentiles and the histogram of
 * such an interval are NULL, never those of a part. */
#define SAMPLES_MAX ((size_t)1 << 20)

struct samples {
	int64_t *v; /* owned */
	size_t n, cap;
	bool missing; /* some could not be kept */
};

void samples_reserve(struct samples *s, size_t n);
void samples_add(struct samples *s, int64_t v);
void samples_clear(struct samples *s); /* keeps the memory */
void samples_release(struct samples *s);
/* Sorts; false when there are none or some are missing. */
bool samples_sort(struct samples *s);

#endif
