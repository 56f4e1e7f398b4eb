/* SPDX-License-Identifier: BSD-2-Clause */
#include "reflector/cidr.h"

#include "lib/base/text.h"

#include <string.h>

static bool
bit_of(const uint8_t *p, unsigned i)
{
	return p[i / 8] >> (7 - i % 8) & 1;
}

bool
cidr_parse(const char *text, struct cidr *out)
{
	const char *slash = strchr(text, '/');
	const size_t n = slash ? (size_t)(slash - text) : strlen(text);
	char ip[ADDR_TEXT_MAX];
	struct cidr c;
	const uint8_t *p;
	size_t len;
	int64_t bits;

	if (n >= sizeof(ip))
		return false;
	memcpy(ip, text, n);
	ip[n] = '\0';
	if (!addr_parse_ip(ip, 0, &c.net))
		return false;
	p = addr_bytes(&c.net, &len);
	bits = (int64_t)len * 8;
	if (slash && !text_parse_i64(slash + 1, 0, bits, &bits))
		return false;
	c.bits = (unsigned)bits;
	for (unsigned i = c.bits; i < len * 8; i++) {
		if (bit_of(p, i))
			return false;
	}
	*out = c;
	return true;
}

bool
cidr_contains(const struct cidr *c, const struct addr *a)
{
	size_t nc, na;
	const uint8_t *pc = addr_bytes(&c->net, &nc), *pa = addr_bytes(a, &na);
	const unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (nc != na || memcmp(pc, pa, whole) != 0)
		return false;
	return rest == 0 || ((pc[whole] ^ pa[whole]) >> (8 - rest)) == 0;
}
