/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An HTTP/1.1 server on libevent's bufferevents, for one listener (TCP or unix
 * socket). Why not evhttp 2.1.12: it has no limit on connections, its timeouts
 * start anew with every byte (a client that sends one each few seconds stays
 * for ever), and a slow reader's output grows without bound. Here a connection
 * is always in one of four states, each with one deadline that bytes do not
 * extend:
 *
 *   IDLE ──first byte──▶ READING ──whole request──▶ CALLED ──answer──▶ SENDING
 *     ▲    (60 s)          (10 s)                    (30 s)              (60 s)
 *     └───────────────────────── keep-alive, output drained ──────────────┘
 *
 * A connection holds at most one request and one answer: while it is CALLED or
 * SENDING nothing more is read from it. At the limit of connections the one
 * idle for longest makes room; when none is idle the newcomer gets 503. After
 * a refused request (400, 413, ...) the rest of its input is swallowed for 2 s,
 * so that the client reads the reason instead of a reset.
 *
 *   listener ──▶ http ──▶ opts.fn(call) ──▶ http_answer(call) now or later
 */
#ifndef TWMESH_CONTROLLER_HTTP_H
#define TWMESH_CONTROLLER_HTTP_H

#include "controller/blob.h"
#include "controller/httpreq.h"
#include "lib/base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct http;
struct http_call; /* a request that waits for its answer; owned by http */

struct http_opts {
	struct event_base *base; /* borrowed */
	unsigned connections_max;
	size_t body_max; /* octets of a request's body */
	/* A whole request is there. Must lead to exactly one http_answer(),
	 * from the callback or later (by http_call_find). */
	void (*fn)(void *arg, struct http_call *call);
	void *arg;       /* borrowed */
	const char *tag; /* borrowed: which listener, for the callee */
};

/* Listens. NULL with *err = -errno. *bound: the address with its port. */
struct http *http_listen_tcp(const struct http_opts *o, const struct addr *at,
                             struct addr *bound, int *err);
/* A unix socket of that mode. A stale file is replaced; one that answers, or
 * that is no socket, is refused (-EADDRINUSE). Peers must be root, of our own
 * user, or in our own group (SO_PEERCRED); others are closed at once. */
struct http *http_listen_unix(const struct http_opts *o, const char *path,
                              mode_t mode, int *err);
/* Closes listener and connections, removes a unix socket's file. */
void http_free(struct http *h);

const struct httpreq *http_call_req(const struct http_call *c);
/* The body, with a NUL behind it; valid until the answer. */
const char *http_call_body(const struct http_call *c, size_t *len);
const char *http_call_tag(const struct http_call *c);
/* A number that finds the call again, while its connection lives. */
uint64_t http_call_id(const struct http_call *c);
struct http_call *http_call_find(struct http *h, uint64_t id);

struct http_answer {
	int status;
	const char *type;    /* Content-Type */
	struct blob *body;   /* borrowed, may be NULL; http takes a reference */
	struct blob *gzip;   /* the same compressed, if there is such a form */
	const char *etag;    /* with its quotes; NULL: none */
	const char *headers; /* further whole lines with CR LF; NULL: none */
};
/* Ends the call: sends 304 when the ETag matches, compresses, leaves the body
 * out for HEAD. */
void http_answer(struct http_call *c, const struct http_answer *a);
/* {"error":{"status":...,"message":"..."}}; `headers` as above. */
void http_answer_error(struct http_call *c, int status, const char *message,
                       const char *headers);

unsigned http_connections(const struct http *h);

#endif
