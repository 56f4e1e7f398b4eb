/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of lossdir: lossdir.c judges by what twmesh reflectors tell and
 * does the booking, losscount.c by the sequence numbers of foreign ones.
 */
#ifndef TWMESH_STATS_LOSSDIR_PRIV_H
#define TWMESH_STATS_LOSSDIR_PRIV_H

#include "lib/stats/lossdir.h"

/* p would be, or is, lost in that direction; a fact is not overruled. */
void lossdir_set(struct lossbook *b, struct pkt *p, enum loss_dir dir);
/* Books a lost packet from one direction into another. */
void lossdir_move(struct lossbook *b, struct pkt *p, enum loss_dir from,
                  enum loss_dir to);
/* Of the n packets of the gap (after, until] that were not answered, so many
 * arrived. */
void lossdir_decide(struct lossbook *b, uint32_t after, uint32_t until,
                    uint32_t n, uint32_t arrived);
/* No counter will tell of what has left the window. */
void lossdir_forget_evicted(struct lossbook *b);
/* The reflector began anew between these two packets of the flow. */
void lossdir_mark_restart(struct lossbook *b, uint32_t before, uint32_t after);

#endif
