/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/state.h"

#include "lib/base/rng.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEN_NS (10 * NS_PER_S)
#define T0_NS (INT64_C(1795000000) * NS_PER_S)

static struct cell cell;

static void
set_up(void)
{
	memset(&cell, 0, sizeof(cell));
	cell_reset(&cell, 1);
}

static void
tear_down(void)
{
	cell_clear(&cell);
}

static struct cell_input
input(int k, int64_t sent, int64_t fwd, int64_t undet)
{
	struct cell_input in = {
	    .start = {T0_NS + k * LEN_NS}, .interval_ns = LEN_NS, .epoch = 7};

	for (int m = 0; m < METRIC_N; m++)
		in.v[m] = METRIC_NULL;
	in.v[METRIC_SENT] = sent;
	in.v[METRIC_SEND_FAILED] = 0;
	in.v[METRIC_LOST_FWD] = fwd;
	in.v[METRIC_LOST_UNDET] = undet;
	in.v[METRIC_FLAGS] = 0;
	return in;
}

static bool
feed(int k, int64_t sent, int64_t fwd, int64_t undet)
{
	struct cell_input in = input(k, sent, fwd, undet);

	return cell_apply(&cell, &in);
}

START_TEST(one_good_interval_makes_ok)
{
	ck_assert_int_eq(cell.state, CELL_UNJUDGED);
	ck_assert(feed(0, 100, 0, 0));
	ck_assert_int_eq(cell.state, CELL_OK);
	ck_assert(cell.since.ns == T0_NS);
	ck_assert(cell.measured.ns == T0_NS + LEN_NS);
	ck_assert_ptr_null(cell.why);
	ck_assert(cell.sent == 100 && cell.lost == 0);
	ck_assert(isnan(cell.rtt_ms));
	ck_assert_int_eq(cell.hops, -1);
}
END_TEST

START_TEST(two_bad_in_a_row_make_crit_and_say_why)
{
	feed(0, 20, 0, 0);
	feed(1, 20, 12, 0);
	ck_assert_int_eq(cell.state, CELL_OK);
	ck_assert_str_eq(cell.why, "12 of 20 packets lost in one interval");
	feed(2, 20, 12, 0);
	ck_assert_int_eq(cell.state, CELL_CRIT);
	ck_assert_str_eq(cell.why,
	                 "12 of 20 packets lost in each of 2 intervals");
	ck_assert(cell.since.ns == T0_NS + LEN_NS);
	ck_assert(cell.lost == 12 && cell.lost_undet == 0);
}
END_TEST

START_TEST(unequal_intervals_are_told_apart)
{
	feed(0, 20, 12, 0);
	ck_assert_int_eq(cell.state, CELL_UNJUDGED);
	feed(1, 20, 20, 0);
	ck_assert_int_eq(cell.state, CELL_CRIT);
	ck_assert_str_eq(cell.why, "12 of 20, then 20 of 20 packets lost in 2 "
	                           "intervals in a row");
	ck_assert(cell.since.ns == T0_NS);
}
END_TEST

START_TEST(one_bad_between_good_ones_is_not_crit)
{
	for (int k = 0; k < 10; k++) {
		feed(k, 20, k % 2 ? 12 : 0, 0);
		ck_assert_int_eq(cell.state, CELL_OK);
	}
}
END_TEST

START_TEST(crit_leaves_after_two_good)
{
	feed(0, 20, 20, 0);
	feed(1, 20, 20, 0);
	feed(2, 20, 0, 0);
	ck_assert_int_eq(cell.state, CELL_CRIT);
	feed(3, 20, 20, 0);
	feed(4, 20, 0, 0);
	ck_assert_int_eq(cell.state, CELL_CRIT);
	feed(5, 20, 1, 0);
	ck_assert_int_eq(cell.state, CELL_OK);
	ck_assert(cell.since.ns == T0_NS + 4 * LEN_NS);
	ck_assert_ptr_null(cell.why);
}
END_TEST

START_TEST(undetermined_loss_counts_against_the_direction)
{
	feed(0, 20, 0, 20);
	feed(1, 20, 0, 20);
	ck_assert_int_eq(cell.state, CELL_CRIT);
	ck_assert_int_eq(cell.lost, 20);
	ck_assert_int_eq(cell.lost_undet, 20);
}
END_TEST

START_TEST(two_lost_or_nine_per_cent_are_not_bad)
{
	for (int k = 0; k < 5; k++)
		feed(k, 100, 9, 0);
	ck_assert_int_eq(cell.state, CELL_OK);
	for (int k = 5; k < 10; k++)
		feed(k, 100, 2, 0);
	ck_assert_int_eq(cell.state, CELL_OK);
	feed(10, 100, 10, 0);
	feed(11, 100, 10, 0);
	ck_assert_int_eq(cell.state, CELL_CRIT);
}
END_TEST

START_TEST(thin_intervals_are_gathered)
{
	/* An address that does not answer gets one packet per second: two in
	 * an interval of 2 s. It must not stay green, nor unjudged. */
	feed(0, 20, 0, 0);
	for (int k = 1; k <= 3; k++)
		feed(k, 2, 0, 2);
	ck_assert_int_eq(cell.state, CELL_OK);
	feed(4, 2, 0, 2);
	ck_assert_int_eq(cell.state, CELL_CRIT);
	ck_assert_str_eq(cell.why, "4 of 4 packets lost over several "
	                           "intervals, twice in a row");
}
END_TEST

START_TEST(thin_intervals_between_good_ones_are_forgotten)
{
	for (int k = 0; k < 20; k++) {
		feed(k, 2, 0, k % 2);
		ck_assert_int_eq(cell.state, CELL_OK);
	}
}
END_TEST

START_TEST(what_cannot_be_sent_is_bad)
{
	struct cell_input in;

	feed(0, 20, 0, 0);
	for (int k = 1; k <= 2; k++) {
		in = input(k, 0, 0, 0);
		in.v[METRIC_SEND_FAILED] = 20;
		ck_assert(cell_apply(&cell, &in));
	}
	ck_assert_int_eq(cell.state, CELL_CRIT);
	ck_assert_str_eq(cell.why, "20 of 20 packets could not be sent");
	ck_assert_int_eq(cell.sent, 0);
}
END_TEST

START_TEST(host_limited_results_never_turn_a_cell)
{
	feed(0, 20, 0, 0);
	for (int k = 1; k < 6; k++) {
		struct cell_input in = input(k, 20, 20, 0);

		in.v[METRIC_FLAGS] = RESULT_HOST_LIMITED;
		ck_assert(cell_apply(&cell, &in));
	}
	ck_assert_int_eq(cell.state, CELL_OK);
	ck_assert_int_eq(cell.streak, 1);
	ck_assert_int_eq(cell.lost, 20);
}
END_TEST

START_TEST(neither_does_the_destinations_host)
{
	feed(0, 20, 0, 0);
	for (int k = 1; k < 6; k++) {
		struct cell_input in = input(k, 20, 20, 0);

		if (k % 2)
			in.v[METRIC_FLAGS] = RESULT_DST_HOST_LIMITED;
		else
			in.dst_limited = true;
		ck_assert(cell_apply(&cell, &in));
	}
	ck_assert_int_eq(cell.state, CELL_OK);
	feed(6, 20, 0, 0);
	ck_assert_int_eq(cell.streak, 2); /* good ones count */
}
END_TEST

/* A run of 5 s that ended at the end of interval k. */
static struct cell_run
run_at(int k)
{
	const struct wall end = {T0_NS + (k + 1) * LEN_NS};

	return (struct cell_run){.run_id = 0xabc,
	                         .first = wall_add_ns(end, -5 * NS_PER_S),
	                         .end = end,
	                         .lasted_ns = 5 * NS_PER_S,
	                         .lost = 50,
	                         .interval_ns = LEN_NS};
}

START_TEST(a_closed_run_is_crit_until_two_good_intervals)
{
	struct cell_run r = run_at(1);

	feed(0, 100, 0, 0);
	feed(1, 100, 0, 0);
	ck_assert(cell_apply_run(&cell, &r));
	ck_assert_int_eq(cell.state, CELL_CRIT);
	ck_assert(cell.since.ns == r.first.ns);
	ck_assert_str_eq(cell.why,
	                 "no reply for 5.0 s (loss run 0000000000000abc)");
	ck_assert(!cell_apply_run(&cell, &r)); /* it is already */
	feed(2, 100, 0, 0);
	ck_assert_int_eq(cell.state, CELL_CRIT);
	ck_assert(cell_apply_run(&cell,
	                         &(struct cell_run){.first = r.first,
	                                            .end = {T0_NS + 3 * LEN_NS},
	                                            .lasted_ns = 5 * NS_PER_S,
	                                            .lost = 9,
	                                            .interval_ns = LEN_NS}));
	feed(3, 100, 0, 0);
	ck_assert_int_eq(cell.state, CELL_CRIT); /* the count began anew */
	feed(4, 100, 0, 0);
	ck_assert_int_eq(cell.state, CELL_OK);
}
END_TEST

START_TEST(short_thin_backward_and_old_runs_change_nothing)
{
	struct cell_run r = run_at(5);

	ck_assert(!cell_apply_run(&cell, &r)); /* never measured */
	for (int k = 0; k < 6; k++)
		feed(k, 100, 0, 0);
	r.lasted_ns = 3 * NS_PER_S - 1;
	ck_assert(!cell_apply_run(&cell, &r));
	r = run_at(5);
	r.lost = 2; /* the rest was lost on the way back */
	ck_assert(!cell_apply_run(&cell, &r));
	r = run_at(3); /* results since then say what there is to say */
	ck_assert(!cell_apply_run(&cell, &r));
	ck_assert_int_eq(cell.state, CELL_OK);
	r = run_at(4);
	ck_assert(cell_apply_run(&cell, &r));
}
END_TEST

START_TEST(the_way_back_is_kept_for_the_other_end)
{
	struct cell_input in = input(0, 100, 2, 3);

	in.v[METRIC_LOST_BWD] = 4;
	in.v[METRIC_BWD_MEAN] = 7 * NS_PER_MS;
	in.v[METRIC_BWD_IPDV] = NS_PER_MS / 2;
	in.v[METRIC_FWD_MIN] = -3 * NS_PER_MS;
	in.v[METRIC_BWD_MIN] = 6 * NS_PER_MS;
	ck_assert(cell_apply(&cell, &in));
	ck_assert_int_eq(cell.lost_bwd, 4);
	ck_assert_double_eq((double)cell.back_delay_ms, 7);
	ck_assert_double_eq((double)cell.back_jitter_ms, 0.5);
	ck_assert_double_eq((double)cell.fwd_min_ms, -3);
	ck_assert_double_eq((double)cell.bwd_min_ms, 6);
	/* never more than can have got there, and NULL stays unknown */
	in = input(1, 100, 20, 70);
	in.v[METRIC_LOST_BWD] = 50;
	ck_assert(cell_apply(&cell, &in));
	ck_assert_int_eq(cell.lost_bwd, 10);
	ck_assert(isnan(cell.back_delay_ms) && isnan(cell.fwd_min_ms));
}
END_TEST

START_TEST(a_revision_corrects_the_counts_of_the_newest_result)
{
	const struct wall end = {T0_NS + LEN_NS};

	feed(0, 100, 2, 8);
	ck_assert_int_eq(cell.lost, 10);
	ck_assert(cell_revise(&cell, end, 5, 4, 1));
	ck_assert_int_eq(cell.lost, 6);
	ck_assert_int_eq(cell.lost_undet, 1);
	ck_assert_int_eq(cell.lost_bwd, 4);
	/* not another result, and never more than was lost */
	ck_assert(!cell_revise(&cell, wall_add_ns(end, 1), 5, 5, 0));
	ck_assert(!cell_revise(&cell, end, 7, 3, 0));
	ck_assert(!cell_revise(&cell, end, 4, 4, 2));
	ck_assert(!cell_revise(&cell, end, -1, 6, 0));
	ck_assert_int_eq(cell.lost, 6);
}
END_TEST

START_TEST(an_interval_without_packets_changes_no_state)
{
	feed(0, 20, 20, 0);
	feed(1, 20, 20, 0);
	feed(2, 0, 0, 0);
	feed(3, 0, 0, 0);
	ck_assert_int_eq(cell.state, CELL_CRIT);
	ck_assert_int_eq(cell.sent, 0);
}
END_TEST

START_TEST(older_results_change_nothing)
{
	struct cell before;

	feed(0, 20, 0, 0);
	feed(5, 20, 1, 0);
	before = cell;
	ck_assert(!feed(5, 20, 20, 0));
	ck_assert(!feed(4, 20, 20, 0));
	ck_assert_int_eq(before.measured.ns, cell.measured.ns);
	ck_assert_int_eq(before.state, cell.state);
	ck_assert_int_eq(before.streak, cell.streak);
	ck_assert_int_eq(before.sent, cell.sent);
	ck_assert_int_eq(before.lost, cell.lost);
	ck_assert(before.sent == cell.sent);
}
END_TEST

START_TEST(a_hole_ends_the_row)
{
	feed(0, 20, 0, 0);
	feed(1, 20, 20, 0);
	feed(100, 20, 20, 0);
	ck_assert_int_eq(cell.state, CELL_OK);
	feed(101, 20, 20, 0);
	ck_assert_int_eq(cell.state, CELL_CRIT);
}
END_TEST

START_TEST(a_blackout_is_never_ok)
{
	uint64_t seed = random_u64();
	struct rng r;

	rng_seed(&r, seed);
	for (int round = 0; round < 2000; round++) {
		int64_t fwd, sent = 0;
		int k = 0, bad;

		cell_reset(&cell, 1);
		for (; k < (int)(rng_u64(&r) % 6); k++)
			feed(k, 100, (int64_t)(rng_u64(&r) % 101), 0);
		/* at most six intervals of any size, all lost */
		for (bad = 0; bad < 6; bad++, k++) {
			sent = 1 + (int64_t)(rng_u64(&r) % 100);
			fwd = (int64_t)(rng_u64(&r) % (uint64_t)(sent + 1));
			feed(k, sent, fwd, sent - fwd);
		}
		ck_assert_msg(cell.state == CELL_CRIT, "seed %llu round %d",
		              (unsigned long long)seed, round);
	}
}
END_TEST

START_TEST(absurd_numbers_stay_in_range)
{
	struct cell_input in = input(0, INT64_MAX, INT64_MAX, INT64_MAX);

	ck_assert(cell_apply(&cell, &in));
	in = input(1, 5, -3, INT32_MAX);
	in.v[METRIC_FWD_HOPS] = 70000;
	in.v[METRIC_FLAGS] = INT64_MAX;
	ck_assert(cell_apply(&cell, &in));
	ck_assert_int_eq(cell.lost, 5);
	ck_assert_int_eq(cell.hops, -1);
	for (int k = 2; k < 50; k++)
		feed(k, INT32_MAX, INT32_MAX, INT32_MAX);
	ck_assert_int_eq(cell.state, CELL_CRIT);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("state");
	TCase *t = tcase_create("state");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, one_good_interval_makes_ok);
	tcase_add_test(t, two_bad_in_a_row_make_crit_and_say_why);
	tcase_add_test(t, unequal_intervals_are_told_apart);
	tcase_add_test(t, one_bad_between_good_ones_is_not_crit);
	tcase_add_test(t, crit_leaves_after_two_good);
	tcase_add_test(t, undetermined_loss_counts_against_the_direction);
	tcase_add_test(t, two_lost_or_nine_per_cent_are_not_bad);
	tcase_add_test(t, thin_intervals_are_gathered);
	tcase_add_test(t, thin_intervals_between_good_ones_are_forgotten);
	tcase_add_test(t, what_cannot_be_sent_is_bad);
	tcase_add_test(t, host_limited_results_never_turn_a_cell);
	tcase_add_test(t, neither_does_the_destinations_host);
	tcase_add_test(t, a_closed_run_is_crit_until_two_good_intervals);
	tcase_add_test(t, short_thin_backward_and_old_runs_change_nothing);
	tcase_add_test(t, the_way_back_is_kept_for_the_other_end);
	tcase_add_test(t, a_revision_corrects_the_counts_of_the_newest_result);
	tcase_add_test(t, an_interval_without_packets_changes_no_state);
	tcase_add_test(t, older_results_change_nothing);
	tcase_add_test(t, a_hole_ends_the_row);
	tcase_add_test(t, a_blackout_is_never_ok);
	tcase_add_test(t, absurd_numbers_stay_in_range);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
