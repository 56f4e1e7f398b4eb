/* SPDX-License-Identifier: BSD-2-Clause */
/* What the bus knows of nodes: peers, pending keys, roster differences. */
#include "controller/peers.h"
#include "controller/pending.h"
#include "controller/rosterdiff.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(ns) ((struct mono){ns})
#define S(n) AT((n)*NS_PER_S)

static struct peers ps;

static struct router_from
from(uint8_t key, uint8_t connection)
{
	struct router_from f = {.peer = {{connection}}};

	f.key[0] = key;
	return f;
}

static struct peer *
hear(uint8_t key, uint8_t connection)
{
	struct router_from f = from(key, connection);

	return peers_hear(&ps, &f, S(1));
}

static void
setup(void)
{
	ck_assert(peers_init(&ps, 4));
}

static void
teardown(void)
{
	peers_release(&ps);
}

START_TEST(a_new_connection_makes_a_stranger_of_a_peer)
{
	struct peer *p = hear(1, 1);
	uint64_t first;

	ck_assert_ptr_nonnull(p);
	first = p->connection;
	peer_set_state(p, PEER_IN);
	p->epoch = 7;
	ck_assert_ptr_eq(hear(1, 1), p);
	ck_assert_int_eq(p->state, PEER_IN);
	ck_assert_ptr_eq(hear(1, 2), p);
	ck_assert_int_eq(p->state, PEER_STRANGER);
	ck_assert_uint_eq(p->epoch, 0);
	ck_assert_uint_ne(p->connection, first);
}
END_TEST

START_TEST(the_table_is_bounded)
{
	for (uint8_t i = 1; i <= 4; i++)
		ck_assert_ptr_nonnull(hear(i, i));
	ck_assert_ptr_null(hear(5, 5));
	peers_remove(&ps, hear(2, 2));
	ck_assert_ptr_nonnull(hear(5, 5));
	ck_assert_ptr_null(peers_find(&ps, from(2, 2).key));
}
END_TEST

static struct msg_batch
batch(uint64_t seq, size_t len)
{
	return (struct msg_batch){.seq = seq, .body_len = len};
}

static enum peer_flight_err
begin(struct peer *p, uint64_t seq, size_t len, struct mono now)
{
	struct msg_batch b = batch(seq, len);

	return peers_flight_begin(&ps, p, &b, 3, 1000, now);
}

START_TEST(the_window_bounds_what_a_node_has_under_way)
{
	struct peer *p = hear(1, 1);
	struct id16 spool = {{0}};

	for (uint64_t i = 1; i <= 3; i++)
		ck_assert_int_eq(begin(p, i, 1, S(1)), FLIGHT_OK);
	ck_assert_int_eq(begin(p, 4, 1, S(1)), FLIGHT_WINDOW);
	ck_assert_int_eq(begin(p, 2, 1, S(1)), FLIGHT_TWICE);
	peers_flight_end(&ps, p, &spool, 2);
	ck_assert_int_eq(begin(p, 4, 1, S(1)), FLIGHT_OK);
}
END_TEST

START_TEST(bytes_under_way_are_bounded_over_all_nodes)
{
	struct peer *p = hear(1, 1), *q = hear(2, 2);
	struct id16 spool = {{0}};

	ck_assert_int_eq(begin(p, 1, 700, S(1)), FLIGHT_OK);
	ck_assert_int_eq(begin(q, 1, 301, S(1)), FLIGHT_BYTES);
	ck_assert_int_eq(begin(q, 1, 2000, S(1)), FLIGHT_BYTES);
	ck_assert_int_eq(begin(q, 1, 300, S(1)), FLIGHT_OK);
	peers_flight_end(&ps, p, &spool, 1);
	ck_assert_uint_eq(ps.flight_bytes, 300);
	peers_remove(&ps, q);
	ck_assert_uint_eq(ps.flight_bytes, 0);
}
END_TEST

START_TEST(a_batch_that_was_never_acknowledged_frees_its_place)
{
	struct peer *p = hear(1, 1);

	for (uint64_t i = 1; i <= 3; i++)
		ck_assert_int_eq(begin(p, i, 1, S(1)), FLIGHT_OK);
	ck_assert_int_eq(begin(p, 1, 1, S(100)), FLIGHT_OK);
	ck_assert_uint_eq(ps.flight_bytes, 1);
}
END_TEST

static struct clock_pair
both(int64_t mono_s, int64_t wall_s)
{
	return (struct clock_pair){.mono = {mono_s * NS_PER_S},
	                           .wall = {wall_s * NS_PER_S}};
}

/* The node is `off` ahead; the controller's clock steps by `step` between. */
static struct peer *
converse(int64_t off, int64_t step)
{
	struct peer *p = hear(1, 1);
	struct msg_heartbeat hb = {.has_echo = true};

	peer_heartbeat_sent(p, both(10, 1000));
	hb.echo_sent = (struct wall){1000 * NS_PER_S};
	hb.echo_received = (struct wall){(1001 + off) * NS_PER_S};
	hb.sent = (struct wall){(1002 + off) * NS_PER_S};
	peer_heartbeat_heard(p, &hb, both(13, 1003 + step));
	return p;
}

START_TEST(an_echo_gives_the_offset)
{
	struct peer *p = converse(-500, 0);

	ck_assert_int_eq(offset_estimate_ns(&p->offset), -500 * NS_PER_S);
}
END_TEST

/* The node is right, then its clock is set an hour ahead. */
START_TEST(a_mark_tells_how_far_a_clock_was_off_then)
{
	const int64_t hour = 3600 * NS_PER_S;
	struct clock_mark was = {true, 5000 * NS_PER_S, {7}}, is = was, m;
	struct peer *p = hear(1, 1);
	int64_t moved;

	is.ns += hour;
	ck_assert_int_eq(peer_clock_off_ns(p, &was, &moved), NS_UNKNOWN);
	ck_assert_int_eq(moved, 0);
	p = converse(3600, 0);
	ck_assert_int_eq(peer_clock_off_ns(p, &was, &moved), hour);
	ck_assert_int_eq(moved, 0); /* the heartbeat had no mark */
	p->mark = is;
	ck_assert_int_eq(peer_clock_off_ns(p, &was, &moved), 0);
	ck_assert_int_eq(moved, hour);
	ck_assert_int_eq(peer_clock_off_ns(p, &is, &moved), hour);
	ck_assert_int_eq(moved, 0);
	m = was;
	m.boot_id[0]++;
	ck_assert_int_eq(peer_clock_off_ns(p, &m, &moved), hour);
	m = was;
	m.known = false;
	ck_assert_int_eq(peer_clock_off_ns(p, &m, &moved), hour);
	ck_assert_int_eq(moved, 0);
	/* hostile, but decoded: nothing overflows */
	p->mark.ns = MSG_WALL_MAX;
	was.ns = MSG_WALL_MIN;
	(void)peer_clock_off_ns(p, &was, &moved);
	ck_assert_int_eq(moved, INT64_C(1) << 62);
}
END_TEST

/* Only together with the sample that it belongs to. */
START_TEST(a_mark_is_taken_with_its_echo)
{
	const struct clock_mark mark = {true, 42, {1}};
	struct msg_heartbeat hb = {.sent = {1005 * NS_PER_S}, .mark = mark};
	struct peer *p = converse(0, 0);

	peer_heartbeat_heard(p, &hb, both(15, 1005));
	ck_assert(!p->mark.known);
	peer_heartbeat_sent(p, both(20, 1010));
	hb.has_echo = true;
	hb.echo_sent = hb.echo_received = (struct wall){1010 * NS_PER_S};
	hb.sent = (struct wall){9999 * NS_PER_S}; /* stepped in between */
	peer_heartbeat_heard(p, &hb, both(21, 1011));
	ck_assert(!p->mark.known);
	peer_heartbeat_sent(p, both(30, 1020));
	hb.echo_sent = hb.echo_received = (struct wall){1020 * NS_PER_S};
	hb.sent = (struct wall){1021 * NS_PER_S};
	peer_heartbeat_heard(p, &hb, both(31, 1021));
	ck_assert(p->mark.known);
	ck_assert_int_eq(p->mark.ns, 42);
}
END_TEST

START_TEST(a_step_of_our_own_clock_keeps_the_delay)
{
	struct peer *p = converse(0, 60);

	ck_assert_int_eq(p->offset.s[0].delay_ns, 2 * NS_PER_S);
	ck_assert_int_eq(offset_estimate_ns(&p->offset), -60 * NS_PER_S);
}
END_TEST

START_TEST(an_echo_of_what_was_never_sent_is_ignored)
{
	struct peer *p = hear(1, 1);
	struct msg_heartbeat hb = {.has_echo = true, .sent = {5}};

	peer_heartbeat_heard(p, &hb, both(3, 3)); /* echo_sent 0 */
	peer_heartbeat_sent(p, both(10, 1000));
	hb.echo_sent.ns = 999 * NS_PER_S;
	peer_heartbeat_heard(p, &hb, both(13, 1003));
	ck_assert_int_eq(offset_estimate_ns(&p->offset), NS_UNKNOWN);
}
END_TEST

START_TEST(an_echo_counts_once)
{
	struct peer *p = converse(0, 0);
	struct msg_heartbeat hb = {.has_echo = true,
	                           .echo_sent = {1000 * NS_PER_S},
	                           .echo_received = {5000 * NS_PER_S},
	                           .sent = {5001 * NS_PER_S}};

	peer_heartbeat_heard(p, &hb, both(14, 1004));
	ck_assert_uint_eq(p->offset.n, 1);
}
END_TEST

/* ---- pending ---- */

static struct pending pend;

static bool
knock(unsigned key, struct mono now)
{
	uint8_t k[KEY_BYTES] = {0};

	memcpy(k, &key, sizeof(key));
	return pending_knock(&pend, k, now);
}

START_TEST(a_key_is_passed_on_once_in_ten_seconds)
{
	memset(&pend, 0, sizeof(pend));
	ck_assert(knock(1, S(100)));
	ck_assert(!knock(1, S(101)));
	ck_assert(!knock(1, S(109)));
	ck_assert(knock(1, S(110)));
}
END_TEST

START_TEST(a_flood_of_new_keys_is_held_back_and_bounded)
{
	unsigned passed = 0;

	memset(&pend, 0, sizeof(pend));
	for (unsigned i = 0; i < 100000; i++)
		passed += knock(i, S(100));
	ck_assert_uint_eq(passed, PENDING_NEW_PER_S);
	ck_assert_uint_eq(pend.held_back, 100000 - PENDING_NEW_PER_S);
	for (unsigned i = 0; i < 1000; i++)
		(void)knock(1000000 + i, S(200 + (int64_t)i));
	ck_assert_uint_eq(pend.n, PENDING_MAX);
}
END_TEST

START_TEST(the_key_silent_for_longest_makes_room)
{
	memset(&pend, 0, sizeof(pend));
	for (unsigned i = 0; i < PENDING_MAX; i++)
		ck_assert(knock(i, S(100 + (int64_t)i)));
	ck_assert(knock(0, S(1000)));
	ck_assert(knock(999999, S(1001))); /* takes the place of key 1 */
	ck_assert(!knock(0, S(1002)));
	ck_assert(knock(1, S(1003)));
}
END_TEST

/* ---- differences ---- */

static struct roster_node
node(uint32_t id, const char *name)
{
	struct roster_node n = {.node_id = id, .reflector_port = 862};

	(void)snprintf(n.name, sizeof(n.name), "%s", name);
	return n;
}

START_TEST(a_difference_applied_gives_the_new_roster)
{
	struct roster_node a[] = {node(1, "a"), node(3, "c"), node(5, "e")};
	struct roster_node b[] = {node(2, "b"), node(3, "c"), node(5, "x")};
	struct roster_class k = {.class_id = 1, .name = "k"};
	struct roster from_ = {
	    .epoch = 4, .node = a, .node_n = 3, .class_ = &k, .class_n = 1};
	struct roster to = {
	    .epoch = 6, .node = b, .node_n = 3, .class_ = &k, .class_n = 1};
	struct roster have;
	struct roster_delta d;

	ck_assert(roster_diff(&from_, &to, &d));
	ck_assert_uint_eq(d.upsert_n, 2);
	ck_assert_uint_eq(d.removed_n, 1);
	ck_assert_uint_eq(d.removed[0], 1);
	ck_assert(roster_copy(&have, &from_));
	ck_assert(roster_apply(&have, &d));
	ck_assert_uint_eq(have.epoch, 6);
	ck_assert_uint_eq(have.node_n, 3);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(have.node[i].node_id, b[i].node_id);
		ck_assert_str_eq(have.node[i].name, b[i].name);
	}
	roster_clear(&have);
	free(d.upsert);
	free(d.removed);
}
END_TEST

START_TEST(another_class_needs_the_whole_roster)
{
	struct roster_class a = {.class_id = 1, .name = "k"}, b = a;
	struct roster from_ = {.epoch = 1, .class_ = &a, .class_n = 1};
	struct roster to = {.epoch = 2, .class_ = &b, .class_n = 1};
	struct roster_delta d;

	b.flows = 2;
	ck_assert(!roster_diff(&from_, &to, &d));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("peers");
	TCase *t = tcase_create("peers"), *u = tcase_create("pure");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_new_connection_makes_a_stranger_of_a_peer);
	tcase_add_test(t, the_table_is_bounded);
	tcase_add_test(t, the_window_bounds_what_a_node_has_under_way);
	tcase_add_test(t, bytes_under_way_are_bounded_over_all_nodes);
	tcase_add_test(t, a_batch_that_was_never_acknowledged_frees_its_place);
	tcase_add_test(t, an_echo_gives_the_offset);
	tcase_add_test(t, a_mark_tells_how_far_a_clock_was_off_then);
	tcase_add_test(t, a_mark_is_taken_with_its_echo);
	tcase_add_test(t, a_step_of_our_own_clock_keeps_the_delay);
	tcase_add_test(t, an_echo_of_what_was_never_sent_is_ignored);
	tcase_add_test(t, an_echo_counts_once);
	suite_add_tcase(s, u);
	tcase_add_test(u, a_key_is_passed_on_once_in_ten_seconds);
	tcase_add_test(u, a_flood_of_new_keys_is_held_back_and_bounded);
	tcase_add_test(u, the_key_silent_for_longest_makes_room);
	tcase_add_test(u, a_difference_applied_gives_the_new_roster);
	tcase_add_test(u, another_class_needs_the_whole_roster);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
