/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meshd/localrefl: what it reads from a reflector's local socket, which answers
 * here as the reflector does; and that it takes nothing else for an answer.
 */
#include "meshd/localrefl.h"

#include "lib/svc/localsock.h"
#include "reflector/reflect.h"
#include "reflector/verbs.h"

#include <check.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define T0 INT64_C(1790000000000000000)

static char dir[64], path[96];
static struct localrefl l;

static void
setup(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/twmesh-localrefl.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	localrefl_init(&l, path);
}

static void
teardown(void)
{
	localrefl_clear(&l);
	(void)unlink(path);
	(void)rmdir(dir);
}

/* The reflector's side, with that many stalls. */
static _Noreturn void
serve(int stalls)
{
	const struct reflect_conf conf = {
	    .stateful = true, .session_max = 4, .session_idle_ns = NS_PER_S};
	struct event_base *base = event_base_new();
	struct reflect r;
	int error = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!base || !reflect_init(&r, &conf))
		_exit(1);
	r.counters.count[COUNT_KERNEL_DROPS] = 77;
	for (int i = 0; i < stalls; i++) {
		const struct wall at = {T0 + i * 60 * NS_PER_S};
		const struct clock_pair read = {wall_add_ns(at, 5 * NS_PER_S),
		                                {1}};

		(void)stalls_on_packet(&r.stalls, at, read);
		stalls_on_drops(&r.stalls, (uint64_t)i, at, at, read.wall);
	}
	if (!localsock_listen(base, path, 0600, verbs_answer, &r, &error))
		_exit(1);
	(void)event_base_dispatch(base);
	_exit(0);
}

static pid_t
reflector(int stalls)
{
	const pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		serve(stalls);
	for (int i = 0; i < 500 && access(path, F_OK) != 0; i++)
		(void)usleep(10000);
	return pid;
}

static void
stop(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	(void)unlink(path);
}

/* Asks until it was answered: the socket is there before it listens. */
static void
ask_until_alive(int64_t *now_s)
{
	for (int i = 0; i < 50 && !l.alive; i++) {
		*now_s += 11;
		localrefl_on_tick(&l, (struct mono){*now_s * NS_PER_S});
		if (!l.alive)
			(void)usleep(20000);
	}
	ck_assert(l.alive);
}

START_TEST(tells_when_the_reflectors_host_was_behind)
{
	int64_t now_s = 100;
	pid_t pid = reflector(3);

	ask_until_alive(&now_s);
	ck_assert_uint_eq(l.rx_drops, 77);
	ck_assert_uint_eq(l.host_limited_n, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct host_limited *h = &l.host_limited[i];
		const int64_t k = 2 - (int64_t)i; /* newest first */

		ck_assert_int_eq(h->from.ns, T0 + k * 60 * NS_PER_S);
		ck_assert_int_eq(h->to.ns, h->from.ns + 5 * NS_PER_S);
		ck_assert_uint_eq(h->drops, (uint64_t)k);
		ck_assert_uint_eq(h->held, 1);
	}
	/* it dies: what was heard is kept; its successor knows nothing */
	stop(pid);
	now_s += 3;
	localrefl_on_tick(&l, (struct mono){now_s * NS_PER_S});
	ck_assert(!l.alive);
	ck_assert_uint_eq(l.host_limited_n, 3);
	pid = reflector(0);
	ask_until_alive(&now_s);
	ck_assert_uint_eq(l.host_limited_n, 0);
	stop(pid);
	/* as many as a reflector remembers are as many as a heartbeat takes */
	pid = reflector(40);
	l.alive = false;
	ask_until_alive(&now_s);
	ck_assert_uint_eq(l.host_limited_n, MSG_HOST_LIMITED_MAX);
	ck_assert_uint_eq(l.host_limited[0].drops, 39);
	stop(pid);
}
END_TEST

START_TEST(takes_nothing_else_for_an_answer)
{
	static const char *const bad[] = {"error expected counters\n",
	                                  "1 2 3\n",
	                                  "1 2 3 4",
	                                  "1 2 3 4 5\n",
	                                  "2 1 3 4\n",
	                                  "1 2 3 x\n",
	                                  "1 2 3 4\n\n",
	                                  "-1 2 3 4\n",
	                                  "1  2 3 4\n",
	                                  "1 2 3 4\n1 2\n",
	                                  "1 2 3 99999999999999999999\n"};
	char many[17 * 8 + 1] = "";

	ck_assert(localrefl_read_host_limited(&l, "5 6 7 8\n"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!localrefl_read_host_limited(&l, bad[i]), "%s",
		              bad[i]);
	for (size_t i = 0; i < 17; i++)
		(void)snprintf(many + i * 8, sizeof(many) - i * 8, "1 2 3 4\n");
	ck_assert(!localrefl_read_host_limited(&l, many));
	ck_assert_uint_eq(l.host_limited_n, 1);
	ck_assert_int_eq(l.host_limited[0].from.ns, 5);
	ck_assert(localrefl_read_host_limited(&l, many + 8));
	ck_assert_uint_eq(l.host_limited_n, 16);
	ck_assert(localrefl_read_host_limited(&l, ""));
	ck_assert_uint_eq(l.host_limited_n, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("localrefl");
	TCase *t = tcase_create("localrefl");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, tells_when_the_reflectors_host_was_behind);
	tcase_add_test(t, takes_nothing_else_for_an_answer);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
