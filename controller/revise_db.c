/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/revise_db.h"

#include <stdio.h>
#include <string.h>

#define REVISION_COLS 6

bool
revise_db_attach(struct revise_db *r, struct pgc *db, struct pgc_err *err)
{
	r->db = db;
	/* Which of two revisions of one row? The one that knows more. */
	return pgc_prepare(
	    db, "runs_revise",
	    "WITH v AS MATERIALIZED (SELECT DISTINCT ON (dst, class, "
	    "ts) * FROM unnest($7::integer[], $8::integer[], "
	    "$9::timestamptz[], $10::integer[], $11::integer[], "
	    "$12::integer[]) AS v (dst, class, ts, fwd, bwd, undet) "
	    "ORDER BY dst, class, ts, undet), u AS (UPDATE "
	    "twmesh.result r SET lost_fwd = v.fwd, lost_bwd = v.bwd, "
	    "lost_undet = v.undet FROM v WHERE "
	    "r.src_id = $1::integer AND r.ts >= $5::timestamptz AND "
	    "r.ts <= $6::timestamptz AND r.ts = v.ts AND r.dst_id = "
	    "v.dst AND r.class_id = v.class AND r.lost = v.fwd + v.bwd "
	    "+ v.undet AND r.lost_undet > v.undet RETURNING r.ts, "
	    "r.dst_id, r.class_id), n AS (INSERT INTO "
	    "twmesh.result_revision (ts, src_id, dst_id, class_id) "
	    "SELECT DISTINCT ts, $1::integer, dst_id, class_id FROM u "
	    "ON CONFLICT (src_id, ts, dst_id, class_id) DO UPDATE SET "
	    "revised_at = excluded.revised_at), s AS (INSERT INTO "
	    "twmesh_private.stored (ts, src_id, rows, revisions) SELECT "
	    "date_bin('5 minutes', ts, 'epoch'), $1::integer, 0, count(*) "
	    "FROM u GROUP BY 1) UPDATE "
	    "twmesh_private.ledger SET revisions = (SELECT count(*) "
	    "FROM u), revisions_missed = $4::integer - (SELECT "
	    "count(*) FROM u) WHERE node_id = $1::integer AND spool_id "
	    "= $2::bytea AND seq = $3::bigint",
	    err);
}

void
revise_db_clear(struct revise_db *r)
{
	pgbuf_clear(&r->buf);
	memset(r, 0, sizeof(*r));
}

static void
put_revision(struct pgbuf *b, const struct revision *v, int col)
{
	switch (col) {
	case 0:
		pgbuf_i4(b, (int32_t)v->dst_id);
		break;
	case 1:
		pgbuf_i4(b, (int32_t)v->class_id);
		break;
	case 2:
		pgbuf_wall(b, v->start);
		break;
	case 3:
		pgbuf_i4(b, (int32_t)v->lost_fwd);
		break;
	case 4:
		pgbuf_i4(b, (int32_t)v->lost_bwd);
		break;
	default:
		pgbuf_i4(b, (int32_t)v->lost_undet);
	}
}

bool
revise_db_store(struct revise_db *r, const struct wbatch *b,
                struct pgc_err *err)
{
	static const uint32_t elem[REVISION_COLS] = {
	    PG_OID_INT4, PG_OID_INT4, PG_OID_TIMESTAMPTZ,
	    PG_OID_INT4, PG_OID_INT4, PG_OID_INT4};
	const struct ask_batch *a = &b->ask->u.batch;
	const size_t n = b->body.revision_n;
	struct wall from = {INT64_MAX}, to = {INT64_MIN};
	uint8_t id[4], seq[8], count[4], lo[8], hi[8];
	struct pgc_param p[6 + REVISION_COLS] = {
	    {id, 4, 0, true},  {a->batch.spool_id.b, ID16_BYTES, 0, true},
	    {seq, 8, 0, true}, {count, 4, 0, true},
	    {lo, 8, 0, true},  {hi, 8, 0, true}};
	size_t at[REVISION_COLS + 1];

	for (size_t i = 0; i < n; i++) {
		const struct wall t = b->body.revision[i].start;

		from = t.ns < from.ns ? t : from;
		to = t.ns > to.ns ? t : to;
	}
	pg_store32(id, a->node_id);
	pg_store64(seq, a->batch.seq);
	pg_store32(count, (uint32_t)n);
	pg_store64(lo, (uint64_t)pg_wall_to_us(from));
	pg_store64(hi, (uint64_t)pg_wall_to_us(to));
	r->buf.len = 0;
	for (int c = 0; c < REVISION_COLS; c++) {
		at[c] = r->buf.len;
		pgbuf_array(&r->buf, elem[c], n);
		for (size_t i = 0; i < n; i++)
			put_revision(&r->buf, &b->body.revision[i], c);
	}
	at[REVISION_COLS] = r->buf.len;
	if (r->buf.failed) {
		pgbuf_clear(&r->buf);
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return false;
	}
	for (int c = 0; c < REVISION_COLS; c++)
		p[6 + c] = (struct pgc_param){r->buf.p + at[c],
		                              at[c + 1] - at[c], 0, true};
	return pgc_run(r->db, "runs_revise", 6 + REVISION_COLS, p, false, NULL,
	               NULL, err);
}
