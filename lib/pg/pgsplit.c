/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/pg/pgsplit.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

void
pgsplit_init(struct pgsplit *s, const char *script)
{
	*s = (struct pgsplit){script, 1};
}

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

/* Past a quote that opened at p; `escapes`: backslash escapes count. */
static const char *
past_quote(const char *p, bool escapes)
{
	char q = *p++;

	for (; *p; p++) {
		if (escapes && *p == '\\' && p[1]) {
			p++;
		} else if (*p == q) {
			if (p[1] != q)
				return p + 1;
			p++;
		}
	}
	return p;
}

static const char *
past_block_comment(const char *p)
{
	unsigned depth = 0;

	for (; *p; p++) {
		if (p[0] == '/' && p[1] == '*') {
			depth++;
			p++;
		} else if (p[0] == '*' && p[1] == '/') {
			p++;
			if (--depth == 0)
				return p + 1;
		}
	}
	return p;
}

/* Past a dollar-quoted string, or NULL when p does not open one. */
static const char *
past_dollar(const char *p)
{
	const char *end = p + 1;
	size_t n;

	if (isdigit((unsigned char)*end))
		return NULL;
	while (is_word(*end))
		end++;
	if (*end != '$')
		return NULL;
	n = (size_t)(end - p) + 1;
	for (end++; *end; end++) {
		if (*end == '$' && strncmp(end, p, n) == 0)
			return end + n;
	}
	return end;
}

/* Past what must not be looked into; p itself when there is none. */
static const char *
past_opaque(const char *p, const char *start)
{
	const char *end;

	switch (*p) {
	case '\'':
		return past_quote(p, p > start &&
		                         (p[-1] == 'e' || p[-1] == 'E') &&
		                         (p - 1 == start || !is_word(p[-2])));
	case '"':
		return past_quote(p, false);
	case '-':
		return p[1] == '-' ? p + strcspn(p, "\n") : p;
	case '/':
		return p[1] == '*' ? past_block_comment(p) : p;
	case '$':
		if (p > start && is_word(p[-1]))
			return p;
		end = past_dollar(p);
		return end ? end : p;
	default:
		return p;
	}
}

static unsigned
lines_between(const char *from, const char *to)
{
	unsigned n = 0;

	for (; from < to; from++)
		n += *from == '\n';
	return n;
}

/* Skips space and comments before a statement. */
static void
skip_blank(struct pgsplit *s)
{
	for (;;) {
		const char *p = s->p;

		if (isspace((unsigned char)*p) || *p == ';')
			p++;
		else if ((p[0] == '-' && p[1] == '-') ||
		         (p[0] == '/' && p[1] == '*'))
			p = past_opaque(p, p);
		if (p == s->p)
			return;
		s->line += lines_between(s->p, p);
		s->p = p;
	}
}

/* Tracks BEGIN ATOMIC … END (CASE … END within it): a word that ends at p. */
static void
note_word(const char *word, size_t n, bool *after_begin, unsigned *depth)
{
	bool was = *after_begin;

	*after_begin = n == 5 && strncasecmp(word, "begin", 5) == 0;
	if (was && n == 6 && strncasecmp(word, "atomic", 6) == 0)
		*depth = 1;
	else if (*depth && n == 4 && strncasecmp(word, "case", 4) == 0)
		++*depth;
	else if (*depth && n == 3 && strncasecmp(word, "end", 3) == 0)
		--*depth;
}

bool
pgsplit_next(struct pgsplit *s, struct pgstatement *out)
{
	const char *start, *p, *end;
	bool after_begin = false;
	unsigned depth = 0;

	skip_blank(s);
	start = s->p;
	if (!*start)
		return false;
	for (p = start; *p && (*p != ';' || depth > 0);) {
		const char *past = past_opaque(p, start);

		if (past > p) {
			p = past;
		} else if (is_word(*p)) {
			for (past = p; is_word(*past);)
				past++;
			note_word(p, (size_t)(past - p), &after_begin, &depth);
			p = past;
		} else {
			p++;
		}
	}
	for (end = p; end > start && isspace((unsigned char)end[-1]);)
		end--;
	*out = (struct pgstatement){start, (size_t)(end - start), s->line};
	s->line += lines_between(start, p);
	s->p = p;
	return true;
}

unsigned
pgsplit_line(const struct pgstatement *st, unsigned position)
{
	const char *p = st->text, *end = st->text + st->len;
	unsigned line = st->line;

	for (; p < end && position > 1; p++) {
		if (((unsigned char)p[1] & 0xc0) != 0x80)
			position--;
		line += *p == '\n';
	}
	return line;
}
