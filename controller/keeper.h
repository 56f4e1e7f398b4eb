/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper: what the database needs now and then, so that ingest and readers
 * never wait for it. One controller at a time does it, under a lease with
 * fencing (lease.h). Two threads with a connection each:
 *
 *   rolls   partitions ahead, rollups, windows, forgetting: short transactions
 *   leaves  indexes of closed partitions, old partitions: statements that may
 *           wait for the longest reader (CONCURRENTLY), and so run by
 *           themselves
 *
 * Nothing here can fail the program: trouble is logged, and tried again.
 */
#ifndef TWMESH_CONTROLLER_KEEPER_H
#define TWMESH_CONTROLLER_KEEPER_H

#include "controller/keeper_jobs.h"

struct keeper_opts {
	const char *database; /* libpq connection string; borrowed */
	const char *instance; /* uuid text of this run; borrowed */
	int64_t lease_ns;     /* another takes over after it */
	struct keep keep;
};

struct keeper;
/* Starts the threads. NULL with *err = -errno. */
struct keeper *keeper_start(const struct keeper_opts *o, int *err);
/* Ends what is under way, gives the lease back, frees. */
void keeper_stop(struct keeper *k); /* NULL is allowed */

#endif
