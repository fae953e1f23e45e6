/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.c - puts, deletes and moves: check, log, memory, in that order.
 *
 * A writer holds the stripe of each id it changes from the check to the end
 * (rule 2).  Under the order lock it makes room in the memtable, gets its
 * position and signs in with the generation (rule 5); after the log has the
 * record nothing can fail any more.
 */
#include "engine/collection_impl.h"

#include "engine/base/check.h"
#include "engine/base/counters.h"
#include "engine/base/err.h"
#include "engine/base/hash.h"
#include "engine/json/json_point.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Full memtables not yet sealed: writers wait a little, or until it falls. */
#define BACKLOG_SLOW 3u
#define BACKLOG_MAX  6u

struct item { /* one change of one id */
	struct coll *c;
	struct mem_entry *e; /* owned until applied */
	struct gen *g;
};

struct txn {
	struct db *db;
	struct item *items;
	uint32_t n;
	unsigned flags; /* of wal_append */
};

/* --- stripes --------------------------------------------------------- */

static struct mutex *
stripe_of(struct coll *c, const struct id_key *id)
{
	return &c->stripes[hash64(id->b, id->n) / 7 % STRIPES_NR];
}

static int
stripe_cmp(const void *a, const void *b)
{
	const struct mutex *const *x = a, *const *y = b;

	return (*x > *y) - (*x < *y);
}

/* Takes n stripes, each once, by rising address; *ret_n are different. */
static void
stripes_lock(struct mutex **m, uint32_t n, uint32_t *ret_n)
{
	uint32_t k = 0;

	qsort(m, n, sizeof *m, stripe_cmp);
	for (uint32_t i = 0; i < n; i++)
		if (k == 0 || m[k - 1] != m[i])
			m[k++] = m[i];
	for (uint32_t i = 0; i < k; i++)
		mutex_lock(m[i]);
	*ret_n = k;
}

static void
stripes_unlock(struct mutex **m, uint32_t n)
{
	while (n-- > 0)
		mutex_unlock(m[n]);
}

static int
coll_writable(struct coll *c, struct err *err)
{
	int rc = db_writable(c->db, err);

	if (rc < 0)
		return rc;
	if (c->dropped)
		return err_set(err, ERR_NOT_FOUND, "collection was removed");
	if (c->remade)
		return err_set(err, ERR_AGAIN, "collection was set up anew");
	for (uint32_t s = 0; s < c->n_shards; s++)
		if (c->shards[s].lost)
			return err_set(err, ERR_READ_ONLY,
				       "collection has a damaged segment: %s",
				       c->error);
	return 0;
}

/* --- one record ------------------------------------------------------ */

static struct mem *
item_mem(const struct item *it)
{
	return it->g->mems[coll_shard(it->c, &it->e->point.id)->nr];
}

/* Under the order lock: room in the memtables for every item. */
static int
txn_reserve(struct txn *t, struct err *err)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < t->n; i++) {
		struct item *it = &t->items[i];
		struct shard *s = coll_shard(it->c, &it->e->point.id);

		it->g = it->c->gen;
		rwlock_write(&s->lock);
		rc = mem_reserve(item_mem(it), 1, err);
		rwlock_unlock(&s->lock);
		if (rc < 0)
			break;
	}
	if (rc == 0)
		return 0;
	while (i-- > 0) {
		struct item *it = &t->items[i];
		struct shard *s = coll_shard(it->c, &it->e->point.id);

		rwlock_write(&s->lock);
		mem_release(item_mem(it), 1);
		rwlock_unlock(&s->lock);
	}
	return rc;
}

static void
txn_sign_out(struct txn *t, bool release)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct item *it = &t->items[i];

		if (release) {
			struct shard *s = coll_shard(it->c, &it->e->point.id);

			rwlock_write(&s->lock);
			mem_release(item_mem(it), 1);
			rwlock_unlock(&s->lock);
		}
		it->g->writers--;
	}
}

static int
txn_log(struct txn *t, const struct slice *parts, unsigned n_parts,
	lsn_t *ret_lsn, int64_t *ret_time_us, struct err *err)
{
	int rc;

	mutex_lock(&t->db->order);
	rc = txn_reserve(t, err);
	if (rc == 0) {
		for (uint32_t i = 0; i < t->n; i++)
			t->items[i].g->writers++;
		rc = wal_append(t->db->wal, WAL_KIND_OPS, WAL_OPS_VERSION,
				parts, n_parts, t->flags, ret_lsn, ret_time_us,
				err);
		if (rc < 0)
			txn_sign_out(t, true);
	}
	for (uint32_t i = 0; rc == 0 && i < t->n; i++)
		if (t->items[i].g->first == 0)
			t->items[i].g->first = *ret_lsn;
	mutex_unlock(&t->db->order);
	return rc;
}

static void
txn_apply(struct txn *t, lsn_t lsn, int64_t time_us)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct item *it = &t->items[i];
		struct shard *s = coll_shard(it->c, &it->e->point.id);
		struct mem *m = item_mem(it);

		it->e->point.lsn = lsn;
		it->e->point.time_us = time_us;
		rwlock_write(&s->lock);
		shard_apply(s, m, it->e);
		rwlock_unlock(&s->lock);
		it->e = NULL;
	}
}

static void
pace_wait(struct coll *c, uint32_t least, unsigned ms)
{
	mutex_lock(&c->frozen_lock);
	if (c->backlog >= least)
		(void)cond_wait_ms(&c->frozen_fell, &c->frozen_lock, ms);
	mutex_unlock(&c->frozen_lock);
}

/* Gives writers of a collection whose sealing lags a pause, in small steps.
 * Those who wait also ask for the flush: one that was asked for while another
 * ran was not queued, and nobody else may come. */
static void
coll_pace(struct coll *c)
{
	if (c->backlog < BACKLOG_SLOW)
		return;
	pace_wait(c, BACKLOG_SLOW, 2);
	while (c->backlog >= BACKLOG_MAX && wal_failed(c->db->wal) == 0) {
		coll_flush_queue(c);
		pace_wait(c, BACKLOG_MAX, 20);
	}
}

/* Notes which memtables are full, while they cannot go away. */
static void
txn_note_full(struct txn *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct item *it = &t->items[i];
		uint64_t full =
			mem_bytes(item_mem(it)) / t->db->set.memtable_bytes;

		if (full > it->c->backlog && it->g == it->c->gen)
			it->c->backlog = (uint32_t)full;
	}
}

/* Full memtables go to the flush job, which freezes and seals them. */
static void
coll_after_write(struct coll *c)
{
	if (c->backlog != 0)
		coll_flush_queue(c);
	db_tend(c->db);
}

/* The record is logged and applied; entries are taken, also on failure. */
static int
txn_commit(struct txn *t, const struct slice *parts, unsigned n_parts,
	   lsn_t *ret_lsn, int64_t *ret_time_us, struct err *err)
{
	lsn_t lsn = 0;
	int64_t time_us = 0;
	int rc = txn_log(t, parts, n_parts, &lsn, &time_us, err);

	if (rc == 0) {
		rc = wal_commit(t->db->wal, lsn, err);
		txn_note_full(t);
		if (rc == 0)
			txn_apply(t, lsn, time_us);
		txn_sign_out(t, rc < 0);
	}
	for (uint32_t i = 0; i < t->n; i++)
		mem_entry_free(t->items[i].e);
	if (rc == 0 && ret_lsn != NULL)
		*ret_lsn = lsn;
	if (rc == 0 && ret_time_us != NULL)
		*ret_time_us = time_us;
	return rc;
}

/* --- put ------------------------------------------------------------- */

static int
fits_size(uint32_t size, const struct point *p, struct err *err)
{
	if (p->dim == 0 || size == 0 || p->dim == size)
		return 0;
	return err_set(err, ERR_DIM,
		       "wrong vector length: expected %u numbers, got %u", size,
		       p->dim);
}

/* Whether the first points may still choose another size. */
static bool
size_is_open(struct coll *c)
{
	return c->size == 0 || (c->implied && coll_live(c) == 0);
}

int
coll_fits(struct coll *c, const struct point *p, struct err *err)
{
	if (p->dim > DIM_MAX)
		return err_set(err, ERR_DIM,
			       "vector has %u numbers; at most %u", p->dim,
			       DIM_MAX);
	return size_is_open(c) ? 0 : fits_size(c->size, p, err);
}

/* What is there now, for put modes and numbers.  0 or 1 in *ret_had. */
static int
look(struct coll *c, const struct id_key *id, bool *ret_had,
     struct point_stat *ret, struct err *err)
{
	struct place at;
	struct view *v = NULL;
	int rc = shard_find(coll_shard(c, id), id, &at, &v, err);

	*ret_had = rc == 0;
	if (rc == 0)
		rc = place_stat(&at, ret, err);
	view_put(v);
	return rc == -ERR_NOT_FOUND ? 0 : rc;
}

static int
put_check(struct coll *c, struct point *p, const struct put_opts *o,
	  struct err *err)
{
	struct point_stat st;
	bool had;
	int rc = look(c, &p->id, &had, &st, err);

	if (rc < 0)
		return rc;
	if (had && o->mode == PUT_INSERT)
		return err_set(err, ERR_EXISTS, "point exists already");
	if (!had && o->mode == PUT_UPDATE)
		return err_set(err, ERR_NOT_FOUND, "no such point");
	if (o->no != 0)
		p->no = o->no;
	else
		p->no = had ? st.no : coll_take_no(c);
	return p->no < POINT_NO_MAX ? 0
				    : err_set(err, ERR_NO_SPACE,
					      "point numbers are used up");
}

static int
put_locked(struct coll *c, struct point *p, const struct put_opts *o,
	   struct err *err)
{
	CLEAN(buf_done) struct buf head = {0};
	struct item it = {.c = c};
	struct txn t = {.db = c->db, .items = &it, .n = 1};
	struct slice parts[3];
	int rc = coll_writable(c, err);

	if (rc == 0)
		rc = fits_size(c->size, p, err);
	if (rc == 0)
		rc = put_check(c, p, o, err);
	if (rc == 0)
		rc = op_put_head(&head, c->id, p);
	if (rc == 0)
		rc = mem_entry_new(p, false, &it.e, err);
	if (rc < 0)
		return rc;
	parts[0] = (struct slice){head.p, head.n};
	parts[1] = p->doc.text;
	parts[2] = (struct slice){p->vec, p->dim * sizeof(float)};
	rc = txn_commit(&t, parts, 3, &p->lsn, &p->time_us, err);
	if (rc == 0)
		count(COUNTER_points_written, 1);
	return rc;
}

/* Fixes the size while no put is under way that was checked against another. */
static int
imply_size(struct coll *c, uint32_t dim, struct err *err)
{
	int rc = 0;

	coll_lock_all(c);
	if (size_is_open(c) && dim != c->size)
		rc = coll_config_imply(c, dim, err);
	coll_unlock_all(c);
	return rc;
}

/* The first points: sizes are fixed one put at a time. */
static int
put_first(struct coll *c, struct point *p, const struct put_opts *o,
	  struct err *err)
{
	struct mutex *m = stripe_of(c, &p->id);
	int rc;

	mutex_lock(&c->config_lock);
	rc = imply_size(c, p->dim, err);
	if (rc == 0) {
		mutex_lock(m);
		rc = put_locked(c, p, o, err);
		mutex_unlock(m);
	}
	mutex_unlock(&c->config_lock);
	return rc;
}

int
coll_put(struct coll *c, struct point *p, const struct put_opts *o,
	 struct err *err)
{
	struct mutex *m = stripe_of(c, &p->id);
	int rc = db_writable(c->db, err);

	if (rc == 0)
		rc = coll_fits(c, p, err);
	if (rc < 0)
		return rc;
	coll_pace(c);
	if (p->dim != 0 && p->dim != c->size) {
		rc = put_first(c, p, o, err);
	} else {
		mutex_lock(m);
		rc = put_locked(c, p, o, err);
		mutex_unlock(m);
	}
	if (rc == 0)
		coll_after_write(c);
	return rc;
}

/* --- many puts in one record ----------------------------------------- */

struct batch {
	struct coll *c;
	struct point *p;
	uint32_t n;
	int *rcs;
	struct err *errs;
	struct item *items;
	struct slice *parts;
	struct buf heads;
	size_t *head_at; /* offsets while heads grows */
};

static int
batch_alloc(struct batch *b, struct err *err)
{
	b->items = calloc(b->n, sizeof *b->items);
	b->parts = calloc((size_t)b->n * 3, sizeof *b->parts);
	b->head_at = calloc((size_t)b->n + 1, sizeof *b->head_at);
	if (b->items == NULL || b->parts == NULL || b->head_at == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for a batch");
	return 0;
}

static void
batch_free(struct batch *b)
{
	free(b->items);
	free(b->parts);
	free(b->head_at);
	buf_done(&b->heads);
}

/* Prepares the points that can go in; the others keep their error. */
static uint32_t
batch_prepare(struct batch *b)
{
	static const struct put_opts upsert = {.mode = PUT_UPSERT};
	uint32_t k = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		struct point *p = &b->p[i];
		struct err *e = b->errs != NULL ? &b->errs[i] : NULL;
		int rc = fits_size(b->c->size, p, e);

		if (rc == 0)
			rc = put_check(b->c, p, &upsert, e);
		b->head_at[k] = b->heads.n;
		if (rc == 0)
			rc = op_put_head(&b->heads, b->c->id, p);
		if (rc == 0)
			rc = mem_entry_new(p, false, &b->items[k].e, e);
		b->rcs[i] = rc;
		if (rc < 0) {
			b->heads.n = b->head_at[k];
			continue;
		}
		b->items[k].c = b->c;
		b->parts[k * 3 + 1] = p->doc.text;
		b->parts[k * 3 + 2] =
			(struct slice){p->vec, p->dim * sizeof(float)};
		k++;
	}
	b->head_at[k] = b->heads.n;
	for (uint32_t i = 0; i < k; i++)
		b->parts[i * 3] =
			(struct slice){b->heads.p + b->head_at[i],
				       b->head_at[i + 1] - b->head_at[i]};
	return k;
}

static int
batch_commit(struct batch *b, struct err *err)
{
	uint32_t k = batch_prepare(b);
	struct txn t = {.db = b->c->db, .items = b->items, .n = k};
	lsn_t lsn = 0;
	int64_t time_us = 0;
	int rc;

	if (k == 0)
		return 0;
	rc = txn_commit(&t, b->parts, k * 3, &lsn, &time_us, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < b->n; i++)
		if (b->rcs[i] == 0) {
			b->p[i].lsn = lsn;
			b->p[i].time_us = time_us;
		}
	count(COUNTER_points_written, k);
	return 0;
}

static int
batch_locked(struct batch *b, struct err *err)
{
	struct mutex **m = calloc(b->n, sizeof(struct mutex *));
	uint32_t n_locked;
	int rc;

	if (m == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for a batch");
	for (uint32_t i = 0; i < b->n; i++)
		m[i] = stripe_of(b->c, &b->p[i].id);
	stripes_lock(m, b->n, &n_locked);
	rc = coll_writable(b->c, err);
	if (rc == 0)
		rc = batch_commit(b, err);
	stripes_unlock(m, n_locked);
	free(m);
	return rc;
}

/* The first vector in it fixes the size. */
static int
batch_imply(struct batch *b, struct err *err)
{
	for (uint32_t i = 0; i < b->n; i++)
		if (b->p[i].dim != 0)
			return imply_size(b->c, b->p[i].dim, err);
	return 0;
}

int
coll_put_many(struct coll *c, struct point *p, uint32_t n, int *rcs,
	      struct err *errs, struct err *err)
{
	struct batch b = {.c = c, .p = p, .n = n, .rcs = rcs, .errs = errs};
	bool open = size_is_open(c);
	int rc = db_writable(c->db, err);

	if (rc < 0 || n == 0)
		return rc;
	coll_pace(c);
	rc = batch_alloc(&b, err);
	if (open)
		mutex_lock(&c->config_lock);
	if (rc == 0 && open)
		rc = batch_imply(&b, err);
	if (rc == 0)
		rc = batch_locked(&b, err);
	if (open)
		mutex_unlock(&c->config_lock);
	batch_free(&b);
	if (rc == 0)
		coll_after_write(c);
	return rc;
}

/* --- delete, move ---------------------------------------------------- */

static int
tombstone(const struct id_key *id, struct mem_entry **ret, struct err *err)
{
	struct point p = {.id = *id};

	return mem_entry_new(&p, true, ret, err);
}

static int
delete_locked(struct coll *c, const struct id_key *id, struct err *err)
{
	CLEAN(buf_done) struct buf rec = {0};
	struct item it = {.c = c};
	struct txn t = {
		.db = c->db, .items = &it, .n = 1, .flags = WAL_RESERVE};
	struct point_stat st;
	struct slice part;
	bool had;
	int rc = coll_writable(c, err);

	if (rc == 0)
		rc = look(c, id, &had, &st, err);
	if (rc == 0 && !had)
		rc = err_set(err, ERR_NOT_FOUND, "no such point");
	if (rc == 0)
		rc = op_encode_delete(&rec, c->id, id);
	if (rc == 0)
		rc = tombstone(id, &it.e, err);
	if (rc < 0)
		return rc;
	part = (struct slice){rec.p, rec.n};
	rc = txn_commit(&t, &part, 1, NULL, NULL, err);
	if (rc == 0)
		count(COUNTER_points_deleted, 1);
	return rc;
}

int
coll_delete(struct coll *c, const struct id_key *id, struct err *err)
{
	struct mutex *m = stripe_of(c, id);
	int rc = db_writable(c->db, err);

	if (rc < 0)
		return rc;
	mutex_lock(m);
	rc = delete_locked(c, id, err);
	mutex_unlock(m);
	if (rc == 0)
		coll_after_write(c);
	return rc;
}

struct place_of { /* one end of a move */
	struct coll *c;
	const struct id_key *id;
};

static int
read_point(const struct place_of *o, struct arena *a, struct point *ret,
	   struct err *err)
{
	struct place at;
	struct view *v = NULL;
	int rc = shard_find(coll_shard(o->c, o->id), o->id, &at, &v, err);

	if (rc == 0)
		rc = place_read(&at, true, true, a, ret, err);
	view_put(v);
	return rc;
}

/* A put's three parts; the head is appended to heads before they are set. */
static int
put_parts(struct buf *head, const struct coll *c, const struct point *p,
	  struct slice parts[3], struct err *err)
{
	if (op_put_head(head, c->id, p) < 0)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	parts[0] = (struct slice){head->p, head->n};
	parts[1] = p->doc.text;
	parts[2] = (struct slice){p->vec, p->dim * sizeof(float)};
	return 0;
}

static int
move_check(const struct place_of *from, const struct place_of *to,
	   bool no_replace, struct arena *a, struct point *ret, struct err *err)
{
	struct point p;
	struct point_stat st;
	bool had;
	int rc = read_point(from, a, &p, err);

	if (rc == 0)
		rc = coll_fits(to->c, &p, err);
	if (rc == 0)
		rc = look(to->c, to->id, &had, &st, err);
	if (rc == 0 && had && no_replace)
		rc = err_set(err, ERR_EXISTS, "point exists already");
	if (rc == 0)
		rc = json_point_rename(&p, to->id, a, ret, err);
	if (rc < 0)
		return rc;
	ret->mtime_ns = p.mtime_ns;
	ret->uid = p.uid;
	ret->no = from->c == to->c ? p.no : coll_take_no(to->c);
	return 0;
}

static int
move_locked(const struct place_of *from, const struct place_of *to,
	    bool no_replace, struct arena *a, struct err *err)
{
	CLEAN(buf_done) struct buf del = {0};
	CLEAN(buf_done) struct buf head = {0};
	struct item items[2] = {{.c = from->c}, {.c = to->c}};
	struct txn t = {.db = from->c->db, .items = items, .n = 2};
	struct slice parts[4];
	struct point p;
	int rc = coll_writable(from->c, err);

	if (rc == 0)
		rc = coll_writable(to->c, err);
	if (rc == 0)
		rc = move_check(from, to, no_replace, a, &p, err);
	if (rc == 0)
		rc = op_encode_delete(&del, from->c->id, from->id);
	if (rc == 0)
		rc = put_parts(&head, to->c, &p, parts + 1, err);
	if (rc == 0)
		rc = tombstone(from->id, &items[0].e, err);
	if (rc == 0)
		rc = mem_entry_new(&p, false, &items[1].e, err);
	if (rc < 0) {
		mem_entry_free(items[0].e);
		return rc;
	}
	parts[0] = (struct slice){del.p, del.n};
	return txn_commit(&t, parts, 4, NULL, NULL, err);
}

static void
two_stripes_lock(const struct place_of *x, const struct place_of *y,
		 struct mutex *m[2], uint32_t *ret_n)
{
	m[0] = stripe_of(x->c, x->id);
	m[1] = stripe_of(y->c, y->id);
	stripes_lock(m, 2, ret_n);
}

/* A moved point may be the first of its new collection. */
static int
fix_size(struct coll *c, const struct place_of *from, struct err *err)
{
	struct arena a = {0};
	struct point p;
	int rc = read_point(from, &a, &p, err);

	if (rc == 0 && p.dim != 0)
		rc = imply_size(c, p.dim, err);
	arena_done(&a);
	return rc;
}

int
coll_move(struct coll *from, const struct id_key *id, struct coll *to,
	  const struct id_key *to_id, bool no_replace, struct err *err)
{
	struct place_of x = {from, id}, y = {to, to_id};
	struct arena a = {0};
	struct mutex *m[2];
	uint32_t n;
	bool open = from != to && size_is_open(to);
	int rc = db_writable(from->db, err);

	if (rc < 0)
		return rc;
	if (from == to && id_cmp(id->b, id->n, to_id->b, to_id->n) == 0)
		return 0;
	if (open) {
		mutex_lock(&to->config_lock);
		rc = fix_size(to, &x, err);
	}
	if (rc == 0) {
		two_stripes_lock(&x, &y, m, &n);
		rc = move_locked(&x, &y, no_replace, &a, err);
		stripes_unlock(m, n);
	}
	if (open)
		mutex_unlock(&to->config_lock);
	arena_done(&a);
	if (rc == 0)
		coll_after_write(to);
	return rc;
}

static int
exchange_locked(const struct place_of *x, const struct place_of *y,
		struct arena *a, struct err *err)
{
	CLEAN(buf_done) struct buf h1 = {0};
	CLEAN(buf_done) struct buf h2 = {0};
	struct item items[2] = {{.c = x->c}, {.c = y->c}};
	struct txn t = {.db = x->c->db, .items = items, .n = 2};
	struct slice parts[6];
	struct point to_x, to_y;
	int rc = coll_writable(x->c, err);

	if (rc == 0)
		rc = coll_writable(y->c, err);
	if (rc == 0)
		rc = move_check(y, x, false, a, &to_x, err);
	if (rc == 0)
		rc = move_check(x, y, false, a, &to_y, err);
	if (rc == 0)
		rc = put_parts(&h1, x->c, &to_x, parts, err);
	if (rc == 0)
		rc = put_parts(&h2, y->c, &to_y, parts + 3, err);
	if (rc == 0)
		rc = mem_entry_new(&to_x, false, &items[0].e, err);
	if (rc == 0)
		rc = mem_entry_new(&to_y, false, &items[1].e, err);
	if (rc < 0) {
		mem_entry_free(items[0].e);
		return rc;
	}
	return txn_commit(&t, parts, 6, NULL, NULL, err);
}

int
coll_exchange(struct coll *a, const struct id_key *ida, struct coll *b,
	      const struct id_key *idb, struct err *err)
{
	struct place_of x = {a, ida}, y = {b, idb};
	struct arena mem = {0};
	struct mutex *m[2];
	uint32_t n;
	int rc = db_writable(a->db, err);

	if (rc < 0)
		return rc;
	two_stripes_lock(&x, &y, m, &n);
	rc = exchange_locked(&x, &y, &mem, err);
	stripes_unlock(m, n);
	arena_done(&mem);
	if (rc == 0)
		coll_after_write(a);
	return rc;
}

/* --- attributes: the point again, with one of them changed ----------- */

static int
set_attr(struct coll *c, const struct id_key *id, const int64_t *mtime_ns,
	 const uint32_t *uid, struct err *err)
{
	struct place_of at = {c, id};
	struct put_opts o = {.mode = PUT_UPDATE};
	struct mutex *m = stripe_of(c, id);
	struct arena a = {0};
	struct point p;
	int rc = db_writable(c->db, err);

	if (rc < 0)
		return rc;
	mutex_lock(m);
	rc = read_point(&at, &a, &p, err);
	if (rc == 0) {
		if (mtime_ns != NULL)
			p.mtime_ns = *mtime_ns;
		if (uid != NULL)
			p.uid = *uid;
		rc = put_locked(c, &p, &o, err);
	}
	mutex_unlock(m);
	arena_done(&a);
	if (rc == 0)
		coll_after_write(c);
	return rc;
}

int
coll_set_times(struct coll *c, const struct id_key *id, int64_t mtime_ns,
	       struct err *err)
{
	return set_attr(c, id, &mtime_ns, NULL, err);
}

int
coll_set_uid(struct coll *c, const struct id_key *id, uint32_t uid,
	     struct err *err)
{
	return set_attr(c, id, NULL, &uid, err);
}
