/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/handle.h"

#include "engine/base/clock.h"
#include "engine/database.h"

#include <stdlib.h>
#include <string.h>

#define HANDLE_MAGIC 0x68616E64u

struct handle *
handle_new(size_t len, const struct handle_ops *ops, uint64_t ino,
	   struct coll *coll_take)
{
	struct handle *h = calloc(1, len);

	if (h == NULL) {
		coll_close(coll_take);
		return NULL;
	}
	h->magic = HANDLE_MAGIC;
	h->ops = ops;
	h->ino = ino;
	h->coll = coll_take;
	mutex_init(&h->lock, LOCK_FS_HANDLE);
	return h;
}

void
handle_free(struct handle *h)
{
	if (h == NULL)
		return;
	h->magic = 0;
	mutex_done(&h->lock);
	coll_close(h->coll);
	free(h);
}

bool
handle_is(const struct handle *h)
{
	return h != NULL && h->magic == HANDLE_MAGIC;
}

/* --- open points ----------------------------------------------------- */

static struct open_point **
bucket(struct handle_table *t, uint64_t ino)
{
	return &t->b[(ino * 0x9E3779B97F4A7C15ull >> 40) % OPEN_POINT_BUCKETS];
}

void
handle_table_init(struct handle_table *t)
{
	memset(t, 0, sizeof *t);
	mutex_init(&t->lock, LOCK_LEAF);
}

void
handle_table_done(struct handle_table *t)
{
	mutex_done(&t->lock);
}

/* With the lock.  Nobody reads an old version of what was not stored yet. */
static void
heat(struct handle_table *t, const struct open_point *p)
{
	int64_t until = clock_mono_ns() + HOT_NS;

	if (!p->writer || p->st.lsn == 0)
		return;
	t->hot[p->ino % HOT_POINTS] = (struct hot_point){p->ino, until};
	t->hot_until_ns = until;
}

void
points_heat(struct handle_table *t)
{
	t->all_until_ns = clock_mono_ns() + HOT_NS;
}

bool
point_is_hot(struct handle_table *t, uint64_t ino)
{
	const struct hot_point *h = &t->hot[ino % HOT_POINTS];
	int64_t now = clock_mono_ns();
	bool hot;

	if (now <= t->all_until_ns)
		return true;
	if (now > t->hot_until_ns)
		return false;
	mutex_lock(&t->lock);
	hot = h->ino == ino && now <= h->until_ns;
	mutex_unlock(&t->lock);
	return hot;
}

void
open_point_add(struct handle_table *t, struct open_point *p)
{
	struct open_point **b = bucket(t, p->ino);

	mutex_lock(&t->lock);
	heat(t, p);
	p->next = *b;
	*b = p;
	t->n++;
	mutex_unlock(&t->lock);
}

void
open_point_remove(struct handle_table *t, struct open_point *p)
{
	struct open_point **q = bucket(t, p->ino);

	mutex_lock(&t->lock);
	while (*q && *q != p)
		q = &(*q)->next;
	if (*q) {
		*q = p->next;
		t->n--;
		heat(t, p);
	}
	mutex_unlock(&t->lock);
}

void
open_state(struct handle_table *t, uint64_t ino, struct open_state *ret)
{
	memset(ret, 0, sizeof *ret);
	/* Nothing open: a handle that is being opened is not yet known to
	 * its opener either. */
	if (t->n == 0)
		return;
	mutex_lock(&t->lock);
	for (struct open_point *p = *bucket(t, ino); p; p = p->next) {
		if (p->ino != ino)
			continue;
		if (!ret->any || p->st.lsn > ret->st.lsn)
			ret->st = p->st;
		ret->any = true;
		ret->writer |= p->writer;
		ret->stale |= p->stale;
		ret->dirty |= p->dirty;
		if (p->dirty && p->reads_own) {
			ret->own_size = true;
			ret->size = p->size;
			ret->mtime_ns = p->mtime_ns;
		}
	}
	mutex_unlock(&t->lock);
}

void
open_point_wrote(struct handle_table *t, struct open_point *p, uint64_t size,
		 int64_t now_ns)
{
	mutex_lock(&t->lock);
	p->dirty = true;
	p->has_mtime = false;
	p->mtime_ns = now_ns;
	p->size = size;
	mutex_unlock(&t->lock);
}

void
open_point_committed(struct handle_table *t, struct open_point *p)
{
	mutex_lock(&t->lock);
	p->dirty = false;
	for (struct open_point *q = *bucket(t, p->ino); q; q = q->next)
		if (q != p && q->ino == p->ino)
			q->stale = true;
	mutex_unlock(&t->lock);
}

void
open_point_clean(struct handle_table *t, struct open_point *p)
{
	mutex_lock(&t->lock);
	p->dirty = false;
	mutex_unlock(&t->lock);
}

bool
open_point_stale(struct handle_table *t, struct open_point *p)
{
	bool stale;

	mutex_lock(&t->lock);
	stale = p->stale;
	mutex_unlock(&t->lock);
	return stale;
}

bool
open_point_mtime(struct handle_table *t, struct open_point *p, int64_t *ret_ns)
{
	bool has;

	mutex_lock(&t->lock);
	has = p->has_mtime;
	*ret_ns = p->mtime_ns;
	mutex_unlock(&t->lock);
	return has;
}

bool
open_points_set_mtime(struct handle_table *t, uint64_t ino, int64_t ns)
{
	bool any = false;

	if (t->n == 0)
		return false;
	mutex_lock(&t->lock);
	for (struct open_point *p = *bucket(t, ino); p; p = p->next) {
		if (p->ino != ino || !p->dirty)
			continue;
		p->has_mtime = true;
		p->mtime_ns = ns;
		any = true;
	}
	mutex_unlock(&t->lock);
	return any;
}

bool
open_points_set_stale(struct handle_table *t, uint64_t ino)
{
	bool any = false;

	if (t->n == 0)
		return false;
	mutex_lock(&t->lock);
	for (struct open_point *p = *bucket(t, ino); p; p = p->next) {
		if (p->ino == ino)
			p->stale = any = true;
	}
	mutex_unlock(&t->lock);
	return any;
}

bool
open_point_cut(struct handle_table *t, uint64_t ino, pid_t opener)
{
	struct open_point *p;

	mutex_lock(&t->lock);
	for (p = *bucket(t, ino); p; p = p->next)
		if (p->ino == ino && p->writer && !p->used &&
		    p->opener == opener)
			break;
	if (p)
		p->cut = true;
	mutex_unlock(&t->lock);
	return p != NULL;
}

bool
open_point_use(struct handle_table *t, struct open_point *p)
{
	bool cut;

	mutex_lock(&t->lock);
	p->used = true;
	cut = p->cut;
	p->cut = false;
	mutex_unlock(&t->lock);
	return cut;
}

/* --- replaced points --------------------------------------------------- */

void
replaced_init(struct replaced_table *t)
{
	memset(t, 0, sizeof *t);
	mutex_init(&t->lock, LOCK_LEAF);
}

void
replaced_done(struct replaced_table *t)
{
	mutex_done(&t->lock);
}

void
replaced_add(struct replaced_table *t, uint64_t ino, const struct id_key *id)
{
	mutex_lock(&t->lock);
	t->r[ino % REPLACED_NR].ino = ino;
	t->r[ino % REPLACED_NR].id = *id;
	mutex_unlock(&t->lock);
}

bool
replaced_find(struct replaced_table *t, uint64_t ino, struct id_key *ret)
{
	bool found;

	mutex_lock(&t->lock);
	found = t->r[ino % REPLACED_NR].ino == ino;
	if (found)
		*ret = t->r[ino % REPLACED_NR].id;
	mutex_unlock(&t->lock);
	return found;
}
