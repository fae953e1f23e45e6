/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/mounts.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FUSE_MAGIC     0x65735546
#define MOUNT_TYPE     "fuse.pointfs"
#define MOUNT_FILE_MAX (16u << 20)

static void
fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int
mounts_each(void (*fn)(void *arg, const char *dir, const char *source),
	    void *arg, struct err *err)
{
	FILE *f = setmntent("/proc/self/mounts", "r");
	struct mntent *m;

	if (!f)
		return err_sys(err, errno, "/proc/self/mounts");
	while ((m = getmntent(f)) != NULL)
		if (strcmp(m->mnt_type, MOUNT_TYPE) == 0)
			fn(arg, m->mnt_dir, m->mnt_fsname);
	endmntent(f);
	return 0;
}

struct mount_search {
	const char *dir;
	char *source;
	bool found;
};

static void
mount_compare(void *arg, const char *dir, const char *source)
{
	struct mount_search *s = arg;

	if (strcmp(dir, s->dir) != 0)
		return;
	s->found = true;
	if (s->source)
		snprintf(s->source, PATH_MAX, "%s", source);
}

bool
mount_find(const char *dir, char *ret_source)
{
	struct mount_search s = {.source = ret_source};
	char real[PATH_MAX];

	s.dir = realpath(dir, real) ? real : dir;
	return mounts_each(mount_compare, &s, NULL) == 0 && s.found;
}

int
mount_file_load(const char *dir, const char *name, struct buf *ret,
		struct err *err)
{
	CLEAN(fd_close) int fd = -1;
	int rc;

	rc = dir_open_at(AT_FDCWD, dir, false, &fd, err);
	if (!rc)
		rc = file_load_at(fd, name, MOUNT_FILE_MAX, ret, err);
	return rc ? err_in(err, rc, "%s", dir) : 0;
}

/* --- collections ----------------------------------------------------- */

bool
data_is(const char *path)
{
	char file[PATH_MAX];
	struct stat st;

	return snprintf(file, sizeof file, "%s/lock", path) < PATH_MAX &&
	       stat(file, &st) == 0 && S_ISREG(st.st_mode);
}

static bool
fuse_is(const char *path)
{
	struct statfs st;

	return statfs(path, &st) == 0 && st.f_type == FUSE_MAGIC;
}

/* Cuts the last part off path, which is not empty and becomes at least ".". */
static void
path_split(char *path, char *ret_last)
{
	size_t n = strlen(path);
	char *slash;

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	slash = strrchr(path, '/');
	snprintf(ret_last, NAME_MAX + 1, "%s", slash ? slash + 1 : path);
	if (!slash)
		snprintf(path, 2, ".");
	else
		slash[slash == path] = '\0';
}

int
place_find(const char *path, struct coll_place *ret, struct err *err)
{
	struct coll_place p = {0};
	char last[NAME_MAX + 1];
	const char *base = strrchr(path, '/');

	if (!*path || strlen(path) >= PATH_MAX ||
	    strlen(base ? base : path) > NAME_MAX)
		return err_set(err, ERR_NAME_LONG, "%.100s", path);
	memcpy(p.dir, path, strlen(path));
	memcpy(p.data, path, strlen(path));
	path_split(p.data, p.name);
	p.mounted = fuse_is(path) || fuse_is(p.data);
	if (!p.mounted && !data_is(p.data)) {
		path_split(p.data, last); /* DATA/collections/NAME */
		if (strcmp(last, "collections") != 0 || !data_is(p.data))
			return err_set(err, ERR_NOT_DIR,
				       "%s: neither a collection of a mount "
				       "nor DATA/NAME",
				       path);
	}
	*ret = p;
	return 0;
}
