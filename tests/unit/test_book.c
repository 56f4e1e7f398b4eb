/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/book.h"
#include "tests/unit/lab.h"

#include <stdlib.h>

START_TEST(a_book_is_spent_when_shipped_told_and_decided)
{
	struct books b = {.n = 0};
	struct book *k = books_open(&b, 2, (struct wall){5});

	k->flow[0].t = (struct tally){.lost = 3, .fwd = 1};
	k->flow[1].t = (struct tally){.lost = 2, .fwd = 2};
	ck_assert_ptr_null(books_spent(&b)); /* not shipped */
	k->shipped = true;
	ck_assert_ptr_null(books_spent(&b)); /* two are undetermined */
	k->flow[0].t.bwd = 2;
	k->changed = true;
	ck_assert_ptr_null(books_spent(&b)); /* a revision is due */
	k->changed = false;
	ck_assert_ptr_eq(books_spent(&b), k);
	ck_assert_uint_eq(b.n, 0);
	ck_assert_ptr_null(b.head);
	ck_assert_ptr_null(b.last);
	free(k);
}
END_TEST

START_TEST(flows_add_up)
{
	struct books b = {.n = 0};
	struct book *k = books_open(&b, 3, (struct wall){5});
	struct tally sum;

	for (unsigned i = 0; i < 3; i++)
		k->flow[i].t = (struct tally){.lost = 10 * (i + 1),
		                              .fwd = i,
		                              .bwd = 2 * i,
		                              .evicted = i + 1};
	sum = book_sum(k);
	ck_assert_uint_eq(sum.lost, 60);
	ck_assert_uint_eq(sum.fwd, 3);
	ck_assert_uint_eq(sum.bwd, 6);
	ck_assert_uint_eq(sum.evicted, 6);
	ck_assert_uint_eq(tally_undet(&sum), 51);
	books_release(&b);
	ck_assert_uint_eq(b.n, 0);
}
END_TEST

START_TEST(any_of_the_list_can_go)
{
	struct books b = {.n = 0};
	struct book *k[4];

	for (unsigned i = 0; i < 4; i++)
		k[i] = books_open(&b, 1, (struct wall){i});
	k[1]->shipped = k[3]->shipped = true;
	ck_assert_ptr_eq(books_spent(&b), k[1]);
	ck_assert_ptr_eq(books_spent(&b), k[3]); /* the last one */
	ck_assert_ptr_null(books_spent(&b));
	free(k[1]);
	free(k[3]);
	k[1] = books_open(&b, 1, (struct wall){9});
	ck_assert_ptr_eq(b.head, k[0]);
	ck_assert_ptr_eq(k[0]->next, k[2]);
	ck_assert_ptr_eq(k[2]->next, k[1]);
	ck_assert_ptr_eq(b.last, k[1]);
	books_release(&b);
}
END_TEST

START_TEST(an_outage_keeps_the_newest_books)
{
	struct books b = {.n = 0};

	for (unsigned i = 0; i < BOOKS_MAX + 100; i++) {
		struct book *k = books_open(&b, 1, (struct wall){i});

		k->flow[0].t.lost = 10;
		k->shipped = true;
		while ((k = books_spent(&b)))
			free(k);
		ck_assert_uint_le(b.n, BOOKS_MAX);
	}
	ck_assert_int_eq(b.head->start.ns, 100);
	ck_assert_int_eq(b.last->start.ns, BOOKS_MAX + 99);
	books_release(&b);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, a_book_is_spent_when_shipped_told_and_decided);
	tcase_add_test(t, flows_add_up);
	tcase_add_test(t, any_of_the_list_can_go);
	tcase_add_test(t, an_outage_keeps_the_newest_books);
}

int
main(void)
{
	return suite_main("book", add);
}
