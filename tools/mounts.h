/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.h - which directories are ours: mounts, and data directories that
 * nobody serves.
 */
#ifndef TOOLS_MOUNTS_H
#define TOOLS_MOUNTS_H

#include "engine/base/buf.h"

#include <limits.h>

struct err;

/* Calls fn for each mount of ours in /proc/self/mounts. */
int mounts_each(void (*fn)(void *arg, const char *dir, const char *source),
		void *arg, struct err *err);

/* Whether dir is the root of a mount of ours; ret_source (PATH_MAX) gets what
 * it serves. */
bool mount_find(const char *dir, char *ret_source);

/* A file under dir, whole. */
int mount_file_load(const char *dir, const char *name, struct buf *ret,
		    struct err *err);

/* What a COLLECTION_DIR names. */
struct coll_place {
	bool mounted;
	char dir[PATH_MAX];      /* mounted: as given */
	char data[PATH_MAX];     /* else DATA */
	char name[NAME_MAX + 1]; /* and the collection */
};

/* ERR_NOT_DIR when it is neither.  Whether the collection exists is not
 * looked at. */
int place_find(const char *path, struct coll_place *ret, struct err *err);

bool data_is(const char *path); /* a data directory */

#endif
