/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the command does with a controller's answer: JSON into documents,
 * documents into text. Nothing that comes out may hold a control character
 * other than a line's end.
 *
 * Input: how to show it(1), the HTTP body.
 */
#include "lib/base/text.h"
#include "tools/api.h"
#include "tools/dbsize.h"
#include "tools/doc.h"
#include "tools/doc_incidents.h"
#include "tools/plan.h"
#include "tools/show.h"
#include "tools/show_runs.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(setlocale(LC_CTYPE, "C.UTF-8") != NULL);
	return 0;
}

static void
show_plan(FILE *f, json_t *root, unsigned how)
{
	char err[PLAN_ERR_MAX];
	struct plan_now now;
	struct plan_diff d;
	struct plan_cost cost;

	if (!plan_now_read(root, &now, err))
		return;
	plan_diff_make(&now, now.force, &d);
	must(!d.failed && plan_cost_make(now.force, how, &cost));
	plan_show(f, &(struct plan_view){"f", &now, &d, &cost, &cost}, false);
	must(plan_show_json(f,
	                    &(struct plan_view){"f", &now, &d, &cost, &cost}));
	plan_diff_clear(&d);
	plan_now_clear(&now);
}

static void
show_all(FILE *f, json_t *root, unsigned how)
{
	char err[DOC_ERR_MAX];
	struct doc_matrix m;
	struct doc_path p;
	struct doc_tokens t;
	struct doc_nodes n;
	struct doc_outages o;
	struct doc_evidence e;
	struct doc_incidents i;

	if (doc_matrix_read(root, &m, err)) {
		/* the grid is N x N: keep the fuzzer's within a screen */
		if (m.node_n <= 64)
			show_matrix(f, &m,
			            &matrix_metrics[how % matrix_metrics_n],
			            40 + (int)how, false);
		show_matrix_csv(f, &m);
		doc_matrix_clear(&m);
	}
	if (doc_outages_read(root, &o, err)) {
		show_outages(f, &o, false);
		show_outages_csv(f, &o);
		doc_outages_clear(&o);
	}
	if (doc_incidents_read(root, &i, err)) {
		show_incidents(f, &i, false);
		show_incidents_csv(f, &i);
		doc_incidents_clear(&i);
	}
	(void)dbsize_show(f, root, err);
	if (doc_evidence_read(root, &e, err)) {
		show_evidence(f, &e, false);
		show_evidence_csv(f, &e);
		doc_evidence_clear(&e);
	}
	if (doc_path_read(root, &p, err)) {
		show_path(f, &p, how % 32, 40 + (int)how, false);
		show_path_csv(f, &p);
		doc_path_clear(&p);
	}
	if (doc_nodes_read(root, &n, err)) {
		show_nodes(f, &n, INT64_C(1795428012500000000), false);
		show_nodes_csv(f, &n);
		doc_nodes_clear(&n);
	}
	show_plan(f, root, how);
	if (doc_tokens_read(root, &t, err)) {
		show_tokens(f, &t, false);
		show_tokens_csv(f, &t);
		doc_tokens_clear(&t);
	}
}

static void
check_lines(char *text, size_t len)
{
	for (char *line = text; line < text + len;) {
		char *end = memchr(line, '\n', (size_t)(text + len - line));

		must(end != NULL); /* whole lines only */
		must(text_is_clean(line, (size_t)(end - line)));
		line = end + 1;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	struct api_doc d = {NULL, NULL, 0};
	json_error_t e;
	char *out = NULL;
	size_t len = 0;
	FILE *f;

	if (size < 2)
		return 0;
	d.len = size - 1;
	d.text = malloc(d.len + 1);
	must(d.text != NULL);
	memcpy(d.text, in + 1, d.len);
	d.text[d.len] = '\0';
	d.root = json_loadb(d.text, d.len, JSON_REJECT_DUPLICATES, &e);
	if (json_is_object(d.root)) {
		f = open_memstream(&out, &len);
		must(f != NULL);
		show_all(f, d.root, in[0]);
		must(api_print(&d, f));
		must(fclose(f) == 0);
		check_lines(out, len);
		free(out);
	}
	api_doc_clear(&d);
	return 0;
}
