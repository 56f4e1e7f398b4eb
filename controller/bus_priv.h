/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the bus thread, shared by bus.c (life, heartbeats, what all
 * need), bus_heard.c (what nodes say) and bus_told.c (what the writer says).
 */
#ifndef TWMESH_CONTROLLER_BUS_PRIV_H
#define TWMESH_CONTROLLER_BUS_PRIV_H

#include "controller/bus.h"
#include "controller/letters.h"
#include "controller/peers.h"
#include "controller/pending.h"
#include "lib/base/log.h"
#include "lib/bus/router.h"

#include <pthread.h>

struct event;
struct event_base;

#define BUS_PEERS_MAX (MSG_NODES_MAX + 256)

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
	struct token_key *token; /* owned, sorted */
	size_t token_n;
	unsigned joins;       /* in the writer's hands */
	struct roster roster; /* owned; epoch 0: none yet */
	bool storing;
	struct id16 instance_id, incarnation_id;
	/* The roster's change as octets, while it is being sent. */
	uint8_t *whole, *delta; /* owned */
	size_t whole_len, delta_len;
	uint64_t delta_from;

	uint64_t dropped_join, dropped_stranger, dropped_full, dropped_away,
	    dropped_window, dropped_untimed;
	struct log_limit log_bad, log_full, log_stranger, log_table;
};

int bus_member_cmp(const void *a, const void *b); /* by key, for qsort */
/* The member with this key; NULL: none (any more). */
const struct member *bus_member(const struct bus *b,
                                const uint8_t key[KEY_BYTES]);
int bus_token_cmp(const void *a, const void *b); /* by key, for qsort */
bool bus_is_token(const struct bus *b, const uint8_t key[KEY_BYTES]);
/* "node ams1", "join token ABCD-..." or "key ABCD-...", for the log; returns
 * out. */
const char *bus_who(const struct bus *b, const uint8_t key[KEY_BYTES],
                    char *out, size_t size);
/* Sends, and makes a stranger of a peer that is gone. As router_send(). */
int bus_send(struct bus *b, struct peer *p, const struct msg *m);
/* At most once in 2 s per peer. */
void bus_need_hello(struct bus *b, struct peer *p, struct mono now);
void bus_refuse(struct bus *b, struct peer *p, const char *reason);
void bus_heartbeat(struct bus *b, struct peer *p);

/* bus_heard.c: the callbacks of the router. */
extern const struct router_ops bus_heard_ops; /* arg: struct bus */

/* bus_told.c */
void bus_told(struct bus *b, struct tell *t); /* takes the letter over */
void bus_told_ack(struct bus *b, const struct tell *t);
/* The roster, whole or as a delta, if the peer lacks it. */
void bus_send_roster(struct bus *b, struct peer *p);

#endif
