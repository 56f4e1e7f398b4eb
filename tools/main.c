/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh: the one command for people. A table of subcommands drives dispatch
 * and usage; each is a file of its own.
 */
#include "tools/api.h"
#include "tools/tool.h"

#include "lib/base/clock_read.h"
#include "lib/base/log.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tool_cmd *const commands[] = {
    &tool_ping,
    &tool_matrix,
    &tool_path,
    &tool_incidents,
    &tool_outages,
    &tool_evidence,
    &tool_plan,
    &tool_apply,
    &tool_nodes,
    &tool_node_approve,
    &tool_node_remove,
    &tool_node_maintenance_on,
    &tool_node_maintenance_off,
    &tool_node_token_create,
    &tool_node_token_list,
    &tool_node_token_revoke,
    &tool_db_size,
};
#define COMMANDS_N (sizeof(commands) / sizeof(commands[0]))

static void
usage(FILE *out)
{
	(void)fputs("usage: twmesh COMMAND [OPTION ...] [ARGUMENT ...]\n\n",
	            out);
	for (size_t i = 0; i < COMMANDS_N; i++)
		(void)fprintf(out, "  %-20s  %s\n", commands[i]->name,
		              commands[i]->help);
	(void)fputs(
	    "  version               print the version\n"
	    "  help [COMMAND]        print this, or what a command can do\n\n"
	    "A controller is found by --controller URL, TWMESH_CONTROLLER, "
	    "--socket PATH,\nTWMESH_SOCKET, else "
	    "/run/twmesh/controller.sock. ping needs none.\n"
	    "exit status: 0 good, 1 nothing answered or the thing asked about "
	    "is bad,\n2 usage, or the other end cannot be reached\n",
	    out);
}

/* How many words the name takes, if the first words of argv are it; else 0. */
static int
words_of(const char *name, int argc, char **argv)
{
	int words = 0;

	while (*name) {
		const size_t n = strcspn(name, " ");

		if (words == argc || strlen(argv[words]) != n ||
		    strncmp(argv[words], name, n) != 0)
			return 0;
		words++;
		name += n + (name[n] == ' ');
	}
	return words;
}

/* The command that argv names, and how many words its name takes. */
static const struct tool_cmd *
find_command(int argc, char **argv, int *words)
{
	for (size_t i = 0; i < COMMANDS_N; i++) {
		*words = words_of(commands[i]->name, argc, argv);
		if (*words)
			return commands[i];
	}
	return NULL;
}

static int
unknown_command(int argc, char **argv)
{
	static const struct {
		const char *word, *expected; /* behind "node" */
	} deeper[] = {
	    {"token", "'node token create', 'node token list' or 'node token "
	              "revoke'"},
	    {"maintenance", "'node maintenance on' or 'node maintenance off'"},
	};
	const char *expected =
	    "'node approve', 'node remove', 'node maintenance' or 'node token'";
	const char *second = argc > 1 ? argv[1] : "";
	const char *third = "";

	if (strcmp(argv[0], "db") == 0)
		die("expected 'db size', found 'db%s%s'", *second ? " " : "",
		    second);
	if (strcmp(argv[0], "node") != 0)
		die("expected a command (see twmesh help), found '%s'",
		    argv[0]);
	for (size_t i = 0; i < sizeof(deeper) / sizeof(deeper[0]); i++) {
		if (strcmp(second, deeper[i].word) != 0)
			continue;
		expected = deeper[i].expected;
		third = argc > 2 ? argv[2] : "";
	}
	die("expected %s, found 'node%s%s%s%s'", expected, *second ? " " : "",
	    second, *third ? " " : "", third);
}

static int
help(int argc, char **argv)
{
	const struct tool_cmd *cmd;
	int words;

	if (argc < 1) {
		usage(stdout);
		return TOOL_GOOD;
	}
	cmd = find_command(argc, argv, &words);
	if (!cmd)
		return unknown_command(argc, argv);
	tool_help(cmd);
	return TOOL_GOOD;
}

/* --controller URL and --socket PATH may stand before the command, too; the
 * number of words they take. */
static int
global_options(int argc, char **argv)
{
	static const struct {
		const char *name;
		int code;
	} opt[] = {{"--controller", API_OPT_CONTROLLER},
	           {"--socket", API_OPT_SOCKET}};
	int i = 0;

	while (i < argc) {
		const int before = i;

		for (size_t k = 0; k < 2 && i == before; k++) {
			const size_t n = strlen(opt[k].name);

			if (strncmp(argv[i], opt[k].name, n) != 0)
				continue;
			if (argv[i][n] == '=') {
				api_take_option(opt[k].code, argv[i] + n + 1);
				i++;
			} else if (argv[i][n] == '\0') {
				if (i + 1 == argc)
					die("%s: expected a value, found none",
					    opt[k].name);
				api_take_option(opt[k].code, argv[i + 1]);
				i += 2;
			}
		}
		if (i == before)
			break;
	}
	return i;
}

static int
run(int argc, char **argv)
{
	const int taken = global_options(argc, argv);
	const struct tool_cmd *cmd;
	int words;

	argc -= taken;
	argv += taken;
	if (argc < 1) {
		usage(stderr);
		return TOOL_USAGE;
	}
	if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0 ||
	    strcmp(argv[0], "-h") == 0)
		return help(argc - 1, argv + 1);
	if (strcmp(argv[0], "version") == 0 ||
	    strcmp(argv[0], "--version") == 0) {
		(void)printf("twmesh %s\n", TWMESH_VERSION);
		return TOOL_GOOD;
	}
	cmd = find_command(argc, argv, &words);
	if (!cmd)
		return unknown_command(argc, argv);
	optind = 1;
	return cmd->run(cmd, argc - words + 1, argv + words - 1);
}

int
main(int argc, char **argv)
{
	const char *bad;
	int rc;

	log_init("twmesh", LOG_LV_WARN);
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)signal(SIGPIPE, SIG_IGN);
	bad = clock_test_init();
	if (bad)
		die("%s: expected seconds, found '%s'", bad, getenv(bad));
	rc = run(argc - 1, argv + 1);
	/* a full disk, or a reader that went away, is not success */
	if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE)
		die("standard output: %s", strerror(errno));
	return rc;
}
