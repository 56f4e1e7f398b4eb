/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cuts an SQL script into statements, so that an error can name its line.
 * Knows quotes ('…', E'…\'…', "…"), dollar quotes, both kinds of comments
 * (nested too) and BEGIN ATOMIC … END bodies.
 */
#ifndef TWMESH_PG_PGSPLIT_H
#define TWMESH_PG_PGSPLIT_H

#include <stdbool.h>
#include <stddef.h>

struct pgsplit {
	const char *p; /* borrowed: what is left of the script */
	unsigned line; /* of *p, from 1 */
};

struct pgstatement {
	const char *text; /* borrowed; not terminated, without the ';' */
	size_t len;
	unsigned line; /* of its first character */
};

/* `script` ends with NUL and outlives the statements. */
void pgsplit_init(struct pgsplit *s, const char *script);
/* The next statement; false at the end. An unterminated quote or comment
 * reaches to the end of the script: the server will name it. */
bool pgsplit_next(struct pgsplit *s, struct pgstatement *out);
/* The line of the script in which character `position` (from 1, counted in
 * UTF-8 characters as the server does) of a statement lies. */
unsigned pgsplit_line(const struct pgstatement *st, unsigned position);

#endif
