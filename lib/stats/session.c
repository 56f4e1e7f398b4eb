/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/session_priv.h"

#include <stdlib.h>
#include <string.h>

#define CLOSE_GRACE_NS (500 * NS_PER_MS) /* as session_iv.c */
#define RING_SLACK_NS (500 * NS_PER_MS)  /* sends late by their schedule */
#define RING_SLACK_PKTS                                                     \
	128                /* two bitmaps, so that late replies find theirs \
	                    */
#define RING_SLACK_FLOW 64 /* the same with several flows: one bitmap */

const char *
reply_verdict_str(enum reply_verdict v)
{
	static const char *const name[] = {
	    [REPLY_OK] = "ok",           [REPLY_DUPLICATE] = "duplicate",
	    [REPLY_LATE] = "late",       [REPLY_UNKNOWN] = "unknown",
	    [REPLY_ALTERED] = "altered",
	};
	_Static_assert(sizeof(name) / sizeof(name[0]) == REPLY_N,
	               "a name each");

	return (unsigned)v < REPLY_N ? name[v] : "?";
}

/* --- life ------------------------------------------------------------- */

/* Packets in flight, and those that replies may still speak of. */
static uint32_t
window_packets(const struct session_params *p, unsigned flows, uint32_t slack)
{
	const int64_t gap = p->gap_ns > 0 ? p->gap_ns : 1;
	const int64_t need =
	    (p->loss_timeout_ns + CLOSE_GRACE_NS + RING_SLACK_NS) / gap /
	        flows +
	    slack;

	return need < INT32_MAX ? (uint32_t)need : INT32_MAX;
}

static bool
flows_init(struct session *s)
{
	const unsigned n = s->p.flows;
	const uint32_t slack = n > 1 ? RING_SLACK_FLOW : RING_SLACK_PKTS;
	const uint32_t each = window_packets(&s->p, n, slack);

	s->flow = calloc(n, sizeof(*s->flow));
	if (!s->flow)
		return false;
	for (unsigned i = 0; i < n; i++) {
		struct flow *f = &s->flow[i];

		if (!seqwin_init(&f->win, each, s->p.first_seq))
			return false;
		f->fwd_hops = f->bwd_hops = -1;
		f->book = (struct lossbook){.win = &f->win,
		                            .books = &s->books,
		                            .run = &s->runs.tally[i],
		                            .restart = &s->runs.restart,
		                            .flow = i};
	}
	return true;
}

struct session *
session_new(const struct session_params *p)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->p = *p;
	if (s->p.flows < 1)
		s->p.flows = 1;
	s->conf = (struct interval_conf){
	    .nominal_ns = p->interval_ns,
	    .flows = s->p.flows,
	    .detail = p->detail || p->codec != VOICE_NONE,
	    .codec = p->codec,
	    .jitter_buffer_ns = p->jitter_buffer_ns,
	};
	s->fresh = true;
	s->last_start = s->closed_end = (struct wall){INT64_MIN / 2};
	if (runtrack_init(
	        &s->runs,
	        s->p.flows * window_packets(&s->p, s->p.flows, RING_SLACK_PKTS),
	        s->p.flows, p->run_seed) &&
	    flows_init(s))
		return s;
	session_free(s);
	return NULL;
}

static void
list_free(struct interval *iv)
{
	while (iv) {
		struct interval *next = iv->next;

		interval_free(iv);
		iv = next;
	}
}

void
session_free(struct session *s)
{
	if (!s)
		return;
	list_free(s->open.head);
	list_free(s->closed.head);
	list_free(s->spare);
	books_release(&s->books);
	runtrack_release(&s->runs);
	for (unsigned i = 0; s->flow && i < s->p.flows; i++)
		seqwin_release(&s->flow[i].win);
	free(s->flow);
	free(s);
}

void
session_set_epoch(struct session *s, uint64_t epoch)
{
	s->epoch = epoch;
}

void
session_set_counting(struct session *s, bool counting)
{
	s->counting = counting;
}

unsigned
session_next_flow(const struct session *s)
{
	return s->turn;
}

uint32_t
session_next_seq(const struct session *s, unsigned flow)
{
	return flow < s->p.flows ? s->flow[flow].win.next : 0;
}

bool
session_answered(const struct session *s)
{
	return s->answered;
}

static struct lossbook *
flow_book(void *arg, unsigned flow)
{
	struct session *s = arg;

	return &s->flow[flow].book;
}

/* --- sending --------------------------------------------------------- */

static bool
is_warmup(const struct session *s)
{
	return s->tries < s->p.warmup;
}

void
session_slot(struct session *s, struct clock_pair sched)
{
	struct interval *iv;

	step_watch(s, sched);
	iv = interval_of(s, sched);
	if (!iv)
		return;
	iv->came_up = true;
	if (is_warmup(s))
		return;
	iv->scheduled++;
	interval_reserve(iv, (size_t)iv->sent + 1, s->conf.detail);
}

void
session_withheld(struct session *s, struct clock_pair sched)
{
	struct interval *iv;

	step_watch(s, sched);
	iv = interval_of(s, sched);
	if (!iv)
		return;
	iv->came_up = true;
	iv->flags |= RESULT_UNANSWERED;
}

void
session_send_failed(struct session *s, struct clock_pair sched)
{
	struct interval *iv = interval_find(s, sched.wall);

	/* a flow that cannot send must not hold the others up */
	s->turn = (s->turn + 1) % s->p.flows;
	if (iv && !is_warmup(s))
		iv->send_failed++;
	s->tries++;
}

/* p was not decided: it is as if it had not been sent. */
static void
take_out(struct pkt *p, unsigned flow, uint32_t flags)
{
	struct interval *iv = p->iv;

	if (p->state != PKT_SENT)
		return;
	p->state = PKT_NONE;
	if (!iv)
		return;
	iv->sent--;
	iv->scheduled--;
	iv->outstanding--;
	if (iv->flow)
		iv->flow[flow].sent--;
	iv->flags |= flags;
}

static void
make_room(struct session *s, unsigned flow)
{
	struct flow *f = &s->flow[flow];
	struct pkt *p = seqwin_oldest(&f->win);

	if (!p)
		return;
	delay_evict(s, flow, p);
	/* SENT only in a burst above the rate: our own limit */
	take_out(p, flow, RESULT_HOST_LIMITED | RESULT_PARTIAL);
	lossdir_evict(&f->dir, &f->book, p);
}

static void
book_sent(struct session *s, unsigned flow, struct interval *iv, struct pkt *p,
          int64_t late_ns)
{
	struct book_flow *k = &iv->book->flow[flow];

	p->counted = true;
	p->iv = iv;
	p->book = iv->book;
	iv->sent++;
	iv->outstanding++;
	if (iv->flow)
		iv->flow[flow].sent++;
	if (!k->has_seq)
		k->first_seq = p->seq;
	k->has_seq = true;
	k->last_seq = p->seq;
	interval_reserve(iv, iv->sent, s->conf.detail);
	if (s->conf.detail)
		samples_add(&iv->lateness, late_ns);
}

void
session_sent(struct session *s, unsigned flow, struct clock_pair sched,
             struct clock_pair t1, uint64_t t1_wire)
{
	const bool counted = !is_warmup(s);
	struct interval *iv;
	struct flow *f;
	struct pkt *p;

	if (flow >= s->p.flows)
		return;
	f = &s->flow[flow];
	step_watch(s, t1);
	iv = interval_of(s, sched);
	make_room(s, flow);
	p = seqwin_push(&f->win);
	runtrack_sent(&s->runs, flow, p);
	s->tries++;
	s->turn = (flow + 1) % s->p.flows;
	p->t1 = t1;
	p->t1_wire = t1_wire;
	p->no_pred = f->no_pred;
	f->no_pred = false;
	if (counted && iv)
		book_sent(s, flow, iv, p, mono_diff_ns(t1.mono, sched.mono));
}

bool
session_tx_stamp(struct session *s, unsigned flow, uint32_t seq,
                 struct clock_pair t1, int64_t nic_ns, struct clock_pair now)
{
	struct pkt *p =
	    flow < s->p.flows ? seqwin_find(&s->flow[flow].win, seq) : NULL;

	step_watch(s, now);
	if (!p || p->state != PKT_SENT || p->t1_kernel ||
	    mono_diff_ns(t1.mono, p->t1.mono) < 0 ||
	    mono_diff_ns(now.mono, t1.mono) < 0)
		return false;
	p->t1 = t1;
	p->moved_ns = 0;
	p->t1_kernel = true;
	p->t1_nic_ns = nic_ns;
	return true;
}

void
session_local_drops(struct session *s, uint32_t n)
{
	struct interval *iv = s->open.last;

	if (s->clock_seen)
		runtrack_dropped(&s->runs, s->now);
	if (iv) {
		iv->local_drops += n;
		iv->flags |= RESULT_HOST_LIMITED;
	} else {
		s->held.local_drops += n;
	}
}

/* --- time ------------------------------------------------------------ */

static bool
timed_out(const struct session *s, const struct pkt *p, struct mono now)
{
	return mono_diff_ns(now, p->t1.mono) > s->p.loss_timeout_ns;
}

/* The oldest packet of the flow that is not decided, or NULL. */
static struct pkt *
tail_pkt(struct seqwin *w)
{
	for (; w->tail != w->next; w->tail++) {
		struct pkt *p = seqwin_find(w, w->tail);

		if (p && p->state == PKT_SENT)
			return p;
	}
	return NULL;
}

static void
lose_overdue(struct session *s, struct mono now, session_lost_fn *lost,
             void *arg)
{
	for (unsigned i = 0; i < s->p.flows; i++) {
		struct flow *f = &s->flow[i];
		struct pkt *p;

		while ((p = tail_pkt(&f->win)) && timed_out(s, p, now)) {
			if (p->iv)
				p->iv->outstanding--;
			lossdir_lost(&f->book, p);
			if (lost && p->counted)
				lost(arg, i, p->seq);
		}
	}
}

void
session_advance(struct session *s, struct clock_pair now, session_lost_fn *lost,
                void *arg)
{
	struct interval *iv;

	step_watch(s, now);
	lose_overdue(s, now.mono, lost, arg);
	runtrack_advance(&s->runs, flow_book, s, now.mono);
	while ((iv = s->open.head) && iv->outstanding == 0 &&
	       mono_diff_ns(now.mono, iv->close_at) >= 0)
		interval_close_head(s);
}

static struct mono
mono_later(struct mono m, int64_t d_ns)
{
	return m.ns > INT64_MAX - d_ns ? FOREVER : mono_add_ns(m, d_ns);
}

static const struct pkt *
oldest_waiting(const struct seqwin *w)
{
	for (uint32_t seq = w->tail; seq != w->next; seq++) {
		const struct pkt *p = seqwin_find(w, seq);

		if (p && p->state == PKT_SENT)
			return p;
	}
	return NULL;
}

struct mono
session_deadline(const struct session *s)
{
	const struct interval *iv = s->open.head;
	struct mono at = iv && iv->outstanding == 0 ? iv->close_at : FOREVER;

	for (unsigned i = 0; i < s->p.flows; i++) {
		const struct pkt *p = oldest_waiting(&s->flow[i].win);
		struct mono due;

		if (!p)
			continue;
		due = mono_later(p->t1.mono, s->p.loss_timeout_ns + 1);
		if (due.ns < at.ns)
			at = due;
	}
	return at;
}

static void
cut_open(struct session *s, struct mono now, uint32_t flag)
{
	for (struct interval *iv = s->open.head; iv; iv = iv->next) {
		if (mono_diff_ns(iv->end, now) <= 0)
			continue;
		iv->flags |= flag;
		if (mono_diff_ns(iv->to, now) > 0)
			iv->to = now;
	}
}

void
session_finish(struct session *s, struct clock_pair now, uint32_t flag)
{
	session_advance(s, now, NULL, NULL);
	for (unsigned i = 0; i < s->p.flows; i++) {
		struct pkt *p;

		while ((p = tail_pkt(&s->flow[i].win)))
			take_out(p, i, RESULT_PARTIAL);
	}
	runtrack_finish(&s->runs, flow_book, s, now.mono);
	cut_open(s, now.mono, flag);
	while (s->open.head) {
		s->open.head->cut = true;
		interval_close_head(s);
	}
	s->fresh = s->stepped = true;
	flows_cut(s);
}

/* --- what is taken out ----------------------------------------------- */

bool
session_take(struct session *s, struct result *out)
{
	struct interval *iv = s->closed.head;

	if (!iv)
		return false;
	iv = list_pop(&s->closed);
	interval_result(iv, &s->conf, out);
	out->dst_id = s->p.dst_id;
	out->class_id = s->p.class_id;
	iv->book->clock_ns = s->clock_off_ns;
	iv->book->shipped = true;
	iv->book->changed = false;
	spare_put(s, iv);
	books_tidy(s);
	return true;
}

bool
session_take_run(struct session *s, struct loss_run *out)
{
	struct run_news *n = s->runs.news;

	if (!n)
		return false;
	s->runs.news = n->next;
	if (!n->next)
		s->runs.news_end = &s->runs.news;
	*out = n->run;
	free(n);
	out->dst_id = s->p.dst_id;
	out->class_id = s->p.class_id;
	return true;
}

bool
session_take_revision(struct session *s, struct revision *out,
                      int64_t *clock_ns)
{
	for (struct book *k = s->books.head; k; k = k->next) {
		struct tally sum;

		if (!k->shipped || !k->changed)
			continue;
		k->changed = false;
		sum = book_sum(k);
		*out = (struct revision){.dst_id = s->p.dst_id,
		                         .class_id = s->p.class_id,
		                         .start = k->start,
		                         .lost_fwd = sum.fwd,
		                         .lost_bwd = sum.bwd,
		                         .lost_undet = tally_undet(&sum)};
		if (clock_ns)
			*clock_ns = k->clock_ns;
		books_tidy(s);
		return true;
	}
	return false;
}

int64_t
session_clock_ns(const struct session *s)
{
	return s->clock_seen ? s->clock_off_ns : NS_UNKNOWN;
}

uint32_t
session_outstanding(const struct session *s)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < s->p.flows; i++) {
		const struct seqwin *w = &s->flow[i].win;

		for (uint32_t seq = w->tail; seq != w->next; seq++) {
			const struct pkt *p = seqwin_find(w, seq);

			n += p && p->state == PKT_SENT;
		}
	}
	return n;
}
