/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of the writer: a controller as its other threads see it, on a real
 * PostgreSQL. The program runs itself again under tests/bench/pg-private, which
 * makes a cluster in a temporary directory and removes it; every test starts
 * with a new database and two nodes, ams1 and fra1.
 */
#ifndef TWMESH_TESTS_WRITERBOX_H
#define TWMESH_TESTS_WRITERBOX_H

#include "controller/migrate.h"
#include "controller/writer.h"
#include "lib/base/clock_read.h"
#include "lib/base/rng.h"
#include "lib/pg/pgc.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SQL_DIR TEST_SRCDIR "/sql"
#define INTERVAL_NS (2 * NS_PER_S)
#define PATIENCE_MS 20000

static struct roster_class demo = {
    .name = "demo",
    .size_octets = 128,
    .gap_ns = 20 * NS_PER_MS,
    .schedule = SCHEDULE_PERIODIC,
    .flows = 1,
    .interval_ns = INTERVAL_NS,
    .loss_timeout_ns = NS_PER_S,
};

/* A controller as its other threads see it. */
struct box {
	struct mailbox *bus, *web;
	struct writer *w;
	uint64_t epoch;       /* of the last roster */
	struct roster roster; /* the last one */
	size_t rosters;
	size_t tokens;          /* that may pass the handshake */
	struct tell *kept[256]; /* other letters to the bus, in order */
	size_t kept_n;
};

static struct pgc *sql_conn;

static inline long long
sql_number(const char *sql)
{
	struct pgc_err e;
	char *text = NULL;
	long long n;

	ck_assert_msg(pgc_query_text(sql_conn, sql, 0, NULL, &text, &e),
	              "%s: %s", sql, e.text);
	n = text ? strtoll(text, NULL, 10) : -1;
	free(text);
	return n;
}

static inline bool
sql_is(const char *sql, const char *want)
{
	struct pgc_err e;
	char *text = NULL;
	bool same;

	ck_assert_msg(pgc_query_text(sql_conn, sql, 0, NULL, &text, &e),
	              "%s: %s", sql, e.text);
	same = text && strcmp(text, want) == 0;
	if (!same)
		printf("%s: '%s' instead of '%s'\n", sql,
		       text ? text : "(null)", want);
	free(text);
	return same;
}

static inline void
sql_do(const char *sql)
{
	struct pgc_err e;

	ck_assert_msg(pgc_exec(sql_conn, sql, &e), "%s: %s", sql, e.text);
}

/* The server says no, with this word. */
static inline void
sql_refused(const char *sql, const char *word)
{
	struct pgc_err e;
	char *text = NULL;

	ck_assert(!pgc_query_text(sql_conn, sql, 0, NULL, &text, &e));
	ck_assert_msg(strstr(e.text, word) != NULL, "%s: %s", sql, e.text);
}

static inline void
box_open_as(struct box *b, const char *database)
{
	struct writer_opts o = {
	    .database = database, .class_ = &demo, .class_n = 1};
	int err = 0;

	memset(b, 0, sizeof(*b));
	b->bus = o.to_bus = mailbox_new(4096);
	b->web = o.to_web = mailbox_new(4096);
	ck_assert_ptr_nonnull(b->bus);
	ck_assert_ptr_nonnull(b->web);
	b->w = writer_start(&o, &err);
	ck_assert_ptr_nonnull(b->w);
}

static inline void
box_open(struct box *b)
{
	box_open_as(b, "");
}

static inline void
drop_tell(struct letter *l)
{
	tell_free((struct tell *)(void *)l);
}

static inline void
box_close(struct box *b)
{
	writer_stop(b->w);
	for (size_t i = 0; i < b->kept_n; i++)
		tell_free(b->kept[i]);
	roster_clear(&b->roster);
	mailbox_free(b->bus, drop_tell);
	mailbox_free(b->web, drop_tell);
}

static inline void
box_pump(struct box *b)
{
	struct letter *l = mailbox_take_all(b->bus);

	while (l) {
		struct letter *next = l->next;
		struct tell *t = (struct tell *)(void *)l;

		if (t->kind == TELL_ROSTER) {
			roster_clear(&b->roster);
			b->roster = t->u.roster.roster;
			memset(&t->u.roster.roster, 0,
			       sizeof(t->u.roster.roster));
			ck_assert_uint_ge(b->roster.epoch, b->epoch);
			b->epoch = b->roster.epoch;
			b->rosters++;
			b->tokens = t->u.roster.token_n;
			tell_free(t);
		} else {
			ck_assert_uint_lt(b->kept_n, 256);
			b->kept[b->kept_n++] = t;
		}
		l = next;
	}
}

/* The next letter of a kind, in order; the caller frees. */
static inline struct tell *
box_wait(struct box *b, enum tell_kind kind)
{
	for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
		box_pump(b);
		for (size_t i = 0; i < b->kept_n; i++) {
			struct tell *t = b->kept[i];

			if (t->kind != kind)
				continue;
			memmove(&b->kept[i], &b->kept[i + 1],
			        (b->kept_n - i - 1) * sizeof(t));
			b->kept_n--;
			return t;
		}
		(void)poll(NULL, 0, 10);
	}
	ck_abort_msg("no letter of kind %d", (int)kind);
	return NULL;
}

static inline void
box_put(struct box *b, struct ask *a)
{
	ck_assert(mailbox_put(writer_inbox(b->w), &a->letter));
}

static inline struct ask *
ask_new(enum ask_kind kind)
{
	struct ask *a = calloc(1, sizeof(*a));

	ck_assert_ptr_nonnull(a);
	a->kind = kind;
	return a;
}

static inline struct id16
id_of(uint8_t n)
{
	struct id16 id = {{0}};

	id.b[0] = n;
	return id;
}

static inline void
say_hello(struct box *b, const char *name, uint8_t key, uint8_t spool)
{
	struct ask *a = ask_new(ASK_HELLO);
	struct ask_hello *h = &a->u.hello;

	memset(h->key, key, KEY_BYTES);
	ck_assert(addr_parse_ip("127.0.0.1", 0, &h->observed));
	ck_assert(addr_parse_ip("127.0.1.9", 8862, &h->hello.address[0]));
	ck_assert(addr_parse_ip("192.0.2.9", 8862, &h->hello.address[1]));
	h->hello.address[0].u.v4.sin_addr.s_addr = htonl(0x7f000100U + key);
	h->hello.address_n = 2;
	h->hello.reflector_port = 8862;
	h->first_use_ok = true;
	(void)snprintf(h->hello.name, sizeof(h->hello.name), "%s", name);
	(void)snprintf(h->hello.software, sizeof(h->hello.software), "test");
	h->hello.spool_id = id_of(spool);
	box_put(b, a);
}

/* The id; 0: refused. */
static inline uint32_t
join(struct box *b, const char *name, uint8_t key, uint8_t spool)
{
	struct tell *t;
	uint32_t id;

	say_hello(b, name, key, spool);
	t = box_wait(b, TELL_HELLO);
	id = t->u.hello.accepted ? t->u.hello.node_id : 0;
	if (!id)
		ck_assert_str_ne(t->u.hello.reason, "");
	tell_free(t);
	return id;
}

static inline struct wall
interval_before(int n)
{
	int64_t ns = clock_wall().ns;

	return (struct wall){ns - ns % INTERVAL_NS - n * INTERVAL_NS};
}

static inline void
result_fill(struct result *r, uint32_t dst, uint32_t class_id, struct wall at,
            int64_t sent, int64_t lost)
{
	memset(r, 0, sizeof(*r));
	r->dst_id = dst;
	r->class_id = class_id;
	r->epoch = 1;
	r->start = at;
	r->interval_ns = INTERVAL_NS;
	for (int m = 1; m < METRIC_N; m++)
		r->v[m] = 0;
	r->v[METRIC_SCHEDULED] = r->v[METRIC_SENT] = sent;
	r->v[METRIC_LOST] = r->v[METRIC_LOST_FWD] = lost;
	r->v[METRIC_RECEIVED] = sent - lost;
	r->v[METRIC_RTT_MEAN] = 1500000;
	r->v[METRIC_RTT_P99] = METRIC_NULL;
	r->v[METRIC_SPAN] = INTERVAL_NS;
	r->hist_len = 3;
	memcpy(r->rtt_hist, "\1\2\3", 3);
}

static inline struct ask *
batch_of(uint32_t node, uint8_t spool, uint64_t seq, const struct result *r,
         size_t n)
{
	struct ask *a = ask_new(ASK_BATCH);
	struct ask_batch *x = &a->u.batch;
	const struct result *p[64];
	const struct batch_input in = {.result = p, .result_n = n};

	ck_assert_uint_le(n, 64);
	for (size_t i = 0; i < n; i++)
		p[i] = &r[i];
	x->node_id = node;
	x->clock_offset_ns = NS_UNKNOWN;
	x->received = clock_wall();
	x->batch.spool_id = id_of(spool);
	x->batch.seq = seq;
	x->batch.rows = (uint32_t)n;
	ck_assert(batch_body_encode(&in, &x->batch.body, &x->batch.body_len));
	batch_digest(x->batch.body, x->batch.body_len, x->batch.digest);
	return a;
}

static inline enum ack_status
store(struct box *b, struct ask *a, char reason[REASON_MAX])
{
	struct tell *t;
	enum ack_status s;

	box_put(b, a);
	t = box_wait(b, TELL_ACK);
	s = t->u.ack.status;
	if (reason)
		memcpy(reason, t->u.ack.reason, REASON_MAX);
	tell_free(t);
	return s;
}

/* The answer to what web asks; the caller frees. */
static inline struct tell *
administer(struct box *b, struct ask *a)
{
	box_put(b, a);
	for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
		struct letter *l;

		while ((l = mailbox_take(b->web)) != NULL) {
			struct tell *t = (struct tell *)(void *)l;

			if (t->kind == TELL_ADMIN)
				return t;
			tell_free(t);
		}
		(void)poll(NULL, 0, 10);
	}
	ck_abort_msg("no answer");
	return NULL;
}

/* The HTTP status. */
static inline int
remove_by_name(struct box *b, const char *name)
{
	struct ask *a = ask_new(ASK_REMOVE);
	struct tell *t;
	int status;

	(void)snprintf(a->u.remove.name, sizeof(a->u.remove.name), "%s", name);
	t = administer(b, a);
	status = t->u.admin.status;
	tell_free(t);
	return status;
}

static inline uint32_t
class_id(void)
{
	return (uint32_t)sql_number(
	    "SELECT class_id FROM twmesh.class WHERE retired_at IS NULL");
}

/* Every test starts with a new database and two nodes, ams1 and fra1. */
static struct box box;
static uint32_t ams, fra, cls;

static inline void
set_up(void)
{
	char err[500];
	struct pgc_err e;

	sql_conn = pgc_open("", "test", NULL, &e);
	ck_assert_msg(sql_conn != NULL, "%s", e.text);
	/* What a failed test left. */
	sql_do("DROP SCHEMA IF EXISTS twmesh_private CASCADE; "
	       "DROP SCHEMA IF EXISTS twmesh CASCADE");
	ck_assert_msg(migrate("", SQL_DIR, err, sizeof(err)), "%s", err);
	box_open(&box);
	ams = join(&box, "ams1", 1, 1);
	fra = join(&box, "fra1", 2, 2);
	ck_assert_uint_ne(ams, 0);
	ck_assert_uint_ne(fra, 0);
	cls = class_id();
}

static inline void
tear_down(void)
{
	box_close(&box);
	sql_do(
	    "DROP SCHEMA twmesh_private CASCADE; DROP SCHEMA twmesh CASCADE");
	pgc_close(sql_conn);
}

/* What main() does. */
static inline int
writerbox_main(int argc, char **argv, Suite *(*suite)(void))
{
	SRunner *r;
	int failed;

	if (argc < 2 || strcmp(argv[1], "with-database") != 0) {
		execl(TEST_SRCDIR "/tests/bench/pg-private", "pg-private", "-s",
		      "fsync = off", argv[0], "with-database", (char *)NULL);
		perror("tests/bench/pg-private");
		return 1;
	}
	r = srunner_create(suite());
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}

#endif
