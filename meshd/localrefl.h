/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reflector on this host, by its local socket: it learns there which
 * addresses are members (their sessions have reserved slots), and tells how
 * many packets its own socket dropped. Asking blocks, so every question has
 * 100 ms, and a reflector that did not answer is left alone for 10 s.
 */
#ifndef TWMESH_MESHD_LOCALREFL_H
#define TWMESH_MESHD_LOCALREFL_H

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/bus/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct localrefl {
	const char *path; /* borrowed; "": none */
	char *members;    /* owned: the request with all addresses; or NULL */
	bool told;        /* it has them */
	bool alive;       /* it answered last time */
	char instance[32];
	uint64_t rx_drops; /* its kernel_drops, last heard */
	struct mono next;
	struct log_limit log_away, log_error;
};

void localrefl_init(struct localrefl *l, const char *path);
void localrefl_clear(struct localrefl *l);
void localrefl_set_roster(struct localrefl *l, const struct roster *r);
/* Twice a second; asks every 2 s. */
void localrefl_on_tick(struct localrefl *l, struct mono now);

#endif
