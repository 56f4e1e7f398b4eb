/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A token bucket per source address. The table is bounded: sources share it in
 * sets of a few, and the one that was silent longest gives way, with a full
 * bucket when it comes back. It protects us and the third parties whose
 * addresses are forged from one source's flood; it does not bound the sum.
 */
#ifndef TWMESH_REFLECTOR_RATELIMIT_H
#define TWMESH_REFLECTOR_RATELIMIT_H

#include "lib/base/addr.h"
#include "lib/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

struct ratelimit;

/* pps packets per second and source, bursts of a fifth of a second. NULL when
 * out of memory. */
struct ratelimit *ratelimit_new(uint32_t pps);
void ratelimit_free(struct ratelimit *r);
/* May a packet of `src` (port ignored) that came in at `now` be answered? */
bool ratelimit_ok(struct ratelimit *r, const struct addr *src, struct mono now);

#endif
