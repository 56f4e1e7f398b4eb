/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a binary COPY … TO STDOUT row by row. Every length is checked: a
 * stream that is none ends with an error, and the connection is then to be
 * closed (the rest of the COPY is still in it).
 *
 *   pgcopyout_begin(&r, conn, "COPY (…) TO STDOUT (FORMAT binary)", &e)
 *   while (pgcopyout_row(&r, &more, &e) && more)
 *           pgcopyout_i64(&r, 0, 0), pgcopyout_f4(&r, 1, NAN) …
 *   pgcopyout_clear(&r)
 */
#ifndef TWMESH_PG_PGCOPYOUT_H
#define TWMESH_PG_PGCOPYOUT_H

#include "lib/pg/pgbuf.h"
#include "lib/pg/pgc.h"

#define PGCOPYOUT_FIELDS 64

struct pgcopyout {
	struct pgc *conn; /* borrowed */
	struct pgbuf buf; /* owned */
	size_t at;        /* start of what was not taken yet */
	bool headed;      /* the head of the stream was taken */
	bool ended;
	size_t fields; /* of the row */
	struct {
		size_t at;
		size_t len;
		bool null;
	} field[PGCOPYOUT_FIELDS];
};

bool pgcopyout_begin(struct pgcopyout *r, struct pgc *conn, const char *sql,
                     struct pgc_err *err) __attribute__((warn_unused_result));
/* The next row; *more false: there is none, the COPY is over. */
bool pgcopyout_row(struct pgcopyout *r, bool *more, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Octets of a field, borrowed until the next row; NULL for SQL NULL or past
 * the last field. */
const uint8_t *pgcopyout_bytes(const struct pgcopyout *r, size_t i,
                               size_t *len);
/* An integer of 2, 4 or 8 octets; `missing` for NULL or another length. */
int64_t pgcopyout_i64(const struct pgcopyout *r, size_t i, int64_t missing);
float pgcopyout_f4(const struct pgcopyout *r, size_t i, float missing);
void pgcopyout_clear(struct pgcopyout *r);

#endif
