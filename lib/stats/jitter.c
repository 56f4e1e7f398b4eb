/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/jitter.h"

#include <math.h>

int64_t
delay_ns(int64_t a_ns, int64_t b_ns)
{
	int64_t d;

	if (__builtin_sub_overflow(a_ns, b_ns, &d) || d >= DELAY_LIMIT_NS ||
	    d <= -DELAY_LIMIT_NS)
		return NS_UNKNOWN;
	return d;
}

void
delay_acc_add(struct delay_acc *a, int64_t d_ns)
{
	if (a->n == 0)
		a->first_ns = a->min_ns = a->max_ns = d_ns;
	if (d_ns < a->min_ns)
		a->min_ns = d_ns;
	if (d_ns > a->max_ns)
		a->max_ns = d_ns;
	a->sum_ns += (double)(d_ns - a->first_ns);
	a->n++;
}

int64_t
delay_acc_mean_ns(const struct delay_acc *a)
{
	return a->n ? a->first_ns + llround(a->sum_ns / (double)a->n)
	            : NS_UNKNOWN;
}

int64_t
delay_acc_min_ns(const struct delay_acc *a)
{
	return a->n ? a->min_ns : NS_UNKNOWN;
}

int64_t
delay_acc_max_ns(const struct delay_acc *a)
{
	return a->n ? a->max_ns : NS_UNKNOWN;
}

bool
jitter_add(struct jitter *j, int64_t d_ns)
{
	const bool moved = j->has_prev;

	if (moved) {
		const double d = fabs((double)(d_ns - j->prev_ns));

		j->j_ns += (d - j->j_ns) / 16.0;
	}
	j->prev_ns = d_ns;
	j->has_prev = true;
	return moved;
}

void
jitter_cut(struct jitter *j)
{
	j->has_prev = false;
}

int64_t
jitter_round_ns(double j_ns)
{
	return llround(j_ns);
}
