/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes that several answers share: one JSON text goes to every browser that
 * polls, and to each at its own speed. Counted references, one thread.
 */
#ifndef TWMESH_CONTROLLER_BLOB_H
#define TWMESH_CONTROLLER_BLOB_H

#include <stddef.h>
#include <stdint.h>

struct blob {
	unsigned refs;
	size_t len;
	uint8_t b[]; /* and a NUL */
};

/* A copy with one reference; NULL when out of memory. */
struct blob *blob_new(const void *bytes, size_t len);
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob *b); /* NULL is allowed */
/* The gzip form, or NULL when it would not be smaller (or no memory). */
struct blob *blob_gzip(const struct blob *b);

#endif
