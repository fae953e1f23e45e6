/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_impl.h - what the files of this folder share.
 *
 * order    A key holds a distance and a row in one u64, so that keys compare
 *          as (distance, row) do: the float's bits, turned so that negative
 *          ones (dot) sort below positive ones, above the row.  The lowest bit
 *          says that a walk has been through the row; no two keys of a pool
 *          have the same row, so it never decides an order.
 */
#ifndef ENGINE_INDEX_INDEX_IMPL_H
#define ENGINE_INDEX_INDEX_IMPL_H

#include "engine/index/index.h"

#include <math.h>
#include <string.h>

#define INDEX_ROWS_MAX (1u << 31) /* a row is 31 bits in a key */
#define KEY_WALKED     UINT64_C(1)

struct topk {
	struct near *heap; /* [k]; the worst one on top */
	uint32_t k;
	uint32_t n;
};

static inline uint64_t
key_make(float dist, uint32_t row)
{
	uint32_t bits;

	dist += 0.0f; /* -0 becomes +0: they are one distance */
	memcpy(&bits, &dist, sizeof bits);
	bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
	return (uint64_t)bits << 32 | (uint64_t)row << 1;
}

static inline uint32_t
key_row(uint64_t key)
{
	return (uint32_t)key >> 1;
}

static inline float
key_dist(uint64_t key)
{
	uint32_t bits = (uint32_t)(key >> 32);
	float dist;

	bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
	memcpy(&dist, &bits, sizeof dist);
	return dist;
}

static inline const float *
vectors_row(const struct vectors *vs, uint32_t row)
{
	return vs->base + (size_t)row * vs->stride;
}

/* Sums of huge components may overflow to inf - inf; a NaN would compare with
 * nothing, so it counts as farthest. */
static inline float
dist_sane(float dist)
{
	return isnan(dist) ? INFINITY : dist;
}

static inline float
dist_cosine(float product, float norm)
{
	return norm == 0 ? 1.0f : 1.0f - product / norm;
}

#endif
