/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables and values: what a value must be, where it is kept, how it is asked
 * for. conf_parse.c reads files, conf_print.c shows.
 */
#include "lib/svc/conf.h"

#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/svc/conf_priv.h"

#include <stdlib.h>
#include <string.h>

#define FOUND_MAX 80 /* octets of a bad value that are shown */

size_t
conf_table_n(const struct conf_key *table)
{
	size_t n = 0;

	while (table[n].type != CONF_END)
		n++;
	return n;
}

const struct conf_key *
conf_find_key(const struct conf_key *table, const char *name, size_t *index)
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

bool
conf_check_value(const struct conf_key *k, const char *value, int64_t *num,
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

const char *
conf_shown(const char *value, char out[CONF_SHOWN_MAX])
{
	const int cut = strlen(value) > FOUND_MAX;

	(void)snprintf(out, CONF_SHOWN_MAX, "'%.*s%s'", FOUND_MAX, value,
	               cut ? "..." : "");
	text_make_printable(out);
	return out;
}

/* -- keeping values ------------------------------------------------------ */

static bool
list_append(struct conf_val *v, const char *value, int line)
{
	char **list = reallocarray(v->list, v->list_n + 1, sizeof(*list));
	int *line_of;

	if (!list)
		return false;
	v->list = list;
	line_of = reallocarray(v->line_of, v->list_n + 1, sizeof(*line_of));
	if (!line_of)
		return false;
	v->line_of = line_of;
	line_of[v->list_n] = line;
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
	free(v->line_of);
	v->list = NULL;
	v->line_of = NULL;
	v->list_n = 0;
}

bool
conf_store(const struct conf_key *k, struct conf_val *v, const char *value,
           int line)
{
	char expected[CONF_EXPECT_MAX];
	char *copy;

	if (k->type == CONF_LIST)
		return list_append(v, value, line);
	if (k->type != CONF_STRING && k->type != CONF_CHOICE)
		return conf_check_value(k, value, &v->num, expected);
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
		if (!list_append(v, entry, 0))
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
	if (k->type != CONF_STRING &&
	    !conf_check_value(k, k->def, &num, expected))
		bug("conf: default '%s' of '%s' is not %s", k->def, k->name,
		    expected);
	return conf_store(k, v, k->def, 0);
}

bool
conf_fill_defaults(struct conf *c)
{
	for (size_t i = 0; c->table[i].type != CONF_END; i++) {
		struct conf_val *v = &c->val[i];

		if (!v->seen && !store_default(&c->table[i], v))
			return false;
		for (size_t j = 0; j < v->sec_n; j++) {
			if (!conf_fill_defaults(v->sec[j]))
				return false;
		}
	}
	return true;
}

struct conf *
conf_new(const struct conf_key *table, const char *title)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->table = table;
	c->val = calloc(conf_table_n(table) + 1, sizeof(*c->val));
	c->title = title ? strdup(title) : NULL;
	if (c->val && (c->title || !title))
		return c;
	conf_free(c);
	return NULL;
}

void
conf_val_clear(struct conf_val *v)
{
	free(v->str);
	list_clear(v);
	for (size_t i = 0; i < v->sec_n; i++)
		conf_free(v->sec[i]);
	free(v->sec);
}

void
conf_free(struct conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; c->val && c->table[i].type != CONF_END; i++)
		conf_val_clear(&c->val[i]);
	free(c->val);
	free(c->title);
	free(c);
}

/* -- access --------------------------------------------------------------- */

static struct conf_val *
get(const struct conf *c, const char *key, unsigned types)
{
	size_t i = 0;
	const struct conf_key *k = conf_find_key(c->table, key, &i);

	if (!k || !(types & 1U << k->type))
		bug("conf: no key '%s' of the type asked for", key);
	return &c->val[i];
}

/* As it was typed: the option of trust_first_use is --trust-first-use. */
static const char *
option_name(const char *key, char out[CONF_SHOWN_MAX])
{
	(void)snprintf(out, CONF_SHOWN_MAX, "--%s", key);
	for (char *p = out; *p; p++)
		if (*p == '_')
			*p = '-';
	return out;
}

bool
conf_has_key(const struct conf *c, const char *key)
{
	return conf_find_key(c->table, key, NULL) != NULL;
}

bool
conf_set(struct conf *c, const char *key, const char *value, FILE *err)
{
	size_t i = 0;
	const struct conf_key *k = conf_find_key(c->table, key, &i);
	char expected[CONF_EXPECT_MAX], found[CONF_SHOWN_MAX];
	char option[CONF_SHOWN_MAX];
	struct conf_val *v = &c->val[i];
	int64_t num;

	if (!k || k->type == CONF_SECTION)
		bug("conf: key '%s' cannot be set by an option", key);
	(void)option_name(key, option);
	if (!conf_check_value(k, value, &num, expected)) {
		(void)fprintf(err, "%s: expected %s, found %s\n", option,
		              expected, conf_shown(value, found));
		return false;
	}
	if (k->type == CONF_LIST && !v->overridden)
		list_clear(v);
	v->overridden = true;
	if (k->type == CONF_LIST && k->max && (int64_t)v->list_n >= k->max) {
		(void)fprintf(err, "%s: expected at most %lld, found more\n",
		              option, (long long)k->max);
		return false;
	}
	if (!conf_store(k, v, value, 0)) {
		(void)fprintf(err, "%s: out of memory\n", option);
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

int
conf_line(const struct conf *section)
{
	return section->line;
}

int
conf_key_line(const struct conf *c, const char *key)
{
	const struct conf_val *v = get(c, key, ~0U);

	return v->seen ? v->line : c->line;
}

int
conf_list_line(const struct conf *c, const char *key, size_t i)
{
	const struct conf_val *v = get(c, key, 1U << CONF_LIST);

	return i < v->list_n ? v->line_of[i] : conf_key_line(c, key);
}
