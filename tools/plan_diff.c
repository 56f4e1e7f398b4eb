/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/plan.h"

#include "lib/base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_SHOWN 8

/* What is said of one change: parts with "; " between. */
struct words {
	char *text; /* owned */
	size_t len;
	FILE *f;
	unsigned n;
};

static void
words_open(struct words *w)
{
	*w = (struct words){.text = NULL};
	w->f = open_memstream(&w->text, &w->len);
}

static void say(struct words *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
say(struct words *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->f)
		return;
	(void)fputs(w->n++ ? "; " : "", w->f);
	va_start(ap, fmt);
	(void)vfprintf(w->f, fmt, ap);
	va_end(ap);
}

/* Takes the words over. */
static void
add(struct plan_diff *d, char op, const char *kind, const char *name,
    struct words *w)
{
	struct plan_change *more =
	    reallocarray(d->change, d->n + 1, sizeof(*more));

	if (w->f)
		(void)fclose(w->f);
	if (more)
		d->change = more;
	if (!more || !w->text) {
		d->failed = true;
		free(w->text);
		return;
	}
	d->change[d->n++] = (struct plan_change){op, kind, name, w->text};
}

/* Only if something was said. */
static void
add_changed(struct plan_diff *d, const char *kind, const char *name,
            struct words *w)
{
	if (w->n > 0) {
		add(d, '~', kind, name, w);
		return;
	}
	if (w->f)
		(void)fclose(w->f);
	free(w->text);
}

static void
add_plain(struct plan_diff *d, char op, const char *kind, const char *name)
{
	struct words w;

	words_open(&w);
	add(d, op, kind, name, &w);
}

static void
say_text(struct words *w, const char *what, const char *a, const char *b)
{
	if (strcmp(a, b) != 0)
		say(w, "%s %s -> %s", what, *a ? a : "none", *b ? b : "none");
}

/* ---- sites ---- */

static const struct mf_site *
find_site(const struct meshfile *f, const char *name)
{
	for (size_t i = 0; i < f->site_n; i++) {
		if (strcmp(f->site[i].name, name) == 0)
			return &f->site[i];
	}
	return NULL;
}

static void
say_degrees(struct words *w, const char *what, double a, double b)
{
	if (isnan(a) && isnan(b))
		return;
	if (isnan(a))
		say(w, "%s none -> %.9g", what, b);
	else if (isnan(b))
		say(w, "%s %.9g -> none", what, a);
	else if (a != b)
		say(w, "%s %.9g -> %.9g", what, a, b);
}

static void
diff_sites(const struct meshfile *a, const struct meshfile *b,
           struct plan_diff *d)
{
	for (size_t i = 0; i < b->site_n; i++) {
		const struct mf_site *new = &b->site[i];
		const struct mf_site *old = find_site(a, new->name);
		struct words w;

		words_open(&w);
		if (!old) {
			add(d, '+', "site", new->name, &w);
			continue;
		}
		say_degrees(&w, "latitude", old->latitude, new->latitude);
		say_degrees(&w, "longitude", old->longitude, new->longitude);
		say_text(&w, "group", old->group, new->group);
		add_changed(d, "site", new->name, &w);
	}
	for (size_t i = 0; i < a->site_n; i++) {
		if (!find_site(b, a->site[i].name))
			add_plain(d, '-', "site", a->site[i].name);
	}
}

/* ---- nodes and targets ---- */

static const char *
kind_of(const struct mf_node *n)
{
	return n->protocol == MF_NODE ? "node" : "target";
}

static const struct mf_node *
find_node(const struct meshfile *f, const char *name, bool target)
{
	for (size_t i = 0; i < f->node_n; i++) {
		if (strcmp(f->node[i].name, name) == 0 &&
		    (f->node[i].protocol != MF_NODE) == target)
			return &f->node[i];
	}
	return NULL;
}

static void
say_node(struct words *w, const struct mf_node *old, const struct mf_node *new,
         bool first_file)
{
	char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];

	/* Without a file the site is what the node says itself. */
	if (!first_file || new->site[0])
		say_text(w, "site", old->site, new->site);
	say_text(w, "group", old->group, new->group);
	if (new->protocol == MF_NODE)
		return;
	say_text(w, "address", addr_format(&old->address, a),
	         addr_format(&new->address, b));
	say_text(w, "protocol", mf_protocol_str(old->protocol),
	         mf_protocol_str(new->protocol));
}

static void
diff_nodes(const struct plan_now *now, const struct meshfile *b,
           struct plan_diff *d)
{
	const struct meshfile *a = now->force;

	for (size_t i = 0; i < b->node_n; i++) {
		const struct mf_node *new = &b->node[i];
		const struct mf_node *old =
		    find_node(a, new->name, new->protocol != MF_NODE);
		struct words w;

		words_open(&w);
		if (old) {
			say_node(&w, old, new, now->base == 0);
			add_changed(d, kind_of(new), new->name, &w);
			continue;
		}
		if (new->protocol == MF_NODE &&
		    !plan_has_joined(now, new->name))
			say(&w, "has not joined yet");
		add(d, '+', kind_of(new), new->name, &w);
	}
	for (size_t i = 0; i < a->node_n; i++) {
		const struct mf_node *old = &a->node[i];
		struct words w;

		if (find_node(b, old->name, old->protocol != MF_NODE))
			continue;
		words_open(&w);
		if (old->protocol == MF_NODE && plan_has_joined(now, old->name))
			say(&w, "stays, in no mesh: nobody measures it");
		add(d, '-', kind_of(old), old->name, &w);
	}
}

/* ---- classes ---- */

static bool
packets_same(const struct classconf *a, const struct classconf *b)
{
	return a->family == b->family && a->dscp == b->dscp &&
	       a->size_octets == b->size_octets && a->gap_ns == b->gap_ns &&
	       a->poisson == b->poisson && a->flows == b->flows;
}

static const struct classconf *
find_class(const struct meshfile *f, const char *name)
{
	for (size_t i = 0; i < f->class_n; i++) {
		if (strcmp(f->class_[i].name, name) == 0)
			return &f->class_[i];
	}
	return NULL;
}

/* As roster_db.c will do it. */
static void
say_version(struct words *w, const struct plan_now *now,
            const struct classconf *c)
{
	for (size_t i = 0; i < now->version_n; i++) {
		const struct plan_version *v = &now->version[i];

		if (strcmp(v->conf.name, c->name) != 0)
			continue;
		if (!packets_same(&v->conf, c))
			say(w, "other packets: version %" PRId64,
			    v->version + 1);
		else if (!v->running)
			say(w, "version %" PRId64 " comes back", v->version);
		return;
	}
	say(w, "version 1");
}

static void
say_int(struct words *w, const char *what, int64_t a, int64_t b)
{
	if (a != b)
		say(w, "%s %" PRId64 " -> %" PRId64, what, a, b);
}

/* Of durations, which are whole milliseconds. */
static void
say_ms(struct words *w, const char *what, int64_t a_ns, int64_t b_ns)
{
	if (a_ns != b_ns)
		say(w, "%s %.9g s -> %.9g s", what, (double)a_ns / 1e9,
		    (double)b_ns / 1e9);
}

static void
say_packets(struct words *w, const struct classconf *a,
            const struct classconf *b)
{
	say_int(w, "family", a->family, b->family);
	say_int(w, "dscp", a->dscp, b->dscp);
	say_int(w, "size", a->size_octets, b->size_octets);
	if (a->gap_ns != b->gap_ns)
		say(w, "rate %.6g -> %.6g", 1e9 / (double)a->gap_ns,
		    1e9 / (double)b->gap_ns);
	say_text(w, "schedule", a->poisson ? "poisson" : "periodic",
	         b->poisson ? "poisson" : "periodic");
	say_int(w, "flows", a->flows, b->flows);
}

static void
say_reports(struct words *w, const struct classconf *a,
            const struct classconf *b)
{
	if (a->interval_ns && b->interval_ns)
		say_ms(w, "interval", a->interval_ns, b->interval_ns);
	else if (a->interval_ns != b->interval_ns)
		say(w, "interval %s",
		    b->interval_ns ? "no longer automatic" : "automatic");
	say_ms(w, "loss_timeout", a->loss_timeout_ns, b->loss_timeout_ns);
	say_ms(w, "ship_spread", a->ship_spread_ns, b->ship_spread_ns);
	say_text(w, "detail", a->detail ? "true" : "false",
	         b->detail ? "true" : "false");
	say_text(w, "codec", voice_codec_str(a->codec),
	         voice_codec_str(b->codec));
	say_ms(w, "jitter_buffer", a->jitter_buffer_ns, b->jitter_buffer_ns);
}

static void
say_thresholds(struct words *w, const struct classconf *a,
               const struct classconf *b)
{
	for (unsigned l = 0; l < THRESHOLD_LEVELS; l++) {
		for (unsigned i = 0; i < THRESHOLD_METRICS; i++) {
			const enum threshold_metric m =
			    (enum threshold_metric)i;
			char what[32], x[THRESHOLD_TEXT_MAX],
			    y[THRESHOLD_TEXT_MAX];

			(void)snprintf(
			    what, sizeof(what), "%s %s",
			    threshold_level_str((enum threshold_level)l),
			    threshold_metric_str(m));
			say_text(w, what,
			         threshold_format(&a->threshold[l][i], m, x),
			         threshold_format(&b->threshold[l][i], m, y));
		}
	}
	say_int(w, "hysteresis", a->hysteresis, b->hysteresis);
}

static void
diff_classes(const struct plan_now *now, const struct meshfile *b,
             struct plan_diff *d)
{
	const struct meshfile *a = now->force;

	for (size_t i = 0; i < b->class_n; i++) {
		const struct classconf *new = &b->class_[i];
		const struct classconf *old = find_class(a, new->name);
		struct words w;

		words_open(&w);
		if (!old) {
			say_version(&w, now, new);
			add(d, '+', "class", new->name, &w);
			continue;
		}
		say_packets(&w, old, new);
		say_reports(&w, old, new);
		say_thresholds(&w, old, new);
		if (!packets_same(old, new))
			say_version(&w, now, new);
		add_changed(d, "class", new->name, &w);
	}
	for (size_t i = 0; i < a->class_n; i++) {
		if (!find_class(b, a->class_[i].name))
			add_plain(d, '-', "class", a->class_[i].name);
	}
}

/* ---- meshes ---- */

static const struct mf_mesh *
find_mesh(const struct meshfile *f, const char *name)
{
	for (size_t i = 0; i < f->mesh_n; i++) {
		if (strcmp(f->mesh[i].name, name) == 0)
			return &f->mesh[i];
	}
	return NULL;
}

/* Has the mesh a member of the name (as a hub)? */
static bool
has_member(const struct meshfile *f, const struct mf_mesh *m, const char *name,
           bool hub)
{
	for (size_t i = 0; i < m->member_n; i++) {
		if (strcmp(f->node[m->member[i]].name, name) == 0)
			return !hub || m->hub[i];
	}
	return false;
}

/* Members (or hubs) of one that the other has not. */
static void
say_members(struct words *w, const char *what, const struct meshfile *f,
            const struct mf_mesh *m, const struct meshfile *other,
            const struct mf_mesh *than, bool hubs)
{
	unsigned n = 0;

	for (size_t i = 0; i < m->member_n; i++) {
		const char *name = f->node[m->member[i]].name;

		if ((hubs && !m->hub[i]) || has_member(other, than, name, hubs))
			continue;
		if (n == 0)
			say(w, "%s %s", what, name);
		else if (n < NAMES_SHOWN && w->f)
			(void)fprintf(w->f, ", %s", name);
		n++;
	}
	if (n > NAMES_SHOWN && w->f)
		(void)fprintf(w->f, " and %u more", n - NAMES_SHOWN);
}

static void
say_mesh_classes(struct words *w, const char *what, const struct meshfile *f,
                 const struct mf_mesh *m, const struct meshfile *other,
                 const struct mf_mesh *than)
{
	for (size_t i = 0; i < f->class_n; i++) {
		bool has = false;

		if (!(m->classes >> i & 1))
			continue;
		for (size_t k = 0; k < other->class_n; k++)
			has |= (than->classes >> k & 1) &&
			       strcmp(other->class_[k].name,
			              f->class_[i].name) == 0;
		if (!has)
			say(w, "%s %s", what, f->class_[i].name);
	}
}

static void
say_mesh(struct words *w, const struct meshfile *a, const struct mf_mesh *old,
         const struct meshfile *b, const struct mf_mesh *new)
{
	say_text(w, "type", old->hub_and_spoke ? "hub" : "full",
	         new->hub_and_spoke ? "hub" : "full");
	say_members(w, "with", b, new, a, old, false);
	say_members(w, "without", a, old, b, new, false);
	if (old->hub_and_spoke && new->hub_and_spoke) {
		say_members(w, "new hub", b, new, a, old, true);
		say_members(w, "no hub any more", a, old, b, new, true);
	}
	say_mesh_classes(w, "runs class", b, new, a, old);
	say_mesh_classes(w, "runs no class", a, old, b, new);
}

static void
diff_meshes(const struct plan_now *now, const struct meshfile *b,
            struct plan_diff *d)
{
	const struct meshfile *a = now->force;

	for (size_t i = 0; i < b->mesh_n; i++) {
		const struct mf_mesh *new = &b->mesh[i];
		const struct mf_mesh *old =
		    now->base ? find_mesh(a, new->name) : NULL;
		struct words w;

		words_open(&w);
		if (old) {
			say_mesh(&w, a, old, b, new);
			add_changed(d, "mesh", new->name, &w);
			continue;
		}
		say(&w, "%s, %zu members",
		    new->hub_and_spoke ? "hub and spoke" : "full",
		    new->member_n);
		add(d, '+', "mesh", new->name, &w);
	}
	for (size_t i = 0; i < a->mesh_n; i++) {
		struct words w;

		if (now->base && find_mesh(b, a->mesh[i].name))
			continue;
		words_open(&w);
		if (!now->base)
			say(&w, "that runs without a mesh file");
		add(d, '-', "mesh", a->mesh[i].name, &w);
	}
}

void
plan_diff_make(const struct plan_now *now, const struct meshfile *f,
               struct plan_diff *out)
{
	*out = (struct plan_diff){.change = NULL};
	diff_sites(now->force, f, out);
	diff_nodes(now, f, out);
	diff_classes(now, f, out);
	diff_meshes(now, f, out);
}

void
plan_diff_clear(struct plan_diff *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->change[i].what);
	free(d->change);
	memset(d, 0, sizeof(*d));
}
