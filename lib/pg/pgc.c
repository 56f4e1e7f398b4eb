/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libpq in non-blocking mode under poll(2), so that each wait has a deadline
 * by our own clock. A missed deadline or a lost connection marks the whole
 * connection dead; the server sees it close and rolls back.
 */
#include "lib/pg/pgc.h"

#include "lib/base/clock_read.h"
#include "lib/base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

/* The server cancels at statement_timeout; we give it this much longer. */
#define ANSWER_GRACE_NS (5 * NS_PER_S)

/* libpq moves what a partial write left over: small portions keep that cheap.
 */
#define COPY_PORTION ((size_t)64 << 10)

struct pgc {
	PGconn *pq;       /* owned */
	PGcancel *cancel; /* owned */
	char *portion;    /* owned; of a COPY TO STDOUT; NULL: none */
	bool dead;
	int64_t patience_ns; /* longest wait for one answer */
	void (*on_notice)(void *arg, const char *line);
	void *notice_arg;
};

struct pgc_rows {
	PGresult *res; /* owned */
};

const struct pgc_opts pgc_opts_default = {
    .connect_timeout_s = 5,
    .statement_timeout_ms = 30000,
    .lock_timeout_ms = 2000,
    .idle_in_transaction_ms = 30000,
};

bool
pgc_err_is_data(const struct pgc_err *e)
{
	return e->sqlstate[0] == '2' &&
	       (e->sqlstate[1] == '2' || e->sqlstate[1] == '3');
}

/* One line without trailing space and control characters. */
static void
one_line(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; text && *text && n + 1 < size; text++) {
		char ch = *text == '\n' || *text == '\t' ? ' ' : *text;

		if (ch == ' ' && (n == 0 || out[n - 1] == ' '))
			continue;
		out[n++] = ch;
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
	text_make_printable(out);
}

static bool
fail_text(struct pgc_err *err, const char *text)
{
	if (!err)
		return false;
	*err = (struct pgc_err){.position = 0};
	one_line(err->text, sizeof(err->text), text);
	if (!err->text[0])
		snprintf(err->text, sizeof(err->text), "%s",
		         "the database connection failed");
	return false;
}

static bool
fail_dead(struct pgc *c, struct pgc_err *err, const char *text)
{
	c->dead = true;
	return fail_text(err, text);
}

static bool
fail_conn(struct pgc *c, struct pgc_err *err)
{
	if (PQstatus(c->pq) != CONNECTION_OK)
		c->dead = true;
	return fail_text(err, PQerrorMessage(c->pq));
}

static bool
fail_result(struct pgc *c, const PGresult *res, struct pgc_err *err)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
	const char *where = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);
	char line[2 * PGC_TEXT_MAX];

	if (PQstatus(c->pq) != CONNECTION_OK)
		c->dead = true;
	if (!err)
		return false;
	if (!text)
		return fail_text(err, PQresultErrorMessage(res));
	snprintf(line, sizeof(line), "%s%s%s", text, detail ? ": " : "",
	         detail ? detail : "");
	fail_text(err, line);
	if (state)
		snprintf(err->sqlstate, sizeof(err->sqlstate), "%.5s", state);
	if (where)
		err->position = (unsigned)strtoul(where, NULL, 10);
	return false;
}

static void
notice_receive(void *arg, const PGresult *res)
{
	const struct pgc *c = arg;
	char line[PGC_TEXT_MAX];
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (!c->on_notice || !text)
		return;
	one_line(line, sizeof(line), text);
	c->on_notice(c->notice_arg, line);
}

void
pgc_on_notice(struct pgc *c, void (*fn)(void *arg, const char *line), void *arg)
{
	c->on_notice = fn;
	c->notice_arg = arg;
}

/* Milliseconds for poll until `end`, at least 0. */
static int
left_ms(struct mono end)
{
	int64_t ns = mono_diff_ns(end, clock_mono());

	if (ns <= 0)
		return 0;
	return ns > 3600 * NS_PER_S ? 3600 * 1000 : (int)(ns / NS_PER_MS) + 1;
}

/* Waits for the socket; false when the deadline passed or it broke. */
static bool
wait_socket(struct pgc *c, short events, struct mono end, struct pgc_err *err)
{
	struct pollfd p = {.fd = PQsocket(c->pq), .events = events};

	if (p.fd < 0)
		return fail_dead(c, err, PQerrorMessage(c->pq));
	for (;;) {
		int ms = left_ms(end);
		int n = poll(&p, 1, ms);

		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return fail_dead(c, err,
			                 "poll failed on the database "
			                 "connection");
		if (n == 0 && left_ms(end) == 0)
			return fail_dead(c, err,
			                 "the database does not answer (our "
			                 "own deadline)");
	}
}

static bool
flush_out(struct pgc *c, struct pgc_err *err)
{
	struct mono end = mono_add_ns(clock_mono(), c->patience_ns);
	int r;

	while ((r = PQflush(c->pq)) == 1) {
		if (!wait_socket(c, POLLIN | POLLOUT, end, err))
			return false;
		if (!PQconsumeInput(c->pq))
			return fail_dead(c, err, PQerrorMessage(c->pq));
	}
	return r == 0 || fail_conn(c, err);
}

/* The next result, or NULL in *res when the command is through. */
static bool
next_result(struct pgc *c, PGresult **res, struct pgc_err *err)
{
	struct mono end = mono_add_ns(clock_mono(), c->patience_ns);

	while (PQisBusy(c->pq)) {
		if (!wait_socket(c, POLLIN, end, err))
			return false;
		if (!PQconsumeInput(c->pq))
			return fail_dead(c, err, PQerrorMessage(c->pq));
	}
	*res = PQgetResult(c->pq);
	return true;
}

/*
 * Reads all results of a command; the last good one goes to *keep (if not
 * NULL). The first error wins.
 */
static bool
drain(struct pgc *c, PGresult **keep, struct pgc_err *err)
{
	PGresult *last = NULL;
	bool ok = true;

	for (;;) {
		PGresult *res = NULL;
		ExecStatusType st;

		if (!next_result(c, &res, ok ? err : NULL)) {
			ok = false;
			break;
		}
		if (!res)
			break;
		st = PQresultStatus(res);
		if (st == PGRES_COMMAND_OK || st == PGRES_TUPLES_OK) {
			PQclear(last);
			last = res;
			continue;
		}
		if (st == PGRES_COPY_IN || st == PGRES_COPY_OUT ||
		    st == PGRES_COPY_BOTH) {
			PQclear(res);
			ok = fail_dead(c, err, "COPY where none was expected");
			break;
		}
		if (ok && st != PGRES_EMPTY_QUERY)
			ok = fail_result(c, res, err);
		PQclear(res);
	}
	if (ok && PQstatus(c->pq) != CONNECTION_OK)
		ok = fail_conn(c, err);
	if (ok && keep) {
		*keep = last;
		return true;
	}
	PQclear(last);
	return ok;
}

static bool
set_timeouts(struct pgc *c, const struct pgc_opts *o, struct pgc_err *err)
{
	char sql[400];

	snprintf(
	    sql, sizeof(sql),
	    "SET statement_timeout = %d; SET lock_timeout = %d; "
	    "SET idle_in_transaction_session_timeout = %d; "
	    "SET client_min_messages = notice; SET timezone = 'UTC'; "
	    "SET default_transaction_read_only = %s; "
	    "SET bytea_output = 'hex'; SET standard_conforming_strings = on",
	    o->statement_timeout_ms, o->lock_timeout_ms,
	    o->idle_in_transaction_ms, o->read_only ? "on" : "off");
	return pgc_exec(c, sql, err);
}

struct pgc *
pgc_open(const char *conninfo, const char *application_name,
         const struct pgc_opts *opts, struct pgc_err *err)
{
	const struct pgc_opts *o = opts ? opts : &pgc_opts_default;
	char timeout[16], answer[16];
	/* Later entries go before earlier ones: the user's string is last. */
	const char *key[] = {"connect_timeout",
	                     "tcp_user_timeout",
	                     "keepalives",
	                     "keepalives_idle",
	                     "keepalives_interval",
	                     "keepalives_count",
	                     "client_encoding",
	                     "fallback_application_name",
	                     "dbname",
	                     NULL};
	const char *val[] = {timeout,  answer, "1",    "10",
	                     "5",      "3",    "UTF8", application_name,
	                     conninfo, NULL};
	struct pgc *c = calloc(1, sizeof(*c));

	if (!c) {
		fail_text(err, "out of memory");
		return NULL;
	}
	snprintf(timeout, sizeof(timeout), "%d", o->connect_timeout_s);
	snprintf(answer, sizeof(answer), "%d", 15000);
	c->patience_ns = o->statement_timeout_ms * NS_PER_MS + ANSWER_GRACE_NS;
	c->pq = PQconnectdbParams(key, val, 1);
	if (!c->pq || PQstatus(c->pq) != CONNECTION_OK) {
		fail_text(err, c->pq ? PQerrorMessage(c->pq) : "out of memory");
		goto out;
	}
	PQsetNoticeReceiver(c->pq, notice_receive, c);
	if (PQsetnonblocking(c->pq, 1) != 0) {
		fail_conn(c, err);
		goto out;
	}
	c->cancel = PQgetCancel(c->pq);
	if (set_timeouts(c, o, err))
		return c;
out:
	pgc_close(c);
	return NULL;
}

void
pgc_close(struct pgc *c)
{
	if (!c)
		return;
	PQfreemem(c->portion);
	PQfreeCancel(c->cancel);
	PQfinish(c->pq);
	free(c);
}

void
pgc_cancel(struct pgc *c)
{
	char why[256];

	(void)PQcancel(c->cancel, why, (int)sizeof(why));
}

bool
pgc_ok(const struct pgc *c)
{
	return c && !c->dead && PQstatus(c->pq) == CONNECTION_OK;
}

int
pgc_fd(const struct pgc *c)
{
	return PQsocket(c->pq);
}

int
pgc_server_version(const struct pgc *c)
{
	return PQserverVersion(c->pq);
}

static bool
started(struct pgc *c, int sent, struct pgc_err *err)
{
	if (sent != 1)
		return fail_conn(c, err);
	return flush_out(c, err);
}

bool
pgc_exec(struct pgc *c, const char *sql, struct pgc_err *err)
{
	if (c->dead)
		return fail_text(err, "the database connection is lost");
	return started(c, PQsendQuery(c->pq, sql), err) && drain(c, NULL, err);
}

static bool
query_params(struct pgc *c, const char *sql, int nparams,
             const char *const *params, PGresult **res, struct pgc_err *err)
{
	*res = NULL;
	if (c->dead)
		return fail_text(err, "the database connection is lost");
	if (!started(c,
	             PQsendQueryParams(c->pq, sql, nparams, NULL, params, NULL,
	                               NULL, 0),
	             err))
		return false;
	return drain(c, res, err);
}

static long
affected_rows(PGresult *res)
{
	return res ? strtol(PQcmdTuples(res), NULL, 10) : 0;
}

bool
pgc_exec_params(struct pgc *c, const char *sql, int nparams,
                const char *const *params, long *affected, struct pgc_err *err)
{
	PGresult *res;

	if (!query_params(c, sql, nparams, params, &res, err))
		return false;
	if (affected)
		*affected = affected_rows(res);
	PQclear(res);
	return true;
}

bool
pgc_query_text(struct pgc *c, const char *sql, int nparams,
               const char *const *params, char **out, struct pgc_err *err)
{
	PGresult *res;
	char *text = NULL;
	bool ok = true;

	if (!query_params(c, sql, nparams, params, &res, err))
		return false;
	if (res && PQntuples(res) > 0 && PQnfields(res) > 0 &&
	    !PQgetisnull(res, 0, 0)) {
		text = strdup(PQgetvalue(res, 0, 0));
		ok = text != NULL || fail_text(err, "out of memory");
	}
	PQclear(res);
	if (ok)
		*out = text;
	return ok;
}

static bool
hand_out(PGresult *res, struct pgc_rows **out, struct pgc_err *err)
{
	struct pgc_rows *r = calloc(1, sizeof(*r));

	if (!r) {
		PQclear(res);
		return fail_text(err, "out of memory");
	}
	r->res = res;
	*out = r;
	return true;
}

bool
pgc_query(struct pgc *c, const char *sql, int nparams,
          const char *const *params, struct pgc_rows **out, struct pgc_err *err)
{
	PGresult *res;

	return query_params(c, sql, nparams, params, &res, err) &&
	       hand_out(res, out, err);
}

bool
pgc_prepare(struct pgc *c, const char *name, const char *sql,
            struct pgc_err *err)
{
	if (c->dead)
		return fail_text(err, "the database connection is lost");
	return started(c, PQsendPrepare(c->pq, name, sql, 0, NULL), err) &&
	       drain(c, NULL, err);
}

#define RUN_PARAMS_MAX 64

static bool
send_prepared(struct pgc *c, const char *name, int nparams,
              const struct pgc_param *params, bool binary_result,
              struct pgc_err *err)
{
	const char *val[RUN_PARAMS_MAX];
	int len[RUN_PARAMS_MAX], fmt[RUN_PARAMS_MAX];

	if (c->dead)
		return fail_text(err, "the database connection is lost");
	if (nparams > RUN_PARAMS_MAX)
		return fail_text(err, "too many parameters");
	for (int i = 0; i < nparams; i++) {
		if (params[i].len > INT32_MAX)
			return fail_text(err, "a parameter is too long");
		val[i] = params[i].data;
		len[i] = (int)params[i].len;
		fmt[i] = params[i].binary;
	}
	return PQsendQueryPrepared(c->pq, name, nparams, val, len, fmt,
	                           binary_result) == 1 ||
	       fail_conn(c, err);
}

bool
pgc_run(struct pgc *c, const char *name, int nparams,
        const struct pgc_param *params, bool binary_result,
        struct pgc_rows **out, long *affected, struct pgc_err *err)
{
	PGresult *res;

	if (!send_prepared(c, name, nparams, params, binary_result, err) ||
	    !flush_out(c, err) || !drain(c, &res, err))
		return false;
	if (affected)
		*affected = affected_rows(res);
	if (out)
		return hand_out(res, out, err);
	PQclear(res);
	return true;
}

bool
pgc_pipe_begin(struct pgc *c, struct pgc_err *err)
{
	if (c->dead)
		return fail_text(err, "the database connection is lost");
	return PQenterPipelineMode(c->pq) == 1 || fail_conn(c, err);
}

bool
pgc_pipe_run(struct pgc *c, const char *name, int nparams,
             const struct pgc_param *params, struct pgc_err *err)
{
	if (!send_prepared(c, name, nparams, params, false, err))
		return false;
	/* What the server does not take now goes out with the next. */
	return PQflush(c->pq) >= 0 || fail_conn(c, err);
}

/* The result of one statement of a pipeline, and the NULL behind it. */
static bool
pipe_result(struct pgc *c, PGresult **keep, struct pgc_err *err)
{
	PGresult *res = NULL, *end = NULL;
	ExecStatusType st;
	bool ok;

	if (!next_result(c, &res, err))
		return false;
	st = res ? PQresultStatus(res) : PGRES_FATAL_ERROR;
	ok = st == PGRES_COMMAND_OK || st == PGRES_TUPLES_OK;
	if (res && st == PGRES_FATAL_ERROR)
		(void)fail_result(c, res, err);
	else if (!ok)
		(void)fail_text(err, "a statement of a pipeline was skipped");
	if (res && !next_result(c, &end, ok ? err : NULL))
		ok = false;
	PQclear(end);
	if (ok)
		*keep = res;
	else
		PQclear(res);
	return ok;
}

static bool
pipe_sync(struct pgc *c, struct pgc_err *err)
{
	if (c->dead)
		return fail_text(err, "the database connection is lost");
	return (PQpipelineSync(c->pq) == 1 || fail_conn(c, err)) &&
	       flush_out(c, err);
}

/* Reads the end of the pipeline; `ok`: nothing failed so far. */
static bool
pipe_close(struct pgc *c, bool ok, struct pgc_err *err)
{
	PGresult *res = NULL;

	if (c->dead || !next_result(c, &res, ok ? err : NULL))
		return false;
	if (!res || PQresultStatus(res) != PGRES_PIPELINE_SYNC)
		ok = fail_dead(c, ok ? err : NULL, "a pipeline lost its end");
	PQclear(res);
	if (PQexitPipelineMode(c->pq) != 1)
		ok = fail_dead(c, ok ? err : NULL, "a pipeline did not end");
	return ok;
}

bool
pgc_pipe_end(struct pgc *c, size_t n, long *affected, struct pgc_err *err)
{
	bool ok = true;

	if (!pipe_sync(c, err))
		return false;
	for (size_t i = 0; i < n && !c->dead; i++) {
		PGresult *res = NULL;

		ok &= pipe_result(c, &res, ok ? err : NULL);
		affected[i] = affected_rows(res);
		PQclear(res);
	}
	return pipe_close(c, ok, err);
}

bool
pgc_begin_run(struct pgc *c, const char *name, int nparams,
              const struct pgc_param *params, bool binary_result,
              struct pgc_rows **out, struct pgc_err *err)
{
	PGresult *begun = NULL, *res = NULL;
	bool ok;

	if (!pgc_pipe_begin(c, err))
		return false;
	if (PQsendQueryParams(c->pq, "BEGIN", 0, NULL, NULL, NULL, NULL, 0) !=
	    1)
		return fail_dead(c, err, PQerrorMessage(c->pq));
	ok = send_prepared(c, name, nparams, params, binary_result, err);
	if (!pipe_sync(c, ok ? err : NULL))
		return false;
	ok = pipe_result(c, &begun, ok ? err : NULL) && ok;
	PQclear(begun);
	ok = ok && pipe_result(c, &res, err);
	ok = pipe_close(c, ok, err);
	if (ok)
		return hand_out(res, out, err);
	PQclear(res);
	return false;
}

void
pgc_rows_free(struct pgc_rows *r)
{
	if (!r)
		return;
	PQclear(r->res);
	free(r);
}

int
pgc_rows_n(const struct pgc_rows *r)
{
	return r->res ? PQntuples(r->res) : 0;
}

const char *
pgc_value(const struct pgc_rows *r, int row, int col)
{
	if (!r->res || row >= PQntuples(r->res) || col >= PQnfields(r->res) ||
	    PQgetisnull(r->res, row, col))
		return NULL;
	return PQgetvalue(r->res, row, col);
}

size_t
pgc_value_len(const struct pgc_rows *r, int row, int col)
{
	return pgc_value(r, row, col) ? (size_t)PQgetlength(r->res, row, col)
	                              : 0;
}

static int
hex_digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

bool
pgc_value_bytes(const struct pgc_rows *r, int row, int col, uint8_t *out,
                size_t n)
{
	const char *v = pgc_value(r, row, col);

	if (!v || pgc_value_len(r, row, col) != 2 + 2 * n || v[0] != '\\' ||
	    v[1] != 'x')
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(v[2 + 2 * i]), lo = hex_digit(v[3 + 2 * i]);

		if (hi < 0 || lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

int64_t
pgc_value_i64(const struct pgc_rows *r, int row, int col, int64_t missing)
{
	const char *v = pgc_value(r, row, col);
	int64_t out;

	return v && text_parse_i64(v, INT64_MIN, INT64_MAX, &out) ? out
	                                                          : missing;
}

bool
pgc_value_bool(const struct pgc_rows *r, int row, int col)
{
	const char *v = pgc_value(r, row, col);

	return v && v[0] == 't';
}

static bool
copy_start(struct pgc *c, const char *sql, ExecStatusType way,
           struct pgc_err *err)
{
	PGresult *res = NULL;
	bool ok;

	if (c->dead)
		return fail_text(err, "the database connection is lost");
	if (!started(c, PQsendQuery(c->pq, sql), err) ||
	    !next_result(c, &res, err))
		return false;
	if (res && PQresultStatus(res) == way) {
		PQclear(res);
		return true;
	}
	ok = res && PQresultStatus(res) != PGRES_FATAL_ERROR
	         ? fail_text(err, "the statement is no such COPY")
	         : fail_result(c, res, err);
	PQclear(res);
	return drain(c, NULL, NULL) && ok;
}

bool
pgc_copy_begin(struct pgc *c, const char *sql, struct pgc_err *err)
{
	return copy_start(c, sql, PGRES_COPY_IN, err);
}

bool
pgc_copy_out_begin(struct pgc *c, const char *sql, struct pgc_err *err)
{
	return copy_start(c, sql, PGRES_COPY_OUT, err);
}

bool
pgc_copy_out_get(struct pgc *c, const void **bytes, size_t *len,
                 struct pgc_err *err)
{
	struct mono end = mono_add_ns(clock_mono(), c->patience_ns);
	int n;

	if (c->dead)
		return fail_text(err, "the database connection is lost");
	PQfreemem(c->portion);
	c->portion = NULL;
	while ((n = PQgetCopyData(c->pq, &c->portion, 1)) == 0) {
		if (!wait_socket(c, POLLIN, end, err))
			return false;
		if (!PQconsumeInput(c->pq))
			return fail_dead(c, err, PQerrorMessage(c->pq));
	}
	*bytes = c->portion;
	*len = n > 0 ? (size_t)n : 0;
	if (n > 0)
		return true;
	return n == -1 ? drain(c, NULL, err) : fail_conn(c, err);
}

bool
pgc_copy_offer(struct pgc *c, const void *bytes, size_t len, size_t *taken,
               struct pgc_err *err)
{
	size_t n = len < COPY_PORTION ? len : COPY_PORTION;
	int r;

	*taken = 0;
	if (c->dead)
		return fail_text(err, "the database connection is lost");
	r = PQflush(c->pq);
	if (r == 0 && n > 0) {
		/* An error of the server shows at pgc_copy_end(); libpq drops
		 * what comes after it. */
		if (PQputCopyData(c->pq, bytes, (int)n) != 1)
			return fail_conn(c, err);
		*taken = n;
		r = PQflush(c->pq);
	}
	return r >= 0 || fail_conn(c, err);
}

bool
pgc_copy_put(struct pgc *c, const void *bytes, size_t len, struct pgc_err *err)
{
	while (len > 0) {
		size_t taken;

		if (!pgc_copy_offer(c, bytes, len, &taken, err))
			return false;
		if (taken == 0 && !flush_out(c, err))
			return false;
		bytes = (const char *)bytes + taken;
		len -= taken;
	}
	return true;
}

bool
pgc_copy_end(struct pgc *c, const char *abort_reason, long *rows,
             struct pgc_err *err)
{
	PGresult *res;

	if (c->dead)
		return fail_text(err, "the database connection is lost");
	if (!started(c, PQputCopyEnd(c->pq, abort_reason), err) ||
	    !drain(c, &res, err))
		return false;
	if (rows)
		*rows = affected_rows(res);
	PQclear(res);
	return true;
}

bool
pgc_notify_take(struct pgc *c, char *payload, size_t size)
{
	PGnotify *n;

	if (c->dead)
		return false;
	if (!PQconsumeInput(c->pq)) {
		c->dead = true;
		return false;
	}
	n = PQnotifies(c->pq);
	if (!n)
		return false;
	one_line(payload, size, n->extra);
	PQfreemem(n);
	return true;
}
