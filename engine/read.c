/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.c - one point, one version of a point, all points of one moment.
 */
#include "engine/collection_impl.h"

#include "engine/base/check.h"
#include "engine/base/counters.h"
#include "engine/base/err.h"

#include <stdlib.h>
#include <string.h>

int
coll_stat(struct coll *c, const struct id_key *id, struct point_stat *ret,
	  struct err *err)
{
	struct place at;
	struct view *v = NULL;
	int rc = shard_find(coll_shard(c, id), id, &at, &v, err);

	if (rc == 0)
		rc = place_stat(&at, ret, err);
	view_put(v);
	return rc;
}

static int
shard_stat_no(struct shard *s, uint64_t no, struct id_key *ret_id,
	      struct point_stat *ret, struct err *err)
{
	struct place at;
	int rc;

	rwlock_read(&s->lock);
	rc = view_find_no(s->view, no, &at, err);
	if (rc == 0)
		rc = place_stat(&at, ret, err);
	if (rc == 0 && ret_id != NULL)
		rc = place_id(&at, ret_id, err);
	rwlock_unlock(&s->lock);
	return rc;
}

int
coll_stat_no(struct coll *c, uint64_t no, struct id_key *ret_id,
	     struct point_stat *ret, struct err *err)
{
	int rc = -ERR_NOT_FOUND;

	for (uint32_t s = 0; s < c->n_shards && rc == -ERR_NOT_FOUND; s++)
		rc = shard_stat_no(&c->shards[s], no, ret_id, ret, err);
	return rc;
}

int
coll_get(struct coll *c, const struct id_key *id, struct arena *a,
	 struct point *ret, struct err *err)
{
	struct place at;
	struct view *v = NULL;
	int rc = shard_find(coll_shard(c, id), id, &at, &v, err);

	if (rc == 0)
		rc = place_read(&at, true, true, a, ret, err);
	view_put(v);
	if (rc == 0)
		count(COUNTER_points_read, 1);
	return rc;
}

/* --- one version ----------------------------------------------------- */

struct point_pin {
	struct view *view; /* keeps the place alive */
	struct place at;
	struct point_stat st;
};

int
coll_pin(struct coll *c, const struct id_key *id, struct point_pin **ret,
	 struct err *err)
{
	struct point_pin *p = calloc(1, sizeof *p);
	int rc;

	if (p == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	rc = shard_find(coll_shard(c, id), id, &p->at, &p->view, err);
	if (rc == 0)
		rc = place_stat(&p->at, &p->st, err);
	if (rc < 0) {
		point_pin_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

static int
shard_pin_no(struct shard *s, uint64_t no, struct id_key *ret_id,
	     struct point_pin *p, struct err *err)
{
	int rc;

	rwlock_read(&s->lock);
	rc = view_find_no(s->view, no, &p->at, err);
	if (rc == 0)
		rc = place_stat(&p->at, &p->st, err);
	if (rc == 0)
		rc = place_id(&p->at, ret_id, err);
	if (rc == 0) {
		p->view = s->view;
		p->view->refs++;
	}
	rwlock_unlock(&s->lock);
	return rc;
}

int
coll_pin_no(struct coll *c, uint64_t no, struct id_key *ret_id,
	    struct point_pin **ret, struct err *err)
{
	struct point_pin *p = calloc(1, sizeof *p);
	int rc = -ERR_NOT_FOUND;

	if (p == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	for (uint32_t s = 0; s < c->n_shards && rc == -ERR_NOT_FOUND; s++)
		rc = shard_pin_no(&c->shards[s], no, ret_id, p, err);
	if (rc < 0)
		point_pin_free(p);
	else
		*ret = p;
	return rc;
}

int
point_pin_read(struct point_pin *p, struct arena *a, struct point *ret,
	       struct err *err)
{
	int rc = place_read(&p->at, true, true, a, ret, err);

	if (rc == 0)
		count(COUNTER_points_read, 1);
	return rc;
}

void
point_pin_stat(const struct point_pin *p, struct point_stat *ret)
{
	*ret = p->st;
}

void
point_pin_free(struct point_pin *p)
{
	if (p == NULL)
		return;
	view_put(p->view);
	free(p);
}

/* --- all points of one moment ---------------------------------------- */

static uint32_t
view_sources(const struct view *v)
{
	return v->n_mems + v->n_segs;
}

static int
source_seg(struct source *so, struct seg *seg, struct err *err)
{
	size_t words = (seg->desc.n_rows + 63) / 64;

	so->seg = seg;
	so->n = seg->desc.n_rows;
	so->dead = malloc((words + 1) * sizeof *so->dead);
	if (so->dead == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for a listing");
	for (size_t i = 0; i < words; i++)
		so->dead[i] = seg->dead[i];
	return 0;
}

/* The shard's lock is held: nothing becomes visible meanwhile. */
static int
list_add_view(struct coll_list *l, struct shard *s, struct err *err)
{
	struct view *v = s->view;
	struct source *more = realloc(
		l->sources, (l->n_sources + view_sources(v)) * sizeof *more);

	if (more == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for a listing");
	l->sources = more;
	v->refs++;
	l->views[l->n_views++] = v;
	for (uint32_t i = 0; i < v->n_mems; i++)
		l->sources[l->n_sources++] =
			(struct source){.mem = v->mems[i],
					.n = mem_count(v->mems[i]),
					.seq = s->seq};
	for (uint32_t i = 0; i < v->n_segs; i++) {
		struct source *so = &l->sources[l->n_sources];
		int rc;

		memset(so, 0, sizeof *so);
		rc = source_seg(so, v->segs[i], err);
		if (rc < 0)
			return rc;
		l->n_sources++;
	}
	return 0;
}

int
coll_list_open(struct coll *c, struct coll_list **ret, struct err *err)
{
	struct coll_list *l;
	int rc = coll_readable(c, err);

	if (rc < 0)
		return rc;
	l = calloc(1, sizeof *l);
	if (l != NULL)
		l->views = calloc(c->n_shards, sizeof(struct view *));
	if (l == NULL || l->views == NULL) {
		free(l);
		return err_set(err, ERR_NO_MEMORY, "no memory for a listing");
	}
	for (uint32_t s = 0; s < c->n_shards && rc == 0; s++) {
		rwlock_read(&c->shards[s].lock);
		rc = list_add_view(l, &c->shards[s], err);
		rwlock_unlock(&c->shards[s].lock);
	}
	if (rc < 0) {
		coll_list_close(l);
		return rc;
	}
	*ret = l;
	return 0;
}

void
coll_list_close(struct coll_list *l)
{
	if (l == NULL)
		return;
	for (uint32_t i = 0; i < l->n_sources; i++)
		free(l->sources[i].dead);
	for (uint32_t i = 0; i < l->n_views; i++)
		view_put(l->views[i]);
	free(l->sources);
	free(l->views);
	free(l);
}

uint32_t
source_next(const struct source *so, uint32_t i)
{
	if (so->seg != NULL) {
		while (i < so->n && (so->dead[i / 64] >> (i % 64) & 1) != 0)
			i++;
		return i;
	}
	while (i < so->n && !mem_entry_alive_at(mem_entry(so->mem, i), so->seq))
		i++;
	return i;
}

int
coll_list_next(struct coll_list *l, uint64_t *pos, struct id_key *ret_id,
	       uint64_t *ret_no, struct point_stat *st, struct err *err)
{
	uint32_t k = (uint32_t)(*pos >> 32), i = (uint32_t)*pos;

	for (; k < l->n_sources; k++, i = 0) {
		const struct source *so = &l->sources[k];
		struct place at = {.seg = so->seg};
		struct point_stat own;
		int rc;

		i = source_next(so, i);
		if (i >= so->n)
			continue;
		at.row = i;
		if (so->seg == NULL)
			at.entry = mem_entry(so->mem, i);
		*pos = ((uint64_t)k << 32) + i + 1;
		rc = place_id(&at, ret_id, err);
		if (rc == 0)
			rc = place_stat(&at, st != NULL ? st : &own, err);
		if (rc < 0)
			return rc;
		*ret_no = st != NULL ? st->no : own.no;
		return 1;
	}
	*pos = (uint64_t)k << 32;
	return 0;
}
