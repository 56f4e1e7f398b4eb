/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/link.h"

#include "lib/base/clock_read.h"
#include "lib/base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_AGAIN_NS (2 * NS_PER_S)
#define REFUSED_AGAIN_NS (10 * NS_PER_S)
#define HEARTBEAT_NS (2 * NS_PER_S)
#define SILENT_NS (6 * NS_PER_S)
/* A connection that is made at once needs no word about the attempt. */
#define UNREACHABLE_NS (5 * NS_PER_S)
#define JOIN_AGAIN_NS (2 * NS_PER_S)
/* For all of connecting as the token, Join, and its answer. */
#define JOIN_PATIENCE_NS (10 * NS_PER_S)
#define JOIN_REST_NS (60 * NS_PER_S) /* after a refusal */

struct link {
	struct dealer *dealer; /* owned */
	const char *title, *address;
	char fingerprint[KEYS_FINGERPRINT_SIZE]; /* ours */
	const struct link_ops *ops;
	void *arg;
	/* What a new dealer needs; keys are the node's. */
	struct dealer_opts dealer_opts;
	const struct keys *keys, *token; /* token NULL: none */
	const char *name;

	bool as_token;       /* the dealer's key is the token's */
	bool joined;         /* the token was accepted: be the node again */
	struct mono join_at; /* not before; ns 0: at once */
	struct mono join_sent;
	enum link_state state;
	struct mono since;      /* of the state */
	struct mono hello_sent; /* ns 0: never */
	struct mono beat_sent;  /* our last heartbeat */
	struct mono heard;      /* anything from it */
	bool silent;            /* WELCOMED, but not heard for SILENT_NS */
	bool storing;           /* as it says */
	bool timed; /* it was told how our clock stands, since its welcome */
	struct msg_welcome welcome; /* valid while WELCOMED */
	char refusal[MSG_TEXT_MAX];
	/* Its last heartbeat, to echo. */
	bool has_echo;
	struct wall echo_sent, echo_received;
	struct log_limit log_waiting, log_refused, log_bad, log_away;
};

static const char *const state_names[] = {
    [LINK_CONNECTING] = "connecting",
    [LINK_KNOCKING] = "knocking",
    [LINK_JOINING] = "joining",
    [LINK_HELLO] = "hello sent",
    [LINK_WELCOMED] = "welcomed",
    [LINK_REFUSED] = "refused",
    [LINK_LEFT] = "left",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == LINK_LEFT + 1,
              "one name each");

const char *
link_state_str(enum link_state s)
{
	return (unsigned)s <= LINK_LEFT ? state_names[s] : "unknown";
}

enum link_state
link_state_of(const struct link *l)
{
	return l->state;
}

const char *
link_title(const struct link *l)
{
	return l->title;
}

bool
link_is_usable(const struct link *l)
{
	return l->state == LINK_WELCOMED && !l->silent;
}

bool
link_is_storing(const struct link *l)
{
	return l->storing && l->timed;
}

uint32_t
link_window(const struct link *l)
{
	return l->welcome.window;
}

const char *
link_refusal(const struct link *l)
{
	return l->state == LINK_REFUSED || l->state == LINK_KNOCKING
	           ? l->refusal
	           : "";
}

static void
link_set_state(struct link *l, enum link_state now, const char *why)
{
	const bool was_usable = link_is_usable(l);

	if (l->state == now || l->state == LINK_LEFT)
		return;
	/* Knocking goes on and on; say_waiting() tells of it. */
	if (now == LINK_KNOCKING ||
	    (l->state == LINK_KNOCKING && now == LINK_CONNECTING))
		log_debug("controller %s: %s -> %s (%s)", l->title,
		          link_state_str(l->state), link_state_str(now), why);
	else
		log_info("controller %s: %s -> %s (%s)", l->title,
		         link_state_str(l->state), link_state_str(now), why);
	l->state = now;
	l->since = clock_mono();
	l->silent = false;
	if (now != LINK_WELCOMED) {
		l->has_echo = false;
		l->storing = true;
	}
	if (was_usable != link_is_usable(l) && now != LINK_LEFT)
		l->ops->changed(l->arg, l);
}

/* ---- sending ---- */

static int
send_msg(struct link *l, const struct msg *m)
{
	return l->dealer ? dealer_send(l->dealer, m) : -EAGAIN;
}

/* For what is said again anyway: a full queue is no fault. */
static void
try_send(struct link *l, const struct msg *m)
{
	const int rc = send_msg(l, m);

	if (rc != 0)
		log_debug("controller %s: %s not sent: %s", l->title,
		          msg_kind_str(m->kind), strerror(-rc));
}

static void
send_hello(struct link *l, struct mono now)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.kind = MESH_HELLO;
	l->ops->fill_hello(l->arg, &m.u.hello);
	l->hello_sent = now;
	try_send(l, &m);
	msg_clear(&m);
}

void
link_say_hello(struct link *l, struct mono now)
{
	if (l->state == LINK_LEFT)
		return;
	if (l->hello_sent.ns == 0 ||
	    mono_diff_ns(now, l->hello_sent) >= HELLO_AGAIN_NS)
		send_hello(l, now);
}

static void
send_heartbeat(struct link *l, struct mono now)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.kind = MESH_HEARTBEAT;
	l->ops->fill_heartbeat(l->arg, &m.u.heartbeat);
	m.u.heartbeat.has_echo = l->has_echo;
	m.u.heartbeat.echo_sent = l->echo_sent;
	m.u.heartbeat.echo_received = l->echo_received;
	m.u.heartbeat.mark = clock_mark_now();
	m.u.heartbeat.sent = clock_wall();
	l->beat_sent = now;
	l->has_echo = false; /* an echo is good once */
	try_send(l, &m);
}

int
link_send_batch(struct link *l, const struct msg_batch *b)
{
	struct msg m;

	if (!link_is_usable(l))
		return -EAGAIN;
	memset(&m, 0, sizeof(m));
	m.kind = MESH_BATCH;
	m.u.batch = *b; /* borrowed: not cleared */
	return send_msg(l, &m);
}

void
link_send_bye(struct link *l, const char *reason)
{
	struct msg m;

	if (l->state != LINK_WELCOMED && l->state != LINK_HELLO)
		return;
	memset(&m, 0, sizeof(m));
	m.kind = MESH_BYE;
	(void)snprintf(m.u.reason, sizeof(m.u.reason), "%s", reason);
	try_send(l, &m);
	link_set_state(l, LINK_LEFT, reason);
}

/* ---- joining ---- */

/* A dealer has one key for its life. Not from the dealer's callbacks. */
static void
change_key(struct link *l, bool to_token)
{
	char err[256];

	dealer_free(l->dealer);
	l->dealer_opts.keys = to_token ? l->token : l->keys;
	l->dealer = dealer_new(&l->dealer_opts, err, sizeof(err));
	l->as_token = l->dealer && to_token;
	if (!l->dealer)
		log_error("controller %s: %s", l->title, err);
}

static bool
may_join(const struct link *l, struct mono now)
{
	return l->token && now.ns >= l->join_at.ns;
}

static void
begin_join(struct link *l)
{
	l->joined = false;
	l->join_sent = (struct mono){0};
	link_set_state(l, LINK_JOINING, "trying the join token");
	change_key(l, true);
}

/* Whatever came of it: the node itself knocks again. */
static void
end_join(struct link *l)
{
	link_set_state(l, LINK_CONNECTING, l->joined ? "joined" : l->refusal);
	change_key(l, false);
}

void
link_forget_token(struct link *l)
{
	l->token = NULL; /* the dealer has a copy, if it is at it */
}

static void
send_join(struct link *l, struct mono now)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.kind = MESH_JOIN;
	(void)snprintf(m.u.join.name, sizeof(m.u.join.name), "%s", l->name);
	memcpy(m.u.join.key, l->keys->public_key, sizeof(m.u.join.key));
	l->join_sent = now;
	try_send(l, &m);
}

/* From now on the tick brings the node back. */
static void
join_failed(struct link *l, const char *why)
{
	uint64_t held;

	(void)snprintf(l->refusal, sizeof(l->refusal), "%s", why);
	l->join_at = mono_add_ns(clock_mono(), JOIN_REST_NS);
	if (log_limit_ok(&l->log_refused, clock_mono(), &held))
		log_warn("controller %s: the join token was refused: %s",
		         l->title, why);
}

static void
heard_joined(struct link *l, uint32_t node_id)
{
	l->joined = true;
	l->refusal[0] = '\0';
	log_info("controller %s: joined with the token as '%s' (node %" PRIu32
	         ")",
	         l->title, l->name, node_id);
}

/* What a token hears; the rest is not for it. */
static void
dispatch_token(struct link *l, const struct msg *m)
{
	if (m->kind == MESH_JOINED)
		heard_joined(l, m->u.joined_id);
	else if (m->kind == MESH_REFUSED)
		join_failed(l, m->u.reason);
}

static void
token_on_state(struct link *l, enum dealer_state now)
{
	if (now == DEALER_UP)
		send_join(l, clock_mono());
	else if (now == DEALER_REFUSED)
		join_failed(l, "it is none of this controller's (or the "
		               "controller's key is not the one configured)");
}

static void
tick_joining(struct link *l, struct mono now)
{
	if (l->joined || now.ns < l->join_at.ns) {
		end_join(l);
	} else if (mono_diff_ns(now, l->since) >= JOIN_PATIENCE_NS) {
		join_failed(l, "no answer");
		end_join(l);
	} else if (l->join_sent.ns != 0 &&
	           mono_diff_ns(now, l->join_sent) >= JOIN_AGAIN_NS) {
		send_join(l, now);
	}
}

/* ---- receiving ---- */

static void
heard_welcome(struct link *l, const struct msg_welcome *w)
{
	l->welcome = *w;
	l->storing = true;
	l->timed = false;
	link_set_state(l, LINK_WELCOMED, "welcome");
	l->ops->welcome(l->arg, l, w);
	send_heartbeat(l, clock_mono());
}

static void
heard_refused(struct link *l, const char *reason)
{
	uint64_t held;

	(void)snprintf(l->refusal, sizeof(l->refusal), "%s", reason);
	link_set_state(l, LINK_REFUSED, reason);
	if (log_limit_ok(&l->log_refused, clock_mono(), &held))
		log_warn("controller %s: refused by the controller: %s",
		         l->title, reason);
}

static void
heard_heartbeat(struct link *l, const struct msg_heartbeat *h)
{
	const bool was_storing = link_is_storing(l);

	l->has_echo = true;
	l->echo_sent = h->sent;
	l->echo_received = clock_wall();
	if (l->state != LINK_WELCOMED)
		return;
	if (h->has_instance && memcmp(&h->instance_id, &l->welcome.instance_id,
	                              sizeof(h->instance_id)) != 0) {
		link_set_state(l, LINK_HELLO, "it is another instance");
		send_hello(l, clock_mono());
		return;
	}
	if (l->storing != h->storing)
		log_info("controller %s: %s", l->title,
		         h->storing ? "its database is back: shipping"
		                    : "its database is away: keeping results");
	l->storing = h->storing;
	if (!l->timed) /* its echo goes ahead of the first batch */
		send_heartbeat(l, clock_mono());
	l->timed = true;
	if (was_storing != link_is_storing(l))
		l->ops->changed(l->arg, l);
	l->ops->epoch(l->arg, l, h->epoch);
}

static void
heard_need_hello(struct link *l)
{
	if (l->state == LINK_REFUSED)
		return; /* at its own pace */
	link_set_state(l, LINK_HELLO, "it asked for a hello");
	link_say_hello(l, clock_mono());
}

static void
dispatch(struct link *l, struct msg *m)
{
	if (l->state == LINK_LEFT && m->kind != MESH_BATCH_ACK)
		return;
	switch (m->kind) {
	case MESH_WELCOME:
		heard_welcome(l, &m->u.welcome);
		break;
	case MESH_REFUSED:
		heard_refused(l, m->u.reason);
		break;
	case MESH_NEED_HELLO:
		heard_need_hello(l);
		break;
	case MESH_HEARTBEAT:
		heard_heartbeat(l, &m->u.heartbeat);
		break;
	case MESH_ROSTER:
		if (l->state == LINK_WELCOMED) {
			l->ops->roster(l->arg, l, &m->u.roster);
			memset(&m->u.roster, 0, sizeof(m->u.roster));
		}
		break;
	case MESH_ROSTER_DELTA:
		if (l->state == LINK_WELCOMED)
			l->ops->delta(l->arg, l, &m->u.delta);
		break;
	case MESH_BATCH_ACK:
		l->ops->ack(l->arg, l, &m->u.ack);
		break;
	case MESH_JOINED: /* for a token */
	case MESH_HELLO:
	case MESH_BATCH:
	case MESH_BYE:
	case MESH_JOIN:
		break; /* what only nodes and tokens send */
	}
}

static void
link_on_message(void *arg, struct msg *m)
{
	struct link *l = arg;

	l->heard = clock_mono();
	if (l->as_token) {
		dispatch_token(l, m);
		msg_clear(m);
		return;
	}
	if (l->silent) {
		l->silent = false;
		log_info("controller %s: speaks again", l->title);
		l->ops->changed(l->arg, l);
	}
	dispatch(l, m);
	msg_clear(m);
}

static void
link_on_bad(void *arg, enum msg_err e, const char *field)
{
	struct link *l = arg;
	uint64_t held;

	if (log_limit_ok(&l->log_bad, clock_mono(), &held))
		log_warn("controller %s: a message was dropped: %s%s%s",
		         l->title, msg_err_str(e), field ? ": " : "",
		         field ? field : "");
}

static void
say_waiting(struct link *l, struct mono now)
{
	uint64_t held;

	if (log_limit_ok(&l->log_waiting, now, &held))
		log_info("controller %s (%s): waiting for approval: "
		         "fingerprint %s (or its key is not the one "
		         "configured)",
		         l->title, l->address, l->fingerprint);
}

static void
link_on_state(void *arg, enum dealer_state now)
{
	struct link *l = arg;
	const struct mono t = clock_mono();

	if (l->state == LINK_LEFT)
		return;
	if (l->as_token) {
		token_on_state(l, now);
		return;
	}
	switch (now) {
	case DEALER_CONNECTING:
		link_set_state(l, LINK_CONNECTING, "connection lost");
		break;
	case DEALER_REFUSED:
		link_set_state(l, LINK_KNOCKING, "handshake refused");
		if (!may_join(l, t))
			say_waiting(l, t);
		break;
	case DEALER_UP:
		l->heard = t;
		link_set_state(l, LINK_HELLO, "connected");
		send_hello(l, t);
		break;
	}
}

/* ---- time ---- */

static void
say_unreachable(struct link *l, struct mono now)
{
	uint64_t held;

	if (mono_diff_ns(now, l->since) >= UNREACHABLE_NS &&
	    log_limit_ok(&l->log_away, now, &held))
		log_warn("controller %s (%s): no connection for %" PRId64 " s",
		         l->title, l->address,
		         mono_diff_ns(now, l->since) / NS_PER_S);
}

static void
tick_welcomed(struct link *l, struct mono now)
{
	if (mono_diff_ns(now, l->beat_sent) >= HEARTBEAT_NS)
		send_heartbeat(l, now);
	if (!l->silent && mono_diff_ns(now, l->heard) >= SILENT_NS) {
		l->silent = true;
		log_warn("controller %s: silent for %" PRId64 " s", l->title,
		         SILENT_NS / NS_PER_S);
		l->ops->changed(l->arg, l);
	}
}

void
link_on_tick(struct link *l, struct mono now)
{
	if (!l->dealer)
		change_key(l, false);
	switch (l->state) {
	case LINK_CONNECTING:
		say_unreachable(l, now);
		break;
	case LINK_KNOCKING:
		if (may_join(l, now))
			begin_join(l);
		else
			say_waiting(l, now);
		break;
	case LINK_JOINING:
		tick_joining(l, now);
		break;
	case LINK_HELLO:
		link_say_hello(l, now);
		break;
	case LINK_WELCOMED:
		tick_welcomed(l, now);
		break;
	case LINK_REFUSED:
		if (mono_diff_ns(now, l->hello_sent) >= REFUSED_AGAIN_NS)
			send_hello(l, now);
		break;
	case LINK_LEFT:
		break;
	}
}

/* ---- life ---- */

static const struct dealer_ops dealer_ops = {link_on_state, link_on_message,
                                             link_on_bad};

struct link *
link_new(const struct link_opts *o, char *err, size_t err_size)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l) {
		(void)snprintf(err, err_size, "out of memory");
		return NULL;
	}
	l->title = o->title;
	l->address = o->address;
	l->ops = o->ops;
	l->arg = o->arg;
	l->since = clock_mono();
	l->storing = true;
	l->keys = o->keys;
	l->token = o->token;
	l->name = o->name;
	keys_fingerprint(o->keys->public_key, l->fingerprint);
	l->dealer_opts = (struct dealer_opts){.context = o->context,
	                                      .base = o->base,
	                                      .address = o->address,
	                                      .keys = o->keys,
	                                      .ops = &dealer_ops,
	                                      .arg = l};
	memcpy(l->dealer_opts.server_key, o->server_key, KEYS_BYTES);
	l->dealer = dealer_new(&l->dealer_opts, err, err_size);
	if (l->dealer)
		return l;
	free(l);
	return NULL;
}

void
link_free(struct link *l)
{
	if (!l)
		return;
	dealer_free(l->dealer);
	free(l);
}
