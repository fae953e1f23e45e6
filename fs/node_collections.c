/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collections/: collections as directories, aliases as symlinks.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"

#include <string.h>

static void
names_changed(struct req *r)
{
	r->fs->names_ns = clock_wall_ns();
}

static void
alias_entry(struct req *r, const struct catalog_entry *c, struct entry *ret)
{
	entry_init(ret, NODE_ALIAS, 0, alias_number(&r->fs->aliases, c->name),
		   S_IFLNK | 0777);
	ret->st.st_uid = c->uid;
	ret->st.st_gid = c->gid;
	entry_size(ret, strlen(c->target));
	entry_times(ret, c->mtime_us * 1000, c->mtime_us * 1000);
	ret->entry_s = ret->attr_s = 0; /* renamed over and switched */
}

static void
dir_entry(struct req *r, const struct catalog_entry *c, struct entry *ret)
{
	struct coll_memo m;
	int64_t ns = c->mtime_us * 1000;

	memo_get(&r->fs->scratch, c->id, &m);
	if (m.changed_ns)
		ns = m.changed_ns;
	entry_init(ret, NODE_COLL, c->id, 0, S_IFDIR | (c->mode & 07777));
	ret->st.st_uid = c->uid;
	ret->st.st_gid = c->gid;
	entry_times(ret, ns, ns);
}

static void
catalog_to_entry(struct req *r, const struct catalog_entry *c,
		 struct entry *ret)
{
	if (c->target)
		alias_entry(r, c, ret);
	else
		dir_entry(r, c, ret);
}

static int
collections_lookup(struct req *r, const struct node *dir, const char *name,
		   struct entry *ret)
{
	struct catalog_entry c;
	int rc;

	(void)dir;
	if (req_name_long(r, name))
		return -ERR_NAME_LONG;
	rc = db_catalog_find(r->fs->db, name, r->a, &c, &r->err);
	if (rc == -ERR_NAME || rc == -ERR_NAME_LONG)
		return fail(r, ERR_NOT_FOUND, "no such collection");
	if (rc == 0)
		catalog_to_entry(r, &c, ret);
	return rc;
}

static int
collections_attr(struct req *r, const struct node *n, struct entry *ret)
{
	return static_ops.attr(r, n, ret);
}

static int
collections_mkdir(struct req *r, const struct node *dir, const char *name,
		  uint32_t mode, struct entry *ret)
{
	int rc = req_read_only(r);

	if (rc == 0)
		rc = db_coll_create(r->fs->db, name, mode & 07777, r->uid,
				    r->gid, &r->err);
	if (rc)
		return rc;
	names_changed(r);
	return collections_lookup(r, dir, name, ret);
}

static int
collections_rmdir(struct req *r, const struct node *dir, const char *name)
{
	struct catalog_entry c;
	int rc = req_read_only(r);

	(void)dir;
	if (rc == 0)
		rc = db_catalog_find(r->fs->db, name, r->a, &c, &r->err);
	if (rc)
		return rc;
	if (c.target)
		return fail(r, ERR_NOT_DIR, "'%s' is an alias", name);
	if (scratch_count(&r->fs->scratch, c.id) > 0)
		return fail(r, ERR_NOT_EMPTY, "'%s' has scratch files", name);
	rc = db_coll_remove(r->fs->db, name, &r->err);
	if (rc)
		return rc;
	memo_forget(&r->fs->scratch, c.id);
	names_changed(r);
	return 0;
}

static int
collections_symlink(struct req *r, const struct node *dir, const char *name,
		    const char *target, struct entry *ret)
{
	size_t n = strlen(target);
	char *bare;
	int rc = req_read_only(r);

	if (rc)
		return rc;
	while (n > 1 && target[n - 1] == '/') /* as shells complete it */
		n--;
	bare = arena_strndup(r->a, target, n);
	if (bare == NULL)
		return fail(r, ERR_NO_MEMORY, "a name");
	if (strchr(bare, '/'))
		return fail(r, ERR_NAME,
			    "an alias names a collection beside "
			    "it, without a path");
	rc = db_alias_create(r->fs->db, name, bare, r->uid, r->gid, &r->err);
	if (rc)
		return rc;
	names_changed(r);
	return collections_lookup(r, dir, name, ret);
}

static int
collections_unlink(struct req *r, const struct node *dir, const char *name)
{
	struct catalog_entry c;
	int rc = req_read_only(r);

	(void)dir;
	if (rc == 0)
		rc = db_catalog_find(r->fs->db, name, r->a, &c, &r->err);
	if (rc)
		return rc;
	if (c.target == NULL)
		return fail(r, ERR_IS_DIR, "'%s' is a collection", name);
	rc = db_alias_remove(r->fs->db, name, &r->err);
	if (rc)
		return rc;
	alias_drop(&r->fs->aliases, name);
	names_changed(r);
	return 0;
}

static int
collections_create(struct req *r, const struct node *dir, const char *name,
		   uint32_t mode, int flags, struct handle **ret_h,
		   struct entry *ret)
{
	(void)dir;
	(void)name;
	(void)mode;
	(void)flags;
	(void)ret_h;
	(void)ret;
	return fail(r, ERR_PERM,
		    "collections/ holds directories (mkdir) and "
		    "aliases (ln -s) only");
}

static int
collections_set_attr(struct req *r, const struct node *n,
		     const struct set_attr *s, struct handle *h)
{
	(void)n;
	(void)h;
	/* `cp -a` and `rsync -a` of everything set the times of this one. */
	if ((s->which & (SET_MODE | SET_UID | SET_GID)) == 0) {
		if (s->which & SET_MTIME)
			r->fs->names_ns = s->mtime_ns;
		return 0;
	}
	return fail(r, ERR_PERM,
		    "chmod and chown of a collection, not of "
		    "collections/");
}

/* A collection may replace an empty one: of scratch files too. */
static int
target_check(struct req *r, const char *to, struct catalog_entry *ret,
	     bool *ret_found)
{
	int rc = db_catalog_find(r->fs->db, to, r->a, ret, NULL);

	*ret_found = rc == 0;
	if (rc == 0 && ret->target == NULL &&
	    scratch_count(&r->fs->scratch, ret->id) > 0)
		return fail(r, ERR_NOT_EMPTY, "'%s' has scratch files", to);
	return 0;
}

int
collections_rename(struct req *r, const char *from, const char *to,
		   unsigned flags)
{
	struct catalog_entry old;
	bool found, exchange = flags & RENAME_FLAG_EXCHANGE;
	int rc = req_read_only(r);

	if (rc == 0 && !exchange)
		rc = target_check(r, to, &old, &found);
	if (rc)
		return rc;
	mutex_lock(&r->fs->renames);
	rc = db_rename(r->fs->db, from, to, flags, &r->err);
	if (rc == 0)
		alias_move(&r->fs->aliases, from, to, exchange);
	mutex_unlock(&r->fs->renames);
	if (rc == 0)
		names_changed(r);
	return rc;
}

/* --- listing --------------------------------------------------------- */

struct names_handle {
	struct handle h;
	struct arena a;
	struct catalog_entry *e;
	uint32_t n;
	bool listed;
};

static int
names_readdir(struct req *r, struct handle *h, off_t off, struct dir_fill *f)
{
	struct names_handle *d = (struct names_handle *)h;
	struct entry e;
	int rc = 0;

	mutex_lock(&h->lock);
	if (!d->listed || off == 0) {
		arena_reset(&d->a);
		rc = db_catalog_list(r->fs->db, &d->a, &d->e, &d->n, &r->err);
		d->listed = rc == 0;
	}
	if (rc == 0 && dir_fill_dots(f, h->ino, off) == 0) {
		for (off_t i = MAX(off - 2, 0); i < d->n; i++) {
			catalog_to_entry(r, &d->e[i], &e);
			if (f->add(f, d->e[i].name, &e, i + 3))
				break;
		}
	}
	mutex_unlock(&h->lock);
	return rc;
}

static void
names_release(struct req *r, struct handle *h)
{
	(void)r;
	arena_done(&((struct names_handle *)h)->a);
	handle_free(h);
}

static const struct handle_ops names_ops = {
	.readdir = names_readdir,
	.release = names_release,
};

static int
collections_opendir(struct req *r, const struct node *n, struct handle **ret)
{
	*ret = handle_new(sizeof(struct names_handle), &names_ops,
			  node_ino(n->kind, n->coll, n->no), NULL);
	return *ret ? 0 : fail(r, ERR_NO_MEMORY, "an open directory");
}

const struct node_ops collections_ops = {
	.lookup = collections_lookup,
	.attr = collections_attr,
	.set_attr = collections_set_attr,
	.opendir = collections_opendir,
	.create = collections_create,
	.mkdir = collections_mkdir,
	.symlink = collections_symlink,
	.unlink = collections_unlink,
	.rmdir = collections_rmdir,
};

/* --- aliases --------------------------------------------------------- */

static bool
alias_look(struct req *r, const struct node *n, struct catalog_entry *ret)
{
	char name[COLL_NAME_MAX + 1];

	return alias_find(&r->fs->aliases, n->no, name, sizeof name) &&
	       db_catalog_find(r->fs->db, name, r->a, ret, NULL) == 0 &&
	       ret->target != NULL;
}

/* A second look when no rename is between its two steps. */
static int
alias_catalog(struct req *r, const struct node *n, struct catalog_entry *ret)
{
	bool found = alias_look(r, n, ret);

	if (!found) {
		mutex_lock(&r->fs->renames);
		found = alias_look(r, n, ret);
		mutex_unlock(&r->fs->renames);
	}
	return found ? 0 : req_stale(r);
}

static int
alias_attr(struct req *r, const struct node *n, struct entry *ret)
{
	struct catalog_entry c;
	int rc = alias_catalog(r, n, &c);

	if (rc == 0)
		alias_entry(r, &c, ret);
	return rc;
}

/* `cp -a` and `rsync -a` set owner and times of links; there is nowhere to
 * keep them and nobody misses them. */
static int
alias_set_attr(struct req *r, const struct node *n, const struct set_attr *s,
	       struct handle *h)
{
	struct catalog_entry c;

	(void)s;
	(void)h;
	return alias_catalog(r, n, &c);
}

static int
alias_readlink(struct req *r, const struct node *n, char **ret)
{
	struct catalog_entry c;
	int rc = alias_catalog(r, n, &c);

	if (rc)
		return rc;
	*ret = arena_strndup(r->a, c.target, strlen(c.target));
	return *ret ? 0 : fail(r, ERR_NO_MEMORY, "a name");
}

const struct node_ops alias_ops = {
	.attr = alias_attr,
	.set_attr = alias_set_attr,
	.readlink = alias_readlink,
};
