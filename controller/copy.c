/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One room check per row, then plain stores: encoding must cost less than the
 * server's share, since it runs beside it.
 */
#include "controller/copy.h"

#include "lib/base/metric.h"
#include "lib/stats/flowset.h"

#include <stdio.h>
#include <string.h>

#define ROW_KEY_COLUMNS 4 /* ts, src_id, dst_id, class_id */
#define KEY_COLUMNS 6     /* and epoch, interval_ms */
#define FLOW_COLUMNS 10
/* No value is longer than 12 octets with its length. */
#define ROW_MAX (12 * (KEY_COLUMNS + METRIC_N + 1) + RESULT_HIST_MAX)
#define DETAIL_ROW_MAX \
	(12 * (ROW_KEY_COLUMNS + METRIC_N + 3) + 2 * RESULT_WAY_HIST_MAX)
#define FLOW_ROW_MAX (12 * (ROW_KEY_COLUMNS + FLOW_COLUMNS))

/* ", sql" for each metric of that home. */
static size_t
list_metrics(char *out, size_t n, enum metric_home home, int *columns)
{
	for (unsigned m = 1; m < METRIC_N; m++) {
		const struct metric_info *info = metric_info(m);

		if (!info || info->home != home || n >= COPY_SQL_MAX)
			continue;
		n += (size_t)snprintf(out + n, COPY_SQL_MAX - n, ", %s",
		                      info->sql);
		++*columns;
	}
	return n < COPY_SQL_MAX ? n : COPY_SQL_MAX - 1;
}

void
copy_sql(const char *table, char *out, int *columns)
{
	size_t n = (size_t)snprintf(
	    out, COPY_SQL_MAX,
	    "COPY %s (ts, src_id, dst_id, class_id, epoch, interval_ms", table);

	*columns = KEY_COLUMNS + 1;
	n = list_metrics(out, n, METRIC_ROW, columns);
	(void)snprintf(out + n, COPY_SQL_MAX - n,
	               ", rtt_hist) FROM STDIN (FORMAT binary)");
}

void
copy_detail_sql(char *out, int *columns)
{
	size_t n = (size_t)snprintf(
	    out, COPY_SQL_MAX,
	    "COPY twmesh.result_detail (ts, src_id, dst_id, class_id, "
	    "span_ms");

	*columns = ROW_KEY_COLUMNS + 3;
	n = list_metrics(out, n, METRIC_DETAIL, columns);
	(void)snprintf(out + n, COPY_SQL_MAX - n,
	               ", fwd_hist, bwd_hist) FROM STDIN (FORMAT binary)");
}

void
copy_flow_sql(char *out, int *columns)
{
	*columns = ROW_KEY_COLUMNS + FLOW_COLUMNS;
	(void)snprintf(out, COPY_SQL_MAX,
	               "COPY twmesh.result_flow (ts, src_id, dst_id, class_id, "
	               "flow, sent, received, lost_fwd, lost_bwd, lost_undet, "
	               "rtt_min_ms, rtt_mean_ms, fwd_mean_ms, bwd_mean_ms) "
	               "FROM STDIN (FORMAT binary)");
}

/* What is the same for all rows of a slice, looked up once. */
struct plan {
	const int64_t *value; /* NULL: the column is NULL */
	enum metric_type type;
};

static size_t
plan_slice(const struct slice *s, enum metric_home home,
           struct plan plan[METRIC_N])
{
	size_t n = 0;

	for (unsigned m = 1; m < METRIC_N; m++) {
		const struct metric_info *info = metric_info(m);

		if (info && info->home == home)
			plan[n++] = (struct plan){s->value[m], info->type};
	}
	return n;
}

static uint8_t *
put32(uint8_t *p, uint32_t v)
{
	pg_store32(p, 4);
	pg_store32(p + 4, v);
	return p + 8;
}

static uint8_t *
put_value(uint8_t *p, enum metric_type type, int64_t v)
{
	uint32_t bits;
	float ms;

	switch (type) {
	case METRIC_COUNT:
		return put32(p, (uint32_t)v);
	case METRIC_SMALL:
		pg_store32(p, 2);
		pg_store16(p + 4, (uint16_t)v);
		return p + 6;
	case METRIC_DURATION:
		ms = (float)((double)v / 1e6);
		memcpy(&bits, &ms, sizeof(bits));
		return put32(p, bits);
	case METRIC_MILLI:
		ms = (float)((double)v / 1e3);
		memcpy(&bits, &ms, sizeof(bits));
		return put32(p, bits);
	}
	return p;
}

static uint8_t *
put_row_keys(uint8_t *p, const struct slice *s, size_t i, uint32_t src)
{
	pg_store32(p, 8);
	pg_store64(p + 4, (uint64_t)pg_wall_to_us(s->start));
	p = put32(p + 12, src);
	p = put32(p, s->dst_id[i]);
	return put32(p, s->class_id);
}

static uint8_t *
put_keys(uint8_t *p, const struct slice *s, size_t i, uint32_t src)
{
	p = put_row_keys(p, s, i, src);
	p = put32(p, (uint32_t)s->epoch);
	return put32(p, (uint32_t)(s->interval_ns / NS_PER_MS));
}

static uint8_t *
put_plan(uint8_t *p, const struct plan *plan, size_t n, size_t row)
{
	for (size_t m = 0; m < n; m++) {
		int64_t v = plan[m].value ? plan[m].value[row] : METRIC_NULL;

		if (v == METRIC_NULL) {
			pg_store32(p, UINT32_MAX);
			p += 4;
		} else {
			p = put_value(p, plan[m].type, v);
		}
	}
	return p;
}

/* NULL when there are none. */
static uint8_t *
put_octets(uint8_t *p, const uint8_t *const *octets, const uint16_t *len,
           size_t row)
{
	const uint16_t n = len ? len[row] : 0;

	pg_store32(p, n ? n : UINT32_MAX);
	p += 4;
	if (n)
		memcpy(p, octets[row], n);
	return p + n;
}

/* Room for a row of at most `size` octets, or NULL. */
static uint8_t *
row_room(struct pgcopy *w, size_t size, struct pgc_err *err)
{
	uint8_t *p;

	if (!pgcopy_row(w, err))
		return NULL;
	p = pgbuf_room(&w->buf, size);
	if (!p)
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
	return p;
}

static bool
put_row(struct pgcopy *w, const struct slice *s, size_t i, uint32_t src,
        const struct plan *plan, size_t plan_n, struct pgc_err *err)
{
	uint8_t *p = row_room(w, ROW_MAX, err);

	if (!p)
		return false;
	p = put_keys(p, s, i, src);
	p = put_plan(p, plan, plan_n, i);
	p = put_octets(p, s->hist, s->hist_len, i);
	w->buf.len = (size_t)(p - w->buf.p);
	return true;
}

bool
copy_slice(struct pgcopy *w, const struct wbatch *b, size_t k, size_t first,
           struct pgc_err *err)
{
	const struct slice *s = &b->body.slice[k];
	struct plan plan[METRIC_N];
	size_t plan_n = plan_slice(s, METRIC_ROW, plan);

	for (size_t i = 0; i < s->n; i++) {
		if (!wbatch_skips(b, first + i) &&
		    !put_row(w, s, i, b->ask->u.batch.node_id, plan, plan_n,
		             err))
			return false;
	}
	return true;
}

static bool
put_detail(struct pgcopy *w, const struct slice *s, size_t i, uint32_t src,
           const struct plan *plan, size_t plan_n, struct pgc_err *err)
{
	uint8_t *p = row_room(w, DETAIL_ROW_MAX, err);

	if (!p)
		return false;
	p = put_row_keys(p, s, i, src);
	p = put_value(p, METRIC_DURATION, s->value[METRIC_SPAN][i]);
	p = put_plan(p, plan, plan_n, i);
	p = put_octets(p, s->fwd_hist, s->fwd_hist_len, i);
	p = put_octets(p, s->bwd_hist, s->bwd_hist_len, i);
	w->buf.len = (size_t)(p - w->buf.p);
	return true;
}

bool
copy_details(struct pgcopy *w, const struct wbatch *b, struct pgc_err *err)
{
	struct plan plan[METRIC_N];
	size_t row = 0;

	for (size_t k = 0; b->loud_n > 0 && k < b->body.slice_n; k++) {
		const struct slice *s = &b->body.slice[k];
		size_t plan_n = plan_slice(s, METRIC_DETAIL, plan);

		for (size_t i = 0; i < s->n; i++, row++) {
			if (wbatch_is_loud(b, row) &&
			    !put_detail(w, s, i, b->ask->u.batch.node_id, plan,
			                plan_n, err))
				return false;
		}
	}
	return true;
}

static uint8_t *
put_ns(uint8_t *p, int64_t ns)
{
	if (ns != NS_UNKNOWN)
		return put_value(p, METRIC_DURATION, ns);
	pg_store32(p, UINT32_MAX);
	return p + 4;
}

static bool
put_flow(struct pgcopy *w, const struct slice *s, size_t i, uint32_t src,
         unsigned flow, const struct flow_result *f, struct pgc_err *err)
{
	uint8_t *p = row_room(w, FLOW_ROW_MAX, err);

	if (!p)
		return false;
	p = put_row_keys(p, s, i, src);
	p = put_value(p, METRIC_SMALL, flow);
	p = put32(p, f->sent);
	p = put32(p, f->received);
	p = put32(p, f->lost_fwd);
	p = put32(p, f->lost_bwd);
	p = put32(p, f->lost_undet);
	p = put_ns(p, f->rtt_min_ns);
	p = put_ns(p, f->rtt_mean_ns);
	p = put_ns(p, f->fwd_mean_ns);
	p = put_ns(p, f->bwd_mean_ns);
	w->buf.len = (size_t)(p - w->buf.p);
	return true;
}

/* Judging has seen that they can be decoded. */
static bool
put_flows(struct pgcopy *w, const struct slice *s, size_t i, uint32_t src,
          struct pgc_err *err)
{
	struct flow_result f[FLOWS_MAX_N];
	unsigned n;

	if (s->flows_len[i] == 0 ||
	    !flowset_decode(s->flows[i], s->flows_len[i], f, &n))
		return true;
	for (unsigned k = 0; k < n; k++) {
		if (!put_flow(w, s, i, src, k, &f[k], err))
			return false;
	}
	return true;
}

bool
copy_flows(struct pgcopy *w, const struct wbatch *b, struct pgc_err *err)
{
	size_t row = 0;

	for (size_t k = 0; b->flow_n > 0 && k < b->body.slice_n; k++) {
		const struct slice *s = &b->body.slice[k];

		for (size_t i = 0; i < s->n; i++, row++) {
			if (s->flows_len && !wbatch_skips(b, row) &&
			    !put_flows(w, s, i, b->ask->u.batch.node_id, err))
				return false;
		}
	}
	return true;
}
