/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_flat.c - the exact scan and the k best, against sorting everything.
 */
#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/index/index.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 500
#define DIM  7

struct data {
	float v[ROWS][DIM + 2]; /* rows with a gap: a stride above dim */
	float norms[ROWS];
	struct vectors vs;
	float query[DIM];
};

static void
data_make(struct data *d)
{
	srand(7);
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < DIM + 2; j++)
			d->v[i][j] = (float)(rand() % 9 - 4);
	memset(d->v[3], 0, sizeof d->v[3]); /* cosine of a zero vector */
	for (int i = 0; i < ROWS; i++)
		d->norms[i] = (float)vec_norm(d->v[i], DIM);
	for (int j = 0; j < DIM; j++)
		d->query[j] = (float)(rand() % 9 - 4);
	d->vs = (struct vectors){.base = d->v[0],
				 .stride = DIM + 2,
				 .n = ROWS,
				 .dim = DIM,
				 .norms = d->norms};
}

/* By the book, in double precision. */
static double
true_dist(const struct data *d, enum distance metric, int row)
{
	double l2 = 0, l1 = 0, dot = 0;

	for (int j = 0; j < DIM; j++) {
		double x = d->query[j], y = d->v[row][j];

		l2 += (x - y) * (x - y);
		l1 += fabs(x - y);
		dot += x * y;
	}
	switch (metric) {
	case DISTANCE_EUCLID:
		return l2;
	case DISTANCE_MANHATTAN:
		return l1;
	case DISTANCE_DOT:
		return 1 - dot;
	case DISTANCE_COSINE:
		break;
	}
	if (d->norms[row] == 0)
		return 1;
	return 1 - dot / d->norms[row] / vec_norm(d->query, DIM);
}

static uint32_t
scan(const struct data *d, enum distance metric, struct row_filter f,
     uint32_t k, struct arena *a, struct near **ret)
{
	struct topk *t = topk_new(a, k);
	struct query_vec q;

	assert_non_null(t);
	assert_int_equal(query_vec_init(&q, metric, d->query, DIM, a), 0);
	flat_scan(&d->vs, &q, f, 0, ROWS, t);
	return topk_sort(t, ret);
}

static void
test_scan_gives_true_distances_in_order(void **state)
{
	struct row_filter all = {0};
	struct data d;

	(void)state;
	data_make(&d);
	for (int m = DISTANCE_COSINE; m <= DISTANCE_MANHATTAN; m++) {
		struct arena a = {0};
		struct near *near;
		uint32_t n = scan(&d, (enum distance)m, all, ROWS, &a, &near);

		assert_int_equal(n, ROWS);
		for (uint32_t i = 0; i < n; i++) {
			double want = true_dist(&d, (enum distance)m,
						(int)near[i].row);

			assert_true(fabs(near[i].dist - want) < 1e-5);
			if (i > 0)
				assert_true(near[i - 1].dist < near[i].dist ||
					    (near[i - 1].dist == near[i].dist &&
					     near[i - 1].row < near[i].row));
		}
		arena_done(&a);
	}
}

static void
test_k_best_are_the_first_of_all(void **state)
{
	struct row_filter all = {0};
	struct data d;
	struct arena a = {0};
	struct near *near, *best;

	(void)state;
	data_make(&d);
	assert_int_equal(scan(&d, DISTANCE_DOT, all, ROWS, &a, &near), ROWS);
	for (uint32_t k = 0; k < 40; k++) {
		assert_int_equal(scan(&d, DISTANCE_DOT, all, k, &a, &best), k);
		for (uint32_t i = 0; i < k; i++) {
			assert_int_equal(best[i].row, near[i].row);
			assert_true(best[i].dist == near[i].dist);
		}
	}
	arena_done(&a);
}

static bool
pass_third(void *arg, uint32_t row)
{
	(*(int *)arg)++;
	return row % 3 == 1;
}

static void
test_filter_hides_rows(void **state)
{
	int asked = 0;
	struct row_filter f = {.pass = pass_third, .arg = &asked};
	struct data d;
	struct arena a = {0};
	struct near *near;
	uint32_t n;

	(void)state;
	data_make(&d);
	n = scan(&d, DISTANCE_EUCLID, f, ROWS, &a, &near);
	assert_int_equal(asked, ROWS);
	assert_int_equal(n, (ROWS + 1) / 3);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(near[i].row % 3, 1);
	arena_done(&a);
}

static void
test_parts_of_a_scan_are_the_whole(void **state)
{
	struct row_filter all = {0};
	struct data d;
	struct arena a = {0};
	struct topk *t;
	struct query_vec q;
	struct near *whole, *parts;

	(void)state;
	data_make(&d);
	scan(&d, DISTANCE_COSINE, all, 20, &a, &whole);
	t = topk_new(&a, 20);
	assert_int_equal(query_vec_init(&q, DISTANCE_COSINE, d.query, DIM, &a),
			 0);
	/* Backwards, so that equal distances come in the wrong order. */
	flat_scan(&d.vs, &q, all, 300, ROWS + 1000, t);
	flat_scan(&d.vs, &q, all, 0, 300, t);
	assert_int_equal(topk_sort(t, &parts), 20);
	assert_memory_equal(whole, parts, 20 * sizeof whole[0]);
	arena_done(&a);
}

static void
test_bound_is_the_worst_of_k(void **state)
{
	struct arena a = {0};
	struct topk *t = topk_new(&a, 2);
	struct near *near;

	(void)state;
	assert_true(isinf(topk_bound(t)));
	topk_add(t, -5, 1);
	assert_true(isinf(topk_bound(t)));
	topk_add(t, 3, 2);
	assert_true(topk_bound(t) == 3);
	topk_add(t, 4, 3);
	assert_true(topk_bound(t) == 3);
	topk_add(t, -7, 4);
	assert_true(topk_bound(t) == -5);
	assert_int_equal(topk_sort(t, &near), 2);
	assert_int_equal(near[0].row, 4);
	assert_int_equal(near[1].row, 1);
	arena_done(&a);
}

static void
test_overflow_is_farthest_and_orders_nothing_wrong(void **state)
{
	float v[3][2] = {{3e38f, -3e38f}, {0.1f, 0.1f}, {3e38f, 3e38f}};
	float query[2] = {3e38f, 3e38f};
	struct vectors vs = {.base = v[0], .stride = 2, .n = 3, .dim = 2};
	struct arena a = {0};
	struct topk *t = topk_new(&a, 3);
	struct query_vec q;
	struct near *near;

	(void)state;
	query_vec_init(&q, DISTANCE_DOT, query, 2, &a);
	flat_scan(&vs, &q, (struct row_filter){0}, 0, 3, t);
	assert_int_equal(topk_sort(t, &near), 3);
	assert_int_equal(near[0].row, 2);
	assert_int_equal(near[1].row, 1);
	assert_int_equal(near[2].row, 0);
	arena_done(&a);
}

static void
test_cosine_of_tiny_and_huge_rows_is_exact(void **state)
{
	float v[3][2] = {{3e-12f, 4e-12f}, {3e12f, 4e12f}, {0, 0}};
	float norms[3] = {5e-12f, 5e12f, 0};
	float query[2] = {30, 40};
	struct vectors vs = {
		.base = v[0], .stride = 2, .n = 3, .dim = 2, .norms = norms};
	struct arena a = {0};
	struct query_vec q;

	(void)state;
	query_vec_init(&q, DISTANCE_COSINE, query, 2, &a);
	assert_true(fabsf(query_vec_dist(&q, &vs, 0)) < 1e-6f);
	assert_true(fabsf(query_vec_dist(&q, &vs, 1)) < 1e-6f);
	assert_true(query_vec_dist(&q, &vs, 2) == 1);
	arena_done(&a);
}

static void
test_no_memory_is_told(void **state)
{
	struct arena a = {.limit = 1};
	struct query_vec q;
	float v[64] = {0};

	(void)state;
	assert_null(topk_new(&a, 1000));
	assert_true(query_vec_init(&q, DISTANCE_COSINE, v, 64, &a) < 0);
	arena_done(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_gives_true_distances_in_order),
		cmocka_unit_test(test_k_best_are_the_first_of_all),
		cmocka_unit_test(test_filter_hides_rows),
		cmocka_unit_test(test_parts_of_a_scan_are_the_whole),
		cmocka_unit_test(test_bound_is_the_worst_of_k),
		cmocka_unit_test(
			test_overflow_is_farthest_and_orders_nothing_wrong),
		cmocka_unit_test(test_cosine_of_tiny_and_huge_rows_is_exact),
		cmocka_unit_test(test_no_memory_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
