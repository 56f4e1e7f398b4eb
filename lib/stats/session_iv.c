/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/session_priv.h"

#include <stdlib.h>
#include <string.h>

#define CLOSE_GRACE_NS (500 * NS_PER_MS) /* rule 2 */
#define STEP_NS (10 * NS_PER_MS)         /* more is no slew */

void
list_append(struct interval_list *l, struct interval *iv)
{
	iv->next = NULL;
	if (l->last)
		l->last->next = iv;
	else
		l->head = iv;
	l->last = iv;
}

struct interval *
list_pop(struct interval_list *l)
{
	struct interval *iv = l->head;

	l->head = iv->next;
	if (!l->head)
		l->last = NULL;
	iv->next = NULL;
	return iv;
}

void
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
		interval_reset(iv, s->p.flows);
	return iv;
}

/* --- opening ---------------------------------------------------------- */

static int64_t
floor_to(int64_t v, int64_t step)
{
	const int64_t r = v % step;

	return r < 0 ? v - r - step : v - r;
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

static void
take_held_counts(struct session *s, struct interval *iv)
{
	iv->late = s->held.late;
	iv->duplicates = s->held.duplicates;
	iv->local_drops = s->held.local_drops;
	if (iv->local_drops)
		iv->flags |= RESULT_HOST_LIMITED;
	memset(&s->held, 0, sizeof(s->held));
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
	iv->book = books_open(&s->books, s->p.flows, iv->start);
	if (!iv->book) {
		spare_put(s, iv);
		return NULL;
	}
	s->last_start = iv->start;
	s->fresh = s->stepped = false;
	iv->epoch = s->epoch;
	take_held_counts(s, iv);
	if (s->p.align && s->p.gap_ns > 0)
		interval_reserve(iv,
		                 (size_t)(s->p.interval_ns / s->p.gap_ns) + 16,
		                 s->conf.detail);
	list_append(&s->open, iv);
	return iv;
}

struct interval *
interval_find(const struct session *s, struct wall at)
{
	for (struct interval *iv = s->open.head; iv; iv = iv->next) {
		if (!iv->cut && wall_diff_ns(at, iv->start) >= 0 &&
		    wall_diff_ns(at, iv->wall_end) < 0)
			return iv;
	}
	return NULL;
}

struct interval *
interval_of(struct session *s, struct clock_pair sched)
{
	struct interval *iv = interval_find(s, sched.wall);

	return iv ? iv : interval_open(s, sched);
}

struct interval *
interval_at(struct session *s, struct wall at)
{
	struct interval *iv = interval_find(s, at);

	return iv ? iv : s->open.last;
}

/* --- closing ---------------------------------------------------------- */

/* Each packet of the book that is still in its flow's window. */
static void
each_packet(struct session *s, const struct book *k,
            void (*fn)(struct pkt *p, const void *what), const void *what)
{
	for (unsigned i = 0; i < k->flows; i++) {
		const struct book_flow *f = &k->flow[i];
		uint32_t seq = f->last_seq;
		struct pkt *p;

		if (!f->has_seq)
			continue;
		while ((p = seqwin_find(&s->flow[i].win, seq))) {
			fn(p, what);
			if (seq-- == f->first_seq)
				break;
		}
	}
}

static void
unlink_interval(struct pkt *p, const void *iv)
{
	if (p->iv == iv)
		p->iv = NULL;
}

static void
unlink_book(struct pkt *p, const void *book)
{
	if (p->book == book)
		p->book = NULL;
}

void
books_tidy(struct session *s)
{
	struct book *k;

	while ((k = books_spent(&s->books))) {
		each_packet(s, k, unlink_book, k);
		free(k);
	}
}

void
interval_close_head(struct session *s)
{
	struct interval *iv = s->open.head;

	settle_interval(s, iv);
	iv = list_pop(&s->open);
	if (!iv->cut)
		s->closed_end = iv->wall_end;
	each_packet(s, iv->book, unlink_interval, iv);
	if (!interval_is_empty(iv)) {
		list_append(&s->closed, iv);
		return;
	}
	iv->book->shipped = true;
	iv->book->changed = false;
	spare_put(s, iv);
	books_tidy(s);
}

/* --- clock steps ----------------------------------------------------- */

void
flows_cut(struct session *s)
{
	for (unsigned i = 0; i < s->p.flows; i++) {
		struct flow *f = &s->flow[i];

		f->no_pred = true;
		jitter_cut(&f->fwd_jitter);
		jitter_cut(&f->bwd_jitter);
	}
}

static void
packets_stepped(struct session *s, int64_t moved_ns)
{
	for (unsigned i = 0; i < s->p.flows; i++) {
		struct seqwin *w = &s->flow[i].win;

		for (uint32_t seq = seqwin_first(w); seq != w->next; seq++) {
			struct pkt *p = seqwin_find(w, seq);

			if (!p)
				continue;
			p->moved_ns =
			    wall_moved((struct wall){p->moved_ns}, moved_ns).ns;
			if (p->has_rseq)
				p->t4 = wall_moved(p->t4, moved_ns);
			if (seq_diff(seq, w->tail) >= 0)
				p->stepped = true;
		}
	}
}

static void
redate_intervals(const struct interval_list *l, int64_t moved_ns)
{
	for (struct interval *iv = l->head; iv; iv = iv->next) {
		iv->start = wall_moved(iv->start, moved_ns);
		iv->wall_end = wall_moved(iv->wall_end, moved_ns);
		iv->book->start = iv->start;
	}
}

/* What was not taken yet is dated by the clock as it is now, so that all that
 * is taken is by one clock, session_clock_ns(). */
static void
redate(struct session *s, int64_t moved_ns)
{
	redate_intervals(&s->open, moved_ns);
	redate_intervals(&s->closed, moved_ns);
	s->last_start = wall_moved(s->last_start, moved_ns);
	packets_stepped(s, moved_ns);
	runtrack_redate(&s->runs, moved_ns);
}

static void
step_cut(struct session *s, struct mono now)
{
	for (struct interval *iv = s->open.head; iv; iv = iv->next) {
		settle_interval(s, iv);
		if (!iv->cut && mono_diff_ns(iv->end, now) > 0) {
			iv->flags |= RESULT_CLOCK_STEP;
			iv->to = now;
			iv->close_at = mono_add_ns(now, s->p.loss_timeout_ns +
			                                    CLOSE_GRACE_NS);
		}
		iv->cut = true;
	}
	flows_cut(s);
	s->fresh = s->stepped = true;
	s->closed_end = (struct wall){INT64_MIN / 2};
}

void
session_slept(struct session *s, int64_t ns)
{
	if (!s->clock_seen)
		return;
	s->clock_off_ns += ns;
	step_cut(s, s->now);
	packets_stepped(s, 0);
}

void
step_watch(struct session *s, struct clock_pair at)
{
	const int64_t off = delay_ns(at.wall.ns, at.mono.ns);
	const bool seen = s->clock_seen;
	int64_t moved;

	if (off == NS_UNKNOWN)
		return;
	moved = off - s->clock_off_ns;
	s->clock_off_ns = off;
	if (!seen || mono_diff_ns(at.mono, s->now) > 0)
		s->now = at.mono;
	s->clock_seen = true;
	if (!seen || (moved <= STEP_NS && moved >= -STEP_NS))
		return;
	step_cut(s, s->now); /* a T4 may be older */
	redate(s, moved);
}
