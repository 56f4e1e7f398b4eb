/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ingest: rows per second that the writer commits (its real thread: digest,
 * decoding, judging, ledger, binary COPY, current state of a 1,000-node mesh,
 * COMMIT, acknowledgement), at 10,000 and at 1,000 rows per transaction, as a
 * ratio to the anchor: a bare binary COPY of the same rows and columns, encoded
 * before, into an unlogged table without index, 50,000 rows. Both in the same
 * run, in turns, each round of the writer between two of the anchor, on a
 * cluster of its own with fsync on (tests/bench/pg-private); the ratio is the
 * median over the rounds. CPU time of the two server processes is told beside:
 * it moves less than the clock does when the machine has other work.
 *
 * usage: bench_ingest [ROUNDS]; exit 1 below a bar.
 */
#include "controller/copy.h"
#include "controller/migrate.h"
#include "controller/writer.h"
#include "lib/base/clock_read.h"
#include "lib/base/log.h"
#include "lib/base/metric.h"
#include "lib/base/rng.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES 1000
#define ROUNDS_MAX 50
#define INTERVAL_NS (60 * NS_PER_S)
#define ANCHOR_ROWS 50000
#define BAR_BYTES 150 /* of heap, for the small row */
#define HIST_BYTES 29 /* of 60 samples, limits of the design */

/* A way to run the writer. */
static const struct mode {
	const char *name;
	size_t batch_rows; /* of a transaction; a batch has 999 */
	uint32_t sources;  /* that report in a round, a batch each */
	double bar;
	bool details; /* of a class that keeps them: two rows for each */
} modes[] = {
    {"10,000 rows per transaction", 10000, 100, 0.50, false},
    {"1,000 rows per transaction", 1000, 40, 0.30, false},
    {"10,000 rows, with details", 10000, 100, 0, true},
};
#define MODES (sizeof(modes) / sizeof(modes[0]))

struct bench {
	struct pgc *db;
	struct mailbox *bus, *web;
	struct pgcopy data; /* the anchor's rows, encoded */
	char sql[COPY_SQL_MAX];
	uint64_t seq; /* of the last round of batches */
};

/* What a round did. */
struct took {
	double rows_per_s, cpu_us; /* per row, of its server process */
};

static struct rng rng;
static struct result row[NODES];
static const struct result *rows[NODES];

static void
check(bool ok, const struct pgc_err *e)
{
	if (!ok)
		die("bench_ingest: %s", e->text);
}

static int64_t
near_ns(int64_t mean)
{
	return mean + (int64_t)(rng_unit(&rng) * (double)mean / 4);
}

/* A minute of one source: every metric is there, as in a healthy mesh. */
static size_t
fill(uint32_t src, uint32_t class_id, struct wall start, bool details)
{
	size_t n = 0;

	for (uint32_t dst = 1; dst <= NODES; dst++) {
		struct result *r = &row[n];

		if (dst == src)
			continue;
		r->dst_id = dst;
		r->class_id = class_id;
		r->epoch = 1;
		r->start = start;
		r->interval_ns = INTERVAL_NS;
		for (unsigned m = 1; m < METRIC_N; m++) {
			const struct metric_info *i = metric_info(m);

			r->v[m] = i->type == METRIC_DURATION
			              ? near_ns(20 * NS_PER_MS)
			              : 0;
		}
		r->v[METRIC_SCHEDULED] = r->v[METRIC_SENT] = 600;
		r->v[METRIC_RECEIVED] = 600;
		if (rng_u64(&rng) % 100 == 0) { /* one path in 100 loses */
			r->v[METRIC_LOST] = r->v[METRIC_LOST_FWD] = 3;
			r->v[METRIC_RECEIVED] = 597;
		}
		r->v[METRIC_FWD_HOPS] = r->v[METRIC_BWD_HOPS] = 12;
		r->v[METRIC_SPAN] = INTERVAL_NS;
		r->hist_len = HIST_BYTES;
		for (size_t k = 0; k < HIST_BYTES; k++)
			r->rtt_hist[k] = (uint8_t)rng_u64(&rng);
		r->rtt_hist[0] = 1;
		r->fwd_hist_len = r->bwd_hist_len = details ? HIST_BYTES : 0;
		memcpy(r->fwd_hist, r->rtt_hist, HIST_BYTES);
		memcpy(r->bwd_hist, r->rtt_hist, HIST_BYTES);
		rows[n++] = r;
	}
	return n;
}

static struct ask *
make_batch(uint32_t src, uint64_t seq, uint32_t class_id, struct wall start,
           bool details)
{
	struct ask *a = calloc(1, sizeof(*a));
	size_t n = fill(src, class_id, start, details);
	const struct batch_input in = {.result = rows, .result_n = n};

	if (!a)
		die("bench_ingest: out of memory");
	a->kind = ASK_BATCH;
	a->u.batch.node_id = src;
	a->u.batch.clock_offset_ns = 0;
	a->u.batch.received = clock_wall();
	a->u.batch.batch.spool_id.b[0] = (uint8_t)src;
	a->u.batch.batch.seq = seq;
	a->u.batch.batch.rows = (uint32_t)n;
	if (!batch_body_encode(&in, &a->u.batch.batch.body,
	                       &a->u.batch.batch.body_len))
		die("bench_ingest: out of memory");
	batch_digest(a->u.batch.batch.body, a->u.batch.batch.body_len,
	             a->u.batch.batch.digest);
	return a;
}

/* CPU time that a server process has used. */
static double
cpu_us(long long pid)
{
	char path[64], line[64] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%lld/schedstat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		die("bench_ingest: %s cannot be read", path);
	(void)fclose(f);
	return strtod(line, NULL) / 1e3;
}

static void
wait_ms(int ms)
{
	(void)poll(NULL, 0, ms);
}

static void
wait_for(struct mailbox *box, enum tell_kind kind, size_t n)
{
	while (n > 0) {
		struct letter *l = mailbox_take(box);
		struct tell *t = (struct tell *)(void *)l;

		if (!l) {
			struct pollfd p = {.fd = mailbox_fd(box),
			                   .events = POLLIN};

			if (poll(&p, 1, 60000) == 0)
				die("bench_ingest: the writer does not answer");
			continue;
		}
		if (t->kind == TELL_ACK && t->u.ack.status != ACK_STORED)
			die("bench_ingest: a batch was not stored: %s",
			    t->u.ack.reason);
		n -= t->kind == kind;
		tell_free(t);
	}
}

/* From the first letter to the last acknowledgement. */
static struct took
writer_round(struct bench *b, struct writer *w, const struct mode *mode,
             long long server)
{
	struct ask **a = calloc(mode->sources, sizeof(struct ask *));
	struct wall now = clock_wall();
	struct wall start = {now.ns - now.ns % INTERVAL_NS -
	                     INTERVAL_NS * (int64_t)(200 - ++b->seq)};
	double n = 0, cpu;
	struct mono t0;
	struct took t;

	if (!a)
		die("bench_ingest: out of memory");
	for (uint32_t i = 0; i < mode->sources; i++) {
		a[i] = make_batch(i + 1, b->seq, 1, start, mode->details);
		n += a[i]->u.batch.batch.rows;
	}
	cpu = cpu_us(server);
	t0 = clock_mono();
	for (uint32_t i = 0; i < mode->sources; i++) {
		if (!mailbox_put(writer_inbox(w), &a[i]->letter))
			die("bench_ingest: the inbox is full");
	}
	wait_for(b->bus, TELL_ACK, mode->sources);
	t.rows_per_s = n * 1e9 / (double)mono_diff_ns(clock_mono(), t0);
	t.cpu_us = (cpu_us(server) - cpu) / n;
	free(a);
	return t;
}

/* The same rows, encoded once. */
static void
encode_anchor(struct pgcopy *out, const char *sql, int columns,
              uint32_t class_id)
{
	struct pgc_err e = {.position = 0};
	struct wall start = {clock_wall().ns / INTERVAL_NS * INTERVAL_NS};
	size_t left = ANCHOR_ROWS;

	check(pgcopy_begin(out, NULL, sql, columns, &e), &e);
	for (uint32_t src = 1; left > 0; src++) {
		struct wbatch b = {
		    .ask = make_batch(src, 1, class_id, start, false)};
		const char *field;

		if (batch_body_decode(b.ask->u.batch.batch.body,
		                      b.ask->u.batch.batch.body_len, &b.body,
		                      &field) != MSG_OK)
			die("bench_ingest: the batch does not decode");
		if (b.body.slice[0].n > left)
			b.body.slice[0].n = left;
		left -= b.body.slice[0].n;
		check(copy_slice(out, &b, 0, 0, &e), &e);
		b.body.slice[0].n = 0;
		batch_body_clear(&b.body);
		ask_free(b.ask);
	}
	check(pgcopy_end(out, NULL, &e), &e);
}

static struct took
anchor_round(struct bench *b, long long server)
{
	struct pgc_err e = {.position = 0};
	long n = 0;
	double cpu;
	struct mono t0;
	struct took t;

	check(pgc_exec(b->db, "TRUNCATE anchor", &e), &e);
	cpu = cpu_us(server);
	t0 = clock_mono();
	check(pgc_copy_begin(b->db, b->sql, &e) &&
	          pgc_copy_put(b->db, b->data.buf.p, b->data.buf.len, &e) &&
	          pgc_copy_end(b->db, NULL, &n, &e),
	      &e);
	if (n != ANCHOR_ROWS)
		die("bench_ingest: the anchor stored %ld rows", n);
	t.rows_per_s = (double)n * 1e9 / (double)mono_diff_ns(clock_mono(), t0);
	t.cpu_us = (cpu_us(server) - cpu) / (double)n;
	return t;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static long long
number(struct pgc *db, const char *sql)
{
	struct pgc_err e;
	char *text = NULL;
	long long n;

	check(pgc_query_text(db, sql, 0, NULL, &text, &e), &e);
	n = text ? strtoll(text, NULL, 10) : 0;
	free(text);
	return n;
}

static void
make_mesh(struct pgc *db)
{
	struct pgc_err e;

	check(pgc_exec(
	          db,
	          "INSERT INTO twmesh.node (name, slot, slot_generation, "
	          "addresses) SELECT 'n' || i, i, 1, ARRAY['127.0.0.1'::inet] "
	          "FROM generate_series(1, 1000) i ORDER BY i;"
	          "INSERT INTO twmesh_private.node_live (node_id, "
	          "last_seen_at) SELECT node_id, now() FROM twmesh.node;"
	          "INSERT INTO twmesh.epoch (epoch, reason) VALUES (1, "
	          "'bench')",
	          &e),
	      &e);
}

/* A server that has been running for a while has touched all of its shared
 * buffers, and recycles its WAL files: a new one makes each anew, 16 MB of
 * zeros and a sync. */
static void
age_server(struct pgc *db)
{
	struct pgc_err e;

	check(pgc_exec(db,
	               "CREATE UNLOGGED TABLE filler AS SELECT repeat('x', "
	               "1900) FROM generate_series(1, 270000)",
	               &e) &&
	          pgc_exec(db, "DROP TABLE filler", &e),
	      &e);
	for (int i = 0; i < 24; i++) {
		check(pgc_exec(
		          db, "SELECT pg_logical_emit_message(false, 'x', 'x')",
		          &e) &&
		          pgc_exec(db, "SELECT pg_switch_wal()", &e),
		      &e);
	}
	check(pgc_exec(db, "CHECKPOINT", &e), &e);
}

static bool
report(const struct mode *mode, const struct took *writer,
       const struct took *anchor, size_t rounds)
{
	double ratio[ROUNDS_MAX], got[ROUNDS_MAX], cpu[ROUNDS_MAX],
	    bare[ROUNDS_MAX], bare_cpu[ROUNDS_MAX], r;

	for (size_t i = 0; i < rounds; i++) {
		got[i] = writer[i].rows_per_s;
		cpu[i] = writer[i].cpu_us;
		bare[i] = (anchor[i].rows_per_s + anchor[i + 1].rows_per_s) / 2;
		bare_cpu[i] = anchor[i].cpu_us;
		ratio[i] = got[i] / bare[i];
	}
	r = median(ratio, rounds);
	printf("ingest, %s: ratio %.2f (bar >= %.2f); writer %.0f k rows/s, "
	       "anchor %.0f k rows/s; server CPU per row %.2f us, anchor "
	       "%.2f us; %zu rounds\n",
	       mode->name, r, mode->bar, median(got, rounds) / 1e3,
	       median(bare, rounds) / 1e3, median(cpu, rounds),
	       median(bare_cpu, rounds), rounds);
	return r >= mode->bar;
}

static bool
run(struct bench *b, const struct mode *mode, size_t rounds)
{
	struct roster_class class_ = {.name = "bench",
	                              .size_octets = 128,
	                              .gap_ns = 100 * NS_PER_MS,
	                              .flows = 1,
	                              .interval_ns = INTERVAL_NS,
	                              .loss_timeout_ns = 2 * NS_PER_S};
	struct writer_opts o = {.database = "",
	                        .class_ = &class_,
	                        .class_n = 1,
	                        .batch_rows = mode->batch_rows,
	                        .to_bus = b->bus,
	                        .to_web = b->web};
	struct took got[ROUNDS_MAX], anchor[ROUNDS_MAX + 1];
	long long self = number(b->db, "SELECT pg_backend_pid()"), server;
	struct writer *w;
	int err;

	w = writer_start(&o, &err);
	if (!w)
		die("bench_ingest: %s", strerror(-err));
	wait_for(b->bus, TELL_ROSTER, 1);
	server = number(b->db, "SELECT pid FROM pg_stat_activity WHERE "
	                       "application_name LIKE '%controller writer'");
	/* Warm up: state rows are read, files are made. */
	(void)writer_round(b, w, mode, server);
	(void)anchor_round(b, self);
	for (size_t i = 0; i < rounds; i++) {
		wait_ms(100);
		anchor[i] = anchor_round(b, self);
		wait_ms(100);
		got[i] = writer_round(b, w, mode, server);
	}
	anchor[rounds] = anchor_round(b, self);
	writer_stop(w);
	return report(mode, got, anchor, rounds);
}

/* Heap and index of a row of details. */
static void
report_details(struct pgc *db)
{
	long long stored = number(db, "SELECT count(*) FROM "
	                              "twmesh.result_detail");

	if (stored <= 0)
		return;
	printf("row of details: %lld B of heap, %lld B of index\n",
	       number(db, "SELECT sum(pg_relation_size(inhrelid)) FROM "
	                  "pg_inherits WHERE inhparent = "
	                  "'twmesh.result_detail'::regclass") /
	           stored,
	       number(db, "SELECT sum(pg_indexes_size(inhrelid)) FROM "
	                  "pg_inherits WHERE inhparent = "
	                  "'twmesh.result_detail'::regclass") /
	           stored);
}

/* WAL and heap of what was stored since `wal` was read. */
static bool
report_row(struct pgc *db, long long wal)
{
	long long stored = number(db, "SELECT count(*) FROM twmesh.result");
	long long bytes =
	    number(db, "SELECT sum(pg_relation_size(inhrelid)) FROM "
	               "pg_inherits WHERE inhparent = "
	               "'twmesh.result'::regclass");

	wal = number(db, "SELECT pg_current_wal_lsn() - '0/0'") - wal;
	if (stored == 0)
		die("bench_ingest: nothing was stored");
	printf("ingest, row: %lld B of heap (bar <= %d), with a histogram of "
	       "%d B; %lld B "
	       "of WAL, ledger and state included\n",
	       bytes / stored, BAR_BYTES, HIST_BYTES, wal / stored);
	return bytes / stored <= BAR_BYTES;
}

static bool
bench(struct pgc *db, size_t rounds)
{
	struct bench b = {
	    .db = db, .bus = mailbox_new(8192), .web = mailbox_new(8192)};
	int columns;
	long long wal;
	bool ok = true;

	if (!b.bus || !b.web)
		die("bench_ingest: out of memory");
	make_mesh(db);
	copy_sql("anchor", b.sql, &columns);
	encode_anchor(&b.data, b.sql, columns, 1);
	age_server(db);
	wal = number(db, "SELECT pg_current_wal_lsn() - '0/0'");
	for (size_t i = 0; i < MODES && !modes[i].details; i++)
		ok &= run(&b, &modes[i], rounds);
	ok &= report_row(db, wal);
	for (size_t i = 0; i < MODES; i++)
		ok &= !modes[i].details || run(&b, &modes[i], rounds);
	report_details(db);
	mailbox_free(b.bus, NULL);
	mailbox_free(b.web, NULL);
	pgcopy_clear(&b.data);
	return ok;
}

int
main(int argc, char **argv)
{
	char err[500];
	struct pgc_err e;
	struct pgc *db;
	long rounds;
	bool ok;

	log_init("bench_ingest", LOG_LV_WARN);
	if (argc < 3 || strcmp(argv[1], "with-database") != 0) {
		execl(TEST_SRCDIR "/tests/bench/pg-private", "pg-private", "-s",
		      "shared_buffers = 512MB", "-s", "max_wal_size = 4GB",
		      "-s", "min_wal_size = 1GB", argv[0], "with-database",
		      argc > 1 ? argv[1] : "15", (char *)NULL);
		die("tests/bench/pg-private: cannot be run");
	}
	rounds = strtol(argv[2], NULL, 10);
	if (rounds < 1 || rounds > ROUNDS_MAX)
		die("usage: bench_ingest [ROUNDS], 1 to %d", ROUNDS_MAX);
	rng_seed(&rng, 1);
	if (!migrate("", TEST_SRCDIR "/sql", err, sizeof(err)))
		die("bench_ingest: %s", err);
	db = pgc_open("", "bench_ingest", NULL, &e);
	if (!db)
		die("bench_ingest: %s", e.text);
	check(pgc_exec(db, "CREATE UNLOGGED TABLE anchor (LIKE twmesh.result)",
	               &e),
	      &e);
	ok = bench(db, (size_t)rounds);
	pgc_close(db);
	return !ok;
}
