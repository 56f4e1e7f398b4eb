/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/metric.h"

#include <assert.h>
#include <string.h>

#define NO_RX "nothing was received"
#define NO_PAIR "no two consecutive packets both arrived"
#define NO_DIR "the reflector keeps no state, or never answered"

#define COUNT(id, name, rfc, null, help) \
	[id] = {id, name, name, "packets", METRIC_COUNT, rfc, null, help}
#define DUR(id, name, rfc, null, help) \
	[id] = {id, name, name "_ms", "ms", METRIC_DURATION, rfc, null, help}

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
                         METRIC_SMALL, "RFC 5357 4.2.1",
                         "nothing was received, or the sender TTL is unknown",
                         "255 less the TTL seen by the reflector (last)"},
    [METRIC_BWD_HOPS] = {METRIC_BWD_HOPS, "bwd_hops", "bwd_hops", "hops",
                         METRIC_SMALL, "RFC 5357 4.2.1", NO_RX,
                         "255 less the TTL of the reply (last)"},
    DUR(METRIC_CLOCK_ERR, "clock_err", "RFC 4656 4.1.2",
        "either clock is unsynchronised",
        "bound of the one-way error: both Error Estimates added (largest)"),
    COUNT(METRIC_LOCAL_DROPS, "local_drops", "-", "never",
          "packets our own socket dropped (SO_RXQ_OVFL) in this interval"),
    [METRIC_FLAGS] = {METRIC_FLAGS, "flags", "flags", "", METRIC_SMALL, "-",
                      "never", "bits, see twmesh.result_flags()"},
    DUR(METRIC_SPAN, "span", "-", "never", "length of time the result covers"),
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
	return m->type == METRIC_DURATION ? (double)v / 1e6 : (double)v;
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
