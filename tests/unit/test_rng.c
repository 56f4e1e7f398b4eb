/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/rng.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N 200000

START_TEST(test_seeded)
{
	struct rng a, b, c;

	rng_seed(&a, 1);
	rng_seed(&b, 1);
	rng_seed(&c, 2);
	for (int i = 0; i < 1000; i++) {
		const uint64_t v = rng_u64(&a);

		ck_assert_uint_eq(v, rng_u64(&b));
		ck_assert_uint_ne(v, rng_u64(&c));
	}
}
END_TEST

/* xoshiro256** from the state 1, 2, 3, 4, by its reference code. */
START_TEST(test_reference)
{
	static const uint64_t want[] = {11520, 0, 1509978240,
	                                UINT64_C(1215971899390074240)};
	struct rng r = {{1, 2, 3, 4}};

	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(rng_u64(&r), want[i]);
}
END_TEST

START_TEST(test_unit)
{
	double sum = 0, min = 2, max = -1;
	struct rng r;

	rng_seed(&r, 3);
	for (int i = 0; i < N; i++) {
		const double v = rng_unit(&r);

		sum += v;
		min = fmin(min, v);
		max = fmax(max, v);
	}
	ck_assert(min > 0 && max <= 1);
	ck_assert(min < 1e-4 && max > 1 - 1e-4);
	/* standard error of the mean: 0.29 / sqrt(N) = 0.00065 */
	ck_assert(fabs(sum / N - 0.5) < 0.004);
}
END_TEST

/* Mean, memorylessness and cap of a Poisson process's gaps. */
START_TEST(test_poisson)
{
	const int64_t mean = 100000000;
	int over1 = 0, over2 = 0;
	double sum = 0;
	struct rng r;

	rng_seed(&r, 4);
	for (int i = 0; i < N; i++) {
		const int64_t gap = rng_poisson_gap_ns(&r, mean);

		ck_assert_int_ge(gap, 0);
		ck_assert_int_le(gap, 10 * mean);
		sum += (double)gap;
		over1 += gap > mean;
		over2 += gap > 2 * mean;
	}
	ck_assert(fabs(sum / N / (double)mean - 1) < 0.015);
	ck_assert(fabs((double)over1 / N - exp(-1)) < 0.006);
	ck_assert(fabs((double)over2 / N - exp(-2)) < 0.006);
}
END_TEST

START_TEST(test_random_bytes)
{
	uint8_t a[4096], b[4096];
	unsigned bits = 0;

	memset(a, 0, sizeof(a));
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	ck_assert_mem_ne(a, b, sizeof(a));
	for (size_t i = 0; i < sizeof(a); i++)
		bits += (unsigned)__builtin_popcount(a[i]);
	/* 32,768 coins: six sigma are 543 */
	ck_assert_uint_gt(bits, 16384 - 600);
	ck_assert_uint_lt(bits, 16384 + 600);
	ck_assert_uint_ne(random_u64(), random_u64());
	random_bytes(a, 0);
}
END_TEST

/* SipHash-1-3 under the key 00..0f of the messages (), (00), (00 01), ...,
 * computed by an implementation in Python that gives the SipHash-2-4 value of
 * Aumasson and Bernstein's paper with 2 and 4 rounds. */
static const uint64_t siphash13[] = {
    UINT64_C(0xabac0158050fc4dc), UINT64_C(0xc9f49bf37d57ca93),
    UINT64_C(0x82cb9b024dc7d44d), UINT64_C(0x8bf80ab8e7ddf7fb),
    UINT64_C(0xcf75576088d38328), UINT64_C(0xdef9d52f49533b67),
    UINT64_C(0xc50d2b50c59f22a7), UINT64_C(0xd3927d989bb11140),
    UINT64_C(0x369095118d299a8e), UINT64_C(0x25a48eb36c063de4),
    UINT64_C(0x79de85ee92ff097f), UINT64_C(0x70c118c1f94dc352),
    UINT64_C(0x78a384b157b4d9a2), UINT64_C(0x306f760c1229ffa7),
    UINT64_C(0x605aa111c0f95d34), UINT64_C(0xd320d86d2a519956),
    UINT64_C(0xcc4fdd1a7d908b66), UINT64_C(0x9cf2689063dbd80c),
    UINT64_C(0x8ffc389cb473e63e), UINT64_C(0xf21f9de58d297d1c)};

START_TEST(test_siphash)
{
	const struct hash_key key = {UINT64_C(0x0706050403020100),
	                             UINT64_C(0x0f0e0d0c0b0a0908)};
	uint8_t msg[64];

	for (size_t n = 0; n < sizeof(siphash13) / sizeof(siphash13[0]); n++) {
		msg[n] = (uint8_t)n;
		ck_assert_uint_eq(hash_bytes(msg, n, key), siphash13[n]);
	}
}
END_TEST

/* A key decides everything: strangers cannot prepare collisions. */
START_TEST(test_hash_key)
{
	const struct hash_key a = {1, 2}, b = {1, 3}, c = {2, 2};

	ck_assert_uint_eq(hash_bytes("x", 1, a), hash_bytes("x", 1, a));
	ck_assert_uint_ne(hash_bytes("x", 1, a), hash_bytes("x", 1, b));
	ck_assert_uint_ne(hash_bytes("x", 1, a), hash_bytes("x", 1, c));
	ck_assert_uint_ne(hash_bytes("x", 1, a), hash_bytes("x\0", 2, a));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("rng");
	TCase *t = tcase_create("rng");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_seeded);
	tcase_add_test(t, test_reference);
	tcase_add_test(t, test_unit);
	tcase_add_test(t, test_poisson);
	tcase_add_test(t, test_random_bytes);
	tcase_add_test(t, test_siphash);
	tcase_add_test(t, test_hash_key);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
