/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg.h - an immutable segment: points sealed into content-named files.
 *
 * A segment is a stream of sections (seg_format.h): a directory, the rows'
 * metadata sorted by point number, ids with a hash table and their order,
 * vectors, documents in compressed blocks, and, made later, a graph in a
 * stream of its own.  Deleted rows are a side stream, replaced whole; in
 * memory they are a bitmap that only gains bits.
 *
 * shapes   A row is a u32, 0..n_rows-1, by rising point number.  A vector is
 *          numbered too (vec_no), because points without one are allowed.
 * errors   ERR_DAMAGED names file and offset; nothing from the mapping is
 *          believed before its page was checked: metadata, ids and documents
 *          on use; vectors by seg_vec(); search checks the vectors of what it
 *          answers, scrub all.
 * threads  A builder is one thread's.  A struct seg is everybody's; bits are
 *          set atomically under the shard's lock.
 */
#ifndef ENGINE_STORE_SEG_H
#define ENGINE_STORE_SEG_H

#include "engine/index/hnsw.h"
#include "engine/store/pages.h"
#include "engine/types.h"

struct arena;

/* What the manifest keeps of a segment. */
struct seg_desc {
	uint64_t id; /* rising in the shard, never reused */
	uint32_t n_rows;
	uint32_t n_vecs;
	uint32_t dim;
	uint64_t vec_bytes;     /* n_vecs * dim * 4 */
	lsn_t min_lsn, max_lsn; /* of the rows in it */
	struct pages_list data;
	struct pages_list graph;   /* n == 0: not built */
	struct pages_list deleted; /* n == 0: none */
	uint32_t n_deleted;
	uint8_t graph_kind; /* 1: hnsw */
};
void seg_desc_done(struct seg_desc *d);
int seg_desc_copy(const struct seg_desc *d, struct seg_desc *ret,
		  struct err *err);
int seg_desc_encode(const struct seg_desc *d, struct buf *ret);
int seg_desc_decode(struct reader *r, struct seg_desc *ret, struct err *err);

/* --- writing --------------------------------------------------------- */

struct seg_builder;

int seg_create(int dirfd, enum distance distance, uint32_t dim,
	       struct seg_builder **ret, struct err *err);
/* By rising p->no.  Copies what it needs. */
int seg_add(struct seg_builder *b, const struct point *p, struct err *err);
/* desc: id is the caller's to set; no graph, nothing deleted. */
int seg_finish(struct seg_builder *b, struct seg_desc *ret, struct err *err);
void seg_abort(struct seg_builder *b); /* also frees after seg_finish */

/* Writes a deletions stream for the bits given (n_rows of them). */
int seg_write_deleted(int dirfd, const uint64_t *bits, uint32_t n_rows,
		      struct pages_list *ret, uint32_t *ret_n, struct err *err);
int seg_write_graph(int dirfd, struct slice graph, struct pages_list *ret,
		    struct err *err);

/* --- reading --------------------------------------------------------- */

struct seg {
	struct seg_desc desc;   /* a copy */
	enum distance distance; /* that norms and graph were made for */
	struct vectors vecs;    /* rows are vec_no */
	struct hnsw graph;      /* graph.bytes NULL: none */
	_Atomic uint64_t *dead; /* n_rows bits: deleted or overwritten */
	_Atomic uint32_t n_dead;
	_Atomic int refs;
	struct seg_map *map; /* seg_read.c's */
};

/* Loads the deletions that desc names into dead.  distance: what it must have
 * been made for; 0: any. */
int seg_open(int dirfd, const struct seg_desc *d, enum distance distance,
	     struct seg **ret, struct err *err);
/* A second struct seg over the same mapping with a graph (desc.graph) added;
 * shares dead and map with s. */
int seg_with_graph(struct seg *s, int dirfd, const struct pages_list *graph,
		   struct seg **ret, struct err *err);
struct seg *seg_ref(struct seg *s);
void seg_unref(struct seg *s); /* NULL is fine */

/* ROW_NONE when absent.  Dead rows are found too: ask seg_is_dead(). */
int seg_find_id(struct seg *s, const void *key, size_t n, uint32_t *ret_row,
		struct err *err);
int seg_find_no(struct seg *s, uint64_t no, uint32_t *ret_row, struct err *err);
bool seg_is_dead(const struct seg *s, uint32_t row);
bool seg_kill(struct seg *s, uint32_t row); /* false: it was dead already */

int seg_stat(struct seg *s, uint32_t row, struct point_stat *ret,
	     struct err *err);
int seg_id(struct seg *s, uint32_t row, struct slice *ret_key, struct err *err);
/* The whole point; doc and id in the arena, vec borrowed from the mapping (live
 * as long as s).  want_doc false leaves doc.text and the payload out (size and
 * form are there). */
int seg_point(struct seg *s, uint32_t row, bool want_doc, struct arena *a,
	      struct point *ret, struct err *err);
/* NULL in *ret: the row has no vector. */
int seg_vec(struct seg *s, uint32_t row, const float **ret, struct err *err);
uint32_t seg_vec_no(struct seg *s, uint32_t row); /* ROW_NONE: none */
uint32_t seg_vec_row(const struct seg *s, uint32_t vec_no);

/* Rows by rising id: the i-th of n_rows. */
int seg_by_id(struct seg *s, uint32_t i, uint32_t *ret_row, struct err *err);
/* The first i whose id is >= key. */
int seg_id_lower_bound(struct seg *s, const void *key, size_t n,
		       uint32_t *ret_i, struct err *err);

/* Reads everything and compares: page sums, hash table, order, counts; with
 * deep the SHA-256 of every file. */
int seg_verify(struct seg *s, bool deep, struct err *err);

#endif
