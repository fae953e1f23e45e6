/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/buf.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/counters.h"
#include "engine/base/err.h"
#include "tests/unit/in_child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* --- err ------------------------------------------------------------- */

static void
test_set_fills_code_and_text(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(err_set(&err, ERR_DIM, "%d given", 3), -ERR_DIM);
	assert_int_equal(err.code, ERR_DIM);
	assert_string_equal(err_text(&err), "3 given");
}

static void
test_null_err_still_gives_the_code(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_ID, "x"), -ERR_ID);
	assert_int_equal(err_sys(NULL, ENOSPC, "x"), -ERR_NO_SPACE);
	assert_int_equal(err_in(NULL, -ERR_ID, "x"), -ERR_ID);
	assert_non_null(err_text(NULL));
}

static void
test_sys_picks_the_code_and_appends_strerror(void **state)
{
	static const struct {
		int errnum;
		int code;
	} cases[] = {
		{ENOSPC, ERR_NO_SPACE},  {EDQUOT, ERR_NO_SPACE},
		{ENOMEM, ERR_NO_MEMORY}, {EMFILE, ERR_NO_FILES},
		{EROFS, ERR_READ_ONLY},  {ENOENT, ERR_NOT_FOUND},
		{EEXIST, ERR_EXISTS},    {EIO, ERR_IO},
		{EBADF, ERR_IO},
	};
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(err_sys(&err, cases[i].errnum, "x"),
				 -cases[i].code);
	err_sys(&err, ENOENT, "cannot open '%s'", "a");
	assert_string_equal(err.text,
			    "cannot open 'a': No such file or directory");
}

static void
test_in_puts_phrases_in_front(void **state)
{
	struct err err = {0};
	int rc = err_set(&err, ERR_DAMAGED, "page 3");

	(void)state;
	assert_int_equal(err_in(&err, rc, "segment %d", 7), rc);
	assert_int_equal(err_in(&err, rc, "shard 0"), rc);
	assert_string_equal(err.text, "shard 0: segment 7: page 3");
	assert_int_equal(err.code, ERR_DAMAGED);
}

static void
test_in_without_a_text_takes_the_tables(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(err_in(&err, -ERR_NOT_FOUND, "point 4"),
			 -ERR_NOT_FOUND);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_string_equal(err.text, "point 4: not found");
}

static void
test_in_leaves_success_alone(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(err_in(&err, 0, "segment 7"), 0);
	assert_int_equal(err.code, 0);
	assert_string_equal(err.text, "");
}

static void
test_text_may_be_its_own_argument(void **state)
{
	struct err err = {0};

	(void)state;
	err_set(&err, ERR_ID, "inner");
	err_set(&err, ERR_QUERY, "outer (%s)", err.text);
	assert_string_equal(err.text, "outer (inner)");
}

static void
test_long_text_is_cut_at_a_character(void **state)
{
	char s[1200];
	struct err err;
	size_t n, i;

	(void)state;
	for (i = 0; i < 599; i++) /* two-byte letters after one of one byte */
		memcpy(s + 1 + 2 * i, "\xc3\xa9", 2);
	s[0] = 'a';
	s[1199] = '\0';
	err_set(&err, ERR_ID, "%s", s);
	n = strlen(err.text);
	assert_int_equal(n, 499);
	err_set(&err, ERR_ID, "b%s", s);
	n = strlen(err.text);
	assert_int_equal(n, 498);
	assert_int_equal((uint8_t)err.text[n - 1], 0xa9);
}

static void
test_text_is_one_line_of_utf8(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_ID, "%s", "a\nb\x7f\x01|\xff|\xc0\x80|\xed\xa0\x80");
	assert_string_equal(err.text, "a b  |?|\?\?|\?\?\?");
	err_set(&err, ERR_ID, "%s", "\xf0\x9f\x98\x80 \xe2\x82\xac \xe2\x82");
	assert_string_equal(err.text, "\xf0\x9f\x98\x80 \xe2\x82\xac \?\?");
}

static void
test_every_code_has_errno_name_and_text(void **state)
{
	struct err err = {0};
	int code;

	(void)state;
	for (code = ERR_BEFORE_FIRST + 1; code < ERR_AFTER_LAST; code++) {
		assert_true(err_errno(-code) > 0);
		assert_memory_equal(err_name(-code), "ERR_", 4);
		err.code = code;
		assert_true(strlen(err_text(&err)) > 3);
	}
	assert_int_equal(err_errno(-ERR_DAMAGED), EBADMSG);
	assert_int_equal(err_errno(-ERR_STOPPED), ESHUTDOWN);
	assert_string_equal(err_name(-ERR_JSON), "ERR_JSON");
	assert_string_equal(err_name(ERR_STOPPED), "ERR_STOPPED");
}

static void
test_bare_errno_becomes_eio(void **state)
{
	(void)state;
	assert_int_equal(err_errno(0), 0);
	assert_int_equal(err_errno(-ENOSPC), EIO);
	assert_int_equal(err_errno(-ERR_AFTER_LAST), EIO);
	assert_int_equal(err_errno(INT32_MIN), EIO);
}

/* --- buf and reader -------------------------------------------------- */

static void
test_numbers_are_little_endian(void **state)
{
	static const uint8_t want[] = {1,  3,  2,  7,  6,  5, 4, 15,
				       14, 13, 12, 11, 10, 9, 8};
	CLEAN(buf_done) struct buf b = {0};

	(void)state;
	buf_put_u8(&b, 1);
	buf_put_u16(&b, 0x0203);
	buf_put_u32(&b, 0x04050607);
	buf_put_u64(&b, 0x08090a0b0c0d0e0f);
	assert_false(b.failed);
	assert_int_equal(b.n, sizeof want);
	assert_memory_equal(b.p, want, sizeof want);
}

static void
test_what_is_put_reads_back(void **state)
{
	static const uint64_t values[] = {
		0,          1,     127,        128,
		16383,      16384, UINT32_MAX, UINT64_MAX >> 1,
		UINT64_MAX,
	};
	CLEAN(buf_done) struct buf b = {0};
	struct reader r;
	struct slice s;
	size_t i;

	(void)state;
	buf_put_u16(&b, 65535);
	for (i = 0; i < ARRAY_LEN(values); i++)
		buf_put_varint(&b, values[i]);
	buf_put_slice(&b, (struct slice){"four", 4});
	buf_put_slice(&b, (struct slice){NULL, 0});
	buf_put_zero(&b, 3);
	buf_puts(&b, "t");
	buf_printf(&b, "%s-%d", "u", 5);
	r = (struct reader){.p = b.p, .n = b.n};
	assert_int_equal(reader_u16(&r), 65535);
	for (i = 0; i < ARRAY_LEN(values); i++)
		assert_true(reader_varint(&r) == values[i]);
	s = reader_slice(&r);
	assert_int_equal(s.n, 4);
	assert_memory_equal(s.p, "four", 4);
	assert_int_equal(reader_slice(&r).n, 0);
	s = reader_bytes(&r, 7);
	assert_memory_equal(s.p, "\0\0\0tu-5", 7);
	assert_false(r.failed);
	assert_int_equal(r.at, r.n);
}

static void
test_reader_fails_at_the_end_and_stays_failed(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3};
	struct reader r = {.p = bytes, .n = 3};

	(void)state;
	assert_int_equal(reader_u32(&r), 0);
	assert_true(r.failed);
	assert_int_equal(reader_u8(&r), 0);
	assert_null(reader_bytes(&r, 1).p);
	assert_true(reader_u64(&r) == 0 && reader_u16(&r) == 0);
	assert_true(reader_varint(&r) == 0 && reader_slice(&r).n == 0);
}

static void
test_reader_refuses_lengths_beyond_the_end(void **state)
{
	static const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					0xff, 0xff, 0xff, 0x01, 9,    9};
	struct reader r = {.p = bytes, .n = sizeof bytes};
	struct slice s = reader_slice(&r);

	(void)state;
	assert_true(r.failed);
	assert_null(s.p);
	assert_int_equal(s.n, 0);
	r = (struct reader){.p = bytes, .n = sizeof bytes, .at = 5};
	assert_null(reader_bytes(&r, SIZE_MAX).p);
	assert_true(r.failed);
}

static void
test_varint_has_one_spelling(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{"\x80", 1},     /* cut */
		{"\x80\x00", 2}, /* zero in two bytes */
		{"\xff\x80\x00", 3},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10}, /* 65 bits */
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11},
	};
	struct reader r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		r = (struct reader){.p = (const void *)bad[i].bytes,
				    .n = bad[i].n};
		assert_true(reader_varint(&r) == 0);
		assert_true(r.failed);
	}
}

static void
test_impossible_reserve_fails_and_keeps_contents(void **state)
{
	CLEAN(buf_done) struct buf b = {0};

	(void)state;
	buf_puts(&b, "kept");
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 2), -ERR_NO_MEMORY);
	assert_true(b.failed);
	assert_int_equal(buf_puts(&b, "more"), -ERR_NO_MEMORY);
	assert_int_equal(buf_printf(&b, "%d", 4), -ERR_NO_MEMORY);
	assert_int_equal(b.n, 4);
	assert_memory_equal(b.p, "kept", 4);
	buf_clear(&b);
	assert_int_equal(buf_puts(&b, "again"), 0);
	assert_int_equal(b.n, 5);
}

static void
test_buf_grows_over_many_puts(void **state)
{
	CLEAN(buf_done) struct buf b = {0};
	uint32_t i;

	(void)state;
	for (i = 0; i < 100000; i++)
		buf_put_u32(&b, i);
	assert_false(b.failed);
	assert_int_equal(b.n, 400000);
	for (i = 0; i < 100000; i++)
		assert_int_equal(b.p[4 * i] | b.p[4 * i + 1] << 8 |
					 b.p[4 * i + 2] << 16,
				 i);
}

/* --- clock, counters, check ------------------------------------------ */

static void
test_clock_prints_utc_with_microseconds(void **state)
{
	char s[40];

	(void)state;
	clock_print(0, s);
	assert_string_equal(s, "1970-01-01T00:00:00.000000Z");
	clock_print(1795161600123456789, s);
	assert_string_equal(s, "2026-11-20T08:00:00.123456Z");
	clock_print(-1, s);
	assert_string_equal(s, "1969-12-31T23:59:59.999999Z");
	clock_print(INT64_MAX, s);
	assert_string_equal(s, "2262-04-11T23:47:16.854775Z");
	clock_print(INT64_MIN, s);
	assert_string_equal(s, "1677-09-21T00:12:43.145224Z");
}

static void
test_monotonic_clock_does_not_go_back(void **state)
{
	int64_t a = clock_mono_ns(), b;
	int i;

	(void)state;
	for (i = 0; i < 1000; i++, a = b) {
		b = clock_mono_ns();
		assert_true(b >= a);
	}
	assert_true(clock_thread_ns() > 0);
	assert_true(clock_wall_ns() > 1577836800000000000); /* 2020 */
}

static void
test_counters_count_and_are_named(void **state)
{
	(void)state;
	count(COUNTER_searches, 2);
	count(COUNTER_searches, 3);
	assert_true(counters[COUNTER_searches] == 5);
	assert_true(counters[COUNTER_flushes] == 0);
	assert_string_equal(counter_name(COUNTER_wal_syncs), "wal_syncs");
	assert_string_equal(counter_help(COUNTER_flushes),
			    "Memtables written as segments");
}

static int
fail_a_check(void *arg)
{
	check(arg);
	return 0;
}

static void
test_failed_check_aborts(void **state)
{
	(void)state;
	assert_int_equal(in_child(fail_a_check, &errno), 0);
	assert_true(died_of(in_child(fail_a_check, NULL), SIGABRT));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_fills_code_and_text),
		cmocka_unit_test(test_null_err_still_gives_the_code),
		cmocka_unit_test(test_sys_picks_the_code_and_appends_strerror),
		cmocka_unit_test(test_in_puts_phrases_in_front),
		cmocka_unit_test(test_in_without_a_text_takes_the_tables),
		cmocka_unit_test(test_in_leaves_success_alone),
		cmocka_unit_test(test_text_may_be_its_own_argument),
		cmocka_unit_test(test_long_text_is_cut_at_a_character),
		cmocka_unit_test(test_text_is_one_line_of_utf8),
		cmocka_unit_test(test_every_code_has_errno_name_and_text),
		cmocka_unit_test(test_bare_errno_becomes_eio),
		cmocka_unit_test(test_numbers_are_little_endian),
		cmocka_unit_test(test_what_is_put_reads_back),
		cmocka_unit_test(test_reader_fails_at_the_end_and_stays_failed),
		cmocka_unit_test(test_reader_refuses_lengths_beyond_the_end),
		cmocka_unit_test(test_varint_has_one_spelling),
		cmocka_unit_test(
			test_impossible_reserve_fails_and_keeps_contents),
		cmocka_unit_test(test_buf_grows_over_many_puts),
		cmocka_unit_test(test_clock_prints_utc_with_microseconds),
		cmocka_unit_test(test_monotonic_clock_does_not_go_back),
		cmocka_unit_test(test_counters_count_and_are_named),
		cmocka_unit_test(test_failed_check_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
