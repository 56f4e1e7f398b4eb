/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reflector's core under noise: each input is a little script of packets
 * from a handful of sources, with members and time in between. Held against
 * every packet: the reply is the request's length and not an octet more, echoes
 * it, and none goes to a reflector's port; what is dropped has a reason and is
 * counted.
 *
 * Input: options(1), then per packet: length(2), source(1), flags(1), seconds
 * since the last(1), octets.
 */
#include "lib/base/cursor.h"
#include "reflector/reflect.h"

#include <stdlib.h>
#include <string.h>

#define OUR_PORT 8862
#define FLAG_GROUP 0x01U
#define FLAG_LONG 0x02U
#define FLAG_V6 0x04U
#define FLAG_MEMBERS 0x08U
#define FLAG_EXPIRE 0x10U
#define FLAG_TOS 0x40U
#define FLAG_PLAIN 0x20U /* zero octets 16..43: read as STAMP */

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static struct addr
address(uint8_t who, bool v6)
{
	const uint8_t v4[4] = {192, 0, 2, (uint8_t)(who & 15)};
	const uint8_t bytes6[16] = {0xfe, 0x80, [15] = (uint8_t)(who & 15)};
	static const uint16_t ports[] = {5000, 862, OUR_PORT, 0};
	struct addr a;

	must(addr_from_bytes(v6 ? bytes6 : v4, v6 ? 16 : 4, ports[who >> 6],
	                     &a));
	return a;
}

static void
check_reply(const struct udp_packet *p, const uint8_t *out)
{
	const uint16_t port = addr_port(&p->src);
	struct test_reply r;

	must(p->len >= TWAMP_REFLECTOR_BASE);
	must(port != 0 && port != TWAMP_PORT && port != OUR_PORT);
	must(!p->group && !p->truncated);
	must(memcmp(out + 24, p->data, 14) == 0);
	must(test_reply_decode(out, p->len, p->wall, &r) == TEST_OK);
	must(r.t2.ns - p->wall.ns <= 1 && p->wall.ns - r.t2.ns <= 1);
}

/* The traffic class has no ECN bits; a follow-up lies within the packet, and is
 * that of the reply before. */
static void
check_sending(struct reflect *r, const struct udp_packet *p, uint8_t *out,
              const struct reflected *how)
{
	struct test_reply t;
	const uint64_t told = r->counters.count[COUNT_FOLLOW_UPS];

	must(how->tos >= 0 && how->tos <= 0xfc && (how->tos & 3) == 0);
	if (how->follow_up_at == 0)
		return;
	must(r->sessions && p->len >= how->follow_up_at + TLV_FOLLOW_UP_LEN);
	reflect_follow_up(r, how, out);
	check_reply(p, out);
	must(test_reply_decode(out, p->len, p->wall, &t) == TEST_OK);
	must(!t.follow_up || t.follow_up_seq == t.seq - 1);
	must(r->counters.count[COUNT_FOLLOW_UPS] - told <= 1);
	if (how->seq % 3)
		reflect_stamped(r, how->session, how->seq, p->wall);
}

static void
one_packet(struct reflect *r, struct udp_packet *p)
{
	/* right-sized, so that AddressSanitizer sees an octet too many */
	uint8_t *out = malloc(p->len ? p->len : 1);
	const uint64_t dropped = counters_dropped(&r->counters);
	struct reflected how;
	enum drop d;

	must(out != NULL);
	d = reflect_packet(r, p, out, &how);
	must(counters_dropped(&r->counters) ==
	     dropped + (d != DROP_NONE ? 1 : 0));
	if (d == DROP_NONE) {
		check_reply(p, out);
		check_sending(r, p, out, &how);
	}
	must(!r->sessions || rsession_count(r->sessions) <= 4);
	free(out);
}

/* False at the end of the script. */
static bool
step(struct reflect *r, struct rcursor *c, struct mono *now)
{
	const size_t want = rcursor_u16(c);
	const uint8_t who = rcursor_u8(c), flags = rcursor_u8(c);
	const struct addr member = address(who & 15, flags & FLAG_V6);
	struct udp_packet p = {.src = address(who, flags & FLAG_V6),
	                       .local = address(99, flags & FLAG_V6),
	                       .group = flags & FLAG_GROUP,
	                       .truncated = flags & FLAG_LONG,
	                       .ttl = who - 1,
	                       .tos = flags & FLAG_TOS ? who : -1,
	                       .stamp = STAMP_KERNEL};
	const uint8_t *bytes;

	*now = mono_add_ns(*now, rcursor_u8(c) * NS_PER_S);
	p.len = want < c->left ? want : c->left;
	bytes = rcursor_take(c, p.len);
	if (c->failed || !bytes)
		return false;
	p.mono = *now;
	p.wall = (struct wall){INT64_C(1790000000000000000) + now->ns};
	p.data = malloc(p.len ? p.len : 1);
	must(p.data != NULL);
	if (p.len)
		memcpy(p.data, bytes, p.len);
	if (flags & FLAG_PLAIN && p.len >= STAMP_BASE)
		memset(p.data + 16, 0, STAMP_BASE - 16);
	if (flags & FLAG_MEMBERS && r->sessions)
		must(rsession_set_members(r->sessions, &member, who & 1));
	if (flags & FLAG_EXPIRE && r->sessions)
		(void)rsession_expire(r->sessions, *now);
	one_packet(r, &p);
	free(p.data);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	struct rcursor c = rcursor_init(in, size);
	const uint8_t options = rcursor_u8(&c);
	const struct reflect_conf conf = {
	    .port = OUR_PORT,
	    .stateful = options & 1,
	    .answer_short = options & 2,
	    .honour_dscp = options & 8,
	    .rate_limit_pps = options & 4 ? 20 : 0, /* the table is large */
	    .session_max = 4,
	    .session_idle_ns = 60 * NS_PER_S};
	struct mono now = {NS_PER_S};
	struct reflect r;

	if (c.failed)
		return 0;
	must(reflect_init(&r, &conf));
	while (step(&r, &c, &now))
		;
	reflect_release(&r);
	return 0;
}
