/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_dist.c - every kernel this machine can run, against the serial one, and
 * the serial one against sums in double precision.
 *
 * The error allowed is relative to the sum of the terms' sizes, because a dot
 * product's terms may cancel: 1e-5, where float sums of 1600 terms in eight
 * parts err by 200 roundings of 6e-8 at the very worst.
 */
#include "engine/kernels/dist_impl.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIM_TOP 1600
#define ALLOWED 1e-5

static const struct dist_kernels *const all[] = {
	&dist_serial,
#if defined(__x86_64__)
	&dist_avx2,
	&dist_avx512,
#elif defined(__aarch64__)
	&dist_neon,
#endif
};

static int
can_run(const struct dist_kernels *k)
{
#if defined(__x86_64__)
	if (k == &dist_avx2)
		return __builtin_cpu_supports("avx2") &&
		       __builtin_cpu_supports("fma");
	if (k == &dist_avx512)
		return __builtin_cpu_supports("avx512f");
#endif
	return k != NULL;
}

static float
random_float(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (float)((double)(int32_t)(*state >> 32) / (1u << 30));
}

/* Two vectors in memory of exactly their size, so that a sanitizer sees a read
 * past the end; shift bytes behind an aligned address. */
struct two {
	char *mem_a, *mem_b;
	const float *a, *b;
};

static struct two
two_make(uint32_t dim, size_t shift, uint64_t seed)
{
	struct two t = {.mem_a = malloc(dim * sizeof(float) + shift),
			.mem_b = malloc(dim * sizeof(float) + shift)};

	assert_non_null(t.mem_a);
	assert_non_null(t.mem_b);
	for (uint32_t i = 0; i < dim; i++) {
		float x = random_float(&seed), y = random_float(&seed);

		memcpy(t.mem_a + shift + i * sizeof x, &x, sizeof x);
		memcpy(t.mem_b + shift + i * sizeof y, &y, sizeof y);
	}
	t.a = (const void *)(t.mem_a + shift);
	t.b = (const void *)(t.mem_b + shift);
	return t;
}

static void
two_free(struct two *t)
{
	free(t->mem_a);
	free(t->mem_b);
}

struct sums {
	double l2, l1, product, size; /* size: of the product's terms */
};

static struct sums
sums_make(const struct two *t, uint32_t dim, size_t shift)
{
	struct sums s = {0};

	for (uint32_t i = 0; i < dim; i++) {
		float x, y;

		memcpy(&x, t->mem_a + shift + i * sizeof x, sizeof x);
		memcpy(&y, t->mem_b + shift + i * sizeof y, sizeof y);
		s.l2 += ((double)x - y) * ((double)x - y);
		s.l1 += fabs((double)x - y);
		s.product += (double)x * y;
		s.size += fabs((double)x * y);
	}
	return s;
}

static void
assert_close(double got, double want, double size)
{
	if (fabs(got - want) > ALLOWED * size)
		fail_msg("%.9g instead of %.9g", got, want);
}

static void
compare_all(uint32_t dim, size_t shift)
{
	struct two t = two_make(dim, shift, dim * 31 + shift);
	struct sums s = sums_make(&t, dim, shift);
	double l2 = dist_serial.l2(t.a, t.b, dim);
	double l1 = dist_serial.l1(t.a, t.b, dim);
	double product = dist_serial.product(t.a, t.b, dim);

	assert_close(l2, s.l2, s.l2);
	assert_close(l1, s.l1, s.l1);
	assert_close(product, s.product, s.size);
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		const struct dist_kernels *k = all[i];

		if (!can_run(k))
			continue;
		assert_close(k->l2(t.a, t.b, dim), l2, s.l2);
		assert_close(k->l1(t.a, t.b, dim), l1, s.l1);
		assert_close(k->product(t.a, t.b, dim), product, s.size);
		assert_close(k->dot(t.a, t.b, dim), 1 - product, s.size + 1);
	}
	two_free(&t);
}

static void
test_every_length_agrees_with_serial(void **state)
{
	(void)state;
	for (uint32_t dim = 1; dim <= DIM_TOP; dim++)
		compare_all(dim, 0);
}

static void
test_any_alignment_gives_the_same(void **state)
{
	(void)state;
	for (uint32_t dim = 1; dim <= 200; dim++)
		for (size_t shift = 1; shift < 16; shift++)
			compare_all(dim, shift);
}

static void
test_a_vector_is_at_no_distance_from_itself(void **state)
{
	(void)state;
	for (uint32_t dim = 1; dim <= 300; dim++) {
		struct two t = two_make(dim, 0, dim);

		for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
			if (!can_run(all[i]))
				continue;
			assert_true(all[i]->l2(t.a, t.a, dim) == 0);
			assert_true(all[i]->l1(t.a, t.a, dim) == 0);
		}
		two_free(&t);
	}
}

static void
test_no_dimension_is_no_distance(void **state)
{
	const float one = 1;

	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		if (!can_run(all[i]))
			continue;
		assert_true(all[i]->l2(&one, &one, 0) == 0);
		assert_true(all[i]->l1(&one, &one, 0) == 0);
		assert_true(all[i]->product(&one, &one, 0) == 0);
		assert_true(all[i]->dot(&one, &one, 0) == 1);
	}
}

static void
test_pick_gives_the_metric(void **state)
{
	const float a[3] = {1, 2, 3}, b[3] = {3, 2, 5};

	(void)state;
	assert_true(dist_pick(DISTANCE_EUCLID)(a, b, 3) == 8);
	assert_true(dist_pick(DISTANCE_MANHATTAN)(a, b, 3) == 4);
	assert_true(dist_pick(DISTANCE_DOT)(a, b, 3) == 1 - 22);
	assert_true(dist_pick(DISTANCE_COSINE)(a, b, 3) == 1 - 22);
	assert_true(dist_product()(a, b, 3) == 22);
	assert_non_null(dist_isa());
}

static void
test_score_is_what_users_know(void **state)
{
	(void)state;
	assert_true(dist_score(DISTANCE_EUCLID, 9) == 3);
	assert_true(dist_score(DISTANCE_MANHATTAN, 9) == 9);
	assert_true(dist_score(DISTANCE_DOT, -4) == 5);
	assert_true(dist_score(DISTANCE_COSINE, 0.25f) == 0.75f);
	assert_true(dist_larger_is_better(DISTANCE_DOT));
	assert_true(dist_larger_is_better(DISTANCE_COSINE));
	assert_false(dist_larger_is_better(DISTANCE_EUCLID));
	assert_false(dist_larger_is_better(DISTANCE_MANHATTAN));
}

static void
test_score_goes_back_to_distance(void **state)
{
	(void)state;
	for (int d = DISTANCE_COSINE; d <= DISTANCE_MANHATTAN; d++) {
		float dist = dist_from_score((enum distance)d, 0.5f);

		assert_true(dist_score((enum distance)d, dist) == 0.5f);
	}
	assert_true(dist_from_score(DISTANCE_EUCLID, -2) < 0);
}

static void
test_normalised_has_length_one(void **state)
{
	float v[4] = {3e30f, 0, -4e30f, 0}, unit[4];
	float tiny[2] = {3e-30f, 4e-30f}, zero[2] = {0, 0};

	(void)state;
	assert_true(vec_norm(v, 4) > 4.999e30 && vec_norm(v, 4) < 5.001e30);
	vec_normalise(v, 4, unit);
	assert_true(fabsf(unit[0] - 0.6f) < 1e-6f);
	assert_true(fabsf(unit[2] + 0.8f) < 1e-6f);
	vec_normalise(tiny, 2, tiny);
	assert_true(fabsf(tiny[1] - 0.8f) < 1e-6f);
	vec_normalise(zero, 2, zero);
	assert_true(zero[0] == 0 && zero[1] == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_length_agrees_with_serial),
		cmocka_unit_test(test_any_alignment_gives_the_same),
		cmocka_unit_test(test_a_vector_is_at_no_distance_from_itself),
		cmocka_unit_test(test_no_dimension_is_no_distance),
		cmocka_unit_test(test_pick_gives_the_metric),
		cmocka_unit_test(test_score_is_what_users_know),
		cmocka_unit_test(test_score_goes_back_to_distance),
		cmocka_unit_test(test_normalised_has_length_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
