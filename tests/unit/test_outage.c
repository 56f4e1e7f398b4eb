/* SPDX-License-Identifier: BSD-2-Clause */
/* Loss runs one by one: what is told when, what belongs to a run and what
 * does not, and outages longer than any memory. */
#include "tests/unit/lab.h"

#include <jansson.h>
#include <string.h>
#include <time.h>

#define VECTORS TEST_SRCDIR "/tests/vectors/vectors.json"

static void
no_news(struct lab *l)
{
	struct loss_run r;

	ck_assert(!session_take_run(l->s, &r));
}

START_TEST(loss_periods_match_the_vectors)
{
	json_t *root = json_load_file(VECTORS, 0, NULL), *c, *j;
	size_t i, k;

	json_array_foreach(json_object_get(root, "loss"), i, c)
	{
		const json_t *lost = json_object_get(c, "lost_seqs");
		const json_t *want = json_object_get(c, "loss_periods");
		int64_t n[4] = {0}; /* of length 1, 2, more */
		struct lab l;
		struct result r;

		json_array_foreach(want, k, j)
		{
			const json_int_t m = json_integer_value(j);

			n[m < 3 ? m : 3]++;
		}
		lab_open(&l, params());
		for (json_int_t s = 0;
		     s < json_integer_value(json_object_get(c, "sent")); s++) {
			const uint32_t seq = lab_send(&l);
			bool is_lost = false;

			json_array_foreach(lost, k, j) is_lost |=
			    json_integer_value(j) == s;
			if (!is_lost)
				(void)lab_answer(&l, seq);
			l.now += 100 * MS;
		}
		l.now += 2 * NS_PER_S;
		session_finish(l.s, at(l.now), RESULT_PARTIAL);
		r = lab_take(&l);
		ck_assert_int_eq(r.v[METRIC_LOSS_RUNS_1], n[1]);
		ck_assert_int_eq(r.v[METRIC_LOSS_RUNS_2], n[2]);
		ck_assert_int_eq(r.v[METRIC_LOSS_RUNS_LONG], n[3]);
		session_free(l.s);
	}
	json_decref(root);
}
END_TEST

START_TEST(a_run_shows_within_three_seconds_and_is_told_again)
{
	struct loss_run a, b, d;
	struct lab l;

	lab_open(&l, params());
	lab_run(&l, "o", 50);
	lab_run(&l, "f", 23); /* 5.0 .. 7.2 s; 5.2 s timed out at 7.2 s */
	a = lab_take_run(&l, LOSS_RUN_CONFIRMED);
	ck_assert_int_le(l.now, 5000 * MS + 3 * NS_PER_S);
	ck_assert_uint_eq(a.lost, 3);
	ck_assert_uint_eq(a.revision, 1);
	ck_assert_uint_eq(a.first_seq, 50);
	ck_assert_uint_eq(a.last_seq, 52);
	ck_assert_int_eq(a.before.ns, WALL0 + 4900 * MS);
	ck_assert_int_eq(a.lower_ns, 200 * MS);
	lab_run(&l, "f", 99);
	no_news(&l);
	lab_run(&l, "f", 2); /* ten seconds later */
	b = lab_take_run(&l, LOSS_RUN_CONFIRMED);
	ck_assert_uint_eq(b.run_id, a.run_id);
	ck_assert_uint_eq(b.revision, 2);
	ck_assert_uint_ge(b.lost, 100);
	lab_run(&l, "o", 21);
	d = lab_take_run(&l, LOSS_RUN_CLOSED);
	ck_assert_uint_eq(d.run_id, a.run_id);
	ck_assert_uint_eq(d.revision, 3);
	ck_assert_uint_eq(d.lost, 124);
	ck_assert_uint_eq(d.lost_fwd, 124);
	ck_assert_int_eq(d.lower_ns, 12300 * MS);
	ck_assert_int_eq(d.upper_ns, 12500 * MS);
	no_news(&l);
	loss_run_clear(&d);
	session_free(l.s);
}
END_TEST

/* Three are overtaken: provisional at once. They come after all. */
START_TEST(overtaken_packets_open_a_run_and_their_replies_retract_it)
{
	struct session_reply x[4];
	struct loss_run a, b;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 10);
	for (unsigned i = 0; i < 4; i++) {
		const uint32_t seq = lab_send(&l);

		x[i] = lab_reflect(&l, seq, 5 * MS, 400 * MS);
		l.now += 20 * MS;
	}
	x[3].t4 = at(l.now);
	ck_assert_int_eq(session_reply(l.s, 0, &x[3], NULL), REPLY_OK);
	lab_until(&l, l.now + MS);
	a = lab_take_run(&l, LOSS_RUN_OPEN);
	ck_assert_uint_eq(a.first_seq, 10);
	ck_assert_uint_eq(a.last_seq, 12);
	ck_assert_uint_eq(a.lost, 3);
	ck_assert_uint_eq(a.lost_bwd, 3); /* as the bitmap says */
	lab_until(&l, l.now + 400 * MS);
	no_news(&l);
	ck_assert_int_eq(session_reply(l.s, 0, &x[0], NULL), REPLY_OK);
	lab_until(&l, l.now + MS);
	b = lab_take_run(&l, LOSS_RUN_RETRACTED);
	ck_assert_uint_eq(b.run_id, a.run_id);
	ck_assert_uint_eq(b.revision, 2);
	for (unsigned i = 1; i < 3; i++)
		ck_assert_int_eq(session_reply(l.s, 0, &x[i], NULL), REPLY_OK);
	lab_until(&l, l.now + 20 * NS_PER_S);
	no_news(&l);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_LOSS_RUNS_LONG], 0);
	ck_assert_int_eq(r.v[METRIC_REORDERED], 3);
	session_free(l.s);
}
END_TEST

START_TEST(an_open_run_closes_at_the_next_reply_when_all_timed_out)
{
	struct loss_run a, b, c;
	struct lab l;

	lab_open(&l, params());
	lab_run(&l, "o", 10);
	lab_run(&l, "fffo", 30);
	a = lab_take_run(&l, LOSS_RUN_OPEN);
	b = lab_take_run(&l, LOSS_RUN_CONFIRMED);
	c = lab_take_run(&l, LOSS_RUN_CLOSED);
	ck_assert(a.run_id == b.run_id && b.run_id == c.run_id);
	ck_assert_uint_eq(c.revision, 3);
	ck_assert_uint_eq(c.lost_fwd, 3);
	ck_assert_int_eq(c.upper_ns, 400 * MS);
	loss_run_clear(&c);
	no_news(&l);
	session_free(l.s);
}
END_TEST

START_TEST(the_end_of_a_session_ends_its_runs)
{
	struct loss_run a;
	struct lab l;
	struct result r;

	lab_open(&l, params());
	lab_run(&l, "o", 10);
	lab_run(&l, "f", 30); /* at 4.0 s those up to 1.9 s are lost */
	a = lab_take_run(&l, LOSS_RUN_CONFIRMED);
	session_finish(l.s, at(l.now), RESULT_PARTIAL);
	a = lab_take_run(&l, LOSS_RUN_CLOSED);
	ck_assert_uint_eq(a.lost, 10);
	ck_assert_uint_eq(a.lost_undet, 10);
	ck_assert_int_eq(a.after.ns, NS_UNKNOWN);
	ck_assert_int_eq(a.upper_ns, NS_UNKNOWN);
	ck_assert_uint_eq(a.packet_n, 20);
	loss_run_clear(&a);
	r = lab_take(&l);
	ck_assert_int_eq(r.v[METRIC_LOST], 10);
	ck_assert_int_eq(r.v[METRIC_LOSS_RUNS_LONG], 1);
	/* it may go on: the next run is another one, and knows nothing of
	 * what was before the pause */
	l.now += 60 * NS_PER_S;
	lab_run(&l, "ffffo", 30);
	a = lab_take_run(&l, LOSS_RUN_OPEN);
	ck_assert_int_eq(a.before.ns, NS_UNKNOWN);
	ck_assert_uint_eq(a.lost, 4);
	session_free(l.s);
}
END_TEST

/* --- what belongs to a run ------------------------------------------------ */

START_TEST(only_a_run_across_the_restart_says_so)
{
	struct loss_run a;
	struct lab l;

	lab_open(&l, params());
	lab_run(&l, "ooooooooooffffo", 40);
	(void)lab_take_run(&l, LOSS_RUN_OPEN);
	(void)lab_take_run(&l, LOSS_RUN_CONFIRMED);
	a = lab_take_run(&l, LOSS_RUN_CLOSED);
	ck_assert(!a.reflector_restart);
	loss_run_clear(&a);
	lab_run(&l, "f", 3);
	l.f = (struct reflector){.instance_id = 0x2222};
	lab_run(&l, "o", 40);
	a = lab_take_run(&l, LOSS_RUN_OPEN);
	ck_assert(a.reflector_restart);
	a = lab_take_run(&l, LOSS_RUN_CONFIRMED);
	ck_assert(a.reflector_restart);
	a = lab_take_run(&l, LOSS_RUN_CLOSED);
	ck_assert(a.reflector_restart);
	ck_assert_uint_eq(a.lost_undet, 3);
	loss_run_clear(&a);
	/* one without a loss, and long after it a run */
	l.f = (struct reflector){.instance_id = 0x3333};
	lab_run(&l, "o", 40);
	lab_run(&l, "fffo", 40);
	a = lab_take_run(&l, LOSS_RUN_OPEN);
	ck_assert(!a.reflector_restart);
	session_free(l.s);
}
END_TEST

START_TEST(only_a_run_that_a_local_drop_may_have_made_says_so)
{
	struct loss_run a;
	struct lab l;

	lab_open(&l, params());
	lab_run(&l, "ooooooooooffffo", 40);
	(void)lab_take_run(&l, LOSS_RUN_OPEN);
	(void)lab_take_run(&l, LOSS_RUN_CONFIRMED);
	a = lab_take_run(&l, LOSS_RUN_CLOSED);
	ck_assert(!a.host_limited);
	loss_run_clear(&a);
	lab_run(&l, "b", 4);
	session_local_drops(l.s, 4);
	lab_run(&l, "o", 30);
	(void)lab_take_run(&l, LOSS_RUN_OPEN);
	(void)lab_take_run(&l, LOSS_RUN_CONFIRMED);
	a = lab_take_run(&l, LOSS_RUN_CLOSED);
	ck_assert(a.host_limited);
	loss_run_clear(&a);
	lab_run(&l, "fffo", 40); /* in the same interval */
	a = lab_take_run(&l, LOSS_RUN_OPEN);
	ck_assert(!a.host_limited);
	session_free(l.s);
}
END_TEST

START_TEST(a_run_goes_over_all_flows_in_order_of_sending)
{
	struct session_params p = params();
	struct loss_run a;
	struct lab l;

	p.flows = 3;
	lab_open(&l, p);
	for (unsigned i = 0; i < 120; i++) {
		const unsigned flow = session_next_flow(l.s);
		const uint32_t seq = lab_send_on(&l, flow);
		/* all flows fail for 7 packets, flow 1 for 10 of its own */
		const bool lost =
		    (i >= 40 && i < 47) || (flow == 1 && i >= 60 && i < 90);

		ck_assert_uint_eq(flow, i % 3);
		if (!lost) {
			const struct session_reply x =
			    lab_reflect_on(&l, flow, seq, 5 * MS, 5 * MS);

			ck_assert_int_eq(session_reply(l.s, flow, &x, NULL),
			                 REPLY_OK);
		}
		lab_until(&l, l.now + 100 * MS);
	}
	lab_until(&l, l.now + 20 * NS_PER_S);
	do
		ck_assert(session_take_run(l.s, &a));
	while (a.state != LOSS_RUN_CLOSED);
	ck_assert_uint_eq(a.lost, 7);
	ck_assert_uint_eq(a.first_flow, 40 % 3);
	ck_assert_uint_eq(a.first_seq, 40 / 3);
	ck_assert_uint_eq(a.last_flow, 46 % 3);
	ck_assert_uint_eq(a.last_seq, 46 / 3);
	loss_run_clear(&a);
	no_news(&l); /* those of flow 1 stand alone */
	session_free(l.s);
}
END_TEST

/* The reflector was stalled: what it held comes late, and in one batch, when
 * the counters have spoken already. */
START_TEST(late_replies_do_not_break_what_was_decided_by_number)
{
	struct session_reply held[30];
	struct loss_run a;
	struct lab l;

	lab_open(&l, params());
	lab_run(&l, "o", 95);
	lab_run(&l, "f", 3);
	for (unsigned i = 0; i < 30; i++) {
		const uint32_t seq = lab_send(&l);

		held[i] = lab_reflect(&l, seq, 5 * MS, 9 * NS_PER_S);
		lab_until(&l, l.now + 100 * MS);
	}
	lab_run(&l, "b", 60);
	{
		const uint32_t seq = lab_send(&l);

		ck_assert_int_eq(lab_answer(&l, seq), REPLY_OK);
	}
	for (unsigned i = 0; i < 30; i++)
		ck_assert_int_eq(session_reply(l.s, 0, &held[i], NULL),
		                 REPLY_LATE);
	lab_until(&l, l.now + 3 * NS_PER_S);
	do
		ck_assert(session_take_run(l.s, &a));
	while (a.state != LOSS_RUN_CLOSED);
	ck_assert_uint_eq(a.lost, 93);
	ck_assert_uint_eq(a.lost_fwd, 3);
	ck_assert_uint_eq(a.lost_bwd, 90);
	ck_assert_uint_eq(a.lost_undet, 0);
	loss_run_clear(&a);
	session_free(l.s);
}
END_TEST

/* --- longer than any memory --------------------------------------------------
 */

START_TEST(the_evidence_shows_how_a_long_run_began)
{
	struct loss_run a;
	struct lab l;

	lab_open(&l, params());
	lab_run(&l, "o", 100);
	lab_run(&l, "f", 900); /* the window holds 256 */
	lab_run(&l, "o", 40);
	do
		ck_assert(session_take_run(l.s, &a));
	while (a.state != LOSS_RUN_CLOSED);
	ck_assert_uint_eq(a.lost, 900);
	ck_assert_uint_ge(a.packet_n, 151);
	for (unsigned i = 0; i < 50; i++) {
		ck_assert_uint_eq(a.packet[i].seq, 50 + i);
		ck_assert_uint_eq(a.packet[i].fate, FATE_RECEIVED);
		ck_assert_uint_eq(a.packet[50 + i].seq, 100 + i);
		ck_assert_uint_eq(a.packet[50 + i].fate, FATE_LOST_FWD);
		ck_assert_uint_eq(a.packet[100 + i].seq, 950 + i);
		ck_assert_uint_eq(a.packet[100 + i].fate, FATE_LOST_FWD);
	}
	ck_assert_uint_eq(a.packet[150].seq, 1000);
	ck_assert_uint_eq(a.packet[150].fate, FATE_RECEIVED);
	loss_run_clear(&a);
	session_free(l.s);
}
END_TEST

static double
cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Three days at 10 packets/s. */
START_TEST(an_outage_of_days_ends_at_once_and_corrects_what_is_kept)
{
	struct session_params p = params();
	uint32_t revised = 0, runs = 0, results = 0;
	struct loss_run a = {.lost = 0};
	struct revision v;
	struct lab l;
	struct result r;
	double began;

	p.interval_ns = 60 * NS_PER_S;
	lab_open(&l, p);
	lab_run(&l, "o", 600);
	for (unsigned i = 0; i < 3 * 86400; i++) {
		lab_run(&l, "f", 10);
		while (session_take(l.s, &r))
			results++;
		while (session_take_run(l.s, &a))
			runs++;
	}
	ck_assert_uint_ge(results, 3 * 1440 - 1);
	ck_assert_uint_le(runs, 3 * 8640 + 1);
	began = cpu_s();
	lab_run(&l, "o", 21);
	ck_assert(cpu_s() - began < 0.5);
	do
		ck_assert(session_take_run(l.s, &a));
	while (a.state != LOSS_RUN_CLOSED);
	ck_assert_uint_eq(a.lost, 30 * 86400);
	ck_assert_uint_eq(a.lost_fwd, 30 * 86400);
	ck_assert_int_eq(a.lower_ns, (30 * 86400 - 1) * 100 * MS);
	loss_run_clear(&a);
	while (session_take_revision(l.s, &v, NULL)) {
		ck_assert_uint_eq(v.lost_fwd, 600);
		ck_assert_uint_eq(v.lost_undet, 0);
		revised++;
	}
	ck_assert_uint_ge(revised, 500);
	ck_assert_uint_le(revised, 513);
	session_free(l.s);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, loss_periods_match_the_vectors);
	tcase_add_test(t, a_run_shows_within_three_seconds_and_is_told_again);
	tcase_add_test(
	    t, overtaken_packets_open_a_run_and_their_replies_retract_it);
	tcase_add_test(t,
	               an_open_run_closes_at_the_next_reply_when_all_timed_out);
	tcase_add_test(t, the_end_of_a_session_ends_its_runs);
	tcase_add_test(t, only_a_run_across_the_restart_says_so);
	tcase_add_test(t, only_a_run_that_a_local_drop_may_have_made_says_so);
	tcase_add_test(t, a_run_goes_over_all_flows_in_order_of_sending);
	tcase_add_test(t, late_replies_do_not_break_what_was_decided_by_number);
	tcase_add_test(t, the_evidence_shows_how_a_long_run_began);
	tcase_add_test(
	    t, an_outage_of_days_ends_at_once_and_corrects_what_is_kept);
}

int
main(void)
{
	return suite_main("outage", add);
}
