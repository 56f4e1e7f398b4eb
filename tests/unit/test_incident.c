/* SPDX-License-Identifier: BSD-2-Clause */
/* What explains critical directions: shapes in the matrix, rows and words. */
#include "tests/unit/writerbox.h"

/* Ten more nodes at three sites, a and b of two and three nodes with ams1 and
 * fra1 at none; all measure all, all is well. The writer sleeps meanwhile. */
static void
ten_nodes(void)
{
	sql_do(
	    "INSERT INTO twmesh.site (name) VALUES ('a'), ('b');"
	    "INSERT INTO twmesh.node (name, site_id, slot, slot_generation, "
	    "addresses, group_name) SELECT 'n' || g, CASE WHEN g <= 5 THEN 1 "
	    "WHEN g <= 7 THEN 2 END, g, 1, ARRAY['192.0.2.1'::inet], CASE WHEN "
	    "g IN (8, 9) THEN 'edge' END FROM generate_series(3, 10) g;"
	    "UPDATE twmesh.node SET mesh_mask = 1, hub_mask = 1;"
	    "INSERT INTO twmesh_private.node_live (node_id, instance_id, "
	    "last_seen_at, hello_at) SELECT node_id, (SELECT instance_id FROM "
	    "twmesh_private.controller LIMIT 1), now() + interval '1 hour', "
	    "now() FROM twmesh.node WHERE slot > 2;"
	    "DELETE FROM twmesh_private.path_state;"
	    "INSERT INTO twmesh_private.path_state (src_id, class_id, "
	    "updated_at, newest_measured_at, generation, behind_us, "
	    "state_since, state, streak, warn_streak, flags, hops, thin_lost, "
	    "thin_sent, sent, lost, lost_undet, epoch, delay_ms, jitter_ms, "
	    "rtt_ms, rtt_p99_ms, clock_err_ms, state_why, lost_bwd, "
	    "back_delay_ms, back_jitter_ms, fwd_min_ms, bwd_min_ms, "
	    "loss_max_pct) SELECT n.node_id, 1, now(), now(), array_agg(CASE "
	    "WHEN g = n.slot THEN 0 ELSE 1 END ORDER BY g), array_agg(CASE "
	    "WHEN g <> n.slot THEN 0 END::bigint ORDER BY g), array_agg(CASE "
	    "WHEN g <> n.slot THEN current_date - interval '1 day' END ORDER "
	    "BY g), array_agg(CASE WHEN g = n.slot THEN 0 ELSE 1 END::int2 "
	    "ORDER BY g), array_fill(2::int2, ARRAY[10]), array_fill(2::int2, "
	    "ARRAY[10]), array_fill(0::int2, ARRAY[10]), "
	    "array_fill(NULL::int2, ARRAY[10]), array_fill(0, ARRAY[10]), "
	    "array_fill(0, ARRAY[10]), array_fill(100, ARRAY[10]), "
	    "array_fill(0, ARRAY[10]), array_fill(0, ARRAY[10]), array_fill(1, "
	    "ARRAY[10]), x, x, x, x, x, array_fill(NULL::text, ARRAY[10]), "
	    "array_fill(0, ARRAY[10]), x, x, x, x, x FROM twmesh.node n, "
	    "generate_series(1, 10) g, array_fill(NULL::real, ARRAY[10]) x "
	    "GROUP BY n.node_id, n.slot, x");
}

/* Of these directions, s by slot to d; all others are well. */
static void
critical(const char *where)
{
	char sql[900];

	(void)snprintf(
	    sql, sizeof(sql),
	    "UPDATE twmesh_private.path_state p SET updated_at = now(), "
	    "state = (SELECT array_agg((CASE WHEN s = d THEN 0 WHEN %s THEN 2 "
	    "ELSE 1 END)::int2 ORDER BY d) FROM generate_series(1, 10) d), "
	    "state_since = (SELECT array_agg(CASE WHEN s <> d THEN "
	    "current_date - interval '1 day' + s * interval '1 h' + d * "
	    "interval '1 s' END ORDER BY d) FROM generate_series(1, 10) d) "
	    "FROM (SELECT node_id, slot AS s FROM twmesh.node) n WHERE "
	    "n.node_id = p.src_id",
	    where);
	sql_do(sql);
	/* what is critical here is critical there */
	ck_assert_int_eq(
	    sql_number("SELECT count(*) FROM (SELECT src, dst FROM "
	               "twmesh.matrix_cell WHERE state = 'crit') m FULL JOIN "
	               "(SELECT s.name AS src, d.name AS dst FROM "
	               "twmesh.critical_cell x JOIN twmesh.incident_node(1) s "
	               "ON s.node_id = x.src_id AND s.sends JOIN "
	               "twmesh.incident_node(1) d ON d.slot = x.slot AND "
	               "d.receives AND d.generation = x.dst_generation) c "
	               "USING (src, dst) WHERE m IS NULL OR c IS NULL"),
	    0);
}

static bool
now_is(const char *want)
{
	return sql_is(
	    "SELECT coalesce(string_agg(concat_ws(' ', kind, name, "
	    "cells, of_cells, round(confidence::numeric, 2), "
	    "to_char(since AT TIME ZONE 'UTC', 'HH24:MI:SS')), ', ' "
	    "ORDER BY n), 'nothing') FROM twmesh.incident_now('demo') "
	    "WITH ORDINALITY AS x (kind, name, since, cells, "
	    "of_cells, confidence, sentence, n)",
	    want);
}

static bool
sentence_is(const char *want)
{
	sql_do("SELECT twmesh_private.note_incidents()");
	return sql_is("SELECT regexp_replace(twmesh.incident_sentence('demo'), "
	              "'[0-9]{4}-[0-9]{2}-[0-9]{2} ', '', 'g')",
	              want);
}

static void
shapes_are_named(void)
{
	critical("false");
	ck_assert(now_is("nothing"));
	ck_assert(sentence_is("no critical directions"));
	critical("d = 9");
	ck_assert(now_is("receiver n9 9 9 1.00 01:00:09"));
	critical("s = 9 AND d <> 1");
	ck_assert(now_is("sender n9 8 9 0.89 09:00:02"));
	critical("d IN (3, 4, 5)");
	ck_assert(now_is("site_receiver a 27 27 1.00 01:00:03"));
	critical("s IN (3, 4, 5)");
	ck_assert(now_is("site_sender a 27 27 1.00 03:00:01"));
	critical("d IN (8, 9)");
	ck_assert(now_is("group_receiver edge 18 18 1.00 01:00:08"));
	critical("true");
	ck_assert(now_is("mesh mesh 90 90 1.00 01:00:02"));
	/* under 60 % it is no cause */
	critical("d = 9 AND s < 6 AND s <> 3");
	ck_assert(now_is("direction ams1→n9 1 1 1.00 01:00:09, direction "
	                 "fra1→n9 1 1 1.00 02:00:09, direction n4→n9 1 1 1.00 "
	                 "04:00:09, direction n5→n9 1 1 1.00 05:00:09"));
	ck_assert(sentence_is(
	    "4 critical directions: ams1→n9 since 01:00:09 UTC, fra1→n9 since "
	    "02:00:09 UTC, n4→n9 since 04:00:09 UTC, and 1 more"));
}

/* What one explains is not explained again. */
static void
causes_overlap(void)
{
	critical("d = 9 OR s = 2 OR (s = 4 AND d = 1)");
	ck_assert(now_is("receiver n9 9 9 1.00 01:00:09, sender fra1 8 9 1.00 "
	                 "02:00:01, direction n4→ams1 1 1 1.00 04:00:01"));
	ck_assert(sentence_is(
	    "18 critical directions: 9 explained by n9 as receiver since "
	    "01:00:09 UTC, 8 by fra1 as sender since 02:00:01 UTC, 1 other: "
	    "n4→ams1 since 04:00:01 UTC"));
	/* A row through five dead columns and one more: no cause of that. */
	critical("d IN (1, 2, 3, 6, 8) OR (s = 10 AND d = 9)");
	ck_assert(sql_is("SELECT count(*) || ' ' || max(name) FILTER (WHERE "
	                 "kind = 'direction') || ' ' || count(*) FILTER (WHERE "
	                 "kind = 'receiver') FROM twmesh.incident_now('demo')",
	                 "6 n10→n9 5"));
}

static void
the_rest_is_counted(void)
{
	critical("(s + d) % 3 = 0");
	ck_assert(sql_is("SELECT count(*) || ' ' || count(*) FILTER (WHERE "
	                 "kind = 'direction') || ' ' || max(sentence) FILTER "
	                 "(WHERE kind = 'others') || ' ' || sum(cells) FROM "
	                 "twmesh.incident_now(NULL)",
	                 "21 20 10 more critical directions without a common "
	                 "cause 30"));
	critical("s = 1 AND d = 2");
	ck_assert(
	    sentence_is("1 critical direction: ams1→fra1 since 01:00:02 UTC"));
}

static void
who_cannot_be_measured_does_not_count(void)
{
	/* silent: its row says nothing, its column is explained by that */
	sql_do("UPDATE twmesh_private.node_live SET last_seen_at = now() - "
	       "interval '1 h' WHERE node_id = (SELECT node_id FROM "
	       "twmesh.node WHERE name = 'n9')");
	critical("d = 9 OR s = 9");
	ck_assert(now_is("silent n9 9 9 1.00 01:00:09"));
	ck_assert(sentence_is("9 critical directions: 9 explained by n9, which "
	                      "is silent, since 01:00:09 UTC"));
	/* in maintenance: neither */
	sql_do("INSERT INTO twmesh.maintenance (node_id, reason, set_by) "
	       "SELECT node_id, '', 'test' FROM twmesh.node WHERE name IN "
	       "('n9', 'n3')");
	critical("d = 9 OR s = 9 OR (d = 4 AND s IN (1, 2, 3, 5, 6, 9, 10))");
	ck_assert(now_is("receiver n4 5 7 0.71 01:00:04"));
}

static void
an_open_run_is_critical_at_once(void)
{
	sql_do("UPDATE twmesh_private.path_state SET newest_measured_at = "
	       "now() - interval '10 s'; INSERT INTO "
	       "twmesh_private.loss_run_open SELECT s.node_id, d.node_id, 1, "
	       "s.node_id, now() - CASE s.slot WHEN 1 THEN 2 ELSE 5 END * "
	       "interval '1 s', now() - CASE s.slot WHEN 1 THEN 2 ELSE 5 END "
	       "* interval '1 s', 50, s.slot = 2 FROM twmesh.node s, "
	       "twmesh.node d WHERE d.slot = 9 AND s.slot <> 9");
	critical("s = 10 AND d = 9");
	/* one is too young, one is its host's fault */
	ck_assert(sql_is("SELECT string_agg(concat_ws(' ', kind, name, cells, "
	                 "of_cells), ', ') FROM twmesh.incident_now()",
	                 "receiver n9 7 9"));
	sql_do("DELETE FROM twmesh_private.loss_run_open");
}

static bool
stored_is(const char *want)
{
	sql_do("SELECT twmesh_private.note_incidents()");
	return sql_is("SELECT coalesce(string_agg(concat_ws(' ', kind, name, "
	              "cells, cells_max, CASE WHEN ended_at IS NULL THEN "
	              "'open' ELSE 'ended' END), ', ' ORDER BY incident_id), "
	              "'') FROM twmesh.incident",
	              want);
}

static void
seconds_pass(int s)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql),
	               "UPDATE twmesh.incident SET updated_at = updated_at - "
	               "%d * interval '1 s' WHERE ended_at IS NULL",
	               s);
	sql_do(sql);
}

static void
incidents_begin_and_end(void)
{
	sql_do("DELETE FROM twmesh.incident");
	critical("d = 9 AND s <> 1");
	ck_assert(stored_is("receiver n9 8 8 open"));
	critical("d = 9");
	ck_assert(stored_is("receiver n9 9 9 open"));
	critical("d = 9 AND s < 8");
	ck_assert(stored_is("receiver n9 7 9 open"));
	/* not seen: it may come back */
	critical("false");
	seconds_pass(10);
	ck_assert(stored_is("receiver n9 0 9 open"));
	ck_assert(sentence_is("no critical directions"));
	critical("d = 9 AND s > 1");
	ck_assert(stored_is("receiver n9 8 9 open"));
	ck_assert(sql_is("SELECT to_char(started_at AT TIME ZONE 'UTC', "
	                 "'HH24:MI:SS ') || sentence FROM twmesh.incident",
	                 "01:00:09 8 critical directions explained by n9 as "
	                 "receiver, of 9 measured"));
	critical("false");
	seconds_pass(16);
	ck_assert(stored_is("receiver n9 8 9 ended"));
	ck_assert(
	    sql_is("SELECT ended_at = updated_at FROM twmesh.incident", "t"));
	/* another one */
	critical("d = 9");
	ck_assert(stored_is("receiver n9 8 9 ended, receiver n9 9 9 open"));
	ck_assert(sql_is("SELECT string_agg(i->>'cells', ' ') || ' ' || "
	                 "(j->'classes'->0->>'class') FROM "
	                 "twmesh.api_incidents() j, "
	                 "json_array_elements(j->'incidents') i GROUP BY "
	                 "j->'classes'->0->>'class'",
	                 "9 8 demo"));
	/* forgotten after 400 days, unless they last */
	sql_do("UPDATE twmesh.incident SET ended_at = ended_at - interval '401 "
	       "days', started_at = started_at - interval '401 days'");
	ck_assert(sql_is("SELECT twmesh_private.forget_changes(10)", "f"));
	ck_assert(stored_is("receiver n9 9 9 open"));
	sql_do("UPDATE twmesh_private.controller SET stopped_at = now()");
	ck_assert(sql_is("SELECT twmesh.incident_sentence() LIKE 'no "
	                 "controller has been alive since %: critical "
	                 "directions are not known'",
	                 "t"));
	sql_do("UPDATE twmesh_private.controller SET stopped_at = NULL, "
	       "alive_at = now()");
}

static void
wrong_arguments_are_told_what_was_expected(void)
{
	sql_refused("SELECT twmesh.incident_now('x')",
	            "class: expected 'demo' or NULL for the first, found 'x'");
	sql_refused("SELECT twmesh.incident_sentence('x')",
	            "class: expected 'demo' or NULL for the first, found 'x'");
	ck_assert(sql_is("SELECT twmesh.api_incidents('x') IS NULL", "t"));
	ck_assert(sql_is("SELECT twmesh.api_incidents()->>'incidents'", "[]"));
}

/* Who may only read, reads all of it. */
static void
a_reader_may_ask(void)
{
	critical("d = 9");
	sql_do("SELECT twmesh_private.note_incidents(); SET ROLE "
	       "twmesh_reader");
	ck_assert(now_is("receiver n9 9 9 1.00 01:00:09"));
	ck_assert(sql_is("SELECT left(twmesh.incident_sentence(), 21)",
	                 "9 critical directions"));
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.incident "
	                            "WHERE kind = 'receiver' AND cells = 9"),
	                 1);
	sql_do("RESET ROLE; SET ROLE twmesh_writer");
	sql_do("SELECT twmesh_private.note_incidents(), "
	       "twmesh_private.forget_changes(1)");
	sql_do("RESET ROLE");
	/* all is told, and handed over */
	ck_assert_int_eq(
	    sql_number(
	        "SELECT count(*) FROM pg_class c JOIN pg_attribute a ON "
	        "a.attrelid = c.oid AND a.attnum > 0 WHERE c.oid IN "
	        "('twmesh.incident'::regclass, 'twmesh.critical_cell'::"
	        "regclass) AND (col_description(c.oid, a.attnum) IS NULL OR "
	        "obj_description(c.oid) IS NULL OR pg_get_userbyid(c.relowner) "
	        "<> 'twmesh_owner')"),
	    0);
	ck_assert_int_eq(
	    sql_number(
	        "SELECT count(*) FROM pg_proc p WHERE p.pronamespace::"
	        "regnamespace::text LIKE 'twmesh%' AND p.proname LIKE "
	        "'%incident%' AND (obj_description(p.oid, 'pg_proc') IS NULL "
	        "OR pg_get_userbyid(p.proowner) <> 'twmesh_owner')"),
	    0);
}

/* One database for all: to make one takes longer than to ask all of it. */
START_TEST(critical_directions_are_explained)
{
	wrong_arguments_are_told_what_was_expected();
	ten_nodes();
	shapes_are_named();
	causes_overlap();
	the_rest_is_counted();
	an_open_run_is_critical_at_once();
	a_reader_may_ask();
	incidents_begin_and_end();
	who_cannot_be_measured_does_not_count();
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("incident");
	TCase *t = tcase_create("incident");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, critical_directions_are_explained);
	suite_add_tcase(s, t);
	return s;
}

int
main(int argc, char **argv)
{
	return writerbox_main(argc, argv, suite);
}
