/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/index/hnsw.h"
#include "engine/index/walk.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"

/* A filtered walk may measure this many rows before it must have found ef that
 * pass: fewer than the scan it is meant to spare would. */
static uint64_t
walk_budget(uint32_t n, uint32_t ef)
{
	return (uint64_t)n / 8 + (uint64_t)ef * 64;
}

struct search {
	const struct hnsw *h;
	struct probe probe;
	struct row_filter f;
	struct walker *w;
	struct pool pool; /* unfiltered: the walk's; filtered: what passed */
	uint64_t measured;
};

static void
probe_from_query(struct probe *p, const struct vectors *vs,
		 const struct query_vec *q)
{
	*p = (struct probe){.vs = vs, .fn = q->fn, .v = q->v};
	if (q->distance == DISTANCE_COSINE)
		p->norms = vs->norms;
}

/* Down from the top to the best entry into level 0. */
static struct near
descend(const struct hnsw *h, const struct probe *p)
{
	struct near at = {.row = h->entry, .dist = probe_dist(p, h->entry)};

	for (uint32_t level = h->max_level; level > 0; level--)
		at = walk_greedy(h, p, at, level);
	return at;
}

/* The row equal to this one that comes next in the chain, or ROW_NONE. */
static uint32_t
twin_after(const struct hnsw *h, uint32_t row)
{
	uint32_t next = h->twins == NULL ? ROW_NONE : h->twins[row];

	return next < h->n ? next : ROW_NONE;
}

/* A twin in cosine may be of another length and differ in the last bits. */
static float
twin_dist(const struct search *s, float dist, uint32_t twin)
{
	return s->probe.norms == NULL ? dist : probe_dist(&s->probe, twin);
}

/* Whether the pool and its twins have k rows; else t must not be touched. */
static bool
can_give(const struct search *s, uint32_t k)
{
	uint32_t n = s->pool.n;

	for (uint32_t i = 0; i < s->pool.n && n < k; i++) {
		uint32_t row = twin_after(s->h, key_row(s->pool.key[i]));

		for (; row != ROW_NONE && n < k; n++)
			row = twin_after(s->h, row);
	}
	return n >= MIN(k, s->h->n);
}

/* What a walk without a filter found, with its twins, goes to t.  Chains rise
 * by row, so that more than k of one cannot count. */
static bool
give_all(const struct search *s, struct topk *t)
{
	if (!can_give(s, t->k))
		return false;
	for (uint32_t i = 0; i < s->pool.n; i++) {
		uint32_t row = key_row(s->pool.key[i]);
		float dist = key_dist(s->pool.key[i]);

		topk_add(t, dist, row);
		for (uint32_t j = 0; j < t->k; j++) {
			row = twin_after(s->h, row);
			if (row == ROW_NONE || dist > topk_bound(t))
				break;
			topk_add(t, twin_dist(s, dist, row), row);
		}
	}
	return true;
}

/* Offers a row and its twins to the pool of those that pass. */
static void
admit(struct search *s, float dist, uint32_t row)
{
	uint32_t twin = twin_after(s->h, row), passed = 0;

	if (s->f.pass(s->f.arg, row))
		pool_add(&s->pool, key_make(dist, row));
	/* Damaged bytes may close the chain to a ring, hence the bits. */
	while (twin != ROW_NONE && passed < s->pool.cap &&
	       walker_see(s->w, twin)) {
		s->measured++;
		if (s->f.pass(s->f.arg, twin)) {
			pool_add(&s->pool,
				 key_make(twin_dist(s, dist, twin), twin));
			passed++;
		}
		twin = twin_after(s->h, twin);
	}
}

static uint64_t
pool_bound(const struct pool *pool)
{
	return pool->n < pool->cap ? UINT64_MAX : pool->key[pool->n - 1];
}

/* Walks on through rows that do not pass, as long as they are nearer than the
 * worst of ef that do.  False: too few came, or memory is out. */
static bool
walk_filtered(struct search *s, struct near entry)
{
	uint64_t budget = walk_budget(s->h->n, s->pool.cap);

	admit(s, entry.dist, entry.row);
	if (walker_push(s->w, key_make(entry.dist, entry.row)) != 0)
		return false;
	while (s->w->n_heap > 0) {
		uint64_t key = walker_pop(s->w);
		int n;

		if (key > pool_bound(&s->pool))
			break;
		n = walk_fresh(s->w, s->h, &s->probe, key_row(key), 0);
		if (n < 0)
			return false;
		s->measured += (uint64_t)n;
		for (int i = 0; i < n; i++) {
			uint32_t row = s->w->fresh[i];

			key = key_make(s->w->dist[i], row);
			if (key >= pool_bound(&s->pool))
				continue;
			if (walker_push(s->w, key) != 0)
				return false;
			admit(s, s->w->dist[i], row);
		}
		if (s->measured > budget && s->pool.n < s->pool.cap)
			return false;
	}
	return true;
}

static bool
give_passed(struct search *s, struct topk *t)
{
	if (s->pool.n < MIN(t->k, s->h->n))
		return false;
	for (uint32_t i = 0; i < s->pool.n; i++)
		topk_add(t, key_dist(s->pool.key[i]), key_row(s->pool.key[i]));
	return true;
}

static bool
search_run(struct search *s, struct topk *t)
{
	struct near entry = descend(s->h, &s->probe);

	if (!walker_see(s->w, entry.row))
		return false;
	if (s->f.pass != NULL)
		return walk_filtered(s, entry) && give_passed(s, t);
	pool_add(&s->pool, key_make(entry.dist, entry.row));
	return walk_level(s->w, s->h, &s->probe, 0, &s->pool) == 0 &&
	       give_all(s, t);
}

bool
hnsw_search(const struct hnsw *h, const struct vectors *vs,
	    const struct query_vec *q, struct row_filter f, uint32_t ef,
	    struct arena *scratch, struct topk *t)
{
	struct search s = {.h = h, .f = f};
	bool found;

	if (h->n == 0)
		return true;
	if (vs->n < h->n)
		return false;
	ef = MIN(MAX(ef, t->k), h->n);
	probe_from_query(&s.probe, vs, q);
	s.pool.cap = ef;
	s.pool.key = arena_alloc(scratch, (size_t)ef * sizeof s.pool.key[0]);
	s.w = walker_get(h->n);
	if (s.pool.key == NULL || s.w == NULL)
		return false;
	found = search_run(&s, t);
	walker_forget(s.w);
	return found;
}
