/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for coding one message: allocated in chunks, freed at once, and
 * bounded by a budget, because 1 MiB of empty submessages would otherwise
 * unpack to 159 MB in 524,000 mallocs. It serves as the allocator of
 * protobuf-c (whose frees do nothing here). Inside lib/bus only.
 */
#ifndef TWMESH_BUS_ARENA_H
#define TWMESH_BUS_ARENA_H

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *head; /* owned; the newest */
	size_t budget, used;      /* octets given out */
	bool over_budget;         /* sticky: an allocation was refused */
	bool out_of_memory;       /* sticky */
	ProtobufCAllocator pb;    /* points back here: do not move */
};

void arena_init(struct arena *a, size_t budget);
/* 8 octets for each of the message's, at least 1 MiB (a submessage of 20
 * octets needs 200), at most 16 MiB. */
size_t arena_budget_for(size_t message_len);
/* Zeroed, aligned for anything; NULL when over budget or out of memory. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_array(struct arena *a, size_t n, size_t size);
void arena_release(struct arena *a);

#endif
