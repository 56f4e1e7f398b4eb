/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UDP test sockets: batches of packets with their kernel stamps, TTL, traffic
 * class and local address. Kernel receive stamps are CLOCK_REALTIME; each
 * receive batch carries both clocks, read right after it, so that stamps can
 * be told in monotonic time (measurement.md rule: see docs/MEASUREMENT.md).
 */
#ifndef TWMESH_NET_UDP_H
#define TWMESH_NET_UDP_H

#include "lib/base/addr.h"
#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UDP_BATCH 64
#define UDP_RCVBUF_BYTES (4 << 20) /* the default holds 256 small packets */

struct udp_opts {
	int ttl;          /* 255 for test packets; 0: the system's */
	int dscp;         /* default DSCP of sends, 0..63 */
	bool reuse;       /* SO_REUSEADDR is never set unless asked */
	bool flow_labels; /* IPv6: udp_send.flow_label counts */
};

/*
 * A bound, non-blocking socket with IP_PKTINFO, TTL, TOS and receive stamps
 * on, SO_RXQ_OVFL, IPV6_V6ONLY, DF set, receive buffer raised (SO_RCVBUFFORCE
 * if allowed). Returns the descriptor, or -errno; *rcvbuf_bytes (may be NULL)
 * becomes the buffer the kernel granted.
 */
int udp_open(const struct addr *local, const struct udp_opts *o,
             int *rcvbuf_bytes);

/*
 * A flow label for the socket (IPv6), by its source port: distinct for each
 * port and as stable, so that routers that hash labels (RFC 6438) spread flows
 * as those do that hash ports. In the lower half of the space, which the
 * kernel leaves to programs when it splits it (flowlabel_state_ranges).
 */
uint32_t udp_flow_label(uint16_t port);

enum stamp_source { STAMP_USER, STAMP_KERNEL };

struct udp_packet {
	struct addr src;   /* with port */
	struct addr local; /* address it was sent to; port unset */
	unsigned ifindex;  /* it came in on */
	int ttl;           /* -1 when unknown */
	int tos;           /* DSCP<<2|ECN, -1 when unknown */
	struct wall wall;  /* kernel's receive stamp (or user space: stamp) */
	struct mono mono;  /* the same instant, never in the future */
	enum stamp_source stamp;
	int64_t nic_ns; /* by the NIC's own clock, or NS_UNKNOWN: never to be
	                 * compared with any other clock (txstamp.h) */
	bool truncated; /* longer than the buffer: drop it */
	bool group;     /* sent to a multicast or broadcast address */
	size_t len;
	uint8_t *data; /* borrowed from the batch, until the next call */
};

struct udp_rx; /* buffers for UDP_BATCH packets, reused */
struct udp_rx *udp_rx_new(size_t buf_bytes);
void udp_rx_free(struct udp_rx *rx);
/* Up to UDP_BATCH packets without waiting: count (0: none), or -errno.
 * *drops becomes the socket's running count of packets dropped for want of
 * buffer (SO_RXQ_OVFL), if the kernel told; else unchanged. */
int udp_rx_batch(int fd, struct udp_rx *rx, uint32_t *drops);
struct udp_packet *udp_rx_packet(struct udp_rx *rx, int i);
/* Both clocks, read right after the last batch. */
struct clock_pair udp_rx_clock(const struct udp_rx *rx);

struct udp_send {
	struct addr dst;
	struct addr local;   /* source address to use; len 0: the socket's */
	unsigned ifindex;    /* for link-local; 0: routing decides */
	int tos;             /* traffic class octet; -1: the socket's default */
	uint32_t flow_label; /* IPv6, with udp_opts.flow_labels; 0: kernel's */
	const uint8_t *data;
	size_t len;
	/* A transmit stamp is asked for: lib/net/txstamp sets these. */
	uint32_t stamp_flags; /* 0: none */
	uint32_t stamp_id;
	bool stamp_has_id; /* the kernel takes our id */
};
/* Sends all it can with sendmmsg: number sent (from the front), or -errno of
 * the first when none went. */
int udp_send_batch(int fd, const struct udp_send *s, int n);
/* One packet: 0 or -errno. */
int udp_send_one(int fd, const struct udp_send *s);

#endif
