/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - files to the end of the job: whole reads and writes, replacement
 * by rename, and the two fsyncs that make it last.
 *
 * errors   0 or -ERR_*, with the path in the text.
 * threads  Any; one file at a time is the caller's care.
 * All files are made 0600 and directories 0700, close-on-exec.
 *
 * Tests put another set of functions under these calls with file_hooks, to
 * lose what was not synced (power cut) or fail the n-th call.
 */
#ifndef ENGINE_BASE_FILE_H
#define ENGINE_BASE_FILE_H

#include "engine/base/buf.h"

#include <stdint.h>
#include <sys/types.h>

struct err;

int file_open_at(int dirfd, const char *name, int flags, int *ret_fd,
		 struct err *err);
int dir_open_at(int dirfd, const char *name, bool make, int *ret_fd,
		struct err *err); /* dirfd may be AT_FDCWD */
int file_write_all(int fd, const void *p, size_t n, off_t at, struct err *err);
int file_read_all(int fd, void *p, size_t n, off_t at, size_t *ret_n,
		  struct err *err); /* *ret_n < n only at the end of the file */
int file_load_at(int dirfd, const char *name, size_t max, struct buf *ret,
		 struct err *err);      /* whole file; ERR_TOO_BIG over max */
int file_sync(int fd, struct err *err); /* fdatasync */
int file_sync_full(int fd, struct err *err); /* fsync; for directories too */
int file_allocate(int fd, off_t len, struct err *err); /* posix_fallocate */
int file_truncate(int fd, off_t len, struct err *err);
int file_rename_at(int dirfd, const char *from, const char *to,
		   struct err *err);
int file_unlink_at(int dirfd, const char *name, struct err *err);

/* Writes name.tmp, fsync, rename to name, fsync the directory. */
int file_replace_at(int dirfd, const char *name, const void *p, size_t n,
		    struct err *err);

int file_remove_tree(int dirfd, const char *name, struct err *err);

/* Calls fn for each entry but . and ..; a non-zero return ends the walk and is
 * returned. */
int dir_each(int dirfd, int (*fn)(void *arg, const char *name, struct err *err),
	     void *arg, struct err *err);

struct file_hooks {
	ssize_t (*pwrite)(int fd, const void *p, size_t n, off_t at);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
	int (*renameat)(int od, const char *from, int nd, const char *to);
	int (*unlinkat)(int dirfd, const char *name, int flags);
	int (*ftruncate)(int fd, off_t len);
	int (*fallocate)(int fd, off_t len); /* 0 or an errno, posix style */
};

extern struct file_hooks file_hooks; /* the system's, unless a test says */

#endif
