/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shipper on a real spool, with a controller of a few lines and a clock
 * that the test turns.
 */
#include "meshd/shipper.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#define SENT_MAX 1000

static char dir[64], path[96];
static struct spool *spool;
static struct shipper *shipper;
static struct clock_pair now;

/* The controller: what came, in order. */
static uint64_t sent[SENT_MAX];
static size_t sent_n;
static uint32_t sent_rows[SENT_MAX];
static size_t sent_runs[SENT_MAX], sent_revisions[SENT_MAX];
static size_t sent_packets[SENT_MAX];
static struct gap last_gap;
static struct clock_mark sent_mark[SENT_MAX];
static int64_t clock_ns; /* of the letters that are added */
static int answer;       /* of send() */

static int
on_send(void *arg, const struct msg_batch *b)
{
	struct batch_body body;

	(void)arg;
	if (answer != 0)
		return answer;
	ck_assert_uint_lt(sent_n, SENT_MAX);
	ck_assert_int_eq(batch_body_decode(b->body, b->body_len, &body, NULL),
	                 MSG_OK);
	ck_assert_uint_eq(body.rows, b->rows);
	if (body.gap_n)
		last_gap = body.gap[0];
	sent_runs[sent_n] = body.run_n;
	sent_revisions[sent_n] = body.revision_n;
	sent_packets[sent_n] = 0;
	for (size_t i = 0; i < body.run_n; i++)
		sent_packets[sent_n] += body.run[i].packet_n;
	batch_body_clear(&body);
	sent_rows[sent_n] = b->rows;
	sent_mark[sent_n] = b->mark;
	sent[sent_n++] = b->seq;
	return 0;
}

static void
set_roster(int64_t spread_ns, size_t peers)
{
	struct roster_node node[16];
	struct roster_class class_ = {.class_id = 1,
	                              .ship_spread_ns = spread_ns};
	struct roster r = {
	    .node = node, .node_n = peers + 1, .class_ = &class_, .class_n = 1};

	memset(node, 0, sizeof(node));
	for (size_t i = 0; i <= peers; i++) {
		node[i].node_id = (uint32_t)i + 1;
		node[i].address_n = 1;
		ck_assert(addr_parse_ip("192.0.2.1", 862, &node[i].address[0]));
	}
	shipper_set_roster(shipper, &r, 1);
}

static void
setup(void)
{
	struct shipper_opts o = {.node_name = "ams1", .send = on_send};
	static const uint8_t boot_id[BOOT_ID_BYTES] = {1};
	struct spool_opts so = {path, 64U << 20, 86400 * NS_PER_S, boot_id};
	char *aside, err[256];

	(void)snprintf(dir, sizeof(dir), "/tmp/test_shipper.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/spool.db", dir);
	now = (struct clock_pair){{INT64_C(1795428000) * NS_PER_S},
	                          {1000 * NS_PER_S}};
	spool = spool_open(&so, now.wall, &aside, err, sizeof(err));
	ck_assert_msg(spool != NULL, "%s", err);
	o.spool = spool;
	shipper = shipper_new(&o);
	sent_n = 0;
	answer = 0;
	clock_ns = 0;
	set_roster(0, 2);
}

static void
teardown(void)
{
	char cmd[128];

	shipper_free(shipper);
	spool_free(spool);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static void
add(uint32_t dst, int interval)
{
	struct result_letter *l = calloc(1, sizeof(*l));

	l->result.dst_id = dst;
	l->result.class_id = 1;
	l->result.epoch = 3;
	l->result.start.ns = now.wall.ns + interval * NS_PER_S;
	l->result.interval_ns = NS_PER_S;
	l->clock_ns = clock_ns;
	shipper_add(shipper, (struct prober_letter *)(void *)l, now.mono);
}

/* News of a run to `dst`, closed with `packets` of evidence or open. */
static void
add_run(uint32_t dst, size_t packets)
{
	struct run_letter *l = calloc(1, sizeof(*l));
	struct loss_run *r = &l->run;

	l->kind = LETTER_RUN;
	l->clock_ns = clock_ns;
	r->dst_id = dst;
	r->class_id = 1;
	r->run_id = dst;
	r->revision = 1;
	r->state = packets ? LOSS_RUN_CLOSED : LOSS_RUN_OPEN;
	r->lost = r->lost_undet = 3;
	r->first = r->last = now.wall;
	r->before.ns = r->after.ns = r->upper_ns = NS_UNKNOWN;
	r->packet = calloc(packets + 1, sizeof(*r->packet));
	r->packet_n = packets;
	shipper_add(shipper, (struct prober_letter *)(void *)l, now.mono);
}

static void
add_revision(uint32_t dst, int interval)
{
	struct revision_letter *l = calloc(1, sizeof(*l));

	l->kind = LETTER_REVISION;
	l->clock_ns = clock_ns;
	l->revision = (struct revision){
	    dst, 1, wall_add_ns(now.wall, interval * NS_PER_S), 3, 0, 0};
	shipper_add(shipper, (struct prober_letter *)(void *)l, now.mono);
}

/* Turns the clock by `ms` and calls as often as the shipper asks for. */
static void
turn_ms(int64_t ms)
{
	const struct mono end = mono_add_ns(now.mono, ms * NS_PER_MS);

	for (int calls = 0; calls < 10000; calls++) {
		struct mono next = shipper_on_time(shipper, now);
		int64_t step;

		if (mono_diff_ns(next, end) > 0)
			break;
		step = mono_diff_ns(next, now.mono);
		if (step < 0)
			step = 0;
		now.mono.ns += step;
		now.wall.ns += step;
	}
	now.wall.ns += mono_diff_ns(end, now.mono);
	now.mono = end;
	(void)shipper_on_time(shipper, now);
}

static void
ack_one(uint64_t seq, enum ack_status status)
{
	struct msg_batch_ack a = {.spool_id = *spool_id(spool),
	                          .seq = &seq,
	                          .status = &status,
	                          .n = 1};

	shipper_on_ack(shipper, &a);
}

START_TEST(a_whole_interval_is_sealed_at_once)
{
	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 0);
	add(3, 0);
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 1);
	ck_assert_uint_eq(sent_rows[0], 2);
}
END_TEST

START_TEST(a_batch_is_of_one_clock_and_says_which)
{
	const int64_t hour = 3600 * NS_PER_S;

	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	clock_ns = 9 * NS_PER_MS; /* slewed */
	add(3, 0);
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 1);
	ck_assert_uint_eq(sent_rows[0], 2);
	add(2, 1);
	clock_ns += hour;
	add(3, 1); /* the same start, by another clock */
	turn_ms(400);
	ck_assert_uint_eq(sent_n, 3);
	for (size_t i = 0; i < sent_n; i++)
		ck_assert(sent_mark[i].known && sent_mark[i].boot_id[0] == 1);
	ck_assert_int_eq(sent_mark[0].ns, 0);
	ck_assert_int_eq(sent_mark[1].ns, 9 * NS_PER_MS);
	ck_assert_int_eq(sent_mark[2].ns, hour + 9 * NS_PER_MS);
	ck_assert_uint_eq(sent_rows[1], 1);
	ck_assert_uint_eq(sent_rows[2], 1);
	add_run(2, 0);
	add_run(3, 0);
	clock_ns = NS_UNKNOWN;
	add_run(4, 0);
	add_revision(2, 0);
	clock_ns = -hour;
	add_revision(3, 0);
	turn_ms(400);
	ck_assert_uint_eq(sent_n, 7);
	ck_assert_uint_eq(sent_runs[3], 2);
	ck_assert_int_eq(sent_mark[3].ns, hour + 9 * NS_PER_MS);
	ck_assert_uint_eq(sent_runs[4], 1);
	ck_assert(!sent_mark[4].known);
	ck_assert_uint_eq(sent_revisions[5], 1);
	ck_assert(!sent_mark[5].known);
	ck_assert_uint_eq(sent_revisions[6], 1);
	ck_assert_int_eq(sent_mark[6].ns, -hour);
}
END_TEST

START_TEST(a_part_of_an_interval_waits_300_ms_after_its_last)
{
	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	turn_ms(290);
	ck_assert_uint_eq(sent_n, 0);
	turn_ms(20);
	ck_assert_uint_eq(sent_n, 1);
	ck_assert_uint_eq(sent_rows[0], 1);
	add(3, 0); /* late: a batch of its own, not lost */
	turn_ms(310);
	ck_assert_uint_eq(sent_n, 2);
}
END_TEST

START_TEST(intervals_do_not_mix)
{
	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	add(2, 1);
	add(3, 1);
	add(3, 0);
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 2);
	ck_assert_uint_eq(sent_rows[0] + sent_rows[1], 4);
}
END_TEST

START_TEST(the_window_bounds_what_is_under_way)
{
	for (int i = 0; i < 20; i++) {
		add(2, i);
		add(3, i);
	}
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 0); /* no controller: it waits on disk */
	ck_assert_uint_eq(spool_counts(spool)->batches, 20);
	shipper_set_target(shipper, true, 8, true);
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 8);
	for (size_t i = 0; i < 8; i++)
		ck_assert_uint_eq(sent[i], i + 1); /* in order */
	ack_one(3, ACK_STORED);
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 9);
	ck_assert_uint_eq(sent[8], 9);
	for (uint64_t i = 1; i <= 20; i++) {
		ack_one(i, ACK_STORED);
		turn_ms(0);
	}
	ck_assert_uint_eq(sent_n, 20);
	ck_assert_uint_eq(spool_counts(spool)->batches, 0);
}
END_TEST

START_TEST(what_is_not_acknowledged_is_sent_again_after_5_s)
{
	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	add(3, 0);
	turn_ms(4900);
	ck_assert_uint_eq(sent_n, 1);
	turn_ms(200);
	ck_assert_uint_eq(sent_n, 2);
	ck_assert_uint_eq(sent[1], 1);
	ack_one(1, ACK_DUPLICATE);
	turn_ms(20000);
	ck_assert_uint_eq(sent_n, 2);
	ck_assert_uint_eq(shipper_stats(shipper)->duplicates, 1);
}
END_TEST

START_TEST(put_aside_is_final)
{
	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	add(3, 0);
	turn_ms(0);
	ack_one(1, ACK_PUT_ASIDE);
	turn_ms(20000);
	ck_assert_uint_eq(sent_n, 1);
	ck_assert_uint_eq(spool_counts(spool)->batches, 0);
}
END_TEST

START_TEST(another_controller_gets_everything_from_the_oldest)
{
	shipper_set_target(shipper, true, 2, true);
	for (int i = 0; i < 4; i++) {
		add(2, i);
		add(3, i);
	}
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 2);
	ack_one(2, ACK_STORED);
	shipper_set_target(shipper, false, 0, true);
	turn_ms(30000);
	ck_assert_uint_eq(sent_n, 2); /* nothing goes nowhere */
	shipper_set_target(shipper, true, 8, true);
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 5);
	ck_assert_uint_eq(sent[2], 1);
	ck_assert_uint_eq(sent[3], 3);
	ck_assert_uint_eq(sent[4], 4);
}
END_TEST

START_TEST(a_full_queue_is_tried_again_soon)
{
	answer = -EAGAIN;
	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	add(3, 0);
	turn_ms(1000);
	ck_assert_uint_eq(sent_n, 0);
	answer = 0;
	turn_ms(200);
	ck_assert_uint_eq(sent_n, 1);
}
END_TEST

START_TEST(shipping_is_spread_but_only_of_what_is_new)
{
	set_roster(3 * NS_PER_S, 2);
	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	add(3, 0);
	turn_ms(0);
	ck_assert_uint_eq(spool_counts(spool)->batches, 1);
	ck_assert_uint_eq(sent_n, 0); /* "ams1" hashes to more than 0 */
	turn_ms(3000);
	ck_assert_uint_eq(sent_n, 1);
	add(2, 1);
	add(3, 1);
	turn_ms(0);
	shipper_flush(shipper, now);
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 2); /* on the way out nothing waits */
}
END_TEST

START_TEST(acks_of_another_spool_mean_nothing)
{
	uint64_t seq = 1;
	enum ack_status status = ACK_STORED;
	struct msg_batch_ack a = {.seq = &seq, .status = &status, .n = 1};

	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	add(3, 0);
	turn_ms(0);
	shipper_on_ack(shipper, &a);
	ck_assert_uint_eq(spool_counts(spool)->batches, 1);
}
END_TEST

START_TEST(a_full_disk_keeps_results_in_memory_until_it_has_room)
{
	struct rlimit was, tight;

	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
	shipper_set_target(shipper, true, 64, true);
	tight = was;
	tight.rlim_cur = 4096; /* no write beyond it succeeds */
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
	add(2, 0);
	add(3, 0);
	turn_ms(0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &was), 0);
	ck_assert_uint_eq(sent_n, 0);
	ck_assert_uint_eq(shipper_stats(shipper)->waiting, 2);
	turn_ms(6000);
	ck_assert_uint_eq(sent_n, 2 - 1);
	ck_assert_uint_eq(sent_rows[0], 2);
	ck_assert_uint_eq(shipper_stats(shipper)->lost_rows, 0);
}
END_TEST

START_TEST(more_than_memory_holds_becomes_a_gap)
{
	struct rlimit was, tight;

	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
	tight = was;
	tight.rlim_cur = 4096;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
	/* 1,024 groups are bounded too: 25 rows each */
	for (int i = 0; i < 900; i++) {
		for (uint32_t d = 2; d < 27; d++)
			add(d, i);
	}
	turn_ms(1000);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &was), 0);
	ck_assert_uint_le(shipper_stats(shipper)->waiting, SHIPPER_RESULTS_MAX);
	ck_assert_uint_eq(shipper_stats(shipper)->lost_rows,
	                  900 * 25 - shipper_stats(shipper)->waiting);
	shipper_set_target(shipper, true, 64, true);
	turn_ms(6000);
	ck_assert_uint_gt(sent_n, 0);
	ck_assert_uint_eq(last_gap.rows, shipper_stats(shipper)->lost_rows);
	ck_assert_str_eq(last_gap.reason, "disk full");
}
END_TEST

/* The gap spans two clocks, and goes with results of a third. */
START_TEST(a_gap_is_dated_by_the_clock_of_its_batch)
{
	const int64_t hour = 3600 * NS_PER_S;
	const struct wall began = now.wall;

	for (int i = 0; i < 1024 + 20; i++) {
		if (i == 10) { /* the clock is set: so are its dates */
			clock_ns = hour;
			now.wall.ns += hour;
		}
		add(2, i);
	}
	ck_assert_uint_eq(shipper_stats(shipper)->lost_rows, 20);
	shipper_set_target(shipper, true, 64, true);
	turn_ms(400);
	ck_assert_uint_eq(last_gap.rows, shipper_stats(shipper)->lost_rows);
	ck_assert_int_eq(wall_diff_ns(last_gap.from, began), hour);
	ck_assert_int_eq(wall_diff_ns(last_gap.to, began),
	                 hour + 20 * NS_PER_S);
}
END_TEST

START_TEST(runs_are_gathered_for_100_ms)
{
	shipper_set_target(shipper, true, 8, true);
	add_run(2, 0);
	turn_ms(90);
	ck_assert_uint_eq(sent_n, 0);
	for (uint32_t i = 0; i < 1500; i++)
		add_run(3 + i, 0);
	turn_ms(20);
	ck_assert_uint_eq(sent_n, 1); /* they go by the oldest */
	ck_assert_uint_eq(sent_runs[0], 1501);
	ck_assert_uint_eq(sent_rows[0], 0);
	ck_assert_uint_eq(shipper_stats(shipper)->runs, 1501);
}
END_TEST

START_TEST(evidence_is_spread_over_batches)
{
	size_t packets = 0;

	shipper_set_target(shipper, true, 8, true);
	for (uint32_t i = 0; i < 250; i++)
		add_run(2 + i, LOSS_RUN_PACKETS_MAX);
	turn_ms(110);
	ck_assert_uint_eq(sent_n, 3); /* 20,000 packets each at most */
	for (size_t i = 0; i < 3; i++)
		packets += sent_packets[i];
	ck_assert_uint_eq(packets, 250 * LOSS_RUN_PACKETS_MAX);
}
END_TEST

START_TEST(runs_overtake_results_that_wait_for_their_place)
{
	set_roster(3 * NS_PER_S, 2);
	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	add(3, 0);
	turn_ms(10);
	ck_assert_uint_eq(sent_n, 0);
	add_run(2, 0);
	turn_ms(110);
	ck_assert_uint_eq(sent_n, 1);
	ck_assert_uint_eq(sent_runs[0], 1);
	ck_assert_uint_eq(sent[0], 2);
	turn_ms(3000);
	ck_assert_uint_eq(sent_n, 2); /* and the run is not sent twice */
	ck_assert_uint_eq(sent[1], 1);
	ack_one(2, ACK_STORED);
	ack_one(1, ACK_STORED);
	turn_ms(20000);
	ck_assert_uint_eq(sent_n, 2);
}
END_TEST

START_TEST(with_a_backlog_runs_have_their_turn)
{
	for (int i = 0; i < 70; i++) {
		add(2, i);
		add(3, i);
	}
	turn_ms(0);
	add_run(2, 0);
	turn_ms(110);
	shipper_set_target(shipper, true, 8, true);
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 8);
	for (uint64_t i = 0; i < 8; i++)
		ck_assert_uint_eq(sent[i], i + 1);
}
END_TEST

START_TEST(a_revision_follows_its_result)
{
	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	add_revision(2, 0);
	turn_ms(200);
	ck_assert_uint_eq(sent_n, 0); /* the result may have company yet */
	turn_ms(200);
	ck_assert_uint_eq(sent_n, 2);
	ck_assert_uint_eq(sent_rows[0], 1);
	ck_assert_uint_eq(sent_revisions[1], 1);
	add_revision(2, -9); /* of a result shipped long ago */
	turn_ms(110);
	ck_assert_uint_eq(sent_n, 3);
}
END_TEST

START_TEST(on_the_way_out_news_go_at_once)
{
	shipper_set_target(shipper, true, 8, true);
	add(2, 0);
	add_revision(2, 0);
	add_run(2, 5);
	shipper_flush(shipper, now);
	turn_ms(0);
	ck_assert_uint_eq(sent_n, 3);
	ck_assert_uint_eq(sent_runs[0], 1);
	ck_assert_uint_eq(sent_rows[1], 1);
	ck_assert_uint_eq(sent_revisions[2], 1);
}
END_TEST

START_TEST(a_run_that_no_controller_takes_is_dropped_and_counted)
{
	shipper_set_target(shipper, true, 8, true);
	add_run(0, 0); /* to nobody */
	turn_ms(110);
	add_run(2, 0);
	turn_ms(110);
	ck_assert_uint_eq(sent_n, 1);
	ck_assert_uint_eq(shipper_stats(shipper)->lost_news, 1);
}
END_TEST

START_TEST(more_runs_than_memory_holds_are_dropped_and_counted)
{
	struct rlimit was, tight;

	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
	tight = was;
	tight.rlim_cur = 4096;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
	for (uint32_t i = 0; i < 1010; i++)
		add_run(2 + i, LOSS_RUN_PACKETS_MAX);
	turn_ms(200);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &was), 0);
	ck_assert_uint_eq(sent_n, 0);
	ck_assert_uint_eq(shipper_stats(shipper)->lost_news, 10);
	shipper_set_target(shipper, true, 64, true);
	turn_ms(6000);
	ck_assert_uint_eq(sent_n, 10);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("shipper");
	TCase *t = tcase_create("core");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_whole_interval_is_sealed_at_once);
	tcase_add_test(t, a_batch_is_of_one_clock_and_says_which);
	tcase_add_test(t, a_part_of_an_interval_waits_300_ms_after_its_last);
	tcase_add_test(t, intervals_do_not_mix);
	tcase_add_test(t, the_window_bounds_what_is_under_way);
	tcase_add_test(t, what_is_not_acknowledged_is_sent_again_after_5_s);
	tcase_add_test(t, put_aside_is_final);
	tcase_add_test(t, another_controller_gets_everything_from_the_oldest);
	tcase_add_test(t, a_full_queue_is_tried_again_soon);
	tcase_add_test(t, shipping_is_spread_but_only_of_what_is_new);
	tcase_add_test(t, acks_of_another_spool_mean_nothing);
	tcase_add_test(t,
	               a_full_disk_keeps_results_in_memory_until_it_has_room);
	tcase_add_test(t, more_than_memory_holds_becomes_a_gap);
	tcase_add_test(t, a_gap_is_dated_by_the_clock_of_its_batch);
	tcase_add_test(t, runs_are_gathered_for_100_ms);
	tcase_add_test(t, evidence_is_spread_over_batches);
	tcase_add_test(t, runs_overtake_results_that_wait_for_their_place);
	tcase_add_test(t, with_a_backlog_runs_have_their_turn);
	tcase_add_test(t, a_revision_follows_its_result);
	tcase_add_test(t, on_the_way_out_news_go_at_once);
	tcase_add_test(t,
	               a_run_that_no_controller_takes_is_dropped_and_counted);
	tcase_add_test(t, more_runs_than_memory_holds_are_dropped_and_counted);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
