/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the controller's three threads write to each other. They share nothing
 * but mailboxes:
 *
 *   bus (libevent, ZeroMQ) ── struct ask ──▶ writer (blocking libpq)
 *   web (evhttp, admin)    ── struct ask ──▶ writer
 *   writer ── struct tell ──▶ bus     (state, roster, hello, acks)
 *   writer ── struct tell ──▶ web     (answers to administration)
 *
 * An ask that wants an answer carries a token; the tell repeats it. Letters are
 * owned by whoever holds them.
 */
#ifndef TWMESH_CONTROLLER_LETTERS_H
#define TWMESH_CONTROLLER_LETTERS_H

#include "lib/base/addr.h"
#include "lib/base/mailbox.h"
#include "lib/bus/keys.h"
#include "lib/bus/msg.h"
#include "lib/bus/router.h"

#include <stdbool.h>
#include <stdint.h>

#define KEY_BYTES 32
#define FINGERPRINT_CHARS 20 /* "ABCD-EFGH-IJKL-MNOP" and its NUL */
#define REASON_MAX 256

enum ask_kind {
	ASK_HELLO,     /* bus: a node with an approved (or first-use) key */
	ASK_BATCH,     /* bus: store and acknowledge */
	ASK_HEARTBEAT, /* bus: a node lives (collected, one UPDATE per 2 s) */
	ASK_BYE,       /* bus: a planned stop */
	ASK_PENDING,   /* bus: an unknown key knocked */
	ASK_JOIN,      /* bus: a join token asks for a node to be let in */
	ASK_APPROVE,   /* web: node approve */
	ASK_REMOVE,    /* web: node remove */
	ASK_TOKEN_CREATE, /* web: node token create */
	ASK_TOKEN_REVOKE, /* web: node token revoke */
	ASK_APPLY,        /* web: a mesh file */
	ASK_MAINTENANCE,  /* web: node maintenance */
	ASK_STOP          /* main: store what is there and end */
};

struct ask_hello {
	uint8_t key[KEY_BYTES]; /* the CURVE key of this message */
	struct addr observed;   /* the connection's remote address */
	bool first_use_ok;      /* loopback listener in trust-first-use mode */
	struct msg_hello hello; /* owned */
};

struct ask_batch {
	uint32_t node_id;
	/* node - controller, of the clock that dated the batch, by estimate;
	 * NS_UNKNOWN */
	int64_t clock_offset_ns;
	int64_t clock_moved_ns; /* since: now it is off by the sum */
	struct wall received;   /* controller's clock */
	struct msg_batch batch; /* owned */
};

struct ask_heartbeat {
	uint32_t node_id;
	struct wall received;
	int64_t clock_offset_ns; /* NS_UNKNOWN while not estimated */
	struct msg_heartbeat hb;
};

struct ask_pending {
	uint8_t key[KEY_BYTES];
	struct addr from;
};

struct ask_join {
	uint8_t token[KEY_BYTES]; /* the CURVE key of this message */
	struct router_peer at;    /* whom to answer: a token is no peer, since
	                             many may use it at once */
	struct addr observed;     /* the connection's remote address */
	struct msg_join join;
};

#define TOKEN_USES_MAX 100000
#define TOKEN_EXPIRES_MAX_S (366 * 86400)
struct ask_token {
	int64_t uses, expires_s; /* CREATE */
	int64_t token_id;        /* REVOKE */
};

/* Who asks, for records that people read. */
#define BY_MAX 64

struct meshfile;
struct ask_apply {
	struct meshfile *file; /* owned */
	int64_t base;          /* epoch of the file it is to replace; 0: none */
	char by[BY_MAX];
};

#define MAINTENANCE_MAX_S (366 * 86400)
struct ask_maintenance {
	char name[NAME_MAX_CHARS + 1];
	bool on;
	char until[32]; /* an instant, ISO 8601; "": not given */
	int64_t for_s;  /* from now; 0: not given */
	char reason[REASON_MAX];
	char by[BY_MAX];
};

struct ask_approve {
	char fingerprint[FINGERPRINT_CHARS]; /* as typed, '-' optional */
	char name[NAME_MAX_CHARS + 1];
	char site[NAME_MAX_CHARS + 1];      /* "" : unchanged or the name */
	bool replace;                       /* a re-imaged node's new key */
	struct addr consent[MSG_ADDRS_MAX]; /* addresses consented to */
	size_t consent_n;
};

struct ask {
	struct letter letter;
	enum ask_kind kind;
	uint64_t token; /* bus: the connection; web: the request */
	union {
		struct ask_hello hello;
		struct ask_batch batch;
		struct ask_heartbeat heartbeat;
		struct ask_pending pending;
		struct ask_join join;
		struct ask_token token;
		struct ask_approve approve;
		struct ask_apply apply;
		struct ask_maintenance maintenance;
		struct {
			uint32_t node_id;
		} bye;
		struct {
			char name[NAME_MAX_CHARS + 1];
		} remove;
	} u;
};
void ask_free(struct ask *a); /* with what it owns; NULL is allowed */

enum tell_kind {
	TELL_DATABASE, /* to both: the database is there, or away since */
	TELL_ROSTER,   /* to bus: a new epoch, whole, and who may connect */
	TELL_HELLO,    /* to bus: the answer to ASK_HELLO */
	TELL_ACK,      /* to bus: after COMMIT */
	TELL_JOIN,     /* to bus: the answer to ASK_JOIN, always given */
	TELL_ADMIN     /* to web: the answer to what web asks */
};

/* A key that may pass the handshake, and who it is. */
struct member {
	uint8_t key[KEY_BYTES];
	uint32_t node_id;
	char name[NAME_MAX_CHARS + 1];
};

/* A join token that may pass the handshake; whether it still lets anybody in,
 * the database knows. */
struct token_key {
	uint8_t key[KEY_BYTES];
};

struct tell {
	struct letter letter;
	enum tell_kind kind;
	uint64_t token;
	union {
		struct {
			bool ok;
			struct id16 instance_id, incarnation_id;
			struct wall since;
			char reason[REASON_MAX];
		} database;
		struct {
			struct roster roster;  /* owned */
			struct member *member; /* owned */
			size_t member_n;
			struct token_key *token; /* owned */
			size_t token_n;
		} roster;
		struct {
			bool accepted;
			uint8_t key[KEY_BYTES];
			uint32_t node_id;
			uint64_t ledger_next_seq;
			char reason[REASON_MAX]; /* of a refusal */
		} hello;
		struct {
			bool accepted, again; /* again: it was in already */
			struct router_peer at;
			uint32_t node_id;
			char reason[REASON_MAX]; /* of a refusal */
		} join;
		struct {
			uint32_t node_id;
			struct id16 spool_id;
			uint64_t seq;
			enum ack_status status;
			char reason[REASON_MAX];
		} ack;
		struct {
			int status; /* HTTP: 200, 400, 404, 409, 503 */
			uint32_t node_id;
			char name[NAME_MAX_CHARS + 1];
			char reason[REASON_MAX];
			/* of a join token that was made */
			int64_t token_id, uses;
			char secret[KEYS_TEXT_SIZE]; /* tell_free() wipes it */
			char expires_at[40];         /* ISO 8601 */
			/* of a mesh file: its epoch; of it and of
			 * maintenance: something was changed, it is on */
			int64_t epoch;
			bool changed;
		} admin;
	} u;
};
void tell_free(struct tell *t);

#endif
