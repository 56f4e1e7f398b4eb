/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/state_db_priv.h"

#include <math.h>

bool
state_floor_attach(struct pgc *db, struct pgc_err *err)
{
	return pgc_prepare(
	    db, "state_floors",
	    "SELECT f.src_id, f.class_id, (extract(epoch FROM f.computed_at) * "
	    "1000000)::bigint, f.generation, f.rtt_ms, f.jitter_ms, f.delay_ms "
	    "FROM twmesh_private.path_floor f WHERE f.computed_at > "
	    "timestamptz 'epoch' + $1::bigint * interval '1 us'",
	    err);
}

static int64_t
number_at(const struct pgc_rows *rows, int row, int col)
{
	const char *p = pgc_value(rows, row, col);
	const size_t n = p ? pgc_value_len(rows, row, col) : 0;
	uint64_t v = 0;

	for (size_t i = 0; i < n && i < 8; i++)
		v = v << 8 | (uint8_t)p[i];
	return (int64_t)v;
}

/* One row of floors into the cells that it speaks of. */
static void
take_row(struct state_row *r, const struct pgc_rows *rows, int row)
{
	static const enum limit_metric order[] = {LIMIT_RTT, LIMIT_JITTER,
	                                          LIMIT_DELAY};
	struct pgarray generation, value[3];

	if (!pgarray_open(&generation, pgc_value(rows, row, 3),
	                  pgc_value_len(rows, row, 3), PG_OID_INT4))
		return;
	for (int k = 0; k < 3; k++) {
		if (!pgarray_open(&value[k], pgc_value(rows, row, 4 + k),
		                  pgc_value_len(rows, row, 4 + k),
		                  PG_OID_FLOAT4) ||
		    value[k].n != generation.n)
			return;
	}
	for (int32_t i = 0; i < r->slots && (size_t)i < generation.n; i++) {
		struct cell *c = &r->cell[i];
		const bool same =
		    pgarray_next_i64(&generation, 0) == c->generation;

		for (int k = 0; k < 3; k++) {
			const float v = pgarray_next_f4(&value[k], NAN);

			if (same)
				c->floor_ms[order[k]] = v;
		}
	}
}

bool
state_db_read_floors(struct state_db *s, struct pgc_err *err)
{
	uint8_t since[8];
	const struct pgc_param p = {since, 8, 0, true};
	struct pgc_rows *rows = NULL;

	if (s->floors_wanted)
		s->floors_us = 0;
	pg_store64(since, (uint64_t)s->floors_us);
	if (!pgc_run(s->db, "state_floors", 1, &p, true, &rows, NULL, err))
		return false;
	s->floors_wanted = false;
	for (int i = 0; i < pgc_rows_n(rows); i++) {
		struct state_row *r =
		    state_db_find(s, (uint32_t)number_at(rows, i, 0),
		                  (uint32_t)number_at(rows, i, 1));
		const int64_t at = number_at(rows, i, 2);

		if (at > s->floors_us)
			s->floors_us = at;
		if (r)
			take_row(r, rows, i);
	}
	pgc_rows_free(rows);
	return true;
}
