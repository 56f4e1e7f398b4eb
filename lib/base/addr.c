/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/addr.h"

#include "lib/base/text.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

bool
addr_parse_ip(const char *text, uint16_t port, struct addr *out)
{
	char ip[INET6_ADDRSTRLEN];
	struct addr a;
	size_t n = strlen(text);

	memset(&a, 0, sizeof(a));
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n >= sizeof(ip))
		return false;
	memcpy(ip, text, n);
	ip[n] = '\0';
	if (inet_pton(AF_INET, ip, &a.u.v4.sin_addr) == 1) {
		a.u.v4.sin_family = AF_INET;
		a.len = sizeof(a.u.v4);
	} else if (inet_pton(AF_INET6, ip, &a.u.v6.sin6_addr) == 1) {
		a.u.v6.sin6_family = AF_INET6;
		a.len = sizeof(a.u.v6);
	} else {
		return false;
	}
	addr_set_port(&a, port);
	*out = a;
	return true;
}

/* Splits "HOST", "HOST:PORT", "V6", "[V6]", "[V6]:PORT". */
static bool
split_host_port(const char *text, char *host, size_t host_size, uint16_t *port)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);
	int64_t v;
	size_t n;

	if (text[0] == '[') {
		const char *close = strchr(text, ']');

		if (!close || (close[1] != '\0' && close[1] != ':'))
			return false;
		end = close + 1;
		colon = close[1] == ':' ? close + 1 : NULL;
	} else if (colon && strchr(text, ':') != colon) {
		colon = NULL; /* a bare IPv6 address */
	}
	if (colon) {
		if (!text_parse_i64(colon + 1, 1, 65535, &v))
			return false;
		*port = (uint16_t)v;
		if (text[0] != '[')
			end = colon;
	}
	n = (size_t)(end - text);
	if (n == 0 || n >= host_size)
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	return true;
}

bool
addr_parse(const char *text, uint16_t default_port, struct addr *out)
{
	char host[256];
	uint16_t port = default_port;

	return split_host_port(text, host, sizeof(host), &port) &&
	       addr_parse_ip(host, port, out);
}

int
addr_resolve(const char *text, uint16_t default_port, int family,
             struct addr *out)
{
	struct addrinfo hints = {.ai_family = family,
	                         .ai_socktype = SOCK_DGRAM},
	                *res = NULL;
	char host[256];
	uint16_t port = default_port;
	int rc;

	if (!split_host_port(text, host, sizeof(host), &port))
		return -1;
	if (addr_parse_ip(host, port, out))
		return family == AF_UNSPEC || family == addr_family(out)
		           ? 0
		           : EAI_ADDRFAMILY;
	rc = getaddrinfo(host, NULL, &hints, &res);
	if (rc != 0)
		return rc;
	if (!addr_from_sockaddr(res->ai_addr, res->ai_addrlen, out))
		rc = EAI_FAMILY;
	else
		addr_set_port(out, port);
	freeaddrinfo(res);
	return rc;
}

bool
addr_from_bytes(const void *ip, size_t len, uint16_t port, struct addr *out)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (len == 4) {
		a.u.v4.sin_family = AF_INET;
		memcpy(&a.u.v4.sin_addr, ip, 4);
		a.len = sizeof(a.u.v4);
	} else if (len == 16) {
		a.u.v6.sin6_family = AF_INET6;
		memcpy(&a.u.v6.sin6_addr, ip, 16);
		a.len = sizeof(a.u.v6);
	} else {
		return false;
	}
	addr_set_port(&a, port);
	*out = a;
	return true;
}

const uint8_t *
addr_bytes(const struct addr *a, size_t *len)
{
	if (addr_family(a) == AF_INET6) {
		*len = 16;
		return a->u.v6.sin6_addr.s6_addr;
	}
	*len = addr_family(a) == AF_INET ? 4 : 0;
	return (const uint8_t *)&a->u.v4.sin_addr;
}

bool
addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *out)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (sa->sa_family == AF_INET && len >= sizeof(a.u.v4))
		a.len = sizeof(a.u.v4);
	else if (sa->sa_family == AF_INET6 && len >= sizeof(a.u.v6))
		a.len = sizeof(a.u.v6);
	else
		return false;
	memcpy(&a.u, sa, a.len);
	*out = a;
	return true;
}

uint16_t
addr_port(const struct addr *a)
{
	return ntohs(addr_family(a) == AF_INET6 ? a->u.v6.sin6_port
	                                        : a->u.v4.sin_port);
}

void
addr_set_port(struct addr *a, uint16_t port)
{
	if (addr_family(a) == AF_INET6)
		a->u.v6.sin6_port = htons(port);
	else
		a->u.v4.sin_port = htons(port);
}

int
addr_family(const struct addr *a)
{
	return a->len ? a->u.sa.sa_family : AF_UNSPEC;
}

bool
addr_ip_equal(const struct addr *a, const struct addr *b)
{
	size_t na, nb;
	const uint8_t *pa = addr_bytes(a, &na), *pb = addr_bytes(b, &nb);

	return na == nb && memcmp(pa, pb, na) == 0 &&
	       (na != 16 || a->u.v6.sin6_scope_id == b->u.v6.sin6_scope_id);
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_ip_equal(a, b) && addr_port(a) == addr_port(b);
}

/* The IPv4 address, host order, of an IPv4 or IPv4-mapped one. */
static bool
as_v4(const struct addr *a, uint32_t *v4)
{
	const struct in6_addr *v6 = &a->u.v6.sin6_addr;
	uint32_t n;

	if (addr_family(a) == AF_INET) {
		*v4 = ntohl(a->u.v4.sin_addr.s_addr);
		return true;
	}
	if (addr_family(a) != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(v6))
		return false;
	memcpy(&n, v6->s6_addr + 12, sizeof(n));
	*v4 = ntohl(n);
	return true;
}

bool
addr_is_loopback(const struct addr *a)
{
	uint32_t v4;

	if (as_v4(a, &v4))
		return v4 >> 24 == 127;
	return addr_family(a) == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&a->u.v6.sin6_addr);
}

bool
addr_is_any(const struct addr *a)
{
	uint32_t v4;

	if (as_v4(a, &v4))
		return v4 == INADDR_ANY;
	return addr_family(a) == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&a->u.v6.sin6_addr);
}

bool
addr_is_multicast(const struct addr *a)
{
	uint32_t v4;

	if (as_v4(a, &v4))
		return IN_MULTICAST(v4) || v4 == INADDR_BROADCAST;
	return addr_family(a) == AF_INET6 &&
	       IN6_IS_ADDR_MULTICAST(&a->u.v6.sin6_addr);
}

char *
addr_format_ip(const struct addr *a, char *out)
{
	const void *ip = addr_family(a) == AF_INET6
	                     ? (const void *)&a->u.v6.sin6_addr
	                     : (const void *)&a->u.v4.sin_addr;

	if (addr_family(a) == AF_UNSPEC ||
	    !inet_ntop(addr_family(a), ip, out, ADDR_TEXT_MAX))
		(void)snprintf(out, ADDR_TEXT_MAX, "?");
	return out;
}

char *
addr_format(const struct addr *a, char *out)
{
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(a, ip);
	(void)snprintf(out, ADDR_TEXT_MAX,
	               addr_family(a) == AF_INET6 ? "[%.50s]:%u" : "%.50s:%u",
	               ip, addr_port(a));
	return out;
}
