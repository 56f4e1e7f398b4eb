/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Details, flows, loss runs, revisions and limited hosts in the database, as
 * the writer stores them and as views and functions show them.
 */
#include "tests/unit/writerbox.h"

#include "controller/roster_db.h"
#include "lib/base/metric.h"
#include "lib/stats/flowset.h"

#define RUN UINT64_C(0xfedcba9876543210)
#define RUN_HEX "fedcba9876543210"

static uint64_t seq_now;

/* ---- making batches ---- */

/* A batch of one node with anything in it. */
static struct ask *
batch(uint32_t node, const struct batch_input *in)
{
	struct ask *a = ask_new(ASK_BATCH);
	struct ask_batch *x = &a->u.batch;

	x->node_id = node;
	x->clock_offset_ns = 0;
	x->received = clock_wall();
	x->batch.spool_id = id_of((uint8_t)node);
	x->batch.seq = ++seq_now;
	x->batch.rows = (uint32_t)in->result_n;
	ck_assert(batch_body_encode(in, &x->batch.body, &x->batch.body_len));
	batch_digest(x->batch.body, x->batch.body_len, x->batch.digest);
	return a;
}

static enum ack_status
store_results(const struct result *r, size_t n, char reason[REASON_MAX])
{
	const struct result *p[8];
	const struct batch_input in = {.result = p, .result_n = n};

	for (size_t i = 0; i < n; i++)
		p[i] = &r[i];
	return store(&box, batch(ams, &in), reason);
}

static enum ack_status
store_run(const struct loss_run *r, char reason[REASON_MAX])
{
	const struct batch_input in = {.run = &r, .run_n = 1};

	return store(&box, batch(ams, &in), reason);
}

static enum ack_status
store_revision(const struct revision *v)
{
	const struct batch_input in = {.revision = &v, .revision_n = 1};

	return store(&box, batch(ams, &in), NULL);
}

static struct wall
ago(int64_t ms)
{
	return wall_add_ns(clock_wall(), -ms * NS_PER_MS);
}

/* The k-th interval before the one in which the test began. */
static struct wall
interval(int k)
{
	static struct wall now; /* every test is a process of its own */

	if (now.ns == 0)
		now = interval_before(0);
	return wall_add_ns(now, -k * INTERVAL_NS);
}

/* A run from ams1 to fra1 whose first packet was sent ms ago. */
static struct loss_run
run_of(enum loss_run_state state, uint32_t revision, int64_t ms)
{
	return (struct loss_run){
	    .dst_id = fra,
	    .class_id = cls,
	    .run_id = RUN,
	    .revision = revision,
	    .state = state,
	    .first_seq = 4294967290,
	    .last_seq = 2,
	    .lost = 9,
	    .lost_fwd = 4,
	    .lost_bwd = 2,
	    .lost_undet = 3,
	    .first = ago(ms),
	    .last = ago(ms - 160),
	    .before = ago(ms + 20),
	    .after = {state == LOSS_RUN_CLOSED ? ago(ms - 180).ns : NS_UNKNOWN},
	    .lower_ns = 160 * NS_PER_MS,
	    .upper_ns = state == LOSS_RUN_CLOSED ? 200 * NS_PER_MS : NS_UNKNOWN,
	};
}

static void
good_result(int k)
{
	struct result r;

	result_fill(&r, fra, cls, interval(k), 100, 0);
	ck_assert_int_eq(store_results(&r, 1, NULL), ACK_STORED);
}

#define CELL "FROM twmesh.path_matrix WHERE src = 'ams1'"

/* ---- details ---- */

START_TEST(details_have_a_row_where_there_is_something_to_say)
{
	struct result r[4];

	for (int i = 0; i < 4; i++)
		result_fill(&r[i], fra, cls, interval(i + 1), 100, 0);
	r[0].v[METRIC_FWD_ECN] = METRIC_NULL;
	r[0].v[METRIC_SEND_LATE_MAX] = 5000000; /* never by itself */
	r[1].v[METRIC_REORDERED] = 3;
	r[1].v[METRIC_FWD_MOS] = 4321;
	r[2].fwd_hist_len = r[2].bwd_hist_len = 3;
	memcpy(r[2].fwd_hist, "\1\5\6", 3);
	memcpy(r[2].bwd_hist, "\1\7\10", 3);
	r[3].v[METRIC_FWD_DSCP] = 46; /* nor this */
	ck_assert_int_eq(store_results(r, 4, NULL), ACK_STORED);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 4);
	ck_assert(sql_is("SELECT count(*) || ' ' || sum(reordered) || ' ' || "
	                 "max(fwd_mos) || ' ' || max(encode(fwd_hist, 'hex')) "
	                 "|| max(encode(bwd_hist, 'hex')) FROM "
	                 "twmesh.result_detail",
	                 "2 3 4.321 010506010708"));
	/* 0 where it is never unknown, else NULL */
	ck_assert(sql_is("SELECT string_agg(reordered || coalesce(fwd_ecn::"
	                 "text, '-'), ' ' ORDER BY ts DESC) FROM "
	                 "twmesh.path_result",
	                 "0- 30 00 0-"));
}
END_TEST

/* An interval that a restart of the source cut in two has two results. */
START_TEST(two_parts_of_an_interval_keep_their_own_details)
{
	struct result r[2];

	for (int i = 0; i < 2; i++) {
		result_fill(&r[i], fra, cls, interval(1), 10, 0);
		r[i].v[METRIC_SPAN] = (i + 1) * 100 * NS_PER_MS;
		r[i].v[METRIC_REORDERED] = i + 1;
	}
	ck_assert_int_eq(store_results(r, 2, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT string_agg(span_ms || ':' || reordered, ' ' "
	                 "ORDER BY span_ms) FROM twmesh.path_result",
	                 "100:1 200:2"));
}
END_TEST

static int64_t
test_value(const struct metric_info *m)
{
	switch (m->type) {
	case METRIC_DURATION:
		return m->id * NS_PER_MS;
	case METRIC_MILLI:
		return m->id * 1000;
	case METRIC_COUNT:
	case METRIC_SMALL:
		break;
	}
	return m->id;
}

START_TEST(every_metric_is_in_table_view_and_json)
{
	char sql[256], want[64];
	struct result r;

	result_fill(&r, fra, cls, interval(1), 100, 0);
	for (unsigned m = 1; m < METRIC_N; m++)
		r.v[m] = test_value(metric_info(m));
	ck_assert_int_eq(store_results(&r, 1, NULL), ACK_STORED);
	for (unsigned m = 1; m < METRIC_N; m++) {
		const struct metric_info *i = metric_info(m);

		(void)snprintf(want, sizeof(want), "%u", m);
		(void)snprintf(sql, sizeof(sql),
		               "SELECT %s FROM twmesh.path_result", i->sql);
		ck_assert_msg(sql_is(sql, want), "%s", i->sql);
		(void)snprintf(sql, sizeof(sql),
		               "SELECT twmesh.api_path('ams1', 'fra1')->"
		               "'results'->0->>'%s'",
		               i->name);
		ck_assert_msg(sql_is(sql, want), "%s", i->name);
	}
}
END_TEST

START_TEST(flows_are_rows_of_their_own)
{
	struct flow_result f[3] = {
	    {10, 9, 1, 0, 0, 5000000, 6000000, 2000000, -1000000},
	    {10, 0, 0, 0, 10, NS_UNKNOWN, NS_UNKNOWN, NS_UNKNOWN, NS_UNKNOWN},
	    {10, 8, 0, 2, 0, 7000000, 7000000, 3000000, 4000000}};
	char reason[REASON_MAX];
	struct result r[2];

	for (int i = 0; i < 2; i++)
		result_fill(&r[i], fra, cls, interval(i + 1), 30, 0);
	r[0].flows_len =
	    (uint16_t)flowset_encode(f, 3, r[0].flows, sizeof(r[0].flows));
	r[1].flows_len = 2;
	memcpy(r[1].flows, "\1\2", 2); /* two flows, and no more of them */
	ck_assert_int_eq(store_results(r, 2, reason), ACK_STORED);
	ck_assert(sql_is("SELECT string_agg(concat_ws(',', flow, sent, "
	                 "received, lost_undet, rtt_min_ms, bwd_mean_ms, "
	                 "loss_fwd_pct, loss_bwd_pct), ' ' ORDER BY flow) "
	                 "FROM twmesh.path_flow WHERE src = 'ams1' AND dst = "
	                 "'fra1'",
	                 "0,10,9,0,5,-1,10,0 1,10,0,10 2,10,8,0,7,4,0,20"));
	ck_assert(sql_is("SELECT status || rows FROM twmesh_private.ledger",
	                 "partly1"));
	ck_assert(sql_is("SELECT reason FROM twmesh_private.put_aside",
	                 "per-flow results are malformed"));
}
END_TEST

/* ---- loss runs ---- */

START_TEST(the_highest_revision_of_a_run_stands)
{
	struct loss_run_packet p[2] = {{7,
	                                8,
	                                1,
	                                FATE_RECEIVED,
	                                250,
	                                251,
	                                184,
	                                {INT64_C(1700000000123456789)},
	                                {2000},
	                                {3000},
	                                {4000}},
	                               {8,
	                                0,
	                                0,
	                                FATE_LOST_UNDET,
	                                -1,
	                                -1,
	                                -1,
	                                {5000},
	                                {NS_UNKNOWN},
	                                {NS_UNKNOWN},
	                                {NS_UNKNOWN}}};
	struct loss_run closed = run_of(LOSS_RUN_CLOSED, 3, 5000);
	struct loss_run open = run_of(LOSS_RUN_OPEN, 1, 5000);
	struct loss_run confirmed = run_of(LOSS_RUN_CONFIRMED, 2, 5000);

	closed.packet = p;
	closed.packet_n = 2;
	ck_assert(addr_parse_ip("192.0.2.1", 18620, &closed.src));
	ck_assert(addr_parse_ip("2001:db8::1", 862, &closed.dst));
	ck_assert_int_eq(store_run(&open, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT state || lost FROM twmesh.loss_run", "open9"));
	ck_assert_int_eq(store_run(&closed, NULL), ACK_STORED);
	ck_assert_int_eq(store_run(&confirmed, NULL), ACK_STORED); /* late */
	ck_assert(sql_is("SELECT concat_ws(' ', run, src, dst, class, state, "
	                 "lower_ms, upper_ms, resolution_ms, lost, lost_fwd, "
	                 "lost_bwd, lost_undet, first_seq, last_seq, "
	                 "src_address, src_port, dst_address, dst_port, "
	                 "packets, revision, before_at < first_at, after_at > "
	                 "last_at) FROM twmesh.loss_run",
	                 RUN_HEX " ams1 fra1 demo closed 160 200 20 9 4 2 3 "
	                         "4294967290 2 192.0.2.1 18620 2001:db8::1 "
	                         "862 2 3 t t"));
	ck_assert_int_eq(
	    sql_number("SELECT count(*) FROM twmesh_private.loss_run_open"), 0);
	ck_assert(sql_is("SELECT string_agg(concat_ws(',', run, position, "
	                 "seq, flow, fate, t1_ns, t4_ns, reflector_seq, "
	                 "sender_ttl, ttl, tos), ' ' ORDER BY position) FROM "
	                 "twmesh.loss_run_packet WHERE run = '" RUN_HEX "'",
	                 RUN_HEX ",1,7,1,received,1700000000123456789,4000,8,"
	                         "250,251,184 " RUN_HEX
	                         ",2,8,0,undetermined,5000"));
	ck_assert(sql_is("SELECT concat_ws(' ', j->'run'->>'state', "
	                 "j->'packets'->0->>'t1', j->'packets'->1->>'t2') FROM "
	                 "twmesh.api_evidence('" RUN_HEX "') j",
	                 "closed 2023-11-14T22:13:20.123456789Z"));
	ck_assert(sql_is("SELECT coalesce(twmesh.api_evidence("
	                 "'0000000000000000')::text, 'none')",
	                 "none"));
}
END_TEST

START_TEST(one_batch_may_tell_of_a_run_twice)
{
	struct loss_run r[3] = {run_of(LOSS_RUN_OPEN, 1, 5000),
	                        run_of(LOSS_RUN_RETRACTED, 3, 5000),
	                        run_of(LOSS_RUN_CONFIRMED, 2, 5000)};
	const struct loss_run *p[] = {&r[0], &r[1], &r[2]};
	const struct batch_input in = {.run = p, .run_n = 3};

	ck_assert_int_eq(store(&box, batch(ams, &in), NULL), ACK_STORED);
	ck_assert_int_eq(
	    sql_number("SELECT state FROM twmesh_private.loss_run"),
	    LOSS_RUN_RETRACTED);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.loss_run"), 0);
	ck_assert_int_eq(
	    sql_number("SELECT count(*) FROM twmesh_private.loss_run_open"), 0);
}
END_TEST

START_TEST(an_open_run_of_three_seconds_makes_crit_at_once)
{
	struct loss_run r = run_of(LOSS_RUN_OPEN, 1, 2000);

	good_result(4);
	good_result(3);
	ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT state " CELL, "ok")); /* it is too young */
	sql_do("UPDATE twmesh_private.loss_run_open SET began_at = began_at - "
	       "interval '2 s', first_at = first_at - interval '2 s'");
	ck_assert(sql_is("SELECT state || ' ' || regexp_replace(state_why, "
	                 "'[0-9:]{8}', 'T') " CELL,
	                 "crit no reply since T UTC (loss run " RUN_HEX ")"));
	ck_assert_int_eq(sql_number("SELECT extract(epoch FROM now() - "
	                            "state_since) BETWEEN 3.5 AND 9 " CELL) +
	                     sql_number("SELECT count(*) FROM twmesh."
	                                "matrix_cell WHERE open_run = '" RUN_HEX
	                                "'"),
	                 1);
	ck_assert(sql_is("SELECT twmesh.mesh_sentence('demo') LIKE '%worst: "
	                 "ams1→fra1 gets no reply since %'",
	                 "t"));
	/* its end leaves what two good intervals end */
	r = run_of(LOSS_RUN_CLOSED, 2, 5000);
	r.last = ago(200);
	r.after = ago(100);
	ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT state || ' ' || state_why " CELL,
	                 "crit no reply for 4.9 s (loss run " RUN_HEX ")"));
	good_result(2);
	ck_assert(sql_is("SELECT state " CELL, "crit"));
	good_result(1);
	ck_assert(sql_is("SELECT state || state_why " CELL, "ok"));
}
END_TEST

START_TEST(runs_that_are_no_fact_about_the_way_there_make_no_crit)
{
	struct loss_run r = run_of(LOSS_RUN_CONFIRMED, 1, 9000);

	good_result(2);
	r.host_limited = true;
	ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT state " CELL, "ok"));
	r.state = LOSS_RUN_CLOSED;
	r.revision = 2;
	r.lower_ns = 8 * NS_PER_S;
	ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT state " CELL, "ok"));
	/* all of it lost on the way back */
	r.host_limited = false;
	r.revision = 3;
	r.lost_fwd = r.lost_undet = 0;
	r.lost_bwd = 9;
	ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT state " CELL, "ok"));
}
END_TEST

START_TEST(a_run_that_nobody_closes_is_abandoned)
{
	struct loss_run r = run_of(LOSS_RUN_CONFIRMED, 1, 9000);

	good_result(9);
	ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT state " CELL, "crit"));
	sql_do("SELECT twmesh_private.sweep_runs()");
	ck_assert(sql_is("SELECT state " CELL, "crit"));
	/* its source began anew: a whole later interval has replies */
	good_result(2);
	ck_assert(sql_is("SELECT state " CELL, "ok"));
	sql_do("UPDATE twmesh_private.loss_run SET recorded_at = recorded_at "
	       "- interval '2 min'");
	sql_do("SELECT twmesh_private.sweep_runs()");
	ck_assert(sql_is("SELECT state || (SELECT count(*) FROM "
	                 "twmesh_private.loss_run_open) FROM twmesh.loss_run",
	                 "abandoned0"));
	/* or it lives after all */
	r.revision = 2;
	ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT state FROM twmesh.loss_run", "confirmed"));
}
END_TEST

START_TEST(bad_runs_do_not_fail_the_good_ones)
{
	struct loss_run r[4];
	const struct loss_run *p[4];
	const struct revision v = {9999, cls, interval(1), 1, 0, 0};
	const struct revision *vp = &v;
	const struct batch_input in = {
	    .run = p, .run_n = 4, .revision = &vp, .revision_n = 1};
	char reason[REASON_MAX];

	for (size_t i = 0; i < 4; i++) {
		r[i] = run_of(LOSS_RUN_OPEN, 1, 1000);
		r[i].run_id = i;
		p[i] = &r[i];
	}
	r[0].dst_id = 9999;
	r[1].class_id = 9999;
	r[2].first = ago(-120000); /* in two minutes */
	ck_assert_int_eq(store(&box, batch(ams, &in), NULL), ACK_STORED);
	ck_assert(sql_is("SELECT string_agg(run, ',') FROM twmesh.loss_run",
	                 "0000000000000003"));
	ck_assert(sql_is("SELECT rows || reason FROM twmesh_private.put_aside",
	                 "4unknown destination 9999"));
	ck_assert_int_eq(store_run(&r[2], reason), ACK_PUT_ASIDE);
	ck_assert(strstr(reason, "lies in the future") != NULL);
}
END_TEST

START_TEST(runs_of_a_wrong_clock_are_put_aside)
{
	struct loss_run r = run_of(LOSS_RUN_OPEN, 1, 1000);
	const struct loss_run *p = &r;
	const struct batch_input in = {.run = &p, .run_n = 1};
	struct ask *a = batch(ams, &in);

	a->u.batch.clock_offset_ns = 61 * NS_PER_S;
	ck_assert_int_eq(store(&box, a, NULL), ACK_PUT_ASIDE);
	ck_assert_int_eq(
	    sql_number("SELECT rows FROM twmesh_private.put_aside"), 1);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.loss_run"), 0);
}
END_TEST

/* ---- outages ---- */

START_TEST(outages_are_filtered)
{
	struct loss_run r = run_of(LOSS_RUN_CLOSED, 1, 5000);

	for (uint64_t i = 0; i < 3; i++) {
		r.run_id = i + 1;
		r.first = ago(5000 + (int64_t)i * 3600000);
		r.last = r.first;
		r.upper_ns = (int64_t)(i + 1) * 100 * NS_PER_MS;
		r.lower_ns = 50 * NS_PER_MS;
		ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
	}
	r = run_of(LOSS_RUN_OPEN, 1, 9 * 86400000LL);
	ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
#define OUTAGES(args)                                                    \
	"SELECT string_agg(right(o->>'run', 1), ',' ORDER BY n) || "     \
	"(j->>'more') FROM twmesh.api_outages(" args ") j, "             \
	"json_array_elements(j->'outages') WITH ORDINALITY AS x (o, n) " \
	"GROUP BY j->>'more'"
	ck_assert(sql_is(OUTAGES(""), "1,2,3,0false"));
	ck_assert(sql_is(OUTAGES("longer_than_ms => 150, since => now() - "
	                         "interval '90 min'"),
	                 "2,0false"));
	ck_assert(
	    sql_is(OUTAGES("'ams1', 'fra1', 'demo', most => 2"), "1,2true"));
	ck_assert(sql_is("SELECT json_array_length(twmesh.api_outages("
	                 "'fra1')->'outages')",
	                 "0"));
	ck_assert(sql_is("SELECT twmesh.api_outages('nobody') IS NULL AND "
	                 "twmesh.api_outages(the_class => 'x') IS NULL",
	                 "t"));
	ck_assert(sql_is("SELECT o->>'resolution_ms' FROM twmesh.api_outages("
	                 "most => 1) j, json_array_elements(j->'outages') o",
	                 "20"));
}
END_TEST

START_TEST(evidence_is_kept_for_thirty_days)
{
	struct loss_run_packet p = {.seq = 1};
	struct loss_run r = run_of(LOSS_RUN_CLOSED, 1, 5000);

	r.packet = &p;
	r.packet_n = 1;
	ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
	sql_do("UPDATE twmesh_private.loss_run_evidence SET stored_at = "
	       "now() - interval '29 days'");
	ck_assert(sql_is("SELECT twmesh_private.forget_old(10)", "f"));
	ck_assert(sql_is("SELECT packets FROM twmesh.loss_run", "1"));
	sql_do("UPDATE twmesh_private.loss_run_evidence SET stored_at = "
	       "now() - interval '31 days'");
	ck_assert(sql_is("SELECT twmesh_private.forget_old(1)", "t"));
	ck_assert(sql_is("SELECT packets FROM twmesh.loss_run", "0"));
}
END_TEST

/* ---- revisions ---- */

#define LOST                                                           \
	"SELECT concat_ws(' ', lost, lost_fwd, lost_bwd, lost_undet, " \
	"revised_at IS NOT NULL) FROM twmesh.path_result"
#define COUNTED                                                        \
	"SELECT string_agg(revisions || '/' || revisions_missed, ' ' " \
	"ORDER BY seq) FROM twmesh_private.ledger"

START_TEST(a_revision_corrects_row_and_cell)
{
	struct revision v = {0, 0, interval(1), 6, 3, 1};
	struct result r;

	result_fill(&r, fra, cls, v.start, 100, 0);
	r.v[METRIC_LOST] = 10;
	r.v[METRIC_LOST_FWD] = 2;
	r.v[METRIC_LOST_UNDET] = 8;
	r.v[METRIC_RECEIVED] = 90;
	ck_assert_int_eq(store_results(&r, 1, NULL), ACK_STORED);
	ck_assert(sql_is(LOST, "10 2 0 8 f"));
	ck_assert(sql_is("SELECT loss_fwd_min_pct || ' ' || loss_fwd_max_pct "
	                 "|| coalesce(loss_fwd_pct::text, ' null') FROM "
	                 "twmesh.path_result",
	                 "2 10 null"));
	v.dst_id = fra;
	v.class_id = cls;
	ck_assert_int_eq(store_revision(&v), ACK_STORED);
	ck_assert(sql_is(LOST, "10 6 3 1 t"));
	ck_assert(sql_is("SELECT lost || ' ' || loss_max_pct " CELL, "7 7"));
	v.lost_bwd = 4;
	v.lost_undet = 0;
	ck_assert_int_eq(store_revision(&v), ACK_STORED);
	ck_assert(sql_is(LOST, "10 6 4 0 t"));
	ck_assert(sql_is("SELECT lost || ' ' || loss_pct " CELL, "6 6"));
	/* what knows less, or speaks of other losses, changes nothing */
	v = (struct revision){fra, cls, v.start, 8, 1, 1};
	ck_assert_int_eq(store_revision(&v), ACK_STORED);
	v = (struct revision){fra, cls, v.start, 5, 0, 0};
	ck_assert_int_eq(store_revision(&v), ACK_STORED);
	v = (struct revision){fra, cls, interval(7), 1, 0, 0};
	ck_assert_int_eq(store_revision(&v), ACK_STORED);
	ck_assert(sql_is(LOST, "10 6 4 0 t"));
	ck_assert(sql_is(COUNTED, "0/0 1/0 1/0 0/1 0/1 0/1"));
}
END_TEST

START_TEST(of_two_revisions_of_a_row_the_better_counts)
{
	const struct wall at = interval(1);
	struct revision v[2];
	const struct revision *p[] = {&v[0], &v[1]};
	struct batch_input in = {.revision = p, .revision_n = 2};
	struct result r;

	result_fill(&r, fra, cls, at, 100, 0);
	r.v[METRIC_LOST] = r.v[METRIC_LOST_UNDET] = 10;
	ck_assert_int_eq(store_results(&r, 1, NULL), ACK_STORED);
	v[0] = (struct revision){fra, cls, at, 7, 3, 0};
	v[1] = (struct revision){fra, cls, at, 5, 0, 5};
	ck_assert_int_eq(store(&box, batch(ams, &in), NULL), ACK_STORED);
	ck_assert(sql_is(LOST, "10 7 3 0 t"));
	ck_assert(sql_is(COUNTED, "0/0 1/1"));
}
END_TEST

/* The whole batch is one transaction, stored once. */
START_TEST(all_of_a_batch_is_stored_once)
{
	struct loss_run run = run_of(LOSS_RUN_OPEN, 1, 1000);
	const struct loss_run *rp = &run;
	struct result res;
	const struct result *p = &res;
	const struct revision v = {fra, cls, interval(1), 3, 0, 0};
	const struct revision *vp = &v;
	const struct gap gap = {ago(9000), ago(8000), 4, "spool full"};
	const struct batch_input in = {&p, 1, &gap, 1, &vp, 1, &rp, 1};

	result_fill(&res, fra, cls, interval(1), 100, 0);
	res.v[METRIC_LOST] = res.v[METRIC_LOST_UNDET] = 3;
	res.v[METRIC_ALTERED] = 1;
	ck_assert_int_eq(store(&box, batch(ams, &in), NULL), ACK_STORED);
	seq_now--;
	ck_assert_int_eq(store(&box, batch(ams, &in), NULL), ACK_DUPLICATE);
	ck_assert(sql_is("SELECT concat_ws(' ', (SELECT count(*) FROM "
	                 "twmesh.result), (SELECT count(*) FROM "
	                 "twmesh.result_detail), (SELECT count(*) FROM "
	                 "twmesh.gap WHERE rows = 4), (SELECT count(*) FROM "
	                 "twmesh.loss_run), (SELECT lost_fwd FROM "
	                 "twmesh.result))",
	                 "1 1 1 1 3"));
}
END_TEST

/* ---- hosts ---- */

static void
tell_limited(struct wall from, struct wall to, uint64_t held)
{
	struct ask *a = ask_new(ASK_HEARTBEAT);

	a->u.heartbeat.node_id = fra;
	a->u.heartbeat.received = clock_wall();
	a->u.heartbeat.clock_offset_ns = 0;
	a->u.heartbeat.hb.host_limited_n = 1;
	a->u.heartbeat.hb.host_limited[0] =
	    (struct host_limited){from, to, 0, held};
	box_put(&box, a);
}

static void
wait_until(const char *sql, const char *want)
{
	for (int i = 0; i < 500; i++) {
		struct pgc_err e;
		char *text = NULL;
		bool same;

		ck_assert(pgc_query_text(sql_conn, sql, 0, NULL, &text, &e));
		same = text && strcmp(text, want) == 0;
		free(text);
		if (same)
			return;
		(void)poll(NULL, 0, 10);
	}
	ck_abort_msg("%s did not become %s", sql, want);
}

static void
bad_result(int k)
{
	struct result r;

	result_fill(&r, fra, cls, interval(k), 100, 100);
	ck_assert_int_eq(store_results(&r, 1, NULL), ACK_STORED);
}

START_TEST(a_limited_host_makes_nobody_crit)
{
	const struct wall from = interval(6);

	good_result(7);
	tell_limited(from, wall_add_ns(from, INTERVAL_NS), 5);
	wait_until("SELECT count(*) || ' ' || sum(held) FROM "
	           "twmesh.node_host_limited",
	           "1 5");
	tell_limited(from, wall_add_ns(from, 2 * INTERVAL_NS), 9);
	wait_until("SELECT count(*) || ' ' || sum(held) || ' ' || "
	           "max(extract(epoch FROM t_to - t_from)::integer) FROM "
	           "twmesh.node_host_limited",
	           "1 9 4");
	bad_result(6);
	bad_result(5);
	ck_assert(sql_is("SELECT state " CELL, "ok"));
	bad_result(3);
	bad_result(2);
	ck_assert(sql_is("SELECT state " CELL, "crit"));
	ck_assert(sql_is("SELECT string_agg(left(dst_host_limited::text, 1), "
	                 "'' ORDER BY ts) FROM twmesh.path_result",
	                 "fttff"));
}
END_TEST

START_TEST(what_another_controller_heard_counts_too)
{
	struct loss_run r;
	char sql[256];

	good_result(3);
	(void)snprintf(sql, sizeof(sql),
	               "INSERT INTO twmesh.node_host_limited VALUES (%u, "
	               "now() - interval '8 s', now() - interval '2 s', 3, 0)",
	               fra);
	sql_do(sql);
	(void)poll(NULL, 0, 5500); /* it is read every 5 s */
	r = run_of(LOSS_RUN_CLOSED, 1, 12000);
	r.lower_ns = 5 * NS_PER_S;
	r.upper_ns = 6 * NS_PER_S;
	r.last = ago(7000);
	r.after = ago(6000);
	ck_assert_int_eq(store_run(&r, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT state " CELL, "ok"));
	ck_assert(sql_is("SELECT dst_host_limited FROM twmesh.loss_run", "t"));
}
END_TEST

/* ---- classes and partitions ---- */

START_TEST(classes_carry_codec_and_details)
{
	struct pgc_err e;
	int64_t mesh_file = -1;
	bool ok;

	box_pump(&box);
	ck_assert(!box.roster.class_[0].detail);
	ck_assert_int_eq(box.roster.class_[0].codec, VOICE_NONE);
	demo.detail = true;
	demo.codec = VOICE_G729A;
	demo.jitter_buffer_ns = 40 * NS_PER_MS;
	ok = roster_db_plan(sql_conn,
	                    &(struct plan_opts){.class_ = &demo, .class_n = 1},
	                    &mesh_file, &e);
	demo.detail = false;
	demo.codec = VOICE_NONE;
	demo.jitter_buffer_ns = 0;
	ck_assert_msg(ok, "%s", e.text);
	ck_assert(sql_is("SELECT concat_ws(' ', version, detail, codec, "
	                 "jitter_buffer_ms) FROM twmesh.class",
	                 "1 t g729a 40"));
	for (int i = 0; i < 1000 && !box.roster.class_[0].detail; i++) {
		(void)poll(NULL, 0, 10);
		box_pump(&box);
	}
	ck_assert_int_eq(box.roster.class_[0].codec, VOICE_G729A);
	ck_assert(box.roster.class_[0].jitter_buffer_ns == 40 * NS_PER_MS);
}
END_TEST

START_TEST(the_matrix_shows_mos_of_voice_classes)
{
	struct result r;

	result_fill(&r, fra, cls, interval(1), 100, 0);
	r.v[METRIC_FWD_MOS] = 4125;
	r.fwd_hist_len = 3;
	ck_assert_int_eq(store_results(&r, 1, NULL), ACK_STORED);
	ck_assert(sql_is("SELECT coalesce(mos::text, 'null') " CELL, "null"));
	sql_do("UPDATE twmesh.class SET codec = 'g711'");
	ck_assert(sql_is("SELECT mos " CELL, "4.125"));
}
END_TEST

START_TEST(each_day_has_its_three_partitions)
{
	ck_assert(sql_is("SELECT string_agg(DISTINCT n::text, ',') FROM "
	                 "(SELECT count(*) AS n FROM pg_inherits WHERE "
	                 "inhparent IN ('twmesh.result'::regclass, "
	                 "'twmesh.result_detail'::regclass, "
	                 "'twmesh.result_flow'::regclass) GROUP BY inhparent) "
	                 "x",
	                 "6"));
	ck_assert(sql_is("SELECT count(*) FROM pg_inherits WHERE inhparent "
	                 "IN ('twmesh.result_detail_key'::regclass, "
	                 "'twmesh.result_flow_key'::regclass)",
	                 "12"));
}
END_TEST

START_TEST(least_rights_are_enough)
{
	struct loss_run r = run_of(LOSS_RUN_CLOSED, 1, 5000);
	const struct loss_run *p = &r;
	const struct revision v = {fra, cls, interval(1), 3, 0, 0};
	const struct revision *vp = &v;
	struct result res;
	const struct result *rp = &res;
	const struct batch_input in = {&rp, 1, NULL, 0, &vp, 1, &p, 1};
	struct box lone;

	sql_do("DROP ROLE IF EXISTS lone; CREATE ROLE lone LOGIN IN ROLE "
	       "twmesh_writer");
	result_fill(&res, fra, cls, v.start, 100, 0);
	res.v[METRIC_LOST] = res.v[METRIC_LOST_UNDET] = 3;
	res.v[METRIC_ALTERED] = 1;
	box_open_as(&lone, "user=lone");
	ck_assert_int_eq(store(&lone, batch(ams, &in), NULL), ACK_STORED);
	box_close(&lone);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.loss_run"), 1);
	sql_do("SET ROLE twmesh_writer; SELECT twmesh_private.sweep_runs(); "
	       "SELECT twmesh_private.forget_old(1); SET ROLE twmesh_reader");
	ck_assert(sql_is("SELECT lost_fwd || ' ' || altered FROM "
	                 "twmesh.path_result",
	                 "3 1"));
	ck_assert(sql_is("SELECT json_array_length(twmesh.api_outages()->"
	                 "'outages') || (twmesh.api_evidence('" RUN_HEX
	                 "')->'run'->>'state')",
	                 "1closed"));
	sql_do("RESET ROLE; DROP ROLE lone");
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("runs_db");
	TCase *t = tcase_create("runs_db");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, details_have_a_row_where_there_is_something_to_say);
	tcase_add_test(t, two_parts_of_an_interval_keep_their_own_details);
	tcase_add_test(t, every_metric_is_in_table_view_and_json);
	tcase_add_test(t, flows_are_rows_of_their_own);
	tcase_add_test(t, the_highest_revision_of_a_run_stands);
	tcase_add_test(t, one_batch_may_tell_of_a_run_twice);
	tcase_add_test(t, an_open_run_of_three_seconds_makes_crit_at_once);
	tcase_add_test(t,
	               runs_that_are_no_fact_about_the_way_there_make_no_crit);
	tcase_add_test(t, a_run_that_nobody_closes_is_abandoned);
	tcase_add_test(t, bad_runs_do_not_fail_the_good_ones);
	tcase_add_test(t, runs_of_a_wrong_clock_are_put_aside);
	tcase_add_test(t, outages_are_filtered);
	tcase_add_test(t, evidence_is_kept_for_thirty_days);
	tcase_add_test(t, a_revision_corrects_row_and_cell);
	tcase_add_test(t, of_two_revisions_of_a_row_the_better_counts);
	tcase_add_test(t, all_of_a_batch_is_stored_once);
	tcase_add_test(t, a_limited_host_makes_nobody_crit);
	tcase_add_test(t, what_another_controller_heard_counts_too);
	tcase_add_test(t, classes_carry_codec_and_details);
	tcase_add_test(t, the_matrix_shows_mos_of_voice_classes);
	tcase_add_test(t, each_day_has_its_three_partitions);
	tcase_add_test(t, least_rights_are_enough);
	suite_add_tcase(s, t);
	return s;
}

int
main(int argc, char **argv)
{
	return writerbox_main(argc, argv, suite);
}
