/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_read.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/hash.h"
#include "engine/json/json_tree.h"
#include "engine/payload/filter.h"
#include "engine/types.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- places ---------------------------------------------------------- */

int
rd_start(struct rd *r, const void *text, size_t n, struct arena *a,
	 struct json_tok *t, struct err *err)
{
	json_walk_init(&r->w, text, n, JSON_DEPTH_MAX);
	r->a = a;
	r->err = err;
	r->path_n = 0;
	r->path[0] = 0;
	return json_next(&r->w, t, err);
}

int
rd_end(struct rd *r)
{
	return json_finish(&r->w, r->err);
}

int
rd_fail(struct rd *r, enum errcode code, size_t at, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_set(r->err, code, "%s%sbyte %zu: %s", r->path,
		       r->path_n > 0 ? ": " : "", at, text);
}

int
rd_no_memory(struct rd *r)
{
	return err_set(r->err, ERR_NO_MEMORY, "out of memory");
}

/* A mistake that the walk found: the grammar's have their byte and belong to
 * no member; the others get the path. */
static int
rd_in(struct rd *r, int rc)
{
	if (rc >= 0 || rc == -ERR_JSON || r->path_n == 0)
		return rc;
	return err_in(r->err, rc, "%s", r->path);
}

/* At most n bytes of s, ending with a character. */
static int
cut(const char *s, size_t n, size_t max)
{
	if (n <= max)
		return (int)n;
	while (max > 0 && ((uint8_t)s[max] & 0xc0) == 0x80)
		max--;
	return (int)max;
}

/* Both return the length to go back to. */
static size_t
path_push_key(struct rd *r, const struct json_tok *k)
{
	const size_t old = r->path_n, room = sizeof r->path - old;
	const char *s = (const char *)k->raw.p + 1;
	int n = cut(s, k->raw.n - 2, 60);

	n = snprintf(r->path + old, room, "%s%.*s", old > 0 ? "." : "", n, s);
	if (n >= 0 && (size_t)n < room)
		r->path_n += (size_t)n;
	r->path[r->path_n] = 0;
	return old;
}

static size_t
path_push_index(struct rd *r, size_t i)
{
	const size_t old = r->path_n, room = sizeof r->path - old;
	int n = snprintf(r->path + old, room, "[%zu]", i);

	if (n >= 0 && (size_t)n < room)
		r->path_n += (size_t)n;
	r->path[r->path_n] = 0;
	return old;
}

static void
path_pop(struct rd *r, size_t old)
{
	r->path_n = old;
	r->path[old] = 0;
}

int
rd_want(struct rd *r, const struct json_tok *t, enum json_type type)
{
	if (t->type == type)
		return 0;
	return rd_fail(r, ERR_TYPE, t->at, "%s where %s belongs",
		       json_type_name(t->type), json_type_name(type));
}

/* --- containers ------------------------------------------------------ */

static int
member_fail(struct rd *r, const struct json_tok *k, const char *what)
{
	return rd_fail(r, ERR_KEY, k->at, "%s member %.*s", what,
		       cut(k->raw.p, k->raw.n, 80), (const char *)k->raw.p);
}

static size_t
member_find(const struct json_tok *k, const struct rd_member *m, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (json_tok_is(k, m[i].name))
			break;
	return i;
}

int
rd_members(struct rd *r, const struct json_tok *t, const struct rd_member *m,
	   size_t n, void *arg, uint64_t *ret_seen)
{
	struct json_tok k, v;
	uint64_t seen = 0;
	size_t i, bit, mark;
	int rc = rd_want(r, t, JSON_OBJECT);

	while (rc == 0 && (rc = json_key(&r->w, &k, r->err)) == 0 &&
	       k.type != JSON_END) {
		i = member_find(&k, m, n);
		if (i == n)
			return member_fail(r, &k, "unknown");
		for (bit = i; (m[bit].flags & RD_ALIAS) != 0; bit--)
			;
		if ((seen >> bit & 1) != 0)
			return member_fail(r, &k, "duplicate");
		mark = path_push_key(r, &k);
		rc = json_next(&r->w, &v, r->err);
		if (rc < 0)
			return rc;
		if (v.type == JSON_NULL && (m[i].flags & RD_NULL) != 0) {
			path_pop(r, mark);
			continue;
		}
		seen |= 1ull << bit;
		rc = m[i].read(r, &v, arg);
		if (rc == 0)
			path_pop(r, mark);
	}
	if (ret_seen != NULL)
		*ret_seen = seen;
	return rc;
}

int
rd_each(struct rd *r, const struct json_tok *t, rd_fn fn, void *arg)
{
	struct json_tok v;
	size_t i, mark;
	int rc = rd_want(r, t, JSON_ARRAY);

	for (i = 0; rc == 0; i++) {
		rc = json_next(&r->w, &v, r->err);
		if (rc < 0 || v.type == JSON_END)
			break;
		mark = path_push_index(r, i);
		rc = fn(r, &v, arg);
		if (rc == 0)
			path_pop(r, mark);
	}
	return rc;
}

void *
rd_list_add(struct rd *r, struct rd_list *l, size_t size)
{
	uint32_t cap = l->cap > 0 ? l->cap * 2 : 4;
	void *p;

	if (l->n == l->cap) {
		p = arena_alloc(r->a, cap * size);
		if (p == NULL)
			return NULL;
		if (l->n > 0)
			memcpy(p, l->p, l->n * size);
		l->p = p;
		l->cap = cap;
	}
	p = (char *)l->p + l->n++ * size;
	return memset(p, 0, size);
}

/* --- scalars --------------------------------------------------------- */

int
rd_string(struct rd *r, const struct json_tok *t, struct slice *ret)
{
	CLEAN(buf_done) struct buf b = {0};
	int rc = rd_want(r, t, JSON_STRING);

	if (rc == 0 && t->escaped)
		rc = json_unescape(t, &b, r->err);
	if (rc < 0)
		return rc;
	ret->n = t->escaped ? b.n : t->raw.n - 2;
	ret->p = arena_strndup(
		r->a, t->escaped ? (char *)b.p : (const char *)t->raw.p + 1,
		ret->n);
	return ret->p != NULL ? 0 : rd_no_memory(r);
}

int
rd_bool(struct rd *r, const struct json_tok *t, bool *ret)
{
	if (t->type != JSON_TRUE && t->type != JSON_FALSE)
		return rd_fail(r, ERR_TYPE, t->at,
			       "%s where true or false belongs",
			       json_type_name(t->type));
	*ret = t->type == JSON_TRUE;
	return 0;
}

int
rd_u64(struct rd *r, const struct json_tok *t, uint64_t min, uint64_t max,
       uint64_t *ret)
{
	uint64_t v;
	int rc = rd_want(r, t, JSON_NUMBER);

	if (rc == 0)
		rc = rd_in(r, json_tok_u64(t, &v, r->err));
	if (rc < 0)
		return rc;
	if (v < min || v > max)
		return rd_fail(r, ERR_NUMBER, t->at,
			       "%llu is not between %llu and %llu",
			       (unsigned long long)v, (unsigned long long)min,
			       (unsigned long long)max);
	*ret = v;
	return 0;
}

int
rd_f64(struct rd *r, const struct json_tok *t, double *ret)
{
	int rc = rd_want(r, t, JSON_NUMBER);

	return rc < 0 ? rc : rd_in(r, json_tok_f64(t, ret, r->err));
}

int
rd_id(struct rd *r, const struct json_tok *t, struct id_key *ret)
{
	struct slice s;
	struct err why;
	uint64_t num;
	int rc;

	if (t->type == JSON_NUMBER) {
		if (json_tok_u64(t, &num, &why) < 0)
			return rd_fail(r, ERR_ID, t->at,
				       "an id is an unsigned 64-bit number or "
				       "a string");
		id_from_num(num, ret);
		return 0;
	}
	if (t->type != JSON_STRING)
		return rd_fail(r, ERR_ID, t->at,
			       "%s where an id belongs: a number or a string",
			       json_type_name(t->type));
	if (t->raw.n - 2 <= ID_TEXT_MAX && !t->escaped) {
		s = (struct slice){(const char *)t->raw.p + 1, t->raw.n - 2};
	} else {
		rc = rd_string(r, t, &s);
		if (rc < 0)
			return rc;
	}
	rc = id_from_string(s.p, s.n, ret, &why);
	if (rc < 0)
		return rd_fail(r, (enum errcode) - rc, t->at, "%s", why.text);
	return 0;
}

int
rd_key_path(struct rd *r, const struct json_tok *t, struct path *ret)
{
	struct slice s;
	int rc = rd_string(r, t, &s);

	return rc < 0 ? rc : rd_in(r, path_parse(s.p, s.n, r->a, ret, r->err));
}

/* --- vectors --------------------------------------------------------- */

/* How many numbers there can be: no array of numbers has a bracket inside, and
 * a number and its comma take two bytes. */
static size_t
vector_room(const struct json_walk *w)
{
	const uint8_t *from = w->p + w->at, *to;
	size_t len;

	to = memchr(from, ']', w->n - w->at);
	len = to != NULL ? (size_t)(to - from) : w->n - w->at;
	return MIN(len / 2 + 1, (size_t)DIM_MAX);
}

static bool
vector_of_arrays(const struct json_walk *w)
{
	size_t at = w->at;

	while (at < w->n && strchr(" \t\r\n", w->p[at]) != NULL &&
	       w->p[at] != 0)
		at++;
	return at < w->n && w->p[at] == '[';
}

int
rd_vector(struct rd *r, const struct json_tok *t, struct rd_vector *ret)
{
	size_t n, at, end;
	float *v;
	int rc = rd_want(r, t, JSON_ARRAY);

	if (rc < 0)
		return rc;
	if (vector_of_arrays(&r->w))
		return rd_fail(r, ERR_NOT_YET, t->at,
			       "a vector of vectors is not supported yet");
	n = vector_room(&r->w);
	v = arena_vec(r->a, n);
	if (v == NULL)
		return rd_no_memory(r);
	rc = rd_in(r, json_f32_array(&r->w, v, n, &n, &at, &end, r->err));
	if (rc < 0)
		return rc;
	if (n == 0)
		return rd_fail(r, ERR_DIM, t->at, "the vector is empty");
	*ret = (struct rd_vector){v, (uint32_t)n, at, end};
	return 0;
}

/* --- members that appear twice --------------------------------------- */

/* The names of the objects that are open, innermost last.  Few are compared
 * with each other as they come; many are sorted when their object ends. */
#define NAMES_FEW   24
#define NAMES_LOCAL 64

struct name {
	struct slice s; /* unescaped */
	uint64_t hash;
	size_t at;
};

struct names {
	struct name *p;
	size_t n, cap;
	struct name local[NAMES_LOCAL];
};

static void
names_done(struct names *l)
{
	if (l->p != l->local)
		free(l->p);
}

static int
names_add(struct rd *r, struct names *l, const struct json_tok *k)
{
	struct name *to, *old = l->p == l->local ? NULL : l->p;
	const size_t cap = l->cap * 2;
	int rc;

	if (l->n == l->cap) {
		to = realloc(old, cap * sizeof *to);
		if (to == NULL)
			return rd_no_memory(r);
		if (old == NULL)
			memcpy(to, l->local, sizeof l->local);
		l->p = to;
		l->cap = cap;
	}
	to = &l->p[l->n];
	to->at = k->at;
	to->s = (struct slice){(const char *)k->raw.p + 1, k->raw.n - 2};
	if (k->escaped) {
		rc = rd_string(r, k, &to->s);
		if (rc < 0)
			return rc;
	}
	l->n++;
	return 0;
}

static int
name_cmp(const void *x, const void *y)
{
	const struct name *a = x, *b = y;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	if (a->s.n != b->s.n)
		return a->s.n < b->s.n ? -1 : 1;
	return memcmp(a->s.p, b->s.p, a->s.n);
}

static int
name_fail(struct rd *r, const struct name *n)
{
	return rd_fail(r, ERR_KEY, n->at, "duplicate member \"%.*s\"",
		       cut(n->s.p, n->s.n, 80), (const char *)n->s.p);
}

/* The newest name against the others of its object, from first. */
static int
names_check_new(struct rd *r, const struct names *l, size_t first)
{
	const struct name *n = &l->p[l->n - 1];
	size_t i;

	if (l->n - first > NAMES_FEW)
		return 0;
	for (i = first; i < l->n - 1; i++)
		if (l->p[i].s.n == n->s.n &&
		    memcmp(l->p[i].s.p, n->s.p, n->s.n) == 0)
			return name_fail(r, n);
	return 0;
}

static int
names_check_all(struct rd *r, struct names *l, size_t first)
{
	struct name *p = l->p + first;
	size_t n = l->n - first, i;

	if (n <= NAMES_FEW)
		return 0;
	for (i = 0; i < n; i++)
		p[i].hash = hash64(p[i].s.p, p[i].s.n);
	qsort(p, n, sizeof *p, name_cmp);
	for (i = 1; i < n; i++)
		if (name_cmp(&p[i - 1], &p[i]) == 0)
			return name_fail(r, p[i].at > p[i - 1].at ? &p[i]
								  : &p[i - 1]);
	return 0;
}

static int unique_value(struct rd *r, const struct json_tok *t,
			struct names *l);

static int
unique_object(struct rd *r, struct names *l)
{
	const size_t first = l->n;
	struct json_tok k;
	int rc;

	for (;;) {
		rc = json_key(&r->w, &k, r->err);
		if (rc < 0 || k.type == JSON_END)
			break;
		rc = names_add(r, l, &k);
		if (rc == 0)
			rc = names_check_new(r, l, first);
		if (rc == 0)
			rc = json_next(&r->w, &k, r->err);
		if (rc == 0)
			rc = unique_value(r, &k, l);
		if (rc < 0)
			return rc;
	}
	if (rc == 0)
		rc = names_check_all(r, l, first);
	l->n = first;
	return rc;
}

static int
unique_number(struct rd *r, const struct json_tok *t)
{
	double v;

	if (t->raw.n < 300 && memchr(t->raw.p, 'e', t->raw.n) == NULL &&
	    memchr(t->raw.p, 'E', t->raw.n) == NULL)
		return 0;
	return rd_in(r, json_tok_f64(t, &v, r->err));
}

/* As deep as JSON_DEPTH_MAX, which the walk sees to. */
static int
unique_value(struct rd *r, const struct json_tok *t, struct names *l)
{
	struct json_tok e;
	int rc = 0;

	if (t->type == JSON_OBJECT)
		return unique_object(r, l);
	if (t->type == JSON_NUMBER)
		return unique_number(r, t);
	if (t->type != JSON_ARRAY)
		return 0;
	while (rc == 0) {
		rc = json_next(&r->w, &e, r->err);
		if (rc < 0 || e.type == JSON_END)
			break;
		rc = unique_value(r, &e, l);
	}
	return rc;
}

int
rd_unique(struct rd *r, const struct json_tok *t)
{
	struct names l;
	int rc;

	l.p = l.local;
	l.n = 0;
	l.cap = NAMES_LOCAL;
	rc = unique_value(r, t, &l);
	names_done(&l);
	return rc;
}

/* --- members that are read and not used ------------------------------ */

int
rd_ignore(struct rd *r, const struct json_tok *t, void *arg)
{
	(void)arg;
	return rd_unique(r, t);
}

int
rd_ignore_bool(struct rd *r, const struct json_tok *t, void *arg)
{
	bool b;

	(void)arg;
	return rd_bool(r, t, &b);
}

int
rd_ignore_u64(struct rd *r, const struct json_tok *t, void *arg)
{
	uint64_t v;

	(void)arg;
	return rd_u64(r, t, 0, UINT64_MAX, &v);
}

int
rd_ignore_ordering(struct rd *r, const struct json_tok *t, void *arg)
{
	(void)arg;
	if (json_tok_is(t, "weak") || json_tok_is(t, "medium") ||
	    json_tok_is(t, "strong"))
		return 0;
	return rd_fail(r, ERR_TYPE, t->at, "weak, medium or strong expected");
}

int
rd_ignore_object(struct rd *r, const struct json_tok *t, void *arg)
{
	int rc = rd_want(r, t, JSON_OBJECT);

	(void)arg;
	return rc < 0 ? rc : rd_unique(r, t);
}

int
rd_not_yet(struct rd *r, const struct json_tok *t, void *arg)
{
	(void)arg;
	(void)t;
	return err_set(r->err, ERR_NOT_YET, "%s is not supported yet", r->path);
}

/* --- for json_config.c ----------------------------------------------- */

int
tree_check_text(const void *text, size_t n, struct arena *a, struct err *err)
{
	struct json_tok t;
	struct rd r;
	int rc = rd_start(&r, text, n, a, &t, err);

	if (rc == 0)
		rc = rd_want(&r, &t, JSON_OBJECT);
	if (rc == 0)
		rc = rd_unique(&r, &t);
	return rc < 0 ? rc : rd_end(&r);
}

int
tree_put_string(const char *s, size_t n, struct buf *ret)
{
	return json_quote(s, n, ret);
}
