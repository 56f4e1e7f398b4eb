/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open intervals form a list, oldest first; there are (loss timeout + 0.5 s) /
 * interval + 2 of them at most. They close at the head, move to the closed
 * list, and become results when taken, so that sorting and histograms are paid
 * there, in slices. Interval buffers are reused.
 *
 * A packet is in the window (seqwin) and points to its interval. Conservation,
 * of each interval at its close: sent = received + lost; lost = forward +
 * backward + undetermined.
 */
#include "lib/stats/session.h"
#include "lib/stats/interval.h"
#include "lib/stats/lossdir.h"
#include "lib/stats/seqwin.h"

#include <stdlib.h>
#include <string.h>

#define CLOSE_GRACE_NS (500 * NS_PER_MS) /* rule 2 */
#define STEP_NS (10 * NS_PER_MS)         /* more is no slew */
#define RING_SLACK_NS (500 * NS_PER_MS)  /* sends late by their schedule */
#define RING_SLACK_PKTS                                      \
	128 /* two bitmaps, so that late replies find theirs \
	     */
#define FOREVER ((struct mono){INT64_MAX})

struct interval_list {
	struct interval *head, *last; /* owned */
};

/* What came while no interval was open; goes into the next one. */
struct held {
	uint32_t late, duplicates, local_drops;
};

struct session {
	struct session_params p;
	uint64_t epoch;
	struct seqwin win;
	struct lossdir dir;
	struct interval_list open, closed;
	struct interval *spare; /* owned: list of buffers to reuse */
	struct held held;
	struct jitter fwd_jitter, bwd_jitter;
	int64_t
	    clock_off_ns; /* wall - mono, last seen; valid when clock_seen */
	bool clock_seen;
	struct wall last_start; /* of the intervals so far */
	struct wall closed_end; /* slots before it are too late to be told */
	bool fresh;             /* the next interval begins at its first slot */
	bool stepped; /* the clock stepped since the last one was opened */
	bool no_pred; /* the next packet has no predecessor */
	bool answered;
};

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

struct session *
session_new(const struct session_params *p)
{
	struct session *s = calloc(1, sizeof(*s));
	const int64_t gap = p->gap_ns > 0 ? p->gap_ns : 1;
	const int64_t need =
	    (p->loss_timeout_ns + CLOSE_GRACE_NS + RING_SLACK_NS) / gap +
	    RING_SLACK_PKTS;

	if (!s)
		return NULL;
	s->p = *p;
	s->fresh = true;
	s->last_start = s->closed_end = (struct wall){INT64_MIN / 2};
	if (!seqwin_init(&s->win, need < INT32_MAX ? (uint32_t)need : INT32_MAX,
	                 p->first_seq)) {
		free(s);
		return NULL;
	}
	return s;
}

static void
list_free(struct interval *iv)
{
	while (iv) {
		struct interval *next = iv->next;

		free(iv->sample);
		free(iv);
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
	seqwin_release(&s->win);
	free(s);
}

void
session_set_epoch(struct session *s, uint64_t epoch)
{
	s->epoch = epoch;
}

unsigned
session_next_flow(const struct session *s)
{
	(void)s;
	return 0;
}

uint32_t
session_next_seq(const struct session *s, unsigned flow)
{
	(void)flow;
	return s->win.next;
}

bool
session_answered(const struct session *s)
{
	return s->answered;
}

static void
list_append(struct interval_list *l, struct interval *iv)
{
	iv->next = NULL;
	if (l->last)
		l->last->next = iv;
	else
		l->head = iv;
	l->last = iv;
}

static struct interval *
list_pop(struct interval_list *l)
{
	struct interval *iv = l->head;

	l->head = iv->next;
	if (!l->head)
		l->last = NULL;
	iv->next = NULL;
	return iv;
}

static void
spare_put(struct session *s, struct interval *iv)
{
	iv->next = s->spare;
	s->spare = iv;
}

static struct interval *
spare_get(struct session *s)
{
	struct interval *iv = s->spare;

	if (iv)
		s->spare = iv->next;
	else
		iv = calloc(1, sizeof(*iv));
	if (iv)
		interval_reset(iv);
	return iv;
}

/* --- intervals ------------------------------------------------------- */

static int64_t
floor_to(int64_t v, int64_t step)
{
	const int64_t r = v % step;

	return r < 0 ? v - r - step : v - r;
}

static struct mono
mono_later(struct mono m, int64_t d_ns)
{
	return m.ns > INT64_MAX - d_ns ? FOREVER : mono_add_ns(m, d_ns);
}

/* Sets span and end of an interval whose first slot is at `at`. What is left
 * of an interval that a step cut begins at the step, so that no two results
 * have one start. */
static void
interval_place(const struct session *s, struct interval *iv,
               struct clock_pair at)
{
	const int64_t length = s->p.interval_ns;
	struct wall start;

	iv->from = at.mono;
	iv->start = at.wall;
	if (!s->p.align) {
		iv->wall_end = (struct wall){INT64_MAX};
		iv->end = iv->to = iv->close_at = FOREVER;
		return;
	}
	start = (struct wall){floor_to(at.wall.ns, length)};
	iv->wall_end = wall_add_ns(start, length);
	iv->end = iv->to = wall_to_mono(iv->wall_end, at);
	iv->close_at =
	    mono_add_ns(iv->end, s->p.loss_timeout_ns + CLOSE_GRACE_NS);
	if (!s->stepped || wall_diff_ns(start, s->last_start) > 0)
		iv->start = start;
	if (!s->fresh)
		iv->from = mono_add_ns(iv->end, -length);
}

static struct interval *
interval_open(struct session *s, struct clock_pair at)
{
	struct interval *iv;

	if (s->p.align && wall_diff_ns(at.wall, s->closed_end) < 0)
		return NULL;
	iv = spare_get(s);
	if (!iv)
		return NULL;
	interval_place(s, iv, at);
	s->last_start = iv->start;
	s->fresh = s->stepped = false;
	iv->epoch = s->epoch;
	iv->late = s->held.late;
	iv->duplicates = s->held.duplicates;
	iv->local_drops = s->held.local_drops;
	if (iv->local_drops)
		iv->flags |= RESULT_HOST_LIMITED;
	memset(&s->held, 0, sizeof(s->held));
	if (s->p.align && s->p.gap_ns > 0)
		interval_reserve(iv,
		                 (size_t)(s->p.interval_ns / s->p.gap_ns) + 16);
	list_append(&s->open, iv);
	return iv;
}

static struct interval *
interval_find(const struct session *s, struct wall at)
{
	for (struct interval *iv = s->open.head; iv; iv = iv->next) {
		if (!iv->cut && wall_diff_ns(at, iv->start) >= 0 &&
		    wall_diff_ns(at, iv->wall_end) < 0)
			return iv;
	}
	return NULL;
}

/* NULL when its interval was closed already, or out of memory: such packets
 * are not counted. */
static struct interval *
interval_of(struct session *s, struct clock_pair sched)
{
	struct interval *iv = interval_find(s, sched.wall);

	return iv ? iv : interval_open(s, sched);
}

/* For what is booked by its arrival. */
static struct interval *
interval_at(struct session *s, struct wall at)
{
	struct interval *iv = interval_find(s, at);

	return iv ? iv : s->open.last;
}

/* Closes the oldest open interval. */
static void
interval_close_head(struct session *s)
{
	struct interval *iv = list_pop(&s->open);

	if (!iv->cut)
		s->closed_end = iv->wall_end;
	if (iv->has_seq) {
		uint32_t seq = iv->last_seq;
		struct pkt *p;

		while ((p = seqwin_find(&s->win, seq))) {
			if (p->iv == iv)
				p->iv = NULL;
			if (seq-- == iv->first_seq)
				break;
		}
	}
	if (interval_is_empty(iv))
		spare_put(s, iv);
	else
		list_append(&s->closed, iv);
}

/* --- clock steps ----------------------------------------------------- */

static void
step_cut(struct session *s, struct mono now)
{
	for (struct interval *iv = s->open.head; iv; iv = iv->next) {
		if (!iv->cut && mono_diff_ns(iv->end, now) > 0) {
			iv->flags |= RESULT_CLOCK_STEP;
			iv->to = now;
			iv->close_at = mono_add_ns(now, s->p.loss_timeout_ns +
			                                    CLOSE_GRACE_NS);
		}
		iv->cut = true;
	}
	for (uint32_t seq = s->win.tail; seq != s->win.next; seq++) {
		struct pkt *p = seqwin_find(&s->win, seq);

		if (p)
			p->stepped = true;
	}
	jitter_cut(&s->fwd_jitter);
	jitter_cut(&s->bwd_jitter);
	s->fresh = s->stepped = s->no_pred = true;
	s->closed_end = (struct wall){INT64_MIN / 2};
}

static void
step_watch(struct session *s, struct clock_pair at)
{
	const int64_t off = delay_ns(at.wall.ns, at.mono.ns);
	const bool seen = s->clock_seen;
	int64_t moved;

	if (off == NS_UNKNOWN)
		return;
	moved = off - s->clock_off_ns;
	s->clock_off_ns = off;
	s->clock_seen = true;
	if (seen && (moved > STEP_NS || moved < -STEP_NS))
		step_cut(s, at.mono);
}

/* --- sending --------------------------------------------------------- */

static bool
is_warmup(const struct session *s)
{
	return s->win.sent < s->p.warmup;
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
	interval_reserve(iv, (size_t)iv->sent + 1);
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

	if (iv && !is_warmup(s))
		iv->send_failed++;
}

/* p was not decided: it is as if it had not been sent. */
static void
take_out(struct pkt *p, uint32_t flags)
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
	iv->flags |= flags;
}

void
session_sent(struct session *s, unsigned flow, struct clock_pair sched,
             struct clock_pair t1, uint64_t t1_wire)
{
	const bool counted = !is_warmup(s);
	struct interval *iv;
	struct pkt *p;

	(void)flow;
	step_watch(s, t1);
	iv = interval_of(s, sched);
	p = seqwin_oldest(&s->win);
	if (p) { /* SENT only in a burst above the rate: our own limit */
		take_out(p, RESULT_HOST_LIMITED | RESULT_PARTIAL);
		lossdir_evict(&s->dir, p);
	}
	p = seqwin_push(&s->win);
	p->t1 = t1;
	p->t1_wire = t1_wire;
	p->no_pred = s->no_pred;
	s->no_pred = false;
	if (!counted || !iv)
		return;
	p->counted = true;
	p->iv = iv;
	iv->sent++;
	iv->outstanding++;
	if (!iv->has_seq)
		iv->first_seq = p->seq;
	iv->has_seq = true;
	iv->last_seq = p->seq;
	interval_reserve(iv, iv->sent);
}

bool
session_tx_stamp(struct session *s, unsigned flow, uint32_t seq,
                 struct clock_pair t1, int64_t nic_ns, struct clock_pair now)
{
	struct pkt *p = seqwin_find(&s->win, seq);

	(void)flow;
	(void)nic_ns;
	if (!p || p->state != PKT_SENT ||
	    mono_diff_ns(t1.mono, p->t1.mono) < 0 ||
	    mono_diff_ns(now.mono, t1.mono) < 0)
		return false;
	p->t1 = t1;
	return true;
}

void
session_local_drops(struct session *s, uint32_t n)
{
	if (s->open.last) {
		s->open.last->local_drops += n;
		s->open.last->flags |= RESULT_HOST_LIMITED;
	} else {
		s->held.local_drops += n;
	}
}

/* --- replies --------------------------------------------------------- */

static void
count_late(struct session *s, struct wall at)
{
	struct interval *iv = interval_at(s, at);
	uint32_t *n = iv ? &iv->late : &s->held.late;

	++*n;
}

static void
count_duplicate(struct session *s, const struct pkt *p, struct wall at)
{
	struct interval *iv = p->iv ? p->iv : interval_at(s, at);
	uint32_t *n = iv ? &iv->duplicates : &s->held.duplicates;

	if (p->counted)
		++*n;
}

static struct sample
sample_of(const struct pkt *p, const struct session_reply *r)
{
	const int64_t raw = delay_ns(r->t4.mono.ns, p->t1.mono.ns);
	const int64_t residence = delay_ns(r->t3.ns, r->t2.ns);
	struct sample m = {NS_UNKNOWN, NS_UNKNOWN, NS_UNKNOWN, NS_UNKNOWN,
	                   -1,         -1,         p->counted};

	if (raw != NS_UNKNOWN && raw >= 0) {
		m.raw_rtt_ns = raw;
		if (residence != NS_UNKNOWN && residence >= 0 &&
		    residence <= raw)
			m.rtt_ns = raw - residence;
	}
	m.fwd_ns = delay_ns(r->t2.ns, p->t1.wall.ns);
	if (!p->stepped) /* else T1's clock is not T4's */
		m.bwd_ns = delay_ns(r->t4.wall.ns, r->t3.ns);
	if (r->sender_ttl >= 0 && r->sender_ttl <= 255)
		m.fwd_hops = 255 - r->sender_ttl;
	if (r->ttl >= 0 && r->ttl <= 255)
		m.bwd_hops = 255 - r->ttl;
	return m;
}

static void
ipdv_one(struct delay_acc *acc, int64_t earlier_ns, int64_t later_ns)
{
	if (earlier_ns == NS_UNKNOWN || later_ns == NS_UNKNOWN)
		return;
	delay_acc_add(acc, later_ns > earlier_ns ? later_ns - earlier_ns
	                                         : earlier_ns - later_ns);
}

/* The pair (p - 1, p), if both arrived; it belongs to p's interval. */
static void
ipdv_pair(const struct seqwin *w, const struct pkt *p)
{
	const struct pkt *before;

	if (!p || p->state != PKT_RECEIVED || p->no_pred || !p->iv)
		return;
	before = seqwin_find(w, p->seq - 1);
	if (!before || before->state != PKT_RECEIVED || !before->counted)
		return;
	ipdv_one(&p->iv->fwd_ipdv, before->fwd_ns, p->fwd_ns);
	ipdv_one(&p->iv->bwd_ipdv, before->bwd_ns, p->bwd_ns);
}

static void
jitter_one(struct jitter *j, struct jitter_seen *seen, int64_t d_ns)
{
	if (d_ns == NS_UNKNOWN || !jitter_add(j, d_ns))
		return;
	seen->j_ns = j->j_ns;
	seen->seen = true;
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
book_received(struct session *s, struct pkt *p, const struct session_reply *r,
              const struct sample *m)
{
	struct interval *iv = p->iv;
	struct pkt *after = seqwin_find(&s->win, p->seq + 1);

	iv->outstanding--;
	iv->received++;
	if (m->rtt_ns != NS_UNKNOWN)
		interval_add_rtt(iv, m->rtt_ns);
	if (m->fwd_ns != NS_UNKNOWN)
		delay_acc_add(&iv->fwd, m->fwd_ns);
	if (m->bwd_ns != NS_UNKNOWN)
		delay_acc_add(&iv->bwd, m->bwd_ns);
	ipdv_pair(&s->win, p);
	ipdv_pair(&s->win, after);
	if (!p->stepped) {
		jitter_one(&s->fwd_jitter, &iv->fwd_jitter, m->fwd_ns);
		jitter_one(&s->bwd_jitter, &iv->bwd_jitter, m->bwd_ns);
	}
	if (m->fwd_hops >= 0)
		iv->fwd_hops = m->fwd_hops;
	if (m->bwd_hops >= 0)
		iv->bwd_hops = m->bwd_hops;
	book_clock(iv, r);
	if (!r->t4_is_kernel)
		iv->flags |= RESULT_HOST_LIMITED;
}

static void
learn_direction(struct session *s, const struct pkt *p,
                const struct session_reply *r)
{
	const struct lossdir_report report = {
	    .instance_id = r->instance_id,
	    .bitmap = r->bitmap,
	    .highest = r->bitmap_highest,
	    .distinct = r->bitmap_received - r->bitmap_duplicates,
	};

	if (r->has_bitmap && r->stateful &&
	    r->bitmap_received >= r->bitmap_duplicates &&
	    lossdir_plausible(&report, &s->win, r->seq)) {
		lossdir_learn(&s->dir, &s->win, s->open.head, &report);
		return;
	}
	lossdir_forget(&s->dir, s->open.head);
	if (p->iv)
		p->iv->flags |= RESULT_STATELESS;
}

/* A reply to a packet that waits for one, or that was given up. */
static enum reply_verdict
answer(struct session *s, struct pkt *p, const struct session_reply *r,
       struct sample *out)
{
	const int64_t raw = delay_ns(r->t4.mono.ns, p->t1.mono.ns);
	const bool given_up = p->state == PKT_LOST;
	struct sample m;

	if ((raw != NS_UNKNOWN && raw > s->p.loss_timeout_ns) ||
	    (given_up && p->counted && !p->iv)) {
		if (p->late) {
			count_duplicate(s, p, r->t4.wall);
			return REPLY_DUPLICATE;
		}
		p->late = true;
		if (p->counted)
			count_late(s, r->t4.wall);
		return REPLY_LATE;
	}
	if (given_up) { /* its stamp says that it was in time */
		lossdir_unlost(p);
		if (p->iv)
			p->iv->outstanding++;
	}
	m = sample_of(p, r);
	p->state = PKT_RECEIVED;
	p->fwd_ns = m.fwd_ns;
	p->bwd_ns = m.bwd_ns;
	if (p->iv)
		book_received(s, p, r, &m);
	if (out)
		*out = m;
	return REPLY_OK;
}

enum reply_verdict
session_reply(struct session *s, unsigned flow, const struct session_reply *r,
              struct sample *out)
{
	struct pkt *p = seqwin_find(&s->win, r->seq);
	enum reply_verdict v;

	(void)flow;
	if (!p || p->state == PKT_NONE)
		return REPLY_UNKNOWN;
	if (p->t1_wire != r->t1_wire)
		return REPLY_ALTERED;
	step_watch(s, r->t4);
	s->answered = true;
	if (p->state == PKT_RECEIVED) {
		count_duplicate(s, p, r->t4.wall);
		v = REPLY_DUPLICATE;
	} else {
		v = answer(s, p, r, out);
	}
	learn_direction(s, p, r);
	return v;
}

/* --- time ------------------------------------------------------------ */

static bool
timed_out(const struct session *s, const struct pkt *p, struct mono now)
{
	return mono_diff_ns(now, p->t1.mono) > s->p.loss_timeout_ns;
}

/* The oldest packet that is not decided, or NULL. */
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
lose(struct pkt *p, session_lost_fn *lost, void *arg)
{
	if (p->iv)
		p->iv->outstanding--;
	lossdir_lost(p);
	if (lost && p->counted)
		lost(arg, 0, p->seq);
}

void
session_advance(struct session *s, struct clock_pair now, session_lost_fn *lost,
                void *arg)
{
	struct interval *iv;
	struct pkt *p;

	step_watch(s, now);
	while ((p = tail_pkt(&s->win)) && timed_out(s, p, now.mono))
		lose(p, lost, arg);
	while ((iv = s->open.head) && iv->outstanding == 0 &&
	       mono_diff_ns(now.mono, iv->close_at) >= 0)
		interval_close_head(s);
}

struct mono
session_deadline(const struct session *s)
{
	const struct interval *iv = s->open.head;
	struct mono at = iv && iv->outstanding == 0 ? iv->close_at : FOREVER;

	for (uint32_t seq = s->win.tail; seq != s->win.next; seq++) {
		const struct pkt *p = seqwin_find(&s->win, seq);
		struct mono due;

		if (!p || p->state != PKT_SENT)
			continue;
		due = mono_later(p->t1.mono, s->p.loss_timeout_ns + 1);
		if (due.ns < at.ns)
			at = due;
		break;
	}
	return at;
}

void
session_finish(struct session *s, struct clock_pair now, uint32_t flag)
{
	struct pkt *p;

	session_advance(s, now, NULL, NULL);
	while ((p = tail_pkt(&s->win)))
		take_out(p, RESULT_PARTIAL);
	for (struct interval *iv = s->open.head; iv; iv = iv->next) {
		if (mono_diff_ns(iv->end, now.mono) <= 0)
			continue;
		iv->flags |= flag;
		if (mono_diff_ns(iv->to, now.mono) > 0)
			iv->to = now.mono;
	}
	while (s->open.head) {
		s->open.head->cut = true;
		interval_close_head(s);
	}
	s->fresh = s->stepped = s->no_pred = true;
	jitter_cut(&s->fwd_jitter);
	jitter_cut(&s->bwd_jitter);
}

bool
session_take(struct session *s, struct result *out)
{
	struct interval *iv = s->closed.head;

	if (!iv)
		return false;
	iv = list_pop(&s->closed);
	interval_result(iv, s->p.interval_ns, out);
	out->dst_id = s->p.dst_id;
	out->class_id = s->p.class_id;
	spare_put(s, iv);
	return true;
}

uint32_t
session_outstanding(const struct session *s)
{
	uint32_t n = 0;

	for (uint32_t seq = s->win.tail; seq != s->win.next; seq++) {
		const struct pkt *p = seqwin_find(&s->win, seq);

		if (p && p->state == PKT_SENT)
			n++;
	}
	return n;
}
