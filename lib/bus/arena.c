/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_MIN ((size_t)8 << 10)
#define CHUNK_MAX ((size_t)256 << 10)
#define BUDGET_MIN ((size_t)1 << 20)
#define BUDGET_MAX ((size_t)16 << 20)
#define BUDGET_PER_OCTET 8

struct arena_chunk {
	struct arena_chunk *next; /* owned; older */
	size_t size, used;
	alignas(max_align_t) uint8_t bytes[];
};

size_t
arena_budget_for(size_t message_len)
{
	if (message_len >= BUDGET_MAX / BUDGET_PER_OCTET)
		return BUDGET_MAX;
	if (message_len <= BUDGET_MIN / BUDGET_PER_OCTET)
		return BUDGET_MIN;
	return message_len * BUDGET_PER_OCTET;
}

static void *
pb_alloc(void *arg, size_t n)
{
	return arena_alloc(arg, n);
}

static void
pb_free(void *arg, void *p)
{
	(void)arg;
	(void)p;
}

void
arena_init(struct arena *a, size_t budget)
{
	memset(a, 0, sizeof(*a));
	a->budget = budget;
	a->pb = (ProtobufCAllocator){pb_alloc, pb_free, a};
}

static struct arena_chunk *
chunk_new(const struct arena_chunk *last, size_t need)
{
	size_t size = last ? last->size * 2 : CHUNK_MIN;
	struct arena_chunk *c;

	if (size > CHUNK_MAX)
		size = CHUNK_MAX;
	if (size < need)
		size = need;
	c = calloc(1, sizeof(*c) + size);
	if (c)
		c->size = size;
	return c;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);
	struct arena_chunk *c = a->head;
	void *p;

	if (n > a->budget - a->used) {
		a->over_budget = true;
		return NULL;
	}
	n = n ? (n + align - 1) / align * align : align;
	if (n > a->budget - a->used) {
		a->over_budget = true;
		return NULL;
	}
	if (!c || n > c->size - c->used) {
		c = chunk_new(a->head, n);
		if (!c) {
			a->out_of_memory = true;
			return NULL;
		}
		c->next = a->head;
		a->head = c;
	}
	p = c->bytes + c->used;
	c->used += n;
	a->used += n;
	return p;
}

void *
arena_array(struct arena *a, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		a->over_budget = true;
		return NULL;
	}
	return arena_alloc(a, bytes);
}

void
arena_release(struct arena *a)
{
	while (a->head) {
		struct arena_chunk *next = a->head->next;

		free(a->head);
		a->head = next;
	}
}
