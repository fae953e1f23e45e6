/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - what a search over one immutable set of vectors takes and gives.
 *
 * shapes   vectors: n rows of dim floats, row r at base + r * stride floats.
 *          A row is a u32; 0xffffffff is none.
 * units    Distances are those of dist_pick(): smaller is nearer.
 * owners   Everything is borrowed for the call.
 * threads  Searches run on any number of threads on one index.
 */
#ifndef ENGINE_INDEX_INDEX_H
#define ENGINE_INDEX_INDEX_H

#include "engine/kernels/dist.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROW_NONE UINT32_MAX

struct arena;

struct vectors {
	const float *base;
	size_t stride; /* floats from one row to the next */
	uint32_t n;
	uint32_t dim;
	const float *norms; /* cosine: length of each row (0 for zero vectors);
			     * rows are stored as given.  NULL otherwise */
};

struct near { /* one result */
	float dist;
	uint32_t row;
};

/* Which rows may be answered.  NULL function: all.  The walk goes through rows
 * that may not be answered, but never gives them. */
struct row_filter {
	bool (*pass)(void *arg, uint32_t row);
	void *arg;
};

/* The distance from a prepared query to a row: cosine divides by norms. */
struct query_vec {
	enum distance distance;
	dist_fn fn;
	const float *v; /* cosine: of unit length */
};

/* Cosine: normalises into the arena; otherwise borrows v. */
int query_vec_init(struct query_vec *q, enum distance d, const float *v,
		   uint32_t dim, struct arena *a);
float query_vec_dist(const struct query_vec *q, const struct vectors *vs,
		     uint32_t row);

/* The k nearest, nearest first, equal distances by rising row. */
struct topk;                                        /* opaque, in an arena */
struct topk *topk_new(struct arena *a, uint32_t k); /* NULL: no memory */
float topk_bound(const struct topk *t);             /* +inf until k are in */
void topk_add(struct topk *t, float dist, uint32_t row);
uint32_t topk_sort(struct topk *t, struct near **ret); /* in the arena */

/* Exact scan of rows [from, to): the oracle of every index test.  Adds to t. */
void flat_scan(const struct vectors *vs, const struct query_vec *q,
	       struct row_filter f, uint32_t from, uint32_t to, struct topk *t);

#endif
