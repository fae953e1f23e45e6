/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .near/<id>/: the neighbours of a point as symlinks, best first.
 *
 * Listing searches, once for each open directory.  Looking a name up does not:
 * any name of the right form whose point exists is a link to it, because tools
 * and shells look names up for all kinds of reasons.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/collection.h"

#include <string.h>

#define NEAR_LIMIT 10

static int
near_coll(struct req *r, uint32_t coll, struct coll **ret)
{
	int rc = db_coll_open_id(r->fs->db, coll, ret, &r->err);

	return rc == -ERR_NOT_FOUND ? req_stale(r) : rc;
}

static int
dir_entry(struct req *r, enum node_kind kind, uint32_t coll, uint64_t no,
	  struct entry *ret)
{
	int64_t now = clock_wall_ns();
	struct owner o;
	int rc = coll_owner(r, coll, &o);

	if (rc)
		return rc;
	entry_init(ret, kind, coll, no, S_IFDIR | (o.mode & 0555));
	ret->st.st_uid = o.uid;
	ret->st.st_gid = o.gid;
	entry_times(ret, now, now);
	ret->attr_s = 1;
	if (kind == NODE_NEAR)
		ret->entry_s = 0; /* the point may be gone next time */
	return 0;
}

/* --- .near ----------------------------------------------------------- */

static int
root_attr(struct req *r, const struct node *n, struct entry *ret)
{
	return dir_entry(r, NODE_NEAR_ROOT, n->coll, 0, ret);
}

static int
root_lookup(struct req *r, const struct node *dir, const char *name,
	    struct entry *ret)
{
	struct point_stat st;
	struct id_key id;
	struct coll *c;
	int rc;

	if (req_name_long(r, name))
		return -ERR_NAME_LONG;
	if (id_from_name(name, strlen(name), &id, NULL))
		return fail(r, ERR_NOT_FOUND, "no such point");
	rc = near_coll(r, dir->coll, &c);
	if (rc)
		return rc;
	rc = coll_stat(c, &id, &st, &r->err);
	coll_close(c);
	return rc ? rc : dir_entry(r, NODE_NEAR, dir->coll, st.no, ret);
}

static int
root_readdir(struct req *r, struct handle *h, off_t off, struct dir_fill *f)
{
	(void)r;
	dir_fill_dots(f, h->ino, off); /* every point: not listed again */
	return 0;
}

static void
root_release(struct req *r, struct handle *h)
{
	(void)r;
	handle_free(h);
}

static const struct handle_ops root_dir_ops = {
	.readdir = root_readdir,
	.release = root_release,
};

static int
root_opendir(struct req *r, const struct node *n, struct handle **ret)
{
	*ret = handle_new(sizeof(**ret), &root_dir_ops,
			  node_ino(n->kind, n->coll, n->no), NULL);
	return *ret ? 0 : fail(r, ERR_NO_MEMORY, "an open directory");
}

const struct node_ops near_root_ops = {
	.lookup = root_lookup,
	.attr = root_attr,
	.opendir = root_opendir,
};

/* --- links ----------------------------------------------------------- */

static int
link_entry(struct req *r, uint32_t coll, const struct id_key *id,
	   const struct point_stat *st, struct entry *ret)
{
	char stem[ID_TEXT_MAX + 1];
	struct owner o;
	int rc = coll_owner(r, coll, &o);

	if (rc)
		return rc;
	entry_init(ret, NODE_NEAR_LINK, coll, st->no, S_IFLNK | 0777);
	ret->st.st_uid = o.uid;
	ret->st.st_gid = o.gid;
	entry_size(ret, strlen("../../.json") + id_print(id->b, id->n, stem));
	entry_times(ret, st->mtime_ns, st->time_us * 1000);
	ret->entry_s = ret->attr_s = 0;
	return 0;
}

static int
link_find(struct req *r, const struct node *n, struct id_key *ret_id,
	  struct point_stat *ret)
{
	struct coll *c;
	int rc = near_coll(r, n->coll, &c);

	if (rc)
		return rc;
	rc = coll_stat_no(c, n->no, ret_id, ret, &r->err);
	coll_close(c);
	return rc == -ERR_NOT_FOUND ? req_stale(r) : rc;
}

static int
link_attr(struct req *r, const struct node *n, struct entry *ret)
{
	struct point_stat st;
	struct id_key id;
	int rc = link_find(r, n, &id, &st);

	return rc ? rc : link_entry(r, n->coll, &id, &st, ret);
}

static int
link_readlink(struct req *r, const struct node *n, char **ret)
{
	char stem[ID_TEXT_MAX + 1];
	struct point_stat st;
	struct id_key id;
	int rc = link_find(r, n, &id, &st);

	if (rc)
		return rc;
	id_print(id.b, id.n, stem);
	*ret = arena_printf(r->a, "../../%s.json", stem);
	return *ret ? 0 : fail(r, ERR_NO_MEMORY, "a link");
}

const struct node_ops near_link_ops = {
	.attr = link_attr,
	.readlink = link_readlink,
};

/* --- .near/<id> ------------------------------------------------------ */

struct neighbour {
	char name[FS_NAME_MAX + 1];
	struct id_key id;
	struct point_stat st;
};

struct near_handle {
	struct handle h;
	uint32_t n;
	struct neighbour e[NEAR_LIMIT];
};

static int
near_attr(struct req *r, const struct node *n, struct entry *ret)
{
	return dir_entry(r, NODE_NEAR, n->coll, n->no, ret);
}

static int
near_lookup(struct req *r, const struct node *dir, const char *name,
	    struct entry *ret)
{
	struct point_stat st;
	struct id_key id;
	struct coll *c;
	int rc;

	if (req_name_long(r, name))
		return -ERR_NAME_LONG;
	if (!near_name_parse(name, &id))
		return fail(r, ERR_NOT_FOUND, "no such neighbour");
	rc = near_coll(r, dir->coll, &c);
	if (rc)
		return rc;
	rc = coll_stat(c, &id, &st, &r->err);
	coll_close(c);
	return rc ? rc : link_entry(r, dir->coll, &id, &st, ret);
}

static int
near_readdir(struct req *r, struct handle *h, off_t off, struct dir_fill *f)
{
	struct near_handle *d = (struct near_handle *)h;
	struct entry e;

	if (dir_fill_dots(f, h->ino, off))
		return 0;
	for (off_t i = MAX(off - 2, 0); i < d->n; i++) {
		struct neighbour *nb = &d->e[i];

		if (link_entry(r, coll_id(h->coll), &nb->id, &nb->st, &e) ||
		    f->add(f, nb->name, &e, i + 3))
			break;
	}
	return 0;
}

static const struct handle_ops near_dir_ops = {
	.readdir = near_readdir,
	.release = root_release,
};

static int
search(struct req *r, struct near_handle *d, uint64_t no)
{
	struct query q = {.kind = QUERY_ID, .limit = NEAR_LIMIT};
	struct point_stat st;
	struct hits hits;
	int rc = coll_stat_no(d->h.coll, no, &q.id, &st, &r->err);

	if (rc == 0)
		rc = coll_search(d->h.coll, &q, r->a, &hits, &r->err);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < hits.n && d->n < NEAR_LIMIT; i++) {
		const struct point *p = &hits.h[i].point;
		struct neighbour *nb = &d->e[d->n];

		nb->id = p->id;
		if (coll_stat(d->h.coll, &nb->id, &nb->st, NULL))
			continue; /* removed since */
		near_name_print(i + 1, hits.h[i].score, &nb->id, nb->name);
		d->n++;
	}
	return 0;
}

static int
near_opendir(struct req *r, const struct node *n, struct handle **ret)
{
	struct near_handle *d;
	struct coll *c;
	int rc = near_coll(r, n->coll, &c);

	if (rc)
		return rc;
	d = (struct near_handle *)handle_new(
		sizeof *d, &near_dir_ops, node_ino(n->kind, n->coll, n->no), c);
	if (d == NULL)
		return fail(r, ERR_NO_MEMORY, "an open directory");
	rc = search(r, d, n->no);
	if (rc) {
		handle_free(&d->h);
		return rc;
	}
	*ret = &d->h;
	return 0;
}

const struct node_ops near_ops = {
	.lookup = near_lookup,
	.attr = near_attr,
	.opendir = near_opendir,
};
