/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/node.h"

#include "lib/base/clock_read.h"
#include "lib/base/log.h"
#include "lib/svc/localsock.h"
#include "lib/svc/svc.h"
#include "meshd/roster_cache.h"
#include "meshd/status.h"

#include <event2/event.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_US 500000
#define MINUTE_NS (60 * NS_PER_S)
#define LAST_SHIPPING_NS NS_PER_S
#define BYE_NS (100 * NS_PER_MS)

/* ---- shipping ---- */

static void
ship(struct node *n)
{
	const struct clock_pair now = clock_now();
	const struct mono next = shipper_on_time(n->shipper, now);
	int64_t wait_ns = mono_diff_ns(next, now.mono);
	struct timeval tv;

	if (next.ns == INT64_MAX) {
		(void)evtimer_del(n->ship);
		return;
	}
	if (wait_ns < 0)
		wait_ns = 0;
	tv.tv_sec = wait_ns / NS_PER_S;
	tv.tv_usec = wait_ns % NS_PER_S / NS_PER_US + 1;
	(void)evtimer_add(n->ship, &tv);
}

static void
node_on_ship_time(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ship(arg);
}

static void
take_results(struct node *n)
{
	struct letter *l = mailbox_take_all(prober_results(n->prober));
	const struct mono now = clock_mono();

	while (l) {
		struct letter *next = l->next;

		/* the letter comes first in its struct */
		shipper_add(n->shipper, (struct prober_letter *)(void *)l, now);
		l = next;
	}
}

static void
node_on_results(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	take_results(arg);
	ship(arg);
}

static int
node_send_batch(void *arg, const struct msg_batch *b)
{
	struct node *n = arg;

	return n->active ? link_send_batch(n->active, b) : -EAGAIN;
}

static struct link *
best_link(const struct node *n)
{
	struct link *fallback = NULL;

	for (size_t i = 0; i < n->config->controller_n; i++) {
		struct link *l = n->link[i];

		if (!l || !link_is_usable(l))
			continue;
		if (link_is_storing(l))
			return l;
		if (!fallback)
			fallback = l;
	}
	return fallback;
}

/* Chooses the active controller anew. `fresh`: l has just welcomed us. */
static void
choose_active(struct node *n, const struct link *fresh)
{
	struct link *best = best_link(n);
	const bool moved = best != n->active;

	n->active = best;
	if (moved && best) {
		log_info("controller %s: active: results go there",
		         link_title(best));
		/* Its welcome may be old: what it stores now, and the roster
		 * it has, come with a new one. */
		if (best != fresh)
			link_say_hello(best, clock_mono());
	} else if (moved) {
		log_info("no controller: results wait in the spool");
	}
	shipper_set_target(n->shipper, best && link_is_storing(best),
	                   best ? link_window(best) : 0,
	                   moved || (fresh && fresh == best));
	ship(n);
}

/* ---- roster ---- */

static void
give_plan(struct node *n)
{
	struct plan *p = calloc(1, sizeof(*p));

	if (!p || !roster_copy(&p->roster, &n->roster)) {
		free(p);
		log_error("out of memory: the plan stays as it was");
		return;
	}
	p->self_id = n->self_id;
	prober_set_plan(n->prober, p);
	shipper_set_roster(n->shipper, &n->roster, n->self_id);
	localrefl_set_roster(&n->reflector, &n->roster);
	if (!n->planned)
		log_info("measuring: %zu nodes, %zu classes, epoch %" PRIu64
		         "%s",
		         n->roster.node_n, n->roster.class_n, n->roster.epoch,
		         n->cached ? " (from the cache)" : "");
	else
		log_info("roster epoch %" PRIu64 ": %zu nodes, %zu classes",
		         n->roster.epoch, n->roster.node_n, n->roster.class_n);
	n->planned = true;
}

static void
roster_changed(struct node *n)
{
	int rc;

	n->cached = false;
	give_plan(n);
	rc = roster_cache_save(n->cache_path, n->self_id, &n->roster);
	if (rc != 0)
		log_warn("%s: not written: %s", n->cache_path, strerror(-rc));
}

static void
node_on_roster(void *arg, struct link *l, struct roster *r)
{
	struct node *n = arg;

	if (l != n->active || n->self_id == 0) {
		roster_clear(r);
		return;
	}
	roster_clear(&n->roster);
	n->roster = *r;
	roster_changed(n);
}

static void
node_on_delta(void *arg, struct link *l, const struct roster_delta *d)
{
	struct node *n = arg;

	if (l != n->active)
		return;
	if (roster_apply(&n->roster, d))
		roster_changed(n);
	else
		link_say_hello(l, clock_mono());
}

static void
node_on_epoch(void *arg, struct link *l, uint64_t epoch)
{
	struct node *n = arg;

	if (l == n->active && epoch != 0 && epoch != n->roster.epoch)
		link_say_hello(l, clock_mono());
}

static void
load_cache(struct node *n)
{
	const struct roster_node *self;
	struct roster r;
	uint32_t id;
	int rc = roster_cache_load(n->cache_path, &id, &r);

	if (rc == -ENOENT)
		return;
	if (rc != 0) {
		log_warn("%s: not used: %s", n->cache_path,
		         rc == -EBADMSG ? "not a roster, or damaged"
		                        : strerror(-rc));
		return;
	}
	n->was_in = true;
	self = roster_node_by_id(&r, id);
	if (!self || strcmp(self->name, n->config->name) != 0) {
		log_warn("%s: not used: this node is not in it", n->cache_path);
		roster_clear(&r);
		return;
	}
	n->roster = r;
	n->self_id = id;
	n->cached = true;
	give_plan(n);
}

/* ---- links ---- */

static void
node_fill_hello(void *arg, struct msg_hello *h)
{
	const struct node *n = arg;
	const struct meshd_config *c = n->config;

	(void)snprintf(h->name, sizeof(h->name), "%s", c->name);
	(void)snprintf(h->site, sizeof(h->site), "%s", c->site);
	memcpy(h->address, c->address, sizeof(h->address));
	h->address_n = c->address_n;
	h->reflector_port = c->reflector_port;
	(void)snprintf(h->software, sizeof(h->software),
	               "twmesh-meshd " TWMESH_VERSION);
	h->spool_id = *spool_id(n->spool);
	h->spool_next_seq = spool_next_seq(n->spool);
	h->roster_epoch = n->roster.epoch;
}

/* The second number of /proc/self/statm: resident pages. */
static uint32_t
rss_kib(void)
{
	char line[128] = "", *end;
	FILE *f = fopen("/proc/self/statm", "re");
	uint64_t pages;

	if (!f)
		return 0;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	(void)fclose(f);
	(void)strtoull(line, &end, 10);
	pages = strtoull(end, NULL, 10);
	return (uint32_t)(pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024);
}

static void
node_fill_heartbeat(void *arg, struct msg_heartbeat *h)
{
	struct node *n = arg;
	const struct spool_counts *c = spool_counts(n->spool);
	double load = 0;

	h->epoch = n->roster.epoch;
	h->spool_batches = c->batches;
	h->spool_bytes = c->bytes;
	h->clock = clock_quality_read(n->config->prober.clock_error_floor_ns);
	if (getloadavg(&load, 1) == 1 && load > 0 && load < 1e6)
		h->load1_milli = (uint32_t)(load * 1000);
	h->rss_kib = rss_kib();
	h->sessions = prober_stats(n->prober)->sessions;
	h->reflector_rx_drops = n->reflector.rx_drops;
	h->host_limited_n = n->reflector.host_limited_n;
	memcpy(h->host_limited, n->reflector.host_limited,
	       sizeof(h->host_limited));
}

static void
node_on_link_changed(void *arg, struct link *l)
{
	(void)l;
	choose_active(arg, NULL);
}

static void
node_on_welcome(void *arg, struct link *l, const struct msg_welcome *w)
{
	struct node *n = arg;
	uint64_t again = 0;

	for (size_t i = 0; i < n->config->controller_n; i++)
		link_forget_token(n->link[i]);
	if (l != best_link(n))
		return; /* a controller in reserve */
	n->self_id = w->node_id;
	if (spool_reconcile(n->spool, &w->incarnation_id, w->ledger_next_seq,
	                    &again) != 0)
		log_warn("spool: what the ledger has was not noted");
	if (again > 0)
		log_info("controller %s: its ledger lacks %" PRIu64
		         " batches that were acknowledged: sent again",
		         link_title(l), again);
	choose_active(n, l);
}

static void
node_on_ack(void *arg, struct link *l, const struct msg_batch_ack *a)
{
	struct node *n = arg;

	(void)l;
	shipper_on_ack(n->shipper, a);
	ship(n);
}

static const struct link_ops link_ops = {
    .fill_hello = node_fill_hello,
    .fill_heartbeat = node_fill_heartbeat,
    .changed = node_on_link_changed,
    .welcome = node_on_welcome,
    .roster = node_on_roster,
    .delta = node_on_delta,
    .ack = node_on_ack,
    .epoch = node_on_epoch,
};

static void
node_on_tick(evutil_socket_t fd, short what, void *arg)
{
	const struct clock_pair now = clock_now();
	struct node *n = arg;

	(void)fd;
	(void)what;
	clock_test_poll();
	for (size_t i = 0; i < n->config->controller_n; i++)
		link_on_tick(n->link[i], now.mono);
	localrefl_on_tick(&n->reflector, now.mono);
	if (mono_diff_ns(now.mono, n->minute) >= MINUTE_NS) {
		n->minute = now.mono;
		spool_on_minute(n->spool, now.wall);
	}
}

/* ---- starting ---- */

static char *
in_state_dir(const struct node *n, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", n->config->state_dir, name) < 0)
		return NULL;
	return path;
}

static bool
open_spool(struct node *n, char *err, size_t err_size)
{
	char *path = in_state_dir(n, "spool.db"), *aside = NULL;
	uint8_t boot_id[BOOT_ID_BYTES];
	const struct spool_opts o = {path, n->config->spool_max_bytes,
	                             n->config->spool_max_age_ns,
	                             clock_boot_id(boot_id) ? boot_id : NULL};

	n->cache_path = in_state_dir(n, "roster.cache");
	if (path && n->cache_path)
		n->spool = spool_open(&o, clock_wall(), &aside, err, err_size);
	else
		(void)snprintf(err, err_size, "out of memory");
	if (aside)
		log_error("%s: damaged: moved to %s; a new spool begins", path,
		          aside);
	free(aside);
	free(path);
	return n->spool != NULL;
}

static bool
start_links(struct node *n, char *err, size_t err_size)
{
	for (size_t i = 0; i < n->config->controller_n; i++) {
		const struct meshd_controller *c = &n->config->controller[i];
		struct link_opts o = {
		    .title = c->title,
		    .address = c->address,
		    .keys = &n->keys,
		    /* A node that was removed must not let itself in again. */
		    .token = n->has_token && !n->was_in ? &n->token : NULL,
		    .name = n->config->name,
		    .context = n->context,
		    .base = n->base,
		    .ops = &link_ops,
		    .arg = n};

		memcpy(o.server_key, c->key, KEYS_BYTES);
		n->link[i] = link_new(&o, err, err_size);
		if (!n->link[i])
			return false;
	}
	return true;
}

static bool
start_prober(struct node *n, char *err, size_t err_size)
{
	int rc = 0;

	n->prober = prober_start(&n->config->prober, &rc);
	if (n->prober)
		return true;
	(void)snprintf(err, err_size, "cannot start probing: %s",
	               strerror(-rc));
	return false;
}

static bool
start_status(struct node *n, char *err, size_t err_size)
{
	int rc = 0;

	if (n->config->socket[0] == '\0')
		return true;
	n->status = localsock_listen(n->base, n->config->socket, 0660,
	                             status_answer, n, &rc);
	if (n->status)
		return true;
	(void)snprintf(err, err_size, "socket %s: %s", n->config->socket,
	               rc == -EADDRINUSE ? "in use by another process"
	                                 : strerror(-rc));
	return false;
}

static bool
start_events(struct node *n)
{
	const struct timeval every = {0, TICK_US};

	n->on_results =
	    event_new(n->base, mailbox_fd(prober_results(n->prober)),
	              EV_READ | EV_PERSIST, node_on_results, n);
	n->tick = event_new(n->base, -1, EV_PERSIST, node_on_tick, n);
	return n->on_results && n->tick &&
	       event_add(n->on_results, NULL) == 0 &&
	       event_add(n->tick, &every) == 0;
}

bool
node_start(struct node *n, const struct meshd_config *c, char *err,
           size_t err_size)
{
	const struct shipper_opts ship_opts = {
	    .node_name = c->name, .send = node_send_batch, .arg = n};
	struct shipper_opts o = ship_opts;

	n->config = c;
	n->minute = clock_mono();
	localrefl_init(&n->reflector, c->reflector_socket);
	keys_fingerprint(n->keys.public_key, n->fingerprint);
	if (!open_spool(n, err, err_size))
		return false;
	o.spool = n->spool;
	n->shipper = shipper_new(&o);
	n->base = event_base_new();
	n->context = dealer_context_new();
	n->ship = n->base ? evtimer_new(n->base, node_on_ship_time, n) : NULL;
	if (!n->shipper || !n->ship || !n->context) {
		(void)snprintf(err, err_size, "out of memory");
		return false;
	}
	if (!start_status(n, err, err_size) || !start_prober(n, err, err_size))
		return false;
	load_cache(n);
	if (!start_links(n, err, err_size))
		return false;
	if (start_events(n))
		return true;
	(void)snprintf(err, err_size, "out of memory");
	return false;
}

/* ---- stopping ---- */

static void
run_for(struct node *n, int64_t ns)
{
	const struct timeval tv = {ns / NS_PER_S, ns % NS_PER_S / NS_PER_US};

	(void)event_base_loopexit(n->base, &tv);
	(void)event_base_dispatch(n->base);
}

void
node_stop(struct node *n)
{
	const struct mono end = mono_add_ns(clock_mono(), LAST_SHIPPING_NS);

	log_info("stopping");
	svc_notify("STOPPING=1");
	prober_stop(n->prober);
	take_results(n);
	shipper_flush(n->shipper, clock_now());
	ship(n);
	while (n->active && link_is_storing(n->active) &&
	       spool_counts(n->spool)->batches > 0 &&
	       mono_diff_ns(end, clock_mono()) > 0)
		run_for(n, 20 * NS_PER_MS);
	for (size_t i = 0; i < n->config->controller_n; i++)
		link_send_bye(n->link[i], "stopped on purpose");
	run_for(n, BYE_NS);
	log_info("stopped: %" PRIu64 " batches wait in the spool",
	         spool_counts(n->spool)->batches);
}

void
node_clear(struct node *n)
{
	struct event *const event[] = {n->on_results, n->tick, n->ship};

	for (size_t i = 0; i < 3; i++) {
		if (event[i])
			event_free(event[i]);
	}
	localsock_close(n->status);
	for (size_t i = 0; i < MESHD_CONTROLLERS_MAX; i++)
		link_free(n->link[i]);
	dealer_context_free(n->context);
	if (n->prober)
		prober_free(n->prober);
	shipper_free(n->shipper);
	spool_free(n->spool);
	if (n->base)
		event_base_free(n->base);
	localrefl_clear(&n->reflector);
	roster_clear(&n->roster);
	free(n->cache_path);
	keys_wipe(&n->keys);
	keys_wipe(&n->token);
}

void
node_set_limits(struct node *n, uint64_t spool_max_bytes,
                int64_t spool_max_age_ns)
{
	spool_set_limits(n->spool, spool_max_bytes, spool_max_age_ns);
	spool_on_minute(n->spool, clock_wall());
}
