/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/collection_impl.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/json/json_config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- generations of memtables ---------------------------------------- */

int
gen_new(struct coll *c, struct gen **ret, struct err *err)
{
	struct gen *g =
		calloc(1, sizeof *g + c->n_shards * sizeof(struct mem *));

	if (g == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for memtables");
	for (uint32_t s = 0; s < c->n_shards; s++) {
		int rc = mem_new(&g->mems[s], err);

		if (rc < 0) {
			while (s-- > 0)
				mem_unref(g->mems[s]);
			free(g);
			return rc;
		}
	}
	*ret = g;
	return 0;
}

void
gen_free(struct coll *c, struct gen *g)
{
	for (uint32_t s = 0; g != NULL && s < c->n_shards; s++)
		mem_unref(g->mems[s]);
	free(g);
}

/* --- life ------------------------------------------------------------ */

/* Made once; its name in the parent must last before anything in it counts. */
static int
dir_of(struct coll *c, struct err *err)
{
	char name[16];
	int rc;

	snprintf(name, sizeof name, "%08x", c->id);
	rc = dir_open_at(c->db->colls_fd, name, false, &c->dirfd, NULL);
	if (rc == 0 || c->db->read_only)
		return 0;
	rc = dir_open_at(c->db->colls_fd, name, true, &c->dirfd, err);
	return rc < 0 ? rc : file_sync_full(c->db->colls_fd, err);
}

static int
shards_new(struct coll *c, uint32_t n, struct err *err)
{
	struct gen *g;
	int rc;

	c->n_shards = n;
	rc = gen_new(c, &g, err);
	if (rc < 0)
		return rc;
	c->gen = g;
	c->shards = calloc(c->n_shards, sizeof *c->shards);
	if (c->shards == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for shards");
	for (uint32_t s = 0; s < c->n_shards; s++) {
		rc = shard_init(&c->shards[s], c, s, g->mems[s], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Takes half-made shards too. */
static void
shards_free(struct coll *c)
{
	for (uint32_t s = 0; c->shards != NULL && s < c->n_shards; s++)
		shard_done(&c->shards[s]);
	free(c->shards);
	c->shards = NULL;
	gen_free(c, c->gen);
	c->gen = NULL;
}

static void
coll_init(struct coll *c, struct db *db, uint32_t id, lsn_t created)
{
	c->db = db;
	c->id = id;
	c->refs = 1;
	c->dirfd = -1;
	c->next_no = 1;
	c->flushed = created;
	mutex_init(&c->config_lock, LOCK_CONFIG);
	rwlock_init(&c->config_read, LOCK_LEAF);
	mutex_init(&c->sealing, LOCK_SEALING);
	mutex_init(&c->manifest, LOCK_MANIFEST);
	mutex_init(&c->frozen_lock, LOCK_LEAF);
	cond_init(&c->frozen_fell);
	mutex_init(&c->job_lock, LOCK_LEAF);
	cond_init(&c->job_idle);
	for (unsigned i = 0; i < STRIPES_NR; i++)
		mutex_init(&c->stripes[i], LOCK_STRIPE);
	c->flush_job = (struct job){.prio = JOB_FLUSH,
				    .run = coll_flush_run,
				    .done = coll_job_done};
	c->tend_job = (struct job){.prio = JOB_COMPACT,
				   .run = coll_tend_run,
				   .done = coll_job_done};
	config_defaults(&c->config);
}

static void
coll_free(struct coll *c)
{
	while (c->frozen != NULL) {
		struct gen *g = c->frozen;

		c->frozen = g->next;
		gen_free(c, g);
	}
	shards_free(c);
	if (c->dirfd >= 0)
		close(c->dirfd);
	if (c->dropped && !c->db->read_only) {
		char name[16];

		snprintf(name, sizeof name, "%08x", c->id);
		/* what is left is swept at the next start */
		(void)file_remove_tree(c->db->colls_fd, name, NULL);
	}
	free(c->config_text);
	arena_done(&c->config_arena);
	mutex_done(&c->config_lock);
	rwlock_done(&c->config_read);
	mutex_done(&c->sealing);
	mutex_done(&c->manifest);
	mutex_done(&c->frozen_lock);
	cond_done(&c->frozen_fell);
	mutex_done(&c->job_lock);
	cond_done(&c->job_idle);
	for (unsigned i = 0; i < STRIPES_NR; i++)
		mutex_done(&c->stripes[i]);
	free(c);
}

int
coll_new(struct db *db, uint32_t id, const char *config_text, bool implied,
	 lsn_t created, struct coll **ret, struct err *err)
{
	struct coll *c = calloc(1, sizeof *c);
	int rc;

	if (c == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	coll_init(c, db, id, created);
	rc = coll_config_apply(c, config_text, strlen(config_text), implied,
			       err);
	if (rc == 0)
		rc = shards_new(c, c->config.shard_number, err);
	if (rc == 0)
		rc = dir_of(c, err);
	if (rc < 0) {
		coll_free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

struct coll *
coll_ref(struct coll *c)
{
	c->refs++;
	return c;
}

void
coll_close(struct coll *c)
{
	if (c != NULL && --c->refs == 0)
		coll_free(c);
}

uint32_t
coll_id(const struct coll *c)
{
	return c->id;
}

struct shard *
coll_shard(struct coll *c, const struct id_key *id)
{
	if (c->n_shards == 1)
		return &c->shards[0];
	return &c->shards[hash64(id->b, id->n) % c->n_shards];
}

uint64_t
coll_live(struct coll *c)
{
	uint64_t n = 0;

	for (uint32_t s = 0; s < c->n_shards; s++)
		n += c->shards[s].live;
	return n;
}

uint64_t
coll_take_no(struct coll *c)
{
	return c->next_no++;
}

void
coll_see_no(struct coll *c, uint64_t no)
{
	uint64_t now = c->next_no;

	while (no >= now && !__atomic_compare_exchange_n(
				    (uint64_t *)&c->next_no, &now, no + 1,
				    false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

void
coll_note_error(struct coll *c, const char *text)
{
	mutex_lock(&c->job_lock);
	snprintf(c->error, sizeof c->error, "%s", text);
	mutex_unlock(&c->job_lock);
}

int
coll_readable(struct coll *c, struct err *err)
{
	return c->unreadable ? err_set(err, ERR_DAMAGED, "%s", c->error) : 0;
}

/* --- loading --------------------------------------------------------- */

static uint64_t *
bits_of(const struct seg *s)
{
	size_t words = (s->desc.n_rows + 63) / 64;
	uint64_t *bits = calloc(words + 1, sizeof *bits);

	for (size_t i = 0; bits != NULL && i < words; i++)
		bits[i] = s->dead[i];
	return bits;
}

static void
note_segment(struct shard *s, const struct seg_state *st, const struct err *why)
{
	char text[400];

	snprintf(text, sizeof text, "shard %u, segment %llu: %.300s", s->nr,
		 (unsigned long long)st->desc.id, err_text(why));
	coll_note_error(s->coll, text);
}

/* A bad graph costs speed until it is built again; the points are there. */
static int
seg_open_without_graph(struct shard *s, struct seg_state *st, struct err *err)
{
	struct pages_list graph = st->desc.graph;
	int rc;

	st->desc.graph = (struct pages_list){0};
	rc = seg_open(s->coll->dirfd, &st->desc, 0, &st->seg, err);
	if (rc < 0)
		st->desc.graph = graph;
	else
		pages_list_done(&graph);
	return rc;
}

static int
seg_load(struct shard *s, struct seg_state *st, struct err *err)
{
	struct err why = {0};
	int rc = seg_open(s->coll->dirfd, &st->desc, 0, &st->seg, &why);

	if (rc == -ERR_DAMAGED && st->desc.graph.n != 0) {
		note_segment(s, st, &why);
		rc = seg_open_without_graph(s, st, &why);
	}
	if (rc == -ERR_NO_MEMORY || rc == -ERR_NO_FILES)
		return err_set(err, -rc, "%s", err_text(&why));
	if (rc < 0) {
		st->seg = NULL;
		s->lost = true;
		note_segment(s, st, &why);
		return 0;
	}
	if (st->desc.n_deleted != 0) {
		st->saved = bits_of(st->seg);
		if (st->saved == NULL)
			return err_set(err, ERR_NO_MEMORY, "no memory");
	}
	s->live += st->desc.n_rows - st->seg->n_dead;
	return 0;
}

static int
shard_load(struct shard *s, const struct manifest_shard *ms, struct err *err)
{
	struct view *v;
	int rc;

	s->next_seg = ms->next_seg;
	s->segs = calloc(ms->n_segs + 1, sizeof *s->segs);
	if (s->segs == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	for (uint32_t i = 0; i < ms->n_segs; i++) {
		rc = seg_desc_copy(&ms->segs[i], &s->segs[i].desc, err);
		if (rc < 0)
			return rc;
		s->n_segs++;
		rc = seg_load(s, &s->segs[i], err);
		if (rc < 0)
			return rc;
	}
	rc = view_make(s, NULL, NULL, &v, err);
	if (rc < 0)
		return rc;
	rwlock_write(&s->lock);
	shard_swap(s, v);
	rwlock_unlock(&s->lock);
	return 0;
}

int
coll_load(struct coll *c, struct err *err)
{
	struct manifest m = {0};
	int rc = c->dirfd < 0 ? -ERR_NOT_FOUND
			      : manifest_load(c->dirfd, &m, err);

	if (rc == -ERR_NOT_FOUND)
		return 0; /* never flushed: all of it is in the log */
	if (rc < 0)
		return rc;
	if (m.coll != c->id)
		rc = err_set(err, ERR_DAMAGED,
			     "manifest is of another collection");
	/* The configuration may be older than the manifest: replay brings it.
	 */
	if (rc == 0)
		c->distance = m.distance;
	if (rc == 0 && m.n_shards != c->n_shards) {
		shards_free(c);
		rc = shards_new(c, m.n_shards, err);
	}
	for (uint32_t s = 0; rc == 0 && s < m.n_shards; s++)
		rc = shard_load(&c->shards[s], &m.shards[s], err);
	if (rc == 0) {
		c->flushed = MAX(c->flushed, m.lsn);
		c->saved = m.lsn;
		c->next_no = MAX(c->next_no, m.next_no);
	}
	manifest_done(&m);
	return rc;
}

/* --- configuration --------------------------------------------------- */

int
coll_config_apply(struct coll *c, const char *text, size_t n, bool implied,
		  struct err *err)
{
	struct coll_config base, next;
	struct arena a = {0};
	char *copy = strndup(text, n);
	int rc;

	config_defaults(&base);
	rc = copy == NULL ? err_set(err, ERR_NO_MEMORY, "no memory")
			  : json_config_merge(&base, text, n, &a, &next, err);
	if (rc < 0) {
		free(copy);
		arena_done(&a);
		return rc;
	}
	next.implied = implied;
	rwlock_write(&c->config_read);
	arena_done(&c->config_arena);
	free(c->config_text);
	c->config_arena = a;
	c->config = next;
	c->config_text = copy;
	c->distance = next.distance;
	c->implied = next.implied;
	c->size = next.size;
	rwlock_unlock(&c->config_read);
	return 0;
}

int
coll_config(struct coll *c, struct arena *a, struct coll_config *ret,
	    struct err *err)
{
	const char *extra = NULL;

	rwlock_read(&c->config_read);
	*ret = c->config;
	if (ret->extra.n != 0)
		extra = arena_dup(a, ret->extra.p, ret->extra.n);
	rwlock_unlock(&c->config_read);
	if (ret->extra.n != 0 && extra == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	ret->extra.p = extra;
	return 0;
}

/* What may not change while there are points. */
static int
config_compare(struct coll *c, const struct coll_config *next, struct err *err)
{
	const struct coll_config *old = &c->config;

	if (coll_live(c) == 0)
		return 0;
	if (next->size != old->size)
		return err_set(err, ERR_CONFIG,
			       "vectors.size is %u and the collection has "
			       "points",
			       old->size);
	return 0;
}

static int
config_log(struct coll *c, const struct coll_config *next, struct err *err)
{
	CLEAN(buf_done) struct buf text = {0};
	CLEAN(buf_done) struct buf rec = {0};
	struct slice part;
	int rc = json_config_print(next, &text);

	if (rc == 0)
		rc = op_encode_coll(&rec, OP_COLL_CONFIG, c->id,
				    (struct slice){text.p, text.n},
				    next->implied);
	if (rc < 0)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	part = (struct slice){rec.p, rec.n};
	rc = db_log(c->db, &part, 1, NULL, NULL, err);
	if (rc < 0)
		return rc;
	return coll_config_apply(c, (const char *)text.p, text.n, next->implied,
				 err);
}

void
coll_lock_all(struct coll *c)
{
	for (unsigned i = 0; i < STRIPES_NR; i++)
		mutex_lock(&c->stripes[i]);
}

void
coll_unlock_all(struct coll *c)
{
	for (unsigned i = STRIPES_NR; i-- > 0;)
		mutex_unlock(&c->stripes[i]);
}

/* Other shards are possible only while nothing was ever in the collection: it
 * is then made again under the same number (rule 9). */
static int
reshard_check(struct coll *c, struct err *err)
{
	for (uint32_t s = 0; s < c->n_shards; s++)
		if (c->shards[s].n_segs != 0 ||
		    mem_count(c->shards[s].view->mems[0]) != 0 ||
		    c->shards[s].view->n_mems != 1)
			return err_set(err, ERR_CONFIG,
				       "shard_number can only be set while "
				       "the collection is new");
	return 0;
}

static int
reshard(struct coll *c, const struct coll_config *next, struct err *err)
{
	int rc;

	coll_lock_all(c);
	rc = reshard_check(c, err);
	if (rc == 0)
		rc = config_log(c, next, err);
	if (rc == 0)
		rc = db_coll_remake(c->db, c, err);
	coll_unlock_all(c);
	return rc;
}

int
coll_set_config(struct coll *c, const void *text, size_t n, struct err *err)
{
	struct coll_config next;
	struct arena a = {0};
	int rc = db_writable(c->db, err);

	if (rc < 0)
		return rc;
	mutex_lock(&c->config_lock);
	rc = json_config_merge(&c->config, text, n, &a, &next, err);
	if (rc == 0)
		rc = config_compare(c, &next, err);
	if (rc == 0) {
		next.implied = false;
		if (next.size != 0 && next.distance == 0)
			next.distance = DISTANCE_COSINE;
		rc = next.shard_number != c->n_shards
			     ? reshard(c, &next, err)
			     : config_log(c, &next, err);
	}
	mutex_unlock(&c->config_lock);
	arena_done(&a);
	if (rc == 0)
		coll_tend(c);
	return rc;
}

/* Called with config_lock held, by the put that fixes the size. */
int
coll_config_imply(struct coll *c, uint32_t size, struct err *err)
{
	struct coll_config next = c->config;

	next.size = size;
	next.implied = true;
	if (next.distance == 0)
		next.distance = DISTANCE_COSINE;
	return config_log(c, &next, err);
}

/* --- state ----------------------------------------------------------- */

static uint64_t
list_bytes(const struct pages_list *l)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < l->n; i++)
		n += l->files[i].len;
	return n;
}

static void
shard_status(struct shard *s, struct coll_status *ret)
{
	ret->segments += s->n_segs;
	for (uint32_t i = 0; i < s->n_segs; i++) {
		const struct seg_state *st = &s->segs[i];
		uint32_t dead = st->seg != NULL ? st->seg->n_dead : 0;

		ret->vectors += st->desc.n_vecs;
		ret->deleted_rows += dead;
		if (st->desc.graph.n != 0)
			ret->indexed_vectors += st->desc.n_vecs;
		ret->disk_bytes += list_bytes(&st->desc.data) +
				   list_bytes(&st->desc.graph) +
				   list_bytes(&st->desc.deleted);
	}
}

static void
memory_status(struct coll *c, struct coll_status *ret)
{
	for (uint32_t s = 0; s < c->n_shards; s++) {
		struct view *v = view_get(&c->shards[s]);

		for (uint32_t m = 0; m < v->n_mems; m++)
			for (uint32_t i = 0; i < mem_count(v->mems[m]); i++) {
				struct mem_entry *e = mem_entry(v->mems[m], i);

				if (!mem_entry_alive(e))
					continue;
				ret->memory_points++;
				ret->vectors += e->point.dim != 0;
			}
		view_put(v);
	}
}

void
coll_status(struct coll *c, struct coll_status *ret)
{
	*ret = (struct coll_status){.shards = c->n_shards};
	mutex_lock(&c->manifest);
	for (uint32_t s = 0; s < c->n_shards; s++)
		shard_status(&c->shards[s], ret);
	ret->flushed = c->flushed;
	mutex_unlock(&c->manifest);
	ret->vectors -= MIN(ret->deleted_rows, ret->vectors);
	ret->indexed_vectors = MIN(ret->indexed_vectors, ret->vectors);
	memory_status(c, ret);
	ret->points = coll_live(c);
	mutex_lock(&c->job_lock);
	ret->busy = c->flush_queued || c->tend_queued;
	snprintf(ret->error, sizeof ret->error, "%s", c->error);
	mutex_unlock(&c->job_lock);
}

int
coll_settle(struct coll *c, struct err *err)
{
	int rc = db_writable(c->db, err);

	if (rc == 0)
		rc = coll_flush_now(c, err);
	if (rc < 0)
		return rc;
	c->tend_failed = false;
	do {
		coll_tend(c);
		mutex_lock(&c->job_lock);
		while (c->flush_queued || c->tend_queued)
			cond_wait(&c->job_idle, &c->job_lock);
		mutex_unlock(&c->job_lock);
		if (c->tend_failed)
			return err_set(err, ERR_AGAIN, "%s", c->error);
	} while (coll_tend_due(c));
	return 0;
}
