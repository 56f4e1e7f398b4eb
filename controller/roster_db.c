/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/roster_db.h"
#include "controller/roster_priv.h"
#include "lib/base/log.h"

#include "lib/svc/classconf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_LIMIT 20000000 /* ids index arrays: 16 octets each */
#define TOKENS_MAX "4096" /* join tokens that may pass the handshake */
/* A result this much later than its interval, timeout and spread came from a
 * spool that had to wait. */
#define LATENESS_NS (30 * NS_PER_S)

void
known_clear(struct known *k)
{
	free(k->node);
	free(k->class_);
	*k = (struct known){.epoch = 0};
}

const struct known_node *
known_node(const struct known *k, uint32_t id)
{
	return id < k->node_size && k->node[id].slot ? &k->node[id] : NULL;
}

const struct known_class *
known_class(const struct known *k, uint32_t id)
{
	return id < k->class_size && k->class_[id].exists ? &k->class_[id]
	                                                  : NULL;
}

void
hex_of(const uint8_t *bytes, size_t n, char *out)
{
	out[0] = '\\';
	out[1] = 'x';
	for (size_t i = 0; i < n; i++)
		(void)snprintf(out + 2 + 2 * i, 3, "%02x", bytes[i]);
}

char *
dec_of(int64_t v, char out[24])
{
	(void)snprintf(out, 24, "%" PRId64, v);
	return out;
}

bool
roster_begin(struct pgc *db, struct pgc_err *err)
{
	if (!pgc_exec(db, "BEGIN", err))
		return false;
	if (pgc_exec(db,
	             "SELECT pg_advisory_xact_lock(hashtext('twmesh.roster'))",
	             err))
		return true;
	return roster_end(db, false, err);
}

bool
roster_end(struct pgc *db, bool ok, struct pgc_err *err)
{
	if (ok && pgc_exec(db, "COMMIT", err))
		return true;
	if (pgc_ok(db))
		(void)!pgc_exec(db, "ROLLBACK", NULL);
	return false;
}

bool
roster_changed(struct pgc *db, const char *reason, struct pgc_err *err)
{
	const char *why[] = {reason};

	if (!pgc_exec(db, "SELECT twmesh_private.plan_roster()", err))
		return false;
	return pgc_exec_params(
	    db,
	    "WITH e AS (INSERT INTO twmesh.epoch (epoch, reason) "
	    "SELECT coalesce(max(epoch), 0) + 1, $1::text FROM twmesh.epoch "
	    "RETURNING epoch) "
	    "SELECT pg_notify('twmesh_epoch', epoch::text) FROM e",
	    1, why, NULL, err);
}

bool
roster_db_attach(struct pgc *db, struct pgc_err *err)
{
	return pgc_exec(db, "LISTEN twmesh_epoch", err);
}

/* Fills epoch and newest_token. */
static bool
read_marks(struct pgc *db, struct known *k, struct pgc_err *err)
{
	struct pgc_rows *rows;
	int64_t e;

	if (!pgc_query(db,
	               "SELECT (SELECT max(epoch) FROM twmesh.epoch), (SELECT "
	               "max(token_id) FROM twmesh_private.join_token)",
	               0, NULL, &rows, err))
		return false;
	e = pgc_value_i64(rows, 0, 0, 0);
	k->epoch = e > 0 ? (uint64_t)e : 0;
	k->newest_token = pgc_value_i64(rows, 0, 1, 0);
	pgc_rows_free(rows);
	return true;
}

bool
roster_db_is_current(struct pgc *db, const struct known *known, bool *current,
                     struct pgc_err *err)
{
	struct known now = {.epoch = 0};

	if (!read_marks(db, &now, err))
		return false;
	*current = now.epoch == known->epoch &&
	           now.newest_token == known->newest_token;
	return true;
}

/* ---- classes ---- */

#define PACKETS_SAME                                                       \
	"family = $2::integer AND dscp = $3::integer AND size_octets = "   \
	"$4::integer AND gap_ns = $5::bigint AND schedule = $6::text AND " \
	"flows = "                                                         \
	"$7::integer"

/* One class as the configuration wants it; sets *changed. */
static bool
plan_class(struct pgc *db, const struct roster_class *c, bool *changed,
           struct pgc_err *err)
{
	/* automatic: plan_roster() knows how many nodes there are */
	const bool automatic = c->interval_ns == 0;
	char n[10][24];
	const char *p[] = {
	    c->name,
	    dec_of(c->family, n[0]),
	    dec_of(c->dscp, n[1]),
	    dec_of(c->size_octets, n[2]),
	    dec_of(c->gap_ns, n[3]),
	    c->schedule == SCHEDULE_POISSON ? "poisson" : "periodic",
	    dec_of(c->flows, n[4]),
	    dec_of(automatic ? CLASSCONF_AUTO_SMALL_MS
	                     : c->interval_ns / NS_PER_MS,
	           n[5]),
	    dec_of(c->loss_timeout_ns / NS_PER_MS, n[6]),
	    dec_of(c->ship_spread_ns / NS_PER_MS, n[7]),
	    c->detail ? "true" : "false",
	    c->codec == VOICE_NONE ? NULL : voice_codec_str(c->codec),
	    dec_of(c->jitter_buffer_ns / NS_PER_MS, n[8]),
	    automatic ? "true" : "false",
	};
	const char *tuning[] = {
	    p[0],  p[7],  p[8], p[9], automatic ? "true" : "false",
	    p[10], p[11], p[12]};
	long gone = 0, back = 0, made = 0, tuned = 0;

	/* Other packets under this name: retire them. */
	if (!pgc_exec_params(
	        db,
	        "UPDATE twmesh.class SET retired_at = now() WHERE "
	        "name = $1::text::text AND retired_at IS NULL AND NOT "
	        "(" PACKETS_SAME ")",
	        7, p, &gone, err))
		return false;
	/* The newest version sent just these packets: it comes back. */
	if (!pgc_exec_params(
	        db,
	        "UPDATE twmesh.class SET retired_at = NULL WHERE name = "
	        "$1::text "
	        "AND retired_at IS NOT NULL AND " PACKETS_SAME
	        " AND version = (SELECT max(version) FROM twmesh.class "
	        "WHERE name = $1::text::text) AND NOT EXISTS (SELECT FROM "
	        "twmesh.class "
	        "WHERE name = $1::text::text AND retired_at IS NULL)",
	        7, p, &back, err))
		return false;
	if (!pgc_exec_params(
	        db,
	        "INSERT INTO twmesh.class (name, version, family, dscp, "
	        "size_octets, gap_ns, schedule, flows, interval_ms, "
	        "loss_timeout_ms, ship_spread_ms, detail, codec, "
	        "jitter_buffer_ms, interval_auto) SELECT $1::text, "
	        "coalesce((SELECT max(version) FROM twmesh.class WHERE name = "
	        "$1::text), 0) + 1, $2::integer, $3::integer, $4::integer, "
	        "$5::bigint, $6::text, $7::integer, $8::integer, $9::integer, "
	        "$10::integer, $11::boolean, $12::text, $13::integer, "
	        "$14::boolean WHERE "
	        "NOT EXISTS (SELECT FROM twmesh.class "
	        "WHERE name = $1::text::text AND retired_at IS NULL)",
	        14, p, &made, err))
		return false;
	if (!pgc_exec_params(
	        db,
	        "UPDATE twmesh.class SET interval_auto = $5::boolean, "
	        "interval_ms = CASE WHEN $5::boolean THEN interval_ms ELSE "
	        "$2::integer END, loss_timeout_ms = "
	        "$3::integer, ship_spread_ms = $4::integer, detail = "
	        "$6::boolean, codec = $7::text, jitter_buffer_ms = "
	        "$8::integer WHERE name = $1::text "
	        "AND retired_at IS NULL AND (loss_timeout_ms <> $3::integer "
	        "OR ship_spread_ms <> $4::integer OR (NOT $5::boolean AND "
	        "interval_ms <> $2::integer) OR detail <> $6::boolean OR "
	        "interval_auto <> $5::boolean OR "
	        "codec IS DISTINCT FROM $7::text OR jitter_buffer_ms <> "
	        "$8::integer)",
	        8, tuning, &tuned, err))
		return false;
	*changed |= gone || back || made || tuned;
	return true;
}

static bool
plan_retire_others(struct pgc *db, const struct plan_opts *o, bool *changed,
                   struct pgc_err *err)
{
	char names[MSG_CLASSES_MAX * (NAME_MAX_CHARS + 1) + 2] = "{";
	const char *p[] = {names};
	size_t n = 1;
	long gone = 0;

	for (size_t i = 0; i < o->class_n && i < MSG_CLASSES_MAX; i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
		                      i ? "," : "", o->class_[i].name);
	(void)snprintf(names + n, sizeof(names) - n, "}");
	if (!pgc_exec_params(db,
	                     "UPDATE twmesh.class SET retired_at = now() WHERE "
	                     "retired_at IS NULL AND name <> ALL ($1::text[])",
	                     1, p, &gone, err))
		return false;
	if (gone > 0)
		log_warn("roster: %ld classes that this configuration does not "
		         "name are measured no more",
		         gone);
	*changed |= gone > 0;
	return true;
}

bool
roster_plan_classes(struct pgc *db, const struct plan_opts *o, bool *changed,
                    struct pgc_err *err)
{
	bool ok = plan_retire_others(db, o, changed, err);

	for (size_t i = 0; ok && i < o->class_n; i++)
		ok = plan_class(db, &o->class_[i], changed, err);
	return ok;
}

bool
roster_mesh_file(struct pgc *db, int64_t *epoch, struct pgc_err *err)
{
	return roster_query_id(db, "SELECT max(epoch) FROM twmesh.mesh_file", 0,
	                       NULL, epoch, err);
}

bool
roster_db_plan(struct pgc *db, const struct plan_opts *o, int64_t *mesh_file,
               struct pgc_err *err)
{
	bool changed = false;
	bool ok;

	if (!roster_begin(db, err))
		return false;
	ok = roster_mesh_file(db, mesh_file, err);
	if (ok && *mesh_file == 0)
		ok = roster_plan_classes(db, o, &changed, err);
	if (ok && changed)
		ok = roster_changed(db, "classes of the configuration", err);
	return roster_end(db, ok, err);
}

/* ---- loading ---- */

/* "a b c" -> addresses with the port. */
static size_t
parse_addresses(const char *text, uint16_t port, struct addr *out)
{
	size_t n = 0;

	while (text && *text && n < MSG_ADDRS_MAX) {
		char one[ADDR_TEXT_MAX];
		size_t len = strcspn(text, " ");

		if (len < sizeof(one)) {
			memcpy(one, text, len);
			one[len] = '\0';
			n += addr_parse_ip(one, port, &out[n]);
		}
		text += len + (text[len] == ' ');
	}
	return n;
}

static void
copy_name(char out[NAME_MAX_CHARS + 1], const char *text)
{
	(void)snprintf(out, NAME_MAX_CHARS + 1, "%s", text ? text : "");
}

/* Which meshes it is in, and as what. */
static void
load_plan(const struct pgc_rows *rows, int i, struct roster_node *r)
{
	const char *protocol = pgc_value(rows, i, 10);

	r->kind = !protocol                        ? NODE_TWMESH
	          : strcmp(protocol, "light") == 0 ? NODE_LIGHT
	                                           : NODE_STAMP;
	r->mesh = (uint64_t)pgc_value_i64(rows, i, 11, 0);
	r->hub = (uint64_t)pgc_value_i64(rows, i, 12, 0);
}

static bool
load_nodes(struct pgc *db, struct known *k, struct tell *t, struct pgc_err *err)
{
	struct pgc_rows *rows;
	size_t n, live = 0;

	if (!pgc_query(
	        db,
	        "SELECT n.node_id, n.slot, n.slot_generation, n.removed_at IS "
	        "NOT NULL, n.name, s.name, ARRAY_TO_STRING(ARRAY(SELECT "
	        "host(a) FROM unnest(n.addresses) a), ' '), "
	        "n.reflector_port, l.stopped_at IS NOT NULL, k.key, "
	        "n.protocol, n.mesh_mask, n.hub_mask "
	        "FROM twmesh.node n LEFT JOIN twmesh.site s USING (site_id) "
	        "LEFT JOIN twmesh_private.node_live l USING (node_id) "
	        "LEFT JOIN twmesh_private.node_key k USING (node_id) "
	        "ORDER BY n.node_id",
	        0, NULL, &rows, err))
		return false;
	n = (size_t)pgc_rows_n(rows);
	if (n > 0) {
		int64_t top = pgc_value_i64(rows, (int)n - 1, 0, 0);

		if (top > 0 && top < ID_LIMIT)
			k->node_size = (size_t)top + 1;
	}
	k->node = calloc(k->node_size + 1, sizeof(*k->node));
	t->u.roster.roster.node =
	    calloc(n + 1, sizeof(*t->u.roster.roster.node));
	t->u.roster.member = calloc(n + 1, sizeof(*t->u.roster.member));
	if (!k->node || !t->u.roster.roster.node || !t->u.roster.member) {
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		pgc_rows_free(rows);
		return false;
	}
	for (int i = 0; (size_t)i < n; i++) {
		int64_t id = pgc_value_i64(rows, i, 0, -1);
		struct roster_node *r = &t->u.roster.roster.node[live];
		struct member *m = &t->u.roster.member[t->u.roster.member_n];

		if (id < 1 || (size_t)id >= k->node_size)
			continue;
		k->node[id] =
		    (struct known_node){(int32_t)pgc_value_i64(rows, i, 1, 0),
		                        (int32_t)pgc_value_i64(rows, i, 2, 0),
		                        pgc_value_bool(rows, i, 3)};
		if (k->node[id].removed || live >= MSG_NODES_MAX)
			continue;
		r->node_id = (uint32_t)id;
		copy_name(r->name, pgc_value(rows, i, 4));
		copy_name(r->site, pgc_value(rows, i, 5));
		r->reflector_port = (uint16_t)pgc_value_i64(rows, i, 7, 862);
		r->address_n = parse_addresses(pgc_value(rows, i, 6),
		                               r->reflector_port, r->address);
		r->paused = pgc_value_bool(rows, i, 8);
		load_plan(rows, i, r);
		live++;
		if (pgc_value_bytes(rows, i, 9, m->key, KEY_BYTES)) {
			m->node_id = (uint32_t)id;
			copy_name(m->name, r->name);
			t->u.roster.member_n++;
		}
	}
	t->u.roster.roster.node_n = live;
	pgc_rows_free(rows);
	return true;
}

static void
load_class(const struct pgc_rows *rows, int i, struct roster_class *c)
{
	const char *schedule = pgc_value(rows, i, 7);

	c->class_id = (uint32_t)pgc_value_i64(rows, i, 0, 0);
	copy_name(c->name, pgc_value(rows, i, 1));
	c->version = (uint32_t)pgc_value_i64(rows, i, 2, 1);
	c->family = (int)pgc_value_i64(rows, i, 3, 0);
	c->dscp = (uint8_t)pgc_value_i64(rows, i, 4, 0);
	c->size_octets = (uint16_t)pgc_value_i64(rows, i, 5, 128);
	c->gap_ns = pgc_value_i64(rows, i, 6, NS_PER_S);
	c->schedule = schedule && strcmp(schedule, "poisson") == 0
	                  ? SCHEDULE_POISSON
	                  : SCHEDULE_PERIODIC;
	c->flows = (uint32_t)pgc_value_i64(rows, i, 8, 1);
	c->interval_ns = pgc_value_i64(rows, i, 9, 10000) * NS_PER_MS;
	c->loss_timeout_ns = pgc_value_i64(rows, i, 10, 2000) * NS_PER_MS;
	c->ship_spread_ns = pgc_value_i64(rows, i, 11, 0) * NS_PER_MS;
	c->detail = pgc_value_bool(rows, i, 13);
	c->codec = voice_codec_by_name(pgc_value(rows, i, 14));
	c->jitter_buffer_ns = pgc_value_i64(rows, i, 15, 0) * NS_PER_MS;
	c->mesh = (uint64_t)pgc_value_i64(rows, i, 16, 0);
}

static bool
load_classes(struct pgc *db, struct known *k, struct tell *t,
             struct pgc_err *err)
{
	struct pgc_rows *rows;
	struct roster *r = &t->u.roster.roster;
	int n;

	if (!pgc_query(db,
	               "SELECT class_id, name, version, family, dscp, "
	               "size_octets, gap_ns, schedule, flows, interval_ms, "
	               "loss_timeout_ms, ship_spread_ms, retired_at IS NOT "
	               "NULL, detail, codec, jitter_buffer_ms, mesh_mask, "
	               "hysteresis FROM twmesh.class ORDER BY class_id",
	               0, NULL, &rows, err))
		return false;
	n = pgc_rows_n(rows);
	if (n > 0) {
		int64_t top = pgc_value_i64(rows, n - 1, 0, 0);

		if (top > 0 && top < ID_LIMIT)
			k->class_size = (size_t)top + 1;
	}
	k->class_ = calloc(k->class_size + 1, sizeof(*k->class_));
	r->class_ = calloc((size_t)n + 1, sizeof(*r->class_));
	if (!k->class_ || !r->class_) {
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		pgc_rows_free(rows);
		return false;
	}
	for (int i = 0; i < n; i++) {
		struct roster_class *c = &r->class_[r->class_n];
		bool retired = pgc_value_bool(rows, i, 12);

		load_class(rows, i, c);
		if (c->class_id < 1 || c->class_id >= k->class_size)
			continue;
		k->class_[c->class_id] = (struct known_class){
		    true, retired,
		    c->loss_timeout_ns + c->ship_spread_ns + LATENESS_NS,
		    c->interval_ns, limits_default};
		k->class_[c->class_id].limits.hysteresis =
		    (int)pgc_value_i64(rows, i, 17, STATE_HYSTERESIS);
		if (!retired && r->class_n < MSG_CLASSES_MAX)
			r->class_n++;
	}
	pgc_rows_free(rows);
	return true;
}

static int
word_index(const char *word, const char *const *words, int n)
{
	for (int i = 0; i < n; i++) {
		if (word && strcmp(word, words[i]) == 0)
			return i;
	}
	return -1;
}

/* What the mesh file calls too much (twmesh.class_threshold). */
static bool
load_limits(struct pgc *db, struct known *k, struct pgc_err *err)
{
	static const char *const metrics[LIMIT_N] = {"loss_pct", "rtt_ms",
	                                             "jitter_ms", "delay_ms"};
	static const char *const overs[] = {"", "value", "floor plus",
	                                    "floor times"};
	struct pgc_rows *rows;

	if (!pgc_query(db,
	               "SELECT class_id, metric, level, over, value FROM "
	               "twmesh.class_threshold",
	               0, NULL, &rows, err))
		return false;
	for (int i = 0; i < pgc_rows_n(rows); i++) {
		const int64_t id = pgc_value_i64(rows, i, 0, 0);
		const int m =
		    word_index(pgc_value(rows, i, 1), metrics, LIMIT_N);
		const int over = word_index(pgc_value(rows, i, 3), overs, 4);
		struct limits *l;

		if (id < 1 || id >= (int64_t)k->class_size || m < 0 || over < 1)
			continue;
		l = &k->class_[id].limits;
		*(strcmp(pgc_value(rows, i, 2), "warn") == 0 ? &l->warn[m]
		                                             : &l->crit[m]) =
		    (struct limit){(enum limit_over)over,
		                   strtod(pgc_value(rows, i, 4), NULL)};
	}
	pgc_rows_free(rows);
	return true;
}

/* Those that ended lately too: they may pass, to be told why they may not
 * join. What is older is a stranger. */
static bool
load_tokens(struct pgc *db, struct tell *t, struct pgc_err *err)
{
	struct pgc_rows *rows;
	int n;

	if (!pgc_query(db,
	               "SELECT key FROM twmesh_private.join_token WHERE "
	               "least(revoked_at, expires_at, CASE WHEN uses >= "
	               "uses_max THEN last_used_at END) > now() - interval '7 "
	               "days' ORDER BY token_id DESC LIMIT " TOKENS_MAX,
	               0, NULL, &rows, err))
		return false;
	n = pgc_rows_n(rows);
	t->u.roster.token = calloc((size_t)n + 1, sizeof(*t->u.roster.token));
	if (!t->u.roster.token) {
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		pgc_rows_free(rows);
		return false;
	}
	for (int i = 0; i < n; i++) {
		struct token_key *k = &t->u.roster.token[t->u.roster.token_n];

		if (pgc_value_bytes(rows, i, 0, k->key, KEY_BYTES))
			t->u.roster.token_n++;
	}
	pgc_rows_free(rows);
	return true;
}

bool
roster_db_load(struct pgc *db, struct known *known, struct tell **tell,
               struct pgc_err *err)
{
	struct known k = {.epoch = 0};
	struct tell *t = calloc(1, sizeof(*t));
	int64_t mesh_file = 0;
	bool ok;

	if (!t) {
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return false;
	}
	t->kind = TELL_ROSTER;
	ok = pgc_exec(db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	              err) &&
	     read_marks(db, &k, err) && roster_mesh_file(db, &mesh_file, err) &&
	     load_nodes(db, &k, t, err) && load_classes(db, &k, t, err) &&
	     load_limits(db, &k, err) && load_tokens(db, t, err);
	if (!roster_end(db, ok, err)) {
		known_clear(&k);
		tell_free(t);
		return false;
	}
	t->u.roster.roster.epoch = k.epoch;
	t->u.roster.roster.planned = mesh_file != 0;
	k.mesh_file = mesh_file;
	known_clear(known);
	*known = k;
	*tell = t;
	return true;
}
