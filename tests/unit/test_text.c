/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/clock.h"
#include "lib/base/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(test_names)
{
	static const char *const good[] = {
	    "a",
	    "0",
	    "ams1",
	    "a-b",
	    "a--b",
	    "x0-9z",
	    "a23456789012345678901234567890123456789012345678901234567890123"};
	static const char *const bad[] = {
	    "",
	    "-a",
	    "a-",
	    "A",
	    "a.b",
	    "a_b",
	    "a b",
	    "a\n",
	    "\xc3\xa9",
	    "a/b",
	    "..",
	    "a\x7f",
	    "a234567890123456789012345678901234567890123456789012345678901234"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(name_is_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!name_is_valid(bad[i]), "%s", bad[i]);
}
END_TEST

static void
printable(const char *in, const char *want)
{
	char s[64];

	(void)snprintf(s, sizeof(s), "%s", in);
	text_make_printable(s);
	ck_assert_str_eq(s, want);
}

START_TEST(test_make_printable)
{
	printable("plain", "plain");
	printable("a\033[31mb\n\t\x7f", "a?[31mb???");
	printable("caf\xc3\xa9 \xe2\x86\x92", "caf\xc3\xa9 \xe2\x86\x92");
	printable("\xc2\x9b"
	          "31m",
	          "??31m");                /* CSI as one character */
	printable("\xc2\xa0", "\xc2\xa0"); /* a no-break space is fine */
	printable("\xc2", "?");            /* cut in the middle */
	/* a raw C1 octet is CSI to a terminal that is not in UTF-8 */
	printable("a\x9b"
	          "31m",
	          "a?31m");
	printable("\xe2\x9b", "??");
	/* what U+202E and its like do to the reader of a line */
	printable("a\xe2\x80\xae"
	          "b",
	          "a???b");
	printable("\xe2\x81\xa6", "???");
	printable("\xe2\x80\x8f", "\xe2\x80\x8f"); /* a mark, harmless */
	printable("\xe2\x80\xa8", "???");          /* line separator */
}
END_TEST

START_TEST(test_is_clean)
{
	static const struct {
		const char *s;
		size_t len;
		bool clean;
	} t[] = {
	    {"", 0, true},
	    {"plain text", 10, true},
	    {"caf\xc3\xa9", 5, true},
	    {"\xf0\x9f\x98\x80", 4, true},
	    {"\xed\x9f\xbf", 3, true},  /* U+D7FF */
	    {"\xed\xa0\x80", 3, false}, /* a surrogate */
	    {"\xc0\x80", 2, false},     /* overlong NUL */
	    {"\xe0\x80\xaf", 3, false}, /* overlong */
	    {"\xf0\x80\x80\xaf", 4, false},
	    {"\xf4\x90\x80\x80", 4, false}, /* beyond U+10FFFF */
	    {"\xc3", 1, false},             /* cut */
	    {"\xe2\x86", 2, false},
	    {"\x80", 1, false},
	    {"a\0b", 3, false},
	    {"a\nb", 3, false},
	    {"\x7f", 1, false},
	    {"\xc2\x85", 2, false}, /* C1 */
	    {"\xff", 1, false},
	    {"\xe2\x80\xae", 3, false}, /* right-to-left override */
	    {"\xe2\x80\xa7", 3, true},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		ck_assert_msg(text_is_clean(t[i].s, t[i].len) == t[i].clean,
		              "entry %zu", i);
}
END_TEST

START_TEST(test_parse_i64)
{
	static const char *const bad[] = {"",    " 1",   "+1",
	                                  "1 ",  "0x10", "1.0",
	                                  "--1", "-",    "9223372036854775808",
	                                  "1e3", "101",  "-101",
	                                  "\t1"};
	int64_t v = 77;

	ck_assert(text_parse_i64("0", -100, 100, &v));
	ck_assert_int_eq(v, 0);
	ck_assert(text_parse_i64("-100", -100, 100, &v));
	ck_assert_int_eq(v, -100);
	ck_assert(
	    text_parse_i64("9223372036854775807", INT64_MIN, INT64_MAX, &v));
	ck_assert_int_eq(v, INT64_MAX);
	ck_assert(
	    text_parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &v));
	ck_assert_int_eq(v, INT64_MIN);
	v = 77;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!text_parse_i64(bad[i], -100, 100, &v), "%s",
		              bad[i]);
		ck_assert_int_eq(v, 77); /* written on success only */
	}
}
END_TEST

START_TEST(test_parse_duration)
{
	static const struct {
		const char *s;
		int64_t ns;
	} good[] = {
	    {"10ms", 10 * NS_PER_MS},   {"1.5s", 1500 * NS_PER_MS},
	    {"200us", 200 * NS_PER_US}, {"2m", 120 * NS_PER_S},
	    {"1h", 3600 * NS_PER_S},    {"3d", 3 * 86400 * NS_PER_S},
	    {"7", 7 * NS_PER_S},        {"0", 0},
	    {"0.001s", NS_PER_MS},      {"1ns", 1},
	};
	static const char *const bad[] = {
	    "",    "s",   "-1s", "+1s", "1 s", "1S",   "1sec", "0x1s", "1e400s",
	    "nan", "inf", "1y",  "s1",  ".5s", "1ms ", "1e9d", "0xfs"};
	const int64_t max = 10 * 86400 * NS_PER_S;
	int64_t v = 77;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_msg(
		    text_parse_duration(good[i].s, NS_PER_S, 0, max, &v), "%s",
		    good[i].s);
		ck_assert_int_eq(v, good[i].ns);
	}
	v = 77;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(
		    !text_parse_duration(bad[i], NS_PER_S, 0, max, &v), "%s",
		    bad[i]);
		ck_assert_int_eq(v, 77);
	}
	/* out of range, on both sides, and at the edge of the type */
	ck_assert(!text_parse_duration("1ms", NS_PER_S, NS_PER_S, max, &v));
	ck_assert(!text_parse_duration("11d", NS_PER_S, 0, max, &v));
	ck_assert(!text_parse_duration("1e300s", NS_PER_S, 0, INT64_MAX, &v));
	ck_assert(!text_parse_duration("9223372036854775808ns", NS_PER_S, 0,
	                               INT64_MAX, &v));
	ck_assert_int_eq(v, 77);
}
END_TEST

START_TEST(test_base32)
{
	/* RFC 4648 section 10, without padding */
	static const struct {
		const char *bytes, *text;
	} t[] = {{"", ""},
	         {"f", "MY"},
	         {"fo", "MZXQ"},
	         {"foo", "MZXW6"},
	         {"foob", "MZXW6YQ"},
	         {"fooba", "MZXW6YTB"},
	         {"foobar", "MZXW6YTBOI"}};
	char text[64];
	uint8_t bytes[40], back[40];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const size_t n = strlen(t[i].bytes);

		base32_encode((const uint8_t *)t[i].bytes, n, text);
		ck_assert_str_eq(text, t[i].text);
		ck_assert_uint_eq(strlen(text), BASE32_LEN(n));
		ck_assert(base32_decode(t[i].text, bytes, n));
		ck_assert_mem_eq(bytes, t[i].bytes, n);
	}
	for (size_t n = 0; n <= 32; n++) {
		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)(i * 73 + n * 31);
		base32_encode(bytes, n, text);
		memset(back, 0, sizeof(back));
		ck_assert(base32_decode(text, back, n));
		ck_assert_mem_eq(back, bytes, n);
	}
	/* as people type it */
	ck_assert(base32_decode("mzxw-6ytb oi", bytes, 6));
	ck_assert_mem_eq(bytes, "foobar", 6);
}
END_TEST

START_TEST(test_base32_refuses)
{
	static const struct {
		const char *text;
		size_t n;
	} t[] = {
	    {"MZXW6YTBO", 6},  {"MZXW6YTBOIA", 6}, {"MZXW6YTBOI======", 6},
	    {"MZXW6YTB0I", 6}, {"MZXW6YTB1I", 6},  {"MZXW6YTB8I", 6},
	    {"", 1},           {"M", 1},           {"MZ", 1}, /* spare bits */
	    {"MZXW6YTBOI", 5}, {"MZXW6YTBOI", 7},  {"MZXW\n6YTBOI", 6},
	};
	uint8_t bytes[16];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		ck_assert_msg(!base32_decode(t[i].text, bytes, t[i].n), "%s",
		              t[i].text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("text");
	TCase *t = tcase_create("text");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_names);
	tcase_add_test(t, test_make_printable);
	tcase_add_test(t, test_is_clean);
	tcase_add_test(t, test_parse_i64);
	tcase_add_test(t, test_parse_duration);
	tcase_add_test(t, test_base32);
	tcase_add_test(t, test_base32_refuses);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
