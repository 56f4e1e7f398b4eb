/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the writer, shared by writer.c (thread, requests, liveness),
 * writer_live.c (heartbeats, partitions, the controller's own row) and
 * writer_store.c (the transaction of results).
 */
#ifndef TWMESH_CONTROLLER_WRITER_PRIV_H
#define TWMESH_CONTROLLER_WRITER_PRIV_H

#include "controller/audit.h"
#include "controller/copy.h"
#include "controller/counts.h"
#include "controller/hosts.h"
#include "controller/ledger.h"
#include "controller/revise_db.h"
#include "controller/roster_db.h"
#include "controller/runs_db.h"
#include "controller/state_db.h"
#include "controller/writer.h"
#include "lib/base/log.h"

#include <pthread.h>

#define BATCH_ROWS 10000                /* per transaction, by default */
#define BATCH_WAIT_NS (200 * NS_PER_MS) /* at most, for others to join */
#define DAY_NS (86400 * NS_PER_S)
#define QUEUE_BATCHES_MAX 4096
#define QUEUE_BYTES_MAX ((size_t)64 << 20)

/*
 * A partition that is written directly. Routing through twmesh.result costs
 * the server a tenth of a row's time; nearly all rows are of today. Only days
 * that nobody detaches are taken: yesterday, today, tomorrow.
 */
#define LEAVES_MAX 3
struct leaf {
	struct wall from; /* for DAY_NS */
	char copy_sql[COPY_SQL_MAX];
};

/* A table that goes with twmesh.result. */
struct sibling {
	char copy_sql[COPY_SQL_MAX];
	int columns;
};

/* The last heartbeat of a node that is not written yet. */
struct live {
	bool waiting;
	struct mono received;
	int64_t clock_offset_ns;
	struct msg_heartbeat hb;
};

struct writer {
	struct writer_opts opts;
	struct plan_opts plan;
	pthread_t thread;
	struct mailbox *inbox; /* owned */
	char instance[40];     /* uuid text */
	struct id16 instance_id, incarnation_id;

	struct pgc *db; /* owned; NULL: away */
	bool told_ok;   /* what the others were told last */
	bool told_any;
	struct wall away_since;
	struct mono connect_at; /* next try; valid while db is NULL */
	struct mono store_at;   /* not before, after trouble */
	int64_t backoff_ns;
	struct log_limit log_trouble, log_conflict, log_aside, log_full,
	    log_reference;

	struct mono join_minute; /* refused joins that were logged in it */
	unsigned join_logged;

	struct known known;     /* owned */
	bool roster_dirty;      /* to be read again and told */
	int64_t mesh_file_told; /* epoch of the file that the log named */
	struct mono poll_at, live_at, partition_at, sweep_at, note_at, audit_at;
	struct wall oldest, newest; /* starts of partitions */
	struct leaf leaf[LEAVES_MAX];
	size_t leaf_n;

	struct wbatch *queue, **queue_end; /* in order of arrival */
	size_t queue_n, queue_rows, queue_bytes;
	struct mono queue_since; /* arrival of the oldest */

	struct ask *hold,
	    **hold_end; /* Hello, Bye while the database is away */
	size_t hold_n;

	struct tell *answers, **answers_end; /* wait for the roster to go out */

	struct live *live; /* owned; by node id */
	size_t live_size;
	bool live_waiting;

	struct hosts *hosts;    /* owned */
	struct state_db *state; /* owned */
	struct runs_db runs;
	struct revise_db revise;
	struct ledger ledger;
	struct counts counts;
	struct pgcopy copy;
	char copy_sql[COPY_SQL_MAX];
	int copy_columns;
	struct sibling details, flows;
	bool stopping;
};

/* writer.c */
void writer_trouble(struct writer *w, const char *what,
                    const struct pgc_err *err);
void writer_healthy(struct writer *w);
/* Gives the letter away; a box that stays full loses it (the receiver asks
 * again). */
void writer_post(struct mailbox *box, struct tell *t);

/* writer_live.c */
bool live_attach(struct writer *w, struct pgc_err *err);
void live_note(struct writer *w, const struct ask_heartbeat *hb);
/* One UPDATE: this controller lives, and whoever it heard. */
bool live_write(struct writer *w, struct pgc_err *err);
bool live_goodbye(struct writer *w, struct pgc_err *err);
/* Partitions for today, the days a spool may still deliver, and ahead: at the
 * start, when nobody may have made any. */
bool partitions_make(struct writer *w, struct pgc_err *err);
/* Which there are. The keeper makes them, days ahead; should none of tomorrow
 * be there, the writer does. */
bool partitions_look(struct writer *w, struct pgc_err *err);

/* Open loss runs that nobody will close any more are ended. */
bool runs_sweep(struct writer *w, struct pgc_err *err);
/* Changes of nodes' states since the last call are written down. */
bool node_changes_note(struct writer *w, struct pgc_err *err);

/* writer_news.c: details and flows of a transaction's results, once they are
 * copied; its loss runs and revisions. */
bool siblings_copy(struct writer *w, struct wbatch *const *b, size_t n,
                   struct pgc_err *err);
/* Reads the state rows that they will change, before a COPY begins. */
bool news_read_states(struct writer *w, const struct wbatch *b,
                      struct pgc_err *err);
bool news_store(struct writer *w, struct wbatch *const *b, size_t n,
                struct pgc_err *err);

/* writer_store.c */
void store_queue(struct writer *w, struct wbatch *b);
/* Stores one transaction's worth of the queue. False: trouble, the queue is
 * kept. */
bool store_some(struct writer *w);

#endif
