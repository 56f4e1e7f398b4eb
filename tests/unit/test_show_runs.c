/* SPDX-License-Identifier: BSD-2-Clause */
/* twmesh outages, evidence, incidents and db size: documents in, text out. */
#include "tools/dbsize.h"
#include "tools/doc_incidents.h"
#include "tools/show_runs.h"

#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define RUN                                                                  \
	"{\"run\":\"fedcba9876543210\",\"src\":\"ams1\",\"dst\":\"fra1\","   \
	"\"class\":\"demo\",\"state\":\"closed\",\"first_at\":"              \
	"\"2026-11-27T22:00:00.123Z\",\"last_at\":\"2026-11-27T22:00:04."    \
	"463Z\",\"lower_ms\":4340.1,\"upper_ms\":4380.3,\"resolution_ms\":"  \
	"20,\"lost\":217,\"lost_fwd\":210,\"lost_bwd\":7,\"lost_undet\":0,"  \
	"\"first_seq\":812,\"last_seq\":1028,\"src_address\":\"192.0.2.1\"," \
	"\"src_port\":18620,\"dst_address\":\"2001:db8::2\",\"dst_port\":"   \
	"862,\"reflector_restart\":false,\"host_limited\":false,"            \
	"\"dst_host_limited\":true,\"packets\":2}"

static char shown[65536];

static json_t *
load(const char *text)
{
	json_t *j = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(j);
	return j;
}

static void
show_list(const char *text, bool csv)
{
	FILE *f = fmemopen(shown, sizeof(shown), "w");
	struct doc_outages d;
	char err[DOC_ERR_MAX];
	json_t *j = load(text);

	ck_assert_ptr_nonnull(f);
	ck_assert_msg(doc_outages_read(j, &d, err), "%s", err);
	if (csv)
		show_outages_csv(f, &d);
	else
		show_outages(f, &d, false);
	(void)fclose(f);
	doc_outages_clear(&d);
	json_decref(j);
}

static void
show_one(const char *text, bool csv)
{
	FILE *f = fmemopen(shown, sizeof(shown), "w");
	struct doc_evidence d;
	char err[DOC_ERR_MAX];
	json_t *j = load(text);

	ck_assert_ptr_nonnull(f);
	ck_assert_msg(doc_evidence_read(j, &d, err), "%s", err);
	if (csv)
		show_evidence_csv(f, &d);
	else
		show_evidence(f, &d, false);
	(void)fclose(f);
	doc_evidence_clear(&d);
	json_decref(j);
}

#define HAS(what) ck_assert_msg(strstr(shown, what) != NULL, "%s", shown)

START_TEST(a_run_tells_both_durations_directions_and_the_resolution)
{
	show_list("{\"since\":\"2026-11-26T22:00:00Z\",\"more\":true,"
	          "\"outages\":[" RUN "]}",
	          false);
	HAS("fedcba9876543210  ams1 -> fra1");
	HAS("4.34 s to 4.38 s");
	HAS("   217    210      7      0");
	HAS("host of the destination limited");
	HAS("--limit");
	HAS("class demo: 20 ms between packets");
	show_list("{\"outages\":[" RUN "]}", true);
	HAS("fedcba9876543210,ams1,fra1,demo,closed,2026-11-27T22:00:00.123Z,"
	    "2026-11-27T22:00:04.463Z,4340.1,4380.3,20,217,210,7,0,812,1028,0,"
	    "1,0\n");
}
END_TEST

START_TEST(without_runs_it_says_so)
{
	show_list("{\"since\":\"2026-11-26T22:00:00Z\",\"outages\":[]}", false);
	ck_assert_str_eq(shown, "no loss runs since 2026-11-26T22:00:00Z\n");
}
END_TEST

START_TEST(a_database_has_a_line_per_level)
{
	FILE *f = fmemopen(shown, sizeof(shown), "w");
	char err[DOC_ERR_MAX];
	json_t *j =
	    load("{\"database_bytes\":123456789,\"projected_bytes\":"
	         "1628544384,\"levels\":[{\"level\":\"result\",\"rows\":"
	         "1000000,\"heap_bytes\":204000000,\"index_bytes\":37000000,"
	         "\"bytes_per_row\":241,\"measured\":true,"
	         "\"planned_rows_per_day\":483840,\"keep_days\":7,"
	         "\"projected_bytes\":816238080},{\"level\":\"rollup_1h\"}]}");

	ck_assert_ptr_nonnull(f);
	ck_assert_msg(dbsize_show(f, j, err), "%s", err);
	(void)fclose(f);
	json_decref(j);
	ck_assert_str_eq(
	    shown,
	    "level                    rows       heap      index   B/row       "
	    "rows/day   days  projected\n"
	    "result                1000000     204 MB      37 MB     241       "
	    "  483840      7     816 MB\n"
	    "rollup_1h                   -          -          -       -*      "
	    "       -      -          -\n"
	    "the database takes 123 MB now; the history will take 1629 MB\n"
	    "* fewer than 100,000 rows: a usual size\n");
	j = load("{}");
	ck_assert(!dbsize_show(stdout, j, err));
	ck_assert_str_eq(err, "levels: expected an array, found something "
	                      "else");
	json_decref(j);
}
END_TEST

static void
show_causes(const char *text, bool csv)
{
	FILE *f = fmemopen(shown, sizeof(shown), "w");
	struct doc_incidents d;
	char err[DOC_ERR_MAX];
	json_t *j = load(text);

	ck_assert_ptr_nonnull(f);
	ck_assert_msg(doc_incidents_read(j, &d, err), "%s", err);
	if (csv)
		show_incidents_csv(f, &d);
	else
		show_incidents(f, &d, false);
	(void)fclose(f);
	doc_incidents_clear(&d);
	json_decref(j);
}

START_TEST(incidents_are_a_sentence_and_a_line_each)
{
	static const char text[] =
	    "{\"since\":\"2026-11-26T22:00:00Z\",\"more\":false,\"classes\":[{"
	    "\"class\":\"demo\",\"sentence\":\"36 critical\"}],"
	    "\"incidents\":[{\"incident\":12,\"class\":\"demo\",\"kind\":"
	    "\"receiver\",\"name\":\"lon1\",\"started_at\":"
	    "\"2026-11-27T22:00:00.123Z\",\"ended_at\":null,\"cells\":36,"
	    "\"cells_max\":38,\"of_cells\":40,\"confidence\":0.9,"
	    "\"sentence\":\"36 \\u001b[31mred\"}]}";

	show_causes(text, false);
	ck_assert_msg(strstr(shown, "36 critical\n") == shown, "%s", shown);
	HAS("     12  demo       receiver       lon1                 "
	    "2026-11-27T22:00:00.123Z -                            36     38 "
	    "    40    90 %\n");
	show_causes(text, true);
	HAS("12,demo,receiver,lon1,2026-11-27T22:00:00.123Z,,");
	HAS(",36,38,40,0.9\n");
	ck_assert_ptr_null(strchr(shown, '\033'));
	show_causes("{\"since\":\"then\",\"classes\":[],\"incidents\":[]}",
	            false);
	ck_assert_str_eq(shown, "no incidents since then\n");
}
END_TEST

START_TEST(evidence_is_a_line_per_packet)
{
	const char *text =
	    "{\"run\":" RUN ",\"packets\":[{\"seq\":811,\"flow\":0,\"fate\":"
	    "\"received\",\"t1\":\"2026-11-27T22:00:00.103000001Z\",\"t2\":"
	    "\"2026-11-27T22:00:00.113Z\",\"t3\":null,\"t4\":"
	    "\"2026-11-27T22:00:00.123Z\",\"reflector_seq\":800,"
	    "\"sender_ttl\":250,\"ttl\":251,\"tos\":184},{\"seq\":812,"
	    "\"flow\":0,\"fate\":\"fwd\",\"t1\":\"2026-11-27T22:00:00.123Z\"},"
	    "{\"seq\":813,\"flow\":0,\"fate\":\"late\",\"t1\":"
	    "\"\\u001b[31mred\"}]}";

	show_one(text, false);
	HAS("ams1 192.0.2.1:18620 > fra1 [2001:db8::2]:862, class demo");
	HAS("forward 210, backward 7, not known 0");
	HAS("seq 811  ok T2 2026-11-27T22:00:00.113Z T4");
	HAS("rseq 800 ttl 250 reply ttl 251 tos 184");
	HAS("seq 812  LOST fwd\n");
	HAS("seq 813  LATE\n");
	ck_assert_ptr_null(strchr(shown, '\033'));
	show_one(text, true);
	HAS("812,0,fwd,2026-11-27T22:00:00.123Z,,,,,,,\n");
}
END_TEST

START_TEST(what_is_no_such_document_is_refused_with_the_reason)
{
	static const struct {
		const char *text, *err;
	} bad[] = {
	    {"{}", "outages: expected an array"},
	    {"{\"outages\":[{}]}", "run: expected 16 hexadecimal digits"},
	    {"{\"outages\":[{\"run\":\"fedcba9876543210\",\"src\":\"A b\","
	     "\"dst\":\"x\"}]}",
	     "src, dst: expected names"},
	};
	char err[DOC_ERR_MAX];
	struct doc_outages d;
	struct doc_evidence e;
	struct doc_incidents n;
	json_t *j;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		j = load(bad[i].text);
		ck_assert(!doc_outages_read(j, &d, err));
		ck_assert_msg(strstr(err, bad[i].err) == err, "%s", err);
		ck_assert(!doc_evidence_read(j, &e, err));
		ck_assert(!doc_incidents_read(j, &n, err));
		json_decref(j);
	}
	ck_assert(run_id_is_valid("0123456789abcdef"));
	ck_assert(!run_id_is_valid("0123456789abcde"));
	ck_assert(!run_id_is_valid("0123456789ABCDEF"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("show_runs");
	TCase *t = tcase_create("show_runs");
	SRunner *sr;
	int failed;

	(void)setlocale(LC_CTYPE, "C.UTF-8");
	tcase_add_test(
	    t, a_run_tells_both_durations_directions_and_the_resolution);
	tcase_add_test(t, without_runs_it_says_so);
	tcase_add_test(t, incidents_are_a_sentence_and_a_line_each);
	tcase_add_test(t, a_database_has_a_line_per_level);
	tcase_add_test(t, evidence_is_a_line_per_packet);
	tcase_add_test(t, what_is_no_such_document_is_refused_with_the_reason);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
