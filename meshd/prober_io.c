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
#define TEST_WANT                                                 \
	(TEST_WANT_BITMAP | TEST_WANT_COS | TEST_WANT_FOLLOW_UP | \
	 TEST_WANT_TLVS)
/* Transmit stamps remembered per socket: at 10,000 packets/s those of 50 ms,
 * ten times what one drain finds. */
#define TX_RING 512
#define TX_EVENTS 256     /* taken at once */
#define TX_SILENT_MIN 100 /* stamps asked for, and none: say so */
/* A slot is sent at most one gap late, and within these: the lower one is the
 * noise of waking up, the upper one several stalls of a busy host (4 to 8 ms
 * are normal). What is later is skipped, never caught up in a burst; and on a
 * host that cannot keep up, skipping is what it has time for. */
#define LATE_MIN_NS (200 * NS_PER_US)
#define LATE_MAX_NS (25 * NS_PER_MS)
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

static void
sock_close(struct test_sock *t)
{
	txstamp_free(t->tx);
	t->tx = NULL;
	if (t->fd >= 0)
		(void)close(t->fd);
	t->fd = -1;
}

/* The port that was bound; 0 when it cannot be told. */
static uint16_t
bound_port(int fd)
{
	struct addr a = {.len = sizeof(a.u)};

	return getsockname(fd, &a.u.sa, &a.len) == 0 ? addr_port(&a) : 0;
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

struct addr
io_source_any(const struct prober *p, int family)
{
	struct addr a = source_of(p, family);

	addr_set_port(&a, 0);
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
	const struct udp_opts o = {
	    .ttl = TEST_TTL, .dscp = c->conf.dscp, .flow_labels = c->flows > 1};
	struct test_sock *t = sock_of(c, flow, family);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = t};
	struct addr a = source_of(p, family);
	char text[ADDR_TEXT_MAX];
	int fd, rc = 0;

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
	*t = (struct test_sock){
	    .class_ = c, .fd = fd, .family = family, .flow = flow};
	t->tx = txstamp_new(fd, TXSTAMP_HARDWARE, TX_RING, &rc);
	if (!t->tx)
		log_warn("prober: class %s: no transmit stamps: %s; T1 is read "
		         "before the send",
		         c->conf.name, strerror(-rc));
	if (family == AF_INET6 && o.flow_labels)
		t->flow_label = udp_flow_label(bound_port(fd));
	if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
		log_error("prober: class %s: epoll: %s", c->conf.name,
		          strerror(errno));
		sock_close(t);
	}
}

void
io_close_class(struct probe_class *c)
{
	for (unsigned i = 0; i < c->flows; i++) {
		sock_close(&c->v4[i]);
		sock_close(&c->v6[i]);
	}
}

struct addr
io_source(struct prober *p, const struct probe *pr, unsigned flow)
{
	const int family = addr_family(&pr->dst);
	const struct test_sock *t = sock_of(pr->class_, flow, family);
	struct addr a = pr->local.len ? pr->local : source_of(p, family);

	addr_set_port(&a, t->fd >= 0 ? bound_port(t->fd) : 0);
	if (addr_is_any(&a))
		a.len = 0;
	return a;
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
	int64_t gap = pr->gap_ns;

	if (pr->class_->conf.schedule == SCHEDULE_POISSON)
		gap = rng_poisson_gap_ns(&p->rng, gap);
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
	const int64_t gap = pr->gap_ns;

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

/* Sends it, and asks the kernel when it did. */
static int
send_asking(struct test_sock *t, struct udp_send *s, uint64_t who, uint32_t seq,
            struct mono now)
{
	const bool asked = t->tx && txstamp_ask(t->tx, s, now);
	const int rc = udp_send_one(t->fd, s);

	if (asked && rc == 0)
		txstamp_sent(t->tx, s, now, who, seq);
	else if (asked)
		txstamp_failed(t->tx, s);
	return rc;
}

/* One send: not before `at`; what T1 was, in clocks and on the wire. */
struct sending {
	struct mono at;
	struct clock_pair t1;
	uint64_t t1_wire;
};

/* 0, or -errno. When everything else is ready, `at` is waited for and T1 read.
 */
static int
send_packet(const struct prober *p, const struct probe *pr, struct test_sock *t,
            struct sending *out)
{
	const size_t size = pr->class_->conf.size_octets;
	const unsigned want = pr->kind == NODE_TWMESH ? TEST_WANT : 0;
	struct test_request req = {
	    .seq = session_next_seq(pr->session, t->flow),
	    .error_estimate = errest_encode(p->quality, false),
	    .ssid = pr->ssid,
	    .dscp = pr->class_->conf.dscp,
	};
	uint8_t buf[TEST_BUF_MAX];
	struct udp_send s = {.dst = pr->dst,
	                     .tos = -1,
	                     .flow_label = t->flow_label,
	                     .data = buf};

	if (t->fd < 0)
		return -EBADF;
	if (size > sizeof(buf) ||
	    !test_request_encode(&req, test_request_fit(want, size), buf, size))
		return -EMSGSIZE;
	s.len = size;
	while (mono_diff_ns(out->at, clock_mono()) > 0)
		; /* precise: some 50 us at the most */
	out->t1 = clock_now();
	out->t1_wire = req.t1 = ntp64_from_wall(out->t1.wall);
	test_request_restamp(&req, buf);
	return send_asking(t, &s, pr->who, req.seq, out->t1.mono);
}

static void
note_lateness(struct prober *p, int64_t late_ns)
{
	lateness_add(&p->stats.lateness, late_ns);
	if (late_ns > atomic_load_explicit(&p->stats.lateness_max_ns,
	                                   memory_order_relaxed))
		atomic_store_explicit(&p->stats.lateness_max_ns, late_ns,
		                      memory_order_relaxed);
}

static void
send_slot(struct prober *p, struct probe *pr, struct clock_pair sched,
          struct mono at)
{
	const unsigned flow = session_next_flow(pr->session);
	struct test_sock *t = sock_of(pr->class_, flow, addr_family(&pr->dst));
	struct sending out = {.at = at, .t1 = sched};
	int rc;

	session_slot(pr->session, sched);
	rc = send_packet(p, pr, t, &out);
	if (rc == -EINVAL && t->flow_label) {
		/* some program holds a label for itself alone: then those
		 * that were not leased are refused; the kernel's own go */
		t->flow_label = 0;
		rc = send_packet(p, pr, t, &out);
	}
	pr->last_sent = out.t1.mono;
	pr->sent_any = true;
	if (!pr->answered)
		pr->peer->last_sent = out.t1.mono;
	p->send_not_before = mono_add_ns(out.t1.mono, p->opts.min_gap_ns);
	if (rc < 0) {
		session_send_failed(pr->session, sched);
		send_refused(p, pr, -rc, out.t1.mono);
		return;
	}
	session_sent(pr->session, flow, sched, out.t1, out.t1_wire);
	count(&p->stats.sent);
	note_lateness(p, mono_diff_ns(out.t1.mono, sched.mono));
}

void
io_slot(struct prober *p, struct probe *pr, struct mono at)
{
	const struct clock_pair now = clock_now();
	const struct clock_pair sched = sched_pair(pr->due, now);

	schedule_next(p, pr);
	sched_move(&p->sched, pr);
	if (may_send(pr, mono_diff_ns(at, now.mono) > 0 ? at : now.mono))
		send_slot(p, pr, sched, at);
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
	    .t4_nic_ns = u->nic_ns,
	    .sender_ttl = t->sender_ttl,
	    .ttl = u->ttl,
	    .tos = u->tos,
	    .fwd_dscp = t->has_cos ? t->fwd_dscp : -1,
	    .fwd_ecn = t->has_cos ? t->fwd_ecn : -1,
	    .reply_dscp = !t->has_cos ? -1
	                  : t->cos_rp ? t->fwd_dscp
	                              : t->cos_dscp1,
	    .has_follow_up = t->has_follow_up,
	    .follow_up = t->follow_up,
	    .follow_up_seq = t->follow_up_seq,
	    .follow_up_t3 = t->follow_up_t3,
	    .sender_error_ns = p->quality.max_error_ns,
	    .reflector_error_ns = t->error_ns,
	    .sender_synchronised = p->quality.synchronised,
	    .reflector_synchronised = t->synchronised,
	    .has_bitmap = t->has_bitmap,
	    .stateful = t->bitmap.stateful,
	    .t2_is_kernel = t->bitmap.t2_is_kernel,
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
	switch (session_reply(pr->session, t->flow, &r, NULL)) {
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
	pr->local = u->local;
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
take_stamps(struct prober *p, struct test_sock *t)
{
	struct tx_event e[TX_EVENTS];
	int n;

	if (!t->tx)
		return;
	do {
		struct clock_pair now;

		n = txstamp_drain(t->tx, e, TX_EVENTS);
		if (n == 0)
			return;
		now = clock_now();
		txstamp_join_nic(e, n);
		for (int i = 0; i < n; i++) {
			struct probe *pr = table_by_who(p, e[i].who);
			const struct clock_pair t1 = {e[i].wall, e[i].mono};

			if (pr && e[i].software &&
			    session_tx_stamp(pr->session, t->flow, e[i].seq, t1,
			                     e[i].nic_ns, now))
				count(&p->stats.tx_stamps);
		}
	} while (n == TX_EVENTS);
}

void
io_check_stamps(struct prober *p)
{
	for (struct probe_class *c = p->classes; c; c = c->next) {
		for (unsigned i = 0; i < 2 * c->flows; i++) {
			struct test_sock *t =
			    i < c->flows ? &c->v4[i] : &c->v6[i - c->flows];
			const struct txstamp_stats *s;

			if (!t->tx || t->tx_told)
				continue;
			s = txstamp_stats(t->tx);
			if (s->stamped || s->asked < TX_SILENT_MIN)
				continue;
			t->tx_told = true;
			log_warn("prober: class %s: %" PRIu64
			         " transmit stamps asked for, and none came; "
			         "T1 is read before the send",
			         c->conf.name, s->asked);
		}
	}
}

/* Stamps are looked for after the replies were read and before they are told:
 * so none is told before the stamp of its request, even if that was sent, and
 * answered, while we drain. */
static void
drain_sock(struct prober *p, struct test_sock *t)
{
	uint32_t drops = t->drops;
	int n;

	do {
		n = udp_rx_batch(t->fd, p->rx, &drops);
		take_stamps(p, t);
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
