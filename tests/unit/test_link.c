/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A link against a real ROUTER, over loopback and CURVE, in one event loop.
 */
#include "meshd/link.h"

#include "lib/base/clock_read.h"
#include "lib/bus/router.h"

#include <check.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

struct world {
	struct event_base *base;
	struct keys server, client;
	struct router *router;
	struct dealer_context *context;
	struct link *link;
	char address[ADDR_TEXT_MAX];
	/* at the router */
	unsigned heard[MESH_REFUSED + 1], all;
	struct router_from from;
	struct msg_heartbeat beat; /* the latest */
	/* at the node */
	unsigned changed, acks;
};

static struct world w;

static bool
on_accept(void *arg, const uint8_t key[KEYS_BYTES], const struct addr *from)
{
	(void)from;
	return memcmp(key, ((struct world *)arg)->client.public_key,
	              KEYS_BYTES) == 0;
}

static void
tell(const struct msg *m)
{
	ck_assert_int_eq(router_send(w.router, &w.from.peer, m), 0);
}

/* A controller that welcomes everybody. */
static void
on_message(void *arg, const struct router_from *from, struct msg *m)
{
	struct msg welcome;

	(void)arg;
	w.from = *from;
	w.all++;
	w.heard[m->kind]++;
	if (m->kind == MESH_HEARTBEAT)
		w.beat = m->u.heartbeat;
	if (m->kind == MESH_HELLO) {
		memset(&welcome, 0, sizeof(welcome));
		welcome.kind = MESH_WELCOME;
		welcome.u.welcome.node_id = 1;
		welcome.u.welcome.window = 8;
		welcome.u.welcome.controller_wall = clock_wall();
		tell(&welcome);
	}
	msg_clear(m);
}

static void
fill_hello(void *arg, struct msg_hello *h)
{
	(void)arg;
	memset(h, 0, sizeof(*h));
	strcpy(h->name, "ams1");
	h->reflector_port = 862;
}

static void
fill_heartbeat(void *arg, struct msg_heartbeat *h)
{
	(void)arg;
	memset(h, 0, sizeof(*h));
}

static void
changed(void *arg, struct link *l)
{
	(void)arg;
	(void)l;
	w.changed++;
}

static void
welcome(void *arg, struct link *l, const struct msg_welcome *m)
{
	(void)arg;
	(void)l;
	ck_assert_uint_eq(m->window, 8);
}

static void
on_roster(void *arg, struct link *l, struct roster *r)
{
	(void)arg;
	(void)l;
	(void)r;
	ck_abort_msg("nobody sent a roster");
}

static void
on_delta(void *arg, struct link *l, const struct roster_delta *d)
{
	(void)arg;
	(void)l;
	(void)d;
	ck_abort_msg("nobody sent a delta");
}

static void
on_ack(void *arg, struct link *l, const struct msg_batch_ack *a)
{
	(void)arg;
	(void)l;
	w.acks += (unsigned)a->n;
}

static void
on_epoch(void *arg, struct link *l, uint64_t epoch)
{
	(void)arg;
	(void)l;
	(void)epoch;
}

static const struct router_ops router_ops = {on_accept, on_message, NULL};
static const struct link_ops link_ops = {fill_hello, fill_heartbeat, changed,
                                         welcome,    on_roster,      on_delta,
                                         on_ack,     on_epoch};

/* Runs loop and ticks; true as soon as *value >= want, within that time. */
static bool
run_until(const unsigned *value, unsigned want, int64_t ns)
{
	const struct mono end = mono_add_ns(clock_mono(), ns);

	while (*value < want && mono_diff_ns(end, clock_mono()) > 0) {
		const struct timeval tick = {0, 10000};

		event_base_loopexit(w.base, &tick);
		event_base_dispatch(w.base);
		link_on_tick(w.link, clock_mono());
	}
	return *value >= want;
}

static void
setup(void)
{
	char err[256];
	struct router_opts r = {.ops = &router_ops, .arg = &w};
	struct link_opts o = {
	    .title = "c1", .address = w.address, .ops = &link_ops, .arg = &w};

	memset(&w, 0, sizeof(w));
	w.base = event_base_new();
	ck_assert(keys_generate(&w.server));
	ck_assert(keys_generate(&w.client));
	r.base = w.base;
	r.keys = &w.server;
	ck_assert(addr_parse_ip("127.0.0.1", 0, &r.listen));
	w.router = router_new(&r, err, sizeof(err));
	ck_assert_msg(w.router != NULL, "%s", err);
	addr_format(router_address(w.router), w.address);
	w.context = dealer_context_new();
	memcpy(o.server_key, w.server.public_key, KEYS_BYTES);
	o.keys = &w.client;
	o.context = w.context;
	o.base = w.base;
	w.link = link_new(&o, err, sizeof(err));
	ck_assert_msg(w.link != NULL, "%s", err);
}

static void
teardown(void)
{
	link_free(w.link);
	dealer_context_free(w.context);
	router_free(w.router);
	event_base_free(w.base);
}

START_TEST(hello_is_welcomed_and_hearts_beat)
{
	ck_assert(run_until(&w.heard[MESH_HEARTBEAT], 2, 10 * NS_PER_S));
	ck_assert_uint_eq(w.heard[MESH_HELLO], 1);
	ck_assert_int_eq(link_state_of(w.link), LINK_WELCOMED);
	ck_assert(link_is_usable(w.link));
	ck_assert_uint_eq(link_window(w.link), 8);
	ck_assert_uint_eq(w.changed, 1);
}
END_TEST

/* The controller takes no batch of which it cannot say how wrong it is dated.
 */
START_TEST(results_wait_until_the_controller_knows_our_clock)
{
	struct msg hb = {.kind = MESH_HEARTBEAT};

	hb.u.heartbeat.sent = clock_wall();
	hb.u.heartbeat.storing = true;
	ck_assert(run_until(&w.heard[MESH_HEARTBEAT], 1, 8 * NS_PER_S));
	ck_assert(w.beat.mark.known);
	ck_assert(!link_is_storing(w.link));
	ck_assert_uint_eq(w.changed, 1);
	tell(&hb);
	ck_assert(run_until(&w.changed, 2, NS_PER_S));
	ck_assert(link_is_storing(w.link));
	/* at once: ahead of what is sent from now on */
	ck_assert(run_until(&w.heard[MESH_HEARTBEAT], 2, NS_PER_S));
	ck_assert(w.beat.has_echo);
	ck_assert_int_eq(w.beat.echo_sent.ns, hb.u.heartbeat.sent.ns);
}
END_TEST

START_TEST(a_wanted_hello_is_said_again)
{
	const struct msg need = {.kind = MESH_NEED_HELLO};

	ck_assert(run_until(&w.heard[MESH_HEARTBEAT], 1, 8 * NS_PER_S));
	tell(&need);
	ck_assert(run_until(&w.heard[MESH_HELLO], 2, 8 * NS_PER_S));
	ck_assert(run_until(&w.heard[MESH_HEARTBEAT], 2, 8 * NS_PER_S));
	ck_assert_int_eq(link_state_of(w.link), LINK_WELCOMED);
}
END_TEST

/* Whatever a node says after its Bye, the controller takes it for a node that
 * is back; then nobody knows that it stopped on purpose. */
START_TEST(bye_is_the_last_word)
{
	const struct msg need = {.kind = MESH_NEED_HELLO};
	struct msg ack = {.kind = MESH_BATCH_ACK};
	struct msg_batch batch = {.rows = 0};
	uint64_t seq = 7;
	enum ack_status status = ACK_STORED;

	ck_assert(run_until(&w.heard[MESH_HEARTBEAT], 1, 8 * NS_PER_S));
	link_send_bye(w.link, "stopped on purpose");
	ck_assert(run_until(&w.heard[MESH_BYE], 1, 8 * NS_PER_S));
	ck_assert_int_eq(link_state_of(w.link), LINK_LEFT);
	ck_assert(!link_is_usable(w.link));
	ck_assert_int_eq(link_send_batch(w.link, &batch), -EAGAIN);
	w.all = 0;
	tell(&need);
	link_say_hello(w.link, mono_add_ns(clock_mono(), 60 * NS_PER_S));
	ack.u.ack.seq = &seq;
	ack.u.ack.status = &status;
	ack.u.ack.n = 1;
	tell(&ack);
	ck_assert_msg(run_until(&w.acks, 1, 8 * NS_PER_S), "acks are heard");
	/* longer than a heartbeat, and than a hello said again */
	ck_assert(!run_until(&w.all, 1, 3 * NS_PER_S));
	ck_assert_uint_eq(w.changed, 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("link");
	TCase *t = tcase_create("link");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, hello_is_welcomed_and_hearts_beat);
	tcase_add_test(t, results_wait_until_the_controller_knows_our_clock);
	tcase_add_test(t, a_wanted_hello_is_said_again);
	tcase_add_test(t, bye_is_the_last_word);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
