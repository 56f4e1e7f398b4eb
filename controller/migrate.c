/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The directory is read whole and checked before anything is touched: numbers
 * 1..N without holes, one file each. An advisory lock keeps two migrations
 * apart; it is a session lock, since each file has its own transaction.
 */
#include "controller/migrate.h"

#include "lib/pg/pgc.h"
#include "lib/pg/pgsplit.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#define MIGRATIONS_MAX 999
#define FILE_MAX_BYTES (1 << 20)
#define NAME_SIZE 96
#define DIGEST_BYTES 32
#define LOCK_KEY "7461309150110823534" /* any fixed number: ours */

struct step {
	int version; /* 0: no such file */
	char name[NAME_SIZE];
	char checksum[2 * DIGEST_BYTES + 1];
	char *text; /* owned */
};

struct plan {
	struct step *step; /* owned; [i] is version i + 1 */
	int n;
};

static bool say(char *err, unsigned size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool
say(char *err, unsigned size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err, size, fmt, ap);
	va_end(ap);
	return false;
}

static void
plan_clear(struct plan *p)
{
	for (int i = 0; i < p->n; i++)
		free(p->step[i].text);
	free(p->step);
	*p = (struct plan){NULL, 0};
}

static bool
checksum(const char *text, char out[2 * DIGEST_BYTES + 1])
{
	unsigned char d[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(text, strlen(text), d, &n, EVP_sha256(), NULL) != 1 ||
	    n != DIGEST_BYTES)
		return false;
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(out + (size_t)2 * i, 3, "%02x", d[i]);
	return true;
}

static bool
read_file(const char *dir, struct step *s, char *err, unsigned size)
{
	char path[4096];
	FILE *f = NULL;
	struct stat st;
	bool ok = false;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, s->name) >=
	    sizeof(path))
		return say(err, size, "%s: path too long", dir);
	f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st) != 0) {
		say(err, size, "%s: %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES) {
		say(err, size, "%s: not a file of at most 1 MiB", path);
		goto out;
	}
	s->text = calloc(1, (size_t)st.st_size + 1);
	if (!s->text ||
	    fread(s->text, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
		say(err, size, "%s: cannot be read", path);
		goto out;
	}
	if (strlen(s->text) != (size_t)st.st_size) {
		say(err, size, "%s: holds a NUL octet", path);
		goto out;
	}
	ok = checksum(s->text, s->checksum) ||
	     say(err, size, "%s: SHA-256 failed", path);
out:
	if (f)
		(void)fclose(f);
	return ok;
}

/* "0001_tables.sql" -> 1; 0 for other names. */
static int
version_of(const char *name)
{
	size_t n = strlen(name);

	if (n < sizeof("0001_x.sql") - 1 || n >= NAME_SIZE ||
	    strspn(name, "0123456789") != 4 || name[4] != '_' ||
	    strcmp(name + n - 4, ".sql") != 0)
		return 0;
	return (int)strtol(name, NULL, 10);
}

static bool
read_names(DIR *d, const char *dir, struct plan *p, char *err, unsigned size)
{
	const struct dirent *e;

	while ((e = readdir(d)) != NULL) {
		int v = version_of(e->d_name);

		if (v < 1 || v > MIGRATIONS_MAX)
			continue;
		if (p->step[v - 1].version)
			return say(err, size,
			           "%s: two files number %04d: %s and %s", dir,
			           v, p->step[v - 1].name, e->d_name);
		p->step[v - 1].version = v;
		/* version_of() saw that it fits */
		memcpy(p->step[v - 1].name, e->d_name, strlen(e->d_name) + 1);
		if (v > p->n)
			p->n = v;
	}
	return true;
}

static bool
plan_read(const char *dir, struct plan *p, char *err, unsigned size)
{
	DIR *d = opendir(dir);
	bool ok;

	*p = (struct plan){calloc(MIGRATIONS_MAX, sizeof(struct step)), 0};
	if (!d || !p->step) {
		say(err, size, "%s: %s (sql_dir: the folder of the migrations)",
		    dir, d ? "out of memory" : strerror(errno));
		if (d)
			(void)closedir(d);
		return false;
	}
	ok = read_names(d, dir, p, err, size);
	(void)closedir(d);
	if (!ok)
		return false;
	if (p->n == 0)
		return say(err, size,
		           "%s: no migration found, expected "
		           "NNNN_name.sql from 0001",
		           dir);
	for (int i = 0; i < p->n; i++) {
		if (!p->step[i].version)
			return say(err, size, "%s: migration %04d is missing",
			           dir, i + 1);
		if (!read_file(dir, &p->step[i], err, size))
			return false;
	}
	return true;
}

/* How many are applied; each is compared with its file. */
static bool
compare(struct pgc *c, const struct plan *p, const char *dir, int *applied,
        char *err, unsigned size)
{
	struct pgc_rows *rows = NULL;
	struct pgc_err e;
	bool ok = false;
	int n;

	if (!pgc_query(c,
	               "SELECT version, name, checksum FROM "
	               "twmesh.schema_migration ORDER BY version",
	               0, NULL, &rows, &e))
		return say(err, size, "twmesh.schema_migration: %s", e.text);
	n = pgc_rows_n(rows);
	for (int i = 0; i < n; i++) {
		int64_t v = pgc_value_i64(rows, i, 0, -1);
		const char *name = pgc_value(rows, i, 1);
		const char *sum = pgc_value(rows, i, 2);

		if (v > p->n) {
			say(err, size,
			    "the database is newer than this program: it is "
			    "at version %lld (%s), %s ends at %d",
			    (long long)pgc_value_i64(rows, n - 1, 0, -1),
			    name ? name : "?", dir, p->n);
			goto out;
		}
		if (v != i + 1) {
			say(err, size,
			    "twmesh.schema_migration: version %d is missing",
			    i + 1);
			goto out;
		}
		if (!name || !sum || strcmp(name, p->step[i].name) != 0 ||
		    strcmp(sum, p->step[i].checksum) != 0) {
			say(err, size,
			    "%s/%s was changed after it had been applied "
			    "(recorded %.12s, found %.12s)",
			    dir, p->step[i].name, sum ? sum : "?",
			    p->step[i].checksum);
			goto out;
		}
	}
	*applied = n;
	ok = true;
out:
	pgc_rows_free(rows);
	return ok;
}

static bool
run_statements(struct pgc *c, const struct step *s, const char *dir, char *err,
               unsigned size)
{
	struct pgsplit split;
	struct pgstatement st;
	struct pgc_err e;

	pgsplit_init(&split, s->text);
	while (pgsplit_next(&split, &st)) {
		char *sql = strndup(st.text, st.len);
		bool ok;

		if (!sql)
			return say(err, size, "out of memory");
		ok = pgc_exec(c, sql, &e);
		free(sql);
		if (!ok)
			return say(err, size, "%s/%s:%u: %s", dir, s->name,
			           pgsplit_line(&st, e.position), e.text);
	}
	return true;
}

static bool
apply(struct pgc *c, const struct step *s, const char *dir, char *err,
      unsigned size)
{
	char version[12];
	const char *v[] = {version, s->name, s->checksum};
	struct pgc_err e;
	bool ok;

	(void)snprintf(version, sizeof(version), "%d", s->version);
	if (!pgc_exec(c, "BEGIN", &e))
		return say(err, size, "%s/%s: %s", dir, s->name, e.text);
	ok = run_statements(c, s, dir, err, size);
	if (ok &&
	    (!pgc_exec_params(c,
	                      "INSERT INTO twmesh.schema_migration "
	                      "(version, name, checksum) VALUES ($1, $2, $3)",
	                      3, v, NULL, &e) ||
	     !pgc_exec(c, "COMMIT", &e)))
		ok = say(err, size, "%s/%s: %s", dir, s->name, e.text);
	if (!ok && !pgc_exec(c, "ROLLBACK", &e))
		return false; /* the connection is gone: rolled back too */
	return ok;
}

static bool
bootstrap(struct pgc *c, char *err, unsigned size)
{
	struct pgc_err e;

	if (!pgc_exec(c, "SELECT pg_advisory_lock(" LOCK_KEY ")", &e))
		return say(err, size,
		           "another migration is running on this database (%s)",
		           e.text);
	if (pgc_exec(c,
	             "SET client_min_messages = warning;"
	             "CREATE SCHEMA IF NOT EXISTS twmesh;"
	             "CREATE TABLE IF NOT EXISTS twmesh.schema_migration ("
	             " version integer PRIMARY KEY,"
	             " name text NOT NULL,"
	             " checksum text NOT NULL,"
	             " applied_at timestamptz NOT NULL DEFAULT now());"
	             "SET client_min_messages = notice",
	             &e))
		return true;
	return say(err, size, "cannot make schema twmesh: %s", e.text);
}

static void
print_notice(void *arg, const char *line)
{
	(void)arg;
	printf("notice: %s\n", line);
}

static struct pgc *
open_database(const char *database, char *err, unsigned size)
{
	struct pgc_opts o = pgc_opts_default;
	struct pgc_err e;
	struct pgc *c;

	/* Building an index may take its time; waiting for a lock may not. */
	o.statement_timeout_ms = 3600 * 1000;
	o.lock_timeout_ms = 10000;
	c = pgc_open(database, "twmesh-controller migrate", &o, &e);
	if (!c) {
		say(err, size, "database: %s", e.text);
	} else if (pgc_server_version(c) < 140000) {
		say(err, size,
		    "database: PostgreSQL 14 or newer is needed, this is %d",
		    pgc_server_version(c) / 10000);
		pgc_close(c);
		c = NULL;
	}
	return c;
}

bool
migrate(const char *database, const char *sql_dir, char *err, unsigned size)
{
	struct plan p = {NULL, 0};
	struct pgc *c = NULL;
	bool ok = false;
	int applied = 0;

	if (!plan_read(sql_dir, &p, err, size))
		goto out;
	c = open_database(database, err, size);
	if (!c)
		goto out;
	pgc_on_notice(c, print_notice, NULL);
	if (!bootstrap(c, err, size) ||
	    !compare(c, &p, sql_dir, &applied, err, size))
		goto out;
	for (int i = applied; i < p.n; i++) {
		if (!apply(c, &p.step[i], sql_dir, err, size))
			goto out;
		printf("applied %s\n", p.step[i].name);
	}
	if (applied == p.n)
		printf("nothing to do: the database is at version %d\n", p.n);
	ok = true;
out:
	(void)fflush(stdout);
	pgc_close(c);
	plan_clear(&p);
	return ok;
}

/* Without a schema there is no table to ask. */
static bool
is_fresh(struct pgc *c, bool *fresh, char *err, unsigned size)
{
	struct pgc_err e;
	char *text = NULL;

	if (!pgc_query_text(c, "SELECT to_regclass('twmesh.schema_migration')",
	                    0, NULL, &text, &e))
		return say(err, size, "database: %s", e.text);
	*fresh = text == NULL;
	free(text);
	return true;
}

bool
migrate_check(const char *database, const char *sql_dir, char *err,
              unsigned size)
{
	struct plan p = {NULL, 0};
	struct pgc *c = NULL;
	bool ok = false, fresh = false;
	int applied = 0;

	if (!plan_read(sql_dir, &p, err, size))
		goto out;
	c = open_database(database, err, size);
	if (!c || !is_fresh(c, &fresh, err, size))
		goto out;
	if (!fresh && !compare(c, &p, sql_dir, &applied, err, size))
		goto out;
	ok = applied == p.n ||
	     say(err, size,
	         "the database is at version %d, this program needs %d: run "
	         "twmesh-controller --migrate",
	         applied, p.n);
out:
	pgc_close(c);
	plan_clear(&p);
	return ok;
}
