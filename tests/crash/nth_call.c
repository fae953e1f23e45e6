/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The n-th call to the system fails, for n = 1, 2, ... until the script ends
 * without: once with EIO, or with no space from there on, until it is given
 * back.  Whatever fails, nothing crashes, the caller hears of it, reads go on,
 * and a start without faults has all that was acknowledged.  When there is
 * space again, writes work again; after a failed sync of the log they are
 * refused until then.
 *
 * POINTFS_FIRST, POINTFS_STRIDE and POINTFS_SEED make it another run.
 */
#include "tests/crash/oracle.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum mode { MODE_EIO, MODE_FULL, MODE_NR };

static struct file_hooks system_hooks;
static enum mode mode;
static atomic_long calls_left; /* LONG_MAX: nothing fails */
static atomic_bool hit, log_sync_failed;

/* --- the calls
 * ---------------------------------------------------------------- */

static bool
in_log(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	check(n > 0);
	path[n] = '\0';
	return strstr(path, "/log/") != NULL;
}

/* Whether this call fails.  Space that was allocated is there: a full disk
 * stops growth only. */
static bool
fails(bool grows)
{
	long left;

	if (calls_left == LONG_MAX)
		return false;
	left = atomic_fetch_sub(&calls_left, 1);
	if (left > 0 || (mode == MODE_EIO && left < 0) ||
	    (mode == MODE_FULL && !grows))
		return false;
	hit = true;
	errno = mode == MODE_EIO ? EIO : ENOSPC;
	return true;
}

static ssize_t
nth_pwrite(int fd, const void *p, size_t n, off_t at)
{
	return fails(!in_log(fd)) ? -1 : system_hooks.pwrite(fd, p, n, at);
}

/* What is not forgotten needs no real sync. */
static int
nth_fdatasync(int fd)
{
	if (!fails(false))
		return 0;
	if (in_log(fd))
		log_sync_failed = true;
	return -1;
}

static int
nth_fsync(int fd)
{
	(void)fd;
	return fails(false) ? -1 : 0;
}

static int
nth_renameat(int od, const char *from, int nd, const char *to)
{
	return fails(false) ? -1 : system_hooks.renameat(od, from, nd, to);
}

static int
nth_unlinkat(int dirfd, const char *name, int flags)
{
	return fails(false) ? -1 : system_hooks.unlinkat(dirfd, name, flags);
}

static int
nth_ftruncate(int fd, off_t len)
{
	return fails(false) ? -1 : system_hooks.ftruncate(fd, len);
}

static int
nth_fallocate(int fd, off_t len)
{
	return fails(true) ? errno : system_hooks.fallocate(fd, len);
}

/* --- the script
 * ---------------------------------------------------------------- */

struct run {
	struct oracle *o;
	struct writer w;
	struct db *db;
	char dir[100];
};

static bool
read_only(struct db *db)
{
	struct db_status st;

	db_status(db, &st);
	return st.read_only;
}

static int
run_open(struct run *r, struct err *err)
{
	struct db_settings s;
	int rc;

	db_settings_defaults(&s);
	s.sync = SYNC_CLOSE;
	s.wal_file_bytes = 16u << 10;
	s.memtable_bytes = 8u << 10;
	s.workers = 1;
	rc = db_open(r->dir, &s, DB_CREATE, &r->db, err);
	if (rc < 0)
		r->db = NULL;
	r->w.db = r->db;
	return rc;
}

/* false: an error; it may be one only if something failed. */
static bool
steps(struct run *r, int n)
{
	for (int i = 0; i < n; i++) {
		r->w.may_fail = calls_left != LONG_MAX || hit;
		if (writer_step(&r->w) == OUT_OK)
			continue;
		if (!hit)
			die("an error, and nothing had failed");
		return false;
	}
	return true;
}

static bool
flushed(struct run *r, bool settle)
{
	struct err err = {0};
	struct coll *c;
	int rc = db_flush(r->db, &err);

	if (rc == 0 && settle) {
		uint32_t id = r->o->led[0].st[0].obj_id[0];

		ok(db_coll_open_id(r->db, id, &c, &err));
		rc = coll_settle(c, &err);
		coll_close(c);
	}
	if (rc < 0 && (!hit || err_text(&err)[0] == '\0'))
		ok(rc);
	return rc == 0;
}

static bool
reopened(struct run *r)
{
	struct err err = {0};
	int rc;

	db_close(r->db);
	rc = run_open(r, &err);
	if (rc < 0 && (!hit || err_text(&err)[0] == '\0'))
		ok(rc);
	return rc == 0;
}

/* Until something is said to have failed, or the end. */
static void
script(struct run *r)
{
	(void)(steps(r, 50) && flushed(r, false) && steps(r, 40) &&
	       flushed(r, true) && reopened(r) && steps(r, 30) &&
	       flushed(r, true) && reopened(r));
}

static void
still_reads(struct run *r)
{
	bool stopped = read_only(r->db);

	if (log_sync_failed && !stopped)
		die("the log's sync failed and writes go on");
	oracle_verify(r->o, r->db, VERIFY_LIVE);
	if (!stopped) /* then what failed was refused before the log had it */
		r->o->led[0].word &= 1;
}

static void
writes_again(struct run *r)
{
	struct err err = {0};

	r->w.may_fail = false;
	hit = false;
	check(steps(r, 20));
	ok(db_flush(r->db, &err));
	check(flushed(r, true));
	oracle_verify(r->o, r->db, VERIFY_LIVE);
}

/* Whether the n-th call came. */
static bool
run_one(struct oracle *o, long n, uint64_t seed)
{
	struct run r = {.o = o, .w = {.o = o, .rnd = seed, .alone = true}};
	const char *tmp = getenv("TMPDIR");
	struct err err = {0};
	bool came;

	calls_left = LONG_MAX;
	hit = log_sync_failed = false;
	snprintf(r.dir, sizeof r.dir, "%s/pointfs-nth-XXXXXX",
		 tmp != NULL ? tmp : "/tmp");
	check(mkdtemp(r.dir) != NULL);
	oracle_reset(o);
	ok(run_open(&r, &err));
	oracle_setup(o, r.db);
	calls_left = n;
	script(&r);
	if (r.db != NULL)
		still_reads(&r);
	calls_left = LONG_MAX;
	came = hit;
	if (r.db != NULL && !read_only(r.db))
		writes_again(&r);
	db_close(r.db);
	ok(run_open(&r, &err));
	oracle_verify(o, r.db, 0);
	writes_again(&r);
	db_close(r.db);
	file_remove_tree(AT_FDCWD, r.dir, NULL);
	return came;
}

int
main(void)
{
	uint64_t seed = env_number("POINTFS_SEED", 1);
	long stride = (long)env_number("POINTFS_STRIDE", 1);
	struct oracle *o = oracle_new(1);

	system_hooks = file_hooks;
	file_hooks = (struct file_hooks){
		.pwrite = nth_pwrite,
		.fdatasync = nth_fdatasync,
		.fsync = nth_fsync,
		.renameat = nth_renameat,
		.unlinkat = nth_unlinkat,
		.ftruncate = nth_ftruncate,
		.fallocate = nth_fallocate,
	};
	for (mode = MODE_EIO; mode < MODE_NR; mode++) {
		long n = (long)env_number("POINTFS_FIRST", 0);
		bool came = true;

		for (; came; n += stride) {
			snprintf(
				oracle_context, sizeof oracle_context,
				"POINTFS_SEED=%llu, mode %d, POINTFS_FIRST=%ld",
				(unsigned long long)seed, (int)mode, n);
			came = run_one(o, n, seed);
		}
		printf("# mode %d: %ld calls\n", (int)mode, n);
	}
	oracle_free(o);
	return 0;
}
