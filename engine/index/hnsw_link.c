/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hnsw_link.c - a row's list of links while the graph is built.
 */
#include "engine/index/build_impl.h"

#include "engine/base/errcode.h"

#include <stdlib.h>

static float
pair_dist(const struct build *b, uint32_t x, uint32_t y)
{
	const struct vectors *vs = b->vs;
	float dist = b->fn(vectors_row(vs, x), vectors_row(vs, y), vs->dim);

	if (b->distance == DISTANCE_COSINE)
		dist = dist_cosine(dist, vs->norms[x] * vs->norms[y]);
	else if (b->distance == DISTANCE_DOT)
		dist = (float)(b->lift_len2 - b->lift[x] * b->lift[y] - dist);
	return dist_sane(dist);
}

static int
near_compare(const void *pa, const void *pb)
{
	const struct near *a = pa, *b = pb;

	if (a->dist != b->dist)
		return a->dist < b->dist ? -1 : 1;
	return a->row < b->row ? -1 : a->row > b->row;
}

uint32_t
link_choose(const struct build *b, const struct near *cand, uint32_t n,
	    uint32_t max, struct near *ret)
{
	uint32_t n_kept = 0;

	for (uint32_t i = 0; i < n && n_kept < max; i++) {
		uint32_t j = 0;

		while (j < n_kept &&
		       b->alpha * pair_dist(b, cand[i].row, ret[j].row) >=
			       cand[i].dist)
			j++;
		if (j == n_kept)
			ret[n_kept++] = cand[i];
	}
	return n_kept;
}

struct lists *
lists_at(struct build *b, uint32_t row, uint32_t level, uint64_t *ret_i)
{
	if (level == 0) {
		*ret_i = row;
		return &b->base;
	}
	*ret_i = b->upper_at[row] / b->upper.cap + (level - 1);
	return &b->upper;
}

void
lists_put(struct lists *l, uint64_t i, const struct near *v, uint32_t n)
{
	uint32_t *row = l->row + i * l->cap;
	float *dist = l->dist + i * l->cap;

	for (uint32_t j = 0; j < n; j++) {
		row[j] = v[j].row;
		dist[j] = v[j].dist;
	}
	for (uint32_t j = n; j < l->used[i]; j++)
		row[j] = ROW_NONE;
	l->used[i] = (uint16_t)n;
}

uint32_t
lists_get(const struct lists *l, uint64_t i, const struct near *extra,
	  struct near *cand)
{
	uint32_t n = l->used[i];

	for (uint32_t j = 0; j < n; j++) {
		cand[j].row = l->row[i * l->cap + j];
		cand[j].dist = l->dist[i * l->cap + j];
	}
	if (extra != NULL)
		cand[n++] = *extra;
	qsort(cand, n, sizeof cand[0], near_compare);
	return n;
}

void
lists_add(const struct build *b, struct worker *w, struct lists *l, uint64_t i,
	  struct near link)
{
	uint32_t n = l->used[i];

	if (n < l->cap) {
		l->row[i * l->cap + n] = link.row;
		l->dist[i * l->cap + n] = link.dist;
		l->used[i]++;
		return;
	}
	n = lists_get(l, i, &link, w->cand);
	n = link_choose(b, w->cand, n, l->keep, w->kept);
	lists_put(l, i, w->kept, n);
}

int
lists_init(struct lists *l, uint64_t n, uint32_t keep)
{
	l->n = n;
	l->keep = keep;
	l->cap = keep + keep / 2; /* at most WALK_LIST_MAX */
	l->row = malloc((n * l->cap + 1) * sizeof l->row[0]);
	l->dist = malloc((n * l->cap + 1) * sizeof l->dist[0]);
	l->used = calloc(n + 1, sizeof l->used[0]);
	if (l->row == NULL || l->dist == NULL || l->used == NULL)
		return -ERR_NO_MEMORY;
	memset(l->row, 0xff, n * l->cap * sizeof l->row[0]);
	return 0;
}

void
lists_done(struct lists *l)
{
	free(l->row);
	free(l->dist);
	free(l->used);
}
