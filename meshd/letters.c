/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/letters.h"

#include <stdlib.h>

void
prober_letter_free(struct letter *l)
{
	struct prober_letter *p = (struct prober_letter *)(void *)l;

	if (p && p->kind == LETTER_RUN)
		loss_run_clear(&((struct run_letter *)(void *)l)->run);
	free(p);
}
