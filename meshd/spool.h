/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The spool: sealed batches on disk, from before their number is first sent
 * until space or age takes them. SQLite, WAL, synchronous=FULL: a batch that
 * spool_seal() returned for survives a power loss.
 *
 *   sealed ──sent, acknowledged──▶ acked (kept, so that a restored database
 *     │                                   can be refilled) ──▶ deleted
 *     └──no room, too old──▶ its rows give way to a gap record under the same
 *                            number: the sequence has no holes, and what was
 *                            lost is told in its place
 *
 * The spool's id is random at its creation: a deleted spool or a re-imaged
 * node must not be taken for redelivery. Sealed octets are never rebuilt
 * after they may have been sent: the PROTECTED oldest unacknowledged ones are
 * given up last. Bodies carry their digest; one that rotted on disk becomes a
 * gap as well.
 *
 * Beside its octets stands the clock that dated them (struct clock_mark), so
 * that a controller can tell a good date although the clock was set since.
 *
 * Everything blocks for a commit (2 to 14 ms). Main thread only.
 */
#ifndef TWMESH_MESHD_SPOOL_H
#define TWMESH_MESHD_SPOOL_H

#include "lib/bus/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No more than these are ever under way at once, whatever a controller's
 * window allows. */
#define SPOOL_PROTECTED 64

struct spool;

struct spool_opts {
	const char *path; /* borrowed during open */
	uint64_t max_bytes;
	int64_t max_age_ns;
	const uint8_t *boot_id; /* BOOT_ID_BYTES, borrowed during open; NULL:
	                         * not known, no marks are kept */
};

/* A file that is no SQLite database is refused; a damaged database is moved
 * aside (*aside is then its new name, malloc'd; else NULL). NULL with one
 * clear line in err. */
struct spool *spool_open(const struct spool_opts *o, struct wall now,
                         char **aside, char *err, size_t err_size)
    __attribute__((warn_unused_result));
void spool_free(struct spool *s);
void spool_set_limits(struct spool *s, uint64_t max_bytes, int64_t max_age_ns);

const struct id16 *spool_id(const struct spool *s);
uint64_t spool_next_seq(const struct spool *s);

struct spool_counts {
	uint64_t batches, bytes;                  /* not acknowledged */
	uint64_t kept_batches, kept_bytes;        /* acknowledged */
	uint64_t given_up_batches, given_up_rows; /* since start */
};
const struct spool_counts *spool_counts(const struct spool *s);

/* What a body holds: instants its rows span, how many, and the clock that dated
 * them (ns of a struct clock_mark, or NS_UNKNOWN). */
struct spool_span {
	struct wall from, to;
	uint32_t rows;
	int64_t clock_ns;
};

/* 0 with *seq, or -errno (-ENOSPC, -EIO): then nothing was kept. */
int spool_seal(struct spool *s, struct wall now, const struct spool_span *span,
               const uint8_t *body, size_t len, uint64_t *seq)
    __attribute__((warn_unused_result));

/* The lowest unacknowledged number >= from; 0: none. */
uint64_t spool_next_unacked(struct spool *s, uint64_t from);
/* 0 with *out (msg_batch.body is malloc'd), or -ENOENT, -EIO. */
int spool_load(struct spool *s, uint64_t seq, struct msg_batch *out)
    __attribute__((warn_unused_result));
/* One commit for all. Numbers that are not there are ignored. */
int spool_ack(struct spool *s, const uint64_t *seq, size_t n)
    __attribute__((warn_unused_result));
/*
 * What a Welcome says: below ledger_next the ledger has everything; what we
 * believed acknowledged at or above it, a restored database has lost. That is
 * told once per (incarnation, ledger_next), since a ledger that lacks what
 * nobody has any more would ask for ever. *again: how many are resent.
 */
int spool_reconcile(struct spool *s, const struct id16 *incarnation,
                    uint64_t ledger_next, uint64_t *again)
    __attribute__((warn_unused_result));

/* Gives up what is too old. Call once a minute. */
void spool_on_minute(struct spool *s, struct wall now);

#endif
