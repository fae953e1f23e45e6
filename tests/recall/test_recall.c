/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_recall.c - the promise of the default settings: recall@10 of 0.95.
 *
 * On the data sets under the directory POINTFS_DATA (base.fvecs, query.fvecs,
 * gt.ivecs each), where it is set; on made-up vectors otherwise.
 */
#include "tests/recall/vecs.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/index/hnsw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define K           10
#define PROMISE     0.95
#define THREADS     2
#define QUERIES_TOP 1000

static const struct hnsw_params params = {.m = HNSW_M_DEFAULT,
					  .ef_construct =
						  HNSW_EF_CONSTRUCT_DEFAULT,
					  .seed = 1};

static uint32_t
query_hits(const struct vecs *v, const struct hnsw *h, enum distance d,
	   uint32_t query)
{
	struct arena a = {0};
	struct topk *t = topk_new(&a, K);
	struct query_vec q;
	struct near *near;
	uint32_t n, hits;

	assert_non_null(t);
	assert_int_equal(
		query_vec_init(&q, d, v->queries + (size_t)query * v->base.dim,
			       v->base.dim, &a),
		0);
	assert_true(hnsw_search(h, &v->base, &q, (struct row_filter){0},
				HNSW_EF_DEFAULT, &a, t));
	n = topk_sort(t, &near);
	hits = vecs_hits(v, query, near, n, K);
	arena_done(&a);
	return hits;
}

static void
promise_check(const struct vecs *v, enum distance d, const char *name)
{
	uint32_t n = MIN(v->n_queries, (uint32_t)QUERIES_TOP), hits = 0;
	struct buf graph = {0};
	struct err err = {0};
	struct hnsw h;
	double recall;

	if (hnsw_build(&v->base, d, &params, THREADS, NULL, &graph, &err) ||
	    hnsw_open(graph.p, graph.n, v->base.n, &h, &err) ||
	    hnsw_check(&h, &err))
		fail_msg("%s", err_text(&err));
	for (uint32_t i = 0; i < n; i++)
		hits += query_hits(v, &h, d, i);
	recall = hits / ((double)n * K);
	print_message("# %s: recall@%d %.4f at ef %d\n", name, K, recall,
		      HNSW_EF_DEFAULT);
	assert_true(recall >= PROMISE);
	buf_done(&graph);
}

static void
data_read(const char *name, struct vecs *ret)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", getenv("POINTFS_DATA"), name);
	assert_true(vecs_read(path, ret));
}

static void
data_check(const char *name, enum distance d)
{
	struct vecs v;

	data_read(name, &v);
	assert_non_null(v.truth);
	promise_check(&v, d, name);
	vecs_free(&v);
}

static void
made_check(enum distance d, const char *name)
{
	struct vecs v;

	assert_true(vecs_make(20000, 96, 300, 7, &v));
	assert_true(vecs_scan(&v, d, (struct row_filter){0}, K, THREADS));
	promise_check(&v, d, name);
	vecs_free(&v);
}

static void
test_pictures_by_euclid_keep_the_promise(void **state)
{
	(void)state;
	data_check("fashion-mnist", DISTANCE_EUCLID);
}

static void
test_texts_by_cosine_keep_the_promise(void **state)
{
	(void)state;
	data_check("text-ml-notes", DISTANCE_COSINE);
}

/* The texts have no truth for these metrics: an exact scan gives it. */
static void
texts_check(enum distance d, const char *name)
{
	struct vecs v;

	data_read("text-ml-notes", &v);
	v.n_queries = MIN(v.n_queries, 300u);
	assert_true(vecs_scan(&v, d, (struct row_filter){0}, K, THREADS));
	promise_check(&v, d, name);
	vecs_free(&v);
}

static void
test_texts_by_dot_keep_the_promise(void **state)
{
	(void)state;
	texts_check(DISTANCE_DOT, "text-ml-notes, dot");
}

static void
test_texts_by_manhattan_keep_the_promise(void **state)
{
	(void)state;
	texts_check(DISTANCE_MANHATTAN, "text-ml-notes, manhattan");
}

static void
test_made_up_by_cosine_keeps_the_promise(void **state)
{
	(void)state;
	made_check(DISTANCE_COSINE, "made up, cosine");
}

static void
test_made_up_by_dot_keeps_the_promise(void **state)
{
	(void)state;
	made_check(DISTANCE_DOT, "made up, dot");
}

static void
test_made_up_by_euclid_keeps_the_promise(void **state)
{
	(void)state;
	made_check(DISTANCE_EUCLID, "made up, euclid");
}

static void
test_made_up_by_manhattan_keeps_the_promise(void **state)
{
	(void)state;
	made_check(DISTANCE_MANHATTAN, "made up, manhattan");
}

int
main(void)
{
	const struct CMUnitTest data[] = {
		cmocka_unit_test(test_pictures_by_euclid_keep_the_promise),
		cmocka_unit_test(test_texts_by_cosine_keep_the_promise),
		cmocka_unit_test(test_texts_by_dot_keep_the_promise),
		cmocka_unit_test(test_texts_by_manhattan_keep_the_promise),
	};
	const struct CMUnitTest made[] = {
		cmocka_unit_test(test_made_up_by_cosine_keeps_the_promise),
		cmocka_unit_test(test_made_up_by_dot_keeps_the_promise),
		cmocka_unit_test(test_made_up_by_euclid_keeps_the_promise),
		cmocka_unit_test(test_made_up_by_manhattan_keeps_the_promise),
	};

	if (getenv("POINTFS_DATA") != NULL)
		return cmocka_run_group_tests(data, NULL, NULL);
	return cmocka_run_group_tests(made, NULL, NULL);
}
