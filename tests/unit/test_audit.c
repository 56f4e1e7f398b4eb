/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both witnesses of a direction, and the audit of clocks, on a real PostgreSQL.
 */
#include "tests/unit/writerbox.h"

#include "controller/audit.h"

#define CELL " FROM twmesh.path_matrix WHERE src = 'ams1' AND dst = 'fra1'"

static uint64_t seq_of[3]; /* by spool */

static void
fresh_box(void)
{
	memset(seq_of, 0, sizeof(seq_of));
	set_up();
}

/* A session's newest result: of 1,000 packets `fwd` were lost on the way there,
 * `bwd` on the way back, `undet` somewhere; one-way delays of 10 and 20 ms. */
static struct result
result_of(uint32_t dst, int64_t fwd, int64_t bwd, int64_t undet)
{
	struct result r;

	result_fill(&r, dst, cls, interval_before(1), 1000, fwd);
	r.v[METRIC_LOST] = fwd + bwd + undet;
	r.v[METRIC_RECEIVED] = 1000 - fwd - bwd - undet;
	r.v[METRIC_LOST_BWD] = bwd;
	r.v[METRIC_LOST_UNDET] = undet;
	r.v[METRIC_FWD_MEAN] = 10 * NS_PER_MS;
	r.v[METRIC_BWD_MEAN] = 20 * NS_PER_MS;
	r.v[METRIC_FWD_MIN] = 10 * NS_PER_MS;
	r.v[METRIC_BWD_MIN] = 20 * NS_PER_MS;
	r.v[METRIC_CLOCK_ERR] = 2 * NS_PER_MS;
	r.v[METRIC_FLAGS] = RESULT_SYNC_SRC | RESULT_SYNC_DST;
	return r;
}

/* Forgets what the cells held, then each end tells. */
static void
tell_result(uint32_t node, uint8_t spool, const struct result *r)
{
	ck_assert_int_eq(
	    store(&box, batch_of(node, spool, ++seq_of[spool], r, 1), NULL),
	    ACK_STORED);
}

static void
tell_both(const struct result *a, const struct result *f)
{
	/* not in the middle of an interval's edge: both are of one interval */
	struct result fra_r = *f;

	fra_r.start = a->start;
	tell_result(ams, 1, a);
	tell_result(fra, 2, &fra_r);
}

static bool
verdict_is(const char *want)
{
	return sql_is("SELECT witnesses || ' ' || coalesce(witness_verdict, "
	              "'none')" CELL,
	              want);
}

START_TEST(one_witness_says_nothing_of_the_other)
{
	const struct result r = result_of(fra, 0, 0, 0);

	ck_assert(verdict_is("0 none"));
	tell_result(ams, 1, &r);
	ck_assert(verdict_is("1 none"));
	/* and that is the second one of the way back */
	ck_assert_int_eq(
	    sql_number("SELECT witnesses FROM twmesh.path_matrix WHERE "
	               "src = 'fra1' AND witness_gap IS NULL AND state = "
	               "'never'"),
	    1);
}
END_TEST

START_TEST(witnesses_that_agree_mean_the_network)
{
	const struct result a = result_of(fra, 50, 0, 0);
	struct result f = result_of(ams, 10, 58, 0);

	f.v[METRIC_BWD_MEAN] = 10 * NS_PER_MS + 30 * NS_PER_US;
	tell_both(&a, &f);
	ck_assert(verdict_is("2 network"));
	/* 5 % of 1,000; 58 of the 990 that reached ams1 */
	ck_assert(sql_is("SELECT witness_gap" CELL,
	                 "loss -0.9 points, delay -0.030 ms"));
	/* the numbers stay the source's */
	ck_assert(sql_is("SELECT loss_pct || ' ' || sent || ' ' || "
	                 "numbers_from" CELL,
	                 "5 1000 source"));
}
END_TEST

START_TEST(witnesses_that_differ_mean_an_instrument)
{
	static const struct {
		unsigned a, f; /* flags of ams1's session, of fra1's */
		const char *verdict;
	} t[] = {
	    {0, 0, "2 instrument at ams1 or fra1"},
	    {RESULT_HOST_LIMITED, 0, "2 instrument at ams1"},
	    {0, RESULT_DST_HOST_LIMITED, "2 instrument at ams1"},
	    {0, RESULT_REFLECTOR_RESTART, "2 instrument at ams1"},
	    {RESULT_DST_HOST_LIMITED, 0, "2 instrument at fra1"},
	    {RESULT_REFLECTOR_RESTART, 0, "2 instrument at fra1"},
	    {0, RESULT_HOST_LATE, "2 instrument at fra1"},
	    {RESULT_HOST_LIMITED, RESULT_HOST_LIMITED,
	     "2 instrument at ams1 or fra1"},
	    /* what there is may be of another time */
	    {RESULT_PARTIAL, 0, "2 none"},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct result a = result_of(fra, 200, 0, 0);
		struct result f = result_of(ams, 0, 0, 0);

		sql_do("UPDATE twmesh_private.path_state SET revision = "
		       "revision + 1, generation = '{}', behind_us = '{}'");
		a.v[METRIC_FLAGS] |= t[i].a;
		f.v[METRIC_FLAGS] |= t[i].f;
		tell_both(&a, &f);
		ck_assert_msg(verdict_is(t[i].verdict), "%zu", i);
	}
	ck_assert(sql_is("SELECT witness_gap" CELL,
	                 "loss +20.0 points, delay -10.000 ms"));
	/* the reflector's own word */
	sql_do("UPDATE twmesh_private.path_state SET flags = "
	       "array_fill(0::smallint, ARRAY[cardinality(flags)]); "
	       "INSERT INTO twmesh.node_host_limited (node_id, t_from, t_to, "
	       "drops, held, recorded_at) SELECT node_id, m.measured_at - "
	       "interval '1 s', m.measured_at + interval '1 s', 9, 0, now() "
	       "FROM twmesh.node, twmesh.path_matrix m WHERE name = 'fra1' "
	       "AND m.src = 'ams1'");
	ck_assert(verdict_is("2 instrument at fra1"));
}
END_TEST

START_TEST(different_intervals_are_not_compared)
{
	struct result a = result_of(fra, 200, 0, 0);
	struct result f = result_of(ams, 0, 0, 0);

	f.start = wall_add_ns(a.start, -INTERVAL_NS);
	tell_result(ams, 1, &a);
	tell_result(fra, 2, &f);
	ck_assert(verdict_is("2 none"));
}
END_TEST

START_TEST(what_is_undetermined_is_no_disagreement)
{
	const struct result a = result_of(fra, 0, 0, 200);
	const struct result f = result_of(ams, 0, 0, 0);

	tell_both(&a, &f);
	ck_assert(verdict_is("2 network"));
}
END_TEST

/* Nothing reached ams1: its session sees fra1, not the way to it. */
START_TEST(a_witness_needs_packets_of_that_direction)
{
	const struct result a = result_of(fra, 0, 0, 0);
	const struct result f = result_of(ams, 1000, 0, 0);

	tell_both(&a, &f);
	ck_assert(verdict_is("1 none"));
	ck_assert_int_eq(sql_number("SELECT witnesses FROM "
	                            "twmesh.path_matrix WHERE src = 'fra1'"),
	                 2);
}
END_TEST

START_TEST(old_results_are_no_witnesses)
{
	struct result a = result_of(fra, 0, 0, 0);
	struct result f = result_of(ams, 0, 0, 0);

	/* 3 intervals of 2 s, 1 s loss timeout, 10 s: 17 s */
	a.start = interval_before(12);
	tell_both(&a, &f);
	ck_assert(verdict_is("0 none"));
	/* unless it is the node's clock that is behind */
	sql_do("UPDATE twmesh_private.node_live SET clock_offset_ms = -20000 "
	       "WHERE node_id = (SELECT node_id FROM twmesh.node WHERE name = "
	       "'ams1')");
	ck_assert(verdict_is("1 none"));
}
END_TEST

START_TEST(a_silent_reporters_cell_shows_the_second_witness_marked)
{
	struct result a = result_of(fra, 0, 0, 0);
	struct result f = result_of(ams, 100, 45, 0);

	f.v[METRIC_BWD_IPDV] = NS_PER_MS;
	tell_both(&a, &f);
	sql_do("UPDATE twmesh_private.node_live SET last_seen_at = "
	       "clock_timestamp() - interval '1 hour' WHERE node_id = (SELECT "
	       "node_id FROM twmesh.node WHERE name = 'ams1')");
	/* 45 of the 900 that reached ams1 */
	ck_assert(sql_is("SELECT concat_ws(' ', state, loss_pct, "
	                 "loss_max_pct, sent, lost, delay_ms, jitter_ms, "
	                 "numbers_from, one_way_trusted)" CELL,
	                 "stale 5 5 900 45 20 1 destination t"));
	ck_assert_int_eq(sql_number("SELECT count(*)" CELL
	                            " AND state_why LIKE 'no contact since %; "
	                            "the numbers are from fra1''s session' AND "
	                            "hops IS NULL AND measured_at IS NOT NULL"),
	                 1);
	ck_assert(sql_is("SELECT (twmesh.api_path('ams1', 'fra1', 'demo') -> "
	                 "'forward') ->> 'numbers_from'",
	                 "destination"));
	/* the other direction is the reporter's own, as ever */
	ck_assert(sql_is("SELECT numbers_from || ' ' || lost FROM "
	                 "twmesh.path_matrix WHERE src = 'fra1'",
	                 "source 100"));
}
END_TEST

/* A CTE that is kept has no statistics: joined to itself it made the matrix of
 * 300 nodes take minutes instead of seconds. */
START_TEST(cells_are_joined_by_hashes_not_by_a_kept_list)
{
	struct pgc_rows *rows;
	struct pgc_err e;
	int unnests = 0;

	ck_assert_msg(pgc_query(sql_conn,
	                        "EXPLAIN SELECT * FROM twmesh.path_matrix", 0,
	                        NULL, &rows, &e),
	              "%s", e.text);
	for (int i = 0; i < pgc_rows_n(rows); i++) {
		const char *line = pgc_value(rows, i, 0);

		ck_assert_msg(!strstr(line, "CTE Scan on cell"), "%s", line);
		unnests += strstr(line, "Function Scan on u") &&
		           !strstr(line, "unnest");
	}
	ck_assert_int_eq(unnests, 2); /* of the state, once per witness */
	pgc_rows_free(rows);
}
END_TEST

/* ---- clocks ---- */

static const char *const reference[] = {"ams1"};

static void
claim(const char *name, bool synchronised)
{
	char sql[400];

	(void)snprintf(sql, sizeof(sql),
	               "UPDATE twmesh_private.node_live SET "
	               "clock_synchronised = %s, clock_max_error_ms = 2 "
	               "WHERE node_id = (SELECT node_id FROM twmesh.node "
	               "WHERE name = '%s')",
	               synchronised ? "true" : "false", name);
	sql_do(sql);
}

static struct audit_report
run_audit(int64_t min_age_ns)
{
	struct audit_report r;
	struct pgc_err e;

	ck_assert_msg(audit_run(sql_conn, reference, 1, min_age_ns, &r, &e),
	              "%s", e.text);
	return r;
}

/* ams1 is right; fra1 is off by so many ms, over a path of 10 ms each way. */
static void
measure_offset(int64_t ms)
{
	struct result a = result_of(fra, 0, 0, 0), f = result_of(ams, 0, 0, 0);

	a.v[METRIC_FWD_MIN] = f.v[METRIC_BWD_MIN] = (10 + ms) * NS_PER_MS;
	f.v[METRIC_FWD_MIN] = a.v[METRIC_BWD_MIN] = (10 - ms) * NS_PER_MS;
	tell_both(&a, &f);
}

static void
audit_box(void)
{
	struct pgc_err e;

	fresh_box();
	ck_assert_msg(audit_attach(sql_conn, 1, &e), "%s", e.text);
	claim("ams1", true);
	claim("fra1", true);
}

#define FOUND                                                             \
	"SELECT string_agg(clock_verdict || ' ' || coalesce(round("       \
	"clock_lo_ms::numeric, 1)::text, '-') || ' ' || coalesce(round("  \
	"clock_hi_ms::numeric, 1)::text, '-'), ', ' ORDER BY name) FROM " \
	"twmesh.node_status"
#define TRUST                                                              \
	"SELECT string_agg(one_way_trusted::text, ' ' ORDER BY src) FROM " \
	"twmesh.path_matrix"

START_TEST(an_impossible_clock_is_convicted_and_an_honest_one_is_not)
{
	struct audit_report r;

	measure_offset(300);
	ck_assert(sql_is(TRUST, "true true"));
	r = run_audit(0);
	ck_assert(r.done);
	ck_assert_uint_eq(r.nodes, 2);
	ck_assert_ptr_null(r.missing);
	/* 10 ms each way and 0.1 ms of slack; ams1 is within 2 ms */
	ck_assert(sql_is(FOUND, "reference -2.0 2.0, untrusted 287.9 312.1"));
	ck_assert(sql_is(TRUST, "false false"));
	ck_assert(sql_is("SELECT n ->> 'clock_verdict' FROM "
	                 "json_array_elements(twmesh.api_nodes() -> 'nodes') n "
	                 "WHERE n ->> 'name' = 'fra1'",
	                 "untrusted"));
	sql_do("UPDATE twmesh_private.path_state SET revision = revision + 1, "
	       "generation = '{}', behind_us = '{}'");
	measure_offset(0);
	(void)run_audit(0);
	ck_assert(sql_is(FOUND, "reference -2.0 2.0, trusted -12.1 12.1"));
	ck_assert(sql_is(TRUST, "true true"));
}
END_TEST

START_TEST(suspicion_is_no_conviction)
{
	measure_offset(8); /* or an asymmetry of 16 ms */
	(void)run_audit(0);
	ck_assert(sql_is("SELECT clock_verdict || ' ' || clock_estimate_ms "
	                 "FROM twmesh.node_status WHERE name = 'fra1'",
	                 "suspect 8"));
	ck_assert(sql_is(TRUST, "true true"));
}
END_TEST

START_TEST(clocks_that_claim_nothing_and_steps_convict_nobody)
{
	struct result a = result_of(fra, 0, 0, 0);

	a.v[METRIC_FWD_MIN] = 310 * NS_PER_MS;
	a.v[METRIC_BWD_MIN] = -290 * NS_PER_MS;
	a.v[METRIC_FLAGS] |= RESULT_CLOCK_STEP;
	tell_result(ams, 1, &a);
	(void)run_audit(0);
	ck_assert(sql_is(FOUND, "reference -2.0 2.0, unknown - -"));
	claim("fra1", false);
	sql_do("UPDATE twmesh_private.path_state SET flags = "
	       "array_fill(96::smallint, ARRAY[cardinality(flags)])");
	(void)run_audit(0);
	ck_assert(
	    sql_is(FOUND, "reference -2.0 2.0, unsynchronised 287.9 312.1"));
}
END_TEST

START_TEST(old_delays_prove_nothing)
{
	struct result a = result_of(fra, 0, 0, 0);

	a.v[METRIC_FWD_MIN] = 310 * NS_PER_MS;
	a.v[METRIC_BWD_MIN] = -290 * NS_PER_MS;
	a.start = interval_before(12);
	tell_result(ams, 1, &a);
	(void)run_audit(0);
	ck_assert(sql_is(FOUND, "reference -2.0 2.0, unknown - -"));
}
END_TEST

START_TEST(one_controller_audits_at_a_time)
{
	static const char *const nobody[] = {"ams1", "lon1"};
	struct audit_report r;
	struct pgc_err e;

	measure_offset(0);
	ck_assert(run_audit(0).done);
	ck_assert(!run_audit(60 * NS_PER_S).done);
	ck_assert_msg(audit_run(sql_conn, nobody, 2, 0, &r, &e), "%s", e.text);
	ck_assert_str_eq(r.missing, "lon1");
	/* without references nothing is audited, nor left from before */
	ck_assert_msg(pgc_exec(sql_conn, "DEALLOCATE ALL", &e), "%s", e.text);
	ck_assert_msg(audit_attach(sql_conn, 0, &e), "%s", e.text);
	ck_assert_int_eq(
	    sql_number("SELECT count(*) FROM twmesh_private.clock_audit"), 0);
}
END_TEST

/* The rights of controllers and of readers are enough. */
START_TEST(least_rights_are_enough)
{
	struct audit_report r;
	struct pgc_err e;
	struct pgc *db;

	measure_offset(300);
	sql_do("DROP ROLE IF EXISTS lone; CREATE ROLE lone LOGIN IN ROLE "
	       "twmesh_writer; DROP ROLE IF EXISTS seer; CREATE ROLE seer "
	       "LOGIN IN ROLE twmesh_reader");
	db = pgc_open("user=lone", "test", NULL, &e);
	ck_assert_msg(db != NULL, "%s", e.text);
	ck_assert_msg(audit_attach(db, 1, &e), "%s", e.text);
	ck_assert_msg(audit_run(db, reference, 1, 0, &r, &e), "%s", e.text);
	pgc_close(db);
	db = pgc_open("user=seer", "test", NULL, &e);
	ck_assert_msg(db != NULL, "%s", e.text);
	ck_assert_msg(pgc_exec(db,
	                       "SELECT clock_verdict FROM twmesh.node_status; "
	                       "SELECT * FROM twmesh.path_matrix; "
	                       "SELECT twmesh.api_nodes(), "
	                       "twmesh.api_path('ams1', 'fra1')",
	                       &e),
	              "%s", e.text);
	pgc_close(db);
	sql_do("DROP ROLE lone; DROP ROLE seer");
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("audit");
	TCase *t = tcase_create("witnesses");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, fresh_box, tear_down);
	suite_add_tcase(s, t);
	tcase_add_test(t, one_witness_says_nothing_of_the_other);
	tcase_add_test(t, witnesses_that_agree_mean_the_network);
	tcase_add_test(t, witnesses_that_differ_mean_an_instrument);
	tcase_add_test(t, different_intervals_are_not_compared);
	tcase_add_test(t, what_is_undetermined_is_no_disagreement);
	tcase_add_test(t, a_witness_needs_packets_of_that_direction);
	tcase_add_test(t, old_results_are_no_witnesses);
	tcase_add_test(t,
	               a_silent_reporters_cell_shows_the_second_witness_marked);
	tcase_add_test(t, cells_are_joined_by_hashes_not_by_a_kept_list);
	t = tcase_create("clocks");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, audit_box, tear_down);
	suite_add_tcase(s, t);
	tcase_add_test(
	    t, an_impossible_clock_is_convicted_and_an_honest_one_is_not);
	tcase_add_test(t, suspicion_is_no_conviction);
	tcase_add_test(t, clocks_that_claim_nothing_and_steps_convict_nobody);
	tcase_add_test(t, old_delays_prove_nothing);
	tcase_add_test(t, one_controller_audits_at_a_time);
	tcase_add_test(t, least_rights_are_enough);
	return s;
}

int
main(int argc, char **argv)
{
	return writerbox_main(argc, argv, suite);
}
