/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/plan.h"

#include "tools/term.h"

#include <inttypes.h>
#include <stdlib.h>

/* "12.3 k": packets and bits by thousands. */
static char *
scaled(double v, char *out, size_t size)
{
	static const char *const unit[] = {"", " k", " M", " G", " T"};
	size_t i = 0;

	while (v >= 1000 && i < 4) {
		v /= 1000;
		i++;
	}
	(void)snprintf(out, size, i && v < 100 ? "%.3g%s" : "%.0f%s", v,
	               unit[i]);
	if (i == 0 && v > 0 && v < 10)
		(void)snprintf(out, size, "%.2g", v);
	return out;
}

static void
put_row(FILE *out, const char *what, double before, double after,
        const char *unit)
{
	char a[NUM_TEXT_MAX], b[NUM_TEXT_MAX];

	(void)fprintf(out, "  %-12s %12s %12s%s%s\n", what,
	              scaled(before, a, sizeof(a)), scaled(after, b, sizeof(b)),
	              *unit ? "  " : "", unit);
}

static void
put_cost(FILE *out, const struct plan_cost *a, const struct plan_cost *b)
{
	char pps[NUM_TEXT_MAX], bps[NUM_TEXT_MAX];

	(void)fprintf(out, "\n  %-12s %12s %12s\n", "cost", "now", "then");
	put_row(out, "sessions", a->total.sessions, b->total.sessions, "");
	put_row(out, "packets/s", a->total.packets_s, b->total.packets_s,
	        "test packets; each is answered");
	put_row(out, "bit/s", a->total.bits_s, b->total.bits_s,
	        "on the wire (Ethernet), both ways");
	put_row(out, "rows/day", a->total.rows_day, b->total.rows_day,
	        "in the database");
	put_row(out, "bytes/day", a->total.bytes_day, b->total.bytes_day, "");
	if (b->node)
		(void)fprintf(out,
		              "  busiest node: %s: %.0f sessions from it, it "
		              "sends %s packets/s and %s bit/s, and gets as "
		              "much\n",
		              b->node, b->busiest.sessions,
		              scaled(b->busiest.packets_s, pps, sizeof(pps)),
		              scaled(b->busiest.bits_s, bps, sizeof(bps)));
}

static void
put_title(FILE *out, const struct plan_view *v, bool coloured)
{
	term_put(out, v->file, 0, TERM_PLAIN, false);
	if (v->now->base == 0) {
		(void)fprintf(out, " against what runs: no mesh file is in "
		                   "force, base 0\n\n");
		return;
	}
	(void)fprintf(out,
	              " against the mesh file in force: base %" PRId64
	              ", applied by ",
	              v->now->base);
	term_put(out, v->now->applied_by, 0, TERM_PLAIN, coloured);
	(void)fputs(" at ", out);
	term_put(out, v->now->applied_at, 0, TERM_PLAIN, coloured);
	(void)fputs("\n\n", out);
}

static void
put_change(FILE *out, const struct plan_change *c, bool coloured)
{
	char line[96];

	(void)snprintf(line, sizeof(line), "  %c %s %s", c->op, c->kind,
	               c->name);
	term_put(out, line, 0,
	         c->op == '-'   ? TERM_WARN
	         : c->op == '+' ? TERM_BOLD
	                        : TERM_PLAIN,
	         coloured);
	if (*c->what) {
		(void)fputs(": ", out);
		term_put(out, c->what, 0, TERM_PLAIN, false);
	}
	(void)fputc('\n', out);
}

void
plan_show(FILE *out, const struct plan_view *v, bool coloured)
{
	put_title(out, v, coloured);
	for (size_t i = 0; i < v->diff->n; i++)
		put_change(out, &v->diff->change[i], coloured);
	if (v->diff->n == 0)
		(void)fputs("  no change\n", out);
	put_cost(out, v->before, v->after);
}

static json_t *
load_json(const struct plan_load *l, bool whole)
{
	json_t *o = json_pack("{s:f, s:f, s:f}", "sessions", l->sessions,
	                      "packets_s", l->packets_s, "bits_s", l->bits_s);

	if (whole) {
		(void)json_object_set_new(o, "rows_day",
		                          json_real(l->rows_day));
		(void)json_object_set_new(o, "bytes_day",
		                          json_real(l->bytes_day));
	}
	return o;
}

static json_t *
cost_json(const struct plan_cost *c)
{
	json_t *busiest = c->node ? load_json(&c->busiest, false) : json_null();

	if (c->node)
		(void)json_object_set_new(busiest, "node",
		                          json_string(c->node));
	return json_pack("{s:o, s:o}", "total", load_json(&c->total, true),
	                 "busiest", busiest);
}

bool
plan_show_json(FILE *out, const struct plan_view *v)
{
	json_t *changes = json_array(), *doc;
	char *text = NULL;

	for (size_t i = 0; i < v->diff->n; i++) {
		const struct plan_change *c = &v->diff->change[i];

		(void)json_array_append_new(
		    changes, json_pack("{s:s, s:s, s:s, s:s}", "change",
		                       c->op == '+'   ? "added"
		                       : c->op == '-' ? "removed"
		                                      : "changed",
		                       "kind", c->kind, "name", c->name, "what",
		                       c->what));
	}
	doc =
	    json_pack("{s:s, s:I, s:I, s:o, s:{s:o, s:o}}", "file", v->file,
	              "epoch", (json_int_t)v->now->epoch, "base",
	              (json_int_t)v->now->base, "changes", changes, "cost",
	              "now", cost_json(v->before), "then", cost_json(v->after));
	if (doc)
		text = json_dumps(doc, JSON_INDENT(1) | JSON_ENSURE_ASCII |
		                           JSON_REAL_PRECISION(12));
	json_decref(doc);
	if (text)
		(void)fprintf(out, "%s\n", text);
	free(text);
	return text != NULL;
}
