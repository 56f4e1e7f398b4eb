/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One result: what a session (source, destination, class) measured in one
 * interval, both directions and the round trip. A value is an int64_t in the
 * unit of the metric table (metric.h), indexed by enum metric, or METRIC_NULL
 * when it cannot be known. Every layer speaks of results through these two
 * headers: adding a metric touches the enum and table here, its computation
 * in lib/stats, one migration and one test.
 */
#ifndef TWMESH_BASE_RESULT_H
#define TWMESH_BASE_RESULT_H

#include "lib/base/clock.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The numbers are the column ids on the wire (proto/mesh.proto, Column.metric)
 * and never change or get reused.
 */
enum metric {
	METRIC_NONE = 0,
	METRIC_SCHEDULED = 1,
	METRIC_SENT = 2,
	METRIC_SEND_FAILED = 3,
	METRIC_RECEIVED = 4,
	METRIC_LOST = 5,
	METRIC_LOST_FWD = 6,
	METRIC_LOST_BWD = 7,
	METRIC_LOST_UNDET = 8,
	METRIC_LATE = 9,
	METRIC_DUPLICATES = 10,
	METRIC_RTT_MIN = 11,
	METRIC_RTT_MEAN = 12,
	METRIC_RTT_MAX = 13,
	METRIC_RTT_P50 = 14,
	METRIC_RTT_P99 = 15,
	METRIC_FWD_MIN = 16,
	METRIC_FWD_MEAN = 17,
	METRIC_FWD_MAX = 18,
	METRIC_BWD_MIN = 19,
	METRIC_BWD_MEAN = 20,
	METRIC_BWD_MAX = 21,
	METRIC_FWD_IPDV = 22,
	METRIC_BWD_IPDV = 23,
	METRIC_FWD_JITTER = 24,
	METRIC_BWD_JITTER = 25,
	METRIC_FWD_HOPS = 26,
	METRIC_BWD_HOPS = 27,
	METRIC_CLOCK_ERR = 28,
	METRIC_LOCAL_DROPS = 29,
	METRIC_FLAGS = 30,
	METRIC_SPAN = 31,
	METRIC_N
};

#define METRIC_NULL INT64_MIN

/* Bits of METRIC_FLAGS. */
#define RESULT_PARTIAL (1U << 0)      /* shorter than the class's interval */
#define RESULT_CLOCK_STEP (1U << 1)   /* cut by a step of the local clock */
#define RESULT_HOST_LIMITED (1U << 2) /* local drops or missing stamps */
#define RESULT_REFLECTOR_RESTART (1U << 3) /* direction undetermined by it */
#define RESULT_STATELESS                                                      \
	(1U << 4)                   /* reflector keeps no state: no direction \
	                             */
#define RESULT_SYNC_SRC (1U << 5)   /* the source claims a disciplined clock */
#define RESULT_SYNC_DST (1U << 6)   /* so does the destination */
#define RESULT_UNANSWERED (1U << 7) /* sending held back by rule 24 */

/* Sparse RTT histogram in wire form (lib/stats/hist.h): version byte 1. */
#define RESULT_HIST_MAX 1024

struct result {
	uint32_t dst_id;     /* roster node id */
	uint32_t class_id;   /* roster class id (a version of a class) */
	uint64_t epoch;      /* roster epoch in force when it was measured */
	struct wall start;   /* of the aligned interval; ns since Unix epoch */
	int64_t interval_ns; /* nominal length of the class's interval */
	int64_t v[METRIC_N]; /* [METRIC_NONE] unused */
	uint16_t hist_len; /* octets of rtt_hist; 0: none (nothing received) */
	uint8_t rtt_hist[RESULT_HIST_MAX];
};

#endif
