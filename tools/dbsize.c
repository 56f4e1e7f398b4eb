/* SPDX-License-Identifier: BSD-2-Clause */
/* twmesh db size: how large the history is, and what the plan will make of it.
 */
#include "lib/base/text.h"
#include "tools/api.h"
#include "tools/dbsize.h"
#include "tools/term.h"
#include "tools/tool.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define URL_BYTES 256
#define DAYS_MAX 36500
#define BYTES_TEXT 24

enum { OPT_JSON = 256, OPT_RAW, OPT_5MIN, OPT_1H };

/* --- the document -------------------------------------------------------- */

static const char *
bytes_text(double n, char out[BYTES_TEXT])
{
	static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	size_t i = 0;

	if (isnan(n)) {
		(void)snprintf(out, BYTES_TEXT, "-");
		return out;
	}
	for (; n >= 10000 && i + 1 < sizeof(unit) / sizeof(unit[0]); i++)
		n /= 1000;
	(void)snprintf(out, BYTES_TEXT, "%.0f %s", n, unit[i]);
	return out;
}

static void
put_number(FILE *out, double n, int width)
{
	if (isnan(n))
		(void)fprintf(out, " %*s", width, "-");
	else
		(void)fprintf(out, " %*.0f", width, n);
}

static void
put_level(FILE *out, json_t *l)
{
	const char *name = json_string_value(json_object_get(l, "level"));
	const bool measured = json_is_true(json_object_get(l, "measured"));
	char a[BYTES_TEXT], b[BYTES_TEXT], c[BYTES_TEXT];

	term_put(out, name ? name : "-", -14, TERM_PLAIN, false);
	put_number(out, doc_number(l, "rows"), 14);
	(void)fprintf(out, " %10s %10s",
	              bytes_text(doc_number(l, "heap_bytes"), a),
	              bytes_text(doc_number(l, "index_bytes"), b));
	put_number(out, doc_number(l, "bytes_per_row"), 7);
	(void)fputs(measured ? "  " : "* ", out);
	put_number(out, doc_number(l, "planned_rows_per_day"), 12);
	put_number(out, doc_number(l, "keep_days"), 6);
	(void)fprintf(out, " %10s\n",
	              bytes_text(doc_number(l, "projected_bytes"), c));
}

bool
dbsize_show(FILE *out, json_t *root, char *err)
{
	json_t *levels = json_object_get(root, "levels");
	char a[BYTES_TEXT], b[BYTES_TEXT];

	if (!json_is_array(levels)) {
		(void)snprintf(err, DOC_ERR_MAX,
		               "levels: expected an array, found something "
		               "else");
		return false;
	}
	(void)fprintf(out, "%-14s %14s %10s %10s %7s   %12s %6s %10s\n",
	              "level", "rows", "heap", "index", "B/row", "rows/day",
	              "days", "projected");
	for (size_t i = 0; i < json_array_size(levels); i++)
		put_level(out, json_array_get(levels, i));
	(void)fprintf(out,
	              "the database takes %s now; the history will take %s\n"
	              "* fewer than 100,000 rows: a usual size\n",
	              bytes_text(doc_number(root, "database_bytes"), a),
	              bytes_text(doc_number(root, "projected_bytes"), b));
	return true;
}

/* --- the command --------------------------------------------------------- */

struct opts {
	struct api_view view;
	int64_t days[3]; /* 0: as the controller keeps them */
};

static const char *const level_option[] = {"keep-raw", "keep-5min", "keep-1h"};
static const char *const level_param[] = {"keep_raw", "keep_5min", "keep_1h"};

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
	default:
		if (!text_parse_i64(optarg, 1, DAYS_MAX, &o->days[c - OPT_RAW]))
			return tool_error(cmd,
			                  "--%s: expected 1 to %d days, found "
			                  "'%s'",
			                  level_option[c - OPT_RAW], DAYS_MAX,
			                  optarg);
		return TOOL_GOOD;
	}
}

static bool
show(json_t *root, bool csv, const void *arg, char *err)
{
	(void)csv;
	(void)arg;
	return dbsize_show(stdout, root, err);
}

static int
db_size_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	struct opts o = {.days = {0}};
	char url[URL_BYTES] = "/api/v1/db/size";
	size_t n = strlen(url);
	int c, rc = TOOL_GOOD;

	while (rc == TOOL_GOOD && (c = tool_next(cmd, argc, argv)) >= 0)
		rc = take(cmd, c, &o);
	if (rc != TOOL_GOOD || c == TOOL_DONE)
		return rc;
	if (c == TOOL_FAIL)
		return TOOL_USAGE;
	if (!tool_has_args(cmd, argc, argv, 0, "no arguments"))
		return TOOL_USAGE;
	for (int i = 0; i < 3; i++) {
		if (o.days[i])
			n += (size_t)snprintf(
			    url + n, sizeof(url) - n, "%c%s=%lld",
			    strchr(url, '?') ? '&' : '?', level_param[i],
			    (long long)o.days[i]);
	}
	return api_show(cmd, "the size of the database", url, &o.view, show,
	                NULL);
}

static const struct tool_opt db_size_opts[] = {
    {OPT_RAW, "keep-raw", "DAYS", "results, instead of the controller's"},
    {OPT_5MIN, "keep-5min", "DAYS", "rollups of 5 minutes"},
    {OPT_1H, "keep-1h", "DAYS", "rollups of 1 hour"},
    {OPT_JSON, "json", NULL, "the document as served"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

const struct tool_cmd tool_db_size = {
    "db size",
    "[OPTION ...]",
    "how large the history is, and what the plan will make of it",
    "projected: rows a day by the plan in force, times the days that they are "
    "kept,\ntimes octets per row as they are now with indexes\n"
    "exit status: 0 shown, 1 refused by the controller, 2 usage or no "
    "controller",
    db_size_opts,
    db_size_run};
