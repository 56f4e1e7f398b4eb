/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/localrefl.h"

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
	if (l->alive && l->members && !l->told)
		tell_members(l, now);
}
