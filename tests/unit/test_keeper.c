/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lease with its fence, and partitions that come and go while others read
 * and write.
 */
#include "tests/unit/writerbox.h"

#include "controller/keeper.h"
#include "controller/rollup.h"

#include <pthread.h>

#define ME "00000000-0000-0000-0000-000000000001"
#define OTHER "00000000-0000-0000-0000-000000000002"
#define INGEST_WAIT_MAX_NS (200 * NS_PER_MS)

static const struct keep keep = {7, 90, 1826};

static struct pgc *
connect_as(const char *conninfo)
{
	struct pgc_err e;
	struct pgc *db = pgc_open(conninfo, "test keeper", NULL, &e);

	ck_assert_msg(db != NULL, "%s", e.text);
	ck_assert_msg(lease_attach(db, &e), "%s", e.text);
	return db;
}

static bool
holds(struct lease *l, struct pgc *db)
{
	struct pgc_err e;

	l->ask_at = (struct mono){0};
	ck_assert_msg(lease_keep(l, db, clock_mono(), &e), "%s", e.text);
	return l->fence != 0;
}

/* Holds the lease for the rest of the test. */
static void
hold(struct lease *l, struct pgc *db)
{
	*l = (struct lease){.me = ME, .time_ns = 600 * NS_PER_S};
	ck_assert(holds(l, db));
}

static void
expire(void)
{
	sql_do("UPDATE twmesh_private.lease SET expires_at = now() - interval "
	       "'1 s'");
}

static void
one_holds_the_lease_and_another_takes_it_when_it_is_over(void)
{
	struct lease a = {.me = ME, .time_ns = 600 * NS_PER_S};
	struct lease b = {.me = OTHER, .time_ns = 600 * NS_PER_S};
	struct pgc *da = connect_as(""), *db = connect_as("");
	struct pgc_err e;
	bool ours = true;
	int64_t old;

	ck_assert(holds(&a, da));
	ck_assert(!holds(&b, db));
	ck_assert(holds(&a, da));
	old = a.fence;
	/* Over, but nobody wanted it. */
	expire();
	ck_assert(holds(&a, da));
	ck_assert_int_eq(a.fence, old);
	expire();
	ck_assert(holds(&b, db));
	ck_assert_int_eq(b.fence, old + 1);
	/* Its server process is gone, and so is its fence. */
	ck_assert(!lease_keep(&a, da, clock_mono(), &e) ||
	          !pgc_exec(da, "SELECT 1", &e));
	pgc_close(da);
	da = connect_as("");
	ck_assert(keeper_begin(&a, da, "BEGIN", &ours, &e));
	ck_assert(!ours);
	ck_assert_int_eq(a.fence, 0);
	ck_assert(!holds(&a, da));
	ck_assert(lease_release(&b, db, &e));
	ck_assert(holds(&a, da));
	ck_assert_int_eq(a.fence, old + 2);
	pgc_close(da);
	pgc_close(db);
}

/* As a process does that was stopped between two statements. */
static void
who_hangs_in_a_transaction_is_thrown_out(void)
{
	struct lease a, b = {.me = OTHER, .time_ns = 600 * NS_PER_S};
	struct pgc *da = connect_as(""), *db = connect_as("");
	struct pgc_err e;
	bool ours = false;
	int tries = 0;

	hold(&a, da);
	/* as long as the lock is held: it cannot be expired by UPDATE then */
	sql_do("UPDATE twmesh_private.lease SET expires_at = now() + interval "
	       "'300 ms'");
	ck_assert(keeper_begin(&a, da, "BEGIN", &ours, &e) && ours);
	ck_assert(pgc_exec(da,
	                   "INSERT INTO twmesh_private.stored VALUES (now(), "
	                   "1, 77, 0)",
	                   &e));
	while (!holds(&b, db) && tries++ < 200)
		(void)poll(NULL, 0, 20);
	ck_assert_int_eq(b.fence, a.fence + 1);
	ck_assert(!pgc_exec(da, "COMMIT", &e));
	ck_assert_int_eq(sql_number("SELECT count(*) FROM "
	                            "twmesh_private.stored WHERE rows = 77"),
	                 0);
	pgc_close(da);
	pgc_close(db);
}

/* A snapshot from before the lease changed hands is a conflict. */
static void
a_snapshot_of_the_old_holder_cannot_write(void)
{
	struct lease a, b = {.me = OTHER, .time_ns = 600 * NS_PER_S};
	struct pgc *da = connect_as(""), *db = connect_as("user=alone");
	struct pgc_err e;
	bool ours = true;

	hold(&a, da);
	ck_assert(pgc_exec(da, "BEGIN ISOLATION LEVEL REPEATABLE READ", &e) &&
	          pgc_exec(da, "SELECT FROM twmesh.node", &e));
	expire();
	/* one that may not end the server process of the first */
	ck_assert(holds(&b, db));
	ck_assert(!lease_fence(&a, da, &ours, &e));
	ck_assert_str_eq(e.sqlstate, "40001");
	ck_assert(pgc_exec(da, "ROLLBACK", &e));
	ck_assert(keeper_begin(&a, da, "BEGIN", &ours, &e) && !ours);
	pgc_close(da);
	pgc_close(db);
}

/* ---- partitions ---- */

static long long
leaves_n(const char *parent)
{
	char sql[120];

	(void)snprintf(sql, sizeof(sql),
	               "SELECT count(*) FROM twmesh_private.leaf WHERE parent "
	               "= '%s'",
	               parent);
	return sql_number(sql);
}

static void
drop_days(const char *which)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql),
	               "DO $$ DECLARE p text; BEGIN FOR p IN SELECT name FROM "
	               "twmesh_private.leaf WHERE %s LOOP EXECUTE 'DROP TABLE "
	               "twmesh.' || p; END LOOP; END $$",
	               which);
	sql_do(sql);
}

/* Does all that is due. */
static void
tidy(struct lease *l, struct pgc *db)
{
	struct pgc_err e;
	bool more = true;

	for (int i = 0; more && i < 100; i++)
		ck_assert_msg(leaves_tidy(l, db, &keep, &more, &e), "%s",
		              e.text);
	ck_assert(!more);
}

static void
check_retention(const char *conninfo)
{
	struct pgc *db = connect_as(conninfo);
	struct pgc_err e;
	struct lease l;

	hold(&l, db);
	ck_assert_msg(leaves_make(&l, db, &e), "%s", e.text);
	ck_assert_int_eq(leaves_n("rollup_5min"), 6);
	sql_do("SELECT twmesh_private.add_partition(current_date - 9), "
	       "twmesh_private.add_partition(current_date - 8), "
	       "twmesh_private.add_partition(current_date - 7), "
	       "twmesh_private.add_rollup_partition(300, current_date - 91), "
	       "twmesh_private.add_rollup_partition(300, current_date - 90), "
	       "twmesh_private.add_rollup_partition(3600, current_date - 400)");
	/* Something of nine days ago was not rolled up yet. */
	sql_do("INSERT INTO twmesh_private.bucket VALUES (current_date - "
	       "interval '9 days' + interval '3 h', 300, 1, 5, 0)");
	tidy(&l, db);
	ck_assert_int_eq(leaves_n("result"), 6 + 2);
	ck_assert_int_eq(leaves_n("result_detail"), 6 + 2);
	ck_assert_int_eq(leaves_n("rollup_5min"), 6 + 1);
	ck_assert_int_ge(leaves_n("rollup_1h"), 2);
	sql_do("UPDATE twmesh_private.bucket SET rolled_rows = rows");
	tidy(&l, db);
	ck_assert_int_eq(leaves_n("result"), 6 + 1);
	ck_assert_int_eq(leaves_n("result_flow"), 6 + 1);
	ck_assert(sql_is("SELECT count(*) FROM pg_class WHERE relname ~ "
	                 "'^result(_detail|_flow)?_[0-9]+$'",
	                 "21"));
	sql_do("DELETE FROM twmesh_private.bucket");
	drop_days("t_from < now() - interval '5 days'");
	ck_assert(lease_release(&l, db, &e));
	pgc_close(db);
}

static void
what_has_outlived_its_use_is_dropped_once_it_is_rolled_up(void)
{
	check_retention("");
	/* Without the owner's rights, too. */
	check_retention("user=alone");
}

static void
closed_partitions_get_an_index_and_a_broken_one_is_built_again(void)
{
	struct pgc *db = connect_as(""), *blocker = connect_as("");
	char sql[200];
	struct pgc_err e;
	struct lease l;
	char *text = NULL;

	hold(&l, db);
	/* A build that is cut short leaves an invalid one. */
	ck_assert(pgc_query_text(sql_conn,
	                         "SELECT to_char(current_date - 3, "
	                         "'YYYYMMDD')",
	                         0, NULL, &text, &e));
	(void)snprintf(sql, sizeof(sql),
	               "DROP INDEX IF EXISTS twmesh.result_%s_path", text);
	ck_assert(pgc_exec(db, sql, &e));
	ck_assert_msg(pgc_exec(blocker,
	                       "BEGIN; LOCK TABLE twmesh.result IN ROW "
	                       "EXCLUSIVE MODE",
	                       &e),
	              "%s", e.text);
	(void)snprintf(sql, sizeof(sql),
	               "CREATE INDEX CONCURRENTLY result_%s_path ON "
	               "twmesh.result_%s (src_id, dst_id, ts)",
	               text, text);
	ck_assert(pgc_exec(db, "SET lock_timeout = '200ms'", &e));
	ck_assert(!pgc_exec(db, sql, &e));
	ck_assert(pgc_exec(blocker, "ROLLBACK", &e));
	ck_assert_int_eq(sql_number("SELECT count(*) FROM pg_index WHERE NOT "
	                            "indisvalid"),
	                 1);
	tidy(&l, db);
	ck_assert_int_ge(sql_number("SELECT count(*) FROM pg_index x JOIN "
	                            "pg_class c ON c.oid = x.indexrelid WHERE "
	                            "c.relname ~ '_path$' AND x.indisvalid"),
	                 2);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM pg_index WHERE NOT "
	                            "indisvalid"),
	                 0);
	/* Days that may still get rows have one of (src_id, ts) as well. */
	sql_do("SELECT twmesh_private.add_partition(current_date - 6)");
	tidy(&l, db);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM pg_class WHERE "
	                            "relname ~ '^result_[0-9]{8}_src$'"),
	                 6);
	ck_assert_int_ge(sql_number("SELECT count(*) FROM pg_class WHERE "
	                            "relname ~ '^result_[0-9]{8}_path$'"),
	                 4);
	drop_days("t_from < now() - interval '5 days'");
	free(text);
	pgc_close(blocker);
	pgc_close(db);
}

/* ---- nobody waits ---- */

struct work {
	struct lease l;
	struct pgc *db;
	bool ok;
};

/* Days come and go. */
static void *
come_and_go(void *arg)
{
	struct work *w = arg;
	struct pgc_err e = {.text = ""};
	bool more = true;

	w->ok = pgc_exec(w->db,
	                 "SELECT twmesh_private.add_partition(current_date + "
	                 "d), twmesh_private.add_rollup_partition(300, "
	                 "current_date + d) FROM generate_series(3, 9) d",
	                 &e) &&
	        pgc_exec(w->db,
	                 "SELECT twmesh_private.add_partition(current_date - "
	                 "20)",
	                 &e);
	/* With a reader in the way nothing is dropped; it is tried. */
	for (int i = 0; i < 5; i++) {
		struct pgc_err ignored;

		if (!leaves_tidy(&w->l, w->db, &keep, &more, &e))
			w->ok &= strcmp(e.sqlstate, "55P03") == 0 &&
			         pgc_exec(w->db, "ROLLBACK", &ignored);
	}
	return NULL;
}

static void
check_waits(const char *conninfo)
{
	struct work w = {.db = connect_as(conninfo)};
	struct pgc *reader = connect_as(""), *writer = connect_as("");
	int64_t worst = 0;
	pthread_t thread;
	struct pgc_err e;

	hold(&w.l, w.db);
	ck_assert(
	    pgc_exec(reader, "BEGIN; SELECT count(*) FROM twmesh.result", &e));
	ck_assert_int_eq(pthread_create(&thread, NULL, come_and_go, &w), 0);
	for (int i = 0; i < 60; i++) {
		const struct mono t0 = clock_mono();
		int64_t took;

		ck_assert_msg(
		    pgc_exec(writer,
		             "INSERT INTO twmesh.result (ts, src_id, dst_id, "
		             "class_id, epoch, interval_ms, scheduled, sent, "
		             "send_failed, received, lost, lost_fwd, lost_bwd, "
		             "lost_undet, late, duplicates, local_drops, "
		             "span_ms, flags) VALUES (now(), 1, 2, 1, 1, 1000, "
		             "1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1000, 0)",
		             &e),
		    "%s", e.text);
		took = mono_diff_ns(clock_mono(), t0);
		worst = took > worst ? took : worst;
		(void)poll(NULL, 0, 5);
	}
	ck_assert(pgc_exec(reader, "COMMIT", &e));
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(w.ok);
	tidy(&w.l, w.db);
	ck_assert_int_eq(leaves_n("result"), 6 + 7);
	printf("longest wait of an insert: %.1f ms\n", (double)worst / 1e6);
	ck_assert_int_lt(worst, INGEST_WAIT_MAX_NS);
	ck_assert(lease_release(&w.l, w.db, &e));
	pgc_close(w.db);
	pgc_close(reader);
	pgc_close(writer);
	drop_days("t_from > now() + interval '2 days'");
}

static void
ingest_never_waits_behind_a_long_reader(void)
{
	check_waits("");
	check_waits("user=alone");
}

/* A database of its own for each of these would take longer than they do. */
START_TEST(the_lease_is_held_by_one_and_fences_out_the_others)
{
	one_holds_the_lease_and_another_takes_it_when_it_is_over();
	expire();
	who_hangs_in_a_transaction_is_thrown_out();
	expire();
	a_snapshot_of_the_old_holder_cannot_write();
}
END_TEST

START_TEST(partitions_come_and_go_and_nobody_waits)
{
	what_has_outlived_its_use_is_dropped_once_it_is_rolled_up();
	closed_partitions_get_an_index_and_a_broken_one_is_built_again();
	expire();
	ingest_never_waits_behind_a_long_reader();
}
END_TEST

/* ---- the threads ---- */

START_TEST(two_keepers_take_turns_and_stop_at_once)
{
	struct keeper_opts o = {.database = "",
	                        .instance = ME,
	                        .lease_ns = 1 * NS_PER_S,
	                        .keep = keep};
	struct keeper *a, *b;
	int err;

	a = keeper_start(&o, &err);
	ck_assert_ptr_nonnull(a);
	for (int i = 0; i < 100 && leaves_n("rollup_5min") < 6; i++)
		(void)poll(NULL, 0, 50);
	ck_assert_int_eq(leaves_n("rollup_5min"), 6);
	o.instance = OTHER;
	b = keeper_start(&o, &err);
	ck_assert_ptr_nonnull(b);
	keeper_stop(a);
	for (int i = 0; i < 100; i++) {
		if (sql_number("SELECT count(*) FROM twmesh_private.lease "
		               "WHERE holder = '" OTHER "' AND expires_at > "
		               "now()") == 1)
			break;
		(void)poll(NULL, 0, 50);
	}
	ck_assert_int_eq(
	    sql_number("SELECT fence FROM twmesh_private.lease WHERE holder = "
	               "'" OTHER "'"),
	    2);
	keeper_stop(b);
	ck_assert(
	    sql_is("SELECT expires_at FROM twmesh_private.lease", "-infinity"));
}
END_TEST

static void
set_up_alone(void)
{
	set_up();
	sql_do("DROP ROLE IF EXISTS alone; CREATE ROLE alone LOGIN IN ROLE "
	       "twmesh_writer");
}

static void
tear_down_alone(void)
{
	tear_down();
}

static Suite *
suite(void)
{
	Suite *s = suite_create("keeper");
	TCase *t = tcase_create("keeper");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up_alone, tear_down_alone);
	tcase_add_test(t, the_lease_is_held_by_one_and_fences_out_the_others);
	tcase_add_test(t, partitions_come_and_go_and_nobody_waits);
	tcase_add_test(t, two_keepers_take_turns_and_stop_at_once);
	suite_add_tcase(s, t);
	return s;
}

int
main(int argc, char **argv)
{
	return writerbox_main(argc, argv, suite);
}
