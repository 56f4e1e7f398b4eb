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
	/* From here on: details (enum metric_home). */
	METRIC_RTT_P999 = 32,
	METRIC_FWD_P50 = 33,
	METRIC_FWD_P99 = 34,
	METRIC_BWD_P50 = 35,
	METRIC_BWD_P99 = 36,
	METRIC_FWD_IPDV_P99 = 37,
	METRIC_BWD_IPDV_P99 = 38,
	METRIC_RTT_UNKNOWN = 39,
	METRIC_RAW_RTT_MEAN = 40,
	METRIC_REORDERED = 41,
	METRIC_FWD_REORDERED = 42,
	METRIC_BWD_REORDERED = 43,
	METRIC_REORDER_EXTENT = 44,
	METRIC_FWD_REORDER_EXTENT = 45,
	METRIC_BWD_REORDER_EXTENT = 46,
	METRIC_FWD_DUPLICATES = 47,
	METRIC_BWD_DUPLICATES = 48,
	METRIC_ALTERED = 49,
	METRIC_LOSS_RUNS_1 = 50,
	METRIC_LOSS_RUNS_2 = 51,
	METRIC_LOSS_RUNS_LONG = 52,
	METRIC_FWD_DSCP = 53,
	METRIC_BWD_DSCP = 54,
	METRIC_FWD_ECN = 55,
	METRIC_BWD_ECN = 56,
	METRIC_FWD_REMARKED = 57,
	METRIC_BWD_REMARKED = 58,
	METRIC_FWD_HOPS_CHANGED = 59,
	METRIC_BWD_HOPS_CHANGED = 60,
	METRIC_SEND_LATE_P50 = 61,
	METRIC_SEND_LATE_P99 = 62,
	METRIC_SEND_LATE_MAX = 63,
	METRIC_STAMPS = 64,
	METRIC_TX_STAMPS_MISSING = 65,
	METRIC_RX_STAMPS_MISSING = 66,
	METRIC_T3_UNCORRECTED = 67,
	METRIC_LATE_DST_HOST = 68,
	METRIC_FWD_R = 69,
	METRIC_BWD_R = 70,
	METRIC_FWD_MOS = 71,
	METRIC_BWD_MOS = 72,
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
#define RESULT_HOST_LATE (1U << 8)  /* our own sends left late (p99) */
#define RESULT_DST_HOST_LIMITED                                               \
	(1U << 9)                      /* replies late by the reflector's own \
	                                * residence */
#define RESULT_REMARKED (1U << 10)     /* DSCP was changed on the way */
#define RESULT_HOPS_CHANGED (1U << 11) /* the number of hops did */

/* Bits of METRIC_STAMPS: where the stamps of the interval came from. */
#define STAMPS_T1_KERNEL (1U << 0) /* some T1 are the kernel's */
#define STAMPS_T1_USER (1U << 1)   /* some were read in user space */
#define STAMPS_T1_NIC (1U << 2)    /* some raw RTTs are by NIC stamps */
#define STAMPS_T4_KERNEL (1U << 3)
#define STAMPS_T4_USER (1U << 4)
#define STAMPS_T2_KERNEL (1U << 5)    /* by the reflector's word */
#define STAMPS_T2_USER (1U << 6)      /* by its word, or it does not say */
#define STAMPS_T3_FOLLOW_UP (1U << 7) /* true T3 by Follow-Up Telemetry */
#define STAMPS_T3_USER (1U << 8)

/* Sparse histogram in wire form (lib/stats/hist.h): version byte 1. */
#define RESULT_HIST_MAX 1024
#define RESULT_WAY_HIST_MAX 512 /* of one direction */
/* Per-flow results in wire form (lib/stats/flowset.h). */
#define RESULT_FLOWS_MAX 1536

struct result {
	uint32_t dst_id;     /* roster node id */
	uint32_t class_id;   /* roster class id (a version of a class) */
	uint64_t epoch;      /* roster epoch in force when it was measured */
	struct wall start;   /* of the aligned interval; ns since Unix epoch */
	int64_t interval_ns; /* nominal length of the class's interval */
	int64_t v[METRIC_N]; /* [METRIC_NONE] unused */
	uint16_t hist_len; /* octets of rtt_hist; 0: none (nothing received) */
	uint8_t rtt_hist[RESULT_HIST_MAX];
	/* Details; 0 octets: none. */
	uint16_t fwd_hist_len, bwd_hist_len, flows_len;
	uint8_t fwd_hist[RESULT_WAY_HIST_MAX];
	uint8_t bwd_hist[RESULT_WAY_HIST_MAX];
	uint8_t flows[RESULT_FLOWS_MAX];
};

/*
 * A later reply decided the direction of losses that were undetermined when
 * their interval was closed: the counts of that result as they are now.
 */
struct revision {
	uint32_t dst_id, class_id;
	struct wall start; /* of the result */
	uint32_t lost_fwd, lost_bwd, lost_undet;
};

#endif
