/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/runtrack_priv.h"

#include "lib/stats/interval.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD_MAX 256U /* packets looked at ahead of the border */

bool
runtrack_init(struct runtrack *t, uint32_t packets, unsigned flows,
              uint64_t seed)
{
	uint32_t n = 128;

	while (n < packets && n < (1U << 24))
		n *= 2;
	memset(t, 0, sizeof(*t));
	t->ring = calloc(n, sizeof(*t->ring));
	t->tally = calloc(flows, sizeof(*t->tally));
	t->mask = n - 1;
	t->flows = flows;
	t->seed = seed;
	t->news_end = &t->news;
	if (t->ring && t->tally)
		return true;
	runtrack_release(t);
	return false;
}

void
runtrack_release(struct runtrack *t)
{
	while (t->news) {
		struct run_news *next = t->news->next;

		loss_run_clear(&t->news->run);
		free(t->news);
		t->news = next;
	}
	free(t->ring);
	free(t->tally);
	free(t->head);
	t->ring = NULL;
	t->tally = NULL;
	t->head = NULL;
}

void
runtrack_sent(struct runtrack *t, unsigned flow, struct pkt *p)
{
	p->order = t->next;
	t->ring[t->next++ & t->mask] =
	    (struct order_ref){.seq = p->seq, .flow = flow};
}

void
runtrack_dropped(struct runtrack *t, struct mono now)
{
	t->dropped = true;
	t->dropped_at = now;
}

struct pkt *
run_find(const struct view *v, uint64_t order, unsigned *flow)
{
	const struct order_ref *r = &v->t->ring[order & v->t->mask];
	struct pkt *p;

	if (order >= v->t->next || v->t->next - order > v->t->mask + 1U)
		return NULL;
	p = seqwin_find(v->flow(v->arg, r->flow)->win, r->seq);
	*flow = r->flow;
	return p && p->order == order ? p : NULL;
}

static struct tally
run_sum(const struct runtrack *t)
{
	struct tally sum = {0, 0, 0, 0};

	for (unsigned i = 0; i < t->flows; i++) {
		sum.lost += t->tally[i].lost;
		sum.fwd += t->tally[i].fwd;
		sum.bwd += t->tally[i].bwd;
	}
	return sum;
}

static struct run_edge
edge_of(const struct pkt *p, unsigned flow)
{
	const struct clock_pair t1 = {pkt_sent_at(p), p->t1.mono};

	return (struct run_edge){true, t1, p->order, p->seq, flow};
}

/* --- news ----------------------------------------------------------------- */

static uint64_t
new_id(struct runtrack *t)
{
	/* splitmix64: distinct for distinct input */
	uint64_t z = t->seed + ++t->runs * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Does it lie across the latest restart of the reflector? */
static bool
is_across(const struct run_restart *r, const struct run_edge *first,
          const struct run_edge *last)
{
	return r->seen && first->order <= r->after && last->order >= r->before;
}

static struct wall
edge_wall(const struct run_edge *e)
{
	return e->known ? e->t1.wall : (struct wall){NS_UNKNOWN};
}

/* A run from `first` to `last`; counts by `sum`; `after` may be unknown. */
static struct loss_run
describe(const struct view *v, const struct run_edge *before,
         const struct run_edge *first, const struct run_edge *last,
         const struct run_edge *after, const struct tally *sum)
{
	const struct runtrack *t = v->t;

	return (struct loss_run){
	    .first_seq = first->seq,
	    .last_seq = last->seq,
	    .first_flow = (uint16_t)first->flow,
	    .last_flow = (uint16_t)last->flow,
	    .lost = sum->lost,
	    .lost_fwd = sum->fwd,
	    .lost_bwd = sum->bwd,
	    .lost_undet = tally_undet(sum),
	    .first = first->t1.wall,
	    .last = last->t1.wall,
	    .before = edge_wall(before),
	    .after = edge_wall(after),
	    .lower_ns = mono_diff_ns(last->t1.mono, first->t1.mono),
	    .upper_ns = before->known && after->known
	                    ? mono_diff_ns(after->t1.mono, before->t1.mono)
	                    : NS_UNKNOWN,
	    .reflector_restart = is_across(&t->restart, first, last),
	    .host_limited =
	        t->dropped && mono_diff_ns(t->dropped_at, first->t1.mono) >= 0,
	};
}

static void
tell(const struct view *v, struct loss_run *r, enum loss_run_state state)
{
	struct runtrack *t = v->t;
	struct run_news *n = calloc(1, sizeof(*n));

	if (!t->told) {
		t->told = true;
		t->told_confirmed = false;
		t->run_id = new_id(t);
		t->revision = 0;
	}
	r->state = state;
	r->run_id = t->run_id;
	r->revision = ++t->revision;
	t->told_at = v->now;
	t->told_confirmed |= state == LOSS_RUN_CONFIRMED;
	if (state == LOSS_RUN_CLOSED || state == LOSS_RUN_RETRACTED)
		t->told = false;
	if (!n) {
		loss_run_clear(r);
		return;
	}
	n->run = *r;
	*t->news_end = n;
	t->news_end = &n->next;
}

static const struct run_edge nobody = {.known = false};

static void
tell_active(const struct view *v, enum loss_run_state state)
{
	struct runtrack *t = v->t;
	const struct tally sum = run_sum(t);
	struct loss_run r =
	    describe(v, &t->before, &t->first, &t->last, &nobody, &sum);

	tell(v, &r, state);
}

static void
redate(struct wall *w, int64_t moved_ns)
{
	if (w->ns != NS_UNKNOWN)
		*w = wall_moved(*w, moved_ns);
}

static void
redate_run(struct loss_run *r, int64_t moved_ns)
{
	redate(&r->first, moved_ns);
	redate(&r->last, moved_ns);
	redate(&r->before, moved_ns);
	redate(&r->after, moved_ns);
	for (size_t i = 0; i < r->packet_n; i++) {
		redate(&r->packet[i].t1, moved_ns);
		redate(&r->packet[i].t4, moved_ns);
	}
}

void
runtrack_redate(struct runtrack *t, int64_t moved_ns)
{
	struct run_edge *edge[] = {&t->before, &t->first,      &t->last,
	                           &t->seen,   &t->told_first, &t->told_last};

	for (size_t i = 0; i < sizeof(edge) / sizeof(edge[0]); i++)
		redate(&edge[i]->t1.wall, moved_ns);
	for (size_t i = 0; i < t->head_n; i++) {
		redate(&t->head[i].p.t1, moved_ns);
		redate(&t->head[i].p.t4, moved_ns);
	}
	for (struct run_news *n = t->news; n; n = n->next)
		redate_run(&n->run, moved_ns);
}

/* --- the walk ------------------------------------------------------------- */

static void
forget_run(const struct view *v)
{
	struct runtrack *t = v->t;
	uint64_t o = t->first.order;

	/* a run of days has left the ring but for its end */
	if (t->next - o > t->mask)
		o = t->next - t->mask - 1U;
	for (; t->active && o < t->border; o++) {
		unsigned flow;
		struct pkt *p = run_find(v, o, &flow);

		if (p)
			p->in_run = false;
	}
	memset(t->tally, 0, t->flows * sizeof(*t->tally));
	free(t->head);
	t->head = NULL;
	t->head_n = 0;
	t->active = t->long_booked = false;
}

/* Three are lost: it is a run. */
static void
grow_up(const struct view *v, struct pkt *p)
{
	struct runtrack *t = v->t;

	if (!t->long_booked && p->iv) {
		p->iv->runs_long++;
		t->long_booked = true;
		t->third_order = p->order;
	}
	evidence_start(v);
	tell_active(v, LOSS_RUN_CONFIRMED);
}

static void
take_lost(const struct view *v, struct pkt *p, unsigned flow)
{
	struct runtrack *t = v->t;
	uint32_t lost;

	/* it was none after all: their stamps said that they were in time */
	if (t->active && run_sum(t).lost == 0)
		forget_run(v);
	if (!t->active) {
		t->active = true;
		t->before = t->seen;
		t->first = edge_of(p, flow);
	}
	t->last = edge_of(p, flow);
	lossdir_join_run(v->flow(v->arg, flow), p);
	lost = run_sum(t).lost;
	if (lost == LOSS_RUN_MIN)
		grow_up(v, p);
	else if (lost > LOSS_RUN_MIN)
		evidence_add(v, p, flow);
}

/* A run of one or two belongs to the interval of the packet that ends it; with
 * none, or one that is not counted, to that of its last. */
static void
book_short(const struct view *v, const struct pkt *p, uint32_t lost)
{
	struct runtrack *t = v->t;
	unsigned flow;
	const struct pkt *q;
	struct interval *iv = p ? p->iv : NULL;

	if (t->long_booked && (q = run_find(v, t->third_order, &flow)) && q->iv)
		q->iv->runs_long--;
	if (!iv && (q = run_find(v, t->last.order, &flow)))
		iv = q->iv;
	if (iv && lost == 1)
		iv->runs_1++;
	else if (iv && lost == 2)
		iv->runs_2++;
}

/* The run ends before p (NULL: without an end). */
static void
end_run(const struct view *v, const struct pkt *p, unsigned flow)
{
	struct runtrack *t = v->t;
	const struct tally sum = run_sum(t);
	const struct run_edge after = p ? edge_of(p, flow) : nobody;
	struct loss_run r =
	    describe(v, &t->before, &t->first, &t->last, &after, &sum);

	if (sum.lost >= LOSS_RUN_MIN) {
		evidence_finish(v, &sum, p ? p->order : t->last.order + 1, &r);
		tell(v, &r, LOSS_RUN_CLOSED);
	} else {
		book_short(v, p, sum.lost);
		if (t->told)
			tell(v, &r, LOSS_RUN_RETRACTED);
	}
	forget_run(v);
}

static void
walk(const struct view *v)
{
	struct runtrack *t = v->t;

	for (; t->border < t->next; t->border++) {
		unsigned flow;
		struct pkt *p = run_find(v, t->border, &flow);

		if (!p || p->state == PKT_NONE)
			continue; /* not known any more, or taken out */
		if (p->state == PKT_SENT)
			return;
		if (p->state == PKT_LOST && p->counted)
			take_lost(v, p, flow);
		if (p->state != PKT_RECEIVED)
			continue;
		if (t->active)
			end_run(v, p, flow);
		t->seen = edge_of(p, flow);
	}
}

/* --- ahead of the border ---------------------------------------------------
 */

static bool
is_overtaken(const struct view *v, const struct pkt *p, unsigned flow)
{
	const struct seqwin *w = v->flow(v->arg, flow)->win;

	return p->state == PKT_SENT && w->any && seq_diff(w->high, p->seq) > 0;
}

/* What would be the run if all that was overtaken stayed away. */
struct guess {
	struct tally sum;
	struct run_edge first, last;
};

static struct guess
look_ahead(const struct view *v)
{
	struct runtrack *t = v->t;
	struct guess g = {.sum = {0, 0, 0, 0}};

	if (t->active)
		g = (struct guess){run_sum(t), t->first, t->last};
	for (uint64_t o = t->border; o < t->next && o < t->border + AHEAD_MAX;
	     o++) {
		unsigned flow;
		const struct pkt *p = run_find(v, o, &flow);

		if (!p || p->state == PKT_NONE || !p->counted)
			continue;
		if (p->state != PKT_LOST && !is_overtaken(v, p, flow))
			break;
		if (g.sum.lost == 0)
			g.first = edge_of(p, flow);
		g.last = edge_of(p, flow);
		g.sum.lost++;
		g.sum.fwd += p->dir == DIR_FWD;
		g.sum.bwd += p->dir == DIR_BWD;
	}
	return g;
}

static void
judge_ahead(const struct view *v)
{
	struct runtrack *t = v->t;
	const struct guess g = look_ahead(v);
	struct loss_run r;

	if ((g.sum.lost >= LOSS_RUN_MIN) == t->told)
		return;
	if (!t->told) {
		r = describe(v, t->active ? &t->before : &t->seen, &g.first,
		             &g.last, &nobody, &g.sum);
		t->told_first = g.first;
		t->told_last = g.last;
		tell(v, &r, LOSS_RUN_OPEN);
	} else if (!t->told_confirmed) {
		r = describe(v, &nobody, &t->told_first, &t->told_last, &nobody,
		             &g.sum);
		tell(v, &r, LOSS_RUN_RETRACTED);
	}
}

void
runtrack_advance(struct runtrack *t, runtrack_flow_fn *flow, void *arg,
                 struct mono now)
{
	const struct view v = {t, flow, arg, now};

	walk(&v);
	judge_ahead(&v);
	if (t->active && t->told && t->told_confirmed &&
	    mono_diff_ns(now, t->told_at) >= RUNTRACK_AGAIN_NS)
		tell_active(&v, LOSS_RUN_CONFIRMED);
}

void
runtrack_finish(struct runtrack *t, runtrack_flow_fn *flow, void *arg,
                struct mono now)
{
	const struct view v = {t, flow, arg, now};

	walk(&v);
	if (t->active)
		end_run(&v, NULL, 0);
	judge_ahead(&v);
	t->seen = nobody;
}
