/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any octets as a message of the mesh. What is accepted must encode again, and
 * what that gives must decode to the same octets.
 */
#include "lib/bus/msg.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *once, *twice;
	size_t once_len, twice_len;
	const char *field = NULL;
	struct msg m, back;

	if (msg_decode(data, size, &m, &field) != MSG_OK)
		return 0;
	if (!msg_encode(&m, &once, &once_len) ||
	    msg_decode(once, once_len, &back, &field) != MSG_OK ||
	    !msg_encode(&back, &twice, &twice_len) || once_len != twice_len ||
	    memcmp(once, twice, once_len) != 0)
		abort();
	msg_clear(&m);
	msg_clear(&back);
	free(once);
	free(twice);
	return 0;
}
