/* SPDX-License-Identifier: BSD-2-Clause */
#include "reflector/stall.h"

/* More than reading two clocks, or NTP's slewing, sets them apart. */
#define STEP_NS (10 * NS_PER_MS)
#define SLEW_PPM 1000
/* The packet before counts only if it was in the same queue. */
#define DROPS_BACK_NS (10 * NS_PER_S)

static void
note(struct stalls *s, struct stall e)
{
	struct stall *last = &s->ring[s->newest];

	if (s->n > 0 && wall_diff_ns(e.from, last->from) >= 0 &&
	    wall_diff_ns(e.from, last->to) <= STALL_GAP_NS) {
		if (wall_diff_ns(e.to, last->to) > 0)
			last->to = e.to;
		last->drops += e.drops;
		last->held += e.held;
		return;
	}
	if (s->n > 0)
		s->newest = (s->newest + 1) % STALLS_MAX;
	if (s->n < STALLS_MAX)
		s->n++;
	s->ring[s->newest] = e;
}

void
stalls_on_second(struct stalls *s, struct clock_pair now)
{
	s->before = now;
}

static bool
clock_was_set(const struct stalls *s, struct clock_pair now)
{
	const int64_t passed = mono_diff_ns(now.mono, s->before.mono);
	const int64_t moved = wall_diff_ns(now.wall, s->before.wall) - passed;
	const int64_t bound = STEP_NS + passed / 1000000 * SLEW_PPM;

	return s->before.mono.ns != 0 && (moved > bound || moved < -bound);
}

bool
stalls_on_packet(struct stalls *s, struct wall stamp, struct clock_pair now)
{
	if (wall_diff_ns(now.wall, stamp) <= STALL_HELD_NS ||
	    clock_was_set(s, now))
		return false;
	note(s, (struct stall){stamp, now.wall, 0, 1});
	return true;
}

void
stalls_on_drops(struct stalls *s, uint64_t n, struct wall before,
                struct wall first, struct wall now)
{
	const int64_t gap = wall_diff_ns(first, before);
	const bool follows = before.ns != 0 && gap >= 0 && gap <= DROPS_BACK_NS;

	note(s, (struct stall){follows ? before : first, now, n, 0});
}

const struct stall *
stalls_at(const struct stalls *s, size_t i)
{
	return &s->ring[(s->newest + STALLS_MAX - i) % STALLS_MAX];
}
