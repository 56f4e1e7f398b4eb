/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Validation of every message but the results inside a batch (batch.c).
 */
#include "lib/bus/wire.h"

#include <stdlib.h>
#include <string.h>

#define SOFTWARE_MAX 63
#define CAPABILITIES_MAX 32
#define CAPABILITY_MAX 64
#define RATE_MPPS_MAX 20000000U /* 50 us between packets */
#define INTERVAL_MS_MAX 86400000U
#define TIMEOUT_MS_MAX 600000U
#define SPREAD_MS_MAX 600000U
#define SIZE_OCTETS_MIN 80U
#define SIZE_OCTETS_MAX 1472U
#define JITTER_BUFFER_MS_MAX 10000U
#define WINDOW_MAX 65535U
#define ACKS_MAX 65536

static bool
get_site(struct wire_get *w, protobuf_c_boolean has, ProtobufCBinaryData b,
         char out[NAME_MAX_CHARS + 1])
{
	out[0] = '\0';
	return !has || b.len == 0 || get_name(w, "site", b, out);
}

static bool
get_facts(struct wire_get *w, Twmesh__Wire__Fact *const *fact, size_t n,
          struct msg_hello *h)
{
	if (n > MSG_FACTS_MAX)
		return wire_bad(w, "fact");
	if (n == 0)
		return true;
	h->fact = calloc(n, sizeof(*h->fact));
	if (!h->fact)
		return false;
	h->fact_n = n;
	for (size_t i = 0; i < n; i++) {
		struct msg_fact *f = &h->fact[i];

		if (!get_text(w, "fact.key", fact[i]->key, 1, f->key,
		              sizeof(f->key)) ||
		    !get_text(w, "fact.value", fact[i]->value, 0, f->value,
		              sizeof(f->value)))
			return false;
	}
	return true;
}

static bool
get_capabilities(struct wire_get *w, const ProtobufCBinaryData *c, size_t n)
{
	char text[CAPABILITY_MAX + 1];

	if (n > CAPABILITIES_MAX)
		return wire_bad(w, "capability");
	for (size_t i = 0; i < n; i++) {
		if (!get_text(w, "capability", c[i], 1, text, sizeof(text)))
			return false;
	}
	return true;
}

static bool
get_hello(struct wire_get *w, const Twmesh__Wire__Hello *h,
          struct msg_hello *out)
{
	return get_name(w, "name", h->name, out->name) &&
	       get_site(w, h->has_site, h->site, out->site) &&
	       get_port(w, "reflector_port", h->reflector_port,
	                &out->reflector_port) &&
	       get_addrs(w, h->address, h->n_address, out->reflector_port,
	                 out->address, &out->address_n) &&
	       get_text(w, "software", h->software, 0, out->software,
	                sizeof(out->software)) &&
	       get_capabilities(w, h->capability, h->n_capability) &&
	       get_facts(w, h->fact, h->n_fact, out) &&
	       get_id16(w, "spool_id", h->spool_id, &out->spool_id) &&
	       get_u64(w, "spool_next_seq", h->spool_next_seq,
	               &out->spool_next_seq) &&
	       get_u64(w, "roster_epoch", h->roster_epoch, &out->roster_epoch);
}

static bool
get_welcome(struct wire_get *w, const Twmesh__Wire__Welcome *m,
            struct msg_welcome *out)
{
	return get_id16(w, "instance_id", m->instance_id, &out->instance_id) &&
	       get_id16(w, "incarnation_id", m->incarnation_id,
	                &out->incarnation_id) &&
	       get_u32(w, "node_id", m->node_id, 1, INT32_MAX, &out->node_id) &&
	       get_wall(w, "controller_wall_ns", m->controller_wall_ns,
	                &out->controller_wall) &&
	       get_u64(w, "ledger_next_seq", m->ledger_next_seq,
	               &out->ledger_next_seq) &&
	       get_u32(w, "window", m->window, 1, WINDOW_MAX, &out->window);
}

static bool
get_node(struct wire_get *w, const Twmesh__Wire__Node *n,
         struct roster_node *out)
{
	out->paused = n->has_paused && n->paused;
	if (!get_u64(w, "mesh", n->mesh, &out->mesh) ||
	    !get_u64(w, "hub", n->hub, &out->hub))
		return false;
	return get_u32(w, "node_id", n->node_id, 1, INT32_MAX, &out->node_id) &&
	       get_name(w, "name", n->name, out->name) &&
	       get_site(w, n->has_site, n->site, out->site) &&
	       get_port(w, "reflector_port", n->reflector_port,
	                &out->reflector_port) &&
	       get_addrs(w, n->address, n->n_address, out->reflector_port,
	                 out->address, &out->address_n);
}

static int
node_by_id(const void *a, const void *b)
{
	const struct roster_node *x = a, *y = b;

	return (x->node_id > y->node_id) - (x->node_id < y->node_id);
}

/* Nodes and targets of a message. */
struct members {
	Twmesh__Wire__Node *const *node;
	size_t node_n;
	Twmesh__Wire__Target *const *target;
	size_t target_n;
};

static bool
get_target(struct wire_get *w, const Twmesh__Wire__Target *t,
           struct roster_node *out)
{
	out->kind = t->has_light && t->light ? NODE_LIGHT : NODE_STAMP;
	return get_node(w, t->node, out);
}

/* Sorted by id, ids unique. *out is NULL and *out_n 0 on failure. */
static bool
get_nodes(struct wire_get *w, const struct members *m, struct roster_node **out,
          size_t *out_n)
{
	struct roster_node *nodes;
	size_t n = m->node_n + m->target_n;

	if (m->node_n > MSG_NODES_MAX || m->target_n > MSG_NODES_MAX ||
	    n > MSG_NODES_MAX)
		return wire_bad(w,
		                m->node_n > MSG_NODES_MAX ? "node" : "target");
	if (n == 0)
		return true;
	nodes = calloc(n, sizeof(*nodes));
	if (!nodes)
		return false;
	*out = nodes;
	*out_n = n;
	for (size_t i = 0; i < n; i++) {
		if (i < m->node_n
		        ? !get_node(w, m->node[i], &nodes[i])
		        : !get_target(w, m->target[i - m->node_n], &nodes[i]))
			return false;
	}
	qsort(nodes, n, sizeof(*nodes), node_by_id);
	for (size_t i = 1; i < n; i++) {
		if (nodes[i].node_id == nodes[i - 1].node_id)
			return wire_bad(w, "node_id");
	}
	return true;
}

static bool
get_class_packets(struct wire_get *w, const Twmesh__Wire__Class *c,
                  struct roster_class *out)
{
	uint32_t dscp, size, rate;

	if (c->family != 0 && c->family != 4 && c->family != 6)
		return wire_bad(w, "family");
	out->family = (int)c->family;
	if (c->schedule != TWMESH__WIRE__SCHEDULE__PERIODIC &&
	    c->schedule != TWMESH__WIRE__SCHEDULE__POISSON)
		return wire_bad(w, "schedule");
	out->schedule = c->schedule == TWMESH__WIRE__SCHEDULE__POISSON
	                    ? SCHEDULE_POISSON
	                    : SCHEDULE_PERIODIC;
	if (!get_u32(w, "dscp", c->dscp, 0, 63, &dscp) ||
	    !get_u32(w, "size_octets", c->size_octets, SIZE_OCTETS_MIN,
	             SIZE_OCTETS_MAX, &size) ||
	    !get_u32(w, "rate_mpps", c->rate_mpps, 1, RATE_MPPS_MAX, &rate) ||
	    !get_u32(w, "flows", c->flows, 1, WIRE_FLOWS_MAX, &out->flows))
		return false;
	out->dscp = (uint8_t)dscp;
	out->size_octets = (uint16_t)size;
	out->gap_ns = 1000 * NS_PER_S / rate;
	return true;
}

static bool
get_class_report(struct wire_get *w, const Twmesh__Wire__Class *c,
                 struct roster_class *out)
{
	uint32_t codec, buffer_ms;

	out->detail = c->has_detail && c->detail;
	if (!get_u32(w, "codec", c->codec, VOICE_NONE, VOICE_CODECS - 1,
	             &codec) ||
	    !get_u32(w, "jitter_buffer_ms", c->jitter_buffer_ms, 0,
	             JITTER_BUFFER_MS_MAX, &buffer_ms))
		return false;
	out->codec = (enum voice_codec)codec;
	out->jitter_buffer_ns = buffer_ms * NS_PER_MS;
	return true;
}

static bool
get_class(struct wire_get *w, const Twmesh__Wire__Class *c,
          struct roster_class *out)
{
	uint32_t interval_ms, timeout_ms, spread_ms;

	if (!get_u32(w, "class_id", c->class_id, 1, INT32_MAX,
	             &out->class_id) ||
	    !get_name(w, "name", c->name, out->name) ||
	    !get_u32(w, "version", c->version, 0, INT32_MAX, &out->version) ||
	    !get_class_packets(w, c, out) || !get_class_report(w, c, out) ||
	    !get_u64(w, "mesh", c->mesh, &out->mesh) ||
	    !get_u32(w, "interval_ms", c->interval_ms, 1, INTERVAL_MS_MAX,
	             &interval_ms) ||
	    !get_u32(w, "loss_timeout_ms", c->loss_timeout_ms, 1,
	             TIMEOUT_MS_MAX, &timeout_ms) ||
	    !get_u32(w, "ship_spread_ms", c->ship_spread_ms, 0, SPREAD_MS_MAX,
	             &spread_ms))
		return false;
	out->interval_ns = interval_ms * NS_PER_MS;
	out->loss_timeout_ns = timeout_ms * NS_PER_MS;
	out->ship_spread_ns = spread_ms * NS_PER_MS;
	return true;
}

static int
class_by_id(const void *a, const void *b)
{
	const struct roster_class *x = a, *y = b;

	return (x->class_id > y->class_id) - (x->class_id < y->class_id);
}

static bool
get_classes(struct wire_get *w, const Twmesh__Wire__Roster *r,
            struct roster *out)
{
	const size_t n = r->n_class_;

	if (n > MSG_CLASSES_MAX)
		return wire_bad(w, "class");
	if (n == 0)
		return true;
	out->class_ = calloc(n, sizeof(*out->class_));
	if (!out->class_)
		return false;
	out->class_n = n;
	for (size_t i = 0; i < n; i++) {
		if (!get_class(w, r->class_[i], &out->class_[i]))
			return false;
	}
	qsort(out->class_, n, sizeof(*out->class_), class_by_id);
	for (size_t i = 1; i < n; i++) {
		if (out->class_[i].class_id == out->class_[i - 1].class_id)
			return wire_bad(w, "class_id");
	}
	return true;
}

static bool
get_roster(struct wire_get *w, const Twmesh__Wire__Roster *r,
           struct roster *out)
{
	const struct members m = {r->node, r->n_node, r->target, r->n_target};

	out->planned = r->has_planned && r->planned;
	return get_u64(w, "epoch", r->epoch, &out->epoch) &&
	       get_nodes(w, &m, &out->node, &out->node_n) &&
	       get_classes(w, r, out);
}

static int
u32_order(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool
get_removed(struct wire_get *w, const Twmesh__Wire__RosterDelta *d,
            struct roster_delta *out)
{
	const size_t n = d->n_removed_node_id;

	if (n > MSG_NODES_MAX)
		return wire_bad(w, "removed_node_id");
	if (n == 0)
		return true;
	out->removed = calloc(n, sizeof(*out->removed));
	if (!out->removed)
		return false;
	out->removed_n = n;
	for (size_t i = 0; i < n; i++) {
		if (!get_u32(w, "removed_node_id", d->removed_node_id[i], 1,
		             INT32_MAX, &out->removed[i]))
			return false;
	}
	qsort(out->removed, n, sizeof(*out->removed), u32_order);
	return true;
}

static bool
get_delta(struct wire_get *w, const Twmesh__Wire__RosterDelta *d,
          struct roster_delta *out)
{
	const struct members m = {d->upsert, d->n_upsert, d->upsert_target,
	                          d->n_upsert_target};

	if (!get_u64(w, "from_epoch", d->from_epoch, &out->from_epoch) ||
	    !get_u64(w, "epoch", d->epoch, &out->epoch))
		return false;
	if (out->epoch <= out->from_epoch)
		return wire_bad(w, "epoch");
	return get_nodes(w, &m, &out->upsert, &out->upsert_n) &&
	       get_removed(w, d, out);
}

static bool
get_heartbeat_node(struct wire_get *w, const Twmesh__Wire__Heartbeat *h,
                   struct msg_heartbeat *out)
{
	out->clock.synchronised =
	    h->has_clock_synchronised && h->clock_synchronised;
	out->clock.max_error_ns = h->has_clock_max_error_us
	                              ? h->clock_max_error_us * NS_PER_US
	                              : NS_UNKNOWN;
	return get_u64(w, "spool_batches", h->spool_batches,
	               &out->spool_batches) &&
	       get_u64(w, "spool_bytes", h->spool_bytes, &out->spool_bytes) &&
	       get_u32(w, "load1_milli", h->load1_milli, 0, INT32_MAX,
	               &out->load1_milli) &&
	       get_u32(w, "rss_kib", h->rss_kib, 0, INT32_MAX, &out->rss_kib) &&
	       get_u32(w, "sessions", h->sessions, 0, INT32_MAX,
	               &out->sessions) &&
	       get_u64(w, "reflector_rx_drops", h->reflector_rx_drops,
	               &out->reflector_rx_drops);
}

static bool
get_host_limited(struct wire_get *w, const Twmesh__Wire__Heartbeat *h,
                 struct msg_heartbeat *out)
{
	if (h->n_host_limited > MSG_HOST_LIMITED_MAX)
		return wire_bad(w, "host_limited");
	out->host_limited_n = h->n_host_limited;
	for (size_t i = 0; i < h->n_host_limited; i++) {
		const Twmesh__Wire__HostLimited *in = h->host_limited[i];
		struct host_limited *o = &out->host_limited[i];

		if (!get_wall(w, "host_limited.from_wall_ns", in->from_wall_ns,
		              &o->from) ||
		    !get_wall(w, "host_limited.to_wall_ns", in->to_wall_ns,
		              &o->to) ||
		    !get_u64(w, "host_limited.drops", in->drops, &o->drops) ||
		    !get_u64(w, "host_limited.held", in->held, &o->held))
			return false;
		if (o->to.ns < o->from.ns)
			return wire_bad(w, "host_limited.to_wall_ns");
	}
	return true;
}

static bool
get_mark(struct wire_get *w, const Twmesh__Wire__ClockMark *m,
         struct clock_mark *out)
{
	struct wall less;

	if (!m)
		return true;
	if (!get_wall(w, "clock.wall_less_boot_ns", m->wall_less_boot_ns,
	              &less))
		return false;
	if (m->boot_id.len != sizeof(out->boot_id))
		return wire_bad(w, "clock.boot_id");
	memcpy(out->boot_id, m->boot_id.data, sizeof(out->boot_id));
	out->ns = less.ns;
	out->known = true;
	return true;
}

static bool
get_heartbeat(struct wire_get *w, const Twmesh__Wire__Heartbeat *h,
              struct msg_heartbeat *out)
{
	if (h->has_echo_sent_wall_ns != h->has_echo_received_wall_ns)
		return wire_bad(w, "echo_received_wall_ns");
	out->has_echo = h->has_echo_sent_wall_ns;
	if (out->has_echo &&
	    (!get_wall(w, "echo_sent_wall_ns", h->echo_sent_wall_ns,
	               &out->echo_sent) ||
	     !get_wall(w, "echo_received_wall_ns", h->echo_received_wall_ns,
	               &out->echo_received)))
		return false;
	out->has_instance = h->has_instance_id;
	if (out->has_instance &&
	    !get_id16(w, "instance_id", h->instance_id, &out->instance_id))
		return false;
	out->storing = h->has_storing && h->storing;
	return get_wall(w, "sent_wall_ns", h->sent_wall_ns, &out->sent) &&
	       get_u64(w, "epoch", h->epoch, &out->epoch) &&
	       get_heartbeat_node(w, h, out) && get_host_limited(w, h, out) &&
	       get_mark(w, h->clock, &out->mark);
}

static bool
get_batch(struct wire_get *w, const Twmesh__Wire__Batch *b,
          struct msg_batch *out)
{
	uint8_t digest[sizeof(out->digest)];

	if (!get_id16(w, "spool_id", b->spool_id, &out->spool_id) ||
	    !get_u64(w, "seq", b->seq, &out->seq) ||
	    !get_u32(w, "rows", b->rows, 0, MSG_ROWS_MAX, &out->rows) ||
	    !get_mark(w, b->clock, &out->mark))
		return false;
	if (out->seq == 0)
		return wire_bad(w, "seq");
	if (b->body.len == 0)
		return wire_bad(w, "body");
	batch_digest(b->body.data, b->body.len, digest);
	if (b->digest.len != sizeof(digest) ||
	    memcmp(b->digest.data, digest, sizeof(digest)) != 0)
		return wire_bad(w, "digest");
	out->body = malloc(b->body.len);
	if (!out->body)
		return false;
	memcpy(out->body, b->body.data, b->body.len);
	out->body_len = b->body.len;
	memcpy(out->digest, digest, sizeof(digest));
	return true;
}

static bool
get_ack(struct wire_get *w, const Twmesh__Wire__BatchAck *a,
        struct msg_batch_ack *out)
{
	const size_t n = a->n_seq;

	if (n == 0 || n > ACKS_MAX)
		return wire_bad(w, "seq");
	if (a->n_status != n)
		return wire_bad(w, "status");
	if (!get_id16(w, "spool_id", a->spool_id, &out->spool_id) ||
	    !get_text(w, "reason", a->reason, 0, out->reason,
	              sizeof(out->reason)))
		return false;
	out->seq = calloc(n, sizeof(*out->seq));
	out->status = calloc(n, sizeof(*out->status));
	if (!out->seq || !out->status)
		return false;
	out->n = n;
	for (size_t i = 0; i < n; i++) {
		if (!get_u64(w, "seq", a->seq[i], &out->seq[i]))
			return false;
		if (a->status[i] < TWMESH__WIRE__ACK_STATUS__STORED ||
		    a->status[i] > TWMESH__WIRE__ACK_STATUS__PUT_ASIDE)
			return wire_bad(w, "status");
		out->status[i] = (enum ack_status)a->status[i];
	}
	return true;
}

static bool
get_join(struct wire_get *w, const Twmesh__Wire__Join *j, struct msg_join *out)
{
	if (j->key.len != sizeof(out->key))
		return wire_bad(w, "key");
	memcpy(out->key, j->key.data, sizeof(out->key));
	return get_name(w, "name", j->name, out->name);
}

bool
wire_get_body(struct wire_get *w, const Twmesh__Wire__Envelope *e,
              struct msg *out)
{
	switch ((int)e->body_case) {
	case TWMESH__WIRE__ENVELOPE__BODY_HELLO:
		out->kind = MESH_HELLO;
		return get_hello(w, e->hello, &out->u.hello);
	case TWMESH__WIRE__ENVELOPE__BODY_WELCOME:
		out->kind = MESH_WELCOME;
		return get_welcome(w, e->welcome, &out->u.welcome);
	case TWMESH__WIRE__ENVELOPE__BODY_NEED_HELLO:
		out->kind = MESH_NEED_HELLO;
		return true;
	case TWMESH__WIRE__ENVELOPE__BODY_ROSTER:
		out->kind = MESH_ROSTER;
		return get_roster(w, e->roster, &out->u.roster);
	case TWMESH__WIRE__ENVELOPE__BODY_ROSTER_DELTA:
		out->kind = MESH_ROSTER_DELTA;
		return get_delta(w, e->roster_delta, &out->u.delta);
	case TWMESH__WIRE__ENVELOPE__BODY_HEARTBEAT:
		out->kind = MESH_HEARTBEAT;
		return get_heartbeat(w, e->heartbeat, &out->u.heartbeat);
	case TWMESH__WIRE__ENVELOPE__BODY_BATCH:
		out->kind = MESH_BATCH;
		return get_batch(w, e->batch, &out->u.batch);
	case TWMESH__WIRE__ENVELOPE__BODY_BATCH_ACK:
		out->kind = MESH_BATCH_ACK;
		return get_ack(w, e->batch_ack, &out->u.ack);
	case TWMESH__WIRE__ENVELOPE__BODY_BYE:
		out->kind = MESH_BYE;
		return get_text(w, "reason", e->bye->reason, 0, out->u.reason,
		                sizeof(out->u.reason));
	case TWMESH__WIRE__ENVELOPE__BODY_REFUSED:
		out->kind = MESH_REFUSED;
		return get_text(w, "reason", e->refused->reason, 0,
		                out->u.reason, sizeof(out->u.reason));
	case TWMESH__WIRE__ENVELOPE__BODY_JOIN:
		out->kind = MESH_JOIN;
		return get_join(w, e->join, &out->u.join);
	case TWMESH__WIRE__ENVELOPE__BODY_JOINED:
		out->kind = MESH_JOINED;
		return get_u32(w, "node_id", e->joined->node_id, 1, INT32_MAX,
		               &out->u.joined_id);
	default:
		out->kind = MESH_NEED_HELLO; /* owns nothing */
		return wire_bad(w, "body");
	}
}
