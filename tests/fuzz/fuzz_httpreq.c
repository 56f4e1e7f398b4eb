/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * httpreq_parse() on anything: what it accepts is within its bounds, and what
 * it then says of hosts and ETags ends.
 */
#include "controller/httpreq.h"
#include "lib/base/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct httpreq r;
	const char *why = NULL;
	char *head = malloc(size ? size : 1); /* exact: ASan sees one too far */
	int status;

	must(head != NULL);
	if (size > 0)
		memcpy(head, data, size);
	status = httpreq_parse(head, size, &r, &why);
	free(head);
	if (status != 0) {
		must(status >= 400 && status <= 505 && why);
		return 0;
	}
	must(r.path[0] == '/' && text_is_clean(r.path, strlen(r.path)));
	must(r.param_n <= HTTPREQ_PARAMS_MAX);
	for (size_t i = 0; i < r.param_n; i++)
		must(text_is_clean(r.param[i].value, strlen(r.param[i].value)));
	(void)httpreq_host_is_local(r.host);
	(void)httpreq_etag_matches(r.if_none_match, "W/\"1\"");
	return 0;
}
