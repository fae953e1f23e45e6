/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each test gets an empty directory, and the system's calls afterwards. */
static char dir_name[64];
static int dir = -1;
static struct file_hooks system_hooks;

static int
setup(void **state)
{
	(void)state;
	snprintf(dir_name, sizeof dir_name, "/tmp/test_base_file.XXXXXX");
	if (!mkdtemp(dir_name))
		return -1;
	dir = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	system_hooks = file_hooks;
	return dir < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	file_hooks = system_hooks;
	close(dir);
	return file_remove_tree(AT_FDCWD, dir_name, NULL);
}

static void
write_file(const char *name, const char *text)
{
	int fd;

	assert_int_equal(
		file_open_at(dir, name, O_CREAT | O_TRUNC | O_RDWR, &fd, NULL),
		0);
	assert_int_equal(file_write_all(fd, text, strlen(text), 0, NULL), 0);
	close(fd);
}

static void
assert_file(const char *name, const char *text)
{
	CLEAN(buf_done) struct buf b = {0};

	assert_int_equal(file_load_at(dir, name, 1 << 20, &b, NULL), 0);
	assert_int_equal(b.n, strlen(text));
	if (b.n)
		assert_memory_equal(b.p, text, b.n);
}

static bool
exists(const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* --- open, read, write ----------------------------------------------- */

static void
test_new_files_and_directories_are_private(void **state)
{
	mode_t old = umask(0);
	struct stat st;
	int fd, sub;

	(void)state;
	assert_int_equal(file_open_at(dir, "f", O_CREAT | O_RDWR, &fd, NULL),
			 0);
	assert_int_equal(dir_open_at(dir, "d", true, &sub, NULL), 0);
	umask(old);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fstat(sub, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(sub, F_GETFD), FD_CLOEXEC);
	close(fd);
	close(sub);
}

static void
test_made_directory_may_be_there(void **state)
{
	struct err err = {0};
	int fd;

	(void)state;
	assert_int_equal(dir_open_at(dir, "d", false, &fd, &err),
			 -ERR_NOT_FOUND);
	assert_int_equal(dir_open_at(dir, "d", true, &fd, &err), 0);
	close(fd);
	assert_int_equal(dir_open_at(dir, "d", true, &fd, &err), 0);
	close(fd);
	write_file("f", "");
	assert_int_equal(dir_open_at(dir, "f", true, &fd, &err), -ERR_IO);
}

static void
test_errors_name_the_path(void **state)
{
	struct err err = {0};
	char want[100];
	int fd = -7;

	(void)state;
	assert_int_equal(file_open_at(dir, "gone", O_RDONLY, &fd, &err),
			 -ERR_NOT_FOUND);
	assert_int_equal(fd, -7);
	snprintf(want, sizeof want, "'%s/gone'", dir_name);
	assert_non_null(strstr(err.text, want));
	write_file("f", "abc");
	assert_int_equal(file_open_at(dir, "f", O_RDONLY, &fd, &err), 0);
	assert_int_equal(file_write_all(fd, "x", 1, 0, &err), -ERR_IO);
	snprintf(want, sizeof want, "'%s/f'", dir_name);
	assert_non_null(strstr(err.text, want));
	close(fd);
}

static void
test_read_stops_at_the_end(void **state)
{
	char b[8];
	size_t n;
	int fd;

	(void)state;
	write_file("f", "abcdef");
	assert_int_equal(file_open_at(dir, "f", O_RDONLY, &fd, NULL), 0);
	assert_int_equal(file_read_all(fd, b, 3, 2, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_memory_equal(b, "cde", 3);
	assert_int_equal(file_read_all(fd, b, 8, 4, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_int_equal(file_read_all(fd, b, 8, 100, &n, NULL), 0);
	assert_int_equal(n, 0);
	close(fd);
}

static void
test_load_keeps_its_limit(void **state)
{
	CLEAN(buf_done) struct buf b = {0};
	struct err err = {0};

	(void)state;
	write_file("f", "12345");
	buf_puts(&b, "old");
	assert_int_equal(file_load_at(dir, "f", 4, &b, &err), -ERR_TOO_BIG);
	assert_int_equal(b.n, 3);
	assert_int_equal(file_load_at(dir, "f", 5, &b, &err), 0);
	assert_memory_equal(b.p, "old12345", 8);
	assert_int_equal(file_load_at(dir, "f", SIZE_MAX, &b, &err), 0);
	assert_int_equal(b.n, 13);
}

static void
test_load_reads_files_that_tell_no_size(void **state)
{
	CLEAN(buf_done) struct buf b = {0};
	struct err err = {0};

	(void)state;
	assert_int_equal(
		file_load_at(AT_FDCWD, "/proc/self/status", 1 << 20, &b, &err),
		0);
	assert_true(b.n > 100);
	buf_clear(&b);
	assert_int_equal(
		file_load_at(AT_FDCWD, "/proc/self/status", 100, &b, &err),
		-ERR_TOO_BIG);
	assert_int_equal(file_load_at(AT_FDCWD, "/dev/zero", 100, &b, &err),
			 -ERR_TOO_BIG);
	assert_int_equal(b.n, 0);
}

/* Interrupted every second time, and one byte at a time. */
static ssize_t
slow_pwrite(int fd, const void *p, size_t n, off_t at)
{
	static unsigned turn;

	if (turn++ % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	return pwrite(fd, p, n ? 1 : 0, at);
}

static void
test_short_and_interrupted_writes_go_on(void **state)
{
	(void)state;
	file_hooks.pwrite = slow_pwrite;
	write_file("f", "all of this");
	file_hooks = system_hooks;
	assert_file("f", "all of this");
}

static ssize_t
stuck_pwrite(int fd, const void *p, size_t n, off_t at)
{
	(void)fd, (void)p, (void)n, (void)at;
	return 0;
}

static void
test_write_that_gets_nowhere_is_an_error(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(file_open_at(dir, "f", O_CREAT | O_RDWR, &fd, NULL),
			 0);
	file_hooks.pwrite = stuck_pwrite;
	assert_int_equal(file_write_all(fd, "x", 1, 0, NULL), -ERR_IO);
	assert_int_equal(file_write_all(fd, "x", 0, 0, NULL), 0);
	close(fd);
}

static void
test_allocate_and_truncate_set_the_length(void **state)
{
	struct err err = {0};
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(file_open_at(dir, "f", O_CREAT | O_RDWR, &fd, NULL),
			 0);
	assert_int_equal(file_allocate(fd, 100000, &err), 0);
	fstat(fd, &st);
	assert_int_equal(st.st_size, 100000);
	assert_int_equal(file_truncate(fd, 10, &err), 0);
	fstat(fd, &st);
	assert_int_equal(st.st_size, 10);
	assert_int_equal(file_allocate(fd, -1, &err), -ERR_IO);
	assert_int_equal(file_truncate(fd, -1, &err), -ERR_IO);
	assert_int_equal(file_sync(fd, &err), 0);
	assert_int_equal(file_sync_full(dir, &err), 0);
	close(fd);
	assert_int_equal(file_sync(fd, &err), -ERR_IO);
	assert_int_equal(file_sync_full(fd, &err), -ERR_IO);
}

/* --- calls that are recorded, and fail in turn ----------------------- */

static char calls[256];
static int n_calls, fail_at; /* the number of the call that fails, from 1 */

static bool
call(const char *what)
{
	strncat(calls, what, sizeof calls - strlen(calls) - 1);
	errno = ENOSPC;
	return ++n_calls != fail_at;
}

static ssize_t
told_pwrite(int fd, const void *p, size_t n, off_t at)
{
	return call("write ") ? pwrite(fd, p, n, at) : -1;
}

static int
told_fsync(int fd)
{
	struct stat st;

	fstat(fd, &st);
	return call(S_ISDIR(st.st_mode) ? "syncdir " : "sync ") ? fsync(fd)
								: -1;
}

static int
told_renameat(int od, const char *from, int nd, const char *to)
{
	return call("rename ") ? renameat(od, from, nd, to) : -1;
}

static int
told_unlinkat(int d, const char *name, int flags)
{
	return call("unlink ") ? unlinkat(d, name, flags) : -1;
}

static void
tell(int fail)
{
	calls[0] = '\0';
	n_calls = 0;
	fail_at = fail;
	file_hooks.pwrite = told_pwrite;
	file_hooks.fsync = told_fsync;
	file_hooks.renameat = told_renameat;
	file_hooks.unlinkat = told_unlinkat;
}

static void
test_replace_syncs_before_and_after_the_rename(void **state)
{
	(void)state;
	write_file("f", "old");
	tell(0);
	assert_int_equal(file_replace_at(dir, "f", "new", 3, NULL), 0);
	assert_string_equal(calls, "write sync rename syncdir ");
	assert_file("f", "new");
	assert_false(exists("f.tmp"));
	assert_int_equal(file_replace_at(dir, "f", NULL, 0, NULL), 0);
	assert_file("f", "");
}

static void
test_failed_replace_keeps_the_old_file(void **state)
{
	struct err err = {0};
	int i;

	(void)state;
	for (i = 1; i <= 3; i++) { /* write, sync, rename */
		write_file("f", "old");
		tell(i);
		assert_int_equal(file_replace_at(dir, "f", "new", 3, &err),
				 -ERR_NO_SPACE);
		file_hooks = system_hooks;
		assert_int_equal(err.code, ERR_NO_SPACE);
		assert_file("f", "old");
		assert_false(exists("f.tmp"));
	}
	tell(4); /* the directory's sync: replaced, but not known to last */
	assert_int_equal(file_replace_at(dir, "f", "new", 3, &err),
			 -ERR_NO_SPACE);
	file_hooks = system_hooks;
	assert_file("f", "new");
}

static void
test_replace_overwrites_what_a_crash_left(void **state)
{
	(void)state;
	write_file("f.tmp", "long rest of an earlier attempt");
	assert_int_equal(file_replace_at(dir, "f", "new", 3, NULL), 0);
	assert_file("f", "new");
}

static void
test_replace_does_not_write_through_a_link(void **state)
{
	(void)state;
	write_file("other", "kept");
	assert_int_equal(symlinkat("other", dir, "f.tmp"), 0);
	assert_int_equal(file_replace_at(dir, "f", "new", 3, NULL), -ERR_IO);
	assert_file("other", "kept");
}

static void
test_replace_refuses_a_name_too_long(void **state)
{
	char name[254];

	(void)state;
	memset(name, 'n', sizeof name - 1);
	name[253] = '\0';
	assert_int_equal(file_replace_at(dir, name, "x", 1, NULL),
			 -ERR_NAME_LONG);
	name[251] = '\0';
	assert_int_equal(file_replace_at(dir, name, "x", 1, NULL), 0);
}

static void
test_rename_and_unlink(void **state)
{
	struct err err = {0};

	(void)state;
	write_file("a", "A");
	assert_int_equal(file_rename_at(dir, "a", "b", &err), 0);
	assert_file("b", "A");
	assert_int_equal(file_rename_at(dir, "a", "b", &err), -ERR_NOT_FOUND);
	assert_int_equal(file_unlink_at(dir, "b", &err), 0);
	assert_int_equal(file_unlink_at(dir, "b", &err), -ERR_NOT_FOUND);
}

/* --- directories ----------------------------------------------------- */

static int
add_up(void *arg, const char *name, struct err *err)
{
	(void)err;
	*(int *)arg += atoi(name);
	return 0;
}

static int
stop_at_once(void *arg, const char *name, struct err *err)
{
	(void)name;
	++*(int *)arg;
	return err_set(err, ERR_BUSY, "stop");
}

static void
test_each_entry_once_and_again(void **state)
{
	struct err err = {0};
	char name[12];
	int i, n = 0;

	(void)state;
	for (i = 1; i <= 100; i++) {
		snprintf(name, sizeof name, "%d", i);
		write_file(name, "");
	}
	for (i = 1; i <= 2; i++) { /* the position is not the descriptor's */
		assert_int_equal(dir_each(dir, add_up, &n, &err), 0);
		assert_int_equal(n, 5050 * i);
	}
	n = 0;
	assert_int_equal(dir_each(dir, stop_at_once, &n, &err), -ERR_BUSY);
	assert_int_equal(n, 1);
}

static void
test_remove_tree_takes_all_below(void **state)
{
	char name[40];
	int i, fd;

	(void)state;
	for (i = 0; i < 30; i++) {
		snprintf(name, sizeof name, i < 3 ? "t" : "t/%d", i % 10);
		assert_int_equal(dir_open_at(dir, name, true, &fd, NULL), 0);
		close(fd);
		snprintf(name, sizeof name, "t/file-%d", i);
		write_file(name, "x");
	}
	assert_int_equal(file_remove_tree(dir, "t", NULL), 0);
	assert_false(exists("t"));
	assert_int_equal(file_remove_tree(dir, "t", NULL), -ERR_NOT_FOUND);
	write_file("f", "");
	assert_int_equal(file_remove_tree(dir, "f", NULL), 0);
	assert_false(exists("f"));
}

static void
test_remove_tree_does_not_follow_links(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(dir_open_at(dir, "kept", true, &fd, NULL), 0);
	close(fd);
	write_file("kept/f", "x");
	assert_int_equal(dir_open_at(dir, "t", true, &fd, NULL), 0);
	close(fd);
	assert_int_equal(symlinkat("../kept", dir, "t/link"), 0);
	assert_int_equal(symlinkat("kept", dir, "top"), 0);
	assert_int_equal(file_remove_tree(dir, "t", NULL), 0);
	assert_int_equal(file_remove_tree(dir, "top", NULL), 0);
	assert_false(exists("t"));
	assert_false(exists("top"));
	assert_file("kept/f", "x");
}

static void
test_remove_tree_tells_what_it_could_not(void **state)
{
	struct err err = {0};
	int fd;

	(void)state;
	assert_int_equal(dir_open_at(dir, "t", true, &fd, NULL), 0);
	close(fd);
	write_file("t/f", "x");
	tell(1);
	assert_int_equal(file_remove_tree(dir, "t", &err), -ERR_NO_SPACE);
	assert_non_null(strstr(err.text, "/t/f'"));
	tell(2);
	assert_int_equal(file_remove_tree(dir, "t", &err), -ERR_NO_SPACE);
	assert_non_null(strstr(err.text, "/t'"));
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FILE_TEST(test_new_files_and_directories_are_private),
		FILE_TEST(test_made_directory_may_be_there),
		FILE_TEST(test_errors_name_the_path),
		FILE_TEST(test_read_stops_at_the_end),
		FILE_TEST(test_load_keeps_its_limit),
		FILE_TEST(test_load_reads_files_that_tell_no_size),
		FILE_TEST(test_short_and_interrupted_writes_go_on),
		FILE_TEST(test_write_that_gets_nowhere_is_an_error),
		FILE_TEST(test_allocate_and_truncate_set_the_length),
		FILE_TEST(test_replace_syncs_before_and_after_the_rename),
		FILE_TEST(test_failed_replace_keeps_the_old_file),
		FILE_TEST(test_replace_overwrites_what_a_crash_left),
		FILE_TEST(test_replace_does_not_write_through_a_link),
		FILE_TEST(test_replace_refuses_a_name_too_long),
		FILE_TEST(test_rename_and_unlink),
		FILE_TEST(test_each_entry_once_and_again),
		FILE_TEST(test_remove_tree_takes_all_below),
		FILE_TEST(test_remove_tree_does_not_follow_links),
		FILE_TEST(test_remove_tree_tells_what_it_could_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
