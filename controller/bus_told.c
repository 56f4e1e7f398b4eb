/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/bus_priv.h"

#include "controller/rosterdiff.h"
#include "lib/base/clock_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void
bus_send_roster(struct bus *b, struct peer *p)
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
		bus_send_roster(arg, p);
}

/* Not heard any more from now on, and told so: a plan without nodes, so that
 * it ceases to probe its peers, and the reason. */
static void
send_off(struct bus *b, struct peer *p)
{
	struct msg m = {.kind = MESH_ROSTER};
	bool replaced = false;

	for (size_t i = 0; i < b->member_n; i++)
		replaced |= b->member[i].node_id == p->node_id;
	m.u.roster.epoch = b->roster.epoch;
	(void)bus_send(b, p, &m);
	bus_refuse(b, p,
	           replaced ? "another key was approved for this node"
	                    : "removed by the operator");
	peers_remove(&b->peers, p);
}

static void
drop_if_removed(void *arg, struct peer *p)
{
	struct bus *b = arg;
	const struct member *m = bus_member(b, p->key);

	if (m) {
		p->node_id = m->node_id;
		pending_forget(&b->pending, p->key);
	} else if (p->node_id != 0) {
		send_off(b, p);
	}
}

/* Who may pass the handshake. */
static void
take_keys(struct bus *b, struct tell *t)
{
	free(b->member);
	b->member = t->u.roster.member; /* handed over */
	b->member_n = t->u.roster.member_n;
	t->u.roster.member = NULL;
	t->u.roster.member_n = 0;
	b->have_members = true;
	if (b->member_n)
		qsort(b->member, b->member_n, sizeof(*b->member),
		      bus_member_cmp);
	free(b->token);
	b->token = t->u.roster.token; /* handed over */
	b->token_n = t->u.roster.token_n;
	t->u.roster.token = NULL;
	t->u.roster.token_n = 0;
	if (b->token_n)
		qsort(b->token, b->token_n, sizeof(*b->token), bus_token_cmp);
}

static void
told_roster(struct bus *b, struct tell *t)
{
	struct roster old = b->roster;
	struct roster_delta d;
	struct msg m = {.kind = MESH_ROSTER_DELTA};

	b->roster = t->u.roster.roster; /* handed over */
	t->u.roster.roster = (struct roster){.epoch = 0};
	take_keys(b, t);
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
		         bus_who(b, p->key, name, sizeof(name)),
		         t->u.hello.reason);
		bus_refuse(b, p, t->u.hello.reason);
		peer_set_state(p, PEER_STRANGER);
		if (!bus_member(b, p->key))
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
	if (bus_send(b, p, &m) != 0)
		return; /* not welcomed: its next message gets NeedHello */
	peer_set_state(p, PEER_IN);
	p->node_id = t->u.hello.node_id;
	bus_send_roster(b, p);
	if (p->state == PEER_IN)
		bus_heartbeat(b, p); /* it ships once it has one to echo */
}

/* To the connection that asked: a token may have several. */
static void
told_join(struct bus *b, const struct tell *t)
{
	struct msg m = {.kind = MESH_REFUSED};

	b->joins -= b->joins > 0;
	if (t->u.join.accepted) {
		m.kind = MESH_JOINED;
		m.u.joined_id = t->u.join.node_id;
	} else {
		(void)snprintf(m.u.reason, sizeof(m.u.reason), "%s",
		               t->u.join.reason);
	}
	/* A lost answer: the node asks again. */
	(void)!router_send(b->router, &t->u.join.at, &m);
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

void
bus_told_ack(struct bus *b, const struct tell *t)
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
	(void)bus_send(b, p, &m); /* a lost ack: the node sends again */
}

static void
ask_hello_again(void *arg, struct peer *p)
{
	struct bus *b = arg;

	peers_flight_clear(&b->peers, p);
	if (p->state != PEER_IN)
		bus_need_hello(b, p, clock_mono());
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

void
bus_told(struct bus *b, struct tell *t)
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
		bus_told_ack(b, t);
		break;
	case TELL_JOIN:
		told_join(b, t);
		break;
	case TELL_ADMIN:
		break; /* for the web thread */
	}
	tell_free(t);
}
