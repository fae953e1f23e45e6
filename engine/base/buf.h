/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h - growable bytes, the only growable array of bytes.
 *
 * errors   Appending functions return 0 or -ERR_NO_MEMORY and then leave the
 *          contents alone; b->failed stays set, so that a run of appends can
 *          be checked once at its end.
 * threads  One thread at a time.
 */
#ifndef ENGINE_BASE_BUF_H
#define ENGINE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice { /* borrowed bytes */
	const void *p;
	size_t n;
};

struct buf { /* all zero is empty */
	uint8_t *p;
	size_t n;
	size_t cap;
	bool failed;
};

int buf_reserve(struct buf *b, size_t more); /* room for more bytes */
int buf_put(struct buf *b, const void *p, size_t n);
int buf_put_u8(struct buf *b, uint8_t v);
int buf_put_u16(struct buf *b, uint16_t v); /* little endian, as all below */
int buf_put_u32(struct buf *b, uint32_t v);
int buf_put_u64(struct buf *b, uint64_t v);
int buf_put_varint(struct buf *b, uint64_t v);    /* LEB128 */
int buf_put_slice(struct buf *b, struct slice s); /* varint length, bytes */
int buf_put_zero(struct buf *b, size_t n);
int buf_puts(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void buf_clear(struct buf *b); /* empty, memory kept, failed reset */
void buf_done(struct buf *b);  /* memory freed */

/* Reading: a cursor over bytes that came from outside.  Every get checks the
 * end; after the first failure all gets give zero and r->failed is set. */
struct reader {
	const uint8_t *p;
	size_t n;
	size_t at;
	bool failed;
};

uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint64_t reader_varint(struct reader *r);
struct slice reader_bytes(struct reader *r, size_t n);
struct slice reader_slice(struct reader *r); /* varint length, bytes */

#endif
