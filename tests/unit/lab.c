/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/lab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int64_t wall_shift;

struct clock_pair
at(int64_t ns)
{
	return (struct clock_pair){{WALL0 + ns + wall_shift}, {MONO0 + ns}};
}

struct session_params
params(void)
{
	return (struct session_params){
	    .dst_id = 7,
	    .class_id = 3,
	    .interval_ns = 10 * NS_PER_S,
	    .loss_timeout_ns = 2 * NS_PER_S,
	    .gap_ns = 100 * MS,
	    .align = true,
	    .dscp = -1,
	    .run_seed = 77,
	};
}

void
reflect(struct reflector *f, uint32_t seq, struct session_reply *r)
{
	const bool tells = !f->stateless && !f->foreign;

	r->duplicate = rsession_receive(&f->s, seq) && tells;
	r->seq = seq;
	r->reflector_seq = f->stateless ? seq : f->s.reply_seq++;
	r->has_bitmap = tells;
	r->stateful = tells;
	r->instance_id = f->instance_id;
	r->bitmap_highest = f->s.highest;
	r->bitmap = f->s.bitmap;
	r->bitmap_duplicates = f->s.duplicates;
	r->bitmap_received = f->s.received;
}

/* --- by hand ----------------------------------------------------------- */

void
lab_open(struct lab *l, struct session_params p)
{
	memset(l, 0, sizeof(*l));
	wall_shift = 0;
	l->f.instance_id = 0x1111;
	for (unsigned i = 0; i < LAB_FLOWS - 1; i++)
		l->other[i].instance_id = 0x1111;
	l->first = p.first_seq;
	l->s = session_new(&p);
	ck_assert_ptr_nonnull(l->s);
}

uint32_t
lab_send_on(struct lab *l, unsigned flow)
{
	const uint32_t seq = session_next_seq(l->s, flow);

	session_slot(l->s, at(l->now));
	session_sent(l->s, flow, at(l->now), at(l->now), 0xabc0000U + seq);
	l->t1[flow][(seq - l->first) & 4095] = l->now;
	return seq;
}

uint32_t
lab_send(struct lab *l)
{
	return lab_send_on(l, 0);
}

struct session_reply
lab_reflect_on(struct lab *l, unsigned flow, uint32_t seq, int64_t fwd,
               int64_t bwd)
{
	const int64_t t1 = l->t1[flow][(seq - l->first) & 4095];
	struct session_reply r = {
	    .t1_wire = 0xabc0000U + seq,
	    .t2 = {WALL0 + t1 + fwd},
	    .t3 = {WALL0 + t1 + fwd + 10 * US},
	    .t4 = at(t1 + fwd + 10 * US + bwd),
	    .t4_is_kernel = true,
	    .t4_nic_ns = NS_UNKNOWN,
	    .sender_ttl = 250,
	    .ttl = 251,
	    .tos = -1,
	    .fwd_dscp = -1,
	    .fwd_ecn = -1,
	    .reply_dscp = -1,
	    .sender_error_ns = 100,
	    .reflector_error_ns = 300,
	    .sender_synchronised = true,
	    .reflector_synchronised = true,
	};

	reflect(flow ? &l->other[flow - 1] : &l->f, seq, &r);
	return r;
}

struct session_reply
lab_reflect(struct lab *l, uint32_t seq, int64_t fwd, int64_t bwd)
{
	return lab_reflect_on(l, 0, seq, fwd, bwd);
}

enum reply_verdict
lab_answer(struct lab *l, uint32_t seq)
{
	const struct session_reply r = lab_reflect(l, seq, 5 * MS, 5 * MS);

	return session_reply(l->s, 0, &r, NULL);
}

void
lab_until(struct lab *l, int64_t ns)
{
	l->now = ns;
	session_advance(l->s, at(ns), NULL, NULL);
}

void
lab_run(struct lab *l, const char *fate, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const uint32_t seq = lab_send(l);

		if (*fate == 'o')
			ck_assert_int_eq(lab_answer(l, seq), REPLY_OK);
		else if (*fate == 'b')
			(void)lab_reflect(l, seq, 5 * MS, 5 * MS);
		if (fate[1])
			fate++;
		lab_until(l, l->now + 100 * MS);
	}
}

/* --- what comes out ---------------------------------------------------- */

void
check_counts(const struct result *r)
{
	const int64_t *v = r->v;

	ck_assert_int_eq(v[METRIC_SENT], v[METRIC_RECEIVED] + v[METRIC_LOST]);
	ck_assert_int_eq(v[METRIC_LOST], v[METRIC_LOST_FWD] +
	                                     v[METRIC_LOST_BWD] +
	                                     v[METRIC_LOST_UNDET]);
	ck_assert_int_ge(v[METRIC_LOST_FWD], 0);
	ck_assert_int_ge(v[METRIC_LOST_BWD], 0);
	ck_assert_int_ge(v[METRIC_LOST_UNDET], 0);
	ck_assert_int_le(v[METRIC_LOST_UNDET], v[METRIC_LOST]);
	ck_assert_int_ge(v[METRIC_SPAN], 0);
	ck_assert_int_ge(v[METRIC_SCHEDULED],
	                 v[METRIC_SENT] + v[METRIC_SEND_FAILED]);
}

struct result
lab_take(struct lab *l)
{
	struct result r;

	ck_assert(session_take(l->s, &r));
	check_counts(&r);
	return r;
}

struct loss_run
lab_take_run(struct lab *l, enum loss_run_state state)
{
	struct loss_run r;

	ck_assert(session_take_run(l->s, &r));
	ck_assert_str_eq(loss_run_state_str(r.state),
	                 loss_run_state_str(state));
	ck_assert_uint_eq(r.lost, r.lost_fwd + r.lost_bwd + r.lost_undet);
	ck_assert_uint_le(r.lost_fwd, r.lost);
	ck_assert_uint_le(r.lost_bwd, r.lost);
	ck_assert_uint_eq(r.dst_id, 7);
	ck_assert_uint_eq(r.class_id, 3);
	if (state != LOSS_RUN_CLOSED) {
		ck_assert_ptr_null(r.packet);
		ck_assert_int_eq(r.after.ns, NS_UNKNOWN);
		ck_assert_int_eq(r.upper_ns, NS_UNKNOWN);
	}
	return r;
}

void
check_loss(struct result r, int64_t lost, int64_t fwd, int64_t bwd,
           int64_t undet, int line)
{
	const int64_t *v = r.v;

	ck_assert_msg(
	    v[METRIC_LOST] == lost && v[METRIC_LOST_FWD] == fwd &&
	        v[METRIC_LOST_BWD] == bwd && v[METRIC_LOST_UNDET] == undet,
	    "line %d: lost %" PRId64 " = %" PRId64 " + %" PRId64 " + %" PRId64,
	    line, v[METRIC_LOST], v[METRIC_LOST_FWD], v[METRIC_LOST_BWD],
	    v[METRIC_LOST_UNDET]);
}

int
suite_main(const char *name, void (*add)(TCase *t))
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create(name);
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	add(t);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
