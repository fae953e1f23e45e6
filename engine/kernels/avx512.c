/* SPDX-License-Identifier: Apache-2.0 */
/*
 * avx512.c - kernels for AVX-512F.  Four sums hide the latency of the fused
 * multiply-add; the rest of a row is read under a mask, never past its end.
 */
#include "engine/kernels/dist_impl.h"

#include <immintrin.h>

#define W 16

static inline __mmask16
tail_mask(uint32_t left)
{
	return (__mmask16)((1u << left) - 1);
}

static inline __m512
step_l2(__m512 sum_f32x16, __m512 a, __m512 b)
{
	__m512 diff = _mm512_sub_ps(a, b);

	return _mm512_fmadd_ps(diff, diff, sum_f32x16);
}

static inline __m512
step_l1(__m512 sum_f32x16, __m512 a, __m512 b)
{
	return _mm512_add_ps(sum_f32x16, _mm512_abs_ps(_mm512_sub_ps(a, b)));
}

static inline __m512
step_product(__m512 sum_f32x16, __m512 a, __m512 b)
{
	return _mm512_fmadd_ps(a, b, sum_f32x16);
}

/* The loop of every kernel; step is inlined. */
static inline __attribute__((always_inline)) float
fold(const float *a, const float *b, uint32_t dim,
     __m512 (*step)(__m512, __m512, __m512))
{
	__m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	uint32_t i = 0;

	for (; dim - i >= 4 * W; i += 4 * W) {
		s0 = step(s0, _mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
		s1 = step(s1, _mm512_loadu_ps(a + i + W),
			  _mm512_loadu_ps(b + i + W));
		s2 = step(s2, _mm512_loadu_ps(a + i + 2 * W),
			  _mm512_loadu_ps(b + i + 2 * W));
		s3 = step(s3, _mm512_loadu_ps(a + i + 3 * W),
			  _mm512_loadu_ps(b + i + 3 * W));
	}
	for (; dim - i >= W; i += W)
		s0 = step(s0, _mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
	if (i < dim) {
		__mmask16 m = tail_mask(dim - i);

		s1 = step(s1, _mm512_maskz_loadu_ps(m, a + i),
			  _mm512_maskz_loadu_ps(m, b + i));
	}
	return _mm512_reduce_add_ps(
		_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

static float
dist_l2_f32_avx512(const float *a, const float *b, uint32_t dim)
{
	return fold(a, b, dim, step_l2);
}

static float
dist_l1_f32_avx512(const float *a, const float *b, uint32_t dim)
{
	return fold(a, b, dim, step_l1);
}

static float
dist_product_f32_avx512(const float *a, const float *b, uint32_t dim)
{
	return fold(a, b, dim, step_product);
}

static float
dist_dot_f32_avx512(const float *a, const float *b, uint32_t dim)
{
	return 1.0f - fold(a, b, dim, step_product);
}

const struct dist_kernels dist_avx512 = {
	.name = "avx512",
	.l2 = dist_l2_f32_avx512,
	.l1 = dist_l1_f32_avx512,
	.product = dist_product_f32_avx512,
	.dot = dist_dot_f32_avx512,
};
