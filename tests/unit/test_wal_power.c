/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts.  Under the log stands a shadow disk: for every inode what is in
 * the page cache and what is on the platter.  fdatasync and fsync move dirty
 * pages from one to the other, fsync of the directory does so for names.  At a
 * cut every dirty page is kept, lost or torn at sector borders, every pending
 * size and name is kept or lost, all by the seed; the outcome is written to a
 * fresh directory and opened there.  What must hold:
 *
 *   - every record whose commit returned is there, with its bytes;
 *   - the records are a prefix of what was appended, without holes;
 *   - it never looks like damage.
 *
 * Then the log is opened and used again, and the next cut comes.
 */
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/store/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE        4096u
#define SECTOR      512u
#define PAGES_MAX   64u
#define INODES_MAX  256u
#define DIR_OPS_MAX 256u
#define NAMES_MAX   64u
#define NAME_ROOM   40u
#define LSN_MAX     4096u

#define N_SEEDS  300u
#define N_CYCLES 4u

static uint64_t rng_state;

static uint32_t
rnd(uint32_t below)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((rng_state >> 33) % below);
}

/* --- the shadow disk ------------------------------------------------- */

struct inode {
	ino_t ino;
	uint8_t *cache, *disk; /* PAGES_MAX pages each */
	uint64_t cache_len, disk_len;
	bool dirty[PAGES_MAX];
};

enum dir_op_kind { DIR_LINK, DIR_UNLINK, DIR_RENAME };

struct dir_op {
	enum dir_op_kind kind;
	char name[NAME_ROOM], to[NAME_ROOM];
	struct inode *inode;
};

struct dir_entry {
	char name[NAME_ROOM]; /* "": free */
	struct inode *inode;
};

static struct shadow {
	pthread_mutex_t lock;
	struct inode *inodes[INODES_MAX];
	unsigned n_inodes;
	struct dir_entry names[NAMES_MAX]; /* on the platter */
	struct dir_op ops[DIR_OPS_MAX];    /* not yet */
	unsigned n_ops;
	unsigned calls_left; /* to the cut */
	bool off;
} shadow = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct file_hooks system_hooks;

static struct inode *
inode_new(ino_t ino)
{
	struct inode *i = calloc(1, sizeof *i);

	check(i && shadow.n_inodes < INODES_MAX);
	i->ino = ino;
	i->cache = calloc(PAGES_MAX, PAGE);
	i->disk = calloc(PAGES_MAX, PAGE);
	check(i->cache && i->disk);
	shadow.inodes[shadow.n_inodes++] = i;
	return i;
}

static struct dir_op *
dir_op_add(enum dir_op_kind kind, const char *name)
{
	check(shadow.n_ops < DIR_OPS_MAX);
	struct dir_op *o = &shadow.ops[shadow.n_ops++];

	*o = (struct dir_op){.kind = kind};
	snprintf(o->name, sizeof o->name, "%s", name);
	return o;
}

/* A file the shadow has not seen was just made: opening has no hook. */
static struct inode *
inode_of(int fd)
{
	char link[64], path[256];
	struct stat st;

	check(fstat(fd, &st) == 0);
	if (S_ISDIR(st.st_mode))
		return NULL;
	for (unsigned i = 0; i < shadow.n_inodes; i++)
		if (shadow.inodes[i]->ino == st.st_ino)
			return shadow.inodes[i];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	check(n > 0);
	path[n] = 0;
	struct inode *inode = inode_new(st.st_ino);
	dir_op_add(DIR_LINK, strrchr(path, '/') + 1)->inode = inode;
	return inode;
}

static struct dir_entry *
name_find(const char *name)
{
	for (unsigned i = 0; i < NAMES_MAX; i++)
		if (strcmp(shadow.names[i].name, name) == 0)
			return &shadow.names[i];
	return NULL;
}

static void
name_set(const char *name, struct inode *inode)
{
	struct dir_entry *e = name_find(name);

	if (!e)
		e = name_find("");
	check(e);
	snprintf(e->name, sizeof e->name, "%s", name);
	e->inode = inode;
}

static void
dir_op_apply(const struct dir_op *o)
{
	struct dir_entry *e = name_find(o->name);

	if (o->kind == DIR_LINK) {
		name_set(o->name, o->inode);
	} else if (e && o->kind == DIR_UNLINK) {
		e->name[0] = 0;
	} else if (e) {
		struct inode *inode = e->inode;
		e->name[0] = 0;
		name_set(o->to, inode);
	}
}

static void
inode_sync(struct inode *i)
{
	for (unsigned p = 0; p < PAGES_MAX; p++)
		if (i->dirty[p]) {
			memcpy(i->disk + p * PAGE, i->cache + p * PAGE, PAGE);
			i->dirty[p] = false;
		}
	i->disk_len = i->cache_len;
}

static void
dir_sync(void)
{
	for (unsigned i = 0; i < shadow.n_ops; i++)
		dir_op_apply(&shadow.ops[i]);
	shadow.n_ops = 0;
}

/* --- the hooks ------------------------------------------------------- */

/* Locks the shadow; false: the power is off.  *ret_now: since this call. */
static bool
call_begin_now(bool *ret_now)
{
	pthread_mutex_lock(&shadow.lock);
	*ret_now = !shadow.off && shadow.calls_left == 0;
	if (*ret_now)
		shadow.off = true;
	else if (!shadow.off)
		shadow.calls_left--;
	if (shadow.off)
		errno = EIO;
	return !shadow.off;
}

static bool
call_begin(void)
{
	bool now;

	return call_begin_now(&now);
}

static int
call_end(int rc)
{
	int eno = errno;

	pthread_mutex_unlock(&shadow.lock);
	errno = eno;
	return rc;
}

static void
cache_dirty(struct inode *i, uint64_t from, uint64_t to)
{
	check(to <= PAGES_MAX * PAGE);
	for (uint64_t p = from / PAGE; p * PAGE < to; p++)
		i->dirty[p] = true;
}

/* A write that the cut interrupts has reached the page cache, but nobody was
 * told; whether any of it lasts is decided like for all dirty pages. */
static ssize_t
power_pwrite(int fd, const void *p, size_t n, off_t at)
{
	bool now, on = call_begin_now(&now);

	if (on || now) {
		struct inode *i = inode_of(fd);
		check((uint64_t)at + n <= PAGES_MAX * PAGE);
		memcpy(i->cache + at, p, n);
		i->cache_len = MAX(i->cache_len, (uint64_t)at + n);
		cache_dirty(i, (uint64_t)at, (uint64_t)at + n);
	}
	if (on || now)
		check(system_hooks.pwrite(fd, p, n, at) == (ssize_t)n);
	errno = EIO;
	return call_end(on ? 0 : -1) == 0 ? (ssize_t)n : -1;
}

static int
power_sync(int fd)
{
	bool on = call_begin();

	if (on) {
		struct inode *i = inode_of(fd);
		if (i)
			inode_sync(i);
		else
			dir_sync();
	}
	return call_end(on ? 0 : -1);
}

/* The system will give its number to a new file. */
static void
inode_forget(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, 0) != 0)
		return;
	for (unsigned i = 0; i < shadow.n_inodes; i++)
		if (shadow.inodes[i]->ino == st.st_ino)
			shadow.inodes[i]->ino = 0;
}

static int
power_renameat(int od, const char *from, int nd, const char *to)
{
	bool on = call_begin();

	if (on) {
		struct dir_op *o = dir_op_add(DIR_RENAME, from);
		snprintf(o->to, sizeof o->to, "%s", to);
		inode_forget(nd, to);
		check(system_hooks.renameat(od, from, nd, to) == 0);
	}
	return call_end(on ? 0 : -1);
}

static int
power_unlinkat(int dirfd, const char *name, int flags)
{
	bool on = call_begin();

	if (on) {
		dir_op_add(DIR_UNLINK, name);
		inode_forget(dirfd, name);
		check(system_hooks.unlinkat(dirfd, name, flags) == 0);
	}
	return call_end(on ? 0 : -1);
}

static int
power_ftruncate(int fd, off_t len)
{
	bool on = call_begin();

	if (on) {
		struct inode *i = inode_of(fd);
		uint64_t n = (uint64_t)len;
		if (n < i->cache_len) {
			cache_dirty(i, n, i->cache_len);
			memset(i->cache + n, 0, i->cache_len - n);
		}
		i->cache_len = n;
		check(system_hooks.ftruncate(fd, len) == 0);
	}
	return call_end(on ? 0 : -1);
}

static int
power_fallocate(int fd, off_t len)
{
	bool on = call_begin();

	if (on) {
		struct inode *i = inode_of(fd);
		check((uint64_t)len <= PAGES_MAX * PAGE);
		i->cache_len = MAX(i->cache_len, (uint64_t)len);
		check(system_hooks.fallocate(fd, len) == 0);
	}
	return call_end(on ? 0 : EIO);
}

/* --- the cut --------------------------------------------------------- */

static void
page_fate(struct inode *i, unsigned p)
{
	uint8_t *to = i->disk + p * PAGE, *from = i->cache + p * PAGE;

	switch (rnd(3)) {
	case 0:
		return;
	case 1:
		memcpy(to, from, PAGE);
		return;
	default:
		for (unsigned s = 0; s < PAGE; s += SECTOR)
			if (rnd(2))
				memcpy(to + s, from + s, SECTOR);
	}
}

static void
inode_fate(struct inode *i)
{
	for (unsigned p = 0; p < PAGES_MAX; p++)
		if (i->dirty[p])
			page_fate(i, p);
	if (rnd(2))
		i->disk_len = i->cache_len;
	memset(i->disk + i->disk_len, 0, PAGES_MAX * PAGE - i->disk_len);
	memcpy(i->cache, i->disk, PAGES_MAX * PAGE);
	i->cache_len = i->disk_len;
	memset(i->dirty, 0, sizeof i->dirty);
}

static void
names_fate(void)
{
	bool in_order = rnd(2);
	unsigned n = rnd(shadow.n_ops + 1);

	for (unsigned i = 0; i < shadow.n_ops; i++)
		if (in_order ? i < n : rnd(2) == 0)
			dir_op_apply(&shadow.ops[i]);
	shadow.n_ops = 0;
}

/* What is left stands in dirfd then, and the inodes are those there. */
static void
power_back(int dirfd)
{
	for (unsigned i = 0; i < shadow.n_inodes; i++) {
		inode_fate(shadow.inodes[i]);
		shadow.inodes[i]->ino = 0;
	}
	names_fate();
	for (unsigned i = 0; i < NAMES_MAX; i++) {
		struct dir_entry *e = &shadow.names[i];
		struct stat st;
		if (!e->name[0])
			continue;
		int fd =
			openat(dirfd, e->name, O_RDWR | O_CREAT | O_EXCL, 0600);
		check(fd >= 0);
		check(pwrite(fd, e->inode->disk, e->inode->disk_len, 0) ==
		      (ssize_t)e->inode->disk_len);
		check(fstat(fd, &st) == 0);
		e->inode->ino = st.st_ino;
		close(fd);
	}
	shadow.off = false;
}

static void
shadow_clear(void)
{
	for (unsigned i = 0; i < shadow.n_inodes; i++) {
		free(shadow.inodes[i]->cache);
		free(shadow.inodes[i]->disk);
		free(shadow.inodes[i]);
	}
	shadow.n_inodes = shadow.n_ops = 0;
	memset(shadow.names, 0, sizeof shadow.names);
	shadow.off = false;
}

/* --- the model ------------------------------------------------------- */

static struct model {
	uint32_t salt[LSN_MAX]; /* of each record's body */
	lsn_t last;             /* appended */
	lsn_t promised;
	lsn_t keep; /* trimmed up to here, at most */
} model;

static size_t
body_make(uint32_t salt, uint8_t *p)
{
	size_t n = salt % 11 == 0 ? salt / 11 % 20000 : salt / 11 % 900;
	uint32_t x = salt | 1;

	if (salt % 11 > 4) /* so that stale records would stand in order */
		n = 200;
	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(x >> 24);
	}
	return n;
}

static void
record_check(const struct wal_record *rec)
{
	static uint8_t body[20000];

	assert_in_range(rec->lsn, 1, model.last);
	size_t n = body_make(model.salt[rec->lsn], body);
	assert_int_equal(rec->kind, (uint8_t)model.salt[rec->lsn]);
	assert_int_equal(rec->body.n, n);
	assert_memory_equal(rec->body.p, body, n);
}

/* Reads it all and compares with the model. */
static struct wal_end
log_check(int dirfd, lsn_t from)
{
	struct wal_reader *r;
	struct wal_record rec;
	struct wal_end end;
	struct err err = {0};
	lsn_t next = from;
	int rc;

	rc = wal_reader_open(dirfd, from, &r, &err);
	assert_string_equal(err.text, "");
	assert_int_equal(rc, 0);
	while ((rc = wal_reader_next(r, &rec, &err)) == 1) {
		assert_int_equal(rec.lsn, next++);
		record_check(&rec);
	}
	assert_int_equal(rc, 0);
	wal_reader_end(r, &end);
	wal_reader_close(r);
	assert_int_not_equal(end.kind, WAL_END_DAMAGED);
	assert_in_range(end.last, model.promised, model.last);
	if (next > from)
		assert_int_equal(end.last, next - 1);
	return end;
}

static int
model_append(struct wal *w)
{
	static uint8_t body[20000];
	uint32_t salt = rnd(UINT32_MAX);
	size_t n = body_make(salt, body), cut = n / 2;
	struct slice parts[2] = {{body, cut}, {body + cut, n - cut}};
	lsn_t lsn;

	check(model.last + 1 < LSN_MAX);
	model.salt[model.last + 1] = salt;
	int rc = wal_append(w, (uint8_t)salt, 1, parts, 2,
			    rnd(8) ? 0 : WAL_RESERVE, &lsn, NULL, NULL);
	if (rc == 0)
		assert_int_equal(lsn, ++model.last);
	return rc;
}

static int
model_commit(struct wal *w, bool sync)
{
	lsn_t back = rnd(3);
	lsn_t lsn = model.last - MIN(model.last - model.promised, back);

	int rc = sync ? wal_sync(w, lsn, NULL) : wal_commit(w, lsn, NULL);
	if (rc == 0 && sync)
		model.promised = MAX(model.promised, lsn);
	return rc;
}

static int
model_trim(struct wal *w)
{
	lsn_t back = rnd(20);
	lsn_t keep = model.promised + 1 - MIN(model.promised, back);

	/* even a trim that fails may have come half way */
	model.keep = MAX(model.keep, keep);
	return wal_trim(w, keep, NULL);
}

/* Random work until the power goes; how it was refused does not matter. */
static void
work(struct wal *w, enum sync_policy policy)
{
	for (unsigned i = 0; i < 120; i++) {
		uint32_t what = rnd(20);
		int rc = 0;

		if (what < 11)
			rc = model_append(w);
		else if (what < 17)
			rc = model_commit(w, policy == SYNC_CLOSE);
		else if (what < 19)
			rc = model_commit(w, true);
		else
			rc = model_trim(w);
		if (rc != 0)
			return;
		model.promised = MAX(model.promised, wal_durable(w));
	}
}

/* One life of the log in the directory: up, work, down without a word. */
static void
life(int dirfd)
{
	struct wal_opts o = {.dirfd = dirfd,
			     .file_bytes = 8192u << rnd(3),
			     .ahead = rnd(3),
			     .policy = rnd(3) ? SYNC_CLOSE : SYNC_FSYNC};
	struct wal_end end = log_check(dirfd, model.keep);
	struct wal *w = NULL;

	shadow.calls_left = rnd(4) ? 10 + rnd(150) : rnd(20);
	int rc = wal_open(&o, &end, &w, NULL);
	if (rc == 0) {
		/* what was read has been made to last, no hole in front */
		model.last = model.promised = end.last;
		log_check(dirfd, wal_first(w));
		work(w, o.policy);
		pthread_mutex_lock(&shadow.lock);
		shadow.off = true;
		pthread_mutex_unlock(&shadow.lock);
		model.promised = MAX(model.promised, wal_durable(w));
	} else {
		assert_true(shadow.off);
	}
	wal_close(w);
}

static void
dir_drop(int dirfd, const char *path)
{
	struct file_hooks now = file_hooks;

	if (dirfd < 0)
		return;
	close(dirfd);
	file_hooks = system_hooks;
	file_remove_tree(AT_FDCWD, path, NULL);
	file_hooks = now;
}

static void
seed_run(uint64_t seed)
{
	char path[64] = "";
	int dirfd = -1;

	rng_state = seed * 0x9e3779b97f4a7c15ull + 12345;
	rnd(2);
	memset(&model, 0, sizeof model);
	model.keep = 1;
	for (unsigned i = 0; i <= N_CYCLES; i++) {
		if (i > 0 && i < N_CYCLES && rnd(3) == 0) {
			shadow.off = false; /* just a kill: nothing is lost */
			life(dirfd);
			continue;
		}
		char next[64] = "/tmp/test_wal_power.XXXXXX";
		assert_non_null(mkdtemp(next));
		int fd = open(next, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(fd >= 0);
		power_back(fd);
		dir_drop(dirfd, path);
		dirfd = fd;
		memcpy(path, next, sizeof path);
		if (i < N_CYCLES)
			life(dirfd);
		else
			log_check(dirfd, model.keep);
	}
	dir_drop(dirfd, path);
	shadow_clear();
}

static void
test_power_cuts_lose_nothing_promised(void **state)
{
	const char *only = getenv("WAL_POWER_SEED");

	(void)state;
	file_hooks = (struct file_hooks){
		.pwrite = power_pwrite,
		.fdatasync = power_sync,
		.fsync = power_sync,
		.renameat = power_renameat,
		.unlinkat = power_unlinkat,
		.ftruncate = power_ftruncate,
		.fallocate = power_fallocate,
	};
	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		uint64_t s = only ? strtoull(only, NULL, 10) : seed;
		print_message("# seed %llu\n", (unsigned long long)s);
		seed_run(s);
		if (only)
			break;
	}
	file_hooks = system_hooks;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_cuts_lose_nothing_promised),
	};

	system_hooks = file_hooks;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
