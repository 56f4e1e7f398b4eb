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
 * Follow-Up Telemetry (RFC 8972 4.7): the true send time of a reply is known
 * only after it was sent, and travels with the next one of its session.
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
#include "reflector/stall.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reflect_conf {
	uint16_t port; /* our own: never answered */
	bool stateful;
	bool answer_short;       /* 41 to 43 octets too, at the same length */
	bool honour_dscp;        /* reply with the DSCP that is asked for */
	uint32_t rate_limit_pps; /* per source address, 0: none */
	size_t session_max;
	int64_t session_idle_ns;
	const struct cidr *allow; /* borrowed */
	size_t allow_n;           /* 0: any */
};

/* How a reply is to be sent. */
struct reflected {
	int tos; /* traffic class, without ECN: that is the path's */
	/* Offset of the Follow-Up Telemetry to be filled in; 0: none. Only
	 * for replies of a session. */
	size_t follow_up_at;
	struct rsession_ref session;
	uint32_t seq; /* of the reply */
};

struct ratelimit;

struct reflect {
	struct reflect_conf conf;
	uint64_t instance_id;    /* random, at start */
	uint16_t error_estimate; /* of T2 and T3; refreshed by the owner */
	struct counters counters;
	struct stalls stalls;            /* of all sockets */
	struct rsession_table *sessions; /* owned; NULL: stateless */
	struct ratelimit *rates;         /* owned; NULL: no limit */
};

/* False when out of memory. */
bool reflect_init(struct reflect *r, const struct reflect_conf *conf)
    __attribute__((warn_unused_result));
void reflect_release(struct reflect *r);

/*
 * DROP_NONE: `out` (room for TEST_BUF_MAX) holds the reply, p->len octets, all
 * but T3 (to be written with test_reply_set_t3() just before it is sent) and
 * the Follow-Up Telemetry. Counts what it does.
 */
enum drop reflect_packet(struct reflect *r, const struct udp_packet *p,
                         uint8_t *out, struct reflected *how);
/* Fills in the Follow-Up Telemetry of a reply, as late as possible: when the
 * previous reply of its session left, if that is known by now. */
void reflect_follow_up(struct reflect *r, const struct reflected *how,
                       uint8_t *reply);
/* The kernel tells when reply `seq` of a session left. */
void reflect_stamped(struct reflect *r, struct rsession_ref session,
                     uint32_t seq, struct wall at);

#endif
