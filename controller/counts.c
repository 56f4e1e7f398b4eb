/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/counts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET_NS (300 * NS_PER_S)
#define COLS 3

bool
counts_attach(struct counts *c, struct pgc *db, struct pgc_err *err)
{
	c->db = db;
	return pgc_prepare(db, "counts",
	                   "INSERT INTO twmesh_private.stored (ts, src_id, "
	                   "rows, revisions) SELECT v.*, 0 FROM "
	                   "unnest($1::timestamptz[], $2::integer[], "
	                   "$3::integer[]) v",
	                   err);
}

void
counts_clear(struct counts *c)
{
	pgbuf_clear(&c->buf);
	free(c->list);
	memset(c, 0, sizeof(*c));
}

/* Neighbours of one bucket are one. */
static bool
add(struct counts *c, const struct count *add)
{
	struct count *last = c->n ? &c->list[c->n - 1] : NULL;

	if (add->rows == 0)
		return true;
	if (last && last->src_id == add->src_id && last->at.ns == add->at.ns) {
		last->rows += add->rows;
		return true;
	}
	if (c->n == c->size) {
		size_t size = 2 * c->size + 64;

		last = realloc(c->list, size * sizeof(*last));
		if (!last)
			return false;
		c->list = last;
		c->size = size;
	}
	c->list[c->n++] = *add;
	return true;
}

static bool
count_batch(struct counts *c, const struct wbatch *b)
{
	size_t row = 0;

	for (size_t k = 0; k < b->body.slice_n; k++) {
		const struct slice *s = &b->body.slice[k];
		/* rows of times before 1970 are put aside */
		struct count one = {{s->start.ns - s->start.ns % BUCKET_NS},
		                    b->ask->u.batch.node_id,
		                    0};

		for (size_t i = 0; i < s->n; i++, row++)
			one.rows += !wbatch_skips(b, row);
		if (!add(c, &one))
			return false;
	}
	return true;
}

static bool
encode(struct counts *c, struct pgc_param p[COLS])
{
	static const uint32_t elem[COLS] = {PG_OID_TIMESTAMPTZ, PG_OID_INT4,
	                                    PG_OID_INT4};
	size_t at[COLS + 1];

	c->buf.len = 0;
	for (int col = 0; col < COLS; col++) {
		at[col] = c->buf.len;
		pgbuf_array(&c->buf, elem[col], c->n);
		for (size_t i = 0; i < c->n; i++) {
			const struct count *v = &c->list[i];

			if (col == 0)
				pgbuf_wall(&c->buf, v->at);
			else
				pgbuf_i4(
				    &c->buf,
				    (int32_t)(col == 1 ? v->src_id : v->rows));
		}
	}
	at[COLS] = c->buf.len;
	if (c->buf.failed)
		return false;
	for (int col = 0; col < COLS; col++)
		p[col] = (struct pgc_param){c->buf.p + at[col],
		                            at[col + 1] - at[col], 0, true};
	return true;
}

bool
counts_store(struct counts *c, struct wbatch *const *b, size_t n,
             struct pgc_err *err)
{
	struct pgc_param p[COLS];
	bool ok = true;

	c->n = 0;
	for (size_t i = 0; ok && i < n; i++)
		ok = b[i]->says != LEDGER_NEW || b[i]->condemned ||
		     count_batch(c, b[i]);
	if (ok && c->n == 0)
		return true;
	if (!ok || !encode(c, p)) {
		pgbuf_clear(&c->buf);
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return false;
	}
	return pgc_run(c->db, "counts", COLS, p, false, NULL, NULL, err);
}
