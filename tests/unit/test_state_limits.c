/* SPDX-License-Identifier: BSD-2-Clause */
/* States of a cell by the limits of its class (controller/state). */
#include "controller/state.h"
#include "lib/base/rng.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEN_NS (10 * NS_PER_S)
#define T0_NS (INT64_C(1795000000) * NS_PER_S)
#define SYNC (RESULT_SYNC_SRC | RESULT_SYNC_DST)

static struct cell cell;
static struct limits limits;

static void
set_up(void)
{
	memset(&cell, 0, sizeof(cell));
	cell_reset(&cell, 1);
	limits = limits_default;
}

static void
tear_down(void)
{
	cell_clear(&cell);
}

/* 100 packets, some lost; delays in milliseconds, NAN: none. */
static enum cell_state
feed(int k, int64_t lost, double rtt, double jitter, double delay)
{
	struct cell_input in = {.limits = &limits,
	                        .start = {T0_NS + k * LEN_NS},
	                        .interval_ns = LEN_NS,
	                        .epoch = 7};

	for (int m = 0; m < METRIC_N; m++)
		in.v[m] = METRIC_NULL;
	in.v[METRIC_SENT] = 100;
	in.v[METRIC_SEND_FAILED] = 0;
	in.v[METRIC_LOST_FWD] = lost;
	in.v[METRIC_LOST_UNDET] = 0;
	in.v[METRIC_FLAGS] = SYNC;
	in.v[METRIC_CLOCK_ERR] = NS_PER_MS;
	if (!isnan(rtt))
		in.v[METRIC_RTT_MEAN] = (int64_t)(rtt * 1e6);
	if (!isnan(jitter))
		in.v[METRIC_FWD_IPDV] = (int64_t)(jitter * 1e6);
	if (!isnan(delay))
		in.v[METRIC_FWD_MEAN] = (int64_t)(delay * 1e6);
	ck_assert(cell_apply(&cell, &in));
	return cell.state;
}

START_TEST(a_round_trip_over_its_limits_warns_and_alarms)
{
	limits.warn[LIMIT_RTT] = (struct limit){LIMIT_VALUE, 100};
	limits.crit[LIMIT_RTT] = (struct limit){LIMIT_VALUE, 200};
	ck_assert_int_eq(feed(0, 0, 99, NAN, NAN), CELL_OK);
	ck_assert_int_eq(feed(1, 0, 150, NAN, NAN), CELL_OK);
	ck_assert_str_eq(cell.why, "RTT 150.0 ms, limit 100.0 ms");
	ck_assert_int_eq(feed(2, 0, 201, NAN, NAN), CELL_WARN);
	ck_assert(cell.since.ns == T0_NS + LEN_NS);
	ck_assert_int_eq(feed(3, 0, 201, NAN, NAN), CELL_CRIT);
	ck_assert_str_eq(cell.why, "RTT 201.0 ms, limit 200.0 ms");
	ck_assert(cell.since.ns == T0_NS + 2 * LEN_NS);
	/* not critical twice, but good only once */
	ck_assert_int_eq(feed(4, 0, 150, NAN, NAN), CELL_CRIT);
	ck_assert_int_eq(feed(5, 0, 50, NAN, NAN), CELL_WARN);
	ck_assert_str_eq(cell.why, "not critical any more, but not yet good in "
	                           "2 intervals in a row");
	ck_assert_int_eq(feed(6, 0, 50, NAN, NAN), CELL_OK);
	ck_assert_ptr_null(cell.why);
	ck_assert(cell.since.ns == T0_NS + 5 * LEN_NS);
}
END_TEST

START_TEST(limits_over_a_floor_follow_the_path)
{
	limits.warn[LIMIT_RTT] = (struct limit){LIMIT_FLOOR_PLUS, 30};
	limits.crit[LIMIT_RTT] = (struct limit){LIMIT_FLOOR_TIMES, 2};
	/* unknown: they say nothing */
	for (int k = 0; k < 4; k++)
		ck_assert_int_eq(feed(k, 0, 5000, NAN, NAN), CELL_OK);
	cell.floor_ms[LIMIT_RTT] = 45;
	ck_assert_int_eq(feed(4, 0, 80, NAN, NAN), CELL_OK);
	ck_assert_int_eq(feed(5, 0, 80, NAN, NAN), CELL_WARN);
	ck_assert_str_eq(cell.why,
	                 "RTT 80.0 ms, limit 75.0 ms (45.0 usually, plus 30)");
	feed(6, 0, 91, NAN, NAN);
	ck_assert_int_eq(feed(7, 0, 91, NAN, NAN), CELL_CRIT);
	ck_assert_str_eq(cell.why,
	                 "RTT 91.0 ms, limit 90.0 ms (45.0 usually, times 2)");
	/* another generation of the slot has no floor */
	cell_reset(&cell, 2);
	ck_assert(isnan(cell.floor_ms[LIMIT_RTT]));
}
END_TEST

START_TEST(jitter_and_one_way_delay_have_limits_too)
{
	limits.hysteresis = 1;
	limits.warn[LIMIT_JITTER] = (struct limit){LIMIT_VALUE, 5};
	limits.crit[LIMIT_DELAY] = (struct limit){LIMIT_VALUE, 50};
	ck_assert_int_eq(feed(0, 0, 1, 4, 49), CELL_OK);
	ck_assert_int_eq(feed(1, 0, 1, 6, 49), CELL_WARN);
	ck_assert_str_eq(cell.why, "jitter 6.0 ms, limit 5.0 ms");
	ck_assert_int_eq(feed(2, 0, 1, 6, 51), CELL_CRIT);
	ck_assert_str_eq(cell.why, "one-way delay 51.0 ms, limit 50.0 ms");
	ck_assert_int_eq(feed(3, 0, 1, 1, 1), CELL_OK);
}
END_TEST

START_TEST(an_undisciplined_clock_raises_no_alarm)
{
	struct cell_input in = {
	    .limits = &limits, .start = {T0_NS}, .interval_ns = LEN_NS};

	limits.hysteresis = 1;
	limits.crit[LIMIT_DELAY] = (struct limit){LIMIT_VALUE, 50};
	in.v[METRIC_SENT] = 100;
	in.v[METRIC_FWD_MEAN] = 3600 * NS_PER_S;
	in.v[METRIC_CLOCK_ERR] = NS_PER_MS;
	in.v[METRIC_FLAGS] = RESULT_SYNC_SRC;
	ck_assert(cell_apply(&cell, &in));
	ck_assert_int_eq(cell.state, CELL_OK);
	in.start.ns += LEN_NS;
	in.v[METRIC_FLAGS] = SYNC;
	in.v[METRIC_CLOCK_ERR] = METRIC_NULL;
	ck_assert(cell_apply(&cell, &in));
	ck_assert_int_eq(cell.state, CELL_OK);
	in.start.ns += LEN_NS;
	in.v[METRIC_CLOCK_ERR] = NS_PER_MS;
	in.dst_limited = true;
	ck_assert(cell_apply(&cell, &in));
	ck_assert_int_eq(cell.state, CELL_OK);
	in.start.ns += LEN_NS;
	in.dst_limited = false;
	ck_assert(cell_apply(&cell, &in));
	ck_assert_int_eq(cell.state, CELL_CRIT);
}
END_TEST

START_TEST(loss_has_limits_of_its_own)
{
	limits.warn[LIMIT_LOSS] = (struct limit){LIMIT_VALUE, 1};
	limits.crit[LIMIT_LOSS] = (struct limit){LIMIT_VALUE, 2};
	feed(0, 1, 1, 1, 1);
	ck_assert_int_eq(feed(1, 1, 1, 1, 1), CELL_WARN);
	ck_assert_str_eq(cell.why,
	                 "1 of 100 packets lost in each of 2 intervals");
	feed(2, 3, 1, 1, 1);
	ck_assert_int_eq(feed(3, 4, 1, 1, 1), CELL_CRIT);
	ck_assert_str_eq(cell.why, "3 of 100, then 4 of 100 packets lost in 2 "
	                           "intervals in a row");
	/* two lost are 2 %, but too few to be critical: gathered */
	tear_down();
	set_up();
	limits.crit[LIMIT_LOSS] = (struct limit){LIMIT_VALUE, 2};
	feed(0, 2, 1, 1, 1);
	feed(1, 2, 1, 1, 1);
	ck_assert_int_eq(cell.state, CELL_UNJUDGED);
	ck_assert_str_eq(cell.why,
	                 "4 of 200 packets lost over several intervals");
	feed(2, 2, 1, 1, 1);
	ck_assert_int_eq(feed(3, 2, 1, 1, 1), CELL_CRIT);
}
END_TEST

/* The definition, over random histories: the state is the worst level that all
 * of the last n intervals reach, or the best that one of them still holds it
 * to. */
START_TEST(states_follow_the_last_n_intervals)
{
	static const enum cell_state names[] = {CELL_OK, CELL_WARN, CELL_CRIT};
	struct rng r;

	rng_seed(&r, 0x11317);
	limits.warn[LIMIT_RTT] = (struct limit){LIMIT_VALUE, 100};
	limits.crit[LIMIT_RTT] = (struct limit){LIMIT_VALUE, 200};
	for (int round = 0; round < 200; round++) {
		int level[64], state = 0;

		cell_clear(&cell);
		cell_reset(&cell, 1);
		limits.hysteresis = 1 + (int)(rng_u64(&r) % 5);
		level[0] = 0;
		for (int k = 0; k < 64; k++) {
			int least = 2, most = 0;

			if (k > 0)
				level[k] = (int)(rng_u64(&r) % 9);
			level[k] = level[k] > 2 ? level[k - 1] : level[k];
			for (int i = k; i > k - limits.hysteresis; i--) {
				least = i < 0 || level[i] < least
				            ? i < 0 ? 0 : level[i]
				            : least;
				most =
				    i >= 0 && level[i] > most ? level[i] : most;
			}
			/* before the first there is nothing to hold it */
			if (least > state)
				state = least;
			else if (most < state && k + 1 >= limits.hysteresis)
				state = most;
			ck_assert_msg(feed(k, 0, 50 + 100 * level[k], NAN,
			                   NAN) == names[state],
			              "round %d, interval %d", round, k);
		}
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("state_limits");
	TCase *t = tcase_create("state_limits");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_round_trip_over_its_limits_warns_and_alarms);
	tcase_add_test(t, limits_over_a_floor_follow_the_path);
	tcase_add_test(t, jitter_and_one_way_delay_have_limits_too);
	tcase_add_test(t, an_undisciplined_clock_raises_no_alarm);
	tcase_add_test(t, loss_has_limits_of_its_own);
	tcase_add_test(t, states_follow_the_last_n_intervals);
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
