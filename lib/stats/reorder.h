/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reordering of a stream of sequence numbers in order of arrival (RFC 4737):
 * a packet is reordered when its number is below NextExp (3.3); its extent is
 * how far back the earliest packet with a larger number arrived (4.2.1). First
 * copies only: the caller leaves duplicates out.
 */
#ifndef TWMESH_STATS_REORDER_H
#define TWMESH_STATS_REORDER_H

#include <stdbool.h>
#include <stdint.h>

/* Extents reach so far back; farther ones count as this. */
#define REORDER_RING 128U

/* Zero-initialised: nothing arrived yet. */
struct reorder {
	uint32_t next_exp; /* valid when n > 0 */
	uint64_t n;        /* arrivals */
	uint32_t seq[REORDER_RING];
};

/* Takes the arrival of `seq`. The extent when it is reordered, else 0. */
uint32_t reorder_arrive(struct reorder *r, uint32_t seq);
/* The numbering began anew: nothing before counts. */
void reorder_cut(struct reorder *r);

#endif
