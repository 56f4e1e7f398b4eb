/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bus thread: every conversation with nodes. It owns the ROUTER, the peers
 * and their clock offsets; it knows the roster and the members as the writer
 * last told them, and keeps nothing else.
 *
 *   node ── Hello ───────▶ bus ── ASK_HELLO ─────▶ writer
 *   node ◀─ Welcome, Roster ─ bus ◀─ TELL_HELLO ─── writer
 *   node ── Heartbeat ───▶ bus ── ASK_HEARTBEAT ─▶ writer   (and one back)
 *   node ── Batch ───────▶ bus ── ASK_BATCH ─────▶ writer
 *   node ◀─ BatchAck ───── bus ◀─ TELL_ACK ─────── writer   (after COMMIT)
 *   node ◀─ RosterDelta ── bus ◀─ TELL_ROSTER ──── writer   (to everyone)
 *   stranger's key ──────▶ bus ── ASK_PENDING ───▶ writer
 *   token ── Join ───────▶ bus ── ASK_JOIN ──────▶ writer
 *   token ◀─ Joined ────── bus ◀─ TELL_JOIN ────── writer   (after COMMIT)
 *
 * Who a node is, its CURVE key says, and whether it may speak is looked up for
 * every message: a removed node is silent at once, although libzmq keeps its
 * connection. A join token's key may pass too, and say Join, nothing else.
 * While the database is away, batches are dropped without an ack (the node's
 * spool holds them), and heartbeats say storing = false.
 */
#ifndef TWMESH_CONTROLLER_BUS_H
#define TWMESH_CONTROLLER_BUS_H

#include "lib/base/addr.h"
#include "lib/base/mailbox.h"
#include "lib/bus/keys.h"

#include <stdbool.h>
#include <stddef.h>

#define BUS_WINDOW_MAX 64 /* unacknowledged batches per node */

struct bus_opts {
	struct addr listen;      /* port 0: any free one */
	const struct keys *keys; /* copied */
	bool first_use;          /* trust on first use: listen is loopback */
	unsigned window;         /* 1 to BUS_WINDOW_MAX */
};

struct bus;
/* Binds and proves that strangers are refused (blocks up to 3 s). NULL with
 * one clear line in err. */
struct bus *bus_new(const struct bus_opts *o, char *err, size_t err_size);
struct mailbox *bus_inbox(struct bus *b); /* of struct tell */
const struct addr *bus_address(const struct bus *b);
/* Starts the thread; asks go to `to_writer` (borrowed). 0 or -errno. */
int bus_start(struct bus *b, struct mailbox *to_writer);
/* Ends the thread: no ask is put after it. The inbox still takes letters. */
void bus_stop(struct bus *b);
/* Sends the acks that still wait in the inbox, closes, frees. NULL allowed. */
void bus_free(struct bus *b);

#endif
