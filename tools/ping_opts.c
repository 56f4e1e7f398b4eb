/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/ping.h"

#include "lib/base/text.h"
#include "lib/twamp/testpkt.h"

#include <getopt.h>
#include <netdb.h>
#include <string.h>

#define COUNT_MAX 100000000
#define SIZE_MAX_OCTETS 8972 /* UDP payload of a jumbo frame */
#define SIZE_DEFAULT 128     /* base and TLVs fit */
#define INTERVAL_MIN_NS NS_PER_MS
#define INTERVAL_MAX_NS (3600 * NS_PER_S)
#define TIMEOUT_MAX_NS (60 * NS_PER_S)

enum { OPT_DSCP = 256, OPT_LOSS_TIMEOUT, OPT_LIGHT, OPT_SOURCE, OPT_JSON };

const struct tool_opt ping_opt_table[] = {
    {'c', "count", "N", "stop after N packets (default: Ctrl-C)"},
    {'i', "interval", "T",
     "time between packets: 100ms (default), poisson:100ms"},
    {'s', "size", "OCTETS", "UDP payload (default 128)"},
    {OPT_DSCP, "dscp", "N", "DSCP of the packets, 0 to 63 (default 0)"},
    {'4', "ipv4", NULL, "IPv4 only"},
    {'6', "ipv6", NULL, "IPv6 only"},
    {OPT_LOSS_TIMEOUT, "loss-timeout", "T",
     "a packet unanswered so long is lost (default 2s)"},
    {OPT_LIGHT, "light", NULL, "TWAMP Light: plain padding, no SSID, no TLVs"},
    {OPT_SOURCE, "source", "IP", "send from this address"},
    {'q', "quiet", NULL, "the summary only"},
    {OPT_JSON, "json", NULL, "the summary as one JSON document"},
    {0, NULL, NULL, NULL},
};

const char ping_notes[] =
    "HOST is a name, an IPv4 or an IPv6 address ([V6]:PORT); PORT is 862 "
    "unless given.\nUntil the first answer it sends at most one packet a "
    "second.\nA reply is never longer than its request, so twmesh reflectors "
    "do not answer\nrequests shorter than 44 octets.\n"
    "exit status: 0 something answered, 1 nothing did, 2 usage or unknown "
    "host";

static bool
parse_interval(const char *text, struct ping_opts *o)
{
	static const char poisson[] = "poisson:", periodic[] = "periodic:";

	o->poisson = strncmp(text, poisson, sizeof(poisson) - 1) == 0;
	if (o->poisson)
		text += sizeof(poisson) - 1;
	else if (strncmp(text, periodic, sizeof(periodic) - 1) == 0)
		text += sizeof(periodic) - 1;
	return text_parse_duration(text, NS_PER_S, INTERVAL_MIN_NS,
	                           INTERVAL_MAX_NS, &o->interval_ns);
}

static int
bad(const struct tool_cmd *cmd, const char *opt, const char *expected)
{
	return tool_error(cmd, "%s: expected %s, found '%s'", opt, expected,
	                  optarg);
}

/* One option with its value; TOOL_GOOD or TOOL_USAGE. */
static int
take(const struct tool_cmd *cmd, int c, struct ping_opts *o)
{
	int64_t v = 0;
	int family;

	switch (c) {
	case 'c':
		if (!text_parse_i64(optarg, 1, COUNT_MAX, &o->count))
			return bad(cmd, "--count",
			           "an integer from 1 to 100000000");
		break;
	case 'i':
		if (!parse_interval(optarg, o))
			return bad(cmd, "--interval",
			           "1ms to 1h, as 10ms or poisson:10ms");
		break;
	case 's':
		if (!text_parse_i64(optarg, TWAMP_SENDER_BASE, SIZE_MAX_OCTETS,
		                    &v))
			return bad(cmd, "--size", "an integer from 14 to 8972");
		o->size = (size_t)v;
		break;
	case OPT_DSCP:
		if (!text_parse_i64(optarg, 0, 63, &v))
			return bad(cmd, "--dscp", "an integer from 0 to 63");
		o->dscp = (int)v;
		break;
	case OPT_LOSS_TIMEOUT:
		if (!text_parse_duration(optarg, NS_PER_S, NS_PER_MS,
		                         TIMEOUT_MAX_NS, &o->loss_timeout_ns))
			return bad(cmd, "--loss-timeout", "1ms to 1m, as 2s");
		break;
	case OPT_SOURCE:
		if (!addr_parse_ip(optarg, 0, &o->source))
			return bad(cmd, "--source", "an IP address");
		break;
	case '4':
	case '6':
		family = c == '4' ? AF_INET : AF_INET6;
		if (o->family != AF_UNSPEC && o->family != family)
			return tool_error(cmd, "expected -4 or -6, found both");
		o->family = family;
		break;
	case 'q':
		o->quiet = true;
		break;
	case OPT_LIGHT:
		o->light = true;
		break;
	case OPT_JSON:
		o->json = true;
		break;
	default:
		return TOOL_USAGE;
	}
	return TOOL_GOOD;
}

static int
resolve(const struct tool_cmd *cmd, struct ping_opts *o)
{
	int rc;

	if (o->source.len && o->family != AF_UNSPEC &&
	    o->family != addr_family(&o->source))
		return tool_error(cmd,
		                  "--source: expected an IPv%c address "
		                  "beside -%c",
		                  o->family == AF_INET ? '4' : '6',
		                  o->family == AF_INET ? '4' : '6');
	if (o->source.len)
		o->family = addr_family(&o->source);
	rc = addr_resolve(o->target, TWAMP_PORT, o->family, &o->dst);
	if (rc == -1)
		return tool_error(cmd,
		                  "expected HOST, HOST:PORT or [V6]:PORT with "
		                  "a port from 1 to 65535, found '%s'",
		                  o->target);
	if (rc != 0)
		return tool_error(cmd, "%s: expected a known host, found: %s",
		                  o->target, gai_strerror(rc));
	if (addr_is_multicast(&o->dst) || addr_is_any(&o->dst))
		return tool_error(cmd,
		                  "%s: expected the address of one host, found "
		                  "a multicast or unspecified one",
		                  o->target);
	return TOOL_GOOD;
}

int
ping_opts_parse(const struct tool_cmd *cmd, int argc, char **argv,
                struct ping_opts *o, bool *done)
{
	int c, rc;

	*done = false;
	*o = (struct ping_opts){.interval_ns = 100 * NS_PER_MS,
	                        .loss_timeout_ns = 2 * NS_PER_S,
	                        .size = SIZE_DEFAULT,
	                        .family = AF_UNSPEC};
	while ((c = tool_next(cmd, argc, argv)) >= 0) {
		rc = take(cmd, c, o);
		if (rc != TOOL_GOOD)
			return rc;
	}
	if (c == TOOL_FAIL)
		return TOOL_USAGE;
	*done = c == TOOL_DONE;
	if (*done)
		return TOOL_GOOD;
	if (!tool_has_args(cmd, argc, argv, 1, "HOST[:PORT]"))
		return TOOL_USAGE;
	if (o->size < STAMP_BASE && !o->light)
		return tool_error(cmd,
		                  "--size: expected at least 44 (14 with "
		                  "--light), found '%zu'",
		                  o->size);
	o->target = argv[optind];
	return resolve(cmd, o);
}
