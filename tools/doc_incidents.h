/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The document of incidents, read as doc.h reads the others: checked, and text
 * borrowed from the JSON document; and how people read it. docs/API.md says
 * what the fields mean.
 */
#ifndef TWMESH_TOOLS_DOC_INCIDENTS_H
#define TWMESH_TOOLS_DOC_INCIDENTS_H

#include "tools/doc.h"

#include <stdio.h>

struct doc_incident {
	const char *class_, *kind, *name, *sentence;
	const char *started_at, *ended_at; /* ended_at "": it lasts */
	double id, cells, cells_max, of_cells, confidence; /* NAN: not known */
};

struct doc_incidents {
	const char *since;
	bool more;       /* the limit cut the list */
	json_t *classes; /* borrowed array of {"class","sentence"} */
	struct doc_incident *incident; /* owned */
	size_t incident_n;
};
/* False with the reason in err (DOC_ERR_MAX); then nothing is owned. */
bool doc_incidents_read(json_t *root, struct doc_incidents *out, char *err);
void doc_incidents_clear(struct doc_incidents *d);

void show_incidents(FILE *out, const struct doc_incidents *d, bool coloured);
void show_incidents_csv(FILE *out, const struct doc_incidents *d);

#endif
