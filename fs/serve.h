/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.h - the one door into fs/: a database as a mounted file system.
 *
 * fs_serve() mounts, answers the kernel until it is unmounted or a SIGTERM,
 * SIGINT or SIGHUP arrives, unmounts, and returns.  It does not go into the
 * background: a caller that wants to forks before it opens the database,
 * because threads do not survive a fork, and waits for ready_fd.
 *
 * owners   db, opts and all they point to are borrowed until it returns.
 * threads  One call at a time in a process.
 */
#ifndef FS_SERVE_H
#define FS_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct db;
struct err;

/* config.json of the mount.  Both may be NULL: the file is then {}. */
struct settings_hooks {
	int (*print)(void *arg, struct buf *ret); /* whole JSON, newline */
	/* Merges a body; ret_note gets what needs a remount, as plain text,
	 * for status.json. */
	int (*merge)(void *arg, const void *text, size_t n,
		     struct buf *ret_note, struct err *err);
	void *arg;
};

struct serve_opts {
	const char *mountpoint;
	const char *data_path;
	bool foreground; /* told for status.json only; see above */
	bool read_only;  /* enforced here; .search and its like stay usable */
	bool allow_other;
	bool show_control; /* list the control files as well */
	bool scratch_only; /* validation off: all names are scratch files */
	uint64_t max_point_bytes;   /* 0: 32 MiB */
	uint64_t scratch_max_bytes; /* 0: 1 GiB */
	const char *fuse_opts;      /* more for libfuse, "a,b=c", or NULL */
	unsigned threads;           /* most at once; 0: 64 */
	int ready_fd;               /* gets one byte 0 when mounted; -1: none */
	struct settings_hooks settings;
};

int fs_serve(struct db *db, const struct serve_opts *o, struct err *err);

#endif
