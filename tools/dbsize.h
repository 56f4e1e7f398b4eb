/* SPDX-License-Identifier: BSD-2-Clause */
/* The document of the database's size as people read it (docs/API.md). */
#ifndef TWMESH_TOOLS_DBSIZE_H
#define TWMESH_TOOLS_DBSIZE_H

#include "tools/doc.h"

#include <stdio.h>

/* A line per level and the sums. False: no such document, err[DOC_ERR_MAX] says
 * why. */
bool dbsize_show(FILE *out, json_t *root, char *err);

#endif
