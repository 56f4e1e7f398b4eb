/* SPDX-License-Identifier: BSD-2-Clause */
/* What people see: the terminal helpers, and the controller's documents in,
 * text out. */
#include "tools/doc.h"
#include "tools/show.h"
#include "tools/term.h"

#include "lib/base/clock.h"

#include <check.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *shown; /* what the last print said */

static FILE *
print_begin(size_t *len)
{
	free(shown);
	shown = NULL;
	return open_memstream(&shown, len);
}

static void
teardown(void)
{
	free(shown);
	shown = NULL;
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C.UTF-8"));
}

static void
put(const char *text, int width, const char *want)
{
	size_t len = 0;
	FILE *f = print_begin(&len);

	term_put(f, text, width, TERM_CRIT, false);
	(void)fclose(f);
	ck_assert_str_eq(shown, want);
}

START_TEST(test_put)
{
	size_t len = 0;
	FILE *f;

	put("abc", 0, "abc");
	put("abc", 6, "   abc");
	put("abc", -6, "abc   ");
	put("abcdef", 4, "abc…");
	put("caf\xc3\xa9", 6, "  caf\xc3\xa9");
	put("caf\xc3\xa9s", 4, "caf…");
	put("日本語", 7, " 日本語");
	put("日本語", 5, "日本…");
	put("a\033[2Jb", 0, "a?[2Jb");
	put("\xff", 0, "?");
	f = print_begin(&len);
	term_put(f, "x", 3, TERM_CRIT, true);
	term_put(f, "y", 0, TERM_PLAIN, true);
	(void)fclose(f);
	ck_assert_str_eq(shown, "  \033[1;38;5;202mx\033[0my");
}
END_TEST

START_TEST(test_numbers)
{
	char t[NUM_TEXT_MAX];

	ck_assert_str_eq(num_format(0.1234, 3, t), "0.123");
	ck_assert_str_eq(num_format(12.345, 3, t), "12.35");
	ck_assert_str_eq(num_format(-123.45, 3, t), "-123.5");
	ck_assert_str_eq(num_format(12345, 3, t), "12345");
	ck_assert_str_eq(num_format((double)NAN, 3, t), "-");
	ck_assert_str_eq(num_format((double)INFINITY, 3, t), "-");
	ck_assert_str_eq(num_format(1e300, 3, t), "1e+300");
	ck_assert_str_eq(num_fixed(-1e15, 3, t), "-1e+15");
	ck_assert_str_eq(num_fixed(2, 2, t), "2.00");
	ck_assert_str_eq(num_fixed(-0.04, 1, t), "0.0");
	ck_assert_str_eq(num_fixed(-0.06, 1, t), "-0.1");
	ck_assert_str_eq(age_format(3.4, t), "3s");
	ck_assert_str_eq(age_format(7100, t), "118m");
	ck_assert_str_eq(age_format(90000, t), "25h");
	ck_assert_str_eq(age_format(1e7, t), "116d");
	ck_assert_str_eq(age_format(-1, t), "-");
	ck_assert_str_eq(bytes_format(0, t), "0 B");
	ck_assert_str_eq(bytes_format(12345, t), "12 kB");
	ck_assert_str_eq(bytes_format(3.4e9, t), "3.4 GB");
}
END_TEST

static void
csv(const char *in, const char *want)
{
	size_t len = 0;
	FILE *f = print_begin(&len);

	csv_put(f, in);
	(void)fclose(f);
	ck_assert_str_eq(shown, want);
}

START_TEST(test_csv)
{
	csv("plain", "plain");
	csv("", "");
	csv("a,b", "\"a,b\"");
	csv("say \"x\"", "\"say \"\"x\"\"\"");
	csv("=1+2", "\"'=1+2\"");
	csv("@cmd", "\"'@cmd\"");
	csv("+cmd|' /C calc'!A0", "\"'+cmd|' /C calc'!A0\"");
	csv("-1.5", "-1.5"); /* a number may be negative */
	csv("-1+2", "\"'-1+2\"");
	csv("a\r\nb", "a??b"); /* no line of its own */
	csv("\t=x", "?=x");
}
END_TEST

START_TEST(test_colour)
{
	FILE *f = fopen("/dev/null", "w");

	ck_assert_int_eq(unsetenv("NO_COLOR"), 0);
	ck_assert_int_eq(setenv("TERM", "xterm", 1), 0);
	ck_assert(!term_is_coloured(f)); /* not a terminal */
	ck_assert_int_eq(setenv("COLUMNS", "123", 1), 0);
	ck_assert_int_eq(term_columns(f), 123);
	ck_assert_int_eq(setenv("COLUMNS", "-5", 1), 0);
	ck_assert_int_eq(term_columns(f), 80);
	(void)fclose(f);
}
END_TEST

/* -- documents ------------------------------------------------------------- */

#define CELLS                                                               \
	"{\"n\":2,\"src\":[0,1],\"dst\":[1,0],\"state\":[\"ok\",\"crit\"]," \
	"\"state_since\":[\"2026-11-23T10:00:00.000Z\",null],"              \
	"\"state_why\":[\"\",\"=x\"],\"loss_pct\":[0.0,12.5],"              \
	"\"rtt_ms\":[0.25,null],\"sent\":[100,100],\"lost\":[0,12],"        \
	"\"age_s\":[2.1,3],\"partial\":[false,true]}"
#define NODES "[{\"name\":\"ams1\"},{\"name\":\"fra1\"}]"
#define MATRIX(nodes, cells)                                       \
	"{\"at\":\"2026-11-23T10:02:14.000Z\",\"class\":\"demo\"," \
	"\"interval_s\":2,\"nodes\":" nodes ",\"cells\":" cells    \
	",\"summary\":{\"sentence\":\"1 of 2 directions healthy\\u009b\"}}"

static json_t *
parse(const char *text)
{
	json_error_t e;
	json_t *j = json_loads(text, 0, &e);

	ck_assert_msg(j != NULL, "%s in %s", e.text, text);
	return j;
}

static void
print_matrix(const char *text, const char *metric, int columns, bool as_csv)
{
	char err[DOC_ERR_MAX] = "";
	json_t *j = parse(text);
	struct doc_matrix m;
	size_t len = 0;
	FILE *f = print_begin(&len);

	ck_assert_msg(doc_matrix_read(j, &m, err), "%s", err);
	if (as_csv)
		show_matrix_csv(f, &m);
	else
		show_matrix(f, &m, matrix_metric_by_name(metric), columns,
		            false);
	(void)fclose(f);
	doc_matrix_clear(&m);
	json_decref(j);
}

START_TEST(test_matrix)
{
	print_matrix(MATRIX(NODES, CELLS), "rtt_ms", 80, false);
	ck_assert_str_eq(shown, "1 of 2 directions healthy??\n"
	                        "class demo, 2026-11-23T10:02:14.000Z, "
	                        "intervals of 2 s\n\n"
	                        "      ams1   fra1 \n"
	                        "ams1     ·  0.250 \n"
	                        "fra1      !     · \n\n"
	                        "RTT, ms; rows send, columns reflect  ! "
	                        "crit\n");
	print_matrix(MATRIX(NODES, CELLS), "state", 80, false);
	ck_assert_ptr_nonnull(strstr(shown, "\nfra1 crit!    · \n"));
	print_matrix(MATRIX(NODES, CELLS), "loss_pct", 80, false);
	ck_assert_ptr_nonnull(strstr(shown, "\nams1    ·   0.0 \n"));
	ck_assert_ptr_nonnull(strstr(shown, "\nfra1 12.5!    · \n"));
}
END_TEST

/* A hub, a spoke, a target; "out" is in no mesh. */
#define PLAN_CELLS                                              \
	"{\"n\":3,\"src\":[0,0,3],\"dst\":[2,3,0],"             \
	"\"state\":[\"warn\",\"maintenance\",\"maintenance\"]," \
	"\"state_why\":[\"\",\"\",\"\"],\"rtt_ms\":[0.25,null,12]}"
#define PLAN_NODES(target)                                           \
	"[{\"name\":\"hub\"},{\"name\":\"out\"},{\"name\":\"" target \
	"\"},{\"name\":\"spoke\"}]"

START_TEST(what_is_not_planned_is_blank_and_targets_are_columns_only)
{
	print_matrix(MATRIX(PLAN_NODES("rtr"), PLAN_CELLS), "rtt_ms", 120,
	             false);
	ck_assert_ptr_nonnull(
	    strstr(shown, "\n\n"
	                  "        hub    rtr  spoke \n"
	                  "hub       ·   0.25+      m\n"
	                  "spoke 12.00m            · \n\n"
	                  "RTT, ms; rows send, columns reflect  + warn  m "
	                  "maintenance  blank: not planned\n"));
	/* long names become numbers, and all numbers are explained */
	print_matrix(MATRIX(PLAN_NODES("core-router"), PLAN_CELLS), "rtt_ms",
	             60, false);
	ck_assert_ptr_nonnull(
	    strstr(shown, "\n\n"
	                  "                     1      3      4 \n"
	                  "hub            1     ·   0.25+      m\n"
	                  "spoke          4 12.00m            · \n\n"
	                  "columns: 3 core-router\n"
	                  "RTT, ms; rows send, columns reflect  + warn  m "
	                  "maintenance\n  blank: not planned\n"));
}
END_TEST

START_TEST(test_matrix_csv)
{
	print_matrix(MATRIX(NODES, CELLS), "", 80, true);
	ck_assert_str_eq(
	    shown,
	    "src,dst,class,state,state_since,state_why,loss_pct,loss_max_pct,"
	    "delay_ms,jitter_ms,rtt_ms,rtt_p99_ms,hops,sent,lost,measured_at,"
	    "age_s\n"
	    "ams1,fra1,demo,ok,2026-11-23T10:00:00.000Z,,0,,,,0.25,,,100,0,,"
	    "2.1\n"
	    "fra1,ams1,demo,crit,,\"'=x\",12.5,,,,,,,100,12,,3\n");
}
END_TEST

/* Forty nodes with long names on 80 columns: numbered columns, in blocks, no
 * line wider than the terminal, every node a row in each block. */
START_TEST(test_matrix_wide)
{
	json_t *j = parse(MATRIX("[]", "{\"n\":0,\"src\":[],\"dst\":[],"
	                               "\"state\":[]}")),
	       *nodes = json_object_get(j, "nodes"),
	       *cells = json_object_get(j, "cells");
	unsigned rows = 0;
	char *text;

	for (int i = 0; i < 40; i++) {
		json_array_append_new(
		    nodes, json_pack("{s:s+}", "name", "a-long-name-",
		                     (const char[2]){(char)('a' + i % 26), 0}));
		json_array_append_new(json_object_get(cells, "src"),
		                      json_integer(i));
		json_array_append_new(json_object_get(cells, "dst"),
		                      json_integer((i + 1) % 40));
		json_array_append_new(json_object_get(cells, "state"),
		                      json_string("stale"));
	}
	json_object_set_new(cells, "n", json_integer(40));
	text = json_dumps(j, 0);
	print_matrix(text, "state", 80, false);
	for (char *line = strtok(shown, "\n"); line;
	     line = strtok(NULL, "\n")) {
		ck_assert_msg(term_width(line) <= 80, "%s", line);
		rows += strncmp(line, "a-long-name-", 12) == 0;
	}
	ck_assert_uint_eq(rows % 40, 0);
	ck_assert_uint_ge(rows, 80);
	free(text);
	json_decref(j);
}
END_TEST

START_TEST(test_matrix_empty)
{
	print_matrix(MATRIX("[]", "{\"n\":0,\"src\":[],\"dst\":[],"
	                          "\"state\":[]}"),
	             "rtt_ms", 80, false);
	ck_assert_ptr_nonnull(strstr(shown, "no nodes yet"));
	/* nodes, but nothing planned yet */
	print_matrix(MATRIX(NODES, "{\"n\":0,\"src\":[],\"dst\":[],"
	                           "\"state\":[]}"),
	             "rtt_ms", 80, false);
	ck_assert_ptr_nonnull(strstr(shown, "\nno direction is planned: "));
}
END_TEST

/* A database that is away is said before anything else. */
START_TEST(test_matrix_database_away)
{
	json_t *j = parse(MATRIX(NODES, CELLS));
	char *text;

	json_object_set_new(
	    j, "database",
	    json_pack("{s:b, s:s}", "ok", 0, "since", "2026-11-23T09:00:00Z"));
	text = json_dumps(j, 0);
	print_matrix(text, "rtt_ms", 80, false);
	ck_assert_int_eq(strncmp(shown,
	                         "the database is away since "
	                         "2026-11-23T09:00:00Z",
	                         47),
	                 0);
	free(text);
	json_decref(j);
}
END_TEST

START_TEST(test_matrix_refuses)
{
	static const char *const bad[] = {
	    "{}",
	    "{\"nodes\":[]}",
	    MATRIX("{}", CELLS),
	    MATRIX("[{\"name\":\"Bad Name\"},{\"name\":\"b\"}]", CELLS),
	    MATRIX("[{\"name\":\"a\\u001b[2J\"},{\"name\":\"b\"}]", CELLS),
	    MATRIX("[{\"name\":7},{\"name\":\"b\"}]", CELLS),
	    MATRIX("[{\"name\":\"a\"}]", CELLS), /* index 1 of one node */
	    MATRIX(NODES, "[]"),
	    MATRIX(NODES, "{\"n\":-1,\"src\":[],\"dst\":[],\"state\":[]}"),
	    MATRIX(NODES, "{\"n\":1,\"src\":[],\"dst\":[],\"state\":[]}"),
	    MATRIX(NODES,
	           "{\"n\":1,\"src\":[-1],\"dst\":[0],\"state\":[\"ok\"]}"),
	    MATRIX(NODES,
	           "{\"n\":1,\"src\":[0.5],\"dst\":[0],\"state\":[\"ok\"]}"),
	    MATRIX(NODES, "{\"n\":1,\"src\":[4294967296],\"dst\":[0],"
	                  "\"state\":[\"ok\"]}"),
	    MATRIX(NODES, "{\"n\":99999999999,\"src\":[],\"dst\":[],"
	                  "\"state\":[]}"),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char err[DOC_ERR_MAX] = "";
		json_t *j = parse(bad[i]);
		struct doc_matrix m;

		ck_assert_msg(!doc_matrix_read(j, &m, err), "%s", bad[i]);
		ck_assert_ptr_nonnull(strstr(err, "expected"));
		json_decref(j);
	}
}
END_TEST

#define CELL                                                              \
	"{\"state\":\"ok\",\"state_since\":\"2026-11-23T10:00:00.000Z\"," \
	"\"state_why\":\"fine\",\"rtt_ms\":0.5,\"loss_pct\":0,\"age_s\":3}"
#define RESULT(start, rtt, lost)                                   \
	"{\"start\":\"" start "\",\"interval_s\":10,\"sent\":100," \
	"\"lost\":" lost ",\"rtt_mean\":" rtt ",\"rtt_min\":0.1}"

START_TEST(test_path)
{
	json_t *j = parse(
	    "{\"src\":\"ams1\",\"dst\":\"fra1\",\"class\":\"demo\","
	    "\"forward\":" CELL ",\"backward\":null,\"results\":[" RESULT(
	        "2026-11-23T10:00:00.000Z", "1.0",
	        "0") "," RESULT("2026-11-23T10:00:10.000Z", "null",
	                        "100") "," RESULT("2026-11-23T10:00:20.000Z",
	                                          "2.0", "0") "]}");
	char err[DOC_ERR_MAX] = "";
	struct doc_path p;
	size_t len = 0;
	FILE *f = print_begin(&len);

	ck_assert_msg(doc_path_read(j, &p, err), "%s", err);
	ck_assert(p.has_forward && !p.has_backward);
	ck_assert_uint_eq(p.result_n, 3);
	show_path(f, &p, 2, 100, false);
	(void)fclose(f);
	ck_assert_ptr_nonnull(strstr(
	    shown, "ams1 -> fra1: ok since 2026-11-23T10:00:00.000Z (fine)"));
	ck_assert_ptr_nonnull(strstr(shown, "\nfra1 -> ams1: not planned\n"));
	ck_assert_ptr_nonnull(strstr(shown, "RTT   ▁x█\nlost  .!.\n"));
	/* the newest two of three */
	ck_assert_ptr_null(strstr(shown, "\n2026-11-23T10:00:00"));
	ck_assert_ptr_nonnull(strstr(shown, "\n2026-11-23T10:00:10.000Z"));
	f = print_begin(&len);
	show_path_csv(f, &p);
	(void)fclose(f);
	ck_assert_ptr_nonnull(strstr(shown, ",rtt_min_ms,rtt_mean_ms,"));
	ck_assert_ptr_nonnull(strstr(
	    shown, "\nams1,fra1,demo,2026-11-23T10:00:20.000Z,10,,100,"));
	doc_path_clear(&p);
	json_decref(j);
}
END_TEST

START_TEST(test_nodes)
{
	json_t *j = parse(
	    "{\"database\":{\"ok\":false,\"since\":\"2026-11-23T10:00:10Z\"},"
	    "\"nodes\":[{\"name\":\"ams1\",\"site\":\"ams\",\"state\":\"ok\","
	    "\"last_contact_at\":\"2026-11-23T10:00:00.500Z\","
	    "\"addresses\":[\"127.0.1.1\"],\"unconsented\":[\"10.0.0.1\","
	    "\"\\u001b]0;x\"],\"reflector_port\":862,\"spool_batches\":3,"
	    "\"spool_bytes\":4096,\"clock_offset_ms\":-1.25,"
	    "\"clock_synchronised\":false},"
	    "{\"name\":\"fra1\",\"state\":\"stale\","
	    "\"state_why\":\"silent\"},"
	    "{\"name\":\"lon1\",\"state\":\"ok\",\"clock_offset_ms\":0.5,"
	    "\"clock_synchronised\":true,\"clock_verdict\":\"untrusted\","
	    "\"clock_lo_ms\":299.75,\"clock_hi_ms\":301},"
	    "{\"name\":\"nyc1\",\"state\":\"ok\",\"clock_offset_ms\":0.5,"
	    "\"clock_synchronised\":true,\"clock_verdict\":\"trusted\"},"
	    "{\"name\":\"rtr1\",\"state\":\"target\",\"kind\":\"target\","
	    "\"maintenance\":{\"since\":\"2026-11-23T09:00:00Z\","
	    "\"until\":\"2026-11-23T11:00:00Z\",\"reason\":\"=1+1\\u001b\","
	    "\"by\":\"eve\"}}],"
	    "\"pending\":[{\"fingerprint\":\"ABCD-EFGH-IJKL-MNOP\","
	    "\"address\":\"10.1.1.1\\n\",\"last_seen\":"
	    "\"2026-11-23T10:00:00Z\",\"attempts\":4}]}");
	char err[DOC_ERR_MAX] = "";
	struct doc_nodes n;
	size_t len = 0;
	FILE *f = print_begin(&len);

	ck_assert_msg(doc_nodes_read(j, &n, err), "%s", err);
	/* 2026-11-23T10:00:12.5Z */
	show_nodes(f, &n, INT64_C(1795428012500000000), false);
	(void)fclose(f);
	ck_assert_ptr_eq(shown, strstr(shown, "the database is away since "
	                                      "2026-11-23T10:00:10Z: this is "
	                                      "the last state known\n"));
	ck_assert_msg(
	    strstr(shown,
	           "ams1  ams      ok           12s  -1.2 ms unsync            "
	           "3, 4.1 kB    127.0.1.1 port 862\n") != NULL,
	    "%s", shown);
	ck_assert_ptr_nonnull(strstr(shown, "for want of consent: 10.0.0.1 "
	                                    "?]0;x\n"));
	ck_assert_ptr_nonnull(strstr(shown, "\n      silent\n"));
	ck_assert_msg(strstr(shown, " 0.5 ms untrusted ") != NULL, "%s", shown);
	ck_assert_msg(strstr(shown, "\n      its clock is not what it claims: "
	                            "300 to 301 ms off, by what the mesh "
	                            "measured\nnyc1 ") != NULL,
	              "%s", shown);
	ck_assert_ptr_nonnull(
	    strstr(shown, "\n      in maintenance until 2026-11-23T11:00:00Z: "
	                  "=1+1? (eve)\n"));
	ck_assert_ptr_nonnull(strstr(shown, " 0.5 ms trusted "));
	ck_assert_ptr_nonnull(strstr(
	    shown, "\n    twmesh node approve ABCD-EFGH-IJKL-MNOP NAME\n"));
	ck_assert_ptr_null(strchr(shown, '\033'));
	f = print_begin(&len);
	show_nodes_csv(f, &n);
	(void)fclose(f);
	ck_assert_ptr_nonnull(strstr(shown, "\nfra1,,stale,silent,"));
	ck_assert_ptr_nonnull(strstr(shown, ",untrusted,299.75,301,,,,\n"));
	ck_assert_msg(
	    strstr(shown, ",target,on,2026-11-23T11:00:00Z,\"'=1+1?\"") != NULL,
	    "%s", shown);
	doc_nodes_clear(&n);
	json_decref(j);
}
END_TEST

/* Valid but for its spaces, which end a word in a shell. */
static const char spaced[] =
    "{\"nodes\":[],\"pending\":[{\"fingerprint\":\"ABCD EFGH IJKL "
    "MNOP\"}]}";

/* People copy fingerprints into a shell. */
START_TEST(test_nodes_refuses)
{
	static const char *const bad[] = {
	    "{}",
	    "{\"nodes\":{}}",
	    "{\"nodes\":[{}]}",
	    "{\"nodes\":[],\"pending\":[{\"fingerprint\":\"$(reboot)\"}]}",
	    spaced,
	    "{\"nodes\":[],\"pending\":[{}]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char err[DOC_ERR_MAX] = "";
		json_t *j = parse(bad[i]);
		struct doc_nodes n;

		ck_assert_msg(!doc_nodes_read(j, &n, err), "%s", bad[i]);
		json_decref(j);
	}
}
END_TEST

START_TEST(test_tokens)
{
	json_t *j = parse(
	    "{\"tokens\":[{\"token_id\":3,\"fingerprint\":\"ABCD-EFGH-IJKL-"
	    "MNOP\",\"state\":\"open\",\"uses\":1,\"uses_max\":5,"
	    "\"created_at\":\"2026-11-23T09:00:00.000Z\",\"expires_at\":"
	    "\"2026-11-24T09:00:00.000Z\",\"last_used_at\":"
	    "\"2026-11-23T09:30:00.125Z\",\"nodes\":[\"ams1\",\"=x\\u001b\"]},"
	    "{\"token_id\":4,\"state\":\"used up\",\"uses\":1,"
	    "\"uses_max\":1}]}");
	char err[DOC_ERR_MAX] = "";
	struct doc_tokens d;
	size_t len = 0;
	FILE *f = print_begin(&len);

	ck_assert_msg(doc_tokens_read(j, &d, err), "%s", err);
	show_tokens(f, &d, false);
	(void)fclose(f);
	ck_assert_str_eq(
	    shown,
	    "   id  state     uses         expires               last used  "
	    "           fingerprint          let in\n"
	    "    3  open      1 of 5       2026-11-24T09:00:00Z  "
	    "2026-11-23T09:30:00Z  ABCD-EFGH-IJKL-MNOP  ams1 =x?\n"
	    "    4  used up   1 of 1       -                     -          "
	    "                                \n");
	f = print_begin(&len);
	show_tokens_csv(f, &d);
	(void)fclose(f);
	ck_assert_ptr_nonnull(strstr(
	    shown, "\n3,open,1,5,2026-11-23T09:00:00.000Z,2026-11-24T09:00:00"
	           ".000Z,2026-11-23T09:30:00.125Z,ABCD-EFGH-IJKL-MNOP,"));
	doc_tokens_clear(&d);
	json_decref(j);
	j = parse("{\"tokens\":[]}");
	ck_assert(doc_tokens_read(j, &d, err));
	f = print_begin(&len);
	show_tokens(f, &d, true);
	(void)fclose(f);
	ck_assert_str_eq(shown, "no join tokens\n");
	doc_tokens_clear(&d);
	json_decref(j);
}
END_TEST

START_TEST(test_tokens_refuses)
{
	static const char *const bad[] = {
	    "{}",
	    "{\"tokens\":{}}",
	    "{\"tokens\":[1]}",
	    "{\"tokens\":[{\"token_id\":\"1\",\"uses\":1,\"uses_max\":1}]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char err[DOC_ERR_MAX] = "";
		json_t *j = parse(bad[i]);
		struct doc_tokens d;

		ck_assert_msg(!doc_tokens_read(j, &d, err), "%s", bad[i]);
		json_decref(j);
	}
}
END_TEST

START_TEST(test_age)
{
	const int64_t now = INT64_C(1795428012500000000);

	ck_assert_double_eq_tol(doc_age_s("2026-11-23T10:00:12.500Z", now), 0,
	                        1e-3);
	ck_assert_double_eq_tol(doc_age_s("2026-11-23T09:00:12.500Z", now),
	                        3600, 1e-3);
	ck_assert(isnan(doc_age_s("", now)));
	ck_assert(isnan(doc_age_s("2026-11-23", now)));
	ck_assert(isnan(doc_age_s("2026-11-23T10:00:12.500", now)));
	ck_assert(isnan(doc_age_s("2026-11-23T10:00:12+01:00", now)));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("table");
	TCase *t = tcase_create("table");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_put);
	tcase_add_test(t, test_numbers);
	tcase_add_test(t, test_csv);
	tcase_add_test(t, test_colour);
	tcase_add_test(t, test_matrix);
	tcase_add_test(
	    t, what_is_not_planned_is_blank_and_targets_are_columns_only);
	tcase_add_test(t, test_matrix_csv);
	tcase_add_test(t, test_matrix_wide);
	tcase_add_test(t, test_matrix_empty);
	tcase_add_test(t, test_matrix_database_away);
	tcase_add_test(t, test_matrix_refuses);
	tcase_add_test(t, test_path);
	tcase_add_test(t, test_nodes);
	tcase_add_test(t, test_nodes_refuses);
	tcase_add_test(t, test_tokens);
	tcase_add_test(t, test_tokens_refuses);
	tcase_add_test(t, test_age);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
