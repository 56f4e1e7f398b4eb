/* SPDX-License-Identifier: BSD-2-Clause */
/* The web thread's parts that need no socket: ETags, files, administration,
 * and the configuration that it and the bus are started with. */
#include "controller/admin.h"
#include "controller/answers.h"
#include "controller/config.h"
#include "controller/static.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- ETags ---- */

static const char *
etag(const char *json)
{
	static char out[8][ANSWER_ETAG_MAX];
	static unsigned which;

	which = (which + 1) % 8;
	answers_etag(json, strlen(json), out[which]);
	return out[which];
}

START_TEST(an_etag_leaves_out_the_time_and_the_ages)
{
	ck_assert_str_eq(
	    etag("{\"at\" : \"10:00\", \"x\":1, \"age_s\" : [1, 2], \"y\":2}"),
	    etag("{\"at\" : \"11:11\", \"x\":1, \"age_s\" : [7, 8], \"y\":2}"));
}
END_TEST

START_TEST(an_etag_sees_everything_else)
{
	const char *base = etag("{\"at\":\"1\",\"x\":1,\"age_s\":[1],\"y\":2}");

	ck_assert_str_ne(base,
	                 etag("{\"at\":\"1\",\"x\":2,\"age_s\":[1],\"y\":2}"));
	ck_assert_str_ne(base,
	                 etag("{\"at\":\"1\",\"x\":1,\"age_s\":[1],\"y\":3}"));
	ck_assert_str_ne(base, etag("{\"x\":1,\"y\":2}"));
	/* text that looks like a key stays text: its quotes are escaped */
	ck_assert_str_ne(etag("{\"w\":\"\\\"at\\\":\\\"1\\\"\"}"),
	                 etag("{\"w\":\"\\\"at\\\":\\\"2\\\"\"}"));
}
END_TEST

START_TEST(an_etag_of_a_cut_document_ends)
{
	(void)etag("\"at\"");
	(void)etag("\"at\":\"");
	(void)etag("\"age_s\"");
	(void)etag("");
}
END_TEST

/* ---- files ---- */

static char dir[64];
static int dirfd_;

static void
put(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void
setup_dir(void)
{
	char err[256];

	(void)snprintf(dir, sizeof(dir), "/tmp/test-web-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(static_open(dir, err, sizeof(err)), -1);
	ck_assert_ptr_nonnull(strstr(err, "no index.html"));
	put("index.html", "<p>");
	put("app.js", "1");
	put("secret", "s");
	put(".hidden.js", "h");
	dirfd_ = static_open(dir, err, sizeof(err));
	ck_assert_int_ge(dirfd_, 0);
}

static void
teardown_dir(void)
{
	static const char *const names[] = {"index.html", "app.js",  "secret",
	                                    ".hidden.js", "link.js", "d.js"};
	char path[128];

	(void)close(dirfd_);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (unlink(path) != 0)
			(void)rmdir(path);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(files_come_with_their_type)
{
	const char *type;
	struct blob *b = static_read(dirfd_, "/", &type);

	ck_assert_ptr_nonnull(b);
	ck_assert_str_eq((const char *)b->b, "<p>");
	ck_assert_str_eq(type, "text/html; charset=utf-8");
	blob_unref(b);
	b = static_read(dirfd_, "/app.js", &type);
	ck_assert_ptr_nonnull(b);
	ck_assert_str_eq(type, "text/javascript; charset=utf-8");
	blob_unref(b);
}
END_TEST

START_TEST(nothing_but_the_page_s_own_files_is_reached)
{
	static const char *const bad[] = {
	    "/../app.js",   "/..",         "/./app.js", "//etc/passwd",
	    "/secret",      "/app.js/",    "/d.js",     "/.hidden.js",
	    "/link.js",     "/nothing.js", "",          "app.js",
	    "/a/../app.js", "/app.js\n",   "/-x.js",
	};
	char path[128];
	const char *type;

	(void)snprintf(path, sizeof(path), "%s/link.js", dir);
	ck_assert_int_eq(symlink("app.js", path), 0);
	(void)snprintf(path, sizeof(path), "%s/d.js", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!static_read(dirfd_, bad[i], &type), "%s",
		              bad[i]);
}
END_TEST

/* ---- administration ---- */

static char why[256];

static struct ask *
approve(const char *json)
{
	return admin_parse(ASK_APPROVE, json, strlen(json), why, sizeof(why));
}

START_TEST(an_approval_is_read)
{
	struct ask *a = approve("{\"fingerprint\":\"abcdefghijklmnop\","
	                        "\"name\":\"ams1\",\"replace\":true,"
	                        "\"site\":\"\",\"addresses\":[\"::1\"]}");

	ck_assert_msg(a != NULL, "%s", why);
	ck_assert_int_eq(a->kind, ASK_APPROVE);
	ck_assert_str_eq(a->u.approve.fingerprint, "ABCD-EFGH-IJKL-MNOP");
	ck_assert_str_eq(a->u.approve.name, "ams1");
	ck_assert(a->u.approve.replace);
	ck_assert_uint_eq(a->u.approve.consent_n, 1);
	free(a);
}
END_TEST

START_TEST(a_bad_approval_says_what_was_expected)
{
#define FP "\"fingerprint\":\"ABCD-EFGH-IJKL-MNOP\""
	static const struct {
		const char *json, *says;
	} t[] = {
	    {"", "expected JSON"},
	    {"[]", "expected a JSON object"},
	    {"{\"name\":\"a\"}", "fingerprint: expected 16 characters"},
	    {"{" FP "}", "name: expected 1 to 63"},
	    {"{" FP ",\"name\":\"A b\"}", "found \"A b\""},
	    {"{" FP ",\"name\":\"a\",\"name\":\"b\"}", "expected JSON"},
	    {"{" FP ",\"name\":7}", "name: expected a string"},
	    {"{" FP ",\"name\":\"a\",\"x\":1}", "unknown member \"x\""},
	    {"{" FP ",\"name\":\"a\",\"replace\":1}", "replace: expected"},
	    {"{" FP ",\"name\":\"a\",\"site\":\"-\"}", "site: expected"},
	    {"{" FP ",\"name\":\"a\",\"addresses\":[\"x\"]}", "found \"x\""},
	    {"{" FP ",\"name\":\"a\",\"addresses\":[1]}",
	     "addresses: expected"},
	    {"{" FP ",\"name\":\"a\",\"addresses\":[\"::\",\"::\",\"::\","
	     "\"::\",\"::\",\"::\",\"::\",\"::\",\"::\"]}",
	     "addresses: expected a list of at most"},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		ck_assert_ptr_null(approve(t[i].json));
		ck_assert_msg(strstr(why, t[i].says) != NULL, "%zu: %s", i,
		              why);
	}
}
END_TEST

static struct ask *
parse_ask(enum ask_kind kind, const char *json)
{
	return admin_parse(kind, json, strlen(json), why, sizeof(why));
}

START_TEST(a_token_s_making_and_ending_are_read)
{
	struct ask *a =
	    parse_ask(ASK_TOKEN_CREATE, "{\"uses\":3,\"expires_s\":60}");

	ck_assert_msg(a != NULL, "%s", why);
	ck_assert_int_eq(a->u.token.uses, 3);
	ck_assert_int_eq(a->u.token.expires_s, 60);
	ask_free(a);
	a = parse_ask(ASK_TOKEN_REVOKE, "{\"token_id\":12}");
	ck_assert_msg(a != NULL, "%s", why);
	ck_assert_int_eq(a->u.token.token_id, 12);
	ask_free(a);
}
END_TEST

START_TEST(a_bad_token_request_says_what_was_expected)
{
	static const struct {
		enum ask_kind kind;
		const char *json, *says;
	} t[] = {
	    {ASK_TOKEN_CREATE, "{}", "uses: expected an integer from 1 to"},
	    {ASK_TOKEN_CREATE, "{\"uses\":0,\"expires_s\":1}", "uses: "},
	    {ASK_TOKEN_CREATE, "{\"uses\":100001,\"expires_s\":1}", "uses: "},
	    {ASK_TOKEN_CREATE, "{\"uses\":1.5,\"expires_s\":1}", "uses: "},
	    {ASK_TOKEN_CREATE, "{\"uses\":1,\"expires_s\":0}",
	     "expires_s: expected an integer from 1 to 31622400"},
	    {ASK_TOKEN_CREATE, "{\"uses\":1,\"expires_s\":31622401}",
	     "expires_s: "},
	    {ASK_TOKEN_CREATE, "{\"uses\":1,\"expires_s\":1,\"name\":\"a\"}",
	     "unknown member \"name\""},
	    {ASK_TOKEN_REVOKE, "{\"token_id\":\"1\"}", "token_id: "},
	    {ASK_TOKEN_REVOKE, "{\"token_id\":0}", "token_id: "},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		ck_assert_ptr_null(parse_ask(t[i].kind, t[i].json));
		ck_assert_msg(strstr(why, t[i].says) != NULL, "%zu: %s", i,
		              why);
	}
}
END_TEST

START_TEST(a_new_token_is_answered_with_its_secret_once)
{
	struct tell t = {.kind = TELL_ADMIN};
	struct blob *b;

	t.u.admin.token_id = 7;
	t.u.admin.uses = 2;
	(void)snprintf(t.u.admin.secret, sizeof(t.u.admin.secret), "%052d", 0);
	(void)snprintf(t.u.admin.expires_at, sizeof(t.u.admin.expires_at),
	               "2026-11-24T10:00:00.000Z");
	b = admin_answer(ASK_TOKEN_CREATE, &t);
	ck_assert_ptr_nonnull(b);
	ck_assert_uint_eq(
	    b->len, strlen("{\"token_id\":7,\"token\":\"\",\"uses\":2,"
	                   "\"expires_at\":\"2026-11-24T10:00:00.000Z\"}\n") +
	                52);
	blob_unref(b);
	b = admin_answer(ASK_TOKEN_REVOKE, &t);
	ck_assert_uint_eq(b->len, strlen("{\"revoked\":7}\n"));
	ck_assert_mem_eq(b->b, "{\"revoked\":7}\n", b->len);
	blob_unref(b);
}
END_TEST

/* ---- configuration ---- */

static struct config config;

static bool
read_config(const char *text, char *err, size_t size)
{
	char path[] = "/tmp/test-conf-XXXXXX";
	int fd = mkstemp(path);
	FILE *log = tmpfile();
	struct conf *c;
	bool ok = false;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	c = conf_load(path, config_table, log);
	if (c)
		ok = config_read(c, &config, err, size);
	else
		(void)snprintf(err, size, "table");
	conf_free(c);
	(void)fclose(log);
	(void)unlink(path);
	return ok;
}

START_TEST(without_classes_there_is_the_default_one)
{
	char err[256] = "";

	ck_assert_msg(read_config("", err, sizeof(err)), "%s", err);
	ck_assert_uint_eq(config.class_n, 1);
	ck_assert_int_eq(config.class_[0].interval_ns, 0);
	ck_assert_str_eq(config.class_[0].name, "default");
	ck_assert_int_eq(config.class_[0].gap_ns, 100 * NS_PER_MS);
	ck_assert_uint_eq(config.class_[0].size_octets, 128);
	ck_assert_int_eq(config.class_[0].loss_timeout_ns, 2 * NS_PER_S);
	ck_assert_uint_eq(addr_port(&config.listen), 8620);
}
END_TEST

START_TEST(classes_are_read)
{
	char err[256] = "";

	ck_assert_msg(
	    read_config("class \"voice\" { family = 6 dscp = 46\n"
	                "rate = 0.5 schedule = \"poisson\" flows = 4\n"
	                "interval = 2s loss_timeout = 500ms\n"
	                "ship_spread = 0s }\n"
	                "http = \"[::1]:0\" listen = \"127.0.0.1:0\"",
	                err, sizeof(err)),
	    "%s", err);
	ck_assert_uint_eq(config.class_n, 1);
	ck_assert_int_eq(config.class_[0].interval_ns, 2 * NS_PER_S);
	ck_assert_int_eq(config.class_[0].family, 6);
	ck_assert_uint_eq(config.class_[0].dscp, 46);
	ck_assert_int_eq(config.class_[0].gap_ns, 2 * NS_PER_S);
	ck_assert_int_eq(config.class_[0].schedule, SCHEDULE_POISSON);
	ck_assert_uint_eq(config.class_[0].flows, 4);
	ck_assert_uint_eq(addr_port(&config.http), 0);
	ck_assert(addr_is_loopback(&config.http));
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	static const char *const bad[] = {
	    "listen = \"somewhere:1\"",
	    "http = \"0.0.0.0:8080\"",
	    "http = \"192.0.2.1:8080\"",
	    "listen = \"0.0.0.0:8620\" trust_first_use = \"loopback\"",
	    "trust_first_use = \"always\"",
	    "class \"a\" { rate = 0 }",
	    "class \"a\" { rate = 1001 }",
	    "class \"a\" { rate = 1e3 }",
	    "class \"a\" { rate = nan }",
	    "class \"a\" { size = 83 }",
	    "class \"a\" { dscp = 64 }",
	    "class \"a\" { family = 5 }",
	    "class \"a\" { interval = 500ms }",
	    "class \"a\" { interval = 2h }",
	    "class \"a\" { loss_timeout = 50ms }",
	    "class \"a\" { flows = 0 }",
	    "class \"A\" { }",
	    "class \"a\" { interval = 2s } class \"a\" { interval = 2s }",
	    "class \"a\" { interval = 2s } class \"b\" { }",
	    "window = 0",
	    "window = 65",
	    "surprise = 1",
	};
	char err[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!read_config(bad[i], err, sizeof(err)), "%s",
		              bad[i]);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("web");
	TCase *t = tcase_create("pure"), *f = tcase_create("files");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, an_etag_leaves_out_the_time_and_the_ages);
	tcase_add_test(t, an_etag_sees_everything_else);
	tcase_add_test(t, an_etag_of_a_cut_document_ends);
	tcase_add_test(t, an_approval_is_read);
	tcase_add_test(t, a_bad_approval_says_what_was_expected);
	tcase_add_test(t, a_token_s_making_and_ending_are_read);
	tcase_add_test(t, a_bad_token_request_says_what_was_expected);
	tcase_add_test(t, a_new_token_is_answered_with_its_secret_once);
	tcase_add_test(t, without_classes_there_is_the_default_one);
	tcase_add_test(t, classes_are_read);
	tcase_add_test(t, what_cannot_be_is_refused);
	suite_add_tcase(s, f);
	tcase_add_checked_fixture(f, setup_dir, teardown_dir);
	tcase_add_test(f, files_come_with_their_type);
	tcase_add_test(f, nothing_but_the_page_s_own_files_is_reached);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
