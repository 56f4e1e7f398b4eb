/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is remembered of hosts that could not keep up; the database side is in
 * test_runs_db.c.
 */
#include "controller/hosts.h"

#include <check.h>

#define S NS_PER_S
#define AT(s) ((struct wall){INT64_C(1700000000) * NS_PER_S + (s)*NS_PER_S})

static struct hosts *h;

static void
set_up(void)
{
	h = hosts_new();
	ck_assert_ptr_nonnull(h);
}

static void
tear_down(void)
{
	hosts_free(h);
}

static void
tell(uint32_t node, int64_t offset_ns, int64_t from_s, int64_t to_s,
     int64_t now_s)
{
	const struct host_limited l = {AT(from_s), AT(to_s), 0, 1};

	hosts_note(h, node, offset_ns, &l, 1, (struct mono){now_s * S});
}

START_TEST(results_that_overlap_are_limited)
{
	tell(7, NS_UNKNOWN, 100, 105, 0);
	ck_assert(hosts_limited(h, 7, AT(90), AT(101)));
	ck_assert(hosts_limited(h, 7, AT(102), AT(103)));
	ck_assert(hosts_limited(h, 7, AT(104), AT(120)));
	ck_assert(!hosts_limited(h, 7, AT(90), AT(99)));
	ck_assert(!hosts_limited(h, 7, AT(106), AT(116)));
	ck_assert(!hosts_limited(h, 6, AT(90), AT(120)));
	ck_assert(!hosts_limited(h, 4000000000U, AT(90), AT(120)));
}
END_TEST

START_TEST(two_clocks_have_half_a_second)
{
	const struct wall just = wall_add_ns(AT(105), 2 * S / 5);

	tell(7, NS_UNKNOWN, 100, 105, 0);
	ck_assert(hosts_limited(h, 7, just, wall_add_ns(just, S)));
	ck_assert(!hosts_limited(h, 7, wall_add_ns(just, S / 5),
	                         wall_add_ns(just, S)));
}
END_TEST

START_TEST(the_nodes_clock_is_reckoned_with)
{
	tell(7, 30 * S, 130, 135, 0); /* 30 s ahead of ours */
	ck_assert(hosts_limited(h, 7, AT(100), AT(105)));
	ck_assert(!hosts_limited(h, 7, AT(130), AT(135)));
	tell(7, NS_UNKNOWN, 130, 135, 0); /* the estimate stands */
	ck_assert(hosts_limited(h, 7, AT(100), AT(105)));
}
END_TEST

START_TEST(a_time_may_grow_and_never_shrinks)
{
	tell(7, NS_UNKNOWN, 100, 105, 0);
	tell(7, NS_UNKNOWN, 100, 110, 2);
	tell(7, NS_UNKNOWN, 100, 101, 4);
	ck_assert(hosts_limited(h, 7, AT(108), AT(109)));
}
END_TEST

START_TEST(the_newest_sixteen_are_kept)
{
	for (int i = 0; i < 20; i++)
		tell(7, NS_UNKNOWN, 100 * i, 100 * i + 5, 0);
	ck_assert(!hosts_limited(h, 7, AT(300), AT(305)));
	ck_assert(hosts_limited(h, 7, AT(400), AT(405)));
	ck_assert(hosts_limited(h, 7, AT(1900), AT(1905)));
	tell(7, NS_UNKNOWN, 0, 5, 0); /* older than all */
	ck_assert(!hosts_limited(h, 7, AT(0), AT(5)));
}
END_TEST

START_TEST(a_liar_is_heard_sixty_times_a_minute)
{
	for (int i = 0; i < 100; i++)
		tell(7, NS_UNKNOWN, 100 * i, 100 * i + 5, i % 50);
	ck_assert(hosts_limited(h, 7, AT(5900), AT(5905)));
	ck_assert(!hosts_limited(h, 7, AT(6000), AT(6005)));
	tell(7, NS_UNKNOWN, 20000, 20005, 61);
	ck_assert(hosts_limited(h, 7, AT(20000), AT(20005)));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("hosts");
	TCase *t = tcase_create("hosts");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, results_that_overlap_are_limited);
	tcase_add_test(t, two_clocks_have_half_a_second);
	tcase_add_test(t, the_nodes_clock_is_reckoned_with);
	tcase_add_test(t, a_time_may_grow_and_never_shrinks);
	tcase_add_test(t, the_newest_sixteen_are_kept);
	tcase_add_test(t, a_liar_is_heard_sixty_times_a_minute);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
