/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two halves of the shipper share: collecting and sealing
 * (shipper.c), sending and acknowledgements (shipper_send.c).
 */
#ifndef TWMESH_MESHD_SHIPPER_INT_H
#define TWMESH_MESHD_SHIPPER_INT_H

#include "lib/base/log.h"
#include "meshd/news.h"
#include "meshd/shipper.h"

#define GROUPS_MAX 1024
#define HOLDS_MAX 512
#define URGENT_MAX 64
#define NEVER ((struct mono){INT64_MAX})

/* Results of one class and interval, until they are sealed. */
struct group {
	uint32_t class_id;
	struct wall start;
	int64_t interval_ns;
	uint64_t epoch;
	int64_t clock_ns; /* by which all of it is dated, see letters.h */
	struct result_letter **letter; /* owned, each */
	size_t n, cap;
	struct mono due; /* to be sealed */
};

struct flight {
	uint64_t seq;
	struct mono sent;
};

/* A batch that waits for its place in the spread. */
struct hold {
	uint64_t seq;
	struct mono until;
};

struct class_plan {
	uint32_t class_id;
	size_t sessions; /* results that an interval has */
	int64_t spread_ns;
};

struct shipper {
	struct shipper_opts o;
	struct class_plan *class_; /* owned */
	size_t class_n;
	struct group group[GROUPS_MAX]; /* oldest first */
	size_t group_n;
	struct hold hold[HOLDS_MAX]; /* lowest number first */
	size_t hold_n;
	struct gap lost;       /* rows 0: nothing; told in the next batch */
	int64_t lost_clock_ns; /* by which it is dated */
	struct news runs, revisions;
	uint64_t urgent[URGENT_MAX]; /* to be sent first, oldest first */
	size_t urgent_n;

	bool ready;
	uint32_t window;
	uint64_t cursor; /* numbers below it were sent to this target */
	struct flight flight[SPOOL_PROTECTED];
	size_t flight_n;
	struct mono retry_send;
	struct mono now; /* as last told */

	struct shipper_stats stats;
	struct log_limit log_seal, log_aside, log_bad, log_news;
};

static inline struct mono
sooner(struct mono a, struct mono b)
{
	return a.ns < b.ns ? a : b;
}

/* Seals what is due, or all; when something is due next. */
struct mono shipper_seal_due(struct shipper *s, struct clock_pair now,
                             bool all);

#endif
