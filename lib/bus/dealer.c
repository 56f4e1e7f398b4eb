/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/dealer.h"

#include "lib/base/clock.h"
#include "lib/bus/zsock.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENDPOINT_MAX 300
#define LINGER_MS 200

struct dealer {
	struct zsock z, monitor;
	enum dealer_state state;
	bool shaking_hands;           /* TCP is up, CURVE is not yet */
	const struct dealer_ops *ops; /* borrowed */
	void *arg;
};

static const char *const state_names[] = {
    [DEALER_CONNECTING] = "connecting",
    [DEALER_REFUSED] = "refused",
    [DEALER_UP] = "up",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == DEALER_UP + 1,
              "one name each");

const char *
dealer_state_str(enum dealer_state s)
{
	return (unsigned)s <= DEALER_UP ? state_names[s] : "unknown";
}

struct dealer_context *
dealer_context_new(void)
{
	return zmq_ctx_new();
}

void
dealer_context_free(struct dealer_context *c)
{
	if (c)
		(void)zmq_ctx_term(c);
}

static void
dealer_set_state(struct dealer *d, enum dealer_state now)
{
	if (d->state == now)
		return;
	d->state = now;
	d->ops->state(d->arg, now);
}

/*
 * TCP up      CONNECTED
 * CURVE done  HANDSHAKE_SUCCEEDED
 * ZAP 300     the server just closes: HANDSHAKE_FAILED_* or DISCONNECTED
 * TCP fails   CLOSED (of the connecting socket)
 */
static void
dealer_on_monitor(void *arg)
{
	struct dealer *d = arg;
	uint16_t event;
	uint32_t value;

	if (!zsock_monitor_read(&d->monitor, &event, &value))
		return;
	switch (event) {
	case ZMQ_EVENT_CONNECTED:
		d->shaking_hands = true;
		break;
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		d->shaking_hands = false;
		dealer_set_state(d, DEALER_UP);
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
	case ZMQ_EVENT_DISCONNECTED:
		dealer_set_state(d, d->shaking_hands ? DEALER_REFUSED
		                    : d->state == DEALER_REFUSED
		                        ? DEALER_REFUSED
		                        : DEALER_CONNECTING);
		d->shaking_hands = false;
		break;
	case ZMQ_EVENT_CLOSED:
		d->shaking_hands = false;
		dealer_set_state(d, DEALER_CONNECTING);
		break;
	default:
		break;
	}
}

static void
dealer_on_message(void *arg)
{
	struct dealer *d = arg;
	const char *field = NULL;
	enum msg_err e = MSG_ERR_FORMAT;
	zmq_msg_t payload;
	struct msg m;

	zmq_msg_init(&payload);
	if (zmq_msg_recv(&payload, d->z.sock, ZMQ_DONTWAIT) < 0)
		goto out;
	if (zmq_msg_more(&payload))
		zsock_drain(&d->z);
	else
		e = msg_decode(zmq_msg_data(&payload), zmq_msg_size(&payload),
		               &m, &field);
	if (e == MSG_OK)
		d->ops->message(d->arg, &m);
	else if (d->ops->bad)
		d->ops->bad(d->arg, e, field);
out:
	zmq_msg_close(&payload);
}

int
dealer_send(struct dealer *d, const struct msg *m)
{
	uint8_t *bytes;
	size_t len;
	int rc = 0;

	if (d->state != DEALER_UP)
		return -EAGAIN;
	if (!msg_encode(m, &bytes, &len))
		return -EINVAL;
	if (zmq_send(d->z.sock, bytes, len, ZMQ_DONTWAIT) < 0)
		rc = -EAGAIN;
	zsock_kick(&d->z);
	free(bytes);
	return rc;
}

static bool
set_options(struct dealer *d, const struct dealer_opts *o)
{
	const struct zsock_opt opt[] = {
	    {ZMQ_IMMEDIATE, 1}, /* no queue before the handshake */
	    {ZMQ_IPV6, 1},
	    {ZMQ_LINGER, LINGER_MS},
	    {ZMQ_SNDHWM, 200},
	    {ZMQ_RCVHWM, 200},
	    /* A refused client hangs in the handshake for this long, then
	     * knocks again. */
	    {ZMQ_HANDSHAKE_IVL, 1500},
	    {ZMQ_RECONNECT_IVL, 200},
	    {ZMQ_RECONNECT_IVL_MAX, 2000},
	    {ZMQ_HEARTBEAT_IVL, 2000},
	    {ZMQ_HEARTBEAT_TIMEOUT, 6000},
	    {ZMQ_HEARTBEAT_TTL, 6000},
	};
	const int64_t max = MSG_MAX_BYTES;

	return zsock_set(&d->z, opt, sizeof(opt) / sizeof(opt[0])) &&
	       zsock_set_bytes(&d->z, ZMQ_MAXMSGSIZE, &max, sizeof(max)) &&
	       zsock_set_bytes(&d->z, ZMQ_CURVE_SERVERKEY, o->server_key,
	                       KEYS_BYTES) &&
	       zsock_set_bytes(&d->z, ZMQ_CURVE_PUBLICKEY, o->keys->public_key,
	                       KEYS_BYTES) &&
	       zsock_set_bytes(&d->z, ZMQ_CURVE_SECRETKEY, o->keys->secret_key,
	                       KEYS_BYTES);
}

static bool
open_monitor(struct dealer *d, struct dealer_context *context)
{
	const int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED |
	                   ZMQ_EVENT_DISCONNECTED |
	                   ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
	                   ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
	                   ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
	                   ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
	const struct zsock_opt opt[] = {{ZMQ_LINGER, 0}};
	static atomic_uint monitors;
	char endpoint[64];

	/* A number of its own: libzmq closes a monitor in its own time, and
	 * the address of d may be that of a dealer freed just now. */
	(void)snprintf(endpoint, sizeof(endpoint), "inproc://monitor-%u",
	               atomic_fetch_add(&monitors, 1));
	return zmq_socket_monitor(d->z.sock, endpoint, events) == 0 &&
	       zsock_open(&d->monitor, context, ZMQ_PAIR) &&
	       zsock_set(&d->monitor, opt, 1) &&
	       zmq_connect(d->monitor.sock, endpoint) == 0;
}

struct dealer *
dealer_new(const struct dealer_opts *o, char *err, size_t err_size)
{
	struct dealer *d = calloc(1, sizeof(*d));
	char endpoint[ENDPOINT_MAX];

	if (!d) {
		(void)snprintf(err, err_size, "%s: out of memory", o->address);
		return NULL;
	}
	d->ops = o->ops;
	d->arg = o->arg;
	(void)snprintf(endpoint, sizeof(endpoint), "tcp://%s", o->address);
	if (zsock_open(&d->z, o->context, ZMQ_DEALER) && set_options(d, o) &&
	    open_monitor(d, o->context) &&
	    zmq_connect(d->z.sock, endpoint) == 0 &&
	    zsock_watch(&d->monitor, o->base, dealer_on_monitor, d) &&
	    zsock_watch(&d->z, o->base, dealer_on_message, d))
		return d;
	(void)snprintf(err, err_size, "%s: %s", o->address,
	               zmq_strerror(errno));
	dealer_free(d);
	return NULL;
}

void
dealer_free(struct dealer *d)
{
	if (!d)
		return;
	if (d->monitor.sock)
		(void)zmq_socket_monitor(d->z.sock, NULL, 0);
	zsock_close(&d->monitor);
	zsock_close(&d->z);
	free(d);
}
