/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Results on their way from the prober to a controller.
 *
 *   loss runs ──gathered for 100 ms──▶ sealed, sent before all others
 *   revisions ──the same, after the result they revise──▶ sealed
 *   results ──collected per (class, interval, epoch, clock)──▶ group
 *   group ──all sessions in, or 300 ms after the last──▶ sealed in the spool
 *   spool ──in order, within the window, spread by a hash──▶ controller
 *   controller ──ack, after COMMIT──▶ spool
 *
 * A batch under way is sent again after 5 s. Whenever the target changes (a
 * Welcome, another controller, its database back) all that is not
 * acknowledged starts again from the oldest. Results that cannot be sealed
 * (disk full) wait in memory, at most RESULTS_MAX of them; the oldest then
 * give way to a gap record in the next batch. Loss runs and revisions that are
 * too many (meshd/news.h) are only counted.
 *
 * A batch is dated by one clock, the one that dated its letters, whatever the
 * clock is when it is sealed or sent; the controller hears which.
 *
 * The core of meshd's main thread without sockets or clocks: the caller says
 * what time it is, and calls shipper_on_time() when it is told to.
 */
#ifndef TWMESH_MESHD_SHIPPER_H
#define TWMESH_MESHD_SHIPPER_H

#include "lib/base/clock.h"
#include "lib/bus/msg.h"
#include "meshd/letters.h"
#include "meshd/spool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHIPPER_RESULTS_MAX 20000
/* Rows per batch: 250 kB as a rule. Even with every detail that a result can
 * have, a thousand fit one message and the memory its decoding may take. */
#define SHIPPER_BATCH_ROWS 1000
#define SHIPPER_SEAL_AFTER_NS (300 * NS_PER_MS)
#define SHIPPER_RESEND_NS (5 * NS_PER_S)

struct shipper;

struct shipper_opts {
	struct spool *spool;   /* borrowed, outlives the shipper */
	const char *node_name; /* borrowed: its hash spreads the shipping */
	/* 0, -EAGAIN (try later), or another -errno. */
	int (*send)(void *arg, const struct msg_batch *b);
	void *arg;
};

struct shipper *shipper_new(const struct shipper_opts *o);
void shipper_free(struct shipper *s);

/* How many results an interval of a class has, and its spread. */
void shipper_set_roster(struct shipper *s, const struct roster *r,
                        uint32_t self_id);

/* Takes over the letter, of any kind. */
void shipper_add(struct shipper *s, struct prober_letter *l, struct mono now);

/* Where to ship: may batches be sent, how many at once. Starts again from the
 * oldest when `again`, or when shipping was off. */
void shipper_set_target(struct shipper *s, bool ready, uint32_t window,
                        bool again);
void shipper_on_ack(struct shipper *s, const struct msg_batch_ack *a);

/* Seals, sends and sends again what is due; when to call again (at the
 * latest). */
struct mono shipper_on_time(struct shipper *s, struct clock_pair now);

/* Seals all groups at once, without spreading (on the way out). */
void shipper_flush(struct shipper *s, struct clock_pair now);

struct shipper_stats {
	uint64_t results;      /* ever taken */
	uint64_t waiting;      /* in memory now */
	uint64_t sealed;       /* batches */
	uint64_t sent, resent; /* batches */
	uint64_t acked, duplicates, put_aside;
	uint64_t lost_rows;       /* could not be sealed */
	uint64_t runs, revisions; /* letters ever taken */
	uint64_t lost_news;       /* of both, could not be sealed */
	uint32_t in_flight;
};
const struct shipper_stats *shipper_stats(const struct shipper *s);

#endif
