/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/audit.h"

#include "controller/roster_priv.h"
#include "lib/base/result.h"
#include "lib/pg/pgbuf.h"
#include "lib/stats/clockaudit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_MAX 4096
#define NO_NODE (-1)
/* Larger delays are put aside with their clocks (a minute off) long before. */
#define DELAY_MAX_MS 1e6
#define COLS 5 /* of the result that is written */

struct mesh {
	size_t n;
	int32_t *id, *generation;      /* owned, as the following */
	struct clock_claim *claim;     /* by place: in the order of ids */
	struct clock_finding *finding; /* the same */
	int64_t *min_ns;               /* [from * n + to] */
	int16_t place_of_slot[SLOT_MAX + 1];
};

bool
audit_attach(struct pgc *db, size_t reference_n, struct pgc_err *err)
{
	/* What a cell may lie behind its row's newest interval and still speak
	 * of now: left_us. By the controller's clock, since a node's may be
	 * what is wrong. */
	if (!pgc_prepare(
	        db, "audit_rows",
	        "SELECT slot, left_us, generation, behind_us, flags, "
	        "fwd_min_ms, bwd_min_ms FROM (SELECT n.slot, "
	        "(1000000 * extract(epoch FROM make_interval(secs => (3 * "
	        "k.interval_ms + k.loss_timeout_ms + k.ship_spread_ms) / "
	        "1000.0 + 10) - (clock_timestamp() - p.newest_measured_at + "
	        "coalesce(l.clock_offset_ms, 0) * interval '1 ms')))::bigint "
	        "AS left_us, p.generation, p.behind_us, p.flags, "
	        "p.fwd_min_ms, p.bwd_min_ms FROM twmesh_private.path_state p "
	        "JOIN twmesh.class k ON k.class_id = p.class_id AND "
	        "k.retired_at IS NULL JOIN twmesh.node n ON n.node_id = "
	        "p.src_id AND n.removed_at IS NULL LEFT JOIN "
	        "twmesh_private.node_live l ON l.node_id = p.src_id) x "
	        "WHERE left_us >= 0",
	        err) ||
	    !pgc_prepare(
	        db, "audit_write",
	        "WITH v AS (SELECT * FROM unnest($1::integer[], $2::text[], "
	        "$3::double precision[], $4::double precision[], "
	        "$5::double precision[]) AS v (node_id, verdict, lo, hi, "
	        "estimate)), gone AS (DELETE FROM twmesh_private.clock_audit "
	        "WHERE node_id <> ALL ($1::integer[])) "
	        "INSERT INTO twmesh_private.clock_audit SELECT v.*, "
	        "clock_timestamp() FROM v ON CONFLICT (node_id) DO UPDATE SET "
	        "verdict = excluded.verdict, lo_ms = excluded.lo_ms, hi_ms = "
	        "excluded.hi_ms, estimate_ms = excluded.estimate_ms, "
	        "audited_at = excluded.audited_at",
	        err))
		return false;
	return reference_n > 0 ||
	       pgc_exec(db, "DELETE FROM twmesh_private.clock_audit", err);
}

static bool
no_memory(struct pgc_err *err)
{
	*err = (struct pgc_err){.text = "out of memory"};
	return false;
}

static void
mesh_clear(struct mesh *m)
{
	free(m->id);
	free(m->generation);
	free(m->claim);
	free(m->finding);
	free(m->min_ns);
}

static bool
mesh_make(struct mesh *m, size_t n)
{
	m->n = n;
	m->id = calloc(n, sizeof(*m->id));
	m->generation = calloc(n, sizeof(*m->generation));
	m->claim = calloc(n, sizeof(*m->claim));
	m->finding = calloc(n, sizeof(*m->finding));
	m->min_ns = calloc(n * n, sizeof(*m->min_ns));
	if (!m->id || !m->generation || !m->claim || !m->finding || !m->min_ns)
		return false;
	for (size_t i = 0; i < n * n; i++)
		m->min_ns[i] = NS_UNKNOWN;
	for (size_t i = 0; i <= SLOT_MAX; i++)
		m->place_of_slot[i] = NO_NODE;
	return true;
}

/* ---- nodes and what their clocks claim ---- */

static bool
is_named(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(name, list[i]) == 0)
			return true;
	}
	return false;
}

static void
take_nodes(struct mesh *m, const struct pgc_rows *rows,
           const char *const *reference, size_t reference_n)
{
	for (size_t i = 0; i < m->n; i++) {
		const int r = (int)i;
		const int64_t slot = pgc_value_i64(rows, r, 1, 0);
		const int64_t error_ns = pgc_value_i64(rows, r, 4, -1);

		m->id[i] = (int32_t)pgc_value_i64(rows, r, 0, 0);
		m->generation[i] = (int32_t)pgc_value_i64(rows, r, 2, 0);
		if (slot > 0 && slot <= SLOT_MAX)
			m->place_of_slot[slot] = (int16_t)i;
		m->claim[i] = (struct clock_claim){
		    .reference =
		        is_named(pgc_value(rows, r, 3), reference, reference_n),
		    .synchronised = pgc_value_bool(rows, r, 5) && error_ns >= 0,
		    .max_error_ns = error_ns > 0 ? error_ns : 0,
		};
	}
}

static const char *
missing_of(const struct pgc_rows *rows, const char *const *reference, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = 0;

		while (r < pgc_rows_n(rows) &&
		       strcmp(pgc_value(rows, r, 3), reference[i]) != 0)
			r++;
		if (r == pgc_rows_n(rows))
			return reference[i];
	}
	return NULL;
}

static bool
read_nodes(struct pgc *db, struct mesh *m, const char *const *reference,
           size_t reference_n, struct audit_report *out, struct pgc_err *err)
{
	struct pgc_rows *rows;
	bool ok;

	if (!pgc_query(db,
	               "SELECT n.node_id, n.slot, n.slot_generation, n.name, "
	               "least(l.clock_max_error_ms * 1000000, 1e15)::bigint, "
	               "coalesce(l.clock_synchronised, false) FROM "
	               "twmesh.node n LEFT JOIN twmesh_private.node_live l ON "
	               "l.node_id = n.node_id WHERE n.removed_at IS NULL AND "
	               "n.kind = 'node' AND n.slot BETWEEN 1 AND 4096 ORDER BY "
	               "n.node_id",
	               0, NULL, &rows, err))
		return false;
	out->nodes = (size_t)pgc_rows_n(rows);
	out->missing = missing_of(rows, reference, reference_n);
	ok = out->nodes == 0 || mesh_make(m, out->nodes);
	if (ok && out->nodes > 0)
		take_nodes(m, rows, reference, reference_n);
	pgc_rows_free(rows);
	return ok || no_memory(err);
}

/* ---- smallest delays ---- */

static void
note(struct mesh *m, size_t from, size_t to, float ms)
{
	int64_t *min = &m->min_ns[from * m->n + to];
	int64_t ns;

	if (isnan(ms) || fabs((double)ms) > DELAY_MAX_MS)
		return;
	ns = (int64_t)llround((double)ms * 1e6);
	if (*min == NS_UNKNOWN || ns < *min)
		*min = ns;
}

static int64_t
value_of(const struct pgc_rows *rows, int row, int col)
{
	const char *p = pgc_value(rows, row, col);
	const size_t n = pgc_value_len(rows, row, col);
	uint64_t v = 0;

	for (size_t i = 0; p && i < n && n <= 8; i++)
		v = v << 8 | (uint8_t)p[i];
	return (int64_t)v;
}

/* A source's row; one with arrays that do not fit is left out. */
static void
take_row(struct mesh *m, const struct pgc_rows *rows, int row)
{
	static const uint32_t elem[COLS] = {PG_OID_INT4, PG_OID_INT8,
	                                    PG_OID_INT2, PG_OID_FLOAT4,
	                                    PG_OID_FLOAT4};
	const int64_t src_slot = value_of(rows, row, 0);
	const int64_t left_us = value_of(rows, row, 1);
	struct pgarray a[COLS];
	int src = NO_NODE;

	if (src_slot > 0 && src_slot <= SLOT_MAX)
		src = m->place_of_slot[src_slot];
	for (int i = 0; i < COLS; i++) {
		if (!pgarray_open(&a[i], pgc_value(rows, row, 2 + i),
		                  pgc_value_len(rows, row, 2 + i), elem[i]) ||
		    a[i].n != a[0].n)
			return;
	}
	for (size_t slot = 1; slot <= a[0].n && slot <= SLOT_MAX; slot++) {
		const int64_t generation = pgarray_next_i64(&a[0], 0);
		const int64_t behind_us = pgarray_next_i64(&a[1], INT64_MAX);
		const int64_t flags = pgarray_next_i64(&a[2], 0);
		const float fwd = pgarray_next_f4(&a[3], NAN);
		const float bwd = pgarray_next_f4(&a[4], NAN);
		const int dst = m->place_of_slot[slot];

		if (src == NO_NODE || dst == NO_NODE || dst == src ||
		    generation != m->generation[dst] || behind_us > left_us ||
		    flags & RESULT_CLOCK_STEP)
			continue;
		note(m, (size_t)src, (size_t)dst, fwd);
		note(m, (size_t)dst, (size_t)src, bwd);
	}
}

static bool
read_delays(struct pgc *db, struct mesh *m, struct pgc_err *err)
{
	struct pgc_rows *rows;

	if (!pgc_run(db, "audit_rows", 0, NULL, true, &rows, NULL, err))
		return false;
	for (int i = 0; i < pgc_rows_n(rows); i++)
		take_row(m, rows, i);
	pgc_rows_free(rows);
	return true;
}

/* ---- what was found ---- */

static void
put_ms(struct pgbuf *b, int64_t ns)
{
	if (ns == NS_UNKNOWN)
		pgbuf_null(b);
	else
		pgbuf_f8(b, (double)ns / 1e6);
}

static void
put(struct pgbuf *b, const struct mesh *m, size_t i, int col)
{
	const struct clock_finding *f = &m->finding[i];
	const char *verdict = clock_verdict_str(f->verdict);

	switch (col) {
	case 0:
		pgbuf_i4(b, m->id[i]);
		break;
	case 1:
		pgbuf_bytes(b, verdict, strlen(verdict));
		break;
	case 2:
		put_ms(b, f->lo_ns);
		break;
	case 3:
		put_ms(b, f->hi_ns);
		break;
	default:
		put_ms(b, f->estimate_ns);
	}
}

static bool
write_findings(struct pgc *db, const struct mesh *m, struct pgc_err *err)
{
	static const uint32_t elem[COLS] = {PG_OID_INT4, PG_OID_TEXT,
	                                    PG_OID_FLOAT8, PG_OID_FLOAT8,
	                                    PG_OID_FLOAT8};
	struct pgbuf b = {NULL, 0, 0, false};
	struct pgc_param p[COLS];
	size_t at[COLS + 1];
	bool ok;

	for (int c = 0; c < COLS; c++) {
		at[c] = b.len;
		pgbuf_array(&b, elem[c], m->n);
		for (size_t i = 0; i < m->n; i++)
			put(&b, m, i, c);
	}
	at[COLS] = b.len;
	if (b.failed) {
		pgbuf_clear(&b);
		return no_memory(err);
	}
	for (int c = 0; c < COLS; c++)
		p[c] =
		    (struct pgc_param){b.p + at[c], at[c + 1] - at[c], 0, true};
	ok = pgc_run(db, "audit_write", COLS, p, false, NULL, NULL, err);
	pgbuf_clear(&b);
	return ok;
}

/* Is it our turn? The lock ends with the transaction. */
static bool
take_turn(struct pgc *db, int64_t min_age_ns, bool *ours, struct pgc_err *err)
{
	char ms[24];
	const char *p[] = {dec_of(min_age_ns / NS_PER_MS, ms)};
	struct pgc_rows *rows;

	if (!pgc_query(db,
	               "SELECT pg_try_advisory_xact_lock(hashtext("
	               "'twmesh.audit')) AND NOT EXISTS (SELECT FROM "
	               "twmesh_private.clock_audit WHERE audited_at > "
	               "clock_timestamp() - $1::bigint * interval '1 ms')",
	               1, p, &rows, err))
		return false;
	*ours = pgc_value_bool(rows, 0, 0);
	pgc_rows_free(rows);
	return true;
}

static bool
audit(struct pgc *db, const char *const *reference, size_t reference_n,
      int64_t min_age_ns, struct audit_report *out, struct pgc_err *err)
{
	struct mesh m = {.n = 0};
	bool ok = false;

	if (!take_turn(db, min_age_ns, &out->done, err))
		return false;
	if (!out->done)
		return true;
	if (!read_nodes(db, &m, reference, reference_n, out, err) ||
	    (m.n > 0 && !read_delays(db, &m, err)))
		goto out;
	if (m.n > 0 && !clockaudit_solve(m.n, m.min_ns, m.claim, m.finding)) {
		(void)no_memory(err);
		goto out;
	}
	ok = m.n == 0 || write_findings(db, &m, err);
out:
	mesh_clear(&m);
	return ok;
}

bool
audit_run(struct pgc *db, const char *const *reference, size_t reference_n,
          int64_t min_age_ns, struct audit_report *out, struct pgc_err *err)
{
	*out = (struct audit_report){.done = false};
	if (!pgc_exec(db, "BEGIN", err))
		return false;
	return roster_end(
	    db, audit(db, reference, reference_n, min_age_ns, out, err), err);
}
