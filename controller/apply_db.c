/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/apply_db.h"

#include "controller/config.h"
#include "controller/roster_priv.h"
#include "lib/svc/meshfile.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the file as a document for SQL ---- */

/* "" becomes null. */
static json_t *
name_or_null(const char *name)
{
	return *name ? json_string(name) : json_null();
}

static json_t *
degrees(double d)
{
	return isnan(d) ? json_null() : json_real(d);
}

static json_t *
sites_json(const struct meshfile *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->site_n; i++) {
		const struct mf_site *s = &f->site[i];

		(void)json_array_append_new(
		    list, json_pack("{s:s, s:o, s:o, s:o}", "name", s->name,
		                    "latitude", degrees(s->latitude),
		                    "longitude", degrees(s->longitude),
		                    "group_name", name_or_null(s->group)));
	}
	return list;
}

static json_t *
node_json(const struct mf_node *n)
{
	const bool target = n->protocol != MF_NODE;
	json_t *o =
	    json_pack("{s:s, s:s, s:o, s:o}", "name", n->name, "kind",
	              target ? "target" : "node", "site", name_or_null(n->site),
	              "group_name", name_or_null(n->group));
	char ip[ADDR_TEXT_MAX];

	if (!target)
		return o;
	(void)json_object_set_new(o, "protocol",
	                          json_string(mf_protocol_str(n->protocol)));
	(void)json_object_set_new(o, "address",
	                          json_string(addr_format_ip(&n->address, ip)));
	(void)json_object_set_new(o, "port",
	                          json_integer(addr_port(&n->address)));
	return o;
}

static json_t *
nodes_json(const struct meshfile *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->node_n; i++)
		(void)json_array_append_new(list, node_json(&f->node[i]));
	return list;
}

static json_t *
mesh_json(const struct meshfile *f, const struct mf_mesh *m)
{
	json_t *members = json_array(), *classes = json_array();

	for (size_t i = 0; i < m->member_n; i++)
		(void)json_array_append_new(
		    members,
		    json_pack("{s:s, s:b}", "name", f->node[m->member[i]].name,
		              "hub", (int)m->hub[i]));
	for (size_t i = 0; i < f->class_n; i++) {
		if (m->classes >> i & 1)
			(void)json_array_append_new(
			    classes, json_string(f->class_[i].name));
	}
	return json_pack("{s:s, s:s, s:o, s:o}", "name", m->name, "type",
	                 m->hub_and_spoke ? "hub" : "full", "members", members,
	                 "classes", classes);
}

static json_t *
meshes_json(const struct meshfile *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->mesh_n; i++)
		(void)json_array_append_new(list, mesh_json(f, &f->mesh[i]));
	return list;
}

static void
add_thresholds(json_t *list, const struct classconf *c)
{
	for (unsigned l = 0; l < THRESHOLD_LEVELS; l++) {
		for (unsigned m = 0; m < THRESHOLD_METRICS; m++) {
			const struct threshold *t = &c->threshold[l][m];

			if (t->over == THRESHOLD_NONE)
				continue;
			(void)json_array_append_new(
			    list,
			    json_pack(
			        "{s:s, s:s, s:s, s:s, s:f}", "class", c->name,
			        "level",
			        threshold_level_str((enum threshold_level)l),
			        "metric",
			        threshold_metric_str((enum threshold_metric)m),
			        "over", threshold_over_str(t->over), "value",
			        t->value));
		}
	}
}

/* malloc'd; NULL: out of memory. */
static char *
document(const struct meshfile *f)
{
	json_t *thresholds = json_array(), *classes = json_array(), *doc;
	char *text;

	for (size_t i = 0; i < f->class_n; i++) {
		add_thresholds(thresholds, &f->class_[i]);
		(void)json_array_append_new(
		    classes,
		    json_pack("{s:s, s:i}", "name", f->class_[i].name,
		              "hysteresis", (int)f->class_[i].hysteresis));
	}
	doc = json_pack("{s:o, s:o, s:o, s:o, s:o}", "sites", sites_json(f),
	                "nodes", nodes_json(f), "meshes", meshes_json(f),
	                "thresholds", thresholds, "classes", classes);
	text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	json_decref(doc);
	return text;
}

/* ---- applying ---- */

/* Is the base that the operator saw still what is in force? */
static bool
base_is_current(struct pgc *db, const struct ask_apply *a, struct tell *answer,
                bool *current, struct pgc_err *err)
{
	struct pgc_rows *rows;
	const char *by, *at;
	int64_t epoch;

	if (!pgc_query(db,
	               "SELECT epoch, applied_by, twmesh.utc_text(applied_at) "
	               "FROM twmesh.mesh_file ORDER BY epoch DESC LIMIT 1",
	               0, NULL, &rows, err))
		return false;
	epoch = pgc_value_i64(rows, 0, 0, 0);
	by = pgc_value(rows, 0, 1);
	at = pgc_value(rows, 0, 2);
	*current = epoch == a->base;
	if (!*current)
		roster_refuse(answer, 409,
		              "the mesh file in force is that of epoch %" PRId64
		              " (applied by %.60s at %s), not %" PRId64
		              ": run twmesh plan again",
		              epoch, by ? by : "nobody", at ? at : "-",
		              a->base);
	pgc_rows_free(rows);
	return true;
}

/* A target cannot have the name of a node that is in. */
static bool
names_are_free(struct pgc *db, const char *doc, struct tell *answer,
               bool *are_free, struct pgc_err *err)
{
	const char *p[] = {doc};
	char *names = NULL;

	if (!pgc_query_text(
	        db,
	        "SELECT string_agg(n.name::text, ', ' ORDER BY n.name) FROM "
	        "twmesh.node n JOIN twmesh_private.node_key k USING (node_id) "
	        "JOIN jsonb_to_recordset($1::jsonb->'nodes') AS x (name text, "
	        "kind text) ON x.name = n.name::text WHERE n.removed_at IS "
	        "NULL AND x.kind = 'target'",
	        1, p, &names, err))
		return false;
	*are_free = names == NULL;
	if (names)
		roster_refuse(answer, 409,
		              "targets: expected names that no node has, found "
		              "%.150s: remove those nodes first",
		              names);
	free(names);
	return true;
}

static bool
is_in_force(struct pgc *db, const char *content, bool *same,
            struct pgc_err *err)
{
	const char *p[] = {content};
	int64_t yes;

	if (!roster_query_id(
	        db,
	        "SELECT 1 FROM (SELECT content FROM twmesh.mesh_file ORDER BY "
	        "epoch DESC LIMIT 1) f WHERE content = $1::text",
	        1, p, &yes, err))
		return false;
	*same = yes != 0;
	return true;
}

static bool
plan_classes(struct pgc *db, const struct meshfile *f, struct pgc_err *err)
{
	struct roster_class *list = calloc(f->class_n + 1, sizeof(*list));
	struct plan_opts o = {list, f->class_n};
	bool changed = false, ok;

	if (!list) {
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return false;
	}
	for (size_t i = 0; i < f->class_n; i++)
		list[i] = config_class(&f->class_[i]);
	ok = roster_plan_classes(db, &o, &changed, err);
	free(list);
	return ok;
}

/* Did every name get its slot? */
static bool
all_have_slots(struct pgc *db, struct tell *answer, bool *all,
               struct pgc_err *err)
{
	int64_t n;

	if (!roster_query_id(
	        db,
	        "SELECT count(*) FROM twmesh.planned_node p WHERE NOT EXISTS "
	        "(SELECT FROM twmesh.node n WHERE n.name = p.name AND "
	        "n.removed_at IS NULL)",
	        0, NULL, &n, err))
		return false;
	*all = n == 0;
	if (n)
		roster_refuse(answer, 409,
		              "the mesh would be full: at most 4,096 nodes and "
		              "targets, with those that are in and not in the "
		              "file; %" PRId64 " more",
		              n);
	return true;
}

static bool
put_in_force(struct pgc *db, const struct ask_apply *a, const char *doc,
             struct tell *answer, bool *done, struct pgc_err *err)
{
	char reason[REASON_MAX];
	const char *p[] = {a->file->text, a->by}, *d[] = {doc};

	(void)snprintf(reason, sizeof(reason), "mesh file applied by %.60s",
	               a->by);
	/* Its epoch is the one that roster_changed() makes: both are in this
	 * transaction, under the roster's lock. */
	if (!pgc_exec_params(db,
	                     "SELECT twmesh_private.apply_mesh_file($1::jsonb)",
	                     1, d, NULL, err) ||
	    !plan_classes(db, a->file, err) ||
	    !pgc_exec_params(
	        db, "SELECT twmesh_private.apply_thresholds($1::jsonb)", 1, d,
	        NULL, err) ||
	    !roster_query_id(
	        db,
	        "INSERT INTO twmesh.mesh_file (epoch, content, applied_by) "
	        "SELECT coalesce(max(epoch), 0) + 1, $1::text, $2::text FROM "
	        "twmesh.epoch RETURNING epoch",
	        2, p, &answer->u.admin.epoch, err) ||
	    !roster_changed(db, reason, err) ||
	    !all_have_slots(db, answer, done, err))
		return false;
	answer->u.admin.changed = true;
	return true;
}

/* Within the transaction; *done: it is to be committed. */
static bool
apply(struct pgc *db, const struct ask_apply *a, const char *doc,
      struct tell *answer, bool *done, struct pgc_err *err)
{
	bool ok, same;

	*done = false;
	if (!base_is_current(db, a, answer, &ok, err))
		return false;
	if (!ok)
		return true;
	if (!is_in_force(db, a->file->text, &same, err))
		return false;
	if (same) {
		answer->u.admin.epoch = a->base;
		answer->u.admin.status = 200;
		return true;
	}
	if (!names_are_free(db, doc, answer, &ok, err))
		return false;
	if (!ok)
		return true;
	if (!put_in_force(db, a, doc, answer, done, err))
		return false;
	if (*done)
		answer->u.admin.status = 200;
	return true;
}

bool
apply_db(struct pgc *db, const struct ask *ask, struct tell *answer,
         struct pgc_err *err)
{
	const struct ask_apply *a = &ask->u.apply;
	char *doc = document(a->file);
	bool done = false, ok = false;

	roster_admin_init(answer, ask, "");
	if (!doc) {
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return false;
	}
	if (roster_begin(db, err)) {
		ok = apply(db, a, doc, answer, &done, err);
		if (ok && !done)
			ok = pgc_exec(db, "ROLLBACK", err);
		else
			ok = roster_end(db, ok, err);
	}
	free(doc);
	return ok;
}

/* ---- maintenance ---- */

static bool
switch_off(struct pgc *db, const char *node_id, long *n, struct pgc_err *err)
{
	const char *p[] = {node_id};

	return pgc_exec_params(
	    db,
	    "UPDATE twmesh.maintenance SET ended_at = now() WHERE node_id = "
	    "$1::integer AND ended_at IS NULL AND (until_at IS NULL OR "
	    "until_at > now())",
	    1, p, n, err);
}

static bool
switch_on(struct pgc *db, const struct ask_maintenance *m, const char *node_id,
          struct tell *answer, struct pgc_err *err)
{
	char for_s[24];
	const char *p[] = {node_id, m->until[0] ? m->until : NULL,
	                   m->for_s ? dec_of(m->for_s, for_s) : NULL, m->reason,
	                   m->by};
	struct pgc_rows *rows;
	const char *until;
	long n;

	if (!switch_off(db, node_id, &n, err) ||
	    !pgc_query(db,
	               "INSERT INTO twmesh.maintenance (node_id, until_at, "
	               "reason, set_by) SELECT $1::integer, u, $4::text, "
	               "$5::text FROM (SELECT coalesce($2::timestamptz, now() "
	               "+ $3::double precision * interval '1 s') AS u) x WHERE "
	               "u IS NULL OR u > now() RETURNING node_id, "
	               "twmesh.iso_utc(until_at)",
	               5, p, &rows, err))
		return false;
	until = pgc_value(rows, 0, 1);
	(void)snprintf(answer->u.admin.expires_at,
	               sizeof(answer->u.admin.expires_at), "%s",
	               until ? until : "");
	if (pgc_rows_n(rows) == 0)
		roster_refuse(answer, 400,
		              "until: expected an instant to come, found %s",
		              m->until);
	pgc_rows_free(rows);
	return true;
}

static bool
maintain(struct pgc *db, const struct ask_maintenance *m, struct tell *answer,
         struct pgc_err *err)
{
	struct node_row node;
	char id[24];
	long n = 0;

	if (!roster_node_by_name(db, m->name, &node, err))
		return false;
	if (!node.id) {
		roster_refuse(answer, 404, "there is no node '%s'", m->name);
		return true;
	}
	answer->u.admin.node_id = (uint32_t)node.id;
	answer->u.admin.status = 200;
	answer->u.admin.changed = m->on;
	dec_of(node.id, id);
	if (m->on)
		return switch_on(db, m, id, answer, err);
	if (!switch_off(db, id, &n, err))
		return false;
	if (n == 0)
		roster_refuse(answer, 409, "'%s' is in no maintenance",
		              m->name);
	return true;
}

bool
maintenance_db(struct pgc *db, const struct ask *ask, struct tell *answer,
               struct pgc_err *err)
{
	bool ok;

	roster_admin_init(answer, ask, ask->u.maintenance.name);
	if (!roster_begin(db, err))
		return false;
	ok = maintain(db, &ask->u.maintenance, answer, err);
	if (ok && answer->u.admin.status != 200)
		return pgc_exec(db, "ROLLBACK", err);
	return roster_end(db, ok, err);
}
