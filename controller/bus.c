/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/bus_priv.h"

#include "lib/base/clock_read.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HEARTBEAT_S 2
#define INBOX_MAX 8192
#define NEED_HELLO_EVERY_NS (2 * NS_PER_S)
#define PEER_FORGET_NS (600 * NS_PER_S)

int
bus_member_cmp(const void *a, const void *b)
{
	return memcmp(((const struct member *)a)->key,
	              ((const struct member *)b)->key, KEY_BYTES);
}

const struct member *
bus_member(const struct bus *b, const uint8_t key[KEY_BYTES])
{
	struct member want;

	memcpy(want.key, key, KEY_BYTES);
	return b->member_n ? bsearch(&want, b->member, b->member_n,
	                             sizeof(want), bus_member_cmp)
	                   : NULL;
}

int
bus_token_cmp(const void *a, const void *b)
{
	return memcmp(((const struct token_key *)a)->key,
	              ((const struct token_key *)b)->key, KEY_BYTES);
}

bool
bus_is_token(const struct bus *b, const uint8_t key[KEY_BYTES])
{
	struct token_key want;

	memcpy(want.key, key, KEY_BYTES);
	return b->token_n && bsearch(&want, b->token, b->token_n, sizeof(want),
	                             bus_token_cmp);
}

const char *
bus_who(const struct bus *b, const uint8_t key[KEY_BYTES], char *out,
        size_t size)
{
	const struct member *m = bus_member(b, key);
	char fp[KEYS_FINGERPRINT_SIZE];

	if (m) {
		(void)snprintf(out, size, "node %s", m->name);
	} else {
		keys_fingerprint(key, fp);
		(void)snprintf(out, size, "%s %s",
		               bus_is_token(b, key) ? "join token" : "key", fp);
	}
	return out;
}

/* Sends and keeps the peer's state true. */
int
bus_send(struct bus *b, struct peer *p, const struct msg *m)
{
	int rc = router_send(b->router, &p->at, m);

	if (rc == -EHOSTUNREACH)
		peer_set_state(p, PEER_STRANGER);
	return rc;
}

void
bus_need_hello(struct bus *b, struct peer *p, struct mono now)
{
	struct msg m = {.kind = MESH_NEED_HELLO};

	if (p->need_hello_sent.ns != 0 &&
	    mono_diff_ns(now, p->need_hello_sent) < NEED_HELLO_EVERY_NS)
		return;
	p->need_hello_sent = now;
	(void)bus_send(b, p, &m);
}

void
bus_refuse(struct bus *b, struct peer *p, const char *reason)
{
	struct msg m = {.kind = MESH_REFUSED};

	(void)snprintf(m.u.reason, sizeof(m.u.reason), "%s", reason);
	(void)bus_send(b, p, &m);
}

static void
on_letters(evutil_socket_t fd, short what, void *arg)
{
	struct bus *b = arg;
	struct letter *l, *next;

	(void)fd;
	(void)what;
	for (l = mailbox_take_all(b->inbox); l; l = next) {
		next = l->next;
		bus_told(b, (struct tell *)(void *)l);
	}
}

/* ---- every 2 s ---- */

void
bus_heartbeat(struct bus *b, struct peer *p)
{
	struct msg m = {.kind = MESH_HEARTBEAT};
	struct clock_pair now = clock_now();

	m.u.heartbeat.sent = now.wall;
	m.u.heartbeat.has_echo = p->has_echo;
	m.u.heartbeat.echo_sent = p->echo_sent;
	m.u.heartbeat.echo_received = p->echo_received;
	m.u.heartbeat.epoch = b->roster.epoch;
	m.u.heartbeat.clock.max_error_ns = NS_UNKNOWN;
	m.u.heartbeat.has_instance = true;
	m.u.heartbeat.instance_id = b->instance_id;
	m.u.heartbeat.storing = b->storing;
	if (bus_send(b, p, &m) == 0)
		peer_heartbeat_sent(p, now);
}

static void
tick_peer(void *arg, struct peer *p)
{
	struct bus *b = arg;

	if (mono_diff_ns(clock_mono(), p->heard) > PEER_FORGET_NS) {
		peers_remove(&b->peers, p);
		return;
	}
	if (p->state != PEER_IN)
		return;
	bus_heartbeat(b, p);
	if (p->state == PEER_IN && p->epoch != b->roster.epoch)
		bus_send_roster(b, p);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct bus *b = arg;

	(void)fd;
	(void)what;
	clock_test_poll();
	peers_each(&b->peers, tick_peer, b);
}

static void
on_stop_fd(evutil_socket_t fd, short what, void *arg)
{
	struct bus *b = arg;

	(void)fd;
	(void)what;
	(void)event_base_loopbreak(b->base);
}

/* ---- life ---- */

static void *
bus_main(void *arg)
{
	struct bus *b = arg;

	(void)event_base_dispatch(b->base);
	return NULL;
}

static bool
make_events(struct bus *b)
{
	const struct timeval every = {.tv_sec = HEARTBEAT_S};

	b->on_inbox = event_new(b->base, mailbox_fd(b->inbox),
	                        EV_READ | EV_PERSIST, on_letters, b);
	b->on_stop = event_new(b->base, b->stop_fd, EV_READ, on_stop_fd, b);
	b->tick = event_new(b->base, -1, EV_PERSIST, on_tick, b);
	return b->on_inbox && b->on_stop && b->tick &&
	       event_add(b->on_inbox, NULL) == 0 &&
	       event_add(b->on_stop, NULL) == 0 &&
	       event_add(b->tick, &every) == 0;
}

struct bus *
bus_new(const struct bus_opts *o, char *err, size_t err_size)
{
	struct bus *b = calloc(1, sizeof(*b));

	(void)snprintf(err, err_size, "bus: out of memory or descriptors");
	if (!b)
		return NULL;
	b->o = *o;
	b->base = event_base_new();
	b->inbox = mailbox_new(INBOX_MAX);
	b->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!b->base || !b->inbox || b->stop_fd < 0 ||
	    !peers_init(&b->peers, BUS_PEERS_MAX) || !make_events(b))
		goto out;
	b->router = router_new(&(struct router_opts){.base = b->base,
	                                             .listen = o->listen,
	                                             .keys = o->keys,
	                                             .ops = &bus_heard_ops,
	                                             .arg = b},
	                       err, err_size);
	b->o.keys = NULL; /* the caller may wipe them now */
	if (b->router)
		return b;
out:
	bus_free(b);
	return NULL;
}

struct mailbox *
bus_inbox(struct bus *b)
{
	return b->inbox;
}

const struct addr *
bus_address(const struct bus *b)
{
	return router_address(b->router);
}

int
bus_start(struct bus *b, struct mailbox *to_writer)
{
	int rc;

	b->to_writer = to_writer;
	rc = pthread_create(&b->thread, NULL, bus_main, b);
	b->running = rc == 0;
	return -rc;
}

void
bus_stop(struct bus *b)
{
	const uint64_t one = 1;

	if (!b->running)
		return;
	(void)!write(b->stop_fd, &one, sizeof(one));
	(void)pthread_join(b->thread, NULL);
	b->running = false;
}

static void
drain_acks(struct bus *b)
{
	struct letter *l, *next;

	for (l = mailbox_take_all(b->inbox); l; l = next) {
		struct tell *t = (struct tell *)(void *)l;

		next = l->next;
		if (t->kind == TELL_ACK && b->router)
			bus_told_ack(b, t);
		tell_free(t);
	}
}

void
bus_free(struct bus *b)
{
	if (!b)
		return;
	if (b->inbox)
		drain_acks(b);
	router_free(b->router);
	if (b->on_inbox)
		event_free(b->on_inbox);
	if (b->on_stop)
		event_free(b->on_stop);
	if (b->tick)
		event_free(b->tick);
	mailbox_free(b->inbox, NULL);
	if (b->base)
		event_base_free(b->base);
	if (b->stop_fd >= 0)
		(void)close(b->stop_fd);
	peers_release(&b->peers);
	roster_clear(&b->roster);
	free(b->member);
	free(b->token);
	free(b->whole);
	free(b->delta);
	free(b);
}
