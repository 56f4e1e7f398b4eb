/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/clock.h"
#include "lib/base/clock_read.h"
#include "lib/base/log.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

START_TEST(test_arithmetic)
{
	const struct clock_pair near = {{1000}, {50}};
	const struct wall w = {1300};

	ck_assert_int_eq(wall_diff_ns(w, near.wall), 300);
	ck_assert_int_eq(mono_diff_ns(near.mono, mono_add_ns(near.mono, 7)),
	                 -7);
	ck_assert_int_eq(wall_to_mono(w, near).ns, 350);
	ck_assert_int_eq(mono_to_wall(wall_to_mono(w, near), near).ns, w.ns);
	ck_assert_int_eq(wall_add_ns(w, -1300).ns, 0);
}
END_TEST

START_TEST(test_pair)
{
	struct clock_pair a = clock_now(), b;
	struct timespec ts;

	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &ts), 0);
	ck_assert_int_lt(llabs(a.wall.ns - ts.tv_sec * NS_PER_S - ts.tv_nsec),
	                 NS_PER_S);
	for (int i = 0; i < 1000; i++) {
		b = clock_now();
		ck_assert_int_ge(mono_diff_ns(b.mono, a.mono), 0);
		a = b;
	}
	ck_assert_int_ge(mono_diff_ns(clock_mono(), b.mono), 0);
}
END_TEST

static _Noreturn void
spin(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (volatile int k = 0;; k = !k)
		;
}

/* What comes between the reads of a pair sets its clocks apart by as much: with
 * another process on each processor that happens once in ten thousand times.
 * One pair in a million may be unlucky four times over. */
START_TEST(test_pair_on_a_busy_host)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	pid_t busy[4];
	int64_t offset = INT64_MIN;
	int wrong = 0;

	for (int i = 0; i < 4 && i < cores; i++) {
		busy[i] = fork();
		ck_assert_int_ge(busy[i], 0);
		if (busy[i] == 0)
			spin();
	}
	for (int i = 0; i < 1000000; i++) {
		const struct clock_pair p = clock_now();
		const int64_t now = p.wall.ns - p.mono.ns;

		/* 20 us: also what NTP slews in 40 ms */
		wrong += offset != INT64_MIN && llabs(now - offset) > 20000;
		offset = now;
	}
	for (int i = 0; i < 4 && i < cores; i++) {
		(void)kill(busy[i], SIGKILL);
		(void)waitpid(busy[i], NULL, 0);
	}
	ck_assert_int_le(wrong, 2); /* one pair differs from two */
}
END_TEST

START_TEST(test_offset_hook)
{
	struct timespec ts = {1000, 5};
	struct clock_pair before = clock_now(), after;

	ck_assert_int_eq(clock_test_offset_ns(), 0);
	ck_assert_int_eq(setenv("TWMESH_TEST_CLOCK_OFFSET", "-3600.25", 1), 0);
	ck_assert_ptr_null(clock_test_init());
	ck_assert_int_eq(clock_test_offset_ns(), -3600250 * NS_PER_MS);
	after = clock_now();
	/* the wall moved, the monotonic clock did not */
	ck_assert_int_lt(wall_diff_ns(after.wall, before.wall),
	                 -3600 * NS_PER_S);
	ck_assert_int_lt(mono_diff_ns(after.mono, before.mono), NS_PER_S);
	ck_assert_int_eq(clock_wall_from_kernel(ts).ns,
	                 1000 * NS_PER_S + 5 - 3600250 * NS_PER_MS);
	ck_assert_int_lt(llabs(wall_diff_ns(clock_wall(), after.wall)),
	                 NS_PER_S);
}
END_TEST

START_TEST(test_offset_refuses)
{
	static const char *const bad[] = {"",    "x",     "1x",  "nan",
	                                  "inf", "1e300", "9e9", "- 1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(setenv("TWMESH_TEST_CLOCK_OFFSET", bad[i], 1),
		                 0);
		ck_assert_msg(clock_test_init() != NULL, "%s", bad[i]);
		ck_assert_int_eq(clock_test_offset_ns(), 0);
	}
	ck_assert_int_eq(unsetenv("TWMESH_TEST_CLOCK_OFFSET"), 0);
	ck_assert_ptr_null(clock_test_init());
}
END_TEST

START_TEST(a_claim_stands_in_for_the_kernels)
{
	static const char *const bad[] = {"", "x", "-0.001", "nan"};
	struct clock_quality q;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(setenv("TWMESH_TEST_CLOCK_ERROR", bad[i], 1),
		                 0);
		ck_assert_msg(clock_test_init() != NULL, "%s", bad[i]);
	}
	ck_assert_int_eq(setenv("TWMESH_TEST_CLOCK_ERROR", "0.002", 1), 0);
	ck_assert_ptr_null(clock_test_init());
	q = clock_quality_read(100 * NS_PER_US);
	ck_assert(q.synchronised);
	ck_assert_int_eq(q.max_error_ns, 2 * NS_PER_MS);
	q = clock_quality_read(5 * NS_PER_MS); /* the floor holds */
	ck_assert_int_eq(q.max_error_ns, 5 * NS_PER_MS);
	ck_assert_int_eq(clock_test_offset_ns(), 0);
}
END_TEST

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	(void)fclose(f);
}

START_TEST(test_offset_file)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/tmp/test_clock.%d", (int)getpid());
	ck_assert_int_eq(setenv("TWMESH_TEST_CLOCK_FILE", path, 1), 0);
	clock_test_poll(); /* no file yet */
	ck_assert_int_eq(clock_test_offset_ns(), 0);
	write_file(path, "2.5\n");
	clock_test_poll();
	ck_assert_int_eq(clock_test_offset_ns(), 2500 * NS_PER_MS);
	write_file(path, "garbage\n");
	clock_test_poll();
	ck_assert_int_eq(clock_test_offset_ns(), 2500 * NS_PER_MS);
	write_file(path, "0\n");
	clock_test_poll();
	ck_assert_int_eq(clock_test_offset_ns(), 0);
	(void)unlink(path);
}
END_TEST

START_TEST(test_mark)
{
	const struct clock_mark a = clock_mark_now();
	uint8_t id[BOOT_ID_BYTES];
	struct clock_mark b;

	ck_assert(a.known);
	ck_assert(clock_boot_id(id));
	ck_assert_mem_eq(a.boot_id, id, sizeof(id));
	ck_assert_int_ge(clock_slept_ns(), 0);
	ck_assert_int_eq(setenv("TWMESH_TEST_CLOCK_OFFSET", "3600", 1), 0);
	ck_assert_ptr_null(clock_test_init());
	b = clock_mark_now();
	ck_assert_int_gt(b.ns - a.ns, 3599 * NS_PER_S);
	ck_assert_int_lt(b.ns - a.ns, 3601 * NS_PER_S);
	ck_assert_int_eq(setenv("TWMESH_TEST_CLOCK_OFFSET", "0", 1), 0);
	ck_assert_ptr_null(clock_test_init());
	ck_assert_int_eq(unsetenv("TWMESH_TEST_CLOCK_OFFSET"), 0);
	ck_assert_int_eq(
	    wall_moved(wall_moved((struct wall){INT64_MAX}, 5), -5).ns,
	    INT64_MAX);
}
END_TEST

START_TEST(test_format)
{
	static const struct {
		int64_t ns;
		const char *text;
	} t[] = {
	    {0, "1970-01-01T00:00:00.000Z"},
	    {INT64_C(1795428134123999999), "2026-11-23T10:02:14.123Z"},
	    {-1, "1969-12-31T23:59:59.999Z"},
	    {-1500 * NS_PER_MS, "1969-12-31T23:59:58.500Z"},
	    {INT64_MAX, "2262-04-11T23:47:16.854Z"},
	    {INT64_MIN, "1677-09-21T00:12:43.145Z"},
	};
	char out[40];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const struct wall w = {t[i].ns};

		ck_assert_str_eq(clock_format_utc(w, out, sizeof(out)),
		                 t[i].text);
		/* the size that the header promises is enough */
		ck_assert_str_eq(clock_format_utc(w, out, 32), t[i].text);
	}
}
END_TEST

START_TEST(test_quality)
{
	const struct clock_quality q = clock_quality_read(100 * NS_PER_US);

	if (q.synchronised)
		ck_assert_int_ge(q.max_error_ns, 100 * NS_PER_US);
	else
		ck_assert_int_eq(q.max_error_ns, NS_UNKNOWN);
	if (q.synchronised) /* the floor holds */
		ck_assert_int_ge(
		    clock_quality_read(3600 * NS_PER_S).max_error_ns,
		    3600 * NS_PER_S);
}
END_TEST

START_TEST(test_log_limit)
{
	struct log_limit l = {0};
	struct mono now = {5};
	uint64_t held = 9;

	ck_assert(log_limit_ok(&l, now, &held));
	ck_assert_uint_eq(held, 0);
	for (int i = 0; i < 41; i++)
		ck_assert(!log_limit_ok(&l, mono_add_ns(now, i), &held));
	now = mono_add_ns(now, 60 * NS_PER_S);
	ck_assert(log_limit_ok(&l, now, &held));
	ck_assert_uint_eq(held, 41);
	ck_assert(!log_limit_ok(&l, now, &held));
	ck_assert_uint_eq(held, 41); /* written when true only */
}
END_TEST

START_TEST(test_log_level)
{
	enum log_level lv = LOG_LV_ERROR;

	ck_assert(log_level_parse("debug", &lv));
	ck_assert_int_eq(lv, LOG_LV_DEBUG);
	ck_assert(!log_level_parse("Debug", &lv));
	ck_assert(!log_level_parse("", &lv));
	ck_assert_int_eq(lv, LOG_LV_DEBUG);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("clock");
	TCase *t = tcase_create("clock");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_arithmetic);
	tcase_add_test(t, test_pair);
	tcase_add_test(t, test_pair_on_a_busy_host);
	tcase_add_test(t, test_offset_hook);
	tcase_add_test(t, test_offset_refuses);
	tcase_add_test(t, a_claim_stands_in_for_the_kernels);
	tcase_add_test(t, test_offset_file);
	tcase_add_test(t, test_format);
	tcase_add_test(t, test_mark);
	tcase_add_test(t, test_quality);
	tcase_add_test(t, test_log_limit);
	tcase_add_test(t, test_log_level);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
