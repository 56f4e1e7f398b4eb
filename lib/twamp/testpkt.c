/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * STAMP or TWAMP? The two are told apart only by what follows octet 14 of a
 * request: STAMP has its SSID and 28 octets that must be zero, TWAMP has
 * padding, pseudo-random as a rule. A request whose octets 16..43 are zero is
 * read as STAMP; any other as TWAMP, without SSID (a random one would open a
 * session per packet) and without TLVs, its padding moved up behind the reply's
 * 41 octets as RFC 5357 4.2.1 has it. TWAMP padding of zeros comes out as zeros
 * by either reading.
 */
#include "lib/twamp/testpkt.h"

#include "lib/base/cursor.h"
#include "lib/twamp/ntp64.h"

#include <assert.h>
#include <string.h>

/* Offsets in octets (RFC 8762 4.2.1, 4.3.1). */
#define OFF_SSID 14
#define OFF_MBZ 16       /* request: 28 octets */
#define OFF_T3 4         /* reply */
#define REPLY_MIN 36     /* up to and with the Sender Timestamp */
#define MULTIPLIER 0xffU /* of an Error Estimate */
#define NSEC_LIMIT UINT32_C(1000000000)
#define TAI_MINUS_UTC_S 37 /* since 2017 */

#define BITMAP_TLV_SIZE (TLV_HEADER + TLV_RECV_BITMAP_LEN)
#define BITMAP_STATEFUL 0x01U

static const char *const err_name[] = {"ok", "short", "multiplier",
                                       "timestamp"};
static_assert(sizeof(err_name) / sizeof(err_name[0]) == TEST_ERR_N,
              "one name per error");

const char *
test_err_str(enum test_err e)
{
	return (unsigned)e < TEST_ERR_N ? err_name[e] : "?";
}

static bool
is_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

static bool
is_stamp(const uint8_t *req, size_t len)
{
	return len >= STAMP_BASE &&
	       is_zero(req + OFF_MBZ, STAMP_BASE - OFF_MBZ);
}

bool
test_request_encode(const struct test_request *r, bool tlvs, bool want_bitmap,
                    uint8_t *buf, size_t size)
{
	struct wcursor w = wcursor_init(buf, size);
	const size_t fixed =
	    STAMP_BASE + (want_bitmap ? (size_t)BITMAP_TLV_SIZE : 0);

	if (size < TWAMP_SENDER_BASE || size > UINT16_MAX ||
	    (want_bitmap && (!tlvs || size < fixed)))
		return false;
	wcursor_u32(&w, r->seq);
	wcursor_u64(&w, r->t1);
	wcursor_u16(&w, r->error_estimate);
	if (size < STAMP_BASE) {
		wcursor_zero(&w, w.left);
		return true;
	}
	wcursor_u16(&w, r->ssid);
	wcursor_zero(&w, STAMP_BASE - OFF_MBZ);
	if (want_bitmap) {
		wcursor_u8(&w, TLV_FLAG_U);
		wcursor_u8(&w, TLV_RECV_BITMAP);
		wcursor_u16(&w, TLV_RECV_BITMAP_LEN);
		wcursor_u32(&w, TLV_RECV_BITMAP_MAGIC);
		wcursor_zero(&w, TLV_RECV_BITMAP_LEN - 4);
	}
	if (tlvs && w.left >= TLV_HEADER) {
		wcursor_u8(&w, TLV_FLAG_U);
		wcursor_u8(&w, TLV_EXTRA_PADDING);
		wcursor_u16(&w, (uint16_t)(w.left - 2));
	}
	wcursor_zero(&w, w.left);
	return !w.failed;
}

void
test_request_restamp(const struct test_request *r, uint8_t *buf)
{
	struct wcursor w = wcursor_init(buf, TWAMP_SENDER_BASE);

	wcursor_u32(&w, r->seq);
	wcursor_u64(&w, r->t1);
	wcursor_u16(&w, r->error_estimate);
}

/* What an Error Estimate says about its packet's timestamps. */
static enum test_err
stamp_check(uint16_t error_estimate, uint64_t stamp)
{
	if ((error_estimate & MULTIPLIER) == 0)
		return TEST_ERR_MULTIPLIER;
	if ((error_estimate & ERREST_Z) && (uint32_t)stamp >= NSEC_LIMIT)
		return TEST_ERR_TIMESTAMP;
	return TEST_OK;
}

enum test_err
test_request_decode(const uint8_t *buf, size_t len, struct test_request *out)
{
	struct rcursor c = rcursor_init(buf, len);
	struct test_request r = {0};
	enum test_err e;

	r.seq = rcursor_u32(&c);
	r.t1 = rcursor_u64(&c);
	r.error_estimate = rcursor_u16(&c);
	if (c.failed)
		return TEST_ERR_SHORT;
	e = stamp_check(r.error_estimate, r.t1);
	if (e != TEST_OK)
		return e;
	if (is_stamp(buf, len))
		r.ssid = rcursor_u16(&c);
	*out = r;
	return TEST_OK;
}

bool
tlv_next(struct rcursor *c, struct tlv *out, bool *malformed)
{
	struct tlv t;

	*malformed = false;
	/* Fewer octets than a header, or the reserved type 0: padding. */
	if (c->failed || c->left < TLV_HEADER || c->p[1] == 0)
		return false;
	t.flags = rcursor_u8(c);
	t.type = rcursor_u8(c);
	t.len = rcursor_u16(c);
	t.value = rcursor_take(c, t.len);
	if (!t.value) {
		*malformed = true;
		return false;
	}
	*out = t;
	return true;
}

static bool
is_bitmap_tlv(const struct tlv *t)
{
	struct rcursor c = rcursor_init(t->value, t->len);

	return t->type == TLV_RECV_BITMAP && t->len == TLV_RECV_BITMAP_LEN &&
	       rcursor_u32(&c) == TLV_RECV_BITMAP_MAGIC;
}

static void
bitmap_decode(const struct tlv *t, struct recv_bitmap *out)
{
	struct rcursor c = rcursor_init(t->value, t->len);

	rcursor_skip(&c, 4);
	out->instance_id = rcursor_u64(&c);
	out->stateful = rcursor_u8(&c) & BITMAP_STATEFUL;
	rcursor_skip(&c, 3);
	out->highest = rcursor_u32(&c);
	out->bitmap = rcursor_u64(&c);
	out->duplicates = rcursor_u32(&c);
	out->received = rcursor_u32(&c);
}

/* RFC 8972 4: skip U, stop at M, discard all on I. */
static void
reply_tlvs(const uint8_t *buf, size_t len, struct test_reply *r)
{
	struct rcursor c = rcursor_init(buf, len);
	struct tlv t;
	bool malformed;

	while (tlv_next(&c, &t, &malformed)) {
		if (t.flags & TLV_FLAG_I) {
			r->has_bitmap = false;
			return;
		}
		if (t.flags & TLV_FLAG_M)
			return;
		if (t.flags & TLV_FLAG_U || !is_bitmap_tlv(&t))
			continue;
		bitmap_decode(&t, &r->bitmap);
		r->has_bitmap = true;
	}
}

/*
 * A PTP stamp is in TAI by the standard and in UTC from hosts that fill it from
 * CLOCK_REALTIME. The reading that lies nearer to our own clock is taken; both
 * stamps of a reply come from one clock, so T2 decides for both.
 */
static int
guess_utc_offset(uint64_t t2, struct wall near)
{
	struct wall utc, tai;

	if (!ptp64_to_wall(t2, 0, near, &utc) ||
	    !ptp64_to_wall(t2, TAI_MINUS_UTC_S, near, &tai))
		return 0;
	return wall_diff_ns(utc, near) > TAI_MINUS_UTC_S * NS_PER_S / 2
	           ? TAI_MINUS_UTC_S
	           : 0;
}

static enum test_err
reply_stamps(uint64_t t2, uint64_t t3, bool ptp, struct wall near,
             struct test_reply *r)
{
	int offset;

	if (!ptp) {
		r->t2 = ntp64_to_wall(t2, near);
		r->t3 = ntp64_to_wall(t3, near);
		return TEST_OK;
	}
	offset = guess_utc_offset(t2, near);
	if (!ptp64_to_wall(t2, offset, near, &r->t2) ||
	    !ptp64_to_wall(t3, offset, near, &r->t3))
		return TEST_ERR_TIMESTAMP;
	return TEST_OK;
}

enum test_err
test_reply_decode(const uint8_t *buf, size_t len, struct wall near,
                  struct test_reply *out)
{
	struct rcursor c = rcursor_init(buf, len);
	struct test_reply r = {.sender_ttl = -1};
	uint64_t t2, t3;
	uint16_t ee;
	bool ptp;
	enum test_err e;

	if (len < REPLY_MIN)
		return TEST_ERR_SHORT;
	r.seq = rcursor_u32(&c);
	t3 = rcursor_u64(&c);
	ee = rcursor_u16(&c);
	r.ssid = rcursor_u16(&c);
	t2 = rcursor_u64(&c);
	r.sender_seq = rcursor_u32(&c);
	r.t1 = rcursor_u64(&c);
	if (!errest_decode(ee, &r.error_ns, &r.synchronised, &ptp))
		return TEST_ERR_MULTIPLIER;
	if (!r.synchronised)
		r.error_ns = NS_UNKNOWN;
	e = reply_stamps(t2, t3, ptp, near, &r);
	if (e != TEST_OK)
		return e;
	if (len >= TWAMP_REFLECTOR_BASE)
		r.sender_ttl = buf[TWAMP_REFLECTOR_BASE - 1];
	if (len > STAMP_BASE)
		reply_tlvs(buf + STAMP_BASE, len - STAMP_BASE, &r);
	*out = r;
	return TEST_OK;
}

static void
bitmap_encode(const struct recv_bitmap *b, uint8_t *value)
{
	struct wcursor w = wcursor_init(value, TLV_RECV_BITMAP_LEN);

	wcursor_u32(&w, TLV_RECV_BITMAP_MAGIC);
	wcursor_u64(&w, b->instance_id);
	wcursor_u8(&w, b->stateful ? BITMAP_STATEFUL : 0);
	wcursor_zero(&w, 3);
	wcursor_u32(&w, b->highest);
	wcursor_u64(&w, b->bitmap);
	wcursor_u32(&w, b->duplicates);
	wcursor_u32(&w, b->received);
}

/* Sets the flags of every TLV in `out`, a copy of what came at `in`, and fills
 * in those we know. */
static void
reflect_tlvs(const uint8_t *in, size_t len, const struct recv_bitmap *bitmap,
             uint8_t *out)
{
	struct rcursor c = rcursor_init(in, len);
	struct tlv t;
	size_t at = 0;
	bool malformed;

	for (; tlv_next(&c, &t, &malformed); at = len - c.left) {
		const bool fill = bitmap && is_bitmap_tlv(&t);

		out[at] = fill || t.type == TLV_EXTRA_PADDING ? 0 : TLV_FLAG_U;
		if (fill)
			bitmap_encode(bitmap, out + at + TLV_HEADER);
	}
	if (malformed)
		out[at] = TLV_FLAG_M |
		          (in[at + 1] == TLV_EXTRA_PADDING ? 0 : TLV_FLAG_U);
}

void
test_reflect(const uint8_t *req, size_t len, const struct test_reflection *r,
             uint8_t *out)
{
	const bool stamp = is_stamp(req, len);
	struct wcursor w = wcursor_init(out, len);

	wcursor_u32(&w, r->seq);
	wcursor_u64(&w, r->t3);
	wcursor_u16(&w, r->error_estimate);
	if (stamp)
		wcursor_bytes(&w, req + OFF_SSID, 2);
	else
		wcursor_zero(&w, 2);
	wcursor_u64(&w, r->t2);
	wcursor_bytes(&w, req, TWAMP_SENDER_BASE);
	wcursor_zero(&w, 2);
	wcursor_u8(&w, r->sender_ttl);
	if (!stamp) {
		wcursor_bytes(&w, req + TWAMP_SENDER_BASE, w.left);
		return;
	}
	wcursor_zero(&w, STAMP_BASE - TWAMP_REFLECTOR_BASE);
	wcursor_bytes(&w, req + STAMP_BASE, w.left);
	reflect_tlvs(req + STAMP_BASE, len - STAMP_BASE, r->bitmap,
	             out + STAMP_BASE);
}

void
test_reply_set_t3(uint8_t *reply, uint64_t t3)
{
	struct wcursor w = wcursor_init(reply + OFF_T3, 8);

	wcursor_u64(&w, t3);
}
