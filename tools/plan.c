/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh plan, twmesh apply: the file is read and checked here, so that every
 * error is told with its line; what would change, and what it costs, is worked
 * out here too. The controller gets the file's canonical text and the base that
 * the difference was made against, and refuses when that is not in force any
 * more.
 */
#include "tools/plan.h"

#include "tools/api.h"
#include "tools/term.h"
#include "tools/tool.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

enum { OPT_JSON = 256, OPT_BASE };

/* As diff(1): 0 the same, 1 different, 2 trouble. */
#define PLAN_CHANGES TOOL_BAD

struct plan_opts {
	bool json;
	int64_t base; /* -1: not given */
};

/* A file and what it would do. */
struct work {
	const char *path;      /* borrowed */
	struct meshfile *f;    /* owned */
	struct plan_now now;   /* owned */
	struct plan_diff diff; /* owned */
	struct plan_cost before, after;
};

static void
work_clear(struct work *w)
{
	plan_diff_clear(&w->diff);
	plan_now_clear(&w->now);
	meshfile_free(w->f);
}

static int
parse(const struct tool_cmd *cmd, int argc, char **argv, struct plan_opts *o,
      bool *done)
{
	int c;

	*o = (struct plan_opts){.base = -1};
	while ((c = tool_next(cmd, argc, argv)) >= 0) {
		if (c == API_OPT_CONTROLLER || c == API_OPT_SOCKET)
			api_take_option(c, optarg);
		else if (c == OPT_JSON)
			o->json = true;
		else if (!text_parse_i64(optarg, 0, INT64_MAX, &o->base))
			return tool_error(
			    cmd,
			    "--base: expected an epoch, as twmesh "
			    "plan names it, found '%s'",
			    optarg);
	}
	*done = c == TOOL_DONE;
	if (c == TOOL_FAIL)
		return TOOL_USAGE;
	if (!*done && !tool_has_args(cmd, argc, argv, 1, "FILE"))
		return TOOL_USAGE;
	return TOOL_GOOD;
}

static int
read_now(const struct tool_cmd *cmd, struct plan_now *out)
{
	struct api_doc d = {NULL, NULL, 0};
	char err[PLAN_ERR_MAX];
	int rc = api_get(cmd, "the plan", "/api/v1/plan", &d);

	if (rc == TOOL_GOOD && !plan_now_read(d.root, out, err))
		rc = tool_error(cmd, "the controller's answer is malformed: %s",
		                err);
	api_doc_clear(&d);
	return rc;
}

/* Nodes that are in, and that the file does not name. */
static size_t
unnamed(const struct plan_now *now, const struct meshfile *f)
{
	size_t n = 0;

	for (size_t i = 0; i < now->joined_n; i++) {
		bool named = !now->joined[i].joined;

		for (size_t k = 0; !named && k < f->node_n; k++)
			named =
			    strcmp(now->joined[i].name, f->node[k].name) == 0;
		n += !named;
	}
	return n;
}

static int
prepare(const struct tool_cmd *cmd, const char *path, struct work *w)
{
	int rc;

	w->path = path;
	w->f = meshfile_load(path, stderr);
	if (!w->f)
		return TOOL_USAGE;
	rc = read_now(cmd, &w->now);
	if (rc != TOOL_GOOD)
		return TOOL_USAGE;
	plan_diff_make(&w->now, w->f, &w->diff);
	if (w->diff.failed ||
	    !plan_cost_make(w->now.force, unnamed(&w->now, w->now.force),
	                    &w->before) ||
	    !plan_cost_make(w->f, unnamed(&w->now, w->f), &w->after))
		return tool_error(cmd, "out of memory");
	return TOOL_GOOD;
}

static bool
show(const struct work *w, bool json)
{
	const struct plan_view v = {w->path, &w->now, &w->diff, &w->before,
	                            &w->after};

	if (json)
		return plan_show_json(stdout, &v);
	plan_show(stdout, &v, term_is_coloured(stdout));
	return true;
}

/* ---- plan ---- */

static const struct tool_opt plan_opts[] = {
    {OPT_JSON, "json", NULL, "one JSON document"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static int
plan_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	struct work w = {.path = NULL};
	struct plan_opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	rc = prepare(cmd, argv[optind], &w);
	if (rc == TOOL_GOOD && !show(&w, o.json))
		rc = tool_error(cmd, "out of memory");
	if (rc == TOOL_GOOD && w.diff.n > 0)
		rc = PLAN_CHANGES;
	work_clear(&w);
	return rc;
}

const struct tool_cmd tool_plan = {
    "plan",
    "[OPTION ...] FILE",
    "what a mesh file would change, and what it costs",
    "exit status: 0 no change, 1 changes, 2 errors in FILE (each on a line), "
    "usage or\nno controller (terraform's -detailed-exitcode has 1 and 2 the "
    "other way round)",
    plan_opts,
    plan_run};

/* ---- apply ---- */

static const struct tool_opt apply_opts[] = {
    {OPT_BASE, "base", "EPOCH",
     "only if the plan in force is still this one (twmesh plan says which)"},
    {OPT_JSON, "json", NULL, "the difference as one JSON document"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static int
post(const struct tool_cmd *cmd, const struct work *w, bool json)
{
	struct api_doc d = {NULL, NULL, 0};
	char by[TOOL_USER_MAX];
	json_t *body =
	    json_pack("{s:I, s:s, s:s}", "base", (json_int_t)w->now.base,
	              "content", w->f->text, "by", tool_user(by));
	int64_t epoch;
	int rc = body ? api_post(cmd, w->path, "/api/v1/plan/apply", body, &d)
	              : tool_error(cmd, "out of memory");

	json_decref(body);
	if (rc != TOOL_GOOD)
		return rc;
	epoch = json_integer_value(json_object_get(d.root, "epoch"));
	api_doc_clear(&d);
	if (epoch < 1)
		return tool_error(cmd, "the controller's answer is malformed: "
		                       "expected an epoch");
	(void)fprintf(json ? stderr : stdout, "\napplied: epoch %" PRId64 "\n",
	              epoch);
	return TOOL_GOOD;
}

static int
apply(const struct tool_cmd *cmd, const struct work *w,
      const struct plan_opts *o)
{
	if (o->base >= 0 && o->base != w->now.base) {
		(void)tool_error(cmd,
		                 "%s: the mesh file in force has base %" PRId64
		                 ", not %" PRId64 ": run twmesh plan again",
		                 w->path, w->now.base, o->base);
		return TOOL_BAD;
	}
	if (!show(w, o->json))
		return tool_error(cmd, "out of memory");
	if (w->diff.n > 0)
		return post(cmd, w, o->json);
	if (!o->json)
		(void)fputs("\nnothing to do\n", stdout);
	return TOOL_GOOD;
}

static int
apply_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	struct work w = {.path = NULL};
	struct plan_opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	rc = prepare(cmd, argv[optind], &w);
	if (rc == TOOL_GOOD)
		rc = apply(cmd, &w, &o);
	work_clear(&w);
	return rc;
}

const struct tool_cmd tool_apply = {
    "apply",
    "[OPTION ...] FILE",
    "make a mesh file the plan, at once and as a whole",
    "exit status: 0 applied, or nothing to do; 1 refused by the controller; "
    "2 errors in\nFILE (each on a line), usage or no controller: nothing was "
    "changed",
    apply_opts,
    apply_run};
