/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/plan.h"

#include "lib/base/clock.h"

#include <stdlib.h>

/* Around a UDP payload on Ethernet: preamble 8, header 14, check sum 4, gap 12;
 * IPv4 20 or IPv6 40, UDP 8. */
#define AROUND_V4_OCTETS (38 + 28)
#define AROUND_V6_OCTETS (38 + 48)
/* Rows as measured (docs/BENCH.md, docs/SCHEMA.md): of twmesh.result, with
 * details beside it, and of twmesh.result_flow; their indexes are BRIN. */
#define RESULT_OCTETS 204
#define DETAIL_OCTETS 340
#define FLOW_OCTETS 120
#define DAY_S 86400.0

/* The same plan as bits: see lib/bus/roster.c. */
struct bits {
	uint64_t *mesh, *hub; /* owned; per node */
	double *sent, *bits;  /* owned; per node: what it sends a second */
	double *sessions;     /* owned; per node: from it */
};

static void
bits_clear(struct bits *b)
{
	free(b->mesh);
	free(b->hub);
	free(b->sent);
	free(b->bits);
	free(b->sessions);
}

static bool
bits_make(struct bits *b, const struct meshfile *f)
{
	const size_t n = f->node_n + 1;

	*b = (struct bits){
	    calloc(n, sizeof(*b->mesh)), calloc(n, sizeof(*b->hub)),
	    calloc(n, sizeof(*b->sent)), calloc(n, sizeof(*b->bits)),
	    calloc(n, sizeof(*b->sessions))};
	if (!b->mesh || !b->hub || !b->sent || !b->bits || !b->sessions)
		return false;
	for (size_t i = 0; i < f->mesh_n; i++) {
		const struct mf_mesh *m = &f->mesh[i];

		for (size_t k = 0; k < m->member_n; k++) {
			b->mesh[m->member[k]] |= UINT64_C(1) << i;
			if (m->hub[k])
				b->hub[m->member[k]] |= UINT64_C(1) << i;
		}
	}
	return true;
}

static uint64_t
meshes_of(const struct meshfile *f, size_t class_index)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < f->mesh_n; i++) {
		if (f->mesh[i].classes >> class_index & 1)
			mask |= UINT64_C(1) << i;
	}
	return mask;
}

/* What one session of a class costs. */
struct unit {
	double packets_s, target_packets_s, octets, rows_day, bytes_day;
};

static struct unit
unit_of(const struct classconf *c, size_t nodes)
{
	const double rate = 1e9 / (double)c->gap_ns;
	const double interval_s = c->interval_ns ? (double)c->interval_ns / 1e9
	                          : nodes <= CLASSCONF_AUTO_NODES
	                              ? CLASSCONF_AUTO_SMALL_MS / 1000.0
	                              : CLASSCONF_AUTO_LARGE_MS / 1000.0;
	const double results = DAY_S / interval_s;
	const double flows = c->flows > 1 ? c->flows : 0;

	return (struct unit){
	    .packets_s = rate,
	    .target_packets_s = rate < 1 ? rate : 1,
	    .octets = c->size_octets +
	              (c->family == 6 ? AROUND_V6_OCTETS : AROUND_V4_OCTETS),
	    .rows_day = results * (1 + flows),
	    .bytes_day =
	        results * (RESULT_OCTETS + (c->detail ? DETAIL_OCTETS : 0) +
	                   flows * FLOW_OCTETS),
	};
}

static void
add_session(const struct meshfile *f, struct bits *b, const struct unit *u,
            size_t src, size_t dst, struct plan_load *total)
{
	const double rate = f->node[dst].protocol == MF_NODE
	                        ? u->packets_s
	                        : u->target_packets_s;
	const double bits_s = rate * u->octets * 8;

	total->sessions++;
	total->packets_s += rate;
	total->bits_s += 2 * bits_s;
	total->rows_day += u->rows_day;
	total->bytes_day += u->bytes_day;
	b->sessions[src]++;
	b->sent[src] += rate;
	b->bits[src] += bits_s;
	b->sent[dst] += rate; /* its replies */
	b->bits[dst] += bits_s;
}

static void
add_class(const struct meshfile *f, struct bits *b, size_t at,
          const struct unit *u, struct plan_load *total)
{
	const uint64_t runs = meshes_of(f, at);

	for (size_t s = 0; s < f->node_n; s++) {
		if (f->node[s].protocol != MF_NODE || !(b->mesh[s] & runs))
			continue;
		for (size_t d = 0; d < f->node_n; d++) {
			if (s != d && b->mesh[s] & b->mesh[d] & runs &
			                  (b->hub[s] | b->hub[d]))
				add_session(f, b, u, s, d, total);
		}
	}
}

/* Its own part of the rows: those of the sessions from it. */
static void
find_busiest(const struct meshfile *f, const struct bits *b,
             struct plan_cost *out)
{
	size_t at = 0;

	for (size_t i = 1; i < f->node_n; i++) {
		if (b->bits[i] > b->bits[at])
			at = i;
	}
	if (f->node_n == 0 || b->bits[at] <= 0)
		return;
	out->node = f->node[at].name;
	out->busiest = (struct plan_load){.sessions = b->sessions[at],
	                                  .packets_s = b->sent[at],
	                                  .bits_s = b->bits[at]};
}

bool
plan_cost_make(const struct meshfile *f, size_t extra, struct plan_cost *out)
{
	struct bits b;
	bool ok = bits_make(&b, f);

	*out = (struct plan_cost){.node = NULL};
	for (size_t i = 0; ok && i < f->class_n; i++) {
		const struct unit u = unit_of(&f->class_[i], f->node_n + extra);

		add_class(f, &b, i, &u, &out->total);
	}
	if (ok)
		find_busiest(f, &b, out);
	bits_clear(&b);
	return ok;
}
