/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/pg/pgcopy.h"

#include <stdio.h>

/* Enough to be worth a system call, little enough to stay in the cache. */
#define SEND_AT (64U << 10)

static const uint8_t head[] = {'P',  'G',  'C',  'O', 'P', 'Y', '\n',
                               0xff, '\r', '\n', 0,   0,   0,   0,
                               0,    0,    0,    0,   0};

bool
pgcopy_begin(struct pgcopy *w, struct pgc *conn, const char *sql, int columns,
             struct pgc_err *err)
{
	w->conn = conn;
	w->columns = columns;
	w->buf.len = 0;
	w->buf.failed = false;
	pgbuf_raw(&w->buf, head, sizeof(head));
	return !conn || pgc_copy_begin(conn, sql, err);
}

static bool
send_out(struct pgcopy *w, struct pgc_err *err)
{
	if (w->buf.failed) {
		if (err)
			snprintf(err->text, sizeof(err->text), "%s",
			         "out of memory for COPY");
		return false;
	}
	if (!w->conn)
		return true;
	if (!pgc_copy_put(w->conn, w->buf.p, w->buf.len, err))
		return false;
	w->buf.len = 0;
	return true;
}

bool
pgcopy_row(struct pgcopy *w, struct pgc_err *err)
{
	uint8_t *p;

	if (w->buf.len >= SEND_AT && !send_out(w, err))
		return false;
	p = pgbuf_room(&w->buf, 2);
	if (!p)
		return send_out(w, err);
	pg_store16(p, (uint16_t)w->columns);
	w->buf.len += 2;
	return true;
}

bool
pgcopy_end(struct pgcopy *w, long *rows, struct pgc_err *err)
{
	uint8_t *p = pgbuf_room(&w->buf, 2);

	if (p) {
		pg_store16(p, 0xffff);
		w->buf.len += 2;
	}
	if (!send_out(w, err)) {
		/* End the COPY, so that the connection can go on. */
		if (w->conn && pgc_ok(w->conn))
			(void)!pgc_copy_end(w->conn, "client error", NULL,
			                    NULL);
		return false;
	}
	return !w->conn || pgc_copy_end(w->conn, NULL, rows, err);
}

void
pgcopy_clear(struct pgcopy *w)
{
	pgbuf_clear(&w->buf);
	*w = (struct pgcopy){NULL, {NULL, 0, 0, false}, 0};
}
