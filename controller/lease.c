/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/lease.h"

#include "controller/roster_priv.h"
#include "lib/base/log.h"

#include <inttypes.h>

#define NAME "'keeper'"

bool
lease_attach(struct pgc *db, struct pgc_err *err)
{
	return pgc_prepare(db, "lease_fence",
	                   "SELECT FROM twmesh_private.lease WHERE name = " NAME
	                   " AND holder = $1::uuid AND fence = $2::bigint FOR "
	                   "SHARE",
	                   err);
}

static void
lose(struct lease *l)
{
	log_warn("keeper: the lease is lost: another controller keeps house "
	         "(ours was number %" PRId64 ")",
	         l->fence);
	l->fence = 0;
}

static bool
renew(struct lease *l, struct pgc *db, struct pgc_err *err)
{
	char fence[24], ms[24];
	const char *p[] = {l->me, dec_of(l->fence, fence),
	                   dec_of(l->time_ns / NS_PER_MS, ms)};
	long n = 0;

	/* The server process may be another one by now. */
	if (!pgc_exec_params(
	        db,
	        "UPDATE twmesh_private.lease SET expires_at = "
	        "clock_timestamp() + $3::bigint * interval '1 ms', pid = "
	        "a.pid, backend_start = a.backend_start FROM "
	        "pg_stat_activity a WHERE a.pid = pg_backend_pid() AND "
	        "name = " NAME " AND holder = $1::uuid AND fence = $2::bigint",
	        3, p, &n, err))
		return false;
	if (n == 0)
		lose(l);
	return true;
}

static bool
take(struct lease *l, struct pgc *db, struct pgc_err *err)
{
	char ms[24];
	const char *p[] = {l->me, dec_of(l->time_ns / NS_PER_MS, ms)};
	struct pgc_rows *rows;

	if (!pgc_query(db,
	               "SELECT twmesh_private.lease_take(" NAME ", $1::uuid, "
	               "$2::bigint * interval '1 ms')",
	               2, p, &rows, err))
		return false;
	l->fence = pgc_value_i64(rows, 0, 0, 0);
	pgc_rows_free(rows);
	if (l->fence)
		log_info("keeper: this controller keeps house (lease number "
		         "%" PRId64 ")",
		         l->fence);
	return true;
}

bool
lease_keep(struct lease *l, struct pgc *db, struct mono now,
           struct pgc_err *err)
{
	if (mono_diff_ns(l->ask_at, now) > 0)
		return true;
	l->ask_at = mono_add_ns(now, l->time_ns / 4);
	if (l->fence && !renew(l, db, err))
		return false;
	return l->fence || take(l, db, err);
}

bool
lease_fence(struct lease *l, struct pgc *db, bool *ours, struct pgc_err *err)
{
	char fence[24];
	struct pgc_param p[] = {{l->me, 0, 0, false},
	                        {dec_of(l->fence, fence), 0, 0, false}};
	struct pgc_rows *rows;

	if (!pgc_run(db, "lease_fence", 2, p, false, &rows, NULL, err))
		return false;
	*ours = pgc_rows_n(rows) == 1;
	pgc_rows_free(rows);
	if (!*ours && l->fence)
		lose(l);
	return true;
}

bool
lease_release(struct lease *l, struct pgc *db, struct pgc_err *err)
{
	char fence[24];
	const char *p[] = {l->me, dec_of(l->fence, fence)};

	if (!l->fence)
		return true;
	l->fence = 0;
	return pgc_exec_params(
	    db,
	    "UPDATE twmesh_private.lease SET expires_at = '-infinity' WHERE "
	    "name = " NAME " AND holder = $1::uuid AND fence = $2::bigint",
	    2, p, NULL, err);
}
