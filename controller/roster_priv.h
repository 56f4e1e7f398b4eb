/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by roster_db.c (loading, classes, epochs) and roster_node.c (nodes):
 * small helpers over pgc for statements with text parameters.
 */
#ifndef TWMESH_CONTROLLER_ROSTER_PRIV_H
#define TWMESH_CONTROLLER_ROSTER_PRIV_H

#include "controller/roster_db.h"

#define HEX_KEY_SIZE (2 + 2 * KEY_BYTES + 1) /* "\x…" */
#define HEX_ID_SIZE (2 + 2 * ID16_BYTES + 1)

/* A bytea literal for a text parameter. */
void hex_of(const uint8_t *bytes, size_t n, char *out);
char *dec_of(int64_t v, char out[24]); /* returns out */

/* BEGIN and the lock that orders all changes of the roster. */
bool roster_begin(struct pgc *db, struct pgc_err *err);
/* After a change: intervals by rule, a state row per planned session, a new
 * epoch, NOTIFY. Still in the transaction. */
bool roster_changed(struct pgc *db, const struct plan_opts *o,
                    const char *reason, struct pgc_err *err);
/* COMMIT, or on !ok ROLLBACK; returns whether it was committed. */
bool roster_end(struct pgc *db, bool ok, struct pgc_err *err);

#endif
