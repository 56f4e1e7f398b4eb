/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/metric.h"

#include <assert.h>
#include <string.h>

#define NO_RX "nothing was received"
#define NO_PAIR "no two consecutive packets both arrived"
#define NO_DIR "the reflector keeps no state, or never answered"

#define NO_VOICE                                                  \
	"not a voice class, nothing was received, or losses are " \
	"undetermined"
#define NO_DETAIL "nothing was received, or the class keeps no details"

#define COUNT(id, name, rfc, null, help)                         \
	[id] = {id,         name, name, "packets", METRIC_COUNT, \
	        METRIC_ROW, 0,    rfc,  null,      help}
#define DUR(id, name, rfc, null, help)                               \
	[id] = {id,         name, name "_ms", "ms", METRIC_DURATION, \
	        METRIC_ROW, 0,    rfc,        null, help}
/* Details: a count of 0 is quiet; a duration is never by itself the reason for
 * a row unless the class keeps details. */
#define DETAIL_COUNT(id, name, rfc, null, help)                         \
	[id] = {id, name, name, "packets", METRIC_COUNT, METRIC_DETAIL, \
	        0,  rfc,  null, help}
#define DETAIL_DUR(id, name, rfc, null, help) \
	[id] = {id,                           \
	        name,                         \
	        name "_ms",                   \
	        "ms",                         \
	        METRIC_DURATION,              \
	        METRIC_DETAIL,                \
	        QUIET_ALWAYS,                 \
	        rfc,                          \
	        null,                         \
	        help}
#define DETAIL_SMALL(id, name, unit, quiet, rfc, null, help)          \
	[id] = {id,    name, name, unit, METRIC_SMALL, METRIC_DETAIL, \
	        quiet, rfc,  null, help}
#define DETAIL_MILLI(id, name, rfc, null, help)                             \
	[id] = {id,           name, name, "",  METRIC_MILLI, METRIC_DETAIL, \
	        QUIET_ALWAYS, rfc,  null, help}

static const struct metric_info table[METRIC_N] = {
    COUNT(METRIC_SCHEDULED, "scheduled", "RFC 2330 11.1", "never",
          "send slots of the interval, without those withheld by rule 24"),
    COUNT(METRIC_SENT, "sent", "RFC 7680", "never",
          "packets the kernel accepted"),
    COUNT(METRIC_SEND_FAILED, "send_failed", "RFC 7680", "never",
          "sends the kernel refused"),
    COUNT(METRIC_RECEIVED, "received", "RFC 6673", "never",
          "packets answered within the loss timeout"),
    COUNT(METRIC_LOST, "lost", "RFC 6673 4", "never",
          "packets not answered within the loss timeout"),
    COUNT(METRIC_LOST_FWD, "lost_fwd", "RFC 7680", "never",
          "lost on the way to the reflector, by fact"),
    COUNT(METRIC_LOST_BWD, "lost_bwd", "RFC 7680", "never",
          "lost on the way back, by fact"),
    COUNT(METRIC_LOST_UNDET, "lost_undet", "RFC 6673", "never",
          "lost in a direction that is not known (yet)"),
    COUNT(METRIC_LATE, "late", "RFC 7680 2.4", "never",
          "replies that arrived in this interval after the loss timeout"),
    COUNT(METRIC_DUPLICATES, "duplicates", "RFC 5560", "never",
          "copies beyond the first reply"),
    DUR(METRIC_RTT_MIN, "rtt_min", "RFC 2681", NO_RX,
        "round trip less reflector residence, minimum"),
    DUR(METRIC_RTT_MEAN, "rtt_mean", "RFC 2681", NO_RX, "mean"),
    DUR(METRIC_RTT_MAX, "rtt_max", "RFC 2681", NO_RX, "maximum"),
    DUR(METRIC_RTT_P50, "rtt_p50", "RFC 2330 11.3", NO_RX,
        "exact nearest-rank median"),
    DUR(METRIC_RTT_P99, "rtt_p99", "RFC 2330 11.3", "fewer than 50 samples",
        "exact nearest-rank 99th percentile; below 100 samples the maximum"),
    DUR(METRIC_FWD_MIN, "fwd_min", "RFC 7679", NO_RX,
        "one-way delay source to destination; holds the clock offset"),
    DUR(METRIC_FWD_MEAN, "fwd_mean", "RFC 7679", NO_RX, "mean"),
    DUR(METRIC_FWD_MAX, "fwd_max", "RFC 7679", NO_RX, "maximum"),
    DUR(METRIC_BWD_MIN, "bwd_min", "RFC 7679", NO_RX,
        "one-way delay destination to source; holds the clock offset"),
    DUR(METRIC_BWD_MEAN, "bwd_mean", "RFC 7679", NO_RX, "mean"),
    DUR(METRIC_BWD_MAX, "bwd_max", "RFC 7679", NO_RX, "maximum"),
    DUR(METRIC_FWD_IPDV, "fwd_ipdv", "RFC 3393", NO_PAIR,
        "mean |IPDV| source to destination: the jitter shown by default"),
    DUR(METRIC_BWD_IPDV, "bwd_ipdv", "RFC 3393", NO_PAIR,
        "mean |IPDV| destination to source"),
    DUR(METRIC_FWD_JITTER, "fwd_jitter_rfc3550", "RFC 3550 6.4.1", NO_PAIR,
        "smoothed jitter in arrival order, carried across intervals"),
    DUR(METRIC_BWD_JITTER, "bwd_jitter_rfc3550", "RFC 3550 6.4.1", NO_PAIR,
        "the same for the way back"),
    [METRIC_FWD_HOPS] = {METRIC_FWD_HOPS, "fwd_hops", "fwd_hops", "hops",
                         METRIC_SMALL, METRIC_ROW, 0, "RFC 5357 4.2.1",
                         "nothing was received, or the sender TTL is unknown",
                         "255 less the TTL seen by the reflector (last)"},
    [METRIC_BWD_HOPS] = {METRIC_BWD_HOPS, "bwd_hops", "bwd_hops", "hops",
                         METRIC_SMALL, METRIC_ROW, 0, "RFC 5357 4.2.1", NO_RX,
                         "255 less the TTL of the reply (last)"},
    DUR(METRIC_CLOCK_ERR, "clock_err", "RFC 4656 4.1.2",
        "nothing was received, or either clock is unsynchronised",
        "bound of the one-way error: both Error Estimates added (largest)"),
    COUNT(METRIC_LOCAL_DROPS, "local_drops", "-", "never",
          "packets our own socket dropped (SO_RXQ_OVFL) in this interval"),
    [METRIC_FLAGS] = {METRIC_FLAGS, "flags", "flags", "", METRIC_SMALL,
                      METRIC_ROW, 0, "-", "never",
                      "bits, see twmesh.result_flags()"},
    DUR(METRIC_SPAN, "span", "-", "never", "length of time the result covers"),
    DETAIL_DUR(METRIC_RTT_P999, "rtt_p999", "RFC 2330 11.3",
               "fewer than 1,000 samples",
               "exact nearest-rank 99.9th percentile of the round trip"),
    DETAIL_DUR(METRIC_FWD_P50, "fwd_p50", "RFC 2330 11.3", NO_DETAIL,
               "median one-way delay source to destination"),
    DETAIL_DUR(METRIC_FWD_P99, "fwd_p99", "RFC 2330 11.3",
               "fewer than 50 samples, or no details",
               "its 99th percentile; less fwd_min it is the PDV of RFC 5481"),
    DETAIL_DUR(METRIC_BWD_P50, "bwd_p50", "RFC 2330 11.3", NO_DETAIL,
               "median one-way delay destination to source"),
    DETAIL_DUR(METRIC_BWD_P99, "bwd_p99", "RFC 2330 11.3",
               "fewer than 50 samples, or no details",
               "its 99th percentile; less bwd_min it is the PDV of RFC 5481"),
    DETAIL_DUR(METRIC_FWD_IPDV_P99, "fwd_ipdv_p99", "RFC 3393",
               "fewer than 50 pairs, or no details",
               "99th percentile of |IPDV| source to destination"),
    DETAIL_DUR(METRIC_BWD_IPDV_P99, "bwd_ipdv_p99", "RFC 3393",
               "fewer than 50 pairs, or no details",
               "99th percentile of |IPDV| destination to source"),
    DETAIL_COUNT(METRIC_RTT_UNKNOWN, "rtt_unknown", "RFC 2681", "never",
                 "received, but the reflector's residence is impossible"),
    DETAIL_DUR(METRIC_RAW_RTT_MEAN, "raw_rtt_mean", "RFC 2681",
               "rtt_unknown is 0, or T4 is before T1",
               "mean T4 - T1 of those, reflector time included"),
    DETAIL_COUNT(METRIC_REORDERED, "reordered", "RFC 4737 3.3", "never",
                 "replies that arrived after one of a later packet"),
    DETAIL_COUNT(METRIC_FWD_REORDERED, "fwd_reordered", "RFC 4737 3.3", NO_DIR,
                 "overtaken on the way to the reflector, by fact"),
    DETAIL_COUNT(METRIC_BWD_REORDERED, "bwd_reordered", "RFC 4737 3.3", NO_DIR,
                 "overtaken on the way back, by fact"),
    DETAIL_COUNT(METRIC_REORDER_EXTENT, "reorder_extent", "RFC 4737 4.2.1",
                 "nothing was reordered", "largest extent, round trip"),
    DETAIL_COUNT(METRIC_FWD_REORDER_EXTENT, "fwd_reorder_extent",
                 "RFC 4737 4.2.1", "nothing was reordered",
                 "largest extent, way to the reflector"),
    DETAIL_COUNT(METRIC_BWD_REORDER_EXTENT, "bwd_reorder_extent",
                 "RFC 4737 4.2.1", "nothing was reordered",
                 "largest extent, way back"),
    DETAIL_COUNT(METRIC_FWD_DUPLICATES, "fwd_duplicates", "RFC 5560", NO_DIR,
                 "copies made on the way to the reflector, by its count"),
    DETAIL_COUNT(METRIC_BWD_DUPLICATES, "bwd_duplicates", "RFC 5560", NO_DIR,
                 "copies made on the way back: one reply, seen again"),
    DETAIL_COUNT(METRIC_ALTERED, "altered", "-", "never",
                 "replies whose T1 is not the one sent: not measured"),
    DETAIL_COUNT(METRIC_LOSS_RUNS_1, "loss_runs_1", "RFC 3357 5", "never",
                 "losses that stand alone"),
    DETAIL_COUNT(METRIC_LOSS_RUNS_2, "loss_runs_2", "RFC 3357 5", "never",
                 "runs of two lost packets"),
    DETAIL_COUNT(METRIC_LOSS_RUNS_LONG, "loss_runs_long", "RFC 3357 5", "never",
                 "runs of three and more that began here (see loss_run)"),
    DETAIL_SMALL(METRIC_FWD_DSCP, "fwd_dscp", "", QUIET_ALWAYS, "RFC 8972 4.4",
                 "the reflector does not tell",
                 "DSCP as received at the destination (last)"),
    DETAIL_SMALL(METRIC_BWD_DSCP, "bwd_dscp", "", QUIET_ALWAYS, "RFC 2474",
                 "nothing was received",
                 "DSCP of the reply as received (last)"),
    DETAIL_SMALL(METRIC_FWD_ECN, "fwd_ecn", "", 0, "RFC 8972 4.4",
                 "the reflector does not tell",
                 "ECN as received at the destination, all bits seen"),
    DETAIL_SMALL(METRIC_BWD_ECN, "bwd_ecn", "", 0, "RFC 3168",
                 "nothing was received", "ECN of the replies, all bits seen"),
    DETAIL_COUNT(METRIC_FWD_REMARKED, "fwd_remarked", "RFC 8972 4.4",
                 "the reflector does not tell",
                 "arrived at the destination with another DSCP than sent"),
    DETAIL_COUNT(METRIC_BWD_REMARKED, "bwd_remarked", "RFC 8972 4.4",
                 "the reflector does not tell what it sent",
                 "replies that came with another DSCP than they were sent"),
    DETAIL_COUNT(METRIC_FWD_HOPS_CHANGED, "fwd_hops_changed", "-", "never",
                 "times the number of hops changed, source to destination"),
    DETAIL_COUNT(METRIC_BWD_HOPS_CHANGED, "bwd_hops_changed", "-", "never",
                 "times the number of hops changed, destination to source"),
    DETAIL_DUR(METRIC_SEND_LATE_P50, "send_late_p50", "RFC 2330 10.2",
               "nothing was sent, or the class keeps no details",
               "how late packets left, by their schedule: median"),
    DETAIL_DUR(METRIC_SEND_LATE_P99, "send_late_p99", "RFC 2330 10.2",
               "fewer than 50 sent, or no details", "99th percentile"),
    DETAIL_DUR(METRIC_SEND_LATE_MAX, "send_late_max", "RFC 2330 10.2",
               "nothing was sent, or the class keeps no details", "maximum"),
    DETAIL_SMALL(METRIC_STAMPS, "stamps", "", QUIET_ALWAYS, "RFC 2330 10.2",
                 "nothing was received",
                 "where the stamps came from, see twmesh.result_stamps()"),
    DETAIL_COUNT(METRIC_TX_STAMPS_MISSING, "tx_stamps_missing", "-", "never",
                 "received, but T1 is not the kernel's"),
    DETAIL_COUNT(METRIC_RX_STAMPS_MISSING, "rx_stamps_missing", "-", "never",
                 "received, but T4 is not the kernel's"),
    DETAIL_COUNT(METRIC_T3_UNCORRECTED, "t3_uncorrected", "RFC 8972 4.7",
                 "the reflector has no Follow-Up Telemetry",
                 "samples whose true T3 was never told"),
    DETAIL_COUNT(METRIC_LATE_DST_HOST, "late_dst_host", "-", "never",
                 "late only because the reflector held them"),
    DETAIL_MILLI(METRIC_FWD_R, "fwd_r", "ITU-T G.107", NO_VOICE,
                 "R, source to destination"),
    DETAIL_MILLI(METRIC_BWD_R, "bwd_r", "ITU-T G.107", NO_VOICE,
                 "R, destination to source"),
    DETAIL_MILLI(METRIC_FWD_MOS, "fwd_mos", "ITU-T G.107", NO_VOICE,
                 "voice quality, source to destination"),
    DETAIL_MILLI(METRIC_BWD_MOS, "bwd_mos", "ITU-T G.107", NO_VOICE,
                 "voice quality, destination to source"),
};
static_assert(sizeof(table) / sizeof(table[0]) == METRIC_N, "one row each");

const struct metric_info *
metric_info(unsigned id)
{
	return id > METRIC_NONE && id < METRIC_N && table[id].name ? &table[id]
	                                                           : NULL;
}

const struct metric_info *
metric_by_name(const char *name)
{
	for (unsigned i = 1; i < METRIC_N; i++) {
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

double
metric_shown(const struct metric_info *m, int64_t v)
{
	switch (m->type) {
	case METRIC_DURATION:
		return (double)v / 1e6;
	case METRIC_MILLI:
		return (double)v / 1e3;
	case METRIC_COUNT:
	case METRIC_SMALL:
		break;
	}
	return (double)v;
}

bool
metric_is_loud(const struct metric_info *m, int64_t v)
{
	return v != METRIC_NULL && m->quiet != QUIET_ALWAYS && v != m->quiet;
}

const struct matrix_metric_info matrix_metrics[] = {
    {"state", "", "state", 0, "ok, warn, crit, stale, never, maintenance"},
    {"loss_pct", "%", "loss", 2,
     "packets lost on the way src to dst; unknown while the direction of some "
     "is undetermined"},
    {"loss_max_pct", "%", "loss, upper bound", 2,
     "the same with every undetermined packet counted against the direction"},
    {"delay_ms", "ms", "one-way delay", 3,
     "mean one-way delay src to dst; holds the clock offset of the two ends"},
    {"jitter_ms", "ms", "jitter", 3, "mean |IPDV| src to dst"},
    {"rtt_ms", "ms", "RTT", 3, "mean round trip, reflector time removed"},
    {"rtt_p99_ms", "ms", "RTT p99", 3, "99th percentile of the round trip"},
    {"hops", "", "hops", 0, "routers on the way src to dst"},
};
const size_t matrix_metrics_n =
    sizeof(matrix_metrics) / sizeof(matrix_metrics[0]);

const struct matrix_metric_info *
matrix_metric_by_name(const char *name)
{
	for (size_t i = 0; i < matrix_metrics_n; i++) {
		if (strcmp(matrix_metrics[i].name, name) == 0)
			return &matrix_metrics[i];
	}
	return NULL;
}
