/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/keeper_jobs.h"
#include "controller/roster_priv.h"

bool
keeper_incidents(struct lease *l, struct pgc *db, struct pgc_err *err)
{
	bool ours;

	if (!keeper_begin(l, db, "BEGIN", &ours, err))
		return false;
	if (!ours)
		return true;
	return roster_end(
	    db, pgc_exec(db, "SELECT twmesh_private.note_incidents()", err),
	    err);
}
