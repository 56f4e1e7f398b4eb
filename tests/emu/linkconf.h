/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one direction of a link does to packets, and the words for it
 * ("delay=80ms", "loss=1/100"; docs/EMULATOR.md has the list). Pure values:
 * the file (netconf), the control socket and the link itself (impair) share
 * them.
 */
#ifndef TWMESH_EMU_LINKCONF_H
#define TWMESH_EMU_LINKCONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_WINDOWS 8

enum jitter_kind { JITTER_NONE, JITTER_UNIFORM, JITTER_NORMAL };

/* Either a probability or every Nth packet; both 0: never. */
struct chance {
	double p;       /* 0 .. 1 */
	uint32_t every; /* N: exactly the Nth, 2Nth, ... */
};

/* [start, end) since the emulator started; again every period unless 0. */
struct window {
	int64_t start_ns, end_ns, period_ns;
};

/* Gilbert-Elliott: two states, a loss probability in each. */
struct gilbert {
	bool on;
	double to_bad, to_good; /* chance per packet to change state */
	double bad, good;       /* loss in either state */
};

struct linkconf {
	bool off; /* there is no such link (star) */
	int64_t delay_ns;
	enum jitter_kind jitter;
	int64_t jitter_ns; /* half width, or standard deviation */
	bool free_order;   /* jitter may reorder; else first in, first out */
	struct chance loss, dup, reorder;
	uint32_t reorder_gap; /* packets that overtake a reordered one */
	struct gilbert gilbert;
	struct window down[LINK_WINDOWS];
	unsigned down_n;
	int64_t rate_bps;    /* bits of IP packet per second; 0: no limit */
	int64_t queue_bytes; /* in front of the rate */
	uint8_t dscp[64];    /* by the DSCP it came with */
	uint8_t hops;        /* taken off the TTL */
	uint16_t sport;      /* loss, gilbert, dup and reorder only for */
	uint16_t dport;      /* these UDP or TCP ports; 0: any */
};

/* A link that changes nothing. */
void linkconf_init(struct linkconf *c);
/* Applies one "key=value"; false with a reason in err, c unchanged. */
bool linkconf_set(struct linkconf *c, const char *setting, char *err,
                  size_t err_size);

#endif
