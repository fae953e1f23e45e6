/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.h - the way through a graph, for searching it and for building it.
 *
 * A walk keeps the best ef rows it has seen in a pool, sorted, and goes on
 * from the nearest one it has not been through, until there is none.
 *
 * owners   A walker is memory that walks reuse: which rows were seen, as a
 *          bitset whose touched words are undone one by one afterwards, so
 *          that a walk costs what it touches and not what the graph has.
 * threads  A walker belongs to one thread.
 */
#ifndef ENGINE_INDEX_WALK_H
#define ENGINE_INDEX_WALK_H

#include "engine/index/hnsw.h"
#include "engine/index/index_impl.h"

/* The longest list: level 0 of the largest m, with the slack of building. */
#define WALK_LIST_MAX (3 * HNSW_M_MAX)

/* What distances are measured from: a query, or a row being linked. */
struct probe {
	const struct vectors *vs;
	dist_fn fn;
	const float *v;
	const float *norms; /* cosine: fn is the product; else NULL */

	/* Building for dot: rows lifted to one length (hnsw_build.c). */
	const double *lift; /* else NULL */
	double lift_self;
	double lift_len2;
};

struct pool {
	uint64_t *key; /* [cap], rising */
	uint32_t n;
	uint32_t cap;
	uint32_t next; /* no row before this index is still to be walked */
};

struct walker {
	uint64_t *seen; /* bit per row */
	size_t seen_cap;
	uint32_t *undo; /* rows whose bit is set */
	size_t n_undo;
	size_t undo_cap;
	uint64_t *heap; /* hnsw_search.c: rows still to be walked */
	size_t n_heap;
	size_t heap_cap;
	uint32_t fresh[WALK_LIST_MAX]; /* neighbours not seen before */
	float dist[WALK_LIST_MAX];
};

int walker_init(struct walker *w, uint32_t n_rows); /* 0, -ERR_NO_MEMORY */
void walker_done(struct walker *w);

/* This thread's own, freed with it; NULL: no memory. */
struct walker *walker_get(uint32_t n_rows);

void walker_forget(struct walker *w);            /* no row is seen any more */
bool walker_see(struct walker *w, uint32_t row); /* true: the first time */
int walker_push(struct walker *w, uint64_t key); /* onto the heap */
uint64_t walker_pop(struct walker *w);           /* the least key */

float probe_dist(const struct probe *p, uint32_t row);

/* Gathers the unseen neighbours of row into w->fresh, with their distances,
 * and marks them seen.  Returns how many, or -ERR_NO_MEMORY. */
int walk_fresh(struct walker *w, const struct hnsw *h, const struct probe *p,
	       uint32_t row, uint32_t level);

/* Follows the best neighbour from row at level, as long as there is a better
 * one. */
struct near walk_greedy(const struct hnsw *h, const struct probe *p,
			struct near from, uint32_t level);

bool pool_add(struct pool *pool, uint64_t key);

/* Walks level from what is in the pool; those rows must have been seen. */
int walk_level(struct walker *w, const struct hnsw *h, const struct probe *p,
	       uint32_t level, struct pool *pool);

/* A node's list at a level; NULL when damaged bytes point out of the graph. */
static inline const uint32_t *
hnsw_list(const struct hnsw *h, uint32_t row, uint32_t level, uint32_t *ret_cap)
{
	uint64_t at;

	if (level == 0) {
		*ret_cap = h->cap0;
		return h->links0 + (size_t)row * h->cap0;
	}
	*ret_cap = h->cap1;
	at = h->upper_at[row];
	if (at == ROW_NONE)
		return NULL;
	at += (uint64_t)(level - 1) * h->cap1;
	return at + h->cap1 <= h->upper_len ? h->upper + at : NULL;
}

#endif
