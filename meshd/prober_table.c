/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/prober_int.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WARMUP_PKTS 3                 /* rule 23 */
#define TARGET_GAP_NS NS_PER_S        /* a target gets no more than this */
#define GOLDEN 0.61803398874989484820 /* (sqrt(5) - 1) / 2 */

/* --- finding ----------------------------------------------------------- */

static size_t
hash_slot(const struct prober *p, const struct probe_class *c,
          const struct addr *a)
{
	size_t len;
	const uint8_t *ip = addr_bytes(a, &len);
	uint8_t key[4 + 2 + 16] = {0};
	const uint32_t id = c->conf.class_id;
	const uint16_t port = addr_port(a);

	memcpy(key, &id, 4);
	memcpy(key + 4, &port, 2);
	memcpy(key + 6, ip, len);
	return (size_t)hash_bytes(key, sizeof(key), p->key) & (PROBE_HASH - 1);
}

struct probe *
table_find(struct prober *p, const struct probe_class *c,
           const struct addr *src, uint16_t ssid)
{
	struct probe *pr = p->hash[hash_slot(p, c, src)];

	/* SSID 0: the reflector knows none (base STAMP, TWAMP Light) */
	for (; pr; pr = pr->hash_next) {
		if (pr->class_ == c && (ssid == pr->ssid || ssid == 0) &&
		    addr_equal(&pr->dst, src))
			return pr;
	}
	return NULL;
}

static struct probe *
find_planned(struct prober *p, const struct probe_class *c,
             const struct addr *dst, const struct roster_node *n)
{
	struct probe *pr = p->hash[hash_slot(p, c, dst)];

	for (; pr; pr = pr->hash_next) {
		if (pr->class_ == c && pr->node_id == n->node_id &&
		    pr->kind == n->kind && !pr->ending &&
		    addr_equal(&pr->dst, dst))
			return pr;
	}
	return NULL;
}

/* --- whose stamp it is --------------------------------------------------- */

struct probe *
table_by_who(const struct prober *p, uint64_t who)
{
	const size_t at = (uint32_t)who;

	if (at >= p->slot_n || p->slot[at].serial != who >> 32)
		return NULL;
	return p->slot[at].probe;
}

static bool
slot_take(struct prober *p, struct probe *pr)
{
	size_t at = 0;

	/* as many slots as probes at the most: the search ends soon, and
	 * plans are rare */
	while (at < p->slot_n && p->slot[at].probe)
		at++;
	if (at == p->slot_cap) {
		const size_t cap = at ? 2 * at : 64;
		struct probe_slot *more =
		    reallocarray(p->slot, cap, sizeof(*more));

		if (!more)
			return false;
		p->slot = more;
		p->slot_cap = cap;
	}
	if (at == p->slot_n)
		p->slot_n++;
	p->slot[at] = (struct probe_slot){pr, ++p->serial};
	pr->who = (uint64_t)p->serial << 32 | at;
	return true;
}

static void
slot_release(struct prober *p, const struct probe *pr)
{
	p->slot[(uint32_t)pr->who].probe = NULL;
}

/* --- session ids -------------------------------------------------------- */

static uint16_t
ssid_take(struct prober *p)
{
	uint16_t id = 0;

	for (unsigned i = 0; i < 1000; i++) {
		id = (uint16_t)rng_u64(&p->rng);
		if (id && !(p->ssid_used[id / 64] >> (id % 64) & 1))
			break;
	}
	/* with nearly all taken one is shared: address and class still tell
	 * the sessions apart */
	if (id == 0)
		id = 1;
	p->ssid_used[id / 64] |= UINT64_C(1) << (id % 64);
	return id;
}

/* --- classes ------------------------------------------------------------ */

static bool
class_same(const struct roster_class *a, const struct roster_class *b)
{
	return a->class_id == b->class_id && a->family == b->family &&
	       a->dscp == b->dscp && a->size_octets == b->size_octets &&
	       a->gap_ns == b->gap_ns && a->schedule == b->schedule &&
	       a->flows == b->flows && a->interval_ns == b->interval_ns &&
	       a->loss_timeout_ns == b->loss_timeout_ns &&
	       a->detail == b->detail && a->codec == b->codec &&
	       a->jitter_buffer_ns == b->jitter_buffer_ns;
}

/* The lowest run of ports that no class holds: the same after a restart. */
static unsigned
class_ports(const struct prober *p, unsigned flows)
{
	unsigned at = 0;

	for (const struct probe_class *c = p->classes; c;) {
		if (at < c->port_index + c->flows &&
		    c->port_index < at + flows) {
			at = c->port_index + c->flows;
			c = p->classes; /* look at all again */
		} else {
			c = c->next;
		}
	}
	return at;
}

static struct probe_class *
class_get(struct prober *p, const struct roster_class *conf)
{
	struct probe_class *c;

	for (c = p->classes; c; c = c->next) {
		if (class_same(&c->conf, conf))
			return c;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->conf = *conf;
	c->flows = conf->flows == 0          ? 1
	           : conf->flows > FLOWS_MAX ? FLOWS_MAX
	                                     : conf->flows;
	c->port_index = class_ports(p, c->flows);
	for (unsigned i = 0; i < FLOWS_MAX; i++)
		c->v4[i].fd = c->v6[i].fd = -1;
	c->phase = rng_unit(&p->rng);
	c->next = p->classes;
	p->classes = c;
	return c;
}

static void
class_drop_unused(struct prober *p)
{
	struct probe_class **at = &p->classes;

	while (*at) {
		struct probe_class *c = *at;

		if (c->probes || c->wanted) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		io_close_class(c);
		free(c);
	}
}

/* --- peers --------------------------------------------------------------- */

static bool
peer_is(const struct peer *q, const struct addr *a)
{
	return addr_is_loopback(a) ? addr_equal(&q->addr, a)
	                           : addr_ip_equal(&q->addr, a);
}

static struct peer *
peer_get(struct prober *p, const struct addr *a)
{
	struct peer *q;

	for (q = p->peers; q; q = q->next) {
		if (peer_is(q, a))
			return q;
	}
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->addr = *a;
	q->last_sent = (struct mono){INT64_MIN / 2};
	q->next = p->peers;
	p->peers = q;
	return q;
}

static void
peer_drop_unused(struct prober *p)
{
	struct peer **at = &p->peers;

	while (*at) {
		struct peer *q = *at;

		if (q->probes) {
			at = &q->next;
			continue;
		}
		*at = q->next;
		free(q);
	}
}

void
probe_answered(struct probe *pr, struct mono now)
{
	pr->heard = now;
	if (pr->answered)
		return;
	pr->answered = true;
	pr->peer->unanswered--;
}

/* --- probes --------------------------------------------------------------- */

static bool
grow(struct probe ***v, size_t *cap, size_t n)
{
	const size_t more = *cap ? 2 * *cap : 64;
	struct probe **bigger;

	if (n < *cap)
		return true;
	bigger = realloc(*v, more * sizeof(*bigger));
	if (!bigger)
		return false;
	*v = bigger;
	*cap = more;
	return true;
}

static struct session *
probe_session(struct prober *p, const struct probe *pr)
{
	const struct probe_class *pc = pr->class_;
	const struct roster_class *c = &pc->conf;
	const struct session_params sp = {
	    .dst_id = pr->node_id,
	    .class_id = c->class_id,
	    .interval_ns = c->interval_ns,
	    .loss_timeout_ns = c->loss_timeout_ns,
	    .gap_ns = pr->gap_ns,
	    .warmup = WARMUP_PKTS,
	    .align = true,
	    .flows = pc->flows,
	    .detail = c->detail,
	    .codec = c->codec,
	    .jitter_buffer_ns = c->jitter_buffer_ns,
	    .dscp = c->dscp,
	    .run_seed = rng_u64(&p->rng),
	};
	struct session *s = session_new(&sp);

	if (s)
		session_set_epoch(s, p->epoch);
	return s;
}

/*
 * The phases of a class's probes: random is where they begin, and from there
 * each is a golden section of the gap further, which spreads any number of
 * them evenly. Phases that are all random would put some closer together than
 * the minimum gap, and the later of two would be late by it in every turn.
 */
static struct mono
first_due(struct probe_class *c, int64_t gap, struct mono now)
{
	int64_t wait;

	c->phase += GOLDEN;
	c->phase -= floor(c->phase);
	wait = (int64_t)(c->phase * (double)gap) - now.ns % gap;
	return mono_add_ns(now, wait < 0 ? wait + gap : wait);
}

static bool
probe_start(struct prober *p, struct probe_class *c,
            const struct roster_node *n, const struct addr *dst,
            struct clock_pair now)
{
	struct probe *pr = calloc(1, sizeof(*pr));
	const size_t slot = hash_slot(p, c, dst);

	if (!pr)
		return false;
	pr->class_ = c;
	pr->node_id = n->node_id;
	pr->kind = n->kind;
	pr->gap_ns = c->conf.gap_ns;
	if (pr->kind != NODE_TWMESH && pr->gap_ns < TARGET_GAP_NS)
		pr->gap_ns = TARGET_GAP_NS;
	pr->dst = *dst;
	pr->wanted = true;
	pr->heard = now.mono;
	pr->due = first_due(c, pr->gap_ns, now.mono);
	if (pr->kind != NODE_TWMESH)
		pr->due = mono_add_ns(pr->due, COUNT_LEAD_NS);
	pr->session = probe_session(p, pr);
	pr->peer = peer_get(p, dst);
	if (!pr->session || !pr->peer ||
	    !grow(&p->table, &p->table_cap, p->table_n) ||
	    !sched_push(&p->sched, pr))
		goto fail;
	if (!slot_take(p, pr)) {
		sched_remove(&p->sched, pr);
		goto fail;
	}
	if (pr->kind != NODE_LIGHT) /* those octets must be zero there */
		pr->ssid = ssid_take(p);
	pr->table_at = p->table_n;
	p->table[p->table_n++] = pr;
	pr->hash_next = p->hash[slot];
	p->hash[slot] = pr;
	pr->peer->probes++;
	pr->peer->unanswered++;
	c->probes++;
	for (unsigned i = 0; i < c->flows; i++)
		io_open_sock(p, c, i, addr_family(dst));
	if (pr->kind != NODE_TWMESH)
		count_start(p, pr, now.mono);
	return true;
fail:
	session_free(pr->session);
	free(pr);
	return false;
}

static void
hash_remove(struct prober *p, struct probe *pr)
{
	struct probe **at = &p->hash[hash_slot(p, pr->class_, &pr->dst)];

	while (*at != pr)
		at = &(*at)->hash_next;
	*at = pr->hash_next;
}

static void
probe_free(struct prober *p, struct probe *pr)
{
	count_forget(p, pr);
	hash_remove(p, pr);
	slot_release(p, pr);
	p->ssid_used[pr->ssid / 64] &= ~(UINT64_C(1) << (pr->ssid % 64));
	if (!pr->answered)
		pr->peer->unanswered--;
	pr->peer->probes--;
	pr->class_->probes--;
	session_free(pr->session);
	free(pr);
}

/* Out of schedule and table; it still takes replies until it is ended. */
static void
probe_retire(struct prober *p, struct probe *pr)
{
	struct probe *last = p->table[p->table_n - 1];

	if (!grow(&p->ending, &p->ending_cap, p->ending_n))
		return; /* out of memory: it goes on; the next plan retries */
	sched_remove(&p->sched, pr);
	p->table[pr->table_at] = last;
	last->table_at = pr->table_at;
	p->table_n--;
	pr->ending = true;
	p->ending[p->ending_n++] = pr;
}

void
table_end_some(struct prober *p, struct clock_pair now, size_t max)
{
	if (p->ending_n == 0)
		return;
	for (; max > 0 && p->ending_n > 0; max--) {
		struct probe *pr = p->ending[--p->ending_n];

		session_finish(pr->session, now, RESULT_PARTIAL);
		prober_deliver(p, pr);
		probe_free(p, pr);
	}
	if (p->ending_n == 0) {
		class_drop_unused(p);
		peer_drop_unused(p);
	}
}

/* --- plans -----------------------------------------------------------------
 */

/* The first address of the class's family; family 0: IPv4 before IPv6. */
static const struct addr *
pick_address(const struct roster_node *n, int family)
{
	static const int order[] = {AF_INET, AF_INET6};

	for (unsigned f = 0; f < 2; f++) {
		if ((family == 4 && order[f] != AF_INET) ||
		    (family == 6 && order[f] != AF_INET6))
			continue;
		for (size_t i = 0; i < n->address_n; i++) {
			if (addr_family(&n->address[i]) == order[f])
				return &n->address[i];
		}
	}
	return NULL;
}

static void
want(struct prober *p, struct probe_class *c, const struct roster_node *n,
     struct clock_pair now)
{
	const struct addr *dst = pick_address(n, c->conf.family);
	struct probe *pr;

	if (!dst || addr_port(dst) == 0 || addr_is_any(dst) ||
	    addr_is_multicast(dst))
		return;
	pr = find_planned(p, c, dst, n);
	if (pr) {
		pr->wanted = true;
		session_set_epoch(pr->session, p->epoch);
		return;
	}
	if (!probe_start(p, c, n, dst, now))
		log_error("prober: no memory for the session to %s", n->name);
}

void
table_apply(struct prober *p, const struct plan *plan, struct clock_pair now)
{
	const struct roster *r = &plan->roster;
	const struct roster_node *self = roster_node_by_id(r, plan->self_id);
	/* not in it: in no mesh either, if there are meshes */
	const struct roster_node nobody = {.node_id = plan->self_id};

	if (!self)
		self = &nobody;
	p->epoch = r->epoch;
	for (struct probe_class *c = p->classes; c; c = c->next)
		c->wanted = false;
	for (size_t i = 0; i < p->table_n; i++)
		p->table[i]->wanted = false;
	for (size_t k = 0; k < r->class_n; k++) {
		struct probe_class *c;

		if (r->class_[k].gap_ns <= 0 || r->class_[k].interval_ns <= 0 ||
		    r->class_[k].loss_timeout_ns <= 0)
			continue;
		c = class_get(p, &r->class_[k]);
		if (!c)
			continue;
		c->wanted = true;
		for (size_t i = 0; i < r->node_n; i++) {
			if (!r->node[i].paused &&
			    roster_has_session(r, self, &r->node[i],
			                       &r->class_[k]))
				want(p, c, &r->node[i], now);
		}
	}
	for (size_t i = p->table_n; i-- > 0;) {
		if (!p->table[i]->wanted)
			probe_retire(p, p->table[i]);
	}
	if (p->ending_n == 0)
		class_drop_unused(p);
	atomic_store_explicit(&p->stats.sessions, (uint32_t)p->table_n,
	                      memory_order_relaxed);
}

void
table_release(struct prober *p)
{
	while (p->table_n > 0)
		probe_free(p, p->table[--p->table_n]);
	while (p->ending_n > 0)
		probe_free(p, p->ending[--p->ending_n]);
	for (struct probe_class *c = p->classes; c; c = c->next)
		c->wanted = false;
	class_drop_unused(p);
	peer_drop_unused(p);
	free(p->table);
	free(p->ending);
	free(p->slot);
	free(p->sched.v);
}
