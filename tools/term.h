/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Showing things to people: colour only on a terminal (and never with
 * NO_COLOR or TERM=dumb), widths in columns rather than octets, text from
 * outside without control characters, numbers of a sensible width, CSV that no
 * spreadsheet takes for a formula.
 */
#ifndef TWMESH_TOOLS_TERM_H
#define TWMESH_TOOLS_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum term_colour {
	TERM_PLAIN,
	TERM_BOLD,
	TERM_QUIET, /* grey */
	TERM_CALM,  /* blue */
	TERM_WARN,  /* amber */
	TERM_CRIT   /* vermillion, bold */
};

bool term_is_coloured(FILE *out);
/* $COLUMNS, else the terminal's, else 80. */
int term_columns(FILE *out);
/* `text` padded to `width` columns (negative: to the left), in colour if
 * `coloured`; cut with an ellipsis when longer. Control characters never come
 * out. */
void term_put(FILE *out, const char *text, int width, enum term_colour c,
              bool coloured);
/* Columns that UTF-8 text takes. */
int term_width(const char *text);

#define NUM_TEXT_MAX 32
/* `decimals` digits, fewer for large numbers ("0.123", "12.3", "1234"). */
char *num_format(double v, int decimals, char *out);
/* How many of `decimals` that leaves. */
int num_decimals(double v, int decimals);
/* Exactly `decimals` digits. */
char *num_fixed(double v, int decimals, char *out);
/* "12s", "3m", "5h", "2d". */
char *age_format(double seconds, char *out);
/* "12 kB", "3.4 MB". */
char *bytes_format(double bytes, char *out);

/* One field, quoted where needed; text that a spreadsheet would take for a
 * formula gets a leading apostrophe. No separator. */
void csv_put(FILE *out, const char *text);

#endif
