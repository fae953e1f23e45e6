/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/manifest.h"

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/fault.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Both files: 8 bytes magic, u16 version, u16 zero, u32 crc32c of these four
 * bytes and of what follows, u64 length of what follows that.
 */
#define HEAD_LEN     24u
#define FILE_VERSION 1
#define FILE_LEN_MAX (256u << 20)
#define SEGS_MAX     65536u
#define ENTRIES_MAX  (1u << 24)

static void
head_make(struct buf *b, const char *magic)
{
	buf_put(b, magic, 8);
	buf_put_zero(b, HEAD_LEN - 8);
}

static uint32_t
head_sum(const uint8_t *p, size_t n)
{
	return crc32c(crc32c(0, p + 8, 4), p + 16, n - 16);
}

static void
head_fill(struct buf *b)
{
	if (b->failed)
		return;
	set_u16(b->p + 8, FILE_VERSION);
	set_u64(b->p + 16, b->n - HEAD_LEN);
	set_u32(b->p + 12, head_sum(b->p, b->n));
}

static int
head_check(const uint8_t *p, size_t n, const char *magic, struct reader *ret,
	   struct err *err)
{
	if (n < HEAD_LEN || memcmp(p, magic, 8) != 0)
		return err_set(err, ERR_DAMAGED, "not a %.8s file", magic);
	if (get_u32(p + 12) != head_sum(p, n))
		return err_set(err, ERR_DAMAGED, "checksum differs");
	if (get_u16(p + 8) != FILE_VERSION)
		return err_set(err, ERR_VERSION,
			       "format %u; this program knows up to %d",
			       get_u16(p + 8), FILE_VERSION);
	if (get_u64(p + 16) != n - HEAD_LEN)
		return err_set(err, ERR_DAMAGED, "wrong length");
	*ret = (struct reader){.p = p + HEAD_LEN, .n = n - HEAD_LEN};
	return 0;
}

/* As file_replace_at(), with the places where a test stops it. */
static int
replace(int dirfd, const char *name, const struct buf *b, enum fault before,
	enum fault after, struct err *err)
{
	int rc;

	if (b->failed)
		return err_set(err, ERR_NO_MEMORY, "no memory for %s", name);
	if (fault_hit(before))
		return err_set(err, ERR_IO, "fault before renaming %s", name);
	rc = file_replace_at(dirfd, name, b->p, b->n, err);
	if (rc == 0 && fault_hit(after))
		return err_set(err, ERR_IO, "fault after renaming %s", name);
	return rc;
}

/* --- manifest -------------------------------------------------------- */

static void
manifest_encode(const struct manifest *m, struct buf *b)
{
	head_make(b, MANIFEST_MAGIC);
	buf_put_varint(b, m->coll);
	buf_put_varint(b, m->lsn);
	buf_put_u64(b, (uint64_t)m->time_us);
	buf_put_varint(b, m->next_no);
	buf_put_varint(b, m->distance);
	buf_put_varint(b, m->n_shards);
	for (uint32_t s = 0; s < m->n_shards; s++) {
		const struct manifest_shard *sh = &m->shards[s];

		buf_put_varint(b, sh->next_seg);
		buf_put_varint(b, sh->n_segs);
		for (uint32_t i = 0; i < sh->n_segs; i++)
			seg_desc_encode(&sh->segs[i], b);
	}
	head_fill(b);
}

int
manifest_save(int dirfd, const struct manifest *m, struct err *err)
{
	CLEAN(buf_done) struct buf b = {0};

	manifest_encode(m, &b);
	return replace(dirfd, MANIFEST_NAME, &b, FAULT_manifest_before_rename,
		       FAULT_manifest_after_rename, err);
}

static int
shard_decode(struct reader *r, struct manifest_shard *sh, struct err *err)
{
	uint32_t n;

	sh->next_seg = reader_varint(r);
	n = (uint32_t)reader_varint(r);
	if (r->failed || n > SEGS_MAX)
		return err_set(err, ERR_DAMAGED, "segment list out of range");
	sh->segs = calloc(n + 1, sizeof *sh->segs);
	if (sh->segs == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for a manifest");
	for (; sh->n_segs < n; sh->n_segs++) {
		int rc = seg_desc_decode(r, &sh->segs[sh->n_segs], err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
manifest_read(struct reader *r, struct manifest *m, struct err *err)
{
	uint64_t n;

	m->coll = (uint32_t)reader_varint(r);
	m->lsn = reader_varint(r);
	m->time_us = (int64_t)reader_u64(r);
	m->next_no = reader_varint(r);
	m->distance = (uint32_t)reader_varint(r);
	n = reader_varint(r);
	if (r->failed || n == 0 || n > SHARDS_MAX)
		return err_set(err, ERR_DAMAGED, "shard count out of range");
	m->shards = calloc(n, sizeof *m->shards);
	if (m->shards == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for a manifest");
	while (m->n_shards < n) {
		/* counted first: what is half decoded is freed too */
		int rc = shard_decode(r, &m->shards[m->n_shards++], err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int
manifest_decode(const void *p, size_t n, struct manifest *ret, struct err *err)
{
	struct manifest m = {0};
	struct reader r;
	int rc = head_check(p, n, MANIFEST_MAGIC, &r, err);

	if (rc == 0)
		rc = manifest_read(&r, &m, err);
	if (rc < 0) {
		manifest_done(&m);
		return rc;
	}
	*ret = m;
	return 0;
}

int
manifest_load(int dirfd, struct manifest *ret, struct err *err)
{
	CLEAN(buf_done) struct buf b = {0};
	int rc = file_load_at(dirfd, MANIFEST_NAME, FILE_LEN_MAX, &b, err);

	if (rc == 0)
		rc = manifest_decode(b.p, b.n, ret, err);
	return rc;
}

void
manifest_done(struct manifest *m)
{
	for (uint32_t s = 0; s < m->n_shards; s++) {
		struct manifest_shard *sh = &m->shards[s];

		for (uint32_t i = 0; i < sh->n_segs; i++)
			seg_desc_done(&sh->segs[i]);
		free(sh->segs);
	}
	free(m->shards);
	memset(m, 0, sizeof *m);
}

/* --- catalog --------------------------------------------------------- */

static void
catalog_encode(const struct catalog *c, struct buf *b)
{
	head_make(b, CATALOG_MAGIC);
	buf_put_varint(b, c->checkpoint);
	buf_put_varint(b, c->lsn);
	buf_put_varint(b, c->next_coll);
	buf_put_varint(b, c->n_colls);
	for (uint32_t i = 0; i < c->n_colls; i++) {
		op_encode_coll(b, OP_COLL_CREATE, c->colls[i].id,
			       c->colls[i].config, c->colls[i].implied);
		buf_put_varint(b, c->colls[i].flushed);
	}
	buf_put_varint(b, c->n_entries);
	for (uint32_t i = 0; i < c->n_entries; i++)
		op_encode_entry(b, OP_ENTRY_SET, &c->entries[i]);
	head_fill(b);
}

int
catalog_save(int dirfd, const struct catalog *c, struct err *err)
{
	CLEAN(buf_done) struct buf b = {0};

	catalog_encode(c, &b);
	return replace(dirfd, CATALOG_NAME, &b, FAULT_catalog_before_rename,
		       FAULT_catalog_after_rename, err);
}

static int
slice_own(struct slice *s, struct err *err)
{
	char *p = malloc(s->n + 1);

	if (p == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for the catalog");
	memcpy(p, s->n ? s->p : "", s->n);
	p[s->n] = '\0';
	s->p = p;
	return 0;
}

static int
read_op(struct reader *r, enum op_kind kind, struct op *op, struct err *err)
{
	int rc = op_next(r, op, err);

	if (rc < 0)
		return rc;
	if (rc == 0 || op->kind != kind)
		return err_set(err, ERR_DAMAGED, "catalog is cut off");
	return 0;
}

static int
catalog_read(struct reader *r, struct catalog *c, struct err *err)
{
	uint64_t n_colls, n_entries;
	struct op op;
	int rc;

	c->checkpoint = reader_varint(r);
	c->lsn = reader_varint(r);
	c->next_coll = (uint32_t)reader_varint(r);
	n_colls = reader_varint(r);
	if (r->failed || n_colls > ENTRIES_MAX || n_colls > r->n)
		return err_set(err, ERR_DAMAGED, "collection count");
	c->colls = calloc(n_colls + 1, sizeof *c->colls);
	if (c->colls == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for the catalog");
	while (c->n_colls < n_colls) {
		struct catalog_coll *cc = &c->colls[c->n_colls];

		rc = read_op(r, OP_COLL_CREATE, &op, err);
		if (rc < 0)
			return rc;
		*cc = (struct catalog_coll){.id = op.coll,
					    .implied = op.implied,
					    .config = op.config};
		rc = slice_own(&cc->config, err);
		if (rc < 0)
			return rc;
		c->n_colls++;
		cc->flushed = reader_varint(r);
	}
	n_entries = reader_varint(r);
	if (r->failed || n_entries > ENTRIES_MAX || n_entries > r->n)
		return err_set(err, ERR_DAMAGED, "entry count");
	c->entries = calloc(n_entries + 1, sizeof *c->entries);
	if (c->entries == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for the catalog");
	while (c->n_entries < n_entries) {
		struct op_entry *e = &c->entries[c->n_entries];

		rc = read_op(r, OP_ENTRY_SET, &op, err);
		if (rc < 0)
			return rc;
		*e = op.entry;
		rc = slice_own(&e->name, err);
		if (rc < 0)
			return rc;
		c->n_entries++;
		rc = slice_own(&e->target, err);
		if (rc < 0) {
			e->target.p = NULL;
			return rc;
		}
	}
	return 0;
}

int
catalog_decode(const void *p, size_t n, struct catalog *ret, struct err *err)
{
	struct catalog c = {0};
	struct reader r;
	int rc = head_check(p, n, CATALOG_MAGIC, &r, err);

	if (rc == 0)
		rc = catalog_read(&r, &c, err);
	if (rc < 0) {
		catalog_done(&c);
		return rc;
	}
	*ret = c;
	return 0;
}

int
catalog_load(int dirfd, struct catalog *ret, struct err *err)
{
	CLEAN(buf_done) struct buf b = {0};
	int rc = file_load_at(dirfd, CATALOG_NAME, FILE_LEN_MAX, &b, err);

	if (rc == 0)
		rc = catalog_decode(b.p, b.n, ret, err);
	return rc;
}

void
catalog_done(struct catalog *c)
{
	for (uint32_t i = 0; i < c->n_colls; i++)
		free((void *)(uintptr_t)c->colls[i].config.p);
	for (uint32_t i = 0; i < c->n_entries; i++) {
		free((void *)(uintptr_t)c->entries[i].name.p);
		free((void *)(uintptr_t)c->entries[i].target.p);
	}
	free(c->colls);
	free(c->entries);
	memset(c, 0, sizeof *c);
}
