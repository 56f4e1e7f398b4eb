/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main thread of meshd: one libevent loop that owns links, spool, shipper
 * and roster, and hands plans to the prober.
 *
 *   controllers ◀─ link ─┬─ roster ──▶ cache on disk, plan ──▶ prober
 *                        └─ ack, welcome ──▶ shipper ◀── results ── prober
 *                                               │
 *                                             spool
 *
 * Results go to the active controller: the first in the configuration that is
 * usable (welcomed, heard within 6 s), those with a database first. The roster
 * comes from it too; while none is usable the last one holds.
 */
#ifndef TWMESH_MESHD_NODE_H
#define TWMESH_MESHD_NODE_H

#include "meshd/config.h"
#include "meshd/link.h"
#include "meshd/localrefl.h"
#include "meshd/prober.h"
#include "meshd/shipper.h"
#include "meshd/spool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event;
struct event_base;
struct localsock;

struct node {
	const struct meshd_config *config; /* borrowed */
	struct keys keys;
	struct keys token; /* valid if has_token */
	bool has_token;
	bool was_in; /* a roster was cached: it has been in the mesh */
	char fingerprint[KEYS_FINGERPRINT_SIZE];

	struct event_base *base; /* owned, as all below */
	struct dealer_context *context;
	struct link *link[MESHD_CONTROLLERS_MAX];
	struct link *active; /* one of link[], or NULL */
	struct spool *spool;
	struct shipper *shipper;
	struct prober *prober;
	struct localrefl reflector;
	struct localsock *status;
	struct event *on_results, *tick, *ship;

	uint32_t self_id;     /* 0: not known yet */
	struct roster roster; /* epoch 0: none yet */
	char *cache_path;
	bool planned; /* the prober has had a plan */
	bool cached;  /* the roster is from the disk */
	struct mono minute;
};

/* Opens and starts everything. False with one clear line in err. */
bool node_start(struct node *n, const struct meshd_config *c, char *err,
                size_t err_size) __attribute__((warn_unused_result));
/* A planned stop: finishes intervals, seals, ships for at most a second, says
 * Bye. */
void node_stop(struct node *n);
void node_clear(struct node *n);

/* What a reload can change. */
void node_set_limits(struct node *n, uint64_t spool_max_bytes,
                     int64_t spool_max_age_ns);

#endif
