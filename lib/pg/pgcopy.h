/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A binary COPY: its head, rows of values put by pgbuf_*(), its end. Full
 * buffers go out while the next rows are encoded, so that client and server
 * work side by side.
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
	int columns;
};

bool pgcopy_begin(struct pgcopy *w, struct pgc *conn, const char *sql,
                  int columns, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Starts a row; sends what has gathered when it is enough. */
bool pgcopy_row(struct pgcopy *w, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Sends the rest and waits for the server's count. */
bool pgcopy_end(struct pgcopy *w, long *rows, struct pgc_err *err)
    __attribute__((warn_unused_result));
void pgcopy_clear(struct pgcopy *w);

#endif
