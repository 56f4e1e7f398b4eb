/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/ledger.h"
#include "controller/roster_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD_MAX ((size_t)256 << 10)
#define ASIDE_KEEP "50"

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

/* Of the node's clock when the batch came, ms; valid unless NS_UNKNOWN. */
static double
offset_now_ms(const struct ask_batch *a)
{
	return (double)(a->clock_offset_ns + a->clock_moved_ns) / 1e6;
}

static void
put_offset(struct pgbuf *buf, const struct wbatch *b)
{
	const struct ask_batch *a = &b->ask->u.batch;

	if (a->clock_offset_ns == NS_UNKNOWN)
		pgbuf_null(buf);
	else
		pgbuf_f8(buf, offset_now_ms(a));
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
	double ms = offset_now_ms(a);
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
