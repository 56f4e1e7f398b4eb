/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/emu/control.h"

#include "lib/base/clock_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS 8
#define LINE_OCTETS 1024

struct client {
	int fd; /* owned; -1: none */
	size_t n;
	char line[LINE_OCTETS];
};

struct control {
	struct netconf *net; /* borrowed */
	struct fwd *fwd;     /* borrowed */
	struct truth *truth; /* borrowed, may be NULL */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int listener, epoll; /* owned */
	struct client client[CLIENTS];
};

static bool
socket_address(const char *path, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sa->sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(sa->sun_path, path, strlen(path) + 1);
	return true;
}

static bool
watch(int epoll, int fd, void *what)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

struct control *
control_open(const char *path, struct netconf *net, struct fwd *f,
             struct truth *t)
{
	struct control *c = calloc(1, sizeof(*c));
	struct sockaddr_un sa;

	if (!c)
		return NULL;
	*c = (struct control){
	    .net = net, .fwd = f, .truth = t, .listener = -1, .epoll = -1};
	for (unsigned i = 0; i < CLIENTS; i++)
		c->client[i].fd = -1;
	if (!socket_address(path, &sa))
		goto fail;
	(void)unlink(path);
	c->listener =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->listener < 0 || c->epoll < 0 ||
	    bind(c->listener, (const struct sockaddr *)&sa, sizeof(sa)) != 0)
		goto fail;
	memcpy(c->path, sa.sun_path, sizeof(c->path));
	if (listen(c->listener, CLIENTS) == 0 &&
	    watch(c->epoll, c->listener, NULL))
		return c;
fail:
	control_close(c);
	return NULL;
}

static void
client_close(struct client *k)
{
	if (k->fd >= 0)
		(void)close(k->fd);
	k->fd = -1;
}

void
control_close(struct control *c)
{
	const int e = errno;

	if (!c)
		return;
	for (unsigned i = 0; i < CLIENTS; i++)
		client_close(&c->client[i]);
	if (c->listener >= 0)
		(void)close(c->listener);
	if (c->epoll >= 0)
		(void)close(c->epoll);
	if (c->path[0])
		(void)unlink(c->path);
	free(c);
	errno = e;
}

static bool
is_change(const char *line)
{
	return strncmp(line, "set ", 4) == 0 ||
	       strncmp(line, "both ", 5) == 0 ||
	       strncmp(line, "default ", 8) == 0;
}

static void
change(struct control *c, char *line, char *answer, size_t size)
{
	char why[512], told[TRUTH_NOTE];

	(void)snprintf(told, sizeof(told), "%.*s", TRUTH_NOTE - 1, line);
	memset(c->net->touched, 0, sizeof(c->net->touched));
	if (!netconf_line(c->net, line, why, sizeof(why))) {
		(void)snprintf(answer, size, "error: %s\n", why);
		return;
	}
	for (unsigned s = 0; s < c->net->n; s++) {
		for (unsigned d = 0; d < c->net->n; d++) {
			if (c->net->touched[s][d])
				fwd_change(c->fwd, s, d, &c->net->link[s][d]);
		}
	}
	truth_note(c->truth, clock_wall(), "%s", told);
	(void)snprintf(answer, size, "ok\n");
}

static void
obey(struct control *c, char *line, char *answer, size_t size)
{
	if (is_change(line)) {
		change(c, line, answer, size);
	} else if (strncmp(line, "note ", 5) == 0) {
		truth_note(c->truth, clock_wall(), "%s", line);
		(void)snprintf(answer, size, "ok\n");
	} else if (strcmp(line, "stats") == 0) {
		const struct fwd_stats s = fwd_stats(c->fwd);

		(void)snprintf(
		    answer, size,
		    "ok in=%llu out=%llu lost=%llu ignored=%llu missed=%llu\n",
		    (unsigned long long)s.in, (unsigned long long)s.out,
		    (unsigned long long)s.lost, (unsigned long long)s.ignored,
		    (unsigned long long)s.missed);
	} else {
		(void)snprintf(answer, size,
		               "error: expected set, both, default, note or "
		               "stats, found '%.200s'\n",
		               line);
	}
}

static void
control_accept(struct control *c)
{
	const int fd =
	    accept4(c->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *k = &c->client[i];

		if (k->fd >= 0)
			continue;
		k->fd = fd;
		k->n = 0;
		if (!watch(c->epoll, fd, k))
			client_close(k);
		return;
	}
	(void)close(fd);
}

static void
client_on_readable(struct control *c, struct client *k)
{
	char answer[1024], *end;
	const ssize_t got =
	    read(k->fd, k->line + k->n, sizeof(k->line) - 1 - k->n);

	if (got <= 0) {
		if (got == 0 || errno != EAGAIN)
			client_close(k);
		return;
	}
	k->n += (size_t)got;
	k->line[k->n] = '\0';
	while ((end = strchr(k->line, '\n')) != NULL) {
		const size_t used = (size_t)(end - k->line) + 1;

		*end = '\0';
		obey(c, k->line, answer, sizeof(answer));
		k->n -= used;
		if (send(k->fd, answer, strlen(answer), MSG_NOSIGNAL) < 0) {
			client_close(k);
			return;
		}
		memmove(k->line, k->line + used, k->n + 1);
	}
	if (k->n == sizeof(k->line) - 1)
		client_close(k);
}

static void
control_on_readable(void *arg)
{
	struct control *c = arg;
	struct epoll_event e[CLIENTS];
	const int n = epoll_wait(c->epoll, e, CLIENTS, 0);

	for (int i = 0; i < n; i++) {
		if (e[i].data.ptr)
			client_on_readable(c, e[i].data.ptr);
		else
			control_accept(c);
	}
}

struct fwd_hook
control_hook(struct control *c)
{
	return (struct fwd_hook){c->epoll, control_on_readable, c};
}

int
control_tell(const char *path, const char *line)
{
	const struct timeval patience = {.tv_sec = 5};
	struct sockaddr_un sa;
	char answer[1024];
	ssize_t n = -1;
	int fd;

	fd = socket_address(path, &sa)
	         ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
	         : -1;
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
	               sizeof(patience)) != 0 ||
	    connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0 ||
	    send(fd, line, strlen(line), MSG_NOSIGNAL) < 0 ||
	    (n = read(fd, answer, sizeof(answer) - 1)) < 0)
		(void)fprintf(stderr, "twmesh-emu: %s: %s\n", path,
		              strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	if (n <= 0)
		return 1;
	answer[n] = '\0';
	(void)fputs(answer, strncmp(answer, "ok", 2) == 0 ? stdout : stderr);
	return strncmp(answer, "ok", 2) == 0 ? 0 : 1;
}
