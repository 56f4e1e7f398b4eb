/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Current state in the database: one row of arrays per source and class
 * (twmesh_private.path_state), kept in memory too, so that the steady state
 * reads nothing. The row's revision tells when another controller changed it
 * meanwhile: then the transaction is done again with a fresh copy.
 *
 * All calls belong to the writer's thread and its open transaction. After a
 * rollback call state_db_forget_changes(): what was computed is not true.
 */
#ifndef TWMESH_CONTROLLER_STATE_DB_H
#define TWMESH_CONTROLLER_STATE_DB_H

#include "controller/state.h"
#include "lib/pg/pgc.h"

struct state_db;
struct state_row; /* one (source, class) */

struct state_db *state_db_new(void); /* NULL: out of memory */
void state_db_free(struct state_db *s);
/* A new connection: prepared statements are to be made again, copies may be
 * old. */
bool state_db_attach(struct state_db *s, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));

/* The row, read (and locked) when it is not in memory. NULL: err. */
struct state_row *state_db_row(struct state_db *s, uint32_t src_id,
                               uint32_t class_id, struct pgc_err *err);
/* To be said before the first change of a transaction. */
void state_row_changed(struct state_db *s, struct state_row *r);
/* Takes a result into account in the cell of a slot (1..4096), which is
 * emptied when its generation is another. False: out of memory. */
bool state_row_apply(struct state_db *s, struct state_row *r, int32_t slot,
                     int32_t generation, const struct cell_input *in)
    __attribute__((warn_unused_result));

/* The same for a closed loss run and for a revision, in a cell of that
 * generation only. */
void state_row_run(struct state_db *s, struct state_row *r, int32_t slot,
                   int32_t generation, const struct cell_run *run);
void state_row_revise(struct state_db *s, struct state_row *r, int32_t slot,
                      int32_t generation, struct wall end, int64_t lost_fwd,
                      int64_t lost_bwd, int64_t lost_undet);

/* Reads the usual values of paths (twmesh_private.path_floor) that came since
 * the last call into the cells, for limits over them. Between transactions. */
bool state_db_read_floors(struct state_db *s, struct pgc_err *err)
    __attribute__((warn_unused_result));

enum state_db_result { STATE_DB_OK, STATE_DB_CONFLICT, STATE_DB_FAILED };
/* Writes all changed rows, sorted (against deadlock), and the states that cells
 * left and took (twmesh_private.cell_change). CONFLICT: another writer
 * was faster; roll back and do the transaction again. */
enum state_db_result state_db_write(struct state_db *s, struct pgc_err *err);
void state_db_commit(struct state_db *s);
void state_db_forget_changes(struct state_db *s);

#endif
