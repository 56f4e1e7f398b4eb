/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/prober.h"

#include <stdlib.h>

void
plan_free(struct plan *p)
{
	if (!p)
		return;
	roster_clear(&p->roster);
	free(p);
}
