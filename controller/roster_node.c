/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nodes coming, going and being let in. Each function is one transaction
 * under the roster's lock; a refusal is an answer, not a failure.
 */
#include "controller/roster_db.h"
#include "controller/roster_priv.h"

#include "lib/bus/keys.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define PENDING_MAX "256"
#define ADDRS_TEXT_MAX (2 * MSG_ADDRS_MAX * (ADDR_TEXT_MAX + 1) + 3)

static void refuse(char reason[REASON_MAX], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
refuse(char reason[REASON_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(reason, REASON_MAX, fmt, ap);
	va_end(ap);
}

bool
roster_query_id(struct pgc *db, const char *sql, int n, const char *const *p,
                int64_t *id, struct pgc_err *err)
{
	struct pgc_rows *rows;

	if (!pgc_query(db, sql, n, p, &rows, err))
		return false;
	*id = pgc_value_i64(rows, 0, 0, 0);
	pgc_rows_free(rows);
	return true;
}

/* ---- addresses ---- */

struct addr_set {
	struct addr a[2 * MSG_ADDRS_MAX];
	size_t n;
};

/* ::ffff:a.b.c.d is a.b.c.d. */
static struct addr
plain_addr(const struct addr *in)
{
	struct addr out = *in;
	size_t len;
	const uint8_t *b = addr_bytes(in, &len);

	if (len == 16 && IN6_IS_ADDR_V4MAPPED(&in->u.v6.sin6_addr) &&
	    !addr_from_bytes(b + 12, 4, 0, &out))
		out = *in;
	return out;
}

static void
set_add(struct addr_set *s, const struct addr *in)
{
	struct addr a = plain_addr(in);

	if (addr_family(&a) == AF_UNSPEC || addr_is_any(&a) ||
	    addr_is_multicast(&a) || s->n == 2 * (size_t)MSG_ADDRS_MAX)
		return;
	for (size_t i = 0; i < s->n; i++) {
		if (addr_ip_equal(&s->a[i], &a))
			return;
	}
	s->a[s->n++] = a;
}

static bool
set_has(const struct addr_set *s, const struct addr *a)
{
	for (size_t i = 0; i < s->n; i++) {
		if (addr_ip_equal(&s->a[i], a))
			return true;
	}
	return false;
}

/* "{1.2.3.4,::1}", at most MSG_ADDRS_MAX of them. */
static const char *
set_text(const struct addr_set *s, char out[ADDRS_TEXT_MAX])
{
	size_t n = 1;

	out[0] = '{';
	for (size_t i = 0; i < s->n && i < MSG_ADDRS_MAX; i++) {
		char one[ADDR_TEXT_MAX];

		addr_format_ip(&s->a[i], one);
		one[strcspn(one, "%")] = '\0'; /* no scope in inet */
		n += (size_t)snprintf(out + n, ADDRS_TEXT_MAX - n, "%s%s",
		                      i ? "," : "", one);
	}
	(void)snprintf(out + n, ADDRS_TEXT_MAX - n, "}");
	return out;
}

static void
set_parse(struct addr_set *s, const char *text)
{
	while (text && *text) {
		char one[ADDR_TEXT_MAX];
		size_t len = strcspn(text, " ");
		struct addr a;

		if (len < sizeof(one)) {
			memcpy(one, text, len);
			one[len] = '\0';
			if (addr_parse_ip(one, 0, &a))
				set_add(s, &a);
		}
		text += len + (text[len] == ' ');
	}
}

/*
 * measurement rule 24: only what is observed, or what the operator agreed to,
 * may be probed; on a loopback connection all of loopback counts as observed.
 * Without advertised addresses the observed one is meant.
 */
static void
sort_addresses(const struct ask_hello *h, const struct addr_set *consented,
               struct addr_set *accepted, struct addr_set *rest)
{
	struct addr seen = plain_addr(&h->observed);
	const struct msg_hello *m = &h->hello;

	*accepted = *consented;
	rest->n = 0;
	if (m->address_n == 0)
		set_add(accepted, &seen);
	for (size_t i = 0; i < m->address_n; i++) {
		struct addr a = plain_addr(&m->address[i]);

		if (addr_ip_equal(&a, &seen) || set_has(consented, &a) ||
		    (addr_is_loopback(&a) && addr_is_loopback(&seen)))
			set_add(accepted, &a);
		else
			set_add(rest, &a);
	}
}

/* ---- nodes ---- */

static bool
read_node(struct pgc *db, const char *where, const char *arg,
          struct node_row *out, struct pgc_err *err)
{
	const char *p[] = {arg};
	struct pgc_rows *rows;
	char sql[400];
	const char *v;

	(void)snprintf(sql, sizeof(sql),
	               "SELECT n.node_id, n.name, k.fingerprint, n.kind = "
	               "'target' FROM "
	               "twmesh.node n LEFT JOIN twmesh_private.node_key k "
	               "USING (node_id) WHERE n.removed_at IS NULL AND %s",
	               where);
	if (!pgc_query(db, sql, 1, p, &rows, err))
		return false;
	*out = (struct node_row){.id = pgc_value_i64(rows, 0, 0, 0)};
	v = pgc_value(rows, 0, 1);
	(void)snprintf(out->name, sizeof(out->name), "%s", v ? v : "");
	v = pgc_value(rows, 0, 2);
	(void)snprintf(out->fingerprint, sizeof(out->fingerprint), "%s",
	               v ? v : "");
	out->target = pgc_value_bool(rows, 0, 3);
	pgc_rows_free(rows);
	return true;
}

bool
roster_name_is_free(const struct node_row *n)
{
	return !n->id || (!n->fingerprint[0] && !n->target);
}

bool
roster_node_by_key(struct pgc *db, const uint8_t key[KEY_BYTES],
                   struct node_row *out, struct pgc_err *err)
{
	char hex[HEX_KEY_SIZE];

	hex_of(key, KEY_BYTES, hex);
	return read_node(db, "k.key = $1::bytea", hex, out, err);
}

bool
roster_node_by_name(struct pgc *db, const char *name, struct node_row *out,
                    struct pgc_err *err)
{
	return read_node(db, "n.name = $1::text::text", name, out, err);
}

static bool
set_key(struct pgc *db, int64_t node_id, const uint8_t key[KEY_BYTES],
        const char *by, struct pgc_err *err)
{
	char id[24], hex[HEX_KEY_SIZE], fp[KEYS_FINGERPRINT_SIZE];
	const char *p[] = {dec_of(node_id, id), hex, fp, by};

	hex_of(key, KEY_BYTES, hex);
	keys_fingerprint(key, fp);
	return pgc_exec_params(db,
	                       "DELETE FROM twmesh_private.node_key WHERE "
	                       "node_id = $1::integer",
	                       1, p, NULL, err) &&
	       pgc_exec_params(db,
	                       "INSERT INTO twmesh_private.node_key (node_id, "
	                       "key, fingerprint, approved_by) VALUES "
	                       "($1::integer, $2::bytea, $3::text, $4::text)",
	                       4, p, NULL, err) &&
	       pgc_exec_params(db,
	                       "DELETE FROM twmesh_private.pending_node WHERE "
	                       "key = $1::bytea",
	                       1, p + 1, NULL, err);
}

/* The place that the mesh file keeps for a name; *id 0: it keeps none. */
static bool
take_kept(struct pgc *db, const char *name, int64_t *id, struct pgc_err *err)
{
	const char *p[] = {name};

	return roster_query_id(
	    db,
	    "UPDATE twmesh.node n SET approved_at = now() WHERE name = "
	    "$1::text AND kind = 'node' AND removed_at IS NULL AND NOT EXISTS "
	    "(SELECT FROM twmesh_private.node_key k WHERE k.node_id = "
	    "n.node_id) RETURNING node_id",
	    1, p, id, err);
}

bool
roster_make_node(struct pgc *db, const char *name, const uint8_t key[KEY_BYTES],
                 const char *by, int64_t *id, struct pgc_err *err)
{
	char text[24];
	const char *p[] = {name};
	const char *q[] = {text};

	if (!take_kept(db, name, id, err))
		return false;
	if (*id == 0 &&
	    !roster_query_id(
	        db,
	        "INSERT INTO twmesh.node (name, slot, slot_generation) "
	        "SELECT $1::text, s, coalesce((SELECT max(slot_generation) "
	        "FROM "
	        "twmesh.node WHERE slot = s), 0) + 1 "
	        "FROM generate_series(1, 4096) s WHERE NOT EXISTS (SELECT "
	        "FROM twmesh.node WHERE slot = s AND removed_at IS NULL) "
	        "ORDER BY s LIMIT 1 RETURNING node_id",
	        1, p, id, err))
		return false;
	if (*id == 0)
		return true;
	dec_of(*id, text);
	return pgc_exec_params(db,
	                       "INSERT INTO twmesh_private.node_live (node_id) "
	                       "VALUES ($1::integer) ON CONFLICT DO NOTHING",
	                       1, q, NULL, err) &&
	       set_key(db, *id, key, by, err);
}

static bool
set_site(struct pgc *db, int64_t node_id, const char *site, bool force,
         struct pgc_err *err)
{
	char id[24];
	const char *p[] = {site, dec_of(node_id, id), force ? "true" : "false"};

	if (!site[0])
		return true;
	return pgc_exec_params(
	           db,
	           "INSERT INTO twmesh.site (name) VALUES ($1::text) "
	           "ON CONFLICT DO NOTHING",
	           1, p, NULL, err) &&
	       pgc_exec_params(
	           db,
	           "UPDATE twmesh.node SET site_id = (SELECT "
	           "site_id FROM twmesh.site WHERE name = $1::text::text) "
	           "WHERE node_id = $2::integer AND (site_id IS "
	           "NULL OR $3::boolean)",
	           3, p, NULL, err);
}

/* ---- Hello ---- */

static char *
facts_json(const struct msg_hello *m)
{
	json_t *o = json_object();
	char *text;

	for (size_t i = 0; o && i < m->fact_n; i++)
		(void)json_object_set_new(o, m->fact[i].key,
		                          json_string(m->fact[i].value));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

/* Who is it? answer->node_id, or a refusal. *made: it is new. */
static bool
hello_identify(struct pgc *db, const struct ask_hello *h, struct tell *answer,
               bool *made, struct pgc_err *err)
{
	struct node_row node, holder;
	char *reason = answer->u.hello.reason;
	int64_t id;

	*made = false;
	if (!roster_node_by_key(db, h->key, &node, err))
		return false;
	if (node.id && strcmp(node.name, h->hello.name) != 0) {
		refuse(reason,
		       "this key was approved as '%s', but the node calls "
		       "itself '%s'",
		       node.name, h->hello.name);
		return true;
	}
	id = node.id;
	if (!id) {
		if (!h->first_use_ok) {
			refuse(reason, "this key is not approved");
			return true;
		}
		if (!roster_node_by_name(db, h->hello.name, &holder, err))
			return false;
		if (holder.target) {
			refuse(reason,
			       "the name '%s' belongs to a target of the mesh "
			       "file: choose another name",
			       h->hello.name);
			return true;
		}
		if (!roster_name_is_free(&holder)) {
			refuse(reason,
			       "the name '%s' belongs to another key (%s): "
			       "choose another name, or 'twmesh node approve "
			       "--replace'",
			       h->hello.name, holder.fingerprint);
			return true;
		}
		if (!roster_make_node(db, h->hello.name, h->key, "first use",
		                      &id, err))
			return false;
		if (!id) {
			refuse(reason, "the mesh is full (4,096 nodes)");
			return true;
		}
		*made = true;
	}
	answer->u.hello.accepted = true;
	answer->u.hello.node_id = (uint32_t)id;
	return true;
}

/* What the node says about itself; *changed: the roster shows it. */
static bool
hello_describe(struct pgc *db, const struct ask_hello *h, int64_t node_id,
               bool *changed, struct pgc_err *err)
{
	char id[24], port[24], text[2][ADDRS_TEXT_MAX];
	char *facts = facts_json(&h->hello);
	struct addr_set consented = {.n = 0}, accepted, rest;
	const char *p[] = {dec_of(node_id, id),
	                   text[0],
	                   text[1],
	                   dec_of(h->hello.reflector_port, port),
	                   h->hello.software,
	                   facts ? facts : "{}"};
	char *list = NULL;
	long n = 0;
	bool ok = false;

	if (!pgc_query_text(db,
	                    "SELECT array_to_string(ARRAY(SELECT host(a) FROM "
	                    "unnest(consented) a), ' ') FROM twmesh.node WHERE "
	                    "node_id = $1::integer",
	                    1, p, &list, err))
		goto out;
	set_parse(&consented, list);
	sort_addresses(h, &consented, &accepted, &rest);
	set_text(&accepted, text[0]);
	set_text(&rest, text[1]);
	if (!pgc_exec_params(db,
	                     "UPDATE twmesh.node SET addresses = $2::inet[], "
	                     "reflector_port = $4::integer WHERE node_id = "
	                     "$1::integer AND (addresses <> $2::inet[] OR "
	                     "reflector_port <> $4::integer) AND $3::text IS "
	                     "NOT NULL",
	                     4, p, &n, err))
		goto out;
	*changed |= n > 0;
	ok = pgc_exec_params(
	    db,
	    "UPDATE twmesh.node SET unconsented = $3::inet[], software = "
	    "$5::text, "
	    "facts = $6::jsonb WHERE node_id = $1::integer AND ($2::text, "
	    "$4::text) IS NOT NULL",
	    6, p, NULL, err);
out:
	free(list);
	free(facts);
	return ok;
}

static bool
hello_live(struct pgc *db, int64_t node_id, const char *instance, bool *changed,
           struct pgc_err *err)
{
	char id[24];
	const char *p[] = {dec_of(node_id, id), instance};
	long resumed = 0;

	if (!pgc_exec_params(db,
	                     "UPDATE twmesh_private.node_live SET stopped_at = "
	                     "NULL, stopped_reason = NULL WHERE node_id = "
	                     "$1::integer AND stopped_at IS NOT NULL",
	                     1, p, &resumed, err))
		return false;
	*changed |= resumed > 0;
	return pgc_exec_params(
	    db,
	    "INSERT INTO twmesh_private.node_live (node_id, instance_id, "
	    "last_seen_at, hello_at) VALUES ($1::integer, $2::uuid, "
	    "clock_timestamp(), clock_timestamp()) ON CONFLICT (node_id) DO "
	    "UPDATE SET instance_id = excluded.instance_id, last_seen_at = "
	    "excluded.last_seen_at, hello_at = excluded.hello_at",
	    2, p, NULL, err);
}

/* A new spool means that what the old one still held is lost. */
static bool
hello_spool(struct pgc *db, int64_t node_id, const struct id16 *spool,
            uint64_t *next_seq, struct pgc_err *err)
{
	char id[24], hex[HEX_ID_SIZE];
	const char *p[] = {dec_of(node_id, id), hex};
	int64_t next = 1;

	hex_of(spool->b, ID16_BYTES, hex);
	if (!pgc_exec_params(
	        db,
	        "WITH old AS (UPDATE twmesh_private.spool SET ended_at = now() "
	        "WHERE node_id = $1::integer AND spool_id <> $2::bytea AND "
	        "ended_at IS NULL RETURNING first_seen_at) "
	        "INSERT INTO twmesh.gap (src_id, t_from, t_to, reason) "
	        "SELECT $1::integer, least(coalesce((SELECT "
	        "max(newest_measured_at) FROM twmesh_private.path_state WHERE "
	        "src_id = $1::integer), min(first_seen_at)), now()), now(), "
	        "'spool_lost' FROM old HAVING count(*) > 0",
	        2, p, NULL, err))
		return false;
	if (!pgc_exec_params(db,
	                     "INSERT INTO twmesh_private.spool (node_id, "
	                     "spool_id) VALUES ($1::integer, $2::bytea) ON "
	                     "CONFLICT (node_id, spool_id) DO UPDATE SET "
	                     "ended_at = NULL",
	                     2, p, NULL, err))
		return false;
	/* The first sequence number not in the ledger, searched from where the
	 * last search ended. */
	if (!roster_query_id(
	        db,
	        "UPDATE twmesh_private.spool s SET next_seq = CASE WHEN NOT "
	        "EXISTS (SELECT FROM twmesh_private.ledger l WHERE l.node_id = "
	        "s.node_id AND l.spool_id = s.spool_id AND l.seq = s.next_seq) "
	        "THEN s.next_seq ELSE (SELECT l.seq + 1 FROM "
	        "twmesh_private.ledger l WHERE l.node_id = s.node_id AND "
	        "l.spool_id = s.spool_id AND l.seq >= s.next_seq AND NOT "
	        "EXISTS "
	        "(SELECT FROM twmesh_private.ledger m WHERE m.node_id = "
	        "l.node_id AND m.spool_id = l.spool_id AND m.seq = l.seq + 1) "
	        "ORDER BY l.seq LIMIT 1) END WHERE s.node_id = $1::integer AND "
	        "s.spool_id = $2::bytea RETURNING s.next_seq",
	        2, p, &next, err))
		return false;
	*next_seq = next > 0 ? (uint64_t)next : 1;
	return true;
}

static bool
hello_accepted(struct pgc *db, const struct ask_hello *h, const char *instance,
               bool made, struct tell *answer, struct pgc_err *err)
{
	int64_t id = answer->u.hello.node_id;
	bool changed = made;
	char reason[REASON_MAX];

	if (!hello_describe(db, h, id, &changed, err) ||
	    !set_site(db, id, h->hello.site, false, err) ||
	    !hello_live(db, id, instance, &changed, err) ||
	    !hello_spool(db, id, &h->hello.spool_id,
	                 &answer->u.hello.ledger_next_seq, err))
		return false;
	if (!changed)
		return true;
	(void)snprintf(reason, sizeof(reason), "%s %s", h->hello.name,
	               made ? "joined" : "came with changes");
	return roster_changed(db, reason, err);
}

bool
roster_db_hello(struct pgc *db, const struct ask *ask, const char *instance,
                struct tell *answer, struct pgc_err *err)
{
	const struct ask_hello *h = &ask->u.hello;
	bool made, ok;

	answer->kind = TELL_HELLO;
	answer->token = ask->token;
	memset(&answer->u.hello, 0, sizeof(answer->u.hello));
	memcpy(answer->u.hello.key, h->key, KEY_BYTES);
	if (!roster_begin(db, err))
		return false;
	ok = hello_identify(db, h, answer, &made, err);
	if (ok && answer->u.hello.accepted)
		ok = hello_accepted(db, h, instance, made, answer, err);
	return roster_end(db, ok, err);
}

/* ---- administration ---- */

void
roster_refuse(struct tell *t, int status, const char *fmt, ...)
{
	va_list ap;

	t->u.admin.status = status;
	va_start(ap, fmt);
	(void)vsnprintf(t->u.admin.reason, REASON_MAX, fmt, ap);
	va_end(ap);
}

void
roster_admin_init(struct tell *t, const struct ask *ask, const char *name)
{
	t->kind = TELL_ADMIN;
	t->token = ask->token;
	memset(&t->u.admin, 0, sizeof(t->u.admin));
	(void)snprintf(t->u.admin.name, sizeof(t->u.admin.name), "%s", name);
}

/* The key behind a fingerprint that knocked. False: the database failed;
 * *found tells. */
static bool
pending_key(struct pgc *db, const char *fp, uint8_t key[KEY_BYTES], bool *found,
            struct pgc_err *err)
{
	const char *p[] = {fp};
	struct pgc_rows *rows;

	if (!pgc_query(db,
	               "SELECT key FROM twmesh_private.pending_node WHERE "
	               "fingerprint = $1::text",
	               1, p, &rows, err))
		return false;
	*found = pgc_value_bytes(rows, 0, 0, key, KEY_BYTES);
	pgc_rows_free(rows);
	return true;
}

static bool
set_consent(struct pgc *db, int64_t node_id, const struct ask_approve *a,
            struct pgc_err *err)
{
	char id[24], text[ADDRS_TEXT_MAX];
	const char *p[] = {dec_of(node_id, id), text};
	struct addr_set set = {.n = 0};

	if (a->consent_n == 0)
		return true;
	for (size_t i = 0; i < a->consent_n && i < MSG_ADDRS_MAX; i++)
		set_add(&set, &a->consent[i]);
	set_text(&set, text);
	return pgc_exec_params(
	    db,
	    "UPDATE twmesh.node SET consented = $2::inet[], addresses = "
	    "$2::inet[] || ARRAY(SELECT a FROM unnest(addresses) a WHERE a <> "
	    "ALL ($2::inet[])), unconsented = ARRAY(SELECT a FROM "
	    "unnest(unconsented) a WHERE a <> ALL ($2::inet[])) "
	    "WHERE node_id = $1::integer",
	    2, p, NULL, err);
}

/* The key is pending and the name is checked: which node is it now? *id 0: a
 * refusal is in the answer. */
static bool
approve_node(struct pgc *db, const struct ask_approve *a, const char *fp,
             const uint8_t key[KEY_BYTES], struct tell *answer, int64_t *id,
             struct pgc_err *err)
{
	struct node_row holder;

	*id = 0;
	if (!roster_node_by_name(db, a->name, &holder, err))
		return false;
	if (holder.target) {
		roster_refuse(answer, 409,
		              "the name '%s' belongs to a target of the mesh "
		              "file: choose another name",
		              a->name);
		return true;
	}
	if (!roster_name_is_free(&holder) && !a->replace) {
		roster_refuse(
		    answer, 409,
		    "the name '%s' is taken by the node with "
		    "fingerprint %s: another name, or --replace if "
		    "%s is its new key",
		    a->name,
		    holder.fingerprint[0] ? holder.fingerprint : "(none)", fp);
		return true;
	}
	if (roster_name_is_free(&holder) && a->replace) {
		roster_refuse(answer, 404, "there is no node '%s' to replace",
		              a->name);
		return true;
	}
	if (!roster_name_is_free(&holder)) {
		*id = holder.id;
		return set_key(db, holder.id, key, "operator", err);
	}
	if (!roster_make_node(db, a->name, key, "operator", id, err))
		return false;
	if (!*id)
		roster_refuse(answer, 409, "the mesh is full (4,096 nodes)");
	return true;
}

static bool
approve(struct pgc *db, const struct ask_approve *a, struct tell *answer,
        struct pgc_err *err)
{
	char fp[KEYS_FINGERPRINT_SIZE], reason[REASON_MAX];
	const char *p[] = {fp};
	uint8_t key[KEY_BYTES];
	struct node_row node;
	int64_t id = 0;
	bool found;

	if (!keys_fingerprint_parse(a->fingerprint, fp)) {
		roster_refuse(answer, 400,
		              "'%.40s' is no fingerprint: expected 16 "
		              "characters of base32, as twmesh-meshd "
		              "--show-key prints them",
		              a->fingerprint);
		return true;
	}
	if (!name_is_valid(a->name) ||
	    (a->site[0] && !name_is_valid(a->site))) {
		roster_refuse(answer, 400, "a name must be " NAME_RULE);
		return true;
	}
	if (!pending_key(db, fp, key, &found, err))
		return false;
	if (!found) {
		if (!read_node(db, "k.fingerprint = $1::text", p[0], &node,
		               err))
			return false;
		if (node.id)
			roster_refuse(answer, 409,
			              "%s is approved already, as "
			              "'%s'",
			              fp, node.name);
		else
			roster_refuse(answer, 404,
			              "no node with fingerprint %s has asked "
			              "to join",
			              fp);
		return true;
	}
	if (!approve_node(db, a, fp, key, answer, &id, err))
		return false;
	if (!id)
		return true;
	(void)snprintf(reason, sizeof(reason), "%s approved", a->name);
	if (!set_site(db, id, a->site, true, err) ||
	    !set_consent(db, id, a, err) || !roster_changed(db, reason, err))
		return false;
	answer->u.admin.status = 200;
	answer->u.admin.node_id = (uint32_t)id;
	return true;
}

bool
roster_db_approve(struct pgc *db, const struct ask *ask, struct tell *answer,
                  struct pgc_err *err)
{
	roster_admin_init(answer, ask, ask->u.approve.name);
	if (!roster_begin(db, err))
		return false;
	return roster_end(db, approve(db, &ask->u.approve, answer, err), err);
}

static bool
remove_node(struct pgc *db, const char *name, struct tell *answer,
            struct pgc_err *err)
{
	char id[24], reason[REASON_MAX];
	const char *p[] = {id};
	struct node_row node;

	if (!roster_node_by_name(db, name, &node, err))
		return false;
	if (!node.id) {
		roster_refuse(answer, 404, "there is no node '%s'", name);
		return true;
	}
	if (node.target || !node.fingerprint[0]) {
		roster_refuse(
		    answer, 409,
		    "'%s' %s of the mesh file: take it out there, and "
		    "apply that",
		    name,
		    node.target ? "is a target"
		                : "has not joined, it is a name");
		return true;
	}
	dec_of(node.id, id);
	(void)snprintf(reason, sizeof(reason), "%s removed", name);
	if (!pgc_exec_params(db,
	                     "DELETE FROM twmesh_private.node_key WHERE "
	                     "node_id = $1::integer",
	                     1, p, NULL, err) ||
	    !pgc_exec_params(db,
	                     "DELETE FROM twmesh_private.path_state WHERE "
	                     "src_id = $1::integer",
	                     1, p, NULL, err) ||
	    !pgc_exec_params(db,
	                     "UPDATE twmesh.node SET removed_at = now() WHERE "
	                     "node_id = $1::integer",
	                     1, p, NULL, err) ||
	    !roster_changed(db, reason, err))
		return false;
	answer->u.admin.status = 200;
	answer->u.admin.node_id = (uint32_t)node.id;
	return true;
}

bool
roster_db_remove(struct pgc *db, const struct ask *ask, struct tell *answer,
                 struct pgc_err *err)
{
	roster_admin_init(answer, ask, ask->u.remove.name);
	if (!name_is_valid(ask->u.remove.name)) {
		roster_refuse(answer, 400, "a name must be " NAME_RULE);
		return true;
	}
	if (!roster_begin(db, err))
		return false;
	return roster_end(db, remove_node(db, ask->u.remove.name, answer, err),
	                  err);
}

bool
roster_db_bye(struct pgc *db, const struct ask *ask, struct pgc_err *err)
{
	char id[24];
	const char *p[] = {dec_of(ask->u.bye.node_id, id)};
	long n = 0;
	bool ok;

	if (!roster_begin(db, err))
		return false;
	ok = pgc_exec_params(
	    db,
	    "UPDATE twmesh_private.node_live SET stopped_at = "
	    "clock_timestamp(), last_seen_at = clock_timestamp() WHERE node_id "
	    "= $1::integer AND stopped_at IS NULL",
	    1, p, &n, err);
	if (ok && n > 0)
		ok = roster_changed(db, "a node stopped on purpose", err);
	return roster_end(db, ok, err);
}

bool
roster_db_pending(struct pgc *db, const struct ask *ask, struct pgc_err *err)
{
	const struct ask_pending *k = &ask->u.pending;
	char hex[HEX_KEY_SIZE], fp[KEYS_FINGERPRINT_SIZE], ip[ADDR_TEXT_MAX];
	struct addr from = plain_addr(&k->from);
	const char *p[] = {hex, fp, NULL};

	hex_of(k->key, KEY_BYTES, hex);
	keys_fingerprint(k->key, fp);
	if (addr_family(&from) != AF_UNSPEC) {
		addr_format_ip(&from, ip);
		ip[strcspn(ip, "%")] = '\0';
		p[2] = ip;
	}
	return pgc_exec_params(
	           db,
	           "INSERT INTO twmesh_private.pending_node AS q (key, "
	           "fingerprint, address) SELECT $1::bytea, $2::text, $3::inet "
	           "WHERE "
	           "NOT EXISTS (SELECT FROM twmesh_private.node_key WHERE key "
	           "= $1::bytea) AND NOT EXISTS (SELECT FROM "
	           "twmesh_private.join_token WHERE key = $1::bytea) ON "
	           "CONFLICT (key) DO UPDATE SET last_seen_at "
	           "= now(), attempts = q.attempts + 1, address = "
	           "excluded.address",
	           3, p, NULL, err) &&
	       pgc_exec(db,
	                "DELETE FROM twmesh_private.pending_node WHERE key IN "
	                "(SELECT key FROM twmesh_private.pending_node ORDER BY "
	                "last_seen_at DESC OFFSET " PENDING_MAX ")",
	                err);
}
