/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/rng.h"
#include "tests/emu/relq.h"

#include <check.h>
#include <stdlib.h>

#define SIZE 500

/* Random pushes and pops against a plain list searched from end to end. */
START_TEST(test_takes_the_earliest_and_of_equals_the_first)
{
	static struct {
		int64_t due;
		unsigned id;
		bool in;
	} model[20000];
	unsigned pushed = 0;
	struct relq q;
	struct rng r;

	rng_seed(&r, 21);
	ck_assert(relq_init(&q, SIZE));
	for (unsigned i = 0; i < 40000; i++) {
		size_t best = SIZE;

		if (rng_u64(&r) % 100 < 52 && pushed < 20000) {
			model[pushed].due = (int64_t)(rng_u64(&r) % 50);
			model[pushed].id = pushed;
			model[pushed].in =
			    relq_push(&q, (struct mono){model[pushed].due},
			              &model[pushed].id);
			ck_assert(model[pushed].in || q.n == SIZE);
			pushed++;
			continue;
		}
		best = pushed;
		for (size_t k = 0; k < pushed; k++) {
			if (model[k].in &&
			    (best == pushed || model[k].due < model[best].due))
				best = k;
		}
		if (best == pushed) {
			ck_assert_ptr_null(relq_top(&q));
			ck_assert_ptr_null(relq_pop(&q));
			continue;
		}
		ck_assert_int_eq(relq_top(&q)->due.ns, model[best].due);
		ck_assert_ptr_eq(relq_pop(&q), &model[best].id);
		model[best].in = false;
	}
	relq_clear(&q);
}
END_TEST

START_TEST(test_a_full_queue_refuses)
{
	struct relq q;
	int x;

	ck_assert(relq_init(&q, 2));
	ck_assert(relq_push(&q, (struct mono){2}, &x));
	ck_assert(relq_push(&q, (struct mono){1}, &x));
	ck_assert(!relq_push(&q, (struct mono){0}, &x));
	ck_assert_int_eq(relq_top(&q)->due.ns, 1);
	ck_assert_ptr_nonnull(relq_pop(&q));
	ck_assert(relq_push(&q, (struct mono){0}, &x));
	relq_clear(&q);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("relq");
	TCase *t = tcase_create("relq");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_takes_the_earliest_and_of_equals_the_first);
	tcase_add_test(t, test_a_full_queue_refuses);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
