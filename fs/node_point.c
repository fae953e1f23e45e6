/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A point as a file.
 *
 * What is written gathers in the open file; flush makes it a document and puts
 * it.  Until then all others see what was there before: a write-only handle
 * goes around the page cache, and stat() tells the size that is stored.  A
 * reader keeps the version that it opened.
 *
 * The name is found by number when the bytes are put, because the file may
 * have been renamed since it was opened; when it was removed, the bytes go
 * nowhere, as with any file.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/text.h"
#include "engine/collection.h"
#include "engine/json/json_point.h"

#include <fcntl.h>
#include <string.h>

#define COMMIT_TRIES 8

struct point_handle {
	struct handle h;
	struct open_point open;
	uint64_t no;
	struct id_key id;      /* when it was opened */
	struct scratch *draft; /* referenced; NULL: was a point at open */
	struct point_pin *pin; /* NULL: a draft */
	bool append, exclusive;
	bool replaced; /* is what took the place of the inode's point */
	/* the handle's lock */
	bool loaded; /* text is the file's bytes */
	bool dirty;
	bool refused; /* the last flush, and nothing was written since */
	struct buf text;
	struct json_feed feed;
	bool feeding;   /* feed has seen exactly text */
	bool feed_late; /* ... would have, had there been a need */
	struct arena a; /* of parsed */
	struct point parsed;
	size_t parsed_n; /* text's length when it was parsed; 0: not */
};

/* --- attributes ------------------------------------------------------ */

void
point_entry(struct req *r, const struct owner *o, uint32_t coll, uint64_t no,
	    const struct point_stat *st, struct entry *ret)
{
	struct open_state open;

	entry_init(ret, NODE_POINT, coll, no, S_IFREG | mode_file(o->mode));
	ret->st.st_uid = st->uid;
	ret->st.st_gid = o->gid;
	entry_size(ret, st->size);
	entry_times(ret, st->mtime_ns, st->time_us * 1000);
	open_state(&r->fs->handles, ret->ino, &open);
	if (!open.dirty)
		return;
	ret->attr_s = 0; /* the commit changes it without a word */
	if (open.own_size) {
		entry_size(ret, open.size);
		entry_times(ret, open.mtime_ns, open.mtime_ns);
	}
}

static int
draft_attr(struct req *r, const struct owner *o, struct scratch *s,
	   struct entry *ret)
{
	struct open_state open;

	scratch_entry(o, s, ret);
	if (s->state != SCRATCH_DRAFT)
		return 0;
	open_state(&r->fs->handles, ret->ino, &open);
	if (!open.dirty)
		ret->attr_s = SHORT_S;
	if (open.dirty && open.own_size) {
		entry_size(ret, open.size);
		entry_times(ret, open.mtime_ns, open.mtime_ns);
	}
	return 0;
}

/* Another point has its name now, and nobody has the old one open. */
static int
replaced_attr(struct req *r, const struct owner *o, const struct node *n,
	      struct entry *ret)
{
	struct point_stat st;
	struct id_key id;
	struct coll *c;
	int rc;

	if (!replaced_find(&r->fs->replaced,
			   node_ino(NODE_POINT, n->coll, n->no), &id) ||
	    db_coll_open_id(r->fs->db, n->coll, &c, NULL))
		return req_stale(r);
	rc = coll_stat(c, &id, &st, NULL);
	coll_close(c);
	if (rc)
		return req_stale(r);
	point_entry(r, o, n->coll, n->no, &st, ret);
	ret->attr_s = 0;
	return 0;
}

/* Removed, but open. */
static int
orphan_attr(struct req *r, const struct owner *o, const struct node *n,
	    struct entry *ret)
{
	struct open_state open;

	open_state(&r->fs->handles, node_ino(n->kind, n->coll, n->no), &open);
	if (!open.any)
		return replaced_attr(r, o, n, ret);
	point_entry(r, o, n->coll, n->no, &open.st, ret);
	ret->st.st_nlink = 0;
	ret->attr_s = 0;
	return 0;
}

static int
stored_attr(struct req *r, const struct owner *o, const struct node *n,
	    struct entry *ret)
{
	struct point_stat st;
	struct id_key id;
	struct coll *c;
	int rc = db_coll_open_id(r->fs->db, n->coll, &c, &r->err);

	if (rc)
		return rc == -ERR_NOT_FOUND ? req_stale(r) : rc;
	rc = coll_stat_no(c, n->no, &id, &st, &r->err);
	coll_close(c);
	if (rc == 0)
		point_entry(r, o, n->coll, n->no, &st, ret);
	return rc;
}

static int
point_attr(struct req *r, const struct node *n, struct entry *ret)
{
	struct scratch *s;
	uint64_t commits;
	struct owner o;
	int rc = coll_owner(r, n->coll, &o);

	while (rc == 0) {
		commits = r->fs->scratch.commits;
		s = scratch_find_no(&r->fs->scratch, n->coll, n->no);
		if (s) {
			rc = draft_attr(r, &o, s, ret);
			scratch_unref(&r->fs->scratch, s);
			return rc;
		}
		rc = stored_attr(r, &o, n, ret);
		if (rc == -ERR_NOT_FOUND && r->errnum == 0) {
			if (commits == r->fs->scratch.commits)
				return orphan_attr(r, &o, n, ret);
			rc = 0; /* it moved between the two looks */
			continue;
		}
		return rc;
	}
	return rc;
}

static int
stored_set_attr(struct req *r, const struct node *n, const struct set_attr *s)
{
	struct point_stat st;
	struct id_key id;
	struct coll *c;
	int rc = db_coll_open_id(r->fs->db, n->coll, &c, &r->err);

	if (rc)
		return req_stale(r);
	rc = coll_stat_no(c, n->no, &id, &st, &r->err);
	if (rc == -ERR_NOT_FOUND)
		rc = 0; /* removed but open: nobody will see it */
	else if (rc == 0 && (s->which & SET_MTIME))
		rc = coll_set_times(c, &id, s->mtime_ns, &r->err);
	if (rc == 0 && id.n && (s->which & SET_UID) && s->uid != st.uid)
		rc = coll_set_uid(c, &id, s->uid, &r->err);
	coll_close(c);
	return rc;
}

static void
scratch_set_attr(struct scratch *s, const struct set_attr *a)
{
	struct scratch_attr at;

	scratch_attr_get(s, &at);
	if (a->which & SET_MODE)
		at.mode = a->mode & 07777;
	if (a->which & SET_UID)
		at.uid = a->uid;
	if (a->which & SET_GID)
		at.gid = a->gid;
	if (a->which & SET_ATIME)
		at.atime_ns = a->atime_ns;
	if (a->which & SET_MTIME) {
		at.mtime_ns = a->mtime_ns;
		at.has_mtime = true;
	}
	at.ctime_ns = clock_wall_ns();
	scratch_attr_set(s, &at);
}

/* truncate(2): opens, cuts, and puts what is left. */
static int
path_truncate(struct req *r, const struct node *n, uint64_t size)
{
	struct handle *h;
	int rc;

	rc = point_open(r, n, O_RDWR, &h);
	if (rc)
		return rc;
	rc = h->ops->truncate(r, h, size);
	if (rc == 0 && h->ops->flush)
		rc = h->ops->flush(r, h);
	h->ops->release(r, h);
	return rc;
}

/* An O_TRUNC: it is for the new handle, the point stays as it is. */
static bool
opening_cuts(struct req *r, const struct node *n, const struct set_attr *a,
	     struct handle *h)
{
	return h == NULL && a->size == 0 &&
	       open_point_cut(&r->fs->handles,
			      node_ino(n->kind, n->coll, n->no), r->pid);
}

static int
point_set_attr(struct req *r, const struct node *n, const struct set_attr *a,
	       struct handle *h)
{
	struct scratch *s;
	struct set_attr rest = *a;
	int rc = req_read_only(r);

	if (rc == 0 && (a->which & SET_SIZE) && !opening_cuts(r, n, a, h))
		rc = h && h->ops->truncate ? h->ops->truncate(r, h, a->size)
					   : path_truncate(r, n, a->size);
	if (rc)
		return rc;
	if ((rest.which & SET_MTIME) &&
	    open_points_set_mtime(&r->fs->handles,
				  node_ino(n->kind, n->coll, n->no),
				  rest.mtime_ns))
		rest.which &= ~SET_MTIME;
	if ((rest.which & ~SET_SIZE) == 0)
		return 0;
	s = scratch_find_no(&r->fs->scratch, n->coll, n->no);
	if (s) {
		scratch_set_attr(s, &rest);
		scratch_unref(&r->fs->scratch, s);
		return 0;
	}
	if (rest.which & (SET_MTIME | SET_UID))
		return stored_set_attr(r, n, &rest);
	return 0; /* chmod, chgrp: no effect, no complaint */
}

/* --- opening --------------------------------------------------------- */

static bool
may_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

static const struct handle_ops point_handle_ops;

static struct point_handle *
handle_make(struct req *r, struct coll *c_take, uint64_t no, int flags)
{
	uint64_t ino = node_ino(NODE_POINT, coll_id(c_take), no);
	struct point_handle *p = (struct point_handle *)handle_new(
		sizeof *p, &point_handle_ops, ino, c_take);

	if (p == NULL) {
		fail(r, ERR_NO_MEMORY, "an open file");
		return NULL;
	}
	p->no = no;
	p->append = flags & O_APPEND;
	p->open.ino = ino;
	p->open.writer = may_write(flags);
	p->open.opener = r->pid;
	p->open.reads_own = (flags & O_ACCMODE) == O_RDWR;
	if (may_write(flags) && (flags & O_TRUNC)) {
		p->loaded = true;
		p->feeding = true;
	}
	return p;
}

/* Who may use the page cache.  The kernel has one size and one set of pages for
 * an inode, whatever version its readers opened: beside a writer, and for a
 * moment after one, readers go around them. */
static void
caching_choose(struct req *r, struct point_handle *p, int flags)
{
	struct open_state open;

	open_state(&r->fs->handles, p->open.ino, &open);
	if ((flags & O_ACCMODE) == O_WRONLY)
		p->h.direct_io = true;
	else if ((flags & O_ACCMODE) == O_RDONLY)
		p->h.direct_io = open.writer || open.stale || p->replaced ||
				 point_is_hot(&r->fs->handles, p->open.ino);
	p->h.no_flush = !p->open.writer;
	open_point_add(&r->fs->handles, &p->open);
}

int
draft_open(struct req *r, struct coll *coll_take, struct scratch *s, int flags,
	   struct handle **ret)
{
	struct scratch_tree *t = &r->fs->scratch;
	struct point_handle *p = handle_make(r, coll_take, s->no, flags);
	struct scratch_attr at;
	struct name nm;

	if (p == NULL)
		return -ERR_NO_MEMORY;
	mutex_lock(&t->lock);
	s->refs++;
	if (s->name && name_parse(s->name, &nm, NULL) == 0)
		p->id = nm.id;
	mutex_unlock(&t->lock);
	scratch_attr_get(s, &at);
	p->draft = s;
	p->loaded = p->feeding = true;
	p->exclusive = (flags & O_EXCL) != 0;
	p->open.st = (struct point_stat){.no = s->no,
					 .mtime_ns = at.mtime_ns,
					 .uid = at.uid,
					 .time_us = at.ctime_ns / 1000};
	caching_choose(r, p, flags);
	*ret = &p->h;
	return 0;
}

static int
stored_open(struct req *r, struct coll *c_take, uint64_t no, int flags,
	    struct handle **ret)
{
	struct point_handle *p = handle_make(r, c_take, no, flags);
	int rc;

	if (p == NULL)
		return -ERR_NO_MEMORY;
	rc = coll_pin_no(p->h.coll, no, &p->id, &p->pin, &r->err);
	if (rc == -ERR_NOT_FOUND &&
	    replaced_find(&r->fs->replaced, p->open.ino, &p->id)) {
		rc = coll_pin(p->h.coll, &p->id, &p->pin, &r->err);
		p->replaced = true;
	}
	if (rc) {
		handle_free(&p->h);
		return rc == -ERR_NOT_FOUND ? req_stale(r) : rc;
	}
	point_pin_stat(p->pin, &p->open.st);
	p->no = p->open.st.no;
	caching_choose(r, p, flags);
	*ret = &p->h;
	return 0;
}

int
point_open(struct req *r, const struct node *n, int flags, struct handle **ret)
{
	struct scratch *s;
	struct coll *c;
	int rc = may_write(flags) ? req_read_only(r) : 0;

	if (rc)
		return rc;
	rc = db_coll_open_id(r->fs->db, n->coll, &c, &r->err);
	if (rc)
		return rc == -ERR_NOT_FOUND ? req_stale(r) : rc;
	s = scratch_find_no(&r->fs->scratch, n->coll, n->no);
	if (s == NULL)
		return stored_open(r, c, n->no, flags, ret);
	if (s->state == SCRATCH_DRAFT)
		rc = draft_open(r, c, s, flags, ret);
	else
		rc = scratch_open(r, c, s, flags, ret);
	scratch_unref(&r->fs->scratch, s);
	return rc;
}

/* --- bytes ----------------------------------------------------------- */

/* What comes first of all that a writer does. */
static void
use(struct req *r, struct point_handle *p)
{
	if (!p->open.writer || !open_point_use(&r->fs->handles, &p->open))
		return;
	buf_clear(&p->text);
	p->loaded = p->feeding = true;
}

static int
load(struct req *r, struct point_handle *p)
{
	struct point pt;
	int rc = 0;

	use(r, p);
	if (p->loaded)
		return 0;
	if (p->pin) {
		rc = point_pin_read(p->pin, r->a, &pt, &r->err);
		if (rc == 0)
			rc = json_point_render(&pt, &p->text, &r->err);
	}
	p->loaded = rc == 0;
	return rc;
}

static int
point_read(struct req *r, struct handle *h, size_t n, off_t at,
	   struct slice *ret)
{
	struct point_handle *p = (struct point_handle *)h;
	int rc;

	mutex_lock(&h->lock);
	rc = load(r, p);
	/* A copy: the handle may be closed as soon as the kernel has the
	 * answer, and before libfuse is done with the bytes. */
	if (rc == 0)
		rc = text_slice(r, &p->text, n, (uint64_t)at, ret);
	mutex_unlock(&h->lock);
	return rc;
}

static int
limit_check(struct req *r, uint64_t size)
{
	if (size <= r->fs->max_point_bytes)
		return 0;
	return fail(r, ERR_TOO_BIG,
		    "a point has at most %llu bytes (max_point_bytes)",
		    (unsigned long long)r->fs->max_point_bytes);
}

static int
parse(struct req *r, struct point_handle *p, const struct id_key *id,
      struct arena *a, struct point *ret)
{
	int rc = json_point_parse(p->text.p, p->text.n, id, false, a, ret,
				  &r->err);

	return rc ? rc : coll_fits(p->h.coll, ret, &r->err);
}

static int
parse_now(struct req *r, struct point_handle *p)
{
	int rc;

	arena_reset(&p->a);
	p->parsed_n = 0;
	rc = parse(r, p, &p->id, &p->a, &p->parsed);
	if (rc == 0)
		p->parsed_n = p->text.n;
	return rc;
}

/* Most documents come whole in one write: then one look is enough. */
static bool
whole_at_once(struct req *r, struct point_handle *p, size_t from)
{
	size_t n = p->text.n;

	if (from > 0)
		return false;
	while (n > 0 && (p->text.p[n - 1] == '\n' || p->text.p[n - 1] == ' '))
		n--;
	if (n == 0 || p->text.p[n - 1] != '}' || parse_now(r, p))
		return false;
	p->feeding = false;
	p->feed_late = true;
	return true;
}

/* Feeds the bytes behind `from`; refuses them when they make the document
 * wrong.  A document that has just become whole is parsed now, since the
 * writer may not look at what close() says. */
static int
check_early(struct req *r, struct point_handle *p, size_t from)
{
	struct json_feed before;
	int rc;

	if (whole_at_once(r, p, from))
		return 0;
	before = p->feed;
	rc = json_feed(&p->feed, p->text.p + from, p->text.n - from,
		       JSON_DEPTH_MAX, NULL, &r->err);
	if (rc == JSON_WHOLE)
		rc = parse_now(r, p);
	if (rc < 0)
		p->feed = before;
	return rc < 0 ? rc : 0;
}

/* A point that is written from its end on: see all of it first. */
static void
feed_start(struct point_handle *p)
{
	memset(&p->feed, 0, sizeof p->feed);
	p->feed_late = false;
	p->feeding = json_feed(&p->feed, p->text.p, p->text.n, JSON_DEPTH_MAX,
			       NULL, NULL) >= 0;
}

static int
write_locked(struct req *r, struct point_handle *p, const void *bytes, size_t n,
	     uint64_t at)
{
	size_t old;
	int rc = load(r, p);

	if (rc)
		return rc;
	old = p->text.n;
	if (p->append)
		at = old;
	rc = limit_check(r, at + n);
	if (rc)
		return rc;
	if (at == old && (p->append || p->feed_late) && !p->feeding)
		feed_start(p);
	p->parsed_n = 0;
	if (at + n > old && buf_put_zero(&p->text, at + n - old))
		return fail(r, ERR_NO_MEMORY, "a point");
	memcpy(p->text.p + at, bytes, n);
	if (at != old)
		p->feeding = p->feed_late = false;
	else if (p->feeding && (rc = check_early(r, p, old)))
		p->text.n = old;
	if (rc)
		return rc;
	p->dirty = true;
	p->refused = false;
	open_point_wrote(&r->fs->handles, &p->open, p->text.n, clock_wall_ns());
	return 0;
}

static int
point_write(struct req *r, struct handle *h, const void *bytes, size_t n,
	    off_t at)
{
	int rc;

	if (n == 0)
		return 0;
	mutex_lock(&h->lock);
	rc = write_locked(r, (struct point_handle *)h, bytes, n, (uint64_t)at);
	mutex_unlock(&h->lock);
	return rc;
}

static int
resize(struct req *r, struct point_handle *p, uint64_t size)
{
	int rc = 0;

	use(r, p);
	if (size > 0)
		rc = load(r, p);
	if (rc == 0)
		rc = limit_check(r, size);
	if (rc || (p->loaded && size == p->text.n))
		return rc;
	p->loaded = true;
	p->parsed_n = 0;
	p->feeding = size == 0;
	p->feed_late = false;
	memset(&p->feed, 0, sizeof p->feed);
	if (size > p->text.n && buf_put_zero(&p->text, size - p->text.n))
		return fail(r, ERR_NO_MEMORY, "a point");
	p->text.n = size;
	p->dirty = size > 0;
	p->refused = false;
	if (p->dirty)
		open_point_wrote(&r->fs->handles, &p->open, size,
				 clock_wall_ns());
	else
		open_point_clean(&r->fs->handles, &p->open);
	return 0;
}

static int
point_truncate(struct req *r, struct handle *h, uint64_t size)
{
	int rc;

	mutex_lock(&h->lock);
	rc = resize(r, (struct point_handle *)h, size);
	mutex_unlock(&h->lock);
	return rc;
}

/* --- commit ---------------------------------------------------------- */

/* The document under this id, from the early check if it still holds. */
static int
document(struct req *r, struct point_handle *p, const struct id_key *id,
	 uint32_t uid, struct point *ret)
{
	int64_t mtime;
	int rc = 0;

	if (p->parsed_n == p->text.n && p->parsed_n > 0 &&
	    id_cmp(id->b, id->n, p->id.b, p->id.n) == 0)
		*ret = p->parsed;
	else
		rc = parse(r, p, id, r->a, ret);
	if (rc)
		return rc;
	open_point_mtime(&r->fs->handles, &p->open, &mtime);
	ret->mtime_ns = mtime;
	ret->uid = uid;
	return 0;
}

static int
put_stored(struct req *r, struct point_handle *p)
{
	struct put_opts o = {.mode = PUT_UPDATE};
	struct point_stat st;
	struct id_key id;
	struct point pt;
	int rc = -ERR_NOT_FOUND;

	/* A rename between the two calls makes the put miss. */
	for (int i = 0; i < COMMIT_TRIES && rc == -ERR_NOT_FOUND; i++) {
		if (coll_stat_no(p->h.coll, p->no, &id, &st, NULL))
			return 0; /* removed: the bytes go nowhere */
		rc = document(r, p, &id, st.uid, &pt);
		if (rc == 0)
			rc = coll_put(p->h.coll, &pt, &o, &r->err);
	}
	return rc;
}

/* The draft was renamed to a name that is no point's. */
static int
put_scratch(struct req *r, struct point_handle *p)
{
	struct scratch_tree *t = &r->fs->scratch;
	int rc = scratch_truncate(t, p->draft, 0, &r->err);

	return rc ? rc
		  : scratch_write(t, p->draft, p->text.p, p->text.n, 0, false,
				  &r->err);
}

/* The draft may have moved to another collection. */
static int
follow_draft(struct req *r, struct point_handle *p)
{
	struct coll *c;
	int rc;

	if (p->draft->coll == coll_id(p->h.coll))
		return 0;
	rc = db_coll_open_id(r->fs->db, p->draft->coll, &c, &r->err);
	if (rc)
		return rc;
	coll_close(p->h.coll);
	p->h.coll = c;
	return 0;
}

/* The draft is claimed.  1: it is a point now. */
static int
put_draft(struct req *r, struct point_handle *p)
{
	struct put_opts o = {.mode = p->exclusive ? PUT_INSERT : PUT_UPSERT,
			     .no = p->draft->no};
	struct scratch_attr at;
	struct point pt;
	struct name nm;
	int rc;

	if (p->draft->name == NULL)
		return 0;
	rc = follow_draft(r, p);
	if (rc == 0)
		rc = name_parse(p->draft->name, &nm, &r->err);
	if (rc)
		return rc;
	scratch_attr_get(p->draft, &at);
	rc = document(r, p, &nm.id, at.uid, &pt);
	if (rc == 0)
		rc = coll_put(p->h.coll, &pt, &o, &r->err);
	p->no = p->draft->no;
	return rc ? rc : 1;
}

static int
commit_locked(struct req *r, struct point_handle *p)
{
	int rc;

	if (!p->dirty || p->text.n == 0)
		return 0;
	if (p->draft && p->draft->state == SCRATCH_DRAFT)
		rc = put_draft(r, p);
	else if (p->draft && p->draft->state == SCRATCH_FILE)
		rc = put_scratch(r, p);
	else
		rc = put_stored(r, p);
	if (rc < 0)
		return rc;
	p->dirty = false;
	open_point_committed(&r->fs->handles, &p->open);
	return rc;
}

/* Whether the kernel may still show something else. */
static void
tell_kernel(struct req *r, struct point_handle *p, int rc)
{
	if (rc < 0 || p->open.reads_own || p->draft == NULL)
		notify_inode(&r->fs->notify, p->open.ino);
}

static int
commit(struct req *r, struct point_handle *p)
{
	struct scratch_tree *t = &r->fs->scratch;
	bool dirty;
	int rc;

	if (p->draft)
		scratch_claim(t, p->draft);
	mutex_lock(&p->h.lock);
	dirty = p->dirty && p->text.n > 0;
	rc = commit_locked(r, p);
	p->refused = rc < 0;
	mutex_unlock(&p->h.lock);
	if (rc == 1)
		scratch_became_point(t, p->draft);
	if (p->draft)
		scratch_release(t, p->draft);
	if (dirty)
		tell_kernel(r, p, rc);
	return rc < 0 ? rc : 0;
}

static int
point_flush(struct req *r, struct handle *h)
{
	struct point_handle *p = (struct point_handle *)h;
	bool dirty;

	if (!p->open.writer)
		return 0;
	mutex_lock(&h->lock);
	dirty = p->dirty;
	mutex_unlock(&h->lock);
	return dirty ? commit(r, p) : 0;
}

static void
point_release(struct req *r, struct handle *h)
{
	struct point_handle *p = (struct point_handle *)h;
	struct node n;

	/* Stores through a mapping come after the last flush. */
	if (!p->refused && point_flush(r, h) && node_parse(h->ino, &n))
		req_refused(r, &n, NULL);
	/* It may have put an old version's pages into the cache. */
	if (!h->direct_io && open_point_stale(&r->fs->handles, &p->open))
		notify_inode(&r->fs->notify, h->ino);
	open_point_remove(&r->fs->handles, &p->open);
	scratch_unref(&r->fs->scratch, p->draft);
	point_pin_free(p->pin);
	buf_done(&p->text);
	arena_done(&p->a);
	handle_free(h);
}

static const struct handle_ops point_handle_ops = {
	.read = point_read,
	.write = point_write,
	.flush = point_flush,
	.truncate = point_truncate,
	.release = point_release,
};

const struct node_ops point_ops = {
	.attr = point_attr,
	.set_attr = point_set_attr,
	.open = point_open,
};
