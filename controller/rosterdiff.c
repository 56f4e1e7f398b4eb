/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/rosterdiff.h"

#include <stdlib.h>
#include <string.h>

static bool
class_equal(const struct roster_class *a, const struct roster_class *b)
{
	return a->class_id == b->class_id && a->version == b->version &&
	       strcmp(a->name, b->name) == 0 && a->family == b->family &&
	       a->dscp == b->dscp && a->size_octets == b->size_octets &&
	       a->gap_ns == b->gap_ns && a->schedule == b->schedule &&
	       a->flows == b->flows && a->interval_ns == b->interval_ns &&
	       a->loss_timeout_ns == b->loss_timeout_ns &&
	       a->ship_spread_ns == b->ship_spread_ns &&
	       a->detail == b->detail && a->codec == b->codec &&
	       a->jitter_buffer_ns == b->jitter_buffer_ns && a->mesh == b->mesh;
}

static bool
node_equal(const struct roster_node *a, const struct roster_node *b)
{
	if (strcmp(a->name, b->name) != 0 || strcmp(a->site, b->site) != 0 ||
	    a->address_n != b->address_n ||
	    a->reflector_port != b->reflector_port || a->paused != b->paused ||
	    a->kind != b->kind || a->mesh != b->mesh || a->hub != b->hub)
		return false;
	for (size_t i = 0; i < a->address_n; i++) {
		if (!addr_equal(&a->address[i], &b->address[i]))
			return false;
	}
	return true;
}

/* Both sides are sorted by id: one walk over both. */
static void
walk(const struct roster *from, const struct roster *to,
     struct roster_delta *out)
{
	size_t i = 0, k = 0;

	while (i < from->node_n || k < to->node_n) {
		const struct roster_node *a =
		    i < from->node_n ? &from->node[i] : NULL;
		const struct roster_node *b =
		    k < to->node_n ? &to->node[k] : NULL;

		if (a && (!b || a->node_id < b->node_id)) {
			out->removed[out->removed_n++] = a->node_id;
			i++;
			continue;
		}
		if (!b)
			break; /* not reached: one of the two is left */
		if (!a || b->node_id < a->node_id || !node_equal(a, b))
			out->upsert[out->upsert_n++] = *b;
		if (a && a->node_id == b->node_id)
			i++;
		k++;
	}
}

bool
roster_diff(const struct roster *from, const struct roster *to,
            struct roster_delta *out)
{
	struct roster_delta d = {.from_epoch = from->epoch, .epoch = to->epoch};

	if (from->class_n != to->class_n || from->planned != to->planned)
		return false;
	for (size_t i = 0; i < from->class_n; i++) {
		if (!class_equal(&from->class_[i], &to->class_[i]))
			return false;
	}
	d.upsert = calloc(to->node_n + 1, sizeof(*d.upsert));
	d.removed = calloc(from->node_n + 1, sizeof(*d.removed));
	if (!d.upsert || !d.removed) {
		free(d.upsert);
		free(d.removed);
		return false;
	}
	walk(from, to, &d);
	*out = d;
	return true;
}
