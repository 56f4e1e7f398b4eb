/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/log.h"

#include "lib/base/clock_read.h"
#include "lib/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024 /* a longer line is cut: logs stay one-line */

static struct {
	const char *program; /* borrowed */
	enum log_level max;
	bool journal;
} logger = {"twmesh", LOG_LV_INFO, false};

static const char *const level_name[] = {"error", "warn", "info", "debug"};
static const int level_syslog[] = {3, 4, 6, 7};

void
log_init(const char *program, enum log_level max)
{
	logger.program = program;
	logger.max = max;
	logger.journal = getenv("JOURNAL_STREAM") != NULL;
}

bool
log_level_parse(const char *name, enum log_level *out)
{
	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(name, level_name[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static void
emit(enum log_level lv, const char *msg)
{
	char line[LINE_MAX_BYTES + 128], when[40];
	int n;

	if (logger.journal)
		n = snprintf(line, sizeof(line), "<%d>%s\n", level_syslog[lv],
		             msg);
	else
		n = snprintf(line, sizeof(line), "%s %s %s: %s\n",
		             clock_format_utc(clock_wall(), when, sizeof(when)),
		             logger.program, level_name[lv], msg);
	if (n > 0) /* one write: lines of several processes do not mix */
		(void)!write(STDERR_FILENO, line, (size_t)n);
}

static void vlog(enum log_level lv, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
vlog(enum log_level lv, const char *fmt, va_list ap)
{
	char msg[LINE_MAX_BYTES];

	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	text_make_printable(msg);
	emit(lv, msg);
}

void
log_at(enum log_level lv, const char *fmt, ...)
{
	va_list ap;

	if (lv > logger.max)
		return;
	va_start(ap, fmt);
	vlog(lv, fmt, ap);
	va_end(ap);
}

bool
log_limit_ok(struct log_limit *l, struct mono now, uint64_t *suppressed)
{
	if (l->next.ns != 0 && now.ns < l->next.ns) {
		l->held++;
		return false;
	}
	*suppressed = l->held;
	l->held = 0;
	l->next = mono_add_ns(now, 60 * NS_PER_S);
	return true;
}

void
die(const char *fmt, ...)
{
	char msg[LINE_MAX_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	text_make_printable(msg);
	(void)fflush(stdout);
	(void)fprintf(stderr, "%s: %s\n", logger.program, msg);
	exit(2);
}

void
bug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_LV_ERROR, fmt, ap);
	va_end(ap);
	abort();
}
