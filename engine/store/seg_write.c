/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_write.c - points into a segment.
 *
 * Vectors go straight into the stream.  What stands behind them is gathered
 * meanwhile: per-row numbers in memory, the rest in spools, which are unlinked
 * files once they pass a megabyte, so that a segment of any size is built in
 * some 30 bytes a row.
 */
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/base/zip.h"
#include "engine/store/pages_format.h"
#include "engine/store/seg_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define SPOOL_LEN     (1u << 20) /* kept in memory */
#define COPY_LEN      (1u << 20)
#define DOC_ZIP_LEVEL 3
#define DOC_ZIP_QUICK (-5)
#define DOC_LONG      1024u /* a document of which most reads unpack no other */

struct spool {
	int fd;      /* -1: all is in buf */
	uint64_t at; /* bytes in the file */
	struct buf buf;
	void *map;
};

struct seg_builder {
	int dirfd;
	enum distance distance;
	uint32_t dim;
	int rc; /* a failed builder stays failed */
	struct pages_writer *w;
	uint32_t n_rows, n_vecs;
	uint64_t last_no;
	lsn_t min_lsn, max_lsn;
	struct spool meta, ids, docs;
	struct buf norms, vecrow, idoff;
	/* the block of documents being filled */
	struct buf block, packed, docidx;
	uint32_t block_row; /* its first */
	uint32_t n_blocks;
	struct seg_dir_disk dir;
};

/* --- spools ---------------------------------------------------------- */

static uint64_t
spool_len(const struct spool *s)
{
	return s->at + s->buf.n;
}

static int
spool_open(struct spool *s, int dirfd, struct err *err)
{
	char name[sizeof PAGES_TMP + 16];
	uint64_t r;
	int rc;

	s->fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->fd >= 0)
		return 0;
	if (getrandom(&r, sizeof r, 0) != sizeof r)
		return err_sys(err, errno, "random name");
	snprintf(name, sizeof name, PAGES_TMP "%016llx", (unsigned long long)r);
	rc = file_open_at(dirfd, name, O_RDWR | O_CREAT | O_EXCL, &s->fd, err);
	return rc ? rc : file_unlink_at(dirfd, name, err);
}

static int
spool_flush(struct spool *s, int dirfd, struct err *err)
{
	int rc = s->fd < 0 ? spool_open(s, dirfd, err) : 0;

	if (rc == 0)
		rc = file_write_all(s->fd, s->buf.p, s->buf.n, (off_t)s->at,
				    err);
	if (rc != 0)
		return rc;
	s->at += s->buf.n;
	buf_clear(&s->buf);
	return 0;
}

/* Call after appending to s->buf. */
static int
spool_limit(struct spool *s, int dirfd, struct err *err)
{
	if (s->buf.failed)
		return err_set(err, ERR_NO_MEMORY, "segment");
	return s->buf.n < SPOOL_LEN ? 0 : spool_flush(s, dirfd, err);
}

/* All of it in one piece; nothing may be added then. */
static int
spool_map(struct spool *s, int dirfd, const uint8_t **ret, struct err *err)
{
	int rc;

	if (s->fd < 0) {
		*ret = s->buf.p;
		return 0;
	}
	rc = s->buf.n ? spool_flush(s, dirfd, err) : 0;
	if (rc != 0)
		return rc;
	s->map = mmap(NULL, s->at, PROT_READ, MAP_SHARED, s->fd, 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		return err_sys(err, errno, "mmap");
	}
	*ret = s->map;
	return 0;
}

static void
spool_done(struct spool *s)
{
	if (s->map)
		munmap(s->map, s->at);
	if (s->fd >= 0)
		close(s->fd);
	buf_done(&s->buf);
	*s = (struct spool){.fd = -1};
}

/* --- points ---------------------------------------------------------- */

int
seg_create(int dirfd, enum distance distance, uint32_t dim,
	   struct seg_builder **ret, struct err *err)
{
	struct seg_builder *b;
	int rc;

	if (dim > DIM_MAX)
		return err_set(err, ERR_DIM, "%u dimensions", dim);
	b = calloc(1, sizeof *b);
	if (!b)
		return err_set(err, ERR_NO_MEMORY, "segment");
	b->dirfd = dirfd;
	b->distance = distance;
	b->dim = dim;
	b->meta.fd = b->ids.fd = b->docs.fd = -1;
	rc = pages_create(dirfd, STREAM_SEGMENT, &b->w, err);
	if (rc != 0)
		seg_abort(b);
	else
		*ret = b;
	return rc;
}

static int
point_check(const struct seg_builder *b, const struct point *p, struct err *err)
{
	if (b->n_rows && p->no <= b->last_no)
		return err_set(err, ERR_DAMAGED, "point number %llu after %llu",
			       (unsigned long long)p->no,
			       (unsigned long long)b->last_no);
	if (b->n_rows == SEG_ROWS_MAX)
		return err_set(err, ERR_TOO_BIG, "too many rows");
	if (p->id.n == 0 || p->id.n > ID_KEY_MAX)
		return err_set(err, ERR_ID, "id of %u bytes", p->id.n);
	if (p->dim != 0 && p->dim != b->dim)
		return err_set(err, ERR_DIM, "%u dimensions instead of %u",
			       p->dim, b->dim);
	if (!doc_fits(&p->doc))
		return err_set(err, ERR_TYPE,
			       "the document's parts lie outside of it");
	return 0;
}

static int
add_vec(struct seg_builder *b, const struct point *p, struct err *err)
{
	int rc = pages_write(b->w, p->vec, (size_t)p->dim * sizeof(float), err);

	if (rc != 0)
		return rc;
	buf_put_u32(&b->vecrow, b->n_rows);
	if (b->distance == DISTANCE_COSINE) {
		float norm = (float)vec_norm(p->vec, p->dim);

		buf_put(&b->norms, &norm, sizeof norm);
	}
	b->n_vecs++;
	if (b->vecrow.failed || b->norms.failed)
		return err_set(err, ERR_NO_MEMORY, "segment");
	return 0;
}

static int
add_meta(struct seg_builder *b, const struct point *p, struct err *err)
{
	struct seg_meta_disk d = {.form = p->doc.form, .style = p->doc.style};

	set_u64(d.no, p->no);
	set_u64(d.lsn, p->lsn);
	set_u64(d.time_us, (uint64_t)p->time_us);
	set_u64(d.mtime_ns, (uint64_t)p->mtime_ns);
	memcpy(d.digest, p->digest, sizeof d.digest);
	set_u32(d.size, p->doc.size);
	set_u32(d.uid, p->uid);
	set_u32(d.vec_no, p->dim ? b->n_vecs - 1 : ROW_NONE);
	buf_put(&b->meta.buf, &d, sizeof d);
	return spool_limit(&b->meta, b->dirfd, err);
}

static int
add_id(struct seg_builder *b, const struct id_key *id, struct err *err)
{
	uint32_t i = b->n_rows % IDOFF_ROWS;
	struct seg_idoff_disk *o;

	if (i == 0) {
		if (buf_put_zero(&b->idoff, sizeof *o) != 0)
			return err_set(err, ERR_NO_MEMORY, "segment");
		o = (void *)(b->idoff.p + b->idoff.n - sizeof *o);
		set_u64(o->base, spool_len(&b->ids));
	}
	o = (void *)(b->idoff.p + b->idoff.n - sizeof *o);
	set_u16(o->at[i], (uint16_t)(spool_len(&b->ids) - get_u64(o->base)));
	buf_put_u8(&b->ids.buf, (uint8_t)id->n);
	buf_put(&b->ids.buf, id->b, id->n);
	return spool_limit(&b->ids, b->dirfd, err);
}

/* --- documents ------------------------------------------------------- */

/* Short documents have most in common with each other, and are many: there
 * every byte counts.  A long one is nearly alone in its block, and reading it
 * is nearly all unpacking: a level without an entropy coder halves that. */
static int
zip_level(const struct seg_builder *b)
{
	uint32_t rows = MAX(b->n_rows - b->block_row, 1);

	return b->block.n / rows >= DOC_LONG ? DOC_ZIP_QUICK : DOC_ZIP_LEVEL;
}

/* What saves less than a sixteenth is not worth unpacking. */
static int
block_pack(struct seg_builder *b, struct slice *ret, uint8_t *ret_packing,
	   struct err *err)
{
	int rc;

	buf_clear(&b->packed);
	rc = zip_pack(b->block.p, b->block.n, zip_level(b), &b->packed, err);
	if (rc != 0)
		return rc;
	if (b->packed.n < b->block.n - b->block.n / 16) {
		*ret = (struct slice){b->packed.p, b->packed.n};
		*ret_packing = DOC_ZSTD;
	} else {
		*ret = (struct slice){b->block.p, b->block.n};
		*ret_packing = DOC_RAW;
	}
	return 0;
}

static int
block_end(struct seg_builder *b, struct err *err)
{
	struct seg_docidx_disk d = {0};
	struct slice s;
	int rc;

	if (b->block.n == 0)
		return 0;
	rc = block_pack(b, &s, &d.packing, err);
	if (rc != 0)
		return rc;
	set_u64(d.at, spool_len(&b->docs));
	set_u32(d.first_row, b->block_row);
	set_u32(d.len, (uint32_t)s.n);
	set_u32(d.raw_len, (uint32_t)b->block.n);
	buf_put(&b->docidx, &d, sizeof d);
	buf_put(&b->docs.buf, s.p, s.n);
	b->n_blocks++;
	if (b->docidx.failed)
		return err_set(err, ERR_NO_MEMORY, "segment");
	if (b->block.cap > SPOOL_LEN) { /* one large document was there */
		buf_done(&b->block);
		buf_done(&b->packed);
	}
	buf_clear(&b->block);
	return spool_limit(&b->docs, b->dirfd, err);
}

static size_t
head_make(const struct doc *d, struct buf *ret)
{
	buf_clear(ret);
	buf_put_varint(ret, d->sep_len);
	buf_put_varint(ret, d->vec_at);
	buf_put_varint(ret, d->pay_at);
	buf_put_varint(ret, d->pay_len);
	return ret->n;
}

static int
add_doc(struct seg_builder *b, const struct doc *d, struct err *err)
{
	CLEAN(buf_done) struct buf head = {0};
	size_t len = head_make(d, &head) + d->text.n;
	int rc = 0;

	if (head.failed)
		return err_set(err, ERR_NO_MEMORY, "segment");
	if (b->block.n && b->block.n + len > DOC_BLOCK_LEN)
		rc = block_end(b, err);
	if (rc != 0)
		return rc;
	if (b->block.n == 0)
		b->block_row = b->n_rows;
	buf_put_varint(&b->block, len);
	buf_put(&b->block, head.p, head.n);
	buf_put(&b->block, d->text.p, d->text.n);
	if (b->block.failed)
		return err_set(err, ERR_NO_MEMORY, "segment");
	if (b->block.n >= DOC_BLOCK_LEN ||
	    b->n_rows - b->block_row + 1 == DOC_BLOCK_ROWS)
		rc = block_end(b, err);
	return rc;
}

static int
point_add(struct seg_builder *b, const struct point *p, struct err *err)
{
	int rc = p->dim ? add_vec(b, p, err) : 0;

	if (rc == 0)
		rc = add_meta(b, p, err);
	if (rc == 0)
		rc = add_id(b, &p->id, err);
	if (rc == 0)
		rc = add_doc(b, &p->doc, err);
	if (rc != 0)
		return rc;
	b->min_lsn = b->n_rows ? MIN(b->min_lsn, p->lsn) : p->lsn;
	b->max_lsn = MAX(b->max_lsn, p->lsn);
	b->last_no = p->no;
	b->n_rows++;
	return 0;
}

static int
failed_before(const struct seg_builder *b, struct err *err)
{
	return err_set(err, (enum errcode) - b->rc,
		       "the segment failed before");
}

int
seg_add(struct seg_builder *b, const struct point *p, struct err *err)
{
	int rc;

	if (b->rc != 0)
		return failed_before(b, err);
	rc = point_check(b, p, err);
	if (rc == 0)
		rc = b->rc = point_add(b, p, err);
	return rc;
}

/* --- ids ------------------------------------------------------------- */

struct id_sort {
	uint64_t first; /* eight bytes behind the kind, big endian */
	uint32_t row;
	uint8_t kind;
};

struct id_table {
	const uint8_t *ids;
	const struct seg_idoff_disk *off;
	uint32_t n_rows;
};

static struct slice
table_id(const struct id_table *t, uint32_t row)
{
	const struct seg_idoff_disk *o = &t->off[row / IDOFF_ROWS];
	const uint8_t *p =
		t->ids + get_u64(o->base) + get_u16(o->at[row % IDOFF_ROWS]);

	return (struct slice){p + 1, p[0]};
}

static void
sort_init(struct id_sort *s, const struct id_table *t, uint32_t row)
{
	struct slice id = table_id(t, row);
	const uint8_t *p = id.p;
	uint8_t b[8] = {0};

	memcpy(b, p + 1, MIN(id.n - 1, sizeof b));
	memcpy(&s->first, b, sizeof b);
	s->first = be64toh(s->first);
	s->row = row;
	s->kind = p[0];
}

static int
sort_cmp(const void *a, const void *b, void *arg)
{
	const struct id_sort *x = a, *y = b;
	struct slice p, q;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	p = table_id(arg, x->row);
	q = table_id(arg, y->row);
	return id_cmp(p.p, p.n, q.p, q.n);
}

static bool
is_sorted(const struct id_sort *s, struct id_table *t)
{
	for (uint32_t i = 1; i < t->n_rows; i++)
		if (sort_cmp(&s[i - 1], &s[i], t) >= 0)
			return false;
	return true;
}

/* Ids come in order as often as not: then nothing is sorted. */
static int
order_make(struct id_table *t, struct buf *ret, struct err *err)
{
	struct id_sort *s = malloc(MAX(t->n_rows, 1) * sizeof *s);
	int rc = 0;

	if (!s)
		return err_set(err, ERR_NO_MEMORY, "order of ids");
	for (uint32_t i = 0; i < t->n_rows; i++)
		sort_init(&s[i], t, i);
	if (!is_sorted(s, t)) {
		qsort_r(s, t->n_rows, sizeof *s, sort_cmp, t);
		if (!is_sorted(s, t))
			rc = err_set(err, ERR_DAMAGED,
				     "one id stands twice in a segment");
	}
	if (rc == 0)
		buf_reserve(ret, t->n_rows * sizeof(uint32_t));
	for (uint32_t i = 0; rc == 0 && i < t->n_rows; i++)
		buf_put_u32(ret, s[i].row);
	free(s);
	return rc == 0 && ret->failed
		       ? err_set(err, ERR_NO_MEMORY, "order of ids")
		       : rc;
}

static void
bloom_put(uint8_t *bloom, uint32_t n_blocks, uint64_t mix)
{
	uint8_t *p = bloom + (size_t)mix_place(mix, n_blocks) * BLOOM_LEN;
	uint64_t probes = mix_probes(mix);

	for (unsigned i = 0; i < BLOOM_PROBES; i++, probes >>= 9)
		p[probes >> 3 & 63] |= (uint8_t)(1u << (probes & 7));
}

static void
bucket_put(struct seg_bucket_disk *t, uint32_t n_buckets, uint64_t mix,
	   uint32_t row)
{
	struct seg_bucket_disk *b = &t[mix_place(mix, n_buckets)];

	while (b->n == BUCKET_ROWS) {
		b->flags = BUCKET_OVERFLOW;
		b = b + 1 < t + n_buckets ? b + 1 : t;
	}
	b->tag[b->n] = mix_tag(mix);
	set_u32(b->row[b->n], row);
	b->n++;
}

static int
hash_make(const struct id_table *t, struct buf *bloom, struct buf *hash,
	  struct err *err)
{
	uint32_t n_bloom = bloom_blocks(t->n_rows);
	uint32_t n_buckets = bucket_count(t->n_rows);

	buf_put_zero(bloom, (size_t)n_bloom * BLOOM_LEN);
	buf_put_zero(hash, (size_t)n_buckets * sizeof(struct seg_bucket_disk));
	if (bloom->failed || hash->failed)
		return err_set(err, ERR_NO_MEMORY, "table of ids");
	for (uint32_t row = 0; row < t->n_rows; row++) {
		struct slice id = table_id(t, row);
		uint64_t mix = id_mix(id.p, id.n);

		bloom_put(bloom->p, n_bloom, mix);
		bucket_put((void *)hash->p, n_buckets, mix, row);
	}
	return 0;
}

/* --- the end --------------------------------------------------------- */

static int
sect_begin(struct seg_builder *b, enum seg_sect k, struct err *err)
{
	int rc = pages_pad(b->w, PAGE_LEN, err);

	set_u64(b->dir.sect[k - 1].at, pages_at(b->w));
	return rc;
}

static void
sect_end(struct seg_builder *b, enum seg_sect k)
{
	struct seg_sect_disk *d = &b->dir.sect[k - 1];

	set_u32(d->kind, k);
	set_u64(d->len, pages_at(b->w) - get_u64(d->at));
}

static int
sect_write(struct seg_builder *b, enum seg_sect k, const void *p, size_t n,
	   struct err *err)
{
	int rc = sect_begin(b, k, err);

	if (rc == 0)
		rc = pages_write(b->w, p, n, err);
	sect_end(b, k);
	return rc;
}

static int
sect_spool(struct seg_builder *b, enum seg_sect k, struct spool *s,
	   struct err *err)
{
	const uint8_t *p = NULL;
	int rc = spool_map(s, b->dirfd, &p, err);

	if (rc == 0)
		rc = sect_write(b, k, p, spool_len(s), err);
	return rc;
}

static int
write_hash(struct seg_builder *b, const struct id_table *t, struct err *err)
{
	CLEAN(buf_done) struct buf bloom = {0};
	CLEAN(buf_done) struct buf hash = {0};
	int rc = hash_make(t, &bloom, &hash, err);

	if (rc == 0)
		rc = sect_write(b, SECT_BLOOM, bloom.p, bloom.n, err);
	if (rc == 0)
		rc = sect_write(b, SECT_IDHASH, hash.p, hash.n, err);
	return rc;
}

static int
write_ids(struct seg_builder *b, struct err *err)
{
	CLEAN(buf_done) struct buf order = {0};
	struct id_table t = {.n_rows = b->n_rows};
	int rc = spool_map(&b->ids, b->dirfd, &t.ids, err);

	t.off = (const void *)b->idoff.p;
	if (rc == 0)
		rc = sect_write(b, SECT_IDOFF, b->idoff.p, b->idoff.n, err);
	if (rc == 0)
		rc = sect_write(b, SECT_IDS, t.ids, spool_len(&b->ids), err);
	if (rc == 0)
		rc = write_hash(b, &t, err);
	if (rc == 0)
		rc = order_make(&t, &order, err);
	if (rc == 0)
		rc = sect_write(b, SECT_IDORDER, order.p, order.n, err);
	return rc;
}

static int
write_dir(struct seg_builder *b, struct err *err)
{
	struct seg_dir_disk *d = &b->dir;
	int rc = pages_pad(b->w, PAGE_LEN, err);

	if (rc != 0)
		return rc;
	memcpy(d->magic, SEG_MAGIC, sizeof d->magic);
	set_u16(d->version, SEG_VERSION);
	d->distance = (uint8_t)b->distance;
	d->n_sects = SECT_NR - 1;
	set_u32(d->dim, b->dim);
	set_u32(d->n_rows, b->n_rows);
	set_u32(d->n_vecs, b->n_vecs);
	set_u32(d->n_blocks, b->n_blocks);
	set_u64(d->min_lsn, b->min_lsn);
	set_u64(d->max_lsn, b->max_lsn);
	set_u32(d->crc, crc32c(0, d, sizeof *d - 4));
	return pages_write(b->w, d, sizeof *d, err);
}

static int
write_sections(struct seg_builder *b, struct err *err)
{
	int rc = block_end(b, err);

	sect_end(b, SECT_VECS); /* began at 0 */
	if (rc == 0)
		rc = sect_write(b, SECT_NORMS, b->norms.p, b->norms.n, err);
	if (rc == 0)
		rc = sect_write(b, SECT_VECROW, b->vecrow.p, b->vecrow.n, err);
	if (rc == 0)
		rc = sect_spool(b, SECT_META, &b->meta, err);
	if (rc == 0)
		rc = write_ids(b, err);
	if (rc == 0)
		rc = sect_spool(b, SECT_DOCS, &b->docs, err);
	if (rc == 0)
		rc = sect_write(b, SECT_DOCIDX, b->docidx.p, b->docidx.n, err);
	if (rc == 0)
		rc = write_dir(b, err);
	return rc;
}

int
seg_finish(struct seg_builder *b, struct seg_desc *ret, struct err *err)
{
	struct pages_list data = {0};
	int rc;

	if (b->rc != 0)
		return failed_before(b, err);
	rc = write_sections(b, err);
	if (rc == 0)
		rc = pages_finish(b->w, &data, err);
	b->rc = rc ? rc : -ERR_STOPPED;
	if (rc != 0) {
		pages_abort(b->w);
		b->w = NULL;
		return rc;
	}
	*ret = (struct seg_desc){
		.n_rows = b->n_rows,
		.n_vecs = b->n_vecs,
		.dim = b->dim,
		.vec_bytes = (uint64_t)b->n_vecs * b->dim * sizeof(float),
		.min_lsn = b->min_lsn,
		.max_lsn = b->max_lsn,
		.data = data,
	};
	return 0;
}

void
seg_abort(struct seg_builder *b)
{
	if (!b)
		return;
	pages_abort(b->w);
	spool_done(&b->meta);
	spool_done(&b->ids);
	spool_done(&b->docs);
	buf_done(&b->norms);
	buf_done(&b->vecrow);
	buf_done(&b->idoff);
	buf_done(&b->block);
	buf_done(&b->packed);
	buf_done(&b->docidx);
	free(b);
}
