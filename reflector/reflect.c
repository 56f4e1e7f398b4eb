/* SPDX-License-Identifier: BSD-2-Clause */
#include "reflector/reflect.h"

#include "lib/base/rng.h"
#include "lib/twamp/ntp64.h"
#include "reflector/ratelimit.h"

#include <string.h>

#define DSCP_BITS 0xfc
#define TTL_UNKNOWN 255 /* protocol: what to say when it cannot be read */

bool
reflect_init(struct reflect *r, const struct reflect_conf *conf)
{
	memset(r, 0, sizeof(*r));
	r->conf = *conf;
	r->instance_id = random_u64();
	r->error_estimate = ERREST_UNKNOWN;
	if (conf->stateful && conf->session_max > 0) {
		r->sessions = rsession_table_new(conf->session_max,
		                                 conf->session_idle_ns);
		if (!r->sessions)
			return false;
	}
	if (conf->rate_limit_pps) {
		r->rates = ratelimit_new(conf->rate_limit_pps);
		if (!r->rates) {
			rsession_table_free(r->sessions);
			return false;
		}
	}
	return true;
}

void
reflect_release(struct reflect *r)
{
	rsession_table_free(r->sessions);
	ratelimit_free(r->rates);
	r->sessions = NULL;
	r->rates = NULL;
}

static bool
allowed(const struct reflect_conf *c, const struct addr *src)
{
	if (c->allow_n == 0)
		return true;
	for (size_t i = 0; i < c->allow_n; i++) {
		if (cidr_contains(&c->allow[i], src))
			return true;
	}
	return false;
}

static enum drop
check_addresses(const struct reflect_conf *c, const struct udp_packet *p)
{
	const uint16_t port = addr_port(&p->src);

	if (p->group || addr_is_multicast(&p->local))
		return DROP_GROUP;
	if (port == 0 || addr_is_any(&p->src) || addr_is_multicast(&p->src))
		return DROP_SOURCE;
	if (port == TWAMP_PORT || port == c->port)
		return DROP_LOOP;
	return allowed(c, &p->src) ? DROP_NONE : DROP_DENIED;
}

static enum drop
check_packet(const struct reflect_conf *c, const struct udp_packet *p,
             struct test_request *req)
{
	const size_t least =
	    c->answer_short ? TWAMP_REFLECTOR_BASE : STAMP_BASE;

	if (p->len < least)
		return DROP_SHORT;
	switch (test_request_decode(p->data, p->len, req)) {
	case TEST_OK:
		return DROP_NONE;
	case TEST_ERR_MULTIPLIER:
		return DROP_MULTIPLIER;
	case TEST_ERR_TIMESTAMP:
		return DROP_TIMESTAMP;
	case TEST_ERR_SHORT:
	case TEST_ERR_N:
		break;
	}
	return DROP_SHORT;
}

static enum drop
check(struct reflect *r, const struct udp_packet *p, struct test_request *req)
{
	enum drop d;

	if (p->truncated || p->len > TEST_BUF_MAX)
		return DROP_LONG;
	d = check_addresses(&r->conf, p);
	if (d == DROP_NONE)
		d = check_packet(&r->conf, p, req);
	if (d == DROP_NONE && r->rates &&
	    !ratelimit_ok(r->rates, &p->src, p->mono))
		d = DROP_RATE;
	return d;
}

/* The session of a request, or NULL: answer it statelessly. */
static struct rsession *
session_of(struct reflect *r, const struct udp_packet *p,
           const struct test_request *req)
{
	struct rsession_found found;
	struct rsession_key key;
	struct rsession *s;

	if (!r->sessions)
		return NULL;
	rsession_key_set(&key, &p->src, &p->local, req->ssid);
	s = rsession_get(r->sessions, &key, p->mono, &found);
	r->counters.count[COUNT_OPENED] += found.opened;
	r->counters.count[COUNT_EVICTED] += found.evicted;
	r->counters.count[COUNT_TABLE_FULL] += !s;
	return s;
}

enum drop
reflect_packet(struct reflect *r, const struct udp_packet *p, uint8_t *out,
               struct reflected *how)
{
	struct test_request req;
	struct test_reflection reply;
	struct test_reflected done;
	struct recv_bitmap bitmap = {.instance_id = r->instance_id,
	                             .t2_is_kernel = p->stamp == STAMP_KERNEL};
	struct rsession *s;
	const enum drop d = check(r, p, &req);

	r->counters.count[COUNT_RECEIVED]++;
	if (d != DROP_NONE) {
		r->counters.drop[d]++;
		return d;
	}
	s = session_of(r, p, &req);
	if (s) {
		r->counters.count[COUNT_DUPLICATES] +=
		    rsession_receive(s, req.seq);
		bitmap.stateful = true;
		bitmap.highest = s->highest;
		bitmap.bitmap = s->bitmap;
		bitmap.duplicates = s->duplicates;
		bitmap.received = s->received;
	} else {
		r->counters.count[COUNT_STATELESS]++;
		bitmap.highest = req.seq;
		bitmap.bitmap = 1;
		bitmap.received = 1;
	}
	reply = (struct test_reflection){
	    .seq = s ? s->reply_seq++ : req.seq,
	    .t2 = ntp64_from_wall(p->wall),
	    .error_estimate = r->error_estimate,
	    .sender_ttl = p->ttl >= 0 ? (uint8_t)p->ttl : TTL_UNKNOWN,
	    .bitmap = &bitmap,
	    .tos = p->tos,
	    .honour_dscp = r->conf.honour_dscp};
	r->counters.count[COUNT_USER_STAMPS] += p->stamp == STAMP_USER;
	done = test_reflect(p->data, p->len, &reply, out);
	how->tos = done.dscp >= 0 ? done.dscp << 2
	           : p->tos > 0   ? p->tos & DSCP_BITS
	                          : 0;
	how->follow_up_at = s ? done.follow_up_at : 0;
	how->seq = reply.seq;
	if (how->follow_up_at)
		how->session = rsession_ref(r->sessions, s);
	return DROP_NONE;
}

void
reflect_follow_up(struct reflect *r, const struct reflected *how,
                  uint8_t *reply)
{
	const uint32_t before = how->seq - 1;
	const struct rsession *s = rsession_at(r->sessions, how->session);
	uint64_t t3 = 0;

	if (!s || how->seq == 0)
		return; /* the first one follows nothing: zeros */
	if (s->stamped_t3 && s->stamped_seq == before)
		t3 = s->stamped_t3;
	r->counters.count[COUNT_FOLLOW_UPS] += t3 != 0;
	test_reply_set_follow_up(reply, how->follow_up_at, before, t3);
}

void
reflect_stamped(struct reflect *r, struct rsession_ref session, uint32_t seq,
                struct wall at)
{
	struct rsession *s =
	    r->sessions ? rsession_at(r->sessions, session) : NULL;

	r->counters.count[COUNT_TX_STAMPS]++;
	if (!s)
		return;
	s->stamped_t3 = ntp64_from_wall(at);
	s->stamped_seq = seq;
}
