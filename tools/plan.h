/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a mesh file would change, and what it costs. plan_now.c reads what is in
 * force out of the controller's document, plan_diff.c compares, plan_cost.c
 * counts, plan_show.c shows; tools/plan.c is the two subcommands. All but the
 * last are pure: documents in, structs and text out.
 */
#ifndef TWMESH_TOOLS_PLAN_H
#define TWMESH_TOOLS_PLAN_H

#include "lib/svc/meshfile.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The newest version of a class, running or retired. */
struct plan_version {
	struct classconf conf;
	int64_t version;
	bool running;
};

struct plan_joined {
	char name[NAME_MAX_CHARS + 1];
	bool joined; /* it has a key; false: only the mesh file names it */
};

/* GET /api/v1/plan */
struct plan_now {
	int64_t epoch;          /* of the roster */
	int64_t base;           /* of the mesh file in force; 0: none is */
	char applied_at[40];    /* ISO 8601; "": none */
	char applied_by[64];    /* hostile text */
	struct meshfile *force; /* owned: the file in force; without one what
	                           runs, as if a file said it */
	struct plan_joined *joined; /* owned */
	size_t joined_n;
	struct plan_version *version; /* owned */
	size_t version_n;
};
#define PLAN_ERR_MAX 160
/* False with the reason in err (PLAN_ERR_MAX); then nothing is owned. */
bool plan_now_read(json_t *root, struct plan_now *out, char *err);
void plan_now_clear(struct plan_now *n);
bool plan_has_joined(const struct plan_now *n, const char *name);

/* One difference. */
struct plan_change {
	char op;          /* + - ~ */
	const char *kind; /* "site", "node", "target", "class", "mesh" */
	const char *name; /* borrowed from one of the two files */
	char *what;       /* owned; "": nothing more to say */
};
struct plan_diff {
	struct plan_change *change; /* owned */
	size_t n;
	bool failed; /* out of memory */
};
void plan_diff_make(const struct plan_now *now, const struct meshfile *f,
                    struct plan_diff *out);
void plan_diff_clear(struct plan_diff *d);

struct plan_load {
	double sessions;  /* that are measured (of a node: from it) */
	double packets_s; /* test packets; of a node: all that it sends */
	double bits_s; /* on the wire, replies too; of a node: that it sends */
	double rows_day, bytes_day; /* in the database */
};
struct plan_cost {
	struct plan_load total, busiest;
	const char *node; /* the busiest; borrowed; NULL: none */
};
/* extra: nodes that count for automatic intervals though the file does not
 * name them. False: out of memory. */
bool plan_cost_make(const struct meshfile *f, size_t extra,
                    struct plan_cost *out);

struct plan_view {
	const char *file; /* its name */
	const struct plan_now *now;
	const struct plan_diff *diff;
	const struct plan_cost *before, *after;
};
void plan_show(FILE *out, const struct plan_view *v, bool coloured);
/* One JSON document. False: out of memory. */
bool plan_show_json(FILE *out, const struct plan_view *v);

#endif
