/* SPDX-License-Identifier: BSD-2-Clause */
/* The schema as a product: every piece of SQL in docs/SCHEMA.md runs, and every
 * object says what it is. */
#include "tests/unit/writerbox.h"

#define RECIPES_MIN 20

static char *
read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t n = 0;

	ck_assert_msg(f != NULL, "%s cannot be read", path);
	ck_assert_int_gt(getdelim(&text, &n, '\0', f), 0);
	(void)fclose(f);
	return text;
}

static void
run(const char *sql)
{
	struct pgc_err e;

	ck_assert_msg(pgc_exec(sql_conn, sql, &e), "%s\nin\n%s", e.text, sql);
}

START_TEST(every_recipe_runs)
{
	char *text = read_all(TEST_SRCDIR "/docs/SCHEMA.md");
	const char *at = text;
	struct result r[2];
	unsigned n = 0;

	result_fill(&r[0], fra, cls, interval_before(4), 100, 30);
	result_fill(&r[1], fra, cls, interval_before(3), 100, 30);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 1, r, 2), NULL),
	                 ACK_STORED);
	while ((at = strstr(at, "\n```sql\n")) != NULL) {
		const char *from = at + strlen("\n```sql\n");
		const char *to = strstr(from, "\n```");
		char *sql;

		ck_assert_ptr_nonnull(to);
		sql = strndup(from, (size_t)(to - from));
		ck_assert_ptr_nonnull(sql);
		run(strstr(sql, "twmesh_private") ? "RESET ROLE"
		                                  : "SET ROLE twmesh_reader");
		run(sql);
		free(sql);
		at = to;
		n++;
	}
	run("RESET ROLE");
	free(text);
	ck_assert_uint_ge(n, RECIPES_MIN);
}
END_TEST

START_TEST(every_object_has_a_comment)
{
	static const char without[] =
	    "WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname IN "
	    "('twmesh', 'twmesh_private')), rel AS (SELECT c.oid, "
	    "c.oid::regclass::text AS name FROM pg_class c JOIN ours ON "
	    "ours.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v')) "
	    "SELECT coalesce(string_agg(name, ', '), 'none') FROM (SELECT name "
	    "FROM rel WHERE obj_description(oid, 'pg_class') IS NULL UNION ALL "
	    "SELECT rel.name || '.' || a.attname FROM rel JOIN pg_attribute a "
	    "ON a.attrelid = rel.oid WHERE a.attnum > 0 AND NOT a.attisdropped "
	    "AND col_description(rel.oid, a.attnum) IS NULL UNION ALL SELECT "
	    "p.oid::regprocedure::text FROM pg_proc p JOIN ours ON ours.oid = "
	    "p.pronamespace WHERE obj_description(p.oid, 'pg_proc') IS NULL) x";

	ck_assert(sql_is(without, "none"));
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("recipes");
	TCase *t = tcase_create("recipes");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, every_recipe_runs);
	tcase_add_test(t, every_object_has_a_comment);
	suite_add_tcase(s, t);
	return s;
}

int
main(int argc, char **argv)
{
	return writerbox_main(argc, argv, suite);
}
