/* SPDX-License-Identifier: BSD-2-Clause */
/* svc_start() ends the process by design, so each case is a child process
 * whose output and exit status are read. */
#include "lib/svc/svc.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct conf_key table[] = {
    {.name = "port",
     .type = CONF_INT,
     .def = "862",
     .min = 1,
     .max = 65535,
     .help = "UDP port"},
    {.name = "address", .type = CONF_LIST, .def = "{\"::\"}", .help = "where"},
    {.name = "stateful", .type = CONF_BOOL, .def = "true", .help = "state"},
    {.type = CONF_END},
};

static bool show_key;

static const struct svc_opt opts[] = {
    {"port", "port", NULL, "N", "UDP port"},
    {"address", "address", NULL, "ADDR", "listen there; repeatable"},
    {"stateful", "stateful", NULL, "BOOL", "keep state"},
    {"stateless", "stateful=false", NULL, NULL, "keep none"},
    {"show-key", NULL, &show_key, NULL, "print the key, exit"},
    {NULL, NULL, NULL, NULL, NULL},
};

static char out[16384], errs[4096], conf_path[] = "/tmp/test_svc.XXXXXX";

static void
setup(void)
{
	int fd;

	(void)snprintf(conf_path, sizeof(conf_path), "/tmp/test_svc.XXXXXX");
	fd = mkstemp(conf_path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq((int)write(fd, "port = 1000\n", 12), 12);
	(void)close(fd);
}

static void
teardown(void)
{
	(void)unlink(conf_path);
}

static void
slurp(int fd, char *to, size_t size)
{
	size_t len = 0;
	ssize_t got;

	while ((got = read(fd, to + len, size - 1 - len)) > 0)
		len += (size_t)got;
	to[len] = '\0';
	(void)close(fd);
}

/* Runs svc_start with these words as options (%s: the file); what it returned
 * is told on stdout. */
static int
run(const char *config_default, const char *options)
{
	char line[512], program[] = "twmesh-test", *argv[16] = {program};
	int o[2], e[2], status, argc = 1;
	const char *at = strstr(options, "%s");
	pid_t pid;

	(void)snprintf(line, sizeof(line), "%.*s%s%s",
	               at ? (int)(at - options) : (int)strlen(options), options,
	               at ? conf_path : "", at ? at + 2 : "");
	for (char *w = strtok(line, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	ck_assert_int_eq(pipe(o) | pipe(e), 0);
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		const char *path = NULL;
		struct conf *c;

		(void)dup2(o[1], 1);
		(void)dup2(e[1], 2);
		c = svc_start(argc, argv, "twmesh-test", table, opts,
		              config_default, &path);
		(void)printf("port %lld stateful %d show %d path %s:",
		             (long long)conf_int(c, "port"),
		             conf_bool(c, "stateful"), show_key,
		             path ? path : "none");
		for (size_t i = 0; i < conf_list_n(c, "address"); i++)
			(void)printf(" %s", conf_list(c, "address", i));
		(void)fflush(stdout);
		conf_free(c);
		_exit(0);
	}
	(void)close(o[1]);
	(void)close(e[1]);
	slurp(o[0], out, sizeof(out));
	slurp(e[0], errs, sizeof(errs));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "killed: %s", errs);
	return WEXITSTATUS(status);
}

START_TEST(test_defaults_and_options)
{
	ck_assert_int_eq(run("/nonexistent", ""), 0);
	ck_assert_str_eq(out, "port 862 stateful 1 show 0 path none: ::");
	ck_assert_int_eq(run("/nonexistent",
	                     "--port 99 --address 127.0.1.1 "
	                     "--address=127.0.1.2 --stateful=false --show-key"),
	                 0);
	ck_assert_str_eq(out, "port 99 stateful 0 show 1 path none: 127.0.1.1 "
	                      "127.0.1.2");
}
END_TEST

START_TEST(test_file_and_override)
{
	char want[256];

	ck_assert_int_eq(run(conf_path, ""), 0);
	(void)snprintf(want, sizeof(want),
	               "port 1000 stateful 1 show 0 path %s: ::", conf_path);
	ck_assert_str_eq(out, want);
	ck_assert_int_eq(run("/nonexistent", "--port 7 -c %s"), 0);
	(void)snprintf(want, sizeof(want),
	               "port 7 stateful 1 show 0 path %s: ::", conf_path);
	ck_assert_str_eq(out, want);
}
END_TEST

START_TEST(test_prints)
{
	char want[256];

	ck_assert_int_eq(run("/nonexistent", "-p --port 5"), 0);
	ck_assert_str_eq(out,
	                 "port = 5\naddress = {\"::\"}\nstateful = true\n");
	ck_assert_int_eq(run("/nonexistent", "--stateless -p -c %s"), 0);
	ck_assert_str_eq(out,
	                 "port = 1000\naddress = {\"::\"}\nstateful = false\n");
	ck_assert_int_eq(run("/nonexistent", "--stateless"), 0);
	ck_assert_str_eq(out, "port 862 stateful 0 show 0 path none: ::");
	ck_assert_int_eq(run("/nonexistent", "-n -c %s"), 0);
	(void)snprintf(want, sizeof(want), "%s: good\n", conf_path);
	ck_assert_str_eq(out, want);
	ck_assert_int_eq(run("/nonexistent", "--version"), 0);
	ck_assert_str_eq(out, "twmesh-test " TWMESH_VERSION "\n");
	ck_assert_int_eq(run("/nonexistent", "--help"), 0);
	ck_assert_ptr_nonnull(strstr(out, "--address ADDR"));
	ck_assert_ptr_nonnull(strstr(out, "--mdoc-config"));
	ck_assert_int_eq(run("/nonexistent", "--sample-config"), 0);
	ck_assert_ptr_nonnull(strstr(out, "\n#port = 862\n"));
	ck_assert_int_eq(run("/nonexistent", "--mdoc-config"), 0);
	ck_assert_ptr_nonnull(strstr(out, ".It Cm port = integer\n"));
}
END_TEST

START_TEST(test_mistakes)
{
	static const struct {
		const char *options, *want;
	} t[] = {
	    {"--prot",
	     "twmesh-test: expected a known option (see --help), found "
	     "'--prot'\n"},
	    {"-x",
	     "twmesh-test: expected a known option (see --help), found '-x'\n"},
	    {"--port", "twmesh-test: --port: expected a value, found none\n"},
	    {"--port 0",
	     "--port: expected an integer from 1 to 65535, found '0'\n"},
	    {"what", "twmesh-test: expected options only (see --help), found "
	             "'what'\n"},
	    {"--log-level loud",
	     "twmesh-test: --log-level: expected error, warn, info or debug, "
	     "found 'loud'\n"},
	    {"-c /nonexistent/f",
	     "/nonexistent/f: expected a readable configuration file, found: "
	     "No such file or directory\n"},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		ck_assert_int_eq(run("/nonexistent", t[i].options), 2);
		ck_assert_str_eq(errs, t[i].want);
		ck_assert_str_eq(out, "");
	}
}
END_TEST

START_TEST(test_bad_clock_offset)
{
	ck_assert_int_eq(setenv("TWMESH_TEST_CLOCK_OFFSET", "soon", 1), 0);
	ck_assert_int_eq(run("/nonexistent", ""), 2);
	ck_assert_str_eq(errs, "twmesh-test: TWMESH_TEST_CLOCK_OFFSET: "
	                       "expected seconds, found 'soon'\n");
}
END_TEST

static void
notify_to(bool abstract)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char name[80], got[64] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	socklen_t len;

	(void)snprintf(name, sizeof(name), "%s/tmp/test_svc_notify.%d",
	               abstract ? "@" : "", (int)getpid());
	memcpy(sa.sun_path, name, strlen(name));
	if (abstract)
		sa.sun_path[0] = '\0';
	len =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
	svc_notify("READY=1");
	ck_assert_int_eq((int)recv(fd, got, sizeof(got) - 1, 0), 7);
	ck_assert_str_eq(got, "READY=1");
	(void)close(fd);
	if (!abstract)
		(void)unlink(name);
}

START_TEST(test_notify)
{
	(void)unsetenv("NOTIFY_SOCKET");
	svc_notify("READY=1"); /* nothing to tell, nothing happens */
	notify_to(false);
	notify_to(true);
}
END_TEST

START_TEST(test_nofile)
{
	struct rlimit r;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
	r.rlim_cur = r.rlim_max / 2;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
	ck_assert_uint_eq(svc_raise_nofile(), r.rlim_max);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
	ck_assert_uint_eq(r.rlim_cur, r.rlim_max);
}
END_TEST

/* A grandchild that asked for it dies with its parent. */
START_TEST(test_die_with_parent)
{
	char byte;
	int p[2], ready[2];
	pid_t pid;

	ck_assert_int_eq(pipe(p) | pipe(ready), 0);
	ck_assert_int_eq(setenv("TWMESH_DIE_WITH_PARENT", "1", 1), 0);
	pid = fork();
	if (pid == 0) {
		if (fork() == 0) {
			(void)signal(SIGTERM, SIG_DFL); /* not Check's */
			svc_die_with_parent();
			(void)!write(ready[1], "x", 1);
			for (;;)
				(void)pause();
		}
		(void)!read(ready[0], &byte, 1);
		_exit(0);
	}
	(void)close(p[1]);
	(void)close(ready[1]);
	/* end of file only once the grandchild, who holds p[1], is gone */
	ck_assert_int_eq((int)read(p[0], &byte, 1), 0);
	(void)waitpid(pid, NULL, 0);
}
END_TEST

/* 0 in a child that was told it is `parent`'s, 7 if it goes on. */
static int
child_of(pid_t parent)
{
	char text[24];
	int status = 0;
	pid_t pid;

	(void)snprintf(text, sizeof(text), "%ld", (long)parent);
	ck_assert_int_eq(setenv("TWMESH_DIE_WITH_PARENT", text, 1), 0);
	pid = fork();
	if (pid == 0) {
		svc_die_with_parent();
		_exit(7);
	}
	ck_assert_int_eq((int)waitpid(pid, &status, 0), (int)pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(test_parent_that_died_before_is_noticed)
{
	ck_assert_int_eq(child_of(getpid()), 7);
	ck_assert_int_eq(child_of(getppid()), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("svc");
	TCase *t = tcase_create("svc");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_defaults_and_options);
	tcase_add_test(t, test_file_and_override);
	tcase_add_test(t, test_prints);
	tcase_add_test(t, test_mistakes);
	tcase_add_test(t, test_bad_clock_offset);
	tcase_add_test(t, test_notify);
	tcase_add_test(t, test_nofile);
	tcase_add_test(t, test_die_with_parent);
	tcase_add_test(t, test_parent_that_died_before_is_noticed);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
