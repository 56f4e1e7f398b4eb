/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reflectors without the private TLV (rule 7): only the sequence numbers of
 * one that was proved to count give a direction, and none beyond what they can
 * tell.
 */
#include "tests/unit/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed0;

#define ROUNDS 20

static void
foreign_open(struct lab *l, struct session_params p)
{
	lab_open(l, p);
	l->f.foreign = true;
	session_set_counting(l->s, true);
}

static struct result
only_result(struct lab *l)
{
	lab_until(l, l->now + 20 * NS_PER_S);
	return lab_take(l);
}

START_TEST(its_numbers_decide_whole_gaps)
{
	struct lab l;
	struct result r;

	foreign_open(&l, params());
	lab_run(&l, "oofobbbofffo", 100);
	r = only_result(&l);
	CHECK_LOSS(r, 7, 4, 3, 0);
	ck_assert_int_eq(r.v[METRIC_FWD_DUPLICATES], 0);
	ck_assert_int_eq(r.v[METRIC_BWD_REORDERED], 0);
	ck_assert(!(r.v[METRIC_FLAGS] & RESULT_STATELESS));
	session_free(l.s);
}
END_TEST

START_TEST(a_mixed_gap_is_decided_in_numbers)
{
	struct loss_run a;
	struct lab l;

	foreign_open(&l, params());
	lab_run(&l, "oobffbfo", 100);
	do
		ck_assert(session_take_run(l.s, &a));
	while (a.state != LOSS_RUN_CLOSED);
	ck_assert_uint_eq(a.lost_fwd, 3);
	ck_assert_uint_eq(a.lost_bwd, 2);
	/* which is which nobody knows */
	for (size_t i = 0; i < a.packet_n; i++)
		ck_assert(a.packet[i].fate == FATE_RECEIVED ||
		          a.packet[i].fate == FATE_LOST_UNDET);
	loss_run_clear(&a);
	CHECK_LOSS(only_result(&l), 5, 3, 2, 0);
	session_free(l.s);
}
END_TEST

START_TEST(long_gaps_too)
{
	struct session_params p = params();
	struct lab l;

	p.interval_ns = 60 * NS_PER_S;
	foreign_open(&l, p);
	lab_run(&l, "o", 20);
	lab_run(&l, "f", 380);
	lab_run(&l, "o", 180);
	lab_run(&l, "b", 380);
	lab_run(&l, "o", 180);
	lab_run(&l, "fffffb", 380);
	lab_run(&l, "o", 180);
	lab_until(&l, l.now + 20 * NS_PER_S);
	CHECK_LOSS(lab_take(&l), 400, 380, 20, 0);
	/* which of a mixed gap across two intervals were lost where? */
	CHECK_LOSS(lab_take(&l), 420, 0, 360, 60);
	CHECK_LOSS(lab_take(&l), 320, 0, 0, 320);
	session_free(l.s);
}
END_TEST

START_TEST(one_that_was_not_proved_to_count_gives_none)
{
	struct session_reply x;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	l.f.foreign = true;
	lab_run(&l, "oofobbbo", 50);
	(void)lab_send(&l);
	x = lab_reflect(&l, 50, 5 * MS, 5 * MS);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	x = lab_reflect(&l, 50, 5 * MS, 5 * MS);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_DUPLICATE);
	r = only_result(&l);
	CHECK_LOSS(r, 4, 0, 0, 4);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_STATELESS);
	ck_assert_int_eq(r.v[METRIC_DUPLICATES], 1);
	ck_assert_int_eq(r.v[METRIC_FWD_DUPLICATES], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_BWD_DUPLICATES], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_FWD_REORDERED], METRIC_NULL);
	ck_assert_int_eq(r.v[METRIC_BWD_REORDERED], METRIC_NULL);
	session_free(l.s);
}
END_TEST

/* Proved after a while: counted on from the next reply, never from 0. */
START_TEST(it_is_counted_on_from_where_it_was_proved)
{
	struct lab l;
	struct result r;

	lab_open(&l, params());
	l.f.foreign = true;
	lab_run(&l, "oofobo", 30);
	session_set_counting(l.s, true);
	lab_run(&l, "ofobo", 70);
	r = only_result(&l);
	CHECK_LOSS(r, 4, 1, 1, 2);
	session_free(l.s);
}
END_TEST

START_TEST(a_restart_decides_nothing_across_it)
{
	struct lab l;
	struct result r;

	foreign_open(&l, params());
	lab_run(&l, "oofoboo", 80);
	lab_run(&l, "b", 3);
	l.f = (struct reflector){.foreign = true};
	lab_run(&l, "bofbo", 17);
	r = only_result(&l);
	CHECK_LOSS(r, 8, 2, 2, 4);
	ck_assert(r.v[METRIC_FLAGS] & RESULT_REFLECTOR_RESTART);
	ck_assert_int_eq(r.v[METRIC_BWD_REORDERED], 0);
	session_free(l.s);
}
END_TEST

/* --- copies and overtaken packets ------------------------------------------
 */

/* Packet 5 was copied on the way there and 6 lost: the number of the copy's
 * answer does not make 6 lost on the way back. */
static void
copy_before_a_loss(bool answer_comes_late)
{
	struct session_reply x, y;
	struct lab l;
	struct result r;

	foreign_open(&l, params());
	lab_run(&l, "o", 5);
	(void)lab_send(&l);
	x = lab_reflect(&l, 5, 5 * MS, 5 * MS);
	y = lab_reflect(&l, 5, 6 * MS, 200 * MS);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	if (!answer_comes_late)
		ck_assert_int_eq(session_reply(l.s, 0, &y, NULL),
		                 REPLY_DUPLICATE);
	l.now += 100 * MS;
	lab_run(&l, "fo", 2);
	if (answer_comes_late)
		ck_assert_int_eq(session_reply(l.s, 0, &y, NULL),
		                 REPLY_DUPLICATE);
	lab_run(&l, "o", 20);
	r = only_result(&l);
	CHECK_LOSS(r, 1, 1, 0, 0);
	ck_assert_int_eq(r.v[METRIC_FWD_DUPLICATES], 1);
	session_free(l.s);
}

START_TEST(the_answer_to_a_copy_is_no_packet)
{
	copy_before_a_loss(false);
	copy_before_a_loss(true);
}
END_TEST

/* 6 reached it after 7, and 8 was lost on the way there. */
START_TEST(an_overtaken_packet_is_not_counted_twice)
{
	struct session_reply x, y;
	struct lab l;
	struct result r;

	foreign_open(&l, params());
	lab_run(&l, "o", 6);
	(void)lab_send(&l);
	(void)lab_send(&l);
	y = lab_reflect(&l, 7, 5 * MS, 5 * MS);
	x = lab_reflect(&l, 6, 9 * MS, 5 * MS);
	ck_assert_int_eq(session_reply(l.s, 0, &y, NULL), REPLY_OK);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	lab_run(&l, "fo", 20);
	r = only_result(&l);
	CHECK_LOSS(r, 1, 1, 0, 0);
	session_free(l.s);
}
END_TEST

/* Of 6 and 7 one reached it; then its reply comes, overtaken. */
START_TEST(the_reply_of_one_of_a_gap_tells_of_the_other)
{
	for (unsigned which = 6; which <= 7; which++) {
		struct session_reply x;
		struct lab l;
		struct result r;

		foreign_open(&l, params());
		lab_run(&l, "o", 6);
		(void)lab_send(&l);
		(void)lab_send(&l);
		x = lab_reflect(&l, which, 5 * MS, 500 * MS);
		lab_run(&l, "o", 2);
		ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
		lab_run(&l, "o", 20);
		r = only_result(&l);
		CHECK_LOSS(r, 1, 1, 0, 0);
		session_free(l.s);
	}
}
END_TEST

START_TEST(a_late_reply_shows_that_its_packet_was_received)
{
	for (unsigned which = 6; which <= 7; which++) {
		struct session_reply x;
		struct lab l;
		struct result r;

		foreign_open(&l, params());
		lab_run(&l, "o", 6);
		(void)lab_send(&l);
		(void)lab_send(&l);
		x = lab_reflect(&l, which, 5 * MS, 2500 * MS);
		lab_run(&l, "o", 30);
		ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_LATE);
		r = only_result(&l);
		CHECK_LOSS(r, 2, 1, 1, 0);
		ck_assert_int_eq(r.v[METRIC_LATE], 1);
		session_free(l.s);
	}
}
END_TEST

/* 7 overtook 6 on the way there, and was overtaken by it on the way back. */
START_TEST(order_changed_twice_is_no_restart)
{
	struct session_reply x, y;
	struct lab l;
	struct result r;

	foreign_open(&l, params());
	lab_run(&l, "o", 6);
	(void)lab_send(&l);
	(void)lab_send(&l);
	y = lab_reflect(&l, 7, 5 * MS, 5 * MS);
	x = lab_reflect(&l, 6, 9 * MS, 5 * MS);
	ck_assert_int_eq(session_reply(l.s, 0, &x, NULL), REPLY_OK);
	ck_assert_int_eq(session_reply(l.s, 0, &y, NULL), REPLY_OK);
	lab_run(&l, "fobo", 20);
	r = only_result(&l);
	CHECK_LOSS(r, 2, 1, 1, 0);
	ck_assert(!(r.v[METRIC_FLAGS] & RESULT_REFLECTOR_RESTART));
	ck_assert_int_eq(r.v[METRIC_BWD_REORDERED], 1);
	session_free(l.s);
}
END_TEST

/* --- worlds
 * -------------------------------------------------------------------- */

/* How many losses were claimed for a direction they were not in. */
static int64_t
wrong_claims(const struct world *w, int64_t *claims)
{
	int64_t wrong = 0;

	for (size_t i = 0; i < w->results; i++) {
		const struct result *r = &w->result[i];
		const int64_t from = r->start.ns - WALL0;
		int64_t fwd = 0, bwd = 0;

		for (uint32_t k = 0; k < w->c.packets; k++) {
			const struct world_pkt *p = &w->pkt[k];

			if (p->received || p->sched_ns < from ||
			    p->sched_ns >= from + w->c.p.interval_ns)
				continue;
			fwd += p->reached_ns < 0;
			bwd += p->reached_ns >= 0;
		}
		ck_assert_int_eq(r->v[METRIC_LOST], fwd + bwd);
		if (r->v[METRIC_LOST_FWD] > fwd)
			wrong += r->v[METRIC_LOST_FWD] - fwd;
		if (r->v[METRIC_LOST_BWD] > bwd)
			wrong += r->v[METRIC_LOST_BWD] - bwd;
		*claims += r->v[METRIC_LOST_FWD] + r->v[METRIC_LOST_BWD];
	}
	return wrong;
}

static struct world_conf
foreign_world(uint64_t seed)
{
	struct world_conf c = world_fair(seed);

	c.peer = PEER_COUNTING;
	c.p.flows = 1 + (unsigned)seed % 3;
	c.p.first_seq = (uint32_t)(seed * 2654435761U);
	return c;
}

static int64_t
play(const struct world_conf *c, int64_t *claims, int64_t *lost)
{
	struct world *w = world_run(c);
	const int64_t wrong = wrong_claims(w, claims);

	*lost += world_sum(w, METRIC_LOST);
	for (size_t i = 0; i < w->results; i++)
		ck_assert(
		    !(w->result[i].v[METRIC_FLAGS] & RESULT_REFLECTOR_RESTART));
	world_free(w);
	return wrong;
}

START_TEST(nothing_is_claimed_wrongly_in_order)
{
	int64_t claims = 0, lost = 0;

	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = foreign_world(seed0 + i);

		c.fwd.loss = c.bwd.loss = 0.05;
		c.fwd.burst = c.bwd.burst = i & 1 ? 0.01 : 0;
		c.fwd.burst_len = c.bwd.burst_len = 5;
		ck_assert_int_eq(play(&c, &claims, &lost), 0);
	}
	/* a mixed gap across an edge of an interval stays open */
	ck_assert_int_ge(claims * 100, lost * 95);
}
END_TEST

START_TEST(nothing_is_claimed_wrongly_among_copies_and_reordered_replies)
{
	int64_t claims = 0, lost = 0;

	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = foreign_world(seed0 + i);

		c.fwd.loss = c.bwd.loss = 0.05;
		c.bwd.dup = 0.1;
		c.bwd.spread_ns = 300 * MS;
		ck_assert_int_eq(play(&c, &claims, &lost), 0);
	}
	ck_assert_int_ge(claims * 100, lost * 90);
}
END_TEST

/* On the way there: exact as long as the answers come. */
START_TEST(copies_and_reordering_on_the_way_there_are_seen_through)
{
	int64_t claims = 0, lost = 0;

	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = foreign_world(seed0 + i);

		c.fwd.loss = 0.05;
		c.fwd.dup = 0.1;
		c.fwd.spread_ns = i & 1 ? 300 * MS : 20 * MS;
		c.bwd.spread_ns = i & 2 ? 300 * MS : 20 * MS;
		ck_assert_int_eq(play(&c, &claims, &lost), 0);
	}
	ck_assert_int_ge(claims * 100, lost * 90);
}
END_TEST

/* A lost answer to a copy or to an overtaken packet cannot be told from a lost
 * answer to a packet: the error that is left. */
START_TEST(what_nobody_can_tell_stays_small)
{
	int64_t claims = 0, lost = 0, wrong = 0;

	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct world_conf c = foreign_world(seed0 + i);

		c.fwd.loss = c.bwd.loss = 0.02;
		c.fwd.dup = c.bwd.dup = 0.1;
		c.fwd.spread_ns = c.bwd.spread_ns = 150 * MS;
		wrong += play(&c, &claims, &lost);
	}
	printf("of %" PRId64 " losses %" PRId64 " claimed, %" PRId64
	       " wrongly\n",
	       lost, claims, wrong);
	ck_assert_int_le(wrong * 25, claims);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, its_numbers_decide_whole_gaps);
	tcase_add_test(t, a_mixed_gap_is_decided_in_numbers);
	tcase_add_test(t, long_gaps_too);
	tcase_add_test(t, one_that_was_not_proved_to_count_gives_none);
	tcase_add_test(t, it_is_counted_on_from_where_it_was_proved);
	tcase_add_test(t, a_restart_decides_nothing_across_it);
	tcase_add_test(t, the_answer_to_a_copy_is_no_packet);
	tcase_add_test(t, an_overtaken_packet_is_not_counted_twice);
	tcase_add_test(t, the_reply_of_one_of_a_gap_tells_of_the_other);
	tcase_add_test(t, a_late_reply_shows_that_its_packet_was_received);
	tcase_add_test(t, order_changed_twice_is_no_restart);
	tcase_add_test(t, nothing_is_claimed_wrongly_in_order);
	tcase_add_test(
	    t, nothing_is_claimed_wrongly_among_copies_and_reordered_replies);
	tcase_add_test(t,
	               copies_and_reordering_on_the_way_there_are_seen_through);
	tcase_add_test(t, what_nobody_can_tell_stays_small);
}

int
main(void)
{
	const char *again = getenv("WORLD_SEED");

	seed0 = again ? strtoull(again, NULL, 10) : random_u64();
	printf("WORLD_SEED=%" PRIu64 "\n", seed0);
	fflush(stdout);
	return suite_main("foreign", add);
}
