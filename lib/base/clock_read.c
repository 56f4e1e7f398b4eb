/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/clock_read.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

/* Two reads of a clock lie 50 to 80 ns apart (under 1 us where they are system
 * calls), unless something came between; that comes once in ten thousand times
 * on a busy host, hardly twice. */
#define PAIR_WIDTH_NS 2000
#define PAIR_TRIES 4
/* Less than a suspended host sleeps, more than two reads lie apart. */
#define SLEEP_MIN_NS (100 * NS_PER_MS)

static _Atomic int64_t test_offset_ns;
/* Instead of the kernel's word; NS_UNKNOWN: ask it. */
static _Atomic int64_t test_claim_ns = NS_UNKNOWN;

static int64_t
timespec_ns(struct timespec ts)
{
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t
read_ns(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		abort(); /* both clocks exist on every Linux */
	return timespec_ns(ts);
}

struct mono
clock_mono(void)
{
	return (struct mono){read_ns(CLOCK_MONOTONIC)};
}

struct wall
clock_wall(void)
{
	return (struct wall){read_ns(CLOCK_REALTIME) + test_offset_ns};
}

/*
 * A pair is as wrong as half the time that passed between its two monotonic
 * reads: less than 0.1 us, or the milliseconds of whoever got the processor in
 * between. The narrowest of a few is taken.
 */
struct clock_pair
clock_now(void)
{
	struct clock_pair best = {{0}, {0}};
	int64_t narrowest = INT64_MAX;

	for (int i = 0; i < PAIR_TRIES && narrowest > PAIR_WIDTH_NS; i++) {
		const int64_t m1 = read_ns(CLOCK_MONOTONIC);
		const struct wall w = clock_wall();
		const int64_t m2 = read_ns(CLOCK_MONOTONIC);

		if (m2 - m1 >= narrowest)
			continue;
		narrowest = m2 - m1;
		best = (struct clock_pair){w, {m1 + (m2 - m1) / 2}};
	}
	return best;
}

struct wall
clock_wall_from_kernel(struct timespec ts)
{
	return (struct wall){timespec_ns(ts) + test_offset_ns};
}

int64_t
clock_slept_ns(void)
{
	int64_t slept = read_ns(CLOCK_BOOTTIME);

	slept -= read_ns(CLOCK_MONOTONIC);
	/* The reads lie apart, and nobody sleeps for less than this. */
	return slept > SLEEP_MIN_NS ? slept : 0;
}

static int
nibble(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "cbb8a49e-2e0c-4a0c-8c6a-7c2e5d2f3b11" */
bool
clock_boot_id(uint8_t out[BOOT_ID_BYTES])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	uint8_t id[BOOT_ID_BYTES] = {0};
	unsigned n = 0;
	int c;

	if (!f)
		return false;
	while (n < 2 * BOOT_ID_BYTES && (c = getc(f)) != EOF) {
		if (c == '-')
			continue;
		if (nibble(c) < 0)
			break;
		id[n / 2] = (uint8_t)(id[n / 2] << 4 | nibble(c));
		n++;
	}
	(void)fclose(f);
	if (n < 2 * BOOT_ID_BYTES)
		return false;
	memcpy(out, id, sizeof(id));
	return true;
}

struct clock_mark
clock_mark_now(void)
{
	const struct clock_pair now = clock_now();
	struct clock_mark m = {.ns = now.wall.ns - now.mono.ns};

	m.ns -= clock_slept_ns();
	m.known = clock_boot_id(m.boot_id);
	return m;
}

struct clock_quality
clock_quality_read(int64_t floor_ns)
{
	struct timex tx = {.modes = 0};
	struct clock_quality q = {test_claim_ns, true};

	if (q.max_error_ns == NS_UNKNOWN) {
		const int state = ntp_adjtime(&tx);

		if (state < 0 || state == TIME_ERROR ||
		    (tx.status & STA_UNSYNC))
			return (struct clock_quality){NS_UNKNOWN, false};
		q.max_error_ns = (int64_t)tx.maxerror * NS_PER_US;
	}
	if (q.max_error_ns < floor_ns)
		q.max_error_ns = floor_ns;
	return q;
}

static bool
parse_offset(const char *text, int64_t *out_ns)
{
	char *end;
	double s;

	errno = 0;
	s = strtod(text, &end);
	if (end == text || (*end != '\0' && *end != '\n') || errno != 0 ||
	    !isfinite(s) || fabs(s) > 8e9)
		return false;
	*out_ns = (int64_t)(s * 1e9);
	return true;
}

const char *
clock_test_init(void)
{
	const char *env = getenv("TWMESH_TEST_CLOCK_OFFSET");
	const char *error = getenv("TWMESH_TEST_CLOCK_ERROR");
	int64_t off = test_offset_ns, claim = test_claim_ns;

	if (env && !parse_offset(env, &off))
		return "TWMESH_TEST_CLOCK_OFFSET";
	if (error && (!parse_offset(error, &claim) || claim < 0))
		return "TWMESH_TEST_CLOCK_ERROR";
	test_offset_ns = off;
	test_claim_ns = claim;
	return NULL;
}

void
clock_test_poll(void)
{
	const char *path = getenv("TWMESH_TEST_CLOCK_FILE");
	char line[64];
	int64_t off;
	FILE *f;

	if (!path)
		return;
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(line, sizeof(line), f) && parse_offset(line, &off))
		test_offset_ns = off;
	(void)fclose(f);
}

int64_t
clock_test_offset_ns(void)
{
	return test_offset_ns;
}

char *
clock_format_utc(struct wall w, char *out, unsigned size)
{
	int64_t s = w.ns / NS_PER_S, frac = w.ns % NS_PER_S;
	struct tm tm;
	time_t t;
	size_t n;

	if (frac < 0) {
		frac += NS_PER_S;
		s--;
	}
	t = (time_t)s;
	if (!gmtime_r(&t, &tm)) {
		(void)snprintf(out, size, "?");
		return out;
	}
	n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + n, size - n, ".%03dZ", (int)(frac / NS_PER_MS));
	return out;
}
