/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/pg/pgcopy.h"

#include <stdio.h>

/* New octets that are worth a system call. */
#define PUMP_AT ((size_t)32 << 10)
/* This far ahead of the server a caller may be before it waits. */
#define AHEAD_MAX ((size_t)8 << 20)

static const uint8_t head[] = {'P',  'G',  'C',  'O', 'P', 'Y', '\n',
                               0xff, '\r', '\n', 0,   0,   0,   0,
                               0,    0,    0,    0,   0};

bool
pgcopy_begin(struct pgcopy *w, struct pgc *conn, const char *sql, int columns,
             struct pgc_err *err)
{
	w->conn = conn;
	w->columns = columns;
	w->buf.len = w->sent = w->offered = 0;
	w->buf.failed = false;
	pgbuf_raw(&w->buf, head, sizeof(head));
	return !conn || pgc_copy_begin(conn, sql, err);
}

static bool
is_whole(const struct pgcopy *w, struct pgc_err *err)
{
	if (w->buf.failed && err)
		(void)snprintf(err->text, sizeof(err->text), "%s",
		               "out of memory for COPY");
	return !w->buf.failed;
}

bool
pgcopy_pump(struct pgcopy *w, struct pgc_err *err)
{
	size_t taken;

	if (!is_whole(w, err))
		return false;
	w->offered = w->buf.len;
	if (!w->conn)
		return true;
	do {
		if (!pgc_copy_offer(w->conn, w->buf.p + w->sent,
		                    w->buf.len - w->sent, &taken, err))
			return false;
		w->sent += taken;
	} while (taken > 0);
	if (w->sent == w->buf.len)
		w->buf.len = w->sent = w->offered = 0;
	return true;
}

static bool
send_all(struct pgcopy *w, struct pgc_err *err)
{
	if (!is_whole(w, err))
		return false;
	if (!w->conn)
		return true;
	if (!pgc_copy_put(w->conn, w->buf.p + w->sent, w->buf.len - w->sent,
	                  err))
		return false;
	w->buf.len = w->sent = w->offered = 0;
	return true;
}

bool
pgcopy_row(struct pgcopy *w, struct pgc_err *err)
{
	uint8_t *p;

	if (w->buf.len - w->offered >= PUMP_AT && !pgcopy_pump(w, err))
		return false;
	if (w->conn && w->buf.len - w->sent >= AHEAD_MAX && !send_all(w, err))
		return false;
	p = pgbuf_room(&w->buf, 2);
	if (!p)
		return is_whole(w, err);
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
	if (!send_all(w, err)) {
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
	*w = (struct pgcopy){.conn = NULL};
}
