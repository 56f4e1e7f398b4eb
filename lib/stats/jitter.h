/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delay accumulators: minimum, mean and maximum; mean |IPDV| (RFC 3393); and
 * the smoothed jitter of RFC 3550 6.4.1. Delays are ns and signed (one-way
 * delays hold the clock offset); an unknown one is NS_UNKNOWN and not fed.
 */
#ifndef TWMESH_STATS_JITTER_H
#define TWMESH_STATS_JITTER_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

/* Larger than this (73 years) a delay is corrupt: below it, the difference of
 * any two cannot overflow. */
#define DELAY_LIMIT_NS (INT64_C(1) << 61)

/* a - b, or NS_UNKNOWN when not below DELAY_LIMIT_NS. */
int64_t delay_ns(int64_t a_ns, int64_t b_ns);

/* Zero-initialised: empty. */
struct delay_acc {
	uint64_t n;
	int64_t min_ns, max_ns, first_ns; /* valid when n > 0 */
	double sum_ns; /* of (delay - first): small, so exact even when a
	                * clock is off by decades */
};
void delay_acc_add(struct delay_acc *a, int64_t d_ns);
/* Rounded to the nearest ns; NS_UNKNOWN when empty. */
int64_t delay_acc_mean_ns(const struct delay_acc *a);
int64_t delay_acc_min_ns(const struct delay_acc *a);
int64_t delay_acc_max_ns(const struct delay_acc *a);

/* RFC 3550: J += (|D| - J)/16 over packets in arrival order, each once.
 * Zero-initialised: J = 0 and nothing arrived yet. */
struct jitter {
	double j_ns;
	int64_t prev_ns; /* valid when has_prev */
	bool has_prev;
};
/* True when J moved: there was a packet before. */
bool jitter_add(struct jitter *j, int64_t d_ns);
/* The clocks stepped: the next packet has no predecessor; J stays. */
void jitter_cut(struct jitter *j);
int64_t jitter_round_ns(double j_ns);

#endif
