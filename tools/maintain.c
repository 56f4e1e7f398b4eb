/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh node maintenance on, off: cells of the node are "maintenance" then,
 * whatever is measured.
 */
#include "tools/api.h"
#include "tools/term.h"
#include "tools/tool.h"

#include "lib/base/clock.h"
#include "lib/base/text.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FOR_MAX_S (366 * 86400)
#define REASON_MAX 255

enum { OPT_UNTIL = 256, OPT_REASON };

struct maintain_opts {
	char until[32]; /* an instant; "": not given */
	int64_t for_s;  /* from now; 0: not given */
	const char *reason;
};

/* "2026-11-28T10:00Z", with or without seconds. */
static bool
parse_instant(const char *text, char out[32])
{
	struct tm t = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M", &t);

	if (end && *end == ':')
		end = strptime(end, ":%S", &t);
	return end && strcmp(end, "Z") == 0 &&
	       strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &t) > 0;
}

static int
take_until(const struct tool_cmd *cmd, struct maintain_opts *o)
{
	int64_t ns;

	o->until[0] = '\0';
	o->for_s = 0;
	if (parse_instant(optarg, o->until))
		return TOOL_GOOD;
	if (text_parse_duration(optarg, NS_PER_S, NS_PER_S,
	                        FOR_MAX_S * NS_PER_S, &ns)) {
		o->for_s = ns / NS_PER_S;
		return TOOL_GOOD;
	}
	return tool_error(cmd,
	                  "--until: expected an instant as 2026-11-28T10:00Z "
	                  "or a time from now as 2h (1s to 366d), found '%s'",
	                  optarg);
}

static int
take_reason(const struct tool_cmd *cmd, struct maintain_opts *o)
{
	if (strlen(optarg) > REASON_MAX ||
	    !text_is_clean(optarg, strlen(optarg)))
		return tool_error(cmd,
		                  "--reason: expected at most %d octets of "
		                  "text without control characters",
		                  REASON_MAX);
	o->reason = optarg;
	return TOOL_GOOD;
}

static int
parse(const struct tool_cmd *cmd, int argc, char **argv,
      struct maintain_opts *o, bool *done)
{
	int c, rc = TOOL_GOOD;

	*o = (struct maintain_opts){.reason = ""};
	while (rc == TOOL_GOOD && (c = tool_next(cmd, argc, argv)) >= 0) {
		if (c == OPT_UNTIL)
			rc = take_until(cmd, o);
		else if (c == OPT_REASON)
			rc = take_reason(cmd, o);
		else
			api_take_option(c, optarg);
	}
	if (rc != TOOL_GOOD)
		return rc;
	*done = c == TOOL_DONE;
	if (c == TOOL_FAIL)
		return TOOL_USAGE;
	if (*done)
		return TOOL_GOOD;
	if (!tool_has_args(cmd, argc, argv, 1, "NAME"))
		return TOOL_USAGE;
	if (!name_is_valid(argv[optind]))
		return tool_error(cmd,
		                  "expected the name of a node (" NAME_RULE
		                  "), found '%s'",
		                  argv[optind]);
	return TOOL_GOOD;
}

static int
ask(const struct tool_cmd *cmd, const char *name, bool on,
    const struct maintain_opts *o)
{
	struct api_doc d = {NULL, NULL, 0};
	char by[TOOL_USER_MAX];
	json_t *body = json_pack("{s:s, s:b, s:s, s:s, s:s}", "name", name,
	                         "on", (int)on, "until", o->until, "reason",
	                         o->reason, "by", tool_user(by));
	const char *until;
	int rc;

	if (body && o->for_s)
		(void)json_object_set_new(body, "for_s",
		                          json_integer(o->for_s));
	rc = body ? api_post(cmd, name, "/api/v1/nodes/maintenance", body, &d)
	          : tool_error(cmd, "out of memory");
	json_decref(body);
	if (rc != TOOL_GOOD)
		return rc;
	until = json_string_value(json_object_get(d.root, "until"));
	(void)printf("%s: maintenance %s", name, on ? "on" : "off");
	if (until) {
		(void)fputs(" until ", stdout);
		term_put(stdout, until, 0, TERM_PLAIN, false);
	}
	(void)fputc('\n', stdout);
	api_doc_clear(&d);
	return TOOL_GOOD;
}

static int
run(const struct tool_cmd *cmd, int argc, char **argv, bool on)
{
	struct maintain_opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	return rc != TOOL_GOOD || done ? rc : ask(cmd, argv[optind], on, &o);
}

static int
on_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	return run(cmd, argc, argv, true);
}

static int
off_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	return run(cmd, argc, argv, false);
}

static const struct tool_opt on_opts[] = {
    {OPT_UNTIL, "until", "T",
     "it ends by itself: 2h from now, or 2026-11-28T10:00Z"},
    {OPT_REASON, "reason", "TEXT", "for people"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static const struct tool_opt off_opts[] = {
    API_OPTS,
    {0, NULL, NULL, NULL},
};

#define NOTES                                                              \
	"exit status: 0 done, 1 refused by the controller, 2 usage or no " \
	"controller"

const struct tool_cmd tool_node_maintenance_on = {
    "node maintenance on",
    "[OPTION ...] NAME",
    "the node's cells are 'maintenance', whatever is measured",
    NOTES,
    on_opts,
    on_run};

const struct tool_cmd tool_node_maintenance_off = {
    "node maintenance off",
    "[OPTION ...] NAME",
    "end a node's maintenance now",
    NOTES,
    off_opts,
    off_run};
