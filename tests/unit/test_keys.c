/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/keys.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[96], public_path[96], err[512];

static void
setup(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/test_keys.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/node.key", dir);
	(void)snprintf(public_path, sizeof(public_path), "%s/node.pub", dir);
}

static void
teardown(void)
{
	(void)unlink(path);
	(void)unlink(public_path);
	ck_assert_int_eq(rmdir(dir), 0); /* no temporary file is left */
}

static void
write_text(const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	(void)fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}

START_TEST(a_key_is_made_once_and_stays)
{
	char line[128], text[KEYS_TEXT_SIZE];
	struct keys a, b;
	struct stat st;
	FILE *f;

	ck_assert_msg(
	    keys_load_or_create(path, public_path, &a, err, sizeof(err)), "%s",
	    err);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(stat(public_path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0644);
	ck_assert(keys_load_or_create(path, public_path, &b, err, sizeof(err)));
	ck_assert_mem_eq(&a, &b, sizeof(a));
	f = fopen(public_path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
	(void)fclose(f);
	keys_text(a.public_key, text);
	ck_assert_uint_eq(strlen(text), 52);
	ck_assert_int_eq(strncmp(line, text, 52), 0);
	ck_assert_str_eq(line + 52, "\n");
}
END_TEST

START_TEST(a_stale_public_file_is_written_anew)
{
	struct keys a;
	FILE *f = fopen(public_path, "w");

	(void)fputs("something else\n", f);
	(void)fclose(f);
	ck_assert(keys_load_or_create(path, public_path, &a, err, sizeof(err)));
	f = fopen(public_path, "r");
	ck_assert_int_ne(fgetc(f), 's');
	(void)fclose(f);
}
END_TEST

START_TEST(a_key_that_others_may_read_is_refused)
{
	static const mode_t bad[] = {0644, 0640, 0604, 0660, 0601};
	struct keys k;

	ck_assert(keys_load_or_create(path, public_path, &k, err, sizeof(err)));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(chmod(path, bad[i]), 0);
		ck_assert(!keys_load(path, &k, err, sizeof(err)));
		ck_assert_msg(strstr(err, path) && strstr(err, "0600"), "%s",
		              err);
	}
	ck_assert_int_eq(chmod(path, 0400), 0);
	ck_assert(keys_load(path, &k, err, sizeof(err)));
}
END_TEST

START_TEST(what_is_no_key_is_refused_and_kept)
{
	static const char *const bad[] = {
	    "", "\n", "not a key\n",
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"};
	struct keys k;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_text(bad[i], 0600);
		ck_assert(!keys_load_or_create(path, public_path, &k, err,
		                               sizeof(err)));
		ck_assert_msg(strstr(err, "base32") != NULL, "%s", err);
		ck_assert_int_eq(access(path, F_OK), 0);
	}
	ck_assert(!keys_load(dir, &k, err, sizeof(err)));
	ck_assert_msg(strstr(err, dir) != NULL, "%s", err);
}
END_TEST

START_TEST(keys_are_read_in_either_case_with_dashes)
{
	uint8_t key[KEYS_BYTES], back[KEYS_BYTES];
	char text[KEYS_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 37);
	keys_text(key, text);
	ck_assert(keys_parse(text, back));
	ck_assert_mem_eq(key, back, sizeof(key));
	for (char *p = text; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
	ck_assert(keys_parse(text, back));
	ck_assert_mem_eq(key, back, sizeof(key));
	text[10] = '1'; /* not of the alphabet */
	ck_assert(!keys_parse(text, back));
}
END_TEST

START_TEST(a_fingerprint_is_sha256_in_four_groups)
{
	const uint8_t zero[KEYS_BYTES] = {0};
	char fp[KEYS_FINGERPRINT_SIZE], back[KEYS_FINGERPRINT_SIZE];

	/* base32 of the first 10 octets of SHA-256 of 32 zero octets,
	 * 66687aadf862bd776c8f... */
	keys_fingerprint(zero, fp);
	ck_assert_str_eq(fp, "MZUH-VLPY-MK6X-O3EP");
	ck_assert(keys_fingerprint_parse("mzuhvlpymk6xo3ep", back));
	ck_assert_str_eq(fp, back);
	ck_assert(keys_fingerprint_parse(fp, back));
	ck_assert_str_eq(fp, back);
	ck_assert(!keys_fingerprint_parse("MZUH-VLPY-MK6X", back));
	ck_assert(!keys_fingerprint_parse("nonsense", back));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("keys");
	TCase *t = tcase_create("files");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_key_is_made_once_and_stays);
	tcase_add_test(t, a_stale_public_file_is_written_anew);
	tcase_add_test(t, a_key_that_others_may_read_is_refused);
	tcase_add_test(t, what_is_no_key_is_refused_and_kept);
	tcase_add_test(t, keys_are_read_in_either_case_with_dashes);
	tcase_add_test(t, a_fingerprint_is_sha256_in_four_groups);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
