/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/percentile.h"
#include "lib/base/clock.h"
#include "lib/base/rng.h"

#include <check.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define VECTORS TEST_SRCDIR "/tests/vectors/vectors.json"

START_TEST(percentiles_match_the_vectors)
{
	json_t *root = json_load_file(VECTORS, 0, NULL), *c;
	size_t i, checked = 0;

	ck_assert_ptr_nonnull(root);
	json_array_foreach(
	    json_object_get(json_object_get(root, "percentiles"), "cases"), i,
	    c)
	{
		json_t *values = json_object_get(c, "values"), *want;
		const size_t n = json_array_size(values);
		int64_t v[128];
		const char *key;

		ck_assert_uint_le(n, 128);
		for (size_t k = 0; k < n; k++)
			v[k] = json_integer_value(
			    json_array_get(values, n - 1 - k));
		percentile_sort(v, n);
		json_object_foreach(c, key, want)
		{
			double p;

			if (key[0] != 'p')
				continue;
			p = strcmp(key, "p99_9") == 0 ? 99.9
			                              : strtod(key + 1, NULL);
			ck_assert_int_eq(percentile_sorted(v, n, p),
			                 json_integer_value(want));
			checked++;
		}
	}
	ck_assert_uint_ge(checked, 10);
	json_decref(root);
}
END_TEST

/* Smallest value with at least p percent of the samples at or below it. */
static int64_t
brute(const int64_t *v, size_t n, unsigned permille)
{
	int64_t best = INT64_MAX;

	for (size_t i = 0; i < n; i++) {
		size_t at_or_below = 0;

		for (size_t k = 0; k < n; k++)
			at_or_below += v[k] <= v[i];
		if (at_or_below * 1000 >= n * permille && v[i] < best)
			best = v[i];
	}
	return best;
}

START_TEST(nearest_rank_equals_counting)
{
	static const unsigned permille[] = {1,   10,  250, 500, 501,
	                                    950, 990, 999, 1000};
	const uint64_t seed = random_u64();
	struct rng r;

	printf("seed %" PRIu64 "\n", seed);
	rng_seed(&r, seed);
	for (unsigned round = 0; round < 300; round++) {
		const size_t n = 1 + rng_u64(&r) % 120;
		int64_t v[120];

		for (size_t i = 0; i < n; i++)
			v[i] = (int64_t)(rng_u64(&r) % 50) - 25;
		percentile_sort(v, n);
		for (size_t k = 0; k < sizeof(permille) / sizeof(*permille);
		     k++)
			ck_assert_int_eq(
			    percentile_sorted(v, n, permille[k] / 10.0),
			    brute(v, n, permille[k]));
	}
}
END_TEST

START_TEST(ranks_do_not_suffer_from_binary_fractions)
{
	ck_assert_uint_eq(percentile_rank(1000, 99.9), 999);
	ck_assert_uint_eq(percentile_rank(10000, 99.9), 9990);
	ck_assert_uint_eq(percentile_rank(1, 0.1), 1);
	ck_assert_uint_eq(percentile_rank(UINT64_C(1) << 40, 100.0), UINT64_C(1)
	                                                                 << 40);
	ck_assert_int_eq(percentile_sorted(NULL, 0, 50), NS_UNKNOWN);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("percentile");
	TCase *t = tcase_create("percentile");
	SRunner *sr;
	int failed;

	tcase_add_test(t, percentiles_match_the_vectors);
	tcase_add_test(t, nearest_rank_equals_counting);
	tcase_add_test(t, ranks_do_not_suffer_from_binary_fractions);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
