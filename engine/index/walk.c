/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/index/walk.h"

#include "engine/base/check.h"
#include "engine/base/errcode.h"

#include <pthread.h>
#include <stdlib.h>

#define CACHE_LINE 64
/* Rows ahead of the one measured, and the most lines fetched of each: beyond
 * that the hardware's own prefetching has caught on. */
#define AHEAD       4
#define AHEAD_LINES 16

/* --- a walker's memory ----------------------------------------------- */

static size_t
words_for(uint32_t n_rows)
{
	return (size_t)n_rows / 64 + 1;
}

int
walker_init(struct walker *w, uint32_t n_rows)
{
	w->seen = calloc(words_for(n_rows), sizeof w->seen[0]);
	w->seen_cap = words_for(n_rows);
	w->undo = NULL;
	w->heap = NULL;
	w->n_undo = w->undo_cap = w->n_heap = w->heap_cap = 0;
	return w->seen == NULL ? -ERR_NO_MEMORY : 0;
}

void
walker_done(struct walker *w)
{
	free(w->seen);
	free(w->undo);
	free(w->heap);
}

static pthread_key_t own_key;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;
static int own_failed;

static void
own_free(void *p)
{
	walker_done(p);
	free(p);
}

static void
own_start(void)
{
	own_failed = pthread_key_create(&own_key, own_free);
}

static struct walker *
own_new(uint32_t n_rows)
{
	struct walker *w = malloc(sizeof *w);

	if (w == NULL)
		return NULL;
	if (walker_init(w, n_rows) != 0 || pthread_setspecific(own_key, w)) {
		own_free(w);
		return NULL;
	}
	return w;
}

struct walker *
walker_get(uint32_t n_rows)
{
	struct walker *w;
	uint64_t *seen;

	if (pthread_once(&own_once, own_start) != 0 || own_failed)
		return NULL;
	w = pthread_getspecific(own_key);
	if (w == NULL)
		return own_new(n_rows);
	if (w->seen_cap >= words_for(n_rows))
		return w;
	seen = calloc(words_for(n_rows), sizeof seen[0]);
	if (seen == NULL)
		return NULL;
	free(w->seen);
	w->seen = seen;
	w->seen_cap = words_for(n_rows);
	return w;
}

void
walker_forget(struct walker *w)
{
	for (size_t i = 0; i < w->n_undo; i++)
		w->seen[w->undo[i] / 64] = 0;
	w->n_undo = 0;
	w->n_heap = 0;
}

static int
undo_reserve(struct walker *w, size_t more)
{
	size_t cap = MAX(w->undo_cap * 2, w->n_undo + more + 1024);
	uint32_t *undo;

	if (w->n_undo + more <= w->undo_cap)
		return 0;
	undo = realloc(w->undo, cap * sizeof undo[0]);
	if (undo == NULL)
		return -ERR_NO_MEMORY;
	w->undo = undo;
	w->undo_cap = cap;
	return 0;
}

static inline bool
see(struct walker *w, uint32_t row)
{
	uint64_t bit = UINT64_C(1) << row % 64;

	if (w->seen[row / 64] & bit)
		return false;
	w->seen[row / 64] |= bit;
	w->undo[w->n_undo++] = row;
	return true;
}

bool
walker_see(struct walker *w, uint32_t row)
{
	/* Without memory for the undo list the row stays unseen. */
	return undo_reserve(w, 1) == 0 && see(w, row);
}

int
walker_push(struct walker *w, uint64_t key)
{
	size_t at = w->n_heap;

	if (at == w->heap_cap) {
		size_t cap = MAX(w->heap_cap * 2, (size_t)1024);
		uint64_t *heap = realloc(w->heap, cap * sizeof heap[0]);

		if (heap == NULL)
			return -ERR_NO_MEMORY;
		w->heap = heap;
		w->heap_cap = cap;
	}
	w->n_heap++;
	while (at > 0 && key < w->heap[(at - 1) / 2]) {
		w->heap[at] = w->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	w->heap[at] = key;
	return 0;
}

uint64_t
walker_pop(struct walker *w)
{
	uint64_t least = w->heap[0], key = w->heap[--w->n_heap];
	size_t at = 0, child = 1;

	while (child < w->n_heap) {
		if (child + 1 < w->n_heap &&
		    w->heap[child + 1] < w->heap[child])
			child++;
		if (key <= w->heap[child])
			break;
		w->heap[at] = w->heap[child];
		at = child;
		child = 2 * at + 1;
	}
	w->heap[at] = key;
	return least;
}

/* --- distances ------------------------------------------------------- */

static inline float
measure(const struct probe *p, uint32_t row)
{
	float dist = p->fn(p->v, vectors_row(p->vs, row), p->vs->dim);

	if (p->norms != NULL)
		dist = dist_cosine(dist, p->norms[row]);
	else if (p->lift != NULL)
		dist = (float)(p->lift_len2 - p->lift_self * p->lift[row] -
			       dist);
	return dist_sane(dist);
}

float
probe_dist(const struct probe *p, uint32_t row)
{
	return measure(p, row);
}

static inline void
prefetch_row(const struct vectors *vs, uint32_t row)
{
	const char *p = (const char *)vectors_row(vs, row);
	size_t len = MIN((size_t)vs->dim * sizeof(float),
			 (size_t)AHEAD_LINES * CACHE_LINE);

	for (size_t at = 0; at < len; at += CACHE_LINE)
		__builtin_prefetch(p + at);
}

static void
measure_all(const struct probe *p, const uint32_t *rows, uint32_t n,
	    float *ret_dist)
{
	for (uint32_t i = 0; i < MIN(n, (uint32_t)AHEAD); i++)
		prefetch_row(p->vs, rows[i]);
	for (uint32_t i = 0; i < n; i++) {
		if (i + AHEAD < n)
			prefetch_row(p->vs, rows[i + AHEAD]);
		ret_dist[i] = measure(p, rows[i]);
	}
}

/* --- walking --------------------------------------------------------- */

int
walk_fresh(struct walker *w, const struct hnsw *h, const struct probe *p,
	   uint32_t row, uint32_t level)
{
	uint32_t cap, n = 0;
	const uint32_t *list = hnsw_list(h, row, level, &cap);

	if (list == NULL)
		return 0;
	if (undo_reserve(w, cap) != 0)
		return -ERR_NO_MEMORY;
	for (uint32_t i = 0; i < cap && list[i] != ROW_NONE; i++)
		if (list[i] < h->n && see(w, list[i]))
			w->fresh[n++] = list[i];
	measure_all(p, w->fresh, n, w->dist);
	return (int)n;
}

struct near
walk_greedy(const struct hnsw *h, const struct probe *p, struct near from,
	    uint32_t level)
{
	float dist[WALK_LIST_MAX];
	uint32_t rows[WALK_LIST_MAX], cap, n;

	for (;;) {
		const uint32_t *list = hnsw_list(h, from.row, level, &cap);
		struct near best = from;

		for (n = 0; list != NULL && n < cap && list[n] < h->n; n++)
			rows[n] = list[n];
		measure_all(p, rows, n, dist);
		for (uint32_t i = 0; i < n; i++)
			if (dist[i] < best.dist)
				best = (struct near){dist[i], rows[i]};
		if (best.row == from.row)
			return from;
		from = best;
	}
}

bool
pool_add(struct pool *pool, uint64_t key)
{
	uint32_t lo = 0, hi = pool->n;

	if (pool->n == pool->cap) {
		if (pool->cap == 0 || key >= pool->key[pool->n - 1])
			return false;
		hi = --pool->n;
	}
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (pool->key[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	memmove(pool->key + lo + 1, pool->key + lo,
		(pool->n - lo) * sizeof pool->key[0]);
	pool->key[lo] = key;
	pool->n++;
	pool->next = MIN(pool->next, lo);
	return true;
}

/* The nearest row not walked yet, marked as walked. */
static bool
pool_next(struct pool *pool, uint32_t *ret_row)
{
	uint32_t i = pool->next;

	while (i < pool->n && pool->key[i] & KEY_WALKED)
		i++;
	pool->next = i;
	if (i == pool->n)
		return false;
	pool->key[i] |= KEY_WALKED;
	*ret_row = key_row(pool->key[i]);
	return true;
}

int
walk_level(struct walker *w, const struct hnsw *h, const struct probe *p,
	   uint32_t level, struct pool *pool)
{
	uint32_t row, cap;

	while (pool_next(pool, &row)) {
		int n = walk_fresh(w, h, p, row, level);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++) {
			uint64_t key = key_make(w->dist[i], w->fresh[i]);

			/* A new best is walked next: have its list ready. */
			if (pool_add(pool, key) && pool->key[pool->next] == key)
				__builtin_prefetch(
					hnsw_list(h, w->fresh[i], level, &cap));
		}
	}
	return 0;
}
