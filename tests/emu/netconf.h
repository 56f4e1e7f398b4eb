/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network as a text file: sites, and what the links between them do.
 *
 *   site ams fra sin             names, in the order of their addresses
 *   star ams                     (optional) links only to and from ams
 *   seed 7                       (optional) --seed wins
 *   default delay=5ms hops=1     every direction
 *   link ams sin loss=1% ...     one direction; * stands for every site
 *   both ams sin delay=80ms      both directions
 *
 * Lines apply in order; '#' begins a comment. The same words after "set" come
 * through the control socket.
 */
#ifndef TWMESH_EMU_NETCONF_H
#define TWMESH_EMU_NETCONF_H

#include "lib/base/text.h"
#include "tests/emu/linkconf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_SITES 20

struct netconf {
	unsigned n; /* sites */
	char site[NET_SITES][NAME_MAX_CHARS + 1];
	uint64_t seed;
	bool star;
	unsigned hub;                               /* valid if star */
	struct linkconf link[NET_SITES][NET_SITES]; /* [src][dst] */
	bool touched[NET_SITES][NET_SITES];         /* by lines since cleared */
};

void netconf_init(struct netconf *net);
/* One line, which is cut up; false with a reason in err. An empty line or a
 * comment is good. */
bool netconf_line(struct netconf *net, char *line, char *err, size_t err_size);
/* A whole file; false with "FILE:LINE: reason" in err. */
bool netconf_load(struct netconf *net, const char *path, char *err,
                  size_t err_size);
/* The number of a site, or -1. */
int netconf_site(const struct netconf *net, const char *name);

/* Site i has 10.77.0.(i+1) and fd77::(i+1). out: at least 32 octets. */
char *netconf_v4(unsigned i, char *out);
char *netconf_v6(unsigned i, char *out);

#endif
