/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/flowset.h"
#include "lib/base/result.h"
#include "lib/base/rng.h"
#include "tests/unit/lab.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct flow_result unheard = {
    .sent = 16,
    .lost_undet = 16,
    .rtt_min_ns = NS_UNKNOWN,
    .rtt_mean_ns = NS_UNKNOWN,
    .fwd_mean_ns = NS_UNKNOWN,
    .bwd_mean_ns = NS_UNKNOWN,
};

static bool
same(const struct flow_result *a, const struct flow_result *b)
{
	return a->sent == b->sent && a->received == b->received &&
	       a->lost_fwd == b->lost_fwd && a->lost_bwd == b->lost_bwd &&
	       a->lost_undet == b->lost_undet &&
	       a->rtt_min_ns == b->rtt_min_ns &&
	       a->rtt_mean_ns == b->rtt_mean_ns &&
	       a->fwd_mean_ns == b->fwd_mean_ns &&
	       a->bwd_mean_ns == b->bwd_mean_ns;
}

/* Whatever is encoded is read back, in exactly as much room. */
static void
there_and_back(const struct flow_result *f, unsigned n)
{
	uint8_t buf[FLOWS_MAX_N * 65 + 2], tight[sizeof(buf)];
	const size_t len = flowset_encode(f, n, buf, sizeof(buf));
	struct flow_result out[FLOWS_MAX_N];
	unsigned got = 0;

	ck_assert_uint_gt(len, 0);
	ck_assert(flowset_decode(buf, len, out, &got));
	ck_assert_uint_eq(got, n);
	for (unsigned i = 0; i < n; i++)
		ck_assert(same(&out[i], &f[i]));
	ck_assert_uint_eq(flowset_encode(f, n, tight, len), len);
	ck_assert_uint_eq(flowset_encode(f, n, tight, len - 1), 0);
	for (size_t cut = 0; cut < len; cut++)
		ck_assert(!flowset_decode(buf, cut, out, &got));
}

static int64_t
any_delay(struct rng *rng)
{
	const unsigned bits = 1 + (unsigned)(rng_u64(rng) % 61);
	const int64_t d = (int64_t)(rng_u64(rng) & ((UINT64_C(1) << bits) - 1));

	if (rng_u64(rng) % 8 == 0)
		return NS_UNKNOWN;
	return rng_u64(rng) & 1 ? d : -d;
}

START_TEST(any_flows_come_back)
{
	const uint64_t seed = random_u64();
	struct rng rng;

	printf("seed %" PRIu64 "\n", seed);
	rng_seed(&rng, seed);
	for (unsigned round = 0; round < 300; round++) {
		const unsigned n = 1 + (unsigned)(rng_u64(&rng) % FLOWS_MAX_N);
		struct flow_result f[FLOWS_MAX_N];

		for (unsigned i = 0; i < n; i++) {
			uint32_t *c = &f[i].sent;
			int64_t *d = &f[i].rtt_min_ns;

			for (unsigned k = 0; k < 5; k++)
				c[k] = (uint32_t)rng_u64(&rng) >>
				       (1 + rng_u64(&rng) % 31);
			for (unsigned k = 0; k < 4; k++)
				d[k] = any_delay(&rng);
		}
		there_and_back(f, n);
	}
}
END_TEST

START_TEST(flows_that_were_never_heard_have_no_delays)
{
	const struct flow_result f[3] = {
	    unheard,
	    {16, 15, 1, 0, 0, 40 * MS, 41 * MS, -3600 * NS_PER_S,
	     7200 * NS_PER_S},
	    unheard,
	};

	there_and_back(f, 3);
}
END_TEST

/* 64 flows half around the world, and the clocks ten hours apart. */
START_TEST(the_most_flows_of_a_long_path_fit_into_a_result)
{
	struct flow_result f[FLOWS_MAX_N], out[FLOWS_MAX_N];
	uint8_t buf[RESULT_FLOWS_MAX];
	unsigned n;

	for (unsigned i = 0; i < FLOWS_MAX_N; i++) {
		const int64_t path = 280 * MS + (i * 37 % 64) * MS / 2;

		f[i] = (struct flow_result){
		    .sent = 15625, /* a million packets per interval */
		    .received = 15625 - i,
		    .lost_fwd = i,
		    .rtt_min_ns = path,
		    .rtt_mean_ns = path + 20 * MS,
		    .fwd_mean_ns = path / 2 - 36000 * NS_PER_S,
		    .bwd_mean_ns = path / 2 + 36000 * NS_PER_S,
		};
	}
	n = (unsigned)flowset_encode(f, FLOWS_MAX_N, buf, sizeof(buf));
	ck_assert_uint_gt(n, 0);
	ck_assert(flowset_decode(buf, n, out, &n));
	ck_assert_uint_eq(n, FLOWS_MAX_N);
	ck_assert(same(&f[63], &out[63]));
}
END_TEST

START_TEST(malformed_octets_are_refused_and_nothing_is_written)
{
	static const struct {
		const char *why;
		uint8_t len, b[16];
	} bad[] = {
	    {"empty", 0, {0}},
	    {"version 2", 11, {2, 1}},
	    {"no flow", 2, {1, 0}},
	    {"65 flows", 2, {1, 65}},
	    {"an octet too many", 12, {1, 1}},
	    {"a count over 2^31 - 1", 15, {1, 1, 0x80, 0x80, 0x80, 0x80, 0x08}},
	    {"not the shortest form", 12, {1, 1, 0x80, 0x00}},
	};
	struct flow_result out[FLOWS_MAX_N] = {{.sent = 77}};
	unsigned n = 99;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!flowset_decode(bad[i].b, bad[i].len, out, &n),
		              "%s", bad[i].why);
		ck_assert_uint_eq(n, 99);
		ck_assert_uint_eq(out[0].sent, 77);
	}
	ck_assert_uint_eq(flowset_encode(&unheard, 0, (uint8_t[2]){0}, 2), 0);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, any_flows_come_back);
	tcase_add_test(t, flows_that_were_never_heard_have_no_delays);
	tcase_add_test(t, the_most_flows_of_a_long_path_fit_into_a_result);
	tcase_add_test(t, malformed_octets_are_refused_and_nothing_is_written);
}

int
main(void)
{
	return suite_main("flowset", add);
}
