/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LEB128 varints of 64 bits and zigzag, as the compact forms of histograms and
 * flows use them. Only the shortest form is valid, so that equal values have
 * equal octets.
 */
#ifndef TWMESH_STATS_VARINT_H
#define TWMESH_STATS_VARINT_H

#include <stddef.h>
#include <stdint.h>

/* Octets written; 0 when `size` is too small. */
size_t varint_put(uint8_t *out, size_t size, uint64_t v);
/* Octets read; 0 when truncated, over 64 bits or not in shortest form. */
size_t varint_get(const uint8_t *in, size_t len, uint64_t *out);

static inline uint64_t
zigzag(int64_t v)
{
	return v < 0 ? ~((uint64_t)v << 1) : (uint64_t)v << 1;
}

static inline int64_t
unzigzag(uint64_t u)
{
	const uint64_t half = u >> 1;

	return u & 1 ? -(int64_t)half - 1 : (int64_t)half;
}

#endif
