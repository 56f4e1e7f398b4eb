/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh-emu: a network of known delay, jitter, loss, duplication and
 * reordering between namespaces on this machine, for tests and the demo. See
 * docs/EMULATOR.md.
 *
 * Order of start: namespaces, truth file, sockets, "ready" on standard output,
 * COMMAND, then the loop. The real-time priority comes last, so that no child
 * has it.
 */
#include "lib/base/log.h"
#include "lib/svc/svc.h"
#include "tests/emu/control.h"
#include "tests/emu/relay.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define RELAYS_MAX 4
#define SPIN_NS (50 * NS_PER_US) /* how late a timer wakes us, usually */
#define EXIT_NO_RIGHTS 77        /* test harnesses take it for "skipped" */
#define COMMAND_PATIENCE_S 15    /* from SIGTERM to SIGKILL */

struct options {
	bool check, print, fifo;
	bool seed_set;
	uint64_t seed;
	int64_t spin_ns;
	const char *truth, *control, *net; /* borrowed from argv */
	char **command;                    /* NULL: none */
	unsigned relays;
	uint16_t relay_port[RELAYS_MAX];
	struct addr relay_to[RELAYS_MAX];
};

struct emu {
	struct netconf net;
	struct nets ns;
	struct truth *truth;
	struct fwd *fwd;
	struct control *control;
	struct relay *relay[RELAYS_MAX];
	int signals;
	pid_t command; /* 0: none runs */
	int status;    /* exit status to be */
	bool asked;    /* to stop */
};

static const char usage[] =
    "usage: twmesh-emu [OPTION ...] NET.conf [-- COMMAND ...]\n"
    "       twmesh-emu --tell SOCKET WORD ...\n\n"
    "  -n, --check           check NET.conf, exit\n"
    "      --print           print the sites' addresses, exit\n"
    "      --truth FILE      write the fate of every packet\n"
    "      --control SOCKET  take changes while running\n"
    "      --relay PORT=IP:PORT  127.0.0.1:PORT of every site leads to the\n"
    "                        host's IP:PORT (repeatable)\n"
    "      --seed N          instead of NET.conf's\n"
    "      --fifo            run as SCHED_FIFO, memory locked\n"
    "      --spin US         spin so long before a release (default 50)\n"
    "      --tell SOCKET     send one line to a running emulator\n\n"
    "exit status: COMMAND's; 0 stopped as asked, 1 failed, 2 a mistake in\n"
    "options or NET.conf, 77 needs CAP_NET_ADMIN\n";

enum {
	OPT_PRINT = 256,
	OPT_TRUTH,
	OPT_CONTROL,
	OPT_RELAY,
	OPT_SEED,
	OPT_FIFO,
	OPT_SPIN,
	OPT_TELL,
	OPT_HELP
};

static const struct option long_options[] = {
    {"check", no_argument, NULL, 'n'},
    {"print", no_argument, NULL, OPT_PRINT},
    {"truth", required_argument, NULL, OPT_TRUTH},
    {"control", required_argument, NULL, OPT_CONTROL},
    {"relay", required_argument, NULL, OPT_RELAY},
    {"seed", required_argument, NULL, OPT_SEED},
    {"fifo", no_argument, NULL, OPT_FIFO},
    {"spin", required_argument, NULL, OPT_SPIN},
    {"tell", required_argument, NULL, OPT_TELL},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static void
add_relay(struct options *o, const char *arg)
{
	char port[8] = "";
	const char *eq = strchr(arg, '=');
	int64_t n;

	if (eq && eq - arg < (ptrdiff_t)sizeof(port))
		memcpy(port, arg, (size_t)(eq - arg));
	if (o->relays == RELAYS_MAX || !eq ||
	    !text_parse_i64(port, 1, 65535, &n) ||
	    !addr_parse(eq + 1, 0, &o->relay_to[o->relays]) ||
	    addr_port(&o->relay_to[o->relays]) == 0)
		die("--relay: expected PORT=IP:PORT, at most %d times, found "
		    "'%s'",
		    RELAYS_MAX, arg);
	o->relay_port[o->relays++] = (uint16_t)n;
}

static int64_t
number(const char *name, const char *arg, int64_t max)
{
	int64_t n;

	if (!text_parse_i64(arg, 0, max, &n))
		die("--%s: expected a number from 0 to %lld, found '%s'", name,
		    (long long)max, arg);
	return n;
}

/* The words after --tell SOCKET, as one line. */
static _Noreturn void
tell(const char *path, char **words)
{
	char line[1024] = "";
	size_t n = 0;

	for (; *words; words++) {
		const int w = snprintf(line + n, sizeof(line) - n - 1, "%s%s",
		                       n ? " " : "", *words);

		n += (size_t)w;
		if (n >= sizeof(line) - 2)
			die("--tell: expected a line of at most 1,000 octets");
	}
	line[n] = '\n';
	exit(control_tell(path, line));
}

static void
take_option(struct options *o, int c, char **argv)
{
	switch (c) {
	case 'n':
		o->check = true;
		break;
	case OPT_PRINT:
		o->print = true;
		break;
	case OPT_TRUTH:
		o->truth = optarg;
		break;
	case OPT_CONTROL:
		o->control = optarg;
		break;
	case OPT_RELAY:
		add_relay(o, optarg);
		break;
	case OPT_SEED:
		o->seed = (uint64_t)number("seed", optarg, INT64_MAX);
		o->seed_set = true;
		break;
	case OPT_FIFO:
		o->fifo = true;
		break;
	case OPT_SPIN:
		o->spin_ns = number("spin", optarg, 1000) * NS_PER_US;
		break;
	case OPT_TELL:
		tell(optarg, argv + optind);
	case OPT_HELP:
		(void)fputs(usage, stdout);
		exit(0);
	default:
		die("expected a known option with its value (see --help), "
		    "found '%s'",
		    argv[optind - 1]);
	}
}

static void
parse_options(struct options *o, int argc, char **argv)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:n", long_options, NULL)) != -1)
		take_option(o, c, argv);
	if (optind >= argc)
		die("expected a network file (see --help), found none");
	o->net = argv[optind++];
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	if (optind < argc)
		o->command = argv + optind;
}

static void
print_sites(const struct emu *e, bool running)
{
	char v4[32], v6[32];

	for (unsigned i = 0; i < e->net.n; i++) {
		(void)printf("site %s v4=%s v6=%s", e->net.site[i],
		             netconf_v4(i, v4), netconf_v6(i, v6));
		if (running)
			(void)printf(" ns=/proc/%d/fd/%d", (int)getpid(),
			             e->ns.site[i]);
		(void)printf("\n");
	}
}

/* EMU_NS_ams1=/proc/PID/fd/N, EMU_V4_ams1, EMU_V6_ams1, '-' as '_'. */
static void
set_environment(const struct emu *e)
{
	char name[NAME_MAX_CHARS + 16], value[64];
	static const char *const kinds[] = {"NS", "V4", "V6"};

	for (unsigned i = 0; i < e->net.n; i++) {
		for (unsigned k = 0; k < 3; k++) {
			(void)snprintf(name, sizeof(name), "EMU_%s_%s",
			               kinds[k], e->net.site[i]);
			for (char *p = name; *p; p++)
				*p = (char)(*p == '-' ? '_' : *p);
			if (k == 0)
				(void)snprintf(value, sizeof(value),
				               "/proc/%d/fd/%d", (int)getpid(),
				               e->ns.site[i]);
			else if (k == 1)
				(void)netconf_v4(i, value);
			else
				(void)netconf_v6(i, value);
			(void)setenv(name, value, 1);
		}
	}
}

static void
emu_close(struct emu *e)
{
	for (unsigned i = 0; i < RELAYS_MAX; i++)
		relay_stop(e->relay[i]);
	control_close(e->control);
	fwd_free(e->fwd);
	nets_close(&e->ns);
}

/* Everything but the command; exits on failure, when the kernel takes back
 * all there is. */
static void
emu_open(struct emu *e, const struct options *o)
{
	char err[512];

	if (!nets_allowed()) {
		(void)fprintf(stderr, "twmesh-emu: needs CAP_NET_ADMIN\n");
		exit(EXIT_NO_RIGHTS);
	}
	if (!nets_open(&e->ns, &e->net, err, sizeof(err)))
		die("%s", err);
	if (o->truth && !(e->truth = truth_open(o->truth, &e->net)))
		die("%s: %s", o->truth, strerror(errno));
	e->fwd =
	    fwd_new(&e->ns, &e->net, e->truth, o->spin_ns, err, sizeof(err));
	if (!e->fwd)
		die("%s", err);
	if (o->control &&
	    !(e->control = control_open(o->control, &e->net, e->fwd, e->truth)))
		die("%s: %s", o->control, strerror(errno));
	for (unsigned i = 0; i < o->relays; i++) {
		e->relay[i] = relay_start(&e->ns, o->relay_port[i],
		                          &o->relay_to[i], err, sizeof(err));
		if (!e->relay[i])
			die("%s", err);
	}
}

static void
run_command(struct emu *e, char **command)
{
	sigset_t none;

	set_environment(e);
	e->command = fork();
	if (e->command < 0)
		die("fork: %s", strerror(errno));
	if (e->command > 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execvp(command[0], command);
	(void)fprintf(stderr, "twmesh-emu: %s: %s\n", command[0],
	              strerror(errno));
	_exit(127);
}

/* The end of the command is our end. */
static void
reap(struct emu *e)
{
	int status;

	if (e->command <= 0 ||
	    waitpid(e->command, &status, WNOHANG) != e->command)
		return;
	e->command = 0;
	e->status =
	    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	fwd_stop(e->fwd);
}

static void
emu_on_signal(void *arg)
{
	struct emu *e = arg;
	struct signalfd_siginfo s;

	if (read(e->signals, &s, sizeof(s)) != (ssize_t)sizeof(s))
		return;
	if (s.ssi_signo == SIGCHLD) {
		reap(e);
	} else if (s.ssi_signo == SIGALRM) {
		if (e->command > 0)
			(void)kill(e->command, SIGKILL);
	} else if (e->command > 0) { /* the network stays until it ended */
		if (!e->asked)
			(void)alarm(COMMAND_PATIENCE_S);
		e->asked = true;
		(void)kill(e->command, SIGTERM);
	} else {
		fwd_stop(e->fwd);
	}
}

static void
block_signals(struct emu *e)
{
	static const int which[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGALRM};
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++)
		(void)sigaddset(&set, which[i]);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	e->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (e->signals < 0)
		die("signalfd: %s", strerror(errno));
}

static void
go_realtime(const struct options *o)
{
	const struct sched_param p = {.sched_priority = 10};

	(void)prctl(PR_SET_TIMERSLACK, 1UL);
	if (!o->fifo)
		return;
	/* this thread only: truth and relay wait at ordinary priority */
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &p) != 0 ||
	    mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		log_warn("SCHED_FIFO and locked memory: %s; going on without",
		         strerror(errno));
}

/* 0, or what is wrong with the truth. */
static int
report(struct emu *e)
{
	const struct fwd_stats s = fwd_stats(e->fwd);
	int64_t missing;

	truth_note(e->truth, (struct wall){0},
	           "stats in=%llu out=%llu lost=%llu ignored=%llu missed=%llu",
	           (unsigned long long)s.in, (unsigned long long)s.out,
	           (unsigned long long)s.lost, (unsigned long long)s.ignored,
	           (unsigned long long)s.missed);
	missing = truth_close(e->truth);
	if (s.missed)
		log_error("the kernel dropped %llu frames before they were "
		          "seen: the machine is too slow for this traffic",
		          (unsigned long long)s.missed);
	if (missing > 0)
		log_error("truth file: %lld records are missing",
		          (long long)missing);
	else if (missing < 0)
		log_error("truth file: %s", strerror((int)-missing));
	return s.missed || missing ? 1 : 0;
}

int
main(int argc, char **argv)
{
	static struct emu e; /* large */
	struct options o = {.spin_ns = SPIN_NS};
	struct fwd_hook hooks[2];
	unsigned n = 0;
	char err[1024];
	int bad;

	log_init("twmesh-emu", LOG_LV_INFO);
	parse_options(&o, argc, argv);
	if (!netconf_load(&e.net, o.net, err, sizeof(err)))
		die("%s", err);
	if (o.seed_set)
		e.net.seed = o.seed;
	if (o.check || o.print) {
		if (o.print)
			print_sites(&e, false);
		else
			(void)printf("%s: good\n", o.net);
		return 0;
	}
	svc_die_with_parent();
	(void)svc_raise_nofile();
	block_signals(&e);
	emu_open(&e, &o);
	print_sites(&e, true);
	(void)printf("ready\n");
	(void)fflush(stdout);
	if (o.command)
		run_command(&e, o.command);
	go_realtime(&o);
	hooks[n++] = (struct fwd_hook){e.signals, emu_on_signal, &e};
	if (e.control)
		hooks[n++] = control_hook(e.control);
	fwd_run(e.fwd, hooks, n);
	bad = report(&e);
	emu_close(&e);
	return e.status ? e.status : bad;
}
