/* SPDX-License-Identifier: Apache-2.0 */
/*
 * neon.c - kernels for 64-bit ARM, which always has NEON.  Four sums hide the
 * latency of the fused multiply-add; the rest of a row goes one by one.
 */
#include "engine/kernels/dist_impl.h"

#include <arm_neon.h>
#include <string.h>

#define W 4

static inline float32x4_t
load(const float *p)
{
	/* By bytes: rows inside a document may sit anywhere. */
	return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p));
}

static inline float32x4_t
load_tail(const float *p, uint32_t left)
{
	float v[W] = {0};

	memcpy(v, p, left * sizeof v[0]);
	return vld1q_f32(v);
}

static inline float32x4_t
step_l2(float32x4_t sum_f32x4, float32x4_t a, float32x4_t b)
{
	float32x4_t diff = vsubq_f32(a, b);

	return vfmaq_f32(sum_f32x4, diff, diff);
}

static inline float32x4_t
step_l1(float32x4_t sum_f32x4, float32x4_t a, float32x4_t b)
{
	return vaddq_f32(sum_f32x4, vabdq_f32(a, b));
}

static inline float32x4_t
step_product(float32x4_t sum_f32x4, float32x4_t a, float32x4_t b)
{
	return vfmaq_f32(sum_f32x4, a, b);
}

/* The loop of every kernel; step is inlined. */
static inline __attribute__((always_inline)) float
fold(const float *a, const float *b, uint32_t dim,
     float32x4_t (*step)(float32x4_t, float32x4_t, float32x4_t))
{
	float32x4_t s0 = vdupq_n_f32(0), s1 = s0, s2 = s0, s3 = s0;
	uint32_t i = 0;

	for (; dim - i >= 4 * W; i += 4 * W) {
		s0 = step(s0, load(a + i), load(b + i));
		s1 = step(s1, load(a + i + W), load(b + i + W));
		s2 = step(s2, load(a + i + 2 * W), load(b + i + 2 * W));
		s3 = step(s3, load(a + i + 3 * W), load(b + i + 3 * W));
	}
	for (; dim - i >= W; i += W)
		s0 = step(s0, load(a + i), load(b + i));
	if (i < dim)
		s1 = step(s1, load_tail(a + i, dim - i),
			  load_tail(b + i, dim - i));
	return vaddvq_f32(vaddq_f32(vaddq_f32(s0, s1), vaddq_f32(s2, s3)));
}

static float
dist_l2_f32_neon(const float *a, const float *b, uint32_t dim)
{
	return fold(a, b, dim, step_l2);
}

static float
dist_l1_f32_neon(const float *a, const float *b, uint32_t dim)
{
	return fold(a, b, dim, step_l1);
}

static float
dist_product_f32_neon(const float *a, const float *b, uint32_t dim)
{
	return fold(a, b, dim, step_product);
}

static float
dist_dot_f32_neon(const float *a, const float *b, uint32_t dim)
{
	return 1.0f - fold(a, b, dim, step_product);
}

const struct dist_kernels dist_neon = {
	.name = "neon",
	.l2 = dist_l2_f32_neon,
	.l1 = dist_l1_f32_neon,
	.product = dist_product_f32_neon,
	.dot = dist_dot_f32_neon,
};
