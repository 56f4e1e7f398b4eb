/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What measuring costs: twmesh-meshd with 200 peers, 10 packets/s each, that
 * runs from a cached roster (no controller answers; results go to its spool),
 * against a real twmesh-reflector on 127.0.2.1 .. 127.0.2.200. Its CPU share of
 * a core, all threads, and its resident memory; beside it a bare loop that
 * sends and receives as many packets to the same reflector with the same system
 * calls (a sleep and a send per packet, asking for its transmit stamp; replies
 * and stamps taken every 5 ms) and keeps no books. In turns: bare, meshd, bare,
 * meshd, ..., bare; the ratio, of CPU per packet, is the median over the
 * rounds.
 *
 * Bars: < 20 MB, and CPU per packet at most BAR_RATIO of the bare loop's. A
 * share of a core is no bar but told: sends keep a minimum gap, so each takes a
 * sleep of its own, 2,000 a second, and those alone cost 2 to 6 % of a core of
 * a virtual machine (docs/BENCH.md).
 *
 * usage: bench_prober [SECONDS [ROUNDS [PEERS]]]; BUILD_DIR says where the
 * programs are (default build/gcc). Exit 1 past a bar.
 */
#include "lib/bus/keys.h"
#include "lib/net/txstamp.h"
#include "lib/svc/localsock.h"
#include "lib/twamp/testpkt.h"
#include "meshd/roster_cache.h"
#include "tests/bench/meshbench.h"

#include <poll.h>

#define PEERS 250U /* at most */
#define ROUNDS_MAX 15
#define BAR_RATIO 1.50
#define BAR_RSS_MB 20.0
#define SETTLE_S 4        /* first answers, and all pages touched */
#define SELF (PEERS + 1U) /* our node id */

/* What a run cost. */
struct cost {
	double cpu_pct, rss_mb, pps;
	uint64_t sent, received;
};

/* Where meshd lives. */
static char dir[] = "/tmp/twmesh-bench-prober.XXXXXX";
static pid_t owner;
static uint16_t port; /* of the reflector */
static char reflector_conf[] = "/tmp/twmesh-bench-reflector.XXXXXX";

static const char *
path_of(const char *name)
{
	static char path[4][128];
	static unsigned next;
	char *p = path[next++ % 4];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

/* --- programs ----------------------------------------------------------- */

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		fail(path);
}

static pid_t
start(const char *name, const char *conf)
{
	const char *build = getenv("BUILD_DIR");
	char program[512];
	pid_t pid;

	(void)snprintf(program, sizeof(program), "%s/%s",
	               build ? build : "build/gcc", name);
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		(void)execl(program, program, "-c", conf, "--log-level",
		            "error", (char *)NULL);
		fail(program);
	}
	return pid;
}

static void
stop(pid_t pid)
{
	int status;

	(void)kill(pid, SIGTERM);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail("a program did not stop well");
}

static void
save_roster(unsigned peers)
{
	struct roster_class c = {
	    .class_id = 1,
	    .name = "bench",
	    .version = 1,
	    .size_octets = SIZE,
	    .gap_ns = NS_PER_S / RATE,
	    .flows = 1,
	    .interval_ns = 10 * NS_PER_S,
	    .loss_timeout_ns = 2 * NS_PER_S,
	};
	struct roster_node node[PEERS + 1] = {{.node_id = 0}};
	const struct roster r = {.epoch = 1,
	                         .node = node,
	                         .node_n = peers + 1,
	                         .class_ = &c,
	                         .class_n = 1};

	for (unsigned i = 0; i <= peers; i++) {
		struct roster_node *n = &node[i];

		n->node_id = i == peers ? SELF : i + 1;
		(void)snprintf(n->name, sizeof(n->name), "n%u", n->node_id);
		n->address[0] = peer_addr(i, port);
		n->address_n = 1;
		n->reflector_port = port;
	}
	errno = -roster_cache_save(path_of("roster.cache"), SELF, &r);
	if (errno != 0)
		fail("roster.cache");
}

/* The controller's port is one where nobody listens. */
static void
write_meshd_conf(void)
{
	struct keys k;
	char key[KEYS_TEXT_SIZE], text[512];

	if (!keys_generate(&k))
		fail("keys");
	keys_text(k.public_key, key);
	(void)snprintf(text, sizeof(text),
	               "name = \"n%u\"\nstate_dir = \"%s\"\nsocket = \"%s\"\n"
	               "reflector_port = %u\nreflector_socket = \"\"\n"
	               "source_port_base = 0\ncontroller \"c1\" {\n"
	               "\taddress = \"127.0.0.1:9\"\n\tkey = \"%s\"\n}\n",
	               SELF, dir, path_of("m.sock"), port, key);
	write_file(path_of("meshd.conf"), text);
}

/* At exit, of this process only. */
static void
clean_up(void)
{
	static const char *const names[] = {
	    "meshd.conf",   "roster.cache", "node.key",
	    "node.pub",     "spool.db",     "spool.db-wal",
	    "spool.db-shm", "m.sock",       "spool.db-journal"};

	if (getpid() != owner)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(path_of(names[i]));
	(void)unlink(reflector_conf);
	if (rmdir(dir) != 0)
		perror(dir);
}

/* --- costs -------------------------------------------------------------- */

static double
cpu_of(pid_t pid)
{
	struct timespec ts;
	clockid_t id;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &ts) != 0)
		fail("CPU time");
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double
rss_of(pid_t pid)
{
	char path[64], line[128], *second = NULL;
	unsigned long resident;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f) ||
	    !(second = strchr(line, ' ')))
		fail(path);
	resident = strtoul(second, NULL, 10);
	(void)fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* --- meshd -------------------------------------------------------------- */

/* A line "NAME NUMBER" of its status. */
static uint64_t
status_number(const char *status, const char *name)
{
	const size_t len = strlen(name);

	for (const char *p = status; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, name, len) == 0 && p[len] == ' ')
			return strtoull(p + len + 1, NULL, 10);
	}
	errno = ENODATA;
	fail(name);
}

static void
ask_meshd(uint64_t *sent, uint64_t *received)
{
	char *status = localsock_ask(path_of("m.sock"), "status", 2000);

	if (!status)
		fail("meshd's socket");
	*sent = status_number(status, "packets_sent");
	*received = status_number(status, "packets_received");
	free(status);
}

static struct cost
run_meshd(unsigned seconds)
{
	const pid_t pid = start("twmesh-meshd", path_of("meshd.conf"));
	uint64_t sent, received;
	struct cost c;
	struct mono from;
	double cpu, took;

	sleep_ms(SETTLE_S * 1000L);
	ask_meshd(&sent, &received);
	cpu = cpu_of(pid);
	from = clock_mono();
	sleep_ms(seconds * 1000L);
	cpu = cpu_of(pid) - cpu;
	took = (double)mono_diff_ns(clock_mono(), from) / 1e9;
	ask_meshd(&c.sent, &c.received);
	c.rss_mb = rss_of(pid);
	stop(pid);
	c.sent -= sent;
	c.received -= received;
	c.pps = (double)c.sent / took;
	c.cpu_pct = 100.0 * cpu / took;
	return c;
}

/* --- the bare loop ------------------------------------------------------ */

static uint64_t
bare_drain(int fd, struct udp_rx *rx, struct txstamp *tx)
{
	struct tx_event e[256];
	uint64_t got = 0;
	uint32_t drops = 0;
	int n;

	do {
		n = udp_rx_batch(fd, rx, &drops);
		got += n > 0 ? (uint64_t)n : 0;
	} while (n == UDP_BATCH);
	while (tx && txstamp_drain(tx, e, 256) == 256)
		;
	return got;
}

static bool
bare_send(int fd, struct txstamp *tx, struct udp_send *s, uint32_t seq)
{
	const struct mono now = clock_mono();
	const bool asked = tx && txstamp_ask(tx, s, now);
	const bool ok = udp_send_one(fd, s) == 0;

	if (asked && ok)
		txstamp_sent(tx, s, now, seq, seq);
	else if (asked)
		txstamp_failed(tx, s);
	return ok;
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
bare_loop(unsigned peers, unsigned seconds)
{
	const struct udp_opts o = {.ttl = 255};
	const int64_t gap = NS_PER_S / RATE / (int64_t)peers;
	const struct test_request q = {.seq = 1, .error_estimate = 1};
	struct udp_rx *rx = udp_rx_new(TEST_BUF_MAX);
	struct udp_send s[PEERS];
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
	    !test_request_encode(&q, TEST_WANT_BITMAP | TEST_WANT_TLVS, packet,
	                         sizeof(packet)))
		fail("bare loop");
	for (unsigned i = 0; i < peers; i++)
		s[i] = (struct udp_send){.dst = peer_addr(i, port),
		                         .tos = -1,
		                         .data = packet,
		                         .len = sizeof(packet)};
	tx = txstamp_new(fd, TXSTAMP_HARDWARE, 512, &err); /* or none */
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	due = drained = clock_mono();
	end = mono_add_ns(due, (int64_t)seconds * NS_PER_S);
	cpu = cpu_s();
	for (unsigned i = 0; mono_diff_ns(end, due) > 0; i++) {
		bare_sleep_until(due);
		c.sent += bare_send(fd, tx, &s[i % peers], i);
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

/* In a process of its own. */
static struct cost
run_bare(unsigned peers, unsigned seconds)
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
		c = bare_loop(peers, seconds);
		_exit(write(fd[1], &c, sizeof(c)) == sizeof(c) ? 0 : 2);
	}
	(void)close(fd[1]);
	if (read(fd[0], &c, sizeof(c)) != sizeof(c) ||
	    waitpid(pid, &status, 0) != pid || status != 0)
		fail("child");
	(void)close(fd[0]);
	return c;
}

/* --- both --------------------------------------------------------------- */

static double
per_packet_us(const struct cost *c)
{
	return c->cpu_pct * 1e4 / c->pps;
}

static void
print(const char *name, const struct cost *c)
{
	printf("  %-5s %6.0f packets/s  %5.2f %% of a core  %5.1f us/packet  "
	       "%5.1f MB resident  %llu of %llu answered\n",
	       name, c->pps, c->cpu_pct, per_packet_us(c), c->rss_mb,
	       (unsigned long long)c->received, (unsigned long long)c->sent);
}

static int
by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static bool
bench(unsigned peers, unsigned seconds, unsigned rounds)
{
	double ratio[ROUNDS_MAX], pct[ROUNDS_MAX], bare_pct[ROUNDS_MAX],
	    rss = 0, r;
	struct cost before = run_bare(peers, seconds);
	bool ok = true;

	print("bare", &before);
	for (unsigned i = 0; i < rounds; i++) {
		const struct cost meshd = run_meshd(seconds);
		const struct cost after = run_bare(peers, seconds);

		print("meshd", &meshd);
		print("bare", &after);
		ratio[i] = 2 * per_packet_us(&meshd) /
		           (per_packet_us(&before) + per_packet_us(&after));
		pct[i] = meshd.cpu_pct;
		bare_pct[i] = (before.cpu_pct + after.cpu_pct) / 2;
		rss = meshd.rss_mb > rss ? meshd.rss_mb : rss;
		ok &= meshd.received > meshd.sent / 2;
		before = after;
	}
	r = median(ratio, rounds);
	printf("meshd, %u peers x %d packets/s: CPU per packet ratio %.2f "
	       "(bar <= %.2f) meshd %.2f %% of a core, bare loop %.2f "
	       "%%\n",
	       peers, RATE, r, BAR_RATIO, median(pct, rounds),
	       median(bare_pct, rounds));
	printf("meshd, resident memory: %.1f MB (bar <= %.0f)\n", rss,
	       BAR_RSS_MB);
	if (!ok)
		printf("  most packets were not answered: nothing was "
		       "measured\n");
	return ok && r <= BAR_RATIO && rss < BAR_RSS_MB;
}

int
main(int argc, char **argv)
{
	const unsigned seconds = argc > 1 ? number(argv[1], 3600) : 6;
	const unsigned rounds = argc > 2 ? number(argv[2], ROUNDS_MAX) : 3;
	const unsigned peers = argc > 3 ? number(argv[3], PEERS) : 200;
	pid_t reflector;
	bool ok;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (!mkdtemp(dir))
		fail(dir);
	owner = getpid();
	(void)atexit(clean_up);
	port = free_port();
	save_roster(peers);
	write_meshd_conf();
	write_conf(reflector_conf);
	reflector = reflector_start(port, reflector_conf);
	sleep_ms(300);
	ok = bench(peers, seconds, rounds);
	stop(reflector);
	return ok ? 0 : 1;
}
