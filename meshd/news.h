/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * News on their way to be sealed: letters of one kind that are no results (loss
 * runs, or revisions), oldest first, gathered for 100 ms so that a thousand
 * that come up at one instant make a few batches.
 *
 * Bounded by number and by the packets that runs carry: what goes beyond is
 * the caller's to drop, oldest first.
 */
#ifndef TWMESH_MESHD_NEWS_H
#define TWMESH_MESHD_NEWS_H

#include "lib/base/clock.h"
#include "meshd/letters.h"
#include "meshd/spool.h"

#include <stdbool.h>
#include <stddef.h>

#define NEWS_MAX 20000
#define NEWS_PACKETS_MAX 200000 /* some 11 MB */
#define NEWS_GATHER_NS (100 * NS_PER_MS)
/* A batch of news: at most 1.2 MB of packets, 200 kB of the rest. */
#define NEWS_BATCH 2000
#define NEWS_BATCH_PACKETS 20000

struct news {
	struct prober_letter **item; /* owned, each */
	size_t n, cap;
	size_t packets;  /* in all of them */
	struct mono due; /* of the oldest; valid when n > 0 */
};

/* Takes over the letter; false when out of memory (then it is freed). */
bool news_add(struct news *l, struct prober_letter *p, struct mono now)
    __attribute__((warn_unused_result));
/* Forgets the n oldest. */
void news_drop(struct news *l, size_t n);
bool news_is_over(const struct news *l);
void news_clear(struct news *l);

/* How many of the oldest make a batch, at least one if there is any; all of
 * one clock. */
size_t news_batch(const struct news *l);
/* The instants that the n oldest are about; no rows. n > 0. */
struct spool_span news_span(const struct news *l, size_t n);

const struct loss_run *news_run(const struct news *l, size_t i);
const struct revision *news_revision(const struct news *l, size_t i);

#endif
