/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A management network without a network: in every site 127.0.0.1:PORT is
 * listened on, and each connection is carried to one address in the host's
 * namespace, so that nodes reach a controller that listens on the host's
 * loopback. Unimpaired, and not in the truth file. A thread of its own, at
 * ordinary priority.
 */
#ifndef TWMESH_EMU_RELAY_H
#define TWMESH_EMU_RELAY_H

#include "lib/base/addr.h"
#include "tests/emu/nets.h"

struct relay;

/* NULL with a reason in err. Call from a thread in the host's namespace. */
struct relay *relay_start(const struct nets *ns, uint16_t port,
                          const struct addr *to, char *err, size_t size);
/* NULL-safe. */
void relay_stop(struct relay *r);

#endif
