/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_format.h - the bytes of a segment's stream, and of the list of deleted
 * rows; FORMAT.md says it in prose.
 *
 * The stream is sections, each from the start of a page, and at last one page
 * of directory, which says where they are.  The directory stands at the end
 * because vectors, which come first, are written before it is known how many
 * there will be.
 */
#ifndef ENGINE_STORE_SEG_FORMAT_H
#define ENGINE_STORE_SEG_FORMAT_H

#include "engine/base/bytes.h"
#include "engine/base/hash.h"
#include "engine/store/pages.h"
#include "engine/types.h"

#include <assert.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "vectors are searched in the mapping as they stand: little endian"
#endif

/* --- sections -------------------------------------------------------- */

enum seg_sect {                  /* numbers reach the disk */
		SECT_VECS = 1,   /* n_vecs rows of dim f32 */
		SECT_NORMS = 2,  /* n_vecs f32; cosine only, else empty */
		SECT_VECROW = 3, /* u32 row of each vector */
		SECT_META = 4,   /* struct seg_meta_disk a row */
		SECT_IDOFF = 5,  /* where each id is: struct seg_idoff_disk */
		SECT_IDS = 6,   /* a byte of length and the key, for each row */
		SECT_BLOOM = 7, /* blocked Bloom filter of the ids */
		SECT_IDHASH = 8,  /* struct seg_bucket_disk */
		SECT_IDORDER = 9, /* u32 row by rising id */
		SECT_DOCS = 10,   /* packed blocks of documents */
		SECT_DOCIDX = 11, /* struct seg_docidx_disk a block */
		SECT_NR
};

struct seg_meta_disk {
	uint8_t no[8];
	uint8_t lsn[8];
	uint8_t time_us[8];
	uint8_t mtime_ns[8];
	uint8_t digest[DIGEST_LEN];
	uint8_t size[4];
	uint8_t uid[4];
	uint8_t vec_no[4]; /* 0xffffffff: no vector */
	uint8_t form;
	uint8_t style;
	uint8_t flags[2]; /* zero */
};
static_assert(sizeof(struct seg_meta_disk) == 64, "a row of metadata");

/* 252 ids of at most 1 + 251 bytes fit a 16-bit offset, and eight such blocks
 * fill a page. */
#define IDOFF_ROWS 252u
struct seg_idoff_disk {
	uint8_t base[8]; /* of the block in SECT_IDS */
	uint8_t at[IDOFF_ROWS][2];
};
static_assert(sizeof(struct seg_idoff_disk) == 512, "an eighth of a page");

/* One cache line.  An id is in the bucket its hash names or, when that one is
 * marked as overflowed, in one of those that follow. */
#define BUCKET_ROWS     12u
#define BUCKET_LOAD     8u /* rows per bucket on average: 2/3 */
#define BUCKET_OVERFLOW 1u
struct seg_bucket_disk {
	uint8_t tag[BUCKET_ROWS];
	uint8_t n;
	uint8_t flags;
	uint8_t zero[2];
	uint8_t row[BUCKET_ROWS][4];
};
static_assert(sizeof(struct seg_bucket_disk) == 64, "a cache line");

#define BLOOM_LEN    64u /* of a block */
#define BLOOM_PER    48u /* ids a block: 10.7 bits an id */
#define BLOOM_PROBES 6u

/* Unpacking 4 KB takes 7 us, 16 KB 20 us, and saves a tenth more: a file that
 * is opened alone should not pay for its neighbours. */
#define DOC_BLOCK_LEN  (4u << 10) /* a block is closed when it reaches it */
#define DOC_BLOCK_ROWS 256u
#define DOC_TEXT_MAX   (256u << 20) /* of one row */
#define DOC_HEAD_MAX   30u          /* five varints and one to spare */
#define DOC_RAW        0
#define DOC_ZSTD       1
struct seg_docidx_disk {
	uint8_t at[8]; /* in SECT_DOCS */
	uint8_t first_row[4];
	uint8_t len[4];     /* as stored */
	uint8_t raw_len[4]; /* unpacked */
	uint8_t packing;
	uint8_t zero[3];
};
static_assert(sizeof(struct seg_docidx_disk) == 24, "a block's entry");

/* --- directory ------------------------------------------------------- */

#define SEG_MAGIC    "PointFSs"
#define SEG_VERSION  1
#define SEG_ROWS_MAX (1u << 31)

struct seg_sect_disk {
	uint8_t kind[4];
	uint8_t zero[4];
	uint8_t at[8];
	uint8_t len[8];
};

struct seg_dir_disk {
	uint8_t magic[8];
	uint8_t version[2];
	uint8_t distance; /* enum distance; 0 while there is no vector */
	uint8_t n_sects;
	uint8_t dim[4];
	uint8_t n_rows[4];
	uint8_t n_vecs[4];
	uint8_t n_blocks[4]; /* of documents */
	uint8_t zero[4];
	uint8_t min_lsn[8];
	uint8_t max_lsn[8];
	struct seg_sect_disk sect[SECT_NR - 1]; /* by rising kind */
	uint8_t reserved[PAGE_LEN - 52 - 24 * (SECT_NR - 1)]; /* zero */
	uint8_t crc[4]; /* crc32c of all before; same place in each version */
};
static_assert(sizeof(struct seg_dir_disk) == PAGE_LEN, "one page");

/* --- deleted rows ---------------------------------------------------- */

#define DELETED_MAGIC   "PointFSd"
#define DELETED_VERSION 1
#define DELETED_GAPS    1 /* varint: rows left out before each */
#define DELETED_BITS    2 /* a bit a row, lowest first */

struct seg_deleted_disk {
	uint8_t magic[8];
	uint8_t version[2];
	uint8_t coding;
	uint8_t zero;
	uint8_t n_rows[4];
	uint8_t n_deleted[4];
	uint8_t len[4]; /* of what follows */
};
static_assert(sizeof(struct seg_deleted_disk) == 24, "deleted rows header");

/* --- where an id is looked for --------------------------------------- */

static inline uint32_t
bloom_blocks(uint32_t n_rows)
{
	return n_rows / BLOOM_PER + (n_rows % BLOOM_PER != 0);
}

static inline uint32_t
bucket_count(uint32_t n_rows)
{
	return n_rows ? n_rows / BUCKET_LOAD + 1 : 0;
}

static inline uint32_t
idoff_blocks(uint32_t n_rows)
{
	return n_rows / IDOFF_ROWS + (n_rows % IDOFF_ROWS != 0);
}

/* hash64() also picks the shard, so all ids here may agree in some function of
 * it; the product spreads what is left over all bits. */
static inline uint64_t
id_mix(const void *key, size_t n)
{
	uint64_t h = hash64(key, n) * 0x9e3779b97f4a7c15ull;

	return h ^ h >> 32;
}

static inline uint32_t
mix_place(uint64_t mix, uint32_t n) /* 0 .. n - 1, by the upper half */
{
	return (uint32_t)((mix >> 32) * n >> 32);
}

static inline uint8_t
mix_tag(uint64_t mix)
{
	return (uint8_t)mix;
}

/* BLOOM_PROBES numbers of 9 bits. */
static inline uint64_t
mix_probes(uint64_t mix)
{
	return mix * 0xd6e8feb86659fd93ull >> 10;
}

#endif
