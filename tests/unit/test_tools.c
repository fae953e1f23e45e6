/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/answer.h"
#include "tools/mount_options.h"
#include "tools/vectors.h"

#include "engine/base/check.h"
#include "engine/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* --- answers --------------------------------------------------------- */

static const char answer[] =
	"{\"a\": {\"b\": [1, {\"c\": \"x\\\"y\"}, \"z\"], \"n\": 7},"
	" \"status\": {\"error\": \"no \\u00e9\"}, \"e\": \"\"}";

static bool
element_count(void *arg, struct slice element)
{
	assert_true(element.n > 0);
	return ++*(int *)arg < 3;
}

static void
test_members_are_found_by_path(void **state)
{
	struct slice text = {answer, sizeof answer - 1};
	CLEAN(buf_done) struct buf s = {0};
	struct json_tok t;
	struct slice raw;
	uint64_t n = 0;
	int count = 0;

	(void)state;
	assert_true(answer_number(text, "a.n", &n));
	assert_int_equal(n, 7);
	assert_true(answer_error(text, &s));
	assert_string_equal((char *)s.p, "no \xc3\xa9");
	assert_true(answer_find(text, "a.b", &t, &raw));
	assert_int_equal(((const char *)raw.p)[raw.n - 1], ']');
	answer_each(text, "a.b", element_count, &count);
	assert_int_equal(count, 3);
	assert_false(answer_find(text, "a.x", &t, &raw));
	assert_false(answer_find(text, "a.n.x", &t, &raw));
	assert_false(answer_number(text, "e", &n));
}

static void
test_what_is_no_json_has_no_members(void **state)
{
	static const char *const bad[] = {"", "{", "{\"a\"", "{\"a\":", "x"};
	struct json_tok t;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		struct slice text = {bad[i], strlen(bad[i])};

		assert_false(answer_find(text, "a", &t, NULL));
	}
}

/* --- mount options --------------------------------------------------- */

static void
test_mount_options_go_where_they_belong(void **state)
{
	char text[] = "rw,nosuid,x-systemd.automount,_netdev,max_read=65536,"
		      "allow_other,sync=fsync,wal_path=/a=b,show_control";
	struct mount_options o;

	(void)state;
	assert_int_equal(mount_options_parse(text, &o, NULL), 0);
	assert_true(o.allow_other && o.show_control);
	assert_false(o.read_only || o.scratch_only);
	assert_int_equal(o.n_over, 2);
	assert_string_equal(o.over[0].name, "sync");
	assert_string_equal(o.over[0].value, "fsync");
	assert_string_equal(o.over[1].value, "/a=b");
	assert_string_equal((char *)o.fuse.p, "nosuid");
	mount_options_done(&o);
	assert_int_equal(mount_options_parse(NULL, &o, NULL), 0);
	assert_int_equal(o.fuse.n, 0);
}

static void
test_unknown_mount_options_are_refused_by_name(void **state)
{
	static const char *const bad[] = {"roo", "noatime,synk=close", "ro=1",
					  "big_writes", "sync"};
	struct mount_options o;
	struct err err;
	char text[40];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof text, "%s", bad[i]);
		assert_int_equal(mount_options_parse(text, &o, &err),
				 -ERR_CONFIG);
		assert_non_null(strstr(err.text, "-o "));
	}
}

/* --- files of vectors ------------------------------------------------ */

struct file {
	char path[40];
};

static void
file_make(struct file *f, const char *end, const void *p, size_t n)
{
	int fd;

	snprintf(f->path, sizeof f->path, "/tmp/test_tools.XXXXXX%s", end);
	fd = mkstemps(f->path, (int)strlen(end));
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), (ssize_t)n);
	close(fd);
}

/* Rows read, or the error. */
static int
rows_read(const char *end, const void *p, size_t n, float *ret_last)
{
	struct vectors v;
	struct file f;
	int rc, rows = 0;

	file_make(&f, end, p, n);
	rc = vectors_open(f.path, &v, NULL);
	if (!rc) {
		while ((rc = vectors_next(&v, NULL)) == 1) {
			*ret_last = v.v[v.dim - 1];
			rows++;
		}
		vectors_close(&v);
	}
	unlink(f.path);
	return rc ? rc : rows;
}

static void
test_fvecs_are_read_to_the_last_row(void **state)
{
	static const uint32_t rows[] = {2, 0x3f800000, 0x40000000,
					2, 0x40400000, 0x40800000};
	float last = 0;

	(void)state;
	assert_int_equal(rows_read(".fvecs", rows, sizeof rows, &last), 2);
	assert_true(last == 4.0f);
	assert_int_equal(rows_read(".fvecs", rows, 0, &last), 0);
	assert_int_equal(rows_read(".fvecs", rows, 23, &last), -ERR_TYPE);
	assert_int_equal(rows_read(".fvecs", rows, 14, &last), -ERR_TYPE);
	assert_int_equal(rows_read(".fvecs", rows + 1, 20, &last), -ERR_TYPE);
}

static int
npy_read(const char *header, const void *p, size_t n, float *ret_last)
{
	char file[512];
	size_t len = strlen(header);

	memcpy(file, "\x93NUMPY\x01\x00", 8);
	file[8] = (char)len;
	file[9] = 0;
	memcpy(file + 10, header, len);
	memcpy(file + 10 + len, p, n);
	return rows_read(".npy", file, 10 + len + n, ret_last);
}

static void
test_npy_is_read_as_float32_or_float64(void **state)
{
	static const float f4[] = {1, 2, 3, 4, 5, 6};
	static const double f8[] = {1, 2, 3, 4.5};
	float last = 0;

	(void)state;
	assert_int_equal(npy_read("{'descr': '<f4', 'fortran_order': False, "
				  "'shape': (2, 3), }\n",
				  f4, sizeof f4, &last),
			 2);
	assert_true(last == 6.0f);
	assert_int_equal(npy_read("{'descr': '<f8', 'fortran_order': False, "
				  "'shape': (2, 2), }\n",
				  f8, sizeof f8, &last),
			 2);
	assert_true(last == 4.5f);
}

static void
test_npy_of_another_shape_is_refused(void **state)
{
	static const char *const bad[] = {
		"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 3), }",
		"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 3), }",
		"{'descr': '<i4', 'fortran_order': False, 'shape': (1, 3), }",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0), }",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (9, 3), }",
		"{'shape': (1, 3)}",
		"",
	};
	static const float f4[] = {1, 2, 3};
	float last;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(npy_read(bad[i], f4, sizeof f4, &last),
				 -ERR_TYPE);
	assert_int_equal(rows_read(".npy", "\x93NUMPY", 6, &last), -ERR_TYPE);
	assert_int_equal(rows_read(".npy", "", 0, &last), -ERR_TYPE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members_are_found_by_path),
		cmocka_unit_test(test_what_is_no_json_has_no_members),
		cmocka_unit_test(test_mount_options_go_where_they_belong),
		cmocka_unit_test(
			test_unknown_mount_options_are_refused_by_name),
		cmocka_unit_test(test_fvecs_are_read_to_the_last_row),
		cmocka_unit_test(test_npy_is_read_as_float32_or_float64),
		cmocka_unit_test(test_npy_of_another_shape_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
