/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the reflector counts: why packets were dropped (a fixed table, each
 * reason with whose fault it is) and what happened to the others. Names are
 * what the local socket, SIGUSR1 and the manual show.
 */
#ifndef TWMESH_REFLECTOR_COUNTERS_H
#define TWMESH_REFLECTOR_COUNTERS_H

#include <stdint.h>
#include <stdio.h>

enum drop {
	DROP_NONE,       /* answered */
	DROP_SHORT,      /* too short to be answered at its own length */
	DROP_LONG,       /* longer than TEST_BUF_MAX */
	DROP_MULTIPLIER, /* Error Estimate with multiplier 0: corrupt */
	DROP_TIMESTAMP,  /* PTP nanoseconds out of range: corrupt */
	DROP_GROUP,      /* sent to a multicast or broadcast address */
	DROP_SOURCE,     /* from an address or port nobody can have */
	DROP_LOOP,       /* from a reflector's port (measurement rule 25) */
	DROP_DENIED,     /* not in the allow-list */
	DROP_RATE,       /* over rate_limit_pps */
	DROP_N
};
const char *drop_str(enum drop d);

enum counter {
	COUNT_RECEIVED,     /* packets read from sockets */
	COUNT_REPLIES,      /* handed to the kernel */
	COUNT_STATELESS,    /* of them, answered without session state */
	COUNT_TABLE_FULL,   /* of those, because the table was full */
	COUNT_DUPLICATES,   /* sender sequence number seen before */
	COUNT_USER_STAMPS,  /* no kernel receive stamp: T2 from user space */
	COUNT_SEND_FAILED,  /* refused by the kernel */
	COUNT_KERNEL_DROPS, /* lost for want of receive buffer */
	COUNT_HELD,         /* read over STALL_HELD_NS after they arrived */
	COUNT_FOLLOW_UPS,   /* replies that tell when the one before left */
	COUNT_TX_ASKED,     /* replies sent with a request for their stamp */
	COUNT_TX_STAMPS,    /* stamps that came back */
	COUNT_OPENED,       /* sessions */
	COUNT_EXPIRED,      /* sessions idle for session_idle */
	COUNT_EVICTED,      /* strangers' sessions that gave way to members */
	COUNT_N
};
const char *counter_str(enum counter c);

struct counters {
	uint64_t count[COUNT_N];
	uint64_t drop[DROP_N]; /* [DROP_NONE] unused */
};

uint64_t counters_dropped(const struct counters *c);
/* Lines "name value". */
void counters_print(const struct counters *c, FILE *out);
/* Lines "reason value", all reasons. */
void counters_print_drops(const struct counters *c, FILE *out);

#endif
