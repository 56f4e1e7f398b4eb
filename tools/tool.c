/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tool.h"

#include "lib/base/text.h"

#include <getopt.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OPTS_MAX 24
#define OPT_HELP 1000 /* above every subcommand's own codes */

int
tool_error(const struct tool_cmd *cmd, const char *fmt, ...)
{
	char msg[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	text_make_printable(msg);
	(void)fflush(stdout);
	(void)fprintf(stderr, "twmesh %s: %s\n", cmd->name, msg);
	return TOOL_USAGE;
}

void
tool_help(const struct tool_cmd *cmd)
{
	(void)printf("usage: twmesh %s %s\n%s\n\n", cmd->name, cmd->args,
	             cmd->help);
	for (const struct tool_opt *o = cmd->opts; o && o->name; o++) {
		char left[64], letter[8] = "    ";

		if (o->code < 256)
			(void)snprintf(letter, sizeof(letter), "-%c, ",
			               o->code);
		(void)snprintf(left, sizeof(left), "%s--%s%s%s", letter,
		               o->name, o->arg ? " " : "",
		               o->arg ? o->arg : "");
		(void)printf("  %-26s %s\n", left, o->help);
	}
	(void)printf("  %-26s %s\n", "    --help", "print this");
	if (cmd->notes)
		(void)printf("\n%s\n", cmd->notes);
}

/* Both of getopt's tables from ours. */
static void
getopt_tables(const struct tool_cmd *cmd, char *letters, struct option *lo)
{
	size_t n = 0;

	*letters++ = ':';
	for (const struct tool_opt *o = cmd->opts;
	     o && o->name && n < OPTS_MAX - 2; o++, n++) {
		lo[n] = (struct option){
		    o->name, o->arg ? required_argument : no_argument, NULL,
		    o->code};
		if (o->code >= 256)
			continue;
		*letters++ = (char)o->code;
		if (o->arg)
			*letters++ = ':';
	}
	lo[n++] = (struct option){"help", no_argument, NULL, OPT_HELP};
	lo[n] = (struct option){NULL, 0, NULL, 0};
	*letters = '\0';
}

int
tool_next(const struct tool_cmd *cmd, int argc, char **argv)
{
	char letters[2 * OPTS_MAX + 2];
	struct option lo[OPTS_MAX];
	int c;

	getopt_tables(cmd, letters, lo);
	opterr = 0;
	c = getopt_long(argc, argv, letters, lo, NULL);
	if (c == -1)
		return TOOL_END;
	if (c == OPT_HELP) {
		tool_help(cmd);
		return TOOL_DONE;
	}
	if (c == ':')
		(void)tool_error(cmd, "%s: expected a value, found none",
		                 argv[optind - 1]);
	else if (c == '?')
		(void)tool_error(cmd,
		                 "expected a known option (see --help), found "
		                 "'%s'",
		                 argv[optind - 1]);
	else
		return c;
	return TOOL_FAIL;
}

bool
tool_has_args(const struct tool_cmd *cmd, int argc, char **argv, int n,
              const char *expected)
{
	const int found = argc - optind;

	if (found == n)
		return true;
	if (found > n)
		(void)tool_error(cmd, "expected %s, found also '%s'", expected,
		                 argv[optind + n]);
	else
		(void)tool_error(cmd, "expected %s, found %s%s%s", expected,
		                 found ? "only '" : "nothing",
		                 found ? argv[argc - 1] : "", found ? "'" : "");
	return false;
}

int
tool_take_name(const struct tool_cmd *cmd, const char *opt, const char **out)
{
	if (!name_is_valid(optarg))
		return tool_error(cmd,
		                  "%s: expected a name (" NAME_RULE "), found "
		                  "'%s'",
		                  opt, optarg);
	*out = optarg;
	return TOOL_GOOD;
}

const char *
tool_user(char out[TOOL_USER_MAX])
{
	const struct passwd *pw = getpwuid(getuid());

	if (pw && *pw->pw_name)
		(void)snprintf(out, TOOL_USER_MAX, "%s", pw->pw_name);
	else
		(void)snprintf(out, TOOL_USER_MAX, "user %u",
		               (unsigned)getuid());
	text_make_printable(out);
	return out;
}
