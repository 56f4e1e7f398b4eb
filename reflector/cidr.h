/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The allow-list: address ranges in CIDR notation.
 */
#ifndef TWMESH_REFLECTOR_CIDR_H
#define TWMESH_REFLECTOR_CIDR_H

#include "lib/base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cidr {
	struct addr net;
	unsigned bits; /* 0..32 or 0..128 */
};

/* What cidr_parse() expects, in words. */
#define CIDR_RULE                                                \
	"an address, or a range without bits behind its prefix " \
	"(\"192.0.2.0/24\", \"2001:db8::/32\")"

/* "192.0.2.0/24", "2001:db8::/32", "192.0.2.1"; octets behind the prefix must
 * be zero, so that a slip of the pen does not pass. */
bool cidr_parse(const char *text, struct cidr *out)
    __attribute__((warn_unused_result));
bool cidr_contains(const struct cidr *c, const struct addr *a);

#endif
