/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/prober_int.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define N 500

START_TEST(the_earliest_is_on_top_whatever_moves_or_leaves)
{
	static struct probe probe[N];
	const uint64_t seed = random_u64();
	struct sched h = {0};
	bool in[N] = {false};
	struct rng r;

	printf("seed %" PRIu64 "\n", seed);
	rng_seed(&r, seed);
	for (unsigned step = 0; step < 20000; step++) {
		const size_t i = rng_u64(&r) % N;
		size_t n = 0, lost = 0;
		int64_t min = INT64_MAX;

		if (in[i] && rng_u64(&r) % 3 == 0) {
			sched_remove(&h, &probe[i]);
			in[i] = false;
		} else {
			probe[i].due.ns = (int64_t)(rng_u64(&r) % 1000);
			if (in[i])
				sched_move(&h, &probe[i]);
			else
				ck_assert(sched_push(&h, &probe[i]));
			in[i] = true;
		}
		for (size_t k = 0; k < N; k++) {
			if (!in[k])
				continue;
			n++;
			min = probe[k].due.ns < min ? probe[k].due.ns : min;
			/* an assert of Check is a system call */
			lost += h.v[probe[k].heap_at].probe != &probe[k] ||
			        h.v[probe[k].heap_at].due.ns != probe[k].due.ns;
		}
		ck_assert_uint_eq(lost, 0);
		ck_assert_uint_eq(h.n, n);
		if (n)
			ck_assert_int_eq(sched_top(&h)->due.ns, min);
		else
			ck_assert_ptr_null(sched_top(&h));
	}
	free(h.v);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sched");
	TCase *t = tcase_create("sched");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, the_earliest_is_on_top_whatever_moves_or_leaves);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
