/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reflector/ratelimit: the rate and the burst, source by source; the table's
 * bound. Time is made up.
 */
#include "reflector/ratelimit.h"

#include <check.h>
#include <stdlib.h>

static struct addr
source(uint32_t n)
{
	const uint8_t b[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16),
	                      (uint8_t)(n >> 8), (uint8_t)n};
	struct addr a;

	ck_assert(addr_from_bytes(b, 4, 1000, &a));
	return a;
}

/* Packets answered of `n` that come `gap_ns` apart. */
static int
pass(struct ratelimit *r, const struct addr *a, int64_t *now_ns, int n,
     int64_t gap_ns)
{
	int ok = 0;

	for (int i = 0; i < n; i++, *now_ns += gap_ns)
		ok += ratelimit_ok(r, a, (struct mono){*now_ns});
	return ok;
}

START_TEST(at_the_rate_all_pass)
{
	struct ratelimit *r = ratelimit_new(1000);
	const struct addr a = source(1);
	int64_t now = 5 * NS_PER_S;

	ck_assert_int_eq(pass(r, &a, &now, 10000, NS_PER_MS), 10000);
	/* a stall of 150 ms delivers 150 packets at once */
	now += 150 * NS_PER_MS;
	ck_assert_int_eq(pass(r, &a, &now, 150, 0), 150);
	ratelimit_free(r);
}
END_TEST

START_TEST(over_the_rate_the_rate_passes)
{
	struct ratelimit *r = ratelimit_new(1000);
	const struct addr a = source(1);
	int64_t now = 0;
	const int burst = pass(r, &a, &now, 5000, 0);
	int ok;

	ck_assert_int_eq(burst, 201); /* a fifth of a second, and one */
	ok = pass(r, &a, &now, 100000, 100 * NS_PER_US);
	ck_assert_int_ge(ok, 9999); /* ten times the rate for 10 s */
	ck_assert_int_le(ok, 10001);
	now += NS_PER_S;
	ck_assert_int_eq(pass(r, &a, &now, 5000, 0), 201); /* rested */
	ratelimit_free(r);
}
END_TEST

START_TEST(low_rates_keep_a_burst)
{
	struct ratelimit *r = ratelimit_new(1);
	const struct addr a = source(1);
	int64_t now = 0;

	ck_assert_int_eq(pass(r, &a, &now, 100, 0), 17);
	ck_assert_int_eq(pass(r, &a, &now, 100, NS_PER_S / 10), 9);
	ratelimit_free(r);
}
END_TEST

START_TEST(sources_do_not_share)
{
	struct ratelimit *r = ratelimit_new(100);
	const struct addr greedy = source(1), modest = source(2);
	struct addr same = source(1);
	int64_t now = 0;

	(void)pass(r, &greedy, &now, 1000, 0);
	ck_assert(!ratelimit_ok(r, &greedy, (struct mono){now}));
	ck_assert(ratelimit_ok(r, &modest, (struct mono){now}));
	addr_set_port(&same, 2000); /* ports do not help */
	ck_assert(!ratelimit_ok(r, &same, (struct mono){now}));
	ratelimit_free(r);
}
END_TEST

/* More sources than the table holds: memory is bounded, newcomers are
 * answered, and one that keeps sending is not forgotten. */
START_TEST(table_is_bounded)
{
	struct ratelimit *r = ratelimit_new(1000);
	const struct addr greedy = source(0xffffffff);
	int64_t now = 0, ok = 0;

	for (uint32_t i = 0; i < 200000; i++, now += 10 * NS_PER_US) {
		const struct addr a = source(i);

		ck_assert(ratelimit_ok(r, &a, (struct mono){now}));
		ok += ratelimit_ok(r, &greedy, (struct mono){now});
	}
	/* 2 s at 100,000 packets/s: near 2,000, not 200,000 */
	ck_assert_int_ge(ok, 2000);
	ck_assert_int_le(ok, 2300);
	ratelimit_free(r);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ratelimit");
	TCase *t = tcase_create("ratelimit");
	SRunner *sr;
	int failed;

	tcase_add_test(t, at_the_rate_all_pass);
	tcase_add_test(t, over_the_rate_the_rate_passes);
	tcase_add_test(t, low_rates_keep_a_burst);
	tcase_add_test(t, sources_do_not_share);
	tcase_add_test(t, table_is_bounded);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
