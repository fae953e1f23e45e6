/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.c - search, scroll and count over the views of a collection.
 *
 * Segments are asked before memtables, and one id found twice is answered in
 * its newest version: a point that is overwritten while a query runs is then
 * seen once, old or new, never not at all (rule 6).
 */
#include "engine/collection_impl.h"

#include "engine/base/check.h"
#include "engine/base/counters.h"
#include "engine/base/err.h"
#include "engine/json/json_point.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_SHARE_MAX 32u /* fewer than 1/32 of the rows pass: scan them */

struct cand {
	float dist;
	lsn_t lsn;
	struct place at;
	struct id_key *id;
};

struct search { /* one query on one collection */
	struct coll *c;
	const struct query *q;
	struct query_vec qv;
	struct arena *a;
	uint32_t k; /* results wanted from each source */
	struct cand *cands;
	uint32_t n, cap;
};

static int
no_memory(struct err *err)
{
	return err_set(err, ERR_NO_MEMORY, "no memory for a query");
}

/* --- which rows may be answered -------------------------------------- */

struct seg_pass {
	struct seg *seg;
	const uint64_t *bits; /* rows that pass the filter; NULL: no filter */
};

static bool
seg_pass(void *arg, uint32_t vec_no)
{
	const struct seg_pass *p = arg;
	uint32_t row = seg_vec_row(p->seg, vec_no);

	if (row == ROW_NONE || seg_is_dead(p->seg, row))
		return false;
	return p->bits == NULL || (p->bits[row / 64] >> (row % 64) & 1) != 0;
}

static int
row_passes(struct seg *s, uint32_t row, const struct filter *f, bool payload,
	   struct arena *a, bool *ret, struct err *err)
{
	struct slice key, text = {0};
	struct point p;
	int rc = seg_id(s, row, &key, err);

	if (rc == 0 && payload) {
		rc = seg_point(s, row, true, a, &p, err);
		if (rc == 0)
			text = point_payload(&p);
	}
	if (rc == 0)
		*ret = filter_pass(f, key.p, key.n, text);
	return rc;
}

/* The filter on every live row of a segment. */
static int
seg_filter_bits(struct seg *s, const struct filter *f, struct arena *a,
		uint64_t **ret, uint32_t *ret_n, struct err *err)
{
	CLEAN(arena_done) struct arena tmp = {0};
	uint32_t n = s->desc.n_rows;
	bool payload = filter_needs_payload(f);

	*ret_n = 0;
	*ret = arena_zalloc(a, ((size_t)n / 64 + 1) * sizeof **ret);
	if (*ret == NULL)
		return no_memory(err);
	for (uint32_t row = 0; row < n; row++) {
		bool pass = false;
		int rc;

		if (seg_is_dead(s, row))
			continue;
		arena_reset(&tmp);
		rc = row_passes(s, row, f, payload, &tmp, &pass, err);
		if (rc < 0)
			return rc;
		if (pass) {
			(*ret)[row / 64] |= 1ull << (row % 64);
			(*ret_n)++;
		}
	}
	return 0;
}

static bool
entry_passes(const struct mem_entry *e, const struct filter *f)
{
	const struct id_key *id = &e->point.id;

	return f == NULL ||
	       filter_pass(f, id->b, id->n, point_payload(&e->point));
}

/* --- candidates ------------------------------------------------------ */

static int
cand_add(struct search *s, float dist, struct place at, struct err *err)
{
	struct point_stat st;
	struct cand *c;
	int rc;

	if (s->n == s->cap) {
		uint32_t cap = s->cap == 0 ? 64 : s->cap * 2;
		struct cand *more = arena_alloc(s->a, cap * sizeof *more);

		if (more == NULL)
			return no_memory(err);
		if (s->n != 0)
			memcpy(more, s->cands, s->n * sizeof *more);
		s->cands = more;
		s->cap = cap;
	}
	c = &s->cands[s->n];
	*c = (struct cand){.dist = dist, .at = at};
	c->id = arena_alloc(s->a, sizeof *c->id);
	if (c->id == NULL)
		return no_memory(err);
	rc = place_id(&at, c->id, err);
	if (rc == 0)
		rc = place_stat(&at, &st, err);
	if (rc < 0)
		return rc;
	c->lsn = st.lsn;
	s->n++;
	return 0;
}

static int
cand_id_cmp(const struct cand *x, const struct cand *y)
{
	return id_cmp(x->id->b, x->id->n, y->id->b, y->id->n);
}

static int
by_id_newest(const void *a, const void *b)
{
	const struct cand *x = a, *y = b;
	int d = cand_id_cmp(x, y);

	return d != 0 ? d : (x->lsn < y->lsn) - (x->lsn > y->lsn);
}

static int
by_dist(const void *a, const void *b)
{
	const struct cand *x = a, *y = b;

	if (x->dist != y->dist)
		return x->dist < y->dist ? -1 : 1;
	return cand_id_cmp(x, y);
}

/* Each id once, in its newest version; best first. */
static void
cands_order(struct search *s)
{
	uint32_t k = 0;

	if (s->n == 0)
		return;
	qsort(s->cands, s->n, sizeof *s->cands, by_id_newest);
	for (uint32_t i = 0; i < s->n; i++)
		if (k == 0 || cand_id_cmp(&s->cands[k - 1], &s->cands[i]) != 0)
			s->cands[k++] = s->cands[i];
	s->n = k;
	qsort(s->cands, s->n, sizeof *s->cands, by_dist);
}

/* --- one segment ----------------------------------------------------- */

/* More rows at the worst distance than fit: the lowest ids count, wherever they
 * stand, so all of them are taken. */
static int
seg_ties(struct search *s, struct seg *seg, const struct vectors *vs,
	 struct row_filter f, float dist, struct err *err)
{
	for (uint32_t v = 0; v < vs->n; v++) {
		int rc;

		if ((f.pass != NULL && !f.pass(f.arg, v)) ||
		    query_vec_dist(&s->qv, vs, v) != dist)
			continue;
		rc = cand_add(
			s, dist,
			(struct place){.seg = seg, .row = seg_vec_row(seg, v)},
			err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
seg_take(struct search *s, struct seg *seg, const struct vectors *vs,
	 struct row_filter f, struct topk *t, struct err *err)
{
	struct near *near;
	uint32_t n = topk_sort(t, &near);
	bool tie = n == s->k + 1 && near[n - 1].dist == near[n - 2].dist;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		struct place at = {.seg = seg,
				   .row = seg_vec_row(seg, near[i].row)};
		const float *vec;

		if (at.row == ROW_NONE)
			continue;
		/* what the walk read is checked before it is answered */
		rc = seg_vec(seg, at.row, &vec, err);
		if (rc == 0)
			rc = cand_add(s, near[i].dist, at, err);
	}
	if (rc == 0 && tie)
		rc = seg_ties(s, seg, vs, f, near[n - 1].dist, err);
	return rc;
}

/* A segment made before the distance became cosine has no lengths, until it is
 * rewritten. */
static int
seg_vectors(struct search *s, const struct seg *seg, struct vectors *ret,
	    struct err *err)
{
	float *norms;

	*ret = seg->vecs;
	if (s->qv.distance != DISTANCE_COSINE || ret->norms != NULL)
		return 0;
	norms = arena_vec(s->a, ret->n);
	if (norms == NULL)
		return no_memory(err);
	for (uint32_t i = 0; i < ret->n; i++)
		norms[i] =
			(float)vec_norm(ret->base + i * ret->stride, ret->dim);
	ret->norms = norms;
	return 0;
}

static bool
use_graph(const struct search *s, const struct seg *seg, uint32_t passing)
{
	return seg->graph.bytes != NULL && !s->q->exact &&
	       seg->distance == s->qv.distance &&
	       passing > seg->desc.n_rows / SCAN_SHARE_MAX;
}

static int
seg_search(struct search *s, struct seg *seg, struct err *err)
{
	struct seg_pass pass = {.seg = seg};
	struct row_filter f = {.pass = seg_pass, .arg = &pass};
	uint32_t passing = seg->desc.n_rows;
	struct topk *t = topk_new(s->a, s->k + 1);
	uint32_t ef = s->q->ef != 0 ? s->q->ef : HNSW_EF_DEFAULT;
	struct vectors vs;
	uint64_t *bits;
	int rc = seg_vectors(s, seg, &vs, err);

	if (rc < 0)
		return rc;
	if (t == NULL)
		return no_memory(err);
	if (s->q->filter != NULL) {
		rc = seg_filter_bits(seg, s->q->filter, s->a, &bits, &passing,
				     err);
		if (rc < 0)
			return rc;
		pass.bits = bits;
	} else if (seg->n_dead == 0) {
		f.pass = NULL;
	}
	if (passing == 0)
		return 0;
	if (!use_graph(s, seg, passing) ||
	    !hnsw_search(&seg->graph, &vs, &s->qv, f, MAX(ef, s->k + 1), s->a,
			 t)) {
		t = topk_new(s->a, s->k + 1);
		if (t == NULL)
			return no_memory(err);
		flat_scan(&vs, &s->qv, f, 0, vs.n, t);
	}
	return seg_take(s, seg, &vs, f, t, err);
}

/* --- one memtable ---------------------------------------------------- */

static float
entry_dist(const struct search *s, const struct mem_entry *e)
{
	struct vectors one = {.base = e->point.vec,
			      .stride = e->point.dim,
			      .n = 1,
			      .dim = e->point.dim,
			      .norms = &e->norm};

	return query_vec_dist(&s->qv, &one, 0);
}

static bool
entry_answers(const struct search *s, const struct mem_entry *e, uint64_t seq)
{
	return mem_entry_alive_at(e, seq) && e->point.dim == s->c->size;
}

static int
mem_ties(struct search *s, struct mem *m, uint32_t n, uint64_t seq, float dist,
	 struct err *err)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		struct mem_entry *e = mem_entry(m, i);

		if (entry_answers(s, e, seq) && entry_dist(s, e) == dist &&
		    entry_passes(e, s->q->filter))
			rc = cand_add(s, dist, (struct place){.entry = e}, err);
	}
	return rc;
}

/* The first n entries, as they were when the shard's clock showed seq. */
static int
mem_search(struct search *s, struct mem *m, uint32_t n, uint64_t seq,
	   struct err *err)
{
	uint32_t k;
	struct topk *t = topk_new(s->a, s->k + 1);
	struct near *near;
	int rc = 0;

	if (t == NULL)
		return no_memory(err);
	for (uint32_t i = 0; i < n; i++) {
		struct mem_entry *e = mem_entry(m, i);
		float d;

		if (!entry_answers(s, e, seq))
			continue;
		d = entry_dist(s, e);
		if (d <= topk_bound(t) && entry_passes(e, s->q->filter))
			topk_add(t, d, i);
	}
	k = topk_sort(t, &near);
	for (uint32_t i = 0; rc == 0 && i < k; i++)
		rc = cand_add(
			s, near[i].dist,
			(struct place){.entry = mem_entry(m, near[i].row)},
			err);
	if (rc == 0 && k == s->k + 1 && near[k - 1].dist == near[k - 2].dist)
		rc = mem_ties(s, m, n, seq, near[k - 1].dist, err);
	return rc;
}

static int
segs_search(struct search *s, struct view *v, struct err *err)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < v->n_segs; i++)
		if (v->segs[i]->desc.dim == s->c->size &&
		    v->segs[i]->vecs.n != 0)
			rc = seg_search(s, v->segs[i], err);
	return rc;
}

/* A moment of the memtables: how far each one is, and the shard's clock.  It is
 * later than the search of the segments: what was hidden there by then is found
 * in the memtables, unless the view was replaced meanwhile (false). */
static bool
mems_moment(struct shard *sh, const struct view *v, uint32_t *n, uint64_t *seq)
{
	bool same;

	rwlock_read(&sh->lock);
	same = sh->view == v;
	*seq = sh->seq;
	for (uint32_t i = 0; i < v->n_mems; i++)
		n[i] = mem_count(v->mems[i]);
	rwlock_unlock(&sh->lock);
	return same;
}

/* Views change a few times a minute, so a second try is rare and a third one
 * unheard of. */
static int
shard_search(struct search *s, struct shard *sh, struct view **ret_view,
	     struct err *err)
{
	uint32_t from = s->n, *n = NULL;
	struct view *v = NULL;
	uint64_t seq;
	int rc = 0;

	do {
		s->n = from;
		view_put(v);
		*ret_view = v = view_get(sh);
		n = arena_alloc(s->a, v->n_mems * sizeof *n);
		if (n == NULL)
			return no_memory(err);
		rc = segs_search(s, v, err);
	} while (rc == 0 && !mems_moment(sh, v, n, &seq));
	for (uint32_t i = 0; rc == 0 && i < v->n_mems; i++)
		rc = mem_search(s, v->mems[i], n[i], seq, err);
	return rc;
}

/* --- answers --------------------------------------------------------- */

static bool
threshold_passes(const struct search *s, float dist)
{
	float score = dist_score(s->qv.distance, dist);

	if (!s->q->has_threshold)
		return true;
	return dist_larger_is_better(s->qv.distance) ? score > s->q->threshold
						     : score < s->q->threshold;
}

static int
hits_fill(struct search *s, struct hits *ret, struct err *err)
{
	const struct query *q = s->q;
	bool want_doc = q->payload.kind != SELECT_NONE;
	struct hits h = {0};
	uint32_t skip = q->offset;

	h.h = arena_zalloc(s->a, ((size_t)q->limit < s->n ? q->limit : s->n) *
						 sizeof *h.h +
					 sizeof *h.h);
	if (h.h == NULL)
		return no_memory(err);
	for (uint32_t i = 0; i < s->n && h.n < q->limit; i++) {
		struct cand *c = &s->cands[i];
		int rc;

		if ((q->kind == QUERY_ID &&
		     cand_id_cmp(
			     c,
			     &(struct cand){.id = (struct id_key *)(uintptr_t)&q
							  ->id}) == 0) ||
		    !threshold_passes(s, c->dist))
			continue;
		if (skip > 0) {
			skip--;
			continue;
		}
		rc = place_read(&c->at, want_doc, q->with_vector, s->a,
				&h.h[h.n].point, err);
		if (rc < 0)
			return rc;
		h.h[h.n++].score = dist_score(s->qv.distance, c->dist);
	}
	*ret = h;
	return 0;
}

static int
query_vector(struct search *s, const float **ret, uint32_t *ret_dim,
	     struct err *err)
{
	struct point p;
	int rc;

	if (s->q->kind == QUERY_VECTOR) {
		*ret = s->q->vec;
		*ret_dim = s->q->dim;
		return 0;
	}
	rc = coll_get(s->c, &s->q->id, s->a, &p, err);
	if (rc < 0)
		return err_in(err, rc, "query");
	if (p.dim == 0)
		return err_set(err, ERR_QUERY, "query: point has no vector");
	*ret = p.vec;
	*ret_dim = p.dim;
	return 0;
}

static int
search_prepare(struct search *s, struct err *err)
{
	const float *v = NULL;
	uint32_t dim = 0;
	int rc = query_vector(s, &v, &dim, err);

	if (rc < 0)
		return rc;
	if (s->c->size != 0 && dim != s->c->size)
		return err_set(err, ERR_DIM,
			       "query: wrong vector length: expected %u "
			       "numbers, got %u",
			       (uint32_t)s->c->size, dim);
	s->k = s->q->limit + s->q->offset + (s->q->kind == QUERY_ID);
	return query_vec_init(&s->qv,
			      s->c->distance ? s->c->distance : DISTANCE_COSINE,
			      v, dim, s->a);
}

static int
search_list(struct coll *c, const struct query *q, struct arena *a,
	    struct hits *ret, struct err *err)
{
	struct scroll_request r = {.filter = q->filter,
				   .limit = q->limit + q->offset,
				   .payload = q->payload,
				   .with_vector = q->with_vector};
	struct id_key next;
	int rc = coll_scroll(c, &r, a, ret, &next, err);
	uint32_t skip;

	if (rc < 0)
		return rc;
	skip = MIN(q->offset, ret->n);
	ret->h += skip;
	ret->n -= skip;
	return 0;
}

int
coll_search(struct coll *c, const struct query *q, struct arena *a,
	    struct hits *ret, struct err *err)
{
	struct search s = {.c = c, .q = q, .a = a};
	struct view **views;
	int rc;

	count(COUNTER_searches, 1);
	if (q->kind == QUERY_LIST)
		return search_list(c, q, a, ret, err);
	rc = coll_readable(c, err);
	if (rc == 0)
		rc = search_prepare(&s, err);
	if (rc < 0)
		return rc;
	views = arena_zalloc(a, c->n_shards * sizeof(struct view *));
	if (views == NULL)
		return no_memory(err);
	for (uint32_t i = 0; rc == 0 && i < c->n_shards; i++)
		rc = shard_search(&s, &c->shards[i], &views[i], err);
	if (rc == 0) {
		cands_order(&s);
		rc = hits_fill(&s, ret, err);
	}
	for (uint32_t i = 0; i < c->n_shards; i++)
		view_put(views[i]);
	return rc;
}

/* --- scroll ---------------------------------------------------------- */

/* One source's points in rising order of ids. */
struct stream {
	const struct source *so;
	struct mem_entry **sorted; /* of a memtable */
	uint32_t at, n;
	bool end;
	struct place place;
	struct id_key id;
	lsn_t lsn;
};

struct scroll {
	struct coll_list *list; /* all of one moment */
	uint32_t n;
	struct stream *streams;
};

static int
entry_id_cmp(const void *a, const void *b)
{
	const struct mem_entry *const *x = a, *const *y = b;

	return id_cmp((*x)->point.id.b, (*x)->point.id.n, (*y)->point.id.b,
		      (*y)->point.id.n);
}

static int
stream_mem(struct stream *st, const struct id_key *from, struct arena *a,
	   struct err *err)
{
	const struct source *so = st->so;

	st->sorted = arena_alloc(a, ((size_t)so->n + 1) * sizeof *st->sorted);
	if (st->sorted == NULL)
		return no_memory(err);
	for (uint32_t i = 0; (i = source_next(so, i)) < so->n; i++) {
		struct mem_entry *e = mem_entry(so->mem, i);

		if (from->n == 0 ||
		    id_cmp(e->point.id.b, e->point.id.n, from->b, from->n) >= 0)
			st->sorted[st->n++] = e;
	}
	qsort(st->sorted, st->n, sizeof *st->sorted, entry_id_cmp);
	return 0;
}

static int
stream_open(struct stream *st, const struct source *so,
	    const struct id_key *from, struct arena *a, struct err *err)
{
	*st = (struct stream){.so = so};
	if (so->seg == NULL)
		return stream_mem(st, from, a, err);
	st->n = so->n;
	if (from->n == 0)
		return 0;
	return seg_id_lower_bound(so->seg, from->b, from->n, &st->at, err);
}

/* Finds the next place from st->at on; st->at == st->n: none. */
static int
stream_seek(struct stream *st, struct err *err)
{
	const struct source *so = st->so;

	if (so->seg == NULL) {
		if (st->at < st->n)
			st->place.entry = st->sorted[st->at];
		return 0;
	}
	for (; st->at < st->n; st->at++) {
		uint32_t row;
		int rc = seg_by_id(so->seg, st->at, &row, err);

		if (rc < 0)
			return rc;
		if (source_next(so, row) == row) {
			st->place = (struct place){.seg = so->seg, .row = row};
			return 0;
		}
	}
	return 0;
}

static int
stream_next(struct stream *st, struct err *err)
{
	struct point_stat stat;
	int rc = stream_seek(st, err);

	if (rc < 0)
		return rc;
	st->end = st->at >= st->n;
	if (st->end)
		return 0;
	st->at++;
	rc = place_id(&st->place, &st->id, err);
	if (rc == 0)
		rc = place_stat(&st->place, &stat, err);
	if (rc == 0)
		st->lsn = stat.lsn;
	return rc;
}

static int
scroll_open(struct scroll *sc, struct coll *c, const struct id_key *from,
	    struct arena *a, struct err *err)
{
	int rc = coll_list_open(c, &sc->list, err);

	if (rc < 0)
		return rc;
	sc->streams = arena_zalloc(a, ((size_t)sc->list->n_sources + 1) *
					      sizeof *sc->streams);
	if (sc->streams == NULL)
		return no_memory(err);
	for (; rc == 0 && sc->n < sc->list->n_sources; sc->n++) {
		struct stream *st = &sc->streams[sc->n];

		rc = stream_open(st, &sc->list->sources[sc->n], from, a, err);
		if (rc == 0)
			rc = stream_next(st, err);
	}
	return rc;
}

static void
scroll_close(struct scroll *sc)
{
	coll_list_close(sc->list);
}

/* 1: the next point, each id once in its newest version; 0: the end. */
static int
scroll_next(struct scroll *sc, struct place *ret, struct id_key *ret_id,
	    struct err *err)
{
	struct stream *low = NULL;
	int rc = 0;

	for (uint32_t i = 0; i < sc->n; i++) {
		struct stream *st = &sc->streams[i];
		int d;

		if (st->end)
			continue;
		d = low == NULL
			    ? -1
			    : id_cmp(st->id.b, st->id.n, low->id.b, low->id.n);
		if (d < 0 || (d == 0 && st->lsn > low->lsn))
			low = st;
	}
	if (low == NULL)
		return 0;
	*ret = low->place;
	*ret_id = low->id;
	for (uint32_t i = 0; rc == 0 && i < sc->n; i++) {
		struct stream *st = &sc->streams[i];

		if (!st->end &&
		    id_cmp(st->id.b, st->id.n, ret_id->b, ret_id->n) == 0)
			rc = stream_next(st, err);
	}
	return rc < 0 ? rc : 1;
}

static int
place_passes(const struct place *p, const struct filter *f, struct arena *a,
	     bool *ret, struct err *err)
{
	if (f == NULL) {
		*ret = true;
		return 0;
	}
	if (p->seg == NULL) {
		*ret = entry_passes(p->entry, f);
		return 0;
	}
	return row_passes(p->seg, p->row, f, filter_needs_payload(f), a, ret,
			  err);
}

int
coll_scroll(struct coll *c, const struct scroll_request *r, struct arena *a,
	    struct hits *ret, struct id_key *ret_next, struct err *err)
{
	CLEAN(arena_done) struct arena tmp = {0};
	CLEAN(scroll_close) struct scroll sc = {0};
	struct hits h = {0};
	struct place at;
	struct id_key id;
	uint32_t cap = 0;
	int rc = scroll_open(&sc, c, &r->offset, a, err);

	ret_next->n = 0;
	while (rc == 0 && (rc = scroll_next(&sc, &at, &id, err)) > 0) {
		bool pass = false;

		arena_reset(&tmp);
		rc = place_passes(&at, r->filter, &tmp, &pass, err);
		if (rc < 0 || !pass)
			continue;
		if (h.n == r->limit) {
			*ret_next = id;
			break;
		}
		if (h.n == cap) {
			struct hit *more;

			cap = cap == 0 ? 16 : cap * 2;
			more = arena_zalloc(a, cap * sizeof *more);
			if (more == NULL)
				return no_memory(err);
			if (h.n != 0)
				memcpy(more, h.h, h.n * sizeof *more);
			h.h = more;
		}
		rc = place_read(&at, r->payload.kind != SELECT_NONE,
				r->with_vector, a, &h.h[h.n].point, err);
		if (rc == 0)
			h.n++;
	}
	if (rc < 0)
		return rc;
	*ret = h;
	return 0;
}

int
coll_count(struct coll *c, const struct filter *f, uint64_t *ret,
	   struct err *err)
{
	CLEAN(arena_done) struct arena a = {0};
	CLEAN(arena_done) struct arena tmp = {0};
	CLEAN(scroll_close) struct scroll sc = {0};
	const struct id_key start = {0};
	struct place at;
	struct id_key id;
	uint64_t n = 0;
	int rc = coll_readable(c, err);

	if (rc < 0)
		return rc;
	if (f == NULL) {
		*ret = coll_live(c);
		return 0;
	}
	rc = scroll_open(&sc, c, &start, &a, err);
	while (rc == 0 && (rc = scroll_next(&sc, &at, &id, err)) > 0) {
		bool pass = false;

		arena_reset(&tmp);
		rc = place_passes(&at, f, &tmp, &pass, err);
		n += pass;
	}
	if (rc == 0)
		*ret = n;
	return rc;
}
