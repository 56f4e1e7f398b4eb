/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/pg/pgbuf.h"

#include <stdlib.h>

#define PGBUF_FIRST 4096

void
pgbuf_clear(struct pgbuf *b)
{
	free(b->p);
	*b = (struct pgbuf){NULL, 0, 0, false};
}

uint8_t *
pgbuf_room(struct pgbuf *b, size_t n)
{
	size_t size = b->size ? b->size : PGBUF_FIRST;
	uint8_t *p;

	if (b->failed)
		return NULL;
	if (b->size - b->len >= n)
		return b->p + b->len;
	while (size - b->len < n) {
		if (size > SIZE_MAX / 2)
			goto fail;
		size *= 2;
	}
	p = realloc(b->p, size);
	if (!p)
		goto fail;
	b->p = p;
	b->size = size;
	return b->p + b->len;
fail:
	b->failed = true;
	return NULL;
}

void
pgbuf_raw(struct pgbuf *b, const void *bytes, size_t n)
{
	uint8_t *p = pgbuf_room(b, n);

	if (!p)
		return;
	if (n > 0)
		memcpy(p, bytes, n);
	b->len += n;
}

void
pgbuf_raw32(struct pgbuf *b, uint32_t v)
{
	uint8_t *p = pgbuf_room(b, 4);

	if (!p)
		return;
	pg_store32(p, v);
	b->len += 4;
}

void
pgbuf_null(struct pgbuf *b)
{
	pgbuf_raw32(b, UINT32_MAX);
}

void
pgbuf_bool(struct pgbuf *b, bool v)
{
	uint8_t *p = pgbuf_room(b, 5);

	if (!p)
		return;
	pg_store32(p, 1);
	p[4] = v;
	b->len += 5;
}

void
pgbuf_i2(struct pgbuf *b, int16_t v)
{
	uint8_t *p = pgbuf_room(b, 6);

	if (!p)
		return;
	pg_store32(p, 2);
	pg_store16(p + 4, (uint16_t)v);
	b->len += 6;
}

void
pgbuf_i4(struct pgbuf *b, int32_t v)
{
	uint8_t *p = pgbuf_room(b, 8);

	if (!p)
		return;
	pg_store32(p, 4);
	pg_store32(p + 4, (uint32_t)v);
	b->len += 8;
}

void
pgbuf_i8(struct pgbuf *b, int64_t v)
{
	uint8_t *p = pgbuf_room(b, 12);

	if (!p)
		return;
	pg_store32(p, 8);
	pg_store64(p + 4, (uint64_t)v);
	b->len += 12;
}

void
pgbuf_f4(struct pgbuf *b, float v)
{
	uint8_t *p = pgbuf_room(b, 8);
	uint32_t bits;

	if (!p)
		return;
	memcpy(&bits, &v, sizeof(bits));
	pg_store32(p, 4);
	pg_store32(p + 4, bits);
	b->len += 8;
}

void
pgbuf_f8(struct pgbuf *b, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	pgbuf_i8(b, (int64_t)bits);
}

void
pgbuf_bytes(struct pgbuf *b, const void *bytes, size_t n)
{
	if (n > INT32_MAX) {
		b->failed = true;
		return;
	}
	pgbuf_raw32(b, (uint32_t)n);
	pgbuf_raw(b, bytes, n);
}

int64_t
pg_wall_to_us(struct wall w)
{
	int64_t us = w.ns / 1000 - (w.ns % 1000 < 0);

	return us - PG_EPOCH_US;
}

struct wall
pg_us_to_wall(int64_t us)
{
	if (us > INT64_MAX / 1000 - PG_EPOCH_US)
		return (struct wall){INT64_MAX};
	if (us < INT64_MIN / 1000 + 1)
		return (struct wall){INT64_MIN + 1};
	return (struct wall){(us + PG_EPOCH_US) * 1000};
}

void
pgbuf_wall(struct pgbuf *b, struct wall w)
{
	pgbuf_i8(b, pg_wall_to_us(w));
}

void
pgbuf_array(struct pgbuf *b, uint32_t elem, size_t n)
{
	pgbuf_raw32(b, n > 0); /* dimensions */
	pgbuf_raw32(b, 1);     /* NULLs may occur */
	pgbuf_raw32(b, elem);
	if (n == 0)
		return;
	if (n > INT32_MAX)
		b->failed = true;
	pgbuf_raw32(b, (uint32_t)n);
	pgbuf_raw32(b, 1); /* lower bound */
}

static uint64_t
load_be(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static bool
take32(struct pgarray *a, uint32_t *v)
{
	if (a->left < 4)
		return false;
	*v = (uint32_t)load_be(a->p, 4);
	a->p += 4;
	a->left -= 4;
	return true;
}

bool
pgarray_open(struct pgarray *a, const void *bytes, size_t len, uint32_t elem)
{
	struct pgarray t = {.p = bytes, .left = len};
	uint32_t dims, nulls, type, n, low;

	if (!bytes || !take32(&t, &dims) || !take32(&t, &nulls) ||
	    !take32(&t, &type) || dims > 1 || nulls > 1 || type != elem)
		return false;
	if (dims == 1) {
		if (!take32(&t, &n) || !take32(&t, &low) || low != 1 ||
		    n > t.left / 4)
			return false;
		t.n = n;
	}
	*a = t;
	return true;
}

bool
pgarray_next(struct pgarray *a, const uint8_t **bytes, size_t *len)
{
	uint32_t n;

	if (a->done >= a->n || !take32(a, &n))
		return false;
	a->done++;
	*bytes = NULL;
	*len = 0;
	if (n == UINT32_MAX)
		return true;
	if (n > a->left) {
		a->done = a->n;
		return false;
	}
	*bytes = a->p;
	*len = n;
	a->p += n;
	a->left -= n;
	return true;
}

int64_t
pgarray_next_i64(struct pgarray *a, int64_t missing)
{
	const uint8_t *p;
	size_t n;

	if (!pgarray_next(a, &p, &n) || !p)
		return missing;
	switch (n) {
	case 1:
		return p[0];
	case 2:
		return (int16_t)load_be(p, 2);
	case 4:
		return (int32_t)load_be(p, 4);
	case 8:
		return (int64_t)load_be(p, 8);
	default:
		return missing;
	}
}

float
pgarray_next_f4(struct pgarray *a, float missing)
{
	const uint8_t *p;
	size_t n;
	uint32_t bits;
	float v;

	if (!pgarray_next(a, &p, &n) || !p || n != 4)
		return missing;
	bits = (uint32_t)load_be(p, 4);
	memcpy(&v, &bits, sizeof(v));
	return v;
}
