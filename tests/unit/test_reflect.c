/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reflector/reflect: what is answered and how, and what is not and why.
 */
#include "reflector/reflect.h"

#include "lib/twamp/ntp64.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define NOW_NS INT64_C(1790000002128456789)

static const struct reflect_conf defaults = {.port = 8862,
                                             .stateful = true,
                                             .rate_limit_pps = 1000,
                                             .session_max = 100,
                                             .session_idle_ns = 900 * NS_PER_S};

static uint8_t data[TEST_BUF_MAX + 1], reply[TEST_BUF_MAX + 1];

static struct addr
ip(const char *text, uint16_t port)
{
	struct addr a;

	ck_assert(addr_parse_ip(text, port, &a));
	return a;
}

static struct reflected how; /* of the last reply */

/* A good request of `size` octets from 192.0.2.7:5000 that asks for `want`. */
static struct udp_packet
packet_with(unsigned want, uint32_t seq, size_t size)
{
	const struct test_request r = {seq, 0x1122334455667788U, 0x8d96, 0x4711,
	                               46};
	struct udp_packet p = {.src = ip("192.0.2.7", 5000),
	                       .local = ip("192.0.2.1", 0),
	                       .ttl = 62,
	                       .wall = {NOW_NS},
	                       .mono = {1000 * NS_PER_S},
	                       .stamp = STAMP_KERNEL,
	                       .len = size,
	                       .data = data};

	ck_assert(test_request_encode(
	    &r, test_request_fit(want | TEST_WANT_TLVS, size), data, size));
	return p;
}

static struct udp_packet
packet(uint32_t seq, size_t size)
{
	return packet_with(TEST_WANT_BITMAP, seq, size);
}

static struct test_reply
answered(struct reflect *r, const struct udp_packet *p)
{
	struct test_reply out;

	memset(reply, 0xee, sizeof(reply));
	ck_assert_int_eq(reflect_packet(r, p, reply, &how), DROP_NONE);
	ck_assert_uint_eq(reply[p->len], 0xee);
	ck_assert_int_eq(
	    test_reply_decode(reply, p->len, (struct wall){NOW_NS}, &out),
	    TEST_OK);
	return out;
}

START_TEST(stateful)
{
	struct reflect r;
	struct udp_packet p;
	struct test_reply out;

	ck_assert(reflect_init(&r, &defaults));
	r.error_estimate = 0x9020;
	for (uint32_t seq = 10; seq < 13; seq++) {
		p = packet(seq, 128);
		out = answered(&r, &p);
		ck_assert_uint_eq(out.seq, seq - 10);
		ck_assert_uint_eq(out.sender_seq, seq);
		ck_assert_uint_eq(out.ssid, 0x4711);
		ck_assert_uint_eq(out.t1, 0x1122334455667788U);
		ck_assert_int_eq(out.t2.ns, NOW_NS);
		ck_assert_int_eq(out.sender_ttl, 62);
		ck_assert(out.synchronised);
	}
	p = packet(12, 128);
	out = answered(&r, &p);
	ck_assert_uint_eq(out.seq, 3); /* a duplicate is answered too */
	ck_assert(out.has_bitmap && out.bitmap.stateful);
	ck_assert_uint_eq(out.bitmap.instance_id, r.instance_id);
	ck_assert_uint_eq(out.bitmap.highest, 12);
	ck_assert_uint_eq(out.bitmap.bitmap, 7);
	ck_assert_uint_eq(out.bitmap.duplicates, 1);
	ck_assert_uint_eq(out.bitmap.received, 4);
	addr_set_port(&p.src, 5001); /* another session */
	ck_assert_uint_eq(answered(&r, &p).seq, 0);
	p.ttl = -1;
	ck_assert_int_eq(answered(&r, &p).sender_ttl, 255);
	ck_assert_uint_eq(r.counters.count[COUNT_OPENED], 2);
	ck_assert_uint_eq(r.counters.count[COUNT_DUPLICATES], 2);
	ck_assert_uint_eq(r.counters.count[COUNT_RECEIVED], 6);
	ck_assert_uint_eq(counters_dropped(&r.counters), 0);
	reflect_release(&r);
}
END_TEST

START_TEST(stateless)
{
	struct reflect_conf c = defaults;
	struct reflect r;
	struct udp_packet p = packet(77, 128);
	struct test_reply out;

	c.stateful = false;
	ck_assert(reflect_init(&r, &c));
	out = answered(&r, &p);
	ck_assert_uint_eq(out.seq, 77);
	ck_assert(out.has_bitmap && !out.bitmap.stateful);
	ck_assert_uint_eq(out.bitmap.highest, 77);
	ck_assert_uint_eq(r.counters.count[COUNT_STATELESS], 1);
	ck_assert_uint_eq(r.counters.count[COUNT_TABLE_FULL], 0);
	reflect_release(&r);
}
END_TEST

START_TEST(table_full)
{
	struct reflect_conf c = defaults;
	struct reflect r;
	struct udp_packet p = packet(5, 128);
	const struct addr member = ip("192.0.2.99", 0);

	c.session_max = 2;
	ck_assert(reflect_init(&r, &c));
	for (uint16_t port = 5000; port < 5003; port++) {
		addr_set_port(&p.src, port);
		ck_assert_uint_eq(answered(&r, &p).seq, port < 5002 ? 0 : 5);
	}
	ck_assert_uint_eq(r.counters.count[COUNT_TABLE_FULL], 1);
	ck_assert_uint_eq(r.counters.count[COUNT_STATELESS], 1);
	ck_assert(rsession_set_members(r.sessions, &member, 1));
	p.src = ip("192.0.2.99", 5000);
	ck_assert(answered(&r, &p).bitmap.stateful);
	ck_assert_uint_eq(r.counters.count[COUNT_EVICTED], 1);
	reflect_release(&r);
}
END_TEST

static void
dropped(struct reflect *r, const struct udp_packet *p, enum drop why)
{
	const uint64_t before = r->counters.drop[why];

	ck_assert_str_eq(drop_str(reflect_packet(r, p, reply, &how)),
	                 drop_str(why));
	ck_assert_uint_eq(r->counters.drop[why], before + 1);
}

START_TEST(drops)
{
	struct reflect r;
	struct udp_packet p;
	static const char *const nobody[] = {
	    "0.0.0.0", "224.0.0.1", "255.255.255.255", "ff02::1", "::"};

	ck_assert(reflect_init(&r, &defaults));
	for (size_t n = TWAMP_SENDER_BASE; n < STAMP_BASE; n++) {
		p = packet(1, n);
		dropped(&r, &p, DROP_SHORT);
	}
	p = packet(1, 44);
	p.len = 0;
	dropped(&r, &p, DROP_SHORT);
	p = packet(1, 44);
	p.truncated = true;
	dropped(&r, &p, DROP_LONG);
	p = packet(1, TEST_BUF_MAX);
	ck_assert_int_eq(reflect_packet(&r, &p, reply, &how), DROP_NONE);
	ck_assert_uint_eq(rsession_expire(r.sessions, (struct mono){INT64_MAX}),
	                  1);
	p.len++;
	dropped(&r, &p, DROP_LONG);
	p = packet(1, 44);
	p.group = true;
	dropped(&r, &p, DROP_GROUP);
	p = packet(1, 44);
	p.local = ip("ff02::1", 0);
	dropped(&r, &p, DROP_GROUP);
	for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		p = packet(1, 44);
		p.src = ip(nobody[i], 5000);
		dropped(&r, &p, DROP_SOURCE);
	}
	p = packet(1, 44);
	addr_set_port(&p.src, 0);
	dropped(&r, &p, DROP_SOURCE);
	addr_set_port(&p.src, 862);
	dropped(&r, &p, DROP_LOOP);
	addr_set_port(&p.src, 8862);
	dropped(&r, &p, DROP_LOOP);
	p = packet(1, 44);
	p.data[13] = 0;
	dropped(&r, &p, DROP_MULTIPLIER);
	p = packet(1, 44);
	p.data[12] = 0xc0;
	memset(p.data + 8, 0xff, 4);
	dropped(&r, &p, DROP_TIMESTAMP);
	/* nothing of all this was remembered */
	ck_assert_uint_eq(rsession_count(r.sessions), 0);
	ck_assert_uint_eq(r.counters.count[COUNT_RECEIVED],
	                  1 + counters_dropped(&r.counters));
	reflect_release(&r);
}
END_TEST

START_TEST(rate)
{
	struct reflect r;
	struct udp_packet p = packet(1, 44);
	int ok = 0;

	ck_assert(reflect_init(&r, &defaults));
	for (int i = 0; i < 1000; i++)
		ok += reflect_packet(&r, &p, reply, &how) == DROP_NONE;
	ck_assert_int_eq(ok, 201);
	ck_assert_uint_eq(r.counters.drop[DROP_RATE], 799);
	p.src = ip("192.0.2.8", 5000);
	ck_assert_int_eq(reflect_packet(&r, &p, reply, &how), DROP_NONE);
	reflect_release(&r);
}
END_TEST

START_TEST(short_when_switched_on)
{
	struct reflect_conf c = defaults;
	struct reflect r;
	struct udp_packet p;

	c.answer_short = true;
	ck_assert(reflect_init(&r, &c));
	for (size_t n = 41; n < 44; n++) {
		p = packet(1, n);
		ck_assert_int_eq(answered(&r, &p).sender_ttl, 62);
	}
	p = packet(1, 40);
	dropped(&r, &p, DROP_SHORT);
	p = packet(1, 14); /* TWAMP Light's least: would be an amplifier */
	dropped(&r, &p, DROP_SHORT);
	reflect_release(&r);
}
END_TEST

/* RFC 8972 4.4 */
START_TEST(replies_have_the_dscp_that_is_asked_for)
{
	struct reflect_conf c = defaults;
	struct reflect r;
	struct udp_packet p = packet_with(TEST_WANT_COS, 1, 128);
	struct test_reply out;

	c.honour_dscp = true;
	ck_assert(reflect_init(&r, &c));
	p.tos = 10 << 2 | 2;
	out = answered(&r, &p);
	ck_assert(out.has_cos);
	ck_assert_int_eq(out.cos_dscp1, 46);
	ck_assert_int_eq(out.fwd_dscp, 10);
	ck_assert_int_eq(out.fwd_ecn, 2);
	ck_assert_int_eq(out.cos_rp, 0);
	ck_assert_int_eq(how.tos, 46 << 2);
	r.conf.honour_dscp = false;
	out = answered(&r, &p);
	ck_assert_int_eq(out.cos_rp, 1);
	ck_assert_int_eq(out.fwd_dscp, 10);
	ck_assert_int_eq(how.tos, 10 << 2);
	/* nothing asked for: the DSCP received, without ECN */
	p = packet(1, 128);
	p.tos = 10 << 2 | 3;
	ck_assert(!answered(&r, &p).has_cos);
	ck_assert_int_eq(how.tos, 10 << 2);
	p.tos = -1;
	(void)answered(&r, &p);
	ck_assert_int_eq(how.tos, 0);
	reflect_release(&r);
}
END_TEST

/* A reply with its follow-up, as the sender reads it. */
static struct test_reply
followed(struct reflect *r, const struct udp_packet *p)
{
	struct test_reply out = answered(r, p);

	ck_assert(out.has_follow_up && !out.follow_up);
	ck_assert_uint_ne(how.follow_up_at, 0);
	ck_assert_uint_eq(how.seq, out.seq);
	reflect_follow_up(r, &how, reply);
	ck_assert_int_eq(
	    test_reply_decode(reply, p->len, (struct wall){NOW_NS}, &out),
	    TEST_OK);
	return out;
}

/* RFC 8972 4.7: of the previous reply, and of no other. */
START_TEST(a_reply_tells_when_the_one_before_it_left)
{
	struct reflect r;
	struct udp_packet p = packet_with(TEST_WANT_FOLLOW_UP, 9, 128);
	struct udp_packet other = p;
	struct rsession_ref session;
	struct test_reply out;

	addr_set_port(&other.src, 5001);
	ck_assert(reflect_init(&r, &defaults));
	out = followed(&r, &p);
	ck_assert(!out.follow_up);
	ck_assert_uint_eq(out.follow_up_seq, 0);
	session = how.session;
	reflect_stamped(&r, session, 0, (struct wall){NOW_NS + 777});
	ck_assert(!followed(&r, &other).follow_up); /* another session's */
	out = followed(&r, &p);
	ck_assert(out.follow_up);
	ck_assert_uint_eq(out.follow_up_seq, 0);
	ck_assert_int_eq(out.follow_up_t3.ns, NOW_NS + 777);
	/* the stamp of reply 1 did not come back: that of reply 0 is not told
	 * again, and the sender learns that 1 stays without */
	out = followed(&r, &p);
	ck_assert_uint_eq(out.seq, 2);
	ck_assert(out.has_follow_up && !out.follow_up);
	ck_assert_uint_eq(out.follow_up_seq, 1);
	/* it comes too late to be told */
	reflect_stamped(&r, session, 1, (struct wall){NOW_NS + 888});
	ck_assert(!followed(&r, &p).follow_up);
	ck_assert_uint_eq(r.counters.count[COUNT_FOLLOW_UPS], 1);
	ck_assert_uint_eq(r.counters.count[COUNT_TX_STAMPS], 2);
	reflect_release(&r);
}
END_TEST

START_TEST(a_stamp_is_not_told_to_the_next_tenant_of_a_slot)
{
	struct reflect r;
	struct udp_packet p = packet_with(TEST_WANT_FOLLOW_UP, 9, 128);
	struct rsession_ref gone;

	ck_assert(reflect_init(&r, &defaults));
	(void)followed(&r, &p);
	gone = how.session;
	ck_assert_uint_eq(rsession_expire(r.sessions, (struct mono){INT64_MAX}),
	                  1);
	reflect_follow_up(&r, &how, reply); /* the session is gone: zeros */
	addr_set_port(&p.src, 5001);
	(void)followed(&r, &p);
	ck_assert_uint_eq(how.session.slot, gone.slot);
	reflect_stamped(&r, gone, 0, (struct wall){NOW_NS + 777});
	ck_assert(!followed(&r, &p).follow_up);
	reflect_release(&r);
}
END_TEST

START_TEST(stateless_replies_follow_nothing_up)
{
	struct reflect_conf c = defaults;
	struct reflect r;
	const struct udp_packet p = packet_with(TEST_WANT_FOLLOW_UP, 9, 128);
	struct test_reply out;

	c.stateful = false;
	ck_assert(reflect_init(&r, &c));
	out = answered(&r, &p);
	ck_assert(out.has_follow_up && !out.follow_up);
	ck_assert_uint_eq(how.follow_up_at, 0);
	reflect_release(&r);
}
END_TEST

START_TEST(says_whose_stamp_t2_is)
{
	struct reflect r;
	struct udp_packet p = packet(9, 128);

	ck_assert(reflect_init(&r, &defaults));
	ck_assert(answered(&r, &p).bitmap.t2_is_kernel);
	p.stamp = STAMP_USER;
	ck_assert(!answered(&r, &p).bitmap.t2_is_kernel);
	reflect_release(&r);
}
END_TEST

START_TEST(allow_list)
{
	static const struct {
		const char *range, *in, *out;
	} cases[] = {{"192.0.2.0/25", "192.0.2.127", "192.0.2.128"},
	             {"192.0.2.7", "192.0.2.7", "192.0.2.6"},
	             {"0.0.0.0/0", "255.1.2.3", "::1"},
	             {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"},
	             {"::/0", "2001:db8::1", "192.0.2.1"},
	             {"10.0.0.0/31", "10.0.0.1", "10.0.0.2"}};
	static const char *const bad[] = {
	    "192.0.2.1/24", "192.0.2.0/33",   "192.0.2.0/", "/8",         "",
	    "192.0.2.0/-1", "2001:db8::/129", "x",          "10.0.0.0/8 "};
	struct cidr c = {.bits = 77};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reflect_conf conf = defaults;
		struct reflect r;
		struct udp_packet p = packet(1, 44);

		ck_assert_msg(cidr_parse(cases[i].range, &c), "%s",
		              cases[i].range);
		conf.allow = &c;
		conf.allow_n = 1;
		ck_assert(reflect_init(&r, &conf));
		p.src = ip(cases[i].in, 5000);
		ck_assert_int_eq(reflect_packet(&r, &p, reply, &how),
		                 DROP_NONE);
		p.src = ip(cases[i].out, 5000);
		dropped(&r, &p, DROP_DENIED);
		reflect_release(&r);
	}
	c.bits = 77;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!cidr_parse(bad[i], &c), "%s", bad[i]);
	ck_assert_uint_eq(c.bits, 77);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("reflect");
	TCase *t = tcase_create("reflect");
	SRunner *sr;
	int failed;

	tcase_add_test(t, stateful);
	tcase_add_test(t, stateless);
	tcase_add_test(t, table_full);
	tcase_add_test(t, drops);
	tcase_add_test(t, rate);
	tcase_add_test(t, short_when_switched_on);
	tcase_add_test(t, replies_have_the_dscp_that_is_asked_for);
	tcase_add_test(t, a_reply_tells_when_the_one_before_it_left);
	tcase_add_test(t, a_stamp_is_not_told_to_the_next_tenant_of_a_slot);
	tcase_add_test(t, stateless_replies_follow_nothing_up);
	tcase_add_test(t, says_whose_stamp_t2_is);
	tcase_add_test(t, allow_list);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
