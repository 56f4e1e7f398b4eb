/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/lossrun.h"

#include <assert.h>
#include <stdlib.h>

static const char *const state_name[] = {"open", "confirmed", "closed",
                                         "retracted"};
static_assert(sizeof(state_name) / sizeof(state_name[0]) == LOSS_RUN_STATES,
              "a name each");
static const char *const fate_name[] = {"received", "fwd", "bwd",
                                        "undetermined", "late"};
static_assert(sizeof(fate_name) / sizeof(fate_name[0]) == FATE_N,
              "a name each");

const char *
loss_run_state_str(enum loss_run_state s)
{
	return (unsigned)s < LOSS_RUN_STATES ? state_name[s] : "?";
}

const char *
packet_fate_str(enum packet_fate f)
{
	return (unsigned)f < FATE_N ? fate_name[f] : "?";
}

void
loss_run_clear(struct loss_run *r)
{
	free(r->packet);
	r->packet = NULL;
	r->packet_n = 0;
}
