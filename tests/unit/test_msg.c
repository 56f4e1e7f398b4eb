/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/arena.h"
#include "lib/bus/msg.h"

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

static void
some_name(char *out)
{
	static const char mid[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	const size_t n = 1 + below(NAME_MAX_CHARS);

	for (size_t i = 0; i < n; i++)
		out[i] = mid[below(i == 0 || i == n - 1 ? 36 : 37)];
	out[n] = '\0';
}

static void
some_text(char *out, size_t size, size_t min)
{
	size_t n = min + below(size - min);

	for (size_t i = 0; i < n; i++)
		out[i] = (char)(0x20 + below(0x5f));
	out[n] = '\0';
}

static struct addr
some_addr(uint16_t port)
{
	uint8_t ip[16];
	struct addr a;

	fill(ip, sizeof(ip));
	ip[0] = (uint8_t)(1 + below(200));
	ck_assert(addr_from_bytes(ip, below(2) ? 4 : 16, port, &a));
	return a;
}

static void
some_node(struct roster_node *n, uint32_t id)
{
	memset(n, 0, sizeof(*n));
	n->node_id = id;
	some_name(n->name);
	if (below(2))
		some_name(n->site);
	n->reflector_port = (uint16_t)(1 + below(65535));
	n->address_n = below(MSG_ADDRS_MAX + 1);
	for (size_t i = 0; i < n->address_n; i++)
		n->address[i] = some_addr(n->reflector_port);
	n->paused = below(4) == 0;
	n->kind = (enum node_kind)below(NODE_LIGHT + 1);
	n->mesh = below(2) ? u63() : 0;
	n->hub = below(2) ? u63() : 0;
}

static struct roster_node *
some_nodes(size_t n)
{
	struct roster_node *list = calloc(n + 1, sizeof(*list));
	uint32_t id = 0;

	ck_assert_ptr_nonnull(list);
	for (size_t i = 0; i < n; i++)
		some_node(&list[i], id += 1 + (uint32_t)below(1000));
	return list;
}

static void
some_class(struct roster_class *c, uint32_t id)
{
	static const int family[] = {0, 4, 6};
	static const uint32_t mpps[] = {1, 1000, 10000, 50000, 20000000};
	const uint64_t rate = 1 + below(20000000);

	memset(c, 0, sizeof(*c));
	c->class_id = id;
	some_name(c->name);
	c->version = (uint32_t)below(100);
	c->family = family[below(3)];
	c->dscp = (uint8_t)below(64);
	c->size_octets = (uint16_t)(80 + below(1393));
	c->gap_ns =
	    1000 * NS_PER_S / (below(2) ? mpps[below(5)] : (int64_t)rate);
	c->schedule = below(2) ? SCHEDULE_POISSON : SCHEDULE_PERIODIC;
	c->flows = 1 + (uint32_t)below(64);
	c->interval_ns = (int64_t)(1 + below(86400000)) * NS_PER_MS;
	c->loss_timeout_ns = (int64_t)(1 + below(60000)) * NS_PER_MS;
	c->ship_spread_ns = (int64_t)below(60000) * NS_PER_MS;
	c->detail = below(2);
	c->codec = (enum voice_codec)below(VOICE_CODECS);
	c->jitter_buffer_ns = (int64_t)below(10001) * NS_PER_MS;
	c->mesh = below(2) ? u63() : 0;
}

static void
some_roster(struct roster *r)
{
	r->epoch = u63();
	r->planned = below(2);
	r->node_n = below(30);
	r->node = some_nodes(r->node_n);
	r->class_n = below(5);
	r->class_ = calloc(r->class_n + 1, sizeof(*r->class_));
	for (size_t i = 0; i < r->class_n; i++)
		some_class(&r->class_[i], (uint32_t)(i * 7 + 1));
}

static void
some_hello(struct msg_hello *h)
{
	some_name(h->name);
	some_name(h->site);
	h->reflector_port = (uint16_t)(1 + below(65535));
	h->address_n = below(MSG_ADDRS_MAX + 1);
	for (size_t i = 0; i < h->address_n; i++)
		h->address[i] = some_addr(h->reflector_port);
	some_text(h->software, sizeof(h->software), 0);
	h->fact_n = below(MSG_FACTS_MAX + 1);
	h->fact = calloc(h->fact_n + 1, sizeof(*h->fact));
	for (size_t i = 0; i < h->fact_n; i++) {
		some_text(h->fact[i].key, sizeof(h->fact[i].key), 1);
		some_text(h->fact[i].value, sizeof(h->fact[i].value), 0);
	}
	fill(&h->spool_id, sizeof(h->spool_id));
	h->spool_next_seq = u63();
	h->roster_epoch = u63();
}

static void
some_heartbeat(struct msg_heartbeat *h)
{
	h->sent = some_wall();
	h->has_echo = below(2);
	if (h->has_echo) {
		h->echo_sent = some_wall();
		h->echo_received = some_wall();
	}
	h->epoch = u63();
	h->spool_batches = u63();
	h->spool_bytes = u63();
	h->clock.synchronised = below(2);
	h->clock.max_error_ns =
	    below(2) ? (int64_t)below(UINT32_MAX) * NS_PER_US : NS_UNKNOWN;
	h->load1_milli = (uint32_t)below(INT32_MAX);
	h->rss_kib = (uint32_t)below(INT32_MAX);
	h->sessions = (uint32_t)below(INT32_MAX);
	h->reflector_rx_drops = u63();
	h->has_instance = below(2);
	if (h->has_instance)
		fill(&h->instance_id, sizeof(h->instance_id));
	h->storing = below(2);
	h->host_limited_n = below(MSG_HOST_LIMITED_MAX + 1);
	for (size_t i = 0; i < h->host_limited_n; i++) {
		h->host_limited[i].from = some_wall();
		h->host_limited[i].to =
		    wall_add_ns(h->host_limited[i].from, (int64_t)below(1000));
		h->host_limited[i].drops = u63();
		h->host_limited[i].held = u63();
	}
}

static void
some_mark(struct clock_mark *m)
{
	m->known = below(4) != 0;
	if (!m->known)
		return;
	m->ns = some_wall().ns;
	fill(m->boot_id, sizeof(m->boot_id));
}

static void
some_batch(struct msg_batch *b)
{
	fill(&b->spool_id, sizeof(b->spool_id));
	b->seq = 1 + u63() / 2;
	b->rows = (uint32_t)below(MSG_ROWS_MAX + 1);
	b->body_len = 1 + below(5000);
	b->body = malloc(b->body_len);
	fill(b->body, b->body_len);
	batch_digest(b->body, b->body_len, b->digest);
	some_mark(&b->mark);
}

static void
some_ack(struct msg_batch_ack *a)
{
	fill(&a->spool_id, sizeof(a->spool_id));
	a->n = 1 + below(20);
	a->seq = calloc(a->n, sizeof(*a->seq));
	a->status = calloc(a->n, sizeof(*a->status));
	for (size_t i = 0; i < a->n; i++) {
		a->seq[i] = u63();
		a->status[i] = (enum ack_status)below(3);
	}
	some_text(a->reason, sizeof(a->reason), 0);
}

static void
some_msg(struct msg *m, enum msg_kind kind)
{
	memset(m, 0, sizeof(*m));
	m->kind = kind;
	switch (kind) {
	case MESH_HELLO:
		some_hello(&m->u.hello);
		break;
	case MESH_WELCOME:
		fill(&m->u.welcome.instance_id, ID16_BYTES);
		fill(&m->u.welcome.incarnation_id, ID16_BYTES);
		m->u.welcome.node_id = 1 + (uint32_t)below(INT32_MAX);
		m->u.welcome.controller_wall = some_wall();
		m->u.welcome.ledger_next_seq = u63();
		m->u.welcome.window = 1 + (uint32_t)below(65535);
		break;
	case MESH_ROSTER:
		some_roster(&m->u.roster);
		break;
	case MESH_ROSTER_DELTA:
		m->u.delta.from_epoch = u63() / 2;
		m->u.delta.epoch = m->u.delta.from_epoch + 1 + below(9);
		m->u.delta.upsert_n = below(10);
		m->u.delta.upsert = some_nodes(m->u.delta.upsert_n);
		m->u.delta.removed_n = below(10);
		m->u.delta.removed = calloc(11, sizeof(uint32_t));
		for (size_t i = 0; i < m->u.delta.removed_n; i++)
			m->u.delta.removed[i] = (uint32_t)(i * 3 + 1);
		break;
	case MESH_HEARTBEAT:
		some_heartbeat(&m->u.heartbeat);
		some_mark(&m->u.heartbeat.mark);
		break;
	case MESH_BATCH:
		some_batch(&m->u.batch);
		break;
	case MESH_BATCH_ACK:
		some_ack(&m->u.ack);
		break;
	case MESH_BYE:
	case MESH_REFUSED:
		some_text(m->u.reason, sizeof(m->u.reason), 0);
		break;
	case MESH_JOIN:
		some_name(m->u.join.name);
		fill(m->u.join.key, sizeof(m->u.join.key));
		break;
	case MESH_JOINED:
		m->u.joined_id = 1 + (uint32_t)below(INT32_MAX);
		break;
	case MESH_NEED_HELLO:
		break;
	}
}

/* Equal octets mean equal messages: encoding is a function of the struct. */
static void
assert_same(const struct msg *a, const struct msg *b)
{
	uint8_t *x, *y;
	size_t n, k;

	ck_assert_int_eq(a->kind, b->kind);
	ck_assert(msg_encode(a, &x, &n));
	ck_assert(msg_encode(b, &y, &k));
	ck_assert_uint_eq(n, k);
	ck_assert_mem_eq(x, y, n);
	free(x);
	free(y);
}

static void
assert_same_values(const struct msg *a, const struct msg *b)
{
	if (a->kind == MESH_HEARTBEAT) {
		const struct msg_heartbeat *x = &a->u.heartbeat;
		const struct msg_heartbeat *y = &b->u.heartbeat;

		ck_assert_int_eq(x->sent.ns, y->sent.ns);
		ck_assert_int_eq(x->echo_received.ns, y->echo_received.ns);
		ck_assert_int_eq(x->clock.max_error_ns, y->clock.max_error_ns);
		ck_assert_int_eq(x->storing, y->storing);
		ck_assert_uint_eq(x->sessions, y->sessions);
		ck_assert_uint_eq(x->host_limited_n, y->host_limited_n);
		for (size_t i = 0; i < x->host_limited_n; i++) {
			const struct host_limited *l = &x->host_limited[i];
			const struct host_limited *k = &y->host_limited[i];

			ck_assert_int_eq(l->from.ns, k->from.ns);
			ck_assert_int_eq(l->to.ns, k->to.ns);
			ck_assert_uint_eq(l->drops, k->drops);
			ck_assert_uint_eq(l->held, k->held);
		}
	} else if (a->kind == MESH_ROSTER) {
		ck_assert_int_eq(a->u.roster.planned, b->u.roster.planned);
		ck_assert_uint_eq(a->u.roster.node_n, b->u.roster.node_n);
		for (size_t i = 0; i < a->u.roster.class_n; i++) {
			const struct roster_class *x = &a->u.roster.class_[i];
			const struct roster_class *y = &b->u.roster.class_[i];

			ck_assert_int_eq(x->gap_ns, y->gap_ns);
			ck_assert_int_eq(x->interval_ns, y->interval_ns);
			ck_assert_int_eq(x->schedule, y->schedule);
			ck_assert_int_eq(x->detail, y->detail);
			ck_assert_int_eq(x->codec, y->codec);
			ck_assert_int_eq(x->jitter_buffer_ns,
			                 y->jitter_buffer_ns);
			ck_assert_uint_eq(x->mesh, y->mesh);
			ck_assert_str_eq(x->name, y->name);
		}
		for (size_t i = 0; i < a->u.roster.node_n; i++) {
			const struct roster_node *x = &a->u.roster.node[i];
			const struct roster_node *y = &b->u.roster.node[i];

			ck_assert_str_eq(x->name, y->name);
			ck_assert_uint_eq(x->address_n, y->address_n);
			for (size_t j = 0; j < x->address_n; j++)
				ck_assert(
				    addr_equal(&x->address[j], &y->address[j]));
			ck_assert_int_eq(x->paused, y->paused);
			ck_assert_int_eq(x->kind, y->kind);
			ck_assert_uint_eq(x->mesh, y->mesh);
			ck_assert_uint_eq(x->hub, y->hub);
		}
	}
}

START_TEST(every_message_survives_coding)
{
	for (int round = 0; round < 300; round++) {
		for (int k = MESH_HELLO; k < MESH_KINDS; k++) {
			const char *field = NULL;
			struct msg m, back;
			enum msg_err e;
			uint8_t *bytes;
			size_t len;

			some_msg(&m, (enum msg_kind)k);
			ck_assert(msg_encode(&m, &bytes, &len));
			e = msg_decode(bytes, len, &back, &field);
			ck_assert_msg(e == MSG_OK, "%s: %s (%s)",
			              msg_kind_str(m.kind), msg_err_str(e),
			              field ? field : "-");
			assert_same(&m, &back);
			assert_same_values(&m, &back);
			free(bytes);
			msg_clear(&m);
			msg_clear(&back);
		}
	}
}
END_TEST

START_TEST(cut_and_flipped_messages_never_harm)
{
	for (int round = 0; round < 3000; round++) {
		struct msg m, back;
		uint8_t *bytes;
		size_t len;

		some_msg(&m, (enum msg_kind)below(MESH_KINDS));
		ck_assert(msg_encode(&m, &bytes, &len));
		for (uint64_t n = below(8); n > 0; n--)
			bytes[below(len)] ^= (uint8_t)(1U << below(8));
		if (below(2))
			len = below(len + 1);
		if (msg_decode(bytes, len, &back, NULL) == MSG_OK) {
			uint8_t *again;
			size_t again_len;

			ck_assert(msg_encode(&back, &again, &again_len));
			free(again);
			msg_clear(&back);
		}
		free(bytes);
		msg_clear(&m);
	}
}
END_TEST

/* ---- bombs ---- */

/* Envelope{version 1, `field` of `len` octets}; the body follows. */
static size_t
envelope_head(uint8_t *p, unsigned field, size_t len)
{
	size_t n = 0;

	p[n++] = 0x08;
	p[n++] = 1;
	p[n++] = (uint8_t)(field << 3 | 2);
	do {
		p[n++] = (uint8_t)((len & 0x7f) | (len > 0x7f ? 0x80 : 0));
		len >>= 7;
	} while (len);
	return n;
}

START_TEST(a_bomb_of_empty_submessages_is_refused_cheaply)
{
	const size_t body = 1U << 20;
	uint8_t *bytes = malloc(body + 16);
	const size_t before = mallinfo2().uordblks;
	struct msg m;
	size_t n;

	/* Hello.fact (7) and Roster.node (2), half a million times */
	static const struct {
		unsigned kind;
		uint8_t tag;
	} bomb[] = {{2, 0x3a}, {5, 0x12}, {5, 0x1a}, {6, 0x1a}};

	for (size_t b = 0; b < 4; b++) {
		n = envelope_head(bytes, bomb[b].kind, body);
		for (size_t i = 0; i < body; i += 2) {
			bytes[n + i] = bomb[b].tag;
			bytes[n + i + 1] = 0;
		}
		ck_assert_int_eq(msg_decode(bytes, n + body, &m, NULL),
		                 MSG_ERR_BUDGET);
	}
	ck_assert_uint_le(mallinfo2().uordblks, before + (1U << 16));
	free(bytes);
}
END_TEST

START_TEST(the_budget_is_eight_octets_per_octet_within_bounds)
{
	struct arena a;

	ck_assert_uint_eq(arena_budget_for(0), 1U << 20);
	ck_assert_uint_eq(arena_budget_for(1U << 20), 8U << 20);
	ck_assert_uint_eq(arena_budget_for(MSG_MAX_BYTES), 16U << 20);
	arena_init(&a, 100);
	ck_assert_ptr_nonnull(arena_alloc(&a, 64));
	ck_assert_ptr_null(arena_alloc(&a, 64));
	ck_assert(a.over_budget && !a.out_of_memory);
	ck_assert_ptr_null(arena_array(&a, SIZE_MAX / 2, 4));
	arena_release(&a);
}
END_TEST

START_TEST(a_message_over_the_limit_is_not_looked_at)
{
	struct msg m;

	ck_assert_int_eq(
	    msg_decode((const uint8_t *)"", MSG_MAX_BYTES + 1UL, &m, NULL),
	    MSG_ERR_TOO_LONG);
}
END_TEST

/* ---- each field bad once, made with the generated code ---- */

static const uint8_t id_bytes[17] = "0123456789abcdef";

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

static enum msg_err
decode(Twmesh__Wire__Envelope *e)
{
	const size_t n = twmesh__wire__envelope__get_packed_size(e);
	uint8_t *bytes = malloc(n);
	enum msg_err rc;
	struct msg m;

	field = "";
	twmesh__wire__envelope__pack(e, bytes);
	rc = msg_decode(bytes, n, &m, &field);
	if (rc == MSG_OK)
		msg_clear(&m);
	free(bytes);
	return rc;
}

/* hello_with(break it) must name `want`; NULL: must be good. */
struct hello_case {
	void (*break_it)(Twmesh__Wire__Hello *h);
	const char *want;
};

static ProtobufCBinaryData list[MSG_ADDRS_MAX + 1];
static Twmesh__Wire__Fact fact;
static Twmesh__Wire__Fact *facts[MSG_FACTS_MAX + 1];

static void
h_good(Twmesh__Wire__Hello *h)
{
	(void)h;
}
static void
h_name_upper(Twmesh__Wire__Hello *h)
{
	h->name = str("Ams1");
}
static void
h_name_empty(Twmesh__Wire__Hello *h)
{
	h->name = str("");
}
static void
h_name_nul(Twmesh__Wire__Hello *h)
{
	h->name = bin("ams1\0x", 6);
}
static void
h_name_long(Twmesh__Wire__Hello *h)
{
	h->name = str("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	              "aaaaaaaa");
}
static void
h_site(Twmesh__Wire__Hello *h)
{
	h->has_site = 1;
	h->site = str("a b");
}
static void
h_port_0(Twmesh__Wire__Hello *h)
{
	h->reflector_port = 0;
}
static void
h_port_big(Twmesh__Wire__Hello *h)
{
	h->reflector_port = 65536;
}
static void
h_address_len(Twmesh__Wire__Hello *h)
{
	list[0] = bin("12345", 5);
	h->address = list;
	h->n_address = 1;
}
static void
h_address_any(Twmesh__Wire__Hello *h)
{
	list[0] = bin("\0\0\0\0", 4);
	h->address = list;
	h->n_address = 1;
}
static void
h_address_multicast(Twmesh__Wire__Hello *h)
{
	list[0] = bin("\xe0\0\0\1", 4);
	h->address = list;
	h->n_address = 1;
}
static void
h_address_many(Twmesh__Wire__Hello *h)
{
	for (size_t i = 0; i <= MSG_ADDRS_MAX; i++)
		list[i] = bin("\x7f\0\0\1", 4);
	h->address = list;
	h->n_address = MSG_ADDRS_MAX + 1;
}
static void
h_software_control(Twmesh__Wire__Hello *h)
{
	h->has_software = 1;
	h->software = str("x\033[2J");
}
static void
h_software_utf8(Twmesh__Wire__Hello *h)
{
	h->has_software = 1;
	h->software = str("\xff\xfe");
}
static void
h_software_long(Twmesh__Wire__Hello *h)
{
	h->has_software = 1;
	h->software = bin("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	                  "aaaaaaaaaaaa",
	                  64);
}
static void
h_capability(Twmesh__Wire__Hello *h)
{
	list[0] = str("");
	h->capability = list;
	h->n_capability = 1;
}
static void
h_fact_key(Twmesh__Wire__Hello *h)
{
	fact.key = str("");
	h->fact = facts;
	h->n_fact = 1;
}
static void
h_fact_value(Twmesh__Wire__Hello *h)
{
	fact.value = str("a\nb");
	h->fact = facts;
	h->n_fact = 1;
}
static void
h_facts_many(Twmesh__Wire__Hello *h)
{
	h->fact = facts;
	h->n_fact = MSG_FACTS_MAX + 1;
}
static void
h_spool_id(Twmesh__Wire__Hello *h)
{
	h->spool_id.len = 15;
}
static void
h_seq(Twmesh__Wire__Hello *h)
{
	h->has_spool_next_seq = 1;
	h->spool_next_seq = UINT64_MAX;
}
static void
h_epoch(Twmesh__Wire__Hello *h)
{
	h->has_roster_epoch = 1;
	h->roster_epoch = (uint64_t)INT64_MAX + 1;
}

static const struct hello_case hello_cases[] = {
    {h_good, NULL},
    {h_name_upper, "name"},
    {h_name_empty, "name"},
    {h_name_nul, "name"},
    {h_name_long, "name"},
    {h_site, "site"},
    {h_port_0, "reflector_port"},
    {h_port_big, "reflector_port"},
    {h_address_len, "address"},
    {h_address_any, "address"},
    {h_address_multicast, "address"},
    {h_address_many, "address"},
    {h_software_control, "software"},
    {h_software_utf8, "software"},
    {h_software_long, "software"},
    {h_capability, "capability"},
    {h_fact_key, "fact.key"},
    {h_fact_value, "fact.value"},
    {h_facts_many, "fact"},
    {h_spool_id, "spool_id"},
    {h_seq, "spool_next_seq"},
    {h_epoch, "roster_epoch"},
};

START_TEST(each_field_of_hello_bad_once)
{
	const struct hello_case *c = &hello_cases[_i];
	Twmesh__Wire__Envelope e = TWMESH__WIRE__ENVELOPE__INIT;
	Twmesh__Wire__Hello h = TWMESH__WIRE__HELLO__INIT;
	enum msg_err rc;

	twmesh__wire__fact__init(&fact);
	fact.key = str("kernel");
	fact.value = str("6.1");
	for (size_t i = 0; i <= MSG_FACTS_MAX; i++)
		facts[i] = &fact;
	h.name = str("ams1");
	h.reflector_port = 862;
	h.spool_id = bin((const char *)id_bytes, 16);
	e.version = 1;
	e.body_case = TWMESH__WIRE__ENVELOPE__BODY_HELLO;
	e.hello = &h;
	c->break_it(&h);
	rc = decode(&e);
	ck_assert_int_eq(rc, c->want ? MSG_ERR_FIELD : MSG_OK);
	if (c->want)
		ck_assert_str_eq(field, c->want);
}
END_TEST

static struct {
	Twmesh__Wire__Node node[2], *nodes[2];
	Twmesh__Wire__Class class_[2], *classes[2];
	Twmesh__Wire__Target target, *targets[1];
	Twmesh__Wire__Node targets_node;
	Twmesh__Wire__Roster roster;
} r;

static void
r_reset(void)
{
	twmesh__wire__roster__init(&r.roster);
	for (size_t i = 0; i < 2; i++) {
		Twmesh__Wire__Class *c = &r.class_[i];

		r.nodes[i] = &r.node[i];
		r.classes[i] = c;
		twmesh__wire__node__init(&r.node[i]);
		r.node[i].node_id = (uint32_t)(2 - i); /* not sorted */
		r.node[i].name = str(i ? "ams1" : "fra1");
		r.node[i].reflector_port = 862;
		twmesh__wire__class__init(c);
		c->class_id = (uint32_t)(2 - i);
		c->name = str("demo");
		c->size_octets = 128;
		c->rate_mpps = 50000;
		c->flows = 1;
		c->interval_ms = 2000;
		c->loss_timeout_ms = 1000;
	}
	r.roster.node = r.nodes;
	r.roster.n_node = 2;
	r.roster.class_ = r.classes;
	r.roster.n_class_ = 2;
	twmesh__wire__node__init(&r.targets_node);
	r.targets_node.node_id = 3;
	r.targets_node.name = str("rtr1");
	r.targets_node.reflector_port = 862;
	twmesh__wire__target__init(&r.target);
	r.target.node = &r.targets_node;
	r.targets[0] = &r.target;
	r.roster.target = r.targets;
	r.roster.n_target = 1;
}

static enum msg_err
decode_roster(void)
{
	Twmesh__Wire__Envelope e = TWMESH__WIRE__ENVELOPE__INIT;
	enum msg_err rc;

	e.version = 1;
	e.body_case = TWMESH__WIRE__ENVELOPE__BODY_ROSTER;
	e.roster = &r.roster;
	rc = decode(&e);
	r_reset();
	return rc;
}

#define BAD_ROSTER(assignment, want)                              \
	do {                                                      \
		assignment;                                       \
		ck_assert_int_eq(decode_roster(), MSG_ERR_FIELD); \
		ck_assert_str_eq(field, want);                    \
	} while (0)

START_TEST(each_field_of_roster_bad_once)
{
	r_reset();
	ck_assert_int_eq(decode_roster(), MSG_OK);
	BAD_ROSTER(r.node[0].node_id = 0, "node_id");
	BAD_ROSTER(r.node[0].node_id = 1, "node_id"); /* twice */
	BAD_ROSTER(r.node[0].node_id = UINT32_MAX, "node_id");
	BAD_ROSTER(r.node[1].name = str("-x"), "name");
	BAD_ROSTER(r.node[1].reflector_port = 0, "reflector_port");
	BAD_ROSTER((r.node[1].has_mesh = 1, r.node[1].mesh = UINT64_MAX),
	           "mesh");
	BAD_ROSTER((r.node[1].has_hub = 1, r.node[1].hub = UINT64_MAX), "hub");
	BAD_ROSTER(r.targets_node.node_id = 1, "node_id"); /* a node's */
	BAD_ROSTER(r.targets_node.name = str("R"), "name");
	BAD_ROSTER((r.class_[0].has_mesh = 1, r.class_[0].mesh = UINT64_MAX),
	           "mesh");
	BAD_ROSTER(r.class_[0].class_id = 1, "class_id");
	BAD_ROSTER(r.class_[0].class_id = 0, "class_id");
	BAD_ROSTER(r.class_[0].name = str("x_y"), "name");
	BAD_ROSTER(r.class_[0].version = UINT32_MAX, "version");
	BAD_ROSTER(r.class_[0].family = 5, "family");
	BAD_ROSTER(r.class_[0].dscp = 64, "dscp");
	BAD_ROSTER(r.class_[0].size_octets = 79, "size_octets");
	BAD_ROSTER(r.class_[0].size_octets = 1473, "size_octets");
	BAD_ROSTER(r.class_[0].rate_mpps = 0, "rate_mpps");
	BAD_ROSTER(r.class_[0].rate_mpps = 20000001, "rate_mpps");
	BAD_ROSTER(r.class_[0].schedule = (Twmesh__Wire__Schedule)2,
	           "schedule");
	BAD_ROSTER(r.class_[0].flows = 0, "flows");
	BAD_ROSTER(r.class_[0].flows = 65, "flows");
	BAD_ROSTER(r.class_[0].interval_ms = 0, "interval_ms");
	BAD_ROSTER(r.class_[0].loss_timeout_ms = 0, "loss_timeout_ms");
	BAD_ROSTER(r.class_[0].ship_spread_ms = 600001, "ship_spread_ms");
	BAD_ROSTER((r.class_[0].has_codec = 1, r.class_[0].codec = 5), "codec");
	BAD_ROSTER((r.class_[0].has_jitter_buffer_ms = 1,
	            r.class_[0].jitter_buffer_ms = 10001),
	           "jitter_buffer_ms");
	BAD_ROSTER(r.roster.epoch = UINT64_MAX, "epoch");
}
END_TEST

static struct {
	Twmesh__Wire__HostLimited limited;
	Twmesh__Wire__HostLimited *list[MSG_HOST_LIMITED_MAX + 1];
	Twmesh__Wire__ClockMark mark;
	Twmesh__Wire__Heartbeat heartbeat;
	uint8_t boot_id[BOOT_ID_BYTES + 1];
} hb;

static void
hb_reset(void)
{
	twmesh__wire__heartbeat__init(&hb.heartbeat);
	twmesh__wire__host_limited__init(&hb.limited);
	hb.limited.from_wall_ns = 5;
	hb.limited.to_wall_ns = 6;
	for (size_t i = 0; i <= MSG_HOST_LIMITED_MAX; i++)
		hb.list[i] = &hb.limited;
	hb.heartbeat.host_limited = hb.list;
	hb.heartbeat.n_host_limited = MSG_HOST_LIMITED_MAX;
	twmesh__wire__clock_mark__init(&hb.mark);
	hb.mark.boot_id = (ProtobufCBinaryData){BOOT_ID_BYTES, hb.boot_id};
	hb.heartbeat.clock = &hb.mark;
}

static enum msg_err
decode_heartbeat(void)
{
	Twmesh__Wire__Envelope e = TWMESH__WIRE__ENVELOPE__INIT;
	enum msg_err rc;

	e.version = 1;
	e.body_case = TWMESH__WIRE__ENVELOPE__BODY_HEARTBEAT;
	e.heartbeat = &hb.heartbeat;
	rc = decode(&e);
	hb_reset();
	return rc;
}

#define BAD_HEARTBEAT(assignment, want)                              \
	do {                                                         \
		assignment;                                          \
		ck_assert_int_eq(decode_heartbeat(), MSG_ERR_FIELD); \
		ck_assert_str_eq(field, want);                       \
	} while (0)

START_TEST(each_field_of_host_limited_bad_once)
{
	hb_reset();
	ck_assert_int_eq(decode_heartbeat(), MSG_OK);
	BAD_HEARTBEAT(hb.heartbeat.n_host_limited++, "host_limited");
	BAD_HEARTBEAT(hb.limited.from_wall_ns = INT64_MIN,
	              "host_limited.from_wall_ns");
	BAD_HEARTBEAT(hb.limited.to_wall_ns = INT64_MAX,
	              "host_limited.to_wall_ns");
	BAD_HEARTBEAT(hb.limited.to_wall_ns = 4, "host_limited.to_wall_ns");
	BAD_HEARTBEAT(hb.limited.drops = UINT64_MAX, "host_limited.drops");
	BAD_HEARTBEAT(hb.limited.held = UINT64_MAX, "host_limited.held");
}
END_TEST

START_TEST(each_field_of_a_clock_mark_bad_once)
{
	hb_reset();
	ck_assert_int_eq(decode_heartbeat(), MSG_OK);
	BAD_HEARTBEAT(hb.mark.wall_less_boot_ns = INT64_MIN,
	              "clock.wall_less_boot_ns");
	BAD_HEARTBEAT(hb.mark.wall_less_boot_ns = MSG_WALL_MAX + 1,
	              "clock.wall_less_boot_ns");
	BAD_HEARTBEAT(hb.mark.boot_id.len--, "clock.boot_id");
	BAD_HEARTBEAT(hb.mark.boot_id.len++, "clock.boot_id");
	BAD_HEARTBEAT(hb.mark.boot_id.len = 0, "clock.boot_id");
}
END_TEST

START_TEST(the_clock_is_outside_of_what_is_sealed)
{
	struct msg m, back;
	uint8_t *bytes;
	size_t len;

	some_msg(&m, MESH_BATCH);
	m.u.batch.mark = (struct clock_mark){true, -7, {1, 2, 3}};
	ck_assert(msg_encode(&m, &bytes, &len));
	ck_assert_int_eq(msg_decode(bytes, len, &back, &field), MSG_OK);
	ck_assert(back.u.batch.mark.known);
	ck_assert_int_eq(back.u.batch.mark.ns, -7);
	ck_assert_int_eq(back.u.batch.mark.boot_id[2], 3);
	ck_assert_mem_eq(back.u.batch.digest, m.u.batch.digest, 16);
	free(bytes);
	msg_clear(&back);
	m.u.batch.mark.known = false;
	ck_assert(msg_encode(&m, &bytes, &len));
	ck_assert_int_eq(msg_decode(bytes, len, &back, &field), MSG_OK);
	ck_assert(!back.u.batch.mark.known);
	ck_assert_mem_eq(back.u.batch.digest, m.u.batch.digest, 16);
	free(bytes);
	msg_clear(&back);
	msg_clear(&m);
}
END_TEST

START_TEST(other_versions_and_unknown_bodies_are_told_apart)
{
	Twmesh__Wire__Envelope e = TWMESH__WIRE__ENVELOPE__INIT;
	Twmesh__Wire__NeedHello n = TWMESH__WIRE__NEED_HELLO__INIT;

	e.version = 2;
	e.body_case = TWMESH__WIRE__ENVELOPE__BODY_NEED_HELLO;
	e.need_hello = &n;
	ck_assert_int_eq(decode(&e), MSG_ERR_VERSION);
	e.version = 1;
	ck_assert_int_eq(decode(&e), MSG_OK);
	e.body_case = TWMESH__WIRE__ENVELOPE__BODY__NOT_SET;
	ck_assert_int_eq(decode(&e), MSG_ERR_FIELD);
	ck_assert_str_eq(field, "body");
}
END_TEST

START_TEST(each_field_of_join_bad_once)
{
	static uint8_t key[JOIN_KEY_BYTES + 1];
	Twmesh__Wire__Envelope e = TWMESH__WIRE__ENVELOPE__INIT;
	Twmesh__Wire__Join j = TWMESH__WIRE__JOIN__INIT;
	Twmesh__Wire__Joined d = TWMESH__WIRE__JOINED__INIT;

	e.version = MSG_VERSION;
	e.body_case = TWMESH__WIRE__ENVELOPE__BODY_JOIN;
	e.join = &j;
	j.name = str("ams1");
	j.key = (ProtobufCBinaryData){JOIN_KEY_BYTES, key};
	ck_assert_int_eq(decode(&e), MSG_OK);
	for (size_t len = 0; len <= sizeof(key); len += sizeof(key)) {
		j.key.len = len;
		ck_assert_int_eq(decode(&e), MSG_ERR_FIELD);
		ck_assert_str_eq(field, "key");
	}
	j.key.len = JOIN_KEY_BYTES;
	j.name = str("Ams1");
	ck_assert_int_eq(decode(&e), MSG_ERR_FIELD);
	ck_assert_str_eq(field, "name");
	e.body_case = TWMESH__WIRE__ENVELOPE__BODY_JOINED;
	e.joined = &d;
	d.node_id = 0;
	ck_assert_int_eq(decode(&e), MSG_ERR_FIELD);
	ck_assert_str_eq(field, "node_id");
	d.node_id = 1;
	ck_assert_int_eq(decode(&e), MSG_OK);
}
END_TEST

START_TEST(a_batch_with_another_digest_is_refused)
{
	struct msg m, back;
	uint8_t *bytes;
	size_t len;

	some_msg(&m, MESH_BATCH);
	m.u.batch.digest[3] ^= 1;
	ck_assert(msg_encode(&m, &bytes, &len));
	field = "";
	ck_assert_int_eq(msg_decode(bytes, len, &back, &field), MSG_ERR_FIELD);
	ck_assert_str_eq(field, "digest");
	free(bytes);
	msg_clear(&m);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("msg");
	TCase *t = tcase_create("coding");
	SRunner *sr;
	int failed;

	seed_rng();
	tcase_set_timeout(t, 60);
	tcase_add_test(t, every_message_survives_coding);
	tcase_add_test(t, cut_and_flipped_messages_never_harm);
	tcase_add_test(t, a_bomb_of_empty_submessages_is_refused_cheaply);
	tcase_add_test(t, the_budget_is_eight_octets_per_octet_within_bounds);
	tcase_add_test(t, a_message_over_the_limit_is_not_looked_at);
	tcase_add_loop_test(t, each_field_of_hello_bad_once, 0,
	                    sizeof(hello_cases) / sizeof(hello_cases[0]));
	tcase_add_test(t, each_field_of_roster_bad_once);
	tcase_add_test(t, each_field_of_host_limited_bad_once);
	tcase_add_test(t, each_field_of_a_clock_mark_bad_once);
	tcase_add_test(t, the_clock_is_outside_of_what_is_sealed);
	tcase_add_test(t, other_versions_and_unknown_bodies_are_told_apart);
	tcase_add_test(t, each_field_of_join_bad_once);
	tcase_add_test(t, a_batch_with_another_digest_is_refused);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
