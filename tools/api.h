/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP client towards a controller: over TCP (--controller URL,
 * TWMESH_CONTROLLER) or over its admin socket (--socket PATH, TWMESH_SOCKET,
 * else API_SOCKET_DEFAULT). Options win over the environment. Never through a
 * proxy; short timeouts; no redirects.
 */
#ifndef TWMESH_TOOLS_API_H
#define TWMESH_TOOLS_API_H

#include "tools/tool.h"

#include <jansson.h>
#include <stdio.h>

#define API_SOCKET_DEFAULT "/run/twmesh/controller.sock"

enum { API_OPT_CONTROLLER = 900, API_OPT_SOCKET };
/* Rows for a subcommand's option table. */
#define API_OPTS                                           \
	{API_OPT_CONTROLLER, "controller", "URL",          \
	 "controller's HTTP listener, http://HOST:PORT"},  \
	{                                                  \
		API_OPT_SOCKET, "socket", "PATH",          \
		    "controller's admin socket (default: " \
		    "/run/twmesh/controller.sock)"         \
	}
/* Takes an API_OPT_*; `value` is borrowed for the process's life. */
void api_take_option(int code, const char *value);

struct api_doc {
	json_t *root; /* owned */
	char *text;   /* owned: as served, NUL-terminated */
	size_t len;
};
void api_doc_clear(struct api_doc *d);

/* TOOL_GOOD, or TOOL_BAD (the controller says no) or TOOL_USAGE (no
 * controller, or not one) after an error line. `about` names what was asked
 * for in a refusal ("ams1 to fra1"). */
int api_get(const struct tool_cmd *cmd, const char *about, const char *path,
            struct api_doc *out);
/* --json: as served; --csv; or, with neither, for people. */
struct api_view {
	bool json, csv;
};
#define API_ERR_MAX 160
/* Reads the document and shows it on standard output. False with the reason
 * in err (API_ERR_MAX): it is malformed. */
typedef bool api_show_fn(json_t *root, bool csv, const void *arg, char *err);
/* api_get(), and then shows what came. */
int api_show(const struct tool_cmd *cmd, const char *about, const char *path,
             const struct api_view *v, api_show_fn *show, const void *arg);
int api_post(const struct tool_cmd *cmd, const char *about, const char *path,
             json_t *body, struct api_doc *out);
/* "path?a=x" with x percent-encoded; false when it does not fit. */
bool api_add_param(char *url, size_t size, const char *name, const char *value);
/* The document as served, or re-encoded in ASCII when it holds characters
 * that do not belong on a terminal. */
bool api_print(const struct api_doc *d, FILE *out);

#endif
