/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh node token create, list, revoke: join tokens. The secret comes from
 * the controller once, and goes to standard output or into a file of mode 0600
 * that is made before the token is (a token that nobody can keep is not asked
 * for); what it is, is told on standard error.
 */
#include "lib/base/clock_read.h"
#include "lib/base/text.h"
#include "tools/api.h"
#include "tools/doc.h"
#include "tools/show.h"
#include "tools/term.h"
#include "tools/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USES_MAX 100000
#define EXPIRES_DEFAULT_S 86400
#define EXPIRES_MAX_S (366 * 86400)
#define SECRET_BYTES 32 /* 52 characters of base32 */

enum { OPT_USES = 256, OPT_EXPIRES, OPT_FILE, OPT_JSON, OPT_CSV };

struct token_opts {
	int64_t uses, expires_ns;
	const char *file; /* borrowed from argv; NULL: standard output */
	struct api_view view;
};

static int
take(const struct tool_cmd *cmd, int c, struct token_opts *o)
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
	case OPT_FILE:
		o->file = optarg;
		return TOOL_GOOD;
	case OPT_USES:
		if (text_parse_i64(optarg, 1, USES_MAX, &o->uses))
			return TOOL_GOOD;
		return tool_error(cmd,
		                  "--uses: expected an integer from 1 to "
		                  "100000, found '%s'",
		                  optarg);
	default: /* OPT_EXPIRES */
		if (text_parse_duration(optarg, NS_PER_S, NS_PER_S,
		                        EXPIRES_MAX_S * NS_PER_S,
		                        &o->expires_ns))
			return TOOL_GOOD;
		return tool_error(cmd,
		                  "--expires: expected 1s to 366d, as 24h, "
		                  "found '%s'",
		                  optarg);
	}
}

/* TOOL_GOOD; with *done set after --help. */
static int
parse(const struct tool_cmd *cmd, int argc, char **argv, struct token_opts *o,
      bool *done)
{
	int c, rc = TOOL_GOOD;

	*o = (struct token_opts){.uses = 1,
	                         .expires_ns = EXPIRES_DEFAULT_S * NS_PER_S};
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

static int
malformed(const struct tool_cmd *cmd, const char *err)
{
	return tool_error(cmd, "the controller's answer is malformed: %s", err);
}

/* ---- create ---- */

static const struct tool_opt create_opts[] = {
    {OPT_USES, "uses", "N", "nodes that it may let in (default 1)"},
    {OPT_EXPIRES, "expires", "TIME", "from now (default 24h)"},
    {OPT_FILE, "file", "FILE",
     "write it there, mode 0600, instead of to standard output"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static bool
is_secret(const char *s)
{
	uint8_t bytes[SECRET_BYTES];
	const bool ok = s && base32_decode(s, bytes, sizeof(bytes));

	explicit_bzero(bytes, sizeof(bytes));
	return ok;
}

/* A new file; NULL, and said why. */
static FILE *
make_file(const struct tool_cmd *cmd, const char *path)
{
	const int fd =
	    open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (f)
		return f;
	(void)tool_error(cmd, "%s: expected to make a new file: %s", path,
	                 strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return NULL;
}

/* The secret where it belongs; closes f unless it is standard output. */
static int
put_secret(const struct tool_cmd *cmd, const char *secret, FILE *f,
           const char *path)
{
	bool ok = fprintf(f, "%s\n", secret) > 0 && fflush(f) == 0;

	if (f == stdout)
		return ok ? TOOL_GOOD
		          : tool_error(cmd, "standard output: %s",
		                       strerror(errno));
	ok &= fsync(fileno(f)) == 0;
	ok &= fclose(f) == 0;
	return ok ? TOOL_GOOD
	          : tool_error(cmd, "%s: %s", path, strerror(errno));
}

/* Asks, and hands the secret over. Takes f. */
static int
create(const struct tool_cmd *cmd, const struct token_opts *o, FILE *f)
{
	struct api_doc d = {NULL, NULL, 0};
	json_t *body =
	    json_pack("{s:I, s:I}", "uses", (json_int_t)o->uses, "expires_s",
	              (json_int_t)(o->expires_ns / NS_PER_S));
	const char *secret, *expires;
	int64_t id;
	int rc;

	rc = body ? api_post(cmd, "a join token", "/api/v1/tokens/create", body,
	                     &d)
	          : tool_error(cmd, "out of memory");
	json_decref(body);
	secret = json_string_value(json_object_get(d.root, "token"));
	expires = json_string_value(json_object_get(d.root, "expires_at"));
	id = json_integer_value(json_object_get(d.root, "token_id"));
	if (rc == TOOL_GOOD && (!is_secret(secret) || !expires || id < 1))
		rc = malformed(cmd, "expected token_id, token and expires_at");
	if (rc != TOOL_GOOD) {
		if (f != stdout)
			(void)fclose(f);
		goto out;
	}
	rc = put_secret(cmd, secret, f, o->file);
	if (rc == TOOL_GOOD) {
		(void)fprintf(
		    stderr, "join token %lld: lets in %lld node%s, until ",
		    (long long)id, (long long)o->uses, o->uses == 1 ? "" : "s");
		term_put(stderr, expires, 0, TERM_PLAIN, false);
		(void)fputs("\n", stderr);
	}
out:
	if (d.text)
		explicit_bzero(d.text, d.len);
	api_doc_clear(&d);
	return rc;
}

static int
create_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	struct token_opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);
	FILE *f = stdout;

	if (rc != TOOL_GOOD || done)
		return rc;
	if (!tool_has_args(cmd, argc, argv, 0, "no arguments"))
		return TOOL_USAGE;
	if (o.file && !(f = make_file(cmd, o.file)))
		return TOOL_USAGE;
	rc = create(cmd, &o, f);
	if (rc != TOOL_GOOD && o.file)
		(void)unlink(o.file);
	return rc;
}

const struct tool_cmd tool_node_token_create = {
    "node token create",
    "[OPTION ...]",
    "make a join token, by which nodes let themselves in",
    "The token is a secret: put it into a file of mode 0600 on the node and "
    "name that\nas join_token_file in its meshd.conf.\n"
    "exit status: 0 made, 1 refused by the controller, 2 usage or no "
    "controller",
    create_opts,
    create_run};

/* ---- list ---- */

static const struct tool_opt list_opts[] = {
    {OPT_JSON, "json", NULL, "the document as served"},
    {OPT_CSV, "csv", NULL, "one line per token"},
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static bool
show_list(json_t *root, bool csv, const void *arg, char *err)
{
	struct doc_tokens t;

	(void)arg;
	if (!doc_tokens_read(root, &t, err))
		return false;
	if (csv)
		show_tokens_csv(stdout, &t);
	else
		show_tokens(stdout, &t, term_is_coloured(stdout));
	doc_tokens_clear(&t);
	return true;
}

static int
list_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	struct token_opts o;
	bool done = false;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	if (!tool_has_args(cmd, argc, argv, 0, "no arguments"))
		return TOOL_USAGE;
	return api_show(cmd, "the join tokens", "/api/v1/tokens", &o.view,
	                show_list, NULL);
}

const struct tool_cmd tool_node_token_list = {
    "node token list",
    "[OPTION ...]",
    "join tokens, open and ended",
    "exit status: 0 shown, 1 refused by the controller, 2 usage or no "
    "controller",
    list_opts,
    list_run};

/* ---- revoke ---- */

static const struct tool_opt revoke_opts[] = {
    API_OPTS,
    {0, NULL, NULL, NULL},
};

static int
revoke_run(const struct tool_cmd *cmd, int argc, char **argv)
{
	struct api_doc d = {NULL, NULL, 0};
	struct token_opts o;
	bool done = false;
	json_t *body;
	int64_t id;
	int rc = parse(cmd, argc, argv, &o, &done);

	if (rc != TOOL_GOOD || done)
		return rc;
	if (!tool_has_args(cmd, argc, argv, 1, "ID"))
		return TOOL_USAGE;
	if (!text_parse_i64(argv[optind], 1, INT32_MAX, &id))
		return tool_error(cmd,
		                  "expected the number of a join token (see "
		                  "twmesh node token list), found '%s'",
		                  argv[optind]);
	body = json_pack("{s:I}", "token_id", (json_int_t)id);
	rc = body ? api_post(cmd, argv[optind], "/api/v1/tokens/revoke", body,
	                     &d)
	          : tool_error(cmd, "out of memory");
	json_decref(body);
	if (rc != TOOL_GOOD)
		return rc;
	if (json_integer_value(json_object_get(d.root, "revoked")) == id)
		(void)printf("revoked join token %lld\n", (long long)id);
	else
		rc = malformed(cmd, "expected the token's number");
	api_doc_clear(&d);
	return rc;
}

const struct tool_cmd tool_node_token_revoke = {
    "node token revoke",
    "[OPTION ...] ID",
    "end a join token; nodes that it let in stay",
    "exit status: 0 revoked, 1 refused by the controller, 2 usage or no "
    "controller",
    revoke_opts,
    revoke_run};
