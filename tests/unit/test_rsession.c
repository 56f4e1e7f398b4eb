/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reflector/rsession: the receive record against a naive model, the bounded
 * table, who gives way to whom, and random operations, whose seed is printed.
 */
#include "reflector/rsession.h"

#include "lib/base/rng.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_NS (900 * NS_PER_S)

static uint64_t seed;

static void
setup(void)
{
	const char *env = getenv("TEST_SEED");

	seed = env ? strtoull(env, NULL, 0) : random_u64();
	printf("TEST_SEED=%" PRIu64 "\n", seed);
}

static struct addr
ip(const char *text, uint16_t port)
{
	struct addr a;

	ck_assert(addr_parse_ip(text, port, &a));
	return a;
}

/* 10.x.y.z from a number */
static struct addr
ip_n(uint32_t n, uint16_t port)
{
	const uint8_t b[4] = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8),
	                      (uint8_t)n};
	struct addr a;

	ck_assert(addr_from_bytes(b, 4, port, &a));
	return a;
}

static struct rsession *
get(struct rsession_table *t, struct addr src, uint16_t ssid, int64_t now_s,
    struct rsession_found *found)
{
	const struct addr local = ip("192.0.2.1", 0);
	struct rsession_found ignored;
	struct rsession_key k;

	rsession_key_set(&k, &src, &local, ssid);
	return rsession_get(t, &k, (struct mono){now_s * NS_PER_S},
	                    found ? found : &ignored);
}

START_TEST(key_tells_sessions_apart)
{
	struct rsession_table *t = rsession_table_new(100, IDLE_NS);
	struct rsession_found found;
	struct rsession_key k;
	struct addr src = ip("192.0.2.7", 5000), local = ip("192.0.2.1", 0);
	struct addr back_src, back_local;
	struct rsession *s;

	ck_assert_ptr_nonnull(get(t, src, 1, 0, &found));
	ck_assert(found.opened && !found.evicted);
	get(t, src, 1, 0, &found);
	ck_assert(!found.opened);
	get(t, src, 2, 0, &found);
	ck_assert(found.opened);
	addr_set_port(&src, 5001);
	get(t, src, 1, 0, &found);
	ck_assert(found.opened);
	get(t, ip("192.0.2.8", 5000), 1, 0, &found);
	ck_assert(found.opened);
	/* another address of ours */
	local = ip("192.0.2.2", 0);
	src = ip("192.0.2.7", 5000);
	rsession_key_set(&k, &src, &local, 1);
	s = rsession_get(t, &k, (struct mono){0}, &found);
	ck_assert(found.opened);
	rsession_key_addrs(&s->key, &back_src, &back_local);
	ck_assert(addr_equal(&back_src, &src));
	ck_assert(addr_ip_equal(&back_local, &local));
	/* a mapped address is not the IPv4 address; scopes differ */
	src = ip("::ffff:192.0.2.7", 5000);
	get(t, src, 1, 0, &found);
	ck_assert(found.opened);
	src = ip("fe80::1", 5000);
	for (unsigned scope = 1; scope <= 2; scope++) {
		src.u.v6.sin6_scope_id = scope;
		s = get(t, src, 1, 0, &found);
		ck_assert(found.opened);
		rsession_key_addrs(&s->key, &back_src, &back_local);
		ck_assert(addr_equal(&back_src, &src));
	}
	ck_assert_uint_eq(rsession_count(t), 8);
	rsession_table_free(t);
}
END_TEST

START_TEST(full_and_idle)
{
	struct rsession_table *t = rsession_table_new(3, IDLE_NS);
	struct rsession_found found;

	for (uint32_t i = 0; i < 3; i++)
		ck_assert_ptr_nonnull(get(t, ip_n(i, 1), 0, i, NULL));
	ck_assert_ptr_null(get(t, ip_n(9, 1), 0, 10, &found));
	ck_assert(!found.opened && !found.evicted);
	ck_assert_ptr_nonnull(get(t, ip_n(0, 1), 0, 11, NULL)); /* known */
	/* idle means silent for more than idle_ns */
	ck_assert_uint_eq(rsession_expire(t, (struct mono){901 * NS_PER_S}), 0);
	ck_assert_uint_eq(rsession_expire(t, (struct mono){901 * NS_PER_S + 1}),
	                  1);
	ck_assert_ptr_nonnull(get(t, ip_n(9, 1), 0, 902, NULL));
	ck_assert_uint_eq(rsession_expire(t, (struct mono){905 * NS_PER_S}), 1);
	get(t, ip_n(0, 1), 0, 906, &found);
	ck_assert(!found.opened);
	ck_assert_uint_eq(rsession_expire(t, (struct mono){99999 * NS_PER_S}),
	                  2);
	ck_assert_uint_eq(rsession_count(t), 0);
	rsession_table_free(t);
}
END_TEST

/* A member takes the slot of the stranger that was silent longest. */
START_TEST(members_displace_strangers)
{
	struct rsession_table *t = rsession_table_new(4, IDLE_NS);
	const struct addr members[] = {ip_n(100, 0), ip_n(101, 0),
	                               ip_n(100, 7)};
	struct rsession_found found;
	struct rsession *s;

	for (uint32_t i = 0; i < 4; i++)
		get(t, ip_n(i, 1), 0, i, NULL);
	get(t, ip_n(0, 1), 0, 5, NULL); /* so 1 is the oldest */
	ck_assert(rsession_set_members(t, members, 3));
	ck_assert_uint_eq(rsession_member_count(t), 2); /* ports: ignored */
	s = get(t, ip_n(100, 5000), 3, 6, &found);
	ck_assert(s && found.opened && found.evicted);
	ck_assert(rsession_is_member(s));
	get(t, ip_n(0, 1), 0, 7, &found);
	ck_assert(!found.opened);
	ck_assert_ptr_null(get(t, ip_n(1, 1), 0, 7, NULL));
	/* one member's sessions (or forgeries) push out all strangers */
	for (uint16_t port = 1; port <= 3; port++)
		ck_assert_ptr_nonnull(get(t, ip_n(100, port), 3, 8, NULL));
	ck_assert_uint_eq(rsession_count(t), 4);
	ck_assert_ptr_null(get(t, ip_n(0, 1), 0, 9, NULL));
	/* ... but no more, and not the other member from its share (2) */
	ck_assert_ptr_null(get(t, ip_n(100, 9), 3, 9, NULL));
	ck_assert_ptr_nonnull(get(t, ip_n(101, 1), 3, 9, &found));
	ck_assert(found.evicted);
	ck_assert_ptr_nonnull(get(t, ip_n(101, 2), 3, 9, NULL));
	ck_assert_ptr_null(get(t, ip_n(101, 3), 3, 9, NULL));
	rsession_table_free(t);
}
END_TEST

/* A new list: sessions change hands and keep their state and their age. */
START_TEST(members_replaced)
{
	struct rsession_table *t = rsession_table_new(4, IDLE_NS);
	const struct addr one = ip_n(1, 0), two = ip("2001:db8::2", 0);
	struct rsession *s = get(t, ip_n(1, 77), 5, 1, NULL);
	static struct addr many[RSESSION_MEMBERS_MAX + 1];

	(void)rsession_receive(s, 42);
	ck_assert(!rsession_is_member(s));
	ck_assert(rsession_set_members(t, &one, 1));
	s = get(t, ip_n(1, 77), 5, 2, NULL);
	ck_assert(rsession_is_member(s));
	ck_assert_uint_eq(s->highest, 42);
	get(t, ip("2001:db8::2", 9), 5, 3, NULL);
	ck_assert(rsession_set_members(t, &two, 1));
	ck_assert(!rsession_is_member(get(t, ip_n(1, 77), 5, 4, NULL)));
	ck_assert(rsession_is_member(get(t, ip("2001:db8::2", 9), 5, 4, NULL)));
	ck_assert(rsession_set_members(t, NULL, 0));
	ck_assert_uint_eq(rsession_member_count(t), 0);
	ck_assert_uint_eq(rsession_count(t), 2);
	for (uint32_t i = 0; i <= RSESSION_MEMBERS_MAX; i++)
		many[i] = ip_n(i, 0);
	ck_assert(!rsession_set_members(t, many, RSESSION_MEMBERS_MAX + 1));
	ck_assert(rsession_set_members(t, many, RSESSION_MEMBERS_MAX));
	ck_assert_uint_eq(rsession_member_count(t), RSESSION_MEMBERS_MAX);
	ck_assert_uint_eq(rsession_expire(t, (struct mono){INT64_MAX / 2}), 2);
	rsession_table_free(t);
}
END_TEST

START_TEST(receive_by_hand)
{
	struct rsession s;

	memset(&s, 0, sizeof(s));
	ck_assert(!rsession_receive(&s, 0));
	ck_assert(!rsession_receive(&s, 1));
	ck_assert(!rsession_receive(&s, 4));
	ck_assert(rsession_receive(&s, 4));
	ck_assert(!rsession_receive(&s, 3)); /* late, within the window */
	ck_assert(rsession_receive(&s, 3));
	ck_assert_uint_eq(s.highest, 4);
	ck_assert_uint_eq(s.bitmap, 0x1b);
	ck_assert_uint_eq(s.duplicates, 2);
	ck_assert_uint_eq(s.received, 6);
	/* the end of the window */
	ck_assert(!rsession_receive(&s, 67));
	ck_assert_uint_eq(s.bitmap, UINT64_C(1) | UINT64_C(1) << 63);
	ck_assert(!rsession_receive(&s, 68));
	ck_assert_uint_eq(s.bitmap, 3);
	ck_assert(!rsession_receive(&s, 68 + 64));
	ck_assert_uint_eq(s.bitmap, 1);
	/* too late to be told from a duplicate: neither */
	ck_assert(!rsession_receive(&s, 68));
	ck_assert_uint_eq(s.duplicates, 2);
	ck_assert_uint_eq(s.highest, 132);
	/* across the wrap of 32 bits */
	memset(&s, 0, sizeof(s));
	ck_assert(!rsession_receive(&s, UINT32_MAX));
	ck_assert(!rsession_receive(&s, 1));
	ck_assert_uint_eq(s.highest, 1);
	ck_assert_uint_eq(s.bitmap, 5);
}
END_TEST

/* A sender that begins anew with its old port and SSID (0, mostly). */
START_TEST(restart)
{
	struct rsession s;

	memset(&s, 0, sizeof(s));
	for (uint32_t i = 0; i < 5000; i++)
		ck_assert(!rsession_receive(&s, i));
	/* packets that are merely very late do not rewind the window */
	ck_assert(!rsession_receive(&s, 4000));
	ck_assert(!rsession_receive(&s, 4001));
	ck_assert_uint_eq(s.highest, 4999);
	ck_assert(!rsession_receive(&s, 17)); /* a stray */
	ck_assert_uint_eq(s.highest, 4999);
	ck_assert(!rsession_receive(&s, 5000));
	ck_assert_uint_eq(s.highest, 5000);
	for (uint32_t i = 0; i < 10; i++)
		ck_assert(!rsession_receive(&s, i));
	ck_assert_uint_eq(s.highest, 9);
	ck_assert_uint_eq(s.bitmap, 0x3ff);
	ck_assert_uint_eq(s.duplicates, 0);
	ck_assert_uint_eq(s.received, 5014);
}
END_TEST

/* Against a model that remembers everything. Steps stay within the window or
 * jump forward, so that the window tells all. */
START_TEST(property_receive)
{
	static uint8_t seen[1 << 20];
	struct rng g;

	rng_seed(&g, seed);
	for (int round = 0; round < 20; round++) {
		struct rsession s;
		const uint32_t base = (uint32_t)rng_u64(&g);
		uint32_t highest = 0, dups = 0;

		memset(&s, 0, sizeof(s));
		memset(seen, 0, sizeof(seen));
		for (uint32_t i = 0; i < 5000; i++) {
			const uint32_t back = (uint32_t)(rng_u64(&g) % 64);
			const uint32_t on = (uint32_t)(rng_u64(&g) % 90);
			uint32_t at = highest + on;
			bool dup;

			if (rng_u64(&g) & 1)
				at = back < highest ? highest - back : 0;
			dup = rsession_receive(&s, base + at);
			ck_assert_int_eq(dup, seen[at]);
			dups += dup;
			seen[at] = 1;
			highest = at > highest ? at : highest;
			ck_assert_uint_eq(s.highest, base + highest);
			ck_assert_uint_eq(s.duplicates, dups);
			for (uint32_t b = 0; b < 64 && b <= highest; b++)
				ck_assert_uint_eq(s.bitmap >> b & 1,
				                  seen[highest - b]);
		}
		ck_assert_uint_eq(s.received, 5000);
	}
}
END_TEST

struct tally {
	size_t n, members;
	uint32_t of[8]; /* sessions of 10.0.0.0..7 */
};

static void
tally_one(void *arg, const struct rsession *s)
{
	struct tally *t = arg;

	t->n++;
	t->members += rsession_is_member(s);
	if (s->key.src[15] < 8)
		t->of[s->key.src[15]]++;
}

/* Random sources, members and time: the bound holds, counts agree, state is
 * found again, and a member with less than its share is never refused. */
START_TEST(property_table)
{
	struct rsession_table *t = rsession_table_new(40, 30 * NS_PER_S);
	struct rng g;
	size_t members = 0;

	rng_seed(&g, seed);
	for (int i = 0; i < 60000; i++) {
		const uint32_t who = (uint32_t)(rng_u64(&g) % 12);
		const int64_t now_s = i / 50;
		struct tally before = {0}, after = {0};
		struct rsession_found found;
		struct rsession *s;

		if (rng_u64(&g) % 500 == 0) {
			struct addr list[8];

			members = rng_u64(&g) % 9;
			for (uint32_t m = 0; m < members; m++)
				list[m] = ip_n(m, 0);
			ck_assert(rsession_set_members(t, list, members));
		}
		if (rng_u64(&g) % 300 == 0)
			(void)rsession_expire(t,
			                      (struct mono){now_s * NS_PER_S});
		rsession_each(t, tally_one, &before);
		ck_assert_uint_eq(before.n, rsession_count(t));
		ck_assert_uint_le(before.n, 40);
		s = get(t, ip_n(who, (uint16_t)(rng_u64(&g) % 60)), 0, now_s,
		        &found);
		rsession_each(t, tally_one, &after);
		ck_assert_uint_eq(after.n,
		                  before.n + found.opened - found.evicted);
		if (s) {
			ck_assert_int_eq(rsession_is_member(s), who < members);
			ck_assert_int_eq(found.opened, s->received == 0);
			(void)rsession_receive(s, 1);
			continue;
		}
		ck_assert_uint_eq(before.n, 40);
		if (who < members) {
			ck_assert_uint_ge(before.of[who], 40 / members);
			ck_assert_uint_eq(before.members, 40);
		}
	}
	rsession_table_free(t);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("rsession");
	TCase *t = tcase_create("rsession");
	SRunner *sr;
	int failed;

	tcase_add_unchecked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, key_tells_sessions_apart);
	tcase_add_test(t, full_and_idle);
	tcase_add_test(t, members_displace_strangers);
	tcase_add_test(t, members_replaced);
	tcase_add_test(t, receive_by_hand);
	tcase_add_test(t, restart);
	tcase_add_test(t, property_receive);
	tcase_add_test(t, property_table);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
