/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Session-Reflector itself: a packet with what the kernel told about it
 * goes in, a reply of exactly the same length or the reason of a drop comes
 * out. No sockets and no clocks: all instants come with the packet.
 *
 * What is checked, in this order (docs/MEASUREMENT.md on loops, RFC 8762 4.3):
 *   fits the buffer -> sent to us alone -> from a possible address -> not from
 *   a reflector's port -> allowed -> long enough -> well-formed -> in its rate
 * and only then is anything remembered.
 *
 * Stateful by default: own sequence numbers and receive bitmap per session. A
 * request without room for its session, or all with stateful off, are answered
 * statelessly (the reply's sequence number is the request's).
 */
#ifndef TWMESH_REFLECTOR_REFLECT_H
#define TWMESH_REFLECTOR_REFLECT_H

#include "lib/net/udp.h"
#include "lib/twamp/testpkt.h"
#include "reflector/cidr.h"
#include "reflector/counters.h"
#include "reflector/rsession.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reflect_conf {
	uint16_t port; /* our own: never answered */
	bool stateful;
	bool answer_short;       /* 41 to 43 octets too, at the same length */
	uint32_t rate_limit_pps; /* per source address, 0: none */
	size_t session_max;
	int64_t session_idle_ns;
	const struct cidr *allow; /* borrowed */
	size_t allow_n;           /* 0: any */
};

struct ratelimit;

struct reflect {
	struct reflect_conf conf;
	uint64_t instance_id;    /* random, at start */
	uint16_t error_estimate; /* of T2 and T3; refreshed by the owner */
	struct counters counters;
	struct rsession_table *sessions; /* owned; NULL: stateless */
	struct ratelimit *rates;         /* owned; NULL: no limit */
};

/* False when out of memory. */
bool reflect_init(struct reflect *r, const struct reflect_conf *conf)
    __attribute__((warn_unused_result));
void reflect_release(struct reflect *r);

/*
 * DROP_NONE: `out` (room for TEST_BUF_MAX) holds the reply, p->len octets, all
 * but T3 (to be written with test_reply_set_t3() just before it is sent).
 * Counts what it does.
 */
enum drop reflect_packet(struct reflect *r, const struct udp_packet *p,
                         uint8_t *out);

#endif
