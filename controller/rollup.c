/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/rollup.h"

#include "controller/keeper_jobs.h"
#include "controller/roster_priv.h"
#include "lib/base/clock_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIVE 300
#define HOUR 3600
/* Rows that one transaction takes out, and sources it may be of: so that it
 * lasts a second or so. */
#define CHUNK_ROWS "100000"
#define SOURCES_MAX 200
#define GRACE_NS (10 * NS_PER_S)
#define BEGIN_SNAPSHOT "BEGIN ISOLATION LEVEL REPEATABLE READ"

/* A piece of work: one bucket, some sources. */
struct chunk {
	int64_t at_s; /* since 1970 */
	char day[24], month[24];
	char sources[SOURCES_MAX * 12]; /* "1,2,3" */
	bool again;                     /* rolled up before */
};

struct rollup *
rollup_new(void)
{
	struct rollup *r = calloc(1, sizeof(*r));

	if (r)
		r->grace_ns = GRACE_NS;
	return r;
}

void
rollup_free(struct rollup *r)
{
	if (!r)
		return;
	pgcopyout_clear(&r->in);
	pgcopy_clear(&r->out);
	free(r);
}

bool
rollup_attach(struct rollup *r, struct lease *l, struct pgc *db,
              struct pgc_err *err)
{
	r->lease = l;
	r->db = db;
	/* Rows of a chunk are sorted in memory. */
	return pgc_exec(db, "SET work_mem = '64MB'", err);
}

bool
rollup_count(struct rollup *r, struct pgc_err *err)
{
	bool ours, ok;

	if (!keeper_begin(r->lease, r->db, BEGIN_SNAPSHOT, &ours, err))
		return false;
	if (!ours)
		return true;
	ok = pgc_exec(
	    r->db,
	    "WITH gone AS (DELETE FROM twmesh_private.stored RETURNING ts, "
	    "src_id, rows, revisions) INSERT INTO twmesh_private.bucket AS b "
	    "(step_s, ts, src_id, rows, revisions) SELECT 300, ts, src_id, "
	    "sum(rows), sum(revisions) FROM gone GROUP BY ts, src_id ON "
	    "CONFLICT (step_s, ts, src_id) DO UPDATE SET rows = b.rows + "
	    "excluded.rows, revisions = b.revisions + excluded.revisions",
	    err);
	return roster_end(r->db, ok, err);
}

/* ---- what is stale ---- */

static bool
find_chunk(struct rollup *r, int step_s, struct chunk *c, struct pgc_err *err)
{
	char step[24], grace[24];
	const char *p[] = {dec_of(step_s, step),
	                   dec_of(r->grace_ns / NS_PER_MS, grace)};
	struct pgc_rows *rows;

	*c = (struct chunk){.at_s = 0};
	/* An interval that does not divide 5 minutes may end later. */
	if (!pgc_query(
	        r->db,
	        "WITH late AS (SELECT coalesce(max(loss_timeout_ms + "
	        "ship_spread_ms + CASE WHEN 300000 % interval_ms = 0 THEN 0 "
	        "ELSE interval_ms END), 0) + $2::bigint AS ms FROM "
	        "twmesh.class WHERE retired_at IS NULL), b AS (SELECT ts, "
	        "rolled_rows > 0 AS again FROM twmesh_private.bucket WHERE "
	        "step_s = $1::integer AND (rows <> rolled_rows OR revisions "
	        "<> rolled_revisions) AND ts <= clock_timestamp() - "
	        "$1::integer "
	        "* interval '1 s' - (SELECT ms FROM late) * interval '1 ms' "
	        "ORDER BY ts DESC LIMIT 1), s AS (SELECT k.src_id, b.ts, "
	        "b.again, row_number() OVER w AS n, sum(k.rows) OVER w - "
	        "k.rows AS before FROM b JOIN twmesh_private.bucket k ON "
	        "k.step_s = $1::integer AND k.ts = b.ts AND (k.rows <> "
	        "k.rolled_rows OR k.revisions <> k.rolled_revisions) AND "
	        "(k.rolled_rows > 0) = b.again WINDOW w AS (ORDER BY "
	        "k.src_id)) SELECT extract(epoch FROM ts)::bigint, "
	        "to_char(ts, 'YYYYMMDD'), again, string_agg(src_id::text, "
	        "',' ORDER BY src_id) FROM s WHERE n <= 200 AND before "
	        "< " CHUNK_ROWS " GROUP BY ts, again",
	        2, p, &rows, err))
		return false;
	if (pgc_rows_n(rows) > 0) {
		c->at_s = pgc_value_i64(rows, 0, 0, 0);
		c->again = pgc_value_bool(rows, 0, 2);
		(void)snprintf(c->day, sizeof(c->day), "%s",
		               pgc_value(rows, 0, 1));
		(void)snprintf(c->sources, sizeof(c->sources), "%s",
		               pgc_value(rows, 0, 3));
	}
	pgc_rows_free(rows);
	return true;
}

/* ---- a bucket ---- */

/* Room for a chunk's query. */
#define OUT_SQL_MAX (2 * ROLL_SQL_MAX + 2 * SOURCES_MAX * 12 + 1000)

/* " FROM … WHERE" the chunk's sources and time, of table alias `t`. */
static size_t
from_sql(const char *table, const char *day, const char *t, int step_s,
         const struct chunk *c, char *sql, size_t size)
{
	return (size_t)snprintf(
	    sql, size,
	    " FROM twmesh.%s%s %s WHERE %s.src_id IN (%s) AND %s.ts >= "
	    "to_timestamp(%" PRId64 ") AND %s.ts < to_timestamp(%" PRId64 ")",
	    table, day, t, t, c->sources, t, c->at_s, t, c->at_s + step_s);
}

/* The leaf itself, not its parent: one that is gone is an error. */
static void
out_sql(int step_s, const struct chunk *c, char sql[OUT_SQL_MAX])
{
	char cols[ROLL_SQL_MAX];
	size_t n;

	roll_select_sql(step_s == FIVE, cols);
	n = (size_t)snprintf(sql, OUT_SQL_MAX, "COPY (SELECT %s, r.ts AS at",
	                     cols);
	n += from_sql(step_s == FIVE ? "result_" : "rollup_5min",
	              step_s == FIVE ? c->day : "", "r", step_s, c, sql + n,
	              OUT_SQL_MAX - n);
	if (step_s == FIVE) {
		roll_detail_sql(cols);
		n += (size_t)snprintf(sql + n, OUT_SQL_MAX - n,
		                      " UNION ALL SELECT %s, d.ts", cols);
		n += from_sql("result_detail_", c->day, "d", step_s, c, sql + n,
		              OUT_SQL_MAX - n);
		n += (size_t)snprintf(sql + n, OUT_SQL_MAX - n,
		                      " AND (d.loss_runs_1 > 0 OR "
		                      "d.loss_runs_2 > 0 OR d.loss_runs_long "
		                      "> 0)");
	}
	(void)snprintf(sql + n, OUT_SQL_MAX - n,
	               " ORDER BY src_id, dst_id, class_id, at) TO STDOUT "
	               "(FORMAT binary)");
}

/* Rows in order of sessions; each session becomes a row of `out`. */
static bool
merge_all(struct rollup *r, const struct chunk *c, struct pgc_err *err)
{
	const struct wall ts = {c->at_s * NS_PER_S};
	bool more = false, open = false;

	for (;;) {
		if (!pgcopyout_row(&r->in, &more, err))
			return false;
		if (open && (!more || !roll_is_of(&r->sum, &r->in))) {
			roll_finish(&r->sum);
			if (r->sum.open && !roll_put(&r->sum, ts, &r->out, err))
				return false;
			open = false;
		}
		if (!more)
			return true;
		if (!open)
			roll_start(&r->sum, &r->in);
		open = true;
		roll_add(&r->sum, &r->in);
	}
}

/* What was encoded goes in as one COPY. */
static bool
copy_in(struct rollup *r, int step_s, struct pgc_err *err)
{
	char cols[ROLL_SQL_MAX], sql[ROLL_SQL_MAX + 100];

	if (!pgcopy_end(&r->out, NULL, err))
		return false;
	roll_columns_sql(cols);
	(void)snprintf(sql, sizeof(sql),
	               "COPY twmesh.rollup_%s (%s) FROM STDIN (FORMAT binary)",
	               step_s == FIVE ? "5min" : "1h", cols);
	return pgc_copy_begin(r->db, sql, err) &&
	       pgc_copy_put(r->db, r->out.buf.p, r->out.buf.len, err) &&
	       pgc_copy_end(r->db, NULL, NULL, err);
}

static bool
replace(struct rollup *r, int step_s, const struct chunk *c,
        struct pgc_err *err)
{
	char sql[sizeof(c->sources) + 200];

	(void)snprintf(sql, sizeof(sql),
	               "DELETE FROM twmesh.rollup_%s WHERE ts = "
	               "to_timestamp(%" PRId64 ") AND src_id IN (%s)",
	               step_s == FIVE ? "5min" : "1h", c->at_s, c->sources);
	return (!c->again || pgc_exec(r->db, sql, err)) &&
	       copy_in(r, step_s, err);
}

/* Fresh as of this snapshot; and what an hour is made of. */
static bool
note_done(struct rollup *r, int step_s, const struct chunk *c,
          struct pgc_err *err)
{
	char at[24], step[24], hour[24], list[sizeof(c->sources) + 2];
	const char *p[] = {dec_of(c->at_s, at), dec_of(step_s, step), list};
	const char *q[] = {dec_of(c->at_s - c->at_s % HOUR, hour), list};

	(void)snprintf(list, sizeof(list), "{%s}", c->sources);
	return pgc_exec_params(
	           r->db,
	           "UPDATE twmesh_private.bucket SET rolled_rows = rows, "
	           "rolled_revisions = revisions WHERE step_s = $2::integer "
	           "AND ts = to_timestamp($1::bigint) AND src_id = ANY "
	           "($3::integer[])",
	           3, p, NULL, err) &&
	       (step_s != FIVE ||
	        pgc_exec_params(
	            r->db,
	            "INSERT INTO twmesh_private.bucket (step_s, ts, src_id, "
	            "rows, revisions) SELECT 3600, to_timestamp($1::bigint), "
	            "src_id, sum(rolled_rows), sum(rolled_revisions) FROM "
	            "twmesh_private.bucket WHERE step_s = 300 AND ts >= "
	            "to_timestamp($1::bigint) AND ts < to_timestamp($1::bigint "
	            "+ 3600) AND src_id = ANY ($2::integer[]) GROUP BY src_id "
	            "ON CONFLICT (step_s, ts, src_id) DO UPDATE SET rows = "
	            "excluded.rows, revisions = excluded.revisions",
	            2, q, NULL, err));
}

static bool
lock_leaf(struct rollup *r, int step_s, const struct chunk *c,
          struct pgc_err *err)
{
	char sql[120];

	if (step_s != FIVE)
		return true;
	(void)snprintf(sql, sizeof(sql),
	               "LOCK TABLE twmesh.result_%s, twmesh.result_detail_%s "
	               "IN ACCESS SHARE MODE",
	               c->day, c->day);
	return pgc_exec(r->db, sql, err);
}

static bool
roll_up(struct rollup *r, int step_s, const struct chunk *c,
        struct pgc_err *err)
{
	char sql[OUT_SQL_MAX];
	bool ours;

	/* The leaf is held before the snapshot is taken. */
	if (!pgc_exec(r->db, BEGIN_SNAPSHOT, err) ||
	    !lock_leaf(r, step_s, c, err))
		return false;
	out_sql(step_s, c, sql);
	if (!pgcopy_begin(&r->out, NULL, NULL, ROLL_COLUMNS, err) ||
	    !pgcopyout_begin(&r->in, r->db, sql, err) || !merge_all(r, c, err))
		return false;
	/* Only now: a process that is stopped while it reads holds up nobody. A
	 * lease that was taken meanwhile is a conflict with the snapshot. */
	if (!lease_fence(r->lease, r->db, &ours, err))
		return false;
	if (!ours)
		return pgc_exec(r->db, "ROLLBACK", err);
	return replace(r, step_s, c, err) && note_done(r, step_s, c, err) &&
	       pgc_exec(r->db, "COMMIT", err);
}

/* The raw rows are gone: what was rolled up of them stays as it is. */
static bool
give_up(struct rollup *r, const struct chunk *c, struct pgc_err *err)
{
	char at[24];
	const char *p[] = {dec_of(c->at_s, at)};
	uint64_t held;
	bool ours, ok;

	if (log_limit_ok(&r->log_gone, clock_mono(), &held))
		log_warn("keeper: results of %s that came late are not rolled "
		         "up: their partition is gone (%" PRIu64 " more)",
		         c->day, held);
	if (!keeper_begin(r->lease, r->db, "BEGIN", &ours, err))
		return false;
	if (!ours)
		return true;
	ok = pgc_exec_params(r->db,
	                     "DELETE FROM twmesh_private.bucket WHERE step_s "
	                     "= 300 AND ts = to_timestamp($1::bigint)",
	                     1, p, NULL, err);
	return roster_end(r->db, ok, err);
}

static bool
make_leaf(struct rollup *r, int step_s, const struct chunk *c,
          struct pgc_err *err)
{
	char step[24];
	const char *p[] = {dec_of(step_s, step), c->day};

	return pgc_exec_params(r->db,
	                       "SELECT twmesh_private.add_rollup_partition("
	                       "$1::integer, $2::date)",
	                       2, p, NULL, err);
}

bool
rollup_some(struct rollup *r, int step_s, bool *more, struct pgc_err *err)
{
	struct chunk c;
	struct pgc_err rolled_back;

	*more = false;
	if (!find_chunk(r, step_s, &c, err))
		return false;
	if (!c.at_s)
		return true;
	*more = true;
	if (!make_leaf(r, step_s, &c, err))
		return false;
	if (roll_up(r, step_s, &c, err))
		return true;
	if (!pgc_ok(r->db) || !pgc_exec(r->db, "ROLLBACK", &rolled_back))
		return false;
	if (strcmp(err->sqlstate, "42P01") == 0)
		return give_up(r, &c, err);
	/* A conflict with who took the lease, or with a writer: once more. */
	return strncmp(err->sqlstate, "40", 2) == 0;
}
