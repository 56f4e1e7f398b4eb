/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/pending.h"

#include <string.h>

static struct pending_key *
find(struct pending *p, const uint8_t key[KEY_BYTES])
{
	for (unsigned i = 0; i < p->n; i++) {
		if (memcmp(p->k[i].key, key, KEY_BYTES) == 0)
			return &p->k[i];
	}
	return NULL;
}

static struct pending_key *
place_for_new(struct pending *p)
{
	struct pending_key *oldest = &p->k[0];

	if (p->n < PENDING_MAX)
		return &p->k[p->n++];
	for (unsigned i = 1; i < p->n; i++) {
		if (mono_diff_ns(p->k[i].seen, oldest->seen) < 0)
			oldest = &p->k[i];
	}
	return oldest;
}

static bool
new_is_allowed(struct pending *p, struct mono now)
{
	if (p->second.ns == 0 || mono_diff_ns(now, p->second) >= NS_PER_S) {
		p->second = now;
		p->new_in_second = 0;
	}
	if (p->new_in_second >= PENDING_NEW_PER_S) {
		p->held_back++;
		return false;
	}
	p->new_in_second++;
	return true;
}

bool
pending_knock(struct pending *p, const uint8_t key[KEY_BYTES], struct mono now)
{
	struct pending_key *k = find(p, key);

	if (k) {
		k->seen = now;
		if (mono_diff_ns(now, k->told) < PENDING_AGAIN_NS)
			return false;
		k->told = now;
		return true;
	}
	if (!new_is_allowed(p, now))
		return false;
	k = place_for_new(p);
	memcpy(k->key, key, KEY_BYTES);
	k->seen = k->told = now;
	return true;
}

void
pending_forget(struct pending *p, const uint8_t key[KEY_BYTES])
{
	struct pending_key *k = find(p, key);

	if (k)
		*k = p->k[--p->n];
}
