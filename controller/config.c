/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/config.h"

#include "controller/bus.h"
#include "lib/base/text.h"
#include "lib/svc/classconf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#ifndef TWMESH_PREFIX
#define TWMESH_PREFIX "/usr"
#endif

#define MESH_PORT 8620
#define HTTP_PORT 8080
#define PATH_MAX_CHARS 4095
#define SOCKET_MAX_CHARS \
	((int64_t)sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

bool
config_parse_listen(const char *text, uint16_t default_port, struct addr *out)
{
	const size_t n = strlen(text);
	char ip[ADDR_TEXT_MAX];

	if (addr_parse(text, default_port, out))
		return true;
	/* Port 0, any free one, is no address to anybody but a listener. */
	if (n < 3 || n >= sizeof(ip) || strcmp(text + n - 2, ":0") != 0)
		return false;
	memcpy(ip, text, n - 2);
	ip[n - 2] = '\0';
	if (strchr(ip, ':') && ip[0] != '[')
		return false; /* "::0" is an address, not a port */
	return addr_parse_ip(ip, 0, out);
}

static bool
check_listen(const char *v, const char **expected)
{
	struct addr a;

	*expected =
	    "a numeric address and port, as 127.0.0.1:8620 or [::]:8620";
	return config_parse_listen(v, MESH_PORT, &a);
}

static bool
check_http(const char *v, const char **expected)
{
	struct addr a;

	*expected = "a loopback address and port, as 127.0.0.1:8080 or "
	            "[::1]:8080 (other addresses need a reverse proxy)";
	return config_parse_listen(v, HTTP_PORT, &a) && addr_is_loopback(&a);
}

static bool
check_name(const char *v, const char **expected)
{
	*expected = "a name: " NAME_RULE;
	return name_is_valid(v);
}

static const char *const trust_choices[] = {"never", "loopback", NULL};

const struct conf_key config_table[] = {
    {.name = "database",
     .type = CONF_STRING,
     .def = "dbname=twmesh",
     .min = 1,
     .help = "libpq connection string or URI; keep passwords in a "
             "passfile"},
    {.name = "listen",
     .type = CONF_STRING,
     .def = "127.0.0.1:8620",
     .check = check_listen,
     .help = "where nodes connect (ZeroMQ with CURVE); port 0: any "
             "free one"},
    {.name = "http",
     .type = CONF_STRING,
     .def = "127.0.0.1:8080",
     .check = check_http,
     .help = "where the page and the read-only API are served; "
             "loopback only; port 0: any free one"},
    {.name = "socket",
     .type = CONF_STRING,
     .def = "/run/twmesh/controller.sock",
     .max = SOCKET_MAX_CHARS,
     .help = "admin socket (mode 0660, HTTP inside); empty: none"},
    {.name = "state_dir",
     .type = CONF_STRING,
     .def = "/var/lib/twmesh",
     .min = 1,
     .max = PATH_MAX_CHARS,
     .help = "holds controller.key (0600) and controller.pub"},
    {.name = "trust_first_use",
     .type = CONF_CHOICE,
     .def = "never",
     .choices = trust_choices,
     .help = "admit unknown nodes by themselves: never, or those that "
             "connect from loopback to a controller that listens "
             "there"},
    {.name = "web_dir",
     .type = CONF_STRING,
     .def = TWMESH_PREFIX "/share/twmesh/web",
     .min = 1,
     .max = PATH_MAX_CHARS,
     .help = "the page's files"},
    {.name = "sql_dir",
     .type = CONF_STRING,
     .def = TWMESH_PREFIX "/share/twmesh/sql",
     .min = 1,
     .max = PATH_MAX_CHARS,
     .help = "the database's migrations"},
    {.name = "window",
     .type = CONF_INT,
     .def = "8",
     .min = 1,
     .max = BUS_WINDOW_MAX,
     .unit = "batches",
     .help = "unacknowledged batches a node may have under way"},
    {.name = "reference_nodes",
     .type = CONF_LIST,
     .def = NULL,
     .max = REFERENCES_MAX,
     .check = check_name,
     .help = "nodes whose clocks are known to be good (names): the clocks "
             "of all others are audited against theirs; the same on "
             "every controller of a database"},
    {.name = "keep_raw",
     .type = CONF_INT,
     .def = "7",
     .min = KEEP_RAW_MIN,
     .max = KEEP_MAX,
     .unit = "days",
     .help = "how long results are kept; a node may deliver those of three "
             "days at once"},
    {.name = "keep_5min",
     .type = CONF_INT,
     .def = "90",
     .min = KEEP_RAW_MIN,
     .max = KEEP_MAX,
     .unit = "days",
     .help = "how long their rollups of 5 minutes are kept; not less than "
             "keep_raw"},
    {.name = "keep_1h",
     .type = CONF_INT,
     .def = "1826",
     .min = KEEP_RAW_MIN,
     .max = KEEP_MAX,
     .unit = "days",
     .help = "how long their rollups of 1 hour are kept; not less than "
             "keep_5min"},
    {.name = "lease_time",
     .type = CONF_DURATION,
     .def = "20s",
     .min = NS_PER_S,
     .max = 600 * NS_PER_S,
     .check = classconf_check_ms,
     .help = "one controller of a database does its maintenance; so long "
             "after its last sign another takes over"},
    {.name = "class",
     .type = CONF_SECTION,
     .sub = classconf_keys,
     .max = MSG_CLASSES_MAX,
     .check = check_name,
     .help = "a kind of traffic that every pair of nodes measures; "
             "without any section there is one named default"},
    {.type = CONF_END},
};

struct roster_class
config_class(const struct classconf *c)
{
	struct roster_class out = {
	    .family = c->family,
	    .dscp = c->dscp,
	    .size_octets = c->size_octets,
	    .gap_ns = c->gap_ns,
	    .schedule = c->poisson ? SCHEDULE_POISSON : SCHEDULE_PERIODIC,
	    .flows = c->flows,
	    .interval_ns = c->interval_ns,
	    .loss_timeout_ns = c->loss_timeout_ns,
	    .ship_spread_ns = c->ship_spread_ns,
	    .detail = c->detail,
	    .codec = c->codec,
	    .jitter_buffer_ns = c->jitter_buffer_ns,
	};

	memcpy(out.name, c->name, sizeof(out.name));
	return out;
}

static void
read_class(const struct conf *s, const char *name, struct roster_class *out)
{
	struct classconf c;

	classconf_read(s, name, &c);
	*out = config_class(&c);
}

static bool
read_classes(const struct conf *c, struct config *out, char *err,
             size_t err_size)
{
	size_t n = conf_section_n(c, "class");

	if (n == 0) { /* the table's defaults are the default class */
		struct conf *none = conf_load(NULL, classconf_keys, stderr);

		if (!none) {
			(void)snprintf(err, err_size, "out of memory");
			return false;
		}
		read_class(none, "default", &out->class_[0]);
		conf_free(none);
		n = 1;
	} else {
		for (size_t i = 0; i < n && i < MSG_CLASSES_MAX; i++) {
			const struct conf *s = conf_section(c, "class", i);

			read_class(s, conf_title(s), &out->class_[i]);
		}
	}
	out->class_n = n < MSG_CLASSES_MAX ? n : MSG_CLASSES_MAX;
	for (size_t i = 0; i < out->class_n; i++) {
		if (i > 0 && out->class_[i].interval_ns == 0) {
			(void)snprintf(err, err_size,
			               "class \"%s\": interval: only the first "
			               "class may leave it at 0s (automatic)",
			               out->class_[i].name);
			return false;
		}
		if (out->class_[i].codec != VOICE_NONE &&
		    !out->class_[i].detail) {
			(void)snprintf(err, err_size,
			               "class \"%s\": codec: expected detail = "
			               "true with it, found false",
			               out->class_[i].name);
			return false;
		}
		for (size_t k = 0; k < i; k++) {
			if (strcmp(out->class_[i].name, out->class_[k].name) !=
			    0)
				continue;
			(void)snprintf(err, err_size,
			               "class \"%s\": expected each name once, "
			               "found it twice",
			               out->class_[i].name);
			return false;
		}
	}
	return true;
}

bool
config_read(const struct conf *c, struct config *out, char *err,
            size_t err_size)
{
	*out = (struct config){
	    .database = conf_str(c, "database"),
	    .socket = conf_str(c, "socket"),
	    .state_dir = conf_str(c, "state_dir"),
	    .web_dir = conf_str(c, "web_dir"),
	    .sql_dir = conf_str(c, "sql_dir"),
	    .first_use =
	        strcmp(conf_str(c, "trust_first_use"), "loopback") == 0,
	    .window = (unsigned)conf_int(c, "window"),
	    .keep = {(int)conf_int(c, "keep_raw"),
	             (int)conf_int(c, "keep_5min"),
	             (int)conf_int(c, "keep_1h")},
	    .lease_ns = conf_int(c, "lease_time"),
	};
	if (!config_parse_listen(conf_str(c, "listen"), MESH_PORT,
	                         &out->listen) ||
	    !config_parse_listen(conf_str(c, "http"), HTTP_PORT, &out->http)) {
		(void)snprintf(err, err_size, "listen, http: not addresses");
		return false;
	}
	if (out->first_use && !addr_is_loopback(&out->listen)) {
		(void)snprintf(
		    err, err_size,
		    "trust_first_use: expected a loopback address in "
		    "listen to go with it, found %s",
		    conf_str(c, "listen"));
		return false;
	}
	if (out->keep.five < out->keep.raw || out->keep.hour < out->keep.five) {
		(void)snprintf(err, err_size,
		               "keep_raw, keep_5min, keep_1h: expected no "
		               "rollup to be kept for less than what is finer, "
		               "found %d, %d, %d days",
		               out->keep.raw, out->keep.five, out->keep.hour);
		return false;
	}
	out->reference_n = conf_list_n(c, "reference_nodes");
	if (out->reference_n > REFERENCES_MAX)
		out->reference_n = REFERENCES_MAX; /* not reached: checked */
	for (size_t i = 0; i < out->reference_n; i++)
		out->reference[i] = conf_list(c, "reference_nodes", i);
	return read_classes(c, out, err, err_size);
}

bool
config_check(const struct conf *c, char *err, size_t err_size)
{
	static struct config scratch; /* at start only; large for a stack */

	return config_read(c, &scratch, err, err_size);
}
