/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by roster_db.c (loading, classes, epochs), roster_node.c (nodes) and
 * roster_token.c (join tokens): small helpers over pgc for statements with
 * text parameters.
 */
#ifndef TWMESH_CONTROLLER_ROSTER_PRIV_H
#define TWMESH_CONTROLLER_ROSTER_PRIV_H

#include "controller/roster_db.h"

#define HEX_KEY_SIZE (2 + 2 * KEY_BYTES + 1) /* "\x…" */
#define HEX_ID_SIZE (2 + 2 * ID16_BYTES + 1)

/* A bytea literal for a text parameter. */
void hex_of(const uint8_t *bytes, size_t n, char *out);
char *dec_of(int64_t v, char out[24]); /* returns out */

/* One row, one or more columns of which the first is an id; *id 0: no row. */
bool roster_query_id(struct pgc *db, const char *sql, int n,
                     const char *const *p, int64_t *id, struct pgc_err *err);

struct node_row {
	int64_t id; /* 0: none */
	char name[NAME_MAX_CHARS + 1];
	char fingerprint[FINGERPRINT_CHARS]; /* "" : it has no key */
	bool target;
};
/* May a newcomer have its name? Nobody has it, or only the mesh file. */
bool roster_name_is_free(const struct node_row *n);
/* Nodes that are not removed. False: the database failed. */
bool roster_node_by_key(struct pgc *db, const uint8_t key[KEY_BYTES],
                        struct node_row *out, struct pgc_err *err);
bool roster_node_by_name(struct pgc *db, const char *name, struct node_row *out,
                         struct pgc_err *err);
/* A new node with its key, no longer pending, in the place that the mesh file
 * keeps for the name, if it does; *id 0: no slot left. */
bool roster_make_node(struct pgc *db, const char *name,
                      const uint8_t key[KEY_BYTES], const char *by, int64_t *id,
                      struct pgc_err *err);
void roster_admin_init(struct tell *t, const struct ask *ask, const char *name);
void roster_refuse(struct tell *t, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* BEGIN and the lock that orders all changes of the roster. */
bool roster_begin(struct pgc *db, struct pgc_err *err);
/* After a change: what the mesh file says of nodes, intervals by rule, a state
 * row per planned session, a new epoch, NOTIFY. Still in the transaction. */
bool roster_changed(struct pgc *db, const char *reason, struct pgc_err *err);
/* Makes the classes in force those; *changed when they were not. */
bool roster_plan_classes(struct pgc *db, const struct plan_opts *o,
                         bool *changed, struct pgc_err *err);
/* The epoch of the mesh file in force; 0: none. */
bool roster_mesh_file(struct pgc *db, int64_t *epoch, struct pgc_err *err);
/* COMMIT, or on !ok ROLLBACK; returns whether it was committed. */
bool roster_end(struct pgc *db, bool ok, struct pgc_err *err);

#endif
