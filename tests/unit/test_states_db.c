/* SPDX-License-Identifier: BSD-2-Clause */
/* States by limits of a class, and what of them the database keeps. */
#include "tests/unit/writerbox.h"

/* What an applied mesh file does: the writer reads its limits again. */
static void
set_limits(const char *values)
{
	const uint64_t before = box.epoch;
	char sql[512];

	(void)snprintf(
	    sql, sizeof(sql),
	    "INSERT INTO twmesh.class_threshold (class_id, level, metric, "
	    "over, value) VALUES %s; INSERT INTO twmesh.epoch SELECT "
	    "max(epoch) + 1, now(), 'limits' FROM twmesh.epoch; NOTIFY "
	    "twmesh_epoch",
	    values);
	sql_do(sql);
	for (int ms = 0; box.epoch == before; ms += 10) {
		ck_assert_int_lt(ms, PATIENCE_MS);
		(void)poll(NULL, 0, 10);
		box_pump(&box);
	}
}

/* Of the interval n before the one in which the test began, at most 9. */
static void
result_of(int n, int64_t lost, double rtt_ms)
{
	static uint64_t seq;
	static struct wall first;
	struct result r;

	if (seq == 0)
		first = interval_before(9);
	result_fill(&r, fra, cls, wall_add_ns(first, (9 - n) * INTERVAL_NS),
	            100, lost);
	r.v[METRIC_RTT_MEAN] = (int64_t)(rtt_ms * 1e6);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, ++seq, &r, 1), NULL),
	                 ACK_STORED);
}

static bool
cell_is(const char *want)
{
	return sql_is("SELECT state || ': ' || state_why FROM "
	              "twmesh.path_matrix WHERE src = 'ams1'",
	              want);
}

START_TEST(a_class_warns_by_its_limits)
{
	box_pump(&box);
	set_limits("(1, 'warn', 'rtt_ms', 'value', 100), "
	           "(1, 'crit', 'rtt_ms', 'value', 200)");
	result_of(9, 0, 50);
	result_of(8, 0, 150);
	ck_assert(cell_is("ok: RTT 150.0 ms, limit 100.0 ms"));
	result_of(7, 0, 250);
	ck_assert(cell_is("warn: RTT 250.0 ms, limit 100.0 ms"));
	result_of(6, 0, 250);
	ck_assert(cell_is("crit: RTT 250.0 ms, limit 200.0 ms"));
	result_of(5, 0, 50);
	result_of(4, 0, 50);
	ck_assert(cell_is("ok: "));
	ck_assert(sql_is(
	    "SELECT string_agg(src || dst || class || ' ' || from_state || '>' "
	    "|| to_state || coalesce(' ' || why, ''), ', ' ORDER BY at) FROM "
	    "twmesh.state_change WHERE dst IS NOT NULL",
	    "ams1fra1demo never>ok, ams1fra1demo ok>warn RTT 250.0 ms, limit "
	    "100.0 ms, ams1fra1demo warn>crit RTT 250.0 ms, limit 200.0 ms, "
	    "ams1fra1demo crit>ok"));
	/* each at the start of the first interval of its streak */
	ck_assert(sql_is("SELECT string_agg(extract(epoch FROM at - (SELECT "
	                 "min(ts) FROM twmesh.result))::integer || '', ' ' "
	                 "ORDER BY at) FROM twmesh.state_change WHERE dst IS "
	                 "NOT NULL",
	                 "0 2 4 8"));
}
END_TEST

START_TEST(limits_over_the_floor_need_a_floor)
{
	box_pump(&box);
	set_limits("(1, 'warn', 'rtt_ms', 'floor plus', 30)");
	result_of(9, 0, 500);
	result_of(8, 0, 500);
	ck_assert(cell_is("ok: "));
	sql_do("INSERT INTO twmesh_private.path_floor SELECT src_id, class_id, "
	       "now(), generation, array_fill(45::real, "
	       "ARRAY[cardinality(generation)]), array_fill(NULL::real, "
	       "ARRAY[cardinality(generation)]), array_fill(NULL::real, "
	       "ARRAY[cardinality(generation)]) FROM "
	       "twmesh_private.path_state");
	(void)poll(NULL, 0, 2600); /* the writer looks every 2 s */
	result_of(7, 0, 74);
	ck_assert(cell_is("ok: "));
	result_of(6, 0, 76);
	result_of(5, 0, 76);
	ck_assert(cell_is("warn: RTT 76.0 ms, limit 75.0 ms (45.0 usually, "
	                  "plus 30)"));
}
END_TEST

START_TEST(floors_are_medians_of_hours)
{
	box_pump(&box);
	ck_assert_int_eq(sql_number("SELECT twmesh_private.refresh_floors(10)"),
	                 0);
	set_limits("(1, 'crit', 'rtt_ms', 'floor times', 2)");
	sql_do("SELECT twmesh_private.add_rollup_partition(3600, "
	       "current_date), twmesh_private.add_rollup_partition(3600, "
	       "current_date - 9)");
	/* hours of 10, 11, .. 20 ms, one without a reply, one long ago */
	sql_do(
	    "INSERT INTO twmesh.rollup_1h SELECT (jsonb_populate_record("
	    "NULL::twmesh.rollup_1h, (SELECT jsonb_object_agg(attname, 0) FROM "
	    "pg_attribute WHERE attrelid = 'twmesh.rollup_1h'::regclass AND "
	    "attnum > 0 AND attnotnull) || jsonb_build_object('ts', h.at, "
	    "'src_id', s.node_id, 'dst_id', d.node_id, 'class_id', 1, "
	    "'rtt_mean_ms', h.ms, 'fwd_mean_ms', h.ms / 2, 'fwd_ipdv_ms', "
	    "1))).* FROM twmesh.node s, twmesh.node d, (SELECT "
	    "date_trunc('hour', now()) - g * interval '1 hour' AS at, 10.0 + g "
	    "AS ms FROM generate_series(0, 10) g UNION ALL SELECT "
	    "date_trunc('hour', now()) - interval '11 hours', NULL UNION ALL "
	    "SELECT date_trunc('hour', now()) - interval '8 days', 500) h "
	    "WHERE s.name = 'ams1' AND d.name = 'fra1' AND EXISTS (SELECT FROM "
	    "pg_inherits WHERE inhparent = 'twmesh.rollup_1h'::regclass)");
	ck_assert_int_eq(sql_number("SELECT twmesh_private.refresh_floors(10)"),
	                 2);
	ck_assert_int_eq(sql_number("SELECT twmesh_private.refresh_floors(10)"),
	                 0);
	ck_assert(
	    sql_is("SELECT f.generation::text || ' ' || f.rtt_ms::text || ' ' "
	           "|| f.delay_ms::text || ' ' || f.jitter_ms::text FROM "
	           "twmesh_private.path_floor f JOIN twmesh.node n ON "
	           "n.node_id = f.src_id WHERE n.name = 'ams1'",
	           "{1,1} {NULL,15} {NULL,7.5} {NULL,1}"));
}
END_TEST

/* What a transaction undid is not told. */
START_TEST(a_failed_transaction_leaves_no_change)
{
	struct result r[2];

	box_pump(&box);
	sql_do("ALTER TABLE twmesh.result ADD CONSTRAINT x CHECK (sent <> 77)");
	result_fill(&r[0], fra, cls, interval_before(5), 100, 100);
	result_fill(&r[1], fra, cls, interval_before(4), 77, 77);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 1000, r, 2), NULL),
	                 ACK_PUT_ASIDE);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM "
	                            "twmesh_private.cell_change"),
	                 0);
}
END_TEST

START_TEST(nodes_change_too)
{
	box_pump(&box);
	sql_do("SELECT twmesh_private.note_node_changes()");
	sql_do("SELECT twmesh_private.note_node_changes()");
	sql_do("INSERT INTO twmesh.maintenance (node_id, reason, set_by) "
	       "SELECT node_id, 'new fibre', 'test' FROM twmesh.node WHERE "
	       "name = 'fra1'");
	sql_do("SELECT twmesh_private.note_node_changes()");
	sql_do("UPDATE twmesh.maintenance SET ended_at = now()");
	sql_do("SELECT twmesh_private.note_node_changes()");
	sql_do("UPDATE twmesh_private.node_live SET stopped_at = now() WHERE "
	       "node_id = (SELECT node_id FROM twmesh.node WHERE name = "
	       "'ams1')");
	sql_do("SELECT twmesh_private.note_node_changes()");
	ck_assert(sql_is(
	    "SELECT string_agg(src || ' ' || from_state || '>' || to_state || "
	    "coalesce(' ' || why, ''), ', ' ORDER BY src, recorded_at) FROM "
	    "twmesh.state_change WHERE dst IS NULL AND class IS NULL",
	    "ams1 never>ok, ams1 ok>stopped stopped on purpose, fra1 never>ok, "
	    "fra1 ok>maintenance new fibre, fra1 maintenance>ok"));
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("states_db");
	TCase *t = tcase_create("states_db");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_class_warns_by_its_limits);
	tcase_add_test(t, limits_over_the_floor_need_a_floor);
	tcase_add_test(t, floors_are_medians_of_hours);
	tcase_add_test(t, a_failed_transaction_leaves_no_change);
	tcase_add_test(t, nodes_change_too);
	suite_add_tcase(s, t);
	return s;
}

int
main(int argc, char **argv)
{
	return writerbox_main(argc, argv, suite);
}
