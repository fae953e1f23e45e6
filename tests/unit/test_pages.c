/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/pages.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/store/pages_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIG_LEN (70u << 20)

static char dir_name[64];
static int dirfd_test = -1;
static uint8_t *big; /* noise, for all tests to take from */

static int
dir_make(void **state)
{
	(void)state;
	snprintf(dir_name, sizeof dir_name, "/tmp/test_pages.XXXXXX");
	if (!mkdtemp(dir_name))
		return -1;
	return dir_open_at(AT_FDCWD, dir_name, false, &dirfd_test, NULL);
}

static int
dir_drop(void **state)
{
	(void)state;
	close(dirfd_test);
	return file_remove_tree(AT_FDCWD, dir_name, NULL);
}

static int
big_make(void **state)
{
	uint64_t x = 88172645463325252ull;

	(void)state;
	big = malloc(BIG_LEN);
	for (size_t i = 0; big && i < BIG_LEN; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(big + i, &x, 8);
	}
	return big ? 0 : -1;
}

static int
big_drop(void **state)
{
	(void)state;
	free(big);
	return 0;
}

static int
count_entry(void *arg, const char *name, struct err *err)
{
	int *n = arg; /* [0] files, [1] temporary ones */

	(void)err;
	n[0]++;
	n[1] += strncmp(name, PAGES_TMP, strlen(PAGES_TMP)) == 0;
	return 0;
}

static int
n_files(void)
{
	int n[2] = {0};

	assert_int_equal(dir_each(dirfd_test, count_entry, n, NULL), 0);
	assert_int_equal(n[1], 0);
	return n[0];
}

/* In pieces of odd sizes, as a real writer would. */
static int
stream_write(enum stream_kind kind, size_t len, struct pages_list *ret)
{
	struct pages_writer *w;
	size_t at = 0, piece = 1;
	int rc = pages_create(dirfd_test, kind, &w, NULL);

	while (rc == 0 && at < len) {
		size_t n = MIN(piece, len - at);

		rc = pages_write(w, big + at, n, NULL);
		at += n;
		piece = piece * 7 % 100003 + 1;
		if (rc == 0)
			assert_int_equal(pages_at(w), at);
	}
	if (rc == 0)
		rc = pages_finish(w, ret, NULL);
	pages_abort(w);
	return rc;
}

static int
file_open(const struct pages_list *l, uint32_t i)
{
	char name[PAGES_NAME_LEN + 1];
	int fd = -1;

	pages_name(&l->files[i], name);
	assert_int_equal(file_open_at(dirfd_test, name, O_RDWR, &fd, NULL), 0);
	return fd;
}

static void
flip(int fd, off_t at, uint8_t mask)
{
	uint8_t b;

	assert_int_equal(pread(fd, &b, 1, at), 1);
	b ^= mask;
	assert_int_equal(pwrite(fd, &b, 1, at), 1);
}

static void
test_stream_reads_back_whatever_its_length(void **state)
{
	static const size_t lens[] = {1,     4095,   4096,   4097,
				      65536, 262144, 262145, 1000003};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct pages_list l;
		struct pages *pg;

		assert_int_equal(stream_write(STREAM_GRAPH, lens[i], &l), 0);
		assert_int_equal(l.len, lens[i]);
		assert_int_equal(
			pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL), 0);
		assert_int_equal(pages_check(pg, 0, lens[i], NULL), 0);
		assert_memory_equal(pg->p, big, lens[i]);
		assert_int_equal(pages_verify(pg, true, NULL), 0);
		for (size_t k = lens[i]; k % PAGE_LEN; k++)
			assert_int_equal(pg->p[k], 0);
		pages_close(pg);
		pages_list_done(&l);
		assert_int_equal(n_files(), (int)i + 1);
	}
}

static void
test_empty_stream_has_no_file(void **state)
{
	struct pages_list l;
	struct pages *pg;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, 0, &l), 0);
	assert_int_equal(l.n, 0);
	assert_int_equal(pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL),
			 0);
	assert_int_equal(pages_check(pg, 0, 0, NULL), 0);
	assert_int_equal(pages_check(pg, 0, 1, NULL), -ERR_DAMAGED);
	assert_int_equal(pages_verify(pg, true, NULL), 0);
	pages_close(pg);
	assert_int_equal(n_files(), 0);
}

static void
test_padding_is_zeros_to_the_multiple(void **state)
{
	struct pages_writer *w;
	struct pages_list l;
	struct pages *pg;

	(void)state;
	assert_int_equal(pages_create(dirfd_test, STREAM_GRAPH, &w, NULL), 0);
	assert_int_equal(pages_pad(w, PAGE_LEN, NULL), 0);
	assert_int_equal(pages_at(w), 0);
	assert_int_equal(pages_write(w, "abc", 3, NULL), 0);
	assert_int_equal(pages_pad(w, PAGE_LEN, NULL), 0);
	assert_int_equal(pages_at(w), PAGE_LEN);
	assert_int_equal(pages_pad(w, PAGE_LEN, NULL), 0);
	assert_int_equal(pages_write(w, "d", 1, NULL), 0);
	assert_int_equal(pages_finish(w, &l, NULL), 0);
	pages_abort(w);
	assert_int_equal(l.len, PAGE_LEN + 1);
	assert_int_equal(pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL),
			 0);
	assert_memory_equal(pg->p, "abc\0", 5);
	assert_int_equal(pg->p[PAGE_LEN - 1], 0);
	assert_int_equal(pg->p[PAGE_LEN], 'd');
	pages_close(pg);
	pages_list_done(&l);
}

static void
test_stream_over_64_mib_spans_files(void **state)
{
	struct pages_list l;
	struct pages *pg;

	(void)state;
	assert_int_equal(stream_write(STREAM_SEGMENT, BIG_LEN, &l), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.files[0].payload, PAGES_PAYLOAD_MAX);
	assert_true(l.files[0].len <= PAGES_FILE_MAX);
	assert_int_equal(n_files(), 2);
	assert_int_equal(pages_open(dirfd_test, STREAM_SEGMENT, &l, &pg, NULL),
			 0);
	assert_int_equal(pages_check(pg, PAGES_PAYLOAD_MAX - 9, 20, NULL), 0);
	assert_memory_equal(pg->p, big, BIG_LEN);
	assert_int_equal(pages_verify(pg, true, NULL), 0);
	pages_close(pg);

	/* The second in the place of the first. */
	l.files[0].payload = l.files[1].payload;
	l.files[0].len = l.files[1].len;
	memcpy(l.files[0].sum, l.files[1].sum, SHA256_LEN);
	l.n = 1;
	l.len = l.files[0].payload;
	assert_int_equal(pages_open(dirfd_test, STREAM_SEGMENT, &l, &pg, NULL),
			 -ERR_DAMAGED);
	pages_list_done(&l);
}

static void
test_stream_of_exactly_one_full_file(void **state)
{
	struct pages_list l;
	struct pages *pg;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, PAGES_PAYLOAD_MAX, &l), 0);
	assert_int_equal(l.n, 1);
	assert_int_equal(pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL),
			 0);
	assert_int_equal(pages_check(pg, 0, l.len, NULL), 0);
	pages_close(pg);
	pages_list_done(&l);
}

static void
test_same_content_is_stored_once(void **state)
{
	struct pages_list a, b;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, 5000, &a), 0);
	assert_int_equal(stream_write(STREAM_GRAPH, 5000, &b), 0);
	assert_memory_equal(a.files[0].sum, b.files[0].sum, SHA256_LEN);
	assert_int_equal(n_files(), 1);
	pages_list_done(&a);
	pages_list_done(&b);
	assert_int_equal(stream_write(STREAM_DELETED, 5000, &b), 0);
	assert_int_equal(n_files(), 2); /* of another kind */
	pages_list_done(&b);
}

static void
test_damaged_file_is_replaced_by_a_sound_one(void **state)
{
	struct pages_list a, b;
	struct pages *pg, *old;
	int fd;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, 5000, &a), 0);
	assert_int_equal(pages_open(dirfd_test, STREAM_GRAPH, &a, &old, NULL),
			 0);
	fd = file_open(&a, 0);
	flip(fd, PAGE_LEN + 7, 1);
	close(fd);
	assert_int_equal(stream_write(STREAM_GRAPH, 5000, &b), 0);
	assert_int_equal(pages_open(dirfd_test, STREAM_GRAPH, &b, &pg, NULL),
			 0);
	assert_int_equal(pages_verify(pg, true, NULL), 0);
	assert_int_equal(pages_verify(old, true, NULL), -ERR_DAMAGED);
	assert_int_equal(n_files(), 1);
	pages_close(pg);
	pages_close(old);
	pages_list_done(&a);
	pages_list_done(&b);
}

static void
test_name_is_the_sha256_of_the_file(void **state)
{
	char name[PAGES_NAME_LEN + 1], hex[SHA256_HEX + 1];
	uint8_t sum[SHA256_LEN];
	struct pages_header h;
	struct pages_list l;
	struct buf b = {0};

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, 5000, &l), 0);
	pages_name(&l.files[0], name);
	assert_int_equal(file_load_at(dirfd_test, name, 1 << 20, &b, NULL), 0);
	assert_int_equal(b.n, l.files[0].len);
	sha256(b.p, b.n, sum);
	sha256_hex(sum, hex);
	assert_memory_equal(name, hex, SHA256_HEX);
	assert_int_equal(pages_header_read(b.p, b.n, &h, NULL), 0);
	assert_int_equal(h.kind, STREAM_GRAPH);
	assert_int_equal(h.payload, 5000);
	assert_int_equal(h.len, b.n);
	assert_int_equal(h.at, 0);
	buf_done(&b);
	pages_list_done(&l);
}

static void
test_abort_leaves_nothing(void **state)
{
	struct pages_writer *w;

	(void)state;
	assert_int_equal(pages_create(dirfd_test, STREAM_GRAPH, &w, NULL), 0);
	assert_int_equal(pages_write(w, big, BIG_LEN, NULL), 0);
	pages_abort(w);
	assert_int_equal(n_files(), 0);
	pages_abort(NULL);
}

/* --- failing calls --------------------------------------------------- */

static struct file_hooks real;
static int fail_in; /* calls until one fails; 0: none */

static bool
fails_now(void)
{
	if (fail_in == 0 || --fail_in > 0)
		return false;
	errno = ENOSPC;
	return true;
}

static ssize_t
fail_pwrite(int fd, const void *p, size_t n, off_t at)
{
	return fails_now() ? -1 : real.pwrite(fd, p, n, at);
}

static int
fail_fdatasync(int fd)
{
	return fails_now() ? -1 : real.fdatasync(fd);
}

static int
fail_fsync(int fd)
{
	return fails_now() ? -1 : real.fsync(fd);
}

static int
fail_renameat(int od, const char *from, int nd, const char *to)
{
	return fails_now() ? -1 : real.renameat(od, from, nd, to);
}

static void
test_any_failing_call_leaves_no_temporary_file(void **state)
{
	struct pages_list l;
	int rc, n = 0;

	(void)state;
	real = file_hooks;
	file_hooks.pwrite = fail_pwrite;
	file_hooks.fdatasync = fail_fdatasync;
	file_hooks.fsync = fail_fsync;
	file_hooks.renameat = fail_renameat;
	do {
		fail_in = ++n;
		rc = stream_write(STREAM_GRAPH, 600000, &l);
		fail_in = 0;
		if (rc != 0)
			assert_int_equal(rc, -ERR_NO_SPACE);
		n_files();
	} while (rc != 0);
	file_hooks = real;
	assert_true(n > 6); /* writes, header, sums, sync, rename, directory */
	pages_list_done(&l);
}

static void
test_failed_stream_stays_failed(void **state)
{
	struct pages_writer *w;
	struct pages_list l;

	(void)state;
	real = file_hooks;
	file_hooks.pwrite = fail_pwrite;
	assert_int_equal(pages_create(dirfd_test, STREAM_GRAPH, &w, NULL), 0);
	fail_in = 1;
	assert_int_equal(pages_write(w, big, 1 << 20, NULL), -ERR_NO_SPACE);
	file_hooks = real;
	assert_int_equal(pages_write(w, big, 1, NULL), -ERR_NO_SPACE);
	assert_int_equal(pages_finish(w, &l, NULL), -ERR_NO_SPACE);
	assert_int_equal(n_files(), 0);
	pages_abort(w);
}

/* --- lists ----------------------------------------------------------- */

static void
test_list_encodes_and_decodes(void **state)
{
	struct pages_list l, d;
	struct buf b = {0};
	struct reader r;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, BIG_LEN, &l), 0);
	assert_int_equal(pages_list_encode(&l, &b), 0);
	r = (struct reader){.p = b.p, .n = b.n};
	assert_int_equal(pages_list_decode(&r, &d, NULL), 0);
	assert_int_equal(r.at, b.n);
	assert_int_equal(d.n, l.n);
	assert_int_equal(d.len, l.len);
	for (uint32_t i = 0; i < l.n; i++) {
		assert_memory_equal(d.files[i].sum, l.files[i].sum, SHA256_LEN);
		assert_int_equal(d.files[i].len, l.files[i].len);
		assert_int_equal(d.files[i].payload, l.files[i].payload);
	}
	pages_list_done(&d);
	for (size_t n = 0; n < b.n; n++) {
		r = (struct reader){.p = b.p, .n = n};
		assert_int_equal(pages_list_decode(&r, &d, NULL), -ERR_DAMAGED);
	}
	buf_done(&b);
	pages_list_done(&l);
}

static void
test_list_of_impossible_length_is_refused(void **state)
{
	struct pages_list d;
	struct buf b = {0};
	struct reader r;

	(void)state;
	for (unsigned shift = 20; shift < 64; shift += 4) {
		buf_clear(&b);
		buf_put_varint(&b, 1ull << shift);
		r = (struct reader){.p = b.p, .n = b.n};
		assert_int_equal(pages_list_decode(&r, &d, NULL), -ERR_DAMAGED);
	}
	buf_done(&b);
}

/* --- damage ---------------------------------------------------------- */

#define FLIP_LEN 20000u

static void
test_flipped_byte_is_found_or_does_no_harm(void **state)
{
	struct pages_list l;
	int fd, n_found = 0;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, FLIP_LEN, &l), 0);
	fd = file_open(&l, 0);
	for (off_t at = 0; at < (off_t)l.files[0].len;
	     at += at < 64 || at > (off_t)l.files[0].len - 64 ? 1 : 61) {
		struct pages *pg;
		int rc;

		flip(fd, at, (uint8_t)(1u << (at % 8)));
		rc = pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL);
		if (rc == 0) {
			rc = pages_check(pg, 0, pg->len, NULL);
			assert_int_equal(pages_verify(pg, true, NULL),
					 -ERR_DAMAGED);
			assert_true(pg->n_damaged > 0);
			pages_close(pg);
		}
		assert_int_equal(rc, -ERR_DAMAGED);
		n_found++;
		flip(fd, at, (uint8_t)(1u << (at % 8)));
	}
	assert_true(n_found > 300);
	close(fd);
	pages_list_done(&l);
}

static void
test_only_the_damaged_page_is_refused(void **state)
{
	char name[PAGES_NAME_LEN + 1];
	struct pages_list l;
	struct pages *pg;
	struct err err = {0};
	int fd;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, FLIP_LEN, &l), 0);
	fd = file_open(&l, 0);
	flip(fd, PAGE_LEN + 2 * PAGE_LEN + 5, 0x10);
	assert_int_equal(pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL),
			 0);
	assert_int_equal(pages_check(pg, 0, 2 * PAGE_LEN, NULL), 0);
	assert_int_equal(pages_check(pg, 2 * PAGE_LEN - 1, 2, &err),
			 -ERR_DAMAGED);
	pages_name(&l.files[0], name);
	assert_non_null(strstr(err.text, name));
	assert_non_null(strstr(err.text, "offset 12288"));
	assert_int_equal(
		pages_check(pg, 3 * PAGE_LEN, FLIP_LEN - 3 * PAGE_LEN, NULL),
		0);
	assert_int_equal(pg->n_damaged, 1);
	assert_int_equal(pages_verify(pg, false, NULL), -ERR_DAMAGED);
	assert_int_equal(pages_check(pg, FLIP_LEN, 1, NULL), -ERR_DAMAGED);
	assert_int_equal(pages_check(pg, 1, UINT64_MAX, NULL), -ERR_DAMAGED);
	pages_close(pg);
	close(fd);
	pages_list_done(&l);
}

/* The sums are right, only not those of this file. */
static void
test_pages_that_changed_places_are_found(void **state)
{
	uint8_t a[PAGE_LEN], b[PAGE_LEN];
	struct pages_list l;
	struct pages *pg;
	uint8_t sa[4], sb[4];
	off_t sums;
	int fd;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, 2 * PAGE_LEN, &l), 0);
	fd = file_open(&l, 0);
	sums = 3 * PAGE_LEN;
	assert_int_equal(pread(fd, a, sizeof a, PAGE_LEN), sizeof a);
	assert_int_equal(pread(fd, b, sizeof b, 2 * PAGE_LEN), sizeof b);
	assert_int_equal(pread(fd, sa, 4, sums), 4);
	assert_int_equal(pread(fd, sb, 4, sums + 4), 4);
	assert_int_equal(pwrite(fd, b, sizeof b, PAGE_LEN), sizeof b);
	assert_int_equal(pwrite(fd, a, sizeof a, 2 * PAGE_LEN), sizeof a);
	assert_int_equal(pwrite(fd, sb, 4, sums), 4);
	assert_int_equal(pwrite(fd, sa, 4, sums + 4), 4);
	assert_int_equal(pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL),
			 0);
	assert_int_equal(pages_check(pg, 0, 1, NULL), -ERR_DAMAGED);
	assert_int_equal(pages_check(pg, PAGE_LEN, 1, NULL), -ERR_DAMAGED);
	pages_close(pg);
	close(fd);
	pages_list_done(&l);
}

static void
test_file_of_another_length_is_refused(void **state)
{
	struct pages_list l;
	struct pages *pg;
	off_t len;
	int fd;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, FLIP_LEN, &l), 0);
	fd = file_open(&l, 0);
	assert_int_equal(ftruncate(fd, l.files[0].len + 1), 0);
	for (len = l.files[0].len + 1; len >= 0;
	     len -= len < 999 ? len + 1 : 999) {
		assert_int_equal(ftruncate(fd, len), 0);
		assert_int_equal(
			pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL),
			-ERR_DAMAGED);
	}
	close(fd);
	pages_list_done(&l);
}

static void
test_missing_file_is_damage(void **state)
{
	char name[PAGES_NAME_LEN + 1];
	struct pages_list l;
	struct pages *pg;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, BIG_LEN, &l), 0);
	pages_name(&l.files[1], name);
	assert_int_equal(file_unlink_at(dirfd_test, name, NULL), 0);
	assert_int_equal(pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL),
			 -ERR_DAMAGED);
	pages_list_done(&l);
}

static void
test_stream_of_another_kind_is_refused(void **state)
{
	struct pages_list l;
	struct pages *pg;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, 100, &l), 0);
	assert_int_equal(pages_open(dirfd_test, STREAM_SEGMENT, &l, &pg, NULL),
			 -ERR_DAMAGED);
	pages_list_done(&l);
}

static void
test_newer_version_is_refused_by_name(void **state)
{
	struct pages_header_disk d;
	struct pages_list l;
	struct pages *pg;
	int fd;

	(void)state;
	assert_int_equal(stream_write(STREAM_GRAPH, 100, &l), 0);
	fd = file_open(&l, 0);
	assert_int_equal(pread(fd, &d, sizeof d, 0), sizeof d);
	set_u16(d.version, PAGES_VERSION + 1);
	set_u32(d.crc, crc32c(0, &d, sizeof d - 4));
	assert_int_equal(pwrite(fd, &d, sizeof d, 0), sizeof d);
	assert_int_equal(pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL),
			 -ERR_VERSION);
	close(fd);
	pages_list_done(&l);
}

static void
test_header_that_contradicts_itself_is_refused(void **state)
{
	struct pages_header_disk d = {0};
	struct pages_header h;

	(void)state;
	memcpy(d.magic, PAGES_MAGIC, 8);
	set_u16(d.version, PAGES_VERSION);
	d.kind = STREAM_GRAPH;
	set_u32(d.payload, 100);
	set_u32(d.len, pages_file_len(100));
	set_u32(d.page_len, PAGE_LEN);
	set_u32(d.crc, crc32c(0, &d, sizeof d - 4));
	assert_int_equal(pages_header_read(&d, sizeof d, &h, NULL), 0);
	assert_int_equal(pages_header_read(&d, sizeof d - 1, &h, NULL),
			 -ERR_DAMAGED);
	for (size_t i = 8; i < 40; i++) { /* zeros and fields alike */
		struct pages_header_disk e = d;

		if (i == offsetof(struct pages_header_disk, payload))
			continue; /* 229 bytes fit this file as well */
		((uint8_t *)&e)[i] ^= 0x81;
		set_u32(e.crc, crc32c(0, &e, sizeof e - 4));
		assert_true(pages_header_read(&e, sizeof e, &h, NULL) < 0);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, dir_make, dir_drop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stream_reads_back_whatever_its_length),
		TEST(test_empty_stream_has_no_file),
		TEST(test_padding_is_zeros_to_the_multiple),
		TEST(test_stream_over_64_mib_spans_files),
		TEST(test_stream_of_exactly_one_full_file),
		TEST(test_same_content_is_stored_once),
		TEST(test_damaged_file_is_replaced_by_a_sound_one),
		TEST(test_name_is_the_sha256_of_the_file),
		TEST(test_abort_leaves_nothing),
		TEST(test_any_failing_call_leaves_no_temporary_file),
		TEST(test_failed_stream_stays_failed),
		TEST(test_list_encodes_and_decodes),
		TEST(test_list_of_impossible_length_is_refused),
		TEST(test_flipped_byte_is_found_or_does_no_harm),
		TEST(test_only_the_damaged_page_is_refused),
		TEST(test_pages_that_changed_places_are_found),
		TEST(test_file_of_another_length_is_refused),
		TEST(test_missing_file_is_damage),
		TEST(test_stream_of_another_kind_is_refused),
		TEST(test_newer_version_is_refused_by_name),
		TEST(test_header_that_contradicts_itself_is_refused),
	};

	return cmocka_run_group_tests(tests, big_make, big_drop);
}
