/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_query.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/json/json_filter.h"
#include "engine/json/json_read.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define LIMIT_DEFAULT 10
#define SEARCHES_MAX  65536u

/* --- what several requests have -------------------------------------- */

static int
ignore_consistency(struct rd *r, const struct json_tok *t, void *arg)
{
	(void)arg;
	if (t->type == JSON_NUMBER)
		return rd_ignore_u64(r, t, NULL);
	if (json_tok_is(t, "majority") || json_tok_is(t, "quorum") ||
	    json_tok_is(t, "all"))
		return 0;
	return rd_fail(r, ERR_TYPE, t->at,
		       "a number, majority, quorum or all expected");
}

/* Qdrant's URL parameters; one node has nothing to do for them. */
#define URL_MEMBERS                                                            \
	{"consistency", ignore_consistency, RD_NULL},                          \
		{"ordering", rd_ignore_ordering, RD_NULL},                     \
		{"timeout", rd_ignore_u64, RD_NULL},                           \
		{"wait", rd_ignore_bool, RD_NULL},                             \
	{                                                                      \
		"shard_key", rd_not_yet, RD_NULL                               \
	}

static int
read_u32(struct rd *r, const struct json_tok *t, uint32_t min, uint32_t max,
	 uint32_t *ret)
{
	uint64_t v;
	int rc = rd_u64(r, t, min, max, &v);

	if (rc == 0)
		*ret = (uint32_t)v;
	return rc;
}

static int
select_key(struct rd *r, const struct json_tok *t, void *arg)
{
	struct path *p = rd_list_add(r, arg, sizeof *p);

	return p != NULL ? rd_key_path(r, t, p) : rd_no_memory(r);
}

static int
select_keys(struct rd *r, const struct json_tok *t, enum select_kind kind,
	    struct select *ret)
{
	struct rd_list l = {0};
	int rc = rd_each(r, t, select_key, &l);

	if (rc == 0)
		*ret = (struct select){kind, l.n, l.p};
	return rc;
}

static int
read_include(struct rd *r, const struct json_tok *t, void *arg)
{
	return select_keys(r, t, SELECT_INCLUDE, arg);
}

static int
read_exclude(struct rd *r, const struct json_tok *t, void *arg)
{
	return select_keys(r, t, SELECT_EXCLUDE, arg);
}

static int
read_select(struct rd *r, const struct json_tok *t, struct select *ret)
{
	static const struct rd_member members[] = {
		{"include", read_include, RD_NULL},
		{"exclude", read_exclude, RD_NULL},
	};
	uint64_t seen;
	bool b;
	int rc;

	if (t->type == JSON_ARRAY)
		return select_keys(r, t, SELECT_INCLUDE, ret);
	if (t->type == JSON_OBJECT) {
		rc = rd_members(r, t, members, ARRAY_LEN(members), ret, &seen);
		if (rc == 0 && seen != 1 && seen != 2)
			rc = rd_fail(r, ERR_QUERY, t->at,
				     "one of include and exclude expected");
		return rc;
	}
	rc = rd_bool(r, t, &b);
	if (rc == 0)
		ret->kind = b ? SELECT_ALL : SELECT_NONE;
	return rc;
}

/* Only the vector without a name exists. */
static int
vector_name(struct rd *r, const struct json_tok *t, void *arg)
{
	bool *ret = arg;
	int rc = rd_want(r, t, JSON_STRING);

	if (rc == 0 && !json_tok_is(t, ""))
		rc = rd_fail(r, ERR_NOT_YET, t->at,
			     "named vectors are not supported yet");
	if (rc == 0)
		*ret = true;
	return rc;
}

static int
read_with_vector(struct rd *r, const struct json_tok *t, bool *ret)
{
	if (t->type != JSON_ARRAY)
		return rd_bool(r, t, ret);
	*ret = false;
	return rd_each(r, t, vector_name, ret);
}

/* --- search ---------------------------------------------------------- */

static int
query_vector(struct rd *r, const struct json_tok *t, struct query *q)
{
	struct rd_vector v;
	int rc = rd_vector(r, t, &v);

	if (rc < 0)
		return rc;
	q->kind = QUERY_VECTOR;
	q->vec = v.v;
	q->dim = v.dim;
	return 0;
}

/* A vector or an id. */
static int
query_nearest(struct rd *r, const struct json_tok *t, void *arg)
{
	struct query *q = arg;

	if (t->type == JSON_ARRAY)
		return query_vector(r, t, q);
	if (t->type == JSON_NUMBER || t->type == JSON_STRING) {
		q->kind = QUERY_ID;
		return rd_id(r, t, &q->id);
	}
	if (t->type == JSON_OBJECT)
		return rd_fail(r, ERR_NOT_YET, t->at,
			       "sparse vectors and inference are not "
			       "supported yet");
	return rd_fail(r, ERR_TYPE, t->at, "%s where a vector or an id belongs",
		       json_type_name(t->type));
}

static int
query_query(struct rd *r, const struct json_tok *t, void *arg)
{
	static const struct rd_member members[] = {
		{"nearest", query_nearest, 0},
		{"mmr", rd_not_yet, RD_NULL},
		{"recommend", rd_not_yet, 0},
		{"discover", rd_not_yet, 0},
		{"context", rd_not_yet, 0},
		{"order_by", rd_not_yet, 0},
		{"fusion", rd_not_yet, 0},
		{"rrf", rd_not_yet, 0},
		{"formula", rd_not_yet, 0},
		{"defaults", rd_not_yet, 0},
		{"sample", rd_not_yet, 0},
		{"relevance_feedback", rd_not_yet, 0},
		{"indices", rd_not_yet, 0},
		{"values", rd_not_yet, 0},
	};
	uint64_t seen;
	int rc;

	if (t->type != JSON_OBJECT)
		return query_nearest(r, t, arg);
	rc = rd_members(r, t, members, ARRAY_LEN(members), arg, &seen);
	if (rc == 0 && seen == 0)
		rc = rd_fail(r, ERR_QUERY, t->at, "nearest expected");
	return rc;
}

static int
legacy_inner(struct rd *r, const struct json_tok *t, void *arg)
{
	return query_vector(r, t, arg);
}

static int
legacy_name(struct rd *r, const struct json_tok *t, void *arg)
{
	bool named;

	(void)arg;
	return vector_name(r, t, &named);
}

static int
query_vector_legacy(struct rd *r, const struct json_tok *t, void *arg)
{
	static const struct rd_member members[] = {
		{"name", legacy_name, 0},
		{"vector", legacy_inner, 0},
	};
	struct query *q = arg;
	uint64_t seen;
	int rc;

	q->bare_list = true;
	if (t->type != JSON_OBJECT)
		return query_vector(r, t, q);
	rc = rd_members(r, t, members, ARRAY_LEN(members), q, &seen);
	if (rc == 0 && (seen & 2) == 0)
		rc = rd_fail(r, ERR_QUERY, t->at, "vector expected");
	return rc;
}

static int
query_using(struct rd *r, const struct json_tok *t, void *arg)
{
	return legacy_name(r, t, arg);
}

static int
query_filter(struct rd *r, const struct json_tok *t, void *arg)
{
	struct query *q = arg;

	return json_filter_read(r, t, &q->filter);
}

static int
params_ef(struct rd *r, const struct json_tok *t, void *arg)
{
	struct query *q = arg;
	int rc = read_u32(r, t, 1, UINT32_MAX, &q->ef);

	q->ef = MIN(q->ef, LIMIT_MAX);
	return rc;
}

static int
params_exact(struct rd *r, const struct json_tok *t, void *arg)
{
	struct query *q = arg;

	return rd_bool(r, t, &q->exact);
}

static int
query_params(struct rd *r, const struct json_tok *t, void *arg)
{
	static const struct rd_member members[] = {
		{"hnsw_ef", params_ef, RD_NULL},
		{"exact", params_exact, RD_NULL},
		{"indexed_only", rd_ignore_bool, RD_NULL},
		{"quantization", rd_ignore_object, RD_NULL},
		{"acorn", rd_ignore_object, RD_NULL},
		{"idf", rd_not_yet, RD_NULL},
	};

	return rd_members(r, t, members, ARRAY_LEN(members), arg, NULL);
}

static int
query_limit(struct rd *r, const struct json_tok *t, void *arg)
{
	struct query *q = arg;

	return read_u32(r, t, 1, LIMIT_MAX, &q->limit);
}

static int
query_offset(struct rd *r, const struct json_tok *t, void *arg)
{
	struct query *q = arg;

	return read_u32(r, t, 0, LIMIT_MAX, &q->offset);
}

static int
query_threshold(struct rd *r, const struct json_tok *t, void *arg)
{
	struct query *q = arg;
	double v;
	int rc = rd_f64(r, t, &v);

	if (rc < 0)
		return rc;
	if (fabs(v) > (double)FLT_MAX)
		return rd_fail(r, ERR_NUMBER, t->at, "beyond float32");
	q->threshold = (float)v;
	q->has_threshold = true;
	return 0;
}

static int
query_payload(struct rd *r, const struct json_tok *t, void *arg)
{
	struct query *q = arg;

	return read_select(r, t, &q->payload);
}

static int
query_with_vector(struct rd *r, const struct json_tok *t, void *arg)
{
	struct query *q = arg;

	return read_with_vector(r, t, &q->with_vector);
}

static int
query_recommend(struct rd *r, const struct json_tok *t, void *arg)
{
	(void)t;
	(void)arg;
	return err_set(r->err, ERR_NOT_YET,
		       "%s (recommend) is not supported yet", r->path);
}

static const struct rd_member query_members[] = {
	{"query", query_query, RD_NULL},
	{"vector", query_vector_legacy, 0},
	{"filter", query_filter, RD_NULL},
	{"params", query_params, RD_NULL},
	{"limit", query_limit, RD_NULL},
	{"top", query_limit, RD_NULL | RD_ALIAS},
	{"offset", query_offset, RD_NULL},
	{"score_threshold", query_threshold, RD_NULL},
	{"with_payload", query_payload, RD_NULL},
	{"with_vector", query_with_vector, RD_NULL},
	{"with_vectors", query_with_vector, RD_NULL | RD_ALIAS},
	{"using", query_using, RD_NULL},
	{"prefetch", rd_not_yet, RD_NULL},
	{"lookup_from", rd_not_yet, RD_NULL},
	{"group_by", rd_not_yet, RD_NULL},
	{"group_size", rd_not_yet, RD_NULL},
	{"with_lookup", rd_not_yet, RD_NULL},
	{"positive", query_recommend, RD_NULL},
	{"negative", query_recommend, RD_NULL},
	{"strategy", query_recommend, RD_NULL},
	{"target", rd_not_yet, RD_NULL},
	{"context", rd_not_yet, RD_NULL},
	URL_MEMBERS,
};

static int
query_read(struct rd *r, const struct json_tok *t, struct query *ret)
{
	struct query q = {.limit = LIMIT_DEFAULT};
	uint64_t seen;
	int rc;

	rc = rd_members(r, t, query_members, ARRAY_LEN(query_members), &q,
			&seen);
	if (rc < 0)
		return rc;
	if ((seen & 3) == 3)
		return rd_fail(r, ERR_QUERY, t->at,
			       "both query and vector are given");
	if (q.limit + q.offset > LIMIT_MAX)
		return rd_fail(r, ERR_QUERY, t->at,
			       "limit and offset are %u together, at most %u "
			       "are allowed",
			       q.limit + q.offset, LIMIT_MAX);
	*ret = q;
	return 0;
}

static int
search_one(struct rd *r, const struct json_tok *t, void *arg)
{
	struct rd_list *l = arg;
	struct query *q;

	if (l->n == SEARCHES_MAX)
		return rd_fail(r, ERR_TOO_BIG, t->at, "more than %u searches",
			       SEARCHES_MAX);
	q = rd_list_add(r, l, sizeof *q);
	return q != NULL ? query_read(r, t, q) : rd_no_memory(r);
}

static int
read_searches(struct rd *r, const struct json_tok *t, void *arg)
{
	return rd_each(r, t, search_one, arg);
}

/* Whether the object that was entered has the member; the walk stays. */
static int
has_member(const struct rd *r, const char *name, bool *ret)
{
	struct rd look = *r;
	struct json_tok k;
	int rc;

	*ret = false;
	for (;;) {
		rc = json_key(&look.w, &k, look.err);
		if (rc < 0 || k.type == JSON_END)
			return rc;
		*ret = json_tok_is(&k, name);
		if (*ret)
			return 0;
		rc = json_next(&look.w, &k, look.err);
		if (rc == 0)
			rc = json_skip(&look.w, &k, NULL, look.err);
		if (rc < 0)
			return rc;
	}
}

int
json_search_parse(const void *text, size_t n, struct arena *a,
		  struct search_request *ret, struct err *err)
{
	static const struct rd_member batch_members[] = {
		{"searches", read_searches, 0},
		URL_MEMBERS,
	};
	struct search_request s = {0};
	struct rd_list l = {0};
	struct json_tok t;
	struct rd r;
	int rc;

	if (n > BODY_MAX)
		return err_set(err, ERR_TOO_BIG,
			       "a request has at most %u bytes", BODY_MAX);
	rc = rd_start(&r, text, n, a, &t, err);
	if (rc == 0 && t.type == JSON_OBJECT &&
	    memmem(text, n, "\"searches\"", strlen("\"searches\"")) != NULL)
		rc = has_member(&r, "searches", &s.batch);
	if (rc == 0 && s.batch)
		rc = rd_members(&r, &t, batch_members, ARRAY_LEN(batch_members),
				&l, NULL);
	else if (rc == 0)
		rc = search_one(&r, &t, &l);
	if (rc == 0)
		rc = rd_end(&r);
	if (rc < 0)
		return rc;
	s.n = l.n;
	s.q = l.p;
	*ret = s;
	return 0;
}

/* --- scroll and count ------------------------------------------------ */

static int
scroll_filter(struct rd *r, const struct json_tok *t, void *arg)
{
	struct scroll_request *s = arg;

	return json_filter_read(r, t, &s->filter);
}

static int
scroll_offset(struct rd *r, const struct json_tok *t, void *arg)
{
	struct scroll_request *s = arg;

	return rd_id(r, t, &s->offset);
}

static int
scroll_limit(struct rd *r, const struct json_tok *t, void *arg)
{
	struct scroll_request *s = arg;

	return read_u32(r, t, 1, LIMIT_MAX, &s->limit);
}

static int
scroll_payload(struct rd *r, const struct json_tok *t, void *arg)
{
	struct scroll_request *s = arg;

	return read_select(r, t, &s->payload);
}

static int
scroll_with_vector(struct rd *r, const struct json_tok *t, void *arg)
{
	struct scroll_request *s = arg;

	return read_with_vector(r, t, &s->with_vector);
}

static int
body_read(const void *text, size_t n, struct arena *a,
	  const struct rd_member *m, size_t n_members, void *arg,
	  struct err *err)
{
	struct json_tok t;
	struct rd r;
	int rc;

	if (n > BODY_MAX)
		return err_set(err, ERR_TOO_BIG,
			       "a request has at most %u bytes", BODY_MAX);
	rc = rd_start(&r, text, n, a, &t, err);
	if (rc == 0)
		rc = rd_members(&r, &t, m, n_members, arg, NULL);
	return rc < 0 ? rc : rd_end(&r);
}

int
json_scroll_parse(const void *text, size_t n, struct arena *a,
		  struct scroll_request *ret, struct err *err)
{
	static const struct rd_member members[] = {
		{"filter", scroll_filter, RD_NULL},
		{"offset", scroll_offset, RD_NULL},
		{"limit", scroll_limit, RD_NULL},
		{"with_payload", scroll_payload, RD_NULL},
		{"with_vector", scroll_with_vector, RD_NULL},
		{"with_vectors", scroll_with_vector, RD_NULL | RD_ALIAS},
		{"order_by", rd_not_yet, RD_NULL},
		URL_MEMBERS,
	};
	struct scroll_request s = {
		.limit = LIMIT_DEFAULT,
		.payload = {.kind = SELECT_ALL},
	};
	int rc;

	rc = body_read(text, n, a, members, ARRAY_LEN(members), &s, err);
	if (rc == 0)
		*ret = s;
	return rc;
}

static int
count_filter(struct rd *r, const struct json_tok *t, void *arg)
{
	struct count_request *c = arg;

	return json_filter_read(r, t, &c->filter);
}

int
json_count_parse(const void *text, size_t n, struct arena *a,
		 struct count_request *ret, struct err *err)
{
	static const struct rd_member members[] = {
		{"filter", count_filter, RD_NULL},
		{"exact", rd_ignore_bool, RD_NULL},
		URL_MEMBERS,
	};
	struct count_request c = {0};
	int rc;

	rc = body_read(text, n, a, members, ARRAY_LEN(members), &c, err);
	if (rc == 0)
		*ret = c;
	return rc;
}
