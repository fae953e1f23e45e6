/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hnsw.h - a navigable small-world graph over one immutable set of vectors.
 *
 * Source: Malkov and Yashunin, "Efficient and robust approximate nearest
 * neighbor search using HNSW graphs" (2016), algorithms 1, 2, 4 and 5, built in
 * batches: a batch searches the graph frozen before it, so that all threads
 * work without locks and the result depends only on rows, order and seed.
 *
 * shapes   The graph is one run of bytes (hnsw_format.h), position independent,
 *          to be written to disk and mapped as it stands.
 * errors   int functions: 0 or -ERR_*.  hnsw_open() checks everything a walk
 *          relies on cheaply (magic, sizes, entry, levels); a neighbour out of
 *          range met during a walk is skipped, never followed, so that damaged
 *          bytes cannot lead outside of the mapping.
 * owners   hnsw_build() appends to the caller's buf.  struct hnsw borrows the
 *          bytes.
 * threads  hnsw_search(): any number.  hnsw_build() uses n_threads.
 */
#ifndef ENGINE_INDEX_HNSW_H
#define ENGINE_INDEX_HNSW_H

#include "engine/base/buf.h"
#include "engine/index/index.h"

struct err;

struct hnsw_params {
	uint32_t m;            /* links per node above level 0; 2m at level 0 */
	uint32_t ef_construct; /* candidates kept while building */
	uint64_t seed;
};

#define HNSW_M_MIN                2
#define HNSW_M_MAX                512
#define HNSW_M_DEFAULT            16
#define HNSW_EF_CONSTRUCT_DEFAULT 100
#define HNSW_EF_DEFAULT           128 /* hnsw_ef of a query that names none */

struct hnsw {
	const uint8_t *bytes;
	size_t len;
	uint32_t n;
	uint32_t m;
	uint32_t entry;
	uint32_t max_level;
	/* --- the rest is for the files of this folder --------------------- */
	uint32_t cap0;            /* words of a list at level 0: 2m */
	uint32_t cap1;            /* words of a list above: m */
	const uint32_t *links0;   /* n lists, ROW_NONE padded */
	const uint32_t *upper_at; /* per node: offset into upper, or ROW_NONE */
	const uint32_t *upper;    /* a node's lists from level 1 up */
	uint64_t upper_len;
	const uint32_t *twins; /* NULL, or per row the next equal row; only the
				* first of equal rows has links (hnsw_twin.c) */
};

/* stop, asked now and then, ends the build early with -ERR_STOPPED; progress
 * (may be NULL) is told how many rows are in. */
struct hnsw_watch {
	bool (*stop)(void *arg);
	void (*progress)(void *arg, uint32_t rows);
	void *arg;
};

int hnsw_build(const struct vectors *vs, enum distance d,
	       const struct hnsw_params *p, unsigned n_threads,
	       const struct hnsw_watch *w, struct buf *ret, struct err *err);

int hnsw_open(const void *bytes, size_t len, uint32_t n_rows, struct hnsw *ret,
	      struct err *err);

/* Every link, reachability of every row from the entry: for tests and
 * `pointfs check`. */
int hnsw_check(const struct hnsw *h, struct err *err);

/* The near rows, best first, into t (made by topk_new with k <= ef).  Rows that
 * f refuses are walked through and not given.  If the walk cannot fill t
 * although enough rows pass (they are few, or far), it returns false and the
 * caller scans. */
bool hnsw_search(const struct hnsw *h, const struct vectors *vs,
		 const struct query_vec *q, struct row_filter f, uint32_t ef,
		 struct arena *scratch, struct topk *t);

#endif
