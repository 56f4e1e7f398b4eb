/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each source has a theoretical arrival time (GCRA): a packet is in order if
 * that lies at most the burst ahead, and moves it by one packet's time. One
 * number instead of tokens and a refill stamp, and no division per packet.
 */
#include "reflector/ratelimit.h"

#include "lib/base/rng.h"

#include <stdlib.h>
#include <string.h>

#define SETS 4096 /* power of two */
#define WAYS 4
#define BURST_NS (NS_PER_S / 5)
#define BURST_MIN_PKTS 16

struct source {
	uint64_t id; /* keyed hash of the address; 0: unused */
	int64_t due_ns;
};

struct ratelimit {
	int64_t packet_ns, burst_ns;
	struct hash_key key;
	struct source set[SETS][WAYS];
};

struct ratelimit *
ratelimit_new(uint32_t pps)
{
	struct ratelimit *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->packet_ns = NS_PER_S / (pps ? pps : 1);
	r->burst_ns = BURST_NS;
	if (r->burst_ns < BURST_MIN_PKTS * r->packet_ns)
		r->burst_ns = BURST_MIN_PKTS * r->packet_ns;
	random_bytes(&r->key, sizeof(r->key));
	return r;
}

void
ratelimit_free(struct ratelimit *r)
{
	free(r);
}

/* Sixty-four keyed bits stand for the address: two sources that share them by
 * accident share a bucket, and nobody can look for such a pair. */
static struct source *
find_source(struct ratelimit *r, const struct addr *src)
{
	size_t n;
	const uint8_t *ip = addr_bytes(src, &n);
	const uint64_t h = hash_bytes(ip, n, r->key);
	struct source *set = r->set[h & (SETS - 1)], *oldest = set;
	const uint64_t id = h ? h : 1;

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].id == id)
			return &set[i];
		if (set[i].id == 0 ||
		    (oldest->id != 0 && set[i].due_ns < oldest->due_ns))
			oldest = &set[i];
	}
	*oldest = (struct source){.id = id, .due_ns = INT64_MIN};
	return oldest;
}

bool
ratelimit_ok(struct ratelimit *r, const struct addr *src, struct mono now)
{
	struct source *s = find_source(r, src);
	const int64_t due = s->due_ns > now.ns ? s->due_ns : now.ns;

	if (due - now.ns > r->burst_ns)
		return false;
	s->due_ns = due + r->packet_ns;
	return true;
}
