/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How far a node's clock is from the controller's: node - controller, from the
 * echoes in heartbeats, as NTP does (RFC 5905 section 8).
 *
 *   t1  controller's clock, a heartbeat leaves      (comes back as echo_sent)
 *   t2  node's clock, it arrives there              (comes back as
 * echo_received) t3  node's clock, the node's heartbeat leaves t4  controller's
 * clock, it arrives here
 *
 *   offset = ((t2 - t1) + (t3 - t4)) / 2, wrong by at most delay / 2
 *   delay  = (t4 - t1) - (t3 - t2)
 *
 * The estimate is the sample of least delay among the last OFFSET_KEEP. A
 * sample that no true offset can share with the estimate (their intervals
 * offset +- delay/2 lie apart by more than OFFSET_SLACK_NS) means that a clock
 * was set: the history is forgotten, and the new sample stands. Pure; all
 * numbers from a peer are hostile, so every sum is checked.
 */
#ifndef TWMESH_CONTROLLER_OFFSET_H
#define TWMESH_CONTROLLER_OFFSET_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>

#define OFFSET_KEEP 8
/* Two oscillators part by at most 200 ppm: 16 s of history, 3.2 ms; rounded
 * up, so that a slewing clock is followed without forgetting. */
#define OFFSET_SLACK_NS (10 * NS_PER_MS)

struct offset_sample {
	int64_t offset_ns, delay_ns;
};

struct offset {
	struct offset_sample s[OFFSET_KEEP]; /* a ring */
	size_t n, next;
};

/* Zero-initialised is empty. False: the stamps cannot be (a negative delay, a
 * number out of range), and nothing changed. */
bool offset_add(struct offset *o, struct wall t1, struct wall t2,
                struct wall t3, struct wall t4)
    __attribute__((warn_unused_result));
/* The estimate, or NS_UNKNOWN while there is no sample. */
int64_t offset_estimate_ns(const struct offset *o);

#endif
