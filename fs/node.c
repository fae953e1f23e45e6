/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node.h"

#include "engine/base/buf.h"
#include "engine/base/check.h"
#include "engine/collection.h"
#include "fs/node_impl.h"

#include <errno.h>
#include <string.h>

static const struct node_ops *const kinds[NODE_KIND_NR] = {
	[NODE_STATIC] = &static_ops,       [NODE_COLL] = &coll_ops,
	[NODE_CONTROL] = &control_ops,     [NODE_POINT] = &point_ops,
	[NODE_NEAR_ROOT] = &near_root_ops, [NODE_NEAR] = &near_ops,
	[NODE_NEAR_LINK] = &near_link_ops, [NODE_ALIAS] = &alias_ops,
};

const struct node_ops *
node_ops_of(const struct node *n)
{
	if (n->kind == NODE_STATIC && n->no == STATIC_COLLECTIONS)
		return &collections_ops;
	return kinds[n->kind];
}

int
req_stale(struct req *r)
{
	r->errnum = ESTALE;
	return err_set(&r->err, ERR_NOT_FOUND, "the file is gone");
}

int
req_name_long(struct req *r, const char *name)
{
	if (strnlen(name, FS_NAME_MAX + 1) <= FS_NAME_MAX)
		return 0;
	return fail(r, ERR_NAME_LONG, "a name has at most %d bytes",
		    FS_NAME_MAX);
}

int
req_read_only(struct req *r)
{
	if (!r->fs->o->read_only)
		return 0;
	return err_set(&r->err, ERR_READ_ONLY, "mounted read-only");
}

/* --- paths, for people ----------------------------------------------- */

static void
coll_path(struct req *r, uint32_t coll, struct buf *b)
{
	struct catalog_entry e;

	if (db_catalog_find_id(r->fs->db, coll, r->a, &e, NULL) == 0)
		buf_printf(b, "/collections/%s", e.name);
	else
		buf_puts(b, "/collections/?");
}

static void
point_path(struct req *r, const struct node *n, const char *end, struct buf *b)
{
	struct scratch *s = scratch_find_no(&r->fs->scratch, n->coll, n->no);
	char stem[ID_TEXT_MAX + 1];
	struct point_stat st;
	struct id_key id;
	struct coll *c;

	if (s) {
		mutex_lock(&r->fs->scratch.lock);
		buf_printf(b, "/%s", s->name ? s->name : "?");
		mutex_unlock(&r->fs->scratch.lock);
		scratch_unref(&r->fs->scratch, s);
		return;
	}
	if (db_coll_open_id(r->fs->db, n->coll, &c, NULL))
		return;
	if (coll_stat_no(c, n->no, &id, &st, NULL) == 0) {
		id_print(id.b, id.n, stem);
		buf_printf(b, "/%s%s", stem, end);
	}
	coll_close(c);
}

static void
path_print(struct req *r, const struct node *n, const char *name, struct buf *b)
{
	char alias[COLL_NAME_MAX + 1];

	if (n->kind == NODE_STATIC)
		static_path(n->no, b);
	else if (n->kind == NODE_ALIAS)
		buf_printf(
			b, "/collections/%s",
			alias_find(&r->fs->aliases, n->no, alias, sizeof alias)
				? alias
				: "?");
	else
		coll_path(r, n->coll, b);
	if (n->kind == NODE_CONTROL)
		buf_printf(b, "/%s", control_name((enum control)n->no));
	else if (n->kind == NODE_POINT)
		point_path(r, n, ".json", b);
	else if (n->kind >= NODE_NEAR_ROOT && n->kind <= NODE_NEAR_LINK)
		buf_puts(b, "/.near");
	if (n->kind == NODE_NEAR)
		point_path(r, n, "", b);
	if (name)
		buf_printf(b, "/%s", name);
	if (b->n == 0)
		buf_puts(b, "/");
}

void
req_refused(struct req *r, const struct node *n, const char *name)
{
	CLEAN(buf_done) struct buf path = {0};
	struct refusal f = {.op = r->op, .uid = r->uid, .err = &r->err};

	path_print(r, n, name, &path);
	f.path = buf_put_u8(&path, 0) ? "?" : (const char *)path.p;
	f.errnum = r->errnum ? r->errnum : err_errno(-r->err.code);
	errlog_add(&r->fs->errors, &f);
}

/* --- entries --------------------------------------------------------- */

void
entry_init(struct entry *e, enum node_kind kind, uint32_t coll, uint64_t no,
	   uint32_t type_mode)
{
	memset(e, 0, sizeof *e);
	e->ino = node_ino(kind, coll, no);
	e->st.st_ino = e->ino;
	e->st.st_mode = type_mode;
	e->st.st_nlink = S_ISDIR(type_mode) ? 2 : 1;
	e->st.st_blksize = 4096;
	e->entry_s = e->attr_s = LONG_S;
}

static struct timespec
to_timespec(int64_t ns)
{
	int64_t s = ns / 1000000000, rest = ns % 1000000000;

	if (rest < 0) {
		rest += 1000000000;
		s--;
	}
	return (struct timespec){.tv_sec = s, .tv_nsec = rest};
}

void
entry_times(struct entry *e, int64_t mtime_ns, int64_t ctime_ns)
{
	e->st.st_mtim = e->st.st_atim = to_timespec(mtime_ns);
	e->st.st_ctim = to_timespec(ctime_ns);
}

void
entry_size(struct entry *e, uint64_t size)
{
	e->st.st_size = (off_t)size;
	e->st.st_blocks = (blkcnt_t)((size + 511) / 512);
}

int
coll_owner(struct req *r, uint32_t coll, struct owner *ret)
{
	struct catalog_entry c;
	struct coll_memo m;
	int rc;

	memo_get(&r->fs->scratch, coll, &m);
	if (!m.has_owner) {
		rc = db_catalog_find_id(r->fs->db, coll, r->a, &c, &r->err);
		if (rc)
			return req_stale(r);
		m.mode = c.mode;
		m.uid = c.uid;
		m.gid = c.gid;
		memo_set_owner(&r->fs->scratch, coll, c.mode, c.uid, c.gid);
	}
	*ret = (struct owner){m.mode, m.uid, m.gid};
	return 0;
}

uint32_t
mode_ask(uint32_t coll_mode)
{
	uint32_t readers = coll_mode & 0444;

	return readers | readers >> 1;
}

uint32_t
mode_file(uint32_t coll_mode)
{
	return coll_mode & 0666;
}

int
coll_name_parse(struct req *r, const char *name, struct name *ret)
{
	int rc = name_parse(name, ret, &r->err);

	if (!r->fs->o->scratch_only)
		return rc;
	if (rc == 0 && (ret->kind == NAME_CONTROL || ret->kind == NAME_NEAR))
		return 0;
	if (rc == -ERR_NAME_LONG &&
	    strnlen(name, FS_NAME_MAX + 1) > FS_NAME_MAX)
		return rc;
	ret->kind = NAME_SCRATCH;
	return 0;
}

int
dir_fill_dots(struct dir_fill *f, uint64_t self, off_t off)
{
	struct entry e;

	memset(&e, 0, sizeof e);
	e.ino = self;
	e.st.st_ino = self;
	e.st.st_mode = S_IFDIR | 0755;
	if (off < 1 && f->add(f, ".", &e, 1))
		return 1;
	return off < 2 ? f->add(f, "..", &e, 2) : 0;
}
