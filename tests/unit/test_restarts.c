/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Worlds whose reflector begins anew while packets are under way; and replies
 * that are read in any order: what does not depend on it by its definition
 * comes out the same.
 */
#include "tests/unit/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed0;

#define ROUNDS 20

/* Nothing is claimed that is not so. */
static void
check_claims(const struct world *w)
{
	for (size_t i = 0; i < w->results; i++) {
		const struct result *r = &w->result[i];
		const int64_t from = r->start.ns - WALL0;
		int64_t sent = 0, fwd = 0, bwd = 0;

		for (uint32_t k = 0; k < w->c.packets; k++) {
			const struct world_pkt *p = &w->pkt[k];

			if (p->sched_ns < from ||
			    p->sched_ns >= from + w->c.p.interval_ns)
				continue;
			sent++;
			fwd += !p->received && p->reached_ns < 0;
			bwd += !p->received && p->reached_ns >= 0;
		}
		check_counts(r);
		ck_assert_int_eq(r->v[METRIC_SENT], sent);
		ck_assert_int_eq(r->v[METRIC_LOST], fwd + bwd);
		ck_assert_int_le(r->v[METRIC_LOST_FWD], fwd);
		ck_assert_int_le(r->v[METRIC_LOST_BWD], bwd);
	}
}

/* Copies by the reflector's count, of each of its lives, as it was told. */
static int64_t
copies_told(const struct world *w)
{
	int64_t sum = 0;

	for (unsigned f = 0; f < WORLD_FLOWS; f++) {
		uint32_t most[3] = {0, 0, 0};

		for (size_t k = 0; k < w->replies; k++) {
			const struct world_reply *y = &w->reply[k];

			if (w->pkt[y->pkt].flow == f &&
			    y->r.bitmap_duplicates > most[y->instance])
				most[y->instance] = y->r.bitmap_duplicates;
		}
		sum += (int64_t)most[0] + most[1] + most[2];
	}
	return sum;
}

static struct world_conf
restarting(uint64_t seed)
{
	struct world_conf c = world_fair(seed);

	c.p.flows = 1 + (unsigned)seed % 3;
	c.p.first_seq = (uint32_t)(seed * 2654435761U);
	c.restart_ns[0] = 44 * NS_PER_S + 3 * MS;
	c.restart_ns[1] = 99 * NS_PER_S + 7 * MS;
	return c;
}

START_TEST(a_restart_without_loss_changes_nothing)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = restarting(seed0 + i);
		struct world *w;
		int64_t flagged = 0;

		c.fwd.dup = i & 1 ? 0.1 : 0;
		w = world_run(&c);
		check_claims(w);
		ck_assert_int_eq(world_sum(w, METRIC_LOST), 0);
		ck_assert_int_eq(world_sum(w, METRIC_REORDERED), 0);
		ck_assert_int_eq(world_sum(w, METRIC_BWD_REORDERED), 0);
		ck_assert_int_eq(world_sum(w, METRIC_FWD_DUPLICATES),
		                 copies_told(w));
		for (size_t k = 0; k < w->results; k++)
			flagged += (w->result[k].v[METRIC_FLAGS] &
			            RESULT_REFLECTOR_RESTART) != 0;
		ck_assert_int_ge(flagged, 2);
		ck_assert_int_le(flagged, 4);
		world_free(w);
	}
}
END_TEST

START_TEST(a_restart_among_losses_claims_nothing_wrongly)
{
	for (uint64_t i = 0; i < 2 * ROUNDS; i++) {
		struct world_conf c = restarting(seed0 + i);
		struct world *w;

		c.fwd.loss = c.bwd.loss = 0.05;
		c.fwd.burst = c.bwd.burst = i & 1 ? 0.02 : 0;
		c.fwd.burst_len = c.bwd.burst_len = 6;
		c.dark_from_ns = i & 2 ? 41 * NS_PER_S + 77 * MS : 0;
		c.dark_to_ns = i & 2 ? 52 * NS_PER_S : 0;
		w = world_run(&c);
		check_claims(w);
		/* open: the two ends, and what lies across a restart */
		if (c.dark_to_ns == 0)
			ck_assert_int_le(world_sum(w, METRIC_LOST_UNDET) * 4,
			                 world_sum(w, METRIC_LOST));
		world_free(w);
	}
}
END_TEST

/* --- any order
 * ----------------------------------------------------------------
 */

static const enum metric by_order[] = {
    METRIC_FWD_JITTER,         METRIC_BWD_JITTER,         METRIC_REORDERED,
    METRIC_FWD_REORDERED,      METRIC_BWD_REORDERED,      METRIC_REORDER_EXTENT,
    METRIC_FWD_REORDER_EXTENT, METRIC_BWD_REORDER_EXTENT,
};

static bool
depends_on_order(unsigned m)
{
	for (size_t i = 0; i < sizeof(by_order) / sizeof(by_order[0]); i++) {
		if (by_order[i] == m)
			return true;
	}
	return false;
}

/* All packets, then all replies in the order of idx, then time passes. */
static struct result
told_in_order(const struct world *w, const uint32_t *idx)
{
	struct session *s = session_new(&w->c.p);
	struct result r;

	for (uint32_t i = 0; i < w->c.packets; i++) {
		const struct world_pkt *p = &w->pkt[i];

		session_slot(s, at(p->sched_ns));
		session_sent(s, p->flow, at(p->sched_ns), at(p->t1_ns), i);
	}
	for (size_t k = 0; k < w->replies; k++) {
		struct session_reply x = w->reply[idx[k]].r;

		x.t4 = at(w->reply[idx[k]].t4_ns);
		(void)session_reply(s, w->pkt[w->reply[idx[k]].pkt].flow, &x,
		                    NULL);
	}
	session_advance(s, at(30 * NS_PER_S), NULL, NULL);
	ck_assert(session_take(s, &r));
	check_counts(&r);
	session_free(s);
	return r;
}

START_TEST(what_does_not_depend_on_the_order_of_reading_does_not)
{
	static uint32_t idx[WORLD_REPLIES];

	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = world_fair(seed0 + i);
		struct result a, b;
		struct world *w;

		c.packets = 60; /* all within a bitmap */
		c.p.flows = 1 + (unsigned)i % 3;
		c.p.detail = true;
		c.tx_stamps = c.follow_up = false;
		c.fwd.loss = c.bwd.loss = 0.1;
		w = world_build(&c);
		wall_shift = 0;
		for (uint32_t k = 0; k < w->replies; k++)
			idx[k] = k;
		a = told_in_order(w, idx);
		for (uint32_t k = 0; k < w->replies; k++) {
			const uint32_t j =
			    k + (uint32_t)(rng_u64(&w->rng) % (w->replies - k));
			const uint32_t t = idx[k];

			idx[k] = idx[j];
			idx[j] = t;
		}
		b = told_in_order(w, idx);
		for (unsigned m = 1; m < METRIC_N; m++) {
			/* sums of doubles in another order */
			if (!depends_on_order(m))
				ck_assert_msg(llabs(a.v[m] - b.v[m]) <= 1,
				              "metric %u: %" PRId64
				              " and %" PRId64,
				              m, a.v[m], b.v[m]);
		}
		ck_assert_uint_eq(a.hist_len, b.hist_len);
		ck_assert_mem_eq(a.rtt_hist, b.rtt_hist, a.hist_len);
		ck_assert_uint_eq(a.fwd_hist_len, b.fwd_hist_len);
		ck_assert_mem_eq(a.fwd_hist, b.fwd_hist, a.fwd_hist_len);
		world_free(w);
	}
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, a_restart_without_loss_changes_nothing);
	tcase_add_test(t, a_restart_among_losses_claims_nothing_wrongly);
	tcase_add_test(t,
	               what_does_not_depend_on_the_order_of_reading_does_not);
}

int
main(void)
{
	const char *again = getenv("WORLD_SEED");

	seed0 = again ? strtoull(again, NULL, 10) : random_u64();
	printf("WORLD_SEED=%" PRIu64 "\n", seed0);
	fflush(stdout);
	return suite_main("restarts", add);
}
