/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle.h - open files and directories.
 *
 * A kind of open file is a struct that starts with a struct handle.  Open
 * points are in a table by inode: what one does changes what others may cache
 * and what stat() tells.
 *
 * threads  Any.
 * locks    a handle's own (LOCK_FS_HANDLE), then the table's (LOCK_LEAF).
 */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include "engine/base/buf.h"
#include "engine/base/lock.h"
#include "engine/types.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct coll;
struct dir_fill;
struct handle;
struct req;
struct set_attr;

struct handle_ops {
	int (*read)(struct req *r, struct handle *h, size_t n, off_t at,
		    struct slice *ret);
	int (*write)(struct req *r, struct handle *h, const void *p, size_t n,
		     off_t at);
	int (*flush)(struct req *r, struct handle *h); /* NULL: nothing to do */
	int (*truncate)(struct req *r, struct handle *h, uint64_t size);
	int (*readdir)(struct req *r, struct handle *h, off_t off,
		       struct dir_fill *f);
	void (*release)(struct req *r, struct handle *h); /* frees it */
};

struct handle {
	uint32_t magic;
	const struct handle_ops *ops;
	struct mutex lock;
	uint64_t ino;
	struct coll *coll; /* kept open; NULL: of no collection */
	bool direct_io;
	bool no_flush; /* close() has nothing to tell or to refuse */
};

/* len: of the struct that starts with it; zeroed.  coll_take is given away. */
struct handle *handle_new(size_t len, const struct handle_ops *ops,
			  uint64_t ino, struct coll *coll_take);
void handle_free(struct handle *h);     /* the common part and the memory */
bool handle_is(const struct handle *h); /* it is one, and alive */

/* --- open points ----------------------------------------------------- */

struct open_point {
	struct open_point *next;
	uint64_t ino;
	bool writer;    /* may write */
	bool reads_own; /* and read what it wrote */
	pid_t opener;
	struct point_stat st; /* of the version that was opened */
	/* the table's lock */
	bool stale; /* the point has a newer version */
	bool dirty; /* has bytes that are not committed */
	bool used;  /* something was done with it */
	bool cut;   /* and before that comes an O_TRUNC */
	bool has_mtime;
	int64_t mtime_ns; /* has_mtime: set for the commit; else last write */
	uint64_t size;
};

#define OPEN_POINT_BUCKETS 1024
#define HOT_POINTS         1024
#define HOT_NS             1000000000

/* A point that was open for writing a moment ago.  Its readers go around the
 * page cache: a writer would change the size that the kernel cuts their bytes
 * at, between their opening and their reading. */
struct hot_point {
	uint64_t ino;
	int64_t until_ns;
};

struct handle_table {
	struct mutex lock;
	struct open_point *b[OPEN_POINT_BUCKETS];
	_Atomic unsigned n;
	struct hot_point hot[HOT_POINTS]; /* by inode; the later one stays */
	_Atomic int64_t hot_until_ns;     /* the latest of them */
	_Atomic int64_t all_until_ns;     /* every point is */
};

void handle_table_init(struct handle_table *t);
void handle_table_done(struct handle_table *t);
void open_point_add(struct handle_table *t, struct open_point *p);
void open_point_remove(struct handle_table *t, struct open_point *p);

/* What all that are open on one inode amount to. */
struct open_state {
	bool any, writer, stale, dirty;
	bool own_size;        /* a dirty one that reads what it wrote: */
	uint64_t size;        /* its size */
	int64_t mtime_ns;     /* of the last write or what was set */
	struct point_stat st; /* any: the version one of them reads */
};
void open_state(struct handle_table *t, uint64_t ino, struct open_state *ret);

void open_point_wrote(struct handle_table *t, struct open_point *p,
		      uint64_t size, int64_t now_ns);
/* Not dirty any longer; the others on the inode, if any, are stale now. */
void open_point_committed(struct handle_table *t, struct open_point *p);
void open_point_clean(struct handle_table *t, struct open_point *p);
bool open_point_stale(struct handle_table *t, struct open_point *p);
bool open_point_mtime(struct handle_table *t, struct open_point *p,
		      int64_t *ret_ns);
/* For the coming commit of all dirty ones; false: there is none. */
bool open_points_set_mtime(struct handle_table *t, uint64_t ino, int64_t ns);
/* The kernel tells of O_TRUNC by truncating the inode right behind the opening,
 * from the same thread.  False: nobody has just opened it. */
bool open_point_cut(struct handle_table *t, uint64_t ino, pid_t opener);
/* Something is done with it.  True: it has to be cut first. */
bool open_point_use(struct handle_table *t, struct open_point *p);
bool point_is_hot(struct handle_table *t, uint64_t ino);
void points_heat(struct handle_table *t); /* all: before an import or
					   * a rename over one */
bool open_points_set_stale(struct handle_table *t, uint64_t ino);

/* Points that a rename has put another one in the place of.  Who has looked the
 * name up before and opens or asks afterwards gets what is there now, not an
 * error: the kernel tries again only once. */
#define REPLACED_NR 1024

struct replaced_table {
	struct mutex lock;
	struct {
		uint64_t ino;
		struct id_key id;
	} r[REPLACED_NR]; /* by inode; the later one stays */
};

void replaced_init(struct replaced_table *t);
void replaced_done(struct replaced_table *t);
void replaced_add(struct replaced_table *t, uint64_t ino,
		  const struct id_key *id);
bool replaced_find(struct replaced_table *t, uint64_t ino, struct id_key *ret);

#endif
