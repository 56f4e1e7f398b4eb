/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real prober thread against small reflectors in this process, whose fate
 * for each packet is known.
 */
#include "tests/unit/mirror.h"

struct tally {
	unsigned results;
	int64_t scheduled, sent, received, lost, fwd, bwd, undet, flags;
	int64_t rtt_max, first_epoch, last_epoch;
};

/* Takes all results; sums by destination (node id as index). */
static void
take_results(struct prober *p, struct tally *t, size_t n)
{
	struct letter *l = mailbox_take_all(prober_results(p)), *next;

	for (; l; l = next) {
		const struct result *r =
		    &((struct result_letter *)(void *)l)->result;
		const int64_t *v = r->v;
		struct tally *a = &t[r->dst_id];

		next = l->next;
		if (((struct prober_letter *)(void *)l)->kind !=
		    LETTER_RESULT) {
			prober_letter_free(l);
			continue;
		}
		ck_assert_uint_lt(r->dst_id, n);
		ck_assert_uint_eq(r->class_id, 5);
		ck_assert_int_eq(v[METRIC_SENT],
		                 v[METRIC_RECEIVED] + v[METRIC_LOST]);
		ck_assert_int_eq(v[METRIC_LOST], v[METRIC_LOST_FWD] +
		                                     v[METRIC_LOST_BWD] +
		                                     v[METRIC_LOST_UNDET]);
		a->results++;
		a->scheduled += v[METRIC_SCHEDULED];
		a->sent += v[METRIC_SENT];
		a->received += v[METRIC_RECEIVED];
		a->lost += v[METRIC_LOST];
		a->fwd += v[METRIC_LOST_FWD];
		a->bwd += v[METRIC_LOST_BWD];
		a->undet += v[METRIC_LOST_UNDET];
		a->flags |= v[METRIC_FLAGS];
		if (v[METRIC_RTT_MAX] > a->rtt_max)
			a->rtt_max = v[METRIC_RTT_MAX];
		if (!a->first_epoch)
			a->first_epoch = (int64_t)r->epoch;
		a->last_epoch = (int64_t)r->epoch;
		free(l);
	}
}

START_TEST(results_come_for_every_peer_and_conserve_packets)
{
	struct mirror a, b, *const m[] = {&a, &b};
	struct tally t[4] = {0};
	struct prober *p;

	mirror_start(&a, "127.0.0.1");
	mirror_start(&b, "127.0.0.1");
	p = start_prober(0);
	prober_set_plan(p, plan_of(3, test_class(), "127.0.0.1", m, 2));
	pass_ms(2500);
	take_results(p, t, 4);
	ck_assert_uint_ge(t[2].results, 2); /* aligned ones, while it runs */
	prober_stop(p);
	/* the mirrors take what still lies in their sockets */
	for (unsigned i = 0;
	     i < 200 && prober_stats(p)->sent > a.packets + b.packets; i++)
		pass_ms(10);
	take_results(p, t, 4);
	for (unsigned i = 2; i <= 3; i++) {
		const uint32_t packets = m[i - 2]->packets;

		ck_assert_uint_ge(t[i].results, 4);
		ck_assert_int_ge(t[i].scheduled, 150);
		ck_assert_int_le(t[i].scheduled, 250);
		ck_assert_int_eq(t[i].lost, 0);
		ck_assert_int_ge(t[i].received, 100);
		/* 3 of warm-up, and the last may be unanswered at the stop */
		ck_assert_int_le(t[i].received, packets - 3);
		ck_assert_int_ge(t[i].received, (int64_t)packets - 3 - 25);
		ck_assert_int_gt(t[i].rtt_max, 0);
		ck_assert_int_lt(t[i].rtt_max, 200 * MS);
		ck_assert_int_eq(t[i].first_epoch, 3);
		ck_assert(!(t[i].flags & RESULT_STATELESS));
	}
	ck_assert_uint_eq(t[1].results, 0); /* not ourselves */
	ck_assert_uint_ne(a.ssid, 0);
	ck_assert_uint_ne(a.ssid, b.ssid);
	ck_assert_int_eq(a.len, 128);
	ck_assert_uint_eq(prober_stats(p)->sent, a.packets + b.packets);
	ck_assert_int_gt(prober_take_lateness_ns(p), 0);
	ck_assert_int_eq(prober_take_lateness_ns(p), 0);
	prober_free(p);
	mirror_stop(&a);
	mirror_stop(&b);
}
END_TEST

/* Four packets a second apart prove that it counts, and then the session
 * begins: never more than one packet a second. */
START_TEST(a_target_is_asked_whether_it_counts_and_then_measured)
{
	struct mirror a, *const m[] = {&a};
	struct prober *p;
	struct plan *plan;

	mirror_start(&a, "127.0.0.1");
	p = start_prober(0);
	plan = plan_of(3, test_class(), "127.0.0.1", m, 1);
	plan->roster.node[1].kind = NODE_STAMP; /* [0] is us */
	prober_set_plan(p, plan);
	pass_ms(3500);
	ck_assert_uint_eq(a.packets, 4);
	ck_assert_uint_eq(prober_stats(p)->sent, 0);
	ck_assert_uint_eq(prober_stats(p)->targets_counting, 1);
	prober_free(p);
	mirror_stop(&a);
}
END_TEST

START_TEST(the_direction_of_loss_is_told_by_fact)
{
	struct mirror a, *const m[] = {&a};
	struct tally t[3] = {0};
	struct prober *p;

	mirror_start(&a, "127.0.0.1");
	a.lose_fwd = 10;
	a.lose_bwd = 20;
	p = start_prober(0);
	prober_set_plan(p, plan_of(1, test_class(), "127.0.0.1", m, 1));
	pass_ms(2500);
	prober_stop(p);
	take_results(p, t, 3);
	ck_assert_int_ge(t[2].fwd, 10);
	ck_assert_int_ge(t[2].bwd, 5);
	ck_assert_int_le(llabs(t[2].fwd - 2 * t[2].bwd), 3);
	ck_assert_int_le(t[2].undet, 1); /* the last one, perhaps */
	prober_free(p);
	mirror_stop(&a);
}
END_TEST

START_TEST(a_new_plan_keeps_what_did_not_change_and_ends_the_rest)
{
	struct mirror a, b, *const both[] = {&a, &b}, *const one[] = {&a};
	struct tally t[4] = {0};
	uint16_t ssid;
	uint32_t packets;
	struct prober *p;

	mirror_start(&a, "127.0.0.1");
	mirror_start(&b, "127.0.0.1");
	p = start_prober(0);
	prober_set_plan(p, plan_of(1, test_class(), "127.0.0.1", both, 2));
	pass_ms(700);
	ck_assert_uint_eq(prober_stats(p)->sessions, 2);
	ssid = a.ssid;
	prober_set_plan(p, plan_of(2, test_class(), "127.0.0.1", one, 1));
	pass_ms(300);
	ck_assert_uint_eq(prober_stats(p)->sessions, 1);
	packets = b.packets;
	take_results(p, t, 4);
	ck_assert_uint_ge(t[3].results, 1); /* its last one, cut short */
	ck_assert(t[3].flags & RESULT_PARTIAL);
	pass_ms(1500);
	ck_assert_uint_eq(b.packets, packets);
	ck_assert_uint_eq(a.ssid, ssid); /* the session went on */
	{
		struct plan *none =
		    plan_of(3, test_class(), "127.0.0.1", one, 1);

		none->roster.node[1].paused = true;
		prober_set_plan(p, none);
	}
	pass_ms(300);
	ck_assert_uint_eq(prober_stats(p)->sessions, 0);
	prober_set_plan(p, plan_of(4, test_class(), "127.0.0.1", both, 2));
	pass_ms(500);
	ck_assert_uint_ne(a.ssid, ssid); /* a new session, a new id */
	prober_stop(p);
	take_results(p, t, 4);
	ck_assert_int_eq(t[2].first_epoch, 1);
	ck_assert_int_eq(t[2].last_epoch, 4);
	ck_assert_int_eq(t[2].lost + t[3].lost, 0);
	prober_free(p);
	mirror_stop(&a);
	mirror_stop(&b);
}
END_TEST

START_TEST(one_packet_a_second_until_it_has_answered)
{
	struct mirror a, *const m[] = {&a};
	struct tally t[3] = {0};
	struct prober *p;

	mirror_start(&a, "127.0.0.1");
	a.mute = true;
	p = start_prober(0);
	prober_set_plan(p, plan_of(1, test_class(), "127.0.0.1", m, 1));
	pass_ms(3500);
	ck_assert_uint_ge(a.packets, 3);
	ck_assert_uint_le(a.packets, 4);
	take_results(p, t, 3);
	ck_assert(t[2].flags & RESULT_UNANSWERED);
	ck_assert_int_le(t[2].scheduled, 1);
	a.mute = false;
	pass_ms(2000);
	ck_assert_uint_ge(a.packets, 40); /* full rate again */
	prober_free(p);
	mirror_stop(&a);
}
END_TEST

START_TEST(a_foreign_reflector_without_session_ids_is_measured)
{
	struct mirror a, *const m[] = {&a};
	struct tally t[3] = {0};
	struct prober *p;

	mirror_start(&a, "127.0.0.1");
	a.no_ssid = true;
	p = start_prober(0);
	prober_set_plan(p, plan_of(1, test_class(), "127.0.0.1", m, 1));
	pass_ms(1500);
	prober_stop(p);
	take_results(p, t, 3);
	ck_assert_int_ge(t[2].received, 50);
	prober_free(p);
	mirror_stop(&a);
}
END_TEST

START_TEST(flows_have_source_ports_of_their_own_in_turn)
{
	struct roster_class c = test_class();
	struct mirror a, *const m[] = {&a};
	struct prober *p;

	mirror_start(&a, "127.0.0.1");
	c.flows = 3;
	c.dscp = 46;
	c.family = 4;
	p = start_prober(28620);
	prober_set_plan(p, plan_of(1, c, "127.0.0.1", m, 1));
	pass_ms(600);
	ck_assert_uint_eq(a.ports_n, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(a.ports[i], 28620 + i);
	ck_assert_int_eq(a.tos, 46 << 2);
	prober_free(p);
	mirror_stop(&a);
}
END_TEST

START_TEST(a_taken_source_port_is_replaced_by_any)
{
	struct mirror a, squatter, *const m[] = {&a};
	struct prober *p;

	mirror_start(&a, "127.0.0.1");
	mirror_start(&squatter, "0.0.0.0");
	p = start_prober(squatter.port);
	prober_set_plan(p, plan_of(1, test_class(), "127.0.0.1", m, 1));
	pass_ms(500);
	ck_assert_uint_ge(a.packets, 10);
	ck_assert_uint_eq(a.ports_n, 1);
	ck_assert_uint_ne(a.ports[0], squatter.port);
	prober_free(p);
	mirror_stop(&a);
	mirror_stop(&squatter);
}
END_TEST

START_TEST(ipv6_poisson_and_small_packets_work)
{
	struct roster_class c = test_class();
	struct mirror a, *const m[] = {&a};
	struct tally t[3] = {0};
	struct prober *p;

	mirror_start(&a, "::1");
	c.family = 6;
	c.schedule = SCHEDULE_POISSON;
	c.size_octets = STAMP_BASE;
	p = start_prober(0);
	prober_set_plan(p, plan_of(1, c, "::1", m, 1));
	pass_ms(2000);
	prober_stop(p);
	take_results(p, t, 3);
	ck_assert_int_ge(t[2].received, 60);
	ck_assert_int_eq(a.len, STAMP_BASE);
	ck_assert(t[2].flags & RESULT_STATELESS); /* no room for the bitmap */
	prober_free(p);
	mirror_stop(&a);
}
END_TEST

START_TEST(what_cannot_be_sent_is_counted_as_failed)
{
	struct roster_class c = test_class();
	struct mirror a, *const m[] = {&a};
	struct prober *p;

	mirror_start(&a, "127.0.0.1");
	c.size_octets = UINT16_MAX;
	p = start_prober(0);
	prober_set_plan(p, plan_of(1, c, "127.0.0.1", m, 1));
	pass_ms(500);
	ck_assert_uint_ge(prober_stats(p)->send_failed, 1);
	ck_assert_uint_eq(prober_stats(p)->sent, 0);
	prober_free(p);
	mirror_stop(&a);
}
END_TEST

START_TEST(plans_that_were_not_taken_are_replaced)
{
	struct mirror a, *const m[] = {&a};
	struct prober *p = start_prober(0);

	mirror_start(&a, "127.0.0.1");
	for (unsigned i = 1; i <= 100; i++)
		prober_set_plan(
		    p, plan_of(i, test_class(), "127.0.0.1", m, i == 100));
	pass_ms(300);
	ck_assert_uint_eq(prober_stats(p)->sessions, 1);
	prober_free(p);
	prober_free(NULL);
	mirror_stop(&a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("prober");
	TCase *t = tcase_create("prober");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, results_come_for_every_peer_and_conserve_packets);
	tcase_add_test(t,
	               a_target_is_asked_whether_it_counts_and_then_measured);
	tcase_add_test(t, the_direction_of_loss_is_told_by_fact);
	tcase_add_test(t,
	               a_new_plan_keeps_what_did_not_change_and_ends_the_rest);
	tcase_add_test(t, one_packet_a_second_until_it_has_answered);
	tcase_add_test(t, a_foreign_reflector_without_session_ids_is_measured);
	tcase_add_test(t, flows_have_source_ports_of_their_own_in_turn);
	tcase_add_test(t, a_taken_source_port_is_replaced_by_any);
	tcase_add_test(t, ipv6_poisson_and_small_packets_work);
	tcase_add_test(t, what_cannot_be_sent_is_counted_as_failed);
	tcase_add_test(t, plans_that_were_not_taken_are_replaced);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
