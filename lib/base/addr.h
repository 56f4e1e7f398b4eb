/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Socket addresses, IPv4 and IPv6, as values.
 */
#ifndef TWMESH_BASE_ADDR_H
#define TWMESH_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} u;
	socklen_t len; /* 0: unset */
};

#define ADDR_TEXT_MAX 64 /* "[v6%scope]:port" and its NUL fit */

/* A numeric address without port ("127.0.1.3", "::1", "[::1]"). */
bool addr_parse_ip(const char *text, uint16_t port, struct addr *out);
/* "IP", "IP:PORT", "[V6]", "[V6]:PORT", numeric only. */
bool addr_parse(const char *text, uint16_t default_port, struct addr *out);
/* The same with host names, by getaddrinfo (blocks: not in event loops).
 * family: AF_UNSPEC, AF_INET, AF_INET6. 0, or an EAI_* code, or -1 when the
 * text is malformed. */
int addr_resolve(const char *text, uint16_t default_port, int family,
                 struct addr *out);
/* From raw octets as protobuf and COPY carry them: 4 or 16. */
bool addr_from_bytes(const void *ip, size_t len, uint16_t port,
                     struct addr *out);
/* The address octets; *len becomes 4 or 16. Borrowed from a. */
const uint8_t *addr_bytes(const struct addr *a, size_t *len);

/* The sockaddr as kernel and libevent want it; NULL-safe copy in. */
bool addr_from_sockaddr(const struct sockaddr *sa, socklen_t len,
                        struct addr *out);

uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
int addr_family(const struct addr *a); /* AF_INET, AF_INET6, AF_UNSPEC */
bool addr_equal(const struct addr *a, const struct addr *b);    /* with port */
bool addr_ip_equal(const struct addr *a, const struct addr *b); /* without */
/* IPv4-mapped IPv6 addresses count as what they map. */
bool addr_is_loopback(const struct addr *a);  /* 127.0.0.0/8, ::1 */
bool addr_is_any(const struct addr *a);       /* 0.0.0.0, :: */
bool addr_is_multicast(const struct addr *a); /* and 255.255.255.255 */

/* "127.0.1.3:862", "[::1]:862"; `out` of ADDR_TEXT_MAX; returns out. */
char *addr_format(const struct addr *a, char *out);
char *addr_format_ip(const struct addr *a, char *out);

#endif
