/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any octets as the body of a batch. In what is accepted every column and
 * every histogram can be read to its end.
 */
#include "lib/bus/msg.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Kept, so that the reading is not optimised away. */
static volatile uint64_t kept;

static uint64_t
read_slice(const struct slice *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->n; i++) {
		sum += s->dst_id[i];
		for (size_t m = 0; m < METRIC_N; m++)
			sum += s->value[m] ? (uint64_t)s->value[m][i] : 0;
		for (size_t k = 0; s->hist_len && k < s->hist_len[i]; k++)
			sum += s->hist[i][k];
	}
	return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *field = NULL;
	struct batch_body b;
	size_t rows = 0;

	if (batch_body_decode(data, size, &b, &field) != MSG_OK)
		return 0;
	for (size_t i = 0; i < b.slice_n; i++) {
		kept = read_slice(&b.slice[i]);
		rows += b.slice[i].n;
	}
	if (rows != b.rows || rows > MSG_ROWS_MAX)
		abort();
	batch_body_clear(&b);
	return 0;
}
