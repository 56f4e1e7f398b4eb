/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reflector/replies over loopback sockets: sub-batches arrive whole and in
 * order; each reply with Follow-Up Telemetry tells when the one before it left,
 * also when both were built in one go; plain replies ask for no stamp; a reply
 * that the kernel refuses costs no other its stamp.
 */
#include "reflector/replies.h"

#include "lib/base/clock_read.h"
#include "lib/net/txstamp.h"

#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLOWS 3

struct fixture {
	struct reflect reflect;
	struct replies replies;
	struct outlet out;
	struct udp_rx *rx;
	struct log_limit log;
	int peer[FLOWS]; /* sockets of as many senders */
	struct addr to[FLOWS];
	uint8_t data[128];
};

static struct fixture f;

static int
open_loopback(struct addr *bound)
{
	const struct udp_opts o = {.ttl = 255};
	struct addr a;
	int fd;

	ck_assert(addr_parse_ip("127.0.0.1", 0, &a));
	fd = udp_open(&a, &o, NULL);
	ck_assert_int_ge(fd, 0);
	a.len = sizeof(a.u);
	ck_assert_int_eq(getsockname(fd, &a.u.sa, &a.len), 0);
	*bound = a;
	return fd;
}

static void
open_all(unsigned txstamp_flags)
{
	const struct reflect_conf conf = {.stateful = true,
	                                  .session_max = 8,
	                                  .session_idle_ns = 900 * NS_PER_S};
	struct addr self;
	int error = 0;

	memset(&f, 0, sizeof(f));
	ck_assert(reflect_init(&f.reflect, &conf));
	ck_assert(replies_init(&f.replies));
	f.out.fd = open_loopback(&self);
	f.out.tx = txstamp_new(f.out.fd, txstamp_flags, 64, &error);
	ck_assert_msg(f.out.tx != NULL, "%s", strerror(-error));
	f.out.reflect = &f.reflect;
	f.out.log = &f.log;
	f.rx = udp_rx_new(2048);
	ck_assert_ptr_nonnull(f.rx);
	for (int i = 0; i < FLOWS; i++)
		f.peer[i] = open_loopback(&f.to[i]);
}

static void
close_all(void)
{
	for (int i = 0; i < FLOWS; i++)
		(void)close(f.peer[i]);
	txstamp_free(f.out.tx);
	(void)close(f.out.fd);
	udp_rx_free(f.rx);
	replies_release(&f.replies);
	reflect_release(&f.reflect);
}

/* A request of that flow is answered. `reachable`: else to a place where no
 * reply can go. */
static void
answer(int flow, uint32_t seq, unsigned want, bool together, bool reachable)
{
	const struct test_request q = {
	    .seq = seq, .error_estimate = 0x8001, .ssid = 7};
	const struct clock_pair now = clock_now();
	struct udp_packet p = {.src = f.to[flow],
	                       .ttl = 255,
	                       .wall = now.wall,
	                       .mono = now.mono,
	                       .stamp = STAMP_KERNEL,
	                       .len = sizeof(f.data),
	                       .data = f.data};
	struct udp_send out = {.tos = -1, .len = sizeof(f.data)};
	struct reflected how;

	ck_assert(addr_parse_ip("127.0.0.1", 0, &p.local));
	ck_assert(test_request_encode(&q, want, f.data, sizeof(f.data)));
	ck_assert_int_eq(
	    reflect_packet(&f.reflect, &p, replies_buf(&f.replies), &how),
	    DROP_NONE);
	out.dst = f.to[flow];
	if (!reachable) /* loopback's address as source, to the outside */
		ck_assert(addr_parse_ip("255.255.255.255", 9, &out.dst));
	replies_add(&f.replies, &f.out, &out, &how, together);
}

/* The next reply that reached a flow; its number is `seq`. */
static struct test_reply
next_reply(int flow, uint32_t seq, struct wall *arrived)
{
	static struct {
		int n, at;
		struct test_reply r[UDP_BATCH];
		struct wall arrived[UDP_BATCH];
	} q[FLOWS];
	struct pollfd pfd = {f.peer[flow], POLLIN, 0};
	uint32_t drops = 0;

	if (q[flow].at == q[flow].n) {
		ck_assert_int_eq(poll(&pfd, 1, 2000), 1);
		q[flow].at = 0;
		q[flow].n = udp_rx_batch(f.peer[flow], f.rx, &drops);
		ck_assert_int_gt(q[flow].n, 0);
		for (int i = 0; i < q[flow].n; i++) {
			const struct udp_packet *p = udp_rx_packet(f.rx, i);

			q[flow].arrived[i] = p->wall;
			ck_assert_int_eq(test_reply_decode(p->data, p->len,
			                                   p->wall,
			                                   &q[flow].r[i]),
			                 TEST_OK);
		}
	}
	ck_assert_uint_eq(q[flow].r[q[flow].at].seq, seq);
	if (arrived)
		*arrived = q[flow].arrived[q[flow].at];
	return q[flow].r[q[flow].at++];
}

static uint64_t
counted(enum counter c)
{
	return f.reflect.counters.count[c];
}

START_TEST(plain_replies_ask_for_no_stamp)
{
	open_all(0);
	for (uint32_t i = 0; i < 30; i++)
		answer((int)(i % FLOWS), i, TEST_WANT_BITMAP, false, true);
	replies_flush(&f.replies, &f.out, false);
	for (uint32_t i = 0; i < 30; i++)
		(void)next_reply((int)(i % FLOWS), i / FLOWS, NULL);
	ck_assert_uint_eq(counted(COUNT_REPLIES), 30);
	ck_assert_uint_eq(txstamp_stats(f.out.tx)->asked, 0);
	close_all();
}
END_TEST

/* 30 replies of 3 sessions, with plain ones in between, in sub-batches: each
 * tells when the one before it left, which is after its T3 and before it
 * arrived. */
static void
each_is_followed_up(unsigned txstamp_flags)
{
	struct test_reply last[FLOWS];
	struct wall arrived[FLOWS], now;

	open_all(txstamp_flags);
	for (uint32_t i = 0; i < 30; i++) {
		answer((int)(i % FLOWS), i, TEST_WANT_FOLLOW_UP, false, true);
	}
	replies_flush(&f.replies, &f.out, false);
	for (uint32_t i = 0; i < 30; i++) {
		const int k = (int)(i % FLOWS);
		const struct test_reply r = next_reply(k, i / FLOWS, &now);

		ck_assert(r.has_follow_up);
		ck_assert(r.follow_up == (i >= FLOWS));
		if (r.follow_up) {
			ck_assert_uint_eq(r.follow_up_seq, last[k].seq);
			ck_assert_int_ge(r.follow_up_t3.ns, last[k].t3.ns - 1);
			ck_assert_int_le(r.follow_up_t3.ns, arrived[k].ns + 1);
		}
		last[k] = r;
		arrived[k] = now;
	}
	ck_assert_uint_eq(counted(COUNT_FOLLOW_UPS), 27);
	ck_assert_uint_eq(counted(COUNT_TX_ASKED), 30);
	ck_assert_uint_eq(counted(COUNT_TX_STAMPS), 30);
	ck_assert(!txstamp_pending(f.out.tx));
	close_all();
}

START_TEST(every_reply_is_followed_up)
{
	each_is_followed_up(0);
	each_is_followed_up(TXSTAMP_KERNEL_IDS);
}
END_TEST

/* When the host is behind, sub-batches go out whole: what was sent with its
 * predecessor cannot tell about it, and says so. */
START_TEST(a_busy_host_sends_together)
{
	open_all(0);
	for (uint32_t i = 0; i < 2 * REPLIES_MAX; i++)
		answer(0, i, TEST_WANT_FOLLOW_UP, true, true);
	for (uint32_t i = 0; i < 2 * REPLIES_MAX; i++) {
		const struct test_reply r = next_reply(0, i, NULL);

		ck_assert(r.has_follow_up);
		ck_assert(r.follow_up == (i == REPLIES_MAX));
		ck_assert_uint_eq(r.follow_up_seq, i ? i - 1 : 0);
	}
	/* stamps that nobody could be told are not asked for */
	ck_assert_uint_eq(counted(COUNT_TX_ASKED), 2);
	close_all();
}
END_TEST

/* The kernel refuses to send one to a broadcast address. */
static void
survives_failures(unsigned txstamp_flags)
{
	open_all(txstamp_flags);
	for (uint32_t i = 0; i < 12; i++)
		answer(0, i, TEST_WANT_FOLLOW_UP, false, i != 5);
	replies_flush(&f.replies, &f.out, false);
	for (uint32_t i = 0; i < 12; i++) {
		struct test_reply r;

		if (i == 5)
			continue;
		r = next_reply(0, i, NULL);
		ck_assert(r.has_follow_up);
		ck_assert(r.follow_up == (i != 0 && i != 6));
		ck_assert_uint_eq(r.follow_up_seq, i ? i - 1 : 0);
	}
	ck_assert_uint_eq(counted(COUNT_SEND_FAILED), 1);
	ck_assert_uint_eq(counted(COUNT_REPLIES), 11);
	close_all();
}

START_TEST(a_refused_reply_costs_no_other_its_stamp)
{
	survives_failures(0);
	survives_failures(TXSTAMP_KERNEL_IDS);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("replies");
	TCase *t = tcase_create("replies");
	SRunner *sr;
	int failed;

	tcase_add_test(t, plain_replies_ask_for_no_stamp);
	tcase_add_test(t, every_reply_is_followed_up);
	tcase_add_test(t, a_busy_host_sends_together);
	tcase_add_test(t, a_refused_reply_costs_no_other_its_stamp);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
