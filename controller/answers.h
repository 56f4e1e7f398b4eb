/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON documents of the API as the database makes them, kept for 500 ms,
 * so that any number of browsers costs one query, and kept longer for the time
 * when the database is away: then the last known matrix is served with
 * database.ok false. Owns the web thread's reader connection. Belongs to that
 * thread; a query blocks it for at most the statement timeout (3 s) plus the
 * 5 s of lib/pg, after which the reader rests for a while.
 */
#ifndef TWMESH_CONTROLLER_ANSWERS_H
#define TWMESH_CONTROLLER_ANSWERS_H

#include "controller/blob.h"
#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>

enum answer_kind {
	ANSWER_MATRIX,
	ANSWER_NODES,
	ANSWER_PATH,
	ANSWER_TOKENS,
	ANSWER_OUTAGES,
	ANSWER_EVIDENCE,
	ANSWER_PLAN,
	ANSWER_INCIDENTS,
	ANSWER_DB_SIZE
};
#define ANSWER_ARGS_MAX 7
#define ANSWER_ETAG_MAX 24

struct answer {
	int status;        /* 200; 400: the server refused an argument;
	                    * 404: NULL from SQL; 503: no database */
	struct blob *body; /* owned by answers; valid until the next get */
	struct blob *gzip; /* may be NULL */
	char etag[ANSWER_ETAG_MAX];
	const char *reason; /* of a 400 or 503; valid until the next call */
};

struct answers;
/* Nothing is connected yet. `database` is borrowed. */
struct answers *answers_new(const char *database);
void answers_free(struct answers *a);

/* What the writer says about the database. */
void answers_database(struct answers *a, bool ok, struct wall since,
                      const char *reason);
bool answers_database_ok(const struct answers *a);
/* Can it write, whatever became of our own connection, which is made only by
 * the first document that somebody asks for? */
bool answers_writer_ok(const struct answers *a);

/* arg: the SQL function's arguments as text, NULL for SQL NULL; as many as the
 * kind takes (1, 0, 4, 0, 7, 1, 0, 4, 3). */
struct answer answers_get(struct answers *a, enum answer_kind kind,
                          const char *const arg[ANSWER_ARGS_MAX],
                          struct mono now);

/* Something was changed: what is kept is not fresh any more. */
void answers_changed(struct answers *a);

/* The weak ETag of a document: over all of it but the instant it was made
 * ("at") and the ages ("age_s"), which a reader can count on by itself. */
void answers_etag(const char *json, size_t len, char out[ANSWER_ETAG_MAX]);

#endif
