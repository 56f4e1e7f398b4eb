/* SPDX-License-Identifier: BSD-2-Clause */
/* What the session ought to find, straight from the definitions. */
#include "tests/unit/world.h"

/* The copies made on the way back of one reply arrive as one. */
static bool
is_reply(const struct world_reply *a, const struct world_reply *b)
{
	return a->pkt == b->pkt && a->instance == b->instance &&
	       a->r.reflector_seq == b->r.reflector_seq;
}

static void
judge_replies(struct world *w)
{
	for (size_t k = 0; k < w->replies; k++) {
		const struct world_reply *y = &w->reply[k];
		struct world_pkt *p = &w->pkt[y->pkt];
		const bool in_time =
		    y->t4_ns - p->t1_ns <= w->c.p.loss_timeout_ns;

		if (!y->of_copy && p->of_first_copy < 0 && in_time)
			p->of_first_copy = (int64_t)k;
		if (p->first >= 0)
			continue;
		p->first = (int64_t)k;
		p->received = in_time;
		p->late = !in_time;
	}
}

/* When the interval of the packet closes. */
static int64_t
close_of(const struct world *w, const struct world_pkt *p)
{
	const int64_t n = w->c.p.interval_ns;

	return (p->sched_ns / n + 1) * n + w->c.p.loss_timeout_ns + 500 * MS;
}

/* Did the reply that tells when `y` really left arrive, and in time? */
static bool
is_followed_up(const struct world *w, const struct world_reply *y)
{
	const int64_t until = close_of(w, &w->pkt[y->pkt]);

	for (size_t k = 0; k < w->replies; k++) {
		const struct world_reply *z = &w->reply[k];

		if (z->instance == y->instance && z->t4_ns <= until &&
		    w->pkt[z->pkt].flow == w->pkt[y->pkt].flow &&
		    z->r.follow_up &&
		    z->r.follow_up_seq == y->r.reflector_seq && !is_reply(y, z))
			return true;
	}
	return false;
}

static void
judge_delays(struct world *w)
{
	for (uint32_t i = 0; i < w->c.packets; i++) {
		struct world_pkt *p = &w->pkt[i];
		const struct world_reply *y;
		int64_t t3;

		if (!p->received)
			continue;
		y = &w->reply[p->first];
		p->corrected = is_followed_up(w, y);
		t3 = p->corrected ? y->true_t3_ns : y->t3_ns;
		p->fwd_ns = y->t2_ns - p->t1_ns;
		p->bwd_ns = y->t4_ns - t3;
		p->rtt_ns = p->fwd_ns + p->bwd_ns;
	}
}

/* RFC 4737 on the way there: in order of arrival at the reflector. */
static void
judge_overtaken(struct world *w)
{
	for (uint32_t i = 0; i < w->c.packets; i++) {
		struct world_pkt *p = &w->pkt[i];
		int64_t first_ns = INT64_MAX; /* earliest with a larger one */

		for (uint32_t j = i + 1; j < w->c.packets; j++) {
			const struct world_pkt *q = &w->pkt[j];

			if (q->reached_ns >= 0 && q->flow == p->flow &&
			    q->reached_ns < p->reached_ns &&
			    q->reached_ns < first_ns)
				first_ns = q->reached_ns;
		}
		if (first_ns == INT64_MAX)
			continue;
		for (uint32_t j = 0; j < w->c.packets; j++) {
			const struct world_pkt *q = &w->pkt[j];

			p->overtaken += q->flow == p->flow &&
			                q->reached_ns >= first_ns &&
			                q->reached_ns < p->reached_ns;
		}
	}
}

void
world_judge(struct world *w)
{
	judge_replies(w);
	judge_delays(w);
	judge_overtaken(w);
}
