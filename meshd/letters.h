/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the prober tells the main thread: results, loss runs and revisions, all
 * in one mailbox and in the order in which they came up.
 *
 * The three begin alike, so that a letter taken from the mailbox is a
 * prober_letter until its kind is known.
 */
#ifndef TWMESH_MESHD_LETTERS_H
#define TWMESH_MESHD_LETTERS_H

#include "lib/base/lossrun.h"
#include "lib/base/mailbox.h"
#include "lib/base/result.h"

enum letter_kind {
	LETTER_RESULT, /* 0: what calloc() gives */
	LETTER_RUN,
	LETTER_REVISION
};

struct prober_letter {
	struct letter letter;
	enum letter_kind kind;
};

struct result_letter {
	struct letter letter;
	enum letter_kind kind;
	struct result result;
};

struct run_letter {
	struct letter letter;
	enum letter_kind kind;
	struct loss_run run; /* with its packets, owned */
};

struct revision_letter {
	struct letter letter;
	enum letter_kind kind;
	struct revision revision;
};

/* Of any kind, with all it owns; fits mailbox_free(). Takes NULL. */
void prober_letter_free(struct letter *l);

#endif
