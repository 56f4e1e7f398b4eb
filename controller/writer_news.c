/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes beside the rows of results in their transaction: details and flows
 * in sibling tables; loss runs and revisions, and what they mean for the
 * current state.
 */
#include "controller/writer_priv.h"

#include <stdio.h>

/* ---- sibling tables ---- */

typedef bool copy_fn(struct pgcopy *w, const struct wbatch *b,
                     struct pgc_err *err);

static bool
is_stored(const struct wbatch *b)
{
	return b->says == LEDGER_NEW && !b->condemned;
}

static bool
copy_end(struct writer *w, bool ok, size_t rows, struct pgc_err *err)
{
	long copied = 0;

	if (!ok) {
		if (pgc_ok(w->db))
			(void)!pgc_copy_end(w->db, "client error", NULL, NULL);
		return false;
	}
	if (!pgcopy_end(&w->copy, &copied, err))
		return false;
	if (copied >= 0 && (size_t)copied == rows)
		return true;
	(void)snprintf(err->text, sizeof(err->text),
	               "COPY stored %ld rows instead of %zu", copied, rows);
	return false;
}

static bool
copy_sibling(struct writer *w, struct wbatch *const *b, size_t n, size_t rows,
             const struct sibling *t, copy_fn *fn, struct pgc_err *err)
{
	bool ok = true;

	if (rows == 0)
		return true;
	if (!pgcopy_begin(&w->copy, w->db, t->copy_sql, t->columns, err))
		return false;
	for (size_t i = 0; ok && i < n; i++)
		ok = !is_stored(b[i]) || fn(&w->copy, b[i], err);
	return copy_end(w, ok, rows, err);
}

bool
siblings_copy(struct writer *w, struct wbatch *const *b, size_t n,
              struct pgc_err *err)
{
	size_t loud = 0, flows = 0;

	for (size_t i = 0; i < n; i++) {
		loud += is_stored(b[i]) ? b[i]->loud_n : 0;
		flows += is_stored(b[i]) ? b[i]->flow_n : 0;
	}
	return copy_sibling(w, b, n, loud, &w->details, copy_details, err) &&
	       copy_sibling(w, b, n, flows, &w->flows, copy_flows, err);
}

/* ---- states ---- */

/* The source's row of the class; NULL: it is no part of the plan any more, or
 * (err) it cannot be read. */
static struct state_row *
state_of(struct writer *w, uint32_t src_id, uint32_t class_id,
         struct pgc_err *err)
{
	const struct known_node *src = known_node(&w->known, src_id);
	const struct known_class *c = known_class(&w->known, class_id);

	if (!src || src->removed || !c || c->retired)
		return NULL;
	return state_db_row(w->state, src_id, class_id, err);
}

static const struct known_node *
present_node(const struct writer *w, uint32_t id)
{
	const struct known_node *n = known_node(&w->known, id);

	return n && !n->removed ? n : NULL;
}

bool
news_read_states(struct writer *w, const struct wbatch *b, struct pgc_err *err)
{
	const uint32_t src = b->ask->u.batch.node_id;

	err->text[0] = '\0';
	for (size_t i = 0; i < b->body.run_n; i++) {
		if (!state_of(w, src, b->body.run[i].class_id, err) &&
		    err->text[0])
			return false;
	}
	for (size_t i = 0; i < b->body.revision_n; i++) {
		if (!state_of(w, src, b->body.revision[i].class_id, err) &&
		    err->text[0])
			return false;
	}
	return true;
}

static void
apply_run(struct writer *w, const struct run_ref *f, struct pgc_err *err)
{
	const struct loss_run *r = f->run;
	const struct known_class *c = known_class(&w->known, r->class_id);
	const struct known_node *dst = present_node(w, r->dst_id);
	struct cell_run run = {
	    .run_id = r->run_id,
	    .first = r->first,
	    .end = r->after.ns != NS_UNKNOWN ? r->after : r->last,
	    .lasted_ns = r->lower_ns,
	    .lost = (int64_t)r->lost_fwd + r->lost_undet,
	};
	struct state_row *row;

	if (!f->effective || r->state != LOSS_RUN_CLOSED || r->host_limited ||
	    !c || !dst ||
	    hosts_limited(w->hosts, r->dst_id,
	                  wall_add_ns(r->first, -f->offset_ns),
	                  wall_add_ns(run.end, -f->offset_ns)))
		return;
	row = state_of(w, f->src_id, r->class_id, err);
	if (!row)
		return;
	if (wall_diff_ns(run.end, r->first) > run.lasted_ns)
		run.lasted_ns = wall_diff_ns(run.end, r->first);
	run.interval_ns = c->interval_ns;
	state_row_run(w->state, row, dst->slot, dst->generation, &run);
}

static void
apply_revision(struct writer *w, uint32_t src, const struct revision *v,
               struct pgc_err *err)
{
	const struct known_class *c = known_class(&w->known, v->class_id);
	const struct known_node *dst = present_node(w, v->dst_id);
	struct state_row *row = state_of(w, src, v->class_id, err);

	if (row && c && dst)
		state_row_revise(w->state, row, dst->slot, dst->generation,
		                 wall_add_ns(v->start, c->interval_ns),
		                 v->lost_fwd, v->lost_bwd, v->lost_undet);
}

bool
news_store(struct writer *w, struct wbatch *const *b, size_t n,
           struct pgc_err *err)
{
	if (!runs_db_store(&w->runs, b, n, err))
		return false;
	for (size_t i = 0; i < w->runs.n; i++)
		apply_run(w, &w->runs.list[i], err);
	for (size_t i = 0; i < n; i++) {
		if (!is_stored(b[i]) || b[i]->body.revision_n == 0)
			continue;
		if (!revise_db_store(&w->revise, b[i], err))
			return false;
		for (size_t k = 0; k < b[i]->body.revision_n; k++)
			apply_revision(w, b[i]->ask->u.batch.node_id,
			               &b[i]->body.revision[k], err);
	}
	return true;
}
