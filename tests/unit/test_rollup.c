/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rollups against the truth: two writers store and revise at random while two
 * keepers roll up buckets that are not over; in the end every rollup equals
 * what SQL makes of the raw rows.
 */
#include "tests/unit/writerbox.h"

#include "controller/keeper_jobs.h"
#include "controller/windows.h"
#include "lib/stats/hist.h"
#include "lib/stats/percentile.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#define ME "00000000-0000-0000-0000-000000000001"
#define OTHER "00000000-0000-0000-0000-000000000002"
#define BATCHES 90
#define ROWS 12 /* of a batch */

static struct rng rng;

/* A keeper of our own, which takes nothing for too young. */
struct side {
	const char *me;
	struct lease lease;
	struct pgc *db;
	struct rollup *r;
	atomic_bool *over;
	size_t done, lost;
};

static void
side_open(struct side *s, const char *me)
{
	struct pgc_err e;

	*s = (struct side){.me = me};
	s->db = pgc_open("", "test rollup", NULL, &e);
	ck_assert_msg(s->db != NULL, "%s", e.text);
	s->lease = (struct lease){.me = me, .time_ns = 30 * NS_PER_S};
	s->r = rollup_new();
	ck_assert_ptr_nonnull(s->r);
	s->r->grace_ns = -86400 * NS_PER_S;
	ck_assert_msg(lease_attach(s->db, &e) &&
	                  rollup_attach(s->r, &s->lease, s->db, &e),
	              "%s", e.text);
}

static void
side_close(struct side *s)
{
	struct pgc_err e;

	(void)!lease_release(&s->lease, s->db, &e);
	rollup_free(s->r);
	pgc_close(s->db);
}

/* False: the connection is gone (the other one took the lease). */
static bool
side_step(struct side *s, bool *more)
{
	struct pgc_err e;
	bool five = false, hour = false, ok;

	*more = false;
	s->lease.ask_at = (struct mono){0};
	ok = lease_keep(&s->lease, s->db, clock_mono(), &e);
	if (!ok || !s->lease.fence)
		return ok;
	ok = rollup_count(s->r, &e) && rollup_some(s->r, 300, &five, &e) &&
	     rollup_some(s->r, 3600, &hour, &e);
	*more = five || hour;
	s->done += ok && *more;
	return ok;
}

static void
roll_all(struct side *s)
{
	bool more = true;

	for (int i = 0; more && i < 10000; i++)
		ck_assert(side_step(s, &more));
	ck_assert(!more);
	ck_assert_int_ne(s->lease.fence, 0);
}

/* Rolls up without pause; thrown out, it comes again. */
static void *
side_main(void *arg)
{
	struct side *s = arg;
	bool more;

	while (!atomic_load(s->over)) {
		if (!side_step(s, &more)) {
			atomic_bool *over = s->over;
			const size_t done = s->done, lost = s->lost + 1;

			side_close(s);
			side_open(s, s->me);
			s->over = over;
			s->done = done;
			s->lost = lost;
		}
		if (!more)
			(void)poll(NULL, 0, 2);
	}
	return NULL;
}

/* ---- results ---- */

/* Every round trip of all results, while it is wanted. */
#define PACKETS_MAX 40000
static int64_t packet[PACKETS_MAX];
static size_t packet_n;
static bool packets_wanted;

static int64_t
below(uint64_t n)
{
	return (int64_t)(rng_u64(&rng) % n);
}

/* A result whose numbers fit each other, with the histogram of its delays. */
static void
random_result(struct result *r, uint32_t dst, struct wall at)
{
	const int64_t sent = 20 + below(80), lost = below(3) ? 0 : below(20);
	const int64_t floor_ns = 20 * NS_PER_MS + below(NS_PER_MS);
	int64_t v[100], sum = 0;
	struct hist h;

	result_fill(r, dst, cls, at, sent, lost);
	r->v[METRIC_LOST_FWD] = below((uint64_t)lost + 1);
	r->v[METRIC_LOST_UNDET] = lost - r->v[METRIC_LOST_FWD];
	for (int64_t i = 0; i < sent - lost; i++) {
		v[i] = floor_ns + below(5 * NS_PER_MS);
		sum += v[i];
		if (packets_wanted && packet_n < PACKETS_MAX)
			packet[packet_n++] = v[i];
	}
	r->hist_len = 0;
	for (enum metric m = METRIC_RTT_MIN; m <= METRIC_CLOCK_ERR; m++)
		r->v[m] = METRIC_NULL;
	r->v[METRIC_LOSS_RUNS_1] = below(3);
	r->v[METRIC_LOSS_RUNS_LONG] = below(2);
	r->v[METRIC_FLAGS] = 1 << below(12);
	if (sent == lost)
		return;
	percentile_sort(v, (size_t)(sent - lost));
	r->v[METRIC_RTT_MIN] = v[0];
	r->v[METRIC_RTT_MAX] = v[sent - lost - 1];
	r->v[METRIC_RTT_MEAN] = sum / (sent - lost);
	r->v[METRIC_FWD_MIN] = v[0] / 2 - 11 * NS_PER_MS;
	r->v[METRIC_FWD_MEAN] = r->v[METRIC_FWD_MIN] + below(NS_PER_MS);
	r->v[METRIC_FWD_MAX] = r->v[METRIC_FWD_MEAN] + below(NS_PER_MS);
	r->v[METRIC_FWD_IPDV] = below(NS_PER_MS);
	r->v[METRIC_FWD_JITTER] = below(NS_PER_MS);
	r->v[METRIC_CLOCK_ERR] = below(50) ? below(NS_PER_MS) : METRIC_NULL;
	r->v[METRIC_FWD_HOPS] = 3 + below(9);
	hist_build(&h, v, (size_t)(sent - lost));
	r->hist_len =
	    (uint16_t)hist_encode(&h, r->rtt_hist, sizeof(r->rtt_hist));
	ck_assert_uint_gt(r->hist_len, 0);
}

/* What a node stores, and corrects later. */
struct source {
	struct box *box;
	uint32_t id, dst;
	uint8_t spool;
	uint64_t seq;
	struct result last;
};

static void
send_batch(struct source *s, const struct batch_input *in, size_t rows)
{
	struct ask *a = ask_new(ASK_BATCH);
	struct ask_batch *x = &a->u.batch;

	x->node_id = s->id;
	x->clock_offset_ns = NS_UNKNOWN;
	x->received = clock_wall();
	x->batch.spool_id = id_of(s->spool);
	x->batch.seq = ++s->seq;
	x->batch.rows = (uint32_t)rows;
	ck_assert(batch_body_encode(in, &x->batch.body, &x->batch.body_len));
	batch_digest(x->batch.body, x->batch.body_len, x->batch.digest);
	box_put(s->box, a);
}

/* Of the newest hours, or of a day and a half ago: back-fill. No time comes
 * twice. */
static void
send_results(struct source *s, int round)
{
	const struct result *p[ROWS];
	struct result r[ROWS];
	const int64_t now = clock_wall().ns / INTERVAL_NS * INTERVAL_NS;
	const int64_t back = (round % 3) * 18 * 3600 * NS_PER_S;
	const struct batch_input in = {.result = p, .result_n = ROWS};

	for (int i = 0; i < ROWS; i++) {
		const struct wall at = {now - back - 10 * NS_PER_S -
		                        (round * ROWS + i) * 3 * INTERVAL_NS};

		random_result(&r[i], s->dst, at);
		p[i] = &r[i];
	}
	s->last = r[below(ROWS)];
	send_batch(s, &in, ROWS);
}

static void
late_results(struct source *s)
{
	const struct result *p[ROWS];
	struct result r[ROWS];
	const int64_t now = clock_wall().ns / INTERVAL_NS * INTERVAL_NS;
	const struct batch_input in = {.result = p, .result_n = ROWS};

	for (int i = 0; i < ROWS; i++) {
		/* Between others: no time comes twice. */
		random_result(
		    &r[i], s->dst,
		    (struct wall){now - 11 * NS_PER_S - i * 600 * NS_PER_S});
		p[i] = &r[i];
	}
	send_batch(s, &in, ROWS);
}

static void
send_revision(struct source *s)
{
	const struct result *r = &s->last;
	const int64_t undet = r->v[METRIC_LOST_UNDET];
	const int64_t known = undet > 0 ? 1 + below((uint64_t)undet) : 0;
	const struct revision v = {.dst_id = s->dst,
	                           .class_id = cls,
	                           .start = r->start,
	                           .lost_fwd = (uint32_t)r->v[METRIC_LOST_FWD],
	                           .lost_bwd = (uint32_t)known,
	                           .lost_undet = (uint32_t)(undet - known)};
	const struct revision *p = &v;
	const struct batch_input in = {.revision = &p, .revision_n = 1};

	send_batch(s, &in, 0);
}

/* ---- the truth ---- */

/* Rows of a level that differ from what raw rows give; the two %s are the
 * bucket's length and the table. */
static const char wrong[] =
    "WITH t AS (SELECT date_bin('%s', r.ts, 'epoch') AS ts, r.src_id, "
    "r.dst_id, r.class_id, count(*) AS intervals, sum(r.scheduled) AS "
    "scheduled, sum(r.sent) AS sent, sum(r.received) AS received, sum(r.lost) "
    "AS lost, sum(r.lost_fwd) AS lost_fwd, sum(r.lost_bwd) AS lost_bwd, "
    "sum(r.lost_undet) AS lost_undet, bit_or(r.flags) AS flags, count(*) "
    "FILTER (WHERE r.flags & 516 <> 0) AS host_limited, "
    "coalesce(sum(d.loss_runs_1), 0) AS runs_1, "
    "coalesce(sum(d.loss_runs_long), 0) AS runs_long, sum(r.span_ms) AS span, "
    "min(r.rtt_min_ms) AS rtt_min, max(r.rtt_max_ms) AS rtt_max, "
    "sum(r.rtt_mean_ms * r.received) / nullif(sum(r.received) FILTER (WHERE "
    "r.rtt_mean_ms IS NOT NULL), 0) AS rtt, min(r.fwd_min_ms) AS fwd_min, "
    "sum(r.fwd_mean_ms * r.received) / nullif(sum(r.received) FILTER (WHERE "
    "r.fwd_mean_ms IS NOT NULL), 0) AS fwd, sum(r.fwd_ipdv_ms * r.received) / "
    "nullif(sum(r.received) FILTER (WHERE r.fwd_ipdv_ms IS NOT NULL), 0) AS "
    "ipdv, max(r.fwd_ipdv_ms) AS ipdv_max, max(r.fwd_jitter_rfc3550_ms) AS "
    "jitter, CASE WHEN count(*) = count(r.clock_err_ms) THEN "
    "max(r.clock_err_ms) END AS clock_err, (array_agg(r.fwd_hops ORDER BY r.ts "
    "DESC) FILTER (WHERE r.fwd_hops IS NOT NULL))[1] AS hops FROM "
    "twmesh.result r LEFT JOIN twmesh.result_detail d USING (ts, src_id, "
    "dst_id, class_id) GROUP BY 1, 2, 3, 4)"
    " SELECT count(*) FROM t FULL JOIN twmesh.%s m USING (ts, src_id, dst_id, "
    "class_id) WHERE (m.intervals, m.scheduled, m.sent, m.received, m.lost, "
    "m.lost_fwd, m.lost_bwd, m.lost_undet, m.flags, m.host_limited, "
    "m.loss_runs_1, m.loss_runs_long, m.rtt_min_ms, m.rtt_max_ms, "
    "m.fwd_min_ms, m.fwd_ipdv_max_ms, m.fwd_jitter_rfc3550_ms, "
    "m.clock_err_ms, m.fwd_hops) IS DISTINCT FROM (t.intervals, t.scheduled, "
    "t.sent, t.received, t.lost, t.lost_fwd, t.lost_bwd, t.lost_undet, "
    "t.flags, t.host_limited, t.runs_1, t.runs_long, t.rtt_min, t.rtt_max, "
    "t.fwd_min, t.ipdv_max, t.jitter, t.clock_err, t.hops) OR EXISTS (SELECT "
    "FROM unnest(ARRAY[m.rtt_mean_ms, m.fwd_mean_ms, m.fwd_ipdv_ms, "
    "m.span_ms]::float8[], ARRAY[t.rtt, t.fwd, t.ipdv, t.span]::float8[]) x "
    "(a, b) WHERE coalesce(abs(a - b) > 1e-4 * (1 + abs(b)), a IS DISTINCT "
    "FROM b))";

static long long
wrong_n(const char *step, const char *table)
{
	char sql[sizeof(wrong) + 100];

	(void)snprintf(sql, sizeof(sql), wrong, step, table);
	return sql_number(sql);
}

static void
check_truth(void)
{
	ck_assert_int_eq(sql_number("SELECT count(*) FROM "
	                            "twmesh_private.stored"),
	                 0);
	ck_assert_int_eq(wrong_n("5 minutes", "rollup_5min"), 0);
	ck_assert_int_eq(wrong_n("1 hour", "rollup_1h"), 0);
	ck_assert_int_gt(sql_number("SELECT count(*) FROM twmesh.rollup_5min"),
	                 60);
	/* The counts that all of it hangs on. */
	ck_assert_int_eq(
	    sql_number(
	        "SELECT count(*) FROM (SELECT src_id, sum(rows) AS rows, "
	        "sum(revisions) AS revisions FROM "
	        "twmesh_private.bucket WHERE step_s = 300 GROUP BY 1) b "
	        "FULL JOIN (SELECT node_id AS src_id, sum(rows) AS "
	        "rows, sum(revisions) AS revisions FROM "
	        "twmesh_private.ledger GROUP BY 1) l USING (src_id) "
	        "WHERE (b.rows, b.revisions) IS DISTINCT FROM (l.rows, "
	        "l.revisions)"),
	    0);
	ck_assert_int_gt(sql_number("SELECT sum(revisions) FROM "
	                            "twmesh_private.bucket"),
	                 3);
}

/* ---- windows ---- */

/* Cells that differ from what raw rows of the window's time give. */
static const char wrong_cells[] =
    "SELECT count(*) FROM twmesh_private.path_window w CROSS JOIN twmesh.node "
    "d CROSS JOIN LATERAL (SELECT sum(r.sent) AS sent, sum(r.lost_fwd + "
    "r.lost_undet) AS lost, sum(r.lost_undet) AS undet, sum(r.lost_bwd) AS "
    "bwd, count(*) AS n, sum(r.rtt_mean_ms * r.received) / "
    "nullif(sum(r.received) FILTER (WHERE r.rtt_mean_ms IS NOT NULL), 0) AS "
    "rtt, twmesh.hist_percentile_ms(array_agg(r.rtt_hist), 99) AS p99 FROM "
    "twmesh.result r WHERE r.src_id = w.src_id AND r.dst_id = d.node_id AND "
    "r.ts < w.as_of AND r.ts >= w.as_of - CASE w.win WHEN '5min' THEN interval "
    "'5 minutes' WHEN '1h' THEN interval '1 hour' ELSE interval '24 hours' "
    "END) x WHERE (w.sent[d.slot], w.lost[d.slot], w.lost_undet[d.slot], "
    "w.lost_bwd[d.slot], w.generation[d.slot], coalesce(w.intervals[d.slot], "
    "0), w.loss_max_pct[d.slot]) IS DISTINCT FROM (x.sent, x.lost, x.undet, "
    "x.bwd, CASE WHEN x.n > 0 THEN d.slot_generation ELSE 0 END, x.n, (100.0 "
    "* x.lost / nullif(x.sent, 0))::real) OR coalesce(abs(w.rtt_ms[d.slot] "
    "- x.rtt) > 1e-3, w.rtt_ms[d.slot] IS DISTINCT FROM x.rtt) OR "
    "(w.rtt_p99_ms[d.slot] IS NOT NULL AND abs(w.rtt_p99_ms[d.slot] - x.p99) "
    "> 0.9)";

static void
make_windows(struct side *s, struct windows *w)
{
	struct pgc_err e;
	bool more;

	s->r->grace_ns = 0;
	for (size_t i = 0; i < WINDOWS_N; i++) {
		more = true;
		for (int k = 0; more && k < 100; k++)
			ck_assert_msg(windows_some(w, s->r, i, &more, &e), "%s",
			              e.text);
		ck_assert(!more);
	}
	s->r->grace_ns = -86400 * NS_PER_S;
	ck_assert_int_eq(sql_number("SELECT count(*) FROM "
	                            "twmesh_private.path_window"),
	                 6);
	ck_assert_int_eq(sql_number(wrong_cells), 0);
}

static void
drain_acks(struct box *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct tell *t = box_wait(b, TELL_ACK);

		ck_assert_int_eq(t->u.ack.status, ACK_STORED);
		tell_free(t);
	}
}

START_TEST(rollups_are_the_truth_whatever_comes_between)
{
	struct box second;
	struct source src[2];
	struct side side[2];
	pthread_t thread[2];
	atomic_bool over = false;
	const uint64_t seed = random_u64();
	struct windows *windows;

	printf("seed %llu\n", (unsigned long long)seed);
	rng_seed(&rng, seed);
	box_open(&second);
	src[0] =
	    (struct source){.box = &box, .id = ams, .dst = fra, .spool = 1};
	src[1] =
	    (struct source){.box = &second, .id = fra, .dst = ams, .spool = 2};
	side_open(&side[0], ME);
	side_open(&side[1], OTHER);
	for (int i = 0; i < 2; i++) {
		side[i].over = &over;
		ck_assert_int_eq(
		    pthread_create(&thread[i], NULL, side_main, &side[i]), 0);
	}
	for (int i = 0; i < BATCHES; i++) {
		struct source *s = &src[below(2)];

		send_results(s, i);
		if (below(2))
			send_revision(s);
		/* The lease goes to and fro in the midst of work. */
		if (i % 7 == 0)
			sql_do("UPDATE twmesh_private.lease SET expires_at = "
			       "'-infinity'");
		(void)poll(NULL, 0, (int)below(40));
	}
	drain_acks(&box, src[0].seq);
	drain_acks(&second, src[1].seq);
	atomic_store(&over, true);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	printf("rolled up %zu and %zu times meanwhile, thrown out %zu and "
	       "%zu times\n",
	       side[0].done, side[1].done, side[0].lost, side[1].lost);
	ck_assert_uint_gt(side[0].done + side[1].done, 10);
	sql_do("UPDATE twmesh_private.lease SET expires_at = '-infinity'");
	side_close(&side[1]);
	roll_all(&side[0]);
	check_truth();
	windows = windows_new();
	ck_assert_ptr_nonnull(windows);
	make_windows(&side[0], windows);
	ck_assert_int_gt(
	    sql_number("SELECT count(*) FROM twmesh_private.path_window w, "
	               "unnest(w.sent) s WHERE s > 0"),
	    3);
	/* What comes late into a window makes it again. */
	late_results(&src[0]);
	drain_acks(&box, 1);
	roll_all(&side[0]);
	make_windows(&side[0], windows);
	windows_free(windows);
	check_truth();
	side_close(&side[0]);
	box_close(&second);
}
END_TEST

/* ---- reading ---- */

/* Percentiles over a time that is read from results, 5 minutes or hours:
 * within `pct` percent of the distance from the minimum. */
static void
check_percentiles(const char *span, int64_t pct)
{
	static const double p[] = {0.1, 10, 50, 90, 95, 99, 99.9, 100};

	for (size_t i = 0; i < sizeof(p) / sizeof(p[0]); i++) {
		const int64_t exact = percentile_sorted(packet, packet_n, p[i]);
		int64_t got;
		char sql[200];

		(void)snprintf(sql, sizeof(sql),
		               "SELECT (1e6 * twmesh.path_percentile('ams1', "
		               "'fra1', 'demo', %g, now() - interval '%s', "
		               "now()))::bigint",
		               p[i], span);
		got = sql_number(sql);
		ck_assert_msg(llabs(got - exact) <=
		                  (exact - packet[0]) * pct / 100 + 2000,
		              "p%g of %s: %lld instead of %lld, minimum %lld",
		              p[i], span, (long long)got, (long long)exact,
		              (long long)packet[0]);
	}
}

/* All packets are in the series, whatever the step. */
static void
check_series(const char *when)
{
	static const char *const step[] = {
	    "'10 s'",   "'1 minute'", "'5 minutes'", "'15 minutes'",
	    "'1 hour'", "'6 hours'",  "NULL"};
	static long long sent, lost;

	if (!sent) {
		sent = sql_number("SELECT sum(sent) FROM twmesh.result");
		lost = sql_number("SELECT sum(lost_fwd) FROM twmesh.result");
	}
	for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
		char sql[600];

		(void)snprintf(
		    sql, sizeof(sql),
		    "SELECT sum(s.value) FROM twmesh.path_series("
		    "'ams1', 'fra1', NULL, 'sent', "
		    "date_trunc('hour', now()) - interval '4 hours', "
		    "now() + interval '1 h', %s) s",
		    step[i]);
		ck_assert_msg(sql_number(sql) == sent, "%s, %s", when, step[i]);
		(void)snprintf(
		    sql, sizeof(sql),
		    "SELECT round(sum(s.value * n.value / 100)) FROM "
		    "twmesh.path_series('ams1', 'fra1', 'demo', "
		    "'loss_min_pct', date_trunc('hour', now()) - interval '4 "
		    "hours', now(), %s) s JOIN twmesh.path_series('ams1', "
		    "'fra1', 'demo', 'sent', date_trunc('hour', now()) - "
		    "interval '4 hours', now(), %s) n USING (ts)",
		    step[i], step[i]);
		ck_assert_msg(sql_number(sql) == lost, "%s, %s", when, step[i]);
	}
}

static void
drop_leaves(const char *like)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql),
	               "DO $$ DECLARE p text; BEGIN FOR p IN SELECT name FROM "
	               "twmesh_private.leaf WHERE parent LIKE '%s' LOOP "
	               "EXECUTE 'DROP TABLE twmesh.' || p; END LOOP; END $$",
	               like);
	sql_do(sql);
}

static void
check_refusals(void)
{
	static const char *const bad[][2] = {
	    {"'ams1', 'fra1', 'demo', 'colour', now() - interval '1 h', now()",
	     "no metric is named 'colour'"},
	    {"'ams9', 'fra1', 'demo', 'sent', now() - interval '1 h', now()",
	     "no node is named 'ams9'"},
	    {"'ams1', NULL, 'demo', 'sent', now() - interval '1 h', now()",
	     "no node is named NULL"},
	    {"'ams1', 'fra1', 'x''; DROP', 'sent', now() - interval '1 h', "
	     "now()",
	     "no class is named 'x''; DROP'"},
	    {"'ams1', 'fra1', 'demo', 'sent', now(), now()",
	     "expected t_from before t_to"},
	    {"'ams1', 'fra1', 'demo', 'sent', '-infinity', now()",
	     "expected t_from before t_to"},
	    {"'ams1', 'fra1', 'demo', 'sent', now() - interval '1 h', now(), "
	     "'0 s'",
	     "expected a step of"},
	    {"'ams1', 'fra1', 'demo', 'rtt_p1x_ms', now() - interval '1 h', "
	     "now()",
	     "no metric is named"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char sql[300];
		struct pgc_err e;

		(void)snprintf(sql, sizeof(sql),
		               "SELECT * FROM twmesh.path_series(%s)",
		               bad[i][0]);
		ck_assert(!pgc_exec(sql_conn, sql, &e));
		ck_assert_msg(strstr(e.text, bad[i][1]) != NULL, "%s", e.text);
	}
}

/* Readers may, and get as much as there is at every level. */
START_TEST(history_is_read_from_whatever_level_there_is)
{
	struct source s = {.box = &box, .id = ams, .dst = fra, .spool = 1};
	struct side side;

	rng_seed(&rng, 7);
	side_open(&side, ME);
	packets_wanted = true;
	for (int i = 0; i < 20; i++)
		send_results(&s, 3 * i);
	packets_wanted = false;
	drain_acks(&box, 20);
	percentile_sort(packet, packet_n);
	ck_assert_uint_gt(packet_n, 10000);
	sql_do("SET ROLE twmesh_reader");
	check_refusals();
	check_series("nothing rolled up");
	check_percentiles("2 hours", 4);
	side.r->grace_ns = 0;
	roll_all(&side);
	check_series("closed buckets rolled up");
	check_percentiles("6 hours", 10);
	side.r->grace_ns = -86400 * NS_PER_S;
	roll_all(&side);
	check_percentiles("3 days", 15);
	sql_do("RESET ROLE");
	/* Late rows of a day that is gone destroy nothing of it. */
	sql_do("UPDATE twmesh_private.bucket SET rows = rows + 1 WHERE step_s "
	       "= 300");
	drop_leaves("result%");
	roll_all(&side);
	sql_do("SET ROLE twmesh_reader");
	check_series("without results");
	check_percentiles("2 hours", 10);
	ck_assert_int_eq(
	    sql_number("SELECT sum(packets) FROM twmesh.path_histogram("
	               "'ams1', 'fra1', 'demo', now() - interval '6 h', "
	               "now(), '5 minutes', 20)"),
	    (long long)packet_n);
	ck_assert_int_eq(
	    sql_number("SELECT count(DISTINCT low_ms) FROM "
	               "twmesh.path_histogram('ams1', 'fra1', 'demo', now() - "
	               "interval '6 h', now(), '1 hour', 20)"),
	    20);
	sql_do("RESET ROLE");
	drop_leaves("rollup_5min");
	check_series("without 5 minutes");
	ck_assert_int_eq(sql_number("SELECT count(*) FROM "
	                            "twmesh.path_series('fra1', 'ams1', "
	                            "'demo', 'rtt_p999_ms', now() - interval "
	                            "'1 year', now())"),
	                 0);
	side_close(&side);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("rollup");
	TCase *t = tcase_create("rollup");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, rollups_are_the_truth_whatever_comes_between);
	tcase_add_test(t, history_is_read_from_whatever_level_there_is);
	suite_add_tcase(s, t);
	return s;
}

int
main(int argc, char **argv)
{
	return writerbox_main(argc, argv, suite);
}
