/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/arena.h"

#include "engine/base/bytes.h"
#include "engine/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Under the address sanitizer all that is not handed out is poisoned, so that
 * an overrun inside a block is seen as one outside malloc's would be. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define ALIGN     16
#define ALIGN_VEC 64
/* Larger pieces get a block of their size. */
#define BLOCK_MIN ((size_t)4 << 10)
#define BLOCK_MAX ((size_t)1 << 20)

struct arena_block {
	struct arena_block *next;
	size_t cap;
	size_t at;
	_Alignas(ALIGN_VEC) uint8_t bytes[];
};

static void
block_free(struct arena_block *b)
{
	UNPOISON(b->bytes, b->cap);
	free(b);
}

/* Blocks double, so that a small request costs one and a large one few. */
static struct arena_block *
block_new(struct arena *a, size_t len)
{
	struct arena_block *b;
	size_t cap = BLOCK_MIN;

	if (a->head)
		cap = MIN(a->head->cap * 2, BLOCK_MAX);
	cap = MAX(cap, round_up(len, ALIGN_VEC));
	b = aligned_alloc(ALIGN_VEC, sizeof *b + cap);
	if (!b)
		return NULL;
	b->next = a->head;
	b->cap = cap;
	b->at = 0;
	POISON(b->bytes, cap);
	a->head = b;
	return b;
}

static void *
arena_take(struct arena *a, size_t len, size_t align)
{
	struct arena_block *b = a->head;
	size_t at;

	if (len > SIZE_MAX / 4 ||
	    (a->limit && (a->used > a->limit || len > a->limit - a->used)))
		return NULL;
	at = b ? round_up(b->at, align) : 0;
	if (!b || at > b->cap || len > b->cap - at) {
		b = block_new(a, len);
		if (!b)
			return NULL;
		at = 0;
	}
	b->at = at + len;
	a->used += len;
	UNPOISON(b->bytes + at, len);
	return b->bytes + at;
}

void *
arena_alloc(struct arena *a, size_t len)
{
	return arena_take(a, len, ALIGN);
}

void *
arena_zalloc(struct arena *a, size_t len)
{
	void *p = arena_take(a, len, ALIGN);

	if (p)
		memset(p, 0, len);
	return p;
}

float *
arena_vec(struct arena *a, size_t n)
{
	if (n > SIZE_MAX / sizeof(float))
		return NULL;
	return arena_take(a, n * sizeof(float), ALIGN_VEC);
}

void *
arena_dup(struct arena *a, const void *p, size_t len)
{
	void *d = arena_take(a, len, ALIGN);

	if (d && len)
		memcpy(d, p, len);
	return d;
}

char *
arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *d;

	if (len == SIZE_MAX)
		return NULL;
	d = arena_take(a, len + 1, ALIGN);
	if (!d)
		return NULL;
	if (len)
		memcpy(d, s, len);
	d[len] = '\0';
	return d;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	s = arena_take(a, (size_t)n + 1, ALIGN);
	if (!s)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

struct arena_mark
arena_mark(const struct arena *a)
{
	return (struct arena_mark){a->head, a->head ? a->head->at : 0, a->used};
}

void
arena_rewind(struct arena *a, struct arena_mark m)
{
	struct arena_block *b;

	if (!m.head) {
		arena_reset(a);
		return;
	}
	while (a->head != m.head) {
		b = a->head;
		check(b); /* the mark is of another arena, or was rewound */
		a->head = b->next;
		block_free(b);
	}
	POISON(m.head->bytes + round_up(m.at, 8),
	       m.head->cap - round_up(m.at, 8));
	m.head->at = m.at;
	a->used = m.used;
}

void
arena_reset(struct arena *a)
{
	struct arena_block *keep = NULL, *b, *next;

	for (b = a->head; b; b = next) {
		next = b->next;
		if (b->cap <= BLOCK_MAX && (!keep || b->cap > keep->cap)) {
			if (keep)
				block_free(keep);
			keep = b;
		} else {
			block_free(b);
		}
	}
	if (keep) {
		keep->next = NULL;
		keep->at = 0;
		POISON(keep->bytes, keep->cap);
	}
	a->head = keep;
	a->used = 0;
}

void
arena_done(struct arena *a)
{
	struct arena_block *b;

	while ((b = a->head)) {
		a->head = b->next;
		block_free(b);
	}
	a->used = 0;
}
