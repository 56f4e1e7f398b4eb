/* SPDX-License-Identifier: BSD-2-Clause */
/* The metric table is a promise to SQL, JSON, the wire and the page. */
#include "lib/base/metric.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(test_every_row_is_whole)
{
	for (unsigned i = 1; i < METRIC_N; i++) {
		const struct metric_info *m = metric_info(i);

		ck_assert_msg(m != NULL, "metric %u has no row", i);
		ck_assert_uint_eq(m->id, i);
		ck_assert(m->name && *m->name);
		ck_assert(m->sql && *m->sql);
		ck_assert(m->unit != NULL);
		ck_assert(m->rfc && *m->rfc);
		ck_assert(m->null_rule && *m->null_rule);
		ck_assert(m->help && *m->help);
	}
	ck_assert_ptr_null(metric_info(METRIC_NONE));
	ck_assert_ptr_null(metric_info(METRIC_N));
	ck_assert_ptr_null(metric_info(UINT32_MAX));
}
END_TEST

START_TEST(test_names)
{
	for (unsigned i = 1; i < METRIC_N; i++) {
		const struct metric_info *m = metric_info(i);
		const size_t n = strlen(m->sql);

		ck_assert_ptr_eq(metric_by_name(m->name), m); /* unique */
		for (const char *p = m->sql; *p; p++)
			ck_assert_msg(islower(*p) || isdigit(*p) || *p == '_',
			              "%s", m->sql);
		ck_assert_int_eq(strncmp(m->name, m->sql, strlen(m->name)), 0);
		/* a column of milliseconds says so, no other does */
		ck_assert_int_eq(n > 3 && strcmp(m->sql + n - 3, "_ms") == 0,
		                 m->type == METRIC_DURATION);
		for (unsigned j = 1; j < i; j++)
			ck_assert_str_ne(metric_info(j)->sql, m->sql);
	}
	ck_assert_ptr_null(metric_by_name(""));
	ck_assert_ptr_null(metric_by_name("rtt"));
	ck_assert_ptr_null(metric_by_name("rtt_min "));
}
END_TEST

/* The ids are on the wire: they never change. */
START_TEST(test_ids)
{
	static const struct {
		const char *name;
		unsigned id;
	} wire[] = {
	    {"scheduled", 1},
	    {"sent", 2},
	    {"send_failed", 3},
	    {"received", 4},
	    {"lost", 5},
	    {"lost_fwd", 6},
	    {"lost_bwd", 7},
	    {"lost_undet", 8},
	    {"late", 9},
	    {"duplicates", 10},
	    {"rtt_min", 11},
	    {"rtt_mean", 12},
	    {"rtt_max", 13},
	    {"rtt_p50", 14},
	    {"rtt_p99", 15},
	    {"fwd_min", 16},
	    {"fwd_mean", 17},
	    {"fwd_max", 18},
	    {"bwd_min", 19},
	    {"bwd_mean", 20},
	    {"bwd_max", 21},
	    {"fwd_ipdv", 22},
	    {"bwd_ipdv", 23},
	    {"fwd_jitter_rfc3550", 24},
	    {"bwd_jitter_rfc3550", 25},
	    {"fwd_hops", 26},
	    {"bwd_hops", 27},
	    {"clock_err", 28},
	    {"local_drops", 29},
	    {"flags", 30},
	    {"span", 31},
	    {"rtt_p999", 32},
	    {"fwd_p50", 33},
	    {"fwd_p99", 34},
	    {"bwd_p50", 35},
	    {"bwd_p99", 36},
	    {"fwd_ipdv_p99", 37},
	    {"bwd_ipdv_p99", 38},
	    {"rtt_unknown", 39},
	    {"raw_rtt_mean", 40},
	    {"reordered", 41},
	    {"fwd_reordered", 42},
	    {"bwd_reordered", 43},
	    {"reorder_extent", 44},
	    {"fwd_reorder_extent", 45},
	    {"bwd_reorder_extent", 46},
	    {"fwd_duplicates", 47},
	    {"bwd_duplicates", 48},
	    {"altered", 49},
	    {"loss_runs_1", 50},
	    {"loss_runs_2", 51},
	    {"loss_runs_long", 52},
	    {"fwd_dscp", 53},
	    {"bwd_dscp", 54},
	    {"fwd_ecn", 55},
	    {"bwd_ecn", 56},
	    {"fwd_remarked", 57},
	    {"bwd_remarked", 58},
	    {"fwd_hops_changed", 59},
	    {"bwd_hops_changed", 60},
	    {"send_late_p50", 61},
	    {"send_late_p99", 62},
	    {"send_late_max", 63},
	    {"stamps", 64},
	    {"tx_stamps_missing", 65},
	    {"rx_stamps_missing", 66},
	    {"t3_uncorrected", 67},
	    {"late_dst_host", 68},
	    {"fwd_r", 69},
	    {"bwd_r", 70},
	    {"fwd_mos", 71},
	    {"bwd_mos", 72},
	};

	for (size_t i = 0; i < sizeof(wire) / sizeof(wire[0]); i++) {
		const struct metric_info *m = metric_info(wire[i].id);

		ck_assert_ptr_nonnull(m);
		ck_assert_str_eq(m->name, wire[i].name);
	}
}
END_TEST

START_TEST(test_shown)
{
	ck_assert_double_eq_tol(
	    metric_shown(metric_info(METRIC_RTT_MIN), 1234567), 1.234567,
	    1e-12);
	ck_assert_double_eq(metric_shown(metric_info(METRIC_LOST), 7), 7);
	ck_assert_double_eq(metric_shown(metric_info(METRIC_FWD_MIN), -500000),
	                    -0.5);
	ck_assert_double_eq(metric_shown(metric_info(METRIC_FWD_MOS), 4410),
	                    4.41);
}
END_TEST

/* A row of details exists for what speaks for itself: losses in runs do, a
 * percentile that every interval has does not. */
START_TEST(test_quiet)
{
	const struct metric_info *count = metric_info(METRIC_FWD_DUPLICATES),
	                         *p99 = metric_info(METRIC_FWD_P99);

	ck_assert(!metric_is_loud(count, METRIC_NULL));
	ck_assert(!metric_is_loud(count, 0));
	ck_assert(metric_is_loud(count, 1));
	ck_assert(!metric_is_loud(p99, 5));
}
END_TEST

START_TEST(test_matrix_metrics)
{
	ck_assert_str_eq(matrix_metrics[0].name, "state");
	for (size_t i = 0; i < matrix_metrics_n; i++) {
		const struct matrix_metric_info *m = &matrix_metrics[i];
		const size_t n = strlen(m->name);

		ck_assert(*m->name && *m->label && *m->help);
		ck_assert_ptr_eq(matrix_metric_by_name(m->name), m);
		ck_assert_int_ge(m->decimals, 0);
		if (n > 3 && strcmp(m->name + n - 3, "_ms") == 0)
			ck_assert_str_eq(m->unit, "ms");
		if (n > 4 && strcmp(m->name + n - 4, "_pct") == 0)
			ck_assert_str_eq(m->unit, "%");
	}
	ck_assert_ptr_null(matrix_metric_by_name("nonsense"));
}
END_TEST

/* docs/MEASUREMENT.md defines every metric, by its name in code style. */
START_TEST(test_documented)
{
	char *text = calloc(1, 1 << 20);
	FILE *f = fopen(TEST_SRCDIR "/docs/MEASUREMENT.md", "re");

	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_gt(fread(text, 1, (1 << 20) - 1, f), 0);
	(void)fclose(f);
	for (unsigned i = 1; i < METRIC_N; i++) {
		char name[80];

		(void)snprintf(name, sizeof(name), "`%s`",
		               metric_info(i)->name);
		ck_assert_msg(strstr(text, name) != NULL,
		              "%s is not in docs/MEASUREMENT.md", name);
	}
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("metric");
	TCase *t = tcase_create("metric");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_every_row_is_whole);
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_ids);
	tcase_add_test(t, test_shown);
	tcase_add_test(t, test_quiet);
	tcase_add_test(t, test_documented);
	tcase_add_test(t, test_matrix_metrics);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
