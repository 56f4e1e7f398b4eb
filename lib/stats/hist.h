/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mergeable log-linear histogram of delays (docs/MEASUREMENT.md). It counts
 * (delay - base), where base is the signed minimum of the interval, in 32
 * sub-buckets per octave: relative error of a bucket's value at most 1.6 %
 * above 32 ns. Negative one-way delays and 20 us of jitter on a 40 ms path
 * both survive. Merging histograms of different bases re-bases: bounded error
 * (one bucket width of the larger offset), not invertible.
 */
#ifndef TWMESH_STATS_HIST_H
#define TWMESH_STATS_HIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HIST_SUB_BITS 5
#define HIST_BUCKETS ((64 - HIST_SUB_BITS) << HIST_SUB_BITS)
#define HIST_WIRE_VERSION 1

struct hist {
	int64_t base_ns; /* valid when n > 0 */
	uint64_t n;
	uint32_t count[HIST_BUCKETS];
};

void hist_clear(struct hist *h);
/* From n delays, ns: base is their minimum. */
void hist_build(struct hist *h, const int64_t *delay_ns, size_t n);
void hist_merge(struct hist *into, const struct hist *from);
/* Nearest-rank percentile, p in (0, 100]: the middle of its bucket, never
 * below base. NS_UNKNOWN when empty. */
int64_t hist_percentile_ns(const struct hist *h, double p);
size_t hist_bucket(uint64_t offset_ns);
uint64_t hist_bucket_low_ns(size_t bucket); /* first value of the bucket */
uint64_t hist_bucket_width_ns(size_t bucket);

/*
 * Wire form, version 1: version octet, base as zigzag varint, then pairs of
 * (gap to the next used bucket, count) as varints. Returns the octets written,
 * or 0 when `size` is too small (nothing usable is written then).
 */
size_t hist_encode(const struct hist *h, uint8_t *out, size_t size);
/* False, h cleared, on anything malformed. */
bool hist_decode(const uint8_t *bytes, size_t len, struct hist *h)
    __attribute__((warn_unused_result));

#endif
