/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/ledger.h"
#include "controller/roster_priv.h"

#include "lib/base/clock_read.h"
#include "lib/base/metric.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_OFF_MAX_NS (60 * NS_PER_S)
#define FUTURE_NS (60 * NS_PER_S)
#define PAYLOAD_MAX ((size_t)256 << 10)
#define ASIDE_KEEP "50"

struct wbatch *
wbatch_new(struct ask *ask)
{
	struct wbatch *b = calloc(1, sizeof(*b));

	if (b)
		b->ask = ask;
	return b;
}

void
wbatch_free(struct wbatch *b)
{
	if (!b)
		return;
	batch_body_clear(&b->body);
	free(b->skip);
	ask_free(b->ask);
	free(b);
}

int
wbatch_compare(const struct wbatch *a, const struct wbatch *b)
{
	const struct ask_batch *x = &a->ask->u.batch, *y = &b->ask->u.batch;
	int c;

	if (x->node_id != y->node_id)
		return x->node_id < y->node_id ? -1 : 1;
	c = memcmp(x->batch.spool_id.b, y->batch.spool_id.b, ID16_BYTES);
	if (c != 0)
		return c;
	return (x->batch.seq > y->batch.seq) - (x->batch.seq < y->batch.seq);
}

/* ---- judging ---- */

static void say_why(struct wbatch *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
say_why(struct wbatch *b, const char *fmt, ...)
{
	va_list ap;

	if (b->reason[0])
		return; /* the first one is told */
	va_start(ap, fmt);
	(void)vsnprintf(b->reason, sizeof(b->reason), fmt, ap);
	va_end(ap);
}

void
wbatch_condemn(struct wbatch *b, const char *reason)
{
	b->condemned = true;
	b->reason[0] = '\0';
	say_why(b, "%s", reason);
	b->keep = 0;
	b->aside = b->body.rows ? b->body.rows : b->ask->u.batch.batch.rows;
}

static void
skip_row(struct wbatch *b, size_t row)
{
	if (!b->skip) {
		b->skip = calloc(b->body.rows / 8 + 1, 1);
		if (!b->skip) {
			wbatch_condemn(b, "out of memory while judging it");
			return;
		}
	}
	b->skip[row / 8] |= (uint8_t)(1U << row % 8);
}

static void
skip_slice(struct wbatch *b, size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		skip_row(b, first + i);
}

/* What of a value does not fit the column; NULL: it fits. */
static const char *
misfit(const struct metric_info *m, int64_t v, bool required)
{
	if (v == METRIC_NULL)
		return required ? "is missing" : NULL;
	switch (m->type) {
	case METRIC_COUNT:
		return v < 0 || v > INT32_MAX ? "is out of range" : NULL;
	case METRIC_SMALL:
		return v < 0 || v > INT16_MAX ? "is out of range" : NULL;
	case METRIC_DURATION:
	case METRIC_MILLI:
		break;
	}
	return NULL;
}

static bool
is_required(const struct metric_info *m)
{
	return m->home == METRIC_ROW && strcmp(m->null_rule, "never") == 0;
}

static void
judge_column(struct wbatch *b, const struct slice *s, size_t first,
             const struct metric_info *m)
{
	const int64_t *v = s->value[m->id];
	bool required = is_required(m);

	if (!v) {
		if (required) {
			say_why(b, "%s is missing", m->name);
			skip_slice(b, first, s->n);
		}
		return;
	}
	if (m->type == METRIC_DURATION && !required)
		return;
	for (size_t i = 0; i < s->n; i++) {
		const char *what = misfit(m, v[i], required);

		if (what) {
			say_why(b, "%s %s", m->name, what);
			skip_row(b, first + i);
		}
	}
}

/* Faults of a whole slice; NULL-terminated words in b->reason. */
static bool
slice_is_sane(struct wbatch *b, const struct slice *s, const struct judge *j)
{
	char at[40];

	if (!known_class(j->known, s->class_id))
		say_why(b, "unknown class %" PRIu32, s->class_id);
	else if (s->interval_ns <= 0 ||
	         s->interval_ns / NS_PER_MS > INT32_MAX || s->epoch > INT32_MAX)
		say_why(b, "interval or epoch out of range");
	else if (s->start.ns < j->oldest.ns)
		say_why(b, "results of %s are older than the oldest partition",
		        clock_format_utc(s->start, at, sizeof(at)));
	else if (wall_diff_ns(s->start, j->now) > s->interval_ns + FUTURE_NS)
		say_why(b, "results of %s lie in the future",
		        clock_format_utc(s->start, at, sizeof(at)));
	else
		return true;
	return false;
}

static void
judge_slice(struct wbatch *b, const struct slice *s, size_t first,
            const struct judge *j)
{
	uint32_t self = b->ask->u.batch.node_id;

	if (!slice_is_sane(b, s, j)) {
		skip_slice(b, first, s->n);
		return;
	}
	for (size_t i = 0; i < s->n; i++) {
		if (s->dst_id[i] == self ||
		    !known_node(j->known, s->dst_id[i])) {
			say_why(b, "unknown destination %" PRIu32,
			        s->dst_id[i]);
			skip_row(b, first + i);
		}
	}
	for (unsigned m = 1; m < METRIC_N; m++) {
		const struct metric_info *info = metric_info(m);

		if (info)
			judge_column(b, s, first, info);
	}
}

static void
count_rows(struct wbatch *b)
{
	b->aside = 0;
	for (size_t i = 0; b->skip && i < b->body.rows; i++)
		b->aside += wbatch_skips(b, i);
	b->keep = b->body.rows - b->aside;
	if (b->keep == 0 && b->aside > 0)
		b->condemned = true;
}

void
wbatch_judge(struct wbatch *b, const struct judge *j)
{
	const struct ask_batch *a = &b->ask->u.batch;
	const struct msg_batch *m = &a->batch;
	uint8_t digest[16];
	const char *field = NULL;
	enum msg_err e;
	size_t first = 0;
	char text[REASON_MAX];

	b->judged = true;
	batch_digest(m->body, m->body_len, digest);
	if (memcmp(digest, m->digest, sizeof(digest)) != 0) {
		wbatch_condemn(b, "its digest does not match its body");
		return;
	}
	e = batch_body_decode(m->body, m->body_len, &b->body, &field);
	if (e != MSG_OK) {
		(void)snprintf(text, sizeof(text),
		               "its body is malformed: %s%s%s", msg_err_str(e),
		               field ? ", field " : "", field ? field : "");
		memset(&b->body, 0, sizeof(b->body));
		wbatch_condemn(b, text);
		return;
	}
	if (b->body.rows != m->rows) {
		wbatch_condemn(b, "it holds another number of rows than it "
		                  "says");
		return;
	}
	if (a->clock_offset_ns != NS_UNKNOWN &&
	    (a->clock_offset_ns > CLOCK_OFF_MAX_NS ||
	     a->clock_offset_ns < -CLOCK_OFF_MAX_NS)) {
		(void)snprintf(text, sizeof(text),
		               "the node's clock is %.1f s off",
		               (double)a->clock_offset_ns / 1e9);
		wbatch_condemn(b, text);
		return;
	}
	for (size_t i = 0; i < b->body.slice_n && !b->condemned; i++) {
		judge_slice(b, &b->body.slice[i], first, j);
		first += b->body.slice[i].n;
	}
	if (!b->condemned)
		count_rows(b);
}

/* ---- the ledger ---- */

bool
ledger_attach(struct ledger *l, struct pgc *db, struct pgc_err *err)
{
	l->db = db;
	return pgc_prepare(
	           db, "ledger_enter",
	           "INSERT INTO twmesh_private.ledger (node_id, spool_id, seq, "
	           "digest, rows, status, clock_offset_ms) SELECT * FROM "
	           "unnest($1::integer[], $2::bytea[], $3::bigint[], "
	           "$4::bytea[], $5::integer[], $6::text[], "
	           "$7::double precision[]) ON CONFLICT DO NOTHING "
	           "RETURNING node_id, spool_id, seq",
	           err) &&
	       pgc_prepare(db, "ledger_get",
	                   "SELECT digest FROM twmesh_private.ledger WHERE "
	                   "node_id = $1::integer AND spool_id = $2::bytea "
	                   "AND seq = $3::bigint",
	                   err) &&
	       pgc_prepare(
	           db, "put_aside",
	           "INSERT INTO twmesh_private.put_aside (node_id, spool_id, "
	           "seq, digest, rows, reason, clock_offset_ms, payload) "
	           "VALUES ($1::integer, $2::bytea, $3::bigint, $4::bytea, "
	           "$5::integer, $6::text, $7::double precision, $8::bytea)",
	           err);
}

void
ledger_clear(struct ledger *l)
{
	pgbuf_clear(&l->buf);
	l->db = NULL;
}

static const char *
status_of(const struct wbatch *b)
{
	if (b->condemned)
		return "aside";
	return b->aside > 0 ? "partly" : "stored";
}

static void
put_offset(struct pgbuf *buf, const struct wbatch *b)
{
	int64_t ns = b->ask->u.batch.clock_offset_ns;

	if (ns == NS_UNKNOWN)
		pgbuf_null(buf);
	else
		pgbuf_f8(buf, (double)ns / 1e6);
}

static void
put_enter_column(struct pgbuf *buf, const struct wbatch *b, int col)
{
	const struct ask_batch *a = &b->ask->u.batch;
	const char *status = status_of(b);

	switch (col) {
	case 0:
		pgbuf_i4(buf, (int32_t)a->node_id);
		break;
	case 1:
		pgbuf_bytes(buf, a->batch.spool_id.b, ID16_BYTES);
		break;
	case 2:
		pgbuf_i8(buf, (int64_t)a->batch.seq);
		break;
	case 3:
		pgbuf_bytes(buf, a->batch.digest, sizeof(a->batch.digest));
		break;
	case 4:
		pgbuf_i4(buf, (int32_t)b->keep);
		break;
	case 5:
		pgbuf_bytes(buf, status, strlen(status));
		break;
	default:
		put_offset(buf, b);
	}
}

static bool
is_row_of(const struct pgc_rows *rows, int row, const struct wbatch *b)
{
	const struct ask_batch *a = &b->ask->u.batch;
	uint8_t id[4], seq[8];

	pg_store32(id, a->node_id);
	pg_store64(seq, a->batch.seq);
	return row < pgc_rows_n(rows) && pgc_value_len(rows, row, 0) == 4 &&
	       pgc_value_len(rows, row, 1) == ID16_BYTES &&
	       pgc_value_len(rows, row, 2) == 8 &&
	       memcmp(pgc_value(rows, row, 0), id, 4) == 0 &&
	       memcmp(pgc_value(rows, row, 1), a->batch.spool_id.b,
	              ID16_BYTES) == 0 &&
	       memcmp(pgc_value(rows, row, 2), seq, 8) == 0;
}

/* It was there: with which digest? */
static bool
ask_digest(struct ledger *l, struct wbatch *b, struct pgc_err *err)
{
	const struct ask_batch *a = &b->ask->u.batch;
	uint8_t id[4], seq[8];
	struct pgc_param p[3] = {{id, 4, 0, true},
	                         {a->batch.spool_id.b, ID16_BYTES, 0, true},
	                         {seq, 8, 0, true}};
	struct pgc_rows *rows;

	pg_store32(id, a->node_id);
	pg_store64(seq, a->batch.seq);
	if (!pgc_run(l->db, "ledger_get", 3, p, true, &rows, NULL, err))
		return false;
	b->says = LEDGER_CONFLICT;
	if (pgc_value_len(rows, 0, 0) == sizeof(a->batch.digest) &&
	    memcmp(pgc_value(rows, 0, 0), a->batch.digest,
	           sizeof(a->batch.digest)) == 0)
		b->says = LEDGER_DUPLICATE;
	pgc_rows_free(rows);
	return true;
}

#define ENTER_COLS 7

bool
ledger_enter(struct ledger *l, struct wbatch *const *b, size_t n,
             struct pgc_err *err)
{
	static const uint32_t elem[ENTER_COLS] = {
	    PG_OID_INT4, PG_OID_BYTEA, PG_OID_INT8,  PG_OID_BYTEA,
	    PG_OID_INT4, PG_OID_TEXT,  PG_OID_FLOAT8};
	struct pgc_param p[ENTER_COLS];
	size_t at[ENTER_COLS + 1];
	struct pgc_rows *rows;
	int row = 0;
	bool ok = true;

	l->buf.len = 0;
	for (int c = 0; c < ENTER_COLS; c++) {
		at[c] = l->buf.len;
		pgbuf_array(&l->buf, elem[c], n);
		for (size_t i = 0; i < n; i++)
			put_enter_column(&l->buf, b[i], c);
	}
	at[ENTER_COLS] = l->buf.len;
	if (l->buf.failed) {
		pgbuf_clear(&l->buf);
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return false;
	}
	for (int c = 0; c < ENTER_COLS; c++)
		p[c] = (struct pgc_param){l->buf.p + at[c], at[c + 1] - at[c],
		                          0, true};
	if (!pgc_begin_run(l->db, "ledger_enter", ENTER_COLS, p, true, &rows,
	                   err))
		return false;
	for (size_t i = 0; ok && i < n; i++) {
		/* RETURNING keeps the order of the input. */
		if (is_row_of(rows, row, b[i])) {
			b[i]->says = LEDGER_NEW;
			row++;
		} else {
			ok = ask_digest(l, b[i], err);
		}
	}
	if (ok && row != pgc_rows_n(rows)) {
		(void)snprintf(err->text, sizeof(err->text), "%s",
		               "the ledger's answer has another order");
		ok = false;
	}
	pgc_rows_free(rows);
	return ok;
}

bool
ledger_put_aside(struct ledger *l, const struct wbatch *b, struct pgc_err *err)
{
	const struct ask_batch *a = &b->ask->u.batch;
	bool small = a->batch.body_len <= PAYLOAD_MAX;
	size_t rows = b->says == LEDGER_CONFLICT ? a->batch.rows : b->aside;
	uint8_t id[4], seq[8], n[4], off[8];
	double ms = (double)a->clock_offset_ns / 1e6;
	uint64_t bits;
	char node[24];
	const char *prune[] = {dec_of(a->node_id, node)};
	struct pgc_param p[8] = {
	    {id, 4, 0, true},
	    {a->batch.spool_id.b, ID16_BYTES, 0, true},
	    {seq, 8, 0, true},
	    {a->batch.digest, sizeof(a->batch.digest), 0, true},
	    {n, 4, 0, true},
	    {b->reason, 0, 0, false},
	    {a->clock_offset_ns == NS_UNKNOWN ? NULL : off, 8, 0, true},
	    {small ? a->batch.body : NULL, a->batch.body_len, 0, true},
	};

	memcpy(&bits, &ms, sizeof(bits));
	pg_store32(id, a->node_id);
	pg_store64(seq, a->batch.seq);
	pg_store32(n, (uint32_t)rows);
	pg_store64(off, bits);
	return pgc_run(l->db, "put_aside", 8, p, false, NULL, NULL, err) &&
	       pgc_exec_params(
	           l->db,
	           "DELETE FROM twmesh_private.put_aside WHERE node_id = "
	           "$1::integer AND put_aside_id <= (SELECT put_aside_id FROM "
	           "twmesh_private.put_aside WHERE node_id = $1::integer ORDER "
	           "BY put_aside_id DESC OFFSET " ASIDE_KEEP " LIMIT 1)",
	           1, prune, NULL, err);
}

bool
ledger_gaps(struct ledger *l, const struct wbatch *b, struct pgc_err *err)
{
	char src[24], from[24], to[24], rows[24];

	for (size_t i = 0; i < b->body.gap_n; i++) {
		const struct gap *g = &b->body.gap[i];
		int64_t f = pg_wall_to_us(g->from), t = pg_wall_to_us(g->to);
		const char *p[] = {dec_of(b->ask->u.batch.node_id, src),
		                   dec_of(f + PG_EPOCH_US, from),
		                   dec_of((t > f ? t : f) + PG_EPOCH_US, to),
		                   g->reason,
		                   g->rows > 0 && g->rows <= INT64_MAX
		                       ? dec_of((int64_t)g->rows, rows)
		                       : NULL};

		if (!pgc_exec_params(
		        l->db,
		        "INSERT INTO twmesh.gap (src_id, t_from, t_to, reason, "
		        "rows) VALUES ($1::integer, to_timestamp($2::bigint / "
		        "1e6), to_timestamp($3::bigint / 1e6), $4, $5::bigint)",
		        5, p, NULL, err))
			return false;
	}
	return true;
}
