/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writer: a thread with a blocking libpq connection, every timeout set, so
 * that BEGIN, ledger, COPY, state, COMMIT reads from top to bottom. Results
 * wait at most 200 ms or 10,000 rows for a shared transaction; acks go out
 * only after COMMIT. A failing transaction is bisected by node, so that one
 * bad batch is put aside and the rest stored. While the database is away it
 * says so (TELL_DATABASE), drops nothing it has acknowledged, and reconnects
 * with backoff.
 */
#ifndef TWMESH_CONTROLLER_WRITER_H
#define TWMESH_CONTROLLER_WRITER_H

#include "controller/letters.h"

struct writer_opts {
	const char *database; /* libpq connection string; borrowed */
	const struct roster_class *class_; /* from the configuration; borrowed.
	        class_id and version are given by the database; an interval
	        of 0 is 10 s up to 50 nodes, 60 s above */
	size_t class_n;
	const char *const *reference; /* names of nodes whose clocks are good;
	                                 borrowed */
	size_t reference_n;
	size_t batch_rows; /* of a transaction at most; 0: 10,000 */
	struct mailbox *to_bus, *to_web; /* borrowed */
};

struct writer;
/* Starts the thread. The first connection is tried at once; whether it worked
 * comes as TELL_DATABASE. NULL with *err = -errno. */
struct writer *writer_start(const struct writer_opts *o, int *err);
/* Room for 4,096 asks. A full inbox: the bus drops the batch without ack. */
struct mailbox *writer_inbox(struct writer *w);
/* The run's name, as uuid text; lives as long as the writer. */
const char *writer_instance(const struct writer *w);
/* Stores what is in the inbox, ends the thread, frees. */
void writer_stop(struct writer *w);

#endif
