/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/shadow_disk.h"

#include "tests/crash/oracle.h"

#include "engine/base/check.h"
#include "engine/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE       4096u
#define SECTOR     512u
#define INODES_MAX 65536u
#define FILE_MAX   (64u << 20)
#define NAME_ROOM  100u

struct entry { /* a name on the platter */
	char name[NAME_ROOM];
	struct inode *inode;
};

struct inode {
	ino_t ino; /* of the real file; 0: it has none any more */
	bool is_dir, kept;
	/* a file */
	uint8_t *cache, *disk;
	uint8_t *dirty; /* a byte a page */
	uint64_t room, cache_len, disk_len;
	/* a directory */
	struct entry *entries;
	uint32_t n_entries;
};

struct dir_op { /* a change of names that is not on the platter */
	struct inode *dir;
	char name[NAME_ROOM];
	struct inode *inode;  /* linked under the name, or NULL: unlinked */
	char from[NAME_ROOM]; /* renamed: what it was called; or "" */
	bool done;
};

static struct {
	pthread_mutex_t lock;
	struct inode *root;
	struct inode *inodes[INODES_MAX];
	uint32_t n_inodes;
	struct dir_op *ops;
	uint32_t n_ops, room_ops;
	uint64_t rnd;
	uint32_t calls_left;
	bool off;
	struct file_hooks system;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *
again(void *p, size_t n)
{
	p = realloc(p, n);
	check(p != NULL);
	return p;
}

/* --- inodes -----------------------------------------------------------------
 */

static struct inode *
inode_new(ino_t ino, bool is_dir)
{
	struct inode *i = calloc(1, sizeof *i);

	check(i != NULL && disk.n_inodes < INODES_MAX);
	i->ino = ino;
	i->is_dir = is_dir;
	disk.inodes[disk.n_inodes++] = i;
	return i;
}

static void
inode_free(struct inode *i)
{
	free(i->cache);
	free(i->disk);
	free(i->dirty);
	free(i->entries);
	free(i);
}

static struct inode *
inode_known(ino_t ino)
{
	for (uint32_t i = disk.n_inodes; i-- > 0;)
		if (disk.inodes[i]->ino == ino)
			return disk.inodes[i];
	return NULL;
}

static struct dir_op *
op_add(struct inode *dir, const char *name, struct inode *inode)
{
	struct dir_op *o;

	if (disk.n_ops == disk.room_ops) {
		disk.room_ops = disk.room_ops * 2 + 64;
		disk.ops = again(disk.ops, disk.room_ops * sizeof *disk.ops);
	}
	o = &disk.ops[disk.n_ops++];
	*o = (struct dir_op){.dir = dir, .inode = inode};
	check(strlen(name) < NAME_ROOM);
	snprintf(o->name, sizeof o->name, "%s", name);
	return o;
}

static struct inode *inode_of_path(const char *path);

static struct inode *
inode_discover(const char *path, const struct stat *st)
{
	char parent[PATH_MAX];
	char *slash;
	struct inode *dir, *i;

	snprintf(parent, sizeof parent, "%s", path);
	slash = strrchr(parent, '/');
	check(slash != NULL && slash != parent);
	*slash = '\0';
	dir = inode_of_path(parent);
	i = inode_new(st->st_ino, S_ISDIR(st->st_mode));
	op_add(dir, slash + 1, i);
	return i;
}

static struct inode *
inode_of_path(const char *path)
{
	struct inode *i;
	struct stat st;

	check(stat(path, &st) == 0);
	i = inode_known(st.st_ino);
	return i != NULL ? i : inode_discover(path, &st);
}

static void
fd_path(int fd, char path[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	check(n > 0);
	path[n] = '\0';
}

static void
inode_room(struct inode *i, uint64_t len)
{
	uint64_t room = (len + PAGE - 1) / PAGE * PAGE;

	check(len <= FILE_MAX);
	if (room <= i->room)
		return;
	room = MAX(room, i->room * 2);
	i->cache = again(i->cache, room);
	i->disk = again(i->disk, room);
	i->dirty = again(i->dirty, room / PAGE);
	memset(i->cache + i->room, 0, room - i->room);
	memset(i->disk + i->room, 0, room - i->room);
	memset(i->dirty + i->room / PAGE, 0, (room - i->room) / PAGE);
	i->room = room;
}

static void
inode_dirty(struct inode *i, uint64_t from, uint64_t to)
{
	for (uint64_t p = from / PAGE; p * PAGE < to; p++)
		i->dirty[p] = 1;
}

static void
inode_cut(struct inode *i, uint64_t len)
{
	inode_dirty(i, len, i->cache_len);
	memset(i->cache + len, 0, i->cache_len - len);
	i->cache_len = len;
}

/* A file that is shorter than it was has been opened with O_TRUNC. */
static struct inode *
inode_of(int fd)
{
	char path[PATH_MAX];
	struct inode *i;
	struct stat st;

	check(fstat(fd, &st) == 0);
	i = inode_known(st.st_ino);
	if (i != NULL) {
		if (!i->is_dir && (uint64_t)st.st_size < i->cache_len)
			inode_cut(i, (uint64_t)st.st_size);
		return i;
	}
	fd_path(fd, path);
	return inode_discover(path, &st);
}

static void
inode_sync(struct inode *i)
{
	for (uint64_t p = 0; p * PAGE < i->room; p++)
		if (i->dirty[p]) {
			memcpy(i->disk + p * PAGE, i->cache + p * PAGE, PAGE);
			i->dirty[p] = 0;
		}
	i->disk_len = i->cache_len;
}

/* --- names on the platter
 * ------------------------------------------------------- */

static struct entry *
entry_find(struct inode *dir, const char *name)
{
	for (uint32_t i = 0; i < dir->n_entries; i++)
		if (strcmp(dir->entries[i].name, name) == 0)
			return &dir->entries[i];
	return NULL;
}

static void
entry_set(struct inode *dir, const char *name, struct inode *inode)
{
	struct entry *e = entry_find(dir, name);

	if (e == NULL) {
		dir->entries =
			again(dir->entries, (dir->n_entries + 1) * sizeof *e);
		e = &dir->entries[dir->n_entries++];
		snprintf(e->name, sizeof e->name, "%s", name);
	}
	e->inode = inode;
}

static void
entry_drop(struct inode *dir, const char *name)
{
	struct entry *e = entry_find(dir, name);

	if (e != NULL)
		*e = dir->entries[--dir->n_entries];
}

static void
op_apply(struct dir_op *o)
{
	if (o->from[0] != '\0')
		entry_drop(o->dir, o->from);
	if (o->inode != NULL)
		entry_set(o->dir, o->name, o->inode);
	else
		entry_drop(o->dir, o->name);
	o->done = true;
}

static int
notice(void *arg, const char *name, struct err *err)
{
	char path[PATH_MAX];

	(void)err;
	snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
	(void)inode_of_path(path);
	return 0;
}

static void
ops_forget(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < disk.n_ops; i++)
		if (!disk.ops[i].done)
			disk.ops[n++] = disk.ops[i];
	disk.n_ops = n;
}

static void
dir_sync(int fd, struct inode *dir)
{
	char path[PATH_MAX];

	fd_path(fd, path);
	check(dir_each(fd, notice, path, NULL) == 0);
	for (uint32_t i = 0; i < disk.n_ops; i++)
		if (disk.ops[i].dir == dir)
			op_apply(&disk.ops[i]);
	ops_forget();
}

/* --- the hooks
 * ---------------------------------------------------------------------- */

/* Takes the lock; false: the power is off.  *ret_now: since this call. */
static bool
call_begin(bool *ret_now)
{
	pthread_mutex_lock(&disk.lock);
	*ret_now = !disk.off && disk.calls_left == 0;
	if (*ret_now)
		disk.off = true;
	else if (!disk.off)
		disk.calls_left--;
	return !disk.off;
}

static int
call_end(bool on, int rc)
{
	pthread_mutex_unlock(&disk.lock);
	if (on)
		return rc;
	errno = EIO;
	return -1;
}

/* A write that the cut interrupts has reached the page cache, but nobody was
 * told. */
static ssize_t
shadow_pwrite(int fd, const void *p, size_t n, off_t at)
{
	bool now, on = call_begin(&now);

	if (on || now) {
		struct inode *i = inode_of(fd);

		inode_room(i, (uint64_t)at + n);
		memcpy(i->cache + at, p, n);
		i->cache_len = MAX(i->cache_len, (uint64_t)at + n);
		inode_dirty(i, (uint64_t)at, (uint64_t)at + n);
		check(disk.system.pwrite(fd, p, n, at) == (ssize_t)n);
	}
	return call_end(on, 0) == 0 ? (ssize_t)n : -1;
}

static int
shadow_sync(int fd)
{
	bool now, on = call_begin(&now);

	if (on) {
		struct inode *i = inode_of(fd);

		if (i->is_dir)
			dir_sync(fd, i);
		else
			inode_sync(i);
	}
	return call_end(on, 0);
}

/* The system may give its number to a new file. */
static struct inode *
name_forget(int dirfd, const char *name)
{
	struct inode *i;
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return NULL;
	i = inode_known(st.st_ino);
	if (i != NULL)
		i->ino = 0;
	return i;
}

static int
shadow_renameat(int od, const char *from, int nd, const char *to)
{
	bool now, on = call_begin(&now);
	int rc = 0;

	if (on) {
		char path[PATH_MAX];
		struct dir_op *o;
		struct inode *i;
		size_t n;

		fd_path(od, path);
		n = strlen(path);
		snprintf(path + n, sizeof path - n, "/%s", from);
		i = inode_of_path(path);
		(void)name_forget(nd, to);
		o = op_add(inode_of(nd), to, i);
		snprintf(o->from, sizeof o->from, "%s", from);
		rc = disk.system.renameat(od, from, nd, to);
		check(rc == 0);
	}
	return call_end(on, rc);
}

static int
shadow_unlinkat(int dirfd, const char *name, int flags)
{
	bool now, on = call_begin(&now);
	int rc = 0;

	if (on) {
		struct stat st;

		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			op_add(inode_of(dirfd), name, NULL);
			(void)name_forget(dirfd, name);
		}
		rc = disk.system.unlinkat(dirfd, name, flags);
	}
	return call_end(on, rc);
}

static int
shadow_ftruncate(int fd, off_t len)
{
	bool now, on = call_begin(&now);

	if (on) {
		struct inode *i = inode_of(fd);
		uint64_t n = (uint64_t)len;

		inode_room(i, n);
		if (n < i->cache_len)
			inode_cut(i, n);
		i->cache_len = n;
		check(disk.system.ftruncate(fd, len) == 0);
	}
	return call_end(on, 0);
}

static int
shadow_fallocate(int fd, off_t len)
{
	bool now, on = call_begin(&now);

	if (on) {
		struct inode *i = inode_of(fd);

		inode_room(i, (uint64_t)len);
		i->cache_len = MAX(i->cache_len, (uint64_t)len);
		check(disk.system.ftruncate(fd, (off_t)i->cache_len) == 0);
	}
	return call_end(on, 0) == 0 ? 0 : EIO;
}

/* --- the cut
 * ----------------------------------------------------------------------------
 */

static void
page_fate(struct inode *i, uint64_t p)
{
	uint8_t *to = i->disk + p * PAGE, *from = i->cache + p * PAGE;

	switch (rnd_below(&disk.rnd, 3)) {
	case 0:
		return;
	case 1:
		memcpy(to, from, PAGE);
		return;
	default:
		for (unsigned s = 0; s < PAGE; s += SECTOR)
			if (rnd_below(&disk.rnd, 2) != 0)
				memcpy(to + s, from + s, SECTOR);
	}
}

static void
inode_fate(struct inode *i)
{
	for (uint64_t p = 0; p * PAGE < i->room; p++)
		if (i->dirty[p])
			page_fate(i, p);
	if (rnd_below(&disk.rnd, 2) != 0)
		i->disk_len = i->cache_len;
	if (i->room != 0) {
		memset(i->disk + i->disk_len, 0, i->room - i->disk_len);
		memcpy(i->cache, i->disk, i->room);
		memset(i->dirty, 0, i->room / PAGE);
	}
	i->cache_len = i->disk_len;
}

/* As journals do, the first so many; or any of them. */
static void
names_fate(void)
{
	bool in_order = rnd_below(&disk.rnd, 2) != 0;
	uint32_t n = rnd_below(&disk.rnd, disk.n_ops + 1);

	for (uint32_t i = 0; i < disk.n_ops; i++)
		if (in_order ? i < n : rnd_below(&disk.rnd, 2) == 0)
			op_apply(&disk.ops[i]);
	disk.n_ops = 0;
}

static void
inode_out(struct inode *i, const char *path)
{
	struct stat st;
	int fd;

	if (i->is_dir) {
		check(mkdir(path, 0700) == 0 || errno == EEXIST);
		check(stat(path, &st) == 0);
	} else {
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		check(fd >= 0 &&
		      pwrite(fd, i->disk, i->disk_len, 0) ==
			      (ssize_t)i->disk_len &&
		      fstat(fd, &st) == 0);
		close(fd);
	}
	check(!i->kept); /* one name each */
	i->kept = true;
	i->ino = st.st_ino;
}

static void
tree_out(struct inode *dir, const char *path)
{
	inode_out(dir, path);
	for (uint32_t e = 0; e < dir->n_entries; e++) {
		char sub[PATH_MAX + NAME_ROOM];
		struct inode *i = dir->entries[e].inode;

		check(snprintf(sub, sizeof sub, "%s/%s", path,
			       dir->entries[e].name) < (int)sizeof sub);
		if (i->kept) /* a rename that lasted by half: two names */
			continue;
		if (i->is_dir)
			tree_out(i, sub);
		else
			inode_out(i, sub);
	}
}

static void
unkept_free(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < disk.n_inodes; i++) {
		if (disk.inodes[i]->kept)
			disk.inodes[n++] = disk.inodes[i];
		else
			inode_free(disk.inodes[i]);
	}
	disk.n_inodes = n;
}

void
shadow_restore(const char *root)
{
	pthread_mutex_lock(&disk.lock);
	for (uint32_t i = 0; i < disk.n_inodes; i++) {
		inode_fate(disk.inodes[i]);
		disk.inodes[i]->ino = 0;
		disk.inodes[i]->kept = false;
	}
	names_fate();
	tree_out(disk.root, root);
	unkept_free();
	disk.off = false;
	disk.calls_left = UINT32_MAX;
	pthread_mutex_unlock(&disk.lock);
}

/* --- public
 * ---------------------------------------------------------------------------------
 */

void
shadow_begin(const char *root, uint64_t seed)
{
	struct stat st;

	check(stat(root, &st) == 0);
	disk.rnd = seed;
	disk.root = inode_new(st.st_ino, true);
	disk.calls_left = UINT32_MAX;
	disk.off = false;
	disk.system = file_hooks;
	file_hooks = (struct file_hooks){
		.pwrite = shadow_pwrite,
		.fdatasync = shadow_sync,
		.fsync = shadow_sync,
		.renameat = shadow_renameat,
		.unlinkat = shadow_unlinkat,
		.ftruncate = shadow_ftruncate,
		.fallocate = shadow_fallocate,
	};
}

void
shadow_end(void)
{
	file_hooks = disk.system;
	for (uint32_t i = 0; i < disk.n_inodes; i++)
		inode_free(disk.inodes[i]);
	disk.n_inodes = disk.n_ops = 0;
	free(disk.ops);
	disk.ops = NULL;
	disk.room_ops = 0;
}

void
shadow_cut_after(uint32_t n_calls)
{
	pthread_mutex_lock(&disk.lock);
	disk.calls_left = n_calls;
	pthread_mutex_unlock(&disk.lock);
}

void
shadow_off(void)
{
	pthread_mutex_lock(&disk.lock);
	disk.off = true;
	pthread_mutex_unlock(&disk.lock);
}

bool
shadow_is_off(void)
{
	bool off;

	pthread_mutex_lock(&disk.lock);
	off = disk.off;
	pthread_mutex_unlock(&disk.lock);
	return off;
}
