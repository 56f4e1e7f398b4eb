/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/ping.h"

#include "lib/base/clock_read.h"
#include "lib/base/metric.h"
#include "lib/base/text.h"
#include "tools/term.h"

#include <inttypes.h>
#include <string.h>

/* A TTL of 64 or 128 at the start, seen from 255. */
#define TTL_64_HOPS 100

/* A duration in ms, or "-". */
static const char *
ms(int64_t ns, char *out)
{
	if (ns == NS_UNKNOWN)
		(void)snprintf(out, NUM_TEXT_MAX, "-");
	else
		num_format((double)ns / 1e6, 3, out);
	return out;
}

static const char *
count(int64_t v, char *out)
{
	if (v == METRIC_NULL)
		(void)snprintf(out, NUM_TEXT_MAX, "-");
	else
		(void)snprintf(out, NUM_TEXT_MAX, "%" PRId64, v);
	return out;
}

void
ping_print_head(FILE *out, const struct ping_opts *o)
{
	char addr[ADDR_TEXT_MAX], every[NUM_TEXT_MAX], timeout[NUM_TEXT_MAX];
	char name[256];

	(void)snprintf(name, sizeof(name), "%s", o->target);
	text_make_printable(name);
	(void)fprintf(out,
	              "%s (%s): %s, %zu octets, %s %s ms, DSCP %d, lost after "
	              "%s ms\n",
	              name, addr_format(&o->dst, addr),
	              o->light ? "TWAMP Light" : "STAMP", o->size,
	              o->poisson ? "Poisson gaps of" : "every",
	              ms(o->interval_ns, every), o->dscp,
	              ms(o->loss_timeout_ns, timeout));
}

static void
mark(FILE *out, const char *text, enum term_colour c, bool coloured)
{
	(void)fputs("  ", out);
	term_put(out, text, 0, c, coloured);
	(void)fputc('\n', out);
}

void
ping_print_reply(FILE *out, uint32_t seq, enum reply_verdict v,
                 const struct sample *s, bool coloured)
{
	char rtt[NUM_TEXT_MAX], fwd[NUM_TEXT_MAX], bwd[NUM_TEXT_MAX];

	(void)fprintf(out, "seq %-6" PRIu32, seq);
	if (v != REPLY_OK) {
		mark(out, reply_verdict_str(v), TERM_WARN, coloured);
		return;
	}
	(void)fprintf(out, "  rtt %7s ms  fwd %7s ms  bwd %7s ms",
	              ms(s->rtt_ns, rtt), ms(s->fwd_ns, fwd),
	              ms(s->bwd_ns, bwd));
	if (s->rtt_ns == NS_UNKNOWN)
		(void)fprintf(out, "  raw rtt %s ms", ms(s->raw_rtt_ns, rtt));
	if (s->fwd_hops >= 0)
		(void)fprintf(out, "  hops %d", s->fwd_hops);
	else
		(void)fprintf(out, "  hops -");
	if (s->bwd_hops >= 0)
		(void)fprintf(out, "/%d\n", s->bwd_hops);
	else
		(void)fprintf(out, "/-\n");
}

void
ping_print_lost(FILE *out, uint32_t seq, bool coloured)
{
	(void)fprintf(out, "seq %-6" PRIu32, seq);
	mark(out, "lost", TERM_CRIT, coloured);
}

/* -- the summary ------------------------------------------------------------
 */

/* "(3 forward, 1 backward)", if the direction is known. */
static void
print_both_ways(FILE *out, int64_t fwd, int64_t bwd)
{
	if (fwd == METRIC_NULL || bwd == METRIC_NULL)
		return;
	(void)fprintf(out, " (%" PRId64 " forward, %" PRId64 " backward)", fwd,
	              bwd);
}

/* What came more than once, in another order, or too late. */
static void
print_order(FILE *out, const int64_t *v)
{
	(void)fprintf(out, "%" PRId64 " duplicates", v[METRIC_DUPLICATES]);
	if (v[METRIC_DUPLICATES] > 0)
		print_both_ways(out, v[METRIC_FWD_DUPLICATES],
		                v[METRIC_BWD_DUPLICATES]);
	(void)fprintf(out, ", %" PRId64 " reordered", v[METRIC_REORDERED]);
	if (v[METRIC_REORDERED] > 0)
		print_both_ways(out, v[METRIC_FWD_REORDERED],
		                v[METRIC_BWD_REORDERED]);
	if (v[METRIC_REORDER_EXTENT] != METRIC_NULL)
		(void)fprintf(out, " by up to %" PRId64,
		              v[METRIC_REORDER_EXTENT]);
	(void)fprintf(out, ", %" PRId64 " late", v[METRIC_LATE]);
	if (v[METRIC_LATE_DST_HOST] > 0)
		(void)fprintf(out, " (%" PRId64 " held by the reflector)",
		              v[METRIC_LATE_DST_HOST]);
}

static void
print_counts(FILE *out, const struct ping_sum *p, bool coloured)
{
	const int64_t *v = p->r.v;
	const int64_t sent = v[METRIC_SENT], lost = v[METRIC_LOST];
	char text[160], pct[NUM_TEXT_MAX] = "-";

	if (sent > 0)
		(void)num_format(100.0 * (double)lost / (double)sent, 2, pct);
	(void)fprintf(out, "%" PRId64 " sent, %" PRId64 " received, ", sent,
	              v[METRIC_RECEIVED]);
	(void)snprintf(text, sizeof(text), "%" PRId64 " lost (%s %%)", lost,
	               pct);
	term_put(out, text, 0, lost ? TERM_CRIT : TERM_PLAIN, coloured);
	if (lost)
		(void)fprintf(out,
		              ": %" PRId64 " forward, %" PRId64
		              " backward, %" PRId64 " undetermined",
		              v[METRIC_LOST_FWD], v[METRIC_LOST_BWD],
		              v[METRIC_LOST_UNDET]);
	(void)fputc('\n', out);
	print_order(out, v);
	if (p->under_way)
		(void)fprintf(out,
		              ", %" PRIu32 " still under way at the end (not "
		              "counted)",
		              p->under_way);
	if (v[METRIC_SEND_FAILED] > 0)
		(void)fprintf(out, ", %" PRId64 " sends failed",
		              v[METRIC_SEND_FAILED]);
	if (v[METRIC_LOCAL_DROPS] > 0)
		(void)fprintf(out, ", %" PRId64 " dropped by our own socket",
		              v[METRIC_LOCAL_DROPS]);
	(void)fputc('\n', out);
}

static void
print_aside(FILE *out, const struct ping_sum *p)
{
	const struct {
		uint32_t n;
		const char *what;
	} aside[] = {
	    {p->altered, "with an altered T1"},
	    {p->unknown, "to packets never sent"},
	    {p->malformed, "malformed"},
	    {p->foreign, "from elsewhere"},
	};

	for (size_t i = 0; i < sizeof(aside) / sizeof(aside[0]); i++) {
		if (aside[i].n)
			(void)fprintf(out,
			              "replies %s, not measured: %" PRIu32 "\n",
			              aside[i].what, aside[i].n);
	}
}

static void
print_rtt(FILE *out, const int64_t *v)
{
	char a[NUM_TEXT_MAX], b[NUM_TEXT_MAX], c[NUM_TEXT_MAX], d[NUM_TEXT_MAX],
	    e[NUM_TEXT_MAX];

	(void)fprintf(out, "RTT       min %s  mean %s  p50 %s  p99 %s",
	              ms(v[METRIC_RTT_MIN], a), ms(v[METRIC_RTT_MEAN], b),
	              ms(v[METRIC_RTT_P50], c), ms(v[METRIC_RTT_P99], d));
	if (v[METRIC_RTT_P999] != METRIC_NULL)
		(void)fprintf(out, "  p99.9 %s", ms(v[METRIC_RTT_P999], e));
	(void)fprintf(
	    out, "  max %s ms%s\n", ms(v[METRIC_RTT_MAX], e),
	    v[METRIC_RTT_P99] == METRIC_NULL ? "  (p99 needs 50 samples)" : "");
}

/* The metrics of one direction. */
struct direction {
	const char *name;
	enum metric min, mean, p50, p99, max, ipdv, jitter, hops, changed;
};

static void
print_direction(FILE *out, const int64_t *v, const struct direction *d)
{
	char a[NUM_TEXT_MAX], b[NUM_TEXT_MAX], c[NUM_TEXT_MAX], i[NUM_TEXT_MAX],
	    j[NUM_TEXT_MAX], h[NUM_TEXT_MAX], m[NUM_TEXT_MAX], n[NUM_TEXT_MAX];

	(void)fprintf(out,
	              "%-9s min %s  mean %s  p50 %s  p99 %s  max %s ms  "
	              "jitter %s ms (RFC 3550 %s)  hops %s",
	              d->name, ms(v[d->min], a), ms(v[d->mean], b),
	              ms(v[d->p50], m), ms(v[d->p99], n), ms(v[d->max], c),
	              ms(v[d->ipdv], i), ms(v[d->jitter], j),
	              count(v[d->hops], h));
	if (v[d->changed] > 0)
		(void)fprintf(out, " (changed %" PRId64 " times)",
		              v[d->changed]);
	(void)fputc('\n', out);
}

/* Only what the reflector told, or we saw ourselves. */
static void
print_dscp(FILE *out, const struct ping_sum *p, bool coloured)
{
	const int64_t *v = p->r.v;
	const int64_t fwd = v[METRIC_FWD_REMARKED],
	              bwd = v[METRIC_BWD_REMARKED];
	char a[NUM_TEXT_MAX], b[NUM_TEXT_MAX], text[120];

	(void)fprintf(out, "DSCP      sent %d, arrived there %s, came back %s",
	              p->o->dscp, count(v[METRIC_FWD_DSCP], a),
	              count(v[METRIC_BWD_DSCP], b));
	if (fwd > 0 || bwd > 0) {
		(void)snprintf(text, sizeof(text),
		               "; re-marked: %s forward, %s backward",
		               count(fwd, a), count(bwd, b));
		term_put(out, text, 0, TERM_WARN, coloured);
	}
	(void)fputc('\n', out);
}

const char *
ping_stamp_source(int64_t stamps, unsigned n)
{
	static const struct {
		int64_t good, bad;
		const char *name, *none;
	} way[4] = {
	    {STAMPS_T1_KERNEL, STAMPS_T1_USER, "kernel", "program"},
	    {STAMPS_T2_KERNEL, STAMPS_T2_USER, "kernel", "unknown"},
	    {STAMPS_T3_FOLLOW_UP, STAMPS_T3_USER, "follow-up", "program"},
	    {STAMPS_T4_KERNEL, STAMPS_T4_USER, "kernel", "program"},
	};
	bool good, bad;

	if (n < 1 || n > 4 || stamps == METRIC_NULL)
		return "none";
	good = stamps & way[n - 1].good;
	bad = stamps & way[n - 1].bad;
	return good && bad ? "mixed"
	       : good      ? way[n - 1].name
	       : bad       ? way[n - 1].none
	                   : "none";
}

/* Where the four instants came from, and how late our sends left. */
static void
print_stamps(FILE *out, const int64_t *v)
{
	char a[NUM_TEXT_MAX], b[NUM_TEXT_MAX];

	(void)fputs("stamps   ", out);
	for (unsigned n = 1; n <= 4; n++)
		(void)fprintf(out, " T%u %s%s", n,
		              ping_stamp_source(v[METRIC_STAMPS], n),
		              n < 4 ? "," : "");
	if (v[METRIC_STAMPS] != METRIC_NULL && v[METRIC_STAMPS] & STAMPS_T1_NIC)
		(void)fputs("; the NIC's as well", out);
	if (v[METRIC_TX_STAMPS_MISSING] > 0 || v[METRIC_RX_STAMPS_MISSING] > 0)
		(void)fprintf(out, "; missing: %" PRId64 " T1, %" PRId64 " T4",
		              v[METRIC_TX_STAMPS_MISSING],
		              v[METRIC_RX_STAMPS_MISSING]);
	if (v[METRIC_T3_UNCORRECTED] > 0)
		(void)fprintf(out, "; without follow-up: %" PRId64 " T3",
		              v[METRIC_T3_UNCORRECTED]);
	(void)fprintf(out, "; sends left %s ms late (p50), %s at most\n",
	              ms(v[METRIC_SEND_LATE_P50], a),
	              ms(v[METRIC_SEND_LATE_MAX], b));
}

/* -- loss runs --------------------------------------------------------------
 */

#define RUNS_SHOWN 10

static void
print_run(FILE *out, const struct loss_run *r, bool coloured)
{
	char from[40], low[NUM_TEXT_MAX], high[NUM_TEXT_MAX], text[80];

	(void)fputs("loss run  ", out);
	(void)snprintf(text, sizeof(text), "%" PRIu32 " packets", r->lost);
	term_put(out, text, 0, TERM_CRIT, coloured);
	(void)fprintf(out, " from %s, ",
	              clock_format_utc(r->first, from, sizeof(from)));
	if (r->upper_ns == NS_UNKNOWN)
		(void)fprintf(out, "%s ms and longer", ms(r->lower_ns, low));
	else
		(void)fprintf(out, "%s to %s ms", ms(r->lower_ns, low),
		              ms(r->upper_ns, high));
	(void)fprintf(
	    out,
	    " (seq %" PRIu32 " to %" PRIu32 "): %" PRIu32 " forward, %" PRIu32
	    " backward, %" PRIu32 " undetermined%s%s\n",
	    r->first_seq, r->last_seq, r->lost_fwd, r->lost_bwd, r->lost_undet,
	    r->reflector_restart ? ", the reflector restarted" : "",
	    r->host_limited ? ", our own socket dropped some" : "");
}

/* The first RUNS_SHOWN; --json has them all. */
static void
print_runs(FILE *out, const struct ping_sum *p, bool coloured)
{
	const size_t n = p->run_n < RUNS_SHOWN ? p->run_n : RUNS_SHOWN;
	const size_t more = p->run_n - n + p->runs_more;

	for (size_t i = 0; i < n; i++)
		print_run(out, &p->run[i], coloured);
	if (more)
		(void)fprintf(out, "loss run  %zu more\n", more);
}

static void
print_notes(FILE *out, const struct ping_sum *p)
{
	const int64_t *v = p->r.v;
	char err[NUM_TEXT_MAX];

	if (v[METRIC_CLOCK_ERR] == METRIC_NULL)
		(void)fputs("clocks not synchronised: forward and backward "
		            "delays hold their offset; RTT and jitter do "
		            "not\n",
		            out);
	else
		(void)fprintf(out,
		              "one-way delays are good to +-%s ms, by the "
		              "clocks' own claim\n",
		              ms(v[METRIC_CLOCK_ERR], err));
	if (!p->is_twmesh && p->counts == PING_COUNTS_YES)
		(void)fputs("this reflector was seen to count for itself: the "
		            "direction of loss is by its sequence numbers\n",
		            out);
	if (v[METRIC_LOST_UNDET] > 0 && !p->is_twmesh &&
	    p->counts != PING_COUNTS_YES)
		(void)fprintf(out,
		              "this reflector %s: the direction of loss is "
		              "unknown\n",
		              p->counts == PING_COUNTS_NOT
		                  ? "was seen not to count for itself"
		                  : "does not tell which packets it received");
	if (p->is_twmesh && !p->stateful)
		(void)fputs("this reflector keeps no state: the direction of "
		            "loss is unknown\n",
		            out);
	if (v[METRIC_BWD_HOPS] > TTL_64_HOPS)
		(void)fputs("so many backward hops mean a reflector that does "
		            "not send with TTL 255\n",
		            out);
	if (p->stepped)
		(void)fputs("our clock stepped meanwhile: these numbers are "
		            "of the longest piece between steps\n",
		            out);
	if (p->no_tlvs)
		(void)fputs("this reflector answers plain packets but none "
		            "with STAMP TLVs: they were left out\n",
		            out);
}

void
ping_print_sum(FILE *out, const struct ping_sum *p, bool coloured)
{
	static const struct direction
	    fwd = {"forward",       METRIC_FWD_MIN,
	           METRIC_FWD_MEAN, METRIC_FWD_P50,
	           METRIC_FWD_P99,  METRIC_FWD_MAX,
	           METRIC_FWD_IPDV, METRIC_FWD_JITTER,
	           METRIC_FWD_HOPS, METRIC_FWD_HOPS_CHANGED},
	    bwd = {"backward",      METRIC_BWD_MIN,
	           METRIC_BWD_MEAN, METRIC_BWD_P50,
	           METRIC_BWD_P99,  METRIC_BWD_MAX,
	           METRIC_BWD_IPDV, METRIC_BWD_JITTER,
	           METRIC_BWD_HOPS, METRIC_BWD_HOPS_CHANGED};
	char from[40], to[40], name[256];

	(void)snprintf(name, sizeof(name), "%s", p->o->target);
	text_make_printable(name);
	(void)fprintf(out, "--- %s, %s to %s\n", name,
	              clock_format_utc(p->from, from, sizeof(from)),
	              clock_format_utc(p->to, to, sizeof(to)));
	if (!p->has_result) {
		(void)fprintf(out,
		              "nothing was measured: %" PRIu32
		              " packets still under way\n",
		              p->under_way);
		print_aside(out, p);
		return;
	}
	print_counts(out, p, coloured);
	print_aside(out, p);
	if (p->r.v[METRIC_RECEIVED] > 0) {
		print_rtt(out, p->r.v);
		print_direction(out, p->r.v, &fwd);
		print_direction(out, p->r.v, &bwd);
		print_dscp(out, p, coloured);
		print_stamps(out, p->r.v);
		print_runs(out, p, coloured);
		print_notes(out, p);
	} else if (p->r.v[METRIC_SENT] == 0) {
		(void)fputs("nothing could be sent from here\n", out);
	} else if (!p->answered) {
		(void)fputs("no answer: is a reflector listening there, and "
		            "does every firewall let UDP through both ways?\n",
		            out);
	}
}
