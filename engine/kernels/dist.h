/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dist.h - distances between float vectors, one file per instruction set,
 * picked once at run time.
 *
 * shapes   a and b are dim floats, any alignment.
 * units    Smaller is nearer, for every metric: l2 is squared, dot and cosine
 *          are 1 - the product (cosine expects unit vectors: the index
 *          normalises), manhattan is the sum of differences.
 * errors   None.  The vectors are finite.
 * threads  Any.  The environment POINTFS_ISA=serial|avx2|avx512|neon forces
 *          one, if the machine has it.
 * The serial kernels are the oracle of the others (tests/unit/test_dist.c).
 */
#ifndef ENGINE_KERNELS_DIST_H
#define ENGINE_KERNELS_DIST_H

#include <stdint.h>

enum distance { /* numbers reach the disk */
		DISTANCE_COSINE = 1,
		DISTANCE_DOT = 2,
		DISTANCE_EUCLID = 3,
		DISTANCE_MANHATTAN = 4,
};

typedef float (*dist_fn)(const float *a, const float *b, uint32_t dim);

dist_fn dist_pick(enum distance d);
const char *dist_isa(void); /* "avx512", "avx2", "neon", "serial" */

/* The bare product: 1 - it would lose all digits of a small one, and cosine
 * over rows of any length has to divide it by the norm first. */
dist_fn dist_product(void);

/* What Qdrant calls score, from what dist_pick() gave: similarity for Cosine
 * and Dot (larger is better), true distance for Euclid and Manhattan. */
float dist_score(enum distance d, float dist);
float dist_from_score(enum distance d, float score); /* for thresholds */
int dist_larger_is_better(enum distance d);

/* Unit length, in double precision inside; a zero vector stays as it is. */
void vec_normalise(const float *v, uint32_t dim, float *ret);
double vec_norm(const float *v, uint32_t dim);

#endif
