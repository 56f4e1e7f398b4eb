/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/seqwin.h"

#include <stdlib.h>
#include <string.h>

#define RING_MIN 128U
#define RING_MAX (1U << 18) /* 14 MB: 100,000 packets/s for 2.5 s */

bool
seqwin_init(struct seqwin *w, uint32_t packets, uint32_t first_seq)
{
	uint32_t n = RING_MIN;

	while (n < packets && n < RING_MAX)
		n *= 2;
	memset(w, 0, sizeof(*w));
	w->ring = calloc(n, sizeof(*w->ring));
	w->mask = n - 1;
	w->next = w->tail = w->low = first_seq;
	return w->ring != NULL;
}

void
seqwin_release(struct seqwin *w)
{
	free(w->ring);
	w->ring = NULL;
}

uint32_t
seqwin_first(const struct seqwin *w)
{
	const uint32_t size = w->mask + 1;

	return w->next - (w->sent < size ? (uint32_t)w->sent : size);
}

struct pkt *
seqwin_find(const struct seqwin *w, uint32_t seq)
{
	if (seq - seqwin_first(w) >= w->next - seqwin_first(w))
		return NULL;
	return &w->ring[seq & w->mask];
}

struct pkt *
seqwin_oldest(const struct seqwin *w)
{
	return w->sent > w->mask ? &w->ring[w->next & w->mask] : NULL;
}

struct pkt *
seqwin_push(struct seqwin *w)
{
	struct pkt *p = &w->ring[w->next & w->mask];
	const uint32_t seq = w->next++;

	memset(p, 0, sizeof(*p));
	p->seq = seq;
	p->state = PKT_SENT;
	p->fwd_ns = p->bwd_ns = p->t1_nic_ns = NS_UNKNOWN;
	w->sent++;
	if (seq_diff(w->tail, seqwin_first(w)) < 0)
		w->tail = seqwin_first(w);
	if (seq_diff(w->low, seqwin_first(w)) < 0)
		w->low = seqwin_first(w);
	if (w->any && seq_diff(w->high, seqwin_first(w)) < 0)
		w->any = false; /* before it comes round */
	return p;
}

static bool
needs_direction(const struct pkt *p)
{
	if (!p->counted)
		return false;
	if (p->state == PKT_SENT)
		return true;
	return p->state == PKT_LOST && p->book &&
	       (p->dir == DIR_UNDET || p->dir == DIR_FWD);
}

void
seqwin_advance_low(struct seqwin *w)
{
	while (w->low != w->next &&
	       !needs_direction(&w->ring[w->low & w->mask]))
		w->low++;
}
