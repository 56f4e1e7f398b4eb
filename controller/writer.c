/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/writer.h"
#include "controller/writer_priv.h"

#include "controller/apply_db.h"
#include "controller/roster_priv.h"
#include "lib/base/clock_read.h"
#include "lib/base/metric.h"
#include "lib/base/rng.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INBOX_ASKS 4096
#define BACKOFF_MIN_NS (200 * NS_PER_MS)
#define BACKOFF_MAX_NS (5 * NS_PER_S)
#define LIVE_EVERY_NS NS_PER_S
#define POLL_EVERY_NS (5 * NS_PER_S)
#define PARTITION_EVERY_NS (600 * NS_PER_S)
#define SWEEP_EVERY_NS (10 * NS_PER_S)
#define NOTE_EVERY_NS (2 * NS_PER_S)
#define HOLD_MAX 8192
#define POST_TRIES 20
#define POST_WAIT_NS (5 * NS_PER_MS)
#define IDLE_MS 1000
#define JOIN_LOG_MAX 30 /* lines a minute */

/* ---- telling ---- */

void
writer_post(struct mailbox *box, struct tell *t)
{
	struct timespec wait = {0, POST_WAIT_NS};

	for (int i = 0; i < POST_TRIES; i++) {
		if (mailbox_put(box, &t->letter))
			return;
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
	}
	log_warn("writer: a thread does not take its letters, one is dropped");
	tell_free(t);
}

static void
tell_database(struct writer *w, struct mailbox *box, bool ok,
              const char *reason)
{
	struct tell *t = calloc(1, sizeof(*t));

	if (!t)
		return;
	t->kind = TELL_DATABASE;
	t->u.database.ok = ok;
	t->u.database.instance_id = w->instance_id;
	t->u.database.incarnation_id = w->incarnation_id;
	t->u.database.since = w->away_since;
	(void)snprintf(t->u.database.reason, REASON_MAX, "%s", reason);
	writer_post(box, t);
}

static void
tell_both(struct writer *w, bool ok, const char *reason)
{
	if (w->told_any && w->told_ok == ok)
		return;
	if (!ok)
		w->away_since = clock_wall();
	if (ok)
		log_info("database: there%s",
		         w->told_any ? " again, storing goes on" : "");
	else
		log_error("database: away: %s; nodes keep their results",
		          reason);
	w->told_any = true;
	w->told_ok = ok;
	tell_database(w, w->opts.to_bus, ok, reason);
	tell_database(w, w->opts.to_web, ok, reason);
}

static void
back_off(struct writer *w)
{
	struct mono now = clock_mono();

	w->backoff_ns = w->backoff_ns ? 2 * w->backoff_ns : BACKOFF_MIN_NS;
	if (w->backoff_ns > BACKOFF_MAX_NS)
		w->backoff_ns = BACKOFF_MAX_NS;
	w->connect_at = w->store_at = mono_add_ns(now, w->backoff_ns);
}

void
writer_trouble(struct writer *w, const char *what, const struct pgc_err *err)
{
	char reason[REASON_MAX];

	(void)snprintf(reason, sizeof(reason), "%s: %.200s", what, err->text);
	tell_both(w, false, reason);
	/* Whatever it was: a new connection starts from known ground. */
	pgc_close(w->db);
	w->db = NULL;
	back_off(w);
}

void
writer_healthy(struct writer *w)
{
	w->backoff_ns = 0;
	tell_both(w, true, "");
}

/* ---- connecting ---- */

static bool
read_incarnation(struct writer *w, struct pgc_err *err)
{
	struct pgc_rows *rows;
	bool ok;

	if (!pgc_query(w->db,
	               "SELECT decode(replace(twmesh_private.incarnation()::"
	               "text, '-', ''), 'hex')",
	               0, NULL, &rows, err))
		return false;
	ok = pgc_value_bytes(rows, 0, 0, w->incarnation_id.b, ID16_BYTES);
	if (!ok)
		(void)snprintf(err->text, sizeof(err->text), "%s",
		               "the database has no incarnation id");
	pgc_rows_free(rows);
	return ok;
}

/* SQL users see the metric table too. */
static bool
write_metrics(struct writer *w, struct pgc_err *err)
{
	for (size_t i = 0; i < matrix_metrics_n; i++) {
		const struct matrix_metric_info *m = &matrix_metrics[i];
		char pos[24], decimals[24];
		const char *p[] = {
		    dec_of((int64_t)i + 1, pos),   m->name, m->unit, m->label,
		    dec_of(m->decimals, decimals), m->help};

		if (i == 0 &&
		    !pgc_exec_params(
		        w->db,
		        "DELETE FROM twmesh.matrix_metric WHERE $1::text "
		        "IS NOT NULL",
		        1, p, NULL, err))
			return false;
		if (!pgc_exec_params(
		        w->db,
		        "INSERT INTO twmesh.matrix_metric VALUES "
		        "($1::integer, $2, $3, $4, $5::integer, $6)",
		        6, p, NULL, err))
			return false;
	}
	return true;
}

static bool
write_metrics_once(struct writer *w, struct pgc_err *err)
{
	bool ok;

	if (!pgc_exec(w->db, "BEGIN", err))
		return false;
	ok = pgc_exec(w->db,
	              "SELECT pg_advisory_xact_lock(hashtext('twmesh.roster'))",
	              err) &&
	     write_metrics(w, err);
	return roster_end(w->db, ok, err);
}

/* The configuration's classes count only while there is no mesh file; said
 * once of each file that is found in force, at the start too. */
static void
say_who_plans(struct writer *w, int64_t mesh_file)
{
	if (mesh_file != 0 && w->mesh_file_told != mesh_file)
		log_info("the mesh file of epoch %lld is in force: the classes "
		         "of the configuration are ignored",
		         (long long)mesh_file);
	w->mesh_file_told = mesh_file;
}

static bool
make_plan(struct writer *w, struct pgc_err *err)
{
	int64_t mesh_file;

	if (!roster_db_plan(w->db, &w->plan, &mesh_file, err))
		return false;
	say_who_plans(w, mesh_file);
	return true;
}

static bool
set_up(struct writer *w, struct pgc_err *err)
{
	/* Signs of life first: states hang on them. */
	return live_attach(w, err) && live_write(w, err) &&
	       read_incarnation(w, err) && roster_db_attach(w->db, err) &&
	       ledger_attach(&w->ledger, w->db, err) &&
	       counts_attach(&w->counts, w->db, err) &&
	       runs_db_attach(&w->runs, w->db, err) &&
	       revise_db_attach(&w->revise, w->db, err) &&
	       hosts_attach(w->hosts, w->db, err) &&
	       hosts_read(w->hosts, w->db, err) &&
	       state_db_attach(w->state, w->db, err) &&
	       audit_attach(w->db, w->opts.reference_n, err) &&
	       write_metrics_once(w, err) && make_plan(w, err) &&
	       partitions_make(w, err); /* by the plan's volume */
}

static void
try_connect(struct writer *w)
{
	struct pgc_err err;
	struct mono now = clock_mono();

	if (w->db || mono_diff_ns(w->connect_at, now) > 0)
		return;
	w->db =
	    pgc_open(w->opts.database, "twmesh-controller writer", NULL, &err);
	if (!w->db) {
		tell_both(w, false, err.text);
		back_off(w);
		return;
	}
	if (!set_up(w, &err)) {
		writer_trouble(w, "starting on it", &err);
		return;
	}
	w->roster_dirty = true;
	now = clock_mono();
	w->poll_at = mono_add_ns(now, POLL_EVERY_NS);
	w->live_at = mono_add_ns(now, LIVE_EVERY_NS);
	w->partition_at = mono_add_ns(now, PARTITION_EVERY_NS);
	w->sweep_at = mono_add_ns(now, SWEEP_EVERY_NS);
	w->audit_at = mono_add_ns(now, AUDIT_EVERY_NS);
	/* With results waiting, only storing them proves that all is well. */
	if (w->queue_n == 0)
		writer_healthy(w);
}

/* ---- the roster ---- */

static bool
reload_roster(struct writer *w)
{
	struct pgc_err err;
	struct tell *t;

	if (!roster_db_load(w->db, &w->known, &t, &err)) {
		writer_trouble(w, "reading the roster", &err);
		return false;
	}
	w->roster_dirty = false;
	say_who_plans(w, w->known.mesh_file);
	log_debug("roster: epoch %llu, %zu nodes",
	          (unsigned long long)t->u.roster.roster.epoch,
	          t->u.roster.roster.node_n);
	writer_post(w->opts.to_bus, t);
	return true;
}

static bool
watch_roster(struct writer *w)
{
	struct mono now = clock_mono();
	struct pgc_err err;
	char payload[64];
	bool current;

	while (pgc_notify_take(w->db, payload, sizeof(payload)))
		w->roster_dirty = true;
	if (mono_diff_ns(w->poll_at, now) <= 0) {
		w->poll_at = mono_add_ns(now, POLL_EVERY_NS);
		if (!roster_db_is_current(w->db, &w->known, &current, &err)) {
			writer_trouble(w, "reading the roster", &err);
			return false;
		}
		w->roster_dirty |= !current;
		if (!hosts_read(w->hosts, w->db, &err)) {
			writer_trouble(w, "reading host limits", &err);
			return false;
		}
	}
	return !w->roster_dirty || reload_roster(w);
}

/* ---- regular work ---- */

static bool
keep_alive(struct writer *w)
{
	struct mono now = clock_mono();
	struct pgc_err err;

	if (mono_diff_ns(w->live_at, now) > 0)
		return true;
	w->live_at = mono_add_ns(now, LIVE_EVERY_NS);
	if (live_write(w, &err) && hosts_write(w->hosts, w->db, &err))
		return true;
	if (pgc_ok(w->db) && strncmp(err.sqlstate, "40", 2) == 0)
		return true; /* deadlock with another controller: in a second */
	writer_trouble(w, "writing signs of life", &err);
	return false;
}

static bool
keep_partitions(struct writer *w)
{
	struct mono now = clock_mono();
	struct pgc_err err;

	if (mono_diff_ns(w->partition_at, now) > 0)
		return true;
	w->partition_at = mono_add_ns(now, PARTITION_EVERY_NS);
	if (partitions_look(w, &err))
		return true;
	if (pgc_ok(w->db)) {
		/* A long reader or a full disk: there is time, days ahead. */
		log_warn("database: partitions: %s; tried again in a minute",
		         err.text);
		w->partition_at = mono_add_ns(now, 60 * NS_PER_S);
		return true;
	}
	writer_trouble(w, "making partitions", &err);
	return false;
}

static bool
audit_clocks(struct writer *w, struct pgc_err *err)
{
	const struct mono now = clock_mono();
	struct audit_report r;
	uint64_t held;

	w->audit_at = mono_add_ns(now, AUDIT_EVERY_NS);
	/* the age with some slack, so that jitter skips none */
	if (!audit_run(w->db, w->opts.reference, w->opts.reference_n,
	               AUDIT_EVERY_NS * 8 / 10, &r, err))
		return false;
	if (r.done && r.nodes > AUDIT_SMALL_MESH)
		w->audit_at = mono_add_ns(now, 6 * AUDIT_EVERY_NS);
	if (r.missing && log_limit_ok(&w->log_reference, now, &held))
		log_warn("reference_nodes: no node of the mesh is named %s",
		         r.missing);
	return true;
}

static bool
wants_floors(const struct known *k)
{
	for (size_t i = 0; i < k->class_size; i++) {
		const struct limits *l = &k->class_[i].limits;

		for (int m = 0; k->class_[i].exists && m < LIMIT_N; m++) {
			if (l->warn[m].over > LIMIT_VALUE ||
			    l->crit[m].over > LIMIT_VALUE)
				return true;
		}
	}
	return false;
}

/* What is done now and then; a lock that is not to be had is no trouble. */
static bool
keep_house(struct writer *w)
{
	struct mono now = clock_mono();
	struct pgc_err err;
	bool ok = true;

	if (mono_diff_ns(w->sweep_at, now) <= 0) {
		w->sweep_at = mono_add_ns(now, SWEEP_EVERY_NS);
		ok = runs_sweep(w, &err);
	}
	if (ok && mono_diff_ns(w->note_at, now) <= 0) {
		w->note_at = mono_add_ns(now, NOTE_EVERY_NS);
		ok = node_changes_note(w, &err) &&
		     (!wants_floors(&w->known) ||
		      state_db_read_floors(w->state, &err));
	}
	if (ok && w->opts.reference_n > 0 &&
	    mono_diff_ns(w->audit_at, now) <= 0)
		ok = audit_clocks(w, &err);
	if (ok || (pgc_ok(w->db) && strncmp(err.sqlstate, "40", 2) == 0) ||
	    strcmp(err.sqlstate, "55P03") == 0)
		return true;
	writer_trouble(w, "keeping house", &err);
	return false;
}

/* ---- requests ---- */

static void
answer_unavailable(struct writer *w, const struct ask *a)
{
	static const char why[] = "the database is away: nothing was changed";
	struct tell *t = calloc(1, sizeof(*t));

	if (!t)
		return;
	t->token = a->token;
	if (a->kind == ASK_JOIN) {
		t->kind = TELL_JOIN;
		t->u.join.at = a->u.join.at;
		(void)snprintf(t->u.join.reason, REASON_MAX, "%s", why);
		writer_post(w->opts.to_bus, t);
		return;
	}
	t->kind = TELL_ADMIN;
	t->u.admin.status = 503;
	(void)snprintf(t->u.admin.reason, REASON_MAX, "%s", why);
	writer_post(w->opts.to_web, t);
}

/* Somebody waits for the answer of the very request. */
static bool
is_answered_at_once(const struct ask *a)
{
	return a->kind == ASK_JOIN || a->kind == ASK_APPROVE ||
	       a->kind == ASK_REMOVE || a->kind == ASK_TOKEN_CREATE ||
	       a->kind == ASK_TOKEN_REVOKE || a->kind == ASK_APPLY ||
	       a->kind == ASK_MAINTENANCE;
}

static void
on_batch(struct writer *w, struct ask *a)
{
	struct wbatch *b = NULL;
	uint64_t held;

	if (w->queue_n < QUEUE_BATCHES_MAX &&
	    w->queue_bytes + a->u.batch.batch.body_len <= QUEUE_BYTES_MAX)
		b = wbatch_new(a);
	if (b) {
		store_queue(w, b);
		return;
	}
	/* Not acknowledged: the node keeps it and sends it again. */
	if (log_limit_ok(&w->log_full, clock_mono(), &held))
		log_warn("writer: the queue is full, batches are left to "
		         "their nodes");
	ask_free(a);
}

/* Requests wait while the database is away; the newest of a key counts. */
static void
on_hold(struct writer *w, struct ask *a)
{
	if (w->hold_n >= HOLD_MAX) {
		ask_free(a); /* nodes say Hello again */
		return;
	}
	a->letter.next = NULL;
	if (w->hold_n == 0) {
		w->hold = NULL;
		w->hold_end = &w->hold;
	}
	*w->hold_end = a;
	/* letter is the first member, so a list of asks is one of letters */
	w->hold_end = (struct ask **)(void *)&a->letter.next;
	w->hold_n++;
}

static void
answer_failed(struct writer *w, struct ask *a, const struct pgc_err *err)
{
	bool lasting = pgc_ok(w->db) && pgc_err_is_data(err);

	if (is_answered_at_once(a))
		answer_unavailable(w, a);
	else if (lasting)
		log_warn("writer: a request is dropped: %s", err->text);
	if (!lasting)
		writer_trouble(w, "changing the roster", err);
	if (!lasting && (a->kind == ASK_HELLO || a->kind == ASK_BYE))
		on_hold(w, a);
	else
		ask_free(a);
}

static bool
change_roster(struct writer *w, struct ask *a, struct tell *t,
              struct pgc_err *err)
{
	if (a->kind == ASK_HELLO)
		return roster_db_hello(w->db, a, w->instance, t, err);
	if (a->kind == ASK_JOIN)
		return roster_db_join(w->db, a, t, err);
	if (a->kind == ASK_TOKEN_CREATE)
		return roster_db_token_create(w->db, a, t, err);
	if (a->kind == ASK_TOKEN_REVOKE)
		return roster_db_token_revoke(w->db, a, t, err);
	if (a->kind == ASK_APPROVE)
		return roster_db_approve(w->db, a, t, err);
	if (a->kind == ASK_REMOVE)
		return roster_db_remove(w->db, a, t, err);
	if (a->kind == ASK_APPLY)
		return apply_db(w->db, a, t, err);
	if (a->kind == ASK_MAINTENANCE)
		return maintenance_db(w->db, a, t, err);
	if (a->kind == ASK_BYE)
		return roster_db_bye(w->db, a, err);
	return roster_db_pending(w->db, a, err);
}

/* Refused joins: each is worth a line, but whoever has a token, or had one,
 * can ask as often as it likes. */
static bool
may_log_join(struct writer *w)
{
	struct mono now = clock_mono();

	if (w->join_minute.ns == 0 ||
	    mono_diff_ns(now, w->join_minute) >= 60 * NS_PER_S) {
		w->join_minute = now;
		w->join_logged = 0;
	}
	return w->join_logged++ < JOIN_LOG_MAX;
}

static void
log_apply(const struct ask *a, const struct tell *t)
{
	if (t->u.admin.status != 200)
		log_warn("mesh file of %s refused: %s", a->u.apply.by,
		         t->u.admin.reason);
	else if (t->u.admin.changed)
		log_info("mesh file applied by %s: epoch %lld", a->u.apply.by,
		         (long long)t->u.admin.epoch);
}

/* What an operator wants to find in the log. */
static void
log_request(struct writer *w, const struct ask *a, const struct tell *t)
{
	char at[ADDR_TEXT_MAX], fp[KEYS_FINGERPRINT_SIZE];

	if (a->kind == ASK_APPLY)
		log_apply(a, t);
	if (a->kind == ASK_MAINTENANCE && t->u.admin.status == 200)
		log_info("maintenance of '%s': %s, by %s", t->u.admin.name,
		         a->u.maintenance.on ? "on" : "off",
		         a->u.maintenance.by);
	if (a->kind == ASK_HELLO && !t->u.hello.accepted)
		log_warn("node '%s' refused: %s", a->u.hello.hello.name,
		         t->u.hello.reason);
	if (a->kind != ASK_JOIN || t->u.join.again)
		return;
	keys_fingerprint(a->u.join.join.key, fp);
	if (!a->u.join.observed.len)
		(void)snprintf(at, sizeof(at), "an unknown address");
	else
		(void)addr_format_ip(&a->u.join.observed, at);
	if (t->u.join.accepted)
		log_info("node '%s' (%s, from %s) joined with a token",
		         a->u.join.join.name, fp, at);
	else if (may_log_join(w))
		log_warn("join of node '%s' (%s, from %s) refused: %s",
		         a->u.join.join.name, fp, at, t->u.join.reason);
}

static void
on_request(struct writer *w, struct ask *a)
{
	bool answers = a->kind == ASK_HELLO || is_answered_at_once(a);
	struct tell *t = answers ? calloc(1, sizeof(*t)) : NULL;
	struct pgc_err err = {.position = 0};

	if (answers && !t) {
		ask_free(a);
		return;
	}
	if (!change_roster(w, a, t, &err)) {
		tell_free(t);
		answer_failed(w, a, &err);
		return;
	}
	if (t) {
		log_request(w, a, t);
		t->letter.next = NULL;
		*w->answers_end = t;
		w->answers_end = (struct tell **)(void *)&t->letter.next;
	}
	ask_free(a);
}

/* One roster for all that came together, and before the answers that make
 * use of it. */
static void
give_answers(struct writer *w)
{
	struct tell *t = w->answers;

	if (w->db)
		(void)watch_roster(w);
	*w->answers_end = NULL;
	w->answers = NULL;
	w->answers_end = &w->answers;
	while (t) {
		struct tell *next = (struct tell *)(void *)t->letter.next;

		t->letter.next = NULL;
		writer_post(
		    t->kind == TELL_ADMIN ? w->opts.to_web : w->opts.to_bus, t);
		t = next;
	}
}

static void
on_ask(struct writer *w, struct ask *a)
{
	switch (a->kind) {
	case ASK_BATCH:
		on_batch(w, a);
		return;
	case ASK_HEARTBEAT:
		live_note(w, &a->u.heartbeat);
		break;
	case ASK_STOP:
		w->stopping = true;
		break;
	case ASK_JOIN:
	case ASK_APPROVE:
	case ASK_REMOVE:
	case ASK_TOKEN_CREATE:
	case ASK_TOKEN_REVOKE:
	case ASK_APPLY:
	case ASK_MAINTENANCE:
		if (!w->db) {
			answer_unavailable(w, a);
			break;
		}
		on_request(w, a);
		return;
	case ASK_HELLO:
	case ASK_BYE:
		if (w->db)
			on_request(w, a);
		else
			on_hold(w, a);
		return;
	case ASK_PENDING:
		if (!w->db)
			break;
		on_request(w, a);
		return;
	}
	ask_free(a);
}

static void
take_held(struct writer *w)
{
	struct ask *a = w->hold_n ? w->hold : NULL;

	w->hold_n = 0;
	while (a) {
		struct ask *next = (struct ask *)(void *)a->letter.next;

		on_ask(w, a);
		a = next;
	}
}

static void
take_inbox(struct writer *w)
{
	struct letter *l = mailbox_take_all(w->inbox);

	while (l) {
		struct letter *next = l->next;

		on_ask(w, (struct ask *)(void *)l);
		if (w->db)
			(void)keep_alive(w);
		l = next;
	}
}

/* ---- the loop ---- */

static bool
store_is_due(const struct writer *w, struct mono now)
{
	return w->db && w->queue_n > 0 && mono_diff_ns(w->store_at, now) <= 0 &&
	       (w->stopping || w->queue_rows >= w->opts.batch_rows ||
	        mono_diff_ns(now, w->queue_since) >= BATCH_WAIT_NS);
}

static int
wait_ms(const struct writer *w)
{
	struct mono now = clock_mono();
	int64_t ns = IDLE_MS * NS_PER_MS;
	int64_t until[] = {
	    w->db ? mono_diff_ns(w->live_at, now)
	          : mono_diff_ns(w->connect_at, now),
	    w->db ? mono_diff_ns(w->poll_at, now) : ns,
	    w->db && w->queue_n
	        ? mono_diff_ns(mono_add_ns(w->queue_since, BATCH_WAIT_NS), now)
	        : ns,
	};

	for (size_t i = 0; i < sizeof(until) / sizeof(until[0]); i++) {
		if (until[i] < ns)
			ns = until[i];
	}
	if (w->stopping || ns <= 0)
		return 0;
	return (int)(ns / NS_PER_MS) + 1;
}

static void
wait_for_work(struct writer *w)
{
	struct pollfd p[2] = {
	    {.fd = mailbox_fd(w->inbox), .events = POLLIN},
	    {.fd = w->db ? pgc_fd(w->db) : -1, .events = POLLIN}};

	(void)poll(p, 2, wait_ms(w));
}

static bool
work(struct writer *w)
{
	if (!w->db)
		return false;
	if (!pgc_ok(w->db)) {
		struct pgc_err err = {.text = "the connection was lost"};

		writer_trouble(w, "waiting", &err);
		return false;
	}
	return keep_alive(w) && watch_roster(w) && keep_partitions(w) &&
	       keep_house(w);
}

static void *
writer_main(void *arg)
{
	struct writer *w = arg;

	while (!w->stopping) {
		try_connect(w);
		if (work(w))
			take_held(w);
		take_inbox(w);
		give_answers(w);
		while (store_is_due(w, clock_mono()) && watch_roster(w) &&
		       store_some(w) && keep_alive(w))
			;
		if (!w->stopping)
			wait_for_work(w);
	}
	take_inbox(w);
	give_answers(w);
	w->store_at = clock_mono();
	while (store_is_due(w, clock_mono()) && store_some(w))
		;
	if (w->db) {
		struct pgc_err err;

		if (!live_goodbye(w, &err))
			log_warn("writer: stopping: %s", err.text);
	}
	if (w->queue_n > 0)
		log_warn("writer: %zu batches are left to their nodes",
		         w->queue_n);
	return NULL;
}

/* ---- life ---- */

static void
drop_ask(struct letter *l)
{
	ask_free((struct ask *)(void *)l);
}

static void
writer_free(struct writer *w)
{
	struct wbatch *b = w->queue_n ? w->queue : NULL;
	struct ask *a = w->hold_n ? w->hold : NULL;

	while (b) {
		struct wbatch *next = b->next;

		wbatch_free(b);
		b = next;
	}
	while (a) {
		struct ask *next = (struct ask *)(void *)a->letter.next;

		ask_free(a);
		a = next;
	}
	if (w->inbox)
		mailbox_free(w->inbox, drop_ask);
	pgc_close(w->db);
	known_clear(&w->known);
	state_db_free(w->state);
	hosts_free(w->hosts);
	runs_db_clear(&w->runs);
	revise_db_clear(&w->revise);
	ledger_clear(&w->ledger);
	counts_clear(&w->counts);
	pgcopy_clear(&w->copy);
	free(w->live);
	free(w);
}

static void
name_instance(struct writer *w)
{
	const uint8_t *b = w->instance_id.b;
	size_t n = 0;

	random_bytes(w->instance_id.b, ID16_BYTES);
	for (size_t i = 0; i < ID16_BYTES; i++)
		n += (size_t)snprintf(w->instance + n, sizeof(w->instance) - n,
		                      "%02x", b[i]);
}

struct writer *
writer_start(const struct writer_opts *o, int *err)
{
	struct writer *w = calloc(1, sizeof(*w));
	int e = ENOMEM;

	if (!w)
		goto fail;
	w->opts = *o;
	if (w->opts.batch_rows == 0)
		w->opts.batch_rows = BATCH_ROWS;
	w->plan = (struct plan_opts){o->class_, o->class_n};
	w->queue_end = &w->queue;
	w->hold_end = &w->hold;
	w->answers_end = &w->answers;
	w->connect_at = w->store_at = clock_mono();
	w->away_since = clock_wall();
	name_instance(w);
	copy_sql("twmesh.result", w->copy_sql, &w->copy_columns);
	copy_detail_sql(w->details.copy_sql, &w->details.columns);
	copy_flow_sql(w->flows.copy_sql, &w->flows.columns);
	w->inbox = mailbox_new(INBOX_ASKS);
	w->state = state_db_new();
	w->hosts = hosts_new();
	if (!w->inbox || !w->state || !w->hosts)
		goto fail;
	e = pthread_create(&w->thread, NULL, writer_main, w);
	if (e == 0)
		return w;
fail:
	if (w)
		writer_free(w);
	*err = -e;
	return NULL;
}

struct mailbox *
writer_inbox(struct writer *w)
{
	return w->inbox;
}

const char *
writer_instance(const struct writer *w)
{
	return w->instance;
}

void
writer_stop(struct writer *w)
{
	struct ask *a;

	if (!w)
		return;
	a = calloc(1, sizeof(*a));
	if (a) {
		struct timespec wait = {0, POST_WAIT_NS};

		a->kind = ASK_STOP;
		while (!mailbox_put(w->inbox, &a->letter))
			(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
	}
	(void)pthread_join(w->thread, NULL);
	writer_free(w);
}
