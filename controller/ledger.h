/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Batches on their way into the database: judged row by row before they touch
 * a transaction, entered in the ledger (exactly once), or put aside with a
 * reason. A bad row never fails the others.
 */
#ifndef TWMESH_CONTROLLER_LEDGER_H
#define TWMESH_CONTROLLER_LEDGER_H

#include "controller/letters.h"
#include "controller/roster_db.h"
#include "lib/pg/pgbuf.h"
#include "lib/pg/pgc.h"

enum ledger_says {
	LEDGER_NEW,       /* entered now: its rows are to be stored */
	LEDGER_DUPLICATE, /* was there with the same digest */
	LEDGER_CONFLICT   /* was there with another digest */
};

struct wbatch {
	struct wbatch *next;
	struct ask *ask;        /* owned; ASK_BATCH */
	struct batch_body body; /* owned */
	uint8_t *skip;      /* owned; bit i: row i is put aside; NULL: none */
	size_t keep, aside; /* rows to store, rows put aside */
	bool judged;
	bool condemned; /* nothing of it is stored */
	enum ledger_says says;
	char reason[REASON_MAX]; /* why rows are put aside; the first one */
};
/* Takes the ask. NULL: out of memory (the ask stays the caller's). */
struct wbatch *wbatch_new(struct ask *ask);
void wbatch_free(struct wbatch *b);
/* Row order of the body, over all slices. */
static inline bool
wbatch_skips(const struct wbatch *b, size_t row)
{
	return b->skip && (b->skip[row / 8] >> row % 8 & 1);
}
/* By node, spool and sequence number: the order of locks. */
int wbatch_compare(const struct wbatch *a, const struct wbatch *b);

struct judge {
	const struct known *known; /* borrowed */
	struct wall now;           /* controller's clock */
	struct wall oldest;        /* start of the oldest partition */
};
/* Decodes and judges; fills keep, aside, reason. */
void wbatch_judge(struct wbatch *b, const struct judge *j);
/* All of it is put aside, for this reason. */
void wbatch_condemn(struct wbatch *b, const char *reason);

struct ledger {
	struct pgc *db; /* borrowed */
	struct pgbuf buf;
};
bool ledger_attach(struct ledger *l, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
void ledger_clear(struct ledger *l);
/* Begins a transaction, enters n sorted batches, and asks what became of those
 * that were there. */
bool ledger_enter(struct ledger *l, struct wbatch *const *b, size_t n,
                  struct pgc_err *err) __attribute__((warn_unused_result));
/* Writes what is put aside of this batch, if any. */
bool ledger_put_aside(struct ledger *l, const struct wbatch *b,
                      struct pgc_err *err) __attribute__((warn_unused_result));
/* The gaps that the node reports. */
bool ledger_gaps(struct ledger *l, const struct wbatch *b, struct pgc_err *err)
    __attribute__((warn_unused_result));

#endif
