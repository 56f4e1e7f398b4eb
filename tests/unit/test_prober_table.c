/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The prober's table by itself: phases keep the slots of a class apart; whose a
 * transmit stamp is, after plans came and went.
 */
#include "lib/base/clock_read.h"
#include "meshd/prober_int.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define NODES 500
#define GAP_NS (100 * NS_PER_MS)

/* What prober_start() would set up, without its thread. */
static void
open_bare(struct prober *p, uint64_t seed)
{
	memset(p, 0, sizeof(*p));
	p->held.tail = &p->held.head;
	p->results = mailbox_new(SIZE_MAX);
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ck_assert_int_ge(p->epoll_fd, 0);
	rng_seed(&p->rng, seed);
}

static void
close_bare(struct prober *p)
{
	table_release(p);
	mailbox_free(p->results, prober_letter_free);
	(void)close(p->epoll_fd);
}

/* Nodes 1 .. n as destinations, at 127.0.x.y; `skip` (if not 0) is left out. */
static void
apply(struct prober *p, unsigned n, unsigned skip)
{
	static struct roster_class c = {.class_id = 1,
	                                .name = "t",
	                                .size_octets = 128,
	                                .gap_ns = GAP_NS,
	                                .flows = 1,
	                                .interval_ns = 10 * NS_PER_S,
	                                .loss_timeout_ns = 2 * NS_PER_S};
	struct plan plan = {.self_id = UINT32_MAX};

	plan.roster.class_ = &c;
	plan.roster.class_n = 1;
	plan.roster.node = calloc(n, sizeof(*plan.roster.node));
	for (unsigned i = 1; i <= n; i++) {
		const uint8_t ip[4] = {127, 1, (uint8_t)(i / 250),
		                       (uint8_t)(i % 250 + 1)};
		struct roster_node *node;

		if (i == skip)
			continue;
		node = &plan.roster.node[plan.roster.node_n++];
		node->node_id = i;
		node->address_n = 1;
		ck_assert(addr_from_bytes(ip, 4, 862, &node->address[0]));
	}
	table_apply(p, &plan, clock_now());
	free(plan.roster.node);
}

static int
by_value(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Whatever their number, and wherever they begin, the slots of a class lie at
 * least 0.38 of their mean distance apart; also when they came in two plans. */
START_TEST(phases_keep_slots_apart)
{
	static struct prober p;
	int64_t due[NODES];

	for (unsigned n = 2; n <= NODES; n += n < 20 ? 1 : 60) {
		open_bare(&p, n);
		apply(&p, n / 2, 0);
		apply(&p, n, 0);
		ck_assert_uint_eq(p.table_n, n);
		for (unsigned i = 0; i < n; i++) {
			ck_assert_int_ge(p.table[i]->due.ns, 0);
			due[i] = p.table[i]->due.ns % GAP_NS;
		}
		qsort(due, n, sizeof(due[0]), by_value);
		for (unsigned i = 0; i < n; i++) {
			const int64_t next =
			    i + 1 < n ? due[i + 1] : due[0] + GAP_NS;

			ck_assert_int_ge(next - due[i],
			                 GAP_NS / (int64_t)n * 38 / 100);
		}
		close_bare(&p);
	}
}
END_TEST

START_TEST(a_stamp_is_never_taken_for_a_newcomers)
{
	static struct prober p;
	uint64_t who[NODES + 1] = {0};
	struct probe *gone = NULL;

	open_bare(&p, 1);
	apply(&p, NODES, 0);
	for (size_t i = 0; i < p.table_n; i++) {
		ck_assert_ptr_eq(table_by_who(&p, p.table[i]->who), p.table[i]);
		who[p.table[i]->node_id] = p.table[i]->who;
		if (p.table[i]->node_id == 77)
			gone = p.table[i];
	}
	apply(&p, NODES, 77);
	/* retired, and still able to take its stamps */
	ck_assert_ptr_eq(table_by_who(&p, who[77]), gone);
	table_end_some(&p, clock_now(), SIZE_MAX);
	ck_assert_ptr_null(table_by_who(&p, who[77]));
	apply(&p, NODES, 0); /* someone has its slot now */
	ck_assert_uint_eq(p.table_n, NODES);
	ck_assert_ptr_null(table_by_who(&p, who[77]));
	ck_assert_ptr_nonnull(table_by_who(&p, who[78]));
	ck_assert_ptr_null(table_by_who(&p, UINT64_MAX));
	ck_assert_ptr_null(table_by_who(&p, 0));
	close_bare(&p);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("prober_table");
	TCase *t = tcase_create("prober_table");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, phases_keep_slots_apart);
	tcase_add_test(t, a_stamp_is_never_taken_for_a_newcomers);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
