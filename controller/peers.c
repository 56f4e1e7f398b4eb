/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/peers.h"

#include <stdlib.h>
#include <string.h>

bool
peers_init(struct peers *ps, size_t max)
{
	*ps = (struct peers){.max = max};
	ps->bucket_n = 64;
	while (ps->bucket_n < max)
		ps->bucket_n *= 2;
	ps->bucket = calloc(ps->bucket_n, sizeof(struct peer *));
	random_bytes(&ps->hash, sizeof(ps->hash));
	return ps->bucket != NULL;
}

static struct peer **
bucket_of(struct peers *ps, const uint8_t key[KEY_BYTES])
{
	return &ps->bucket[hash_bytes(key, KEY_BYTES, ps->hash) &
	                   (ps->bucket_n - 1)];
}

struct peer *
peers_find(struct peers *ps, const uint8_t key[KEY_BYTES])
{
	struct peer *p = *bucket_of(ps, key);

	while (p && memcmp(p->key, key, KEY_BYTES) != 0)
		p = p->next_in_bucket;
	return p;
}

static struct peer *
peers_add(struct peers *ps, const uint8_t key[KEY_BYTES])
{
	struct peer **b = bucket_of(ps, key);
	struct peer *p = ps->n < ps->max ? calloc(1, sizeof(*p)) : NULL;

	if (!p)
		return NULL;
	memcpy(p->key, key, KEY_BYTES);
	p->next_in_bucket = *b;
	*b = p;
	ps->n++;
	return p;
}

struct peer *
peers_hear(struct peers *ps, const struct router_from *from, struct mono now)
{
	struct peer *p = peers_find(ps, from->key);
	bool fresh = !p;

	if (!p)
		p = peers_add(ps, from->key);
	if (!p)
		return NULL;
	if (fresh || memcmp(&p->at, &from->peer, sizeof(p->at)) != 0) {
		p->at = from->peer;
		p->connection = ++ps->connections;
		p->has_echo = false;
		p->need_hello_sent = (struct mono){0};
		memset(p->sent, 0, sizeof(p->sent));
		peer_set_state(p, PEER_STRANGER);
	}
	p->heard = now;
	return p;
}

void
peers_remove(struct peers *ps, struct peer *p)
{
	struct peer **at = bucket_of(ps, p->key);

	while (*at && *at != p)
		at = &(*at)->next_in_bucket;
	if (*at)
		*at = p->next_in_bucket;
	peers_flight_clear(ps, p);
	ps->n--;
	free(p);
}

void
peers_each(struct peers *ps, void (*fn)(void *arg, struct peer *p), void *arg)
{
	for (size_t i = 0; i < ps->bucket_n; i++) {
		struct peer *p = ps->bucket[i];

		while (p) {
			struct peer *next = p->next_in_bucket;

			fn(arg, p);
			p = next;
		}
	}
}

void
peers_release(struct peers *ps)
{
	if (!ps->bucket)
		return;
	for (size_t i = 0; i < ps->bucket_n; i++) {
		while (ps->bucket[i])
			peers_remove(ps, ps->bucket[i]);
	}
	free(ps->bucket);
	ps->bucket = NULL;
}

void
peer_set_state(struct peer *p, enum peer_state s)
{
	if (s == PEER_STRANGER) {
		p->epoch = 0; /* whatever it holds, it gets a whole roster */
		p->needs_full = false;
	}
	p->state = s;
}

void
peer_heartbeat_sent(struct peer *p, struct clock_pair now)
{
	p->sent[p->sent_next] = now;
	p->sent_next = (p->sent_next + 1) % PEER_HEARTBEATS_KEPT;
}

void
peer_heartbeat_heard(struct peer *p, const struct msg_heartbeat *hb,
                     struct clock_pair now)
{
	p->has_echo = true;
	p->echo_sent = hb->sent;
	p->echo_received = now.wall;
	if (!hb->has_echo)
		return;
	for (unsigned i = 0; i < PEER_HEARTBEATS_KEPT; i++) {
		int64_t ago = mono_diff_ns(now.mono, p->sent[i].mono);

		if (p->sent[i].mono.ns == 0 ||
		    p->sent[i].wall.ns != hb->echo_sent.ns)
			continue;
		/* t1 as today's clock would have shown it, so that a step of
		 * our own clock does not look like one of the node's. An
		 * impossible echo changes nothing. */
		if (offset_add(&p->offset, wall_add_ns(now.wall, -ago),
		               hb->echo_received, hb->sent, now.wall))
			p->mark = hb->mark;
		p->sent[i] = (struct clock_pair){.mono = {0}}; /* used once */
		return;
	}
}

int64_t
peer_clock_off_ns(const struct peer *p, const struct clock_mark *m,
                  int64_t *moved_ns)
{
	const int64_t off = offset_estimate_ns(&p->offset);

	*moved_ns = 0;
	if (off == NS_UNKNOWN || !m->known || !p->mark.known ||
	    memcmp(m->boot_id, p->mark.boot_id, BOOT_ID_BYTES) != 0)
		return off;
	/* marks are instants (MSG_WALL_MIN ..): at most 2^62 apart, and an
	 * offset is below 2^61 */
	*moved_ns = p->mark.ns - m->ns;
	return off - *moved_ns;
}

static void
flight_free(struct peers *ps, struct peer_flight *f)
{
	ps->flight_bytes -= f->bytes;
	*f = (struct peer_flight){.seq = 0};
}

static bool
flight_is(const struct peer_flight *f, const struct id16 *spool_id,
          uint64_t seq)
{
	return f->seq != 0 && f->seq == seq &&
	       memcmp(&f->spool_id, spool_id, sizeof(*spool_id)) == 0;
}

enum peer_flight_err
peers_flight_begin(struct peers *ps, struct peer *p, const struct msg_batch *b,
                   unsigned window, size_t bytes_max, struct mono now)
{
	struct peer_flight *place = NULL;
	unsigned used = 0;

	for (unsigned i = 0; i < PEER_FLIGHT_MAX; i++) {
		struct peer_flight *f = &p->flight[i];

		if (f->seq && mono_diff_ns(now, f->since) > PEER_FLIGHT_NS)
			flight_free(ps, f);
		if (flight_is(f, &b->spool_id, b->seq))
			return FLIGHT_TWICE;
		if (f->seq)
			used++;
		else if (!place)
			place = f;
	}
	if (!place || used >= window)
		return FLIGHT_WINDOW;
	if (b->body_len > bytes_max ||
	    ps->flight_bytes > bytes_max - b->body_len)
		return FLIGHT_BYTES;
	*place = (struct peer_flight){.spool_id = b->spool_id,
	                              .seq = b->seq,
	                              .bytes = b->body_len,
	                              .since = now};
	ps->flight_bytes += b->body_len;
	return FLIGHT_OK;
}

void
peers_flight_end(struct peers *ps, struct peer *p, const struct id16 *spool_id,
                 uint64_t seq)
{
	for (unsigned i = 0; i < PEER_FLIGHT_MAX; i++) {
		if (flight_is(&p->flight[i], spool_id, seq))
			flight_free(ps, &p->flight[i]);
	}
}

void
peers_flight_clear(struct peers *ps, struct peer *p)
{
	for (unsigned i = 0; i < PEER_FLIGHT_MAX; i++)
		flight_free(ps, &p->flight[i]);
}
