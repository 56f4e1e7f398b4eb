/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/doc.h"

#include "lib/base/clock.h"
#include "lib/base/text.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UNKNOWN ((double)NAN) /* NAN itself is a float */
#define NODES_MAX 100000
#define CELLS_MAX 20000000
#define RESULTS_MAX 1000000

static const char *const state_name[] = {
    [CELL_OK] = "ok",       [CELL_WARN] = "warn",
    [CELL_CRIT] = "crit",   [CELL_STALE] = "stale",
    [CELL_NEVER] = "never", [CELL_MAINTENANCE] = "maintenance",
    [CELL_OTHER] = "other",
};
static_assert(sizeof(state_name) / sizeof(state_name[0]) == CELL_STATE_N,
              "a name each");

const char *
cell_state_name(enum cell_state s)
{
	return state_name[s];
}

static enum cell_state
state_parse(const char *s)
{
	for (int i = 0; i < CELL_OTHER; i++) {
		if (strcmp(s, state_name[i]) == 0)
			return (enum cell_state)i;
	}
	return CELL_OTHER;
}

/* -- fields ------------------------------------------------------------- */

/* Text, "" when it is null, missing or no text. */
static const char *
text_of(json_t *v)
{
	const char *s = json_string_value(v);

	return s ? s : "";
}

static const char *
get_text(json_t *o, const char *key)
{
	return text_of(json_object_get(o, key));
}

/* A number, NAN when it is null, missing, no number or not finite. */
static double
number_of(json_t *v)
{
	const double d = json_is_number(v) ? json_number_value(v) : UNKNOWN;

	return isfinite(d) ? d : UNKNOWN;
}

static double
get_number(json_t *o, const char *key)
{
	return number_of(json_object_get(o, key));
}

static bool
get_true(json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* A name that keeps the rule of names, or NULL. */
static const char *
get_name(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && name_is_valid(s) ? s : NULL;
}

static bool
fail(char *err, const char *what, const char *expected)
{
	(void)snprintf(err, DOC_ERR_MAX,
	               "%s: expected %s, found something "
	               "else",
	               what, expected);
	return false;
}

/* A number that an index can be made of. */
static bool
to_index(json_t *v, size_t below, uint32_t *out)
{
	const json_int_t i = json_is_integer(v) ? json_integer_value(v) : -1;

	if (i < 0 || (size_t)i >= below)
		return false;
	*out = (uint32_t)i;
	return true;
}

/* -- metrics of cells ------------------------------------------------------ */

const struct matrix_metric_info *
doc_metric(size_t index)
{
	return index + 1 < matrix_metrics_n ? &matrix_metrics[index + 1] : NULL;
}

int
doc_metric_index(const struct matrix_metric_info *m)
{
	const ptrdiff_t i = m - matrix_metrics;

	return i >= 1 && i <= DOC_METRICS ? (int)i - 1 : -1;
}

/* A column of cells: an array of exactly n, or NULL. */
static json_t *
column(json_t *cells, const char *key, size_t n)
{
	json_t *a = json_object_get(cells, key);

	return json_is_array(a) && json_array_size(a) == n ? a : NULL;
}

struct columns {
	json_t *src, *dst, *state, *state_why, *state_since, *measured_at,
	    *sent, *lost, *age_s, *partial, *v[DOC_METRICS];
};

static bool
find_columns(json_t *cells, size_t n, struct columns *c, char *err)
{
	c->src = column(cells, "src", n);
	c->dst = column(cells, "dst", n);
	c->state = column(cells, "state", n);
	if (!c->src || !c->dst || !c->state)
		return fail(err, "cells", "src, dst and state with n entries");
	c->state_why = column(cells, "state_why", n);
	c->state_since = column(cells, "state_since", n);
	c->measured_at = column(cells, "measured_at", n);
	c->sent = column(cells, "sent", n);
	c->lost = column(cells, "lost", n);
	c->age_s = column(cells, "age_s", n);
	c->partial = column(cells, "partial", n);
	for (size_t i = 0; i < DOC_METRICS && doc_metric(i); i++)
		c->v[i] = column(cells, doc_metric(i)->name, n);
	return true;
}

static bool
read_cell(const struct columns *c, size_t i, size_t nodes, struct doc_cell *out,
          char *err)
{
	if (!to_index(json_array_get(c->src, i), nodes, &out->src) ||
	    !to_index(json_array_get(c->dst, i), nodes, &out->dst))
		return fail(err, "cells.src, cells.dst", "indices of nodes");
	out->state_name = text_of(json_array_get(c->state, i));
	out->state = state_parse(out->state_name);
	out->state_why = text_of(json_array_get(c->state_why, i));
	out->state_since = text_of(json_array_get(c->state_since, i));
	out->measured_at = text_of(json_array_get(c->measured_at, i));
	out->sent = number_of(json_array_get(c->sent, i));
	out->lost = number_of(json_array_get(c->lost, i));
	out->age_s = number_of(json_array_get(c->age_s, i));
	out->partial = json_is_true(json_array_get(c->partial, i));
	for (size_t m = 0; m < DOC_METRICS; m++)
		out->v[m] = number_of(json_array_get(c->v[m], i));
	return true;
}

/* -- the matrix --------------------------------------------------------------
 */

static bool
read_matrix_nodes(json_t *root, struct doc_matrix *m, char *err)
{
	json_t *nodes = json_object_get(root, "nodes");
	const size_t n = json_array_size(nodes);

	if (!json_is_array(nodes) || n > NODES_MAX)
		return fail(err, "nodes", "an array of at most 100,000");
	m->node = calloc(n + 1, sizeof(*m->node));
	if (!m->node)
		return fail(err, "memory", "more");
	for (size_t i = 0; i < n; i++) {
		m->node[i] = get_name(json_array_get(nodes, i), "name");
		if (!m->node[i])
			return fail(err, "nodes[].name",
			            "a name (" NAME_RULE ")");
		m->node_n++;
	}
	return true;
}

static bool
read_cells(json_t *root, struct doc_matrix *m, char *err)
{
	json_t *cells = json_object_get(root, "cells");
	json_t *n = json_object_get(cells, "n");
	uint32_t count = 0;
	struct columns c;

	if (!to_index(n, CELLS_MAX, &count))
		return fail(err, "cells.n", "a number of cells");
	if (!find_columns(cells, count, &c, err))
		return false;
	m->cell = calloc((size_t)count + 1, sizeof(*m->cell));
	if (!m->cell)
		return fail(err, "memory", "more");
	for (size_t i = 0; i < count; i++) {
		if (!read_cell(&c, i, m->node_n, &m->cell[i], err))
			return false;
		m->cell_n++;
	}
	return true;
}

bool
doc_matrix_read(json_t *root, struct doc_matrix *out, char *err)
{
	json_t *db = json_object_get(root, "database");
	struct doc_matrix m = {
	    .at = get_text(root, "at"),
	    .class_ = get_text(root, "class"),
	    .sentence = get_text(json_object_get(root, "summary"), "sentence"),
	    .epoch = get_number(root, "epoch"),
	    .interval_s = get_number(root, "interval_s"),
	    .database_ok = !db || get_true(db, "ok"),
	    .database_since = get_text(db, "since")};

	if (!read_matrix_nodes(root, &m, err) || !read_cells(root, &m, err)) {
		doc_matrix_clear(&m);
		return false;
	}
	*out = m;
	return true;
}

void
doc_matrix_clear(struct doc_matrix *m)
{
	free(m->node);
	free(m->cell);
	memset(m, 0, sizeof(*m));
}

/* -- a path
 * -------------------------------------------------------------------- */

static bool
read_one_cell(json_t *o, struct doc_cell *c)
{
	if (!json_is_object(o))
		return false;
	*c = (struct doc_cell){
	    .state_name = get_text(o, "state"),
	    .state_why = get_text(o, "state_why"),
	    .state_since = get_text(o, "state_since"),
	    .measured_at = get_text(o, "measured_at"),
	    .sent = get_number(o, "sent"),
	    .lost = get_number(o, "lost"),
	    .age_s = get_number(o, "age_s"),
	    .partial = get_true(o, "partial"),
	};
	c->state = state_parse(c->state_name);
	for (size_t i = 0; i < DOC_METRICS; i++)
		c->v[i] = doc_metric(i) ? get_number(o, doc_metric(i)->name)
		                        : UNKNOWN;
	return true;
}

static void
read_result(json_t *o, struct doc_result *r)
{
	r->start = get_text(o, "start");
	r->interval_s = get_number(o, "interval_s");
	for (unsigned i = 0; i < METRIC_N; i++) {
		const struct metric_info *m = metric_info(i);

		r->v[i] = m ? get_number(o, m->name) : UNKNOWN;
	}
}

bool
doc_path_read(json_t *root, struct doc_path *out, char *err)
{
	json_t *results = json_object_get(root, "results");
	struct doc_path p = {.src = get_name(root, "src"),
	                     .dst = get_name(root, "dst"),
	                     .class_ = get_text(root, "class")};

	if (!p.src || !p.dst)
		return fail(err, "src, dst", "names (" NAME_RULE ")");
	if (!json_is_array(results) || json_array_size(results) > RESULTS_MAX)
		return fail(err, "results", "an array");
	p.has_forward =
	    read_one_cell(json_object_get(root, "forward"), &p.forward);
	p.has_backward =
	    read_one_cell(json_object_get(root, "backward"), &p.backward);
	p.result_n = json_array_size(results);
	p.result = calloc(p.result_n + 1, sizeof(*p.result));
	if (!p.result)
		return fail(err, "memory", "more");
	for (size_t i = 0; i < p.result_n; i++)
		read_result(json_array_get(results, i), &p.result[i]);
	*out = p;
	return true;
}

void
doc_path_clear(struct doc_path *p)
{
	free(p->result);
	memset(p, 0, sizeof(*p));
}

/* -- nodes
 * ---------------------------------------------------------------------- */

static bool
read_node(json_t *o, struct doc_node *n)
{
	json_t *sync = json_object_get(o, "clock_synchronised");
	json_t *in = json_object_get(o, "maintenance");

	*n = (struct doc_node){
	    .name = get_name(o, "name"),
	    .site = get_text(o, "site"),
	    .state = get_text(o, "state"),
	    .state_why = get_text(o, "state_why"),
	    .last_contact_at = get_text(o, "last_contact_at"),
	    .software = get_text(o, "software"),
	    .fingerprint = get_text(o, "fingerprint"),
	    .addresses = json_object_get(o, "addresses"),
	    .unconsented = json_object_get(o, "unconsented"),
	    .reflector_port = get_number(o, "reflector_port"),
	    .epoch = get_number(o, "epoch"),
	    .spool_batches = get_number(o, "spool_batches"),
	    .spool_bytes = get_number(o, "spool_bytes"),
	    .clock_offset_ms = get_number(o, "clock_offset_ms"),
	    .clock_max_error_ms = get_number(o, "clock_max_error_ms"),
	    .clock_verdict = get_text(o, "clock_verdict"),
	    .clock_lo_ms = get_number(o, "clock_lo_ms"),
	    .clock_hi_ms = get_number(o, "clock_hi_ms"),
	    .load1 = get_number(o, "load1"),
	    .rss_kib = get_number(o, "rss_kib"),
	    .sessions = get_number(o, "sessions"),
	    .clock_synchronised =
	        json_is_boolean(sync) ? json_is_true(sync) : -1,
	    .maintenance = json_is_object(in),
	    .maintenance_until = get_text(in, "until"),
	    .maintenance_reason = get_text(in, "reason"),
	    .maintenance_by = get_text(in, "by"),
	    .kind = get_text(o, "kind")};
	return n->name != NULL;
}

/* A fingerprint is copied into a shell by people: base32 and nothing else. */
static bool
is_fingerprint(const char *s)
{
	uint8_t bytes[10];

	return !strchr(s, ' ') && base32_decode(s, bytes, sizeof(bytes));
}

static bool
read_pending(json_t *o, struct doc_pending *p)
{
	*p = (struct doc_pending){.fingerprint = get_text(o, "fingerprint"),
	                          .address = get_text(o, "address"),
	                          .first_seen = get_text(o, "first_seen"),
	                          .last_seen = get_text(o, "last_seen"),
	                          .attempts = get_number(o, "attempts")};
	return is_fingerprint(p->fingerprint);
}

bool
doc_nodes_read(json_t *root, struct doc_nodes *out, char *err)
{
	json_t *nodes = json_object_get(root, "nodes");
	json_t *pending = json_object_get(root, "pending");
	json_t *db = json_object_get(root, "database");
	struct doc_nodes d = {.node_n = json_array_size(nodes),
	                      .pending_n = json_array_size(pending),
	                      .database_ok = !db || get_true(db, "ok"),
	                      .database_since = get_text(db, "since")};
	bool ok = json_is_array(nodes) && d.node_n <= NODES_MAX &&
	          d.pending_n <= NODES_MAX;

	if (!ok)
		return fail(err, "nodes", "an array of at most 100,000");
	d.node = calloc(d.node_n + 1, sizeof(*d.node));
	d.pending = calloc(d.pending_n + 1, sizeof(*d.pending));
	if (!d.node || !d.pending) {
		ok = fail(err, "memory", "more");
		goto out;
	}
	for (size_t i = 0; ok && i < d.node_n; i++) {
		if (!read_node(json_array_get(nodes, i), &d.node[i]))
			ok =
			    fail(err, "nodes[].name", "a name (" NAME_RULE ")");
	}
	for (size_t i = 0; ok && i < d.pending_n; i++) {
		if (!read_pending(json_array_get(pending, i), &d.pending[i]))
			ok = fail(err, "pending[].fingerprint",
			          "16 base32 characters");
	}
out:
	if (ok)
		*out = d;
	else
		doc_nodes_clear(&d);
	return ok;
}

void
doc_nodes_clear(struct doc_nodes *n)
{
	free(n->node);
	free(n->pending);
	memset(n, 0, sizeof(*n));
}

static bool
read_token(json_t *o, struct doc_token *t)
{
	json_t *id = json_object_get(o, "token_id");
	json_t *uses = json_object_get(o, "uses");
	json_t *max = json_object_get(o, "uses_max");

	if (!json_is_integer(id) || !json_is_integer(uses) ||
	    !json_is_integer(max))
		return false;
	*t = (struct doc_token){
	    .fingerprint = get_text(o, "fingerprint"),
	    .state = get_text(o, "state"),
	    .created_at = get_text(o, "created_at"),
	    .expires_at = get_text(o, "expires_at"),
	    .last_used_at = get_text(o, "last_used_at"),
	    .token_id = json_integer_value(id),
	    .uses = json_integer_value(uses),
	    .uses_max = json_integer_value(max),
	    .nodes = json_object_get(o, "nodes"),
	};
	return true;
}

bool
doc_tokens_read(json_t *root, struct doc_tokens *out, char *err)
{
	json_t *tokens = json_object_get(root, "tokens");
	struct doc_tokens d = {.token_n = json_array_size(tokens)};

	if (!json_is_array(tokens) || d.token_n > NODES_MAX)
		return fail(err, "tokens", "an array of at most 100,000");
	d.token = calloc(d.token_n + 1, sizeof(*d.token));
	if (!d.token)
		return fail(err, "memory", "more");
	for (size_t i = 0; i < d.token_n; i++) {
		if (!read_token(json_array_get(tokens, i), &d.token[i])) {
			doc_tokens_clear(&d);
			return fail(err, "tokens[]",
			            "integers token_id, uses, uses_max");
		}
	}
	*out = d;
	return true;
}

void
doc_tokens_clear(struct doc_tokens *t)
{
	free(t->token);
	memset(t, 0, sizeof(*t));
}

double
doc_age_s(const char *iso, int64_t now_wall_ns)
{
	struct tm tm = {0};
	char *end = strptime(iso, "%Y-%m-%dT%H:%M:%S", &tm);
	double frac = 0;

	if (!end)
		return UNKNOWN;
	if (*end == '.')
		frac = strtod(end, &end);
	if (strcmp(end, "Z") != 0)
		return UNKNOWN;
	return (double)now_wall_ns / 1e9 - (double)timegm(&tm) - frac;
}

const char *
doc_text(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

double
doc_number(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);
	const double d = json_is_number(v) ? json_number_value(v) : (double)NAN;

	return isfinite(d) ? d : (double)NAN;
}
