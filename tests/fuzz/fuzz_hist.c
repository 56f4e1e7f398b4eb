/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hist_decode() on anything; and what it accepts is what hist_encode() makes
 * of it, so there is one form per histogram.
 */
#include "lib/stats/hist.h"
#include "lib/base/clock.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
merge_keeps_counts(const struct hist *h)
{
	static struct hist twice, back;
	static uint8_t out[HIST_FIT_MIN];
	const int64_t p99 = hist_percentile_ns(h, 99);
	size_t n;

	must((p99 == NS_UNKNOWN) == (h->n == 0));
	must(h->n == 0 || p99 >= h->base_ns);
	twice = *h;
	if (h->base_ns < INT64_MAX / 2)
		twice.base_ns += h->n ? 12345 : 0;
	hist_merge(&twice, h);
	must(twice.n == 2 * h->n);
	n = hist_encode_fit(&twice, out, sizeof(out));
	must(n > 0 && hist_decode(out, n, &back));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hist h;
	uint8_t *again;
	size_t n;

	if (!hist_decode(data, size, &h)) {
		must(h.n == 0);
		return 0;
	}
	again = malloc(size);
	must(again != NULL);
	n = hist_encode(&h, again, size);
	must(n == size && memcmp(again, data, size) == 0);
	free(again);
	merge_keeps_counts(&h);
	return 0;
}
