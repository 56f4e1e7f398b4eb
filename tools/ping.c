/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One socket, one session, one loop: drain what came, tell the session the
 * time, send what is due on an absolute schedule, sleep until the next of
 * these. Replies are read before the kernel's transmit stamps and told after
 * them, so that none is told before the stamp of its request. A slot that was
 * missed (a stopped process, a busy machine) is skipped, never caught up in a
 * burst.
 *
 * Two rules hold a ping back: until the first answer it sends at most one
 * packet per second (and one per minute after six hours of silence), so that
 * it cannot be aimed at a bystander; and the first packets are plain, TLVs
 * follow once the reflector has answered, since it may be anyone's.
 */
#include "tools/ping.h"

#include "lib/base/clock_read.h"
#include "lib/base/rng.h"
#include "lib/net/txstamp.h"
#include "lib/net/udp.h"
#include "lib/twamp/ntp64.h"
#include "lib/twamp/testpkt.h"
#include "tools/ping_count.h"
#include "tools/term.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CLOCK_FLOOR_NS (100 * NS_PER_US)
#define SILENT_GAP_NS NS_PER_S
#define SILENT_LONG_NS (6 * 3600 * NS_PER_S)
#define SILENT_LONG_GAP_NS (60 * NS_PER_S)
#define TLV_PROBES 3     /* so many unanswered ones: it dislikes TLVs */
#define DRAIN_BATCHES 16 /* per turn, so that sending is not held up */
#define MIN_GAP_NS (50 * NS_PER_US)
#define TX_RING 1024
#define TX_EVENTS 64
#define WANT_ALL                                                  \
	(TEST_WANT_BITMAP | TEST_WANT_COS | TEST_WANT_FOLLOW_UP | \
	 TEST_WANT_TLVS)

static volatile sig_atomic_t stop_asked;

struct ping {
	const struct ping_opts *o; /* borrowed */
	struct ping_sum *sum;      /* borrowed */
	FILE *out;                 /* borrowed */
	bool lines, coloured;
	int fd;
	struct txstamp *tx;  /* owned; NULL: the kernel makes no stamps */
	struct udp_rx *rx;   /* owned */
	struct session *ses; /* owned */
	struct rng rng;
	uint16_t ssid;
	int64_t left;     /* packets still to send; -1: no end */
	struct mono next; /* the next slot */
	struct clock_quality quality;
	struct mono quality_at, last_send, last_answer;
	uint32_t drops; /* the socket's running count */
	uint32_t tlv_sent, tlv_answered, tlv_lost, first_tlv_seq;
	int send_errno; /* last shown */
	struct ping_count count;
};

void
ping_stop(void)
{
	stop_asked = 1;
}

static void
on_signal(int sig)
{
	(void)sig;
	stop_asked = 1;
}

/* -- sending ----------------------------------------------------------------
 */

static void
refresh_quality(struct ping *p, struct mono now)
{
	if (p->quality_at.ns && mono_diff_ns(now, p->quality_at) < NS_PER_S)
		return;
	p->quality = clock_quality_read(CLOCK_FLOOR_NS);
	p->quality_at = now;
}

/* Rule 24: may a packet go now? */
static bool
may_send(const struct ping *p, struct mono now)
{
	const int64_t since = mono_diff_ns(now, p->last_send);

	if (!p->last_send.ns)
		return true;
	if (!session_answered(p->ses))
		return since >= SILENT_GAP_NS;
	return mono_diff_ns(now, p->last_answer) < SILENT_LONG_NS ||
	       since >= SILENT_LONG_GAP_NS;
}

static bool
wants_tlvs(const struct ping *p)
{
	return !p->o->light && !p->sum->no_tlvs && session_answered(p->ses);
}

static void
show_send_error(struct ping *p, int err)
{
	if (err == p->send_errno)
		return;
	p->send_errno = err;
	(void)fflush(p->out);
	(void)fprintf(stderr, "twmesh ping: sending %zu octets: %s\n",
	              p->o->size, strerror(err));
}

/* Sends it, and asks the kernel when it did. */
static int
send_asking(struct ping *p, struct udp_send *s, uint32_t seq, struct mono now)
{
	const bool asked = p->tx && txstamp_ask(p->tx, s, now);
	const int rc = udp_send_one(p->fd, s);

	if (asked && rc == 0)
		txstamp_sent(p->tx, s, now, 0, seq);
	else if (asked)
		txstamp_failed(p->tx, s);
	return rc;
}

static void
send_packet(struct ping *p, struct clock_pair sched)
{
	const unsigned want =
	    test_request_fit(wants_tlvs(p) ? WANT_ALL : 0, p->o->size);
	struct test_request r = {.seq = session_next_seq(p->ses, 0),
	                         .ssid = p->o->light ? 0 : p->ssid,
	                         .dscp = (uint8_t)p->o->dscp};
	uint8_t buf[TEST_BUF_MAX];
	struct udp_send s = {
	    .dst = p->o->dst, .tos = -1, .data = buf, .len = p->o->size};
	struct clock_pair t1;
	int rc;

	refresh_quality(p, sched.mono);
	r.error_estimate = errest_encode(p->quality, false);
	if (!test_request_encode(&r, want, buf, p->o->size))
		return;
	t1 = clock_now();
	r.t1 = ntp64_from_wall(t1.wall);
	test_request_restamp(&r, buf);
	rc = send_asking(p, &s, r.seq, t1.mono);
	p->last_send = t1.mono;
	if (p->left > 0)
		p->left--;
	if (rc != 0) {
		session_send_failed(p->ses, sched);
		show_send_error(p, -rc);
		return;
	}
	p->send_errno = 0;
	if (want & TEST_WANT_BITMAP && p->tlv_sent++ == 0)
		p->first_tlv_seq = r.seq;
	session_sent(p->ses, 0, sched, t1, r.t1);
}

static void
next_slot(struct ping *p)
{
	p->next = mono_add_ns(
	    p->next, p->o->poisson
	                 ? rng_poisson_gap_ns(&p->rng, p->o->interval_ns)
	                 : p->o->interval_ns);
}

/* The slot that has come up is sent, if it may be. One whose successors were
 * due as well was missed: it is skipped, so that nothing leaves in a burst.
 * Slots that Poisson puts close together still leave MIN_GAP_NS apart. */
static void
serve_slots(struct ping *p, struct clock_pair now)
{
	while (p->left != 0 && mono_diff_ns(now.mono, p->next) >= 0) {
		const struct clock_pair sched = {mono_to_wall(p->next, now),
		                                 p->next};
		const int64_t late_ns = mono_diff_ns(now.mono, p->next);

		if (!may_send(p, now.mono)) {
			session_withheld(p->ses, sched);
		} else if (late_ns > p->o->interval_ns) {
			session_slot(p->ses, sched);
		} else if (p->last_send.ns &&
		           mono_diff_ns(now.mono, p->last_send) < MIN_GAP_NS) {
			return;
		} else {
			session_slot(p->ses, sched);
			next_slot(p);
			send_packet(p, sched);
			return;
		}
		next_slot(p);
	}
}

/* -- receiving --------------------------------------------------------------
 */

static struct session_reply
to_session(const struct ping *p, const struct udp_packet *pkt,
           const struct test_reply *r)
{
	return (struct session_reply){
	    .seq = r->sender_seq,
	    .reflector_seq = r->seq,
	    .t1_wire = r->t1,
	    .t2 = r->t2,
	    .t3 = r->t3,
	    .t4 = {pkt->wall, pkt->mono},
	    .t4_is_kernel = pkt->stamp == STAMP_KERNEL,
	    .t4_nic_ns = pkt->nic_ns,
	    .sender_ttl = r->sender_ttl,
	    .ttl = pkt->ttl,
	    .tos = pkt->tos,
	    .fwd_dscp = r->has_cos ? r->fwd_dscp : -1,
	    .fwd_ecn = r->has_cos ? r->fwd_ecn : -1,
	    .reply_dscp = !r->has_cos ? -1
	                  : r->cos_rp ? r->fwd_dscp
	                              : r->cos_dscp1,
	    .has_follow_up = r->has_follow_up,
	    .follow_up = r->follow_up,
	    .follow_up_seq = r->follow_up_seq,
	    .follow_up_t3 = r->follow_up_t3,
	    .sender_error_ns = p->quality.max_error_ns,
	    .sender_synchronised = p->quality.synchronised,
	    .reflector_error_ns = r->error_ns,
	    .reflector_synchronised = r->synchronised,
	    .has_bitmap = r->has_bitmap,
	    .stateful = r->has_bitmap && r->bitmap.stateful,
	    .t2_is_kernel = r->has_bitmap && r->bitmap.t2_is_kernel,
	    .instance_id = r->bitmap.instance_id,
	    .bitmap_highest = r->bitmap.highest,
	    .bitmap = r->bitmap.bitmap,
	    .bitmap_duplicates = r->bitmap.duplicates,
	    .bitmap_received = r->bitmap.received,
	};
}

static void
note_reflector(struct ping *p, const struct test_reply *r, struct mono at)
{
	struct ping_sum *sum = p->sum;

	sum->answered = true;
	p->last_answer = at;
	if (p->tlv_sent && (int32_t)(r->sender_seq - p->first_tlv_seq) >= 0)
		p->tlv_answered++;
	if (!r->has_bitmap)
		return;
	sum->is_twmesh = true;
	sum->stateful = r->bitmap.stateful;
	sum->instance_id = r->bitmap.instance_id;
}

static void
take_packet(struct ping *p, const struct udp_packet *pkt)
{
	struct ping_sum *sum = p->sum;
	struct session_reply sr;
	struct test_reply r;
	enum reply_verdict v;
	struct sample sample;

	if (!addr_equal(&pkt->src, &p->o->dst)) {
		sum->foreign++;
		return;
	}
	if (pkt->truncated ||
	    test_reply_decode(pkt->data, pkt->len, pkt->wall, &r) != TEST_OK) {
		sum->malformed++;
		return;
	}
	if (!p->o->light && r.ssid != 0 && r.ssid != p->ssid) {
		sum->foreign++;
		return;
	}
	sr = to_session(p, pkt, &r);
	v = session_reply(p->ses, 0, &sr, &sample);
	sum->altered += v == REPLY_ALTERED;
	sum->unknown += v == REPLY_UNKNOWN;
	if (v != REPLY_ALTERED && v != REPLY_UNKNOWN)
		note_reflector(p, &r, pkt->mono);
	if (p->lines)
		ping_print_reply(p->out, r.sender_seq, v, &sample, p->coloured);
}

static void
take_stamps(struct ping *p)
{
	struct tx_event e[TX_EVENTS];
	int n;

	if (!p->tx)
		return;
	do {
		struct clock_pair now;

		n = txstamp_drain(p->tx, e, TX_EVENTS);
		if (n == 0)
			return;
		now = clock_now();
		txstamp_join_nic(e, n);
		for (int i = 0; i < n; i++) {
			const struct clock_pair t1 = {e[i].wall, e[i].mono};

			if (e[i].software)
				(void)session_tx_stamp(p->ses, 0, e[i].seq, t1,
				                       e[i].nic_ns, now);
		}
	} while (n == TX_EVENTS);
}

/* True when the socket is empty. */
static bool
drain(struct ping *p)
{
	for (int i = 0; i < DRAIN_BATCHES; i++) {
		const uint32_t before = p->drops;
		const int n = udp_rx_batch(p->fd, p->rx, &p->drops);

		if (p->drops != before)
			session_local_drops(p->ses, p->drops - before);
		take_stamps(p);
		for (int j = 0; j < n; j++)
			take_packet(p, udp_rx_packet(p->rx, j));
		if (n < UDP_BATCH)
			return true;
	}
	return false;
}

static void
on_lost(void *arg, unsigned flow, uint32_t seq)
{
	struct ping *p = arg;

	(void)flow; /* there is one */
	if (p->tlv_sent && (int32_t)(seq - p->first_tlv_seq) >= 0 &&
	    ++p->tlv_lost >= TLV_PROBES && p->tlv_answered == 0)
		p->sum->no_tlvs = true;
	if (p->lines)
		ping_print_lost(p->out, seq, p->coloured);
}

/* Once it has answered without our TLV, where it could have: does it count? */
static void
ask_whether_it_counts(struct ping *p, struct mono now)
{
	struct ping_sum *sum = p->sum;

	if (sum->is_twmesh || sum->counts != PING_COUNTS_UNKNOWN)
		return;
	if (sum->answered &&
	    (p->o->light || sum->no_tlvs || p->tlv_answered > 0 ||
	     !(test_request_fit(WANT_ALL, p->o->size) & TEST_WANT_BITMAP)))
		ping_count_start(&p->count, p->o, now);
	ping_count_turn(&p->count, p->o, p->rx, now);
	sum->counts = p->count.verdict;
	if (sum->counts == PING_COUNTS_YES)
		session_set_counting(p->ses, true);
}

/* -- the loop ---------------------------------------------------------------
 */

static void
sleep_until(struct ping *p, struct mono until, const sigset_t *unblocked)
{
	struct pollfd pfd[2] = {{.fd = p->fd, .events = POLLIN},
	                        {.fd = p->count.fd, .events = POLLIN}};
	int64_t ns = mono_diff_ns(until, clock_mono());
	struct timespec ts;

	if (ns < 0)
		ns = 0;
	ts.tv_sec = ns / NS_PER_S;
	ts.tv_nsec = ns % NS_PER_S;
	(void)ppoll(pfd, 2, &ts, unblocked);
}

static struct mono
next_send(const struct ping *p)
{
	const struct mono gap = mono_add_ns(p->last_send, MIN_GAP_NS);

	return mono_diff_ns(gap, p->next) > 0 ? gap : p->next;
}

static void
run(struct ping *p, const sigset_t *unblocked)
{
	const int64_t grace_ns = p->o->loss_timeout_ns + NS_PER_MS;
	struct mono wake, end;

	p->next = clock_mono();
	while (!stop_asked) {
		const struct clock_pair now = clock_now();

		clock_test_poll();
		if (drain(p))
			session_advance(p->ses, now, on_lost, p);
		ping_sum_take_runs(p->sum, p->ses);
		serve_slots(p, now);
		ask_whether_it_counts(p, now.mono);
		wake = session_deadline(p->ses);
		end = mono_add_ns(p->last_send, grace_ns);
		if (p->left == 0 && (session_outstanding(p->ses) == 0 ||
		                     mono_diff_ns(now.mono, end) >= 0))
			break;
		if (p->left != 0)
			end = next_send(p);
		if (mono_diff_ns(end, wake) < 0)
			wake = end;
		end = ping_count_next(&p->count, p->o);
		if (p->count.running && mono_diff_ns(end, wake) < 0)
			wake = end;
		if (p->lines)
			(void)fflush(p->out);
		sleep_until(p, wake, unblocked);
	}
}

static int
open_all(struct ping *p)
{
	const struct udp_opts uo = {.ttl = 255, .dscp = p->o->dscp};
	const struct session_params sp = {.interval_ns = NS_PER_S,
	                                  .loss_timeout_ns =
	                                      p->o->loss_timeout_ns,
	                                  .gap_ns = p->o->interval_ns,
	                                  .align = false,
	                                  .detail = true,
	                                  .dscp = p->o->dscp,
	                                  .run_seed = random_u64()};
	struct addr local = p->o->source;
	int rc = 0;

	if (!local.len &&
	    !addr_parse_ip(addr_family(&p->o->dst) == AF_INET6 ? "::"
	                                                       : "0.0.0.0",
	                   0, &local))
		return -EAFNOSUPPORT;
	p->fd = udp_open(&local, &uo, NULL);
	if (p->fd < 0)
		return p->fd;
	p->tx = txstamp_new(p->fd, TXSTAMP_HARDWARE, TX_RING, &rc);
	p->rx = udp_rx_new(TEST_BUF_MAX);
	p->ses = session_new(&sp);
	return p->rx && p->ses ? 0 : -ENOMEM;
}

static void
close_all(struct ping *p)
{
	ping_count_close(&p->count);
	txstamp_free(p->tx);
	if (p->fd >= 0)
		(void)close(p->fd);
	udp_rx_free(p->rx);
	session_free(p->ses);
}

/* SIGINT and SIGTERM only end a sleep; a second one kills as usual. */
static void
catch_signals(sigset_t *unblocked)
{
	struct sigaction sa = {.sa_handler = on_signal,
	                       .sa_flags = (int)SA_RESETHAND};
	sigset_t blocked;

	(void)sigemptyset(&blocked);
	(void)sigaddset(&blocked, SIGINT);
	(void)sigaddset(&blocked, SIGTERM);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigprocmask(SIG_BLOCK, &blocked, unblocked);
}

int
ping_measure(const struct ping_opts *o, FILE *out, struct ping_sum *sum)
{
	struct ping p = {.o = o,
	                 .sum = sum,
	                 .out = out,
	                 .lines = !o->quiet && !o->json,
	                 .coloured = term_is_coloured(out),
	                 .fd = -1,
	                 .left = o->count ? o->count : -1};
	sigset_t unblocked;
	int rc;

	*sum = (struct ping_sum){.o = o};
	stop_asked = 0;
	(void)prctl(PR_SET_TIMERSLACK, 1UL); /* the default adds 50 us */
	rng_seed(&p.rng, random_u64());
	ping_count_init(&p.count);
	p.ssid = (uint16_t)(random_u64() % UINT16_MAX + 1); /* never 0 */
	rc = open_all(&p);
	if (rc != 0)
		goto out;
	if (p.lines) {
		ping_print_head(out, o);
		(void)fflush(out);
	}
	catch_signals(&unblocked);
	sum->from = clock_wall();
	run(&p, &unblocked);
	(void)sigprocmask(SIG_SETMASK, &unblocked, NULL);
	sum->to = clock_wall();
	sum->under_way = session_outstanding(p.ses);
	session_finish(p.ses, clock_now(), 0);
	ping_sum_take(sum, p.ses);
out:
	close_all(&p);
	return rc;
}

/* -- the command ------------------------------------------------------------
 */

static int
run_ping(const struct tool_cmd *cmd, int argc, char **argv)
{
	static struct ping_sum sum; /* holds a histogram: not on the stack */
	char text[ADDR_TEXT_MAX];
	struct ping_opts o;
	bool done;
	int rc = ping_opts_parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	if (o.size < STAMP_BASE)
		(void)tool_error(cmd,
		                 "note: a reply is never longer than its "
		                 "request, so twmesh reflectors do not answer "
		                 "requests shorter than 44 octets (41 to 43 "
		                 "with answer_short)");
	rc = ping_measure(&o, stdout, &sum);
	if (rc != 0)
		return tool_error(cmd, "%s: cannot open a socket: %s",
		                  o.source.len ? addr_format_ip(&o.source, text)
		                               : o.target,
		                  strerror(-rc));
	rc = sum.answered ? TOOL_GOOD : TOOL_BAD;
	if (o.json && !ping_print_json(stdout, &sum))
		rc = tool_error(cmd, "out of memory");
	if (!o.json)
		ping_print_sum(stdout, &sum, term_is_coloured(stdout));
	ping_sum_clear(&sum);
	return rc;
}

const struct tool_cmd tool_ping = {
    "ping",
    "[OPTION ...] HOST[:PORT]",
    "measure from here to any STAMP or TWAMP Light reflector",
    ping_notes,
    ping_opt_table,
    run_ping};
