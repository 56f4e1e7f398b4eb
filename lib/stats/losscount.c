/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The direction of losses by the sequence numbers of a foreign reflector that
 * was proved to count for itself (rule 7). A gap lies between two answered
 * packets whose numbers rise. Every number between theirs belongs to a packet
 * of the gap that it received, to a copy, or to a packet from outside that
 * overtook or was overtaken. The last two are known when their answers come,
 * before or after the gap was judged: then it is judged once more. When those
 * answers are lost as well, nobody can tell.
 */
#include "lib/stats/lossdir_priv.h"

/* A foreign reflector that jumps further forgot the session, and did not
 * merely answer copies. */
#define COUNT_JUMP_MAX 4096
/* Packets around a gap that are looked at for what is not of it. */
#define REACH 128U
/* Gaps that are judged again: what is not of them must still be there. */
#define AGAIN 64U

/* An answered packet, as an end of a gap. */
struct end {
	uint32_t seq, rseq;
};

struct gap {
	struct end after, until; /* both exclusive */
};

/* The first packet of the gap that is still in the window. */
static uint32_t
gap_first(const struct seqwin *w, const struct gap *g)
{
	const uint32_t seq = g->after.seq + 1;

	return seq_diff(seq, seqwin_first(w)) < 0 ? seqwin_first(w) : seq;
}

/* How many packets of the gap were not answered. */
static uint32_t
unanswered(const struct seqwin *w, const struct gap *g)
{
	uint32_t n = g->until.seq - g->after.seq - 1;

	for (uint32_t seq = gap_first(w, g); seq != g->until.seq; seq++) {
		const struct pkt *p = seqwin_find(w, seq);

		n -= p && p->has_rseq;
	}
	return n;
}

static bool
is_between(const struct gap *g, uint32_t rseq)
{
	return seq_diff(rseq, g->after.rseq) > 0 &&
	       seq_diff(rseq, g->until.rseq) < 0;
}

/* Numbers of the gap that came with something else. */
static uint32_t
others(const struct lossdir *d, const struct seqwin *w, const struct gap *g)
{
	uint32_t seq = g->after.seq - REACH, n = 0;

	if (seq_diff(seq, d->floor) < 0)
		seq = d->floor;
	if (seq_diff(seq, seqwin_first(w)) < 0)
		seq = seqwin_first(w);
	for (; seq_diff(seq, g->until.seq + REACH) < 0; seq++) {
		const struct pkt *p = seqwin_find(w, seq);

		if (!p)
			break; /* not sent yet */
		if (!p->has_rseq)
			continue;
		n += is_between(g, p->rseq);
		n += p->rseq_copy != p->rseq && is_between(g, p->rseq_copy);
	}
	return n;
}

/* What is claimed by numbers can be claimed anew. */
static void
claim(struct lossbook *b, struct pkt *p, enum loss_dir dir, bool by_number)
{
	if (p->dir != dir && p->state == PKT_LOST)
		lossdir_move(b, p, (enum loss_dir)p->dir, dir);
	p->dir = (uint8_t)dir;
	p->by_number = by_number;
}

/* Are all unanswered packets of the gap still there, in one book, and none of
 * them counted in a group? */
static bool
is_at_hand(const struct lossbook *b, const struct gap *g, bool *one_book)
{
	const struct pkt *first = NULL;

	*one_book = true;
	if (gap_first(b->win, g) != g->after.seq + 1)
		return false;
	for (uint32_t seq = g->after.seq + 1; seq != g->until.seq; seq++) {
		const struct pkt *p = seqwin_find(b->win, seq);

		if (!p || p->dir == DIR_GROUP)
			return false;
		if (p->has_rseq)
			continue;
		if (first && p->book != first->book)
			*one_book = false;
		first = p;
	}
	return true;
}

/* So many of the n packets of the gap arrived. They may not have timed out
 * yet; when some arrived only numbers are known, and those are dealt out in
 * order, which is right for the book as a whole. */
static void
deal_out(struct lossbook *b, const struct gap *g, uint32_t n, uint32_t arrived)
{
	const bool mixed = arrived > 0 && arrived < n;
	bool one_book;

	if (!is_at_hand(b, g, &one_book)) {
		lossdir_decide(b, g->after.seq, g->until.seq - 1, n, arrived);
		return;
	}
	for (uint32_t seq = g->after.seq + 1; seq != g->until.seq; seq++) {
		struct pkt *p = seqwin_find(b->win, seq);

		if (p->has_rseq)
			continue;
		if (mixed && !one_book)
			claim(b, p, DIR_UNDET, false);
		else
			claim(b, p, arrived ? DIR_BWD : DIR_FWD, mixed);
		arrived -= arrived > 0;
	}
}

static void
judge(const struct lossdir *d, struct lossbook *b, const struct gap *g)
{
	const uint32_t missing = g->until.rseq - g->after.rseq - 1;
	const uint32_t n = unanswered(b->win, g);
	uint32_t other;

	if (n == 0)
		return;
	other = others(d, b->win, g);
	/* more numbers than packets: copies whose answers were lost */
	if (missing >= other && missing - other <= n)
		deal_out(b, g, n, missing - other);
}

/* The first packet that is looked at for what is around the latest one: of
 * this life of the reflector, and still in the window. */
static uint32_t
reach_first(const struct lossdir *d, const struct seqwin *w, uint32_t reach)
{
	uint32_t seq = d->seq - reach;

	if (seq_diff(seq, d->floor) < 0)
		seq = d->floor;
	return seq_diff(seq, seqwin_first(w)) < 0 ? seqwin_first(w) : seq;
}

/* A number became known after later ones: judges the latest gaps once more.
 * Their ends are the packets that came in order, whose numbers are larger than
 * those of all before. */
static void
judge_again(const struct lossdir *d, struct lossbook *b)
{
	struct gap g = {{0, 0}, {0, 0}};
	bool has_after = false;

	for (uint32_t i = reach_first(d, b->win, AGAIN);
	     seq_diff(i, d->seq) <= 0; i++) {
		const struct pkt *p = seqwin_find(b->win, i);

		/* beyond the latest, not all numbers have come yet */
		if (!p || !p->has_rseq || seq_diff(p->rseq, d->rseq) > 0 ||
		    (has_after && seq_diff(p->rseq, g.after.rseq) <= 0))
			continue;
		g.until = (struct end){i, p->rseq};
		if (has_after)
			judge(d, b, &g);
		g.after = g.until;
		has_after = true;
	}
}

void
lossdir_count_copy(struct lossdir *d, struct lossbook *b, uint32_t rseq)
{
	if (d->counted && seq_diff(rseq, d->rseq) < 0)
		judge_again(d, b);
}

/* Did it answer another packet with that number? */
static bool
was_used(const struct lossdir *d, const struct lossbook *b, uint32_t rseq)
{
	for (uint32_t i = reach_first(d, b->win, REACH);
	     seq_diff(i, d->seq) <= 0; i++) {
		const struct pkt *p = seqwin_find(b->win, i);

		if (p && p->has_rseq && p->rseq == rseq)
			return true;
	}
	return false;
}

/* A later packet with a smaller number: it overtook, and its reply was
 * overtaken; or the reflector began anew. */
static bool
began_anew(const struct lossdir *d, const struct lossbook *b, int32_t ds,
           int32_t dr, uint32_t rseq)
{
	if (dr > 0)
		return dr - ds > COUNT_JUMP_MAX;
	return dr < -(int32_t)LOSSDIR_BITS || was_used(d, b, rseq);
}

/* p was answered: it reached it. */
static void
count_answer(const struct lossdir *d, struct lossbook *b, struct pkt *p,
             uint32_t rseq)
{
	lossdir_set(b, p, DIR_BWD);
	if (d->counted && seq_diff(p->seq, d->floor) < 0)
		return;     /* a number of the life before */
	p->has_rseq = true; /* as it soon will be */
	p->rseq = p->rseq_copy = rseq;
}

static void
start_counting(struct lossdir *d, struct lossbook *b, uint32_t seq)
{
	if (d->counted)
		lossdir_mark_restart(b, d->seq, seq);
	lossdir_forget_evicted(b);
	d->lives++;
	/* the first packets may have been overtaken: they are of this life */
	d->floor = d->counted ? seq : seq - REACH;
	d->counted = true;
}

void
lossdir_count(struct lossdir *d, struct lossbook *b, uint32_t seq,
              uint32_t rseq)
{
	const int32_t ds = seq_diff(seq, d->seq), dr = seq_diff(rseq, d->rseq);
	struct pkt *p = seqwin_find(b->win, seq);

	if (!p)
		return;
	if (!d->counted || (ds > 0 && began_anew(d, b, ds, dr, rseq))) {
		start_counting(d, b, seq);
		count_answer(d, b, p, rseq);
	} else {
		count_answer(d, b, p, rseq);
		if (ds <= 0 || dr <= 0) {
			judge_again(d, b);
			return;
		}
		judge(d, b, &(struct gap){{d->seq, d->rseq}, {seq, rseq}});
		lossdir_forget_evicted(b);
	}
	d->seq = seq;
	d->rseq = rseq;
	if (d->seq - d->floor > REACH)
		d->floor =
		    d->seq - REACH; /* farther none looks, and it wraps */
}
