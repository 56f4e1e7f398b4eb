/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forwarding loop: takes frames off the core's veth ends by one packet
 * socket, asks the link (impair) what becomes of each, and releases it on
 * time: it sleeps until shortly before the next release and spins the rest.
 * One thread, no allocation while packets flow.
 *
 * A frame belongs to the site on whose veth it came in and goes to the site
 * of its destination address. What is not IP between two sites (neighbour
 * discovery, multicast) is ignored and only counted.
 */
#ifndef TWMESH_EMU_FORWARD_H
#define TWMESH_EMU_FORWARD_H

#include "tests/emu/nets.h"
#include "tests/emu/truth.h"

#include <stdbool.h>
#include <stdint.h>

struct fwd;

/* Something else to wait for, in the same thread: polled at least every
 * millisecond or so, however many packets flow. */
struct fwd_hook {
	int fd; /* readable: call */
	void (*on_readable)(void *arg);
	void *arg;
};

/* All arguments are borrowed for the life of the fwd; t may be NULL. False
 * with a reason in err. */
struct fwd *fwd_new(const struct nets *ns, const struct netconf *net,
                    struct truth *t, int64_t spin_ns, char *err, size_t size);
void fwd_free(struct fwd *f);
/* Until fwd_stop(). */
void fwd_run(struct fwd *f, const struct fwd_hook *hooks, unsigned n);
void fwd_stop(struct fwd *f);
/* New settings of one direction, from a hook. */
void fwd_change(struct fwd *f, unsigned src, unsigned dst,
                const struct linkconf *c);

struct fwd_stats {
	uint64_t in, out, lost, ignored;
	uint64_t missed; /* dropped by the kernel before we saw them */
};
struct fwd_stats fwd_stats(struct fwd *f);

#endif
