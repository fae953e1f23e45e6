/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_index.c - speed and recall of the graph, in process.
 *
 *   bench_index [-t THREADS] [-k K] [-m M] [-c EF_CONSTRUCT] [-d METRIC]
 *               [-s PASS_SHARE] [-r ROUNDS] [-e EF[,EF...]] DIR | N:DIM
 *
 * DIR holds base.fvecs, query.fvecs and gt.ivecs; N:DIM makes vectors up.  One
 * JSON object a line; the first tells the building time.
 */
#include "tests/recall/vecs.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/sched.h"
#include "engine/index/hnsw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUERIES_MADE 1000
#define THREADS_MAX  64

struct bench {
	const char *data;
	const char *efs;
	enum distance distance;
	unsigned n_threads;
	unsigned rounds;
	uint32_t k;
	double share; /* of rows that pass; 1: no filter */
	struct hnsw_params params;

	struct vecs v;
	struct buf graph;
	struct hnsw h;

	uint32_t ef;
	int64_t *took_ns; /* per query */
	uint32_t hits[THREADS_MAX];
	uint32_t scans[THREADS_MAX]; /* queries the walk gave up */
};

static bool
pass_share(void *arg, uint32_t row)
{
	const struct bench *b = arg;
	uint32_t x = (row + 1) * 2654435761u;

	return x < b->share * UINT32_MAX;
}

static struct row_filter
bench_filter(struct bench *b)
{
	struct row_filter f = {.pass = b->share < 1 ? pass_share : NULL,
			       .arg = b};

	return f;
}

static void
query_one(struct bench *b, struct arena *a, unsigned thread, uint32_t query)
{
	int64_t start = clock_mono_ns();
	const float *v = b->v.queries + (size_t)query * b->v.base.dim;
	struct topk *t = topk_new(a, b->k);
	struct query_vec q;
	struct near *near;
	uint32_t n;

	if (t == NULL ||
	    query_vec_init(&q, b->distance, v, b->v.base.dim, a) != 0)
		return;
	if (!hnsw_search(&b->h, &b->v.base, &q, bench_filter(b), b->ef, a, t)) {
		flat_scan(&b->v.base, &q, bench_filter(b), 0, b->v.base.n, t);
		b->scans[thread]++;
	}
	n = topk_sort(t, &near);
	b->took_ns[query] = clock_mono_ns() - start;
	b->hits[thread] += vecs_hits(&b->v, query, near, n, b->k);
	arena_reset(a);
}

static void
query_thread(void *arg, unsigned thread)
{
	struct bench *b = arg;
	struct arena a = {0};

	b->hits[thread] = b->scans[thread] = 0;
	for (uint32_t i = thread; i < b->v.n_queries; i += b->n_threads)
		query_one(b, &a, thread, i);
	arena_done(&a);
}

static int
ns_compare(const void *pa, const void *pb)
{
	int64_t a = *(const int64_t *)pa, b = *(const int64_t *)pb;

	return a < b ? -1 : a > b;
}

static void
bench_ef(struct bench *b)
{
	int64_t best = INT64_MAX;
	uint32_t hits = 0, scans = 0, n = b->v.n_queries;

	for (unsigned i = 0; i < b->rounds; i++) {
		int64_t start = clock_mono_ns();

		parallel_for(b->n_threads, b->n_threads, query_thread, b);
		best = MIN(best, clock_mono_ns() - start);
	}
	for (unsigned i = 0; i < b->n_threads; i++) {
		hits += b->hits[i];
		scans += b->scans[i];
	}
	qsort(b->took_ns, n, sizeof b->took_ns[0], ns_compare);
	printf("{\"peer\":\"pointfs\",\"data\":\"%s\",\"threads\":%u,"
	       "\"ef\":%u,\"filter\":%g,\"recall\":%.4f,\"qps\":%.0f,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"scans\":%u}\n",
	       b->data, b->n_threads, b->ef, b->share,
	       hits / ((double)n * b->k), n * 1e9 / (double)best,
	       (double)b->took_ns[n / 2] / 1e3,
	       (double)b->took_ns[(size_t)n * 99 / 100] / 1e3, scans);
	fflush(stdout);
}

static bool
bench_build(struct bench *b)
{
	int64_t start = clock_mono_ns();
	struct err err;
	int rc = hnsw_build(&b->v.base, b->distance, &b->params, b->n_threads,
			    NULL, &b->graph, &err);

	if (rc == 0)
		rc = hnsw_open(b->graph.p, b->graph.n, b->v.base.n, &b->h,
			       &err);
	if (rc != 0) {
		fprintf(stderr, "bench_index: %s\n", err_text(&err));
		return false;
	}
	printf("{\"peer\":\"pointfs\",\"data\":\"%s\",\"threads\":%u,"
	       "\"isa\":\"%s\",\"rows\":%u,\"dim\":%u,\"build_s\":%.2f,"
	       "\"bytes_per_row\":%.1f}\n",
	       b->data, b->n_threads, dist_isa(), b->v.base.n, b->v.base.dim,
	       (double)(clock_mono_ns() - start) / 1e9,
	       (double)b->graph.n / MAX(b->v.base.n, 1u));
	fflush(stdout);
	return true;
}

static bool
bench_data(struct bench *b)
{
	unsigned n, dim;
	char rest;

	if (sscanf(b->data, "%u:%u%c", &n, &dim, &rest) == 2) {
		if (!vecs_make(n, dim, QUERIES_MADE, 42, &b->v))
			return false;
	} else if (!vecs_read(b->data, &b->v)) {
		return false;
	}
	b->took_ns = calloc(b->v.n_queries + 1, sizeof b->took_ns[0]);
	if (b->took_ns == NULL)
		return false;
	if (b->v.truth != NULL && b->share >= 1 && b->k <= b->v.k)
		return true;
	return vecs_scan(&b->v, b->distance, bench_filter(b), b->k,
			 b->n_threads);
}

static int
bench_run(struct bench *b)
{
	const char *p = b->efs;

	if (!bench_data(b) || !bench_build(b))
		return 1;
	while (p != NULL) {
		b->ef = (uint32_t)strtoul(p, NULL, 10);
		bench_ef(b);
		p = strchr(p, ',');
		p = p == NULL ? NULL : p + 1;
	}
	return 0;
}

static enum distance
metric_parse(const char *s)
{
	switch (s[0]) {
	case 'c':
		return DISTANCE_COSINE;
	case 'd':
		return DISTANCE_DOT;
	case 'm':
		return DISTANCE_MANHATTAN;
	default:
		return DISTANCE_EUCLID;
	}
}

static bool
args_parse(struct bench *b, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "t:k:m:c:d:s:r:e:")) != -1) {
		if (c == 't')
			b->n_threads = (unsigned)atoi(optarg);
		else if (c == 'k')
			b->k = (uint32_t)atoi(optarg);
		else if (c == 'm')
			b->params.m = (uint32_t)atoi(optarg);
		else if (c == 'c')
			b->params.ef_construct = (uint32_t)atoi(optarg);
		else if (c == 'd')
			b->distance = metric_parse(optarg);
		else if (c == 's')
			b->share = atof(optarg);
		else if (c == 'r')
			b->rounds = (unsigned)atoi(optarg);
		else if (c == 'e')
			b->efs = optarg;
		else
			return false;
	}
	b->data = argv[optind];
	return b->data != NULL && b->n_threads >= 1 &&
	       b->n_threads <= THREADS_MAX && b->k >= 1 && b->rounds >= 1;
}

int
main(int argc, char **argv)
{
	static struct bench b = {
		.efs = "16,32,64,128,256",
		.distance = DISTANCE_EUCLID,
		.n_threads = 1,
		.rounds = 3,
		.k = 10,
		.share = 1,
		.params = {HNSW_M_DEFAULT, HNSW_EF_CONSTRUCT_DEFAULT, 1}};
	int rc;

	if (!args_parse(&b, argc, argv)) {
		fprintf(stderr,
			"usage: bench_index [-t THREADS] [-k K] [-m M] "
			"[-c EF_CONSTRUCT] [-d cosine|dot|euclid|manhattan] "
			"[-s PASS_SHARE] [-r ROUNDS] [-e EF,...] DIR | "
			"N:DIM\n");
		return 2;
	}
	rc = bench_run(&b);
	vecs_free(&b.v);
	buf_done(&b.graph);
	free(b.took_ns);
	return rc;
}
