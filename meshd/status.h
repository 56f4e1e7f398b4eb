/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meshd's local socket: the verb `status` answers lines "name value".
 */
#ifndef TWMESH_MESHD_STATUS_H
#define TWMESH_MESHD_STATUS_H

#include <stdio.h>
#include <sys/types.h>

/* A localsock_fn; arg is the struct node. */
void status_answer(void *node, int argc, char **argv, uid_t uid, gid_t gid,
                   FILE *out);

#endif
