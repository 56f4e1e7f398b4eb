/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does a target count for itself? Only then do its sequence numbers tell in
 * which direction packets were lost; one that merely copies ours looks alike as
 * long as nothing is lost. A throwaway session (a socket and an SSID of its
 * own) asks before the real one begins: sender numbers 0, 1, 5, 6, a second
 * apart, each sent when the one before was answered. Replies numbered 0, 1, 2,
 * 3 prove that it counts; 5 in answer to 5 that it does not. With anything lost
 * nothing is proved, and its losses stay without direction until the session
 * begins anew: asking again would be more than the one packet a second that a
 * target gets. (tools/ping_count.c does the same for one session without a
 * prober.)
 */
#include "lib/base/clock_read.h"
#include "lib/twamp/ntp64.h"
#include "lib/twamp/testpkt.h"
#include "meshd/prober_int.h"

#include <stdlib.h>
#include <unistd.h>

#define STEP_NS NS_PER_S
#define PATIENCE_NS (2 * NS_PER_S) /* for one answer */

static const uint32_t asked[] = {0, 1, 5, 6};
#define STEPS (sizeof(asked) / sizeof(asked[0]))

struct count {
	struct count *next;
	struct probe *probe; /* borrowed: forgotten before it goes */
	int fd;              /* owned */
	uint16_t ssid;
	unsigned step;
	uint64_t t1; /* of the packet under way, as on the wire */
	struct mono sent, next_at;
	bool waiting; /* for an answer */
	bool over;
};

void
count_start(struct prober *p, struct probe *pr, struct mono now)
{
	const struct udp_opts o = {.ttl = 255, .dscp = pr->class_->conf.dscp};
	struct addr a = io_source_any(p, addr_family(&pr->dst));
	struct count *c = calloc(1, sizeof(*c));

	if (!c)
		return; /* nothing is proved */
	c->fd = udp_open(&a, &o, NULL);
	if (c->fd < 0) {
		free(c);
		return;
	}
	if (pr->kind != NODE_LIGHT)
		c->ssid = (uint16_t)(rng_u64(&p->rng) % UINT16_MAX + 1);
	c->probe = pr;
	c->next_at = now;
	c->next = p->counts;
	p->counts = c;
}

static void
send_step(struct count *c, struct prober *p)
{
	struct test_request r = {.seq = asked[c->step],
	                         .error_estimate =
	                             errest_encode(p->quality, false),
	                         .ssid = c->ssid};
	const size_t size = c->probe->class_->conf.size_octets;
	uint8_t buf[TEST_BUF_MAX];
	const struct udp_send s = {
	    .dst = c->probe->dst, .tos = -1, .data = buf, .len = size};
	struct clock_pair now;

	if (size > sizeof(buf) || !test_request_encode(&r, 0, buf, size)) {
		c->over = true;
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
conclude(struct prober *p, struct count *c, enum counts verdict)
{
	c->probe->counts = verdict;
	c->over = true;
	if (verdict != COUNTS_YES)
		return;
	session_set_counting(c->probe->session, true);
	atomic_fetch_add_explicit(&p->stats.targets_counting, 1,
	                          memory_order_relaxed);
}

static void
take(struct prober *p, struct count *c, const struct udp_packet *u)
{
	struct test_reply r;

	if (!c->waiting || u->truncated ||
	    !addr_equal(&u->src, &c->probe->dst) ||
	    test_reply_decode(u->data, u->len, u->wall, &r) != TEST_OK)
		return;
	if (r.sender_seq != asked[c->step] || r.t1 != c->t1 ||
	    (r.ssid != 0 && r.ssid != c->ssid))
		return;
	if (r.seq != c->step) {
		conclude(p, c, COUNTS_NOT);
		return;
	}
	c->waiting = false;
	c->next_at = mono_add_ns(c->sent, STEP_NS);
	if (++c->step == STEPS)
		conclude(p, c, COUNTS_YES);
}

static void
turn(struct count *c, struct prober *p, struct mono now)
{
	uint32_t drops = 0;
	const int n = udp_rx_batch(c->fd, p->rx, &drops);

	for (int i = 0; i < n && !c->over; i++)
		take(p, c, udp_rx_packet(p->rx, i));
	if (c->over)
		return;
	if (c->waiting)
		c->over = mono_diff_ns(now, c->sent) > PATIENCE_NS;
	else if (mono_diff_ns(c->next_at, now) <= 0)
		send_step(c, p);
}

static void
count_free(struct count *c)
{
	(void)close(c->fd);
	free(c);
}

void
count_turn(struct prober *p, struct mono now)
{
	struct count **at = &p->counts;

	while (*at) {
		struct count *c = *at;

		turn(c, p, now);
		if (!c->over) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		count_free(c);
	}
}

void
count_forget(struct prober *p, const struct probe *pr)
{
	struct count **at = &p->counts;

	while (*at) {
		struct count *c = *at;

		if (c->probe != pr) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		count_free(c);
	}
}
