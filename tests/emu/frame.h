/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ethernet frames with IPv4 or IPv6 inside: what the emulator must know of
 * them, and the two fields a router changes. Pure.
 */
#ifndef TWMESH_EMU_FRAME_H
#define TWMESH_EMU_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_ETH 14
/* Octets of payload that the truth file shows: of a STAMP request its number
 * and T1, of a reply also T3, T2 and which request it answers. */
#define FRAME_PAYLOAD 36

struct frame {
	uint8_t version;       /* 4 or 6 */
	uint8_t proto;         /* IP protocol; of IPv6 the first header */
	uint8_t dscp, ttl;     /* as they are in the frame */
	uint16_t sport, dport; /* UDP and TCP, unless a later fragment; or 0 */
	uint16_t ip_octets;    /* the whole IP packet */
	uint16_t payload;      /* offset of the UDP payload, 0: none */
	uint16_t payload_octets;
};

/* False if it is no whole IPv4 or IPv6 packet. */
bool frame_parse(const uint8_t *data, size_t len, struct frame *f);
/* Both keep IPv4's header checksum right (RFC 1624) and change f with the
 * frame. `ttl` counts down to at least 1: the caller drops before. */
void frame_set_dscp(uint8_t *data, struct frame *f, uint8_t dscp);
void frame_set_ttl(uint8_t *data, struct frame *f, uint8_t ttl);

#endif
