/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/spool.h"

#include "lib/base/rng.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY_NS (86400 * NS_PER_S)

static char dir[64], path[96], err[512];
static char *aside;
static const uint8_t *boot_id;
static int64_t clock_ns; /* of what is sealed */
static const struct wall t0 = {INT64_C(1795428000) * NS_PER_S};

static void
setup(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/test_spool.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/spool.db", dir);
}

static void
teardown(void)
{
	char cmd[128];

	free(aside);
	aside = NULL;
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static struct spool *
open_with(uint64_t max_bytes, int64_t max_age_ns, struct wall now)
{
	const struct spool_opts o = {path, max_bytes, max_age_ns, boot_id};

	free(aside);
	return spool_open(&o, now, &aside, err, sizeof(err));
}

static struct spool *
open_spool(void)
{
	struct spool *s = open_with(64U << 20, 3 * DAY_NS, t0);

	ck_assert_msg(s != NULL, "%s", err);
	return s;
}

/* A body of `len` octets that depends on i. */
static uint64_t
seal(struct spool *s, struct wall now, size_t len, int i)
{
	const struct spool_span span = {now, wall_add_ns(now, NS_PER_S), 7,
	                                clock_ns};
	uint8_t *body = malloc(len);
	uint64_t seq = 0;

	memset(body, i, len);
	ck_assert_int_eq(spool_seal(s, now, &span, body, len, &seq), 0);
	free(body);
	return seq;
}

static void
ack(struct spool *s, uint64_t seq)
{
	ck_assert_int_eq(spool_ack(s, &seq, 1), 0);
}

/* The gap record that a given-up batch holds; false: it holds its rows. */
static bool
is_gap(struct spool *s, uint64_t seq, struct gap *g)
{
	struct batch_body b;
	struct msg_batch m;
	bool gap = false;

	ck_assert_int_eq(spool_load(s, seq, &m), 0);
	if (m.rows == 0 &&
	    batch_body_decode(m.body, m.body_len, &b, NULL) == MSG_OK) {
		gap = b.gap_n == 1 && b.slice_n == 0;
		if (gap)
			*g = b.gap[0];
		batch_body_clear(&b);
	}
	free(m.body);
	return gap;
}

START_TEST(numbers_run_from_1_and_survive_reopening)
{
	struct spool *s = open_spool();
	const struct id16 id = *spool_id(s);
	struct msg_batch m;
	uint8_t digest[16];

	ck_assert_uint_eq(spool_next_seq(s), 1);
	ck_assert_uint_eq(seal(s, t0, 100, 'a'), 1);
	ck_assert_uint_eq(seal(s, t0, 100, 'b'), 2);
	spool_free(s);
	s = open_spool();
	ck_assert_mem_eq(&id, spool_id(s), sizeof(id));
	ck_assert_uint_eq(spool_next_seq(s), 3);
	ck_assert_uint_eq(spool_counts(s)->batches, 2);
	ck_assert_uint_eq(spool_next_unacked(s, 0), 1);
	ck_assert_int_eq(spool_load(s, 2, &m), 0);
	ck_assert_uint_eq(m.seq, 2);
	ck_assert_uint_eq(m.rows, 7);
	ck_assert_uint_eq(m.body_len, 100);
	ck_assert_int_eq(m.body[50], 'b');
	batch_digest(m.body, m.body_len, digest);
	ck_assert_mem_eq(m.digest, digest, 16);
	free(m.body);
	ck_assert_int_eq(spool_load(s, 3, &m), -ENOENT);
	spool_free(s);
}
END_TEST

static struct clock_mark
mark_of(struct spool *s, uint64_t seq)
{
	struct msg_batch m;

	ck_assert_int_eq(spool_load(s, seq, &m), 0);
	free(m.body);
	return m.mark;
}

START_TEST(the_clock_of_a_batch_survives_reopening_and_reboots)
{
	static const uint8_t boot[2][BOOT_ID_BYTES] = {{1, 2}, {3, 4}};
	struct spool *s = open_spool(); /* boot not known */
	struct clock_mark m;
	struct gap gap;

	clock_ns = t0.ns;
	(void)seal(s, t0, 100, 'a');
	spool_free(s);
	boot_id = boot[0];
	s = open_spool();
	clock_ns = -5;
	(void)seal(s, t0, 100, 'b');
	clock_ns = NS_UNKNOWN;
	(void)seal(s, t0, 100, 'c');
	spool_free(s);
	boot_id = boot[1];
	s = open_spool();
	clock_ns = t0.ns;
	(void)seal(s, t0, 100, 'd');
	ck_assert(!mark_of(s, 1).known);
	m = mark_of(s, 2);
	ck_assert(m.known);
	ck_assert_int_eq(m.ns, -5);
	ck_assert_mem_eq(m.boot_id, boot[0], BOOT_ID_BYTES);
	ck_assert(!mark_of(s, 3).known);
	m = mark_of(s, 4);
	ck_assert(m.known);
	ck_assert_int_eq(m.ns, t0.ns);
	ck_assert_mem_eq(m.boot_id, boot[1], BOOT_ID_BYTES);
	/* a gap is dated as its rows were */
	spool_on_minute(s, wall_add_ns(t0, 4 * DAY_NS));
	ck_assert(is_gap(s, 2, &gap));
	ck_assert_int_eq(mark_of(s, 2).ns, -5);
	spool_free(s);
}
END_TEST

START_TEST(a_spool_of_an_older_meshd_goes_on)
{
	static const uint8_t boot[BOOT_ID_BYTES] = {7};
	struct spool *s;
	sqlite3 *db;

	boot_id = boot;
	clock_ns = 5;
	s = open_spool();
	(void)seal(s, t0, 100, 'a');
	spool_free(s);
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db,
	                              "ALTER TABLE batch DROP COLUMN clock_ns;"
	                              "ALTER TABLE batch DROP COLUMN boot_id",
	                              NULL, NULL, NULL),
	                 SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	s = open_spool();
	ck_assert_ptr_null(aside);
	ck_assert_uint_eq(spool_next_unacked(s, 0), 1);
	ck_assert(!mark_of(s, 1).known);
	ck_assert_uint_eq(seal(s, t0, 100, 'b'), 2);
	ck_assert_int_eq(mark_of(s, 2).ns, 5);
	spool_free(s);
}
END_TEST

START_TEST(a_deleted_spool_is_another_spool)
{
	struct spool *s = open_spool();
	const struct id16 id = *spool_id(s);

	seal(s, t0, 10, 1);
	spool_free(s);
	ck_assert_int_eq(unlink(path), 0);
	s = open_spool();
	ck_assert_mem_ne(&id, spool_id(s), sizeof(id));
	ck_assert_uint_eq(spool_next_seq(s), 1);
	spool_free(s);
}
END_TEST

START_TEST(the_file_is_private_and_has_one_owner)
{
	struct spool *s = open_spool();
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	seal(s, t0, 10, 1);
	ck_assert_ptr_null(open_with(64U << 20, DAY_NS, t0));
	ck_assert_msg(strstr(err, "in use") != NULL, "%s", err);
	spool_free(s);
}
END_TEST

START_TEST(what_is_sealed_survives_kill_9)
{
	struct spool *s;
	int fd[2], status;
	uint64_t seq = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		s = open_spool();
		for (int i = 0; i < 20; i++)
			seq = seal(s, t0, 50000, i);
		(void)!write(fd[1], &seq, sizeof(seq));
		(void)pause();
	}
	ck_assert_int_eq(read(fd[0], &seq, sizeof(seq)), sizeof(seq));
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	s = open_spool();
	ck_assert_ptr_null(aside);
	ck_assert_uint_eq(spool_next_seq(s), seq + 1);
	ck_assert_uint_eq(spool_counts(s)->batches, 20);
	spool_free(s);
}
END_TEST

START_TEST(acknowledged_batches_are_kept_and_give_way_first)
{
	/* room for ten of 1 MB and what they cost beside */
	struct spool *s = open_with(10500000, DAY_NS, t0);
	struct gap g;

	for (int i = 0; i < 10; i++)
		seal(s, t0, 1000000, i);
	ack(s, 3);
	ack(s, 4);
	ack(s, 3); /* twice counts once */
	ck_assert_uint_eq(spool_counts(s)->batches, 8);
	ck_assert_uint_eq(spool_counts(s)->kept_batches, 2);
	ck_assert_uint_eq(spool_next_unacked(s, 3), 5);
	seal(s, t0, 1000000, 10);
	ck_assert_uint_eq(spool_counts(s)->kept_batches, 1);
	seal(s, t0, 1000000, 11);
	ck_assert_uint_eq(spool_counts(s)->kept_batches, 0);
	ck_assert_uint_eq(spool_counts(s)->batches, 10);
	ck_assert_uint_eq(spool_counts(s)->given_up_batches, 0);
	ck_assert(!is_gap(s, 1, &g));
	spool_free(s);
}
END_TEST

START_TEST(overflow_leaves_gaps_without_holes_and_spares_what_is_under_way)
{
	struct spool *s = open_with(16U << 20, DAY_NS, t0);
	uint64_t gaps = 0;
	struct gap g;

	/* 100 x 200 kB = 20 MB into 16 MB */
	for (int i = 0; i < 100; i++)
		seal(s, wall_add_ns(t0, i * NS_PER_S), 200000, i);
	ck_assert_uint_eq(spool_counts(s)->batches, 100);
	for (uint64_t seq = 1; seq <= 100; seq++) {
		ck_assert_uint_eq(spool_next_unacked(s, seq), seq);
		if (!is_gap(s, seq, &g))
			continue;
		gaps++;
		ck_assert_uint_gt(seq, SPOOL_PROTECTED);
		ck_assert_int_eq(g.from.ns,
		                 t0.ns + (int64_t)(seq - 1) * NS_PER_S);
		ck_assert_int_eq(g.to.ns - g.from.ns, NS_PER_S);
		ck_assert_uint_eq(g.rows, 7);
		ck_assert_str_eq(g.reason, "spool full");
	}
	ck_assert_uint_ge(gaps, 17);
	ck_assert_uint_eq(gaps, spool_counts(s)->given_up_batches);
	ck_assert_uint_eq(7 * gaps, spool_counts(s)->given_up_rows);
	ck_assert_uint_le(spool_counts(s)->bytes, 16U << 20);
	spool_free(s);
}
END_TEST

START_TEST(what_is_too_old_goes_and_tells_of_it)
{
	struct spool *s = open_with(64U << 20, 60 * NS_PER_S, t0);
	struct gap g;

	seal(s, t0, 1000, 1);
	seal(s, t0, 1000, 2);
	seal(s, wall_add_ns(t0, 50 * NS_PER_S), 1000, 3);
	ack(s, 1);
	spool_on_minute(s, wall_add_ns(t0, 61 * NS_PER_S));
	ck_assert_uint_eq(spool_counts(s)->kept_batches, 0);
	ck_assert_uint_eq(spool_counts(s)->batches, 2);
	ck_assert(is_gap(s, 2, &g));
	ck_assert_str_eq(g.reason, "spool age");
	ck_assert(!is_gap(s, 3, &g));
	/* a second look changes nothing more */
	spool_on_minute(s, wall_add_ns(t0, 62 * NS_PER_S));
	ck_assert_uint_eq(spool_counts(s)->given_up_batches, 1);
	spool_free(s);
}
END_TEST

START_TEST(a_restored_ledger_gets_back_what_it_lacks_once)
{
	const struct id16 one = {{1}}, two = {{2}};
	struct spool *s = open_spool();
	uint64_t again;

	for (int i = 0; i < 10; i++)
		seal(s, t0, 100, i);
	for (uint64_t i = 1; i <= 8; i++)
		ack(s, i);
	/* as it should be */
	ck_assert_int_eq(spool_reconcile(s, &one, 9, &again), 0);
	ck_assert_uint_eq(again, 0);
	/* an ack got lost */
	ck_assert_int_eq(spool_reconcile(s, &one, 10, &again), 0);
	ck_assert_uint_eq(again, 0);
	ck_assert_uint_eq(spool_next_unacked(s, 0), 10);
	/* yesterday's dump */
	ck_assert_int_eq(spool_reconcile(s, &two, 5, &again), 0);
	ck_assert_uint_eq(again, 5);
	ck_assert_uint_eq(spool_next_unacked(s, 0), 5);
	ck_assert_uint_eq(spool_counts(s)->batches, 6);
	/* the same words again are not a new loss */
	for (uint64_t i = 6; i <= 10; i++)
		ack(s, i);
	ck_assert_int_eq(spool_reconcile(s, &two, 5, &again), 0);
	ck_assert_uint_eq(again, 0);
	ck_assert_uint_eq(spool_counts(s)->batches, 1);
	spool_free(s);
}
END_TEST

START_TEST(a_copy_of_an_old_spool_takes_no_number_twice)
{
	const struct id16 one = {{1}};
	struct spool *s = open_spool();
	uint64_t again;

	ck_assert_int_eq(spool_reconcile(s, &one, 80, &again), 0);
	ck_assert_uint_eq(spool_next_seq(s), 80);
	ck_assert_uint_eq(seal(s, t0, 10, 1), 80);
	spool_free(s);
}
END_TEST

START_TEST(a_file_that_is_no_spool_is_refused_untouched)
{
	FILE *f = fopen(path, "w");
	struct stat st;

	(void)fputs("this is a letter, not a database\n", f);
	(void)fclose(f);
	ck_assert_ptr_null(open_with(64U << 20, DAY_NS, t0));
	ck_assert_msg(strstr(err, path) != NULL, "%s", err);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 33);
	ck_assert_ptr_null(aside);
}
END_TEST

START_TEST(a_damaged_spool_is_moved_aside_and_a_new_one_begins)
{
	struct spool *s = open_spool();
	const struct id16 id = *spool_id(s);
	uint8_t junk[8192];
	int fd;

	for (int i = 0; i < 50; i++)
		seal(s, t0, 1000, i);
	spool_free(s);
	fd = open(path, O_WRONLY);
	memset(junk, 0xa5, sizeof(junk));
	ck_assert_int_eq(pwrite(fd, junk, sizeof(junk), 100), sizeof(junk));
	(void)close(fd);
	s = open_with(64U << 20, DAY_NS, t0);
	ck_assert_msg(s != NULL, "%s", err);
	ck_assert_ptr_nonnull(aside);
	ck_assert_int_eq(access(aside, F_OK), 0);
	ck_assert_mem_ne(&id, spool_id(s), sizeof(id));
	seal(s, t0, 10, 1);
	spool_free(s);
}
END_TEST

START_TEST(a_batch_that_rotted_on_disk_becomes_a_gap)
{
	struct spool *s = open_spool();
	uint8_t page[4096], *hit = NULL;
	struct gap g;
	off_t at = 0;
	int fd;

	seal(s, t0, 3000, 0x5a);
	seal(s, t0, 100, 1);
	spool_free(s); /* the WAL is merged */
	fd = open(path, O_RDWR);
	for (; !hit && pread(fd, page, sizeof(page), at) == sizeof(page);
	     at += (off_t)sizeof(page))
		hit = memmem(page, sizeof(page), "ZZZZZZZZZZZZ", 12);
	ck_assert_ptr_nonnull(hit);
	ck_assert_int_eq(
	    pwrite(fd, "x", 1, at - (off_t)sizeof(page) + (hit - page) + 5), 1);
	(void)close(fd);
	s = open_spool();
	ck_assert(is_gap(s, 1, &g));
	ck_assert_str_eq(g.reason, "spool damaged");
	ck_assert(!is_gap(s, 2, &g));
	spool_free(s);
}
END_TEST

START_TEST(a_missing_folder_is_told_in_one_line)
{
	(void)snprintf(path, sizeof(path), "%s/none/spool.db", dir);
	ck_assert_ptr_null(open_with(64U << 20, DAY_NS, t0));
	ck_assert_msg(strstr(err, "No such file") != NULL, "%s", err);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("spool");
	TCase *t = tcase_create("disk");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, numbers_run_from_1_and_survive_reopening);
	tcase_add_test(t, the_clock_of_a_batch_survives_reopening_and_reboots);
	tcase_add_test(t, a_spool_of_an_older_meshd_goes_on);
	tcase_add_test(t, a_deleted_spool_is_another_spool);
	tcase_add_test(t, the_file_is_private_and_has_one_owner);
	tcase_add_test(t, what_is_sealed_survives_kill_9);
	tcase_add_test(t, acknowledged_batches_are_kept_and_give_way_first);
	tcase_add_test(
	    t, overflow_leaves_gaps_without_holes_and_spares_what_is_under_way);
	tcase_add_test(t, what_is_too_old_goes_and_tells_of_it);
	tcase_add_test(t, a_restored_ledger_gets_back_what_it_lacks_once);
	tcase_add_test(t, a_copy_of_an_old_spool_takes_no_number_twice);
	tcase_add_test(t, a_file_that_is_no_spool_is_refused_untouched);
	tcase_add_test(t, a_damaged_spool_is_moved_aside_and_a_new_one_begins);
	tcase_add_test(t, a_batch_that_rotted_on_disk_becomes_a_gap);
	tcase_add_test(t, a_missing_folder_is_told_in_one_line);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
