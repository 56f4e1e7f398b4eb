/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mesh file: sites, nodes, targets, classes and meshes in the syntax of
 * conf.h, read and checked whole. What one section says of another by name is
 * resolved: an index here always is one of an array beside it. Every error is
 * told with file and line; then there is no meshfile.
 *
 * `twmesh plan` and `twmesh apply` read it for the operator, the controller
 * once more what it is sent, and what is in the database (as text, so that
 * there is one reader and one set of checks).
 */
#ifndef TWMESH_SVC_MESHFILE_H
#define TWMESH_SVC_MESHFILE_H

#include "lib/base/addr.h"
#include "lib/svc/classconf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MESHFILE_NODES_MAX 4096 /* nodes and targets together; sites */
#define MESHFILE_CLASSES_MAX 64
/* A mesh is a bit of a 63-bit mask in database and roster. */
#define MESHFILE_MESHES_MAX 62

extern const struct conf_key meshfile_keys[];

struct mf_site {
	char name[NAME_MAX_CHARS + 1];
	char group[NAME_MAX_CHARS + 1]; /* "": none */
	double latitude, longitude;     /* degrees; NAN: not said, both */
};

enum mf_protocol {
	MF_NODE,  /* a host that runs twmesh */
	MF_STAMP, /* target: STAMP without TLVs */
	MF_LIGHT  /* target: TWAMP Light */
};
const char *mf_protocol_str(enum mf_protocol p); /* "node", "stamp", "light" */

struct mf_node {
	char name[NAME_MAX_CHARS + 1];
	char site[NAME_MAX_CHARS + 1];  /* "": what the node itself says */
	char group[NAME_MAX_CHARS + 1]; /* own, else its site's; "": none */
	enum mf_protocol protocol;
	struct addr address; /* of a target, with port; else len 0 */
};

struct mf_mesh {
	char name[NAME_MAX_CHARS + 1];
	bool hub_and_spoke;
	uint32_t *member; /* owned; indices into node, ascending */
	bool *hub;        /* owned; per member; all true in a full mesh */
	size_t member_n;
	uint64_t classes; /* bit i: class i */
};

struct meshfile {
	struct mf_site *site; /* owned */
	size_t site_n;
	struct mf_node *node; /* owned; nodes and targets as they stand */
	size_t node_n;
	struct classconf *class_; /* owned */
	size_t class_n;
	struct mf_mesh *mesh; /* owned */
	size_t mesh_n;
	/* The same file with every default written out: equal files have equal
	 * texts whatever their comments and white space. */
	char *text; /* owned */
};

/* NULL after every error was written to err, a line each. */
struct meshfile *meshfile_load(const char *path, FILE *err)
    __attribute__((warn_unused_result));
struct meshfile *meshfile_parse(const char *name, const char *text, FILE *err)
    __attribute__((warn_unused_result));
void meshfile_free(struct meshfile *m);

/* Does this mesh have a session src -> dst (indices of nodes)? */
bool mf_mesh_has(const struct meshfile *f, const struct mf_mesh *m,
                 uint32_t src, uint32_t dst);

#endif
