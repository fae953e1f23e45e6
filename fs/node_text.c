/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files whose text is made when they are opened: README.md, status, metrics,
 * configurations.  Some take a text back, as a whole, when they are closed.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/base/text.h"

#include <fcntl.h>
#include <string.h>

struct text_handle {
	struct handle h;
	const struct text_kind *kind;
	uint64_t no;
	struct buf text; /* as opened */
	struct buf in;   /* as written */
	bool dirty;
};

int
text_slice(struct req *r, const struct buf *b, size_t n, uint64_t at,
	   struct slice *ret)
{
	n = at >= b->n ? 0 : MIN(n, b->n - at);
	ret->n = n;
	ret->p = NULL;
	if (n == 0)
		return 0;
	ret->p = arena_dup(r->a, b->p + at, n);
	return ret->p ? 0 : fail(r, ERR_NO_MEMORY, "an answer");
}

static int
text_read(struct req *r, struct handle *h, size_t n, off_t at,
	  struct slice *ret)
{
	struct text_handle *t = (struct text_handle *)h;
	int rc;

	mutex_lock(&h->lock);
	rc = text_slice(r, &t->text, n, (uint64_t)at, ret);
	mutex_unlock(&h->lock);
	return rc;
}

static bool
is_blank(const void *p, size_t n)
{
	const char *c = p;

	while (n > 0 && strchr(" \t\r\n", c[n - 1]) && c[n - 1])
		n--;
	return n == 0;
}

/* JSON_WHOLE, JSON_MORE, or why it can never be JSON. */
static int
progress_of(const struct buf *b, struct err *err)
{
	struct json_feed f = {0};

	return json_feed(&f, b->p, b->n, JSON_DEPTH_MAX, NULL, err);
}

static int
text_commit(struct req *r, struct text_handle *t)
{
	int rc = t->kind->commit(r, t->h.coll, t->in.p, t->in.n);

	if (rc)
		return rc;
	t->dirty = false;
	buf_clear(&t->text);
	return t->kind->print(r, t->h.coll, t->no, &t->text);
}

/* A body that is whole counts at once, because shells look at what write() says
 * and not at close(). */
static int
write_locked(struct req *r, struct text_handle *t, const void *p, size_t n,
	     uint64_t at)
{
	size_t old;
	int rc;

	if (!t->dirty && t->in.n > 0 && is_blank(p, n))
		return 0; /* the newline behind it */
	if (!t->dirty)
		buf_clear(&t->in);
	old = t->in.n;
	if (at > old || !t->dirty)
		at = old; /* `echo >>` writes at the end of what it saw */
	if (at + n > old && buf_put_zero(&t->in, at + n - old))
		return fail(r, ERR_NO_MEMORY, "%zu bytes", n);
	memcpy(t->in.p + at, p, n);
	t->dirty = true;
	rc = progress_of(&t->in, &r->err);
	if (rc == JSON_WHOLE)
		rc = text_commit(r, t);
	if (rc < 0)
		t->in.n = old;
	return rc < 0 ? rc : 0;
}

/* What is written is a text of its own, whatever the file reads as. */
static int
text_write(struct req *r, struct handle *h, const void *p, size_t n, off_t at)
{
	struct text_handle *t = (struct text_handle *)h;
	int rc;

	if (t->kind->commit == NULL)
		return fail(r, ERR_PERM, "this file cannot be written");
	if ((uint64_t)at + n > BODY_MAX)
		return fail(r, ERR_TOO_BIG, "at most %u bytes", BODY_MAX);
	mutex_lock(&h->lock);
	rc = write_locked(r, t, p, n, (uint64_t)at);
	mutex_unlock(&h->lock);
	return rc;
}

static int
text_truncate(struct req *r, struct handle *h, uint64_t size)
{
	struct text_handle *t = (struct text_handle *)h;

	(void)r;
	mutex_lock(&h->lock);
	if (size < t->in.n)
		t->in.n = size;
	mutex_unlock(&h->lock);
	return 0;
}

static int
text_flush(struct req *r, struct handle *h)
{
	struct text_handle *t = (struct text_handle *)h;
	int rc = 0;

	mutex_lock(&h->lock);
	if (t->dirty && t->in.n > 0)
		rc = text_commit(r, t);
	mutex_unlock(&h->lock);
	return rc;
}

static void
text_release(struct req *r, struct handle *h)
{
	struct text_handle *t = (struct text_handle *)h;

	(void)r;
	buf_done(&t->text);
	buf_done(&t->in);
	handle_free(h);
}

static const struct handle_ops text_handle_ops = {
	.read = text_read,
	.write = text_write,
	.flush = text_flush,
	.truncate = text_truncate,
	.release = text_release,
};

int
text_open(struct req *r, const struct text_kind *k, const struct node *n,
	  struct coll *coll_take, int flags, struct handle **ret)
{
	struct text_handle *t;
	int rc;

	if ((flags & O_ACCMODE) != O_RDONLY && k->commit == NULL) {
		coll_close(coll_take);
		return fail(r, ERR_PERM, "this file cannot be written");
	}
	t = (struct text_handle *)handle_new(sizeof *t, &text_handle_ops,
					     node_ino(n->kind, n->coll, n->no),
					     coll_take);
	if (t == NULL)
		return fail(r, ERR_NO_MEMORY, "an open file");
	t->kind = k;
	t->no = n->no;
	t->h.direct_io = true;
	rc = k->print(r, coll_take, n->no, &t->text);
	if (rc == 0 && t->text.failed)
		rc = fail(r, ERR_NO_MEMORY, "a generated file");
	if (rc) {
		text_release(r, &t->h);
		return rc;
	}
	*ret = &t->h;
	return 0;
}

int
text_size(struct req *r, const struct text_kind *k, struct coll *c, uint64_t no,
	  uint64_t *ret)
{
	CLEAN(buf_done) struct buf b = {0};
	int rc = k->print(r, c, no, &b);

	*ret = b.n;
	return rc;
}
