/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collection's directory: points, drafts and scratch files, and the control
 * files, which are found by name and mostly not listed.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/collection.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

void
coll_changed(struct req *r, uint32_t coll)
{
	memo_set_changed(&r->fs->scratch, coll, clock_wall_ns());
}

/* --- finding --------------------------------------------------------- */

static int
control_or_near_entry(struct req *r, uint32_t coll, const struct name *nm,
		      struct entry *ret)
{
	if (nm->kind == NAME_CONTROL)
		return control_entry(r, coll, nm->control, true, ret);
	return near_root_ops.attr(r, &(struct node){NODE_NEAR_ROOT, coll, 0},
				  ret);
}

static int
named_point_entry(struct req *r, struct coll *c, const struct name *nm,
		  struct entry *ret)
{
	struct point_stat st;
	struct owner o;
	int rc = coll_stat(c, &nm->id, &st, &r->err);

	if (rc == 0)
		rc = coll_owner(r, coll_id(c), &o);
	if (rc == 0)
		point_entry(r, &o, coll_id(c), st.no, &st, ret);
	return rc;
}

static int
named_scratch_entry(struct req *r, struct coll *c, const char *name,
		    struct entry *ret)
{
	struct scratch *s = scratch_find(&r->fs->scratch, coll_id(c), name);
	struct owner o;
	int rc;

	if (s == NULL)
		return fail(r, ERR_NOT_FOUND, "no such file");
	rc = coll_owner(r, coll_id(c), &o);
	if (rc == 0)
		scratch_entry(&o, s, ret);
	scratch_unref(&r->fs->scratch, s);
	return rc;
}

static int
file_entry(struct req *r, struct coll *c, const char *name,
	   const struct name *nm, struct entry *ret)
{
	uint64_t commits;
	int rc;

	/* A draft may become a point between the two looks. */
	do {
		commits = r->fs->scratch.commits;
		rc = -ERR_NOT_FOUND;
		if (nm->kind == NAME_POINT)
			rc = named_point_entry(r, c, nm, ret);
		if (rc == -ERR_NOT_FOUND)
			rc = named_scratch_entry(r, c, name, ret);
	} while (rc == -ERR_NOT_FOUND && commits != r->fs->scratch.commits);
	return rc;
}

static int
coll_open_node(struct req *r, uint32_t coll, struct coll **ret)
{
	int rc = db_coll_open_id(r->fs->db, coll, ret, &r->err);

	return rc == -ERR_NOT_FOUND ? req_stale(r) : rc;
}

static bool
is_config(const struct name *nm)
{
	return nm->kind == NAME_CONTROL && nm->control == CONTROL_CONFIG;
}

/*
 * Whether the caller is about to make a file that must not be there.  cp makes
 * a collection's directory and then .config.json with O_EXCL, and so does tar
 * after unlinking it; for them it is not there, and making it configures the
 * collection.  The kernel says nothing of an open's flags in a LOOKUP, but the
 * caller stands in its system call.  Where that cannot be seen, it is there.
 */
static bool
opens_exclusively(pid_t pid)
{
	unsigned long a[4] = {0};
	char path[40];
	long nr = -1;
	int got;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	if (f == NULL)
		return false;
	got = fscanf(f, "%ld %lx %lx %lx %lx", &nr, &a[0], &a[1], &a[2], &a[3]);
	fclose(f);
	if (got == 5 && nr == SYS_openat)
		return (a[2] & O_CREAT) != 0 && (a[2] & O_EXCL) != 0;
#ifdef SYS_open
	if (got == 5 && nr == SYS_open)
		return (a[1] & O_CREAT) != 0 && (a[1] & O_EXCL) != 0;
#endif
	return false;
}

static int
coll_lookup(struct req *r, const struct node *dir, const char *name,
	    struct entry *ret)
{
	struct coll *c;
	struct name nm;
	int rc = coll_name_parse(r, name, &nm);

	if (rc)
		return rc == -ERR_NAME_LONG
			       ? rc
			       : fail(r, ERR_NOT_FOUND, "no such file");
	if (is_config(&nm) && opens_exclusively(r->pid))
		return fail(r, ERR_NOT_FOUND, "no such file");
	if (nm.kind == NAME_CONTROL || nm.kind == NAME_NEAR)
		return control_or_near_entry(r, dir->coll, &nm, ret);
	rc = coll_open_node(r, dir->coll, &c);
	if (rc)
		return rc;
	rc = file_entry(r, c, name, &nm, ret);
	coll_close(c);
	return rc;
}

/* --- the directory itself -------------------------------------------- */

static int
coll_attr(struct req *r, const struct node *n, struct entry *ret)
{
	struct catalog_entry c;
	struct coll_memo m;
	int64_t ns;

	if (db_catalog_find_id(r->fs->db, n->coll, r->a, &c, &r->err))
		return req_stale(r);
	memo_get(&r->fs->scratch, n->coll, &m);
	ns = m.changed_ns ? m.changed_ns : c.mtime_us * 1000;
	entry_init(ret, NODE_COLL, n->coll, 0, S_IFDIR | (c.mode & 07777));
	ret->st.st_uid = c.uid;
	ret->st.st_gid = c.gid;
	entry_times(ret, ns, ns);
	return 0;
}

/* Points take mode and group from here, and the kernel keeps theirs for long:
 * who was let out must not read on. */
static void
points_forget(struct req *r, uint32_t coll)
{
	struct coll_list *list;
	struct id_key id;
	struct coll *c;
	uint64_t pos = 0, no;

	if (coll_open_node(r, coll, &c))
		return;
	if (coll_list_open(c, &list, &r->err) == 0) {
		while (coll_list_next(list, &pos, &id, &no, NULL, &r->err) == 1)
			notify_inode(&r->fs->notify,
				     node_ino(NODE_POINT, coll, no));
		coll_list_close(list);
	}
	coll_close(c);
}

static int
set_owner(struct req *r, uint32_t coll, const struct set_attr *s)
{
	struct owner o, old;
	int rc = coll_owner(r, coll, &o);

	if (rc)
		return rc;
	old = o;
	if (s->which & SET_MODE)
		o.mode = s->mode & 07777;
	if (s->which & SET_UID)
		o.uid = s->uid;
	if (s->which & SET_GID)
		o.gid = s->gid;
	rc = db_coll_set_owner(r->fs->db, coll, o.mode, o.uid, o.gid, &r->err);
	if (rc == 0)
		memo_set_owner(&r->fs->scratch, coll, o.mode, o.uid, o.gid);
	if (rc == 0 &&
	    (mode_file(old.mode) != mode_file(o.mode) || old.gid != o.gid))
		points_forget(r, coll);
	return rc;
}

static int
coll_set_attr(struct req *r, const struct node *n, const struct set_attr *s,
	      struct handle *h)
{
	int rc = req_read_only(r);

	(void)h;
	if (rc == 0 && (s->which & (SET_MODE | SET_UID | SET_GID)))
		rc = set_owner(r, n->coll, s);
	if (rc == 0 && (s->which & SET_MTIME)) {
		rc = db_coll_set_mtime(r->fs->db, n->coll, s->mtime_ns / 1000,
				       &r->err);
		if (rc == 0)
			memo_set_changed(&r->fs->scratch, n->coll, s->mtime_ns);
	}
	return rc;
}

/* --- new files ------------------------------------------------------- */

static int
name_refuse(struct req *r, const char *name, const struct name *nm)
{
	switch (nm->kind) {
	case NAME_NOT_YET:
		return fail(r, ERR_NOT_YET, "%s is not supported yet", name);
	case NAME_RESTORE:
		return fail(r, ERR_NOT_YET,
			    "'%s' is a file of a snapshot: "
			    "restoring by cp comes in a later version",
			    name);
	case NAME_NEAR:
	case NAME_CONTROL:
		return fail(r, ERR_EXISTS, "'%s' is the database's own", name);
	default:
		return 0;
	}
}

static int
new_file(struct req *r, struct coll *c, const char *name, const struct name *nm,
	 uint32_t mode, struct scratch **ret)
{
	int64_t now = clock_wall_ns();
	struct scratch_attr a = {.mode = mode & 07777,
				 .uid = r->uid,
				 .gid = r->gid,
				 .mtime_ns = now,
				 .atime_ns = now,
				 .ctime_ns = now};

	return scratch_create(
		&r->fs->scratch, coll_id(c), coll_take_no(c), name,
		nm->kind == NAME_POINT ? SCRATCH_DRAFT : SCRATCH_FILE, &a, ret,
		&r->err);
}

static int
create_open(struct req *r, struct coll *c_take, struct scratch *s, int flags,
	    struct handle **ret)
{
	if (s->state == SCRATCH_DRAFT)
		return draft_open(r, c_take, s, flags, ret);
	return scratch_open(r, c_take, s, flags, ret);
}

/* The kernel creates what it believes is not there; somebody else may have
 * been faster. */
static int
create_existing(struct req *r, const struct entry *e, int flags,
		struct handle **ret_h)
{
	struct node n;

	if ((flags & O_EXCL) || ret_h == NULL)
		return fail(r, ERR_EXISTS, "it exists");
	node_parse(e->ino, &n);
	return point_open(r, &n, flags, ret_h);
}

static int
create_new(struct req *r, struct coll *c, const char *name,
	   const struct name *nm, uint32_t mode, int flags,
	   struct handle **ret_h, struct entry *ret)
{
	struct scratch *s;
	struct owner o;
	int rc = coll_owner(r, coll_id(c), &o);

	if (rc == 0)
		rc = new_file(r, c, name, nm, mode, &s);
	if (rc)
		return rc;
	scratch_entry(&o, s, ret);
	ret->attr_s = SHORT_S; /* nobody has written to it yet */
	coll_changed(r, coll_id(c));
	if (ret_h) {
		struct coll *own;

		rc = coll_open_node(r, coll_id(c), &own);
		if (rc == 0)
			rc = create_open(r, own, s, flags, ret_h);
	}
	scratch_unref(&r->fs->scratch, s);
	return rc;
}

/* Only for who believed that there is none, see opens_exclusively(). */
static int
config_create(struct req *r, const struct node *dir, int flags,
	      struct handle **ret_h, struct entry *ret)
{
	struct node n = {NODE_CONTROL, dir->coll, CONTROL_CONFIG};
	int rc = control_entry(r, dir->coll, CONTROL_CONFIG, true, ret);

	if (rc == 0 && ret_h)
		rc = control_ops.open(r, &n, flags | O_TRUNC, ret_h);
	return rc;
}

static int
coll_create(struct req *r, const struct node *dir, const char *name,
	    uint32_t mode, int flags, struct handle **ret_h, struct entry *ret)
{
	struct coll *c;
	struct name nm;
	int rc = req_read_only(r);

	if (rc == 0)
		rc = coll_name_parse(r, name, &nm);
	if (rc == 0 && is_config(&nm) && ret_h)
		return config_create(r, dir, flags, ret_h, ret);
	if (rc == 0)
		rc = name_refuse(r, name, &nm);
	if (rc == 0)
		rc = coll_open_node(r, dir->coll, &c);
	if (rc)
		return rc;
	if (file_entry(r, c, name, &nm, ret) == 0)
		rc = create_existing(r, ret, flags, ret_h);
	else
		rc = create_new(r, c, name, &nm, mode, flags, ret_h, ret);
	coll_close(c);
	return rc;
}

static int
coll_mkdir(struct req *r, const struct node *dir, const char *name,
	   uint32_t mode, struct entry *ret)
{
	(void)dir;
	(void)name;
	(void)mode;
	(void)ret;
	return fail(r, ERR_PERM,
		    "a collection holds no directories; to put a "
		    "snapshot in its place: pointfs restore --force");
}

static int
coll_symlink(struct req *r, const struct node *dir, const char *name,
	     const char *target, struct entry *ret)
{
	(void)dir;
	(void)name;
	(void)target;
	(void)ret;
	return fail(r, ERR_PERM,
		    "a collection holds no links; an alias is a "
		    "link in collections/");
}

/* --- removing -------------------------------------------------------- */

static int
scratch_unlink(struct req *r, struct coll *c, const char *name)
{
	struct scratch *s = scratch_find(&r->fs->scratch, coll_id(c), name);
	bool removed;

	if (s == NULL)
		return fail(r, ERR_NOT_FOUND, "no such file");
	scratch_claim(&r->fs->scratch, s);
	removed = s->state != SCRATCH_POINT;
	if (removed)
		scratch_remove(&r->fs->scratch, s);
	scratch_release(&r->fs->scratch, s);
	scratch_unref(&r->fs->scratch, s);
	return removed ? 0 : fail(r, ERR_AGAIN, "it just became a point");
}

static int
file_unlink(struct req *r, struct coll *c, const char *name,
	    const struct name *nm)
{
	int rc;

	do {
		rc = -ERR_NOT_FOUND;
		if (nm->kind == NAME_POINT)
			rc = coll_delete(c, &nm->id, &r->err);
		if (rc == -ERR_NOT_FOUND)
			rc = scratch_unlink(r, c, name);
	} while (rc == -ERR_AGAIN);
	return rc;
}

static int
coll_unlink(struct req *r, const struct node *dir, const char *name)
{
	struct coll *c;
	struct name nm;
	int rc = req_read_only(r);

	if (rc == 0)
		rc = coll_name_parse(r, name, &nm);
	if (rc)
		return rc;
	if (is_config(&nm))
		return 0; /* so that rm -r of a collection works */
	if (nm.kind == NAME_CONTROL || nm.kind == NAME_NEAR)
		return fail(r, ERR_PERM, "'%s' is the database's own", name);
	rc = coll_open_node(r, dir->coll, &c);
	if (rc)
		return rc;
	rc = file_unlink(r, c, name, &nm);
	if (rc == 0)
		coll_changed(r, dir->coll);
	coll_close(c);
	return rc;
}

static int
coll_rmdir(struct req *r, const struct node *dir, const char *name)
{
	(void)dir;
	return fail(r, ERR_NOT_DIR, "'%s' is no directory that can go", name);
}

void
drafts_settle(struct req *r, struct coll *c)
{
	struct scratch_tree *t = &r->fs->scratch;
	struct scratch_entry *e;
	struct coll_memo m;
	struct point_stat st;
	struct name nm;
	uint32_t n;

	memo_get(t, coll_id(c), &m);
	if (m.n_drafts == 0 || scratch_list(t, coll_id(c), r->a, &e, &n, NULL))
		return;
	for (uint32_t i = 0; i < n; i++) {
		if (!e[i].draft || name_parse(e[i].name, &nm, NULL) ||
		    coll_stat(c, &nm.id, &st, NULL))
			continue;
		if (scratch_unlink(r, c, e[i].name) == 0)
			notify_entry(&r->fs->notify,
				     node_ino(NODE_COLL, coll_id(c), 0),
				     e[i].name);
	}
}

/* --- listing --------------------------------------------------------- */

/* Offsets: 1, 2 the dots, then control files, scratch files, points. */
#define OFF_CONTROL 3
#define OFF_SCRATCH 32
#define OFF_POINT   (1ll << 33)

struct list_handle {
	struct handle h;
	struct arena a;
	struct scratch_entry *s;
	uint32_t n_s;
	struct coll_list *list;
};

static int
list_start(struct req *r, struct list_handle *d)
{
	struct scratch_tree *t = &r->fs->scratch;
	struct coll_list *list;
	int rc;

	arena_reset(&d->a);
	/* Scratch files first: a draft that becomes a point meanwhile is
	 * listed twice, not never. */
	rc = scratch_list(t, coll_id(d->h.coll), &d->a, &d->s, &d->n_s,
			  &r->err);
	if (rc == 0)
		rc = coll_list_open(d->h.coll, &list, &r->err);
	if (rc)
		return rc;
	if (d->list)
		coll_list_close(d->list);
	d->list = list;
	return 0;
}

static int
list_controls(struct req *r, struct list_handle *d, off_t off,
	      struct dir_fill *f)
{
	uint32_t coll = coll_id(d->h.coll);
	unsigned last = r->fs->o->show_control ? CONTROL_NR : CONTROL_CONFIG;
	struct entry e;

	for (unsigned i = CONTROL_CONFIG; i <= last; i++) {
		off_t next = OFF_CONTROL + (off_t)i;
		bool near = i == CONTROL_NR;

		if (off >= next)
			continue;
		if (near ? near_root_ops.attr(
				   r, &(struct node){NODE_NEAR_ROOT, coll, 0},
				   &e)
			 : control_entry(r, coll, (enum control)i, f->plus, &e))
			continue;
		if (f->add(f, near ? ".near" : control_name((enum control)i),
			   &e, next))
			return 1;
	}
	return 0;
}

static int
list_scratch(struct req *r, struct list_handle *d, const struct owner *o,
	     off_t off, struct dir_fill *f)
{
	uint32_t coll = coll_id(d->h.coll);
	struct entry e;

	for (off_t i = MAX(off - OFF_SCRATCH, 0); i < d->n_s; i++) {
		struct scratch *s =
			scratch_find_no(&r->fs->scratch, coll, d->s[i].no);
		int full;

		if (s == NULL)
			continue; /* gone, or a point by now */
		scratch_entry(o, s, &e);
		scratch_unref(&r->fs->scratch, s);
		full = f->add(f, d->s[i].name, &e, OFF_SCRATCH + i + 1);
		if (full)
			return 1;
	}
	return 0;
}

static int
list_points(struct req *r, struct list_handle *d, const struct owner *o,
	    off_t off, struct dir_fill *f)
{
	uint64_t pos = (uint64_t)MAX(off - OFF_POINT, 0), no;
	uint32_t coll = coll_id(d->h.coll);
	char name[ID_TEXT_MAX + 8];
	struct point_stat st;
	struct id_key id;
	struct entry e;
	int rc;

	for (;;) {
		rc = coll_list_next(d->list, &pos, &id, &no,
				    f->plus ? &st : NULL, &r->err);
		if (rc <= 0)
			return rc;
		memcpy(name + id_print(id.b, id.n, name), ".json", 6);
		if (f->plus)
			point_entry(r, o, coll, no, &st, &e);
		else
			entry_init(&e, NODE_POINT, coll, no, S_IFREG);
		if (f->add(f, name, &e, OFF_POINT + (off_t)pos))
			return 0;
	}
}

/* Without a lock: the kernel reads one open directory in one thread at a time,
 * and the lock of a handle comes after that of the scratch files. */
static int
list_readdir(struct req *r, struct handle *h, off_t off, struct dir_fill *f)
{
	struct list_handle *d = (struct list_handle *)h;
	struct owner o;
	int rc = coll_owner(r, coll_id(h->coll), &o);

	if (rc == 0 && (d->list == NULL || off == 0))
		rc = list_start(r, d);
	if (rc == 0 && dir_fill_dots(f, h->ino, off) == 0 &&
	    list_controls(r, d, off, f) == 0 &&
	    list_scratch(r, d, &o, off, f) == 0)
		rc = list_points(r, d, &o, off, f);
	return rc;
}

static void
list_release(struct req *r, struct handle *h)
{
	struct list_handle *d = (struct list_handle *)h;

	(void)r;
	if (d->list)
		coll_list_close(d->list);
	arena_done(&d->a);
	handle_free(h);
}

static const struct handle_ops list_ops = {
	.readdir = list_readdir,
	.release = list_release,
};

static int
coll_opendir(struct req *r, const struct node *n, struct handle **ret)
{
	struct coll *c;
	int rc = coll_open_node(r, n->coll, &c);

	if (rc)
		return rc;
	*ret = handle_new(sizeof(struct list_handle), &list_ops,
			  node_ino(n->kind, n->coll, n->no), c);
	return *ret ? 0 : fail(r, ERR_NO_MEMORY, "an open directory");
}

const struct node_ops coll_ops = {
	.lookup = coll_lookup,
	.attr = coll_attr,
	.set_attr = coll_set_attr,
	.opendir = coll_opendir,
	.create = coll_create,
	.mkdir = coll_mkdir,
	.symlink = coll_symlink,
	.unlink = coll_unlink,
	.rmdir = coll_rmdir,
};
