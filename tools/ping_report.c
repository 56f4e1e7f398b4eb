/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/ping.h"

#include "lib/base/clock_read.h"
#include "lib/base/metric.h"
#include "lib/base/text.h"
#include "tools/term.h"

#include <inttypes.h>
#include <jansson.h>
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
	(void)fprintf(out, "\n%" PRId64 " duplicates, %" PRId64 " late",
	              v[METRIC_DUPLICATES], v[METRIC_LATE]);
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

	(void)fprintf(
	    out, "RTT       min %s  mean %s  p50 %s  p99 %s  max %s ms%s\n",
	    ms(v[METRIC_RTT_MIN], a), ms(v[METRIC_RTT_MEAN], b),
	    ms(v[METRIC_RTT_P50], c), ms(v[METRIC_RTT_P99], d),
	    ms(v[METRIC_RTT_MAX], e),
	    v[METRIC_RTT_P99] == METRIC_NULL ? "  (p99 needs 50 samples)" : "");
}

/* The metrics of one direction. */
struct direction {
	const char *name;
	enum metric min, mean, max, ipdv, jitter, hops;
};

static void
print_direction(FILE *out, const int64_t *v, const struct direction *d)
{
	char a[NUM_TEXT_MAX], b[NUM_TEXT_MAX], c[NUM_TEXT_MAX], i[NUM_TEXT_MAX],
	    j[NUM_TEXT_MAX], h[NUM_TEXT_MAX];

	(void)fprintf(out,
	              "%-9s min %s  mean %s  max %s ms  jitter %s ms (RFC 3550 "
	              "%s)  hops %s\n",
	              d->name, ms(v[d->min], a), ms(v[d->mean], b),
	              ms(v[d->max], c), ms(v[d->ipdv], i), ms(v[d->jitter], j),
	              count(v[d->hops], h));
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
	if (v[METRIC_LOST_UNDET] > 0 && !p->is_twmesh)
		(void)fputs("this reflector does not tell which packets it "
		            "received: the direction of loss is unknown\n",
		            out);
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
	static const struct direction fwd = {"forward",       METRIC_FWD_MIN,
	                                     METRIC_FWD_MEAN, METRIC_FWD_MAX,
	                                     METRIC_FWD_IPDV, METRIC_FWD_JITTER,
	                                     METRIC_FWD_HOPS},
	                              bwd = {"backward",      METRIC_BWD_MIN,
	                                     METRIC_BWD_MEAN, METRIC_BWD_MAX,
	                                     METRIC_BWD_IPDV, METRIC_BWD_JITTER,
	                                     METRIC_BWD_HOPS};
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
		print_notes(out, p);
	} else if (!p->answered) {
		(void)fputs("no answer: is a reflector listening there, and "
		            "does every firewall let UDP through both ways?\n",
		            out);
	}
}

/* -- JSON --------------------------------------------------------------------
 */

/* Adds every metric of the result, by its name of the metric table. */
static bool
add_metrics(json_t *doc, const struct ping_sum *p)
{
	for (unsigned i = 1; i < METRIC_N; i++) {
		const struct metric_info *m = metric_info(i);
		const int64_t v = p->r.v[i];
		json_t *j;

		if (!m)
			continue;
		if (!p->has_result)
			j = m->type == METRIC_COUNT ? json_integer(0)
			                            : json_null();
		else if (v == METRIC_NULL)
			j = json_null();
		else if (m->type == METRIC_DURATION || m->type == METRIC_MILLI)
			j = json_real(metric_shown(m, v));
		else
			j = json_integer(v);
		if (json_object_set_new(doc, m->name, j) != 0)
			return false;
	}
	return true;
}

static json_t *
head_json(const struct ping_sum *p)
{
	char from[40], to[40], addr[ADDR_TEXT_MAX], id[20], name[256];
	const struct ping_opts *o = p->o;

	(void)snprintf(name, sizeof(name), "%s", o->target);
	if (!text_is_clean(name, strlen(name))) /* JSON is UTF-8 */
		(void)snprintf(name, sizeof(name), "?");
	(void)snprintf(id, sizeof(id), "%016" PRIx64, p->instance_id);
	return json_pack(
	    "{s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:i, s:i, s:f, s:b,"
	    " s:{s:b, s:b, s:o}, s:i, s:{s:i, s:i, s:i, s:i}}",
	    "target", name, "address", addr_format(&o->dst, addr), "protocol",
	    o->light ? "twamp-light" : "stamp", "from",
	    clock_format_utc(p->from, from, sizeof(from)), "to",
	    clock_format_utc(p->to, to, sizeof(to)), "schedule",
	    o->poisson ? "poisson" : "periodic", "gap_ms",
	    (double)o->interval_ns / 1e6, "size_octets", (int)o->size, "dscp",
	    o->dscp, "loss_timeout_ms", (double)o->loss_timeout_ns / 1e6,
	    "answered", (int)p->answered, "reflector", "twmesh",
	    (int)p->is_twmesh, "stateful", (int)p->stateful, "instance_id",
	    p->is_twmesh ? json_string(id) : json_null(), "under_way",
	    (int)p->under_way, "put_aside", "altered", (int)p->altered,
	    "unknown", (int)p->unknown, "malformed", (int)p->malformed,
	    "foreign", (int)p->foreign);
}

bool
ping_print_json(FILE *out, const struct ping_sum *p)
{
	json_t *doc = head_json(p);
	bool ok = doc && add_metrics(doc, p);

	ok = ok &&
	     json_dumpf(doc, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) ==
	         0 &&
	     fputc('\n', out) != EOF;
	json_decref(doc);
	return ok;
}
