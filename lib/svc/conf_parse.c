/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a configuration file: recursive descent over the words of
 * conf_lex.h.
 *
 *   file      = { statement }
 *   statement = KEY "=" value
 *             | KEY "=" "{" [ value { "," value } ] "}"       a list
 *             | SECTION title "{" { statement } "}"
 *
 * The operator sees every error of the file at once, each with its line. After
 * an error reading goes on where the next statement is most likely: behind the
 * bad value, list or block when its end can be seen, else on the next line.
 * What would only follow from an error is not told: nothing inside an unknown
 * section is looked at.
 */
#include "lib/svc/conf_lex.h"
#include "lib/svc/conf_priv.h"

#include "lib/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (1 << 20) /* a configuration is a few kB */
#define ERRORS_MAX 50            /* shown */
#define NAME_SHOWN 64
#define WORDS_MAX 256 /* of an unquoted value of several words */

struct parse {
	struct lex lex;
	const char *path; /* borrowed */
	FILE *err;        /* borrowed */
	unsigned errors;
};

/* -- saying what is wrong ------------------------------------------------ */

static void complain(struct parse *p, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* line 0: of the file as a whole */
static void
complain(struct parse *p, int line, const char *fmt, ...)
{
	char msg[1024];
	va_list ap;

	if (++p->errors > ERRORS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	text_make_printable(msg);
	if (line > 0)
		(void)fprintf(p->err, "%s:%d: %s\n", p->path, line, msg);
	else
		(void)fprintf(p->err, "%s: %s\n", p->path, msg);
}

static void
next(struct parse *p)
{
	lex_next(&p->lex);
	if (p->lex.token == LEX_BAD)
		complain(p, p->lex.token_line, "syntax: expected %s, found %s",
		         p->lex.expected, p->lex.found);
}

/* The present token as an error names it. */
static const char *
token_text(const struct parse *p, char out[CONF_SHOWN_MAX])
{
	switch (p->lex.token) {
	case LEX_END:
		return "the end of the file";
	case LEX_EQUALS:
		return "'='";
	case LEX_OPEN:
		return "'{'";
	case LEX_CLOSE:
		return "'}'";
	case LEX_COMMA:
		return "','";
	case LEX_WORD:
	case LEX_TEXT:
		return conf_shown(p->lex.text, out);
	case LEX_BAD:
		break;
	}
	return "something unreadable";
}

/* The present token is not what belongs here; a bad one was told already. */
static void
unexpected(struct parse *p, const char *about, const char *expected)
{
	char found[CONF_SHOWN_MAX];

	if (p->lex.token != LEX_BAD)
		complain(p, p->lex.token_line, "%s: expected %s, found %s",
		         about, expected, token_text(p, found));
}

/* -- going on after an error --------------------------------------------- */

/* From a '{' to behind its '}'. */
static void
skip_block(struct parse *p)
{
	const int line = p->lex.token_line;
	unsigned depth = 0;

	do {
		depth += p->lex.token == LEX_OPEN;
		depth -= p->lex.token == LEX_CLOSE;
		if (p->lex.token == LEX_END) {
			complain(p, line,
			         "syntax: expected a '}' for this '{', found "
			         "the end of the file");
			return;
		}
		next(p);
	} while (depth > 0);
}

/* To the first token of a later line, or a '}'. */
static void
skip_statement(struct parse *p)
{
	const int line = p->lex.token_line;

	while (p->lex.token != LEX_END && p->lex.token != LEX_CLOSE &&
	       p->lex.token_line == line) {
		if (p->lex.token != LEX_OPEN) {
			next(p);
			continue;
		}
		skip_block(p);
		return;
	}
}

/* What stands behind a key that nobody knows. */
static void
skip_unknown(struct parse *p, int line)
{
	if (p->lex.token == LEX_EQUALS) {
		next(p);
		if (p->lex.token == LEX_OPEN)
			skip_block(p);
		else if (lex_is_value(&p->lex) && p->lex.token_line == line)
			next(p);
		return;
	}
	if (lex_is_value(&p->lex) && p->lex.token_line == line &&
	    lex_peek(&p->lex) == LEX_OPEN)
		next(p);
	if (p->lex.token == LEX_OPEN)
		skip_block(p);
	else if (p->lex.token_line == line)
		skip_statement(p);
}

/* -- values --------------------------------------------------------------- */

static void
out_of_memory(struct parse *p)
{
	complain(p, 0, "out of memory");
}

/* The value checked, and kept if it is one. */
static void
keep_value(struct parse *p, const struct conf_key *k, struct conf_val *v,
           const char *value, int line)
{
	char expected[CONF_EXPECT_MAX], found[CONF_SHOWN_MAX];
	int64_t num;

	if (!conf_check_value(k, value, &num, expected))
		complain(p, line, "%s: expected %s, found %s", k->name,
		         expected, conf_shown(value, found));
	else if (!conf_store(k, v, value, line))
		out_of_memory(p);
}

/* The present token is a value of k: checks and keeps it. */
static void
take_value(struct parse *p, const struct conf_key *k, struct conf_val *v)
{
	keep_value(p, k, v, p->lex.text, p->lex.token_line);
	next(p);
}

/* The same of words up to the end of the line. */
static void
take_words(struct parse *p, const struct conf_key *k, struct conf_val *v)
{
	const int line = p->lex.token_line;
	char text[WORDS_MAX] = "";
	size_t n = 0;

	do {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s",
		                      n ? " " : "", p->lex.text);
		next(p);
	} while (n < sizeof(text) && p->lex.token == LEX_WORD &&
	         p->lex.token_line == line);
	keep_value(p, k, v, text, line);
}

static void
check_list_size(struct parse *p, const struct conf_key *k, int64_t n, int line)
{
	char expected[CONF_EXPECT_MAX];

	if (n < k->min || (k->max && n > k->max))
		complain(p, line, "%s: expected %s, found %lld entries",
		         k->name, conf_expect(k, expected), (long long)n);
}

/* Was the '}' forgotten, and this is the next statement? */
static bool
is_next_statement(const struct parse *p, int line)
{
	return p->lex.token == LEX_WORD && p->lex.token_line > line &&
	       lex_peek(&p->lex) == LEX_EQUALS;
}

/* From the '{' to behind the '}'. */
static void
parse_list(struct parse *p, const struct conf_key *k, struct conf_val *v)
{
	int line = p->lex.token_line;
	int64_t n = 0;

	next(p);
	while (lex_is_value(&p->lex) && !is_next_statement(p, line)) {
		line = p->lex.token_line;
		take_value(p, k, v);
		n++;
		if (p->lex.token != LEX_COMMA)
			break;
		next(p);
	}
	if (p->lex.token == LEX_CLOSE) {
		check_list_size(p, k, n, p->lex.token_line);
		next(p);
		return;
	}
	unexpected(p, k->name, n ? "',' or '}'" : "a value or '}'");
	while (p->lex.token != LEX_CLOSE && p->lex.token != LEX_END &&
	       !is_next_statement(p, line))
		next(p);
	if (p->lex.token == LEX_CLOSE)
		next(p);
}

/* From behind the '=', which stood on this line. */
static void
parse_value(struct parse *p, const struct conf_key *k, struct conf_val *v,
            int line)
{
	if (p->lex.token == LEX_OPEN && k->type != CONF_LIST) {
		complain(p, line, "%s: expected one value, found a list",
		         k->name);
		skip_block(p);
	} else if (p->lex.token == LEX_OPEN) {
		parse_list(p, k, v);
	} else if (p->lex.token_line != line || p->lex.token == LEX_END) {
		complain(p, line,
		         "%s: expected a value, found the end of the %s",
		         k->name, p->lex.token == LEX_END ? "file" : "line");
	} else if (k->words && p->lex.token == LEX_WORD) {
		take_words(p, k, v);
	} else if (lex_is_value(&p->lex)) {
		take_value(p, k, v);
		if (k->type == CONF_LIST)
			check_list_size(p, k, 1, line);
	} else {
		unexpected(p, k->name, "a value");
		skip_statement(p);
	}
}

/* KEY "=" value, from behind the key. */
static void
parse_assignment(struct parse *p, const struct conf_key *k, struct conf_val *v,
                 int line)
{
	struct conf_val second = {.str = NULL};

	if (p->lex.token != LEX_EQUALS || p->lex.token_line != line) {
		if (p->lex.token_line != line && p->lex.token != LEX_BAD)
			complain(p, line,
			         "%s: expected '=', found the end of "
			         "the line",
			         k->name);
		else
			unexpected(p, k->name, "'='");
		if (p->lex.token_line == line)
			skip_statement(p);
		v->seen = true; /* it was meant to be there */
		return;
	}
	next(p);
	if (v->seen) {
		complain(p, line, "%s: expected once, found a second time",
		         k->name);
		v = &second;
	}
	v->seen = true;
	v->line = line;
	parse_value(p, k, v, line);
	conf_val_clear(&second);
}

/* -- statements ----------------------------------------------------------- */

static void parse_statements(struct parse *p, struct conf *c);

static void
check_title(struct parse *p, const struct conf_key *k, const struct conf_val *v)
{
	char expected[CONF_EXPECT_MAX], found[CONF_SHOWN_MAX];
	const char *title = p->lex.text;
	int64_t num;

	if (!conf_check_value(k, title, &num, expected))
		complain(p, p->lex.token_line,
		         "%s: expected %s as title, found %s", k->name,
		         expected, conf_shown(title, found));
	for (size_t i = 0; i < v->sec_n; i++) {
		if (strcmp(conf_title(v->sec[i]), title) == 0)
			complain(p, p->lex.token_line,
			         "%s: expected a title of its own, found %s a "
			         "second time",
			         k->name, conf_shown(title, found));
	}
}

static void
check_required(struct parse *p, const struct conf_key *k, const struct conf *c,
               int line)
{
	for (size_t i = 0; k->sub[i].type != CONF_END; i++) {
		const struct conf_key *s = &k->sub[i];

		if (s->type == CONF_STRING && s->min > 0 && !s->def &&
		    !c->val[i].seen)
			complain(p, line,
			         "%s: expected in section %s \"%s\", found "
			         "none",
			         s->name, k->name, conf_title(c));
	}
}

/* A new, empty section of v; NULL: out of memory. */
static struct conf *
add_section(struct conf_val *v, const struct conf_key *k, const char *title)
{
	struct conf **sec =
	    reallocarray(v->sec, v->sec_n + 1, sizeof(struct conf *));

	if (!sec)
		return NULL;
	v->sec = sec;
	sec[v->sec_n] = conf_new(k->sub, title);
	return sec[v->sec_n] ? sec[v->sec_n++] : NULL;
}

/* SECTION title "{" ... "}", from behind its name. */
static void
parse_section(struct parse *p, const struct conf_key *k, struct conf_val *v,
              int line)
{
	struct conf *c;

	v->seen = true;
	if (!lex_is_value(&p->lex)) {
		unexpected(p, k->name, "a title and '{'");
		skip_unknown(p, line);
		return;
	}
	check_title(p, k, v);
	c = add_section(v, k, p->lex.text);
	if (c)
		c->line = p->lex.token_line;
	next(p);
	if (!c || p->lex.token != LEX_OPEN) {
		if (!c)
			out_of_memory(p);
		else
			unexpected(p, k->name, "'{' behind the title");
		skip_unknown(p, line);
		return;
	}
	next(p);
	parse_statements(p, c);
	check_required(p, k, c, p->lex.token_line);
	if (p->lex.token == LEX_CLOSE)
		next(p);
	else
		unexpected(p, k->name, "'}' at its end");
}

static void
known_keys(const struct conf_key *table, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (; table->type != CONF_END && at < size; table++)
		at += (size_t)snprintf(out + at, size - at, "%s%s",
		                       at ? ", " : "", table->name);
}

static void
parse_statement(struct parse *p, struct conf *c)
{
	const int line = p->lex.token_line;
	const struct conf_key *k;
	size_t i = 0;

	if (p->lex.token != LEX_WORD) {
		unexpected(p, "syntax", "a key");
		if (p->lex.token == LEX_CLOSE)
			next(p);
		else
			skip_statement(p);
		return;
	}
	k = conf_find_key(c->table, p->lex.text, &i);
	if (!k) {
		char known[600];

		known_keys(c->table, known, sizeof(known));
		complain(
		    p, line, "%.*s: expected a known key (%s), found '%.*s'",
		    NAME_SHOWN, p->lex.text, known, NAME_SHOWN, p->lex.text);
		next(p);
		skip_unknown(p, line);
		return;
	}
	next(p);
	if (k->type == CONF_SECTION)
		parse_section(p, k, &c->val[i], line);
	else
		parse_assignment(p, k, &c->val[i], line);
}

/* Up to the end of the file, or the '}' of a section (which stays). */
static void
parse_statements(struct parse *p, struct conf *c)
{
	while (p->lex.token != LEX_END &&
	       (p->lex.token != LEX_CLOSE || !c->title))
		parse_statement(p, c);
}

/* -- the file ------------------------------------------------------------- */

static bool
is_plain_file(struct parse *p, FILE *f)
{
	struct stat st;

	if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
		complain(p, 0, "expected a regular file, found %s",
		         S_ISDIR(st.st_mode) ? "a directory" : "another kind");
		return false;
	}
	if (st.st_size > FILE_MAX_BYTES) {
		complain(p, 0, "expected at most %d octets, found %lld",
		         FILE_MAX_BYTES, (long long)st.st_size);
		return false;
	}
	return true;
}

/* The file's text, malloc'd, NUL-terminated; NULL, and said why. */
static char *
read_file(struct parse *p)
{
	/* A FIFO without a writer is refused, not waited for. */
	int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	char *text = NULL;
	size_t len;

	if (!f) {
		complain(p, 0,
		         "expected a readable configuration file, found: %s",
		         strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	if (!is_plain_file(p, f))
		goto out;
	text = malloc(FILE_MAX_BYTES + 1);
	if (!text) {
		out_of_memory(p);
		goto out;
	}
	len = fread(text, 1, FILE_MAX_BYTES, f);
	text[len] = '\0';
	if (ferror(f))
		complain(p, 0,
		         "expected a readable configuration file, found: %s",
		         strerror(errno));
	else if (strlen(text) != len)
		complain(p, 0, "expected text, found a NUL octet");
	if (p->errors) {
		free(text);
		text = NULL;
	}
out:
	(void)fclose(f);
	return text;
}

/* How often a section must be there. */
static void
check_section_counts(struct parse *p, const struct conf *c)
{
	for (size_t i = 0; c->table[i].type != CONF_END; i++) {
		const struct conf_key *k = &c->table[i];
		const int64_t n = (int64_t)c->val[i].sec_n;

		if (k->type != CONF_SECTION)
			continue;
		if (n < k->min)
			complain(p, 0,
			         "%s: expected at least %lld section%s, "
			         "found %lld",
			         k->name, (long long)k->min,
			         k->min == 1 ? "" : "s", (long long)n);
		if (k->max && n > k->max)
			complain(p, 0,
			         "%s: expected at most %lld sections, found "
			         "%lld",
			         k->name, (long long)k->max, (long long)n);
	}
}

static void
parse_text(struct parse *p, struct conf *c, const char *text)
{
	lex_init(&p->lex, text);
	next(p);
	parse_statements(p, c);
	check_section_counts(p, c);
	if (p->errors > ERRORS_MAX)
		(void)fprintf(p->err, "%s: %u errors more\n", p->path,
		              p->errors - ERRORS_MAX);
}

static void
parse_file(struct parse *p, struct conf *c)
{
	char *text = read_file(p);

	if (text)
		parse_text(p, c, text);
	free(text);
}

/* path NULL: no file; text NULL: the file at path, else that text. */
static struct conf *
load(const char *path, const char *text, const struct conf_key *table,
     FILE *err)
{
	struct parse *p = calloc(1, sizeof(*p));
	struct conf *c = conf_new(table, NULL);
	bool ok = p && c;

	if (ok) {
		p->path = path ? path : "configuration";
		p->err = err;
		if (text)
			parse_text(p, c, text);
		else if (path)
			parse_file(p, c);
		ok = p->errors == 0;
		if (ok && !conf_fill_defaults(c)) {
			out_of_memory(p);
			ok = false;
		}
	} else {
		(void)fprintf(err, "configuration: out of memory\n");
	}
	free(p);
	if (ok)
		return c;
	conf_free(c);
	return NULL;
}

struct conf *
conf_load(const char *path, const struct conf_key *table, FILE *err)
{
	return load(path, NULL, table, err);
}

struct conf *
conf_parse(const char *name, const char *text, const struct conf_key *table,
           FILE *err)
{
	return load(name, text, table, err);
}
