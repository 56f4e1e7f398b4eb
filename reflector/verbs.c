/* SPDX-License-Identifier: BSD-2-Clause */
#include "reflector/verbs.h"

#include "lib/base/clock_read.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "reflector/reflect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct verb {
	const char *name;
	void (*fn)(struct reflect *r, int argc, char **argv, FILE *out);
};

static void
verb_counters(struct reflect *r, int argc, char **argv, FILE *out)
{
	(void)argc;
	(void)argv;
	counters_print(&r->counters, out);
	(void)fprintf(out, "sessions %zu\nmembers %zu\n",
	              r->sessions ? rsession_count(r->sessions) : (size_t)0,
	              r->sessions ? rsession_member_count(r->sessions)
	                          : (size_t)0);
}

static void
verb_drops(struct reflect *r, int argc, char **argv, FILE *out)
{
	(void)argc;
	(void)argv;
	counters_print_drops(&r->counters, out);
}

struct listing {
	FILE *out;
	struct mono now;
};

static void
print_session(void *arg, const struct rsession *s)
{
	const struct listing *l = arg;
	char src[ADDR_TEXT_MAX], local[ADDR_TEXT_MAX];
	struct addr a, b;

	rsession_key_addrs(&s->key, &a, &b);
	(void)fprintf(l->out, "%s %s %u %" PRIu32 " %" PRId64 " %d\n",
	              addr_format(&a, src), addr_format_ip(&b, local),
	              s->key.ssid, s->received,
	              mono_diff_ns(l->now, s->last) / NS_PER_S,
	              rsession_is_member(s));
}

static void
verb_sessions(struct reflect *r, int argc, char **argv, FILE *out)
{
	struct listing l = {out, clock_mono()};

	(void)argc;
	(void)argv;
	if (r->sessions)
		rsession_each(r->sessions, print_session, &l);
}

static void
verb_members(struct reflect *r, int argc, char **argv, FILE *out)
{
	const size_t n = (size_t)argc - 1;
	struct addr *ip = NULL;

	if (!r->sessions) {
		(void)fputs("error stateless: there are no slots to reserve\n",
		            out);
		return;
	}
	if (n > RSESSION_MEMBERS_MAX) {
		(void)fprintf(out,
		              "error expected at most %d members, found %zu\n",
		              RSESSION_MEMBERS_MAX, n);
		return;
	}
	ip = calloc(n + 1, sizeof(*ip));
	for (size_t i = 0; ip && i < n; i++) {
		if (addr_parse_ip(argv[i + 1], 0, &ip[i]))
			continue;
		text_make_printable(argv[i + 1]);
		(void)fprintf(out, "error expected an address, found '%.64s'\n",
		              argv[i + 1]);
		goto out;
	}
	if (!ip || !rsession_set_members(r->sessions, ip, n)) {
		(void)fputs("error out of memory\n", out);
		goto out;
	}
	log_debug("%zu members have reserved slots",
	          rsession_member_count(r->sessions));
	(void)fprintf(out, "ok %zu\n", rsession_member_count(r->sessions));
out:
	free(ip);
}

static void
verb_host_limited(struct reflect *r, int argc, char **argv, FILE *out)
{
	const struct stalls *s = &r->stalls;

	(void)argc;
	(void)argv;
	for (size_t i = 0; i < s->n; i++) {
		const struct stall *e = stalls_at(s, i);

		(void)fprintf(
		    out, "%" PRId64 " %" PRId64 " %" PRIu64 " %" PRIu64 "\n",
		    e->from.ns, e->to.ns, e->drops, e->held);
	}
}

static void
verb_instance(struct reflect *r, int argc, char **argv, FILE *out)
{
	(void)argc;
	(void)argv;
	(void)fprintf(out, "%016" PRIx64 "\n", r->instance_id);
}

static const struct verb verbs[] = {{"counters", verb_counters},
                                    {"drops", verb_drops},
                                    {"sessions", verb_sessions},
                                    {"members", verb_members},
                                    {"instance", verb_instance},
                                    {"host_limited", verb_host_limited},
                                    {NULL, NULL}};

void
verbs_answer(void *arg, int argc, char **argv, uid_t uid, gid_t gid, FILE *out)
{
	struct reflect *r = arg;

	(void)uid;
	(void)gid; /* who may ask is the socket file's mode */
	for (const struct verb *v = verbs; v->name; v++) {
		if (strcmp(argv[0], v->name) == 0) {
			v->fn(r, argc, argv, out);
			return;
		}
	}
	text_make_printable(argv[0]);
	(void)fprintf(out,
	              "error expected counters, drops, sessions, members, "
	              "instance or host_limited, found '%.64s'\n",
	              argv[0]);
}
