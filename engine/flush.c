/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flush.c - memtables to segments.
 *
 * Freezing swaps empty memtables in at one position of the log and makes no
 * writer wait; sealing, on the flush thread, writes what was frozen, oldest
 * first: segment files, deletions of older segments, manifest, and only then
 * the views (rules 5 and 7).
 */
#include "engine/collection_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/counters.h"
#include "engine/base/err.h"
#include "engine/base/fault.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
seg_state_done(struct seg_state *st)
{
	seg_unref(st->seg);
	seg_desc_done(&st->desc);
	free(st->saved);
}

/* --- freezing -------------------------------------------------------- */

/* New views with the fresh memtables in front; all made before any is used. */
static int
fresh_views(struct coll *c, struct gen *g, struct view **v, struct err *err)
{
	for (uint32_t s = 0; s < c->n_shards; s++) {
		int rc = view_make(&c->shards[s], g->mems[s], NULL, &v[s], err);

		if (rc < 0) {
			while (s-- > 0)
				view_put(v[s]);
			return rc;
		}
	}
	return 0;
}

static void
gen_push(struct coll *c, struct gen *fresh, struct view **v)
{
	struct gen **last = &c->frozen;

	c->gen->upto = wal_last(c->db->wal);
	while (*last != NULL)
		last = &(*last)->next;
	*last = c->gen;
	c->n_frozen++;
	c->gen = fresh;
	for (uint32_t s = 0; s < c->n_shards; s++) {
		rwlock_write(&c->shards[s].lock);
		shard_swap(&c->shards[s], v[s]);
		rwlock_unlock(&c->shards[s].lock);
	}
}

void
coll_flush_queue(struct coll *c)
{
	bool submit;

	mutex_lock(&c->job_lock);
	submit = !c->flush_queued && c->db->sched != NULL;
	if (submit)
		c->flush_queued = true;
	mutex_unlock(&c->job_lock);
	if (submit) {
		coll_ref(c);
		sched_submit(c->db->sched, &c->flush_job);
	}
}

int
coll_freeze(struct coll *c, struct err *err)
{
	struct view **v = calloc(c->n_shards, sizeof(struct view *));
	struct gen *fresh = NULL;
	int rc = v == NULL ? err_set(err, ERR_NO_MEMORY, "no memory")
			   : gen_new(c, &fresh, err);

	if (rc < 0) {
		free(v);
		return rc;
	}
	/* The manifest lock keeps the list of segments still (rule 7). */
	mutex_lock(&c->manifest);
	mutex_lock(&c->db->order);
	if (c->gen->first == 0) {
		gen_free(c, fresh); /* nothing to freeze */
	} else {
		rc = fresh_views(c, fresh, v, err);
		if (rc == 0)
			gen_push(c, fresh, v);
		else
			gen_free(c, fresh);
	}
	mutex_unlock(&c->db->order);
	mutex_unlock(&c->manifest);
	if (rc == 0)
		c->backlog = 0;
	free(v);
	return rc;
}

/* --- sealing --------------------------------------------------------- */

struct old_seg { /* deletions that take the place of those saved */
	bool changed;
	struct pages_list list;
	uint32_t n;
	uint64_t *bits;
};

struct sealing { /* one shard's part of a generation on its way to disk */
	struct shard *s;
	struct mem *m;
	struct mem_entry **rows; /* by rising number */
	uint32_t n_rows;
	struct seg_state st; /* the new segment; rows == 0: none */
	struct view *view;
	struct old_seg *old; /* one per segment that is there already */
	uint32_t n_old;
};

static int
row_cmp(const void *a, const void *b)
{
	const struct mem_entry *const *x = a, *const *y = b;

	return ((*x)->point.no > (*y)->point.no) -
	       ((*x)->point.no < (*y)->point.no);
}

/* What was alive at the generation's position: not hidden by itself. */
static int
rows_collect(struct sealing *z, struct err *err)
{
	uint32_t n = mem_count(z->m);

	z->rows = malloc((n + 1) * sizeof(struct mem_entry *));
	if (z->rows == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory to flush");
	rwlock_read(&z->s->lock);
	for (uint32_t i = 0; i < n; i++) {
		struct mem_entry *e = mem_entry(z->m, i);

		if (!e->deleted && e->killer != z->m)
			z->rows[z->n_rows++] = e;
	}
	rwlock_unlock(&z->s->lock);
	qsort(z->rows, z->n_rows, sizeof *z->rows, row_cmp);
	return 0;
}

static int
rows_write(struct sealing *z, struct err *err)
{
	struct coll *c = z->s->coll;
	struct seg_builder *b;
	int rc;

	if (z->n_rows == 0)
		return 0;
	rc = seg_create(c->dirfd, c->distance ? c->distance : DISTANCE_COSINE,
			c->size, &b, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; rc == 0 && i < z->n_rows; i++)
		rc = seg_add(b, &z->rows[i]->point, err);
	if (rc == 0)
		rc = seg_finish(b, &z->st.desc, err);
	seg_abort(b);
	if (rc == 0 && fault_hit(FAULT_flush_after_files))
		rc = err_set(err, ERR_IO, "fault after flushing files");
	return rc;
}

/* The rows of one old segment that this generation hid, on top of those that
 * were saved before. */
static int
old_deletions(struct sealing *z, uint32_t i, struct err *err)
{
	struct seg_state *st = &z->s->segs[i];
	size_t words = (st->desc.n_rows + 63) / 64 + 1;
	struct mem_kill *kills;
	uint32_t n_kills, hits = 0;
	uint64_t *bits;

	kills = mem_kills(z->m, &n_kills);
	for (uint32_t k = 0; k < n_kills; k++)
		hits += kills[k].seg == st->desc.id;
	if (hits == 0)
		return 0;
	bits = calloc(words, sizeof *bits);
	if (bits == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory to flush");
	if (st->saved != NULL)
		memcpy(bits, st->saved, words * sizeof *bits);
	for (uint32_t k = 0; k < n_kills; k++)
		if (kills[k].seg == st->desc.id)
			bits[kills[k].row / 64] |= 1ull << (kills[k].row % 64);
	z->old[i].bits = bits;
	z->old[i].changed = true;
	return seg_write_deleted(z->s->coll->dirfd, bits, st->desc.n_rows,
				 &z->old[i].list, &z->old[i].n, err);
}

static int
deletions_write(struct sealing *z, struct err *err)
{
	int rc = 0;

	z->old = calloc(z->s->n_segs + 1, sizeof *z->old);
	if (z->old == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory to flush");
	z->n_old = z->s->n_segs;
	for (uint32_t i = 0; rc == 0 && i < z->n_old; i++)
		rc = old_deletions(z, i, err);
	return rc;
}

/* Deletions of the old segments: as they will be, and, called again when the
 * manifest was not written, as they were. */
static void
deletions_swap(struct sealing *z)
{
	for (uint32_t i = 0; i < z->n_old; i++) {
		struct seg_state *st = &z->s->segs[i];
		struct old_seg was = {true, st->desc.deleted,
				      st->desc.n_deleted, st->saved};

		if (!z->old[i].changed)
			continue;
		st->desc.deleted = z->old[i].list;
		st->desc.n_deleted = z->old[i].n;
		st->saved = z->old[i].bits;
		z->old[i] = was;
	}
}

static int
sealing_open(struct sealing *z, struct err *err)
{
	struct shard *s = z->s;
	struct seg_state *more;
	int rc;

	if (z->n_rows == 0)
		return 0;
	z->st.desc.id = s->next_seg;
	rc = seg_open(s->coll->dirfd, &z->st.desc, 0, &z->st.seg, err);
	if (rc < 0)
		return rc;
	more = realloc(s->segs, (s->n_segs + 1) * sizeof *more);
	if (more == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory to flush");
	s->segs = more;
	return 0;
}

/* Under the shard's lock: rows that newer tables hid meanwhile are dead in the
 * new segment too, and belong to those tables' kills.  The manifest names the
 * segment by now, so there is no way back: without these few bytes of memory
 * the process stops, and the log is replayed. */
static void
rows_hidden_since(struct sealing *z)
{
	for (uint32_t i = 0; i < z->n_rows; i++) {
		struct mem_entry *e = z->rows[i];

		if (e->killer == NULL)
			continue;
		check(mem_kill_late(e->killer, z->st.desc.id, i, NULL) == 0);
		seg_kill(z->st.seg, i);
	}
}

static void
sealing_install(struct sealing *z)
{
	rwlock_write(&z->s->lock);
	rows_hidden_since(z);
	shard_swap(z->s, z->view);
	z->view = NULL;
	rwlock_unlock(&z->s->lock);
}

static void
sealing_done(struct sealing *z)
{
	free(z->rows);
	seg_state_done(&z->st);
	view_put(z->view);
	for (uint32_t i = 0; i < z->n_old; i++) {
		pages_list_done(&z->old[i].list);
		free(z->old[i].bits);
	}
	free(z->old);
}

int
coll_manifest_write(struct coll *c, lsn_t lsn, struct err *err)
{
	struct manifest m = {.coll = c->id,
			     .lsn = lsn,
			     .time_us = clock_wall_ns() / 1000,
			     .next_no = c->next_no,
			     .distance = c->distance,
			     .n_shards = c->n_shards};
	int rc = 0;

	m.shards = calloc(c->n_shards, sizeof *m.shards);
	for (uint32_t s = 0; m.shards != NULL && s < c->n_shards; s++) {
		struct shard *sh = &c->shards[s];
		struct manifest_shard *ms = &m.shards[s];

		ms->next_seg = sh->next_seg;
		ms->segs = calloc(sh->n_segs + 1, sizeof *ms->segs);
		if (ms->segs == NULL)
			rc = err_set(err, ERR_NO_MEMORY, "no memory");
		/* borrowed: the lists inside stay the shard's */
		for (uint32_t i = 0; rc == 0 && i < sh->n_segs; i++)
			ms->segs[ms->n_segs++] = sh->segs[i].desc;
	}
	if (m.shards == NULL)
		rc = err_set(err, ERR_NO_MEMORY, "no memory");
	if (rc == 0)
		rc = manifest_save(c->dirfd, &m, err);
	for (uint32_t s = 0; m.shards != NULL && s < c->n_shards; s++)
		free(m.shards[s].segs);
	free(m.shards);
	return rc;
}

static void
publish_undo(struct coll *c, struct sealing *z)
{
	for (uint32_t s = 0; s < c->n_shards; s++) {
		deletions_swap(&z[s]);
		if (z[s].n_rows == 0)
			continue;
		c->shards[s].n_segs--;
		c->shards[s].next_seg--;
	}
}

/* Everything the manifest will name is on disk; manifest lock held. */
static int
sealings_publish(struct coll *c, struct sealing *z, lsn_t upto, struct err *err)
{
	int rc = 0;

	for (uint32_t s = 0; s < c->n_shards; s++) {
		deletions_swap(&z[s]);
		if (z[s].n_rows == 0)
			continue;
		c->shards[s].segs[c->shards[s].n_segs++] = z[s].st;
		c->shards[s].next_seg++;
	}
	for (uint32_t s = 0; rc == 0 && s < c->n_shards; s++)
		rc = view_make(&c->shards[s], NULL, z[s].m, &z[s].view, err);
	if (rc == 0 && fault_hit(FAULT_flush_before_manifest))
		rc = err_set(err, ERR_IO, "fault before the manifest");
	if (rc == 0)
		rc = coll_manifest_write(c, upto, err);
	if (rc < 0) {
		publish_undo(c, z);
		return rc;
	}
	(void)fault_hit(FAULT_flush_after_manifest);
	c->flushed = upto;
	c->saved = upto;
	for (uint32_t s = 0; s < c->n_shards; s++) {
		sealing_install(&z[s]);
		z[s].st = (struct seg_state){0}; /* the shard's now */
		for (uint32_t i = 0; i < z[s].n_old; i++)
			if (z[s].old[i].changed)
				coll_list_unlink(c, &z[s].old[i].list);
	}
	return 0;
}

static int
seal(struct coll *c, struct gen *g, struct err *err)
{
	struct sealing *z = calloc(c->n_shards, sizeof *z);
	int rc = 0;

	if (z == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory to flush");
	for (uint32_t s = 0; rc == 0 && s < c->n_shards; s++) {
		z[s].s = &c->shards[s];
		z[s].m = g->mems[s];
		rc = rows_collect(&z[s], err);
		if (rc == 0)
			rc = rows_write(&z[s], err);
	}
	/* The manifest may name no position that a power cut could take back.
	 */
	if (rc == 0)
		rc = wal_sync(c->db->wal, g->upto, err);
	mutex_lock(&c->manifest);
	for (uint32_t s = 0; rc == 0 && s < c->n_shards; s++) {
		rc = deletions_write(&z[s], err);
		if (rc == 0)
			rc = sealing_open(&z[s], err);
	}
	if (rc == 0)
		rc = sealings_publish(c, z, g->upto, err);
	mutex_unlock(&c->manifest);
	for (uint32_t s = 0; s < c->n_shards; s++)
		sealing_done(&z[s]);
	free(z);
	if (rc == 0)
		count(COUNTER_flushes, 1);
	return rc;
}

static struct gen *
oldest_frozen(struct coll *c)
{
	struct gen *g;

	mutex_lock(&c->db->order);
	g = c->frozen;
	mutex_unlock(&c->db->order);
	return g;
}

static void
gen_pop(struct coll *c, struct gen *g)
{
	mutex_lock(&c->db->order);
	c->frozen = g->next;
	c->n_frozen--;
	mutex_unlock(&c->db->order);
	mutex_lock(&c->frozen_lock);
	cond_broadcast(&c->frozen_fell);
	mutex_unlock(&c->frozen_lock);
	gen_free(c, g);
}

/* Writers that had a position when the generation was frozen finish within one
 * commit of the log. */
static void
gen_wait_writers(struct gen *g)
{
	while (g->writers != 0)
		sched_yield();
}

/* One thread at a time: generations are sealed in their order. */
static int
flush_frozen(struct coll *c, struct err *err)
{
	struct gen *g;
	int rc = 0;

	while (rc == 0 && (g = oldest_frozen(c)) != NULL && !c->dropped) {
		gen_wait_writers(g);
		rc = seal(c, g, err);
		if (rc == 0)
			gen_pop(c, g);
	}
	return rc;
}

int
coll_flush_now(struct coll *c, struct err *err)
{
	int rc;

	mutex_lock(&c->sealing);
	rc = coll_freeze(c, err);
	if (rc == 0)
		rc = flush_frozen(c, err);
	mutex_unlock(&c->sealing);
	return rc;
}

void
coll_flush_run(struct job *j)
{
	struct coll *c = CONTAINER_OF(j, struct coll, flush_job);
	struct err err = {0};
	int rc = 0;

	mutex_lock(&c->sealing);
	if (c->backlog != 0)
		rc = coll_freeze(c, &err);
	if (rc == 0)
		rc = flush_frozen(c, &err);
	mutex_unlock(&c->sealing);
	if (rc == 0)
		rc = db_checkpoint(c->db, &err);
	/* Tried again at the next freeze; the log still has it all. */
	if (rc < 0)
		coll_note_error(c, err_text(&err));
	c->tend_failed = false;
}

void
coll_job_done(struct job *j)
{
	struct coll *c;
	bool flush = j->prio == JOB_FLUSH;

	c = flush ? CONTAINER_OF(j, struct coll, flush_job)
		  : CONTAINER_OF(j, struct coll, tend_job);
	mutex_lock(&c->job_lock);
	if (flush)
		c->flush_queued = false;
	else
		c->tend_queued = false;
	cond_broadcast(&c->job_idle);
	mutex_unlock(&c->job_lock);
	if (!sched_stopping(c->db->sched)) {
		if (c->n_frozen != 0 && !flush)
			coll_flush_queue(c);
		if (flush || !c->tend_failed)
			coll_tend(c);
	}
	coll_close(c);
}
