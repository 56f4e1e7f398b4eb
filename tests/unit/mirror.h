/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of the prober: small reflectors in this process (mirrors), whose
 * fate for each packet is known, and plans that point to them. Class 5, nodes
 * 2, 3, .. are the mirrors; interval 500 ms, loss timeout 200 ms.
 */
#ifndef TWMESH_TESTS_UNIT_MIRROR_H
#define TWMESH_TESTS_UNIT_MIRROR_H

#include "lib/base/clock_read.h"
#include "lib/net/udp.h"
#include "lib/twamp/ntp64.h"
#include "lib/twamp/testpkt.h"
#include "meshd/prober.h"

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MS NS_PER_MS

/* --- a reflector ---------------------------------------------------------- */

#define SESSIONS 8
#define PORTS_SEEN 16

struct mirror_session {
	uint16_t ssid, port;
	struct recv_bitmap b;
	uint32_t seq;
	uint64_t t3; /* true one of the latest reply */
};

struct mirror {
	int fd;
	uint16_t port;
	pthread_t thread;
	_Atomic bool stop, mute, no_ssid;
	_Atomic bool early_t3;  /* T3 in the reply 5 ms before the true one,
	                         * which  follow-ups tell */
	_Atomic int reply_dscp; /* of all replies; -1: as asked */
	_Atomic uint32_t packets;
	_Atomic int lose_fwd, lose_bwd; /* every so many; 0: none */
	_Atomic uint16_t ports[PORTS_SEEN];
	_Atomic unsigned ports_n;
	_Atomic uint16_t ssid; /* of the latest packet */
	_Atomic int tos, len;
	struct mirror_session s[SESSIONS];
};

static void
mirror_note(struct mirror *m, const struct udp_packet *u)
{
	const uint16_t port = addr_port(&u->src);

	m->tos = u->tos;
	m->len = (int)u->len;
	for (unsigned i = 0; i < m->ports_n; i++) {
		if (m->ports[i] == port)
			return;
	}
	if (m->ports_n < PORTS_SEEN)
		m->ports[m->ports_n++] = port;
}

static struct mirror_session *
mirror_session(struct mirror *m, uint16_t ssid, uint16_t port)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		struct mirror_session *s = &m->s[i];

		if (s->ssid == 0) {
			s->ssid = ssid;
			s->port = port;
			s->b.instance_id = 77;
			s->b.stateful = true;
		}
		if (s->ssid == ssid && s->port == port)
			return s;
	}
	return NULL;
}

static void
mirror_receive(struct mirror_session *s, uint32_t seq)
{
	const int32_t ahead = (int32_t)(seq - s->b.highest);

	if (s->b.received++ == 0)
		s->b.bitmap = 1;
	else if (ahead > 0)
		s->b.bitmap = ahead < 64 ? s->b.bitmap << ahead | 1 : 1;
	if (ahead > 0 || s->b.received == 1)
		s->b.highest = seq;
}

static void
mirror_answer(struct mirror *m, const struct udp_packet *u)
{
	static _Thread_local uint8_t out[TEST_BUF_MAX];
	const uint32_t n = ++m->packets;
	struct test_request q;
	struct test_reflection r = {.error_estimate = 0x8001,
	                            .sender_ttl = (uint8_t)u->ttl,
	                            .tos = u->tos,
	                            .honour_dscp = true};
	struct udp_send back = {.dst = u->src, .tos = -1, .data = out};
	struct test_reflected done;
	struct wall t3;
	struct mirror_session *s;

	mirror_note(m, u);
	if (test_request_decode(u->data, u->len, &q) != TEST_OK)
		return;
	m->ssid = q.ssid;
	if (m->mute || (m->lose_fwd && n % (uint32_t)m->lose_fwd == 0))
		return;
	s = mirror_session(m, q.ssid, addr_port(&u->src));
	if (!s)
		return;
	mirror_receive(s, q.seq);
	r.seq = s->seq++;
	r.bitmap = &s->b;
	r.t2 = ntp64_from_wall(u->wall);
	t3 = clock_wall();
	r.t3 = ntp64_from_wall(m->early_t3 ? wall_add_ns(t3, -5 * MS) : t3);
	if (m->lose_bwd && (n + 5) % (uint32_t)m->lose_bwd == 0)
		return;
	done = test_reflect(u->data, u->len, &r, out);
	if (done.follow_up_at && m->early_t3)
		test_reply_set_follow_up(out, done.follow_up_at, r.seq - 1,
		                         r.seq ? s->t3 : 0);
	s->t3 = ntp64_from_wall(t3);
	if (m->reply_dscp >= 0 || done.dscp >= 0)
		back.tos = (m->reply_dscp >= 0 ? m->reply_dscp : done.dscp)
		           << 2;
	if (m->no_ssid)
		memset(out + 14, 0, 2), memset(out + 38, 0, 3);
	back.len = u->len;
	(void)udp_send_one(m->fd, &back);
}

static void *
mirror_main(void *arg)
{
	struct mirror *m = arg;
	struct udp_rx *rx = udp_rx_new(TEST_BUF_MAX);
	uint32_t drops = 0;

	while (!m->stop) {
		struct pollfd pfd = {m->fd, POLLIN, 0};
		int n;

		(void)poll(&pfd, 1, 20);
		n = udp_rx_batch(m->fd, rx, &drops);
		for (int i = 0; i < n; i++)
			mirror_answer(m, udp_rx_packet(rx, i));
	}
	udp_rx_free(rx);
	return NULL;
}

static void
mirror_start(struct mirror *m, const char *ip)
{
	const struct udp_opts o = {.ttl = 255};
	struct addr a;
	socklen_t len = sizeof(a.u);

	memset(m, 0, sizeof(*m));
	m->reply_dscp = -1;
	ck_assert(addr_parse_ip(ip, 0, &a));
	m->fd = udp_open(&a, &o, NULL);
	ck_assert_int_ge(m->fd, 0);
	ck_assert_int_eq(getsockname(m->fd, &a.u.sa, &len), 0);
	m->port = addr_port(&a);
	ck_assert_int_eq(pthread_create(&m->thread, NULL, mirror_main, m), 0);
}

static void
mirror_stop(struct mirror *m)
{
	m->stop = true;
	pthread_join(m->thread, NULL);
	close(m->fd);
}

/* --- plans, results ------------------------------------------------------- */

static struct roster_class
test_class(void)
{
	return (struct roster_class){.class_id = 5,
	                             .name = "t",
	                             .size_octets = 128,
	                             .gap_ns = 10 * MS,
	                             .flows = 1,
	                             .interval_ns = 500 * MS,
	                             .loss_timeout_ns = 200 * MS};
}

/* Node 1 is us; mirrors are nodes 2, 3, .. */
static struct plan *
plan_of(uint64_t epoch, struct roster_class c, const char *ip,
        struct mirror *const *m, size_t n)
{
	struct plan *p = calloc(1, sizeof(*p));

	p->self_id = 1;
	p->roster.epoch = epoch;
	p->roster.class_ = calloc(1, sizeof(c));
	p->roster.class_[0] = c;
	p->roster.class_n = 1;
	p->roster.node = calloc(n + 1, sizeof(*p->roster.node));
	p->roster.node_n = n + 1;
	for (size_t i = 0; i <= n; i++) {
		struct roster_node *node = &p->roster.node[i];

		node->node_id = (uint32_t)i + 1;
		(void)snprintf(node->name, sizeof(node->name), "n%zu", i + 1);
		node->address_n = 1;
		node->reflector_port = i ? m[i - 1]->port : 9;
		ck_assert(
		    addr_parse_ip(ip, node->reflector_port, &node->address[0]));
	}
	return p;
}

static struct prober *
start_prober(uint16_t port_base)
{
	const struct prober_opts o = {.source_port_base = port_base,
	                              .min_gap_ns = 50 * NS_PER_US,
	                              .clock_error_floor_ns = 100};
	int err;
	struct prober *p = prober_start(&o, &err);

	ck_assert_ptr_nonnull(p);
	return p;
}

static void
pass_ms(long ms)
{
	const struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&ts, NULL);
}

#endif
