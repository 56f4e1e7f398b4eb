/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller's JSON documents as plain structs. What comes from a server
 * is hostile until checked: every field's type, every index, every length of
 * the columnar arrays. Text stays borrowed from the JSON document (which must
 * outlive the struct) and is made printable when shown; names that break the
 * rule of names are refused.
 */
#ifndef TWMESH_TOOLS_DOC_H
#define TWMESH_TOOLS_DOC_H

#include "lib/base/metric.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cell_state {
	CELL_OK,
	CELL_WARN,
	CELL_CRIT,
	CELL_STALE,
	CELL_NEVER,
	CELL_MAINTENANCE,
	CELL_OTHER, /* of a later version */
	CELL_STATE_N
};
const char *cell_state_name(enum cell_state s);

#define DOC_METRICS 7   /* the numbers of matrix_metrics, without the state */
#define DOC_ERR_MAX 160 /* API_ERR_MAX */

struct doc_cell {
	uint32_t src, dst; /* indices into the nodes */
	enum cell_state state;
	const char *state_name, *state_why, *state_since, *measured_at;
	double v[DOC_METRICS]; /* NAN: not known */
	double sent, lost, age_s;
	bool partial;
};

struct doc_matrix {
	const char *at, *class_, *sentence;
	double epoch, interval_s;
	bool database_ok;
	const char *database_since; /* may be "" */
	const char **node;          /* owned array of borrowed names */
	size_t node_n;
	struct doc_cell *cell; /* owned */
	size_t cell_n;
};
/* False with the reason in err (DOC_ERR_MAX); then nothing is owned. */
bool doc_matrix_read(json_t *root, struct doc_matrix *out, char *err);
void doc_matrix_clear(struct doc_matrix *m);

/* Index into doc_cell.v of a matrix metric; -1: "state" or unknown. */
int doc_metric_index(const struct matrix_metric_info *m);
const struct matrix_metric_info *doc_metric(size_t index);

/* One interval of a path. */
struct doc_result {
	const char *start;
	double interval_s;
	double v[METRIC_N]; /* as shown (ms, packets); NAN: not known */
};

struct doc_path {
	const char *src, *dst, *class_;
	struct doc_cell forward, backward;
	bool has_forward, has_backward;
	struct doc_result *result; /* owned */
	size_t result_n;
};
bool doc_path_read(json_t *root, struct doc_path *out, char *err);
void doc_path_clear(struct doc_path *p);

struct doc_node {
	const char *name, *site, *state, *state_why, *last_contact_at,
	    *software, *fingerprint;
	json_t *addresses, *unconsented; /* borrowed arrays of strings */
	double reflector_port, epoch, spool_batches, spool_bytes,
	    clock_offset_ms, clock_max_error_ms, load1, rss_kib, sessions;
	const char *clock_verdict; /* "": not audited */
	double clock_lo_ms, clock_hi_ms;
	int clock_synchronised; /* 0, 1, -1 not known */
	bool maintenance;       /* it is in, and: */
	const char *maintenance_until, *maintenance_reason, *maintenance_by;
	const char *kind; /* node, target; "": an older controller */
};

struct doc_pending {
	const char *fingerprint, *address, *first_seen, *last_seen;
	double attempts;
};

struct doc_nodes {
	struct doc_node *node; /* owned */
	size_t node_n;
	struct doc_pending *pending; /* owned */
	size_t pending_n;
	bool database_ok;           /* false: what was known before it went */
	const char *database_since; /* may be "" */
};
bool doc_nodes_read(json_t *root, struct doc_nodes *out, char *err);
void doc_nodes_clear(struct doc_nodes *n);

struct doc_token {
	const char *fingerprint, *state, *created_at, *expires_at,
	    *last_used_at;
	int64_t token_id, uses, uses_max;
	json_t *nodes; /* borrowed array of names */
};

struct doc_tokens {
	struct doc_token *token; /* owned */
	size_t token_n;
};
bool doc_tokens_read(json_t *root, struct doc_tokens *out, char *err);
void doc_tokens_clear(struct doc_tokens *t);

/* Seconds since an ISO 8601 UTC instant ("2026-11-23T10:02:14.123Z"); NAN
 * when it is not one. */
double doc_age_s(const char *iso, int64_t now_wall_ns);

/* Members of an object: a string, borrowed, "" when it is none; a number, NAN
 * when it is none. */
const char *doc_text(json_t *o, const char *key);
double doc_number(json_t *o, const char *key);

#endif
