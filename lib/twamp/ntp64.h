/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timestamps and Error Estimates of TWAMP and STAMP (RFC 4656 4.1.2, RFC 8186
 * 2.3, RFC 8762 4.2.1).
 */
#ifndef TWMESH_TWAMP_NTP64_H
#define TWMESH_TWAMP_NTP64_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

/* NTP 64-bit: seconds since 1900 modulo 2^32, and 2^-32 s (floor). */
uint64_t ntp64_from_wall(struct wall w);
/* Rounded to the nearest ns; the era is the one nearest to `near`. Every ns
 * survives a round trip. */
struct wall ntp64_to_wall(uint64_t ntp, struct wall near);
/* a - b in ns, modulo 2^64, right across the 2036 era for less than 68 years */
int64_t ntp64_diff_ns(uint64_t a, uint64_t b);

/* PTPv2 truncated (IEEE 1588-2008): seconds modulo 2^32 since 1970 TAI, ns.
 * utc_offset_s: TAI - UTC (37 since 2017), 0 for peers that fill in UTC. */
uint64_t ptp64_from_wall(struct wall w, int utc_offset_s);
/* False when the nanoseconds are 10^9 or more: the packet is corrupt. */
bool ptp64_to_wall(uint64_t ptp, int utc_offset_s, struct wall near,
                   struct wall *out);

#define ERREST_S 0x8000U       /* synchronised to UTC by an external source */
#define ERREST_Z 0x4000U       /* PTP format */
#define ERREST_UNKNOWN 0x3fffU /* S=0 and the largest error */

/* Rounds up: a bound must not shrink. The multiplier is never 0. An unknown
 * or unsynchronised clock gives ERREST_UNKNOWN. */
uint16_t errest_encode(struct clock_quality q, bool ptp);
/* From a bare error, as RFC 4656 4.1.2 (for tests and foreign rules). */
uint16_t errest_encode_ns(int64_t error_ns, bool synchronised, bool ptp);
/* False when the multiplier is 0 (invalid: drop the packet). error_ns is
 * rounded up and saturates at INT64_MAX. */
bool errest_decode(uint16_t wire, int64_t *error_ns, bool *synchronised,
                   bool *ptp);
/* The same in seconds, unrounded. */
bool errest_seconds(uint16_t wire, double *seconds);

#endif
