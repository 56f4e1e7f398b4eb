/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop and its incoming half: received frames land directly in free
 * packets. release.c is the outgoing half.
 */
#include "tests/emu/forward_priv.h"

#include "lib/base/clock_read.h"
#include "lib/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKETS 16384 /* on their way at once: 1 s at 16,000/s */
#define BATCH 8       /* few, so that releases need not wait for many */
#define RCVBUF_BYTES (32 << 20)
#define HOOKS_MAX 4
#define HOOK_EVERY_NS NS_PER_MS

static int
open_socket(const struct nets *ns)
{
	const int on = 1, size = RCVBUF_BYTES;
	struct sockaddr_ll any = {.sll_family = AF_PACKET,
	                          .sll_protocol = htons(ETH_P_ALL)};
	/* protocol 0: nothing is received before bind() */
	const int fd = nets_socket(ns, ns->core, AF_PACKET,
	                           SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	if ((setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) !=
	         0 &&
	     setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) != 0) ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on,
	               sizeof(on)) != 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) !=
	        0 ||
	    bind(fd, (const struct sockaddr *)&any, sizeof(any)) != 0) {
		const int e = errno;

		(void)close(fd);
		return -e;
	}
	return fd;
}

struct fwd *
fwd_new(const struct nets *ns, const struct netconf *net, struct truth *t,
        int64_t spin_ns, char *err, size_t size)
{
	struct fwd *f = calloc(1, sizeof(*f));

	if (!f)
		goto no_memory;
	f->ns = ns;
	f->net = net;
	f->truth = t;
	f->spin_ns = spin_ns;
	f->fd = -1;
	TAILQ_INIT(&f->holding);
	f->pool = calloc(PACKETS, sizeof(*f->pool));
	f->free = calloc(PACKETS, sizeof(struct packet *));
	if (!f->pool || !f->free || !relq_init(&f->queue, PACKETS))
		goto no_memory;
	while (f->free_n < PACKETS) {
		f->free[f->free_n] = &f->pool[f->free_n];
		f->free_n++;
	}
	for (unsigned s = 0; s < net->n; s++) {
		for (unsigned d = 0; d < net->n; d++)
			impair_init(&f->link[s][d], &net->link[s][d],
			            net->seed * 1000003 + s * NET_SITES + d);
	}
	f->fd = open_socket(ns);
	if (f->fd < 0) {
		(void)snprintf(err, size, "packet socket: %s",
		               strerror(-f->fd));
		fwd_free(f);
		return NULL;
	}
	return f;
no_memory:
	(void)snprintf(err, size, "out of memory");
	fwd_free(f);
	return NULL;
}

void
fwd_free(struct fwd *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		(void)close(f->fd);
	relq_clear(&f->queue);
	free(f->free);
	free(f->pool);
	free(f);
}

static int
site_of_ifindex(const struct fwd *f, int ifindex)
{
	for (unsigned i = 0; i < f->ns->n; i++) {
		if (f->ns->ifindex[i] == ifindex)
			return (int)i;
	}
	return -1;
}

/* From whom to whom; false if it is not IP between two sites. */
static bool
place(struct fwd *f, struct packet *p, int ifindex)
{
	const int src = site_of_ifindex(f, ifindex);

	if (src < 0 || p->len < FRAME_ETH ||
	    memcmp(p->data, NETS_MAC, NETS_MAC_OCTETS) != 0 ||
	    p->data[NETS_MAC_OCTETS] == 0 ||
	    p->data[NETS_MAC_OCTETS] > f->ns->n ||
	    p->data[NETS_MAC_OCTETS] - 1 == src ||
	    !frame_parse(p->data, p->len, &p->f))
		return false;
	p->rec =
	    (struct truth_rec){.f = p->f,
	                       .src = (uint8_t)src,
	                       .dst = (uint8_t)(p->data[NETS_MAC_OCTETS] - 1)};
	if (p->f.payload) {
		p->rec.payload_octets =
		    (uint8_t)(p->f.payload_octets < FRAME_PAYLOAD
		                  ? p->f.payload_octets
		                  : FRAME_PAYLOAD);
		memcpy(p->rec.payload, p->data + p->f.payload,
		       p->rec.payload_octets);
	}
	return true;
}

/* What the link's router changes. */
static void
rewrite(struct packet *p, const struct linkconf *c)
{
	if (c->dscp[p->f.dscp] != p->f.dscp)
		frame_set_dscp(p->data, &p->f, c->dscp[p->f.dscp]);
	if (c->hops)
		frame_set_ttl(p->data, &p->f, (uint8_t)(p->f.ttl - c->hops));
}

static void
enqueue_copy(struct fwd *f, const struct packet *p, struct mono due)
{
	struct truth_rec lost = p->rec;
	struct packet *c;

	if (f->free_n == 0) {
		lost.fate = FATE_LOST_FULL;
		lost.release = p->rec.in;
		truth_add(f->truth, &lost);
		return;
	}
	c = f->free[--f->free_n];
	c->rec = p->rec;
	c->f = p->f;
	c->len = p->len;
	memcpy(c->data, p->data, p->len);
	c->hold = false;
	c->copy = true;
	if (!relq_push(&f->queue, due, c))
		fwd_give_back(f, c);
}

/* A frame that came in at `stamp`; takes p over. */
static void
take_in(struct fwd *f, struct packet *p, int ifindex, struct wall stamp,
        struct clock_pair pair)
{
	const struct mono in = wall_to_mono(stamp, pair);
	struct verdict v;
	struct impair *link;

	if (!place(f, p, ifindex)) {
		f->stats.ignored++;
		fwd_give_back(f, p);
		return;
	}
	f->stats.in++;
	link = &f->link[p->rec.src][p->rec.dst];
	p->rec.in = stamp;
	p->rec.index = f->index[p->rec.src][p->rec.dst]++;
	v = impair_decide(link, &p->f, in, f->start);
	if (v.fate > FATE_REORDERED) {
		fwd_record(f, p, v.fate, pair.wall);
		fwd_give_back(f, p);
		return;
	}
	rewrite(p, &link->conf);
	p->rec.nominal = wall_add_ns(stamp, mono_diff_ns(v.release, in));
	p->copy = false;
	p->hold = v.fate == FATE_REORDERED;
	if (!relq_push(&f->queue, v.release, p)) {
		fwd_record(f, p, FATE_LOST_FULL, pair.wall);
		fwd_give_back(f, p);
		return;
	}
	if (v.copy)
		enqueue_copy(f, p, v.release);
}

/* The kernel's stamp, or `now` should it have given none. */
static struct wall
stamp_of(struct msghdr *h, struct wall now)
{
	struct timespec ts;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == SOL_SOCKET &&
		    c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			return clock_wall_from_kernel(ts);
		}
	}
	return now;
}

/* Up to BATCH frames; how many came. With no packet free they wait in the
 * socket: late, and the truth file shows how late, but not lost. */
static int
receive(struct fwd *f)
{
	struct mmsghdr m[BATCH];
	struct iovec v[BATCH];
	struct sockaddr_ll from[BATCH];
	alignas(struct cmsghdr) char
	    control[BATCH][CMSG_SPACE(sizeof(struct timespec))];
	struct packet *got[BATCH];
	const unsigned want = f->free_n < BATCH ? (unsigned)f->free_n : BATCH;
	struct clock_pair pair;
	int n;

	for (unsigned i = 0; i < want; i++) {
		got[i] = f->free[f->free_n - 1 - i];
		v[i] = (struct iovec){got[i]->data, FRAME_OCTETS};
		m[i].msg_hdr =
		    (struct msghdr){.msg_name = &from[i],
		                    .msg_namelen = sizeof(from[i]),
		                    .msg_iov = &v[i],
		                    .msg_iovlen = 1,
		                    .msg_control = &control[i],
		                    .msg_controllen = sizeof(control[i])};
	}
	n = want ? recvmmsg(f->fd, m, want, MSG_DONTWAIT, NULL) : 0;
	if (n <= 0)
		return 0;
	f->free_n -= (size_t)n;
	pair = clock_now();
	for (unsigned i = 0; i < want && i < (unsigned)n; i++) {
		got[i]->len = m[i].msg_len;
		take_in(f, got[i], from[i].sll_ifindex,
		        stamp_of(&m[i].msg_hdr, pair.wall), pair);
	}
	return n;
}

/* Waits at most `ns` for a frame or a hook; runs the hooks that are ready. */
static void
wait_for(struct fwd *f, const struct fwd_hook *hooks, unsigned n, int64_t ns)
{
	struct pollfd p[1 + HOOKS_MAX] = {{.fd = f->fd, .events = POLLIN}};
	const struct timespec ts = {.tv_sec = ns / NS_PER_S,
	                            .tv_nsec = ns % NS_PER_S};

	for (unsigned i = 0; i < n; i++)
		p[1 + i] = (struct pollfd){.fd = hooks[i].fd, .events = POLLIN};
	if (ppoll(p, 1 + n, &ts, NULL) <= 0)
		return;
	for (unsigned i = 0; i < n; i++) {
		if (p[1 + i].revents)
			hooks[i].on_readable(hooks[i].arg);
	}
}

void
fwd_run(struct fwd *f, const struct fwd_hook *hooks, unsigned n)
{
	const struct clock_pair pair = clock_now();
	struct mono looked = pair.mono;

	if (n > HOOKS_MAX)
		bug("forward: more than %d hooks", HOOKS_MAX);
	f->start = pair.mono;
	truth_note(f->truth, pair.wall, "start seed=%llu",
	           (unsigned long long)f->net->seed);
	while (!f->stop) {
		const int got = receive(f);
		const struct mono next = fwd_release_due(f), now = clock_mono();
		int64_t idle_ns = mono_diff_ns(next, now) - f->spin_ns;

		if (got > 0 || idle_ns <= 0)
			idle_ns = 0;
		else if (idle_ns > NS_PER_S)
			idle_ns = NS_PER_S;
		if (idle_ns > 0 || mono_diff_ns(now, looked) > HOOK_EVERY_NS) {
			wait_for(f, hooks, n, idle_ns);
			looked = clock_mono();
		}
	}
	fwd_end_all(f);
}

void
fwd_stop(struct fwd *f)
{
	f->stop = true;
}

void
fwd_change(struct fwd *f, unsigned src, unsigned dst, const struct linkconf *c)
{
	impair_change(&f->link[src][dst], c);
}

struct fwd_stats
fwd_stats(struct fwd *f)
{
	struct tpacket_stats st;
	socklen_t len = sizeof(st);

	/* reading resets the kernel's counter */
	if (getsockopt(f->fd, SOL_PACKET, PACKET_STATISTICS, &st, &len) == 0)
		f->stats.missed += st.tp_drops;
	return f->stats;
}
