/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/addr.h"

#include <check.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

static struct addr
must(const char *text)
{
	struct addr a;

	ck_assert_msg(addr_parse(text, 862, &a), "%s", text);
	return a;
}

START_TEST(test_parse_and_format)
{
	static const struct {
		const char *in, *out;
	} t[] = {
	    {"127.0.1.3", "127.0.1.3:862"},
	    {"127.0.1.3:5000", "127.0.1.3:5000"},
	    {"::1", "[::1]:862"},
	    {"[::1]", "[::1]:862"},
	    {"[::1]:9", "[::1]:9"},
	    {"2001:DB8::8:800:200C:417A", "[2001:db8::8:800:200c:417a]:862"},
	    {"::ffff:1.2.3.4", "[::ffff:1.2.3.4]:862"},
	    {"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
	     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	};
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct addr a = must(t[i].in), b;

		ck_assert_str_eq(addr_format(&a, text), t[i].out);
		ck_assert(addr_parse(text, 1, &b));
		ck_assert(addr_equal(&a, &b));
	}
}
END_TEST

START_TEST(test_refuses)
{
	static const char *const bad[] = {
	    "",
	    "host",
	    "1.2.3",
	    "1.2.3.4.5",
	    "1.2.3.256",
	    "1.2.3.4:",
	    "1.2.3.4:0",
	    "1.2.3.4:65536",
	    "1.2.3.4:x",
	    "1.2.3.4:-1",
	    "1.2.3.4: 5",
	    ":862",
	    "[::1",
	    "::1]",
	    "[::1]x",
	    "[::1]:",
	    "[]:5",
	    "[]",
	    "[1.2.3.4",
	    "[[::1]]",
	    ":::",
	    "1.2.3.4 ",
	    " 1.2.3.4",
	    "01.2.3.4",
	    "fe80::1%nosuchinterface0",
	    "12345::",
	    "[::1]:99999999999",
	    "1:2:3:4:5:6:7:8:9",
	};
	struct addr a;
	char longer[400];

	memset(&a, 0x5a, sizeof(a));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!addr_parse(bad[i], 862, &a), "%s", bad[i]);
	memset(longer, '1', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	ck_assert(!addr_parse(longer, 862, &a));
	ck_assert(!addr_parse_ip(longer, 862, &a));
	for (size_t i = 0; i < sizeof(a); i++) /* written on success only */
		ck_assert_uint_eq(((const uint8_t *)&a)[i], 0x5a);
}
END_TEST

START_TEST(test_bytes)
{
	const uint8_t v4[4] = {10, 0, 0, 1};
	const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
	struct addr a, unset = {.len = 0};
	size_t n = 99;

	ck_assert(addr_from_bytes(v4, 4, 7, &a));
	ck_assert_mem_eq(addr_bytes(&a, &n), v4, 4);
	ck_assert_uint_eq(n, 4);
	ck_assert_uint_eq(addr_port(&a), 7);
	ck_assert_int_eq(addr_family(&a), AF_INET);
	ck_assert(addr_from_bytes(v6, 16, 8, &a));
	ck_assert_mem_eq(addr_bytes(&a, &n), v6, 16);
	ck_assert_uint_eq(n, 16);
	ck_assert_int_eq(addr_family(&a), AF_INET6);
	for (size_t len = 0; len <= 16; len++) {
		if (len != 4 && len != 16)
			ck_assert(!addr_from_bytes(v6, len, 8, &a));
	}
	(void)addr_bytes(&unset, &n);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(addr_family(&unset), AF_UNSPEC);
}
END_TEST

START_TEST(test_compare)
{
	struct addr a = must("127.0.0.1:1"), b = must("127.0.0.1:2"),
	            c = must("127.0.0.2:1"), d = must("[::1]:1"), e = d;

	ck_assert(addr_ip_equal(&a, &b));
	ck_assert(!addr_equal(&a, &b));
	ck_assert(!addr_ip_equal(&a, &c));
	ck_assert(!addr_ip_equal(&a, &d));
	addr_set_port(&b, 1);
	ck_assert(addr_equal(&a, &b));
	ck_assert(addr_equal(&d, &e));
	e.u.v6.sin6_scope_id = 3; /* fe80::1 on another link is another host */
	ck_assert(!addr_ip_equal(&d, &e));
}
END_TEST

START_TEST(test_kinds)
{
	static const struct {
		const char *text;
		bool loopback, any, multicast;
	} t[] = {
	    {"127.0.0.1", true, false, false},
	    {"127.255.255.255", true, false, false},
	    {"128.0.0.1", false, false, false},
	    {"::1", true, false, false},
	    {"::2", false, false, false},
	    {"::ffff:127.0.0.1", true, false, false},
	    {"::ffff:10.0.0.1", false, false, false},
	    {"0.0.0.0", false, true, false},
	    {"::", false, true, false},
	    {"224.0.0.1", false, false, true},
	    {"239.255.255.255", false, false, true},
	    {"240.0.0.1", false, false, false},
	    {"255.255.255.255", false, false, true},
	    {"ff02::1", false, false, true},
	    {"::ffff:224.0.0.1", false, false, true},
	    {"::ffff:0.0.0.0", false, true, false},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const struct addr a = must(t[i].text);

		ck_assert_msg(addr_is_loopback(&a) == t[i].loopback, "%s",
		              t[i].text);
		ck_assert_msg(addr_is_any(&a) == t[i].any, "%s", t[i].text);
		ck_assert_msg(addr_is_multicast(&a) == t[i].multicast, "%s",
		              t[i].text);
	}
}
END_TEST

START_TEST(test_sockaddr)
{
	struct addr a = must("[2001:db8::1]:99"), b;
	struct sockaddr_storage un = {.ss_family = AF_UNIX};

	ck_assert(addr_from_sockaddr(&a.u.sa, a.len, &b));
	ck_assert(addr_equal(&a, &b));
	/* too short for its family, or none of ours */
	ck_assert(!addr_from_sockaddr(&a.u.sa, sizeof(struct sockaddr_in), &b));
	ck_assert(!addr_from_sockaddr((struct sockaddr *)&un, sizeof(un), &b));
}
END_TEST

START_TEST(test_resolve)
{
	char text[ADDR_TEXT_MAX];
	struct addr a;

	ck_assert_int_eq(addr_resolve("localhost:7", 862, AF_INET, &a), 0);
	ck_assert_str_eq(addr_format(&a, text), "127.0.0.1:7");
	ck_assert_int_eq(addr_resolve("127.0.0.1", 862, AF_UNSPEC, &a), 0);
	ck_assert_uint_eq(addr_port(&a), 862);
	ck_assert_int_eq(addr_resolve("127.0.0.1", 862, AF_INET6, &a),
	                 EAI_ADDRFAMILY);
	ck_assert_int_eq(addr_resolve("[::1]:5", 862, AF_INET6, &a), 0);
	ck_assert_str_eq(addr_format(&a, text), "[::1]:5");
	ck_assert_int_eq(addr_resolve("host:0", 862, AF_UNSPEC, &a), -1);
	ck_assert_int_eq(addr_resolve("", 862, AF_UNSPEC, &a), -1);
	ck_assert_int_gt(
	    abs(addr_resolve("no.such.host.invalid", 862, AF_UNSPEC, &a)), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("addr");
	TCase *t = tcase_create("addr");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_test(t, test_parse_and_format);
	tcase_add_test(t, test_refuses);
	tcase_add_test(t, test_bytes);
	tcase_add_test(t, test_compare);
	tcase_add_test(t, test_kinds);
	tcase_add_test(t, test_sockaddr);
	tcase_add_test(t, test_resolve);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
