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

const struct limits limits_default = {
    .crit[LIMIT_LOSS] = {LIMIT_VALUE, STATE_BAD_PCT},
    .hysteresis = STATE_HYSTERESIS,
};

enum level { SAYS_NOTHING, GOOD, THIN, WARN, CRIT };

/* What an interval says of the cell. */
struct finding {
	enum level level;
	int64_t sent, failed, lost; /* packets that it speaks of */
	bool gathered;              /* over several intervals */
	enum limit_metric metric;   /* over which limit; LIMIT_LOSS: packets */
	float value, warn, crit;    /* the metric and its bounds, ms */
};

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
	    .floor_ms = {NAN, NAN, NAN, NAN},
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
is_share(int64_t part, int64_t whole, double pct)
{
	return (double)part * 100 >= pct * (double)whole;
}

static int64_t
count_of(const struct cell_input *in, enum metric m)
{
	int64_t v = in->v[m];

	/* Checked long before; a wrong one must not overflow here. */
	return v < 0 || v > INT32_MAX ? 0 : v;
}

static float
ms_of(const struct cell_input *in, enum metric m)
{
	int64_t v = in->v[m];

	return v == METRIC_NULL ? NAN : (float)((double)v / 1e6);
}

/* ---- the level of an interval ---- */

/* By packets; lost is an upper bound and at most sent. */
static enum level
level_of_loss(const struct limits *l, const struct finding *f)
{
	const struct limit *crit = &l->crit[LIMIT_LOSS],
	                   *warn = &l->warn[LIMIT_LOSS];
	const double pct =
	    crit->over == LIMIT_VALUE ? crit->value : STATE_BAD_PCT;

	if (f->failed >= STATE_BAD_LOST &&
	    is_share(f->failed, f->sent + f->failed, pct))
		return CRIT;
	if (f->sent == 0)
		return SAYS_NOTHING;
	if (f->lost > 0 && is_share(f->lost, f->sent, pct))
		return f->lost >= STATE_BAD_LOST ? CRIT : THIN;
	if (f->lost > 0 && warn->over == LIMIT_VALUE &&
	    is_share(f->lost, f->sent, warn->value))
		return WARN;
	return GOOD;
}

static const enum metric limit_source[LIMIT_N] = {
    [LIMIT_RTT] = METRIC_RTT_MEAN,
    [LIMIT_JITTER] = METRIC_FWD_IPDV,
    [LIMIT_DELAY] = METRIC_FWD_MEAN,
};

/* In milliseconds; NAN: there is none, or the floor is not known yet. */
static float
bound_of(const struct limit *l, float floor_ms)
{
	switch (l->over) {
	case LIMIT_VALUE:
		return (float)l->value;
	case LIMIT_FLOOR_PLUS:
		return floor_ms + (float)l->value;
	case LIMIT_FLOOR_TIMES:
		return floor_ms * (float)l->value;
	case LIMIT_NONE:
		break;
	}
	return NAN;
}

static bool
one_way_is_trusted(const struct cell_input *in)
{
	const int64_t both = RESULT_SYNC_SRC | RESULT_SYNC_DST;

	return (in->v[METRIC_FLAGS] & both) == both &&
	       in->v[METRIC_CLOCK_ERR] != METRIC_NULL;
}

/* Raises the level to that of a limit which a delay is over. */
static void
look_at_delays(const struct cell *c, const struct cell_input *in,
               const struct limits *l, struct finding *f)
{
	for (int m = LIMIT_RTT; m < LIMIT_N; m++) {
		const float v = ms_of(in, limit_source[m]);
		const float warn = bound_of(&l->warn[m], c->floor_ms[m]);
		const float crit = bound_of(&l->crit[m], c->floor_ms[m]);
		const enum level level = v > crit   ? CRIT
		                         : v > warn ? WARN
		                                    : GOOD;

		if (level <= f->level ||
		    (m == LIMIT_DELAY && !one_way_is_trusted(in)))
			continue;
		f->level = level;
		f->metric = (enum limit_metric)m;
		f->value = v;
		f->warn = warn;
		f->crit = crit;
	}
}

static struct finding
look_at(const struct cell *c, const struct cell_input *in,
        const struct limits *l, int64_t sent, int64_t lost)
{
	const bool limited = in->dst_limited || count_of(in, METRIC_FLAGS) &
	                                            (RESULT_HOST_LIMITED |
	                                             RESULT_DST_HOST_LIMITED);
	struct finding f = {.sent = sent,
	                    .failed = count_of(in, METRIC_SEND_FAILED),
	                    .lost = lost};

	f.level = level_of_loss(l, &f);
	if (f.level != SAYS_NOTHING)
		look_at_delays(c, in, l, &f);
	if (limited && f.level > GOOD)
		f.level = SAYS_NOTHING;
	return f;
}

/* ---- words ---- */

static void
describe_loss(const struct cell *c, const struct finding *f, bool again,
              char *out, size_t size)
{
	if (f->failed >= STATE_BAD_LOST && f->failed > f->lost)
		(void)snprintf(out, size,
		               "%" PRId64 " of %" PRId64
		               " packets could not be sent",
		               f->failed, f->sent + f->failed);
	else if (f->gathered)
		(void)snprintf(out, size,
		               "%" PRId64 " of %" PRId64
		               " packets lost over several intervals%s",
		               f->lost, f->sent,
		               again ? ", twice in a row" : "");
	else if (again && c->lost == f->lost && c->sent == f->sent)
		(void)snprintf(out, size,
		               "%" PRId64 " of %" PRId64
		               " packets lost in each of 2 intervals",
		               f->lost, f->sent);
	else if (again && c->lost > 0)
		(void)snprintf(out, size,
		               "%d of %d, then %" PRId64 " of %" PRId64
		               " packets lost in 2 intervals in a row",
		               c->lost, c->sent, f->lost, f->sent);
	else
		(void)snprintf(out, size,
		               "%" PRId64 " of %" PRId64
		               " packets lost in one interval",
		               f->lost, f->sent);
}

/* Digits that matter: on a LAN round trips are microseconds. */
static int
delay_decimals(double ms)
{
	return fabs(ms) < 1 ? 3 : 1;
}

/* Over which limit: that of the state it is a reason for. */
static void
describe_delay(const struct cell *c, const struct limits *l,
               const struct finding *f, enum level level, char *out,
               size_t size)
{
	static const char *const name[LIMIT_N] = {
	    [LIMIT_RTT] = "RTT",
	    [LIMIT_JITTER] = "jitter",
	    [LIMIT_DELAY] = "one-way delay",
	};
	const bool crit =
	    level == CRIT || l->warn[f->metric].over == LIMIT_NONE;
	const struct limit *limit =
	    crit ? &l->crit[f->metric] : &l->warn[f->metric];
	const double value = (double)f->value;
	const double most = (double)(crit ? f->crit : f->warn);
	const double floor_ms = (double)c->floor_ms[f->metric];
	int n =
	    snprintf(out, size, "%s %.*f ms, limit %.*f ms", name[f->metric],
	             delay_decimals(value), value, delay_decimals(most), most);

	if (n > 0 && (size_t)n < size && limit->over != LIMIT_VALUE)
		(void)snprintf(
		    out + n, size - (size_t)n, " (%.*f usually, %s %g)",
		    delay_decimals(floor_ms), floor_ms,
		    limit->over == LIMIT_FLOOR_PLUS ? "plus" : "times",
		    limit->value);
}

/* ---- the state ---- */

/* Where a streak that now has n intervals began. */
static struct wall
streak_start(const struct cell *c, const struct cell_input *in, int n)
{
	return n <= 1 || c->measured.ns == NS_UNKNOWN
	           ? in->start
	           : wall_add_ns(c->measured, -(n - 1) * in->interval_ns);
}

/* One more interval that is (not) so bad. */
static void
count_streak(int16_t *streak, bool bad, int most)
{
	int v = bad ? (*streak < 0 ? *streak : 0) - 1
	            : (*streak > 0 ? *streak : 0) + 1;

	*streak = (int16_t)(v > most ? most : v < -most ? -most : v);
}

/* The state after n intervals in a row; the cell's own while there are not. */
static enum cell_state
state_after(const struct cell *c, int n)
{
	if (c->streak <= -n)
		return CELL_CRIT;
	if (c->state == CELL_CRIT && c->streak < n)
		return CELL_CRIT;
	if (c->warn_streak <= -n)
		return CELL_WARN;
	if (c->warn_streak >= n ||
	    (c->state == CELL_UNJUDGED && c->warn_streak > 0))
		return CELL_OK;
	/* not critical any more, but not good for long enough */
	return c->state == CELL_CRIT ? CELL_WARN : c->state;
}

static void
apply_level(struct cell *c, const struct cell_input *in, const struct limits *l,
            const struct finding *f)
{
	const int n = l->hysteresis;
	const bool again =
	    f->level == CRIT ? c->streak < 0 : c->warn_streak < 0;
	char why[STATE_WHY_MAX] = "";
	enum cell_state state;

	if (f->level >= WARN && f->metric == LIMIT_LOSS)
		describe_loss(c, f, again, why, sizeof(why));
	count_streak(&c->streak, f->level == CRIT, n);
	count_streak(&c->warn_streak, f->level >= WARN, n);
	c->thin_lost = c->thin_sent = 0;
	state = state_after(c, n);
	if (f->level >= WARN && f->metric != LIMIT_LOSS)
		describe_delay(c, l, f, state == CELL_CRIT ? CRIT : WARN, why,
		               sizeof(why));
	if (!why[0] && state == CELL_WARN)
		(void)snprintf(why, sizeof(why),
		               "not critical any more, but not yet good in %d "
		               "intervals in a row",
		               n);
	if (state != c->state)
		cell_set_state(c, state, streak_start(c, in, n),
		               why[0] ? why : NULL);
	else if (f->level >= WARN && state != CELL_CRIT && state != CELL_WARN)
		set_why(c, why);
	if (state == CELL_OK && f->level == GOOD)
		set_why(c, NULL);
}

static void
apply_thin(struct cell *c, const struct cell_input *in, const struct limits *l,
           struct finding *f)
{
	c->thin_lost += (int32_t)f->lost;
	c->thin_sent += (int32_t)(f->sent < INT32_MAX / 2 ? f->sent : 0);
	if (c->thin_lost >= STATE_BAD_LOST) {
		f->level = CRIT;
		f->gathered = true;
		f->lost = c->thin_lost;
		f->sent = c->thin_sent;
		f->failed = 0;
		apply_level(c, in, l, f);
		return;
	}
	if (c->streak > 0)
		c->streak = 0;
	if (c->warn_streak > 0)
		c->warn_streak = 0;
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
	const struct limits *l = in->limits ? in->limits : &limits_default;
	int64_t sent = count_of(in, METRIC_SENT);
	int64_t lost =
	    count_of(in, METRIC_LOST_FWD) + count_of(in, METRIC_LOST_UNDET);
	struct finding f;

	if (lost > sent)
		lost = sent;
	if (c->measured.ns != NS_UNKNOWN) {
		if (in->start.ns + in->interval_ns <= c->measured.ns)
			return false;
		if (wall_diff_ns(in->start, c->measured) >
		    STREAK_HOLE * in->interval_ns)
			c->streak = c->warn_streak = 0,
			c->thin_lost = c->thin_sent = 0;
	}
	f = look_at(c, in, l, sent, lost);
	if (f.level == THIN)
		apply_thin(c, in, l, &f);
	else if (f.level != SAYS_NOTHING)
		apply_level(c, in, l, &f);
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
	c->streak = c->warn_streak = 0;
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
