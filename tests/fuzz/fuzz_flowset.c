/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flowset_decode() on anything; and what it accepts is what flowset_encode()
 * makes of it, so that there is one form per set of flows.
 */
#include "lib/stats/flowset.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct flow_result f[FLOWS_MAX_N];
	uint8_t *again;
	unsigned n = 0;

	if (!flowset_decode(data, size, f, &n)) {
		if (n != 0)
			abort();
		return 0;
	}
	if (n < 1 || n > FLOWS_MAX_N)
		abort();
	again = malloc(size);
	if (!again || flowset_encode(f, n, again, size) != size ||
	    memcmp(again, data, size) != 0)
		abort();
	free(again);
	return 0;
}
