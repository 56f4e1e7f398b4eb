/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building the body of a batch. Nothing is copied that protobuf-c can borrow
 * from the results for the time of packing.
 */
#include "lib/bus/wire.h"

#include "lib/base/metric.h"

#include <stdlib.h>

static bool
same_slice(const struct result *a, const struct result *b)
{
	return a->class_id == b->class_id && a->start.ns == b->start.ns &&
	       a->interval_ns == b->interval_ns && a->epoch == b->epoch;
}

/* Most details are counts that are 0 in every row: their column goes without
 * values. Never one of the row's metrics, whose values the first controllers
 * want to see. */
static bool
is_all_zero(const struct result *const *r, size_t n, unsigned metric)
{
	const struct metric_info *m = metric_info(metric);

	if (!m || m->home != METRIC_DETAIL)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (r[i]->v[metric] != 0)
			return false;
	}
	return true;
}

/* NULL when the metric is NULL in every row, or (a->out_of_memory) without
 * memory. The bitmap is only sent where a row is NULL. */
static Twmesh__Wire__Column *
put_column(struct arena *a, const struct result *const *r, size_t n,
           unsigned metric)
{
	Twmesh__Wire__Column *c;
	size_t nulls = 0;

	for (size_t i = 0; i < n; i++)
		nulls += r[i]->v[metric] == METRIC_NULL;
	if (nulls == n)
		return NULL;
	c = arena_alloc(a, sizeof(*c));
	if (!c)
		return NULL;
	twmesh__wire__column__init(c);
	c->metric = metric;
	if (is_all_zero(r, n, metric))
		return c;
	c->value = arena_array(a, n, sizeof(*c->value));
	if (nulls) {
		c->has_present = true;
		c->present.len = (n + 7) / 8;
		c->present.data = arena_alloc(a, c->present.len);
	}
	if (!c->value || (nulls && !c->present.data))
		return NULL;
	c->n_value = n;
	for (size_t i = 0; i < n; i++) {
		if (r[i]->v[metric] == METRIC_NULL)
			continue;
		c->value[i] = r[i]->v[metric];
		if (nulls)
			c->present.data[i / 8] |= (uint8_t)(1U << i % 8);
	}
	return c;
}

static bool
put_columns(struct arena *a, const struct result *const *r, size_t n,
            Twmesh__Wire__Slice *s)
{
	s->column = arena_array(a, METRIC_N, sizeof(Twmesh__Wire__Column *));
	if (!s->column)
		return false;
	for (unsigned m = METRIC_NONE + 1; m < METRIC_N; m++) {
		Twmesh__Wire__Column *c = put_column(a, r, n, m);

		if (c)
			s->column[s->n_column++] = c;
	}
	return !a->out_of_memory;
}

enum octets { RTT_HIST, FWD_HIST, BWD_HIST, FLOWS };

static ProtobufCBinaryData
octets_of(const struct result *r, enum octets which)
{
	switch (which) {
	case FWD_HIST:
		return put_bytes(r->fwd_hist, r->fwd_hist_len);
	case BWD_HIST:
		return put_bytes(r->bwd_hist, r->bwd_hist_len);
	case FLOWS:
		return put_bytes(r->flows, r->flows_len);
	case RTT_HIST:
		break;
	}
	return put_bytes(r->rtt_hist, r->hist_len);
}

/* Nothing when no row has any, else one per row. */
static bool
put_octets(struct arena *a, const struct result *const *r, size_t n,
           enum octets which, ProtobufCBinaryData **out, size_t *out_n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++)
		any = any || octets_of(r[i], which).len > 0;
	if (!any)
		return true;
	*out = arena_array(a, n, sizeof(**out));
	if (!*out)
		return false;
	*out_n = n;
	for (size_t i = 0; i < n; i++)
		(*out)[i] = octets_of(r[i], which);
	return true;
}

static bool
put_octet_lists(struct arena *a, const struct result *const *r, size_t n,
                Twmesh__Wire__Slice *s)
{
	return put_octets(a, r, n, RTT_HIST, &s->rtt_hist, &s->n_rtt_hist) &&
	       put_octets(a, r, n, FWD_HIST, &s->fwd_hist, &s->n_fwd_hist) &&
	       put_octets(a, r, n, BWD_HIST, &s->bwd_hist, &s->n_bwd_hist) &&
	       put_octets(a, r, n, FLOWS, &s->flows, &s->n_flows);
}

/* r[0..n) share class, start, interval and epoch. */
static Twmesh__Wire__Slice *
put_slice(struct arena *a, const struct result *const *r, size_t n)
{
	Twmesh__Wire__Slice *s = arena_alloc(a, sizeof(*s));

	if (!s)
		return NULL;
	twmesh__wire__slice__init(s);
	s->class_id = r[0]->class_id;
	s->start_wall_ns = r[0]->start.ns;
	s->interval_ms = (uint32_t)(r[0]->interval_ns / NS_PER_MS);
	s->epoch = r[0]->epoch;
	s->dst_id = arena_array(a, n, sizeof(*s->dst_id));
	if (!s->dst_id)
		return NULL;
	s->n_dst_id = n;
	for (size_t i = 0; i < n; i++)
		s->dst_id[i] = r[i]->dst_id;
	return put_columns(a, r, n, s) && put_octet_lists(a, r, n, s) ? s
	                                                              : NULL;
}

static bool
put_slices(struct arena *a, const struct result *const *r, size_t n,
           Twmesh__Wire__BatchBody *b)
{
	b->slice = arena_array(a, n, sizeof(Twmesh__Wire__Slice *));
	if (!b->slice)
		return false;
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && same_slice(r[i], r[end]); end++)
			;
		b->slice[b->n_slice] = put_slice(a, r + i, end - i);
		if (!b->slice[b->n_slice++])
			return false;
	}
	return b->n_slice <= MSG_SLICES_MAX;
}

static bool
put_gaps(struct arena *a, const struct gap *gaps, size_t n,
         Twmesh__Wire__BatchBody *b)
{
	Twmesh__Wire__Gap *g = arena_array(a, n, sizeof(*g));

	b->gap = arena_array(a, n, sizeof(Twmesh__Wire__Gap *));
	if (!g || !b->gap || n > MSG_GAPS_MAX)
		return false;
	b->n_gap = n;
	for (size_t i = 0; i < n; i++) {
		twmesh__wire__gap__init(&g[i]);
		g[i].from_wall_ns = gaps[i].from.ns;
		g[i].to_wall_ns = gaps[i].to.ns;
		g[i].has_rows = gaps[i].rows != 0;
		g[i].rows = gaps[i].rows;
		g[i].reason = put_text(gaps[i].reason);
		b->gap[i] = &g[i];
	}
	return true;
}

static bool
put_revisions(struct arena *a, const struct revision *const *rev, size_t n,
              Twmesh__Wire__BatchBody *b)
{
	Twmesh__Wire__Revision *r = arena_array(a, n, sizeof(*r));

	b->revision = arena_array(a, n, sizeof(Twmesh__Wire__Revision *));
	if (!r || !b->revision || n > MSG_REVISIONS_MAX)
		return false;
	b->n_revision = n;
	for (size_t i = 0; i < n; i++) {
		twmesh__wire__revision__init(&r[i]);
		r[i].dst_id = rev[i]->dst_id;
		r[i].class_id = rev[i]->class_id;
		r[i].start_wall_ns = rev[i]->start.ns;
		r[i].lost_fwd = rev[i]->lost_fwd;
		r[i].lost_bwd = rev[i]->lost_bwd;
		r[i].lost_undet = rev[i]->lost_undet;
		b->revision[i] = &r[i];
	}
	return true;
}

bool
batch_body_encode(const struct batch_input *in, uint8_t **out, size_t *len)
{
	Twmesh__Wire__BatchBody b = TWMESH__WIRE__BATCH_BODY__INIT;
	uint8_t *bytes = NULL;
	bool ok = false;
	struct arena a;
	size_t size;

	arena_init(&a, SIZE_MAX);
	if (in->result_n > MSG_ROWS_MAX ||
	    !put_slices(&a, in->result, in->result_n, &b) ||
	    !put_gaps(&a, in->gap, in->gap_n, &b) ||
	    !put_revisions(&a, in->revision, in->revision_n, &b) ||
	    !put_runs(&a, in->run, in->run_n, &b))
		goto out;
	size = twmesh__wire__batch_body__get_packed_size(&b);
	if (size > MSG_MAX_BYTES)
		goto out;
	bytes = malloc(size ? size : 1);
	if (!bytes)
		goto out;
	*len = twmesh__wire__batch_body__pack(&b, bytes);
	*out = bytes;
	ok = true;
out:
	arena_release(&a);
	return ok;
}
