/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_filter.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/payload/filter.h"

#include <stdlib.h>

/* A condition and a nested filter are told apart by their members, so one
 * table reads both.  The filter's come first. */
struct cond_read {
	struct filter f;
	struct condition c;
};

enum { /* places in cond_members */
       SEEN_FILTER = 0xf,
       SEEN_KEY = 1 << 4,
       SEEN_MATCH = 1 << 5,
       SEEN_RANGE = 1 << 6,
       SEEN_HAS_ID = 1 << 7,
};

static int cond_read(struct rd *r, const struct json_tok *t, void *arg);

/* --- match ----------------------------------------------------------- */

static int
read_scalar(struct rd *r, const struct json_tok *t, struct value *ret)
{
	bool b;
	int rc;

	switch (t->type) {
	case JSON_STRING:
		ret->kind = VALUE_STRING;
		return rd_string(r, t, &ret->s);
	case JSON_NUMBER:
		ret->kind = VALUE_INT;
		rc = json_tok_i64(t, &ret->i, NULL);
		if (rc < 0)
			return rd_fail(r, ERR_NUMBER, t->at,
				       "match takes 64-bit integers; for other "
				       "numbers use range");
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		ret->kind = VALUE_BOOL;
		rc = rd_bool(r, t, &b);
		ret->i = b;
		return rc;
	default:
		return rd_fail(r, ERR_TYPE, t->at,
			       "%s where a string, an integer, true or false "
			       "belongs",
			       json_type_name(t->type));
	}
}

static int
read_value(struct rd *r, const struct json_tok *t, void *arg)
{
	struct condition *c = arg;

	c->match = MATCH_VALUE;
	c->n_values = 1;
	c->values = arena_zalloc(r->a, sizeof *c->values);
	if (c->values == NULL)
		return rd_no_memory(r);
	return read_scalar(r, t, c->values);
}

static int
read_listed(struct rd *r, const struct json_tok *t, void *arg)
{
	struct rd_list *l = arg;
	struct value *v, *first;

	if (t->type != JSON_STRING && t->type != JSON_NUMBER)
		return rd_fail(r, ERR_TYPE, t->at,
			       "%s where a string or an integer belongs",
			       json_type_name(t->type));
	if (l->n == FILTER_VALUES_MAX)
		return rd_fail(r, ERR_TOO_BIG, t->at, "more than %u values",
			       FILTER_VALUES_MAX);
	v = rd_list_add(r, l, sizeof *v);
	if (v == NULL)
		return rd_no_memory(r);
	first = l->p;
	if (l->n > 1 &&
	    (first->kind == VALUE_STRING) != (t->type == JSON_STRING))
		return rd_fail(r, ERR_TYPE, t->at,
			       "strings and integers in one list");
	return read_scalar(r, t, v);
}

static int
value_cmp_sort(const void *a, const void *b)
{
	return value_cmp(a, b);
}

static int
read_list(struct rd *r, const struct json_tok *t, struct condition *c)
{
	struct rd_list l = {0};
	int rc = rd_each(r, t, read_listed, &l);

	if (rc < 0)
		return rc;
	if (l.n > 1)
		qsort(l.p, l.n, sizeof(struct value), value_cmp_sort);
	c->values = l.p;
	c->n_values = l.n;
	return 0;
}

static int
read_any(struct rd *r, const struct json_tok *t, void *arg)
{
	struct condition *c = arg;

	c->match = MATCH_ANY;
	return read_list(r, t, c);
}

static int
read_except(struct rd *r, const struct json_tok *t, void *arg)
{
	struct condition *c = arg;

	c->match = MATCH_EXCEPT;
	return read_list(r, t, c);
}

static int
read_match(struct rd *r, const struct json_tok *t, void *arg)
{
	static const struct rd_member members[] = {
		{"value", read_value, 0},    {"any", read_any, 0},
		{"except", read_except, 0},  {"text", rd_not_yet, 0},
		{"text_any", rd_not_yet, 0}, {"phrase", rd_not_yet, 0},
		{"prefix", rd_not_yet, 0},
	};
	struct cond_read *c = arg;
	uint64_t seen;
	int rc;

	c->c.kind = COND_MATCH;
	rc = rd_members(r, t, members, ARRAY_LEN(members), &c->c, &seen);
	if (rc < 0)
		return rc;
	if (seen == 0 || (seen & (seen - 1)) != 0)
		return rd_fail(r, ERR_QUERY, t->at,
			       "exactly one of value, any and except expected");
	return 0;
}

/* --- range ----------------------------------------------------------- */

static int
read_bound(struct rd *r, const struct json_tok *t, bool *has, double *ret)
{
	if (t->type == JSON_STRING)
		return rd_fail(r, ERR_NOT_YET, t->at,
			       "a range of dates is not supported yet");
	*has = true;
	return rd_f64(r, t, ret);
}

#define BOUND(name)                                                            \
	static int read_##name(struct rd *r, const struct json_tok *t,         \
			       void *arg)                                      \
	{                                                                      \
		struct condition *c = arg;                                     \
                                                                               \
		return read_bound(r, t, &c->has_##name, &c->name);             \
	}
BOUND(gt)
BOUND(gte)
BOUND(lt)
BOUND(lte)

static int
read_range(struct rd *r, const struct json_tok *t, void *arg)
{
	static const struct rd_member members[] = {
		{"gt", read_gt, RD_NULL},
		{"gte", read_gte, RD_NULL},
		{"lt", read_lt, RD_NULL},
		{"lte", read_lte, RD_NULL},
	};
	struct cond_read *c = arg;

	c->c.kind = COND_RANGE;
	return rd_members(r, t, members, ARRAY_LEN(members), &c->c, NULL);
}

/* --- the other members ----------------------------------------------- */

static int
read_key(struct rd *r, const struct json_tok *t, void *arg)
{
	struct cond_read *c = arg;

	return rd_key_path(r, t, &c->c.key);
}

static int
read_has_id_one(struct rd *r, const struct json_tok *t, void *arg)
{
	struct rd_list *l = arg;
	struct id_key *k;

	if (l->n == FILTER_IDS_MAX)
		return rd_fail(r, ERR_TOO_BIG, t->at, "more than %u ids",
			       FILTER_IDS_MAX);
	k = rd_list_add(r, l, sizeof *k);
	return k != NULL ? rd_id(r, t, k) : rd_no_memory(r);
}

static int
id_cmp_sort(const void *x, const void *y)
{
	const struct id_key *a = x, *b = y;

	return id_cmp(a->b, a->n, b->b, b->n);
}

static int
read_has_id(struct rd *r, const struct json_tok *t, void *arg)
{
	struct cond_read *c = arg;
	struct rd_list l = {0};
	int rc;

	c->c.kind = COND_HAS_ID;
	rc = rd_each(r, t, read_has_id_one, &l);
	if (rc < 0)
		return rc;
	if (l.n > 1)
		qsort(l.p, l.n, sizeof(struct id_key), id_cmp_sort);
	c->c.ids = l.p;
	c->c.n_ids = l.n;
	return 0;
}

/* --- lists of conditions --------------------------------------------- */

static int
read_listed_cond(struct rd *r, const struct json_tok *t, void *arg)
{
	struct rd_list *l = arg;
	struct condition *c = rd_list_add(r, l, sizeof *c);

	return c != NULL ? cond_read(r, t, c) : rd_no_memory(r);
}

static int
read_conds(struct rd *r, const struct json_tok *t, struct cond_list *ret)
{
	struct rd_list l = {0};
	int rc;

	if (t->type == JSON_OBJECT)
		rc = read_listed_cond(r, t, &l);
	else
		rc = rd_each(r, t, read_listed_cond, &l);
	if (rc < 0)
		return rc;
	*ret = (struct cond_list){l.n, l.p};
	return 0;
}

#define CONDS(name)                                                            \
	static int read_##name(struct rd *r, const struct json_tok *t,         \
			       void *arg)                                      \
	{                                                                      \
		struct cond_read *c = arg;                                     \
                                                                               \
		return read_conds(r, t, &c->f.name);                           \
	}
CONDS(must)
CONDS(should)
CONDS(must_not)

static int
read_conditions(struct rd *r, const struct json_tok *t, void *arg)
{
	struct filter *f = arg;

	return read_conds(r, t, &f->min_should);
}

static int
read_min_count(struct rd *r, const struct json_tok *t, void *arg)
{
	struct filter *f = arg;
	uint64_t v;
	int rc = rd_u64(r, t, 0, UINT32_MAX, &v);

	if (rc == 0)
		f->min_count = (uint32_t)v;
	return rc;
}

static int
read_min_should(struct rd *r, const struct json_tok *t, void *arg)
{
	static const struct rd_member members[] = {
		{"conditions", read_conditions, 0},
		{"min_count", read_min_count, 0},
	};
	struct cond_read *c = arg;
	uint64_t seen;
	int rc;

	rc = rd_members(r, t, members, ARRAY_LEN(members), &c->f, &seen);
	if (rc == 0 && seen != 3)
		rc = rd_fail(r, ERR_QUERY, t->at,
			     "conditions and min_count expected");
	return rc;
}

/* --- conditions and filters ------------------------------------------ */

static const struct rd_member cond_members[] = {
	{"must", read_must, RD_NULL},
	{"should", read_should, RD_NULL},
	{"must_not", read_must_not, RD_NULL},
	{"min_should", read_min_should, RD_NULL},
	{"key", read_key, 0},
	{"match", read_match, RD_NULL},
	{"range", read_range, RD_NULL},
	{"has_id", read_has_id, 0},
	{"is_empty", rd_not_yet, RD_NULL},
	{"is_null", rd_not_yet, RD_NULL},
	{"values_count", rd_not_yet, RD_NULL},
	{"geo_bounding_box", rd_not_yet, RD_NULL},
	{"geo_radius", rd_not_yet, RD_NULL},
	{"geo_polygon", rd_not_yet, RD_NULL},
	{"nested", rd_not_yet, RD_NULL},
	{"has_vector", rd_not_yet, RD_NULL},
	{"slice", rd_not_yet, RD_NULL},
};
#define N_FILTER_MEMBERS 4

static int
filter_keep(struct rd *r, const struct filter *f, struct filter **ret)
{
	*ret = arena_dup(r->a, f, sizeof *f);
	return *ret != NULL ? 0 : rd_no_memory(r);
}

static int
cond_read(struct rd *r, const struct json_tok *t, void *arg)
{
	struct condition *ret = arg;
	struct cond_read c = {0};
	uint64_t seen;
	int rc;

	rc = rd_members(r, t, cond_members, ARRAY_LEN(cond_members), &c, &seen);
	if (rc < 0)
		return rc;
	if ((seen & ~(uint64_t)SEEN_FILTER) == 0) {
		c.c.kind = COND_FILTER;
		rc = filter_keep(r, &c.f, &c.c.filter);
	} else if (seen != (SEEN_KEY | SEEN_MATCH) &&
		   seen != (SEEN_KEY | SEEN_RANGE) && seen != SEEN_HAS_ID) {
		rc = rd_fail(r, ERR_QUERY, t->at,
			     "a condition is a key with match or with range, "
			     "or has_id, or a filter");
	}
	if (rc == 0)
		*ret = c.c;
	return rc;
}

int
json_filter_read(struct rd *r, const struct json_tok *t, void *arg)
{
	struct filter **ret = arg;
	struct cond_read c = {0};
	int rc;

	rc = rd_members(r, t, cond_members, N_FILTER_MEMBERS, &c, NULL);
	return rc < 0 ? rc : filter_keep(r, &c.f, ret);
}
