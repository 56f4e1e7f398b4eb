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

#define BITMAP_STATEFUL 0x01U
#define BITMAP_T2_KERNEL 0x02U
/* Class of Service, its first two octets (RFC 8972 4.4, figure 12). */
#define COS_DSCP1_SHIFT 10
#define COS_DSCP2_SHIFT 4
#define COS_ECN_SHIFT 2
#define DSCP_MAX 63U
#define ECN_MAX 3U
#define RP_MAX 3U
#define RP_REFUSED 1U
#define FOLLOW_UP_SOFTWARE 2 /* timestamp method: software, local */

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

/* The optional TLVs in the order in which they are sent. When room is short,
 * the last go first: a class of a certain size always carries the same. */
static const struct wanted {
	unsigned flag;
	uint8_t type;
	uint16_t len; /* of the value */
} wanted[] = {
    {TEST_WANT_BITMAP, TLV_RECV_BITMAP, TLV_RECV_BITMAP_LEN},
    {TEST_WANT_COS, TLV_COS, TLV_COS_LEN},
    {TEST_WANT_FOLLOW_UP, TLV_FOLLOW_UP, TLV_FOLLOW_UP_LEN},
};
#define WANTED_N (sizeof(wanted) / sizeof(wanted[0]))

unsigned
test_request_fit(unsigned want, size_t size)
{
	unsigned fits = want & TEST_WANT_TLVS;
	size_t left = size;

	if (size < STAMP_BASE)
		return 0;
	left -= STAMP_BASE;
	for (size_t i = 0; i < WANTED_N; i++) {
		const size_t needs = (size_t)TLV_HEADER + wanted[i].len;

		if (!(want & wanted[i].flag))
			continue;
		if (needs > left)
			break;
		fits |= wanted[i].flag;
		left -= needs;
	}
	return fits;
}

static void
put_tlv_header(struct wcursor *w, uint8_t type, uint16_t len)
{
	wcursor_u8(w, TLV_FLAG_U);
	wcursor_u8(w, type);
	wcursor_u16(w, len);
}

static void
put_wanted(struct wcursor *w, const struct wanted *t,
           const struct test_request *r)
{
	size_t filled = 0;

	put_tlv_header(w, t->type, t->len);
	if (t->type == TLV_RECV_BITMAP) {
		wcursor_u32(w, TLV_RECV_BITMAP_MAGIC);
		filled = 4;
	} else if (t->type == TLV_COS) {
		wcursor_u16(w, (uint16_t)(r->dscp << COS_DSCP1_SHIFT));
		filled = 2;
	}
	wcursor_zero(w, t->len - filled);
}

bool
test_request_encode(const struct test_request *r, unsigned want, uint8_t *buf,
                    size_t size)
{
	struct wcursor w = wcursor_init(buf, size);

	if (size < TWAMP_SENDER_BASE || size > UINT16_MAX ||
	    r->dscp > DSCP_MAX ||
	    (want & ~TEST_WANT_TLVS) !=
	        (test_request_fit(want, size) & ~TEST_WANT_TLVS))
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
	for (size_t i = 0; i < WANTED_N; i++) {
		if (want & wanted[i].flag)
			put_wanted(&w, &wanted[i], r);
	}
	if (want & TEST_WANT_TLVS && w.left >= TLV_HEADER)
		put_tlv_header(&w, TLV_EXTRA_PADDING,
		               (uint16_t)(w.left - TLV_HEADER));
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
	uint8_t flags;

	rcursor_skip(&c, 4);
	out->instance_id = rcursor_u64(&c);
	flags = rcursor_u8(&c);
	out->stateful = flags & BITMAP_STATEFUL;
	out->t2_is_kernel = flags & BITMAP_T2_KERNEL;
	rcursor_skip(&c, 3);
	out->highest = rcursor_u32(&c);
	out->bitmap = rcursor_u64(&c);
	out->duplicates = rcursor_u32(&c);
	out->received = rcursor_u32(&c);
}

static void
cos_decode(const struct tlv *t, struct test_reply *r)
{
	struct rcursor c = rcursor_init(t->value, t->len);
	const unsigned v = rcursor_u16(&c);

	r->has_cos = true;
	r->cos_dscp1 = (int)(v >> COS_DSCP1_SHIFT);
	r->fwd_dscp = (int)(v >> COS_DSCP2_SHIFT & DSCP_MAX);
	r->fwd_ecn = (int)(v >> COS_ECN_SHIFT & ECN_MAX);
	r->cos_rp = (int)(v & RP_MAX);
}

/* An NTP or PTP stamp, as the reply's own are. */
struct stamp_format {
	bool ptp;
	int utc_offset_s; /* of PTP */
	struct wall near;
};

static bool
read_stamp(uint64_t stamp, const struct stamp_format *f, struct wall *out)
{
	if (f->ptp)
		return ptp64_to_wall(stamp, f->utc_offset_s, f->near, out);
	*out = ntp64_to_wall(stamp, f->near);
	return true;
}

static void
follow_up_decode(const struct tlv *t, const struct stamp_format *f,
                 struct test_reply *r)
{
	struct rcursor c = rcursor_init(t->value, t->len);
	const uint32_t seq = rcursor_u32(&c);
	const uint64_t stamp = rcursor_u64(&c);
	const uint8_t method = rcursor_u8(&c);

	r->has_follow_up = true;
	r->follow_up_seq = seq;
	r->follow_up =
	    stamp != 0 && method != 0 && read_stamp(stamp, f, &r->follow_up_t3);
}

/* RFC 8972 4: skip U, stop at M, discard all on I. What a peer answers twice
 * is what it said last. */
static void
reply_tlvs(const uint8_t *buf, size_t len, const struct stamp_format *f,
           struct test_reply *r)
{
	struct rcursor c = rcursor_init(buf, len);
	struct tlv t;
	bool malformed;

	while (tlv_next(&c, &t, &malformed)) {
		if (t.flags & TLV_FLAG_I) {
			r->has_bitmap = r->has_cos = false;
			r->has_follow_up = r->follow_up = false;
			return;
		}
		if (t.flags & TLV_FLAG_M)
			return;
		if (t.flags & TLV_FLAG_U)
			continue;
		if (is_bitmap_tlv(&t)) {
			bitmap_decode(&t, &r->bitmap);
			r->has_bitmap = true;
		} else if (t.type == TLV_COS && t.len == TLV_COS_LEN) {
			cos_decode(&t, r);
		} else if (t.type == TLV_FOLLOW_UP &&
		           t.len == TLV_FOLLOW_UP_LEN) {
			follow_up_decode(&t, f, r);
		}
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

enum test_err
test_reply_decode(const uint8_t *buf, size_t len, struct wall near,
                  struct test_reply *out)
{
	struct rcursor c = rcursor_init(buf, len);
	struct test_reply r = {.sender_ttl = -1};
	struct stamp_format f = {.near = near};
	uint64_t t2, t3;
	uint16_t ee;

	if (len < REPLY_MIN)
		return TEST_ERR_SHORT;
	r.seq = rcursor_u32(&c);
	t3 = rcursor_u64(&c);
	ee = rcursor_u16(&c);
	r.ssid = rcursor_u16(&c);
	t2 = rcursor_u64(&c);
	r.sender_seq = rcursor_u32(&c);
	r.t1 = rcursor_u64(&c);
	if (!errest_decode(ee, &r.error_ns, &r.synchronised, &f.ptp))
		return TEST_ERR_MULTIPLIER;
	if (!r.synchronised)
		r.error_ns = NS_UNKNOWN;
	if (f.ptp)
		f.utc_offset_s = guess_utc_offset(t2, near);
	if (!read_stamp(t2, &f, &r.t2) || !read_stamp(t3, &f, &r.t3))
		return TEST_ERR_TIMESTAMP;
	if (len >= TWAMP_REFLECTOR_BASE)
		r.sender_ttl = buf[TWAMP_REFLECTOR_BASE - 1];
	if (len > STAMP_BASE)
		reply_tlvs(buf + STAMP_BASE, len - STAMP_BASE, &f, &r);
	*out = r;
	return TEST_OK;
}

static void
bitmap_encode(const struct recv_bitmap *b, uint8_t *value)
{
	struct wcursor w = wcursor_init(value, TLV_RECV_BITMAP_LEN);

	wcursor_u32(&w, TLV_RECV_BITMAP_MAGIC);
	wcursor_u64(&w, b->instance_id);
	wcursor_u8(&w, (uint8_t)((b->stateful ? BITMAP_STATEFUL : 0) |
	                         (b->t2_is_kernel ? BITMAP_T2_KERNEL : 0)));
	wcursor_zero(&w, 3);
	wcursor_u32(&w, b->highest);
	wcursor_u64(&w, b->bitmap);
	wcursor_u32(&w, b->duplicates);
	wcursor_u32(&w, b->received);
}

/* What a TLV of the request becomes, its header's flags. */
static uint8_t
reflect_cos(const struct tlv *t, const struct test_reflection *r,
            uint8_t *value, struct test_reflected *done)
{
	struct rcursor c = rcursor_init(t->value, t->len);
	struct wcursor w = wcursor_init(value, t->len);
	const unsigned dscp1 = rcursor_u16(&c) >> COS_DSCP1_SHIFT;
	const unsigned tos = r->tos >= 0 ? (unsigned)r->tos : 0;
	const unsigned dscp2 = tos >> 2 & DSCP_MAX;

	if (t->len != TLV_COS_LEN)
		return TLV_FLAG_M;
	wcursor_u16(&w, (uint16_t)(dscp1 << COS_DSCP1_SHIFT |
	                           dscp2 << COS_DSCP2_SHIFT |
	                           (tos & ECN_MAX) << COS_ECN_SHIFT |
	                           (r->honour_dscp ? 0 : RP_REFUSED)));
	if (done->dscp < 0)
		done->dscp = (int)(r->honour_dscp ? dscp1 : dscp2);
	return 0;
}

static uint8_t
reflect_follow_up(const struct tlv *t, size_t at, uint8_t *value,
                  struct test_reflected *done)
{
	memset(value, 0, t->len);
	if (t->len != TLV_FOLLOW_UP_LEN)
		return TLV_FLAG_M;
	if (done->follow_up_at == 0)
		done->follow_up_at = at;
	return 0;
}

static uint8_t
reflect_tlv(const struct tlv *t, const struct test_reflection *r, size_t at,
            uint8_t *value, struct test_reflected *done)
{
	switch (t->type) {
	case TLV_EXTRA_PADDING:
		return 0;
	case TLV_COS:
		return reflect_cos(t, r, value, done);
	case TLV_FOLLOW_UP:
		return reflect_follow_up(t, at, value, done);
	default:
		if (!r->bitmap || !is_bitmap_tlv(t))
			return TLV_FLAG_U;
		bitmap_encode(r->bitmap, value);
		return 0;
	}
}

static bool
is_known(uint8_t type)
{
	return type == TLV_EXTRA_PADDING || type == TLV_COS ||
	       type == TLV_FOLLOW_UP;
}

/* Sets the flags of the TLVs in `out`, a copy of what came in `req`, and fills
 * in those we know; the first malformed one ends it (RFC 8972 4). */
static void
reflect_tlvs(const uint8_t *req, size_t len, const struct test_reflection *r,
             uint8_t *out, struct test_reflected *done)
{
	struct rcursor c = rcursor_init(req + STAMP_BASE, len - STAMP_BASE);
	struct tlv t;
	size_t at = STAMP_BASE;
	bool malformed;

	for (; tlv_next(&c, &t, &malformed); at = len - c.left) {
		const size_t value = at + TLV_HEADER;

		out[at] = reflect_tlv(&t, r, value, out + value, done);
		if (out[at] & TLV_FLAG_M)
			return;
	}
	if (malformed)
		out[at] = TLV_FLAG_M | (is_known(req[at + 1]) ? 0 : TLV_FLAG_U);
}

struct test_reflected
test_reflect(const uint8_t *req, size_t len, const struct test_reflection *r,
             uint8_t *out)
{
	const bool stamp = is_stamp(req, len);
	struct test_reflected done = {.dscp = -1};
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
		return done;
	}
	wcursor_zero(&w, STAMP_BASE - TWAMP_REFLECTOR_BASE);
	wcursor_bytes(&w, req + STAMP_BASE, w.left);
	reflect_tlvs(req, len, r, out, &done);
	return done;
}

void
test_reply_set_t3(uint8_t *reply, uint64_t t3)
{
	struct wcursor w = wcursor_init(reply + OFF_T3, 8);

	wcursor_u64(&w, t3);
}

void
test_reply_set_follow_up(uint8_t *reply, size_t at, uint32_t seq, uint64_t t3)
{
	struct wcursor w = wcursor_init(reply + at, TLV_FOLLOW_UP_LEN);

	wcursor_u32(&w, seq);
	wcursor_u64(&w, t3);
	wcursor_u8(&w, t3 ? FOLLOW_UP_SOFTWARE : 0);
	wcursor_zero(&w, 3);
}
