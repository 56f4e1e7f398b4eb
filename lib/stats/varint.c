/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/varint.h"

#define VARINT_MAX 10 /* octets of 64 bits */

size_t
varint_put(uint8_t *out, size_t size, uint64_t v)
{
	size_t n = 0;

	do {
		if (n == size)
			return 0;
		out[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		v >>= 7;
	} while (v);
	return n;
}

size_t
varint_get(const uint8_t *in, size_t len, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t n = 0; n < len && n < VARINT_MAX; n++) {
		if (n == VARINT_MAX - 1 && in[n] > 1)
			return 0;
		v |= (uint64_t)(in[n] & 0x7f) << (7 * n);
		if (in[n] & 0x80)
			continue;
		if (n > 0 && in[n] == 0)
			return 0;
		*out = v;
		return n + 1;
	}
	return 0;
}
