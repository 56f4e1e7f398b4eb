/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One room check per row, then plain stores: encoding must cost less than the
 * server's share, since it runs beside it.
 */
#include "controller/copy.h"

#include "lib/base/metric.h"

#include <stdio.h>
#include <string.h>

#define KEY_COLUMNS 6 /* ts, src_id, dst_id, class_id, epoch, interval_ms */
/* No value is longer than 12 octets with its length. */
#define ROW_MAX (12 * (KEY_COLUMNS + METRIC_N + 1) + RESULT_HIST_MAX)

void
copy_sql(const char *table, char *out, int *columns)
{
	size_t n = (size_t)snprintf(
	    out, COPY_SQL_MAX,
	    "COPY %s (ts, src_id, dst_id, class_id, epoch, interval_ms", table);

	*columns = KEY_COLUMNS;
	for (unsigned m = 1; m < METRIC_N; m++) {
		const struct metric_info *info = metric_info(m);

		if (!info || info->home != METRIC_ROW || n >= COPY_SQL_MAX)
			continue;
		n += (size_t)snprintf(out + n, COPY_SQL_MAX - n, ", %s",
		                      info->sql);
		++*columns;
	}
	if (n < COPY_SQL_MAX)
		(void)snprintf(out + n, COPY_SQL_MAX - n,
		               ", rtt_hist) FROM STDIN (FORMAT binary)");
	++*columns;
}

/* What is the same for all rows of a slice, looked up once. */
struct plan {
	const int64_t *value; /* NULL: the column is NULL */
	enum metric_type type;
};

static size_t
plan_slice(const struct slice *s, struct plan plan[METRIC_N])
{
	size_t n = 0;

	for (unsigned m = 1; m < METRIC_N; m++) {
		const struct metric_info *info = metric_info(m);

		if (info && info->home == METRIC_ROW)
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
put_keys(uint8_t *p, const struct slice *s, size_t i, uint32_t src)
{
	pg_store32(p, 8);
	pg_store64(p + 4, (uint64_t)pg_wall_to_us(s->start));
	p = put32(p + 12, src);
	p = put32(p, s->dst_id[i]);
	p = put32(p, s->class_id);
	p = put32(p, (uint32_t)s->epoch);
	return put32(p, (uint32_t)(s->interval_ns / NS_PER_MS));
}

static bool
put_row(struct pgcopy *w, const struct slice *s, size_t i, uint32_t src,
        const struct plan *plan, size_t plan_n, struct pgc_err *err)
{
	uint16_t hist_len = s->hist && s->hist_len ? s->hist_len[i] : 0;
	uint8_t *p;

	if (!pgcopy_row(w, err))
		return false;
	p = pgbuf_room(&w->buf, ROW_MAX);
	if (!p || hist_len > RESULT_HIST_MAX) {
		(void)snprintf(err->text, sizeof(err->text), "%s",
		               p ? "a histogram is too long" : "out of memory");
		return false;
	}
	p = put_keys(p, s, i, src);
	for (size_t m = 0; m < plan_n; m++) {
		int64_t v = plan[m].value ? plan[m].value[i] : METRIC_NULL;

		if (v == METRIC_NULL) {
			pg_store32(p, UINT32_MAX);
			p += 4;
		} else {
			p = put_value(p, plan[m].type, v);
		}
	}
	pg_store32(p, hist_len ? hist_len : UINT32_MAX);
	p += 4;
	if (hist_len) {
		memcpy(p, s->hist[i], hist_len);
		p += hist_len;
	}
	w->buf.len = (size_t)(p - w->buf.p);
	return true;
}

bool
copy_slice(struct pgcopy *w, const struct wbatch *b, size_t k, size_t first,
           struct pgc_err *err)
{
	const struct slice *s = &b->body.slice[k];
	struct plan plan[METRIC_N];
	size_t plan_n = plan_slice(s, plan);

	for (size_t i = 0; i < s->n; i++) {
		if (!wbatch_skips(b, first + i) &&
		    !put_row(w, s, i, b->ask->u.batch.node_id, plan, plan_n,
		             err))
			return false;
	}
	return true;
}
