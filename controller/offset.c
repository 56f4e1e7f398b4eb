/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/offset.h"

/* Beyond it a stamp is noise: 2^61 ns are 73 years. A node whose clock starts
 * at 1970 is 56 years off, and must still get an estimate. */
#define SPAN_MAX_NS (INT64_C(1) << 61)

static bool
span(struct wall a, struct wall b, int64_t *out)
{
	return !__builtin_sub_overflow(a.ns, b.ns, out) &&
	       *out<SPAN_MAX_NS && * out> - SPAN_MAX_NS;
}

static const struct offset_sample *
best(const struct offset *o)
{
	const struct offset_sample *b = NULL;

	for (size_t i = 0; i < o->n; i++) {
		if (!b || o->s[i].delay_ns < b->delay_ns)
			b = &o->s[i];
	}
	return b;
}

static bool
clock_was_set(const struct offset_sample *old, const struct offset_sample *new)
{
	int64_t apart = new->offset_ns - old->offset_ns;

	if (apart < 0)
		apart = -apart;
	return apart > old->delay_ns / 2 + new->delay_ns / 2 + OFFSET_SLACK_NS;
}

bool
offset_add(struct offset *o, struct wall t1, struct wall t2, struct wall t3,
           struct wall t4)
{
	int64_t there, back, held, away;
	struct offset_sample s;
	const struct offset_sample *b = best(o);

	if (!span(t2, t1, &there) || !span(t3, t4, &back) ||
	    !span(t3, t2, &held) || !span(t4, t1, &away))
		return false;
	s.delay_ns = away - held;
	if (held < 0 || away < 0 || s.delay_ns < 0)
		return false;
	s.offset_ns = there / 2 + back / 2;
	if (b && clock_was_set(b, &s))
		*o = (struct offset){.n = 0};
	o->s[o->next] = s;
	o->next = (o->next + 1) % OFFSET_KEEP;
	if (o->n < OFFSET_KEEP)
		o->n++;
	return true;
}

int64_t
offset_estimate_ns(const struct offset *o)
{
	const struct offset_sample *b = best(o);

	return b ? b->offset_ns : NS_UNKNOWN;
}
