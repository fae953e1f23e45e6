/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The top of the mount: directories and files that are always there.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/counters.h"
#include "engine/base/text.h"
#include "engine/collection.h"

#include <string.h>

static const struct static_file {
	enum static_node parent;
	const char *name;
	uint32_t mode;
} files[STATIC_NR] = {
	[STATIC_ROOT] = {STATIC_ROOT, "", S_IFDIR | 0755},
	[STATIC_README] = {STATIC_ROOT, "README.md", S_IFREG | 0444},
	[STATIC_CONFIG] = {STATIC_ROOT, "config.json", S_IFREG | 0644},
	[STATIC_STATUS] = {STATIC_ROOT, "status.json", S_IFREG | 0444},
	[STATIC_ERRORS] = {STATIC_ROOT, "errors.jsonl", S_IFREG | 0444},
	[STATIC_METRICS] = {STATIC_ROOT, "metrics.prom", S_IFREG | 0444},
	[STATIC_COLLECTIONS] = {STATIC_ROOT, "collections", S_IFDIR | 0755},
	[STATIC_SNAPSHOTS] = {STATIC_ROOT, "snapshots", S_IFDIR | 0755},
	[STATIC_SNAPSHOTS_COLLECTIONS] = {STATIC_SNAPSHOTS, "collections",
					  S_IFDIR | 0755},
	[STATIC_SNAPSHOTS_SHARDS] = {STATIC_SNAPSHOTS, "shards",
				     S_IFDIR | 0755},
	[STATIC_SNAPSHOTS_FULL] = {STATIC_SNAPSHOTS, "full", S_IFDIR | 0755},
	[STATIC_HISTORY] = {STATIC_ROOT, "history", S_IFDIR | 0755},
	[STATIC_CLUSTER] = {STATIC_ROOT, "cluster", S_IFDIR | 0755},
	[STATIC_CLUSTER_STATUS] = {STATIC_CLUSTER, "status.json",
				   S_IFREG | 0444},
};

void
static_path(uint64_t no, struct buf *b)
{
	if (no <= STATIC_ROOT || no >= STATIC_NR)
		return;
	static_path(files[no].parent, b);
	buf_printf(b, "/%s", files[no].name);
}

/* --- texts ----------------------------------------------------------- */

static void
quote(struct buf *b, const char *s)
{
	json_quote(s, strlen(s), b);
}

static int
status_print(struct req *r, struct buf *b)
{
	double up = (double)(clock_mono_ns() - r->fs->started_ns) / 1e9;
	struct db_status s;

	db_status(r->fs->db, &s);
	buf_puts(b, "{\n  \"version\": \"" POINTFS_VERSION "\",\n");
	buf_printf(b, "  \"uptime\": %.3f,\n  \"collections\": %u,\n", up,
		   s.n_collections);
	buf_printf(b,
		   "  \"log_position\": %llu,\n  \"log_durable\": %llu,\n"
		   "  \"log_first\": %llu,\n  \"log_bytes\": %llu,\n",
		   (unsigned long long)s.last, (unsigned long long)s.durable,
		   (unsigned long long)s.first,
		   (unsigned long long)s.wal_bytes);
	buf_printf(b, "  \"read_only\": %s,\n",
		   s.read_only || r->fs->o->read_only ? "true" : "false");
	if (s.lost_from)
		buf_printf(b, "  \"log_lost\": [%llu, %llu],\n",
			   (unsigned long long)s.lost_from,
			   (unsigned long long)s.lost_to);
	buf_printf(b, "  \"scratch_bytes\": %llu,\n  \"settings\": ",
		   (unsigned long long)r->fs->scratch.used);
	mutex_lock(&r->fs->note_lock);
	json_quote(r->fs->note.p ? r->fs->note.p : (const void *)"",
		   r->fs->note.n, b);
	mutex_unlock(&r->fs->note_lock);
	buf_puts(b, ",\n  \"warnings\": [");
	if (s.warning[0])
		quote(b, s.warning);
	buf_puts(b, "]\n}\n");
	return 0;
}

static void
gauge(struct buf *b, const char *name, const char *help, uint64_t v)
{
	buf_printf(b,
		   "# HELP pointfs_%s %s.\n# TYPE pointfs_%s gauge\n"
		   "pointfs_%s %llu\n",
		   name, help, name, name, (unsigned long long)v);
}

/* Sums over all collections; one that does not open is left out. */
static void
points_gauges(struct req *r, struct buf *b)
{
	uint64_t points = 0, segments = 0, disk = 0;
	struct catalog_entry *e;
	struct coll_status cs;
	struct coll *c;
	uint32_t n;

	if (db_catalog_list(r->fs->db, r->a, &e, &n, &r->err))
		return;
	for (uint32_t i = 0; i < n; i++) {
		if (e[i].target ||
		    db_coll_open_id(r->fs->db, e[i].id, &c, NULL))
			continue;
		coll_status(c, &cs);
		points += cs.points;
		segments += cs.segments;
		disk += cs.disk_bytes;
		coll_close(c);
	}
	gauge(b, "points", "Points in all collections", points);
	gauge(b, "segments", "Segments in all collections", segments);
	gauge(b, "segment_bytes", "Bytes of segment files", disk);
}

static int
metrics_print(struct req *r, struct buf *b)
{
	struct db_status s;

	for (unsigned i = 0; i < COUNTER_NR; i++) {
		const char *name = counter_name((enum counter)i);

		buf_printf(b,
			   "# HELP pointfs_%s_total %s.\n"
			   "# TYPE pointfs_%s_total counter\n"
			   "pointfs_%s_total %llu\n",
			   name, counter_help((enum counter)i), name, name,
			   (unsigned long long)counters[i]);
	}
	db_status(r->fs->db, &s);
	gauge(b, "collections", "Collections", s.n_collections);
	gauge(b, "log_position", "Number of the last log record", s.last);
	gauge(b, "log_durable", "Last log record on the disk", s.durable);
	gauge(b, "log_file_bytes", "Bytes of the log's files", s.wal_bytes);
	gauge(b, "read_only", "1 when nothing can be written", s.read_only);
	gauge(b, "scratch_bytes", "Bytes in scratch files",
	      r->fs->scratch.used);
	points_gauges(r, b);
	return 0;
}

static int
settings_print(struct req *r, struct buf *b)
{
	const struct settings_hooks *h = &r->fs->o->settings;

	return h->print ? h->print(h->arg, b) : buf_puts(b, "{}\n");
}

static int
settings_commit(struct req *r, struct coll *c, const void *p, size_t n)
{
	const struct settings_hooks *h = &r->fs->o->settings;
	CLEAN(buf_done) struct buf note = {0};
	struct buf old;
	int rc = req_read_only(r);

	(void)c;
	if (rc)
		return rc;
	if (h->merge == NULL)
		return fail(r, ERR_NOT_YET, "settings cannot be changed here");
	rc = h->merge(h->arg, p, n, &note, &r->err);
	if (rc)
		return rc;
	mutex_lock(&r->fs->note_lock);
	old = r->fs->note;
	r->fs->note = note;
	note = old;
	mutex_unlock(&r->fs->note_lock);
	return 0;
}

static int
text_print(struct req *r, struct coll *c, uint64_t no, struct buf *b)
{
	(void)c;
	switch (no) {
	case STATIC_README:
		return readme_print(b);
	case STATIC_CONFIG:
		return settings_print(r, b);
	case STATIC_STATUS:
		return status_print(r, b);
	case STATIC_ERRORS:
		return errlog_print(&r->fs->errors, r->uid, b);
	case STATIC_METRICS:
		return metrics_print(r, b);
	default:
		return buf_puts(b, "{\"status\": \"disabled\"}\n");
	}
}

static const struct text_kind static_text = {.print = text_print};
static const struct text_kind settings_text = {.print = text_print,
					       .commit = settings_commit};

/* --- operations ------------------------------------------------------ */

static int
static_entry(struct req *r, uint64_t no, struct entry *e)
{
	int64_t now = clock_wall_ns();
	uint64_t size;
	int rc;

	if (no == 0 || no >= STATIC_NR)
		return req_stale(r);
	entry_init(e, NODE_STATIC, 0, no, files[no].mode);
	e->st.st_uid = r->fs->uid;
	e->st.st_gid = r->fs->gid;
	entry_times(e, r->fs->names_ns, r->fs->names_ns);
	if (S_ISDIR(files[no].mode))
		return 0;
	rc = text_size(r, &static_text, NULL, no, &size);
	if (rc)
		return rc;
	entry_size(e, size);
	if (no != STATIC_README && no != STATIC_CONFIG &&
	    no != STATIC_CLUSTER_STATUS)
		entry_times(e, now, now);
	e->attr_s = 0;
	return 0;
}

static int
static_attr(struct req *r, const struct node *n, struct entry *ret)
{
	struct db_status s;
	int rc = static_entry(r, n->no, ret);

	if (rc == 0 && n->no == STATIC_COLLECTIONS) {
		db_status(r->fs->db, &s);
		ret->st.st_nlink = 2 + s.n_collections;
	}
	return rc;
}

static int
static_lookup(struct req *r, const struct node *dir, const char *name,
	      struct entry *ret)
{
	for (unsigned i = STATIC_ROOT + 1; i < STATIC_NR; i++)
		if (files[i].parent == dir->no &&
		    strcmp(files[i].name, name) == 0)
			return static_attr(r, &(struct node){NODE_STATIC, 0, i},
					   ret);
	return fail(r, ERR_NOT_FOUND, "no such file");
}

/* Only config.json is written at all; `>` truncates it, which means nothing
 * until a body comes. */
static int
static_set_attr(struct req *r, const struct node *n, const struct set_attr *s,
		struct handle *h)
{
	if (n->no == STATIC_CONFIG &&
	    (s->which & ~(SET_SIZE | SET_MTIME | SET_ATIME)) == 0) {
		if (h && (s->which & SET_SIZE) && h->ops->truncate)
			return h->ops->truncate(r, h, s->size);
		return 0;
	}
	return fail(r, ERR_PERM, "this file is made by the database");
}

static int
static_open(struct req *r, const struct node *n, int flags, struct handle **ret)
{
	const struct text_kind *k =
		n->no == STATIC_CONFIG ? &settings_text : &static_text;

	if (n->no == 0 || n->no >= STATIC_NR)
		return req_stale(r);
	return text_open(r, k, n, NULL, flags, ret);
}

static int
static_readdir(struct req *r, struct handle *h, off_t off, struct dir_fill *f)
{
	struct entry e;
	struct node dir;

	node_parse(h->ino, &dir);
	if (dir_fill_dots(f, h->ino, off))
		return 0;
	for (unsigned i = STATIC_ROOT + 1; i < STATIC_NR; i++) {
		struct node n = {NODE_STATIC, 0, i};

		if (files[i].parent != dir.no || off >= (off_t)i + 2)
			continue;
		if (static_attr(r, &n, &e) == 0 &&
		    f->add(f, files[i].name, &e, (off_t)i + 2))
			break;
	}
	return 0;
}

static void
static_release(struct req *r, struct handle *h)
{
	(void)r;
	handle_free(h);
}

static const struct handle_ops static_dir_ops = {
	.readdir = static_readdir,
	.release = static_release,
};

static int
static_opendir(struct req *r, const struct node *n, struct handle **ret)
{
	*ret = handle_new(sizeof(**ret), &static_dir_ops,
			  node_ino(n->kind, n->coll, n->no), NULL);
	return *ret ? 0 : fail(r, ERR_NO_MEMORY, "an open directory");
}

static bool
in_snapshots(uint64_t no)
{
	return (no >= STATIC_SNAPSHOTS && no <= STATIC_SNAPSHOTS_FULL) ||
	       no == STATIC_HISTORY;
}

static int
refuse(struct req *r, const struct node *dir)
{
	if (in_snapshots(dir->no))
		return fail(r, ERR_READ_ONLY,
			    "snapshots and history come in a later version");
	return fail(r, ERR_PERM, "collections are made in collections/");
}

static int
static_create(struct req *r, const struct node *dir, const char *name,
	      uint32_t mode, int flags, struct handle **ret_h,
	      struct entry *ret)
{
	(void)name;
	(void)mode;
	(void)flags;
	(void)ret_h;
	(void)ret;
	return refuse(r, dir);
}

static int
static_mkdir(struct req *r, const struct node *dir, const char *name,
	     uint32_t mode, struct entry *ret)
{
	(void)name;
	(void)mode;
	(void)ret;
	return refuse(r, dir);
}

static int
static_symlink(struct req *r, const struct node *dir, const char *name,
	       const char *target, struct entry *ret)
{
	(void)name;
	(void)target;
	(void)ret;
	return refuse(r, dir);
}

static int
static_unlink(struct req *r, const struct node *dir, const char *name)
{
	(void)name;
	return refuse(r, dir);
}

const struct node_ops static_ops = {
	.lookup = static_lookup,
	.attr = static_attr,
	.set_attr = static_set_attr,
	.open = static_open,
	.opendir = static_opendir,
	.create = static_create,
	.mkdir = static_mkdir,
	.symlink = static_symlink,
	.unlink = static_unlink,
	.rmdir = static_unlink,
};
