/* SPDX-License-Identifier: BSD-2-Clause */
/* Loss runs and the packets around them, as people read them. */
#ifndef TWMESH_TOOLS_SHOW_RUNS_H
#define TWMESH_TOOLS_SHOW_RUNS_H

#include "tools/doc_runs.h"
#include "tools/term.h"

#include <stdio.h>

void show_outages(FILE *out, const struct doc_outages *d, bool coloured);
void show_outages_csv(FILE *out, const struct doc_outages *d);
void show_evidence(FILE *out, const struct doc_evidence *d, bool coloured);
void show_evidence_csv(FILE *out, const struct doc_evidence *d);

#endif
