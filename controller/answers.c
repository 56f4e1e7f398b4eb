/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/answers.h"

#include "lib/base/clock_read.h"
#include "lib/base/log.h"
#include "lib/base/metric.h"
#include "lib/base/rng.h"
#include "lib/pg/pgc.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRESH_NS (500 * NS_PER_MS)
#define ENTRIES_MAX 64
#define KEY_MAX 512
#define GZIP_FROM 1024         /* below it a packet is a packet anyway */
#define REST_NS (2 * NS_PER_S) /* after a failure of the reader */
#define READER_STATEMENT_MS 3000

struct entry {
	char key[KEY_MAX];        /* kind and arguments; "": free */
	int status;               /* 200 or 404 */
	struct blob *body, *gzip; /* owned */
	char etag[ANSWER_ETAG_MAX];
	struct mono made, used;
	bool old;     /* something was changed since */
	bool patched; /* body says that the database is away */
};

struct answers {
	const char *database; /* borrowed */
	struct pgc *pg;       /* owned; NULL while not connected */
	bool writer_ok; /* true too until the writer says the first word */
	bool reader_ok; /* the last query was answered */
	struct wall away_since; /* valid while either is false */
	struct mono rest_until; /* no query before */
	char reason[PGC_TEXT_MAX];
	struct log_limit log;
	struct entry entry[ENTRIES_MAX];
};

static const struct {
	const char *sql;
	int args;
} query[] = {
    [ANSWER_MATRIX] = {"select twmesh.api_matrix($1::text)", 1},
    [ANSWER_NODES] = {"select twmesh.api_nodes()", 0},
    [ANSWER_PATH] = {"select twmesh.api_path($1::text, $2::text, $3::text, "
                     "$4::double precision)",
                     4},
    [ANSWER_TOKENS] = {"select twmesh.api_tokens()", 0},
    /* since: an instant, or else so many seconds ago */
    [ANSWER_OUTAGES] = {"select twmesh.api_outages($1::text, $2::text, "
                        "$3::text, $4::double precision, "
                        "coalesce($5::timestamptz, statement_timestamp() - "
                        "$6::double precision * interval '1 s'), "
                        "$7::integer)",
                        7},
    [ANSWER_EVIDENCE] = {"select twmesh.api_evidence($1::text)", 1},
    [ANSWER_PLAN] = {"select twmesh.api_plan()", 0},
    [ANSWER_INCIDENTS] = {"select twmesh.api_incidents($1::text, "
                          "coalesce($2::timestamptz, statement_timestamp() - "
                          "$3::double precision * interval '1 s'), "
                          "$4::integer)",
                          4},
    [ANSWER_DB_SIZE] = {"select twmesh.api_db_size($1::integer, $2::integer, "
                        "$3::integer)",
                        3},
};

struct answers *
answers_new(const char *database)
{
	struct answers *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->database = database;
	a->writer_ok = true; /* the first query finds out */
	a->away_since = clock_wall();
	(void)snprintf(a->reason, sizeof(a->reason), "connecting");
	return a;
}

static void
entry_clear(struct entry *e)
{
	blob_unref(e->body);
	blob_unref(e->gzip);
	*e = (struct entry){.status = 0};
}

void
answers_free(struct answers *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < ENTRIES_MAX; i++)
		entry_clear(&a->entry[i]);
	pgc_close(a->pg);
	free(a);
}

void
answers_database(struct answers *a, bool ok, struct wall since,
                 const char *reason)
{
	if (!ok) {
		a->away_since = since;
		(void)snprintf(a->reason, sizeof(a->reason), "%s", reason);
	} else if (!a->writer_ok) {
		/* A connection from before is dead, or soon found to be. */
		pgc_close(a->pg);
		a->pg = NULL;
		a->rest_until = (struct mono){0};
		a->reader_ok = true; /* until a query says otherwise */
	}
	a->writer_ok = ok;
}

bool
answers_database_ok(const struct answers *a)
{
	return a->writer_ok && a->reader_ok;
}

bool
answers_writer_ok(const struct answers *a)
{
	return a->writer_ok;
}

/* From p to just behind the next `close`, or to the end. */
static const char *
skip_behind(const char *p, const char *end, char close)
{
	const char *q = memchr(p, close, (size_t)(end - p));

	return q ? q + 1 : end;
}

void
answers_etag(const char *json, size_t len, char out[ANSWER_ETAG_MAX])
{
	/* Two fixed keys: an ETag says "the same", it guards nothing. */
	static const struct hash_key k = {0x74776d657368, 0x65746167};
	static const char at[] = "\"at\"", age[] = "\"age_s\"";
	const char *p = json, *end = json + len;
	uint64_t h = 0;

	while (p < end) {
		const char *q = memmem(p, (size_t)(end - p), at, 4);
		const char *r = memmem(p, (size_t)(end - p), age, 7);
		const char *stop = q && (!r || q < r) ? q : r;
		const char *upto = stop ? stop : end;

		h = hash_bytes(p, (size_t)(upto - p),
		               (struct hash_key){k.k0 ^ h, k.k1});
		if (!stop)
			break;
		if (stop == q) /* "at":"..." */
			p = skip_behind(skip_behind(q + 4, end, '"'), end, '"');
		else /* "age_s":[...] */
			p = skip_behind(r + 7, end, ']');
	}
	(void)snprintf(out, ANSWER_ETAG_MAX, "W/\"%016" PRIx64 "\"", h);
}

/* Takes over `body` (may be NULL: out of memory). */
static void
entry_fill(struct entry *e, int status, struct blob *body, struct mono now)
{
	blob_unref(e->body);
	blob_unref(e->gzip);
	e->gzip = NULL;
	e->etag[0] = '\0';
	e->patched = e->old = false;
	e->status = status;
	e->body = body;
	e->made = now;
	if (!body)
		return;
	if (body->len > GZIP_FROM)
		e->gzip = blob_gzip(body);
	answers_etag((const char *)body->b, body->len, e->etag);
}

static bool
make_key(char *key, enum answer_kind kind,
         const char *const arg[ANSWER_ARGS_MAX])
{
	size_t n = (size_t)snprintf(key, KEY_MAX, "%d", (int)kind);

	for (int i = 0; i < query[kind].args; i++) {
		/* '\1' cannot occur in an argument: they are checked text. */
		int k = snprintf(key + n, KEY_MAX - n, "\1%s",
		                 arg[i] ? arg[i] : "\2");

		if (k < 0 || (size_t)k >= KEY_MAX - n)
			return false;
		n += (size_t)k;
	}
	return true;
}

static struct entry *
find_entry(struct answers *a, const char *key)
{
	struct entry *oldest = &a->entry[0];

	for (size_t i = 0; i < ENTRIES_MAX; i++) {
		struct entry *e = &a->entry[i];

		if (strcmp(e->key, key) == 0)
			return e;
		if (mono_diff_ns(e->used, oldest->used) < 0)
			oldest = e;
	}
	entry_clear(oldest);
	memcpy(oldest->key, key, strlen(key) + 1);
	return oldest;
}

static void
reader_failed(struct answers *a, const struct pgc_err *err, struct mono now)
{
	uint64_t held;

	if (a->reader_ok && a->writer_ok)
		a->away_since = clock_wall();
	a->reader_ok = false;
	a->rest_until = mono_add_ns(now, REST_NS);
	(void)snprintf(a->reason, sizeof(a->reason), "%s", err->text);
	if (log_limit_ok(&a->log, now, &held))
		log_warn("web: the database does not answer: %s", err->text);
	if (a->pg && !pgc_ok(a->pg)) {
		pgc_close(a->pg);
		a->pg = NULL;
	}
}

/* The server did not like this one question, and is well: its data (400), or
 * too much was asked for (503). The rest of the page goes on. 0: neither, or
 * one whose arguments cannot be at fault. */
static int
question_refused(struct answers *a, enum answer_kind kind,
                 const struct pgc_err *err)
{
	bool slow = strcmp(err->sqlstate, "57014") == 0;
	bool data = pgc_err_is_data(err);

	if (!a->pg || !pgc_ok(a->pg) || (!slow && !data) ||
	    kind == ANSWER_MATRIX || kind == ANSWER_NODES)
		return 0;
	(void)snprintf(a->reason, sizeof(a->reason), "%s", err->text);
	if (slow)
		a->rest_until = mono_add_ns(clock_mono(), REST_NS);
	return data ? 400 : 503;
}

/* 200 or 404: the entry has the answer; 400 or 503: see a->reason. */
static int
ask_database(struct answers *a, struct entry *e, enum answer_kind kind,
             const char *const arg[ANSWER_ARGS_MAX], struct mono now)
{
	struct pgc_opts o = pgc_opts_default;
	struct pgc_err err = {.text = ""};
	char *text = NULL;
	int status;

	o.statement_timeout_ms = READER_STATEMENT_MS;
	o.read_only = true;
	if (!a->pg)
		a->pg =
		    pgc_open(a->database, "twmesh-controller web", &o, &err);
	if (!a->pg || !pgc_query_text(a->pg, query[kind].sql, query[kind].args,
	                              arg, &text, &err)) {
		status = question_refused(a, kind, &err);
		if (status != 0)
			return status;
		reader_failed(a, &err, clock_mono());
		return 503;
	}
	a->reader_ok = true;
	status = text ? 200 : 404;
	entry_fill(e, status, text ? blob_new(text, strlen(text)) : NULL, now);
	free(text);
	return status;
}

static json_t *
database_away(const struct answers *a)
{
	char since[40];

	return json_pack("{s:b,s:s,s:s}", "ok", 0, "since",
	                 clock_format_utc(a->away_since, since, sizeof(since)),
	                 "reason", a->reason);
}

static json_t *
metrics_json(void)
{
	json_t *all = json_array();

	for (size_t i = 0; i < matrix_metrics_n; i++) {
		const struct matrix_metric_info *m = &matrix_metrics[i];

		(void)json_array_append_new(
		    all, json_pack("{s:s,s:s,s:s,s:i,s:s}", "name", m->name,
		                   "unit", m->unit, "label", m->label,
		                   "decimals", m->decimals, "help", m->help));
	}
	return all;
}

/* What there is to show before any matrix was ever seen. */
static json_t *
empty_matrix(void)
{
	char at[40];

	return json_pack(
	    "{s:s,s:i,s:n,s:[],s:n,s:n,s:[],s:[],s:[],s:o,s:{s:i},s:{s:i,s:i,"
	    "s:{},s:s}}",
	    "at", clock_format_utc(clock_wall(), at, sizeof(at)), "epoch", 0,
	    "class", "classes", "interval_s", "first_results_s", "nodes",
	    "rows", "columns", "metrics", metrics_json(), "cells", "n", 0,
	    "summary", "directions", 0, "healthy", 0, "states", "sentence",
	    "No measurements to show: the database is away");
}

/* The last known matrix or list of nodes, saying that the database is away. */
static void
patch_away(const struct answers *a, struct entry *e, struct mono now)
{
	json_t *doc = NULL;
	char *text;

	if (e->body)
		doc =
		    json_loadb((const char *)e->body->b, e->body->len, 0, NULL);
	if (!json_is_object(doc)) { /* never of nodes: see keep_known() */
		json_decref(doc);
		doc = empty_matrix();
	}
	(void)json_object_set_new(doc, "database", database_away(a));
	text = json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	if (!text)
		return;
	entry_fill(e, 200, blob_new(text, strlen(text)), now);
	e->patched = true;
	free(text);
}

static bool
is_fresh(const struct entry *e, struct mono now)
{
	return e->status != 0 && !e->old &&
	       mono_diff_ns(now, e->made) < FRESH_NS;
}

void
answers_changed(struct answers *a)
{
	for (size_t i = 0; i < ENTRIES_MAX; i++)
		a->entry[i].old = true;
}

/* While the database is away nothing old passes for new: matrix and nodes say
 * so, the rest waits. False: there is nothing to show. */
static bool
keep_known(struct answers *a, struct entry *e, enum answer_kind kind,
           struct mono now)
{
	bool fresh = is_fresh(e, now);

	if (answers_database_ok(a) || e->status == 404)
		return true;
	if (kind != ANSWER_MATRIX && (kind != ANSWER_NODES || !e->body))
		return fresh;
	if (!e->patched || !fresh)
		patch_away(a, e, now);
	return true;
}

struct answer
answers_get(struct answers *a, enum answer_kind kind,
            const char *const arg[ANSWER_ARGS_MAX], struct mono now)
{
	char key[KEY_MAX];
	struct entry *e;
	bool may_ask = a->writer_ok && now.ns >= a->rest_until.ns;
	struct answer out = {.status = 503, .reason = a->reason};
	bool known = true;

	if (!make_key(key, kind, arg))
		return (struct answer){.status = 404};
	e = find_entry(a, key);
	e->used = now;
	if (!is_fresh(e, now) || (e->patched && answers_database_ok(a))) {
		if (may_ask && ask_database(a, e, kind, arg, now) == 400)
			out.status = 400;
		known = keep_known(a, e, kind, now);
	}
	if (!known || e->status == 0 || (e->status == 200 && !e->body)) {
		if (e->status == 0)
			e->key[0] = '\0';
		return out; /* a 400 is not kept: its entry is as it was */
	}
	out.status = e->status;
	out.body = e->body;
	out.gzip = e->gzip;
	memcpy(out.etag, e->etag, sizeof(out.etag));
	return out;
}
