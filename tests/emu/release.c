/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/clock_read.h"
#include "tests/emu/forward_priv.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>

#define HOLD_MAX_NS NS_PER_S /* nobody came to overtake it */

void
fwd_give_back(struct fwd *f, struct packet *p)
{
	f->free[f->free_n++] = p;
}

void
fwd_record(struct fwd *f, struct packet *p, enum fate fate, struct wall at)
{
	p->rec.fate = (uint8_t)fate;
	p->rec.release = at;
	p->rec.dscp_out = p->f.dscp;
	p->rec.ttl_out = p->f.ttl;
	truth_add(f->truth, &p->rec);
	if (fate <= FATE_REORDERED)
		f->stats.out++;
	else
		f->stats.lost++;
}

/* Sends and gives back. */
static void
send_now(struct fwd *f, struct packet *p, enum fate fate)
{
	const struct sockaddr_ll to = {.sll_family = AF_PACKET,
	                               .sll_ifindex =
	                                   f->ns->ifindex[p->rec.dst],
	                               .sll_halen = ETH_ALEN};
	const struct wall before = clock_wall();
	struct wall after;
	ssize_t n;

	do
		n = sendto(f->fd, p->data, p->len, 0,
		           (const struct sockaddr *)&to, sizeof(to));
	while (n < 0 && errno == EINTR);
	after = clock_wall();
	p->rec.send_ns = wall_diff_ns(after, before);
	fwd_record(f, p, n == (ssize_t)p->len ? fate : FATE_LOST_FULL, after);
	fwd_give_back(f, p);
}

/* A packet went src -> dst as it should: those held there are overtaken. */
static void
overtake(struct fwd *f, uint8_t src, uint8_t dst)
{
	struct packet *p = TAILQ_FIRST(&f->holding), *next;

	for (; p; p = next) {
		next = TAILQ_NEXT(p, held);
		if (p->rec.src != src || p->rec.dst != dst)
			continue;
		p->rec.overtaken++;
		if (--p->left > 0)
			continue;
		TAILQ_REMOVE(&f->holding, p, held);
		send_now(f, p, FATE_REORDERED);
	}
}

static void
release(struct fwd *f, struct packet *p, struct mono now)
{
	const uint8_t src = p->rec.src, dst = p->rec.dst;

	if (p->hold) {
		p->left = f->link[src][dst].conf.reorder_gap;
		p->deadline = mono_add_ns(now, HOLD_MAX_NS);
		TAILQ_INSERT_TAIL(&f->holding, p, held);
	} else if (p->copy) {
		send_now(f, p, FATE_DUP);
	} else {
		send_now(f, p, FATE_SENT);
		if (!TAILQ_EMPTY(&f->holding))
			overtake(f, src, dst);
	}
}

struct mono
fwd_release_due(struct fwd *f)
{
	struct mono next = {INT64_MAX};
	const struct relq_item *top;
	struct packet *p;

	while ((top = relq_top(&f->queue)) != NULL) {
		const struct mono now = clock_mono();

		next = top->due;
		if (mono_diff_ns(top->due, now) > 0)
			break;
		release(f, relq_pop(&f->queue), now);
		next.ns = INT64_MAX;
	}
	while ((p = TAILQ_FIRST(&f->holding)) != NULL) {
		if (mono_diff_ns(p->deadline, clock_mono()) > 0) {
			if (p->deadline.ns < next.ns)
				next = p->deadline;
			break;
		}
		TAILQ_REMOVE(&f->holding, p, held);
		send_now(f, p, FATE_REORDERED);
	}
	return next;
}

void
fwd_end_all(struct fwd *f)
{
	struct packet *p;

	while ((p = relq_pop(&f->queue)) != NULL) {
		fwd_record(f, p, FATE_LOST_END, clock_wall());
		fwd_give_back(f, p);
	}
	while ((p = TAILQ_FIRST(&f->holding)) != NULL) {
		TAILQ_REMOVE(&f->holding, p, held);
		fwd_record(f, p, FATE_LOST_END, clock_wall());
		fwd_give_back(f, p);
	}
}
