/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rename(2) in and between collections.
 *
 *	from \ to     <id>.json            other name         .config.json
 *	point         moved, id rewritten  becomes scratch    refused
 *	scratch       stored as a point    renamed            merged
 *	empty, draft  a draft              scratch            refused
 *
 * Storing a scratch file as a point is how editors and rsync save: the
 * document is checked here, and the old point stays when it is wrong.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/collection.h"
#include "engine/json/json_point.h"

#include <string.h>

struct side {
	const char *file;
	struct name name;
	struct coll *c;
	struct scratch *s; /* referenced; NULL: none of this name */
	bool point;        /* there is a point of this name */
	struct point_stat st;
};

static int
side_load(struct req *r, uint32_t coll, const char *file, struct side *sd)
{
	int rc;

	sd->file = file;
	rc = coll_name_parse(r, file, &sd->name);
	if (rc == 0)
		rc = db_coll_open_id(r->fs->db, coll, &sd->c, &r->err);
	if (rc)
		return rc;
	if (sd->name.kind == NAME_POINT)
		sd->point = coll_stat(sd->c, &sd->name.id, &sd->st, NULL) == 0;
	if (!sd->point)
		sd->s = scratch_find(&r->fs->scratch, coll, file);
	return 0;
}

static void
side_done(struct req *r, struct side *sd)
{
	scratch_unref(&r->fs->scratch, sd->s);
	coll_close(sd->c);
}

static bool
exists(const struct side *sd)
{
	return sd->point || sd->s;
}

/* A scratch file or draft that a point has replaced. */
static void
drop_scratch(struct req *r, const struct side *sd)
{
	if (sd->s)
		scratch_remove(&r->fs->scratch, sd->s);
}

/* A file that changes its collection changes its inode, which the kernel
 * does not expect of a rename. */
static void
tell_moved(struct req *r, const struct side *from, const struct side *to)
{
	if (coll_id(from->c) != coll_id(to->c))
		notify_entry(&r->fs->notify,
			     node_ino(NODE_COLL, coll_id(to->c), 0), to->file);
}

/* --- a point --------------------------------------------------------- */

/* Before a rename: the point that stands at its target will be replaced. */
static void
note_replaced(struct req *r, const struct side *to)
{
	struct point_stat st;

	if (coll_stat(to->c, &to->name.id, &st, NULL))
		return;
	points_heat(&r->fs->handles);
	replaced_add(&r->fs->replaced,
		     node_ino(NODE_POINT, coll_id(to->c), st.no), &to->name.id);
}

static int
point_to_point(struct req *r, struct side *from, struct side *to,
	       unsigned flags)
{
	int rc;

	note_replaced(r, to);
	rc = coll_move(from->c, &from->name.id, to->c, &to->name.id,
		       flags & RENAME_FLAG_NOREPLACE, &r->err);
	if (rc)
		return rc;
	drop_scratch(r, to);
	tell_moved(r, from, to);
	return 0;
}

static int
point_text(struct req *r, struct side *sd, struct buf *ret)
{
	struct point p;
	int rc = coll_get(sd->c, &sd->name.id, r->a, &p, &r->err);

	return rc ? rc : json_point_render(&p, ret, &r->err);
}

static int
scratch_of_point(struct req *r, struct side *from, struct side *to,
		 const struct buf *text, struct scratch **ret)
{
	bool same = coll_id(from->c) == coll_id(to->c);
	struct scratch_tree *t = &r->fs->scratch;
	struct scratch_attr at = {.uid = from->st.uid, .has_mtime = true};
	struct owner o;
	int rc = coll_owner(r, coll_id(from->c), &o);

	if (rc)
		return rc;
	at.mode = mode_file(o.mode);
	at.gid = o.gid;
	drop_scratch(r, to);
	rc = scratch_create(t, coll_id(to->c),
			    same ? from->st.no : coll_take_no(to->c), to->file,
			    SCRATCH_FILE, &at, ret, &r->err);
	if (rc)
		return rc;
	rc = scratch_write(t, *ret, text->p, text->n, 0, false, &r->err);
	at.mtime_ns = at.atime_ns = from->st.mtime_ns;
	at.ctime_ns = clock_wall_ns();
	scratch_attr_set(*ret, &at);
	return rc;
}

/* vim's backup, `mv 42.json 42.json~`: the bytes stay, the point goes. */
static int
point_to_scratch(struct req *r, struct side *from, struct side *to)
{
	CLEAN(buf_done) struct buf text = {0};
	struct scratch *s = NULL;
	int rc = point_text(r, from, &text);

	if (rc == 0)
		rc = scratch_of_point(r, from, to, &text, &s);
	if (rc == 0)
		rc = coll_delete(from->c, &from->name.id, &r->err);
	if (rc && s)
		scratch_remove(&r->fs->scratch, s);
	scratch_unref(&r->fs->scratch, s);
	if (rc == 0)
		tell_moved(r, from, to);
	return rc;
}

/* --- a scratch file -------------------------------------------------- */

static int
scratch_text(struct req *r, struct scratch *s, struct slice *ret)
{
	struct scratch_attr at;
	uint64_t size = scratch_attr_get(s, &at);
	void *p;

	if (size > r->fs->max_point_bytes)
		return fail(r, ERR_TOO_BIG,
			    "a point has at most %llu bytes "
			    "(max_point_bytes)",
			    (unsigned long long)r->fs->max_point_bytes);
	p = arena_alloc(r->a, size ? size : 1);
	if (p == NULL)
		return fail(r, ERR_NO_MEMORY, "a point");
	ret->p = p;
	return scratch_read(s, p, size, 0, &ret->n, &r->err);
}

static uint64_t
number_for(struct scratch *s, struct coll *c)
{
	return s->coll == coll_id(c) ? s->no : coll_take_no(c);
}

static int
put_text(struct req *r, struct side *from, struct side *to, struct slice text,
	 unsigned flags)
{
	struct put_opts o = {.mode = flags & RENAME_FLAG_NOREPLACE ? PUT_INSERT
								   : PUT_UPSERT,
			     .no = number_for(from->s, to->c)};
	struct scratch_attr at;
	struct point p;
	int rc = json_point_parse(text.p, text.n, &to->name.id, false, r->a, &p,
				  &r->err);

	if (rc)
		return rc;
	scratch_attr_get(from->s, &at);
	p.mtime_ns = at.mtime_ns;
	p.uid = at.uid;
	note_replaced(r, to);
	return coll_put(to->c, &p, &o, &r->err);
}

static int
scratch_move(struct req *r, struct side *from, struct side *to,
	     enum scratch_state state)
{
	int rc = scratch_rename(&r->fs->scratch, from->s, coll_id(to->c),
				number_for(from->s, to->c), to->file, state,
				&r->err);

	if (rc == 0)
		tell_moved(r, from, to);
	return rc;
}

/* The file is claimed. */
static int
scratch_to_point(struct req *r, struct side *from, struct side *to,
		 unsigned flags)
{
	struct slice text;
	int rc = scratch_text(r, from->s, &text);

	if (rc)
		return rc;
	if (text.n == 0 && to->point)
		return fail(r, ERR_JSON, "an empty file is no point");
	if (text.n == 0)
		return scratch_move(r, from, to, SCRATCH_DRAFT);
	rc = put_text(r, from, to, text, flags);
	if (rc)
		return rc;
	scratch_became_point(&r->fs->scratch, from->s);
	drop_scratch(r, to);
	tell_moved(r, from, to);
	return 0;
}

static int
scratch_to_config(struct req *r, struct side *from, struct side *to)
{
	struct scratch_attr at;
	struct slice text;
	int rc = scratch_text(r, from->s, &text);

	if (rc == 0)
		rc = coll_set_config(to->c, text.p, text.n, &r->err);
	if (rc)
		return rc;
	scratch_attr_get(from->s, &at);
	memo_set_config_mtime(&r->fs->scratch, coll_id(to->c), at.mtime_ns);
	scratch_remove(&r->fs->scratch, from->s);
	return 0;
}

static int
scratch_claimed_rename(struct req *r, struct side *from, struct side *to,
		       unsigned flags)
{
	switch (to->name.kind) {
	case NAME_POINT:
		return scratch_to_point(r, from, to, flags);
	case NAME_SCRATCH:
		if (to->s == NULL && to->point)
			return fail(r, ERR_EXISTS, "a point of this name");
		return scratch_move(r, from, to, SCRATCH_FILE);
	default:
		return scratch_to_config(r, from, to);
	}
}

static int
scratch_rename_any(struct req *r, struct side *from, struct side *to,
		   unsigned flags)
{
	struct scratch_tree *t = &r->fs->scratch;
	int rc;

	scratch_claim(t, from->s);
	if (from->s->name == NULL)
		rc = fail(r, ERR_AGAIN, "it just became a point");
	else
		rc = scratch_claimed_rename(r, from, to, flags);
	scratch_release(t, from->s);
	return rc;
}

/* --- exchange -------------------------------------------------------- */

static int
exchange(struct req *r, struct side *a, struct side *b)
{
	int rc;

	if (!exists(b))
		return fail(r, ERR_NOT_FOUND, "nothing to exchange with");
	if (a->point && b->point) {
		rc = coll_exchange(a->c, &a->name.id, b->c, &b->name.id,
				   &r->err);
		if (rc == 0) {
			tell_moved(r, a, b);
			tell_moved(r, b, a);
		}
		return rc;
	}
	if (a->s && b->s && a->s->coll == b->s->coll &&
	    a->s->state == b->s->state) {
		scratch_exchange(&r->fs->scratch, a->s, b->s);
		return 0;
	}
	return fail(r, ERR_NAME,
		    "only two points, or two scratch files, can "
		    "be exchanged");
}

/* --- all together ---------------------------------------------------- */

static int
names_check(struct req *r, const struct side *from, const struct side *to,
	    unsigned flags)
{
	if (from->name.kind == NAME_CONTROL || from->name.kind == NAME_NEAR)
		return fail(r, ERR_PERM, "'%s' cannot be renamed", from->file);
	if (!exists(from))
		return fail(r, ERR_NOT_FOUND, "no such file");
	if ((flags & RENAME_FLAG_NOREPLACE) &&
	    (exists(to) || to->name.kind == NAME_CONTROL))
		return fail(r, ERR_EXISTS, "'%s' exists", to->file);
	switch (to->name.kind) {
	case NAME_POINT:
	case NAME_SCRATCH:
		return 0;
	case NAME_CONTROL:
		if (to->name.control == CONTROL_CONFIG && from->s)
			return 0;
		return fail(r, ERR_PERM, "'%s' is the database's own",
			    to->file);
	case NAME_NEAR:
		return fail(r, ERR_PERM, "'%s' is the database's own",
			    to->file);
	default:
		return fail(r, ERR_NOT_YET, "'%s' is not supported yet",
			    to->file);
	}
}

static int
rename_sides(struct req *r, struct side *from, struct side *to, unsigned flags)
{
	int rc = names_check(r, from, to, flags);

	if (rc)
		return rc;
	if (flags & RENAME_FLAG_EXCHANGE)
		return exchange(r, from, to);
	if (!from->point)
		return scratch_rename_any(r, from, to, flags);
	if (to->name.kind == NAME_POINT)
		return point_to_point(r, from, to, flags);
	return point_to_scratch(r, from, to);
}

int
coll_file_rename(struct req *r, uint32_t from_coll, const char *from,
		 uint32_t to_coll, const char *to, unsigned flags)
{
	int rc = req_read_only(r);

	if (rc)
		return rc;
	do {
		struct side a = {0}, b = {0};

		rc = side_load(r, from_coll, from, &a);
		if (rc == 0)
			rc = side_load(r, to_coll, to, &b);
		if (rc == 0)
			rc = rename_sides(r, &a, &b, flags);
		side_done(r, &a);
		side_done(r, &b);
	} while (rc == -ERR_AGAIN);
	if (rc == 0) {
		coll_changed(r, from_coll);
		coll_changed(r, to_coll);
	}
	return rc;
}
