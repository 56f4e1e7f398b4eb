/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instants. Wall time (CLOCK_REALTIME, which may step) and monotonic time are
 * different types, so that mixing them does not compile. Both count
 * nanoseconds; durations are plain int64_t named *_ns. Nothing here reads a
 * clock (that is clock_read.h): code that only computes stays testable from
 * plain arrays.
 */
#ifndef TWMESH_BASE_CLOCK_H
#define TWMESH_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

/* "Not known": no duration or instant we handle comes near it. */
#define NS_UNKNOWN INT64_MIN

struct wall {
	int64_t ns; /* since 1970-01-01T00:00:00Z, without leap seconds */
};

struct mono {
	int64_t ns; /* since an arbitrary start (boot), never steps */
};

/* Both clocks read together, so that one can be told from the other. */
struct clock_pair {
	struct wall wall;
	struct mono mono;
};

static inline int64_t
wall_diff_ns(struct wall a, struct wall b)
{
	return a.ns - b.ns;
}

static inline int64_t
mono_diff_ns(struct mono a, struct mono b)
{
	return a.ns - b.ns;
}

static inline struct wall
wall_add_ns(struct wall a, int64_t d_ns)
{
	return (struct wall){a.ns + d_ns};
}

static inline struct mono
mono_add_ns(struct mono a, int64_t d_ns)
{
	return (struct mono){a.ns + d_ns};
}

/* The monotonic instant of a wall instant, by a pair read near both. */
static inline struct mono
wall_to_mono(struct wall w, struct clock_pair near)
{
	return (struct mono){near.mono.ns + (w.ns - near.wall.ns)};
}

static inline struct wall
mono_to_wall(struct mono m, struct clock_pair near)
{
	return (struct wall){near.wall.ns + (m.ns - near.mono.ns)};
}

/* a moved by d_ns, whatever they are: a step is as large as it likes, and the
 * way back undoes it. */
static inline struct wall
wall_moved(struct wall a, int64_t d_ns)
{
	return (struct wall){(int64_t)((uint64_t)a.ns + (uint64_t)d_ns)};
}

/*
 * Which wall clock dates something: wall - CLOCK_BOOTTIME, of one boot of the
 * kernel. The difference of two marks is how far the clock was moved between
 * them, whoever compares them and when.
 */
#define BOOT_ID_BYTES 16
struct clock_mark {
	_Bool known; /* else the rest is not valid */
	int64_t ns;
	uint8_t boot_id[BOOT_ID_BYTES];
};

/* The clock's own claim about itself, for Error Estimates. */
struct clock_quality {
	int64_t
	    max_error_ns;   /* bound of |clock - UTC|; NS_UNKNOWN if unknown */
	_Bool synchronised; /* disciplined by an external source */
};

#endif
