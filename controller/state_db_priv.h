/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the current state in memory, shared by state_db.c (rows),
 * state_change.c (what cells left and took) and state_floor.c (usual values).
 */
#ifndef TWMESH_CONTROLLER_STATE_DB_PRIV_H
#define TWMESH_CONTROLLER_STATE_DB_PRIV_H

#include "controller/state_db.h"
#include "lib/pg/pgbuf.h"

#define SLOT_MAX 4096
#define NEVER_US INT64_MIN /* behind_us of a cell without results */
#define BUCKETS 4096       /* power of two; chains stay short at 1,000 nodes */

/*
 * How much of a row an UPDATE rewrites. Most intervals change no state, many
 * no count; what is not named keeps its octets on disk (TOAST), which halves
 * the cost of the usual change.
 */
enum width {
	WIDTH_DELAYS,
	WIDTH_LOST,
	WIDTH_BEHIND,
	WIDTH_COUNTS,
	WIDTH_ALL,
	WIDTH_N
};

struct state_row {
	struct state_row *next; /* in its bucket */
	uint32_t src_id, class_id;
	int64_t revision;
	struct cell *cell; /* owned; [slot - 1] */
	int64_t *behind;   /* owned; behind_us as the database has it */
	int32_t slots;
	bool changed;
	enum width width; /* of the change; valid while changed */
};

/* A cell that took another state in this transaction. */
struct change {
	uint32_t src_id, class_id;
	int32_t slot, generation; /* of the destination */
	struct wall at;
	enum cell_state from, to;
	char why[STATE_WHY_MAX];
};

struct state_db {
	struct pgc *db;        /* borrowed */
	struct change *change; /* owned array, in order */
	size_t change_n, change_size;
	bool change_lost; /* out of memory: the transaction fails */
	struct state_row *bucket[BUCKETS];
	struct state_row **changed; /* owned array of borrowed rows */
	size_t changed_n, changed_size;
	bool floors_wanted; /* a row was read since they were */
	int64_t floors_us;  /* the newest that was read */
	struct pgbuf buf;   /* scratch for parameters */
};

/* state_change.c: the cell's state was `from` before. */
void state_note_change(struct state_db *s, const struct state_row *r,
                       int32_t slot, enum cell_state from);
bool state_change_attach(struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool state_change_write(struct state_db *s, struct pgc_err *err)
    __attribute__((warn_unused_result));

/* state_floor.c */
bool state_floor_attach(struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));

/* state_db.c: NULL when the row is not in memory. */
struct state_row *state_db_find(struct state_db *s, uint32_t src_id,
                                uint32_t class_id);

#endif
