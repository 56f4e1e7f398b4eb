/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/state_db_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The array columns, in the order of parameters and of results; the narrower
 * widths first. */
enum col {
	COL_DELAY,
	COL_JITTER,
	COL_RTT,
	COL_RTT_P99,
	COL_CLOCK_ERR,
	COL_BACK_DELAY,
	COL_BACK_JITTER,
	COL_FWD_MIN,
	COL_BWD_MIN,
	COL_LOST,   /* from here WIDTH_LOST */
	COL_LOSS,   /* made of lost and sent, for readers */
	COL_BEHIND, /* from here WIDTH_BEHIND */
	COL_SENT,   /* from here WIDTH_COUNTS */
	COL_LOST_UNDET,
	COL_LOST_BWD,
	COL_GENERATION, /* from here WIDTH_ALL */
	COL_SINCE,
	COL_STATE,
	COL_STREAK,
	COL_WARN_STREAK,
	COL_FLAGS,
	COL_HOPS,
	COL_THIN_LOST,
	COL_THIN_SENT,
	COL_EPOCH,
	COL_WHY,
	COL_N
};

static const struct {
	const char *statement;
	int cols;
} widths[WIDTH_N] = {
    [WIDTH_DELAYS] = {"state_delays", COL_LOST},
    [WIDTH_LOST] = {"state_lost", COL_BEHIND},
    [WIDTH_BEHIND] = {"state_behind", COL_SENT},
    [WIDTH_COUNTS] = {"state_counts", COL_GENERATION},
    [WIDTH_ALL] = {"state_all", COL_N},
};

static const struct {
	const char *name;
	uint32_t elem;
} cols[COL_N] = {
    [COL_DELAY] = {"delay_ms", PG_OID_FLOAT4},
    [COL_JITTER] = {"jitter_ms", PG_OID_FLOAT4},
    [COL_RTT] = {"rtt_ms", PG_OID_FLOAT4},
    [COL_RTT_P99] = {"rtt_p99_ms", PG_OID_FLOAT4},
    [COL_CLOCK_ERR] = {"clock_err_ms", PG_OID_FLOAT4},
    [COL_BACK_DELAY] = {"back_delay_ms", PG_OID_FLOAT4},
    [COL_BACK_JITTER] = {"back_jitter_ms", PG_OID_FLOAT4},
    [COL_FWD_MIN] = {"fwd_min_ms", PG_OID_FLOAT4},
    [COL_BWD_MIN] = {"bwd_min_ms", PG_OID_FLOAT4},
    [COL_LOST] = {"lost", PG_OID_INT4},
    [COL_LOSS] = {"loss_max_pct", PG_OID_FLOAT4},
    [COL_BEHIND] = {"behind_us", PG_OID_INT8},
    [COL_SENT] = {"sent", PG_OID_INT4},
    [COL_LOST_UNDET] = {"lost_undet", PG_OID_INT4},
    [COL_LOST_BWD] = {"lost_bwd", PG_OID_INT4},
    [COL_GENERATION] = {"generation", PG_OID_INT4},
    [COL_SINCE] = {"state_since", PG_OID_TIMESTAMPTZ},
    [COL_STATE] = {"state", PG_OID_INT2},
    [COL_STREAK] = {"streak", PG_OID_INT2},
    [COL_WARN_STREAK] = {"warn_streak", PG_OID_INT2},
    [COL_FLAGS] = {"flags", PG_OID_INT2},
    [COL_HOPS] = {"hops", PG_OID_INT2},
    [COL_THIN_LOST] = {"thin_lost", PG_OID_INT4},
    [COL_THIN_SENT] = {"thin_sent", PG_OID_INT4},
    [COL_EPOCH] = {"epoch", PG_OID_INT4},
    [COL_WHY] = {"state_why", PG_OID_TEXT},
};

struct state_db *
state_db_new(void)
{
	return calloc(1, sizeof(struct state_db));
}

static void
row_free(struct state_row *r)
{
	for (int32_t i = 0; i < r->slots; i++)
		cell_clear(&r->cell[i]);
	free(r->cell);
	free(r->behind);
	free(r);
}

static void
forget_all(struct state_db *s)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (s->bucket[i]) {
			struct state_row *r = s->bucket[i];

			s->bucket[i] = r->next;
			row_free(r);
		}
	}
	s->changed_n = s->change_n = 0;
}

void
state_db_free(struct state_db *s)
{
	if (!s)
		return;
	forget_all(s);
	free(s->changed);
	free(s->change);
	pgbuf_clear(&s->buf);
	free(s);
}

static bool
prepare_write(struct pgc *db, enum width width, struct pgc_err *err)
{
	char sql[2048];
	size_t n = (size_t)snprintf(
	    sql, sizeof(sql),
	    "UPDATE twmesh_private.path_state SET revision = revision + 1, "
	    "updated_at = clock_timestamp(), newest_measured_at = "
	    "$4::timestamptz");

	for (int i = 0; i < widths[width].cols; i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, ", %s = $%d",
		                      cols[i].name, 5 + i);
	(void)snprintf(sql + n, sizeof(sql) - n,
	               " WHERE src_id = $1::integer AND class_id = "
	               "$2::integer AND revision = $3::bigint");
	return pgc_prepare(db, widths[width].statement, sql, err);
}

bool
state_db_attach(struct state_db *s, struct pgc *db, struct pgc_err *err)
{
	char sql[2048];
	size_t n;

	forget_all(s);
	s->db = db;
	n = (size_t)snprintf(sql, sizeof(sql),
	                     "SELECT revision, newest_measured_at");
	for (int i = 0; i < COL_N; i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, ", %s",
		                      cols[i].name);
	(void)snprintf(sql + n, sizeof(sql) - n,
	               " FROM twmesh_private.path_state WHERE src_id = "
	               "$1::integer AND class_id = $2::integer FOR UPDATE");
	if (!pgc_prepare(db, "state_read", sql, err))
		return false;
	for (int i = 0; i < WIDTH_N; i++) {
		if (!prepare_write(db, (enum width)i, err))
			return false;
	}
	if (!state_change_attach(db, err) || !state_floor_attach(db, err))
		return false;
	return pgc_prepare(db, "state_make",
	                   "INSERT INTO twmesh_private.path_state "
	                   "(src_id, class_id) VALUES ($1::integer, "
	                   "$2::integer) ON CONFLICT DO NOTHING",
	                   err);
}

static struct state_row **
place_of(struct state_db *s, uint32_t src_id, uint32_t class_id)
{
	struct state_row **p =
	    &s->bucket[(src_id * 31 + class_id) & (BUCKETS - 1)];

	while (*p && ((*p)->src_id != src_id || (*p)->class_id != class_id))
		p = &(*p)->next;
	return p;
}

static bool
row_grow(struct state_row *r, int32_t slots)
{
	struct cell *cell;
	int64_t *behind;

	if (slots <= r->slots)
		return true;
	if (slots > SLOT_MAX)
		return false;
	cell = realloc(r->cell, (size_t)slots * sizeof(*cell));
	if (!cell)
		return false;
	r->cell = cell;
	behind = realloc(r->behind, (size_t)slots * sizeof(*behind));
	if (!behind)
		return false;
	r->behind = behind;
	for (; r->slots < slots; r->slots++) {
		r->behind[r->slots] = NEVER_US;
		r->cell[r->slots].why = NULL;
		cell_reset(&r->cell[r->slots], 0);
	}
	return true;
}

static void
read_cell_ints(struct cell *c, struct pgarray a[COL_N])
{
	int64_t us;

	c->generation = (int32_t)pgarray_next_i64(&a[COL_GENERATION], 0);
	us = pgarray_next_i64(&a[COL_SINCE], INT64_MIN);
	c->since =
	    us == INT64_MIN ? (struct wall){NS_UNKNOWN} : pg_us_to_wall(us);
	switch (pgarray_next_i64(&a[COL_STATE], 0)) {
	case CELL_OK:
		c->state = CELL_OK;
		break;
	case CELL_CRIT:
		c->state = CELL_CRIT;
		break;
	case CELL_WARN:
		c->state = CELL_WARN;
		break;
	default:
		c->state = CELL_UNJUDGED;
	}
	c->streak = (int16_t)pgarray_next_i64(&a[COL_STREAK], 0);
	c->warn_streak = (int16_t)pgarray_next_i64(&a[COL_WARN_STREAK], 0);
	c->flags = (uint16_t)pgarray_next_i64(&a[COL_FLAGS], 0);
	c->hops = (int16_t)pgarray_next_i64(&a[COL_HOPS], -1);
	c->thin_lost = (int32_t)pgarray_next_i64(&a[COL_THIN_LOST], 0);
	c->thin_sent = (int32_t)pgarray_next_i64(&a[COL_THIN_SENT], 0);
	c->sent = (int32_t)pgarray_next_i64(&a[COL_SENT], 0);
	c->lost = (int32_t)pgarray_next_i64(&a[COL_LOST], 0);
	c->lost_undet = (int32_t)pgarray_next_i64(&a[COL_LOST_UNDET], 0);
	c->lost_bwd = (int32_t)pgarray_next_i64(&a[COL_LOST_BWD], 0);
	c->epoch = (int32_t)pgarray_next_i64(&a[COL_EPOCH], 0);
}

static void
read_cell(struct cell *c, struct pgarray a[COL_N])
{
	const uint8_t *p;
	size_t n;

	read_cell_ints(c, a);
	c->delay_ms = pgarray_next_f4(&a[COL_DELAY], NAN);
	c->jitter_ms = pgarray_next_f4(&a[COL_JITTER], NAN);
	c->rtt_ms = pgarray_next_f4(&a[COL_RTT], NAN);
	c->rtt_p99_ms = pgarray_next_f4(&a[COL_RTT_P99], NAN);
	c->clock_err_ms = pgarray_next_f4(&a[COL_CLOCK_ERR], NAN);
	c->back_delay_ms = pgarray_next_f4(&a[COL_BACK_DELAY], NAN);
	c->back_jitter_ms = pgarray_next_f4(&a[COL_BACK_JITTER], NAN);
	c->fwd_min_ms = pgarray_next_f4(&a[COL_FWD_MIN], NAN);
	c->bwd_min_ms = pgarray_next_f4(&a[COL_BWD_MIN], NAN);
	if (pgarray_next(&a[COL_WHY], &p, &n) && p)
		c->why = strndup((const char *)p, n);
}

static int64_t
read_i8(const struct pgc_rows *rows, int col, int64_t missing)
{
	const char *p = pgc_value(rows, 0, col);
	uint64_t v = 0;

	if (!p || pgc_value_len(rows, 0, col) != 8)
		return missing;
	for (int i = 0; i < 8; i++)
		v = v << 8 | (uint8_t)p[i];
	return (int64_t)v;
}

/* Arrays that are malformed or of unequal length count as empty: the state is
 * built up again from the next results. */
static void
row_read(struct state_row *r, const struct pgc_rows *rows)
{
	struct pgarray a[COL_N];
	int64_t newest = read_i8(rows, 1, NEVER_US);

	r->revision = read_i8(rows, 0, 0);
	for (int i = 0; i < COL_N; i++) {
		if (!pgarray_open(&a[i], pgc_value(rows, 0, 2 + i),
		                  pgc_value_len(rows, 0, 2 + i),
		                  cols[i].elem) ||
		    a[i].n != a[0].n)
			return;
	}
	if (!row_grow(r, (int32_t)(a[0].n < SLOT_MAX ? a[0].n : SLOT_MAX)))
		return;
	for (int32_t i = 0; i < r->slots; i++) {
		int64_t us = pgarray_next_i64(&a[COL_BEHIND], NEVER_US);

		read_cell(&r->cell[i], a);
		r->behind[i] = us;
		if (us >= 0 && newest != NEVER_US)
			r->cell[i].measured = pg_us_to_wall(newest - us);
	}
}

static bool
row_load(struct state_db *s, struct state_row *r, struct pgc_err *err)
{
	uint8_t src[4], class_[4];
	struct pgc_param p[2] = {{src, 4, 0, true}, {class_, 4, 0, true}};
	struct pgc_rows *rows = NULL;

	pg_store32(src, r->src_id);
	pg_store32(class_, r->class_id);
	for (int try = 0; try < 2; try++) {
		if (!pgc_run(s->db, "state_read", 2, p, true, &rows, NULL, err))
			return false;
		if (pgc_rows_n(rows) == 1) {
			row_read(r, rows);
			pgc_rows_free(rows);
			return true;
		}
		pgc_rows_free(rows);
		if (!pgc_run(s->db, "state_make", 2, p, false, NULL, NULL, err))
			return false;
	}
	(void)snprintf(err->text, sizeof(err->text), "%s",
	               "path_state: a row could not be made");
	return false;
}

struct state_row *
state_db_find(struct state_db *s, uint32_t src_id, uint32_t class_id)
{
	return *place_of(s, src_id, class_id);
}

struct state_row *
state_db_row(struct state_db *s, uint32_t src_id, uint32_t class_id,
             struct pgc_err *err)
{
	struct state_row **place = place_of(s, src_id, class_id);
	struct state_row *r = *place;

	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	if (!r) {
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return NULL;
	}
	r->src_id = src_id;
	r->class_id = class_id;
	if (!row_load(s, r, err)) {
		row_free(r);
		return NULL;
	}
	*place = r;
	s->floors_wanted = true;
	return r;
}

/* Stands for words that were there: they may have been freed. */
static char no_words;

static void
widen(struct state_row *r, enum width width)
{
	if (width > r->width)
		r->width = width;
}

static enum width
width_of(const struct cell *a, const struct cell *b)
{
	if (a->since.ns != b->since.ns || a->state != b->state ||
	    a->streak != b->streak || a->warn_streak != b->warn_streak ||
	    a->flags != b->flags || a->hops != b->hops ||
	    a->thin_lost != b->thin_lost || a->thin_sent != b->thin_sent ||
	    a->epoch != b->epoch || a->why || b->why)
		return WIDTH_ALL;
	if (a->sent != b->sent || a->lost_undet != b->lost_undet ||
	    a->lost_bwd != b->lost_bwd)
		return WIDTH_COUNTS;
	if (a->lost != b->lost)
		return WIDTH_LOST;
	return WIDTH_DELAYS;
}

bool
state_row_apply(struct state_db *s, struct state_row *r, int32_t slot,
                int32_t generation, const struct cell_input *in)
{
	struct cell before, *c;

	if (slot < 1)
		return true;
	/* All arrays of a row have the same length. */
	if (slot > r->slots)
		widen(r, WIDTH_ALL);
	if (!row_grow(r, slot))
		return false;
	c = &r->cell[slot - 1];
	if (c->generation != generation) {
		cell_reset(c, generation);
		widen(r, WIDTH_ALL);
	}
	before = *c; /* its words are not looked at again */
	if (!cell_apply(c, in))
		return true;
	before.why = c->why || before.why ? &no_words : NULL;
	widen(r, width_of(&before, c));
	state_note_change(s, r, slot, before.state);
	return true;
}

void
state_row_changed(struct state_db *s, struct state_row *r)
{
	if (r->changed)
		return;
	r->width = WIDTH_DELAYS;
	if (s->changed_n == s->changed_size) {
		size_t size = s->changed_size ? 2 * s->changed_size : 64;
		struct state_row **p =
		    realloc(s->changed, size * sizeof(struct state_row *));

		if (!p)
			return; /* written when it is read again */
		s->changed = p;
		s->changed_size = size;
	}
	r->changed = true;
	s->changed[s->changed_n++] = r;
}

static struct cell *
cell_of(struct state_row *r, int32_t slot, int32_t generation)
{
	if (slot < 1 || slot > r->slots ||
	    r->cell[slot - 1].generation != generation)
		return NULL;
	return &r->cell[slot - 1];
}

void
state_row_run(struct state_db *s, struct state_row *r, int32_t slot,
              int32_t generation, const struct cell_run *run)
{
	struct cell *c = cell_of(r, slot, generation);
	enum cell_state from;

	if (!c)
		return;
	from = c->state;
	if (!cell_apply_run(c, run))
		return;
	state_row_changed(s, r);
	widen(r, WIDTH_ALL);
	state_note_change(s, r, slot, from);
}

void
state_row_revise(struct state_db *s, struct state_row *r, int32_t slot,
                 int32_t generation, struct wall end, int64_t lost_fwd,
                 int64_t lost_bwd, int64_t lost_undet)
{
	struct cell *c = cell_of(r, slot, generation);

	if (!c || !cell_revise(c, end, lost_fwd, lost_bwd, lost_undet))
		return;
	state_row_changed(s, r);
	widen(r, WIDTH_COUNTS);
}

static void
put_wall(struct pgbuf *b, struct wall w)
{
	if (w.ns == NS_UNKNOWN)
		pgbuf_null(b);
	else
		pgbuf_wall(b, w);
}

static void
put_f4(struct pgbuf *b, float v)
{
	if (isnan(v))
		pgbuf_null(b);
	else
		pgbuf_f4(b, v);
}

static float
loss_pct(const struct cell *c)
{
	return c->sent > 0 ? (float)(100.0 * c->lost / c->sent) : NAN;
}

#define PUT_ALL(put)                                \
	for (int32_t i = 0; i < r->slots; i++) {    \
		const struct cell *c = &r->cell[i]; \
		put;                                \
	}                                           \
	break

static void
put_column(struct pgbuf *b, const struct state_row *r, enum col col)
{
	pgbuf_array(b, cols[col].elem, (size_t)r->slots);
	switch (col) {
	case COL_GENERATION:
		PUT_ALL(pgbuf_i4(b, c->generation));
	case COL_BEHIND:
		for (int32_t i = 0; i < r->slots; i++) {
			if (r->behind[i] == NEVER_US)
				pgbuf_null(b);
			else
				pgbuf_i8(b, r->behind[i]);
		}
		break;
	case COL_LOST_UNDET:
		PUT_ALL(pgbuf_i4(b, c->lost_undet));
	case COL_LOST_BWD:
		PUT_ALL(pgbuf_i4(b, c->lost_bwd));
	case COL_SINCE:
		PUT_ALL(put_wall(b, c->since));
	case COL_STATE:
		PUT_ALL(pgbuf_i2(b, (int16_t)c->state));
	case COL_STREAK:
		PUT_ALL(pgbuf_i2(b, c->streak));
	case COL_WARN_STREAK:
		PUT_ALL(pgbuf_i2(b, c->warn_streak));
	case COL_FLAGS:
		PUT_ALL(pgbuf_i2(b, (int16_t)c->flags));
	case COL_HOPS:
		PUT_ALL(c->hops < 0 ? pgbuf_null(b) : pgbuf_i2(b, c->hops));
	case COL_THIN_LOST:
		PUT_ALL(pgbuf_i4(b, c->thin_lost));
	case COL_THIN_SENT:
		PUT_ALL(pgbuf_i4(b, c->thin_sent));
	case COL_SENT:
		PUT_ALL(pgbuf_i4(b, c->sent));
	case COL_LOST:
		PUT_ALL(pgbuf_i4(b, c->lost));
	case COL_LOSS:
		PUT_ALL(put_f4(b, loss_pct(c)));
	case COL_EPOCH:
		PUT_ALL(pgbuf_i4(b, c->epoch));
	case COL_DELAY:
		PUT_ALL(put_f4(b, c->delay_ms));
	case COL_JITTER:
		PUT_ALL(put_f4(b, c->jitter_ms));
	case COL_RTT:
		PUT_ALL(put_f4(b, c->rtt_ms));
	case COL_RTT_P99:
		PUT_ALL(put_f4(b, c->rtt_p99_ms));
	case COL_CLOCK_ERR:
		PUT_ALL(put_f4(b, c->clock_err_ms));
	case COL_BACK_DELAY:
		PUT_ALL(put_f4(b, c->back_delay_ms));
	case COL_BACK_JITTER:
		PUT_ALL(put_f4(b, c->back_jitter_ms));
	case COL_FWD_MIN:
		PUT_ALL(put_f4(b, c->fwd_min_ms));
	case COL_BWD_MIN:
		PUT_ALL(put_f4(b, c->bwd_min_ms));
	case COL_WHY:
		PUT_ALL(c->why ? pgbuf_bytes(b, c->why, strlen(c->why))
		               : pgbuf_null(b));
	case COL_N:
		break;
	}
}

static struct wall
newest(const struct state_row *r)
{
	struct wall w = {NS_UNKNOWN};

	for (int32_t i = 0; i < r->slots; i++) {
		if (r->cell[i].generation > 0 && r->cell[i].measured.ns > w.ns)
			w = r->cell[i].measured;
	}
	return w;
}

/* Brings behind[] up to date; says whether the database has other values. */
static bool
row_is_behind(struct state_row *r, struct wall top)
{
	int64_t top_us = pg_wall_to_us(top);
	bool changed = false;

	for (int32_t i = 0; i < r->slots; i++) {
		const struct cell *c = &r->cell[i];
		int64_t us = c->measured.ns == NS_UNKNOWN || !c->generation
		                 ? NEVER_US
		                 : top_us - pg_wall_to_us(c->measured);

		changed |= us != r->behind[i];
		r->behind[i] = us;
	}
	return changed;
}

static bool
row_send(struct state_db *s, struct state_row *r, struct pgc_err *err)
{
	uint8_t src[4], class_[4], rev[8], ts[8];
	struct pgc_param p[4 + COL_N] = {
	    {src, 4, 0, true},
	    {class_, 4, 0, true},
	    {rev, 8, 0, true},
	    {ts, 8, 0, true},
	};
	struct wall top = newest(r);
	size_t at[COL_N + 1];
	int n;

	pg_store32(src, r->src_id);
	pg_store32(class_, r->class_id);
	pg_store64(rev, (uint64_t)r->revision);
	if (top.ns == NS_UNKNOWN)
		p[3].data = NULL;
	else
		pg_store64(ts, (uint64_t)pg_wall_to_us(top));
	if (row_is_behind(r, top))
		widen(r, WIDTH_BEHIND);
	n = widths[r->width].cols;
	s->buf.len = 0;
	for (int i = 0; i < n; i++) {
		at[i] = s->buf.len;
		put_column(&s->buf, r, (enum col)i);
	}
	at[n] = s->buf.len;
	if (s->buf.failed) {
		pgbuf_clear(&s->buf);
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return false;
	}
	for (int i = 0; i < n; i++)
		p[4 + i] = (struct pgc_param){s->buf.p + at[i],
		                              at[i + 1] - at[i], 0, true};
	return pgc_pipe_run(s->db, widths[r->width].statement, 4 + n, p, err);
}

static int
by_key(const void *va, const void *vb)
{
	const struct state_row *a = *(struct state_row *const *)va;
	const struct state_row *b = *(struct state_row *const *)vb;

	if (a->src_id != b->src_id)
		return a->src_id < b->src_id ? -1 : 1;
	return (a->class_id > b->class_id) - (a->class_id < b->class_id);
}

static enum state_db_result
write_rows(struct state_db *s, long *affected, struct pgc_err *err)
{
	struct pgc_err end;
	size_t sent = 0;

	if (!pgc_pipe_begin(s->db, err))
		return STATE_DB_FAILED;
	while (sent < s->changed_n && row_send(s, s->changed[sent], err))
		sent++;
	if (!pgc_pipe_end(s->db, sent, affected, &end)) {
		/* The server's reason is better than ours. */
		*err = end;
		return STATE_DB_FAILED;
	}
	if (sent < s->changed_n)
		return STATE_DB_FAILED;
	for (size_t i = 0; i < sent; i++) {
		if (affected[i] != 1)
			return STATE_DB_CONFLICT;
	}
	return STATE_DB_OK;
}

enum state_db_result
state_db_write(struct state_db *s, struct pgc_err *err)
{
	enum state_db_result res;
	long *affected;

	if (s->changed_n == 0)
		return STATE_DB_OK;
	affected = calloc(s->changed_n, sizeof(*affected));
	if (!affected) {
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return STATE_DB_FAILED;
	}
	qsort(s->changed, s->changed_n, sizeof(struct state_row *), by_key);
	res = write_rows(s, affected, err);
	free(affected);
	if (res == STATE_DB_OK && !state_change_write(s, err))
		res = STATE_DB_FAILED;
	return res;
}

void
state_db_commit(struct state_db *s)
{
	for (size_t i = 0; i < s->changed_n; i++) {
		s->changed[i]->changed = false;
		s->changed[i]->revision++;
	}
	s->changed_n = s->change_n = 0;
}

void
state_db_forget_changes(struct state_db *s)
{
	for (size_t i = 0; i < s->changed_n; i++) {
		struct state_row *r = s->changed[i];
		struct state_row **p = place_of(s, r->src_id, r->class_id);

		*p = r->next;
		row_free(r);
	}
	s->changed_n = s->change_n = 0;
	s->change_lost = false;
}
