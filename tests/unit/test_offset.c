/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/offset.h"
#include "lib/base/rng.h"

#include <check.h>
#include <stdlib.h>

#define W(ns) ((struct wall){ns})

/* An exchange that starts at `t` on the controller's clock, with these one-way
 * delays and the node holding it for `held`. */
static bool
exchange(struct offset *o, int64_t t, int64_t offset, int64_t fwd, int64_t held,
         int64_t bwd)
{
	return offset_add(o, W(t), W(t + fwd + offset),
	                  W(t + fwd + held + offset), W(t + fwd + held + bwd));
}

START_TEST(nothing_is_known_before_the_first_sample)
{
	struct offset o = {.n = 0};

	ck_assert_int_eq(offset_estimate_ns(&o), NS_UNKNOWN);
}
END_TEST

START_TEST(symmetric_delay_gives_the_exact_offset)
{
	struct offset o = {.n = 0};

	ck_assert(exchange(&o, 1000, -7 * NS_PER_S, NS_PER_MS, 2 * NS_PER_S,
	                   NS_PER_MS));
	ck_assert_int_eq(offset_estimate_ns(&o), -7 * NS_PER_S);
}
END_TEST

START_TEST(the_sample_of_least_delay_wins)
{
	struct offset o = {.n = 0};

	ck_assert(exchange(&o, 0, 0, 9 * NS_PER_MS, NS_PER_S, NS_PER_MS));
	ck_assert(exchange(&o, 0, 0, NS_PER_MS, NS_PER_S, NS_PER_MS));
	ck_assert(exchange(&o, 0, 0, NS_PER_MS, NS_PER_S, 9 * NS_PER_MS));
	ck_assert_int_eq(offset_estimate_ns(&o), 0);
}
END_TEST

START_TEST(only_the_last_eight_samples_count)
{
	struct offset o = {.n = 0};

	ck_assert(exchange(&o, 0, 5, NS_PER_US, 0, NS_PER_US));
	for (int i = 0; i < OFFSET_KEEP; i++)
		ck_assert(exchange(&o, i, 9, NS_PER_MS, 0, NS_PER_MS));
	ck_assert_int_eq(offset_estimate_ns(&o), 9);
}
END_TEST

START_TEST(a_clock_that_was_set_is_believed_at_once)
{
	struct offset o = {.n = 0};

	for (int i = 0; i < OFFSET_KEEP; i++)
		ck_assert(exchange(&o, i, 0, NS_PER_US, 0, NS_PER_US));
	ck_assert(exchange(&o, 99, 3600 * NS_PER_S, NS_PER_MS, 0, NS_PER_MS));
	ck_assert_int_eq(offset_estimate_ns(&o), 3600 * NS_PER_S);
}
END_TEST

START_TEST(a_congested_sample_is_not_taken_for_a_set_clock)
{
	struct offset o = {.n = 0};

	ck_assert(exchange(&o, 0, 0, NS_PER_MS, 0, NS_PER_MS));
	ck_assert(exchange(&o, 9, 0, 3 * NS_PER_S, 0, NS_PER_MS));
	ck_assert_int_eq(offset_estimate_ns(&o), 0);
}
END_TEST

START_TEST(a_node_at_1970_gets_an_estimate)
{
	struct offset o = {.n = 0};
	int64_t now = INT64_C(1795000000) * NS_PER_S;

	ck_assert(exchange(&o, now, -now, NS_PER_MS, NS_PER_S, NS_PER_MS));
	ck_assert_int_eq(offset_estimate_ns(&o), -now);
}
END_TEST

START_TEST(impossible_stamps_change_nothing)
{
	struct offset o = {.n = 0};

	ck_assert(exchange(&o, 0, 42, NS_PER_MS, 0, NS_PER_MS));
	ck_assert(!exchange(&o, 0, 0, -NS_PER_MS, 0, 0));
	ck_assert(!exchange(&o, 0, 0, NS_PER_S, -NS_PER_MS, NS_PER_S));
	ck_assert(!offset_add(&o, W(INT64_MIN), W(INT64_MAX), W(INT64_MAX),
	                      W(INT64_MIN)));
	ck_assert(!offset_add(&o, W(0), W(INT64_MAX), W(INT64_MAX), W(1)));
	ck_assert_int_eq(offset_estimate_ns(&o), 42);
}
END_TEST

/* Property: the truth lies within half the delay of the estimate. */
START_TEST(the_error_never_exceeds_half_the_delay)
{
	uint64_t seed = random_u64();
	struct rng r;

	rng_seed(&r, seed);
	for (int round = 0; round < 200; round++) {
		struct offset o = {.n = 0};
		int64_t truth = (int64_t)(rng_unit(&r) * 2e12) - NS_PER_S;
		int64_t least = INT64_MAX, off;

		for (int i = 0; i < OFFSET_KEEP; i++) {
			int64_t f = (int64_t)(rng_unit(&r) * 1e8);
			int64_t b = (int64_t)(rng_unit(&r) * 1e8);

			if (!exchange(&o, i * 2 * NS_PER_S, truth, f, NS_PER_S,
			              b))
				ck_abort_msg("seed %llu",
				             (unsigned long long)seed);
			least = f + b < least ? f + b : least;
		}
		off = offset_estimate_ns(&o) - truth;
		ck_assert_msg(llabs((long long)off) <= least / 2 + 2,
		              "seed %llu: off by %lld",
		              (unsigned long long)seed, (long long)off);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("offset");
	TCase *t = tcase_create("offset");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, nothing_is_known_before_the_first_sample);
	tcase_add_test(t, symmetric_delay_gives_the_exact_offset);
	tcase_add_test(t, the_sample_of_least_delay_wins);
	tcase_add_test(t, only_the_last_eight_samples_count);
	tcase_add_test(t, a_clock_that_was_set_is_believed_at_once);
	tcase_add_test(t, a_congested_sample_is_not_taken_for_a_set_clock);
	tcase_add_test(t, a_node_at_1970_gets_an_estimate);
	tcase_add_test(t, impossible_stamps_change_nothing);
	tcase_add_test(t, the_error_never_exceeds_half_the_delay);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
