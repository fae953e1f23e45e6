/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open scratch files: ordinary files, as long as they are scratch files.  One
 * that is renamed to a point's name while it is open goes on as an open point.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/collection.h"

#include <fcntl.h>

struct scratch_handle {
	struct handle h;
	struct scratch *s; /* referenced */
	bool append;
	struct handle *point; /* what it has become, or NULL */
};

void
scratch_entry(const struct owner *o, struct scratch *s, struct entry *ret)
{
	bool draft = s->state == SCRATCH_DRAFT;
	struct scratch_attr at;
	uint64_t size = scratch_attr_get(s, &at);

	entry_init(ret, NODE_POINT, s->coll, s->no,
		   S_IFREG | (draft ? mode_file(o->mode) : at.mode));
	ret->st.st_uid = at.uid;
	ret->st.st_gid = draft ? o->gid : at.gid;
	ret->st.st_nlink = s->name ? 1 : 0;
	entry_size(ret, size);
	entry_times(ret, at.mtime_ns, at.ctime_ns);
	ret->st.st_atim.tv_sec = at.atime_ns / 1000000000;
	ret->st.st_atim.tv_nsec = at.atime_ns % 1000000000;
	/* A draft that somebody has written to is not what it will be. */
	ret->attr_s = draft ? 0 : SHORT_S;
}

/* NULL: it is a scratch file. */
static int
become(struct req *r, struct scratch_handle *sh, struct handle **ret)
{
	struct node n = {NODE_POINT, sh->s->coll, sh->s->no};
	struct handle *h;
	int rc = 0;

	mutex_lock(&sh->h.lock);
	*ret = sh->point;
	mutex_unlock(&sh->h.lock);
	if (*ret || sh->s->state == SCRATCH_FILE ||
	    (sh->s->state == SCRATCH_DRAFT && sh->s->name == NULL))
		return 0;
	rc = point_open(r, &n, O_RDWR | (sh->append ? O_APPEND : 0), &h);
	if (rc)
		return rc;
	mutex_lock(&sh->h.lock);
	if (sh->point == NULL) {
		sh->point = h;
		h = NULL;
	}
	*ret = sh->point;
	mutex_unlock(&sh->h.lock);
	if (h)
		h->ops->release(r, h);
	return 0;
}

static int
file_read(struct req *r, struct handle *h, size_t n, off_t at,
	  struct slice *ret)
{
	struct scratch_handle *sh = (struct scratch_handle *)h;
	void *p;

	if (sh->point)
		return sh->point->ops->read(r, sh->point, n, at, ret);
	p = arena_alloc(r->a, n ? n : 1);
	if (p == NULL)
		return fail(r, ERR_NO_MEMORY, "%zu bytes", n);
	ret->p = p;
	return scratch_read(sh->s, p, n, (uint64_t)at, &ret->n, &r->err);
}

static int
file_write(struct req *r, struct handle *h, const void *p, size_t n, off_t at)
{
	struct scratch_handle *sh = (struct scratch_handle *)h;
	struct handle *point;
	int rc = become(r, sh, &point);

	if (rc)
		return rc;
	if (point)
		return point->ops->write(r, point, p, n, at);
	return scratch_write(&r->fs->scratch, sh->s, p, n, (uint64_t)at,
			     sh->append, &r->err);
}

static int
file_truncate_to(struct req *r, struct handle *h, uint64_t size)
{
	struct scratch_handle *sh = (struct scratch_handle *)h;
	struct handle *point;
	int rc = become(r, sh, &point);

	if (rc)
		return rc;
	if (point)
		return point->ops->truncate(r, point, size);
	return scratch_truncate(&r->fs->scratch, sh->s, size, &r->err);
}

static int
file_flush(struct req *r, struct handle *h)
{
	struct scratch_handle *sh = (struct scratch_handle *)h;

	return sh->point ? sh->point->ops->flush(r, sh->point) : 0;
}

static void
file_release(struct req *r, struct handle *h)
{
	struct scratch_handle *sh = (struct scratch_handle *)h;

	if (sh->point)
		sh->point->ops->release(r, sh->point);
	scratch_unref(&r->fs->scratch, sh->s);
	handle_free(h);
}

static const struct handle_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.truncate = file_truncate_to,
	.release = file_release,
};

int
scratch_open(struct req *r, struct coll *coll_take, struct scratch *s,
	     int flags, struct handle **ret)
{
	struct scratch_tree *t = &r->fs->scratch;
	struct scratch_handle *sh;
	int rc = 0;

	if (flags & O_TRUNC)
		rc = scratch_truncate(t, s, 0, &r->err);
	if (rc) {
		coll_close(coll_take);
		return rc;
	}
	sh = (struct scratch_handle *)handle_new(
		sizeof *sh, &file_ops, node_ino(NODE_POINT, s->coll, s->no),
		coll_take);
	if (sh == NULL)
		return fail(r, ERR_NO_MEMORY, "an open file");
	mutex_lock(&t->lock);
	s->refs++;
	mutex_unlock(&t->lock);
	sh->s = s;
	sh->append = flags & O_APPEND;
	sh->h.no_flush = (flags & O_ACCMODE) == O_RDONLY;
	*ret = &sh->h;
	return 0;
}
