/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch.h - files that are no points: editors' and tools' temporary files,
 * and drafts, which are names of points without a document yet.
 *
 * Both take their number from the collection, so that a file that becomes a
 * point keeps its inode.  Bytes are in memory up to SCRATCH_MEMORY and then in
 * an unnamed file of the temporary directory; all together are limited.
 * Nothing here survives the mount.
 *
 * A file that becomes a point, or is renamed or removed, is claimed first: so
 * its name cannot change under a commit, and no lock is held while the log is
 * written.
 *
 * It also keeps, for each collection, what the mount remembers of it: owner
 * and mode (only this mount changes them) and when its entries last changed.
 *
 * errors   ERR_NO_SPACE over the limit, ERR_EXISTS, ERR_TOO_BIG.
 * owners   A struct scratch that comes back is referenced; scratch_unref().
 * threads  Any.
 * locks    tree (LOCK_FS_TREE), then a file's or that of the memos (LOCK_LEAF).
 */
#ifndef FS_SCRATCH_H
#define FS_SCRATCH_H

#include "engine/base/lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct err;

#define SCRATCH_MEMORY   (256u << 10)
#define SCRATCH_SIZE_MAX (1ull << 40) /* of one file */

enum scratch_state {
	SCRATCH_FILE,
	SCRATCH_DRAFT, /* <id>.json, size 0, until a document is committed */
	SCRATCH_POINT, /* has become a point; only open files know this */
};

struct scratch_attr {
	uint32_t mode; /* permission bits */
	uint32_t uid, gid;
	int64_t mtime_ns, atime_ns, ctime_ns;
	bool has_mtime; /* was set, and nothing was written since */
};

struct scratch {
	uint32_t coll;
	uint64_t no;

	/* the tree's lock */
	char *name; /* NULL: removed */
	enum scratch_state state;
	bool claimed;
	unsigned refs;
	struct scratch *next_name, *next_no;

	struct mutex lock; /* the rest */
	struct scratch_attr attr;
	uint64_t size;
	uint8_t *mem;
	size_t cap;
	int fd; /* -1: in memory */
};

struct coll_memo { /* what the mount remembers of a collection */
	struct coll_memo *next;
	uint32_t coll;
	bool has_owner;
	uint32_t mode, uid, gid;
	int64_t changed_ns;      /* 0: the catalog's mtime counts */
	int64_t config_mtime_ns; /* of .config.json, 0: as above */
	uint32_t n_files;        /* named ones */
	uint32_t n_drafts;
};

#define SCRATCH_MEMOS 256

struct scratch_tree {
	struct mutex lock;
	struct cond unclaimed;
	struct scratch **by_name, **by_no;
	size_t n_buckets, n; /* n: all, also the removed that are open */
	struct mutex memo_lock;
	struct coll_memo *memos[SCRATCH_MEMOS];
	int tmp_fd;
	uint64_t max_bytes;
	_Atomic uint64_t used;    /* bytes in all files */
	_Atomic uint64_t commits; /* drafts and files that became points */
};

int scratch_tree_init(struct scratch_tree *t, int tmp_fd, uint64_t max_bytes,
		      struct err *err);
void scratch_tree_done(struct scratch_tree *t);

/* Cheap: true while there is any file. */
bool scratch_any(const struct scratch_tree *t);

struct scratch *scratch_find(struct scratch_tree *t, uint32_t coll,
			     const char *name); /* or NULL */
struct scratch *scratch_find_no(struct scratch_tree *t, uint32_t coll,
				uint64_t no);
int scratch_create(struct scratch_tree *t, uint32_t coll, uint64_t no,
		   const char *name, enum scratch_state state,
		   const struct scratch_attr *attr, struct scratch **ret,
		   struct err *err);
void scratch_unref(struct scratch_tree *t, struct scratch *s);

/* Claims: waits for the others; the name and state stay until the release. */
void scratch_claim(struct scratch_tree *t, struct scratch *s);
void scratch_release(struct scratch_tree *t, struct scratch *s);
/* While claimed.  A file of the new name is removed from the tree. */
void scratch_remove(struct scratch_tree *t, struct scratch *s);
void scratch_became_point(struct scratch_tree *t, struct scratch *s);
int scratch_rename(struct scratch_tree *t, struct scratch *s, uint32_t coll,
		   uint64_t no, const char *name, enum scratch_state state,
		   struct err *err);
/* Swaps two names, both claimed, of the same state and collection. */
void scratch_exchange(struct scratch_tree *t, struct scratch *a,
		      struct scratch *b);

struct scratch_entry {
	const char *name;
	uint64_t no;
	bool draft;
};
int scratch_list(struct scratch_tree *t, uint32_t coll, struct arena *a,
		 struct scratch_entry **ret, uint32_t *ret_n, struct err *err);
uint32_t scratch_count(struct scratch_tree *t, uint32_t coll);

/* --- bytes and attributes -------------------------------------------- */

int scratch_read(struct scratch *s, void *p, size_t n, uint64_t at,
		 size_t *ret_n, struct err *err);
int scratch_write(struct scratch_tree *t, struct scratch *s, const void *p,
		  size_t n, uint64_t at, bool append, struct err *err);
int scratch_truncate(struct scratch_tree *t, struct scratch *s, uint64_t size,
		     struct err *err);
uint64_t scratch_attr_get(struct scratch *s, struct scratch_attr *ret);
/* returns the size */
void scratch_attr_set(struct scratch *s, const struct scratch_attr *a);

/* --- collections ----------------------------------------------------- */

/* A copy; zero where nothing is remembered. */
void memo_get(struct scratch_tree *t, uint32_t coll, struct coll_memo *ret);
void memo_set_owner(struct scratch_tree *t, uint32_t coll, uint32_t mode,
		    uint32_t uid, uint32_t gid);
void memo_set_changed(struct scratch_tree *t, uint32_t coll, int64_t ns);
void memo_set_config_mtime(struct scratch_tree *t, uint32_t coll, int64_t ns);
void memo_forget(struct scratch_tree *t, uint32_t coll); /* it is removed */

#endif
