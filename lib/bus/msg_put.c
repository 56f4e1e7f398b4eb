/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building wire structs from ours. Nothing is copied that protobuf-c can
 * borrow from the message for the time of packing.
 */
#include "lib/bus/wire.h"

#include <string.h>

static Twmesh__Wire__Hello *
put_hello(struct arena *a, const struct msg_hello *h)
{
	Twmesh__Wire__Hello *w = arena_alloc(a, sizeof(*w));
	Twmesh__Wire__Fact **fact = arena_array(a, h->fact_n, sizeof(*fact));
	ProtobufCBinaryData *address = put_addrs(a, h->address, h->address_n);

	if (!w || !fact || !address)
		return NULL;
	twmesh__wire__hello__init(w);
	w->name = put_text(h->name);
	w->has_site = h->site[0] != '\0';
	w->site = put_text(h->site);
	w->address = address;
	w->n_address = h->address_n;
	w->reflector_port = h->reflector_port;
	w->has_software = h->software[0] != '\0';
	w->software = put_text(h->software);
	for (size_t i = 0; i < h->fact_n; i++) {
		fact[i] = arena_alloc(a, sizeof(**fact));
		if (!fact[i])
			return NULL;
		twmesh__wire__fact__init(fact[i]);
		fact[i]->key = put_text(h->fact[i].key);
		fact[i]->value = put_text(h->fact[i].value);
	}
	w->fact = fact;
	w->n_fact = h->fact_n;
	w->spool_id = put_bytes(h->spool_id.b, ID16_BYTES);
	w->has_spool_next_seq = true;
	w->spool_next_seq = h->spool_next_seq;
	w->has_roster_epoch = true;
	w->roster_epoch = h->roster_epoch;
	return w;
}

static Twmesh__Wire__Welcome *
put_welcome(struct arena *a, const struct msg_welcome *m)
{
	Twmesh__Wire__Welcome *w = arena_alloc(a, sizeof(*w));

	if (!w)
		return NULL;
	twmesh__wire__welcome__init(w);
	w->instance_id = put_bytes(m->instance_id.b, ID16_BYTES);
	w->incarnation_id = put_bytes(m->incarnation_id.b, ID16_BYTES);
	w->node_id = m->node_id;
	w->controller_wall_ns = m->controller_wall.ns;
	w->ledger_next_seq = m->ledger_next_seq;
	w->window = m->window;
	return w;
}

static bool
put_node(struct arena *a, const struct roster_node *n, Twmesh__Wire__Node *w)
{
	twmesh__wire__node__init(w);
	w->node_id = n->node_id;
	w->name = put_text(n->name);
	w->has_site = n->site[0] != '\0';
	w->site = put_text(n->site);
	w->n_address = n->address_n;
	w->address = put_addrs(a, n->address, n->address_n);
	w->reflector_port = n->reflector_port;
	w->has_paused = w->paused = n->paused;
	w->has_mesh = n->mesh != 0;
	w->mesh = n->mesh;
	w->has_hub = n->hub != 0;
	w->hub = n->hub;
	return w->address != NULL;
}

/* Nodes here, targets there, in the order of the list. */
struct put_members {
	Twmesh__Wire__Node **node;
	size_t node_n;
	Twmesh__Wire__Target **target;
	size_t target_n;
};

/* False when out of memory or a node is not encodable. */
static bool
put_nodes(struct arena *a, const struct roster_node *node, size_t n,
          struct put_members *out)
{
	Twmesh__Wire__Node *w = arena_array(a, n, sizeof(*w));
	Twmesh__Wire__Target *t = arena_array(a, n, sizeof(*t));

	*out = (struct put_members){
	    .node = arena_array(a, n, sizeof(Twmesh__Wire__Node *)),
	    .target = arena_array(a, n, sizeof(Twmesh__Wire__Target *))};
	if (!w || !t || !out->node || !out->target || n > MSG_NODES_MAX)
		return false;
	for (size_t i = 0; i < n; i++, w++) {
		if (!put_node(a, &node[i], w))
			return false;
		if (node[i].kind == NODE_TWMESH) {
			out->node[out->node_n++] = w;
			continue;
		}
		twmesh__wire__target__init(t);
		t->node = w;
		t->has_light = t->light = node[i].kind == NODE_LIGHT;
		out->target[out->target_n++] = t++;
	}
	return true;
}

static void
put_class(Twmesh__Wire__Class *w, const struct roster_class *c)
{
	const int64_t kilosecond_ns = 1000 * NS_PER_S;

	twmesh__wire__class__init(w);
	w->class_id = c->class_id;
	w->name = put_text(c->name);
	w->version = c->version;
	w->family = (uint32_t)c->family;
	w->dscp = c->dscp;
	w->size_octets = c->size_octets;
	/* the lowest rate that decodes to this gap again */
	w->rate_mpps =
	    c->gap_ns > 0 ? (uint32_t)(kilosecond_ns / (c->gap_ns + 1)) + 1 : 0;
	w->schedule = c->schedule == SCHEDULE_POISSON
	                  ? TWMESH__WIRE__SCHEDULE__POISSON
	                  : TWMESH__WIRE__SCHEDULE__PERIODIC;
	w->flows = c->flows;
	w->interval_ms = (uint32_t)(c->interval_ns / NS_PER_MS);
	w->loss_timeout_ms = (uint32_t)(c->loss_timeout_ns / NS_PER_MS);
	w->ship_spread_ms = (uint32_t)(c->ship_spread_ns / NS_PER_MS);
	w->has_detail = w->detail = c->detail;
	w->has_codec = c->codec != VOICE_NONE;
	w->codec = (uint32_t)c->codec;
	w->has_jitter_buffer_ms = c->jitter_buffer_ns != 0;
	w->jitter_buffer_ms = (uint32_t)(c->jitter_buffer_ns / NS_PER_MS);
	w->has_mesh = c->mesh != 0;
	w->mesh = c->mesh;
}

static Twmesh__Wire__Roster *
put_roster(struct arena *a, const struct roster *r)
{
	Twmesh__Wire__Roster *w = arena_alloc(a, sizeof(*w));
	Twmesh__Wire__Class **list = arena_array(a, r->class_n, sizeof(*list));
	Twmesh__Wire__Class *class_ =
	    arena_array(a, r->class_n, sizeof(*class_));
	struct put_members m;

	if (!w || !list || !class_ || r->class_n > MSG_CLASSES_MAX)
		return NULL;
	twmesh__wire__roster__init(w);
	w->epoch = r->epoch;
	w->has_planned = w->planned = r->planned;
	if (!put_nodes(a, r->node, r->node_n, &m))
		return NULL;
	w->n_node = m.node_n;
	w->node = m.node;
	w->n_target = m.target_n;
	w->target = m.target;
	for (size_t i = 0; i < r->class_n; i++) {
		list[i] = &class_[i];
		put_class(&class_[i], &r->class_[i]);
	}
	w->n_class_ = r->class_n;
	w->class_ = list;
	return w;
}

static Twmesh__Wire__RosterDelta *
put_delta(struct arena *a, const struct roster_delta *d)
{
	Twmesh__Wire__RosterDelta *w = arena_alloc(a, sizeof(*w));
	struct put_members m;

	if (!w || d->removed_n > MSG_NODES_MAX ||
	    !put_nodes(a, d->upsert, d->upsert_n, &m))
		return NULL;
	twmesh__wire__roster_delta__init(w);
	w->from_epoch = d->from_epoch;
	w->epoch = d->epoch;
	w->n_upsert = m.node_n;
	w->upsert = m.node;
	w->n_upsert_target = m.target_n;
	w->upsert_target = m.target;
	w->n_removed_node_id = d->removed_n;
	w->removed_node_id = d->removed;
	return w;
}

static bool
put_host_limited(struct arena *a, const struct msg_heartbeat *h,
                 Twmesh__Wire__Heartbeat *w)
{
	const size_t n = h->host_limited_n;
	Twmesh__Wire__HostLimited *l = arena_array(a, n, sizeof(*l));

	w->host_limited =
	    arena_array(a, n, sizeof(Twmesh__Wire__HostLimited *));
	if (!l || !w->host_limited || n > MSG_HOST_LIMITED_MAX)
		return false;
	w->n_host_limited = n;
	for (size_t i = 0; i < n; i++) {
		twmesh__wire__host_limited__init(&l[i]);
		l[i].from_wall_ns = h->host_limited[i].from.ns;
		l[i].to_wall_ns = h->host_limited[i].to.ns;
		l[i].drops = h->host_limited[i].drops;
		l[i].held = h->host_limited[i].held;
		w->host_limited[i] = &l[i];
	}
	return true;
}

/* False when out of memory; *out is NULL for no mark. */
static bool
put_mark(struct arena *a, const struct clock_mark *m,
         Twmesh__Wire__ClockMark **out)
{
	Twmesh__Wire__ClockMark *w;

	if (!m->known)
		return true;
	w = arena_alloc(a, sizeof(*w));
	if (!w)
		return false;
	twmesh__wire__clock_mark__init(w);
	w->wall_less_boot_ns = m->ns;
	w->boot_id = put_bytes(m->boot_id, sizeof(m->boot_id));
	*out = w;
	return true;
}

static Twmesh__Wire__Heartbeat *
put_heartbeat(struct arena *a, const struct msg_heartbeat *h)
{
	Twmesh__Wire__Heartbeat *w = arena_alloc(a, sizeof(*w));

	if (!w)
		return NULL;
	twmesh__wire__heartbeat__init(w);
	w->sent_wall_ns = h->sent.ns;
	w->has_echo_sent_wall_ns = w->has_echo_received_wall_ns = h->has_echo;
	w->echo_sent_wall_ns = h->echo_sent.ns;
	w->echo_received_wall_ns = h->echo_received.ns;
	w->has_epoch = h->epoch != 0;
	w->epoch = h->epoch;
	w->has_spool_batches = h->spool_batches != 0;
	w->spool_batches = h->spool_batches;
	w->has_spool_bytes = h->spool_bytes != 0;
	w->spool_bytes = h->spool_bytes;
	w->has_clock_synchronised = w->clock_synchronised =
	    h->clock.synchronised;
	w->has_clock_max_error_us =
	    h->clock.max_error_ns >= 0 &&
	    h->clock.max_error_ns / NS_PER_US < UINT32_MAX;
	if (w->has_clock_max_error_us)
		w->clock_max_error_us =
		    (uint32_t)((h->clock.max_error_ns + NS_PER_US - 1) /
		               NS_PER_US);
	w->has_load1_milli = h->load1_milli != 0;
	w->load1_milli = h->load1_milli;
	w->has_rss_kib = h->rss_kib != 0;
	w->rss_kib = h->rss_kib;
	w->has_sessions = h->sessions != 0;
	w->sessions = h->sessions;
	w->has_reflector_rx_drops = h->reflector_rx_drops != 0;
	w->reflector_rx_drops = h->reflector_rx_drops;
	w->has_instance_id = h->has_instance;
	w->instance_id = put_bytes(h->instance_id.b, ID16_BYTES);
	w->has_storing = w->storing = h->storing;
	if (!put_mark(a, &h->mark, &w->clock))
		return NULL;
	return put_host_limited(a, h, w) ? w : NULL;
}

static Twmesh__Wire__Batch *
put_batch(struct arena *a, const struct msg_batch *b)
{
	Twmesh__Wire__Batch *w = arena_alloc(a, sizeof(*w));

	if (!w)
		return NULL;
	twmesh__wire__batch__init(w);
	w->spool_id = put_bytes(b->spool_id.b, ID16_BYTES);
	w->seq = b->seq;
	w->rows = b->rows;
	w->digest = put_bytes(b->digest, sizeof(b->digest));
	w->body = put_bytes(b->body, b->body_len);
	return put_mark(a, &b->mark, &w->clock) ? w : NULL;
}

static Twmesh__Wire__BatchAck *
put_ack(struct arena *a, const struct msg_batch_ack *k)
{
	Twmesh__Wire__BatchAck *w = arena_alloc(a, sizeof(*w));
	Twmesh__Wire__AckStatus *status = arena_array(a, k->n, sizeof(*status));

	if (!w || !status)
		return NULL;
	twmesh__wire__batch_ack__init(w);
	w->spool_id = put_bytes(k->spool_id.b, ID16_BYTES);
	w->n_seq = w->n_status = k->n;
	w->seq = k->seq;
	for (size_t i = 0; i < k->n; i++)
		status[i] = (Twmesh__Wire__AckStatus)k->status[i];
	w->status = status;
	w->has_reason = k->reason[0] != '\0';
	w->reason = put_text(k->reason);
	return w;
}

static Twmesh__Wire__Bye *
put_bye(struct arena *a, const char *reason)
{
	Twmesh__Wire__Bye *w = arena_alloc(a, sizeof(*w));

	if (!w)
		return NULL;
	twmesh__wire__bye__init(w);
	w->has_reason = reason[0] != '\0';
	w->reason = put_text(reason);
	return w;
}

static Twmesh__Wire__Refused *
put_refused(struct arena *a, const char *reason)
{
	Twmesh__Wire__Refused *w = arena_alloc(a, sizeof(*w));

	if (!w)
		return NULL;
	twmesh__wire__refused__init(w);
	w->reason = put_text(reason);
	return w;
}

static Twmesh__Wire__Join *
put_join(struct arena *a, const struct msg_join *m)
{
	Twmesh__Wire__Join *w = arena_alloc(a, sizeof(*w));

	if (!w)
		return NULL;
	twmesh__wire__join__init(w);
	w->name = put_text(m->name);
	w->key = put_bytes(m->key, sizeof(m->key));
	return w;
}

static Twmesh__Wire__Joined *
put_joined(struct arena *a, uint32_t node_id)
{
	Twmesh__Wire__Joined *w = arena_alloc(a, sizeof(*w));

	if (!w)
		return NULL;
	twmesh__wire__joined__init(w);
	w->node_id = node_id;
	return w;
}

static Twmesh__Wire__NeedHello *
put_need_hello(struct arena *a)
{
	Twmesh__Wire__NeedHello *w = arena_alloc(a, sizeof(*w));

	if (w)
		twmesh__wire__need_hello__init(w);
	return w;
}

bool
wire_put_body(struct arena *a, const struct msg *m, Twmesh__Wire__Envelope *e)
{
	switch (m->kind) {
	case MESH_HELLO:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_HELLO;
		return (e->hello = put_hello(a, &m->u.hello));
	case MESH_WELCOME:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_WELCOME;
		return (e->welcome = put_welcome(a, &m->u.welcome));
	case MESH_NEED_HELLO:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_NEED_HELLO;
		return (e->need_hello = put_need_hello(a));
	case MESH_ROSTER:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_ROSTER;
		return (e->roster = put_roster(a, &m->u.roster));
	case MESH_ROSTER_DELTA:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_ROSTER_DELTA;
		return (e->roster_delta = put_delta(a, &m->u.delta));
	case MESH_HEARTBEAT:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_HEARTBEAT;
		return (e->heartbeat = put_heartbeat(a, &m->u.heartbeat));
	case MESH_BATCH:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_BATCH;
		return (e->batch = put_batch(a, &m->u.batch));
	case MESH_BATCH_ACK:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_BATCH_ACK;
		return (e->batch_ack = put_ack(a, &m->u.ack));
	case MESH_BYE:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_BYE;
		return (e->bye = put_bye(a, m->u.reason));
	case MESH_REFUSED:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_REFUSED;
		return (e->refused = put_refused(a, m->u.reason));
	case MESH_JOIN:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_JOIN;
		return (e->join = put_join(a, &m->u.join));
	case MESH_JOINED:
		e->body_case = TWMESH__WIRE__ENVELOPE__BODY_JOINED;
		return (e->joined = put_joined(a, m->u.joined_id));
	}
	return false;
}
