/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/world.h"

#include <stdlib.h>
#include <string.h>

#define BASE_NS (2 * MS) /* shortest delay of a way */

struct copy {
	int64_t t2_ns;
	uint32_t pkt;
};

struct peer {
	struct reflector f;
	bool replied;
	uint32_t last_rseq;
	int64_t last_t3_ns;
};

struct building {
	struct world *w;
	struct copy copy[2 * WORLD_PKTS];
	size_t copies;
	struct peer peer[WORLD_FLOWS];
	unsigned instance;
	uint32_t burst_left[2]; /* fwd, bwd */
};

struct world_conf
world_fair(uint64_t seed)
{
	return (struct world_conf){
	    .p = params(),
	    .seed = seed,
	    .packets = 1500,
	    .follow_up = true,
	    .tx_stamps = true,
	    .fwd = {.spread_ns = 20 * MS},
	    .bwd = {.spread_ns = 20 * MS},
	};
}

static bool
chance(struct world *w, double p)
{
	return p > 0 && rng_unit(&w->rng) <= p;
}

static int64_t
upto(struct world *w, int64_t ns)
{
	return ns > 0 ? (int64_t)(rng_unit(&w->rng) * (double)ns) : 0;
}

static int64_t
way_delay(struct world *w, const struct world_way *y)
{
	int64_t d = BASE_NS + upto(w, y->spread_ns);

	if (chance(w, y->slow))
		d += upto(w, y->slow_ns);
	return d;
}

/* How many copies of what sets out at t come through. */
static unsigned
way_copies(struct building *b, const struct world_way *y, uint32_t *burst,
           int64_t t)
{
	struct world *w = b->w;

	if (t >= w->c.dark_from_ns && t < w->c.dark_to_ns)
		return 0;
	if (*burst > 0) {
		--*burst;
		return 0;
	}
	if (chance(w, y->burst)) {
		*burst = (uint32_t)upto(w, 2 * (int64_t)y->burst_len);
		return 0;
	}
	if (chance(w, y->loss))
		return 0;
	return chance(w, y->dup) ? 2 : 1;
}

/* --- sending ------------------------------------------------------------ */

static void
build_sends(struct building *b)
{
	struct world *w = b->w;
	const unsigned flows = w->c.p.flows ? w->c.p.flows : 1;
	uint32_t seq[WORLD_FLOWS], sent = 0;

	for (unsigned i = 0; i < flows; i++)
		seq[i] = w->c.p.first_seq;
	for (uint32_t i = 0; i < w->c.packets; i++) {
		struct world_pkt *p = &w->pkt[i];

		p->sched_ns = 37 * MS + i * w->c.p.gap_ns;
		p->reached_ns = p->first = p->of_first_copy = -1;
		p->skipped = p->sched_ns >= w->c.stop_from_ns &&
		             p->sched_ns < w->c.stop_to_ns;
		w->ev[w->evs++] = (struct world_event){
		    p->skipped ? w->c.stop_to_ns : p->sched_ns,
		    p->skipped ? EVENT_SKIP : EVENT_SEND, i};
		if (p->skipped)
			continue;
		p->counted = sent >= w->c.p.warmup;
		p->flow = sent++ % flows;
		p->seq = seq[p->flow]++;
		p->user_t1_ns = p->sched_ns + upto(w, 50 * US);
		p->t1_ns = p->user_t1_ns;
		if (w->c.tx_stamps)
			p->t1_ns += 1 + upto(w, 20 * US);
		for (unsigned k =
		         way_copies(b, &w->c.fwd, &b->burst_left[0], p->t1_ns);
		     k > 0; k--)
			b->copy[b->copies++] = (struct copy){
			    p->t1_ns + way_delay(w, &w->c.fwd), i};
	}
}

/* --- reflecting --------------------------------------------------------- */

static void
restart_peers(struct building *b, int64_t now)
{
	const struct world_conf *c = &b->w->c;

	for (; b->instance < 2 && c->restart_ns[b->instance] > 0 &&
	       now >= c->restart_ns[b->instance];
	     b->instance++) {
		for (unsigned i = 0; i < WORLD_FLOWS; i++)
			b->peer[i] = (struct peer){.replied = false};
	}
	for (unsigned i = 0; i < WORLD_FLOWS; i++) {
		b->peer[i].f.instance_id = 100 + b->instance;
		b->peer[i].f.foreign = c->peer == PEER_COUNTING;
		b->peer[i].f.stateless = c->peer == PEER_STATELESS;
	}
}

static struct session_reply
make_reply(struct building *b, const struct copy *c, int64_t t3)
{
	struct world *w = b->w;
	struct peer *y = &b->peer[w->pkt[c->pkt].flow];
	struct session_reply r = {
	    .t1_wire = c->pkt,
	    .t2 = {WALL0 + c->t2_ns},
	    .t3 = {WALL0 + t3},
	    .t4_is_kernel = true,
	    .t4_nic_ns = NS_UNKNOWN,
	    .sender_ttl = 250,
	    .ttl = 251,
	    .tos = 0,
	    .fwd_dscp = -1,
	    .fwd_ecn = -1,
	    .reply_dscp = -1,
	    .sender_error_ns = 100,
	    .reflector_error_ns = 300,
	    .sender_synchronised = true,
	    .reflector_synchronised = true,
	    .has_follow_up = w->c.follow_up,
	};

	if (w->c.follow_up && y->replied) {
		r.follow_up = true;
		r.follow_up_seq = y->last_rseq;
		r.follow_up_t3 = (struct wall){WALL0 + y->last_t3_ns};
	}
	reflect(&y->f, w->pkt[c->pkt].seq, &r);
	return r;
}

static void
build_reply(struct building *b, const struct copy *c)
{
	struct world *w = b->w;
	struct world_pkt *p = &w->pkt[c->pkt];
	struct world_reply y = {.pkt = c->pkt, .t2_ns = c->t2_ns};
	unsigned copies;

	restart_peers(b, c->t2_ns);
	y.instance = b->instance;
	y.of_copy = p->reached_ns >= 0;
	if (p->reached_ns < 0)
		p->reached_ns = c->t2_ns;
	y.t3_ns = y.t2_ns + 10 * US;
	y.true_t3_ns = y.t3_ns + 1 + upto(w, 40 * US);
	y.r = make_reply(b, c, y.t3_ns);
	b->peer[p->flow].replied = true;
	b->peer[p->flow].last_rseq = y.r.reflector_seq;
	b->peer[p->flow].last_t3_ns = y.true_t3_ns;
	copies = way_copies(b, &w->c.bwd, &b->burst_left[1], y.true_t3_ns);
	while (copies-- > 0) {
		y.t4_ns = y.true_t3_ns + way_delay(w, &w->c.bwd);
		w->reply[w->replies++] = y;
	}
}

static int
copy_cmp(const void *a, const void *b)
{
	const struct copy *x = a, *y = b;

	return (x->t2_ns > y->t2_ns) - (x->t2_ns < y->t2_ns);
}

static int
reply_cmp(const void *a, const void *b)
{
	const struct world_reply *x = a, *y = b;

	return (x->t4_ns > y->t4_ns) - (x->t4_ns < y->t4_ns);
}

static int
event_cmp(const void *a, const void *b)
{
	const struct world_event *x = a, *y = b;

	if (x->t_ns != y->t_ns)
		return x->t_ns > y->t_ns ? 1 : -1;
	if (x->kind != y->kind) /* what waits in the socket is read first */
		return x->kind == EVENT_REPLY   ? -1
		       : y->kind == EVENT_REPLY ? 1
		                                : (int)x->kind - (int)y->kind;
	return x->i > y->i ? 1 : -1;
}

struct world *
world_build(const struct world_conf *c)
{
	struct world *w = calloc(1, sizeof(*w));
	struct building *b = calloc(1, sizeof(*b));

	ck_assert(w && b && c->packets <= WORLD_PKTS &&
	          c->p.flows <= WORLD_FLOWS);
	w->c = *c;
	b->w = w;
	rng_seed(&w->rng, c->seed);
	build_sends(b);
	qsort(b->copy, b->copies, sizeof(b->copy[0]), copy_cmp);
	for (size_t k = 0; k < b->copies; k++)
		build_reply(b, &b->copy[k]);
	qsort(w->reply, w->replies, sizeof(w->reply[0]), reply_cmp);
	for (size_t k = 0; k < w->replies; k++) {
		int64_t t = w->reply[k].t4_ns;

		if (t >= c->stop_from_ns && t < c->stop_to_ns)
			t = c->stop_to_ns;
		w->ev[w->evs++] =
		    (struct world_event){t, EVENT_REPLY, (uint32_t)k};
	}
	qsort(w->ev, w->evs, sizeof(w->ev[0]), event_cmp);
	free(b);
	w->s = session_new(&c->p);
	ck_assert_ptr_nonnull(w->s);
	if (c->peer == PEER_COUNTING)
		session_set_counting(w->s, true);
	return w;
}

void
world_free(struct world *w)
{
	session_free(w->s);
	for (size_t i = 0; i < w->runs; i++)
		loss_run_clear(&w->run[i]);
	free(w);
}

/* --- playing ------------------------------------------------------------ */

static struct clock_pair
world_at(const struct world *w, int64_t ns)
{
	wall_shift = w->c.step_ns && ns >= w->c.step_at_ns ? w->c.step_ns : 0;
	return at(ns);
}

static struct result *
result_of(struct world *w, struct wall start)
{
	for (size_t i = 0; i < w->results; i++) {
		if (w->result[i].start.ns == start.ns)
			return &w->result[i];
	}
	return NULL;
}

static void
take_revision(struct world *w, const struct revision *v)
{
	struct result *r = result_of(w, v->start);

	ck_assert_ptr_nonnull(r);
	ck_assert_int_eq((int64_t)v->lost_fwd + v->lost_bwd + v->lost_undet,
	                 r->v[METRIC_LOST]);
	ck_assert_uint_eq(v->dst_id, w->c.p.dst_id);
	ck_assert_uint_eq(v->class_id, w->c.p.class_id);
	r->v[METRIC_LOST_FWD] = v->lost_fwd;
	r->v[METRIC_LOST_BWD] = v->lost_bwd;
	r->v[METRIC_LOST_UNDET] = v->lost_undet;
	w->revisions++;
}

static void
collect(struct world *w)
{
	struct revision v;

	while (w->results < WORLD_RESULTS &&
	       session_take(w->s, &w->result[w->results])) {
		check_counts(&w->result[w->results]);
		w->results++;
	}
	while (session_take_revision(w->s, &v, NULL))
		take_revision(w, &v);
	while (w->runs < WORLD_RUNS && session_take_run(w->s, &w->run[w->runs]))
		w->runs++;
	ck_assert(w->results < WORLD_RESULTS && w->runs < WORLD_RUNS);
}

static void
play_send(struct world *w, uint32_t i)
{
	const struct world_pkt *p = &w->pkt[i];
	const struct clock_pair sched = world_at(w, p->sched_ns),
	                        user = world_at(w, p->user_t1_ns),
	                        sent = world_at(w, p->t1_ns);

	ck_assert_uint_eq(session_next_flow(w->s), p->flow);
	ck_assert_uint_eq(session_next_seq(w->s, p->flow), p->seq);
	session_slot(w->s, sched);
	session_sent(w->s, p->flow, sched, user, i);
	if (w->c.tx_stamps)
		ck_assert(session_tx_stamp(w->s, p->flow, p->seq, sent,
		                           NS_UNKNOWN,
		                           world_at(w, p->t1_ns + 1)));
}

static void
play_reply(struct world *w, uint32_t i)
{
	struct world_reply *y = &w->reply[i];

	y->r.t4 = world_at(w, y->t4_ns);
	w->verdict[session_reply(w->s, w->pkt[y->pkt].flow, &y->r, NULL)]++;
}

void
world_play(struct world *w, size_t events)
{
	int64_t now = INT64_MIN;

	for (size_t k = 0; k < events && k < w->evs; k++) {
		const struct world_event *e = &w->ev[k];

		if (e->t_ns != now) {
			session_advance(w->s, world_at(w, e->t_ns - 1), NULL,
			                NULL);
			collect(w);
		}
		now = e->t_ns;
		if (e->kind == EVENT_SEND)
			play_send(w, e->i);
		else if (e->kind == EVENT_REPLY)
			play_reply(w, e->i);
		else
			session_slot(w->s, world_at(w, w->pkt[e->i].sched_ns));
	}
}

void
world_end(struct world *w)
{
	const int64_t end = w->ev[w->evs - 1].t_ns + 10 * NS_PER_S;

	session_advance(w->s, world_at(w, end), NULL, NULL);
	collect(w);
	session_finish(w->s, world_at(w, end), RESULT_PARTIAL);
	collect(w);
	ck_assert_uint_eq(session_outstanding(w->s), 0);
}

struct world *
world_run(const struct world_conf *c)
{
	struct world *w = world_build(c);

	world_play(w, w->evs);
	world_end(w);
	world_judge(w);
	return w;
}

int64_t
world_sum(const struct world *w, enum metric m)
{
	int64_t sum = 0;

	for (size_t i = 0; i < w->results; i++) {
		if (w->result[i].v[m] != METRIC_NULL)
			sum += w->result[i].v[m];
	}
	return sum;
}
