/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "tests/unit/in_child.h"

#include <signal.h>
#include <string.h>

static void
test_pieces_are_aligned_and_apart(void **state)
{
	CLEAN(arena_done) struct arena a = {0};
	uint8_t *p[200];
	size_t i, k;

	(void)state;
	for (i = 0; i < 200; i++) {
		p[i] = arena_alloc(&a, i * 7);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] % 16, 0);
		memset(p[i], (int)i, i * 7);
	}
	for (i = 0; i < 200; i++)
		for (k = 0; k < i * 7; k++)
			assert_int_equal(p[i][k], i);
}

static void
test_vectors_start_at_cache_lines(void **state)
{
	CLEAN(arena_done) struct arena a = {0};
	size_t i;
	float *v;

	(void)state;
	for (i = 1; i < 300; i += 13) {
		arena_alloc(&a, i);
		v = arena_vec(&a, i);
		assert_int_equal((uintptr_t)v % 64, 0);
		memset(v, 0, i * sizeof *v);
	}
}

static void
test_zalloc_is_zero_after_reuse(void **state)
{
	CLEAN(arena_done) struct arena a = {0};
	uint8_t *p;
	size_t i;

	(void)state;
	memset(arena_alloc(&a, 3000), 0xff, 3000);
	arena_reset(&a);
	p = arena_zalloc(&a, 3000);
	for (i = 0; i < 3000; i++)
		assert_int_equal(p[i], 0);
}

static void
test_copies_and_prints(void **state)
{
	CLEAN(arena_done) struct arena a = {0};
	char *s;

	(void)state;
	assert_memory_equal(arena_dup(&a, "abc", 3), "abc", 3);
	assert_non_null(arena_dup(&a, NULL, 0));
	assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
	s = arena_printf(&a, "%s-%05d", "n", 42);
	assert_string_equal(s, "n-00042");
}

static void
test_limit_is_kept(void **state)
{
	CLEAN(arena_done) struct arena a = {.limit = 1000};

	(void)state;
	assert_non_null(arena_alloc(&a, 600));
	assert_null(arena_alloc(&a, 401));
	assert_non_null(arena_alloc(&a, 400));
	assert_null(arena_alloc(&a, 1));
	assert_int_equal(a.used, 1000);
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 1000));
}

static void
test_impossible_sizes_are_refused(void **state)
{
	CLEAN(arena_done) struct arena a = {0};

	(void)state;
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 15));
	assert_null(arena_vec(&a, SIZE_MAX / 2));
	assert_null(arena_vec(&a, SIZE_MAX / 4 + 1));
	assert_null(arena_strndup(&a, "", SIZE_MAX));
	assert_int_equal(a.used, 0);
}

static void
test_rewind_gives_back_what_came_after(void **state)
{
	CLEAN(arena_done) struct arena a = {0};
	struct arena_mark m;
	uint8_t *before, *p;
	int i;

	(void)state;
	before = arena_dup(&a, "before", 7);
	m = arena_mark(&a);
	for (i = 0; i < 3; i++) {
		p = arena_alloc(&a, 100);
		memset(p, 1, 100);
		memset(arena_alloc(&a, 5 << 20), 2, 5 << 20);
		arena_rewind(&a, m);
		assert_int_equal(a.used, 7);
		assert_string_equal((char *)before, "before");
		assert_ptr_equal(arena_alloc(&a, 1), p);
		arena_rewind(&a, m);
	}
}

static void
test_rewind_to_an_empty_arena(void **state)
{
	CLEAN(arena_done) struct arena a = {0};
	struct arena_mark m = arena_mark(&a);

	(void)state;
	arena_alloc(&a, 10);
	arena_alloc(&a, 1 << 20);
	arena_rewind(&a, m);
	assert_int_equal(a.used, 0);
	assert_non_null(arena_alloc(&a, 10));
	arena_rewind(&a, m);
	assert_int_equal(a.used, 0);
}

static void
test_reset_keeps_a_block_but_no_huge_one(void **state)
{
	CLEAN(arena_done) struct arena a = {0};
	void *p = arena_alloc(&a, 10);

	(void)state;
	arena_reset(&a);
	assert_ptr_equal(arena_alloc(&a, 10), p);
	arena_alloc(&a, 64 << 20);
	arena_reset(&a);
	assert_ptr_equal(arena_alloc(&a, 10), p);
	arena_done(&a);
	assert_null(a.head);
}

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

#ifdef WITH_ASAN
static int
overrun_a_piece(void *arg)
{
	CLEAN(arena_done) struct arena a = {0};
	volatile uint8_t *p = arena_alloc(&a, 13);

	p[*(int *)arg] = 1;
	return 0;
}

static int
use_after_reset(void *arg)
{
	CLEAN(arena_done) struct arena a = {0};
	volatile uint8_t *p = arena_alloc(&a, 13);

	arena_reset(&a);
	p[*(int *)arg] = 1;
	return 0;
}

static void
test_sanitizer_sees_overrun_and_late_use(void **state)
{
	int inside = 12, outside = 13;

	(void)state;
	assert_int_equal(in_child(overrun_a_piece, &inside), 0);
	assert_int_not_equal(in_child(overrun_a_piece, &outside), 0);
	assert_int_not_equal(in_child(use_after_reset, &inside), 0);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_are_aligned_and_apart),
		cmocka_unit_test(test_vectors_start_at_cache_lines),
		cmocka_unit_test(test_zalloc_is_zero_after_reuse),
		cmocka_unit_test(test_copies_and_prints),
		cmocka_unit_test(test_limit_is_kept),
		cmocka_unit_test(test_impossible_sizes_are_refused),
		cmocka_unit_test(test_rewind_gives_back_what_came_after),
		cmocka_unit_test(test_rewind_to_an_empty_arena),
		cmocka_unit_test(test_reset_keeps_a_block_but_no_huge_one),
#ifdef WITH_ASAN
		cmocka_unit_test(test_sanitizer_sees_overrun_and_late_use),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
