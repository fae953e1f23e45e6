/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - memory with one lifetime: a request's, or a job step's.
 *
 * owners   Blocks live until arena_reset() or arena_done(); none is freed
 *          singly.  Alignment is 16 bytes; arena_vec() gives 64.
 * errors   NULL when memory is out or the arena's limit is passed; callers
 *          turn that into ERR_NO_MEMORY.
 * threads  One thread at a time.
 */
#ifndef ENGINE_BASE_ARENA_H
#define ENGINE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena_block;

struct arena { /* all zero is an empty arena without a limit */
	struct arena_block *head;
	size_t used;  /* bytes handed out */
	size_t limit; /* 0: none */
};

struct arena_mark {
	struct arena_block *head;
	size_t at;
	size_t used;
};

void *arena_alloc(struct arena *a, size_t len);  /* not zeroed */
void *arena_zalloc(struct arena *a, size_t len); /* zeroed */
float *arena_vec(struct arena *a, size_t n);     /* n floats, 64-byte aligned */
void *arena_dup(struct arena *a, const void *p, size_t len);
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark m);
void arena_reset(struct arena *a); /* keeps one block for the next use */
void arena_done(struct arena *a);  /* frees all; the arena is empty again */

#endif
