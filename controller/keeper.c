/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/keeper.h"

#include "controller/windows.h"
#include "lib/base/clock_read.h"
#include "lib/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_NS (500 * NS_PER_MS)
#define BACKOFF_NS (2 * NS_PER_S)
#define PARTITIONS_EVERY_NS (600 * NS_PER_S)
#define ROLLUPS_EVERY_NS (5 * NS_PER_S)
#define LEAVES_EVERY_NS (60 * NS_PER_S)
#define FLOORS_EVERY_NS (10 * NS_PER_S)
#define INCIDENTS_EVERY_NS (5 * NS_PER_S)
#define FORGET_EVERY_NS (3600 * NS_PER_S)
#define AGAIN_NS NS_PER_S /* there is more of it */
/* Old hours get their turn while a node delivers three days of 5 minutes. */
#define CHUNKS_IN_TURN 20
#define CANCEL_EVERY_NS (200 * NS_PER_MS)

/* Statements of the leaves wait for readers; those of the rolls do not. A
 * server process whose controller is stopped in a transaction is ended. */
static const struct pgc_opts rolls_opts = {.connect_timeout_s = 5,
                                           .statement_timeout_ms = 120000,
                                           .lock_timeout_ms = 1000,
                                           .idle_in_transaction_ms = 10000};
static const struct pgc_opts leaves_opts = {.connect_timeout_s = 5,
                                            .statement_timeout_ms = 7200000,
                                            .lock_timeout_ms = 1000,
                                            .idle_in_transaction_ms = 10000};

struct worker {
	struct keeper *keeper; /* borrowed */
	const char *name;
	const struct pgc_opts *opts;
	pthread_t thread;
	struct pgc *db; /* owned by the thread; `lock` when it comes and goes */
	bool running, done; /* under `lock` */
	struct lease lease; /* leaves: a copy */
	struct mono connect_at;
	struct log_limit log;
	bool told; /* of trouble */
};

struct keeper {
	struct keeper_opts opts;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;         /* under `lock` */
	_Atomic int64_t fence; /* for the leaves; 0: not held */
	struct worker rolls, leaves;
	struct rollup *rollup;   /* owned */
	struct windows *windows; /* owned */
	struct mono partitions_at, rollups_at, floors_at, forget_at, leaves_at;
	struct mono incidents_at;
	bool leaves_ours; /* the turn, of this connection */
};

static bool
is_due(struct mono *at, struct mono now, int64_t every_ns)
{
	if (mono_diff_ns(*at, now) > 0)
		return false;
	*at = mono_add_ns(now, every_ns);
	return true;
}

/* ---- connections ---- */

static void
set_db(struct worker *w, struct pgc *db)
{
	struct pgc *old = w->db;

	(void)pthread_mutex_lock(&w->keeper->lock);
	w->db = db;
	(void)pthread_mutex_unlock(&w->keeper->lock);
	pgc_close(old);
}

static bool
is_stopping(struct keeper *k)
{
	bool stopping;

	(void)pthread_mutex_lock(&k->lock);
	stopping = k->stopping;
	(void)pthread_mutex_unlock(&k->lock);
	return stopping;
}

/* A new connection starts from known ground. */
static void
trouble(struct worker *w, const struct pgc_err *err)
{
	uint64_t held;

	if (!is_stopping(w->keeper) &&
	    log_limit_ok(&w->log, clock_mono(), &held))
		log_warn("keeper: %s: %s", w->name, err->text);
	set_db(w, NULL);
	w->connect_at = mono_add_ns(clock_mono(), BACKOFF_NS);
}

static bool
connect_rolls(struct worker *w, struct pgc_err *err)
{
	struct keeper *k = w->keeper;
	const struct mono now = clock_mono();

	k->partitions_at = k->rollups_at = now;
	w->lease.ask_at = now;
	return lease_attach(w->db, err) &&
	       rollup_attach(k->rollup, &w->lease, w->db, err);
}

static bool
connect_leaves(struct worker *w, struct pgc_err *err)
{
	w->keeper->leaves_ours = false;
	return lease_attach(w->db, err);
}

static bool
connect_db(struct worker *w,
           bool (*set_up)(struct worker *w, struct pgc_err *err))
{
	char name[64];
	struct pgc_err err;
	struct pgc *db;

	if (w->db)
		return true;
	if (mono_diff_ns(w->connect_at, clock_mono()) > 0)
		return false;
	(void)snprintf(name, sizeof(name), "twmesh-controller keeper %s",
	               w->name);
	db = pgc_open(w->keeper->opts.database, name, w->opts, &err);
	if (!db) {
		/* The writer tells of that. */
		w->connect_at = mono_add_ns(clock_mono(), BACKOFF_NS);
		return false;
	}
	set_db(w, db);
	if (set_up(w, &err))
		return true;
	trouble(w, &err);
	return false;
}

/* ---- waiting ---- */

/* False: the end. */
static bool
wait_tick(struct keeper *k)
{
	const struct mono until = mono_add_ns(clock_mono(), TICK_NS);
	const struct timespec t = {until.ns / NS_PER_S, until.ns % NS_PER_S};
	int rc = 0;

	(void)pthread_mutex_lock(&k->lock);
	while (!k->stopping && rc == 0)
		rc = pthread_cond_timedwait(&k->wake, &k->lock, &t);
	rc = k->stopping;
	(void)pthread_mutex_unlock(&k->lock);
	return !rc;
}

/* ---- rolls ---- */

enum job { JOB_FIVE, JOB_HOUR, JOB_WINDOW }; /* and the windows behind it */

static bool
do_job(struct keeper *k, enum job job, size_t which, bool *more,
       struct pgc_err *err)
{
	if (job == JOB_WINDOW)
		return windows_some(k->windows, k->rollup, which, more, err);
	return rollup_some(k->rollup, job == JOB_FIVE ? 300 : 3600, more, err);
}

/* Chunk after chunk, while the lease lasts. *more: it is not through. */
static bool
chunks(struct worker *w, enum job job, size_t which, bool *more,
       struct pgc_err *err)
{
	struct keeper *k = w->keeper;

	*more = true;
	for (int i = 0; *more && i < CHUNKS_IN_TURN; i++) {
		if (!lease_keep(&w->lease, w->db, clock_mono(), err))
			return false;
		if (!w->lease.fence || is_stopping(k)) {
			*more = false;
			return true;
		}
		if (!do_job(k, job, which, more, err))
			return false;
	}
	return true;
}

static bool
roll(struct worker *w, struct pgc_err *err)
{
	bool any, more;

	if (!rollup_count(w->keeper->rollup, err) ||
	    !chunks(w, JOB_FIVE, 0, &any, err) ||
	    !chunks(w, JOB_HOUR, 0, &more, err))
		return false;
	any |= more;
	for (size_t i = 0; i < WINDOWS_N; i++) {
		if (!chunks(w, JOB_WINDOW, i, &more, err))
			return false;
		any |= more;
	}
	if (any)
		w->keeper->rollups_at = clock_mono();
	return true;
}

static bool
forget(struct worker *w, struct mono now, struct pgc_err *err)
{
	bool more;

	if (!keeper_forget(&w->lease, w->db, &more, err))
		return false;
	if (more)
		w->keeper->forget_at = mono_add_ns(now, AGAIN_NS);
	return true;
}

/* The next look is that long after this one, however long it took: a million
 * critical directions take seconds. */
static bool
incidents(struct worker *w, struct pgc_err *err)
{
	const bool ok = keeper_incidents(&w->lease, w->db, err);

	w->keeper->incidents_at = mono_add_ns(clock_mono(), INCIDENTS_EVERY_NS);
	return ok;
}

static bool
work_rolls(struct worker *w, struct pgc_err *err)
{
	struct keeper *k = w->keeper;
	const struct mono now = clock_mono();
	bool ok;

	ok = lease_keep(&w->lease, w->db, now, err);
	if (ok && w->lease.fence &&
	    is_due(&k->partitions_at, now, PARTITIONS_EVERY_NS))
		ok = leaves_make(&w->lease, w->db, err);
	if (ok && w->lease.fence &&
	    is_due(&k->incidents_at, now, INCIDENTS_EVERY_NS))
		ok = incidents(w, err);
	if (ok && w->lease.fence &&
	    is_due(&k->rollups_at, now, ROLLUPS_EVERY_NS))
		ok = roll(w, err);
	if (ok && w->lease.fence && is_due(&k->floors_at, now, FLOORS_EVERY_NS))
		ok = keeper_floors(&w->lease, w->db, err);
	if (ok && w->lease.fence && is_due(&k->forget_at, now, FORGET_EVERY_NS))
		ok = forget(w, now, err);
	atomic_store(&k->fence, w->lease.fence);
	return ok;
}

static void *
rolls_main(void *arg)
{
	struct worker *w = arg;
	struct pgc_err err;

	do {
		err.text[0] = '\0';
		if (connect_db(w, connect_rolls) && !work_rolls(w, &err))
			trouble(w, &err);
	} while (wait_tick(w->keeper));
	if (w->db && !lease_release(&w->lease, w->db, &err))
		log_warn("keeper: giving the lease back: %s", err.text);
	(void)pthread_mutex_lock(&w->keeper->lock);
	w->done = true;
	(void)pthread_mutex_unlock(&w->keeper->lock);
	return NULL;
}

/* ---- leaves ---- */

static bool
work_leaves(struct worker *w, struct pgc_err *err)
{
	struct keeper *k = w->keeper;
	const struct mono now = clock_mono();
	bool more = false;

	w->lease.fence = atomic_load(&k->fence);
	if (!w->lease.fence || !is_due(&k->leaves_at, now, LEAVES_EVERY_NS))
		return true;
	if (!k->leaves_ours && !leaves_turn(w->db, &k->leaves_ours, err))
		return false;
	if (!k->leaves_ours)
		return true;
	if (!leaves_tidy(&w->lease, w->db, &k->opts.keep, &more, err)) {
		/* A reader was in the way: in a minute. */
		return pgc_ok(w->db) && strcmp(err->sqlstate, "55P03") == 0 &&
		       pgc_exec(w->db, "ROLLBACK", err);
	}
	if (more)
		k->leaves_at = mono_add_ns(now, AGAIN_NS);
	return true;
}

static void *
leaves_main(void *arg)
{
	struct worker *w = arg;
	struct pgc_err err;

	do {
		err.text[0] = '\0';
		if (connect_db(w, connect_leaves) && !work_leaves(w, &err))
			trouble(w, &err);
	} while (wait_tick(w->keeper));
	(void)pthread_mutex_lock(&w->keeper->lock);
	w->done = true;
	(void)pthread_mutex_unlock(&w->keeper->lock);
	return NULL;
}

/* ---- life ---- */

static void
keeper_free(struct keeper *k)
{
	pgc_close(k->rolls.db);
	pgc_close(k->leaves.db);
	rollup_free(k->rollup);
	windows_free(k->windows);
	(void)pthread_cond_destroy(&k->wake);
	(void)pthread_mutex_destroy(&k->lock);
	free(k);
}

static int
start_worker(struct worker *w, void *(*fn)(void *))
{
	const int e = pthread_create(&w->thread, NULL, fn, w);

	w->running = e == 0;
	return e;
}

struct keeper *
keeper_start(const struct keeper_opts *o, int *err)
{
	struct keeper *k = calloc(1, sizeof(*k));
	pthread_condattr_t mono;
	int e = ENOMEM;

	*err = -e;
	if (!k)
		return NULL;
	k->opts = *o;
	(void)pthread_mutex_init(&k->lock, NULL);
	(void)pthread_condattr_init(&mono);
	(void)pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&k->wake, &mono);
	(void)pthread_condattr_destroy(&mono);
	k->rolls = (struct worker){.keeper = k,
	                           .name = "rolls",
	                           .opts = &rolls_opts,
	                           .lease = {o->instance, o->lease_ns, 0, {0}}};
	k->leaves = (struct worker){.keeper = k,
	                            .name = "leaves",
	                            .opts = &leaves_opts,
	                            .lease = k->rolls.lease};
	k->forget_at = mono_add_ns(clock_mono(), 10 * NS_PER_S);
	k->rollup = rollup_new();
	k->windows = windows_new();
	if (k->rollup && k->windows)
		e = start_worker(&k->rolls, rolls_main);
	if (e == 0)
		e = start_worker(&k->leaves, leaves_main);
	*err = -e;
	if (e == 0)
		return k;
	keeper_stop(k);
	return NULL;
}

/* A statement under way may wait for hours: it is told to give up. */
static void
stop_worker(struct worker *w)
{
	struct keeper *k = w->keeper;

	if (!w->running)
		return;
	(void)pthread_mutex_lock(&k->lock);
	while (!w->done) {
		const struct mono until =
		    mono_add_ns(clock_mono(), CANCEL_EVERY_NS);
		const struct timespec t = {until.ns / NS_PER_S,
		                           until.ns % NS_PER_S};

		(void)pthread_cond_timedwait(&k->wake, &k->lock, &t);
		if (!w->done && w->db)
			pgc_cancel(w->db);
	}
	(void)pthread_mutex_unlock(&k->lock);
	(void)pthread_join(w->thread, NULL);
}

void
keeper_stop(struct keeper *k)
{
	if (!k)
		return;
	(void)pthread_mutex_lock(&k->lock);
	k->stopping = true;
	(void)pthread_cond_broadcast(&k->wake);
	(void)pthread_mutex_unlock(&k->lock);
	stop_worker(&k->leaves);
	stop_worker(&k->rolls);
	keeper_free(k);
}
