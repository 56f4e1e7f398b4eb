/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/ping_count.h"

#include "lib/base/clock_read.h"
#include "lib/base/rng.h"
#include "lib/twamp/ntp64.h"
#include "lib/twamp/testpkt.h"

#include <unistd.h>

#define TRIES 3
#define RETRY_NS NS_PER_S
#define STEP_MIN_NS (10 * NS_PER_MS)

static const uint32_t asked[] = {0, 1, 5, 6};
#define STEPS (sizeof(asked) / sizeof(asked[0]))

void
ping_count_init(struct ping_count *c)
{
	*c = (struct ping_count){.fd = -1};
}

void
ping_count_close(struct ping_count *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->running = false;
}

static void
conclude(struct ping_count *c, enum ping_counts verdict)
{
	c->verdict = verdict;
	ping_count_close(c);
}

/* A new session: nobody knows its port and SSID. */
static void
try_again(struct ping_count *c, const struct ping_opts *o, struct mono at)
{
	const struct udp_opts uo = {.ttl = 255, .dscp = o->dscp};
	struct addr local = o->source;

	ping_count_close(c);
	if (c->tries++ == TRIES)
		return; /* nothing was proved */
	if (!local.len &&
	    !addr_parse_ip(addr_family(&o->dst) == AF_INET6 ? "::" : "0.0.0.0",
	                   0, &local))
		return;
	c->fd = udp_open(&local, &uo, NULL);
	if (c->fd < 0)
		return;
	c->running = true;
	c->ssid = o->light ? 0 : (uint16_t)(random_u64() % UINT16_MAX + 1);
	c->step = 0;
	c->waiting = false;
	c->next = at;
}

void
ping_count_start(struct ping_count *c, const struct ping_opts *o,
                 struct mono now)
{
	if (c->tries == 0)
		try_again(c, o, now);
}

static void
send_step(struct ping_count *c, const struct ping_opts *o)
{
	struct test_request r = {.seq = asked[c->step],
	                         .error_estimate = ERREST_UNKNOWN,
	                         .ssid = c->ssid};
	uint8_t buf[TEST_BUF_MAX];
	const struct udp_send s = {
	    .dst = o->dst, .tos = -1, .data = buf, .len = o->size};
	struct clock_pair now;

	if (!test_request_encode(&r, 0, buf, o->size)) {
		ping_count_close(c);
		return;
	}
	now = clock_now();
	c->t1 = r.t1 = ntp64_from_wall(now.wall);
	test_request_restamp(&r, buf);
	(void)!udp_send_one(c->fd, &s); /* a failed one is as good as lost */
	c->sent = now.mono;
	c->waiting = true;
}

static void
take(struct ping_count *c, const struct ping_opts *o,
     const struct udp_packet *u)
{
	const uint32_t seq = asked[c->step];
	struct test_reply r;

	if (!c->waiting || u->truncated || !addr_equal(&u->src, &o->dst) ||
	    test_reply_decode(u->data, u->len, u->wall, &r) != TEST_OK)
		return;
	if (r.sender_seq != seq || r.t1 != c->t1 ||
	    (r.ssid != 0 && r.ssid != c->ssid))
		return;
	if (r.seq != c->step) {
		conclude(c, PING_COUNTS_NOT);
		return;
	}
	c->waiting = false;
	c->next =
	    mono_add_ns(c->sent, o->interval_ns > STEP_MIN_NS ? o->interval_ns
	                                                      : STEP_MIN_NS);
	if (++c->step == STEPS)
		conclude(c, PING_COUNTS_YES);
}

void
ping_count_turn(struct ping_count *c, const struct ping_opts *o,
                struct udp_rx *rx, struct mono now)
{
	uint32_t drops = 0;
	int n;

	if (!c->running)
		return;
	n = udp_rx_batch(c->fd, rx, &drops);
	for (int i = 0; i < n && c->running; i++)
		take(c, o, udp_rx_packet(rx, i));
	if (!c->running || mono_diff_ns(ping_count_next(c, o), now) > 0)
		return;
	if (c->waiting)
		try_again(c, o, mono_add_ns(now, RETRY_NS));
	else
		send_step(c, o);
}

struct mono
ping_count_next(const struct ping_count *c, const struct ping_opts *o)
{
	return c->waiting ? mono_add_ns(c->sent, o->loss_timeout_ns) : c->next;
}
