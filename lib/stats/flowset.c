/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/flowset.h"

#include "lib/base/clock.h"
#include "lib/stats/varint.h"

#include <string.h>

#define FLOWSET_VERSION 1
#define FIELDS 9

static uint64_t
put_delay(int64_t d_ns)
{
	if (d_ns == NS_UNKNOWN)
		return 0;
	return zigzag(d_ns) + 1;
}

static int64_t
get_delay(uint64_t u)
{
	return u == 0 ? NS_UNKNOWN : unzigzag(u - 1);
}

static void
to_fields(const struct flow_result *f, uint64_t v[FIELDS])
{
	v[0] = f->sent;
	v[1] = f->received;
	v[2] = f->lost_fwd;
	v[3] = f->lost_bwd;
	v[4] = f->lost_undet;
	v[5] = put_delay(f->rtt_min_ns);
	v[6] = put_delay(f->rtt_mean_ns);
	v[7] = put_delay(f->fwd_mean_ns);
	v[8] = put_delay(f->bwd_mean_ns);
}

static bool
from_fields(const uint64_t v[FIELDS], struct flow_result *f)
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
	f->rtt_min_ns = get_delay(v[5]);
	f->rtt_mean_ns = get_delay(v[6]);
	f->fwd_mean_ns = get_delay(v[7]);
	f->bwd_mean_ns = get_delay(v[8]);
	return true;
}

size_t
flowset_encode(const struct flow_result *f, unsigned n, uint8_t *out,
               size_t size)
{
	size_t at = 2;

	if (n < 1 || n > FLOWS_MAX_N || size < at)
		return 0;
	out[0] = FLOWSET_VERSION;
	out[1] = (uint8_t)n;
	for (unsigned i = 0; i < n; i++) {
		uint64_t v[FIELDS];

		to_fields(&f[i], v);
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
		if (!from_fields(v, &f[i]))
			return false;
	}
	if (at != len)
		return false;
	*n = bytes[1];
	memcpy(out, f, *n * sizeof(*f));
	return true;
}
