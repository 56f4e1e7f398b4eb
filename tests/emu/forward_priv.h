/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two halves of the forwarding loop share: forward.c takes packets
 * in, release.c sends them out. A packet is in one of four places: free (a
 * stack), in the queue by its release time, in the hold list (it is to be
 * overtaken), or in the hands of the current function.
 */
#ifndef TWMESH_EMU_FORWARD_PRIV_H
#define TWMESH_EMU_FORWARD_PRIV_H

#include "tests/emu/forward.h"
#include "tests/emu/relq.h"

#include <sys/queue.h>

#define FRAME_OCTETS 1600

struct packet {
	struct truth_rec rec;
	struct frame f; /* as it is in data */
	size_t len;
	bool copy;                /* the second of two */
	bool hold;                /* to be overtaken */
	uint32_t left;            /* packets still to pass it */
	struct mono deadline;     /* of a held one */
	TAILQ_ENTRY(packet) held; /* valid while in the hold list */
	uint8_t data[FRAME_OCTETS];
};

struct fwd {
	const struct nets *ns;     /* borrowed */
	const struct netconf *net; /* borrowed */
	struct truth *truth;       /* borrowed, may be NULL */
	int fd;                    /* owned */
	int64_t spin_ns;
	struct mono start;
	struct packet *pool;  /* owned */
	struct packet **free; /* owned: a stack of free_n */
	size_t free_n;
	struct relq queue;
	TAILQ_HEAD(packet_list, packet) holding; /* by deadline */
	struct impair link[NET_SITES][NET_SITES];
	uint64_t index[NET_SITES][NET_SITES];
	struct fwd_stats stats;
	bool stop;
};

/* release.c */

void fwd_give_back(struct fwd *f, struct packet *p);
/* The packet's story ends here. */
void fwd_record(struct fwd *f, struct packet *p, enum fate fate,
                struct wall at);
/* Everything that is due; the instant of the next, far off if none. */
struct mono fwd_release_due(struct fwd *f);
/* What is still on its way when we stop has a fate, too. */
void fwd_end_all(struct fwd *f);

#endif
