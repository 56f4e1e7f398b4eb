/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/hist.h"
#include "lib/base/clock.h"
#include "lib/base/result.h"
#include "lib/base/rng.h"
#include "lib/stats/percentile.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rng rng;

static void
seed_rng(void)
{
	const uint64_t seed = random_u64();

	printf("seed %" PRIu64 "\n", seed);
	rng_seed(&rng, seed);
}

/* n delays around `floor_ns`, with a tail whose octave is random. */
static void
random_delays(int64_t *v, size_t n, int64_t floor_ns)
{
	for (size_t i = 0; i < n; i++)
		v[i] = floor_ns +
		       (int64_t)(rng_u64(&rng) >> (28 + rng_u64(&rng) % 30));
}

START_TEST(buckets_tile_the_line_without_gap_or_overlap)
{
	uint64_t next = 0;

	for (size_t b = 0; b < HIST_BUCKETS; b++) {
		const uint64_t low = hist_bucket_low_ns(b);
		const uint64_t width = hist_bucket_width_ns(b);

		ck_assert_uint_eq(low, next);
		ck_assert_uint_eq(hist_bucket(low), b);
		ck_assert_uint_eq(hist_bucket(low + width - 1), b);
		ck_assert(width == 1 || width * 32 <= low);
		next = low + width;
	}
	ck_assert_uint_eq(next, UINT64_C(1) << 63);
	ck_assert_uint_eq(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
}
END_TEST

START_TEST(percentiles_err_by_at_most_1_6_percent_of_the_offset)
{
	static const double p[] = {0.1, 1, 25, 50, 75, 95, 99, 99.9, 100};

	seed_rng();
	for (unsigned round = 0; round < 200; round++) {
		const size_t n = 1 + rng_u64(&rng) % 500;
		const int64_t floor_ns =
		    (int64_t)(rng_u64(&rng) % 200000000) - 100000000;
		int64_t v[500];
		struct hist h;

		random_delays(v, n, floor_ns);
		hist_build(&h, v, n);
		percentile_sort(v, n);
		ck_assert_int_eq(h.base_ns, v[0]);
		ck_assert_uint_eq(h.n, n);
		for (size_t i = 0; i < sizeof(p) / sizeof(*p); i++) {
			const int64_t exact = percentile_sorted(v, n, p[i]);
			const int64_t got = hist_percentile_ns(&h, p[i]);
			const int64_t off = exact - v[0];

			ck_assert_int_ge(got, v[0]);
			ck_assert_int_le(llabs(got - exact), off / 64 + 1);
		}
	}
}
END_TEST

START_TEST(jitter_of_20_us_on_a_40_ms_path_survives)
{
	int64_t v[100];
	struct hist h;

	for (int i = 0; i < 100; i++)
		v[i] = 40 * NS_PER_MS + i * 200; /* 0 .. 19.8 us */
	hist_build(&h, v, 100);
	ck_assert_int_le(llabs(hist_percentile_ns(&h, 99) - v[98]), 320);
}
END_TEST

START_TEST(extreme_delays_do_not_overflow)
{
	const int64_t v[] = {INT64_MIN + 1, 0, INT64_MAX};
	uint8_t out[RESULT_HIST_MAX];
	struct hist h, back;
	size_t n;

	hist_build(&h, v, 3);
	ck_assert_uint_eq(h.n, 3);
	ck_assert_int_eq(hist_percentile_ns(&h, 1), INT64_MIN + 1);
	n = hist_encode(&h, out, sizeof(out));
	ck_assert_uint_gt(n, 0);
	ck_assert(hist_decode(out, n, &back));
	ck_assert_mem_eq(&h, &back, sizeof(h));
	hist_clear(&h);
	ck_assert_int_eq(hist_percentile_ns(&h, 50), NS_UNKNOWN);
}
END_TEST

START_TEST(merging_equal_minima_is_the_histogram_of_the_union)
{
	seed_rng();
	for (unsigned round = 0; round < 100; round++) {
		struct hist a, b, both;
		int64_t v[400];

		random_delays(v, 400, 12345678);
		v[0] = v[200] = 12345678; /* the minimum of each half */
		hist_build(&a, v, 200);
		hist_build(&b, v + 200, 200);
		hist_build(&both, v, 400);
		hist_merge(&a, &b);
		ck_assert_mem_eq(&a, &both, sizeof(a));
	}
}
END_TEST

/* Moved counts lie within one bucket width of where the union has them: the
 * bound that hist.h states. */
START_TEST(merging_other_minima_stays_within_a_bucket_width)
{
	static const double p[] = {1, 10, 50, 90, 99, 100};

	seed_rng();
	for (unsigned round = 0; round < 200; round++) {
		struct hist a, b, swapped;
		int64_t v[400];

		random_delays(v, 200, 0);
		random_delays(v + 200, 200,
		              (int64_t)(rng_u64(&rng) % 50000000) - 25000000);
		hist_build(&a, v, 200);
		hist_build(&b, v + 200, 200);
		swapped = b;
		hist_merge(&swapped, &a);
		hist_merge(&a, &b);
		ck_assert_mem_eq(&a, &swapped, sizeof(a));
		percentile_sort(v, 400);
		ck_assert_int_eq(a.base_ns, v[0]);
		ck_assert_uint_eq(a.n, 400);
		for (size_t i = 0; i < sizeof(p) / sizeof(*p); i++) {
			const int64_t exact = percentile_sorted(v, 400, p[i]);
			const int64_t got = hist_percentile_ns(&a, p[i]);
			const uint64_t width = hist_bucket_width_ns(
			    hist_bucket((uint64_t)(exact - v[0])));

			/* twice: its neighbour in rank may have moved too */
			ck_assert_uint_le((uint64_t)llabs(got - exact),
			                  2 * width);
		}
	}
}
END_TEST

START_TEST(merging_with_an_empty_one_changes_nothing)
{
	const int64_t v[] = {-5, 3, 900};
	struct hist a, empty, copy;

	hist_build(&a, v, 3);
	copy = a;
	hist_clear(&empty);
	hist_merge(&a, &empty);
	ck_assert_mem_eq(&a, &copy, sizeof(a));
	hist_merge(&empty, &a);
	ck_assert_mem_eq(&empty, &copy, sizeof(a));
}
END_TEST

START_TEST(decode_of_encode_is_the_histogram)
{
	static uint8_t out[16384];

	seed_rng();
	for (unsigned round = 0; round < 300; round++) {
		const size_t n = rng_u64(&rng) % 800;
		int64_t v[800];
		struct hist h, back;
		size_t len;

		random_delays(v, n, -(int64_t)(rng_u64(&rng) % 1000000000));
		hist_build(&h, v, n);
		if (n)
			h.count[7] = UINT32_MAX, h.n = 0;
		for (size_t i = 0; n && i < HIST_BUCKETS; i++)
			h.n += h.count[i];
		len = hist_encode(&h, out, sizeof(out));
		ck_assert_uint_gt(len, 0);
		ck_assert(hist_decode(out, len, &back));
		ck_assert_mem_eq(&h, &back, sizeof(h));
		for (size_t cut = 0; cut < len; cut++)
			ck_assert_uint_eq(hist_encode(&h, out, cut), 0);
	}
}
END_TEST

START_TEST(malformed_bytes_are_refused_and_leave_nothing)
{
	static const struct {
		const char *why;
		uint8_t bytes[16];
		size_t len;
	} bad[] = {
	    {"empty", {0}, 0},
	    {"no base", {1}, 1},
	    {"version 2", {2, 0, 0, 1}, 4},
	    {"count missing", {1, 0, 0}, 3},
	    {"count 0", {1, 0, 0, 0}, 4},
	    {"count of 33 bits", {1, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x10}, 8},
	    {"bucket past the end", {1, 0, 0xe0, 0x0e, 1}, 5},
	    {"truncated varint", {1, 0x80}, 2},
	    {"longer than needed", {1, 0x80, 0, 0, 1}, 5},
	    {"over 64 bits",
	     {1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2, 0, 1},
	     13},
	    {"base of nothing", {1, 4}, 2},
	    {"base that means unknown",
	     {1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 1},
	     13},
	};
	const uint8_t last[] = {1, 0, 0xdf, 0x0e, 1};
	struct hist h, empty;

	hist_clear(&empty);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		h.n = 99;
		ck_assert_msg(!hist_decode(bad[i].bytes, bad[i].len, &h), "%s",
		              bad[i].why);
		ck_assert_mem_eq(&h, &empty, sizeof(h));
	}
	ck_assert(hist_decode(last, sizeof(last), &h));
	ck_assert_uint_eq(h.count[HIST_BUCKETS - 1], 1);
}
END_TEST

START_TEST(what_is_too_wide_is_coarsened_until_it_fits)
{
	uint8_t out[RESULT_HIST_MAX];
	struct hist h, back;
	size_t len;

	hist_clear(&h); /* the widest there can be */
	for (size_t i = 0; i < HIST_BUCKETS; i++)
		h.count[i] = 1000;
	h.n = HIST_BUCKETS * UINT64_C(1000);
	ck_assert_uint_eq(hist_encode(&h, out, sizeof(out)), 0);
	len = hist_encode_fit(&h, out, sizeof(out));
	ck_assert_uint_gt(len, 0);
	ck_assert(hist_decode(out, len, &back));
	ck_assert_uint_eq(back.n, HIST_BUCKETS * UINT64_C(1000));
	ck_assert_uint_eq(back.count[0], 1000);

	for (size_t i = 0; i < HIST_BUCKETS; i++)
		h.count[i] = UINT32_MAX - (uint32_t)i;
	h.base_ns = INT64_MIN + 1;
	ck_assert_uint_gt(hist_encode_fit(&h, out, HIST_FIT_MIN), 0);
}
END_TEST

/* 600 samples over six decades: one interval of 60 s at 10 packets/s. */
START_TEST(a_coarsened_histogram_errs_by_the_factor_it_was_grouped)
{
	uint8_t out[RESULT_HIST_MAX];
	int64_t v[600];
	struct hist h;
	size_t len;

	seed_rng();
	random_delays(v, 600, 7 * NS_PER_MS);
	hist_build(&h, v, 600);
	hist_coarsen(&h, 2);
	len = hist_encode(&h, out, sizeof(out));
	ck_assert_uint_gt(len, 0);
	percentile_sort(v, 600);
	for (unsigned p = 1; p <= 100; p++) {
		const int64_t exact = percentile_sorted(v, 600, p);

		ck_assert_int_le(llabs(hist_percentile_ns(&h, p) - exact),
		                 (exact - v[0]) / 12 + 4);
	}
}
END_TEST

START_TEST(merging_octets_is_decoding_and_merging)
{
	struct hist a, b, part;
	uint8_t wire[4096];
	int64_t v[200];
	size_t len;

	seed_rng();
	hist_clear(&a);
	hist_clear(&b);
	for (int i = 0; i < 200; i++) {
		const size_t n = rng_u64(&rng) % 200;

		/* rising and falling minima */
		random_delays(v, n, (i % 7 - 3) * 5 * NS_PER_MS);
		hist_build(&part, v, n);
		len = hist_encode(&part, wire, sizeof(wire));
		ck_assert_uint_gt(len, 0);
		hist_merge(&a, &part);
		ck_assert(hist_merge_wire(&b, wire, len));
		ck_assert(memcmp(&a, &b, sizeof(a)) == 0);
		/* What is malformed leaves it as it was. */
		ck_assert(!hist_merge_wire(&b, wire, 0));
		if (n > 0) {
			wire[0] ^= 0x80;
			ck_assert(!hist_merge_wire(&b, wire, len));
			wire[0] ^= 0x80;
			(void)!hist_merge_wire(&part, wire, len - 1);
		}
		ck_assert(memcmp(&a, &b, sizeof(a)) == 0);
	}
	ck_assert_uint_gt(a.n, 10000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("hist");
	TCase *t = tcase_create("hist");
	SRunner *sr;
	int failed;

	tcase_add_test(t, buckets_tile_the_line_without_gap_or_overlap);
	tcase_add_test(t, percentiles_err_by_at_most_1_6_percent_of_the_offset);
	tcase_add_test(t, jitter_of_20_us_on_a_40_ms_path_survives);
	tcase_add_test(t, extreme_delays_do_not_overflow);
	tcase_add_test(t, merging_equal_minima_is_the_histogram_of_the_union);
	tcase_add_test(t, merging_other_minima_stays_within_a_bucket_width);
	tcase_add_test(t, merging_with_an_empty_one_changes_nothing);
	tcase_add_test(t, merging_octets_is_decoding_and_merging);
	tcase_add_test(t, decode_of_encode_is_the_histogram);
	tcase_add_test(t, malformed_bytes_are_refused_and_leave_nothing);
	tcase_add_test(t, what_is_too_wide_is_coarsened_until_it_fits);
	tcase_add_test(t,
	               a_coarsened_histogram_errs_by_the_factor_it_was_grouped);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
