/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions as the reflector knows them: who sends (address and port), to which
 * of our addresses, under which SSID. Each has its own sequence counter and
 * the record of what it received (RFC 8762 4.3.1, measurement rule 6), so that
 * its sender can tell forward from backward loss.
 *
 * The table is bounded, and strangers choose its keys: they are hashed with a
 * random SipHash key. Sessions belong to groups: one per member of the roster
 * (by source address), and one of all strangers. While there is room, anyone
 * gets a slot. When there is none,
 *   a stranger is refused (and answered statelessly);
 *   a member takes the slot of the stranger that was silent longest; if there
 *   are no strangers and the member has less than its share (slots / members),
 *   that of the member with the most sessions.
 * So neither spoofed strangers nor one spoofed member can push a member below
 * its share. Nothing is allocated after rsession_table_new(), but the list of
 * members when it is replaced.
 */
#ifndef TWMESH_REFLECTOR_RSESSION_H
#define TWMESH_REFLECTOR_RSESSION_H

#include "lib/base/addr.h"
#include "lib/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RSESSION_MEMBERS_MAX 16384
#define RSESSION_WINDOW 64 /* sequence numbers remembered */

/* Address and port as bytes: IPv4 mapped into IPv6. */
struct rsession_key {
	uint8_t src[16], local[16];
	uint32_t src_scope; /* of link-local addresses */
	uint32_t local_scope;
	uint16_t src_port;
	uint16_t ssid;
	uint32_t family; /* a mapped IPv4 address is not IPv6's ::ffff:0:0 */
};

struct rsession {
	struct rsession_key key;
	uint32_t reply_seq;  /* of the next reply */
	uint32_t highest;    /* sender sequence number */
	uint64_t bitmap;     /* bit i: highest - i was received */
	uint32_t duplicates; /* seen before, as far as the window tells */
	uint32_t received;   /* all, with duplicates */
	struct mono last;    /* packet */
	/* Newest reply whose send time the kernel told; t3 0: none. */
	uint64_t stamped_t3; /* NTP format */
	uint32_t stamped_seq;
	/* private to the table */
	uint32_t restart_seq; /* next expected of a sender that began anew */
	uint32_t group;
	uint32_t hash_next;
	uint32_t older, newer; /* in its group, by last packet */
	uint32_t serial;       /* of its opening; 0: closed */
};

/* A session as others may remember it: its slot may have another tenant. */
struct rsession_ref {
	uint32_t slot, serial;
};

struct rsession_table;

/* Room for `max` sessions (at least 1). NULL when out of memory. */
struct rsession_table *rsession_table_new(size_t max, int64_t idle_ns);
void rsession_table_free(struct rsession_table *t);

void rsession_key_set(struct rsession_key *k, const struct addr *src,
                      const struct addr *local, uint16_t ssid);

/* What became of a lookup, for the counters. */
struct rsession_found {
	bool opened, evicted;
};
/* The session, opened if need be; NULL when there is no room for it. Valid
 * until the next call that opens or expires. */
struct rsession *rsession_get(struct rsession_table *t,
                              const struct rsession_key *k, struct mono now,
                              struct rsession_found *found);
struct rsession_ref rsession_ref(const struct rsession_table *t,
                                 const struct rsession *s);
/* NULL when it was closed since. Does not count as a packet. */
struct rsession *rsession_at(struct rsession_table *t, struct rsession_ref ref);
/* Records a sender sequence number; true if it is a duplicate. */
bool rsession_receive(struct rsession *s, uint32_t seq);

/* Closes sessions idle for idle_ns: how many. */
size_t rsession_expire(struct rsession_table *t, struct mono now);

/* Replaces the list of members (addresses without port); existing sessions
 * change hands. False when out of memory or n > RSESSION_MEMBERS_MAX: nothing
 * changed. Duplicates count once. */
bool rsession_set_members(struct rsession_table *t, const struct addr *ip,
                          size_t n) __attribute__((warn_unused_result));

size_t rsession_count(const struct rsession_table *t);
size_t rsession_member_count(const struct rsession_table *t);
bool rsession_is_member(const struct rsession *s);
/* The addresses of a key, for people. */
void rsession_key_addrs(const struct rsession_key *k, struct addr *src,
                        struct addr *local);
/* Calls fn for every session. */
void rsession_each(const struct rsession_table *t,
                   void (*fn)(void *arg, const struct rsession *s), void *arg);

#endif
