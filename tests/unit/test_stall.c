/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reflector/stall: what is held and what is not, which intervals come of it,
 * and that a clock which was set is no stall.
 */
#include "reflector/stall.h"

#include <check.h>
#include <string.h>

#define T0 INT64_C(1790000000000000000)
#define MS NS_PER_MS

static struct stalls s;

static void
setup(void)
{
	memset(&s, 0, sizeof(s));
}

static struct clock_pair
at(int64_t ms)
{
	return (struct clock_pair){{T0 + ms * MS}, {5 * NS_PER_S + ms * MS}};
}

static bool
packet(int64_t stamp_ms, int64_t read_ms)
{
	return stalls_on_packet(&s, at(stamp_ms).wall, at(read_ms));
}

static void
is(size_t i, int64_t from_ms, int64_t to_ms, uint64_t drops, uint64_t held)
{
	const struct stall *e = stalls_at(&s, i);

	ck_assert_uint_lt(i, s.n);
	ck_assert_int_eq(e->from.ns, T0 + from_ms * MS);
	ck_assert_int_eq(e->to.ns, T0 + to_ms * MS);
	ck_assert_uint_eq(e->drops, drops);
	ck_assert_uint_eq(e->held, held);
}

START_TEST(packets_read_in_time_are_no_stall)
{
	stalls_on_second(&s, at(0));
	ck_assert(!packet(10, 10));
	ck_assert(!packet(10, 110)); /* 100 ms, not over */
	ck_assert(!packet(10, 5));   /* clocks that differ a little */
	ck_assert_uint_eq(s.n, 0);
}
END_TEST

/* Stopped from 1,000 to 6,000 ms; 50 ms apart. */
START_TEST(a_stopped_process_held_what_lay_in_its_socket)
{
	stalls_on_second(&s, at(900));
	for (int64_t t = 1000; t < 6000; t += 50)
		ck_assert(packet(t, 6000) == (t < 5900));
	ck_assert_uint_eq(s.n, 1);
	is(0, 1000, 6000, 0, 98);
}
END_TEST

START_TEST(what_follows_soon_belongs_to_it)
{
	ck_assert(packet(0, 200));
	ck_assert(packet(1200, 1400)); /* 1 s after its end */
	is(0, 0, 1400, 0, 2);
	ck_assert(packet(2401, 2600));
	ck_assert_uint_eq(s.n, 2);
	is(0, 2401, 2600, 0, 1);
	is(1, 0, 1400, 0, 2);
	/* an interval's start is its name: it does not move */
	ck_assert(packet(2300, 2600));
	ck_assert_uint_eq(s.n, 3);
	is(0, 2300, 2600, 0, 1);
}
END_TEST

START_TEST(drops_begin_behind_the_last_packet_that_had_room)
{
	const struct wall none = {0};

	/* the first of the batch was the last that had room */
	stalls_on_drops(&s, 7, none, at(100).wall, at(150).wall);
	is(0, 100, 150, 7, 0);
	stalls_on_drops(&s, 5, at(1140).wall, at(1150).wall, at(1160).wall);
	is(0, 100, 1160, 12, 0);
	/* hours apart: not the same queue */
	stalls_on_drops(&s, 1, at(1160).wall, at(7200000).wall,
	                at(7200010).wall);
	ck_assert_uint_eq(s.n, 2);
	is(0, 7200000, 7200010, 1, 0);
	/* held packets and drops are one story */
	ck_assert(packet(7200100, 7200300));
	is(0, 7200000, 7200300, 1, 1);
	/* stamps out of order, of a clock that was set back */
	stalls_on_drops(&s, 1, at(9000000).wall, at(8000000).wall,
	                at(8000001).wall);
	is(0, 8000000, 8000001, 1, 0);
}
END_TEST

START_TEST(the_newest_sixteen_are_kept)
{
	for (int64_t i = 0; i < 40; i++)
		ck_assert(packet(i * 10000, i * 10000 + 200));
	ck_assert_uint_eq(s.n, STALLS_MAX);
	for (size_t i = 0; i < STALLS_MAX; i++)
		is(i, (39 - (int64_t)i) * 10000,
		   (39 - (int64_t)i) * 10000 + 200, 0, 1);
}
END_TEST

/* The wall clock is set while packets lie in the socket: their stamps are of
 * the old time. */
START_TEST(a_clock_that_was_set_is_no_stall)
{
	const int64_t step = 3600 * NS_PER_S;
	struct clock_pair now = at(500);

	stalls_on_second(&s, at(0));
	now.wall = wall_add_ns(now.wall, step);
	ck_assert(!stalls_on_packet(&s, at(495).wall, now));
	ck_assert_uint_eq(s.n, 0);
	/* once that is known the new time holds */
	stalls_on_second(&s, now);
	ck_assert(stalls_on_packet(&s, wall_add_ns(now.wall, -200 * MS), now));
	ck_assert_uint_eq(s.n, 1);
	/* a clock that is slewed for a minute, unseen by a stopped process */
	now = at(61000);
	now.wall = wall_add_ns(now.wall, step + 30 * MS);
	ck_assert(stalls_on_packet(&s, wall_add_ns(now.wall, -200 * MS), now));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stall");
	TCase *t = tcase_create("stall");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, packets_read_in_time_are_no_stall);
	tcase_add_test(t, a_stopped_process_held_what_lay_in_its_socket);
	tcase_add_test(t, what_follows_soon_belongs_to_it);
	tcase_add_test(t, drops_begin_behind_the_last_packet_that_had_room);
	tcase_add_test(t, the_newest_sixteen_are_kept);
	tcase_add_test(t, a_clock_that_was_set_is_no_stall);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
