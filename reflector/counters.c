/* SPDX-License-Identifier: BSD-2-Clause */
#include "reflector/counters.h"

#include <assert.h>
#include <inttypes.h>

#define ENTRIES(table) (sizeof(table) / sizeof((table)[0]))

static const char *const drop_name[] = {
    "none",  "short",  "long", "multiplier", "timestamp",
    "group", "source", "loop", "denied",     "rate"};
static_assert(ENTRIES(drop_name) == DROP_N, "one name per reason");

static const char *const counter_name[] = {
    "packets_received",   "replies_sent",     "replies_stateless",
    "replies_table_full", "duplicates",       "user_stamps",
    "send_failed",        "kernel_drops",     "held",
    "follow_ups",         "tx_stamps_asked",  "tx_stamps",
    "sessions_opened",    "sessions_expired", "sessions_evicted"};
static_assert(ENTRIES(counter_name) == COUNT_N, "one name per counter");

const char *
drop_str(enum drop d)
{
	return (unsigned)d < DROP_N ? drop_name[d] : "?";
}

const char *
counter_str(enum counter c)
{
	return (unsigned)c < COUNT_N ? counter_name[c] : "?";
}

uint64_t
counters_dropped(const struct counters *c)
{
	uint64_t sum = 0;

	for (unsigned i = DROP_NONE + 1; i < DROP_N; i++)
		sum += c->drop[i];
	return sum;
}

void
counters_print(const struct counters *c, FILE *out)
{
	for (unsigned i = 0; i < COUNT_N; i++)
		(void)fprintf(out, "%s %" PRIu64 "\n", counter_name[i],
		              c->count[i]);
	(void)fprintf(out, "packets_dropped %" PRIu64 "\n",
	              counters_dropped(c));
}

void
counters_print_drops(const struct counters *c, FILE *out)
{
	for (unsigned i = DROP_NONE + 1; i < DROP_N; i++)
		(void)fprintf(out, "%s %" PRIu64 "\n", drop_name[i],
		              c->drop[i]);
}
