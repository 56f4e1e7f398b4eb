/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one bounds-checked reader and writer of bytes in network order. A
 * cursor that ran past its end stays `failed`; reads then give 0 and writes do
 * nothing, so that a decoder checks once, at the end.
 */
#ifndef TWMESH_BASE_CURSOR_H
#define TWMESH_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rcursor {
	const uint8_t *p; /* borrowed: next octet to read */
	size_t left;      /* octets left */
	bool failed;
};

struct wcursor {
	uint8_t *p; /* borrowed: next octet to write */
	size_t left;
	bool failed;
};

static inline struct rcursor
rcursor_init(const void *bytes, size_t len)
{
	return (struct rcursor){(const uint8_t *)bytes, len, false};
}

static inline const uint8_t *
rcursor_take(struct rcursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->failed || n > c->left) {
		c->failed = true;
		return NULL;
	}
	c->p += n;
	c->left -= n;
	return p;
}

static inline void
rcursor_skip(struct rcursor *c, size_t n)
{
	(void)rcursor_take(c, n);
}

static inline uint64_t
rcursor_be(struct rcursor *c, size_t n)
{
	const uint8_t *p = rcursor_take(c, n);
	uint64_t v = 0;

	if (!p)
		return 0;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static inline uint8_t
rcursor_u8(struct rcursor *c)
{
	return (uint8_t)rcursor_be(c, 1);
}

static inline uint16_t
rcursor_u16(struct rcursor *c)
{
	return (uint16_t)rcursor_be(c, 2);
}

static inline uint32_t
rcursor_u32(struct rcursor *c)
{
	return (uint32_t)rcursor_be(c, 4);
}

static inline uint64_t
rcursor_u64(struct rcursor *c)
{
	return rcursor_be(c, 8);
}

static inline struct wcursor
wcursor_init(void *bytes, size_t len)
{
	return (struct wcursor){(uint8_t *)bytes, len, false};
}

static inline uint8_t *
wcursor_take(struct wcursor *c, size_t n)
{
	uint8_t *p = c->p;

	if (c->failed || n > c->left) {
		c->failed = true;
		return NULL;
	}
	c->p += n;
	c->left -= n;
	return p;
}

static inline void
wcursor_be(struct wcursor *c, uint64_t v, size_t n)
{
	uint8_t *p = wcursor_take(c, n);

	if (!p)
		return;
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static inline void
wcursor_u8(struct wcursor *c, uint8_t v)
{
	wcursor_be(c, v, 1);
}

static inline void
wcursor_u16(struct wcursor *c, uint16_t v)
{
	wcursor_be(c, v, 2);
}

static inline void
wcursor_u32(struct wcursor *c, uint32_t v)
{
	wcursor_be(c, v, 4);
}

static inline void
wcursor_u64(struct wcursor *c, uint64_t v)
{
	wcursor_be(c, v, 8);
}

static inline void
wcursor_bytes(struct wcursor *c, const void *src, size_t n)
{
	uint8_t *p = wcursor_take(c, n);

	if (p && n)
		memcpy(p, src, n);
}

static inline void
wcursor_zero(struct wcursor *c, size_t n)
{
	uint8_t *p = wcursor_take(c, n);

	if (p && n)
		memset(p, 0, n);
}

#endif
