/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The release queue: what is to be sent, by time, and first come first served
 * within the same time. A binary heap over a fixed array: no allocation while
 * packets flow.
 */
#ifndef TWMESH_EMU_RELQ_H
#define TWMESH_EMU_RELQ_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct relq_item {
	struct mono due;
	uint64_t order; /* given by relq_push() */
	void *what;     /* borrowed */
};

struct relq {
	struct relq_item *item; /* owned: heap */
	size_t n, size;
	uint64_t next_order;
};

/* False when there is no memory. */
bool relq_init(struct relq *q, size_t size);
void relq_clear(struct relq *q);
/* False when it is full. */
bool relq_push(struct relq *q, struct mono due, void *what);
/* The next item, or NULL; valid until the queue changes. */
const struct relq_item *relq_top(const struct relq *q);
/* Takes the next item off; NULL when empty. */
void *relq_pop(struct relq *q);

#endif
