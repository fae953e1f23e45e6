/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kernels/dist.h"
#include "engine/kernels/dist_impl.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
static bool
has_avx512(void)
{
	return __builtin_cpu_supports("avx512f");
}

static bool
has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

static bool
has_always(void)
{
	return true;
}

/* Best first; the last one runs everywhere. */
static const struct {
	const struct dist_kernels *kernels;
	bool (*usable)(void);
} choices[] = {
#if defined(__x86_64__)
	{&dist_avx512, has_avx512},
	{&dist_avx2, has_avx2},
#elif defined(__aarch64__)
	{&dist_neon, has_always},
#endif
	{&dist_serial, has_always},
};

#define N_CHOICES (sizeof choices / sizeof choices[0])

/* A wish this machine cannot fulfil is passed over: wrong instructions would
 * kill the program, slower ones do not. */
static const struct dist_kernels *
choose(const char *wish)
{
	for (size_t i = 0; wish != NULL && i < N_CHOICES; i++)
		if (strcmp(choices[i].kernels->name, wish) == 0 &&
		    choices[i].usable())
			return choices[i].kernels;
	for (size_t i = 0; i < N_CHOICES - 1; i++)
		if (choices[i].usable())
			return choices[i].kernels;
	return &dist_serial;
}

static const struct dist_kernels *
kernels(void)
{
	/* Two threads may both choose, and choose the same. */
	static _Atomic(const struct dist_kernels *) chosen;
	const struct dist_kernels *k =
		atomic_load_explicit(&chosen, memory_order_relaxed);

	if (k == NULL) {
		k = choose(getenv("POINTFS_ISA"));
		atomic_store_explicit(&chosen, k, memory_order_relaxed);
	}
	return k;
}

dist_fn
dist_pick(enum distance d)
{
	switch (d) {
	case DISTANCE_EUCLID:
		return kernels()->l2;
	case DISTANCE_MANHATTAN:
		return kernels()->l1;
	case DISTANCE_COSINE:
	case DISTANCE_DOT:
		break;
	}
	return kernels()->dot;
}

dist_fn
dist_product(void)
{
	return kernels()->product;
}

const char *
dist_isa(void)
{
	return kernels()->name;
}

int
dist_larger_is_better(enum distance d)
{
	return d == DISTANCE_COSINE || d == DISTANCE_DOT;
}

float
dist_score(enum distance d, float dist)
{
	if (dist_larger_is_better(d))
		return 1.0f - dist;
	return d == DISTANCE_EUCLID ? sqrtf(dist) : dist;
}

float
dist_from_score(enum distance d, float score)
{
	if (dist_larger_is_better(d))
		return 1.0f - score;
	/* A negative threshold stays one that no distance is below. */
	return d == DISTANCE_EUCLID ? score * fabsf(score) : score;
}

static inline double
load(const float *p, uint32_t i)
{
	float v;

	memcpy(&v, (const char *)p + (size_t)i * sizeof v, sizeof v);
	return v;
}

double
vec_norm(const float *v, uint32_t dim)
{
	double s[4] = {0};

	for (uint32_t i = 0; i < dim; i++) {
		double x = load(v, i);

		s[i % 4] += x * x;
	}
	return sqrt((s[0] + s[1]) + (s[2] + s[3]));
}

void
vec_normalise(const float *v, uint32_t dim, float *ret)
{
	double norm = vec_norm(v, dim);

	if (norm == 0)
		norm = 1;
	for (uint32_t i = 0; i < dim; i++)
		ret[i] = (float)(load(v, i) / norm);
}
