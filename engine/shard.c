/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/collection_impl.h"

#include "engine/base/check.h"
#include "engine/base/err.h"

#include <stdlib.h>
#include <string.h>

/* --- views ----------------------------------------------------------- */

static struct view *
view_alloc(uint32_t n_mems, uint32_t n_segs)
{
	struct view *v =
		calloc(1, sizeof *v + (n_mems + n_segs) * sizeof(void *));

	if (v == NULL)
		return NULL;
	v->refs = 1;
	v->mems = (struct mem **)(void *)(v + 1);
	v->segs = (struct seg **)(void *)(v->mems + n_mems);
	return v;
}

void
view_put(struct view *v)
{
	if (v == NULL || --v->refs > 0)
		return;
	for (uint32_t i = 0; i < v->n_mems; i++)
		mem_unref(v->mems[i]);
	for (uint32_t i = 0; i < v->n_segs; i++)
		seg_unref(v->segs[i]);
	free(v);
}

struct view *
view_get(struct shard *s)
{
	struct view *v;

	rwlock_read(&s->lock);
	v = s->view;
	v->refs++;
	rwlock_unlock(&s->lock);
	return v;
}

int
view_make(struct shard *s, struct mem *fresh, const struct mem *gone,
	  struct view **ret, struct err *err)
{
	struct view *old = s->view;
	uint32_t n_mems = (old != NULL ? old->n_mems : 0) + 1;
	struct view *v = view_alloc(n_mems, s->n_segs);

	if (v == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for a view");
	if (fresh != NULL)
		v->mems[v->n_mems++] = mem_ref(fresh);
	for (uint32_t i = 0; old != NULL && i < old->n_mems; i++)
		if (old->mems[i] != gone)
			v->mems[v->n_mems++] = mem_ref(old->mems[i]);
	for (uint32_t i = s->n_segs; i-- > 0;)
		if (s->segs[i].seg != NULL)
			v->segs[v->n_segs++] = seg_ref(s->segs[i].seg);
	*ret = v;
	return 0;
}

void
shard_swap(struct shard *s, struct view *v_take)
{
	struct view *old = s->view;

	s->view = v_take;
	view_put(old);
}

int
shard_init(struct shard *s, struct coll *c, uint32_t nr, struct mem *mem,
	   struct err *err)
{
	s->coll = c;
	s->nr = nr;
	s->next_seg = 1;
	rwlock_init(&s->lock, LOCK_SHARD);
	return view_make(s, mem, NULL, &s->view, err);
}

void
shard_done(struct shard *s)
{
	view_put(s->view);
	for (uint32_t i = 0; i < s->n_segs; i++)
		seg_state_done(&s->segs[i]);
	free(s->segs);
	rwlock_done(&s->lock);
}

/* --- finding --------------------------------------------------------- */

static int
not_found(struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "no such point");
}

/* The newest table that knows the id decides: what is older is hidden.  An
 * entry that died was hidden by a newer one, which may be in a table newer than
 * this view: the point was there at the view's time, so it is still given. */
int
view_find_id(struct view *v, const struct id_key *id, struct place *ret,
	     struct err *err)
{
	for (uint32_t i = 0; i < v->n_mems; i++) {
		struct mem_entry *e = mem_find_id(v->mems[i], id->b, id->n);

		if (e == NULL)
			continue;
		if (e->deleted)
			return not_found(err);
		*ret = (struct place){.entry = e};
		return 0;
	}
	for (uint32_t i = 0; i < v->n_segs; i++) {
		uint32_t row;
		int rc = seg_find_id(v->segs[i], id->b, id->n, &row, err);

		if (rc < 0)
			return rc;
		if (row != ROW_NONE && !seg_is_dead(v->segs[i], row)) {
			*ret = (struct place){.seg = v->segs[i], .row = row};
			return 0;
		}
	}
	return not_found(err);
}

int
view_find_no(struct view *v, uint64_t no, struct place *ret, struct err *err)
{
	for (uint32_t i = 0; i < v->n_mems; i++) {
		struct mem_entry *e = mem_find_no(v->mems[i], no);

		if (e != NULL && mem_entry_alive(e)) {
			*ret = (struct place){.entry = e};
			return 0;
		}
	}
	for (uint32_t i = 0; i < v->n_segs; i++) {
		uint32_t row;
		int rc = seg_find_no(v->segs[i], no, &row, err);

		if (rc < 0)
			return rc;
		if (row != ROW_NONE && !seg_is_dead(v->segs[i], row)) {
			*ret = (struct place){.seg = v->segs[i], .row = row};
			return 0;
		}
	}
	return not_found(err);
}

int
shard_find(struct shard *s, const struct id_key *id, struct place *ret,
	   struct view **ret_view, struct err *err)
{
	struct view *v;
	int rc;

	/* The memtables' hash tables move when they grow: the lock is held
	 * while they are asked.  It also keeps a row from being hidden between
	 * two tables (rule 6). */
	rwlock_read(&s->lock);
	v = s->view;
	rc = view_find_id(v, id, ret, err);
	if (rc == 0 && ret_view != NULL) {
		v->refs++;
		*ret_view = v;
	}
	rwlock_unlock(&s->lock);
	if (rc == -ERR_NOT_FOUND && s->coll->unreadable)
		return coll_readable(s->coll, err);
	if (rc == -ERR_NOT_FOUND && s->lost)
		return err_set(err, ERR_DAMAGED,
			       "point may be in a damaged segment of shard %u",
			       s->nr);
	return rc;
}

/* --- reading what was found ------------------------------------------ */

static void
stat_from_point(const struct point *p, struct point_stat *ret)
{
	*ret = (struct point_stat){
		.no = p->no,
		.lsn = p->lsn,
		.time_us = p->time_us,
		.mtime_ns = p->mtime_ns,
		.size = p->doc.size,
		.uid = p->uid,
	};
}

int
place_stat(const struct place *p, struct point_stat *ret, struct err *err)
{
	if (p->seg != NULL)
		return seg_stat(p->seg, p->row, ret, err);
	stat_from_point(&p->entry->point, ret);
	return 0;
}

int
place_id(const struct place *p, struct id_key *ret, struct err *err)
{
	struct slice key;
	int rc;

	if (p->seg == NULL) {
		*ret = p->entry->point.id;
		return 0;
	}
	rc = seg_id(p->seg, p->row, &key, err);
	if (rc < 0)
		return rc;
	return id_from_bytes(key.p, key.n, ret, err);
}

static int
copy_out(struct point *p, bool want_doc, bool want_vec, struct arena *a,
	 struct err *err)
{
	if (!want_doc)
		p->doc.text = (struct slice){NULL, 0};
	else if (p->doc.text.n != 0)
		p->doc.text.p = arena_dup(a, p->doc.text.p, p->doc.text.n);
	if (!want_vec)
		p->vec = NULL;
	else if (p->dim != 0)
		p->vec = arena_dup(a, p->vec, p->dim * sizeof(float));
	if ((want_doc && p->doc.text.n != 0 && p->doc.text.p == NULL) ||
	    (want_vec && p->dim != 0 && p->vec == NULL))
		return err_set(err, ERR_NO_MEMORY, "no memory for a point");
	return 0;
}

int
place_read(const struct place *p, bool want_doc, bool want_vec, struct arena *a,
	   struct point *ret, struct err *err)
{
	if (p->seg != NULL) {
		int rc = seg_point(p->seg, p->row, want_doc, a, ret, err);

		if (rc < 0)
			return rc;
		/* the document is in the arena already, the vector is not */
		if (!want_vec)
			ret->vec = NULL;
		else if (ret->dim != 0)
			ret->vec = arena_dup(a, ret->vec,
					     ret->dim * sizeof(float));
		if (want_vec && ret->dim != 0 && ret->vec == NULL)
			return err_set(err, ERR_NO_MEMORY,
				       "no memory for a point");
		return 0;
	}
	*ret = p->entry->point;
	return copy_out(ret, want_doc, want_vec, a, err);
}

/* --- changing -------------------------------------------------------- */

/* Hides the live version of an id, if there is one. */
static bool
hide_old(struct shard *s, struct mem *m, const struct id_key *id)
{
	struct place old;

	if (view_find_id(s->view, id, &old, NULL) < 0)
		return false;
	if (old.entry != NULL) {
		old.entry->killer = m;
		__atomic_store_n((uint64_t *)&old.entry->died, s->seq,
				 __ATOMIC_RELEASE);
	} else {
		seg_kill(old.seg, old.row);
		mem_kill_row(m, old.seg->desc.id, old.row);
	}
	return true;
}

void
shard_apply(struct shard *s, struct mem *m, struct mem_entry *e_take)
{
	bool had;

	s->seq++;
	e_take->born = s->seq;
	had = hide_old(s, m, &e_take->point.id);
	mem_add(m, e_take);
	if (had && e_take->deleted)
		s->live--;
	else if (!had && !e_take->deleted)
		s->live++;
}
