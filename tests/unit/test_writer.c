/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/writerbox.h"

#include <sys/stat.h>

START_TEST(first_use_makes_node_and_roster)
{
	box_pump(&box);
	ck_assert_uint_eq(box.roster.node_n, 2);
	ck_assert_uint_eq(box.roster.class_n, 1);
	ck_assert_uint_eq(box.roster.class_[0].class_id, cls);
	ck_assert(box.roster.class_[0].interval_ns == INTERVAL_NS);
	ck_assert_uint_eq(box.roster.node[0].address_n, 1);
	ck_assert(sql_is("SELECT addresses::text || unconsented::text FROM "
	                 "twmesh.node WHERE name = 'ams1'",
	                 "{127.0.1.1}{192.0.2.9}"));
	ck_assert(sql_is("SELECT string_agg(state || ':' || state_why, ',') "
	                 "FROM twmesh.path_matrix",
	                 "never:no result yet,never:no result yet"));
}
END_TEST

START_TEST(a_taken_name_and_a_changed_name_are_refused)
{
	ck_assert_uint_eq(join(&box, "ams1", 9, 9), 0);
	ck_assert_uint_eq(join(&box, "lon1", 1, 1), 0);
	ck_assert_uint_eq(join(&box, "ams1", 1, 1), ams);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.node"), 2);
}
END_TEST

START_TEST(a_batch_is_stored_once)
{
	struct result r[2];

	result_fill(&r[0], fra, cls, interval_before(3), 100, 0);
	result_fill(&r[1], fra, cls, interval_before(2), 100, 20);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 1, r, 2), NULL),
	                 ACK_STORED);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 1, r, 2), NULL),
	                 ACK_DUPLICATE);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.path_result "
	                            "WHERE rtt_hist = '\\x010203'"),
	                 2);
	ck_assert(sql_is("SELECT state || ' ' || loss_pct || ' ' || rtt_ms || "
	                 "' ' || coalesce(rtt_p99_ms::text, 'null') FROM "
	                 "twmesh.path_matrix WHERE src = 'ams1'",
	                 "ok 20 1.5 null"));
	/* The next Hello says where to go on. */
	say_hello(&box, "ams1", 1, 1);
	{
		struct tell *t = box_wait(&box, TELL_HELLO);

		ck_assert_uint_eq(t->u.hello.ledger_next_seq, 2);
		tell_free(t);
	}
}
END_TEST

START_TEST(the_same_number_with_other_content_is_put_aside)
{
	struct result r;
	char why[REASON_MAX];

	result_fill(&r, fra, cls, interval_before(3), 100, 0);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 1, &r, 1), NULL),
	                 ACK_STORED);
	result_fill(&r, fra, cls, interval_before(3), 100, 50);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 1, &r, 1), why),
	                 ACK_PUT_ASIDE);
	ck_assert_ptr_nonnull(strstr(why, "another content"));
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 1);
	ck_assert_int_eq(
	    sql_number("SELECT count(*) FROM twmesh_private.put_aside WHERE "
	               "payload IS NOT NULL AND rows = 1"),
	    1);
}
END_TEST

START_TEST(bad_rows_do_not_fail_the_good_ones)
{
	struct result r[5];
	char why[REASON_MAX];

	result_fill(&r[0], fra, cls, interval_before(3), 100, 0);
	result_fill(&r[1], 99, cls, interval_before(3), 100, 0);
	result_fill(&r[2], fra, 77, interval_before(3), 100, 0);
	result_fill(&r[3], fra, cls, (struct wall){INTERVAL_NS}, 100, 0);
	result_fill(&r[4], fra, cls, interval_before(-60), 100, 0);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 1, r, 5), why),
	                 ACK_STORED);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 1);
	ck_assert(sql_is("SELECT status || rows FROM twmesh_private.ledger",
	                 "partly1"));
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 2, r + 1, 4), why),
	                 ACK_PUT_ASIDE);
	ck_assert_str_ne(why, "");
	ck_assert_int_eq(
	    sql_number("SELECT sum(rows) FROM twmesh_private.put_aside"), 8);
}
END_TEST

/* A transaction with rows of several partitions, a bad one among them. */
START_TEST(rows_go_to_the_partitions_of_their_days)
{
	static const int days[] = {0, 3, 1, 99, 0, 2, 1};
	const int64_t day_ns = 86400 * NS_PER_S;
	const int64_t today = clock_wall().ns / day_ns * day_ns;
	struct result r[7];

	for (int i = 0; i < 7; i++) {
		const struct wall at = {today - days[i] * day_ns +
		                        i * INTERVAL_NS};

		result_fill(&r[i], fra, cls, at, 100, i);
	}
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 1, r, 7), NULL),
	                 ACK_STORED);
	ck_assert(sql_is("SELECT string_agg(lost || '', ',' ORDER BY lost) "
	                 "FROM twmesh.result",
	                 "0,1,2,4,5,6"));
	ck_assert_int_eq(
	    sql_number("SELECT count(DISTINCT tableoid) FROM twmesh.result"),
	    4);
	ck_assert_int_eq(
	    sql_number("SELECT count(*) FROM twmesh.result WHERE "
	               "tableoid::regclass::text <> 'twmesh.result_' || "
	               "to_char(ts AT TIME ZONE 'UTC', 'YYYYMMDD')"),
	    0);
	ck_assert(sql_is("SELECT rows || status FROM twmesh_private.ledger",
	                 "6partly"));
	/* The newest one makes the state. */
	ck_assert(sql_is("SELECT lost FROM twmesh.path_matrix WHERE src = "
	                 "'ams1'",
	                 "4"));
}
END_TEST

/* Least rights are enough, for either way; and which of the two ways is
 * open shows when the other is closed. */
START_TEST(open_partitions_are_written_directly_where_allowed)
{
	struct box lone;
	struct result r;
	struct tell *t;

	sql_do("DROP ROLE IF EXISTS lone; CREATE ROLE lone LOGIN IN ROLE "
	       "twmesh_writer; REVOKE INSERT ON twmesh.result FROM "
	       "twmesh_writer");
	box_open_as(&lone, "user=lone");
	result_fill(&r, fra, cls, interval_before(9), 100, 0);
	ck_assert_int_eq(store(&lone, batch_of(ams, 1, 1, &r, 1), NULL),
	                 ACK_STORED);
	box_close(&lone);
	sql_do("GRANT INSERT ON twmesh.result TO twmesh_writer; DO $$ DECLARE "
	       "p text; BEGIN FOR p IN SELECT inhrelid::regclass FROM "
	       "pg_inherits WHERE inhparent = 'twmesh.result'::regclass LOOP "
	       "EXECUTE 'REVOKE INSERT ON ' || p || ' FROM twmesh_writer'; "
	       "END LOOP; END $$");
	box_open_as(&lone, "user=lone");
	result_fill(&r, fra, cls, interval_before(8), 100, 0);
	ck_assert_int_eq(store(&lone, batch_of(ams, 1, 2, &r, 1), NULL),
	                 ACK_STORED);
	t = box_wait(&lone, TELL_DATABASE);
	ck_assert(t->u.database.ok);
	tell_free(t);
	box_close(&lone);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 2);
	sql_do("DROP ROLE lone");
}
END_TEST

START_TEST(a_node_whose_clock_is_off_is_put_aside)
{
	struct result r;
	struct ask *a;
	char why[REASON_MAX];

	result_fill(&r, fra, cls, interval_before(3), 100, 0);
	a = batch_of(ams, 1, 1, &r, 1);
	a->u.batch.clock_offset_ns = 61 * NS_PER_S;
	ck_assert_int_eq(store(&box, a, why), ACK_PUT_ASIDE);
	ck_assert_str_eq(why, "the node's clock is 61.0 s off");
	a = batch_of(fra, 2, 1, &r, 1);
	a->u.batch.batch.digest[0] ^= 1;
	ck_assert_int_eq(store(&box, a, why), ACK_PUT_ASIDE);
	a = batch_of(fra, 2, 2, &r, 1);
	a->u.batch.batch.body_len -= 3;
	batch_digest(a->u.batch.batch.body, a->u.batch.batch.body_len,
	             a->u.batch.batch.digest);
	ck_assert_int_eq(store(&box, a, why), ACK_PUT_ASIDE);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 0);
}
END_TEST

/* Judged by the clock of its time, whatever the clock is now. */
START_TEST(a_batch_is_judged_by_the_clock_that_dated_it)
{
	struct result r;
	struct ask *a;
	char why[REASON_MAX];

	result_fill(&r, fra, cls, interval_before(3), 100, 0);
	a = batch_of(ams, 1, 1, &r, 1);
	a->u.batch.clock_offset_ns = -3600 * NS_PER_S;
	a->u.batch.clock_moved_ns = 3601 * NS_PER_S;
	ck_assert_int_eq(store(&box, a, why), ACK_PUT_ASIDE);
	ck_assert_str_eq(why, "the node's clock was -3600.0 s off when this "
	                      "was measured (now 1.0 s off, moved 3601.0 s "
	                      "since)");
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 0);
	a = batch_of(ams, 1, 2, &r, 1);
	a->u.batch.clock_offset_ns = 2 * NS_PER_S;
	a->u.batch.clock_moved_ns = 3600 * NS_PER_S;
	ck_assert_int_eq(store(&box, a, why), ACK_STORED);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 1);
	/* the ledger says what the clock was when they came */
	ck_assert_int_eq(sql_number("SELECT clock_offset_ms::bigint FROM "
	                            "twmesh_private.put_aside"),
	                 1000);
	ck_assert_int_eq(sql_number("SELECT clock_offset_ms::bigint FROM "
	                            "twmesh_private.ledger WHERE seq = 2"),
	                 3602000);
}
END_TEST

START_TEST(what_the_database_refuses_is_found_by_halving)
{
	struct result r;
	int stored = 0, aside = 0;

	sql_do(
	    "ALTER TABLE twmesh.result ADD CONSTRAINT x CHECK (sent <> 777)");
	for (uint64_t seq = 1; seq <= 12; seq++) {
		result_fill(&r, fra, cls, interval_before(3),
		            seq == 5 || seq == 11 ? 777 : 100, 0);
		box_put(&box, batch_of(ams, 1, seq, &r, 1));
		result_fill(&r, ams, cls, interval_before(3), 100, 0);
		box_put(&box, batch_of(fra, 2, seq, &r, 1));
	}
	for (int i = 0; i < 24; i++) {
		struct tell *t = box_wait(&box, TELL_ACK);

		stored += t->u.ack.status == ACK_STORED;
		aside += t->u.ack.status == ACK_PUT_ASIDE;
		tell_free(t);
	}
	ck_assert_int_eq(stored, 22);
	ck_assert_int_eq(aside, 2);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 22);
	ck_assert_int_eq(
	    sql_number("SELECT count(*) FROM twmesh_private.put_aside WHERE "
	               "reason LIKE 'the database refused it%' AND seq IN (5, "
	               "11)"),
	    2);
}
END_TEST

START_TEST(a_new_spool_leaves_a_gap)
{
	ck_assert_uint_eq(join(&box, "ams1", 1, 1), ams);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.gap"), 0);
	ck_assert_uint_eq(join(&box, "ams1", 1, 7), ams);
	ck_assert_int_eq(
	    sql_number("SELECT count(*) FROM twmesh.gap WHERE reason = "
	               "'spool_lost' AND t_from < t_to AND src_id = (SELECT "
	               "node_id FROM twmesh.node WHERE name = 'ams1')"),
	    1);
}
END_TEST

START_TEST(a_planned_stop_pauses_and_a_hello_resumes)
{
	struct ask *a = ask_new(ASK_BYE);
	struct result r;
	uint64_t epoch;

	result_fill(&r, fra, cls, interval_before(3), 100, 0);
	(void)store(&box, batch_of(ams, 1, 1, &r, 1), NULL);
	result_fill(&r, ams, cls, interval_before(3), 100, 0);
	(void)store(&box, batch_of(fra, 2, 1, &r, 1), NULL);
	box_pump(&box);
	epoch = box.epoch;
	a->u.bye.node_id = fra;
	box_put(&box, a);
	for (int i = 0; i < 500 && box.epoch == epoch; i++) {
		box_pump(&box);
		(void)poll(NULL, 0, 10);
	}
	ck_assert_uint_gt(box.epoch, epoch);
	ck_assert(roster_node_by_id(&box.roster, fra)->paused);
	ck_assert(sql_is("SELECT string_agg(state || ':' || state_why, ',') "
	                 "FROM twmesh.path_matrix",
	                 "stale:stopped on purpose,stale:stopped on purpose"));
	ck_assert_uint_eq(join(&box, "fra1", 2, 2), fra);
	ck_assert(!roster_node_by_id(&box.roster, fra)->paused);
	ck_assert(sql_is("SELECT state FROM twmesh.node_status WHERE name = "
	                 "'fra1'",
	                 "ok"));
}
END_TEST

START_TEST(back_fill_never_overwrites_newer)
{
	struct result r;

	result_fill(&r, fra, cls, interval_before(2), 100, 1);
	(void)store(&box, batch_of(ams, 1, 1, &r, 1), NULL);
	result_fill(&r, fra, cls, interval_before(100), 100, 50);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 2, &r, 1), NULL),
	                 ACK_STORED);
	ck_assert(sql_is("SELECT lost || ' ' || backfilled FROM "
	                 "twmesh.path_matrix WHERE src = 'ams1'",
	                 "1 false"));
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 2);
}
END_TEST

START_TEST(two_writers_agree_on_one_state)
{
	struct box other;
	struct result r;

	box_open(&other);
	tell_free(box_wait(&other, TELL_DATABASE));
	/* In turns, so that each one's copy is old every time. */
	for (uint64_t seq = 1; seq <= 20; seq++) {
		result_fill(&r, fra, cls, interval_before(40 - (int)seq), 100,
		            seq >= 19 ? 100 : 0);
		ck_assert_int_eq(store(seq % 2 ? &box : &other,
		                       batch_of(ams, 1, seq, &r, 1), NULL),
		                 ACK_STORED);
	}
	ck_assert(sql_is("SELECT state || ': ' || state_why FROM "
	                 "twmesh.path_matrix WHERE src = 'ams1'",
	                 "crit: 100 of 100 packets lost in each of 2 "
	                 "intervals"));
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 20);
	/* Both at once, the same batches: each is stored by one of them. */
	for (uint64_t seq = 21; seq <= 60; seq++) {
		result_fill(&r, ams, cls, interval_before(3), 100, 0);
		box_put(&box, batch_of(fra, 2, seq, &r, 1));
		box_put(&other, batch_of(fra, 2, seq, &r, 1));
	}
	{
		int stored = 0;

		for (int i = 0; i < 80; i++) {
			struct tell *t =
			    box_wait(i % 2 ? &box : &other, TELL_ACK);

			stored += t->u.ack.status == ACK_STORED;
			tell_free(t);
		}
		ck_assert_int_eq(stored, 40);
	}
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 60);
	box_close(&other);
}
END_TEST

START_TEST(a_lost_connection_loses_nothing)
{
	struct result r;
	struct tell *t;
	int stored = 0;

	tell_free(box_wait(&box, TELL_DATABASE)); /* there */
	for (uint64_t seq = 1; seq <= 30; seq++) {
		if (seq % 10 == 0)
			sql_do("SELECT count(pg_terminate_backend(pid)) FROM "
			       "pg_stat_activity WHERE application_name = "
			       "'twmesh-controller writer'");
		result_fill(&r, fra, cls, interval_before(40 - (int)seq), 100,
		            0);
		box_put(&box, batch_of(ams, 1, seq, &r, 1));
		(void)poll(NULL, 0, 20);
	}
	for (int i = 0; i < 30; i++) {
		t = box_wait(&box, TELL_ACK);
		stored += t->u.ack.status == ACK_STORED;
		tell_free(t);
	}
	ck_assert_int_ge(stored, 29);
	t = box_wait(&box, TELL_DATABASE);
	ck_assert(!t->u.database.ok);
	ck_assert_str_ne(t->u.database.reason, "");
	tell_free(t);
	t = box_wait(&box, TELL_DATABASE);
	ck_assert(t->u.database.ok);
	tell_free(t);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.result"), 30);
	ck_assert_int_eq(sql_number("SELECT count(DISTINCT ts) FROM "
	                            "twmesh.result"),
	                 30);
}
END_TEST

static int
approve(struct box *b, const char *fp, const char *name, bool replace)
{
	struct ask *a = ask_new(ASK_APPROVE);
	struct tell *t;
	int status;

	(void)snprintf(a->u.approve.fingerprint,
	               sizeof(a->u.approve.fingerprint), "%s", fp);
	(void)snprintf(a->u.approve.name, sizeof(a->u.approve.name), "%s",
	               name);
	a->u.approve.replace = replace;
	ck_assert(addr_parse_ip("192.0.2.9", 0, &a->u.approve.consent[0]));
	a->u.approve.consent_n = 1;
	t = administer(b, a);
	status = t->u.admin.status;
	if (status != 200)
		ck_assert_str_ne(t->u.admin.reason, "");
	tell_free(t);
	return status;
}

START_TEST(approval_replacement_and_removal)
{
	struct ask *a = ask_new(ASK_PENDING);
	struct pgc_err e;
	char *fp = NULL;

	memset(a->u.pending.key, 50, KEY_BYTES);
	ck_assert(addr_parse_ip("::ffff:192.0.2.1", 0, &a->u.pending.from));
	box_put(&box, a);
	ck_assert_int_eq(approve(&box, "AAAA-AAAA-AAAA-AAAA", "x", false), 404);
	ck_assert_int_eq(approve(&box, "no", "x", false), 400);
	ck_assert(pgc_query_text(sql_conn,
	                         "SELECT fingerprint FROM twmesh.pending_node "
	                         "WHERE address = '192.0.2.1'",
	                         0, NULL, &fp, &e));
	ck_assert_ptr_nonnull(fp);
	ck_assert_int_eq(approve(&box, fp, "ams1", false), 409);
	ck_assert_int_eq(approve(&box, fp, "x", true), 404);
	ck_assert_int_eq(approve(&box, fp, "ams1", true), 200);
	ck_assert_int_eq(approve(&box, fp, "ams1", true), 409);
	free(fp);
	/* The old key is nobody now; the new one is ams1. */
	ck_assert_uint_eq(join(&box, "ams1", 50, 3), ams);
	ck_assert(sql_is("SELECT addresses::text || unconsented::text FROM "
	                 "twmesh.node WHERE name = 'ams1'",
	                 "{192.0.2.9,127.0.1.50}{}"));
	ck_assert_int_eq(remove_by_name(&box, "nobody"), 404);
	ck_assert_int_eq(remove_by_name(&box, "ams1"), 200);
	box_pump(&box);
	ck_assert_ptr_null(roster_node_by_id(&box.roster, ams));
	/* A new holder of slot 1 shows nothing of the old one. */
	ck_assert_uint_gt(join(&box, "lon1", 60, 4), fra);
	ck_assert_int_eq(sql_number("SELECT slot * 10 + slot_generation FROM "
	                            "twmesh.node WHERE name = 'lon1'"),
	                 12);
}
END_TEST

/* The token's public key, as the bus would see it. */
static int64_t
make_token(struct box *b, int64_t uses, uint8_t key[KEY_BYTES])
{
	char dir[] = "/tmp/test_token.XXXXXX", path[64], err[256];
	struct ask *a = ask_new(ASK_TOKEN_CREATE);
	struct keys k;
	struct tell *t;
	int64_t id;
	FILE *f;

	a->u.token.uses = uses;
	a->u.token.expires_s = 3600;
	t = administer(b, a);
	ck_assert_int_eq(t->u.admin.status, 200);
	ck_assert_int_eq(t->u.admin.uses, uses);
	ck_assert_uint_eq(strlen(t->u.admin.expires_at), 24);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/t", dir);
	f = fopen(path, "w");
	ck_assert_int_eq(chmod(path, 0600), 0);
	(void)fprintf(f, "%s\n", t->u.admin.secret);
	(void)fclose(f);
	ck_assert_msg(keys_load(path, &k, err, sizeof(err)), "%s", err);
	(void)unlink(path);
	(void)rmdir(dir);
	memcpy(key, k.public_key, KEY_BYTES);
	id = t->u.admin.token_id;
	tell_free(t);
	return id;
}

static int
revoke_token(struct box *b, int64_t id)
{
	struct ask *a = ask_new(ASK_TOKEN_REVOKE);
	struct tell *t;
	int status;

	a->u.token.token_id = id;
	t = administer(b, a);
	status = t->u.admin.status;
	tell_free(t);
	return status;
}

/* The node's id, or 0 and the reason. */
static uint32_t
join_by_token(struct box *b, const uint8_t token[KEY_BYTES], const char *name,
              const uint8_t *key, char reason[REASON_MAX])
{
	struct ask *a = ask_new(ASK_JOIN);
	struct tell *t;
	uint32_t id;

	memcpy(a->u.join.token, token, KEY_BYTES);
	memset(a->u.join.at.b, 7, sizeof(a->u.join.at.b));
	(void)snprintf(a->u.join.join.name, sizeof(a->u.join.join.name), "%s",
	               name);
	memcpy(a->u.join.join.key, key, KEY_BYTES);
	box_put(b, a);
	t = box_wait(b, TELL_JOIN);
	ck_assert_uint_eq(t->u.join.at.b[4], 7);
	id = t->u.join.accepted ? t->u.join.node_id : 0;
	memcpy(reason, t->u.join.reason, REASON_MAX);
	ck_assert_int_eq(id == 0, reason[0] != '\0');
	tell_free(t);
	return id;
}

#define REFUSED_FOR(token, name, key, words)                                   \
	do {                                                                   \
		char said[REASON_MAX];                                         \
		ck_assert_uint_eq(join_by_token(&box, token, name, key, said), \
		                  0);                                          \
		ck_assert_msg(strstr(said, words) != NULL, "%s", said);        \
	} while (0)

START_TEST(a_token_lets_in_until_it_ends)
{
	uint8_t token[KEY_BYTES], other[KEY_BYTES], key[4][KEY_BYTES];
	char why[REASON_MAX];
	uint32_t lon;
	int64_t id;

	for (uint8_t i = 0; i < 4; i++)
		memset(key[i], 70 + i, KEY_BYTES);
	id = make_token(&box, 2, token);
	lon = join_by_token(&box, token, "lon1", key[0], why);
	ck_assert_msg(lon > fra, "%s", why);
	/* the roster with the new member came before the answer */
	ck_assert_ptr_nonnull(roster_node_by_id(&box.roster, lon));
	ck_assert_uint_eq(box.tokens, 1);
	/* asked again, the same answer and no use */
	ck_assert_uint_eq(join_by_token(&box, token, "lon1", key[0], why), lon);
	REFUSED_FOR(token, "lon2", key[0], "was approved as 'lon1'");
	REFUSED_FOR(token, "ams1", key[1], "'ams1' belongs to another key");
	REFUSED_FOR(token, "par1", token, "a join token's key cannot be");
	REFUSED_FOR(key[3], "par1", key[1], "this is no join token");
	ck_assert_int_eq(
	    sql_number("SELECT uses FROM twmesh_private.join_token"), 1);
	ck_assert_uint_gt(join_by_token(&box, token, "par1", key[1], why), lon);
	REFUSED_FOR(token, "par2", key[2], "is used up: it let in 2 nodes");
	ck_assert(sql_is("SELECT state || nodes::text FROM twmesh.join_token",
	                 "used up{lon1,par1}"));
	ck_assert_int_eq(revoke_token(&box, id), 409);

	id = make_token(&box, 1, other);
	ck_assert_int_eq(revoke_token(&box, id), 200);
	REFUSED_FOR(other, "par2", key[2], "was revoked");
	ck_assert_int_eq(revoke_token(&box, 99), 404);
	(void)make_token(&box, 1, other);
	sql_do("UPDATE twmesh_private.join_token SET expires_at = now() - "
	       "interval '1 s' WHERE revoked_at IS NULL AND uses = 0");
	REFUSED_FOR(other, "par2", key[2], "expired at ");
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.node"), 4);
	/* what ended a week ago is not let through any more */
	sql_do("UPDATE twmesh_private.join_token SET expires_at = now() - "
	       "interval '8 days', revoked_at = revoked_at - interval '8 "
	       "days', last_used_at = last_used_at - interval '8 days'");
	(void)make_token(&box, 1, other);
	box_pump(&box);
	ck_assert_uint_eq(box.tokens, 1);
}
END_TEST

START_TEST(a_knocking_token_waits_for_no_approval)
{
	struct ask *a = ask_new(ASK_PENDING);

	ck_assert_int_gt(make_token(&box, 1, a->u.pending.key), 0);
	box_put(&box, a);
	ck_assert_int_eq(remove_by_name(&box, "nobody"), 404); /* it was read */
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.pending_node"),
	                 0);
}
END_TEST

START_TEST(results_of_and_to_removed_nodes_are_history)
{
	struct result r;

	result_fill(&r, fra, cls, interval_before(3), 100, 0);
	(void)store(&box, batch_of(ams, 1, 1, &r, 1), NULL);
	ck_assert_int_eq(remove_by_name(&box, "fra1"), 200);
	result_fill(&r, fra, cls, interval_before(2), 100, 0);
	ck_assert_int_eq(store(&box, batch_of(ams, 1, 2, &r, 1), NULL),
	                 ACK_STORED);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.path_result "
	                            "WHERE dst = 'fra1'"),
	                 2);
	ck_assert_int_eq(sql_number("SELECT count(*) FROM twmesh.path_matrix"),
	                 0);
}
END_TEST

START_TEST(silence_is_judged_over_time_with_a_controller)
{
	struct result r;

	result_fill(&r, fra, cls, interval_before(2), 100, 0);
	(void)store(&box, batch_of(ams, 1, 1, &r, 1), NULL);
	ck_assert(sql_is("SELECT state FROM twmesh.path_matrix WHERE src = "
	                 "'ams1'",
	                 "ok"));
	/* The pretended silence of one node while the controller lived. */
	sql_do("UPDATE twmesh_private.node_live SET last_seen_at = now() - "
	       "interval '8 s' WHERE node_id = (SELECT node_id FROM "
	       "twmesh.node WHERE name = 'ams1')");
	ck_assert(sql_is("SELECT state || (state_why LIKE 'no contact since "
	                 "%:%:% UTC') FROM twmesh.path_matrix WHERE src = "
	                 "'ams1'",
	                 "staletrue"));
	/* A controller that died 20 s ago, and one that started just now:
	 * nobody is silent yet ... */
	writer_stop(box.w);
	sql_do("UPDATE twmesh_private.node_live SET last_seen_at = now() - "
	       "interval '21 s'");
	sql_do("UPDATE twmesh_private.controller SET stopped_at = NULL, "
	       "started_at = now() - interval '1 h', alive_at = now() - "
	       "interval '20 s'");
	sql_do("SELECT pg_sleep(greatest(0, 7.5 - extract(epoch FROM "
	       "clock_timestamp() - pg_postmaster_start_time())))");
	ck_assert(sql_is("SELECT string_agg(DISTINCT state || ':' || "
	                 "regexp_replace(state_why, ' since.*', ''), ',') FROM "
	                 "twmesh.node_status",
	                 "stale:no controller has been alive"));
	sql_do("INSERT INTO twmesh_private.controller VALUES "
	       "(gen_random_uuid(), 'h', 1, 's', now() - interval '1 s', "
	       "now())");
	ck_assert(sql_is("SELECT string_agg(DISTINCT state, ',') FROM "
	                 "twmesh.node_status",
	                 "ok"));
	/* ... but the one that was silent before stays so ... */
	sql_do("UPDATE twmesh_private.node_live SET last_seen_at = now() - "
	       "interval '40 s' WHERE node_id = (SELECT node_id FROM "
	       "twmesh.node WHERE name = 'ams1')");
	ck_assert(sql_is("SELECT string_agg(state, ',' ORDER BY name) FROM "
	                 "twmesh.node_status",
	                 "stale,ok"));
	/* ... and after 7 s all who did not come are. */
	sql_do("UPDATE twmesh_private.controller SET started_at = now() - "
	       "interval '8 s' WHERE host = 'h'");
	ck_assert(sql_is("SELECT string_agg(DISTINCT state, ',') FROM "
	                 "twmesh.node_status",
	                 "stale"));
	{
		int err = 0;
		struct writer_opts o = {.database = "",
		                        .class_ = &demo,
		                        .class_n = 1,
		                        .to_bus = box.bus,
		                        .to_web = box.web};

		box.w = writer_start(&o, &err);
		ck_assert_ptr_nonnull(box.w);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("writer");
	TCase *t = tcase_create("writer");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, first_use_makes_node_and_roster);
	tcase_add_test(t, a_taken_name_and_a_changed_name_are_refused);
	tcase_add_test(t, a_batch_is_stored_once);
	tcase_add_test(t, the_same_number_with_other_content_is_put_aside);
	tcase_add_test(t, bad_rows_do_not_fail_the_good_ones);
	tcase_add_test(t, rows_go_to_the_partitions_of_their_days);
	tcase_add_test(t, open_partitions_are_written_directly_where_allowed);
	tcase_add_test(t, a_node_whose_clock_is_off_is_put_aside);
	tcase_add_test(t, a_batch_is_judged_by_the_clock_that_dated_it);
	tcase_add_test(t, what_the_database_refuses_is_found_by_halving);
	tcase_add_test(t, a_new_spool_leaves_a_gap);
	tcase_add_test(t, a_planned_stop_pauses_and_a_hello_resumes);
	tcase_add_test(t, back_fill_never_overwrites_newer);
	tcase_add_test(t, two_writers_agree_on_one_state);
	tcase_add_test(t, a_lost_connection_loses_nothing);
	tcase_add_test(t, approval_replacement_and_removal);
	tcase_add_test(t, a_token_lets_in_until_it_ends);
	tcase_add_test(t, a_knocking_token_waits_for_no_approval);
	tcase_add_test(t, results_of_and_to_removed_nodes_are_history);
	tcase_add_test(t, silence_is_judged_over_time_with_a_controller);
	suite_add_tcase(s, t);
	return s;
}

int
main(int argc, char **argv)
{
	return writerbox_main(argc, argv, suite);
}
