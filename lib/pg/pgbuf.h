/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PostgreSQL's binary form of values: a growing buffer with typed put
 * functions, used for the rows of a binary COPY (pgcopy.h) and for array
 * parameters; and the reading of arrays. Each put writes the field's length
 * and the value in network order. Out of memory is remembered (`failed`) and
 * asked for once, at the end.
 */
#ifndef TWMESH_PG_PGBUF_H
#define TWMESH_PG_PGBUF_H

#include "lib/base/clock.h"

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Type numbers of pg_type, fixed for all of PostgreSQL's life. */
#define PG_OID_BOOL 16
#define PG_OID_BYTEA 17
#define PG_OID_INT8 20
#define PG_OID_INT2 21
#define PG_OID_INT4 23
#define PG_OID_TEXT 25
#define PG_OID_FLOAT4 700
#define PG_OID_FLOAT8 701
#define PG_OID_TIMESTAMPTZ 1184
#define PG_OID_UUID 2950
#define PG_OID_BOOL_A 1000
#define PG_OID_BYTEA_A 1001
#define PG_OID_INT2_A 1005
#define PG_OID_INT4_A 1007
#define PG_OID_TEXT_A 1009
#define PG_OID_INT8_A 1016
#define PG_OID_FLOAT4_A 1021
#define PG_OID_TIMESTAMPTZ_A 1185
#define PG_OID_UUID_A 2951

/* PostgreSQL counts microseconds since 2000-01-01; Unix since 1970. */
#define PG_EPOCH_US INT64_C(946684800000000)

struct pgbuf {
	uint8_t *p; /* owned */
	size_t len, size;
	bool failed; /* out of memory: contents are worthless */
};

void pgbuf_clear(struct pgbuf *b); /* frees; usable again */
/* Room for n more octets at b->p + b->len; NULL and failed otherwise. */
uint8_t *pgbuf_room(struct pgbuf *b, size_t n);

static inline void
pg_store16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void
pg_store32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void
pg_store64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

/* Raw, without a length. */
void pgbuf_raw(struct pgbuf *b, const void *bytes, size_t n);
void pgbuf_raw32(struct pgbuf *b, uint32_t v);

void pgbuf_null(struct pgbuf *b);
void pgbuf_bool(struct pgbuf *b, bool v);
void pgbuf_i2(struct pgbuf *b, int16_t v);
void pgbuf_i4(struct pgbuf *b, int32_t v);
void pgbuf_i8(struct pgbuf *b, int64_t v);
void pgbuf_f4(struct pgbuf *b, float v);
void pgbuf_f8(struct pgbuf *b, double v);
void pgbuf_bytes(struct pgbuf *b, const void *bytes, size_t n); /* also text */
void pgbuf_wall(struct pgbuf *b, struct wall w); /* timestamptz */
int64_t pg_wall_to_us(struct wall w);            /* since 2000, floor */
struct wall pg_us_to_wall(int64_t us);           /* saturates */

/* The head of a one-dimensional array of n elements of type `elem`; the
 * elements follow by n put calls. */
void pgbuf_array(struct pgbuf *b, uint32_t elem, size_t n);

/*
 * Reading a one-dimensional binary array, element by element.
 */
struct pgarray {
	const uint8_t *p; /* borrowed: next element */
	size_t left;
	size_t n;    /* elements in all */
	size_t done; /* elements taken */
};
/* False when the octets are no such array of `elem` (or NULL). An empty array
 * has n = 0. */
bool pgarray_open(struct pgarray *a, const void *bytes, size_t len,
                  uint32_t elem) __attribute__((warn_unused_result));
/* The next element: its octets and length; *bytes NULL for SQL NULL. False
 * past the end or on malformed octets. */
bool pgarray_next(struct pgarray *a, const uint8_t **bytes, size_t *len)
    __attribute__((warn_unused_result));
/* The same for integers of 1, 2, 4 or 8 octets, sign extended; `missing` for
 * NULL, and once the array is exhausted or malformed. */
int64_t pgarray_next_i64(struct pgarray *a, int64_t missing);
float pgarray_next_f4(struct pgarray *a, float missing);

#endif
