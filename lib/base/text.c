/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/text.h"

#include "lib/base/clock.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool
is_alnum_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
name_is_valid(const char *name)
{
	const size_t n = strlen(name);

	if (n < 1 || n > NAME_MAX_CHARS || !is_alnum_lower(name[0]) ||
	    !is_alnum_lower(name[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_alnum_lower(name[i]) && name[i] != '-')
			return false;
	}
	return true;
}

/* C0, DEL and C1; the separators and directional overrides (U+2028 to U+202E,
 * U+2066 to U+2069) by which text can pretend to be other text. */
static bool
is_control(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) ||
	       (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

/* Length of the UTF-8 sequence at s (1..4); 0 if it is invalid or a control
 * character. */
static size_t
utf8_len(const unsigned char *s, size_t left)
{
	uint32_t cp;
	size_t n;

	if (s[0] < 0x80)
		return !is_control(s[0]);
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2, cp = s[0] & 0x1fU;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3, cp = s[0] & 0x0fU;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4, cp = s[0] & 0x07U;
	else
		return 0;
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (s[i] & 0x3fU);
	}
	if ((n == 3 && cp < 0x800) || (n == 4 && cp < 0x10000) ||
	    cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff) || is_control(cp))
		return 0;
	return n;
}

void
text_make_printable(char *s)
{
	unsigned char *p = (unsigned char *)s;
	size_t left = strlen(s), n;

	for (; left > 0; p += n, left -= n) {
		n = utf8_len(p, left);
		if (n == 0) {
			*p = '?';
			n = 1;
		}
	}
}

bool
text_is_clean(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	for (size_t i = 0; i < len;) {
		const size_t n = utf8_len(p + i, len - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

bool
text_parse_i64(const char *s, int64_t min, int64_t max, int64_t *out)
{
	char *end;
	long long v;

	if (s[0] != '-' && (s[0] < '0' || s[0] > '9'))
		return false;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (end == s || *end != '\0' || errno != 0 || v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool
text_parse_duration(const char *s, int64_t unit_ns, int64_t min_ns,
                    int64_t max_ns, int64_t *out_ns)
{
	static const struct {
		const char *suffix;
		int64_t ns;
	} units[] = {
	    {"ns", 1},
	    {"us", NS_PER_US},
	    {"ms", NS_PER_MS},
	    {"s", NS_PER_S},
	    {"m", 60 * NS_PER_S},
	    {"h", 3600 * NS_PER_S},
	    {"d", 86400 * NS_PER_S},
	};
	char *end;
	double v;

	if (s[0] < '0' || s[0] > '9')
		return false;
	errno = 0;
	v = strtod(s, &end);
	if (end == s || errno != 0 || !isfinite(v) || strchr(s, 'x'))
		return false;
	if (*end != '\0') {
		size_t i = 0;

		while (i < sizeof(units) / sizeof(units[0]) &&
		       strcmp(end, units[i].suffix) != 0)
			i++;
		if (i == sizeof(units) / sizeof(units[0]))
			return false;
		unit_ns = units[i].ns;
	}
	v *= (double)unit_ns;
	/* INT64_MAX as a double is 2^63: one more than fits */
	if (v < (double)min_ns || v > (double)max_ns || v >= 0x1p63)
		return false;
	*out_ns = (int64_t)llround(v);
	return true;
}

static const char base32_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

void
base32_encode(const uint8_t *bytes, size_t n, char *out)
{
	uint32_t acc = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < n; i++) {
		acc = (acc << 8 | bytes[i]) & 0xfff;
		bits += 8;
		while (bits >= 5) {
			bits -= 5;
			*out++ = base32_alphabet[acc >> bits & 31];
		}
	}
	if (bits)
		*out++ = base32_alphabet[acc << (5 - bits) & 31];
	*out = '\0';
}

static int
base32_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

bool
base32_decode(const char *text, uint8_t *bytes, size_t n)
{
	uint32_t acc = 0;
	unsigned bits = 0;
	size_t got = 0, digits = 0;

	for (; *text; text++) {
		int v;

		if (*text == '-' || *text == ' ')
			continue;
		v = base32_value(*text);
		if (v < 0 || ++digits > BASE32_LEN(n))
			return false;
		acc = (acc << 5 | (uint32_t)v) & 0xfff;
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			if (got == n)
				return false;
			bytes[got++] = (uint8_t)(acc >> bits);
		}
	}
	/* the bits beyond the last octet must be zero: one text, one key */
	return got == n && digits == BASE32_LEN(n) &&
	       (acc & ((1U << bits) - 1)) == 0;
}
