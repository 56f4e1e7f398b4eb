/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine against a model of network and reflector whose truth is known per
 * packet: random histories (seeds are printed), the vectors, and the hard
 * cases one by one.
 */
#include "lib/stats/session.h"
#include "lib/base/rng.h"
#include "lib/stats/hist.h"
#include "tests/unit/lab.h"

#include <check.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTORS TEST_SRCDIR "/tests/vectors/vectors.json"
/* --- the vectors ------------------------------------------------------- */

static int64_t
num(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	ck_assert_msg(json_is_number(v), "no number %s", key);
	return (int64_t)(json_number_value(v) + 0.5);
}

static void
check_direction(const struct result *r, const json_t *want, enum metric min)
{
	ck_assert_int_eq(r->v[min], num(want, "min"));
	ck_assert_int_eq(r->v[min + 1], num(want, "mean"));
	ck_assert_int_eq(r->v[min + 2], num(want, "max"));
}

static void
vector_send(struct session *s, int64_t gap, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		session_slot(s, at(i * gap));
		session_sent(s, 0, at(i * gap), at(i * gap),
		             (uint64_t)(i * gap));
	}
}

START_TEST(metrics_match_the_vectors)
{
	json_t *root = json_load_file(VECTORS, 0, NULL), *a;
	const json_t *m = json_object_get(root, "metrics");
	const json_t *want = json_object_get(m, "expected");
	struct session_params p = params();
	struct reflector f = {.instance_id = 5};
	uint32_t next_rseq = 0, dup = UINT32_MAX;
	struct session_reply last = {0};
	struct result r;
	struct session *s;
	size_t i;

	wall_shift = 0;
	p.loss_timeout_ns = num(m, "loss_timeout_ns");
	p.gap_ns = num(m, "send_interval_ns");
	s = session_new(&p);
	vector_send(s, p.gap_ns, num(m, "sent"));
	json_array_foreach(json_object_get(m, "arrival_order"), i, a)
	{
		const uint32_t seq = (uint32_t)num(a, "seq");
		const int64_t t4 = num(a, "t4");
		struct session_reply x = last;

		/* seq 12 was reflected (rseq 9) and its reply was lost */
		for (; next_rseq < (uint32_t)num(a, "rseq"); next_rseq++) {
			ck_assert_uint_eq(next_rseq, 9);
			reflect(&f, 12, &x);
		}
		if (seq != dup) {
			reflect(&f, seq, &x);
			next_rseq++;
		}
		dup = seq;
		x.t1_wire = (uint64_t)num(a, "t1");
		x.t2 = (struct wall){WALL0 + num(a, "t2")};
		x.t3 = (struct wall){WALL0 + num(a, "t3")};
		x.t4 = at(t4);
		x.t4_is_kernel = true;
		x.sender_ttl = x.ttl = 255;
		last = x;
		ck_assert_int_eq(session_reply(s, 0, &x, NULL),
		                 i == 7 ? REPLY_DUPLICATE : REPLY_OK);
	}
	session_advance(s, at(20 * NS_PER_S), NULL, NULL);
	ck_assert(session_take(s, &r));

	ck_assert_int_eq(r.v[METRIC_SENT], num(m, "sent"));
	ck_assert_int_eq(r.v[METRIC_RECEIVED], num(want, "received_unique"));
	ck_assert_int_eq(r.v[METRIC_DUPLICATES], num(want, "duplicates"));
	CHECK_LOSS(r, num(want, "lost"), num(want, "fwd_lost"),
	           num(want, "rev_lost"), 0);
	check_direction(&r, json_object_get(want, "rtt"), METRIC_RTT_MIN);
	ck_assert_int_eq(r.v[METRIC_RTT_P50],
	                 num(json_object_get(want, "rtt"), "p50"));
	ck_assert_int_eq(r.v[METRIC_RTT_P99], METRIC_NULL); /* 16 samples */
	check_direction(&r, json_object_get(want, "fwd"), METRIC_FWD_MIN);
	check_direction(&r, json_object_get(want, "rev"), METRIC_BWD_MIN);
	ck_assert_int_eq(r.v[METRIC_FWD_IPDV],
	                 num(json_object_get(want, "ipdv_fwd"), "mean_abs"));
	ck_assert_int_eq(r.v[METRIC_BWD_IPDV],
	                 num(json_object_get(want, "ipdv_rev"), "mean_abs"));
	ck_assert_int_eq(r.v[METRIC_FWD_JITTER],
	                 num(want, "rfc3550_jitter_fwd_arrival_order_no_dups"));
	ck_assert_int_eq(r.v[METRIC_BWD_JITTER],
	                 num(want, "rfc3550_jitter_rev_arrival_order_no_dups"));
	ck_assert_int_eq(r.v[METRIC_FWD_HOPS], 0);
	session_free(s);
	json_decref(root);
}
END_TEST

START_TEST(loss_matches_the_vectors)
{
	json_t *root = json_load_file(VECTORS, 0, NULL), *c;
	size_t i;

	json_array_foreach(json_object_get(root, "loss"), i, c)
	{
		const json_t *lost = json_object_get(c, "lost_seqs");
		const int64_t n = num(c, "sent");
		const size_t n_lost = json_array_size(lost);
		struct lab l;
		struct result r;

		lab_open(&l, params());
		for (int64_t k = 0; k < n; k++) {
			const uint32_t seq = lab_send(&l);
			bool is_lost = false;

			for (size_t j = 0; j < n_lost; j++)
				is_lost |= json_integer_value(
				               json_array_get(lost, j)) == k;
			if (!is_lost)
				(void)lab_answer(&l, seq);
			l.now += 100 * MS;
		}
		lab_until(&l, 20 * NS_PER_S);
		r = lab_take(&l);
		ck_assert_int_eq(r.v[METRIC_LOST], (int64_t)n_lost);
		ck_assert(json_real_value(json_object_get(c, "loss_ratio")) ==
		          (double)r.v[METRIC_LOST] / (double)n);
		session_free(l.s);
	}
	json_decref(root);
}
END_TEST

/* --- intervals --------------------------------------------------------- */

START_TEST(results_are_aligned_and_the_first_and_last_are_partial)
{
	struct session_params p = params();
	struct lab l;
	struct result r;

	p.warmup = 3;
	lab_open(&l, p);
	l.now = 3700 * MS;
	lab_run(&l, "o", 200); /* to 23.7 s */
	session_finish(l.s, at(l.now), RESULT_PARTIAL);

	r = lab_take(&l);
	ck_assert_uint_eq(r.dst_id, 7);
	ck_assert_uint_eq(r.class_id, 3);
	ck_assert_int_eq(r.start.ns, WALL0);
	ck_assert_int_eq(r.v[METRIC_SENT], 60); /* 63 less the warm-up */
	ck_assert_int_eq(r.v[METRIC_SCHEDULED], 60);
	ck_assert_int_eq(r.v[METRIC_SPAN], 6300 * MS);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_PARTIAL);
	ck_assert_int_eq(r.v[METRIC_RTT_MEAN], 10 * MS);
	ck_assert_int_eq(r.v[METRIC_RTT_P99], 10 * MS);
	ck_assert_int_eq(r.v[METRIC_FWD_HOPS], 5);
	ck_assert_int_eq(r.v[METRIC_BWD_HOPS], 4);
	ck_assert_int_eq(r.v[METRIC_CLOCK_ERR], 400);
	ck_assert_uint_gt(r.hist_len, 0);

	r = lab_take(&l);
	ck_assert_int_eq(r.start.ns, WALL0 + 10 * NS_PER_S);
	ck_assert_int_eq(r.v[METRIC_SENT], 100);
	ck_assert_int_eq(r.v[METRIC_SPAN], 10 * NS_PER_S);
	ck_assert_int_eq(r.v[METRIC_FLAGS], RESULT_SYNC_SRC | RESULT_SYNC_DST);

	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_SENT], 37);
	ck_assert_int_eq(r.v[METRIC_SPAN], 3700 * MS);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_PARTIAL);
	ck_assert(!session_take(l.s, &r));
	session_free(l.s);
}
END_TEST

START_TEST(an_interval_closes_half_a_second_after_the_loss_timeout)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 101);
	lab_until(&l, 12499 * MS);
	ck_assert(!session_take(l.s, &r));
	ck_assert_int_eq(session_deadline(l.s).ns, MONO0 + 12500 * MS);
	lab_until(&l, 12500 * MS);
	ck_assert_int_eq(lab_take(&l).v[METRIC_SENT], 100);
	session_free(l.s);
}
END_TEST

START_TEST(packets_younger_than_the_timeout_at_the_end_are_not_counted)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "ofofffffffffffffffffffffffff", 28); /* to 2.8 s */
	ck_assert_uint_eq(session_outstanding(l.s), 20); /* 0.8 s and later */
	session_finish(l.s, at(l.now), RESULT_PARTIAL);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_SENT], 8); /* sent at 0.0 .. 0.7 s */
	ck_assert_int_eq(r.v[METRIC_SCHEDULED], 8);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], 2);
	CHECK_LOSS(r, 6, 1, 0, 5);
	session_free(l.s);
}
END_TEST

START_TEST(skipped_and_failed_slots_are_scheduled_but_not_sent)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 10);
	session_slot(l.s, at(l.now)); /* skipped */
	session_slot(l.s, at(l.now + 100 * MS));
	session_send_failed(l.s, at(l.now + 100 * MS));
	session_withheld(l.s, at(l.now + 200 * MS));
	lab_until(&l, 20 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_SCHEDULED], 12);
	ck_assert_int_eq(r.v[METRIC_SENT], 10);
	ck_assert_int_eq(r.v[METRIC_SEND_FAILED], 1);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_UNANSWERED);
	session_free(l.s);
}
END_TEST

START_TEST(a_flow_that_cannot_be_sent_on_holds_up_no_other)
{
	struct session_params p = params();
	struct session *s;

	p.flows = 3;
	s = session_new(&p);
	ck_assert_ptr_nonnull(s);
	for (unsigned i = 0; i < 9; i++) {
		const int64_t now = i * 100 * MS;

		ck_assert_uint_eq(session_next_flow(s), i % 3);
		session_slot(s, at(now));
		if (i % 3 == 1)
			session_send_failed(s, at(now));
		else
			session_sent(s, i % 3, at(now), at(now), 1);
	}
	ck_assert_uint_eq(session_next_seq(s, 0), 3);
	ck_assert_uint_eq(session_next_seq(s, 1), 0);
	ck_assert_uint_eq(session_next_seq(s, 2), 3);
	session_free(s);
}
END_TEST

/* A peer that we can never send to does not stay in its warm-up for ever. */
START_TEST(failed_sends_end_the_warm_up)
{
	struct session_params p = params();
	struct lab l;
	struct result r;

	p.warmup = 3;
	lab_open(&l, p);
	for (unsigned i = 0; i < 10; i++) {
		session_slot(l.s, at(l.now));
		session_send_failed(l.s, at(l.now));
		l.now += 100 * MS;
	}
	lab_until(&l, 20 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_SCHEDULED], 7);
	ck_assert_int_eq(r.v[METRIC_SEND_FAILED], 7);
	ck_assert_int_eq(r.v[METRIC_SENT], 0);
	session_free(l.s);
}
END_TEST

START_TEST(an_unaligned_session_is_one_interval_until_the_end)
{
	struct session_params p = params();
	struct lab l;
	struct result r;

	p.align = false;
	lab_open(&l, p);
	lab_run(&l, "o", 700);
	ck_assert(!session_take(l.s, &r));
	session_finish(l.s, at(l.now), 0);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_SENT], 700);
	ck_assert_int_eq(r.start.ns, WALL0);
	ck_assert_int_eq(r.v[METRIC_SPAN], 70 * NS_PER_S);
	ck_assert_int_eq(r.v[METRIC_FLAGS], RESULT_SYNC_SRC | RESULT_SYNC_DST);
	session_free(l.s);
}
END_TEST

/* --- late, duplicate, altered, unknown ---------------------------------- */

START_TEST(a_late_reply_is_counted_once_and_the_packet_stays_lost)
{
	struct session_reply x, y;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 70);
	(void)lab_send(&l); /* 70, at 7 s */
	x = lab_reflect(&l, 70, 5 * MS, 3500 * MS);
	y = lab_reflect(&l, 70, 5 * MS, 3600 * MS);
	l.now += 100 * MS;
	lab_run(&l, "o", 34);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_LATE);
	ck_assert_int_eq(session_reply(l.s, 0, &y, NULL), REPLY_DUPLICATE);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	CHECK_LOSS(r, 1, 0, 1, 0); /* it had reached the reflector */
	ck_assert_int_eq(r.v[METRIC_LATE], 0);
	ck_assert_int_eq(r.v[METRIC_DUPLICATES], 1);
	r = lab_take(&l); /* it arrived in this one */
	ck_assert_int_eq(r.v[METRIC_LATE], 1);
	CHECK_LOSS(r, 0, 0, 0, 0);
	session_free(l.s);
}
END_TEST

START_TEST(lateness_is_judged_by_stamps_not_by_when_we_got_to_read)
{
	struct session_reply x[5];
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 10);
	for (unsigned i = 0; i < 5; i++) {
		const uint32_t seq = lab_send(&l);

		x[i] = lab_reflect(&l, seq, 5 * MS, 5 * MS);
		l.now += 100 * MS;
	}
	l.now += 5 * NS_PER_S; /* stopped; the replies wait in the socket */
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(session_reply(l.s, 0, &x[i], NULL), REPLY_OK);
	/* even if time was told too early, the stamp wins */
	lab_until(&l, l.now);
	ck_assert_int_eq(session_reply(l.s, 0, &x[4], NULL), REPLY_OK);
	lab_until(&l, 20 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], 15);
	CHECK_LOSS(r, 0, 0, 0, 0);
	ck_assert_int_eq(r.v[METRIC_LATE], 0);
	ck_assert_int_eq(r.v[METRIC_RTT_MAX], 10 * MS);
	session_free(l.s);
}
END_TEST

START_TEST(altered_and_unknown_replies_measure_nothing)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	(void)lab_send(&l);
	x = lab_reflect(&l, 0, 5 * MS, 5 * MS);
	x.t1_wire++;
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_ALTERED);
	ck_assert(!session_answered(l.s));
	x.seq = 1;
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_UNKNOWN);
	x.seq = UINT32_MAX;
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_UNKNOWN);
	x.seq = 0;
	x.t1_wire--;
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	ck_assert(session_answered(l.s));
	lab_until(&l, 20 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], 1);
	session_free(l.s);
}
END_TEST

START_TEST(an_impossible_residence_gives_no_rtt_but_a_raw_one)
{
	struct session_reply x;
	struct sample m;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	(void)lab_send(&l);
	x = lab_reflect(&l, 0, 5 * MS, 5 * MS);
	x.t3 = wall_add_ns(x.t2, -1);
	ck_assert_int_eq(session_reply(l.s, 0, &x, &m), REPLY_OK);
	ck_assert_int_eq(m.rtt_ns, NS_UNKNOWN);
	ck_assert_int_eq(m.raw_rtt_ns, 10 * MS + 10 * NS_PER_US);
	(void)lab_send(&l);
	x = lab_reflect(&l, 1, 5 * MS, 5 * MS);
	x.t3 = wall_add_ns(x.t2, 10 * MS + 10 * NS_PER_US + 1);
	ck_assert_int_eq(session_reply(l.s, 0, &x, &m), REPLY_OK);
	ck_assert_int_eq(m.rtt_ns, NS_UNKNOWN);
	lab_until(&l, 20 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], 2);
	ck_assert_int_eq(r.v[METRIC_RTT_MEAN], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_RTT_P50], METRIC_NULL);
	ck_assert_uint_eq(r.hist_len, 0);
	session_free(l.s);
}
END_TEST

START_TEST(an_unsynchronised_clock_bounds_nothing)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 5);
	(void)lab_send(&l);
	x = lab_reflect(&l, 5, 5 * MS, 5 * MS);
	x.reflector_synchronised = false;
	x.reflector_error_ns = NS_UNKNOWN;
	x.t4_is_kernel = false;
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	lab_until(&l, 20 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_CLOCK_ERR], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_FLAGS],
	                 RESULT_SYNC_SRC | RESULT_HOST_LIMITED);
	session_free(l.s);
}
END_TEST

START_TEST(ipdv_belongs_to_the_interval_of_the_later_packet)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 100);
	(void)lab_send(&l); /* 100, first of the second interval */
	x = lab_reflect(&l, 100, 9 * MS, 5 * MS);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_FWD_IPDV], 0);
	ck_assert_int_eq(r.v[METRIC_FWD_JITTER], 0);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_FWD_IPDV], 4 * MS);
	ck_assert_int_eq(r.v[METRIC_BWD_IPDV], 0);
	ck_assert_int_eq(r.v[METRIC_FWD_JITTER], 250 * NS_PER_US);
	session_free(l.s);
}
END_TEST

/* --- direction of loss --------------------------------------------------- */

START_TEST(single_losses_get_their_direction_from_the_bitmap)
{
	struct lab l;

	lab_open(&l, params());
	lab_run(&l, "oofobffbo", 100);
	lab_until(&l, 12500 * MS);
	CHECK_LOSS(lab_take(&l), 5, 3, 2, 0);
	session_free(l.s);
}
END_TEST

START_TEST(losses_after_the_last_reply_are_undetermined)
{
	struct lab l;

	lab_open(&l, params());
	lab_run(&l, "ooooooooobf", 100);
	lab_until(&l, 12500 * MS);
	CHECK_LOSS(lab_take(&l), 91, 0, 0, 91);
	session_free(l.s);
}
END_TEST

/* 30 s: longer than bitmap and window. */
static struct result
blackout(const char *during, unsigned n)
{
	struct session_params p = params();
	struct lab l;
	struct result r;

	p.interval_ns = 60 * NS_PER_S;
	lab_open(&l, p);
	lab_run(&l, "o", 20);
	lab_run(&l, during, n);
	lab_run(&l, "o", 580 - n);
	lab_until(&l, 63 * NS_PER_S);
	r = lab_take(&l);
	session_free(l.s);
	return r;
}

START_TEST(a_long_forward_blackout_is_decided_by_the_counters)
{
	CHECK_LOSS(blackout("f", 400), 400, 400, 0, 0);
}
END_TEST

START_TEST(a_long_backward_blackout_is_decided_by_the_counters)
{
	CHECK_LOSS(blackout("b", 400), 400, 0, 400, 0);
}
END_TEST

START_TEST(a_mixed_blackout_within_an_interval_is_decided_in_numbers)
{
	CHECK_LOSS(blackout("ffffffffffffffffffffffffffffffb", 400), 400, 30,
	           370, 0);
}
END_TEST

START_TEST(a_mixed_blackout_across_intervals_stays_undetermined)
{
	struct lab l;
	struct result r;

	lab_open(&l, params()); /* 10 s */
	lab_run(&l, "o", 95);
	lab_run(&l, "fffb", 70); /* 9.5 .. 16.5 s: 6 are beyond the bitmap */
	lab_run(&l, "o", 100);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l); /* closed before anything came back */
	CHECK_LOSS(r, 5, 0, 0, 5);
	r = lab_take(&l);
	CHECK_LOSS(r, 65, 0, 63, 2);
	session_free(l.s);
}
END_TEST

START_TEST(a_reflector_restart_leaves_the_direction_open_across_it)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "oooobo", 50);
	lab_run(&l, "bbff", 4);
	l.f = (struct reflector){.instance_id = 0x2222};
	lab_run(&l, "bof", 3); /* the new one shows 54; 56 is forward */
	lab_run(&l, "o", 43);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	CHECK_LOSS(r, 7, 1, 2, 4);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_REFLECTOR_RESTART);
	session_free(l.s);
}
END_TEST

START_TEST(a_reflector_that_forgot_the_session_is_a_restart_too)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 50);
	l.f = (struct reflector){.instance_id = 0x1111};
	lab_run(&l, "bbo", 50);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	CHECK_LOSS(r, 2, 0, 2, 0); /* bits that are set stay facts */
	ck_assert(r.v[METRIC_FLAGS] & RESULT_REFLECTOR_RESTART);
	session_free(l.s);
}
END_TEST

START_TEST(a_stateless_reflector_gives_no_direction)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	l.f.stateless = true;
	lab_run(&l, "offbo", 100);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	CHECK_LOSS(r, 3, 0, 0, 3);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_STATELESS);
	session_free(l.s);
}
END_TEST

START_TEST(a_bitmap_that_cannot_be_true_is_not_believed)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "ofo", 3);
	for (unsigned i = 0; i < 4; i++) {
		const uint32_t seq = lab_send(&l);

		x = lab_reflect(&l, seq, 5 * MS, 5 * MS);
		if (i == 0)
			x.bitmap_highest = seq + 1; /* never sent */
		else if (i == 1)
			x.bitmap &= ~UINT64_C(1);
		else if (i == 2)
			x.bitmap_highest = seq - 1; /* it has this one */
		else
			x.bitmap_duplicates = x.bitmap_received + 1;
		ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
		l.now += 100 * MS;
	}
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	CHECK_LOSS(r, 1, 1, 0, 0);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], 6);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_STATELESS);
	session_free(l.s);
}
END_TEST

START_TEST(sequence_numbers_wrap)
{
	struct session_params p = params();
	struct lab l;
	struct result r;

	p.first_seq = UINT32_MAX - 48;
	lab_open(&l, p);
	lab_run(&l, "o", 45);
	lab_run(&l, "fffbffbb", 8); /* across the wrap */
	lab_run(&l, "o", 47);
	lab_run(&l, "f", 100); /* and a long one after it */
	lab_run(&l, "o", 10);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	CHECK_LOSS(r, 8, 5, 3, 0);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], 92);
	ck_assert_uint_eq(session_next_seq(l.s, 0), 161);
	session_free(l.s);
}
END_TEST

/* --- clock steps, bursts -------------------------------------------------- */

static void
step_test(int64_t step)
{
	struct lab l;
	struct result r;
	int64_t start;

	lab_open(&l, params());
	lab_run(&l, "o", 135);
	(void)lab_send(&l); /* its reply comes after the step */
	wall_shift = step;
	l.now += 5 * MS;
	{
		const struct session_reply x =
		    lab_reflect(&l, 135, 5 * MS, 5 * MS);
		struct sample m;

		ck_assert_int_eq(session_reply(l.s, 0, &x, &m), REPLY_OK);
		ck_assert_int_eq(m.rtt_ns, 10 * MS);
		ck_assert_int_eq(m.bwd_ns, NS_UNKNOWN);
	}
	l.now += 95 * MS;
	lab_run(&l, "o", 264);
	lab_until(&l, l.now + 20 * NS_PER_S);
	r = lab_take(&l); /* it had closed before */
	ck_assert_int_eq(r.v[METRIC_SENT], 100);
	ck_assert_int_eq(r.start.ns, WALL0 + step);
	r = lab_take(&l);
	start = r.start.ns;
	ck_assert_int_eq(start, WALL0 + 10 * NS_PER_S + step);
	ck_assert_int_eq(r.v[METRIC_SENT], 36);
	ck_assert_int_eq(r.v[METRIC_FLAGS], RESULT_SYNC_SRC | RESULT_SYNC_DST |
	                                        RESULT_CLOCK_STEP |
	                                        RESULT_PARTIAL);
	ck_assert_int_eq(r.v[METRIC_RTT_MAX], 10 * MS);
	ck_assert_int_eq(r.v[METRIC_BWD_MAX], 5 * MS);
	r = lab_take(&l);
	ck_assert_int_ne(r.start.ns, start);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_PARTIAL);
	ck_assert_int_eq(r.v[METRIC_FWD_MAX], 5 * MS - step);
	ck_assert_int_eq(r.v[METRIC_FWD_MIN], 5 * MS - step);
	ck_assert_int_eq(r.v[METRIC_FWD_IPDV], 0); /* not across the step */
	ck_assert_int_eq(r.v[METRIC_BWD_IPDV], 0);
	ck_assert_int_eq(r.v[METRIC_FWD_JITTER], 0);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_SENT], 100);
	ck_assert_int_eq(r.v[METRIC_FLAGS], RESULT_SYNC_SRC | RESULT_SYNC_DST);
	session_free(l.s);
}

START_TEST(a_clock_step_cuts_the_interval)
{
	step_test(50 * MS);
	step_test(-2 * NS_PER_S);
	step_test(3600 * NS_PER_S);
	step_test(-3600 * NS_PER_S);
}
END_TEST

/* Packets 20 to 24 are lost, before the step; all sent 100 ms apart. */
static void
run_across_step(int64_t step)
{
	const struct wall t0 = {WALL0 + step}; /* the world began then */
	struct loss_run r;
	struct lab l;

	wall_shift = 0;
	lab_open(&l, params());
	lab_run(&l, "o", 20);
	lab_run(&l, "f", 5);
	lab_until(&l, 5 * NS_PER_S);
	wall_shift = step;
	lab_run(&l, "o", 5);
	r = lab_take_run(&l, LOSS_RUN_CONFIRMED); /* found before the step */
	ck_assert_int_eq(wall_diff_ns(r.first, t0), 2000 * MS);
	ck_assert_int_eq(wall_diff_ns(r.last, t0), 2200 * MS);
	ck_assert_int_eq(wall_diff_ns(r.before, t0), 1900 * MS);
	r = lab_take_run(&l, LOSS_RUN_CLOSED);
	ck_assert_int_eq(wall_diff_ns(r.first, t0), 2000 * MS);
	ck_assert_int_eq(wall_diff_ns(r.last, t0), 2400 * MS);
	ck_assert_int_eq(wall_diff_ns(r.before, t0), 1900 * MS);
	ck_assert_int_eq(wall_diff_ns(r.after, t0), 5000 * MS);
	ck_assert_int_eq(r.upper_ns, 3100 * MS);
	ck_assert_uint_eq(r.packet_n, 26);
	for (unsigned i = 0; i < 26; i++) {
		const struct loss_run_packet *p = &r.packet[i];
		const int64_t sent = i < 25 ? i * 100 * MS : 5000 * MS;

		ck_assert_int_eq(wall_diff_ns(p->t1, t0), sent);
		if (p->fate != FATE_RECEIVED)
			continue;
		ck_assert_int_eq(wall_diff_ns(p->t4, t0),
		                 sent + 10 * MS + 10 * US);
		ck_assert_int_eq(p->t2.ns - WALL0, sent + 5 * MS);
	}
	loss_run_clear(&r);
	session_free(l.s);
}

START_TEST(a_loss_run_is_dated_by_the_clock_it_is_told_by)
{
	run_across_step(3600 * NS_PER_S);
	run_across_step(-3600 * NS_PER_S);
	wall_shift = 0;
}
END_TEST

START_TEST(a_sleep_of_the_host_is_no_step)
{
	const int64_t slept = 600 * NS_PER_S;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	session_slept(l.s, slept); /* before anything: nothing */
	lab_run(&l, "o", 35);
	session_slept(l.s, slept);
	wall_shift = slept; /* the monotonic clock stood still */
	lab_run(&l, "o", 100);
	lab_until(&l, 60 * NS_PER_S);
	ck_assert_int_eq(session_clock_ns(l.s), WALL0 - MONO0 + slept);
	r = lab_take(&l);
	ck_assert_int_eq(r.start.ns, WALL0);
	ck_assert_int_eq(r.v[METRIC_SENT], 35);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_CLOCK_STEP);
	r = lab_take(&l);
	ck_assert_int_eq(r.start.ns, WALL0 + slept);
	wall_shift = 0;
	session_free(l.s);
}
END_TEST

START_TEST(a_revision_is_dated_as_its_result_was)
{
	struct lab l;
	struct result r;
	struct revision v;
	int64_t clock_ns;

	lab_open(&l, params());
	ck_assert_int_eq(session_clock_ns(l.s), NS_UNKNOWN);
	lab_run(&l, "o", 50);
	lab_run(&l, "f", 100);
	r = lab_take(&l);
	ck_assert_int_eq(r.start.ns, WALL0);
	ck_assert_int_gt(r.v[METRIC_LOST_UNDET], 0);
	ck_assert_int_eq(session_clock_ns(l.s), WALL0 - MONO0);
	wall_shift = -3600 * NS_PER_S;
	lab_run(&l, "o", 10);
	ck_assert_int_eq(session_clock_ns(l.s), WALL0 - MONO0 + wall_shift);
	ck_assert(session_take_revision(l.s, &v, &clock_ns));
	ck_assert_int_eq(v.start.ns, WALL0);
	ck_assert_int_eq(clock_ns, WALL0 - MONO0);
	lab_until(&l, 60 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.start.ns, WALL0 + 10 * NS_PER_S + wall_shift);
	session_free(l.s);
	wall_shift = 0;
}
END_TEST

START_TEST(a_slewed_clock_is_no_step)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (unsigned i = 0; i < 100; i++) {
		wall_shift += 500 * NS_PER_US; /* 5,000 ppm */
		lab_run(&l, "o", 1);
	}
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	ck_assert(!(r.v[METRIC_FLAGS] & RESULT_CLOCK_STEP));
	session_free(l.s);
}
END_TEST

START_TEST(a_burst_over_the_window_takes_the_oldest_out_honestly)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (unsigned i = 0; i < 300; i++) /* the window holds 256 */
		(void)lab_send(&l);
	for (unsigned i = 0; i < 300; i++) {
		const enum reply_verdict v = lab_answer(&l, i);

		ck_assert_int_eq(v, i < 44 ? REPLY_UNKNOWN : REPLY_OK);
	}
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_SENT], 256);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], 256);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_HOST_LIMITED);
	session_free(l.s);
}
END_TEST

START_TEST(local_drops_mark_the_interval)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	session_local_drops(l.s, 2); /* before there is an interval */
	lab_run(&l, "o", 5);
	session_local_drops(l.s, 3);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_LOCAL_DROPS], 5);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_HOST_LIMITED);
	session_free(l.s);
}
END_TEST

/* --- random histories against the truth ----------------------------------- */

#define SIM_N 600

enum ev_kind { EV_SEND, EV_REPLY };
struct ev {
	int64_t t;
	enum ev_kind kind;
	uint32_t i; /* packet, or index into reply[] */
};

struct copy {
	int64_t t2;
	uint32_t i;
};

struct truth {
	int64_t t1, best_t4; /* best_t4: earliest reply, or -1 */
	int64_t t2;          /* first reached the reflector, or -1 */
	uint32_t replies;
};

struct sim {
	struct rng rng;
	double loss, dup;
	int64_t spread_ns; /* of one-way delays: above the gap: reordering */
	struct truth p[SIM_N];
	struct copy copy[3 * SIM_N];
	size_t copies;
	struct session_reply reply[9 * SIM_N];
	size_t replies;
	struct ev ev[10 * SIM_N];
	size_t evs;
};

static int
copy_cmp(const void *a, const void *b)
{
	const struct copy *x = a, *y = b;

	return (x->t2 > y->t2) - (x->t2 < y->t2);
}

static int
ev_cmp(const void *a, const void *b)
{
	const struct ev *x = a, *y = b;

	return (x->t > y->t) - (x->t < y->t);
}

static int64_t
sim_delay(struct sim *w)
{
	int64_t d =
	    2 * MS + (int64_t)(rng_unit(&w->rng) * (double)w->spread_ns);

	if (rng_unit(&w->rng) < 0.02) /* now and then very late */
		d += (int64_t)(rng_unit(&w->rng) * 3e9);
	return d;
}

static unsigned
sim_copies(struct sim *w)
{
	if (rng_unit(&w->rng) < w->loss)
		return 0;
	return rng_unit(&w->rng) < w->dup ? 2 : 1;
}

static void
sim_reflect(struct sim *w, struct reflector *f, const struct copy *c,
            uint32_t first_seq)
{
	struct truth *t = &w->p[c->i];
	struct session_reply r = {.t1_wire = c->i,
	                          .t2 = {WALL0 + c->t2},
	                          .t3 = {WALL0 + c->t2 + 1000},
	                          .t4_is_kernel = true,
	                          .sender_ttl = -1,
	                          .ttl = 200};

	if (t->t2 < 0)
		t->t2 = c->t2;
	reflect(f, first_seq + c->i, &r);
	for (unsigned k = sim_copies(w); k > 0; k--) {
		const int64_t t4 = c->t2 + 1000 + sim_delay(w);

		r.t4 = at(t4);
		w->ev[w->evs++] =
		    (struct ev){t4, EV_REPLY, (uint32_t)w->replies};
		w->reply[w->replies++] = r;
		t->replies++;
		if (t->best_t4 < 0 || t4 < t->best_t4)
			t->best_t4 = t4;
	}
}

static void
sim_build(struct sim *w, uint32_t first_seq, int64_t gap)
{
	struct reflector f = {.instance_id = 9};

	for (uint32_t i = 0; i < SIM_N; i++) {
		const int64_t t1 = 37 * MS + i * gap;

		w->p[i] = (struct truth){.t1 = t1, .best_t4 = -1, .t2 = -1};
		w->ev[w->evs++] = (struct ev){t1, EV_SEND, i};
		for (unsigned k = sim_copies(w); k > 0; k--)
			w->copy[w->copies++] =
			    (struct copy){t1 + sim_delay(w), i};
	}
	qsort(w->copy, w->copies, sizeof(w->copy[0]), copy_cmp);
	for (size_t k = 0; k < w->copies; k++)
		sim_reflect(w, &f, &w->copy[k], first_seq);
	qsort(w->ev, w->evs, sizeof(w->ev[0]), ev_cmp);
}

static void
sim_play(struct sim *w, struct session *s)
{
	for (size_t k = 0; k < w->evs; k++) {
		const struct ev *e = &w->ev[k];

		session_advance(s, at(e->t), NULL, NULL);
		if (e->kind == EV_SEND) {
			session_slot(s, at(e->t));
			session_sent(s, 0, at(e->t), at(e->t), e->i);
		} else {
			(void)session_reply(s, 0, &w->reply[e->i], NULL);
		}
		ck_assert_int_gt(session_deadline(s).ns, MONO0 + e->t - 1);
	}
}

struct sums {
	int64_t sent, received, lost, fwd, bwd, undet, dup, late;
	int64_t either; /* reached it, but overtaken: a reply between says
	                 * forward, and no later one may come to correct it */
	int64_t wrong;  /* judged forward though it reached it */
};

/* Truth of the packets scheduled in [from, to). */
static struct sums
sim_truth(const struct sim *w, int64_t from, int64_t to, int64_t timeout)
{
	struct sums t = {0};

	for (uint32_t i = 0; i < SIM_N; i++) {
		const struct truth *p = &w->p[i];

		if (p->t1 < from || p->t1 >= to)
			continue;
		t.sent++;
		if (p->best_t4 >= 0 && p->best_t4 - p->t1 <= timeout)
			t.received++;
		else if (p->t2 < 0)
			t.fwd++;
		else if (p->t2 - p->t1 > 100 * MS)
			t.either++;
		else
			t.bwd++;
	}
	t.lost = t.fwd + t.bwd + t.either;
	return t;
}

static void
sim_compare(const struct sim *w, struct session *s,
            const struct session_params *p, struct sums *all)
{
	struct result r;

	while (session_take(s, &r)) {
		const int64_t from = r.start.ns - WALL0;
		const struct sums t = sim_truth(w, from, from + p->interval_ns,
		                                p->loss_timeout_ns);
		struct hist h;

		ck_assert_int_eq(r.v[METRIC_SENT], t.sent);
		ck_assert_int_eq(r.v[METRIC_RECEIVED], t.received);
		ck_assert_int_eq(r.v[METRIC_LOST], t.lost);
		ck_assert_int_eq(r.v[METRIC_LOST_FWD] + r.v[METRIC_LOST_BWD] +
		                     r.v[METRIC_LOST_UNDET],
		                 t.lost);
		ck_assert_int_le(r.v[METRIC_LOST_FWD], t.fwd + t.either);
		ck_assert_int_le(r.v[METRIC_LOST_BWD], t.bwd + t.either);
		if (r.v[METRIC_LOST_FWD] > t.fwd)
			all->wrong += r.v[METRIC_LOST_FWD] - t.fwd;
		ck_assert_int_ge(r.v[METRIC_LOST_UNDET], 0);
		if (r.hist_len) {
			ck_assert(hist_decode(r.rtt_hist, r.hist_len, &h));
			ck_assert_int_eq((int64_t)h.n, t.received);
			ck_assert_int_eq(h.base_ns, r.v[METRIC_RTT_MIN]);
		} else {
			ck_assert_int_eq(t.received, 0);
		}
		all->sent += t.sent;
		all->undet += r.v[METRIC_LOST_UNDET];
		all->dup += r.v[METRIC_DUPLICATES];
		all->late += r.v[METRIC_LATE];
	}
}

static void
sim_round(uint64_t seed, double loss, double dup, int64_t spread)
{
	static struct sim w;
	struct session_params p = params();
	struct sums all = {0};
	int64_t replies = 0, undet_max = 0;
	struct session *s;

	memset(&w, 0, sizeof(w));
	wall_shift = 0;
	rng_seed(&w.rng, seed);
	w.loss = loss;
	w.dup = dup;
	w.spread_ns = spread;
	p.first_seq = (uint32_t)rng_u64(&w.rng);
	sim_build(&w, p.first_seq, p.gap_ns);
	s = session_new(&p);
	sim_play(&w, s);
	session_advance(s, at(70 * NS_PER_S), NULL, NULL);
	sim_compare(&w, s, &p, &all);
	ck_assert_int_eq(all.sent, SIM_N);
	for (uint32_t i = 0; i < SIM_N; i++) {
		replies += w.p[i].replies;
		/* before the first packet that reached it, and after the
		 * last reply, nothing can be known */
		if (i < 20 || i >= SIM_N - 20)
			undet_max +=
			    w.p[i].best_t4 < 0 ||
			    w.p[i].best_t4 - w.p[i].t1 > p.loss_timeout_ns;
	}
	if (loss < 1.0)
		ck_assert_int_le(all.undet, undet_max);
	ck_assert_int_le(all.wrong, SIM_N / 50);
	ck_assert_int_le(all.dup + all.late, replies);
	session_free(s);
}

START_TEST(random_histories_agree_with_the_truth_per_packet)
{
	const uint64_t seed = random_u64();

	printf("seed %" PRIu64 "\n", seed);
	for (uint64_t i = 0; i < 40; i++) {
		sim_round(seed + i, 0.0, 0.0, 50 * MS);
		sim_round(seed + i, 0.01, 0.01, 50 * MS);
		sim_round(seed + i, 0.2, 0.05, 90 * MS);
		sim_round(seed + i, 0.1, 0.3, 400 * MS); /* reorders */
		sim_round(seed + i, 0.3, 0.5, 1200 * MS);
	}
}
END_TEST

START_TEST(nothing_is_ever_answered)
{
	sim_round(1, 1.0, 0.0, 50 * MS);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("session");
	TCase *t = tcase_create("session");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, metrics_match_the_vectors);
	tcase_add_test(t, loss_matches_the_vectors);
	tcase_add_test(t,
	               results_are_aligned_and_the_first_and_last_are_partial);
	tcase_add_test(t,
	               an_interval_closes_half_a_second_after_the_loss_timeout);
	tcase_add_test(
	    t, packets_younger_than_the_timeout_at_the_end_are_not_counted);
	tcase_add_test(t, skipped_and_failed_slots_are_scheduled_but_not_sent);
	tcase_add_test(t, a_flow_that_cannot_be_sent_on_holds_up_no_other);
	tcase_add_test(t, failed_sends_end_the_warm_up);
	tcase_add_test(t, an_unaligned_session_is_one_interval_until_the_end);
	tcase_add_test(t,
	               a_late_reply_is_counted_once_and_the_packet_stays_lost);
	tcase_add_test(t,
	               lateness_is_judged_by_stamps_not_by_when_we_got_to_read);
	tcase_add_test(t, altered_and_unknown_replies_measure_nothing);
	tcase_add_test(t, an_impossible_residence_gives_no_rtt_but_a_raw_one);
	tcase_add_test(t, an_unsynchronised_clock_bounds_nothing);
	tcase_add_test(t, ipdv_belongs_to_the_interval_of_the_later_packet);
	tcase_add_test(t, single_losses_get_their_direction_from_the_bitmap);
	tcase_add_test(t, losses_after_the_last_reply_are_undetermined);
	tcase_add_test(t, a_long_forward_blackout_is_decided_by_the_counters);
	tcase_add_test(t, a_long_backward_blackout_is_decided_by_the_counters);
	tcase_add_test(
	    t, a_mixed_blackout_within_an_interval_is_decided_in_numbers);
	tcase_add_test(t, a_mixed_blackout_across_intervals_stays_undetermined);
	tcase_add_test(t,
	               a_reflector_restart_leaves_the_direction_open_across_it);
	tcase_add_test(t, a_reflector_that_forgot_the_session_is_a_restart_too);
	tcase_add_test(t, a_stateless_reflector_gives_no_direction);
	tcase_add_test(t, a_bitmap_that_cannot_be_true_is_not_believed);
	tcase_add_test(t, sequence_numbers_wrap);
	tcase_add_test(t, a_clock_step_cuts_the_interval);
	tcase_add_test(t, a_loss_run_is_dated_by_the_clock_it_is_told_by);
	tcase_add_test(t, a_sleep_of_the_host_is_no_step);
	tcase_add_test(t, a_revision_is_dated_as_its_result_was);
	tcase_add_test(t, a_slewed_clock_is_no_step);
	tcase_add_test(t,
	               a_burst_over_the_window_takes_the_oldest_out_honestly);
	tcase_add_test(t, local_drops_mark_the_interval);
	tcase_add_test(t, random_histories_agree_with_the_truth_per_packet);
	tcase_add_test(t, nothing_is_ever_answered);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
