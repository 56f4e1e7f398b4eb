/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/show.h"

#include <math.h>
#include <string.h>

static void
put_number(FILE *out, double v, int decimals, int width)
{
	char text[NUM_TEXT_MAX];

	if (isnan(v))
		(void)snprintf(text, sizeof(text), "-");
	else
		num_format(v, decimals, text);
	(void)fprintf(out, " %*s", width, text);
}

/* -- the two cells -------------------------------------------------------- */

static void
put_cell(FILE *out, const char *src, const char *dst, const struct doc_cell *c,
         bool coloured)
{
	char age[NUM_TEXT_MAX], num[NUM_TEXT_MAX];

	(void)fprintf(out, "%s -> %s: ", src, dst);
	term_put(out, c->state_name, 0, show_state_colour(c->state), coloured);
	if (*c->state_since) {
		(void)fputs(" since ", out);
		term_put(out, c->state_since, 0, TERM_PLAIN, false);
	}
	if (*c->state_why) {
		(void)fputs(" (", out);
		term_put(out, c->state_why, 0, TERM_PLAIN, false);
		(void)fputc(')', out);
	}
	if (isnan(c->age_s)) {
		(void)fputs("\n  not measured yet\n", out);
		return;
	}
	(void)fputs("\n  ", out);
	for (size_t i = 0; i < DOC_METRICS && doc_metric(i); i++) {
		const struct matrix_metric_info *m = doc_metric(i);

		if (isnan(c->v[i]))
			continue;
		(void)fprintf(out, "%s %s%s%s;  ", m->label,
		              num_format(c->v[i], m->decimals, num),
		              *m->unit ? " " : "", m->unit);
	}
	(void)fprintf(out, "measured %s ago%s\n", age_format(c->age_s, age),
	              c->partial ? " (a partial interval)" : "");
}

/* -- the sparkline ----------------------------------------------------------
 */

static double
result_metric(const struct doc_result *r, enum metric m)
{
	return r->v[m];
}

/* The newest results that fit, one character each; loss is marked below it
 * by its own line. */
static void
put_sparkline(FILE *out, const struct doc_path *p, int columns, bool coloured)
{
	static const char *const bar[] = {"▁", "▂", "▃", "▄",
	                                  "▅", "▆", "▇", "█"};
	const size_t room = columns > 30 ? (size_t)columns - 20 : 10;
	const size_t from = p->result_n > room ? p->result_n - room : 0;
	double min = (double)INFINITY, max = (double)-INFINITY;
	char a[NUM_TEXT_MAX], b[NUM_TEXT_MAX];

	for (size_t i = from; i < p->result_n; i++) {
		const double v = result_metric(&p->result[i], METRIC_RTT_MEAN);

		min = v < min ? v : min;
		max = v > max ? v : max;
	}
	if (max < min)
		return;
	(void)fputs("RTT   ", out);
	for (size_t i = from; i < p->result_n; i++) {
		const struct doc_result *r = &p->result[i];
		const double v = result_metric(r, METRIC_RTT_MEAN);
		const bool lost = result_metric(r, METRIC_LOST) > 0;
		const double f = max > min ? (v - min) / (max - min) : 0;

		term_put(out, isnan(v) ? "x" : bar[(int)(f * 7.99) & 7], 0,
		         lost ? TERM_CRIT : TERM_PLAIN, coloured);
	}
	(void)fputs("\nlost  ", out);
	for (size_t i = from; i < p->result_n; i++)
		term_put(out,
		         result_metric(&p->result[i], METRIC_LOST) > 0 ? "!"
		                                                       : ".",
		         0, TERM_PLAIN, false);
	(void)fprintf(out, "\nmean RTT %s to %s ms\n\n", num_format(min, 3, a),
	              num_format(max, 3, b));
}

/* -- the table ---------------------------------------------------------------
 */

static const struct {
	const char *head;
	enum metric metric;
	int width, decimals;
} table[] = {
    {"sent", METRIC_SENT, 5, 0},       {"lost", METRIC_LOST, 4, 0},
    {"fwd", METRIC_LOST_FWD, 4, 0},    {"bwd", METRIC_LOST_BWD, 4, 0},
    {"?", METRIC_LOST_UNDET, 3, 0},    {"RTT min", METRIC_RTT_MIN, 7, 3},
    {"mean", METRIC_RTT_MEAN, 7, 3},   {"p99", METRIC_RTT_P99, 7, 3},
    {"->", METRIC_FWD_MEAN, 7, 3},     {"<-", METRIC_BWD_MEAN, 7, 3},
    {"jit ->", METRIC_FWD_IPDV, 6, 3}, {"jit <-", METRIC_BWD_IPDV, 6, 3},
};
#define TABLE_N (sizeof(table) / sizeof(table[0]))

static void
put_result(FILE *out, const struct doc_result *r, bool coloured)
{
	char num[NUM_TEXT_MAX];

	term_put(out, r->start, -24, TERM_PLAIN, false);
	for (size_t i = 0; i < TABLE_N; i++) {
		const double v = r->v[table[i].metric];

		if (table[i].metric == METRIC_LOST && v > 0) {
			(void)fputc(' ', out);
			term_put(out, num_format(v, 0, num), table[i].width,
			         TERM_CRIT, coloured);
			continue;
		}
		put_number(out, v, table[i].decimals, table[i].width);
	}
	(void)fputc('\n', out);
}

void
show_path(FILE *out, const struct doc_path *p, size_t rows, int columns,
          bool coloured)
{
	const size_t from = p->result_n > rows ? p->result_n - rows : 0;

	(void)fputs("class ", out);
	term_put(out, p->class_, 0, TERM_PLAIN, false);
	(void)fputc('\n', out);
	if (p->has_forward)
		put_cell(out, p->src, p->dst, &p->forward, coloured);
	if (p->has_backward)
		put_cell(out, p->dst, p->src, &p->backward, coloured);
	else
		(void)fprintf(out, "%s -> %s: not planned\n", p->dst, p->src);
	(void)fprintf(out, "\n%zu results of %s's session towards %s\n",
	              p->result_n, p->src, p->dst);
	if (p->result_n == 0)
		return;
	put_sparkline(out, p, columns, coloured);
	(void)fprintf(out, "%-24s", "start");
	for (size_t i = 0; i < TABLE_N; i++)
		(void)fprintf(out, " %*s", table[i].width, table[i].head);
	(void)fputc('\n', out);
	for (size_t i = from; i < p->result_n; i++)
		put_result(out, &p->result[i], coloured);
	(void)fputs("lost forward, backward, ? direction unknown; delays and "
	            "jitter in ms\n",
	            out);
}

void
show_path_csv(FILE *out, const struct doc_path *p)
{
	(void)fputs("src,dst,class,start,interval_s", out);
	for (unsigned i = 1; i < METRIC_N; i++) {
		if (metric_info(i))
			(void)fprintf(out, ",%s", metric_info(i)->sql);
	}
	(void)fputc('\n', out);
	for (size_t i = 0; i < p->result_n; i++) {
		const struct doc_result *r = &p->result[i];

		(void)fprintf(out, "%s,%s,", p->src, p->dst);
		csv_put(out, p->class_);
		(void)fputc(',', out);
		csv_put(out, r->start);
		(void)fprintf(out, ",%.9g", r->interval_s);
		for (unsigned j = 1; j < METRIC_N; j++) {
			if (!metric_info(j))
				continue;
			(void)fputc(',', out);
			if (!isnan(r->v[j]))
				(void)fprintf(out, "%.9g", r->v[j]);
		}
		(void)fputc('\n', out);
	}
}
