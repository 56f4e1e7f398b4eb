/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/shipper_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_SEND_NS (100 * NS_PER_MS)

void
shipper_set_target(struct shipper *s, bool ready, uint32_t window, bool again)
{
	if (again || !s->ready) {
		s->cursor = 0;
		s->flight_n = 0;
		s->urgent_n = 0; /* they have their turn from the oldest */
	}
	s->ready = ready;
	s->window = window < SPOOL_PROTECTED ? window : SPOOL_PROTECTED;
	s->retry_send.ns = 0;
	s->stats.in_flight = (uint32_t)s->flight_n;
}

/* 0, -EAGAIN (later), or what spool or encoder said. */
static int
send_batch(struct shipper *s, uint64_t seq)
{
	struct msg_batch b;
	int rc = spool_load(s->o.spool, seq, &b);

	if (rc != 0)
		return rc;
	rc = s->o.send(s->o.arg, &b);
	free(b.body);
	return rc;
}

static void
land(struct shipper *s, size_t i)
{
	s->flight_n--;
	memmove(&s->flight[i], &s->flight[i + 1],
	        (s->flight_n - i) * sizeof(s->flight[0]));
	s->stats.in_flight = (uint32_t)s->flight_n;
}

static struct mono
send_again(struct shipper *s, struct mono now)
{
	struct mono next = NEVER;

	for (size_t i = 0; i < s->flight_n;) {
		struct flight *f = &s->flight[i];
		struct mono due = mono_add_ns(f->sent, SHIPPER_RESEND_NS);

		if (mono_diff_ns(due, now) <= 0) {
			if (send_batch(s, f->seq) == -ENOENT) {
				land(s, i);
				continue;
			}
			s->stats.resent++;
			f->sent = now;
			due = mono_add_ns(now, SHIPPER_RESEND_NS);
		}
		next = sooner(next, due);
		i++;
	}
	return next;
}

/* NEVER when it may go now. */
static struct mono
held_until(struct shipper *s, uint64_t seq, struct mono now)
{
	while (s->hold_n > 0 && (s->hold[0].seq < seq ||
	                         mono_diff_ns(s->hold[0].until, now) <= 0)) {
		s->hold_n--;
		memmove(&s->hold[0], &s->hold[1],
		        s->hold_n * sizeof(s->hold[0]));
	}
	return s->hold_n > 0 && s->hold[0].seq == seq ? s->hold[0].until
	                                              : NEVER;
}

static bool
is_in_flight(const struct shipper *s, uint64_t seq)
{
	for (size_t i = 0; i < s->flight_n; i++) {
		if (s->flight[i].seq == seq)
			return true;
	}
	return false;
}

/* True when it is done with, sent or not to be sent any more. */
static bool
launch(struct shipper *s, uint64_t seq, struct mono now)
{
	const int rc = send_batch(s, seq);

	if (rc == 0) {
		s->flight[s->flight_n++] = (struct flight){seq, now};
		s->stats.sent++;
	}
	return rc == 0 || rc == -ENOENT || rc == -EINVAL;
}

/* False when the queue is full. */
static bool
send_urgent(struct shipper *s, struct mono now)
{
	size_t n = 0;

	while (n < s->urgent_n && s->flight_n < s->window &&
	       (s->urgent[n] < s->cursor || launch(s, s->urgent[n], now)))
		n++;
	s->urgent_n -= n;
	memmove(s->urgent, s->urgent + n, s->urgent_n * sizeof(s->urgent[0]));
	return s->urgent_n == 0 || s->flight_n >= s->window;
}

static struct mono
send_new(struct shipper *s, struct mono now)
{
	if (!send_urgent(s, now))
		return mono_add_ns(now, RETRY_SEND_NS);
	while (s->flight_n < s->window) {
		const uint64_t seq = spool_next_unacked(s->o.spool, s->cursor);
		struct mono until;

		if (seq == 0)
			return NEVER;
		if (!is_in_flight(s, seq)) {
			until = held_until(s, seq, now);
			if (until.ns != NEVER.ns)
				return until;
			if (!launch(s, seq, now))
				return mono_add_ns(now, RETRY_SEND_NS);
		}
		s->cursor = seq + 1;
	}
	return NEVER;
}

struct mono
shipper_on_time(struct shipper *s, struct clock_pair now)
{
	struct mono next;

	s->now = now.mono;
	next = shipper_seal_due(s, now, false);
	if (!s->ready)
		return next;
	next = sooner(next, send_again(s, now.mono));
	if (mono_diff_ns(s->retry_send, now.mono) <= 0) {
		s->retry_send = send_new(s, now.mono);
		next = sooner(next, s->retry_send);
		if (s->retry_send.ns == NEVER.ns)
			s->retry_send = now.mono;
	}
	s->stats.in_flight = (uint32_t)s->flight_n;
	return next;
}

static void
count_ack(struct shipper *s, enum ack_status status, uint64_t seq,
          const char *reason)
{
	uint64_t held;

	switch (status) {
	case ACK_STORED:
		s->stats.acked++;
		break;
	case ACK_DUPLICATE:
		s->stats.duplicates++;
		break;
	case ACK_PUT_ASIDE:
		s->stats.put_aside++;
		if (log_limit_ok(&s->log_aside, s->now, &held))
			log_warn("the controller put batch %" PRIu64
			         " aside: %s",
			         seq, reason);
		break;
	}
}

void
shipper_on_ack(struct shipper *s, const struct msg_batch_ack *a)
{
	const struct id16 *ours = spool_id(s->o.spool);

	if (memcmp(&a->spool_id, ours, sizeof(*ours)) != 0)
		return; /* of a spool that is no more */
	for (size_t i = 0; i < a->n; i++) {
		for (size_t j = 0; j < s->flight_n; j++) {
			if (s->flight[j].seq == a->seq[i]) {
				land(s, j);
				count_ack(s, a->status[i], a->seq[i],
				          a->reason);
				break;
			}
		}
	}
	/* A failure is harmless: they are sent again and found doubled. */
	if (spool_ack(s->o.spool, a->seq, a->n) != 0)
		log_debug("spool: acks were not kept");
	s->retry_send.ns = 0;
}
