/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/emu/impair.h"

#include <assert.h>
#include <math.h>

static const char *const names[] = {"sent",          "dup",
                                    "reordered",     "lost:no-link",
                                    "lost:blackout", "lost:nth",
                                    "lost:random",   "lost:burst",
                                    "lost:ttl",      "lost:queue-full",
                                    "lost:emulator", "lost:end"};
static_assert(sizeof(names) / sizeof(names[0]) == FATE_N, "a name per fate");

const char *
fate_name(enum fate f)
{
	return names[f];
}

void
impair_init(struct impair *im, const struct linkconf *c, uint64_t seed)
{
	*im = (struct impair){.conf = *c};
	rng_seed(&im->rng, seed);
}

void
impair_change(struct impair *im, const struct linkconf *c)
{
	im->conf = *c;
	im->loss_n = im->dup_n = im->reorder_n = 0;
	im->bad = false;
	im->busy_until = (struct mono){0};
}

/* rng_unit() lies in (0, 1]: p = 0 never, p = 1 always. */
static bool
hit(struct impair *im, double p)
{
	return p > 0 && rng_unit(&im->rng) <= p;
}

static bool
chance_hit(struct impair *im, const struct chance *c, uint64_t *n)
{
	if (c->every)
		return ++*n % c->every == 0;
	return hit(im, c->p);
}

static bool
is_down(const struct linkconf *c, int64_t at_ns)
{
	for (unsigned i = 0; i < c->down_n; i++) {
		const struct window *w = &c->down[i];
		int64_t t = at_ns;

		if (t < w->start_ns)
			continue;
		if (w->period_ns)
			t = w->start_ns + (t - w->start_ns) % w->period_ns;
		if (t < w->end_ns)
			return true;
	}
	return false;
}

static bool
burst_hit(struct impair *im)
{
	const struct gilbert *g = &im->conf.gilbert;

	if (!g->on)
		return false;
	if (hit(im, im->bad ? g->to_good : g->to_bad))
		im->bad = !im->bad;
	return hit(im, im->bad ? g->bad : g->good);
}

static bool
is_chosen(const struct linkconf *c, const struct frame *f)
{
	return (!c->sport || c->sport == f->sport) &&
	       (!c->dport || c->dport == f->dport);
}

static enum fate
lost_how(struct impair *im, const struct frame *f, int64_t at_ns, bool chosen)
{
	const struct linkconf *c = &im->conf;

	if (c->off)
		return FATE_LOST_LINK;
	if (is_down(c, at_ns))
		return FATE_LOST_BLACKOUT;
	if (chosen && chance_hit(im, &c->loss, &im->loss_n))
		return c->loss.every ? FATE_LOST_NTH : FATE_LOST_RANDOM;
	if (chosen && burst_hit(im))
		return FATE_LOST_BURST;
	if (f->ttl <= c->hops)
		return FATE_LOST_TTL;
	return FATE_SENT;
}

/* The line sends one packet after the other; what waits for it is bounded.
 * False: no room. */
static bool
pass_rate(struct impair *im, uint16_t octets, struct mono *t)
{
	const int64_t rate = im->conf.rate_bps;
	int64_t wait_ns;

	if (!rate)
		return true;
	wait_ns = mono_diff_ns(im->busy_until, *t);
	if (wait_ns < 0)
		wait_ns = 0;
	/* in double: 60 s at 1 Tbit/s would not fit */
	if ((double)wait_ns * (double)rate / 8e9 + octets >
	    (double)im->conf.queue_bytes)
		return false;
	*t = mono_add_ns(*t, wait_ns + octets * 8 * NS_PER_S / rate);
	im->busy_until = *t;
	return true;
}

/* Standard normal (Box and Muller). */
static double
normal(struct rng *r)
{
	const double u = rng_unit(r), v = rng_unit(r);

	return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
}

static int64_t
delay_ns(struct impair *im)
{
	const struct linkconf *c = &im->conf;
	double d = (double)c->delay_ns;

	if (c->jitter == JITTER_UNIFORM)
		d += (2 * rng_unit(&im->rng) - 1) * (double)c->jitter_ns;
	else if (c->jitter == JITTER_NORMAL)
		d += normal(&im->rng) * (double)c->jitter_ns;
	return d > 0 ? (int64_t)d : 0;
}

struct verdict
impair_decide(struct impair *im, const struct frame *f, struct mono in,
              struct mono start)
{
	const bool chosen = is_chosen(&im->conf, f);
	struct verdict v = {.release = in};

	v.fate = lost_how(im, f, mono_diff_ns(in, start), chosen);
	if (v.fate != FATE_SENT)
		return v;
	if (!pass_rate(im, f->ip_octets, &v.release)) {
		v.fate = FATE_LOST_QUEUE;
		return v;
	}
	v.release = mono_add_ns(v.release, delay_ns(im));
	if (!im->conf.free_order && v.release.ns < im->last_release.ns)
		v.release = im->last_release;
	im->last_release = v.release;
	if (!chosen)
		return v;
	if (chance_hit(im, &im->conf.reorder, &im->reorder_n))
		v.fate = FATE_REORDERED;
	else
		v.copy = chance_hit(im, &im->conf.dup, &im->dup_n);
	return v;
}
