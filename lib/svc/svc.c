/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options are collected first and applied after the file was read, so that
 * their order does not matter and they always win over the file.
 */
#include "lib/svc/svc.h"

#include "lib/base/clock_read.h"
#include "lib/base/log.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	OPT_SAMPLE = 256,
	OPT_MDOC,
	OPT_LOG_LEVEL,
	OPT_VERSION,
	OPT_HELP,
	OPT_OWN /* + index into the daemon's options */
};

#define COMMON_N 8
#define OWN_MAX 32

static const struct option common[COMMON_N] = {
    {"config", required_argument, NULL, 'c'},
    {"check", no_argument, NULL, 'n'},
    {"print", no_argument, NULL, 'p'},
    {"sample-config", no_argument, NULL, OPT_SAMPLE},
    {"mdoc-config", no_argument, NULL, OPT_MDOC},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
};

/* What the command line said. */
struct cmdline {
	const char *path; /* -c; borrowed from argv */
	bool check, print;
	enum log_level level;
	struct override {
		char key[64];
		const char *value; /* borrowed from argv or the option */
	} * set;                   /* owned; in order */
	size_t set_n;
};

static void
print_help(const char *program, const struct svc_opt *opts,
           const char *config_default)
{
	(void)printf("usage: %s [OPTION ...]\n\n", program);
	for (const struct svc_opt *o = opts; o && o->name; o++)
		(void)printf("  --%s%s%-*s %s\n", o->name, o->arg ? " " : "",
		             22 - (int)strlen(o->name), o->arg ? o->arg : "",
		             o->help);
	(void)printf(
	    "\n"
	    "  -c, --config FILE        configuration (default %s)\n"
	    "  -n, --check              check the configuration, exit\n"
	    "  -p, --print              print it as it is in force, "
	    "exit\n"
	    "  --sample-config          print a commented sample, exit\n"
	    "  --mdoc-config            print the manual's list of "
	    "keys, exit\n"
	    "  --log-level L            error, warn, info or debug\n"
	    "  --version                print the version, exit\n"
	    "  --help                   print this, exit\n\n"
	    "exit status: 0 stopped as asked, 1 failed while running, "
	    "2 a mistake in options,\nconfiguration or surroundings\n",
	    config_default);
}

/* Output that fails (a full disk behind -p >FILE) is not success. */
static _Noreturn void
exit_printed(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		die("standard output: %s", strerror(errno));
	exit(0);
}

/* For getopt_long: the common options, then the daemon's own. */
static const struct option *
long_options(const struct svc_opt *opts)
{
	static struct option o[COMMON_N + OWN_MAX + 1];
	size_t n = 0;

	memcpy(o, common, sizeof(common));
	for (; opts && opts[n].name; n++) {
		if (n == OWN_MAX)
			bug("svc: more than %d options", OWN_MAX);
		o[COMMON_N + n].name = opts[n].name;
		o[COMMON_N + n].has_arg =
		    opts[n].arg ? required_argument : no_argument;
		o[COMMON_N + n].val = OPT_OWN + (int)n;
	}
	return o;
}

static void
add_override(struct cmdline *l, const struct svc_opt *o, const char *value)
{
	struct override *set;
	size_t n;

	if (o->flag) {
		*o->flag = true;
		return;
	}
	n = o->key ? strcspn(o->key, "=") : 0;
	if (n == 0 || n >= sizeof(set->key) || (!value && !o->key[n]))
		bug("svc: option '%s' sets nothing", o->name);
	set = reallocarray(l->set, l->set_n + 1, sizeof(*set));
	if (!set)
		die("out of memory");
	l->set = set;
	set += l->set_n++;
	(void)snprintf(set->key, sizeof(set->key), "%.*s", (int)n, o->key);
	set->value = value ? value : o->key + n + 1;
}

/* One option; those that print and exit do so here. */
static void
take_option(int c, struct cmdline *l, const char *program,
            const struct conf_key *table, const struct svc_opt *opts,
            const char *config_default)
{
	switch (c) {
	case 'c':
		l->path = optarg;
		break;
	case 'n':
		l->check = true;
		break;
	case 'p':
		l->print = true;
		break;
	case OPT_LOG_LEVEL:
		if (!log_level_parse(optarg, &l->level))
			die("--log-level: expected error, warn, info or "
			    "debug, found '%s'",
			    optarg);
		break;
	case OPT_SAMPLE:
		(void)printf("# %s: sample configuration, usually %s.\n",
		             program, config_default);
		conf_print_sample(table, stdout);
		exit_printed();
	case OPT_MDOC:
		conf_print_mdoc(table, stdout);
		exit_printed();
	case OPT_VERSION:
		(void)printf("%s %s\n", program, TWMESH_VERSION);
		exit_printed();
	case OPT_HELP:
		print_help(program, opts, config_default);
		exit_printed();
	default:
		add_override(l, &opts[c - OPT_OWN], optarg);
		break;
	}
}

static void
parse_options(int argc, char **argv, struct cmdline *l, const char *program,
              const struct conf_key *table, const struct svc_opt *opts,
              const char *config_default)
{
	const struct option *lo = long_options(opts);
	int c;

	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, ":c:np", lo, NULL)) != -1) {
		if (c == ':')
			die("%s: expected a value, found none",
			    argv[optind - 1]);
		if (c == '?')
			die("expected a known option (see --help), found '%s'",
			    argv[optind - 1]);
		take_option(c, l, program, table, opts, config_default);
	}
	if (optind < argc)
		die("expected options only (see --help), found '%s'",
		    argv[optind]);
}

static svc_check_fn *whole_check; /* before threads start */

void
svc_set_check(svc_check_fn *fn)
{
	whole_check = fn;
}

/* "FILE: what is wrong", exit 2. */
static void
check_whole(const struct conf *c, const char *path)
{
	char err[256];

	if (whole_check && !whole_check(c, err, sizeof(err)))
		die("%s%s%s", path ? path : "", path ? ": " : "", err);
}

struct conf *
svc_start(int argc, char **argv, const char *program,
          const struct conf_key *table, const struct svc_opt *opts,
          const char *config_default, const char **path_out)
{
	struct cmdline l = {.level = LOG_LV_INFO};
	const char *bad;
	bool good = true;
	struct conf *c;

	log_init(program, LOG_LV_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	parse_options(argc, argv, &l, program, table, opts, config_default);
	log_init(program, l.level);
	bad = clock_test_init();
	if (bad)
		die("%s: expected seconds, found '%s'", bad, getenv(bad));
	clock_test_poll();
	if (!l.path && access(config_default, F_OK) == 0)
		l.path = config_default;
	c = conf_load(l.path, table, stderr);
	for (size_t i = 0; c && i < l.set_n; i++)
		good &= conf_set(c, l.set[i].key, l.set[i].value, stderr);
	if (!c || !good)
		exit(2);
	free(l.set);
	check_whole(c, l.path);
	if (l.print)
		conf_print(c, stdout);
	else if (l.check)
		(void)printf("%s: good\n", l.path ? l.path : "defaults");
	if (l.print || l.check) {
		conf_free(c);
		exit_printed();
	}
	if (path_out)
		*path_out = l.path;
	return c;
}

void
svc_notify(const char *state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	const size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(sa.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sa.sun_path, path, n);
	if (sa.sun_path[0] == '@') /* the abstract namespace */
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
	             (const struct sockaddr *)&sa,
	             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	(void)close(fd);
}

uint64_t
svc_raise_nofile(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return 0;
	if (r.rlim_cur < r.rlim_max) {
		const rlim_t before = r.rlim_cur;

		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) != 0)
			return before;
	}
	return r.rlim_cur;
}

void
svc_die_with_parent(void)
{
	const char *env = getenv("TWMESH_DIE_WITH_PARENT");
	const pid_t parent = getppid();
	char *end;
	long want;

	if (!env)
		return;
	want = strtol(env, &end, 10);
	if (end == env || *end != '\0' || want < 1)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent) /* it died in between */
		exit(0);
	if (want > 1 && parent != (pid_t)want) /* it died before */
		exit(0);
}
