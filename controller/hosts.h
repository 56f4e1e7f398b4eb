/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When the hosts of reflectors could not keep up (docs/MEASUREMENT.md rule
 * 10): told by heartbeats, kept in memory for judging results, and written to
 * twmesh.node_host_limited. Other controllers' are read back every few
 * seconds. What is told again changes nothing and costs nothing.
 *
 * The writer's thread only. In memory by the controller's clock, in the
 * database by the node's.
 */
#ifndef TWMESH_CONTROLLER_HOSTS_H
#define TWMESH_CONTROLLER_HOSTS_H

#include "lib/base/clock.h"
#include "lib/bus/msg.h"
#include "lib/pg/pgc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hosts;

struct hosts *hosts_new(void); /* NULL: out of memory */
void hosts_free(struct hosts *h);
bool hosts_attach(struct hosts *h, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));

/* What a heartbeat tells. offset_ns: the node's clock less ours, NS_UNKNOWN.
 * No node makes us keep more than 60 new ones in a minute. */
void hosts_note(struct hosts *h, uint32_t node_id, int64_t offset_ns,
                const struct host_limited *list, size_t n, struct mono now);
/* Writes what is new, and reads what others wrote. */
bool hosts_write(struct hosts *h, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
bool hosts_read(struct hosts *h, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));

/* Could the node's host not keep up at any time of [from, to) (our clock),
 * give or take half a second? */
bool hosts_limited(const struct hosts *h, uint32_t node_id, struct wall from,
                   struct wall to);

#endif
