/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The delays of what was received. They may have to wait: T3 in a reply was
 * read before the send, and the next reply of the flow tells when it really
 * left (Follow-Up Telemetry, RFC 8972 4.7). What waits is made final in order
 * of arrival, as the jitter of RFC 3550 wants it.
 */
#include "lib/stats/session_priv.h"

bool
delay_by_nic(const struct pkt *p, struct mono t4, int64_t t4_nic_ns)
{
	const int64_t raw = delay_ns(t4.ns, p->t1.mono.ns);
	int64_t nic;

	if (p->t1_nic_ns == NS_UNKNOWN || t4_nic_ns == NS_UNKNOWN)
		return false;
	nic = delay_ns(t4_nic_ns, p->t1_nic_ns);
	/* its stamps lie within the system's, and its clock may be off by
	 * 1,000 ppm; more, and somebody set it meanwhile */
	return nic != NS_UNKNOWN && raw != NS_UNKNOWN && nic >= 0 &&
	       nic <= raw + raw / 1000 + NS_PER_US;
}

int64_t
delay_raw_ns(const struct pkt *p, struct mono t4, int64_t t4_nic_ns)
{
	/* both stamps of one NIC's clock are better than the system's */
	if (delay_by_nic(p, t4, t4_nic_ns))
		return delay_ns(t4_nic_ns, p->t1_nic_ns);
	return delay_ns(t4.ns, p->t1.mono.ns);
}

struct sample
delay_sample(const struct pkt *p, struct mono t4, int64_t t4_nic_ns)
{
	const int64_t raw = delay_raw_ns(p, t4, t4_nic_ns);
	const int64_t residence = delay_ns(p->t3.ns, p->t2.ns);
	struct sample m = {NS_UNKNOWN, NS_UNKNOWN, NS_UNKNOWN, NS_UNKNOWN,
	                   -1,         -1,         p->counted};

	if (raw != NS_UNKNOWN && raw >= 0) {
		m.raw_rtt_ns = raw;
		if (residence != NS_UNKNOWN && residence >= 0 &&
		    residence <= raw)
			m.rtt_ns = raw - residence;
	}
	m.fwd_ns = delay_ns(p->t2.ns, p->t1.wall.ns);
	if (!p->stepped) /* else T1's clock is not T4's */
		m.bwd_ns = delay_ns(p->t4.ns, p->t3.ns);
	if (p->sender_ttl >= 0 && p->sender_ttl <= 255)
		m.fwd_hops = 255 - p->sender_ttl;
	if (p->ttl >= 0 && p->ttl <= 255)
		m.bwd_hops = 255 - p->ttl;
	return m;
}

static void
way_add(struct interval_way *w, bool detail, int64_t d_ns)
{
	delay_acc_add(&w->delay, d_ns);
	if (detail)
		samples_add(&w->delays, d_ns);
}

static void
ipdv_one(struct interval_way *w, bool detail, int64_t earlier_ns,
         int64_t later_ns)
{
	int64_t d;

	if (earlier_ns == NS_UNKNOWN || later_ns == NS_UNKNOWN)
		return;
	d = later_ns > earlier_ns ? later_ns - earlier_ns
	                          : earlier_ns - later_ns;
	delay_acc_add(&w->ipdv, d);
	if (detail)
		samples_add(&w->ipdvs, d);
}

/* The pair (p - 1, p), if the delays of both are final; it belongs to p's
 * interval. */
static void
ipdv_pair(const struct session *s, const struct seqwin *w, const struct pkt *p)
{
	const struct pkt *before;

	if (!p || !p->settled || p->no_pred || !p->iv)
		return;
	before = seqwin_find(w, p->seq - 1);
	if (!before || !before->settled || !before->counted)
		return;
	ipdv_one(&p->iv->fwd, s->conf.detail, before->fwd_ns, p->fwd_ns);
	ipdv_one(&p->iv->bwd, s->conf.detail, before->bwd_ns, p->bwd_ns);
}

static void
jitter_one(struct jitter *j, struct interval_way *w, int64_t d_ns)
{
	if (d_ns == NS_UNKNOWN || !jitter_add(j, d_ns))
		return;
	w->jitter_ns = j->j_ns;
	w->jitter_seen = true;
}

static void
book_delays(struct session *s, unsigned flow, struct pkt *p,
            const struct sample *m)
{
	struct interval *iv = p->iv;
	struct flow *f = &s->flow[flow];
	struct interval_flow *x = iv->flow ? &iv->flow[flow] : NULL;

	if (m->rtt_ns != NS_UNKNOWN) {
		delay_acc_add(&iv->rtt, m->rtt_ns);
		samples_add(&iv->rtts, m->rtt_ns);
		if (x)
			delay_acc_add(&x->rtt, m->rtt_ns);
	} else {
		iv->rtt_unknown++;
		if (m->raw_rtt_ns != NS_UNKNOWN)
			delay_acc_add(&iv->raw_rtt, m->raw_rtt_ns);
	}
	if (m->fwd_ns != NS_UNKNOWN) {
		way_add(&iv->fwd, s->conf.detail, m->fwd_ns);
		if (x)
			delay_acc_add(&x->fwd, m->fwd_ns);
	}
	if (m->bwd_ns != NS_UNKNOWN) {
		way_add(&iv->bwd, s->conf.detail, m->bwd_ns);
		if (x)
			delay_acc_add(&x->bwd, m->bwd_ns);
	}
	ipdv_pair(s, &f->win, p);
	ipdv_pair(s, &f->win, seqwin_find(&f->win, p->seq + 1));
	if (!p->stepped) {
		jitter_one(&f->fwd_jitter, &iv->fwd, m->fwd_ns);
		jitter_one(&f->bwd_jitter, &iv->bwd, m->bwd_ns);
	}
}

/* The delays of p are final. */
static void
settle(struct session *s, unsigned flow, const struct held *h)
{
	struct pkt *p = seqwin_find(&s->flow[flow].win, h->seq);
	struct interval *iv;
	struct sample m;

	if (!p || p->state != PKT_RECEIVED || p->settled)
		return;
	m = delay_sample(p, h->t4, h->t4_nic_ns);
	p->fwd_ns = m.fwd_ns;
	p->bwd_ns = m.bwd_ns;
	p->settled = true;
	iv = p->iv;
	if (!iv)
		return;
	iv->held--;
	if (h->corrected) {
		iv->t3_corrected++;
		iv->stamps |= STAMPS_T3_FOLLOW_UP;
	} else {
		iv->t3_uncorrected++;
		iv->stamps |= STAMPS_T3_USER;
	}
	book_delays(s, flow, p, &m);
}

static void
settle_oldest(struct session *s, unsigned flow)
{
	struct flow *f = &s->flow[flow];
	const struct held h = f->held[f->held_at];

	f->held_at = (f->held_at + 1) % HELD_MAX;
	f->held_n--;
	settle(s, flow, &h);
}

/* How many of the oldest have to go until none of the interval waits. */
static unsigned
held_until(const struct flow *f, const struct interval *iv)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->held_n; i++) {
		const struct held *h = &f->held[(f->held_at + i) % HELD_MAX];
		const struct pkt *p = seqwin_find(&f->win, h->seq);

		if (p && p->iv == iv)
			n = i + 1;
	}
	return n;
}

void
settle_interval(struct session *s, const struct interval *iv)
{
	for (unsigned i = 0; i < s->p.flows && iv->held > 0; i++) {
		unsigned n = held_until(&s->flow[i], iv);

		while (n-- > 0)
			settle_oldest(s, i);
	}
}

/* Gives p the T3 that was told, when it can be: it left after T3 was read, and
 * before it arrived. */
static bool
correct(struct pkt *p, struct held *h, struct wall t3)
{
	const int64_t raw = delay_raw_ns(p, h->t4, h->t4_nic_ns);
	const int64_t moved = delay_ns(t3.ns, p->t3.ns);

	if (h->corrected || moved == NS_UNKNOWN || moved < 0 ||
	    raw == NS_UNKNOWN || delay_ns(t3.ns, p->t2.ns) > raw)
		return false;
	p->t3 = t3;
	h->corrected = true;
	return true;
}

static void
settle_corrected(struct session *s, unsigned flow)
{
	const struct flow *f = &s->flow[flow];

	while (f->held_n > 0 && f->held[f->held_at].corrected)
		settle_oldest(s, flow);
}

void
delay_hold(struct session *s, unsigned flow, struct pkt *p,
           const struct session_reply *r)
{
	struct flow *f = &s->flow[flow];
	struct held *h;

	if (f->held_n == HELD_MAX)
		settle_oldest(s, flow);
	h = &f->held[(f->held_at + f->held_n++) % HELD_MAX];
	*h = (struct held){.seq = p->seq,
	                   .rseq = r->reflector_seq,
	                   .t4 = r->t4.mono,
	                   .t4_nic_ns = r->t4_nic_ns};
	if (p->iv)
		p->iv->held++;
	if (!r->has_follow_up) {
		while (f->held_n > 0)
			settle_oldest(s, flow);
		return;
	}
	/* the next reply tells, unless it overtook this one */
	for (unsigned i = 0; i < HELD_MAX; i++) {
		if (f->told[i].valid && f->told[i].rseq == h->rseq &&
		    correct(p, h, f->told[i].t3))
			f->told[i].valid = false;
	}
	settle_corrected(s, flow);
}

void
delay_evict(struct session *s, unsigned flow, const struct pkt *p)
{
	while (p->state == PKT_RECEIVED && !p->settled &&
	       s->flow[flow].held_n > 0)
		settle_oldest(s, flow);
}

/* Rule 18: matched by the reflector's number; never the reply itself. */
void
delay_follow_up(struct session *s, unsigned flow, const struct session_reply *r)
{
	struct flow *f = &s->flow[flow];

	if (!r->follow_up || r->follow_up_seq == r->reflector_seq)
		return;
	for (unsigned i = 0; i < f->held_n; i++) {
		struct held *h = &f->held[(f->held_at + i) % HELD_MAX];
		struct pkt *p = seqwin_find(&f->win, h->seq);

		if (h->rseq != r->follow_up_seq || !p)
			continue;
		(void)correct(p, h, r->follow_up_t3);
		settle_corrected(s, flow);
		return;
	}
	f->told[f->told_at++ % HELD_MAX] =
	    (struct told){true, r->follow_up_seq, r->follow_up_t3};
}
