/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The prober: a thread of its own that owns test sockets, sessions and clocks,
 * and shares only two mailboxes with the main thread: plans in, results out.
 *
 *   main ── struct plan (whole, by epoch) ──▶ prober
 *   main ◀── results, runs, revisions ─────── prober (meshd/letters.h)
 *
 * Nothing the main thread does may delay a send.
 */
#ifndef TWMESH_MESHD_PROBER_H
#define TWMESH_MESHD_PROBER_H

#include "lib/base/addr.h"
#include "lib/base/mailbox.h"
#include "lib/base/result.h"
#include "lib/bus/msg.h"
#include "meshd/lateness.h"
#include "meshd/letters.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct prober_opts {
	struct addr source4, source6; /* to bind; len 0: any */
	uint16_t source_port_base;    /* first test source port; 0: ephemeral */
	int64_t min_gap_ns;           /* between any two sends (50 us) */
	bool precise;                 /* sleep, then spin */
	bool fifo;                    /* SCHED_FIFO when allowed */
	int64_t clock_error_floor_ns;
};

/* A whole plan: what to probe from now on. Owned by who holds the letter. */
struct plan {
	struct letter letter;
	uint32_t self_id;     /* our node id: not probed */
	struct roster roster; /* owned */
};
void plan_free(struct plan *p);

/* Read by the main thread for heartbeats and status; relaxed counters. */
struct prober_stats {
	_Atomic uint64_t sent, send_failed, received, late, unknown, altered,
	    local_drops, tx_stamps, results, results_held;
	_Atomic uint32_t sessions;
	_Atomic uint32_t targets_counting; /* proofs so far that one does */
	_Atomic int64_t lateness_max_ns; /* of sends; prober_take_lateness() */
	struct lateness lateness;        /* of all sends */
	_Atomic bool clock_synchronised;
	_Atomic int64_t clock_max_error_ns;
};

struct prober;
/* Starts the thread. NULL with *err = -errno. */
struct prober *prober_start(const struct prober_opts *o, int *err);
/* Finishes open intervals (RESULT_PARTIAL) and joins the thread; all results
 * are in the mailbox then, to be taken before prober_free(). */
void prober_stop(struct prober *p);
/* Stops if need be. Takes NULL. */
void prober_free(struct prober *p);

/* Hands over the plan (a later one replaces an untaken one). */
void prober_set_plan(struct prober *p, struct plan *plan);
struct mailbox *prober_results(struct prober *p);
const struct prober_stats *prober_stats(const struct prober *p);
/* How late the latest send was since the last call. */
int64_t prober_take_lateness_ns(struct prober *p);

#endif
