/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The audit of clocks from the mesh (docs/MEASUREMENT.md): the smallest one-way
 * delays of the newest results, by either witness and over all classes, bound
 * every clock's offset from the reference nodes' (lib/stats/clockaudit.h). What
 * was found goes to twmesh_private.clock_audit, and is seen in
 * twmesh.node_status and in one_way_trusted.
 *
 * However many controllers there are, one of them audits at a time, and none
 * soon after another. The writer's thread only.
 */
#ifndef TWMESH_CONTROLLER_AUDIT_H
#define TWMESH_CONTROLLER_AUDIT_H

#include "lib/base/clock.h"
#include "lib/pg/pgc.h"

#include <stdbool.h>
#include <stddef.h>

/* Each time the state is read whole (36 octets per cell) and solved (n * n
 * some hundred times): at 1,000 nodes that is a second of the writer's. */
#define AUDIT_EVERY_NS (10 * NS_PER_S)
#define AUDIT_SMALL_MESH 200 /* nodes; six times as long between, above */

struct audit_report {
	bool done;           /* false: another controller just did it */
	size_t nodes;        /* valid when done */
	const char *missing; /* a reference that is no node; NULL: none */
};

/* Prepares statements on a new connection. Without references whatever stands
 * there from other times is deleted. */
bool audit_attach(struct pgc *db, size_t reference_n, struct pgc_err *err)
    __attribute__((warn_unused_result));
/* reference: names of nodes, at least one. Nothing is written unless another
 * audit is at least min_age_ns old. */
bool audit_run(struct pgc *db, const char *const *reference, size_t reference_n,
               int64_t min_age_ns, struct audit_report *out,
               struct pgc_err *err) __attribute__((warn_unused_result));

#endif
