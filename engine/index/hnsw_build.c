/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hnsw_build.c - the graph, in batches.
 *
 * Each batch has three steps.  The threads take the batch's rows one by one,
 * search the graph as it was before the batch, and write each row's own lists
 * (nothing points at the row yet, so nobody reads them).  Rows of cosine that
 * turn out to lie on another one become its twins.  Then each thread adds the
 * links back to the new rows, for the targets that are its own by number.  No
 * step needs a lock, and none depends on how many threads there are.
 *
 * Lists have slack: one is pruned when it is full, to its final length, and
 * all are once more at the end.  That makes pruning rare.  The links' lengths
 * are kept beside them, so that pruning measures only pairs of neighbours.
 *
 * order    Rows go in in a random order (of the seed): rows stored together
 *          are often alike, and the rows of a batch do not see each other.
 *          The row with the highest level is the first and stays the entry.
 * dot      Is no distance: it has no near pairs, and pruning compares pairs.
 *          So rows are lifted by one dimension to one common length L, where
 *          |a - b|^2 / 2 = L^2 - ab - lift(a) lift(b) is one, and orders the
 *          rows of a query, whose lift is zero, as the product does.
 */
#include "engine/index/build_impl.h"
#include "engine/index/hnsw_format.h"
#include "engine/index/walk.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/sched.h"

#include <stdatomic.h>
#include <stdlib.h>

#define BATCH_MAX   1000
#define BATCH_SHARE 16 /* a batch is at most this part of what is in */
#define EF_MAX      4096
#define THREADS_MAX 256
/* Cosine distances below this are rounding. */
#define TWIN_DIST 4e-7f

/* --- levels and order ------------------------------------------------ */

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t
row_random(const struct build *b, uint64_t row)
{
	return mix(b->params->seed + (row + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

/* Each level up has the m-th part of the rows. */
static uint8_t
row_level(const struct build *b, uint32_t row)
{
	double u = ((double)(row_random(b, row) >> 11) + 0.5) * 0x1p-53;
	double level = -log(u) / log(b->params->m);

	return (uint8_t)MIN(level, HNSW_LEVEL_MAX);
}

static void
levels_set(struct build *b)
{
	for (uint32_t row = 0; row < b->vs->n; row++)
		b->level[row] = row_level(b, row);
	for (uint32_t row = 0; row < b->vs->n; row++)
		if (b->twins[row] != ROW_NONE)
			b->level[b->twins[row]] = LEVEL_TWIN;
}

static void
order_set(struct build *b)
{
	uint32_t top = 0, n = 0;

	for (uint32_t row = 0; row < b->vs->n; row++)
		if (b->level[row] != LEVEL_TWIN)
			b->order[n++] = row;
	for (uint32_t i = n; i > 1; i--) {
		uint64_t j = row_random(b, (uint64_t)UINT32_MAX + i) % i;
		uint32_t row = b->order[i - 1];

		b->order[i - 1] = b->order[j];
		b->order[j] = row;
	}
	for (uint32_t i = 1; i < n; i++)
		if (b->level[b->order[i]] > b->level[b->order[top]])
			top = i;
	b->n_order = n;
	b->graph.entry = b->order[top];
	b->graph.max_level = b->level[b->order[top]];
	b->order[top] = b->order[0];
	b->order[0] = b->graph.entry;
}

/* --- distances ------------------------------------------------------- */

static void
lift_set(struct build *b)
{
	double max = 0;

	for (uint32_t row = 0; row < b->vs->n; row++) {
		double norm = vec_norm(vectors_row(b->vs, row), b->vs->dim);

		b->lift[row] = norm * norm;
		max = MAX(max, b->lift[row]);
	}
	for (uint32_t row = 0; row < b->vs->n; row++)
		b->lift[row] = sqrt(max - b->lift[row]);
	b->lift_len2 = max;
}

/* Measures from row; unit has room for a vector. */
static void
probe_from_row(const struct build *b, uint32_t row, float *unit,
	       struct probe *p)
{
	*p = (struct probe){
		.vs = b->vs, .fn = b->fn, .v = vectors_row(b->vs, row)};
	if (b->distance == DISTANCE_COSINE) {
		vec_normalise(p->v, b->vs->dim, unit);
		p->v = unit;
		p->norms = b->vs->norms;
	} else if (b->distance == DISTANCE_DOT) {
		p->lift = b->lift;
		p->lift_self = b->lift[row];
		p->lift_len2 = b->lift_len2;
	}
}

/* --- step one: search and own lists ---------------------------------- */

static void
pool_restart(struct walker *w, struct pool *pool)
{
	walker_forget(w);
	for (uint32_t i = 0; i < pool->n; i++) {
		pool->key[i] &= ~KEY_WALKED;
		walker_see(w, key_row(pool->key[i]));
	}
	pool->next = 0;
}

static int
link_level(struct build *b, struct worker *w, const struct probe *p,
	   uint32_t row, uint32_t level)
{
	uint64_t i;
	struct lists *l = lists_at(b, row, level, &i);
	uint32_t n;

	pool_restart(&w->walker, &w->pool);
	if (walk_level(&w->walker, &b->graph, p, level, &w->pool) != 0)
		return -ERR_NO_MEMORY;
	for (n = 0; n < w->pool.n; n++) {
		w->cand[n].row = key_row(w->pool.key[n]);
		w->cand[n].dist = key_dist(w->pool.key[n]);
	}
	n = link_choose(b, w->cand, n, l->keep, w->kept);
	lists_put(l, i, w->kept, n);
	return 0;
}

/* The highest levels first: level 0 may find that the row is a twin, and then
 * takes the lists above back. */
static uint32_t
find_twin(struct build *b, struct worker *w, uint32_t row)
{
	if (b->distance != DISTANCE_COSINE || w->pool.n == 0 ||
	    key_dist(w->pool.key[0]) >= TWIN_DIST)
		return ROW_NONE;
	for (uint32_t level = 0; level <= b->level[row]; level++) {
		uint64_t i;
		struct lists *l = lists_at(b, row, level, &i);

		lists_put(l, i, NULL, 0);
	}
	return key_row(w->pool.key[0]);
}

static int
link_row(struct build *b, struct worker *w, uint32_t row, uint32_t *ret_twin)
{
	struct near at = {.row = b->graph.entry};
	uint32_t level = b->graph.max_level;
	struct probe p;
	int rc = 0;

	probe_from_row(b, row, w->unit, &p);
	at.dist = probe_dist(&p, at.row);
	for (; level > b->level[row]; level--)
		at = walk_greedy(&b->graph, &p, at, level);
	w->pool.n = 0;
	pool_add(&w->pool, key_make(at.dist, at.row));
	for (level++; level-- > 0 && rc == 0;)
		rc = link_level(b, w, &p, row, level);
	*ret_twin = find_twin(b, w, row);
	walker_forget(&w->walker);
	return rc;
}

#define TWIN_FAILED (ROW_NONE - 1)

static void
link_worker(void *arg, unsigned which)
{
	struct build *b = arg;
	struct worker *w = &b->workers[which];
	uint32_t i;

	while ((i = atomic_fetch_add(&b->taken, 1)) < b->to - b->from)
		if (link_row(b, w, b->order[b->from + i], &b->twin_of[i]) != 0)
			b->twin_of[i] = TWIN_FAILED;
}

/* --- step two: twins ------------------------------------------------- */

static int
join_twins(struct build *b)
{
	for (uint32_t i = 0; i < b->to - b->from; i++) {
		uint32_t row = b->order[b->from + i], head = b->twin_of[i];

		if (head == TWIN_FAILED)
			return -ERR_NO_MEMORY;
		if (head == ROW_NONE)
			continue;
		b->level[row] = LEVEL_TWIN;
		twin_join(b->twins, head, row);
	}
	return 0;
}

/* --- step three: links back ------------------------------------------ */

static void
back_level(struct build *b, unsigned which, uint32_t row, uint32_t level)
{
	uint64_t i, to;
	const struct lists *l = lists_at(b, row, level, &i);

	for (uint32_t j = 0; j < l->used[i]; j++) {
		uint32_t target = l->row[i * l->cap + j];
		struct near link = {l->dist[i * l->cap + j], row};
		struct lists *lt;

		if (target % b->n_threads != which)
			continue;
		lt = lists_at(b, target, level, &to);
		lists_add(b, &b->workers[which], lt, to, link);
	}
}

static void
back_worker(void *arg, unsigned which)
{
	struct build *b = arg;

	for (uint32_t i = b->from; i < b->to; i++) {
		uint32_t row = b->order[i];

		for (uint32_t level = 0;
		     b->level[row] != LEVEL_TWIN && level <= b->level[row];
		     level++)
			back_level(b, which, row, level);
	}
}

static bool
stopped(const struct build *b)
{
	const struct hnsw_watch *w = b->watch;

	if (w != NULL && w->progress != NULL)
		w->progress(w->arg, b->to);
	return w != NULL && w->stop != NULL && w->stop(w->arg);
}

static int
insert_all(struct build *b, struct err *err)
{
	b->from = b->to = 1; /* the entry is in */
	while (!stopped(b)) {
		uint32_t batch = MAX(b->from / BATCH_SHARE, 1u);

		if (b->from == b->n_order)
			return 0;
		batch = MIN(batch, (uint32_t)BATCH_MAX);
		b->to = b->from + MIN(batch, b->n_order - b->from);
		atomic_store(&b->taken, 0);
		parallel_for(b->n_threads, b->n_threads, link_worker, b);
		if (join_twins(b) != 0)
			return err_set(err, ERR_NO_MEMORY,
				       "no memory to build a graph");
		parallel_for(b->n_threads, b->n_threads, back_worker, b);
		b->from = b->to;
	}
	return err_set(err, ERR_STOPPED, "building a graph was stopped");
}

/* --- memory ---------------------------------------------------------- */

static int
worker_init(struct worker *w, const struct build *b)
{
	uint32_t ef = b->params->ef_construct;

	if (walker_init(&w->walker, b->vs->n) != 0)
		return -ERR_NO_MEMORY;
	w->pool.cap = ef;
	w->pool.key = malloc(ef * sizeof w->pool.key[0]);
	w->cand = malloc((MAX(ef, b->base.cap) + 1) * sizeof w->cand[0]);
	w->kept = malloc(b->base.keep * sizeof w->kept[0]);
	w->unit = malloc(((size_t)b->vs->dim + 1) * sizeof w->unit[0]);
	return w->pool.key && w->cand && w->kept && w->unit ? 0
							    : -ERR_NO_MEMORY;
}

static void
worker_done(struct worker *w)
{
	walker_done(&w->walker);
	free(w->pool.key);
	free(w->cand);
	free(w->kept);
	free(w->unit);
}

static int
workers_init(struct build *b)
{
	b->workers = calloc(b->n_threads, sizeof b->workers[0]);
	for (unsigned i = 0; b->workers != NULL && i < b->n_threads; i++)
		if (worker_init(&b->workers[i], b) != 0)
			return -ERR_NO_MEMORY;
	return b->workers == NULL ? -ERR_NO_MEMORY : 0;
}

static int
rows_init(struct build *b)
{
	size_t n = b->vs->n;

	b->level = malloc(n);
	b->order = malloc(n * sizeof b->order[0]);
	b->twins = malloc(n * sizeof b->twins[0]);
	b->twin_of = malloc(BATCH_MAX * sizeof b->twin_of[0]);
	b->upper_at = malloc(n * sizeof b->upper_at[0]);
	if (b->distance == DISTANCE_DOT) {
		b->lift = malloc(n * sizeof b->lift[0]);
		if (b->lift == NULL)
			return -ERR_NO_MEMORY;
		lift_set(b);
	}
	return b->level && b->order && b->twins && b->twin_of && b->upper_at
		       ? 0
		       : -ERR_NO_MEMORY;
}

/* Gives every row its lists above level 0; *ret_n: how many there are. */
static int
upper_place(struct build *b, uint32_t cap, uint64_t *ret_n)
{
	uint64_t n = 0;

	for (uint32_t row = 0; row < b->vs->n; row++) {
		uint32_t level = b->level[row];

		b->upper_at[row] = ROW_NONE;
		if (level == 0 || level == LEVEL_TWIN)
			continue;
		b->upper_at[row] = (uint32_t)(n * cap);
		n += level;
		if (n * cap >= ROW_NONE)
			return -ERR_TOO_BIG;
	}
	*ret_n = n;
	return 0;
}

static void
graph_set(struct build *b)
{
	struct hnsw *g = &b->graph;

	g->n = b->vs->n;
	g->m = b->params->m;
	g->cap0 = b->base.cap;
	g->links0 = b->base.row;
	g->cap1 = b->upper.cap;
	g->upper = b->upper.row;
	g->upper_at = b->upper_at;
	g->upper_len = b->upper.n * b->upper.cap;
}

static void
build_done(struct build *b)
{
	for (unsigned i = 0; b->workers != NULL && i < b->n_threads; i++)
		worker_done(&b->workers[i]);
	free(b->workers);
	lists_done(&b->base);
	lists_done(&b->upper);
	free(b->level);
	free(b->order);
	free(b->twins);
	free(b->twin_of);
	free(b->upper_at);
	free(b->lift);
}

static int
build_init(struct build *b, struct err *err)
{
	uint32_t m = b->params->m;
	uint64_t n_upper = 0;
	int rc = rows_init(b);

	if (rc == 0)
		rc = twin_find(b->vs, b->n_threads, b->twins, err);
	if (rc != 0)
		goto out;
	levels_set(b);
	order_set(b);
	rc = upper_place(b, m + m / 2, &n_upper);
	if (rc == 0)
		rc = lists_init(&b->base, b->vs->n, 2 * m);
	if (rc == 0)
		rc = lists_init(&b->upper, n_upper, m);
	if (rc == 0)
		rc = workers_init(b);
	graph_set(b);
out:
	if (rc != 0)
		return err_set(err, (enum errcode) - rc,
			       "no room to build a graph of %u rows", b->vs->n);
	return 0;
}

static int
build_run(struct build *b, struct buf *ret, struct err *err)
{
	int rc = build_init(b, err);

	if (rc == 0)
		rc = insert_all(b, err);
	if (rc == 0)
		rc = build_finish(b, ret, err);
	build_done(b);
	return rc;
}

int
hnsw_build(const struct vectors *vs, enum distance d,
	   const struct hnsw_params *p, unsigned n_threads,
	   const struct hnsw_watch *w, struct buf *ret, struct err *err)
{
	struct build b = {.vs = vs,
			  .distance = d,
			  .params = p,
			  .watch = w,
			  .graph.entry = ROW_NONE};

	if (p->m < HNSW_M_MIN || p->m > HNSW_M_MAX || p->ef_construct < 1 ||
	    p->ef_construct > EF_MAX)
		return err_set(err, ERR_CONFIG,
			       "a graph needs m of %d to %d and ef_construct "
			       "of 1 to %d",
			       HNSW_M_MIN, HNSW_M_MAX, EF_MAX);
	if (vs->n >= INDEX_ROWS_MAX)
		return err_set(err, ERR_TOO_BIG,
			       "%u rows are too many for "
			       "one graph",
			       vs->n);
	if (vs->n == 0)
		return build_put_empty(&b, ret, err);
	b.n_threads = MIN(MAX(n_threads, 1u), THREADS_MAX);
	b.fn = d == DISTANCE_COSINE || d == DISTANCE_DOT ? dist_product()
							 : dist_pick(d);
	/* 1.05 on squares; Manhattan distances are not squares. */
	b.alpha = d == DISTANCE_MANHATTAN ? 1.025f : 1.05f;
	return build_run(&b, ret, err);
}
