/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/runs_db.h"
#include "controller/evidence_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The array parameters of the statements, in their order. */
enum col {
	COL_SRC,
	COL_DST,
	COL_CLASS,
	COL_RUN,
	KEY_COLS,
	COL_AGE = KEY_COLS,
	OPEN_COLS,
	COL_REVISION = KEY_COLS,
	COL_FIRST,
	COL_LAST,
	COL_BEFORE,
	COL_AFTER,
	COL_LOWER,
	COL_UPPER,
	COL_FIRST_SEQ,
	COL_LAST_SEQ,
	COL_LOST_FWD,
	COL_LOST_BWD,
	COL_LOST_UNDET,
	COL_SRC_PORT,
	COL_DST_PORT,
	COL_FIRST_FLOW,
	COL_LAST_FLOW,
	COL_STATE,
	COL_RESTART,
	COL_LIMITED,
	COL_SRC_ADDRESS,
	COL_DST_ADDRESS,
	RUN_COLS
};

#define RUN_NAMES                                                          \
	"src_id, dst_id, class_id, run_id, revision, first_at, last_at, "  \
	"before_at, after_at, lower_ms, upper_ms, first_seq, last_seq, "   \
	"lost_fwd, lost_bwd, lost_undet, src_port, dst_port, first_flow, " \
	"last_flow, state, reflector_restart, host_limited, src_address, " \
	"dst_address"

static bool
out_of_memory(struct pgc_err *err)
{
	(void)snprintf(err->text, sizeof(err->text), "out of memory");
	return false;
}

/* ---- statements ---- */

static bool
prepare_runs(struct pgc *db, struct pgc_err *err)
{
	return pgc_prepare(
	    db, "runs_put",
	    "INSERT INTO twmesh_private.loss_run AS r (" RUN_NAMES ") "
	    "SELECT src, dst, class, run, revision, first_at, last_at, "
	    "before_at, after_at, lower_ms, upper_ms, first_seq, last_seq, "
	    "fwd, bwd, undet, src_port, dst_port, first_flow, last_flow, "
	    "state, restart, limited, src_address::inet, dst_address::inet "
	    "FROM unnest($1::integer[], $2::integer[], $3::integer[], "
	    "$4::bigint[], $5::integer[], $6::timestamptz[], "
	    "$7::timestamptz[], $8::timestamptz[], $9::timestamptz[], "
	    "$10::double precision[], $11::double precision[], "
	    "$12::bigint[], $13::bigint[], $14::integer[], $15::integer[], "
	    "$16::integer[], $17::integer[], $18::integer[], "
	    "$19::smallint[], $20::smallint[], $21::smallint[], "
	    "$22::boolean[], $23::boolean[], $24::text[], $25::text[]) "
	    "AS v (src, dst, class, run, revision, first_at, last_at, "
	    "before_at, after_at, lower_ms, upper_ms, first_seq, last_seq, "
	    "fwd, bwd, undet, src_port, dst_port, first_flow, last_flow, "
	    "state, restart, limited, src_address, dst_address) "
	    "ON CONFLICT (src_id, dst_id, class_id, run_id) DO UPDATE SET "
	    "(revision, first_at, last_at, before_at, after_at, lower_ms, "
	    "upper_ms, first_seq, last_seq, lost_fwd, lost_bwd, lost_undet, "
	    "src_port, dst_port, first_flow, last_flow, state, "
	    "reflector_restart, host_limited, src_address, dst_address, "
	    "recorded_at) = (excluded.revision, excluded.first_at, "
	    "excluded.last_at, excluded.before_at, excluded.after_at, "
	    "excluded.lower_ms, excluded.upper_ms, excluded.first_seq, "
	    "excluded.last_seq, excluded.lost_fwd, excluded.lost_bwd, "
	    "excluded.lost_undet, excluded.src_port, excluded.dst_port, "
	    "excluded.first_flow, excluded.last_flow, excluded.state, "
	    "excluded.reflector_restart, excluded.host_limited, "
	    "excluded.src_address, excluded.dst_address, "
	    "excluded.recorded_at) WHERE r.revision < excluded.revision "
	    "RETURNING src_id, dst_id, class_id, run_id",
	    err);
}

static bool
prepare_open(struct pgc *db, struct pgc_err *err)
{
	return pgc_prepare(
	           db, "runs_closed",
	           "DELETE FROM twmesh_private.loss_run_open o USING "
	           "unnest($1::integer[], $2::integer[], $3::integer[], "
	           "$4::bigint[]) AS v (src, dst, class, run), "
	           "twmesh_private.loss_run r WHERE r.src_id = v.src AND "
	           "r.dst_id = v.dst AND r.class_id = v.class AND r.run_id = "
	           "v.run AND r.state >= 2 AND o.src_id = v.src AND o.dst_id "
	           "= v.dst AND o.class_id = v.class AND o.run_id = v.run",
	           err) &&
	       pgc_prepare(
	           db, "runs_open",
	           "INSERT INTO twmesh_private.loss_run_open AS o (src_id, "
	           "dst_id, class_id, run_id, first_at, began_at, lost, "
	           "host_limited) SELECT DISTINCT ON (v.src, v.dst, v.class) "
	           "v.src, v.dst, v.class, v.run, r.first_at, "
	           "clock_timestamp() - make_interval(secs => v.age_s), "
	           "r.lost_fwd + r.lost_bwd + r.lost_undet, r.host_limited "
	           "FROM unnest($1::integer[], $2::integer[], "
	           "$3::integer[], $4::bigint[], $5::double precision[]) AS "
	           "v (src, dst, class, run, age_s) JOIN "
	           "twmesh_private.loss_run r ON r.src_id = v.src AND "
	           "r.dst_id = v.dst AND r.class_id = v.class AND r.run_id = "
	           "v.run WHERE r.state < 2 ORDER BY v.src, v.dst, v.class, "
	           "r.first_at DESC ON CONFLICT (src_id, dst_id, class_id) DO "
	           "UPDATE SET run_id = excluded.run_id, first_at = "
	           "excluded.first_at, began_at = CASE WHEN o.run_id = "
	           "excluded.run_id THEN least(o.began_at, "
	           "excluded.began_at) ELSE excluded.began_at END, lost = "
	           "excluded.lost, host_limited = excluded.host_limited "
	           "WHERE o.run_id = excluded.run_id OR o.first_at <= "
	           "excluded.first_at",
	           err);
}

bool
runs_db_attach(struct runs_db *r, struct pgc *db, struct pgc_err *err)
{
	r->db = db;
	return prepare_runs(db, err) && prepare_open(db, err) &&
	       evidence_db_attach(db, err);
}

void
runs_db_clear(struct runs_db *r)
{
	pgbuf_clear(&r->buf);
	free(r->list);
	memset(r, 0, sizeof(*r));
}

/* ---- gathering ---- */

static bool
append(struct runs_db *r, const struct ask_batch *a, const struct loss_run *run)
{
	const bool known = a->clock_offset_ns != NS_UNKNOWN;
	int64_t age = 0;

	if (r->n == r->size) {
		const size_t size = r->size ? 2 * r->size : 64;
		struct run_ref *p =
		    reallocarray(r->list, size, sizeof(*r->list));

		if (!p)
			return false;
		r->list = p;
		r->size = size;
	}
	/* first is by the node's clock, received by ours */
	if (known)
		age =
		    wall_diff_ns(a->received, run->first) + a->clock_offset_ns;
	if (age < run->lower_ns)
		age = run->lower_ns;
	r->list[r->n++] = (struct run_ref){
	    a->node_id, run, known ? a->clock_offset_ns : 0, age, false};
	return true;
}

static int
by_number(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int
by_key(const struct run_ref *a, const struct run_ref *b)
{
	int c = by_number(a->src_id, b->src_id);

	if (c == 0)
		c = by_number(a->run->dst_id, b->run->dst_id);
	if (c == 0)
		c = by_number(a->run->class_id, b->run->class_id);
	return c ? c : by_number(a->run->run_id, b->run->run_id);
}

/* The newest message of a run first. */
static int
by_key_and_revision(const void *va, const void *vb)
{
	const struct run_ref *a = va, *b = vb;
	const int c = by_key(a, b);

	return c ? c : by_number(b->run->revision, a->run->revision);
}

/* Each run once, by its newest message, in one order for all writers. */
static bool
gather(struct runs_db *r, struct wbatch *const *b, size_t n)
{
	size_t kept = 0;

	r->n = 0;
	for (size_t i = 0; i < n; i++) {
		if (b[i]->says != LEDGER_NEW || b[i]->condemned)
			continue;
		for (size_t k = 0; k < b[i]->body.run_n; k++) {
			if (!append(r, &b[i]->ask->u.batch, &b[i]->body.run[k]))
				return false;
		}
	}
	if (r->n > 1)
		qsort(r->list, r->n, sizeof(*r->list), by_key_and_revision);
	for (size_t i = 0; i < r->n; i++) {
		if (kept == 0 || by_key(&r->list[kept - 1], &r->list[i]) != 0)
			r->list[kept++] = r->list[i];
	}
	r->n = kept;
	return true;
}

/* ---- parameters ---- */

static const uint32_t run_elem[RUN_COLS] = {
    [COL_SRC] = PG_OID_INT4,          [COL_DST] = PG_OID_INT4,
    [COL_CLASS] = PG_OID_INT4,        [COL_RUN] = PG_OID_INT8,
    [COL_REVISION] = PG_OID_INT4,     [COL_FIRST] = PG_OID_TIMESTAMPTZ,
    [COL_LAST] = PG_OID_TIMESTAMPTZ,  [COL_BEFORE] = PG_OID_TIMESTAMPTZ,
    [COL_AFTER] = PG_OID_TIMESTAMPTZ, [COL_LOWER] = PG_OID_FLOAT8,
    [COL_UPPER] = PG_OID_FLOAT8,      [COL_FIRST_SEQ] = PG_OID_INT8,
    [COL_LAST_SEQ] = PG_OID_INT8,     [COL_LOST_FWD] = PG_OID_INT4,
    [COL_LOST_BWD] = PG_OID_INT4,     [COL_LOST_UNDET] = PG_OID_INT4,
    [COL_SRC_PORT] = PG_OID_INT4,     [COL_DST_PORT] = PG_OID_INT4,
    [COL_FIRST_FLOW] = PG_OID_INT2,   [COL_LAST_FLOW] = PG_OID_INT2,
    [COL_STATE] = PG_OID_INT2,        [COL_RESTART] = PG_OID_BOOL,
    [COL_LIMITED] = PG_OID_BOOL,      [COL_SRC_ADDRESS] = PG_OID_TEXT,
    [COL_DST_ADDRESS] = PG_OID_TEXT,
};

static void
put_wall(struct pgbuf *b, struct wall t)
{
	if (t.ns == NS_UNKNOWN)
		pgbuf_null(b);
	else
		pgbuf_wall(b, t);
}

static void
put_ms(struct pgbuf *b, int64_t ns)
{
	if (ns == NS_UNKNOWN)
		pgbuf_null(b);
	else
		pgbuf_f8(b, (double)ns / 1e6);
}

static void
put_address(struct pgbuf *b, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	if (a->len == 0) {
		pgbuf_null(b);
		return;
	}
	addr_format_ip(a, text);
	pgbuf_bytes(b, text, strlen(text));
}

static void
put_port(struct pgbuf *b, const struct addr *a)
{
	if (a->len == 0)
		pgbuf_null(b);
	else
		pgbuf_i4(b, addr_port(a));
}

static void
put_key(struct pgbuf *b, const struct run_ref *f, enum col col)
{
	switch ((int)col) {
	case COL_SRC:
		pgbuf_i4(b, (int32_t)f->src_id);
		break;
	case COL_DST:
		pgbuf_i4(b, (int32_t)f->run->dst_id);
		break;
	case COL_CLASS:
		pgbuf_i4(b, (int32_t)f->run->class_id);
		break;
	default:
		pgbuf_i8(b, (int64_t)f->run->run_id);
	}
}

static void
put_times(struct pgbuf *b, const struct loss_run *r, enum col col)
{
	switch ((int)col) {
	case COL_FIRST:
		put_wall(b, r->first);
		break;
	case COL_LAST:
		put_wall(b, r->last);
		break;
	case COL_BEFORE:
		put_wall(b, r->before);
		break;
	case COL_AFTER:
		put_wall(b, r->after);
		break;
	case COL_LOWER:
		put_ms(b, r->lower_ns);
		break;
	default:
		put_ms(b, r->upper_ns);
	}
}

static void
put_counts(struct pgbuf *b, const struct loss_run *r, enum col col)
{
	switch ((int)col) {
	case COL_FIRST_SEQ:
		pgbuf_i8(b, r->first_seq);
		break;
	case COL_LAST_SEQ:
		pgbuf_i8(b, r->last_seq);
		break;
	case COL_LOST_FWD:
		pgbuf_i4(b, (int32_t)r->lost_fwd);
		break;
	case COL_LOST_BWD:
		pgbuf_i4(b, (int32_t)r->lost_bwd);
		break;
	case COL_LOST_UNDET:
		pgbuf_i4(b, (int32_t)r->lost_undet);
		break;
	case COL_FIRST_FLOW:
		pgbuf_i2(b, (int16_t)r->first_flow);
		break;
	default:
		pgbuf_i2(b, (int16_t)r->last_flow);
	}
}

static void
put_run(struct pgbuf *b, const struct run_ref *f, enum col col)
{
	const struct loss_run *r = f->run;

	switch ((int)col) {
	case COL_SRC:
	case COL_DST:
	case COL_CLASS:
	case COL_RUN:
		put_key(b, f, col);
		break;
	case COL_REVISION:
		pgbuf_i4(b, (int32_t)r->revision);
		break;
	case COL_FIRST:
	case COL_LAST:
	case COL_BEFORE:
	case COL_AFTER:
	case COL_LOWER:
	case COL_UPPER:
		put_times(b, r, col);
		break;
	case COL_SRC_PORT:
		put_port(b, &r->src);
		break;
	case COL_DST_PORT:
		put_port(b, &r->dst);
		break;
	case COL_STATE:
		pgbuf_i2(b, (int16_t)r->state);
		break;
	case COL_RESTART:
		pgbuf_bool(b, r->reflector_restart);
		break;
	case COL_LIMITED:
		pgbuf_bool(b, r->host_limited);
		break;
	case COL_SRC_ADDRESS:
		put_address(b, &r->src);
		break;
	case COL_DST_ADDRESS:
		put_address(b, &r->dst);
		break;
	default:
		put_counts(b, r, col);
	}
}

/* The arrays that were put between at[i] and at[i + 1] as parameters. */
static bool
to_params(struct pgbuf *b, const size_t *at, int n, struct pgc_param *p,
          struct pgc_err *err)
{
	if (b->failed) {
		pgbuf_clear(b);
		return out_of_memory(err);
	}
	for (int i = 0; i < n; i++)
		p[i] = (struct pgc_param){b->p + at[i], at[i + 1] - at[i], 0,
		                          true};
	return true;
}

/* ---- storing ---- */

static struct run_ref *
find(struct runs_db *r, const struct run_ref *key)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const int c = by_key(key, &r->list[mid]);

		if (c == 0)
			return &r->list[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

static uint64_t
value_of(const struct pgc_rows *rows, int row, int col, size_t octets)
{
	const char *p = pgc_value(rows, row, col);
	uint64_t v = 0;

	if (!p || pgc_value_len(rows, row, col) != octets)
		return 0;
	for (size_t i = 0; i < octets; i++)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

/* What RETURNING names was written. */
static void
mark_effective(struct runs_db *r, const struct pgc_rows *rows)
{
	for (int i = 0; i < pgc_rows_n(rows); i++) {
		const struct loss_run run = {
		    .dst_id = (uint32_t)value_of(rows, i, 1, 4),
		    .class_id = (uint32_t)value_of(rows, i, 2, 4),
		    .run_id = value_of(rows, i, 3, 8),
		};
		const struct run_ref key = {
		    .src_id = (uint32_t)value_of(rows, i, 0, 4), .run = &run};
		struct run_ref *f = find(r, &key);

		if (f)
			f->effective = true;
	}
}

static bool
put_runs(struct runs_db *r, struct pgc_err *err)
{
	struct pgc_param p[RUN_COLS];
	size_t at[RUN_COLS + 1];
	struct pgc_rows *rows;

	r->buf.len = 0;
	for (int c = 0; c < RUN_COLS; c++) {
		at[c] = r->buf.len;
		pgbuf_array(&r->buf, run_elem[c], r->n);
		for (size_t i = 0; i < r->n; i++)
			put_run(&r->buf, &r->list[i], (enum col)c);
	}
	at[RUN_COLS] = r->buf.len;
	if (!to_params(&r->buf, at, RUN_COLS, p, err) ||
	    !pgc_run(r->db, "runs_put", RUN_COLS, p, true, &rows, NULL, err))
		return false;
	mark_effective(r, rows);
	pgc_rows_free(rows);
	return true;
}

/* The table of open runs, from what is stored now. */
static bool
put_open(struct runs_db *r, struct pgc_err *err)
{
	struct pgc_param p[OPEN_COLS];
	size_t at[OPEN_COLS + 1];

	r->buf.len = 0;
	for (int c = 0; c < KEY_COLS; c++) {
		at[c] = r->buf.len;
		pgbuf_array(&r->buf, run_elem[c], r->n);
		for (size_t i = 0; i < r->n; i++)
			put_key(&r->buf, &r->list[i], (enum col)c);
	}
	at[COL_AGE] = r->buf.len;
	pgbuf_array(&r->buf, PG_OID_FLOAT8, r->n);
	for (size_t i = 0; i < r->n; i++)
		pgbuf_f8(&r->buf, (double)r->list[i].age_ns / 1e9);
	at[OPEN_COLS] = r->buf.len;
	return to_params(&r->buf, at, OPEN_COLS, p, err) &&
	       pgc_run(r->db, "runs_closed", KEY_COLS, p, false, NULL, NULL,
	               err) &&
	       pgc_run(r->db, "runs_open", OPEN_COLS, p, false, NULL, NULL,
	               err);
}

static bool
put_all_evidence(struct runs_db *r, struct pgc_err *err)
{
	struct pgc_err end;
	size_t sent = 0;
	long *affected;
	bool ok = true, done;

	affected = calloc(r->n + 1, sizeof(*affected));
	if (!affected)
		return out_of_memory(err);
	if (!pgc_pipe_begin(r->db, err)) {
		free(affected);
		return false;
	}
	for (size_t i = 0; ok && i < r->n; i++) {
		if (!r->list[i].effective || r->list[i].run->packet_n == 0)
			continue;
		ok = evidence_db_put(r->db, &r->buf, r->list[i].src_id,
		                     r->list[i].run, err);
		sent += ok;
	}
	done = pgc_pipe_end(r->db, sent, affected, &end);
	free(affected);
	if (!done)
		*err = end; /* the server's reason is better than ours */
	return ok && done;
}

bool
runs_db_store(struct runs_db *r, struct wbatch *const *b, size_t n,
              struct pgc_err *err)
{
	if (!gather(r, b, n))
		return out_of_memory(err);
	return r->n == 0 || (put_runs(r, err) && put_open(r, err) &&
	                     put_all_evidence(r, err));
}
