/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh-reflector: answers TWAMP-Test and STAMP packets. See
 * twmesh-reflector(8); the configuration table is below.
 */
#include "lib/base/log.h"
#include "lib/svc/svc.h"
#include "reflector/server.h"

#include <stdlib.h>
#include <string.h>

#define PROGRAM "twmesh-reflector"
#define CONF_PATH "/etc/twmesh/reflector.conf"
#define SOCKET_PATH "/run/twmesh/reflector.sock"
#define ALLOW_MAX 1024

static bool
check_address(const char *value, const char **expected)
{
	struct addr a;

	*expected = "an IPv4 or IPv6 address (\"192.0.2.1\", \"::\")";
	return addr_parse_ip(value, 0, &a) && !addr_is_multicast(&a);
}

static bool
check_cidr(const char *value, const char **expected)
{
	struct cidr c;

	*expected = CIDR_RULE;
	return cidr_parse(value, &c);
}

static bool
check_socket(const char *value, const char **expected)
{
	*expected = "an absolute path of at most 107 octets, or nothing";
	return value[0] == '\0' || (value[0] == '/' && strlen(value) <= 107);
}

static const struct conf_key table[] = {
    {.name = "address",
     .type = CONF_LIST,
     .def = "{\"0.0.0.0\", \"::\"}",
     .min = 1,
     .max = SERVER_ADDRESSES_MAX,
     .check = check_address,
     .help = "addresses to listen on; with the wildcards replies still leave "
             "from the address that was asked"},
    {.name = "port",
     .type = CONF_INT,
     .def = "862",
     .min = 1,
     .max = 65535,
     .help = "UDP port; below 1024 needs CAP_NET_BIND_SERVICE"},
    {.name = "socket",
     .type = CONF_STRING,
     .def = SOCKET_PATH,
     .check = check_socket,
     .help = "local socket for meshd and the twmesh command; empty: none"},
    {.name = "stateful",
     .type = CONF_BOOL,
     .def = "true",
     .help = "count each session's packets, so that its sender can tell the "
             "direction of loss"},
    {.name = "session_max",
     .type = CONF_INT,
     .def = "20000",
     .min = 1,
     .max = 4000000,
     .unit = "sessions",
     .help = "sessions remembered, about 130 octets each; when it is full, "
             "strangers are answered without state"},
    {.name = "session_idle",
     .type = CONF_DURATION,
     .def = "900s",
     .min = NS_PER_S,
     .max = 86400 * NS_PER_S,
     .help = "a session silent for so long is forgotten"},
    {.name = "rate_limit_pps",
     .type = CONF_INT,
     .def = "1000",
     .min = 0,
     .max = 10000000,
     .unit = "packets/s",
     .help = "answered per source address; 0: no limit"},
    {.name = "allow",
     .type = CONF_LIST,
     .def = "{}",
     .max = ALLOW_MAX,
     .check = check_cidr,
     .help = "source addresses and ranges that are answered; empty: any"},
    {.name = "answer_short",
     .type = CONF_BOOL,
     .def = "false",
     .help = "also answer requests of 41 to 43 octets, at the same length"},
    {.name = "honour_dscp",
     .type = CONF_BOOL,
     .def = "true",
     .help = "answer with the DSCP that a Class of Service TLV asks for, so "
             "that a path that re-marks one way does not spoil the other; "
             "false: with the DSCP received, and say that it was refused"},
    {.name = "clock_error_floor",
     .type = CONF_DURATION,
     .def = "100us",
     .min = 0,
     .max = 10 * NS_PER_S,
     .help = "the Error Estimate never claims less"},
    {.name = NULL, .type = CONF_END},
};

static void
take_addresses(const struct conf *c, struct server_conf *out)
{
	const uint16_t port = (uint16_t)conf_int(c, "port");

	out->address_n = conf_list_n(c, "address");
	for (size_t i = 0; i < out->address_n; i++) {
		const char *text = conf_list(c, "address", i);

		if (!addr_parse_ip(text, port, &out->address[i]))
			die("address: expected an address, found '%s'", text);
	}
}

/* The allow-list as ranges; the caller frees it. NULL: empty. */
static struct cidr *
take_allow(const struct conf *c, size_t *n)
{
	struct cidr *allow;

	*n = conf_list_n(c, "allow");
	if (*n == 0)
		return NULL;
	allow = calloc(*n, sizeof(*allow));
	if (!allow)
		die("out of memory");
	for (size_t i = 0; i < *n; i++) {
		const char *text = conf_list(c, "allow", i);

		if (!cidr_parse(text, &allow[i]))
			die("allow: expected " CIDR_RULE ", found '%s'", text);
	}
	return allow;
}

int
main(int argc, char **argv)
{
	const struct svc_opt opts[] = {
	    {"address", "address", NULL, "A",
	     "listen on this address (repeatable)"},
	    {"port", "port", NULL, "N", "listen on this UDP port"},
	    {"socket", "socket", NULL, "PATH", "local socket; '': none"},
	    {"stateless", "stateful=false", NULL, NULL, "keep no sessions"},
	    {NULL, NULL, NULL, NULL, NULL}};
	struct conf *c =
	    svc_start(argc, argv, PROGRAM, table, opts, CONF_PATH, NULL);
	struct server_conf sc = {
	    .socket = conf_str(c, "socket"),
	    .socket_optional = strcmp(conf_str(c, "socket"), SOCKET_PATH) == 0,
	    .clock_floor_ns = conf_int(c, "clock_error_floor"),
	    .reflect = {.port = (uint16_t)conf_int(c, "port"),
	                .stateful = conf_bool(c, "stateful"),
	                .answer_short = conf_bool(c, "answer_short"),
	                .honour_dscp = conf_bool(c, "honour_dscp"),
	                .rate_limit_pps =
	                    (uint32_t)conf_int(c, "rate_limit_pps"),
	                .session_max = (size_t)conf_int(c, "session_max"),
	                .session_idle_ns = conf_int(c, "session_idle")}};
	struct cidr *allow = take_allow(c, &sc.reflect.allow_n);
	struct server *s;
	int rc;

	sc.reflect.allow = allow;
	take_addresses(c, &sc);
	svc_die_with_parent();
	s = server_new(&sc);
	if (s) {
		rc = server_run(s);
	} else {
		log_error("out of memory (session_max = %zu)",
		          sc.reflect.session_max);
		rc = 2;
	}
	server_free(s);
	free(allow);
	conf_free(c);
	return rc;
}
