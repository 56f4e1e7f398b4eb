/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the local socket is asked, by meshd and by people (docs/CONTRACTS.md):
 *   counters, drops    lines "name value"
 *   sessions           a line each: source local ssid packets age_s reserved
 *   members IP ...     replaces the list of members; "ok N" or "error ..."
 *   instance           this run's id, in hex
 *   host_limited       a line each, newest first: from to drops held, when
 *                      this host could not keep up (ns since 1970)
 */
#ifndef TWMESH_REFLECTOR_VERBS_H
#define TWMESH_REFLECTOR_VERBS_H

#include <stdio.h>
#include <sys/types.h>

/* A localsock_fn; `arg` is the struct reflect. */
void verbs_answer(void *arg, int argc, char **argv, uid_t uid, gid_t gid,
                  FILE *out);

#endif
