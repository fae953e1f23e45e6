/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/file.h"

#include "engine/base/check.h"
#include "engine/base/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOAD_STEP ((size_t)64 << 10)

static int
system_fallocate(int fd, off_t len)
{
	return posix_fallocate(fd, 0, len);
}

struct file_hooks file_hooks = {
	.pwrite = pwrite,
	.fdatasync = fdatasync,
	.fsync = fsync,
	.renameat = renameat,
	.unlinkat = unlinkat,
	.ftruncate = ftruncate,
	.fallocate = system_fallocate,
};

/* --- errors: paths are looked up only when one is needed ------------- */

static const char *
fd_path(int fd, char *room, size_t n)
{
	char link[32];
	ssize_t len;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	len = readlink(link, room, n - 1);
	if (len < 0)
		len = snprintf(room, n, "file %d", fd);
	room[len] = '\0';
	return room;
}

static int
fd_failed(int fd, int errnum, const char *verb, struct err *err)
{
	char room[400];

	return err_sys(err, errnum, "cannot %s '%s'", verb,
		       fd_path(fd, room, sizeof room));
}

static int
at_failed(int dirfd, const char *name, int errnum, const char *verb,
	  struct err *err)
{
	char room[400];

	if (dirfd == AT_FDCWD || name[0] == '/')
		return err_sys(err, errnum, "cannot %s '%s'", verb, name);
	return err_sys(err, errnum, "cannot %s '%s/%s'", verb,
		       fd_path(dirfd, room, sizeof room), name);
}

/* --- files ----------------------------------------------------------- */

int
file_open_at(int dirfd, const char *name, int flags, int *ret_fd,
	     struct err *err)
{
	int fd;

	do
		fd = openat(dirfd, name, flags | O_CLOEXEC, 0600);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return at_failed(dirfd, name, errno, "open", err);
	*ret_fd = fd;
	return 0;
}

int
dir_open_at(int dirfd, const char *name, bool make, int *ret_fd,
	    struct err *err)
{
	if (make && mkdirat(dirfd, name, 0700) != 0 && errno != EEXIST)
		return at_failed(dirfd, name, errno, "make directory", err);
	return file_open_at(dirfd, name, O_RDONLY | O_DIRECTORY, ret_fd, err);
}

int
file_write_all(int fd, const void *p, size_t n, off_t at, struct err *err)
{
	const uint8_t *b = p;
	ssize_t got;

	while (n > 0) {
		got = file_hooks.pwrite(fd, b, n, at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fd_failed(fd, got < 0 ? errno : EIO, "write",
					 err);
		b += got;
		n -= (size_t)got;
		at += got;
	}
	return 0;
}

int
file_read_all(int fd, void *p, size_t n, off_t at, size_t *ret_n,
	      struct err *err)
{
	uint8_t *b = p;
	size_t done = 0;
	ssize_t got;

	while (done < n) {
		got = pread(fd, b + done, n - done, at + (off_t)done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fd_failed(fd, errno, "read", err);
		if (got == 0)
			break;
		done += (size_t)got;
	}
	*ret_n = done;
	return 0;
}

static int
load_failed(int fd, int rc, size_t max, struct err *err)
{
	char room[400];
	const char *path = fd_path(fd, room, sizeof room);

	if (rc == -ERR_TOO_BIG)
		return err_set(err, ERR_TOO_BIG,
			       "'%s' is larger than %zu bytes", path, max);
	return err_set(err, ERR_NO_MEMORY, "reading '%s': out of memory", path);
}

/* Reads to the end, wherever that is: the size that fstat gave is where to
 * begin, for the file may grow meanwhile. */
static int
load_fd(int fd, size_t max, struct buf *ret, struct err *err)
{
	size_t want, got = 0, total = 0;
	struct stat st;
	int rc;

	if (fstat(fd, &st) != 0)
		return fd_failed(fd, errno, "stat", err);
	if (st.st_size > 0 && (uint64_t)st.st_size > max)
		return load_failed(fd, -ERR_TOO_BIG, max, err);
	want = (size_t)st.st_size + 1; /* one more, to see the end */
	for (;;) {
		if (buf_reserve(ret, want))
			return load_failed(fd, -ERR_NO_MEMORY, max, err);
		rc = file_read_all(fd, ret->p + ret->n, want, (off_t)total,
				   &got, err);
		if (rc)
			return rc;
		ret->n += got;
		total += got;
		if (total > max)
			return load_failed(fd, -ERR_TOO_BIG, max, err);
		if (got < want)
			return 0;
		want = MIN(LOAD_STEP, max - total) + 1;
	}
}

int
file_load_at(int dirfd, const char *name, size_t max, struct buf *ret,
	     struct err *err)
{
	size_t n = ret->n;
	int fd = -1, rc;

	rc = file_open_at(dirfd, name, O_RDONLY, &fd, err);
	if (rc)
		return rc;
	rc = load_fd(fd, max, ret, err);
	if (rc)
		ret->n = n;
	close(fd);
	return rc;
}

/* A failed sync is never tried again: the kernel may have dropped the pages
 * and would then call the second one a success. */
int
file_sync(int fd, struct err *err)
{
	if (file_hooks.fdatasync(fd) != 0)
		return fd_failed(fd, errno, "sync", err);
	return 0;
}

int
file_sync_full(int fd, struct err *err)
{
	if (file_hooks.fsync(fd) != 0)
		return fd_failed(fd, errno, "sync", err);
	return 0;
}

int
file_allocate(int fd, off_t len, struct err *err)
{
	int rc;

	do
		rc = file_hooks.fallocate(fd, len);
	while (rc == EINTR);
	if (rc)
		return fd_failed(fd, rc, "allocate room for", err);
	return 0;
}

int
file_truncate(int fd, off_t len, struct err *err)
{
	int rc;

	do
		rc = file_hooks.ftruncate(fd, len);
	while (rc != 0 && errno == EINTR);
	if (rc)
		return fd_failed(fd, errno, "truncate", err);
	return 0;
}

int
file_rename_at(int dirfd, const char *from, const char *to, struct err *err)
{
	if (file_hooks.renameat(dirfd, from, dirfd, to) != 0)
		return at_failed(dirfd, from, errno, "rename", err);
	return 0;
}

int
file_unlink_at(int dirfd, const char *name, struct err *err)
{
	if (file_hooks.unlinkat(dirfd, name, 0) != 0)
		return at_failed(dirfd, name, errno, "remove", err);
	return 0;
}

/* --- replacement ----------------------------------------------------- */

static int
write_synced(int dirfd, const char *name, const void *p, size_t n,
	     struct err *err)
{
	int fd = -1, rc;

	rc = file_open_at(dirfd, name,
			  O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, &fd, err);
	if (rc)
		return rc;
	rc = file_write_all(fd, p, n, 0, err);
	if (rc == 0)
		rc = file_sync_full(fd, err);
	close(fd);
	return rc;
}

int
file_replace_at(int dirfd, const char *name, const void *p, size_t n,
		struct err *err)
{
	char tmp[NAME_MAX + 1];
	int len = snprintf(tmp, sizeof tmp, "%s.tmp", name);
	int rc;

	if (len < 0 || (size_t)len >= sizeof tmp)
		return err_set(err, ERR_NAME_LONG, "'%s': name too long", name);
	rc = write_synced(dirfd, tmp, p, n, err);
	if (rc == 0)
		rc = file_rename_at(dirfd, tmp, name, err);
	if (rc) { /* what is left is swept by name; trying now is tidier */
		file_hooks.unlinkat(dirfd, tmp, 0);
		return rc;
	}
	return file_sync_full(dirfd, err);
}

/* --- directories ----------------------------------------------------- */

static bool
name_is_dots(const char *s)
{
	return s[0] == '.' && (!s[1] || (s[1] == '.' && !s[2]));
}

int
dir_each(int dirfd, int (*fn)(void *arg, const char *name, struct err *err),
	 void *arg, struct err *err)
{
	struct dirent *e;
	int fd = -1, rc;
	DIR *d;

	/* Opened anew and not dup'ed: a dup would share the position. */
	rc = dir_open_at(dirfd, ".", false, &fd, err);
	if (rc)
		return rc;
	d = fdopendir(fd);
	if (!d) {
		rc = fd_failed(fd, errno, "list", err);
		close(fd);
		return rc;
	}
	while (errno = 0, (e = readdir(d))) {
		if (name_is_dots(e->d_name))
			continue;
		rc = fn(arg, e->d_name, err);
		if (rc)
			break;
	}
	if (!e && errno)
		rc = fd_failed(fd, errno, "list", err);
	closedir(d);
	return rc;
}

struct tree_dir {
	int fd;
	unsigned n_removed;
};

static int
tree_entry(void *arg, const char *name, struct err *err)
{
	struct tree_dir *t = arg;
	int rc = file_remove_tree(t->fd, name, err);

	if (rc == 0)
		t->n_removed++;
	return rc;
}

/* Removing while listing may skip entries on some file systems, so it goes on
 * until a listing finds none. */
static int
tree_empty(int fd, struct err *err)
{
	struct tree_dir t = {.fd = fd};
	int rc;

	do {
		t.n_removed = 0;
		rc = dir_each(fd, tree_entry, &t, err);
	} while (rc == 0 && t.n_removed > 0);
	return rc;
}

/* A symlink is removed and not followed.  The depth is bounded by the open
 * files that a process may have. */
int
file_remove_tree(int dirfd, const char *name, struct err *err)
{
	int fd, rc;

	fd = openat(dirfd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return file_unlink_at(dirfd, name, err);
	if (fd < 0)
		return at_failed(dirfd, name, errno, "open", err);
	rc = tree_empty(fd, err);
	close(fd);
	if (rc)
		return rc;
	if (file_hooks.unlinkat(dirfd, name, AT_REMOVEDIR) != 0)
		return at_failed(dirfd, name, errno, "remove", err);
	return 0;
}
