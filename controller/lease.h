/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The right to keep house, held by one controller at a time
 * (twmesh_private.lease), and the fence that makes it safe: whoever slept past
 * his time (SIGSTOP, a frozen virtual machine) wakes up with an old fence, and
 * every transaction of maintenance asks for it under a lock of the row, so
 * that nothing of his is committed.
 *
 *   free --take--> held (fence n) --renew every quarter of the time--> held
 *                    |--another took it--> lost, logged --> free
 */
#ifndef TWMESH_CONTROLLER_LEASE_H
#define TWMESH_CONTROLLER_LEASE_H

#include "lib/base/clock.h"
#include "lib/pg/pgc.h"

#include <stdbool.h>
#include <stdint.h>

struct lease {
	const char *me; /* uuid text of this run; borrowed */
	int64_t time_ns;
	int64_t fence;      /* 0: not held, as far as is known */
	struct mono ask_at; /* when to take or renew it next */
};

bool lease_attach(struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* Takes or renews it when that is due. */
bool lease_keep(struct lease *l, struct pgc *db, struct mono now,
                struct pgc_err *err) __attribute__((warn_unused_result));
/* In a transaction: it commits only under our fence. *ours false: roll back.
 * The row stays locked until the end of the transaction. */
bool lease_fence(struct lease *l, struct pgc *db, bool *ours,
                 struct pgc_err *err) __attribute__((warn_unused_result));
/* A planned stop: another need not wait. */
bool lease_release(struct lease *l, struct pgc *db, struct pgc_err *err)
    __attribute__((warn_unused_result));

#endif
