/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One bufferevent per client. A client lives at most CLIENT_S seconds in all,
 * however slowly it sends or reads: the timer is armed once and never again.
 */
#include "lib/svc/localsock.h"

#include "lib/base/clock_read.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS_MAX 16
#define REQUEST_MAX (64 << 10)
#define ANSWER_MAX (16 << 20) /* 20,000 sessions a 100 octets, and room */
#define CLIENT_S 5

struct client {
	struct localsock *sock;  /* borrowed; NULL: free slot */
	struct bufferevent *bev; /* owned, with its descriptor */
	struct event *timer;     /* owned */
};

struct localsock {
	struct event_base *base;         /* borrowed */
	struct evconnlistener *listener; /* owned */
	struct event *rest;              /* owned; ends a rest */
	char *path;                      /* owned */
	localsock_fn *fn;
	void *arg; /* borrowed */
	struct client client[CLIENTS_MAX];
};

static void
client_close(struct client *c)
{
	if (c->bev)
		bufferevent_free(c->bev);
	if (c->timer)
		event_free(c->timer);
	memset(c, 0, sizeof(*c));
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_close(arg);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what; /* end of file, error: there is nothing more to say */
	client_close(arg);
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	(void)bev;
	client_close(arg);
}

/* Splits in place; words[] has room for all. */
static int
split_words(char *line, char **words)
{
	char *save = NULL;
	int n = 0;

	for (char *w = strtok_r(line, " \t\r", &save); w;
	     w = strtok_r(NULL, " \t\r", &save))
		words[n++] = w;
	return n;
}

/* Runs the request and queues its answer. False: nothing to be said. */
static bool
answer(struct client *c, char *line, size_t len)
{
	char **words = calloc(len / 2 + 2, sizeof(*words)), *text = NULL;
	struct ucred who = {.uid = (uid_t)-1, .gid = (gid_t)-1};
	socklen_t who_len = sizeof(who);
	size_t text_len = 0;
	FILE *out = open_memstream(&text, &text_len);
	bool ok = false;
	int argc;

	if (!words || !out)
		goto out;
	(void)getsockopt(bufferevent_getfd(c->bev), SOL_SOCKET, SO_PEERCRED,
	                 &who, &who_len);
	argc = split_words(line, words);
	if (argc == 0)
		(void)fputs("error expected a verb, found nothing\n", out);
	else
		c->sock->fn(c->sock->arg, argc, words, who.uid, who.gid, out);
	ok = fclose(out) == 0 && text_len > 0 &&
	     bufferevent_write(c->bev, text, text_len) == 0;
	out = NULL;
out:
	if (out)
		(void)fclose(out);
	free(text);
	free(words);
	return ok;
}

static void
on_readable(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct client *c = arg;
	size_t len = 0;
	char *line;

	line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
	if (!line) {
		if (evbuffer_get_length(in) >= REQUEST_MAX)
			client_close(c);
		return;
	}
	(void)bufferevent_disable(bev, EV_READ);
	bufferevent_setcb(bev, NULL, on_written, on_event, c);
	if (!answer(c, line, len))
		client_close(c);
	free(line);
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd,
          struct sockaddr *sa, int sa_len, void *arg)
{
	const struct timeval life = {CLIENT_S, 0};
	struct localsock *l = arg;
	struct client *c = NULL;

	(void)listener;
	(void)sa;
	(void)sa_len;
	for (size_t i = 0; i < CLIENTS_MAX && !c; i++) {
		if (!l->client[i].sock)
			c = &l->client[i];
	}
	if (!c) {
		(void)close(fd);
		return;
	}
	c->bev = bufferevent_socket_new(l->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->bev) {
		(void)close(fd);
		return;
	}
	c->sock = l;
	c->timer = evtimer_new(l->base, on_timeout, c);
	if (!c->timer || evtimer_add(c->timer, &life) != 0) {
		client_close(c);
		return;
	}
	bufferevent_setcb(c->bev, on_readable, NULL, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, REQUEST_MAX);
	(void)bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

/* Out of descriptors, as a rule: rest, or the loop would spin on the waiting
 * client. */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	const struct timeval rest = {1, 0};
	struct localsock *l = arg;

	(void)evconnlistener_disable(listener);
	(void)evtimer_add(l->rest, &rest);
}

static void
on_rested(evutil_socket_t fd, short what, void *arg)
{
	struct localsock *l = arg;

	(void)fd;
	(void)what;
	(void)evconnlistener_enable(l->listener);
}

/* -- listening ------------------------------------------------------------ */

static bool
set_path(struct sockaddr_un *sa, const char *path)
{
	const size_t n = strlen(path);

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (n == 0 || n >= sizeof(sa->sun_path))
		return false;
	memcpy(sa->sun_path, path, n);
	return true;
}

/* A socket file that nobody answers is left over from a crash: removed. */
static int
remove_stale(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd, rc = 0;

	if (lstat(sa->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST; /* someone's file: not ours to remove */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ||
	    errno == EAGAIN)
		rc = -EADDRINUSE;
	else if (errno != ECONNREFUSED)
		rc = -errno;
	else if (unlink(sa->sun_path) != 0 && errno != ENOENT)
		rc = -errno;
	(void)close(fd);
	return rc;
}

/* A bound socket with exactly `mode`, or -errno. */
static int
bind_path(const char *path, mode_t mode)
{
	struct sockaddr_un sa;
	int fd, rc;

	if (!set_path(&sa, path))
		return -ENAMETOOLONG;
	rc = remove_stale(&sa);
	if (rc != 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The file is made with the descriptor's mode less the umask, so it
	 * is never open wider than asked for, not even for an instant. */
	if (fchmod(fd, mode) != 0 ||
	    bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0) {
		rc = -errno;
		(void)close(fd);
		return rc;
	}
	if (chmod(path, mode) != 0) {
		rc = -errno;
		(void)unlink(path);
		(void)close(fd);
		return rc;
	}
	return fd;
}

struct localsock *
localsock_listen(struct event_base *base, const char *path, mode_t mode,
                 localsock_fn *fn, void *arg, int *err)
{
	struct localsock *l = calloc(1, sizeof(*l));
	int fd;

	*err = -ENOMEM;
	if (!l)
		return NULL;
	l->base = base;
	l->fn = fn;
	l->arg = arg;
	l->path = strdup(path);
	l->rest = evtimer_new(base, on_rested, l);
	if (!l->path || !l->rest)
		goto out;
	fd = bind_path(path, mode);
	if (fd < 0) {
		*err = fd;
		goto out;
	}
	l->listener = evconnlistener_new(
	    base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
	    CLIENTS_MAX, fd);
	if (!l->listener) {
		(void)unlink(path);
		(void)close(fd);
		goto out;
	}
	evconnlistener_set_error_cb(l->listener, on_accept_error);
	*err = 0;
	return l;
out:
	if (l->rest)
		event_free(l->rest);
	free(l->path);
	free(l);
	return NULL;
}

void
localsock_close(struct localsock *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (l->client[i].sock)
			client_close(&l->client[i]);
	}
	evconnlistener_free(l->listener);
	event_free(l->rest);
	(void)unlink(l->path);
	free(l->path);
	free(l);
}

/* -- asking ---------------------------------------------------------------- */

/* Waits for `events`; false with errno ETIMEDOUT when the time is over. */
static bool
wait_for(int fd, short events, struct mono deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t left_ms;
	int rc;

	do {
		left_ms = mono_diff_ns(deadline, clock_mono()) / NS_PER_MS;
		rc = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
	} while (rc < 0 && errno == EINTR);
	if (rc == 0)
		errno = ETIMEDOUT;
	return rc > 0;
}

static bool
send_all(int fd, const char *p, size_t n, struct mono deadline)
{
	while (n > 0) {
		const ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent >= 0) {
			p += sent;
			n -= (size_t)sent;
		} else if (errno == EAGAIN) {
			if (!wait_for(fd, POLLOUT, deadline))
				return false;
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

static char *
read_all(int fd, struct mono deadline)
{
	size_t len = 0, size = 4096;
	char *text = malloc(size), *grown;

	while (text) {
		const ssize_t got = recv(fd, text + len, size - len - 1, 0);

		if (got == 0) {
			text[len] = '\0';
			return text;
		}
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			break;
		if (got < 0) {
			if (!wait_for(fd, POLLIN, deadline))
				break;
			continue;
		}
		len += (size_t)got;
		if (size - len > 1)
			continue;
		if (size >= ANSWER_MAX) {
			errno = EMSGSIZE;
			break;
		}
		grown = realloc(text, size * 2);
		if (!grown)
			break;
		text = grown;
		size *= 2;
	}
	free(text);
	return NULL;
}

char *
localsock_ask(const char *path, const char *request, int timeout_ms)
{
	const struct mono deadline =
	    mono_add_ns(clock_mono(), timeout_ms * NS_PER_MS);
	const size_t n = strlen(request);
	struct sockaddr_un sa;
	char *text = NULL;
	int fd, saved;

	if (!set_path(&sa, path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return NULL;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 &&
	    send_all(fd, request, n, deadline) &&
	    ((n > 0 && request[n - 1] == '\n') ||
	     send_all(fd, "\n", 1, deadline)))
		text = read_all(fd, deadline);
	saved = errno;
	(void)close(fd);
	errno = saved;
	return text;
}
