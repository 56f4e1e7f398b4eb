/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/interval.h"

#include "lib/stats/emodel.h"
#include "lib/stats/flowset.h"
#include "lib/stats/hist.h"
#include "lib/stats/percentile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A node whose sends leave this late (p99) is too busy to be trusted with
 * jitter; it does not make loss. */
#define LATE_SEND_NS (10 * NS_PER_MS)

static void
keep_buffers(struct interval *fresh, const struct interval *old)
{
	fresh->rtts = old->rtts;
	fresh->lateness = old->lateness;
	fresh->fwd.delays = old->fwd.delays;
	fresh->fwd.ipdvs = old->fwd.ipdvs;
	fresh->bwd.delays = old->bwd.delays;
	fresh->bwd.ipdvs = old->bwd.ipdvs;
	fresh->flow = old->flow;
}

static void
clear_buffers(struct interval *iv, unsigned flows)
{
	samples_clear(&iv->rtts);
	samples_clear(&iv->lateness);
	samples_clear(&iv->fwd.delays);
	samples_clear(&iv->fwd.ipdvs);
	samples_clear(&iv->bwd.delays);
	samples_clear(&iv->bwd.ipdvs);
	if (flows > 1 && !iv->flow)
		iv->flow = calloc(flows, sizeof(*iv->flow));
	else if (iv->flow)
		memset(iv->flow, 0, flows * sizeof(*iv->flow));
}

void
interval_reset(struct interval *iv, unsigned flows)
{
	struct interval fresh = {.next = NULL};

	keep_buffers(&fresh, iv);
	*iv = fresh;
	clear_buffers(iv, flows);
	iv->fwd.hops = iv->bwd.hops = iv->fwd.dscp = iv->bwd.dscp = -1;
	iv->clock_err_ns = NS_UNKNOWN;
}

void
interval_free(struct interval *iv)
{
	if (!iv)
		return;
	samples_release(&iv->rtts);
	samples_release(&iv->lateness);
	samples_release(&iv->fwd.delays);
	samples_release(&iv->fwd.ipdvs);
	samples_release(&iv->bwd.delays);
	samples_release(&iv->bwd.ipdvs);
	free(iv->flow);
	free(iv);
}

void
interval_reserve(struct interval *iv, size_t n, bool detail)
{
	samples_reserve(&iv->rtts, n);
	if (!detail)
		return;
	samples_reserve(&iv->lateness, n);
	samples_reserve(&iv->fwd.delays, n);
	samples_reserve(&iv->fwd.ipdvs, n);
	samples_reserve(&iv->bwd.delays, n);
	samples_reserve(&iv->bwd.ipdvs, n);
}

bool
interval_is_empty(const struct interval *iv)
{
	return !iv->came_up && !iv->late && !iv->duplicates &&
	       !iv->local_drops && !iv->fwd.duplicates;
}

/* --- the result ----------------------------------------------------------- */

static void
fill_counts(const struct interval *iv, const struct tally *lost, int64_t *v)
{
	v[METRIC_SCHEDULED] = iv->scheduled;
	v[METRIC_SENT] = iv->sent;
	v[METRIC_SEND_FAILED] = iv->send_failed;
	v[METRIC_RECEIVED] = iv->received;
	v[METRIC_LOST] = lost->lost;
	v[METRIC_LOST_FWD] = lost->fwd;
	v[METRIC_LOST_BWD] = lost->bwd;
	v[METRIC_LOST_UNDET] = tally_undet(lost);
	v[METRIC_LATE] = iv->late;
	v[METRIC_DUPLICATES] = iv->duplicates;
	v[METRIC_LOCAL_DROPS] = iv->local_drops;
	v[METRIC_ALTERED] = iv->altered;
	v[METRIC_RTT_UNKNOWN] = iv->rtt_unknown;
	v[METRIC_LOSS_RUNS_1] = iv->runs_1;
	v[METRIC_LOSS_RUNS_2] = iv->runs_2;
	v[METRIC_LOSS_RUNS_LONG] = iv->runs_long;
	v[METRIC_REORDERED] = iv->reordered;
	if (iv->reordered)
		v[METRIC_REORDER_EXTENT] = iv->extent;
	v[METRIC_LATE_DST_HOST] = iv->late_dst_host;
	v[METRIC_TX_STAMPS_MISSING] = iv->t1_user;
	v[METRIC_RX_STAMPS_MISSING] = iv->t4_user;
	if (iv->tells_t3)
		v[METRIC_T3_UNCORRECTED] = iv->t3_uncorrected;
	if (iv->received)
		v[METRIC_STAMPS] = iv->stamps;
}

static void
fill_delays(const struct interval *iv, int64_t *v)
{
	v[METRIC_RTT_MIN] = delay_acc_min_ns(&iv->rtt);
	v[METRIC_RTT_MEAN] = delay_acc_mean_ns(&iv->rtt);
	v[METRIC_RTT_MAX] = delay_acc_max_ns(&iv->rtt);
	v[METRIC_RAW_RTT_MEAN] = delay_acc_mean_ns(&iv->raw_rtt);
	v[METRIC_FWD_MIN] = delay_acc_min_ns(&iv->fwd.delay);
	v[METRIC_FWD_MEAN] = delay_acc_mean_ns(&iv->fwd.delay);
	v[METRIC_FWD_MAX] = delay_acc_max_ns(&iv->fwd.delay);
	v[METRIC_BWD_MIN] = delay_acc_min_ns(&iv->bwd.delay);
	v[METRIC_BWD_MEAN] = delay_acc_mean_ns(&iv->bwd.delay);
	v[METRIC_BWD_MAX] = delay_acc_max_ns(&iv->bwd.delay);
	v[METRIC_FWD_IPDV] = delay_acc_mean_ns(&iv->fwd.ipdv);
	v[METRIC_BWD_IPDV] = delay_acc_mean_ns(&iv->bwd.ipdv);
	if (iv->fwd.jitter_seen)
		v[METRIC_FWD_JITTER] = jitter_round_ns(iv->fwd.jitter_ns);
	if (iv->bwd.jitter_seen)
		v[METRIC_BWD_JITTER] = jitter_round_ns(iv->bwd.jitter_ns);
}

/* Ids of the metrics that each direction has. */
struct way_ids {
	enum metric hops, p50, p99, ipdv_p99, reordered, extent, duplicates,
	    dscp, ecn, remarked, hops_changed;
};
static const struct way_ids fwd_ids = {
    METRIC_FWD_HOPS,       METRIC_FWD_P50,         METRIC_FWD_P99,
    METRIC_FWD_IPDV_P99,   METRIC_FWD_REORDERED,   METRIC_FWD_REORDER_EXTENT,
    METRIC_FWD_DUPLICATES, METRIC_FWD_DSCP,        METRIC_FWD_ECN,
    METRIC_FWD_REMARKED,   METRIC_FWD_HOPS_CHANGED};
static const struct way_ids bwd_ids = {
    METRIC_BWD_HOPS,       METRIC_BWD_P50,         METRIC_BWD_P99,
    METRIC_BWD_IPDV_P99,   METRIC_BWD_REORDERED,   METRIC_BWD_REORDER_EXTENT,
    METRIC_BWD_DUPLICATES, METRIC_BWD_DSCP,        METRIC_BWD_ECN,
    METRIC_BWD_REMARKED,   METRIC_BWD_HOPS_CHANGED};

static void
fill_way(const struct interval *iv, const struct interval_way *w,
         const struct way_ids *id, int64_t *v)
{
	if (w->hops >= 0)
		v[id->hops] = w->hops;
	v[id->hops_changed] = w->hops_changed;
	if (w->dscp >= 0) {
		v[id->dscp] = w->dscp;
		v[id->ecn] = w->ecn;
	}
	if (iv->tells_cos)
		v[id->remarked] = w->remarked;
	if (!iv->counts)
		return;
	v[id->duplicates] = w->duplicates;
	v[id->reordered] = w->reordered;
	if (w->reordered)
		v[id->extent] = w->extent;
}

/* Percentiles of sorted samples, NULL where there are too few (rule 12). */
static void
fill_percentiles(const struct samples *s, int64_t *v, enum metric p50,
                 enum metric p99)
{
	if (p50 != METRIC_NONE)
		v[p50] = percentile_sorted(s->v, s->n, 50);
	if (s->n >= PERCENTILE_P99_MIN_N)
		v[p99] = percentile_sorted(s->v, s->n, 99);
}

static uint16_t
histogram(const struct samples *s, uint8_t *out, size_t size)
{
	struct hist h;

	hist_build(&h, s->v, s->n);
	return (uint16_t)hist_encode_fit(&h, out, size);
}

/* Percentiles and histogram, or neither when samples are missing. */
static void
fill_rtt(struct interval *iv, struct result *out)
{
	if (!samples_sort(&iv->rtts))
		return;
	fill_percentiles(&iv->rtts, out->v, METRIC_RTT_P50, METRIC_RTT_P99);
	if (iv->rtts.n >= PERCENTILE_P99_9_MIN_N)
		out->v[METRIC_RTT_P999] =
		    percentile_sorted(iv->rtts.v, iv->rtts.n, 99.9);
	out->hist_len = histogram(&iv->rtts, out->rtt_hist, RESULT_HIST_MAX);
}

static uint16_t
fill_way_detail(struct interval_way *w, const struct way_ids *id, int64_t *v,
                uint8_t *hist)
{
	uint16_t len = 0;

	if (samples_sort(&w->delays)) {
		fill_percentiles(&w->delays, v, id->p50, id->p99);
		len = histogram(&w->delays, hist, RESULT_WAY_HIST_MAX);
	}
	if (samples_sort(&w->ipdvs))
		fill_percentiles(&w->ipdvs, v, METRIC_NONE, id->ipdv_p99);
	return len;
}

static void
fill_lateness(struct interval *iv, int64_t *v)
{
	if (!samples_sort(&iv->lateness))
		return;
	fill_percentiles(&iv->lateness, v, METRIC_SEND_LATE_P50,
	                 METRIC_SEND_LATE_P99);
	v[METRIC_SEND_LATE_MAX] = iv->lateness.v[iv->lateness.n - 1];
	if (v[METRIC_SEND_LATE_P99] > LATE_SEND_NS)
		iv->flags |= RESULT_HOST_LATE;
}

static void
fill_flows(const struct interval *iv, unsigned flows, struct result *out)
{
	struct flow_result f[FLOWS_MAX_N];

	if (!iv->flow || flows > FLOWS_MAX_N)
		return;
	for (unsigned i = 0; i < flows; i++) {
		const struct interval_flow *x = &iv->flow[i];
		const struct tally *t = &iv->book->flow[i].t;

		f[i] = (struct flow_result){
		    .sent = x->sent,
		    .received = x->received,
		    .lost_fwd = t->fwd,
		    .lost_bwd = t->bwd,
		    .lost_undet = tally_undet(t),
		    .rtt_min_ns = delay_acc_min_ns(&x->rtt),
		    .rtt_mean_ns = delay_acc_mean_ns(&x->rtt),
		    .fwd_mean_ns = delay_acc_mean_ns(&x->fwd),
		    .bwd_mean_ns = delay_acc_mean_ns(&x->bwd),
		};
	}
	out->flows_len =
	    (uint16_t)flowset_encode(f, flows, out->flows, RESULT_FLOWS_MAX);
}

/* --- voice (rule 17) -------------------------------------------------------
 */

/* Packets that came too late for the jitter buffer: it plays out at the
 * shortest delay of the interval plus its own length. */
static uint32_t
too_late(const struct samples *s, int64_t buffer_ns)
{
	uint32_t n = 0;

	for (size_t i = s->n; i-- > 0 && s->v[i] - s->v[0] > buffer_ns;)
		n++;
	return n;
}

/* `lost` of `of` packets in this direction. One-way delays hold the clocks'
 * offset: unless both ends are synchronised, half the round trip stands in. */
static void
fill_voice(const struct interval *iv, const struct interval_conf *c,
           struct interval_way *w, uint32_t lost, uint32_t of, int64_t *r,
           int64_t *mos)
{
	const bool trusted = !iv->unsync_src && !iv->unsync_dst;
	const uint32_t runs = iv->runs_1 + iv->runs_2 + iv->runs_long;
	const int64_t way_ns = trusted ? delay_acc_mean_ns(&w->delay)
	                               : delay_acc_mean_ns(&iv->rtt) / 2;
	double loss, burst = 1, delay_ms;
	struct emodel e;

	if (of == 0 || iv->rtt.n == 0 || w->delay.n == 0 || w->delays.missing)
		return;
	lost += too_late(&w->delays, c->jitter_buffer_ns);
	loss = (double)(lost < of ? lost : of) / of;
	if (runs && book_sum(iv->book).lost)
		burst = (double)book_sum(iv->book).lost / runs * (1 - loss);
	delay_ms = (double)(way_ns > 0 ? way_ns : 0) / 1e6 +
	           (double)c->jitter_buffer_ns / 1e6 +
	           emodel_codec_delay_ms(c->codec);
	e = emodel_rate(c->codec, delay_ms, 100 * loss, burst);
	*r = llround(e.r * 1000);
	*mos = llround(e.mos * 1000);
}

static void
fill_both_voices(struct interval *iv, const struct interval_conf *c,
                 const struct tally *lost, int64_t *v)
{
	if (c->codec == VOICE_NONE || tally_undet(lost) > 0)
		return;
	fill_voice(iv, c, &iv->fwd, lost->fwd, iv->sent, &v[METRIC_FWD_R],
	           &v[METRIC_FWD_MOS]);
	fill_voice(iv, c, &iv->bwd, lost->bwd, iv->sent - lost->fwd,
	           &v[METRIC_BWD_R], &v[METRIC_BWD_MOS]);
}

static void
fill_flags(struct interval *iv, int64_t nominal_ns, int64_t *v)
{
	if (iv->received && !iv->unsync_src)
		iv->flags |= RESULT_SYNC_SRC;
	if (iv->received && !iv->unsync_dst)
		iv->flags |= RESULT_SYNC_DST;
	if (iv->book->restart)
		iv->flags |= RESULT_REFLECTOR_RESTART;
	if (iv->fwd.remarked || iv->bwd.remarked)
		iv->flags |= RESULT_REMARKED;
	if (iv->fwd.hops_changed || iv->bwd.hops_changed)
		iv->flags |= RESULT_HOPS_CHANGED;
	if (iv->late_dst_host)
		iv->flags |= RESULT_DST_HOST_LIMITED;
	v[METRIC_SPAN] = mono_diff_ns(iv->to, iv->from);
	if (v[METRIC_SPAN] < nominal_ns)
		iv->flags |= RESULT_PARTIAL;
	v[METRIC_FLAGS] = iv->flags;
}

void
interval_result(struct interval *iv, const struct interval_conf *c,
                struct result *out)
{
	const struct tally lost = book_sum(iv->book);
	int64_t *v = out->v;

	/* the histograms' octets behind their lengths need no clearing */
	out->dst_id = out->class_id = 0;
	out->hist_len = out->fwd_hist_len = out->bwd_hist_len = 0;
	out->flows_len = 0;
	for (unsigned i = 0; i < METRIC_N; i++)
		v[i] = METRIC_NULL;
	out->epoch = iv->epoch;
	out->start = iv->start;
	out->interval_ns = c->nominal_ns;
	fill_counts(iv, &lost, v);
	fill_delays(iv, v);
	fill_rtt(iv, out);
	fill_way(iv, &iv->fwd, &fwd_ids, v);
	fill_way(iv, &iv->bwd, &bwd_ids, v);
	if (c->detail) {
		out->fwd_hist_len =
		    fill_way_detail(&iv->fwd, &fwd_ids, v, out->fwd_hist);
		out->bwd_hist_len =
		    fill_way_detail(&iv->bwd, &bwd_ids, v, out->bwd_hist);
		fill_lateness(iv, v);
		fill_both_voices(iv, c, &lost, v);
	}
	fill_flows(iv, c->flows, out);
	if (!iv->unsync_src && !iv->unsync_dst)
		v[METRIC_CLOCK_ERR] = iv->clock_err_ns;
	fill_flags(iv, c->nominal_ns, v);
}
