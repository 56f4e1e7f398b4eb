/* SPDX-License-Identifier: BSD-2-Clause */
/* The fast forms of the matrix say what the readable view says. */
#include "tests/unit/writerbox.h"

static const char *const metrics[] = {
    "loss_pct", "loss_max_pct", "delay_ms", "jitter_ms",
    "rtt_ms",   "rtt_p99_ms",   "hops",     "clock_err_ms",
};
#define METRICS (sizeof(metrics) / sizeof(metrics[0]))

/* Directions of a metric in which a function and the view differ, and those
 * that both have. */
static void
compare(const char *function, const char *metric, long long want_rows)
{
	char sql[1024];

	(void)snprintf(
	    sql, sizeof(sql),
	    "SELECT count(*) FILTER (WHERE f.value IS DISTINCT FROM "
	    "m.%s::real) || ' ' || count(*) FILTER (WHERE f.value IS NOT NULL) "
	    "FROM (%s) f FULL JOIN twmesh.path_matrix m USING (src, dst)",
	    metric, function);
	{
		char want[40];

		(void)snprintf(want, sizeof(want), "0 %lld", want_rows);
		ck_assert_msg(sql_is(sql, want), "%s", metric);
	}
}

static void
compare_all(const char *metric, long long rows)
{
	char sql[512];

	(void)snprintf(sql, sizeof(sql),
	               "SELECT x.src, n.name AS dst, u.value FROM "
	               "twmesh.matrix_metric('%s', 'demo') x, unnest(x.value) "
	               "WITH ORDINALITY AS u (value, slot) JOIN "
	               "twmesh.node_status n USING (slot) WHERE n.name <> "
	               "x.src",
	               metric);
	compare(sql, metric, rows);
	(void)snprintf(sql, sizeof(sql),
	               "SELECT n.name AS src, f.dst, f.value FROM "
	               "twmesh.node_status n, twmesh.matrix_from(n.name, '%s') "
	               "f",
	               metric);
	compare(sql, metric, rows);
	(void)snprintf(sql, sizeof(sql),
	               "SELECT t.src, n.name AS dst, t.value FROM "
	               "twmesh.node_status n, twmesh.matrix_to(n.name, '%s') "
	               "t",
	               metric);
	compare(sql, metric, rows);
	(void)snprintf(sql, sizeof(sql),
	               "SELECT * FROM twmesh.worst_paths(100, '%s')", metric);
	compare(sql, metric, rows);
}

static void
fill(struct result *r, uint32_t dst, int n, int64_t lost)
{
	result_fill(r, dst, cls, interval_before(n), 100, lost);
	r->v[METRIC_RTT_MEAN] = (dst * 100 + (uint32_t)n) * NS_PER_MS;
	r->v[METRIC_RTT_P99] = (int64_t)dst * 200 * NS_PER_MS;
	r->v[METRIC_FWD_MEAN] = (int64_t)dst * 40 * NS_PER_MS;
	r->v[METRIC_FWD_IPDV] = (int64_t)dst * NS_PER_MS;
	r->v[METRIC_CLOCK_ERR] = NS_PER_MS;
	r->v[METRIC_FWD_HOPS] = dst;
}

/* Three nodes; ams and lon have measured all others, fra has not. */
static void
three_nodes(uint32_t *lon)
{
	struct result r[2];

	*lon = join(&box, "lon1", 3, 3);
	ck_assert_uint_ne(*lon, 0);
	fill(&r[0], fra, 3, 7);
	fill(&r[1], *lon, 3, 0);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 1, r, 2), NULL),
	                 ACK_STORED);
	fill(&r[0], ams, 3, 100);
	fill(&r[1], fra, 3, 4);
	/* a direction that nobody can tell */
	r[1].v[METRIC_LOST_FWD] = 1;
	r[1].v[METRIC_LOST_UNDET] = 3;
	ck_assert_int_eq(store(&box, batch_of(*lon, 3, 1, r, 2), NULL),
	                 ACK_STORED);
}

START_TEST(functions_say_what_the_view_says)
{
	uint32_t lon;

	three_nodes(&lon);
	for (size_t i = 0; i < METRICS; i++)
		compare_all(metrics[i], i == 0 ? 3 : 4);
	ck_assert(sql_is("SELECT string_agg(src || dst || value, ' ') FROM "
	                 "twmesh.worst_paths(2)",
	                 "lon1ams1100 ams1fra17"));
	ck_assert(sql_is("SELECT count(*) || ' ' || sum(measured) || ' ' || "
	                 "max(worst) || ' ' || min(best) FROM "
	                 "twmesh.site_matrix('loss_max_pct')",
	                 "1 4 100 0"));
	/* state, as judged: ok is 1, one bad interval judges nothing */
	ck_assert(sql_is("SELECT string_agg(dst || value, ' ') FROM "
	                 "twmesh.matrix_from('lon1', 'state')",
	                 "ams10 fra11"));
}
END_TEST

/* Its slot is given to another node, which has no numbers yet. */
START_TEST(a_removed_nodes_numbers_are_shown_to_nobody)
{
	uint32_t lon;

	three_nodes(&lon);
	ck_assert_int_eq(remove_by_name(&box, "fra1"), 200);
	for (size_t i = 0; i < METRICS; i++)
		compare_all(metrics[i], 2);
	ck_assert_uint_ne(join(&box, "par1", 4, 4), 0);
	ck_assert_int_eq(
	    sql_number("SELECT slot FROM twmesh.node WHERE name = 'par1'"), 2);
	for (size_t i = 0; i < METRICS; i++)
		compare_all(metrics[i], 2);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM "
	                            "twmesh.matrix_to('par1', 'rtt_ms') WHERE "
	                            "value IS NULL"),
	                 2);
}
END_TEST

/* The state of windows is made by the keeper (test_rollup.c); here by hand. */
START_TEST(windows_are_read_alike)
{
	uint32_t lon;

	three_nodes(&lon);
	sql_do(
	    "INSERT INTO twmesh_private.path_window SELECT src_id, class_id, "
	    "'1h', now(), 1, 0, generation, sent, sent, sent, lost, "
	    "lost_undet, lost_bwd, lost, delay_ms, jitter_ms, rtt_ms, "
	    "rtt_p99_ms, back_delay_ms, back_jitter_ms, clock_err_ms, hops, "
	    "flags, loss_max_pct FROM twmesh_private.path_state WHERE "
	    "cardinality(generation) > 0");
	for (size_t i = 0; i < METRICS; i++) {
		char sql[512];

		(void)snprintf(
		    sql, sizeof(sql),
		    "SELECT count(*) FILTER (WHERE a IS DISTINCT FROM b) || ' "
		    "' || count(*) FROM (SELECT * FROM "
		    "twmesh.worst_paths(9, '%s')) a FULL JOIN (SELECT * FROM "
		    "twmesh.worst_paths(9, '%s', 'demo', '1h')) b USING (src, "
		    "dst)",
		    metrics[i], metrics[i]);
		ck_assert(sql_is(sql, i == 0 ? "0 3" : "0 4"));
		(void)snprintf(
		    sql, sizeof(sql),
		    "SELECT count(*) || ' ' || count(value) FROM "
		    "twmesh.matrix_to('fra1', '%s', 'demo', '1h') UNION ALL "
		    "SELECT count(*) || ' ' || count(value) FROM "
		    "twmesh.matrix_to('fra1', '%s', 'demo', '24h') LIMIT 1",
		    metrics[i], metrics[i]);
		ck_assert(sql_is(sql, i == 0 ? "2 1" : "2 2"));
	}
	ck_assert_int_eq(sql_number("SELECT count(*) FROM "
	                            "twmesh.matrix_metric('rtt_ms', 'demo', "
	                            "'5min')"),
	                 0);
}
END_TEST

START_TEST(wrong_arguments_are_told_what_was_expected)
{
	sql_refused("SELECT twmesh.matrix_metric('nope')",
	            "expected loss_pct, loss_max_pct, delay_ms");
	sql_refused("SELECT twmesh.matrix_metric(NULL)", "found NULL");
	sql_refused("SELECT twmesh.matrix_metric('rtt_ms', 'x')",
	            "expected 'demo' or NULL for the first, found 'x'");
	sql_refused("SELECT twmesh.matrix_to('x', 'rtt_ms')",
	            "expected the name of a node, found 'x'");
	sql_refused("SELECT twmesh.matrix_from(NULL, 'rtt_ms')", "found NULL");
	sql_refused("SELECT twmesh.matrix_metric('rtt_ms', 'demo', '2h')",
	            "expected now, 5min, 1h or 24h, found '2h'");
	sql_refused("SELECT twmesh.matrix_metric('state', NULL, '1h')",
	            "expected now for the metric state, found '1h'");
	sql_refused("SELECT twmesh.worst_paths(-1)",
	            "expected a number of paths from 0, found -1");
	sql_refused("SELECT twmesh.site_matrix('rtt_ms; DROP TABLE x')",
	            "found 'rtt_ms; DROP TABLE x'");
	ck_assert_int_eq(
	    sql_number("SELECT count(*) FROM twmesh.worst_paths(0)"), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("matrix_sql");
	TCase *t = tcase_create("matrix_sql");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, functions_say_what_the_view_says);
	tcase_add_test(t, a_removed_nodes_numbers_are_shown_to_nobody);
	tcase_add_test(t, windows_are_read_alike);
	tcase_add_test(t, wrong_arguments_are_told_what_was_expected);
	suite_add_tcase(s, t);
	return s;
}

int
main(int argc, char **argv)
{
	return writerbox_main(argc, argv, suite);
}
