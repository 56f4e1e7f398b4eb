/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/lossdir.h"

static void
book(struct interval *iv, enum loss_dir dir, bool add)
{
	uint32_t *n = dir == DIR_FWD   ? &iv->lost_fwd
	              : dir == DIR_BWD ? &iv->lost_bwd
	                               : NULL;

	if (n)
		*n = add ? *n + 1 : *n - 1;
}

static void
set_dir(struct pkt *p, enum loss_dir dir)
{
	if (p->dir == dir || p->dir == DIR_BWD || p->dir == DIR_GROUP)
		return;
	if (p->state == PKT_LOST && p->iv) {
		book(p->iv, (enum loss_dir)p->dir, false);
		book(p->iv, dir, true);
	}
	p->dir = (uint8_t)dir;
}

void
lossdir_lost(struct pkt *p)
{
	p->state = PKT_LOST;
	if (!p->iv)
		return;
	p->iv->lost++;
	book(p->iv, (enum loss_dir)p->dir, true);
}

void
lossdir_unlost(struct pkt *p)
{
	p->state = PKT_SENT;
	if (!p->iv)
		return;
	p->iv->lost--;
	if (p->dir == DIR_GROUP) /* answered: one of those that reached it */
		book(p->iv, p->iv->lost_bwd ? DIR_BWD : DIR_FWD, false);
	else
		book(p->iv, (enum loss_dir)p->dir, false);
	p->dir = DIR_UNDET;
}

bool
lossdir_plausible(const struct lossdir_report *r, const struct seqwin *w,
                  uint32_t seq)
{
	const int32_t behind = seq_diff(r->highest, seq);

	if (behind < 0 || seq_diff(w->next, r->highest) <= 0)
		return false;
	if (!(r->bitmap & 1) || r->distinct == 0)
		return false;
	return behind >= LOSSDIR_BITS || (r->bitmap >> behind & 1);
}

void
lossdir_evict(const struct lossdir *d, struct pkt *p)
{
	if (p->state == PKT_LOST && p->iv && p->dir == DIR_UNDET && d->valid &&
	    seq_diff(p->seq, d->highest) > 0)
		p->iv->evicted++;
}

static void
forget_evicted(struct interval *open)
{
	for (struct interval *iv = open; iv; iv = iv->next)
		iv->evicted = 0;
}

void
lossdir_forget(struct lossdir *d, struct interval *open)
{
	d->valid = false;
	forget_evicted(open);
}

/* What each bit says. Clear ones count only from the floor up, and only in
 * the latest report. */
static void
learn_bits(struct lossdir *d, struct seqwin *w, const struct lossdir_report *r,
           bool latest)
{
	seqwin_advance_low(w);
	for (uint32_t i = 0; i < LOSSDIR_BITS; i++) {
		const uint32_t seq = r->highest - i;
		struct pkt *p;

		if (seq_diff(seq, w->low) < 0)
			break;
		p = seqwin_find(w, seq);
		if (!p || p->state == PKT_RECEIVED)
			continue;
		if (r->bitmap >> i & 1)
			set_dir(p, DIR_BWD);
		else if (latest && seq_diff(seq, d->floor) > 0)
			set_dir(p, DIR_FWD);
	}
}

/* Every loss of the gap (after, until] in one direction. */
static void
decide_all(struct seqwin *w, struct interval *open, uint32_t after,
           uint32_t until, enum loss_dir dir)
{
	for (struct interval *iv = open; iv; iv = iv->next) {
		if (dir == DIR_FWD)
			iv->lost_fwd += iv->evicted;
		else
			iv->lost_bwd += iv->evicted;
	}
	for (uint32_t seq = until; seq != after; seq--) {
		struct pkt *p = seqwin_find(w, seq);

		if (!p)
			break; /* all older ones have left too */
		if (p->state != PKT_RECEIVED)
			set_dir(p, dir);
	}
}

/* The one open interval in which all n packets of the gap were lost, and none
 * of them is decided yet; or NULL. */
static struct interval *
only_interval(struct seqwin *w, struct interval *open, uint32_t after,
              uint32_t until, uint32_t n)
{
	struct interval *only = NULL;
	uint32_t found = 0;

	for (struct interval *iv = open; iv; iv = iv->next) {
		if (iv->evicted == 0)
			continue;
		if (only)
			return NULL;
		only = iv;
		found = iv->evicted;
	}
	for (uint32_t seq = until; seq != after; seq--) {
		const struct pkt *p = seqwin_find(w, seq);

		if (!p)
			break;
		if (p->state != PKT_LOST || !p->iv || p->dir != DIR_UNDET ||
		    (only && p->iv != only))
			return NULL;
		only = p->iv;
		found++;
	}
	return found == n ? only : NULL;
}

/* Some of the gap arrived: which ones stays unknown, how many is not. */
static void
decide_some(struct seqwin *w, struct interval *open, uint32_t after,
            uint32_t until, uint32_t arrived)
{
	const uint32_t n = until - after;
	struct interval *iv = only_interval(w, open, after, until, n);

	if (!iv)
		return;
	iv->lost_bwd += arrived;
	iv->lost_fwd += n - arrived;
	for (uint32_t seq = until; seq != after; seq--) {
		struct pkt *p = seqwin_find(w, seq);

		if (!p)
			break;
		p->dir = DIR_GROUP;
	}
}

static void
learn_gap(struct lossdir *d, struct seqwin *w, struct interval *open,
          const struct lossdir_report *r)
{
	const uint32_t until = r->highest - LOSSDIR_BITS, after = d->highest;
	const uint32_t in_bitmap =
	    (uint32_t)__builtin_popcountll((unsigned long long)r->bitmap);
	const uint32_t n = until - after;
	const uint32_t arrived = r->distinct - d->distinct - in_bitmap;

	/* A reply so late that its bitmap reaches beyond the window cannot
	 * tell gap from bitmap among the packets that have left it. */
	if (seq_diff(until + 1, seqwin_first(w)) < 0)
		return;
	if (arrived == 0)
		decide_all(w, open, after, until, DIR_FWD);
	else if (arrived == n)
		decide_all(w, open, after, until, DIR_BWD);
	else if (arrived < n)
		decide_some(w, open, after, until, arrived);
}

/* The reflector knows nothing before the first packet that it shows. */
static void
start_anew(struct lossdir *d, struct interval *open,
           const struct lossdir_report *r)
{
	if (d->valid) {
		for (struct interval *iv = open; iv; iv = iv->next) {
			if (iv->has_seq &&
			    seq_diff(iv->last_seq, d->highest) > 0 &&
			    seq_diff(iv->first_seq, r->highest) <= 0)
				iv->flags |= RESULT_REFLECTOR_RESTART;
		}
		if (d->instance_id != r->instance_id) {
			d->has_old = true;
			d->old_instance_id = d->instance_id;
		}
	}
	forget_evicted(open);
	d->valid = true;
	d->instance_id = r->instance_id;
	d->floor = r->highest - 63U +
	           (uint32_t)__builtin_clzll((unsigned long long)r->bitmap);
}

void
lossdir_learn(struct lossdir *d, struct seqwin *w, struct interval *open,
              const struct lossdir_report *r)
{
	const bool same = d->valid && d->instance_id == r->instance_id;
	const int32_t ahead = d->valid ? seq_diff(r->highest, d->highest) : 1;

	if (d->valid && !same && d->has_old &&
	    r->instance_id == d->old_instance_id) {
		learn_bits(d, w, r, false); /* a straggler's facts stand */
		return;
	}
	if (same && ahead <= 0) {
		learn_bits(d, w, r, ahead == 0);
		if (ahead == 0 && r->distinct > d->distinct)
			d->distinct = r->distinct;
		return;
	}
	if (!same || r->distinct <= d->distinct) {
		start_anew(d, open, r);
	} else if (ahead > LOSSDIR_BITS) {
		learn_gap(d, w, open, r);
		forget_evicted(open);
	}
	learn_bits(d, w, r, true);
	d->highest = r->highest;
	d->distinct = r->distinct;
}
