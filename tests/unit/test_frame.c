/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/rng.h"
#include "tests/emu/frame.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define MAC "\x02\x77\0\0\0\x02\x02\x77\0\0\0\x01"

/* UDP 1000 -> 862, DSCP 46, TTL 64, 4 octets of payload. */
static const uint8_t v4[] =
    MAC "\x08\x00\x45\xb9\x00\x20\x12\x34\x40\x00\x40\x11\x00\x00"
        "\x0a\x4d\x00\x01\x0a\x4d\x00\x02\x03\xe8\x03\x5e\x00\x0c\x00\x00"
        "abcd";
static const uint8_t v6[] = MAC "\x86\xdd\x6b\x92\x34\x56\x00\x0c\x11\xff"
                                "\xfd\x77\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
                                "\xfd\x77\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
                                "\x03\xe8\x03\x5e\x00\x0c\x00\x00"
                                "abcd";

/* Independent of the code under test: the sum over the header (RFC 1071). */
static uint16_t
header_sum(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void
make_good(uint8_t *data)
{
	uint16_t sum;

	data[24] = data[25] = 0;
	sum = (uint16_t)~header_sum(data + FRAME_ETH);
	data[24] = (uint8_t)(sum >> 8);
	data[25] = (uint8_t)sum;
	ck_assert_uint_eq(header_sum(data + FRAME_ETH), 0xffff);
}

START_TEST(test_parse_v4)
{
	struct frame f;

	ck_assert(frame_parse(v4, sizeof(v4) - 1, &f));
	ck_assert_uint_eq(f.version, 4);
	ck_assert_uint_eq(f.proto, IPPROTO_UDP);
	ck_assert_uint_eq(f.dscp, 46);
	ck_assert_uint_eq(f.ttl, 64);
	ck_assert_uint_eq(f.sport, 1000);
	ck_assert_uint_eq(f.dport, 862);
	ck_assert_uint_eq(f.ip_octets, 32);
	ck_assert_uint_eq(f.payload_octets, 4);
	ck_assert_mem_eq(v4 + f.payload, "abcd", 4);
}
END_TEST

START_TEST(test_parse_v6)
{
	struct frame f;

	ck_assert(frame_parse(v6, sizeof(v6) - 1, &f));
	ck_assert_uint_eq(f.version, 6);
	ck_assert_uint_eq(f.dscp, 46);
	ck_assert_uint_eq(f.ttl, 255);
	ck_assert_uint_eq(f.sport, 1000);
	ck_assert_uint_eq(f.dport, 862);
	ck_assert_uint_eq(f.ip_octets, 52);
	ck_assert_mem_eq(v6 + f.payload, "abcd", 4);
}
END_TEST

/* Padding to Ethernet's minimum is no part of the packet; a later fragment has
 * no ports. */
START_TEST(test_padding_and_fragments)
{
	uint8_t data[64] = {0};
	struct frame f;

	memcpy(data, v4, sizeof(v4) - 1);
	ck_assert(frame_parse(data, sizeof(data), &f));
	ck_assert_uint_eq(f.payload_octets, 4);
	data[20] = 0;
	data[21] = 1;
	ck_assert(frame_parse(data, sizeof(data), &f));
	ck_assert_uint_eq(f.sport, 0);
	ck_assert_uint_eq(f.payload, 0);
}
END_TEST

START_TEST(test_cut_frames_are_refused)
{
	struct frame f;

	for (size_t n = 0; n < sizeof(v4) - 1; n++)
		ck_assert(!frame_parse(v4, n, &f));
	for (size_t n = 0; n < sizeof(v6) - 1; n++)
		ck_assert(!frame_parse(v6, n, &f));
}
END_TEST

/* Every DSCP and TTL, on random headers: the checksum stays right, nothing
 * else changes, ECN included. */
START_TEST(test_rewriting_keeps_the_checksum)
{
	struct rng r;

	rng_seed(&r, 11);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t data[sizeof(v4) - 1], want[sizeof(v4) - 1];
		const uint8_t dscp = rng_u64(&r) & 63,
		              ttl = (uint8_t)(1 + rng_u64(&r) % 255);
		struct frame f;

		memcpy(data, v4, sizeof(data));
		data[15] = (uint8_t)rng_u64(&r);
		data[18] = (uint8_t)rng_u64(&r);
		data[19] = (uint8_t)rng_u64(&r);
		data[22] = (uint8_t)rng_u64(&r);
		make_good(data);
		memcpy(want, data, sizeof(want));
		want[15] = (uint8_t)(dscp << 2 | (data[15] & 3));
		want[22] = ttl;
		make_good(want);
		ck_assert(frame_parse(data, sizeof(data), &f));
		frame_set_dscp(data, &f, dscp);
		frame_set_ttl(data, &f, ttl);
		ck_assert_uint_eq(f.dscp, dscp);
		ck_assert_uint_eq(header_sum(data + FRAME_ETH), 0xffff);
		/* 0x0000 and 0xffff are one value in this arithmetic */
		memset(data + 24, 0, 2);
		memset(want + 24, 0, 2);
		ck_assert_mem_eq(data, want, sizeof(data));
	}
}
END_TEST

START_TEST(test_rewriting_v6)
{
	for (unsigned dscp = 0; dscp < 64; dscp++) {
		uint8_t data[sizeof(v6) - 1];
		struct frame f, again;

		memcpy(data, v6, sizeof(data));
		ck_assert(frame_parse(data, sizeof(data), &f));
		frame_set_dscp(data, &f, (uint8_t)dscp);
		frame_set_ttl(data, &f, 7);
		ck_assert(frame_parse(data, sizeof(data), &again));
		ck_assert_uint_eq(again.dscp, dscp);
		ck_assert_uint_eq(again.ttl, 7);
		/* ECN 01 and the flow label stay */
		ck_assert_uint_eq(data[15] & 0x3f, v6[15] & 0x3f);
		ck_assert_mem_eq(data + 16, v6 + 16, 5);
	}
}
END_TEST

/* Under the sanitizers: no octets whatever make it read outside. */
START_TEST(test_noise)
{
	struct rng r;

	rng_seed(&r, 12);
	for (unsigned i = 0; i < 200000; i++) {
		const size_t n = rng_u64(&r) % 80;
		uint8_t *data = malloc(n ? n : 1);
		struct frame f;

		ck_assert_ptr_nonnull(data);
		for (size_t k = 0; k < n; k++)
			data[k] = (uint8_t)rng_u64(&r);
		if (n > FRAME_ETH) {
			memcpy(data, i & 1 ? v4 : v6, FRAME_ETH);
			data[14] =
			    (uint8_t)(i & 1 ? 0x40 | (data[14] & 15) : 0x60);
			if (n > 19)
				data[i & 1 ? 16 : 18] = 0;
		}
		if (frame_parse(data, n, &f)) {
			ck_assert_uint_le(f.ip_octets + FRAME_ETH, n);
			ck_assert_uint_le(f.payload + f.payload_octets, n);
			frame_set_dscp(data, &f, 1);
			frame_set_ttl(data, &f, 1);
		}
		free(data);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("frame");
	TCase *t = tcase_create("frame");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_parse_v4);
	tcase_add_test(t, test_parse_v6);
	tcase_add_test(t, test_padding_and_fragments);
	tcase_add_test(t, test_cut_frames_are_refused);
	tcase_add_test(t, test_rewriting_keeps_the_checksum);
	tcase_add_test(t, test_rewriting_v6);
	tcase_add_test(t, test_noise);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
