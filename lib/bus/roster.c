/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/msg.h"

#include <stdlib.h>
#include <string.h>

void
roster_clear(struct roster *r)
{
	free(r->node);
	free(r->class_);
	memset(r, 0, sizeof(*r));
}

static void *
dup_array(const void *src, size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (p && n)
		memcpy(p, src, n * size);
	return p;
}

bool
roster_copy(struct roster *dst, const struct roster *src)
{
	struct roster r = {
	    .epoch = src->epoch,
	    .planned = src->planned,
	    .node = dup_array(src->node, src->node_n, sizeof(*src->node)),
	    .node_n = src->node_n,
	    .class_ =
	        dup_array(src->class_, src->class_n, sizeof(*src->class_)),
	    .class_n = src->class_n,
	};

	if (!r.node || !r.class_) {
		roster_clear(&r);
		return false;
	}
	*dst = r;
	return true;
}

const struct roster_node *
roster_node_by_id(const struct roster *r, uint32_t node_id)
{
	size_t lo = 0, hi = r->node_n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (r->node[mid].node_id == node_id)
			return &r->node[mid];
		if (r->node[mid].node_id < node_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct roster_class *
roster_class_by_id(const struct roster *r, uint32_t class_id)
{
	for (size_t i = 0; i < r->class_n; i++) {
		if (r->class_[i].class_id == class_id)
			return &r->class_[i];
	}
	return NULL;
}

bool
roster_has_session(const struct roster *r, const struct roster_node *src,
                   const struct roster_node *dst, const struct roster_class *c)
{
	if (src->kind != NODE_TWMESH || src->node_id == dst->node_id)
		return false;
	return !r->planned ||
	       (src->mesh & dst->mesh & c->mesh & (src->hub | dst->hub)) != 0;
}

static bool
is_removed(const struct roster_delta *d, uint32_t node_id)
{
	for (size_t i = 0; i < d->removed_n; i++) {
		if (d->removed[i] == node_id)
			return true;
	}
	return false;
}

/* Both lists are sorted by id: a merge, in which d's entry wins. A node that
 * is removed and upserted at once stays: the upsert is its new life. */
bool
roster_apply(struct roster *r, const struct roster_delta *d)
{
	struct roster_node *merged;
	size_t i = 0, j = 0, n = 0;

	if (r->epoch != d->from_epoch)
		return false;
	merged = calloc(r->node_n + d->upsert_n + 1, sizeof(*merged));
	if (!merged)
		return false;
	while (i < r->node_n || j < d->upsert_n) {
		const struct roster_node *old =
		    i < r->node_n ? &r->node[i] : NULL;
		const struct roster_node *new =
		    j < d->upsert_n ? &d->upsert[j] : NULL;

		if (new && (!old || new->node_id <= old->node_id)) {
			merged[n++] = *new;
			i += old && new->node_id == old->node_id;
			j++;
		} else if (old) {
			if (!is_removed(d, old->node_id))
				merged[n++] = *old;
			i++;
		}
	}
	if (n > MSG_NODES_MAX) {
		free(merged);
		return false;
	}
	free(r->node);
	r->node = merged;
	r->node_n = n;
	r->epoch = d->epoch;
	return true;
}
