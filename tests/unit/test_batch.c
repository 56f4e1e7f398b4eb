/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/msg.h"

#include "lib/base/metric.h"
#include "lib/base/rng.h"

#include "proto/mesh.pb-c.h"

#include <check.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rng rng;

static void
seed_rng(void)
{
	const char *env = getenv("TEST_SEED");
	const uint64_t seed = env ? strtoull(env, NULL, 0) : random_u64();

	printf("seed %" PRIu64 "\n", seed);
	rng_seed(&rng, seed);
}

static uint64_t
below(uint64_t n)
{
	return rng_u64(&rng) % n;
}

static uint64_t
u63(void)
{
	return rng_u64(&rng) >> (1 + below(60));
}

static struct wall
some_wall(void)
{
	return (struct wall){(int64_t)(rng_u64(&rng) >> 2) / 2};
}

static void
fill(void *p, size_t n)
{
	uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)rng_u64(&rng);
}

static ProtobufCBinaryData
bin(const char *s, size_t n)
{
	return (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)s};
}

static ProtobufCBinaryData
str(const char *s)
{
	return bin(s, strlen(s));
}

static const char *field;

/* ---- results as columns ---- */

static int64_t
some_value(const struct metric_info *m)
{
	if (below(5) == 0)
		return METRIC_NULL;
	switch (m->type) {
	case METRIC_COUNT:
		return (int64_t)below((uint64_t)INT32_MAX + 1);
	case METRIC_SMALL:
		return (int64_t)below(65536) - 32768;
	case METRIC_MILLI:
		return (int64_t)below(200000) - 100000;
	case METRIC_DURATION:
		break;
	}
	return (int64_t)below(UINT64_C(1) << 40) - (INT64_C(1) << 38);
}

static void
some_octets(uint8_t *out, uint16_t *len)
{
	*len = (uint16_t)(below(3) ? below(100) : 0);
	fill(out, *len);
}

static struct result *
some_results(size_t n)
{
	struct result *list_ = calloc(n + 1, sizeof(*list_));
	const uint64_t quiet = rng_u64(&rng); /* 0 in every row */

	ck_assert_ptr_nonnull(list_);
	for (size_t i = 0; i < n; i++) {
		struct result *x = &list_[i];

		*x = i && below(4) ? list_[i - 1] : (struct result){0};
		if (x->class_id == 0) {
			x->class_id = 1 + (uint32_t)below(3);
			x->start = some_wall();
			x->interval_ns =
			    (int64_t)(1 + below(60000)) * NS_PER_MS;
			x->epoch = below(9);
		}
		x->dst_id = 1 + (uint32_t)below(1000);
		x->v[METRIC_NONE] = METRIC_NULL;
		for (unsigned m = 1; m < METRIC_N; m++)
			x->v[m] = quiet >> m % 32 & 1
			              ? 0
			              : some_value(metric_info(m));
		some_octets(x->rtt_hist, &x->hist_len);
		some_octets(x->fwd_hist, &x->fwd_hist_len);
		some_octets(x->bwd_hist, &x->bwd_hist_len);
		some_octets(x->flows, &x->flows_len);
	}
	return list_;
}

static void
assert_octets(const uint8_t *const *got, const uint16_t *got_len, size_t row,
              const uint8_t *want, uint16_t len)
{
	ck_assert_uint_eq(got_len ? got_len[row] : 0, len);
	if (len)
		ck_assert_mem_eq(got[row], want, len);
}

static void
assert_row(const struct slice *s, size_t row, const struct result *x)
{
	ck_assert_uint_eq(s->dst_id[row], x->dst_id);
	ck_assert_uint_eq(s->class_id, x->class_id);
	ck_assert_int_eq(s->start.ns, x->start.ns);
	ck_assert_int_eq(s->interval_ns, x->interval_ns);
	ck_assert_uint_eq(s->epoch, x->epoch);
	for (unsigned m = 1; m < METRIC_N; m++)
		ck_assert_int_eq(s->value[m] ? s->value[m][row] : METRIC_NULL,
		                 x->v[m]);
	assert_octets(s->hist, s->hist_len, row, x->rtt_hist, x->hist_len);
	assert_octets(s->fwd_hist, s->fwd_hist_len, row, x->fwd_hist,
	              x->fwd_hist_len);
	assert_octets(s->bwd_hist, s->bwd_hist_len, row, x->bwd_hist,
	              x->bwd_hist_len);
	assert_octets(s->flows, s->flows_len, row, x->flows, x->flows_len);
}

START_TEST(results_survive_coding_as_columns)
{
	for (int round = 0; round < 200; round++) {
		const size_t n = below(50);
		struct result *res = some_results(n);
		const struct result *p[50];
		struct gap gap = {some_wall(), {0}, u63(), "spool full"};
		struct batch_input in = {
		    .result = p, .result_n = n, .gap = &gap};
		const bool has_gap = below(2);
		struct batch_body b;
		size_t len, row = 0;
		enum msg_err e;
		uint8_t *body;

		gap.to = wall_add_ns(gap.from, 5);
		in.gap_n = has_gap;
		for (size_t i = 0; i < n; i++)
			p[i] = &res[i];
		ck_assert(batch_body_encode(&in, &body, &len));
		field = "-";
		e = batch_body_decode(body, len, &b, &field);
		ck_assert_msg(e == MSG_OK, "%s %s", msg_err_str(e), field);
		ck_assert_uint_eq(b.rows, n);
		for (size_t i = 0; i < b.slice_n; i++) {
			for (size_t j = 0; j < b.slice[i].n; j++)
				assert_row(&b.slice[i], j, &res[row++]);
		}
		ck_assert_uint_eq(row, n);
		ck_assert_uint_eq(b.gap_n, has_gap);
		if (has_gap) {
			ck_assert_int_eq(b.gap[0].from.ns, gap.from.ns);
			ck_assert_uint_eq(b.gap[0].rows, gap.rows);
			ck_assert_str_eq(b.gap[0].reason, "spool full");
		}
		batch_body_clear(&b);
		free(body);
		free(res);
	}
}
END_TEST

/* A thousand rows are what a node ships at once. */
static void
must_fit(const struct result *res, size_t n)
{
	const struct result **p = calloc(n, sizeof(*p));
	const struct batch_input in = {.result = p, .result_n = n};
	struct batch_body b;
	uint8_t *body;
	size_t len;

	for (size_t i = 0; i < n; i++)
		p[i] = &res[i];
	ck_assert(batch_body_encode(&in, &body, &len));
	ck_assert_int_eq(batch_body_decode(body, len, &b, NULL), MSG_OK);
	ck_assert_uint_eq(b.rows, n);
	batch_body_clear(&b);
	free(body);
	free(p);
}

START_TEST(a_thousand_rows_fit_into_budget_and_message)
{
	static const int64_t largest[] = {[METRIC_COUNT] = INT32_MAX,
	                                  [METRIC_DURATION] = INT64_C(1) << 60,
	                                  [METRIC_SMALL] = INT16_MAX,
	                                  [METRIC_MILLI] = INT32_MAX};
	struct result *res = calloc(1000, sizeof(*res));

	/* one octet per value and empty lists: most memory per octet */
	for (size_t i = 0; i < 1000; i++) {
		res[i].class_id = 1;
		res[i].interval_ns = NS_PER_S;
		res[i].dst_id = 1;
		res[i].v[1 + i % (METRIC_N - 1)] = 1;
	}
	must_fit(res, 1000);
	res[9].hist_len = res[9].fwd_hist_len = res[9].bwd_hist_len =
	    res[9].flows_len = 1;
	must_fit(res, 1000);
	/* all that a result can hold: most octets */
	for (size_t i = 0; i < 1000; i++) {
		for (unsigned m = 1; m < METRIC_N; m++)
			res[i].v[m] = largest[metric_info(m)->type];
		res[i].hist_len = RESULT_HIST_MAX;
		res[i].fwd_hist_len = res[i].bwd_hist_len = RESULT_WAY_HIST_MAX;
		res[i].flows_len = RESULT_FLOWS_MAX;
	}
	must_fit(res, 1000);
	free(res);
}
END_TEST

static struct {
	Twmesh__Wire__Column column[2], *columns[2];
	Twmesh__Wire__Slice slice, *slices[1];
	Twmesh__Wire__Gap gap, *gaps[1];
	Twmesh__Wire__BatchBody body;
	int64_t value[3];
	uint32_t dst[3];
	uint8_t present[2];
	ProtobufCBinaryData hist[4];
} bb;

static void
bb_reset(void)
{
	memset(&bb, 0, sizeof(bb));
	twmesh__wire__batch_body__init(&bb.body);
	twmesh__wire__slice__init(&bb.slice);
	twmesh__wire__gap__init(&bb.gap);
	bb.gap.from_wall_ns = 5;
	bb.gap.to_wall_ns = 6;
	bb.gap.reason = str("x");
	bb.slices[0] = &bb.slice;
	bb.gaps[0] = &bb.gap;
	bb.body.slice = bb.slices;
	bb.body.n_slice = 1;
	bb.body.gap = bb.gaps;
	bb.body.n_gap = 1;
	bb.slice.class_id = 1;
	bb.slice.interval_ms = 1000;
	bb.slice.dst_id = bb.dst;
	bb.slice.n_dst_id = 3;
	bb.slice.column = bb.columns;
	bb.slice.n_column = 2;
	bb.present[0] = 7;
	for (size_t i = 0; i < 3; i++)
		bb.dst[i] = (uint32_t)(i + 1);
	for (size_t i = 0; i < 2; i++) {
		Twmesh__Wire__Column *c = &bb.column[i];

		twmesh__wire__column__init(c);
		c->metric = i ? METRIC_RTT_MIN : METRIC_SENT;
		c->value = bb.value;
		c->n_value = 3;
		c->has_present = 1;
		c->present = (ProtobufCBinaryData){1, bb.present};
		bb.columns[i] = c;
	}
}

static enum msg_err
decode_body(void)
{
	const size_t n = twmesh__wire__batch_body__get_packed_size(&bb.body);
	uint8_t *bytes = malloc(n);
	struct batch_body out;
	enum msg_err rc;

	field = "";
	twmesh__wire__batch_body__pack(&bb.body, bytes);
	rc = batch_body_decode(bytes, n, &out, &field);
	if (rc == MSG_OK)
		batch_body_clear(&out);
	free(bytes);
	bb_reset();
	return rc;
}

#define BAD_BODY(assignment, want)                              \
	do {                                                    \
		assignment;                                     \
		ck_assert_int_eq(decode_body(), MSG_ERR_FIELD); \
		ck_assert_str_eq(field, want);                  \
	} while (0)

START_TEST(each_field_of_a_batch_body_bad_once)
{
	static const char octets[RESULT_FLOWS_MAX + 1];

	bb_reset();
	ck_assert_int_eq(decode_body(), MSG_OK);
	BAD_BODY(bb.slice.class_id = 0, "class_id");
	BAD_BODY(bb.slice.interval_ms = 0, "interval_ms");
	BAD_BODY(bb.slice.start_wall_ns = INT64_MIN, "start_wall_ns");
	BAD_BODY(bb.slice.epoch = UINT64_MAX, "epoch");
	BAD_BODY(bb.slice.n_dst_id = 0, "dst_id");
	BAD_BODY(bb.dst[1] = 0, "dst_id");
	BAD_BODY(bb.column[1].metric = METRIC_SENT, "column.metric");
	BAD_BODY(bb.column[0].n_value = 2, "column.value");
	BAD_BODY(bb.column[0].n_value = 0, "column.value"); /* and a bitmap */
	BAD_BODY(bb.value[2] = -1, "column.value");
	BAD_BODY(bb.value[2] = (int64_t)INT32_MAX + 1, "column.value");
	BAD_BODY(bb.present[0] = 15, "column.present");
	BAD_BODY(bb.column[0].present.len = 2, "column.present");
	BAD_BODY(bb.column[0].present.len = 0, "column.present");
	BAD_BODY((bb.slice.rtt_hist = bb.hist, bb.slice.n_rtt_hist = 2),
	         "rtt_hist");
	BAD_BODY((bb.slice.fwd_hist = bb.hist, bb.slice.n_fwd_hist = 2),
	         "fwd_hist");
	BAD_BODY((bb.slice.bwd_hist = bb.hist, bb.slice.n_bwd_hist = 4),
	         "bwd_hist");
	BAD_BODY((bb.slice.flows = bb.hist, bb.slice.n_flows = 1), "flows");
	BAD_BODY((bb.slice.rtt_hist = bb.hist, bb.slice.n_rtt_hist = 3,
	          bb.hist[1] = bin(octets, RESULT_HIST_MAX + 1)),
	         "rtt_hist");
	BAD_BODY((bb.slice.fwd_hist = bb.hist, bb.slice.n_fwd_hist = 3,
	          bb.hist[1] = bin(octets, RESULT_WAY_HIST_MAX + 1)),
	         "fwd_hist");
	BAD_BODY((bb.slice.bwd_hist = bb.hist, bb.slice.n_bwd_hist = 3,
	          bb.hist[2] = bin(octets, RESULT_WAY_HIST_MAX + 1)),
	         "bwd_hist");
	BAD_BODY((bb.slice.flows = bb.hist, bb.slice.n_flows = 3,
	          bb.hist[0] = bin(octets, RESULT_FLOWS_MAX + 1)),
	         "flows");
	BAD_BODY(bb.gap.to_wall_ns = 4, "gap.to_wall_ns");
	BAD_BODY(bb.gap.from_wall_ns = INT64_MAX, "gap.from_wall_ns");
	BAD_BODY(bb.gap.reason = str(""), "gap.reason");
}
END_TEST

START_TEST(columns_of_unknown_metrics_are_skipped)
{
	bb_reset();
	bb.column[1].metric = METRIC_N + 100;
	bb.column[1].n_value = 1;
	ck_assert_int_eq(decode_body(), MSG_OK);
}
END_TEST

/* ---- revisions and loss runs ---- */

static struct wall
wall_or_unknown(void)
{
	return below(4) ? some_wall() : (struct wall){NS_UNKNOWN};
}

static struct addr
some_end(void)
{
	struct addr a = {.len = 0};
	uint8_t ip[16];

	fill(ip, sizeof(ip));
	if (below(4))
		ck_assert(addr_from_bytes(ip, below(2) ? 4 : 16,
		                          (uint16_t)(1 + below(65535)), &a));
	return a;
}

static void
some_packets(struct loss_run *r)
{
	r->packet_n = below(LOSS_RUN_PACKETS_MAX + 1);
	r->packet = calloc(r->packet_n + 1, sizeof(*r->packet));
	ck_assert_ptr_nonnull(r->packet);
	for (size_t i = 0; i < r->packet_n; i++) {
		struct loss_run_packet *p = &r->packet[i];

		p->seq = (uint32_t)rng_u64(&rng);
		p->reflector_seq = (uint32_t)rng_u64(&rng);
		p->flow = (uint16_t)below(64);
		p->fate = (uint8_t)below(FATE_N);
		p->sender_ttl = (int16_t)((int)below(257) - 1);
		p->ttl = (int16_t)((int)below(257) - 1);
		p->tos = (int16_t)((int)below(257) - 1);
		p->t1 = wall_or_unknown();
		p->t2 = wall_or_unknown();
		p->t3 = wall_or_unknown();
		p->t4 = wall_or_unknown();
	}
}

static struct loss_run
some_run(void)
{
	struct loss_run r = {
	    .dst_id = 1 + (uint32_t)below(1000),
	    .class_id = 1 + (uint32_t)below(9),
	    .run_id = rng_u64(&rng),
	    .revision = 1 + (uint32_t)below(INT32_MAX),
	    .state = (enum loss_run_state)below(LOSS_RUN_STATES),
	    .first_seq = (uint32_t)rng_u64(&rng),
	    .last_seq = (uint32_t)rng_u64(&rng),
	    .first_flow = (uint16_t)below(64),
	    .last_flow = (uint16_t)below(64),
	    .lost_fwd = (uint32_t)below(1000),
	    .lost_bwd = (uint32_t)below(1000),
	    .lost_undet = 1 + (uint32_t)below(1000),
	    .first = some_wall(),
	    .last = some_wall(),
	    .before = wall_or_unknown(),
	    .after = wall_or_unknown(),
	    .lower_ns = (int64_t)below(UINT64_C(1) << 60),
	    .upper_ns = NS_UNKNOWN,
	    .reflector_restart = below(2),
	    .host_limited = below(2),
	    .src = some_end(),
	    .dst = some_end(),
	};

	r.lost = r.lost_fwd + r.lost_bwd + r.lost_undet;
	if (below(2))
		r.upper_ns = r.lower_ns + (int64_t)below(1000);
	if (r.state == LOSS_RUN_CLOSED)
		some_packets(&r);
	return r;
}

static void
assert_end(const struct addr *a, const struct addr *b)
{
	ck_assert_uint_eq(a->len, b->len);
	ck_assert(a->len == 0 || addr_equal(a, b));
}

static void
assert_packet(const struct loss_run_packet *a, const struct loss_run_packet *b)
{
	ck_assert_uint_eq(a->seq, b->seq);
	ck_assert_uint_eq(a->reflector_seq, b->reflector_seq);
	ck_assert_uint_eq(a->flow, b->flow);
	ck_assert_uint_eq(a->fate, b->fate);
	ck_assert_int_eq(a->sender_ttl, b->sender_ttl);
	ck_assert_int_eq(a->ttl, b->ttl);
	ck_assert_int_eq(a->tos, b->tos);
	ck_assert_int_eq(a->t1.ns, b->t1.ns);
	ck_assert_int_eq(a->t2.ns, b->t2.ns);
	ck_assert_int_eq(a->t3.ns, b->t3.ns);
	ck_assert_int_eq(a->t4.ns, b->t4.ns);
}

static void
assert_run(const struct loss_run *a, const struct loss_run *b)
{
	ck_assert_uint_eq(a->dst_id, b->dst_id);
	ck_assert_uint_eq(a->class_id, b->class_id);
	ck_assert_uint_eq(a->run_id, b->run_id);
	ck_assert_uint_eq(a->revision, b->revision);
	ck_assert_int_eq(a->state, b->state);
	ck_assert_uint_eq(a->first_seq, b->first_seq);
	ck_assert_uint_eq(a->last_seq, b->last_seq);
	ck_assert_uint_eq(a->first_flow, b->first_flow);
	ck_assert_uint_eq(a->last_flow, b->last_flow);
	ck_assert_uint_eq(a->lost, b->lost);
	ck_assert_uint_eq(a->lost_fwd, b->lost_fwd);
	ck_assert_uint_eq(a->lost_bwd, b->lost_bwd);
	ck_assert_uint_eq(a->lost_undet, b->lost_undet);
	ck_assert_int_eq(a->first.ns, b->first.ns);
	ck_assert_int_eq(a->last.ns, b->last.ns);
	ck_assert_int_eq(a->before.ns, b->before.ns);
	ck_assert_int_eq(a->after.ns, b->after.ns);
	ck_assert_int_eq(a->lower_ns, b->lower_ns);
	ck_assert_int_eq(a->upper_ns, b->upper_ns);
	ck_assert_int_eq(a->reflector_restart, b->reflector_restart);
	ck_assert_int_eq(a->host_limited, b->host_limited);
	assert_end(&a->src, &b->src);
	assert_end(&a->dst, &b->dst);
	ck_assert_uint_eq(a->packet_n, b->packet_n);
	for (size_t i = 0; i < a->packet_n; i++)
		assert_packet(&a->packet[i], &b->packet[i]);
}

static void
assert_revision(const struct revision *a, const struct revision *b)
{
	ck_assert_uint_eq(a->dst_id, b->dst_id);
	ck_assert_uint_eq(a->class_id, b->class_id);
	ck_assert_int_eq(a->start.ns, b->start.ns);
	ck_assert_uint_eq(a->lost_fwd, b->lost_fwd);
	ck_assert_uint_eq(a->lost_bwd, b->lost_bwd);
	ck_assert_uint_eq(a->lost_undet, b->lost_undet);
}

START_TEST(runs_and_revisions_survive_coding)
{
	for (int round = 0; round < 200; round++) {
		struct loss_run run[5];
		struct revision rev[5];
		const struct loss_run *rp[5];
		const struct revision *vp[5];
		struct batch_input in = {.run = rp,
		                         .run_n = below(6),
		                         .revision = vp,
		                         .revision_n = below(6)};
		struct batch_body b;
		uint8_t *body;
		enum msg_err e;
		size_t len;

		for (size_t i = 0; i < 5; i++) {
			run[i] = some_run();
			rp[i] = &run[i];
			rev[i] = (struct revision){1 + (uint32_t)below(99),
			                           1 + (uint32_t)below(99),
			                           some_wall(),
			                           (uint32_t)below(1000),
			                           (uint32_t)below(1000),
			                           (uint32_t)below(1000)};
			vp[i] = &rev[i];
		}
		ck_assert(batch_body_encode(&in, &body, &len));
		field = "-";
		e = batch_body_decode(body, len, &b, &field);
		ck_assert_msg(e == MSG_OK, "%s %s", msg_err_str(e), field);
		ck_assert_uint_eq(b.rows, 0);
		ck_assert_uint_eq(b.run_n, in.run_n);
		ck_assert_uint_eq(b.revision_n, in.revision_n);
		for (size_t i = 0; i < b.run_n; i++)
			assert_run(&b.run[i], &run[i]);
		for (size_t i = 0; i < b.revision_n; i++)
			assert_revision(&b.revision[i], &rev[i]);
		batch_body_clear(&b);
		for (size_t i = 0; i < 5; i++)
			loss_run_clear(&run[i]);
		free(body);
	}
}
END_TEST

START_TEST(cut_and_flipped_runs_never_harm)
{
	for (int round = 0; round < 2000; round++) {
		struct loss_run run = some_run();
		const struct loss_run *rp = &run;
		const struct batch_input in = {.run = &rp, .run_n = 1};
		struct batch_body b;
		uint8_t *body;
		size_t len;

		ck_assert(batch_body_encode(&in, &body, &len));
		for (uint64_t n = below(8); n > 0; n--)
			body[below(len)] ^= (uint8_t)(1U << below(8));
		if (below(2))
			len = below(len + 1);
		if (batch_body_decode(body, len, &b, NULL) == MSG_OK)
			batch_body_clear(&b);
		loss_run_clear(&run);
		free(body);
	}
}
END_TEST

static struct {
	Twmesh__Wire__LossRun run, *runs[1];
	Twmesh__Wire__LossRunPackets packets;
	Twmesh__Wire__Revision rev, *revs[1];
	Twmesh__Wire__BatchBody body;
	uint32_t u[4];
	int64_t t[4];
	int32_t o[3];
} rr;

static void
rr_packets(void)
{
	Twmesh__Wire__LossRunPackets *p = &rr.packets;

	twmesh__wire__loss_run_packets__init(p);
	p->n_seq = p->n_flow = p->n_fate = p->n_reflector_seq = 1;
	p->n_t1_wall_ns = p->n_t2_wall_ns = 1;
	p->n_t3_wall_ns = p->n_t4_wall_ns = 1;
	p->n_sender_ttl = p->n_ttl = p->n_tos = 1;
	p->seq = &rr.u[0];
	p->flow = &rr.u[1];
	p->fate = &rr.u[2];
	p->reflector_seq = &rr.u[3];
	p->t1_wall_ns = &rr.t[0];
	p->t2_wall_ns = &rr.t[1];
	p->t3_wall_ns = &rr.t[2];
	p->t4_wall_ns = &rr.t[3];
	p->sender_ttl = &rr.o[0];
	p->ttl = &rr.o[1];
	p->tos = &rr.o[2];
}

static void
rr_reset(void)
{
	memset(&rr, 0, sizeof(rr));
	twmesh__wire__batch_body__init(&rr.body);
	twmesh__wire__loss_run__init(&rr.run);
	twmesh__wire__revision__init(&rr.rev);
	rr_packets();
	rr.runs[0] = &rr.run;
	rr.revs[0] = &rr.rev;
	rr.body.loss_run = rr.runs;
	rr.body.n_loss_run = 1;
	rr.body.revision = rr.revs;
	rr.body.n_revision = 1;
	rr.rev.dst_id = rr.rev.class_id = 1;
	rr.run.dst_id = rr.run.class_id = rr.run.revision = 1;
	rr.run.state = TWMESH__WIRE__LOSS_RUN_STATE__CLOSED;
	rr.run.lost_fwd = 3;
	rr.run.lower_ns = 10;
	rr.run.has_upper_ns = 1;
	rr.run.upper_ns = 20;
	rr.run.packets = &rr.packets;
	rr.run.has_src_address = rr.run.has_src_port = 1;
	rr.run.src_address = bin("\x7f\0\0\1", 4);
	rr.run.src_port = 862;
	rr.run.has_dst_address = rr.run.has_dst_port = 1;
	rr.run.dst_address = bin("0123456789abcdef", 16);
	rr.run.dst_port = 862;
}

static enum msg_err
decode_runs(void)
{
	const size_t n = twmesh__wire__batch_body__get_packed_size(&rr.body);
	uint8_t *bytes = malloc(n);
	struct batch_body out;
	enum msg_err rc;

	field = "";
	twmesh__wire__batch_body__pack(&rr.body, bytes);
	rc = batch_body_decode(bytes, n, &out, &field);
	if (rc == MSG_OK)
		batch_body_clear(&out);
	free(bytes);
	rr_reset();
	return rc;
}

#define BAD_RUN(assignment, want)                               \
	do {                                                    \
		assignment;                                     \
		ck_assert_int_eq(decode_runs(), MSG_ERR_FIELD); \
		ck_assert_str_eq(field, want);                  \
	} while (0)

START_TEST(each_field_of_a_revision_bad_once)
{
	rr_reset();
	ck_assert_int_eq(decode_runs(), MSG_OK);
	BAD_RUN(rr.rev.dst_id = 0, "revision.dst_id");
	BAD_RUN(rr.rev.class_id = UINT32_MAX, "revision.class_id");
	BAD_RUN(rr.rev.start_wall_ns = INT64_MIN, "revision.start_wall_ns");
	BAD_RUN(rr.rev.lost_fwd = UINT32_MAX, "revision.lost");
	BAD_RUN(rr.rev.lost_bwd = rr.rev.lost_undet = 1U << 30,
	        "revision.lost");
}
END_TEST

START_TEST(each_field_of_a_loss_run_bad_once)
{
	rr_reset();
	BAD_RUN(rr.run.dst_id = 0, "dst_id");
	BAD_RUN(rr.run.class_id = 0, "class_id");
	BAD_RUN(rr.run.revision = 0, "revision");
	BAD_RUN(rr.run.revision = UINT32_MAX, "revision");
	BAD_RUN(rr.run.state = (Twmesh__Wire__LossRunState)4, "state");
	BAD_RUN(rr.run.state = (Twmesh__Wire__LossRunState)-1, "state");
	BAD_RUN(rr.run.first_flow = 64, "first_flow");
	BAD_RUN(rr.run.last_flow = 64, "last_flow");
	BAD_RUN(rr.run.lost_fwd = 0, "lost"); /* a run of nothing */
	BAD_RUN(rr.run.lost_bwd = INT32_MAX, "lost");
	BAD_RUN(rr.run.lost_undet = UINT32_MAX, "lost");
	BAD_RUN(rr.run.first_wall_ns = INT64_MAX, "first_wall_ns");
	BAD_RUN(rr.run.last_wall_ns = INT64_MIN, "last_wall_ns");
	BAD_RUN(
	    (rr.run.has_before_wall_ns = 1, rr.run.before_wall_ns = INT64_MIN),
	    "before_wall_ns");
	BAD_RUN(
	    (rr.run.has_after_wall_ns = 1, rr.run.after_wall_ns = INT64_MIN),
	    "after_wall_ns");
	BAD_RUN(rr.run.lower_ns = UINT64_MAX, "lower_ns");
	BAD_RUN(rr.run.upper_ns = UINT64_MAX, "upper_ns");
	BAD_RUN(rr.run.upper_ns = 9, "upper_ns");
	BAD_RUN(rr.run.src_address.len = 3, "src_address");
	BAD_RUN(rr.run.src_port = 0, "src_address");
	BAD_RUN(rr.run.has_src_port = 0, "src_address");
	BAD_RUN(rr.run.dst_port = 65536, "dst_address");
	BAD_RUN(rr.run.has_dst_address = 0, "dst_address");
	BAD_RUN(rr.run.dst_address.len = 0, "dst_address");
	rr.run.state = TWMESH__WIRE__LOSS_RUN_STATE__RETRACTED;
	rr.run.lost_fwd = 0; /* it was none */
	rr.run.packets = NULL;
	ck_assert_int_eq(decode_runs(), MSG_OK);
}
END_TEST

START_TEST(each_field_of_its_packets_bad_once)
{
	static uint32_t many[LOSS_RUN_PACKETS_MAX + 1];

	rr_reset();
	BAD_RUN(rr.run.state = TWMESH__WIRE__LOSS_RUN_STATE__OPEN, "packets");
	BAD_RUN(rr.packets.n_seq = 0, "packets");
	BAD_RUN((rr.packets.seq = many,
	         rr.packets.n_seq = LOSS_RUN_PACKETS_MAX + 1),
	        "packets");
	BAD_RUN(rr.packets.n_flow = 0, "packets");
	BAD_RUN(rr.packets.n_fate = 0, "packets");
	BAD_RUN(rr.packets.n_t1_wall_ns = 0, "packets");
	BAD_RUN(rr.packets.n_t2_wall_ns = 0, "packets");
	BAD_RUN(rr.packets.n_t3_wall_ns = 0, "packets");
	BAD_RUN(rr.packets.n_t4_wall_ns = 0, "packets");
	BAD_RUN(rr.packets.n_reflector_seq = 0, "packets");
	BAD_RUN(rr.packets.n_sender_ttl = 0, "packets");
	BAD_RUN(rr.packets.n_ttl = 0, "packets");
	BAD_RUN(rr.packets.n_tos = 0, "packets");
	BAD_RUN(rr.u[1] = 64, "packets.flow");
	BAD_RUN(rr.u[2] = FATE_N, "packets.fate");
	BAD_RUN(rr.t[0] = INT64_MIN, "packets.t1_wall_ns");
	BAD_RUN(rr.t[1] = INT64_MAX, "packets.t2_wall_ns");
	BAD_RUN(rr.t[2] = INT64_MIN, "packets.t3_wall_ns");
	BAD_RUN(rr.t[3] = INT64_MAX, "packets.t4_wall_ns");
	BAD_RUN(rr.o[0] = -2, "packets.sender_ttl");
	BAD_RUN(rr.o[1] = 256, "packets.ttl");
	BAD_RUN(rr.o[2] = 256, "packets.tos");
}
END_TEST

/* ---- bombs ---- */

START_TEST(a_bomb_of_empty_submessages_is_refused_cheaply)
{
	const size_t len = 1U << 20;
	const size_t before = mallinfo2().uordblks;
	uint8_t *bytes = malloc(len);
	struct batch_body b;

	/* Slice, Gap, Revision, LossRun: half a million each */
	for (uint8_t tag = 0x0a; tag <= 0x22; tag += 8) {
		for (size_t i = 0; i < len; i += 2)
			bytes[i] = tag, bytes[i + 1] = 0;
		ck_assert_int_eq(batch_body_decode(bytes, len, &b, NULL),
		                 MSG_ERR_BUDGET);
	}
	ck_assert_uint_le(mallinfo2().uordblks, before + len + (1U << 16));
	free(bytes);
}
END_TEST

/* 65,536 rows of 72 columns without values: 66 kB, and no 37 MB. */
START_TEST(columns_of_zeros_share_their_memory)
{
	uint32_t *dst = calloc(MSG_ROWS_MAX, sizeof(*dst));
	Twmesh__Wire__Column column[METRIC_N], *columns[METRIC_N];
	struct batch_body b;
	size_t before, len;
	uint8_t *bytes;

	bb_reset();
	for (size_t i = 0; i < MSG_ROWS_MAX; i++)
		dst[i] = 1;
	for (size_t i = 0; i < METRIC_N; i++) {
		twmesh__wire__column__init(&column[i]);
		column[i].metric = (uint32_t)i;
		columns[i] = &column[i];
	}
	bb.slice.dst_id = dst;
	bb.slice.n_dst_id = MSG_ROWS_MAX;
	bb.slice.column = columns;
	bb.slice.n_column = METRIC_N;
	len = twmesh__wire__batch_body__get_packed_size(&bb.body);
	bytes = malloc(len);
	twmesh__wire__batch_body__pack(&bb.body, bytes);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	ck_assert_int_eq(batch_body_decode(bytes, len, &b, NULL), MSG_OK);
	ck_assert_uint_le(mallinfo2().uordblks + mallinfo2().hblkhd,
	                  before + (1U << 20));
	for (unsigned m = 1; m < METRIC_N; m++)
		ck_assert_int_eq(b.slice[0].value[m][MSG_ROWS_MAX - 1], 0);
	batch_body_clear(&b);
	free(bytes);
	free(dst);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("batch");
	TCase *t = tcase_create("coding");
	SRunner *sr;
	int failed;

	seed_rng();
	tcase_set_timeout(t, 60);
	tcase_add_test(t, results_survive_coding_as_columns);
	tcase_add_test(t, a_thousand_rows_fit_into_budget_and_message);
	tcase_add_test(t, each_field_of_a_batch_body_bad_once);
	tcase_add_test(t, columns_of_unknown_metrics_are_skipped);
	tcase_add_test(t, runs_and_revisions_survive_coding);
	tcase_add_test(t, cut_and_flipped_runs_never_harm);
	tcase_add_test(t, each_field_of_a_revision_bad_once);
	tcase_add_test(t, each_field_of_a_loss_run_bad_once);
	tcase_add_test(t, each_field_of_its_packets_bad_once);
	tcase_add_test(t, a_bomb_of_empty_submessages_is_refused_cheaply);
	tcase_add_test(t, columns_of_zeros_share_their_memory);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
