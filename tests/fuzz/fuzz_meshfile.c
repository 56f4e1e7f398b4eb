/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meshfile_parse() of any text. It is refused with whole lines of printable
 * text, or accepted: then every index is one of an array, and its own text is
 * accepted again and stays as it is.
 */
#include "lib/base/text.h"
#include "lib/svc/meshfile.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
check(const struct meshfile *f)
{
	for (size_t i = 0; i < f->node_n; i++) {
		must(name_is_valid(f->node[i].name));
		must((f->node[i].protocol == MF_NODE) ==
		     (f->node[i].address.len == 0));
	}
	for (size_t i = 0; i < f->mesh_n; i++) {
		const struct mf_mesh *m = &f->mesh[i];
		bool any = false;

		must(m->member_n >= 2 && m->classes != 0);
		for (size_t k = 0; k < m->member_n; k++) {
			must(m->member[k] < f->node_n);
			must(k == 0 || m->member[k - 1] < m->member[k]);
			any |= m->hub[k];
		}
		must(any);
		must(f->class_n == 64 || m->classes >> f->class_n == 0);
		must(!mf_mesh_has(f, m, m->member[0], m->member[0]));
	}
}

static void
check_errors(char *err)
{
	must(*err != '\0');
	for (char *p = err, *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		must(end && text_is_clean(p, (size_t)(end - p)));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	char *text = calloc(1, size + 1), *err = NULL;
	size_t err_len = 0;
	FILE *f = open_memstream(&err, &err_len);
	struct meshfile *m, *again;

	must(text && f);
	if (size > 0)
		memcpy(text, in, size);
	m = meshfile_parse("mesh", text, f);
	must(fflush(f) == 0);
	if (m) {
		must(err_len == 0);
		check(m);
		again = meshfile_parse("mesh", m->text, f);
		must(again && strcmp(again->text, m->text) == 0);
		meshfile_free(again);
		meshfile_free(m);
	}
	must(fclose(f) == 0);
	if (!m)
		check_errors(err);
	free(err);
	free(text);
	return 0;
}
