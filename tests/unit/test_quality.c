/* SPDX-License-Identifier: BSD-2-Clause */
/* What a result says beyond delay and loss: marks, hops, voice, flows; and
 * which of its values are NULL when. */
#include "lib/base/metric.h"
#include "lib/stats/emodel.h"
#include "lib/stats/flowset.h"
#include "tests/unit/lab.h"

#include <math.h>
#include <string.h>

static struct result
only_result(struct lab *l)
{
	lab_until(l, l->now + 20 * NS_PER_S);
	return lab_take(l);
}

/* --- marks and hops ------------------------------------------------------- */

static void
answer_marked(struct lab *l, int fwd_dscp, int fwd_ecn, int tos, int ttl)
{
	const uint32_t seq = lab_send(l);
	struct session_reply x = lab_reflect(l, seq, 5 * MS, 5 * MS);

	x.fwd_dscp = fwd_dscp;
	x.fwd_ecn = fwd_ecn;
	x.reply_dscp = fwd_dscp < 0 ? -1 : 46;
	x.tos = tos;
	x.ttl = ttl;
	ck_assert_int_eq(session_reply(l->s, 0, &x, NULL), REPLY_OK);
	lab_until(l, l->now + 100 * MS);
}

START_TEST(a_mark_that_changes_on_the_way_is_a_fact_of_its_direction)
{
	struct session_params p = params();
	struct lab l;
	struct result r;

	p.dscp = 46;
	lab_open(&l, p);
	for (unsigned i = 0; i < 7; i++)
		answer_marked(&l, 46, 0, 46 << 2, 250);
	answer_marked(&l, 0, 2, 46 << 2, 250); /* bleached on the way there */
	answer_marked(&l, 8, 1, 46 << 2, 250);
	answer_marked(&l, 46, 0, 0 | 3, 250); /* and on the way back */
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_FWD_REMARKED], 2);
	ck_assert_int_eq(r.v[METRIC_BWD_REMARKED], 1);
	ck_assert_int_eq(r.v[METRIC_FWD_DSCP], 46);
	ck_assert_int_eq(r.v[METRIC_BWD_DSCP], 0);
	ck_assert_int_eq(r.v[METRIC_FWD_ECN], 3);
	ck_assert_int_eq(r.v[METRIC_BWD_ECN], 3);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_REMARKED);
	session_free(l.s);
}
END_TEST

START_TEST(marks_that_nobody_tells_of_are_null)
{
	struct session_params p = params();
	struct lab l;
	struct result r;

	p.dscp = 46;
	lab_open(&l, p);
	answer_marked(&l, -1, -1, 8 << 2, 250);
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_FWD_REMARKED], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_BWD_REMARKED], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_FWD_DSCP], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_FWD_ECN], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_BWD_DSCP], 8);
	ck_assert(!(r.v[METRIC_FLAGS] & RESULT_REMARKED));
	session_free(l.s);
}
END_TEST

START_TEST(a_change_of_hops_is_seen_across_intervals)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (unsigned i = 0; i < 100; i++)
		answer_marked(&l, -1, -1, -1, 250);
	answer_marked(&l, -1, -1, -1, 248);
	answer_marked(&l, -1, -1, -1, -1); /* not known is no change */
	for (unsigned i = 0; i < 48; i++)
		answer_marked(&l, -1, -1, -1, 248);
	answer_marked(&l, -1, -1, -1, 250);
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_BWD_HOPS], 5);
	ck_assert_int_eq(r.v[METRIC_BWD_HOPS_CHANGED], 0);
	ck_assert(!(r.v[METRIC_FLAGS] & RESULT_HOPS_CHANGED));
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_BWD_HOPS], 5);
	ck_assert_int_eq(r.v[METRIC_BWD_HOPS_CHANGED], 2);
	ck_assert_int_eq(r.v[METRIC_FWD_HOPS_CHANGED], 0);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_HOPS_CHANGED);
	session_free(l.s);
}
END_TEST

/* --- the reflector's host ---------------------------------------------------
 */

/* It was stopped for 5 s: what it held comes late, which is no fault of the
 * network. */
START_TEST(late_by_the_reflectors_own_residence_is_told)
{
	struct session_reply x[2];
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 20);
	for (unsigned i = 0; i < 2; i++) {
		const uint32_t seq = lab_send(&l);

		x[i] = lab_reflect(&l, seq, 5 * MS, 5 * NS_PER_S);
		l.now += 100 * MS;
	}
	x[0].t3 = wall_add_ns(x[0].t2, 5 * NS_PER_S); /* held */
	lab_run(&l, "o", 55);                         /* x[1] was on the way */
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(session_reply(l.s, 0, &x[i], NULL),
		                 REPLY_LATE);
	r = only_result(&l);
	CHECK_LOSS(r, 2, 0, 2, 0);
	ck_assert_int_eq(r.v[METRIC_LATE], 2);
	ck_assert_int_eq(r.v[METRIC_LATE_DST_HOST], 1);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_DST_HOST_LIMITED);
	session_free(l.s);
}
END_TEST

START_TEST(sends_that_leave_late_are_summed_up)
{
	struct session_params p = params();
	struct lab l;
	struct result r;

	p.detail = true;
	lab_open(&l, p);
	for (unsigned i = 0; i < 100; i++) {
		const struct clock_pair sched = at(l.now);

		session_slot(l.s, sched);
		session_sent(l.s, 0, sched, at(l.now + i * 200 * US), 1);
		lab_until(&l, l.now + 100 * MS);
	}
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_SEND_LATE_P50], 49 * 200 * US);
	ck_assert_int_eq(r.v[METRIC_SEND_LATE_P99], 98 * 200 * US);
	ck_assert_int_eq(r.v[METRIC_SEND_LATE_MAX], 99 * 200 * US);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_HOST_LATE);
	session_free(l.s);
}
END_TEST

/* --- voice ------------------------------------------------------------------
 */

static struct session_params
voice(void)
{
	struct session_params p = params();

	p.codec = VOICE_G711_PLC;
	p.jitter_buffer_ns = 60 * MS;
	return p;
}

static void
check_voice(const struct result *r, enum metric m, double network_ms,
            double loss_pct, double burst)
{
	const struct emodel e =
	    emodel_rate(VOICE_G711_PLC, network_ms + 60 + 20, loss_pct, burst);

	ck_assert_int_eq(r->v[m], llround(e.r * 1000));
	ck_assert_int_eq(r->v[m + 2], llround(e.mos * 1000));
}

START_TEST(voice_is_rated_by_direction)
{
	struct lab l;
	struct result r;

	lab_open(&l, voice());
	lab_run(&l, "oofobofoobofo", 100); /* 3 there, 2 of 97 back, alone */
	r = only_result(&l);
	CHECK_LOSS(r, 5, 3, 2, 0);
	check_voice(&r, METRIC_FWD_R, 5, 3, 1);
	check_voice(&r, METRIC_BWD_R, 5, 200.0 / 97, 1);
	session_free(l.s);
}
END_TEST

START_TEST(losses_in_bursts_are_worse_for_voice)
{
	struct lab l;
	struct result r;

	lab_open(&l, voice());
	lab_run(&l, "offffffffffo", 100); /* one run of 10 */
	r = only_result(&l);
	CHECK_LOSS(r, 10, 10, 0, 0);
	check_voice(&r, METRIC_FWD_R, 5, 10, 10 * 0.9);
	check_voice(&r, METRIC_BWD_R, 5, 0, 1);
	session_free(l.s);
}
END_TEST

START_TEST(what_comes_too_late_for_the_buffer_is_lost_to_voice)
{
	double fwd_ms = 0;
	struct lab l;
	struct result r;

	lab_open(&l, voice());
	for (unsigned i = 0; i < 100; i++) {
		const int64_t fwd = i == 40   ? 65 * MS /* just in time */
		                    : i == 50 ? 66 * MS
		                    : i == 60 ? 200 * MS
		                              : 5 * MS;
		const uint32_t seq = lab_send(&l);
		const struct session_reply x =
		    lab_reflect(&l, seq, fwd, 5 * MS);

		fwd_ms += (double)fwd / 1e8;
		lab_until(&l, l.now + 100 * MS);
		ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	}
	r = only_result(&l);
	CHECK_LOSS(r, 0, 0, 0, 0);
	check_voice(&r, METRIC_FWD_R, fwd_ms, 2, 1);
	check_voice(&r, METRIC_BWD_R, 5, 0, 1);
	session_free(l.s);
}
END_TEST

/* One-way delays that hold a clock's offset are not heard by anyone. */
START_TEST(without_synchronised_clocks_voice_takes_half_the_round_trip)
{
	struct lab l;
	struct result r;

	lab_open(&l, voice());
	for (unsigned i = 0; i < 60; i++) {
		const uint32_t seq = lab_send(&l);
		struct session_reply x = lab_reflect(&l, seq, 5 * MS, 15 * MS);

		x.t2 = wall_add_ns(x.t2, 3600 * NS_PER_S);
		x.t3 = wall_add_ns(x.t3, 3600 * NS_PER_S);
		x.reflector_synchronised = false;
		ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
		lab_until(&l, l.now + 100 * MS);
	}
	r = only_result(&l);
	check_voice(&r, METRIC_FWD_R, 10, 0, 1);
	check_voice(&r, METRIC_BWD_R, 10, 0, 1);
	session_free(l.s);
}
END_TEST

START_TEST(voice_is_not_rated_while_a_direction_is_open)
{
	struct lab l;
	struct result r;

	lab_open(&l, voice());
	lab_run(&l, "ooooooooooooooooooof", 25);
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_LOST_UNDET], 6);
	for (unsigned m = METRIC_FWD_R; m <= METRIC_BWD_MOS; m++)
		ck_assert_int_eq(r.v[m], METRIC_NULL);
	session_free(l.s);
}
END_TEST

/* --- flows
 * --------------------------------------------------------------------
 */

START_TEST(one_bad_flow_shows)
{
	struct session_params p = params();
	struct flow_result f[FLOWS_MAX_N];
	int64_t sum[5] = {0};
	unsigned n = 0;
	struct lab l;
	struct result r;

	p.flows = 4;
	lab_open(&l, p);
	for (unsigned i = 0; i < 100; i++) {
		const unsigned flow = session_next_flow(l.s);
		const uint32_t seq = lab_send_on(&l, flow);
		const struct session_reply x =
		    lab_reflect_on(&l, flow, seq, (5 + flow) * MS, 5 * MS);

		if (flow != 2 || i % 5)
			ck_assert_int_eq(session_reply(l.s, flow, &x, NULL),
			                 REPLY_OK);
		lab_until(&l, l.now + 100 * MS);
	}
	r = only_result(&l);
	CHECK_LOSS(r, 5, 0, 5, 0);
	ck_assert(flowset_decode(r.flows, r.flows_len, f, &n));
	ck_assert_uint_eq(n, 4);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_uint_eq(f[i].sent, 25);
		ck_assert_uint_eq(f[i].lost_bwd, i == 2 ? 5 : 0);
		ck_assert_uint_eq(f[i].received, 25 - f[i].lost_bwd);
		ck_assert_int_eq(f[i].rtt_min_ns, (10 + i) * MS);
		ck_assert_int_eq(f[i].rtt_mean_ns, (10 + i) * MS);
		ck_assert_int_eq(f[i].fwd_mean_ns, (5 + i) * MS);
		ck_assert_int_eq(f[i].bwd_mean_ns, 5 * MS);
		sum[0] += f[i].sent;
		sum[1] += f[i].received;
		sum[2] += f[i].lost_fwd;
		sum[3] += f[i].lost_bwd;
		sum[4] += f[i].lost_undet;
	}
	ck_assert_int_eq(sum[0], r.v[METRIC_SENT]);
	ck_assert_int_eq(sum[1], r.v[METRIC_RECEIVED]);
	ck_assert_int_eq(sum[2], r.v[METRIC_LOST_FWD]);
	ck_assert_int_eq(sum[3], r.v[METRIC_LOST_BWD]);
	ck_assert_int_eq(sum[4], r.v[METRIC_LOST_UNDET]);
	/* the delays differ between flows only: no variation */
	ck_assert_int_eq(r.v[METRIC_FWD_IPDV], 0);
	ck_assert_int_eq(r.v[METRIC_FWD_JITTER], 0);
	session_free(l.s);
}
END_TEST

START_TEST(a_single_flow_needs_no_list)
{
	struct lab l;

	lab_open(&l, params());
	lab_run(&l, "o", 20);
	ck_assert_uint_eq(only_result(&l).flows_len, 0);
	session_free(l.s);
}
END_TEST

/* --- NULL
 * ---------------------------------------------------------------------
 */

#define ALWAYS "never"

/* All but those have a value. */
static void
check_nulls(const struct result *r, const enum metric *null, size_t n)
{
	for (unsigned m = 1; m < METRIC_N; m++) {
		bool want = false;

		for (size_t i = 0; i < n; i++)
			want |= null[i] == m;
		ck_assert_msg((r->v[m] == METRIC_NULL) == want, "%s is %s",
		              metric_info(m)->name, want ? "not NULL" : "NULL");
		if (strcmp(metric_info(m)->null_rule, ALWAYS) == 0)
			ck_assert_int_ne(r->v[m], METRIC_NULL);
	}
}
#define CHECK_NULLS(r, null) \
	check_nulls(r, null, sizeof(null) / sizeof((null)[0]))

START_TEST(nothing_received)
{
	static const enum metric null[] = {
	    METRIC_RTT_MIN,        METRIC_RTT_MEAN,
	    METRIC_RTT_MAX,        METRIC_RTT_P50,
	    METRIC_RTT_P99,        METRIC_RTT_P999,
	    METRIC_RAW_RTT_MEAN,   METRIC_FWD_MIN,
	    METRIC_FWD_MEAN,       METRIC_FWD_MAX,
	    METRIC_BWD_MIN,        METRIC_BWD_MEAN,
	    METRIC_BWD_MAX,        METRIC_FWD_P50,
	    METRIC_FWD_P99,        METRIC_BWD_P50,
	    METRIC_BWD_P99,        METRIC_FWD_IPDV,
	    METRIC_BWD_IPDV,       METRIC_FWD_IPDV_P99,
	    METRIC_BWD_IPDV_P99,   METRIC_FWD_JITTER,
	    METRIC_BWD_JITTER,     METRIC_FWD_HOPS,
	    METRIC_BWD_HOPS,       METRIC_CLOCK_ERR,
	    METRIC_FWD_REORDERED,  METRIC_BWD_REORDERED,
	    METRIC_REORDER_EXTENT, METRIC_FWD_REORDER_EXTENT,
	    METRIC_FWD_DUPLICATES, METRIC_BWD_REORDER_EXTENT,
	    METRIC_BWD_DUPLICATES, METRIC_FWD_DSCP,
	    METRIC_BWD_DSCP,       METRIC_FWD_ECN,
	    METRIC_BWD_ECN,        METRIC_FWD_REMARKED,
	    METRIC_BWD_REMARKED,   METRIC_STAMPS,
	    METRIC_T3_UNCORRECTED, METRIC_FWD_R,
	    METRIC_BWD_R,          METRIC_FWD_MOS,
	    METRIC_BWD_MOS};
	struct session_params p = voice();
	struct lab l;
	struct result r;

	p.detail = true;
	lab_open(&l, p);
	lab_run(&l, "f", 100);
	r = only_result(&l);
	CHECK_NULLS(&r, null);
	ck_assert_int_eq(r.hist_len + r.fwd_hist_len + r.bwd_hist_len, 0);
	session_free(l.s);
}
END_TEST

/* n packets over which everything that can be told is told. */
static struct result
full(struct session_params p, unsigned n)
{
	struct session_reply last = {.seq = 0}, x;
	struct lab l;
	struct result r;

	p.gap_ns = 5 * MS;
	p.dscp = 46;
	lab_open(&l, p);
	for (unsigned i = 0; i < n; i++) {
		const uint32_t seq = lab_send(&l);

		x = lab_reflect(&l, seq, 5 * MS, 5 * MS);
		x.tos = 46 << 2;
		x.fwd_dscp = x.reply_dscp = 46;
		x.fwd_ecn = 0;
		x.has_follow_up = true;
		if (i == 7)
			x.t3 = wall_add_ns(x.t2, -1);
		if (i == 10) /* overtaken both ways */
			last = x;
		else
			ck_assert_int_eq(session_reply(l.s, 0, &x, NULL),
			                 REPLY_OK);
		lab_until(&l, l.now + 5 * MS);
		if (i != 12)
			continue;
		/* as if the next one had reached the reflector before it */
		last.bitmap_highest++;
		last.bitmap = last.bitmap << 1 | 1;
		ck_assert_int_eq(session_reply(l.s, 0, &last, NULL), REPLY_OK);
	}
	r = only_result(&l);
	session_free(l.s);
	return r;
}

START_TEST(everything_known)
{
	struct session_params p = voice();
	const struct result r = full(p, 1200);

	CHECK_NULLS(&r, ((enum metric[]){METRIC_NONE}));
	ck_assert(r.hist_len > 0 && r.fwd_hist_len > 0 && r.bwd_hist_len > 0);
}
END_TEST

START_TEST(few_samples)
{
	static const enum metric null[] = {
	    METRIC_RTT_P99,      METRIC_RTT_P999,     METRIC_FWD_P99,
	    METRIC_BWD_P99,      METRIC_FWD_IPDV_P99, METRIC_BWD_IPDV_P99,
	    METRIC_SEND_LATE_P99};
	const struct result r = full(voice(), 49);

	CHECK_NULLS(&r, null);
}
END_TEST

START_TEST(no_details)
{
	static const enum metric null[] = {
	    METRIC_FWD_P50,       METRIC_FWD_P99,       METRIC_BWD_P50,
	    METRIC_BWD_P99,       METRIC_FWD_IPDV_P99,  METRIC_BWD_IPDV_P99,
	    METRIC_SEND_LATE_P50, METRIC_SEND_LATE_P99, METRIC_SEND_LATE_MAX,
	    METRIC_FWD_R,         METRIC_BWD_R,         METRIC_FWD_MOS,
	    METRIC_BWD_MOS};
	const struct result r = full(params(), 1200);

	CHECK_NULLS(&r, null);
	ck_assert_int_eq(r.fwd_hist_len + r.bwd_hist_len, 0);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(
	    t, a_mark_that_changes_on_the_way_is_a_fact_of_its_direction);
	tcase_add_test(t, marks_that_nobody_tells_of_are_null);
	tcase_add_test(t, a_change_of_hops_is_seen_across_intervals);
	tcase_add_test(t, late_by_the_reflectors_own_residence_is_told);
	tcase_add_test(t, sends_that_leave_late_are_summed_up);
	tcase_add_test(t, voice_is_rated_by_direction);
	tcase_add_test(t, losses_in_bursts_are_worse_for_voice);
	tcase_add_test(t, what_comes_too_late_for_the_buffer_is_lost_to_voice);
	tcase_add_test(
	    t, without_synchronised_clocks_voice_takes_half_the_round_trip);
	tcase_add_test(t, voice_is_not_rated_while_a_direction_is_open);
	tcase_add_test(t, one_bad_flow_shows);
	tcase_add_test(t, a_single_flow_needs_no_list);
	tcase_add_test(t, nothing_received);
	tcase_add_test(t, everything_known);
	tcase_add_test(t, few_samples);
	tcase_add_test(t, no_details);
}

int
main(void)
{
	return suite_main("quality", add);
}
