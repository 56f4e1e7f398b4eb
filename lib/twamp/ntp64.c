/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/twamp/ntp64.h"

#include <math.h>

#define NTP_MINUS_UNIX_S UINT32_C(2208988800) /* 1900 to 1970 */
#define NS_PER_S_U UINT64_C(1000000000)
/* Instants are kept within what int64_t nanoseconds can hold: years 1678 to
 * 2261. A stamp beyond it is clamped, not wrapped. */
#define UNIX_S_MAX (INT64_MAX / NS_PER_S - 1)

#define SCALE_SHIFT 8
#define SCALE_MAX 63U
#define MULTIPLIER_MAX 255U

/* Floor division: instants before 1970 have a positive fraction too. */
static int64_t
split_s(struct wall w, uint32_t *nsec)
{
	int64_t s = w.ns / NS_PER_S, r = w.ns % NS_PER_S;

	if (r < 0) {
		r += NS_PER_S;
		s--;
	}
	*nsec = (uint32_t)r;
	return s;
}

/* The instant nearest to `near` whose seconds are sec32 modulo 2^32. nsec may
 * be 10^9 (a fraction that was rounded up). */
static struct wall
unfold(uint32_t sec32, uint32_t nsec, struct wall near)
{
	uint32_t ignored;
	const int64_t near_s = split_s(near, &ignored);
	const uint32_t ahead = sec32 - (uint32_t)near_s;
	int64_t s = near_s + (int64_t)ahead;

	if (ahead > INT32_MAX)
		s -= INT64_C(1) << 32;
	if (s > UNIX_S_MAX)
		s = UNIX_S_MAX;
	if (s < -UNIX_S_MAX)
		s = -UNIX_S_MAX;
	return (struct wall){s * NS_PER_S + nsec};
}

static uint32_t
fraction_to_ns(uint32_t frac)
{
	return (uint32_t)((frac * NS_PER_S_U + (UINT64_C(1) << 31)) >> 32);
}

uint64_t
ntp64_from_wall(struct wall w)
{
	uint32_t nsec;
	const uint32_t s = (uint32_t)split_s(w, &nsec) + NTP_MINUS_UNIX_S;

	return (uint64_t)s << 32 | ((uint64_t)nsec << 32) / NS_PER_S_U;
}

struct wall
ntp64_to_wall(uint64_t ntp, struct wall near)
{
	return unfold((uint32_t)(ntp >> 32) - NTP_MINUS_UNIX_S,
	              fraction_to_ns((uint32_t)ntp), near);
}

int64_t
ntp64_diff_ns(uint64_t a, uint64_t b)
{
	const uint64_t d = a - b;
	int64_t s = (int64_t)(d >> 32);

	if (s > INT32_MAX)
		s -= INT64_C(1) << 32;
	return s * NS_PER_S + fraction_to_ns((uint32_t)d);
}

uint64_t
ptp64_from_wall(struct wall w, int utc_offset_s)
{
	uint32_t nsec;
	const uint32_t s = (uint32_t)(split_s(w, &nsec) + utc_offset_s);

	return (uint64_t)s << 32 | nsec;
}

bool
ptp64_to_wall(uint64_t ptp, int utc_offset_s, struct wall near,
              struct wall *out)
{
	const uint32_t nsec = (uint32_t)ptp;

	if (nsec >= NS_PER_S_U)
		return false;
	*out =
	    unfold((uint32_t)(ptp >> 32) - (uint32_t)utc_offset_s, nsec, near);
	return true;
}

uint16_t
errest_encode(struct clock_quality q, bool ptp)
{
	if (!q.synchronised || q.max_error_ns == NS_UNKNOWN)
		return (uint16_t)(ERREST_UNKNOWN | (ptp ? ERREST_Z : 0));
	return errest_encode_ns(q.max_error_ns, true, ptp);
}

uint16_t
errest_encode_ns(int64_t error_ns, bool synchronised, bool ptp)
{
	const uint16_t flags =
	    (uint16_t)((synchronised ? ERREST_S : 0) | (ptp ? ERREST_Z : 0));
	const uint64_t ns = error_ns < 0 ? 0 : (uint64_t)error_ns;
	/* In units of 2^-32 s, rounded up; a nanosecond count of 63 bits is
	 * one of up to 66 bits there, hence the start at scale 3 for it. */
	const uint64_t s = ns / NS_PER_S_U;
	const uint64_t frac =
	    (((ns % NS_PER_S_U) << 32) + NS_PER_S_U - 1) / NS_PER_S_U;
	unsigned scale = 0;
	uint64_t m = (s << 32) + frac;

	if (error_ns == INT64_MAX) /* saturated: at least so much */
		return (uint16_t)(flags | SCALE_MAX << SCALE_SHIFT |
		                  MULTIPLIER_MAX);
	if (s >> 31) {
		scale = 3;
		m = (s << 29) + (frac + 7) / 8;
	}
	for (; m > MULTIPLIER_MAX && scale < SCALE_MAX; scale++)
		m = m / 2 + m % 2; /* ceil of a ceil is the ceil */
	if (m == 0)
		m = 1;
	return (uint16_t)(flags | scale << SCALE_SHIFT | m);
}

bool
errest_decode(uint16_t wire, int64_t *error_ns, bool *synchronised, bool *ptp)
{
	const uint64_t ns = (wire & MULTIPLIER_MAX) * NS_PER_S_U; /* < 2^38 */
	const unsigned scale = (wire >> SCALE_SHIFT) & SCALE_MAX;

	if (ns == 0)
		return false;
	if (scale < 32)
		*error_ns =
		    (int64_t)((ns + (UINT64_C(1) << (32 - scale)) - 1) >>
		              (32 - scale));
	else if (ns > (uint64_t)INT64_MAX >> (scale - 32))
		*error_ns = INT64_MAX;
	else
		*error_ns = (int64_t)(ns << (scale - 32));
	*synchronised = wire & ERREST_S;
	*ptp = wire & ERREST_Z;
	return true;
}

bool
errest_seconds(uint16_t wire, double *seconds)
{
	const int multiplier = wire & (int)MULTIPLIER_MAX;
	const int scale = (wire >> SCALE_SHIFT) & (int)SCALE_MAX;

	if (multiplier == 0)
		return false;
	*seconds = ldexp(multiplier, scale - 32);
	return true;
}
