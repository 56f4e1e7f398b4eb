/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/spool.h"

#include "lib/base/rng.h"

#include <sqlite3.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a row costs beside its body, in pages and index. */
#define ROW_OVERHEAD 200
#define SQLITE_MAGIC "SQLite format 3"
#define REASON_SPACE "spool full"
#define REASON_AGE "spool age"
#define REASON_ROT "spool damaged"

enum stmt {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_INSERT,
	ST_NEXT,
	ST_LOAD,
	ST_SIZE_OF,
	ST_ACK,
	ST_ACK_BELOW,
	ST_FORGET_ACKS,
	ST_OLDEST_KEPT,
	ST_DELETE,
	ST_VICTIM,
	ST_NEWEST,
	ST_TOO_OLD,
	ST_KEPT_TOO_OLD,
	ST_GIVE_UP,
	ST_COUNT,
	ST_META_GET,
	ST_META_SET,
	ST_SEQ_GET,
	ST_SEQ_SET,
	ST_N
};

/* tomb: the rows gave way to a gap record. */
static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value BLOB) "
    "WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS batch("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT, sealed_ns INTEGER NOT NULL,"
    " from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL,"
    " rows INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " acked INTEGER NOT NULL DEFAULT 0, tomb INTEGER NOT NULL DEFAULT 0,"
    " digest BLOB NOT NULL, body BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS batch_unacked ON batch(seq, tomb, sealed_ns) "
    "WHERE acked = 0;"
    "CREATE INDEX IF NOT EXISTS batch_kept ON batch(seq, sealed_ns, bytes) "
    "WHERE acked = 1;"
    /* so that ST_SEQ_SET always finds its row */
    "INSERT INTO sqlite_sequence SELECT 'batch', 0 WHERE NOT EXISTS "
    "(SELECT 1 FROM sqlite_sequence WHERE name = 'batch');";

/* The clock of a batch: ns and boot id of a struct clock_mark, both or none.
 * They came later: no file begins with them. */
static const char clock_columns[] = "BEGIN IMMEDIATE;"
                                    "ALTER TABLE batch ADD COLUMN clock_ns "
                                    "INTEGER;"
                                    "ALTER TABLE batch ADD COLUMN boot_id BLOB;"
                                    "COMMIT";

static const char *const sql[] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_INSERT] = "INSERT INTO batch(sealed_ns, from_ns, to_ns, rows, bytes,"
                  " digest, body, clock_ns, boot_id)"
                  " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ST_NEXT] = "SELECT min(seq) FROM batch WHERE acked = 0 AND seq >= ?",
    [ST_LOAD] = "SELECT rows, digest, body, from_ns, to_ns, clock_ns,"
                " boot_id FROM batch WHERE seq = ?",
    [ST_SIZE_OF] = "SELECT bytes, acked FROM batch WHERE seq = ?",
    [ST_ACK] = "UPDATE batch SET acked = 1 WHERE seq = ? AND acked = 0",
    [ST_ACK_BELOW] = "UPDATE batch SET acked = 1 WHERE seq < ? AND acked = 0",
    [ST_FORGET_ACKS] =
        "UPDATE batch SET acked = 0 WHERE seq >= ? AND acked = 1",
    [ST_OLDEST_KEPT] = "SELECT min(seq) FROM batch WHERE acked = 1",
    [ST_DELETE] = "DELETE FROM batch WHERE seq = ?",
    [ST_VICTIM] = "SELECT seq FROM batch WHERE acked = 0 AND tomb = 0 "
                  "ORDER BY seq LIMIT 1 OFFSET ?",
    [ST_NEWEST] = "SELECT max(seq) FROM batch WHERE acked = 0 AND tomb = 0",
    [ST_TOO_OLD] = "SELECT seq FROM batch WHERE acked = 0 AND tomb = 0 AND "
                   "sealed_ns < ? ORDER BY seq LIMIT 1",
    [ST_KEPT_TOO_OLD] = "SELECT seq FROM batch WHERE acked = 1 AND "
                        "sealed_ns < ? ORDER BY seq LIMIT 1",
    [ST_GIVE_UP] = "UPDATE batch SET tomb = 1, rows = 0, bytes = ?, "
                   "digest = ?, body = ? WHERE seq = ?",
    [ST_COUNT] = "SELECT acked, count(*), total(bytes) FROM batch GROUP BY 1",
    [ST_META_GET] = "SELECT value FROM meta WHERE key = ?",
    [ST_META_SET] = "INSERT INTO meta VALUES(?, ?) ON CONFLICT(key) DO "
                    "UPDATE SET value = excluded.value",
    [ST_SEQ_GET] = "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence "
                   "WHERE name = 'batch'",
    [ST_SEQ_SET] = "UPDATE sqlite_sequence SET seq = ? WHERE name = 'batch'",
};
static_assert(sizeof(sql) / sizeof(sql[0]) == ST_N, "one text each");

struct spool {
	sqlite3 *db;              /* owned */
	sqlite3_stmt *stmt[ST_N]; /* owned */
	struct id16 id;
	uint64_t next_seq;
	uint64_t max_bytes;
	int64_t max_age_ns;
	bool has_boot;
	uint8_t boot_id[BOOT_ID_BYTES]; /* valid when has_boot */
	struct spool_counts counts;
	int last_error; /* SQLite's code of what failed last */
};

/* ---- small steps ---- */

static int
to_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	default:
		return -EIO;
	}
}

static sqlite3_stmt *
fresh(struct spool *s, enum stmt which)
{
	sqlite3_reset(s->stmt[which]);
	sqlite3_clear_bindings(s->stmt[which]);
	return s->stmt[which];
}

/* Runs a statement that gives no rows. */
static int
run(struct spool *s, enum stmt which)
{
	const int rc = sqlite3_step(s->stmt[which]);

	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		s->last_error = rc;
	sqlite3_reset(s->stmt[which]);
	return to_errno(rc);
}

static int
run_with(struct spool *s, enum stmt which, uint64_t v)
{
	sqlite3_bind_int64(fresh(s, which), 1, (sqlite3_int64)v);
	return run(s, which);
}

/* The first column of the first row; 0 when there is none (or NULL). */
static uint64_t
ask(struct spool *s, enum stmt which, int64_t v)
{
	sqlite3_stmt *q = fresh(s, which);
	uint64_t out = 0;

	if (sqlite3_bind_parameter_count(q) > 0)
		sqlite3_bind_int64(q, 1, v);
	if (sqlite3_step(q) == SQLITE_ROW)
		out = (uint64_t)sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return out;
}

static int
recount(struct spool *s)
{
	sqlite3_stmt *q = fresh(s, ST_COUNT);
	struct spool_counts *c = &s->counts;
	int rc;

	c->batches = c->bytes = c->kept_batches = c->kept_bytes = 0;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		const uint64_t n = (uint64_t)sqlite3_column_int64(q, 1);
		const uint64_t bytes = (uint64_t)sqlite3_column_double(q, 2);

		if (sqlite3_column_int(q, 0)) {
			c->kept_batches = n;
			c->kept_bytes = bytes;
		} else {
			c->batches = n;
			c->bytes = bytes;
		}
	}
	sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		s->last_error = rc;
	s->next_seq = ask(s, ST_SEQ_GET, 0);
	return to_errno(rc);
}

static int
begin(struct spool *s)
{
	return run(s, ST_BEGIN);
}

/* Ends the transaction by rc: 0 commits. The counters follow what is true. */
static int
end(struct spool *s, int rc)
{
	if (rc == 0)
		rc = run(s, ST_COMMIT);
	if (rc != 0) {
		(void)run(s, ST_ROLLBACK);
		(void)recount(s);
	}
	return rc;
}

static int
meta_set(struct spool *s, const char *key, const void *value, size_t len)
{
	sqlite3_stmt *q = fresh(s, ST_META_SET);

	sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_blob(q, 2, value, (int)len, SQLITE_STATIC);
	return run(s, ST_META_SET);
}

static bool
meta_get(struct spool *s, const char *key, void *value, size_t len)
{
	sqlite3_stmt *q = fresh(s, ST_META_GET);
	bool ok = false;

	sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
	if (sqlite3_step(q) == SQLITE_ROW &&
	    (size_t)sqlite3_column_bytes(q, 0) == len) {
		memcpy(value, sqlite3_column_blob(q, 0), len);
		ok = true;
	}
	sqlite3_reset(q);
	return ok;
}

/* ---- giving up ---- */

static uint64_t
bytes_of(struct spool *s, uint64_t seq)
{
	return ask(s, ST_SIZE_OF, (int64_t)seq);
}

static int
delete_kept(struct spool *s, uint64_t seq)
{
	const uint64_t bytes = bytes_of(s, seq);
	const int rc = run_with(s, ST_DELETE, seq);

	if (rc == 0) {
		s->counts.kept_batches--;
		s->counts.kept_bytes -= bytes;
	}
	return rc;
}

static bool
read_gap(struct spool *s, uint64_t seq, const char *reason, struct gap *g)
{
	sqlite3_stmt *q = fresh(s, ST_LOAD);
	bool ok = false;

	memset(g, 0, sizeof(*g));
	sqlite3_bind_int64(q, 1, (sqlite3_int64)seq);
	if (sqlite3_step(q) == SQLITE_ROW) {
		g->rows = (uint64_t)sqlite3_column_int64(q, 0);
		g->from.ns = sqlite3_column_int64(q, 3);
		g->to.ns = sqlite3_column_int64(q, 4);
		/* no rows: loss runs or revisions, no hole in the history */
		(void)snprintf(g->reason, sizeof(g->reason), "%s%s", reason,
		               g->rows ? "" : " (no results)");
		ok = true;
	}
	sqlite3_reset(q);
	return ok;
}

/* The rows of an unacknowledged batch give way to a gap record. */
static int
give_up(struct spool *s, uint64_t seq, const char *reason)
{
	const uint64_t before = bytes_of(s, seq);
	sqlite3_stmt *q = fresh(s, ST_GIVE_UP);
	uint8_t *body = NULL, digest[16];
	struct gap gap;
	const struct batch_input in = {.gap = &gap, .gap_n = 1};
	size_t len;
	int rc;

	if (!read_gap(s, seq, reason, &gap))
		return -EIO;
	if (!batch_body_encode(&in, &body, &len))
		return -ENOMEM;
	batch_digest(body, len, digest);
	sqlite3_bind_int64(q, 1, (sqlite3_int64)len + ROW_OVERHEAD);
	sqlite3_bind_blob(q, 2, digest, sizeof(digest), SQLITE_STATIC);
	sqlite3_bind_blob(q, 3, body, (int)len, SQLITE_STATIC);
	sqlite3_bind_int64(q, 4, (sqlite3_int64)seq);
	rc = run(s, ST_GIVE_UP);
	sqlite3_clear_bindings(q);
	free(body);
	if (rc == 0) {
		s->counts.bytes -= before;
		s->counts.bytes += len + ROW_OVERHEAD;
		s->counts.given_up_batches++;
		s->counts.given_up_rows += gap.rows;
	}
	return rc;
}

/* Oldest acknowledged first; then the oldest that cannot be under way. */
static int
make_room(struct spool *s)
{
	int rc = 0;

	while (rc == 0 &&
	       s->counts.bytes + s->counts.kept_bytes > s->max_bytes) {
		uint64_t seq = ask(s, ST_OLDEST_KEPT, 0);

		if (seq) {
			rc = delete_kept(s, seq);
			continue;
		}
		seq = ask(s, ST_VICTIM, SPOOL_PROTECTED);
		if (!seq)
			seq = ask(s, ST_NEWEST, 0);
		if (!seq)
			break; /* gap records only */
		rc = give_up(s, seq, REASON_SPACE);
	}
	return rc;
}

void
spool_on_minute(struct spool *s, struct wall now)
{
	const int64_t limit = now.ns - s->max_age_ns;
	int rc = begin(s);
	uint64_t seq;

	while (rc == 0 && (seq = ask(s, ST_KEPT_TOO_OLD, limit)))
		rc = delete_kept(s, seq);
	while (rc == 0 && (seq = ask(s, ST_TOO_OLD, limit)))
		rc = give_up(s, seq, REASON_AGE);
	if (rc == 0)
		rc = make_room(s);
	(void)end(s, rc);
}

/* ---- opening ---- */

static int
prepare(struct spool *s)
{
	for (size_t i = 0; i < ST_N; i++) {
		const int rc = sqlite3_prepare_v3(s->db, sql[i], -1,
		                                  SQLITE_PREPARE_PERSISTENT,
		                                  &s->stmt[i], NULL);

		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}

/* A spool of an older meshd has none. */
static int
add_clock_columns(struct spool *s)
{
	const int rc = sqlite3_table_column_metadata(
	    s->db, NULL, "batch", "boot_id", NULL, NULL, NULL, NULL, NULL);

	if (rc != SQLITE_ERROR) /* no such column */
		return rc;
	return sqlite3_exec(s->db, clock_columns, NULL, NULL, NULL);
}

static int
open_database(struct spool *s, const char *path)
{
	int rc = sqlite3_open_v2(path, &s->db,
	                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
	                             SQLITE_OPEN_NOMUTEX,
	                         NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s->db,
		                  "PRAGMA locking_mode = EXCLUSIVE;"
		                  "PRAGMA journal_mode = WAL;"
		                  "PRAGMA synchronous = FULL;"
		                  "PRAGMA cache_size = -1024;"
		                  "PRAGMA journal_size_limit = 8388608;",
		                  NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s->db, schema, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = add_clock_columns(s);
	if (rc == SQLITE_OK)
		rc = prepare(s);
	return rc;
}

static void
close_database(struct spool *s)
{
	for (size_t i = 0; i < ST_N; i++) {
		sqlite3_finalize(s->stmt[i]);
		s->stmt[i] = NULL;
	}
	sqlite3_close(s->db);
	s->db = NULL;
}

static int
load_id(struct spool *s)
{
	int rc;

	if (meta_get(s, "spool_id", s->id.b, ID16_BYTES))
		return 0;
	random_bytes(s->id.b, ID16_BYTES);
	rc = begin(s);
	if (rc == 0)
		rc = end(s, meta_set(s, "spool_id", s->id.b, ID16_BYTES));
	return rc;
}

/* An SQLite result code; SQLITE_OK: all is there. */
static int
try_open(struct spool *s, const char *path)
{
	int rc = open_database(s, path);

	if (rc != SQLITE_OK)
		return rc;
	rc = load_id(s);
	if (rc == 0)
		rc = recount(s);
	if (rc == 0)
		return SQLITE_OK;
	return s->last_error ? s->last_error : SQLITE_IOERR;
}

/* New (and private), or one of SQLite's; anything else is not ours to touch. */
static bool
check_file(const char *path, char *err, size_t err_size)
{
	char magic[sizeof(SQLITE_MAGIC)] = "";
	const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;
	bool ok = false;

	if (fd < 0 || fstat(fd, &st) < 0) {
		(void)snprintf(err, err_size, "%s: %s", path, strerror(errno));
		goto out;
	}
	ok = S_ISREG(st.st_mode) &&
	     (st.st_size == 0 ||
	      (pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
	       memcmp(magic, SQLITE_MAGIC, sizeof(magic)) == 0));
	if (!ok)
		(void)snprintf(err, err_size,
		               "%s: expected a spool (an SQLite database), "
		               "found something else; move it away",
		               path);
out:
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool
move_aside(const char *path, struct wall now, char **aside)
{
	static const char *const suffix[] = {"-wal", "-shm"};
	char from[4096], to[4096];

	if (asprintf(aside, "%s.damaged-%" PRId64, path, now.ns / NS_PER_S) < 0)
		return false;
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(from, sizeof(from), "%s%s", path, suffix[i]);
		(void)snprintf(to, sizeof(to), "%s%s", *aside, suffix[i]);
		(void)rename(from, to);
	}
	return rename(path, *aside) == 0;
}

static bool
is_damage(int rc)
{
	return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB ||
	       (rc & 0xff) == SQLITE_ERROR; /* another schema */
}

static void
explain(struct spool *s, int rc, const char *path, char *err, size_t size)
{
	(void)snprintf(err, size, "%s: %s", path,
	               (rc & 0xff) == SQLITE_BUSY ? "in use by another process"
	               : s->db                    ? sqlite3_errmsg(s->db)
	                                          : sqlite3_errstr(rc));
}

struct spool *
spool_open(const struct spool_opts *o, struct wall now, char **aside, char *err,
           size_t err_size)
{
	struct spool *s = calloc(1, sizeof(*s));
	int rc;

	*aside = NULL;
	if (!s) {
		(void)snprintf(err, err_size, "%s: out of memory", o->path);
		return NULL;
	}
	spool_set_limits(s, o->max_bytes, o->max_age_ns);
	s->has_boot = o->boot_id != NULL;
	if (s->has_boot)
		memcpy(s->boot_id, o->boot_id, BOOT_ID_BYTES);
	if (!check_file(o->path, err, err_size)) {
		free(s);
		return NULL;
	}
	rc = try_open(s, o->path);
	if (is_damage(rc)) {
		close_database(s);
		if (move_aside(o->path, now, aside) &&
		    check_file(o->path, err, err_size))
			rc = try_open(s, o->path);
	}
	if (rc == SQLITE_OK) {
		spool_on_minute(s, now);
		return s;
	}
	explain(s, rc, o->path, err, err_size);
	spool_free(s);
	return NULL;
}

void
spool_free(struct spool *s)
{
	if (!s)
		return;
	close_database(s);
	free(s);
}

void
spool_set_limits(struct spool *s, uint64_t max_bytes, int64_t max_age_ns)
{
	s->max_bytes = max_bytes;
	s->max_age_ns = max_age_ns;
}

const struct id16 *
spool_id(const struct spool *s)
{
	return &s->id;
}

uint64_t
spool_next_seq(const struct spool *s)
{
	return s->next_seq;
}

const struct spool_counts *
spool_counts(const struct spool *s)
{
	return &s->counts;
}

/* ---- batches ---- */

static int
insert(struct spool *s, struct wall now, const struct spool_span *span,
       const uint8_t *body, size_t len)
{
	sqlite3_stmt *q = fresh(s, ST_INSERT);
	uint8_t digest[16];
	int rc;

	batch_digest(body, len, digest);
	sqlite3_bind_int64(q, 1, now.ns);
	sqlite3_bind_int64(q, 2, span->from.ns);
	sqlite3_bind_int64(q, 3, span->to.ns);
	sqlite3_bind_int64(q, 4, span->rows);
	sqlite3_bind_int64(q, 5, (sqlite3_int64)len + ROW_OVERHEAD);
	sqlite3_bind_blob(q, 6, digest, sizeof(digest), SQLITE_STATIC);
	sqlite3_bind_blob(q, 7, body, (int)len, SQLITE_STATIC);
	if (s->has_boot && span->clock_ns != NS_UNKNOWN) { /* else NULL */
		sqlite3_bind_int64(q, 8, span->clock_ns);
		sqlite3_bind_blob(q, 9, s->boot_id, BOOT_ID_BYTES,
		                  SQLITE_STATIC);
	}
	rc = run(s, ST_INSERT);
	sqlite3_clear_bindings(q); /* they pointed into our stack */
	return rc;
}

int
spool_seal(struct spool *s, struct wall now, const struct spool_span *span,
           const uint8_t *body, size_t len, uint64_t *seq)
{
	uint64_t got = 0;
	int rc = begin(s);

	if (rc != 0)
		return rc;
	rc = insert(s, now, span, body, len);
	if (rc == 0) {
		got = (uint64_t)sqlite3_last_insert_rowid(s->db);
		s->counts.batches++;
		s->counts.bytes += len + ROW_OVERHEAD;
		rc = make_room(s);
	}
	rc = end(s, rc);
	if (rc == 0) {
		*seq = got;
		s->next_seq = got + 1;
	}
	return rc;
}

uint64_t
spool_next_unacked(struct spool *s, uint64_t from)
{
	return ask(s, ST_NEXT, (int64_t)from);
}

static void
load_mark(sqlite3_stmt *q, struct clock_mark *out)
{
	const void *boot_id = sqlite3_column_blob(q, 6);

	out->known = boot_id && sqlite3_column_bytes(q, 6) == BOOT_ID_BYTES;
	if (!out->known)
		return;
	out->ns = sqlite3_column_int64(q, 5);
	memcpy(out->boot_id, boot_id, BOOT_ID_BYTES);
}

/* 0, -ENOENT, -EILSEQ (rotten), -ENOMEM, -EIO */
static int
load(struct spool *s, uint64_t seq, struct msg_batch *out)
{
	sqlite3_stmt *q = fresh(s, ST_LOAD);
	const void *digest, *body;
	int rc;

	memset(out, 0, sizeof(*out));
	sqlite3_bind_int64(q, 1, (sqlite3_int64)seq);
	rc = sqlite3_step(q);
	if (rc != SQLITE_ROW) {
		sqlite3_reset(q);
		return rc == SQLITE_DONE ? -ENOENT : to_errno(rc);
	}
	rc = -EILSEQ;
	digest = sqlite3_column_blob(q, 1);
	body = sqlite3_column_blob(q, 2);
	out->spool_id = s->id;
	out->seq = seq;
	out->rows = (uint32_t)sqlite3_column_int64(q, 0);
	load_mark(q, &out->mark);
	out->body_len = (size_t)sqlite3_column_bytes(q, 2);
	if (!digest || !body || sqlite3_column_bytes(q, 1) != 16)
		goto out;
	batch_digest(body, out->body_len, out->digest);
	if (memcmp(digest, out->digest, 16) != 0)
		goto out;
	out->body = malloc(out->body_len);
	rc = out->body ? 0 : -ENOMEM;
	if (out->body)
		memcpy(out->body, body, out->body_len);
out:
	sqlite3_reset(q);
	return rc;
}

int
spool_load(struct spool *s, uint64_t seq, struct msg_batch *out)
{
	int rc = load(s, seq, out);

	if (rc != -EILSEQ)
		return rc;
	rc = begin(s);
	if (rc == 0)
		rc = end(s, give_up(s, seq, REASON_ROT));
	return rc == 0 ? load(s, seq, out) : rc;
}

int
spool_ack(struct spool *s, const uint64_t *seq, size_t n)
{
	int rc = begin(s);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = run_with(s, ST_ACK, seq[i]);
		if (rc == 0 && sqlite3_changes(s->db) > 0) {
			const uint64_t bytes = bytes_of(s, seq[i]);

			s->counts.batches--;
			s->counts.bytes -= bytes;
			s->counts.kept_batches++;
			s->counts.kept_bytes += bytes;
		}
	}
	return end(s, rc);
}

struct refill {
	uint8_t incarnation[ID16_BYTES];
	uint64_t ledger_next;
};

static int
reconcile(struct spool *s, const struct refill *now, uint64_t *again)
{
	struct refill last;
	int rc;

	rc = run_with(s, ST_ACK_BELOW, now->ledger_next);
	/* A copy of an old spool would issue numbers that are taken. */
	if (rc == 0 && now->ledger_next > s->next_seq)
		rc = run_with(s, ST_SEQ_SET, now->ledger_next - 1);
	if (rc != 0 || (meta_get(s, "refill", &last, sizeof(last)) &&
	                memcmp(&last, now, sizeof(last)) == 0))
		return rc;
	rc = run_with(s, ST_FORGET_ACKS, now->ledger_next);
	*again = rc == 0 ? (uint64_t)sqlite3_changes(s->db) : 0;
	if (*again > 0)
		rc = meta_set(s, "refill", now, sizeof(*now));
	return rc;
}

int
spool_reconcile(struct spool *s, const struct id16 *incarnation,
                uint64_t ledger_next, uint64_t *again)
{
	struct refill now;
	int rc = begin(s);

	*again = 0;
	if (rc != 0)
		return rc;
	memcpy(now.incarnation, incarnation->b, ID16_BYTES);
	now.ledger_next = ledger_next;
	rc = end(s, reconcile(s, &now, again));
	return rc == 0 ? recount(s) : rc;
}
