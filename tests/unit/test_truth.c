/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/emu/truth.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct netconf net;
static char path[32];

static void
setup(void)
{
	char line[] = "site ams sin", err[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/test_truth.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(close(fd), 0);
	netconf_init(&net);
	ck_assert(netconf_line(&net, line, err, sizeof(err)));
}

static void
teardown(void)
{
	ck_assert_int_eq(unlink(path), 0);
}

static const struct truth_rec rec = {.in = {1000},
                                     .nominal = {3000},
                                     .release = {3005},
                                     .send_ns = 4,
                                     .index = 9,
                                     .f = {.version = 4,
                                           .proto = 17,
                                           .dscp = 46,
                                           .ttl = 64,
                                           .sport = 1,
                                           .dport = 862,
                                           .ip_octets = 72},
                                     .src = 1,
                                     .dst = 0,
                                     .fate = FATE_REORDERED,
                                     .overtaken = 3,
                                     .dscp_out = 0,
                                     .ttl_out = 63,
                                     .payload_octets = 2,
                                     .payload = {0xab, 0x01}};

START_TEST(test_the_line_of_a_packet)
{
	struct truth_rec r = rec;
	char out[512];

	ck_assert_int_gt(truth_format(&r, &net, out, sizeof(out)), 0);
	ck_assert_str_eq(out, "1000 sin ams 9 reordered 3005 3000 4 4 17 1 862 "
	                      "72 46 0 64 63 3 ab01\n");
	r.fate = FATE_LOST_NTH; /* was never to be released */
	r.payload_octets = 0;
	ck_assert_int_gt(truth_format(&r, &net, out, sizeof(out)), 0);
	ck_assert_str_eq(out, "1000 sin ams 9 lost:nth 3005 0 0 4 17 1 862 72 "
	                      "46 0 64 63 3 -\n");
}
END_TEST

/* Many more records than the ring holds, with notes between: all there, in
 * order, and none missing as long as the producer leaves the writer time. */
START_TEST(test_everything_is_written_in_order)
{
	struct truth *t = truth_open(path, &net);
	char line[512];
	unsigned long long next = 0;
	int notes = 0;
	FILE *f;

	ck_assert_ptr_nonnull(t);
	for (unsigned i = 0; i < 100000; i++) {
		struct truth_rec r = rec;

		r.index = i;
		truth_add(t, &r);
		if (i % 1000 == 999) {
			truth_note(t, (struct wall){5}, "at %u", i);
			(void)usleep(2000);
		}
	}
	ck_assert_int_eq(truth_close(t), 0);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "# 5 at ", 7) == 0) {
			notes++;
			ck_assert_uint_eq(strtoull(line + 7, NULL, 10) + 1,
			                  next);
		} else if (line[0] != '#') {
			const char *index = strstr(line, "sin ams ");

			ck_assert_ptr_nonnull(index);
			ck_assert_uint_eq(strtoull(index + 8, NULL, 10), next);
			next++;
		}
	}
	ck_assert_str_eq(line, "# end missing=0\n");
	ck_assert_uint_eq(next, 100000);
	ck_assert_int_eq(notes, 100);
	ck_assert_int_eq(fclose(f), 0);
}
END_TEST

/* A producer that never pauses: what finds no room is counted, and what was
 * written and what is missing add up. */
START_TEST(test_what_finds_no_room_is_counted)
{
	struct truth *t = truth_open(path, &net);
	char line[512];
	int64_t missing, written = 0;
	FILE *f;

	ck_assert_ptr_nonnull(t);
	for (unsigned i = 0; i < 300000; i++)
		truth_add(t, &rec);
	missing = truth_close(t);
	ck_assert_int_ge(missing, 0);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		written += line[0] != '#';
	ck_assert_int_eq(written + missing, 300000);
	ck_assert_int_eq(fclose(f), 0);
}
END_TEST

START_TEST(test_no_truth_is_no_fault)
{
	truth_add(NULL, &rec);
	truth_note(NULL, (struct wall){0}, "x");
	ck_assert_int_eq(truth_close(NULL), 0);
	ck_assert_ptr_null(truth_open("/nonexistent/truth", &net));
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("truth");
	TCase *t = tcase_create("truth");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_the_line_of_a_packet);
	tcase_add_test(t, test_everything_is_written_in_order);
	tcase_add_test(t, test_what_finds_no_room_is_counted);
	tcase_add_test(t, test_no_truth_is_no_fault);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
