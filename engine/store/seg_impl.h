/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_impl.h - a mapped segment, for seg_*.c alone.
 *
 * owners   struct seg_map is shared by every struct seg over one data stream
 *          (before and after its graph was built) and counts them.
 * threads  Any; what changes is atomic.
 */
#ifndef ENGINE_STORE_SEG_IMPL_H
#define ENGINE_STORE_SEG_IMPL_H

#include "engine/store/seg.h"
#include "engine/store/seg_format.h"

struct seg_map {
	_Atomic int refs;
	uint64_t uid; /* of this mapping in this process; for the cache */
	struct pages *data;
	struct pages *deleted; /* NULL: none; kept for seg_verify() */
	_Atomic uint64_t *dead;
	_Atomic uint32_t n_dead;
	/* the directory */
	enum distance distance;
	uint32_t dim;
	uint32_t n_rows;
	uint32_t n_vecs;
	uint32_t n_blocks;
	lsn_t min_lsn, max_lsn;
	struct {
		uint64_t at, len;
	} sect[SECT_NR];
};

struct seg_full { /* what seg_open() allocates */
	struct seg s;
	struct pages *graph;
};

/* n bytes at `at` of a section, their pages checked.  NULL is -ERR_DAMAGED. */
const uint8_t *map_get(const struct seg_map *m, enum seg_sect k, uint64_t at,
		       uint64_t n, struct err *err);
const uint8_t *map_row(const struct seg_map *m, enum seg_sect k, uint32_t i,
		       uint32_t width, struct err *err);
int map_id(const struct seg_map *m, uint32_t row, struct slice *ret,
	   struct err *err);
int map_damaged(struct err *err, const char *what, uint32_t row);

/* seg_docs.c */
bool doc_fits(const struct doc *d);
/* Fills in all of ret but form, style and size. */
int doc_read(const struct seg_map *m, uint32_t row, struct arena *a,
	     struct doc *ret, struct err *err);
int docs_verify(const struct seg_map *m, struct err *err);

/* seg_deleted.c: sets bits (n_rows of them, all clear). */
int deleted_read(const struct pages *pg, uint32_t n_rows, uint64_t *bits,
		 uint32_t *ret_n, struct err *err);

#endif
