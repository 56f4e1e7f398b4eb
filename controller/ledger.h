/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Batches on their way into the database: entered in the ledger (exactly
 * once), or put aside with a reason.
 */
#ifndef TWMESH_CONTROLLER_LEDGER_H
#define TWMESH_CONTROLLER_LEDGER_H

#include "controller/wbatch.h"
#include "lib/pg/pgbuf.h"
#include "lib/pg/pgc.h"

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
