/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A cell is its number, right-aligned, and a mark: colour is never the only
 * channel. Rows are the sources of the plan, columns its destinations; what is
 * not planned is blank. Columns are as narrow as the widest number allows;
 * names that do not fit become numbers, which then stand behind the names of
 * the rows, and below for columns that are no rows. What does not fit the
 * terminal goes below, as another block of columns.
 */
#include "tools/show.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_MAX 7 /* a column name longer than this becomes a number */
#define ROW_LABEL_MAX 24

static const struct {
	char mark;
	enum term_colour colour;
} look[CELL_STATE_N] = {
    [CELL_OK] = {' ', TERM_PLAIN},    [CELL_WARN] = {'+', TERM_WARN},
    [CELL_CRIT] = {'!', TERM_CRIT},   [CELL_STALE] = {'~', TERM_QUIET},
    [CELL_NEVER] = {'-', TERM_QUIET}, [CELL_MAINTENANCE] = {'m', TERM_CALM},
    [CELL_OTHER] = {'?', TERM_WARN},
};

enum term_colour
show_state_colour(enum cell_state s)
{
	return look[s].colour;
}

char
show_state_mark(enum cell_state s)
{
	return look[s].mark;
}

/* What a grid needs to know of its cells. */
struct grid {
	const struct doc_matrix *m;
	const struct matrix_metric_info *metric;
	uint32_t *at; /* owned: node_n x node_n, cell index + 1; 0: none */
	bool *sends, *reflects; /* owned: nodes that have a cell as such */
	size_t *row, *column;   /* owned: those nodes */
	size_t row_n, column_n;
	int cell_width, row_width, decimals;
	bool numbered, blank; /* some pair is not planned */
	size_t states[CELL_STATE_N];
};

/* The number of a cell without its mark. */
static const char *
cell_text(const struct grid *g, const struct doc_cell *c, char *out)
{
	const int i = doc_metric_index(g->metric);

	if (i < 0)
		(void)snprintf(out, NUM_TEXT_MAX, "%s",
		               cell_state_name(c->state));
	else if (isnan(c->v[i]))
		out[0] = '\0';
	else
		num_fixed(c->v[i], g->decimals, out);
	return out;
}

/* One number of decimals for the whole grid: fewer for large numbers, so that
 * columns stay narrow and points stand below each other. */
static int
grid_decimals(const struct doc_matrix *m,
              const struct matrix_metric_info *metric)
{
	const int k = doc_metric_index(metric);
	int decimals = metric->decimals;
	double max = 0;

	for (size_t i = 0; k >= 0 && i < m->cell_n; i++)
		max = fmax(max, fabs(m->cell[i].v[k])); /* fmax skips NAN */
	return num_decimals(max, decimals);
}

static bool
grid_alloc(struct grid *g)
{
	const size_t n = g->m->node_n;

	g->at = calloc(n * n + 1, sizeof(*g->at));
	g->sends = calloc(n + 1, sizeof(*g->sends));
	g->reflects = calloc(n + 1, sizeof(*g->reflects));
	g->row = calloc(n + 1, sizeof(*g->row));
	g->column = calloc(n + 1, sizeof(*g->column));
	return g->at && g->sends && g->reflects && g->row && g->column;
}

/* Rows and columns; the longest of their names. */
static int
grid_sides(struct grid *g)
{
	size_t both = 0;
	int name = 1;

	for (size_t i = 0; i < g->m->node_n; i++) {
		const int w = (int)strlen(g->m->node[i]);

		if (g->sends[i])
			g->row[g->row_n++] = i;
		if (g->reflects[i])
			g->column[g->column_n++] = i;
		both += g->sends[i] && g->reflects[i];
		if ((g->sends[i] || g->reflects[i]) && w > name)
			name = w;
	}
	g->blank = g->row_n * g->column_n > both + g->m->cell_n;
	return name;
}

static bool
grid_init(struct grid *g, const struct doc_matrix *m,
          const struct matrix_metric_info *metric)
{
	char text[NUM_TEXT_MAX];
	int widest = 3, name;

	*g = (struct grid){
	    .m = m, .metric = metric, .decimals = grid_decimals(m, metric)};
	if (!grid_alloc(g))
		return false;
	for (size_t i = 0; i < m->cell_n; i++) {
		const struct doc_cell *c = &m->cell[i];
		const int w = (int)strlen(cell_text(g, c, text));

		g->at[c->src * m->node_n + c->dst] = (uint32_t)i + 1;
		g->sends[c->src] = g->reflects[c->dst] = true;
		g->states[c->state]++;
		if (w > widest)
			widest = w;
	}
	name = grid_sides(g);
	g->numbered = name > LABEL_MAX;
	if (!g->numbered && name > widest)
		widest = name;
	g->cell_width = widest + 1; /* and the mark */
	g->row_width = (name < ROW_LABEL_MAX ? name : ROW_LABEL_MAX) +
	               (g->numbered ? 5 : 0);
	return true;
}

static void
grid_release(struct grid *g)
{
	free(g->at);
	free(g->sends);
	free(g->reflects);
	free(g->row);
	free(g->column);
}

static void
put_row_label(FILE *out, const struct grid *g, size_t node)
{
	const int width = g->row_width - (g->numbered ? 5 : 0);

	term_put(out, g->m->node[node], -width, TERM_PLAIN, false);
	if (g->numbered)
		(void)fprintf(out, " %4zu", node + 1);
}

static void
put_head(FILE *out, const struct grid *g, const size_t *dst, size_t n,
         bool coloured)
{
	char number[NUM_TEXT_MAX];

	(void)fprintf(out, "%*s", g->row_width, "");
	for (size_t i = 0; i < n; i++) {
		const char *label = g->m->node[dst[i]];

		if (g->numbered) {
			(void)snprintf(number, sizeof(number), "%zu",
			               dst[i] + 1);
			label = number;
		}
		(void)fputc(' ', out);
		term_put(out, label, g->cell_width - 1, TERM_BOLD, coloured);
		(void)fputc(' ', out);
	}
	(void)fputc('\n', out);
}

static void
put_cell(FILE *out, const struct grid *g, size_t src, size_t dst, bool coloured)
{
	const uint32_t at = g->at[src * g->m->node_n + dst];
	char number[NUM_TEXT_MAX], text[NUM_TEXT_MAX + 2];
	const struct doc_cell *c;

	(void)fputc(' ', out);
	if (at == 0) { /* the diagonal, or a pair that is not planned */
		(void)fprintf(out, "%*s%s ", g->cell_width - 2, "",
		              src == dst ? "·" : " ");
		return;
	}
	c = &g->m->cell[at - 1];
	(void)snprintf(text, sizeof(text), "%s%c", cell_text(g, c, number),
	               show_state_mark(c->state));
	term_put(out, text, g->cell_width, show_state_colour(c->state),
	         coloured);
}

/* As many columns as fit; the rest follows below. */
static void
put_blocks(FILE *out, const struct grid *g, int columns, bool coloured)
{
	const size_t n = g->column_n;
	const int room = (columns - g->row_width) / (g->cell_width + 1);
	const size_t per_block = room > 1 ? (size_t)room : 1;

	for (size_t from = 0; from < n; from += per_block) {
		const size_t k = n - from < per_block ? n - from : per_block;

		put_head(out, g, g->column + from, k, coloured);
		for (size_t i = 0; i < g->row_n; i++) {
			put_row_label(out, g, g->row[i]);
			for (size_t j = 0; j < k; j++)
				put_cell(out, g, g->row[i], g->column[from + j],
				         coloured);
			(void)fputc('\n', out);
		}
		(void)fputc('\n', out);
	}
}

/* Numbers that no row explains. */
static void
put_numbers(FILE *out, const struct grid *g)
{
	const char *before = "columns:";

	for (size_t i = 0; g->numbered && i < g->column_n; i++) {
		const size_t node = g->column[i];

		if (g->sends[node])
			continue;
		(void)fprintf(out, "%s %zu ", before, node + 1);
		term_put(out, g->m->node[node], 0, TERM_PLAIN, false);
		before = ",";
	}
	if (*before == ',')
		(void)fputc('\n', out);
}

/* One entry behind `used` columns of the line; how many are used then. */
static int
put_entry(FILE *out, const char *text, enum term_colour colour, int used,
          int columns, bool coloured)
{
	const int width = 2 + term_width(text);
	const bool fits = used + width <= columns;

	(void)fputs(fits ? "  " : "\n  ", out);
	term_put(out, text, 0, colour, coloured);
	return fits ? used + width : width;
}

static void
put_legend(FILE *out, const struct grid *g, int columns, bool coloured)
{
	char text[80];
	int used;

	(void)snprintf(text, sizeof(text), "%s%s%s; rows send, columns reflect",
	               g->metric->label, *g->metric->unit ? ", " : "",
	               g->metric->unit);
	term_put(out, text, 0, TERM_PLAIN, false);
	used = term_width(text);
	for (int s = CELL_WARN; s < CELL_STATE_N; s++) {
		const enum cell_state state = (enum cell_state)s;

		if (!g->states[s])
			continue;
		(void)snprintf(text, sizeof(text), "%c %s",
		               show_state_mark(state), cell_state_name(state));
		used = put_entry(out, text, show_state_colour(state), used,
		                 columns, coloured);
	}
	if (g->blank)
		(void)put_entry(out, "blank: not planned", TERM_PLAIN, used,
		                columns, coloured);
	(void)fputc('\n', out);
}

void
show_away(FILE *out, const char *since, bool coloured)
{
	term_put(out, "the database is away", 0, TERM_CRIT, coloured);
	(void)fputs(*since ? " since " : "", out);
	term_put(out, since, 0, TERM_PLAIN, false);
	(void)fputs(": this is the last state known\n", out);
}

static void
put_title(FILE *out, const struct doc_matrix *m, bool coloured)
{
	if (!m->database_ok)
		show_away(out, m->database_since, coloured);
	term_put(out, m->sentence, 0, TERM_BOLD, coloured);
	(void)fputs(*m->sentence ? "\n" : "", out);
	(void)fputs("class ", out);
	term_put(out, m->class_, 0, TERM_PLAIN, false);
	(void)fputs(", ", out);
	term_put(out, m->at, 0, TERM_PLAIN, false);
	if (!isnan(m->interval_s))
		(void)fprintf(out, ", intervals of %g s", m->interval_s);
	(void)fputs("\n\n", out);
}

void
show_matrix(FILE *out, const struct doc_matrix *m,
            const struct matrix_metric_info *metric, int columns, bool coloured)
{
	struct grid g;

	put_title(out, m, coloured);
	if (m->cell_n == 0) {
		(void)fputs(m->node_n == 0
		                ? "no nodes yet: see twmesh nodes\n"
		                : "no direction is planned: see twmesh nodes\n",
		            out);
		return;
	}
	if (grid_init(&g, m, metric)) {
		put_blocks(out, &g, columns, coloured);
		put_numbers(out, &g);
		put_legend(out, &g, columns, coloured);
	} else {
		(void)fputs("(out of memory)\n", out);
	}
	grid_release(&g);
}

static void
csv_number(FILE *out, double v)
{
	(void)fputc(',', out);
	if (!isnan(v))
		(void)fprintf(out, "%.9g", v);
}

void
show_matrix_csv(FILE *out, const struct doc_matrix *m)
{
	(void)fputs("src,dst,class,state,state_since,state_why", out);
	for (size_t i = 0; doc_metric(i); i++)
		(void)fprintf(out, ",%s", doc_metric(i)->name);
	(void)fputs(",sent,lost,measured_at,age_s\n", out);
	for (size_t i = 0; i < m->cell_n; i++) {
		const struct doc_cell *c = &m->cell[i];
		const char *const text[] = {m->node[c->src], m->node[c->dst],
		                            m->class_,       c->state_name,
		                            c->state_since,  c->state_why};

		for (size_t j = 0; j < sizeof(text) / sizeof(text[0]); j++) {
			(void)fputs(j ? "," : "", out);
			csv_put(out, text[j]);
		}
		for (size_t j = 0; j < DOC_METRICS && doc_metric(j); j++)
			csv_number(out, c->v[j]);
		csv_number(out, c->sent);
		csv_number(out, c->lost);
		(void)fputc(',', out);
		csv_put(out, c->measured_at);
		csv_number(out, c->age_s);
		(void)fputc('\n', out);
	}
}
