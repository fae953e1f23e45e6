/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_import.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/json/json_point.h"
#include "engine/json/json_read.h"

#include <stdio.h>

struct import {
	struct arena *a;
	const struct import_sink *sink;
	uint64_t line;
	struct slice ids, vectors, payloads; /* of a batch; n == 0: absent */
};

/* One point's text.  where: "points[7]", or "" for a line of its own. */
static int
import_point(struct import *m, const void *text, size_t n, const char *where,
	     struct err *err)
{
	const struct arena_mark mark = arena_mark(m->a);
	struct err why = {0};
	struct point p;
	int rc = json_point_parse(text, n, NULL, true, m->a, &p, &why);

	if (rc == 0)
		return m->sink->put(m->sink->arg, &p, err);
	arena_rewind(m->a, mark);
	if (where[0] != 0)
		err_in(&why, rc, "%s", where);
	m->sink->refuse(m->sink->arg, m->line, &why);
	return 0;
}

/* --- {"points": [...]} ----------------------------------------------- */

static int
import_element(struct rd *r, const struct json_tok *t, void *arg)
{
	struct slice raw;
	int rc = json_skip(&r->w, t, &raw, r->err);

	return rc < 0 ? rc : import_point(arg, raw.p, raw.n, r->path, r->err);
}

static int
import_points(struct rd *r, const struct json_tok *t, void *arg)
{
	return rd_each(r, t, import_element, arg);
}

/* --- {"batch": {ids, vectors, payloads}} ----------------------------- */

static int
column(struct rd *r, const struct json_tok *t, struct slice *ret)
{
	int rc;

	if (t->type == JSON_OBJECT)
		return rd_fail(r, ERR_NOT_YET, t->at,
			       "named and sparse vectors are not supported "
			       "yet");
	rc = rd_want(r, t, JSON_ARRAY);
	return rc < 0 ? rc : json_skip(&r->w, t, ret, r->err);
}

static int
read_ids(struct rd *r, const struct json_tok *t, void *arg)
{
	struct import *m = arg;

	return column(r, t, &m->ids);
}

static int
read_vectors(struct rd *r, const struct json_tok *t, void *arg)
{
	struct import *m = arg;

	return column(r, t, &m->vectors);
}

static int
read_payloads(struct rd *r, const struct json_tok *t, void *arg)
{
	struct import *m = arg;

	return column(r, t, &m->payloads);
}

/* A walk over a column, entered; one over an empty array if there is none. */
static int
column_open(struct slice s, struct json_walk *w, struct err *err)
{
	struct json_tok t;

	if (s.n == 0)
		s = (struct slice){"[]", 2};
	json_walk_init(w, s.p, s.n, JSON_DEPTH_MAX);
	return json_next(w, &t, err);
}

/* The next cell as bytes; *ret_n 0 at the column's end. */
static int
column_next(struct json_walk *w, struct slice *ret, struct err *err)
{
	struct json_tok t;
	int rc = json_next(w, &t, err);

	*ret = (struct slice){NULL, 0};
	if (rc < 0 || t.type == JSON_END)
		return rc;
	return json_skip(w, &t, ret, err);
}

/* A row as the text of a point, so that there is one way to read a point. */
static int
import_row(struct import *m, struct slice id, struct slice vector,
	   struct slice payload, uint64_t row, struct buf *text,
	   struct err *err)
{
	char where[40];

	buf_clear(text);
	buf_puts(text, "{\"id\":");
	buf_put(text, id.p, id.n);
	buf_puts(text, ",\"vector\":");
	buf_put(text, vector.p, vector.n);
	if (payload.n > 0) {
		buf_puts(text, ",\"payload\":");
		buf_put(text, payload.p, payload.n);
	}
	if (buf_puts(text, "}") < 0)
		return err_set(err, ERR_NO_MEMORY, "out of memory");
	snprintf(where, sizeof where, "batch row %llu",
		 (unsigned long long)row);
	return import_point(m, text->p, text->n, where, err);
}

static int
import_columns(struct rd *r, struct import *m, size_t at)
{
	CLEAN(buf_done) struct buf text = {0};
	struct slice id, vector, payload;
	struct json_walk wi, wv, wp;
	uint64_t row;
	int rc = column_open(m->ids, &wi, r->err);

	if (rc == 0)
		rc = column_open(m->vectors, &wv, r->err);
	if (rc == 0)
		rc = column_open(m->payloads, &wp, r->err);
	for (row = 0; rc == 0; row++) {
		rc = column_next(&wi, &id, r->err);
		if (rc == 0)
			rc = column_next(&wv, &vector, r->err);
		if (rc == 0)
			rc = column_next(&wp, &payload, r->err);
		if (rc < 0 || (id.n == 0 && vector.n == 0 && payload.n == 0))
			break;
		if (id.n == 0 || vector.n == 0 ||
		    (payload.n == 0 && m->payloads.n > 0))
			return rd_fail(r, ERR_QUERY, at,
				       "ids, vectors and payloads are not "
				       "equally many");
		rc = import_row(m, id, vector, payload, row, &text, r->err);
	}
	return rc;
}

static int
import_batch(struct rd *r, const struct json_tok *t, void *arg)
{
	static const struct rd_member members[] = {
		{"ids", read_ids, 0},
		{"vectors", read_vectors, 0},
		{"payloads", read_payloads, RD_NULL},
	};
	struct import *m = arg;
	uint64_t seen;
	int rc;

	rc = rd_members(r, t, members, ARRAY_LEN(members), m, &seen);
	if (rc < 0)
		return rc;
	if ((seen & 3) != 3)
		return rd_fail(r, ERR_QUERY, t->at, "ids and vectors expected");
	return import_columns(r, m, t->at);
}

/* --- bodies ---------------------------------------------------------- */

static int
read_update_mode(struct rd *r, const struct json_tok *t, void *arg)
{
	(void)arg;
	if (json_tok_is(t, "upsert"))
		return 0;
	return rd_not_yet(r, t, NULL);
}

static const struct rd_member body_members[] = {
	{"points", import_points, 0},
	{"batch", import_batch, 0},
	{"update_mode", read_update_mode, RD_NULL},
	{"update_filter", rd_not_yet, RD_NULL},
	{"shard_key", rd_not_yet, RD_NULL},
	{"ordering", rd_ignore_ordering, RD_NULL},
	{"timeout", rd_ignore_u64, RD_NULL},
	{"wait", rd_ignore_bool, RD_NULL},
};

/* Points are put while the text is read, so the text has to be a whole value
 * first.  *ret_body: it has a member that no point has. */
static int
body_check(const void *text, size_t n, struct arena *a, bool *ret_body,
	   struct err *err)
{
	struct json_tok t, k;
	struct rd r;
	int rc = rd_start(&r, text, n, a, &t, err);

	*ret_body = false;
	if (rc == 0)
		rc = rd_want(&r, &t, JSON_OBJECT);
	while (rc == 0) {
		rc = json_key(&r.w, &k, err);
		if (rc < 0 || k.type == JSON_END)
			break;
		*ret_body |=
			json_tok_is(&k, "points") || json_tok_is(&k, "batch");
		rc = json_next(&r.w, &k, err);
		if (rc == 0)
			rc = json_skip(&r.w, &k, NULL, err);
	}
	return rc < 0 ? rc : rd_end(&r);
}

int
json_import_body(const void *text, size_t n, uint64_t line, struct arena *a,
		 const struct import_sink *sink, struct err *err)
{
	struct import m = {.a = a, .sink = sink, .line = line};
	struct json_tok t;
	bool body;
	struct rd r;
	int rc;

	if (n > BODY_MAX)
		return err_set(err, ERR_TOO_BIG, "a body has at most %u bytes",
			       BODY_MAX);
	rc = body_check(text, n, a, &body, err);
	if (rc < 0)
		return rc;
	if (!body)
		return import_point(&m, text, n, "", err);
	rc = rd_start(&r, text, n, a, &t, err);
	return rc < 0 ? rc
		      : rd_members(&r, &t, body_members,
				   ARRAY_LEN(body_members), &m, NULL);
}
