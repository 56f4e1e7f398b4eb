/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/clock.h"
#include "tests/emu/netconf.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct netconf net;
static char err[1024];

/* Through a file, as the program does. */
static bool
load(const char *text)
{
	char path[] = "/tmp/test_netconf.XXXXXX";
	const int fd = mkstemp(path);
	bool ok;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(close(fd), 0);
	err[0] = '\0';
	ok = netconf_load(&net, path, err, sizeof(err));
	ck_assert_int_eq(unlink(path), 0);
	return ok;
}

START_TEST(test_lines_apply_in_order)
{
	ck_assert_msg(load("# a network\n"
	                   "site ams fra sin # three\n"
	                   "seed 7\n\n"
	                   "default delay=5ms hops=1\n"
	                   "both ams sin delay=80ms\n"
	                   "link sin ams loss=1/10\n"
	                   "link * fra dscp=0\n"),
	              "%s", err);
	ck_assert_uint_eq(net.n, 3);
	ck_assert_uint_eq(net.seed, 7);
	ck_assert_int_eq(netconf_site(&net, "sin"), 2);
	ck_assert_int_eq(netconf_site(&net, "nyc"), -1);
	ck_assert_int_eq(net.link[0][1].delay_ns, 5 * NS_PER_MS);
	ck_assert_int_eq(net.link[0][2].delay_ns, 80 * NS_PER_MS);
	ck_assert_int_eq(net.link[2][0].delay_ns, 80 * NS_PER_MS);
	ck_assert_uint_eq(net.link[0][2].loss.every, 0);
	ck_assert_uint_eq(net.link[2][0].loss.every, 10);
	ck_assert_uint_eq(net.link[2][0].hops, 1);
	ck_assert_uint_eq(net.link[0][1].dscp[46], 0);
	ck_assert_uint_eq(net.link[1][0].dscp[46], 46);
}
END_TEST

START_TEST(test_a_star_has_links_to_its_hub_only)
{
	ck_assert_msg(load("site a hub b\nstar hub\n"), "%s", err);
	ck_assert(net.link[0][2].off && net.link[2][0].off);
	ck_assert(!net.link[0][1].off && !net.link[1][2].off);
}
END_TEST

/* What the control socket needs: which directions a line changed. */
START_TEST(test_touched_says_what_a_line_changed)
{
	char line[] = "set a b delay=1ms", both[] = "both a c loss=1%",
	     wrong[] = "set b c delay=1ms loss=2";

	ck_assert_msg(load("site a b c\n"), "%s", err);
	ck_assert(netconf_line(&net, line, err, sizeof(err)));
	ck_assert(net.touched[0][1] && !net.touched[1][0]);
	ck_assert(netconf_line(&net, both, err, sizeof(err)));
	ck_assert(net.touched[0][2] && net.touched[2][0]);
	ck_assert(!netconf_line(&net, wrong, err, sizeof(err)));
	ck_assert(!net.touched[1][2]);
	ck_assert_int_eq(net.link[1][2].delay_ns, 0);
}
END_TEST

START_TEST(test_addresses_follow_the_order)
{
	char v4[32], v6[32];

	ck_assert_str_eq(netconf_v4(0, v4), "10.77.0.1");
	ck_assert_str_eq(netconf_v4(19, v4), "10.77.0.20");
	ck_assert_str_eq(netconf_v6(0, v6), "fd77::1");
	ck_assert_str_eq(netconf_v6(19, v6), "fd77::14");
}
END_TEST

static const struct {
	const char *text, *expect; /* expect: part of the reason */
} bad[] = {
    {"", "at least two sites"},
    {"site a\n", "at least two sites"},
    {"site\n", ":1: site: expected names"},
    {"site a a\n", "found 'a'"},
    {"site a B\n", "found 'B'"},
    {"site a b c d e f g h i j k l m n o p q r s t u\n", "at most 20"},
    {"site a b\nlink a c delay=1ms\n", ":2: expected a site"},
    {"site a b\nlink a b\n", ":2: link: expected SRC DST"},
    {"site a b\nlink a b delay=x\n", ":2: delay: expected a duration"},
    {"site a b\nboth a b delay=1ms loss\n", ":2: expected KEY=VALUE"},
    {"site a b\nstar c\n", ":2: star"},
    {"site a b\nseed x\n", ":2: seed"},
    {"site a b\ncable a b\n", ":2: expected site, star"},
};

START_TEST(test_refused)
{
	ck_assert(!load(bad[_i].text));
	ck_assert_msg(strstr(err, bad[_i].expect), "'%s' in '%s'",
	              bad[_i].expect, err);
}
END_TEST

START_TEST(test_a_long_line_is_refused)
{
	char text[2000];

	memset(text, ' ', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert(!load(text));
	ck_assert(strstr(err, ":1: expected a line"));
	ck_assert(!netconf_load(&net, "/nonexistent/net", err, sizeof(err)));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("netconf");
	TCase *t = tcase_create("netconf");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_lines_apply_in_order);
	tcase_add_test(t, test_a_star_has_links_to_its_hub_only);
	tcase_add_test(t, test_touched_says_what_a_line_changed);
	tcase_add_test(t, test_addresses_follow_the_order);
	tcase_add_loop_test(t, test_refused, 0,
	                    (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(t, test_a_long_line_is_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
