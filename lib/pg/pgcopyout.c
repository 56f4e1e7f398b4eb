/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server sends a row per message, the head with the first; nothing here
 * relies on it. Octets are gathered until a row is whole.
 */
#include "lib/pg/pgcopyout.h"

#include <stdio.h>

static const uint8_t signature[] = {'P',  'G',  'C',  'O',  'P', 'Y',
                                    '\n', 0xff, '\r', '\n', 0};
/* Signature, flags, length of the extension (none is known). */
#define HEAD_BYTES (sizeof(signature) + 8)

static uint32_t
load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static bool
malformed(struct pgc_err *err)
{
	*err = (struct pgc_err){.text = "the COPY's octets are malformed"};
	return false;
}

bool
pgcopyout_begin(struct pgcopyout *r, struct pgc *conn, const char *sql,
                struct pgc_err *err)
{
	r->conn = conn;
	r->buf.len = r->at = r->fields = 0;
	r->buf.failed = r->headed = r->ended = false;
	return pgc_copy_out_begin(conn, sql, err);
}

/* More octets; what was taken makes room. */
static bool
fill(struct pgcopyout *r, struct pgc_err *err)
{
	const void *bytes;
	size_t len;

	if (r->at > 0) {
		memmove(r->buf.p, r->buf.p + r->at, r->buf.len - r->at);
		r->buf.len -= r->at;
		r->at = 0;
	}
	if (!pgc_copy_out_get(r->conn, &bytes, &len, err))
		return false;
	r->ended = len == 0;
	if (len > 0)
		pgbuf_raw(&r->buf, bytes, len);
	if (!r->buf.failed)
		return true;
	*err = (struct pgc_err){.text = "out of memory"};
	return false;
}

/* Takes the head: 1, 0 when it is not whole, -1 when it is none. */
static int
take_head(struct pgcopyout *r)
{
	if (r->headed)
		return 1;
	if (r->buf.len < HEAD_BYTES)
		return 0;
	if (memcmp(r->buf.p, signature, sizeof(signature)) != 0 ||
	    load32(r->buf.p + sizeof(signature) + 4) != 0)
		return -1;
	r->at = HEAD_BYTES;
	r->headed = true;
	return 1;
}

/* A whole row: 1, not whole: 0, malformed: -1, the last mark: 2. */
static int
take_row(struct pgcopyout *r)
{
	const uint8_t *p = r->buf.p;
	size_t at = r->at, n;

	if (r->buf.len - at < 2)
		return 0;
	n = (size_t)p[at] << 8 | p[at + 1];
	at += 2;
	if (n == 0xffff) {
		r->at = at;
		return 2;
	}
	if (n > PGCOPYOUT_FIELDS)
		return -1;
	for (size_t i = 0; i < n; i++) {
		uint32_t len;

		if (r->buf.len - at < 4)
			return 0;
		len = load32(p + at);
		at += 4;
		r->field[i].null = len == UINT32_MAX;
		r->field[i].at = at;
		r->field[i].len = r->field[i].null ? 0 : len;
		if (r->field[i].len > INT32_MAX)
			return -1;
		if (r->buf.len - at < r->field[i].len)
			return 0;
		at += r->field[i].len;
	}
	r->at = at;
	r->fields = n;
	return 1;
}

bool
pgcopyout_row(struct pgcopyout *r, bool *more, struct pgc_err *err)
{
	for (;;) {
		int got = take_head(r);

		if (got == 1)
			got = take_row(r);
		if (got < 0)
			return malformed(err);
		if (got == 1) {
			*more = true;
			return true;
		}
		if (r->ended)
			return malformed(err);
		if (!fill(r, err))
			return false;
		if (got == 2) { /* behind the last mark nothing comes */
			*more = false;
			return r->ended || malformed(err);
		}
	}
}

const uint8_t *
pgcopyout_bytes(const struct pgcopyout *r, size_t i, size_t *len)
{
	if (i >= r->fields || r->field[i].null) {
		*len = 0;
		return NULL;
	}
	*len = r->field[i].len;
	return r->buf.p + r->field[i].at;
}

int64_t
pgcopyout_i64(const struct pgcopyout *r, size_t i, int64_t missing)
{
	size_t len;
	const uint8_t *p = pgcopyout_bytes(r, i, &len);
	uint64_t v = 0;

	if (!p || (len != 2 && len != 4 && len != 8))
		return missing;
	for (size_t k = 0; k < len; k++)
		v = v << 8 | p[k];
	if (len == 2)
		return (int16_t)v;
	return len == 4 ? (int32_t)v : (int64_t)v;
}

float
pgcopyout_f4(const struct pgcopyout *r, size_t i, float missing)
{
	size_t len;
	const uint8_t *p = pgcopyout_bytes(r, i, &len);
	uint32_t bits;
	float v;

	if (!p || len != sizeof(v))
		return missing;
	bits = load32(p);
	memcpy(&v, &bits, sizeof(v));
	return v;
}

void
pgcopyout_clear(struct pgcopyout *r)
{
	pgbuf_clear(&r->buf);
	r->fields = 0;
}
