/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The roster in the database: who is in the mesh, under which key, with which
 * addresses, and what runs. Every change is a transaction under one advisory
 * lock, makes an epoch, and tells the other controllers (NOTIFY
 * twmesh_epoch, which carries the epoch only).
 *
 * All calls belong to the writer's thread.
 */
#ifndef TWMESH_CONTROLLER_ROSTER_DB_H
#define TWMESH_CONTROLLER_ROSTER_DB_H

#include "controller/letters.h"
#include "controller/limits.h"
#include "lib/pg/pgc.h"

/* What the writer must know about every node id that was ever issued. */
struct known_node {
	int32_t slot, generation; /* slot 0: no such node */
	bool removed;
};

struct known_class {
	bool exists;
	bool retired;
	int64_t lateness_ns; /* a result later than this was back-filled */
	int64_t interval_ns;
	struct limits limits;
};

struct known {
	uint64_t epoch;
	int64_t newest_token;    /* id; 0: none */
	int64_t mesh_file;       /* epoch of the one in force; 0: none */
	struct known_node *node; /* owned; by node id */
	size_t node_size;
	struct known_class *class_; /* owned; by class id */
	size_t class_size;
};
void known_clear(struct known *k);
const struct known_node *known_node(const struct known *k, uint32_t id);
const struct known_class *known_class(const struct known *k, uint32_t id);

/* The classes that configuration or mesh file ask for; borrowed. An interval of
 * 0 follows the number of nodes. */
struct plan_opts {
	const struct roster_class *class_;
	size_t class_n;
};

/* Prepares statements on a new connection, and LISTENs. */
bool roster_db_attach(struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Makes the database's classes those of the configuration, unless a mesh file
 * is in force: then *mesh_file is its epoch, else 0. */
bool roster_db_plan(struct pgc *db, const struct plan_opts *o,
                    int64_t *mesh_file, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Is what is known still the newest epoch and the newest token? */
bool roster_db_is_current(struct pgc *db, const struct known *known,
                          bool *current, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Reads everything in one snapshot: *known is replaced, *tell is a new letter
 * TELL_ROSTER. */
bool roster_db_load(struct pgc *db, struct known *known, struct tell **tell,
                    struct pgc_err *err) __attribute__((warn_unused_result));

/*
 * The following answer requests. True: *answer (TELL_HELLO, TELL_JOIN,
 * TELL_ADMIN) holds
 * the answer, a refusal too, and it is committed. False: the database failed,
 * nothing was changed.
 */
bool roster_db_hello(struct pgc *db, const struct ask *ask,
                     const char *instance, struct tell *answer,
                     struct pgc_err *err) __attribute__((warn_unused_result));
bool roster_db_join(struct pgc *db, const struct ask *ask, struct tell *answer,
                    struct pgc_err *err) __attribute__((warn_unused_result));
bool roster_db_token_create(struct pgc *db, const struct ask *ask,
                            struct tell *answer, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool roster_db_token_revoke(struct pgc *db, const struct ask *ask,
                            struct tell *answer, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool roster_db_approve(struct pgc *db, const struct ask *ask,
                       struct tell *answer, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool roster_db_remove(struct pgc *db, const struct ask *ask,
                      struct tell *answer, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool roster_db_bye(struct pgc *db, const struct ask *ask, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool roster_db_pending(struct pgc *db, const struct ask *ask,
                       struct pgc_err *err) __attribute__((warn_unused_result));

#endif
