/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a class calls too much (twmesh.class_threshold, from the mesh file), as
 * state.h judges cells by it.
 */
#ifndef TWMESH_CONTROLLER_LIMITS_H
#define TWMESH_CONTROLLER_LIMITS_H

#define STATE_HYSTERESIS 2 /* intervals in a row that turn a cell */
#define STATE_HYSTERESIS_MAX 100

enum limit_metric { LIMIT_LOSS, LIMIT_RTT, LIMIT_JITTER, LIMIT_DELAY, LIMIT_N };
enum limit_over {
	LIMIT_NONE,
	LIMIT_VALUE,
	LIMIT_FLOOR_PLUS,
	LIMIT_FLOOR_TIMES
};
struct limit {
	enum limit_over over;
	double value; /* per cent, milliseconds, or a factor */
};
struct limits {
	struct limit warn[LIMIT_N], crit[LIMIT_N];
	int hysteresis; /* 1..STATE_HYSTERESIS_MAX */
};
/* Of a class without thresholds: crit from 10 % of loss, 2 in a row. */
extern const struct limits limits_default;

#endif
