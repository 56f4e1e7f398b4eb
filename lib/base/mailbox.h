/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mailbox carries letters from any thread to one thread: a mutex, a list and
 * an eventfd that becomes readable. It is bounded, and it never drops
 * silently: a full mailbox refuses the letter, and the sender keeps it. The
 * two sides share nothing else.
 */
#ifndef TWMESH_BASE_MAILBOX_H
#define TWMESH_BASE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

/* Put this first in the message's struct. */
struct letter {
	struct letter *next;
};

struct mailbox;

/* Room for `capacity` letters. NULL when out of memory or descriptors. */
struct mailbox *mailbox_new(size_t capacity);
/* Letters still inside go to `drop` (may be NULL when it is empty). */
void mailbox_free(struct mailbox *m, void (*drop)(struct letter *));

/* Hands over the letter. False when full: the caller still owns it. */
bool mailbox_put(struct mailbox *m, struct letter *l)
    __attribute__((warn_unused_result));
/* The oldest letter, now owned by the caller; NULL when empty. */
struct letter *mailbox_take(struct mailbox *m);
/* All letters at once, oldest first, linked by next; NULL when empty. */
struct letter *mailbox_take_all(struct mailbox *m);

/* Readable while letters wait; for poll, epoll or libevent. Do not read it:
 * taking the last letter clears it. */
int mailbox_fd(const struct mailbox *m);
size_t mailbox_count(struct mailbox *m);

#endif
