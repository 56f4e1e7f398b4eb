/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/doc_incidents.h"

#include "tools/term.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INCIDENTS_MAX 100000

static void
read_incident(json_t *o, struct doc_incident *i)
{
	*i = (struct doc_incident){
	    .class_ = doc_text(o, "class"),
	    .kind = doc_text(o, "kind"),
	    .name = doc_text(o, "name"),
	    .sentence = doc_text(o, "sentence"),
	    .started_at = doc_text(o, "started_at"),
	    .ended_at = doc_text(o, "ended_at"),
	    .id = doc_number(o, "incident"),
	    .cells = doc_number(o, "cells"),
	    .cells_max = doc_number(o, "cells_max"),
	    .of_cells = doc_number(o, "of_cells"),
	    .confidence = doc_number(o, "confidence"),
	};
}

bool
doc_incidents_read(json_t *root, struct doc_incidents *out, char *err)
{
	json_t *list = json_object_get(root, "incidents");
	struct doc_incidents d = {
	    .since = doc_text(root, "since"),
	    .more = json_is_true(json_object_get(root, "more")),
	    .classes = json_object_get(root, "classes"),
	    .incident_n = json_array_size(list)};

	if (!json_is_array(list) || d.incident_n > INCIDENTS_MAX ||
	    !json_is_array(d.classes)) {
		(void)snprintf(err, DOC_ERR_MAX,
		               "incidents, classes: expected arrays, found "
		               "something else");
		return false;
	}
	d.incident = calloc(d.incident_n + 1, sizeof(*d.incident));
	if (!d.incident) {
		(void)snprintf(err, DOC_ERR_MAX, "out of memory");
		return false;
	}
	for (size_t i = 0; i < d.incident_n; i++)
		read_incident(json_array_get(list, i), &d.incident[i]);
	*out = d;
	return true;
}

void
doc_incidents_clear(struct doc_incidents *d)
{
	free(d->incident);
	memset(d, 0, sizeof(*d));
}

/* ---- as people read it ---- */

static void
put_sentences(FILE *out, const struct doc_incidents *d)
{
	const size_t n = json_array_size(d->classes);

	for (size_t i = 0; i < n; i++) {
		json_t *k = json_array_get(d->classes, i);

		if (n > 1) {
			term_put(out, doc_text(k, "class"), 0, TERM_PLAIN,
			         false);
			(void)fputs(": ", out);
		}
		term_put(out, doc_text(k, "sentence"), 0, TERM_PLAIN, false);
		(void)fputc('\n', out);
	}
}

static void
put_count(FILE *out, double n, int width)
{
	if (isnan(n))
		(void)fprintf(out, " %*s", width, "-");
	else
		(void)fprintf(out, " %*.0f", width, n);
}

static void
put_incident(FILE *out, const struct doc_incident *i, bool coloured)
{
	const bool lasts = !*i->ended_at;

	put_count(out, i->id, 7);
	(void)fputs("  ", out);
	term_put(out, i->class_, -10, TERM_PLAIN, false);
	(void)fputc(' ', out);
	term_put(out, i->kind, -14, TERM_PLAIN, false);
	(void)fputc(' ', out);
	term_put(out, i->name, -20, lasts ? TERM_CRIT : TERM_PLAIN, coloured);
	(void)fputc(' ', out);
	term_put(out, i->started_at, -24, TERM_PLAIN, false);
	(void)fputc(' ', out);
	term_put(out, lasts ? "-" : i->ended_at, -24, TERM_PLAIN, false);
	put_count(out, i->cells, 6);
	put_count(out, i->cells_max, 6);
	put_count(out, i->of_cells, 6);
	put_count(out, 100 * i->confidence, 5);
	(void)fputs(isnan(i->confidence) ? "\n" : " %\n", out);
}

void
show_incidents(FILE *out, const struct doc_incidents *d, bool coloured)
{
	put_sentences(out, d);
	if (d->incident_n == 0) {
		(void)fputs("no incidents since ", out);
		term_put(out, *d->since ? d->since : "then", 0, TERM_PLAIN,
		         false);
		(void)fputc('\n', out);
		return;
	}
	(void)fprintf(out,
	              "\n%8s  %-10s %-14s %-20s %-24s %-24s %6s %6s %6s %5s\n",
	              "id", "class", "kind", "name", "since", "until", "cells",
	              "most", "of", "sure");
	for (size_t i = 0; i < d->incident_n; i++)
		put_incident(out, &d->incident[i], coloured);
	if (d->more)
		(void)fputs("... and older ones: see --limit\n", out);
}

static void
csv_number(FILE *out, double v)
{
	(void)fputc(',', out);
	if (!isnan(v))
		(void)fprintf(out, "%.15g", v);
}

void
show_incidents_csv(FILE *out, const struct doc_incidents *d)
{
	(void)fputs("incident,class,kind,name,started_at,ended_at,sentence,"
	            "cells,cells_max,of_cells,confidence\n",
	            out);
	for (size_t n = 0; n < d->incident_n; n++) {
		const struct doc_incident *i = &d->incident[n];
		const char *const text[] = {i->class_,   i->kind,
		                            i->name,     i->started_at,
		                            i->ended_at, i->sentence};

		if (!isnan(i->id))
			(void)fprintf(out, "%.0f", i->id);
		for (size_t j = 0; j < sizeof(text) / sizeof(text[0]); j++) {
			(void)fputc(',', out);
			csv_put(out, text[j]);
		}
		csv_number(out, i->cells);
		csv_number(out, i->cells_max);
		csv_number(out, i->of_cells);
		csv_number(out, i->confidence);
		(void)fputc('\n', out);
	}
}
