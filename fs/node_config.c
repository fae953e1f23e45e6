/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control files of a collection: which there are, their attributes, and
 * the two that are texts, .config.json and .status.json.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/text.h"
#include "engine/collection.h"
#include "engine/json/json_config.h"

#include <fcntl.h>
#include <string.h>

/* --- texts ----------------------------------------------------------- */

static int
config_print(struct req *r, struct coll *c, uint64_t no, struct buf *ret)
{
	struct coll_config cfg;
	int rc = coll_config(c, r->a, &cfg, &r->err);

	(void)no;
	return rc ? rc : json_config_print(&cfg, ret);
}

static int
config_commit(struct req *r, struct coll *c, const void *p, size_t n)
{
	int rc = coll_set_config(c, p, n, &r->err);

	if (rc == 0)
		memo_set_config_mtime(&r->fs->scratch, coll_id(c),
				      clock_wall_ns());
	return rc;
}

static const char *
distance_text(enum distance d)
{
	switch (d) {
	case DISTANCE_DOT:
		return "Dot";
	case DISTANCE_EUCLID:
		return "Euclid";
	case DISTANCE_MANHATTAN:
		return "Manhattan";
	default:
		return "Cosine";
	}
}

/* CollectionInfo's config, from what counts here. */
static void
info_config(const struct coll_config *c, struct buf *b)
{
	buf_puts(b, "  \"config\": {\n    \"params\": {\n      \"vectors\": ");
	if (c->size)
		buf_printf(b, "{\"size\": %u, \"distance\": \"%s\"}", c->size,
			   distance_text(c->distance));
	else
		buf_puts(b, "{}");
	buf_printf(b, ",\n      \"shard_number\": %u\n    },\n",
		   c->shard_number);
	buf_printf(b,
		   "    \"hnsw_config\": {\"m\": %u, \"ef_construct\": %u, "
		   "\"full_scan_threshold\": %u},\n",
		   c->hnsw_m, c->hnsw_ef_construct, c->full_scan_threshold_kb);
	buf_printf(b,
		   "    \"optimizer_config\": {\"deleted_threshold\": %g, "
		   "\"indexing_threshold\": %u}\n  },\n",
		   (double)c->deleted_threshold, c->indexing_threshold_kb);
}

static void
info_counts(const struct coll_status *s, struct buf *b)
{
	const char *color = s->error[0] ? "red" : s->busy ? "yellow" : "green";

	buf_printf(b,
		   "{\n  \"status\": \"%s\",\n  \"optimizer_status\": ", color);
	if (s->error[0]) {
		buf_puts(b, "{\"error\": ");
		json_quote(s->error, strlen(s->error), b);
		buf_puts(b, "}");
	} else {
		buf_puts(b, "\"ok\"");
	}
	buf_printf(b,
		   ",\n  \"points_count\": %llu,\n  \"vectors_count\": "
		   "%llu,\n  \"indexed_vectors_count\": %llu,\n"
		   "  \"segments_count\": %u,\n",
		   (unsigned long long)s->points,
		   (unsigned long long)s->vectors,
		   (unsigned long long)s->indexed_vectors, s->segments);
}

static int
status_print(struct req *r, struct coll *c, uint64_t no, struct buf *b)
{
	struct coll_config cfg;
	struct coll_status s;
	struct db_status d;
	int rc = coll_config(c, r->a, &cfg, &r->err);

	(void)no;
	if (rc)
		return rc;
	coll_status(c, &s);
	db_status(r->fs->db, &d);
	info_counts(&s, b);
	info_config(&cfg, b);
	buf_puts(b, "  \"payload_schema\": ");
	json_config_schema(&cfg, b);
	buf_printf(b,
		   ",\n  \"shards\": %u,\n"
		   "  \"deleted_rows\": %llu,\n  \"memory_points\": %llu,\n"
		   "  \"disk_bytes\": %llu,\n",
		   s.shards, (unsigned long long)s.deleted_rows,
		   (unsigned long long)s.memory_points,
		   (unsigned long long)s.disk_bytes);
	buf_printf(b,
		   "  \"log_position\": %llu,\n  \"flushed_position\": "
		   "%llu,\n  \"warnings\": []\n}\n",
		   (unsigned long long)d.last, (unsigned long long)s.flushed);
	return 0;
}

const struct text_kind config_kind = {.print = config_print,
				      .commit = config_commit};
const struct text_kind status_kind = {.print = status_print};

static const struct text_kind *
kind_of(enum control c)
{
	return c == CONTROL_CONFIG   ? &config_kind
	       : c == CONTROL_STATUS ? &status_kind
				     : NULL;
}

/* --- attributes ------------------------------------------------------ */

static uint32_t
control_mode(enum control c, uint32_t coll_mode)
{
	switch (c) {
	case CONTROL_SEARCH:
	case CONTROL_SCROLL:
	case CONTROL_COUNT:
		return mode_ask(coll_mode);
	case CONTROL_STATUS:
		return coll_mode & 0444;
	default:
		return mode_file(coll_mode);
	}
}

static int
control_text(struct req *r, uint32_t coll, enum control k, struct entry *e)
{
	struct catalog_entry ce;
	struct coll_memo m;
	uint64_t size;
	struct coll *c;
	int64_t ns;
	int rc = db_coll_open_id(r->fs->db, coll, &c, &r->err);

	if (rc)
		return rc == -ERR_NOT_FOUND ? req_stale(r) : rc;
	rc = text_size(r, kind_of(k), c, (uint64_t)k, &size);
	coll_close(c);
	if (rc == 0)
		rc = db_catalog_find_id(r->fs->db, coll, r->a, &ce, &r->err);
	if (rc)
		return rc;
	entry_size(e, size);
	memo_get(&r->fs->scratch, coll, &m);
	ns = m.config_mtime_ns ? m.config_mtime_ns : ce.mtime_us * 1000;
	if (k == CONTROL_CONFIG)
		entry_times(e, ns, ns);
	return 0;
}

int
control_entry(struct req *r, uint32_t coll, enum control c, bool plus,
	      struct entry *ret)
{
	struct owner o;
	int64_t now = clock_wall_ns();
	int rc = coll_owner(r, coll, &o);

	if (rc)
		return rc;
	entry_init(ret, NODE_CONTROL, coll, (uint64_t)c,
		   S_IFREG | control_mode(c, o.mode));
	ret->st.st_uid = o.uid;
	ret->st.st_gid = o.gid;
	ret->attr_s = 0;
	entry_times(ret, now, now);
	return plus && kind_of(c) ? control_text(r, coll, c, ret) : 0;
}

static int
control_attr(struct req *r, const struct node *n, struct entry *ret)
{
	if (n->no == 0 || n->no >= CONTROL_NR)
		return req_stale(r);
	return control_entry(r, n->coll, (enum control)n->no, true, ret);
}

/* Shells truncate, and copying tools set times and modes: no effect but for
 * the time of .config.json, by which rsync knows it again. */
static int
control_set_attr(struct req *r, const struct node *n, const struct set_attr *s,
		 struct handle *h)
{
	if ((s->which & SET_MTIME) && n->no == CONTROL_CONFIG)
		memo_set_config_mtime(&r->fs->scratch, n->coll, s->mtime_ns);
	if ((s->which & SET_SIZE) && h && h->ops->truncate)
		return h->ops->truncate(r, h, s->size);
	return 0;
}

static bool
changes_something(uint64_t no)
{
	return no == CONTROL_CONFIG || no == CONTROL_IMPORT;
}

static int
control_open(struct req *r, const struct node *n, int flags,
	     struct handle **ret)
{
	struct coll *c;
	int rc = 0;

	if (n->no == 0 || n->no >= CONTROL_NR)
		return req_stale(r);
	if ((flags & O_ACCMODE) != O_RDONLY && changes_something(n->no))
		rc = req_read_only(r);
	if (rc == 0)
		rc = db_coll_open_id(r->fs->db, n->coll, &c, &r->err);
	if (rc)
		return rc == -ERR_NOT_FOUND ? req_stale(r) : rc;
	if (kind_of((enum control)n->no))
		return text_open(r, kind_of((enum control)n->no), n, c, flags,
				 ret);
	if (n->no == CONTROL_IMPORT)
		return import_open(r, n, c, ret);
	return query_open(r, n, c, ret);
}

const struct node_ops control_ops = {
	.attr = control_attr,
	.set_attr = control_set_attr,
	.open = control_open,
};
