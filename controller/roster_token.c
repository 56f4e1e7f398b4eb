/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Join tokens: made and ended by the operator, used by nodes. A token lets in
 * `uses` nodes before it expires; only its public key is kept. Whether it
 * still does is judged here, in the transaction that lets a node in, by the
 * database's clock; the bus only knows which keys are tokens.
 */
#include "controller/roster_db.h"
#include "controller/roster_priv.h"

#include "lib/bus/keys.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MAX 1000
#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

static bool refuse(struct tell *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* True, as a refusal is an answer. */
static bool
refuse(struct tell *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(t->u.join.reason, REASON_MAX, fmt, ap);
	va_end(ap);
	return true;
}

/* Other controllers must let a new token's holders pass; the payload says no
 * more than ever. */
static bool
tell_others(struct pgc *db, struct pgc_err *err)
{
	return pgc_exec(db,
	                "SELECT pg_notify('twmesh_epoch', coalesce(max(epoch), "
	                "0)::text) FROM twmesh.epoch",
	                err);
}

/* ---- Join ---- */

struct token_row {
	int64_t id; /* 0: no such token */
	int64_t uses_max;
	char state[16], expires[40];
};

static bool
read_token(struct pgc *db, const uint8_t key[KEY_BYTES], struct token_row *out,
           struct pgc_err *err)
{
	char hex[HEX_KEY_SIZE];
	const char *p[] = {hex}, *v;
	struct pgc_rows *rows;

	hex_of(key, KEY_BYTES, hex);
	if (!pgc_query(db,
	               "SELECT v.token_id, v.uses_max, v.state, "
	               "twmesh.utc_text(v.expires_at) FROM twmesh.join_token v "
	               "JOIN twmesh_private.join_token t USING (token_id) "
	               "WHERE t.key = $1::bytea",
	               1, p, &rows, err))
		return false;
	out->id = pgc_value_i64(rows, 0, 0, 0);
	out->uses_max = pgc_value_i64(rows, 0, 1, 0);
	v = pgc_value(rows, 0, 2);
	(void)snprintf(out->state, sizeof(out->state), "%s", v ? v : "");
	v = pgc_value(rows, 0, 3);
	(void)snprintf(out->expires, sizeof(out->expires), "%s", v ? v : "");
	pgc_rows_free(rows);
	return true;
}

/* False: this token lets nobody in (any more), and why is in the answer. */
static bool
token_is_open(const struct token_row *k, struct tell *answer)
{
	if (strcmp(k->state, "open") == 0)
		return true;
	if (strcmp(k->state, "used up") == 0)
		return !refuse(answer,
		               "join token %" PRId64 " is used up: it let in "
		               "%" PRId64 " node%s, as it might",
		               k->id, k->uses_max, k->uses_max == 1 ? "" : "s");
	if (strcmp(k->state, "expired") == 0)
		return !refuse(answer, "join token %" PRId64 " expired at %s",
		               k->id, k->expires);
	return !refuse(answer, "join token %" PRId64 " was revoked", k->id);
}

static bool
is_token_key(struct pgc *db, const uint8_t key[KEY_BYTES], bool *is,
             struct pgc_err *err)
{
	char hex[HEX_KEY_SIZE];
	const char *p[] = {hex};
	int64_t id;

	hex_of(key, KEY_BYTES, hex);
	if (!roster_query_id(
	        db,
	        "SELECT token_id FROM twmesh_private.join_token WHERE "
	        "key = $1::bytea",
	        1, p, &id, err))
		return false;
	*is = id != 0;
	return true;
}

static bool
book_use(struct pgc *db, int64_t token_id, int64_t node_id, struct pgc_err *err)
{
	char token[24], node[24];
	const char *p[] = {dec_of(token_id, token), dec_of(node_id, node)};

	return pgc_exec_params(db,
	                       "UPDATE twmesh_private.join_token SET uses = "
	                       "uses + 1, last_used_at = now() WHERE token_id "
	                       "= $1::integer",
	                       1, p, NULL, err) &&
	       pgc_exec_params(db,
	                       "UPDATE twmesh_private.node_key SET token_id = "
	                       "$1::integer WHERE node_id = $2::integer",
	                       2, p, NULL, err);
}

/* The token is open and the key is nobody's. */
static bool
let_in(struct pgc *db, const struct msg_join *j, int64_t token_id,
       struct tell *answer, struct pgc_err *err)
{
	char fp[KEYS_FINGERPRINT_SIZE], reason[REASON_MAX];
	struct node_row holder;
	int64_t id;
	bool token;

	if (!is_token_key(db, j->key, &token, err) ||
	    !roster_node_by_name(db, j->name, &holder, err))
		return false;
	if (token)
		return refuse(answer, "a join token's key cannot be a node's");
	keys_fingerprint(j->key, fp);
	if (holder.target)
		return refuse(answer,
		              "the name '%s' belongs to a target of the mesh "
		              "file: choose another name",
		              j->name);
	if (!roster_name_is_free(&holder))
		return refuse(answer,
		              "the name '%s' belongs to another key (%s): "
		              "choose another name, or have the operator run "
		              "'twmesh node approve %s %s --replace'",
		              j->name,
		              holder.fingerprint[0] ? holder.fingerprint
		                                    : "none",
		              fp, j->name);
	if (!roster_make_node(db, j->name, j->key, "token", &id, err))
		return false;
	if (id == 0)
		return refuse(answer, "the mesh is full (4,096 nodes)");
	answer->u.join.accepted = true;
	answer->u.join.node_id = (uint32_t)id;
	(void)snprintf(reason, sizeof(reason), "%s joined with token %" PRId64,
	               j->name, token_id);
	return book_use(db, token_id, id, err) &&
	       roster_changed(db, reason, err);
}

static bool
join(struct pgc *db, const struct ask_join *a, struct tell *answer,
     struct pgc_err *err)
{
	struct token_row token;
	struct node_row node;

	if (!read_token(db, a->token, &token, err) ||
	    !roster_node_by_key(db, a->join.key, &node, err))
		return false;
	if (!token.id)
		return refuse(answer, "this is no join token (any more)");
	if (node.id && strcmp(node.name, a->join.name) != 0)
		return refuse(answer,
		              "this key was approved as '%s', but the node "
		              "calls itself '%s'",
		              node.name, a->join.name);
	if (node.id) {
		/* It asks again: the answer was lost, or came from another
		 * controller. */
		answer->u.join.accepted = answer->u.join.again = true;
		answer->u.join.node_id = (uint32_t)node.id;
		return true;
	}
	if (!token_is_open(&token, answer))
		return true;
	return let_in(db, &a->join, token.id, answer, err);
}

bool
roster_db_join(struct pgc *db, const struct ask *ask, struct tell *answer,
               struct pgc_err *err)
{
	answer->kind = TELL_JOIN;
	answer->token = ask->token;
	memset(&answer->u.join, 0, sizeof(answer->u.join));
	answer->u.join.at = ask->u.join.at;
	if (!roster_begin(db, err))
		return false;
	return roster_end(db, join(db, &ask->u.join, answer, err), err);
}

/* ---- administration ---- */

static bool
insert_token(struct pgc *db, const struct keys *k, const struct ask_token *a,
             struct tell *answer, struct pgc_err *err)
{
	char hex[HEX_KEY_SIZE], fp[KEYS_FINGERPRINT_SIZE];
	char uses[24], seconds[24];
	const char *p[] = {hex, fp, dec_of(a->uses, uses),
	                   dec_of(a->expires_s, seconds)};
	struct pgc_rows *rows;
	const char *v;

	hex_of(k->public_key, KEY_BYTES, hex);
	keys_fingerprint(k->public_key, fp);
	if (!pgc_query(
	        db,
	        "INSERT INTO twmesh_private.join_token (key, "
	        "fingerprint, uses_max, expires_at) SELECT $1::bytea, "
	        "$2::text, $3::integer, now() + make_interval(secs => "
	        "$4::integer) WHERE (SELECT count(*) FROM "
	        "twmesh.join_token WHERE state = 'open') < " TEXT_OF(
	            OPEN_MAX) " RETURNING token_id, twmesh.iso_utc(expires_at)",
	        4, p, &rows, err))
		return false;
	answer->u.admin.token_id = pgc_value_i64(rows, 0, 0, 0);
	v = pgc_value(rows, 0, 1);
	(void)snprintf(answer->u.admin.expires_at,
	               sizeof(answer->u.admin.expires_at), "%s", v ? v : "");
	pgc_rows_free(rows);
	return true;
}

static bool
create(struct pgc *db, const struct ask_token *a, struct tell *answer,
       struct pgc_err *err)
{
	struct keys k;
	bool ok;

	if (a->uses < 1 || a->uses > TOKEN_USES_MAX || a->expires_s < 1 ||
	    a->expires_s > TOKEN_EXPIRES_MAX_S) {
		roster_refuse(answer, 400, "uses or expiry out of range");
		return true;
	}
	if (!keys_generate(&k)) {
		roster_refuse(answer, 500, "this libzmq has no CURVE");
		return true;
	}
	ok = insert_token(db, &k, a, answer, err);
	if (ok && answer->u.admin.token_id == 0) {
		roster_refuse(answer, 409,
		              "expected fewer than %d open join tokens: revoke "
		              "some",
		              OPEN_MAX);
	} else if (ok) {
		ok = tell_others(db, err);
		answer->u.admin.status = 200;
		answer->u.admin.uses = a->uses;
		keys_text(k.secret_key, answer->u.admin.secret);
	}
	keys_wipe(&k);
	return ok;
}

bool
roster_db_token_create(struct pgc *db, const struct ask *ask,
                       struct tell *answer, struct pgc_err *err)
{
	roster_admin_init(answer, ask, "");
	if (!roster_begin(db, err))
		return false;
	return roster_end(db, create(db, &ask->u.token, answer, err), err);
}

static bool
revoke(struct pgc *db, int64_t token_id, struct tell *answer,
       struct pgc_err *err)
{
	char id[24];
	const char *p[] = {dec_of(token_id, id)};
	struct pgc_rows *rows;
	char state[16];
	const char *v;

	/* The lock on the roster keeps Join away meanwhile. */
	if (!pgc_query(db,
	               "SELECT state FROM twmesh.join_token WHERE token_id = "
	               "$1::bigint",
	               1, p, &rows, err))
		return false;
	v = pgc_value(rows, 0, 0);
	(void)snprintf(state, sizeof(state), "%s", v ? v : "");
	pgc_rows_free(rows);
	if (state[0] == '\0') {
		roster_refuse(answer, 404, "there is no join token %" PRId64,
		              token_id);
		return true;
	}
	if (strcmp(state, "open") != 0) {
		roster_refuse(answer, 409,
		              "join token %" PRId64 " is %s already", token_id,
		              state);
		return true;
	}
	answer->u.admin.status = 200;
	answer->u.admin.token_id = token_id;
	return pgc_exec_params(db,
	                       "UPDATE twmesh_private.join_token SET "
	                       "revoked_at = now() WHERE token_id = $1::bigint",
	                       1, p, NULL, err);
}

bool
roster_db_token_revoke(struct pgc *db, const struct ask *ask,
                       struct tell *answer, struct pgc_err *err)
{
	roster_admin_init(answer, ask, "");
	if (!roster_begin(db, err))
		return false;
	return roster_end(db, revoke(db, ask->u.token.token_id, answer, err),
	                  err);
}
