/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A node's end of the mesh: one DEALER per controller, dialling out over
 * CURVE. libzmq reconnects by itself (200 ms to 2 s); the socket monitor tells
 * how it stands:
 *
 *   CONNECTING ──handshake done──▶ UP ──connection lost──▶ CONNECTING
 *       │  ▲
 *       ▼  │ TCP fails again
 *     REFUSED: TCP connects, but the handshake is cut: our key is not approved
 *              yet (or the controller's key is not the one configured)
 *
 * Messages are only queued while UP (ZMQ_IMMEDIATE), so that nothing old
 * reaches a restarted controller before Hello. A peer's process restart shows
 * as CONNECTING, then UP. Sockets belong to the thread of the event base. The
 * callbacks run there; they may call dealer_send() but not dealer_free().
 */
#ifndef TWMESH_BUS_DEALER_H
#define TWMESH_BUS_DEALER_H

#include "lib/bus/keys.h"
#include "lib/bus/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct dealer;
struct dealer_context; /* ZeroMQ's threads, shared by a node's dealers */

enum dealer_state { DEALER_CONNECTING, DEALER_REFUSED, DEALER_UP };
const char *dealer_state_str(enum dealer_state s);

struct dealer_ops {
	/* On every change, and on each loss of a connection that was UP. */
	void (*state)(void *arg, enum dealer_state now);
	/* *m is the callee's to msg_clear(). */
	void (*message)(void *arg, struct msg *m);
	/* Undecodable (or not one frame: MSG_ERR_FORMAT). */
	void (*bad)(void *arg, enum msg_err e, const char *field);
};

struct dealer_opts {
	struct dealer_context *context; /* borrowed, outlives the dealer */
	struct event_base *base;        /* borrowed, outlives the dealer */
	const char *address;            /* "host:port", "[v6]:port" */
	uint8_t server_key[KEYS_BYTES];
	const struct keys *keys;      /* copied */
	const struct dealer_ops *ops; /* borrowed */
	void *arg;                    /* borrowed */
};

struct dealer_context *dealer_context_new(void);
/* After all its dealers. Waits at most for their linger (200 ms). */
void dealer_context_free(struct dealer_context *c);

/* NULL with one clear line in err. */
struct dealer *dealer_new(const struct dealer_opts *o, char *err,
                          size_t err_size) __attribute__((warn_unused_result));
void dealer_free(struct dealer *d);

/* Never blocks. 0; -EAGAIN: not connected, or the queue is full; -EINVAL: not
 * encodable; -ENOMEM. */
int dealer_send(struct dealer *d, const struct msg *m)
    __attribute__((warn_unused_result));

#endif
