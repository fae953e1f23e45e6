/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/base/lock.h"
#include "engine/store/wal.h"
#include "engine/store/wal_format.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_BYTES 8192u
#define KIND       7u

struct fixture {
	char path[64];
	int dirfd;
	struct wal *w;
	struct wal_opts o;
};

static struct file_hooks system_hooks;
static atomic_bool disk_full, sync_fails;
static atomic_uint n_syncs;

static int
full_fallocate(int fd, off_t len)
{
	return disk_full ? ENOSPC : system_hooks.fallocate(fd, len);
}

static int
failing_fdatasync(int fd)
{
	n_syncs++;
	if (sync_fails) {
		errno = EIO;
		return -1;
	}
	return system_hooks.fdatasync(fd);
}

static int
setup(void **state)
{
	struct fixture *t = calloc(1, sizeof *t);

	snprintf(t->path, sizeof t->path, "/tmp/test_wal.XXXXXX");
	assert_non_null(mkdtemp(t->path));
	t->dirfd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	t->o = (struct wal_opts){.dirfd = t->dirfd,
				 .file_bytes = FILE_BYTES,
				 .ahead = 1,
				 .policy = SYNC_CLOSE};
	disk_full = sync_fails = false;
	file_hooks.fallocate = full_fallocate;
	file_hooks.fdatasync = failing_fdatasync;
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *t = *state;

	sync_fails = disk_full = false;
	wal_close(t->w);
	close(t->dirfd);
	file_remove_tree(AT_FDCWD, t->path, NULL);
	file_hooks = system_hooks;
	free(t);
	return 0;
}

/* --- bodies and reading ---------------------------------------------- */

static size_t
body_len(lsn_t lsn)
{
	return (size_t)(lsn * 7919 % 1500);
}

static void
body_fill(lsn_t lsn, uint8_t *p, size_t n)
{
	uint64_t x = lsn * 0x9e3779b97f4a7c15ull + 1;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)x;
	}
}

static int
append_flags(struct wal *w, lsn_t lsn, unsigned flags)
{
	uint8_t b[1500];
	size_t n = body_len(lsn), cut = n / 3;
	struct slice parts[] = {{b, cut}, {NULL, 0}, {b + cut, n - cut}};
	int64_t time_us = 0;
	lsn_t got = 0;

	body_fill(lsn, b, n);
	int rc = wal_append(w, KIND, 3, parts, 3, flags, &got, &time_us, NULL);
	if (rc == 0) {
		assert_int_equal(got, lsn);
		assert_true(time_us > 0);
	}
	return rc;
}

static void
append(struct wal *w, lsn_t lsn)
{
	assert_int_equal(append_flags(w, lsn, 0), 0);
}

static void
append_range(struct wal *w, lsn_t from, lsn_t to)
{
	for (lsn_t lsn = from; lsn <= to; lsn++) {
		append(w, lsn);
		assert_int_equal(wal_commit(w, lsn, NULL), 0);
	}
}

static void
record_check(const struct wal_record *rec, lsn_t lsn)
{
	uint8_t b[1500];
	size_t n = body_len(lsn);

	body_fill(lsn, b, n);
	assert_int_equal(rec->lsn, lsn);
	assert_int_equal(rec->kind, KIND);
	assert_int_equal(rec->version, 3);
	assert_int_equal(rec->body.n, n);
	assert_memory_equal(rec->body.p, b, n);
}

/* Every record is right and follows the one before; tells the end. */
static struct wal_end
read_from(struct fixture *t, lsn_t from)
{
	struct wal_reader *r = NULL;
	struct wal_record rec;
	struct wal_end end;
	lsn_t lsn = from;
	int rc;

	assert_int_equal(wal_reader_open(t->dirfd, from, &r, NULL), 0);
	while ((rc = wal_reader_next(r, &rec, NULL)) == 1)
		record_check(&rec, lsn++);
	assert_int_equal(rc, 0);
	wal_reader_end(r, &end);
	wal_reader_close(r);
	if (lsn > from)
		assert_int_equal(end.last, lsn - 1);
	return end;
}

static void
wal_up(struct fixture *t)
{
	struct wal_end end = read_from(t, 1);

	assert_int_equal(wal_open(&t->o, &end, &t->w, NULL), 0);
	assert_int_equal(wal_last(t->w), end.last);
	assert_int_equal(wal_durable(t->w), end.last);
}

static void
wal_down(struct fixture *t)
{
	wal_close(t->w);
	t->w = NULL;
}

static void
expect_clean(struct fixture *t, lsn_t last)
{
	struct wal_end end = read_from(t, 1);

	assert_int_equal(end.kind, WAL_END_CLEAN);
	assert_int_equal(end.last, last);
}

/* --- layout, worked out from the format alone ------------------------ */

#define N_RECS 14u

struct place {
	lsn_t first; /* of the file */
	uint64_t at;
	size_t len, room;
};

static void
places(struct place *p) /* [N_RECS + 1], by position */
{
	lsn_t first = 1;
	uint64_t at = WAL_FILE_START;

	for (lsn_t lsn = 1; lsn <= N_RECS; lsn++) {
		size_t len = WAL_REC_HEAD + body_len(lsn);
		size_t room = (len + 7) / 8 * 8;
		if (at + room > FILE_BYTES) {
			first = lsn;
			at = WAL_FILE_START;
		}
		p[lsn] = (struct place){first, at, len, room};
		at += room;
	}
}

static int
log_file_open(struct fixture *t, lsn_t first)
{
	char name[40];

	snprintf(name, sizeof name, "%016llx.log", (unsigned long long)first);
	int fd = openat(t->dirfd, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* What a reader must say when the byte is not what was written. */
static struct wal_end
flip_expect(const struct place *p, lsn_t first, uint64_t at)
{
	struct wal_end e = {.kind = WAL_END_CLEAN, .last = N_RECS};

	if (at < sizeof(struct wal_file_disk)) {
		e = (struct wal_end){WAL_END_DAMAGED, first - 1, first,
				     first,           "",        0};
		for (lsn_t i = first; i <= N_RECS && p[i].first == first; i++)
			e.lost_to = i;
		return e;
	}
	for (lsn_t i = first; i <= N_RECS && p[i].first == first; i++) {
		if (at < p[i].at || at >= p[i].at + p[i].len)
			continue;
		if (i == N_RECS)
			return (struct wal_end){WAL_END_TORN, i - 1,  0, 0,
						"",           p[i].at};
		return (struct wal_end){WAL_END_DAMAGED, i - 1, i, i, "",
					p[i].at};
	}
	if (first == p[N_RECS].first && at >= p[N_RECS].at + p[N_RECS].room)
		e.kind = WAL_END_TORN;
	return e;
}

static void
end_compare(const struct wal_end *got, const struct wal_end *want)
{
	assert_int_equal(got->kind, want->kind);
	assert_int_equal(got->last, want->last);
	if (want->kind != WAL_END_DAMAGED)
		return;
	assert_int_equal(got->lost_from, want->lost_from);
	assert_int_equal(got->lost_to, want->lost_to);
	assert_int_equal(got->offset, want->offset);
}

static void
flip_file(struct fixture *t, const struct place *p, lsn_t first)
{
	int fd = log_file_open(t, first);

	for (uint64_t at = 0; at < FILE_BYTES; at++) {
		uint8_t b, flipped;
		assert_int_equal(pread(fd, &b, 1, (off_t)at), 1);
		flipped = (uint8_t)(b ^ 1u << at % 8);
		assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
		struct wal_end got = read_from(t, 1);
		struct wal_end want = flip_expect(p, first, at);
		end_compare(&got, &want);
		assert_int_equal(pwrite(fd, &b, 1, (off_t)at), 1);
	}
	close(fd);
}

static void
test_every_flipped_byte_is_noticed_or_harmless(void **state)
{
	struct fixture *t = *state;
	struct place p[N_RECS + 1];

	places(p);
	wal_up(t);
	append_range(t->w, 1, N_RECS);
	wal_down(t);
	assert_true(p[N_RECS].first > p[N_RECS / 2].first);
	for (lsn_t i = 1; i <= N_RECS; i++)
		if (p[i].first == i)
			flip_file(t, p, i);
	expect_clean(t, N_RECS);
}

static struct wal_end
cut_expect(const struct place *p, lsn_t first, uint64_t len)
{
	struct wal_end e = {.kind = WAL_END_CLEAN, .last = N_RECS};
	lsn_t i = first;

	while (i <= N_RECS && p[i].first == first && p[i].at + p[i].len <= len)
		i++;
	bool last_file = first == p[N_RECS].first;
	lsn_t next = first;
	while (next <= N_RECS && p[next].first == first)
		next++;
	if (len < sizeof(struct wal_file_disk)) {
		return (struct wal_end){WAL_END_DAMAGED, first - 1, first,
					first,           "",        0};
	} else if (i == next) {
		return e;
	} else if (last_file) {
		e.last = i - 1;
		e.kind = len > p[i].at ? WAL_END_TORN : WAL_END_CLEAN;
		return e;
	}
	return (struct wal_end){WAL_END_DAMAGED, i - 1, i,
				next - 1,        "",    p[i].at};
}

static void
cut_file(struct fixture *t, const struct place *p, lsn_t first)
{
	static uint8_t b[FILE_BYTES];
	int fd = log_file_open(t, first);

	assert_int_equal(pread(fd, b, sizeof b, 0), FILE_BYTES);
	for (uint64_t len = FILE_BYTES; len-- > 0;) {
		assert_int_equal(ftruncate(fd, (off_t)len), 0);
		struct wal_end got = read_from(t, 1);
		struct wal_end want = cut_expect(p, first, len);
		end_compare(&got, &want);
	}
	assert_int_equal(pwrite(fd, b, sizeof b, 0), FILE_BYTES);
	close(fd);
}

static void
test_every_cut_length_gives_a_right_prefix(void **state)
{
	struct fixture *t = *state;
	struct place p[N_RECS + 1];

	places(p);
	wal_up(t);
	append_range(t->w, 1, N_RECS);
	wal_down(t);
	for (lsn_t i = 1; i <= N_RECS; i++)
		if (p[i].first == i)
			cut_file(t, p, i);
	expect_clean(t, N_RECS);
}

static void
test_missing_middle_file_is_damage(void **state)
{
	struct fixture *t = *state;
	struct place p[N_RECS + 1];
	char name[40];
	lsn_t middle, next;

	places(p);
	for (middle = 2; p[middle].first == 1; middle++)
		;
	for (next = middle; p[next].first == middle; next++)
		;
	wal_up(t);
	append_range(t->w, 1, N_RECS);
	wal_down(t);
	snprintf(name, sizeof name, "%016llx.log", (unsigned long long)middle);
	assert_int_equal(unlinkat(t->dirfd, name, 0), 0);
	struct wal_end end = read_from(t, 1);
	assert_int_equal(end.kind, WAL_END_DAMAGED);
	assert_int_equal(end.last, middle - 1);
	assert_int_equal(end.lost_from, middle);
	assert_int_equal(end.lost_to, next - 1);
	assert_int_equal(wal_open(&t->o, &end, &t->w, NULL), -ERR_DAMAGED);
	end = read_from(t, next);
	assert_int_equal(end.kind, WAL_END_CLEAN);
}

static void
test_missing_first_file_is_not_found(void **state)
{
	struct fixture *t = *state;
	struct wal_reader *r;

	assert_int_equal(wal_reader_open(t->dirfd, 5, &r, NULL),
			 -ERR_NOT_FOUND);
	wal_up(t);
	append_range(t->w, 1, N_RECS);
	assert_int_equal(unlinkat(t->dirfd, "0000000000000001.log", 0), 0);
	assert_int_equal(wal_reader_open(t->dirfd, 1, &r, NULL),
			 -ERR_NOT_FOUND);
}

/* --- ordinary life --------------------------------------------------- */

static void
test_names_sort_by_position(void **state)
{
	lsn_t first = 0;

	(void)state;
	assert_true(wal_file_name("00000000000000ff.log", &first));
	assert_int_equal(first, 255);
	assert_false(wal_file_name("0000000000000000.log", &first));
	assert_false(wal_file_name("00000000000000FF.log", &first));
	assert_false(wal_file_name("00000000000000ff.lo", &first));
	assert_false(wal_file_name("00000000000000ff.logs", &first));
	assert_false(wal_file_name("0ff.log", &first));
	assert_false(wal_file_name("", &first));
	assert_false(wal_file_name("spare.1", &first));
}

static void
test_empty_log_is_clean(void **state)
{
	struct fixture *t = *state;
	struct wal_end end = read_from(t, 1);

	assert_int_equal(end.kind, WAL_END_CLEAN);
	assert_int_equal(end.last, 0);
	assert_string_equal(end.file, "");
	wal_up(t);
	wal_down(t);
	end = read_from(t, 1);
	assert_int_equal(end.kind, WAL_END_CLEAN);
	assert_int_equal(end.last, 0);
	assert_string_equal(end.file, "0000000000000001.log");
}

static void
test_positions_go_on_after_reopening(void **state)
{
	struct fixture *t = *state;

	for (lsn_t lsn = 1; lsn <= 60; lsn += 6) {
		wal_up(t);
		append_range(t->w, lsn, lsn + 5);
		assert_int_equal(wal_durable(t->w), lsn + 5);
		wal_down(t);
	}
	expect_clean(t, 60);
	for (lsn_t from = 1; from <= 61; from++)
		assert_int_equal(read_from(t, from).last, 60);
}

static int
count_name(void *arg, const char *name, struct err *err)
{
	unsigned *n = arg;

	(void)err;
	*n += strncmp(name, "spare.", 6) == 0;
	return 0;
}

static void
test_spare_files_do_not_pile_up(void **state)
{
	struct fixture *t = *state;

	for (unsigned i = 0; i < 8; i++) {
		unsigned n = 0;
		wal_up(t);
		append_range(t->w, i + 1, i + 1);
		wal_down(t);
		dir_each(t->dirfd, count_name, &n, NULL);
		assert_in_range(n, 0, t->o.ahead + 1);
	}
}

static void
test_record_larger_than_a_file_gets_its_own(void **state)
{
	struct fixture *t = *state;
	size_t n = 5 * FILE_BYTES + 3;
	uint8_t *b = malloc(n);
	struct slice part = {b, n};
	struct wal_reader *r;
	struct wal_record rec;
	lsn_t lsn;

	body_fill(1, b, n);
	wal_up(t);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(
			wal_append(t->w, 1, 1, &part, 1, 0, &lsn, NULL, NULL),
			0);
		assert_int_equal(wal_commit(t->w, lsn, NULL), 0);
	}
	assert_int_equal(wal_trim(t->w, 1, NULL), 0);
	assert_int_equal(wal_first(t->w), 1);
	wal_down(t);
	assert_int_equal(wal_reader_open(t->dirfd, 1, &r, NULL), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(wal_reader_next(r, &rec, NULL), 1);
		assert_int_equal(rec.body.n, n);
		assert_memory_equal(rec.body.p, b, n);
	}
	assert_int_equal(wal_reader_next(r, &rec, NULL), 0);
	assert_int_equal(wal_reader_next(r, &rec, NULL), 0);
	wal_reader_close(r);
	free(b);
}

static void
test_record_over_the_limit_is_refused(void **state)
{
	struct fixture *t = *state;
	struct slice parts[] = {{t, WAL_RECORD_MAX}, {t, 1}};
	lsn_t lsn = 99;

	wal_up(t);
	assert_int_equal(wal_append(t->w, 1, 1, parts, 2, 0, &lsn, NULL, NULL),
			 -ERR_TOO_BIG);
	assert_int_equal(lsn, 99);
	append_range(t->w, 1, 1);
}

static void
test_torn_end_is_cut_off(void **state)
{
	struct fixture *t = *state;
	struct place p[N_RECS + 1];
	uint8_t junk[600];

	places(p);
	memset(junk, 0xa5, sizeof junk);
	wal_up(t);
	append_range(t->w, 1, 2);
	wal_down(t);
	int fd = log_file_open(t, 1);
	off_t end_at = (off_t)(p[2].at + p[2].room);
	/* a later page of the write came through, the first did not */
	assert_int_equal(pwrite(fd, junk, sizeof junk, end_at + 160), 600);
	struct wal_end end = read_from(t, 1);
	assert_int_equal(end.kind, WAL_END_TORN);
	assert_int_equal(end.last, 2);
	assert_int_equal(end.offset, end_at);
	wal_up(t);
	expect_clean(t, 2);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, FILE_BYTES);
	close(fd);
	append_range(t->w, 3, N_RECS);
	wal_down(t);
	expect_clean(t, N_RECS);
}

static void
test_stale_records_behind_a_cut_stay_dead(void **state)
{
	struct fixture *t = *state;
	struct place p[N_RECS + 1];
	uint8_t junk = 0xa5;

	places(p);
	t->o.policy = SYNC_FSYNC;
	wal_up(t);
	for (lsn_t lsn = 1; lsn <= 4; lsn++)
		append(t->w, lsn);
	assert_int_equal(wal_commit(t->w, 4, NULL), 0);
	wal_down(t);
	assert_int_equal(p[4].first, 1);
	int fd = log_file_open(t, 1);
	assert_int_equal(pwrite(fd, &junk, 1, (off_t)p[2].at + 100), 1);
	close(fd);
	assert_int_equal(read_from(t, 1).kind, WAL_END_TORN);
	wal_up(t);
	append_range(t->w, 2, 2); /* 3 would stand right behind it */
	wal_down(t);
	expect_clean(t, 2);
}

static void
test_trim_removes_old_files_only(void **state)
{
	struct fixture *t = *state;
	struct wal_reader *r;

	wal_up(t);
	append_range(t->w, 1, 100);
	uint64_t before = wal_bytes(t->w);
	assert_int_equal(wal_first(t->w), 1);
	assert_int_equal(wal_trim(t->w, 50, NULL), 0);
	lsn_t first = wal_first(t->w);
	assert_in_range(first, 30, 50);
	assert_true(wal_bytes(t->w) < before);
	assert_int_equal(read_from(t, 50).last, 100);
	assert_int_equal(wal_reader_open(t->dirfd, first - 1, &r, NULL),
			 -ERR_NOT_FOUND);
	assert_int_equal(wal_trim(t->w, 1000, NULL), 0);
	assert_in_range(wal_first(t->w), 80, 101);
	append_range(t->w, 101, 110);
	first = wal_first(t->w);
	wal_down(t);
	struct wal_end end = read_from(t, 101);
	assert_int_equal(end.last, 110);
	assert_int_equal(wal_open(&t->o, &end, &t->w, NULL), 0);
	assert_int_equal(wal_first(t->w), first);
}

/* --- policies -------------------------------------------------------- */

static void
test_fsync_policy_syncs_on_demand_only(void **state)
{
	struct fixture *t = *state;

	t->o.policy = SYNC_FSYNC;
	t->o.file_bytes = 1 << 20;
	wal_up(t);
	unsigned before = n_syncs;
	append_range(t->w, 1, 20);
	assert_int_equal(n_syncs, before);
	assert_int_equal(wal_durable(t->w), 0);
	expect_clean(t, 20); /* what kill -9 would leave */
	assert_int_equal(wal_sync(t->w, 20, NULL), 0);
	assert_int_equal(n_syncs, before + 1);
	assert_int_equal(wal_durable(t->w), 20);
	wal_set_policy(t->w, SYNC_CLOSE, 0);
	append_range(t->w, 21, 21);
	assert_int_equal(wal_durable(t->w), 21);
}

static void
test_interval_policy_syncs_by_itself(void **state)
{
	struct fixture *t = *state;

	t->o.policy = SYNC_INTERVAL;
	t->o.interval_ms = 1;
	wal_up(t);
	append_range(t->w, 1, 10);
	while (wal_durable(t->w) < 10)
		sched_yield();
}

static void
test_appended_but_not_committed_is_kept_by_close(void **state)
{
	struct fixture *t = *state;

	t->o.policy = SYNC_FSYNC;
	wal_up(t);
	for (lsn_t lsn = 1; lsn <= 50; lsn++)
		append(t->w, lsn);
	wal_down(t);
	expect_clean(t, 50);
}

/* --- failures -------------------------------------------------------- */

static void
test_failing_fdatasync_makes_the_log_read_only(void **state)
{
	struct fixture *t = *state;

	wal_up(t);
	append_range(t->w, 1, 3);
	append(t->w, 4);
	sync_fails = true;
	assert_int_equal(wal_commit(t->w, 4, NULL), -ERR_IO);
	sync_fails = false;
	assert_int_equal(wal_failed(t->w), ERR_IO);
	assert_int_equal(wal_commit(t->w, 3, NULL), 0);
	assert_int_equal(wal_commit(t->w, 4, NULL), -ERR_READ_ONLY);
	assert_int_equal(wal_sync(t->w, 4, NULL), -ERR_READ_ONLY);
	assert_int_equal(append_flags(t->w, 5, 0), -ERR_READ_ONLY);
	assert_int_equal(append_flags(t->w, 5, WAL_RESERVE), -ERR_READ_ONLY);
	assert_int_equal(wal_last(t->w), 4);
	wal_down(t);
	struct wal_end end = read_from(t, 1);
	assert_int_not_equal(end.kind, WAL_END_DAMAGED);
	assert_in_range(end.last, 3, 4);
	wal_up(t);
	append_range(t->w, end.last + 1, 20);
}

static lsn_t
append_until_full(struct fixture *t, lsn_t lsn, unsigned flags)
{
	int rc;

	while ((rc = append_flags(t->w, lsn, flags)) == 0) {
		assert_int_equal(wal_commit(t->w, lsn, NULL), 0);
		lsn++;
	}
	assert_int_equal(rc, -ERR_NO_SPACE);
	assert_int_equal(wal_last(t->w), lsn - 1);
	assert_int_equal(wal_failed(t->w), 0);
	return lsn;
}

static void
test_full_disk_keeps_a_file_for_deletes(void **state)
{
	struct fixture *t = *state;

	wal_up(t);
	append_range(t->w, 1, 30);
	disk_full = true;
	lsn_t full = append_until_full(t, 31, 0);
	lsn_t spent = append_until_full(t, full, WAL_RESERVE);
	assert_true(spent >= full + FILE_BYTES / 2 / 1600);
	assert_int_equal(append_flags(t->w, spent, 0), -ERR_NO_SPACE);
	disk_full = false;
	append_range(t->w, spent, spent + 50);
	wal_down(t);
	expect_clean(t, spent + 50);
}

static void
test_full_disk_at_open_still_reads_and_deletes(void **state)
{
	struct fixture *t = *state;

	wal_up(t);
	append_range(t->w, 1, 10);
	wal_down(t);
	disk_full = true;
	wal_up(t);
	lsn_t full = append_until_full(t, 11, 0);
	lsn_t spent = append_until_full(t, full, WAL_RESERVE);
	assert_true(spent > full);
	wal_down(t);
	expect_clean(t, spent - 1);
}

/* --- many threads ---------------------------------------------------- */

#define N_THREADS 8
#define N_EACH    150

struct crowd {
	struct fixture *t;
	struct mutex order;
	atomic_bool done;
};

static void *
crowd_write(void *arg)
{
	struct crowd *c = arg;
	struct wal *w = c->t->w;

	for (unsigned i = 0; i < N_EACH; i++) {
		mutex_lock(&c->order);
		lsn_t lsn = wal_last(w) + 1;
		append(w, lsn);
		mutex_unlock(&c->order);
		if (i % 16 == 15) {
			assert_int_equal(wal_sync(w, lsn, NULL), 0);
			assert_true(wal_durable(w) >= lsn);
		} else {
			assert_int_equal(wal_commit(w, lsn, NULL), 0);
		}
		if (c->t->o.policy == SYNC_CLOSE)
			assert_true(wal_durable(w) >= lsn);
	}
	return NULL;
}

static void *
crowd_trim(void *arg)
{
	struct crowd *c = arg;
	struct wal *w = c->t->w;

	while (!c->done) {
		lsn_t last = wal_durable(w);
		if (last > 600)
			assert_int_equal(wal_trim(w, last - 500, NULL), 0);
		assert_true(wal_bytes(w) > 0);
		sched_yield();
	}
	return NULL;
}

static void
crowd_run(struct fixture *t)
{
	struct crowd c = {.t = t};
	pthread_t threads[N_THREADS], trimmer;

	mutex_init(&c.order, LOCK_ORDER);
	for (unsigned i = 0; i < N_THREADS; i++)
		pthread_create(&threads[i], NULL, crowd_write, &c);
	pthread_create(&trimmer, NULL, crowd_trim, &c);
	for (unsigned i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	c.done = true;
	pthread_join(trimmer, NULL);
	mutex_done(&c.order);
	lsn_t first = wal_first(t->w);
	assert_int_equal(wal_last(t->w), N_THREADS * N_EACH);
	wal_down(t);
	assert_int_equal(read_from(t, first).kind, WAL_END_CLEAN);
	assert_int_equal(read_from(t, first).last, N_THREADS * N_EACH);
}

static void
test_many_threads_commit_in_groups(void **state)
{
	struct fixture *t = *state;

	wal_up(t);
	crowd_run(t);
}

static void
test_many_threads_write_under_fsync_policy(void **state)
{
	struct fixture *t = *state;

	t->o.policy = SYNC_FSYNC;
	t->o.ahead = 0;
	wal_up(t);
	crowd_run(t);
}

#define UNIT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(test_names_sort_by_position),
		UNIT(test_empty_log_is_clean),
		UNIT(test_positions_go_on_after_reopening),
		UNIT(test_spare_files_do_not_pile_up),
		UNIT(test_record_larger_than_a_file_gets_its_own),
		UNIT(test_record_over_the_limit_is_refused),
		UNIT(test_torn_end_is_cut_off),
		UNIT(test_stale_records_behind_a_cut_stay_dead),
		UNIT(test_trim_removes_old_files_only),
		UNIT(test_every_flipped_byte_is_noticed_or_harmless),
		UNIT(test_every_cut_length_gives_a_right_prefix),
		UNIT(test_missing_middle_file_is_damage),
		UNIT(test_missing_first_file_is_not_found),
		UNIT(test_fsync_policy_syncs_on_demand_only),
		UNIT(test_interval_policy_syncs_by_itself),
		UNIT(test_appended_but_not_committed_is_kept_by_close),
		UNIT(test_failing_fdatasync_makes_the_log_read_only),
		UNIT(test_full_disk_keeps_a_file_for_deletes),
		UNIT(test_full_disk_at_open_still_reads_and_deletes),
		UNIT(test_many_threads_commit_in_groups),
		UNIT(test_many_threads_write_under_fsync_policy),
	};

	system_hooks = file_hooks;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
