/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parsed configuration, shared by conf.c (checks and keeps values),
 * conf_parse.c (reads files) and conf_print.c (shows). Nobody else includes
 * this.
 */
#ifndef TWMESH_SVC_CONF_PRIV_H
#define TWMESH_SVC_CONF_PRIV_H

#include "lib/svc/conf.h"

/* One key's value: which member counts is the key's type. */
struct conf_val {
	char *str;    /* owned; STRING, CHOICE */
	int64_t num;  /* INT, DURATION (ns), BOOL (0, 1) */
	char **list;  /* owned; LIST */
	int *line_of; /* owned; the line of each of its entries */
	size_t list_n;
	struct conf **sec; /* owned; SECTION */
	size_t sec_n;
	int line;        /* of the key; valid if seen */
	bool seen;       /* the file names it: no default */
	bool overridden; /* by the command line: further values append */
};

struct conf {
	const struct conf_key *table; /* borrowed, for the process's life */
	char *title;                  /* owned; NULL for the root */
	int line;                     /* of the title; 0: the root */
	struct conf_val *val;         /* owned; one per key of the table */
};

size_t conf_table_n(const struct conf_key *table);
/* NULL: no such key; *index (may be NULL): its place in the table. */
const struct conf_key *conf_find_key(const struct conf_key *table,
                                     const char *name, size_t *index);

/* Without values yet; title NULL: the root. NULL: out of memory. */
struct conf *conf_new(const struct conf_key *table, const char *title);
/* Whatever was not seen gets its default. False: out of memory. */
bool conf_fill_defaults(struct conf *c) __attribute__((warn_unused_result));
void conf_val_clear(struct conf_val *v);
/* One value (of a list: one entry; of a section: its title). On failure
 * `expected` (CONF_EXPECT_MAX) says what it should have been. */
bool conf_check_value(const struct conf_key *k, const char *value, int64_t *num,
                      char *expected) __attribute__((warn_unused_result));
/* Keeps a value that was checked. False: out of memory. */
bool conf_store(const struct conf_key *k, struct conf_val *v, const char *value,
                int line) __attribute__((warn_unused_result));
/* "'VALUE'", cut and made fit for one line of a terminal; returns out. */
#define CONF_SHOWN_MAX 88
const char *conf_shown(const char *value, char out[CONF_SHOWN_MAX]);

/* "10s", "250ms": the largest unit that shows it exactly. */
#define CONF_DURATION_TEXT_MAX 32
char *conf_format_duration(int64_t ns, char *out);
/* What a value of this key must be, in words: "an integer from 1 to 65535".
 * The same words serve errors, the sample file and the manual. */
#define CONF_EXPECT_MAX 256
char *conf_expect(const struct conf_key *k, char *out);

#endif
