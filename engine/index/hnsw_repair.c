/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hnsw_repair.c - no row without a way to it.
 *
 * Pruning can cut the last link to a row.  Each row the entry does not reach
 * gets one from a near row that is reached, in a free place or in place of a
 * link that no other row's way depends on (the ways are a tree: parent[]).
 * What the new row leads to is then reached as well, so few links are needed.
 */
#include "engine/index/build_impl.h"

#include "engine/base/err.h"

#include <stdlib.h>
#include <string.h>

struct repair {
	uint32_t *links;
	uint32_t n;
	uint32_t cap;
	uint32_t *parent; /* ROW_NONE: not reached; the entry's is itself */
	uint32_t *queue;
	uint32_t n_queue;
	uint32_t spare; /* rows of the queue before it have no place */
};

static void
reach(struct repair *r, uint32_t row, uint32_t parent)
{
	r->parent[row] = parent;
	r->queue[r->n_queue++] = row;
}

/* Reaches all that the queue leads to, from index at on. */
static void
spread(struct repair *r, uint32_t at)
{
	for (; at < r->n_queue; at++) {
		uint32_t row = r->queue[at];
		const uint32_t *list = r->links + (size_t)row * r->cap;

		for (uint32_t i = 0; i < r->cap && list[i] != ROW_NONE; i++)
			if (r->parent[list[i]] == ROW_NONE)
				reach(r, list[i], row);
	}
}

/* Links row to orphan; the last links, being the farthest, go first. */
static bool
adopt(struct repair *r, uint32_t row, uint32_t orphan)
{
	uint32_t *list = r->links + (size_t)row * r->cap;

	for (uint32_t i = 0; i < r->cap; i++)
		if (list[i] == ROW_NONE) {
			list[i] = orphan;
			return true;
		}
	for (uint32_t i = r->cap; i-- > 0;)
		if (r->parent[list[i]] != row) {
			list[i] = orphan;
			return true;
		}
	return false;
}

/* First choice are the rows the orphan itself links to, nearest first; then
 * whoever has a place.  There is one: n lists have more than n - 1 places. */
static uint32_t
find_parent(struct repair *r, uint32_t orphan)
{
	const uint32_t *list = r->links + (size_t)orphan * r->cap;

	for (uint32_t i = 0; i < r->cap && list[i] != ROW_NONE; i++)
		if (r->parent[list[i]] != ROW_NONE && adopt(r, list[i], orphan))
			return list[i];
	while (!adopt(r, r->queue[r->spare], orphan))
		r->spare++;
	return r->queue[r->spare];
}

static void
repair_run(struct repair *r, uint32_t entry,
	   bool (*has_links)(void *arg, uint32_t row), void *arg)
{
	memset(r->parent, 0xff, (size_t)r->n * sizeof r->parent[0]);
	reach(r, entry, entry);
	spread(r, 0);
	for (uint32_t row = 0; row < r->n; row++) {
		uint32_t at = r->n_queue;

		if (r->parent[row] != ROW_NONE || !has_links(arg, row))
			continue;
		reach(r, row, find_parent(r, row));
		spread(r, at);
	}
}

int
hnsw_repair(uint32_t *links, uint32_t n, uint32_t cap, uint32_t entry,
	    bool (*has_links)(void *arg, uint32_t row), void *arg,
	    struct err *err)
{
	struct repair r = {.links = links, .n = n, .cap = cap};
	int rc = 0;

	r.parent = malloc((size_t)n * sizeof r.parent[0]);
	r.queue = malloc((size_t)n * sizeof r.queue[0]);
	if (r.parent == NULL || r.queue == NULL)
		rc = err_set(err, ERR_NO_MEMORY, "no memory to repair a graph");
	else
		repair_run(&r, entry, has_links, arg);
	free(r.parent);
	free(r.queue);
	return rc;
}
