/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network namespaces: one per site, and one for the emulator where the
 * other ends of the sites' veths are. None has a name: they are held by open
 * files of this process (shown as /proc/PID/fd/N, for nsenter --net=) and by
 * the processes in them, and vanish with the last, kill -9 included. Nothing
 * is made in the host's own namespace.
 *
 * A site has `lo` and `wan` (10.77.0.x/24, fd77::x/64, MTU 1500, static
 * neighbours, no offloads) and may bind any port as an ordinary user.
 *
 * Needs CAP_SYS_ADMIN (setns) and CAP_NET_ADMIN.
 */
#ifndef TWMESH_EMU_NETS_H
#define TWMESH_EMU_NETS_H

#include "tests/emu/netconf.h"

#include <stdbool.h>

struct nets {
	unsigned n;
	int host;               /* namespace descriptors */
	int site[NET_SITES];    /* owned, as all of them */
	int core;               /* the emulator's */
	int ifindex[NET_SITES]; /* of the core's end of each site's veth */
};

/* May this process make namespaces? (Tries it in a child.) */
bool nets_allowed(void);
/* All of it; false with a reason in err, and nothing left. */
bool nets_open(struct nets *ns, const struct netconf *net, char *err,
               size_t size);
void nets_close(struct nets *ns);
/* A socket made in the namespace `fd`; -errno on failure. */
int nets_socket(const struct nets *ns, int fd, int family, int type,
                int protocol);
/* The Ethernet address of a site ends in its number + 1. */
#define NETS_MAC "\x02\x77\x00\x00\x00"
#define NETS_MAC_OCTETS 5

#endif
