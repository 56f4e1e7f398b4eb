/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What changed between two rosters, as a delta. Pure.
 */
#ifndef TWMESH_CONTROLLER_ROSTERDIFF_H
#define TWMESH_CONTROLLER_ROSTERDIFF_H

#include "lib/bus/msg.h"

#include <stdbool.h>

/* Fills *out (the caller frees upsert and removed). False: no delta can say it
 * (classes differ), or out of memory: send the whole roster. */
bool roster_diff(const struct roster *from, const struct roster *to,
                 struct roster_delta *out) __attribute__((warn_unused_result));

#endif
