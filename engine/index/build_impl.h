/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_impl.h - the steps of hnsw_build() that have files of their own.
 *
 * threads  Steps that run on many threads give each a worker; what else they
 *          may write is said in hnsw_build.c.
 */
#ifndef ENGINE_INDEX_BUILD_IMPL_H
#define ENGINE_INDEX_BUILD_IMPL_H

#include "engine/index/walk.h"

#define LEVEL_TWIN UINT8_MAX /* the row has no links of its own */

struct lists { /* [n] lists of cap with lengths; the used ones come first */
	uint32_t *row;
	float *dist;
	uint16_t *used;
	uint64_t n;
	uint32_t cap;  /* with slack */
	uint32_t keep; /* final */
};

struct worker {
	struct walker walker;
	struct pool pool;
	struct near *cand; /* [max(ef, cap) + 1] */
	struct near *kept; /* [keep] */
	float *unit;       /* [dim] cosine: the row at unit length */
};

struct build {
	const struct vectors *vs;
	enum distance distance;
	const struct hnsw_params *params;
	const struct hnsw_watch *watch;
	unsigned n_threads;
	struct worker *workers;

	dist_fn fn;
	float alpha;
	double *lift; /* dot only */
	double lift_len2;

	uint8_t *level; /* per row; or LEVEL_TWIN */
	uint32_t *order;
	uint32_t n_order;
	uint32_t *twins;
	uint32_t *twin_of; /* per row of the batch: whom it equals */

	struct lists base;
	struct lists upper;
	uint32_t *upper_at; /* per row: its first list in upper, in words */
	struct hnsw graph;  /* what walks see: the lists above */

	uint32_t from, to; /* the batch, in order[] */
	_Atomic uint32_t taken;
};

/* hnsw_link.c.  Algorithm 4 of the paper: of n candidates, sorted, those that
 * are nearer to the row than (alpha times) to any one kept before, at most
 * max. */
uint32_t link_choose(const struct build *b, const struct near *cand, uint32_t n,
		     uint32_t max, struct near *ret);

int lists_init(struct lists *l, uint64_t n, uint32_t keep);
void lists_done(struct lists *l);
struct lists *lists_at(struct build *b, uint32_t row, uint32_t level,
		       uint64_t *ret_i);
void lists_put(struct lists *l, uint64_t i, const struct near *v, uint32_t n);
/* The list's links in cand, with one more if extra is given; sorted. */
uint32_t lists_get(const struct lists *l, uint64_t i, const struct near *extra,
		   struct near *cand);
/* Appends, and prunes a list that is full. */
void lists_add(const struct build *b, struct worker *w, struct lists *l,
	       uint64_t i, struct near link);

/* hnsw_finish.c.  Prunes all lists to their final length and appends the
 * graph to ret. */
int build_finish(struct build *b, struct buf *ret, struct err *err);
int build_put_empty(const struct build *b, struct buf *ret, struct err *err);

/* hnsw_twin.c.  Equal rows would fill each other's lists and close the group
 * to the outside, so only the first of them gets links and the others hang on
 * it in a chain: next[row] is the next equal row, rising, or ROW_NONE. */
int twin_find(const struct vectors *vs, unsigned n_threads, uint32_t *next,
	      struct err *err);

/* Puts row, with the chain behind it, behind head. */
void twin_join(uint32_t *next, uint32_t head, uint32_t row);

/* Orders the chain behind head by row. */
int twin_sort(uint32_t *next, uint32_t head, struct err *err);

/* hnsw_repair.c.  Gives every row whose has_links is set a way from the entry
 * at level 0.  links: n lists of cap, ROW_NONE padded. */
int hnsw_repair(uint32_t *links, uint32_t n, uint32_t cap, uint32_t entry,
		bool (*has_links)(void *arg, uint32_t row), void *arg,
		struct err *err);

#endif
