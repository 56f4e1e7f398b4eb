/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller's end of the mesh: one ROUTER with CURVE on one TCP port, and
 * the ZAP handler that decides which keys may pass. All of it lives in the
 * thread of the event base: every callback runs there, and every function here
 * is called there.
 *
 *   handshake ── key ──▶ ops.accept() ── true: ZAP 200, the peer is in
 *                                     └─ false: ZAP 300, libzmq knocks again
 *                                        about once a second until accepted
 *   message ── one frame, decoded, validated ──▶ ops.message()
 *           └─ anything else ──▶ counted; undecodable ──▶ ops.bad()
 *
 * A node is who its CURVE key says: `key` is the ZAP user id of *each
 * message*, never what the message or the routing id claims. libzmq cannot
 * drop one peer, so approval is the caller's to check again per message: a
 * removed node's connection lives on until it breaks.
 *
 * Routing ids belong to a connection: a reconnecting node gets a new one. Send
 * to the `peer` of that node's latest message.
 *
 * router_new() binds the ZAP handler before the ROUTER and then proves that a
 * random key is refused (a CURVE server without handler lets everyone in): a
 * start without that proof fails. TWMESH_TEST_NO_ZAP=1 in the environment
 * leaves the handler out, to show that such a start does fail.
 *
 * Nothing here blocks or logs after router_new().
 */
#ifndef TWMESH_BUS_ROUTER_H
#define TWMESH_BUS_ROUTER_H

#include "lib/base/addr.h"
#include "lib/bus/keys.h"
#include "lib/bus/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct router;

/* A connection's routing id, as libzmq makes them: always 5 octets. Peers that
 * choose one of another length are not heard. Compare with memcmp(). */
#define ROUTER_PEER_BYTES 5
struct router_peer {
	uint8_t b[ROUTER_PEER_BYTES];
};

/* Whom a message came from. */
struct router_from {
	struct router_peer peer;
	uint8_t key[KEYS_BYTES];
	struct addr address; /* of the connection, port 0, IPv4-mapped made
	                        IPv4; len 0: not known */
};

struct router_ops {
	/* May this key pass? Address as in router_from. Called for each
	 * handshake, so also about once a second per waiting stranger. */
	bool (*accept)(void *arg, const uint8_t key[KEYS_BYTES],
	               const struct addr *address);
	/* *m is the callee's: it must msg_clear() it, or keep what it owns. */
	void (*message)(void *arg, const struct router_from *from,
	                struct msg *m);
	/* An undecodable message (remote fault: rate-limit the log). `field`
	 * names what is wrong, or is NULL. May be NULL. */
	void (*bad)(void *arg, const struct router_from *from, enum msg_err e,
	            const char *field);
};

struct router_opts {
	struct event_base *base;      /* borrowed, outlives the router */
	struct addr listen;           /* port 0: any free one */
	const struct keys *keys;      /* copied */
	const struct router_ops *ops; /* borrowed */
	void *arg;                    /* borrowed, for the callbacks */
};

/* Binds and tests itself (blocks for up to 3 s, normally 0.1 s; ops.accept
 * may be called meanwhile). NULL with one clear line in err. */
struct router *router_new(const struct router_opts *o, char *err,
                          size_t err_size) __attribute__((warn_unused_result));
void router_free(struct router *r);

/* The address that was bound. */
const struct addr *router_address(const struct router *r);

/* Never blocks. 0; -EAGAIN: the peer's queue is full (mark it as needing full
 * state); -EHOSTUNREACH: that connection is gone; -EINVAL: not encodable;
 * -ENOMEM. */
int router_send(struct router *r, const struct router_peer *to,
                const struct msg *m) __attribute__((warn_unused_result));
/* The same with octets of msg_encode(), for what goes to many peers. */
int router_send_bytes(struct router *r, const struct router_peer *to,
                      const uint8_t *bytes, size_t len)
    __attribute__((warn_unused_result));

enum router_drop {
	ROUTER_DROP_MULTIPART, /* more than one frame after the routing id */
	ROUTER_DROP_PEER_ID,   /* a chosen routing id */
	ROUTER_DROP_USER_ID,   /* no ZAP user id (cannot happen with ZAP) */
	ROUTER_DROP_EMPTY,     /* no octets */
	ROUTER_DROP_DECODE,    /* msg_decode() refused */
	ROUTER_DROP_N
};
const char *router_drop_str(enum router_drop d);

struct router_stats {
	uint64_t received, sent; /* messages */
	uint64_t send_again, send_unreachable;
	uint64_t accepted, refused; /* handshakes */
	uint64_t dropped[ROUTER_DROP_N];
};
const struct router_stats *router_stats(const struct router *r);

#endif
