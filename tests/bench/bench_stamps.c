/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a busy host does to a round trip: the same packets, to a real
 * twmesh-reflector over loopback, measured by the stamps that a program reads
 * for itself and by the kernel's. Rounds on the machine as it is take turns
 * with rounds in which one busy process per CPU competes.
 *
 *   user    (T4 - T1) - (T3 - T2), T1 and T4 read around the system calls, T3
 *           before the reflector's (its T2 is the kernel's all the same: a
 *           reflector that reads T2 itself is worse)
 *   kernel  the same with T1 and T4 of the kernel, and T3 as the next reply
 *           tells it (Follow-Up Telemetry)
 *
 * Bar: the kernel's p99.9 among competitors, at most BAR times that without.
 *
 * usage: bench_stamps [SECONDS [PER_SECOND]]; exit 1 past the bar.
 */
#include "lib/net/txstamp.h"
#include "lib/twamp/ntp64.h"
#include "lib/twamp/testpkt.h"
#include "tests/bench/meshbench.h"

#include <poll.h>
#include <sched.h>

#define BAR 5.0
#define ROUNDS 3 /* of each kind */
#define BUSY_MAX 64
#define SSID 7

struct probe {
	struct mono t1_user, t1, t4_user, t4;
	struct wall t2, t3, t3_true;
	uint32_t rseq;
	bool stamped, answered, told;
};

struct run {
	int fd;
	struct txstamp *tx;
	struct udp_rx *rx;
	struct addr dst;
	struct probe *probe; /* owned: n of them, by sequence number */
	uint32_t n, sent;
	uint8_t packet[SIZE];
};

/* Delays of one kind of round, ns. */
struct sums {
	int64_t *user, *kernel; /* owned */
	size_t n, cap;
};

/* --- one round --------------------------------------------------------------
 */

static void
run_open(struct run *r, uint16_t port, uint32_t n)
{
	const struct udp_opts o = {.ttl = 255};
	struct addr any;
	int err;

	*r = (struct run){.dst = peer_addr(0, port), .n = n};
	(void)addr_parse_ip("0.0.0.0", 0, &any);
	r->fd = udp_open(&any, &o, NULL);
	r->rx = udp_rx_new(TEST_BUF_MAX);
	r->probe = calloc(n, sizeof(*r->probe));
	if (r->fd < 0 || !r->rx || !r->probe ||
	    !(r->tx = txstamp_new(r->fd, 0, 512, &err)))
		fail("test socket");
}

static void
run_close(struct run *r)
{
	txstamp_free(r->tx);
	udp_rx_free(r->rx);
	(void)close(r->fd);
	free(r->probe);
}

static void
run_send(struct run *r)
{
	struct test_request q = {
	    .seq = r->sent, .error_estimate = 1, .ssid = SSID};
	struct udp_send s = {
	    .dst = r->dst, .tos = -1, .data = r->packet, .len = SIZE};
	struct probe *p = &r->probe[r->sent];
	struct clock_pair t1;
	bool asked;

	if (!test_request_encode(&q,
	                         TEST_WANT_BITMAP | TEST_WANT_COS |
	                             TEST_WANT_FOLLOW_UP | TEST_WANT_TLVS,
	                         r->packet, SIZE))
		fail("a request");
	asked = txstamp_ask(r->tx, &s, clock_mono());
	t1 = clock_now();
	q.t1 = ntp64_from_wall(t1.wall);
	test_request_restamp(&q, r->packet);
	p->t1_user = t1.mono;
	if (udp_send_one(r->fd, &s) != 0)
		fail("send");
	if (asked)
		txstamp_sent(r->tx, &s, t1.mono, 0, q.seq);
	r->sent++;
}

static void
take_reply(struct run *r, const struct udp_packet *u, struct mono read_at)
{
	struct test_reply t;
	struct probe *p;

	if (test_reply_decode(u->data, u->len, u->wall, &t) != TEST_OK ||
	    t.sender_seq >= r->sent)
		return;
	p = &r->probe[t.sender_seq];
	p->t2 = t.t2;
	p->t3 = t.t3;
	p->t4 = u->mono;
	p->t4_user = read_at;
	p->rseq = t.seq;
	p->answered = u->stamp == STAMP_KERNEL;
	/* nothing is lost here, so that its numbers are ours */
	if (t.follow_up && t.follow_up_seq < r->sent &&
	    r->probe[t.follow_up_seq].rseq == t.follow_up_seq) {
		r->probe[t.follow_up_seq].t3_true = t.follow_up_t3;
		r->probe[t.follow_up_seq].told = true;
	}
}

static void
run_drain(struct run *r)
{
	struct tx_event e[64];
	uint32_t drops = 0;
	int n;

	while ((n = udp_rx_batch(r->fd, r->rx, &drops)) > 0) {
		const struct mono at = clock_mono();

		for (int i = 0; i < n; i++)
			take_reply(r, udp_rx_packet(r->rx, i), at);
	}
	while ((n = txstamp_drain(r->tx, e, 64)) > 0) {
		for (int i = 0; i < n; i++) {
			r->probe[e[i].seq].t1 = e[i].mono;
			r->probe[e[i].seq].stamped = e[i].software;
		}
	}
}

/* Waits as any program would: for what is to read, or the next send. */
static void
run_until(struct run *r, struct mono due)
{
	int64_t ns;

	while ((ns = mono_diff_ns(due, clock_mono())) > 0) {
		const struct timespec ts = {ns / NS_PER_S, ns % NS_PER_S};
		struct pollfd p = {r->fd, POLLIN, 0};

		if (ppoll(&p, 1, &ts, NULL) > 0)
			run_drain(r);
	}
	run_drain(r);
}

static void
add_samples(const struct run *r, struct sums *s)
{
	for (uint32_t i = 0; i < r->sent && s->n < s->cap; i++) {
		const struct probe *p = &r->probe[i];

		if (!p->stamped || !p->answered || !p->told)
			continue;
		s->user[s->n] = mono_diff_ns(p->t4_user, p->t1_user) -
		                wall_diff_ns(p->t3, p->t2);
		s->kernel[s->n] = mono_diff_ns(p->t4, p->t1) -
		                  wall_diff_ns(p->t3_true, p->t2);
		s->n++;
	}
}

static void
one_round(uint16_t port, unsigned seconds, unsigned pps, struct sums *s)
{
	const int64_t gap = NS_PER_S / pps;
	struct mono due;
	struct run r;

	run_open(&r, port, seconds * pps);
	due = clock_mono();
	while (r.sent < r.n) {
		run_until(&r, due);
		run_send(&r);
		due = mono_add_ns(due, gap);
	}
	run_until(&r, mono_add_ns(clock_mono(), 500 * NS_PER_MS));
	add_samples(&r, s);
	run_close(&r);
}

/* --- competitors ------------------------------------------------------------
 */

static _Noreturn void
busy(size_t cpu)
{
	cpu_set_t set;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
	for (volatile uint64_t i = 0;; i++)
		;
}

static unsigned
start_busy(pid_t *pid)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = 0;

	for (; n < BUSY_MAX && (long)n < cpus; n++) {
		pid[n] = fork();
		if (pid[n] < 0)
			fail("fork");
		if (pid[n] == 0)
			busy(n);
	}
	return n;
}

static void
stop_busy(const pid_t *pid, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		(void)kill(pid[i], SIGKILL);
		(void)waitpid(pid[i], NULL, 0);
	}
}

/* --- the table ---------------------------------------------------------------
 */

static int
by_value(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static double
percentile_us(const int64_t *v, size_t n, double p)
{
	size_t rank = (size_t)((double)n * p / 100 + 0.999999);

	rank = rank < 1 ? 1 : rank > n ? n : rank;
	return (double)v[rank - 1] / 1e3;
}

/* Sorts, prints a line, and gives p99.9. */
static double
tell(const char *host, const char *stamps, int64_t *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	(void)printf("%-8s %-8s %10.1f %10.1f %10.1f %10.1f\n", host, stamps,
	             percentile_us(v, n, 50), percentile_us(v, n, 99),
	             percentile_us(v, n, 99.9), percentile_us(v, n, 100));
	return percentile_us(v, n, 99.9);
}

/* The exit status: 0 within the bar. */
static int
tell_all(struct sums s[2])
{
	double user[2], kernel[2];

	if (s[0].n < 1000 || s[1].n < 1000) {
		(void)fprintf(stderr,
		              "bench: expected 1000 samples of each kind and "
		              "more, found %zu and %zu\n",
		              s[0].n, s[1].n);
		return 2;
	}

	(void)printf("%-8s %-8s %10s %10s %10s %10s  us, %zu and %zu packets\n",
	             "host", "stamps", "p50", "p99", "p99.9", "max", s[0].n,
	             s[1].n);
	for (unsigned i = 0; i < 2; i++) {
		const char *host = i == 0 ? "as it is" : "busy";

		user[i] = tell(host, "user", s[i].user, s[i].n);
		kernel[i] = tell(host, "kernel", s[i].kernel, s[i].n);
	}
	(void)printf("round trip p99.9, busy to not, user stamps: %.2f\n",
	             user[1] / user[0]);
	(void)printf("round trip p99.9, busy to not, kernel stamps: %.2f "
	             "(bar <= %.2f)\n",
	             kernel[1] / kernel[0], BAR);
	return kernel[1] <= BAR * kernel[0] ? 0 : 1;
}

static void
sums_init(struct sums *s, size_t cap)
{
	*s = (struct sums){calloc(cap, sizeof(int64_t)),
	                   calloc(cap, sizeof(int64_t)), 0, cap};
	if (!s->user || !s->kernel)
		fail("memory");
}

int
main(int argc, char **argv)
{
	const unsigned seconds = argc > 1 ? number(argv[1], 600) : 4;
	const unsigned pps = argc > 2 ? number(argv[2], 10000) : 1000;
	const uint16_t port = free_port();
	char conf[] = "/tmp/bench-stamps-XXXXXX";
	pid_t reflector, pid[BUSY_MAX];
	struct sums s[2];
	int rc;

	for (unsigned i = 0; i < 2; i++)
		sums_init(&s[i], (size_t)ROUNDS * seconds * pps);
	write_conf(conf);
	reflector = reflector_start(port, conf);
	sleep_ms(500);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned n;

		one_round(port, seconds, pps, &s[0]);
		n = start_busy(pid);
		sleep_ms(200);
		one_round(port, seconds, pps, &s[1]);
		stop_busy(pid, n);
	}
	(void)kill(reflector, SIGTERM);
	(void)waitpid(reflector, NULL, 0);
	(void)unlink(conf);
	rc = tell_all(s);
	for (unsigned i = 0; i < 2; i++) {
		free(s[i].user);
		free(s[i].kernel);
	}
	return rc;
}
