/* SPDX-License-Identifier: BSD-2-Clause */
/* The server runs in a thread with its own event base; clients ask from here.
 */
#include "lib/base/clock_read.h"
#include "lib/svc/localsock.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct {
	pthread_t thread;
	struct event_base *base;
	struct localsock *sock;
	int stop[2]; /* a byte ends the loop */
	char path[64];
} srv;

static void
handle(void *arg, int argc, char **argv, uid_t uid, gid_t gid, FILE *out)
{
	(void)arg;
	(void)gid;
	if (strcmp(argv[0], "echo") == 0) {
		for (int i = 1; i < argc; i++)
			(void)fprintf(out, "%d %s\n", i, argv[i]);
	} else if (strcmp(argv[0], "count") == 0) {
		(void)fprintf(out, "%d\n", argc);
	} else if (strcmp(argv[0], "uid") == 0) {
		(void)fprintf(out, "%u\n", (unsigned)uid);
	} else if (strcmp(argv[0], "big") == 0) {
		for (int i = 0; i < 200000; i++)
			(void)fprintf(out, "line %d\n", i);
	} else if (strcmp(argv[0], "nothing") != 0) {
		(void)fprintf(out, "error unknown verb\n");
	}
}

static void
on_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)event_base_loopbreak(arg);
}

static void *
serve(void *arg)
{
	struct event *ev =
	    event_new(srv.base, srv.stop[0], EV_READ, on_stop, srv.base);

	(void)event_add(ev, NULL);
	(void)event_base_dispatch(srv.base);
	event_free(ev);
	return arg;
}

static void
setup(void)
{
	int err = 1;

	(void)snprintf(srv.path, sizeof(srv.path), "/tmp/test_ls.%d.sock",
	               (int)getpid());
	ck_assert_int_eq(pipe(srv.stop), 0);
	srv.base = event_base_new();
	srv.sock =
	    localsock_listen(srv.base, srv.path, 0660, handle, NULL, &err);
	ck_assert_ptr_nonnull(srv.sock);
	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(pthread_create(&srv.thread, NULL, serve, NULL), 0);
}

static void
teardown(void)
{
	ck_assert_int_eq((int)write(srv.stop[1], "x", 1), 1);
	(void)pthread_join(srv.thread, NULL);
	localsock_close(srv.sock);
	event_base_free(srv.base);
	(void)close(srv.stop[0]);
	(void)close(srv.stop[1]);
	ck_assert_int_ne(access(srv.path, F_OK), 0); /* the file is gone */
}

static void
asks(const char *request, const char *want)
{
	char *got = localsock_ask(srv.path, request, 3000);

	ck_assert_msg(got != NULL, "%s: %s", request, strerror(errno));
	ck_assert_str_eq(got, want);
	free(got);
}

START_TEST(test_answers)
{
	char uid[32];

	asks("echo a  b\tc", "1 a\n2 b\n3 c\n");
	asks("echo x\n", "1 x\n");
	asks("", "error expected a verb, found nothing\n");
	asks("   \n", "error expected a verb, found nothing\n");
	asks("dance", "error unknown verb\n");
	asks("nothing", "");
	(void)snprintf(uid, sizeof(uid), "%u\n", (unsigned)getuid());
	asks("uid", uid);
}
END_TEST

START_TEST(test_mode)
{
	struct stat st;

	ck_assert_int_eq(stat(srv.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
}
END_TEST

START_TEST(test_long_request_and_answer)
{
	char *req = malloc(128 << 10), *got, *to = req;

	to += sprintf(to, "count");
	while (to - req < 60000)
		to += sprintf(to, " 10.1.2.3");
	got = localsock_ask(srv.path, req, 3000);
	ck_assert_msg(got != NULL, "%s", strerror(errno));
	ck_assert_int_gt(strtol(got, NULL, 10), 6000);
	free(got);
	/* longer than 64 kB: closed without an answer */
	while (to - req < 100 << 10)
		to += sprintf(to, " 10.1.2.3");
	got = localsock_ask(srv.path, req, 3000);
	if (got)
		ck_assert_str_eq(got, "");
	else
		ck_assert(errno == EPIPE || errno == ECONNRESET);
	free(got);
	free(req);
	got = localsock_ask(srv.path, "big", 4000);
	ck_assert_msg(got != NULL, "%s", strerror(errno));
	ck_assert_ptr_nonnull(strstr(got, "line 199999\n"));
	free(got);
}
END_TEST

static void
dial_with(int fd)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", srv.path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
}

static int
dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	dial_with(fd);
	return fd;
}

/* Sixteen silent clients fill the table: the next is closed at once; after
 * 5 s they are gone and the server answers again. */
START_TEST(test_silent_clients)
{
	const struct mono start = clock_mono();
	int fd[16];
	char byte;
	char *got;

	for (int i = 0; i < 16; i++)
		fd[i] = dial();
	got = localsock_ask(srv.path, "echo x", 2000);
	ck_assert(!got || !*got);
	free(got);
	ck_assert_int_eq((int)read(fd[0], &byte, 1), 0);
	ck_assert_int_ge(mono_diff_ns(clock_mono(), start), 4 * NS_PER_S);
	ck_assert_int_le(mono_diff_ns(clock_mono(), start), 8 * NS_PER_S);
	for (int i = 0; i < 16; i++) {
		(void)!read(fd[i], &byte, 1);
		(void)close(fd[i]);
	}
	asks("echo x", "1 x\n");
}
END_TEST

/* Without a free descriptor the server rests instead of spinning, and answers
 * again when there is one. */
START_TEST(test_out_of_descriptors)
{
	struct rlimit r, was;
	struct timespec ts;
	clockid_t cpu;
	int64_t used_ns;
	int fd, full;

	fd = socket(AF_UNIX, SOCK_STREAM, 0); /* made before the limit */
	full = dup(fd);
	ck_assert_int_ge(full, 0);
	(void)close(full);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	r = was;
	r.rlim_cur = (rlim_t)full; /* the next descriptor would be this one */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
	dial_with(fd);
	(void)usleep(500000);
	ck_assert_int_eq(pthread_getcpuclockid(srv.thread, &cpu), 0);
	ck_assert_int_eq(clock_gettime(cpu, &ts), 0);
	used_ns = ts.tv_sec * NS_PER_S + ts.tv_nsec;
	ck_assert_int_lt(used_ns, 100 * NS_PER_MS);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	(void)close(fd);
	asks("echo x", "1 x\n");
}
END_TEST

START_TEST(test_paths)
{
	struct event_base *base = event_base_new();
	char path[64], longer[200];
	int err = 0, fd;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct localsock *l;

	/* a live one is refused */
	ck_assert_ptr_null(
	    localsock_listen(base, srv.path, 0600, handle, NULL, &err));
	ck_assert_int_eq(err, -EADDRINUSE);
	/* someone's file is not removed */
	(void)snprintf(path, sizeof(path), "/tmp/test_ls.%d.file",
	               (int)getpid());
	(void)fclose(fopen(path, "w"));
	ck_assert_ptr_null(
	    localsock_listen(base, path, 0600, handle, NULL, &err));
	ck_assert_int_eq(err, -EEXIST);
	ck_assert_int_eq(unlink(path), 0);
	/* a socket left by a crash is replaced */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	(void)close(fd);
	l = localsock_listen(base, path, 0600, handle, NULL, &err);
	ck_assert_ptr_nonnull(l);
	localsock_close(l);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	ck_assert_ptr_null(
	    localsock_listen(base, longer, 0600, handle, NULL, &err));
	ck_assert_int_eq(err, -ENAMETOOLONG);
	ck_assert_ptr_null(
	    localsock_listen(base, "/nonexistent/s", 0600, handle, NULL, &err));
	ck_assert_int_eq(err, -ENOENT);
	event_base_free(base);
}
END_TEST

START_TEST(test_ask_fails)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char path[64];
	int fd;

	ck_assert_ptr_null(localsock_ask("/nonexistent/s", "x", 1000));
	ck_assert_int_eq(errno, ENOENT);
	/* accepted by the kernel's backlog, never answered */
	(void)snprintf(path, sizeof(path), "/tmp/test_ls.%d.mute",
	               (int)getpid());
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_ptr_null(localsock_ask(path, "x", 200));
	ck_assert_int_eq(errno, ETIMEDOUT);
	(void)close(fd);
	(void)unlink(path);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("localsock");
	TCase *t = tcase_create("localsock");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 20);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_answers);
	tcase_add_test(t, test_mode);
	tcase_add_test(t, test_long_request_and_answer);
	tcase_add_test(t, test_silent_clients);
	tcase_add_test(t, test_out_of_descriptors);
	tcase_add_test(t, test_paths);
	tcase_add_test(t, test_ask_fails);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
