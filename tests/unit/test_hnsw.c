/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hnsw.c - the graph against the exact scan, its bytes, and data that is
 * bad for graphs: equal rows, clusters one after the other, one dimension.
 */
#include "engine/base/arena.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/index/hnsw.h"
#include "engine/index/hnsw_format.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define K 10

static const struct hnsw_params params = {.m = HNSW_M_DEFAULT,
					  .ef_construct =
						  HNSW_EF_CONSTRUCT_DEFAULT,
					  .seed = 42};

struct set {
	float *v;
	float *norms;
	struct vectors vs;
	enum distance distance;
	struct buf bytes;
	struct hnsw h;
};

static float
uniform(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (float)(*state >> 40) / (1 << 24);
}

static void
set_init(struct set *s, enum distance d, uint32_t n, uint32_t dim)
{
	memset(s, 0, sizeof *s);
	s->v = calloc((size_t)n * dim + 1, sizeof s->v[0]);
	s->norms = calloc(n + 1, sizeof s->norms[0]);
	assert_non_null(s->v);
	assert_non_null(s->norms);
	s->distance = d;
	s->vs = (struct vectors){.base = s->v,
				 .stride = dim,
				 .n = n,
				 .dim = dim,
				 .norms = s->norms};
}

/* Clusters, one stored after the other, of vectors of different lengths. */
static void
set_fill(struct set *s, uint32_t per_cluster, uint64_t seed)
{
	uint32_t dim = s->vs.dim;
	uint64_t state = seed;
	float center[256];

	for (uint32_t i = 0; i < s->vs.n; i++) {
		float length = 0.5f + uniform(&state);

		for (uint32_t j = 0; i % per_cluster == 0 && j < dim; j++)
			center[j] = 2 * uniform(&state) - 1;
		for (uint32_t j = 0; j < dim; j++)
			s->v[i * dim + j] =
				length * (center[j] + uniform(&state) - 0.5f);
	}
}

static void
set_build(struct set *s, unsigned n_threads)
{
	struct err err = {0};

	for (uint32_t i = 0; i < s->vs.n; i++)
		s->norms[i] = (float)vec_norm(s->v + i * s->vs.dim, s->vs.dim);
	if (hnsw_build(&s->vs, s->distance, &params, n_threads, NULL, &s->bytes,
		       &err) != 0 ||
	    hnsw_open(s->bytes.p, s->bytes.n, s->vs.n, &s->h, &err) != 0 ||
	    hnsw_check(&s->h, &err) != 0)
		fail_msg("%s", err_text(&err));
}

static void
set_done(struct set *s)
{
	free(s->v);
	free(s->norms);
	buf_done(&s->bytes);
}

static bool
set_search(const struct set *s, const float *v, struct row_filter f, uint32_t k,
	   uint32_t ef, struct arena *a, struct near **ret, uint32_t *ret_n)
{
	struct topk *t = topk_new(a, k);
	struct query_vec q;
	bool found;

	assert_non_null(t);
	assert_int_equal(query_vec_init(&q, s->distance, v, s->vs.dim, a), 0);
	found = hnsw_search(&s->h, &s->vs, &q, f, ef, a, t);
	*ret_n = topk_sort(t, ret);
	return found;
}

static uint32_t
set_scan(const struct set *s, const float *v, struct row_filter f, uint32_t k,
	 struct arena *a, struct near **ret)
{
	struct topk *t = topk_new(a, k);
	struct query_vec q;

	assert_non_null(t);
	assert_int_equal(query_vec_init(&q, s->distance, v, s->vs.dim, a), 0);
	flat_scan(&s->vs, &q, f, 0, s->vs.n, t);
	return topk_sort(t, ret);
}

/* Recall@10 over some rows, moved a little, as queries. */
static double
set_recall(const struct set *s, struct row_filter f, uint32_t ef)
{
	uint32_t hits = 0, wanted = 0, n_got, n_want;
	uint64_t state = 99;
	float v[256];

	for (uint32_t i = 0; i < 100; i++) {
		struct arena a = {0};
		struct near *got, *want;
		uint32_t row = i * 7919 % s->vs.n;

		for (uint32_t j = 0; j < s->vs.dim; j++)
			v[j] = s->v[row * s->vs.dim + j] +
			       0.2f * (uniform(&state) - 0.5f);
		n_want = set_scan(s, v, f, K, &a, &want);
		assert_true(set_search(s, v, f, K, ef, &a, &got, &n_got));
		assert_int_equal(n_got, n_want);
		for (uint32_t x = 0; x < n_want; x++)
			for (uint32_t y = 0; y < n_got; y++)
				hits += want[x].row == got[y].row;
		wanted += n_want;
		arena_done(&a);
	}
	return hits / (double)wanted;
}

static void
test_recall_is_high_for_every_metric(void **state)
{
	(void)state;
	for (int d = DISTANCE_COSINE; d <= DISTANCE_MANHATTAN; d++) {
		struct set s;

		set_init(&s, (enum distance)d, 3000, 24);
		set_fill(&s, 300, 5);
		set_build(&s, 2);
		assert_true(set_recall(&s, (struct row_filter){0},
				       HNSW_EF_DEFAULT) >= 0.97);
		set_done(&s);
	}
}

static void
test_results_are_those_of_the_scan_bit_for_bit(void **state)
{
	struct row_filter all = {0};
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_DOT, 800, 16);
	set_fill(&s, 100, 3);
	set_build(&s, 2);
	for (uint32_t i = 0; i < 20; i++) {
		struct arena a = {0};
		struct near *got, *want;
		uint32_t n;

		set_scan(&s, s.v + i * 16, all, K, &a, &want);
		/* ef of all rows is exact on a connected graph */
		assert_true(set_search(&s, s.v + i * 16, all, K, 800, &a, &got,
				       &n));
		assert_int_equal(n, K);
		assert_memory_equal(got, want, K * sizeof got[0]);
		arena_done(&a);
	}
	set_done(&s);
}

static void
test_threads_do_not_change_the_graph(void **state)
{
	(void)state;
	for (int d = DISTANCE_COSINE; d <= DISTANCE_MANHATTAN; d++) {
		struct set one, three;

		set_init(&one, (enum distance)d, 1200, 8);
		set_init(&three, (enum distance)d, 1200, 8);
		set_fill(&one, 50, 1);
		set_fill(&three, 50, 1);
		set_build(&one, 1);
		set_build(&three, 3);
		assert_int_equal(one.bytes.n, three.bytes.n);
		assert_memory_equal(one.bytes.p, three.bytes.p, one.bytes.n);
		set_done(&one);
		set_done(&three);
	}
}

static void
test_all_rows_of_a_small_set_are_found(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 40; n++) {
		struct arena a = {0};
		struct near *near;
		struct set s;
		uint32_t got;
		float v[4] = {1, 2, 3, 4};

		set_init(&s, DISTANCE_MANHATTAN, n, 4);
		set_fill(&s, 5, n);
		set_build(&s, 2);
		assert_true(set_search(&s, v, (struct row_filter){0}, 50, 1, &a,
				       &near, &got));
		assert_int_equal(got, n);
		set_done(&s);
		arena_done(&a);
	}
}

/* Row 0 and 1000 rows in the middle are one and the same. */
static void
set_fill_equal(struct set *s)
{
	set_fill(s, 100, 8);
	for (uint32_t i = 1000; i < 2000; i++)
		memcpy(s->v + i * s->vs.dim, s->v, s->vs.dim * sizeof(float));
}

static void
test_equal_rows_are_all_found_and_block_nothing(void **state)
{
	(void)state;
	for (int d = DISTANCE_COSINE; d <= DISTANCE_MANHATTAN; d++) {
		struct row_filter all = {0};
		struct arena a = {0};
		struct near *got, *want;
		struct set s;
		uint32_t n;

		set_init(&s, (enum distance)d, 3000, 12);
		set_fill_equal(&s);
		set_build(&s, 2);
		assert_true(set_search(&s, s.v, all, K, 64, &a, &got, &n));
		set_scan(&s, s.v, all, K, &a, &want);
		assert_int_equal(n, K);
		assert_memory_equal(got, want, K * sizeof got[0]);
		if (d == DISTANCE_EUCLID || d == DISTANCE_MANHATTAN)
			assert_true(got[K - 1].dist == 0);
		assert_true(set_search(&s, s.v, all, 1001, 64, &a, &got, &n));
		set_scan(&s, s.v, all, 1001, &a, &want);
		assert_int_equal(n, 1001);
		for (uint32_t i = 0; d != DISTANCE_DOT && i < n; i++)
			assert_int_equal(got[i].row, want[i].row);
		assert_true(set_recall(&s, all, 128) >= 0.97);
		set_done(&s);
		arena_done(&a);
	}
}

static void
test_a_set_of_one_vector_is_found_whole(void **state)
{
	struct row_filter all = {0};
	struct arena a = {0};
	struct near *near;
	struct set s;
	uint32_t n;

	(void)state;
	set_init(&s, DISTANCE_COSINE, 2000, 3); /* all zero */
	set_build(&s, 2);
	assert_true(set_search(&s, s.v, all, 100, 10, &a, &near, &n));
	assert_int_equal(n, 100);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(near[i].row, i);
		assert_true(near[i].dist == 1);
	}
	set_done(&s);
	arena_done(&a);
}

static void
test_cosine_of_one_dimension_finds_both_sides(void **state)
{
	struct row_filter all = {0};
	struct arena a = {0};
	struct near *near;
	struct set s;
	uint32_t n;

	(void)state;
	set_init(&s, DISTANCE_COSINE, 3000, 1);
	for (uint32_t i = 0; i < 3000; i++)
		s.v[i] = (i % 2 ? 1.0f : -1.0f) * (float)(i + 1);
	set_build(&s, 2);
	for (int side = 0; side < 2; side++) {
		float v = side ? 0.25f : -0.25f;

		assert_true(set_search(&s, &v, all, K, 128, &a, &near, &n));
		assert_int_equal(n, K);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(near[i].row % 2, side);
			assert_true(near[i].dist == 0);
		}
	}
	set_done(&s);
	arena_done(&a);
}

static void
test_scaled_copies_are_found_by_cosine(void **state)
{
	struct row_filter all = {0};
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_COSINE, 3000, 16);
	set_fill(&s, 100, 4);
	for (uint32_t i = 500; i < 1500; i++)
		for (uint32_t j = 0; j < 16; j++)
			s.v[i * 16 + j] = s.v[j] * (0.1f + (float)i * 0.013f);
	set_build(&s, 2);
	for (uint32_t i = 0; i < 50; i++) {
		struct arena a = {0};
		struct near *got, *want;
		uint32_t row = i * 59, n;

		set_scan(&s, s.v + row * 16, all, K, &a, &want);
		assert_true(set_search(&s, s.v + row * 16, all, K, 128, &a,
				       &got, &n));
		for (uint32_t j = 0; j < K; j++)
			assert_true(fabsf(got[j].dist - want[j].dist) < 1e-5f);
		arena_done(&a);
	}
	set_done(&s);
}

static void
test_one_giant_row_does_not_spoil_dot(void **state)
{
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_DOT, 3000, 16);
	set_fill(&s, 100, 6);
	for (uint32_t j = 0; j < 16; j++)
		s.v[1234 * 16 + j] *= 1e5f;
	set_build(&s, 2);
	assert_true(set_recall(&s, (struct row_filter){0}, 128) >= 0.95);
	set_done(&s);
}

/* --- filters --------------------------------------------------------- */

static bool
pass_every(void *arg, uint32_t row)
{
	return row % *(uint32_t *)arg == 0;
}

static void
test_filtered_results_pass_and_are_near(void **state)
{
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 6000, 16);
	set_fill(&s, 300, 2);
	set_build(&s, 2);
	for (uint32_t every = 1; every <= 16; every *= 2) {
		struct row_filter f = {.pass = pass_every, .arg = &every};
		struct arena a = {0};
		struct near *near;
		uint32_t n;

		assert_true(set_search(&s, s.v, f, K, 64, &a, &near, &n));
		assert_int_equal(n, K);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(near[i].row % every, 0);
		arena_done(&a);
		assert_true(set_recall(&s, f, 64) >= 0.95);
	}
	set_done(&s);
}

static bool
pass_far(void *arg, uint32_t row)
{
	uint32_t *asked = arg;

	++*asked;
	return row >= 19800;
}

static void
test_walk_gives_up_when_what_passes_is_far(void **state)
{
	uint32_t asked = 0, n;
	struct row_filter f = {.pass = pass_far, .arg = &asked};
	struct arena a = {0};
	struct near *near;
	struct set s;

	(void)state;
	/* The last 200 rows pass, and lie where the others do not. */
	set_init(&s, DISTANCE_EUCLID, 20000, 4);
	set_fill(&s, 1000, 2);
	for (uint32_t i = 19800 * 4; i < 20000 * 4; i++)
		s.v[i] += 100;
	set_build(&s, 2);
	assert_false(set_search(&s, s.v, f, K, 16, &a, &near, &n));
	assert_int_equal(n, 0);
	assert_true(asked < 10000);
	set_done(&s);
	arena_done(&a);
}

static void
test_few_that_pass_are_left_to_the_scan(void **state)
{
	uint32_t every = 1500, n;
	struct row_filter f = {.pass = pass_every, .arg = &every};
	struct arena a = {0};
	struct near *near;
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 3000, 4);
	set_fill(&s, 100, 2);
	set_build(&s, 2);
	assert_false(set_search(&s, s.v, f, K, 64, &a, &near, &n));
	assert_int_equal(n, 0);
	/* Two pass and two are wanted: the whole graph is small enough. */
	assert_true(set_search(&s, s.v, f, 2, 64, &a, &near, &n));
	assert_int_equal(n, 2);
	set_done(&s);
	arena_done(&a);
}

static void
test_filtered_equal_rows_are_found_behind_the_first(void **state)
{
	uint32_t every = 7, n;
	struct row_filter f = {.pass = pass_every, .arg = &every};
	struct arena a = {0};
	struct near *got, *want;
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 3000, 12);
	set_fill_equal(&s);
	set_build(&s, 2);
	assert_true(set_search(&s, s.v, f, K, 64, &a, &got, &n));
	set_scan(&s, s.v, f, K, &a, &want);
	assert_int_equal(n, K);
	assert_memory_equal(got, want, K * sizeof got[0]);
	set_done(&s);
	arena_done(&a);
}

/* --- bytes ----------------------------------------------------------- */

static void
test_other_bytes_are_refused(void **state)
{
	struct hnsw h;
	struct set s;
	uint8_t was;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 300, 4);
	set_fill(&s, 100, 2);
	set_build(&s, 1);
	assert_int_equal(hnsw_open(s.bytes.p, s.bytes.n, 299, &h, NULL),
			 -ERR_DAMAGED);
	for (size_t len = 0; len < s.bytes.n; len += len < 70 ? 1 : 97)
		assert_int_equal(hnsw_open(s.bytes.p, len, 300, &h, NULL),
				 -ERR_DAMAGED);
	was = s.bytes.p[offsetof(struct hnsw_head_disk, version)];
	s.bytes.p[offsetof(struct hnsw_head_disk, version)] = 200;
	assert_int_equal(hnsw_open(s.bytes.p, s.bytes.n, 300, &h, NULL),
			 -ERR_VERSION);
	s.bytes.p[offsetof(struct hnsw_head_disk, version)] = was;
	s.bytes.p[offsetof(struct hnsw_head_disk, reserved)] = 1;
	assert_int_equal(hnsw_open(s.bytes.p, s.bytes.n, 300, &h, NULL),
			 -ERR_VERSION);
	set_done(&s);
}

/* Any bytes that open must be walked without leaving them; ASan watches. */
static void
test_damaged_bytes_are_walked_safely(void **state)
{
	uint32_t every = 3;
	struct row_filter filters[2] = {{0},
					{.pass = pass_every, .arg = &every}};
	uint64_t dice = 4;
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 2000, 4);
	set_fill_equal(&s);
	set_build(&s, 1);
	for (uint32_t round = 0; round < 300; round++) {
		uint32_t n_hits = 1 + (uint32_t)(uniform(&dice) * 50), n;
		struct buf copy = {0};
		struct arena a = {0};
		struct near *near;
		struct set bad = s;

		assert_int_equal(buf_put(&copy, s.bytes.p, s.bytes.n), 0);
		for (uint32_t i = 0; i < n_hits; i++) {
			size_t at = (size_t)(uniform(&dice) * (float)copy.n);

			copy.p[MIN(at, copy.n - 1)] =
				(uint8_t)(uniform(&dice) * 256);
		}
		if (hnsw_open(copy.p, copy.n, 2000, &bad.h, NULL) == 0) {
			hnsw_check(&bad.h, NULL);
			for (int f = 0; f < 2; f++)
				set_search(&bad, s.v, filters[f], K, 64, &a,
					   &near, &n);
		}
		buf_done(&copy);
		arena_done(&a);
	}
	set_done(&s);
}

static void
test_check_finds_wrong_links(void **state)
{
	struct set s;
	uint8_t *links;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 300, 4);
	set_fill(&s, 100, 2);
	set_build(&s, 1);
	links = s.bytes.p + sizeof(struct hnsw_head_disk);
	set_u32(links, 300); /* beyond the last row */
	assert_int_equal(hnsw_check(&s.h, NULL), -ERR_DAMAGED);
	set_u32(links, 0); /* row 0 to itself */
	assert_int_equal(hnsw_check(&s.h, NULL), -ERR_DAMAGED);
	/* All links lead to row 1: the others have no way to them. */
	for (uint32_t row = 0; row < 300; row++)
		for (uint32_t i = 0; i < 32; i++)
			set_u32(links + (row * 32 + i) * 4, i > 0 ? ROW_NONE
							    : row == 1 ? 0
								       : 1);
	assert_int_equal(hnsw_check(&s.h, NULL), -ERR_DAMAGED);
	set_done(&s);
}

/* --- building -------------------------------------------------------- */

static bool
stop_after(void *arg)
{
	return --*(int *)arg <= 0;
}

static void
test_build_stops_when_told(void **state)
{
	int calls = 20;
	struct hnsw_watch w = {.stop = stop_after, .arg = &calls};
	struct err err = {0};
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 2000, 4);
	set_fill(&s, 100, 2);
	assert_int_equal(
		hnsw_build(&s.vs, s.distance, &params, 2, &w, &s.bytes, &err),
		-ERR_STOPPED);
	assert_int_equal(s.bytes.n, 0);
	set_done(&s);
}

static void
keep_progress(void *arg, uint32_t rows)
{
	uint32_t *last = arg;

	assert_true(rows >= *last);
	*last = rows;
}

static void
test_progress_rises_to_all_rows(void **state)
{
	uint32_t last = 0;
	struct hnsw_watch w = {.progress = keep_progress, .arg = &last};
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 2000, 4);
	set_fill(&s, 100, 2);
	assert_int_equal(
		hnsw_build(&s.vs, s.distance, &params, 2, &w, &s.bytes, NULL),
		0);
	assert_int_equal(last, 2000);
	set_done(&s);
}

static void
test_graph_is_appended_at_any_offset(void **state)
{
	struct hnsw h;
	struct set s;
	uint8_t *moved;
	size_t len;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 500, 4);
	set_fill(&s, 100, 2);
	buf_puts(&s.bytes, "abc");
	assert_int_equal(
		hnsw_build(&s.vs, s.distance, &params, 2, NULL, &s.bytes, NULL),
		0);
	assert_memory_equal(s.bytes.p, "abc", 3);
	len = s.bytes.n - 3;
	moved = malloc(len);
	assert_non_null(moved);
	memcpy(moved, s.bytes.p + 3, len);
	assert_int_equal(hnsw_open(moved, len, 500, &h, NULL), 0);
	assert_int_equal(hnsw_check(&h, NULL), 0);
	free(moved);
	set_done(&s);
}

static void
test_wrong_parameters_are_refused(void **state)
{
	const struct hnsw_params wrong[] = {{1, 100, 0},
					    {HNSW_M_MAX + 1, 100, 0},
					    {16, 0, 0},
					    {16, UINT32_MAX, 0}};
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 10, 4);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(hnsw_build(&s.vs, s.distance, &wrong[i], 1,
					    NULL, &s.bytes, NULL),
				 -ERR_CONFIG);
	set_done(&s);
}

static void
test_smallest_and_largest_m_work(void **state)
{
	const uint32_t ms[] = {HNSW_M_MIN, 3, HNSW_M_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ms); i++) {
		struct hnsw_params p = {ms[i], 20, 1};
		struct set s;

		set_init(&s, DISTANCE_EUCLID, 600, 4);
		set_fill(&s, 100, 2);
		assert_int_equal(hnsw_build(&s.vs, s.distance, &p, 2, NULL,
					    &s.bytes, NULL),
				 0);
		assert_int_equal(
			hnsw_open(s.bytes.p, s.bytes.n, 600, &s.h, NULL), 0);
		assert_int_equal(hnsw_check(&s.h, NULL), 0);
		assert_true(set_recall(&s, (struct row_filter){0}, 128) > 0.9);
		set_done(&s);
	}
}

/* A hub at the origin of unit vectors along all axes is near to all of them
 * and none of them to another: its list fills up beyond its slack. */
static void
test_the_longest_list_is_pruned_in_time(void **state)
{
	struct hnsw_params p = {HNSW_M_MAX, 16, 1};
	struct set s;

	(void)state;
	set_init(&s, DISTANCE_EUCLID, 1800, 1800);
	for (uint32_t i = 1; i < 1800; i++)
		s.v[(size_t)i * 1800 + i] = 1;
	assert_int_equal(
		hnsw_build(&s.vs, s.distance, &p, 2, NULL, &s.bytes, NULL), 0);
	assert_int_equal(hnsw_open(s.bytes.p, s.bytes.n, 1800, &s.h, NULL), 0);
	assert_int_equal(hnsw_check(&s.h, NULL), 0);
	set_done(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recall_is_high_for_every_metric),
		cmocka_unit_test(
			test_results_are_those_of_the_scan_bit_for_bit),
		cmocka_unit_test(test_threads_do_not_change_the_graph),
		cmocka_unit_test(test_all_rows_of_a_small_set_are_found),
		cmocka_unit_test(
			test_equal_rows_are_all_found_and_block_nothing),
		cmocka_unit_test(test_a_set_of_one_vector_is_found_whole),
		cmocka_unit_test(test_cosine_of_one_dimension_finds_both_sides),
		cmocka_unit_test(test_scaled_copies_are_found_by_cosine),
		cmocka_unit_test(test_one_giant_row_does_not_spoil_dot),
		cmocka_unit_test(test_filtered_results_pass_and_are_near),
		cmocka_unit_test(test_walk_gives_up_when_what_passes_is_far),
		cmocka_unit_test(test_few_that_pass_are_left_to_the_scan),
		cmocka_unit_test(
			test_filtered_equal_rows_are_found_behind_the_first),
		cmocka_unit_test(test_other_bytes_are_refused),
		cmocka_unit_test(test_damaged_bytes_are_walked_safely),
		cmocka_unit_test(test_check_finds_wrong_links),
		cmocka_unit_test(test_build_stops_when_told),
		cmocka_unit_test(test_progress_rises_to_all_rows),
		cmocka_unit_test(test_graph_is_appended_at_any_offset),
		cmocka_unit_test(test_wrong_parameters_are_refused),
		cmocka_unit_test(test_smallest_and_largest_m_work),
		cmocka_unit_test(test_the_longest_list_is_pruned_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
