/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parsers of text from people and peers: addresses, durations, integers,
 * base32, names, printability. What is accepted must survive a round trip;
 * what is refused must write nothing; nothing may come out unprintable.
 *
 * Input: which parser(1), the text.
 */
#include "lib/base/addr.h"
#include "lib/base/clock.h"
#include "lib/base/text.h"
#include "tools/term.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
address(const char *s)
{
	char text[ADDR_TEXT_MAX];
	struct addr a, b;

	memset(&a, 0x5a, sizeof(a));
	if (!addr_parse(s, 862, &a)) {
		const uint8_t *p = (const uint8_t *)&a;

		for (size_t i = 0; i < sizeof(a); i++)
			must(p[i] == 0x5a);
		return;
	}
	must(addr_family(&a) == AF_INET || addr_family(&a) == AF_INET6);
	must(addr_port(&a) != 0);
	must(addr_parse(addr_format(&a, text), 1, &b));
	must(addr_equal(&a, &b));
	must(addr_is_any(&a) + addr_is_loopback(&a) + addr_is_multicast(&a) <=
	     1);
}

static void
duration(const char *s)
{
	const int64_t max = 86400 * NS_PER_S;
	int64_t v = -77, again;
	char text[64];

	if (!text_parse_duration(s, NS_PER_S, 0, max, &v)) {
		must(v == -77);
		return;
	}
	must(v >= 0 && v <= max);
	(void)snprintf(text, sizeof(text), "%lldns", (long long)v);
	must(text_parse_duration(text, 1, 0, max, &again) && again == v);
	(void)text_parse_duration(s, 86400 * NS_PER_S, INT64_MIN, INT64_MAX,
	                          &v);
}

static void
integer(const char *s)
{
	char text[32];
	int64_t v = -77, again;

	if (!text_parse_i64(s, -1000000, 1000000, &v)) {
		must(v == -77);
		return;
	}
	must(v >= -1000000 && v <= 1000000);
	(void)snprintf(text, sizeof(text), "%lld", (long long)v);
	must(text_parse_i64(text, INT64_MIN, INT64_MAX, &again) && again == v);
}

static void
base32(const char *s)
{
	uint8_t key[32], back[32];
	char text[BASE32_LEN(32) + 1];

	for (size_t n = 1; n <= sizeof(key); n++) {
		if (!base32_decode(s, key, n))
			continue;
		base32_encode(key, n, text);
		must(strlen(text) == BASE32_LEN(n));
		must(base32_decode(text, back, n));
		must(memcmp(key, back, n) == 0);
	}
}

static void
printable(const char *s, size_t len)
{
	char *copy = strdup(s), *out = NULL;
	const bool clean = text_is_clean(s, len);
	size_t out_len = 0;
	FILE *f;

	must(copy != NULL);
	text_make_printable(copy);
	must(strlen(copy) == len);
	must(text_is_clean(copy, len));
	must(!clean || strcmp(copy, s) == 0); /* clean text is left alone */
	must(!name_is_valid(s) || clean);
	f = open_memstream(&out, &out_len);
	must(f != NULL);
	term_put(f, s, 20, TERM_PLAIN, false);
	(void)fputc(',', f);
	csv_put(f, s);
	must(fclose(f) == 0);
	must(text_is_clean(out, out_len));
	free(out);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	char *s;

	if (size < 1)
		return 0;
	s = malloc(size);
	must(s != NULL);
	memcpy(s, in + 1, size - 1);
	s[size - 1] = '\0';
	switch (in[0] % 5) {
	case 0:
		address(s);
		break;
	case 1:
		duration(s);
		break;
	case 2:
		integer(s);
		break;
	case 3:
		base32(s);
		break;
	default:
		printable(s, strlen(s));
		break;
	}
	free(s);
	return 0;
}
