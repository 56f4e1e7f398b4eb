/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/twamp/testpkt: packets byte for byte against tests/vectors/vectors.json,
 * TLV rules, and properties over random requests, whose seed is printed.
 */
#include "lib/twamp/testpkt.h"

#include "lib/base/cursor.h"
#include "lib/base/rng.h"
#include "lib/twamp/ntp64.h"

#include <check.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *vectors; /* owned */
static uint64_t seed;

struct bytes {
	uint8_t b[TEST_BUF_MAX];
	size_t n;
};

static void
setup(void)
{
	const char *env = getenv("TEST_SEED");
	json_error_t e;

	vectors =
	    json_load_file(TEST_SRCDIR "/tests/vectors/vectors.json", 0, &e);
	ck_assert_msg(vectors != NULL, "vectors.json:%d: %s", e.line, e.text);
	seed = env ? strtoull(env, NULL, 0) : random_u64();
	printf("TEST_SEED=%" PRIu64 "\n", seed);
}

static void
teardown(void)
{
	json_decref(vectors);
}

static void
unhex(const char *hex, struct bytes *out)
{
	ck_assert_ptr_nonnull(hex);
	out->n = strlen(hex) / 2;
	ck_assert_uint_le(out->n, sizeof(out->b));
	for (size_t i = 0; i < out->n; i++) {
		const char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		out->b[i] = (uint8_t)strtoul(two, NULL, 16);
	}
}

/* vectors["a.b.c"] */
static const json_t *
at(const char *path)
{
	const json_t *v = vectors;
	char key[64];

	while (*path) {
		const size_t n = strcspn(path, ".");

		ck_assert_uint_lt(n, sizeof(key));
		memcpy(key, path, n);
		key[n] = '\0';
		v = json_object_get(v, key);
		ck_assert_msg(v != NULL, "no vector %s", key);
		path += n + (path[n] == '.');
	}
	return v;
}

static void
vector(const char *path, struct bytes *out)
{
	unhex(json_string_value(at(path)), out);
}

#define IN "twamp_test.inputs."

static struct wall
in_time(const char *path)
{
	return (struct wall){json_integer_value(at(path))};
}

static uint16_t
in_hex16(const char *path)
{
	return (uint16_t)strtoul(json_string_value(at(path)), NULL, 16);
}

static struct test_request
in_request(uint16_t ssid)
{
	return (struct test_request){
	    (uint32_t)json_integer_value(at(IN "sender_seq")),
	    ntp64_from_wall(in_time(IN "t1_unix_ns")),
	    in_hex16(IN "sender_error_estimate"), ssid};
}

static struct test_reflection
in_reflection(void)
{
	return (struct test_reflection){
	    .seq = (uint32_t)json_integer_value(at(IN "reflector_seq")),
	    .t2 = ntp64_from_wall(in_time(IN "t2_unix_ns")),
	    .t3 = ntp64_from_wall(in_time(IN "t3_unix_ns")),
	    .error_estimate = in_hex16(IN "reflector_error_estimate"),
	    .sender_ttl = (uint8_t)json_integer_value(at(IN "received_ttl"))};
}

/* test_reflect() into a buffer of just the right size, so that ASan sees an
 * octet too many. */
static void
reflect(const uint8_t *req, size_t len, const struct test_reflection *r,
        struct bytes *out)
{
	uint8_t *copy = malloc(len), *tight = malloc(len);

	ck_assert(copy && tight);
	memcpy(copy, req, len);
	memset(tight, 0x5a, len);
	test_reflect(copy, len, r, tight);
	out->n = len;
	memcpy(out->b, tight, len);
	free(copy);
	free(tight);
}

static void
reflects_as(const char *request, const char *reply,
            const struct test_reflection *r)
{
	static struct bytes req, want, got;

	vector(request, &req);
	vector(reply, &want);
	reflect(req.b, req.n, r, &got);
	ck_assert_uint_eq(got.n, want.n);
	ck_assert_mem_eq(got.b, want.b, want.n);
}

START_TEST(vectors_stamp)
{
	static struct bytes want;
	uint8_t got[STAMP_BASE];
	struct test_request r =
	    in_request((uint16_t)json_integer_value(at("stamp.ssid")));
	struct test_request back;
	struct test_reflection refl = in_reflection();

	vector("stamp.unauth_sender_hex", &want);
	ck_assert(test_request_encode(&r, true, false, got, sizeof(got)));
	ck_assert_mem_eq(got, want.b, want.n);
	ck_assert_int_eq(test_request_decode(want.b, want.n, &back), TEST_OK);
	ck_assert_uint_eq(back.seq, r.seq);
	ck_assert_uint_eq(back.t1, r.t1);
	ck_assert_uint_eq(back.error_estimate, r.error_estimate);
	ck_assert_uint_eq(back.ssid, 0x1234);

	r.ssid = 0;
	vector("stamp.unauth_sender_no_ssid_hex", &want);
	ck_assert(test_request_encode(&r, true, false, got, sizeof(got)));
	ck_assert_mem_eq(got, want.b, want.n);

	reflects_as("stamp.unauth_sender_hex",
	            "stamp.unauth_reflector_stateful_hex", &refl);
	refl.seq = r.seq;
	reflects_as("stamp.unauth_sender_hex",
	            "stamp.unauth_reflector_stateless_hex", &refl);
}
END_TEST

START_TEST(vectors_twamp)
{
	const struct test_reflection refl = in_reflection();
	static struct bytes req;
	struct test_request r;

	reflects_as("twamp_test.unauth_sender_pad27_hex",
	            "twamp_test.unauth_reflector_for_pad27_hex", &refl);
	reflects_as("twamp_test.unauth_sender_pad40_hex",
	            "twamp_test.unauth_reflector_for_pad40_hex", &refl);
	vector("twamp_test.unauth_sender_pad40_hex", &req);
	ck_assert_int_eq(test_request_decode(req.b, req.n, &r), TEST_OK);
	ck_assert_uint_eq(r.ssid, 0); /* padding c0c1 is no SSID */
	ck_assert_uint_eq(r.seq, 7);
}
END_TEST

START_TEST(vectors_reply_decode)
{
	static struct bytes p;
	struct test_reply r;
	const struct wall near = in_time(IN "t4_unix_ns");
	int64_t error_ns;
	bool s, z;

	vector("stamp.unauth_reflector_stateful_hex", &p);
	ck_assert_int_eq(test_reply_decode(p.b, p.n, near, &r), TEST_OK);
	ck_assert_uint_eq(r.seq, 3);
	ck_assert_uint_eq(r.sender_seq, 7);
	ck_assert_uint_eq(r.ssid, 0x1234);
	ck_assert_uint_eq(r.t1, in_request(0).t1);
	ck_assert_int_eq(r.t2.ns, in_time(IN "t2_unix_ns").ns);
	ck_assert_int_eq(r.t3.ns, in_time(IN "t3_unix_ns").ns);
	ck_assert_int_eq(r.sender_ttl, 62);
	ck_assert(r.synchronised);
	ck_assert(errest_decode(0x9020, &error_ns, &s, &z));
	ck_assert_int_eq(r.error_ns, error_ns);
	ck_assert(!r.has_bitmap);

	vector("twamp_test.unauth_reflector_for_pad40_hex", &p);
	ck_assert_int_eq(test_reply_decode(p.b, p.n, near, &r), TEST_OK);
	ck_assert_uint_eq(r.ssid, 0);
	ck_assert_int_eq(r.sender_ttl, 62);
	/* odd replies that end early */
	ck_assert_int_eq(test_reply_decode(p.b, 40, near, &r), TEST_OK);
	ck_assert_int_eq(r.sender_ttl, -1);
	ck_assert_int_eq(test_reply_decode(p.b, 36, near, &r), TEST_OK);
	ck_assert_int_eq(test_reply_decode(p.b, 35, near, &r), TEST_ERR_SHORT);
}
END_TEST

START_TEST(decode_errors)
{
	uint8_t b[STAMP_BASE];
	struct test_request r = {1, 2, 0x8001, 3}, out = {9, 9, 9, 9};
	struct test_reply reply = {.seq = 9};

	ck_assert(test_request_encode(&r, true, false, b, sizeof(b)));
	ck_assert_int_eq(test_request_decode(b, 13, &out), TEST_ERR_SHORT);
	ck_assert_int_eq(test_request_decode(b, 0, &out), TEST_ERR_SHORT);
	ck_assert_int_eq(test_request_decode(b, 14, &out), TEST_OK);
	ck_assert_uint_eq(out.ssid, 0);
	out.seq = 9;
	b[13] = 0; /* multiplier */
	ck_assert_int_eq(test_request_decode(b, sizeof(b), &out),
	                 TEST_ERR_MULTIPLIER);
	ck_assert_int_eq(
	    test_reply_decode(b, sizeof(b), (struct wall){0}, &reply),
	    TEST_ERR_MULTIPLIER);
	b[12] = 0xc0; /* Z */
	b[13] = 1;
	memset(b + 8, 0xff, 4); /* nanoseconds of T1, T3 */
	ck_assert_int_eq(test_request_decode(b, sizeof(b), &out),
	                 TEST_ERR_TIMESTAMP);
	ck_assert_int_eq(
	    test_reply_decode(b, sizeof(b), (struct wall){0}, &reply),
	    TEST_ERR_TIMESTAMP);
	ck_assert_uint_eq(out.seq, 9); /* nothing written on failure */
	ck_assert_uint_eq(reply.seq, 9);
	ck_assert_str_eq(test_err_str(TEST_ERR_SHORT), "short");
	ck_assert_str_eq(test_err_str(TEST_ERR_N), "?");
}
END_TEST

/* A PTP peer in TAI and one that fills in UTC read alike. */
START_TEST(ptp_reply)
{
	const struct wall t2 = in_time(IN "t2_unix_ns"),
	                  t3 = in_time(IN "t3_unix_ns");
	struct test_request r = in_request(0);
	struct test_reflection refl = in_reflection();
	struct test_reply reply;
	uint8_t req[STAMP_BASE];
	static struct bytes out;

	ck_assert(test_request_encode(&r, true, false, req, sizeof(req)));
	refl.error_estimate = errest_encode_ns(1000, true, true);
	for (int offset = 0; offset <= 37; offset += 37) {
		refl.t2 = ptp64_from_wall(t2, offset);
		refl.t3 = ptp64_from_wall(t3, offset);
		reflect(req, sizeof(req), &refl, &out);
		ck_assert_int_eq(test_reply_decode(out.b, out.n,
		                                   in_time(IN "t4_unix_ns"),
		                                   &reply),
		                 TEST_OK);
		ck_assert_int_eq(reply.t2.ns, t2.ns);
		ck_assert_int_eq(reply.t3.ns, t3.ns);
	}
}
END_TEST

/* Reflects base + tlvs and compares the reply's TLVs. */
static void
tlvs_become(const char *tlvs, const char *want, const struct recv_bitmap *bm)
{
	static struct bytes t, w, got;
	struct test_request r = in_request(0x1234);
	struct test_reflection refl = in_reflection();
	uint8_t req[512];

	refl.bitmap = bm;
	unhex(tlvs, &t);
	unhex(want, &w);
	ck_assert_uint_eq(t.n, w.n);
	ck_assert(test_request_encode(&r, true, false, req, STAMP_BASE));
	memcpy(req + STAMP_BASE, t.b, t.n);
	reflect(req, STAMP_BASE + t.n, &refl, &got);
	ck_assert_mem_eq(got.b + STAMP_BASE, w.b, w.n);
}

START_TEST(tlv_rules)
{
	const char *unknown =
	    json_string_value(at("stamp.tlv.unknown_type_200_request"));
	const char *unknown_reply =
	    json_string_value(at("stamp.tlv.unknown_type_200_reply"));
	const struct recv_bitmap bm = {0x1122334455667788U, true, 0x99aabbcc,
	                               0x8000000000000001U, 2,    5};

	/* unknown: copied with U, whatever the sender set */
	tlvs_become(unknown, unknown_reply, NULL);
	tlvs_become("00c8000461626364", unknown_reply, NULL);
	tlvs_become("ffc8000461626364", unknown_reply, NULL);
	/* extra padding is understood: U=0, value copied */
	tlvs_become(json_string_value(at("stamp.tlv.extra_padding_8")),
	            "000100080000000000000000", NULL);
	tlvs_become("8001000301020380c80000", "0001000301020380c80000", NULL);
	/* runs past the packet: M, the rest unchanged */
	tlvs_become("80c8000561626364", "c0c8000561626364", NULL);
	tlvs_become("80010009616263648001", "40010009616263648001", NULL);
	tlvs_become("80c8ffff", "c0c8ffff", NULL);
	/* padding and odd ends are no TLVs */
	tlvs_become("0000000000000000ff", "0000000000000000ff", NULL);
	tlvs_become("800000040102030480c80000", "800000040102030480c80000",
	            NULL);
	tlvs_become("80c8000080c8ff", "80c8000080c8ff", NULL);
	/* our own: filled in, or left unrecognised */
	tlvs_become("80f0002474776d31"
	            "0000000000000000000000000000000000000000000000000000"
	            "000000000000",
	            "00f0002474776d311122334455667788"
	            "0100000099aabbcc800000000000000100000002"
	            "00000005",
	            &bm);
	tlvs_become("80f0002474776d31"
	            "0000000000000000000000000000000000000000000000000000"
	            "000000000000",
	            "80f0002474776d31"
	            "0000000000000000000000000000000000000000000000000000"
	            "000000000000",
	            NULL);
	/* another's experiment with the same type */
	tlvs_become("80f0000474776d31", "80f0000474776d31", &bm);
	tlvs_become("00f0002474776d32"
	            "0000000000000000000000000000000000000000000000000000"
	            "000000000000",
	            "80f0002474776d32"
	            "0000000000000000000000000000000000000000000000000000"
	            "000000000000",
	            &bm);
}
END_TEST

/* What a sender makes of the TLVs of a reply. */
START_TEST(bitmap_round_trip)
{
	const struct recv_bitmap bm = {0x1122334455667788U, true, 41,
	                               0xdeadbeef00000001U, 7,    9};
	struct test_request r = in_request(0x4711);
	struct test_reflection refl = in_reflection();
	struct test_reply reply;
	uint8_t req[128];
	static struct bytes out;

	refl.bitmap = &bm;
	ck_assert(test_request_encode(&r, true, true, req, sizeof(req)));
	reflect(req, sizeof(req), &refl, &out);
	ck_assert_int_eq(
	    test_reply_decode(out.b, out.n, in_time(IN "t4_unix_ns"), &reply),
	    TEST_OK);
	ck_assert(reply.has_bitmap);
	ck_assert_uint_eq(reply.bitmap.instance_id, bm.instance_id);
	ck_assert(reply.bitmap.stateful);
	ck_assert_uint_eq(reply.bitmap.highest, bm.highest);
	ck_assert_uint_eq(reply.bitmap.bitmap, bm.bitmap);
	ck_assert_uint_eq(reply.bitmap.duplicates, bm.duplicates);
	ck_assert_uint_eq(reply.bitmap.received, bm.received);
	/* our TLV came back unrecognised (a foreign reflector) */
	out.b[STAMP_BASE] = TLV_FLAG_U;
	ck_assert_int_eq(
	    test_reply_decode(out.b, out.n, (struct wall){0}, &reply), TEST_OK);
	ck_assert(!reply.has_bitmap);
	out.b[STAMP_BASE] = TLV_FLAG_M;
	ck_assert_int_eq(
	    test_reply_decode(out.b, out.n, (struct wall){0}, &reply), TEST_OK);
	ck_assert(!reply.has_bitmap);
	/* I on any TLV discards all */
	out.b[STAMP_BASE] = 0;
	out.b[STAMP_BASE + TLV_HEADER + TLV_RECV_BITMAP_LEN] = TLV_FLAG_I;
	ck_assert_int_eq(
	    test_reply_decode(out.b, out.n, (struct wall){0}, &reply), TEST_OK);
	ck_assert(!reply.has_bitmap);
}
END_TEST

START_TEST(encode_sizes)
{
	const struct test_request r = {1, 2, 0x8001, 0x4711};
	static uint8_t b[TEST_BUF_MAX];

	ck_assert(!test_request_encode(&r, true, false, b, 13));
	ck_assert(!test_request_encode(&r, true, true, b, 83));
	ck_assert(!test_request_encode(&r, false, true, b, 128));
	for (size_t n = TWAMP_SENDER_BASE; n <= TEST_PAYLOAD_MAX; n++) {
		const bool bitmap = n >= 84;
		struct rcursor c;
		struct tlv t;
		struct test_request back;
		bool malformed = true;
		size_t seen = 0;

		memset(b, 0xee, sizeof(b));
		ck_assert(test_request_encode(&r, true, bitmap, b, n));
		ck_assert_uint_eq(b[n], 0xee);
		ck_assert_int_eq(test_request_decode(b, n, &back), TEST_OK);
		ck_assert_uint_eq(back.ssid, n >= STAMP_BASE ? 0x4711 : 0);
		if (n < STAMP_BASE)
			continue;
		c = rcursor_init(b + STAMP_BASE, n - STAMP_BASE);
		while (tlv_next(&c, &t, &malformed)) {
			ck_assert_uint_eq(t.flags, TLV_FLAG_U);
			seen += (size_t)TLV_HEADER + t.len;
		}
		ck_assert(!malformed);
		ck_assert_uint_lt(n - STAMP_BASE - seen, TLV_HEADER);
	}
	/* restamping touches 14 octets */
	memset(b, 0xee, 64);
	test_request_restamp(&r, b);
	ck_assert_uint_eq(b[14], 0xee);
	ck_assert_uint_eq(b[3], 1);
}
END_TEST

START_TEST(set_t3)
{
	struct test_reflection refl = in_reflection();
	static struct bytes a, b;
	uint8_t req[STAMP_BASE];
	struct test_request r = in_request(0);

	ck_assert(test_request_encode(&r, true, false, req, sizeof(req)));
	reflect(req, sizeof(req), &refl, &a);
	refl.t3 = 0;
	reflect(req, sizeof(req), &refl, &b);
	test_reply_set_t3(b.b, in_reflection().t3);
	ck_assert_mem_eq(a.b, b.b, a.n);
}
END_TEST

/* Behind the base nothing differs from the request but flags of TLVs. */
static void
only_flags_differ(const uint8_t *req, const uint8_t *reply, size_t len)
{
	struct rcursor c = rcursor_init(req + STAMP_BASE, len - STAMP_BASE);
	struct tlv t;
	bool malformed = false;
	size_t flags = STAMP_BASE;

	while (tlv_next(&c, &t, &malformed)) {
		const size_t next = len - c.left;

		ck_assert_uint_eq(reply[flags],
		                  t.type == TLV_EXTRA_PADDING ? 0 : TLV_FLAG_U);
		ck_assert_mem_eq(reply + flags + 1, req + flags + 1,
		                 next - flags - 1);
		flags = next;
	}
	if (malformed) {
		ck_assert(reply[flags] & TLV_FLAG_M);
		flags++;
	}
	ck_assert_mem_eq(reply + flags, req + flags, len - flags);
}

/* For any octets: every octet is written, and written the same whatever was in
 * the buffer; the base echoes the request; what follows is only copied, save
 * the flags of TLVs (and our own TLV's value). */
START_TEST(property_reflect)
{
	static struct bytes one, two;
	static uint8_t req[600], dirty[600];
	struct rng g;

	rng_seed(&g, seed);
	for (int i = 0; i < 30000; i++) {
		const size_t len = TWAMP_REFLECTOR_BASE + rng_u64(&g) % 400;
		struct test_reflection r = in_reflection();
		const struct recv_bitmap bm = {rng_u64(&g), true, 1, 2, 3, 4};
		bool stamp = rng_u64(&g) & 1;

		for (size_t k = 0; k < len; k++)
			req[k] = (uint8_t)rng_u64(&g);
		for (size_t k = STAMP_BASE; k + 4 < len;
		     k += TLV_HEADER + req[k + 3]) {
			req[k + 2] = 0; /* TLVs, mostly well-formed */
			req[k + 3] &= i & 1 ? 15 : 255;
		}
		if (stamp && len >= STAMP_BASE)
			memset(req + 16, 0, 28);
		stamp = stamp && len >= STAMP_BASE;
		if (rng_u64(&g) & 1)
			r.bitmap = &bm;
		reflect(req, len, &r, &one);
		memset(dirty, 0xa5, sizeof(dirty));
		memcpy(two.b, dirty, sizeof(dirty));
		test_reflect(req, len, &r, two.b);
		ck_assert_mem_eq(one.b, two.b, len);
		ck_assert_mem_eq(two.b + len, dirty + len, sizeof(dirty) - len);
		ck_assert_mem_eq(one.b + 24, req, 14);
		if (!stamp) {
			ck_assert_mem_eq(one.b + 41, req + 14, len - 41);
			ck_assert_uint_eq(one.b[14] | one.b[15], 0);
		} else {
			ck_assert_mem_eq(one.b + 14, req + 14, 2);
			ck_assert_uint_eq(one.b[41] | one.b[42] | one.b[43], 0);
			only_flags_differ(req, one.b, len);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("testpkt");
	TCase *t = tcase_create("testpkt");
	SRunner *sr;
	int failed;

	tcase_add_unchecked_fixture(t, setup, teardown);
	tcase_add_test(t, vectors_stamp);
	tcase_add_test(t, vectors_twamp);
	tcase_add_test(t, vectors_reply_decode);
	tcase_add_test(t, decode_errors);
	tcase_add_test(t, ptp_reply);
	tcase_add_test(t, tlv_rules);
	tcase_add_test(t, bitmap_round_trip);
	tcase_add_test(t, encode_sizes);
	tcase_add_test(t, set_t3);
	tcase_add_test(t, property_reflect);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
