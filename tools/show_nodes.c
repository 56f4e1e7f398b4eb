/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/show.h"

#include <math.h>
#include <string.h>

/* "-1234.5 ms unsynchronised" */
#define CLOCK_COLUMNS 25

void
show_join(json_t *list, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < json_array_size(list) && at < size; i++) {
		const char *s = json_string_value(json_array_get(list, i));

		at += (size_t)snprintf(out + at, size - at, "%s%s",
		                       at ? " " : "", s ? s : "?");
	}
}

static enum term_colour
node_colour(const struct doc_node *n)
{
	if (n->maintenance)
		return TERM_CALM;
	if (strcmp(n->state, "ok") == 0)
		return TERM_PLAIN;
	return strcmp(n->state, "stale") == 0 ? TERM_CRIT : TERM_QUIET;
}

static void
format_clock(const struct doc_node *n, char *out, size_t size)
{
	char off[NUM_TEXT_MAX];

	if (isnan(n->clock_offset_ms) && !*n->clock_verdict &&
	    n->clock_synchronised < 0) {
		(void)snprintf(out, size, "-"); /* it never said anything */
		return;
	}
	if (isnan(n->clock_offset_ms))
		(void)snprintf(off, sizeof(off), "-");
	else
		num_format(n->clock_offset_ms, 1, off);
	/* The audit knows better than the clock's own claim. */
	if (*n->clock_verdict &&
	    strcmp(n->clock_verdict, "unsynchronised") != 0)
		(void)snprintf(out, size, "%s ms %s", off, n->clock_verdict);
	else
		(void)snprintf(out, size, "%s ms%s", off,
		               n->clock_synchronised == 1   ? ""
		               : n->clock_synchronised == 0 ? " unsync"
		                                            : " ?");
}

static void
put_maintenance(FILE *out, const struct doc_node *n, int width, bool coloured)
{
	char line[640];

	if (!n->maintenance)
		return;
	(void)snprintf(line, sizeof(line),
	               "in maintenance%s%.40s%s%.260s%s%.64s%s",
	               *n->maintenance_until ? " until " : "",
	               n->maintenance_until, *n->maintenance_reason ? ": " : "",
	               n->maintenance_reason, *n->maintenance_by ? " (" : "",
	               n->maintenance_by, *n->maintenance_by ? ")" : "");
	(void)fprintf(out, "%*s  ", width, "");
	term_put(out, line, 0, TERM_CALM, coloured);
	(void)fputc('\n', out);
}

/* A clock that is convicted, and by how much it is wrong. */
static void
put_conviction(FILE *out, const struct doc_node *n, int width, bool coloured)
{
	char line[160], lo[NUM_TEXT_MAX], hi[NUM_TEXT_MAX];

	if (strcmp(n->clock_verdict, "inconsistent") == 0)
		(void)snprintf(line, sizeof(line),
		               "its clock stepped, or is not one: no offset "
		               "fits what the mesh measured");
	else if (strcmp(n->clock_verdict, "untrusted") != 0)
		return;
	else if (isnan(n->clock_lo_ms) || isnan(n->clock_hi_ms))
		(void)snprintf(line, sizeof(line),
		               "its clock is not what it claims: %s %s ms off",
		               isnan(n->clock_hi_ms) ? "at least" : "at most",
		               isnan(n->clock_hi_ms)
		                   ? num_format(n->clock_lo_ms, 1, lo)
		                   : num_format(n->clock_hi_ms, 1, hi));
	else
		(void)snprintf(line, sizeof(line),
		               "its clock is not what it claims: %s to %s ms "
		               "off, by what the mesh measured",
		               num_format(n->clock_lo_ms, 1, lo),
		               num_format(n->clock_hi_ms, 1, hi));
	(void)fprintf(out, "%*s  ", width, "");
	term_put(out, line, 0, TERM_WARN, coloured);
	(void)fputc('\n', out);
}

static void
format_spool(const struct doc_node *n, char *out, size_t size)
{
	char bytes[NUM_TEXT_MAX];

	if (isnan(n->spool_batches))
		(void)snprintf(out, size, "-");
	else if (isnan(n->spool_bytes))
		(void)snprintf(out, size, "%.0f", n->spool_batches);
	else
		(void)snprintf(out, size, "%.0f, %s", n->spool_batches,
		               bytes_format(n->spool_bytes, bytes));
}

static int
name_width(const struct doc_nodes *d)
{
	size_t w = 4;

	for (size_t i = 0; i < d->node_n; i++) {
		const size_t n = strlen(d->node[i].name);

		w = n > w ? n : w;
	}
	return (int)w;
}

static void
put_node(FILE *out, const struct doc_node *n, int width, int64_t now_wall_ns,
         bool coloured)
{
	char clock[64], spool[64], age[NUM_TEXT_MAX], addrs[256], no[256];

	format_clock(n, clock, sizeof(clock));
	format_spool(n, spool, sizeof(spool));
	show_join(n->addresses, addrs, sizeof(addrs));
	show_join(n->unconsented, no, sizeof(no));
	term_put(out, n->name, -width, TERM_BOLD, coloured);
	(void)fputs("  ", out);
	term_put(out, n->site, -8, TERM_PLAIN, false);
	(void)fputc(' ', out);
	term_put(out, n->state, -8, node_colour(n), coloured);
	(void)fprintf(
	    out, " %7s  ",
	    age_format(doc_age_s(n->last_contact_at, now_wall_ns), age));
	term_put(out, clock, -CLOCK_COLUMNS, TERM_PLAIN, false);
	(void)fputc(' ', out);
	term_put(out, spool, -12, TERM_PLAIN, false);
	(void)fputc(' ', out);
	term_put(out, addrs, 0, TERM_PLAIN, false);
	if (*addrs && !isnan(n->reflector_port))
		(void)fprintf(out, " port %.0f", n->reflector_port);
	(void)fputc('\n', out);
	if (*n->state_why) {
		(void)fprintf(out, "%*s  ", width, "");
		term_put(out, n->state_why, 0, TERM_QUIET, coloured);
		(void)fputc('\n', out);
	}
	put_maintenance(out, n, width, coloured);
	put_conviction(out, n, width, coloured);
	if (*no) {
		(void)fprintf(out, "%*s  ", width, "");
		term_put(out, "not probed, for want of consent: ", 0, TERM_WARN,
		         coloured);
		term_put(out, no, 0, TERM_PLAIN, false);
		(void)fputc('\n', out);
	}
}

static void
put_pending(FILE *out, const struct doc_pending *p, int64_t now_wall_ns)
{
	char age[NUM_TEXT_MAX];

	(void)fprintf(out, "  %s  from ", p->fingerprint);
	term_put(out, p->address, 0, TERM_PLAIN, false);
	(void)fprintf(out, ", last seen %s ago, %.0f attempts\n",
	              age_format(doc_age_s(p->last_seen, now_wall_ns), age),
	              isnan(p->attempts) ? 0 : p->attempts);
	(void)fprintf(out, "    twmesh node approve %s NAME\n", p->fingerprint);
}

void
show_nodes(FILE *out, const struct doc_nodes *d, int64_t now_wall_ns,
           bool coloured)
{
	const int width = name_width(d);

	if (!d->database_ok)
		show_away(out, d->database_since, coloured);
	if (d->node_n == 0)
		(void)fputs("no nodes\n", out);
	else
		(void)fprintf(out, "%-*s  %-8s %-8s %7s  %-*s %-12s %s\n",
		              width, "node", "site", "state", "contact",
		              CLOCK_COLUMNS, "clock offset", "spool",
		              "addresses");
	for (size_t i = 0; i < d->node_n; i++)
		put_node(out, &d->node[i], width, now_wall_ns, coloured);
	if (d->pending_n == 0)
		return;
	(void)fprintf(out,
	              "\n%zu waiting for approval; compare the fingerprint "
	              "with twmesh-meshd --show-key there:\n",
	              d->pending_n);
	for (size_t i = 0; i < d->pending_n; i++)
		put_pending(out, &d->pending[i], now_wall_ns);
}

static void
csv_number(FILE *out, double v)
{
	(void)fputc(',', out);
	if (!isnan(v))
		(void)fprintf(out, "%.9g", v);
}

static void
csv_plan(FILE *out, const struct doc_node *n)
{
	const char *const text[] = {n->kind, n->maintenance ? "on" : "",
	                            n->maintenance_until,
	                            n->maintenance_reason};

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		(void)fputc(',', out);
		csv_put(out, text[i]);
	}
}

void
show_nodes_csv(FILE *out, const struct doc_nodes *d)
{
	(void)fputs("name,site,state,state_why,last_contact_at,fingerprint,"
	            "software,addresses,unconsented,reflector_port,epoch,"
	            "spool_batches,spool_bytes,clock_offset_ms,"
	            "clock_max_error_ms,load1,rss_kib,sessions,"
	            "clock_verdict,clock_lo_ms,clock_hi_ms,kind,"
	            "maintenance,maintenance_until,maintenance_reason\n",
	            out);
	for (size_t i = 0; i < d->node_n; i++) {
		const struct doc_node *n = &d->node[i];
		char addrs[1024], no[1024];
		const char *const text[] = {n->name,
		                            n->site,
		                            n->state,
		                            n->state_why,
		                            n->last_contact_at,
		                            n->fingerprint,
		                            n->software,
		                            addrs,
		                            no};

		show_join(n->addresses, addrs, sizeof(addrs));
		show_join(n->unconsented, no, sizeof(no));
		for (size_t j = 0; j < sizeof(text) / sizeof(text[0]); j++) {
			(void)fputs(j ? "," : "", out);
			csv_put(out, text[j]);
		}
		csv_number(out, n->reflector_port);
		csv_number(out, n->epoch);
		csv_number(out, n->spool_batches);
		csv_number(out, n->spool_bytes);
		csv_number(out, n->clock_offset_ms);
		csv_number(out, n->clock_max_error_ms);
		csv_number(out, n->load1);
		csv_number(out, n->rss_kib);
		csv_number(out, n->sessions);
		(void)fputc(',', out);
		csv_put(out, n->clock_verdict);
		csv_number(out, n->clock_lo_ms);
		csv_number(out, n->clock_hi_ms);
		csv_plan(out, n);
		(void)fputc('\n', out);
	}
}
