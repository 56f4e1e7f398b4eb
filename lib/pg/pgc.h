/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PostgreSQL connection for threads that may block, but never for ever.
 * Every wait has an end: connecting (connect_timeout), the network
 * (tcp_user_timeout, keepalives), the server's work (statement_timeout,
 * lock_timeout, idle_in_transaction_session_timeout), and, because a stopped
 * server obeys none of these, a deadline of our own on each answer and each
 * write. A connection that missed it is dead: close it and open another.
 *
 * One connection belongs to one thread. libpq's types never leave lib/pg.
 * Nothing here logs: errors come back as one clear line without control
 * characters, and never hold a password.
 */
#ifndef TWMESH_PG_PGC_H
#define TWMESH_PG_PGC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PGC_TEXT_MAX 400

struct pgc;

struct pgc_err {
	char sqlstate[6];        /* "" when the fault is not the server's */
	char text[PGC_TEXT_MAX]; /* one line; never empty after a failure */
	unsigned position; /* character in the statement, from 1; 0: none */
};
/* The fault lies in the data that was sent (SQLSTATE class 22 or 23), not in
 * the database's own state. */
bool pgc_err_is_data(const struct pgc_err *e);

struct pgc_opts {
	int connect_timeout_s;
	int statement_timeout_ms; /* of the server; ours is 5 s longer */
	int lock_timeout_ms;
	int idle_in_transaction_ms;
	bool read_only;
};
/* 5 s, 30 s, 2 s, 30 s, read-write. */
extern const struct pgc_opts pgc_opts_default;

/* `conninfo` is a libpq connection string or URI; what it says goes before our
 * defaults. opts may be NULL. NULL, and err, when it fails. */
struct pgc *pgc_open(const char *conninfo, const char *application_name,
                     const struct pgc_opts *opts, struct pgc_err *err);
void pgc_close(struct pgc *c); /* NULL is allowed */
/* False once the connection is lost; it does not come back. */
bool pgc_ok(const struct pgc *c);
int pgc_fd(const struct pgc *c);
int pgc_server_version(const struct pgc *c); /* 150013 */
/* Asks the server to give up the statement under way. The one call that
 * another thread may make, as long as nobody closes the connection. */
void pgc_cancel(struct pgc *c);

/* A parameter: text, or binary of a known type (lib/pg/pgbuf.h). */
struct pgc_param {
	const void *data; /* borrowed; NULL: SQL NULL */
	size_t len;       /* of binary data; text ends with NUL */
	uint32_t type;    /* PG_OID_*; 0: the server infers it */
	bool binary;
};

/* One or several statements without parameters, without results. */
bool pgc_exec(struct pgc *c, const char *sql, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* One statement with text parameters. affected may be NULL. */
bool pgc_exec_params(struct pgc *c, const char *sql, int nparams,
                     const char *const *params, long *affected,
                     struct pgc_err *err) __attribute__((warn_unused_result));

/* The first column of the first row as malloc'd text in *out; NULL there for
 * SQL NULL or no row. */
bool pgc_query_text(struct pgc *c, const char *sql, int nparams,
                    const char *const *params, char **out, struct pgc_err *err)
    __attribute__((warn_unused_result));

/* Whole results. */
struct pgc_rows;
bool pgc_query(struct pgc *c, const char *sql, int nparams,
               const char *const *params, struct pgc_rows **out,
               struct pgc_err *err) __attribute__((warn_unused_result));
/* A prepared statement by name; the result in binary when asked. */
bool pgc_prepare(struct pgc *c, const char *name, const char *sql,
                 struct pgc_err *err) __attribute__((warn_unused_result));
bool pgc_run(struct pgc *c, const char *name, int nparams,
             const struct pgc_param *params, bool binary_result,
             struct pgc_rows **out, long *affected, struct pgc_err *err)
    __attribute__((warn_unused_result));

/* The same in a transaction that it begins, BEGIN and statement in one round
 * trip. When the statement fails, the transaction is to be rolled back. */
bool pgc_begin_run(struct pgc *c, const char *name, int nparams,
                   const struct pgc_param *params, bool binary_result,
                   struct pgc_rows **out, struct pgc_err *err)
    __attribute__((warn_unused_result));

/* A pipeline of prepared statements without results: each is sent without
 * waiting for the one before, so that the server works while the caller
 * prepares the next. pgc_pipe_end() waits for all n and writes how many rows
 * each affected; false if one failed (err tells of the first). It must follow
 * a pipe_begin that succeeded, whatever happened in between. */
bool pgc_pipe_begin(struct pgc *c, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool pgc_pipe_run(struct pgc *c, const char *name, int nparams,
                  const struct pgc_param *params, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool pgc_pipe_end(struct pgc *c, size_t n, long *affected, struct pgc_err *err)
    __attribute__((warn_unused_result));

void pgc_rows_free(struct pgc_rows *r); /* NULL is allowed */
int pgc_rows_n(const struct pgc_rows *r);
/* Text (NUL-terminated) or binary octets; NULL for SQL NULL. Borrowed. */
const char *pgc_value(const struct pgc_rows *r, int row, int col);
size_t pgc_value_len(const struct pgc_rows *r, int row, int col);
/* A text bytea ("\x…") of exactly n octets. */
bool pgc_value_bytes(const struct pgc_rows *r, int row, int col, uint8_t *out,
                     size_t n) __attribute__((warn_unused_result));
/* A decimal integer; `missing` for NULL or anything else. */
int64_t pgc_value_i64(const struct pgc_rows *r, int row, int col,
                      int64_t missing);
bool pgc_value_bool(const struct pgc_rows *r, int row, int col);

/* COPY … FROM STDIN; see pgcopy.h for the usual way. */
bool pgc_copy_begin(struct pgc *c, const char *sql, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool pgc_copy_put(struct pgc *c, const void *bytes, size_t len,
                  struct pgc_err *err) __attribute__((warn_unused_result));
/* Takes what the server has room for now, without waiting; *taken octets. */
bool pgc_copy_offer(struct pgc *c, const void *bytes, size_t len, size_t *taken,
                    struct pgc_err *err) __attribute__((warn_unused_result));
/* `abort_reason` NULL: commit the copy; else make it fail. */
bool pgc_copy_end(struct pgc *c, const char *abort_reason, long *rows,
                  struct pgc_err *err) __attribute__((warn_unused_result));

/* COPY … TO STDOUT; see pgcopyout.h for the usual way. The next portion,
 * borrowed until the next call; *len 0 at the end. */
bool pgc_copy_out_begin(struct pgc *c, const char *sql, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool pgc_copy_out_get(struct pgc *c, const void **bytes, size_t *len,
                      struct pgc_err *err) __attribute__((warn_unused_result));

/* A waiting notification, if any; never blocks. Payloads are hints: any user
 * of the database may send them. */
bool pgc_notify_take(struct pgc *c, char *payload, size_t size);

/* Notices and warnings of the server, one line each. */
void pgc_on_notice(struct pgc *c, void (*fn)(void *arg, const char *line),
                   void *arg);

#endif
