/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nodes that talk to this controller, by CURVE key: where their latest
 * message came from, what they have been sent, how far their clock is off, and
 * which of their batches the writer still holds. Pure: no sockets, no clocks.
 *
 *        first message              Hello accepted
 *   (none) ─────▶ PEER_STRANGER ─────────────────▶ PEER_IN
 *                    ▲  │ Hello asked                │
 *                    │  ▼                            │
 *                 PEER_ASKED ◀── Hello again ────────┤
 *                    ▲                               │
 *                    └── another connection, Bye, unreachable: STRANGER
 *
 * A batch needs none of these states, only a member's key.
 */
#ifndef TWMESH_CONTROLLER_PEERS_H
#define TWMESH_CONTROLLER_PEERS_H

#include "controller/letters.h"
#include "controller/offset.h"
#include "lib/base/log.h"
#include "lib/base/rng.h"
#include "lib/bus/router.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_HEARTBEATS_KEPT 4         /* of ours, that may still be echoed */
#define PEER_FLIGHT_MAX 64             /* batches in the writer's hands */
#define PEER_FLIGHT_NS (60 * NS_PER_S) /* then they count as dropped */

enum peer_state { PEER_STRANGER, PEER_ASKED, PEER_IN };

struct peer_flight {
	struct id16 spool_id;
	uint64_t seq; /* 0: free */
	size_t bytes;
	struct mono since;
};

struct peer {
	struct peer *next_in_bucket;
	uint8_t key[KEY_BYTES];
	struct router_peer at; /* where its latest message came from */
	uint64_t connection;   /* counts them: the token of its asks */
	enum peer_state state;
	uint32_t node_id; /* 0: not a member (yet) */
	uint64_t epoch;   /* roster it was sent last; 0: none */
	bool needs_full;  /* a send of the roster failed */
	struct mono heard, need_hello_sent;
	/* for the echo, both ways */
	struct clock_pair sent[PEER_HEARTBEATS_KEPT];
	unsigned sent_next;
	bool has_echo;
	struct wall echo_sent, echo_received;
	struct offset offset;
	struct clock_mark mark; /* of the clock that `offset` is about */
	struct peer_flight flight[PEER_FLIGHT_MAX];
	struct log_limit log;
};

struct peers {
	struct peer **bucket; /* owned; bucket_n is a power of two */
	size_t bucket_n, n, max;
	struct hash_key hash;
	size_t flight_bytes; /* over all peers */
	uint64_t connections;
};

bool peers_init(struct peers *ps, size_t max)
    __attribute__((warn_unused_result));
void peers_release(struct peers *ps);

struct peer *peers_find(struct peers *ps, const uint8_t key[KEY_BYTES]);
/* The peer of this message, made if need be; a new routing id makes it a
 * stranger. NULL: the table is full, or out of memory. */
struct peer *peers_hear(struct peers *ps, const struct router_from *from,
                        struct mono now);
void peers_remove(struct peers *ps, struct peer *p);
/* Every peer; fn may remove the one it is given. */
void peers_each(struct peers *ps, void (*fn)(void *arg, struct peer *p),
                void *arg);
void peer_set_state(struct peer *p, enum peer_state s);

/* Our heartbeat leaves now. */
void peer_heartbeat_sent(struct peer *p, struct clock_pair now);
/* Theirs arrived: remembers it for our echo, and adds to the offset when it
 * echoes one that we really sent. */
void peer_heartbeat_heard(struct peer *p, const struct msg_heartbeat *hb,
                          struct clock_pair now);

/* How far the clock that made this mark was off: node - controller. *moved_ns:
 * how far it has been moved since, until the newest heartbeat with an echo; 0
 * where that is not known (no mark, another boot): then the clock is judged as
 * it was at that heartbeat. NS_UNKNOWN while there is no estimate. */
int64_t peer_clock_off_ns(const struct peer *p, const struct clock_mark *m,
                          int64_t *moved_ns);

enum peer_flight_err { FLIGHT_OK, FLIGHT_TWICE, FLIGHT_WINDOW, FLIGHT_BYTES };
/* May this batch go to the writer? Books it when FLIGHT_OK. */
enum peer_flight_err peers_flight_begin(struct peers *ps, struct peer *p,
                                        const struct msg_batch *b,
                                        unsigned window, size_t bytes_max,
                                        struct mono now);
void peers_flight_end(struct peers *ps, struct peer *p,
                      const struct id16 *spool_id, uint64_t seq);
/* The writer dropped all it had (database away). */
void peers_flight_clear(struct peers *ps, struct peer *p);

#endif
