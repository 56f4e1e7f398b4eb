/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ingest: rows per second that the writer commits (its real thread: digest,
 * decoding, judging, ledger, binary COPY, current state of a 1,000-node mesh,
 * COMMIT, acknowledgement; 10,000 rows per transaction), as a ratio to the
 * anchor: a bare binary COPY of the same rows and columns, encoded before,
 * into an unlogged table without index, 50,000 rows. Both in the same run, in
 * turns, on a cluster of its own with fsync on (tests/bench/pg-private).
 * usage: bench_ingest [ROUNDS]
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
#define SOURCES 100 /* that report in the measured rounds */
#define INTERVAL_NS (60 * NS_PER_S)
#define ANCHOR_ROWS 50000
#define BAR 0.50
#define HIST_BYTES 29 /* of 60 samples, limits of the design */

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
fill(uint32_t src, uint32_t class_id, struct wall start)
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
		rows[n++] = r;
	}
	return n;
}

static struct ask *
make_batch(uint32_t src, uint64_t seq, uint32_t class_id, struct wall start)
{
	struct ask *a = calloc(1, sizeof(*a));
	size_t n = fill(src, class_id, start);
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

/* Rows per second from the first letter to the last acknowledgement. */
static double
writer_round(struct writer *w, struct mailbox *bus, uint64_t seq,
             uint32_t class_id)
{
	struct ask *a[SOURCES];
	struct wall now = clock_wall();
	struct wall start = {now.ns - now.ns % INTERVAL_NS -
	                     INTERVAL_NS * (int64_t)(40 - seq)};
	size_t n = 0;
	struct mono t0;

	for (uint32_t i = 0; i < SOURCES; i++) {
		a[i] = make_batch(i + 1, seq, class_id, start);
		n += a[i]->u.batch.batch.rows;
	}
	t0 = clock_mono();
	for (uint32_t i = 0; i < SOURCES; i++) {
		if (!mailbox_put(writer_inbox(w), &a[i]->letter))
			die("bench_ingest: the inbox is full");
	}
	wait_for(bus, TELL_ACK, SOURCES);
	return (double)n * 1e9 / (double)mono_diff_ns(clock_mono(), t0);
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
		struct wbatch b = {.ask = make_batch(src, 1, class_id, start)};
		const char *field;

		if (batch_body_decode(b.ask->u.batch.batch.body,
		                      b.ask->u.batch.batch.body_len, &b.body,
		                      &field) != MSG_OK)
			die("bench_ingest: the batch does not decode");
		if (b.body.slice[0].n > left)
			b.body.slice[0].n = left;
		left -= b.body.slice[0].n;
		check(copy_rows(out, &b, &e), &e);
		b.body.slice[0].n = 0;
		batch_body_clear(&b.body);
		ask_free(b.ask);
	}
	check(pgcopy_end(out, NULL, &e), &e);
}

static double
anchor_round(struct pgc *db, const struct pgcopy *data, const char *sql)
{
	struct pgc_err e = {.position = 0};
	long n = 0;
	struct mono t0;

	check(pgc_exec(db, "TRUNCATE anchor", &e), &e);
	t0 = clock_mono();
	check(pgc_copy_begin(db, sql, &e) &&
	          pgc_copy_put(db, data->buf.p, data->buf.len, &e) &&
	          pgc_copy_end(db, NULL, &n, &e),
	      &e);
	if (n != ANCHOR_ROWS)
		die("bench_ingest: the anchor stored %ld rows", n);
	return (double)n * 1e9 / (double)mono_diff_ns(clock_mono(), t0);
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

static void
bench(struct pgc *db, size_t rounds)
{
	struct roster_class class_ = {.name = "bench",
	                              .size_octets = 128,
	                              .gap_ns = 100 * NS_PER_MS,
	                              .flows = 1,
	                              .interval_ns = INTERVAL_NS,
	                              .loss_timeout_ns = 2 * NS_PER_S};
	struct mailbox *bus = mailbox_new(8192), *web = mailbox_new(8192);
	struct writer_opts o = {.database = "",
	                        .class_ = &class_,
	                        .class_n = 1,
	                        .to_bus = bus,
	                        .to_web = web};
	struct pgcopy data = {.conn = NULL};
	double *got = calloc(2 * rounds, sizeof(double)), *anchor;
	char sql[COPY_SQL_MAX];
	struct writer *w;
	long long stored, bytes, wal;
	int columns, err;

	if (!bus || !web || !got)
		die("bench_ingest: out of memory");
	anchor = got + rounds;
	make_mesh(db);
	w = writer_start(&o, &err);
	if (!w)
		die("bench_ingest: %s", strerror(-err));
	wait_for(bus, TELL_ROSTER, 1);
	copy_sql("anchor", sql, &columns);
	encode_anchor(&data, sql, columns, 1);
	/* Warm up: state rows are read, files are made. */
	(void)writer_round(w, bus, 1, 1);
	(void)anchor_round(db, &data, sql);
	wal = number(db, "SELECT pg_current_wal_lsn() - '0/0'");
	stored = number(db, "SELECT count(*) FROM twmesh.result");
	for (size_t i = 0; i < rounds; i++) {
		wait_ms(300);
		anchor[i] = anchor_round(db, &data, sql);
		wait_ms(300);
		got[i] = writer_round(w, bus, i + 2, 1);
	}
	wal = number(db, "SELECT pg_current_wal_lsn() - '0/0'") - wal;
	stored = number(db, "SELECT count(*) FROM twmesh.result") - stored;
	bytes = number(db, "SELECT sum(pg_relation_size(inhrelid)) / (SELECT "
	                   "count(*) FROM twmesh.result) FROM pg_inherits "
	                   "WHERE inhparent = 'twmesh.result'::regclass");
	{
		double g, a, ratio[30];

		for (size_t i = 0; i < rounds; i++)
			ratio[i] = got[i] / anchor[i];
		g = median(got, rounds);
		a = median(anchor, rounds);
		printf("ingest: ratio %.2f (bar %.2f) writer %.0f k rows/s, "
		       "anchor %.0f k rows/s; %lld B WAL and %lld B heap per "
		       "row; %zu rounds of %d k rows\n",
		       median(ratio, rounds), BAR, g / 1e3, a / 1e3,
		       stored ? wal / stored : 0, bytes, rounds,
		       SOURCES * (NODES - 1) / 1000);
	}
	writer_stop(w);
	mailbox_free(bus, NULL);
	mailbox_free(web, NULL);
	pgcopy_clear(&data);
	free(got);
}

int
main(int argc, char **argv)
{
	char err[500];
	struct pgc_err e;
	struct pgc *db;
	long rounds;

	log_init("bench_ingest", LOG_LV_WARN);
	if (argc < 3 || strcmp(argv[1], "with-database") != 0) {
		execl(TEST_SRCDIR "/tests/bench/pg-private", "pg-private", "-s",
		      "shared_buffers = 512MB", "-s", "max_wal_size = 4GB",
		      argv[0], "with-database", argc > 1 ? argv[1] : "7",
		      (char *)NULL);
		die("tests/bench/pg-private: cannot be run");
	}
	rounds = strtol(argv[2], NULL, 10);
	if (rounds < 1 || rounds > 30)
		die("usage: bench_ingest [ROUNDS], 1 to 30");
	rng_seed(&rng, 1);
	if (!migrate("", TEST_SRCDIR "/sql", err, sizeof(err)))
		die("bench_ingest: %s", err);
	db = pgc_open("", "bench_ingest", NULL, &e);
	if (!db)
		die("bench_ingest: %s", e.text);
	check(pgc_exec(db, "CREATE UNLOGGED TABLE anchor (LIKE twmesh.result)",
	               &e),
	      &e);
	bench(db, (size_t)rounds);
	pgc_close(db);
	return 0;
}
