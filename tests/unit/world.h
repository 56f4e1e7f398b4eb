/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A random network, reflector and process whose truth is known per packet, and
 * a session that measures it.
 *
 *   world_build()  decides the fate of every packet and of every reply
 *   world_play()   tells the session what it would see, in that order, and
 *                  collects what comes out
 *   world_judge()  what the session ought to have found, by the definitions
 *
 * Times are ns since the world began (lab.h). All is drawn from one seed.
 */
#ifndef TWMESH_TESTS_UNIT_WORLD_H
#define TWMESH_TESTS_UNIT_WORLD_H

#include "lib/base/rng.h"
#include "tests/unit/lab.h"

#define WORLD_PKTS 3000U
#define WORLD_REPLIES (4 * WORLD_PKTS)
#define WORLD_RUNS 4096U
#define WORLD_RESULTS 128U
#define WORLD_FLOWS 8U

enum world_peer { PEER_TWMESH, PEER_COUNTING, PEER_STATELESS };

struct world_way {
	double loss;  /* of single packets */
	double burst; /* chance that a packet begins a burst of losses */
	unsigned burst_len;
	double dup;        /* chance of a copy */
	int64_t spread_ns; /* delay: 2 ms and up to that more */
	double slow;       /* chance of up to slow_ns more */
	int64_t slow_ns;
};

struct world_conf {
	struct session_params p;
	uint64_t seed;
	uint32_t packets;
	enum world_peer peer;
	bool follow_up, tx_stamps;
	struct world_way fwd, bwd;
	int64_t restart_ns[2]; /* the reflector begins anew; 0: never */
	int64_t dark_from_ns, dark_to_ns; /* nothing passes */
	int64_t stop_from_ns, stop_to_ns; /* our own process is stopped */
	int64_t step_at_ns, step_ns;      /* our wall clock steps */
};

struct world_pkt {
	unsigned flow;
	uint32_t seq;
	int64_t sched_ns;
	int64_t user_t1_ns, t1_ns; /* t1: as the session knows it */
	bool skipped;              /* a slot that was missed */
	bool counted;              /* no warm-up */
	/* truth */
	int64_t reached_ns;    /* at the reflector, first; -1 */
	int64_t overtaken;     /* extent on the way there; 0: in order */
	int64_t first;         /* reply that came first; -1 */
	int64_t of_first_copy; /* reply to its first arrival; -1: none came */
	bool received, late, corrected;
	int64_t rtt_ns, fwd_ns, bwd_ns; /* when received */
};

struct world_reply {
	uint32_t pkt;
	unsigned instance;
	struct session_reply r;
	int64_t t2_ns, t3_ns, true_t3_ns, t4_ns;
	bool of_copy; /* answers a copy made on the way there */
};

struct world_event {
	int64_t t_ns;
	enum { EVENT_SEND, EVENT_REPLY, EVENT_SKIP } kind;
	uint32_t i;
};

struct world {
	struct world_conf c;
	struct rng rng;
	struct world_pkt pkt[WORLD_PKTS];
	struct world_reply reply[WORLD_REPLIES]; /* by t4 after world_build */
	size_t replies;
	struct world_event ev[WORLD_REPLIES + WORLD_PKTS];
	size_t evs;
	/* what came out */
	struct session *s; /* owned */
	struct result result[WORLD_RESULTS];
	size_t results;
	struct loss_run run[WORLD_RUNS]; /* news, in order; owned packets */
	size_t runs;
	uint32_t revisions;
	uint32_t verdict[REPLY_N];
};

/* A world of a twmesh reflector without any fault. */
struct world_conf world_fair(uint64_t seed);
/* A new world, built, played to the end and judged. Free it. */
struct world *world_run(const struct world_conf *c);
void world_free(struct world *w);

/* The steps of world_run(), for tests that stop in between. */
struct world *world_build(const struct world_conf *c);
void world_play(struct world *w, size_t events); /* so many of evs */
void world_end(struct world *w);                 /* times out, finishes */
void world_judge(struct world *w);

/* A metric of all results together. */
int64_t world_sum(const struct world *w, enum metric m);

#endif
