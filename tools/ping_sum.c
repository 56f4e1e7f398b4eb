/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/ping.h"

#include <stdlib.h>
#include <string.h>

/* The newest word on a run stands; a retracted one was none. */
static void
keep_run(struct ping_sum *sum, const struct loss_run *run)
{
	struct loss_run *more;
	size_t i = 0;

	while (i < sum->run_n && sum->run[i].run_id != run->run_id)
		i++;
	if (i < sum->run_n && run->state == LOSS_RUN_RETRACTED) {
		memmove(&sum->run[i], &sum->run[i + 1],
		        (--sum->run_n - i) * sizeof(*run));
	} else if (i < sum->run_n) {
		sum->run[i] = *run;
	} else if (run->state != LOSS_RUN_RETRACTED) {
		more = i < PING_RUNS_MAX
		           ? reallocarray(sum->run, i + 1, sizeof(*more))
		           : NULL;
		if (!more) {
			sum->runs_more += run->state == LOSS_RUN_CLOSED;
			return;
		}
		sum->run = more;
		sum->run[sum->run_n++] = *run;
	}
}

void
ping_sum_take_runs(struct ping_sum *sum, struct session *s)
{
	struct loss_run run;

	while (session_take_run(s, &run)) {
		loss_run_clear(&run);
		keep_run(sum, &run);
	}
}

void
ping_sum_take(struct ping_sum *sum, struct session *s)
{
	static struct result r; /* holds histograms: not on the stack */
	struct revision rev;

	while (session_take(s, &r)) {
		sum->stepped |= sum->has_result;
		if (!sum->has_result ||
		    r.v[METRIC_SENT] > sum->r.v[METRIC_SENT])
			sum->r = r;
		sum->has_result = true;
	}
	while (session_take_revision(s, &rev, NULL)) {
		int64_t *v = sum->r.v;

		if (rev.start.ns != sum->r.start.ns)
			continue;
		v[METRIC_LOST_FWD] = rev.lost_fwd;
		v[METRIC_LOST_BWD] = rev.lost_bwd;
		v[METRIC_LOST_UNDET] = rev.lost_undet;
	}
	ping_sum_take_runs(sum, s);
}

void
ping_sum_clear(struct ping_sum *p)
{
	free(p->run);
	p->run = NULL;
	p->run_n = 0;
}
