/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter_eval.c - conditions over a payload's text, in place.  Nothing is
 * allocated and no tree is built: a condition walks to the values of its key
 * and stops at the first that passes.
 */
#include "engine/payload/filter.h"

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "engine/types.h"

#include <string.h>

/* One passage over a payload.  A text that does not parse passes nothing; it
 * was checked when it was stored and the page it came from has a checksum. */
struct look {
	struct json_walk w;
	const struct condition *c;
	bool broken;
};

/* --- values ---------------------------------------------------------- */

int
value_cmp(const struct value *a, const struct value *b)
{
	int d;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind != VALUE_STRING)
		return (a->i > b->i) - (a->i < b->i);
	d = memcmp(a->s.p, b->s.p, MIN(a->s.n, b->s.n));
	return d != 0 ? d : (a->s.n > b->s.n) - (a->s.n < b->s.n);
}

/* A string with escapes cannot be compared in order without copying it, so it
 * meets the values one by one. */
static bool
listed_escaped(const struct condition *c, const struct json_tok *t)
{
	uint32_t i;

	for (i = 0; i < c->n_values; i++)
		if (c->values[i].kind == VALUE_STRING &&
		    json_tok_eq(t, c->values[i].s))
			return true;
	return false;
}

static bool
listed(const struct condition *c, const struct value *v)
{
	uint32_t low = 0, high = c->n_values, mid;
	int d;

	while (low < high) {
		mid = low + (high - low) / 2;
		d = value_cmp(&c->values[mid], v);
		if (d == 0)
			return true;
		if (d < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static bool
tok_listed(const struct condition *c, const struct json_tok *t)
{
	struct value v = {.kind = VALUE_BOOL};

	switch (t->type) {
	case JSON_STRING:
		if (t->escaped)
			return listed_escaped(c, t);
		v.kind = VALUE_STRING;
		v.s = (struct slice){(const char *)t->raw.p + 1, t->raw.n - 2};
		return listed(c, &v);
	case JSON_NUMBER:
		v.kind = VALUE_INT;
		return json_tok_i64(t, &v.i, NULL) == 0 && listed(c, &v);
	case JSON_TRUE:
	case JSON_FALSE:
		v.i = t->type == JSON_TRUE;
		return listed(c, &v);
	default:
		return false;
	}
}

static bool
range_pass(const struct condition *c, const struct json_tok *t)
{
	double v;

	if (t->type != JSON_NUMBER || json_tok_f64(t, &v, NULL) < 0)
		return false;
	return (!c->has_gt || v > c->gt) && (!c->has_gte || v >= c->gte) &&
	       (!c->has_lt || v < c->lt) && (!c->has_lte || v <= c->lte);
}

static bool
tok_pass(const struct condition *c, const struct json_tok *t)
{
	if (c->kind == COND_RANGE)
		return range_pass(c, t);
	if (c->match != MATCH_EXCEPT)
		return tok_listed(c, t);
	return t->type != JSON_NULL && t->type != JSON_END && !tok_listed(c, t);
}

/* --- walking to the key ---------------------------------------------- */

static bool look_at(struct look *l, const struct json_tok *t, uint32_t step);

/* The next element of the array that was entered, or false at its end. */
static bool
look_next(struct look *l, struct json_tok *t)
{
	l->broken |= json_next(&l->w, t, NULL) < 0;
	return !l->broken && t->type != JSON_END;
}

/* Moves on behind an element's value, unless the search is over. */
static void
look_skip(struct look *l, const struct json_tok *t)
{
	l->broken |= json_skip(&l->w, t, NULL, NULL) < 0;
}

/* At the end of the path: a value, or any element of an array. */
static bool
look_leaf(struct look *l, const struct json_tok *t)
{
	struct json_tok e;

	if (t->type != JSON_ARRAY)
		return tok_pass(l->c, t);
	while (look_next(l, &e)) {
		if (tok_pass(l->c, &e))
			return true;
		look_skip(l, &e);
	}
	return false;
}

static bool
look_member(struct look *l, uint32_t step)
{
	const struct slice name = l->c->key.steps[step].name;
	struct json_tok k, v;

	for (;;) {
		l->broken |= json_key(&l->w, &k, NULL) < 0;
		if (l->broken || k.type == JSON_END)
			return false;
		if (!look_next(l, &v))
			return false;
		if (json_tok_eq(&k, name))
			return look_at(l, &v, step + 1);
		look_skip(l, &v);
	}
}

static bool
look_elements(struct look *l, uint32_t step)
{
	const int64_t index = l->c->key.steps[step].index;
	struct json_tok e;
	struct json_walk here;
	int64_t i;

	for (i = 0; look_next(l, &e); i++) {
		if (index == i)
			return look_at(l, &e, step + 1);
		if (index == PATH_ALL) {
			here = l->w; /* where e's inside starts */
			if (look_at(l, &e, step + 1))
				return true;
			l->w = here;
		}
		look_skip(l, &e);
	}
	return false;
}

static bool
look_at(struct look *l, const struct json_tok *t, uint32_t step)
{
	const struct path *key = &l->c->key;

	if (step == key->n)
		return look_leaf(l, t);
	if (key->steps[step].index == PATH_MEMBER)
		return t->type == JSON_OBJECT && look_member(l, step);
	return t->type == JSON_ARRAY && look_elements(l, step);
}

static bool
key_pass(const struct condition *c, struct slice payload)
{
	struct look l = {.c = c};
	struct json_tok t;

	if (payload.n == 0)
		return false;
	json_walk_init(&l.w, payload.p, payload.n, JSON_DEPTH_MAX);
	return look_next(&l, &t) && look_at(&l, &t, 0) && !l.broken;
}

/* --- conditions ------------------------------------------------------ */

static bool
id_pass(const struct condition *c, const void *id, size_t n)
{
	uint32_t low = 0, high = c->n_ids, mid;
	int d;

	while (low < high) {
		mid = low + (high - low) / 2;
		d = id_cmp(c->ids[mid].b, c->ids[mid].n, id, n);
		if (d == 0)
			return true;
		if (d < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static bool
cond_pass(const struct condition *c, const void *id, size_t id_n,
	  struct slice payload)
{
	switch (c->kind) {
	case COND_MATCH:
	case COND_RANGE:
		return key_pass(c, payload);
	case COND_HAS_ID:
		return id_pass(c, id, id_n);
	case COND_FILTER:
		return filter_pass(c->filter, id, id_n, payload);
	}
	return false;
}

/* How many of the list pass, counted no further than want. */
static uint32_t
list_pass(const struct cond_list *l, uint32_t want, const void *id, size_t id_n,
	  struct slice payload)
{
	uint32_t i, n = 0;

	for (i = 0; i < l->n && n < want; i++)
		n += cond_pass(&l->c[i], id, id_n, payload);
	return n;
}

bool
filter_pass(const struct filter *f, const void *id, size_t id_n,
	    struct slice payload)
{
	uint32_t i;

	for (i = 0; i < f->must.n; i++)
		if (!cond_pass(&f->must.c[i], id, id_n, payload))
			return false;
	if (list_pass(&f->must_not, 1, id, id_n, payload) > 0)
		return false;
	if (f->should.n > 0 && list_pass(&f->should, 1, id, id_n, payload) == 0)
		return false;
	return f->min_should.n == 0 ||
	       list_pass(&f->min_should, f->min_count, id, id_n, payload) >=
		       f->min_count;
}

static bool
list_needs(const struct cond_list *l)
{
	uint32_t i;

	for (i = 0; i < l->n; i++) {
		const struct condition *c = &l->c[i];

		if (c->kind == COND_MATCH || c->kind == COND_RANGE ||
		    (c->kind == COND_FILTER && filter_needs_payload(c->filter)))
			return true;
	}
	return false;
}

bool
filter_needs_payload(const struct filter *f)
{
	return list_needs(&f->must) || list_needs(&f->should) ||
	       list_needs(&f->must_not) || list_needs(&f->min_should);
}

const struct condition *
filter_ids(const struct filter *f)
{
	const struct condition *best = NULL, *c;
	uint32_t i;

	for (i = 0; i < f->must.n; i++) {
		c = &f->must.c[i];
		if (c->kind == COND_FILTER)
			c = filter_ids(c->filter);
		if (c != NULL && c->kind == COND_HAS_ID &&
		    (best == NULL || c->n_ids < best->n_ids))
			best = c;
	}
	return best;
}
