/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A binary COPY: its head, rows of values put by pgbuf_*(), its end. Octets go
 * out as the server takes them, while the next rows are encoded, so that
 * client and server work side by side. What the server has not taken yet is
 * held here, at most some MiB: libpq alone would hold everything (191 MB
 * against a stopped server). A caller with other work to do in between pumps
 * now and then.
 *
 *   pgcopy_begin(&w, conn, "COPY t (a, b) FROM STDIN (FORMAT binary)", 2, &e)
 *   for each row: pgcopy_row(&w, &e); pgbuf_i4(&w.buf, …); pgbuf_f4(&w.buf, …)
 *   pgcopy_end(&w, &rows, &e)
 */
#ifndef TWMESH_PG_PGCOPY_H
#define TWMESH_PG_PGCOPY_H

#include "lib/pg/pgbuf.h"
#include "lib/pg/pgc.h"

struct pgcopy {
	struct pgc *conn; /* borrowed; NULL: encode only (tests, benches) */
	struct pgbuf buf; /* owned; kept from one COPY to the next */
	size_t sent;      /* octets of buf that were taken */
	size_t offered;   /* length of buf at the last pump */
	int columns;
};

bool pgcopy_begin(struct pgcopy *w, struct pgc *conn, const char *sql,
                  int columns, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Sends what the server takes without waiting. */
bool pgcopy_pump(struct pgcopy *w, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Starts a row; sends what has gathered when it is enough. */
bool pgcopy_row(struct pgcopy *w, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Sends the rest and waits for the server's count. */
bool pgcopy_end(struct pgcopy *w, long *rows, struct pgc_err *err)
    __attribute__((warn_unused_result));
void pgcopy_clear(struct pgcopy *w);

#endif
