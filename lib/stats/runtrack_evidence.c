/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The evidence of a loss run: what stands before it and its first packets,
 * kept from its third packet on, since the window forgets them while it lasts;
 * its last packets and what came after, when it ends.
 */
#include "lib/stats/runtrack_priv.h"

#include <stdlib.h>

/* Evidence: so many packets before and after a run, and of its two ends. */
#define EVIDENCE_AROUND 50U
#define EVIDENCE_END 50U

static enum packet_fate
fate_of(const struct pkt *p)
{
	if (p->state == PKT_RECEIVED)
		return FATE_RECEIVED;
	if (p->late)
		return FATE_LATE;
	if (p->by_number || p->dir == DIR_UNDET || p->dir == DIR_GROUP)
		return FATE_LOST_UNDET;
	return p->dir == DIR_FWD ? FATE_LOST_FWD : FATE_LOST_BWD;
}

static struct loss_run_packet
evidence_of(const struct pkt *p, unsigned flow)
{
	const struct wall unknown = {NS_UNKNOWN};
	struct loss_run_packet e = {
	    .seq = p->seq,
	    .flow = (uint16_t)flow,
	    .fate = (uint8_t)fate_of(p),
	    .sender_ttl = -1,
	    .ttl = -1,
	    .tos = -1,
	    .t1 = pkt_sent_at(p),
	    .t2 = unknown,
	    .t3 = unknown,
	    .t4 = unknown,
	};

	if (p->has_rseq) {
		e.reflector_seq = p->rseq;
		e.t2 = p->t2;
		e.t3 = p->t3;
		e.t4 = p->t4;
		e.sender_ttl = p->sender_ttl;
		e.ttl = p->ttl;
		e.tos = p->tos;
	}
	return e;
}

#define HEAD_MAX (EVIDENCE_AROUND + EVIDENCE_END)

/* The packets [from, to) that are decided, as far as there is room. */
static size_t
gather(const struct view *v, uint64_t from, uint64_t to, struct run_evidence *e,
       size_t max)
{
	size_t n = 0;

	for (uint64_t o = from; o < to && n < max; o++) {
		unsigned flow;
		const struct pkt *p = run_find(v, o, &flow);

		if (p && (p->state == PKT_RECEIVED || p->state == PKT_LOST))
			e[n++] = (struct run_evidence){o, evidence_of(p, flow)};
	}
	return n;
}

void
evidence_start(const struct view *v)
{
	struct runtrack *t = v->t;
	const uint64_t first = t->first.order;
	const uint64_t from =
	    first > EVIDENCE_AROUND ? first - EVIDENCE_AROUND : 0;

	if (!t->head)
		t->head = calloc(HEAD_MAX, sizeof(*t->head));
	if (t->head) /* else the run is told without */
		t->head_n =
		    gather(v, from, t->last.order + 1, t->head, HEAD_MAX);
}

void
evidence_add(const struct view *v, const struct pkt *p, unsigned flow)
{
	struct runtrack *t = v->t;

	if (t->head && t->head_n < HEAD_MAX &&
	    p->order < t->first.order + EVIDENCE_END)
		t->head[t->head_n++] =
		    (struct run_evidence){p->order, evidence_of(p, flow)};
}

/* What is known by now of the packets of the head. Of those that have left
 * the window, that all of the run were lost in one direction. */
static void
head_refresh(const struct view *v, const struct tally *sum)
{
	struct runtrack *t = v->t;

	for (size_t i = 0; i < t->head_n; i++) {
		struct run_evidence *e = &t->head[i];
		unsigned flow;
		const struct pkt *p = run_find(v, e->order, &flow);

		if (p)
			e->p = evidence_of(p, flow);
		else if (e->order < t->first.order ||
		         e->p.fate != FATE_LOST_UNDET)
			continue;
		else if (sum->fwd == sum->lost)
			e->p.fate = FATE_LOST_FWD;
		else if (sum->bwd == sum->lost)
			e->p.fate = FATE_LOST_BWD;
	}
}

void
evidence_finish(const struct view *v, const struct tally *sum, uint64_t end,
                struct loss_run *r)
{
	struct runtrack *t = v->t;
	struct run_evidence tail[EVIDENCE_END + EVIDENCE_AROUND];
	uint64_t from = end > EVIDENCE_END ? end - EVIDENCE_END : 0;
	size_t n;

	if (!t->head)
		return;
	r->packet = calloc(LOSS_RUN_PACKETS_MAX, sizeof(*r->packet));
	if (!r->packet)
		return;
	head_refresh(v, sum);
	for (size_t i = 0; i < t->head_n; i++)
		r->packet[r->packet_n++] = t->head[i].p;
	if (t->head_n > 0 && t->head[t->head_n - 1].order >= from)
		from = t->head[t->head_n - 1].order + 1;
	n = gather(v, from, end, tail, EVIDENCE_END);
	n += gather(v, end, t->next, tail + n, EVIDENCE_AROUND);
	for (size_t i = 0; i < n; i++)
		r->packet[r->packet_n++] = tail[i].p;
}
