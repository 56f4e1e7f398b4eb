/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loss runs of random worlds (RFC 3357 5): each of three and more lost packets
 * in order of sending appears exactly once as closed, shorter ones are
 * counted, and the news of each tell a possible story.
 */
#include "tests/unit/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed0;

#define ROUNDS 12

/* --- the truth ------------------------------------------------------------ */

struct true_run {
	uint32_t first, last;  /* packets */
	int64_t before, after; /* packets received; -1: none */
	uint32_t lost;
};

static struct true_run truth[WORLD_PKTS];

/* The runs of exactly that length, or of three and more with n = 0. */
static size_t
true_runs(const struct world *w, uint32_t n)
{
	struct true_run r = {.before = -1};
	size_t runs = 0;

	for (uint32_t i = 0; i <= w->c.packets; i++) {
		const struct world_pkt *p =
		    i < w->c.packets ? &w->pkt[i] : NULL;

		if (p && (p->skipped || (!p->received && !p->counted)))
			continue;
		if (p && !p->received) {
			if (r.lost++ == 0)
				r.first = i;
			r.last = i;
			continue;
		}
		r.after = p ? (int64_t)i : -1;
		if (n ? r.lost == n : r.lost >= LOSS_RUN_MIN)
			truth[runs++] = r;
		r = (struct true_run){.before = i};
	}
	return runs;
}

static int64_t
wall_of(const struct world *w, int64_t i)
{
	return i < 0 ? NS_UNKNOWN : WALL0 + w->pkt[i].t1_ns;
}

/* --- one run ----------------------------------------------------------------
 */

static void
check_directions(const struct world *w, const struct loss_run *r,
                 const struct true_run *t)
{
	uint32_t fwd = 0, bwd = 0;

	for (uint32_t i = t->first; i <= t->last; i++) {
		const struct world_pkt *p = &w->pkt[i];

		fwd += !p->skipped && p->reached_ns < 0;
		bwd += !p->skipped && p->reached_ns >= 0;
	}
	ck_assert_uint_eq(r->lost, r->lost_fwd + r->lost_bwd + r->lost_undet);
	ck_assert_uint_le(r->lost_bwd, bwd);
	/* A run closes with what is known: that a packet reached it after the
	 * one that closes the run may be told later. */
	if (w->c.fwd.spread_ns <= w->c.p.gap_ns)
		ck_assert_uint_le(r->lost_fwd, fwd);
	/* what comes before the first reply and after the last is not known,
	 * nor what another flow has not been asked about yet */
	if (w->c.p.flows <= 1 && t->before >= 0 && t->after >= 0)
		ck_assert_uint_eq(r->lost_undet, 0);
}

static void
check_run(const struct world *w, const struct loss_run *r,
          const struct true_run *t)
{
	const struct world_pkt *first = &w->pkt[t->first],
	                       *last = &w->pkt[t->last];

	ck_assert_uint_eq(r->lost, t->lost);
	ck_assert_uint_eq(r->first_seq, first->seq);
	ck_assert_uint_eq(r->first_flow, first->flow);
	ck_assert_uint_eq(r->last_seq, last->seq);
	ck_assert_uint_eq(r->last_flow, last->flow);
	ck_assert_int_eq(r->first.ns, wall_of(w, t->first));
	ck_assert_int_eq(r->last.ns, wall_of(w, t->last));
	ck_assert_int_eq(r->before.ns, wall_of(w, t->before));
	ck_assert_int_eq(r->after.ns, wall_of(w, t->after));
	ck_assert_int_eq(r->lower_ns, last->t1_ns - first->t1_ns);
	if (t->before >= 0 && t->after >= 0)
		ck_assert_int_eq(r->upper_ns, w->pkt[t->after].t1_ns -
		                                  w->pkt[t->before].t1_ns);
	else
		ck_assert_int_eq(r->upper_ns, NS_UNKNOWN);
	ck_assert(!r->host_limited);
	check_directions(w, r, t);
}

/* --- evidence ----------------------------------------------------------------
 */

/* Slots that were skipped come between, so it is not before this one. */
static int64_t
pkt_of(const struct world *w, const struct loss_run_packet *e)
{
	const uint32_t flows = w->c.p.flows;

	for (uint32_t i = (e->seq - w->c.p.first_seq) * flows + e->flow;
	     i < w->c.packets; i++) {
		if (!w->pkt[i].skipped && w->pkt[i].seq == e->seq &&
		    w->pkt[i].flow == e->flow)
			return i;
	}
	return -1;
}

static void
check_fate(const struct world *w, const struct loss_run_packet *e,
           const struct world_pkt *p)
{
	const struct world_reply *y = p->first < 0 ? NULL : &w->reply[p->first];

	switch ((enum packet_fate)e->fate) {
	case FATE_RECEIVED:
		ck_assert(p->received);
		break;
	case FATE_LATE:
		ck_assert(p->late);
		break;
	case FATE_LOST_FWD:
		ck_assert(!p->received && (p->reached_ns < 0 ||
		                           w->c.fwd.spread_ns > w->c.p.gap_ns));
		break;
	case FATE_LOST_BWD:
		ck_assert(!p->received && p->reached_ns >= 0);
		break;
	case FATE_LOST_UNDET:
	case FATE_N:
		ck_assert(!p->received);
		break;
	}
	ck_assert_int_eq(e->t1.ns, WALL0 + p->t1_ns);
	if (e->fate != FATE_RECEIVED)
		return;
	ck_assert_ptr_nonnull(y);
	ck_assert_int_eq(e->t2.ns, WALL0 + y->t2_ns);
	ck_assert(e->t3.ns == WALL0 + y->t3_ns ||
	          e->t3.ns == WALL0 + y->true_t3_ns);
	ck_assert_int_eq(e->t4.ns, WALL0 + y->t4_ns);
	ck_assert_uint_eq(e->reflector_seq, y->r.reflector_seq);
	ck_assert_int_eq(e->ttl, 251);
	ck_assert_int_eq(e->sender_ttl, 250);
}

/* In order of sending; both ends of the run and what stands next to them. */
static void
check_evidence(const struct world *w, const struct loss_run *r,
               const struct true_run *t)
{
	int64_t last = -1;
	uint32_t in_run = 0;
	bool before = t->before < 0, after = t->after < 0, end = false;

	ck_assert_uint_le(r->packet_n, LOSS_RUN_PACKETS_MAX);
	for (size_t k = 0; k < r->packet_n; k++) {
		const int64_t i = pkt_of(w, &r->packet[k]);

		ck_assert_int_gt(i, last);
		last = i;
		check_fate(w, &r->packet[k], &w->pkt[i]);
		before |= i == t->before;
		after |= i == t->after;
		end |= i == t->last;
		in_run += i >= t->first && i <= t->last;
	}
	ck_assert(before && after && end);
	ck_assert_uint_eq(in_run, t->lost < 100 ? t->lost : 100);
}

/* --- the news
 * ------------------------------------------------------------------ */

struct story {
	uint64_t id;
	uint32_t revision;
	enum loss_run_state state;
};

static bool
may_follow(const struct story *s, enum loss_run_state next)
{
	if (s->revision == 0)
		return next != LOSS_RUN_RETRACTED;
	if (s->state == LOSS_RUN_OPEN)
		return next != LOSS_RUN_OPEN;
	return s->state == LOSS_RUN_CONFIRMED &&
	       (next == LOSS_RUN_CONFIRMED || next == LOSS_RUN_CLOSED);
}

static void
check_stories(const struct world *w)
{
	static struct story s[WORLD_RUNS];
	size_t n = 0;

	for (size_t k = 0; k < w->runs; k++) {
		const struct loss_run *r = &w->run[k];
		size_t i = 0;

		while (i < n && s[i].id != r->run_id)
			i++;
		if (i == n)
			s[n++] = (struct story){.id = r->run_id};
		ck_assert_msg(may_follow(&s[i], r->state), "%s after %s",
		              loss_run_state_str(r->state),
		              loss_run_state_str(s[i].state));
		ck_assert_uint_eq(r->revision, s[i].revision + 1);
		if (r->state != LOSS_RUN_RETRACTED)
			ck_assert_uint_ge(r->lost, LOSS_RUN_MIN);
		s[i].revision = r->revision;
		s[i].state = r->state;
	}
	for (size_t i = 0; i < n; i++)
		ck_assert(s[i].state == LOSS_RUN_CLOSED ||
		          s[i].state == LOSS_RUN_RETRACTED);
}

/* The last one may have no end, and its interval closed before the session. */
static void
check_short(const struct world *w, enum metric m, uint32_t length)
{
	const size_t n = true_runs(w, length);
	const bool endless = n > 0 && truth[n - 1].after < 0;

	ck_assert_int_le(world_sum(w, m), (int64_t)n);
	ck_assert_int_ge(world_sum(w, m), (int64_t)n - endless);
}

static void
check_runs(const struct world *w)
{
	size_t n = true_runs(w, 0), at_run = 0;

	check_stories(w);
	for (size_t k = 0; k < w->runs; k++) {
		const struct loss_run *r = &w->run[k];

		if (r->state != LOSS_RUN_CLOSED)
			continue;
		ck_assert_uint_lt(at_run, n);
		check_run(w, r, &truth[at_run]);
		check_evidence(w, r, &truth[at_run]);
		at_run++;
	}
	ck_assert_uint_eq(at_run, n);
	ck_assert_int_eq(world_sum(w, METRIC_LOSS_RUNS_LONG), (int64_t)n);
	check_short(w, METRIC_LOSS_RUNS_1, 1);
	check_short(w, METRIC_LOSS_RUNS_2, 2);
}

/* --- worlds
 * -------------------------------------------------------------------- */

static struct world_conf
fair(uint64_t seed, unsigned flows)
{
	struct world_conf c = world_fair(seed);

	c.p.first_seq = (uint32_t)(seed * 2654435761U);
	c.p.flows = flows;
	c.p.run_seed = seed;
	return c;
}

static void
run_world(const struct world_conf *c)
{
	struct world *w = world_run(c);

	check_runs(w);
	world_free(w);
}

START_TEST(runs_of_random_losses)
{
	for (uint64_t i = 0; i < 2 * ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 4);

		c.fwd.loss = 0.05 + 0.03 * (double)(i % 10);
		c.bwd.loss = 0.05 + 0.03 * (double)(i % 7);
		run_world(&c);
	}
}
END_TEST

START_TEST(runs_of_bursts)
{
	for (uint64_t i = 0; i < 2 * ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);

		c.p.warmup = (uint32_t)i % 5;
		c.fwd.burst = c.bwd.burst = 0.01;
		c.fwd.burst_len = 1 + (unsigned)i % 20;
		c.bwd.burst_len = 1 + (unsigned)i % 9;
		run_world(&c);
	}
}
END_TEST

/* Later packets come first: what looks lost for a while is not. */
START_TEST(runs_among_reordered_packets)
{
	for (uint64_t i = 0; i < 2 * ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);

		c.fwd.spread_ns = (int64_t)(i % 4) * 200 * MS;
		c.bwd.spread_ns = (int64_t)(i % 3) * 400 * MS;
		c.fwd.burst = c.bwd.burst = 0.01;
		c.fwd.burst_len = c.bwd.burst_len = 4;
		c.fwd.dup = c.bwd.dup = 0.05;
		run_world(&c);
	}
}
END_TEST

START_TEST(runs_among_late_packets)
{
	for (uint64_t i = 0; i < 2 * ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);

		c.bwd.slow = 0.1;
		c.bwd.slow_ns = 4 * NS_PER_S;
		c.bwd.burst = 0.01;
		c.bwd.burst_len = 4;
		run_world(&c);
	}
}
END_TEST

START_TEST(runs_longer_than_the_window)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);

		c.packets = 2400;
		c.dark_from_ns = 40 * NS_PER_S + 77 * MS;
		c.dark_to_ns = 140 * NS_PER_S;
		c.fwd.loss = 0.02;
		run_world(&c);
	}
}
END_TEST

START_TEST(a_stop_of_our_own_makes_no_run)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = fair(seed0 + i, 1 + (unsigned)i % 3);
		struct world *w;

		c.stop_from_ns = 33 * NS_PER_S + 55 * MS;
		c.stop_to_ns = 38 * NS_PER_S + 44 * MS;
		w = world_run(&c);
		check_runs(w);
		ck_assert_uint_eq(w->runs, 0);
		world_free(w);
	}
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, runs_of_random_losses);
	tcase_add_test(t, runs_of_bursts);
	tcase_add_test(t, runs_among_reordered_packets);
	tcase_add_test(t, runs_among_late_packets);
	tcase_add_test(t, runs_longer_than_the_window);
	tcase_add_test(t, a_stop_of_our_own_makes_no_run);
}

int
main(void)
{
	const char *again = getenv("WORLD_SEED");

	seed0 = again ? strtoull(again, NULL, 10) : random_u64();
	printf("WORLD_SEED=%" PRIu64 "\n", seed0);
	fflush(stdout);
	return suite_main("runs", add);
}
