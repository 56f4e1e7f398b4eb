/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller's documents as people read them. Only documents in, text
 * out: no network, no clock (now is an argument), so that tests and fuzzers
 * can feed them anything.
 */
#ifndef TWMESH_TOOLS_SHOW_H
#define TWMESH_TOOLS_SHOW_H

#include "tools/doc.h"
#include "tools/term.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Colour of a state, and the mark that says the same without colour. */
enum term_colour show_state_colour(enum cell_state s);
char show_state_mark(enum cell_state s);

/* The line above what was known before the database went away. */
void show_away(FILE *out, const char *since, bool coloured);

/* The N x N grid: rows send, columns reflect; wrapped to `columns`. */
void show_matrix(FILE *out, const struct doc_matrix *m,
                 const struct matrix_metric_info *metric, int columns,
                 bool coloured);
void show_matrix_csv(FILE *out, const struct doc_matrix *m);

/* Both directions now, and the newest `rows` results. */
void show_path(FILE *out, const struct doc_path *p, size_t rows, int columns,
               bool coloured);
void show_path_csv(FILE *out, const struct doc_path *p);

void show_nodes(FILE *out, const struct doc_nodes *n, int64_t now_wall_ns,
                bool coloured);
void show_tokens(FILE *out, const struct doc_tokens *t, bool coloured);
void show_tokens_csv(FILE *out, const struct doc_tokens *t);
/* Entries of an array of strings, joined by spaces; cut to fit. */
void show_join(json_t *list, char *out, size_t size);

void show_nodes_csv(FILE *out, const struct doc_nodes *n);

#endif
