/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/net/udp.h"

#include "lib/base/clock_read.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/in6.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Receive: stamp, that of SO_TIMESTAMPING where a socket has both, PKTINFO (v6
 * is the larger), TTL, TOS, drop counter. */
#define RX_CONTROL_BYTES                               \
	(CMSG_SPACE(sizeof(struct timespec)) +         \
	 CMSG_SPACE(sizeof(struct scm_timestamping)) + \
	 CMSG_SPACE(sizeof(struct in6_pktinfo)) +      \
	 2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint32_t)))
/* Send: PKTINFO and TOS, stamp request and its id. */
#define TX_CONTROL_BYTES \
	(CMSG_SPACE(sizeof(struct in6_pktinfo)) + 3 * CMSG_SPACE(sizeof(int)))
/* Linux 6.13; the headers of our oldest system do not have it. */
#ifndef SCM_TS_OPT_ID
#define SCM_TS_OPT_ID 81
#endif

struct rx_slot {
	_Alignas(struct cmsghdr) uint8_t control[RX_CONTROL_BYTES];
	struct iovec iov;
	struct udp_packet pkt; /* pkt.src doubles as msg_name */
};

struct udp_rx {
	struct mmsghdr msg[UDP_BATCH];
	struct rx_slot slot[UDP_BATCH];
	struct clock_pair clock; /* of the last batch */
	size_t buf_bytes;
	uint8_t *buf; /* owned: UDP_BATCH buffers */
};

/* --- opening ------------------------------------------------------------ */

static int
set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0
	                                                               : -errno;
}

struct opt {
	int level, name, value;
};

static int
set_all(int fd, const struct opt *o, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const int rc = set_int(fd, o[i].level, o[i].name, o[i].value);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/*
 * PMTUDISC_PROBE sets DF and ignores what the path MTU is believed to be: a
 * measurement wants a too large packet to be lost where it is lost, and a
 * forged ICMP message shall not stop it.
 */
static int
set_v4(int fd, const struct udp_opts *o)
{
	const struct opt opts[] = {
	    {IPPROTO_IP, IP_PKTINFO, 1},
	    {IPPROTO_IP, IP_RECVTTL, 1},
	    {IPPROTO_IP, IP_RECVTOS, 1},
	    {IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE},
	    {IPPROTO_IP, IP_TOS, o->dscp << 2},
	    {IPPROTO_IP, IP_TTL, o->ttl},
	};
	const size_t n = sizeof(opts) / sizeof(opts[0]);

	return set_all(fd, opts, o->ttl ? n : n - 1);
}

static int
set_v6(int fd, const struct udp_opts *o)
{
	const struct opt opts[] = {
	    {IPPROTO_IPV6, IPV6_V6ONLY, 1},
	    {IPPROTO_IPV6, IPV6_RECVPKTINFO, 1},
	    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1},
	    {IPPROTO_IPV6, IPV6_RECVTCLASS, 1},
	    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE},
	    {IPPROTO_IPV6, IPV6_DONTFRAG, 1},
	    {IPPROTO_IPV6, IPV6_TCLASS, o->dscp << 2},
	    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, o->ttl},
	};
	const size_t n = sizeof(opts) / sizeof(opts[0]);
	int rc = 0;

	if (o->flow_labels)
		rc = set_int(fd, IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1);
	return rc < 0 ? rc : set_all(fd, opts, o->ttl ? n : n - 1);
}

static int
raise_rcvbuf(int fd)
{
	int got = 0;
	socklen_t len = sizeof(got);

	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, UDP_RCVBUF_BYTES) < 0)
		(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, UDP_RCVBUF_BYTES);
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &len) != 0)
		return 0;
	return got;
}

int
udp_open(const struct addr *local, const struct udp_opts *o, int *rcvbuf_bytes)
{
	const int family = addr_family(local);
	const struct opt common[] = {
	    {SOL_SOCKET, SO_TIMESTAMPNS, 1},
	    {SOL_SOCKET, SO_RXQ_OVFL, 1},
	    {SOL_SOCKET, SO_REUSEADDR, 1},
	};
	int fd, rc, got;

	if (family != AF_INET && family != AF_INET6)
		return -EAFNOSUPPORT;
	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	rc = set_all(fd, common, o->reuse ? 3 : 2);
	if (rc == 0)
		rc = family == AF_INET ? set_v4(fd, o) : set_v6(fd, o);
	if (rc < 0)
		goto out;
	got = raise_rcvbuf(fd);
	if (bind(fd, &local->u.sa, local->len) != 0) {
		rc = -errno;
		goto out;
	}
	if (rcvbuf_bytes)
		*rcvbuf_bytes = got;
	return fd;
out:
	(void)close(fd);
	return rc;
}

uint32_t
udp_flow_label(uint16_t port)
{
	/* times an odd number: a bijection of the 19 bits */
	return ((uint32_t)port * UINT32_C(0x1e377)) & UINT32_C(0x7ffff);
}

/* --- receiving ---------------------------------------------------------- */

struct udp_rx *
udp_rx_new(size_t buf_bytes)
{
	struct udp_rx *rx = calloc(1, sizeof(*rx));

	if (!rx)
		return NULL;
	rx->buf_bytes = buf_bytes;
	rx->buf = malloc(buf_bytes * UDP_BATCH);
	if (!rx->buf) {
		free(rx);
		return NULL;
	}
	for (int i = 0; i < UDP_BATCH; i++) {
		struct rx_slot *s = &rx->slot[i];
		struct msghdr *h = &rx->msg[i].msg_hdr;

		s->pkt.data = rx->buf + (size_t)i * buf_bytes;
		s->iov = (struct iovec){s->pkt.data, buf_bytes};
		h->msg_name = &s->pkt.src.u;
		h->msg_namelen = sizeof(s->pkt.src.u);
		h->msg_iov = &s->iov;
		h->msg_iovlen = 1;
		h->msg_control = s->control;
		h->msg_controllen = sizeof(s->control);
	}
	return rx;
}

void
udp_rx_free(struct udp_rx *rx)
{
	if (!rx)
		return;
	free(rx->buf);
	free(rx);
}

/* Reads a control message of exactly the type's size or more. */
#define CMSG_GET(cm, out)                              \
	((cm)->cmsg_len >= CMSG_LEN(sizeof(*(out))) && \
	 (memcpy((out), CMSG_DATA(cm), sizeof(*(out))), true))

static void
read_socket_cmsg(const struct cmsghdr *cm, struct udp_packet *p,
                 uint32_t *drops)
{
	struct scm_timestamping all;
	struct timespec ts;

	if (cm->cmsg_type == SO_TIMESTAMPNS && CMSG_GET(cm, &ts)) {
		p->wall = clock_wall_from_kernel(ts);
		p->stamp = STAMP_KERNEL;
	} else if (cm->cmsg_type == SO_TIMESTAMPING && CMSG_GET(cm, &all)) {
		/* [0] is the stamp above once more, [2] by the NIC's clock */
		if (all.ts[2].tv_sec || all.ts[2].tv_nsec)
			p->nic_ns =
			    all.ts[2].tv_sec * NS_PER_S + all.ts[2].tv_nsec;
	} else if (cm->cmsg_type == SO_RXQ_OVFL) {
		(void)CMSG_GET(cm, drops);
	}
}

static void
read_v4_cmsg(const struct cmsghdr *cm, struct udp_packet *p)
{
	struct in_pktinfo info;
	uint8_t tos;

	if (cm->cmsg_type == IP_PKTINFO && CMSG_GET(cm, &info)) {
		p->local.u.v4.sin_family = AF_INET;
		p->local.u.v4.sin_addr = info.ipi_addr;
		p->local.len = sizeof(p->local.u.v4);
		p->ifindex = (unsigned)info.ipi_ifindex;
		/* The address to answer from differs from the one asked only
		 * when that was no address of ours alone. */
		p->group = info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr;
	} else if (cm->cmsg_type == IP_TTL) {
		(void)CMSG_GET(cm, &p->ttl);
	} else if (cm->cmsg_type == IP_TOS && CMSG_GET(cm, &tos)) {
		p->tos = tos;
	}
}

static void
read_v6_cmsg(const struct cmsghdr *cm, struct udp_packet *p)
{
	struct in6_pktinfo info;

	if (cm->cmsg_type == IPV6_PKTINFO && CMSG_GET(cm, &info)) {
		p->local.u.v6.sin6_family = AF_INET6;
		p->local.u.v6.sin6_addr = info.ipi6_addr;
		p->local.len = sizeof(p->local.u.v6);
		p->ifindex = info.ipi6_ifindex;
		if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
			p->local.u.v6.sin6_scope_id = p->ifindex;
		p->group = IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
	} else if (cm->cmsg_type == IPV6_HOPLIMIT) {
		(void)CMSG_GET(cm, &p->ttl);
	} else if (cm->cmsg_type == IPV6_TCLASS) {
		(void)CMSG_GET(cm, &p->tos);
	}
}

static void
read_packet(struct mmsghdr *m, struct udp_packet *p, struct clock_pair now,
            uint32_t *drops)
{
	struct msghdr *h = &m->msg_hdr;

	p->src.len = h->msg_namelen;
	memset(&p->local, 0, sizeof(p->local));
	p->ifindex = 0;
	p->ttl = p->tos = -1;
	p->group = false;
	p->wall = now.wall;
	p->stamp = STAMP_USER;
	p->nic_ns = NS_UNKNOWN;
	p->len = m->msg_len;
	p->truncated = h->msg_flags & MSG_TRUNC;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(h); cm;
	     cm = CMSG_NXTHDR(h, cm)) {
		if (cm->cmsg_level == SOL_SOCKET)
			read_socket_cmsg(cm, p, drops);
		else if (cm->cmsg_level == IPPROTO_IP)
			read_v4_cmsg(cm, p);
		else if (cm->cmsg_level == IPPROTO_IPV6)
			read_v6_cmsg(cm, p);
	}
	/* A wall clock stepped back since the stamp would put the packet into
	 * the future; nothing arrives later than it is read. */
	p->mono = wall_to_mono(p->wall, now);
	if (p->mono.ns > now.mono.ns)
		p->mono = now.mono;
	/* for the next call */
	h->msg_namelen = sizeof(p->src.u);
	h->msg_controllen = RX_CONTROL_BYTES;
}

int
udp_rx_batch(int fd, struct udp_rx *rx, uint32_t *drops)
{
	const int n = recvmmsg(fd, rx->msg, UDP_BATCH, MSG_DONTWAIT, NULL);

	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		return -errno;
	}
	rx->clock = clock_now();
	for (int i = 0; i < n; i++)
		read_packet(&rx->msg[i], &rx->slot[i].pkt, rx->clock, drops);
	return n;
}

struct clock_pair
udp_rx_clock(const struct udp_rx *rx)
{
	return rx->clock;
}

struct udp_packet *
udp_rx_packet(struct udp_rx *rx, int i)
{
	return &rx->slot[i].pkt;
}

/* --- sending ------------------------------------------------------------ */

struct tx_slot {
	_Alignas(struct cmsghdr) uint8_t control[TX_CONTROL_BYTES];
	struct addr name; /* the kernel takes a pointer that is not const */
	struct iovec iov;
};

static void
put_cmsg(struct msghdr *h, int level, int type, const void *data, size_t size)
{
	/* msg_controllen counts what is used so far */
	struct cmsghdr *cm =
	    (struct cmsghdr *)(void *)((uint8_t *)h->msg_control +
	                               h->msg_controllen);

	cm->cmsg_level = level;
	cm->cmsg_type = type;
	cm->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cm), data, size);
	h->msg_controllen += CMSG_SPACE(size);
}

static void
put_source(struct msghdr *h, const struct udp_send *s)
{
	if (addr_family(&s->dst) == AF_INET6) {
		struct in6_pktinfo info = {.ipi6_ifindex = s->ifindex};

		if (s->local.len)
			info.ipi6_addr = s->local.u.v6.sin6_addr;
		put_cmsg(h, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	} else {
		struct in_pktinfo info = {.ipi_ifindex = (int)s->ifindex};

		if (s->local.len)
			info.ipi_spec_dst = s->local.u.v4.sin_addr;
		put_cmsg(h, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
}

static void
fill_msg(struct msghdr *h, struct tx_slot *t, const struct udp_send *s)
{
	const bool v6 = addr_family(&s->dst) == AF_INET6;
	union {
		const uint8_t *in;
		void *out;
	} data = {.in = s->data}; /* sendmsg does not write to it */

	t->name = s->dst;
	if (v6 && s->flow_label)
		t->name.u.v6.sin6_flowinfo = htonl(s->flow_label);
	t->iov = (struct iovec){data.out, s->len};
	*h = (struct msghdr){.msg_name = &t->name.u,
	                     .msg_namelen = s->dst.len,
	                     .msg_iov = &t->iov,
	                     .msg_iovlen = 1,
	                     .msg_control = t->control};
	if (s->local.len || s->ifindex)
		put_source(h, s);
	if (s->tos >= 0)
		put_cmsg(h, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
		         v6 ? IPV6_TCLASS : IP_TOS, &s->tos, sizeof(s->tos));
	if (s->stamp_flags)
		put_cmsg(h, SOL_SOCKET, SO_TIMESTAMPING, &s->stamp_flags,
		         sizeof(s->stamp_flags));
	if (s->stamp_flags && s->stamp_has_id)
		put_cmsg(h, SOL_SOCKET, SCM_TS_OPT_ID, &s->stamp_id,
		         sizeof(s->stamp_id));
	if (h->msg_controllen == 0)
		h->msg_control = NULL;
}

int
udp_send_batch(int fd, const struct udp_send *s, int n)
{
	struct mmsghdr msg[UDP_BATCH];
	struct tx_slot slot[UDP_BATCH];
	int sent = 0;

	while (sent < n) {
		const int part = n - sent < UDP_BATCH ? n - sent : UDP_BATCH;
		int rc;

		for (int i = 0; i < part; i++)
			fill_msg(&msg[i].msg_hdr, &slot[i], &s[sent + i]);
		do
			rc = sendmmsg(fd, msg, (unsigned)part, 0);
		while (rc < 0 && errno == EINTR);
		if (rc < 0)
			return sent > 0 ? sent : -errno;
		sent += rc;
		if (rc < part)
			break; /* the caller meets the reason next time */
	}
	return sent;
}

int
udp_send_one(int fd, const struct udp_send *s)
{
	const int rc = udp_send_batch(fd, s, 1);

	return rc < 0 ? rc : 0;
}
