/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slots in one array, linked by index: into hash chains, and within their
 * group by age. Unused slots form a free list through hash_next. Members are
 * a small open-addressing table from address to group, built anew with each
 * list; group 0 is the strangers.
 */
#include "reflector/rsession.h"

#include "lib/base/rng.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NIL UINT32_MAX
#define STRANGERS 0
/* A sender that begins anew under its old key jumps back further than any
 * packet is late (2 s at 500 packets/s), and goes on from there. */
#define RESTART_GAP 1024

struct ip_key {
	uint8_t ip[16];
	uint32_t scope, family;
};

struct group {
	struct ip_key ip; /* of a member */
	uint32_t oldest, newest;
	uint32_t count;
};

struct members {
	struct group *group; /* owned: n + 1, [STRANGERS] first */
	uint32_t *index;     /* owned: group by hash, 0: empty */
	size_t n;            /* members */
	size_t mask;         /* of index */
};

struct rsession_table {
	struct rsession *slot; /* owned: max */
	uint32_t *bucket;      /* owned: heads of hash chains */
	size_t max, mask, count;
	uint32_t free;
	uint32_t serial; /* newest */
	struct members members;
	struct hash_key hash;
	int64_t idle_ns;
};

static_assert(sizeof(struct rsession_key) == 48, "hashed as bytes: no holes");
static_assert(sizeof(struct ip_key) == 24, "hashed as bytes: no holes");

/* --- keys --------------------------------------------------------------- */

static void
put_ip(const struct addr *a, uint8_t out[16], uint32_t *scope)
{
	size_t n;
	const uint8_t *ip = addr_bytes(a, &n);

	memset(out, 0, 16);
	memcpy(out + 16 - n, ip, n);
	*scope = addr_family(a) == AF_INET6 ? a->u.v6.sin6_scope_id : 0;
}

void
rsession_key_set(struct rsession_key *k, const struct addr *src,
                 const struct addr *local, uint16_t ssid)
{
	put_ip(src, k->src, &k->src_scope);
	put_ip(local, k->local, &k->local_scope);
	k->src_port = addr_port(src);
	k->ssid = ssid;
	k->family = (uint32_t)addr_family(src);
}

static void
get_ip(const uint8_t in[16], uint32_t scope, uint32_t family, uint16_t port,
       struct addr *out)
{
	const size_t n = family == AF_INET6 ? 16 : 4;

	if (!addr_from_bytes(in + 16 - n, n, port, out))
		out->len = 0;
	if (family == AF_INET6)
		out->u.v6.sin6_scope_id = scope;
}

void
rsession_key_addrs(const struct rsession_key *k, struct addr *src,
                   struct addr *local)
{
	get_ip(k->src, k->src_scope, k->family, k->src_port, src);
	get_ip(k->local, k->local_scope, k->family, 0, local);
}

/* --- members ------------------------------------------------------------ */

/* A member is its address; link-local ones cannot be members. */
static struct ip_key
ip_key_of_session(const struct rsession_key *k)
{
	struct ip_key ip = {.scope = k->src_scope, .family = k->family};

	memcpy(ip.ip, k->src, sizeof(ip.ip));
	return ip;
}

static uint32_t
find_group(const struct rsession_table *t, const struct members *m,
           const struct ip_key *ip, size_t *at)
{
	size_t i;

	if (m->n == 0 && !at)
		return STRANGERS;
	i = hash_bytes(ip, sizeof(*ip), t->hash) & m->mask;
	for (; m->index[i]; i = (i + 1) & m->mask) {
		if (memcmp(&m->group[m->index[i]].ip, ip, sizeof(*ip)) == 0)
			break;
	}
	if (at)
		*at = i;
	return m->index[i];
}

static size_t
power_of_two(size_t least)
{
	size_t n = 16;

	while (n < least)
		n *= 2;
	return n;
}

static void
members_release(struct members *m)
{
	free(m->group);
	free(m->index);
}

static bool
members_build(const struct rsession_table *t, struct members *m,
              const struct addr *ip, size_t n)
{
	const size_t buckets = power_of_two(2 * n);

	*m = (struct members){.mask = buckets - 1};
	m->group = calloc(n + 1, sizeof(*m->group));
	m->index = calloc(buckets, sizeof(*m->index));
	if (!m->group || !m->index) {
		members_release(m);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		struct ip_key k = {.family = (uint32_t)addr_family(&ip[i])};
		size_t at;

		put_ip(&ip[i], k.ip, &k.scope);
		if (find_group(t, m, &k, &at))
			continue;
		m->index[at] = (uint32_t)++m->n;
		m->group[m->n].ip = k;
	}
	for (size_t i = 0; i <= m->n; i++)
		m->group[i].oldest = m->group[i].newest = NIL;
	return true;
}

/* --- the order within a group ------------------------------------------- */

static void
group_remove(struct rsession_table *t, uint32_t i)
{
	struct rsession *s = &t->slot[i];
	struct group *g = &t->members.group[s->group];

	if (s->older == NIL)
		g->oldest = s->newer;
	else
		t->slot[s->older].newer = s->newer;
	if (s->newer == NIL)
		g->newest = s->older;
	else
		t->slot[s->newer].older = s->older;
	g->count--;
}

static void
group_append(struct rsession_table *t, uint32_t i, uint32_t group)
{
	struct rsession *s = &t->slot[i];
	struct group *g = &t->members.group[group];

	s->group = group;
	s->older = g->newest;
	s->newer = NIL;
	if (g->newest == NIL)
		g->oldest = i;
	else
		t->slot[g->newest].newer = i;
	g->newest = i;
	g->count++;
}

static void
touch(struct rsession_table *t, uint32_t i, struct mono now)
{
	struct rsession *s = &t->slot[i];

	/* stamps of two sockets may come out of order */
	if (now.ns > s->last.ns)
		s->last = now;
	if (s->newer == NIL)
		return;
	group_remove(t, i);
	group_append(t, i, s->group);
}

/* --- the table ---------------------------------------------------------- */

struct rsession_table *
rsession_table_new(size_t max, int64_t idle_ns)
{
	struct rsession_table *t = calloc(1, sizeof(*t));
	const size_t buckets = power_of_two(max);

	if (!t)
		return NULL;
	if (max == 0)
		max = 1;
	random_bytes(&t->hash, sizeof(t->hash));
	t->max = max;
	t->mask = buckets - 1;
	t->idle_ns = idle_ns;
	t->slot = calloc(max, sizeof(*t->slot));
	t->bucket = malloc(buckets * sizeof(*t->bucket));
	if (!t->slot || !t->bucket || !members_build(t, &t->members, NULL, 0)) {
		free(t->slot);
		free(t->bucket);
		free(t);
		return NULL;
	}
	memset(t->bucket, 0xff, buckets * sizeof(*t->bucket)); /* NIL */
	for (size_t i = 0; i < max; i++)
		t->slot[i].hash_next = i + 1 < max ? (uint32_t)i + 1 : NIL;
	return t;
}

void
rsession_table_free(struct rsession_table *t)
{
	if (!t)
		return;
	members_release(&t->members);
	free(t->slot);
	free(t->bucket);
	free(t);
}

/* An IPv4 key is 12 octets, and hashing them is a third of the work of the 48
 * that IPv6 needs. The hash covers all that a stranger chooses. */
static uint32_t *
bucket_of(struct rsession_table *t, const struct rsession_key *k)
{
	uint8_t v4[12];
	uint64_t h;

	if (k->family == AF_INET) {
		memcpy(v4, k->src + 12, 4);
		memcpy(v4 + 4, k->local + 12, 4);
		memcpy(v4 + 8, &k->src_port, 2);
		memcpy(v4 + 10, &k->ssid, 2);
		h = hash_bytes(v4, sizeof(v4), t->hash);
	} else {
		h = hash_bytes(k, sizeof(*k), t->hash);
	}
	return &t->bucket[h & t->mask];
}

static void
close_slot(struct rsession_table *t, uint32_t i)
{
	uint32_t *link = bucket_of(t, &t->slot[i].key);

	while (*link != i)
		link = &t->slot[*link].hash_next;
	*link = t->slot[i].hash_next;
	group_remove(t, i);
	t->slot[i].hash_next = t->free;
	t->slot[i].serial = 0;
	t->free = i;
	t->count--;
}

static struct group *
largest_member(struct rsession_table *t)
{
	struct group *most = &t->members.group[1];

	for (size_t i = 2; i <= t->members.n; i++) {
		if (t->members.group[i].count > most->count)
			most = &t->members.group[i];
	}
	return most;
}

/* Makes room for a session of `group`, if it has a right to it. */
static bool
evict_for(struct rsession_table *t, uint32_t group)
{
	struct group *g;

	if (group == STRANGERS)
		return false;
	g = &t->members.group[STRANGERS];
	if (g->count == 0) {
		const size_t share = t->max / t->members.n;

		if (t->members.group[group].count >= share)
			return false;
		g = largest_member(t);
	}
	close_slot(t, g->oldest);
	return true;
}

static struct rsession *
open_slot(struct rsession_table *t, const struct rsession_key *k,
          struct mono now, struct rsession_found *found)
{
	const struct ip_key ip = ip_key_of_session(k);
	const uint32_t group = find_group(t, &t->members, &ip, NULL);
	uint32_t *head, i;

	if (t->free == NIL) {
		if (!evict_for(t, group))
			return NULL;
		found->evicted = true;
	}
	i = t->free;
	t->free = t->slot[i].hash_next;
	head = bucket_of(t, k);
	if (++t->serial == 0)
		t->serial = 1;
	t->slot[i] = (struct rsession){
	    .key = *k, .last = now, .hash_next = *head, .serial = t->serial};
	*head = i;
	group_append(t, i, group);
	t->count++;
	found->opened = true;
	return &t->slot[i];
}

struct rsession *
rsession_get(struct rsession_table *t, const struct rsession_key *k,
             struct mono now, struct rsession_found *found)
{
	*found = (struct rsession_found){false, false};
	for (uint32_t i = *bucket_of(t, k); i != NIL;
	     i = t->slot[i].hash_next) {
		if (memcmp(&t->slot[i].key, k, sizeof(*k)) == 0) {
			touch(t, i, now);
			return &t->slot[i];
		}
	}
	return open_slot(t, k, now, found);
}

struct rsession_ref
rsession_ref(const struct rsession_table *t, const struct rsession *s)
{
	return (struct rsession_ref){(uint32_t)(s - t->slot), s->serial};
}

struct rsession *
rsession_at(struct rsession_table *t, struct rsession_ref ref)
{
	struct rsession *s;

	if (ref.slot >= t->max || ref.serial == 0)
		return NULL;
	s = &t->slot[ref.slot];
	return s->serial == ref.serial ? s : NULL;
}

/* Behind the window: late, or a sender that began anew under its old key.
 * Two in a row from far behind say which. */
static void
receive_behind(struct rsession *s, uint32_t seq, uint32_t behind)
{
	if (behind < RESTART_GAP)
		return;
	if (seq == s->restart_seq) {
		s->highest = seq;
		s->bitmap = 3; /* and the one before it */
	}
	s->restart_seq = seq + 1;
}

bool
rsession_receive(struct rsession *s, uint32_t seq)
{
	const uint32_t ahead = seq - s->highest, behind = s->highest - seq;
	const bool first = s->received == 0;

	s->received++;
	if (first) {
		s->highest = seq;
		s->bitmap = 1;
		/* no sequence number so far behind follows at once */
		s->restart_seq = seq;
	} else if (ahead != 0 && ahead <= INT32_MAX) {
		s->bitmap = ahead < RSESSION_WINDOW ? s->bitmap << ahead : 0;
		s->bitmap |= 1;
		s->highest = seq;
	} else if (behind < RSESSION_WINDOW) {
		const uint64_t bit = UINT64_C(1) << behind;

		if (s->bitmap & bit) {
			s->duplicates++;
			return true;
		}
		s->bitmap |= bit;
	} else {
		receive_behind(s, seq, behind);
	}
	return false;
}

size_t
rsession_expire(struct rsession_table *t, struct mono now)
{
	size_t n = 0;

	for (size_t i = 0; i <= t->members.n; i++) {
		const struct group *g = &t->members.group[i];

		while (g->oldest != NIL &&
		       mono_diff_ns(now, t->slot[g->oldest].last) >
		           t->idle_ns) {
			close_slot(t, g->oldest);
			n++;
		}
	}
	return n;
}

/* Moves the sessions of one old group, oldest first, into the new groups. */
static void
regroup(struct rsession_table *t, uint32_t from)
{
	for (uint32_t i = from; i != NIL;) {
		const uint32_t next = t->slot[i].newer;
		const struct ip_key ip = ip_key_of_session(&t->slot[i].key);

		group_append(t, i, find_group(t, &t->members, &ip, NULL));
		i = next;
	}
}

bool
rsession_set_members(struct rsession_table *t, const struct addr *ip, size_t n)
{
	struct members old = t->members, new;

	if (n > RSESSION_MEMBERS_MAX || !members_build(t, &new, ip, n))
		return false;
	t->members = new;
	for (size_t i = 0; i <= old.n; i++)
		regroup(t, old.group[i].oldest);
	members_release(&old);
	return true;
}

size_t
rsession_count(const struct rsession_table *t)
{
	return t->count;
}

size_t
rsession_member_count(const struct rsession_table *t)
{
	return t->members.n;
}

bool
rsession_is_member(const struct rsession *s)
{
	return s->group != STRANGERS;
}

void
rsession_each(const struct rsession_table *t,
              void (*fn)(void *arg, const struct rsession *s), void *arg)
{
	for (size_t i = 0; i <= t->members.n; i++) {
		for (uint32_t k = t->members.group[i].oldest; k != NIL;
		     k = t->slot[k].newer)
			fn(arg, &t->slot[k]);
	}
}
