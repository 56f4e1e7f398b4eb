/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the generated protobuf-c structs and ours, inside lib/bus only.
 *
 * get_*() validate one wire field and fill ours; they return false after
 * naming the field in w->field (or leave it NULL when out of memory). What
 * they put into *out before failing is freed by msg_clear(). put_*() build
 * wire structs from an arena; a failed arena shows when all is built.
 */
#ifndef TWMESH_BUS_WIRE_H
#define TWMESH_BUS_WIRE_H

#include "lib/bus/arena.h"
#include "lib/bus/msg.h"

#include "proto/mesh.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Durations: a century in either direction is already absurd. */
#define WIRE_DURATION_MAX (INT64_C(1) << 61)
#define WIRE_FLOWS_MAX 64U

struct wire_get {
	const char *field; /* what is wrong; static */
};

bool wire_bad(struct wire_get *w, const char *field);

/* Numbers end up in PostgreSQL's signed types: bounds are theirs. */
bool get_u64(struct wire_get *w, const char *field, uint64_t v, uint64_t *out);
bool get_u32(struct wire_get *w, const char *field, uint32_t v, uint32_t min,
             uint32_t max, uint32_t *out);
bool get_port(struct wire_get *w, const char *field, uint32_t v, uint16_t *out);
bool get_wall(struct wire_get *w, const char *field, int64_t ns,
              struct wall *out);
bool get_id16(struct wire_get *w, const char *field, ProtobufCBinaryData b,
              struct id16 *out);
bool get_name(struct wire_get *w, const char *field, ProtobufCBinaryData b,
              char out[NAME_MAX_CHARS + 1]);
/* Clean UTF-8 that fits; min_len octets at least. */
bool get_text(struct wire_get *w, const char *field, ProtobufCBinaryData b,
              size_t min_len, char *out, size_t size);
bool get_addrs(struct wire_get *w, const ProtobufCBinaryData *b, size_t n,
               uint16_t port, struct addr out[MSG_ADDRS_MAX], size_t *out_n);
/* Losses by direction, whose sum fits a count as well. */
bool get_lost(struct wire_get *w, const char *field, uint32_t fwd, uint32_t bwd,
              uint32_t undet);

/* Borrow s; encoding ends before it does. */
ProtobufCBinaryData put_text(const char *s);
ProtobufCBinaryData put_bytes(const uint8_t *p, size_t n);
/* NULL when out of memory or an address is unset. */
ProtobufCBinaryData *put_addrs(struct arena *a, const struct addr *addr,
                               size_t n);

/* Bodies of messages (msg_get.c, msg_put.c). */
bool wire_get_body(struct wire_get *w, const Twmesh__Wire__Envelope *e,
                   struct msg *out);
bool wire_put_body(struct arena *a, const struct msg *m,
                   Twmesh__Wire__Envelope *e);

/* Loss runs of a batch (batch_run.c). */
bool get_runs(struct wire_get *w, Twmesh__Wire__LossRun *const *in, size_t n,
              struct batch_body *out);
bool put_runs(struct arena *a, const struct loss_run *const *run, size_t n,
              Twmesh__Wire__BatchBody *b);

#endif
