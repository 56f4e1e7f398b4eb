/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/svc/conf_lex.h"

#include <stddef.h>
#include <string.h>

void
lex_init(struct lex *l, const char *text)
{
	l->at = text;
	l->line = l->token_line = 1;
	l->token = LEX_BAD;
	l->text[0] = '\0';
	l->expected = l->found = "";
}

static void
bad(struct lex *l, const char *expected, const char *found)
{
	l->token = LEX_BAD;
	l->expected = expected;
	l->found = found;
}

static void
skip_line(struct lex *l)
{
	l->at += strcspn(l->at, "\n");
}

/* False: it never ends. */
static bool
skip_long_comment(struct lex *l)
{
	for (l->at += 2; *l->at; l->at++) {
		if (l->at[0] == '*' && l->at[1] == '/') {
			l->at += 2;
			return true;
		}
		l->line += *l->at == '\n';
	}
	return false;
}

/* White space and comments. False: an open comment. */
static bool
skip_blank(struct lex *l)
{
	for (;;) {
		l->token_line = l->line;
		if (*l->at == '\n') {
			l->line++;
			l->at++;
		} else if (*l->at && strchr(" \t\r", *l->at)) {
			l->at++;
		} else if (l->at[0] == '#' ||
		           (l->at[0] == '/' && l->at[1] == '/')) {
			skip_line(l);
		} else if (l->at[0] == '/' && l->at[1] == '*') {
			if (!skip_long_comment(l))
				return false;
		} else {
			return true;
		}
	}
}

/* False: no room. */
static bool
put(struct lex *l, size_t *n, char c)
{
	if (*n + 1 >= sizeof(l->text))
		return false;
	l->text[(*n)++] = c;
	l->text[*n] = '\0';
	return true;
}

static void
too_long(struct lex *l)
{
	bad(l, "at most 4,095 octets", "a longer value");
	skip_line(l);
}

static void
read_quoted(struct lex *l)
{
	const char quote = *l->at++;
	const char *const escapes = quote == '"' ? "\"\\$" : "'\\";
	size_t n = 0;

	l->text[0] = '\0';
	while (*l->at != quote) {
		if (*l->at == '\0' || *l->at == '\n') {
			bad(l, "a quote at the end of the text",
			    "the end of the line");
			return;
		}
		if (*l->at == '\\') {
			l->at++;
			if (*l->at == '\0' || !strchr(escapes, *l->at)) {
				bad(l,
				    quote == '"' ? "\\\", \\\\ or \\$"
				                 : "\\' or \\\\",
				    "a backslash before something else");
				skip_line(l);
				return;
			}
		}
		if (!put(l, &n, *l->at++)) {
			too_long(l);
			return;
		}
	}
	l->at++;
	l->token = LEX_TEXT;
}

static bool
is_word_octet(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && !strchr("\"'={},#", c);
}

static void
read_word(struct lex *l)
{
	size_t n = 0;

	l->token = LEX_WORD;
	l->text[0] = '\0';
	while (*l->at && is_word_octet(*l->at)) {
		if (!put(l, &n, *l->at++)) {
			too_long(l);
			return;
		}
	}
	if (n == 0) {
		bad(l, "text", "a control character");
		skip_line(l);
	}
}

void
lex_next(struct lex *l)
{
	static const struct {
		char c;
		enum lex_token token;
	} marks[] = {{'=', LEX_EQUALS},
	             {'{', LEX_OPEN},
	             {'}', LEX_CLOSE},
	             {',', LEX_COMMA}};

	if (!skip_blank(l)) {
		bad(l, "the end of a comment", "the end of the file");
		return;
	}
	if (*l->at == '\0') {
		l->token = LEX_END;
		return;
	}
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (*l->at == marks[i].c) {
			l->token = marks[i].token;
			l->at++;
			return;
		}
	}
	if (*l->at == '"' || *l->at == '\'')
		read_quoted(l);
	else
		read_word(l);
}

bool
lex_is_value(const struct lex *l)
{
	return l->token == LEX_WORD || l->token == LEX_TEXT;
}

enum lex_token
lex_peek(const struct lex *l)
{
	struct lex ahead = *l;

	lex_next(&ahead);
	return ahead.token;
}
