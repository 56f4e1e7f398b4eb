/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/localrefl.h"

#include "lib/base/text.h"
#include "lib/svc/localsock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS 100
#define EVERY_NS (2 * NS_PER_S)
#define AWAY_NS (10 * NS_PER_S)
#define REQUEST_MAX (64000U) /* of the 64 kB that a local socket takes */
#define DROPS "kernel_drops "

void
localrefl_init(struct localrefl *l, const char *path)
{
	memset(l, 0, sizeof(*l));
	l->path = path;
}

void
localrefl_clear(struct localrefl *l)
{
	free(l->members);
	l->members = NULL;
}

void
localrefl_set_roster(struct localrefl *l, const struct roster *r)
{
	char ip[ADDR_TEXT_MAX];
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return;
	(void)fputs("members", f);
	for (size_t i = 0; i < r->node_n; i++) {
		const struct roster_node *n = &r->node[i];

		if (n->kind != NODE_TWMESH)
			continue; /* it sends nothing by itself */
		for (size_t j = 0; j < n->address_n; j++) {
			if (ftell(f) < (long)(REQUEST_MAX - sizeof(ip)))
				(void)fprintf(
				    f, " %s",
				    addr_format_ip(&n->address[j], ip));
		}
	}
	if (fclose(f) != 0) {
		free(text);
		return;
	}
	free(l->members);
	l->members = text;
	l->told = false;
	l->next.ns = 0;
}

static char *
ask(struct localrefl *l, const char *request, struct mono now)
{
	char *answer = localsock_ask(l->path, request, ASK_MS);
	uint64_t held;

	if (answer) {
		if (!l->alive)
			log_info("reflector: answers on %s", l->path);
		l->alive = true;
		l->next = mono_add_ns(now, EVERY_NS);
		return answer;
	}
	l->alive = l->told = false;
	l->next = mono_add_ns(now, AWAY_NS);
	if (log_limit_ok(&l->log_away, now, &held))
		log_warn("reflector: no answer on %s: %s", l->path,
		         strerror(errno));
	return NULL;
}

/* A reflector that restarted has forgotten its members. */
static void
read_instance(struct localrefl *l, char *answer)
{
	answer[strcspn(answer, "\n")] = '\0';
	if (strncmp(answer, l->instance, sizeof(l->instance) - 1) == 0)
		return;
	(void)snprintf(l->instance, sizeof(l->instance), "%s", answer);
	l->told = false;
}

static void
read_drops(struct localrefl *l, const char *answer)
{
	const char *line = strstr(answer, DROPS);

	if (line)
		l->rx_drops = strtoull(line + strlen(DROPS), NULL, 10);
}

/* One integer and the octet behind it. */
static bool
read_number(const char **p, int64_t *out, char end)
{
	char text[24];
	const size_t n = strcspn(*p, " \n");

	if (n >= sizeof(text) || (*p)[n] != end)
		return false;
	memcpy(text, *p, n);
	text[n] = '\0';
	*p += n + 1;
	return text_parse_i64(text, 0, INT64_MAX, out);
}

bool
localrefl_read_host_limited(struct localrefl *l, const char *answer)
{
	struct host_limited found[MSG_HOST_LIMITED_MAX];
	size_t n = 0;

	for (const char *p = answer; *p; n++) {
		int64_t from, to, drops, held;

		if (n == MSG_HOST_LIMITED_MAX || !read_number(&p, &from, ' ') ||
		    !read_number(&p, &to, ' ') ||
		    !read_number(&p, &drops, ' ') ||
		    !read_number(&p, &held, '\n') || from > to)
			return false;
		found[n] = (struct host_limited){
		    {from}, {to}, (uint64_t)drops, (uint64_t)held};
	}
	memcpy(l->host_limited, found, n * sizeof(found[0]));
	l->host_limited_n = n;
	return true;
}

static void
ask_host_limited(struct localrefl *l, struct mono now)
{
	char *answer = ask(l, "host_limited", now);
	uint64_t held;

	if (answer && !localrefl_read_host_limited(l, answer) &&
	    log_limit_ok(&l->log_error, now, &held)) {
		text_make_printable(answer);
		log_warn("reflector: host_limited: expected lines of four "
		         "numbers, found '%.80s' (an older reflector?)",
		         answer);
	}
	free(answer);
}

static void
tell_members(struct localrefl *l, struct mono now)
{
	char *answer = ask(l, l->members, now);
	uint64_t held;

	if (!answer)
		return;
	l->told = true;
	if (strncmp(answer, "ok", 2) != 0 &&
	    log_limit_ok(&l->log_error, now, &held))
		log_warn("reflector: members not taken: %.200s", answer);
	free(answer);
}

void
localrefl_on_tick(struct localrefl *l, struct mono now)
{
	char *answer;

	if (l->path[0] == '\0' || mono_diff_ns(l->next, now) > 0)
		return;
	answer = ask(l, "instance", now);
	if (!answer)
		return;
	read_instance(l, answer);
	free(answer);
	answer = ask(l, "counters", now);
	if (answer)
		read_drops(l, answer);
	free(answer);
	if (l->alive)
		ask_host_limited(l, now);
	if (l->alive && l->members && !l->told)
		tell_members(l, now);
}
