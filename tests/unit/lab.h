/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drives a session by hand in tests: an invented clock, and the reflector's
 * own record of what it received. Fails the test on a broken invariant.
 */
#ifndef TWMESH_TESTS_UNIT_LAB_H
#define TWMESH_TESTS_UNIT_LAB_H

#include "lib/stats/session.h"
#include "reflector/rsession.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#define MONO0 (1000 * NS_PER_S)
#define WALL0 (INT64_C(1790000040) * NS_PER_S) /* a multiple of 60 s */
#define US NS_PER_US
#define MS NS_PER_MS

extern int64_t wall_shift; /* of the local clock, by a step */

/* An instant, ns since the world began. */
struct clock_pair at(int64_t ns);
/* 10 packets/s, 10 s, 2 s, aligned. */
struct session_params params(void);

struct reflector {
	uint64_t instance_id;
	struct rsession s; /* zeroed: forgot all */
	bool stateless;    /* answers with the sender's number */
	bool foreign;      /* without the private TLV */
};
/* Takes in packet seq and fills in what the reply says of it. */
void reflect(struct reflector *f, uint32_t seq, struct session_reply *r);

#define LAB_FLOWS 4

struct lab {
	struct session *s;
	struct reflector f; /* of flow 0 */
	struct reflector other[LAB_FLOWS - 1];
	int64_t now; /* ns since the world began */
	int64_t t1[LAB_FLOWS][4096];
	uint32_t first;
};

void lab_open(struct lab *l, struct session_params p);
/* A slot that is sent at `now`: its number. */
uint32_t lab_send(struct lab *l);
uint32_t lab_send_on(struct lab *l, unsigned flow);
/* Packet seq reaches the reflector after fwd; the reply is not told yet. */
struct session_reply lab_reflect(struct lab *l, uint32_t seq, int64_t fwd,
                                 int64_t bwd);
struct session_reply lab_reflect_on(struct lab *l, unsigned flow, uint32_t seq,
                                    int64_t fwd, int64_t bwd);
/* Tells the reply: 5 ms each way. */
enum reply_verdict lab_answer(struct lab *l, uint32_t seq);
void lab_until(struct lab *l, int64_t ns);
/* n packets, 100 ms apart. fate: 'o' answered, 'f' lost forward, 'b' lost
 * backward; the last letter goes on. */
void lab_run(struct lab *l, const char *fate, unsigned n);
/* The next result; its counts add up. */
struct result lab_take(struct lab *l);
/* The next news of a loss run, of that state; its counts add up. */
struct loss_run lab_take_run(struct lab *l, enum loss_run_state state);
void check_counts(const struct result *r);

#define CHECK_LOSS(r, lost, fwd, bwd, undet) \
	check_loss(r, lost, fwd, bwd, undet, __LINE__)
void check_loss(struct result r, int64_t lost, int64_t fwd, int64_t bwd,
                int64_t undet, int line);

/* Runs the tests of a case: the exit status of main(). */
int suite_main(const char *name, void (*add)(TCase *t));

#endif
