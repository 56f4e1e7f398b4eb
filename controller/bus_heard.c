/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/bus_priv.h"

#include "lib/base/clock_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Batches in the writer's hands, over all nodes: bounds memory, whatever the
 * nodes send; below the writer's own 64 MB. */
#define FLIGHT_BYTES_MAX (48U << 20)
/* Joins in the writer's hands: each is a transaction, and a token's holder may
 * send as many as it likes. A node whose Join is dropped sends it again. */
#define JOINS_MAX 16

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
	if (bus_member(b, key) || bus_is_token(b, key))
		return true;
	if (may_enter_first(b, from))
		return true;
	if (b->storing && pending_knock(&b->pending, key, clock_mono()))
		tell_pending(b, key, from);
	return false;
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
	int64_t moved_ns;
	const int64_t off_ns =
	    peer_clock_off_ns(p, &m->u.batch.mark, &moved_ns);

	if (!b->storing) {
		b->dropped_away++;
		goto drop;
	}
	/* Nobody can say yet how wrong its dates are: it sends it again. */
	if (off_ns == NS_UNKNOWN) {
		b->dropped_untimed++;
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
		a->u.batch.clock_offset_ns = off_ns;
		a->u.batch.clock_moved_ns = moved_ns;
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
	         bus_who(b, from->key, name, sizeof(name)),
	         from->address.len ? addr_format_ip(&from->address, at) : "?",
	         what, field ? " in " : "", field ? field : "",
	         (unsigned long long)held);
}

static void
heard_join(struct bus *b, const struct router_from *from,
           const struct msg_join *join)
{
	struct ask *a = NULL;

	if (b->storing && b->joins < JOINS_MAX)
		a = ask_new(ASK_JOIN);
	if (!a) {
		b->dropped_join++;
		return;
	}
	memcpy(a->u.join.token, from->key, KEY_BYTES);
	a->u.join.at = from->peer;
	a->u.join.observed = from->address;
	a->u.join.join = *join;
	b->joins += ask(b, a);
}

/* From a join token: it may say Join and nothing else. */
static void
heard_token(struct bus *b, const struct router_from *from, struct msg *m)
{
	if (m->kind == MESH_JOIN)
		heard_join(b, from, &m->u.join);
	else
		complain(b, from, "what a join token may not send",
		         msg_kind_str(m->kind));
	msg_clear(m);
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
		         bus_who(b, from->key, name, sizeof(name)),
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
	case MESH_JOINED:
		complain(b, from, "what only controllers send",
		         msg_kind_str(m->kind));
		msg_clear(m);
		return;
	case MESH_JOIN:
		complain(b, from, "what only join tokens send",
		         msg_kind_str(m->kind));
		msg_clear(m);
		return;
	}
	if (p->state == PEER_STRANGER)
		bus_need_hello(b, p, now.mono);
}

static void
on_message(void *arg, const struct router_from *from, struct msg *m)
{
	struct bus *b = arg;
	const struct member *who_ = bus_member(b, from->key);
	struct peer *p;
	uint64_t held;

	if (!who_ && bus_is_token(b, from->key)) {
		heard_token(b, from, m);
		return;
	}
	if (!who_) {
		heard_stranger(b, from, m);
		return;
	}
	p = peers_hear(&b->peers, from, clock_mono());
	if (!p) {
		if (log_limit_ok(&b->log_table, clock_mono(), &held))
			log_warn("bus: no room for node %s: %d peers",
			         who_->name, BUS_PEERS_MAX);
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

const struct router_ops bus_heard_ops = {
    .accept = on_key, .message = on_message, .bad = on_bad};
