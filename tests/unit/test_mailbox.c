/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/mailbox.h"

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>

#define SENDERS 4
#define EACH 20000

struct note {
	struct letter letter;
	unsigned sender, number;
};

static struct note *
note_new(unsigned sender, unsigned number)
{
	struct note *n = calloc(1, sizeof(*n));

	ck_assert_ptr_nonnull(n);
	n->sender = sender;
	n->number = number;
	return n;
}

static bool
is_readable(struct mailbox *m)
{
	struct pollfd p = {.fd = mailbox_fd(m), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

START_TEST(test_order_and_capacity)
{
	struct mailbox *m = mailbox_new(3);
	struct note *n[4];

	ck_assert_ptr_nonnull(m);
	ck_assert_ptr_null(mailbox_take(m));
	for (unsigned i = 0; i < 4; i++)
		n[i] = note_new(0, i);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(mailbox_put(m, &n[i]->letter));
	/* refused, not dropped: it is still ours */
	ck_assert(!mailbox_put(m, &n[3]->letter));
	ck_assert_uint_eq(mailbox_count(m), 3);
	ck_assert_ptr_eq(mailbox_take(m), &n[0]->letter);
	ck_assert(mailbox_put(m, &n[3]->letter));
	for (unsigned i = 1; i < 4; i++)
		ck_assert_ptr_eq(mailbox_take(m), &n[i]->letter);
	ck_assert_ptr_null(mailbox_take(m));
	mailbox_free(m, NULL);
	for (unsigned i = 0; i < 4; i++)
		free(n[i]);
}
END_TEST

/* Readable exactly while letters wait. */
START_TEST(test_descriptor)
{
	struct mailbox *m = mailbox_new(10);
	struct note a = {0}, b = {0};
	struct letter *l;

	ck_assert(!is_readable(m));
	ck_assert(mailbox_put(m, &a.letter));
	ck_assert(is_readable(m));
	ck_assert(mailbox_put(m, &b.letter));
	ck_assert_ptr_eq(mailbox_take(m), &a.letter);
	ck_assert(is_readable(m));
	ck_assert_ptr_eq(mailbox_take(m), &b.letter);
	ck_assert(!is_readable(m));
	ck_assert(mailbox_put(m, &b.letter));
	ck_assert(mailbox_put(m, &a.letter));
	l = mailbox_take_all(m);
	ck_assert_ptr_eq(l, &b.letter);
	ck_assert_ptr_eq(l->next, &a.letter);
	ck_assert_ptr_null(l->next->next);
	ck_assert(!is_readable(m));
	ck_assert_ptr_null(mailbox_take_all(m));
	ck_assert(mailbox_put(m, &a.letter)); /* still works after all */
	ck_assert_ptr_eq(mailbox_take(m), &a.letter);
	mailbox_free(m, NULL);
}
END_TEST

static unsigned dropped;

static void
drop(struct letter *l)
{
	dropped++;
	free(l);
}

START_TEST(test_free_with_letters)
{
	struct mailbox *m = mailbox_new(10);

	mailbox_free(NULL, NULL);
	dropped = 0;
	for (unsigned i = 0; i < 5; i++)
		ck_assert(mailbox_put(m, &note_new(0, i)->letter));
	mailbox_free(m, drop);
	ck_assert_uint_eq(dropped, 5);
}
END_TEST

struct sender {
	struct mailbox *m;
	unsigned id;
	uint64_t refused;
};

static void *
send_all(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < EACH; i++) {
		struct note *n = note_new(s->id, i);

		while (!mailbox_put(s->m, &n->letter)) {
			s->refused++;
			(void)sched_yield();
		}
	}
	return NULL;
}

/* Several threads through a small mailbox: everything arrives, once, and in
 * the order of its sender, whether taken one by one or all at once. */
START_TEST(test_threads)
{
	struct mailbox *m = mailbox_new(64);
	unsigned next[SENDERS] = {0}, got = 0;
	struct sender s[SENDERS];
	pthread_t t[SENDERS];

	for (unsigned i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){m, i, 0};
		ck_assert_int_eq(pthread_create(&t[i], NULL, send_all, &s[i]),
		                 0);
	}
	while (got < SENDERS * EACH) {
		struct pollfd p = {.fd = mailbox_fd(m), .events = POLLIN};
		struct letter *l, *after;

		ck_assert_int_eq(poll(&p, 1, 10000), 1);
		l = got % 2 ? mailbox_take(m) : mailbox_take_all(m);
		for (; l; l = after) {
			struct note *n = (struct note *)l;

			after = l->next;
			ck_assert_uint_eq(n->number, next[n->sender]);
			next[n->sender]++;
			got++;
			free(n);
		}
	}
	for (unsigned i = 0; i < SENDERS; i++)
		(void)pthread_join(t[i], NULL);
	ck_assert_ptr_null(mailbox_take(m));
	ck_assert(!is_readable(m));
	mailbox_free(m, NULL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("mailbox");
	TCase *t = tcase_create("mailbox");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_order_and_capacity);
	tcase_add_test(t, test_descriptor);
	tcase_add_test(t, test_free_with_letters);
	tcase_add_test(t, test_threads);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
