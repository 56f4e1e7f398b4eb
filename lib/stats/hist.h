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
 * Wire form, version 1: version octet, base as zigzag varint (LEB128, at most
 * 64 bits, shortest form), then per used bucket, in rising order, two varints:
 * the number of unused buckets skipped since the one before (or since the
 * start), and the count (1 .. 2^32-1). Returns the octets written, or 0 when
 * `size` is too small (nothing usable is written then).
 */
size_t hist_encode(const struct hist *h, uint8_t *out, size_t size);
/*
 * The same, made to fit: while it is too long, neighbouring buckets are
 * grouped by 2, 4, .. 32, each group counted in its middle bucket (bucket 0
 * stays), which doubles the relative error each time (1.6, 3.1, 6.3 .. 50 %).
 * A distribution that wide is still shown whole, with its tail, instead of
 * being dropped. Fits always from HIST_FIT_MIN octets up.
 */
#define HIST_FIT_MIN 512
size_t hist_encode_fit(struct hist *h, uint8_t *out, size_t size);
/* Groups buckets by 2^log2, log2 in 1 .. HIST_SUB_BITS. */
void hist_coarsen(struct hist *h, unsigned log2);
/* False, h cleared, on anything malformed, a base of NS_UNKNOWN too. */
bool hist_decode(const uint8_t *bytes, size_t len, struct hist *h)
    __attribute__((warn_unused_result));
/* hist_decode() and hist_merge() in one, several times as fast: only buckets
 * in use are looked at. False, `into` unchanged, on anything malformed. */
bool hist_merge_wire(struct hist *into, const uint8_t *bytes, size_t len)
    __attribute__((warn_unused_result));

#endif
