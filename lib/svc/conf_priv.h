/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parsed configuration, shared by conf.c (reads and checks) and
 * conf_print.c (shows). Nobody else includes this.
 */
#ifndef TWMESH_SVC_CONF_PRIV_H
#define TWMESH_SVC_CONF_PRIV_H

#include "lib/svc/conf.h"

/* One key's value: which member counts is the key's type. */
struct conf_val {
	char *str;   /* owned; STRING, CHOICE */
	int64_t num; /* INT, DURATION (ns), BOOL (0, 1) */
	char **list; /* owned; LIST */
	size_t list_n;
	struct conf **sec; /* owned; SECTION */
	size_t sec_n;
	bool overridden; /* by the command line: further values append */
};

struct conf {
	const struct conf_key *table; /* borrowed, for the process's life */
	char *title;                  /* owned; NULL for the root */
	struct conf_val *val;         /* owned; one per key of the table */
};

size_t conf_table_n(const struct conf_key *table);
/* "10s", "250ms": the largest unit that shows it exactly. */
#define CONF_DURATION_TEXT_MAX 32
char *conf_format_duration(int64_t ns, char *out);
/* What a value of this key must be, in words: "an integer from 1 to 65535".
 * The same words serve errors, the sample file and the manual. */
#define CONF_EXPECT_MAX 256
char *conf_expect(const struct conf_key *k, char *out);

#endif
