/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/show_runs.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* "4.34 s", "217 ms"; "?" when not known. */
static const char *
duration(double ms, char out[NUM_TEXT_MAX])
{
	if (isnan(ms))
		(void)snprintf(out, NUM_TEXT_MAX, "?");
	else if (ms >= 1000)
		(void)snprintf(out, NUM_TEXT_MAX, "%.2f s", ms / 1000);
	else
		(void)snprintf(out, NUM_TEXT_MAX, "%.*f ms", ms < 10 ? 1 : 0,
		               ms);
	return out;
}

/* The outage lasted something between the two. */
static void
put_duration(FILE *out, const struct doc_run *r)
{
	char lower[NUM_TEXT_MAX], upper[NUM_TEXT_MAX],
	    both[2 * NUM_TEXT_MAX + 8];

	(void)duration(r->lower_ms, lower);
	if (isnan(r->upper_ms))
		(void)snprintf(both, sizeof(both), "over %s", lower);
	else
		(void)snprintf(both, sizeof(both), "%s to %s", lower,
		               duration(r->upper_ms, upper));
	term_put(out, both, -20, TERM_PLAIN, false);
}

static bool
is_open(const struct doc_run *r)
{
	return strcmp(r->state, "open") == 0 ||
	       strcmp(r->state, "confirmed") == 0;
}

static void
put_count(FILE *out, double n, int width)
{
	if (isnan(n))
		(void)fprintf(out, " %*s", width, "?");
	else
		(void)fprintf(out, " %*.0f", width, n);
}

static void
put_marks(FILE *out, const struct doc_run *r, bool coloured)
{
	if (r->host_limited || r->dst_host_limited)
		term_put(out,
		         r->host_limited ? "  host of the source limited"
		                         : "  host of the destination limited",
		         0, TERM_QUIET, coloured);
	if (r->reflector_restart)
		term_put(out, "  reflector restarted", 0, TERM_QUIET, coloured);
}

static void
put_run(FILE *out, const struct doc_run *r, bool coloured)
{
	char path[160];

	(void)fprintf(out, "%s  ", r->run);
	(void)snprintf(path, sizeof(path), "%s -> %s", r->src, r->dst);
	term_put(out, path, -18, TERM_PLAIN, false);
	(void)fputc(' ', out);
	term_put(out, r->state, -10, is_open(r) ? TERM_CRIT : TERM_PLAIN,
	         coloured);
	(void)fputc(' ', out);
	term_put(out, r->first_at, -25, TERM_PLAIN, false);
	put_duration(out, r);
	put_count(out, r->lost, 6);
	put_count(out, r->lost_fwd, 6);
	put_count(out, r->lost_bwd, 6);
	put_count(out, r->lost_undet, 6);
	put_marks(out, r, coloured);
	(void)fputc('\n', out);
}

/* One line per class: what cannot be seen. */
static void
put_resolutions(FILE *out, const struct doc_outages *d)
{
	char gap[NUM_TEXT_MAX];

	for (size_t i = 0; i < d->run_n; i++) {
		const struct doc_run *r = &d->run[i];
		bool told = isnan(r->resolution_ms);

		for (size_t k = 0; k < i && !told; k++)
			told = strcmp(d->run[k].class_, r->class_) == 0;
		if (told)
			continue;
		(void)fputs("class ", out);
		term_put(out, r->class_, 0, TERM_PLAIN, false);
		(void)fprintf(out,
		              ": %s between packets; shorter outages may pass "
		              "unseen, and runs of 1 or 2 packets are only "
		              "counted\n",
		              duration(r->resolution_ms, gap));
	}
}

void
show_outages(FILE *out, const struct doc_outages *d, bool coloured)
{
	if (d->run_n == 0) {
		(void)fputs("no loss runs since ", out);
		term_put(out, *d->since ? d->since : "then", 0, TERM_PLAIN,
		         false);
		(void)fputc('\n', out);
		return;
	}
	(void)fprintf(out, "%-16s  %-18s %-10s %-25s%-20s %6s %6s %6s %6s\n",
	              "run", "path", "state", "first lost", "lasted", "lost",
	              "fwd", "bwd", "?");
	for (size_t i = 0; i < d->run_n; i++)
		put_run(out, &d->run[i], coloured);
	if (d->more)
		(void)fputs("... and older ones: see --limit\n", out);
	(void)fputc('\n', out);
	put_resolutions(out, d);
}

static void
csv_number(FILE *out, double v)
{
	(void)fputc(',', out);
	if (!isnan(v))
		(void)fprintf(out, "%.15g", v);
}

void
show_outages_csv(FILE *out, const struct doc_outages *d)
{
	(void)fputs("run,src,dst,class,state,first_at,last_at,lower_ms,"
	            "upper_ms,resolution_ms,lost,lost_fwd,lost_bwd,lost_undet,"
	            "first_seq,last_seq,host_limited,dst_host_limited,"
	            "reflector_restart\n",
	            out);
	for (size_t i = 0; i < d->run_n; i++) {
		const struct doc_run *r = &d->run[i];
		const char *const text[] = {r->run,    r->src,   r->dst,
		                            r->class_, r->state, r->first_at,
		                            r->last_at};
		const double number[] = {
		    r->lower_ms,   r->upper_ms,  r->resolution_ms,
		    r->lost,       r->lost_fwd,  r->lost_bwd,
		    r->lost_undet, r->first_seq, r->last_seq};

		for (size_t j = 0; j < sizeof(text) / sizeof(text[0]); j++) {
			(void)fputs(j ? "," : "", out);
			csv_put(out, text[j]);
		}
		for (size_t j = 0; j < sizeof(number) / sizeof(number[0]); j++)
			csv_number(out, number[j]);
		(void)fprintf(out, ",%d,%d,%d\n", r->host_limited,
		              r->dst_host_limited, r->reflector_restart);
	}
}

/* -- evidence --------------------------------------------------------------
 */

static void
put_end(FILE *out, const char *name, const char *address, double port)
{
	term_put(out, name, 0, TERM_PLAIN, false);
	if (!*address)
		return;
	(void)fputs(strchr(address, ':') ? " [" : " ", out);
	term_put(out, address, 0, TERM_PLAIN, false);
	if (strchr(address, ':'))
		(void)fputc(']', out);
	if (!isnan(port))
		(void)fprintf(out, ":%.0f", port);
}

static void
put_head(FILE *out, const struct doc_run *r)
{
	(void)fprintf(out, "loss run %s: ", r->run);
	put_end(out, r->src, r->src_address, r->src_port);
	(void)fputs(" > ", out);
	put_end(out, r->dst, r->dst_address, r->dst_port);
	(void)fputs(", class ", out);
	term_put(out, r->class_, 0, TERM_PLAIN, false);
	(void)fputs("\n", out);
	(void)fputs("first lost ", out);
	term_put(out, r->first_at, 0, TERM_PLAIN, false);
	(void)fputs(", last ", out);
	term_put(out, r->last_at, 0, TERM_PLAIN, false);
	(void)fputs(", lasted ", out);
	put_duration(out, r);
	(void)fputs("\nlost", out);
	put_count(out, r->lost, 0);
	(void)fputs(": forward", out);
	put_count(out, r->lost_fwd, 0);
	(void)fputs(", backward", out);
	put_count(out, r->lost_bwd, 0);
	(void)fputs(", not known", out);
	put_count(out, r->lost_undet, 0);
	put_marks(out, r, false);
	(void)fputs("\n\nT1, T4 by the source's clock, T2, T3 by the "
	            "destination's; times are UTC\n",
	            out);
}

static void
put_number(FILE *out, const char *name, double v)
{
	if (!isnan(v))
		(void)fprintf(out, " %s %.0f", name, v);
}

static void
put_stamp(FILE *out, const char *name, const char *iso)
{
	if (!*iso)
		return;
	(void)fprintf(out, " %s ", name);
	term_put(out, iso, 0, TERM_PLAIN, false);
}

/* As tcpdump would: a line per packet, by the time it was sent. */
static void
put_packet(FILE *out, const struct doc_packet *p, bool coloured)
{
	const bool lost = strcmp(p->fate, "received") != 0;
	char fate[64];

	term_put(out, p->t1, -31, TERM_PLAIN, false);
	put_number(out, "flow", p->flow);
	put_number(out, "seq", p->seq);
	if (strcmp(p->fate, "late") == 0)
		(void)snprintf(fate, sizeof(fate), "  LATE");
	else
		(void)snprintf(fate, sizeof(fate), "  %s%.40s",
		               lost ? "LOST " : "", lost ? p->fate : "ok");
	term_put(out, fate, 0, lost ? TERM_CRIT : TERM_PLAIN, coloured);
	put_stamp(out, "T2", p->t2);
	put_stamp(out, "T3", p->t3);
	put_stamp(out, "T4", p->t4);
	put_number(out, "rseq", p->reflector_seq);
	put_number(out, "ttl", p->sender_ttl);
	put_number(out, "reply ttl", p->ttl);
	put_number(out, "tos", p->tos);
	(void)fputc('\n', out);
}

void
show_evidence(FILE *out, const struct doc_evidence *d, bool coloured)
{
	put_head(out, &d->run);
	if (d->packet_n == 0)
		(void)fputs(is_open(&d->run)
		                ? "no packets yet: they come when it closes\n"
		                : "no packets are kept of it (any more)\n",
		            out);
	for (size_t i = 0; i < d->packet_n; i++)
		put_packet(out, &d->packet[i], coloured);
}

void
show_evidence_csv(FILE *out, const struct doc_evidence *d)
{
	(void)fputs("seq,flow,fate,t1,t2,t3,t4,reflector_seq,sender_ttl,ttl,"
	            "tos\n",
	            out);
	for (size_t i = 0; i < d->packet_n; i++) {
		const struct doc_packet *p = &d->packet[i];
		const char *const text[] = {p->fate, p->t1, p->t2, p->t3,
		                            p->t4};

		(void)fprintf(out, "%.0f,%.0f", isnan(p->seq) ? 0 : p->seq,
		              isnan(p->flow) ? 0 : p->flow);
		for (size_t j = 0; j < sizeof(text) / sizeof(text[0]); j++) {
			(void)fputc(',', out);
			csv_put(out, text[j]);
		}
		csv_number(out, p->reflector_seq);
		csv_number(out, p->sender_ttl);
		csv_number(out, p->ttl);
		csv_number(out, p->tos);
		(void)fputc('\n', out);
	}
}
