/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a session has measured in one interval, while it is open, and the
 * struct result that it becomes. Owned by its session; packets of the window
 * point to it until it closes.
 *
 *   open     packets are booked here by their scheduled time
 *   cut      the clock stepped: no new packets, shorter span
 *   closed   waits in the session to be taken; a packet no longer points here
 */
#ifndef TWMESH_STATS_INTERVAL_H
#define TWMESH_STATS_INTERVAL_H

#include "lib/base/clock.h"
#include "lib/base/result.h"
#include "lib/stats/jitter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More RTT samples than this are not kept (8 MB): the percentiles and the
 * histogram of such an interval are NULL, never those of a part. */
#define INTERVAL_SAMPLES_MAX ((size_t)1 << 20)

/* Smoothed jitter as it stood after the last packet of the interval. */
struct jitter_seen {
	double j_ns; /* valid when seen */
	bool seen;
};

struct interval {
	struct interval *next; /* older to newer; owned by the session */
	struct wall start;     /* into the result */
	struct wall wall_end;  /* slots before it belong here */
	struct mono from, to;  /* what the result covers */
	struct mono end;       /* nominal */
	struct mono close_at;
	bool cut;
	bool came_up; /* a slot did, counted or withheld */
	uint64_t epoch;
	uint32_t flags;

	uint32_t first_seq, last_seq; /* valid when has_seq */
	bool has_seq;
	uint32_t outstanding; /* sent, neither received nor lost yet */
	uint32_t scheduled, sent, send_failed, received, lost, lost_fwd,
	    lost_bwd, late, duplicates, local_drops;
	uint32_t evicted; /* of the undetermined lost: gone from the window,
	                   * but the reflector's counters may still tell */

	struct delay_acc rtt, fwd, bwd, fwd_ipdv, bwd_ipdv;
	struct jitter_seen fwd_jitter, bwd_jitter;
	int fwd_hops, bwd_hops;      /* of the last reply; -1 unknown */
	int64_t clock_err_ns;        /* largest; NS_UNKNOWN: none yet */
	bool unsync_src, unsync_dst; /* a reply said so */

	int64_t *sample; /* owned: RTTs; room for `sent` of them */
	size_t sample_n, sample_cap;
	bool samples_missing;
};

/* Forgets everything but the sample buffer. */
void interval_reset(struct interval *iv);
/* Room for n samples in all; on failure samples_missing tells. */
void interval_reserve(struct interval *iv, size_t n);
void interval_add_rtt(struct interval *iv, int64_t rtt_ns);
/* Not even a slot: no result is due. */
bool interval_is_empty(const struct interval *iv);
/* Sorts the samples in place. dst_id and class_id are the caller's. */
void interval_result(struct interval *iv, int64_t nominal_ns,
                     struct result *out);

#endif
