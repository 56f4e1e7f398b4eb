/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/wbatch.h"

#include "lib/base/clock_read.h"
#include "lib/base/metric.h"
#include "lib/stats/flowset.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_OFF_MAX_NS (60 * NS_PER_S)
#define FUTURE_NS (60 * NS_PER_S)

struct wbatch *
wbatch_new(struct ask *ask)
{
	struct wbatch *b = calloc(1, sizeof(*b));

	if (b)
		b->ask = ask;
	return b;
}

void
wbatch_free(struct wbatch *b)
{
	if (!b)
		return;
	batch_body_clear(&b->body);
	free(b->skip);
	free(b->loud);
	ask_free(b->ask);
	free(b);
}

int
wbatch_compare(const struct wbatch *a, const struct wbatch *b)
{
	const struct ask_batch *x = &a->ask->u.batch, *y = &b->ask->u.batch;
	int c;

	if (x->node_id != y->node_id)
		return x->node_id < y->node_id ? -1 : 1;
	c = memcmp(x->batch.spool_id.b, y->batch.spool_id.b, ID16_BYTES);
	if (c != 0)
		return c;
	return (x->batch.seq > y->batch.seq) - (x->batch.seq < y->batch.seq);
}

/* ---- judging ---- */

static void say_why(struct wbatch *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
say_why(struct wbatch *b, const char *fmt, ...)
{
	va_list ap;

	if (b->reason[0])
		return; /* the first one is told */
	va_start(ap, fmt);
	(void)vsnprintf(b->reason, sizeof(b->reason), fmt, ap);
	va_end(ap);
}

void
wbatch_condemn(struct wbatch *b, const char *reason)
{
	b->condemned = true;
	b->reason[0] = '\0';
	say_why(b, "%s", reason);
	b->keep = b->loud_n = b->flow_n = 0;
	b->aside = b->body.rows + b->body.run_n + b->body.revision_n;
	if (b->aside < b->ask->u.batch.batch.rows)
		b->aside = b->ask->u.batch.batch.rows;
	if (b->aside == 0)
		b->aside = 1; /* so that there is a word about it */
}

static void
skip_row(struct wbatch *b, size_t row)
{
	if (!b->skip) {
		b->skip = calloc(b->body.rows / 8 + 1, 1);
		if (!b->skip) {
			wbatch_condemn(b, "out of memory while judging it");
			return;
		}
	}
	b->skip[row / 8] |= (uint8_t)(1U << row % 8);
}

static void
skip_slice(struct wbatch *b, size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		skip_row(b, first + i);
}

/* What of a value does not fit the column; NULL: it fits. */
static const char *
misfit(const struct metric_info *m, int64_t v, bool required)
{
	if (v == METRIC_NULL)
		return required ? "is missing" : NULL;
	switch (m->type) {
	case METRIC_COUNT:
		return v < 0 || v > INT32_MAX ? "is out of range" : NULL;
	case METRIC_SMALL:
		return v < 0 || v > INT16_MAX ? "is out of range" : NULL;
	case METRIC_DURATION:
	case METRIC_MILLI:
		break;
	}
	return NULL;
}

static bool
is_required(const struct metric_info *m)
{
	return m->home == METRIC_ROW && strcmp(m->null_rule, "never") == 0;
}

static void
judge_column(struct wbatch *b, const struct slice *s, size_t first,
             const struct metric_info *m)
{
	const int64_t *v = s->value[m->id];
	bool required = is_required(m);

	if (!v) {
		if (required) {
			say_why(b, "%s is missing", m->name);
			skip_slice(b, first, s->n);
		}
		return;
	}
	if (m->type == METRIC_DURATION && !required)
		return;
	for (size_t i = 0; i < s->n; i++) {
		const char *what = misfit(m, v[i], required);

		if (what) {
			say_why(b, "%s %s", m->name, what);
			skip_row(b, first + i);
		}
	}
}

/* Faults of a whole slice; NULL-terminated words in b->reason. */
static bool
slice_is_sane(struct wbatch *b, const struct slice *s, const struct judge *j)
{
	char at[40];

	if (!known_class(j->known, s->class_id))
		say_why(b, "unknown class %" PRIu32, s->class_id);
	else if (s->interval_ns <= 0 ||
	         s->interval_ns / NS_PER_MS > INT32_MAX || s->epoch > INT32_MAX)
		say_why(b, "interval or epoch out of range");
	else if (s->start.ns < j->oldest.ns)
		say_why(b, "results of %s are older than the oldest partition",
		        clock_format_utc(s->start, at, sizeof(at)));
	else if (wall_diff_ns(s->start, j->now) > s->interval_ns + FUTURE_NS)
		say_why(b, "results of %s lie in the future",
		        clock_format_utc(s->start, at, sizeof(at)));
	else
		return true;
	return false;
}

static void
judge_slice(struct wbatch *b, const struct slice *s, size_t first,
            const struct judge *j)
{
	uint32_t self = b->ask->u.batch.node_id;

	if (!slice_is_sane(b, s, j)) {
		skip_slice(b, first, s->n);
		return;
	}
	for (size_t i = 0; i < s->n; i++) {
		if (s->dst_id[i] == self ||
		    !known_node(j->known, s->dst_id[i])) {
			say_why(b, "unknown destination %" PRIu32,
			        s->dst_id[i]);
			skip_row(b, first + i);
		}
	}
	for (unsigned m = 1; m < METRIC_N; m++) {
		const struct metric_info *info = metric_info(m);

		if (info)
			judge_column(b, s, first, info);
	}
}

static void
count_rows(struct wbatch *b)
{
	b->aside = 0;
	for (size_t i = 0; b->skip && i < b->body.rows; i++)
		b->aside += wbatch_skips(b, i);
	b->keep = b->body.rows - b->aside;
}

/* ---- details ---- */

static void
mark_loud(struct wbatch *b, size_t row)
{
	if (wbatch_skips(b, row) || wbatch_is_loud(b, row))
		return;
	if (!b->loud) {
		b->loud = calloc(b->body.rows / 8 + 1, 1);
		if (!b->loud) {
			wbatch_condemn(b, "out of memory while judging it");
			return;
		}
	}
	b->loud[row / 8] |= (uint8_t)(1U << row % 8);
	b->loud_n++;
}

/* A batch without details costs a look at each of their columns. */
static void
find_loud(struct wbatch *b, const struct slice *s, size_t first)
{
	for (unsigned m = 1; m < METRIC_N; m++) {
		const struct metric_info *info = metric_info(m);
		const int64_t *v = s->value[m];

		if (!v || !info || info->home != METRIC_DETAIL ||
		    info->quiet == QUIET_ALWAYS ||
		    (v == s->zero && info->quiet == 0))
			continue;
		for (size_t i = 0; i < s->n; i++) {
			if (metric_is_loud(info, v[i]))
				mark_loud(b, first + i);
		}
	}
	for (size_t i = 0; i < s->n && (s->fwd_hist || s->bwd_hist); i++) {
		if ((s->fwd_hist && s->fwd_hist[i]) ||
		    (s->bwd_hist && s->bwd_hist[i]))
			mark_loud(b, first + i);
	}
}

static bool
flows_fit(const struct flow_result *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (f[i].sent > INT32_MAX || f[i].received > INT32_MAX ||
		    f[i].lost_fwd > INT32_MAX || f[i].lost_bwd > INT32_MAX ||
		    f[i].lost_undet > INT32_MAX)
			return false;
	}
	return true;
}

static void
judge_flows(struct wbatch *b, const struct slice *s, size_t first)
{
	struct flow_result f[FLOWS_MAX_N];
	unsigned n;

	for (size_t i = 0; s->flows && i < s->n; i++) {
		if (s->flows_len[i] == 0 || wbatch_skips(b, first + i))
			continue;
		if (flowset_decode(s->flows[i], s->flows_len[i], f, &n) &&
		    flows_fit(f, n)) {
			b->flow_n += n;
			continue;
		}
		say_why(b, "per-flow results are malformed");
		skip_row(b, first + i);
	}
}

/* ---- runs and revisions ---- */

static bool
ends_are_known(struct wbatch *b, const struct judge *j, uint32_t dst_id,
               uint32_t class_id)
{
	if (!known_class(j->known, class_id))
		say_why(b, "unknown class %" PRIu32, class_id);
	else if (dst_id == b->ask->u.batch.node_id ||
	         !known_node(j->known, dst_id))
		say_why(b, "unknown destination %" PRIu32, dst_id);
	else
		return true;
	return false;
}

static bool
run_is_sane(struct wbatch *b, const struct judge *j, const struct loss_run *r)
{
	char at[40];

	if (!ends_are_known(b, j, r->dst_id, r->class_id))
		return false;
	if (wall_diff_ns(r->first, j->now) <= FUTURE_NS &&
	    wall_diff_ns(r->last, j->now) <= FUTURE_NS)
		return true;
	say_why(b, "a loss run of %s lies in the future",
	        clock_format_utc(r->first, at, sizeof(at)));
	return false;
}

/* What is not sane leaves the body; its octets are put aside with the batch. */
static void
judge_news(struct wbatch *b, const struct judge *j)
{
	struct batch_body *y = &b->body;
	size_t n = 0;

	for (size_t i = 0; i < y->run_n; i++) {
		if (run_is_sane(b, j, &y->run[i]))
			y->run[n++] = y->run[i];
		else
			loss_run_clear(&y->run[i]);
	}
	b->aside += y->run_n - n;
	y->run_n = n;
	n = 0;
	for (size_t i = 0; i < y->revision_n; i++) {
		if (ends_are_known(b, j, y->revision[i].dst_id,
		                   y->revision[i].class_id))
			y->revision[n++] = y->revision[i];
	}
	b->aside += y->revision_n - n;
	y->revision_n = n;
}

static void
judge_rows(struct wbatch *b, const struct judge *j)
{
	size_t first = 0;

	for (size_t i = 0; i < b->body.slice_n && !b->condemned; i++) {
		const struct slice *s = &b->body.slice[i];

		judge_slice(b, s, first, j);
		judge_flows(b, s, first);
		find_loud(b, s, first);
		first += s->n;
	}
}

static void
condemn_clock(struct wbatch *b)
{
	const struct ask_batch *a = &b->ask->u.batch;
	const double off_s = (double)a->clock_offset_ns / 1e9;
	const double moved_s = (double)a->clock_moved_ns / 1e9;
	char text[REASON_MAX];

	if (moved_s < 1 && moved_s > -1)
		(void)snprintf(text, sizeof(text),
		               "the node's clock is %.1f s off", off_s);
	else
		(void)snprintf(text, sizeof(text),
		               "the node's clock was %.1f s off when this was "
		               "measured (now %.1f s off, moved %.1f s since)",
		               off_s, off_s + moved_s, moved_s);
	wbatch_condemn(b, text);
}

void
wbatch_judge(struct wbatch *b, const struct judge *j)
{
	const struct ask_batch *a = &b->ask->u.batch;
	const struct msg_batch *m = &a->batch;
	uint8_t digest[16];
	const char *field = NULL;
	enum msg_err e;
	char text[REASON_MAX];

	b->judged = true;
	batch_digest(m->body, m->body_len, digest);
	if (memcmp(digest, m->digest, sizeof(digest)) != 0) {
		wbatch_condemn(b, "its digest does not match its body");
		return;
	}
	e = batch_body_decode(m->body, m->body_len, &b->body, &field);
	if (e != MSG_OK) {
		(void)snprintf(text, sizeof(text),
		               "its body is malformed: %s%s%s", msg_err_str(e),
		               field ? ", field " : "", field ? field : "");
		memset(&b->body, 0, sizeof(b->body));
		wbatch_condemn(b, text);
		return;
	}
	if (b->body.rows != m->rows) {
		wbatch_condemn(b, "it holds another number of rows than it "
		                  "says");
		return;
	}
	if (a->clock_offset_ns != NS_UNKNOWN &&
	    (a->clock_offset_ns > CLOCK_OFF_MAX_NS ||
	     a->clock_offset_ns < -CLOCK_OFF_MAX_NS)) {
		condemn_clock(b);
		return;
	}
	judge_rows(b, j);
	if (b->condemned)
		return;
	count_rows(b);
	judge_news(b, j);
	if (b->aside > 0 && b->keep + b->body.run_n + b->body.revision_n == 0)
		b->condemned = true;
}
