/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is accepted as a point reads back byte for byte; its canonical form is
 * a point too, with the same vector, and is its own canonical form; renaming
 * there and back changes nothing.
 */
#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/json/json_point.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void
same_text(const struct point *p, const void *text, size_t n)
{
	CLEAN(buf_done) struct buf b = {0};

	check(json_point_render(p, &b, NULL) == 0);
	check(b.n == n && p->doc.size == n && memcmp(b.p, text, n) == 0);
}

static void
canonical(const uint8_t *text, size_t n, const struct point *p,
	  const struct id_key *name, struct arena *a)
{
	CLEAN(buf_done) struct buf b = {0};
	struct point c, again;

	check(json_point_parse(text, n, name, true, a, &c, NULL) == 0);
	check(c.dim == p->dim);
	check(c.dim == 0 || memcmp(c.vec, p->vec, c.dim * sizeof(float)) == 0);
	check(json_point_render(&c, &b, NULL) == 0);
	check(json_point_parse(b.p, b.n, NULL, true, a, &again, NULL) == 0);
	check(memcmp(c.digest, again.digest, DIGEST_LEN) == 0);
	same_text(&again, b.p, b.n);
}

static void
renamed(const struct point *p, struct arena *a)
{
	CLEAN(buf_done) struct buf text = {0};
	struct id_key other;
	struct point q, back;

	id_from_string("other", 5, &other, NULL);
	check(json_point_rename(p, &other, a, &q, NULL) == 0);
	check(id_cmp(q.id.b, q.id.n, other.b, other.n) == 0);
	check(json_point_rename(&q, &p->id, a, &back, NULL) == 0);
	check(json_point_render(&q, &text, NULL) == 0);
	check(json_point_parse(text.p, text.n, &other, false, a, &back, NULL) ==
	      0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *text, size_t n)
{
	CLEAN(arena_done) struct arena a = {0};
	struct id_key name;
	struct point p;
	struct err err = {0};
	int rc = json_point_parse(text, n, NULL, false, &a, &p, &err);

	id_from_num(42, &name);
	if (rc == -ERR_ID) { /* as a file 42.json */
		rc = json_point_parse(text, n, &name, false, &a, &p, &err);
	}
	check(rc == 0 || (err.code == -rc && err.text[0] != 0));
	if (rc < 0)
		return 0;
	same_text(&p, text, n);
	canonical(text, n, &p, &p.id, &a);
	renamed(&p, &a);
	return 0;
}
