/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each flow of a session measured in one interval, so that one bad member
 * of an ECMP bundle shows. Octets on the wire and in struct result; rows of
 * twmesh.result_flow in the database.
 *
 * Wire form, version 1: version octet, number of flows (1..64), then per flow
 * nine LEB128 varints: sent, received, lost_fwd, lost_bwd, lost_undet, and the
 * delays rtt_min, rtt_mean, fwd_mean, bwd_mean in nanoseconds: 0 for not
 * known, else zigzag + 1 of what the delay is more than the same one of the
 * last flow before that has it (else 0); rtt_mean: more than its own rtt_min.
 * The flows of a path differ by little, so that 64 of them fit into a result
 * however long the path is and however wrong a clock.
 */
#ifndef TWMESH_STATS_FLOWSET_H
#define TWMESH_STATS_FLOWSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOWS_MAX_N 64

struct flow_result {
	uint32_t sent, received, lost_fwd, lost_bwd, lost_undet;
	/* Within DELAY_LIMIT_NS (jitter.h); NS_UNKNOWN: nothing received. */
	int64_t rtt_min_ns, rtt_mean_ns, fwd_mean_ns, bwd_mean_ns;
};

/* Octets written, 0 when `size` is too small, n is not 1..64 or a delay is
 * out of range. */
size_t flowset_encode(const struct flow_result *f, unsigned n, uint8_t *out,
                      size_t size);
/* False on anything malformed; *n and out[] are written on success only. */
bool flowset_decode(const uint8_t *bytes, size_t len,
                    struct flow_result out[FLOWS_MAX_N], unsigned *n)
    __attribute__((warn_unused_result));

#endif
