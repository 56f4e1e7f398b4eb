/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/interval.h"
#include "lib/stats/hist.h"
#include "lib/stats/percentile.h"

#include <stdlib.h>
#include <string.h>

void
interval_reset(struct interval *iv)
{
	int64_t *const sample = iv->sample;
	const size_t cap = iv->sample_cap;

	memset(iv, 0, sizeof(*iv));
	iv->sample = sample;
	iv->sample_cap = cap;
	iv->fwd_hops = iv->bwd_hops = -1;
	iv->clock_err_ns = NS_UNKNOWN;
}

void
interval_reserve(struct interval *iv, size_t n)
{
	size_t cap = iv->sample_cap ? iv->sample_cap : 16;
	int64_t *bigger;

	if (n <= iv->sample_cap)
		return;
	while (cap < n && cap < INTERVAL_SAMPLES_MAX)
		cap *= 2;
	if (cap <= iv->sample_cap)
		return;
	bigger = realloc(iv->sample, cap * sizeof(*bigger));
	if (!bigger)
		return;
	iv->sample = bigger;
	iv->sample_cap = cap;
}

void
interval_add_rtt(struct interval *iv, int64_t rtt_ns)
{
	delay_acc_add(&iv->rtt, rtt_ns);
	if (iv->sample_n < iv->sample_cap)
		iv->sample[iv->sample_n++] = rtt_ns;
	else
		iv->samples_missing = true;
}

bool
interval_is_empty(const struct interval *iv)
{
	return !iv->came_up && !iv->late && !iv->duplicates && !iv->local_drops;
}

static void
fill_counts(const struct interval *iv, int64_t *v)
{
	v[METRIC_SCHEDULED] = iv->scheduled;
	v[METRIC_SENT] = iv->sent;
	v[METRIC_SEND_FAILED] = iv->send_failed;
	v[METRIC_RECEIVED] = iv->received;
	v[METRIC_LOST] = iv->lost;
	v[METRIC_LOST_FWD] = iv->lost_fwd;
	v[METRIC_LOST_BWD] = iv->lost_bwd;
	v[METRIC_LOST_UNDET] = (int64_t)iv->lost - iv->lost_fwd - iv->lost_bwd;
	v[METRIC_LATE] = iv->late;
	v[METRIC_DUPLICATES] = iv->duplicates;
	v[METRIC_LOCAL_DROPS] = iv->local_drops;
}

static void
fill_delays(const struct interval *iv, int64_t *v)
{
	v[METRIC_RTT_MIN] = delay_acc_min_ns(&iv->rtt);
	v[METRIC_RTT_MEAN] = delay_acc_mean_ns(&iv->rtt);
	v[METRIC_RTT_MAX] = delay_acc_max_ns(&iv->rtt);
	v[METRIC_FWD_MIN] = delay_acc_min_ns(&iv->fwd);
	v[METRIC_FWD_MEAN] = delay_acc_mean_ns(&iv->fwd);
	v[METRIC_FWD_MAX] = delay_acc_max_ns(&iv->fwd);
	v[METRIC_BWD_MIN] = delay_acc_min_ns(&iv->bwd);
	v[METRIC_BWD_MEAN] = delay_acc_mean_ns(&iv->bwd);
	v[METRIC_BWD_MAX] = delay_acc_max_ns(&iv->bwd);
	v[METRIC_FWD_IPDV] = delay_acc_mean_ns(&iv->fwd_ipdv);
	v[METRIC_BWD_IPDV] = delay_acc_mean_ns(&iv->bwd_ipdv);
	if (iv->fwd_jitter.seen)
		v[METRIC_FWD_JITTER] = jitter_round_ns(iv->fwd_jitter.j_ns);
	if (iv->bwd_jitter.seen)
		v[METRIC_BWD_JITTER] = jitter_round_ns(iv->bwd_jitter.j_ns);
}

/* Percentiles and histogram, or neither when samples are missing. */
static void
fill_distribution(struct interval *iv, struct result *out)
{
	const size_t n = iv->sample_n;
	struct hist h;

	if (n == 0 || iv->samples_missing)
		return;
	percentile_sort(iv->sample, n);
	out->v[METRIC_RTT_P50] = percentile_sorted(iv->sample, n, 50);
	if (n >= PERCENTILE_P99_MIN_N)
		out->v[METRIC_RTT_P99] = percentile_sorted(iv->sample, n, 99);
	hist_build(&h, iv->sample, n);
	out->hist_len =
	    (uint16_t)hist_encode_fit(&h, out->rtt_hist, RESULT_HIST_MAX);
}

void
interval_result(struct interval *iv, int64_t nominal_ns, struct result *out)
{
	int64_t *v = out->v;

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < METRIC_N; i++)
		v[i] = METRIC_NULL;
	out->epoch = iv->epoch;
	out->start = iv->start;
	out->interval_ns = nominal_ns;
	fill_counts(iv, v);
	fill_delays(iv, v);
	fill_distribution(iv, out);
	if (iv->fwd_hops >= 0)
		v[METRIC_FWD_HOPS] = iv->fwd_hops;
	if (iv->bwd_hops >= 0)
		v[METRIC_BWD_HOPS] = iv->bwd_hops;
	if (!iv->unsync_src && !iv->unsync_dst)
		v[METRIC_CLOCK_ERR] = iv->clock_err_ns;
	if (iv->received && !iv->unsync_src)
		iv->flags |= RESULT_SYNC_SRC;
	if (iv->received && !iv->unsync_dst)
		iv->flags |= RESULT_SYNC_DST;
	v[METRIC_SPAN] = mono_diff_ns(iv->to, iv->from);
	if (v[METRIC_SPAN] < nominal_ns)
		iv->flags |= RESULT_PARTIAL;
	v[METRIC_FLAGS] = iv->flags;
}
