/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A loss run: consecutive lost packets of one session, in the order they were
 * sent (RFC 3357 5), from three packets on. Every layer speaks of it: lib/stats
 * finds it, meshd ships it, the controller stores it, the command shows it.
 *
 *   OPEN ──timeout──▶ CONFIRMED ──next reply──▶ CLOSED
 *     │                                           ▲
 *     ├──next reply, all timed out────────────────┘
 *     └──the replies came after all──▶ RETRACTED
 *
 * Each message about a run holds all of it, with a revision that rises: the
 * newest stands, whatever order they are read in.
 */
#ifndef TWMESH_BASE_LOSSRUN_H
#define TWMESH_BASE_LOSSRUN_H

#include "lib/base/addr.h"
#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOSS_RUN_MIN 3           /* packets; shorter ones are only counted */
#define LOSS_RUN_PACKETS_MAX 200 /* of evidence per run */

enum loss_run_state {
	LOSS_RUN_OPEN,      /* provisional: overtaken or timed out */
	LOSS_RUN_CONFIRMED, /* the loss timeout has passed */
	LOSS_RUN_CLOSED,
	LOSS_RUN_RETRACTED, /* was none */
	LOSS_RUN_STATES
};

enum packet_fate {
	FATE_RECEIVED,
	FATE_LOST_FWD,
	FATE_LOST_BWD,
	FATE_LOST_UNDET,
	FATE_LATE, /* lost by the timeout; a reply came afterwards */
	FATE_N
};

/* Evidence: one packet around a run. Instants are NS_UNKNOWN where not known.
 * T1 and T4 are by the source's clock, T2 and T3 by the destination's. */
struct loss_run_packet {
	uint32_t seq;
	uint32_t reflector_seq; /* valid when t2 is known */
	uint16_t flow;
	uint8_t fate;                 /* enum packet_fate */
	int16_t sender_ttl, ttl, tos; /* of reply; -1 unknown */
	struct wall t1, t2, t3, t4;
};

struct loss_run {
	uint32_t dst_id, class_id;
	uint64_t run_id;   /* random; unique with source, destination, class */
	uint32_t revision; /* from 1 */
	enum loss_run_state state;
	uint32_t first_seq, last_seq; /* lost packets, of their flows */
	uint16_t first_flow, last_flow;
	uint32_t lost, lost_fwd, lost_bwd, lost_undet;
	struct wall first, last;    /* T1 of the first and the last lost packet:
	                             * the lower duration */
	struct wall before, after;  /* T1 of the packets received before and
	                             * after: the upper one; NS_UNKNOWN */
	int64_t lower_ns, upper_ns; /* durations, monotonic; upper NS_UNKNOWN
	                             * while open, or with no packet before */
	bool reflector_restart;     /* found across it */
	bool host_limited;          /* of our own socket: no network fact */
	struct addr src, dst;       /* len 0: not known */
	struct loss_run_packet *packet; /* owned; in order of sending */
	size_t packet_n;                /* only in CLOSED */
};

/* "open", "confirmed", ..; "received", "fwd", "bwd", "undetermined", "late". */
const char *loss_run_state_str(enum loss_run_state s);
const char *packet_fate_str(enum packet_fate f);
void loss_run_clear(struct loss_run *r); /* frees the packets */

#endif
