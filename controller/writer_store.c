/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The transaction of results. What can be seen to be bad is put aside before
 * it begins; when it fails on data all the same it is rolled back and halved,
 * along node borders first, until the bad batch is alone.
 */
#include "controller/writer_priv.h"

#include "lib/base/clock_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RETRIES 8
#define RETRY_NS (20 * NS_PER_MS)

enum outcome {
	STORED,
	BAD_DATA, /* some batch of these */
	AGAIN,    /* deadlock, lock timeout, another writer was faster */
	TROUBLE   /* the database; nobody's batch is at fault */
};

void
store_queue(struct writer *w, struct wbatch *b)
{
	const struct msg_batch *m = &b->ask->u.batch.batch;

	if (w->queue_n == 0) {
		w->queue = NULL;
		w->queue_end = &w->queue;
		w->queue_since = clock_mono();
	}
	b->next = NULL;
	*w->queue_end = b;
	w->queue_end = &b->next;
	w->queue_n++;
	w->queue_rows += m->rows;
	w->queue_bytes += m->body_len;
}

static struct wbatch *
unqueue(struct writer *w)
{
	struct wbatch *b = w->queue;
	const struct msg_batch *m = &b->ask->u.batch.batch;

	w->queue = b->next;
	w->queue_n--;
	w->queue_rows -= m->rows;
	w->queue_bytes -= m->body_len;
	if (!w->queue)
		w->queue_end = &w->queue;
	b->next = NULL;
	return b;
}

/* ---- acknowledging ---- */

static void
acknowledge(struct writer *w, const struct wbatch *b)
{
	struct tell *t = calloc(1, sizeof(*t));

	if (!t)
		return; /* the node sends it again */
	t->kind = TELL_ACK;
	t->token = b->ask->token;
	t->u.ack.node_id = b->ask->u.batch.node_id;
	t->u.ack.spool_id = b->ask->u.batch.batch.spool_id;
	t->u.ack.seq = b->ask->u.batch.batch.seq;
	t->u.ack.status = ACK_STORED;
	if (b->says == LEDGER_DUPLICATE)
		t->u.ack.status = ACK_DUPLICATE;
	else if (b->says == LEDGER_CONFLICT || b->condemned)
		t->u.ack.status = ACK_PUT_ASIDE;
	if (t->u.ack.status == ACK_PUT_ASIDE)
		(void)snprintf(t->u.ack.reason, REASON_MAX, "%s", b->reason);
	writer_post(w->opts.to_bus, t);
}

static void
tell_operator(struct writer *w, const struct wbatch *b)
{
	const struct ask_batch *a = &b->ask->u.batch;
	bool conflict = b->says == LEDGER_CONFLICT;
	uint64_t held;

	if (b->says == LEDGER_DUPLICATE || (!conflict && b->aside == 0))
		return;
	if (!log_limit_ok(conflict ? &w->log_conflict : &w->log_aside,
	                  clock_mono(), &held))
		return;
	log_at(conflict ? LOG_LV_ERROR : LOG_LV_WARN,
	       "node %" PRIu32 ": batch %" PRIu64
	       ": %zu rows put aside: %s (%" PRIu64 " more like it)",
	       a->node_id, a->batch.seq,
	       conflict ? (size_t)a->batch.rows : b->aside, b->reason, held);
}

/* ---- one transaction ---- */

static enum outcome
outcome_of(const struct writer *w, const struct pgc_err *e)
{
	if (!pgc_ok(w->db))
		return TROUBLE;
	if (pgc_err_is_data(e))
		return BAD_DATA;
	if (strncmp(e->sqlstate, "40", 2) == 0 || /* deadlock, serialization */
	    strcmp(e->sqlstate, "55P03") == 0 ||  /* lock timeout */
	    strcmp(e->sqlstate, "57014") == 0)    /* statement timeout */
		return AGAIN;
	return TROUBLE;
}

static void
gather(struct cell_input *in, const struct slice *s, size_t i)
{
	for (size_t m = 0; m < cell_metrics_n; m++) {
		enum metric id = cell_metrics[m];

		in->v[id] = s->value[id] ? s->value[id][i] : METRIC_NULL;
	}
}

static bool
apply_slice(struct writer *w, const struct wbatch *b, const struct slice *s,
            size_t first, struct pgc_err *err)
{
	const struct ask_batch *a = &b->ask->u.batch;
	const struct known_class *class_ = known_class(&w->known, s->class_id);
	struct wall end = wall_add_ns(s->start, s->interval_ns);
	struct cell_input in = {.start = s->start,
	                        .interval_ns = s->interval_ns,
	                        .epoch = s->epoch};
	const int64_t offset =
	    a->clock_offset_ns == NS_UNKNOWN ? 0 : a->clock_offset_ns;
	struct state_row *row;

	if (!class_ || class_->retired)
		return true;
	row = state_db_row(w->state, a->node_id, s->class_id, err);
	if (!row)
		return false;
	in.limits = &class_->limits;
	in.backfilled = wall_diff_ns(a->received, end) >
	                class_->lateness_ns + s->interval_ns;
	state_row_changed(w->state, row);
	for (size_t i = 0; i < s->n; i++) {
		const struct known_node *dst;

		if (wbatch_skips(b, first + i))
			continue;
		dst = known_node(&w->known, s->dst_id[i]);
		if (!dst || dst->removed)
			continue;
		in.dst_limited = hosts_limited(w->hosts, s->dst_id[i],
		                               wall_add_ns(s->start, -offset),
		                               wall_add_ns(end, -offset));
		gather(&in, s, i);
		if (!state_row_apply(w->state, row, dst->slot, dst->generation,
		                     &in)) {
			(void)snprintf(err->text, sizeof(err->text), "%s",
			               "out of memory");
			return false;
		}
	}
	return true;
}

static bool
has_state(const struct writer *w, const struct wbatch *b)
{
	const struct known_node *src =
	    known_node(&w->known, b->ask->u.batch.node_id);

	return src && !src->removed;
}

/* Reads the state rows that the batch will change: not possible any more once
 * the COPY has begun. */
static bool
read_states(struct writer *w, const struct wbatch *b, struct pgc_err *err)
{
	for (size_t k = 0; has_state(w, b) && k < b->body.slice_n; k++) {
		uint32_t id = b->body.slice[k].class_id;
		const struct known_class *c = known_class(&w->known, id);

		if (c && !c->retired &&
		    !state_db_row(w->state, b->ask->u.batch.node_id, id, err))
			return false;
	}
	return true;
}

/* A slice brings the interval's whole row of the matrix up to date. */
static bool
apply_states(struct writer *w, const struct wbatch *b, struct pgc_err *err)
{
	size_t first = 0;

	for (size_t k = 0; has_state(w, b) && k < b->body.slice_n; k++) {
		if (!apply_slice(w, b, &b->body.slice[k], first, err))
			return false;
		first += b->body.slice[k].n;
	}
	return true;
}

static bool
enter_one(struct writer *w, struct wbatch *b, size_t *rows, struct pgc_err *err)
{
	if (b->says == LEDGER_DUPLICATE)
		return true;
	if (b->says == LEDGER_CONFLICT) {
		(void)snprintf(b->reason, sizeof(b->reason), "%s",
		               "a batch with this number but another content "
		               "was stored before");
		return ledger_put_aside(&w->ledger, b, err);
	}
	if (b->aside > 0 && !ledger_put_aside(&w->ledger, b, err))
		return false;
	if (b->condemned)
		return true;
	*rows += b->keep;
	return ledger_gaps(&w->ledger, b, err) && read_states(w, b, err) &&
	       news_read_states(w, b, err);
}

/* The batches that come next are judged while the server is at work. */
static bool
judge_ahead(struct writer *w, struct pgc_err *err)
{
	struct judge j = {&w->known, clock_wall(), w->oldest};
	struct wbatch *b = w->queue_n ? w->queue : NULL;
	size_t rows = 0;

	for (; b && rows < w->opts.batch_rows; b = b->next) {
		rows += b->ask->u.batch.batch.rows;
		if (b->judged)
			continue;
		wbatch_judge(b, &j);
		if (!pgcopy_pump(&w->copy, err))
			return false;
	}
	return true;
}

/* Which leaf takes the slice; leaf_n: the server finds the partition. */
static size_t
leaf_of(const struct writer *w, const struct slice *s)
{
	size_t i = 0;

	while (i < w->leaf_n && (s->start.ns < w->leaf[i].from.ns ||
	                         s->start.ns >= w->leaf[i].from.ns + DAY_NS))
		i++;
	return i;
}

static bool
copy_batch(struct writer *w, const struct wbatch *b, size_t leaf,
           struct pgc_err *err)
{
	size_t first = 0;

	for (size_t k = 0; k < b->body.slice_n; k++) {
		if (leaf_of(w, &b->body.slice[k]) == leaf &&
		    !copy_slice(&w->copy, b, k, first, err))
			return false;
		first += b->body.slice[k].n;
	}
	return true;
}

/* What else there is to do is done while the server is at work on the last
 * COPY of the transaction. */
static bool
copy_batches(struct writer *w, struct wbatch *const *b, size_t n, size_t leaf,
             bool last, struct pgc_err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (b[i]->says != LEDGER_NEW || b[i]->condemned)
			continue;
		if (!copy_batch(w, b[i], leaf, err) ||
		    (last && !apply_states(w, b[i], err)))
			return false;
	}
	return !last || judge_ahead(w, err);
}

static bool
copy_leaf(struct writer *w, struct wbatch *const *b, size_t n, size_t leaf,
          bool last, size_t *rows, struct pgc_err *err)
{
	const char *sql =
	    leaf < w->leaf_n ? w->leaf[leaf].copy_sql : w->copy_sql;
	long copied = 0;

	if (!pgcopy_begin(&w->copy, w->db, sql, w->copy_columns, err))
		return false;
	if (!copy_batches(w, b, n, leaf, last, err)) {
		if (pgc_ok(w->db))
			(void)!pgc_copy_end(w->db, "client error", NULL, NULL);
		return false;
	}
	if (!pgcopy_end(&w->copy, &copied, err))
		return false;
	*rows += copied > 0 ? (size_t)copied : 0;
	return true;
}

static bool
copy_all(struct writer *w, struct wbatch *const *b, size_t n, size_t rows,
         struct pgc_err *err)
{
	bool used[LEAVES_MAX + 1] = {false};
	size_t last = 0, copied = 0;

	for (size_t i = 0; i < n; i++) {
		if (b[i]->says != LEDGER_NEW || b[i]->condemned)
			continue;
		for (size_t k = 0; k < b[i]->body.slice_n; k++)
			used[leaf_of(w, &b[i]->body.slice[k])] = true;
	}
	for (size_t i = 0; i <= w->leaf_n; i++)
		last = used[i] ? i : last;
	for (size_t i = 0; i <= last; i++) {
		if (used[i] && !copy_leaf(w, b, n, i, i == last, &copied, err))
			return false;
	}
	if (copied == rows)
		return true;
	(void)snprintf(err->text, sizeof(err->text),
	               "COPY stored %zu rows instead of %zu", copied, rows);
	return false;
}

static enum outcome
transaction(struct writer *w, struct wbatch *const *b, size_t n,
            struct pgc_err *err)
{
	enum state_db_result state = STATE_DB_OK;
	size_t rows = 0;
	bool ok;

	*err = (struct pgc_err){.position = 0};
	ok = ledger_enter(&w->ledger, b, n, err);
	for (size_t i = 0; ok && i < n; i++)
		ok = enter_one(w, b[i], &rows, err);
	if (ok && rows > 0)
		ok = copy_all(w, b, n, rows, err);
	ok = ok && siblings_copy(w, b, n, err) &&
	     counts_store(&w->counts, b, n, err) && news_store(w, b, n, err);
	if (ok)
		state = state_db_write(w->state, err);
	if (ok && state == STATE_DB_OK && pgc_exec(w->db, "COMMIT", err)) {
		state_db_commit(w->state);
		return STORED;
	}
	state_db_forget_changes(w->state);
	if (pgc_ok(w->db) && !pgc_exec(w->db, "ROLLBACK", NULL))
		return TROUBLE;
	return state == STATE_DB_CONFLICT ? AGAIN : outcome_of(w, err);
}

/* ---- halving ---- */

static void
pause_ns(int64_t ns)
{
	struct timespec t = {ns / NS_PER_S, (long)(ns % NS_PER_S)};

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static enum outcome
try_often(struct writer *w, struct wbatch *const *b, size_t n,
          struct pgc_err *err)
{
	for (int i = 1;; i++) {
		enum outcome o = transaction(w, b, n, err);

		if (o != AGAIN)
			return o;
		if (i == RETRIES)
			return TROUBLE;
		pause_ns(i * RETRY_NS);
	}
}

/* Where to cut n sorted batches: the border between two nodes that is nearest
 * to the middle; within one node, the middle. */
static size_t
cut_of(struct wbatch *const *b, size_t n)
{
	for (size_t d = 0; d < n / 2 + 1; d++) {
		for (int side = 0; side < 2; side++) {
			size_t at =
			    side ? n / 2 + d : n / 2 - (d < n / 2 ? d : n / 2);

			if (at > 0 && at < n &&
			    b[at - 1]->ask->u.batch.node_id !=
			        b[at]->ask->u.batch.node_id)
				return at;
		}
	}
	return n / 2;
}

/* Stores b[0..n), acknowledging what is committed; *done counts it (in order).
 * False: trouble, b[*done ..] is not stored. Recursion is as deep as the
 * logarithm of n. */
static bool
store_halving(struct writer *w, struct wbatch *const *b, size_t n, size_t *done,
              struct pgc_err *err)
{
	enum outcome o = try_often(w, b, n, err);

	if (o == BAD_DATA && n == 1 && !b[0]->condemned) {
		char why[REASON_MAX];

		(void)snprintf(why, sizeof(why),
		               "the database refused it: %.200s", err->text);
		wbatch_condemn(b[0], why);
		o = try_often(w, b, 1, err);
	}
	if (o == BAD_DATA && n > 1) {
		size_t cut = cut_of(b, n);

		return store_halving(w, b, cut, done, err) &&
		       store_halving(w, b + cut, n - cut, done, err);
	}
	if (o == BAD_DATA) {
		/* Not even putting it aside works: it would block all. */
		log_error("node %" PRIu32 ": batch %" PRIu64 " is dropped: %s",
		          b[0]->ask->u.batch.node_id,
		          b[0]->ask->u.batch.batch.seq, err->text);
		++*done;
		return true;
	}
	if (o != STORED)
		return false;
	for (size_t i = 0; i < n; i++) {
		acknowledge(w, b[i]);
		tell_operator(w, b[i]);
	}
	*done += n;
	return true;
}

/* ---- the queue ---- */

static int
by_key(const void *a, const void *b)
{
	return wbatch_compare(*(struct wbatch *const *)a,
	                      *(struct wbatch *const *)b);
}

static bool
is_twin(const struct wbatch *a, const struct wbatch *b)
{
	return wbatch_compare(a, b) == 0 &&
	       memcmp(a->ask->u.batch.batch.digest,
	              b->ask->u.batch.batch.digest, 16) == 0;
}

/* Up to batch_rows rows, sorted; twins (sent again meanwhile) are dropped. A
 * conflict with one in the same take goes back into the queue. */
static size_t
take(struct writer *w, struct wbatch **b, size_t max)
{
	struct judge j = {&w->known, clock_wall(), w->oldest};
	size_t n = 0, kept = 0, rows = 0;

	while (w->queue_n > 0 && n < max &&
	       (n == 0 || rows + w->queue->ask->u.batch.batch.rows <=
	                      w->opts.batch_rows)) {
		rows += w->queue->ask->u.batch.batch.rows;
		b[n++] = unqueue(w);
	}
	qsort(b, n, sizeof(struct wbatch *), by_key);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && is_twin(b[kept - 1], b[i])) {
			wbatch_free(b[i]);
		} else if (kept > 0 && wbatch_compare(b[kept - 1], b[i]) == 0) {
			store_queue(w, b[i]);
		} else {
			if (!b[i]->judged)
				wbatch_judge(b[i], &j);
			b[kept++] = b[i];
		}
	}
	return kept;
}

/* Back to the front, in order. */
static void
give_back(struct writer *w, struct wbatch **b, size_t n)
{
	struct wbatch *rest = w->queue_n ? w->queue : NULL;

	w->queue_n = w->queue_rows = w->queue_bytes = 0;
	for (size_t i = 0; i < n; i++)
		store_queue(w, b[i]);
	while (rest) {
		struct wbatch *next = rest->next;

		store_queue(w, rest);
		rest = next;
	}
}

bool
store_some(struct writer *w)
{
	size_t max = w->queue_n < 1024 ? w->queue_n : 1024;
	struct wbatch **b = calloc(max + 1, sizeof(struct wbatch *));
	struct pgc_err err = {.position = 0};
	size_t n, done = 0;
	bool ok;

	if (!b)
		return true; /* later */
	n = take(w, b, max);
	ok = n == 0 || store_halving(w, b, n, &done, &err);
	for (size_t i = 0; i < done; i++)
		wbatch_free(b[i]);
	if (!ok) {
		give_back(w, b + done, n - done);
		writer_trouble(w, "storing results", &err);
	} else if (n > 0) {
		writer_healthy(w);
	}
	free(b);
	return ok;
}
