/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last roster on disk, so that a node that starts while no controller
 * answers goes on measuring. The file: 8 octets of magic (with the file's
 * version), our node id and the
 * length (4 octets each, network order), the encoded Roster message, and
 * SHA-256 of all that. Written to a temporary file, fsynced and renamed.
 */
#ifndef TWMESH_MESHD_ROSTER_CACHE_H
#define TWMESH_MESHD_ROSTER_CACHE_H

#include "lib/bus/msg.h"

#include <stdbool.h>
#include <stdint.h>

/* 0 or -errno. */
int roster_cache_save(const char *path, uint32_t self_id,
                      const struct roster *r)
    __attribute__((warn_unused_result));
/* 0 with *r the caller's; -ENOENT: none; -EBADMSG: not one, or damaged; or
 * another -errno. */
int roster_cache_load(const char *path, uint32_t *self_id, struct roster *r)
    __attribute__((warn_unused_result));

#endif
