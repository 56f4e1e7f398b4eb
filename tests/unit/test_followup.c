/* SPDX-License-Identifier: BSD-2-Clause */
/* Follow-Up Telemetry (RFC 8972 4.7): reply n + 1 tells when reply n left. */
#include "tests/unit/lab.h"

#define READ_NS (10 * US) /* T3 is read so long after T2 (lab.c) */

/* The reply to seq, which left `left` after T3 was read; it tells of the
 * reply with the number `of`, which left `of_left` after its own. */
static struct session_reply
tells(struct lab *l, uint32_t seq, int64_t left, int64_t of, int64_t of_t3)
{
	struct session_reply r = lab_reflect(l, seq, 5 * MS, 5 * MS);

	r.t4 = at(l->t1[0][seq] + 10 * MS + READ_NS + left);
	r.has_follow_up = true;
	if (of < 0)
		return r;
	r.follow_up = true;
	r.follow_up_seq = (uint32_t)of;
	r.follow_up_t3 = (struct wall){WALL0 + of_t3};
	return r;
}

/* When the reply to seq really left. */
static int64_t
true_t3(const struct lab *l, uint32_t seq, int64_t left)
{
	return l->t1[0][seq] + 5 * MS + READ_NS + left;
}

static void
check_bwd(const struct result *r, int64_t min, int64_t max, int64_t uncorrected)
{
	ck_assert_int_eq(r->v[METRIC_BWD_MIN], min);
	ck_assert_int_eq(r->v[METRIC_BWD_MAX], max);
	ck_assert_int_eq(r->v[METRIC_RTT_MIN], min + 5 * MS);
	ck_assert_int_eq(r->v[METRIC_RTT_MAX], max + 5 * MS);
	ck_assert_int_eq(r->v[METRIC_T3_UNCORRECTED], uncorrected);
}

START_TEST(a_sample_waits_for_its_true_t3_across_an_interval)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (uint32_t i = 0; i < 130; i++) {
		const int64_t left = (20 + i % 7) * US;

		(void)lab_send(&l);
		x = tells(&l, i, left, (int64_t)i - 1,
		          i ? true_t3(&l, i - 1, (20 + (i - 1) % 7) * US) : 0);
		ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
		lab_until(&l, l.now + 100 * MS);
	}
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	check_bwd(&r, 5 * MS, 5 * MS, 0); /* packet 99 by the reply to 100 */
	ck_assert_int_eq(r.v[METRIC_BWD_IPDV], 0);
	ck_assert_int_eq(r.v[METRIC_BWD_JITTER], 0);
	ck_assert_int_eq(r.v[METRIC_STAMPS] &
	                     (STAMPS_T3_FOLLOW_UP | STAMPS_T3_USER),
	                 STAMPS_T3_FOLLOW_UP);
	r = lab_take(&l);
	check_bwd(&r, 5 * MS, 5 * MS + (20 + 129 % 7) * US, 1);
	ck_assert_int_eq(r.v[METRIC_STAMPS] &
	                     (STAMPS_T3_FOLLOW_UP | STAMPS_T3_USER),
	                 STAMPS_T3_FOLLOW_UP | STAMPS_T3_USER);
	session_free(l.s);
}
END_TEST

START_TEST(it_is_matched_by_number_and_never_applied_to_its_carrier)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (uint32_t i = 0; i < 3; i++) {
		(void)lab_send(&l);
		l.now += 100 * MS;
	}
	x = tells(&l, 0, 30 * US, 0, true_t3(&l, 0, 30 * US)); /* itself */
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_DUPLICATE);
	x = tells(&l, 1, 30 * US, 77, true_t3(&l, 0, 30 * US)); /* nobody */
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	x = tells(&l, 2, 30 * US, 1, true_t3(&l, 1, 30 * US));
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	check_bwd(&r, 5 * MS, 5 * MS + 30 * US, 2);
	session_free(l.s);
}
END_TEST

START_TEST(a_reply_that_its_follower_overtook_is_corrected_too)
{
	struct session_reply x, y;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (uint32_t i = 0; i < 4; i++) {
		(void)lab_send(&l);
		l.now += MS;
	}
	x = tells(&l, 0, 30 * US, -1, 0);
	y = tells(&l, 1, 30 * US, 0, true_t3(&l, 0, 30 * US));
	ck_assert_int_eq(session_reply(l.s, 0, &y, NULL), REPLY_OK);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	y = tells(&l, 2, 30 * US, 1, true_t3(&l, 1, 30 * US));
	ck_assert_int_eq(session_reply(l.s, 0, &y, NULL), REPLY_OK);
	y = tells(&l, 3, 0, 2, true_t3(&l, 2, 30 * US));
	ck_assert_int_eq(session_reply(l.s, 0, &y, NULL), REPLY_OK);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	check_bwd(&r, 5 * MS, 5 * MS, 1); /* the last one, by luck exact */
	session_free(l.s);
}
END_TEST

/* Its successor never comes: it is measured as it is, and counted. */
START_TEST(without_its_follower_a_sample_stays_uncorrected)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (uint32_t i = 0; i < 100; i++) {
		(void)lab_send(&l);
		x = tells(&l, i, 30 * US, (int64_t)i - 1,
		          i ? true_t3(&l, i - 1, 30 * US) : 0);
		if (i % 10 != 5) /* lost on the way back */
			ck_assert_int_eq(session_reply(l.s, 0, &x, NULL),
			                 REPLY_OK);
		lab_until(&l, l.now + 100 * MS);
	}
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	CHECK_LOSS(r, 10, 0, 10, 0);
	check_bwd(&r, 5 * MS, 5 * MS + 30 * US, 11);
	session_free(l.s);
}
END_TEST

START_TEST(an_impossible_t3_is_not_applied)
{
	static const int64_t wrong[] = {-1, 10 * MS + 1, NS_PER_S,
	                                -3600 * NS_PER_S, 3600 * NS_PER_S};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct session_reply x;
		struct lab l;
		struct result r;

		lab_open(&l, params());
		(void)lab_send(&l);
		l.now += 100 * MS;
		(void)lab_send(&l);
		x = tells(&l, 0, 0, -1, 0);
		ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
		x = tells(&l, 1, 0, 0, true_t3(&l, 0, wrong[i]));
		ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
		lab_until(&l, 30 * NS_PER_S);
		r = lab_take(&l);
		check_bwd(&r, 5 * MS, 5 * MS, 2);
		ck_assert_int_eq(r.v[METRIC_RTT_UNKNOWN], 0);
		session_free(l.s);
	}
}
END_TEST

/* 10 packets are answered, then nothing: their samples do not go with the
 * packets when those leave the window. */
START_TEST(what_waits_is_measured_before_it_leaves_the_window)
{
	struct session_params p = params();
	struct session_reply x;
	struct lab l;
	struct result r;

	p.gap_ns = 10 * MS;
	lab_open(&l, p);
	for (uint32_t i = 0; i < 1000; i++) {
		(void)lab_send(&l);
		if (i < 10) {
			x = tells(&l, i, 0, -1, 0);
			ck_assert_int_eq(session_reply(l.s, 0, &x, NULL),
			                 REPLY_OK);
		}
		lab_until(&l, l.now + 10 * MS);
	}
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_RECEIVED], 10);
	check_bwd(&r, 5 * MS, 5 * MS, 10);
	ck_assert_int_eq(r.v[METRIC_RTT_P50], 10 * MS);
	session_free(l.s);
}
END_TEST

START_TEST(a_reflector_that_does_not_answer_it_is_not_waited_for)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 100);
	lab_until(&l, 30 * NS_PER_S);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_T3_UNCORRECTED], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_RTT_MAX], 10 * MS);
	ck_assert_int_eq(r.v[METRIC_STAMPS] &
	                     (STAMPS_T3_FOLLOW_UP | STAMPS_T3_USER),
	                 STAMPS_T3_USER);
	session_free(l.s);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, a_sample_waits_for_its_true_t3_across_an_interval);
	tcase_add_test(
	    t, it_is_matched_by_number_and_never_applied_to_its_carrier);
	tcase_add_test(t, a_reply_that_its_follower_overtook_is_corrected_too);
	tcase_add_test(t, without_its_follower_a_sample_stays_uncorrected);
	tcase_add_test(t, an_impossible_t3_is_not_applied);
	tcase_add_test(t, what_waits_is_measured_before_it_leaves_the_window);
	tcase_add_test(t,
	               a_reflector_that_does_not_answer_it_is_not_waited_for);
}

int
main(void)
{
	return suite_main("followup", add);
}
