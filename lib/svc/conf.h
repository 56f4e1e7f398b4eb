/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration from one table per daemon: key, type, unit, range, default,
 * help. Every error of a file is told, each with file, line, key, what was
 * expected and what was found; unknown keys are errors. -p (print
 * effective), the sample file and the manual's list of keys come from the
 * same table.
 */
#ifndef TWMESH_SVC_CONF_H
#define TWMESH_SVC_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_type {
	CONF_STRING,
	CONF_INT,
	CONF_DURATION, /* "10s", "250ms"; held in ns */
	CONF_BOOL,     /* true, false */
	CONF_CHOICE,   /* one of `choices` */
	CONF_LIST,     /* list of strings: { "a", "b" } */
	CONF_SECTION,  /* titled, may repeat: class "voice" { ... } */
	CONF_END
};

struct conf_key {
	const char *name;
	enum conf_type type;
	const char *def;  /* default as text; NULL: none ("" for strings) */
	int64_t min, max; /* INT: value; DURATION: ns; LIST: entries */
	const char *unit; /* for people; may be NULL */
	const char *const *choices; /* NULL-terminated, CHOICE only */
	const struct conf_key *sub; /* keys of a SECTION, ends with CONF_END */
	/* More than range: false and a reason ("expected a name (a-z ...)"). */
	bool (*check)(const char *value, const char **expected);
	bool reloadable; /* SIGHUP may change it */
	/* STRING: an unquoted value goes on to the end of its line
	 * ("floor + 30ms"), with one space between its words. */
	bool words;
	const char *help;
};

struct conf; /* parsed and checked */

/* path NULL: defaults only. On error NULL, after writing every error to
 * `err`, one line each: "FILE:LINE: KEY: expected ..., found ...". */
struct conf *conf_load(const char *path, const struct conf_key *table,
                       FILE *err) __attribute__((warn_unused_result));
/* The same of a text; `name` stands for the file in errors. */
struct conf *conf_parse(const char *name, const char *text,
                        const struct conf_key *table, FILE *err)
    __attribute__((warn_unused_result));
void conf_free(struct conf *c);
/* A command-line override, checked the same way ("--KEY: expected ..."). */
bool conf_set(struct conf *c, const char *key, const char *value, FILE *err)
    __attribute__((warn_unused_result));

/* Is it in the table? */
bool conf_has_key(const struct conf *c, const char *key);
/* Access; asking for a key not in the table or of another type is a bug(). */
const char *conf_str(const struct conf *c, const char *key); /* "" if unset */
int64_t conf_int(const struct conf *c, const char *key);     /* INT, DURATION */
bool conf_bool(const struct conf *c, const char *key);
size_t conf_list_n(const struct conf *c, const char *key);
const char *conf_list(const struct conf *c, const char *key, size_t i);
size_t conf_section_n(const struct conf *c, const char *key);
const struct conf *conf_section(const struct conf *c, const char *key,
                                size_t i);
const char *conf_title(const struct conf *section);

/* Where it stands in the file, for errors that only the caller can see: a
 * section's title; a key (its section's line if it is not there); an entry of
 * a list. 0: not from a file. */
int conf_line(const struct conf *section);
int conf_key_line(const struct conf *c, const char *key);
int conf_list_line(const struct conf *c, const char *key, size_t i);

void conf_print(const struct conf *c, FILE *out); /* -p */
void conf_print_sample(const struct conf_key *table, FILE *out);
void conf_print_mdoc(const struct conf_key *table, FILE *out);

#endif
