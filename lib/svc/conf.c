/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libconfuse is the reader: every key is a string (or a list of strings) to
 * it, without default; meaning, range and default are ours. Values are checked
 * in its value callback, while it still knows the line, and a bad value does
 * not end the reading: the operator sees all of them at once. Only bad syntax
 * and unknown keys end it, since what follows them has no sure meaning.
 * libconfuse keeps its lexer in global variables: load from one thread.
 */
#include "lib/svc/conf.h"

#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/svc/conf_priv.h"

#include <confuse.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOUND_MAX 80             /* octets of a bad value that are shown */
#define FILE_MAX_BYTES (1 << 20) /* a configuration is a few kB */

/*
 * libconfuse takes the end of the file for the end of a section. After a
 * clean reading the file is read again with this key behind it, which only the
 * root knows: inside a section it is an error.
 */
#define END_MARK "twmesh-end-of-file"
#define END_TEXT "\n" END_MARK " = x\n"

/* The load going on; libconfuse's callbacks have no argument of ours. */
static struct {
	const struct conf_key *table; /* borrowed; NULL when none goes on */
	const char *path;
	FILE *err;
	unsigned errors;
	char last[512]; /* what was said last: libconfuse checks lists twice */
} load;

size_t
conf_table_n(const struct conf_key *table)
{
	size_t n = 0;

	while (table[n].type != CONF_END)
		n++;
	return n;
}

static const struct conf_key *
find_key(const struct conf_key *table, const char *name, size_t *index)
{
	for (size_t i = 0; table[i].type != CONF_END; i++) {
		if (strcmp(table[i].name, name) == 0) {
			if (index)
				*index = i;
			return &table[i];
		}
	}
	return NULL;
}

/* -- checking one value ------------------------------------------------- */

static bool
check_bool(const char *value, int64_t *out)
{
	if (strcmp(value, "true") == 0)
		*out = 1;
	else if (strcmp(value, "false") == 0)
		*out = 0;
	else
		return false;
	return true;
}

static bool
check_choice(const struct conf_key *k, const char *value)
{
	for (const char *const *c = k->choices; *c; c++) {
		if (strcmp(*c, value) == 0)
			return true;
	}
	return false;
}

static bool
check_string(const struct conf_key *k, const char *value)
{
	const size_t n = strlen(value);

	if (!text_is_clean(value, n))
		return false;
	if (k->type != CONF_STRING)
		return true;
	return (int64_t)n >= k->min && (k->max == 0 || (int64_t)n <= k->max);
}

/* Bounds of a number; a table that gives none means any. */
static void
bounds(const struct conf_key *k, int64_t *min, int64_t *max)
{
	const bool none = k->min == 0 && k->max == 0;

	*min = none && k->type == CONF_INT ? INT64_MIN : k->min;
	*max = none ? INT64_MAX : k->max;
}

/* One value (of a list: one entry; of a section: its title). On failure
 * `expected` (CONF_EXPECT_MAX) says what it should have been. */
static bool
check_value(const struct conf_key *k, const char *value, int64_t *num,
            char *expected)
{
	const char *why = NULL;
	int64_t min, max;
	bool ok = true;

	bounds(k, &min, &max);
	switch (k->type) {
	case CONF_INT:
		ok = text_parse_i64(value, min, max, num);
		break;
	case CONF_DURATION:
		ok = text_parse_duration(value, NS_PER_S, min, max, num);
		break;
	case CONF_BOOL:
		ok = check_bool(value, num);
		break;
	case CONF_CHOICE:
		ok = check_choice(k, value);
		break;
	case CONF_STRING:
	case CONF_LIST:
	case CONF_SECTION:
		ok = check_string(k, value);
		break;
	case CONF_END:
		bug("conf: a value of the table's end");
	}
	if (ok && k->check && !k->check(value, &why)) {
		(void)snprintf(expected, CONF_EXPECT_MAX, "%s",
		               why ? why : "another value");
		return false;
	}
	if (!ok)
		conf_expect(k, expected);
	return ok;
}

/* "'VALUE'" made fit for one line of a terminal. */
static const char *
shown(const char *value, char out[FOUND_MAX + 8])
{
	const int cut = strlen(value) > FOUND_MAX;

	(void)snprintf(out, FOUND_MAX + 8, "'%.*s%s'", FOUND_MAX, value,
	               cut ? "..." : "");
	text_make_printable(out);
	return out;
}

/* -- libconfuse's callbacks --------------------------------------------- */

static void complain(int line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
complain(int line, const char *fmt, ...)
{
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	text_make_printable(msg);
	if (strcmp(msg, load.last) == 0)
		return;
	(void)snprintf(load.last, sizeof(load.last), "%s", msg);
	if (line > 0)
		(void)fprintf(load.err, "%s:%d: %s\n", load.path, line, msg);
	else
		(void)fprintf(load.err, "%s: %s\n", load.path, msg);
	load.errors++;
}

static const struct conf_key *
table_of(const cfg_t *cfg)
{
	const struct conf_key *sec;

	if (strcmp(cfg->name, "root") == 0)
		return load.table;
	sec = find_key(load.table, cfg->name, NULL);
	if (!sec || !sec->sub)
		bug("conf: section '%s' is not in the table", cfg->name);
	return sec->sub;
}

/* A bit of cfg_opt_t.flags that libconfuse does not use: the key was there. */
#define SEEN (1 << 30)

static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	const struct conf_key *k = find_key(table_of(cfg), opt->name, NULL);
	char expected[CONF_EXPECT_MAX], found[FOUND_MAX + 8];
	int64_t num;

	*(const char **)result = value;
	if (!k)
		bug("conf: key '%s' is not in the table", opt->name);
	if (k->type != CONF_LIST && opt->flags & SEEN)
		complain(cfg->line,
		         "%s: expected one value, found a second one, %s",
		         k->name, shown(value, found));
	else if (!check_value(k, value, &num, expected))
		complain(cfg->line, "%s: expected %s, found %s", k->name,
		         expected, shown(value, found));
	opt->flags |= SEEN;
	return 0;
}

/* At the end of a list. */
static int
on_list(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct conf_key *k = find_key(table_of(cfg), opt->name, NULL);
	char expected[CONF_EXPECT_MAX];
	const int64_t n = cfg_opt_size(opt);

	if (k && (n < k->min || (k->max && n > k->max)))
		complain(cfg->line, "%s: expected %s, found %lld entries",
		         k->name, conf_expect(k, expected), (long long)n);
	return 0;
}

/* At the end of a section. */
static int
on_section(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct conf_key *k = find_key(table_of(cfg), opt->name, NULL);
	cfg_t *sec = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	char expected[CONF_EXPECT_MAX], found[FOUND_MAX + 8];
	int64_t num;

	if (!k || !sec)
		return 0;
	if (!check_value(k, cfg_title(sec), &num, expected))
		complain(cfg->line, "%s: expected %s as title, found %s",
		         k->name, expected, shown(cfg_title(sec), found));
	for (size_t i = 0; k->sub[i].type != CONF_END; i++) {
		const struct conf_key *s = &k->sub[i];

		if (s->type == CONF_STRING && s->min > 0 && !s->def &&
		    cfg_size(sec, s->name) == 0)
			complain(cfg->line,
			         "%s: expected in section %s \"%s\", found "
			         "none",
			         s->name, k->name, cfg_title(sec));
	}
	return 0;
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

static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* libconfuse's own complaints: unknown keys, and syntax. */
static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	static const char unknown[] = "no such option '";
	char msg[256], known[400];

	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	if (strncmp(msg, unknown, sizeof(unknown) - 1) == 0) {
		char *name = msg + sizeof(unknown) - 1;

		name[strcspn(name, "'")] = '\0';
		if (strcmp(name, END_MARK) == 0) {
			complain(cfg->line - 1,
			         "%s: expected '}' at its end, found the end "
			         "of the file",
			         cfg->name);
			return;
		}
		known_keys(table_of(cfg), known, sizeof(known));
		complain(cfg->line,
		         "%.64s: expected a known key (%s), found '%.64s'",
		         name, known, name);
		return;
	}
	if (strncmp(msg, "found duplicate title", 21) == 0) {
		complain(cfg->line, "section: expected a title of its own, %s",
		         msg);
		return;
	}
	complain(cfg->line,
	         "syntax: expected KEY = VALUE, KEY = { VALUE, ... "
	         "} or SECTION \"TITLE\" { ... }, found: %s",
	         msg);
}

/* -- from the table to libconfuse and back ------------------------------ */

/* An option table for libconfuse; it copies everything but names' storage. */
static cfg_opt_t *
opts_new(const struct conf_key *table)
{
	const size_t n = conf_table_n(table);
	cfg_opt_t *opts = calloc(n + 2, sizeof(*opts));

	if (!opts)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const struct conf_key *k = &table[i];

		opts[i].name = k->name;
		opts[i].flags = CFGF_NODEFAULT;
		if (k->type == CONF_SECTION) {
			opts[i].type = CFGT_SEC;
			opts[i].flags |=
			    CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
			opts[i].subopts = opts_new(k->sub);
			opts[i].validcb = on_section;
			continue;
		}
		opts[i].type = CFGT_STR;
		opts[i].parsecb = on_value;
		if (k->type == CONF_LIST) {
			opts[i].flags |= CFGF_LIST;
			opts[i].validcb = on_list;
		}
	}
	if (table == load.table) {
		opts[n].name = END_MARK;
		opts[n].type = CFGT_STR;
		opts[n].flags = CFGF_NODEFAULT;
	}
	return opts; /* the end is all zero */
}

static void
opts_free(cfg_opt_t *opts)
{
	if (!opts)
		return;
	for (cfg_opt_t *o = opts; o->name; o++) {
		if (o->type == CFGT_SEC)
			opts_free(o->subopts);
	}
	free(opts);
}

static bool
list_append(struct conf_val *v, const char *value)
{
	char **list = reallocarray(v->list, v->list_n + 1, sizeof(*list));

	if (!list)
		return false;
	v->list = list;
	list[v->list_n] = strdup(value);
	if (!list[v->list_n])
		return false;
	v->list_n++;
	return true;
}

static void
list_clear(struct conf_val *v)
{
	for (size_t i = 0; i < v->list_n; i++)
		free(v->list[i]);
	free(v->list);
	v->list = NULL;
	v->list_n = 0;
}

/* Stores a value that was checked. False when out of memory. */
static bool
store(const struct conf_key *k, struct conf_val *v, const char *value)
{
	char expected[CONF_EXPECT_MAX];
	char *copy;

	if (k->type == CONF_LIST)
		return list_append(v, value);
	if (k->type != CONF_STRING && k->type != CONF_CHOICE)
		return check_value(k, value, &v->num, expected);
	copy = strdup(value);
	if (!copy)
		return false;
	free(v->str);
	v->str = copy;
	return true;
}

/* The default of a list is written as in the file: {"a", "b"}. */
static bool
store_list_default(const struct conf_key *k, struct conf_val *v)
{
	const char *p = k->def;
	char entry[256];

	while ((p = strchr(p, '"')) != NULL) {
		const char *end = strchr(p + 1, '"');
		const size_t n = end ? (size_t)(end - p - 1) : 0;

		if (!end || n >= sizeof(entry))
			bug("conf: bad default of '%s'", k->name);
		memcpy(entry, p + 1, n);
		entry[n] = '\0';
		if (!list_append(v, entry))
			return false;
		p = end + 1;
	}
	return true;
}

static bool
store_default(const struct conf_key *k, struct conf_val *v)
{
	char expected[CONF_EXPECT_MAX];
	int64_t num;

	if (!k->def || k->type == CONF_SECTION)
		return true;
	if (k->type == CONF_LIST)
		return store_list_default(k, v);
	if (k->type != CONF_STRING && !check_value(k, k->def, &num, expected))
		bug("conf: default '%s' of '%s' is not %s", k->def, k->name,
		    expected);
	return store(k, v, k->def);
}

static struct conf *conf_from(const struct conf_key *table, cfg_t *cfg);

static bool
take_sections(const struct conf_key *k, struct conf_val *v, cfg_opt_t *opt)
{
	const unsigned n = cfg_opt_size(opt);

	v->sec = calloc(n ? n : 1, sizeof(struct conf *));
	if (!v->sec)
		return false;
	for (unsigned i = 0; i < n; i++) {
		v->sec[i] = conf_from(k->sub, cfg_opt_getnsec(opt, i));
		if (!v->sec[i])
			return false;
		v->sec_n++;
	}
	return true;
}

/* One key: from the file if it is there, else its default. */
static bool
take_key(const struct conf_key *k, struct conf_val *v, cfg_t *cfg)
{
	cfg_opt_t *opt = cfg ? cfg_getopt(cfg, k->name) : NULL;
	const unsigned n = opt ? cfg_opt_size(opt) : 0;

	if (k->type == CONF_SECTION)
		return !opt || take_sections(k, v, opt);
	if (n == 0 && !(opt && (opt->flags & CFGF_MODIFIED)))
		return store_default(k, v);
	for (unsigned i = 0; i < n; i++) {
		const char *s = cfg_opt_getnstr(opt, i);

		if (!store(k, v, s ? s : ""))
			return false;
	}
	return true;
}

static struct conf *
conf_from(const struct conf_key *table, cfg_t *cfg)
{
	const size_t n = conf_table_n(table);
	struct conf *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->table = table;
	c->val = calloc(n + 1, sizeof(*c->val));
	if (!c->val)
		goto out;
	if (cfg && cfg_title(cfg)) {
		c->title = strdup(cfg_title(cfg));
		if (!c->title)
			goto out;
	}
	for (size_t i = 0; i < n; i++) {
		if (!take_key(&table[i], &c->val[i], cfg))
			goto out;
	}
	return c;
out:
	conf_free(c);
	return NULL;
}

void
conf_free(struct conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; c->val && c->table[i].type != CONF_END; i++) {
		struct conf_val *v = &c->val[i];

		free(v->str);
		list_clear(v);
		for (size_t j = 0; j < v->sec_n; j++)
			conf_free(v->sec[j]);
		free(v->sec);
	}
	free(c->val);
	free(c->title);
	free(c);
}

/* -- loading ------------------------------------------------------------- */

static bool
is_plain_file(FILE *f)
{
	struct stat st;

	if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
		complain(0, "expected a regular file, found %s",
		         S_ISDIR(st.st_mode) ? "a directory" : "another kind");
		return false;
	}
	if (st.st_size > FILE_MAX_BYTES) {
		complain(0, "expected at most %d octets, found %lld",
		         FILE_MAX_BYTES, (long long)st.st_size);
		return false;
	}
	return true;
}

/* The file's text, malloc'd, with room for END_TEXT; NULL, and said why. */
static char *
read_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;

	if (!f) {
		complain(0, "expected a readable configuration file, found: %s",
		         strerror(errno));
		return NULL;
	}
	if (!is_plain_file(f))
		goto out;
	text = malloc(FILE_MAX_BYTES + sizeof(END_TEXT));
	if (!text) {
		complain(0, "out of memory");
		goto out;
	}
	*len = fread(text, 1, FILE_MAX_BYTES, f);
	if (ferror(f)) {
		complain(0, "expected a readable configuration file, found: %s",
		         strerror(errno));
		free(text);
		text = NULL;
	} else if (memchr(text, '\0', *len)) {
		complain(0, "expected text, found a NUL octet");
		free(text);
		text = NULL;
	}
out:
	(void)fclose(f);
	return text;
}

/* How often a section must be there. */
static void
check_section_counts(cfg_t *cfg)
{
	for (const struct conf_key *k = load.table; k->type != CONF_END; k++) {
		const int64_t n =
		    k->type == CONF_SECTION ? cfg_size(cfg, k->name) : 0;

		if (k->type != CONF_SECTION)
			continue;
		if (n < k->min)
			complain(0,
			         "%s: expected at least %lld section%s, "
			         "found %lld",
			         k->name, (long long)k->min,
			         k->min == 1 ? "" : "s", (long long)n);
		if (k->max && n > k->max)
			complain(0,
			         "%s: expected at most %lld sections, found "
			         "%lld",
			         k->name, (long long)k->max, (long long)n);
	}
}

/* Reads and checks; NULL if anything was wrong (and said). */
static cfg_t *
parse(cfg_opt_t *opts, char *text, size_t len)
{
	FILE *f = fmemopen(text, len ? len : 1, "r");
	cfg_t *cfg = f ? cfg_init(opts, CFGF_NONE) : NULL;

	if (!cfg) {
		complain(0, "out of memory");
		goto out;
	}
	(void)cfg_set_error_function(cfg, on_error);
	if (cfg_parse_fp(cfg, f) == CFG_SUCCESS)
		check_section_counts(cfg);
	else if (load.errors == 0)
		complain(cfg->line, "syntax: expected a configuration, found "
		                    "something unreadable");
	if (load.errors) {
		(void)cfg_free(cfg);
		cfg = NULL;
	}
out:
	if (f)
		(void)fclose(f);
	return cfg;
}

/* Everything at once: read, check, check for the end. */
static cfg_t *
parse_file(const char *path, cfg_opt_t *opts)
{
	size_t len = 0;
	char *text = read_file(path, &len);
	cfg_t *cfg = NULL, *marked;

	if (!text)
		return NULL;
	if (len == 0)
		text[len++] = '\n';
	cfg = parse(opts, text, len);
	if (!cfg)
		goto out;
	memcpy(text + len, END_TEXT, sizeof(END_TEXT) - 1);
	marked = parse(opts, text, len + sizeof(END_TEXT) - 1);
	if (marked && cfg_size(marked, END_MARK) != 1)
		complain(0, "syntax: expected the end of a comment, found the "
		            "end of the file");
	if (load.errors) {
		(void)cfg_free(cfg);
		cfg = NULL;
	}
	if (marked)
		(void)cfg_free(marked);
out:
	free(text);
	return cfg;
}

struct conf *
conf_load(const char *path, const struct conf_key *table, FILE *err)
{
	struct conf *c = NULL;
	cfg_opt_t *opts = NULL;
	cfg_t *cfg = NULL;

	load.table = table;
	load.path = path ? path : "configuration";
	load.err = err;
	load.errors = 0;
	load.last[0] = '\0';
	if (path) {
		opts = opts_new(table);
		cfg = opts ? parse_file(path, opts) : NULL;
		if (!cfg)
			goto out;
	}
	c = conf_from(table, cfg);
	if (!c)
		complain(0, "out of memory");
out:
	if (cfg)
		(void)cfg_free(cfg);
	opts_free(opts);
	load.table = NULL;
	load.err = NULL;
	return c;
}

/* -- access --------------------------------------------------------------- */

static struct conf_val *
get(const struct conf *c, const char *key, unsigned types)
{
	size_t i = 0;
	const struct conf_key *k = find_key(c->table, key, &i);

	if (!k || !(types & 1U << k->type))
		bug("conf: no key '%s' of the type asked for", key);
	return &c->val[i];
}

bool
conf_set(struct conf *c, const char *key, const char *value, FILE *err)
{
	size_t i = 0;
	const struct conf_key *k = find_key(c->table, key, &i);
	char expected[CONF_EXPECT_MAX], found[FOUND_MAX + 8];
	struct conf_val *v = &c->val[i];
	int64_t num;

	if (!k || k->type == CONF_SECTION)
		bug("conf: key '%s' cannot be set by an option", key);
	if (!check_value(k, value, &num, expected)) {
		(void)fprintf(err, "--%s: expected %s, found %s\n", key,
		              expected, shown(value, found));
		return false;
	}
	if (k->type == CONF_LIST && !v->overridden)
		list_clear(v);
	v->overridden = true;
	if (k->type == CONF_LIST && k->max && (int64_t)v->list_n >= k->max) {
		(void)fprintf(err, "--%s: expected at most %lld, found more\n",
		              key, (long long)k->max);
		return false;
	}
	if (!store(k, v, value)) {
		(void)fprintf(err, "--%s: out of memory\n", key);
		return false;
	}
	return true;
}

const char *
conf_str(const struct conf *c, const char *key)
{
	const struct conf_val *v =
	    get(c, key, 1U << CONF_STRING | 1U << CONF_CHOICE);

	return v->str ? v->str : "";
}

int64_t
conf_int(const struct conf *c, const char *key)
{
	return get(c, key, 1U << CONF_INT | 1U << CONF_DURATION)->num;
}

bool
conf_bool(const struct conf *c, const char *key)
{
	return get(c, key, 1U << CONF_BOOL)->num != 0;
}

size_t
conf_list_n(const struct conf *c, const char *key)
{
	return get(c, key, 1U << CONF_LIST)->list_n;
}

const char *
conf_list(const struct conf *c, const char *key, size_t i)
{
	const struct conf_val *v = get(c, key, 1U << CONF_LIST);

	if (i >= v->list_n)
		bug("conf: entry %zu of '%s', which has %zu", i, key,
		    v->list_n);
	return v->list[i];
}

size_t
conf_section_n(const struct conf *c, const char *key)
{
	return get(c, key, 1U << CONF_SECTION)->sec_n;
}

const struct conf *
conf_section(const struct conf *c, const char *key, size_t i)
{
	const struct conf_val *v = get(c, key, 1U << CONF_SECTION);

	if (i >= v->sec_n)
		bug("conf: section %zu of '%s', which has %zu", i, key,
		    v->sec_n);
	return v->sec[i];
}

const char *
conf_title(const struct conf *section)
{
	return section->title ? section->title : "";
}
