/* SPDX-License-Identifier: BSD-2-Clause */
/* twmesh incidents: what explains the critical directions, now and before. */
#include "lib/base/clock.h"
#include "lib/base/text.h"
#include "tools/api.h"
#include "tools/doc_incidents.h"
#include "tools/term.h"
#include "tools/tool.h"

#include <getopt.h>
#include <stdio.h>

#define URL_BYTES 1024
#define SINCE_MAX_NS (400 * 86400 * NS_PER_S)
#define LIMIT_MAX 1000

enum { OPT_JSON = 256, OPT_CSV, OPT_CLASS, OPT_SINCE, OPT_LIMIT };

struct opts {
	struct api_view view;
	const char *class_; /* borrowed from argv; NULL */
	int64_t since_ns, limit;
};

static int
take(const struct tool_cmd *cmd, int c, struct opts *o)
{
	switch (c) {
	case API_OPT_CONTROLLER:
	case API_OPT_SOCKET:
		api_take_option(c, optarg);
		return TOOL_GOOD;
	case OPT_JSON:
		o->view.json = true;
		return TOOL_GOOD;
	case OPT_CSV:
		o->view.csv = true;
		return TOOL_GOOD;
	case OPT_CLASS:
		return tool_take_name(cmd, "--class", &o->class_);
	case OPT_SINCE:
		if (!text_parse_duration(optarg, NS_PER_S, NS_PER_S,
		                         SINCE_MAX_NS, &o->since_ns))
			return tool_error(cmd,
			                  "--since: expected 1s to 400d, as "
			                  "1h, found '%s'",
			                  optarg);
		return TOOL_GOOD;
	default:
		if (!text_parse_i64(optarg, 1, LIMIT_MAX, &o->limit))
			return tool_error(cmd,
			                  "--limit: expected an integer from 1 "
			                  "to 1000, found '%s'",
			                  optarg);
		return TOOL_GOOD;
	}
}

static bool
show_list(json_t *root, bool csv, const void *arg, char *err)
{
	struct doc_incidents list;

	(void)arg;
	if (!doc_incidents_read(root, &list, err))
		return false;
	if (csv)
		show_incidents_csv(stdout, &list);
	else
		show_incidents(stdout, &list, term_is_coloured(stdout));
	doc_incidents_clear(&list);
	return true;
}

static int
ask(const struct tool_cmd *cmd, const struct opts *o)
{
	char url[URL_BYTES];

	(void)snprintf(
	    url, sizeof(url), "/api/v1/incidents?since=%lld&limit=%lld",
	    (long long)(o->since_ns / NS_PER_S), (long long)o->limit);
	if (o->class_ && !api_add_param(url, sizeof(url), "class", o->class_))
		return tool_error(cmd, "out of memory");
	return api_show(cmd, "the incidents", url, &o->view, show_list, NULL);
}

static int
incidents_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	struct opts o = {.since_ns = 24 * 3600 * NS_PER_S, .limit = 100};
	int c, rc = TOOL_GOOD;

	while (rc == TOOL_GOOD && (c = tool_next(cmd, argc, argv)) >= 0)
		rc = take(cmd, c, &o);
	if (rc != TOOL_GOOD || c == TOOL_DONE)
		return rc;
	if (c == TOOL_FAIL)
		return TOOL_USAGE;
	if (o.view.json && o.view.csv)
		return tool_error(cmd, "expected --json or --csv, found both");
	if (!tool_has_args(cmd, argc, argv, 0, "no arguments"))
		return TOOL_USAGE;
	return ask(cmd, &o);
}

static const struct tool_opt incidents_opts[] = {
    {OPT_SINCE, "since", "T", "those that ended since (default 24h)"},
    {OPT_CLASS, "class", "C", "only of this class"},
    {OPT_LIMIT, "limit", "N", "at most so many (default 100)"},
    {OPT_JSON, "json", NULL, "the document as served"},
    {OPT_CSV, "csv", NULL, "one line per incident"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

const struct tool_cmd tool_incidents = {
    "incidents",
    "[OPTION ...]",
    "what explains the critical directions, now and before",
    "cells: critical directions that it explains and nothing larger does; "
    "most: the\nlargest such number; of: those of its set that can be "
    "measured; sure: the share\nof them that is critical\n"
    "exit status: 0 shown, 1 refused by the controller, 2 usage or no "
    "controller",
    incidents_opts,
    incidents_run};
