/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/router.h"

#include "lib/base/clock_read.h"
#include "lib/bus/zap.h"
#include "lib/bus/zsock.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENDPOINT_MAX 128
#define SELF_TEST_NS (2 * NS_PER_S)
/* How long a refused test key must stay outside, to be believed. */
#define SELF_TEST_GRACE_NS (100 * NS_PER_MS)

struct router {
	void *context; /* owned */
	struct zap zap;
	struct zsock z;
	struct keys keys;
	struct addr address;
	const struct router_ops *ops; /* borrowed */
	void *arg;
	uint8_t test_key[KEYS_BYTES]; /* of the self-test: never accepted */
	bool test_key_seen;
	struct router_stats stats;
};

static const char *const drop_names[] = {
    [ROUTER_DROP_MULTIPART] = "multipart", [ROUTER_DROP_PEER_ID] = "peer_id",
    [ROUTER_DROP_USER_ID] = "user_id",     [ROUTER_DROP_EMPTY] = "empty",
    [ROUTER_DROP_DECODE] = "decode",
};
static_assert(sizeof(drop_names) / sizeof(drop_names[0]) == ROUTER_DROP_N,
              "one name each");

const char *
router_drop_str(enum router_drop d)
{
	return (size_t)d < ROUTER_DROP_N ? drop_names[d] : "unknown";
}

const struct addr *
router_address(const struct router *r)
{
	return &r->address;
}

const struct router_stats *
router_stats(const struct router *r)
{
	return &r->stats;
}

/* ---- receiving ---- */

static bool
router_accept(void *arg, const uint8_t key[KEYS_BYTES],
              const struct addr *address)
{
	struct router *r = arg;
	bool ok = false;

	if (memcmp(key, r->test_key, KEYS_BYTES) == 0)
		r->test_key_seen = true;
	else
		ok = r->ops->accept(r->arg, key, address);
	r->stats.accepted += ok;
	r->stats.refused += !ok;
	return ok;
}

static void
router_drop(struct router *r, enum router_drop why)
{
	r->stats.dropped[why]++;
}

/* Who sent it, by the metadata that ZAP gave to the connection. */
static bool
read_sender(const zmq_msg_t *m, struct router_from *from)
{
	const char *user = zmq_msg_gets(m, "User-Id");
	const char *address = zmq_msg_gets(m, "Peer-Address");

	if (!user || !keys_parse(user, from->key))
		return false;
	if (address)
		from->address = zap_address(address);
	return true;
}

static void
handle_payload(struct router *r, zmq_msg_t *payload, struct router_from *from)
{
	const size_t len = zmq_msg_size(payload);
	const char *field = NULL;
	enum msg_err e;
	struct msg m;

	if (!read_sender(payload, from)) {
		router_drop(r, ROUTER_DROP_USER_ID);
		return;
	}
	if (len == 0) {
		router_drop(r, ROUTER_DROP_EMPTY);
		return;
	}
	e = msg_decode(zmq_msg_data(payload), len, &m, &field);
	if (e != MSG_OK) {
		router_drop(r, ROUTER_DROP_DECODE);
		if (r->ops->bad)
			r->ops->bad(r->arg, from, e, field);
		return;
	}
	r->stats.received++;
	r->ops->message(r->arg, from, &m);
}

/* One whole message: [routing id, payload] or something to throw away. */
static void
router_on_message(void *arg)
{
	struct router *r = arg;
	struct router_from from;
	zmq_msg_t payload;
	size_t id_len;
	bool more;

	memset(&from, 0, sizeof(from));
	if (!zsock_recv(&r->z, from.peer.b, sizeof(from.peer.b), &id_len,
	                &more))
		return;
	if (!more) {
		router_drop(r, ROUTER_DROP_EMPTY);
		return;
	}
	zmq_msg_init(&payload);
	if (zmq_msg_recv(&payload, r->z.sock, ZMQ_DONTWAIT) < 0)
		goto out;
	if (zmq_msg_more(&payload)) {
		router_drop(r, ROUTER_DROP_MULTIPART);
		zsock_drain(&r->z);
	} else if (id_len != sizeof(from.peer.b)) {
		router_drop(r, ROUTER_DROP_PEER_ID);
	} else {
		handle_payload(r, &payload, &from);
	}
out:
	zmq_msg_close(&payload);
}

/* ---- sending ---- */

static int
send_failed(struct router *r)
{
	if (errno == EHOSTUNREACH) {
		r->stats.send_unreachable++;
		return -EHOSTUNREACH;
	}
	r->stats.send_again++;
	return -EAGAIN;
}

int
router_send_bytes(struct router *r, const struct router_peer *to,
                  const uint8_t *bytes, size_t len)
{
	int rc = 0;

	/* Once the id went out, the payload belongs to a pipe with room. */
	if (zmq_send(r->z.sock, to->b, sizeof(to->b),
	             ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0 ||
	    zmq_send(r->z.sock, bytes, len, ZMQ_DONTWAIT) < 0)
		rc = send_failed(r);
	else
		r->stats.sent++;
	zsock_kick(&r->z);
	return rc;
}

int
router_send(struct router *r, const struct router_peer *to, const struct msg *m)
{
	uint8_t *bytes;
	size_t len;
	int rc;

	if (!msg_encode(m, &bytes, &len))
		return -EINVAL;
	rc = router_send_bytes(r, to, bytes, len);
	free(bytes);
	return rc;
}

/* ---- starting ---- */

static bool
set_curve_server(struct router *r)
{
	const struct zsock_opt opt[] = {{ZMQ_CURVE_SERVER, 1}};

	return zsock_set(&r->z, opt, 1) &&
	       zsock_set_bytes(&r->z, ZMQ_CURVE_SECRETKEY, r->keys.secret_key,
	                       KEYS_BYTES) &&
	       zsock_set_bytes(&r->z, ZMQ_ZAP_DOMAIN, "twmesh", 6);
}

static bool
open_router(struct router *r, bool ipv6)
{
	const struct zsock_opt opt[] = {
	    {ZMQ_ROUTER_MANDATORY, 1},
	    {ZMQ_IPV6, ipv6},
	    {ZMQ_LINGER, 300},
	    /* A window of batches, heartbeats and a roster fit in here. */
	    {ZMQ_SNDHWM, 200},
	    {ZMQ_RCVHWM, 64},
	    {ZMQ_BACKLOG, 1024}, /* 1,000 nodes may come at once */
	    {ZMQ_HANDSHAKE_IVL, 5000},
	    {ZMQ_HEARTBEAT_IVL, 2000},
	    {ZMQ_HEARTBEAT_TIMEOUT, 6000},
	    {ZMQ_HEARTBEAT_TTL, 6000},
	};
	const int64_t max = MSG_MAX_BYTES;

	return zsock_open(&r->z, r->context, ZMQ_ROUTER) &&
	       zsock_set(&r->z, opt, sizeof(opt) / sizeof(opt[0])) &&
	       zsock_set_bytes(&r->z, ZMQ_MAXMSGSIZE, &max, sizeof(max)) &&
	       set_curve_server(r);
}

static bool
bind_router(struct router *r, const struct addr *listen)
{
	char ip[ADDR_TEXT_MAX], endpoint[ENDPOINT_MAX], port[8] = "*";
	const bool v6 = addr_family(listen) == AF_INET6;
	size_t size = sizeof(endpoint);

	if (addr_port(listen) != 0)
		(void)snprintf(port, sizeof(port), "%u", addr_port(listen));
	(void)snprintf(endpoint, sizeof(endpoint), "tcp://%s%s%s:%s",
	               v6 ? "[" : "", addr_format_ip(listen, ip), v6 ? "]" : "",
	               port);
	if (zmq_bind(r->z.sock, endpoint) < 0)
		return false;
	if (zmq_getsockopt(r->z.sock, ZMQ_LAST_ENDPOINT, endpoint, &size) < 0)
		return false;
	/* tcp://HOST:PORT: the port is what we did not know. */
	r->address = *listen;
	addr_set_port(&r->address,
	              (uint16_t)strtoul(strrchr(endpoint, ':') + 1, NULL, 10));
	return true;
}

/* ---- the self-test ---- */

struct probe {
	struct zsock client, monitor;
};

static bool
probe_open(struct router *r, struct probe *p, const struct keys *keys)
{
	const struct zsock_opt opt[] = {{ZMQ_LINGER, 0}, {ZMQ_IPV6, 1}};
	char ip[ADDR_TEXT_MAX], endpoint[ENDPOINT_MAX];
	const bool v6 = addr_family(&r->address) == AF_INET6;

	if (addr_is_any(&r->address))
		(void)snprintf(ip, sizeof(ip), v6 ? "::1" : "127.0.0.1");
	else
		(void)addr_format_ip(&r->address, ip);
	(void)snprintf(endpoint, sizeof(endpoint), "tcp://%s%s%s:%u",
	               v6 ? "[" : "", ip, v6 ? "]" : "",
	               addr_port(&r->address));
	return zsock_open(&p->client, r->context, ZMQ_DEALER) &&
	       zsock_set(&p->client, opt, 2) &&
	       zsock_set_bytes(&p->client, ZMQ_CURVE_SERVERKEY,
	                       r->keys.public_key, KEYS_BYTES) &&
	       zsock_set_bytes(&p->client, ZMQ_CURVE_PUBLICKEY,
	                       keys->public_key, KEYS_BYTES) &&
	       zsock_set_bytes(&p->client, ZMQ_CURVE_SECRETKEY,
	                       keys->secret_key, KEYS_BYTES) &&
	       zmq_socket_monitor(p->client.sock, "inproc://self-test",
	                          ZMQ_EVENT_HANDSHAKE_SUCCEEDED) == 0 &&
	       zsock_open(&p->monitor, r->context, ZMQ_PAIR) &&
	       zmq_connect(p->monitor.sock, "inproc://self-test") == 0 &&
	       zmq_connect(p->client.sock, endpoint) == 0;
}

/* True: the key stayed outside although it was looked at. */
static bool
probe_is_refused(struct router *r, struct probe *p)
{
	struct mono now = clock_mono();
	struct mono end = mono_add_ns(now, SELF_TEST_NS);
	bool seen = false;

	while (mono_diff_ns(end, now) > 0) {
		zmq_pollitem_t item[] = {
		    {p->monitor.sock, 0, ZMQ_POLLIN, 0},
		    {r->zap.z.sock, 0, ZMQ_POLLIN, 0},
		};

		(void)zmq_poll(item, r->zap.z.sock ? 2 : 1, 10);
		if (item[0].revents & ZMQ_POLLIN)
			return false; /* it got in */
		if (r->zap.z.sock && zsock_readable(&r->zap.z))
			zap_on_request(&r->zap);
		now = clock_mono();
		if (r->test_key_seen && !seen) {
			seen = true;
			end = mono_add_ns(now, SELF_TEST_GRACE_NS);
		}
	}
	return seen;
}

static bool
self_test(struct router *r, char *err, size_t err_size)
{
	struct keys keys;
	struct probe p;
	bool ok;

	memset(&p, 0, sizeof(p));
	if (!keys_generate(&keys)) {
		(void)snprintf(err, err_size, "this libzmq has no CURVE");
		return false;
	}
	memcpy(r->test_key, keys.public_key, KEYS_BYTES);
	ok = probe_open(r, &p, &keys) && probe_is_refused(r, &p);
	if (p.client.sock)
		(void)zmq_socket_monitor(p.client.sock, NULL, 0);
	zsock_close(&p.client);
	zsock_close(&p.monitor);
	keys_wipe(&keys);
	if (!ok)
		(void)snprintf(err, err_size,
		               "self-test: expected a random key to be "
		               "refused, and it was not: not starting, since "
		               "anybody could join");
	return ok;
}

static bool
watch(struct router *r, struct event_base *base)
{
	return zsock_watch(&r->zap.z, base, zap_on_request, &r->zap) &&
	       zsock_watch(&r->z, base, router_on_message, r);
}

static bool
start(struct router *r, const struct router_opts *o, char *err, size_t err_size)
{
	const bool ipv6 = addr_family(&o->listen) == AF_INET6;
	char text[ADDR_TEXT_MAX];

	r->zap.accept = router_accept;
	r->zap.arg = r;
	r->context = zmq_ctx_new();
	/* The handler first: a server without one lets everyone in. */
	if (!r->context ||
	    (!getenv("TWMESH_TEST_NO_ZAP") && !zap_open(&r->zap, r->context)) ||
	    !open_router(r, ipv6) || !bind_router(r, &o->listen)) {
		(void)snprintf(err, err_size, "listen %s: %s",
		               addr_format(&o->listen, text),
		               zmq_strerror(errno));
		return false;
	}
	if (!self_test(r, err, err_size))
		return false;
	if (!watch(r, o->base)) {
		(void)snprintf(err, err_size, "listen: out of memory");
		return false;
	}
	return true;
}

struct router *
router_new(const struct router_opts *o, char *err, size_t err_size)
{
	struct router *r = calloc(1, sizeof(*r));

	if (!r) {
		(void)snprintf(err, err_size, "listen: out of memory");
		return NULL;
	}
	r->keys = *o->keys;
	r->ops = o->ops;
	r->arg = o->arg;
	if (start(r, o, err, err_size))
		return r;
	router_free(r);
	return NULL;
}

void
router_free(struct router *r)
{
	if (!r)
		return;
	zsock_close(&r->z);
	zap_close(&r->zap);
	if (r->context)
		(void)zmq_ctx_term(r->context);
	keys_wipe(&r->keys);
	free(r);
}
