/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A reply is judged at once: received, late, a copy; hops, DSCP, order; what
 * it says of losses. Its delays may have to wait (session_delay.c).
 */
#include "lib/stats/session_priv.h"

/* --- what a reply says at once ---------------------------------------------
 */

static void
count_late(struct session *s, const struct pkt *p,
           const struct session_reply *r, int64_t raw)
{
	const int64_t residence = delay_ns(r->t3.ns, r->t2.ns);
	struct interval *iv = interval_at(s, r->t4.wall);
	uint32_t *n = iv ? &iv->late : &s->held.late;

	if (!p->counted)
		return;
	++*n;
	/* late only because the reflector's host held it */
	if (iv && raw != NS_UNKNOWN && residence != NS_UNKNOWN &&
	    residence <= raw && raw - residence <= s->p.loss_timeout_ns)
		iv->late_dst_host++;
}

static void
count_copy(struct session *s, const struct pkt *p, struct wall at)
{
	struct interval *iv = p->iv ? p->iv : interval_at(s, at);
	uint32_t *n = iv ? &iv->duplicates : &s->held.duplicates;

	if (p->counted)
		++*n;
}

/* Copies made on the way there, by the reflector's own count: right even when
 * the answers to them are lost. It begins at 0 with the session. */
static void
count_fwd_copies(struct session *s, struct flow *f, const struct pkt *p,
                 const struct session_reply *r)
{
	struct interval *iv = p->iv ? p->iv : interval_at(s, r->t4.wall);
	const int32_t more = (int32_t)(r->bitmap_duplicates - f->copies);

	if (more <= 0 || lossdir_is_straggler(&f->dir, r->instance_id))
		return; /* none, or overtaken by a later reply */
	if (iv && p->counted)
		iv->fwd.duplicates += (uint32_t)more;
	f->copies = r->bitmap_duplicates;
}

/* The reflector began anew: so did its numbers. */
static void
watch_life(struct flow *f)
{
	if (f->lives == f->dir.lives)
		return;
	f->lives = f->dir.lives;
	f->copies = 0;
	reorder_cut(&f->back);
}

/* The order of replies on the way back. */
static uint32_t
arrive_back(struct flow *f, const struct session_reply *r)
{
	const uint64_t n = f->back.n;

	if (!r->has_bitmap || !lossdir_is_straggler(&f->dir, r->instance_id))
		return reorder_arrive(&f->back, r->reflector_seq);
	/* every reply of the new life overtook it */
	return n < REORDER_RING ? (uint32_t)n : REORDER_RING;
}

static void
book_extent(uint32_t *n, uint32_t *most, uint32_t extent)
{
	++*n;
	if (extent > *most)
		*most = extent;
}

/* Packets that the reflector had received by then, copies apart. */
static uint32_t
distinct(const struct session_reply *r)
{
	return r->bitmap_received - r->bitmap_duplicates;
}

/* How far back at the reflector the first packet with a larger number was: by
 * the ranks of those whose replies came, and at least as far as its bitmap
 * shows. */
static uint32_t
fwd_extent(const struct flow *f, const struct session_reply *r)
{
	const uint32_t behind = r->bitmap_highest - r->seq;
	const uint32_t far = behind < LOSSDIR_BITS ? behind : LOSSDIR_BITS - 1;
	uint32_t shown = 0, most = 1;

	for (uint32_t i = 0; i < far; i++) { /* packet highest - i */
		const struct pkt *q;

		if (!(r->bitmap >> i & 1))
			continue;
		shown++;
		q = seqwin_find(&f->win, r->bitmap_highest - i);
		if (q && q->arrival && distinct(r) - q->arrival > most &&
		    distinct(r) - q->arrival <= INT32_MAX)
			most = distinct(r) - q->arrival;
	}
	return shown > most ? shown : most;
}

/* The reply to the first arrival of p at the reflector: it was overtaken on
 * the way there when a later one had been received by then. */
static void
book_fwd_order(struct flow *f, struct pkt *p, const struct session_reply *r)
{
	struct interval *iv = p->iv;

	p->arrival = distinct(r);
	if (iv && seq_diff(r->bitmap_highest, r->seq) > 0)
		book_extent(&iv->fwd.reordered, &iv->fwd.extent,
		            fwd_extent(f, r));
}

/* A further reply: the same number of the reflector was copied on the way
 * back; another one is the answer to a copy of the packet. */
static void
count_copy_direction(struct session *s, struct flow *f, struct pkt *p,
                     const struct session_reply *r, bool tells)
{
	struct interval *iv = p->iv ? p->iv : interval_at(s, r->t4.wall);

	if (!p->has_rseq || !p->counted)
		return;
	if (r->reflector_seq == p->rseq || r->reflector_seq == p->rseq_copy) {
		if (iv)
			iv->bwd.duplicates++;
		return;
	}
	p->rseq_copy = r->reflector_seq;
	(void)arrive_back(f, r);
	if (s->counting && !r->has_bitmap)
		lossdir_count_copy(&f->dir, &f->book, r->reflector_seq);
	if (tells && !r->duplicate && p->state == PKT_RECEIVED)
		book_fwd_order(f, p, r); /* the copy's answer came first */
	if (iv && s->counting && !r->has_bitmap)
		iv->fwd.duplicates++;
}

static void
book_clock(struct interval *iv, const struct session_reply *r)
{
	int64_t err;

	if (!r->sender_synchronised || r->sender_error_ns == NS_UNKNOWN)
		iv->unsync_src = true;
	if (!r->reflector_synchronised || r->reflector_error_ns == NS_UNKNOWN)
		iv->unsync_dst = true;
	if (iv->unsync_src || iv->unsync_dst)
		return;
	if (__builtin_add_overflow(r->sender_error_ns, r->reflector_error_ns,
	                           &err))
		err = INT64_MAX;
	if (err > iv->clock_err_ns)
		iv->clock_err_ns = err;
}

static void
book_hops(struct interval_way *w, int *last, int hops)
{
	if (hops < 0)
		return;
	w->hops = hops;
	if (*last >= 0 && *last != hops)
		w->hops_changed++;
	*last = hops;
}

static void
book_cos(const struct session *s, struct interval *iv,
         const struct session_reply *r)
{
	if (r->fwd_dscp >= 0) {
		iv->tells_cos = true;
		iv->fwd.dscp = r->fwd_dscp;
		iv->fwd.ecn |= (unsigned)(r->fwd_ecn > 0 ? r->fwd_ecn : 0);
		iv->fwd.remarked += s->p.dscp >= 0 && r->fwd_dscp != s->p.dscp;
	}
	if (r->tos < 0)
		return;
	iv->bwd.dscp = r->tos >> 2;
	iv->bwd.ecn |= (unsigned)r->tos & 3U;
	iv->bwd.remarked += r->reply_dscp >= 0 && r->reply_dscp != iv->bwd.dscp;
}

static void
book_stamps(struct interval *iv, const struct pkt *p,
            const struct session_reply *r)
{
	iv->stamps |= p->t1_kernel ? STAMPS_T1_KERNEL : STAMPS_T1_USER;
	iv->stamps |= r->t4_is_kernel ? STAMPS_T4_KERNEL : STAMPS_T4_USER;
	iv->stamps |= r->t2_is_kernel ? STAMPS_T2_KERNEL : STAMPS_T2_USER;
	if (delay_by_nic(p, r->t4.mono, r->t4_nic_ns))
		iv->stamps |= STAMPS_T1_NIC;
	iv->t1_user += !p->t1_kernel;
	iv->t4_user += !r->t4_is_kernel;
	iv->tells_t3 |= r->has_follow_up;
	if (!r->t4_is_kernel)
		iv->flags |= RESULT_HOST_LIMITED;
}

/* First copies only. */
static void
book_order(struct session *s, struct flow *f, struct pkt *p,
           const struct session_reply *r, bool tells)
{
	const uint32_t round = reorder_arrive(&f->round, p->seq);
	const uint32_t back = arrive_back(f, r);
	struct interval *iv = p->iv;

	if (tells && !r->duplicate)
		book_fwd_order(f, p, r);
	if (!iv)
		return;
	if (round)
		book_extent(&iv->reordered, &iv->extent, round);
	iv->counts |= tells || s->counting;
	if (back)
		book_extent(&iv->bwd.reordered, &iv->bwd.extent, back);
}

/* --- replies ----------------------------------------------------------------
 */

/* True when it tells of all it received, in a way that can be true. */
static bool
learn_direction(struct session *s, struct flow *f, const struct pkt *p,
                const struct session_reply *r)
{
	const struct lossdir_report report = {
	    .instance_id = r->instance_id,
	    .bitmap = r->bitmap,
	    .highest = r->bitmap_highest,
	    .distinct = distinct(r),
	};

	if (r->has_bitmap && r->stateful &&
	    r->bitmap_received >= r->bitmap_duplicates &&
	    lossdir_plausible(&report, &f->win, r->seq)) {
		lossdir_learn(&f->dir, &f->book, &report);
		watch_life(f);
		count_fwd_copies(s, f, p, r);
		return true;
	}
	if (s->counting && !r->has_bitmap) {
		if (!p->has_rseq)
			lossdir_count(&f->dir, &f->book, r->seq,
			              r->reflector_seq);
		watch_life(f);
		return false;
	}
	lossdir_forget(&f->dir, &f->book);
	if (p->iv)
		p->iv->flags |= RESULT_STATELESS;
	return false;
}

static void
remember(struct flow *f, struct pkt *p, const struct session_reply *r)
{
	p->has_rseq = true;
	p->rseq = p->rseq_copy = r->reflector_seq;
	p->t2 = r->t2;
	p->t3 = r->t3;
	p->t4 = r->t4.wall;
	p->sender_ttl = (int16_t)r->sender_ttl;
	p->ttl = (int16_t)r->ttl;
	p->tos = (int16_t)r->tos;
	if (!f->win.any || seq_diff(p->seq, f->win.high) > 0)
		f->win.high = p->seq;
	f->win.any = true;
}

static void
book_received(struct session *s, unsigned flow, struct pkt *p,
              const struct session_reply *r, const struct sample *m)
{
	struct interval *iv = p->iv;
	struct flow *f = &s->flow[flow];

	iv->outstanding--;
	iv->received++;
	if (iv->flow)
		iv->flow[flow].received++;
	book_hops(&iv->fwd, &f->fwd_hops, m->fwd_hops);
	book_hops(&iv->bwd, &f->bwd_hops, m->bwd_hops);
	book_cos(s, iv, r);
	book_stamps(iv, p, r);
	book_clock(iv, r);
}

/* A reply to a packet that waits for one, or that was given up. */
static enum reply_verdict
answer(struct session *s, unsigned flow, struct pkt *p,
       const struct session_reply *r, bool tells, struct sample *out)
{
	const int64_t raw = delay_raw_ns(p, r->t4.mono, r->t4_nic_ns);
	const bool given_up = p->state == PKT_LOST;
	struct flow *f = &s->flow[flow];
	struct sample m;

	if ((raw != NS_UNKNOWN && raw > s->p.loss_timeout_ns) ||
	    (given_up && p->counted && !p->iv)) {
		if (p->late) {
			count_copy(s, p, r->t4.wall);
			count_copy_direction(s, f, p, r, tells);
			return REPLY_DUPLICATE;
		}
		p->late = true;
		count_late(s, p, r, raw);
		remember(f, p, r);
		return REPLY_LATE;
	}
	if (given_up) { /* its stamp says that it was in time */
		lossdir_unlost(&f->book, p);
		if (p->iv)
			p->iv->outstanding++;
	}
	p->state = PKT_RECEIVED;
	remember(f, p, r);
	m = delay_sample(p, r->t4.mono, r->t4_nic_ns);
	if (p->iv)
		book_received(s, flow, p, r, &m);
	book_order(s, f, p, r, tells);
	delay_hold(s, flow, p, r);
	if (out)
		*out = m;
	return REPLY_OK;
}

static void
count_altered(struct session *s, const struct pkt *p, struct wall at)
{
	struct interval *iv = p->iv ? p->iv : interval_at(s, at);

	if (iv)
		iv->altered++;
}

enum reply_verdict
session_reply(struct session *s, unsigned flow, const struct session_reply *r,
              struct sample *out)
{
	struct flow *f = flow < s->p.flows ? &s->flow[flow] : NULL;
	struct pkt *p = f ? seqwin_find(&f->win, r->seq) : NULL;
	bool tells;

	if (!p || p->state == PKT_NONE)
		return REPLY_UNKNOWN;
	if (p->t1_wire != r->t1_wire) {
		count_altered(s, p, r->t4.wall);
		return REPLY_ALTERED;
	}
	step_watch(s, r->t4);
	s->answered = true;
	delay_follow_up(s, flow, r);
	/* before it is booked: the reflector may have begun anew */
	tells = learn_direction(s, f, p, r);
	if (p->state != PKT_RECEIVED)
		return answer(s, flow, p, r, tells, out);
	count_copy(s, p, r->t4.wall);
	count_copy_direction(s, f, p, r, tells);
	return REPLY_DUPLICATE;
}
