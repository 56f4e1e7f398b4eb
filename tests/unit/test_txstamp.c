/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/net/txstamp over loopback, with ids that are ours and with the kernel's:
 * stamps come back to the packet they are of, and lie within its send call;
 * after failed sends, whether they consumed an id of the kernel's or not, no
 * stamp is another packet's; ICMP errors in the same queue harm nobody.
 */
#include "lib/net/txstamp.h"

#include "lib/base/clock_read.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING 64
#define DROPPED_PORT 4999
#define TOO_LONG 65535 /* over any UDP payload */

struct fixture {
	int tx, rx; /* sockets */
	struct addr to;
	struct txstamp *t;
	uint32_t seq;                          /* next */
	struct mono before[4096], after[4096]; /* of the send call, by seq */
	bool stamped[4096];
};

static uint8_t payload[TOO_LONG];

static int
open_on(const char *ip, struct addr *bound)
{
	const struct udp_opts o = {.ttl = 255};
	struct addr a;
	int fd;

	ck_assert(addr_parse_ip(ip, 0, &a));
	fd = udp_open(&a, &o, NULL);
	ck_assert_msg(fd >= 0, "%s: %s", ip, strerror(-fd));
	a.len = sizeof(a.u);
	ck_assert_int_eq(getsockname(fd, &a.u.sa, &a.len), 0);
	*bound = a;
	return fd;
}

static void
fixture_open(struct fixture *f, const char *ip, unsigned flags)
{
	struct addr self;
	int error = 0;

	memset(f, 0, sizeof(*f));
	f->tx = open_on(ip, &self);
	f->rx = open_on(ip, &f->to);
	f->t = txstamp_new(f->tx, flags, RING, &error);
	ck_assert_msg(f->t != NULL, "%s", strerror(-error));
	if (flags & TXSTAMP_KERNEL_IDS)
		ck_assert(!txstamp_gives_ids(f->t));
}

static void
fixture_close(struct fixture *f)
{
	txstamp_free(f->t);
	(void)close(f->tx);
	(void)close(f->rx);
}

/* Sends one packet, with a stamp if it is to be had: the result of the send.
 * *asked (may be NULL) tells. */
static int
send_to(struct fixture *f, const struct addr *to, size_t len, bool *asked)
{
	const uint32_t seq = f->seq++;
	struct udp_send s = {
	    .dst = *to, .tos = -1, .data = payload, .len = len};
	bool want;
	int rc;

	ck_assert_uint_lt(seq, 4096);
	want = txstamp_ask(f->t, &s, clock_mono());
	f->before[seq] = clock_mono();
	rc = udp_send_one(f->tx, &s);
	f->after[seq] = clock_mono();
	if (asked)
		*asked = want;
	if (!want)
		return rc;
	if (rc == 0)
		txstamp_sent(f->t, &s, f->before[seq], 1000 + seq, seq);
	else
		txstamp_failed(f->t, &s);
	return rc;
}

/* Reads the error queue: how many stamps. Each lies within the call that sent
 * its packet, and comes once. */
static int
drain(struct fixture *f)
{
	struct tx_event ev[7]; /* no divisor of the batch */
	int n, sum = 0;

	do {
		n = txstamp_drain(f->t, ev, 7);
		for (int i = 0; i < n; i++) {
			const uint32_t q = ev[i].seq;

			ck_assert_uint_eq(ev[i].who, 1000 + q);
			ck_assert(ev[i].software && !f->stamped[q]);
			ck_assert_int_eq(ev[i].nic_ns, NS_UNKNOWN);
			f->stamped[q] = true;
			/* 100 us: two clocks are compared */
			ck_assert_int_gt(mono_diff_ns(ev[i].mono, f->before[q]),
			                 -100 * NS_PER_US);
			ck_assert_int_lt(mono_diff_ns(ev[i].mono, f->after[q]),
			                 100 * NS_PER_US);
			ck_assert_int_lt(llabs(ev[i].wall.ns - clock_wall().ns),
			                 NS_PER_S);
		}
		sum += n;
	} while (n == 7);
	return sum;
}

/* --- the ordinary case -------------------------------------------------- */

static void
stamps_come_back(const char *ip, unsigned flags)
{
	struct fixture *f = malloc(sizeof(*f));
	bool asked;

	ck_assert_ptr_nonnull(f);
	fixture_open(f, ip, flags);
	ck_assert(!txstamp_pending(f->t));
	for (int i = 0; i < 40; i++) {
		ck_assert_int_eq(send_to(f, &f->to, 44, &asked), 0);
		ck_assert(asked);
		if (i % 8 == 7)
			ck_assert_int_eq(drain(f), 8);
	}
	ck_assert(!txstamp_pending(f->t));
	ck_assert_int_eq(drain(f), 0);
	ck_assert_uint_eq(txstamp_stats(f->t)->asked, 40);
	ck_assert_uint_eq(txstamp_stats(f->t)->stamped, 40);
	ck_assert_uint_eq(txstamp_stats(f->t)->rejected, 0);
	ck_assert_uint_eq(txstamp_stats(f->t)->unknown, 0);
	fixture_close(f);
	free(f);
}

START_TEST(stamps_come_back_to_their_packets)
{
	stamps_come_back("127.0.0.1", 0);
	stamps_come_back("127.0.0.1", TXSTAMP_KERNEL_IDS);
}
END_TEST

START_TEST(stamps_come_back_with_ipv6)
{
	stamps_come_back("::1", 0);
	stamps_come_back("::1", TXSTAMP_KERNEL_IDS);
}
END_TEST

/* The newest RING are remembered; older stamps are nobody's. */
START_TEST(what_is_never_drained_is_forgotten)
{
	for (unsigned flags = 0; flags <= TXSTAMP_KERNEL_IDS;
	     flags += TXSTAMP_KERNEL_IDS) {
		struct fixture *f = malloc(sizeof(*f));

		ck_assert_ptr_nonnull(f);
		fixture_open(f, "127.0.0.1", flags);
		for (int i = 0; i < RING + 30; i++)
			ck_assert_int_eq(send_to(f, &f->to, 44, NULL), 0);
		ck_assert_int_eq(drain(f), RING);
		for (uint32_t i = 0; i < RING + 30; i++)
			ck_assert_int_eq(f->stamped[i], i >= 30);
		ck_assert_uint_eq(txstamp_stats(f->t)->unknown, 30);
		ck_assert(!txstamp_pending(f->t));
		fixture_close(f);
		free(f);
	}
}
END_TEST

/* Packets for which nobody asked leave no stamp, and receipts keep theirs. */
START_TEST(plain_sends_cost_nothing)
{
	struct fixture *f = malloc(sizeof(*f));
	struct udp_rx *rx = udp_rx_new(2048);
	struct udp_send s = {.tos = -1, .data = payload, .len = 44};
	uint32_t drops = 0;
	char byte;

	ck_assert(f && rx);
	fixture_open(f, "127.0.0.1", 0);
	s.dst = f->to;
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(udp_send_one(f->tx, &s), 0);
	ck_assert_int_eq(recv(f->tx, &byte, 1, MSG_ERRQUEUE | MSG_DONTWAIT),
	                 -1);
	ck_assert_int_eq(errno, EAGAIN);
	/* and back: the socket with transmit stamps receives as ever */
	s.dst.len = sizeof(s.dst.u);
	ck_assert_int_eq(getsockname(f->tx, &s.dst.u.sa, &s.dst.len), 0);
	ck_assert_int_eq(udp_send_one(f->rx, &s), 0);
	ck_assert_int_eq(udp_rx_batch(f->tx, rx, &drops), 1);
	ck_assert_int_eq(udp_rx_packet(rx, 0)->stamp, STAMP_KERNEL);
	ck_assert_int_eq(udp_rx_packet(rx, 0)->ttl, 255);
	ck_assert_int_eq(udp_rx_packet(rx, 0)->tos, 0);
	udp_rx_free(rx);
	fixture_close(f);
	free(f);
}
END_TEST

/* --- failed sends ------------------------------------------------------- */

/* After a failure the ids are found again: one packet is asked for, the others
 * not until its stamp is read; then all are as before. `earlier` stamps are
 * still in the queue. */
static void
recovers(struct fixture *f, int earlier)
{
	const bool ours = txstamp_gives_ids(f->t);
	const uint64_t resyncs = txstamp_stats(f->t)->resyncs;
	bool asked;

	ck_assert_int_eq(send_to(f, &f->to, 44, &asked), 0);
	ck_assert(asked);
	ck_assert_int_eq(send_to(f, &f->to, 44, &asked), 0);
	ck_assert(asked == ours);
	ck_assert(txstamp_pending(f->t));
	ck_assert_int_eq(drain(f), earlier + (ours ? 2 : 1));
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(send_to(f, &f->to, 44, &asked), 0);
		ck_assert(asked);
	}
	ck_assert_int_eq(drain(f), 10);
	ck_assert(!txstamp_pending(f->t));
	ck_assert_uint_eq(txstamp_stats(f->t)->rejected, 0);
	ck_assert_uint_eq(txstamp_stats(f->t)->resyncs, resyncs + !ours);
}

static void
survives_too_long(unsigned flags)
{
	struct fixture *f = malloc(sizeof(*f));

	ck_assert_ptr_nonnull(f);
	fixture_open(f, "127.0.0.1", flags);
	ck_assert_int_eq(send_to(f, &f->to, 44, NULL), 0);
	ck_assert_int_eq(send_to(f, &f->to, TOO_LONG, NULL), -EMSGSIZE);
	recovers(f, 1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(send_to(f, &f->to, TOO_LONG, NULL), -EMSGSIZE);
	recovers(f, 0);
	fixture_close(f);
	free(f);
}

START_TEST(ids_survive_packets_too_long)
{
	survives_too_long(0);
}
END_TEST

START_TEST(kernel_ids_survive_packets_too_long)
{
	survives_too_long(TXSTAMP_KERNEL_IDS);
}
END_TEST

/* A network namespace whose output drops what goes to DROPPED_PORT. */
static bool
dropping_namespace(void)
{
	char cmd[256];

	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
		printf("skipped: needs CAP_NET_ADMIN\n");
		return false;
	}
	(void)snprintf(cmd, sizeof(cmd),
	               "ip link set lo up && nft 'add table inet t; add chain "
	               "inet t o { type filter hook output priority 0; }; add "
	               "rule inet t o udp dport %d drop'",
	               DROPPED_PORT);
	if (system(cmd) != 0) {
		printf("skipped: needs ip and nft\n");
		return false;
	}
	return true;
}

static void
survives_output_drops(unsigned flags)
{
	struct fixture *f = malloc(sizeof(*f));
	struct addr dropped;

	ck_assert_ptr_nonnull(f);
	fixture_open(f, "127.0.0.1", flags);
	dropped = f->to;
	addr_set_port(&dropped, DROPPED_PORT);
	ck_assert_int_eq(send_to(f, &f->to, 44, NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(send_to(f, &dropped, 44, NULL), -EPERM);
	recovers(f, 1);
	/* one that consumed an id and one that did not, in either order */
	ck_assert_int_eq(send_to(f, &dropped, 44, NULL), -EPERM);
	ck_assert_int_eq(send_to(f, &f->to, TOO_LONG, NULL), -EMSGSIZE);
	recovers(f, 0);
	ck_assert_int_eq(send_to(f, &f->to, TOO_LONG, NULL), -EMSGSIZE);
	ck_assert_int_eq(send_to(f, &dropped, 44, NULL), -EPERM);
	recovers(f, 0);
	/* the very packet that is to find the ids again is lost */
	ck_assert_int_eq(send_to(f, &dropped, 44, NULL), -EPERM);
	ck_assert_int_eq(send_to(f, &dropped, 44, NULL), -EPERM);
	recovers(f, 0);
	fixture_close(f);
	free(f);
}

START_TEST(ids_survive_drops_at_output)
{
	if (!dropping_namespace())
		return;
	survives_output_drops(0);
	survives_output_drops(TXSTAMP_KERNEL_IDS);
}
END_TEST

/* Were ids counted on from what was asked for, these stamps would be taken for
 * their neighbours': the kernel's numbering does differ between the two. */
START_TEST(the_kernel_counts_dropped_packets_but_not_long_ones)
{
	struct fixture *f = malloc(sizeof(*f));
	struct addr dropped;

	if (!dropping_namespace()) {
		free(f);
		return;
	}
	ck_assert_ptr_nonnull(f);
	fixture_open(f, "127.0.0.1", TXSTAMP_KERNEL_IDS);
	dropped = f->to;
	addr_set_port(&dropped, DROPPED_PORT);
	for (int i = 0; i < 2; i++) {
		struct udp_send s = {.tos = -1, .data = payload, .len = 44};
		const struct addr *bad = i ? &dropped : &f->to;
		const uint64_t unknown = txstamp_stats(f->t)->unknown;

		/* the failure is kept from txstamp */
		ck_assert(txstamp_ask(f->t, &s, clock_mono()));
		s.dst = *bad;
		s.len = i ? 44 : TOO_LONG;
		ck_assert_int_lt(udp_send_one(f->tx, &s), 0);
		ck_assert_int_eq(send_to(f, &f->to, 44, NULL), 0);
		ck_assert_int_eq(drain(f), i ? 0 : 1);
		ck_assert_uint_eq(txstamp_stats(f->t)->unknown,
		                  unknown + (uint64_t)i);
	}
	fixture_close(f);
	free(f);
}
END_TEST

/* --- company in the queue ----------------------------------------------- */

/* A closed port's ICMP error. Nothing of it reaches a socket of udp_open(); if
 * someone turned IP_RECVERR on it would sit in the same queue as the stamps,
 * and fail a later send. */
static void
survives_closed_port(unsigned flags, bool recverr)
{
	const int on = 1;
	struct fixture *f = malloc(sizeof(*f));
	struct addr closed;
	int rc;

	ck_assert_ptr_nonnull(f);
	fixture_open(f, "127.0.0.1", flags);
	(void)close(open_on("127.0.0.1", &closed));
	if (recverr)
		ck_assert_int_eq(
		    setsockopt(f->tx, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)),
		    0);
	for (int i = 0; i < 20; i++) {
		bool asked;

		rc = send_to(f, &closed, 44, NULL);
		ck_assert(rc == 0 || (recverr && rc == -ECONNREFUSED));
		rc = send_to(f, &f->to, 44, &asked);
		ck_assert(rc == 0 || (recverr && rc == -ECONNREFUSED));
		(void)drain(f);
		if (rc == 0 && asked)
			ck_assert(f->stamped[f->seq - 1]);
	}
	ck_assert_uint_eq(txstamp_stats(f->t)->rejected, 0);
	ck_assert_uint_eq(txstamp_stats(f->t)->unknown, 0);
	if (!recverr)
		ck_assert_uint_eq(txstamp_stats(f->t)->stamped, 40);
	fixture_close(f);
	free(f);
}

START_TEST(a_closed_port_harms_no_other_peer)
{
	survives_closed_port(0, false);
	survives_closed_port(TXSTAMP_KERNEL_IDS, false);
}
END_TEST

START_TEST(icmp_errors_are_no_stamps)
{
	survives_closed_port(0, true);
	survives_closed_port(TXSTAMP_KERNEL_IDS, true);
}
END_TEST

START_TEST(a_nic_stamp_goes_to_its_packet)
{
	struct tx_event e[] = {
	    {.who = 1, .seq = 7, .software = true, .nic_ns = NS_UNKNOWN},
	    {.who = 2, .seq = 7, .software = true, .nic_ns = NS_UNKNOWN},
	    {.who = 1, .seq = 7, .nic_ns = 5000},
	    {.who = 1, .seq = 8, .software = true, .nic_ns = NS_UNKNOWN},
	    {.who = 3, .seq = 7, .nic_ns = 6000}, /* its own came earlier */
	    {.who = 1, .seq = 8, .software = true, .nic_ns = 7000},
	};

	txstamp_join_nic(e, 6);
	ck_assert_int_eq(e[0].nic_ns, 5000);
	ck_assert_int_eq(e[1].nic_ns, NS_UNKNOWN);
	ck_assert_int_eq(e[3].nic_ns, NS_UNKNOWN);
	ck_assert_int_eq(e[5].nic_ns, 7000);
}
END_TEST

START_TEST(no_socket_no_stamps)
{
	int error = 0;

	ck_assert_ptr_null(txstamp_new(-1, 0, RING, &error));
	ck_assert_int_eq(error, -EBADF);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("txstamp");
	TCase *t = tcase_create("txstamp");
	SRunner *sr;
	int failed;

	tcase_add_test(t, stamps_come_back_to_their_packets);
	tcase_add_test(t, stamps_come_back_with_ipv6);
	tcase_add_test(t, what_is_never_drained_is_forgotten);
	tcase_add_test(t, plain_sends_cost_nothing);
	tcase_add_test(t, ids_survive_packets_too_long);
	tcase_add_test(t, kernel_ids_survive_packets_too_long);
	tcase_add_test(t, ids_survive_drops_at_output);
	tcase_add_test(t, the_kernel_counts_dropped_packets_but_not_long_ones);
	tcase_add_test(t, a_closed_port_harms_no_other_peer);
	tcase_add_test(t, icmp_errors_are_no_stamps);
	tcase_add_test(t, no_socket_no_stamps);
	tcase_add_test(t, a_nic_stamp_goes_to_its_packet);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
