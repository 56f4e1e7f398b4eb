/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/rollrow.h"

#include "lib/base/result.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NONE ((double)NAN)

enum type { I4, I2, F4 };

enum rule {
	SUM,
	MIN,
	MAX,
	WORST, /* MAX, but NULL once one is NULL */
	MEAN,  /* weighted by packets received */
	LAST,
	OR,
	FROM_HIST
};

/* In the order of enum roll_col. `raw`: the expression over rows of results;
 * NULL: the column's own name. What is in their details comes in rows of its
 * own: a join would cost more, and count twice what is there twice. */
static const struct column {
	const char *name, *raw;
	enum type type;
	enum rule rule;
} column[] = {
    {"intervals", "1", I4, SUM},
    {"host_limited", "(r.flags & 516 <> 0)::integer", I4, SUM},
    {"scheduled", NULL, I4, SUM},
    {"sent", NULL, I4, SUM},
    {"send_failed", NULL, I4, SUM},
    {"received", NULL, I4, SUM},
    {"lost", NULL, I4, SUM},
    {"lost_fwd", NULL, I4, SUM},
    {"lost_bwd", NULL, I4, SUM},
    {"lost_undet", NULL, I4, SUM},
    {"late", NULL, I4, SUM},
    {"duplicates", NULL, I4, SUM},
    {"local_drops", NULL, I4, SUM},
    {"loss_runs_1", "NULL::integer", I4, SUM},
    {"loss_runs_2", "NULL::integer", I4, SUM},
    {"loss_runs_long", "NULL::integer", I4, SUM},
    {"span_ms", NULL, F4, SUM},
    {"rtt_min_ms", NULL, F4, MIN},
    {"rtt_mean_ms", NULL, F4, MEAN},
    {"rtt_max_ms", NULL, F4, MAX},
    {"rtt_p50_ms", NULL, F4, FROM_HIST},
    {"rtt_p95_ms", "NULL::real", F4, FROM_HIST},
    {"rtt_p99_ms", NULL, F4, FROM_HIST},
    {"fwd_min_ms", NULL, F4, MIN},
    {"fwd_mean_ms", NULL, F4, MEAN},
    {"fwd_max_ms", NULL, F4, MAX},
    {"bwd_min_ms", NULL, F4, MIN},
    {"bwd_mean_ms", NULL, F4, MEAN},
    {"bwd_max_ms", NULL, F4, MAX},
    {"fwd_ipdv_ms", NULL, F4, MEAN},
    {"bwd_ipdv_ms", NULL, F4, MEAN},
    {"fwd_ipdv_max_ms", "r.fwd_ipdv_ms", F4, MAX},
    {"bwd_ipdv_max_ms", "r.bwd_ipdv_ms", F4, MAX},
    {"fwd_jitter_rfc3550_ms", NULL, F4, MAX},
    {"bwd_jitter_rfc3550_ms", NULL, F4, MAX},
    {"clock_err_ms", NULL, F4, WORST},
    {"fwd_hops", NULL, I2, LAST},
    {"bwd_hops", NULL, I2, LAST},
    {"flags", NULL, I2, OR},
};
static_assert(sizeof(column) / sizeof(column[0]) == ROLL_N, "a row per column");

/* Percentiles, and the samples below which they say nothing (as in results,
 * docs/MEASUREMENT.md). */
static const struct {
	enum roll_col col;
	double p;
	uint64_t least;
} percentile[] = {
    {ROLL_RTT_P50, 50, 1}, {ROLL_RTT_P95, 95, 20}, {ROLL_RTT_P99, 99, 50}};

void
roll_select_sql(bool raw, char out[ROLL_SQL_MAX])
{
	size_t n = (size_t)snprintf(out, ROLL_SQL_MAX,
	                            "r.src_id, r.dst_id, r.class_id");

	for (size_t i = 0; i < ROLL_N && n < ROLL_SQL_MAX; i++) {
		const struct column *c = &column[i];

		if (raw && c->raw)
			n += (size_t)snprintf(out + n, ROLL_SQL_MAX - n, ", %s",
			                      c->raw);
		else
			n += (size_t)snprintf(out + n, ROLL_SQL_MAX - n,
			                      ", r.%s", c->name);
	}
	if (n < ROLL_SQL_MAX)
		(void)snprintf(out + n, ROLL_SQL_MAX - n, ", r.rtt_hist");
}

/* The same columns of rows of details: only what those have. */
void
roll_detail_sql(char out[ROLL_SQL_MAX])
{
	static const char *const null[] = {[I4] = "NULL::integer",
	                                   [I2] = "NULL::smallint",
	                                   [F4] = "NULL::real"};
	size_t n = (size_t)snprintf(out, ROLL_SQL_MAX,
	                            "d.src_id, d.dst_id, d.class_id");

	for (size_t i = 0; i < ROLL_N && n < ROLL_SQL_MAX; i++) {
		if (i == ROLL_RUNS_1 || i == ROLL_RUNS_2 || i == ROLL_RUNS_LONG)
			n += (size_t)snprintf(out + n, ROLL_SQL_MAX - n,
			                      ", d.%s", column[i].name);
		else
			n += (size_t)snprintf(out + n, ROLL_SQL_MAX - n, ", %s",
			                      null[column[i].type]);
	}
	if (n < ROLL_SQL_MAX)
		(void)snprintf(out + n, ROLL_SQL_MAX - n, ", NULL::bytea");
}

void
roll_columns_sql(char out[ROLL_SQL_MAX])
{
	size_t n =
	    (size_t)snprintf(out, ROLL_SQL_MAX, "ts, src_id, dst_id, class_id");

	for (size_t i = 0; i < ROLL_N && n < ROLL_SQL_MAX; i++)
		n += (size_t)snprintf(out + n, ROLL_SQL_MAX - n, ", %s",
		                      column[i].name);
	if (n < ROLL_SQL_MAX)
		(void)snprintf(out + n, ROLL_SQL_MAX - n, ", rtt_hist");
}

/* ---- merging ---- */

static double
value_of(const struct pgcopyout *row, size_t col)
{
	const int64_t none = INT64_MIN;
	int64_t v;

	if (column[col].type == F4)
		return (double)pgcopyout_f4(row, 3 + col, NAN);
	v = pgcopyout_i64(row, 3 + col, none);
	return v == none ? NONE : (double)v;
}

static int32_t
key_of(const struct pgcopyout *row, size_t i)
{
	return (int32_t)pgcopyout_i64(row, i, 0);
}

void
roll_start(struct roll *s, const struct pgcopyout *row)
{
	s->src_id = key_of(row, 0);
	s->dst_id = key_of(row, 1);
	s->class_id = key_of(row, 2);
	s->open = false;
	for (size_t i = 0; i < ROLL_N; i++) {
		const enum rule r = column[i].rule;

		s->v[i] = r == SUM || r == OR || r == MEAN ? 0 : NONE;
		s->w[i] = 0;
	}
	hist_clear(&s->hist);
}

bool
roll_is_of(const struct roll *s, const struct pgcopyout *row)
{
	return s->dst_id == key_of(row, 1) && s->src_id == key_of(row, 0) &&
	       s->class_id == key_of(row, 2);
}

static void
merge(struct roll *s, size_t i, double v, double received)
{
	double *sum = &s->v[i];

	switch (column[i].rule) {
	case SUM:
		*sum += isnan(v) ? 0 : v;
		break;
	case MIN:
		*sum = isnan(*sum) || v < *sum ? v : *sum;
		break;
	case MAX:
		*sum = isnan(*sum) || v > *sum ? v : *sum;
		break;
	case WORST:
		*sum = !s->open || isnan(v) || v > *sum ? v : *sum;
		break;
	case MEAN:
		if (isnan(v) || received <= 0)
			break;
		*sum += v * received;
		s->w[i] += received;
		break;
	case LAST:
		*sum = isnan(v) ? *sum : v;
		break;
	case OR:
		if (!isnan(v))
			*sum = (double)((uint16_t)(int32_t)*sum |
			                (uint16_t)(int32_t)v);
		break;
	case FROM_HIST:
		break;
	}
}

void
roll_add(struct roll *s, const struct pgcopyout *row)
{
	const double received = value_of(row, ROLL_RECEIVED);
	const bool detail = isnan(value_of(row, ROLL_INTERVALS));
	size_t len;
	const uint8_t *hist = pgcopyout_bytes(row, 3 + ROLL_N, &len);

	for (size_t i = 0; i < ROLL_N; i++) {
		if (!detail || column[i].rule == SUM)
			merge(s, i, value_of(row, i), received);
	}
	if (detail)
		return;
	/* One that cannot be read is none: the rest of the row counts. */
	if (hist)
		(void)!hist_merge_wire(&s->hist, hist, len);
	s->open = true;
}

void
roll_finish(struct roll *s)
{
	for (size_t i = 0; i < ROLL_N; i++) {
		if (column[i].rule == MEAN)
			s->v[i] = s->w[i] > 0 ? s->v[i] / s->w[i] : NONE;
	}
	for (size_t i = 0; i < sizeof(percentile) / sizeof(percentile[0]);
	     i++) {
		const bool known = s->hist.n >= percentile[i].least;

		s->v[percentile[i].col] =
		    known ? (double)hist_percentile_ns(&s->hist,
		                                       percentile[i].p) /
		                1e6
		          : NONE;
	}
}

/* ---- writing ---- */

static void
put(struct pgbuf *b, enum type type, double v)
{
	if (isnan(v))
		pgbuf_null(b);
	else if (type == F4)
		pgbuf_f4(b, (float)v);
	else if (type == I2)
		pgbuf_i2(b, (int16_t)v);
	else
		pgbuf_i4(b, v < INT32_MAX ? (int32_t)v : INT32_MAX);
}

bool
roll_put(struct roll *s, struct wall ts, struct pgcopy *out,
         struct pgc_err *err)
{
	uint8_t wire[HIST_FIT_MIN];
	size_t len = 0;

	if (!pgcopy_row(out, err))
		return false;
	pgbuf_wall(&out->buf, ts);
	pgbuf_i4(&out->buf, s->src_id);
	pgbuf_i4(&out->buf, s->dst_id);
	pgbuf_i4(&out->buf, s->class_id);
	for (size_t i = 0; i < ROLL_N; i++)
		put(&out->buf, column[i].type, s->v[i]);
	if (s->hist.n > 0)
		len = hist_encode_fit(&s->hist, wire, ROLL_HIST_MAX);
	if (s->hist.n > 0 && len == 0)
		len = hist_encode_fit(&s->hist, wire, sizeof(wire));
	if (len > 0)
		pgbuf_bytes(&out->buf, wire, len);
	else
		pgbuf_null(&out->buf);
	return true;
}
