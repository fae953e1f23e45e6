/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_read.c - a segment in its mapping.
 *
 * Opening reads the directory and the deletions, nothing else.  Everything
 * later goes through map_get(), which keeps offsets inside their section and
 * checks the pages under them; what the bytes then say is compared with the
 * counts of the directory before it is used.
 */
#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/store/seg_impl.h"

#include <stdlib.h>

#define GRAPH_HNSW 1
#define LEAPS_MAX  8 /* interpolated steps before halving */

/* --- the mapping ----------------------------------------------------- */

int
map_damaged(struct err *err, const char *what, uint32_t row)
{
	return err_set(err, ERR_DAMAGED, "row %u: %s contradict each other",
		       row, what);
}

const uint8_t *
map_get(const struct seg_map *m, enum seg_sect k, uint64_t at, uint64_t n,
	struct err *err)
{
	uint64_t len = m->sect[k].len;

	if (at > len || n > len - at) {
		err_set(err, ERR_DAMAGED, "offset %llu outside of section %d",
			(unsigned long long)at, k);
		return NULL;
	}
	at += m->sect[k].at;
	return pages_check(m->data, at, n, err) == 0 ? m->data->p + at : NULL;
}

const uint8_t *
map_row(const struct seg_map *m, enum seg_sect k, uint32_t i, uint32_t width,
	struct err *err)
{
	return map_get(m, k, (uint64_t)i * width, width, err);
}

int
map_id(const struct seg_map *m, uint32_t row, struct slice *ret,
       struct err *err)
{
	uint64_t at =
		(uint64_t)(row / IDOFF_ROWS) * sizeof(struct seg_idoff_disk);
	const struct seg_idoff_disk *o;
	const uint8_t *p;

	if (row >= m->n_rows)
		return err_set(err, ERR_DAMAGED, "row %u of %u", row,
			       m->n_rows);
	o = (const void *)map_get(m, SECT_IDOFF, at, sizeof *o, err);
	if (!o)
		return -ERR_DAMAGED;
	at = get_u64(o->base) + get_u16(o->at[row % IDOFF_ROWS]);
	p = map_get(m, SECT_IDS, at, 1, err);
	if (!p)
		return -ERR_DAMAGED;
	if (p[0] == 0 || p[0] > ID_KEY_MAX)
		return map_damaged(err, "id", row);
	if (!map_get(m, SECT_IDS, at + 1, p[0], err))
		return -ERR_DAMAGED;
	*ret = (struct slice){p + 1, p[0]};
	return 0;
}

static const struct seg_meta_disk *
map_meta(const struct seg_map *m, uint32_t row, struct err *err)
{
	return (const void *)map_row(m, SECT_META, row,
				     sizeof(struct seg_meta_disk), err);
}

/* --- open ------------------------------------------------------------ */

/* What the counts say of a section's length; UINT64_MAX: free. */
static uint64_t
sect_want(const struct seg_map *m, enum seg_sect k)
{
	switch (k) {
	case SECT_VECS:
		return (uint64_t)m->n_vecs * m->dim * sizeof(float);
	case SECT_NORMS:
		return m->distance == DISTANCE_COSINE ? 4ull * m->n_vecs : 0;
	case SECT_VECROW:
		return 4ull * m->n_vecs;
	case SECT_META:
		return sizeof(struct seg_meta_disk) * (uint64_t)m->n_rows;
	case SECT_IDOFF:
		return sizeof(struct seg_idoff_disk) *
		       (uint64_t)idoff_blocks(m->n_rows);
	case SECT_BLOOM:
		return (uint64_t)BLOOM_LEN * bloom_blocks(m->n_rows);
	case SECT_IDHASH:
		return sizeof(struct seg_bucket_disk) *
		       (uint64_t)bucket_count(m->n_rows);
	case SECT_IDORDER:
		return 4ull * m->n_rows;
	case SECT_DOCIDX:
		return sizeof(struct seg_docidx_disk) * (uint64_t)m->n_blocks;
	default:
		return UINT64_MAX;
	}
}

static int
sects_read(struct seg_map *m, const struct seg_dir_disk *d, uint64_t end,
	   struct err *err)
{
	for (unsigned k = 1; k < SECT_NR; k++) {
		const struct seg_sect_disk *s = &d->sect[k - 1];
		uint64_t at = get_u64(s->at), len = get_u64(s->len);
		uint64_t want = sect_want(m, k);

		if (get_u32(s->kind) != k || get_u32(s->zero) != 0 ||
		    at % PAGE_LEN || at > end || len > end - at ||
		    (want != UINT64_MAX && len != want))
			return err_set(err, ERR_DAMAGED,
				       "directory: section %u is out of place",
				       k);
		m->sect[k].at = at;
		m->sect[k].len = len;
	}
	return 0;
}

static bool
is_zero(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

static int
dir_read(struct seg_map *m, const struct seg_dir_disk *d, struct err *err)
{
	if (memcmp(d->magic, SEG_MAGIC, sizeof d->magic) != 0)
		return err_set(err, ERR_DAMAGED, "directory: wrong magic");
	if (crc32c(0, d, sizeof *d - 4) != get_u32(d->crc))
		return err_set(err, ERR_DAMAGED, "directory: checksum differs");
	if (get_u16(d->version) != SEG_VERSION)
		return err_set(err, ERR_VERSION,
			       "segment format %u, this program knows %u",
			       get_u16(d->version), SEG_VERSION);
	m->distance = d->distance;
	m->dim = get_u32(d->dim);
	m->n_rows = get_u32(d->n_rows);
	m->n_vecs = get_u32(d->n_vecs);
	m->n_blocks = get_u32(d->n_blocks);
	m->min_lsn = get_u64(d->min_lsn);
	m->max_lsn = get_u64(d->max_lsn);
	if (!is_zero(d->zero, sizeof d->zero) ||
	    !is_zero(d->reserved, sizeof d->reserved) ||
	    d->n_sects != SECT_NR - 1 || m->dim > DIM_MAX ||
	    m->n_rows > SEG_ROWS_MAX || m->n_vecs > m->n_rows ||
	    m->n_blocks > m->n_rows || (m->n_vecs > 0 && m->dim == 0))
		return err_set(err, ERR_DAMAGED,
			       "directory: the counts contradict each other");
	return 0;
}

static int
dir_open(struct seg_map *m, const struct seg_desc *d, enum distance distance,
	 struct err *err)
{
	const struct seg_dir_disk *dir;
	uint64_t at;
	int rc;

	if (m->data->len < PAGE_LEN || m->data->len % PAGE_LEN)
		return err_set(err, ERR_DAMAGED, "no directory");
	at = m->data->len - PAGE_LEN;
	dir = (const void *)(m->data->p + at);
	rc = pages_check(m->data, at, PAGE_LEN, err);
	if (rc == 0)
		rc = dir_read(m, dir, err);
	if (rc == 0)
		rc = sects_read(m, dir, at, err);
	if (rc != 0)
		return rc;
	if (m->n_rows != d->n_rows || m->n_vecs != d->n_vecs ||
	    m->dim != d->dim || m->min_lsn != d->min_lsn ||
	    m->max_lsn != d->max_lsn ||
	    (distance != 0 && m->n_vecs > 0 && m->distance != distance))
		return err_set(err, ERR_DAMAGED,
			       "directory: of another segment");
	return 0;
}

static int
dead_open(struct seg_map *m, int dirfd, const struct seg_desc *d,
	  struct err *err)
{
	uint32_t n = 0;
	int rc;

	m->dead = calloc(m->n_rows / 64 + 1, sizeof *m->dead);
	if (!m->dead)
		return err_set(err, ERR_NO_MEMORY, "deleted rows");
	if (d->deleted.n == 0)
		return 0;
	rc = pages_open(dirfd, STREAM_DELETED, &d->deleted, &m->deleted, err);
	if (rc == 0)
		rc = pages_verify(m->deleted, true, err); /* lists look alike */
	if (rc == 0)
		rc = deleted_read(m->deleted, m->n_rows, (uint64_t *)m->dead,
				  &n, err);
	if (rc == 0 && n != d->n_deleted)
		rc = err_set(err, ERR_DAMAGED, "deleted rows: %u instead of %u",
			     n, d->n_deleted);
	m->n_dead = n;
	return rc;
}

static void
map_unref(struct seg_map *m)
{
	if (!m || --m->refs > 0)
		return;
	pages_close(m->data);
	pages_close(m->deleted);
	free((void *)m->dead);
	free(m);
}

static int
map_open(int dirfd, const struct seg_desc *d, enum distance distance,
	 struct seg_map **ret, struct err *err)
{
	static _Atomic uint64_t last_uid;
	struct seg_map *m = calloc(1, sizeof *m);
	int rc;

	if (!m)
		return err_set(err, ERR_NO_MEMORY, "segment");
	m->refs = 1;
	m->uid = ++last_uid;
	rc = pages_open(dirfd, STREAM_SEGMENT, &d->data, &m->data, err);
	if (rc == 0)
		rc = dir_open(m, d, distance, err);
	if (rc == 0)
		rc = dead_open(m, dirfd, d, err);
	if (rc != 0)
		map_unref(m);
	else
		*ret = m;
	return rc;
}

/* Its first page is all that a graph is asked before a walk; a walk does not
 * believe the rest. */
static int
graph_open(struct seg_full *f, int dirfd, struct err *err)
{
	const struct seg_desc *d = &f->s.desc;
	struct pages *pg;
	int rc;

	if (d->graph.n == 0)
		return 0;
	if (d->graph_kind != GRAPH_HNSW)
		return err_set(err, ERR_VERSION, "graph of kind %u",
			       d->graph_kind);
	rc = pages_open(dirfd, STREAM_GRAPH, &d->graph, &f->graph, err);
	if (rc != 0)
		return err_in(err, rc, "graph");
	pg = f->graph;
	rc = pages_check(pg, 0, MIN(pg->len, PAGE_LEN), err);
	if (rc == 0)
		rc = hnsw_open(pg->p, pg->len, d->n_vecs, &f->s.graph, err);
	return rc ? err_in(err, rc, "graph") : 0;
}

static void
vecs_init(struct seg *s)
{
	const struct seg_map *m = s->map;
	const uint8_t *p = m->data->p;

	s->vecs.n = m->n_vecs;
	s->vecs.dim = m->dim;
	s->vecs.stride = m->dim;
	if (m->n_vecs == 0)
		return;
	s->vecs.base = (const void *)(p + m->sect[SECT_VECS].at);
	if (m->distance == DISTANCE_COSINE)
		s->vecs.norms = (const void *)(p + m->sect[SECT_NORMS].at);
}

/* Takes the reference to m. */
static int
seg_make(int dirfd, const struct seg_desc *d, struct seg_map *m_take,
	 struct seg **ret, struct err *err)
{
	struct seg_full *f = calloc(1, sizeof *f);
	int rc;

	if (!f) {
		map_unref(m_take);
		return err_set(err, ERR_NO_MEMORY, "segment");
	}
	f->s.map = m_take;
	f->s.refs = 1;
	f->s.distance = m_take->distance;
	f->s.dead = m_take->dead;
	f->s.n_dead = m_take->n_dead;
	vecs_init(&f->s);
	rc = seg_desc_copy(d, &f->s.desc, err);
	if (rc == 0)
		rc = graph_open(f, dirfd, err);
	if (rc != 0)
		seg_unref(&f->s);
	else
		*ret = &f->s;
	return rc;
}

int
seg_open(int dirfd, const struct seg_desc *d, enum distance distance,
	 struct seg **ret, struct err *err)
{
	struct seg_map *m = NULL;
	int rc = map_open(dirfd, d, distance, &m, err);

	return rc ? rc : seg_make(dirfd, d, m, ret, err);
}

int
seg_with_graph(struct seg *s, int dirfd, const struct pages_list *graph,
	       struct seg **ret, struct err *err)
{
	struct seg_desc d = s->desc; /* lists borrowed; seg_make() copies */

	d.graph = *graph;
	d.graph_kind = graph->n ? GRAPH_HNSW : 0;
	s->map->refs++;
	return seg_make(dirfd, &d, s->map, ret, err);
}

struct seg *
seg_ref(struct seg *s)
{
	s->refs++;
	return s;
}

void
seg_unref(struct seg *s)
{
	struct seg_full *f = (struct seg_full *)s; /* s is its first member */

	if (!s || --s->refs > 0)
		return;
	pages_close(f->graph);
	map_unref(s->map);
	seg_desc_done(&s->desc);
	free(f);
}

/* --- looking for a row ----------------------------------------------- */

/* 1: maybe there; 0: surely not. */
static int
bloom_ask(const struct seg_map *m, uint64_t mix, struct err *err)
{
	uint32_t i = mix_place(mix, bloom_blocks(m->n_rows));
	const uint8_t *p = map_row(m, SECT_BLOOM, i, BLOOM_LEN, err);
	uint64_t probes = mix_probes(mix);

	if (!p)
		return -ERR_DAMAGED;
	for (unsigned k = 0; k < BLOOM_PROBES; k++, probes >>= 9)
		if (!(p[probes >> 3 & 63] >> (probes & 7) & 1))
			return 0;
	return 1;
}

static int
id_equals(const struct seg_map *m, uint32_t row, struct slice key,
	  struct err *err)
{
	struct slice id;
	int rc = map_id(m, row, &id, err);

	return rc ? rc : id.n == key.n && memcmp(id.p, key.p, id.n) == 0;
}

/* 1: found. */
static int
bucket_ask(const struct seg_map *m, const struct seg_bucket_disk *b,
	   uint8_t tag, struct slice key, uint32_t *ret_row, struct err *err)
{
	if (b->n > BUCKET_ROWS)
		return map_damaged(err, "table of ids", b->n);
	for (unsigned i = 0; i < b->n; i++) {
		int rc;

		if (b->tag[i] != tag)
			continue;
		rc = id_equals(m, get_u32(b->row[i]), key, err);
		if (rc == 1)
			*ret_row = get_u32(b->row[i]);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int
seg_find_id(struct seg *s, const void *key, size_t n, uint32_t *ret_row,
	    struct err *err)
{
	const struct seg_map *m = s->map;
	uint32_t n_buckets = bucket_count(m->n_rows), at, row = ROW_NONE;
	uint64_t mix = id_mix(key, n);
	int rc = m->n_rows ? bloom_ask(m, mix, err) : 0;

	if (rc <= 0) {
		if (rc == 0)
			*ret_row = ROW_NONE;
		return rc;
	}
	at = mix_place(mix, n_buckets);
	for (uint32_t i = 0; i < n_buckets; i++) {
		const struct seg_bucket_disk *b;

		b = (const void *)map_row(m, SECT_IDHASH, at, sizeof *b, err);
		if (!b)
			return -ERR_DAMAGED;
		rc = bucket_ask(m, b, mix_tag(mix), (struct slice){key, n},
				&row, err);
		if (rc < 0)
			return rc;
		if (rc > 0 || !(b->flags & BUCKET_OVERFLOW))
			break;
		at = at + 1 < n_buckets ? at + 1 : 0;
	}
	*ret_row = row;
	return 0;
}

/* Numbers are dense as a rule, so that their place can be computed; halving
 * ends it where they are not. */
static uint32_t
guess(uint32_t lo, uint32_t hi, uint64_t no_lo, uint64_t no_hi, uint64_t no,
      unsigned step)
{
	double f;

	if (step >= LEAPS_MAX || no_hi <= no_lo)
		return lo + (hi - lo) / 2;
	f = (double)(no - no_lo) / (double)(no_hi - no_lo);
	return lo + (uint32_t)(f * (hi - lo));
}

static int
no_at(const struct seg_map *m, uint32_t row, uint64_t *ret, struct err *err)
{
	const struct seg_meta_disk *d = map_meta(m, row, err);

	if (!d)
		return -ERR_DAMAGED;
	*ret = get_u64(d->no);
	return 0;
}

/* Between lo and hi, whose numbers are known and on either side of no. */
static int
find_between(const struct seg_map *m, uint64_t no, uint32_t hi, uint64_t no_lo,
	     uint64_t no_hi, uint32_t *ret_row, struct err *err)
{
	uint32_t lo = 0;

	for (unsigned step = 0; hi - lo > 1; step++) {
		uint32_t at = guess(lo, hi, no_lo, no_hi, no, step);
		uint64_t v;
		int rc;

		at = MIN(MAX(at, lo + 1), hi - 1);
		rc = no_at(m, at, &v, err);
		if (rc != 0)
			return rc;
		if (v == no) {
			*ret_row = at;
			return 0;
		}
		if (v < no) {
			lo = at;
			no_lo = v;
		} else {
			hi = at;
			no_hi = v;
		}
	}
	*ret_row = ROW_NONE;
	return 0;
}

int
seg_find_no(struct seg *s, uint64_t no, uint32_t *ret_row, struct err *err)
{
	const struct seg_map *m = s->map;
	uint32_t last = m->n_rows - 1;
	uint64_t no_lo, no_hi;
	int rc;

	if (m->n_rows == 0) {
		*ret_row = ROW_NONE;
		return 0;
	}
	rc = no_at(m, 0, &no_lo, err);
	if (rc == 0)
		rc = no_at(m, last, &no_hi, err);
	if (rc != 0)
		return rc;
	if (no > no_lo && no < no_hi)
		return find_between(m, no, last, no_lo, no_hi, ret_row, err);
	*ret_row = no == no_lo ? 0 : no == no_hi ? last : ROW_NONE;
	return 0;
}

bool
seg_is_dead(const struct seg *s, uint32_t row)
{
	const uint64_t *w = (const uint64_t *)&s->dead[row / 64];

	return row >= s->desc.n_rows ||
	       (__atomic_load_n(w, __ATOMIC_RELAXED) >> (row % 64) & 1);
}

bool
seg_kill(struct seg *s, uint32_t row)
{
	uint64_t *w = (uint64_t *)&s->dead[row / 64];
	uint64_t bit = 1ull << (row % 64);

	if (row >= s->desc.n_rows ||
	    __atomic_fetch_or(w, bit, __ATOMIC_ACQ_REL) & bit)
		return false;
	s->n_dead = ++s->map->n_dead; /* shared with the one with a graph */
	return true;
}

/* --- a row ----------------------------------------------------------- */

int
seg_stat(struct seg *s, uint32_t row, struct point_stat *ret, struct err *err)
{
	const struct seg_meta_disk *d = map_meta(s->map, row, err);

	if (!d)
		return -ERR_DAMAGED;
	ret->no = get_u64(d->no);
	ret->lsn = get_u64(d->lsn);
	ret->time_us = (int64_t)get_u64(d->time_us);
	ret->mtime_ns = (int64_t)get_u64(d->mtime_ns);
	ret->size = get_u32(d->size);
	ret->uid = get_u32(d->uid);
	return 0;
}

int
seg_id(struct seg *s, uint32_t row, struct slice *ret_key, struct err *err)
{
	return map_id(s->map, row, ret_key, err);
}

static int
vec_get(const struct seg_map *m, uint32_t vec_no, uint32_t row,
	const float **ret, struct err *err)
{
	const uint8_t *p;

	if (vec_no == ROW_NONE) {
		*ret = NULL;
		return 0;
	}
	if (vec_no >= m->n_vecs)
		return map_damaged(err, "vectors", row);
	p = map_row(m, SECT_VECS, vec_no, m->dim * (uint32_t)sizeof(float),
		    err);
	if (!p)
		return -ERR_DAMAGED;
	*ret = (const void *)p;
	return 0;
}

int
seg_vec(struct seg *s, uint32_t row, const float **ret, struct err *err)
{
	const struct seg_meta_disk *d = map_meta(s->map, row, err);

	if (!d)
		return -ERR_DAMAGED;
	return vec_get(s->map, get_u32(d->vec_no), row, ret, err);
}

uint32_t
seg_vec_no(struct seg *s, uint32_t row)
{
	const struct seg_meta_disk *d = map_meta(s->map, row, NULL);
	uint32_t no = d ? get_u32(d->vec_no) : ROW_NONE;

	return no < s->map->n_vecs ? no : ROW_NONE;
}

uint32_t
seg_vec_row(const struct seg *s, uint32_t vec_no)
{
	const uint8_t *p = map_row(s->map, SECT_VECROW, vec_no, 4, NULL);
	uint32_t row = p ? get_u32(p) : ROW_NONE;

	return row < s->map->n_rows ? row : ROW_NONE;
}

static void
meta_point(const struct seg_meta_disk *d, struct point *ret)
{
	ret->no = get_u64(d->no);
	ret->lsn = get_u64(d->lsn);
	ret->time_us = (int64_t)get_u64(d->time_us);
	ret->mtime_ns = (int64_t)get_u64(d->mtime_ns);
	ret->uid = get_u32(d->uid);
	memcpy(ret->digest, d->digest, sizeof ret->digest);
	ret->doc.size = get_u32(d->size);
	ret->doc.form = d->form;
	ret->doc.style = d->style;
}

int
seg_point(struct seg *s, uint32_t row, bool want_doc, struct arena *a,
	  struct point *ret, struct err *err)
{
	const struct seg_map *m = s->map;
	const struct seg_meta_disk *d = map_meta(m, row, err);
	struct point p = {0};
	struct slice id;
	int rc;

	if (!d)
		return -ERR_DAMAGED;
	meta_point(d, &p);
	rc = vec_get(m, get_u32(d->vec_no), row, &p.vec, err);
	if (rc == 0)
		rc = map_id(m, row, &id, err);
	if (rc == 0 && want_doc)
		rc = doc_read(m, row, a, &p.doc, err);
	if (rc != 0)
		return rc;
	p.dim = p.vec ? m->dim : 0;
	p.id.n = (uint16_t)id.n;
	memcpy(p.id.b, id.p, id.n);
	*ret = p;
	return 0;
}

/* --- in the order of ids --------------------------------------------- */

int
seg_by_id(struct seg *s, uint32_t i, uint32_t *ret_row, struct err *err)
{
	const uint8_t *p = map_row(s->map, SECT_IDORDER, i, 4, err);
	uint32_t row;

	if (!p)
		return -ERR_DAMAGED;
	row = get_u32(p);
	if (row >= s->map->n_rows)
		return map_damaged(err, "order of ids", i);
	*ret_row = row;
	return 0;
}

int
seg_id_lower_bound(struct seg *s, const void *key, size_t n, uint32_t *ret_i,
		   struct err *err)
{
	uint32_t lo = 0, hi = s->map->n_rows;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2, row;
		struct slice id;
		int rc = seg_by_id(s, mid, &row, err);

		if (rc == 0)
			rc = map_id(s->map, row, &id, err);
		if (rc != 0)
			return rc;
		if (id_cmp(id.p, id.n, key, n) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_i = lo;
	return 0;
}
