/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies and order by direction, also across a restart of the reflector. */
#include "tests/unit/lab.h"

static struct result
only_result(struct lab *l)
{
	lab_until(l, l->now + 20 * NS_PER_S);
	return lab_take(l);
}

static void
check_ways(const struct result *r, int64_t all, int64_t fwd, int64_t bwd)
{
	ck_assert_int_eq(r->v[METRIC_DUPLICATES], all);
	ck_assert_int_eq(r->v[METRIC_FWD_DUPLICATES], fwd);
	ck_assert_int_eq(r->v[METRIC_BWD_DUPLICATES], bwd);
}

START_TEST(a_copy_belongs_to_the_way_it_was_made_on)
{
	struct session_reply x, y;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 3);
	(void)lab_send(&l); /* 3: copied on the way there */
	x = lab_reflect(&l, 3, 5 * MS, 5 * MS);
	y = lab_reflect(&l, 3, 6 * MS, 5 * MS);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	ck_assert_int_eq(session_reply(l.s, 0, &y, NULL), REPLY_DUPLICATE);
	/* the answer to the copy is copied on the way back */
	ck_assert_int_eq(session_reply(l.s, 0, &y, NULL), REPLY_DUPLICATE);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_DUPLICATE);
	r = only_result(&l);
	check_ways(&r, 3, 1, 2);
	session_free(l.s);
}
END_TEST

START_TEST(copies_whose_answers_are_lost_are_still_counted)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	(void)lab_send(&l);
	(void)lab_reflect(&l, 0, 5 * MS, 5 * MS);
	/* the very first reply tells of one copy */
	x = lab_reflect(&l, 0, 6 * MS, 5 * MS);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	l.now += 100 * MS;
	(void)lab_send(&l);
	(void)lab_reflect(&l, 1, 5 * MS, 5 * MS);
	(void)lab_reflect(&l, 1, 5 * MS, 5 * MS);
	(void)lab_reflect(&l, 1, 5 * MS, 5 * MS);
	l.now += 100 * MS;
	lab_run(&l, "o", 3);
	r = only_result(&l);
	check_ways(&r, 0, 3, 0);
	session_free(l.s);
}
END_TEST

/* The new life counts from 0: fewer copies than the old one had told of. */
static void
restart(uint64_t instance_id)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (unsigned i = 0; i < 10; i++) {
		lab_run(&l, "o", 1);
		x = lab_reflect(&l, i, 6 * MS, 5 * MS);
		ck_assert_int_eq(session_reply(l.s, 0, &x, NULL),
		                 REPLY_DUPLICATE);
	}
	l.f = (struct reflector){.instance_id = instance_id};
	lab_run(&l, "o", 5);
	x = lab_reflect(&l, 12, 6 * MS, 5 * MS);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_DUPLICATE);
	lab_run(&l, "o", 50);
	r = only_result(&l);
	check_ways(&r, 11, 11, 0);
	/* its sequence numbers begin anew, which is no reordering */
	ck_assert_int_eq(r.v[METRIC_REORDERED], 0);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDERED], 0);
	ck_assert_int_eq(r.v[METRIC_BWD_REORDERED], 0);
	ck_assert_int_eq(r.v[METRIC_BWD_REORDER_EXTENT], METRIC_NULL);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_REFLECTOR_RESTART);
	session_free(l.s);
}

START_TEST(a_restart_makes_neither_copies_nor_reordering)
{
	restart(0x2222);
	restart(0x1111); /* it forgot the session */
}
END_TEST

START_TEST(a_straggler_of_the_old_life_was_overtaken_on_the_way_back)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 20);
	(void)lab_send(&l);
	x = lab_reflect(&l, 20, 5 * MS, 200 * MS); /* rseq 20 */
	l.now += 100 * MS;
	l.f = (struct reflector){.instance_id = 0x2222};
	lab_run(&l, "o", 2);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	lab_run(&l, "o", 30);
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_REORDERED], 1);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDERED], 0);
	ck_assert_int_eq(r.v[METRIC_BWD_REORDERED], 1);
	ck_assert_int_eq(r.v[METRIC_BWD_REORDER_EXTENT], 2);
	check_ways(&r, 0, 0, 0);
	CHECK_LOSS(r, 0, 0, 0, 0);
	session_free(l.s);
}
END_TEST

/* --- order -----------------------------------------------------------------
 */

/* Packets 0 .. n - 1 reach the reflector in that order; its replies come back
 * in the order they were sent. */
static struct result
arrive_in_order(const unsigned *order, unsigned n)
{
	struct session_reply x[8];
	struct lab l;
	struct result r;

	lab_open(&l, params());
	for (unsigned i = 0; i < n; i++) {
		(void)lab_send(&l);
		l.now += MS;
	}
	for (unsigned i = 0; i < n; i++)
		x[i] = lab_reflect(&l, order[i], (100 + i) * MS, 5 * MS);
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(session_reply(l.s, 0, &x[i], NULL), REPLY_OK);
	r = only_result(&l);
	session_free(l.s);
	return r;
}

START_TEST(the_extent_on_the_way_there_is_that_of_rfc_4737)
{
	static const unsigned a[] = {0, 3, 4, 5, 1, 2};
	static const unsigned b[] = {0, 4, 1, 2, 3};
	static const unsigned c[] = {1, 2, 3, 0};
	struct result r = arrive_in_order(a, 6);

	ck_assert_int_eq(r.v[METRIC_FWD_REORDERED], 2);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDER_EXTENT], 4);
	ck_assert_int_eq(r.v[METRIC_REORDERED], 2);
	ck_assert_int_eq(r.v[METRIC_REORDER_EXTENT], 4);
	ck_assert_int_eq(r.v[METRIC_BWD_REORDERED], 0);
	ck_assert_int_eq(r.v[METRIC_BWD_REORDER_EXTENT], METRIC_NULL);
	r = arrive_in_order(b, 5);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDERED], 3);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDER_EXTENT], 3);
	r = arrive_in_order(c, 4);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDERED], 1);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDER_EXTENT], 3);
}
END_TEST

/* Copies at the reflector do not make an extent longer. */
START_TEST(copies_do_not_count_in_the_extent)
{
	struct session_reply x[3];
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 5);
	(void)lab_send(&l);
	(void)lab_send(&l);
	x[0] = lab_reflect(&l, 6, 5 * MS, 5 * MS);
	for (unsigned i = 0; i < 9; i++) /* their answers are lost */
		(void)lab_reflect(&l, 6, 6 * MS, 5 * MS);
	x[1] = lab_reflect(&l, 5, 7 * MS, 5 * MS);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(session_reply(l.s, 0, &x[i], NULL), REPLY_OK);
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDERED], 1);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDER_EXTENT], 1);
	ck_assert_int_eq(r.v[METRIC_FWD_DUPLICATES], 9);
	session_free(l.s);
}
END_TEST

START_TEST(the_answer_to_the_copy_may_come_first)
{
	struct session_reply x, y, z;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 5);
	(void)lab_send(&l);
	(void)lab_send(&l);
	z = lab_reflect(&l, 6, 5 * MS, 5 * MS);
	x = lab_reflect(&l, 5, 7 * MS, 50 * MS); /* overtaken by 6 */
	y = lab_reflect(&l, 5, 8 * MS, 5 * MS);  /* a copy */
	ck_assert_int_eq(session_reply(l.s, 0, &z, NULL), REPLY_OK);
	ck_assert_int_eq(session_reply(l.s, 0, &y, NULL), REPLY_OK);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_DUPLICATE);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_DUPLICATE);
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDERED], 1);
	ck_assert_int_eq(r.v[METRIC_BWD_REORDERED], 0);
	check_ways(&r, 2, 1, 1);
	session_free(l.s);
}
END_TEST

START_TEST(a_report_that_cannot_be_true_reorders_nothing)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	(void)lab_send(&l);
	x = lab_reflect(&l, 0, 5 * MS, 5 * MS);
	x.bitmap_highest += 100; /* never sent */
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	r = only_result(&l);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDERED], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_FWD_DUPLICATES], METRIC_NULL);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_STATELESS);
	session_free(l.s);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, the_extent_on_the_way_there_is_that_of_rfc_4737);
	tcase_add_test(t, copies_do_not_count_in_the_extent);
	tcase_add_test(t, the_answer_to_the_copy_may_come_first);
	tcase_add_test(t, a_report_that_cannot_be_true_reorders_nothing);
	tcase_add_test(t, a_copy_belongs_to_the_way_it_was_made_on);
	tcase_add_test(t, copies_whose_answers_are_lost_are_still_counted);
	tcase_add_test(t, a_restart_makes_neither_copies_nor_reordering);
	tcase_add_test(
	    t, a_straggler_of_the_old_life_was_overtaken_on_the_way_back);
}

int
main(void)
{
	return suite_main("copies", add);
}
