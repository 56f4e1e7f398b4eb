/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Partitions (leaves) of the history. They come by CREATE and ATTACH, which
 * no reader can hold up. They go by DETACH CONCURRENTLY, which waits for
 * readers without holding up anybody, and DROP, which is tried for a moment
 * only. Indexes of leaves that are over are built CONCURRENTLY.
 *
 * CONCURRENTLY cannot stand in a transaction and so has no fence: it is done
 * by one session of the database at a time (an advisory lock that ends with
 * it), and each step is right whoever does it, and however often.
 */
#include "controller/keeper_jobs.h"

#include "controller/roster_priv.h"
#include "lib/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long DROP and the like may stand in the way of others. */
#define IN_THE_WAY_MS "100"
/* How long DETACH CONCURRENTLY waits for readers before it is left half done,
 * to be finished later: meanwhile no index is built. */
#define FOR_READERS_MS "60000"
/* Results of a day that is over come for a while. */
#define CLOSED_AFTER "interval '1 hour'"
/* And late ones for as long as a spool keeps them. */
#define LATE_FOR "interval '4 days'"
/* Of a partition that is detached and to be dropped. */
#define DOOMED "'Has outlived its use, is being dropped.'"

bool
keeper_begin(struct lease *l, struct pgc *db, const char *begin, bool *ours,
             struct pgc_err *err)
{
	if (!pgc_exec(db, begin, err) || !lease_fence(l, db, ours, err))
		return false;
	return *ours || pgc_exec(db, "ROLLBACK", err);
}

/* ---- making ---- */

static bool
make_one(struct lease *l, struct pgc *db, const char *step, const char *day,
         bool *ours, struct pgc_err *err)
{
	const char *p[] = {day, step};
	const bool raw = strcmp(step, "0") == 0;
	bool ok;

	if (!keeper_begin(l, db, "BEGIN", ours, err))
		return false;
	if (!*ours)
		return true;
	ok = pgc_exec_params(
	    db,
	    raw ? "SELECT twmesh_private.add_partition($1::date)"
	        : "SELECT twmesh_private.add_rollup_partition($2::integer, "
	          "$1::date)",
	    raw ? 1 : 2, p, NULL, err);
	return roster_end(db, ok, err);
}

bool
leaves_make(struct lease *l, struct pgc *db, struct pgc_err *err)
{
	struct pgc_rows *rows;
	bool ok = true, ours = true;

	if (!pgc_query(
	        db,
	        "SELECT 0, d::date FROM generate_series(current_date - 3, "
	        "current_date + 2, interval '1 day') d WHERE EXISTS (SELECT "
	        "FROM unnest(ARRAY['result', 'result_detail', 'result_flow']) "
	        "p WHERE to_regclass('twmesh.' || p || to_char(d, "
	        "'_YYYYMMDD')) IS NULL) UNION ALL SELECT 300, d::date FROM "
	        "generate_series(current_date - 3, current_date + 2, interval "
	        "'1 day') d WHERE to_regclass('twmesh.rollup_5min' || "
	        "to_char(d, '_YYYYMMDD')) IS NULL UNION ALL SELECT DISTINCT "
	        "3600, date_trunc('month', current_date + d)::date FROM "
	        "unnest(ARRAY[-3, 0, 2]) d WHERE to_regclass("
	        "'twmesh.rollup_1h' || to_char(current_date + d, '_YYYYMM')) "
	        "IS NULL ORDER BY 1, 2",
	        0, NULL, &rows, err))
		return false;
	for (int i = 0; ok && ours && i < pgc_rows_n(rows); i++)
		ok = make_one(l, db, pgc_value(rows, i, 0),
		              pgc_value(rows, i, 1), &ours, err);
	pgc_rows_free(rows);
	return ok;
}

/* ---- tidying ---- */

bool
leaves_turn(struct pgc *db, bool *ours, struct pgc_err *err)
{
	struct pgc_rows *rows;

	if (!pgc_query(db,
	               "SELECT pg_try_advisory_lock(hashtext("
	               "'twmesh.leaves'))",
	               0, NULL, &rows, err))
		return false;
	*ours = pgc_value_bool(rows, 0, 0);
	pgc_rows_free(rows);
	return true;
}

/* What is due; the first word of `what` says it. Names come from the catalog
 * and match a pattern: they need no quotes. */
struct due {
	/* "" nothing, finish, drop, detach, call, junk, index, spare */
	char what[8];
	char leaf[64], parent[64];
};

static bool
find_due(struct pgc *db, const struct keep *keep, struct due *d,
         struct pgc_err *err)
{
	char raw[24], five[24], hour[24];
	const char *p[] = {dec_of(keep->raw, raw), dec_of(keep->five, five),
	                   dec_of(keep->hour, hour)};
	struct pgc_rows *rows;

	*d = (struct due){.what = ""};
	if (!pgc_query(
	        db,
	        "WITH l AS MATERIALIZED (SELECT * FROM twmesh_private.leaf) "
	        "SELECT 'finish', name, parent, 1 AS rank FROM l WHERE "
	        "pending AND ours "
	        "UNION ALL SELECT 'drop', c.relname::text, '', 2 FROM "
	        "pg_class c WHERE c.relnamespace = 'twmesh'::regnamespace AND "
	        "c.relkind = 'r' AND obj_description(c.oid, 'pg_class') "
	        "= " DOOMED " AND NOT EXISTS (SELECT FROM pg_inherits i WHERE "
	        "i.inhrelid = c.oid) "
	        "UNION ALL SELECT CASE WHEN ours THEN 'detach' ELSE 'call' "
	        "END, name, parent, 3 FROM l WHERE NOT pending AND t_to < "
	        "now() - make_interval(days => $1::integer) AND "
	        "twmesh_private.leaf_is_old(name, $1::integer, $2::integer, "
	        "$3::integer) "
	        "UNION ALL SELECT CASE WHEN x.indisvalid THEN '' WHEN "
	        "x.indexrelid IS NULL THEN 'index' ELSE 'junk' END, l.name, "
	        "l.parent, 4 FROM l LEFT JOIN pg_index x ON x.indexrelid = "
	        "to_regclass('twmesh.' || l.name || '_path') WHERE l.ours AND "
	        "l.parent = 'result' AND NOT l.pending AND x.indisvalid IS "
	        "NOT TRUE AND t_to + " CLOSED_AFTER " <= clock_timestamp() "
	        "UNION ALL SELECT 'spare', l.name, l.parent, 5 FROM l WHERE "
	        "l.ours AND l.parent = 'result' AND NOT l.pending AND l.t_to "
	        "+ " LATE_FOR " <= clock_timestamp() AND EXISTS "
	        "(SELECT FROM pg_index x WHERE x.indexrelid = "
	        "to_regclass('twmesh.' || l.name || '_path') AND "
	        "x.indisvalid) AND to_regclass('twmesh.' || l.name || "
	        "'_src') IS NOT NULL "
	        "ORDER BY 4, 2 LIMIT 1",
	        3, p, &rows, err))
		return false;
	if (pgc_rows_n(rows) > 0) {
		(void)snprintf(d->what, sizeof(d->what), "%s",
		               pgc_value(rows, 0, 0));
		(void)snprintf(d->leaf, sizeof(d->leaf), "%s",
		               pgc_value(rows, 0, 1));
		(void)snprintf(d->parent, sizeof(d->parent), "%s",
		               pgc_value(rows, 0, 2));
	}
	pgc_rows_free(rows);
	return true;
}

/* A statement in pieces, the last one NULL. */
static bool
say(struct pgc *db, const char *wait_ms, const char *const *piece,
    struct pgc_err *err)
{
	char sql[400];
	size_t n = 0;

	(void)snprintf(sql, sizeof(sql), "SET lock_timeout = %s", wait_ms);
	if (!pgc_exec(db, sql, err))
		return false;
	for (; *piece && n < sizeof(sql); piece++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, "%s", *piece);
	return pgc_exec(db, sql, err);
}
#define SAY(db, wait_ms, err, ...) \
	say(db, wait_ms, (const char *const[]){__VA_ARGS__, NULL}, err)

/* In a transaction with the fence, and so no later than the lease. */
static bool
drop(struct lease *l, struct pgc *db, const struct due *d,
     const struct keep *keep, bool *done, struct pgc_err *err)
{
	const bool call = strcmp(d->what, "call") == 0;
	char raw[24], five[24], hour[24];
	const char *p[] = {d->leaf, dec_of(keep->raw, raw),
	                   dec_of(keep->five, five), dec_of(keep->hour, hour)};
	bool ok;

	if (!keeper_begin(l, db, "BEGIN", done, err))
		return false;
	if (!*done)
		return true;
	if (call)
		ok = pgc_exec_params(db,
		                     "SELECT twmesh_private.drop_leaf($1, "
		                     "$2::integer, $3::integer, $4::integer)",
		                     4, p, NULL, err);
	else
		ok = SAY(db, IN_THE_WAY_MS, err, "DROP TABLE twmesh.", d->leaf);
	if (!roster_end(db, ok, err))
		return false;
	log_info("keeper: partition %s was dropped", d->leaf);
	return true;
}

static bool
build(struct pgc *db, const struct due *d, struct pgc_err *err)
{
	/* Waits for the longest transaction, and blocks nobody. */
	if (!SAY(db, "0", err, "CREATE INDEX CONCURRENTLY ", d->leaf,
	         "_path ON twmesh.", d->leaf, " (src_id, dst_id, ts)"))
		return false;
	log_info("keeper: index %s_path was built", d->leaf);
	return true;
}

bool
leaves_tidy(struct lease *l, struct pgc *db, const struct keep *keep,
            bool *more, struct pgc_err *err)
{
	struct due d;

	*more = false;
	if (!find_due(db, keep, &d, err))
		return false;
	*more = d.what[0] != '\0';
	if (strcmp(d.what, "drop") == 0 || strcmp(d.what, "call") == 0)
		return drop(l, db, &d, keep, more, err);
	/* What follows has no fence. */
	if (strcmp(d.what, "detach") == 0)
		return SAY(db, IN_THE_WAY_MS, err, "COMMENT ON TABLE twmesh.",
		           d.leaf, " IS " DOOMED) &&
		       SAY(db, FOR_READERS_MS, err, "ALTER TABLE twmesh.",
		           d.parent, " DETACH PARTITION twmesh.", d.leaf,
		           " CONCURRENTLY");
	if (strcmp(d.what, "finish") == 0)
		return SAY(db, IN_THE_WAY_MS, err, "ALTER TABLE twmesh.",
		           d.parent, " DETACH PARTITION twmesh.", d.leaf,
		           " FINALIZE");
	/* What served the open day; (src_id, dst_id, ts) does that better. */
	if (strcmp(d.what, "spare") == 0)
		return SAY(db, "0", err,
		           "DROP INDEX CONCURRENTLY IF EXISTS twmesh.", d.leaf,
		           "_src");
	if (strcmp(d.what, "junk") == 0)
		return SAY(db, "0", err,
		           "DROP INDEX CONCURRENTLY IF EXISTS twmesh.", d.leaf,
		           "_path");
	return !*more || build(db, &d, err);
}

/* ---- forgetting ---- */

/* Batches whose rows can only be of days that are dropped. Those that a node
 * may have to send again lie behind next_seq. */
#define FORGET_SQL                                                            \
	"WITH o AS (SELECT min(t_from) AS at FROM twmesh_private.leaf WHERE " \
	"parent = 'result'), a AS (DELETE FROM twmesh_private.bucket WHERE "  \
	"ts "                                                                 \
	"< (SELECT at FROM o) AND ctid = ANY (ARRAY(SELECT ctid FROM "        \
	"twmesh_private.bucket WHERE ts < (SELECT at FROM o) LIMIT 20000)) "  \
	"RETURNING 1), b AS (DELETE FROM twmesh_private.ledger WHERE ctid = " \
	"ANY (ARRAY(SELECT l.ctid FROM twmesh_private.ledger l JOIN "         \
	"twmesh_private.spool s ON s.node_id = l.node_id AND s.spool_id = "   \
	"l.spool_id AND l.seq < s.next_seq - 1 WHERE l.stored_at < (SELECT "  \
	"at "                                                                 \
	"FROM o) - interval '1 day' LIMIT 20000)) RETURNING 1) SELECT "       \
	"twmesh_private.forget_old(2000) OR "                                 \
	"twmesh_private.forget_changes(2000) OR (SELECT count(*) >= 20000 "   \
	"FROM "                                                               \
	"a) "                                                                 \
	"OR (SELECT count(*) >= 20000 FROM b)"

bool
keeper_forget(struct lease *l, struct pgc *db, bool *more, struct pgc_err *err)
{
	struct pgc_rows *rows = NULL;
	bool ours, ok;

	*more = false;
	if (!keeper_begin(l, db, "BEGIN", &ours, err))
		return false;
	if (!ours)
		return true;
	ok = pgc_query(db, FORGET_SQL, 0, NULL, &rows, err);
	if (ok)
		*more = pgc_value_bool(rows, 0, 0);
	pgc_rows_free(rows);
	return roster_end(db, ok, err);
}
