/* SPDX-License-Identifier: BSD-2-Clause */
/* Where instants come from: T1 of the kernel and the NIC, T3 - T2 that cannot
 * be, and what each result says of it (docs/MEASUREMENT.md, rules 1 and 4). */
#include "tests/unit/lab.h"

static struct result
only_result(struct lab *l)
{
	lab_until(l, l->now + 20 * NS_PER_S);
	return lab_take(l);
}

/* The kernel's stamp for packet seq, so long after the send call. */
static bool
stamp(struct lab *l, uint32_t seq, int64_t after_ns, int64_t now_ns)
{
	return session_tx_stamp(l->s, 0, seq, at(l->t1[0][seq] + after_ns),
	                        NS_UNKNOWN, at(l->t1[0][seq] + now_ns));
}

START_TEST(the_kernels_t1_is_what_is_measured)
{
	struct session_reply x;
	struct sample m;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	(void)lab_send(&l);
	ck_assert(stamp(&l, 0, 80 * US, 90 * US));
	x = lab_reflect(&l, 0, 5 * MS, 5 * MS);
	ck_assert_int_eq(session_reply(l.s, 0, &x, &m), REPLY_OK);
	ck_assert_int_eq(m.rtt_ns, 10 * MS - 80 * US);
	ck_assert_int_eq(m.fwd_ns, 5 * MS - 80 * US);
	ck_assert_int_eq(m.bwd_ns, 5 * MS);
	ck_assert(!stamp(&l, 0, 85 * US, 20 * MS)); /* it came too late */
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_STAMPS] &
	                     (STAMPS_T1_KERNEL | STAMPS_T1_USER |
	                      STAMPS_T4_KERNEL | STAMPS_T4_USER),
	                 STAMPS_T1_KERNEL | STAMPS_T4_KERNEL);
	ck_assert_int_eq(r.v[METRIC_TX_STAMPS_MISSING], 0);
	ck_assert_int_eq(r.v[METRIC_RX_STAMPS_MISSING], 0);
	session_free(l.s);
}
END_TEST

START_TEST(a_stamp_from_outside_the_send_is_rejected)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 3);
	(void)lab_send(&l);
	ck_assert(!stamp(&l, 3, -1, MS));     /* before the call */
	ck_assert(!stamp(&l, 3, MS + 1, MS)); /* after now */
	ck_assert(!stamp(&l, 3, -3600 * NS_PER_S, MS));
	ck_assert(
	    !session_tx_stamp(l.s, 0, 4, at(l.now), NS_UNKNOWN, at(l.now)));
	ck_assert(
	    !session_tx_stamp(l.s, 9, 3, at(l.now), NS_UNKNOWN, at(l.now)));
	ck_assert(!session_tx_stamp(l.s, 0, UINT32_MAX, at(l.now), NS_UNKNOWN,
	                            at(l.now)));
	ck_assert(stamp(&l, 3, 0, 0));  /* the edges are in */
	ck_assert(!stamp(&l, 3, 0, 0)); /* once */
	ck_assert_int_eq(lab_answer(&l, 3), REPLY_OK);
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_TX_STAMPS_MISSING], 3);
	ck_assert_int_eq(r.v[METRIC_STAMPS] &
	                     (STAMPS_T1_KERNEL | STAMPS_T1_USER),
	                 STAMPS_T1_KERNEL | STAMPS_T1_USER);
	ck_assert_int_eq(r.v[METRIC_RTT_MAX], 10 * MS);
	session_free(l.s);
}
END_TEST

START_TEST(stamps_of_the_nic_are_compared_with_each_other_only)
{
	struct session_reply x;
	struct sample m;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (unsigned i = 0; i < 3; i++) {
		(void)lab_send(&l);
		/* a clock of its own, 37 s off; T1 and T4 nearer to the wire
		 * by 20 us and 30 us */
		if (i != 1)
			ck_assert(session_tx_stamp(
			    l.s, 0, i, at(l.now),
			    l.now + 37 * NS_PER_S + 20 * US, at(l.now)));
		x = lab_reflect(&l, i, 5 * MS, 5 * MS);
		if (i != 2)
			x.t4_nic_ns =
			    x.t4.mono.ns - MONO0 + 37 * NS_PER_S - 30 * US;
		ck_assert_int_eq(session_reply(l.s, 0, &x, &m), REPLY_OK);
		ck_assert_int_eq(m.rtt_ns,
		                 i == 0 ? 10 * MS - 50 * US : 10 * MS);
		ck_assert_int_eq(m.fwd_ns, 5 * MS);
		ck_assert_int_eq(m.bwd_ns, 5 * MS);
		l.now += 100 * MS;
	}
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_RTT_MIN], 10 * MS - 50 * US);
	ck_assert_int_eq(r.v[METRIC_RTT_MAX], 10 * MS);
	ck_assert(r.v[METRIC_STAMPS] & STAMPS_T1_NIC);
	session_free(l.s);
}
END_TEST

/* Somebody set the NIC's clock while the packet was out. */
START_TEST(a_nic_clock_that_is_set_makes_neither_loss_nor_delay)
{
	static const int64_t set[] = {3 * NS_PER_S, -3 * NS_PER_S,
	                              3600 * NS_PER_S, 20 * MS};

	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
		struct session_reply x;
		struct sample m;
		struct lab l;
		struct result r;

		lab_open(&l, params());
		(void)lab_send(&l);
		ck_assert(
		    session_tx_stamp(l.s, 0, 0, at(l.now), l.now, at(l.now)));
		x = lab_reflect(&l, 0, 5 * MS, 5 * MS);
		x.t4_nic_ns = x.t4.mono.ns - MONO0 + set[i];
		ck_assert_int_eq(session_reply(l.s, 0, &x, &m), REPLY_OK);
		ck_assert_int_eq(m.rtt_ns, 10 * MS);
		r = only_result(&l);
		CHECK_LOSS(r, 0, 0, 0, 0);
		ck_assert_int_eq(r.v[METRIC_LATE], 0);
		ck_assert_int_eq(r.v[METRIC_RTT_MAX], 10 * MS);
		ck_assert_int_eq(r.v[METRIC_RTT_UNKNOWN], 0);
		ck_assert(!(r.v[METRIC_STAMPS] & STAMPS_T1_NIC));
		session_free(l.s);
	}
}
END_TEST

START_TEST(user_space_stamps_are_told_apart)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 3);
	(void)lab_send(&l);
	x = lab_reflect(&l, 3, 5 * MS, 5 * MS);
	x.t4_is_kernel = false;
	x.t2_is_kernel = true;
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_TX_STAMPS_MISSING], 4);
	ck_assert_int_eq(r.v[METRIC_RX_STAMPS_MISSING], 1);
	ck_assert_int_eq(r.v[METRIC_STAMPS],
	                 STAMPS_T1_USER | STAMPS_T4_KERNEL | STAMPS_T4_USER |
	                     STAMPS_T2_KERNEL | STAMPS_T2_USER |
	                     STAMPS_T3_USER);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_HOST_LIMITED);
	session_free(l.s);
}
END_TEST

/* Rule 1: T3 - T2 is accepted within 0 .. T4 - T1 only. */
START_TEST(an_impossible_residence_is_counted_and_the_raw_rtt_kept)
{
	static const int64_t residence[] = {-1, 0, 10 * MS + 10 * US,
	                                    10 * MS + 10 * US + 1};
	const int64_t raw = 10 * MS + 10 * US;
	struct session_reply x;
	struct sample m;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (unsigned i = 0; i < 4; i++) {
		const bool good = i == 1 || i == 2;

		(void)lab_send(&l);
		x = lab_reflect(&l, i, 5 * MS, 5 * MS);
		x.t3 = wall_add_ns(x.t2, residence[i]);
		ck_assert_int_eq(session_reply(l.s, 0, &x, &m), REPLY_OK);
		ck_assert_int_eq(m.raw_rtt_ns, raw);
		ck_assert_int_eq(m.rtt_ns,
		                 good ? raw - residence[i] : NS_UNKNOWN);
		l.now += 100 * MS;
	}
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], 4);
	ck_assert_int_eq(r.v[METRIC_RTT_UNKNOWN], 2);
	ck_assert_int_eq(r.v[METRIC_RAW_RTT_MEAN], raw);
	ck_assert_int_eq(r.v[METRIC_RTT_MIN], 0);
	ck_assert_int_eq(r.v[METRIC_RTT_MAX], raw);
	session_free(l.s);
}
END_TEST

/* A T4 before T1 is nobody's round trip, but the packet was received. */
START_TEST(a_negative_round_trip_is_counted_as_unknown)
{
	struct session_reply x;
	struct sample m;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	(void)lab_send(&l);
	x = lab_reflect(&l, 0, 5 * MS, 5 * MS);
	x.t4 = at(-5 * US);
	ck_assert_int_eq(session_reply(l.s, 0, &x, &m), REPLY_OK);
	ck_assert_int_eq(m.raw_rtt_ns, NS_UNKNOWN);
	ck_assert_int_eq(m.rtt_ns, NS_UNKNOWN);
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], 1);
	ck_assert_int_eq(r.v[METRIC_RTT_UNKNOWN], 1);
	ck_assert_int_eq(r.v[METRIC_RAW_RTT_MEAN], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_RTT_MEAN], METRIC_NULL);
	session_free(l.s);
}
END_TEST

/* Stamps of any value a peer can send: nothing overflows, all adds up. */
START_TEST(absurd_stamps_of_a_peer_break_nothing)
{
	static const int64_t absurd[] = {INT64_MIN + 1, INT64_MIN / 2, -1, 0, 1,
	                                 INT64_MAX / 2, INT64_MAX};
	const unsigned n = sizeof(absurd) / sizeof(absurd[0]);
	struct session_params p = params();
	struct session_reply x;
	struct lab l;
	struct result r;

	p.detail = true;
	p.codec = VOICE_G711;
	lab_open(&l, p);
	for (unsigned i = 0; i < n * n; i++) {
		(void)lab_send(&l);
		x = lab_reflect(&l, i, 5 * MS, 5 * MS);
		x.t2.ns = absurd[i % n];
		x.t3.ns = absurd[i / n];
		x.has_follow_up = x.follow_up = true;
		x.follow_up_seq = i - 1;
		x.follow_up_t3.ns = absurd[(i + 3) % n];
		x.sender_error_ns = x.reflector_error_ns = INT64_MAX;
		ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
		lab_until(&l, l.now + 100 * MS);
	}
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], n * n);
	ck_assert_int_ge(r.v[METRIC_RTT_UNKNOWN], n * n / 2);
	session_free(l.s);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, the_kernels_t1_is_what_is_measured);
	tcase_add_test(t, a_stamp_from_outside_the_send_is_rejected);
	tcase_add_test(t, stamps_of_the_nic_are_compared_with_each_other_only);
	tcase_add_test(t, a_nic_clock_that_is_set_makes_neither_loss_nor_delay);
	tcase_add_test(t, user_space_stamps_are_told_apart);
	tcase_add_test(t,
	               an_impossible_residence_is_counted_and_the_raw_rtt_kept);
	tcase_add_test(t, a_negative_round_trip_is_counted_as_unknown);
	tcase_add_test(t, absurd_stamps_of_a_peer_break_nothing);
}

int
main(void)
{
	return suite_main("stamps", add);
}
