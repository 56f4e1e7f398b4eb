/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/show.h"

#include <string.h>

#define TEXT_MAX 64

static enum term_colour
token_colour(const char *state)
{
	return strcmp(state, "open") == 0 ? TERM_PLAIN : TERM_QUIET;
}

/* "2026-11-24T10:02:14.123Z" without what nobody waits for. */
static const char *
to_the_second(const char *iso, char out[TEXT_MAX])
{
	const size_t n = strcspn(iso, ".");

	(void)snprintf(out, TEXT_MAX, "%.*s%s", n < 40 ? (int)n : 40, iso,
	               iso[n] == '.' ? "Z" : "");
	return *out ? out : "-";
}

static void
put_token(FILE *out, const struct doc_token *t, bool coloured)
{
	char uses[TEXT_MAX], expires[TEXT_MAX], used[TEXT_MAX], nodes[512];

	(void)snprintf(uses, sizeof(uses), "%lld of %lld", (long long)t->uses,
	               (long long)t->uses_max);
	show_join(t->nodes, nodes, sizeof(nodes));
	(void)fprintf(out, "%5lld  ", (long long)t->token_id);
	term_put(out, t->state, -8, token_colour(t->state), coloured);
	(void)fputs("  ", out);
	term_put(out, uses, -12, TERM_PLAIN, false);
	(void)fputc(' ', out);
	term_put(out, to_the_second(t->expires_at, expires), -20, TERM_PLAIN,
	         false);
	(void)fputs("  ", out);
	term_put(out, to_the_second(t->last_used_at, used), -20, TERM_PLAIN,
	         false);
	(void)fputs("  ", out);
	term_put(out, t->fingerprint, -19, TERM_PLAIN, false);
	(void)fputs("  ", out);
	term_put(out, nodes, 0, TERM_PLAIN, false);
	(void)fputc('\n', out);
}

void
show_tokens(FILE *out, const struct doc_tokens *d, bool coloured)
{
	if (d->token_n == 0) {
		(void)fputs("no join tokens\n", out);
		return;
	}
	(void)fprintf(out, "%5s  %-8s  %-12s %-20s  %-20s  %-19s  %s\n", "id",
	              "state", "uses", "expires", "last used", "fingerprint",
	              "let in");
	for (size_t i = 0; i < d->token_n; i++)
		put_token(out, &d->token[i], coloured);
}

void
show_tokens_csv(FILE *out, const struct doc_tokens *d)
{
	(void)fputs("token_id,state,uses,uses_max,created_at,expires_at,"
	            "last_used_at,fingerprint,nodes\n",
	            out);
	for (size_t i = 0; i < d->token_n; i++) {
		const struct doc_token *t = &d->token[i];
		char nodes[4096];
		const char *const text[] = {t->created_at, t->expires_at,
		                            t->last_used_at, t->fingerprint,
		                            nodes};

		show_join(t->nodes, nodes, sizeof(nodes));
		(void)fprintf(out, "%lld,", (long long)t->token_id);
		csv_put(out, t->state);
		(void)fprintf(out, ",%lld,%lld", (long long)t->uses,
		              (long long)t->uses_max);
		for (size_t k = 0; k < sizeof(text) / sizeof(text[0]); k++) {
			(void)fputc(',', out);
			csv_put(out, text[k]);
		}
		(void)fputc('\n', out);
	}
}
