/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/config.h"

#include "lib/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define HOST_MAX 253 /* octets of a DNS name */
#define PATH_MAX_CHARS 3900
#define SOCKET_MAX_CHARS \
	((int64_t)sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

static bool
check_name(const char *v, const char **expected)
{
	*expected = "a name: " NAME_RULE;
	return name_is_valid(v);
}

static bool
check_name_or_none(const char *v, const char **expected)
{
	return v[0] == '\0' || check_name(v, expected);
}

/* "host:8620", "192.0.2.1:8620", "[2001:db8::1]:8620" */
static bool
check_host_port(const char *v, const char **expected)
{
	const char *colon = strrchr(v, ':');
	const size_t host = colon ? (size_t)(colon - v) : 0;
	int64_t port;

	*expected = "HOST:PORT, as ctl.example.net:8620 or [2001:db8::1]:8620";
	if (host < 1 || host > HOST_MAX ||
	    !text_parse_i64(colon + 1, 1, UINT16_MAX, &port))
		return false;
	if (v[0] == '[') {
		struct addr a;

		return addr_parse(v, 0, &a);
	}
	for (size_t i = 0; i < host; i++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
		            "XYZ0123456789.-_",
		            v[i]))
			return false;
	}
	return true;
}

static bool
check_key(const char *v, const char **expected)
{
	uint8_t key[KEYS_BYTES];

	*expected = "the controller's public key (52 characters of base32, "
	            "from twmesh-controller --show-key)";
	return keys_parse(v, key);
}

static bool
check_own_address(const char *v, const char **expected)
{
	struct addr a;

	*expected = "a numeric unicast address, as 192.0.2.1 or 2001:db8::1";
	return addr_parse_ip(v, 0, &a) && !addr_is_any(&a) &&
	       !addr_is_multicast(&a);
}

static bool
check_source4(const char *v, const char **expected)
{
	struct addr a;

	*expected = "a numeric IPv4 address, or nothing";
	return v[0] == '\0' ||
	       (addr_parse_ip(v, 0, &a) && addr_family(&a) == AF_INET);
}

static bool
check_source6(const char *v, const char **expected)
{
	struct addr a;

	*expected = "a numeric IPv6 address, or nothing";
	return v[0] == '\0' ||
	       (addr_parse_ip(v, 0, &a) && addr_family(&a) == AF_INET6);
}

static const struct conf_key controller_table[] = {
    {.name = "address",
     .type = CONF_STRING,
     .check = check_host_port,
     .help = "where it listens for nodes: host:port; the port is "
             "8620 unless its configuration says otherwise"},
    {.name = "key",
     .type = CONF_STRING,
     .check = check_key,
     .help = "its public key, as twmesh-controller --show-key "
             "prints it"},
    {.type = CONF_END},
};

const struct conf_key meshd_config_table[] = {
    {.name = "name",
     .type = CONF_STRING,
     .check = check_name_or_none,
     .help = "this node's name in the mesh; empty: the host name's "
             "first label"},
    {.name = "site",
     .type = CONF_STRING,
     .check = check_name_or_none,
     .help = "the site it belongs to; empty: none"},
    {.name = "controller",
     .type = CONF_SECTION,
     .min = 1,
     .max = MESHD_CONTROLLERS_MAX,
     .sub = controller_table,
     .help = "a controller to join, by its address and key; results "
             "go to the first one that answers"},
    {.name = "state_dir",
     .type = CONF_STRING,
     .def = "/var/lib/twmesh",
     .min = 1,
     .max = PATH_MAX_CHARS,
     .help = "holds node.key (0600), node.pub, spool.db and "
             "roster.cache"},
    {.name = "join_token_file",
     .type = CONF_STRING,
     .max = PATH_MAX_CHARS,
     .help = "a join token (from twmesh node token create) in a file of mode "
             "0600, by which a node that has never been in the mesh lets "
             "itself in; empty: the operator approves the node"},
    {.name = "address",
     .type = CONF_LIST,
     .max = MSG_ADDRS_MAX,
     .check = check_own_address,
     .help = "addresses of the local reflector, as the others "
             "should probe it; empty: the one that the controller "
             "observes"},
    {.name = "reflector_port",
     .type = CONF_INT,
     .def = "862",
     .min = 1,
     .max = UINT16_MAX,
     .help = "UDP port of the local reflector"},
    {.name = "reflector_socket",
     .type = CONF_STRING,
     .def = "/run/twmesh/reflector.sock",
     .max = SOCKET_MAX_CHARS,
     .help = "local socket of the reflector, which learns there who "
             "has reserved slots; empty: none"},
    {.name = "source4",
     .type = CONF_STRING,
     .check = check_source4,
     .help = "IPv4 address to send probes from; empty: the kernel "
             "chooses"},
    {.name = "source6",
     .type = CONF_STRING,
     .check = check_source6,
     .help = "IPv6 address to send probes from; empty: the kernel "
             "chooses"},
    {.name = "source_port_base",
     .type = CONF_INT,
     .def = "18620",
     .min = 0,
     .max = UINT16_MAX,
     .help = "first UDP source port; one per class and flow upward, "
             "stable so that ECMP hashing survives a restart. 0: "
             "any free ones"},
    {.name = "min_gap",
     .type = CONF_DURATION,
     .def = "50us",
     .min = 0,
     .max = 10 * NS_PER_MS,
     .help = "shortest time between any two probes of this node"},
    {.name = "precise",
     .type = CONF_BOOL,
     .def = "false",
     .help = "sleep until shortly before a probe is due, then spin: "
             "some 15 % more CPU, sends on time to a microsecond"},
    {.name = "fifo",
     .type = CONF_BOOL,
     .def = "false",
     .help = "ask for SCHED_FIFO for the sending thread"},
    {.name = "spool_max_mb",
     .type = CONF_INT,
     .def = "512",
     .min = 16,
     .max = 1000000,
     .unit = "MB",
     .reloadable = true,
     .help = "disk for results that wait for a controller, and for "
             "those kept after it has them"},
    {.name = "spool_max_age",
     .type = CONF_DURATION,
     .def = "3d",
     .min = 60 * NS_PER_S,
     .max = 365 * 86400 * NS_PER_S,
     .reloadable = true,
     .help = "results older than this are given up (and reported as "
             "a gap if no controller ever had them)"},
    {.name = "socket",
     .type = CONF_STRING,
     .def = "/run/twmesh/meshd.sock",
     .max = SOCKET_MAX_CHARS,
     .help = "local socket that tells the status; empty: none"},
    {.name = "clock_error_floor",
     .type = CONF_DURATION,
     .def = "100us",
     .min = 0,
     .max = NS_PER_S,
     .help = "the clock is never believed to be better than this"},
    {.type = CONF_END},
};

static bool
read_name(const struct conf *c, struct meshd_config *out, char *err,
          size_t err_size)
{
	const char *name = conf_str(c, "name");
	char host[256] = "";

	if (name[0] != '\0') {
		(void)snprintf(out->name, sizeof(out->name), "%s", name);
		return true;
	}
	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	host[strcspn(host, ".")] = '\0';
	for (char *p = host; *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	}
	if (!name_is_valid(host)) {
		text_make_printable(host);
		(void)snprintf(err, err_size,
		               "name: expected one (%s), since the host name "
		               "'%.64s' cannot serve",
		               NAME_RULE, host);
		return false;
	}
	(void)snprintf(out->name, sizeof(out->name), "%.63s", host);
	return true;
}

static bool
read_controllers(const struct conf *c, struct meshd_config *out, char *err,
                 size_t err_size)
{
	out->controller_n = conf_section_n(c, "controller");
	for (size_t i = 0; i < out->controller_n; i++) {
		const struct conf *s = conf_section(c, "controller", i);
		struct meshd_controller *m = &out->controller[i];
		const char *missing = NULL;

		m->title = conf_title(s);
		m->address = conf_str(s, "address");
		if (m->address[0] == '\0')
			missing = "address: expected host:port";
		else if (!keys_parse(conf_str(s, "key"), m->key))
			missing = "key: expected the controller's public key";
		if (missing) {
			(void)snprintf(err, err_size,
			               "controller \"%.64s\": %s, found "
			               "nothing",
			               m->title, missing);
			return false;
		}
	}
	return true;
}

static void
read_addresses(const struct conf *c, struct meshd_config *out)
{
	struct prober_opts *p = &out->prober;

	out->address_n = conf_list_n(c, "address");
	for (size_t i = 0; i < out->address_n; i++)
		(void)addr_parse_ip(conf_list(c, "address", i),
		                    out->reflector_port, &out->address[i]);
	if (conf_str(c, "source4")[0] != '\0')
		(void)addr_parse_ip(conf_str(c, "source4"), 0, &p->source4);
	if (conf_str(c, "source6")[0] != '\0')
		(void)addr_parse_ip(conf_str(c, "source6"), 0, &p->source6);
}

bool
meshd_config_read(const struct conf *c, struct meshd_config *out, char *err,
                  size_t err_size)
{
	memset(out, 0, sizeof(*out));
	if (!read_name(c, out, err, err_size) ||
	    !read_controllers(c, out, err, err_size))
		return false;
	out->site = conf_str(c, "site");
	out->state_dir = conf_str(c, "state_dir");
	out->join_token_file = conf_str(c, "join_token_file");
	out->reflector_port = (uint16_t)conf_int(c, "reflector_port");
	out->reflector_socket = conf_str(c, "reflector_socket");
	out->socket = conf_str(c, "socket");
	read_addresses(c, out);
	out->prober.source_port_base =
	    (uint16_t)conf_int(c, "source_port_base");
	out->prober.min_gap_ns = conf_int(c, "min_gap");
	out->prober.precise = conf_bool(c, "precise");
	out->prober.fifo = conf_bool(c, "fifo");
	out->prober.clock_error_floor_ns = conf_int(c, "clock_error_floor");
	out->spool_max_bytes = (uint64_t)conf_int(c, "spool_max_mb") << 20;
	out->spool_max_age_ns = conf_int(c, "spool_max_age");
	return true;
}
