/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words of a configuration file. Nobody but conf_parse.c includes this.
 *
 *   # and // to the end of the line, and slash-star to star-slash: comments
 *   = { } ,         themselves
 *   "text" 'text'   within one line; \" \\ \$ (in '': \' \\) stand for the
 *                   character behind the backslash
 *   anything else   up to white space, a quote or one of = { } , #
 *
 * What is none of these is a LEX_BAD with a reason, and the reader goes on
 * behind it: at the end of its line (of the file, for an open comment).
 */
#ifndef TWMESH_SVC_CONF_LEX_H
#define TWMESH_SVC_CONF_LEX_H

#include <stdbool.h>

#define LEX_TEXT_MAX 4096 /* a longer value is a LEX_BAD */

enum lex_token {
	LEX_END,
	LEX_WORD, /* unquoted */
	LEX_TEXT, /* quoted */
	LEX_EQUALS,
	LEX_OPEN,
	LEX_CLOSE,
	LEX_COMMA,
	LEX_BAD
};

struct lex {
	const char *at; /* borrowed: what follows, ends with NUL */
	int line;       /* of `at`, from 1 */
	/* The token: */
	enum lex_token token;
	int token_line;
	char text[LEX_TEXT_MAX];      /* of LEX_WORD, LEX_TEXT */
	const char *expected, *found; /* of LEX_BAD; static */
};

/* Before the first token: call lex_next(). */
void lex_init(struct lex *l, const char *text);
void lex_next(struct lex *l);
/* Is this a value? */
bool lex_is_value(const struct lex *l);
/* The kind of the token behind the present one. */
enum lex_token lex_peek(const struct lex *l);

#endif
