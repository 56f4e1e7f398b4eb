/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Buckets: offsets below 32 ns have one each; above, an octave [2^e, 2^(e+1))
 * is cut into 32, so that a bucket's number is the position of the leading bit
 * followed by the next five. Offsets are below 2^63 (delays are int64_t and
 * farther apart only if corrupt; those are counted in the last bucket).
 */
#include "lib/stats/hist.h"
#include "lib/base/clock.h"
#include "lib/stats/percentile.h"
#include "lib/stats/varint.h"

#include <assert.h>
#include <string.h>

#define SUB (1U << HIST_SUB_BITS)
#define OFFSET_MAX ((uint64_t)INT64_MAX)

static_assert(((62 - HIST_SUB_BITS + 1) << HIST_SUB_BITS) + SUB == HIST_BUCKETS,
              "the last bucket ends at 2^63");

size_t
hist_bucket(uint64_t offset_ns)
{
	unsigned e;

	if (offset_ns > OFFSET_MAX)
		offset_ns = OFFSET_MAX;
	if (offset_ns < SUB)
		return (size_t)offset_ns;
	e = 63U - (unsigned)__builtin_clzll(offset_ns);
	return ((size_t)(e - HIST_SUB_BITS) << HIST_SUB_BITS) +
	       (size_t)(offset_ns >> (e - HIST_SUB_BITS));
}

uint64_t
hist_bucket_low_ns(size_t bucket)
{
	const size_t octave = bucket >> HIST_SUB_BITS;

	if (octave < 2)
		return bucket;
	return (uint64_t)(SUB + (bucket & (SUB - 1))) << (octave - 1);
}

uint64_t
hist_bucket_width_ns(size_t bucket)
{
	const size_t octave = bucket >> HIST_SUB_BITS;

	return octave < 2 ? 1 : UINT64_C(1) << (octave - 1);
}

static uint64_t
bucket_middle_ns(size_t bucket)
{
	return hist_bucket_low_ns(bucket) +
	       (hist_bucket_width_ns(bucket) - 1) / 2;
}

void
hist_clear(struct hist *h)
{
	memset(h, 0, sizeof(*h));
}

static void
count_add(uint32_t *count, uint32_t n)
{
	if (__builtin_add_overflow(*count, n, count))
		*count = UINT32_MAX;
}

void
hist_build(struct hist *h, const int64_t *delay_ns, size_t n)
{
	hist_clear(h);
	if (n == 0)
		return;
	h->base_ns = delay_ns[0];
	for (size_t i = 1; i < n; i++) {
		if (delay_ns[i] < h->base_ns)
			h->base_ns = delay_ns[i];
	}
	for (size_t i = 0; i < n; i++)
		count_add(&h->count[hist_bucket((uint64_t)delay_ns[i] -
		                                (uint64_t)h->base_ns)],
		          1);
	h->n = n;
}

/* Counts of `from`, told as offsets over a base that lies `shift` lower. */
static void
add_shifted(struct hist *into, const struct hist *from, uint64_t shift)
{
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		uint64_t offset;

		if (from->count[i] == 0)
			continue;
		if (shift == 0) {
			count_add(&into->count[i], from->count[i]);
			continue;
		}
		if (__builtin_add_overflow(bucket_middle_ns(i), shift, &offset))
			offset = OFFSET_MAX;
		count_add(&into->count[hist_bucket(offset)], from->count[i]);
	}
	into->n += from->n;
}

void
hist_merge(struct hist *into, const struct hist *from)
{
	if (from->n == 0)
		return;
	if (into->n == 0) {
		*into = *from;
	} else if (from->base_ns >= into->base_ns) {
		add_shifted(into, from,
		            (uint64_t)from->base_ns - (uint64_t)into->base_ns);
	} else {
		struct hist old = *into;

		*into = *from;
		add_shifted(into, &old,
		            (uint64_t)old.base_ns - (uint64_t)from->base_ns);
	}
}

int64_t
hist_percentile_ns(const struct hist *h, double p)
{
	uint64_t rank, seen = 0;
	size_t i;
	int64_t v;

	if (h->n == 0)
		return NS_UNKNOWN;
	rank = percentile_rank(h->n, p);
	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += h->count[i];
		if (seen >= rank)
			break;
	}
	if (__builtin_add_overflow(h->base_ns, bucket_middle_ns(i), &v))
		v = INT64_MAX;
	return v;
}

size_t
hist_encode(const struct hist *h, uint8_t *out, size_t size)
{
	size_t at = 0, n, unused = 0;

	if (size < 1)
		return 0;
	out[at++] = HIST_WIRE_VERSION;
	n = varint_put(out + at, size - at, zigzag(h->n ? h->base_ns : 0));
	if (n == 0)
		return 0;
	at += n;
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		if (h->count[i] == 0) {
			unused++;
			continue;
		}
		n = varint_put(out + at, size - at, unused);
		if (n == 0)
			return 0;
		at += n;
		n = varint_put(out + at, size - at, h->count[i]);
		if (n == 0)
			return 0;
		at += n;
		unused = 0;
	}
	return at;
}

void
hist_coarsen(struct hist *h, unsigned log2)
{
	const size_t group = (size_t)1 << log2;

	for (size_t g = 0; g < HIST_BUCKETS; g += group) {
		const size_t middle = g + group / 2;

		for (size_t i = g ? g : 1; i < g + group; i++) {
			const uint32_t c = h->count[i];

			if (i == middle || c == 0)
				continue;
			h->count[i] = 0;
			count_add(&h->count[middle], c);
		}
	}
}

size_t
hist_encode_fit(struct hist *h, uint8_t *out, size_t size)
{
	size_t n = hist_encode(h, out, size);

	for (unsigned log2 = 1; n == 0 && log2 <= HIST_SUB_BITS; log2++) {
		hist_coarsen(h, log2);
		n = hist_encode(h, out, size);
	}
	return n;
}

/* Reading of the wire form, bucket by bucket. */
struct reader {
	const uint8_t *p;
	size_t len, at, next; /* next: the bucket after the last one */
	int64_t base_ns;
	bool zero_base; /* what an empty histogram has */
};

static bool
reader_open(struct reader *r, const uint8_t *bytes, size_t len)
{
	uint64_t base = 0;
	size_t n;

	if (len < 1 || bytes[0] != HIST_WIRE_VERSION)
		return false;
	n = varint_get(bytes + 1, len - 1, &base);
	*r = (struct reader){.p = bytes,
	                     .len = len,
	                     .at = 1 + n,
	                     .base_ns = unzigzag(base),
	                     .zero_base = base == 0};
	return n > 0 && r->base_ns != NS_UNKNOWN;
}

/* 1: a bucket; 0: the end; -1: malformed. */
static int
reader_next(struct reader *r, size_t *bucket, uint32_t *count)
{
	uint64_t skip, c;
	size_t n;

	if (r->at == r->len)
		return 0;
	n = varint_get(r->p + r->at, r->len - r->at, &skip);
	if (n == 0 || skip >= HIST_BUCKETS - r->next)
		return -1;
	r->at += n;
	n = varint_get(r->p + r->at, r->len - r->at, &c);
	if (n == 0 || c == 0 || c > UINT32_MAX)
		return -1;
	r->at += n;
	*bucket = r->next + (size_t)skip;
	*count = (uint32_t)c;
	r->next = *bucket + 1;
	return 1;
}

bool
hist_decode(const uint8_t *bytes, size_t len, struct hist *h)
{
	struct reader r;
	size_t bucket;
	uint32_t count;
	int got;

	hist_clear(h);
	if (!reader_open(&r, bytes, len))
		return false;
	while ((got = reader_next(&r, &bucket, &count)) == 1) {
		h->count[bucket] = count;
		h->n += count;
	}
	if (got == 0 && (h->n || r.zero_base)) {
		h->base_ns = r.base_ns;
		return true;
	}
	hist_clear(h);
	return false;
}

/* Lowers the base of a histogram that has counts. */
static void
rebase(struct hist *h, int64_t base_ns)
{
	struct hist old = *h;

	hist_clear(h);
	h->base_ns = base_ns;
	add_shifted(h, &old, (uint64_t)old.base_ns - (uint64_t)base_ns);
}

bool
hist_merge_wire(struct hist *into, const uint8_t *bytes, size_t len)
{
	struct reader look, r;
	uint64_t shift, n = 0;
	size_t bucket;
	uint32_t count;
	int got;

	if (!reader_open(&look, bytes, len))
		return false;
	r = look;
	while ((got = reader_next(&look, &bucket, &count)) == 1)
		n += count;
	if (got < 0 || (n == 0 && !r.zero_base))
		return false;
	if (n == 0)
		return true;
	if (into->n == 0)
		into->base_ns = r.base_ns;
	else if (r.base_ns < into->base_ns)
		rebase(into, r.base_ns);
	shift = (uint64_t)r.base_ns - (uint64_t)into->base_ns;
	while (reader_next(&r, &bucket, &count) == 1) {
		uint64_t offset = bucket_middle_ns(bucket);

		if (__builtin_add_overflow(offset, shift, &offset))
			offset = OFFSET_MAX;
		count_add(&into->count[shift ? hist_bucket(offset) : bucket],
		          count);
	}
	into->n += n;
	return true;
}
