/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A local (unix) socket for one-line requests and text answers, on libevent:
 * the client sends "VERB ARG ARG\n", the server answers lines and closes. Used
 * by the reflector (counters, sessions, drops, members) towards meshd and the
 * command line. Bounded: 16 clients, 64 kB per request, 5 s per client.
 */
#ifndef TWMESH_SVC_LOCALSOCK_H
#define TWMESH_SVC_LOCALSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct event_base;
struct localsock;

/* Write the answer to `out`. The peer's credentials are SO_PEERCRED's. */
typedef void localsock_fn(void *arg, int argc, char **argv, uid_t uid,
                          gid_t gid, FILE *out);

/* Binds `path` with `mode` (0660); a stale socket file is replaced, a live one
 * refused. NULL with *err set to -errno. */
struct localsock *localsock_listen(struct event_base *base, const char *path,
                                   mode_t mode, localsock_fn *fn, void *arg,
                                   int *err);
void localsock_close(struct localsock *l); /* removes the file */

/* Blocking client (timeout in ms): malloc'd answer or NULL with errno set. */
char *localsock_ask(const char *path, const char *request, int timeout_ms);

#endif
