/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.c - the kernels in plain C, for any machine, and the oracle of the
 * others.  Eight partial sums keep the rounding error near that of the wide
 * kernels and let the compiler use what vector registers it may assume.
 */
#include "engine/kernels/dist_impl.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define LANES 8

/* memcpy, because rows inside a document may sit at any byte. */
static inline float
load(const float *p, uint32_t i)
{
	float v;

	memcpy(&v, (const char *)p + (size_t)i * sizeof v, sizeof v);
	return v;
}

static inline float
sum_lanes(const float s[LANES])
{
	return ((s[0] + s[4]) + (s[2] + s[6])) +
	       ((s[1] + s[5]) + (s[3] + s[7]));
}

static float
dist_l2_f32_serial(const float *a, const float *b, uint32_t dim)
{
	float s[LANES] = {0};

	for (uint32_t i = 0; i < dim; i++) {
		float diff = load(a, i) - load(b, i);

		s[i % LANES] += diff * diff;
	}
	return sum_lanes(s);
}

static float
dist_l1_f32_serial(const float *a, const float *b, uint32_t dim)
{
	float s[LANES] = {0};

	for (uint32_t i = 0; i < dim; i++)
		s[i % LANES] += fabsf(load(a, i) - load(b, i));
	return sum_lanes(s);
}

static float
dist_product_f32_serial(const float *a, const float *b, uint32_t dim)
{
	float s[LANES] = {0};

	for (uint32_t i = 0; i < dim; i++)
		s[i % LANES] += load(a, i) * load(b, i);
	return sum_lanes(s);
}

static float
dist_dot_f32_serial(const float *a, const float *b, uint32_t dim)
{
	return 1.0f - dist_product_f32_serial(a, b, dim);
}

const struct dist_kernels dist_serial = {
	.name = "serial",
	.l2 = dist_l2_f32_serial,
	.l1 = dist_l1_f32_serial,
	.product = dist_product_f32_serial,
	.dot = dist_dot_f32_serial,
};
