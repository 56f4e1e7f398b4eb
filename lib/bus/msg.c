/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {
    [MESH_HELLO] = "hello",
    [MESH_WELCOME] = "welcome",
    [MESH_NEED_HELLO] = "need-hello",
    [MESH_ROSTER] = "roster",
    [MESH_ROSTER_DELTA] = "roster-delta",
    [MESH_HEARTBEAT] = "heartbeat",
    [MESH_BATCH] = "batch",
    [MESH_BATCH_ACK] = "batch-ack",
    [MESH_BYE] = "bye",
    [MESH_REFUSED] = "refused",
    [MESH_JOIN] = "join",
    [MESH_JOINED] = "joined",
};
#define KIND_N (sizeof(kind_names) / sizeof(kind_names[0]))
static_assert(KIND_N == MESH_KINDS, "one name each");

static const char *const err_names[] = {
    [MSG_OK] = "ok",
    [MSG_ERR_TOO_LONG] = "too long",
    [MSG_ERR_BUDGET] = "needs more memory than a message of its size may",
    [MSG_ERR_FORMAT] = "not a message of this protocol",
    [MSG_ERR_VERSION] = "another protocol version",
    [MSG_ERR_FIELD] = "bad field",
    [MSG_ERR_MEMORY] = "out of memory",
};
#define ERR_N (sizeof(err_names) / sizeof(err_names[0]))
static_assert(ERR_N == MSG_ERR_MEMORY + 1, "one name each");

const char *
msg_kind_str(enum msg_kind k)
{
	return (size_t)k < KIND_N ? kind_names[k] : "unknown";
}

const char *
msg_err_str(enum msg_err e)
{
	return (size_t)e < ERR_N ? err_names[e] : "unknown";
}

void
msg_clear(struct msg *m)
{
	switch (m->kind) {
	case MESH_HELLO:
		free(m->u.hello.fact);
		break;
	case MESH_ROSTER:
		roster_clear(&m->u.roster);
		break;
	case MESH_ROSTER_DELTA:
		free(m->u.delta.upsert);
		free(m->u.delta.removed);
		break;
	case MESH_BATCH:
		free(m->u.batch.body);
		break;
	case MESH_BATCH_ACK:
		free(m->u.ack.seq);
		free(m->u.ack.status);
		break;
	case MESH_WELCOME:
	case MESH_NEED_HELLO:
	case MESH_HEARTBEAT:
	case MESH_BYE:
	case MESH_REFUSED:
	case MESH_JOIN:
	case MESH_JOINED:
		break;
	}
	memset(&m->u, 0, sizeof(m->u));
}

static enum msg_err
unpack_failed(const struct arena *a)
{
	if (a->out_of_memory)
		return MSG_ERR_MEMORY;
	return a->over_budget ? MSG_ERR_BUDGET : MSG_ERR_FORMAT;
}

enum msg_err
msg_decode(const uint8_t *bytes, size_t len, struct msg *out,
           const char **field)
{
	struct wire_get w = {NULL};
	Twmesh__Wire__Envelope *e;
	enum msg_err rc = MSG_OK;
	struct arena a;
	struct msg m;

	if (len > MSG_MAX_BYTES)
		return MSG_ERR_TOO_LONG;
	memset(&m, 0, sizeof(m));
	arena_init(&a, arena_budget_for(len));
	e = twmesh__wire__envelope__unpack(&a.pb, len, bytes);
	if (!e)
		rc = unpack_failed(&a);
	else if (e->version != MSG_VERSION)
		rc = MSG_ERR_VERSION;
	else if (!wire_get_body(&w, e, &m))
		rc = w.field ? MSG_ERR_FIELD : MSG_ERR_MEMORY;
	arena_release(&a);
	if (rc == MSG_OK) {
		*out = m;
		return MSG_OK;
	}
	msg_clear(&m);
	if (rc == MSG_ERR_FIELD && field)
		*field = w.field;
	return rc;
}

bool
msg_encode(const struct msg *m, uint8_t **out, size_t *len)
{
	Twmesh__Wire__Envelope e = TWMESH__WIRE__ENVELOPE__INIT;
	uint8_t *bytes = NULL;
	bool ok = false;
	struct arena a;
	size_t n;

	arena_init(&a, SIZE_MAX);
	e.version = MSG_VERSION;
	if (!wire_put_body(&a, m, &e) || a.over_budget || a.out_of_memory)
		goto out;
	n = twmesh__wire__envelope__get_packed_size(&e);
	if (n > MSG_MAX_BYTES)
		goto out;
	bytes = malloc(n);
	if (!bytes)
		goto out;
	*len = twmesh__wire__envelope__pack(&e, bytes);
	*out = bytes;
	ok = true;
out:
	arena_release(&a);
	return ok;
}
