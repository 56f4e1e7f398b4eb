/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When this host could not keep up: packets that lay in the socket for long, or
 * that it had no room for. Their senders see late replies, or losses, that are
 * no fact about the network (docs/MEASUREMENT.md rule 10); meshd asks for these
 * intervals and the controller stores them, so that results can be joined with
 * them.
 *
 * An interval lasts from the kernel's stamp of the first packet concerned to
 * the instant at which the last one was read. Its start never moves: it is its
 * name. What follows within STALL_GAP_NS belongs to it. The newest STALLS_MAX
 * are kept. No sockets and no clocks.
 */
#ifndef TWMESH_REFLECTOR_STALL_H
#define TWMESH_REFLECTOR_STALL_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A busy host keeps a packet for 4 to 8 ms now and then; ten times that is no
 * measurement any more. */
#define STALL_HELD_NS (100 * NS_PER_MS)
#define STALL_GAP_NS NS_PER_S
#define STALLS_MAX 16

struct stall {
	struct wall from, to;
	uint64_t drops; /* packets without room */
	uint64_t held;  /* packets read late */
};

struct stalls {
	struct stall ring[STALLS_MAX];
	size_t n;      /* in the ring */
	size_t newest; /* valid if n > 0 */
	struct clock_pair before;
};

/* Once a second: both clocks. */
void stalls_on_second(struct stalls *s, struct clock_pair now);
/* A packet with the kernel's stamp, read at `now`: true if it was held. Nothing
 * is known while the wall clock has just been set. */
bool stalls_on_packet(struct stalls *s, struct wall stamp,
                      struct clock_pair now);
/* n packets were dropped, as is seen by a batch that was read at `now` and
 * whose first stamp is `first`; `before` is the last stamp before it (ns 0:
 * none). A queue must be full for that: it happened behind one of the two. */
void stalls_on_drops(struct stalls *s, uint64_t n, struct wall before,
                     struct wall first, struct wall now);
/* The i-th, newest first. i < s->n. */
const struct stall *stalls_at(const struct stalls *s, size_t i);

#endif
