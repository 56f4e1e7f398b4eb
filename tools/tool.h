/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every subcommand of `twmesh` shares: its row in the table that drives
 * dispatch and --help, options from a table, and errors that say what was
 * expected and what was found.
 */
#ifndef TWMESH_TOOLS_TOOL_H
#define TWMESH_TOOLS_TOOL_H

#include <stdbool.h>
#include <stddef.h>

enum tool_exit {
	TOOL_GOOD = 0,
	TOOL_BAD = 1,  /* nothing answered, or the thing asked about is bad */
	TOOL_USAGE = 2 /* usage, or the other end cannot be reached */
};

struct tool_opt {
	int code;         /* the short letter, or 256 and more: none */
	const char *name; /* long option */
	const char *arg;  /* "N", ...; NULL: a flag */
	const char *help;
};

struct tool_cmd {
	const char *name;  /* "ping", "node approve" */
	const char *args;  /* "[OPTION ...] HOST[:PORT]" */
	const char *help;  /* one line */
	const char *notes; /* lines below the options of --help; may be NULL */
	const struct tool_opt *opts; /* ends with a NULL name; may be NULL */
	int (*run)(const struct tool_cmd *cmd, int argc, char **argv);
};

#define TOOL_END (-1)  /* no more options: arguments begin at optind */
#define TOOL_DONE (-2) /* --help was printed: return TOOL_GOOD */
#define TOOL_FAIL (-3) /* the error was printed: return TOOL_USAGE */
/* The next option's code; optarg is its value. */
int tool_next(const struct tool_cmd *cmd, int argc, char **argv);
/* "twmesh CMD: ..." on stderr, made printable; returns TOOL_USAGE. */
int tool_error(const struct tool_cmd *cmd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* After TOOL_END: exactly n arguments, named in `expected`. */
bool tool_has_args(const struct tool_cmd *cmd, int argc, char **argv, int n,
                   const char *expected);
void tool_help(const struct tool_cmd *cmd);
/* optarg of `opt` as a name, borrowed. TOOL_GOOD, or TOOL_USAGE after the
 * error. */
int tool_take_name(const struct tool_cmd *cmd, const char *opt,
                   const char **out);

/* The user's name (or number), for records; returns out. */
#define TOOL_USER_MAX 64
const char *tool_user(char out[TOOL_USER_MAX]);

extern const struct tool_cmd tool_ping, tool_matrix, tool_path, tool_outages,
    tool_incidents, tool_evidence, tool_nodes, tool_node_approve,
    tool_node_remove, tool_node_token_create, tool_node_token_list,
    tool_node_token_revoke, tool_plan, tool_apply, tool_node_maintenance_on,
    tool_node_maintenance_off, tool_db_size;

#endif
