/* SPDX-License-Identifier: BSD-2-Clause */
/* The mesh at another time, differences, and what is missing (SQL). */
#include "tests/unit/writerbox.h"

/* A rollup of 5 minutes or an hour, so many hours ago, of 100 packets an
 * interval; the rest is 0. */
static void
roll(const char *table, const char *src, const char *dst, double hours_ago,
     int intervals, int lost, double rtt_ms)
{
	char sql[1200];

	(void)snprintf(
	    sql, sizeof(sql),
	    "SELECT twmesh_private.add_rollup_partition(CASE '%s' WHEN "
	    "'rollup_1h' THEN 3600 ELSE 300 END, (now() - %f * interval '1 "
	    "hour')::date); INSERT INTO twmesh.%s SELECT "
	    "(jsonb_populate_record(NULL::twmesh.%s, (SELECT "
	    "jsonb_object_agg(attname, 0) FROM pg_attribute WHERE attrelid = "
	    "'twmesh.%s'::regclass AND attnum > 0 AND attnotnull) || "
	    "jsonb_build_object('ts', date_bin(CASE '%s' WHEN 'rollup_1h' THEN "
	    "interval '1 hour' ELSE '5 minutes' END, now() - %f * interval '1 "
	    "hour', 'epoch'), 'src_id', s.node_id, 'dst_id', d.node_id, "
	    "'class_id', 1, 'intervals', %d, 'sent', %d, 'received', %d, "
	    "'lost', %d, 'lost_fwd', %d, 'rtt_mean_ms', %f))).* FROM "
	    "twmesh.node s, twmesh.node d WHERE s.name = '%s' AND d.name = "
	    "'%s'",
	    table, hours_ago, table, table, table, table, hours_ago, intervals,
	    100 * intervals, 100 * intervals - lost, lost, lost, rtt_ms, src,
	    dst);
	sql_do("SET timezone = 'UTC'");
	sql_do(sql);
}

START_TEST(the_mesh_as_it_was)
{
	roll("rollup_5min", "ams1", "fra1", 2, 30, 30, 10);
	roll("rollup_5min", "ams1", "fra1", 2.5, 30, 0, 20);
	roll("rollup_5min", "ams1", "fra1", 3.5, 30, 0, 90);
	ck_assert(sql_is("SELECT src || dst || class || intervals || ' ' || "
	                 "sent || ' ' || lost || ' ' || loss_max_pct || ' ' || "
	                 "round(rtt_ms::numeric, 1) FROM twmesh.mesh_at(now() "
	                 "- interval '2 hours')",
	                 "ams1fra1demo30 3000 30 1 10.0"));
	/* weighted by packets: 2970 of 10 ms, 3000 of 20 ms */
	ck_assert(
	    sql_is("SELECT intervals || ' ' || lost || ' ' || "
	           "round(rtt_ms::numeric, 3) FROM twmesh.mesh_at(now() - "
	           "interval '2 hours', '1h', 'demo')",
	           "60 30 15.025"));
	ck_assert_int_eq(
	    sql_number("SELECT count(*) FROM twmesh.mesh_at(now())"), 0);
	roll("rollup_1h", "ams1", "fra1", 2, 360, 36, 10);
	roll("rollup_1h", "ams1", "fra1", 12, 360, 0, 10);
	roll("rollup_1h", "ams1", "fra1", 30, 360, 0, 10);
	ck_assert(sql_is("SELECT intervals || ' ' || lost FROM "
	                 "twmesh.mesh_at(now(), '24h')",
	                 "720 36"));
}
END_TEST

START_TEST(what_differs_between_two_times)
{
	roll("rollup_5min", "ams1", "fra1", 4, 30, 0, 10);
	roll("rollup_5min", "ams1", "fra1", 2, 30, 90, 12.5);
	roll("rollup_5min", "fra1", "ams1", 2, 30, 0, 10);
	ck_assert(
	    sql_is("SELECT string_agg(src || '>' || dst || ' ' || changed "
	           "|| coalesce(' ' || round(rtt_change_ms::numeric, 1), "
	           "''), '; ' ORDER BY src) FROM twmesh.mesh_diff(now() "
	           "- interval '4 hours', now() - interval '2 hours', "
	           "'5min')",
	           "ams1>fra1 more loss, slower 2.5; fra1>ams1 new"));
	ck_assert(sql_is("SELECT string_agg(src || '>' || dst || ' ' || "
	                 "changed, '; ' ORDER BY src) FROM "
	                 "twmesh.mesh_diff(now() - interval '2 hours', now() - "
	                 "interval '4 hours', '5min', 3)",
	                 "ams1>fra1 less loss; fra1>ams1 gone"));
}
END_TEST

/* Nodes and class came three days ago; one hour is whole, one half, one is not
 * there. */
START_TEST(what_is_missing_is_counted)
{
	sql_do("UPDATE twmesh.node SET approved_at = now() - interval '3 "
	       "days'; UPDATE twmesh.class SET created_at = now() - interval "
	       "'3 days'");
	roll("rollup_1h", "ams1", "fra1", 5, 1800, 0, 10);
	roll("rollup_1h", "ams1", "fra1", 4, 900, 0, 10);
	sql_do("INSERT INTO twmesh.gap (src_id, t_from, t_to, reason) SELECT "
	       "node_id, date_trunc('hour', now()) - interval '210 minutes', "
	       "date_trunc('hour', now()) - interval '2 hours', 'spool_lost' "
	       "FROM twmesh.node WHERE name = 'ams1'");
	ck_assert(sql_is(
	    "SELECT string_agg(destinations || ' ' || expected || ' ' || "
	    "missing || ' ' || gap_ms || ' ' || coalesce(gap_reasons, 'none'), "
	    "'; ' ORDER BY ts) FROM twmesh.coverage WHERE src = 'ams1' AND "
	    "date_trunc('hour', now()) - ts BETWEEN interval '3 hours' AND "
	    "interval '5 hours'",
	    "1 1800 0 0 none; 1 1800 900 1800000 spool_lost; 1 1800 1800 "
	    "3600000 spool_lost"));
}
END_TEST

START_TEST(the_plan_says_how_large_it_gets)
{
	/* two directions of a class of 2 s, with details of no class */
	ck_assert(sql_is("SELECT string_agg(level || ' ' || "
	                 "planned_rows_per_day || ' ' || keep_days || ' ' || "
	                 "(projected_bytes = bytes_per_row * "
	                 "planned_rows_per_day * keep_days), ', ') FROM "
	                 "twmesh.db_size(7, 90, 1000)",
	                 "result 86400 7 true, result_detail 0 7 true, "
	                 "rollup_5min 576 90 true, rollup_1h 48 1000 true"));
	sql_do(
	    "INSERT INTO twmesh.result SELECT now(), g, g, g, 1, 2000, 1, "
	    "1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, "
	    "1, 1, 1, 1, 1, 1, 1, 1, 0, NULL FROM generate_series(1, 100000) "
	    "g; ANALYZE twmesh.result");
	ck_assert(sql_is("SELECT rows || ' ' || measured || ' ' || "
	                 "(bytes_per_row BETWEEN 100 AND 400) FROM "
	                 "twmesh.db_size() WHERE level = 'result'",
	                 "100000 true true"));
}
END_TEST

START_TEST(wrong_arguments_are_told_what_was_expected)
{
	sql_refused("SELECT * FROM twmesh.mesh_at(now(), '2h')",
	            "expected 5min, 1h or 24h, found '2h'");
	sql_refused("SELECT * FROM twmesh.mesh_at(now(), '1h', 'nope')",
	            "no class is named 'nope'");
	sql_refused("SELECT * FROM twmesh.mesh_diff(now(), now(), NULL)",
	            "found NULL");
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("mesh_at");
	TCase *t = tcase_create("mesh_at");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, the_mesh_as_it_was);
	tcase_add_test(t, what_differs_between_two_times);
	tcase_add_test(t, what_is_missing_is_counted);
	tcase_add_test(t, the_plan_says_how_large_it_gets);
	tcase_add_test(t, wrong_arguments_are_told_what_was_expected);
	suite_add_tcase(s, t);
	return s;
}

int
main(int argc, char **argv)
{
	return writerbox_main(argc, argv, suite);
}
