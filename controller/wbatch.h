/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A batch in the writer's hands: decoded and judged, record by record, before
 * it touches a transaction. A bad row never fails the others: it is put aside
 * with a reason.
 */
#ifndef TWMESH_CONTROLLER_WBATCH_H
#define TWMESH_CONTROLLER_WBATCH_H

#include "controller/letters.h"
#include "controller/roster_db.h"

enum ledger_says {
	LEDGER_NEW,       /* entered now: it is to be stored */
	LEDGER_DUPLICATE, /* was there with the same digest */
	LEDGER_CONFLICT   /* was there with another digest */
};

struct wbatch {
	struct wbatch *next;
	struct ask *ask;        /* owned; ASK_BATCH */
	struct batch_body body; /* owned */
	uint8_t *skip;      /* owned; bit i: row i is put aside; NULL: none */
	size_t keep, aside; /* rows to store; rows, runs, revisions put aside */
	uint8_t *loud;      /* owned; bit i: row i has details; NULL: none */
	size_t loud_n;      /* rows of result_detail */
	size_t flow_n;      /* rows of result_flow */
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
static inline bool
wbatch_is_loud(const struct wbatch *b, size_t row)
{
	return b->loud && (b->loud[row / 8] >> row % 8 & 1);
}
/* By node, spool and sequence number: the order of locks. */
int wbatch_compare(const struct wbatch *a, const struct wbatch *b);

struct judge {
	const struct known *known; /* borrowed */
	struct wall now;           /* controller's clock */
	struct wall oldest;        /* start of the oldest partition */
};
/* Decodes and judges; fills keep, aside, reason, loud. Runs and revisions that
 * cannot be stored leave the body. */
void wbatch_judge(struct wbatch *b, const struct judge *j);
/* All of it is put aside, for this reason. */
void wbatch_condemn(struct wbatch *b, const char *reason);

#endif
