/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/twamp/ntp64: the vectors (tests/vectors/vectors.json), the edges, and
 * properties over random instants, whose seed is printed.
 */
#include "lib/twamp/ntp64.h"

#include "lib/base/rng.h"

#include <check.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *vectors; /* owned */
static uint64_t seed;

static void
setup(void)
{
	const char *env = getenv("TEST_SEED");
	json_error_t e;

	vectors =
	    json_load_file(TEST_SRCDIR "/tests/vectors/vectors.json", 0, &e);
	ck_assert_msg(vectors != NULL, "vectors.json:%d: %s", e.line, e.text);
	seed = env ? strtoull(env, NULL, 0) : random_u64();
	printf("TEST_SEED=%" PRIu64 "\n", seed);
}

static void
teardown(void)
{
	json_decref(vectors);
}

static uint64_t
hex_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	ck_assert_ptr_nonnull(s);
	return strtoull(s, NULL, 16);
}

static int64_t
int_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	ck_assert(json_is_integer(v));
	return json_integer_value(v);
}

static double
real_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	ck_assert(json_is_number(v));
	return json_number_value(v);
}

START_TEST(vectors_timestamps)
{
	const json_t *cases =
	    json_object_get(json_object_get(vectors, "timestamps"), "cases");
	const json_t *c;
	size_t i;

	ck_assert_uint_gt(json_array_size(cases), 5);
	json_array_foreach(cases, i, c)
	{
		const struct wall w = {int_of(c, "unix_ns")};
		struct wall back;

		ck_assert_uint_eq(ntp64_from_wall(w), hex_of(c, "ntp64_hex"));
		ck_assert_uint_eq(ptp64_from_wall(w, 0),
		                  hex_of(c, "ptp64_hex"));
		ck_assert_int_eq(ntp64_to_wall(hex_of(c, "ntp64_hex"), w).ns,
		                 int_of(c, "ntp_decoded_unix_ns"));
		ck_assert(ptp64_to_wall(hex_of(c, "ptp64_hex"), 0, w, &back));
		ck_assert_int_eq(back.ns, w.ns);
	}
}
END_TEST

START_TEST(vectors_error_decode)
{
	const json_t *cases = json_object_get(
	    json_object_get(vectors, "error_estimate"), "decode");
	const json_t *c;
	size_t i;

	ck_assert_uint_gt(json_array_size(cases), 5);
	json_array_foreach(cases, i, c)
	{
		const uint16_t wire = (uint16_t)hex_of(c, "wire");
		int64_t ns = -5;
		bool s, z;
		double sec, want;

		if (!json_is_true(json_object_get(c, "valid"))) {
			ck_assert(!errest_decode(wire, &ns, &s, &z));
			ck_assert(!errest_seconds(wire, &sec));
			ck_assert_int_eq(ns, -5);
			continue;
		}
		want = real_of(c, "seconds");
		ck_assert(errest_decode(wire, &ns, &s, &z));
		ck_assert(errest_seconds(wire, &sec));
		ck_assert_double_eq(sec, want);
		ck_assert_int_eq(s, int_of(c, "S"));
		ck_assert_int_eq(z, int_of(c, "Z"));
		if (want * 1e9 < 9.2e18)
			ck_assert_int_eq(ns, (int64_t)ceil(want * 1e9));
		else
			ck_assert_int_eq(ns, INT64_MAX);
	}
}
END_TEST

START_TEST(vectors_error_encode)
{
	const json_t *cases = json_object_get(
	    json_object_get(vectors, "error_estimate"), "encode");
	const json_t *c;
	size_t i;

	ck_assert_uint_gt(json_array_size(cases), 5);
	json_array_foreach(cases, i, c)
	{
		const double sec = real_of(c, "seconds");
		const int64_t ns = sec * 1e9 < 9.2e18
		                       ? (int64_t)llround(sec * 1e9)
		                       : INT64_MAX;

		ck_assert_uint_eq(
		    errest_encode_ns(ns, int_of(c, "S"), int_of(c, "Z")),
		    hex_of(c, "wire"));
	}
}
END_TEST

START_TEST(vectors_error_perfsonar)
{
	const json_t *cases = json_object_get(
	    json_object_get(vectors, "error_estimate"), "perfsonar_encode");
	const json_t *c;
	size_t i;

	ck_assert_uint_gt(json_array_size(cases), 3);
	json_array_foreach(cases, i, c)
	{
		/* perfSONAR truncates and adds 1: one step above ours at
		 * powers of two. Its 0 means 2^-32 s, unsynchronised. */
		const uint16_t wire = (uint16_t)hex_of(c, "wire");
		const int64_t us = int_of(c, "esterror_us");
		const uint16_t ours =
		    errest_encode_ns(us * NS_PER_US, int_of(c, "S"), false);
		double sec;

		ck_assert(errest_seconds(wire, &sec));
		ck_assert_double_eq(sec, real_of(c, "decoded_seconds"));
		ck_assert_double_ge(sec, (double)us * 1e-6);
		ck_assert(ours == wire || ours + 1 == wire);
	}
}
END_TEST

START_TEST(error_edges)
{
	const struct clock_quality unsync = {NS_UNKNOWN, false};
	const struct clock_quality lying = {1000, false};
	const struct clock_quality fine = {1000, true};
	int64_t ns;
	bool s, z;

	ck_assert_uint_eq(errest_encode(unsync, false), ERREST_UNKNOWN);
	ck_assert_uint_eq(errest_encode(lying, false), ERREST_UNKNOWN);
	ck_assert_uint_eq(errest_encode(unsync, true),
	                  ERREST_UNKNOWN | ERREST_Z);
	ck_assert_uint_eq(errest_encode(fine, false), 0x8587);
	/* an unknown error survives the round trip as "at least so much" */
	ck_assert(errest_decode(ERREST_UNKNOWN, &ns, &s, &z));
	ck_assert_int_eq(ns, INT64_MAX);
	ck_assert(!s && !z);
	ck_assert_uint_eq(errest_encode_ns(-7, true, false), 0x8001);
}
END_TEST

START_TEST(ptp_edges)
{
	const struct wall near = {INT64_C(1790000000123456789)};
	struct wall out = {1};

	ck_assert(!ptp64_to_wall(UINT64_C(0x000000013b9aca00), 0, near, &out));
	ck_assert_int_eq(out.ns, 1);
	ck_assert(ptp64_to_wall(UINT64_C(0x000000013b9ac9ff), 0, near, &out));
	/* TAI is ahead of UTC: the same instant reads 37 s more there */
	ck_assert_uint_eq(ptp64_from_wall(near, 37) - ptp64_from_wall(near, 0),
	                  UINT64_C(37) << 32);
	ck_assert(ptp64_to_wall(ptp64_from_wall(near, 37), 37, near, &out));
	ck_assert_int_eq(out.ns, near.ns);
}
END_TEST

/* Clocks at the ends of what int64_t nanoseconds hold: clamped, no overflow
 * (UBSan watches). */
START_TEST(absurd_clocks)
{
	const int64_t ends[] = {INT64_MIN, INT64_MIN + 1, -1, 0, INT64_MAX};
	struct wall out;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		const struct wall w = {ends[i]};

		(void)ntp64_to_wall(ntp64_from_wall(w), w);
		(void)ntp64_to_wall(UINT64_MAX, w);
		(void)ntp64_to_wall(UINT64_C(1) << 63, w);
		ck_assert(
		    ptp64_to_wall(UINT64_C(0x7fffffff00000000), 0, w, &out));
	}
	ck_assert_int_eq(ntp64_diff_ns(UINT64_C(1) << 63, 0),
	                 -(INT64_C(1) << 31) * NS_PER_S);
	ck_assert_int_eq(ntp64_diff_ns(0, 1), 0);
	ck_assert_int_eq(ntp64_diff_ns(0, 5), -1);
}
END_TEST

/* An instant within 60 years of 2026: both eras, and before 1970. */
static struct wall
random_instant(struct rng *r)
{
	const int64_t range_s = INT64_C(60) * 365 * 86400;

	return (struct wall){(INT64_C(1790000000) - range_s +
	                      (int64_t)(rng_u64(r) % (uint64_t)(2 * range_s))) *
	                         NS_PER_S +
	                     (int64_t)(rng_u64(r) % (uint64_t)NS_PER_S)};
}

START_TEST(property_round_trip)
{
	struct rng r;

	rng_seed(&r, seed);
	for (int i = 0; i < 200000; i++) {
		const struct wall w = random_instant(&r);
		/* our clock may be off by decades, less than half an era */
		const int64_t off = (int64_t)(rng_u64(&r) >> 2) %
		                    (INT64_C(2147483000) * NS_PER_S);
		const struct wall near = {w.ns + (i & 1 ? off : -off)};
		struct wall p;

		ck_assert_int_eq(ntp64_to_wall(ntp64_from_wall(w), near).ns,
		                 w.ns);
		ck_assert(ptp64_to_wall(ptp64_from_wall(w, 37), 37, near, &p));
		ck_assert_int_eq(p.ns, w.ns);
	}
}
END_TEST

START_TEST(property_diff)
{
	struct rng r;

	rng_seed(&r, seed);
	for (int i = 0; i < 200000; i++) {
		const struct wall a = random_instant(&r);
		const int64_t d = (int64_t)(rng_u64(&r) >> 3) %
		                  (INT64_C(2000000000) * NS_PER_S);
		const struct wall b = {a.ns - d};
		const int64_t got =
		    ntp64_diff_ns(ntp64_from_wall(a), ntp64_from_wall(b));

		/* both stamps are floored to 2^-32 s: under 1 ns off */
		ck_assert_int_le(llabs(got - d), 1);
	}
}
END_TEST

/* Encoding never shrinks a bound, never grows it by more than 1/128 + 2 units,
 * and gives the smallest scale. */
START_TEST(property_error)
{
	struct rng r;

	rng_seed(&r, seed);
	for (int i = 0; i < 200000; i++) {
		const int64_t ns =
		    (int64_t)(rng_u64(&r) >> (1 + rng_u64(&r) % 62));
		const uint16_t wire = errest_encode_ns(ns, i & 1, i & 2);
		const unsigned scale = wire >> 8 & 63;
		int64_t back;
		bool s, z;
		double sec;

		ck_assert(errest_decode(wire, &back, &s, &z));
		ck_assert_int_eq(s, !!(i & 1));
		ck_assert_int_eq(z, !!(i & 2));
		ck_assert_int_ge(back, ns);
		ck_assert(errest_seconds(wire, &sec));
		ck_assert_double_le(sec, (double)ns * 1e-9 * (1 + 1.0 / 127) +
		                             0x1p-31);
		if (scale > 0)
			ck_assert_uint_ge(wire & 255, 128);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ntp64");
	TCase *t = tcase_create("ntp64");
	SRunner *sr;
	int failed;

	tcase_add_unchecked_fixture(t, setup, teardown);
	tcase_add_test(t, vectors_timestamps);
	tcase_add_test(t, vectors_error_decode);
	tcase_add_test(t, vectors_error_encode);
	tcase_add_test(t, vectors_error_perfsonar);
	tcase_add_test(t, error_edges);
	tcase_add_test(t, ptp_edges);
	tcase_add_test(t, absurd_clocks);
	tcase_add_test(t, property_round_trip);
	tcase_add_test(t, property_diff);
	tcase_add_test(t, property_error);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
