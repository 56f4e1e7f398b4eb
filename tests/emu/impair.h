/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One direction of a link at work: decides the fate and the release time of
 * each packet. It is told the time and knows neither clocks nor sockets; with
 * the same seed, settings and packets it decides the same.
 *
 * A packet passes these stages in this order, and a later stage never sees
 * what an earlier one dropped:
 *
 *   link off, blackout window, every-Nth or random loss, Gilbert-Elliott,
 *   TTL, rate and queue, delay and jitter, order, reordering or duplicate
 */
#ifndef TWMESH_EMU_IMPAIR_H
#define TWMESH_EMU_IMPAIR_H

#include "lib/base/clock.h"
#include "lib/base/rng.h"
#include "tests/emu/frame.h"
#include "tests/emu/linkconf.h"

#include <stdbool.h>
#include <stdint.h>

enum fate {
	FATE_SENT,
	FATE_DUP,       /* the second copy of a packet that was sent */
	FATE_REORDERED, /* sent after packets that came later */
	FATE_LOST_LINK,
	FATE_LOST_BLACKOUT,
	FATE_LOST_NTH,
	FATE_LOST_RANDOM,
	FATE_LOST_BURST,
	FATE_LOST_TTL,
	FATE_LOST_QUEUE,
	FATE_LOST_FULL, /* the emulator's own memory, or the send failed */
	FATE_LOST_END,  /* still on its way when the emulator stopped */
	FATE_N
};
const char *fate_name(enum fate f);

struct impair {
	struct linkconf conf;
	struct rng rng;
	uint64_t loss_n, dup_n, reorder_n; /* for every-Nth, since conf */
	bool bad;                          /* Gilbert-Elliott's state */
	struct mono busy_until;            /* the rate's line is sending */
	struct mono last_release;
};

struct verdict {
	enum fate fate;      /* SENT, REORDERED (hold it) or LOST_x */
	struct mono release; /* nominal; valid unless lost */
	bool copy;           /* send it twice */
};

void impair_init(struct impair *im, const struct linkconf *c, uint64_t seed);
/* New settings; every-Nth begins to count anew. */
void impair_change(struct impair *im, const struct linkconf *c);
/* `in`: when the packet came; `start`: when the emulator started. */
struct verdict impair_decide(struct impair *im, const struct frame *f,
                             struct mono in, struct mono start);

#endif
