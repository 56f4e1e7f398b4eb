/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/doc_runs.h"

#include "lib/base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 100000
#define PACKETS_MAX 100000

static bool
true_at(json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static bool
fail(char *err, const char *what, const char *expected)
{
	(void)snprintf(err, DOC_ERR_MAX,
	               "%s: expected %s, found something else", what, expected);
	return false;
}

bool
run_id_is_valid(const char *s)
{
	return strlen(s) == RUN_ID_CHARS &&
	       strspn(s, "0123456789abcdef") == RUN_ID_CHARS;
}

static bool
read_run(json_t *o, struct doc_run *r, char *err)
{
	*r = (struct doc_run){
	    .run = doc_text(o, "run"),
	    .src = doc_text(o, "src"),
	    .dst = doc_text(o, "dst"),
	    .class_ = doc_text(o, "class"),
	    .state = doc_text(o, "state"),
	    .first_at = doc_text(o, "first_at"),
	    .last_at = doc_text(o, "last_at"),
	    .src_address = doc_text(o, "src_address"),
	    .dst_address = doc_text(o, "dst_address"),
	    .lower_ms = doc_number(o, "lower_ms"),
	    .upper_ms = doc_number(o, "upper_ms"),
	    .resolution_ms = doc_number(o, "resolution_ms"),
	    .lost = doc_number(o, "lost"),
	    .lost_fwd = doc_number(o, "lost_fwd"),
	    .lost_bwd = doc_number(o, "lost_bwd"),
	    .lost_undet = doc_number(o, "lost_undet"),
	    .first_seq = doc_number(o, "first_seq"),
	    .last_seq = doc_number(o, "last_seq"),
	    .src_port = doc_number(o, "src_port"),
	    .dst_port = doc_number(o, "dst_port"),
	    .packets = doc_number(o, "packets"),
	    .reflector_restart = true_at(o, "reflector_restart"),
	    .host_limited = true_at(o, "host_limited"),
	    .dst_host_limited = true_at(o, "dst_host_limited"),
	};
	if (!run_id_is_valid(r->run))
		return fail(err, "run", "16 hexadecimal digits");
	if (!name_is_valid(r->src) || !name_is_valid(r->dst))
		return fail(err, "src, dst", "names (" NAME_RULE ")");
	return true;
}

bool
doc_outages_read(json_t *root, struct doc_outages *out, char *err)
{
	json_t *list = json_object_get(root, "outages");
	struct doc_outages d = {.since = doc_text(root, "since"),
	                        .more = true_at(root, "more"),
	                        .run_n = json_array_size(list)};
	bool ok = true;

	if (!json_is_array(list) || d.run_n > RUNS_MAX)
		return fail(err, "outages", "an array");
	d.run = calloc(d.run_n + 1, sizeof(*d.run));
	if (!d.run)
		return fail(err, "memory", "more");
	for (size_t i = 0; ok && i < d.run_n; i++)
		ok = read_run(json_array_get(list, i), &d.run[i], err);
	if (ok)
		*out = d;
	else
		doc_outages_clear(&d);
	return ok;
}

void
doc_outages_clear(struct doc_outages *d)
{
	free(d->run);
	memset(d, 0, sizeof(*d));
}

static void
read_packet(json_t *o, struct doc_packet *p)
{
	*p = (struct doc_packet){
	    .fate = doc_text(o, "fate"),
	    .t1 = doc_text(o, "t1"),
	    .t2 = doc_text(o, "t2"),
	    .t3 = doc_text(o, "t3"),
	    .t4 = doc_text(o, "t4"),
	    .seq = doc_number(o, "seq"),
	    .flow = doc_number(o, "flow"),
	    .reflector_seq = doc_number(o, "reflector_seq"),
	    .sender_ttl = doc_number(o, "sender_ttl"),
	    .ttl = doc_number(o, "ttl"),
	    .tos = doc_number(o, "tos"),
	};
}

bool
doc_evidence_read(json_t *root, struct doc_evidence *out, char *err)
{
	json_t *list = json_object_get(root, "packets");
	json_t *run = json_object_get(root, "run");
	struct doc_evidence d = {.packet_n = json_array_size(list)};

	if (!json_is_object(run))
		return fail(err, "run", "an object");
	if (!json_is_array(list) || d.packet_n > PACKETS_MAX)
		return fail(err, "packets", "an array");
	if (!read_run(run, &d.run, err))
		return false;
	d.packet = calloc(d.packet_n + 1, sizeof(*d.packet));
	if (!d.packet)
		return fail(err, "memory", "more");
	for (size_t i = 0; i < d.packet_n; i++)
		read_packet(json_array_get(list, i), &d.packet[i]);
	*out = d;
	return true;
}

void
doc_evidence_clear(struct doc_evidence *d)
{
	free(d->packet);
	memset(d, 0, sizeof(*d));
}
