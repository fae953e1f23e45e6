/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - for what cannot happen.  Aborts in every build, because memory can
 * no longer be trusted.  Input from a user, a disk or a network never gets
 * here: it gets an error.
 */
#ifndef ENGINE_BASE_CHECK_H
#define ENGINE_BASE_CHECK_H

#include <stddef.h>

_Noreturn void check_failed(const char *what, const char *file, int line);

#define check(x)                                                               \
	do {                                                                   \
		if (__builtin_expect(!(x), 0))                                 \
			check_failed(#x, __FILE__, __LINE__);                  \
	} while (0)

#define CONTAINER_OF(p, type, member)                                          \
	((type *)(void *)((char *)(p)-offsetof(type, member)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)    ((a) < (b) ? (a) : (b))
#define MAX(a, b)    ((a) > (b) ? (a) : (b))

/* Scoped cleanup: CLEAN(buf_done) struct buf b = {0}; */
#define CLEAN(fn) __attribute__((cleanup(fn)))

#endif
