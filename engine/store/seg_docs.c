/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_docs.c - documents out of their packed blocks.
 *
 * Reading a directory in order asks for neighbours one after the other, from
 * any of the server's threads; so the blocks unpacked last are kept for all of
 * them.  The cache is small and belongs to the process: its size does not
 * depend on how many segments there are.
 */
#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/lock.h"
#include "engine/base/zip.h"
#include "engine/store/seg_impl.h"

#include <stdlib.h>

#define CACHE_SETS  8u
#define CACHE_WAYS  8u
#define CACHE_BLOCK (16u << 10) /* larger ones are not kept: 1 MiB at most */

struct block { /* one entry of the index, checked */
	uint32_t no;
	uint32_t first_row;
	uint32_t end_row;
	uint64_t at;
	uint32_t len;
	uint32_t raw_len;
	uint8_t packing;
};

struct kept {
	uint64_t uid;
	uint32_t no;
	uint32_t len;
	uint64_t used;
	uint8_t *raw; /* NULL: free */
};

static struct cache_set {
	struct mutex lock;
	uint64_t clock;
	struct kept way[CACHE_WAYS];
} cache[CACHE_SETS];

static pthread_once_t cache_once = PTHREAD_ONCE_INIT;

static void
cache_init(void)
{
	for (unsigned i = 0; i < CACHE_SETS; i++)
		mutex_init(&cache[i].lock, LOCK_SEG);
}

/* --- one block's bytes ----------------------------------------------- */

bool
doc_fits(const struct doc *d)
{
	size_t n = d->text.n;

	return n <= DOC_TEXT_MAX && d->vec_at <= n &&
	       d->sep_len <= n - d->vec_at && d->pay_at <= n &&
	       d->pay_len <= n - d->pay_at;
}

/* reader_varint() without the call: half a block of these stand before the
 * row that is asked for. */
static inline bool
rec_next(const uint8_t *p, uint32_t n, uint32_t *at, struct slice *ret)
{
	uint32_t len = 0, i = *at;

	for (unsigned shift = 0;; shift += 7) {
		if (i >= n || shift > 28)
			return false;
		len |= (uint32_t)(p[i] & 0x7f) << shift;
		if (!(p[i++] & 0x80))
			break;
	}
	if (len > n - i)
		return false;
	*ret = (struct slice){p + i, len};
	*at = i + len;
	return true;
}

static uint32_t
read_u32(struct reader *r, uint32_t max)
{
	uint64_t v = reader_varint(r);

	if (v > max)
		r->failed = true;
	return (uint32_t)v;
}

static bool
rec_parse(struct slice rec, struct doc *ret)
{
	struct reader r = {.p = rec.p, .n = rec.n};

	ret->sep_len = (uint16_t)read_u32(&r, UINT16_MAX);
	ret->vec_at = read_u32(&r, UINT32_MAX);
	ret->pay_at = read_u32(&r, UINT32_MAX);
	ret->pay_len = read_u32(&r, UINT32_MAX);
	ret->text = reader_bytes(&r, r.n - r.at);
	return !r.failed && doc_fits(ret);
}

/* The document of the i-th row in an unpacked block, borrowed from it. */
static int
raw_doc(const uint8_t *raw, uint32_t len, const struct block *b, uint32_t row,
	struct doc *ret, struct err *err)
{
	struct slice rec = {0};
	uint32_t at = 0;

	for (uint32_t i = b->first_row; i <= row; i++)
		if (!rec_next(raw, len, &at, &rec))
			return map_damaged(err, "documents", row);
	if (!rec_parse(rec, ret))
		return map_damaged(err, "document", row);
	return 0;
}

static int
text_copy(struct doc *d, struct arena *a, struct err *err)
{
	if (d->text.n == 0)
		return 0;
	d->text.p = arena_dup(a, d->text.p, d->text.n);
	if (!d->text.p)
		return err_set(err, ERR_NO_MEMORY, "document");
	return 0;
}

/* --- the index ------------------------------------------------------- */

static int
block_get(const struct seg_map *m, uint32_t no, struct block *ret,
	  struct err *err)
{
	const struct seg_docidx_disk *d, *next;
	struct block b = {.no = no, .end_row = m->n_rows};

	d = (const void *)map_row(m, SECT_DOCIDX, no, sizeof *d, err);
	if (!d)
		return -ERR_DAMAGED;
	if (no + 1 < m->n_blocks) {
		next = (const void *)map_row(m, SECT_DOCIDX, no + 1, sizeof *d,
					     err);
		if (!next)
			return -ERR_DAMAGED;
		b.end_row = get_u32(next->first_row);
	}
	b.first_row = get_u32(d->first_row);
	b.at = get_u64(d->at);
	b.len = get_u32(d->len);
	b.raw_len = get_u32(d->raw_len);
	b.packing = d->packing;
	if (b.end_row <= b.first_row || b.end_row > m->n_rows ||
	    b.raw_len > DOC_TEXT_MAX + DOC_HEAD_MAX || b.packing > DOC_ZSTD ||
	    (b.packing == DOC_RAW && b.len != b.raw_len))
		return map_damaged(err, "documents", b.first_row);
	*ret = b;
	return 0;
}

static int
block_find(const struct seg_map *m, uint32_t row, struct block *ret,
	   struct err *err)
{
	uint32_t lo = 0, hi = m->n_blocks;
	int rc;

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;
		const uint8_t *p = map_row(m, SECT_DOCIDX, mid,
					   sizeof(struct seg_docidx_disk), err);

		if (!p)
			return -ERR_DAMAGED;
		if (get_u32(((const struct seg_docidx_disk *)p)->first_row) <=
		    row)
			lo = mid;
		else
			hi = mid;
	}
	rc = block_get(m, lo, ret, err);
	if (rc == 0 && (row < ret->first_row || row >= ret->end_row))
		rc = map_damaged(err, "documents", row);
	return rc;
}

/* --- the cache ------------------------------------------------------- */

static struct cache_set *
cache_set(const struct seg_map *m, uint32_t no)
{
	pthread_once(&cache_once, cache_init);
	return &cache[(m->uid + no) % CACHE_SETS];
}

static struct kept *
cache_find(struct cache_set *c, const struct seg_map *m, uint32_t no)
{
	for (unsigned i = 0; i < CACHE_WAYS; i++) {
		struct kept *k = &c->way[i];

		if (k->raw && k->uid == m->uid && k->no == no)
			return k;
	}
	return NULL;
}

/* 1: the block was there and the document is in the arena. */
static int
cache_read(const struct seg_map *m, const struct block *b, uint32_t row,
	   struct arena *a, struct doc *ret, struct err *err)
{
	struct cache_set *c = cache_set(m, b->no);
	struct kept *k;
	int rc = 0;

	mutex_lock(&c->lock);
	k = cache_find(c, m, b->no);
	if (k) {
		k->used = ++c->clock;
		rc = raw_doc(k->raw, k->len, b, row, ret, err);
		if (rc == 0)
			rc = text_copy(ret, a, err);
		if (rc == 0)
			rc = 1;
	}
	mutex_unlock(&c->lock);
	return rc;
}

/* Takes raw, in the place of the block that was not used for longest. */
static void
cache_keep(const struct seg_map *m, const struct block *b, uint8_t *raw_take)
{
	struct cache_set *c = cache_set(m, b->no);
	uint8_t *old = raw_take;
	struct kept *k;

	mutex_lock(&c->lock);
	if (!cache_find(c, m, b->no)) {
		k = &c->way[0];
		for (unsigned i = 1; i < CACHE_WAYS; i++)
			if (c->way[i].used < k->used)
				k = &c->way[i];
		old = k->raw;
		*k = (struct kept){.uid = m->uid,
				   .no = b->no,
				   .len = b->raw_len,
				   .used = ++c->clock,
				   .raw = raw_take};
	}
	mutex_unlock(&c->lock);
	free(old);
}

/* --- reading --------------------------------------------------------- */

static int
read_packed(const struct seg_map *m, const struct block *b, uint32_t row,
	    struct arena *a, struct doc *ret, struct err *err)
{
	const uint8_t *p = map_get(m, SECT_DOCS, b->at, b->len, err);
	uint8_t *raw;
	int rc;

	if (!p)
		return -ERR_DAMAGED;
	raw = malloc(MAX(b->raw_len, 1));
	if (!raw)
		return err_set(err, ERR_NO_MEMORY, "document");
	rc = zip_unpack(p, b->len, raw, b->raw_len, err);
	if (rc == 0)
		rc = raw_doc(raw, b->raw_len, b, row, ret, err);
	if (rc == 0)
		rc = text_copy(ret, a, err);
	if (rc == 0 && b->raw_len <= CACHE_BLOCK)
		cache_keep(m, b, raw);
	else
		free(raw);
	return rc;
}

static int
read_raw(const struct seg_map *m, const struct block *b, uint32_t row,
	 struct arena *a, struct doc *ret, struct err *err)
{
	const uint8_t *p = map_get(m, SECT_DOCS, b->at, b->len, err);
	int rc;

	if (!p)
		return -ERR_DAMAGED;
	rc = raw_doc(p, b->len, b, row, ret, err);
	return rc ? rc : text_copy(ret, a, err);
}

int
doc_read(const struct seg_map *m, uint32_t row, struct arena *a,
	 struct doc *ret, struct err *err)
{
	struct block b = {0};
	int rc;

	if (m->n_blocks == 0)
		return map_damaged(err, "documents", row);
	rc = block_find(m, row, &b, err);
	if (rc != 0)
		return rc;
	if (b.packing == DOC_RAW)
		return read_raw(m, &b, row, a, ret, err);
	if (b.raw_len <= CACHE_BLOCK) {
		rc = cache_read(m, &b, row, a, ret, err);
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
	return read_packed(m, &b, row, a, ret, err);
}

static int
raw_verify(const uint8_t *raw, const struct block *b, struct err *err)
{
	struct slice rec;
	struct doc d;
	uint32_t at = 0;

	for (uint32_t row = b->first_row; row < b->end_row; row++)
		if (!rec_next(raw, b->raw_len, &at, &rec) ||
		    !rec_parse(rec, &d))
			return map_damaged(err, "document", row);
	return at == b->raw_len ? 0
				: map_damaged(err, "documents", b->first_row);
}

static int
block_verify(const struct seg_map *m, const struct block *b, struct err *err)
{
	const uint8_t *p = map_get(m, SECT_DOCS, b->at, b->len, err);
	uint8_t *raw;
	int rc;

	if (!p)
		return -ERR_DAMAGED;
	if (b->packing == DOC_RAW)
		return raw_verify(p, b, err);
	raw = malloc(MAX(b->raw_len, 1));
	if (!raw)
		return err_set(err, ERR_NO_MEMORY, "document");
	rc = zip_unpack(p, b->len, raw, b->raw_len, err);
	if (rc == 0)
		rc = raw_verify(raw, b, err);
	free(raw);
	return rc;
}

int
docs_verify(const struct seg_map *m, struct err *err)
{
	uint32_t next = 0;
	uint64_t at = 0;

	for (uint32_t i = 0; i < m->n_blocks; i++) {
		struct block b = {0};
		int rc = block_get(m, i, &b, err);

		if (rc == 0 && (b.first_row != next || b.at != at))
			rc = map_damaged(err, "documents", next);
		if (rc == 0)
			rc = block_verify(m, &b, err);
		if (rc != 0)
			return rc;
		next = b.end_row;
		at += b.len;
	}
	if (next != m->n_rows || at != m->sect[SECT_DOCS].len)
		return map_damaged(err, "documents", next);
	return 0;
}
