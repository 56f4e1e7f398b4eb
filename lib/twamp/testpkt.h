/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unauthenticated test packets: STAMP (RFC 8762 4.2.1, 4.3.1, SSID of RFC 8972
 * 3), TWAMP-Test and TWAMP Light (RFC 5357 4.1.2, 4.2.1), whose first 41
 * octets are alike, and the STAMP TLVs of this slice. Octets in, structs out;
 * no sockets and no clocks.
 */
#ifndef TWMESH_TWAMP_TESTPKT_H
#define TWMESH_TWAMP_TESTPKT_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TWAMP_SENDER_BASE 14    /* unauthenticated Session-Sender packet */
#define TWAMP_REFLECTOR_BASE 41 /* unauthenticated Session-Reflector packet */
#define STAMP_BASE 44           /* unauthenticated, both directions */
#define TEST_PAYLOAD_MAX 1472   /* UDP payload of IPv4 at MTU 1500 */
#define TEST_BUF_MAX 9216       /* a jumbo frame still fits a buffer */
#define TWAMP_PORT 862

#define TLV_HEADER 4
#define TLV_FLAG_U 0x80U
#define TLV_FLAG_M 0x40U
#define TLV_FLAG_I 0x20U
#define TLV_EXTRA_PADDING 1
#define TLV_COS 4 /* Class of Service, RFC 8972 4.4 */
#define TLV_COS_LEN 4
#define TLV_FOLLOW_UP 7 /* Follow-Up Telemetry, RFC 8972 4.7 */
#define TLV_FOLLOW_UP_LEN 16

/*
 * The receive-bitmap TLV (private, experimental type, RFC 8972 IANA range
 * 240..251), by which each lost packet is forward or backward by fact.
 * Value, 36 octets:
 *   0 magic "twm1"  4 instance id(8)  12 flags(1: bit 0 stateful,
 *   bit 1 T2 is the kernel's receive stamp)  13 reserved(3)  16 highest(4)
 *   20 bitmap(8)  28 duplicates(4)  32 received(4)
 * The sender sends magic, the rest zero, U=1. A twmesh reflector fills it in,
 * U=0; any other copies it with U=1 or as padding.
 */
#define TLV_RECV_BITMAP 240
#define TLV_RECV_BITMAP_LEN 36
#define TLV_RECV_BITMAP_MAGIC UINT32_C(0x74776d31)

struct recv_bitmap {
	uint64_t instance_id; /* random at the reflector's start */
	bool stateful;
	uint32_t highest;    /* highest sender sequence received */
	uint64_t bitmap;     /* bit i: highest - i was received; bit 0 is set */
	uint32_t duplicates; /* packets of the session received again */
	uint32_t received;   /* all packets of the session, with duplicates */
	bool t2_is_kernel;   /* T2 is the kernel's, not a program's */
};

/* A Session-Sender packet. */
struct test_request {
	uint32_t seq;
	uint64_t t1;             /* as on the wire, in the sender's format */
	uint16_t error_estimate; /* as on the wire */
	uint16_t ssid;           /* 0: none (TWAMP, base STAMP) */
	uint8_t dscp;            /* DSCP1 of the Class of Service TLV, 0..63 */
};

/* What a request carries behind its base, in this order. */
#define TEST_WANT_BITMAP (1U << 0)    /* receive bitmap: 40 octets */
#define TEST_WANT_COS (1U << 1)       /* Class of Service: 8 */
#define TEST_WANT_FOLLOW_UP (1U << 2) /* Follow-Up Telemetry: 20 */
#define TEST_WANT_TLVS (1U << 3)      /* the rest as an Extra Padding TLV */

/* Of `want`, what fits a packet of `size` octets: with all wanted the bitmap
 * from 84 octets, Class of Service from 92, Follow-Up from 112; below 44
 * nothing. */
unsigned test_request_fit(unsigned want, size_t size);

/*
 * Writes a request of exactly `size` octets: base, the TLVs of `want`, and an
 * Extra Padding TLV (or bare zero octets where fewer than a header are left,
 * or without TEST_WANT_TLVS, as TWAMP Light padding). size >= 14 (without SSID
 * and TLVs below 44). False when it does not fit; test_request_fit() tells what
 * does.
 */
bool test_request_encode(const struct test_request *r, unsigned want,
                         uint8_t *buf, size_t size)
    __attribute__((warn_unused_result));
/* Restamp: T1, error estimate and sequence number in an encoded request. */
void test_request_restamp(const struct test_request *r, uint8_t *buf);

enum test_err {
	TEST_OK,
	TEST_ERR_SHORT,      /* shorter than the base */
	TEST_ERR_MULTIPLIER, /* Error Estimate with multiplier 0 */
	TEST_ERR_TIMESTAMP,  /* PTP nanoseconds out of range */
	TEST_ERR_N
};
const char *test_err_str(enum test_err e);

/* len >= 14. The SSID is read from 44 octets up, and only if the 28 octets
 * behind it are zero: in TWAMP padding there is none. */
enum test_err test_request_decode(const uint8_t *buf, size_t len,
                                  struct test_request *out)
    __attribute__((warn_unused_result));

/* A Session-Reflector packet as the sender reads it. */
struct test_reply {
	uint32_t seq; /* the reflector's */
	uint32_t sender_seq;
	uint16_t ssid; /* 0: the peer knows no SSID */
	uint64_t t1;   /* as sent, for the comparison with the stored T1 */
	struct wall t2, t3;
	int64_t error_ns; /* of T2 and T3; NS_UNKNOWN when unsynchronised */
	bool synchronised;
	int sender_ttl;  /* 0..255, -1 when the packet ends before it */
	bool has_bitmap; /* filled in by a twmesh reflector */
	struct recv_bitmap bitmap;
	/* Class of Service, answered (U = 0): what was asked for, and DSCP and
	 * ECN as the reflector received them. The reply was sent with DSCP1,
	 * or, if cos_rp is not 0 (refused), with the received DSCP. */
	bool has_cos;
	int cos_dscp1, fwd_dscp, fwd_ecn, cos_rp;
	/* Follow-Up Telemetry, answered (U = 0): the true send time of the
	 * reply whose sequence number is follow_up_seq, never of this one. */
	bool has_follow_up;
	bool follow_up; /* it holds a stamp */
	uint32_t follow_up_seq;
	struct wall follow_up_t3;
};

/* len >= 36 (odd TWAMP Light replies end before the TTL). `near` resolves the
 * NTP era. */
enum test_err test_reply_decode(const uint8_t *buf, size_t len,
                                struct wall near, struct test_reply *out)
    __attribute__((warn_unused_result));

/* What a reflector puts into a reply. */
struct test_reflection {
	uint32_t seq;
	uint64_t t2, t3; /* wire format */
	uint16_t error_estimate;
	uint8_t sender_ttl;
	const struct recv_bitmap
	    *bitmap; /* NULL: leave that TLV unrecognised */
	int tos;     /* traffic class as received; -1 unknown, taken for 0 */
	bool honour_dscp; /* reply with the DSCP that the sender asks for */
};

struct test_reflected {
	int dscp; /* to send the reply with, by the Class of Service TLV; -1:
	           * there is none */
	size_t follow_up_at; /* offset of the value of the Follow-Up TLV, all
	                      * zero so far; 0: there is none */
};

/*
 * Turns the request in `req` (len octets) into the reply of exactly the same
 * length in `out` (which may not overlap): base, then TLVs with U set on
 * unknown types, those we know filled in, M on a malformed one and the rest
 * copied (RFC 8972 4), or TWAMP padding copied as it is. TWAMP padding moves up
 * behind the reply's 41 octets (RFC 5357 4.2.1); STAMP keeps every octet in its
 * place. len >= 44; from 41 to 43 the reply ends early. Writes every octet.
 */
struct test_reflected test_reflect(const uint8_t *req, size_t len,
                                   const struct test_reflection *r,
                                   uint8_t *out);
/* Overwrites T3 in an encoded reply, as late as possible. */
void test_reply_set_t3(uint8_t *reply, uint64_t t3);
/* Fills in the Follow-Up TLV at `at`: the previous reply was number seq and
 * left at t3 (wire format, a software stamp; 0: not known). */
void test_reply_set_follow_up(uint8_t *reply, size_t at, uint32_t seq,
                              uint64_t t3);

/* One TLV of a packet. */
struct tlv {
	uint8_t flags, type;
	uint16_t len;
	const uint8_t *value; /* borrowed from the packet */
};
struct rcursor;
/* The next TLV; false at the end or at a malformed one (*malformed says: its
 * length runs past the packet). Type 0 and fewer octets than a header are
 * padding, and the end. */
bool tlv_next(struct rcursor *c, struct tlv *out, bool *malformed);

#endif
