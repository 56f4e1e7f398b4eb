/* SPDX-License-Identifier: BSD-2-Clause */
/* Every value lies in its bucket, within an eighth; percentiles by rank. */
#include "meshd/lateness.h"

#include <check.h>
#include <stdlib.h>

static int64_t
one(int64_t ns)
{
	static struct lateness l;
	uint64_t n[LATENESS_BUCKETS];

	l = (struct lateness){0};
	lateness_add(&l, ns);
	lateness_read(&l, n);
	return lateness_percentile(n, 50);
}

START_TEST(a_value_is_told_to_an_eighth)
{
	for (int64_t v = 0; v < 100000; v++) {
		ck_assert_int_ge(one(v), v);
		ck_assert_int_le(one(v), v + v / 8);
	}
	for (int64_t v = 100000; v < 900000000; v += v / 100) {
		ck_assert_int_ge(one(v), v);
		ck_assert_int_le(one(v), v + v / 8);
	}
	ck_assert_int_eq(one(-5), 0);
	ck_assert_int_eq(one(INT64_MAX), one(INT64_C(20000000000)));
}
END_TEST

START_TEST(percentiles_go_by_nearest_rank)
{
	static struct lateness l;
	uint64_t n[LATENESS_BUCKETS];

	lateness_read(&l, n);
	ck_assert_int_eq(lateness_percentile(n, 50), -1);
	for (int i = 0; i < 99; i++)
		lateness_add(&l, 4);
	lateness_add(&l, 7);
	lateness_read(&l, n);
	ck_assert_int_eq(lateness_percentile(n, 0), 4);
	ck_assert_int_eq(lateness_percentile(n, 50), 4);
	ck_assert_int_eq(lateness_percentile(n, 99), 4);
	ck_assert_int_eq(lateness_percentile(n, 99.5), 7);
	ck_assert_int_eq(lateness_percentile(n, 100), 7);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lateness");
	TCase *t = tcase_create("lateness");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_value_is_told_to_an_eighth);
	tcase_add_test(t, percentiles_go_by_nearest_rank);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
