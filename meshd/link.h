/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversation with one controller.
 *
 *                  handshake refused
 *   CONNECTING ◀──────────────────────▶ KNOCKING (not approved yet)
 *       │ up                                │ up
 *       ▼                                   ▼
 *   HELLO (sent, again every 2 s) ──Welcome──▶ WELCOMED ──NeedHello──▶ HELLO
 *       │ Refused                                  │ Refused
 *       ▼                                          ▼
 *   REFUSED (Hello again every 10 s) ◀─────────────┘
 *   any of them ──connection lost──▶ CONNECTING
 *   HELLO, WELCOMED ──Bye (sent)──▶ LEFT: not a word more, whatever is heard,
 *   since any would be taken for a node that is back
 *
 * With a join token, a node that is not approved yet lets itself in:
 *
 *   KNOCKING ── connect as the token ──▶ JOINING (Join sent, again every 2 s)
 *      ▲                                   │ Joined: connect as the node
 *      └── refused: again after a minute ──┘
 *
 * Heartbeats go out every 2 s while WELCOMED; a WELCOMED controller that says
 * nothing for 6 s is silent, and not usable until it speaks again. A new
 * instance id in its heartbeat (it restarted) gets a new Hello. The link logs
 * its own changes; what messages mean beyond that, its owner decides.
 */
#ifndef TWMESH_MESHD_LINK_H
#define TWMESH_MESHD_LINK_H

#include "lib/base/clock.h"
#include "lib/bus/dealer.h"
#include "lib/bus/msg.h"

#include <stdbool.h>
#include <stdint.h>

enum link_state {
	LINK_CONNECTING,
	LINK_KNOCKING,
	LINK_JOINING, /* connecting or connected as the join token */
	LINK_HELLO,
	LINK_WELCOMED,
	LINK_REFUSED,
	LINK_LEFT
};
const char *link_state_str(enum link_state s);

struct link;

struct link_ops {
	/* Say who we are, and how we are; sent/echo are the link's. */
	void (*fill_hello)(void *arg, struct msg_hello *h);
	void (*fill_heartbeat)(void *arg, struct msg_heartbeat *h);
	/* usable, storing or the instance changed (not by our Bye) */
	void (*changed)(void *arg, struct link *l);
	void (*welcome)(void *arg, struct link *l, const struct msg_welcome *w);
	/* *r becomes the callee's */
	void (*roster)(void *arg, struct link *l, struct roster *r);
	void (*delta)(void *arg, struct link *l, const struct roster_delta *d);
	void (*ack)(void *arg, struct link *l, const struct msg_batch_ack *a);
	/* The epoch that the controller has, by its heartbeat. */
	void (*epoch)(void *arg, struct link *l, uint64_t epoch);
};

struct link_opts {
	const char *title, *address; /* borrowed, outlive the link */
	uint8_t server_key[KEYS_BYTES];
	const struct keys *keys;        /* borrowed, outlive the link */
	const struct keys *token;       /* the same; NULL: no join token */
	const char *name;               /* to join under; borrowed */
	struct dealer_context *context; /* borrowed */
	struct event_base *base;        /* borrowed */
	const struct link_ops *ops;     /* borrowed */
	void *arg;
};

struct link *link_new(const struct link_opts *o, char *err, size_t err_size)
    __attribute__((warn_unused_result));
void link_free(struct link *l);

/* Twice a second. */
void link_on_tick(struct link *l, struct mono now);

enum link_state link_state_of(const struct link *l);
const char *link_title(const struct link *l);
/* WELCOMED and heard of lately: results may go there. */
bool link_is_usable(const struct link *l);
/* As its last heartbeat says; false before the first, whose echo tells it how
 * far our clock is off: without that it takes no batch. */
bool link_is_storing(const struct link *l);
/* Unacknowledged batches allowed, from Welcome. */
uint32_t link_window(const struct link *l);
/* What it refused us, or our join token, for; or "". */
const char *link_refusal(const struct link *l);

/* Hello again, for a fresh Welcome and roster; at most every 2 s. */
void link_say_hello(struct link *l, struct mono now);
/* The node is in: from now on its own key or none. */
void link_forget_token(struct link *l);
int link_send_batch(struct link *l, const struct msg_batch *b)
    __attribute__((warn_unused_result));
/* The last word; acks are still heard after it. */
void link_send_bye(struct link *l, const char *reason);

#endif
