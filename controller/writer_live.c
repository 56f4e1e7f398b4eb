/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signs of life. Ages are sent, not instants: the database's clock alone
 * dates them, so that controllers whose clocks differ agree.
 */
#include "controller/writer_priv.h"

#include "controller/roster_priv.h"
#include "lib/base/clock_read.h"
#include "lib/pg/pgbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIVE_ID_MAX 20000000
#define LIVE_COLS 12
/* A spool may hold results of this many days (meshd's spool_max_age). */
#define DAYS_BACK 3
#define DAYS_AHEAD 2
#define DAY_NS (86400 * NS_PER_S)

bool
live_attach(struct writer *w, struct pgc_err *err)
{
	char host[256] = "", pid[24];
	const char *p[] = {w->instance, host, dec_of(getpid(), pid),
	                   TWMESH_VERSION};

	(void)gethostname(host, sizeof(host) - 1);
	if (!pgc_exec_params(w->db,
	                     "INSERT INTO twmesh_private.controller "
	                     "(instance_id, host, pid, software, started_at, "
	                     "alive_at) VALUES ($1::uuid, $2, $3::integer, $4, "
	                     "clock_timestamp(), clock_timestamp()) "
	                     "ON CONFLICT DO NOTHING",
	                     4, p, NULL, err) ||
	    !pgc_exec(w->db,
	              "DELETE FROM twmesh_private.controller WHERE alive_at < "
	              "now() - interval '30 days'",
	              err))
		return false;
	return pgc_prepare(
	    w->db, "live",
	    "WITH me AS (UPDATE twmesh_private.controller SET alive_at = "
	    "clock_timestamp() WHERE instance_id = $1::uuid) "
	    "UPDATE twmesh_private.node_live n SET instance_id = $1::uuid, "
	    "last_seen_at = greatest(n.last_seen_at, clock_timestamp() - "
	    "make_interval(secs => v.age_s)), roster_epoch = v.epoch, "
	    "spool_batches = v.batches, spool_bytes = v.bytes, "
	    "reflector_rx_drops = v.drops, clock_offset_ms = v.off, "
	    "clock_max_error_ms = v.err, clock_synchronised = v.sync, "
	    "load1 = v.load, rss_kib = v.rss, sessions = v.sessions "
	    "FROM unnest($2::integer[], $3::double precision[], "
	    "$4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], "
	    "$8::double precision[], $9::double precision[], "
	    "$10::boolean[], $11::real[], $12::bigint[], $13::integer[]) "
	    "AS v (node_id, age_s, epoch, batches, bytes, drops, off, err, "
	    "sync, load, rss, sessions) WHERE n.node_id = v.node_id",
	    err);
}

void
live_note(struct writer *w, const struct ask_heartbeat *a)
{
	struct mono now = clock_mono();
	int64_t age = wall_diff_ns(clock_wall(), a->received);
	struct live *l;

	if (a->node_id >= w->live_size) {
		size_t size = (size_t)a->node_id + 64;

		if (a->node_id > LIVE_ID_MAX)
			return;
		l = realloc(w->live, size * sizeof(*l));
		if (!l)
			return;
		memset(l + w->live_size, 0, (size - w->live_size) * sizeof(*l));
		w->live = l;
		w->live_size = size;
	}
	l = &w->live[a->node_id];
	*l = (struct live){
	    .waiting = true,
	    /* The wall clock may have been stepped meanwhile. */
	    .received =
	        mono_add_ns(now, age > 0 && age < 60 * NS_PER_S ? -age : 0),
	    .clock_offset_ns = a->clock_offset_ns,
	    .hb = a->hb,
	};
	w->live_waiting = true;
	hosts_note(w->hosts, a->node_id, a->clock_offset_ns, a->hb.host_limited,
	           a->hb.host_limited_n, now);
}

static void
put_u64(struct pgbuf *b, uint64_t v)
{
	pgbuf_i8(b, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

static void
put_ms(struct pgbuf *b, int64_t ns)
{
	if (ns == NS_UNKNOWN)
		pgbuf_null(b);
	else
		pgbuf_f8(b, (double)ns / 1e6);
}

static void
put_live(struct pgbuf *b, uint32_t id, const struct live *l, int col,
         struct mono now)
{
	const struct msg_heartbeat *h = &l->hb;

	switch (col) {
	case 0:
		pgbuf_i4(b, (int32_t)id);
		break;
	case 1:
		pgbuf_f8(b, (double)mono_diff_ns(now, l->received) / 1e9);
		break;
	case 2:
		put_u64(b, h->epoch);
		break;
	case 3:
		put_u64(b, h->spool_batches);
		break;
	case 4:
		put_u64(b, h->spool_bytes);
		break;
	case 5:
		put_u64(b, h->reflector_rx_drops);
		break;
	case 6:
		put_ms(b, l->clock_offset_ns);
		break;
	case 7:
		put_ms(b, h->clock.max_error_ns);
		break;
	case 8:
		pgbuf_bool(b, h->clock.synchronised);
		break;
	case 9:
		pgbuf_f4(b, (float)h->load1_milli / 1000.0F);
		break;
	case 10:
		put_u64(b, h->rss_kib);
		break;
	default:
		pgbuf_i4(b, (int32_t)(h->sessions & INT32_MAX));
	}
}

bool
live_write(struct writer *w, struct pgc_err *err)
{
	static const uint32_t elem[LIVE_COLS] = {
	    PG_OID_INT4, PG_OID_FLOAT8, PG_OID_INT8,   PG_OID_INT8,
	    PG_OID_INT8, PG_OID_INT8,   PG_OID_FLOAT8, PG_OID_FLOAT8,
	    PG_OID_BOOL, PG_OID_FLOAT4, PG_OID_INT8,   PG_OID_INT4};
	struct pgc_param p[1 + LIVE_COLS] = {{w->instance, 0, 0, false}};
	size_t at[LIVE_COLS + 1], n = 0;
	struct mono now = clock_mono();
	struct pgbuf b = {NULL, 0, 0, false};
	bool ok;

	for (size_t i = 0; i < w->live_size; i++)
		n += w->live[i].waiting;
	for (int c = 0; c < LIVE_COLS; c++) {
		at[c] = b.len;
		pgbuf_array(&b, elem[c], n);
		for (size_t i = 0; i < w->live_size; i++) {
			if (w->live[i].waiting)
				put_live(&b, (uint32_t)i, &w->live[i], c, now);
		}
	}
	at[LIVE_COLS] = b.len;
	if (b.failed) {
		pgbuf_clear(&b);
		return true; /* with the next one */
	}
	for (int c = 0; c < LIVE_COLS; c++)
		p[1 + c] =
		    (struct pgc_param){b.p + at[c], at[c + 1] - at[c], 0, true};
	ok = pgc_run(w->db, "live", 1 + LIVE_COLS, p, false, NULL, NULL, err);
	pgbuf_clear(&b);
	for (size_t i = 0; ok && i < w->live_size; i++)
		w->live[i].waiting = false;
	if (ok)
		w->live_waiting = false;
	return ok;
}

bool
live_goodbye(struct writer *w, struct pgc_err *err)
{
	const char *p[] = {w->instance};

	return pgc_exec_params(
	    w->db,
	    "UPDATE twmesh_private.controller SET alive_at = "
	    "clock_timestamp(), stopped_at = clock_timestamp() WHERE "
	    "instance_id = $1::uuid",
	    1, p, NULL, err);
}

/* Days are whole seconds since 1970, ascending. */
static void
note_leaves(struct writer *w, const struct pgc_rows *rows)
{
	const int64_t now = clock_wall().ns;

	w->oldest.ns = pgc_value_i64(rows, 0, 0, 0) * NS_PER_S;
	w->newest.ns =
	    pgc_value_i64(rows, pgc_rows_n(rows) - 1, 0, 0) * NS_PER_S;
	w->leaf_n = 0;
	for (int i = 0; i < pgc_rows_n(rows); i++) {
		const struct wall from = {pgc_value_i64(rows, i, 0, 0) *
		                          NS_PER_S};
		struct leaf *l = &w->leaf[w->leaf_n];
		char table[80];
		int columns;

		if (from.ns < now - 2 * DAY_NS || from.ns > now + DAY_NS ||
		    w->leaf_n == LEAVES_MAX || !pgc_value_bool(rows, i, 2))
			continue;
		(void)snprintf(table, sizeof(table), "twmesh.%s",
		               pgc_value(rows, i, 1));
		copy_sql(table, l->copy_sql, &columns);
		l->from = from;
		w->leaf_n++;
	}
}

static bool
look(struct writer *w, struct pgc_err *err)
{
	struct pgc_rows *rows;

	if (!pgc_query(w->db,
	               "SELECT extract(epoch FROM to_date(substr(relname, 8), "
	               "'YYYYMMDD'))::bigint, relname, "
	               "has_table_privilege(pg_class.oid, 'INSERT') FROM "
	               "pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
	               "WHERE inhparent = 'twmesh.result'::regclass AND NOT "
	               "inhdetachpending AND relname ~ '^result_[0-9]{8}$' "
	               "ORDER BY 1",
	               0, NULL, &rows, err))
		return false;
	note_leaves(w, rows);
	pgc_rows_free(rows);
	return true;
}

bool
partitions_look(struct writer *w, struct pgc_err *err)
{
	if (!look(w, err))
		return false;
	if (w->newest.ns > clock_wall().ns)
		return true;
	return partitions_make(w, err);
}

bool
partitions_make(struct writer *w, struct pgc_err *err)
{
	/* Days of the database's clock in UTC (the session's time zone). */
	for (int d = -DAYS_BACK; d <= DAYS_AHEAD; d++) {
		char days[24];
		const char *p[] = {dec_of(d, days)};

		if (!pgc_exec_params(
		        w->db,
		        "SELECT twmesh_private.add_partition(current_date + "
		        "$1::integer) WHERE EXISTS (SELECT FROM "
		        "unnest(ARRAY['result', 'result_detail', "
		        "'result_flow']) parent WHERE to_regclass('twmesh.' || "
		        "parent || '_' || to_char(current_date + $1::integer, "
		        "'YYYYMMDD')) IS NULL)",
		        1, p, NULL, err))
			return false;
	}
	return look(w, err);
}

bool
node_changes_note(struct writer *w, struct pgc_err *err)
{
	return pgc_exec(w->db, "SELECT twmesh_private.note_node_changes()",
	                err);
}

bool
runs_sweep(struct writer *w, struct pgc_err *err)
{
	return pgc_exec(w->db, "SELECT twmesh_private.sweep_runs()", err);
}
