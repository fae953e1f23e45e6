/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/buf.h"

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN    64
#define VARINT_MAX 10 /* bytes of a u64, 7 bits each */

int
buf_reserve(struct buf *b, size_t more)
{
	size_t cap;
	uint8_t *p;

	if (b->failed)
		return -ERR_NO_MEMORY;
	if (more <= b->cap - b->n)
		return 0;
	if (more > SIZE_MAX / 4 - b->n)
		goto failed;
	cap = MAX(MAX(b->cap + b->cap / 2, b->n + more), (size_t)CAP_MIN);
	p = realloc(b->p, cap);
	if (!p)
		goto failed;
	b->p = p;
	b->cap = cap;
	return 0;
failed:
	b->failed = true;
	return -ERR_NO_MEMORY;
}

int
buf_put(struct buf *b, const void *p, size_t n)
{
	int rc = buf_reserve(b, n);

	if (rc || n == 0)
		return rc;
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

int
buf_put_u8(struct buf *b, uint8_t v)
{
	return buf_put(b, &v, sizeof v);
}

int
buf_put_u16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	return buf_put(b, &v, sizeof v);
}

int
buf_put_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	return buf_put(b, &v, sizeof v);
}

int
buf_put_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	return buf_put(b, &v, sizeof v);
}

int
buf_put_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[VARINT_MAX];
	size_t n = 0;

	while (v >= 0x80) {
		bytes[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	bytes[n++] = (uint8_t)v;
	return buf_put(b, bytes, n);
}

int
buf_put_slice(struct buf *b, struct slice s)
{
	int rc;

	if (s.n > SIZE_MAX / 4) {
		b->failed = true;
		return -ERR_NO_MEMORY;
	}
	rc = buf_reserve(b, s.n + VARINT_MAX); /* both parts or none */
	if (rc)
		return rc;
	buf_put_varint(b, s.n);
	return buf_put(b, s.p, s.n);
}

int
buf_put_zero(struct buf *b, size_t n)
{
	int rc = buf_reserve(b, n);

	if (rc || n == 0)
		return rc;
	memset(b->p + b->n, 0, n);
	b->n += n;
	return 0;
}

int
buf_puts(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return -ERR_NO_MEMORY;
	}
	rc = buf_reserve(b, (size_t)n + 1); /* vsnprintf writes a NUL, too */
	if (rc)
		return rc;
	va_start(ap, fmt);
	vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
	return 0;
}

void
buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

void
buf_done(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}

/* The next n bytes, or NULL and the reader has failed. */
static const uint8_t *
reader_take(struct reader *r, size_t n)
{
	const uint8_t *p;

	if (r->failed || r->at > r->n || n > r->n - r->at) {
		r->failed = true;
		return NULL;
	}
	p = r->p + r->at;
	r->at += n;
	return p;
}

uint8_t
reader_u8(struct reader *r)
{
	const uint8_t *p = reader_take(r, 1);

	return p ? *p : 0;
}

uint16_t
reader_u16(struct reader *r)
{
	const uint8_t *p = reader_take(r, 2);

	return p ? get_u16(p) : 0;
}

uint32_t
reader_u32(struct reader *r)
{
	const uint8_t *p = reader_take(r, 4);

	return p ? get_u32(p) : 0;
}

uint64_t
reader_u64(struct reader *r)
{
	const uint8_t *p = reader_take(r, 8);

	return p ? get_u64(p) : 0;
}

/* One value has one spelling: more than 64 bits, or a last byte that adds
 * nothing, is a failure. */
uint64_t
reader_varint(struct reader *r)
{
	uint64_t v = 0;
	unsigned shift;
	uint8_t c;

	for (shift = 0; shift < 7 * VARINT_MAX; shift += 7) {
		c = reader_u8(r);
		if (r->failed)
			return 0;
		if ((shift == 63 && c > 1) || (shift > 0 && c == 0))
			break;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80)
			return v;
	}
	r->failed = true;
	return 0;
}

struct slice
reader_bytes(struct reader *r, size_t n)
{
	struct slice s = {0};

	if (n == 0) /* of nothing there may be no address to take */
		return s;
	s.p = reader_take(r, n);
	s.n = s.p ? n : 0;
	return s;
}

struct slice
reader_slice(struct reader *r)
{
	uint64_t n = reader_varint(r);

	if (n > SIZE_MAX) {
		r->failed = true;
		n = 0;
	}
	return reader_bytes(r, (size_t)n);
}
