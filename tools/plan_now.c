/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/plan.h"

#include "lib/base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 100000
#define EVERYONE "everyone" /* the mesh of a controller without a mesh file */

static bool
fail(char *err, const char *field, const char *expected)
{
	(void)snprintf(err, PLAN_ERR_MAX, "%s: expected %s", field, expected);
	return false;
}

static bool
get_int(json_t *o, const char *key, int64_t min, int64_t max, int64_t *out)
{
	json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < min ||
	    json_integer_value(v) > max)
		return false;
	*out = json_integer_value(v);
	return true;
}

static void
get_text(json_t *o, const char *key, char *out, size_t size)
{
	const char *v = json_string_value(json_object_get(o, key));

	(void)snprintf(out, size, "%s", v ? v : "");
}

static bool
get_name(json_t *o, const char *key, char out[NAME_MAX_CHARS + 1])
{
	const char *v = json_string_value(json_object_get(o, key));

	if (!v || !name_is_valid(v))
		return false;
	memcpy(out, v, strlen(v) + 1);
	return true;
}

/* ---- classes ---- */

static bool
read_class(json_t *o, struct plan_version *out)
{
	struct classconf *c = &out->conf;
	int64_t family, dscp, size, flows, interval, timeout, spread, buffer;

	if (!get_name(o, "name", c->name) ||
	    !get_int(o, "version", 1, INT32_MAX, &out->version) ||
	    !get_int(o, "family", 0, 6, &family) ||
	    !get_int(o, "dscp", 0, 63, &dscp) ||
	    !get_int(o, "size", 14, UINT16_MAX, &size) ||
	    !get_int(o, "gap_ns", 1, INT64_MAX, &c->gap_ns) ||
	    !get_int(o, "flows", 1, 64, &flows) ||
	    !get_int(o, "interval_ms", 1, INT32_MAX, &interval) ||
	    !get_int(o, "loss_timeout_ms", 1, INT32_MAX, &timeout) ||
	    !get_int(o, "ship_spread_ms", 0, INT32_MAX, &spread) ||
	    !get_int(o, "jitter_buffer_ms", 0, INT32_MAX, &buffer))
		return false;
	out->running = json_is_true(json_object_get(o, "running"));
	c->family = (int)family;
	c->dscp = (uint8_t)dscp;
	c->size_octets = (uint16_t)size;
	c->flows = (uint32_t)flows;
	c->interval_ns = json_is_true(json_object_get(o, "interval_auto"))
	                     ? 0
	                     : interval * NS_PER_MS;
	c->loss_timeout_ns = timeout * NS_PER_MS;
	c->ship_spread_ns = spread * NS_PER_MS;
	c->jitter_buffer_ns = buffer * NS_PER_MS;
	c->detail = json_is_true(json_object_get(o, "detail"));
	c->codec =
	    voice_codec_by_name(json_string_value(json_object_get(o, "codec")));
	c->poisson = json_is_string(json_object_get(o, "schedule")) &&
	             strcmp(json_string_value(json_object_get(o, "schedule")),
	                    "poisson") == 0;
	c->hysteresis = 2;
	return true;
}

static bool
read_classes(json_t *root, struct plan_now *out, char *err)
{
	json_t *list = json_object_get(root, "classes");
	const size_t n = json_array_size(list);

	if (!json_is_array(list) || n > LIST_MAX)
		return fail(err, "classes", "an array of at most 100,000");
	out->version = calloc(n + 1, sizeof(*out->version));
	if (!out->version)
		return fail(err, "memory", "more");
	for (size_t i = 0; i < n; i++) {
		if (!read_class(json_array_get(list, i), &out->version[i]))
			return fail(err, "classes[]",
			            "a class with name, version and packets");
	}
	out->version_n = n;
	return true;
}

/* ---- nodes ---- */

static bool
read_nodes(json_t *root, struct plan_now *out, char *err)
{
	json_t *list = json_object_get(root, "nodes");
	const size_t n = json_array_size(list);

	if (!json_is_array(list) || n > LIST_MAX)
		return fail(err, "nodes", "an array of at most 100,000");
	out->joined = calloc(n + 1, sizeof(*out->joined));
	if (!out->joined)
		return fail(err, "memory", "more");
	for (size_t i = 0; i < n; i++) {
		json_t *o = json_array_get(list, i);

		if (!get_name(o, "name", out->joined[i].name))
			return fail(err, "nodes[].name",
			            "a name (" NAME_RULE ")");
		out->joined[i].joined =
		    json_is_true(json_object_get(o, "joined"));
	}
	out->joined_n = n;
	return true;
}

bool
plan_has_joined(const struct plan_now *n, const char *name)
{
	for (size_t i = 0; i < n->joined_n; i++) {
		if (n->joined[i].joined && strcmp(n->joined[i].name, name) == 0)
			return true;
	}
	return false;
}

/* ---- what runs, as if a file said it ---- */

static bool
everyone(struct meshfile *f)
{
	struct mf_mesh *m;

	f->mesh = calloc(1, sizeof(*f->mesh));
	if (!f->mesh)
		return false;
	m = f->mesh;
	f->mesh_n = 1;
	(void)snprintf(m->name, sizeof(m->name), EVERYONE);
	m->member = calloc(f->node_n + 1, sizeof(*m->member));
	m->hub = calloc(f->node_n + 1, sizeof(*m->hub));
	if (!m->member || !m->hub)
		return false;
	for (size_t i = 0; i < f->node_n; i++) {
		m->member[i] = (uint32_t)i;
		m->hub[i] = true;
	}
	m->member_n = f->node_n;
	for (size_t i = 0; i < f->class_n; i++)
		m->classes |= UINT64_C(1) << i;
	return true;
}

static struct meshfile *
running_plan(json_t *root, const struct plan_now *now)
{
	json_t *list = json_object_get(root, "nodes");
	struct meshfile *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->node = calloc(now->joined_n + 1, sizeof(*f->node));
	f->class_ = calloc(now->version_n + 1, sizeof(*f->class_));
	if (!f->node || !f->class_) {
		meshfile_free(f);
		return NULL;
	}
	for (size_t i = 0; i < now->joined_n; i++) {
		struct mf_node *n = &f->node[f->node_n++];

		memcpy(n->name, now->joined[i].name, sizeof(n->name));
		(void)!get_name(json_array_get(list, i), "site", n->site);
	}
	for (size_t i = 0;
	     i < now->version_n && f->class_n < MESHFILE_CLASSES_MAX; i++) {
		if (now->version[i].running)
			f->class_[f->class_n++] = now->version[i].conf;
	}
	if (everyone(f))
		return f;
	meshfile_free(f);
	return NULL;
}

static bool
read_force(json_t *root, struct plan_now *out, char *err)
{
	const char *text = json_string_value(json_object_get(root, "content"));
	char *said = NULL;
	size_t len = 0;
	FILE *f;

	if (out->base == 0) {
		out->force = running_plan(root, out);
		return out->force || fail(err, "memory", "more");
	}
	f = text ? open_memstream(&said, &len) : NULL;
	if (f) {
		out->force = meshfile_parse("content", text, f);
		(void)fclose(f);
	}
	free(said);
	return out->force || fail(err, "content", "a mesh file");
}

bool
plan_now_read(json_t *root, struct plan_now *out, char *err)
{
	struct plan_now n = {.epoch = 0};
	bool ok = (get_int(root, "epoch", 0, INT64_MAX, &n.epoch) &&
	           get_int(root, "base", 0, INT64_MAX, &n.base)) ||
	          fail(err, "epoch, base", "integers");

	get_text(root, "applied_at", n.applied_at, sizeof(n.applied_at));
	get_text(root, "applied_by", n.applied_by, sizeof(n.applied_by));
	ok = ok && read_classes(root, &n, err) && read_nodes(root, &n, err) &&
	     read_force(root, &n, err);
	if (ok)
		*out = n;
	else
		plan_now_clear(&n);
	return ok;
}

void
plan_now_clear(struct plan_now *n)
{
	meshfile_free(n->force);
	free(n->joined);
	free(n->version);
	memset(n, 0, sizeof(*n));
}
