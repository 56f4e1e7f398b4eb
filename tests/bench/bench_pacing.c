/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How late sends leave: 1,000 sessions, 10 packets/s each, one prober thread
 * against a real twmesh-reflector, by mode (sleep; precise: sleep, then spin)
 * and scheduling (normal; SCHED_FIFO, where allowed), idle and with a busy
 * process on the same core. Beside each a bare loop that sends on the same
 * schedule with the same calls and keeps no books. Prober, bare loop and
 * competitor share the last CPU; the reflector has the others, if there are
 * any. Deviation from the schedule as read just before the send call; CPU per
 * packet of the process; memory per session by what 1,000 more take.
 *
 * Bars, idle, without FIFO: p50 and p99 at most RATIO of the bare loop's plus
 * SLACK_US.
 *
 * usage: bench_pacing [SECONDS [SESSIONS]]; exit 1 past a bar.
 */
#include "lib/net/txstamp.h"
#include "lib/twamp/testpkt.h"
#include "tests/bench/meshbench.h"

#include <math.h>
#include <poll.h>
#include <sched.h>

#define BAR_RATIO 2.0
#define BAR_SLACK_US 30.0
#define SETTLE_S 4
#define SPIN_NS (50 * NS_PER_US)
#define DRAIN_NS (5 * NS_PER_MS)

struct mode {
	bool precise, fifo, busy;
};

struct pace {
	double p50_us, p99_us, max_us, us_per_packet, pps, rss_mb;
	uint64_t sent, received;
};

/* --- the CPUs ---------------------------------------------------------------
 */

static void
pin(bool last)
{
	const long n = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	if (n < 2)
		return;
	CPU_ZERO(&set);
	for (int i = 0; i < n; i++) {
		if ((i == n - 1) == last)
			CPU_SET((size_t)i, &set);
	}
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static pid_t
start_competitor(void)
{
	const pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(true);
		for (volatile uint64_t i = 0;; i++)
			;
	}
	return pid;
}

static bool
may_fifo(void)
{
	const struct sched_param sp = {.sched_priority = 1}, none = {0};
	const bool ok = sched_setscheduler(0, SCHED_FIFO, &sp) == 0;

	(void)sched_setscheduler(0, SCHED_OTHER, &none);
	return ok;
}

/* --- the prober -------------------------------------------------------------
 */

static uint64_t
drop_letters(struct prober *p)
{
	struct letter *l = mailbox_take_all(prober_results(p)), *next;
	uint64_t n = 0;

	for (; l; l = next, n++) {
		next = l->next;
		prober_letter_free(l);
	}
	return n;
}

static struct pace
run_prober(struct mode m, unsigned peers, uint16_t port, unsigned seconds)
{
	const struct prober_opts o = {.min_gap_ns = 50 * NS_PER_US,
	                              .precise = m.precise,
	                              .fifo = m.fifo,
	                              .clock_error_floor_ns = 100000};
	uint64_t late[LATENESS_BUCKETS], before[LATENESS_BUCKETS], sent;
	struct pace r = {0};
	struct mono from;
	double cpu;
	int err;
	struct prober *p = prober_start(&o, &err);

	if (!p)
		fail("prober_start");
	prober_set_plan(p, make_plan(peers, port));
	sleep_ms(SETTLE_S * 1000);
	lateness_read(&prober_stats(p)->lateness, before);
	(void)prober_take_lateness_ns(p);
	cpu = cpu_s();
	sent = prober_stats(p)->sent;
	from = clock_mono();
	for (unsigned i = 0; i < seconds; i++) {
		sleep_ms(1000);
		(void)drop_letters(p);
	}
	r.pps = (double)(prober_stats(p)->sent - sent) * 1e9 /
	        (double)mono_diff_ns(clock_mono(), from);
	r.us_per_packet =
	    (cpu_s() - cpu) * 1e6 / (double)(prober_stats(p)->sent - sent);
	lateness_read(&prober_stats(p)->lateness, late);
	for (unsigned i = 0; i < LATENESS_BUCKETS; i++)
		late[i] -= before[i];
	r.p50_us = (double)lateness_percentile(late, 50) / 1e3;
	r.p99_us = (double)lateness_percentile(late, 99) / 1e3;
	r.max_us = (double)prober_take_lateness_ns(p) / 1e3;
	r.rss_mb = rss_mb();
	r.sent = prober_stats(p)->sent;
	r.received = prober_stats(p)->received;
	prober_stop(p);
	(void)drop_letters(p);
	prober_free(p);
	return r;
}

/* --- the bare loop ----------------------------------------------------------
 */

struct bare {
	int fd;
	struct txstamp *tx;
	struct udp_rx *rx;
	struct udp_send to[PEERS_MAX];
	uint8_t packet[SIZE];
};

static void
bare_open(struct bare *b, unsigned peers, uint16_t port)
{
	const struct test_request q = {.seq = 1, .error_estimate = 1};
	const struct udp_opts o = {.ttl = 255};
	struct addr any;
	int err;

	(void)addr_parse_ip("0.0.0.0", 0, &any);
	b->fd = udp_open(&any, &o, NULL);
	b->rx = udp_rx_new(TEST_BUF_MAX);
	if (b->fd < 0 || !b->rx ||
	    !(b->tx = txstamp_new(b->fd, TXSTAMP_HARDWARE, 512, &err)) ||
	    !test_request_encode(&q, TEST_WANT_BITMAP | TEST_WANT_TLVS,
	                         b->packet, sizeof(b->packet)))
		fail("bare loop");
	for (unsigned i = 0; i < peers; i++)
		b->to[i] = (struct udp_send){.dst = peer_addr(i, port),
		                             .tos = -1,
		                             .data = b->packet,
		                             .len = sizeof(b->packet)};
}

static void
bare_wait(struct mono due, bool precise)
{
	const int64_t ns =
	    mono_diff_ns(due, clock_mono()) - (precise ? SPIN_NS : 0);
	const struct timespec ts = {ns / NS_PER_S, ns % NS_PER_S};

	if (ns > 0)
		(void)ppoll(NULL, 0, &ts, NULL);
	while (precise && mono_diff_ns(due, clock_mono()) > 0)
		;
}

static uint64_t
bare_drain(struct bare *b)
{
	struct tx_event stamp[UDP_BATCH];
	uint64_t got = 0;
	uint32_t drops = 0;
	int n;

	do {
		n = udp_rx_batch(b->fd, b->rx, &drops);
		got += n > 0 ? (uint64_t)n : 0;
		while (txstamp_drain(b->tx, stamp, UDP_BATCH) == UDP_BATCH)
			;
	} while (n == UDP_BATCH);
	return got;
}

static struct pace
run_bare(struct mode m, unsigned peers, uint16_t port, unsigned seconds)
{
	static struct bare b;
	static struct lateness late;
	const int64_t gap = NS_PER_S / RATE / (int64_t)peers;
	const struct sched_param sp = {.sched_priority = 10};
	uint64_t n[LATENESS_BUCKETS];
	struct pace r = {0};
	struct mono due, drained, end;
	double cpu;

	bare_open(&b, peers, port);
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	if (m.fifo && sched_setscheduler(0, SCHED_FIFO, &sp) != 0)
		fail("SCHED_FIFO");
	due = drained = clock_mono();
	end = mono_add_ns(due, (int64_t)seconds * NS_PER_S);
	cpu = cpu_s();
	for (unsigned i = 0; mono_diff_ns(end, due) > 0; i++) {
		struct mono now;
		int64_t ns;

		bare_wait(due, m.precise);
		now = clock_mono();
		ns = mono_diff_ns(now, due);
		if (ns < NS_PER_S / RATE) { /* later: skipped, as we do */
			if (txstamp_ask(b.tx, &b.to[i % peers], now) &&
			    udp_send_one(b.fd, &b.to[i % peers]) == 0)
				txstamp_sent(b.tx, &b.to[i % peers], now, 0, 0);
			lateness_add(&late, ns);
			r.max_us = fmax(r.max_us, (double)ns / 1e3);
			r.sent++;
		}
		due = mono_add_ns(due, gap);
		if (mono_diff_ns(now, drained) > DRAIN_NS) {
			r.received += bare_drain(&b);
			drained = now;
		}
	}
	r.us_per_packet = (cpu_s() - cpu) * 1e6 / (double)r.sent;
	r.pps = (double)r.sent / seconds;
	lateness_read(&late, n);
	r.p50_us = (double)lateness_percentile(n, 50) / 1e3;
	r.p99_us = (double)lateness_percentile(n, 99) / 1e3;
	r.rss_mb = rss_mb();
	return r;
}

/* --- all modes --------------------------------------------------------------
 */

typedef struct pace run_fn(struct mode m, unsigned peers, uint16_t port,
                           unsigned seconds);

static struct pace
in_child(run_fn *run, struct mode m, unsigned peers, uint16_t port,
         unsigned seconds)
{
	const pid_t rival = m.busy ? start_competitor() : 0;
	struct pace r;
	int fd[2], status;
	pid_t pid;

	if (pipe(fd) != 0)
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(true);
		r = run(m, peers, port, seconds);
		_exit(write(fd[1], &r, sizeof(r)) == sizeof(r) ? 0 : 2);
	}
	(void)close(fd[1]);
	if (read(fd[0], &r, sizeof(r)) != sizeof(r) ||
	    waitpid(pid, &status, 0) != pid || status != 0)
		fail("child");
	(void)close(fd[0]);
	if (rival) {
		(void)kill(rival, SIGKILL);
		(void)waitpid(rival, NULL, 0);
	}
	return r;
}

static void
print(const char *name, struct mode m, const struct pace *r)
{
	printf("  %-7s %-7s %-6s %-4s %7.0f %9.1f %9.1f %9.0f %9.1f  %llu of "
	       "%llu\n",
	       m.precise ? "precise" : "sleep", m.fifo ? "FIFO" : "normal",
	       name, m.busy ? "busy" : "idle", r->pps, r->p50_us, r->p99_us,
	       r->max_us, r->us_per_packet, (unsigned long long)r->received,
	       (unsigned long long)r->sent);
	(void)fflush(stdout);
}

static bool
within(const char *mode, const char *what, double ours, double bare)
{
	const double bar = BAR_RATIO * bare + BAR_SLACK_US;

	printf("pacing, %s, %s of lateness: %.1f us (bar <= %.1f)\n", mode,
	       what, ours, bar);
	return ours <= bar;
}

static bool
run_modes(unsigned peers, uint16_t port, unsigned seconds)
{
	const bool fifo = may_fifo();
	struct pace r, bare;
	bool ok = true;

	printf("  mode    sched   who    CPU  packets/s   p50 us    p99 us    "
	       "max us  us/packet  answered\n");
	for (unsigned i = 0; i < 8; i++) {
		const struct mode m = {i & 1, i & 4, i & 2};

		if (m.fifo && !fifo)
			continue;
		bare = in_child(run_bare, m, peers, port, seconds);
		print("bare", m, &bare);
		r = in_child(run_prober, m, peers, port, seconds);
		print("prober", m, &r);
		if (m.fifo || m.busy)
			continue;
		ok = within(m.precise ? "precise" : "sleep", "p50", r.p50_us,
		            bare.p50_us) &&
		     ok;
		ok = within(m.precise ? "precise" : "sleep", "p99", r.p99_us,
		            bare.p99_us) &&
		     ok;
	}
	if (!fifo)
		printf("  SCHED_FIFO: not allowed here\n");
	return ok;
}

int
main(int argc, char **argv)
{
	const unsigned seconds = argc > 1 ? number(argv[1], 3600) : 5;
	const unsigned peers = argc > 2 ? number(argv[2], PEERS_MAX) : 1000;
	const struct mode plain = {false, false, false};
	const uint16_t port = free_port();
	char conf[] = "/tmp/twmesh-bench-pacing.XXXXXX";
	struct pace one;
	pid_t reflector;
	double mb;
	bool ok;

	pin(false);
	write_conf(conf);
	reflector = reflector_start(port, conf);
	sleep_ms(300);
	printf("pacing: %u sessions x %d packets/s, %u s each\n", peers, RATE,
	       seconds);
	ok = run_modes(peers, port, seconds);
	one = in_child(run_prober, plain, 1, port, seconds);
	mb = in_child(run_prober, plain, peers, port, seconds).rss_mb;
	printf("  memory: %.1f MB with %u sessions, %.1f MB with one: %.1f kB "
	       "per session\n",
	       mb, peers, one.rss_mb, (mb - one.rss_mb) * 1e3 / peers);
	(void)kill(reflector, SIGTERM);
	(void)waitpid(reflector, NULL, 0);
	(void)unlink(conf);
	return ok ? 0 : 1;
}
