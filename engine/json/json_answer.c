/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_answer.c - what was found, in Qdrant's shapes, on one line.
 */
#include "engine/json/json_query.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/text.h"
#include "engine/json/json_point.h"
#include "engine/json/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- parts of a payload ---------------------------------------------- */

/* The way from the payload's root to the value in hand. */
struct frame {
	struct json_tok name; /* of a member */
	int64_t index;        /* of an element, or PATH_MEMBER */
};

struct picker {
	struct json_walk w;
	const struct select *s;
	struct buf *out;
	struct frame way[JSON_DEPTH_MAX + 1];
	uint32_t n;
};

enum meets { MEETS_NOT, MEETS_ABOVE, MEETS_HERE };

static bool
step_meets(const struct path_step *s, const struct frame *f)
{
	if (s->index == PATH_MEMBER)
		return f->index == PATH_MEMBER &&
		       json_tok_eq(&f->name, s->name);
	return f->index >= 0 && (s->index == PATH_ALL || s->index == f->index);
}

static enum meets
path_meets(const struct path *p, const struct frame *way, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n && i < p->n; i++)
		if (!step_meets(&p->steps[i], &way[i]))
			return MEETS_NOT;
	if (p->n == n)
		return MEETS_HERE;
	return p->n > n ? MEETS_ABOVE : MEETS_NOT;
}

/* The strongest of all keys: one ends here, or one goes on from here. */
static enum meets
picker_meets(const struct picker *k)
{
	enum meets best = MEETS_NOT, m;
	uint32_t i;

	for (i = 0; i < k->s->n && best != MEETS_HERE; i++) {
		m = path_meets(&k->s->keys[i], k->way, k->n);
		best = MAX(best, m);
	}
	return best;
}

static int pick_container(struct picker *k, const struct json_tok *t,
			  bool *ret_any);

/* The value in hand, or what the keys leave of it.  Nothing may be left. */
static int
pick_value(struct picker *k, const struct json_tok *t, bool *ret_any)
{
	const bool include = k->s->kind == SELECT_INCLUDE;
	const enum meets m = picker_meets(k);
	struct slice raw;
	int rc;

	*ret_any = true;
	if (m == MEETS_ABOVE &&
	    (t->type == JSON_OBJECT || t->type == JSON_ARRAY))
		return pick_container(k, t, ret_any);
	rc = json_skip(&k->w, t, &raw, NULL);
	*ret_any = include == (m == MEETS_HERE);
	if (rc == 0 && *ret_any)
		rc = json_compact(raw.p, raw.n, k->out);
	return rc;
}

/* The next member or element into the frame and *t; its name is printed. */
static int
pick_next(struct picker *k, bool object, struct frame *f, struct json_tok *t)
{
	int rc;

	if (!object) {
		f->index++;
		return json_next(&k->w, t, NULL);
	}
	rc = json_key(&k->w, &f->name, NULL);
	if (rc < 0 || f->name.type == JSON_END) {
		t->type = JSON_END;
		return rc;
	}
	buf_put(k->out, f->name.raw.p, f->name.raw.n);
	buf_put_u8(k->out, ':');
	return json_next(&k->w, t, NULL);
}

static int
pick_container(struct picker *k, const struct json_tok *t, bool *ret_any)
{
	const bool object = t->type == JSON_OBJECT;
	struct frame *f = &k->way[k->n];
	struct json_tok v;
	bool some = false, any;
	size_t before;
	int rc;

	check(k->n++ < JSON_DEPTH_MAX); /* the walk goes no deeper */
	f->index = object ? PATH_MEMBER : -1;
	buf_put_u8(k->out, object ? '{' : '[');
	for (;;) {
		before = k->out->n;
		if (some)
			buf_put_u8(k->out, ',');
		rc = pick_next(k, object, f, &v);
		if (rc < 0 || v.type == JSON_END)
			break;
		rc = pick_value(k, &v, &any);
		if (rc < 0)
			break;
		if (!any)
			k->out->n = before;
		some |= any;
	}
	if (rc == 0)
		k->out->n = before; /* a comma */
	buf_put_u8(k->out, object ? '}' : ']');
	k->n--;
	*ret_any = some || k->s->kind == SELECT_EXCLUDE;
	return rc;
}

static int
payload_pick(struct slice payload, const struct select *s, struct buf *ret)
{
	struct picker k = {.s = s, .out = ret};
	struct json_tok t;
	bool any;
	int rc;

	json_walk_init(&k.w, payload.p, payload.n, JSON_DEPTH_MAX);
	rc = json_next(&k.w, &t, NULL);
	if (rc == 0 && t.type != JSON_OBJECT)
		rc = -ERR_DAMAGED;
	return rc < 0 ? rc : pick_container(&k, &t, &any);
}

static int
payload_print(struct slice payload, const struct select *s, struct buf *ret,
	      struct err *err)
{
	int rc = 0;

	if (payload.n == 0)
		buf_puts(ret, "{}");
	else if (s->kind == SELECT_ALL)
		rc = json_compact(payload.p, payload.n, ret);
	else
		rc = payload_pick(payload, s, ret);
	if (rc < 0 && !ret->failed)
		return err_set(err, ERR_DAMAGED, "a payload does not parse");
	return 0;
}

/* --- points ---------------------------------------------------------- */

static void
vector_print(const struct point *p, struct buf *ret)
{
	uint32_t i;

	if (p->dim == 0) {
		buf_puts(ret, "{}");
		return;
	}
	if (buf_reserve(ret, (size_t)p->dim * (NUM_TEXT_MAX + 1) + 2) < 0)
		return;
	for (i = 0; i < p->dim; i++) {
		ret->p[ret->n++] = i == 0 ? '[' : ',';
		ret->n += num_print_f32(p->vec[i], 0, (char *)ret->p + ret->n);
	}
	ret->p[ret->n++] = ']';
}

/* Distances are finite for finite vectors, but their sum may not be: JSON has
 * no infinity, so the largest float stands for it. */
static float
score_finite(float v)
{
	if (isnan(v))
		return 0;
	return isinf(v) ? copysignf(3.4028235e38f, v) : v;
}

static int
hit_print(const struct hit *h, bool scored, const struct select *s,
	  bool with_vector, struct buf *ret, struct err *err)
{
	char text[NUM_TEXT_MAX];
	int rc = 0;

	buf_puts(ret, "{\"id\":");
	id_print_json(h->point.id.b, h->point.id.n, ret);
	if (scored) {
		buf_printf(ret, ",\"version\":%llu,\"score\":",
			   (unsigned long long)h->point.lsn);
		buf_put(ret, text,
			num_print_f32(score_finite(h->score), 0, text));
	}
	if (s->kind != SELECT_NONE) {
		buf_puts(ret, ",\"payload\":");
		rc = payload_print(point_payload(&h->point), s, ret, err);
	}
	if (with_vector) {
		buf_puts(ret, ",\"vector\":");
		vector_print(&h->point, ret);
	}
	buf_puts(ret, "}");
	return rc;
}

static int
hits_print(const struct hits *hits, bool scored, const struct select *s,
	   bool with_vector, struct buf *ret, struct err *err)
{
	uint32_t i;
	int rc = 0;

	buf_puts(ret, "[");
	for (i = 0; i < hits->n && rc == 0; i++) {
		if (i > 0)
			buf_puts(ret, ",");
		rc = hit_print(&hits->h[i], scored, s, with_vector, ret, err);
	}
	buf_puts(ret, "]");
	return rc;
}

/* --- envelopes ------------------------------------------------------- */

static int
time_print(double seconds, struct buf *ret)
{
	char text[NUM_TEXT_MAX];

	if (!(seconds >= 0 && seconds < 1e15))
		seconds = 0;
	seconds = round(seconds * 1e9) / 1e9;
	buf_puts(ret, ",\"time\":");
	buf_put(ret, text, num_print_f64(seconds, text));
	buf_puts(ret, "}\n");
	return ret->failed ? -ERR_NO_MEMORY : 0;
}

/* Ends the answer, or takes back what an error left of it. */
static int
answer_end(struct buf *ret, size_t from, int rc, double seconds,
	   struct err *err)
{
	if (rc == 0) {
		buf_puts(ret, ",\"status\":\"ok\"");
		if (time_print(seconds, ret) < 0)
			rc = err_set(err, ERR_NO_MEMORY, "out of memory");
	}
	if (rc < 0)
		ret->n = from;
	return rc;
}

static int
query_print(const struct query *q, const struct hits *hits, struct buf *ret,
	    struct err *err)
{
	int rc;

	if (!q->bare_list)
		buf_puts(ret, "{\"points\":");
	rc = hits_print(hits, true, &q->payload, q->with_vector, ret, err);
	if (!q->bare_list)
		buf_puts(ret, "}");
	return rc;
}

int
json_search_print(const struct search_request *r, const struct hits *hits,
		  double seconds, struct buf *ret, struct err *err)
{
	const size_t from = ret->n;
	uint32_t i;
	int rc = 0;

	buf_puts(ret, "{\"result\":");
	if (r->batch)
		buf_puts(ret, "[");
	for (i = 0; i < r->n && rc == 0; i++) {
		if (i > 0)
			buf_puts(ret, ",");
		rc = query_print(&r->q[i], &hits[i], ret, err);
	}
	if (r->batch)
		buf_puts(ret, "]");
	return answer_end(ret, from, rc, seconds, err);
}

int
json_scroll_print(const struct scroll_request *r, const struct hits *hits,
		  const struct id_key *next, double seconds, struct buf *ret,
		  struct err *err)
{
	const size_t from = ret->n;
	int rc;

	buf_puts(ret, "{\"result\":{\"points\":");
	rc = hits_print(hits, false, &r->payload, r->with_vector, ret, err);
	buf_puts(ret, ",\"next_page_offset\":");
	if (next != NULL && next->n > 0)
		id_print_json(next->b, next->n, ret);
	else
		buf_puts(ret, "null");
	buf_puts(ret, "}");
	return answer_end(ret, from, rc, seconds, err);
}

int
json_count_print(uint64_t count, double seconds, struct buf *ret)
{
	const size_t from = ret->n;

	buf_printf(ret, "{\"result\":{\"count\":%llu}",
		   (unsigned long long)count);
	return answer_end(ret, from, 0, seconds, NULL);
}

int
json_error_print(const struct err *err, double seconds, struct buf *ret)
{
	const char *text = err_text(err);
	const size_t from = ret->n;
	size_t n = strlen(text);

	while (!utf8_valid(text, n)) /* a long text was cut */
		n--;
	buf_puts(ret, "{\"result\":null,\"status\":{\"error\":");
	json_quote(text, n, ret);
	buf_puts(ret, "}");
	if (time_print(seconds, ret) == 0)
		return 0;
	ret->n = from;
	return -ERR_NO_MEMORY;
}
