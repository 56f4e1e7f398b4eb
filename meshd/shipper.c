/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/shipper_int.h"

#include "lib/base/rng.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_SEAL_NS (5 * NS_PER_S)

struct shipper *
shipper_new(const struct shipper_opts *o)
{
	struct shipper *s = calloc(1, sizeof(*s));

	if (s)
		s->o = *o;
	return s;
}

static void
group_clear(struct shipper *s, struct group *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->letter[i]);
	s->stats.waiting -= g->n;
	free(g->letter);
	memset(g, 0, sizeof(*g));
}

static void
group_remove(struct shipper *s, size_t i)
{
	group_clear(s, &s->group[i]);
	s->group_n--;
	memmove(&s->group[i], &s->group[i + 1],
	        (s->group_n - i) * sizeof(s->group[0]));
}

void
shipper_free(struct shipper *s)
{
	if (!s)
		return;
	while (s->group_n > 0)
		group_remove(s, s->group_n - 1);
	news_clear(&s->runs);
	news_clear(&s->revisions);
	free(s->class_);
	free(s);
}

const struct shipper_stats *
shipper_stats(const struct shipper *s)
{
	return &s->stats;
}

/* ---- the plan ---- */

static bool
has_family(const struct roster_node *n, int family)
{
	for (size_t i = 0; i < n->address_n; i++) {
		const int f = addr_family(&n->address[i]);

		if (family == 0 || (family == 4 && f == AF_INET) ||
		    (family == 6 && f == AF_INET6))
			return true;
	}
	return false;
}

static size_t
count_sessions(const struct roster *r, uint32_t self_id, int family)
{
	size_t n = 0;

	for (size_t i = 0; i < r->node_n; i++)
		n += r->node[i].node_id != self_id && !r->node[i].paused &&
		     has_family(&r->node[i], family);
	return n;
}

void
shipper_set_roster(struct shipper *s, const struct roster *r, uint32_t self_id)
{
	struct class_plan *p = calloc(r->class_n + 1, sizeof(*p));

	if (!p)
		return; /* the old one serves: groups end by their timer */
	for (size_t i = 0; i < r->class_n; i++) {
		const struct roster_class *c = &r->class_[i];

		p[i] = (struct class_plan){
		    c->class_id, count_sessions(r, self_id, c->family),
		    c->ship_spread_ns};
	}
	free(s->class_);
	s->class_ = p;
	s->class_n = r->class_n;
}

static const struct class_plan *
class_plan(const struct shipper *s, uint32_t class_id)
{
	for (size_t i = 0; i < s->class_n; i++) {
		if (s->class_[i].class_id == class_id)
			return &s->class_[i];
	}
	return NULL;
}

/* ---- collecting ---- */

/* A gap of results that are dated by one clock, as another one dates it. */
static struct gap
gap_by_clock(const struct gap *g, int64_t has_ns, int64_t wants_ns)
{
	struct gap out = *g;

	if (has_ns != NS_UNKNOWN && wants_ns != NS_UNKNOWN) {
		out.from = wall_add_ns(out.from, wants_ns - has_ns);
		out.to = wall_add_ns(out.to, wants_ns - has_ns);
	}
	return out;
}

static void
note_lost(struct shipper *s, const struct gap *lost, int64_t clock_ns)
{
	struct gap *g = &s->lost, more;

	s->stats.lost_rows += lost->rows;
	if (g->rows == 0) {
		*g = *lost;
		s->lost_clock_ns = clock_ns;
		return;
	}
	more = gap_by_clock(lost, clock_ns, s->lost_clock_ns);
	if (more.from.ns < g->from.ns)
		g->from = more.from;
	if (more.to.ns > g->to.ns)
		g->to = more.to;
	g->rows += more.rows;
}

static struct gap
gap_of(struct wall start, int64_t interval_ns, uint64_t rows,
       const char *reason)
{
	struct gap g = {start, wall_add_ns(start, interval_ns), rows, ""};

	(void)snprintf(g.reason, sizeof(g.reason), "%s", reason);
	return g;
}

static void
group_lose(struct shipper *s, size_t i, const char *reason)
{
	const struct group *g = &s->group[i];
	const struct gap lost = gap_of(g->start, g->interval_ns, g->n, reason);

	note_lost(s, &lost, g->clock_ns);
	group_remove(s, i);
}

static struct group *
find_group(struct shipper *s, const struct result *r, int64_t clock_ns)
{
	for (size_t i = s->group_n; i-- > 0;) {
		struct group *g = &s->group[i];

		if (g->class_id == r->class_id && g->start.ns == r->start.ns &&
		    g->interval_ns == r->interval_ns && g->epoch == r->epoch &&
		    letters_same_clock(g->clock_ns, clock_ns))
			return g;
	}
	return NULL;
}

static struct group *
open_group(struct shipper *s, const struct result *r, int64_t clock_ns)
{
	struct group *g;

	if (s->group_n == GROUPS_MAX)
		group_lose(s, 0, "out of memory");
	g = &s->group[s->group_n++];
	memset(g, 0, sizeof(*g));
	g->class_id = r->class_id;
	g->start = r->start;
	g->interval_ns = r->interval_ns;
	g->epoch = r->epoch;
	g->clock_ns = clock_ns;
	return g;
}

static bool
group_push(struct group *g, struct result_letter *l)
{
	if (g->n == g->cap) {
		const size_t cap = g->cap ? g->cap * 2 : 16;
		struct result_letter **p = reallocarray(
		    g->letter, cap, sizeof(struct result_letter *));

		if (!p)
			return false;
		g->letter = p;
		g->cap = cap;
	}
	g->letter[g->n++] = l;
	return true;
}

static void
add_result(struct shipper *s, struct result_letter *l, struct mono now)
{
	const struct result *r = &l->result;
	const struct class_plan *p = class_plan(s, r->class_id);
	struct group *g;

	s->stats.results++;
	while (s->stats.waiting >= SHIPPER_RESULTS_MAX && s->group_n > 0)
		group_lose(s, 0, "disk full");
	g = find_group(s, r, l->clock_ns);
	if (!g)
		g = open_group(s, r, l->clock_ns);
	if (!group_push(g, l)) {
		const struct gap lost =
		    gap_of(r->start, r->interval_ns, 1, "out of memory");

		note_lost(s, &lost, l->clock_ns);
		free(l);
		return;
	}
	s->stats.waiting++;
	g->due = p && g->n >= p->sessions
	             ? now
	             : mono_add_ns(now, SHIPPER_SEAL_AFTER_NS);
}

static void
lose_news(struct shipper *s, uint64_t n, const char *why)
{
	uint64_t held;

	s->stats.lost_news += n;
	if (log_limit_ok(&s->log_news, s->now, &held))
		log_error("%" PRIu64 " loss runs or revisions were dropped: %s",
		          n, why);
}

static void
add_news(struct shipper *s, struct news *l, struct prober_letter *p,
         struct mono now)
{
	if (!news_add(l, p, now))
		lose_news(s, 1, "out of memory");
	while (news_is_over(l)) {
		news_drop(l, 1);
		lose_news(s, 1, "disk full");
	}
}

void
shipper_add(struct shipper *s, struct prober_letter *l, struct mono now)
{
	switch (l->kind) {
	case LETTER_RESULT:
		add_result(s, (struct result_letter *)(void *)l, now);
		break;
	case LETTER_RUN:
		s->stats.runs++;
		add_news(s, &s->runs, l, now);
		break;
	case LETTER_REVISION:
		s->stats.revisions++;
		add_news(s, &s->revisions, l, now);
		break;
	}
}

/* ---- sealing ---- */

static void
hold_back(struct shipper *s, uint64_t seq, uint32_t class_id, struct mono now)
{
	const struct class_plan *p = class_plan(s, class_id);
	const struct hash_key key = {0x74776d657368, 1};
	uint64_t h;

	if (!p || p->spread_ns <= 0 || s->hold_n == HOLDS_MAX)
		return;
	h = hash_bytes(s->o.node_name, strlen(s->o.node_name), key);
	s->hold[s->hold_n++] = (struct hold){
	    seq, mono_add_ns(now, (int64_t)(h % (uint64_t)p->spread_ns))};
}

/* Would a controller take it? A batch that none takes would be sent for ever.
 */
static bool
is_acceptable(struct shipper *s, const uint8_t *body, size_t len)
{
	const char *field = NULL;
	struct batch_body b;
	const enum msg_err e = batch_body_decode(body, len, &b, &field);
	uint64_t held;

	if (e == MSG_OK) {
		batch_body_clear(&b);
		return true;
	}
	if (log_limit_ok(&s->log_bad, s->now, &held))
		log_error("results were dropped: this program made a batch "
		          "that is not valid: %s%s%s",
		          msg_err_str(e), field ? ": " : "",
		          field ? field : "");
	return false;
}

/* 0 with *seq (0: it was not valid, and dropped), or -errno with nothing kept.
 */
static int
seal_body(struct shipper *s, const struct batch_input *in,
          const struct spool_span *span, struct wall now, uint64_t *seq)
{
	uint8_t *body = NULL;
	size_t len;
	int rc = 0;

	*seq = 0;
	if (!batch_body_encode(in, &body, &len))
		return -ENOMEM;
	if (is_acceptable(s, body, len))
		rc = spool_seal(s->o.spool, now, span, body, len, seq);
	free(body);
	s->stats.sealed += rc == 0 && *seq != 0;
	return rc;
}

/* letter[0..n) of g as one batch; 0, or -errno with nothing kept. */
static int
seal_rows(struct shipper *s, const struct group *g, size_t first, size_t n,
          struct clock_pair now)
{
	const struct result *row[SHIPPER_BATCH_ROWS];
	const struct spool_span span = {g->start,
	                                wall_add_ns(g->start, g->interval_ns),
	                                (uint32_t)n, g->clock_ns};
	const struct gap lost =
	    gap_by_clock(&s->lost, s->lost_clock_ns, g->clock_ns);
	const struct batch_input in = {.result = row,
	                               .result_n = n,
	                               .gap = &lost,
	                               .gap_n = s->lost.rows > 0};
	uint64_t seq;
	int rc;

	for (size_t i = 0; i < n; i++)
		row[i] = &g->letter[first + i]->result;
	rc = seal_body(s, &in, &span, now.wall, &seq);
	if (rc != 0)
		return rc;
	if (seq == 0) {
		const struct gap bad =
		    gap_of(g->start, g->interval_ns, n, "invalid");

		note_lost(s, &bad, g->clock_ns);
		return 0;
	}
	if (in.gap_n)
		memset(&s->lost, 0, sizeof(s->lost));
	hold_back(s, seq, g->class_id, now.mono);
	return 0;
}

/* What was sealed leaves the group; on failure the rest stays. */
static int
seal_group(struct shipper *s, struct group *g, struct clock_pair now)
{
	size_t done = 0;
	int rc = 0;

	while (done < g->n && rc == 0) {
		const size_t left = g->n - done;
		const size_t n =
		    left < SHIPPER_BATCH_ROWS ? left : SHIPPER_BATCH_ROWS;

		rc = seal_rows(s, g, done, n, now);
		if (rc == 0)
			done += n;
	}
	for (size_t i = 0; i < done; i++)
		free(g->letter[i]);
	s->stats.waiting -= done;
	g->n -= done;
	memmove(g->letter, g->letter + done,
	        g->n * sizeof(struct result_letter *));
	return rc;
}

static void
sealing_failed(struct shipper *s, int rc, struct mono now)
{
	uint64_t held;

	if (log_limit_ok(&s->log_seal, now, &held))
		log_error("spool: %s: %" PRIu64 " results, %zu loss runs and "
		          "%zu revisions wait in memory",
		          strerror(-rc), s->stats.waiting, s->runs.n,
		          s->revisions.n);
}

/* Returns when the next group is due. */
static struct mono
seal_groups(struct shipper *s, struct clock_pair now, bool all)
{
	struct mono next = NEVER;

	for (size_t i = 0; i < s->group_n;) {
		struct group *g = &s->group[i];
		int rc;

		if (all || mono_diff_ns(g->due, now.mono) <= 0) {
			rc = seal_group(s, g, now);
			if (rc == 0) {
				group_remove(s, i);
				continue;
			}
			sealing_failed(s, rc, now.mono);
			g->due = mono_add_ns(now.mono, RETRY_SEAL_NS);
		}
		next = sooner(next, g->due);
		i++;
	}
	return next;
}

/* A revision must not be stored before its result. */
static bool
result_waits(const struct shipper *s, const struct revision *r)
{
	for (size_t i = 0; i < s->group_n; i++) {
		if (s->group[i].class_id == r->class_id &&
		    s->group[i].start.ns == r->start.ns)
			return true;
	}
	return false;
}

/* A batch of runs does not wait for its turn, unless there is a backlog: the
 * spool protects only so many batches that may have been sent. */
static void
hurry(struct shipper *s, uint64_t seq)
{
	if (s->urgent_n < URGENT_MAX &&
	    spool_counts(s->o.spool)->batches <= SPOOL_PROTECTED)
		s->urgent[s->urgent_n++] = seq;
	s->retry_send.ns = 0; /* others may wait for their hold */
}

/* The n oldest as one batch. */
static int
seal_some(struct shipper *s, struct news *l, size_t n, struct wall now)
{
	const struct spool_span span = news_span(l, n);
	const struct loss_run *run[NEWS_BATCH];
	const struct revision *revision[NEWS_BATCH];
	struct batch_input in = {.run = run, .revision = revision};
	uint64_t seq;
	int rc;

	if (l == &s->runs)
		in.run_n = n;
	else
		in.revision_n = n;
	for (size_t i = 0; i < n; i++) {
		if (l == &s->runs)
			run[i] = news_run(l, i);
		else
			revision[i] = news_revision(l, i);
	}
	rc = seal_body(s, &in, &span, now, &seq);
	if (rc != 0)
		return rc;
	if (seq == 0)
		lose_news(s, n, "not valid");
	else if (l == &s->runs)
		hurry(s, seq);
	news_drop(l, n);
	return 0;
}

/* How many of the oldest may be sealed now. */
static size_t
may_seal(const struct shipper *s, const struct news *l)
{
	const size_t n = news_batch(l);

	for (size_t i = 0; l == &s->revisions && i < n; i++) {
		if (result_waits(s, news_revision(l, i)))
			return i;
	}
	return n;
}

/* Returns when to try again; revisions that wait for their result are tried
 * whenever a group is due. */
static struct mono
seal_news(struct shipper *s, struct news *l, struct clock_pair now, bool all)
{
	size_t n;
	int rc;

	if (l->n == 0)
		return NEVER;
	if (!all && mono_diff_ns(l->due, now.mono) > 0)
		return l->due;
	while ((n = may_seal(s, l)) > 0) {
		rc = seal_some(s, l, n, now.wall);
		if (rc != 0) {
			sealing_failed(s, rc, now.mono);
			l->due = mono_add_ns(now.mono, RETRY_SEAL_NS);
			return l->due;
		}
	}
	return NEVER;
}

/* Returns when something is due next. */
struct mono
shipper_seal_due(struct shipper *s, struct clock_pair now, bool all)
{
	struct mono next = seal_news(s, &s->runs, now, all);

	next = sooner(next, seal_groups(s, now, all));
	return sooner(next, seal_news(s, &s->revisions, now, all));
}

void
shipper_flush(struct shipper *s, struct clock_pair now)
{
	(void)shipper_seal_due(s, now, true);
	s->hold_n = 0;
	s->retry_send.ns = 0; /* it may have waited for a hold */
}
