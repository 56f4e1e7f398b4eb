/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ZeroMQ socket inside a libevent loop; inside lib/bus only.
 *
 * ZMQ_FD is edge-triggered: it tells that *something* happened, and reading,
 * sending or asking for ZMQ_EVENTS all eat the edge. So ZMQ_EVENTS is read
 * again after every wake-up, receive and send (call zsock_kick() after sends).
 * One turn reads at most ZSOCK_TURN messages and then comes back by a timer of
 * zero, so that a flood cannot starve the rest of the loop (event_active()
 * would: libevent runs what a callback activates before it polls again).
 */
#ifndef TWMESH_BUS_ZSOCK_H
#define TWMESH_BUS_ZSOCK_H

#include <zmq.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZSOCK_TURN 64

struct event;
struct event_base;

struct zsock {
	void *sock;                    /* owned */
	struct event *on_fd;           /* owned; NULL until zsock_watch() */
	struct event *on_more;         /* owned */
	void (*on_message)(void *arg); /* must receive one whole message */
	void *arg;
};

struct zsock_opt {
	int name, value;
};

bool zsock_open(struct zsock *z, void *context, int type);
/* All options; false with errno. */
bool zsock_set(struct zsock *z, const struct zsock_opt *opt, size_t n);
bool zsock_set_bytes(struct zsock *z, int name, const void *p, size_t n);
/* From now on on_message is called for what arrives. */
bool zsock_watch(struct zsock *z, struct event_base *base,
                 void (*on_message)(void *), void *arg);
/* After a send: what has arrived meanwhile raised no edge any more. */
void zsock_kick(struct zsock *z);
void zsock_close(struct zsock *z);

/* Is there a message to receive? */
bool zsock_readable(struct zsock *z);
/* Receives the rest of a multipart message and throws it away. */
void zsock_drain(struct zsock *z);

/* One frame into buf (at most size octets; *len tells the true length).
 * *more: another frame follows. False: nothing there. */
bool zsock_recv(struct zsock *z, void *buf, size_t size, size_t *len,
                bool *more);

/* One event of a socket monitor; false when there is none. */
bool zsock_monitor_read(struct zsock *monitor, uint16_t *event,
                        uint32_t *value);

#endif
