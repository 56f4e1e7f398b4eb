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

/* Node 1 is us, 2 and 3 are nodes, 4 and 5 targets. */
static struct plan
small_plan(struct roster_node node[5], struct roster_class class_[2])
{
	memset(node, 0, 5 * sizeof(*node));
	memset(class_, 0, 2 * sizeof(*class_));
	for (uint8_t i = 0; i < 5; i++) {
		const uint8_t ip[4] = {127, 2, 0, (uint8_t)(i + 1)};

		node[i].node_id = i + 1U;
		node[i].mesh = node[i].hub = 1;
		node[i].address_n = 1;
		ck_assert(addr_from_bytes(ip, 4, 862, &node[i].address[0]));
	}
	node[3].kind = NODE_STAMP;
	node[4].kind = NODE_LIGHT;
	for (uint32_t i = 0; i < 2; i++) {
		class_[i] =
		    (struct roster_class){.class_id = i + 1,
		                          .size_octets = 128,
		                          .gap_ns = GAP_NS,
		                          .flows = 1,
		                          .interval_ns = 10 * NS_PER_S,
		                          .loss_timeout_ns = 2 * NS_PER_S,
		                          .mesh = 1};
	}
	return (struct plan){.self_id = 1,
	                     .roster = {.epoch = 1,
	                                .planned = true,
	                                .node = node,
	                                .node_n = 5,
	                                .class_ = class_,
	                                .class_n = 2}};
}

static struct probe none; /* there is no such probe */

static struct probe *
probe_to(const struct prober *p, uint32_t node_id, uint32_t class_id)
{
	for (size_t i = 0; i < p->table_n; i++) {
		if (p->table[i]->node_id == node_id &&
		    p->table[i]->class_->conf.class_id == class_id)
			return p->table[i];
	}
	return &none;
}

START_TEST(targets_get_one_packet_a_second_and_light_ones_no_ssid)
{
	static struct prober p;
	struct roster_node node[5];
	struct roster_class class_[2];
	struct plan plan = small_plan(node, class_);

	open_bare(&p, 5);
	table_apply(&p, &plan, clock_now());
	ck_assert_uint_eq(p.table_n, 8);
	ck_assert_int_eq(probe_to(&p, 2, 1)->gap_ns, GAP_NS);
	ck_assert_int_eq(probe_to(&p, 4, 1)->gap_ns, NS_PER_S);
	ck_assert_int_eq(probe_to(&p, 5, 2)->gap_ns, NS_PER_S);
	ck_assert_uint_ne(probe_to(&p, 4, 1)->ssid, 0);
	ck_assert_uint_eq(probe_to(&p, 5, 1)->ssid, 0);
	close_bare(&p);
}
END_TEST

/* A plan starts and ends what it says, and leaves the rest alone. */
START_TEST(a_plan_leaves_unchanged_sessions_alone)
{
	static struct prober p;
	struct roster_node node[5];
	struct roster_class class_[2];
	struct plan plan = small_plan(node, class_);
	struct probe *same, *other;
	struct session *session;
	uint16_t ssid;

	open_bare(&p, 6);
	node[2].mesh = class_[1].mesh = 2; /* node 3 and class 2 elsewhere */
	table_apply(&p, &plan, clock_now());
	ck_assert_uint_eq(p.table_n, 3); /* 2, 4 and 5 by class 1 */
	same = probe_to(&p, 2, 1);
	session = same->session;
	ssid = same->ssid;
	/* node 3 comes in, the targets go, class 2 changes its packets, and
	 * the mesh has another bit */
	node[0].mesh = node[0].hub = node[1].mesh = node[1].hub = 8;
	node[2].mesh = node[2].hub = 8;
	node[3].mesh = node[4].mesh = 0;
	class_[0].mesh = class_[1].mesh = 8;
	class_[1].class_id = 3;
	plan.roster.epoch = 2;
	table_apply(&p, &plan, clock_now());
	ck_assert_uint_eq(p.table_n, 4);
	ck_assert_ptr_eq(probe_to(&p, 2, 1), same);
	ck_assert_ptr_eq(same->session, session);
	ck_assert_uint_eq(same->ssid, ssid);
	ck_assert_uint_eq(p.ending_n, 2);
	other = probe_to(&p, 3, 3);
	ck_assert_ptr_ne(other, &none);
	/* a node becomes a target: another session */
	node[2].kind = NODE_STAMP;
	table_apply(&p, &plan, clock_now());
	ck_assert_ptr_ne(probe_to(&p, 3, 3), other);
	ck_assert_ptr_eq(probe_to(&p, 2, 1), same);
	/* we are in no mesh any more */
	node[0].mesh = 0;
	table_apply(&p, &plan, clock_now());
	ck_assert_uint_eq(p.table_n, 0);
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
	tcase_add_test(t,
	               targets_get_one_packet_a_second_and_light_ones_no_ssid);
	tcase_add_test(t, a_plan_leaves_unchanged_sessions_alone);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
