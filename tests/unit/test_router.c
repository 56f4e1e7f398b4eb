/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A real ROUTER and real DEALERs over loopback and CURVE, in one event loop.
 */
#include "lib/bus/dealer.h"
#include "lib/bus/router.h"

#include "lib/base/clock_read.h"
#include "lib/base/rng.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct world {
	struct event_base *base;
	struct keys server, client;
	struct router *router;
	struct dealer_context *context;
	struct dealer *dealer;
	bool admit; /* the client's key */
	unsigned asked;
	/* at the router */
	unsigned got, bad;
	struct router_from from;
	enum msg_kind last;
	enum msg_err last_err;
	/* at the dealer */
	unsigned node_got;
	enum msg_kind node_last;
	enum dealer_state state;
	unsigned refusals;
};

static struct world w;

static bool
on_accept(void *arg, const uint8_t key[KEYS_BYTES], const struct addr *from)
{
	struct world *x = arg;

	x->asked++;
	ck_assert(addr_is_loopback(from));
	return x->admit && memcmp(key, x->client.public_key, KEYS_BYTES) == 0;
}

static void
on_message(void *arg, const struct router_from *from, struct msg *m)
{
	struct world *x = arg;

	x->got++;
	x->from = *from;
	x->last = m->kind;
	msg_clear(m);
}

static void
on_bad(void *arg, const struct router_from *from, enum msg_err e,
       const char *field)
{
	struct world *x = arg;

	(void)from;
	(void)field;
	x->bad++;
	x->last_err = e;
}

static void
node_on_state(void *arg, enum dealer_state now)
{
	struct world *x = arg;

	x->state = now;
	x->refusals += now == DEALER_REFUSED;
}

static void
node_on_message(void *arg, struct msg *m)
{
	struct world *x = arg;

	x->node_got++;
	x->node_last = m->kind;
	msg_clear(m);
}

static void
node_on_bad(void *arg, enum msg_err e, const char *field)
{
	(void)arg;
	(void)field;
	ck_abort_msg("the controller sent rubbish: %s", msg_err_str(e));
}

static const struct router_ops ops = {on_accept, on_message, on_bad};
static const struct dealer_ops node_ops = {node_on_state, node_on_message,
                                           node_on_bad};

/* Runs the loop until *value >= want (or the state is `want`), 8 s at most. */
static bool
run_until(const unsigned *value, unsigned want)
{
	const struct mono end = mono_add_ns(clock_mono(), 8 * NS_PER_S);

	while (*value < want && mono_diff_ns(end, clock_mono()) > 0) {
		const struct timeval tick = {0, 10000};

		event_base_loopexit(w.base, &tick);
		event_base_dispatch(w.base);
	}
	return *value >= want;
}

static bool
run_until_state(enum dealer_state want)
{
	const struct mono end = mono_add_ns(clock_mono(), 8 * NS_PER_S);

	while (w.state != want && mono_diff_ns(end, clock_mono()) > 0) {
		const struct timeval tick = {0, 10000};

		event_base_loopexit(w.base, &tick);
		event_base_dispatch(w.base);
	}
	return w.state == want;
}

static void
run_for_ms(int ms)
{
	const struct timeval t = {ms / 1000, ms % 1000 * 1000};

	event_base_loopexit(w.base, &t);
	event_base_dispatch(w.base);
}

static struct router *
start_router(uint16_t port, char *err, size_t size)
{
	struct router_opts o = {
	    .base = w.base, .keys = &w.server, .ops = &ops, .arg = &w};

	ck_assert(addr_parse_ip("127.0.0.1", port, &o.listen));
	return router_new(&o, err, size);
}

static void
start_dealer(void)
{
	char address[ADDR_TEXT_MAX], err[256];
	struct dealer_opts o = {.context = w.context,
	                        .base = w.base,
	                        .address = address,
	                        .keys = &w.client,
	                        .ops = &node_ops,
	                        .arg = &w};

	addr_format(router_address(w.router), address);
	memcpy(o.server_key, w.server.public_key, KEYS_BYTES);
	w.dealer = dealer_new(&o, err, sizeof(err));
	ck_assert_msg(w.dealer != NULL, "%s", err);
}

static void
setup(void)
{
	char err[256];

	memset(&w, 0, sizeof(w));
	w.base = event_base_new();
	ck_assert(keys_generate(&w.server));
	ck_assert(keys_generate(&w.client));
	w.router = start_router(0, err, sizeof(err));
	ck_assert_msg(w.router != NULL, "%s", err);
	w.context = dealer_context_new();
}

static void
teardown(void)
{
	dealer_free(w.dealer);
	dealer_context_free(w.context);
	router_free(w.router);
	event_base_free(w.base);
}

static struct msg
need_hello(void)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.kind = MESH_NEED_HELLO;
	return m;
}

START_TEST(an_accepted_key_talks_both_ways)
{
	const struct msg m = need_hello();

	w.admit = true;
	ck_assert_uint_ne(addr_port(router_address(w.router)), 0);
	start_dealer();
	ck_assert(run_until_state(DEALER_UP));
	ck_assert_int_eq(dealer_send(w.dealer, &m), 0);
	ck_assert(run_until(&w.got, 1));
	ck_assert_mem_eq(w.from.key, w.client.public_key, KEYS_BYTES);
	ck_assert(addr_is_loopback(&w.from.address));
	ck_assert_int_eq(w.last, MESH_NEED_HELLO);
	ck_assert_int_eq(router_send(w.router, &w.from.peer, &m), 0);
	ck_assert(run_until(&w.node_got, 1));
	ck_assert_int_eq(w.node_last, MESH_NEED_HELLO);
}
END_TEST

START_TEST(a_refused_key_is_admitted_later_without_restart)
{
	const struct msg m = need_hello();

	start_dealer();
	ck_assert(run_until_state(DEALER_REFUSED));
	ck_assert_int_eq(dealer_send(w.dealer, &m), -EAGAIN);
	run_for_ms(2500);
	/* it knocks again, and shows no flicker between the knocks */
	ck_assert_uint_ge(w.asked, 2);
	ck_assert_uint_eq(w.refusals, 1);
	w.admit = true;
	ck_assert(run_until_state(DEALER_UP));
	ck_assert_int_eq(dealer_send(w.dealer, &m), 0);
	ck_assert(run_until(&w.got, 1));
	ck_assert_uint_ge(router_stats(w.router)->refused, 2);
}
END_TEST

START_TEST(the_wrong_server_key_is_told_as_refused)
{
	w.admit = true;
	ck_assert(keys_generate(&w.server));
	start_dealer();
	ck_assert(run_until_state(DEALER_REFUSED));
	ck_assert_uint_eq(w.asked, 0);
}
END_TEST

START_TEST(a_restarted_router_is_found_again)
{
	const uint16_t port = addr_port(router_address(w.router));
	const struct msg m = need_hello();
	char err[256];

	w.admit = true;
	start_dealer();
	ck_assert(run_until_state(DEALER_UP));
	router_free(w.router);
	ck_assert(run_until_state(DEALER_CONNECTING));
	ck_assert_int_eq(dealer_send(w.dealer, &m), -EAGAIN);
	w.router = start_router(port, err, sizeof(err));
	ck_assert_msg(w.router != NULL, "%s", err);
	ck_assert(run_until_state(DEALER_UP));
	ck_assert_int_eq(dealer_send(w.dealer, &m), 0);
	ck_assert(run_until(&w.got, 1));
}
END_TEST

START_TEST(a_gone_peer_is_unreachable_and_nothing_blocks)
{
	const struct msg m = need_hello();
	const struct mono start = clock_mono();
	int rc = 0;

	w.admit = true;
	start_dealer();
	ck_assert(run_until_state(DEALER_UP));
	ck_assert_int_eq(dealer_send(w.dealer, &m), 0);
	ck_assert(run_until(&w.got, 1));
	dealer_free(w.dealer);
	w.dealer = NULL;
	for (int i = 0; i < 200 && rc != -EHOSTUNREACH; i++) {
		rc = router_send(w.router, &w.from.peer, &m);
		run_for_ms(10);
	}
	ck_assert_int_eq(rc, -EHOSTUNREACH);
	ck_assert_int_lt(mono_diff_ns(clock_mono(), start), 8 * NS_PER_S);
}
END_TEST

START_TEST(ten_thousand_messages_pass_in_order_of_turns)
{
	const struct msg m = need_hello();
	unsigned sent = 0;

	w.admit = true;
	start_dealer();
	ck_assert(run_until_state(DEALER_UP));
	while (sent < 10000) {
		if (dealer_send(w.dealer, &m) == 0)
			sent++;
		else
			run_for_ms(1);
	}
	ck_assert(run_until(&w.got, 10000));
	ck_assert_uint_eq(w.got, 10000);
}
END_TEST

/* ---- what a hostile but approved peer may send ---- */

static void *raw_context, *raw;

static void
raw_connect(const char *routing_id)
{
	char address[ADDR_TEXT_MAX], endpoint[ADDR_TEXT_MAX + 8];
	const int linger = 0;

	addr_format(router_address(w.router), address);
	(void)snprintf(endpoint, sizeof(endpoint), "tcp://%s", address);
	raw_context = zmq_ctx_new();
	raw = zmq_socket(raw_context, ZMQ_DEALER);
	zmq_setsockopt(raw, ZMQ_LINGER, &linger, sizeof(linger));
	if (routing_id)
		zmq_setsockopt(raw, ZMQ_ROUTING_ID, routing_id,
		               strlen(routing_id));
	zmq_setsockopt(raw, ZMQ_CURVE_SERVERKEY, w.server.public_key, 32);
	zmq_setsockopt(raw, ZMQ_CURVE_PUBLICKEY, w.client.public_key, 32);
	zmq_setsockopt(raw, ZMQ_CURVE_SECRETKEY, w.client.secret_key, 32);
	ck_assert_int_eq(zmq_connect(raw, endpoint), 0);
	w.admit = true;
}

static void
raw_close(void)
{
	zmq_close(raw);
	zmq_ctx_term(raw_context);
}

static void
raw_send_need_hello(void)
{
	const struct msg m = need_hello();
	uint8_t *bytes;
	size_t len;

	ck_assert(msg_encode(&m, &bytes, &len));
	ck_assert_int_eq(zmq_send(raw, bytes, len, 0), (int)len);
	free(bytes);
}

START_TEST(garbage_frames_are_counted_and_do_no_harm)
{
	const struct router_stats *s = router_stats(w.router);
	struct rng rng;

	rng_seed(&rng, 1);
	raw_connect(NULL);
	for (int i = 0; i < 500; i++) {
		uint8_t junk[300];
		const size_t n = 1 + rng_u64(&rng) % sizeof(junk);

		for (size_t j = 0; j < n; j++)
			junk[j] = (uint8_t)rng_u64(&rng);
		ck_assert_int_eq(zmq_send(raw, junk, n, 0), (int)n);
	}
	ck_assert_int_eq(zmq_send(raw, "", 0, 0), 0);
	raw_send_need_hello();
	ck_assert(run_until(&w.got, 1));
	ck_assert_uint_eq(w.got, 1);
	ck_assert_uint_eq(w.bad, 500);
	ck_assert_uint_eq(s->dropped[ROUTER_DROP_DECODE], 500);
	ck_assert_uint_eq(s->dropped[ROUTER_DROP_EMPTY], 1);
	raw_close();
}
END_TEST

START_TEST(a_multipart_bomb_is_drained_and_counted_once)
{
	const struct router_stats *s = router_stats(w.router);

	raw_connect(NULL);
	for (int i = 0; i < 10000; i++)
		ck_assert_int_eq(
		    zmq_send(raw, "x", 1, i < 9999 ? ZMQ_SNDMORE : 0), 1);
	raw_send_need_hello();
	ck_assert(run_until(&w.got, 1));
	ck_assert_uint_eq(s->dropped[ROUTER_DROP_MULTIPART], 1);
	ck_assert_uint_eq(w.bad, 0);
	raw_close();
}
END_TEST

START_TEST(a_chosen_routing_id_is_not_heard)
{
	const struct router_stats *s = router_stats(w.router);

	raw_connect("node-seven");
	raw_send_need_hello();
	for (int i = 0; i < 200 && s->dropped[ROUTER_DROP_PEER_ID] == 0; i++)
		run_for_ms(10);
	ck_assert_uint_eq(s->dropped[ROUTER_DROP_PEER_ID], 1);
	ck_assert_uint_eq(w.got, 0);
	raw_close();
}
END_TEST

START_TEST(an_oversized_frame_cuts_the_connection_only)
{
	uint8_t *big = calloc(1, MSG_MAX_BYTES + 1);

	raw_connect(NULL);
	ck_assert_ptr_nonnull(big);
	zmq_send(raw, big, MSG_MAX_BYTES + 1, 0);
	run_for_ms(500);
	ck_assert_uint_eq(w.bad, 0);
	free(big);
	raw_close();
	start_dealer();
	ck_assert(run_until_state(DEALER_UP));
}
END_TEST

/* ---- starting ---- */

START_TEST(a_router_without_zap_handler_refuses_to_start)
{
	struct router *r;
	char err[256];

	setenv("TWMESH_TEST_NO_ZAP", "1", 1);
	r = start_router(0, err, sizeof(err));
	unsetenv("TWMESH_TEST_NO_ZAP");
	ck_assert_ptr_null(r);
	ck_assert_msg(strstr(err, "self-test") != NULL, "%s", err);
}
END_TEST

START_TEST(a_taken_port_is_told_in_one_line)
{
	char err[256];

	ck_assert_ptr_null(start_router(addr_port(router_address(w.router)),
	                                err, sizeof(err)));
	ck_assert_msg(strstr(err, "in use") != NULL, "%s", err);
}
END_TEST

START_TEST(ipv6_and_wildcard_listeners_test_themselves_too)
{
	static const char *const listen[] = {"::1", "0.0.0.0", "::"};

	for (size_t i = 0; i < 3; i++) {
		struct router_opts o = {
		    .base = w.base, .keys = &w.server, .ops = &ops, .arg = &w};
		struct router *r;
		char err[256];

		ck_assert(addr_parse_ip(listen[i], 0, &o.listen));
		r = router_new(&o, err, sizeof(err));
		ck_assert_msg(r != NULL, "%s: %s", listen[i], err);
		router_free(r);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("router");
	TCase *t = tcase_create("loopback");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, an_accepted_key_talks_both_ways);
	tcase_add_test(t, a_refused_key_is_admitted_later_without_restart);
	tcase_add_test(t, the_wrong_server_key_is_told_as_refused);
	tcase_add_test(t, a_restarted_router_is_found_again);
	tcase_add_test(t, a_gone_peer_is_unreachable_and_nothing_blocks);
	tcase_add_test(t, ten_thousand_messages_pass_in_order_of_turns);
	tcase_add_test(t, garbage_frames_are_counted_and_do_no_harm);
	tcase_add_test(t, a_multipart_bomb_is_drained_and_counted_once);
	tcase_add_test(t, a_chosen_routing_id_is_not_heard);
	tcase_add_test(t, an_oversized_frame_cuts_the_connection_only);
	tcase_add_test(t, a_router_without_zap_handler_refuses_to_start);
	tcase_add_test(t, a_taken_port_is_told_in_one_line);
	tcase_add_test(t, ipv6_and_wildcard_listeners_test_themselves_too);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
