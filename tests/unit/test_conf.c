/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/addr.h"
#include "lib/base/clock.h"
#include "lib/base/text.h"
#include "lib/svc/conf.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const schedules[] = {"periodic", "poisson", NULL};

static bool
check_ip(const char *value, const char **expected)
{
	struct addr a;

	*expected = "an IP address";
	return addr_parse_ip(value, 0, &a);
}

static bool
check_name(const char *value, const char **expected)
{
	*expected = "a name (" NAME_RULE ")";
	return name_is_valid(value);
}

static const struct conf_key class_keys[] = {
    {.name = "size",
     .type = CONF_INT,
     .def = "128",
     .min = 80,
     .max = 1472,
     .unit = "octets",
     .help = "UDP payload"},
    {.name = "schedule",
     .type = CONF_CHOICE,
     .def = "periodic",
     .choices = schedules,
     .help = "gaps between packets"},
    {.name = "interval",
     .type = CONF_DURATION,
     .def = "10s",
     .min = 0,
     .max = 3600 * NS_PER_S,
     .help = "one result each"},
    {.name = "key", .type = CONF_STRING, .min = 1, .help = "must be there"},
    {.type = CONF_END},
};

static const struct conf_key table[] = {
    {.name = "address",
     .type = CONF_LIST,
     .def = "{\"0.0.0.0\", \"::\"}",
     .max = 3,
     .check = check_ip,
     .help = "listen addresses"},
    {.name = "port",
     .type = CONF_INT,
     .def = "862",
     .min = 0,
     .max = 65535,
     .help = "UDP port"},
    {.name = "name",
     .type = CONF_STRING,
     .def = "",
     .check = check_name,
     .help = "node name"},
    {.name = "socket",
     .type = CONF_STRING,
     .def = "/run/x.sock",
     .help = "path; 'empty' means none, and this help is long enough that the "
             "sample file has to wrap it somewhere"},
    {.name = "stateful", .type = CONF_BOOL, .def = "true", .help = "state"},
    {.name = "idle",
     .type = CONF_DURATION,
     .def = "900s",
     .min = NS_PER_S,
     .max = 86400 * NS_PER_S,
     .reloadable = true,
     .help = "idle timeout"},
    {.name = "class",
     .type = CONF_SECTION,
     .sub = class_keys,
     .max = 3,
     .check = check_name,
     .help = "a kind of traffic"},
    {.type = CONF_END},
};

static char err_text[8192];
static char file[] = "/tmp/test_conf.XXXXXX";

static void
setup(void)
{
	int fd;

	(void)snprintf(file, sizeof(file), "/tmp/test_conf.XXXXXX");
	fd = mkstemp(file);
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
}

static void
teardown(void)
{
	(void)unlink(file);
}

/* Loads `text` as a file; errors land in err_text, the file's name as FILE. */
static struct conf *
load_text(const char *text)
{
	char raw[sizeof(err_text)], *p;
	FILE *f = fopen(file, "w"), *err;
	struct conf *c;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	memset(raw, 0, sizeof(raw));
	err = fmemopen(raw, sizeof(raw) - 1, "w");
	ck_assert_ptr_nonnull(err);
	c = conf_load(file, table, err);
	ck_assert_int_eq(fclose(err), 0);
	err_text[0] = '\0';
	for (p = raw; *p;) {
		const size_t n = strlen(err_text);

		if (strncmp(p, file, strlen(file)) == 0) {
			(void)snprintf(err_text + n, sizeof(err_text) - n,
			               "FILE");
			p += strlen(file);
		} else {
			err_text[n] = *p++;
			err_text[n + 1] = '\0';
		}
	}
	return c;
}

#define REFUSED(text, message)                                       \
	do {                                                         \
		struct conf *refused = load_text(text);              \
		ck_assert_msg(refused == NULL, "accepted %s", text); \
		ck_assert_str_eq(err_text, message);                 \
	} while (0)

START_TEST(test_defaults)
{
	struct conf *c = conf_load(NULL, table, stderr);

	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(conf_list_n(c, "address"), 2);
	ck_assert_str_eq(conf_list(c, "address", 1), "::");
	ck_assert_int_eq(conf_int(c, "port"), 862);
	ck_assert_str_eq(conf_str(c, "name"), "");
	ck_assert_str_eq(conf_str(c, "socket"), "/run/x.sock");
	ck_assert(conf_bool(c, "stateful"));
	ck_assert_int_eq(conf_int(c, "idle"), 900 * NS_PER_S);
	ck_assert_uint_eq(conf_section_n(c, "class"), 0);
	conf_free(c);
}
END_TEST

START_TEST(test_file)
{
	struct conf *c = load_text("# a comment\n"
	                           "address = {\"127.0.1.1\", ::1}\n"
	                           "port=1862\n"
	                           "name = ams1\n"
	                           "socket = \"\"\n"
	                           "stateful = false\n"
	                           "idle = 2m\n"
	                           "class \"voice\" {\n"
	                           "  size = 200 key = k1\n"
	                           "  schedule = poisson\n"
	                           "}\n"
	                           "class bulk { key = \"k 2\" "
	                           "interval=250ms }\n");
	const struct conf *s;

	ck_assert_msg(c != NULL, "%s", err_text);
	ck_assert_uint_eq(conf_list_n(c, "address"), 2);
	ck_assert_str_eq(conf_list(c, "address", 0), "127.0.1.1");
	ck_assert_str_eq(conf_list(c, "address", 1), "::1");
	ck_assert_int_eq(conf_int(c, "port"), 1862);
	ck_assert_str_eq(conf_str(c, "name"), "ams1");
	ck_assert_str_eq(conf_str(c, "socket"), "");
	ck_assert(!conf_bool(c, "stateful"));
	ck_assert_int_eq(conf_int(c, "idle"), 120 * NS_PER_S);
	ck_assert_uint_eq(conf_section_n(c, "class"), 2);
	s = conf_section(c, "class", 0);
	ck_assert_str_eq(conf_title(s), "voice");
	ck_assert_int_eq(conf_int(s, "size"), 200);
	ck_assert_str_eq(conf_str(s, "schedule"), "poisson");
	ck_assert_int_eq(conf_int(s, "interval"), 10 * NS_PER_S);
	s = conf_section(c, "class", 1);
	ck_assert_str_eq(conf_title(s), "bulk");
	ck_assert_int_eq(conf_int(s, "size"), 128);
	ck_assert_str_eq(conf_str(s, "key"), "k 2");
	ck_assert_int_eq(conf_int(s, "interval"), 250 * NS_PER_MS);
	conf_free(c);
}
END_TEST

START_TEST(test_empty_list)
{
	struct conf *c = load_text("address = {}\n");

	ck_assert_msg(c != NULL, "%s", err_text);
	ck_assert_uint_eq(conf_list_n(c, "address"), 0);
	conf_free(c);
}
END_TEST

#define KNOWN "(address, port, name, socket, stateful, idle, class)"

START_TEST(test_every_error_is_told)
{
	REFUSED("port = 70000\n\nidle = 0s\nstateful = yes\n",
	        "FILE:1: port: expected an integer from 0 to 65535, found "
	        "'70000'\n"
	        "FILE:3: idle: expected a duration from 1s to 1d such as "
	        "250ms, 10s or 5m, found '0s'\n"
	        "FILE:4: stateful: expected true or false, found 'yes'\n");
	/* an unknown key, bad syntax and a bad value */
	REFUSED("prot = 862\nport 862\nidle = never\n",
	        "FILE:1: prot: expected a known key " KNOWN ", found 'prot'\n"
	        "FILE:2: port: expected '=', found '862'\n"
	        "FILE:3: idle: expected a duration from 1s to 1d such as "
	        "250ms, 10s or 5m, found 'never'\n");
	REFUSED("class \"a\" {\n\tkey = x\n\tcolour = red\n\tsize = 1\n}\n"
	        "class \"b\" {\n\tsize = 200\n}\n"
	        "name = \"x\nport =\nstateful = true\nidle = {1s, 2s}\n",
	        "FILE:3: colour: expected a known key (size, schedule, "
	        "interval, key), found 'colour'\n"
	        "FILE:4: size: expected an integer from 80 to 1472, found "
	        "'1'\n"
	        "FILE:8: key: expected in section class \"b\", found none\n"
	        "FILE:9: syntax: expected a quote at the end of the text, "
	        "found the end of the line\n"
	        "FILE:10: port: expected a value, found the end of the line\n"
	        "FILE:12: idle: expected one value, found a list\n");
}
END_TEST

/* What only follows from an error is not told. */
START_TEST(test_one_error_is_one_line)
{
	REFUSED("clas \"voice\" {\n\tsize = 200\n\tx = {1, 2}\n}\nport = 1\n",
	        "FILE:1: clas: expected a known key " KNOWN ", found 'clas'\n");
	REFUSED("hosts = { \"a\",\n\t\"b\" }\nport = 1\n",
	        "FILE:1: hosts: expected a known key " KNOWN
	        ", found 'hosts'\n");
	REFUSED("hosts\nport = 1\n",
	        "FILE:1: hosts: expected a known key " KNOWN
	        ", found 'hosts'\n");
	REFUSED("address = {\"::1\", \"::2\"\nport = 1\nidle = 5s\n",
	        "FILE:2: address: expected ',' or '}', found 'port'\n");
	REFUSED("address = {\nport = 1\n",
	        "FILE:2: address: expected a value or '}', found 'port'\n");
	REFUSED("port = 1 }\nidle = 5s\n",
	        "FILE:1: syntax: expected a key, found '}'\n");
	REFUSED("class voice\nport = 1\n",
	        "FILE:2: class: expected '{' behind the title, found 'port'\n");
	REFUSED("class = 5\nport = 1\n",
	        "FILE:1: class: expected a title and '{', found '='\n");
	REFUSED("port { a = 1 }\nidle = 5s\n",
	        "FILE:1: port: expected '=', found '{'\n");
	REFUSED("class \"a\" { key x }\n",
	        "FILE:1: key: expected '=', found 'x'\n");
}
END_TEST

/* Fifty lines are enough to see what kind of file it is. */
START_TEST(test_errors_are_bounded)
{
	static const char line[] = "port = x\n";
	char text[70 * sizeof(line)] = "";
	size_t lines = 0;

	for (size_t i = 0; i < 70; i++)
		(void)snprintf(text + i * (sizeof(line) - 1), sizeof(line),
		               "%s", line);
	ck_assert_ptr_null(load_text(text));
	for (const char *p = err_text; (p = strchr(p, '\n')); p++)
		lines++;
	ck_assert_uint_eq(lines, 51);
	ck_assert_ptr_nonnull(strstr(err_text, "\nFILE: 89 errors more\n"));
}
END_TEST

START_TEST(test_bad_values)
{
	REFUSED("port = 86 2\n",
	        "FILE:1: 2: expected a known key " KNOWN ", found '2'\n");
	REFUSED("port = x\n",
	        "FILE:1: port: expected an integer from 0 to 65535, found "
	        "'x'\n");
	REFUSED("\n\nprot = 862\n",
	        "FILE:3: prot: expected a known key " KNOWN ", found 'prot'\n");
	REFUSED("address = {\"127.0.0.1\",\n\"nowhere\"}\n",
	        "FILE:2: address: expected an IP address, found 'nowhere'\n");
	REFUSED("address = {\"::1\", \"::2\", \"::3\", \"::4\"}\n",
	        "FILE:1: address: expected a list of 0 to 3 strings, found 4 "
	        "entries\n");
	REFUSED("name = \"Ams\"\n",
	        "FILE:1: name: expected a name (" NAME_RULE "), found 'Ams'\n");
	REFUSED("port = 1\nport = 2\n",
	        "FILE:2: port: expected once, found a second time\n");
	REFUSED("address = {}\naddress = {}\n",
	        "FILE:2: address: expected once, found a second time\n");
	REFUSED("socket = \"a\tb\"\n",
	        "FILE:1: socket: expected text without control characters, "
	        "found 'a?b'\n");
	REFUSED("socket = \"a\\nb\"\nport = x\n",
	        "FILE:1: syntax: expected \\\", \\\\ or \\$, found a "
	        "backslash before something else\n"
	        "FILE:2: port: expected an integer from 0 to 65535, found "
	        "'x'\n");
}
END_TEST

START_TEST(test_bare_duration_is_seconds)
{
	struct conf *c = load_text("idle = 10\n");

	ck_assert_msg(c != NULL, "%s", err_text);
	ck_assert_int_eq(conf_int(c, "idle"), 10 * NS_PER_S);
	conf_free(c);
}
END_TEST

START_TEST(test_sections)
{
	REFUSED("class \"a\" { key = x\nsize = 79 }\n",
	        "FILE:2: size: expected an integer from 80 to 1472, found "
	        "'79'\n");
	REFUSED("class \"a\" {\n}\n",
	        "FILE:2: key: expected in section class \"a\", found none\n");
	REFUSED("class \"A b\" { key = x }\n",
	        "FILE:1: class: expected a name (" NAME_RULE
	        ") as title, found 'A b'\n");
	REFUSED("class \"a\" { key = x }\nclass \"a\" { key = y }\n",
	        "FILE:2: class: expected a title of its own, found 'a' a "
	        "second time\n");
	REFUSED("class \"a\" { key = x port = 1 }\n",
	        "FILE:1: port: expected a known key (size, schedule, interval, "
	        "key), found 'port'\n");
	REFUSED("class \"a\" { key = x schedule = never }\n",
	        "FILE:1: schedule: expected one of periodic, poisson, found "
	        "'never'\n");
	REFUSED("class a { key=x }\nclass b { key=x }\nclass c { key=x }\n"
	        "class d { key=x }\n",
	        "FILE: class: expected at most 3 sections, found 4\n");
}
END_TEST

START_TEST(test_syntax)
{
	char long_value[5000];

	REFUSED("port 862\n", "FILE:1: port: expected '=', found '862'\n");
	REFUSED("port\n= 862\n",
	        "FILE:1: port: expected '=', found the end of the line\n"
	        "FILE:2: syntax: expected a key, found '='\n");
	REFUSED("port = \n",
	        "FILE:1: port: expected a value, found the end of the file\n");
	REFUSED("port = ,\n", "FILE:1: port: expected a value, found ','\n");
	REFUSED("class { }\n",
	        "FILE:1: class: expected a title and '{', found '{'\n");
	REFUSED("class \"a\" {\nkey = x\n",
	        "FILE:3: class: expected '}' at its end, found the end of the "
	        "file\n");
	REFUSED("prot {\n",
	        "FILE:1: prot: expected a known key " KNOWN ", found 'prot'\n"
	        "FILE:1: syntax: expected a '}' for this '{', found the end of "
	        "the file\n");
	REFUSED("port = 1 /* for ever\n",
	        "FILE:1: syntax: expected the end of a comment, found the end "
	        "of the file\n");
	REFUSED(
	    "port = 1\nclass \"a\" { key = 'x\n",
	    "FILE:2: syntax: expected a quote at the end of the text, found "
	    "the end of the line\n"
	    "FILE:3: class: expected '}' at its end, found the end of the "
	    "file\n");
	REFUSED("port += 1\n", "FILE:1: port: expected '=', found '+'\n");
	REFUSED("\"port\" = 1\n",
	        "FILE:1: syntax: expected a key, found 'port'\n");
	REFUSED("port = \1\n", "FILE:1: syntax: expected text, found a control "
	                       "character\n");
	(void)snprintf(long_value, sizeof(long_value), "socket = %04990d", 0);
	REFUSED(long_value, "FILE:1: syntax: expected at most 4,095 octets, "
	                    "found a longer value\n");
}
END_TEST

START_TEST(test_comments_and_quotes)
{
	struct conf *c =
	    load_text("// one\nport = 1 /* two\nport = 2 */ idle = 5s# three\n"
	              "socket = \"a \\\"b\\\" \\\\ \\$x ${HOME} 'c' # // \"\n"
	              "name = /* */ ams1\n"
	              "class 'it' { key = 'it''s' }\n");

	ck_assert_ptr_null(c); /* two texts side by side are none */
	c = load_text("// one\nport = 1 /* two\nport = 2 */ idle = 5s# three\n"
	              "socket = \"a \\\"b\\\" \\\\ \\$x ${HOME} 'c' # // \"\n"
	              "name = /* */ ams1\naddress = ::1\n"
	              "class 'it' { key = 'it\\'s' }\n");
	ck_assert_msg(c != NULL, "%s", err_text);
	ck_assert_int_eq(conf_int(c, "port"), 1);
	ck_assert_int_eq(conf_int(c, "idle"), 5 * NS_PER_S);
	ck_assert_str_eq(conf_str(c, "socket"),
	                 "a \"b\" \\ $x ${HOME} 'c' # // ");
	ck_assert_str_eq(conf_str(c, "name"), "ams1");
	ck_assert_uint_eq(conf_list_n(c, "address"), 1);
	ck_assert_str_eq(conf_str(conf_section(c, "class", 0), "key"), "it's");
	conf_free(c);
}
END_TEST

static void
load_path(const char *path)
{
	FILE *err;

	memset(err_text, 0, sizeof(err_text));
	err = fmemopen(err_text, sizeof(err_text) - 1, "w");
	ck_assert_ptr_nonnull(err);
	ck_assert_ptr_null(conf_load(path, table, err));
	(void)fclose(err);
}

START_TEST(test_files)
{
	int fd;

	load_path("/nonexistent/x.conf");
	ck_assert_str_eq(err_text, "/nonexistent/x.conf: expected a readable "
	                           "configuration file, found: No such file or "
	                           "directory\n");
	load_path("/tmp");
	ck_assert_str_eq(err_text, "/tmp: expected a regular file, found a "
	                           "directory\n");
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_eq(mkfifo(file, 0600),
	                 0); /* does not wait for a writer */
	load_path(file);
	ck_assert_ptr_nonnull(
	    strstr(err_text, "expected a regular file, found another kind\n"));
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_ge(fd = open(file, O_CREAT | O_WRONLY, 0600), 0);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(truncate(file, (1 << 20) + 1), 0);
	load_path(file);
	ck_assert_ptr_nonnull(strstr(
	    err_text, "expected at most 1048576 octets, found 1048577\n"));
	if (geteuid() != 0) { /* root reads everything */
		ck_assert_int_eq(truncate(file, 0), 0);
		ck_assert_int_eq(chmod(file, 0), 0);
		load_path(file);
		ck_assert_ptr_nonnull(strstr(err_text, "Permission denied"));
	}
}
END_TEST

START_TEST(test_set)
{
	struct conf *c = conf_load(NULL, table, stderr);
	char msg[256] = "";
	FILE *err = fmemopen(msg, sizeof(msg) - 1, "w");

	ck_assert_ptr_nonnull(c);
	ck_assert(conf_set(c, "port", "5000", err));
	ck_assert_int_eq(conf_int(c, "port"), 5000);
	/* the first replaces the default, later ones append */
	ck_assert(conf_set(c, "address", "127.0.1.1", err));
	ck_assert(conf_set(c, "address", "127.0.1.2", err));
	ck_assert_uint_eq(conf_list_n(c, "address"), 2);
	ck_assert_str_eq(conf_list(c, "address", 0), "127.0.1.1");
	ck_assert(conf_set(c, "address", "127.0.1.3", err));
	ck_assert(!conf_set(c, "address", "127.0.1.4", err));
	ck_assert(conf_set(c, "stateful", "false", err));
	ck_assert(!conf_bool(c, "stateful"));
	(void)fflush(err);
	ck_assert_str_eq(msg, "--address: expected at most 3, found more\n");
	rewind(err);
	ck_assert(!conf_set(c, "port", "-1", err));
	(void)fclose(err);
	ck_assert_str_eq(msg, "--port: expected an integer from 0 to 65535, "
	                      "found '-1'\n");
	ck_assert_int_eq(conf_int(c, "port"), 5000);
	conf_free(c);
}
END_TEST

static char *
printed(const struct conf *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	conf_print(c, f);
	(void)fclose(f);
	return text;
}

/* What -p prints reads back to the same. */
START_TEST(test_print_round_trip)
{
	struct conf *c = load_text("socket = 'a \"q\" \\\\ ${HOME} $x'\n"
	                           "idle = 90s\naddress = {}\n"
	                           "class \"v\" { key = \"k\\\"\" "
	                           "interval = 1500ms }\n"),
	            *again;
	char *first, *second;

	ck_assert_msg(c != NULL, "%s", err_text);
	first = printed(c);
	ck_assert_ptr_nonnull(strstr(first, "idle = 90s\n"));
	ck_assert_ptr_nonnull(strstr(first, "address = {}\n"));
	ck_assert_ptr_nonnull(strstr(first, "interval = 1500ms\n"));
	again = load_text(first);
	ck_assert_msg(again != NULL, "%s", err_text);
	ck_assert_str_eq(conf_str(again, "socket"), conf_str(c, "socket"));
	ck_assert_str_eq(conf_str(conf_section(again, "class", 0), "key"),
	                 "k\"");
	second = printed(again);
	ck_assert_str_eq(first, second);
	free(first);
	free(second);
	conf_free(c);
	conf_free(again);
}
END_TEST

/* The sample holds every key; uncommented it is a valid file. */
START_TEST(test_sample)
{
	char *text = NULL, *plain, *to;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct conf *c;

	conf_print_sample(table, f);
	(void)fclose(f);
	for (const struct conf_key *k = table; k->type != CONF_END; k++)
		ck_assert_ptr_nonnull(strstr(text, k->name));
	c = load_text(text);
	ck_assert_msg(c != NULL, "%s", err_text);
	conf_free(c);
	plain = to = malloc(len + 1);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		ck_assert_uint_le(strlen(line), 80);
		if (line[0] != '#' || line[1] == ' ' || line[1] == '\0' ||
		    strncmp(line, "#name", 5) == 0 ||
		    strncmp(line, "#\tkey", 5) == 0)
			continue;
		to += sprintf(to, "%s\n",
		              strncmp(line, "#class", 6) == 0
		                  ? "class \"title\" { key = x"
		                  : line + 1);
	}
	c = load_text(plain);
	ck_assert_msg(c != NULL, "%s in:\n%s", err_text, plain);
	ck_assert_int_eq(conf_int(c, "port"), 862);
	ck_assert_uint_eq(conf_section_n(c, "class"), 1);
	conf_free(c);
	free(plain);
	free(text);
}
END_TEST

START_TEST(test_mdoc)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	conf_print_mdoc(table, f);
	(void)fclose(f);
	for (const struct conf_key *k = table; k->type != CONF_END; k++) {
		char item[64];

		(void)snprintf(item, sizeof(item), ".It Cm %s ", k->name);
		ck_assert_ptr_nonnull(strstr(text, item));
	}
	ck_assert_ptr_nonnull(strstr(text, ".It Cm size = integer\n"));
	ck_assert_ptr_nonnull(strstr(
	    text, "Expects an integer from 80 to 1472, in octets; default "
	          "128.\n"));
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("conf");
	TCase *t = tcase_create("conf");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_file);
	tcase_add_test(t, test_empty_list);
	tcase_add_test(t, test_every_error_is_told);
	tcase_add_test(t, test_one_error_is_one_line);
	tcase_add_test(t, test_errors_are_bounded);
	tcase_add_test(t, test_bad_values);
	tcase_add_test(t, test_bare_duration_is_seconds);
	tcase_add_test(t, test_sections);
	tcase_add_test(t, test_syntax);
	tcase_add_test(t, test_comments_and_quotes);
	tcase_add_test(t, test_files);
	tcase_add_test(t, test_set);
	tcase_add_test(t, test_print_round_trip);
	tcase_add_test(t, test_sample);
	tcase_add_test(t, test_mdoc);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
