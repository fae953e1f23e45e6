/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/index/index_impl.h"

#include "engine/base/arena.h"

#include <stdlib.h>

struct topk *
topk_new(struct arena *a, uint32_t k)
{
	struct topk *t = arena_alloc(a, sizeof *t);

	if (t == NULL)
		return NULL;
	t->heap = arena_alloc(a, (size_t)k * sizeof t->heap[0]);
	t->k = k;
	t->n = 0;
	return t->heap == NULL && k > 0 ? NULL : t;
}

float
topk_bound(const struct topk *t)
{
	if (t->k == 0)
		return -INFINITY;
	return t->n < t->k ? INFINITY : t->heap[0].dist;
}

static bool
near_before(struct near a, struct near b)
{
	return a.dist < b.dist || (a.dist == b.dist && a.row < b.row);
}

static void
sift_up(struct near *heap, uint32_t at, struct near x)
{
	while (at > 0 && near_before(heap[(at - 1) / 2], x)) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = x;
}

static void
sift_down(struct near *heap, uint32_t n, struct near x)
{
	size_t at = 0, child = 1;

	while (child < n) {
		if (child + 1 < n && near_before(heap[child], heap[child + 1]))
			child++;
		if (!near_before(x, heap[child]))
			break;
		heap[at] = heap[child];
		at = child;
		child = 2 * at + 1;
	}
	heap[at] = x;
}

void
topk_add(struct topk *t, float dist, uint32_t row)
{
	struct near x = {.dist = dist_sane(dist), .row = row};

	if (t->n < t->k)
		sift_up(t->heap, t->n++, x);
	else if (t->k > 0 && near_before(x, t->heap[0]))
		sift_down(t->heap, t->n, x);
}

static int
near_compare(const void *pa, const void *pb)
{
	const struct near *a = pa, *b = pb;

	return near_before(*a, *b) ? -1 : near_before(*b, *a);
}

uint32_t
topk_sort(struct topk *t, struct near **ret)
{
	if (t->n > 1)
		qsort(t->heap, t->n, sizeof t->heap[0], near_compare);
	*ret = t->heap;
	return t->n;
}
