/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh outages and twmesh evidence: the loss runs that a controller knows,
 * and the packets around one of them, to hand to a vendor.
 */
#include "lib/base/clock.h"
#include "lib/base/text.h"
#include "tools/api.h"
#include "tools/show_runs.h"
#include "tools/tool.h"

#include <getopt.h>
#include <stdio.h>

#define URL_BYTES 1024
#define SINCE_MAX_NS (400 * 86400 * NS_PER_S)
#define LONGER_MAX_NS (86400 * NS_PER_S)
#define LIMIT_MAX 1000

enum {
	OPT_JSON = 256,
	OPT_CSV,
	OPT_SRC,
	OPT_DST,
	OPT_CLASS,
	OPT_SINCE,
	OPT_LONGER,
	OPT_LIMIT
};

struct opts {
	struct api_view view;
	const char *src, *dst, *class_; /* borrowed from argv; NULL */
	int64_t since_ns, longer_ns, limit;
};

static int
take_duration(const struct tool_cmd *cmd, const char *opt, int64_t min_ns,
              int64_t max_ns, const char *range, int64_t *out)
{
	if (!text_parse_duration(optarg, NS_PER_S, min_ns, max_ns, out))
		return tool_error(cmd, "%s: expected %s, found '%s'", opt,
		                  range, optarg);
	return TOOL_GOOD;
}

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
	case OPT_SRC:
		return tool_take_name(cmd, "--src", &o->src);
	case OPT_DST:
		return tool_take_name(cmd, "--dst", &o->dst);
	case OPT_CLASS:
		return tool_take_name(cmd, "--class", &o->class_);
	case OPT_SINCE:
		return take_duration(cmd, "--since", NS_PER_S, SINCE_MAX_NS,
		                     "1s to 400d, as 1h", &o->since_ns);
	case OPT_LONGER:
		return take_duration(cmd, "--longer-than", 0, LONGER_MAX_NS,
		                     "0ms to 1d, as 200ms", &o->longer_ns);
	default:
		if (!text_parse_i64(optarg, 1, LIMIT_MAX, &o->limit))
			return tool_error(cmd,
			                  "--limit: expected an integer from 1 "
			                  "to 1000, found '%s'",
			                  optarg);
		return TOOL_GOOD;
	}
}

static int
parse(const struct tool_cmd *cmd, int argc, char **argv, struct opts *o,
      bool *done)
{
	int c, rc = TOOL_GOOD;

	*o = (struct opts){.since_ns = 24 * 3600 * NS_PER_S, .limit = 100};
	while (rc == TOOL_GOOD && (c = tool_next(cmd, argc, argv)) >= 0)
		rc = take(cmd, c, o);
	if (rc != TOOL_GOOD)
		return rc;
	*done = c == TOOL_DONE;
	if (c == TOOL_FAIL)
		return TOOL_USAGE;
	if (o->view.json && o->view.csv)
		return tool_error(cmd, "expected --json or --csv, found both");
	return TOOL_GOOD;
}

static bool
add_number(char *url, const char *name, int64_t n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld", (long long)n);
	return api_add_param(url, URL_BYTES, name, text);
}

static bool
outages_url(const struct opts *o, char *url)
{
	(void)snprintf(url, URL_BYTES, "/api/v1/outages");
	return (!o->src || api_add_param(url, URL_BYTES, "src", o->src)) &&
	       (!o->dst || api_add_param(url, URL_BYTES, "dst", o->dst)) &&
	       (!o->class_ ||
	        api_add_param(url, URL_BYTES, "class", o->class_)) &&
	       add_number(url, "since", o->since_ns / NS_PER_S) &&
	       add_number(url, "longer_than_ms", o->longer_ns / NS_PER_MS) &&
	       add_number(url, "limit", o->limit);
}

static const struct tool_opt outages_opts[] = {
    {OPT_LONGER, "longer-than", "T",
     "only runs that may have lasted so long, as 200ms (default: all)"},
    {OPT_SINCE, "since", "T", "how far back (default 24h)"},
    {OPT_SRC, "src", "NODE", "only from this node"},
    {OPT_DST, "dst", "NODE", "only to this node"},
    {OPT_CLASS, "class", "C", "only of this class"},
    {OPT_LIMIT, "limit", "N", "at most so many (default 100)"},
    {OPT_JSON, "json", NULL, "the document as served"},
    {OPT_CSV, "csv", NULL, "one line per run"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static bool
show_list(json_t *root, bool csv, const void *arg, char *err)
{
	struct doc_outages list;

	(void)arg;
	if (!doc_outages_read(root, &list, err))
		return false;
	if (csv)
		show_outages_csv(stdout, &list);
	else
		show_outages(stdout, &list, term_is_coloured(stdout));
	doc_outages_clear(&list);
	return true;
}

static int
outages_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	char url[URL_BYTES];
	struct opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	if (!tool_has_args(cmd, argc, argv, 0, "no arguments"))
		return TOOL_USAGE;
	if (!outages_url(&o, url))
		return tool_error(cmd, "out of memory");
	return api_show(cmd, "the outages", url, &o.view, show_list, NULL);
}

const struct tool_cmd tool_outages = {
    "outages",
    "[OPTION ...]",
    "loss runs: three and more packets in a row that were lost",
    "lasted: from the first to the last lost packet, to from the last "
    "received\nbefore to the first received after; the outage lasted "
    "something between\nexit status: 0 shown, 1 refused by the controller, 2 "
    "usage or no controller",
    outages_opts,
    outages_run};

/* -- evidence -------------------------------------------------------------- */

static const struct tool_opt evidence_opts[] = {
    {OPT_JSON, "json", NULL, "the document as served"},
    {OPT_CSV, "csv", NULL, "one line per packet"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static bool
show_packets(json_t *root, bool csv, const void *arg, char *err)
{
	struct doc_evidence e;

	(void)arg;
	if (!doc_evidence_read(root, &e, err))
		return false;
	if (csv)
		show_evidence_csv(stdout, &e);
	else
		show_evidence(stdout, &e, term_is_coloured(stdout));
	doc_evidence_clear(&e);
	return true;
}

static int
evidence_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	char url[URL_BYTES] = "/api/v1/evidence";
	struct opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	if (!tool_has_args(cmd, argc, argv, 1, "RUN"))
		return TOOL_USAGE;
	if (!run_id_is_valid(argv[optind]))
		return tool_error(cmd,
		                  "expected a run's 16 hexadecimal digits (see "
		                  "twmesh outages), found '%s'",
		                  argv[optind]);
	if (!api_add_param(url, sizeof(url), "run", argv[optind]))
		return tool_error(cmd, "out of memory");
	return api_show(cmd, argv[optind], url, &o.view, show_packets, NULL);
}

const struct tool_cmd tool_evidence = {
    "evidence",
    "[OPTION ...] RUN",
    "the packets around a loss run, to hand to a vendor",
    "RUN is as twmesh outages shows it; its packets are kept for 30 days\n"
    "exit status: 0 shown, 1 unknown run, 2 usage or no controller",
    evidence_opts,
    evidence_run};
