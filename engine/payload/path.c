/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.c - key paths: city, a.b, tags[], tags[0].name, "odd.key".x
 */
#include "engine/payload/filter.h"

#include "engine/base/arena.h"
#include "engine/base/err.h"

#include <string.h>

#define INDEX_MAX ((int64_t)UINT32_MAX)

struct path_text {
	const char *s;
	size_t n;
	size_t at;
};

static int
path_fail(const struct path_text *t, const char *what, struct err *err)
{
	return err_set(err, ERR_QUERY, "key '%.*s': %s at character %zu",
		       (int)(t->n < 100 ? t->n : 100), t->s, what, t->at + 1);
}

static int
path_quoted(struct path_text *t, struct slice *ret, struct err *err)
{
	const char *from = t->s + t->at + 1, *to;

	to = memchr(from, '"', t->n - t->at - 1);
	if (to == NULL)
		return path_fail(t, "a quote is not closed", err);
	*ret = (struct slice){from, (size_t)(to - from)};
	t->at = (size_t)(to - t->s) + 1;
	return 0;
}

static int
path_name(struct path_text *t, struct slice *ret, struct err *err)
{
	const size_t from = t->at;

	if (t->at < t->n && t->s[t->at] == '"')
		return path_quoted(t, ret, err);
	while (t->at < t->n && strchr(".[]\"", t->s[t->at]) == NULL)
		t->at++;
	if (t->at == from)
		return path_fail(t, "a name is missing", err);
	*ret = (struct slice){t->s + from, t->at - from};
	return 0;
}

/* Behind the opening bracket. */
static int
path_index(struct path_text *t, int64_t *ret, struct err *err)
{
	int64_t v = PATH_ALL;

	for (; t->at < t->n && t->s[t->at] != ']'; t->at++) {
		unsigned d = (unsigned char)t->s[t->at] - '0';

		if (d > 9)
			return path_fail(t, "[] or [number] expected", err);
		v = (v == PATH_ALL ? 0 : v) * 10 + d;
		if (v > INDEX_MAX)
			return path_fail(t, "number too large", err);
	}
	if (t->at == t->n)
		return path_fail(t, "']' expected", err);
	t->at++;
	*ret = v;
	return 0;
}

static int
path_step(struct path_text *t, bool first, struct path_step *ret,
	  struct err *err)
{
	*ret = (struct path_step){.index = PATH_MEMBER};
	if (first)
		return path_name(t, &ret->name, err);
	if (t->s[t->at] == '.') {
		t->at++;
		return path_name(t, &ret->name, err);
	}
	if (t->s[t->at] != '[')
		return path_fail(t, "'.' or '[' expected", err);
	t->at++;
	return path_index(t, &ret->index, err);
}

int
path_parse(const char *s, size_t n, struct arena *a, struct path *ret,
	   struct err *err)
{
	struct path_step steps[PATH_STEPS_MAX];
	struct path_text t = {s, n, 0};
	struct path path = {.n = 0};
	int rc;

	t.s = arena_strndup(a, s, n); /* names point into it */
	if (t.s == NULL)
		return err_set(err, ERR_NO_MEMORY, "out of memory");
	do {
		if (path.n == PATH_STEPS_MAX)
			return path_fail(&t, "too many steps", err);
		rc = path_step(&t, path.n == 0, &steps[path.n], err);
		if (rc < 0)
			return rc;
		path.n++;
	} while (t.at < t.n);
	path.text = (struct slice){t.s, n};
	path.steps = arena_dup(a, steps, path.n * sizeof *steps);
	if (path.steps == NULL)
		return err_set(err, ERR_NO_MEMORY, "out of memory");
	*ret = path;
	return 0;
}
