/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/shipper.h"

#include "lib/base/log.h"
#include "lib/base/rng.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX 1024
#define HOLDS_MAX 512
#define RETRY_SEAL_NS (5 * NS_PER_S)
#define RETRY_SEND_NS (100 * NS_PER_MS)
#define NEVER ((struct mono){INT64_MAX})

/* Results of one class and interval, until they are sealed. */
struct group {
	uint32_t class_id;
	struct wall start;
	int64_t interval_ns;
	uint64_t epoch;
	struct result_letter **letter; /* owned, each */
	size_t n, cap;
	struct mono due; /* to be sealed */
};

struct flight {
	uint64_t seq;
	struct mono sent;
};

/* A batch that waits for its place in the spread. */
struct hold {
	uint64_t seq;
	struct mono until;
};

struct class_plan {
	uint32_t class_id;
	size_t sessions; /* results that an interval has */
	int64_t spread_ns;
};

struct shipper {
	struct shipper_opts o;
	struct class_plan *class_; /* owned */
	size_t class_n;
	struct group group[GROUPS_MAX]; /* oldest first */
	size_t group_n;
	struct hold hold[HOLDS_MAX]; /* lowest number first */
	size_t hold_n;
	struct gap lost; /* rows 0: nothing; told in the next batch */

	bool ready;
	uint32_t window;
	uint64_t cursor; /* numbers below it were sent to this target */
	struct flight flight[SPOOL_PROTECTED];
	size_t flight_n;
	struct mono retry_send;
	struct mono now; /* as last told */

	struct shipper_stats stats;
	struct log_limit log_seal, log_aside, log_bad;
};

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

static void
note_lost(struct shipper *s, struct wall from, struct wall to, uint64_t rows,
          const char *reason)
{
	struct gap *g = &s->lost;

	s->stats.lost_rows += rows;
	if (g->rows == 0) {
		g->from = from;
		g->to = to;
		(void)snprintf(g->reason, sizeof(g->reason), "%s", reason);
	}
	if (from.ns < g->from.ns)
		g->from = from;
	if (to.ns > g->to.ns)
		g->to = to;
	g->rows += rows;
}

static void
group_lose(struct shipper *s, size_t i, const char *reason)
{
	const struct group *g = &s->group[i];

	note_lost(s, g->start, wall_add_ns(g->start, g->interval_ns), g->n,
	          reason);
	group_remove(s, i);
}

static struct group *
find_group(struct shipper *s, const struct result *r)
{
	for (size_t i = s->group_n; i-- > 0;) {
		struct group *g = &s->group[i];

		if (g->class_id == r->class_id && g->start.ns == r->start.ns &&
		    g->interval_ns == r->interval_ns && g->epoch == r->epoch)
			return g;
	}
	return NULL;
}

static struct group *
open_group(struct shipper *s, const struct result *r)
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

void
shipper_add(struct shipper *s, struct result_letter *l, struct mono now)
{
	const struct result *r = &l->result;
	const struct class_plan *p = class_plan(s, r->class_id);
	struct group *g;

	s->stats.results++;
	while (s->stats.waiting >= SHIPPER_RESULTS_MAX && s->group_n > 0)
		group_lose(s, 0, "disk full");
	g = find_group(s, r);
	if (!g)
		g = open_group(s, r);
	if (!group_push(g, l)) {
		note_lost(s, r->start, wall_add_ns(r->start, r->interval_ns), 1,
		          "out of memory");
		free(l);
		return;
	}
	s->stats.waiting++;
	g->due = p && g->n >= p->sessions
	             ? now
	             : mono_add_ns(now, SHIPPER_SEAL_AFTER_NS);
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

/* letter[0..n) of g as one batch; 0, or -errno with nothing kept. */
static int
seal_rows(struct shipper *s, const struct group *g, size_t first, size_t n,
          struct clock_pair now)
{
	const struct result *row[SHIPPER_BATCH_ROWS];
	const bool tell_lost = s->lost.rows > 0;
	struct batch_input in = {0};
	const struct spool_span span = {
	    g->start, wall_add_ns(g->start, g->interval_ns), (uint32_t)n};
	uint8_t *body = NULL;
	uint64_t seq;
	size_t len;
	int rc;

	for (size_t i = 0; i < n; i++)
		row[i] = &g->letter[first + i]->result;
	in.result = row;
	in.result_n = n;
	in.gap = &s->lost;
	in.gap_n = tell_lost;
	if (!batch_body_encode(&in, &body, &len))
		return -ENOMEM;
	if (!is_acceptable(s, body, len)) {
		free(body);
		note_lost(s, span.from, span.to, n, "invalid");
		return 0;
	}
	rc = spool_seal(s->o.spool, now.wall, &span, body, len, &seq);
	free(body);
	if (rc != 0)
		return rc;
	if (tell_lost)
		memset(&s->lost, 0, sizeof(s->lost));
	s->stats.sealed++;
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

/* Returns when the next group is due. */
static struct mono
seal_due(struct shipper *s, struct clock_pair now, bool all)
{
	struct mono next = NEVER;
	uint64_t held;

	for (size_t i = 0; i < s->group_n;) {
		struct group *g = &s->group[i];
		int rc = 0;

		if (!all && mono_diff_ns(g->due, now.mono) > 0) {
			if (g->due.ns < next.ns)
				next = g->due;
			i++;
			continue;
		}
		rc = seal_group(s, g, now);
		if (rc == 0) {
			group_remove(s, i);
			continue;
		}
		if (log_limit_ok(&s->log_seal, now.mono, &held))
			log_error("spool: %s: %" PRIu64
			          " results wait in memory",
			          strerror(-rc), s->stats.waiting);
		g->due = mono_add_ns(now.mono, RETRY_SEAL_NS);
		if (g->due.ns < next.ns)
			next = g->due;
		i++;
	}
	return next;
}

void
shipper_flush(struct shipper *s, struct clock_pair now)
{
	(void)seal_due(s, now, true);
	s->hold_n = 0;
	s->retry_send.ns = 0; /* it may have waited for a hold */
}

/* ---- shipping ---- */

void
shipper_set_target(struct shipper *s, bool ready, uint32_t window, bool again)
{
	if (again || !s->ready) {
		s->cursor = 0;
		s->flight_n = 0;
	}
	s->ready = ready;
	s->window = window < SPOOL_PROTECTED ? window : SPOOL_PROTECTED;
	s->retry_send.ns = 0;
	s->stats.in_flight = (uint32_t)s->flight_n;
}

/* 0, -EAGAIN (later), or what spool or encoder said. */
static int
send_batch(struct shipper *s, uint64_t seq)
{
	struct msg_batch b;
	int rc = spool_load(s->o.spool, seq, &b);

	if (rc != 0)
		return rc;
	rc = s->o.send(s->o.arg, &b);
	free(b.body);
	return rc;
}

static void
land(struct shipper *s, size_t i)
{
	s->flight_n--;
	memmove(&s->flight[i], &s->flight[i + 1],
	        (s->flight_n - i) * sizeof(s->flight[0]));
	s->stats.in_flight = (uint32_t)s->flight_n;
}

static struct mono
sooner(struct mono a, struct mono b)
{
	return a.ns < b.ns ? a : b;
}

static struct mono
send_again(struct shipper *s, struct mono now)
{
	struct mono next = NEVER;

	for (size_t i = 0; i < s->flight_n;) {
		struct flight *f = &s->flight[i];
		struct mono due = mono_add_ns(f->sent, SHIPPER_RESEND_NS);

		if (mono_diff_ns(due, now) <= 0) {
			if (send_batch(s, f->seq) == -ENOENT) {
				land(s, i);
				continue;
			}
			s->stats.resent++;
			f->sent = now;
			due = mono_add_ns(now, SHIPPER_RESEND_NS);
		}
		next = sooner(next, due);
		i++;
	}
	return next;
}

/* NEVER when it may go now. */
static struct mono
held_until(struct shipper *s, uint64_t seq, struct mono now)
{
	while (s->hold_n > 0 && (s->hold[0].seq < seq ||
	                         mono_diff_ns(s->hold[0].until, now) <= 0)) {
		s->hold_n--;
		memmove(&s->hold[0], &s->hold[1],
		        s->hold_n * sizeof(s->hold[0]));
	}
	return s->hold_n > 0 && s->hold[0].seq == seq ? s->hold[0].until
	                                              : NEVER;
}

static struct mono
send_new(struct shipper *s, struct mono now)
{
	while (s->flight_n < s->window) {
		const uint64_t seq = spool_next_unacked(s->o.spool, s->cursor);
		struct mono until;
		int rc;

		if (seq == 0)
			return NEVER;
		until = held_until(s, seq, now);
		if (until.ns != NEVER.ns)
			return until;
		rc = send_batch(s, seq);
		if (rc == 0) {
			s->flight[s->flight_n++] = (struct flight){seq, now};
			s->stats.sent++;
		} else if (rc != -ENOENT && rc != -EINVAL) {
			return mono_add_ns(now, RETRY_SEND_NS);
		}
		s->cursor = seq + 1;
	}
	return NEVER;
}

struct mono
shipper_on_time(struct shipper *s, struct clock_pair now)
{
	struct mono next;

	s->now = now.mono;
	next = seal_due(s, now, false);
	if (!s->ready)
		return next;
	next = sooner(next, send_again(s, now.mono));
	if (mono_diff_ns(s->retry_send, now.mono) <= 0) {
		s->retry_send = send_new(s, now.mono);
		next = sooner(next, s->retry_send);
		if (s->retry_send.ns == NEVER.ns)
			s->retry_send = now.mono;
	}
	s->stats.in_flight = (uint32_t)s->flight_n;
	return next;
}

static void
count_ack(struct shipper *s, enum ack_status status, uint64_t seq,
          const char *reason)
{
	uint64_t held;

	switch (status) {
	case ACK_STORED:
		s->stats.acked++;
		break;
	case ACK_DUPLICATE:
		s->stats.duplicates++;
		break;
	case ACK_PUT_ASIDE:
		s->stats.put_aside++;
		if (log_limit_ok(&s->log_aside, s->now, &held))
			log_warn("the controller put batch %" PRIu64
			         " aside: %s",
			         seq, reason);
		break;
	}
}

void
shipper_on_ack(struct shipper *s, const struct msg_batch_ack *a)
{
	const struct id16 *ours = spool_id(s->o.spool);

	if (memcmp(&a->spool_id, ours, sizeof(*ours)) != 0)
		return; /* of a spool that is no more */
	for (size_t i = 0; i < a->n; i++) {
		for (size_t j = 0; j < s->flight_n; j++) {
			if (s->flight[j].seq == a->seq[i]) {
				land(s, j);
				count_ack(s, a->status[i], a->seq[i],
				          a->reason);
				break;
			}
		}
	}
	/* A failure is harmless: they are sent again and found doubled. */
	if (spool_ack(s->o.spool, a->seq, a->n) != 0)
		log_debug("spool: acks were not kept");
	s->retry_send.ns = 0;
}
