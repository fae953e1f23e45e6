/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vecs.h - vectors for measuring: read from .fvecs files, or made up.
 *
 * units    A set's truth is, per query, the rows of the true nearest, in order.
 * errors   bool functions say why on stderr.
 * owners   vecs_free() frees what is in a set.
 */
#ifndef TESTS_RECALL_VECS_H
#define TESTS_RECALL_VECS_H

#include "engine/index/index.h"

struct vecs {
	struct vectors base; /* norms are set for every metric */
	float *queries;
	uint32_t n_queries;
	uint32_t *truth; /* n_queries lists of k */
	uint32_t k;
};

/* base.fvecs, query.fvecs and, if there, gt.ivecs of a directory. */
bool vecs_read(const char *dir, struct vecs *ret);

/* Clusters of uneven size on a curved surface of few dimensions with noise,
 * as embeddings have them; lengths vary.  The same seed, the same bits. */
bool vecs_make(uint32_t n, uint32_t dim, uint32_t n_queries, uint64_t seed,
	       struct vecs *ret);

/* Replaces the truth by that of an exact scan. */
bool vecs_scan(struct vecs *v, enum distance d, struct row_filter f, uint32_t k,
	       unsigned n_threads);

void vecs_free(struct vecs *v);

/* How many of the truth's first k are among got. */
uint32_t vecs_hits(const struct vecs *v, uint32_t query, const struct near *got,
		   uint32_t n_got, uint32_t k);

#endif
