/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page's files: one flat directory, opened once. A name is one component
 * of a-z, A-Z, 0-9, '.', '_' and '-', begins with a letter, and ends in a known
 * type; it is opened below the directory without following a symbolic link, so
 * that no request reaches another file.
 */
#ifndef TWMESH_CONTROLLER_STATIC_H
#define TWMESH_CONTROLLER_STATIC_H

#include "controller/blob.h"

#include <stdbool.h>
#include <stddef.h>

/* The directory's descriptor (the caller closes it), or -1 with one clear line
 * in err: it must hold index.html. */
int static_open(const char *dir, char *err, size_t err_size);
/* A fresh blob and its Content-Type, or NULL: not one of ours. "/" is
 * index.html. */
struct blob *static_read(int dirfd, const char *path, const char **type);

#endif
