/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/mailbox.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
	pthread_mutex_t lock;
	struct letter *head, **tail; /* owned */
	size_t count, capacity;
	int fd; /* holds 1 exactly while count > 0 */
};

struct mailbox *
mailbox_new(size_t capacity)
{
	struct mailbox *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->fd < 0) {
		free(m);
		return NULL;
	}
	(void)pthread_mutex_init(&m->lock, NULL);
	m->tail = &m->head;
	m->capacity = capacity;
	return m;
}

void
mailbox_free(struct mailbox *m, void (*drop)(struct letter *))
{
	struct letter *l, *next;

	if (!m)
		return;
	for (l = m->head; l; l = next) {
		next = l->next;
		if (drop)
			drop(l);
	}
	(void)close(m->fd);
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}

bool
mailbox_put(struct mailbox *m, struct letter *l)
{
	const uint64_t one = 1;
	bool ok;

	(void)pthread_mutex_lock(&m->lock);
	ok = m->count < m->capacity;
	if (ok) {
		l->next = NULL;
		*m->tail = l;
		m->tail = &l->next;
		if (m->count++ == 0)
			(void)!write(m->fd, &one, sizeof(one));
	}
	(void)pthread_mutex_unlock(&m->lock);
	return ok;
}

static void
clear_fd(struct mailbox *m)
{
	uint64_t v;

	(void)!read(m->fd, &v, sizeof(v));
}

struct letter *
mailbox_take(struct mailbox *m)
{
	struct letter *l;

	(void)pthread_mutex_lock(&m->lock);
	l = m->head;
	if (l) {
		m->head = l->next;
		l->next = NULL;
		if (--m->count == 0) {
			m->tail = &m->head;
			clear_fd(m);
		}
	}
	(void)pthread_mutex_unlock(&m->lock);
	return l;
}

struct letter *
mailbox_take_all(struct mailbox *m)
{
	struct letter *l;

	(void)pthread_mutex_lock(&m->lock);
	l = m->head;
	m->head = NULL;
	m->tail = &m->head;
	if (m->count) {
		m->count = 0;
		clear_fd(m);
	}
	(void)pthread_mutex_unlock(&m->lock);
	return l;
}

int
mailbox_fd(const struct mailbox *m)
{
	return m->fd;
}

size_t
mailbox_count(struct mailbox *m)
{
	size_t n;

	(void)pthread_mutex_lock(&m->lock);
	n = m->count;
	(void)pthread_mutex_unlock(&m->lock);
	return n;
}
