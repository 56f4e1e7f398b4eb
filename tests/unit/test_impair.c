/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/emu/impair.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N 200000
#define START ((struct mono){1000 * NS_PER_S})

static struct impair im;
static const struct frame packet = {
    .version = 4, .ttl = 64, .ip_octets = 100, .sport = 7, .dport = 862};

/* A link with these settings. */
static void
make(const char *const *settings, uint64_t seed)
{
	struct linkconf c;
	char err[256];

	linkconf_init(&c);
	for (; *settings; settings++)
		ck_assert_msg(linkconf_set(&c, *settings, err, sizeof(err)),
		              "%s", err);
	impair_init(&im, &c, seed);
}
#define MAKE(...) make((const char *const[]){__VA_ARGS__, NULL}, 31)

static struct verdict
decide(int64_t at_ns)
{
	return impair_decide(&im, &packet, mono_add_ns(START, at_ns), START);
}

static enum fate
fate_at(int64_t at_ns)
{
	return decide(at_ns).fate;
}

START_TEST(test_every_nth_is_exact)
{
	MAKE("loss=1/100");
	for (int i = 1; i <= 10000; i++)
		ck_assert_int_eq(fate_at(i),
		                 i % 100 ? FATE_SENT : FATE_LOST_NTH);
}
END_TEST

START_TEST(test_random_loss_is_binomial)
{
	int lost = 0;

	MAKE("loss=1%");
	for (int i = 0; i < N; i++)
		lost += fate_at(i) == FATE_LOST_RANDOM;
	/* 2,000 +- 5 sigma of 44.5 */
	ck_assert_int_gt(lost, 2000 - 223);
	ck_assert_int_lt(lost, 2000 + 223);
}
END_TEST

START_TEST(test_all_and_nothing)
{
	MAKE("loss=100%");
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(fate_at(i), FATE_LOST_RANDOM);
	MAKE("loss=0");
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(fate_at(i), FATE_SENT);
	MAKE("link=off");
	ck_assert_int_eq(fate_at(0), FATE_LOST_LINK);
}
END_TEST

/* Loss p/(p+r), runs of mean length 1/r, geometric. */
START_TEST(test_gilbert_bursts)
{
	int lost = 0, runs = 0;
	bool before = false;

	MAKE("gilbert=1%:25%");
	for (int i = 0; i < N; i++) {
		const bool now = fate_at(i) == FATE_LOST_BURST;

		lost += now;
		runs += now && !before;
		before = now;
	}
	ck_assert(fabs(lost / (double)N - 1.0 / 26) < 0.004);
	ck_assert(fabs(lost / (double)runs - 4) < 0.4);
}
END_TEST

START_TEST(test_blackout_windows)
{
	MAKE("blackout=5s-7s,10s-11s/3s");
	ck_assert_int_eq(fate_at(5 * NS_PER_S - 1), FATE_SENT);
	ck_assert_int_eq(fate_at(5 * NS_PER_S), FATE_LOST_BLACKOUT);
	ck_assert_int_eq(fate_at(7 * NS_PER_S - 1), FATE_LOST_BLACKOUT);
	ck_assert_int_eq(fate_at(7 * NS_PER_S), FATE_SENT);
	for (int k = 0; k < 100; k++) {
		const int64_t t = (10 + 3 * k) * NS_PER_S;

		ck_assert_int_eq(fate_at(t - 1), FATE_SENT);
		ck_assert_int_eq(fate_at(t), FATE_LOST_BLACKOUT);
		ck_assert_int_eq(fate_at(t + NS_PER_S - 1), FATE_LOST_BLACKOUT);
		ck_assert_int_eq(fate_at(t + NS_PER_S), FATE_SENT);
	}
}
END_TEST

START_TEST(test_ttl_runs_out)
{
	struct frame f = packet;

	MAKE("hops=3");
	f.ttl = 3;
	ck_assert_int_eq(impair_decide(&im, &f, START, START).fate,
	                 FATE_LOST_TTL);
	f.ttl = 4;
	ck_assert_int_eq(impair_decide(&im, &f, START, START).fate, FATE_SENT);
}
END_TEST

/* 100 octets at 800 kbit/s take 1 ms; ten of them fit into the queue. */
START_TEST(test_rate_and_queue)
{
	MAKE("rate=800kbit", "queue=1kb", "delay=5ms");
	for (int i = 0; i < 10; i++) {
		const struct verdict v = decide(0);

		ck_assert_int_eq(v.fate, FATE_SENT);
		ck_assert_int_eq(mono_diff_ns(v.release, START),
		                 5 * NS_PER_MS + (i + 1) * NS_PER_MS);
	}
	ck_assert_int_eq(fate_at(0), FATE_LOST_QUEUE);
	/* one has left, one has room */
	ck_assert_int_eq(fate_at(NS_PER_MS), FATE_SENT);
	ck_assert_int_eq(fate_at(NS_PER_MS), FATE_LOST_QUEUE);
	/* an idle line starts at once */
	ck_assert_int_eq(mono_diff_ns(decide(NS_PER_S).release, START),
	                 NS_PER_S + 6 * NS_PER_MS);
}
END_TEST

START_TEST(test_uniform_jitter)
{
	double sum = 0, square = 0;

	MAKE("delay=20ms", "jitter=uniform:3ms");
	for (int i = 0; i < N; i++) {
		const int64_t at = i * 100 * NS_PER_MS;
		const double d = (double)mono_diff_ns(decide(at).release,
		                                      mono_add_ns(START, at)) /
		                 1e6;

		ck_assert(d >= 17 && d <= 23);
		sum += d;
		square += (d - 20) * (d - 20);
	}
	ck_assert(fabs(sum / N - 20) < 0.02);
	ck_assert(fabs(sqrt(square / N) - 3 / sqrt(3)) < 0.02);
}
END_TEST

START_TEST(test_normal_jitter)
{
	double sum = 0, square = 0;
	int beyond = 0;

	MAKE("delay=20ms", "jitter=normal:2ms");
	for (int i = 0; i < N; i++) {
		const int64_t at = i * 100 * NS_PER_MS;
		const double d = (double)mono_diff_ns(decide(at).release,
		                                      mono_add_ns(START, at)) /
		                     1e6 -
		                 20;

		sum += d;
		square += d * d;
		beyond += fabs(d) > 2 * 1.959964;
	}
	ck_assert(fabs(sum / N) < 0.025);
	ck_assert(fabs(sqrt(square / N) - 2) < 0.02);
	ck_assert(fabs(beyond / (double)N - 0.05) < 0.003);
}
END_TEST

/* Jitter wider than the gaps: kept in order unless asked otherwise. */
START_TEST(test_order)
{
	int back = 0;
	struct mono last = START;

	MAKE("delay=5ms", "jitter=uniform:5ms");
	for (int i = 0; i < 1000; i++) {
		const struct mono t = decide(i * NS_PER_MS).release;

		ck_assert_int_ge(t.ns, last.ns);
		last = t;
	}
	MAKE("delay=5ms", "jitter=uniform:5ms", "order=free");
	last = START;
	for (int i = 0; i < 1000; i++) {
		const struct mono t = decide(i * NS_PER_MS).release;

		back += t.ns < last.ns;
		last = t;
	}
	ck_assert_int_gt(back, 100);
}
END_TEST

START_TEST(test_dup_and_reorder)
{
	MAKE("dup=1/5", "reorder=1/7:2");
	for (int i = 1, dup_n = 0; i <= 7000; i++) {
		const struct verdict v = decide(i);

		if (i % 7 == 0) { /* and then never two of it */
			ck_assert_int_eq(v.fate, FATE_REORDERED);
			ck_assert(!v.copy);
			continue;
		}
		ck_assert_int_eq(v.fate, FATE_SENT);
		ck_assert_int_eq(v.copy, ++dup_n % 5 == 0);
	}
}
END_TEST

/* Only the chosen port is lost, doubled or reordered; the rest is delayed. */
START_TEST(test_only_one_port)
{
	struct frame other = packet;

	MAKE("loss=1/2", "dport=862", "delay=1ms");
	other.dport = 9;
	for (int i = 1; i < 1000; i++) {
		const struct verdict v =
		    impair_decide(&im, &other, START, START);

		ck_assert_int_eq(v.fate, FATE_SENT);
		ck_assert_int_eq(mono_diff_ns(v.release, START), NS_PER_MS);
		ck_assert_int_eq(fate_at(0), i % 2 ? FATE_SENT : FATE_LOST_NTH);
	}
}
END_TEST

START_TEST(test_the_seed_decides)
{
	enum fate first[1000];
	int differ = 0;

	make((const char *const[]){"loss=50%", NULL}, 1);
	for (int i = 0; i < 1000; i++)
		first[i] = fate_at(i);
	make((const char *const[]){"loss=50%", NULL}, 1);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(fate_at(i), first[i]);
	make((const char *const[]){"loss=50%", NULL}, 2);
	for (int i = 0; i < 1000; i++)
		differ += fate_at(i) != first[i];
	ck_assert_int_gt(differ, 400);
}
END_TEST

START_TEST(test_a_change_counts_anew)
{
	struct linkconf c;

	MAKE("loss=1/10");
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(fate_at(i), FATE_SENT);
	c = im.conf;
	impair_change(&im, &c);
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(fate_at(i), FATE_SENT);
	ck_assert_int_eq(fate_at(9), FATE_LOST_NTH);
}
END_TEST

START_TEST(test_every_fate_has_a_name)
{
	for (unsigned i = 0; i < FATE_N; i++) {
		ck_assert_ptr_nonnull(fate_name((enum fate)i));
		ck_assert_int_eq(strncmp(fate_name((enum fate)i), "lost:", 5) ==
		                     0,
		                 i > FATE_REORDERED);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("impair");
	TCase *t = tcase_create("impair");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_every_nth_is_exact);
	tcase_add_test(t, test_random_loss_is_binomial);
	tcase_add_test(t, test_all_and_nothing);
	tcase_add_test(t, test_gilbert_bursts);
	tcase_add_test(t, test_blackout_windows);
	tcase_add_test(t, test_ttl_runs_out);
	tcase_add_test(t, test_rate_and_queue);
	tcase_add_test(t, test_uniform_jitter);
	tcase_add_test(t, test_normal_jitter);
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_dup_and_reorder);
	tcase_add_test(t, test_only_one_port);
	tcase_add_test(t, test_the_seed_decides);
	tcase_add_test(t, test_a_change_counts_anew);
	tcase_add_test(t, test_every_fate_has_a_name);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
