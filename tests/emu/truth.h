/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The truth file: a line for the fate of every packet (docs/EMULATOR.md lists
 * the columns), and comments for what else happened. The forwarding thread
 * puts records into a ring and never waits; a thread of ours formats and
 * writes them. Should the ring ever be full, the record is counted as missing
 * and the file's last line says so: then it is not the truth.
 */
#ifndef TWMESH_EMU_TRUTH_H
#define TWMESH_EMU_TRUTH_H

#include "tests/emu/frame.h"
#include "tests/emu/impair.h"
#include "tests/emu/netconf.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TRUTH_NOTE 232

struct truth_rec {
	struct wall in;      /* kernel's receive stamp */
	struct wall nominal; /* when it was to be released; unless lost */
	struct wall
	    release;        /* read right after the send; or when it was lost */
	int64_t send_ns;    /* how long the send took; unless lost */
	uint64_t index;     /* of the packet in its direction, from 0 */
	struct frame f;     /* as it came */
	uint32_t overtaken; /* packets that passed it (reordered) */
	uint8_t src, dst, fate;
	uint8_t dscp_out, ttl_out;
	uint8_t payload_octets; /* shown; 0 .. FRAME_PAYLOAD */
	uint8_t payload[FRAME_PAYLOAD];
};

struct truth; /* one writer thread, one thread that records */

/* The line of a record, into out; the number of octets. */
int truth_format(const struct truth_rec *r, const struct netconf *net,
                 char *out, size_t size);

/* Creates the file and starts the thread. `net` is borrowed; only its names
 * are read, which never change. NULL with errno on failure. */
struct truth *truth_open(const char *path, const struct netconf *net);
/* NULL-safe, as are the following. */
void truth_add(struct truth *t, const struct truth_rec *r);
/* A line "# TIME text" in the order of the records. */
void truth_note(struct truth *t, struct wall at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Writes what is left; the records that found no room, or -errno of a failed
 * write. */
int64_t truth_close(struct truth *t);

#endif
