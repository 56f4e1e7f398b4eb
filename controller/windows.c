/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/windows.h"

#include "controller/keeper_jobs.h"
#include "controller/roster_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_MAX 4096
#define SOURCES_MAX 200
#define LIST_MAX (SOURCES_MAX * 12)

static const struct window {
	const char *name, *table;
	int step_s, buckets;
	int sources; /* in one transaction, at most */
} window[WINDOWS_N] = {
    {"5min", "rollup_5min", 300, 1, SOURCES_MAX},
    {"1h", "rollup_5min", 300, 12, 20},
    {"24h", "rollup_1h", 3600, 24, 10},
};

enum type { I4, I2, F4 };

/* Arrays of a row, in the order of the COPY; generation goes before them. */
static const struct array {
	const char *name;
	enum type type;
	enum roll_col col;
} array[] = {
    {"intervals", I4, ROLL_INTERVALS},
    {"host_limited", I4, ROLL_HOST_LIMITED},
    {"sent", I4, ROLL_SENT},
    {"lost", I4, ROLL_LOST_FWD}, /* and undetermined ones */
    {"lost_undet", I4, ROLL_LOST_UNDET},
    {"lost_bwd", I4, ROLL_LOST_BWD},
    {"loss_runs", I4, ROLL_RUNS_LONG},
    {"delay_ms", F4, ROLL_FWD_MEAN},
    {"jitter_ms", F4, ROLL_FWD_IPDV},
    {"rtt_ms", F4, ROLL_RTT_MEAN},
    {"rtt_p99_ms", F4, ROLL_RTT_P99},
    {"back_delay_ms", F4, ROLL_BWD_MEAN},
    {"back_jitter_ms", F4, ROLL_BWD_IPDV},
    {"clock_err_ms", F4, ROLL_CLOCK_ERR},
    {"hops", I2, ROLL_FWD_HOPS},
    {"flags", I2, ROLL_FLAGS},
    {"loss_max_pct", F4, ROLL_SENT}, /* made of sent and lost */
};
enum { AT_SENT = 2, AT_LOST = 3, AT_LOST_UNDET = 4, AT_LOSS = 16 };
#define ARRAYS (sizeof(array) / sizeof(array[0]))
#define COLUMNS (7 + (int)ARRAYS)

/* A row to be made. */
struct target {
	int32_t src_id, class_id;
	int64_t rows, revisions; /* of its buckets, in this snapshot */
};

struct cell {
	bool there;
	double v[ARRAYS];
};

struct windows {
	struct cell cell[SLOT_MAX + 1];
	int32_t generation[SLOT_MAX + 1]; /* of the node that holds the slot */
	int16_t *slot;                    /* owned; by node id; 0: none */
	size_t slot_n;                    /* node ids below */
	size_t width;                     /* slots in use */
	struct target *target;            /* owned */
	size_t target_n;
};

struct windows *
windows_new(void)
{
	return calloc(1, sizeof(struct windows));
}

void
windows_free(struct windows *w)
{
	if (!w)
		return;
	free(w->slot);
	free(w->target);
	free(w);
}

static bool
no_memory(struct pgc_err *err)
{
	*err = (struct pgc_err){.text = "out of memory"};
	return false;
}

/* ---- what is due ---- */

/* What a window covers now: up to the end of the newest closed bucket. A source
 * whose rollup of that one is still to come waits for it. */
struct due {
	int64_t from_s, to_s;
	char sources[LIST_MAX];
};

static bool
find_due(struct rollup *r, const struct window *win, struct due *d,
         struct pgc_err *err)
{
	char step[24], buckets[24], grace[24], most[24];
	const char *p[] = {
	    win->name, dec_of(win->step_s, step), dec_of(win->buckets, buckets),
	    dec_of(r->grace_ns / NS_PER_MS, grace), dec_of(win->sources, most)};
	struct pgc_rows *rows;

	*d = (struct due){.from_s = 0};
	if (!pgc_query(
	        r->db,
	        "WITH late AS (SELECT coalesce(max(loss_timeout_ms + "
	        "ship_spread_ms + CASE WHEN 300000 % interval_ms = 0 THEN 0 "
	        "ELSE interval_ms END), 0) + $4::bigint AS ms FROM "
	        "twmesh.class WHERE retired_at IS NULL), t AS MATERIALIZED "
	        "(SELECT date_bin($2::integer * interval '1 s', "
	        "clock_timestamp() - ms * interval '1 ms', 'epoch') AS upto "
	        "FROM late), b AS MATERIALIZED (SELECT src_id, "
	        "sum(rolled_rows) AS rows, sum(rolled_revisions) AS revisions, "
	        "bool_or(ts >= t.upto - $2::integer * interval '1 s' AND (rows "
	        "<> rolled_rows OR revisions <> rolled_revisions)) AS waits "
	        "FROM twmesh_private.bucket, t WHERE step_s = $2::integer AND "
	        "ts < t.upto AND ts >= t.upto - $3::integer * $2::integer * "
	        "interval '1 s' GROUP BY 1), s AS (SELECT DISTINCT p.src_id "
	        "FROM twmesh_private.path_state p LEFT JOIN b ON b.src_id = "
	        "p.src_id WHERE b.waits IS NOT TRUE AND NOT EXISTS (SELECT "
	        "FROM t, "
	        "twmesh_private.path_window w WHERE w.src_id = p.src_id AND "
	        "w.class_id = p.class_id AND w.win = $1 AND w.as_of = t.upto "
	        "AND w.input_rows = coalesce(b.rows, 0) AND w.input_revisions "
	        "= coalesce(b.revisions, 0)) ORDER BY 1 LIMIT $5::integer) "
	        "SELECT extract(epoch FROM t.upto)::bigint, (SELECT "
	        "string_agg(src_id::text, ',') FROM s) FROM t",
	        5, p, &rows, err))
		return false;
	d->to_s = pgc_value_i64(rows, 0, 0, 0);
	d->from_s = d->to_s - win->buckets * win->step_s;
	if (pgc_value(rows, 0, 1))
		(void)snprintf(d->sources, sizeof(d->sources), "%s",
		               pgc_value(rows, 0, 1));
	pgc_rows_free(rows);
	return true;
}

/* ---- slots and targets ---- */

static bool
take_slots(struct windows *w, const struct pgc_rows *rows)
{
	const int n = pgc_rows_n(rows);
	const int64_t most = n ? pgc_value_i64(rows, n - 1, 0, 0) : 0;

	memset(w->generation, 0, sizeof(w->generation));
	w->width = 0;
	if (most < 0 || most > INT32_MAX)
		return false;
	free(w->slot);
	w->slot_n = (size_t)most + 1;
	w->slot = calloc(w->slot_n, sizeof(*w->slot));
	if (!w->slot)
		return false;
	for (int i = 0; i < n; i++) {
		const int64_t id = pgc_value_i64(rows, i, 0, 0);
		const int64_t slot = pgc_value_i64(rows, i, 1, 0);

		if (slot < 1 || slot > SLOT_MAX || id < 0 || id > most)
			continue;
		w->slot[id] = (int16_t)slot;
		w->generation[slot] = (int32_t)pgc_value_i64(rows, i, 2, 0);
		if ((size_t)slot > w->width)
			w->width = (size_t)slot;
	}
	return true;
}

static bool
read_slots(struct windows *w, struct rollup *r, struct pgc_err *err)
{
	struct pgc_rows *rows;
	bool ok;

	if (!pgc_query(r->db,
	               "SELECT node_id, slot, slot_generation FROM "
	               "twmesh.node WHERE removed_at IS NULL ORDER BY node_id",
	               0, NULL, &rows, err))
		return false;
	ok = take_slots(w, rows);
	pgc_rows_free(rows);
	return ok || no_memory(err);
}

static bool
read_targets(struct windows *w, struct rollup *r, const struct window *win,
             const struct due *d, struct pgc_err *err)
{
	char step[24], from[24], to[24], list[LIST_MAX + 2];
	const char *p[] = {dec_of(win->step_s, step), dec_of(d->from_s, from),
	                   dec_of(d->to_s, to), list};
	struct pgc_rows *rows;

	(void)snprintf(list, sizeof(list), "{%s}", d->sources);
	if (!pgc_query(
	        r->db,
	        "SELECT p.src_id, p.class_id, coalesce(b.rows, 0), "
	        "coalesce(b.revisions, 0) FROM twmesh_private.path_state p "
	        "LEFT JOIN (SELECT src_id, sum(rolled_rows) AS rows, "
	        "sum(rolled_revisions) AS revisions FROM "
	        "twmesh_private.bucket WHERE step_s = $1::integer AND ts >= "
	        "to_timestamp($2::bigint) AND ts < to_timestamp($3::bigint) "
	        "AND src_id = ANY ($4::integer[]) GROUP BY 1) b ON b.src_id = "
	        "p.src_id WHERE p.src_id = ANY ($4::integer[]) ORDER BY 1, 2",
	        4, p, &rows, err))
		return false;
	free(w->target);
	w->target_n = (size_t)pgc_rows_n(rows);
	w->target = calloc(w->target_n + 1, sizeof(*w->target));
	for (size_t i = 0; w->target && i < w->target_n; i++) {
		const int k = (int)i;

		w->target[i] = (struct target){
		    .src_id = (int32_t)pgc_value_i64(rows, k, 0, 0),
		    .class_id = (int32_t)pgc_value_i64(rows, k, 1, 0),
		    .rows = pgc_value_i64(rows, k, 2, 0),
		    .revisions = pgc_value_i64(rows, k, 3, 0)};
	}
	pgc_rows_free(rows);
	return w->target || no_memory(err);
}

/* ---- arrays ---- */

static void
put_value(struct pgbuf *b, enum type type, const struct cell *c, size_t i)
{
	const double v = c->there ? c->v[i] : (double)NAN;

	if (isnan(v))
		pgbuf_null(b);
	else if (type == F4)
		pgbuf_f4(b, (float)v);
	else if (type == I2)
		pgbuf_i2(b, (int16_t)v);
	else
		pgbuf_i4(b, v < INT32_MAX ? (int32_t)v : INT32_MAX);
}

/* A field whose length is known at its end. */
static size_t
open_field(struct pgbuf *b)
{
	pgbuf_raw32(b, 0);
	return b->len;
}

static void
close_field(struct pgbuf *b, size_t at)
{
	if (!b->failed)
		pg_store32(b->p + at - 4, (uint32_t)(b->len - at));
}

static bool
put_target(struct windows *w, struct rollup *r, const struct window *win,
           const struct due *d, const struct target *t, struct pgc_err *err)
{
	static const uint32_t elem[] = {PG_OID_INT4, PG_OID_INT2,
	                                PG_OID_FLOAT4};
	struct pgbuf *b = &r->out.buf;
	size_t at;

	if (!pgcopy_row(&r->out, err))
		return false;
	pgbuf_i4(b, t->src_id);
	pgbuf_i4(b, t->class_id);
	pgbuf_bytes(b, win->name, strlen(win->name));
	pgbuf_wall(b, (struct wall){d->to_s * NS_PER_S});
	pgbuf_i8(b, t->rows);
	pgbuf_i8(b, t->revisions);
	at = open_field(b);
	pgbuf_array(b, PG_OID_INT4, w->width);
	for (size_t s = 1; s <= w->width; s++)
		pgbuf_i4(b, w->cell[s].there ? w->generation[s] : 0);
	close_field(b, at);
	for (size_t i = 0; i < ARRAYS; i++) {
		at = open_field(b);
		pgbuf_array(b, elem[array[i].type], w->width);
		for (size_t s = 1; s <= w->width; s++)
			put_value(b, array[i].type, &w->cell[s], i);
		close_field(b, at);
	}
	return true;
}

static void
clear_cells(struct windows *w)
{
	for (size_t s = 0; s <= w->width; s++)
		w->cell[s].there = false;
}

/* A session is merged: into its cell, if its destination is in the mesh. */
static void
take_session(struct windows *w, struct roll *s)
{
	const size_t id = (size_t)(uint32_t)s->dst_id;
	const size_t slot = id < w->slot_n ? (size_t)w->slot[id] : 0;
	struct cell *c = &w->cell[slot];

	roll_finish(s);
	if (slot == 0)
		return;
	c->there = true;
	for (size_t i = 0; i < ARRAYS; i++)
		c->v[i] = s->v[array[i].col];
	c->v[AT_LOST] += c->v[AT_LOST_UNDET];
	c->v[AT_LOSS] = c->v[AT_SENT] > 0 ? 100 * c->v[AT_LOST] / c->v[AT_SENT]
	                                  : (double)NAN;
}
static_assert(AT_LOSS == ARRAYS - 1, "loss_max_pct is the last");

static bool
is_of(const struct roll *s, const struct target *t)
{
	return s->src_id == t->src_id && s->class_id == t->class_id;
}

/* Rows come in the order of targets; those of a class that is no part of the
 * plan any more are left out, and a target without rows becomes a row of empty
 * cells. */
static bool
merge_all(struct windows *w, struct rollup *r, const struct window *win,
          const struct due *d, struct pgc_err *err)
{
	bool more = false, open = false;
	size_t k = 0;

	clear_cells(w);
	for (;;) {
		if (!pgcopyout_row(&r->in, &more, err))
			return false;
		if (open && (!more || !roll_is_of(&r->sum, &r->in))) {
			/* Targets before it are through. */
			while (k < w->target_n &&
			       !is_of(&r->sum, &w->target[k]) &&
			       (w->target[k].src_id < r->sum.src_id ||
			        (w->target[k].src_id == r->sum.src_id &&
			         w->target[k].class_id < r->sum.class_id))) {
				if (!put_target(w, r, win, d, &w->target[k++],
				                err))
					return false;
				clear_cells(w);
			}
			if (k < w->target_n && is_of(&r->sum, &w->target[k]))
				take_session(w, &r->sum);
			open = false;
		}
		if (!more)
			break;
		if (!open)
			roll_start(&r->sum, &r->in);
		open = true;
		roll_add(&r->sum, &r->in);
	}
	for (; k < w->target_n; k++) {
		if (!put_target(w, r, win, d, &w->target[k], err))
			return false;
		clear_cells(w);
	}
	return true;
}

/* ---- a chunk ---- */

static bool
copy_out(struct rollup *r, const struct window *win, const struct due *d,
         struct pgc_err *err)
{
	char cols[ROLL_SQL_MAX], sql[ROLL_SQL_MAX + LIST_MAX + 400];

	roll_select_sql(false, cols);
	(void)snprintf(sql, sizeof(sql),
	               "COPY (SELECT %s FROM twmesh.%s r WHERE r.ts >= "
	               "to_timestamp(%" PRId64
	               ") AND r.ts < to_timestamp(%" PRId64
	               ") AND r.src_id IN (%s) ORDER BY r.src_id, r.class_id, "
	               "r.dst_id, r.ts) TO STDOUT (FORMAT binary)",
	               cols, win->table, d->from_s, d->to_s, d->sources);
	return pgcopyout_begin(&r->in, r->db, sql, err);
}

static bool
copy_in(struct rollup *r, struct pgc_err *err)
{
	char sql[1000];
	size_t n = (size_t)snprintf(
	    sql, sizeof(sql),
	    "COPY twmesh_private.path_window (src_id, class_id, win, as_of, "
	    "input_rows, input_revisions, generation");

	for (size_t i = 0; i < ARRAYS && n < sizeof(sql); i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, ", %s",
		                      array[i].name);
	if (n < sizeof(sql))
		(void)snprintf(sql + n, sizeof(sql) - n,
		               ") FROM STDIN (FORMAT binary)");
	return pgcopy_end(&r->out, NULL, err) &&
	       pgc_copy_begin(r->db, sql, err) &&
	       pgc_copy_put(r->db, r->out.buf.p, r->out.buf.len, err) &&
	       pgc_copy_end(r->db, NULL, NULL, err);
}

static bool
clear_rows(struct rollup *r, const struct window *win, const struct due *d,
           struct pgc_err *err)
{
	char list[LIST_MAX + 2];
	const char *p[] = {win->name, list};

	(void)snprintf(list, sizeof(list), "{%s}", d->sources);
	return pgc_exec_params(r->db,
	                       "DELETE FROM twmesh_private.path_window WHERE "
	                       "win = $1 AND src_id = ANY ($2::integer[])",
	                       2, p, NULL, err);
}

static bool
make(struct windows *w, struct rollup *r, const struct window *win,
     const struct due *d, struct pgc_err *err)
{
	bool ours;

	if (!pgc_exec(r->db, "BEGIN ISOLATION LEVEL REPEATABLE READ", err) ||
	    !read_slots(w, r, err) || !read_targets(w, r, win, d, err) ||
	    !pgcopy_begin(&r->out, NULL, NULL, COLUMNS, err) ||
	    !copy_out(r, win, d, err) || !merge_all(w, r, win, d, err) ||
	    !lease_fence(r->lease, r->db, &ours, err))
		return false;
	if (!ours)
		return pgc_exec(r->db, "ROLLBACK", err);
	return clear_rows(r, win, d, err) && copy_in(r, err) &&
	       pgc_exec(r->db, "COMMIT", err);
}

bool
windows_some(struct windows *w, struct rollup *r, size_t which, bool *more,
             struct pgc_err *err)
{
	const struct window *win = &window[which];
	struct pgc_err rolled_back;
	struct due d;

	*more = false;
	if (!find_due(r, win, &d, err))
		return false;
	if (!d.sources[0])
		return true;
	*more = true;
	if (make(w, r, win, &d, err))
		return true;
	if (!pgc_ok(r->db) || !pgc_exec(r->db, "ROLLBACK", &rolled_back))
		return false;
	/* A conflict, or a node that was just removed: once more. */
	return strncmp(err->sqlstate, "40", 2) == 0;
}
