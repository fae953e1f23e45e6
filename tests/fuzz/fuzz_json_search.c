/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests: whatever is accepted can be evaluated and answered, and the answer
 * is JSON.
 */
#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/text.h"
#include "engine/json/json_point.h"
#include "engine/json/json_query.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const char doc[] =
	"{\"id\":1,\"vector\":[0.5,1],\"payload\":{\"a\":{\"b\":[1,2.5,\"x\\n\""
	",null]},\"city\":\"London\",\"n\":5,\"list\":[{\"x\":1},{\"y\":[[2]]}"
	"],\"k\\u0065y\":true}}";

static void
is_json(const struct buf *b)
{
	struct json_feed f = {0};

	check(b->n > 0 && b->p[b->n - 1] == '\n');
	check(json_feed(&f, b->p, b->n, 2 * JSON_DEPTH_MAX, NULL, NULL) ==
	      JSON_WHOLE);
}

static void
evaluate(const struct filter *f, const struct hit *h)
{
	bool pass;

	if (f == NULL)
		return;
	pass = filter_pass(f, h->point.id.b, h->point.id.n,
			   point_payload(&h->point));
	if (!filter_needs_payload(f))
		check(pass == filter_pass(f, h->point.id.b, h->point.id.n,
					  (struct slice){"", 0}));
	filter_ids(f);
}

static void
search(const uint8_t *text, size_t n, struct hit *h, struct arena *a)
{
	CLEAN(buf_done) struct buf b = {0};
	struct search_request r;
	struct hits *hits;
	struct err err = {0};
	uint32_t i;

	if (json_search_parse(text, n, a, &r, &err) < 0) {
		check(json_error_print(&err, 0.1, &b) == 0);
		is_json(&b);
		return;
	}
	hits = arena_alloc(a, r.n * sizeof *hits + 1);
	check(hits != NULL);
	for (i = 0; i < r.n; i++) {
		check(r.q[i].limit >= 1 &&
		      r.q[i].limit + r.q[i].offset <= LIMIT_MAX);
		evaluate(r.q[i].filter, h);
		hits[i] = (struct hits){h, 1};
	}
	check(json_search_print(&r, hits, 0.1, &b, &err) == 0);
	is_json(&b);
}

static void
scroll(const uint8_t *text, size_t n, struct hit *h, struct arena *a)
{
	CLEAN(buf_done) struct buf b = {0};
	struct scroll_request s;
	struct count_request c;
	struct hits hits = {h, 1};

	if (json_scroll_parse(text, n, a, &s, NULL) == 0) {
		evaluate(s.filter, h);
		check(json_scroll_print(&s, &hits, &s.offset, 0.1, &b, NULL) ==
		      0);
		is_json(&b);
	}
	if (json_count_parse(text, n, a, &c, NULL) == 0)
		evaluate(c.filter, h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *text, size_t n)
{
	CLEAN(arena_done) struct arena a = {0};
	struct hit h = {.score = 0.5f};

	check(json_point_parse(doc, strlen(doc), NULL, false, &a, &h.point,
			       NULL) == 0);
	search(text, n, &h, &a);
	scroll(text, n, &h, &a);
	return 0;
}
