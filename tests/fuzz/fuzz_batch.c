/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any octets as the body of a batch. In what is accepted every column, every
 * histogram and every packet can be read to its end, losses add up, and runs
 * and revisions encode again to what decodes the same.
 */
#include "lib/bus/msg.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Kept, so that the reading is not optimised away. */
static volatile uint64_t kept;

static uint64_t
read_octets(const uint8_t *const *p, const uint16_t *len, size_t row)
{
	uint64_t sum = 0;

	for (size_t k = 0; len && k < len[row]; k++)
		sum += p[row][k];
	return sum;
}

static uint64_t
read_slice(const struct slice *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->n; i++) {
		sum += s->dst_id[i];
		for (size_t m = 0; m < METRIC_N; m++)
			sum += s->value[m] ? (uint64_t)s->value[m][i] : 0;
		sum += read_octets(s->hist, s->hist_len, i);
		sum += read_octets(s->fwd_hist, s->fwd_hist_len, i);
		sum += read_octets(s->bwd_hist, s->bwd_hist_len, i);
		sum += read_octets(s->flows, s->flows_len, i);
	}
	return sum;
}

static uint64_t
read_run(const struct loss_run *r)
{
	uint64_t sum = 0;

	if (r->lost_fwd + r->lost_bwd + r->lost_undet != r->lost ||
	    r->packet_n > LOSS_RUN_PACKETS_MAX)
		abort();
	for (size_t i = 0; i < r->packet_n; i++)
		sum += r->packet[i].seq + r->packet[i].fate;
	return sum;
}

static void
encode_records(const struct batch_body *b, uint8_t **out, size_t *len)
{
	const struct loss_run **run = calloc(b->run_n + 1, sizeof(*run));
	const struct revision **rev = calloc(b->revision_n + 1, sizeof(*rev));
	const struct batch_input in = {.run = run,
	                               .run_n = b->run_n,
	                               .revision = rev,
	                               .revision_n = b->revision_n};

	if (!run || !rev)
		abort();
	for (size_t i = 0; i < b->run_n; i++)
		run[i] = &b->run[i];
	for (size_t i = 0; i < b->revision_n; i++)
		rev[i] = &b->revision[i];
	if (!batch_body_encode(&in, out, len))
		abort();
	free(run);
	free(rev);
}

static void
code_again(const struct batch_body *b)
{
	uint8_t *once, *twice;
	size_t once_len, twice_len;
	struct batch_body back;

	encode_records(b, &once, &once_len);
	if (batch_body_decode(once, once_len, &back, NULL) != MSG_OK)
		abort();
	encode_records(&back, &twice, &twice_len);
	if (once_len != twice_len || memcmp(once, twice, once_len) != 0)
		abort();
	batch_body_clear(&back);
	free(once);
	free(twice);
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
	for (size_t i = 0; i < b.run_n; i++)
		kept = read_run(&b.run[i]);
	if (rows != b.rows || rows > MSG_ROWS_MAX)
		abort();
	if (b.run_n + b.revision_n > 0)
		code_again(&b);
	batch_body_clear(&b);
	return 0;
}
