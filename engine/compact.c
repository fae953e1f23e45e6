/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compact.c - segments to fewer segments, and graphs.
 *
 * A merge reads what its segments held as of the manifest (their saved
 * deletions), never what memtables hid since: those hide it again, in the new
 * segment, when it is put in place (rule 8).  Numbers of points keep rows in
 * order, so merging is one pass.
 */
#include "engine/collection_impl.h"

#include "engine/base/check.h"
#include "engine/base/counters.h"
#include "engine/base/err.h"
#include "engine/base/fault.h"
#include "engine/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MERGE_MIN    4u /* segments of about one size make a merge */
#define MERGE_MAX    8u /* at most so many at once */
#define TIER_FACTOR  4u /* "about one size" */
#define SEGS_AT_REST 8u /* more than this: the smallest are merged anyway */
#define REWRITE_ROWS                                                           \
	1000u /* smaller segments are not rewritten for deletions */

/* Jobs run while a configuration is set. */
static struct coll_config
config_now(struct coll *c)
{
	struct coll_config conf;

	rwlock_read(&c->config_read);
	conf = c->config;
	rwlock_unlock(&c->config_read);
	conf.extra = (struct slice){0}; /* not held */
	return conf;
}

/* --- what to do ------------------------------------------------------ */

struct pick { /* segments of one shard, by their numbers */
	struct shard *s;
	uint32_t n;
	uint64_t ids[MERGE_MAX];
};

static uint32_t
state_live(const struct seg_state *st)
{
	return st->desc.n_rows - MIN(st->desc.n_deleted, st->desc.n_rows);
}

static int
state_cmp(const void *a, const void *b)
{
	const struct seg_state *const *x = a, *const *y = b;
	uint32_t p = state_live(*x), q = state_live(*y);

	return (p > q) - (p < q);
}

/* Sorted states: the first run of about one size, or the smallest when there
 * are too many. */
static uint32_t
pick_run(struct seg_state **st, uint32_t n, uint32_t *ret_from)
{
	for (uint32_t i = 0; i + MERGE_MIN <= n; i++) {
		uint64_t most = (uint64_t)(state_live(st[i]) + 1) * TIER_FACTOR;
		uint32_t k = i;

		while (k < n && k - i < MERGE_MAX && state_live(st[k]) <= most)
			k++;
		if (k - i >= MERGE_MIN) {
			*ret_from = i;
			return k - i;
		}
	}
	*ret_from = 0;
	return n > SEGS_AT_REST ? MERGE_MIN : 0;
}

/* Made for another configuration than the collection has now. */
static bool
is_outdated(struct coll *c, const struct seg_state *st)
{
	if (st->seg == NULL || st->desc.n_vecs == 0)
		return false;
	return st->seg->distance != (enum distance)c->distance ||
	       (st->seg->graph.bytes != NULL &&
		st->seg->graph.m != config_now(c).hnsw_m);
}

static bool
wants_rewrite(struct coll *c, const struct seg_state *st)
{
	if (is_outdated(c, st))
		return true;
	if (st->desc.n_deleted == st->desc.n_rows)
		return true;
	return st->desc.n_rows >= REWRITE_ROWS &&
	       (float)st->desc.n_deleted >
		       config_now(c).deleted_threshold * (float)st->desc.n_rows;
}

/* Manifest lock held. */
static bool
pick_in_shard(struct shard *s, struct pick *ret)
{
	struct seg_state **st = calloc(s->n_segs + 1, sizeof *st);
	uint32_t n = 0, from = 0;

	*ret = (struct pick){.s = s};
	for (uint32_t i = 0; st != NULL && !s->lost && i < s->n_segs; i++) {
		if (ret->n == 0 && wants_rewrite(s->coll, &s->segs[i]))
			ret->ids[ret->n++] = s->segs[i].desc.id;
		st[n++] = &s->segs[i];
	}
	if (ret->n == 0 && st != NULL) {
		qsort(st, n, sizeof *st, state_cmp);
		n = pick_run(st, n, &from);
		for (uint32_t i = 0; i < n; i++)
			ret->ids[ret->n++] = st[from + i]->desc.id;
	}
	free(st);
	return ret->n != 0;
}

static bool
wants_graph(struct coll *c, const struct seg_state *st)
{
	return st->seg != NULL && st->desc.graph.n == 0 &&
	       st->desc.dim == c->size &&
	       st->desc.vec_bytes >=
		       (uint64_t)config_now(c).indexing_threshold_kb * 1024 &&
	       st->desc.n_vecs > 1;
}

/* Manifest lock held: the largest segment that waits for its graph. */
static struct seg_state *
pick_graph(struct coll *c, struct shard **ret_shard)
{
	struct seg_state *best = NULL;

	for (uint32_t s = 0; s < c->n_shards; s++)
		for (uint32_t i = 0; i < c->shards[s].n_segs; i++) {
			struct seg_state *st = &c->shards[s].segs[i];

			if (wants_graph(c, st) &&
			    (best == NULL ||
			     st->desc.vec_bytes > best->desc.vec_bytes)) {
				best = st;
				*ret_shard = &c->shards[s];
			}
		}
	return best;
}

bool
coll_tend_due(struct coll *c)
{
	struct shard *s;
	struct pick p;
	bool due;

	mutex_lock(&c->manifest);
	due = pick_graph(c, &s) != NULL;
	for (uint32_t i = 0; i < c->n_shards && !due; i++)
		due = pick_in_shard(&c->shards[i], &p);
	mutex_unlock(&c->manifest);
	return due;
}

/* --- merging --------------------------------------------------------- */

struct input { /* one segment that is merged */
	struct seg *seg;
	uint64_t *saved; /* as of the beginning */
	uint32_t *to;    /* its rows in the new segment */
	uint32_t at;     /* next row */
	uint64_t no;     /* its number */
};

struct merge {
	struct coll *c;
	struct shard *s;
	struct pick pick;
	uint32_t n;
	struct input in[MERGE_MAX];
	uint32_t n_rows;
	struct seg_state st;
	uint64_t *dead; /* of the new segment, as of the manifest */
	struct view *view;
	bool in_doubt; /* the manifest on disk may name it */
};

static uint64_t *
bits_copy(const uint64_t *bits, uint32_t n_rows)
{
	size_t len = ((size_t)n_rows + 63) / 64 + 1;
	uint64_t *copy = calloc(len, sizeof *copy);

	if (copy != NULL && bits != NULL)
		memcpy(copy, bits, len * sizeof *copy);
	return copy;
}

static struct seg_state *
state_find(struct shard *s, uint64_t id)
{
	for (uint32_t i = 0; i < s->n_segs; i++)
		if (s->segs[i].desc.id == id)
			return &s->segs[i];
	return NULL;
}

/* Manifest lock held. */
static int
inputs_take(struct merge *m, struct err *err)
{
	for (uint32_t i = 0; i < m->pick.n; i++) {
		struct seg_state *st = state_find(m->s, m->pick.ids[i]);
		struct input *in = &m->in[m->n];

		if (st == NULL)
			continue;
		m->n++;
		in->seg = seg_ref(st->seg);
		in->saved = bits_copy(st->saved, st->desc.n_rows);
		in->to = malloc(((size_t)st->desc.n_rows + 1) * sizeof *in->to);
		if (in->saved == NULL || in->to == NULL)
			return err_set(err, ERR_NO_MEMORY,
				       "no memory to merge");
		memset(in->to, 0xff, st->desc.n_rows * sizeof *in->to);
	}
	return 0;
}

static bool
bit(const uint64_t *bits, uint32_t i)
{
	return bits != NULL && (bits[i / 64] >> (i % 64) & 1) != 0;
}

static int
input_next(struct input *in, struct err *err)
{
	struct point_stat st;
	int rc;

	while (in->at < in->seg->desc.n_rows && bit(in->saved, in->at))
		in->at++;
	if (in->at >= in->seg->desc.n_rows) {
		in->no = UINT64_MAX;
		return 0;
	}
	rc = seg_stat(in->seg, in->at, &st, err);
	if (rc == 0)
		in->no = st.no;
	return rc;
}

static struct input *
input_lowest(struct merge *m)
{
	struct input *low = &m->in[0];

	for (uint32_t i = 1; i < m->n; i++)
		if (m->in[i].no < low->no)
			low = &m->in[i];
	return low;
}

static bool
must_stop(const struct coll *c)
{
	return sched_stopping(c->db->sched) || c->dropped;
}

static int
rows_copy(struct merge *m, struct seg_builder *b, struct err *err)
{
	CLEAN(arena_done) struct arena a = {0};
	struct input *in;
	int rc = 0;

	for (uint32_t i = 0; i < m->n && rc == 0; i++)
		rc = input_next(&m->in[i], err);
	while (rc == 0 && (in = input_lowest(m))->no != UINT64_MAX) {
		struct point p;

		if (m->n_rows % 1024 == 0 && must_stop(m->c))
			return err_set(err, ERR_STOPPED, "stopping");
		arena_reset(&a);
		rc = seg_point(in->seg, in->at, true, &a, &p, err);
		if (rc == 0 && p.dim != 0 && p.dim != m->c->size)
			rc = err_set(err, ERR_DAMAGED,
				     "row %u has %u numbers, not %u", in->at,
				     p.dim, (uint32_t)m->c->size);
		if (rc == 0)
			rc = seg_add(b, &p, err);
		if (rc == 0)
			in->to[in->at++] = m->n_rows++;
		if (rc == 0)
			rc = input_next(in, err);
	}
	return rc;
}

static int
merge_write(struct merge *m, struct err *err)
{
	struct seg_builder *b;
	int rc = seg_create(m->c->dirfd,
			    m->c->distance ? m->c->distance : DISTANCE_COSINE,
			    m->c->size, &b, err);

	if (rc < 0)
		return rc;
	rc = rows_copy(m, b, err);
	if (rc == 0 && m->n_rows != 0)
		rc = seg_finish(b, &m->st.desc, err);
	seg_abort(b);
	if (rc == 0 && m->n_rows != 0)
		rc = seg_open(m->c->dirfd, &m->st.desc, 0, &m->st.seg, err);
	return rc;
}

/* --- graphs ---------------------------------------------------------- */

static bool
watch_stop(void *arg)
{
	return must_stop(arg);
}

static int
graph_write(struct coll *c, struct seg *s, struct pages_list *ret,
	    struct err *err)
{
	CLEAN(buf_done) struct buf g = {0};
	struct hnsw_watch w = {.stop = watch_stop, .arg = c};
	struct coll_config conf = config_now(c);
	struct hnsw_params p = {.m = conf.hnsw_m,
				.ef_construct = conf.hnsw_ef_construct,
				.seed = 42};
	int rc = hnsw_build(&s->vecs, s->distance, &p, c->db->set.workers, &w,
			    &g, err);

	if (rc == 0)
		rc = seg_write_graph(c->dirfd, (struct slice){g.p, g.n}, ret,
				     err);
	if (rc == 0)
		count(COUNTER_indexes_built, 1);
	return rc;
}

/* A merged segment that is due for a graph gets it before it takes the place
 * of segments that may have theirs. */
static int
merge_index(struct merge *m, struct err *err)
{
	struct seg *with;
	int rc;

	if (m->n_rows == 0 || !wants_graph(m->c, &m->st))
		return 0;
	rc = graph_write(m->c, m->st.seg, &m->st.desc.graph, err);
	if (rc < 0)
		return rc;
	m->st.desc.graph_kind = 1;
	rc = seg_with_graph(m->st.seg, m->c->dirfd, &m->st.desc.graph, &with,
			    err);
	if (rc < 0)
		return rc;
	seg_unref(m->st.seg);
	m->st.seg = with;
	return 0;
}

/* --- putting the merged segment in place ----------------------------- */

/* Rows that flushes saved as deleted since the merge began. */
static int
merge_deletions(struct merge *m, struct err *err)
{
	uint32_t hits = 0;

	m->dead = bits_copy(NULL, m->n_rows);
	if (m->dead == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory to merge");
	for (uint32_t i = 0; i < m->n; i++) {
		struct input *in = &m->in[i];
		const struct seg_state *st = state_find(m->s, in->seg->desc.id);

		for (uint32_t r = 0; r < in->seg->desc.n_rows; r++)
			if (in->to[r] != ROW_NONE && bit(st->saved, r)) {
				m->dead[in->to[r] / 64] |= 1ull
							   << (in->to[r] % 64);
				hits++;
			}
	}
	if (hits == 0)
		return 0;
	m->st.saved = bits_copy(m->dead, m->n_rows);
	if (m->st.saved == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory to merge");
	return seg_write_deleted(m->c->dirfd, m->dead, m->n_rows,
				 &m->st.desc.deleted, &m->st.desc.n_deleted,
				 err);
}

static bool
is_input(const struct merge *m, uint64_t id)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (m->in[i].seg->desc.id == id)
			return true;
	return false;
}

/* The shard's list with the new segment instead of the inputs. */
static struct seg_state *
states_after(const struct merge *m, uint32_t *ret_n)
{
	struct shard *s = m->s;
	struct seg_state *next = calloc(s->n_segs + 1, sizeof *next);

	*ret_n = 0;
	for (uint32_t i = 0; next != NULL && i < s->n_segs; i++)
		if (!is_input(m, s->segs[i].desc.id))
			next[(*ret_n)++] = s->segs[i];
	if (next != NULL && m->n_rows != 0)
		next[(*ret_n)++] = m->st;
	return next;
}

/* Under the shard's lock: what memtables hid in the inputs is hidden in the new
 * segment, and their kills name its rows. */
static void
merge_follow(struct merge *m)
{
	const struct view *v = m->s->view;

	for (uint32_t k = 0; k < m->n; k++) {
		struct input *in = &m->in[k];

		for (uint32_t r = 0; r < in->seg->desc.n_rows; r++)
			if (in->to[r] != ROW_NONE && seg_is_dead(in->seg, r))
				seg_kill(m->st.seg, in->to[r]);
		for (uint32_t i = 0; i < v->n_mems; i++) {
			uint32_t n;
			struct mem_kill *kill = mem_kills(v->mems[i], &n);

			for (uint32_t x = 0; x < n; x++)
				if (kill[x].seg == in->seg->desc.id)
					kill[x] = (struct mem_kill){
						m->st.desc.id,
						in->to[kill[x].row]};
		}
	}
}

static bool
names_file(const struct pages_list *l, const struct pages_file *f)
{
	for (uint32_t i = 0; i < l->n; i++)
		if (memcmp(l->files[i].sum, f->sum, SHA256_LEN) == 0)
			return true;
	return false;
}

static bool
coll_names_file(const struct coll *c, const struct pages_file *f)
{
	for (uint32_t s = 0; s < c->n_shards; s++)
		for (uint32_t i = 0; i < c->shards[s].n_segs; i++) {
			const struct seg_desc *d = &c->shards[s].segs[i].desc;

			if (names_file(&d->data, f) ||
			    names_file(&d->graph, f) ||
			    names_file(&d->deleted, f))
				return true;
		}
	return false;
}

/* Files that the manifest does not name any more; what cannot be removed now is
 * swept at the next start. */
void
coll_list_unlink(struct coll *c, const struct pages_list *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		char name[PAGES_NAME_LEN + 1];

		if (coll_names_file(c, &l->files[i]))
			continue;
		pages_name(&l->files[i], name);
		(void)file_unlink_at(c->dirfd, name, NULL);
	}
}

static void
desc_unlink(struct coll *c, const struct seg_desc *d)
{
	coll_list_unlink(c, &d->data);
	coll_list_unlink(c, &d->graph);
	coll_list_unlink(c, &d->deleted);
}

static void
merge_retire(struct merge *m, struct seg_state *was, uint32_t n_was)
{
	for (uint32_t i = 0; i < n_was; i++)
		if (is_input(m, was[i].desc.id)) {
			desc_unlink(m->c, &was[i].desc);
			seg_state_done(&was[i]);
		}
	free(was);
}

/* Manifest lock held. */
static int
merge_install(struct merge *m, struct err *err)
{
	struct shard *s = m->s;
	struct seg_state *was = s->segs, *next;
	uint32_t n_was = s->n_segs, n_next;
	int rc = merge_deletions(m, err);

	if (rc < 0)
		return rc;
	m->st.desc.id = s->next_seg;
	if (m->st.seg != NULL)
		m->st.seg->desc.id = s->next_seg;
	next = states_after(m, &n_next);
	if (next == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory to merge");
	s->segs = next;
	s->n_segs = n_next;
	s->next_seg++;
	rc = view_make(s, NULL, NULL, &m->view, err);
	if (rc == 0 && fault_hit(FAULT_compact_before_manifest))
		rc = err_set(err, ERR_IO, "fault before the manifest");
	if (rc == 0) {
		rc = coll_manifest_write(m->c, m->c->flushed, err);
		m->in_doubt = rc < 0;
	}
	if (rc < 0) {
		s->segs = was;
		s->n_segs = n_was;
		free(next);
		return rc;
	}
	(void)fault_hit(FAULT_compact_after_manifest);
	rwlock_write(&s->lock);
	if (m->n_rows != 0)
		merge_follow(m);
	shard_swap(s, m->view);
	m->view = NULL;
	rwlock_unlock(&s->lock);
	m->st = (struct seg_state){0};
	merge_retire(m, was, n_was);
	count(COUNTER_compactions, 1);
	return 0;
}

static void
merge_done(struct merge *m)
{
	for (uint32_t i = 0; i < m->n; i++) {
		seg_unref(m->in[i].seg);
		free(m->in[i].saved);
		free(m->in[i].to);
	}
	if (!m->in_doubt && (m->st.seg != NULL || m->st.desc.data.n != 0)) {
		/* not in place: its files are nobody's */
		mutex_lock(&m->c->manifest);
		desc_unlink(m->c, &m->st.desc);
		mutex_unlock(&m->c->manifest);
	}
	seg_state_done(&m->st);
	view_put(m->view);
	free(m->dead);
}

static int
merge_run(struct coll *c, const struct pick *p, struct err *err)
{
	struct merge m = {.c = c, .s = p->s, .pick = *p};
	int rc;

	mutex_lock(&c->manifest);
	rc = inputs_take(&m, err);
	mutex_unlock(&c->manifest);
	if (rc == 0 && m.n != 0)
		rc = merge_write(&m, err);
	if (rc == 0)
		rc = merge_index(&m, err);
	if (rc == 0 && m.n != 0) {
		mutex_lock(&c->manifest);
		rc = merge_install(&m, err);
		mutex_unlock(&c->manifest);
	}
	merge_done(&m);
	return rc;
}

/* --- a graph for a segment that has none ----------------------------- */

/* Manifest lock held. */
static int
graph_install(struct coll *c, struct shard *s, struct seg_state *st,
	      struct pages_list *list, struct err *err)
{
	struct seg *with, *was = st->seg;
	struct view *v;
	int rc = seg_with_graph(st->seg, c->dirfd, list, &with, err);

	if (rc < 0)
		return rc;
	st->desc.graph = *list;
	st->desc.graph_kind = 1;
	st->seg = with;
	rc = view_make(s, NULL, NULL, &v, err);
	if (rc == 0 && fault_hit(FAULT_index_before_manifest))
		rc = err_set(err, ERR_IO, "fault before the manifest");
	if (rc == 0)
		rc = coll_manifest_write(c, c->flushed, err);
	if (rc < 0) {
		st->desc.graph = (struct pages_list){0};
		st->desc.graph_kind = 0;
		st->seg = was;
		seg_unref(with);
		return rc;
	}
	(void)fault_hit(FAULT_index_after_manifest);
	*list = (struct pages_list){0};
	rwlock_write(&s->lock);
	with->n_dead = was->n_dead; /* the bits are shared, the count is not */
	shard_swap(s, v);
	rwlock_unlock(&s->lock);
	seg_unref(was);
	return 0;
}

static int
graph_run(struct coll *c, struct shard *s, uint64_t id, struct seg *seg,
	  struct err *err)
{
	struct pages_list list = {0};
	struct seg_state *st;
	int rc = graph_write(c, seg, &list, err);

	if (rc < 0)
		return rc;
	mutex_lock(&c->manifest);
	st = state_find(s, id);
	if (st != NULL && st->desc.graph.n == 0)
		rc = graph_install(c, s, st, &list, err);
	if (rc == 0) /* else the manifest on disk may name it */
		coll_list_unlink(c, &list);
	mutex_unlock(&c->manifest);
	pages_list_done(&list);
	return rc;
}

/* --- the job --------------------------------------------------------- */

static int
tend_step(struct coll *c, struct err *err)
{
	struct seg_state *st;
	struct shard *s = NULL;
	struct seg *seg = NULL;
	struct pick p = {0};
	uint64_t id = 0;
	int rc = 0;

	mutex_lock(&c->manifest);
	for (uint32_t i = 0; i < c->n_shards && p.n == 0; i++)
		(void)pick_in_shard(&c->shards[i], &p);
	if (p.n == 0 && (st = pick_graph(c, &s)) != NULL) {
		seg = seg_ref(st->seg);
		id = st->desc.id;
	}
	mutex_unlock(&c->manifest);
	if (p.n != 0)
		rc = merge_run(c, &p, err);
	else if (seg != NULL)
		rc = graph_run(c, s, id, seg, err);
	seg_unref(seg);
	return rc;
}

void
coll_tend_run(struct job *j)
{
	struct coll *c = CONTAINER_OF(j, struct coll, tend_job);
	struct err err = {0};
	int rc = c->dropped ? 0 : tend_step(c, &err);

	c->tend_failed = rc < 0;
	if (rc < 0 && rc != -ERR_STOPPED) {
		char text[400];

		snprintf(text, sizeof text, "merging or indexing: %.360s",
			 err_text(&err));
		coll_note_error(c, text);
	}
}

/* After a failure the next flush tries again, not the failure itself. */
void
coll_tend(struct coll *c)
{
	bool submit;

	if (c->db->sched == NULL || c->db->read_only || c->dropped ||
	    sched_stopping(c->db->sched) || !coll_tend_due(c))
		return;
	mutex_lock(&c->job_lock);
	submit = !c->tend_queued;
	if (submit)
		c->tend_queued = true;
	mutex_unlock(&c->job_lock);
	if (submit) {
		coll_ref(c);
		sched_submit(c->db->sched, &c->tend_job);
	}
}
