/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hi_j is the least of (hi_i + min(i -> j)) over all i, starting from the
 * references at their own error; lo_i the greatest of (lo_j - min(i -> j)).
 * Bellman and Ford's rounds end when nothing moves; a bound that still moves
 * after n rounds lies on a cycle that no offsets can satisfy.
 */
#include "lib/stats/clockaudit.h"

#include <assert.h>
#include <stdlib.h>

#define NO_BOUND INT64_MAX
#define ESTIMATE_ROUNDS 60
/* An estimate so far beyond the claim is worth a look. */
#define SUSPECT_NS NS_PER_MS

static const char *const names[] = {"unknown",        "reference", "trusted",
                                    "unsynchronised", "suspect",   "untrusted",
                                    "inconsistent"};
static_assert(sizeof(names) / sizeof(names[0]) == CLOCK_VERDICTS,
              "a name each");

const char *
clock_verdict_str(enum clock_verdict v)
{
	return (unsigned)v < CLOCK_VERDICTS ? names[v] : "?";
}

struct audit {
	size_t n;
	const int64_t *min_ns;
	const struct clock_claim *claim;
	int64_t *hi, *minus_lo; /* NO_BOUND: none */
};

static int64_t
reference_bound(const struct clock_claim *c)
{
	if (!c->reference)
		return NO_BOUND;
	return c->synchronised && c->max_error_ns > 0 ? c->max_error_ns : 0;
}

/* Bound b[to] by b[from] + weight; true when it moved. */
static bool
relax(int64_t *b, size_t from, size_t to, int64_t weight_ns)
{
	int64_t via;

	if (b[from] == NO_BOUND || weight_ns == NS_UNKNOWN ||
	    __builtin_add_overflow(b[from], weight_ns, &via) || via >= b[to])
		return false;
	b[to] = via;
	return true;
}

static bool
round_of(struct audit *a)
{
	bool moved = false;

	for (size_t i = 0; i < a->n; i++) {
		for (size_t j = 0; j < a->n; j++) {
			int64_t w = a->min_ns[i * a->n + j];

			if (i == j || w == NS_UNKNOWN ||
			    __builtin_add_overflow(w, CLOCKAUDIT_SLACK_NS, &w))
				continue;
			if (!a->claim[j].reference)
				moved |= relax(a->hi, i, j, w);
			if (!a->claim[i].reference)
				moved |= relax(a->minus_lo, j, i, w);
		}
	}
	return moved;
}

/* offset_j - offset_i if the path were symmetric. */
static bool
half_difference(const struct audit *a, size_t i, size_t j, double *out)
{
	const int64_t there = a->min_ns[i * a->n + j];
	const int64_t back = a->min_ns[j * a->n + i];

	if (there == NS_UNKNOWN || back == NS_UNKNOWN)
		return false;
	*out = ((double)there - (double)back) / 2;
	return true;
}

/* Gauss and Seidel's rounds for the least squares; the references stay at 0,
 * and a node counts once a neighbour has an estimate. */
static void
estimate(const struct audit *a, double *at, bool *known)
{
	for (size_t i = 0; i < a->n; i++)
		known[i] = a->claim[i].reference;
	for (int r = 0; r < ESTIMATE_ROUNDS; r++) {
		for (size_t j = 0; j < a->n; j++) {
			double sum = 0, d;
			size_t m = 0;

			if (a->claim[j].reference)
				continue;
			for (size_t i = 0; i < a->n; i++) {
				if (i == j || !known[i] ||
				    !half_difference(a, i, j, &d))
					continue;
				sum += at[i] + d;
				m++;
			}
			if (m > 0) {
				at[j] = sum / (double)m;
				known[j] = true;
			}
		}
	}
}

static enum clock_verdict
judge(const struct clock_claim *c, const struct clock_finding *f)
{
	const int64_t err = c->max_error_ns > 0 ? c->max_error_ns : 0;

	if (c->reference)
		return CLOCK_REFERENCE;
	if (f->lo_ns != NS_UNKNOWN && f->hi_ns != NS_UNKNOWN &&
	    f->lo_ns > f->hi_ns)
		return CLOCK_INCONSISTENT;
	if (!c->synchronised)
		return CLOCK_UNSYNCHRONISED;
	if ((f->lo_ns != NS_UNKNOWN && f->lo_ns > err) ||
	    (f->hi_ns != NS_UNKNOWN && f->hi_ns < -err))
		return CLOCK_UNTRUSTED;
	if (f->lo_ns == NS_UNKNOWN || f->hi_ns == NS_UNKNOWN)
		return CLOCK_UNKNOWN;
	if (f->estimate_ns != NS_UNKNOWN &&
	    (f->estimate_ns > err + SUSPECT_NS ||
	     f->estimate_ns < -err - SUSPECT_NS))
		return CLOCK_SUSPECT;
	return CLOCK_TRUSTED;
}

static void
conclude(const struct audit *a, const double *at, const bool *known,
         bool unstable, struct clock_finding *out)
{
	for (size_t i = 0; i < a->n; i++) {
		struct clock_finding *f = &out[i];

		f->hi_ns = a->hi[i] == NO_BOUND ? NS_UNKNOWN : a->hi[i];
		f->lo_ns =
		    a->minus_lo[i] == NO_BOUND ? NS_UNKNOWN : -a->minus_lo[i];
		f->estimate_ns = known[i] ? (int64_t)at[i] : NS_UNKNOWN;
		f->verdict = judge(&a->claim[i], f);
		if (unstable && f->verdict != CLOCK_REFERENCE &&
		    f->verdict != CLOCK_UNTRUSTED)
			f->verdict = CLOCK_INCONSISTENT;
	}
}

bool
clockaudit_solve(size_t n, const int64_t *min_ns,
                 const struct clock_claim *claim, struct clock_finding *out)
{
	struct audit a = {n, min_ns, claim, NULL, NULL};
	double *at = calloc(n + 1, sizeof(*at));
	bool *known = calloc(n + 1, sizeof(*known));
	bool moved = true, ok = false;

	a.hi = calloc(n + 1, sizeof(*a.hi));
	a.minus_lo = calloc(n + 1, sizeof(*a.minus_lo));
	if (!at || !known || !a.hi || !a.minus_lo)
		goto out;
	for (size_t i = 0; i < n; i++)
		a.hi[i] = a.minus_lo[i] = reference_bound(&claim[i]);
	for (size_t r = 0; moved && r <= n; r++)
		moved = round_of(&a);
	estimate(&a, at, known);
	conclude(&a, at, known, moved, out);
	ok = true;
out:
	free(at);
	free(known);
	free(a.hi);
	free(a.minus_lo);
	return ok;
}
