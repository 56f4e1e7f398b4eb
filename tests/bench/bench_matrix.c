/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the matrix of 1,000 nodes (999,000 directions, warm): milliseconds
 * at the client, binary, of the fast forms and of the readable view, each
 * beside its bar and as a ratio to the baseline: one array column of the
 * current state, read as it is. Median over the rounds.
 *
 * usage: bench_matrix [ROUNDS]; exit 1 when a bar is missed.
 */
#include "controller/migrate.h"
#include "lib/base/clock_read.h"
#include "lib/pg/pgc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES 1000
#define ROUNDS_MAX 101

static const struct question {
	const char *name, *sql;
	double bar_ms; /* 0: the baseline */
	long rows;
} questions[] = {
    {"matrix, one array as it is",
     "SELECT src_id, rtt_ms FROM twmesh_private.path_state", 0, NODES},
    {"matrix_metric rtt_ms", "SELECT * FROM twmesh.matrix_metric('rtt_ms')",
     100, NODES},
    {"matrix_metric loss_pct", "SELECT * FROM twmesh.matrix_metric('loss_pct')",
     100, NODES},
    {"site_matrix 20 x 20", "SELECT * FROM twmesh.site_matrix('rtt_ms')", 400,
     400},
    {"worst_paths 100", "SELECT * FROM twmesh.worst_paths(100)", 200, 100},
    {"matrix_to", "SELECT * FROM twmesh.matrix_to('node17', 'rtt_ms')", 10,
     NODES - 1},
    {"matrix_from", "SELECT * FROM twmesh.matrix_from('node17', 'rtt_ms')", 10,
     NODES - 1},
    {"incident_now, 10,000 critical",
     "SELECT count(*) FROM twmesh.incident_now()", 1000, 1},
    {"path_matrix by state",
     "SELECT state, count(*) FROM twmesh.path_matrix GROUP BY state", 2000, 2},
};
#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

/* A mesh that measures: one direction in 97 is critical. */
static const char fill[] =
    "INSERT INTO twmesh.site (name) SELECT 'site' || g FROM "
    "generate_series(1, 20) g;"
    "INSERT INTO twmesh.node (name, site_id, slot, slot_generation, addresses) "
    "SELECT 'node' || g, 1 + g % 20, g, 1, ARRAY[('10.' || g / 250 || '.' || "
    "g % 250 || '.1')::inet] FROM generate_series(1, 1000) g;"
    "INSERT INTO twmesh.class (name, version, family, dscp, size_octets, "
    "gap_ns, schedule, flows, interval_ms, loss_timeout_ms, ship_spread_ms) "
    "VALUES ('bench', 1, 0, 0, 128, 100000000, 'periodic', 1, 60000, 2000, "
    "3000);"
    "INSERT INTO twmesh_private.controller VALUES (gen_random_uuid(), 'h', 1, "
    "'x', now(), now() + interval '1 hour', NULL);"
    "INSERT INTO twmesh_private.node_live (node_id, instance_id, last_seen_at, "
    "hello_at) SELECT node_id, (SELECT instance_id FROM "
    "twmesh_private.controller), now() + interval '1 hour', now() FROM "
    "twmesh.node;"
    "INSERT INTO twmesh_private.path_state (src_id, class_id, updated_at, "
    "newest_measured_at, generation, behind_us, state_since, state, streak, "
    "flags, hops, thin_lost, thin_sent, sent, lost, lost_undet, epoch, "
    "delay_ms, jitter_ms, rtt_ms, rtt_p99_ms, clock_err_ms, state_why, "
    "lost_bwd, back_delay_ms, back_jitter_ms, fwd_min_ms, bwd_min_ms, "
    "loss_max_pct) "
    "SELECT n.node_id, 1, now() + interval '1 hour', now(), "
    "array_agg(CASE WHEN g = n.slot THEN 0 ELSE 1 END ORDER BY g), "
    "array_agg(CASE WHEN g <> n.slot THEN 0 END::bigint ORDER BY g), "
    "array_agg(CASE WHEN g <> n.slot THEN now() END ORDER BY g), "
    "array_agg(CASE WHEN g = n.slot THEN 0 WHEN (g * 7 + n.slot) % 97 = 0 "
    "THEN 2 ELSE 1 END::int2 ORDER BY g), "
    "array_fill(2::int2, ARRAY[1000]), array_fill(96::int2, ARRAY[1000]), "
    "array_agg(CASE WHEN g <> n.slot THEN 9 END::int2 ORDER BY g), "
    "array_fill(0, ARRAY[1000]), array_fill(0, ARRAY[1000]), "
    "array_agg(CASE WHEN g = n.slot THEN 0 ELSE 600 END ORDER BY g), "
    "array_agg(CASE WHEN (g * 7 + n.slot) % 97 = 0 THEN 100 ELSE 0 END "
    "ORDER BY g), "
    "array_fill(0, ARRAY[1000]), array_fill(1, ARRAY[1000]), "
    "array_agg(CASE WHEN g <> n.slot THEN random() * 100 END::real ORDER BY "
    "g), "
    "array_agg(CASE WHEN g <> n.slot THEN random() * 3 END::real ORDER BY g), "
    "array_agg(CASE WHEN g <> n.slot THEN random() * 200 END::real ORDER BY "
    "g), "
    "array_agg(CASE WHEN g <> n.slot THEN random() * 300 END::real ORDER BY "
    "g), "
    "array_fill(1::real, ARRAY[1000]), "
    "array_agg(CASE WHEN (g * 7 + n.slot) % 97 = 0 THEN '100 of 600 packets "
    "lost in each of 2 intervals' END ORDER BY g), "
    "array_fill(0, ARRAY[1000]), array_fill(10::real, ARRAY[1000]), "
    "array_fill(1::real, ARRAY[1000]), array_fill(9::real, ARRAY[1000]), "
    "array_fill(9::real, ARRAY[1000]), "
    "array_agg(CASE WHEN g = n.slot THEN NULL WHEN (g * 7 + n.slot) % 97 = 0 "
    "THEN 100.0 / 6 ELSE 0 END::real ORDER BY g) "
    "FROM twmesh.node n, generate_series(1, 1000) g GROUP BY n.node_id, "
    "n.slot;";

static _Noreturn void
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_matrix: %s: %s\n", what, why);
	exit(2);
}

static double
ask(struct pgc *db, size_t i)
{
	const struct question *q = &questions[i];
	struct mono t0 = clock_mono();
	struct pgc_rows *rows = NULL;
	struct pgc_err e;
	char name[16];
	int n;

	(void)snprintf(name, sizeof(name), "q%zu", i);
	if (!pgc_run(db, name, 0, NULL, true, &rows, NULL, &e))
		die(q->name, e.text);
	n = pgc_rows_n(rows);
	pgc_rows_free(rows);
	if (n != q->rows)
		die(q->name, "another number of rows than expected");
	return (double)mono_diff_ns(clock_mono(), t0) / 1e6;
}

static int
by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median_ms(struct pgc *db, size_t i, size_t rounds)
{
	double ms[ROUNDS_MAX];

	(void)ask(db, i);
	for (size_t r = 0; r < rounds; r++)
		ms[r] = ask(db, i);
	qsort(ms, rounds, sizeof(*ms), by_size);
	return ms[rounds / 2];
}

static bool
bench(struct pgc *db, size_t rounds)
{
	double base = 0;
	bool ok = true;

	for (size_t i = 0; i < QUESTIONS; i++) {
		const struct question *q = &questions[i];
		/* What takes seconds is asked less often. */
		double ms = median_ms(
		    db, i, q->bar_ms > 1000 ? (rounds + 3) / 4 : rounds);

		if (q->bar_ms == 0) {
			base = ms;
			printf("%s: %.1f ms\n", q->name, ms);
			continue;
		}
		printf("%s: %.1f ms (bar <= %.0f), %.2f of one array\n",
		       q->name, ms, q->bar_ms, ms / base);
		ok &= ms <= q->bar_ms;
	}
	return ok;
}

static struct pgc *
make_mesh(void)
{
	char err[500], name[16];
	struct pgc_err e;
	struct pgc *db;

	if (!migrate("", TEST_SRCDIR "/sql", err, sizeof(err)))
		die("migrate", err);
	db = pgc_open("", "bench", NULL, &e);
	if (!db || !pgc_exec(db, fill, &e) ||
	    !pgc_exec(db, "VACUUM ANALYZE", &e))
		die("making the mesh", e.text);
	for (size_t i = 0; i < QUESTIONS; i++) {
		(void)snprintf(name, sizeof(name), "q%zu", i);
		if (!pgc_prepare(db, name, questions[i].sql, &e))
			die(questions[i].name, e.text);
	}
	return db;
}

int
main(int argc, char **argv)
{
	unsigned long rounds = 9;
	struct pgc *db;
	bool ok;

	if (argc < 2 || strcmp(argv[1], "with-database") != 0) {
		execl(TEST_SRCDIR "/tests/bench/pg-private", "pg-private", "-s",
		      "shared_buffers = 512MB", "-s", "work_mem = 64MB",
		      argv[0], "with-database", argv[1], (char *)NULL);
		die("tests/bench/pg-private", "cannot be run");
	}
	if (argc > 2)
		rounds = strtoul(argv[2], NULL, 10);
	if (rounds < 1 || rounds > ROUNDS_MAX)
		die("usage: bench_matrix [ROUNDS]", "expected 1 to 101");
	db = make_mesh();
	ok = bench(db, rounds);
	pgc_close(db);
	return ok ? 0 : 1;
}
