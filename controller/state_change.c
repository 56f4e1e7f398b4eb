/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/state_db_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
state_note_change(struct state_db *s, const struct state_row *r, int32_t slot,
                  enum cell_state from)
{
	const struct cell *c = &r->cell[slot - 1];
	struct change *n;

	if (c->state == from)
		return;
	if (s->change_n == s->change_size) {
		size_t size = s->change_size ? 2 * s->change_size : 64;

		n = realloc(s->change, size * sizeof(*n));
		if (!n) {
			s->change_lost = true;
			return;
		}
		s->change = n;
		s->change_size = size;
	}
	n = &s->change[s->change_n++];
	*n = (struct change){.src_id = r->src_id,
	                     .class_id = r->class_id,
	                     .slot = slot,
	                     .generation = c->generation,
	                     .at = c->since,
	                     .from = from,
	                     .to = c->state};
	(void)snprintf(n->why, sizeof(n->why), "%s", c->why ? c->why : "");
}

bool
state_change_attach(struct pgc *db, struct pgc_err *err)
{
	/* Slots are resolved here: the holder of a slot does not change while
	 * its cell does. */
	return pgc_prepare(
	    db, "state_change",
	    "INSERT INTO twmesh_private.cell_change (at, src_id, "
	    "dst_id, class_id, from_state, to_state, why) SELECT "
	    "u.at, u.src_id, n.node_id, u.class_id, u.from_state, "
	    "u.to_state, u.why FROM unnest($1::timestamptz[], "
	    "$2::integer[], $3::integer[], $4::integer[], "
	    "$5::integer[], $6::smallint[], $7::smallint[], "
	    "$8::text[]) AS u (at, src_id, slot, generation, "
	    "class_id, from_state, to_state, why) JOIN "
	    "twmesh.node n ON n.slot = u.slot AND "
	    "n.slot_generation = u.generation",
	    err);
}

static void
put_change(struct pgbuf *b, const struct change *c, int param)
{
	switch (param) {
	case 0:
		pgbuf_wall(b, c->at);
		break;
	case 1:
		pgbuf_i4(b, (int32_t)c->src_id);
		break;
	case 2:
		pgbuf_i4(b, c->slot);
		break;
	case 3:
		pgbuf_i4(b, c->generation);
		break;
	case 4:
		pgbuf_i4(b, (int32_t)c->class_id);
		break;
	case 5:
		pgbuf_i2(b, (int16_t)c->from);
		break;
	case 6:
		pgbuf_i2(b, (int16_t)c->to);
		break;
	default:
		if (c->why[0])
			pgbuf_bytes(b, c->why, strlen(c->why));
		else
			pgbuf_null(b);
	}
}

#define CHANGE_PARAMS 8

/* All changes of the transaction, as arrays. */
bool
state_change_write(struct state_db *s, struct pgc_err *err)
{
	static const uint32_t elem[CHANGE_PARAMS] = {
	    PG_OID_TIMESTAMPTZ, PG_OID_INT4, PG_OID_INT4, PG_OID_INT4,
	    PG_OID_INT4,        PG_OID_INT2, PG_OID_INT2, PG_OID_TEXT};
	struct pgc_param p[CHANGE_PARAMS];
	struct pgbuf *b = &s->buf;
	size_t at[CHANGE_PARAMS + 1];

	if (s->change_n == 0 && !s->change_lost)
		return true;
	b->len = 0;
	for (int i = 0; i < CHANGE_PARAMS; i++) {
		at[i] = b->len;
		pgbuf_array(b, elem[i], s->change_n);
		for (size_t k = 0; k < s->change_n; k++)
			put_change(b, &s->change[k], i);
	}
	at[CHANGE_PARAMS] = b->len;
	if (b->failed || s->change_lost) {
		pgbuf_clear(b);
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return false;
	}
	for (int i = 0; i < CHANGE_PARAMS; i++)
		p[i] = (struct pgc_param){b->p + at[i], at[i + 1] - at[i], 0,
		                          true};
	return pgc_run(s->db, "state_change", CHANGE_PARAMS, p, false, NULL,
	               NULL, err);
}
