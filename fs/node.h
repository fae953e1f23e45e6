/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h - what the kinds of files have in common.
 *
 * ops.c turns a request of the kernel into a struct req and a struct node, and
 * calls the function of the node's kind; what is missing there is refused.
 * One node_*.c for each kind.  None of them knows libfuse.
 *
 * errors   0 or -ERR_*, with r->err filled in; r->errnum overrides the errno.
 *          ops.c writes the line of errors.jsonl.
 * owners   What is returned lives in the request's arena, or is a handle.
 * threads  Any; a struct req belongs to one.
 */
#ifndef FS_NODE_H
#define FS_NODE_H

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/database.h"
#include "engine/types.h"
#include "fs/alias.h"
#include "fs/asked.h"
#include "fs/errlog.h"
#include "fs/handle.h"
#include "fs/notify.h"
#include "fs/path.h"
#include "fs/scratch.h"
#include "fs/serve.h"

#include <sys/stat.h>

struct coll;

#define LONG_S  3600.0 /* only this mount changes what it tells */
#define SHORT_S 1.0    /* as long as a tool works on one file */

struct fs { /* one mount */
	struct db *db;
	const struct serve_opts *o;
	uint64_t max_point_bytes;
	struct scratch_tree scratch;
	struct handle_table handles;
	struct replaced_table replaced;
	struct alias_table aliases;
	struct mutex renames; /* of names: in the database and in aliases */
	struct asked_table asked;
	struct errlog errors;
	struct notify notify;
	int64_t started_ns;
	uint32_t uid, gid; /* who mounted */
	struct mutex note_lock;
	struct buf note;          /* what the last change of config.json said */
	_Atomic int64_t names_ns; /* collections/ last changed */
	_Atomic uint64_t serial;
};

struct req { /* one request */
	struct fs *fs;
	struct arena *a;
	const char *op;
	uint32_t uid, gid;
	pid_t pid;
	int errnum; /* 0: the code's */
	struct err err;
};

struct entry { /* a node as the kernel is told of it */
	uint64_t ino;
	struct stat st;
	double entry_s, attr_s;
};

#define SET_MODE  1u
#define SET_UID   2u
#define SET_GID   4u
#define SET_SIZE  8u
#define SET_MTIME 16u
#define SET_ATIME 32u

struct set_attr {
	unsigned which;
	uint32_t mode, uid, gid;
	uint64_t size;
	int64_t mtime_ns, atime_ns;
};

struct dir_fill {
	bool plus; /* all of the entry is wanted, else ino and type */
	/* 0, or 1 when there is no more room */
	int (*add)(struct dir_fill *f, const char *name, const struct entry *e,
		   off_t next);
};

struct node_ops {
	int (*lookup)(struct req *r, const struct node *dir, const char *name,
		      struct entry *ret);
	int (*attr)(struct req *r, const struct node *n, struct entry *ret);
	int (*set_attr)(struct req *r, const struct node *n,
			const struct set_attr *s, struct handle *h);
	int (*readlink)(struct req *r, const struct node *n, char **ret);
	int (*open)(struct req *r, const struct node *n, int flags,
		    struct handle **ret);
	int (*opendir)(struct req *r, const struct node *n,
		       struct handle **ret);
	/* ret_h NULL: mknod */
	int (*create)(struct req *r, const struct node *dir, const char *name,
		      uint32_t mode, int flags, struct handle **ret_h,
		      struct entry *ret);
	int (*mkdir)(struct req *r, const struct node *dir, const char *name,
		     uint32_t mode, struct entry *ret);
	int (*symlink)(struct req *r, const struct node *dir, const char *name,
		       const char *target, struct entry *ret);
	int (*unlink)(struct req *r, const struct node *dir, const char *name);
	int (*rmdir)(struct req *r, const struct node *dir, const char *name);
};

extern const struct node_ops static_ops, collections_ops, coll_ops, control_ops,
	point_ops, near_root_ops, near_ops, near_link_ops, alias_ops;

const struct node_ops *node_ops_of(const struct node *n);

/* Renames are between directories of one kind: collections/ or collections. */
int collections_rename(struct req *r, const char *from, const char *to,
		       unsigned flags);
int coll_file_rename(struct req *r, uint32_t from_coll, const char *from,
		     uint32_t to_coll, const char *to, unsigned flags);

/* --- helpers --------------------------------------------------------- */

#define fail(r, code, ...) err_set(&(r)->err, code, __VA_ARGS__)

/* The inode is gone: the kernel looks its path up again. */
int req_stale(struct req *r);
int req_read_only(struct req *r); /* ERR_READ_ONLY with -o ro */
/* ERR_NAME_LONG: the kernel does not check the length of a name. */
int req_name_long(struct req *r, const char *name);

/* Keeps a line in errors.jsonl; name may be NULL. */
void req_refused(struct req *r, const struct node *n, const char *name);

void entry_init(struct entry *e, enum node_kind kind, uint32_t coll,
		uint64_t no, uint32_t type_mode);
void entry_times(struct entry *e, int64_t mtime_ns, int64_t ctime_ns);
void entry_size(struct entry *e, uint64_t size);

struct owner {
	uint32_t mode, uid, gid; /* of a collection */
};
int coll_owner(struct req *r, uint32_t coll, struct owner *ret);

/* A control file's permissions: who reads the collection may write it. */
uint32_t mode_ask(uint32_t coll_mode);
uint32_t mode_file(uint32_t coll_mode); /* as a file of the collection */

/* name_parse(), but every name is a scratch file in scratch-only mounts. */
int coll_name_parse(struct req *r, const char *name, struct name *ret);

/* "." and "..", at offsets 1 and 2.  0, or 1 when there is no more room. */
int dir_fill_dots(struct dir_fill *f, uint64_t self, off_t off);

#endif
