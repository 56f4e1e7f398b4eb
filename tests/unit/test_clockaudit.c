/* SPDX-License-Identifier: BSD-2-Clause */
/* Meshes whose true offsets and delays are known. */
#include "lib/stats/clockaudit.h"

#include "lib/base/rng.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define N 8
#define MS NS_PER_MS

static int64_t offset[N];     /* true: clock - UTC */
static int64_t delay[N][N];   /* true one-way minima */
static int64_t min_ns[N * N]; /* as measured */
static struct clock_claim claim[N];
static struct clock_finding found[N];

/* Right clocks within 1 ms, symmetric paths of 10 to 80 ms; node 0 is the
 * reference. */
static void
mesh(struct rng *r)
{
	memset(offset, 0, sizeof(offset));
	for (size_t i = 0; i < N; i++) {
		claim[i] = (struct clock_claim){i == 0, true, MS};
		if (i > 0)
			offset[i] = (int64_t)(rng_unit(r) * 2e6) - MS;
		for (size_t j = 0; j < i; j++)
			delay[i][j] = delay[j][i] =
			    10 * MS + (int64_t)(rng_unit(r) * 70e6);
	}
}

static void
audit(void)
{
	for (size_t i = 0; i < N; i++) {
		for (size_t j = 0; j < N; j++)
			min_ns[i * N + j] =
			    i == j ? NS_UNKNOWN
			           : delay[i][j] + offset[j] - offset[i];
	}
	ck_assert(clockaudit_solve(N, min_ns, claim, found));
	for (size_t i = 1; i < N; i++) {
		if (found[i].verdict == CLOCK_INCONSISTENT)
			continue;
		ck_assert_int_le(found[i].lo_ns, offset[i]);
		ck_assert_int_ge(found[i].hi_ns, offset[i]);
	}
}

static unsigned
convicted(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < N; i++)
		n += found[i].verdict == CLOCK_UNTRUSTED ||
		     found[i].verdict == CLOCK_INCONSISTENT;
	return n;
}

START_TEST(right_clocks_are_trusted_and_their_offsets_lie_within_the_bounds)
{
	const uint64_t seed = random_u64();
	struct rng r;

	printf("seed %" PRIu64 "\n", seed);
	rng_seed(&r, seed);
	for (int round = 0; round < 200; round++) {
		mesh(&r);
		audit();
		ck_assert_uint_eq(convicted(), 0);
		ck_assert_int_eq(found[0].verdict, CLOCK_REFERENCE);
		for (size_t i = 1; i < N; i++)
			ck_assert_int_eq(found[i].verdict, CLOCK_TRUSTED);
	}
}
END_TEST

START_TEST(a_clock_off_by_more_than_the_paths_allow_is_convicted_alone)
{
	struct rng r;

	rng_seed(&r, 1);
	for (int sign = -1; sign <= 1; sign += 2) {
		mesh(&r);
		offset[3] = sign * 200 * MS;
		audit();
		ck_assert_int_eq(found[3].verdict, CLOCK_UNTRUSTED);
		ck_assert_uint_eq(convicted(), 1);
	}
}
END_TEST

/* 10 ms more on the way out of one site, for ever: it looks like a clock
 * offset of 5 ms, and may be none. */
START_TEST(one_sided_access_delay_convicts_nobody)
{
	struct rng r;

	rng_seed(&r, 2);
	mesh(&r);
	memset(offset, 0, sizeof(offset));
	for (size_t j = 0; j < N; j++)
		delay[5][j] += 10 * MS;
	audit();
	ck_assert_uint_eq(convicted(), 0);
	ck_assert_int_eq(found[5].verdict, CLOCK_SUSPECT);
	for (size_t i = 1; i < N; i++) {
		if (i != 5)
			ck_assert_int_eq(found[i].verdict, CLOCK_TRUSTED);
	}
}
END_TEST

START_TEST(without_a_claim_or_a_chain_nothing_is_said)
{
	struct rng r;

	rng_seed(&r, 3);
	mesh(&r);
	claim[2].synchronised = false;
	offset[2] = 900 * MS;
	audit();
	ck_assert_int_eq(found[2].verdict, CLOCK_UNSYNCHRONISED);
	ck_assert_int_ge(found[2].lo_ns, 800 * MS);
	ck_assert_uint_eq(convicted(), 0);

	for (size_t i = 0; i < N; i++)
		claim[i].reference = false;
	ck_assert(clockaudit_solve(N, min_ns, claim, found));
	for (size_t i = 0; i < N; i++) {
		ck_assert_int_eq(found[i].lo_ns, NS_UNKNOWN);
		ck_assert_int_eq(found[i].hi_ns, NS_UNKNOWN);
		ck_assert_int_eq(found[i].verdict,
		                 i == 2 ? CLOCK_UNSYNCHRONISED : CLOCK_UNKNOWN);
	}
}
END_TEST

START_TEST(a_chain_reaches_nodes_that_the_reference_does_not_measure)
{
	struct rng r;

	rng_seed(&r, 4);
	mesh(&r);
	audit();
	for (size_t i = 2; i < N; i++)
		min_ns[i] = min_ns[i * N] = NS_UNKNOWN; /* 0 sees only 1 */
	ck_assert(clockaudit_solve(N, min_ns, claim, found));
	for (size_t i = 1; i < N; i++) {
		ck_assert_int_eq(found[i].verdict, CLOCK_TRUSTED);
		ck_assert_int_le(found[i].lo_ns, offset[i]);
		ck_assert_int_ge(found[i].hi_ns, offset[i]);
	}
}
END_TEST

/* It stepped while it was measured: 5 -> 6 and 6 -> 5 together took less than
 * no time. */
START_TEST(what_no_offsets_can_explain_is_inconsistent)
{
	struct rng r;

	rng_seed(&r, 5);
	mesh(&r);
	audit();
	min_ns[5 * N + 6] = -500 * MS;
	min_ns[6 * N + 5] = 100 * MS;
	ck_assert(clockaudit_solve(N, min_ns, claim, found));
	ck_assert_int_ne(found[5].verdict, CLOCK_TRUSTED);
	ck_assert_int_ne(found[6].verdict, CLOCK_TRUSTED);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("clockaudit");
	TCase *t = tcase_create("clockaudit");
	SRunner *sr;
	int failed;

	tcase_add_test(
	    t,
	    right_clocks_are_trusted_and_their_offsets_lie_within_the_bounds);
	tcase_add_test(
	    t, a_clock_off_by_more_than_the_paths_allow_is_convicted_alone);
	tcase_add_test(t, one_sided_access_delay_convicts_nobody);
	tcase_add_test(t, without_a_claim_or_a_chain_nothing_is_said);
	tcase_add_test(
	    t, a_chain_reaches_nodes_that_the_reference_does_not_measure);
	tcase_add_test(t, what_no_offsets_can_explain_is_inconsistent);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
