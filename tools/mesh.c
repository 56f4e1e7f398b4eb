/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The subcommands that ask a controller: matrix, path, nodes, node approve,
 * node remove. Options in, one document out; showing it is show.h.
 */
#include "lib/base/addr.h"
#include "lib/base/clock_read.h"
#include "lib/base/text.h"
#include "tools/api.h"
#include "tools/doc.h"
#include "tools/show.h"
#include "tools/term.h"
#include "tools/tool.h"

#include <getopt.h>
#include <string.h>

#define URL_BYTES 1024
#define SINCE_MAX_NS (31 * 86400 * NS_PER_S)
#define ROWS_MAX 1000000

enum {
	OPT_JSON = 256,
	OPT_CSV,
	OPT_CLASS,
	OPT_SINCE,
	OPT_SITE,
	OPT_REPLACE,
	OPT_ADDRESS
};

/* What the options of these subcommands say; each uses its part. */
struct ask_opts {
	struct api_view view;
	bool replace;
	const struct matrix_metric_info *metric;
	const char *class_, *site; /* borrowed from argv; NULL: not given */
	int64_t since_ns, rows;
	json_t *addresses; /* owned */
};

static void
metric_names(char *out, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < matrix_metrics_n && at < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%s",
		                       i ? ", " : "", matrix_metrics[i].name);
}

static int
take_metric(const struct tool_cmd *cmd, struct ask_opts *o)
{
	char names[256];

	o->metric = matrix_metric_by_name(optarg);
	if (o->metric)
		return TOOL_GOOD;
	metric_names(names, sizeof(names));
	return tool_error(cmd, "--metric: expected one of %s, found '%s'",
	                  names, optarg);
}

static int
take_address(const struct tool_cmd *cmd, struct ask_opts *o)
{
	char text[ADDR_TEXT_MAX];
	struct addr a;

	if (!addr_parse_ip(optarg, 0, &a))
		return tool_error(cmd,
		                  "--address: expected an IP address, found "
		                  "'%s'",
		                  optarg);
	if (!o->addresses)
		o->addresses = json_array();
	if (json_array_append_new(o->addresses,
	                          json_string(addr_format_ip(&a, text))) != 0)
		return tool_error(cmd, "out of memory");
	return TOOL_GOOD;
}

static int
take(const struct tool_cmd *cmd, int c, struct ask_opts *o)
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
	case OPT_REPLACE:
		o->replace = true;
		return TOOL_GOOD;
	case 'm':
		return take_metric(cmd, o);
	case OPT_CLASS:
		return tool_take_name(cmd, "--class", &o->class_);
	case OPT_SITE:
		return tool_take_name(cmd, "--site", &o->site);
	case OPT_ADDRESS:
		return take_address(cmd, o);
	case OPT_SINCE:
		if (!text_parse_duration(optarg, NS_PER_S, NS_PER_S,
		                         SINCE_MAX_NS, &o->since_ns))
			return tool_error(cmd,
			                  "--since: expected 1s to 31d, as 1h, "
			                  "found '%s'",
			                  optarg);
		return TOOL_GOOD;
	default: /* -n, --rows */
		if (!text_parse_i64(optarg, 1, ROWS_MAX, &o->rows))
			return tool_error(cmd,
			                  "--rows: expected an integer from 1 "
			                  "to 1000000, found '%s'",
			                  optarg);
		return TOOL_GOOD;
	}
}

/* TOOL_GOOD; with *done set after --help. */
static int
parse(const struct tool_cmd *cmd, int argc, char **argv, struct ask_opts *o,
      bool *done)
{
	int c, rc = TOOL_GOOD;

	*o = (struct ask_opts){.since_ns = 3600 * NS_PER_S,
	                       .rows = 20,
	                       .metric = matrix_metric_by_name("rtt_ms")};
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

/* -- matrix ---------------------------------------------------------------- */

static const struct tool_opt matrix_opts[] = {
    {'m', "metric", "M", "what to show (default rtt_ms; see below)"},
    {OPT_CLASS, "class", "C", "another class than the first"},
    {OPT_JSON, "json", NULL, "the document as served"},
    {OPT_CSV, "csv", NULL, "one line per direction"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static bool
show_matrix_doc(json_t *root, bool csv, const void *arg, char *err)
{
	const struct ask_opts *o = arg;
	struct doc_matrix m;

	if (!doc_matrix_read(root, &m, err))
		return false;
	if (csv)
		show_matrix_csv(stdout, &m);
	else
		show_matrix(stdout, &m, o->metric, term_columns(stdout),
		            term_is_coloured(stdout));
	doc_matrix_clear(&m);
	return true;
}

static int
matrix_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	char url[URL_BYTES] = "/api/v1/matrix";
	struct ask_opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	if (!tool_has_args(cmd, argc, argv, 0, "no arguments"))
		return TOOL_USAGE;
	if (o.class_ && !api_add_param(url, sizeof(url), "class", o.class_))
		return tool_error(cmd, "out of memory");
	return api_show(cmd, o.class_ ? o.class_ : "the matrix", url, &o.view,
	                show_matrix_doc, &o);
}

const struct tool_cmd tool_matrix = {
    "matrix",
    "[OPTION ...]",
    "the path matrix: rows send, columns reflect",
    "metrics: state, loss_pct, loss_max_pct, delay_ms, jitter_ms, rtt_ms, "
    "rtt_p99_ms, hops\n"
    "marks: ! crit, + warn, ~ stale, - never measured, m maintenance\n"
    "exit status: 0 shown, 1 refused by the controller, 2 usage or no "
    "controller",
    matrix_opts,
    matrix_run};

/* -- path -------------------------------------------------------------------
 */

static const struct tool_opt path_opts[] = {
    {OPT_SINCE, "since", "T", "how far back (default 1h)"},
    {OPT_CLASS, "class", "C", "another class than the first"},
    {'n', "rows", "N", "results to show (default 20)"},
    {OPT_JSON, "json", NULL, "the document as served"},
    {OPT_CSV, "csv", NULL, "every result, one line each"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static bool
path_url(const struct ask_opts *o, const char *src, const char *dst, char *url)
{
	char since[32];

	(void)snprintf(url, URL_BYTES, "/api/v1/path");
	(void)snprintf(since, sizeof(since), "%lld",
	               (long long)(o->since_ns / NS_PER_S));
	return api_add_param(url, URL_BYTES, "src", src) &&
	       api_add_param(url, URL_BYTES, "dst", dst) &&
	       (!o->class_ ||
	        api_add_param(url, URL_BYTES, "class", o->class_)) &&
	       api_add_param(url, URL_BYTES, "since_s", since);
}

static bool
names_ok(const struct tool_cmd *cmd, char **name, int n)
{
	for (int i = 0; i < n; i++) {
		if (!name_is_valid(name[i])) {
			(void)tool_error(cmd,
			                 "expected the name of a node "
			                 "(" NAME_RULE "), found '%s'",
			                 name[i]);
			return false;
		}
	}
	return true;
}

static bool
show_path_doc(json_t *root, bool csv, const void *arg, char *err)
{
	const struct ask_opts *o = arg;
	struct doc_path p;

	if (!doc_path_read(root, &p, err))
		return false;
	if (csv)
		show_path_csv(stdout, &p);
	else
		show_path(stdout, &p, (size_t)o->rows, term_columns(stdout),
		          term_is_coloured(stdout));
	doc_path_clear(&p);
	return true;
}

static int
path_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	char about[2 * NAME_MAX_CHARS + 8], url[URL_BYTES];
	struct ask_opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	if (!tool_has_args(cmd, argc, argv, 2, "SRC and DST") ||
	    !names_ok(cmd, argv + optind, 2))
		return TOOL_USAGE;
	if (!path_url(&o, argv[optind], argv[optind + 1], url))
		return tool_error(cmd, "out of memory");
	(void)snprintf(about, sizeof(about), "%s to %s", argv[optind],
	               argv[optind + 1]);
	return api_show(cmd, about, url, &o.view, show_path_doc, &o);
}

const struct tool_cmd tool_path = {
    "path",
    "[OPTION ...] SRC DST",
    "one path: both directions now, and its recent results",
    "exit status: 0 shown, 1 unknown path, 2 usage or no controller",
    path_opts,
    path_run};

/* -- nodes -------------------------------------------------------------------
 */

static const struct tool_opt nodes_opts[] = {
    {OPT_JSON, "json", NULL, "the document as served"},
    {OPT_CSV, "csv", NULL, "one line per node"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static bool
show_nodes_doc(json_t *root, bool csv, const void *arg, char *err)
{
	struct doc_nodes n;

	(void)arg;
	if (!doc_nodes_read(root, &n, err))
		return false;
	if (csv)
		show_nodes_csv(stdout, &n);
	else
		show_nodes(stdout, &n, clock_wall().ns,
		           term_is_coloured(stdout));
	doc_nodes_clear(&n);
	return true;
}

static int
nodes_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	struct ask_opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	if (!tool_has_args(cmd, argc, argv, 0, "no arguments"))
		return TOOL_USAGE;
	return api_show(cmd, "the nodes", "/api/v1/nodes", &o.view,
	                show_nodes_doc, NULL);
}

const struct tool_cmd tool_nodes = {
    "nodes",
    "[OPTION ...]",
    "every node, and who waits for approval",
    "exit status: 0 shown, 1 refused by the controller, 2 usage or no "
    "controller",
    nodes_opts,
    nodes_run};

/* -- node approve, node remove ------------------------------------------------
 */

static const struct tool_opt approve_opts[] = {
    {OPT_SITE, "site", "S", "the node's site"},
    {OPT_REPLACE, "replace", NULL,
     "the name has a node already: this is its new key"},
    {OPT_ADDRESS, "address", "IP", "consent to probing it there; repeatable"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

/* Posts `body` (taken over) and says what the answer's `key` holds. */
static int
post_and_say(const struct tool_cmd *cmd, const char *about, const char *path,
             json_t *body, const char *key, const char *said)
{
	struct api_doc d = {NULL, NULL, 0};
	const char *name;
	int rc;

	rc = body ? api_post(cmd, about, path, body, &d)
	          : tool_error(cmd, "out of memory");
	json_decref(body);
	if (rc != TOOL_GOOD)
		return rc;
	name = json_string_value(json_object_get(d.root, key));
	if (!name || !name_is_valid(name))
		rc = tool_error(cmd, "the controller's answer is malformed: "
		                     "expected the node's name");
	else
		(void)printf("%s %s\n", said, name);
	api_doc_clear(&d);
	return rc;
}

static int
approve_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	uint8_t fingerprint[10];
	struct ask_opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		goto out;
	rc = TOOL_USAGE;
	if (!tool_has_args(cmd, argc, argv, 2, "FINGERPRINT and NAME"))
		goto out;
	if (!base32_decode(argv[optind], fingerprint, sizeof(fingerprint))) {
		(void)tool_error(cmd,
		                 "expected a fingerprint as "
		                 "ABCD-EFGH-IJKL-MNOP, found '%s'",
		                 argv[optind]);
		goto out;
	}
	if (!names_ok(cmd, argv + optind + 1, 1))
		goto out;
	if (!o.addresses)
		o.addresses = json_array();
	rc = post_and_say(
	    cmd, argv[optind + 1], "/api/v1/nodes/approve",
	    json_pack("{s:s, s:s, s:b, s:s, s:O}", "fingerprint", argv[optind],
	              "name", argv[optind + 1], "replace", (int)o.replace,
	              "site", o.site ? o.site : "", "addresses", o.addresses),
	    "node", "approved");
out:
	json_decref(o.addresses);
	return rc;
}

const struct tool_cmd tool_node_approve = {
    "node approve",
    "[OPTION ...] FINGERPRINT NAME",
    "let a waiting node into the mesh",
    "exit status: 0 approved, 1 refused by the controller, 2 usage or no "
    "controller",
    approve_opts,
    approve_run};

static const struct tool_opt remove_opts[] = {
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static int
remove_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	struct ask_opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	if (!tool_has_args(cmd, argc, argv, 1, "NAME") ||
	    !names_ok(cmd, argv + optind, 1))
		return TOOL_USAGE;
	return post_and_say(cmd, argv[optind], "/api/v1/nodes/remove",
	                    json_pack("{s:s}", "name", argv[optind]), "removed",
	                    "removed");
}

const struct tool_cmd tool_node_remove = {
    "node remove",
    "[OPTION ...] NAME",
    "take a node out of the mesh, at once",
    "exit status: 0 removed, 1 refused by the controller, 2 usage or no "
    "controller",
    remove_opts,
    remove_run};
