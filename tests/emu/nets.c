/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A namespace is entered by setns(2) of the calling thread, and left again
 * before any function returns. Addresses and links are set by ip(8) in batch
 * mode, a child in the namespace concerned.
 */
#include "tests/emu/nets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH_OCTETS 16384

bool
nets_allowed(void)
{
	const pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(unshare(CLONE_NEWNET) == 0 ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int
open_current(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static bool
enter(int fd)
{
	return setns(fd, CLONE_NEWNET) == 0;
}

/* A new namespace; the thread is in it afterwards. -1 on failure. */
static int
make_one(void)
{
	return unshare(CLONE_NEWNET) == 0 ? open_current() : -1;
}

static bool
write_sysctl(const char *path, const char *value)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	(void)close(fd);
	return ok;
}

/* `ip -batch -` with `text`, in the thread's current namespace. */
static bool
ip_batch(const char *text, char *err, size_t size)
{
	int in[2], status = -1;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) != 0) {
		(void)snprintf(err, size, "pipe: %s", strerror(errno));
		return false;
	}
	pid = fork();
	if (pid == 0) {
		(void)dup2(in[0], 0);
		(void)execlp("ip", "ip", "-batch", "-", (char *)NULL);
		_exit(127);
	}
	(void)close(in[0]);
	if (pid > 0 && write(in[1], text, strlen(text)) < 0)
		(void)snprintf(err, size, "ip: %s", strerror(errno));
	(void)close(in[1]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
		return true;
	(void)snprintf(err, size, "ip -batch failed%s",
	               WIFEXITED(status) && WEXITSTATUS(status) == 127
	                   ? ": no ip(8), see iproute2"
	                   : " (its lines are above)");
	return false;
}

struct batch {
	char text[BATCH_OCTETS];
	size_t n;
};

static void add(struct batch *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void
add(struct batch *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(b->text + b->n, sizeof(b->text) - b->n, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(b->text) - b->n)
		b->n += (size_t)n;
}

/* Segmentation and checksums belong to a network card; here the frames must
 * be whole. `name` is in the current namespace. */
static bool
offloads_off(const char *name)
{
	static const uint32_t commands[] = {ETHTOOL_STXCSUM, ETHTOOL_STSO,
	                                    ETHTOOL_SGSO, ETHTOOL_SGRO};
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0;

	for (size_t i = 0; ok && i < sizeof(commands) / sizeof(*commands);
	     i++) {
		struct ethtool_value v = {.cmd = commands[i], .data = 0};
		struct ifreq req = {0};

		(void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
		req.ifr_data = (char *)&v;
		ok = ioctl(fd, SIOCETHTOOL, &req) == 0;
	}
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

/* The veths, from inside the core. */
static bool
make_links(struct nets *ns, char *err, size_t size)
{
	struct batch b = {.n = 0};
	char name[16];

	if (!enter(ns->core) ||
	    !write_sysctl("/proc/sys/net/ipv6/conf/default/disable_ipv6",
	                  "1")) {
		(void)snprintf(err, size, "namespace: %s", strerror(errno));
		return false;
	}
	for (unsigned i = 0; i < ns->n; i++)
		add(&b,
		    "link add e%u txqueuelen 10000 type veth peer name wan "
		    "address 02:77:00:00:00:%02x netns /proc/%d/fd/%d\n"
		    "link set e%u up\n",
		    i, i + 1, (int)getpid(), ns->site[i], i);
	if (!ip_batch(b.text, err, size))
		return false;
	for (unsigned i = 0; i < ns->n; i++) {
		(void)snprintf(name, sizeof(name), "e%u", i);
		ns->ifindex[i] = (int)if_nametoindex(name);
		if (ns->ifindex[i] == 0 || !offloads_off(name)) {
			(void)snprintf(err, size, "%s: %s", name,
			               strerror(errno));
			return false;
		}
	}
	return true;
}

static bool
make_site(const struct nets *ns, unsigned i, char *err, size_t size)
{
	struct batch b = {.n = 0};
	char v4[32], v6[32];

	if (!enter(ns->site[i]) || !offloads_off("wan") ||
	    !write_sysctl("/proc/sys/net/ipv4/ip_unprivileged_port_start",
	                  "0") ||
	    !write_sysctl("/proc/sys/net/ipv6/conf/wan/accept_ra", "0")) {
		(void)snprintf(err, size, "site %u: %s", i, strerror(errno));
		return false;
	}
	add(&b,
	    "link set lo up\nlink set wan addrgenmode none\n"
	    "link set wan txqueuelen 10000 up\naddr add %s/24 dev wan\n"
	    "addr add %s/64 dev wan nodad\n",
	    netconf_v4(i, v4), netconf_v6(i, v6));
	for (unsigned p = 0; p < ns->n; p++) {
		if (p == i)
			continue;
		add(&b,
		    "neigh add %s lladdr 02:77:00:00:00:%02x dev wan nud "
		    "permanent\n"
		    "neigh add %s lladdr 02:77:00:00:00:%02x dev wan nud "
		    "permanent\n",
		    netconf_v4(p, v4), p + 1, netconf_v6(p, v6), p + 1);
	}
	return ip_batch(b.text, err, size);
}

bool
nets_open(struct nets *ns, const struct netconf *net, char *err, size_t size)
{
	bool ok;

	*ns = (struct nets){.n = net->n, .core = -1};
	for (unsigned i = 0; i < NET_SITES; i++)
		ns->site[i] = -1;
	ns->host = open_current();
	if (ns->host < 0) {
		(void)snprintf(err, size, "/proc: %s", strerror(errno));
		return false;
	}
	ok = true;
	for (unsigned i = 0; ok && i < ns->n; i++)
		ok = (ns->site[i] = make_one()) >= 0;
	ok = ok && (ns->core = make_one()) >= 0;
	if (!ok)
		(void)snprintf(err, size, "network namespace: %s",
		               strerror(errno));
	ok = ok && make_links(ns, err, size);
	for (unsigned i = 0; ok && i < ns->n; i++)
		ok = make_site(ns, i, err, size);
	if (!enter(ns->host) && ok) {
		(void)snprintf(err, size, "setns: %s", strerror(errno));
		ok = false;
	}
	if (!ok)
		nets_close(ns);
	return ok;
}

void
nets_close(struct nets *ns)
{
	for (unsigned i = 0; i < ns->n; i++) {
		if (ns->site[i] >= 0)
			(void)close(ns->site[i]);
	}
	if (ns->core >= 0)
		(void)close(ns->core);
	(void)close(ns->host);
	ns->n = 0;
}

int
nets_socket(const struct nets *ns, int fd, int family, int type, int protocol)
{
	int s, err;

	if (!enter(fd))
		return -errno;
	s = socket(family, type, protocol);
	err = errno;
	if (!enter(ns->host)) {
		err = errno;
		if (s >= 0)
			(void)close(s);
		s = -1;
	}
	return s >= 0 ? s : -err;
}
