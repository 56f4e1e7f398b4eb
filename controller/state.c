/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A hole of more intervals than this ends "in a row". */
#define STREAK_HOLE 3

const enum metric cell_metrics[] = {
    METRIC_SENT,     METRIC_SEND_FAILED, METRIC_LOST_FWD,  METRIC_LOST_UNDET,
    METRIC_FWD_MEAN, METRIC_FWD_IPDV,    METRIC_RTT_MEAN,  METRIC_RTT_P99,
    METRIC_FWD_HOPS, METRIC_FLAGS,       METRIC_CLOCK_ERR, METRIC_LOST_BWD,
    METRIC_BWD_MEAN, METRIC_BWD_IPDV,    METRIC_FWD_MIN,   METRIC_BWD_MIN,
};
const size_t cell_metrics_n = sizeof(cell_metrics) / sizeof(cell_metrics[0]);

enum verdict { SAYS_NOTHING, GOOD, THIN, BAD };

void
cell_clear(struct cell *c)
{
	free(c->why);
	c->why = NULL;
}

void
cell_reset(struct cell *c, int32_t generation)
{
	cell_clear(c);
	*c = (struct cell){
	    .generation = generation,
	    .measured = {NS_UNKNOWN},
	    .since = {NS_UNKNOWN},
	    .hops = -1,
	    .delay_ms = NAN,
	    .jitter_ms = NAN,
	    .rtt_ms = NAN,
	    .rtt_p99_ms = NAN,
	    .clock_err_ms = NAN,
	    .back_delay_ms = NAN,
	    .back_jitter_ms = NAN,
	    .fwd_min_ms = NAN,
	    .bwd_min_ms = NAN,
	};
}

/* Out of memory: the state stands without its words. */
static void
set_why(struct cell *c, const char *text)
{
	free(c->why);
	c->why = text ? strdup(text) : NULL;
}

static void
cell_set_state(struct cell *c, enum cell_state state, struct wall since,
               const char *why)
{
	if (c->state == state)
		return;
	c->state = state;
	c->since = since;
	set_why(c, why);
}

static bool
is_share(int64_t part, int64_t whole)
{
	return part * STATE_BAD_PER_SENT >= whole;
}

static int64_t
count_of(const struct cell_input *in, enum metric m)
{
	int64_t v = in->v[m];

	/* Checked long before; a wrong one must not overflow here. */
	return v < 0 || v > INT32_MAX ? 0 : v;
}

static enum verdict
judge(int64_t sent, int64_t failed, int64_t lost, bool limited)
{
	enum verdict v;

	if (failed >= STATE_BAD_LOST && is_share(failed, sent + failed))
		v = BAD;
	else if (sent == 0)
		return SAYS_NOTHING;
	else if (lost == 0 || !is_share(lost, sent))
		return GOOD;
	else
		v = lost >= STATE_BAD_LOST ? BAD : THIN;
	return limited ? SAYS_NOTHING : v;
}

static void
describe_bad(const struct cell *c, int64_t sent, int64_t failed, int64_t lost,
             bool gathered, char *out, size_t size)
{
	bool twice = c->streak < 0;

	if (failed >= STATE_BAD_LOST && is_share(failed, sent + failed))
		(void)snprintf(out, size,
		               "%" PRId64 " of %" PRId64
		               " packets could not be sent",
		               failed, sent + failed);
	else if (gathered)
		(void)snprintf(out, size,
		               "%" PRId64 " of %" PRId64
		               " packets lost over several intervals%s",
		               lost, sent, twice ? ", twice in a row" : "");
	else if (twice && c->lost == lost && c->sent == sent)
		(void)snprintf(out, size,
		               "%" PRId64 " of %" PRId64
		               " packets lost in each of 2 intervals",
		               lost, sent);
	else if (twice && c->lost >= STATE_BAD_LOST)
		(void)snprintf(out, size,
		               "%d of %d, then %" PRId64 " of %" PRId64
		               " packets lost in 2 intervals in a row",
		               c->lost, c->sent, lost, sent);
	else
		(void)snprintf(out, size,
		               "%" PRId64 " of %" PRId64
		               " packets lost in one interval",
		               lost, sent);
}

/* Where a streak that now has two intervals began. */
static struct wall
streak_start(const struct cell *c, const struct cell_input *in)
{
	return c->measured.ns == NS_UNKNOWN
	           ? in->start
	           : wall_add_ns(c->measured, -in->interval_ns);
}

static void
on_bad(struct cell *c, const struct cell_input *in, int64_t sent,
       int64_t failed, int64_t lost, bool gathered)
{
	char why[STATE_WHY_MAX];

	describe_bad(c, sent, failed, lost, gathered, why, sizeof(why));
	c->streak = (int16_t)(c->streak < 0 ? -STATE_STREAK : -1);
	c->thin_lost = c->thin_sent = 0;
	if (c->streak <= -STATE_STREAK)
		cell_set_state(c, CELL_CRIT, streak_start(c, in), why);
	else if (c->state != CELL_CRIT)
		set_why(c, why);
}

static void
on_good(struct cell *c, const struct cell_input *in)
{
	c->streak = (int16_t)(c->streak > 0 ? STATE_STREAK : 1);
	c->thin_lost = c->thin_sent = 0;
	if (c->state == CELL_UNJUDGED)
		cell_set_state(c, CELL_OK, in->start, NULL);
	else if (c->streak >= STATE_STREAK)
		cell_set_state(c, CELL_OK, streak_start(c, in), NULL);
	if (c->state == CELL_OK)
		set_why(c, NULL);
}

static void
on_thin(struct cell *c, const struct cell_input *in, int64_t sent, int64_t lost)
{
	c->thin_lost += (int32_t)lost;
	c->thin_sent += (int32_t)(sent < INT32_MAX / 2 ? sent : 0);
	if (c->thin_lost >= STATE_BAD_LOST) {
		on_bad(c, in, c->thin_sent, 0, c->thin_lost, true);
		return;
	}
	if (c->streak > 0)
		c->streak = 0;
}

static float
ms_of(const struct cell_input *in, enum metric m)
{
	int64_t v = in->v[m];

	return v == METRIC_NULL ? NAN : (float)((double)v / 1e6);
}

static void
take_numbers(struct cell *c, const struct cell_input *in, int64_t sent,
             int64_t lost)
{
	int64_t hops = in->v[METRIC_FWD_HOPS];
	int64_t undet = count_of(in, METRIC_LOST_UNDET);

	c->measured = wall_add_ns(in->start, in->interval_ns);
	c->flags = (uint16_t)(count_of(in, METRIC_FLAGS) & 0x3fff);
	if (in->backfilled)
		c->flags |= CELL_BACKFILLED;
	c->hops = (int16_t)(hops >= 0 && hops <= 255 ? hops : -1);
	c->sent = (int32_t)sent;
	c->lost = (int32_t)lost;
	c->epoch = (int32_t)(in->epoch & INT32_MAX);
	c->lost_undet = (int32_t)undet;
	c->delay_ms = ms_of(in, METRIC_FWD_MEAN);
	c->jitter_ms = ms_of(in, METRIC_FWD_IPDV);
	c->rtt_ms = ms_of(in, METRIC_RTT_MEAN);
	c->rtt_p99_ms = ms_of(in, METRIC_RTT_P99);
	c->clock_err_ms = ms_of(in, METRIC_CLOCK_ERR);
	c->lost_bwd = (int32_t)count_of(in, METRIC_LOST_BWD);
	if (c->lost_bwd > c->sent - c->lost)
		c->lost_bwd = c->sent - c->lost;
	c->back_delay_ms = ms_of(in, METRIC_BWD_MEAN);
	c->back_jitter_ms = ms_of(in, METRIC_BWD_IPDV);
	c->fwd_min_ms = ms_of(in, METRIC_FWD_MIN);
	c->bwd_min_ms = ms_of(in, METRIC_BWD_MIN);
}

bool
cell_apply(struct cell *c, const struct cell_input *in)
{
	int64_t sent = count_of(in, METRIC_SENT);
	int64_t failed = count_of(in, METRIC_SEND_FAILED);
	int64_t lost =
	    count_of(in, METRIC_LOST_FWD) + count_of(in, METRIC_LOST_UNDET);
	bool limited = in->dst_limited ||
	               count_of(in, METRIC_FLAGS) &
	                   (RESULT_HOST_LIMITED | RESULT_DST_HOST_LIMITED);

	if (lost > sent)
		lost = sent;
	if (c->measured.ns != NS_UNKNOWN) {
		if (in->start.ns + in->interval_ns <= c->measured.ns)
			return false;
		if (wall_diff_ns(in->start, c->measured) >
		    STREAK_HOLE * in->interval_ns)
			c->streak = 0, c->thin_lost = c->thin_sent = 0;
	}
	switch (judge(sent, failed, lost, limited)) {
	case SAYS_NOTHING:
		break;
	case GOOD:
		on_good(c, in);
		break;
	case THIN:
		on_thin(c, in, sent, lost);
		break;
	case BAD:
		on_bad(c, in, sent, failed, lost, false);
		break;
	}
	take_numbers(c, in, sent, lost);
	return true;
}

bool
cell_apply_run(struct cell *c, const struct cell_run *r)
{
	char why[STATE_WHY_MAX];

	if (r->lasted_ns < STATE_RUN_NS || r->lost < STATE_BAD_LOST)
		return false;
	/* before the first result there is no state; after later ones it is
	 * old news */
	if (c->measured.ns == NS_UNKNOWN ||
	    wall_diff_ns(c->measured, r->end) > r->interval_ns)
		return false;
	if (c->state == CELL_CRIT && c->streak <= 0)
		return false;
	(void)snprintf(why, sizeof(why),
	               "no reply for %.1f s (loss run %016" PRIx64 ")",
	               (double)r->lasted_ns / 1e9, r->run_id);
	c->streak = 0;
	c->thin_lost = c->thin_sent = 0;
	cell_set_state(c, CELL_CRIT, r->first, why);
	return true;
}

bool
cell_revise(struct cell *c, struct wall end, int64_t lost_fwd, int64_t lost_bwd,
            int64_t lost_undet)
{
	const int64_t lost = lost_fwd + lost_undet;

	if (c->measured.ns != end.ns || lost_fwd < 0 || lost_undet < 0 ||
	    lost > c->lost || lost_undet > c->lost_undet || lost_bwd < 0 ||
	    lost_bwd > c->sent - lost)
		return false;
	c->lost = (int32_t)lost;
	c->lost_bwd = (int32_t)lost_bwd;
	c->lost_undet = (int32_t)lost_undet;
	return true;
}
