/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/recall/vecs.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/sched.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM_MAX  65536
#define LATENT   24
#define CLUSTERS 200

/* Rows of four-byte numbers, each behind its length: .fvecs and .ivecs. */
static void *
rows_read(const char *dir, const char *name, uint32_t *ret_n, uint32_t *ret_dim)
{
	char path[4096];
	char *rows = NULL;
	uint32_t dim = 0;
	long len;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (f == NULL)
		return NULL;
	if (fread(&dim, sizeof dim, 1, f) != 1 || dim == 0 || dim > DIM_MAX ||
	    fseek(f, 0, SEEK_END) != 0 || (len = ftell(f)) <= 0)
		goto out;
	*ret_dim = dim;
	*ret_n = (uint32_t)((size_t)len / (4 * ((size_t)dim + 1)));
	rows = aligned_alloc(64, ((size_t)*ret_n * dim * 4 + 63) / 64 * 64);
	rewind(f);
	for (uint32_t i = 0; rows != NULL && i < *ret_n; i++) {
		uint32_t same;

		if (fread(&same, sizeof same, 1, f) != 1 || same != dim ||
		    fread(rows + (size_t)i * dim * 4, 4, dim, f) != dim) {
			free(rows);
			rows = NULL;
		}
	}
out:
	if (rows == NULL)
		fprintf(stderr, "%s: cannot be read\n", path);
	fclose(f);
	return rows;
}

static bool
norms_set(struct vectors *vs)
{
	float *norms = malloc(((size_t)vs->n + 1) * sizeof norms[0]);

	for (uint32_t i = 0; norms != NULL && i < vs->n; i++)
		norms[i] = (float)vec_norm(vs->base + i * vs->stride, vs->dim);
	vs->norms = norms;
	return norms != NULL;
}

bool
vecs_read(const char *dir, struct vecs *ret)
{
	struct vecs v = {0};
	uint32_t dim = 0, n_truth = 0;

	v.base.base = rows_read(dir, "base.fvecs", &v.base.n, &v.base.dim);
	v.queries = rows_read(dir, "query.fvecs", &v.n_queries, &dim);
	v.truth = rows_read(dir, "gt.ivecs", &n_truth, &v.k);
	v.base.stride = v.base.dim;
	if (v.base.base == NULL || v.queries == NULL || dim != v.base.dim ||
	    (v.truth != NULL && n_truth != v.n_queries) ||
	    !norms_set(&v.base)) {
		fprintf(stderr, "%s: no usable vectors\n", dir);
		vecs_free(&v);
		return false;
	}
	*ret = v;
	return true;
}

/* --- made up --------------------------------------------------------- */

struct dice {
	uint64_t state;
};

static double
dice_uniform(struct dice *d)
{
	uint64_t x = d->state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return ((double)((x ^ x >> 31) >> 11) + 0.5) * 0x1p-53;
}

static float
dice_normal(struct dice *d)
{
	double r = sqrt(-2 * log(dice_uniform(d)));

	return (float)(r * cos(2 * M_PI * dice_uniform(d)));
}

struct shape {
	uint32_t dim;
	float *map;    /* dim rows of LATENT */
	float *center; /* CLUSTERS rows of LATENT */
};

static void
row_make(const struct shape *s, struct dice *d, float *ret)
{
	double skew = dice_uniform(d) * dice_uniform(d);
	const float *center = s->center + (size_t)(skew * CLUSTERS) * LATENT;
	float length = 0.7f + 0.6f * (float)dice_uniform(d);
	float z[LATENT];

	for (uint32_t j = 0; j < LATENT; j++)
		z[j] = center[j] + 0.6f * dice_normal(d);
	for (uint32_t i = 0; i < s->dim; i++) {
		float sum = 0;

		for (uint32_t j = 0; j < LATENT; j++)
			sum += s->map[(size_t)i * LATENT + j] * z[j];
		ret[i] = length * (tanhf(sum) + 0.1f * dice_normal(d));
	}
}

static float *
rows_make(const struct shape *s, struct dice *d, uint32_t n)
{
	size_t len = (size_t)n * s->dim * sizeof(float);
	float *rows = aligned_alloc(64, (len + 64) / 64 * 64);

	for (uint32_t i = 0; rows != NULL && i < n; i++)
		row_make(s, d, rows + (size_t)i * s->dim);
	return rows;
}

bool
vecs_make(uint32_t n, uint32_t dim, uint32_t n_queries, uint64_t seed,
	  struct vecs *ret)
{
	struct dice d = {seed};
	struct shape s = {.dim = dim};
	size_t n_map = (size_t)dim * LATENT;
	struct vecs v = {.base = {.n = n, .dim = dim, .stride = dim},
			 .n_queries = n_queries};
	bool made = false;

	s.map = malloc(n_map * sizeof s.map[0]);
	s.center = malloc(CLUSTERS * LATENT * sizeof s.center[0]);
	if (s.map == NULL || s.center == NULL)
		goto out;
	for (size_t i = 0; i < n_map; i++)
		s.map[i] = dice_normal(&d) / sqrtf(LATENT);
	for (size_t i = 0; i < CLUSTERS * LATENT; i++)
		s.center[i] = dice_normal(&d);
	v.base.base = rows_make(&s, &d, n);
	v.queries = rows_make(&s, &d, n_queries);
	made = v.base.base != NULL && v.queries != NULL && norms_set(&v.base);
	if (made)
		*ret = v;
	else
		vecs_free(&v);
out:
	free(s.map);
	free(s.center);
	return made;
}

/* --- truth ----------------------------------------------------------- */

struct scan {
	struct vecs *v;
	enum distance distance;
	struct row_filter f;
	_Atomic bool failed;
};

static void
scan_query(void *arg, unsigned query)
{
	struct scan *s = arg;
	struct vecs *v = s->v;
	struct arena a = {0};
	struct topk *t = topk_new(&a, v->k);
	struct query_vec q;
	struct near *near;
	uint32_t *truth = v->truth + (size_t)query * v->k, n;

	if (t == NULL ||
	    query_vec_init(&q, s->distance,
			   v->queries + (size_t)query * v->base.dim,
			   v->base.dim, &a) != 0) {
		s->failed = true;
		arena_done(&a);
		return;
	}
	flat_scan(&v->base, &q, s->f, 0, v->base.n, t);
	n = topk_sort(t, &near);
	for (uint32_t i = 0; i < v->k; i++)
		truth[i] = i < n ? near[i].row : ROW_NONE;
	arena_done(&a);
}

bool
vecs_scan(struct vecs *v, enum distance d, struct row_filter f, uint32_t k,
	  unsigned n_threads)
{
	struct scan s = {.v = v, .distance = d, .f = f};

	free(v->truth);
	v->k = k;
	v->truth = malloc(((size_t)v->n_queries * k + 1) * sizeof v->truth[0]);
	if (v->truth == NULL)
		return false;
	parallel_for(n_threads, v->n_queries, scan_query, &s);
	return !s.failed;
}

void
vecs_free(struct vecs *v)
{
	free((void *)v->base.base);
	free((void *)v->base.norms);
	free(v->queries);
	free(v->truth);
	memset(v, 0, sizeof *v);
}

uint32_t
vecs_hits(const struct vecs *v, uint32_t query, const struct near *got,
	  uint32_t n_got, uint32_t k)
{
	const uint32_t *truth = v->truth + (size_t)query * v->k;
	uint32_t hits = 0;

	for (uint32_t i = 0; i < MIN(k, v->k); i++)
		for (uint32_t j = 0; j < MIN(k, n_got); j++)
			hits += got[j].row == truth[i];
	return hits;
}
