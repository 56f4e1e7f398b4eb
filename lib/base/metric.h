/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one table of metrics: COPY, JSON, --metric, the documentation check and
 * the page's pickers all read it.
 */
#ifndef TWMESH_BASE_METRIC_H
#define TWMESH_BASE_METRIC_H

#include "lib/base/result.h"

#include <stdbool.h>

/* How a value is kept in struct result and how it is stored and shown. */
enum metric_type {
	METRIC_COUNT,    /* packets; SQL int4 */
	METRIC_DURATION, /* ns here; SQL real, milliseconds */
	METRIC_SMALL,    /* small integer; SQL int2 */
	METRIC_MILLI     /* thousandths here; SQL real */
};

/* Where it is stored: the row that every interval has, or the sibling table
 * twmesh.result_detail, whose row exists only when there is something to say:
 * a value that is neither NULL nor `quiet`. */
enum metric_home { METRIC_ROW, METRIC_DETAIL };
#define QUIET_ALWAYS (INT64_MIN + 1) /* never the reason for a row */

struct metric_info {
	enum metric id;
	const char *name; /* JSON key, without unit for counts */
	const char *sql;  /* column of twmesh.path_result */
	const char *unit; /* as shown to people: "ms", "packets", "" */
	enum metric_type type;
	enum metric_home home;
	int64_t quiet;   /* the value that says nothing, or QUIET_ALWAYS */
	const char *rfc; /* definition */
	const char *null_rule; /* when it is NULL */
	const char *help;      /* one line */
};

/* Entry of a known id, else NULL (METRIC_NONE, ids of later versions). */
const struct metric_info *metric_info(unsigned id);
const struct metric_info *metric_by_name(const char *name);

/* Does the value alone deserve a row in result_detail? */
bool metric_is_loud(const struct metric_info *m, int64_t v);

/* A value in the unit it is stored and shown in (ms for durations). */
double metric_shown(const struct metric_info *m, int64_t v);

/*
 * Metrics of a matrix cell (columns of twmesh.path_matrix): what `twmesh
 * matrix --metric` and the page offer.
 */
struct matrix_metric_info {
	const char *name; /* column of path_matrix, and JSON key */
	const char *unit;
	const char *label; /* for people */
	int decimals;      /* to show */
	const char *help;
};
extern const struct matrix_metric_info matrix_metrics[];
extern const size_t matrix_metrics_n;
const struct matrix_metric_info *matrix_metric_by_name(const char *name);

#endif
