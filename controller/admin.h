/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Administration over the admin socket: request bodies (JSON) to letters for
 * the writer, and its answers back to JSON. Pure; web.c carries them.
 */
#ifndef TWMESH_CONTROLLER_ADMIN_H
#define TWMESH_CONTROLLER_ADMIN_H

#include "controller/blob.h"
#include "controller/letters.h"

#include <stddef.h>

/* A new letter (the caller's), or NULL and one line in err saying what was
 * expected and what was found. kind: what web asks. */
struct ask *admin_parse(enum ask_kind kind, const char *body, size_t len,
                        char *err, size_t err_size);
/* The document of a TELL_ADMIN with status 200. */
struct blob *admin_answer(enum ask_kind kind, const struct tell *t);

#endif
