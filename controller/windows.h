/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows of the matrix: the last 5 minutes, 1 hour and 24 hours of closed
 * buckets, as stored state (twmesh_private.path_window: a row per source,
 * class and window, arrays over the destinations' slots, as path_state). They
 * are merged from rollups when a bucket closes, and again when one in them is
 * redone: the counts they were made from are kept beside.
 */
#ifndef TWMESH_CONTROLLER_WINDOWS_H
#define TWMESH_CONTROLLER_WINDOWS_H

#include "controller/rollup.h"

#define WINDOWS_N 3

struct windows;
struct windows *windows_new(void);    /* NULL: out of memory */
void windows_free(struct windows *w); /* NULL is allowed */

/* Brings window `which` of some sources up to date, on r's connection and
 * under its lease. *more: there were some. */
bool windows_some(struct windows *w, struct rollup *r, size_t which, bool *more,
                  struct pgc_err *err) __attribute__((warn_unused_result));

#endif
