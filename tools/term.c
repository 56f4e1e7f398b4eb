/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/term.h"

#include "lib/base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define COLUMNS_MIN 40
#define COLUMNS_MAX 10000

/* 256-colour codes near the page's own palette. */
static const char *const colour_code[] = {
    [TERM_PLAIN] = "",
    [TERM_BOLD] = "\033[1m",
    [TERM_QUIET] = "\033[38;5;245m",
    [TERM_CALM] = "\033[38;5;67m",
    [TERM_WARN] = "\033[38;5;178m",
    [TERM_CRIT] = "\033[1;38;5;202m", /* #ff5f00, next to #D55E00 */
};

bool
term_is_coloured(FILE *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (no && *no)
		return false;
	return isatty(fileno(out)) && term && strcmp(term, "dumb") != 0;
}

int
term_columns(FILE *out)
{
	const char *env = getenv("COLUMNS");
	struct winsize w;
	int64_t v;

	if (env && text_parse_i64(env, COLUMNS_MIN, COLUMNS_MAX, &v))
		return (int)v;
	if (ioctl(fileno(out), TIOCGWINSZ, &w) == 0 && w.ws_col >= COLUMNS_MIN)
		return w.ws_col;
	return 80;
}

/* Columns of the character at s and its length in octets (at least 1). Decoded
 * here, so that a cut never falls into a character, whatever the locale. */
static int
char_width(const char *s, size_t *len)
{
	const unsigned char *p = (const unsigned char *)s;
	const size_t n = *p < 0xc2 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
	wchar_t wc = (wchar_t)(n == 1 ? *p : *p & (0x7f >> n));
	int w;

	*len = 1;
	while (*len < n && (p[*len] & 0xc0) == 0x80)
		wc = (wchar_t)(wc << 6 | (p[(*len)++] & 0x3f));
	w = wcwidth(wc); /* -1 where the locale does not know it */
	return w < 0 ? 1 : w;
}

int
term_width(const char *text)
{
	int w = 0;
	size_t n;

	for (; *text; text += n)
		w += char_width(text, &n);
	return w;
}

/* Octets of the longest beginning that fits `width` columns. */
static size_t
fitting(const char *text, int width)
{
	size_t at = 0, n;
	int w = 0;

	while (text[at]) {
		w += char_width(text + at, &n);
		if (w > width)
			break;
		at += n;
	}
	return at;
}

void
term_put(FILE *out, const char *text, int width, enum term_colour c,
         bool coloured)
{
	const int room = width < 0 ? -width : width;
	char clean[512];
	int pad;

	(void)snprintf(clean, sizeof(clean) - 4, "%s", text);
	text_make_printable(clean);
	if (room && term_width(clean) > room) {
		const size_t at = fitting(clean, room - 1);

		memcpy(clean + at, "…", sizeof("…"));
	}
	pad = room - term_width(clean);
	if (width > 0 && pad > 0)
		(void)fprintf(out, "%*s", pad, "");
	if (coloured && c != TERM_PLAIN)
		(void)fprintf(out, "%s%s\033[0m", colour_code[c], clean);
	else
		(void)fputs(clean, out);
	if (width < 0 && pad > 0)
		(void)fprintf(out, "%*s", pad, "");
}

char *
num_fixed(double v, int decimals, char *out)
{
	if (!isfinite(v))
		(void)snprintf(out, NUM_TEXT_MAX, "-");
	else if (fabs(v) >= 1e12)
		(void)snprintf(out, NUM_TEXT_MAX, "%.3g", v);
	else
		(void)snprintf(out, NUM_TEXT_MAX, "%.*f", decimals, v);
	if (out[0] == '-' && out[1] && !strpbrk(out, "123456789"))
		memmove(out, out + 1, strlen(out)); /* no "-0.0" */
	return out;
}

int
num_decimals(double v, int decimals)
{
	double a = fabs(v);

	while (isfinite(a) && a >= 10 && decimals > 0) {
		a /= 10;
		decimals--;
	}
	return decimals;
}

char *
num_format(double v, int decimals, char *out)
{
	return num_fixed(v, num_decimals(v, decimals), out);
}

char *
age_format(double s, char *out)
{
	if (!isfinite(s) || s < 0)
		(void)snprintf(out, NUM_TEXT_MAX, "-");
	else if (s < 120)
		(void)snprintf(out, NUM_TEXT_MAX, "%.0fs", s);
	else if (s < 7200)
		(void)snprintf(out, NUM_TEXT_MAX, "%.0fm", s / 60);
	else if (s < 172800)
		(void)snprintf(out, NUM_TEXT_MAX, "%.0fh", s / 3600);
	else
		(void)snprintf(out, NUM_TEXT_MAX, "%.0fd", s / 86400);
	return out;
}

char *
bytes_format(double v, char *out)
{
	static const char *const unit[] = {"B", "kB", "MB", "GB", "TB"};
	char num[NUM_TEXT_MAX];
	size_t u = 0;

	while (v >= 1000 && u < 4) {
		v /= 1000;
		u++;
	}
	(void)snprintf(out, NUM_TEXT_MAX, "%.20s %s",
	               num_format(v, u ? 1 : 0, num), unit[u]);
	return out;
}

static bool
is_number(const char *text)
{
	char *end;

	if (*text != '-' && (*text < '0' || *text > '9'))
		return false;
	(void)strtod(text, &end);
	return end != text && *end == '\0';
}

void
csv_put(FILE *out, const char *text)
{
	char *clean = strdup(text);
	bool formula, quote;

	if (!clean)
		return;
	text_make_printable(clean);
	formula = clean[0] && strchr("=+-@", clean[0]) && !is_number(clean);
	quote = formula || strpbrk(clean, ",\"");
	(void)fputs(quote ? (formula ? "\"'" : "\"") : "", out);
	for (const char *p = clean; *p; p++) {
		if (*p == '"')
			(void)fputc('"', out);
		(void)fputc(*p, out);
	}
	(void)fputs(quote ? "\"" : "", out);
	free(clean);
}
