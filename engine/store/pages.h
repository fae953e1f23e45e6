/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages.h - a run of bytes kept in files of at most 64 MiB that are named by
 * their content, checksummed by page, and mapped as one.
 *
 * A stream is written once from begin to end.  It is cut into files
 * <sha256>.qv (pages_format.h): a header page, up to PAGES_PAYLOAD_MAX bytes of
 * the stream, and a crc32c for each of its pages.  Reading maps the payloads of
 * all files one after the other into one range of addresses, so that an offset
 * in the stream is an offset in memory; a page is checked when it is first
 * asked for by pages_check(), and by scrub.
 *
 * shapes   Payload of each file but the last is PAGES_PAYLOAD_MAX, a multiple
 *          of the page.  Bytes behind the end read as zero up to the page.
 * errors   ERR_DAMAGED with the file's name and offset; ERR_VERSION for a
 *          newer format.
 * owners   struct pages holds the mapping; the descriptor list is copied.
 * threads  A writer is one thread's.  A mapping is everybody's.
 */
#ifndef ENGINE_STORE_PAGES_H
#define ENGINE_STORE_PAGES_H

#include "engine/base/buf.h"
#include "engine/base/hash.h"

struct err;

#define PAGE_LEN          4096u
#define PAGES_FILE_MAX    (64u << 20)
#define PAGES_PAYLOAD_MAX (PAGES_FILE_MAX - 32u * PAGE_LEN)
#define PAGES_NAME_LEN    (SHA256_HEX + 3) /* "<sha256>.qv" */

enum stream_kind { /* what the bytes are; reaches the disk */
		   STREAM_SEGMENT = 1,
		   STREAM_GRAPH = 2,
		   STREAM_DELETED = 3,
};

struct pages_file {
	uint8_t sum[SHA256_LEN];
	uint32_t len;     /* of the whole file */
	uint32_t payload; /* bytes of the stream in it */
};

struct pages_list { /* one stream */
	uint32_t n;
	struct pages_file *files; /* malloc'd: pages_list_done() */
	uint64_t len;             /* of the stream */
};
void pages_list_done(struct pages_list *l);
int pages_list_copy(const struct pages_list *l, struct pages_list *ret,
		    struct err *err);
int pages_list_encode(const struct pages_list *l, struct buf *ret);
int pages_list_decode(struct reader *r, struct pages_list *ret,
		      struct err *err);
void pages_name(const struct pages_file *f, char ret[PAGES_NAME_LEN + 1]);

/* --- writing --------------------------------------------------------- */

struct pages_writer;

int pages_create(int dirfd, enum stream_kind kind, struct pages_writer **ret,
		 struct err *err);
int pages_write(struct pages_writer *w, const void *p, size_t n,
		struct err *err);
int pages_pad(struct pages_writer *w, uint32_t to, struct err *err);
/* zeros up to a multiple */
uint64_t pages_at(const struct pages_writer *w);
/* Every file fsynced and under its name, the directory fsynced. */
int pages_finish(struct pages_writer *w, struct pages_list *ret,
		 struct err *err);
void pages_abort(struct pages_writer *w); /* removes what was written; also
					   * after pages_finish: just frees */

/* --- reading --------------------------------------------------------- */

struct pages {
	const uint8_t *p; /* the stream */
	uint64_t len;
	/* the rest is pages.c's */
	struct pages_list list;
	uint64_t map_len;
	const uint8_t **sums;      /* per file: its crc table, mapped */
	const uint8_t **headers;   /* per file: its header page, mapped */
	_Atomic uint64_t *checked; /* a bit a page */
	_Atomic uint32_t n_damaged;
};

int pages_open(int dirfd, enum stream_kind kind, const struct pages_list *l,
	       struct pages **ret, struct err *err);
void pages_close(struct pages *pg);

/* Checks the pages under [at, at + n) unless that was done before. */
int pages_check(struct pages *pg, uint64_t at, uint64_t n, struct err *err);
/* Like it, but reads everything again (scrub, `check`): crc of every page,
 * and with deep the SHA-256 of every file. */
int pages_verify(struct pages *pg, bool deep, struct err *err);

/* Header of one file on its own, for dump and restore. */
struct pages_header {
	uint16_t version;
	uint8_t kind;
	uint32_t len;
	uint32_t payload;
	uint64_t at; /* where in the stream it begins */
};
int pages_header_read(const void *p, size_t n, struct pages_header *ret,
		      struct err *err);

#endif
