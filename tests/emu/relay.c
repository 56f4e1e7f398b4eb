/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pair is two sockets and a buffer each way. epoll, level-triggered; each
 * side asks for what it can do: to read while its buffer has room, to write
 * while the other's has octets. A pair lives until either side fails or both
 * have said all they have to say.
 */
#include "tests/emu/relay.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#define BUF_OCTETS 65536
#define PAIRS_MAX 256
#define EVENTS 32

struct side {
	int fd; /* owned */
	struct pair *pair;
	struct side *other;
	uint32_t asked; /* epoll events */
	bool ended;     /* nothing more to read */
	bool shut;      /* told so to `other` */
	size_t from, n; /* octets read here, to be written to `other` */
	char buf[BUF_OCTETS];
};

struct pair {
	struct side side[2];
	bool dead;
	LIST_ENTRY(pair) entry;
};

struct relay {
	struct addr to;
	int epoll, wake;         /* owned */
	int listener[NET_SITES]; /* owned */
	unsigned n;
	unsigned pairs_n;
	LIST_HEAD(pair_list, pair) pairs;
	pthread_t thread;
};

static void
pair_free(struct relay *r, struct pair *p)
{
	LIST_REMOVE(p, entry);
	r->pairs_n--;
	(void)close(p->side[0].fd);
	(void)close(p->side[1].fd);
	free(p);
}

static bool
ask(struct relay *r, struct side *s)
{
	struct epoll_event e = {.data.ptr = s};

	if (!s->ended && s->n < BUF_OCTETS)
		e.events |= EPOLLIN;
	if (s->other->n > 0)
		e.events |= EPOLLOUT;
	if (e.events == s->asked)
		return true;
	s->asked = e.events;
	return epoll_ctl(r->epoll, EPOLL_CTL_MOD, s->fd, &e) == 0;
}

/* Octets of s go to the other side, and its end when all have gone. */
static bool
side_flush(struct side *s)
{
	while (s->n > 0) {
		const ssize_t n = send(s->other->fd, s->buf + s->from, s->n,
		                       MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ||
			       errno == ENOTCONN;
		s->from += (size_t)n;
		s->n -= (size_t)n;
	}
	s->from = 0;
	if (s->ended && !s->shut) {
		s->shut = true;
		(void)shutdown(s->other->fd, SHUT_WR);
	}
	return true;
}

static bool
side_read(struct side *s)
{
	ssize_t n;

	if (s->from + s->n == BUF_OCTETS) {
		memmove(s->buf, s->buf + s->from, s->n);
		s->from = 0;
	}
	n = recv(s->fd, s->buf + s->from + s->n, BUF_OCTETS - s->from - s->n,
	         MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	s->ended = n == 0;
	s->n += (size_t)n;
	return side_flush(s);
}

static void
side_on_event(struct relay *r, struct side *s, uint32_t events)
{
	struct pair *p = s->pair;
	bool ok = !p->dead && !(events & EPOLLERR);

	if (ok && events & (EPOLLIN | EPOLLHUP) && !s->ended)
		ok = side_read(s);
	if (ok && events & EPOLLOUT)
		ok = side_flush(s->other);
	ok = ok && ask(r, s) && ask(r, s->other);
	p->dead = !ok || (p->side[0].shut && p->side[1].shut);
}

static bool
side_init(struct relay *r, struct pair *p, unsigned i, int fd)
{
	struct side *s = &p->side[i];
	struct epoll_event e = {.data.ptr = s};
	const int on = 1;

	s->fd = fd;
	s->pair = p;
	s->other = &p->side[1 - i];
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

static void
relay_accept(struct relay *r, int listener)
{
	const int in =
	    accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct pair *p = NULL;
	int out = -1;

	if (in < 0)
		return;
	if (r->pairs_n < PAIRS_MAX)
		out = socket(addr_family(&r->to),
		             SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (out >= 0 &&
	    (connect(out, &r->to.u.sa, r->to.len) == 0 || errno == EINPROGRESS))
		p = calloc(1, sizeof(*p));
	if (!p) {
		(void)close(in);
		if (out >= 0)
			(void)close(out);
		return;
	}
	LIST_INSERT_HEAD(&r->pairs, p, entry);
	r->pairs_n++;
	if (!side_init(r, p, 0, in) || !side_init(r, p, 1, out) ||
	    !ask(r, &p->side[0]) || !ask(r, &p->side[1]))
		pair_free(r, p);
}

/* The dead, or all. */
static void
bury(struct relay *r, bool all)
{
	struct pair *p = LIST_FIRST(&r->pairs), *next;

	for (; p; p = next) {
		next = LIST_NEXT(p, entry);
		if (all || p->dead)
			pair_free(r, p);
	}
}

static bool
is_listener(const struct relay *r, const void *what)
{
	const int *l = what;

	return l >= r->listener && l < r->listener + r->n;
}

static void *
relay_run(void *arg)
{
	struct relay *r = arg;
	struct epoll_event e[EVENTS];

	for (;;) {
		const int n = epoll_wait(r->epoll, e, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			void *what = e[i].data.ptr;

			if (what == &r->wake)
				return NULL;
			if (is_listener(r, what))
				relay_accept(r, *(int *)what);
			else
				side_on_event(r, what, e[i].events);
		}
		bury(r, false);
	}
}

static int
listen_in(const struct nets *ns, int site, uint16_t port)
{
	struct addr a;
	const int on = 1;
	const int fd = nets_socket(
	    ns, site, AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	if (addr_parse_ip("127.0.0.1", port, &a) &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, &a.u.sa, a.len) == 0 && listen(fd, 64) == 0)
		return fd;
	{
		const int e = errno;

		(void)close(fd);
		return -e;
	}
}

static bool
add_fd(struct relay *r, int fd, void *what)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};

	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

static void
relay_free(struct relay *r)
{
	bury(r, true);
	for (unsigned i = 0; i < r->n; i++)
		(void)close(r->listener[i]);
	if (r->epoll >= 0)
		(void)close(r->epoll);
	if (r->wake >= 0)
		(void)close(r->wake);
	free(r);
}

struct relay *
relay_start(const struct nets *ns, uint16_t port, const struct addr *to,
            char *err, size_t size)
{
	struct relay *r = calloc(1, sizeof(*r));
	int e = ENOMEM;

	if (!r)
		goto fail;
	r->to = *to;
	LIST_INIT(&r->pairs);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->epoll < 0 || r->wake < 0 || !add_fd(r, r->wake, &r->wake)) {
		e = errno;
		goto fail;
	}
	for (unsigned i = 0; i < ns->n; i++) {
		const int fd = listen_in(ns, ns->site[i], port);

		if (fd < 0) {
			e = -fd;
			goto fail;
		}
		r->listener[r->n] = fd;
		if (!add_fd(r, fd, &r->listener[r->n++])) {
			e = errno;
			goto fail;
		}
	}
	e = pthread_create(&r->thread, NULL, relay_run, r);
	if (e == 0)
		return r;
fail:
	(void)snprintf(err, size, "relay of port %u: %s", port, strerror(e));
	if (r)
		relay_free(r);
	return NULL;
}

void
relay_stop(struct relay *r)
{
	const uint64_t one = 1;

	if (!r)
		return;
	if (write(r->wake, &one, sizeof(one)) == (ssize_t)sizeof(one))
		(void)pthread_join(r->thread, NULL);
	relay_free(r);
}
