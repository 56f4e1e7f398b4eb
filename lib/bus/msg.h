/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of the mesh protocol as plain structs, and their coding. The
 * generated protobuf-c structs never leave lib/bus. msg_decode() validates
 * every field (lengths, ranges, names, clean text, equal column lengths, known
 * enums) and unpacks under an allocation budget of 8 x the message's size (at
 * least 1 MiB, at most 16 MiB), so that a bomb of empty submessages is refused
 * instead of obeyed. Columns of unknown metrics are skipped: a newer node may
 * send them.
 */
#ifndef TWMESH_BUS_MSG_H
#define TWMESH_BUS_MSG_H

#include "lib/base/addr.h"
#include "lib/base/clock.h"
#include "lib/base/lossrun.h"
#include "lib/base/result.h"
#include "lib/base/text.h"
#include "lib/base/voice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MSG_VERSION 1
#define MSG_MAX_BYTES (4U << 20) /* ZMQ_MAXMSGSIZE too */
#define ID16_BYTES 16
#define MSG_TEXT_MAX 256 /* octets of any text field */
#define MSG_ADDRS_MAX 8  /* per node */
#define MSG_FACTS_MAX 32
#define MSG_NODES_MAX 4096
#define MSG_CLASSES_MAX 64
#define MSG_ROWS_MAX 65536 /* per batch */
#define MSG_SLICES_MAX 4096
#define MSG_GAPS_MAX 4096
#define MSG_RUNS_MAX 16384
#define MSG_REVISIONS_MAX 16384

/* Instants must lie within 1933..2079: sums of two differences then fit. */
#define MSG_WALL_MIN (-(INT64_C(1) << 60))
#define MSG_WALL_MAX ((INT64_C(1) << 62) - (INT64_C(1) << 60))

struct id16 {
	uint8_t b[ID16_BYTES];
};

enum msg_kind {
	MESH_HELLO,
	MESH_WELCOME,
	MESH_NEED_HELLO,
	MESH_ROSTER,
	MESH_ROSTER_DELTA,
	MESH_HEARTBEAT,
	MESH_BATCH,
	MESH_BATCH_ACK,
	MESH_BYE,
	MESH_REFUSED,
	MESH_JOIN,
	MESH_JOINED
};
#define MESH_KINDS (MESH_JOINED + 1)
const char *msg_kind_str(enum msg_kind k);

struct msg_fact {
	char key[64];
	char value[MSG_TEXT_MAX];
};

struct msg_hello {
	char name[NAME_MAX_CHARS + 1];
	char site[NAME_MAX_CHARS + 1];      /* "" if absent */
	struct addr address[MSG_ADDRS_MAX]; /* port = reflector_port */
	size_t address_n;
	uint16_t reflector_port;
	char software[64];
	struct msg_fact *fact; /* owned */
	size_t fact_n;
	struct id16 spool_id;
	uint64_t spool_next_seq;
	uint64_t roster_epoch;
};

struct msg_welcome {
	struct id16 instance_id, incarnation_id;
	uint32_t node_id;
	struct wall controller_wall;
	uint64_t ledger_next_seq;
	uint32_t window;
};

enum node_kind {
	NODE_TWMESH, /* measures, and is measured */
	NODE_STAMP,  /* a target: STAMP without TLVs */
	NODE_LIGHT   /* a target: TWAMP Light */
};

struct roster_node {
	uint32_t node_id;
	char name[NAME_MAX_CHARS + 1];
	char site[NAME_MAX_CHARS + 1];
	struct addr address[MSG_ADDRS_MAX]; /* with the reflector's port */
	size_t address_n;
	uint16_t reflector_port;
	bool paused;
	enum node_kind kind;
	uint64_t mesh, hub; /* in a planned roster: a bit per mesh */
};

enum schedule { SCHEDULE_PERIODIC, SCHEDULE_POISSON };

struct roster_class {
	uint32_t class_id;
	char name[NAME_MAX_CHARS + 1];
	uint32_t version;
	int family; /* 0 either (IPv4 first), 4, 6 */
	uint8_t dscp;
	uint16_t size_octets;
	int64_t gap_ns; /* mean time between packets of one session */
	enum schedule schedule;
	uint32_t flows;
	int64_t interval_ns;
	int64_t loss_timeout_ns;
	int64_t ship_spread_ns;
	bool detail;              /* percentiles, histograms of each way */
	enum voice_codec codec;   /* VOICE_NONE: no voice class */
	int64_t jitter_buffer_ns; /* voice: later packets count as lost */
	uint64_t mesh;            /* in a planned roster: a bit per mesh */
};

/* Nodes sorted by id, classes by id; ids are unique. */
struct roster {
	uint64_t epoch;
	bool planned; /* by a mesh file; else everyone measures everyone */
	struct roster_node *node; /* owned; nodes and targets */
	size_t node_n;
	struct roster_class *class_; /* owned */
	size_t class_n;
};
/* Does src measure dst by this class? */
bool roster_has_session(const struct roster *r, const struct roster_node *src,
                        const struct roster_node *dst,
                        const struct roster_class *c);
void roster_clear(struct roster *r);
bool roster_copy(struct roster *dst, const struct roster *src)
    __attribute__((warn_unused_result));
const struct roster_node *roster_node_by_id(const struct roster *r,
                                            uint32_t node_id);
const struct roster_class *roster_class_by_id(const struct roster *r,
                                              uint32_t class_id);

struct roster_delta {
	uint64_t from_epoch, epoch;
	struct roster_node *upsert; /* owned */
	size_t upsert_n;
	uint32_t *removed; /* owned */
	size_t removed_n;
};
/* r becomes d's epoch. False (r unchanged) when r->epoch != d->from_epoch,
 * more than MSG_NODES_MAX nodes, or out of memory. */
bool roster_apply(struct roster *r, const struct roster_delta *d)
    __attribute__((warn_unused_result));

/* When a reflector's own host dropped or held packets: no network fact. */
struct host_limited {
	struct wall from, to;
	uint64_t drops, held;
};
#define MSG_HOST_LIMITED_MAX 16

struct msg_heartbeat {
	struct wall sent;
	bool has_echo;
	struct wall echo_sent, echo_received;
	uint64_t epoch;
	/* from nodes */
	uint64_t spool_batches, spool_bytes;
	struct clock_quality clock;
	uint32_t load1_milli, rss_kib, sessions;
	uint64_t reflector_rx_drops;
	struct host_limited host_limited[MSG_HOST_LIMITED_MAX];
	size_t host_limited_n;
	struct clock_mark mark; /* of the clock of `sent` */
	/* from controllers */
	bool has_instance;
	struct id16 instance_id;
	bool storing;
};

/* One (class, interval), rows as columns. value[m] is NULL when the sender
 * sent no such metric; otherwise n values, METRIC_NULL where NULL. */
struct slice {
	uint32_t class_id;
	struct wall start;
	int64_t interval_ns;
	uint64_t epoch;
	size_t n;
	uint32_t *dst_id;         /* owned */
	int64_t *value[METRIC_N]; /* owned, or `zero` */
	int64_t *zero;            /* owned: what all columns of 0 share */
	const uint8_t **hist;     /* owned array; NULL: none; octets borrowed
	                             from the batch body */
	uint16_t *hist_len;       /* owned */
	/* The same for the histograms of each way and the per-flow results. */
	const uint8_t **fwd_hist, **bwd_hist, **flows;
	uint16_t *fwd_hist_len, *bwd_hist_len, *flows_len;
};

struct gap {
	struct wall from, to;
	uint64_t rows; /* 0: not known */
	char reason[64];
};

struct batch_body {
	struct slice *slice; /* owned */
	size_t slice_n;
	struct gap *gap; /* owned */
	size_t gap_n;
	struct revision *revision; /* owned */
	size_t revision_n;
	struct loss_run *run; /* owned, with their packets */
	size_t run_n;
	size_t rows; /* over all slices */
	void *hold;  /* owned: what the slices' octets borrow from */
};
void batch_body_clear(struct batch_body *b);

/* From a join token: admit the node with this key. */
#define JOIN_KEY_BYTES 32
struct msg_join {
	char name[NAME_MAX_CHARS + 1];
	uint8_t key[JOIN_KEY_BYTES];
};

struct msg_batch {
	struct id16 spool_id;
	uint64_t seq;
	uint32_t rows;
	uint8_t digest[16];
	uint8_t *body; /* owned */
	size_t body_len;
	struct clock_mark mark; /* of the clock that dated the body */
};

enum ack_status { ACK_STORED, ACK_DUPLICATE, ACK_PUT_ASIDE };

struct msg_batch_ack {
	struct id16 spool_id;
	uint64_t *seq;           /* owned */
	enum ack_status *status; /* owned */
	size_t n;
	char reason[MSG_TEXT_MAX];
};

struct msg {
	enum msg_kind kind;
	union {
		struct msg_hello hello;
		struct msg_welcome welcome;
		struct roster roster;
		struct roster_delta delta;
		struct msg_heartbeat heartbeat;
		struct msg_batch batch;
		struct msg_batch_ack ack;
		struct msg_join join;
		uint32_t joined_id;        /* MESH_JOINED: the node's id */
		char reason[MSG_TEXT_MAX]; /* MESH_BYE, MESH_REFUSED */
	} u;
};
void msg_clear(struct msg *m); /* frees what the kind owns */

enum msg_err {
	MSG_OK,
	MSG_ERR_TOO_LONG, /* over MSG_MAX_BYTES */
	MSG_ERR_BUDGET,   /* would need more memory than its budget */
	MSG_ERR_FORMAT,   /* not this protobuf, or a required field is absent */
	MSG_ERR_VERSION,  /* another version */
	MSG_ERR_FIELD,    /* a field is missing, out of range or unclean */
	MSG_ERR_MEMORY
};
const char *msg_err_str(enum msg_err e);

/* On success *out is filled, and msg_clear() is the caller's. On
 * MSG_ERR_FIELD *field (if not NULL) names it; borrowed, static. */
enum msg_err msg_decode(const uint8_t *bytes, size_t len, struct msg *out,
                        const char **field) __attribute__((warn_unused_result));
/* malloc'd octets in *out; false when out of memory or m is not encodable. */
bool msg_encode(const struct msg *m, uint8_t **out, size_t *len)
    __attribute__((warn_unused_result));

/* What one node ships together; all borrowed. */
struct batch_input {
	const struct result *const *result;
	size_t result_n;
	const struct gap *gap;
	size_t gap_n;
	const struct revision *const *revision;
	size_t revision_n;
	const struct loss_run *const *run;
	size_t run_n;
};
/* Sealed body octets (malloc'd): results are grouped into slices by (class,
 * start, interval, epoch), all in the order given. */
bool batch_body_encode(const struct batch_input *in, uint8_t **out, size_t *len)
    __attribute__((warn_unused_result));
enum msg_err batch_body_decode(const uint8_t *bytes, size_t len,
                               struct batch_body *out, const char **field)
    __attribute__((warn_unused_result));
/* SHA-256 of the body, first 16 octets. */
void batch_digest(const uint8_t *body, size_t len, uint8_t out[16]);

#endif
