/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/ping.h"

#include "lib/base/clock_read.h"
#include "lib/base/metric.h"
#include "lib/base/text.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/* Whether it numbers replies for itself: by its own word, or as proved. */
static json_t *
counts_json(const struct ping_sum *p)
{
	if (p->is_twmesh)
		return json_boolean(p->stateful);
	return p->counts == PING_COUNTS_UNKNOWN
	           ? json_null()
	           : json_boolean(p->counts == PING_COUNTS_YES);
}

static json_t *
ms_json(int64_t ns)
{
	return ns == NS_UNKNOWN ? json_null() : json_real((double)ns / 1e6);
}

static json_t *
run_json(const struct loss_run *r)
{
	char first[40], last[40];

	return json_pack(
	    "{s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:i, s:i, s:i, s:i, s:b, s:b}",
	    "state", loss_run_state_str(r->state), "first",
	    clock_format_utc(r->first, first, sizeof(first)), "last",
	    clock_format_utc(r->last, last, sizeof(last)), "at_least_ms",
	    ms_json(r->lower_ns), "at_most_ms", ms_json(r->upper_ns),
	    "first_seq", (json_int_t)r->first_seq, "last_seq",
	    (json_int_t)r->last_seq, "lost", (int)r->lost, "lost_fwd",
	    (int)r->lost_fwd, "lost_bwd", (int)r->lost_bwd, "lost_undet",
	    (int)r->lost_undet, "reflector_restart", (int)r->reflector_restart,
	    "host_limited", (int)r->host_limited);
}

static json_t *
runs_json(const struct ping_sum *p)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < p->run_n; i++) {
		if (json_array_append_new(a, run_json(&p->run[i])) != 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

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
	const char *source[4];

	for (unsigned i = 0; i < 4; i++)
		source[i] = ping_stamp_source(
		    p->has_result ? p->r.v[METRIC_STAMPS] : METRIC_NULL, i + 1);
	(void)snprintf(name, sizeof(name), "%s", o->target);
	if (!text_is_clean(name, strlen(name))) /* JSON is UTF-8 */
		(void)snprintf(name, sizeof(name), "?");
	(void)snprintf(id, sizeof(id), "%016" PRIx64, p->instance_id);
	return json_pack(
	    "{s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:i, s:i, s:f, s:b,"
	    " s:{s:b, s:b, s:o, s:o}, s:i, s:{s:i, s:i, s:i, s:i},"
	    " s:{s:s, s:s, s:s, s:s}, s:o, s:i}",
	    "target", name, "address", addr_format(&o->dst, addr), "protocol",
	    o->light ? "twamp-light" : "stamp", "from",
	    clock_format_utc(p->from, from, sizeof(from)), "to",
	    clock_format_utc(p->to, to, sizeof(to)), "schedule",
	    o->poisson ? "poisson" : "periodic", "gap_ms",
	    (double)o->interval_ns / 1e6, "size_octets", (int)o->size, "dscp",
	    o->dscp, "loss_timeout_ms", (double)o->loss_timeout_ns / 1e6,
	    "answered", (int)p->answered, "reflector", "twmesh",
	    (int)p->is_twmesh, "stateful", (int)p->stateful, "instance_id",
	    p->is_twmesh ? json_string(id) : json_null(), "counts",
	    counts_json(p), "under_way", (int)p->under_way, "put_aside",
	    "altered", (int)p->altered, "unknown", (int)p->unknown, "malformed",
	    (int)p->malformed, "foreign", (int)p->foreign, "stamp_sources",
	    "t1", source[0], "t2", source[1], "t3", source[2], "t4", source[3],
	    "loss_runs", runs_json(p), "loss_runs_more", (int)p->runs_more);
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
