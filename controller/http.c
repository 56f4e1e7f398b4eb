/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/http.h"

#include "controller/httpwire.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128
#define IDLE_S 60
#define READING_S 10
#define CALLED_S 30
#define SENDING_S 60

#define LINGER_S 2
#define ACCEPT_RETRY_S 1

enum state { IDLE, READING, CALLED, SENDING, LINGER };
static const int deadline_s[] = {IDLE_S, READING_S, CALLED_S, SENDING_S,
                                 LINGER_S};

struct http_call {
	TAILQ_ENTRY(http_call) all; /* oldest first; an idle one moves back */
	struct http *http;          /* borrowed */
	struct bufferevent *bev;    /* owned, with its descriptor */
	struct event *deadline;     /* owned */
	enum state state;
	uint64_t id; /* of the request, unique in the process */
	struct httpreq req;
	bool have_head;
	bool close_after; /* the answer is the last */
	bool refused;     /* and there may be unread input */
	char *body;       /* owned; NULL: none */
	size_t body_len;
};
TAILQ_HEAD(call_list, http_call);

struct http {
	struct http_opts o;
	struct evconnlistener *listener; /* owned */
	struct event *accept_again;      /* owned */
	struct call_list calls;
	unsigned connections;
	char *unix_path; /* owned; NULL: TCP */
};

static uint64_t next_id; /* one web thread: no lock */

static void
call_free(struct http_call *c)
{
	TAILQ_REMOVE(&c->http->calls, c, all);
	c->http->connections--;
	if (c->deadline)
		event_free(c->deadline);
	if (c->bev)
		bufferevent_free(c->bev);
	free(c->body);
	free(c);
}

static void
set_state(struct http_call *c, enum state s)
{
	c->state = s;
	(void)event_add(c->deadline,
	                &(const struct timeval){.tv_sec = deadline_s[s]});
	if (s == IDLE) { /* youngest of the idle ones */
		TAILQ_REMOVE(&c->http->calls, c, all);
		TAILQ_INSERT_TAIL(&c->http->calls, c, all);
	}
	if (s != CALLED && s != SENDING)
		(void)bufferevent_enable(c->bev, EV_READ);
	else
		(void)bufferevent_disable(c->bev, EV_READ);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	call_free(arg);
}

static void
unref_blob(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	blob_unref(arg);
}

static void
put_body(struct evbuffer *out, struct blob *b)
{
	if (evbuffer_add_reference(out, b->b, b->len, unref_blob,
	                           blob_ref(b)) != 0)
		blob_unref(b);
}

void
http_answer(struct http_call *c, const struct http_answer *a)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	bool same = a->status == 200 && a->etag && c->req.if_none_match[0] &&
	            httpreq_etag_matches(c->req.if_none_match, a->etag);
	bool zip = a->gzip && c->req.accept_gzip;
	struct blob *body = zip ? a->gzip : a->body;
	char head[HTTPWIRE_HEAD_MAX];
	size_t n;

	n = httpwire_head(head, sizeof(head),
	                  &(struct httpwire){
	                      .status = same ? 304 : a->status,
	                      .type = a->type,
	                      .etag = a->etag,
	                      .headers = a->headers,
	                      .length = body ? body->len : 0,
	                      .gzip = zip,
	                      .vary = a->gzip != NULL,
	                      .close = c->close_after,
	                  });
	free(c->body);
	c->body = NULL;
	c->id = 0;
	set_state(c, SENDING);
	(void)evbuffer_add(out, head, n);
	if (!same && body && body->len > 0 && c->req.method != HTTP_HEAD)
		put_body(out, body);
}

void
http_answer_error(struct http_call *c, int status, const char *message,
                  const char *headers)
{
	char json[512];
	size_t n = httpwire_error_json(json, sizeof(json), status, message);
	struct blob *b = blob_new(json, n);

	http_answer(c, &(struct http_answer){.status = status,
	                                     .type = HTTPWIRE_JSON,
	                                     .body = b,
	                                     .headers = headers});
	blob_unref(b);
}

/* A request that could not be read: the connection ends with the answer. */
static void
refuse(struct http_call *c, int status, const char *why)
{
	c->close_after = c->refused = true;
	if (!c->have_head)
		c->req = (struct httpreq){.method = HTTP_OTHER};
	http_answer_error(c, status, why, NULL);
}

/* True when a whole head was read (and removed from the input). */
static bool
take_head(struct http_call *c, struct evbuffer *in)
{
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	char head[HTTPREQ_HEAD_MAX];
	const char *why;
	size_t n;
	int status;

	if (end.pos < 0) {
		if (evbuffer_get_length(in) >= sizeof(head))
			refuse(c, 431, "the request's head is over 8 kB");
		return false;
	}
	n = (size_t)end.pos + 4;
	if (n > sizeof(head)) {
		refuse(c, 431, "the request's head is over 8 kB");
		return false;
	}
	if (evbuffer_remove(in, head, n) != (int)n)
		return false;
	status = httpreq_parse(head, n, &c->req, &why);
	if (status != 0) {
		refuse(c, status, why);
		return false;
	}
	c->have_head = true;
	c->close_after = !c->req.keep_alive;
	if (c->req.content_length > c->http->o.body_max) {
		refuse(c, 413, "the request's body is too long");
		return false;
	}
	return true;
}

static bool
take_body(struct http_call *c, struct evbuffer *in)
{
	size_t n = (size_t)c->req.content_length;

	if (evbuffer_get_length(in) < n)
		return false;
	c->body = calloc(1, n + 1);
	if (!c->body) {
		refuse(c, 503, "out of memory");
		return false;
	}
	c->body_len = n;
	return n == 0 || evbuffer_remove(in, c->body, n) == (int)n;
}

static void
read_request(struct http_call *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	if (evbuffer_get_length(in) == 0)
		return;
	if (c->state == IDLE) {
		c->have_head = false;
		set_state(c, READING);
	}
	if (!c->have_head && !take_head(c, in))
		return;
	if (c->state != READING || !take_body(c, in))
		return;
	c->id = ++next_id;
	set_state(c, CALLED);
	c->http->o.fn(c->http->o.arg, c);
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct http_call *c = arg;

	if (c->state == IDLE || c->state == READING)
		read_request(c);
	else if (c->state == LINGER)
		(void)evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
}

/* The output is drained. */
static void
on_write(struct bufferevent *bev, void *arg)
{
	struct http_call *c = arg;

	if (c->state != SENDING)
		return;
	if (c->refused) {
		/* Closing over unread input sends RST, and the client never
		 * sees why: end our half, swallow theirs for a moment. */
		(void)shutdown(bufferevent_getfd(bev), SHUT_WR);
		(void)evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
		set_state(c, LINGER);
		return;
	}
	if (c->close_after) {
		call_free(c);
		return;
	}
	set_state(c, IDLE);
	read_request(c); /* what was pipelined meanwhile */
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		call_free(arg);
}

static bool
make_room(struct http *h)
{
	struct http_call *c;

	if (h->connections < h->o.connections_max)
		return true;
	TAILQ_FOREACH(c, &h->calls, all)
	{
		if (c->state == IDLE) {
			call_free(c);
			return true;
		}
	}
	return false;
}

static void
turn_away(evutil_socket_t fd)
{
	static const char busy[] =
	    "HTTP/1.1 503 Service Unavailable\r\n"
	    "Content-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";

	(void)!send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	evutil_closesocket(fd);
}

static void
start_call(struct http *h, evutil_socket_t fd)
{
	struct http_call *c = calloc(1, sizeof(*c));

	if (!c) {
		turn_away(fd);
		return;
	}
	c->http = h;
	c->bev = bufferevent_socket_new(h->o.base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->bev)
		turn_away(fd);
	c->deadline = event_new(h->o.base, -1, EV_TIMEOUT, on_deadline, c);
	TAILQ_INSERT_TAIL(&h->calls, c, all);
	h->connections++;
	if (!c->bev || !c->deadline) {
		call_free(c);
		return;
	}
	bufferevent_setwatermark(c->bev, EV_READ, 0,
	                         HTTPREQ_HEAD_MAX + h->o.body_max);
	bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
	set_state(c, IDLE);
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
          int len, void *arg)
{
	struct http *h = arg;

	(void)l;
	(void)sa;
	(void)len;
	if (h->unix_path && !httpwire_peer_allowed(fd)) {
		evutil_closesocket(fd);
		return;
	}
	if (make_room(h))
		start_call(h, fd);
	else
		turn_away(fd);
}

static void
on_accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;

	(void)fd;
	(void)what;
	(void)evconnlistener_enable(h->listener);
}

/* Out of descriptors and the like: libevent would spin on the backlog. */
static void
on_accept_error(struct evconnlistener *l, void *arg)
{
	struct http *h = arg;

	(void)evconnlistener_disable(l);
	(void)event_add(h->accept_again,
	                &(const struct timeval){.tv_sec = ACCEPT_RETRY_S});
}

static struct http *
http_new(const struct http_opts *o, evutil_socket_t fd, int *err)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h) {
		h->o = *o;
		TAILQ_INIT(&h->calls);
		h->accept_again =
		    event_new(o->base, -1, EV_TIMEOUT, on_accept_again, h);
		h->listener = evconnlistener_new(
		    o->base, on_accept, h,
		    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
	}
	if (!h || !h->listener || !h->accept_again) {
		*err = errno ? -errno : -ENOMEM;
		if (!h || !h->listener)
			evutil_closesocket(fd);
		http_free(h);
		return NULL;
	}
	evconnlistener_set_error_cb(h->listener, on_accept_error);
	return h;
}

struct http *
http_listen_tcp(const struct http_opts *o, const struct addr *at,
                struct addr *bound, int *err)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	const int one = 1;
	int fd = socket(addr_family(at),
	                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		*err = -errno;
		return NULL;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &at->u.sa, at->len) != 0 ||
	    getsockname(fd, (struct sockaddr *)&ss, &len) != 0) {
		*err = -errno;
		(void)close(fd);
		return NULL;
	}
	if (!addr_from_sockaddr((const struct sockaddr *)&ss, len, bound)) {
		*err = -EAFNOSUPPORT;
		(void)close(fd);
		return NULL;
	}
	return http_new(o, fd, err);
}

/* 0 when nothing is at the path (any more). */
static int
clear_path(const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, rc;

	if (lstat(sun->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
	(void)close(fd);
	if (rc == 0 || errno != ECONNREFUSED)
		return -EADDRINUSE; /* a live one, or not ours to judge */
	return unlink(sun->sun_path) == 0 ? 0 : -errno;
}

struct http *
http_listen_unix(const struct http_opts *o, const char *path, mode_t mode,
                 int *err)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct http *h = NULL;
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		*err = -ENAMETOOLONG;
		return NULL;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	*err = clear_path(&sun);
	if (*err != 0)
		return NULL;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* Nobody may connect before chmod: listen() comes after it. */
	if (fd < 0 ||
	    bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0 ||
	    chmod(path, mode) != 0) {
		*err = -errno;
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	h = http_new(o, fd, err);
	if (h)
		h->unix_path = strdup(path);
	return h;
}

void
http_free(struct http *h)
{
	struct http_call *c, *next;

	if (!h)
		return;
	for (c = TAILQ_FIRST(&h->calls); c; c = next) {
		next = TAILQ_NEXT(c, all);
		call_free(c);
	}
	if (h->accept_again)
		event_free(h->accept_again);
	if (h->listener)
		evconnlistener_free(h->listener);
	if (h->unix_path)
		(void)unlink(h->unix_path);
	free(h->unix_path);
	free(h);
}

const struct httpreq *
http_call_req(const struct http_call *c)
{
	return &c->req;
}

const char *
http_call_body(const struct http_call *c, size_t *len)
{
	*len = c->body_len;
	return c->body;
}

const char *
http_call_tag(const struct http_call *c)
{
	return c->http->o.tag;
}

uint64_t
http_call_id(const struct http_call *c)
{
	return c->id;
}

struct http_call *
http_call_find(struct http *h, uint64_t id)
{
	struct http_call *c;

	TAILQ_FOREACH(c, &h->calls, all)
	{
		if (c->id == id && c->state == CALLED)
			return c;
	}
	return NULL;
}

unsigned
http_connections(const struct http *h)
{
	return h->connections;
}
