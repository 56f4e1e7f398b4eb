/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A row of a rollup, merged from rows of results or of finer rollups. One
 * table says for each column how it is merged and where it comes from, so that
 * SQL, COPY and arithmetic cannot differ.
 */
#ifndef TWMESH_CONTROLLER_ROLLROW_H
#define TWMESH_CONTROLLER_ROLLROW_H

#include "lib/pg/pgcopy.h"
#include "lib/pg/pgcopyout.h"
#include "lib/stats/hist.h"

/* Octets of a stored histogram where they suffice. With thousands of packets
 * 32 buckets per octave would make it the larger part of the row: it is
 * coarsened to fit (hist.h), usually to 8 per octave, 6 % of the distance from
 * the minimum. p50, p95 and p99 are taken before that. */
#define ROLL_HIST_MAX 256

enum roll_col {
	ROLL_INTERVALS,
	ROLL_HOST_LIMITED,
	ROLL_SCHEDULED,
	ROLL_SENT,
	ROLL_SEND_FAILED,
	ROLL_RECEIVED,
	ROLL_LOST,
	ROLL_LOST_FWD,
	ROLL_LOST_BWD,
	ROLL_LOST_UNDET,
	ROLL_LATE,
	ROLL_DUPLICATES,
	ROLL_LOCAL_DROPS,
	ROLL_RUNS_1,
	ROLL_RUNS_2,
	ROLL_RUNS_LONG,
	ROLL_SPAN,
	ROLL_RTT_MIN,
	ROLL_RTT_MEAN,
	ROLL_RTT_MAX,
	ROLL_RTT_P50,
	ROLL_RTT_P95,
	ROLL_RTT_P99,
	ROLL_FWD_MIN,
	ROLL_FWD_MEAN,
	ROLL_FWD_MAX,
	ROLL_BWD_MIN,
	ROLL_BWD_MEAN,
	ROLL_BWD_MAX,
	ROLL_FWD_IPDV,
	ROLL_BWD_IPDV,
	ROLL_FWD_IPDV_MAX,
	ROLL_BWD_IPDV_MAX,
	ROLL_FWD_JITTER,
	ROLL_BWD_JITTER,
	ROLL_CLOCK_ERR,
	ROLL_FWD_HOPS,
	ROLL_BWD_HOPS,
	ROLL_FLAGS,
	ROLL_N
};

/* Keys in front, the histogram behind. */
#define ROLL_COLUMNS (4 + ROLL_N + 1)

struct roll {
	int32_t src_id, dst_id, class_id;
	bool open;        /* something was merged */
	double v[ROLL_N]; /* NAN: NULL */
	double w[ROLL_N]; /* weight behind a mean */
	struct hist hist;
};

/* "src_id, dst_id, class_id, …, rtt_hist": what roll_add() reads, of results
 * or rollups (table r), and of details (table d). */
#define ROLL_SQL_MAX 2048
void roll_select_sql(bool raw, char out[ROLL_SQL_MAX]);
void roll_detail_sql(char out[ROLL_SQL_MAX]);
/* "ts, src_id, …, rtt_hist": what roll_put() writes. */
void roll_columns_sql(char out[ROLL_SQL_MAX]);

void roll_start(struct roll *s, const struct pgcopyout *row);
/* Is the row of the session that was started? */
bool roll_is_of(const struct roll *s, const struct pgcopyout *row);
void roll_add(struct roll *s, const struct pgcopyout *row);
/* Percentiles, once all is added. */
void roll_finish(struct roll *s);
bool roll_put(struct roll *s, struct wall ts, struct pgcopy *out,
              struct pgc_err *err) __attribute__((warn_unused_result));

#endif
