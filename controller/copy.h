/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows of twmesh.result, result_detail and result_flow in binary COPY form.
 * Columns come from the metric table, so that a metric more is a line there
 * and in a migration.
 */
#ifndef TWMESH_CONTROLLER_COPY_H
#define TWMESH_CONTROLLER_COPY_H

#include "controller/ledger.h"
#include "lib/pg/pgcopy.h"

/* "COPY twmesh.result (ts, …) FROM STDIN (FORMAT binary)"; *columns of them.
 * `table` is the table's name. `out` of COPY_SQL_MAX. */
#define COPY_SQL_MAX 2048
void copy_sql(const char *table, char *out, int *columns);
/* The same for twmesh.result_detail and twmesh.result_flow. */
void copy_detail_sql(char *out, int *columns);
void copy_flow_sql(char *out, int *columns);

/* Those rows of the batch's slice k that are not put aside; `first` is the
 * number of its first row in the batch. */
bool copy_slice(struct pgcopy *w, const struct wbatch *b, size_t k,
                size_t first, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Those of the batch's rows that are loud: b->loud_n. */
bool copy_details(struct pgcopy *w, const struct wbatch *b, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* The flows of its rows: b->flow_n. */
bool copy_flows(struct pgcopy *w, const struct wbatch *b, struct pgc_err *err)
    __attribute__((warn_unused_result));

#endif
