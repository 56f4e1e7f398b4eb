/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loss runs inside a batch, both ways. The packets around a run are columns,
 * as results are: an instant that is not known is 0 there and NS_UNKNOWN in
 * ours.
 */
#include "lib/bus/wire.h"

#include <assert.h>
#include <stdlib.h>

static_assert((int)TWMESH__WIRE__LOSS_RUN_STATE__RETRACTED ==
                      (int)LOSS_RUN_RETRACTED &&
                  (int)TWMESH__WIRE__LOSS_RUN_STATE__CLOSED ==
                      (int)LOSS_RUN_CLOSED,
              "the states are the wire's");

/* ---- decoding ---- */

static bool
get_stamp(struct wire_get *w, const char *field, int64_t ns, struct wall *out)
{
	if (ns == 0) {
		out->ns = NS_UNKNOWN;
		return true;
	}
	return get_wall(w, field, ns, out);
}

/* An octet of the IP header, or -1. */
static bool
get_octet(struct wire_get *w, const char *field, int32_t v, int16_t *out)
{
	if (v < -1 || v > UINT8_MAX)
		return wire_bad(w, field);
	*out = (int16_t)v;
	return true;
}

static bool
get_packet(struct wire_get *w, const Twmesh__Wire__LossRunPackets *in, size_t i,
           struct loss_run_packet *out)
{
	uint32_t flow, fate;

	if (!get_u32(w, "packets.flow", in->flow[i], 0, WIRE_FLOWS_MAX - 1,
	             &flow) ||
	    !get_u32(w, "packets.fate", in->fate[i], 0, FATE_N - 1, &fate) ||
	    !get_stamp(w, "packets.t1_wall_ns", in->t1_wall_ns[i], &out->t1) ||
	    !get_stamp(w, "packets.t2_wall_ns", in->t2_wall_ns[i], &out->t2) ||
	    !get_stamp(w, "packets.t3_wall_ns", in->t3_wall_ns[i], &out->t3) ||
	    !get_stamp(w, "packets.t4_wall_ns", in->t4_wall_ns[i], &out->t4) ||
	    !get_octet(w, "packets.sender_ttl", in->sender_ttl[i],
	               &out->sender_ttl) ||
	    !get_octet(w, "packets.ttl", in->ttl[i], &out->ttl) ||
	    !get_octet(w, "packets.tos", in->tos[i], &out->tos))
		return false;
	out->flow = (uint16_t)flow;
	out->fate = (uint8_t)fate;
	out->seq = in->seq[i];
	out->reflector_seq = in->reflector_seq[i];
	return true;
}

static bool
columns_have(const Twmesh__Wire__LossRunPackets *p, size_t n)
{
	return p->n_flow == n && p->n_fate == n && p->n_t1_wall_ns == n &&
	       p->n_t2_wall_ns == n && p->n_t3_wall_ns == n &&
	       p->n_t4_wall_ns == n && p->n_reflector_seq == n &&
	       p->n_sender_ttl == n && p->n_ttl == n && p->n_tos == n;
}

static bool
get_packets(struct wire_get *w, const Twmesh__Wire__LossRun *in,
            struct loss_run *out)
{
	const Twmesh__Wire__LossRunPackets *p = in->packets;
	const size_t n = p ? p->n_seq : 0;

	if (!p)
		return true;
	if (n > LOSS_RUN_PACKETS_MAX || !columns_have(p, n) ||
	    out->state != LOSS_RUN_CLOSED)
		return wire_bad(w, "packets");
	if (n == 0)
		return true;
	out->packet = calloc(n, sizeof(*out->packet));
	if (!out->packet)
		return false;
	out->packet_n = n;
	for (size_t i = 0; i < n; i++) {
		if (!get_packet(w, p, i, &out->packet[i]))
			return false;
	}
	return true;
}

/* An address comes with its port, or neither does. */
static bool
get_end(struct wire_get *w, const char *field, bool has_address,
        ProtobufCBinaryData address, bool has_port, uint32_t port,
        struct addr *out)
{
	uint16_t p;

	out->len = 0;
	if (!has_address && !has_port)
		return true;
	if (!has_address || !has_port || !get_port(w, field, port, &p) ||
	    !addr_from_bytes(address.data, address.len, p, out))
		return wire_bad(w, field);
	return true;
}

static bool
get_duration(struct wire_get *w, const char *field, uint64_t v, int64_t *out)
{
	if (v > WIRE_DURATION_MAX)
		return wire_bad(w, field);
	*out = (int64_t)v;
	return true;
}

static bool
get_times(struct wire_get *w, const Twmesh__Wire__LossRun *in,
          struct loss_run *out)
{
	out->before.ns = out->after.ns = out->upper_ns = NS_UNKNOWN;
	if (!get_wall(w, "first_wall_ns", in->first_wall_ns, &out->first) ||
	    !get_wall(w, "last_wall_ns", in->last_wall_ns, &out->last) ||
	    !get_duration(w, "lower_ns", in->lower_ns, &out->lower_ns) ||
	    (in->has_before_wall_ns &&
	     !get_wall(w, "before_wall_ns", in->before_wall_ns,
	               &out->before)) ||
	    (in->has_after_wall_ns &&
	     !get_wall(w, "after_wall_ns", in->after_wall_ns, &out->after)) ||
	    (in->has_upper_ns &&
	     !get_duration(w, "upper_ns", in->upper_ns, &out->upper_ns)))
		return false;
	if (in->has_upper_ns && out->upper_ns < out->lower_ns)
		return wire_bad(w, "upper_ns");
	return true;
}

static bool
get_counts(struct wire_get *w, const Twmesh__Wire__LossRun *in,
           struct loss_run *out)
{
	if (!get_lost(w, "lost", in->lost_fwd, in->lost_bwd, in->lost_undet))
		return false;
	out->lost_fwd = in->lost_fwd;
	out->lost_bwd = in->lost_bwd;
	out->lost_undet = in->lost_undet;
	out->lost = in->lost_fwd + in->lost_bwd + in->lost_undet;
	if (out->lost == 0 && out->state != LOSS_RUN_RETRACTED)
		return wire_bad(w, "lost");
	return true;
}

static bool
get_run(struct wire_get *w, const Twmesh__Wire__LossRun *in,
        struct loss_run *out)
{
	uint32_t state, first_flow, last_flow;

	if (!get_u32(w, "dst_id", in->dst_id, 1, INT32_MAX, &out->dst_id) ||
	    !get_u32(w, "class_id", in->class_id, 1, INT32_MAX,
	             &out->class_id) ||
	    !get_u32(w, "revision", in->revision, 1, INT32_MAX,
	             &out->revision) ||
	    !get_u32(w, "state", (uint32_t)in->state, 0, LOSS_RUN_STATES - 1,
	             &state) ||
	    !get_u32(w, "first_flow", in->first_flow, 0, WIRE_FLOWS_MAX - 1,
	             &first_flow) ||
	    !get_u32(w, "last_flow", in->last_flow, 0, WIRE_FLOWS_MAX - 1,
	             &last_flow))
		return false;
	out->run_id = in->run_id;
	out->state = (enum loss_run_state)state;
	out->first_seq = in->first_seq;
	out->last_seq = in->last_seq;
	out->first_flow = (uint16_t)first_flow;
	out->last_flow = (uint16_t)last_flow;
	out->reflector_restart =
	    in->has_reflector_restart && in->reflector_restart;
	out->host_limited = in->has_host_limited && in->host_limited;
	return get_counts(w, in, out) && get_times(w, in, out) &&
	       get_end(w, "src_address", in->has_src_address, in->src_address,
	               in->has_src_port, in->src_port, &out->src) &&
	       get_end(w, "dst_address", in->has_dst_address, in->dst_address,
	               in->has_dst_port, in->dst_port, &out->dst) &&
	       get_packets(w, in, out);
}

bool
get_runs(struct wire_get *w, Twmesh__Wire__LossRun *const *in, size_t n,
         struct batch_body *out)
{
	if (n > MSG_RUNS_MAX)
		return wire_bad(w, "loss_run");
	if (n == 0)
		return true;
	out->run = calloc(n, sizeof(*out->run));
	if (!out->run)
		return false;
	out->run_n = n;
	for (size_t i = 0; i < n; i++) {
		if (!get_run(w, in[i], &out->run[i]))
			return false;
	}
	return true;
}

/* ---- encoding ---- */

/* The columns of n packets, from one piece of memory per type. */
static bool
put_columns(struct arena *a, Twmesh__Wire__LossRunPackets *w, size_t n)
{
	uint32_t *u = arena_array(a, n * 4, sizeof(*u));
	int64_t *t = arena_array(a, n * 4, sizeof(*t));
	int32_t *o = arena_array(a, n * 3, sizeof(*o));

	if (!u || !t || !o)
		return false;
	w->n_seq = w->n_flow = w->n_fate = w->n_reflector_seq = n;
	w->n_t1_wall_ns = w->n_t2_wall_ns = n;
	w->n_t3_wall_ns = w->n_t4_wall_ns = n;
	w->n_sender_ttl = w->n_ttl = w->n_tos = n;
	w->seq = u;
	w->flow = u + n;
	w->fate = u + 2 * n;
	w->reflector_seq = u + 3 * n;
	w->t1_wall_ns = t;
	w->t2_wall_ns = t + n;
	w->t3_wall_ns = t + 2 * n;
	w->t4_wall_ns = t + 3 * n;
	w->sender_ttl = o;
	w->ttl = o + n;
	w->tos = o + 2 * n;
	return true;
}

static int64_t
put_stamp(struct wall t)
{
	return t.ns == NS_UNKNOWN ? 0 : t.ns;
}

static Twmesh__Wire__LossRunPackets *
put_packets(struct arena *a, const struct loss_run_packet *p, size_t n)
{
	Twmesh__Wire__LossRunPackets *w = arena_alloc(a, sizeof(*w));

	if (!w || n > LOSS_RUN_PACKETS_MAX)
		return NULL;
	twmesh__wire__loss_run_packets__init(w);
	if (!put_columns(a, w, n))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		w->seq[i] = p[i].seq;
		w->flow[i] = p[i].flow;
		w->fate[i] = p[i].fate;
		w->reflector_seq[i] = p[i].reflector_seq;
		w->t1_wall_ns[i] = put_stamp(p[i].t1);
		w->t2_wall_ns[i] = put_stamp(p[i].t2);
		w->t3_wall_ns[i] = put_stamp(p[i].t3);
		w->t4_wall_ns[i] = put_stamp(p[i].t4);
		w->sender_ttl[i] = p[i].sender_ttl;
		w->ttl[i] = p[i].ttl;
		w->tos[i] = p[i].tos;
	}
	return w;
}

static ProtobufCBinaryData
put_addr(const struct addr *a)
{
	size_t len = 0;
	const uint8_t *p = addr_bytes(a, &len);

	return put_bytes(p, len);
}

static void
put_ends(Twmesh__Wire__LossRun *w, const struct loss_run *r)
{
	w->has_src_address = w->has_src_port = r->src.len != 0;
	if (w->has_src_address) {
		w->src_address = put_addr(&r->src);
		w->src_port = addr_port(&r->src);
	}
	w->has_dst_address = w->has_dst_port = r->dst.len != 0;
	if (w->has_dst_address) {
		w->dst_address = put_addr(&r->dst);
		w->dst_port = addr_port(&r->dst);
	}
}

static void
put_times(Twmesh__Wire__LossRun *w, const struct loss_run *r)
{
	w->first_wall_ns = r->first.ns;
	w->last_wall_ns = r->last.ns;
	w->has_before_wall_ns = r->before.ns != NS_UNKNOWN;
	w->before_wall_ns = r->before.ns;
	w->has_after_wall_ns = r->after.ns != NS_UNKNOWN;
	w->after_wall_ns = r->after.ns;
	w->lower_ns = (uint64_t)r->lower_ns;
	w->has_upper_ns = r->upper_ns != NS_UNKNOWN;
	w->upper_ns = (uint64_t)r->upper_ns;
}

static bool
put_run(struct arena *a, const struct loss_run *r, Twmesh__Wire__LossRun *w)
{
	twmesh__wire__loss_run__init(w);
	w->dst_id = r->dst_id;
	w->class_id = r->class_id;
	w->run_id = r->run_id;
	w->revision = r->revision;
	w->state = (Twmesh__Wire__LossRunState)r->state;
	w->first_seq = r->first_seq;
	w->last_seq = r->last_seq;
	w->first_flow = r->first_flow;
	w->last_flow = r->last_flow;
	w->lost_fwd = r->lost_fwd;
	w->lost_bwd = r->lost_bwd;
	w->lost_undet = r->lost_undet;
	w->has_reflector_restart = w->reflector_restart = r->reflector_restart;
	w->has_host_limited = w->host_limited = r->host_limited;
	put_times(w, r);
	put_ends(w, r);
	if (r->packet_n == 0)
		return true;
	w->packets = put_packets(a, r->packet, r->packet_n);
	return w->packets;
}

bool
put_runs(struct arena *a, const struct loss_run *const *run, size_t n,
         Twmesh__Wire__BatchBody *b)
{
	Twmesh__Wire__LossRun *w = arena_array(a, n, sizeof(*w));

	b->loss_run = arena_array(a, n, sizeof(Twmesh__Wire__LossRun *));
	if (!w || !b->loss_run || n > MSG_RUNS_MAX)
		return false;
	b->n_loss_run = n;
	for (size_t i = 0; i < n; i++) {
		b->loss_run[i] = &w[i];
		if (!put_run(a, run[i], &w[i]))
			return false;
	}
	return true;
}
