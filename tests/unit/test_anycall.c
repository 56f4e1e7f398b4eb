/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any calls in any order, and peers that answer anything: whatever comes out
 * adds up.
 */
#include "lib/base/rng.h"
#include "tests/unit/lab.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CALLS 20000U
#define RESULTS 4096U

struct any {
	struct rng rng;
	struct session *s;
	unsigned flows;
	int64_t now;
	struct result result[RESULTS];
	size_t results;
};

static uint32_t
below(struct any *a, uint32_t n)
{
	return (uint32_t)(rng_u64(&a->rng) % n);
}

static bool
one_in(struct any *a, uint32_t n)
{
	return below(a, n) == 0;
}

/* Mostly near, now and then anywhere. */
static int64_t
any_wall(struct any *a)
{
	if (one_in(a, 50))
		return (int64_t)rng_u64(&a->rng);
	return WALL0 + a->now + (int64_t)below(a, 40) * MS - 20 * MS;
}

static void
any_marks(struct any *a, struct session_reply *r)
{
	r->sender_ttl = (int)below(a, 300) - 10;
	r->ttl = (int)below(a, 300) - 10;
	r->tos = (int)below(a, 300) - 10;
	r->fwd_dscp = (int)below(a, 65) - 1;
	r->fwd_ecn = (int)below(a, 5) - 1;
	r->reply_dscp = (int)below(a, 65) - 1;
	r->sender_error_ns = (int64_t)rng_u64(&a->rng) / 2;
	r->reflector_error_ns = one_in(a, 9) ? NS_UNKNOWN : INT64_MAX;
	r->sender_synchronised = !one_in(a, 9);
	r->reflector_synchronised = !one_in(a, 9);
}

static void
any_report(struct any *a, struct session_reply *r)
{
	r->has_bitmap = !one_in(a, 9);
	r->stateful = !one_in(a, 9);
	r->duplicate = one_in(a, 9);
	r->instance_id = 1 + one_in(a, 300);
	r->bitmap_highest = r->seq + below(a, 8);
	r->bitmap = one_in(a, 3) ? rng_u64(&a->rng) : UINT64_MAX;
	r->bitmap_duplicates = one_in(a, 99) ? (uint32_t)rng_u64(&a->rng) : 3;
	r->bitmap_received =
	    one_in(a, 99) ? (uint32_t)rng_u64(&a->rng) : r->seq;
}

static void
any_reply(struct any *a)
{
	const unsigned flow = below(a, a->flows);
	const uint32_t next = session_next_seq(a->s, flow);
	const uint32_t seq = next - 1 - below(a, one_in(a, 20) ? 400 : 20);
	struct session_reply r = {
	    .seq = seq,
	    .t1_wire = one_in(a, 50) ? 1 : seq,
	    .reflector_seq =
	        one_in(a, 20) ? (uint32_t)rng_u64(&a->rng) : seq - below(a, 5),
	    .t2 = {any_wall(a)},
	    .t3 = {any_wall(a)},
	    .t4 = at(a->now - (one_in(a, 10) ? below(a, 3000) * MS : 0)),
	    .t4_is_kernel = !one_in(a, 5),
	    .t4_nic_ns = one_in(a, 5) ? (int64_t)rng_u64(&a->rng) : NS_UNKNOWN,
	    .has_follow_up = !one_in(a, 4),
	    .follow_up = !one_in(a, 4),
	    .follow_up_seq = seq - below(a, 6),
	    .follow_up_t3 = {any_wall(a)},
	};
	struct sample m;

	any_marks(a, &r);
	any_report(a, &r);
	(void)session_reply(a->s, one_in(a, 200) ? 99 : flow, &r, &m);
}

static void
any_send(struct any *a)
{
	const unsigned flow = session_next_flow(a->s);
	const uint32_t seq = session_next_seq(a->s, flow);
	const struct clock_pair now = at(a->now);

	session_slot(a->s, now);
	if (one_in(a, 30)) {
		session_send_failed(a->s, now);
		return;
	}
	session_sent(a->s, flow, now, at(a->now + below(a, 900) * US), seq);
	if (!one_in(a, 4))
		(void)session_tx_stamp(a->s, flow, seq, at(a->now + MS),
		                       one_in(a, 3) ? (int64_t)rng_u64(&a->rng)
		                                    : NS_UNKNOWN,
		                       at(a->now + 2 * MS));
	a->now += 3 * MS;
}

static void
any_call(struct any *a)
{
	switch (below(a, 400)) {
	case 0:
		session_finish(a->s, at(a->now), RESULT_PARTIAL);
		break;
	case 1:
		session_local_drops(a->s, 1 + below(a, 9));
		break;
	case 2:
		session_set_counting(a->s, one_in(a, 2));
		break;
	case 3:
		session_withheld(a->s, at(a->now));
		break;
	case 4:
		a->now += below(a, 30) * NS_PER_S;
		break;
	case 5:
		if (one_in(a, 4))
			wall_shift += (int64_t)below(a, 7200) * NS_PER_S;
		break;
	default:
		if (one_in(a, 2))
			any_send(a);
		else
			any_reply(a);
	}
	if (!one_in(a, 4))
		return;
	a->now += below(a, 40) * MS;
	session_advance(a->s, at(a->now), NULL, NULL);
	ck_assert_int_gt(session_deadline(a->s).ns, MONO0 + a->now - 1);
}

static void
any_revision(struct any *a, const struct revision *v)
{
	int64_t lost = -1;

	for (size_t i = 0; i < a->results; i++) {
		if (a->result[i].start.ns == v->start.ns)
			lost = a->result[i].v[METRIC_LOST];
	}
	ck_assert_int_eq((int64_t)v->lost_fwd + v->lost_bwd + v->lost_undet,
	                 lost);
}

static void
any_take(struct any *a)
{
	struct revision v;
	struct loss_run r;

	while (a->results < RESULTS &&
	       session_take(a->s, &a->result[a->results])) {
		const int64_t *x = a->result[a->results++].v;

		check_counts(&a->result[a->results - 1]);
		ck_assert_int_le(x[METRIC_RTT_UNKNOWN], x[METRIC_RECEIVED]);
		ck_assert_int_ge(x[METRIC_LOSS_RUNS_LONG], 0);
	}
	while (session_take_revision(a->s, &v, NULL))
		any_revision(a, &v);
	while (session_take_run(a->s, &r)) {
		ck_assert_uint_eq(r.lost,
		                  r.lost_fwd + r.lost_bwd + r.lost_undet);
		ck_assert_uint_le(r.lost_fwd, r.lost);
		ck_assert_uint_le(r.lost_bwd, r.lost);
		ck_assert_uint_le(r.packet_n, LOSS_RUN_PACKETS_MAX);
		loss_run_clear(&r);
	}
}

START_TEST(whatever_is_called_adds_up)
{
	const char *again = getenv("WORLD_SEED");
	const uint64_t seed = again ? strtoull(again, NULL, 10) : random_u64();
	static struct any a;

	printf("WORLD_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	for (uint64_t round = 0; round < 12; round++) {
		struct session_params p = params();

		a.results = 0;
		a.now = 0;
		wall_shift = 0;
		rng_seed(&a.rng, seed + round);
		a.flows = p.flows = 1 + (unsigned)round % 4;
		p.first_seq = (uint32_t)rng_u64(&a.rng);
		p.gap_ns = 20 * MS;
		p.warmup = (uint32_t)round % 3;
		p.codec = round & 1 ? VOICE_G729A : VOICE_NONE;
		a.s = session_new(&p);
		ck_assert_ptr_nonnull(a.s);
		for (unsigned i = 0; i < CALLS; i++) {
			any_call(&a);
			if (one_in(&a, 50))
				any_take(&a);
		}
		any_take(&a);
		ck_assert_uint_gt(a.results, 10);
		session_free(a.s);
	}
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, whatever_is_called_adds_up);
}

int
main(void)
{
	return suite_main("anycall", add);
}
