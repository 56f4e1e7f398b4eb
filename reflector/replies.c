/* SPDX-License-Identifier: BSD-2-Clause */
#include "reflector/replies.h"

#include "lib/base/clock_read.h"
#include "lib/net/txstamp.h"
#include "lib/twamp/ntp64.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Buffers start a cache line further than a power of two would have them. */
#define BUF_STRIDE (TEST_BUF_MAX + 64)

bool
replies_init(struct replies *r)
{
	memset(r, 0, sizeof(*r));
	r->buf = malloc((size_t)BUF_STRIDE * REPLIES_MAX);
	return r->buf != NULL;
}

void
replies_release(struct replies *r)
{
	free(r->buf);
	r->buf = NULL;
}

static uint8_t *
buf_at(const struct replies *r, int i)
{
	return r->buf + (size_t)i * BUF_STRIDE;
}

uint8_t *
replies_buf(const struct replies *r)
{
	return buf_at(r, r->n);
}

/* --- transmit stamps ---------------------------------------------------- */

static uint64_t
to_tag(struct rsession_ref s)
{
	return (uint64_t)s.slot << 32 | s.serial;
}

static struct rsession_ref
from_tag(uint64_t tag)
{
	return (struct rsession_ref){(uint32_t)(tag >> 32), (uint32_t)tag};
}

void
replies_take_stamps(const struct outlet *o)
{
	struct tx_event ev[REPLIES_MAX];
	int n;

	do {
		n = txstamp_drain(o->tx, ev, REPLIES_MAX);
		for (int i = 0; i < n; i++) {
			if (ev[i].software)
				reflect_stamped(o->reflect, from_tag(ev[i].who),
				                ev[i].seq, ev[i].wall);
		}
	} while (n == REPLIES_MAX);
}

static bool
same_session(const struct replies *r, int i, int k)
{
	return r->how[i].follow_up_at && r->how[k].follow_up_at &&
	       r->how[i].session.slot == r->how[k].session.slot;
}

/* Nobody will be told about a reply whose successor goes out with it. */
static bool
is_followed_at_once(const struct replies *r, int i, int to)
{
	for (int k = i + 1; k < to; k++) {
		if (same_session(r, i, k))
			return true;
	}
	return false;
}

static void
ask_for_stamps(struct replies *r, const struct outlet *o, int from, int to,
               struct mono now)
{
	for (int i = from; i < to; i++) {
		if (r->how[i].follow_up_at && !is_followed_at_once(r, i, to))
			(void)txstamp_ask(o->tx, &r->send[i], now);
	}
}

static void
tell_sent(const struct replies *r, const struct outlet *o, int from, int to,
          struct mono before)
{
	for (int i = from; i < to; i++) {
		if (!r->send[i].stamp_flags)
			continue;
		txstamp_sent(o->tx, &r->send[i], before,
		             to_tag(r->how[i].session), r->how[i].seq);
		o->reflect->counters.count[COUNT_TX_ASKED]++;
	}
}

/* --- sending ------------------------------------------------------------ */

static void
send_failed(struct replies *r, const struct outlet *o, int i, int error)
{
	const struct udp_send *s = &r->send[i];
	char to[ADDR_TEXT_MAX];
	uint64_t held;

	o->reflect->counters.count[COUNT_SEND_FAILED]++;
	if (s->stamp_flags)
		txstamp_failed(o->tx, s);
	if (log_limit_ok(o->log, clock_mono(), &held))
		log_warn("reply to %s: %s (and %" PRIu64 " others before)",
		         addr_format(&s->dst, to), strerror(-error), held);
}

/* Sends [from, to), whose follow-ups are as new as can be. */
static void
send_run(struct replies *r, const struct outlet *o, int from, int to)
{
	const bool stamps = r->follow_ups > 0 && o->tx;
	struct clock_pair t3 = {{0}, {0}};

	for (int i = from; i < to && r->follow_ups > 0; i++) {
		if (r->how[i].follow_up_at)
			reflect_follow_up(o->reflect, &r->how[i], buf_at(r, i));
	}
	if (stamps) {
		ask_for_stamps(r, o, from, to, clock_mono());
		t3 = clock_now();
	} else {
		t3.wall = clock_wall();
	}
	for (int i = from; i < to; i++)
		test_reply_set_t3(buf_at(r, i), ntp64_from_wall(t3.wall));
	while (from < to) {
		const int rc = udp_send_batch(o->fd, r->send + from, to - from);

		if (rc > 0) {
			o->reflect->counters.count[COUNT_REPLIES] +=
			    (uint64_t)rc;
			if (stamps)
				tell_sent(r, o, from, from + rc, t3.mono);
			from += rc;
			continue;
		}
		/* that one; the others may have better luck */
		send_failed(r, o, from++, rc);
		if (stamps)
			ask_for_stamps(r, o, from, to, t3.mono);
	}
	if (stamps)
		replies_take_stamps(o);
}

/* The first reply behind `from` that is to tell about one of those before. */
static int
run_end(const struct replies *r, int from)
{
	for (int i = from + 1; i < r->n; i++) {
		for (int k = from; k < i; k++) {
			if (same_session(r, k, i))
				return i;
		}
	}
	return r->n;
}

void
replies_flush(struct replies *r, const struct outlet *o, bool together)
{
	for (int from = 0; from < r->n;) {
		const int to = !together && o->tx && r->follow_ups > 1
		                   ? run_end(r, from)
		                   : r->n;

		send_run(r, o, from, to);
		from = to;
	}
	r->n = r->follow_ups = 0;
}

void
replies_add(struct replies *r, const struct outlet *o,
            const struct udp_send *send, const struct reflected *how,
            bool together)
{
	r->send[r->n] = *send;
	r->send[r->n].data = buf_at(r, r->n);
	r->how[r->n] = *how;
	r->follow_ups += how->follow_up_at != 0;
	if (++r->n == REPLIES_MAX)
		replies_flush(r, o, together);
}
