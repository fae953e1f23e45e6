/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of the kernel: each is decoded, given to its node, and answered.
 *
 * A thread keeps one arena, emptied after each request.  A refusal is answered
 * with its errno and kept as a line of errors.jsonl, but for lookups, which
 * ask for what is not there all day.
 */
#include "fs/session_impl.h"

#include "fs/node.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/counters.h"
#include "engine/collection.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define ARENA_KEEP (4u << 20) /* a larger one is freed after its request */

static pthread_key_t arena_key;
static _Thread_local struct arena *thread_arena;

static void
arena_free(void *p)
{
	arena_done(p);
	free(p);
}

static int
arena_key_make(void)
{
	static int made; /* by the one fs_serve() of a process */

	if (made)
		return 0;
	made = 1;
	return pthread_key_create(&arena_key, arena_free);
}

int
ops_start(void)
{
	return arena_key_make();
}

static struct arena *
arena_of_thread(void)
{
	if (thread_arena == NULL) {
		thread_arena = calloc(1, sizeof(*thread_arena));
		pthread_setspecific(arena_key, thread_arena);
	}
	return thread_arena;
}

/* --- the frame of every request -------------------------------------- */

struct call {
	struct req r;
	fuse_req_t fr;
	struct node n;
	const char *name; /* in n, or NULL */
	bool quiet;       /* no line in errors.jsonl */
};

/* 0, or the request was answered already. */
static int
call_begin(struct call *c, fuse_req_t fr, const char *op, fuse_ino_t ino,
	   const char *name)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(fr);

	c->r.fs = fuse_req_userdata(fr);
	c->r.a = arena_of_thread();
	c->r.op = op;
	c->r.uid = ctx->uid;
	c->r.gid = ctx->gid;
	c->r.pid = ctx->pid;
	c->r.errnum = 0;
	c->r.err.code = 0;
	c->fr = fr;
	c->name = name;
	c->quiet = false;
	count(COUNTER_fs_requests, 1);
	if (c->r.a && node_parse(ino, &c->n))
		return 0;
	fuse_reply_err(fr, c->r.a ? ESTALE : ENOMEM);
	return -1;
}

static void
call_end(struct call *c)
{
	if (c->r.a->used > ARENA_KEEP)
		arena_done(c->r.a);
	else
		arena_reset(c->r.a);
}

static int
errno_of(const struct call *c, int rc)
{
	if (c->r.errnum)
		return c->r.errnum;
	return err_errno(rc);
}

static void
reply_err(struct call *c, int rc)
{
	if (rc && !c->quiet) {
		if (c->r.err.code == 0)
			err_set(&c->r.err, (enum errcode) - rc, "refused");
		req_refused(&c->r, &c->n, c->name);
	}
	fuse_reply_err(c->fr, rc ? errno_of(c, rc) : 0);
	call_end(c);
}

static const struct node_ops *
ops_of(const struct call *c)
{
	return node_ops_of(&c->n);
}

static int
missing(struct call *c, enum errcode code)
{
	return err_set(&c->r.err, code, "not possible here");
}

static struct handle *
handle_of(struct fuse_file_info *fi)
{
	struct handle *h = fi ? (struct handle *)(uintptr_t)fi->fh : NULL;

	return handle_is(h) ? h : NULL;
}

static void
entry_param(const struct entry *e, struct fuse_entry_param *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->ino = e->ino;
	ret->attr = e->st;
	ret->attr_timeout = e->attr_s;
	ret->entry_timeout = e->entry_s;
}

static void
reply_entry(struct call *c, int rc, const struct entry *e)
{
	struct fuse_entry_param p;

	if (rc) {
		reply_err(c, rc);
		return;
	}
	entry_param(e, &p);
	fuse_reply_entry(c->fr, &p);
	call_end(c);
}

static void
reply_attr(struct call *c, int rc, const struct entry *e)
{
	if (rc) {
		reply_err(c, rc);
		return;
	}
	fuse_reply_attr(c->fr, &e->st, e->attr_s);
	call_end(c);
}

/* --- names ----------------------------------------------------------- */

static void
op_lookup(fuse_req_t fr, fuse_ino_t dir, const char *name)
{
	struct call c;
	struct entry e;
	int rc;

	if (call_begin(&c, fr, "lookup", dir, name))
		return;
	c.quiet = true;
	rc = ops_of(&c)->lookup ? ops_of(&c)->lookup(&c.r, &c.n, name, &e)
				: missing(&c, ERR_NOT_DIR);
	reply_entry(&c, rc, &e);
}

static void
op_forget(fuse_req_t fr, fuse_ino_t ino, uint64_t n)
{
	(void)ino; /* numbers are names: nothing is held for the kernel */
	(void)n;
	fuse_reply_none(fr);
}

static void
op_forget_multi(fuse_req_t fr, size_t n, struct fuse_forget_data *f)
{
	(void)n;
	(void)f;
	fuse_reply_none(fr);
}

static void
op_mknod(fuse_req_t fr, fuse_ino_t dir, const char *name, mode_t mode,
	 dev_t dev)
{
	struct call c;
	struct entry e;
	int rc;

	(void)dev;
	if (call_begin(&c, fr, "mknod", dir, name))
		return;
	if (!S_ISREG(mode))
		rc = err_set(&c.r.err, ERR_PERM, "only regular files");
	else
		rc = ops_of(&c)->create
			     ? ops_of(&c)->create(&c.r, &c.n, name, mode,
						  O_EXCL, NULL, &e)
			     : missing(&c, ERR_PERM);
	reply_entry(&c, rc, &e);
}

static void
op_mkdir(fuse_req_t fr, fuse_ino_t dir, const char *name, mode_t mode)
{
	struct call c;
	struct entry e;
	int rc;

	if (call_begin(&c, fr, "mkdir", dir, name))
		return;
	rc = ops_of(&c)->mkdir ? ops_of(&c)->mkdir(&c.r, &c.n, name, mode, &e)
			       : missing(&c, ERR_PERM);
	reply_entry(&c, rc, &e);
}

static void
op_symlink(fuse_req_t fr, const char *target, fuse_ino_t dir, const char *name)
{
	struct call c;
	struct entry e;
	int rc;

	if (call_begin(&c, fr, "symlink", dir, name))
		return;
	rc = ops_of(&c)->symlink
		     ? ops_of(&c)->symlink(&c.r, &c.n, name, target, &e)
		     : missing(&c, ERR_PERM);
	reply_entry(&c, rc, &e);
}

static void
op_link(fuse_req_t fr, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
	struct call c;

	(void)ino;
	if (call_begin(&c, fr, "link", dir, name))
		return;
	reply_err(&c, err_set(&c.r.err, ERR_PERM,
			      "a point has one name: no hard links"));
}

static void
op_unlink(fuse_req_t fr, fuse_ino_t dir, const char *name)
{
	struct call c;

	if (call_begin(&c, fr, "unlink", dir, name))
		return;
	reply_err(&c, ops_of(&c)->unlink ? ops_of(&c)->unlink(&c.r, &c.n, name)
					 : missing(&c, ERR_PERM));
}

static void
op_rmdir(fuse_req_t fr, fuse_ino_t dir, const char *name)
{
	struct call c;

	if (call_begin(&c, fr, "rmdir", dir, name))
		return;
	reply_err(&c, ops_of(&c)->rmdir ? ops_of(&c)->rmdir(&c.r, &c.n, name)
					: missing(&c, ERR_PERM));
}

static int
rename_any(struct call *c, const char *from, const struct node *to_dir,
	   const char *to, unsigned flags)
{
	if (flags & ~(RENAME_FLAG_NOREPLACE | RENAME_FLAG_EXCHANGE))
		return err_set(&c->r.err, ERR_NAME, "unknown rename flags");
	if (c->n.kind == NODE_COLL && to_dir->kind == NODE_COLL)
		return coll_file_rename(&c->r, c->n.coll, from, to_dir->coll,
					to, flags);
	if (c->n.kind == NODE_STATIC && to_dir->kind == NODE_STATIC &&
	    c->n.no == STATIC_COLLECTIONS && to_dir->no == STATIC_COLLECTIONS)
		return collections_rename(&c->r, from, to, flags);
	if (to_dir->kind == NODE_STATIC && to_dir->no >= STATIC_SNAPSHOTS &&
	    to_dir->no <= STATIC_HISTORY)
		return err_set(&c->r.err, ERR_READ_ONLY,
			       "snapshots come in a later version");
	return err_set(&c->r.err, ERR_PERM, "it cannot be moved there");
}

static void
op_rename(fuse_req_t fr, fuse_ino_t dir, const char *name, fuse_ino_t to_ino,
	  const char *to, unsigned flags)
{
	struct call c;
	struct node to_dir;

	if (call_begin(&c, fr, "rename", dir, name))
		return;
	if (!node_parse(to_ino, &to_dir))
		reply_err(&c, req_stale(&c.r));
	else
		reply_err(&c, rename_any(&c, name, &to_dir, to, flags));
}

static void
op_readlink(fuse_req_t fr, fuse_ino_t ino)
{
	struct call c;
	char *target;
	int rc;

	if (call_begin(&c, fr, "readlink", ino, NULL))
		return;
	rc = ops_of(&c)->readlink ? ops_of(&c)->readlink(&c.r, &c.n, &target)
				  : missing(&c, ERR_NAME);
	if (rc) {
		reply_err(&c, rc);
		return;
	}
	fuse_reply_readlink(fr, target);
	call_end(&c);
}

/* --- attributes ------------------------------------------------------ */

static void
op_getattr(fuse_req_t fr, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call c;
	struct entry e;

	(void)fi;
	if (call_begin(&c, fr, "getattr", ino, NULL))
		return;
	c.quiet = true;
	reply_attr(&c, ops_of(&c)->attr(&c.r, &c.n, &e), &e);
}

static int64_t
to_ns(const struct timespec *t, bool now)
{
	return now ? clock_wall_ns() : t->tv_sec * 1000000000ll + t->tv_nsec;
}

static void
set_attr_of(const struct stat *st, int which, struct set_attr *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->mode = st->st_mode;
	ret->uid = st->st_uid;
	ret->gid = st->st_gid;
	ret->size = (uint64_t)st->st_size;
	ret->mtime_ns = to_ns(&st->st_mtim, which & FUSE_SET_ATTR_MTIME_NOW);
	ret->atime_ns = to_ns(&st->st_atim, which & FUSE_SET_ATTR_ATIME_NOW);
	ret->which |= which & FUSE_SET_ATTR_MODE ? SET_MODE : 0;
	ret->which |= which & FUSE_SET_ATTR_UID ? SET_UID : 0;
	ret->which |= which & FUSE_SET_ATTR_GID ? SET_GID : 0;
	ret->which |= which & FUSE_SET_ATTR_SIZE ? SET_SIZE : 0;
	ret->which |= which & FUSE_SET_ATTR_MTIME ? SET_MTIME : 0;
	ret->which |= which & FUSE_SET_ATTR_ATIME ? SET_ATIME : 0;
}

static void
op_setattr(fuse_req_t fr, fuse_ino_t ino, struct stat *st, int which,
	   struct fuse_file_info *fi)
{
	struct call c;
	struct set_attr s;
	struct entry e;
	int rc = 0;

	if (call_begin(&c, fr, "setattr", ino, NULL))
		return;
	set_attr_of(st, which, &s);
	if (s.which)
		rc = ops_of(&c)->set_attr ? ops_of(&c)->set_attr(&c.r, &c.n, &s,
								 handle_of(fi))
					  : missing(&c, ERR_PERM);
	if (rc == 0)
		rc = ops_of(&c)->attr(&c.r, &c.n, &e);
	reply_attr(&c, rc, &e);
}

static void
op_statfs(fuse_req_t fr, fuse_ino_t ino)
{
	struct call c;
	struct statvfs v;

	if (call_begin(&c, fr, "statfs", ino, NULL))
		return;
	if (statvfs(c.r.fs->o->data_path, &v)) {
		reply_err(&c, err_sys(&c.r.err, errno, "statvfs"));
		return;
	}
	if (v.f_frsize > 0 && v.f_frsize != 4096) {
		v.f_blocks = v.f_blocks * v.f_frsize / 4096;
		v.f_bfree = v.f_bfree * v.f_frsize / 4096;
		v.f_bavail = v.f_bavail * v.f_frsize / 4096;
	}
	v.f_bsize = v.f_frsize = 4096;
	v.f_namemax = FS_NAME_MAX;
	fuse_reply_statfs(fr, &v);
	call_end(&c);
}

/* --- open files ------------------------------------------------------ */

static void
file_info(const struct handle *h, struct fuse_file_info *fi)
{
	fi->fh = (uint64_t)(uintptr_t)h;
	fi->direct_io = h->direct_io;
	fi->noflush = h->no_flush;
}

static void
op_open(fuse_req_t fr, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call c;
	struct handle *h;
	int rc;

	if (call_begin(&c, fr, "open", ino, NULL))
		return;
	rc = ops_of(&c)->open ? ops_of(&c)->open(&c.r, &c.n, fi->flags, &h)
			      : missing(&c, ERR_IS_DIR);
	if (rc) {
		reply_err(&c, rc);
		return;
	}
	file_info(h, fi);
	if (fuse_reply_open(fr, fi)) /* interrupted: nobody will close it */
		h->ops->release(&c.r, h);
	call_end(&c);
}

static void
op_create(fuse_req_t fr, fuse_ino_t dir, const char *name, mode_t mode,
	  struct fuse_file_info *fi)
{
	struct call c;
	struct fuse_entry_param p;
	struct handle *h;
	struct entry e;
	int rc;

	if (call_begin(&c, fr, "create", dir, name))
		return;
	rc = ops_of(&c)->create ? ops_of(&c)->create(&c.r, &c.n, name, mode,
						     fi->flags, &h, &e)
				: missing(&c, ERR_PERM);
	if (rc) {
		reply_err(&c, rc);
		return;
	}
	file_info(h, fi);
	entry_param(&e, &p);
	if (fuse_reply_create(fr, &p, fi))
		h->ops->release(&c.r, h);
	call_end(&c);
}

static void
op_read(fuse_req_t fr, fuse_ino_t ino, size_t n, off_t off,
	struct fuse_file_info *fi)
{
	struct call c;
	struct handle *h = handle_of(fi);
	struct slice s = {NULL, 0};
	int rc;

	if (call_begin(&c, fr, "read", ino, NULL))
		return;
	rc = h && h->ops->read ? h->ops->read(&c.r, h, n, off, &s)
			       : missing(&c, ERR_IO);
	if (rc) {
		reply_err(&c, rc);
		return;
	}
	fuse_reply_buf(fr, s.p, s.n);
	call_end(&c);
}

static void
op_write(fuse_req_t fr, fuse_ino_t ino, const char *p, size_t n, off_t off,
	 struct fuse_file_info *fi)
{
	struct call c;
	struct handle *h = handle_of(fi);
	int rc;

	if (call_begin(&c, fr, "write", ino, NULL))
		return;
	rc = h && h->ops->write ? h->ops->write(&c.r, h, p, n, off)
				: missing(&c, ERR_PERM);
	if (rc) {
		reply_err(&c, rc);
		return;
	}
	fuse_reply_write(fr, n);
	call_end(&c);
}

static void
op_flush(fuse_req_t fr, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call c;
	struct handle *h = handle_of(fi);

	if (call_begin(&c, fr, "close", ino, NULL))
		return;
	reply_err(&c, h && h->ops->flush ? h->ops->flush(&c.r, h) : 0);
}

static void
op_fsync(fuse_req_t fr, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct call c;
	struct handle *h = handle_of(fi);
	int rc;

	(void)datasync;
	if (call_begin(&c, fr, "fsync", ino, NULL))
		return;
	rc = h && h->ops->flush ? h->ops->flush(&c.r, h) : 0;
	if (rc == 0)
		rc = db_sync(c.r.fs->db, &c.r.err);
	reply_err(&c, rc);
}

static void
op_release(fuse_req_t fr, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call c;
	struct handle *h = handle_of(fi);

	if (call_begin(&c, fr, "close", ino, NULL))
		return;
	if (h)
		h->ops->release(&c.r, h);
	c.quiet = true;
	reply_err(&c, 0);
}

/* --- open directories ------------------------------------------------ */

static void
op_opendir(fuse_req_t fr, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call c;
	struct handle *h;
	int rc;

	if (call_begin(&c, fr, "opendir", ino, NULL))
		return;
	rc = ops_of(&c)->opendir ? ops_of(&c)->opendir(&c.r, &c.n, &h)
				 : missing(&c, ERR_NOT_DIR);
	if (rc) {
		reply_err(&c, rc);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)h;
	if (fuse_reply_open(fr, fi))
		h->ops->release(&c.r, h);
	call_end(&c);
}

struct fill {
	struct dir_fill f;
	fuse_req_t fr;
	char *p;
	size_t n, max;
};

static int
fill_add(struct dir_fill *f, const char *name, const struct entry *e,
	 off_t next)
{
	struct fill *d = (struct fill *)f;
	struct fuse_entry_param p;
	size_t len;

	if (!f->plus) {
		len = fuse_add_direntry(d->fr, d->p + d->n, d->max - d->n, name,
					&e->st, next);
	} else {
		entry_param(e, &p);
		len = fuse_add_direntry_plus(d->fr, d->p + d->n, d->max - d->n,
					     name, &p, next);
	}
	if (len > d->max - d->n)
		return 1;
	d->n += len;
	return 0;
}

static void
list(fuse_req_t fr, fuse_ino_t ino, size_t n, off_t off,
     struct fuse_file_info *fi, bool plus)
{
	struct call c;
	struct handle *h = handle_of(fi);
	struct fill d = {{plus, fill_add}, fr, NULL, 0, n};
	int rc;

	if (call_begin(&c, fr, "readdir", ino, NULL))
		return;
	d.p = arena_alloc(c.r.a, n);
	if (d.p == NULL)
		rc = missing(&c, ERR_NO_MEMORY);
	else
		rc = h && h->ops->readdir ? h->ops->readdir(&c.r, h, off, &d.f)
					  : missing(&c, ERR_NOT_DIR);
	if (rc && d.n == 0) {
		reply_err(&c, rc);
		return;
	}
	fuse_reply_buf(fr, d.p, d.n);
	call_end(&c);
}

static void
op_readdir(fuse_req_t fr, fuse_ino_t ino, size_t n, off_t off,
	   struct fuse_file_info *fi)
{
	list(fr, ino, n, off, fi, false);
}

static void
op_readdirplus(fuse_req_t fr, fuse_ino_t ino, size_t n, off_t off,
	       struct fuse_file_info *fi)
{
	list(fr, ino, n, off, fi, true);
}

static void
op_fsyncdir(fuse_req_t fr, fuse_ino_t ino, int datasync,
	    struct fuse_file_info *fi)
{
	struct call c;

	(void)datasync;
	(void)fi;
	if (call_begin(&c, fr, "fsync", ino, NULL))
		return;
	reply_err(&c, db_sync(c.r.fs->db, &c.r.err));
}

/* --- the connection -------------------------------------------------- */

static void
want(struct fuse_conn_info *conn, unsigned cap)
{
	conn->want |= conn->capable & cap;
}

static void
op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	want(conn, FUSE_CAP_PARALLEL_DIROPS);
	want(conn, FUSE_CAP_ASYNC_READ);
	want(conn, FUSE_CAP_AUTO_INVAL_DATA);
	want(conn, FUSE_CAP_READDIRPLUS);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO);
	/* With an atomic O_TRUNC the kernel takes the file for empty at once,
	 * and then those who read the old version find it empty.  Without, it
	 * truncates the inode after the opening: see open_point_cut(). */
	conn->want &= ~(unsigned)FUSE_CAP_ATOMIC_O_TRUNC;
	/* Replies are small; splicing them costs more than copying.  Locks
	 * are the kernel's own.  Set-id bits of scratch files are cleared by
	 * the kernel. */
	conn->want &=
		~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
			    FUSE_CAP_SPLICE_MOVE | FUSE_CAP_POSIX_LOCKS |
			    FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_WRITEBACK_CACHE |
			    FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_HANDLE_KILLPRIV);
	conn->max_write = 1u << 20;
	conn->time_gran = 1;
}

/* No extended attributes: what is not here is answered with ENOSYS once and
 * never asked again. */
const struct fuse_lowlevel_ops session_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_release,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
};
