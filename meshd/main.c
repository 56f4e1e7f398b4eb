/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh-meshd: joins the mesh, learns its peers, measures them, ships
 * results. This file reads the configuration and the key, starts the node and
 * waits for signals; node.h tells the rest.
 */
#include "lib/base/clock_read.h"
#include "lib/base/log.h"
#include "lib/svc/svc.h"
#include "meshd/node.h"

#include <event2/event.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE 512
#define CONFIG_DEFAULT "/etc/twmesh/meshd.conf"

struct program {
	struct node node;
	struct conf *conf; /* owned */
	const char *path;  /* of the configuration, or NULL */
	struct meshd_config config;
};

/* For -n and -p: what a start would find wrong. */
static bool
check_config(const struct conf *c, char *err, size_t err_size)
{
	struct meshd_config config;

	return meshd_config_read(c, &config, err, err_size);
}

static void
load_keys(struct program *p)
{
	const char *dir = p->config.state_dir;
	char key[4096], pub[4096], err[LINE];

	(void)snprintf(key, sizeof(key), "%s/node.key", dir);
	(void)snprintf(pub, sizeof(pub), "%s/node.pub", dir);
	if (mkdir(dir, 0750) < 0 && errno != EEXIST)
		die("state_dir %s: %s", dir, strerror(errno));
	if (!keys_load_or_create(key, pub, &p->node.keys, err, sizeof(err)))
		die("%s", err);
}

/* A file that is not there is no fault: a token is for the first time only,
 * and operators clear away what is used. */
static void
load_token(struct program *p)
{
	const char *path = p->config.join_token_file;
	char err[LINE];

	if (path[0] == '\0')
		return;
	if (access(path, F_OK) < 0 && errno == ENOENT) {
		log_info("join_token_file %s: not there: a node that is not "
		         "known yet waits for approval",
		         path);
		return;
	}
	if (!keys_load(path, &p->node.token, err, sizeof(err)))
		die("join_token_file %s", err);
	p->node.has_token = true;
}

static _Noreturn void
show_key(struct program *p)
{
	char text[KEYS_TEXT_SIZE], fingerprint[KEYS_FINGERPRINT_SIZE];

	load_keys(p);
	keys_text(p->node.keys.public_key, text);
	keys_fingerprint(p->node.keys.public_key, fingerprint);
	keys_wipe(&p->node.keys);
	(void)printf("key %s\nfingerprint %s\n", text, fingerprint);
	conf_free(p->conf);
	exit(fflush(stdout) == 0 ? 0 : 1);
}

static void
on_stop_signal(evutil_socket_t sig, short what, void *arg)
{
	struct program *p = arg;

	(void)sig;
	(void)what;
	(void)event_base_loopbreak(p->node.base);
}

/* Options given on the command line still hold: only the spool's limits, which
 * have none, are taken over. */
static void
on_reload_signal(evutil_socket_t sig, short what, void *arg)
{
	struct program *p = arg;
	struct conf *c;

	(void)sig;
	(void)what;
	svc_notify("RELOADING=1");
	c = p->path ? conf_load(p->path, meshd_config_table, stderr) : NULL;
	if (c) {
		node_set_limits(&p->node,
		                (uint64_t)conf_int(c, "spool_max_mb") << 20,
		                conf_int(c, "spool_max_age"));
		log_info("reloaded spool_max_mb and spool_max_age; a change "
		         "of any other key needs a restart");
		conf_free(c);
	} else {
		log_error("not reloaded: %s",
		          p->path ? "the configuration stays as it was"
		                  : "there is no configuration file");
	}
	svc_notify("READY=1");
}

/* Until the handlers are there and once they are gone, signals wait: a stop is
 * always the planned one. Threads are started blocked, so that signals come to
 * the loop. */
static void
block_signals(int how)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(how, &set, NULL);
}

static struct event *
watch_signal(struct program *p, int sig, event_callback_fn fn)
{
	struct event *e = evsignal_new(p->node.base, sig, fn, p);

	if (!e || event_add(e, NULL) < 0)
		die("signals: out of memory");
	return e;
}

static void
run(struct program *p)
{
	struct event *term = watch_signal(p, SIGTERM, on_stop_signal);
	struct event *interrupt = watch_signal(p, SIGINT, on_stop_signal);
	struct event *reload = watch_signal(p, SIGHUP, on_reload_signal);

	log_info("node %s, fingerprint %s, %zu controllers", p->config.name,
	         p->node.fingerprint, p->config.controller_n);
	svc_notify("READY=1");
	block_signals(SIG_UNBLOCK);
	(void)event_base_dispatch(p->node.base);
	node_stop(&p->node);
	block_signals(SIG_BLOCK);
	event_free(term);
	event_free(interrupt);
	event_free(reload);
}

int
main(int argc, char **argv)
{
	bool do_show_key = false;
	const struct svc_opt opts[] = {
	    {"name", "name", NULL, "NAME", "this node's name in the mesh"},
	    {"site", "site", NULL, "SITE", "the site it belongs to"},
	    {"state-dir", "state_dir", NULL, "DIR",
	     "where key, spool and roster are kept"},
	    {"socket", "socket", NULL, "PATH", "local status socket"},
	    {"show-key", NULL, &do_show_key, NULL,
	     "print the public key and its fingerprint and exit"},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	static struct program p;
	char err[LINE];

	svc_set_check(check_config);
	p.conf = svc_start(argc, argv, "twmesh-meshd", meshd_config_table, opts,
	                   CONFIG_DEFAULT, &p.path);
	if (!meshd_config_read(p.conf, &p.config, err, sizeof(err)))
		die("%s", err);
	if (do_show_key)
		show_key(&p);
	svc_die_with_parent();
	(void)svc_raise_nofile();
	load_keys(&p);
	load_token(&p);
	block_signals(SIG_BLOCK);
	if (!node_start(&p.node, &p.config, err, sizeof(err)))
		die("%s", err);
	run(&p);
	node_clear(&p.node);
	conf_free(p.conf);
	return 0;
}
