/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three steps: conf_load() checks each value for itself; read_*() take them
 * over; resolve_*() check what one section says of another. The first step
 * failed: the others would only tell what follows from it.
 */
#include "lib/svc/meshfile.h"

#include "lib/base/clock.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ERRORS_MAX 50
#define PORT_DEFAULT "862"
#define SELECTOR_MAX (NAME_MAX_CHARS + 7) /* "group:" before a name */

struct reader {
	struct meshfile *f;
	const struct conf *c; /* borrowed */
	const char *name;     /* of the file; borrowed */
	FILE *err;
	unsigned errors;
};

/* ---- the table ---- */

static bool
check_name(const char *v, const char **expected)
{
	*expected = "a name: " NAME_RULE;
	return name_is_valid(v);
}

static bool
check_member(const char *v, const char **expected)
{
	const char *colon = strchr(v, ':');

	*expected = "the name of a node or target, group:NAME or site:NAME";
	if (colon && strncmp(v, "group:", 6) != 0 &&
	    strncmp(v, "site:", 5) != 0)
		return false;
	return name_is_valid(colon ? colon + 1 : v);
}

static bool
parse_degrees(const char *v, double max, double *out)
{
	const char *digits = v + (*v == '-' || *v == '+');
	char *end = NULL;
	double d;

	if (!*digits || strlen(v) > 16 ||
	    digits[strspn(digits, "0123456789.")] != '\0')
		return false;
	d = strtod(v, &end);
	if (end == v || *end != '\0' || !(d >= -max && d <= max))
		return false;
	*out = d;
	return true;
}

static bool
check_latitude(const char *v, const char **expected)
{
	double d;

	*expected = "degrees north, -90 to 90, as 52.37";
	return parse_degrees(v, 90, &d);
}

static bool
check_longitude(const char *v, const char **expected)
{
	double d;

	*expected = "degrees east, -180 to 180, as 4.9";
	return parse_degrees(v, 180, &d);
}

static bool
check_address(const char *v, const char **expected)
{
	struct addr a;

	*expected = "an IP address to send to, as 192.0.2.1 or 2001:db8::1";
	return addr_parse_ip(v, 862, &a) && !addr_is_any(&a) &&
	       !addr_is_multicast(&a) && !strchr(v, '%');
}

static const char *const protocol_choices[] = {"stamp", "light", NULL};
static const char *const type_choices[] = {"full", "hub", NULL};

static const struct conf_key site_keys[] = {
    {.name = "latitude",
     .type = CONF_STRING,
     .unit = "degrees",
     .check = check_latitude,
     .help = "north of the equator"},
    {.name = "longitude",
     .type = CONF_STRING,
     .unit = "degrees",
     .check = check_longitude,
     .help = "east of Greenwich"},
    {.name = "group",
     .type = CONF_STRING,
     .check = check_name,
     .help = "of its nodes and targets, unless they name their own"},
    {.type = CONF_END},
};

static const struct conf_key node_keys[] = {
    {.name = "site",
     .type = CONF_STRING,
     .check = check_name,
     .help = "one of the file's sites; none: what the node itself says"},
    {.name = "group",
     .type = CONF_STRING,
     .check = check_name,
     .help = "none: its site's"},
    {.type = CONF_END},
};

static const struct conf_key target_keys[] = {
    {.name = "address",
     .type = CONF_STRING,
     .min = 1,
     .check = check_address,
     .help = "of a reflector that someone else runs"},
    {.name = "port",
     .type = CONF_INT,
     .def = PORT_DEFAULT,
     .min = 1,
     .max = 65535,
     .help = "UDP"},
    {.name = "protocol",
     .type = CONF_CHOICE,
     .def = "stamp",
     .choices = protocol_choices,
     .help = "STAMP without TLVs, or TWAMP Light"},
    {.name = "site",
     .type = CONF_STRING,
     .check = check_name,
     .help = "one of the file's sites"},
    {.name = "group",
     .type = CONF_STRING,
     .check = check_name,
     .help = "none: its site's"},
    {.type = CONF_END},
};

static const struct conf_key mesh_keys[] = {
    {.name = "members",
     .type = CONF_LIST,
     .min = 1,
     .max = MESHFILE_NODES_MAX,
     .check = check_member,
     .help = "names of nodes and targets, group:NAME, site:NAME"},
    {.name = "type",
     .type = CONF_CHOICE,
     .def = "full",
     .choices = type_choices,
     .help = "every node to every other, or only from and to hubs"},
    {.name = "hubs",
     .type = CONF_LIST,
     .max = MESHFILE_NODES_MAX,
     .check = check_member,
     .help = "members that all others measure, and that measure all others"},
    {.name = "classes",
     .type = CONF_LIST,
     .min = 1,
     .max = MESHFILE_CLASSES_MAX,
     .check = check_name,
     .help = "that run between them"},
    {.type = CONF_END},
};

const struct conf_key meshfile_keys[] = {
    {.name = "site",
     .type = CONF_SECTION,
     .sub = site_keys,
     .max = MESHFILE_NODES_MAX,
     .check = check_name,
     .help = "a named place"},
    {.name = "node",
     .type = CONF_SECTION,
     .sub = node_keys,
     .max = MESHFILE_NODES_MAX,
     .check = check_name,
     .help = "a host that runs twmesh; it is let in by its key, as ever"},
    {.name = "target",
     .type = CONF_SECTION,
     .sub = target_keys,
     .max = MESHFILE_NODES_MAX,
     .check = check_name,
     .help = "a reflector that is measured, and does not measure"},
    {.name = "class",
     .type = CONF_SECTION,
     .sub = classconf_mesh_keys,
     .min = 1,
     .max = MESHFILE_CLASSES_MAX,
     .check = check_name,
     .help = "a kind of traffic"},
    {.name = "mesh",
     .type = CONF_SECTION,
     .sub = mesh_keys,
     .min = 1,
     .max = MESHFILE_MESHES_MAX,
     .check = check_name,
     .help = "who measures whom, and with what"},
    {.type = CONF_END},
};

const char *
mf_protocol_str(enum mf_protocol p)
{
	static const char *const names[] = {"node", "stamp", "light"};

	return names[p];
}

/* ---- errors ---- */

static void complain(struct reader *r, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
complain(struct reader *r, int line, const char *fmt, ...)
{
	char msg[512];
	va_list ap;

	if (++r->errors > ERRORS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	text_make_printable(msg);
	(void)fprintf(r->err, "%s:%d: %s\n", r->name, line, msg);
}

/* ---- reading ---- */

static void
copy_name(char out[NAME_MAX_CHARS + 1], const char *name)
{
	(void)snprintf(out, NAME_MAX_CHARS + 1, "%s", name);
}

static void
read_sites(struct reader *r)
{
	for (size_t i = 0; i < r->f->site_n; i++) {
		const struct conf *s = conf_section(r->c, "site", i);
		const char *lat = conf_str(s, "latitude");
		const char *lon = conf_str(s, "longitude");
		struct mf_site *out = &r->f->site[i];

		copy_name(out->name, conf_title(s));
		copy_name(out->group, conf_str(s, "group"));
		out->latitude = out->longitude = (double)NAN;
		if (*lat && *lon) {
			(void)!parse_degrees(lat, 90, &out->latitude);
			(void)!parse_degrees(lon, 180, &out->longitude);
		} else if (*lat || *lon) {
			complain(
			    r,
			    conf_key_line(s, *lat ? "latitude" : "longitude"),
			    "site \"%s\": expected latitude and "
			    "longitude, found only one",
			    out->name);
		}
	}
}

static const struct mf_site *
find_site(const struct meshfile *f, const char *name)
{
	for (size_t i = 0; i < f->site_n; i++) {
		if (strcmp(f->site[i].name, name) == 0)
			return &f->site[i];
	}
	return NULL;
}

/* Site and group of a node or target. */
static void
read_place(struct reader *r, const struct conf *s, struct mf_node *out)
{
	const struct mf_site *site;

	copy_name(out->name, conf_title(s));
	copy_name(out->site, conf_str(s, "site"));
	copy_name(out->group, conf_str(s, "group"));
	if (!out->site[0])
		return;
	site = find_site(r->f, out->site);
	if (!site)
		complain(r, conf_key_line(s, "site"),
		         "site: expected a site of this file, found '%s'",
		         out->site);
	else if (!out->group[0])
		copy_name(out->group, site->group);
}

static void
read_nodes(struct reader *r)
{
	const size_t nodes = conf_section_n(r->c, "node");

	for (size_t i = 0; i < r->f->node_n; i++) {
		const bool is_node = i < nodes;
		const struct conf *s =
		    is_node ? conf_section(r->c, "node", i)
		            : conf_section(r->c, "target", i - nodes);
		struct mf_node *out = &r->f->node[i];

		read_place(r, s, out);
		if (is_node)
			continue;
		out->protocol = strcmp(conf_str(s, "protocol"), "light") == 0
		                    ? MF_LIGHT
		                    : MF_STAMP;
		(void)!addr_parse_ip(conf_str(s, "address"),
		                     (uint16_t)conf_int(s, "port"),
		                     &out->address);
	}
}

static void
read_classes(struct reader *r)
{
	for (size_t i = 0; i < r->f->class_n; i++) {
		const struct conf *s = conf_section(r->c, "class", i);
		struct classconf *out = &r->f->class_[i];
		struct classconf_fault fault;

		classconf_read(s, conf_title(s), out);
		if (!classconf_check(out, &fault))
			complain(r, conf_key_line(s, fault.key),
			         "class \"%s\": %s: expected %s, found %s",
			         out->name, fault.key, fault.expected,
			         fault.found);
	}
}

/* ---- resolving names ---- */

struct by_name {
	const char *name;
	uint32_t index;
};

static int
name_cmp(const void *a, const void *b)
{
	const struct by_name *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* All nodes, sorted by name; a name that two have is an error. NULL: out of
 * memory. */
static struct by_name *
sort_nodes(struct reader *r)
{
	const size_t n = r->f->node_n;
	const size_t nodes = conf_section_n(r->c, "node");
	struct by_name *v = calloc(n + 1, sizeof(*v));

	if (!v)
		return NULL;
	for (size_t i = 0; i < n; i++)
		v[i] = (struct by_name){r->f->node[i].name, (uint32_t)i};
	qsort(v, n, sizeof(*v), name_cmp);
	for (size_t i = 1; i < n; i++) {
		const uint32_t a = v[i - 1].index, b = v[i].index;
		const uint32_t last = a > b ? a : b;

		if (strcmp(v[i - 1].name, v[i].name) == 0)
			complain(r,
			         conf_line(conf_section(r->c, "target",
			                                last - nodes)),
			         "target: expected a name of its own, found "
			         "'%s', which is a node too",
			         v[i].name);
	}
	return v;
}

/* Which nodes a selector means: marks them. How many. */
static size_t
mark(const struct meshfile *f, const struct by_name *names,
     const char *selector, bool *marked)
{
	const bool group = strncmp(selector, "group:", 6) == 0;
	const bool site = strncmp(selector, "site:", 5) == 0;
	const struct by_name key = {selector, 0};
	const struct by_name *found;
	size_t n = 0;

	if (!group && !site) {
		found =
		    bsearch(&key, names, f->node_n, sizeof(*names), name_cmp);
		if (found)
			marked[found->index] = true;
		return found != NULL;
	}
	selector = strchr(selector, ':') + 1;
	for (size_t i = 0; i < f->node_n; i++) {
		if (strcmp(group ? f->node[i].group : f->node[i].site,
		           selector) == 0) {
			marked[i] = true;
			n++;
		}
	}
	return n;
}

static void
mark_all(struct reader *r, const struct by_name *names, const struct conf *s,
         const char *key, bool *marked)
{
	for (size_t i = 0; i < conf_list_n(s, key); i++) {
		const char *selector = conf_list(s, key, i);

		if (mark(r->f, names, selector, marked) > 0)
			continue;
		complain(r, conf_list_line(s, key, i),
		         "%s: expected %s, found '%s'", key,
		         strchr(selector, ':')
		             ? "a site or group that nodes of this file have"
		             : "a node or target of this file",
		         selector);
	}
}

static void
resolve_classes(struct reader *r, const struct conf *s, struct mf_mesh *m)
{
	for (size_t i = 0; i < conf_list_n(s, "classes"); i++) {
		const char *name = conf_list(s, "classes", i);
		size_t k = 0;

		while (k < r->f->class_n &&
		       strcmp(r->f->class_[k].name, name) != 0)
			k++;
		if (k < r->f->class_n)
			m->classes |= UINT64_C(1) << k;
		else
			complain(r, conf_list_line(s, "classes", i),
			         "classes: expected a class of this file, "
			         "found '%s'",
			         name);
	}
}

/* The marked nodes become members. False: out of memory. */
static bool
set_members(struct mf_mesh *m, const bool *member, const bool *hub, size_t n)
{
	m->member = calloc(n + 1, sizeof(*m->member));
	m->hub = calloc(n + 1, sizeof(*m->hub));
	if (!m->member || !m->hub)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!member[i])
			continue;
		m->member[m->member_n] = (uint32_t)i;
		m->hub[m->member_n++] = !m->hub_and_spoke || hub[i];
	}
	return true;
}

static void
check_members(struct reader *r, const struct conf *s, const struct mf_mesh *m,
              const bool *member, const bool *hub)
{
	size_t nodes = 0;

	for (size_t i = 0; i < m->member_n; i++)
		nodes += r->f->node[m->member[i]].protocol == MF_NODE;
	if (m->member_n < 2 || nodes == 0)
		complain(r, conf_key_line(s, "members"),
		         "members: expected at least two, one of them a node, "
		         "found %zu node%s and %zu target%s",
		         nodes, nodes == 1 ? "" : "s", m->member_n - nodes,
		         m->member_n - nodes == 1 ? "" : "s");
	if (m->hub_and_spoke && conf_list_n(s, "hubs") == 0)
		complain(r, conf_key_line(s, "type"),
		         "type: expected hubs = {...} with it, found none");
	if (!m->hub_and_spoke && conf_list_n(s, "hubs") > 0)
		complain(r, conf_key_line(s, "hubs"),
		         "hubs: expected type = \"hub\" with it, found "
		         "\"full\"");
	for (size_t i = 0; i < r->f->node_n; i++) {
		if (hub[i] && !member[i])
			complain(r, conf_key_line(s, "hubs"),
			         "hubs: expected members of the mesh, found "
			         "'%s'",
			         r->f->node[i].name);
	}
}

static bool
resolve_mesh(struct reader *r, const struct by_name *names, size_t at)
{
	const struct conf *s = conf_section(r->c, "mesh", at);
	struct mf_mesh *m = &r->f->mesh[at];
	bool *member = calloc(2 * r->f->node_n + 1, sizeof(*member));
	bool *hub = member ? member + r->f->node_n : NULL;
	bool ok = false;

	if (!member)
		return false;
	copy_name(m->name, conf_title(s));
	m->hub_and_spoke = strcmp(conf_str(s, "type"), "hub") == 0;
	if (conf_list_n(s, "members") == 0)
		complain(r, conf_line(s),
		         "mesh \"%s\": expected members = {...}, found none",
		         m->name);
	if (conf_list_n(s, "classes") == 0)
		complain(r, conf_line(s),
		         "mesh \"%s\": expected classes = {...}, found none",
		         m->name);
	mark_all(r, names, s, "members", member);
	mark_all(r, names, s, "hubs", hub);
	resolve_classes(r, s, m);
	ok = set_members(m, member, hub, r->f->node_n);
	/* What is wrong with a name would be told again. */
	if (ok && r->errors == 0)
		check_members(r, s, m, member, hub);
	free(member);
	return ok;
}

/* ---- life ---- */

static bool
allocate(struct meshfile *f, const struct conf *c)
{
	f->site_n = conf_section_n(c, "site");
	f->node_n = conf_section_n(c, "node") + conf_section_n(c, "target");
	f->class_n = conf_section_n(c, "class");
	f->site = calloc(f->site_n + 1, sizeof(*f->site));
	f->node = calloc(f->node_n + 1, sizeof(*f->node));
	f->class_ = calloc(f->class_n + 1, sizeof(*f->class_));
	f->mesh = calloc(conf_section_n(c, "mesh") + 1, sizeof(*f->mesh));
	if (!f->site || !f->node || !f->class_ || !f->mesh)
		return false;
	f->mesh_n = conf_section_n(c, "mesh");
	return true;
}

/* False: out of memory. */
static bool
read_all(struct reader *r)
{
	struct by_name *names;
	bool ok = true;

	if (r->f->node_n > MESHFILE_NODES_MAX)
		complain(
		    r,
		    conf_line(conf_section(
		        r->c,
		        conf_section_n(r->c, "target") ? "target" : "node", 0)),
		    "expected at most %d nodes and targets, found %zu",
		    MESHFILE_NODES_MAX, r->f->node_n);
	read_sites(r);
	read_nodes(r);
	read_classes(r);
	names = sort_nodes(r);
	for (size_t i = 0; names && ok && i < r->f->mesh_n; i++)
		ok = resolve_mesh(r, names, i);
	free(names);
	return names && ok;
}

static bool
print_text(struct reader *r)
{
	size_t len = 0;
	FILE *out = open_memstream(&r->f->text, &len);

	if (!out)
		return false;
	conf_print(r->c, out);
	return fclose(out) == 0;
}

static struct meshfile *
from_conf(struct conf *c, const char *name, FILE *err)
{
	struct reader r = {
	    .f = calloc(1, sizeof(*r.f)), .c = c, .name = name, .err = err};

	if (!c) {
		free(r.f);
		return NULL;
	}
	if (!r.f || !allocate(r.f, c) || !read_all(&r) || !print_text(&r)) {
		(void)fprintf(err, "%s: out of memory\n", name);
		r.errors++;
	}
	if (r.errors > ERRORS_MAX)
		(void)fprintf(err, "%s: %u errors more\n", name,
		              r.errors - ERRORS_MAX);
	conf_free(c);
	if (r.errors == 0)
		return r.f;
	meshfile_free(r.f);
	return NULL;
}

struct meshfile *
meshfile_load(const char *path, FILE *err)
{
	return from_conf(conf_load(path, meshfile_keys, err), path, err);
}

struct meshfile *
meshfile_parse(const char *name, const char *text, FILE *err)
{
	return from_conf(conf_parse(name, text, meshfile_keys, err), name, err);
}

void
meshfile_free(struct meshfile *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->mesh_n; i++) {
		free(m->mesh[i].member);
		free(m->mesh[i].hub);
	}
	free(m->site);
	free(m->node);
	free(m->class_);
	free(m->mesh);
	free(m->text);
	free(m);
}

/* Where in the mesh; member_n: nowhere. */
static size_t
member_at(const struct mf_mesh *m, uint32_t node)
{
	size_t lo = 0, hi = m->member_n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (m->member[mid] == node)
			return mid;
		if (m->member[mid] < node)
			lo = mid + 1;
		else
			hi = mid;
	}
	return m->member_n;
}

bool
mf_mesh_has(const struct meshfile *f, const struct mf_mesh *m, uint32_t src,
            uint32_t dst)
{
	const size_t a = member_at(m, src), b = member_at(m, dst);

	return src != dst && a < m->member_n && b < m->member_n &&
	       f->node[src].protocol == MF_NODE && (m->hub[a] || m->hub[b]);
}
