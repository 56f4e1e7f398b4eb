/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a session has measured in one interval, while it is open, and the
 * struct result that it becomes. Owned by its session; packets of the window
 * point to it until it closes. Losses and their directions stand in its book
 * (book.h), which outlives it.
 *
 *   open     packets are booked here by their scheduled time
 *   cut      the clock stepped: no new packets, shorter span
 *   closed   waits in the session to be taken; a packet no longer points here
 */
#ifndef TWMESH_STATS_INTERVAL_H
#define TWMESH_STATS_INTERVAL_H

#include "lib/base/clock.h"
#include "lib/base/result.h"
#include "lib/base/voice.h"
#include "lib/stats/book.h"
#include "lib/stats/jitter.h"
#include "lib/stats/samples.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One direction, or the round trip's order. */
struct interval_way {
	struct delay_acc delay, ipdv;
	struct samples delays, ipdvs; /* only with details */
	double jitter_ns; /* RFC 3550, after the last packet; if jitter_seen */
	bool jitter_seen;
	int hops, dscp; /* of the last reply; -1 unknown */
	unsigned ecn;   /* all bits seen, when dscp is known */
	uint32_t remarked, hops_changed, duplicates;
	uint32_t reordered, extent;
};

/* What is kept of each flow, when there are several. */
struct interval_flow {
	uint32_t sent, received;
	struct delay_acc rtt, fwd, bwd;
};

struct interval {
	struct interval *next; /* older to newer; owned by the session */
	struct book *book;     /* borrowed from the session's books */
	struct wall start;     /* into the result */
	struct wall wall_end;  /* slots before it belong here */
	struct mono from, to;  /* what the result covers */
	struct mono end;       /* nominal */
	struct mono close_at;
	bool cut;
	bool came_up; /* a slot did, counted or withheld */
	uint64_t epoch;
	uint32_t flags;

	uint32_t outstanding; /* sent, neither received nor lost yet */
	uint32_t held;        /* received, and their delays not final yet */
	uint32_t scheduled, sent, send_failed, received, late, duplicates,
	    local_drops, altered, rtt_unknown, late_dst_host;
	uint32_t runs_1, runs_2, runs_long; /* loss runs by length */
	uint32_t reordered, extent;         /* round trip */
	uint32_t t1_user, t4_user, t3_uncorrected, t3_corrected;
	unsigned stamps; /* STAMPS_* */

	struct delay_acc rtt, raw_rtt; /* raw: of those without residence */
	struct interval_way fwd, bwd;
	int64_t clock_err_ns;        /* largest; NS_UNKNOWN: none yet */
	bool unsync_src, unsync_dst; /* a reply said so */
	bool counts;    /* the reflector counts: directions are facts */
	bool tells_cos; /* it answers Class of Service */
	bool tells_t3;  /* it answers Follow-Up Telemetry */

	struct samples rtts, lateness;
	struct interval_flow *flow; /* owned; NULL: one flow */
};

/* What the result needs to know of the session. */
struct interval_conf {
	int64_t nominal_ns;
	unsigned flows;
	bool detail;
	enum voice_codec codec;
	int64_t jitter_buffer_ns;
};

/* Forgets everything but the buffers. */
void interval_reset(struct interval *iv, unsigned flows);
void interval_free(struct interval *iv); /* takes NULL */
/* Room for n samples in all. */
void interval_reserve(struct interval *iv, size_t n, bool detail);
/* Not even a slot: no result is due. */
bool interval_is_empty(const struct interval *iv);
/* Sorts the samples in place. dst_id and class_id are the caller's. */
void interval_result(struct interval *iv, const struct interval_conf *c,
                     struct result *out);

#endif
