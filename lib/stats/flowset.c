/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/flowset.h"

#include "lib/base/clock.h"
#include "lib/stats/jitter.h"
#include "lib/stats/varint.h"

#include <string.h>

#define FLOWSET_VERSION 1
#define FIELDS 9

/* What the delays of the next flow are relative to. */
struct base {
	int64_t rtt_min, fwd, bwd;
};

static bool
put_delay(int64_t d_ns, int64_t base, uint64_t *out)
{
	int64_t more;

	*out = 0;
	if (d_ns == NS_UNKNOWN)
		return true;
	if (d_ns >= DELAY_LIMIT_NS || d_ns <= -DELAY_LIMIT_NS)
		return false;
	more = d_ns - base;
	*out = zigzag(more) + 1;
	return true;
}

static bool
get_delay(uint64_t u, int64_t base, int64_t *out)
{
	*out = NS_UNKNOWN;
	if (u == 0)
		return true;
	return !__builtin_add_overflow(base, unzigzag(u - 1), out) &&
	       *out<DELAY_LIMIT_NS && * out> - DELAY_LIMIT_NS;
}

static int64_t
known_or(int64_t d_ns, int64_t other)
{
	return d_ns == NS_UNKNOWN ? other : d_ns;
}

static void
base_next(struct base *b, const struct flow_result *f)
{
	b->rtt_min = known_or(f->rtt_min_ns, b->rtt_min);
	b->fwd = known_or(f->fwd_mean_ns, b->fwd);
	b->bwd = known_or(f->bwd_mean_ns, b->bwd);
}

static bool
to_fields(const struct flow_result *f, struct base *b, uint64_t v[FIELDS])
{
	v[0] = f->sent;
	v[1] = f->received;
	v[2] = f->lost_fwd;
	v[3] = f->lost_bwd;
	v[4] = f->lost_undet;
	if (!put_delay(f->rtt_min_ns, b->rtt_min, &v[5]) ||
	    !put_delay(f->rtt_mean_ns, known_or(f->rtt_min_ns, 0), &v[6]) ||
	    !put_delay(f->fwd_mean_ns, b->fwd, &v[7]) ||
	    !put_delay(f->bwd_mean_ns, b->bwd, &v[8]))
		return false;
	base_next(b, f);
	return true;
}

static bool
from_fields(const uint64_t v[FIELDS], struct base *b, struct flow_result *f)
{
	for (unsigned i = 0; i < 5; i++) {
		if (v[i] > INT32_MAX)
			return false;
	}
	f->sent = (uint32_t)v[0];
	f->received = (uint32_t)v[1];
	f->lost_fwd = (uint32_t)v[2];
	f->lost_bwd = (uint32_t)v[3];
	f->lost_undet = (uint32_t)v[4];
	if (!get_delay(v[5], b->rtt_min, &f->rtt_min_ns) ||
	    !get_delay(v[6], known_or(f->rtt_min_ns, 0), &f->rtt_mean_ns) ||
	    !get_delay(v[7], b->fwd, &f->fwd_mean_ns) ||
	    !get_delay(v[8], b->bwd, &f->bwd_mean_ns))
		return false;
	base_next(b, f);
	return true;
}

size_t
flowset_encode(const struct flow_result *f, unsigned n, uint8_t *out,
               size_t size)
{
	struct base base = {0, 0, 0};
	size_t at = 2;

	if (n < 1 || n > FLOWS_MAX_N || size < at)
		return 0;
	out[0] = FLOWSET_VERSION;
	out[1] = (uint8_t)n;
	for (unsigned i = 0; i < n; i++) {
		uint64_t v[FIELDS];

		if (!to_fields(&f[i], &base, v))
			return 0;
		for (unsigned k = 0; k < FIELDS; k++) {
			const size_t w = varint_put(out + at, size - at, v[k]);

			if (w == 0)
				return 0;
			at += w;
		}
	}
	return at;
}

bool
flowset_decode(const uint8_t *bytes, size_t len,
               struct flow_result out[FLOWS_MAX_N], unsigned *n)
{
	struct flow_result f[FLOWS_MAX_N];
	struct base base = {0, 0, 0};
	size_t at = 2;

	if (len < at || bytes[0] != FLOWSET_VERSION || bytes[1] < 1 ||
	    bytes[1] > FLOWS_MAX_N)
		return false;
	for (unsigned i = 0; i < bytes[1]; i++) {
		uint64_t v[FIELDS];

		for (unsigned k = 0; k < FIELDS; k++) {
			const size_t r =
			    varint_get(bytes + at, len - at, &v[k]);

			if (r == 0)
				return false;
			at += r;
		}
		if (!from_fields(v, &base, &f[i]))
			return false;
	}
	if (at != len)
		return false;
	*n = bytes[1];
	memcpy(out, f, *n * sizeof(*f));
	return true;
}
