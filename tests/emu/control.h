/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: a unix stream socket that takes lines and answers each
 * with "ok" or "error: ...".
 *
 *   set SRC DST KEY=VALUE ...    one direction, as "link" in the file
 *   both A B KEY=VALUE ...       both
 *   default KEY=VALUE ...        all
 *   note TEXT                    a comment in the truth file
 *   stats                        "in=.. out=.. lost=.. ignored=.. missed=.."
 *
 * Every change and note stands in the truth file with its time, in order with
 * the packets. It all happens in the forwarding thread, between two packets.
 */
#ifndef TWMESH_EMU_CONTROL_H
#define TWMESH_EMU_CONTROL_H

#include "tests/emu/forward.h"

struct control;

/* All borrowed. NULL with errno. */
struct control *control_open(const char *path, struct netconf *net,
                             struct fwd *f, struct truth *t);
/* Removes the socket; NULL-safe. */
void control_close(struct control *c);
/* For fwd_run(). */
struct fwd_hook control_hook(struct control *c);

/* The other side: sends one line and prints the answer; 0 if it was "ok". */
int control_tell(const char *path, const char *line);

#endif
