/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Are the clocks of a mesh what they claim to be? No packet arrives before it
 * was sent: the smallest measured one-way delay i -> j is an upper bound of
 * offset_j - offset_i. From nodes whose clocks are declared good (references)
 * such bounds chain to every other node: its offset lies within a *feasible
 * interval*, by proof and without any assumption about symmetry (difference
 * constraints, solved as shortest paths).
 *
 * Only a node whose interval excludes what its clock claims is untrusted. A
 * least-squares estimate, which does assume symmetry, makes a node suspect at
 * most: a constant asymmetry of one site's access looks exactly like a clock
 * offset.
 */
#ifndef TWMESH_STATS_CLOCKAUDIT_H
#define TWMESH_STATS_CLOCKAUDIT_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Clocks drift while the minima of one interval are taken: two of 50 ppm by a
 * millisecond in 10 s at worst, disciplined ones by far less. */
#define CLOCKAUDIT_SLACK_NS (100 * NS_PER_US)

enum clock_verdict {
	CLOCK_UNKNOWN,        /* no chain of paths to a reference, both ways */
	CLOCK_REFERENCE,      /* declared good */
	CLOCK_TRUSTED,        /* its claim is feasible */
	CLOCK_UNSYNCHRONISED, /* it claims nothing */
	CLOCK_SUSPECT,        /* feasible, but unlikely unless asymmetric */
	CLOCK_UNTRUSTED,      /* its claim is impossible */
	CLOCK_INCONSISTENT,   /* impossible by itself: it stepped meanwhile */
	CLOCK_VERDICTS
};
const char *clock_verdict_str(enum clock_verdict v);

struct clock_claim {
	bool reference;
	bool synchronised; /* and then within max_error_ns (>= 0) of UTC */
	int64_t max_error_ns;
};

struct clock_finding {
	enum clock_verdict verdict;
	/* The feasible interval of clock - UTC; NS_UNKNOWN: no bound. */
	int64_t lo_ns, hi_ns;
	int64_t estimate_ns; /* NS_UNKNOWN without a two-way neighbour */
};

/*
 * min_ns[i * n + j]: smallest one-way delay measured from i to j (by either
 * end), NS_UNKNOWN where there is none; the diagonal is not read. False: out
 * of memory. Costs n * n times the longest chain, some 3.
 */
bool clockaudit_solve(size_t n, const int64_t *min_ns,
                      const struct clock_claim *claim,
                      struct clock_finding *out)
    __attribute__((warn_unused_result));

#endif
