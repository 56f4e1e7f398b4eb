/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh-reflector against the least that any reflector on this machine could
 * do: a bare recvmmsg/sendmmsg echo that asks the kernel for the same control
 * messages (TTL, TOS, PKTINFO, receive stamp). Both run at once, pinned to one
 * core; the load, on another core, goes to one of them at a time, A B B A, in
 * short rounds, so that what else the machine does hits both alike; the ratio
 * is the median over the pairs. With Follow-Up Telemetry each reply is sent
 * with a request for its transmit stamp, as far as the load leaves time for it;
 * that is what a mesh asks for, and what it costs. The load keeps WINDOW
 * packets outstanding and sends by UDP_SEGMENT, which makes it cheaper than
 * either server. Bar: replies/s at least BAR of the echo's.
 *
 * usage: bench_reflector [ROUNDS [ROUND_MS]]; BUILD_DIR says where the program
 * is (default build/gcc). Exit 1 below the bar.
 */
#include "lib/base/addr.h"
#include "lib/twamp/testpkt.h"

#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BAR 0.85
#define BATCH 64
#define WINDOW 1024 /* packets outstanding */
#define FLOWS 16    /* source ports: as many sessions */
#define ROUNDS_MAX 101
#define RCVBUF (4 << 20)
#define TRIES 50 /* rounds without a reply, then we give up */

struct target {
	const char *name;
	pid_t pid;
	struct addr addr;
	double rate[ROUNDS_MAX], cpu_us[ROUNDS_MAX]; /* per round */
};

struct load {
	int fd[FLOWS];
	size_t size;      /* of a packet */
	uint32_t seq;     /* next */
	uint8_t *packets; /* BATCH of them, back to back */
};

static _Noreturn void
fail(const char *what)
{
	(void)fprintf(stderr, "bench_reflector: %s: %s\n", what,
	              strerror(errno));
	exit(2);
}

static double
now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double
cpu_s(pid_t pid)
{
	struct timespec ts;
	clockid_t id;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &ts) != 0)
		fail("CPU time of the server");
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void
pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)core, &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* or wherever */
}

static int
udp_socket(const struct addr *local)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const int bytes = RCVBUF;

	if (fd < 0 || bind(fd, &local->u.sa, local->len) != 0)
		fail("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) !=
	    0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes,
		                 sizeof(bytes));
	return fd;
}

static struct addr
loopback(uint16_t port)
{
	struct addr a;

	if (!addr_parse_ip("127.0.0.1", port, &a))
		fail("address");
	return a;
}

/* A port that is free right now. */
static uint16_t
free_port(void)
{
	struct addr a = loopback(0);
	const int fd = udp_socket(&a);

	if (getsockname(fd, &a.u.sa, &a.len) != 0)
		fail("getsockname");
	(void)close(fd);
	return addr_port(&a);
}

/* --- the baseline ------------------------------------------------------- */

static _Noreturn void
echo_loop(int fd)
{
	static struct mmsghdr msg[BATCH];
	static struct iovec iov[BATCH];
	static struct sockaddr_in name[BATCH];
	static uint8_t buf[BATCH][2048], control[BATCH][256];

	for (;;) {
		int n;

		for (int i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){buf[i], sizeof(buf[i])};
			msg[i].msg_hdr = (struct msghdr){
			    .msg_name = &name[i],
			    .msg_namelen = sizeof(name[i]),
			    .msg_iov = &iov[i],
			    .msg_iovlen = 1,
			    .msg_control = control[i],
			    .msg_controllen = sizeof(control[i])};
		}
		n = recvmmsg(fd, msg, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++) {
			iov[i].iov_len = msg[i].msg_len;
			msg[i].msg_hdr.msg_control = NULL;
			msg[i].msg_hdr.msg_controllen = 0;
		}
		if (n > 0)
			(void)sendmmsg(fd, msg, (unsigned)n, 0);
	}
}

static void
start_echo(struct target *t)
{
	static const int options[] = {IP_RECVTTL, IP_RECVTOS, IP_PKTINFO};
	const int on = 1;
	int fd;

	t->addr = loopback(free_port());
	t->pid = fork();
	if (t->pid < 0)
		fail("fork");
	if (t->pid > 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(0);
	fd = udp_socket(&t->addr);
	for (unsigned i = 0; i < 3; i++) {
		if (setsockopt(fd, IPPROTO_IP, options[i], &on, sizeof(on)) !=
		    0)
			fail("setsockopt");
	}
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) != 0)
		fail("setsockopt");
	echo_loop(fd);
}

/* --- the real thing ----------------------------------------------------- */

static void
start_reflector(struct target *t, const char *listen)
{
	const char *dir = getenv("BUILD_DIR");
	char program[512], port[8], conf[] = "/tmp/twmesh-bench.XXXXXX";
	/* the limit is looked up for each packet, but not reached */
	static const char text[] = "rate_limit_pps = 10000000\nsocket = \"\"\n";
	const int fd = mkstemp(conf);
	int status;

	if (fd < 0 || write(fd, text, sizeof(text) - 1) < 0)
		fail("configuration");
	(void)close(fd);
	t->addr = loopback(free_port());
	(void)snprintf(program, sizeof(program), "%s/twmesh-reflector",
	               dir ? dir : "build/gcc");
	(void)snprintf(port, sizeof(port), "%u", addr_port(&t->addr));
	t->pid = fork();
	if (t->pid < 0)
		fail("fork");
	if (t->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(0);
		(void)execl(program, program, "-c", conf, "--port", port,
		            "--address", listen, "--log-level", "error",
		            (char *)NULL);
		fail(program);
	}
	(void)usleep(300000);
	(void)unlink(conf); /* read by now */
	if (waitpid(t->pid, &status, WNOHANG) != 0) {
		(void)fprintf(stderr, "bench_reflector: %s ended at once\n",
		              program);
		exit(2);
	}
}

/* --- the load ----------------------------------------------------------- */

static void
load_init(struct load *l, size_t size, unsigned want)
{
	const struct test_request r = {.t1 = UINT64_C(0xee5bba021f9add37),
	                               .error_estimate = 0x8d96,
	                               .ssid = 1};
	const int segment = (int)size;
	const struct addr any = loopback(0);

	l->size = size;
	l->seq = 0;
	l->packets = malloc(size * BATCH);
	if (!l->packets)
		fail("memory");
	for (size_t i = 0; i < BATCH; i++) {
		if (!test_request_encode(&r, want, l->packets + i * size, size))
			fail("packet size");
	}
	for (unsigned i = 0; i < FLOWS; i++) {
		l->fd[i] = udp_socket(&any);
		if (setsockopt(l->fd[i], IPPROTO_UDP, UDP_SEGMENT, &segment,
		               sizeof(segment)) != 0)
			fail("UDP_SEGMENT");
	}
}

static void
load_release(struct load *l)
{
	for (unsigned i = 0; i < FLOWS; i++)
		(void)close(l->fd[i]);
	free(l->packets);
}

static void
send_batch(struct load *l, const struct addr *to, unsigned flow)
{
	for (size_t i = 0; i < BATCH; i++, l->seq++) {
		uint8_t *p = l->packets + i * l->size;

		p[0] = (uint8_t)(l->seq >> 24);
		p[1] = (uint8_t)(l->seq >> 16);
		p[2] = (uint8_t)(l->seq >> 8);
		p[3] = (uint8_t)l->seq;
	}
	if (sendto(l->fd[flow], l->packets, l->size * BATCH, 0, &to->u.sa,
	           to->len) < 0)
		fail("sendto");
}

/* Replies waiting on one flow, of the right size. */
static unsigned
take_replies(const struct load *l, unsigned flow)
{
	static uint8_t byte[BATCH];
	static struct iovec iov[BATCH];
	static struct mmsghdr msg[BATCH];
	unsigned good = 0;
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){&byte[i], 1};
		msg[i].msg_hdr =
		    (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	n = recvmmsg(l->fd[flow], msg, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
	for (int i = 0; i < n; i++)
		good += msg[i].msg_len == l->size;
	return good;
}

/* Loads the target for a while: replies seen, and its CPU time. */
static uint64_t
run(struct load *l, const struct target *t, double seconds, double *took_s,
    double *used_s)
{
	const double start = now_s(), cpu = cpu_s(t->pid);
	double heard = start, now = start, end;
	uint64_t replies = 0;
	int64_t outstanding = 0;
	unsigned out = 0, in = 0;

	while (now - start < seconds) {
		unsigned got = 0;

		for (; outstanding + BATCH <= WINDOW; outstanding += BATCH)
			send_batch(l, &t->addr, out++ % FLOWS);
		for (unsigned i = 0; i < FLOWS && got == 0; i++)
			got = take_replies(l, in++ % FLOWS);
		replies += got;
		outstanding -= got;
		if (got)
			heard = now;
		else if (now - heard > 0.05) /* lost: start afresh */
			outstanding = 0;
		now = now_s();
	}
	*took_s = now - start;
	*used_s = cpu_s(t->pid) - cpu;
	end = now + 0.02;
	while (now_s() < end) { /* the rest, uncounted */
		for (unsigned i = 0; i < FLOWS; i++)
			(void)take_replies(l, i);
	}
	return replies;
}

static int
by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(const double *v, int n)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, v, (size_t)n * sizeof(*v));
	qsort(sorted, (size_t)n, sizeof(*v), by_value);
	return sorted[n / 2];
}

static double
measure(struct target *ours, struct target *echo, unsigned want, int rounds,
        double round_s)
{
	struct target *const t[2] = {ours, echo};
	struct load l;
	double ratio[ROUNDS_MAX];

	load_init(&l, want ? 128 : STAMP_BASE, want);
	for (int r = -1; r < rounds; r++) { /* -1: warm-up */
		for (int i = 0; i < 2; i++) {
			const int k = i ^ (r & 1); /* A B, B A, ... */
			double took, used;
			uint64_t n = 0;

			/* on a busy machine a server may have no turn at all */
			for (int try = 0; try < TRIES && n == 0; try++)
				n = run(&l, t[k], round_s, &took, &used);
			if (n == 0) {
				errno = ETIMEDOUT;
				fail(t[k]->name);
			}
			if (r < 0)
				continue;
			t[k]->rate[r] = (double)n / took;
			t[k]->cpu_us[r] = used * 1e6 / (double)n;
		}
		if (r >= 0)
			ratio[r] = ours->rate[r] / echo->rate[r];
	}
	load_release(&l);
	return median(ratio, rounds);
}

static void
report(const char *what, double ratio, const struct target *ours,
       const struct target *echo, int rounds)
{
	printf("%s: replies/s ratio %.2f (bar >= %.2f) twmesh %.0fk/s echo "
	       "%.0fk/s cpu/packet %.2f us vs %.2f us\n",
	       what, ratio, BAR, median(ours->rate, rounds) / 1e3,
	       median(echo->rate, rounds) / 1e3, median(ours->cpu_us, rounds),
	       median(echo->cpu_us, rounds));
}

int
main(int argc, char **argv)
{
	static struct target one = {.name = "twmesh-reflector"},
	                     any = {.name = "twmesh-reflector on 0.0.0.0"},
	                     echo = {.name = "echo"};
	const int asked = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 41;
	const long ms = argc > 2 ? strtol(argv[2], NULL, 10) : 80;
	const int rounds = asked < 1            ? 1
	                   : asked > ROUNDS_MAX ? ROUNDS_MAX
	                                        : asked;
	const double round_s = (double)(ms < 50 ? 50 : ms) * 1e-3;
	const pid_t *const pids[3] = {&one.pid, &any.pid, &echo.pid};
	double ratio;

	start_reflector(&one, "127.0.0.1");
	start_reflector(&any, "0.0.0.0");
	start_echo(&echo);
	pin(1);
	(void)usleep(100000);
	ratio = measure(&one, &echo, 0, rounds, round_s);
	report("reflector", ratio, &one, &echo, rounds);
	report("reflector, 128 octets with bitmap TLV",
	       measure(&one, &echo, TEST_WANT_BITMAP | TEST_WANT_TLVS, rounds,
	               round_s),
	       &one, &echo, rounds);
	report("reflector, 128 octets with bitmap, class and follow-up TLVs",
	       measure(&one, &echo,
	               TEST_WANT_BITMAP | TEST_WANT_COS | TEST_WANT_FOLLOW_UP |
	                   TEST_WANT_TLVS,
	               rounds, round_s),
	       &one, &echo, rounds);
	report("reflector, on 0.0.0.0 (a source address per reply)",
	       measure(&any, &echo, 0, rounds, round_s), &any, &echo, rounds);
	for (int k = 0; k < 3; k++) {
		(void)kill(*pids[k], k == 2 ? SIGKILL : SIGTERM);
		(void)waitpid(*pids[k], NULL, 0);
	}
	return ratio < BAR;
}
