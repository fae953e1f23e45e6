/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/index/index_impl.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/errcode.h"

int
query_vec_init(struct query_vec *q, enum distance d, const float *v,
	       uint32_t dim, struct arena *a)
{
	float *unit;

	q->distance = d;
	q->fn = dist_pick(d);
	q->v = v;
	if (d != DISTANCE_COSINE)
		return 0;
	unit = arena_vec(a, dim);
	if (unit == NULL)
		return -ERR_NO_MEMORY;
	vec_normalise(v, dim, unit);
	q->v = unit;
	q->fn = dist_product(); /* rows are of any length */
	return 0;
}

static inline float
query_dist(const struct query_vec *q, const struct vectors *vs, uint32_t row)
{
	float dist = q->fn(q->v, vectors_row(vs, row), vs->dim);

	if (q->distance == DISTANCE_COSINE)
		dist = dist_cosine(dist, vs->norms[row]);
	return dist_sane(dist);
}

float
query_vec_dist(const struct query_vec *q, const struct vectors *vs,
	       uint32_t row)
{
	return query_dist(q, vs, row);
}

void
flat_scan(const struct vectors *vs, const struct query_vec *q,
	  struct row_filter f, uint32_t from, uint32_t to, struct topk *t)
{
	float bound = topk_bound(t);

	to = MIN(to, vs->n);
	for (uint32_t row = from; row < to; row++) {
		float dist;

		if (f.pass != NULL && !f.pass(f.arg, row))
			continue;
		dist = query_dist(q, vs, row);
		/* Equal ones may win by their row, if t was not empty. */
		if (dist <= bound) {
			topk_add(t, dist, row);
			bound = topk_bound(t);
		}
	}
}
