/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/bus.h"

#include "controller/letters.h"
#include "controller/peers.h"
#include "controller/pending.h"
#include "controller/rosterdiff.h"
#include "lib/base/clock_read.h"
#include "lib/base/log.h"
#include "lib/bus/router.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HEARTBEAT_S 2
#define INBOX_MAX 8192
/* Batches in the writer's hands, over all nodes: bounds memory, whatever the
 * nodes send. */
#define FLIGHT_BYTES_MAX (48U << 20) /* below the writer's own 64 MB */
#define NEED_HELLO_EVERY_NS (2 * NS_PER_S)
#define PEER_FORGET_NS (600 * NS_PER_S)
#define PEERS_MAX (MSG_NODES_MAX + 256)

struct bus {
	struct bus_opts o;
	struct event_base *base;                 /* owned */
	struct router *router;                   /* owned */
	struct mailbox *inbox;                   /* owned */
	struct mailbox *to_writer;               /* borrowed */
	struct event *on_inbox, *on_stop, *tick; /* owned */
	int stop_fd;
	pthread_t thread;
	bool running;

	struct peers peers;
	struct pending pending;
	/* As last told by the writer: */
	bool have_members;     /* before it, nobody may enter */
	struct member *member; /* owned, sorted by key */
	size_t member_n;
	struct roster roster; /* owned; epoch 0: none yet */
	bool storing;
	struct id16 instance_id, incarnation_id;
	/* The roster's change as octets, while it is being sent. */
	uint8_t *whole, *delta; /* owned */
	size_t whole_len, delta_len;
	uint64_t delta_from;

	uint64_t dropped_stranger, dropped_full, dropped_away, dropped_window;
	struct log_limit log_bad, log_full, log_stranger, log_table;
};

static int
member_cmp(const void *a, const void *b)
{
	return memcmp(((const struct member *)a)->key,
	              ((const struct member *)b)->key, KEY_BYTES);
}

static const struct member *
find_member(const struct bus *b, const uint8_t key[KEY_BYTES])
{
	struct member want;

	memcpy(want.key, key, KEY_BYTES);
	return b->member_n ? bsearch(&want, b->member, b->member_n,
	                             sizeof(want), member_cmp)
	                   : NULL;
}

/* "node ams1" or "key ABCD-..." for the log. */
static const char *
who(const struct bus *b, const uint8_t key[KEY_BYTES], char *out, size_t size)
{
	const struct member *m = find_member(b, key);
	char fp[KEYS_FINGERPRINT_SIZE];

	if (m) {
		(void)snprintf(out, size, "node %s", m->name);
	} else {
		keys_fingerprint(key, fp);
		(void)snprintf(out, size, "key %s", fp);
	}
	return out;
}

/* Takes over the letter. False: the writer's inbox is full. */
static bool
ask(struct bus *b, struct ask *a)
{
	uint64_t held;

	if (mailbox_put(b->to_writer, &a->letter))
		return true;
	ask_free(a);
	b->dropped_full++;
	if (log_limit_ok(&b->log_full, clock_mono(), &held))
		log_warn("bus: the writer cannot keep up: an ask was dropped "
		         "(%llu since)",
		         (unsigned long long)held);
	return false;
}

static struct ask *
ask_new(enum ask_kind kind)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (a)
		a->kind = kind;
	return a;
}

static void
tell_pending(struct bus *b, const uint8_t key[KEY_BYTES],
             const struct addr *from)
{
	struct ask *a = ask_new(ASK_PENDING);

	if (!a)
		return;
	memcpy(a->u.pending.key, key, KEY_BYTES);
	a->u.pending.from = *from;
	(void)ask(b, a);
}

static bool
may_enter_first(const struct bus *b, const struct addr *from)
{
	return b->o.first_use && b->storing && addr_is_loopback(from);
}

/* router: may this key pass the handshake? */
static bool
on_key(void *arg, const uint8_t key[KEYS_BYTES], const struct addr *from)
{
	struct bus *b = arg;

	if (!b->have_members)
		return false; /* it knocks again */
	if (find_member(b, key))
		return true;
	if (may_enter_first(b, from))
		return true;
	if (b->storing && pending_knock(&b->pending, key, clock_mono()))
		tell_pending(b, key, from);
	return false;
}

/* Sends and keeps the peer's state true. */
static int
send_msg(struct bus *b, struct peer *p, const struct msg *m)
{
	int rc = router_send(b->router, &p->at, m);

	if (rc == -EHOSTUNREACH)
		peer_set_state(p, PEER_STRANGER);
	return rc;
}

static void
need_hello(struct bus *b, struct peer *p, struct mono now)
{
	struct msg m = {.kind = MESH_NEED_HELLO};

	if (p->need_hello_sent.ns != 0 &&
	    mono_diff_ns(now, p->need_hello_sent) < NEED_HELLO_EVERY_NS)
		return;
	p->need_hello_sent = now;
	(void)send_msg(b, p, &m);
}

static void
refuse(struct bus *b, struct peer *p, const char *reason)
{
	struct msg m = {.kind = MESH_REFUSED};

	(void)snprintf(m.u.reason, sizeof(m.u.reason), "%s", reason);
	(void)send_msg(b, p, &m);
}

/* Takes over the hello. */
static void
heard_hello(struct bus *b, struct peer *p, const struct router_from *from,
            struct msg *m, bool first_use_ok)
{
	struct ask *a = b->storing ? ask_new(ASK_HELLO) : NULL;

	if (!a) {
		msg_clear(m); /* asked again when the database is back */
		return;
	}
	memcpy(a->u.hello.key, from->key, KEY_BYTES);
	a->u.hello.observed = from->address;
	a->u.hello.first_use_ok = first_use_ok;
	a->u.hello.hello = m->u.hello; /* handed over */
	a->token = p->connection;
	if (ask(b, a))
		peer_set_state(p, PEER_ASKED);
}

/* Takes over the batch. */
static void
heard_batch(struct bus *b, struct peer *p, struct msg *m, struct clock_pair now)
{
	struct ask *a = NULL;

	if (!b->storing) {
		b->dropped_away++;
		goto drop;
	}
	if (peers_flight_begin(&b->peers, p, &m->u.batch, b->o.window,
	                       FLIGHT_BYTES_MAX, now.mono) != FLIGHT_OK) {
		b->dropped_window++;
		goto drop;
	}
	a = ask_new(ASK_BATCH);
	if (a) {
		struct id16 spool = m->u.batch.spool_id;
		uint64_t seq = m->u.batch.seq;

		a->token = p->connection;
		a->u.batch.node_id = p->node_id;
		a->u.batch.clock_offset_ns = offset_estimate_ns(&p->offset);
		a->u.batch.received = now.wall;
		a->u.batch.batch = m->u.batch; /* handed over */
		if (!ask(b, a))
			peers_flight_end(&b->peers, p, &spool, seq);
		return;
	}
	peers_flight_end(&b->peers, p, &m->u.batch.spool_id, m->u.batch.seq);
drop:
	msg_clear(m);
}

static void
heard_heartbeat(struct bus *b, struct peer *p, const struct msg_heartbeat *hb,
                struct clock_pair now)
{
	struct ask *a;

	peer_heartbeat_heard(p, hb, now);
	if (!b->storing)
		return;
	a = ask_new(ASK_HEARTBEAT);
	if (!a)
		return;
	a->u.heartbeat.node_id = p->node_id;
	a->u.heartbeat.received = now.wall;
	a->u.heartbeat.clock_offset_ns = offset_estimate_ns(&p->offset);
	a->u.heartbeat.hb = *hb;
	(void)ask(b, a);
}

static void
heard_bye(struct bus *b, struct peer *p)
{
	struct ask *a = ask_new(ASK_BYE);

	peer_set_state(p, PEER_STRANGER);
	if (!a)
		return;
	a->u.bye.node_id = p->node_id;
	(void)ask(b, a);
}

static void
complain(struct bus *b, const struct router_from *from, const char *what,
         const char *field)
{
	char name[80], at[ADDR_TEXT_MAX];
	uint64_t held;

	if (!log_limit_ok(&b->log_bad, clock_mono(), &held))
		return;
	log_warn("bus: %s at %s sent a bad message: %s%s%s (%llu more since)",
	         who(b, from->key, name, sizeof(name)),
	         from->address.len ? addr_format_ip(&from->address, at) : "?",
	         what, field ? " in " : "", field ? field : "",
	         (unsigned long long)held);
}

/* A message from a key that is no member: removed meanwhile, or let in on
 * first use. Only the latter's Hello is heard. */
static void
heard_stranger(struct bus *b, const struct router_from *from, struct msg *m)
{
	struct peer *p = NULL;
	uint64_t held;

	if (m->kind == MESH_HELLO && may_enter_first(b, &from->address))
		p = peers_hear(&b->peers, from, clock_mono());
	if (p) {
		heard_hello(b, p, from, m, true);
		return;
	}
	b->dropped_stranger++;
	if (log_limit_ok(&b->log_stranger, clock_mono(), &held)) {
		char name[80];

		log_info("bus: %s is not a member: not heard (%llu more since)",
		         who(b, from->key, name, sizeof(name)),
		         (unsigned long long)held);
	}
	msg_clear(m);
}

static void
heard_member(struct bus *b, struct peer *p, const struct router_from *from,
             struct msg *m)
{
	struct clock_pair now = clock_now();

	switch (m->kind) {
	case MESH_HELLO:
		heard_hello(b, p, from, m, false);
		return;
	case MESH_BATCH:
		heard_batch(b, p, m, now);
		break;
	case MESH_HEARTBEAT:
		heard_heartbeat(b, p, &m->u.heartbeat, now);
		msg_clear(m);
		break;
	case MESH_BYE:
		heard_bye(b, p);
		msg_clear(m);
		return;
	case MESH_WELCOME:
	case MESH_NEED_HELLO:
	case MESH_ROSTER:
	case MESH_ROSTER_DELTA:
	case MESH_BATCH_ACK:
	case MESH_REFUSED:
		complain(b, from, "what only controllers send",
		         msg_kind_str(m->kind));
		msg_clear(m);
		return;
	}
	if (p->state == PEER_STRANGER)
		need_hello(b, p, now.mono);
}

static void
on_message(void *arg, const struct router_from *from, struct msg *m)
{
	struct bus *b = arg;
	const struct member *who_ = find_member(b, from->key);
	struct peer *p;
	uint64_t held;

	if (!who_) {
		heard_stranger(b, from, m);
		return;
	}
	p = peers_hear(&b->peers, from, clock_mono());
	if (!p) {
		if (log_limit_ok(&b->log_table, clock_mono(), &held))
			log_warn("bus: no room for node %s: %d peers",
			         who_->name, PEERS_MAX);
		msg_clear(m);
		return;
	}
	p->node_id = who_->node_id;
	heard_member(b, p, from, m);
}

static void
on_bad(void *arg, const struct router_from *from, enum msg_err e,
       const char *field)
{
	complain(arg, from, msg_err_str(e), field);
}

/* ---- the roster on its way to nodes ---- */

static bool
make_whole(struct bus *b)
{
	struct msg m = {.kind = MESH_ROSTER};

	if (b->whole)
		return true;
	m.u.roster = b->roster; /* borrowed: not cleared */
	return msg_encode(&m, &b->whole, &b->whole_len);
}

static void
send_roster(struct bus *b, struct peer *p)
{
	bool small = b->delta && p->epoch == b->delta_from && !p->needs_full;
	int rc;

	if (b->roster.epoch == 0 || p->epoch == b->roster.epoch)
		return;
	if (!small && !make_whole(b))
		return; /* out of memory: the next tick tries again */
	rc = router_send_bytes(b->router, &p->at, small ? b->delta : b->whole,
	                       small ? b->delta_len : b->whole_len);
	p->needs_full = rc != 0;
	if (rc == 0)
		p->epoch = b->roster.epoch;
	else if (rc == -EHOSTUNREACH)
		peer_set_state(p, PEER_STRANGER);
}

static void
send_roster_to(void *arg, struct peer *p)
{
	if (p->state == PEER_IN)
		send_roster(arg, p);
}

static void
drop_if_removed(void *arg, struct peer *p)
{
	struct bus *b = arg;
	const struct member *m = find_member(b, p->key);

	if (m) {
		p->node_id = m->node_id;
		pending_forget(&b->pending, p->key);
	} else if (p->node_id != 0) {
		refuse(b, p, "removed by the operator");
		peers_remove(&b->peers, p);
	}
}

static void
told_roster(struct bus *b, struct tell *t)
{
	struct roster old = b->roster;
	struct roster_delta d;
	struct msg m = {.kind = MESH_ROSTER_DELTA};

	b->roster = t->u.roster.roster; /* handed over */
	t->u.roster.roster = (struct roster){.epoch = 0};
	free(b->member);
	b->member = t->u.roster.member;
	b->member_n = t->u.roster.member_n;
	t->u.roster.member = NULL;
	t->u.roster.member_n = 0;
	b->have_members = true;
	if (b->member_n)
		qsort(b->member, b->member_n, sizeof(*b->member), member_cmp);
	free(b->whole);
	free(b->delta);
	b->whole = b->delta = NULL;
	b->delta_from = old.epoch;
	if (old.epoch != 0 && old.epoch != b->roster.epoch &&
	    roster_diff(&old, &b->roster, &d)) {
		m.u.delta = d;
		if (!msg_encode(&m, &b->delta, &b->delta_len))
			b->delta = NULL;
		free(d.upsert);
		free(d.removed);
	}
	roster_clear(&old);
	peers_each(&b->peers, drop_if_removed, b);
	peers_each(&b->peers, send_roster_to, b);
	log_info("bus: roster epoch %llu: %zu nodes, %zu classes, %zu may "
	         "connect",
	         (unsigned long long)b->roster.epoch, b->roster.node_n,
	         b->roster.class_n, b->member_n);
}

/* ---- the writer's other letters ---- */

static void
told_hello(struct bus *b, const struct tell *t)
{
	struct peer *p = peers_find(&b->peers, t->u.hello.key);
	struct msg m = {.kind = MESH_WELCOME};
	char name[80];

	if (!p || p->connection != t->token)
		return; /* gone, or on another connection: it asks again */
	if (!t->u.hello.accepted) {
		log_info("bus: %s refused: %s",
		         who(b, p->key, name, sizeof(name)), t->u.hello.reason);
		refuse(b, p, t->u.hello.reason);
		peer_set_state(p, PEER_STRANGER);
		if (!find_member(b, p->key))
			peers_remove(&b->peers, p);
		return;
	}
	m.u.welcome.instance_id = b->instance_id;
	m.u.welcome.incarnation_id = b->incarnation_id;
	m.u.welcome.node_id = t->u.hello.node_id;
	m.u.welcome.controller_wall = clock_wall();
	m.u.welcome.ledger_next_seq = t->u.hello.ledger_next_seq;
	m.u.welcome.window = b->o.window;
	peer_set_state(p, PEER_STRANGER); /* forgets what it held */
	if (send_msg(b, p, &m) != 0)
		return; /* not welcomed: its next message gets NeedHello */
	peer_set_state(p, PEER_IN);
	p->node_id = t->u.hello.node_id;
	send_roster(b, p);
}

static struct peer *
peer_by_id(struct bus *b, uint32_t node_id)
{
	for (size_t i = 0; i < b->member_n; i++) {
		if (b->member[i].node_id == node_id) {
			struct peer *p =
			    peers_find(&b->peers, b->member[i].key);

			if (p)
				return p;
		}
	}
	return NULL;
}

static void
told_ack(struct bus *b, const struct tell *t)
{
	struct peer *p = peer_by_id(b, t->u.ack.node_id);
	struct msg m = {.kind = MESH_BATCH_ACK};
	uint64_t seq = t->u.ack.seq;
	enum ack_status status = t->u.ack.status;

	if (!p)
		return;
	peers_flight_end(&b->peers, p, &t->u.ack.spool_id, seq);
	m.u.ack.spool_id = t->u.ack.spool_id;
	m.u.ack.seq = &seq; /* borrowed: m is not cleared */
	m.u.ack.status = &status;
	m.u.ack.n = 1;
	(void)snprintf(m.u.ack.reason, sizeof(m.u.ack.reason), "%s",
	               t->u.ack.reason);
	(void)send_msg(b, p, &m); /* a lost ack: the node sends again */
}

static void
ask_hello_again(void *arg, struct peer *p)
{
	struct bus *b = arg;

	peers_flight_clear(&b->peers, p);
	if (p->state != PEER_IN)
		need_hello(b, p, clock_mono());
}

static void
make_stranger(void *arg, struct peer *p)
{
	(void)arg;
	p->need_hello_sent = (struct mono){0};
	peer_set_state(p, PEER_STRANGER);
}

static void
told_database(struct bus *b, const struct tell *t)
{
	bool was = b->storing;
	bool other = memcmp(&b->incarnation_id, &t->u.database.incarnation_id,
	                    sizeof(b->incarnation_id)) != 0;

	b->storing = t->u.database.ok;
	if (!b->storing) {
		if (was)
			log_warn("bus: the database is away: batches are not "
			         "taken (%s)",
			         t->u.database.reason);
		return;
	}
	b->instance_id = t->u.database.instance_id;
	b->incarnation_id = t->u.database.incarnation_id;
	if (other) /* another life of the database: everyone says Hello */
		peers_each(&b->peers, make_stranger, b);
	if (!was || other)
		peers_each(&b->peers, ask_hello_again, b);
}

static void
open_letter(struct bus *b, struct tell *t)
{
	switch (t->kind) {
	case TELL_DATABASE:
		told_database(b, t);
		break;
	case TELL_ROSTER:
		told_roster(b, t);
		break;
	case TELL_HELLO:
		told_hello(b, t);
		break;
	case TELL_ACK:
		told_ack(b, t);
		break;
	case TELL_ADMIN:
		break; /* for the web thread */
	}
	tell_free(t);
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
		open_letter(b, (struct tell *)(void *)l);
	}
}

/* ---- every 2 s ---- */

static void
send_heartbeat(struct bus *b, struct peer *p)
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
	if (send_msg(b, p, &m) == 0)
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
	send_heartbeat(b, p);
	if (p->state == PEER_IN && p->epoch != b->roster.epoch)
		send_roster(b, p);
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
	static const struct router_ops ops = {
	    .accept = on_key, .message = on_message, .bad = on_bad};
	struct bus *b = calloc(1, sizeof(*b));

	(void)snprintf(err, err_size, "bus: out of memory or descriptors");
	if (!b)
		return NULL;
	b->o = *o;
	b->base = event_base_new();
	b->inbox = mailbox_new(INBOX_MAX);
	b->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!b->base || !b->inbox || b->stop_fd < 0 ||
	    !peers_init(&b->peers, PEERS_MAX) || !make_events(b))
		goto out;
	b->router = router_new(&(struct router_opts){.base = b->base,
	                                             .listen = o->listen,
	                                             .keys = o->keys,
	                                             .ops = &ops,
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
			told_ack(b, t);
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
	free(b->whole);
	free(b->delta);
	free(b);
}
