/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/hosts.h"

#include "lib/pg/pgbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_ID_MAX 20000000
#define SLACK_NS (NS_PER_S / 2) /* two clocks, and the offset's estimate */
#define NEW_PER_MINUTE 60
#define MINUTE_NS (60 * NS_PER_S)
#define COLS 5

struct span {
	struct host_limited l; /* by the node's clock */
	bool dirty;            /* the database does not have it */
};

struct host {
	struct span span[MSG_HOST_LIMITED_MAX]; /* newest first */
	size_t n;
	int64_t offset_ns; /* of the node's clock; 0 while not known */
	struct mono minute;
	unsigned fresh; /* new ones since `minute` */
};

struct hosts {
	struct host *host; /* owned; by node id */
	size_t size;
	size_t dirty_n;
	int64_t seen_us; /* recorded_at of the newest row that was read */
	struct pgbuf buf;
};

struct hosts *
hosts_new(void)
{
	return calloc(1, sizeof(struct hosts));
}

void
hosts_free(struct hosts *h)
{
	if (!h)
		return;
	free(h->host);
	pgbuf_clear(&h->buf);
	free(h);
}

bool
hosts_attach(struct hosts *h, struct pgc *db, struct pgc_err *err)
{
	h->seen_us = 0;
	return pgc_prepare(
	           db, "hosts_write",
	           "INSERT INTO twmesh.node_host_limited AS h (node_id, "
	           "t_from, t_to, drops, held, recorded_at) SELECT *, "
	           "clock_timestamp() FROM unnest($1::integer[], "
	           "$2::timestamptz[], $3::timestamptz[], $4::bigint[], "
	           "$5::bigint[]) ON CONFLICT (node_id, t_from) DO UPDATE "
	           "SET t_to = greatest(h.t_to, excluded.t_to), drops = "
	           "greatest(h.drops, excluded.drops), held = "
	           "greatest(h.held, excluded.held), recorded_at = "
	           "excluded.recorded_at WHERE (excluded.t_to, "
	           "excluded.drops, excluded.held) IS DISTINCT FROM (h.t_to, "
	           "h.drops, h.held)",
	           err) &&
	       /* At first those of the last hour. */
	       pgc_prepare(
	           db, "hosts_read",
	           "SELECT node_id, t_from, t_to, drops, held, recorded_at "
	           "FROM twmesh.node_host_limited WHERE recorded_at > "
	           "greatest($1::timestamptz, now() - interval '1 hour') "
	           "ORDER BY recorded_at LIMIT 10000",
	           err);
}

static struct host *
host_of(struct hosts *h, uint32_t node_id)
{
	if (node_id > NODE_ID_MAX)
		return NULL;
	if (node_id >= h->size) {
		const size_t size = (size_t)node_id + 64;
		struct host *p = reallocarray(h->host, size, sizeof(*p));

		if (!p)
			return NULL;
		memset(p + h->size, 0, (size - h->size) * sizeof(*p));
		h->host = p;
		h->size = size;
	}
	return &h->host[node_id];
}

/* In its place by its start; NULL: older than all of a full list. */
static struct span *
insert(struct hosts *h, struct host *o, const struct host_limited *l)
{
	size_t i = 0;

	while (i < o->n && o->span[i].l.from.ns > l->from.ns)
		i++;
	if (i == MSG_HOST_LIMITED_MAX)
		return NULL;
	if (o->n == MSG_HOST_LIMITED_MAX) {
		h->dirty_n -= o->span[o->n - 1].dirty;
		o->n--;
	}
	memmove(&o->span[i + 1], &o->span[i], (o->n - i) * sizeof(o->span[0]));
	o->span[i] = (struct span){*l, false};
	o->n++;
	return &o->span[i];
}

static struct span *
find(struct host *o, struct wall from)
{
	/* the database keeps microseconds */
	for (size_t i = 0; i < o->n; i++) {
		if (pg_wall_to_us(o->span[i].l.from) == pg_wall_to_us(from))
			return &o->span[i];
	}
	return NULL;
}

/* False: known as well as this. */
static bool
grow(struct host_limited *known, const struct host_limited *l)
{
	if (pg_wall_to_us(l->to) <= pg_wall_to_us(known->to) &&
	    l->drops <= known->drops && l->held <= known->held)
		return false;
	known->to = l->to.ns > known->to.ns ? l->to : known->to;
	known->drops = l->drops > known->drops ? l->drops : known->drops;
	known->held = l->held > known->held ? l->held : known->held;
	return true;
}

static bool
may_add(struct host *o, struct mono now)
{
	if (mono_diff_ns(now, o->minute) >= MINUTE_NS) {
		o->minute = now;
		o->fresh = 0;
	}
	return o->fresh++ < NEW_PER_MINUTE;
}

static void
note(struct hosts *h, struct host *o, const struct host_limited *l,
     struct mono now)
{
	struct span *s = find(o, l->from);

	if (s && !grow(&s->l, l))
		return;
	if (!s)
		s = may_add(o, now) ? insert(h, o, l) : NULL;
	if (s && !s->dirty) {
		s->dirty = true;
		h->dirty_n++;
	}
}

void
hosts_note(struct hosts *h, uint32_t node_id, int64_t offset_ns,
           const struct host_limited *list, size_t n, struct mono now)
{
	struct host *o;

	if (n == 0 && node_id >= h->size)
		return;
	o = host_of(h, node_id);
	if (!o)
		return;
	if (offset_ns != NS_UNKNOWN)
		o->offset_ns = offset_ns;
	/* oldest first, so that the list fills with the newest */
	while (n-- > 0)
		note(h, o, &list[n], now);
}

bool
hosts_limited(const struct hosts *h, uint32_t node_id, struct wall from,
              struct wall to)
{
	const struct host *o;

	if (node_id >= h->size)
		return false;
	o = &h->host[node_id];
	for (size_t i = 0; i < o->n; i++) {
		const struct host_limited *l = &o->span[i].l;

		if (l->from.ns - o->offset_ns < to.ns + SLACK_NS &&
		    l->to.ns - o->offset_ns > from.ns - SLACK_NS)
			return true;
	}
	return false;
}

/* ---- the database ---- */

static void
put(struct pgbuf *b, uint32_t node_id, const struct host_limited *l, int col)
{
	switch (col) {
	case 0:
		pgbuf_i4(b, (int32_t)node_id);
		break;
	case 1:
		pgbuf_wall(b, l->from);
		break;
	case 2:
		pgbuf_wall(b, l->to);
		break;
	case 3:
		pgbuf_i8(b, (int64_t)l->drops);
		break;
	default:
		pgbuf_i8(b, (int64_t)l->held);
	}
}

static void
put_column(struct hosts *h, uint32_t elem, int col)
{
	pgbuf_array(&h->buf, elem, h->dirty_n);
	for (size_t i = 0; i < h->size; i++) {
		const struct host *o = &h->host[i];

		for (size_t k = 0; k < o->n; k++) {
			if (o->span[k].dirty)
				put(&h->buf, (uint32_t)i, &o->span[k].l, col);
		}
	}
}

static void
all_clean(struct hosts *h)
{
	for (size_t i = 0; i < h->size; i++) {
		for (size_t k = 0; k < h->host[i].n; k++)
			h->host[i].span[k].dirty = false;
	}
	h->dirty_n = 0;
}

bool
hosts_write(struct hosts *h, struct pgc *db, struct pgc_err *err)
{
	static const uint32_t elem[COLS] = {PG_OID_INT4, PG_OID_TIMESTAMPTZ,
	                                    PG_OID_TIMESTAMPTZ, PG_OID_INT8,
	                                    PG_OID_INT8};
	struct pgc_param p[COLS];
	size_t at[COLS + 1];

	if (h->dirty_n == 0)
		return true;
	h->buf.len = 0;
	for (int c = 0; c < COLS; c++) {
		at[c] = h->buf.len;
		put_column(h, elem[c], c);
	}
	at[COLS] = h->buf.len;
	if (h->buf.failed) {
		pgbuf_clear(&h->buf);
		return true; /* with the next one */
	}
	for (int c = 0; c < COLS; c++)
		p[c] = (struct pgc_param){h->buf.p + at[c], at[c + 1] - at[c],
		                          0, true};
	if (!pgc_run(db, "hosts_write", COLS, p, false, NULL, NULL, err))
		return false;
	all_clean(h);
	return true;
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

static void
take_row(struct hosts *h, const struct pgc_rows *rows, int i)
{
	const struct host_limited l = {
	    pg_us_to_wall(value_of(rows, i, 1)),
	    pg_us_to_wall(value_of(rows, i, 2)),
	    (uint64_t)value_of(rows, i, 3),
	    (uint64_t)value_of(rows, i, 4),
	};
	struct host *o = host_of(h, (uint32_t)value_of(rows, i, 0));
	struct span *s = o ? find(o, l.from) : NULL;

	h->seen_us = value_of(rows, i, 5);
	if (s)
		(void)grow(&s->l, &l);
	else if (o)
		(void)insert(h, o, &l);
}

bool
hosts_read(struct hosts *h, struct pgc *db, struct pgc_err *err)
{
	uint8_t since[8];
	const struct pgc_param p = {since, 8, 0, true};
	struct pgc_rows *rows;

	pg_store64(since, (uint64_t)h->seen_us);
	if (!pgc_run(db, "hosts_read", 1, &p, true, &rows, NULL, err))
		return false;
	for (int i = 0; i < pgc_rows_n(rows); i++)
		take_row(h, rows, i);
	pgc_rows_free(rows);
	return true;
}
