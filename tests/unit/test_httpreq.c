/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/httpreq.h"
#include "lib/base/rng.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct httpreq req;
static const char *why;

static int
parse(const char *head)
{
	req = (struct httpreq){.method = HTTP_OTHER};
	return httpreq_parse(head, strlen(head), &req, &why);
}

#define GET(target, headers) \
	parse("GET " target " HTTP/1.1\r\nHost: localhost\r\n" headers "\r\n")

START_TEST(a_plain_request_is_read)
{
	ck_assert_int_eq(GET("/api/v1/path?src=a1&dst=b%2D2&x=1+2",
	                     "Accept-Encoding: br, gzip;q=0.5\r\n"
	                     "If-None-Match: W/\"12\"\r\n"),
	                 0);
	ck_assert_int_eq(req.method, HTTP_GET);
	ck_assert_str_eq(req.path, "/api/v1/path");
	ck_assert_str_eq(httpreq_param(&req, "src"), "a1");
	ck_assert_str_eq(httpreq_param(&req, "dst"), "b-2");
	ck_assert_str_eq(httpreq_param(&req, "x"), "1 2");
	ck_assert_ptr_null(httpreq_param(&req, "y"));
	ck_assert(req.accept_gzip);
	ck_assert(req.keep_alive);
	ck_assert_str_eq(req.if_none_match, "W/\"12\"");
}
END_TEST

START_TEST(gzip_refused_by_q_0_is_refused)
{
	ck_assert_int_eq(GET("/", "Accept-Encoding: gzip;q=0.0\r\n"), 0);
	ck_assert(!req.accept_gzip);
	ck_assert_int_eq(GET("/", "Accept-Encoding: gzip ; q=0.001\r\n"), 0);
	ck_assert(req.accept_gzip);
}
END_TEST

START_TEST(keep_alive_follows_version_and_header)
{
	ck_assert_int_eq(GET("/", "Connection: close\r\n"), 0);
	ck_assert(!req.keep_alive);
	ck_assert_int_eq(parse("GET / HTTP/1.0\r\n\r\n"), 0);
	ck_assert(!req.keep_alive);
	ck_assert_int_eq(
	    parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), 0);
	ck_assert(req.keep_alive);
}
END_TEST

START_TEST(what_two_readers_could_understand_differently_is_refused)
{
	static const char *const bad[] = {
	    "GET / HTTP/1.1\nHost: a\n\n",
	    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
	    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
	     "Content-Length: 1\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
	    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: "
	     "99999999999999999999\r\n\r\n"),
	    "GET / HTTP/1.1\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: a\r\n\r\nX: y\r\n\r\n",
	    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
	    "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /% HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /?a=1&a=2 HTTP/1.1\r\nHost: a\r\n\r\n",
	    "\r\n",
	    "",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(parse(bad[i]) == 400, "%zu: %s", i, bad[i]);
	ck_assert_int_eq(GET("/", "Transfer-Encoding: chunked\r\n"), 501);
	ck_assert_int_eq(parse("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
}
END_TEST

START_TEST(a_last_escape_is_decoded)
{
	ck_assert_int_eq(GET("/a%41", ""), 0);
	ck_assert_str_eq(req.path, "/aA");
}
END_TEST

START_TEST(lengths_are_bounded)
{
	char head[4096] = "GET /";
	size_t n = strlen(head);

	memset(head + n, 'a', 200);
	strncat(head, " HTTP/1.1\r\nHost: a\r\n\r\n", 100);
	ck_assert_int_eq(parse(head), 414);
	n = (size_t)snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n");
	for (int i = 0; i < 70; i++)
		n += (size_t)snprintf(head + n, sizeof(head) - n, "a: b\r\n");
	(void)snprintf(head + n, sizeof(head) - n, "\r\n");
	ck_assert_int_eq(parse(head), 431);
}
END_TEST

START_TEST(only_names_of_this_host_pass_the_rebinding_check)
{
	static const char *const good[] = {
	    "localhost",        "localhost:8080", "LOCALHOST",
	    "mesh.localhost:1", "127.0.0.1",      "127.0.0.1:8080",
	    "127.9.8.7",        "[::1]",          "[::1]:18080",
	};
	static const char *const bad[] = {
	    "",
	    "evil.example",
	    "localhost.evil.example",
	    "127.0.0.1.evil.example",
	    "10.0.0.1",
	    "0.0.0.0",
	    "[::]",
	    "localhost:",
	    "localhost:x",
	    "localhost:1:2",
	    ".localhost",
	    "localhost@evil.example",
	    "127.0.0.1@evil.example",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(httpreq_host_is_local(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!httpreq_host_is_local(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(etags_match_weakly_and_in_lists)
{
	ck_assert(httpreq_etag_matches("W/\"a\"", "W/\"a\""));
	ck_assert(httpreq_etag_matches("\"a\"", "W/\"a\""));
	ck_assert(httpreq_etag_matches("\"x\", W/\"a\"", "\"a\""));
	ck_assert(httpreq_etag_matches("*", "\"a\""));
	ck_assert(!httpreq_etag_matches("\"ab\"", "\"a\""));
	ck_assert(!httpreq_etag_matches("", "\"a\""));
}
END_TEST

/* Noise over a good head: never more than a status, never a read outside. */
START_TEST(noise_is_answered_by_a_status)
{
	static const char good[] =
	    "GET /a%41?b=c%20d&e=f HTTP/1.1\r\nHost: localhost:80\r\n"
	    "Accept-Encoding: gzip;q=1, br\r\nContent-Length: 12\r\n\r\n";
	uint64_t seed = random_u64();
	struct rng r;

	rng_seed(&r, seed);
	for (int round = 0; round < 20000; round++) {
		size_t len = sizeof(good) - 1 - rng_u64(&r) % 20;
		char *head = malloc(len);
		int rc;

		ck_assert_ptr_nonnull(head);
		memcpy(head, good, len);
		for (uint64_t k = rng_u64(&r) % 4; k > 0; k--)
			head[rng_u64(&r) % len] = (char)rng_u64(&r);
		rc = httpreq_parse(head, len, &req, &why);
		ck_assert_msg(rc == 0 || (rc >= 400 && rc <= 505), "seed %llu",
		              (unsigned long long)seed);
		if (rc == 0)
			ck_assert_msg(req.path[0] == '/', "seed %llu",
			              (unsigned long long)seed);
		free(head);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("httpreq");
	TCase *t = tcase_create("httpreq");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, a_plain_request_is_read);
	tcase_add_test(t, gzip_refused_by_q_0_is_refused);
	tcase_add_test(t, keep_alive_follows_version_and_header);
	tcase_add_test(
	    t, what_two_readers_could_understand_differently_is_refused);
	tcase_add_test(t, a_last_escape_is_decoded);
	tcase_add_test(t, lengths_are_bounded);
	tcase_add_test(t, only_names_of_this_host_pass_the_rebinding_check);
	tcase_add_test(t, etags_match_weakly_and_in_lists);
	tcase_add_test(t, noise_is_answered_by_a_status);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
