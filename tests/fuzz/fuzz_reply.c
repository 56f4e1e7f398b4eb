/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a sender does with octets from anyone: test_reply_decode(), the walk
 * over TLVs, test_request_decode(). Decoding does not depend on what lies
 * behind the packet (AddressSanitizer watches a right-sized copy), writes
 * nothing on failure, and gives values in their ranges.
 *
 * Input: our clock(8), the packet.
 */
#include "lib/base/cursor.h"
#include "lib/twamp/testpkt.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
walk(const uint8_t *p, size_t len)
{
	struct rcursor c = rcursor_init(p, len);
	struct tlv t;
	bool malformed;
	size_t seen = 0;

	while (tlv_next(&c, &t, &malformed)) {
		must(t.value == p + seen + TLV_HEADER);
		must(t.type != 0);
		seen += (size_t)TLV_HEADER + t.len;
		must(seen <= len && !malformed);
	}
	must(!malformed || len - seen >= TLV_HEADER);
}

static void
reply(const uint8_t *p, size_t len, struct wall near)
{
	struct test_reply r = {.seq = 77, .sender_ttl = -77};
	const enum test_err e = test_reply_decode(p, len, near, &r);

	must(strcmp(test_err_str(e), "?") != 0);
	if (e != TEST_OK) {
		must(r.seq == 77 && r.sender_ttl == -77);
		return;
	}
	must(len >= 36);
	must(r.sender_ttl >= -1 && r.sender_ttl <= 255);
	must((r.sender_ttl == -1) == (len < TWAMP_REFLECTOR_BASE));
	must(r.synchronised ? r.error_ns >= 0 : r.error_ns == NS_UNKNOWN);
	must(!r.has_bitmap ||
	     len >= STAMP_BASE + TLV_HEADER + TLV_RECV_BITMAP_LEN);
	must(!r.has_cos || len >= STAMP_BASE + TLV_HEADER + TLV_COS_LEN);
	must(r.cos_dscp1 >= 0 && r.cos_dscp1 <= 63);
	must(r.fwd_dscp >= 0 && r.fwd_dscp <= 63);
	must(r.fwd_ecn >= 0 && r.fwd_ecn <= 3 && r.cos_rp >= 0 &&
	     r.cos_rp <= 3);
	must(!r.follow_up || r.has_follow_up);
	must(!r.has_follow_up ||
	     len >= STAMP_BASE + TLV_HEADER + TLV_FOLLOW_UP_LEN);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	struct rcursor c = rcursor_init(in, size);
	const struct wall near = {(int64_t)rcursor_u64(&c)};
	const size_t len = c.left;
	const uint8_t *bytes = rcursor_take(&c, len);
	struct test_request req;
	uint8_t *p;

	if (!bytes)
		return 0;
	p = malloc(len ? len : 1);
	must(p != NULL);
	if (len)
		memcpy(p, bytes, len);
	reply(p, len, near);
	if (len > STAMP_BASE)
		walk(p + STAMP_BASE, len - STAMP_BASE);
	if (test_request_decode(p, len, &req) == TEST_OK)
		must(len >= TWAMP_SENDER_BASE &&
		     (len >= STAMP_BASE || req.ssid == 0));
	free(p);
	return 0;
}
