/* SPDX-License-Identifier: BSD-2-Clause */
/* Binary values, arrays, COPY and the cutting of scripts, without a server. */
#include "controller/copy.h"
#include "lib/base/metric.h"
#include "lib/base/rng.h"
#include "lib/pg/pgcopy.h"
#include "lib/pg/pgsplit.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
is_bytes(const struct pgbuf *b, const void *want, size_t n)
{
	ck_assert(!b->failed);
	ck_assert_uint_eq(b->len, n);
	ck_assert_int_eq(memcmp(b->p, want, n), 0);
}

START_TEST(a_copy_is_what_the_manual_says)
{
	static const char want[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
	                           "\0\3"
	                           "\0\0\0\4\0\0\0\7"
	                           "\377\377\377\377"
	                           "\0\0\0\2hi"
	                           "\377\377";
	struct pgcopy w = {.conn = NULL};
	struct pgc_err e;

	ck_assert(pgcopy_begin(&w, NULL, "", 3, &e));
	ck_assert(pgcopy_row(&w, &e));
	pgbuf_i4(&w.buf, 7);
	pgbuf_null(&w.buf);
	pgbuf_bytes(&w.buf, "hi", 2);
	ck_assert(pgcopy_end(&w, NULL, &e));
	is_bytes(&w.buf, want, sizeof(want) - 1);
	pgcopy_clear(&w);
}
END_TEST

START_TEST(values_have_their_lengths_and_order)
{
	struct pgbuf b = {NULL, 0, 0, false};

	pgbuf_i2(&b, -2);
	pgbuf_i8(&b, 1);
	pgbuf_f4(&b, 1.0F);
	pgbuf_f8(&b, 1.0);
	pgbuf_bool(&b, true);
	is_bytes(&b,
	         "\0\0\0\2\377\376"
	         "\0\0\0\10\0\0\0\0\0\0\0\1"
	         "\0\0\0\4\77\200\0\0"
	         "\0\0\0\10\77\360\0\0\0\0\0\0"
	         "\0\0\0\1\1",
	         6 + 12 + 8 + 12 + 5);
	pgbuf_clear(&b);
}
END_TEST

START_TEST(instants_round_down_and_come_back)
{
	struct wall y2000 = {PG_EPOCH_US * 1000};

	ck_assert(pg_wall_to_us(y2000) == 0);
	ck_assert(pg_wall_to_us((struct wall){-1}) == -PG_EPOCH_US - 1);
	ck_assert(pg_us_to_wall(0).ns == y2000.ns);
	ck_assert(pg_us_to_wall(INT64_MAX).ns > 0);
	ck_assert(pg_us_to_wall(INT64_MIN).ns < 0);
}
END_TEST

START_TEST(arrays_come_back)
{
	struct pgbuf b = {NULL, 0, 0, false};
	struct pgarray a;
	const uint8_t *p;
	size_t n;

	pgbuf_array(&b, PG_OID_INT4, 3);
	pgbuf_i4(&b, -5);
	pgbuf_null(&b);
	pgbuf_i4(&b, 9);
	ck_assert(!pgarray_open(&a, b.p, b.len, PG_OID_INT8));
	ck_assert(!pgarray_open(&a, NULL, 0, PG_OID_INT4));
	ck_assert(pgarray_open(&a, b.p, b.len, PG_OID_INT4));
	ck_assert_uint_eq(a.n, 3);
	ck_assert(pgarray_next_i64(&a, 1) == -5);
	ck_assert(pgarray_next_i64(&a, 1) == 1);
	ck_assert(pgarray_next_i64(&a, 1) == 9);
	ck_assert(pgarray_next_i64(&a, 77) == 77);
	ck_assert(!pgarray_next(&a, &p, &n));
	b.len = 0;
	pgbuf_array(&b, PG_OID_TEXT, 0);
	ck_assert(pgarray_open(&a, b.p, b.len, PG_OID_TEXT));
	ck_assert_uint_eq(a.n, 0);
	pgbuf_clear(&b);
}
END_TEST

START_TEST(torn_arrays_are_refused)
{
	struct rng r;
	uint64_t seed = random_u64();
	struct pgbuf b = {NULL, 0, 0, false};

	rng_seed(&r, seed);
	pgbuf_array(&b, PG_OID_FLOAT4, 20);
	for (int i = 0; i < 20; i++)
		pgbuf_f4(&b, (float)i);
	for (int round = 0; round < 20000; round++) {
		size_t len = rng_u64(&r) % (b.len + 1);
		uint8_t *copy = malloc(len + 1); /* ASan sees the end */
		struct pgarray a;
		const uint8_t *p;
		size_t n, taken = 0;

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, b.p, len);
		for (int k = 0; len > 0 && k < (int)(rng_u64(&r) % 4); k++)
			copy[rng_u64(&r) % len] = (uint8_t)rng_u64(&r);
		if (pgarray_open(&a, copy, len, PG_OID_FLOAT4)) {
			while (pgarray_next(&a, &p, &n))
				taken += n;
			ck_assert_uint_le(taken, len);
			ck_assert(isnan(pgarray_next_f4(&a, NAN)));
		}
		free(copy);
	}
	pgbuf_clear(&b);
}
END_TEST

/* The migration's table has every column of the metric table, and the COPY
 * names them all. */
START_TEST(the_schema_holds_every_metric)
{
	char copy[COPY_SQL_MAX], *sql = calloc(1, 1 << 20);
	FILE *f = fopen(TEST_SRCDIR "/sql/0001_tables.sql", "re");
	int columns, expected = 6 + 1;

	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(sql);
	ck_assert_uint_gt(fread(sql, 1, (1 << 20) - 1, f), 0);
	(void)fclose(f);
	copy_sql("twmesh.result", copy, &columns);
	for (unsigned m = 1; m < METRIC_N; m++)
		expected += metric_info(m)->home == METRIC_ROW;
	ck_assert_int_eq(columns, expected);
	ck_assert_ptr_nonnull(strstr(copy, "rtt_hist) FROM STDIN"));
	for (unsigned m = 1; m < METRIC_N; m++) {
		const struct metric_info *i = metric_info(m);
		const char *type = i->type == METRIC_COUNT   ? "integer"
		                   : i->type == METRIC_SMALL ? "smallint"
		                                             : "real";
		char column[120];
		const char *at;

		if (i->home != METRIC_ROW)
			continue;

		(void)snprintf(column, sizeof(column), "\n    %s ", i->sql);
		at = strstr(strstr(sql, "CREATE TABLE twmesh.result"), column);
		ck_assert_msg(at != NULL, "no column %s", i->sql);
		at += strlen(column);
		at += strspn(at, " ");
		ck_assert_msg(strncmp(at, type, strlen(type)) == 0,
		              "%s is not %s", i->sql, type);
		ck_assert_msg((strncmp(at + strlen(type), " NOT NULL", 9) ==
		               0) == (strcmp(i->null_rule, "never") == 0),
		              "%s: NULL rule", i->sql);
		(void)snprintf(column, sizeof(column), ", %s,", i->sql);
		ck_assert_ptr_nonnull(strstr(copy, column));
	}
	free(sql);
}
END_TEST

START_TEST(a_script_is_cut_at_its_statements)
{
	static const char script[] =
	    "-- head; not a statement\n"
	    "SELECT ';', E'\\';', \"a;\"\"b\" -- x;\n;\n"
	    "/* ; /* ; */ ; */\n\n"
	    "DO $$ BEGIN; END $$;;\n"
	    "DO $x$ $$ ; $$ $x$;"
	    "CREATE FUNCTION f() LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN "
	    "true THEN 1 END; SELECT 2; END;\n"
	    "SELECT a$1;b";
	static const struct {
		const char *begins;
		unsigned line;
	} want[] = {{"SELECT ';'", 2},        {"DO $$", 6},      {"DO $x$", 7},
	            {"CREATE FUNCTION f", 7}, {"SELECT a$1", 8}, {"b", 8}};
	struct pgsplit s;
	struct pgstatement st;
	size_t n = 0;

	pgsplit_init(&s, script);
	while (pgsplit_next(&s, &st)) {
		ck_assert_uint_lt(n, sizeof(want) / sizeof(want[0]));
		ck_assert_msg(strncmp(st.text, want[n].begins,
		                      strlen(want[n].begins)) == 0,
		              "%zu: %.20s", n, st.text);
		ck_assert_uint_eq(st.line, want[n].line);
		n++;
	}
	ck_assert_uint_eq(n, sizeof(want) / sizeof(want[0]));
}
END_TEST

START_TEST(a_position_names_its_line)
{
	static const char script[] = "\n\nSELECT 'é',\n oops,\n 3;";
	struct pgsplit s;
	struct pgstatement st;

	pgsplit_init(&s, script);
	ck_assert(pgsplit_next(&s, &st));
	ck_assert_uint_eq(pgsplit_line(&st, 0), 3);
	ck_assert_uint_eq(pgsplit_line(&st, 11), 3);
	ck_assert_uint_eq(pgsplit_line(&st, 14), 4);
	ck_assert_uint_eq(pgsplit_line(&st, 22), 5);
}
END_TEST

START_TEST(torn_scripts_end)
{
	static const char *const torn[] = {"'abc", "\"abc", "$$abc",  "/* abc",
	                                   "E'\\", "-- x",  "$a$ $b", ""};

	for (size_t i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
		struct pgsplit s;
		struct pgstatement st;
		int n = 0;

		pgsplit_init(&s, torn[i]);
		while (pgsplit_next(&s, &st))
			ck_assert_int_lt(n++, 2);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("pg");
	TCase *t = tcase_create("pg");

	tcase_add_test(t, a_copy_is_what_the_manual_says);
	tcase_add_test(t, values_have_their_lengths_and_order);
	tcase_add_test(t, instants_round_down_and_come_back);
	tcase_add_test(t, arrays_come_back);
	tcase_add_test(t, torn_arrays_are_refused);
	tcase_add_test(t, the_schema_holds_every_metric);
	tcase_add_test(t, a_script_is_cut_at_its_statements);
	tcase_add_test(t, a_position_names_its_line);
	tcase_add_test(t, torn_scripts_end);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
