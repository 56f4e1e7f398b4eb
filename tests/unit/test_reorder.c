/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/reorder.h"
#include "lib/base/rng.h"
#include "tests/unit/lab.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define VECTORS TEST_SRCDIR "/tests/vectors/vectors.json"
#define N 600

START_TEST(the_vectors)
{
	json_t *root = json_load_file(VECTORS, 0, NULL), *c;
	size_t i;

	json_array_foreach(json_object_get(root, "reordering"), i, c)
	{
		const json_t *order = json_object_get(c, "order");
		const json_t *want = json_object_get(c, "reordered");
		struct reorder r = {.n = 0};
		size_t k, found = 0;
		json_t *s;

		json_array_foreach(order, k, s)
		{
			const uint32_t extent =
			    reorder_arrive(&r, (uint32_t)json_integer_value(s));
			const json_t *w = json_array_get(want, found);

			if (extent == 0)
				continue;
			found++;
			ck_assert_int_eq(
			    json_integer_value(json_object_get(w, "index")),
			    (json_int_t)k);
			ck_assert_int_eq(
			    json_integer_value(json_object_get(w, "extent")),
			    extent);
		}
		ck_assert_uint_eq(found, json_array_size(want));
	}
	json_decref(root);
}
END_TEST

/* RFC 4737 3.3 and 4.2.1 as written, over the whole history. */
static uint32_t
by_the_book(const uint32_t *s, size_t i, bool *reordered)
{
	uint32_t next_exp = 0;

	for (size_t j = 0; j < i; j++) {
		if (s[j] >= next_exp)
			next_exp = s[j] + 1;
	}
	*reordered = s[i] < next_exp;
	for (size_t j = 0; *reordered && j < i; j++) {
		if (s[j] > s[i])
			return (uint32_t)(i - j);
	}
	return 0;
}

START_TEST(random_orders_agree_with_the_definition)
{
	const uint64_t seed = random_u64();
	struct rng rng;

	printf("seed %" PRIu64 "\n", seed);
	rng_seed(&rng, seed);
	for (unsigned round = 0; round < 60; round++) {
		const uint32_t first = round % 3 ? 0 : UINT32_MAX - N / 2;
		const uint32_t reach = 1 + (uint32_t)(rng_u64(&rng) % 160);
		struct reorder r = {.n = 0};
		uint32_t s[N];

		for (uint32_t i = 0; i < N; i++)
			s[i] = i;
		for (uint32_t i = 0; i + reach < N; i++) {
			const uint32_t j =
			    i + (uint32_t)(rng_u64(&rng) % reach);
			const uint32_t t = s[i];

			s[i] = s[j];
			s[j] = t;
		}
		for (uint32_t i = 0; i < N; i++) {
			const uint32_t got = reorder_arrive(&r, first + s[i]);
			bool reordered;
			const uint32_t want = by_the_book(s, i, &reordered);

			ck_assert_int_eq(got > 0, reordered);
			if (want <= REORDER_RING)
				ck_assert_uint_eq(got, want);
			else
				ck_assert_uint_ge(got, 1);
		}
	}
}
END_TEST

START_TEST(nothing_before_a_cut_counts)
{
	struct reorder r = {.n = 0};

	ck_assert_uint_eq(reorder_arrive(&r, 70000), 0);
	ck_assert_uint_eq(reorder_arrive(&r, 3), 1);
	reorder_cut(&r);
	ck_assert_uint_eq(reorder_arrive(&r, 0), 0);
	ck_assert_uint_eq(reorder_arrive(&r, 2), 0);
	ck_assert_uint_eq(reorder_arrive(&r, 1), 1);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, the_vectors);
	tcase_add_test(t, random_orders_agree_with_the_definition);
	tcase_add_test(t, nothing_before_a_cut_counts);
}

int
main(void)
{
	return suite_main("reorder", add);
}
