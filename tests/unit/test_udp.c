/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/net/udp over loopback: what is sent arrives with its stamp, TTL, traffic
 * class and addresses, for IPv4 and IPv6; replies leave from the address that
 * was asked; batches, truncation, overflow, errors.
 */
#include "lib/net/udp.h"

#include "lib/base/clock_read.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/in6.h>
#include <netinet/ip.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct udp_opts plain = {.ttl = 255};

static struct addr
ip(const char *text, uint16_t port)
{
	struct addr a;

	ck_assert(addr_parse_ip(text, port, &a));
	return a;
}

static int
open_on(const char *text, struct addr *bound)
{
	const struct addr a = ip(text, 0);
	const int fd = udp_open(&a, &plain, NULL);

	ck_assert_msg(fd >= 0, "%s: %s", text, strerror(-fd));
	*bound = a;
	bound->len = sizeof(bound->u);
	ck_assert_int_eq(getsockname(fd, &bound->u.sa, &bound->len), 0);
	return fd;
}

/* Receives `want` packets, waiting for them up to a second. */
static int
receive(int fd, struct udp_rx *rx, int want, uint32_t *drops)
{
	int n = 0;

	for (int tries = 0; n == 0 && tries < 5; tries++) {
		struct pollfd p = {fd, POLLIN, 0};

		ck_assert_int_ge(poll(&p, 1, 1000), 0);
		n = udp_rx_batch(fd, rx, drops);
	}
	ck_assert_int_eq(n, want);
	return n;
}

struct family {
	const char *any, *here;
};
static const struct family families[] = {{"0.0.0.0", "127.0.1.7"},
                                         {"::", "::1"}};

START_TEST(metadata)
{
	const struct family *f = &families[_i];
	struct addr server, client, to;
	const int sfd = open_on(f->any, &server);
	const int cfd = open_on(f->here, &client);
	struct udp_rx *rx = udp_rx_new(2048);
	uint32_t drops = 77;
	const struct wall before = clock_wall();
	const struct mono mono_before = clock_mono();
	struct udp_packet *p;

	to = ip(f->here, addr_port(&server));
	ck_assert_int_eq(
	    udp_send_one(cfd, &(struct udp_send){.dst = to,
	                                         .tos = 46 << 2,
	                                         .data = (const uint8_t *)"ab",
	                                         .len = 2}),
	    0);
	receive(sfd, rx, 1, &drops);
	p = udp_rx_packet(rx, 0);
	ck_assert_uint_eq(p->len, 2);
	ck_assert_mem_eq(p->data, "ab", 2);
	ck_assert(addr_equal(&p->src, &client));
	ck_assert(addr_ip_equal(&p->local, &to));
	ck_assert_int_eq(p->ttl, 255);
	ck_assert_int_eq(p->tos, 46 << 2);
	ck_assert_int_eq(p->stamp, STAMP_KERNEL);
	ck_assert(!p->truncated && !p->group);
	ck_assert_uint_gt(p->ifindex, 0);
	ck_assert_int_ge(p->wall.ns, before.ns);
	ck_assert_int_le(p->wall.ns, clock_wall().ns);
	/* the two clocks are read apart: allow a scheduling stall */
	ck_assert_int_ge(p->mono.ns, mono_before.ns - 20 * NS_PER_MS);
	ck_assert_int_le(p->mono.ns, clock_mono().ns + 20 * NS_PER_MS);
	ck_assert_uint_eq(drops, 77); /* nothing dropped, nothing told */

	/* the answer: from the address asked, default traffic class */
	ck_assert_int_eq(udp_send_one(sfd, &(struct udp_send){.dst = p->src,
	                                                      .local = p->local,
	                                                      .tos = -1,
	                                                      .data = p->data,
	                                                      .len = p->len}),
	                 0);
	receive(cfd, rx, 1, &drops);
	p = udp_rx_packet(rx, 0);
	ck_assert(addr_equal(&p->src, &to));
	ck_assert_int_eq(p->tos, 0);
	udp_rx_free(rx);
	(void)close(sfd);
	(void)close(cfd);
}
END_TEST

START_TEST(batches)
{
	const struct family *f = &families[_i];
	struct addr server, client;
	const int sfd = open_on(f->here, &server);
	const int cfd = open_on(f->here, &client);
	struct udp_rx *rx = udp_rx_new(256);
	static uint8_t data[150][4];
	static struct udp_send s[150];
	uint32_t drops = 0;
	unsigned seen = 0;

	for (unsigned i = 0; i < 150; i++) {
		data[i][0] = (uint8_t)i;
		s[i] = (struct udp_send){.dst = server,
		                         .tos = i & 1 ? (int)(i % 64) << 2 : -1,
		                         .data = data[i],
		                         .len = 1 + i % 4};
	}
	ck_assert_int_eq(udp_send_batch(cfd, s, 150), 150);
	for (int want = 64; seen < 150; want = 150 - (int)seen) {
		const int n = receive(sfd, rx, want > 64 ? 64 : want, &drops);

		for (int i = 0; i < n; i++, seen++) {
			struct udp_packet *p = udp_rx_packet(rx, i);

			ck_assert_uint_eq(p->data[0], seen);
			ck_assert_uint_eq(p->len, 1 + seen % 4);
			ck_assert_int_eq(p->tos,
			                 seen & 1 ? (int)(seen % 64) << 2 : 0);
			ck_assert(addr_equal(&p->src, &client));
		}
	}
	ck_assert_int_eq(udp_rx_batch(sfd, rx, &drops), 0);
	udp_rx_free(rx);
	(void)close(sfd);
	(void)close(cfd);
}
END_TEST

START_TEST(truncation)
{
	struct addr server, client;
	const int sfd = open_on("127.0.0.1", &server);
	const int cfd = open_on("127.0.0.1", &client);
	struct udp_rx *rx = udp_rx_new(64);
	static const uint8_t data[65] = {7};
	struct udp_send s[3];
	uint32_t drops = 0;

	for (unsigned i = 0; i < 3; i++)
		s[i] = (struct udp_send){.dst = server,
		                         .tos = -1,
		                         .data = data,
		                         .len = i == 0   ? 64
		                                : i == 1 ? 65
		                                         : 0};
	ck_assert_int_eq(udp_send_batch(cfd, s, 3), 3);
	receive(sfd, rx, 3, &drops);
	ck_assert(!udp_rx_packet(rx, 0)->truncated);
	ck_assert_uint_eq(udp_rx_packet(rx, 0)->len, 64);
	ck_assert(udp_rx_packet(rx, 1)->truncated);
	ck_assert_uint_eq(udp_rx_packet(rx, 2)->len, 0);
	ck_assert(!udp_rx_packet(rx, 2)->truncated);
	udp_rx_free(rx);
	(void)close(sfd);
	(void)close(cfd);
}
END_TEST

/* More than the buffer holds: the kernel's count of what it threw away. */
START_TEST(overflow)
{
	struct addr server, client;
	const int sfd = open_on("127.0.0.1", &server);
	const int cfd = open_on("127.0.0.1", &client);
	struct udp_rx *rx = udp_rx_new(2048);
	static const uint8_t data[64];
	const struct udp_send s = {
	    .dst = server, .tos = -1, .data = data, .len = sizeof(data)};
	const int small = 4096;
	uint32_t drops = 0;
	int got = 0, n;

	ck_assert_int_eq(
	    setsockopt(sfd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(udp_send_one(cfd, &s), 0);
	while ((n = udp_rx_batch(sfd, rx, &drops)) > 0)
		got += n;
	ck_assert_int_lt(got, 1000);
	/* the count rides on the next packet that is queued */
	ck_assert_int_eq(udp_send_one(cfd, &s), 0);
	receive(sfd, rx, 1, &drops);
	ck_assert_uint_eq(drops, 1000 - (unsigned)got);
	udp_rx_free(rx);
	(void)close(sfd);
	(void)close(cfd);
}
END_TEST

START_TEST(errors)
{
	struct addr server, bad = {0};
	const int fd = open_on("127.0.0.1", &server);
	const struct addr nowhere = ip("192.0.2.1", 0);
	static uint8_t big[9000];
	struct udp_send s[2] = {
	    {.dst = server, .tos = -1, .data = big, .len = 10},
	    {.dst = server, .tos = -1, .data = big, .len = 70000}};
	int rcvbuf = 0, fd2;

	ck_assert_int_eq(udp_open(&server, &plain, NULL), -EADDRINUSE);
	ck_assert_int_eq(udp_open(&nowhere, &plain, NULL), -EADDRNOTAVAIL);
	ck_assert_int_eq(udp_open(&bad, &plain, NULL), -EAFNOSUPPORT);
	/* up to the first that fails; then its reason */
	ck_assert_int_eq(udp_send_batch(fd, s, 2), 1);
	ck_assert_int_eq(udp_send_batch(fd, s + 1, 1), -EMSGSIZE);
	ck_assert_int_eq(udp_send_one(fd, s + 1), -EMSGSIZE);
	bad = ip("127.0.0.1", 0);
	fd2 = udp_open(&bad, &plain, &rcvbuf);
	ck_assert_int_ge(fd2, 0);
	ck_assert_int_gt(rcvbuf, 4096);
	(void)close(fd);
	(void)close(fd2);
}
END_TEST

/* IPv4 and IPv6 wildcards side by side, one port; DF and TTL set. */
START_TEST(options)
{
	struct addr a4, a6;
	const int fd4 = open_on("0.0.0.0", &a4);
	int fd6, v;
	socklen_t len = sizeof(v);

	a6 = ip("::", addr_port(&a4));
	fd6 = udp_open(&a6, &plain, NULL);
	ck_assert_int_ge(fd6, 0);
	ck_assert_int_eq(getsockopt(fd4, IPPROTO_IP, IP_MTU_DISCOVER, &v, &len),
	                 0);
	ck_assert_int_eq(v, IP_PMTUDISC_PROBE);
	ck_assert_int_eq(getsockopt(fd4, IPPROTO_IP, IP_TTL, &v, &len), 0);
	ck_assert_int_eq(v, 255);
	ck_assert_int_eq(
	    getsockopt(fd6, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v, &len), 0);
	ck_assert_int_eq(v, IPV6_PMTUDISC_PROBE);
	ck_assert_int_eq(
	    getsockopt(fd6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &v, &len), 0);
	ck_assert_int_eq(v, 255);
	(void)close(fd4);
	(void)close(fd6);
}
END_TEST

/* The flow label of a packet as it arrived; -1: none told. */
static int64_t
label_received(int fd)
{
	_Alignas(struct cmsghdr) uint8_t control[256];
	uint8_t data[16];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr h = {.msg_iov = &iov,
	                   .msg_iovlen = 1,
	                   .msg_control = control,
	                   .msg_controllen = sizeof(control)};
	struct pollfd p = {fd, POLLIN, 0};
	uint32_t info;

	ck_assert_int_eq(poll(&p, 1, 1000), 1);
	ck_assert_int_ge(recvmsg(fd, &h, 0), 0);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level != IPPROTO_IPV6 ||
		    c->cmsg_type != IPV6_FLOWINFO)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		return ntohl(info) & 0xfffff;
	}
	return -1;
}

START_TEST(flow_labels)
{
	const struct udp_opts o = {.ttl = 255, .flow_labels = true};
	const struct addr here = ip("::1", 0);
	struct addr server;
	const int sfd = open_on("::1", &server);
	const int cfd = udp_open(&here, &o, NULL);
	const int on = 1;

	ck_assert_int_eq(
	    setsockopt(sfd, IPPROTO_IPV6, IPV6_FLOWINFO, &on, sizeof(on)), 0);
	for (uint16_t port = 18620; port < 18624; port++) {
		const uint32_t label = udp_flow_label(port);
		const struct udp_send s = {.dst = server,
		                           .tos = -1,
		                           .flow_label = label,
		                           .data = (const uint8_t *)"x",
		                           .len = 1};

		ck_assert_int_eq(udp_send_one(cfd, &s), 0);
		ck_assert_int_eq(label_received(sfd), label);
	}
	(void)close(sfd);
	(void)close(cfd);
}
END_TEST

START_TEST(flow_labels_differ)
{
	static uint8_t seen[1 << 19];

	for (uint32_t port = 1; port <= UINT16_MAX; port++) {
		const uint32_t label = udp_flow_label((uint16_t)port);

		ck_assert_uint_lt(label, 1U << 19);
		ck_assert_uint_ne(label, 0);
		ck_assert_uint_eq(seen[label]++, 0);
	}
}
END_TEST

/* What came by broadcast is marked: 127.255.255.255 is lo's. */
START_TEST(broadcast)
{
	struct addr server, client;
	const int sfd = open_on("0.0.0.0", &server);
	const int cfd = open_on("127.0.0.1", &client);
	struct udp_rx *rx = udp_rx_new(2048);
	const struct addr to = ip("127.255.255.255", addr_port(&server));
	const int on = 1;
	uint32_t drops = 0;

	ck_assert_int_eq(
	    setsockopt(cfd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)), 0);
	ck_assert_int_eq(
	    udp_send_one(cfd, &(struct udp_send){.dst = to,
	                                         .tos = -1,
	                                         .data = (const uint8_t *)"x",
	                                         .len = 1}),
	    0);
	receive(sfd, rx, 1, &drops);
	ck_assert(udp_rx_packet(rx, 0)->group);
	ck_assert(addr_ip_equal(&udp_rx_packet(rx, 0)->local, &to));
	udp_rx_free(rx);
	(void)close(sfd);
	(void)close(cfd);
}
END_TEST

/* The clock hook moves kernel stamps too, and not monotonic time. */
START_TEST(clock_hook)
{
	struct addr server, client;
	const int sfd = open_on("127.0.0.1", &server);
	const int cfd = open_on("127.0.0.1", &client);
	struct udp_rx *rx = udp_rx_new(2048);
	uint32_t drops = 0;
	struct wall before;
	struct mono mono_before;

	ck_assert_int_eq(setenv("TWMESH_TEST_CLOCK_OFFSET", "-86400.5", 1), 0);
	ck_assert_ptr_null(clock_test_init());
	before = clock_wall();
	mono_before = clock_mono();
	ck_assert_int_eq(
	    udp_send_one(cfd, &(struct udp_send){.dst = server,
	                                         .tos = -1,
	                                         .data = (const uint8_t *)"x",
	                                         .len = 1}),
	    0);
	receive(sfd, rx, 1, &drops);
	ck_assert_int_ge(udp_rx_packet(rx, 0)->wall.ns, before.ns);
	ck_assert_int_le(udp_rx_packet(rx, 0)->wall.ns, clock_wall().ns);
	ck_assert_int_ge(udp_rx_packet(rx, 0)->mono.ns,
	                 mono_before.ns - 20 * NS_PER_MS);
	ck_assert_int_le(udp_rx_packet(rx, 0)->mono.ns,
	                 clock_mono().ns + 20 * NS_PER_MS);
	udp_rx_free(rx);
	(void)close(sfd);
	(void)close(cfd);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("udp");
	TCase *t = tcase_create("udp");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(t, metadata, 0, 2);
	tcase_add_loop_test(t, batches, 0, 2);
	tcase_add_test(t, truncation);
	tcase_add_test(t, overflow);
	tcase_add_test(t, errors);
	tcase_add_test(t, options);
	tcase_add_test(t, flow_labels);
	tcase_add_test(t, flow_labels_differ);
	tcase_add_test(t, broadcast);
	tcase_add_test(t, clock_hook);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
