/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The web thread: the page, the JSON API and the admin socket, on an event
 * base of its own, so that nothing here can hold a heartbeat.
 *
 *   browser ── TCP, loopback, read-only ──┐
 *                                          ├─▶ routes ─▶ answers ─▶ database
 *   twmesh ─── unix socket, also POST ────┘      └─ ask ─▶ writer ─ tell ─▶
 *
 * The TCP listener answers only to names and addresses of this host (Host
 * header), so that a page elsewhere cannot read it by DNS rebinding. What a
 * listener may do belongs to the listener, never to the peer's address.
 */
#ifndef TWMESH_CONTROLLER_WEB_H
#define TWMESH_CONTROLLER_WEB_H

#include "controller/keeper_jobs.h"
#include "lib/base/addr.h"
#include "lib/base/mailbox.h"

#include <stddef.h>

struct web_opts {
	const char *database; /* libpq connection string; borrowed */
	const char *web_dir;  /* borrowed */
	const char *socket;   /* admin socket's path, "": none; borrowed */
	struct addr http;     /* port 0: any free one */
	struct keep keep;     /* for projections of the database's size */
};

struct web;
/* Binds both listeners, opens web_dir. NULL with one clear line in err. */
struct web *web_new(const struct web_opts *o, char *err, size_t err_size);
struct mailbox *web_inbox(struct web *w); /* of struct tell */
const struct addr *web_address(const struct web *w);
/* Starts the thread; asks go to `to_writer` (borrowed). 0 or -errno. */
int web_start(struct web *w, struct mailbox *to_writer);
/* Ends the thread: no ask is put after it. The inbox still takes letters. */
void web_stop(struct web *w);
/* Closes both listeners, removes the admin socket, frees. NULL is allowed. */
void web_free(struct web *w);

#endif
