/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/jitter.h"

#include <check.h>
#include <jansson.h>
#include <math.h>

#define VECTORS TEST_SRCDIR "/tests/vectors/vectors.json"

START_TEST(rfc3550_jitter_matches_the_vectors)
{
	json_t *root = json_load_file(VECTORS, 0, NULL);
	json_t *c = json_object_get(root, "rfc3550_jitter");
	json_t *delays = json_object_get(c, "delays_ns");
	json_t *want = json_object_get(c, "jitter_after_each_ns");
	struct jitter j = {0};

	ck_assert_uint_eq(json_array_size(delays), 5);
	for (size_t i = 0; i < json_array_size(delays); i++) {
		const bool moved = jitter_add(
		    &j, json_integer_value(json_array_get(delays, i)));

		ck_assert_int_eq(moved, i > 0);
		ck_assert(fabs(j.j_ns - json_number_value(
		                            json_array_get(want, i))) < 1e-6);
	}
	json_decref(root);
}
END_TEST

START_TEST(a_cut_keeps_j_and_forgets_the_predecessor)
{
	struct jitter j = {0};

	jitter_add(&j, 0);
	jitter_add(&j, 1600);
	ck_assert(j.j_ns == 100.0);
	jitter_cut(&j);
	ck_assert(!jitter_add(&j, INT64_C(3600) * NS_PER_S));
	ck_assert(j.j_ns == 100.0);
}
END_TEST

START_TEST(means_survive_clocks_that_are_off_by_decades)
{
	const int64_t off = INT64_C(1790000000) * NS_PER_S;
	struct delay_acc a = {0};

	ck_assert_int_eq(delay_acc_mean_ns(&a), NS_UNKNOWN);
	ck_assert_int_eq(delay_acc_min_ns(&a), NS_UNKNOWN);
	for (int64_t i = 1; i <= 1000; i++)
		delay_acc_add(&a, -off + i);
	ck_assert_int_eq(delay_acc_mean_ns(&a), -off + 501); /* 500.5 up */
	ck_assert_int_eq(delay_acc_min_ns(&a), -off + 1);
	ck_assert_int_eq(delay_acc_max_ns(&a), -off + 1000);
}
END_TEST

START_TEST(impossible_delays_are_unknown)
{
	ck_assert_int_eq(delay_ns(5, 7), -2);
	ck_assert_int_eq(delay_ns(INT64_MAX, -1), NS_UNKNOWN);
	ck_assert_int_eq(delay_ns(INT64_MIN, 0), NS_UNKNOWN);
	ck_assert_int_eq(delay_ns(DELAY_LIMIT_NS, 0), NS_UNKNOWN);
	ck_assert_int_eq(delay_ns(0, DELAY_LIMIT_NS - 1), 1 - DELAY_LIMIT_NS);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("jitter");
	TCase *t = tcase_create("jitter");
	SRunner *sr;
	int failed;

	tcase_add_test(t, rfc3550_jitter_matches_the_vectors);
	tcase_add_test(t, a_cut_keeps_j_and_forgets_the_predecessor);
	tcase_add_test(t, means_survive_clocks_that_are_off_by_decades);
	tcase_add_test(t, impossible_delays_are_unknown);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
