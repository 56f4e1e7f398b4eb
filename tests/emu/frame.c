/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/emu/frame.h"

#include <netinet/in.h>
#include <string.h>

#define UDP_OCTETS 8
#define V4_OCTETS 20
#define V6_OCTETS 40

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void
put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Ports and payload of what begins at `at`; `end` is the packet's end. */
static void
parse_l4(const uint8_t *data, size_t at, size_t end, struct frame *f)
{
	if ((f->proto != IPPROTO_UDP && f->proto != IPPROTO_TCP) ||
	    end - at < UDP_OCTETS)
		return;
	f->sport = get16(data + at);
	f->dport = get16(data + at + 2);
	if (f->proto == IPPROTO_UDP) {
		f->payload = (uint16_t)(at + UDP_OCTETS);
		f->payload_octets = (uint16_t)(end - at - UDP_OCTETS);
	}
}

static bool
parse_v4(const uint8_t *data, size_t len, struct frame *f)
{
	const uint8_t *ip = data + FRAME_ETH;
	size_t head, total;

	if (len < FRAME_ETH + V4_OCTETS || ip[0] >> 4 != 4)
		return false;
	head = (size_t)(ip[0] & 15) * 4;
	total = get16(ip + 2);
	if (head < V4_OCTETS || total < head || FRAME_ETH + total > len)
		return false;
	f->version = 4;
	f->proto = ip[9];
	f->dscp = ip[1] >> 2;
	f->ttl = ip[8];
	f->ip_octets = (uint16_t)total;
	if ((get16(ip + 6) & 0x1fff) == 0) /* the first or only fragment */
		parse_l4(data, FRAME_ETH + head, FRAME_ETH + total, f);
	return true;
}

static bool
parse_v6(const uint8_t *data, size_t len, struct frame *f)
{
	const uint8_t *ip = data + FRAME_ETH;
	size_t total;

	if (len < FRAME_ETH + V6_OCTETS || ip[0] >> 4 != 6)
		return false;
	total = V6_OCTETS + (size_t)get16(ip + 4);
	if (FRAME_ETH + total > len)
		return false;
	f->version = 6;
	f->proto = ip[6];
	f->dscp = (uint8_t)((ip[0] & 15) << 2 | ip[1] >> 6);
	f->ttl = ip[7];
	f->ip_octets = (uint16_t)total;
	parse_l4(data, FRAME_ETH + V6_OCTETS, FRAME_ETH + total, f);
	return true;
}

bool
frame_parse(const uint8_t *data, size_t len, struct frame *f)
{
	struct frame found = {0};
	bool ok = false;

	if (len < FRAME_ETH || len > UINT16_MAX)
		return false;
	if (get16(data + 12) == 0x0800)
		ok = parse_v4(data, len, &found);
	else if (get16(data + 12) == 0x86dd)
		ok = parse_v6(data, len, &found);
	if (ok)
		*f = found;
	return ok;
}

/* A 16-bit word of an IPv4 header becomes `v`, the checksum follows: HC' =
 * ~(~HC + ~m + m'), RFC 1624 equation 3. */
static void
change_v4(uint8_t *ip, size_t at, uint16_t v)
{
	uint32_t sum = (uint16_t)~get16(ip + 10);

	sum += (uint16_t)~get16(ip + at);
	sum += v;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + at, v);
	put16(ip + 10, (uint16_t)~sum);
}

void
frame_set_dscp(uint8_t *data, struct frame *f, uint8_t dscp)
{
	uint8_t *ip = data + FRAME_ETH;

	if (f->version == 4) {
		change_v4(ip, 0,
		          (uint16_t)(ip[0] << 8 | dscp << 2 | (ip[1] & 3)));
	} else {
		ip[0] = (uint8_t)(0x60 | dscp >> 2);
		ip[1] = (uint8_t)((dscp & 3) << 6 | (ip[1] & 0x3f));
	}
	f->dscp = dscp;
}

void
frame_set_ttl(uint8_t *data, struct frame *f, uint8_t ttl)
{
	uint8_t *ip = data + FRAME_ETH;

	if (f->version == 4)
		change_v4(ip, 8, (uint16_t)(ttl << 8 | ip[9]));
	else
		ip[7] = ttl;
	f->ttl = ttl;
}
