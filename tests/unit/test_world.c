/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random histories against the truth per packet: counts, direction, copies,
 * order, delays. (Loss runs: test_runs.c.)
 */
#include "lib/stats/hist.h"
#include "lib/stats/percentile.h"
#include "tests/unit/world.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed0;

#define ROUNDS 16

/* --- counts ------------------------------------------------------------- */

struct counts {
	int64_t sent, received, lost, fwd, bwd;
};

/* Truth of the packets scheduled in [from, to). `either`: reached it too late
 * for anyone to tell, or after the last that was answered. */
static struct counts
truth_of(const struct world *w, int64_t from, int64_t to, int64_t *either)
{
	struct counts t = {0};

	for (uint32_t i = 0; i < w->c.packets; i++) {
		const struct world_pkt *p = &w->pkt[i];

		if (p->skipped || !p->counted || p->sched_ns < from ||
		    p->sched_ns >= to)
			continue;
		t.sent++;
		if (p->received)
			t.received++;
		else if (p->reached_ns < 0)
			t.fwd++;
		else if (p->reached_ns - p->t1_ns > 1500 * MS ||
		         i + 12 >= w->c.packets)
			++*either;
		else
			t.bwd++;
	}
	t.lost = t.sent - t.received;
	return t;
}

static void
check_counts_against_truth(const struct world *w)
{
	struct counts sum = {0};

	for (size_t i = 0; i < w->results; i++) {
		const struct result *r = &w->result[i];
		const int64_t from = r->start.ns - WALL0;
		int64_t either = 0;
		const struct counts t =
		    truth_of(w, from, from + w->c.p.interval_ns, &either);

		check_counts(r);
		ck_assert_int_eq(r->v[METRIC_SENT], t.sent);
		ck_assert_int_eq(r->v[METRIC_RECEIVED], t.received);
		ck_assert_int_eq(r->v[METRIC_LOST], t.lost);
		ck_assert_int_le(r->v[METRIC_LOST_FWD], t.fwd + either);
		ck_assert_int_le(r->v[METRIC_LOST_BWD], t.bwd + either);
		sum.sent += t.sent;
	}
	ck_assert_int_eq(sum.sent,
	                 truth_of(w, 0, INT64_MAX, &(int64_t){0}).sent);
}

/* Losses at the two ends: before the first packet that reached it and after
 * the last reply nothing can be known. */
static int64_t
lost_at_the_ends(const struct world *w, uint32_t n)
{
	int64_t lost = 0;

	for (uint32_t i = 0; i < w->c.packets; i++) {
		const struct world_pkt *p = &w->pkt[i];

		lost += (i < n || i + n >= w->c.packets) && p->counted &&
		        !p->skipped && !p->received;
	}
	return lost;
}

/* --- copies --------------------------------------------------------------- */

static void
check_copies(const struct world *w)
{
	static bool pkt_seen[WORLD_PKTS];
	static bool reply_seen[WORLD_FLOWS][WORLD_REPLIES];
	int64_t arrivals = 0, packets = 0, replies = 0, made = 0;

	memset(pkt_seen, 0, sizeof(pkt_seen));
	memset(reply_seen, 0, sizeof(reply_seen));
	for (size_t k = 0; k < w->replies; k++) {
		const struct world_reply *y = &w->reply[k];
		bool *reply =
		    &reply_seen[w->pkt[y->pkt].flow][y->r.reflector_seq];

		arrivals++;
		packets += !pkt_seen[y->pkt];
		replies += !*reply;
		pkt_seen[y->pkt] = *reply = true;
	}
	/* the reflector's count, as the replies told it */
	for (unsigned f = 0; f < WORLD_FLOWS; f++) {
		uint32_t most = 0;

		for (size_t k = 0; k < w->replies; k++) {
			if (w->pkt[w->reply[k].pkt].flow == f &&
			    w->reply[k].r.bitmap_duplicates > most)
				most = w->reply[k].r.bitmap_duplicates;
		}
		made += most;
	}
	ck_assert_int_eq(world_sum(w, METRIC_DUPLICATES), arrivals - packets);
	ck_assert_int_eq(world_sum(w, METRIC_BWD_DUPLICATES),
	                 arrivals - replies);
	ck_assert_int_eq(world_sum(w, METRIC_FWD_DUPLICATES), made);
}

/* --- order -----------------------------------------------------------------
 */

/* How far back the earliest one with a larger number is in the ring that
 * reorder.h has; 0: in order. */
static int64_t
extent_of(const uint32_t *s, size_t n, uint32_t v)
{
	for (size_t j = 0; j < n; j++) {
		if ((int32_t)(s[j] - v) > 0)
			return (int64_t)(n - j);
	}
	return 0;
}

struct order {
	int64_t n, extent;
};

static void
order_add(struct order *o, int64_t extent)
{
	o->n += extent > 0;
	if (extent > o->extent)
		o->extent = extent;
}

static void
check_order(const struct world *w)
{
	struct order round = {0, 0}, back = {0, 0}, forth = {0, 0};
	static uint32_t by_seq[WORLD_REPLIES], by_rseq[WORLD_REPLIES];

	for (unsigned f = 0; f < WORLD_FLOWS; f++) {
		size_t n = 0, m = 0;

		for (size_t k = 0; k < w->replies; k++) {
			const struct world_reply *y = &w->reply[k];
			const struct world_pkt *p = &w->pkt[y->pkt];
			bool seen = false;

			for (size_t j = m; j-- > 0 && !seen;)
				seen = by_rseq[j] == y->r.reflector_seq;
			if (p->flow != f || seen)
				continue;
			if ((size_t)p->first == k) {
				order_add(&round, extent_of(by_seq, n, p->seq));
				order_add(&back, extent_of(by_rseq, m,
				                           y->r.reflector_seq));
				by_seq[n++] = p->seq;
			}
			by_rseq[m++] = y->r.reflector_seq;
		}
	}
	for (uint32_t i = 0; i < w->c.packets; i++) {
		if (w->pkt[i].received && w->pkt[i].of_first_copy >= 0)
			order_add(&forth, w->pkt[i].overtaken);
	}
	ck_assert_int_eq(world_sum(w, METRIC_REORDERED), round.n);
	ck_assert_int_eq(world_sum(w, METRIC_BWD_REORDERED), back.n);
	ck_assert_int_eq(world_sum(w, METRIC_FWD_REORDERED), forth.n);
	for (size_t i = 0; i < w->results; i++) {
		const int64_t *v = w->result[i].v;

		ck_assert_int_le(v[METRIC_REORDER_EXTENT], round.extent);
		ck_assert_int_le(v[METRIC_BWD_REORDER_EXTENT], back.extent);
		ck_assert_int_le(v[METRIC_FWD_REORDER_EXTENT], forth.extent);
	}
}

/* --- delays ----------------------------------------------------------------
 */

static int64_t rtts[WORLD_PKTS], fwds[WORLD_PKTS], bwds[WORLD_PKTS];

static int
cmp64(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
check_delays_of(const struct result *r, enum metric min, int64_t *d, size_t n)
{
	double sum = 0;

	if (n == 0) {
		for (unsigned k = 0; k < 3; k++)
			ck_assert_int_eq(r->v[min + k], METRIC_NULL);
		return;
	}
	qsort(d, n, sizeof(*d), cmp64);
	for (size_t i = 0; i < n; i++)
		sum += (double)d[i];
	ck_assert_int_eq(r->v[min], d[0]);
	ck_assert_int_le(llabs(r->v[min + 1] - llround(sum / (double)n)), 1);
	ck_assert_int_eq(r->v[min + 2], d[n - 1]);
}

static void
check_percentile(const struct result *r, enum metric m, const int64_t *d,
                 size_t n, double pct, size_t at_least)
{
	ck_assert_int_eq(r->v[m], n >= at_least && n > 0
	                              ? percentile_sorted(d, n, pct)
	                              : METRIC_NULL);
}

static void
check_hist(const uint8_t *octets, size_t len, size_t size, const int64_t *d,
           size_t n)
{
	static struct hist h;
	uint8_t want[RESULT_HIST_MAX];

	ck_assert_int_eq(len > 0, n > 0);
	if (n == 0)
		return;
	hist_build(&h, d, n);
	ck_assert_uint_eq(hist_encode_fit(&h, want, size), len);
	ck_assert_mem_eq(octets, want, len);
}

/* Mean |IPDV| of the pairs whose later packet is in [from, to). */
static int64_t
ipdv_of(const struct world *w, int64_t from, int64_t to, bool fwd)
{
	const struct world_pkt *last[WORLD_FLOWS] = {NULL};
	double sum = 0;
	size_t n = 0;

	for (uint32_t i = 0; i < w->c.packets; i++) {
		const struct world_pkt *p = &w->pkt[i], *q = last[p->flow];

		if (p->skipped)
			continue;
		last[p->flow] = p;
		if (!q || !p->received || !q->received || !p->counted ||
		    !q->counted || p->sched_ns < from || p->sched_ns >= to)
			continue;
		sum += fabs(fwd ? (double)(p->fwd_ns - q->fwd_ns)
		                : (double)(p->bwd_ns - q->bwd_ns));
		n++;
	}
	return n ? llround(sum / (double)n) : METRIC_NULL;
}

static void
check_near(int64_t got, int64_t want)
{
	if (want == METRIC_NULL)
		ck_assert_int_eq(got, want);
	else
		ck_assert_int_le(llabs(got - want), 1);
}

static void
check_delays(const struct world *w)
{
	for (size_t i = 0; i < w->results; i++) {
		const struct result *r = &w->result[i];
		const int64_t from = r->start.ns - WALL0,
		              to = from + w->c.p.interval_ns;
		int64_t uncorrected = 0;
		size_t n = 0;

		for (uint32_t k = 0; k < w->c.packets; k++) {
			const struct world_pkt *p = &w->pkt[k];

			if (!p->received || !p->counted || p->sched_ns < from ||
			    p->sched_ns >= to)
				continue;
			rtts[n] = p->rtt_ns;
			fwds[n] = p->fwd_ns;
			bwds[n++] = p->bwd_ns;
			uncorrected += !p->corrected;
		}
		check_delays_of(r, METRIC_RTT_MIN, rtts, n);
		check_delays_of(r, METRIC_FWD_MIN, fwds, n);
		check_delays_of(r, METRIC_BWD_MIN, bwds, n);
		check_percentile(r, METRIC_RTT_P50, rtts, n, 50, 1);
		check_percentile(r, METRIC_RTT_P99, rtts, n, 99, 50);
		check_percentile(r, METRIC_RTT_P999, rtts, n, 99.9, 1000);
		check_hist(r->rtt_hist, r->hist_len, RESULT_HIST_MAX, rtts, n);
		check_near(r->v[METRIC_FWD_IPDV], ipdv_of(w, from, to, true));
		check_near(r->v[METRIC_BWD_IPDV], ipdv_of(w, from, to, false));
		ck_assert_int_eq(r->v[METRIC_RTT_UNKNOWN], 0);
		if (n > 0)
			ck_assert_int_eq(r->v[METRIC_T3_UNCORRECTED],
			                 w->c.follow_up ? uncorrected
			                                : METRIC_NULL);
		if (!w->c.p.detail)
			continue;
		check_percentile(r, METRIC_FWD_P50, fwds, n, 50, 1);
		check_percentile(r, METRIC_BWD_P99, bwds, n, 99, 50);
		check_hist(r->fwd_hist, r->fwd_hist_len, RESULT_WAY_HIST_MAX,
		           fwds, n);
		check_hist(r->bwd_hist, r->bwd_hist_len, RESULT_WAY_HIST_MAX,
		           bwds, n);
	}
}

/* --- worlds ----------------------------------------------------------------
 */

static struct world_conf
fair(uint64_t seed, unsigned flows)
{
	struct world_conf c = world_fair(seed);
	struct rng rng;

	rng_seed(&rng, seed ^ 77);
	c.p.first_seq = (uint32_t)rng_u64(&rng);
	if (rng_u64(&rng) % 4 == 0) /* across the wrap */
		c.p.first_seq = UINT32_MAX - (uint32_t)(rng_u64(&rng) % 200);
	c.p.flows = flows;
	c.p.detail = rng_u64(&rng) & 1;
	return c;
}

START_TEST(a_fair_world_is_measured_exactly)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);
		struct world *w;

		c.p.warmup = i % 4;
		w = world_run(&c);
		check_counts_against_truth(w);
		check_delays(w);
		check_order(w);
		ck_assert_int_eq(world_sum(w, METRIC_LOST), 0);
		ck_assert_int_eq(world_sum(w, METRIC_T3_UNCORRECTED),
		                 c.p.flows); /* the last of each */
		ck_assert_int_eq(world_sum(w, METRIC_TX_STAMPS_MISSING), 0);
		world_free(w);
	}
}
END_TEST

START_TEST(random_loss_each_way)
{
	for (uint64_t i = 0; i < 2 * ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 4);
		struct world *w;

		c.fwd.loss = 0.01 + 0.02 * (double)(i % 10);
		c.bwd.loss = 0.01 + 0.02 * (double)(i % 7);
		c.tx_stamps = i & 1;
		w = world_run(&c);
		check_counts_against_truth(w);
		check_delays(w);
		ck_assert_int_le(world_sum(w, METRIC_LOST_UNDET),
		                 lost_at_the_ends(w, 80));
		world_free(w);
	}
}
END_TEST

START_TEST(bursts_of_loss_each_way)
{
	for (uint64_t i = 0; i < 2 * ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 2);
		struct world *w;

		c.fwd.burst = c.bwd.burst = 0.01;
		c.fwd.burst_len = 2 + (unsigned)i % 12;
		c.bwd.burst_len = 2 + (unsigned)i % 9;
		w = world_run(&c);
		check_counts_against_truth(w);
		check_delays(w);
		ck_assert_int_le(world_sum(w, METRIC_LOST_UNDET),
		                 lost_at_the_ends(w, 120));
		world_free(w);
	}
}
END_TEST

START_TEST(copies_each_way)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);
		struct world *w;

		c.fwd.dup = 0.1;
		c.bwd.dup = i & 1 ? 0.1 : 0;
		c.fwd.loss = c.bwd.loss = i % 4 > 1 ? 0.01 : 0;
		w = world_run(&c);
		check_counts_against_truth(w);
		check_copies(w);
		check_delays(w);
		check_order(w);
		world_free(w);
	}
}
END_TEST

START_TEST(reordering_each_way)
{
	for (uint64_t i = 0; i < 2 * ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);
		struct world *w;

		c.fwd.spread_ns = (int64_t)(i % 5) * 150 * MS;
		c.bwd.spread_ns = (int64_t)(i % 4) * 150 * MS;
		c.fwd.dup = c.bwd.dup = i % 3 ? 0 : 0.1;
		c.fwd.loss = c.bwd.loss = i % 6 > 2 ? 0.02 : 0;
		w = world_run(&c);
		check_counts_against_truth(w);
		check_order(w);
		check_copies(w);
		/* a true T3 is waited for, and kept, for 8 replies */
		if (c.fwd.spread_ns + c.bwd.spread_ns <= 600 * MS)
			check_delays(w);
		world_free(w);
	}
}
END_TEST

START_TEST(late_packets_stay_lost)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 2);
		struct world *w;
		int64_t late = 0, after = 0;

		c.fwd.slow = i & 1 ? 0.03 : 0;
		c.bwd.slow = i & 2 ? 0.05 : 0.02;
		c.fwd.slow_ns = c.bwd.slow_ns = 3 * NS_PER_S;
		c.bwd.loss = 0.02;
		w = world_run(&c);
		check_counts_against_truth(w);
		for (uint32_t k = 0; k < c.packets; k++)
			late += w->pkt[k].late;
		/* when no interval is open any more, none can tell */
		for (size_t k = 0; k < w->replies; k++)
			after +=
			    w->reply[k].t4_ns > w->pkt[c.packets - 1].sched_ns;
		ck_assert_int_le(world_sum(w, METRIC_LATE), late);
		ck_assert_int_ge(world_sum(w, METRIC_LATE), late - after);
		ck_assert_int_eq(w->verdict[REPLY_LATE], late);
		ck_assert_uint_eq(w->verdict[REPLY_UNKNOWN], 0);
		world_free(w);
	}
}
END_TEST

/* The outage is longer than bitmap and window: the counters decide. */
START_TEST(a_long_outage_is_decided_and_its_results_corrected)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);
		struct world *w;

		c.dark_from_ns = 40 * NS_PER_S + 77 * MS;
		c.dark_to_ns = 85 * NS_PER_S;
		w = world_run(&c);
		check_counts_against_truth(w);
		check_delays(w);
		ck_assert_int_eq(world_sum(w, METRIC_LOST_UNDET),
		                 lost_at_the_ends(w, 0));
		ck_assert_uint_ge(w->revisions, 3);
		world_free(w);
	}
}
END_TEST

START_TEST(a_stopped_process_loses_nothing)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);
		struct world *w;

		c.stop_from_ns = 33 * NS_PER_S + 55 * MS;
		c.stop_to_ns = 38 * NS_PER_S + 44 * MS;
		c.fwd.spread_ns = c.bwd.spread_ns = 200 * MS;
		w = world_run(&c);
		check_counts_against_truth(w);
		ck_assert_int_eq(world_sum(w, METRIC_LOST), 0);
		ck_assert_int_eq(world_sum(w, METRIC_LATE), 0);
		ck_assert_int_eq(world_sum(w, METRIC_SCHEDULED), c.packets);
		ck_assert_int_eq(world_sum(w, METRIC_SENT), c.packets - 50);
		world_free(w);
	}
}
END_TEST

START_TEST(a_clock_step_changes_neither_counts_nor_round_trips)
{
	static const int64_t step[] = {NS_PER_S, -NS_PER_S, 3600 * NS_PER_S,
	                               -3600 * NS_PER_S};

	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);
		int64_t lo = INT64_MAX, hi = 0, fwd = 0, bwd = 0, cut = 0;
		struct world *w;

		c.step_at_ns = 57 * NS_PER_S + 321 * MS;
		c.step_ns = step[i % 4];
		c.fwd.loss = c.bwd.loss = 0.02;
		c.fwd.dup = c.bwd.dup = 0.05;
		w = world_run(&c);
		for (uint32_t k = 0; k < c.packets; k++) {
			const struct world_pkt *p = &w->pkt[k];

			fwd += !p->received && p->reached_ns < 0;
			bwd += !p->received && p->reached_ns >= 0;
			if (p->received && p->rtt_ns < lo)
				lo = p->rtt_ns;
			if (p->received && p->rtt_ns > hi)
				hi = p->rtt_ns;
		}
		ck_assert_int_eq(world_sum(w, METRIC_SENT), c.packets);
		ck_assert_int_eq(world_sum(w, METRIC_LOST), fwd + bwd);
		ck_assert_int_le(world_sum(w, METRIC_LOST_FWD), fwd);
		ck_assert_int_le(world_sum(w, METRIC_LOST_BWD), bwd);
		ck_assert_int_le(world_sum(w, METRIC_LOST_UNDET),
		                 lost_at_the_ends(w, 80));
		check_copies(w);
		for (size_t k = 0; k < w->results; k++) {
			const int64_t *v = w->result[k].v;

			/* the T3 of what was out then may stay uncorrected */
			ck_assert_int_ge(v[METRIC_RTT_MIN], lo);
			ck_assert_int_le(v[METRIC_RTT_MAX], hi + 50 * US);
			ck_assert_int_le(v[METRIC_FWD_IPDV], 40 * MS);
			/* no delay between the clocks before and after */
			ck_assert_int_le(v[METRIC_FWD_MAX] - v[METRIC_FWD_MIN],
			                 30 * MS);
			ck_assert_int_le(v[METRIC_BWD_MAX] - v[METRIC_BWD_MIN],
			                 30 * MS);
			cut += (v[METRIC_FLAGS] & RESULT_CLOCK_STEP) != 0;
		}
		ck_assert_int_eq(cut, 1);
		world_free(w);
	}
}
END_TEST

START_TEST(nothing_is_leaked_wherever_it_ends)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);
		struct world *w;

		c.packets = 400;
		c.fwd.burst = c.bwd.burst = 0.02;
		c.fwd.burst_len = 20;
		c.bwd.burst_len = 9;
		w = world_build(&c);
		world_play(w, i * w->evs / ROUNDS);
		world_free(w);
	}
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, a_fair_world_is_measured_exactly);
	tcase_add_test(t, random_loss_each_way);
	tcase_add_test(t, bursts_of_loss_each_way);
	tcase_add_test(t, copies_each_way);
	tcase_add_test(t, reordering_each_way);
	tcase_add_test(t, late_packets_stay_lost);
	tcase_add_test(t, a_long_outage_is_decided_and_its_results_corrected);
	tcase_add_test(t, a_stopped_process_loses_nothing);
	tcase_add_test(t, a_clock_step_changes_neither_counts_nor_round_trips);
	tcase_add_test(t, nothing_is_leaked_wherever_it_ends);
}

int
main(void)
{
	const char *again = getenv("WORLD_SEED");

	seed0 = again ? strtoull(again, NULL, 10) : random_u64();
	printf("WORLD_SEED=%" PRIu64 "\n", seed0);
	fflush(stdout);
	return suite_main("world", add);
}
