/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the prober's results are made of: T1 by the kernel's transmit stamps,
 * flows with numbers of their own, DSCP and follow-ups, failed sends that harm
 * no other peer, loss runs and revisions.
 */
#include "tests/unit/mirror.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define LETTERS_MAX 200
#define CLOSED_PORT 9

/* --- a kernel whose error queue says nothing -------------------------------
 */

static _Atomic bool stamps_withheld;

/* Stands before libc's: the error queue can be made to look empty. */
int
recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags,
         struct timespec *timeout)
{
	if (stamps_withheld && flags & MSG_ERRQUEUE) {
		errno = EAGAIN;
		return -1;
	}
	return (int)syscall(SYS_recvmmsg, fd, msg, n, flags, timeout);
}

/* --- what the prober tells --------------------------------------------------
 */

static struct {
	struct result result[LETTERS_MAX];
	struct loss_run run[LETTERS_MAX];
	struct revision revision[LETTERS_MAX];
	size_t results, runs, revisions;
} told;

static bool
has_result(const struct revision *r)
{
	for (size_t i = 0; i < told.results; i++) {
		if (told.result[i].dst_id == r->dst_id &&
		    told.result[i].start.ns == r->start.ns)
			return true;
	}
	return false;
}

static void
take_letters(struct prober *p)
{
	struct letter *l = mailbox_take_all(prober_results(p)), *next;

	for (; l; l = next) {
		next = l->next;
		switch (((struct prober_letter *)(void *)l)->kind) {
		case LETTER_RESULT:
			ck_assert_uint_lt(told.results, LETTERS_MAX);
			told.result[told.results++] =
			    ((struct result_letter *)(void *)l)->result;
			break;
		case LETTER_RUN:
			ck_assert_uint_lt(told.runs, LETTERS_MAX);
			told.run[told.runs++] =
			    ((struct run_letter *)(void *)l)->run;
			free(l); /* the packets are ours now */
			continue;
		case LETTER_REVISION:
			ck_assert_uint_lt(told.revisions, LETTERS_MAX);
			told.revision[told.revisions] =
			    ((struct revision_letter *)(void *)l)->revision;
			/* never before what it corrects */
			ck_assert(has_result(&told.revision[told.revisions]));
			told.revisions++;
			break;
		}
		prober_letter_free(l);
	}
}

/* The metric summed over the results of a node; flags and stamps: all bits. */
static int64_t
sum(uint32_t node, enum metric m)
{
	int64_t v = 0;

	for (size_t i = 0; i < told.results; i++) {
		const struct result *r = &told.result[i];

		if (r->dst_id != node || r->v[m] == METRIC_NULL)
			continue;
		if (m == METRIC_STAMPS || m == METRIC_FLAGS)
			v |= r->v[m];
		else
			v += r->v[m];
	}
	return v;
}

/* The largest. */
static int64_t
most(uint32_t node, enum metric m)
{
	int64_t v = INT64_MIN;

	for (size_t i = 0; i < told.results; i++) {
		if (told.result[i].dst_id == node && told.result[i].v[m] > v)
			v = told.result[i].v[m];
	}
	return v;
}

static void
run_plan(struct plan *plan, long for_ms)
{
	struct prober *p = start_prober(0);

	prober_set_plan(p, plan);
	pass_ms(for_ms);
	prober_stop(p);
	take_letters(p);
	prober_free(p);
}

static struct roster_class
detailed(void)
{
	struct roster_class c = test_class();

	c.detail = true;
	return c;
}

/* --- T1 --------------------------------------------------------------------
 */

START_TEST(t1_is_the_kernels)
{
	struct mirror a, *const m[] = {&a};

	mirror_start(&a, "127.0.0.1");
	run_plan(plan_of(1, detailed(), "127.0.0.1", m, 1), 1500);
	ck_assert_int_ge(sum(2, METRIC_RECEIVED), 100);
	ck_assert_int_eq(sum(2, METRIC_TX_STAMPS_MISSING), 0);
	ck_assert_int_eq(sum(2, METRIC_STAMPS) &
	                     (STAMPS_T1_KERNEL | STAMPS_T1_USER),
	                 STAMPS_T1_KERNEL);
	mirror_stop(&a);
}
END_TEST

/* They are asked for and never read: T1 is our own, the results say so, and
 * the full error queue wakes nobody up. */
START_TEST(without_stamps_t1_is_our_own)
{
	struct mirror a, *const m[] = {&a};
	struct rusage before, after;
	int64_t cpu_us;

	mirror_start(&a, "127.0.0.1");
	stamps_withheld = true;
	(void)getrusage(RUSAGE_SELF, &before);
	run_plan(plan_of(1, detailed(), "127.0.0.1", m, 1), 2000);
	(void)getrusage(RUSAGE_SELF, &after);
	stamps_withheld = false;
	ck_assert_int_ge(sum(2, METRIC_RECEIVED), 150);
	ck_assert_int_eq(sum(2, METRIC_TX_STAMPS_MISSING),
	                 sum(2, METRIC_RECEIVED));
	ck_assert_int_eq(sum(2, METRIC_STAMPS) &
	                     (STAMPS_T1_KERNEL | STAMPS_T1_USER),
	                 STAMPS_T1_USER);
	cpu_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec +
	          after.ru_stime.tv_sec - before.ru_stime.tv_sec) *
	             1000000 +
	         after.ru_utime.tv_usec - before.ru_utime.tv_usec +
	         after.ru_stime.tv_usec - before.ru_stime.tv_usec;
	ck_assert_int_lt(cpu_us, 1000000); /* of 2 s */
	mirror_stop(&a);
}
END_TEST

/* --- flows ------------------------------------------------------------------
 */

static void
flows_over(const char *ip, int family)
{
	struct roster_class c = detailed();
	struct mirror a, *const m[] = {&a};

	mirror_start(&a, ip);
	c.flows = 4;
	c.family = family;
	run_plan(plan_of(1, c, ip, m, 1), 1500);
	mirror_stop(&a);
	ck_assert_uint_eq(a.ports_n, 4);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_ge(a.s[i].b.received, 30);
		ck_assert_uint_eq(a.s[i].b.received, a.s[i].b.highest + 1);
		ck_assert_uint_eq(a.s[i].ssid, a.s[0].ssid);
	}
	ck_assert_int_ge(sum(2, METRIC_RECEIVED), 100);
	ck_assert_int_eq(sum(2, METRIC_LOST), 0);
	ck_assert_int_eq(sum(2, METRIC_TX_STAMPS_MISSING), 0);
	ck_assert_uint_gt(told.result[1].flows_len, 0);
}

START_TEST(flows_have_sequence_numbers_of_their_own)
{
	flows_over("127.0.0.1", 4);
}
END_TEST

START_TEST(flows_over_ipv6)
{
	flows_over("::1", 6);
}
END_TEST

/* --- what replies tell ------------------------------------------------------
 */

/* The mirror's T3 is 5 ms early, as if it had waited before its send; the next
 * reply says so. */
START_TEST(follow_ups_correct_t3)
{
	struct mirror a, *const m[] = {&a};

	mirror_start(&a, "127.0.0.1");
	a.early_t3 = true;
	run_plan(plan_of(1, detailed(), "127.0.0.1", m, 1), 1500);
	mirror_stop(&a);
	ck_assert_int_ge(sum(2, METRIC_RECEIVED), 100);
	ck_assert(sum(2, METRIC_STAMPS) & STAMPS_T3_FOLLOW_UP);
	ck_assert_int_le(sum(2, METRIC_T3_UNCORRECTED), (int64_t)told.results);
	ck_assert_int_lt(told.result[1].v[METRIC_BWD_MEAN], 4 * MS);
}
END_TEST

START_TEST(dscp_is_told_for_both_ways)
{
	struct roster_class c = detailed();
	struct mirror a, *const m[] = {&a};

	mirror_start(&a, "127.0.0.1");
	c.dscp = 46;
	run_plan(plan_of(1, c, "127.0.0.1", m, 1), 1000);
	ck_assert_int_eq(most(2, METRIC_FWD_DSCP), 46);
	ck_assert_int_eq(most(2, METRIC_BWD_DSCP), 46);
	ck_assert_int_eq(most(2, METRIC_FWD_REMARKED), 0);
	ck_assert_int_eq(most(2, METRIC_BWD_REMARKED), 0);
	ck_assert(!(sum(2, METRIC_FLAGS) & RESULT_REMARKED));
	told.results = 0;
	a.reply_dscp = 8;
	run_plan(plan_of(1, c, "127.0.0.1", m, 1), 1000);
	mirror_stop(&a);
	ck_assert_int_eq(most(2, METRIC_BWD_DSCP), 8);
	ck_assert_int_eq(sum(2, METRIC_FWD_REMARKED), 0);
	ck_assert_int_eq(sum(2, METRIC_BWD_REMARKED), sum(2, METRIC_RECEIVED));
	ck_assert(sum(2, METRIC_FLAGS) & RESULT_REMARKED);
}
END_TEST

/* --- failed sends ------------------------------------------------------------
 */

static void
is_unharmed(uint32_t node)
{
	ck_assert_int_ge(sum(node, METRIC_RECEIVED), 150);
	ck_assert_int_eq(sum(node, METRIC_LOST), 0);
	ck_assert_int_eq(sum(node, METRIC_SEND_FAILED), 0);
	ck_assert_int_eq(sum(node, METRIC_TX_STAMPS_MISSING), 0);
	ck_assert_int_eq(sum(node, METRIC_ALTERED), 0);
}

/* One socket, two peers; a firewall at our own output drops what goes to one:
 * its sends fail, and consume transmit ids. */
START_TEST(drops_at_output_harm_no_other_peer)
{
	struct mirror a, b, *const m[] = {&a, &b};
	char cmd[256];

	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
		printf("skipped: needs CAP_NET_ADMIN\n");
		return;
	}
	ck_assert_int_eq(system("ip link set lo up"), 0);
	mirror_start(&a, "127.0.0.1");
	mirror_start(&b, "127.0.0.1");
	(void)snprintf(cmd, sizeof(cmd),
	               "nft 'add table ip t; add chain ip t o { type filter "
	               "hook output priority 0; }; add rule ip t o udp dport "
	               "%u drop'",
	               b.port);
	ck_assert_int_eq(system(cmd), 0);
	run_plan(plan_of(1, test_class(), "127.0.0.1", m, 2), 4500);
	is_unharmed(2);
	ck_assert_int_ge(sum(3, METRIC_SEND_FAILED), 1);
	ck_assert_int_eq(sum(3, METRIC_SENT), 0);
	ck_assert_int_eq(b.packets, 0);
	mirror_stop(&a);
	mirror_stop(&b);
}
END_TEST

/* One socket, two peers; nobody listens at the port of one, and its host says
 * so by ICMP. */
START_TEST(a_closed_port_harms_no_other_peer)
{
	struct mirror a, closed = {.port = CLOSED_PORT};
	struct mirror *const m[] = {&a, &closed};

	mirror_start(&a, "127.0.0.1");
	run_plan(plan_of(1, test_class(), "127.0.0.1", m, 2), 3500);
	is_unharmed(2);
	ck_assert_int_eq(sum(3, METRIC_SEND_FAILED), 0);
	ck_assert_int_eq(sum(3, METRIC_RECEIVED), 0);
	mirror_stop(&a);
}
END_TEST

/* --- loss runs and revisions ------------------------------------------------
 */

static void
check_run(const struct mirror *a, const struct loss_run *first,
          const struct loss_run *last)
{
	char text[ADDR_TEXT_MAX], want[ADDR_TEXT_MAX];

	/* nothing overtakes in a blackout: the timeout opens and confirms */
	ck_assert(first->state == LOSS_RUN_OPEN ||
	          first->state == LOSS_RUN_CONFIRMED);
	ck_assert_int_eq(last->state, LOSS_RUN_CLOSED);
	ck_assert_uint_eq(first->run_id, last->run_id);
	ck_assert_uint_gt(last->revision, first->revision);
	ck_assert_uint_eq(last->dst_id, 2);
	ck_assert_uint_ge(last->lost, 20);
	ck_assert_uint_eq(last->lost, last->lost_fwd);
	ck_assert_int_ge(last->upper_ns, last->lower_ns);
	ck_assert_int_ge(last->lower_ns, NS_PER_S);
	ck_assert_uint_ge(last->packet_n, last->lost);
	(void)snprintf(want, sizeof(want), "127.0.0.1:%u", a->ports[0]);
	ck_assert_str_eq(addr_format(&last->src, text), want);
	(void)snprintf(want, sizeof(want), "127.0.0.1:%u", a->port);
	ck_assert_str_eq(addr_format(&last->dst, text), want);
}

/* A blackout that outlives its intervals: a run, and once the first reply after
 * it tells the direction, revisions. */
START_TEST(a_blackout_is_told_and_its_direction_later)
{
	struct roster_class c = test_class();
	struct mirror a, *const m[] = {&a};
	struct prober *p = start_prober(0);

	c.gap_ns = 50 * MS;
	mirror_start(&a, "127.0.0.1");
	prober_set_plan(p, plan_of(1, c, "127.0.0.1", m, 1));
	pass_ms(1000);
	a.mute = true;
	pass_ms(800);
	take_letters(p);
	ck_assert_uint_ge(told.runs, 1); /* while it lasts */
	pass_ms(1200);
	a.mute = false;
	pass_ms(1000);
	prober_stop(p);
	take_letters(p);
	prober_free(p);
	mirror_stop(&a);
	ck_assert_uint_ge(told.runs, 2);
	check_run(&a, &told.run[0], &told.run[told.runs - 1]);
	ck_assert_uint_ge(told.revisions, 1);
	for (size_t i = 0; i < told.revisions; i++)
		ck_assert_uint_eq(told.revision[i].lost_undet, 0);
	for (size_t i = 0; i < told.runs; i++)
		loss_run_clear(&told.run[i]);
}
END_TEST

/* --- the clock ---------------------------------------------------------------
 */

static void
write_offset(const char *path, const char *seconds)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	(void)fputs(seconds, f);
	(void)fclose(f);
}

/* Our clock, and with it all stamps, steps by an hour and back, for prober and
 * mirror alike: round trips and counts stay right, T1 stays the kernel's, and
 * the intervals are cut and flagged. */
START_TEST(a_stepped_clock_spoils_no_round_trip)
{
	char path[] = "/tmp/twmesh-test-clock.XXXXXX";
	struct mirror a, *const m[] = {&a};
	struct prober *p;

	ck_assert_int_ge(mkstemp(path), 0);
	write_offset(path, "0");
	ck_assert_int_eq(setenv("TWMESH_TEST_CLOCK_FILE", path, 1), 0);
	ck_assert_ptr_null(clock_test_init());
	mirror_start(&a, "127.0.0.1");
	p = start_prober(0);
	prober_set_plan(p, plan_of(1, detailed(), "127.0.0.1", m, 1));
	pass_ms(1500);
	write_offset(path, _i ? "-3600" : "1");
	pass_ms(2000);
	write_offset(path, "0");
	pass_ms(2000);
	prober_stop(p);
	take_letters(p);
	prober_free(p);
	mirror_stop(&a);
	(void)unlink(path);
	ck_assert(sum(2, METRIC_FLAGS) & RESULT_CLOCK_STEP);
	ck_assert_int_ge(sum(2, METRIC_RECEIVED), 350);
	ck_assert_int_eq(sum(2, METRIC_LOST), 0);
	ck_assert_int_lt(most(2, METRIC_RTT_MAX), 200 * MS);
	/* those under way while it stepped, at the most */
	ck_assert_int_le(sum(2, METRIC_TX_STAMPS_MISSING), 4);
	ck_assert_uint_eq(told.runs, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("prober_stamps");
	TCase *t = tcase_create("prober_stamps");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, t1_is_the_kernels);
	tcase_add_test(t, without_stamps_t1_is_our_own);
	tcase_add_test(t, flows_have_sequence_numbers_of_their_own);
	tcase_add_test(t, flows_over_ipv6);
	tcase_add_test(t, follow_ups_correct_t3);
	tcase_add_test(t, dscp_is_told_for_both_ways);
	tcase_add_test(t, drops_at_output_harm_no_other_peer);
	tcase_add_test(t, a_closed_port_harms_no_other_peer);
	tcase_add_test(t, a_blackout_is_told_and_its_direction_later);
	tcase_add_loop_test(t, a_stepped_clock_spoils_no_round_trip, 0, 2);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
