/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the prober costs: 200 peers, 10 packets/s each, against a real
 * twmesh-reflector on 127.0.2.1 .. 127.0.2.200. Its CPU share of a core and
 * its resident memory, beside a bare loop that sends and receives as many
 * packets to the same reflector with the same system calls (sleep, send with a
 * transmit stamp, and batches of replies and stamps every 5 ms) and keeps no
 * books. Each runs in a process of its
 * own: bare, prober, bare. The prober is meshd's measuring thread; ZeroMQ and
 * spool are not in these numbers.
 *
 * Bars: < 20 MB; and < 4 % of a core, or, where a machine's sleep alone costs
 * that (25 us and more in some virtual machines, 2,000 times a second, since
 * sends keep a minimum gap), at most RATIO of the bare loop.
 *
 * usage: bench_prober [SECONDS [PEERS]]; BUILD_DIR says where the program is
 * (default build/gcc). Exit 1 past a bar.
 */
#include "lib/net/txstamp.h"
#include "lib/twamp/testpkt.h"
#include "tests/bench/meshbench.h"

#include <poll.h>

#define BAR_CPU_PCT 4.0
#define BAR_RATIO 1.35 /* of CPU per packet, to the bare loop */
#define BAR_RSS_MB 20.0
#define SETTLE_S 4 /* first answers, and all pages touched */

/* What a child tells. */
struct cost {
	double cpu_pct, rss_mb, pps;
	double lateness_us; /* largest */
	uint64_t sent, received, results, lost;
};

/* --- the prober
 * --------------------------------------------------------------- */

static void
take_results(struct prober *p, struct cost *c)
{
	struct letter *l = mailbox_take_all(prober_results(p)), *next;

	for (; l; l = next) {
		const struct result *r =
		    &((struct result_letter *)(void *)l)->result;

		next = l->next;
		if (((struct prober_letter *)(void *)l)->kind ==
		    LETTER_RESULT) {
			c->results++;
			c->lost += (uint64_t)r->v[METRIC_LOST];
		}
		prober_letter_free(l);
	}
}

static struct cost
run_prober(unsigned peers, uint16_t port, unsigned seconds)
{
	const struct prober_opts o = {.min_gap_ns = 50 * NS_PER_US,
	                              .clock_error_floor_ns = 100000};
	struct cost c = {0};
	double cpu, from;
	uint64_t sent;
	int err;
	struct prober *p = prober_start(&o, &err);

	if (!p)
		fail("prober_start");
	prober_set_plan(p, make_plan(peers, port));
	sleep_ms(SETTLE_S * 1000);
	(void)prober_take_lateness_ns(p);
	cpu = cpu_s();
	sent = prober_stats(p)->sent;
	from = (double)clock_mono().ns;
	for (unsigned i = 0; i < seconds; i++) {
		sleep_ms(1000);
		take_results(p, &c);
	}
	from = ((double)clock_mono().ns - from) / 1e9;
	c.cpu_pct = 100.0 * (cpu_s() - cpu) / from;
	c.rss_mb = rss_mb();
	c.pps = (double)(prober_stats(p)->sent - sent) / from;
	c.lateness_us = (double)prober_take_lateness_ns(p) / 1e3;
	c.sent = prober_stats(p)->sent;
	c.received = prober_stats(p)->received;
	prober_stop(p);
	take_results(p, &c);
	prober_free(p);
	return c;
}

/* --- the bare loop
 * -------------------------------------------------------------- */

static uint64_t
bare_drain(int fd, struct udp_rx *rx, struct txstamp *tx)
{
	struct tx_event stamp[UDP_BATCH];
	uint64_t got = 0;
	uint32_t drops = 0;
	int n;

	do {
		n = udp_rx_batch(fd, rx, &drops);
		got += n > 0 ? (uint64_t)n : 0;
		while (txstamp_drain(tx, stamp, UDP_BATCH) == UDP_BATCH)
			;
	} while (n == UDP_BATCH);
	return got;
}

static bool
bare_send(int fd, struct txstamp *tx, struct udp_send *s)
{
	const struct mono now = clock_mono();

	if (!txstamp_ask(tx, s, now) || udp_send_one(fd, s) != 0)
		return false;
	txstamp_sent(tx, s, now, 0, 0);
	return true;
}

static void
bare_sleep_until(struct mono at)
{
	const int64_t ns = mono_diff_ns(at, clock_mono());
	const struct timespec ts = {ns / NS_PER_S, ns % NS_PER_S};

	if (ns > 0)
		(void)ppoll(NULL, 0, &ts, NULL);
}

static struct cost
run_bare(unsigned peers, uint16_t port, unsigned seconds)
{
	const struct udp_opts o = {.ttl = 255};
	const int64_t gap = NS_PER_S / RATE / (int64_t)peers;
	const struct test_request q = {.seq = 1, .error_estimate = 1};
	struct udp_rx *rx = udp_rx_new(TEST_BUF_MAX);
	struct udp_send s[PEERS_MAX];
	uint8_t packet[SIZE];
	struct cost c = {0};
	struct mono due, drained, end;
	struct txstamp *tx;
	struct addr any;
	double cpu;
	int fd, err;

	(void)addr_parse_ip("0.0.0.0", 0, &any);
	fd = udp_open(&any, &o, NULL);
	if (fd < 0 || !rx ||
	    !(tx = txstamp_new(fd, TXSTAMP_HARDWARE, 512, &err)) ||
	    !test_request_encode(&q, TEST_WANT_BITMAP | TEST_WANT_TLVS, packet,
	                         sizeof(packet)))
		fail("bare loop");
	for (unsigned i = 0; i < peers; i++)
		s[i] = (struct udp_send){.dst = peer_addr(i, port),
		                         .tos = -1,
		                         .data = packet,
		                         .len = sizeof(packet)};
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	due = drained = clock_mono();
	end = mono_add_ns(due, (int64_t)seconds * NS_PER_S);
	cpu = cpu_s();
	for (unsigned i = 0; mono_diff_ns(end, due) > 0; i++) {
		bare_sleep_until(due);
		c.sent += bare_send(fd, tx, &s[i % peers]);
		due = mono_add_ns(due, gap);
		if (mono_diff_ns(clock_mono(), drained) > 5 * NS_PER_MS) {
			c.received += bare_drain(fd, rx, tx);
			drained = clock_mono();
		}
	}
	c.cpu_pct = 100.0 * (cpu_s() - cpu) / seconds;
	c.pps = (double)c.sent / seconds;
	c.rss_mb = rss_mb();
	txstamp_free(tx);
	udp_rx_free(rx);
	(void)close(fd);
	return c;
}

/* --- both
 * ------------------------------------------------------------------------ */

typedef struct cost run_fn(unsigned peers, uint16_t port, unsigned seconds);

static struct cost
in_child(run_fn *run, unsigned peers, uint16_t port, unsigned seconds)
{
	struct cost c;
	int fd[2], status;
	pid_t pid;

	if (pipe(fd) != 0)
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		c = run(peers, port, seconds);
		_exit(write(fd[1], &c, sizeof(c)) == sizeof(c) ? 0 : 2);
	}
	(void)close(fd[1]);
	if (read(fd[0], &c, sizeof(c)) != sizeof(c) ||
	    waitpid(pid, &status, 0) != pid || status != 0)
		fail("child");
	(void)close(fd[0]);
	return c;
}

static void
print(const char *name, const struct cost *c)
{
	printf("  %-7s %6.0f packets/s  %5.2f %% of a core  %5.1f us/packet  "
	       "%5.1f MB resident  %llu of %llu answered\n",
	       name, c->pps, c->cpu_pct, c->cpu_pct * 1e4 / c->pps, c->rss_mb,
	       (unsigned long long)c->received, (unsigned long long)c->sent);
}

int
main(int argc, char **argv)
{
	const unsigned seconds = argc > 1 ? number(argv[1], 3600) : 10;
	const unsigned peers = argc > 2 ? number(argv[2], 250) : 200;
	const uint16_t port = free_port();
	char conf[] = "/tmp/twmesh-bench-prober.XXXXXX";
	struct cost bare[2], prober;
	pid_t reflector;
	double ratio;
	bool ok;

	write_conf(conf);
	reflector = reflector_start(port, conf);
	sleep_ms(300);
	printf("prober: %u peers x %d packets/s, %u s each\n", peers, RATE,
	       seconds);
	bare[0] = in_child(run_bare, peers, port, seconds);
	print("bare", &bare[0]);
	prober = in_child(run_prober, peers, port, seconds);
	print("prober", &prober);
	bare[1] = in_child(run_bare, peers, port, seconds);
	print("bare", &bare[1]);
	(void)kill(reflector, SIGTERM);
	(void)waitpid(reflector, NULL, 0);
	(void)unlink(conf);
	ratio =
	    prober.cpu_pct / prober.pps /
	    ((bare[0].cpu_pct + bare[1].cpu_pct) / (bare[0].pps + bare[1].pps));
	printf("  ratio prober/bare %.2f; %llu results, %llu lost, latest "
	       "send %.0f us late\n",
	       ratio, (unsigned long long)prober.results,
	       (unsigned long long)prober.lost, prober.lateness_us);
	ok = (prober.cpu_pct < BAR_CPU_PCT || ratio <= BAR_RATIO) &&
	     prober.rss_mb < BAR_RSS_MB && prober.received > 0;
	printf("  bars: < %.0f %% of a core or ratio <= %.2f; < %.0f MB: %s\n",
	       BAR_CPU_PCT, BAR_RATIO, BAR_RSS_MB, ok ? "held" : "NOT held");
	return ok ? 0 : 1;
}
