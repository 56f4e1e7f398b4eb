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
	    in_hex16(IN "sender_error_estimate"), ssid, 0};
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
static struct test_reflected
reflect(const uint8_t *req, size_t len, const struct test_reflection *r,
        struct bytes *out)
{
	uint8_t *copy = malloc(len), *tight = malloc(len);
	struct test_reflected done;

	ck_assert(copy && tight);
	memcpy(copy, req, len);
	memset(tight, 0x5a, len);
	done = test_reflect(copy, len, r, tight);
	out->n = len;
	memcpy(out->b, tight, len);
	free(copy);
	free(tight);
	return done;
}

static void
reflects_as(const char *request, const char *reply,
            const struct test_reflection *r)
{
	static struct bytes req, want, got;

	vector(request, &req);
	vector(reply, &want);
	(void)reflect(req.b, req.n, r, &got);
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
	ck_assert(test_request_encode(&r, TEST_WANT_TLVS, got, sizeof(got)));
	ck_assert_mem_eq(got, want.b, want.n);
	ck_assert_int_eq(test_request_decode(want.b, want.n, &back), TEST_OK);
	ck_assert_uint_eq(back.seq, r.seq);
	ck_assert_uint_eq(back.t1, r.t1);
	ck_assert_uint_eq(back.error_estimate, r.error_estimate);
	ck_assert_uint_eq(back.ssid, 0x1234);

	r.ssid = 0;
	vector("stamp.unauth_sender_no_ssid_hex", &want);
	ck_assert(test_request_encode(&r, TEST_WANT_TLVS, got, sizeof(got)));
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
	struct test_request r = {1, 2, 0x8001, 3, 0}, out = {9, 9, 9, 9, 0};
	struct test_reply reply = {.seq = 9};

	ck_assert(test_request_encode(&r, TEST_WANT_TLVS, b, sizeof(b)));
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

	ck_assert(test_request_encode(&r, TEST_WANT_TLVS, req, sizeof(req)));
	refl.error_estimate = errest_encode_ns(1000, true, true);
	for (int offset = 0; offset <= 37; offset += 37) {
		refl.t2 = ptp64_from_wall(t2, offset);
		refl.t3 = ptp64_from_wall(t3, offset);
		(void)reflect(req, sizeof(req), &refl, &out);
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
static struct test_reflected
tlvs_reflect_as(const char *tlvs, const char *want,
                const struct test_reflection *refl)
{
	static struct bytes t, w, got;
	struct test_request r = in_request(0x1234);
	struct test_reflected done;
	uint8_t req[512];

	unhex(tlvs, &t);
	unhex(want, &w);
	ck_assert_uint_eq(t.n, w.n);
	ck_assert(test_request_encode(&r, TEST_WANT_TLVS, req, STAMP_BASE));
	memcpy(req + STAMP_BASE, t.b, t.n);
	done = reflect(req, STAMP_BASE + t.n, refl, &got);
	ck_assert_mem_eq(got.b + STAMP_BASE, w.b, w.n);
	return done;
}

static void
tlvs_become(const char *tlvs, const char *want, const struct recv_bitmap *bm)
{
	struct test_reflection refl = in_reflection();
	struct test_reflected done;

	refl.bitmap = bm;
	done = tlvs_reflect_as(tlvs, want, &refl);
	ck_assert_int_eq(done.dscp, -1);
	ck_assert_uint_eq(done.follow_up_at, 0);
}

START_TEST(tlv_rules)
{
	const char *unknown =
	    json_string_value(at("stamp.tlv.unknown_type_200_request"));
	const char *unknown_reply =
	    json_string_value(at("stamp.tlv.unknown_type_200_reply"));
	const struct recv_bitmap bm = {0x1122334455667788U,
	                               true,
	                               0x99aabbcc,
	                               0x8000000000000001U,
	                               2,
	                               5,
	                               false};

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

static const char *
tlv_vector(const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "stamp.tlv.%s", name);
	return json_string_value(at(path));
}

/* RFC 8972 4.4: DSCP2 and ECN are those of the request's IP header. */
START_TEST(vectors_class_of_service)
{
	const char *request = tlv_vector("cos_request_ef");
	struct test_reflection r = in_reflection();

	r.honour_dscp = true;
	r.tos = 0x02; /* best effort, ECT(0) */
	ck_assert_int_eq(
	    tlvs_reflect_as(request, tlv_vector("cos_reply_ef_rx_be_ect0"), &r)
	        .dscp,
	    46);
	r.honour_dscp = false;
	r.tos = 10 << 2 | 1;
	ck_assert_int_eq(
	    tlvs_reflect_as(request, tlv_vector("cos_reply_denied"), &r).dscp,
	    10);
	r.tos = -1; /* not known: best effort */
	ck_assert_int_eq(tlvs_reflect_as(request, "00040004b8010000", &r).dscp,
	                 0);
	/* the first one decides about the reply */
	r.honour_dscp = true;
	ck_assert_int_eq(tlvs_reflect_as("800400042800000080040004b8000000",
	                                 "000400042800000000040004b8000000", &r)
	                     .dscp,
	                 10);
	/* of a wrong length: M, and what follows is left alone */
	ck_assert_int_eq(tlvs_reflect_as("80040003b8000080040004b8000000",
	                                 "40040003b8000080040004b8000000", &r)
	                     .dscp,
	                 -1);
	ck_assert_int_eq(tlvs_reflect_as("80040005b8", "40040005b8", &r).dscp,
	                 -1);
}
END_TEST

START_TEST(vectors_follow_up)
{
	const char *request = tlv_vector("follow_up_request");
	const struct test_reflection r = in_reflection();
	static struct bytes want, got;
	struct test_reflected done;

	done = tlvs_reflect_as(request,
	                       "0007001000000000000000000000000000000000", &r);
	ck_assert_uint_eq(done.follow_up_at, STAMP_BASE + TLV_HEADER);
	unhex(tlv_vector("follow_up_reply"), &want);
	memset(&got, 0, sizeof(got));
	memcpy(got.b, want.b, TLV_HEADER);
	memset(got.b + TLV_HEADER, 0xee, TLV_FOLLOW_UP_LEN + 1);
	test_reply_set_follow_up(got.b, TLV_HEADER, 2,
	                         UINT64_C(0xee5bba0120efa6bd));
	got.b[16] = 1; /* the vector's stamp is the hardware's */
	ck_assert_mem_eq(got.b, want.b, want.n);
	ck_assert_uint_eq(got.b[want.n], 0xee);
	/* of a wrong length: M, zeros, and what follows is left alone */
	done = tlvs_reflect_as("80070003ffffff8007001000",
	                       "400700030000008007001000", &r);
	ck_assert_uint_eq(done.follow_up_at, 0);
}
END_TEST

/* A reply with all TLVs, as a sender reads it; `flag` goes into the TLV of
 * that type. */
static struct test_reply
full_reply(uint8_t type, uint8_t flag, bool ptp)
{
	const struct recv_bitmap bm = {.stateful = true};
	const struct wall t3 = in_time(IN "t2_unix_ns"); /* of the one before */
	const unsigned want = TEST_WANT_BITMAP | TEST_WANT_COS |
	                      TEST_WANT_FOLLOW_UP | TEST_WANT_TLVS;
	struct test_request r = in_request(0x4711);
	struct test_reflection refl = in_reflection();
	struct test_reflected done;
	struct test_reply reply;
	static struct bytes out;
	uint8_t req[128];

	r.dscp = 46;
	refl.bitmap = &bm;
	refl.tos = 10 << 2 | 3;
	refl.honour_dscp = true;
	if (ptp) {
		refl.error_estimate = errest_encode_ns(1000, true, true);
		refl.t2 = ptp64_from_wall(t3, 37);
		refl.t3 = ptp64_from_wall(t3, 37);
	}
	ck_assert(test_request_encode(&r, want, req, sizeof(req)));
	done = reflect(req, sizeof(req), &refl, &out);
	ck_assert_uint_eq(done.follow_up_at, 96);
	test_reply_set_follow_up(out.b, done.follow_up_at, 0xfffffffe,
	                         ptp ? ptp64_from_wall(t3, 37)
	                             : ntp64_from_wall(t3));
	for (size_t k = STAMP_BASE; k < out.n; k += TLV_HEADER + out.b[k + 3]) {
		if (out.b[k + 1] == type)
			out.b[k] |= flag;
	}
	ck_assert_int_eq(
	    test_reply_decode(out.b, out.n, in_time(IN "t4_unix_ns"), &reply),
	    TEST_OK);
	return reply;
}

START_TEST(replies_tell_class_and_follow_up)
{
	for (int ptp = 0; ptp < 2; ptp++) {
		const struct test_reply r = full_reply(0, 0, ptp);

		ck_assert(r.has_bitmap && r.has_cos && r.has_follow_up);
		ck_assert(!r.bitmap.t2_is_kernel);
		ck_assert_int_eq(r.cos_dscp1, 46);
		ck_assert_int_eq(r.fwd_dscp, 10);
		ck_assert_int_eq(r.fwd_ecn, 3);
		ck_assert_int_eq(r.cos_rp, 0);
		ck_assert(r.follow_up);
		ck_assert_uint_eq(r.follow_up_seq, 0xfffffffe);
		ck_assert_int_eq(r.follow_up_t3.ns,
		                 in_time(IN "t2_unix_ns").ns);
	}
}
END_TEST

START_TEST(what_a_peer_did_not_answer_is_no_fact)
{
	struct test_reply r = full_reply(TLV_COS, TLV_FLAG_U, false);

	ck_assert(r.has_bitmap && !r.has_cos && r.has_follow_up);
	r = full_reply(TLV_FOLLOW_UP, TLV_FLAG_U, false);
	ck_assert(r.has_bitmap && r.has_cos);
	ck_assert(!r.has_follow_up && !r.follow_up);
	r = full_reply(TLV_COS, TLV_FLAG_M, false); /* and what follows */
	ck_assert(r.has_bitmap && !r.has_cos && !r.has_follow_up);
	r = full_reply(TLV_EXTRA_PADDING, TLV_FLAG_I, false);
	ck_assert(!r.has_bitmap && !r.has_cos);
	ck_assert(!r.has_follow_up && !r.follow_up);
}
END_TEST

/* A reflector that has nothing to follow up says so by zeros. */
START_TEST(follow_up_without_stamp)
{
	struct test_request r = in_request(0x4711);
	struct test_reflection refl = in_reflection();
	struct test_reply reply;
	static struct bytes out;
	uint8_t req[64];

	ck_assert(
	    test_request_encode(&r, TEST_WANT_FOLLOW_UP, req, sizeof(req)));
	for (int i = 0; i < 2; i++) {
		const struct test_reflected done =
		    reflect(req, sizeof(req), &refl, &out);

		if (i)
			test_reply_set_follow_up(out.b, done.follow_up_at, 7,
			                         0);
		ck_assert_int_eq(test_reply_decode(out.b, out.n,
		                                   in_time(IN "t4_unix_ns"),
		                                   &reply),
		                 TEST_OK);
		ck_assert(reply.has_follow_up && !reply.follow_up);
		ck_assert_uint_eq(reply.follow_up_seq, i ? 7 : 0);
	}
}
END_TEST

/* What a sender makes of the TLVs of a reply. */
START_TEST(bitmap_round_trip)
{
	const struct recv_bitmap bm = {
	    0x1122334455667788U, true, 41, 0xdeadbeef00000001U, 7, 9, true};
	struct test_request r = in_request(0x4711);
	struct test_reflection refl = in_reflection();
	struct test_reply reply;
	uint8_t req[128];
	static struct bytes out;

	refl.bitmap = &bm;
	ck_assert(test_request_encode(&r, TEST_WANT_BITMAP | TEST_WANT_TLVS,
	                              req, sizeof(req)));
	(void)reflect(req, sizeof(req), &refl, &out);
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
	ck_assert(reply.bitmap.t2_is_kernel);
	ck_assert(!reply.has_cos && !reply.has_follow_up);
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
	const unsigned all = TEST_WANT_BITMAP | TEST_WANT_COS |
	                     TEST_WANT_FOLLOW_UP | TEST_WANT_TLVS;
	const struct test_request r = {1, 2, 0x8001, 0x4711, 46};
	static uint8_t b[TEST_BUF_MAX];

	ck_assert(!test_request_encode(&r, TEST_WANT_TLVS, b, 13));
	ck_assert(!test_request_encode(&r, TEST_WANT_BITMAP, b, 83));
	ck_assert(!test_request_encode(&r, TEST_WANT_COS, b, 51));
	ck_assert(!test_request_encode(&r, TEST_WANT_FOLLOW_UP, b, 63));
	ck_assert(!test_request_encode(&r, all, b, 111));
	ck_assert(!test_request_encode(&r, all | 1U << 31, b, 128));
	for (size_t n = TWAMP_SENDER_BASE; n <= TEST_PAYLOAD_MAX; n++) {
		const unsigned want = test_request_fit(all, n);
		struct rcursor c;
		struct tlv t;
		struct test_request back;
		bool malformed = true;
		size_t seen = 0;
		uint64_t types = 0;

		memset(b, 0xee, sizeof(b));
		ck_assert(test_request_encode(&r, want, b, n));
		ck_assert_uint_eq(b[n], 0xee);
		ck_assert_int_eq(test_request_decode(b, n, &back), TEST_OK);
		ck_assert_uint_eq(back.ssid, n >= STAMP_BASE ? 0x4711 : 0);
		if (n < STAMP_BASE)
			continue;
		c = rcursor_init(b + STAMP_BASE, n - STAMP_BASE);
		while (tlv_next(&c, &t, &malformed)) {
			ck_assert_uint_eq(t.flags, TLV_FLAG_U);
			types = types * 1000 + t.type;
			seen += (size_t)TLV_HEADER + t.len;
		}
		ck_assert(!malformed);
		ck_assert_uint_lt(n - STAMP_BASE - seen, TLV_HEADER);
		ck_assert_uint_eq(types, n >= 116   ? 240004007001
		                         : n >= 112 ? 240004007
		                         : n >= 96  ? 240004001
		                         : n >= 92  ? 240004
		                         : n >= 88  ? 240001
		                         : n >= 84  ? 240
		                         : n >= 48  ? 1
		                                    : 0);
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

	ck_assert(test_request_encode(&r, TEST_WANT_TLVS, req, sizeof(req)));
	(void)reflect(req, sizeof(req), &refl, &a);
	refl.t3 = 0;
	(void)reflect(req, sizeof(req), &refl, &b);
	test_reply_set_t3(b.b, in_reflection().t3);
	ck_assert_mem_eq(a.b, b.b, a.n);
}
END_TEST

/* What a reflector may do to a TLV's value, and the flags it sets. */
static uint8_t
value_reflected(const struct tlv *t, const uint8_t *value)
{
	static const uint8_t zero[TEST_BUF_MAX];

	switch (t->type) {
	case TLV_EXTRA_PADDING:
		break;
	case TLV_COS:
		if (t->len != TLV_COS_LEN)
			return TLV_FLAG_M;
		ck_assert_uint_eq(value[0] >> 2, t->value[0] >> 2); /* DSCP1 */
		ck_assert_mem_eq(value + 2, t->value + 2, 2);
		return 0;
	case TLV_FOLLOW_UP:
		ck_assert_mem_eq(value, zero, t->len);
		return t->len == TLV_FOLLOW_UP_LEN ? 0 : TLV_FLAG_M;
	default:
		ck_assert_mem_eq(value, t->value, t->len);
		return TLV_FLAG_U;
	}
	ck_assert_mem_eq(value, t->value, t->len);
	return 0;
}

/* Behind the base nothing differs from the request but flags of TLVs, and the
 * values of Class of Service and Follow-Up Telemetry; nothing at all behind
 * the first malformed one. */
static void
only_tlvs_differ(const uint8_t *req, const uint8_t *reply, size_t len)
{
	struct rcursor c = rcursor_init(req + STAMP_BASE, len - STAMP_BASE);
	struct tlv t;
	bool malformed = false;
	size_t at = STAMP_BASE;

	while (tlv_next(&c, &t, &malformed)) {
		const uint8_t flags =
		    value_reflected(&t, reply + at + TLV_HEADER);

		ck_assert_uint_eq(reply[at], flags);
		ck_assert_mem_eq(reply + at + 1, req + at + 1, 3);
		at = len - c.left;
		if (flags & TLV_FLAG_M)
			break;
	}
	if (malformed) {
		ck_assert(reply[at] & TLV_FLAG_M);
		at++;
	}
	ck_assert_mem_eq(reply + at, req + at, len - at);
}

/* For any octets: every octet is written, and written the same whatever was in
 * the buffer; the base echoes the request; what follows is only copied, save
 * what a reflector says in TLVs. */
START_TEST(property_reflect)
{
	static struct bytes one, two;
	static uint8_t req[600], dirty[600];
	struct rng g;

	rng_seed(&g, seed);
	for (int i = 0; i < 30000; i++) {
		const size_t len = TWAMP_REFLECTOR_BASE + rng_u64(&g) % 400;
		struct test_reflection r = in_reflection();
		const struct recv_bitmap bm = {rng_u64(&g), true, 1,    2,
		                               3,           4,    false};
		bool stamp = rng_u64(&g) & 1;

		for (size_t k = 0; k < len; k++)
			req[k] = (uint8_t)rng_u64(&g);
		for (size_t k = STAMP_BASE; k + 4 < len;
		     k += TLV_HEADER + req[k + 3]) {
			req[k + 2] = 0; /* TLVs, mostly well-formed */
			req[k + 3] &= i & 1 ? 15 : 255;
			if (req[k + 1] & 1) /* types 0..7, of any length */
				req[k + 1] &= 7;
		}
		if (stamp && len >= STAMP_BASE)
			memset(req + 16, 0, 28);
		stamp = stamp && len >= STAMP_BASE;
		if (rng_u64(&g) & 1)
			r.bitmap = &bm;
		(void)reflect(req, len, &r, &one);
		memset(dirty, 0xa5, sizeof(dirty));
		memcpy(two.b, dirty, sizeof(dirty));
		(void)test_reflect(req, len, &r, two.b);
		ck_assert_mem_eq(one.b, two.b, len);
		ck_assert_mem_eq(two.b + len, dirty + len, sizeof(dirty) - len);
		ck_assert_mem_eq(one.b + 24, req, 14);
		if (!stamp) {
			ck_assert_mem_eq(one.b + 41, req + 14, len - 41);
			ck_assert_uint_eq(one.b[14] | one.b[15], 0);
		} else {
			ck_assert_mem_eq(one.b + 14, req + 14, 2);
			ck_assert_uint_eq(one.b[41] | one.b[42] | one.b[43], 0);
			only_tlvs_differ(req, one.b, len);
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
	tcase_add_test(t, vectors_class_of_service);
	tcase_add_test(t, vectors_follow_up);
	tcase_add_test(t, replies_tell_class_and_follow_up);
	tcase_add_test(t, what_a_peer_did_not_answer_is_no_fact);
	tcase_add_test(t, follow_up_without_stamp);
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
