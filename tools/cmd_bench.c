/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_bench.c - recall and speed of the engine, in this process, without a
 * mount.  What is timed is coll_search() with one query a call.
 */
#include "tools/args.h"
#include "tools/progress.h"
#include "tools/vectors.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/base/sched.h"
#include "engine/collection.h"
#include "engine/database.h"
#include "engine/json/json_point.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH       1000u
#define K           10u
#define THREADS_MAX 256u
#define COLL        "bench"

struct bench {
	const struct command *c;
	const char *data;
	const char *distance;
	bool json;
	unsigned threads;

	float *base, *query;
	int32_t *gt;
	uint64_t n_base, n_query, n_gt;
	uint32_t dim, gt_k;

	struct db *db;
	struct coll *coll;

	/* one run */
	uint32_t ef;
	int64_t *took_ns; /* [n_query] */
	_Atomic uint64_t found;
	_Atomic int failed;
};

/* --- loading --------------------------------------------------------- */

static int
file_load(const struct bench *b, const char *name, void **ret, uint64_t *ret_n,
	  uint32_t *ret_dim, struct err *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof path, "%s/%s", b->data, name) >= PATH_MAX)
		return err_set(err, ERR_NAME_LONG, "%.100s", b->data);
	return vecs_load(path, ret, ret_n, ret_dim, err);
}

static int
data_load(struct bench *b, struct err *err)
{
	void *base = NULL, *query = NULL, *gt = NULL;
	uint32_t dim;
	int rc;

	rc = file_load(b, "base.fvecs", &base, &b->n_base, &b->dim, err);
	b->base = base;
	if (!rc)
		rc = file_load(b, "query.fvecs", &query, &b->n_query, &dim,
			       err);
	b->query = query;
	if (!rc)
		rc = file_load(b, "gt.ivecs", &gt, &b->n_gt, &b->gt_k, err);
	b->gt = gt;
	if (rc)
		return rc;
	if (dim != b->dim || b->n_gt < b->n_query || b->gt_k < K)
		return err_set(err, ERR_DIM,
			       "%s: base, query and gt do not fit each other",
			       b->data);
	b->took_ns = calloc(b->n_query, sizeof *b->took_ns);
	return b->took_ns ? 0 : err_set(err, ERR_NO_MEMORY, "times");
}

static int
batch_put(struct bench *b, uint64_t from, uint32_t n, struct arena *a,
	  struct err *err)
{
	struct point *p = arena_zalloc(a, n * sizeof *p);
	struct err *errs = arena_alloc(a, n * sizeof *errs);
	int *rcs = arena_alloc(a, n * sizeof *rcs);
	struct id_key id;
	uint32_t i;
	int rc = 0;

	if (!p || !errs || !rcs)
		return err_set(err, ERR_NO_MEMORY, "batch");
	for (i = 0; i < n && !rc; i++) {
		id_from_num(from + i, &id);
		rc = json_point_make(&id, b->base + (from + i) * b->dim, b->dim,
				     (struct slice){0}, a, &p[i], err);
	}
	if (!rc)
		rc = coll_put_many(b->coll, p, n, rcs, errs, err);
	for (i = 0; i < n && !rc; i++) {
		rc = rcs[i];
		if (rc && err)
			*err = errs[i];
	}
	return rc;
}

static int
points_put(struct bench *b, struct err *err)
{
	struct progress bar;
	struct arena a = {0};
	uint64_t at;
	int rc = 0;

	progress_start(&bar, "import", b->n_base);
	for (at = 0; at < b->n_base && !rc; at += BATCH) {
		uint32_t n = (uint32_t)MIN(BATCH, b->n_base - at);

		rc = batch_put(b, at, n, &a, err);
		arena_reset(&a);
		progress_add(&bar, n);
	}
	progress_end(&bar);
	arena_done(&a);
	return rc;
}

static void
build_show(const struct bench *b, double put_s, double all_s)
{
	printf(b->json ? "{\"peer\":\"pointfs\",\"data\":\"%s\",\"threads\":%u,"
			 "\"import_s\":%.3f,\"indexed_s\":%.3f,"
			 "\"points\":%llu}\n"
		       : "%s: threads %u: imported in %.3f s, indexed after "
			 "%.3f s, %llu points\n",
	       b->data, b->threads, put_s, all_s,
	       (unsigned long long)b->n_base);
	fflush(stdout);
}

static int
collection_fill(struct bench *b, struct err *err)
{
	char config[160];
	int64_t since = clock_mono_ns(), put;
	int rc;

	rc = db_coll_create(b->db, COLL, 0700, getuid(), getgid(), err);
	if (!rc)
		rc = db_coll_open(b->db, COLL, &b->coll, err);
	snprintf(config, sizeof config,
		 "{\"vectors\":{\"size\":%u,\"distance\":\"%.20s\"}}", b->dim,
		 b->distance);
	if (!rc)
		rc = coll_set_config(b->coll, config, strlen(config), err);
	if (!rc)
		rc = points_put(b, err);
	put = clock_mono_ns();
	if (!rc)
		rc = db_flush(b->db, err);
	if (!rc)
		rc = coll_settle(b->coll, err);
	if (!rc)
		build_show(b, (double)(put - since) / 1e9,
			   (double)(clock_mono_ns() - since) / 1e9);
	return rc;
}

/* --- searching ------------------------------------------------------- */

static uint32_t
hits_right(const struct bench *b, const struct hits *hits, uint64_t q)
{
	const int32_t *gt = b->gt + q * b->gt_k;
	struct id_key id;
	uint32_t i, j, right = 0;

	for (i = 0; i < K; i++) {
		id_from_num((uint64_t)(uint32_t)gt[i], &id);
		for (j = 0; j < hits->n; j++)
			if (id_cmp(id.b, id.n, hits->h[j].point.id.b,
				   hits->h[j].point.id.n) == 0)
				right++;
	}
	return right;
}

/* Every threads-th query. */
static void
queries_run(void *arg, unsigned part)
{
	struct bench *b = arg;
	struct query q = {
		.kind = QUERY_VECTOR, .dim = b->dim, .limit = K, .ef = b->ef};
	struct arena a = {0};
	struct hits hits;
	uint64_t i;

	for (i = part; i < b->n_query && !b->failed; i += b->threads) {
		int64_t since = clock_mono_ns();
		int rc;

		q.vec = b->query + i * b->dim;
		rc = coll_search(b->coll, &q, &a, &hits, NULL);
		b->took_ns[i] = clock_mono_ns() - since;
		if (rc)
			b->failed = rc;
		else
			b->found += hits_right(b, &hits, i);
		arena_reset(&a);
	}
	arena_done(&a);
}

static int
time_cmp(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int
ef_run(struct bench *b, uint32_t ef, struct err *err)
{
	double recall, qps;
	int64_t since;

	b->ef = ef;
	b->found = 0;
	since = clock_mono_ns();
	parallel_for(b->threads, b->threads, queries_run, b);
	qps = (double)b->n_query * 1e9 / (double)(clock_mono_ns() - since);
	if (b->failed)
		return err_set(err, (enum errcode) - b->failed, "search");
	recall = (double)b->found / (double)(b->n_query * K);
	qsort(b->took_ns, b->n_query, sizeof *b->took_ns, time_cmp);
	printf(b->json ? "{\"peer\":\"pointfs\",\"data\":\"%s\",\"threads\":%u,"
			 "\"ef\":%u,\"recall\":%.4f,\"qps\":%.0f,"
			 "\"p50_us\":%.1f,\"p99_us\":%.1f}\n"
		       : "%s: threads %u, ef %4u: recall@10 %.4f, %8.0f "
			 "queries/s, p50 %.1f us, p99 %.1f us\n",
	       b->data, b->threads, ef, recall, qps,
	       (double)b->took_ns[b->n_query / 2] / 1e3,
	       (double)b->took_ns[b->n_query * 99 / 100] / 1e3);
	fflush(stdout);
	return 0;
}

static int
efs_run(struct bench *b, const char *list, struct err *err)
{
	const char *at = list;
	char *end;
	int rc = 0;

	while (*at && !rc) {
		unsigned long ef = strtoul(at, &end, 10);

		if (end == at || ef == 0 || ef > LIMIT_MAX ||
		    (*end && *end != ','))
			return err_set(err, ERR_TYPE, "'%s' is no list of ef",
				       list);
		rc = ef_run(b, (uint32_t)ef, err);
		at = *end ? end + 1 : end;
	}
	return rc;
}

/* --- the command ----------------------------------------------------- */

static int
database_run(struct bench *b, const char *path, const char *efs,
	     struct err *err)
{
	struct db_settings s;
	int rc;

	db_settings_defaults(&s);
	s.sync = SYNC_FSYNC;
	rc = db_open(path, &s, DB_CREATE, &b->db, err);
	if (rc)
		return rc;
	rc = db_coll_open(b->db, COLL, &b->coll, err);
	if (rc == -ERR_NOT_FOUND)
		rc = collection_fill(b, err);
	if (!rc)
		rc = coll_settle(b->coll, err);
	if (!rc)
		rc = efs_run(b, efs, err);
	coll_close(b->coll);
	db_close(b->db);
	return rc;
}

static int
bench_run(struct bench *b, const char *keep, const char *efs, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];
	int rc;

	rc = data_load(b, err);
	if (rc)
		return rc;
	if (keep)
		return database_run(b, keep, efs, err);
	if (snprintf(path, sizeof path, "%s/pointfs-bench-XXXXXX",
		     tmp && *tmp ? tmp : "/tmp") >= PATH_MAX ||
	    !mkdtemp(path))
		return err_set(err, ERR_IO, "no temporary directory");
	rc = database_run(b, path, efs, err);
	file_remove_tree(AT_FDCWD, path, NULL);
	return rc;
}

int
cmd_bench(const struct command *c, int argc, char **argv)
{
	struct bench b = {.c = c, .distance = "Euclid"};
	const char *keep = NULL, *threads = "1", *efs = "16,32,64,128,256,512";
	const struct arg_option options[] = {
		{.name = "data", .value = &b.data},
		{.name = "distance", .value = &b.distance},
		{.name = "ef", .value = &efs},
		{.name = "threads", .value = &threads},
		{.name = "keep", .value = &keep},
		{.name = "json", .flag = &b.json},
		{0},
	};
	struct err err = {0};
	uint64_t n_threads;
	char **operands;
	int n, rc;

	if (!args_parse(c, argc, argv, options, 0, 0, &operands, &n))
		return EXIT_USAGE;
	if (n || !b.data)
		return usage_error(c, "wanted: --data DIR and options");
	if (!number_parse(threads, THREADS_MAX, &n_threads) || n_threads == 0)
		return usage_error(c, "'%s' threads", threads);
	b.threads = (unsigned)n_threads;
	rc = bench_run(&b, keep, efs, &err);
	free(b.base);
	free(b.query);
	free(b.gt);
	free(b.took_ns);
	return rc ? command_fail(c, rc, &err) : EXIT_DONE;
}
