/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh-controller: keeps the roster, receives results, writes PostgreSQL,
 * serves the page. Three threads share only mailboxes (letters.h), and the
 * keeper's two share nothing with them but the run's name; this
 * file starts them, waits for a signal, and stops them in the order in which
 * letters flow, so that nobody writes to one who is gone:
 *
 *   web, bus (no more asks) -> writer (stores what it has) -> the rest
 *
 * and the keeper before them all.
 */
#include "controller/bus.h"
#include "controller/config.h"
#include "controller/keeper.h"
#include "controller/migrate.h"
#include "controller/web.h"
#include "controller/writer.h"
#include "lib/base/clock_read.h"
#include "lib/base/log.h"
#include "lib/pg/pgc.h"
#include "lib/svc/svc.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE 512
/* One per node, 288 for HTTP, and room to breathe. Below it libzmq would spin
 * with the second hundred of nodes. */
#define NOFILE_MIN 1024
#define SCHEMA_RETRY_S 2

struct program {
	struct conf *conf;
	struct config config;
	struct keys keys;
	struct bus *bus;
	struct web *web;
	struct writer *writer;
	struct keeper *keeper;
};

/* Is the database there, and ours? */
enum schema { SCHEMA_GOOD, SCHEMA_AWAY, SCHEMA_WRONG };

/* A connection that waiting will not mend. */
static bool
is_operators_mistake(const char *text)
{
	static const char *const marks[] = {
	    "does not exist",       "invalid connection option",
	    "missing \"=\"",        "authentication failed",
	    "no pg_hba.conf entry", "invalid URI",
	    "invalid port number",  "is not permitted to log in",
	    "no password supplied", "invalid integer value",
	};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		/* A missing socket file is a server that is down. */
		if (strstr(text, marks[i]) && !strstr(text, "on socket"))
			return true;
	}
	return strstr(text, "FATAL:") && strstr(text, "does not exist");
}

static enum schema
check_schema(const struct config *c, char line[LINE])
{
	struct pgc_err err = {.text = ""};
	struct pgc *pg =
	    pgc_open(c->database, "twmesh-controller check", NULL, &err);

	if (!pg) {
		(void)snprintf(line, LINE, "%s", err.text);
		return is_operators_mistake(err.text) ? SCHEMA_WRONG
		                                      : SCHEMA_AWAY;
	}
	pgc_close(pg);
	if (migrate_check(c->database, c->sql_dir, line, LINE))
		return SCHEMA_GOOD;
	/* Did it go away just now? Then that was the reason. */
	pg = pgc_open(c->database, "twmesh-controller check", NULL, &err);
	if (!pg)
		return SCHEMA_AWAY;
	pgc_close(pg);
	return SCHEMA_WRONG;
}

static void
load_keys(struct program *p)
{
	char key[4200], pub[4200], err[LINE];

	(void)snprintf(key, sizeof(key), "%s/controller.key",
	               p->config.state_dir);
	(void)snprintf(pub, sizeof(pub), "%s/controller.pub",
	               p->config.state_dir);
	if (!keys_load_or_create(key, pub, &p->keys, err, sizeof(err)))
		die("%s", err);
}

static _Noreturn void
show_key(struct program *p)
{
	char text[KEYS_TEXT_SIZE];

	load_keys(p);
	keys_text(p->keys.public_key, text);
	keys_wipe(&p->keys);
	(void)printf("%s\n", text);
	conf_free(p->conf);
	exit(fflush(stdout) == 0 ? 0 : 1);
}

static _Noreturn void
run_migrations(struct program *p)
{
	char err[LINE];

	if (!migrate(p->config.database, p->config.sql_dir, err, sizeof(err)))
		die("%s", err);
	conf_free(p->conf);
	exit(fflush(stdout) == 0 ? 0 : 1);
}

static void
start_all(struct program *p)
{
	const struct config *c = &p->config;
	char err[LINE];
	int rc = 0;

	p->web = web_new(&(struct web_opts){.database = c->database,
	                                    .web_dir = c->web_dir,
	                                    .socket = c->socket,
	                                    .http = c->http,
	                                    .keep = c->keep},
	                 err, sizeof(err));
	if (!p->web)
		die("%s", err);
	p->bus = bus_new(&(struct bus_opts){.listen = c->listen,
	                                    .keys = &p->keys,
	                                    .first_use = c->first_use,
	                                    .window = c->window},
	                 err, sizeof(err));
	keys_wipe(&p->keys);
	if (!p->bus) {
		web_free(p->web); /* removes the admin socket */
		die("%s", err);
	}
	p->writer =
	    writer_start(&(struct writer_opts){.database = c->database,
	                                       .class_ = c->class_,
	                                       .class_n = c->class_n,
	                                       .reference = c->reference,
	                                       .reference_n = c->reference_n,
	                                       .to_bus = bus_inbox(p->bus),
	                                       .to_web = web_inbox(p->web)},
	                 &rc);
	if (p->writer)
		rc = bus_start(p->bus, writer_inbox(p->writer));
	if (rc == 0 && p->writer)
		rc = web_start(p->web, writer_inbox(p->writer));
	if (rc == 0 && p->writer)
		p->keeper = keeper_start(
		    &(struct keeper_opts){.database = c->database,
		                          .instance =
		                              writer_instance(p->writer),
		                          .lease_ns = c->lease_ns,
		                          .keep = c->keep},
		    &rc);
	if (rc != 0) {
		web_free(p->web);
		die("cannot start threads: %s", strerror(-rc));
	}
}

static void
stop_all(struct program *p)
{
	svc_notify("STOPPING=1");
	keeper_stop(p->keeper);
	web_stop(p->web);
	bus_stop(p->bus);
	writer_stop(p->writer);
	bus_free(p->bus); /* with the acks of what was stored just now */
	web_free(p->web);
	conf_free(p->conf);
}

static void
say_ready(const struct program *p)
{
	char mesh[ADDR_TEXT_MAX], http[ADDR_TEXT_MAX];

	log_info("ready: mesh %s, http http://%s/",
	         addr_format(bus_address(p->bus), mesh),
	         addr_format(web_address(p->web), http));
	svc_notify("READY=1");
}

/* Waits for a signal; until the schema was seen to be ours, looks again and
 * again. The exit status. */
static int
wait_for_end(struct program *p, sigset_t *set, enum schema schema)
{
	const struct timespec every = {.tv_sec = SCHEMA_RETRY_S};
	struct log_limit limit = {.held = 0};
	char line[LINE];
	uint64_t held;

	for (;;) {
		int sig = schema == SCHEMA_AWAY
		              ? sigtimedwait(set, NULL, &every)
		              : sigwaitinfo(set, NULL);

		if (sig == SIGTERM || sig == SIGINT) {
			log_info("stopping");
			return 0;
		}
		if (sig == SIGHUP)
			log_warn("nothing can be reloaded: restart to change "
			         "the configuration");
		if (schema != SCHEMA_AWAY)
			continue;
		schema = check_schema(&p->config, line);
		if (schema == SCHEMA_WRONG) {
			log_error("%s", line);
			return 2;
		}
		if (schema == SCHEMA_AWAY &&
		    log_limit_ok(&limit, clock_mono(), &held))
			log_warn("the database is away: %s", line);
	}
}

int
main(int argc, char **argv)
{
	bool do_migrate = false, do_show_key = false;
	const struct svc_opt opts[] = {
	    {"database", "database", NULL, "CONNINFO",
	     "libpq connection string"},
	    {"listen", "listen", NULL, "ADDR:PORT", "where nodes connect"},
	    {"http", "http", NULL, "ADDR:PORT", "where the page is served"},
	    {"socket", "socket", NULL, "PATH", "admin socket"},
	    {"state-dir", "state_dir", NULL, "DIR", "where the key is kept"},
	    {"trust-first-use", "trust_first_use", NULL, "never|loopback",
	     "admit unknown nodes by themselves"},
	    {"web-dir", "web_dir", NULL, "DIR", "the page's files"},
	    {"sql-dir", "sql_dir", NULL, "DIR", "the migrations"},
	    {"migrate", NULL, &do_migrate, NULL,
	     "bring the database to this version and exit"},
	    {"show-key", NULL, &do_show_key, NULL,
	     "print the public key and exit"},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	struct program p = {.conf = NULL};
	enum schema schema;
	sigset_t set;
	char line[LINE];
	int status;

	svc_set_check(config_check);
	p.conf = svc_start(argc, argv, "twmesh-controller", config_table, opts,
	                   "/etc/twmesh/controller.conf", NULL);
	if (!config_read(p.conf, &p.config, line, sizeof(line)))
		die("%s", line);
	if (do_show_key)
		show_key(&p);
	if (do_migrate)
		run_migrations(&p);
	svc_die_with_parent();
	if (svc_raise_nofile() < NOFILE_MIN)
		die("expected a limit of at least %d open files (ulimit -Hn)",
		    NOFILE_MIN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	load_keys(&p);
	schema = check_schema(&p.config, line);
	if (schema == SCHEMA_WRONG)
		die("%s", line);
	if (evthread_use_pthreads() != 0)
		die("libevent cannot use threads");
	start_all(&p);
	if (schema == SCHEMA_AWAY)
		log_warn("the database is away: %s", line);
	say_ready(&p);
	status = wait_for_end(&p, &set, schema);
	stop_all(&p);
	return status;
}
