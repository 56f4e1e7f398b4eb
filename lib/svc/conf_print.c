/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the table looks like to people: the effective configuration (which
 * conf_load() reads back to the same values), the commented sample file and
 * the manual's list of keys.
 */
#include "lib/svc/conf_priv.h"

#include "lib/base/clock.h"

#include <string.h>

#define WRAP_COLUMNS 76

char *
conf_format_duration(int64_t ns, char *out)
{
	static const struct {
		const char *suffix;
		int64_t ns;
	} units[] = {
	    {"d", 86400 * NS_PER_S},
	    {"h", 3600 * NS_PER_S},
	    {"m", 60 * NS_PER_S},
	    {"s", NS_PER_S},
	    {"ms", NS_PER_MS},
	    {"us", NS_PER_US},
	    {"ns", 1},
	};
	size_t i = 0;

	if (ns == 0) {
		(void)snprintf(out, CONF_DURATION_TEXT_MAX, "0s");
		return out;
	}
	while (ns % units[i].ns != 0)
		i++;
	(void)snprintf(out, CONF_DURATION_TEXT_MAX, "%lld%s",
	               (long long)(ns / units[i].ns), units[i].suffix);
	return out;
}

static void
expect_number(const struct conf_key *k, char *out)
{
	const bool dur = k->type == CONF_DURATION;
	const char *what = dur ? "a duration" : "an integer";
	char a[CONF_DURATION_TEXT_MAX], b[CONF_DURATION_TEXT_MAX];
	int n;

	if (dur) {
		conf_format_duration(k->min, a);
		conf_format_duration(k->max, b);
	} else {
		(void)snprintf(a, sizeof(a), "%lld", (long long)k->min);
		(void)snprintf(b, sizeof(b), "%lld", (long long)k->max);
	}
	if (k->min == 0 && k->max == 0)
		n = snprintf(out, CONF_EXPECT_MAX, "%s", what);
	else if (k->max == INT64_MAX)
		n = snprintf(out, CONF_EXPECT_MAX, "%s of at least %s", what,
		             a);
	else
		n = snprintf(out, CONF_EXPECT_MAX, "%s from %s to %s", what, a,
		             b);
	if (dur && n > 0 && n < CONF_EXPECT_MAX)
		(void)snprintf(out + n, CONF_EXPECT_MAX - (size_t)n,
		               " such as 250ms, 10s or 5m");
}

static void
expect_choice(const struct conf_key *k, char *out)
{
	size_t at = (size_t)snprintf(out, CONF_EXPECT_MAX, "one of ");

	for (const char *const *c = k->choices; *c && at < CONF_EXPECT_MAX; c++)
		at += (size_t)snprintf(out + at, CONF_EXPECT_MAX - at, "%s%s",
		                       c == k->choices ? "" : ", ", *c);
}

char *
conf_expect(const struct conf_key *k, char *out)
{
	const long long min = (long long)k->min, max = (long long)k->max;

	switch (k->type) {
	case CONF_INT:
	case CONF_DURATION:
		expect_number(k, out);
		break;
	case CONF_BOOL:
		(void)snprintf(out, CONF_EXPECT_MAX, "true or false");
		break;
	case CONF_CHOICE:
		expect_choice(k, out);
		break;
	case CONF_LIST:
		if (max)
			(void)snprintf(out, CONF_EXPECT_MAX,
			               "a list of %lld to %lld strings", min,
			               max);
		else if (min)
			(void)snprintf(out, CONF_EXPECT_MAX,
			               "a list of at least %lld strings", min);
		else
			(void)snprintf(out, CONF_EXPECT_MAX,
			               "a list of strings");
		break;
	case CONF_STRING:
		if (max)
			(void)snprintf(out, CONF_EXPECT_MAX,
			               "text of %lld to %lld octets without "
			               "control characters",
			               min, max);
		else
			(void)snprintf(out, CONF_EXPECT_MAX,
			               "%stext without control characters",
			               min ? "some " : "");
		break;
	case CONF_SECTION:
	case CONF_END:
		(void)snprintf(out, CONF_EXPECT_MAX,
		               "text without control characters");
		break;
	}
	return out;
}

/* -- the effective configuration ----------------------------------------- */

static void
print_quoted(const char *s, FILE *out)
{
	(void)fputc('"', out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			(void)fputc('\\', out);
		(void)fputc(*s, out);
	}
	(void)fputc('"', out);
}

static void
print_value(const struct conf_key *k, const struct conf_val *v, FILE *out)
{
	char dur[CONF_DURATION_TEXT_MAX];

	switch (k->type) {
	case CONF_INT:
		(void)fprintf(out, "%lld", (long long)v->num);
		break;
	case CONF_DURATION:
		(void)fputs(conf_format_duration(v->num, dur), out);
		break;
	case CONF_BOOL:
		(void)fputs(v->num ? "true" : "false", out);
		break;
	case CONF_LIST:
		(void)fputc('{', out);
		for (size_t i = 0; i < v->list_n; i++) {
			(void)fputs(i ? ", " : "", out);
			print_quoted(v->list[i], out);
		}
		(void)fputc('}', out);
		break;
	case CONF_STRING:
	case CONF_CHOICE:
	case CONF_SECTION:
	case CONF_END:
		print_quoted(v->str ? v->str : "", out);
		break;
	}
}

/* An optional key without value is left out: reading it back, an empty text
 * might not pass its check. */
static bool
is_unset(const struct conf_key *k, const struct conf_val *v)
{
	return (k->type == CONF_STRING || k->type == CONF_CHOICE) &&
	       (!v->str || (!*v->str && (k->check || k->min > 0)));
}

static void
print_keys(const struct conf *c, const char *indent, FILE *out)
{
	for (size_t i = 0; c->table[i].type != CONF_END; i++) {
		const struct conf_key *k = &c->table[i];
		const struct conf_val *v = &c->val[i];

		if (k->type == CONF_SECTION) {
			for (size_t j = 0; j < v->sec_n; j++) {
				(void)fprintf(out, "%s%s ", indent, k->name);
				print_quoted(conf_title(v->sec[j]), out);
				(void)fputs(" {\n", out);
				print_keys(v->sec[j], "\t", out);
				(void)fputs("}\n", out);
			}
			continue;
		}
		if (is_unset(k, v))
			continue;
		(void)fprintf(out, "%s%s = ", indent, k->name);
		print_value(k, v, out);
		(void)fputc('\n', out);
	}
}

void
conf_print(const struct conf *c, FILE *out)
{
	print_keys(c, "", out);
}

/* -- the sample file ------------------------------------------------------ */

/* Words wrapped behind a prefix. */
static void
print_wrapped(const char *text, const char *prefix, FILE *out)
{
	size_t col = 0;

	while (*text) {
		const size_t n = strcspn(text, " ");

		if (col && col + 1 + n > WRAP_COLUMNS - strlen(prefix)) {
			(void)fputc('\n', out);
			col = 0;
		}
		(void)fprintf(out, "%s%.*s", col ? " " : prefix, (int)n, text);
		col += n + (col ? 1 : 0);
		text += n;
		text += strspn(text, " ");
	}
	(void)fputc('\n', out);
}

/* The default as the file writes it; NULL when there is none to show. */
static const char *
default_text(const struct conf_key *k, char *out, size_t size)
{
	if (!k->def)
		return NULL;
	if (k->type == CONF_STRING || k->type == CONF_CHOICE)
		(void)snprintf(out, size, "\"%s\"", k->def);
	else if (k->type == CONF_LIST && !*k->def)
		(void)snprintf(out, size, "{}");
	else
		(void)snprintf(out, size, "%s", k->def);
	return out;
}

static void
sample_keys(const struct conf_key *table, const char *indent, FILE *out)
{
	for (const struct conf_key *k = table; k->type != CONF_END; k++) {
		char prefix[16], text[CONF_EXPECT_MAX + 64], def[300];
		char expected[CONF_EXPECT_MAX];

		(void)snprintf(prefix, sizeof(prefix), "# %s", indent);
		print_wrapped(k->help, prefix, out);
		if (k->type == CONF_SECTION) {
			(void)fprintf(out, "#%s%s \"TITLE\" {\n", indent,
			              k->name);
			sample_keys(k->sub, "\t", out);
			(void)fprintf(out, "#%s}\n\n", indent);
			continue;
		}
		(void)snprintf(text, sizeof(text), "(%s%s%s%s)",
		               conf_expect(k, expected), k->unit ? ", in " : "",
		               k->unit ? k->unit : "",
		               k->reloadable ? "; SIGHUP reloads it" : "");
		print_wrapped(text, prefix, out);
		(void)fprintf(out, "#%s%s = %s\n\n", indent, k->name,
		              default_text(k, def, sizeof(def)) ? def : "\"\"");
	}
}

void
conf_print_sample(const struct conf_key *table, FILE *out)
{
	(void)fputs("# Every key with its default. Remove the # to change "
	            "one.\n\n",
	            out);
	sample_keys(table, "", out);
}

/* -- the manual ------------------------------------------------------------ */

/* Text as roff: no leading control character, backslashes kept. */
static void
print_roff(const char *s, FILE *out)
{
	if (*s == '.' || *s == '\'')
		(void)fputs("\\&", out);
	for (; *s; s++)
		(void)(*s == '\\' ? fputs("\\e", out) : fputc(*s, out));
}

static const char *
mdoc_arg(enum conf_type t)
{
	static const char *const arg[] = {
	    "text", "integer",         "duration",          "true | false",
	    "word", "{\"text\", ...}", "\"title\" { ... }", ""};

	return arg[t];
}

static void
mdoc_keys(const struct conf_key *table, FILE *out)
{
	(void)fputs(".Bl -tag -width Ds\n", out);
	for (const struct conf_key *k = table; k->type != CONF_END; k++) {
		char expected[CONF_EXPECT_MAX], def[300];

		(void)fprintf(out, ".It Cm %s%s%s\n", k->name,
		              k->type == CONF_SECTION ? " " : " = ",
		              mdoc_arg(k->type));
		print_roff(k->help, out);
		(void)fputs(".\n", out);
		if (k->type == CONF_SECTION) {
			(void)fputs("Its keys:\n", out);
			mdoc_keys(k->sub, out);
			continue;
		}
		(void)fputs("Expects ", out);
		print_roff(conf_expect(k, expected), out);
		if (k->unit)
			(void)fprintf(out, ", in %s", k->unit);
		if (default_text(k, def, sizeof(def))) {
			(void)fputs("; default ", out);
			print_roff(def, out);
		}
		(void)fputs(".\n", out);
		if (k->reloadable)
			(void)fputs("Reloaded by SIGHUP.\n", out);
	}
	(void)fputs(".El\n", out);
}

void
conf_print_mdoc(const struct conf_key *table, FILE *out)
{
	mdoc_keys(table, out);
}
