/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/zsock.h"

#include <event2/event.h>

#include <errno.h>
#include <string.h>

bool
zsock_open(struct zsock *z, void *context, int type)
{
	memset(z, 0, sizeof(*z));
	z->sock = zmq_socket(context, type);
	return z->sock != NULL;
}

bool
zsock_set(struct zsock *z, const struct zsock_opt *opt, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (zmq_setsockopt(z->sock, opt[i].name, &opt[i].value,
		                   sizeof(opt[i].value)) < 0)
			return false;
	}
	return true;
}

bool
zsock_set_bytes(struct zsock *z, int name, const void *p, size_t n)
{
	return zmq_setsockopt(z->sock, name, p, n) == 0;
}

bool
zsock_readable(struct zsock *z)
{
	int events = 0;
	size_t size = sizeof(events);

	return zmq_getsockopt(z->sock, ZMQ_EVENTS, &events, &size) == 0 &&
	       (events & ZMQ_POLLIN);
}

static void
come_back(struct zsock *z)
{
	const struct timeval now = {0, 0};

	if (!evtimer_pending(z->on_more, NULL))
		(void)evtimer_add(z->on_more, &now);
}

static void
zsock_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct zsock *z = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < ZSOCK_TURN; i++) {
		if (!zsock_readable(z))
			return;
		z->on_message(z->arg);
	}
	come_back(z);
}

bool
zsock_watch(struct zsock *z, struct event_base *base,
            void (*on_message)(void *), void *arg)
{
	size_t size;
	int fd;

	size = sizeof(fd);
	if (zmq_getsockopt(z->sock, ZMQ_FD, &fd, &size) < 0)
		return false;
	z->on_message = on_message;
	z->arg = arg;
	z->on_fd = event_new(base, fd, EV_READ | EV_PERSIST, zsock_on_event, z);
	z->on_more = evtimer_new(base, zsock_on_event, z);
	if (!z->on_fd || !z->on_more || event_add(z->on_fd, NULL) < 0)
		return false;
	come_back(z);
	return true;
}

void
zsock_kick(struct zsock *z)
{
	if (z->on_more && zsock_readable(z))
		come_back(z);
}

void
zsock_close(struct zsock *z)
{
	if (z->on_fd)
		event_free(z->on_fd);
	if (z->on_more)
		event_free(z->on_more);
	if (z->sock)
		(void)zmq_close(z->sock);
	memset(z, 0, sizeof(*z));
}

bool
zsock_recv(struct zsock *z, void *buf, size_t size, size_t *len, bool *more)
{
	int n, flag = 0;
	size_t flag_size = sizeof(flag);

	n = zmq_recv(z->sock, buf, size, ZMQ_DONTWAIT);
	if (n < 0)
		return false;
	*len = (size_t)n;
	*more = zmq_getsockopt(z->sock, ZMQ_RCVMORE, &flag, &flag_size) == 0 &&
	        flag;
	return true;
}

void
zsock_drain(struct zsock *z)
{
	char one;
	size_t len;
	bool more = true;

	while (more && zsock_recv(z, &one, sizeof(one), &len, &more))
		;
}

bool
zsock_monitor_read(struct zsock *monitor, uint16_t *event, uint32_t *value)
{
	uint8_t head[6];
	size_t len;
	bool more;

	if (!zsock_recv(monitor, head, sizeof(head), &len, &more))
		return false;
	if (more)
		zsock_drain(monitor);
	if (len != sizeof(head))
		return false;
	memcpy(event, head, sizeof(*event));
	memcpy(value, head + sizeof(*event), sizeof(*value));
	return true;
}
