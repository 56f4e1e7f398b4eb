/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logging to stderr, one line each, with <N> priorities when journald reads it
 * (JOURNAL_STREAM is set) and a UTC time otherwise.
 *
 *   error  someone must act
 *   warn   we go on, but worse
 *   info   a change of state
 *   debug  per packet or message
 *
 * The layer that fails does not log; the caller that knows for whom does,
 * once. Control characters in what is printed become '?': text from outside
 * never reaches a terminal or a log raw. Thread-safe. Never log a secret.
 */
#ifndef TWMESH_BASE_LOG_H
#define TWMESH_BASE_LOG_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LV_ERROR, LOG_LV_WARN, LOG_LV_INFO, LOG_LV_DEBUG };

/* `program` is borrowed for the life of the process. */
void log_init(const char *program, enum log_level max);
/* "error", "warn", "info", "debug"; false for anything else. */
bool log_level_parse(const char *name, enum log_level *out);

void log_at(enum log_level lv, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_LV_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_LV_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_LV_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LV_DEBUG, __VA_ARGS__)

/*
 * For faults that a remote party can repeat at will: true at most once a
 * minute, with the number kept back since in *suppressed. Zero-initialise.
 * One limit belongs to one thread.
 */
struct log_limit {
	struct mono next;
	uint64_t held;
};
bool log_limit_ok(struct log_limit *l, struct mono now, uint64_t *suppressed);

/* The operator's mistake, at start-up only: one line on stderr, exit 2. */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Our broken invariant: one line on stderr, abort. Never for outside bytes. */
_Noreturn void bug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
