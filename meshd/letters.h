/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the prober tells the main thread: results, loss runs and revisions, all
 * in one mailbox and in the order in which they came up.
 *
 * The three begin alike, so that a letter taken from the mailbox is a
 * prober_letter until its kind is known.
 *
 * Each says by which clock its dates are (wall - CLOCK_BOOTTIME, as in struct
 * clock_mark; NS_UNKNOWN): the clock may have been set before it is sealed.
 */
#ifndef TWMESH_MESHD_LETTERS_H
#define TWMESH_MESHD_LETTERS_H

#include "lib/base/clock.h"
#include "lib/base/lossrun.h"
#include "lib/base/mailbox.h"
#include "lib/base/result.h"

#include <stdbool.h>
#include <stdint.h>

enum letter_kind {
	LETTER_RESULT, /* 0: what calloc() gives */
	LETTER_RUN,
	LETTER_REVISION
};

struct prober_letter {
	struct letter letter;
	enum letter_kind kind;
	int64_t clock_ns;
};

struct result_letter {
	struct letter letter;
	enum letter_kind kind;
	int64_t clock_ns;
	struct result result;
};

struct run_letter {
	struct letter letter;
	enum letter_kind kind;
	int64_t clock_ns;
	struct loss_run run; /* with its packets, owned */
};

struct revision_letter {
	struct letter letter;
	enum letter_kind kind;
	int64_t clock_ns;
	struct revision revision;
};

/* Is it one clock, no step between the two? */
bool letters_same_clock(int64_t a_ns, int64_t b_ns);

/* Of any kind, with all it owns; fits mailbox_free(). Takes NULL. */
void prober_letter_free(struct letter *l);

#endif
