/* SPDX-License-Identifier: Apache-2.0 */
/*
 * avx2.c - kernels for AVX2 with FMA.  Four sums hide the latency of the fused
 * multiply-add; the rest of a row is read under a mask, never past its end.
 */
#include "engine/kernels/dist_impl.h"

#include <immintrin.h>

#define W 8

static inline __m256i
tail_mask(uint32_t left)
{
	const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)left), lane);
}

static inline __m256
step_l2(__m256 sum_f32x8, __m256 a, __m256 b)
{
	__m256 diff = _mm256_sub_ps(a, b);

	return _mm256_fmadd_ps(diff, diff, sum_f32x8);
}

static inline __m256
step_l1(__m256 sum_f32x8, __m256 a, __m256 b)
{
	__m256 diff = _mm256_sub_ps(a, b);

	return _mm256_add_ps(sum_f32x8,
			     _mm256_andnot_ps(_mm256_set1_ps(-0.0f), diff));
}

static inline __m256
step_product(__m256 sum_f32x8, __m256 a, __m256 b)
{
	return _mm256_fmadd_ps(a, b, sum_f32x8);
}

static inline float
sum_lanes(__m256 v)
{
	__m128 s = _mm_add_ps(_mm256_castps256_ps128(v),
			      _mm256_extractf128_ps(v, 1));

	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* The loop of every kernel; step is inlined. */
static inline __attribute__((always_inline)) float
fold(const float *a, const float *b, uint32_t dim,
     __m256 (*step)(__m256, __m256, __m256))
{
	__m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	uint32_t i = 0;

	for (; dim - i >= 4 * W; i += 4 * W) {
		s0 = step(s0, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
		s1 = step(s1, _mm256_loadu_ps(a + i + W),
			  _mm256_loadu_ps(b + i + W));
		s2 = step(s2, _mm256_loadu_ps(a + i + 2 * W),
			  _mm256_loadu_ps(b + i + 2 * W));
		s3 = step(s3, _mm256_loadu_ps(a + i + 3 * W),
			  _mm256_loadu_ps(b + i + 3 * W));
	}
	for (; dim - i >= W; i += W)
		s0 = step(s0, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
	if (i < dim) {
		__m256i m = tail_mask(dim - i);

		s1 = step(s1, _mm256_maskload_ps(a + i, m),
			  _mm256_maskload_ps(b + i, m));
	}
	return sum_lanes(
		_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

static float
dist_l2_f32_avx2(const float *a, const float *b, uint32_t dim)
{
	return fold(a, b, dim, step_l2);
}

static float
dist_l1_f32_avx2(const float *a, const float *b, uint32_t dim)
{
	return fold(a, b, dim, step_l1);
}

static float
dist_product_f32_avx2(const float *a, const float *b, uint32_t dim)
{
	return fold(a, b, dim, step_product);
}

static float
dist_dot_f32_avx2(const float *a, const float *b, uint32_t dim)
{
	return 1.0f - fold(a, b, dim, step_product);
}

const struct dist_kernels dist_avx2 = {
	.name = "avx2",
	.l2 = dist_l2_f32_avx2,
	.l1 = dist_l1_f32_avx2,
	.product = dist_product_f32_avx2,
	.dot = dist_dot_f32_avx2,
};
