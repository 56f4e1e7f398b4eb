/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transmit stamps of one UDP socket: when did the kernel hand a packet to the
 * device? They are asked for per send, by a control message, so that packets
 * for which nobody asks cost nothing, and come back later on the socket's
 * error queue, told apart by an id.
 *
 *   txstamp_ask()     before a send: puts the request into the udp_send
 *   txstamp_sent()    the kernel took it: remembers whose the stamp will be
 *   txstamp_failed()  it did not
 *   txstamp_drain()   what has come back
 *
 * Every ask that said yes is followed by sent or failed. After a failure the
 * rest of a batch is asked for anew.
 *
 * Ids. Where the kernel takes ours (SCM_TS_OPT_ID, Linux 6.13) nothing can go
 * wrong. Elsewhere it numbers the requests itself, and a failed send may have
 * consumed a number (a packet dropped by nftables at output, EPERM) or not (a
 * packet too long, EMSGSIZE). So after a failure one single stamp is asked for:
 * the id it comes back with tells where the numbers are, since no other stamp
 * can have one that high. Until then there are no stamps; nor is there ever one
 * that may be another's.
 *
 * The error queue is shared with ICMP errors, which are skipped by their
 * origin. IP_RECVERR stays off: one peer's closed port would fail the next send
 * to another. An error queue that nobody drains keeps poll() returning POLLERR:
 * who polls drains.
 *
 * Memory is bounded: the newest `ring` requests are remembered.
 * Single-threaded.
 */
#ifndef TWMESH_NET_TXSTAMP_H
#define TWMESH_NET_TXSTAMP_H

#include "lib/base/clock.h"
#include "lib/net/udp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The NIC's own stamps as well, if it makes any; also those of receipt are
 * then reported on the socket. */
#define TXSTAMP_HARDWARE (1U << 0)
/* Leave the ids to the kernel even where it would take ours (tests). */
#define TXSTAMP_KERNEL_IDS (1U << 1)

struct txstamp_stats {
	uint64_t asked;    /* sent with a request */
	uint64_t stamped;  /* software stamps that were handed out */
	uint64_t rejected; /* outside of [send, drain] */
	uint64_t unknown;  /* of a request that is forgotten */
	uint64_t resyncs;  /* kernel's ids found again */
};

struct txstamp;

/* For a socket of udp_open(), which stays the caller's. ring: a power of two.
 * NULL, and -errno in *error: this kernel makes no stamps, or no memory. */
struct txstamp *txstamp_new(int fd, unsigned flags, size_t ring, int *error)
    __attribute__((warn_unused_result));
void txstamp_free(struct txstamp *t);

/* False: send without (the request in *s, if any, is taken out). */
bool txstamp_ask(struct txstamp *t, struct udp_send *s, struct mono now);
/* s was asked for, and sent by a call that began at `before`. who and seq come
 * back with the stamp. */
void txstamp_sent(struct txstamp *t, const struct udp_send *s,
                  struct mono before, uint64_t who, uint32_t seq);
void txstamp_failed(struct txstamp *t, const struct udp_send *s);

struct tx_event {
	uint64_t who;
	uint32_t seq;
	bool software;    /* wall and mono are set */
	struct wall wall; /* the kernel's software stamp */
	struct mono mono; /* the same instant, never in the future */
	int64_t nic_ns;   /* the NIC's own clock, NS_UNKNOWN: no stamp of it */
};
/* Without waiting: how many events; fewer than max when no more are there. A
 * software and a NIC stamp of one packet are two events. */
int txstamp_drain(struct txstamp *t, struct tx_event *out, int max);
/* Gives each software stamp the NIC's stamp of the same packet, if that is
 * among the n events too. */
void txstamp_join_nic(struct tx_event *e, int n);
/* Stamps are owed for what was sent (at most `ring`). */
bool txstamp_pending(const struct txstamp *t);
/* Ids are ours, not the kernel's. */
bool txstamp_gives_ids(const struct txstamp *t);
const struct txstamp_stats *txstamp_stats(const struct txstamp *t);

#endif
