/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/clock.h"
#include "tests/emu/linkconf.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct linkconf conf;
static char err[256];

static void
setup(void)
{
	linkconf_init(&conf);
	err[0] = '\0';
}

static bool
set(const char *setting)
{
	return linkconf_set(&conf, setting, err, sizeof(err));
}

START_TEST(test_a_new_link_changes_nothing)
{
	ck_assert_int_eq(conf.delay_ns, 0);
	ck_assert(!conf.off && conf.loss.p <= 0 && conf.loss.every == 0);
	for (unsigned i = 0; i < 64; i++)
		ck_assert_uint_eq(conf.dscp[i], i);
}
END_TEST

START_TEST(test_times_and_jitter)
{
	ck_assert(set("delay=80ms") && set("jitter=normal:0.2ms"));
	ck_assert_int_eq(conf.delay_ns, 80 * NS_PER_MS);
	ck_assert_int_eq(conf.jitter, JITTER_NORMAL);
	ck_assert_int_eq(conf.jitter_ns, 200 * NS_PER_US);
	ck_assert(set("delay=1500us") && set("jitter=uniform:1ms"));
	ck_assert_int_eq(conf.delay_ns, 1500 * NS_PER_US);
	ck_assert_int_eq(conf.jitter, JITTER_UNIFORM);
	ck_assert(set("jitter=0"));
	ck_assert_int_eq(conf.jitter, JITTER_NONE);
	ck_assert(set("order=free") && conf.free_order);
	ck_assert(set("order=kept") && !conf.free_order);
}
END_TEST

START_TEST(test_chances)
{
	ck_assert(set("loss=2.5%"));
	ck_assert(fabs(conf.loss.p - 0.025) < 1e-12);
	ck_assert(set("loss=1/100"));
	ck_assert_uint_eq(conf.loss.every, 100);
	ck_assert(conf.loss.p <= 0);
	ck_assert(set("loss=0"));
	ck_assert_uint_eq(conf.loss.every, 0);
	ck_assert(set("reorder=1/50:3"));
	ck_assert_uint_eq(conf.reorder.every, 50);
	ck_assert_uint_eq(conf.reorder_gap, 3);
	ck_assert(set("dup=100%") && conf.dup.p >= 1);
	ck_assert(set("gilbert=1%:20%"));
	ck_assert(conf.gilbert.on && conf.gilbert.bad >= 1);
	ck_assert(conf.gilbert.good <= 0);
	ck_assert(set("gilbert=1%:20%:50%:0.1%"));
	ck_assert(fabs(conf.gilbert.bad - 0.5) < 1e-12);
	ck_assert(fabs(conf.gilbert.good - 0.001) < 1e-12);
	ck_assert(set("gilbert=0") && !conf.gilbert.on);
}
END_TEST

START_TEST(test_windows)
{
	ck_assert(set("blackout=5s-7s,10s-11s/20s"));
	ck_assert_uint_eq(conf.down_n, 2);
	ck_assert_int_eq(conf.down[0].start_ns, 5 * NS_PER_S);
	ck_assert_int_eq(conf.down[0].period_ns, 0);
	ck_assert_int_eq(conf.down[1].end_ns, 11 * NS_PER_S);
	ck_assert_int_eq(conf.down[1].period_ns, 20 * NS_PER_S);
	ck_assert(set("blackout=0"));
	ck_assert_uint_eq(conf.down_n, 0);
}
END_TEST

START_TEST(test_rate_dscp_and_ports)
{
	ck_assert(set("rate=10mbit") && set("queue=20kb"));
	ck_assert_int_eq(conf.rate_bps, 10000000);
	ck_assert_int_eq(conf.queue_bytes, 20000);
	ck_assert(set("dscp=46:8,34:0"));
	ck_assert_uint_eq(conf.dscp[46], 8);
	ck_assert_uint_eq(conf.dscp[34], 0);
	ck_assert_uint_eq(conf.dscp[10], 10);
	ck_assert(set("dscp=0"));
	ck_assert_uint_eq(conf.dscp[10], 0);
	ck_assert(set("hops=3") && set("dport=862") && set("sport=9"));
	ck_assert_uint_eq(conf.hops, 3);
	ck_assert_uint_eq(conf.dport, 862);
	ck_assert(set("link=off") && conf.off);
}
END_TEST

static const char *const bad[] = {
    "",
    "delay",
    "delay=",
    "delay=-1ms",
    "delay=61s",
    "delay=1ms ",
    "speed=1",
    "jitter=normal",
    "jitter=gamma:1ms",
    "order=any",
    "loss=1",
    "loss=101%",
    "loss=-1%",
    "loss=1/0",
    "loss=nan%",
    "loss=1/5000000000",
    "reorder=1%:0",
    "gilbert=1%",
    "gilbert=1%:2%:3%:4%:5%",
    "blackout=7s-5s",
    "blackout=5s",
    "blackout=1s-3s/1s",
    "blackout=1-2,3-4,5-6,7-8,9-10,11-12,13-14,15-16,17-18",
    "rate=10",
    "rate=1bit",
    "rate=99999999999999999999gbit",
    "queue=10mbit",
    "dscp=64",
    "dscp=64:1",
    "dscp=1:",
    "hops=65",
    "dport=65536",
    "link=up",
};

/* Each is refused with a reason, and a refused setting changes nothing. */
START_TEST(test_refused)
{
	struct linkconf before;

	ck_assert(set("delay=1ms") && set("dscp=1:2"));
	memcpy(&before, &conf, sizeof(before));
	ck_assert(!set(bad[_i]));
	ck_assert_str_ne(err, "");
	ck_assert_mem_eq(&before, &conf, sizeof(before));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("linkconf");
	TCase *t = tcase_create("linkconf");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, test_a_new_link_changes_nothing);
	tcase_add_test(t, test_times_and_jitter);
	tcase_add_test(t, test_chances);
	tcase_add_test(t, test_windows);
	tcase_add_test(t, test_rate_dscp_and_ports);
	tcase_add_loop_test(t, test_refused, 0,
	                    (int)(sizeof(bad) / sizeof(bad[0])));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
