/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/prober_int.h"

#include "lib/base/clock_read.h"
#include "lib/twamp/ntp64.h"
#include "lib/twamp/testpkt.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define TEST_TTL 255
#define TEST_WANT (TEST_WANT_BITMAP | TEST_WANT_TLVS)
/* A slot is sent at most one gap late, and within these: the lower one is the
 * noise of waking up, the upper one lies within the grace after which an
 * interval closes. What is later is skipped, never caught up in a burst. */
#define LATE_MIN_NS (200 * NS_PER_US)
#define LATE_MAX_NS (250 * NS_PER_MS)
/* Rule 24. */
#define UNANSWERED_GAP_NS NS_PER_S
#define SILENT_AFTER_NS (6 * 3600 * NS_PER_S)
#define SILENT_GAP_NS (60 * NS_PER_S)
#define STEP_NS (10 * NS_PER_MS)

static void
count(_Atomic uint64_t *n)
{
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

/* --- sockets ------------------------------------------------------------- */

static struct test_sock *
sock_of(struct probe_class *c, unsigned flow, int family)
{
	return family == AF_INET6 ? &c->v6[flow] : &c->v4[flow];
}

static struct addr
source_of(const struct prober *p, int family)
{
	struct addr a = family == AF_INET6 ? p->opts.source6 : p->opts.source4;

	if (a.len == 0)
		(void)addr_parse_ip(family == AF_INET6 ? "::" : "0.0.0.0", 0,
		                    &a);
	return a;
}

static uint16_t
port_of(const struct prober *p, const struct probe_class *c, unsigned flow)
{
	const unsigned port = p->opts.source_port_base + c->port_index + flow;

	return p->opts.source_port_base && port <= UINT16_MAX ? (uint16_t)port
	                                                      : 0;
}

void
io_open_sock(struct prober *p, struct probe_class *c, unsigned flow, int family)
{
	const struct udp_opts o = {.ttl = TEST_TTL, .dscp = c->conf.dscp};
	struct test_sock *t = sock_of(c, flow, family);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = t};
	struct addr a = source_of(p, family);
	char text[ADDR_TEXT_MAX];
	int fd;

	if (t->fd >= 0)
		return;
	addr_set_port(&a, port_of(p, c, flow));
	fd = udp_open(&a, &o, NULL);
	if (fd < 0 && addr_port(&a) != 0) {
		log_warn("prober: class %s: source port %s: %s; taking any",
		         c->conf.name, addr_format(&a, text), strerror(-fd));
		addr_set_port(&a, 0);
		fd = udp_open(&a, &o, NULL);
	}
	if (fd < 0) {
		log_error("prober: class %s: no test socket on %s: %s",
		          c->conf.name, addr_format_ip(&a, text),
		          strerror(-fd));
		return;
	}
	*t = (struct test_sock){.class_ = c, .fd = fd, .family = family};
	if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
		log_error("prober: class %s: epoll: %s", c->conf.name,
		          strerror(errno));
		(void)close(fd);
		t->fd = -1;
	}
}

void
io_close_class(struct probe_class *c)
{
	for (unsigned i = 0; i < c->flows; i++) {
		if (c->v4[i].fd >= 0)
			(void)close(c->v4[i].fd);
		if (c->v6[i].fd >= 0)
			(void)close(c->v6[i].fd);
		c->v4[i].fd = c->v6[i].fd = -1;
	}
}

/* --- sending ------------------------------------------------------------- */

/* Rule 24: may an address that owes us an answer be sent to now? */
static bool
may_send(const struct probe *pr, struct mono now)
{
	const struct peer *q = pr->peer;

	if (mono_diff_ns(now, pr->heard) > SILENT_AFTER_NS)
		return !pr->sent_any ||
		       mono_diff_ns(now, pr->last_sent) >= SILENT_GAP_NS;
	if (pr->answered)
		return true;
	if (mono_diff_ns(now, q->last_sent) < UNANSWERED_GAP_NS)
		return false;
	/* its other sessions get their turn */
	return !pr->sent_any || mono_diff_ns(now, pr->last_sent) >=
	                            UNANSWERED_GAP_NS * (int64_t)q->unanswered;
}

static void
schedule_next(struct prober *p, struct probe *pr)
{
	const struct roster_class *c = &pr->class_->conf;
	int64_t gap = c->gap_ns;

	if (c->schedule == SCHEDULE_POISSON)
		gap = rng_poisson_gap_ns(&p->rng, c->gap_ns);
	pr->due = mono_add_ns(pr->due, gap > 0 ? gap : 1);
}

static struct clock_pair
sched_pair(struct mono due, struct clock_pair now)
{
	return (struct clock_pair){mono_to_wall(due, now), due};
}

static int64_t
late_max_ns(const struct probe *pr)
{
	const int64_t gap = pr->class_->conf.gap_ns;

	return gap < LATE_MIN_NS   ? LATE_MIN_NS
	       : gap > LATE_MAX_NS ? LATE_MAX_NS
	                           : gap;
}

void
io_skip_missed(struct prober *p, struct probe *pr, struct clock_pair now,
               unsigned max)
{
	const struct mono oldest = mono_add_ns(now.mono, -late_max_ns(pr));
	bool moved = false;

	for (; max > 0 && mono_diff_ns(pr->due, oldest) < 0; max--) {
		const struct clock_pair sched = sched_pair(pr->due, now);

		if (may_send(pr, pr->due))
			session_slot(pr->session, sched);
		else
			session_withheld(pr->session, sched);
		schedule_next(p, pr);
		moved = true;
	}
	if (moved)
		sched_move(&p->sched, pr);
}

static void
send_refused(struct prober *p, const struct probe *pr, int err, struct mono now)
{
	char text[ADDR_TEXT_MAX];
	uint64_t held;

	count(&p->stats.send_failed);
	if (log_limit_ok(&p->send_limit, now, &held))
		log_warn("prober: class %s to %s: %s (%" PRIu64
		         " more kept back)",
		         pr->class_->conf.name, addr_format(&pr->dst, text),
		         err == EBADF ? "no test socket" : strerror(err), held);
}

/* 0, or -errno. *t1 is read after everything else is ready. */
static int
send_packet(const struct prober *p, const struct probe *pr, int fd,
            struct clock_pair *t1, uint64_t *t1_wire)
{
	const size_t size = pr->class_->conf.size_octets;
	struct test_request req = {
	    .seq = session_next_seq(pr->session, 0),
	    .error_estimate = errest_encode(p->quality, false),
	    .ssid = pr->ssid,
	};
	uint8_t buf[TEST_BUF_MAX];
	struct udp_send s = {.dst = pr->dst, .tos = -1, .data = buf};

	if (fd < 0)
		return -EBADF;
	if (size > sizeof(buf) ||
	    !test_request_encode(&req, test_request_fit(TEST_WANT, size), buf,
	                         size))
		return -EMSGSIZE;
	s.len = size;
	*t1 = clock_now();
	*t1_wire = req.t1 = ntp64_from_wall(t1->wall);
	test_request_restamp(&req, buf);
	return udp_send_one(fd, &s);
}

static void
note_lateness(struct prober *p, int64_t late_ns)
{
	if (late_ns > atomic_load_explicit(&p->stats.lateness_max_ns,
	                                   memory_order_relaxed))
		atomic_store_explicit(&p->stats.lateness_max_ns, late_ns,
		                      memory_order_relaxed);
}

static void
send_slot(struct prober *p, struct probe *pr, struct clock_pair sched)
{
	struct probe_class *c = pr->class_;
	const struct test_sock *t = sock_of(c, pr->flow, addr_family(&pr->dst));
	struct clock_pair t1 = sched;
	uint64_t t1_wire = 0;
	int rc;

	session_slot(pr->session, sched);
	rc = send_packet(p, pr, t->fd, &t1, &t1_wire);
	pr->flow = (pr->flow + 1) % c->flows;
	pr->last_sent = t1.mono;
	pr->sent_any = true;
	if (!pr->answered)
		pr->peer->last_sent = t1.mono;
	p->send_not_before = mono_add_ns(t1.mono, p->opts.min_gap_ns);
	if (rc < 0) {
		session_send_failed(pr->session, sched);
		send_refused(p, pr, -rc, t1.mono);
		return;
	}
	session_sent(pr->session, 0, sched, t1, t1_wire);
	count(&p->stats.sent);
	note_lateness(p, mono_diff_ns(t1.mono, sched.mono));
}

void
io_slot(struct prober *p, struct probe *pr)
{
	const struct clock_pair now = clock_now();
	const struct clock_pair sched = sched_pair(pr->due, now);

	schedule_next(p, pr);
	sched_move(&p->sched, pr);
	if (may_send(pr, now.mono))
		send_slot(p, pr, sched);
	else
		session_withheld(pr->session, sched);
}

/* --- receiving ------------------------------------------------------------ */

/*
 * The receive stamp in both clocks. If the wall clock stepped since the last
 * drain, stamps from before the step must not be told by the clocks as they
 * are now: the pair that puts the arrival between the two drains is right.
 */
static struct clock_pair
arrival(const struct prober *p, const struct udp_packet *u)
{
	const struct clock_pair at = {u->wall, u->mono};
	const int64_t off = u->wall.ns - u->mono.ns;
	const int64_t moved = off - (p->before.wall.ns - p->before.mono.ns);

	if (moved <= STEP_NS && moved >= -STEP_NS)
		return at;
	if (mono_diff_ns(at.mono, p->before.mono) >= 0 &&
	    mono_diff_ns(at.mono, mono_add_ns(p->before.mono, NS_PER_S)) < 0)
		return at;
	return (struct clock_pair){u->wall, wall_to_mono(u->wall, p->before)};
}

static struct session_reply
reply_of(const struct prober *p, const struct test_reply *t,
         const struct udp_packet *u)
{
	return (struct session_reply){
	    .seq = t->sender_seq,
	    .reflector_seq = t->seq,
	    .t1_wire = t->t1,
	    .t2 = t->t2,
	    .t3 = t->t3,
	    .t4 = arrival(p, u),
	    .t4_is_kernel = u->stamp == STAMP_KERNEL,
	    .sender_ttl = t->sender_ttl,
	    .ttl = u->ttl,
	    .sender_error_ns = p->quality.max_error_ns,
	    .reflector_error_ns = t->error_ns,
	    .sender_synchronised = p->quality.synchronised,
	    .reflector_synchronised = t->synchronised,
	    .has_bitmap = t->has_bitmap,
	    .stateful = t->bitmap.stateful,
	    .instance_id = t->bitmap.instance_id,
	    .bitmap_highest = t->bitmap.highest,
	    .bitmap = t->bitmap.bitmap,
	    .bitmap_duplicates = t->bitmap.duplicates,
	    .bitmap_received = t->bitmap.received,
	};
}

static void
take_packet(struct prober *p, struct test_sock *t, const struct udp_packet *u)
{
	struct test_reply reply;
	struct session_reply r;
	struct probe *pr;

	if (u->truncated ||
	    test_reply_decode(u->data, u->len, u->wall, &reply) != TEST_OK)
		goto drop;
	pr = table_find(p, t->class_, &u->src, reply.ssid);
	if (!pr)
		goto drop;
	r = reply_of(p, &reply, u);
	switch (session_reply(pr->session, 0, &r, NULL)) {
	case REPLY_OK:
		count(&p->stats.received);
		break;
	case REPLY_LATE:
		count(&p->stats.late);
		break;
	case REPLY_ALTERED:
		count(&p->stats.altered);
		return;
	case REPLY_DUPLICATE:
		break;
	case REPLY_UNKNOWN:
	case REPLY_N:
		goto drop;
	}
	probe_answered(pr, r.t4.mono);
	return;
drop:
	count(&p->stats.unknown);
}

static void
book_drops(struct prober *p, const struct test_sock *t, uint32_t n)
{
	atomic_fetch_add_explicit(&p->stats.local_drops, n,
	                          memory_order_relaxed);
	/* whose they were is not known: every session of the socket says so */
	for (size_t i = 0; i < p->table_n; i++) {
		struct probe *pr = p->table[i];

		if (pr->class_ == t->class_ &&
		    addr_family(&pr->dst) == t->family)
			session_local_drops(pr->session, n);
	}
}

static void
drain_sock(struct prober *p, struct test_sock *t)
{
	uint32_t drops = t->drops;
	int n;

	do {
		n = udp_rx_batch(t->fd, p->rx, &drops);
		for (int i = 0; i < n; i++)
			take_packet(p, t, udp_rx_packet(p->rx, i));
	} while (n == UDP_BATCH);
	if (drops != t->drops) {
		book_drops(p, t, drops - t->drops);
		t->drops = drops;
	}
}

void
io_drain(struct prober *p)
{
	struct epoll_event ev[64];
	int n;

	/* level-triggered: sockets beyond 64 come with the next call, since
	 * epoll goes round */
	do {
		n = epoll_wait(p->epoll_fd, ev, 64, 0);
		for (int i = 0; i < n; i++)
			drain_sock(p, ev[i].data.ptr);
	} while (n == 64);
}
