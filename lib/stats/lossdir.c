/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/lossdir_priv.h"

static void
tally_book(struct tally *t, enum loss_dir dir, bool add)
{
	uint32_t *n = dir == DIR_FWD   ? &t->fwd
	              : dir == DIR_BWD ? &t->bwd
	                               : NULL;

	if (n)
		*n = add ? *n + 1 : *n - 1;
}

static struct tally *
tally_of(const struct lossbook *b, const struct pkt *p)
{
	return p->book ? &p->book->flow[b->flow].t : NULL;
}

static void
book_changed(struct book *k)
{
	if (k->shipped)
		k->changed = true;
}

/* Moves one lost packet; not out of what is decided by number already. */
static void
tally_move(struct tally *t, enum loss_dir from, enum loss_dir to)
{
	if (from == DIR_UNDET && tally_undet(t) == 0)
		return;
	tally_book(t, from, false);
	tally_book(t, to, true);
}

/* Moves a lost packet from one direction to another. */
void
lossdir_move(struct lossbook *b, struct pkt *p, enum loss_dir from,
             enum loss_dir to)
{
	struct tally *t = tally_of(b, p);

	if (t) {
		tally_move(t, from, to);
		book_changed(p->book);
	}
	if (p->in_run && b->run)
		tally_move(b->run, from, to);
}

void
lossdir_set(struct lossbook *b, struct pkt *p, enum loss_dir dir)
{
	if (p->dir == dir || p->dir == DIR_BWD || p->dir == DIR_GROUP)
		return;
	if (p->state == PKT_LOST)
		lossdir_move(b, p, (enum loss_dir)p->dir, dir);
	p->dir = (uint8_t)dir;
}

void
lossdir_lost(struct lossbook *b, struct pkt *p)
{
	struct tally *t = tally_of(b, p);

	p->state = PKT_LOST;
	if (!t)
		return;
	t->lost++;
	tally_book(t, (enum loss_dir)p->dir, true);
	book_changed(p->book);
}

void
lossdir_join_run(struct lossbook *b, struct pkt *p)
{
	if (!b->run)
		return;
	p->in_run = true;
	b->run->lost++;
	tally_book(b->run, (enum loss_dir)p->dir, true);
}

static void
tally_unlost(struct tally *t, enum loss_dir dir)
{
	/* decided by number: it is one of those that reached it */
	if (dir == DIR_GROUP || (dir == DIR_UNDET && tally_undet(t) == 0))
		dir = t->bwd ? DIR_BWD : DIR_FWD;
	tally_book(t, dir, false);
	t->lost--;
}

void
lossdir_unlost(struct lossbook *b, struct pkt *p)
{
	struct tally *t = tally_of(b, p);

	p->state = PKT_SENT;
	if (t) {
		tally_unlost(t, (enum loss_dir)p->dir);
		book_changed(p->book);
	}
	if (p->in_run && b->run)
		tally_unlost(b->run, (enum loss_dir)p->dir);
	p->in_run = false;
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

/* Is it a loss whose direction the next counters may still tell? */
static bool
waits_beyond(const struct lossdir *d, const struct pkt *p)
{
	if (p->state != PKT_LOST || p->dir != DIR_UNDET)
		return false;
	return (d->valid && seq_diff(p->seq, d->highest) > 0) ||
	       (d->counted && seq_diff(p->seq, d->seq) > 0);
}

void
lossdir_evict(const struct lossdir *d, struct lossbook *b, struct pkt *p)
{
	if (!waits_beyond(d, p))
		return;
	if (p->book)
		tally_of(b, p)->evicted++;
	if (p->in_run && b->run)
		b->run->evicted++;
}

void
lossdir_forget_evicted(struct lossbook *b)
{
	for (struct book *k = b->books->head; k; k = k->next)
		k->flow[b->flow].t.evicted = 0;
	if (b->run)
		b->run->evicted = 0;
}

void
lossdir_forget(struct lossdir *d, struct lossbook *b)
{
	if (!d->valid && !d->counted)
		return;
	d->valid = d->counted = false;
	lossdir_forget_evicted(b);
}

/* What each bit says. Clear ones count only from the floor up, and only in
 * the latest report. */
static void
learn_bits(struct lossdir *d, struct lossbook *b,
           const struct lossdir_report *r, bool latest)
{
	seqwin_advance_low(b->win);
	for (uint32_t i = 0; i < LOSSDIR_BITS; i++) {
		const uint32_t seq = r->highest - i;
		struct pkt *p;

		if (seq_diff(seq, b->win->low) < 0)
			break;
		p = seqwin_find(b->win, seq);
		if (!p || p->state == PKT_RECEIVED)
			continue;
		if (r->bitmap >> i & 1)
			lossdir_set(b, p, DIR_BWD);
		else if (latest && seq_diff(seq, d->floor) > 0)
			lossdir_set(b, p, DIR_FWD);
	}
}

static void
decide_evicted(struct tally *t, enum loss_dir dir)
{
	if (dir == DIR_FWD)
		t->fwd += t->evicted;
	else
		t->bwd += t->evicted;
	t->evicted = 0;
}

/* Every loss of the gap (after, until] in one direction. */
static void
decide_all(struct lossbook *b, uint32_t after, uint32_t until,
           enum loss_dir dir)
{
	for (struct book *k = b->books->head; k; k = k->next) {
		if (k->flow[b->flow].t.evicted == 0)
			continue;
		decide_evicted(&k->flow[b->flow].t, dir);
		book_changed(k);
	}
	if (b->run)
		decide_evicted(b->run, dir);
	for (uint32_t seq = until; seq != after; seq--) {
		struct pkt *p = seqwin_find(b->win, seq);

		if (!p)
			break; /* all older ones have left too */
		if (p->state != PKT_RECEIVED)
			lossdir_set(b, p, dir);
	}
}

/* The one book in which all n packets of the gap that were not answered were
 * lost, and none of them is decided yet; or NULL. */
static struct book *
only_book(const struct lossbook *b, uint32_t after, uint32_t until, uint32_t n)
{
	struct book *only = NULL;
	uint32_t found = 0;

	for (struct book *k = b->books->head; k; k = k->next) {
		if (k->flow[b->flow].t.evicted == 0)
			continue;
		if (only)
			return NULL;
		only = k;
		found = k->flow[b->flow].t.evicted;
	}
	for (uint32_t seq = until; seq != after; seq--) {
		const struct pkt *p = seqwin_find(b->win, seq);

		if (!p)
			break;
		if (p->state == PKT_RECEIVED)
			continue;
		if (p->state != PKT_LOST || !p->book || p->dir != DIR_UNDET ||
		    (only && p->book != only))
			return NULL;
		only = p->book;
		found++;
	}
	return found == n ? only : NULL;
}

/* Some of the n packets of the gap arrived: which ones stays unknown, how many
 * is not. */
static void
decide_some(struct lossbook *b, uint32_t after, uint32_t until, uint32_t n,
            uint32_t arrived)
{
	struct book *k = only_book(b, after, until, n);
	struct tally *t;

	/* The run first: its packets may lie in several intervals. */
	if (b->run && tally_undet(b->run) == n) {
		b->run->bwd += arrived;
		b->run->fwd += n - arrived;
		b->run->evicted = 0;
	}
	if (!k)
		return;
	t = &k->flow[b->flow].t;
	t->bwd += arrived;
	t->fwd += n - arrived;
	t->evicted = 0;
	book_changed(k);
	for (uint32_t seq = until; seq != after; seq--) {
		struct pkt *p = seqwin_find(b->win, seq);

		if (!p)
			break;
		if (p->state != PKT_RECEIVED)
			p->dir = DIR_GROUP;
	}
}

void
lossdir_decide(struct lossbook *b, uint32_t after, uint32_t until, uint32_t n,
               uint32_t arrived)
{
	if (n == 0)
		return;
	if (arrived == 0)
		decide_all(b, after, until, DIR_FWD);
	else if (arrived == n)
		decide_all(b, after, until, DIR_BWD);
	else if (arrived < n)
		decide_some(b, after, until, n, arrived);
}

static void
learn_gap(struct lossdir *d, struct lossbook *b, const struct lossdir_report *r)
{
	const uint32_t until = r->highest - LOSSDIR_BITS, after = d->highest;
	const uint32_t in_bitmap =
	    (uint32_t)__builtin_popcountll((unsigned long long)r->bitmap);

	/* A reply so late that its bitmap reaches beyond the window cannot
	 * tell gap from bitmap among the packets that have left it. */
	if (seq_diff(until + 1, seqwin_first(b->win)) < 0)
		return;
	lossdir_decide(b, after, until, until - after,
	               r->distinct - d->distinct - in_bitmap);
}

/* Books whose packets lie on both sides of the restart say so. */
void
lossdir_mark_restart(struct lossbook *b, uint32_t before, uint32_t after)
{
	const struct pkt *p = seqwin_find(b->win, before);
	const struct pkt *q = seqwin_find(b->win, after);

	for (struct book *k = b->books->head; k; k = k->next) {
		const struct book_flow *f = &k->flow[b->flow];

		if (f->has_seq && seq_diff(f->last_seq, before) > 0 &&
		    seq_diff(f->first_seq, after) <= 0)
			k->restart = true;
	}
	if (b->restart && q)
		*b->restart =
		    (struct run_restart){true, p ? p->order : 0, q->order};
}

/* The reflector knows nothing before the first packet that it shows. */
static void
start_anew(struct lossdir *d, struct lossbook *b,
           const struct lossdir_report *r)
{
	if (d->valid) {
		lossdir_mark_restart(b, d->highest, r->highest);
		if (d->instance_id != r->instance_id) {
			d->has_old = true;
			d->old_instance_id = d->instance_id;
		}
	}
	lossdir_forget_evicted(b);
	d->lives++;
	d->valid = true;
	d->instance_id = r->instance_id;
	d->floor = r->highest - 63U +
	           (uint32_t)__builtin_clzll((unsigned long long)r->bitmap);
}

bool
lossdir_is_straggler(const struct lossdir *d, uint64_t instance_id)
{
	return d->valid && d->has_old && instance_id == d->old_instance_id &&
	       instance_id != d->instance_id;
}

void
lossdir_learn(struct lossdir *d, struct lossbook *b,
              const struct lossdir_report *r)
{
	const bool same = d->valid && d->instance_id == r->instance_id;
	const int32_t ahead = d->valid ? seq_diff(r->highest, d->highest) : 1;

	if (lossdir_is_straggler(d, r->instance_id)) {
		learn_bits(d, b, r, false); /* a straggler's facts stand */
		return;
	}
	if (same && ahead <= 0) {
		learn_bits(d, b, r, ahead == 0);
		if (ahead == 0 && r->distinct > d->distinct)
			d->distinct = r->distinct;
		return;
	}
	if (!same || r->distinct <= d->distinct)
		start_anew(d, b, r);
	/* the bits first: what they leave open is the gap */
	learn_bits(d, b, r, true);
	if (same && ahead > LOSSDIR_BITS && r->distinct > d->distinct) {
		learn_gap(d, b, r);
		lossdir_forget_evicted(b);
	}
	d->highest = r->highest;
	d->distinct = r->distinct;
	/* no older bits will come, and numbers go round */
	if (d->highest - d->floor > LOSSDIR_BITS)
		d->floor = d->highest - LOSSDIR_BITS;
}
