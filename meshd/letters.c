/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/letters.h"

#include <stdlib.h>

/* As lib/stats judges steps: more is no slew. */
#define STEP_NS (10 * NS_PER_MS)

bool
letters_same_clock(int64_t a_ns, int64_t b_ns)
{
	int64_t d;

	if (a_ns == NS_UNKNOWN || b_ns == NS_UNKNOWN)
		return a_ns == b_ns;
	return !__builtin_sub_overflow(a_ns, b_ns, &d) && d <= STEP_NS &&
	       d >= -STEP_NS;
}

void
prober_letter_free(struct letter *l)
{
	struct prober_letter *p = (struct prober_letter *)(void *)l;

	if (p && p->kind == LETTER_RUN)
		loss_run_clear(&((struct run_letter *)(void *)l)->run);
	free(p);
}
