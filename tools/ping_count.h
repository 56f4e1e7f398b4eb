/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does a reflector count for itself? One without our TLV numbers its replies,
 * but a stateless one only copies the sender's number, and as long as nothing
 * is lost the two look alike. A throwaway session (a socket and an SSID of its
 * own) asks: sender numbers 0, 1, 5, 6, each sent when the one before was
 * answered. Replies numbered 0, 1, 2, 3 prove that it counts; 5 in answer to 5
 * that it does not. With anything lost in between nothing is proved: a new
 * session tries again, some times.
 *
 * Until its first answer the throwaway session keeps to one packet a second
 * like any other.
 */
#ifndef TWMESH_TOOLS_PING_COUNT_H
#define TWMESH_TOOLS_PING_COUNT_H

#include "lib/net/udp.h"
#include "tools/ping.h"

struct ping_count {
	enum ping_counts verdict;
	bool running;
	int fd; /* owned; -1: none */
	uint16_t ssid;
	unsigned step, tries;
	uint64_t t1; /* of the packet under way, as on the wire */
	struct mono sent, next;
	bool waiting; /* for an answer */
};

void ping_count_init(struct ping_count *c);
void ping_count_close(struct ping_count *c);
/* Begins, if it did not yet. error_estimate as in all our packets. */
void ping_count_start(struct ping_count *c, const struct ping_opts *o,
                      struct mono now);
/* Reads answers and sends what is due. `rx` is only used within the call. */
void ping_count_turn(struct ping_count *c, const struct ping_opts *o,
                     struct udp_rx *rx, struct mono now);
/* When it next has something to send or to give up; valid while running. */
struct mono ping_count_next(const struct ping_count *c,
                            const struct ping_opts *o);

#endif
