/* SPDX-License-Identifier: BSD-2-Clause */
/* The HTTP server over real sockets, in one thread: the test's client and the
 * server's event base take turns. */
#include "controller/http.h"
#include "controller/httpwire.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

static struct event_base *base;
static struct http *server;
static struct addr bound;
static unsigned calls;
static uint64_t held_id;
static char body_seen[100];
static char got[1 << 20];
static size_t got_n;

static void
on_call(void *arg, struct http_call *c)
{
	const struct httpreq *r = http_call_req(c);
	size_t len;
	const char *body = http_call_body(c, &len);
	struct blob *b, *z;
	static char big[100000];

	(void)arg;
	calls++;
	if (strcmp(r->path, "/later") == 0) {
		held_id = http_call_id(c);
		return;
	}
	if (strcmp(r->path, "/none") == 0) {
		http_answer_error(c, 404, "no \"such\" page\n", NULL);
		return;
	}
	if (body)
		(void)snprintf(body_seen, sizeof(body_seen), "%.*s", (int)len,
		               body);
	memset(big, 'x', sizeof(big));
	b = blob_new(strcmp(r->path, "/big") == 0 ? big : "hello",
	             strcmp(r->path, "/big") == 0 ? sizeof(big) : 5);
	ck_assert_ptr_nonnull(b);
	z = b->len > 1000 ? blob_gzip(b) : NULL;
	http_answer(c, &(struct http_answer){.status = 200,
	                                     .type = "text/plain",
	                                     .body = b,
	                                     .gzip = z,
	                                     .etag = "W/\"e1\""});
	blob_unref(b);
	blob_unref(z);
}

static void
setup(void)
{
	struct addr at;
	int err = 0;

	base = event_base_new();
	ck_assert(addr_parse_ip("127.0.0.1", 0, &at));
	calls = 0;
	server = http_listen_tcp(&(struct http_opts){.base = base,
	                                             .connections_max = 4,
	                                             .body_max = 64,
	                                             .fn = on_call,
	                                             .tag = "t"},
	                         &at, &bound, &err);
	ck_assert_msg(server != NULL, "%s", strerror(-err));
	ck_assert_uint_ne(addr_port(&bound), 0);
}

static void
teardown(void)
{
	http_free(server);
	event_base_free(base);
}

static int
dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, &bound.u.sa, bound.len), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL),
	                 (ssize_t)strlen(text));
}

static void
turn(int ms)
{
	struct timespec nap = {.tv_nsec = 1000000};

	for (int i = 0; i < ms; i++) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		(void)nanosleep(&nap, NULL);
	}
}

/* Reads until `want` is in what came, or the peer closed, or 2 s. True when it
 * closed. */
static bool
hear(int fd, const char *want)
{
	got_n = 0;
	got[0] = '\0';
	for (int i = 0; i < 2000; i++) {
		ssize_t n;

		turn(1);
		n = recv(fd, got + got_n, sizeof(got) - 1 - got_n, 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return true;
		if (n < 0)
			continue;
		got_n += (size_t)n;
		got[got_n] = '\0';
		if (want && memmem(got, got_n, want, strlen(want)))
			return false;
	}
	return false;
}

#define REQ(method, path, more) \
	method " " path " HTTP/1.1\r\nHost: localhost\r\n" more "\r\n"

START_TEST(a_connection_serves_several_requests)
{
	int fd = dial();

	for (int i = 0; i < 3; i++) {
		say(fd, REQ("GET", "/", ""));
		ck_assert(!hear(fd, "hello"));
		ck_assert_ptr_nonnull(strstr(got, "HTTP/1.1 200 OK\r\n"));
		ck_assert_ptr_nonnull(strstr(got, "nosniff"));
		ck_assert_ptr_nonnull(strstr(got, "frame-ancestors 'none'"));
		ck_assert_ptr_nonnull(strstr(got, "Content-Length: 5\r\n"));
	}
	ck_assert_uint_eq(calls, 3);
	(void)close(fd);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_turn)
{
	int fd = dial();

	say(fd, REQ("GET", "/", "") REQ("GET", "/none", "")
	            REQ("GET", "/", "Connection: close\r\n"));
	ck_assert(hear(fd, NULL));
	ck_assert_uint_eq(calls, 3);
	ck_assert_ptr_nonnull(strstr(got, "no \\\"such\\\" page\\u000a"));
	ck_assert_ptr_nonnull(strstr(got, "Connection: close"));
	(void)close(fd);
}
END_TEST

START_TEST(a_request_in_single_bytes_is_read)
{
	static const char text[] = REQ("POST", "/", "Content-Length: 3\r\n");
	int fd = dial();

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		ck_assert_int_eq(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
		turn(1);
	}
	ck_assert_uint_eq(calls, 0);
	say(fd, "abc");
	ck_assert(!hear(fd, "hello"));
	ck_assert_str_eq(body_seen, "abc");
	(void)close(fd);
}
END_TEST

START_TEST(head_has_no_body_and_304_no_length)
{
	int fd = dial();

	say(fd,
	    REQ("HEAD", "/", "") REQ("GET", "/", "If-None-Match: \"e1\"\r\n")
	        REQ("GET", "/none", "Connection: close\r\n"));
	ck_assert(hear(fd, NULL));
	ck_assert_ptr_null(strstr(got, "hello"));
	ck_assert_ptr_nonnull(strstr(got, "Content-Length: 5"));
	ck_assert_ptr_nonnull(strstr(got, "304 Not Modified"));
	(void)close(fd);
}
END_TEST

START_TEST(a_long_answer_is_compressed_when_asked)
{
	int fd = dial();
	static uint8_t plain[200000];
	z_stream s = {.zalloc = Z_NULL};
	char *end;

	say(fd, REQ("GET", "/big",
	            "Accept-Encoding: gzip\r\n"
	            "Connection: close\r\n"));
	ck_assert(hear(fd, NULL));
	ck_assert_ptr_nonnull(strstr(got, "Content-Encoding: gzip"));
	ck_assert_ptr_nonnull(strstr(got, "Vary: Accept-Encoding"));
	end = strstr(got, "\r\n\r\n") + 4;
	ck_assert_int_eq(inflateInit2(&s, 31), Z_OK);
	s.next_in = (Bytef *)end;
	s.avail_in = (uInt)(got_n - (size_t)(end - got));
	s.next_out = plain;
	s.avail_out = sizeof(plain);
	ck_assert_int_eq(inflate(&s, Z_FINISH), Z_STREAM_END);
	ck_assert_uint_eq(s.total_out, 100000);
	(void)inflateEnd(&s);
	(void)close(fd);
}
END_TEST

START_TEST(what_is_refused_says_why_and_ends_the_connection)
{
	static const struct {
		const char *text, *status;
	} t[] = {
	    {"GET / HTTP/1.1\r\n\r\n", "400"},
	    {"nonsense\r\n\r\n", "400"},
	    {REQ("POST", "/", "Content-Length: 65\r\n"), "413"},
	    {REQ("POST", "/", "Transfer-Encoding: chunked\r\n"), "501"},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int fd = dial();

		say(fd, t[i].text);
		ck_assert(hear(fd, NULL));
		ck_assert_msg(strncmp(got + 9, t[i].status, 3) == 0, "%zu: %s",
		              i, got);
		ck_assert_ptr_nonnull(strstr(got, "\"message\""));
		(void)close(fd);
	}
	ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(an_endless_head_is_refused)
{
	int fd = dial();
	char line[1024];

	memset(line, 'a', sizeof(line));
	memcpy(line, "GET /?a", sizeof("GET /?a") - 1);
	for (int i = 0; i < 12; i++) {
		(void)!send(fd, line, sizeof(line), MSG_NOSIGNAL);
		turn(2);
	}
	ck_assert(hear(fd, NULL));
	ck_assert_ptr_nonnull(strstr(got, "431"));
	(void)close(fd);
}
END_TEST

START_TEST(an_answer_may_come_later_and_only_to_a_live_connection)
{
	int fd = dial();
	struct http_call *c;

	say(fd, REQ("GET", "/later", ""));
	turn(50);
	ck_assert_ptr_null(http_call_find(server, held_id + 1));
	c = http_call_find(server, held_id);
	ck_assert_ptr_nonnull(c);
	http_answer_error(c, 409, "taken", NULL);
	ck_assert_ptr_null(http_call_find(server, held_id));
	ck_assert(!hear(fd, "taken"));
	(void)close(fd);
}
END_TEST

START_TEST(at_the_limit_the_longest_idle_makes_room)
{
	int fd[5], busy[5];

	for (int i = 0; i < 4; i++) {
		fd[i] = dial();
		turn(5);
	}
	ck_assert_uint_eq(http_connections(server), 4);
	fd[4] = dial();
	say(fd[4], REQ("GET", "/", ""));
	ck_assert(!hear(fd[4], "hello"));
	ck_assert_uint_eq(http_connections(server), 4);
	ck_assert(hear(fd[0], NULL)); /* the oldest was closed */
	for (int i = 0; i < 5; i++)
		(void)close(fd[i]);
	turn(20);
	ck_assert_uint_eq(http_connections(server), 0);
	for (int i = 0; i < 4; i++) {
		busy[i] = dial();
		say(busy[i], REQ("GET", "/later", ""));
	}
	turn(50);
	busy[4] = dial();
	ck_assert(hear(busy[4], NULL));
	ck_assert_ptr_nonnull(strstr(got, "503"));
	for (int i = 0; i < 5; i++)
		(void)close(busy[i]);
}
END_TEST

START_TEST(a_unix_listener_takes_over_a_stale_socket_only)
{
	char dir[] = "/tmp/test-http-XXXXXX", path[64];
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct http_opts o = {
	    .base = base, .connections_max = 4, .fn = on_call, .tag = "u"};
	struct http *a, *b;
	struct stat st;
	int err = 0, fd;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	(void)close(fd); /* stale */
	a = http_listen_unix(&o, path, 0660, &err);
	ck_assert_msg(a != NULL, "%s", strerror(-err));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0660);
	b = http_listen_unix(&o, path, 0660, &err);
	ck_assert_ptr_null(b);
	ck_assert_int_eq(err, -EADDRINUSE);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	say(fd, REQ("GET", "/", ""));
	ck_assert(!hear(fd, "hello"));
	(void)close(fd);
	http_free(a);
	ck_assert_int_ne(stat(path, &st), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600); /* no socket */
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	ck_assert_ptr_null(http_listen_unix(&o, path, 0660, &err));
	ck_assert_int_eq(err, -EADDRINUSE);
	(void)unlink(path);
	(void)rmdir(dir);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("http");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, a_connection_serves_several_requests);
	tcase_add_test(t, pipelined_requests_are_answered_in_turn);
	tcase_add_test(t, a_request_in_single_bytes_is_read);
	tcase_add_test(t, head_has_no_body_and_304_no_length);
	tcase_add_test(t, a_long_answer_is_compressed_when_asked);
	tcase_add_test(t, what_is_refused_says_why_and_ends_the_connection);
	tcase_add_test(t, an_endless_head_is_refused);
	tcase_add_test(t,
	               an_answer_may_come_later_and_only_to_a_live_connection);
	tcase_add_test(t, at_the_limit_the_longest_idle_makes_room);
	tcase_add_test(t, a_unix_listener_takes_over_a_stale_socket_only);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
