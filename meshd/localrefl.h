/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reflector on this host, by its local socket: it learns there which
 * addresses are members (their sessions have reserved slots), and tells how
 * many packets its own socket dropped, and when its host could not keep up
 * (measurement rule 10). Asking blocks, so every question has
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
	/* Newest first, last heard; told again and again, which changes
	 * nothing. Of a reflector that fell silent they are kept. */
	struct host_limited host_limited[MSG_HOST_LIMITED_MAX];
	size_t host_limited_n;
	struct mono next;
	struct log_limit log_away, log_error;
};

void localrefl_init(struct localrefl *l, const char *path);
void localrefl_clear(struct localrefl *l);
void localrefl_set_roster(struct localrefl *l, const struct roster *r);
/* Twice a second; asks every 2 s. */
void localrefl_on_tick(struct localrefl *l, struct mono now);
/* Reads the answer to `host_limited`: lines "from to drops held"; false, and
 * nothing changed, if it is anything else. */
bool localrefl_read_host_limited(struct localrefl *l, const char *answer)
    __attribute__((warn_unused_result));

#endif
