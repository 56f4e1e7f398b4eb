/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the benchmarks of the prober: a real twmesh-reflector for many loopback
 * addresses, a plan that points to them, costs of this process, and runs in
 * processes of their own. BUILD_DIR says where the programs are (default
 * build/gcc).
 */
#ifndef TWMESH_TESTS_BENCH_MESHBENCH_H
#define TWMESH_TESTS_BENCH_MESHBENCH_H

#include "lib/base/clock_read.h"
#include "lib/net/udp.h"
#include "meshd/prober.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEERS_MAX 1000
#define RATE 10 /* packets/s and peer */
#define SIZE 128

static inline _Noreturn void
fail(const char *what)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(2);
}

static inline struct addr
peer_addr(unsigned i, uint16_t port)
{
	struct addr a;
	char text[32];

	(void)snprintf(text, sizeof(text), "127.0.%u.%u", 2 + i / 250,
	               i % 250 + 1);
	if (!addr_parse_ip(text, port, &a))
		fail(text);
	return a;
}

/* --- the reflector ----------------------------------------------------------
 */

static inline uint16_t
free_port(void)
{
	const struct udp_opts o = {0};
	struct addr a;
	socklen_t len = sizeof(a.u);
	int fd;

	(void)addr_parse_ip("0.0.0.0", 0, &a);
	fd = udp_open(&a, &o, NULL);
	if (fd < 0 || getsockname(fd, &a.u.sa, &len) != 0)
		fail("no free port");
	(void)close(fd);
	return addr_port(&a);
}

/* All packets come from 127.0.0.1: no limit per source here. */
static inline void
write_conf(char *path)
{
	static const char text[] = "rate_limit_pps = 0\n";
	const int fd = mkstemp(path);

	if (fd < 0 || write(fd, text, sizeof(text) - 1) < 0)
		fail(path);
	(void)close(fd);
}

static inline pid_t
reflector_start(uint16_t port, const char *conf)
{
	const char *dir = getenv("BUILD_DIR");
	char program[512], number[16];
	pid_t pid;

	(void)snprintf(program, sizeof(program), "%s/twmesh-reflector",
	               dir ? dir : "build/gcc");
	(void)snprintf(number, sizeof(number), "%u", port);
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		(void)execl(program, program, "-c", conf, "--port", number,
		            "--address", "0.0.0.0", "--socket", "",
		            "--log-level", "error", (char *)NULL);
		fail(program);
	}
	return pid;
}

static inline void
sleep_ms(long ms)
{
	const struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&ts, NULL);
}

/* --- costs ------------------------------------------------------------------
 */

static inline double
cpu_s(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static inline double
rss_mb(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long resident;
	char line[128], *second;

	if (!f || !fgets(line, sizeof(line), f) ||
	    !(second = strchr(line, ' ')))
		fail("/proc/self/statm");
	resident = strtoul(second, NULL, 10);
	(void)fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static inline struct plan *
make_plan(unsigned peers, uint16_t port)
{
	struct plan *p = calloc(1, sizeof(*p));
	struct roster *r = &p->roster;

	p->self_id = UINT32_MAX;
	r->epoch = 1;
	r->class_ = calloc(1, sizeof(*r->class_));
	r->class_n = 1;
	r->class_[0] = (struct roster_class){
	    .class_id = 1,
	    .name = "bench",
	    .size_octets = SIZE,
	    .gap_ns = NS_PER_S / RATE,
	    .flows = 1,
	    .interval_ns = 10 * NS_PER_S,
	    .loss_timeout_ns = 2 * NS_PER_S,
	};
	r->node = calloc(peers, sizeof(*r->node));
	r->node_n = peers;
	for (unsigned i = 0; i < peers; i++) {
		r->node[i].node_id = i + 1;
		r->node[i].address[0] = peer_addr(i, port);
		r->node[i].address_n = 1;
		r->node[i].reflector_port = port;
	}
	return p;
}

static inline unsigned
number(const char *text, unsigned max)
{
	char *end;
	const unsigned long v = strtoul(text, &end, 10);

	if (*end || v == 0 || v > max) {
		(void)fprintf(stderr, "bench: %s: expected 1 to %u\n", text,
		              max);
		exit(2);
	}
	return (unsigned)v;
}

#endif
