/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a matrix cell (one direction src -> dst of a class), judged
 * from its results in order (docs/MEASUREMENT.md). Pure: no clock, no
 * database.
 *
 * Every interval has a level: good, warn or crit. By loss it is crit when at
 * least 3 packets and the class's share of those sent (10 % unless its limits
 * say otherwise) are lost in this direction by its upper bound (lost_fwd +
 * lost_undet), so that a blackout whose direction nobody can tell is not green;
 * or when as many could not be sent at all. Where an interval holds too few
 * packets for 3 losses (long gaps, sending held back from an address that does
 * not answer), such thin intervals are gathered until there are 3. Limits of
 * the class on loss (from 1 packet), round trip, jitter and one-way delay make
 * it warn or crit too; a one-way delay only while both clocks are disciplined.
 *
 * A cell's state follows the last n intervals, n being the class's hysteresis
 * (2 unless it says otherwise): it gets worse when all n are at least so bad,
 * and better when none of n is so bad any more.
 *
 *              first good                  n at least warn
 *   unjudged ──────────────▶ ok ───────────────────────────────▶ warn
 *       │                     ◀─────────────────────────────────  │ ▲
 *       │                              n good             n crit  ▼ │ n not
 * crit └──────────────────────────────────────────────────────▶ crit n crit
 *
 * An interval that looks bad says nothing when a host is at fault: the source's
 * (host_limited), or the destination's (dst_host_limited, or the reflector's
 * own word for that time). Results older than the cell's newest (back-fill)
 * change nothing.
 *
 * A loss run that has been open for 3 s makes a cell crit at once: twmesh.
 * matrix_cell says so on reading. When it closes, cell_apply_run() keeps the
 * cell crit until two good intervals in a row.
 */
#ifndef TWMESH_CONTROLLER_STATE_H
#define TWMESH_CONTROLLER_STATE_H

#include "controller/limits.h"
#include "lib/base/clock.h"
#include "lib/base/result.h"

#include <stdbool.h>
#include <stdint.h>

#define STATE_BAD_LOST 3   /* packets: fewer are no evidence */
#define STATE_BAD_PCT 10.0 /* of those sent, unless the class says so */
#define STATE_WHY_MAX 160

/* Beside the bits of METRIC_FLAGS: the result came late, from a spool. */
#define CELL_BACKFILLED (1U << 14)

/* As stored in path_state.state; not in the order of badness. */
enum cell_state { CELL_UNJUDGED, CELL_OK, CELL_CRIT, CELL_WARN };

/* Numbers are as stored: milliseconds, per cent; NAN is NULL. */
struct cell {
	int32_t generation;    /* of the destination's slot; 0: empty */
	struct wall measured;  /* end of the newest interval */
	struct wall since;     /* start of the first interval of the state */
	enum cell_state state; /* since is valid unless CELL_UNJUDGED */
	int16_t streak;        /* > 0 not crit, < 0 crit intervals in a row */
	int16_t warn_streak;   /* > 0 good, < 0 warn or crit */
	uint16_t flags;        /* METRIC_FLAGS | CELL_BACKFILLED */
	int16_t hops;          /* -1: NULL */
	int32_t thin_lost, thin_sent;
	int32_t sent, lost,
	    lost_undet; /* lost: upper bound of this direction */
	/* The other half of the same session: it is the second witness of the
	 * direction dst -> src, whose packets are those that arrived at dst
	 * (sent less what was lost on the way there). */
	int32_t lost_bwd; /* for certain; at most lost_undet more */
	int32_t epoch;
	float delay_ms, jitter_ms, rtt_ms, rtt_p99_ms, clock_err_ms;
	float back_delay_ms, back_jitter_ms;
	float fwd_min_ms, bwd_min_ms; /* for the clock audit */
	/* The path's usual values (median over 7 days), for limits over them;
	 * NAN: not known, such a limit says nothing. LIMIT_LOSS is not used. */
	float floor_ms[LIMIT_N];
	char *why; /* owned; NULL: nothing to say */
};

struct cell_input {
	const struct limits *limits; /* borrowed; NULL: limits_default */
	struct wall start;
	int64_t interval_ns;
	uint64_t epoch;
	bool backfilled;
	bool dst_limited;    /* the destination's host could not keep up */
	int64_t v[METRIC_N]; /* only the metrics that a cell shows are read */
};
/* The metrics that state_apply() reads. */
extern const enum metric cell_metrics[];
extern const size_t cell_metrics_n;

/* Empties the cell for a destination of this generation. */
void cell_reset(struct cell *c, int32_t generation);
void cell_clear(struct cell *c);
/* Takes a result into account. False when it is not newer than what the cell
 * holds; then nothing changed. */
bool cell_apply(struct cell *c, const struct cell_input *in);

/* A loss run so long without a reply is as bad as two intervals. */
#define STATE_RUN_NS (3 * NS_PER_S)

struct cell_run {
	uint64_t run_id;
	struct wall first;   /* lost packet */
	struct wall end;     /* the next reply, or else the last lost packet */
	int64_t lasted_ns;   /* between the two */
	int64_t lost;        /* upper bound of this direction */
	int64_t interval_ns; /* of the class */
};
/* A run that was closed. False: it changes nothing. */
bool cell_apply_run(struct cell *c, const struct cell_run *r);

/* The directions of the newest result were decided: its counts now. The state
 * stands: what was judged bad by its upper bound takes its two intervals. False
 * when the cell holds another result. */
bool cell_revise(struct cell *c, struct wall end, int64_t lost_fwd,
                 int64_t lost_bwd, int64_t lost_undet);

#endif
