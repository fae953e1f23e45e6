/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .import: many points from one stream of any length.
 *
 * Values are found as bytes come, and put in batches, so that memory is
 * bounded by one value and one batch.  A value that is refused does not stop
 * the rest; its number and reason are in the report, which reading the same
 * open file gives.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/text.h"
#include "engine/collection.h"
#include "engine/json/json_import.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_POINTS 1000
#define BATCH_BYTES  (1u << 20)
#define ERRORS_TOLD  1000

struct told { /* one element of the report's list */
	uint64_t line;
	char *text;
};

struct import_handle {
	struct handle h;
	/* the handle's lock */
	struct json_feed feed;
	struct buf value;
	bool skipping;       /* the rest of a line that is no JSON */
	uint64_t line;       /* of the next byte */
	uint64_t value_line; /* where value began */
	struct arena a;      /* of the batch */
	struct point *p;     /* [BATCH_POINTS] */
	uint64_t *lines;
	int *rcs;
	struct err *errs;
	uint32_t n;
	uint64_t old_no; /* points below this may be in the kernel */
	uint64_t accepted, refused, untold;
	int64_t start_ns;
	struct told *told; /* [ERRORS_TOLD] */
	uint32_t n_told;
	struct buf answer;
	bool fresh;
	off_t base;
	struct req *r; /* the request that is being answered */
	int broken;    /* why a whole batch was refused */
};

static void
refuse(struct import_handle *m, uint64_t line, const struct err *e)
{
	struct req *r = m->r;
	struct node n;

	m->untold++;
	m->refused++;
	if (m->n_told < ERRORS_TOLD) {
		char *text = strdup(err_text(e));

		if (text)
			m->told[m->n_told++] = (struct told){line, text};
	}
	r->err = *e;
	err_in(&r->err, -e->code, "line %llu", (unsigned long long)line);
	node_parse(m->h.ino, &n);
	req_refused(r, &n, NULL);
}

/* --- batches --------------------------------------------------------- */

/* What the kernel may know of a point that was there before. */
static void
tell_kernel(struct import_handle *m, uint64_t no)
{
	uint64_t ino = node_ino(NODE_POINT, coll_id(m->h.coll), no);

	if (no >= m->old_no)
		return;
	open_points_set_stale(&m->r->fs->handles, ino);
	notify_inode(&m->r->fs->notify, ino);
}

/* Who reads a point that this batch replaces must not mix versions. */
static void
heat_replaced(struct import_handle *m)
{
	struct point_stat st;

	for (uint32_t i = 0; i < m->n; i++)
		if (coll_stat(m->h.coll, &m->p[i].id, &st, NULL) == 0) {
			points_heat(&m->r->fs->handles);
			return;
		}
}

static void
batch_put(struct import_handle *m)
{
	struct err err = {0};
	int rc;

	if (m->n == 0)
		return;
	heat_replaced(m);
	rc = coll_put_many(m->h.coll, m->p, m->n, m->rcs, m->errs, &err);
	if (rc)
		m->broken = rc;
	for (uint32_t i = 0; i < m->n; i++) {
		if (rc == 0 && m->rcs[i] == 0) {
			m->accepted++;
			tell_kernel(m, m->p[i].no);
		} else {
			refuse(m, m->lines[i], rc ? &err : &m->errs[i]);
		}
	}
	m->n = 0;
}

static int
sink_put(void *arg, struct point *p, struct err *err)
{
	struct import_handle *m = arg;

	(void)err;
	p->mtime_ns = clock_wall_ns();
	p->uid = m->r->uid;
	m->p[m->n] = *p;
	m->lines[m->n++] = m->value_line;
	if (m->n == BATCH_POINTS)
		batch_put(m);
	return 0;
}

static void
sink_refuse(void *arg, uint64_t line, const struct err *err)
{
	refuse(arg, line, err);
}

static void
value_end(struct import_handle *m)
{
	struct import_sink sink = {sink_put, sink_refuse, m};
	struct err err = {0};
	int rc = json_import_body(m->value.p, m->value.n, m->value_line, &m->a,
				  &sink, &err);

	if (rc)
		refuse(m, m->value_line, &err);
	if (m->a.used >= BATCH_BYTES)
		batch_put(m);
	if (m->n == 0)
		arena_reset(&m->a);
	buf_clear(&m->value);
	memset(&m->feed, 0, sizeof m->feed);
}

/* --- values ---------------------------------------------------------- */

static uint64_t
newlines(const uint8_t *p, size_t n)
{
	uint64_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += p[i] == '\n';
	return k;
}

/* To the next line, or over blanks to the next value. */
static size_t
skip(struct import_handle *m, const uint8_t *p, size_t n)
{
	size_t i = 0;

	for (; i < n; i++) {
		if (p[i] == '\n') {
			m->line++;
			m->skipping = false;
		} else if (!m->skipping && p[i] != ' ' && p[i] != '\t' &&
			   p[i] != '\r') {
			break;
		}
	}
	return i;
}

static void
value_drop(struct import_handle *m, const struct err *err)
{
	refuse(m, m->value_line, err);
	buf_clear(&m->value);
	memset(&m->feed, 0, sizeof m->feed);
	m->skipping = true;
}

static size_t
value_bytes(struct import_handle *m, const uint8_t *p, size_t n)
{
	struct err err = {0};
	size_t used;
	int rc = json_feed(&m->feed, p, n, JSON_DEPTH_MAX, &used, &err);

	if (rc >= 0 && m->value.n + used > BODY_MAX)
		rc = err_set(&err, ERR_TOO_BIG, "a body has at most %u bytes",
			     BODY_MAX);
	if (rc >= 0 && buf_put(&m->value, p, used))
		rc = err_set(&err, ERR_NO_MEMORY, "a body");
	if (rc < 0) {
		value_drop(m, &err);
		return 0;
	}
	m->line += newlines(p, used);
	if (rc == JSON_WHOLE)
		value_end(m);
	return used;
}

static int
import_write(struct req *r, struct handle *h, const void *bytes, size_t n,
	     off_t off)
{
	struct import_handle *m = (struct import_handle *)h;
	const uint8_t *p = bytes;
	size_t at = 0;
	int rc;

	(void)off;
	mutex_lock(&h->lock);
	m->r = r;
	m->fresh = true;
	if (m->start_ns == 0)
		m->start_ns = clock_mono_ns();
	while (at < n && m->broken == 0) {
		if (m->value.n == 0) {
			at += skip(m, p + at, n - at);
			m->value_line = m->line;
		}
		if (at < n)
			at += value_bytes(m, p + at, n - at);
	}
	rc = m->broken;
	m->broken = 0;
	mutex_unlock(&h->lock);
	return rc;
}

/* --- the report ------------------------------------------------------ */

static int
import_end(struct req *r, struct import_handle *m, bool final)
{
	struct err err = {0};
	int rc = 0;

	m->r = r;
	if (m->value.n > 0) {
		/* A bare number, or a value that is not whole. */
		if (json_feed(&m->feed, "\n", 1, JSON_DEPTH_MAX, NULL, NULL) ==
		    JSON_WHOLE) {
			value_end(m);
		} else {
			rc = err_set(&err, ERR_JSON, "the text ends too early");
			if (final)
				value_drop(m, &err);
		}
		if (final)
			m->skipping = false;
	}
	batch_put(m);
	arena_reset(&m->a);
	if (rc)
		r->err = err;
	return rc;
}

/* Without the handle's lock: that of the scratch files comes before it. */
static void
names_settle(struct req *r, struct import_handle *m)
{
	drafts_settle(r, m->h.coll);
	coll_changed(r, coll_id(m->h.coll));
	notify_inode(&r->fs->notify,
		     node_ino(NODE_COLL, coll_id(m->h.coll), 0));
}

static int
import_flush(struct req *r, struct handle *h)
{
	struct import_handle *m = (struct import_handle *)h;
	bool ended;
	int rc = 0;

	mutex_lock(&h->lock);
	if (m->fresh)
		rc = import_end(r, m, false);
	if (m->broken)
		rc = m->broken;
	else if (m->untold > 0)
		rc = fail(r, ERR_JSON, "%llu points were refused",
			  (unsigned long long)m->untold);
	m->broken = 0;
	m->untold = 0;
	ended = m->fresh;
	mutex_unlock(&h->lock);
	if (ended)
		names_settle(r, m);
	return rc;
}

/* What a put refuses is known later than what is no JSON. */
static int
by_line(const void *a, const void *b)
{
	const struct told *x = a, *y = b;

	return (x->line > y->line) - (x->line < y->line);
}

static void
report(struct import_handle *m)
{
	double s =
		m->start_ns ? (double)(clock_mono_ns() - m->start_ns) / 1e9 : 0;
	struct buf *b = &m->answer;

	qsort(m->told, m->n_told, sizeof(*m->told), by_line);
	buf_clear(b);
	buf_printf(b,
		   "{\"result\":{\"accepted\":%llu,\"refused\":%llu,"
		   "\"errors\":[",
		   (unsigned long long)m->accepted,
		   (unsigned long long)m->refused);
	for (uint32_t i = 0; i < m->n_told; i++) {
		buf_printf(b, "%s{\"line\":%llu,\"error\":", i ? "," : "",
			   (unsigned long long)m->told[i].line);
		json_quote(m->told[i].text, strlen(m->told[i].text), b);
		buf_puts(b, "}");
	}
	buf_printf(b, "]},\"status\":\"ok\",\"time\":%.9f}\n", s);
}

static int
import_read(struct req *r, struct handle *h, size_t n, off_t at,
	    struct slice *ret)
{
	struct import_handle *m = (struct import_handle *)h;
	bool ended;
	int rc;

	mutex_lock(&h->lock);
	ended = m->fresh;
	if (ended) {
		import_end(r, m, true);
		report(m);
		m->fresh = false;
		m->base = at;
	}
	if (at < m->base)
		m->base = at;
	rc = text_slice(r, &m->answer, n, (uint64_t)(at - m->base), ret);
	mutex_unlock(&h->lock);
	if (ended)
		names_settle(r, m);
	return rc;
}

static void
import_release(struct req *r, struct handle *h)
{
	struct import_handle *m = (struct import_handle *)h;

	if (m->fresh) {
		import_end(r, m, true);
		names_settle(r, m);
	}
	buf_done(&m->value);
	buf_done(&m->answer);
	arena_done(&m->a);
	for (uint32_t i = 0; i < m->n_told; i++)
		free(m->told[i].text);
	free(m->told);
	free(m->p);
	free(m->lines);
	free(m->rcs);
	free(m->errs);
	handle_free(h);
}

static int
import_truncate(struct req *r, struct handle *h, uint64_t size)
{
	(void)r;
	(void)h;
	(void)size;
	return 0;
}

static const struct handle_ops import_ops = {
	.read = import_read,
	.write = import_write,
	.flush = import_flush,
	.truncate = import_truncate,
	.release = import_release,
};

int
import_open(struct req *r, const struct node *n, struct coll *coll_take,
	    struct handle **ret)
{
	struct import_handle *m = (struct import_handle *)handle_new(
		sizeof *m, &import_ops, node_ino(n->kind, n->coll, n->no),
		coll_take);

	if (m == NULL)
		return fail(r, ERR_NO_MEMORY, "an open file");
	m->h.direct_io = true;
	m->line = 1;
	m->old_no = coll_take_no(coll_take);
	m->p = calloc(BATCH_POINTS, sizeof(*m->p));
	m->lines = calloc(BATCH_POINTS, sizeof(*m->lines));
	m->rcs = calloc(BATCH_POINTS, sizeof(*m->rcs));
	m->errs = calloc(BATCH_POINTS, sizeof(*m->errs));
	m->told = calloc(ERRORS_TOLD, sizeof(*m->told));
	if (!m->told || !m->p || !m->lines || !m->rcs || !m->errs) {
		import_release(r, &m->h);
		return fail(r, ERR_NO_MEMORY, "an open file");
	}
	*ret = &m->h;
	return 0;
}
