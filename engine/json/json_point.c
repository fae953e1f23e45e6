/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_point.h"

#include "engine/base/arena.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/hash.h"
#include "engine/json/json_read.h"
#include "engine/json/number.h"

#define SEP_MAX 255

/* What was found in a text, as offsets into it. */
struct scan {
	struct id_key id; /* n == 0: no member */
	struct slice id_raw;
	struct rd_vector vec; /* dim == 0: none */
	struct slice payload; /* n == 0: none */
};

/* --- members --------------------------------------------------------- */

static int
read_id(struct rd *r, const struct json_tok *t, void *arg)
{
	struct scan *s = arg;

	s->id_raw = t->raw;
	return rd_id(r, t, &s->id);
}

/* An empty object says that there is no vector. */
static int
read_vector_object(struct rd *r)
{
	struct json_tok k;
	int rc = json_key(&r->w, &k, r->err);

	if (rc < 0 || k.type == JSON_END)
		return rc;
	if (json_tok_is(&k, "indices") || json_tok_is(&k, "values"))
		return rd_fail(r, ERR_NOT_YET, k.at,
			       "sparse vectors are not supported yet");
	return rd_fail(r, ERR_NOT_YET, k.at,
		       "named vectors are not supported yet");
}

static int
read_vector(struct rd *r, const struct json_tok *t, void *arg)
{
	struct scan *s = arg;

	if (t->type == JSON_OBJECT)
		return read_vector_object(r);
	return rd_vector(r, t, &s->vec);
}

static int
read_payload(struct rd *r, const struct json_tok *t, void *arg)
{
	struct scan *s = arg;
	int rc = rd_want(r, t, JSON_OBJECT);

	if (rc == 0)
		rc = rd_unique(r, t);
	if (rc == 0)
		s->payload = (struct slice){r->w.p + t->at, r->w.at - t->at};
	return rc;
}

static const struct rd_member point_members[] = {
	{"id", read_id, 0},
	{"vector", read_vector, 0},
	{"vectors", read_vector, RD_ALIAS},
	{"payload", read_payload, RD_NULL},
	{"shard_key", rd_not_yet, RD_NULL},
};

static int
point_scan(const void *text, size_t n, struct arena *a, struct scan *ret,
	   struct err *err)
{
	struct json_tok t;
	struct rd r;
	int rc;

	*ret = (struct scan){0};
	rc = rd_start(&r, text, n, a, &t, err);
	if (rc == 0)
		rc = rd_members(&r, &t, point_members, ARRAY_LEN(point_members),
				ret, NULL);
	return rc < 0 ? rc : rd_end(&r);
}

/* --- the spelling of the numbers ------------------------------------- */

/* Likely ones first.  A style and its successors print most numbers alike, so
 * the one that broke a style is the first to ask about the next. */
static const uint8_t styles[] = {
	NUM_EXP_JS,
	NUM_EXP_PYTHON | NUM_WHOLE_POINT,
	NUM_EXP_PYTHON | NUM_WHOLE_POINT | NUM_DIGITS_F64,
	NUM_EXP_JS | NUM_DIGITS_F64,
	NUM_EXP_PYTHON,
	NUM_EXP_PYTHON | NUM_DIGITS_F64,
	NUM_EXP_RUST | NUM_WHOLE_POINT,
	NUM_EXP_RUST | NUM_WHOLE_POINT | NUM_DIGITS_F64,
	NUM_FIXED + 6,
	NUM_FIXED + 4,
	NUM_FIXED + 8,
	NUM_FIXED + 5,
	NUM_FIXED + 3,
	NUM_FIXED + 7,
	NUM_FIXED + 2,
	NUM_FIXED + 1,
	NUM_FIXED + 9,
	NUM_EXP_RUST,
	NUM_EXP_RUST | NUM_DIGITS_F64,
	NUM_EXP_JAVA | NUM_WHOLE_POINT,
	NUM_EXP_JAVA | NUM_WHOLE_POINT | NUM_DIGITS_F64,
	NUM_EXP_JS | NUM_WHOLE_POINT,
	NUM_EXP_JS | NUM_WHOLE_POINT | NUM_DIGITS_F64,
};

struct spelling {
	const uint8_t *p, *end; /* the numbers, with what is between them */
	const float *vec;
	uint32_t dim;
	struct slice sep;
};

#define CHUNK 32 /* numbers that are printed and compared at a time */

/* How many bytes the number takes at p, 0 if it is spelled otherwise. */
static size_t
number_fits(const struct spelling *s, unsigned style, uint32_t i,
	    const uint8_t *p)
{
	const size_t room = (size_t)(s->end - p);
	char text[NUM_TEXT_MAX];
	size_t n = 0;

	if (style < NUM_FIXED && (style & NUM_DIGITS_F64) == 0)
		n = num_match_f32(s->vec[i], (const char *)p, room);
	if (n > 0)
		return n;
	n = num_print_f32(s->vec[i], style, text);
	return room >= n && memcmp(p, text, n) == 0 ? n : 0;
}

/* Numbers with the separator between them and, unless it is the vector's last,
 * behind each; room for n * (NUM_TEXT_MAX + SEP_MAX). */
static char *
numbers_put(char *at, const float *vec, size_t n, unsigned style,
	    struct slice sep, bool last)
{
	uint64_t eight = 0;
	size_t i;

	if (sep.n <= sizeof eight) {
		if (sep.n > 0)
			memcpy(&eight, sep.p, sep.n);
		for (i = 0; i < n; i++) {
			at += num_print_f32(vec[i], style, at);
			memcpy(at, &eight, sizeof eight);
			at += sep.n;
		}
	} else {
		for (i = 0; i < n; i++) {
			at += num_print_f32(vec[i], style, at);
			memcpy(at, sep.p, sep.n);
			at += sep.n;
		}
	}
	return last ? at - sep.n : at;
}

/* Moves *i and *p on while chunks are as they would be printed. */
static void
chunks_fit(const struct spelling *s, unsigned style, uint32_t *i,
	   const uint8_t **p)
{
	char text[CHUNK * (NUM_TEXT_MAX + SEP_MAX) + 8];
	uint32_t n;
	size_t len;

	for (; *i < s->dim; *i += n) {
		n = MIN(s->dim - *i, (uint32_t)CHUNK);
		len = (size_t)(numbers_put(text, s->vec + *i, n, style, s->sep,
					   *i + n == s->dim) -
			       text);
		if ((size_t)(s->end - *p) < len || memcmp(*p, text, len) != 0)
			break;
		*p += len;
	}
}

static bool
sep_fits(const struct spelling *s, const uint8_t *p)
{
	const uint8_t *sep = s->sep.p;
	size_t i = 0;

	if ((size_t)(s->end - p) < s->sep.n)
		return false;
	while (i < s->sep.n && p[i] == sep[i])
		i++;
	return i == s->sep.n;
}

/* Whether all numbers are in this style; if not, which is the first that is
 * not, and where.  Float32 digits can be told from the text; the others are
 * printed, many at a time. */
static bool
style_fits(const struct spelling *s, unsigned style, uint32_t *ret_i,
	   const uint8_t **ret_p)
{
	const uint8_t *p = s->p;
	uint32_t i = 0;
	size_t n;

	if (style >= NUM_FIXED || (style & NUM_DIGITS_F64) != 0)
		chunks_fit(s, style, &i, &p);
	for (; i < s->dim; i++) {
		n = number_fits(s, style, i, p);
		if (n == 0 || (i + 1 < s->dim && !sep_fits(s, p + n))) {
			*ret_i = i;
			*ret_p = p;
			return false;
		}
		p += i + 1 < s->dim ? n + s->sep.n : n;
	}
	return p == s->end;
}

/* What stands between the first two numbers. */
static struct slice
sep_find(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from, *to;

	for (from = p; from < end && *from != ',' && *from > ' '; from++)
		;
	for (to = from; to < end && (*to == ',' || *to <= ' '); to++)
		;
	return (struct slice){from, (size_t)(to - from)};
}

static bool
spelling_find(struct spelling *s, uint8_t *ret_style)
{
	const uint8_t *hard = s->p;
	uint32_t hard_i = 0;
	size_t i;

	s->sep = sep_find(s->p, s->end);
	if (s->sep.n > SEP_MAX)
		return false;
	for (i = 0; i < ARRAY_LEN(styles); i++) {
		if (number_fits(s, styles[i], hard_i, hard) == 0)
			continue;
		if (style_fits(s, styles[i], &hard_i, &hard)) {
			*ret_style = styles[i];
			return true;
		}
	}
	return false;
}

/* --- documents ------------------------------------------------------- */

static int
no_memory(struct err *err)
{
	return err_set(err, ERR_NO_MEMORY, "out of memory");
}

static int
doc_verbatim(const struct scan *s, const uint8_t *text, size_t n,
	     struct arena *a, struct doc *ret, struct err *err)
{
	void *p = arena_dup(a, text, n);

	if (p == NULL)
		return no_memory(err);
	*ret = (struct doc){
		.form = DOC_VERBATIM,
		.size = (uint32_t)n,
		.text = {p, n},
		.pay_len = (uint32_t)s->payload.n,
	};
	if (s->payload.n > 0)
		ret->pay_at = (uint32_t)((const uint8_t *)s->payload.p - text);
	return 0;
}

static int
doc_template(const struct scan *s, const struct spelling *sp, uint8_t style,
	     const uint8_t *text, size_t n, struct arena *a, struct doc *ret,
	     struct err *err)
{
	const size_t rest = n - s->vec.end;
	size_t pay = 0;
	uint8_t *p = arena_alloc(a, s->vec.at + sp->sep.n + rest);

	if (p == NULL)
		return no_memory(err);
	memcpy(p, text, s->vec.at);
	if (sp->sep.n > 0)
		memcpy(p + s->vec.at, sp->sep.p, sp->sep.n);
	memcpy(p + s->vec.at + sp->sep.n, text + s->vec.end, rest);
	if (s->payload.n > 0)
		pay = (size_t)((const uint8_t *)s->payload.p - text);
	if (pay > s->vec.at)
		pay = pay - s->vec.end + s->vec.at + sp->sep.n;
	*ret = (struct doc){
		.form = DOC_TEMPLATE,
		.style = style,
		.sep_len = (uint16_t)sp->sep.n,
		.size = (uint32_t)n,
		.vec_at = (uint32_t)s->vec.at,
		.pay_at = (uint32_t)pay,
		.pay_len = (uint32_t)s->payload.n,
		.text = {p, s->vec.at + sp->sep.n + rest},
	};
	return 0;
}

static int
doc_given(const struct scan *s, const uint8_t *text, size_t n, struct arena *a,
	  struct doc *ret, struct err *err)
{
	struct spelling sp = {
		.p = text + s->vec.at,
		.end = text + s->vec.end,
		.vec = s->vec.v,
		.dim = s->vec.dim,
	};
	uint8_t style;

	if (s->vec.dim > 0 && spelling_find(&sp, &style))
		return doc_template(s, &sp, style, text, n, a, ret, err);
	return doc_verbatim(s, text, n, a, ret, err);
}

static void
numbers_print(const float *vec, uint32_t dim, unsigned style, struct slice sep,
	      struct buf *ret)
{
	char *at, *end;

	if (dim == 0 ||
	    buf_reserve(ret, (size_t)dim * (NUM_TEXT_MAX + sep.n) + 8) < 0)
		return;
	at = (char *)ret->p + ret->n;
	end = numbers_put(at, vec, dim, style, sep, true);
	ret->n += (size_t)(end - at);
}

static void
canonical_print(const struct point *p, struct buf *ret)
{
	buf_puts(ret, "{\"id\":");
	id_print_json(p->id.b, p->id.n, ret);
	if (p->dim > 0) {
		buf_puts(ret, ",\"vector\":[");
		numbers_print(p->vec, p->dim, 0, (struct slice){",", 1}, ret);
		buf_puts(ret, "]");
	}
	if (p->doc.pay_len > 0) {
		buf_puts(ret, ",\"payload\":");
		buf_put(ret, point_payload(p).p, p->doc.pay_len);
	}
	buf_puts(ret, "}");
}

/* The length of what num_print_f32() prints, without keeping it. */
static size_t
canonical_size(const struct point *p, struct err *err)
{
	CLEAN(buf_done) struct buf b = {0};
	struct point head = *p;
	char text[NUM_TEXT_MAX];
	size_t n;
	uint32_t i;

	head.dim = 0;
	head.doc.pay_len = 0;
	canonical_print(&head, &b);
	if (b.failed) {
		no_memory(err);
		return 0;
	}
	n = b.n;
	if (p->dim > 0)
		n += strlen(",\"vector\":[]") + p->dim - 1;
	for (i = 0; i < p->dim; i++)
		n += num_print_f32(p->vec[i], 0, text);
	if (p->doc.pay_len > 0)
		n += strlen(",\"payload\":") + p->doc.pay_len;
	return n;
}

/* Payload and point are in the arena already. */
static int
doc_canonical(struct point *p, struct slice payload, struct err *err)
{
	size_t size;

	p->doc = (struct doc){
		.form = DOC_CANONICAL,
		.text = payload,
		.pay_len = (uint32_t)payload.n,
	};
	size = canonical_size(p, err);
	if (size == 0)
		return -ERR_NO_MEMORY;
	if (size > UINT32_MAX)
		return err_set(err, ERR_TOO_BIG, "the point is too big");
	p->doc.size = (uint32_t)size;
	return 0;
}

static int
payload_compact(struct slice s, struct arena *a, struct slice *ret,
		struct err *err)
{
	CLEAN(buf_done) struct buf b = {0};

	*ret = (struct slice){"", 0};
	if (s.n == 0)
		return 0;
	if (json_compact(s.p, s.n, &b) < 0)
		return no_memory(err);
	*ret = (struct slice){arena_dup(a, b.p, b.n), b.n};
	return ret->p != NULL ? 0 : no_memory(err);
}

/* --- digest ---------------------------------------------------------- */

#define DIGEST_LOCAL 16384

static size_t
digest_head(const struct point *p, uint8_t ret[ID_KEY_MAX + 6])
{
	set_u16(ret, p->id.n);
	memcpy(ret + 2, p->id.b, p->id.n);
	set_u32(ret + 2 + p->id.n, p->dim);
	return 6u + p->id.n;
}

static int
digest_stream(const uint8_t *head, size_t head_n, const struct point *p,
	      uint8_t sum[SHA256_LEN], struct err *err)
{
	struct sha256_state *s = sha256_new();

	if (s == NULL)
		return no_memory(err);
	sha256_add(s, head, head_n);
	sha256_add(s, p->vec, p->dim * sizeof(float));
	sha256_add(s, p->doc.text.p, p->doc.text.n);
	sha256_end(s, sum);
	sha256_free(s);
	return 0;
}

static int
point_digest(struct point *p, struct err *err)
{
	uint8_t all[DIGEST_LOCAL], sum[SHA256_LEN];
	const size_t vec_n = p->dim * sizeof(float);
	size_t n = digest_head(p, all);
	int rc = 0;

	if (vec_n + p->doc.text.n <= sizeof all - n) {
		if (vec_n > 0)
			memcpy(all + n, p->vec, vec_n);
		n += vec_n;
		if (p->doc.text.n > 0)
			memcpy(all + n, p->doc.text.p, p->doc.text.n);
		sha256(all, n + p->doc.text.n, sum);
	} else {
		rc = digest_stream(all, n, p, sum, err);
	}
	if (rc == 0)
		memcpy(p->digest, sum, DIGEST_LEN);
	return rc;
}

/* --- public ---------------------------------------------------------- */

static int
point_id(const struct scan *s, const struct id_key *name, struct id_key *ret,
	 struct err *err)
{
	char want[ID_TEXT_MAX + 1], have[ID_TEXT_MAX + 1];

	if (s->id.n == 0 && name == NULL)
		return err_set(err, ERR_ID, "the point has no id");
	*ret = s->id.n != 0 ? s->id : *name;
	if (name == NULL || id_cmp(ret->b, ret->n, name->b, name->n) == 0)
		return 0;
	id_print(name->b, name->n, want);
	id_print(ret->b, ret->n, have);
	return err_set(err, ERR_ID_NAME,
		       "the document's id is %.100s, its file name says %.100s",
		       have, want);
}

int
json_point_parse(const void *text, size_t n, const struct id_key *name,
		 bool canonical, struct arena *a, struct point *ret,
		 struct err *err)
{
	struct point p = {0};
	struct slice payload;
	struct scan s;
	int rc;

	if (n > BODY_MAX)
		return err_set(err, ERR_TOO_BIG, "a point has at most %u bytes",
			       BODY_MAX);
	rc = point_scan(text, n, a, &s, err);
	if (rc == 0)
		rc = point_id(&s, name, &p.id, err);
	if (rc < 0)
		return rc;
	p.dim = s.vec.dim;
	p.vec = s.vec.v;
	if (canonical) {
		rc = payload_compact(s.payload, a, &payload, err);
		if (rc == 0)
			rc = doc_canonical(&p, payload, err);
	} else {
		rc = doc_given(&s, text, n, a, &p.doc, err);
	}
	if (rc == 0)
		rc = point_digest(&p, err);
	if (rc == 0)
		*ret = p;
	return rc;
}

static int
template_print(const struct point *p, struct buf *ret, struct err *err)
{
	const uint8_t *text = p->doc.text.p;
	const size_t sep_end = (size_t)p->doc.vec_at + p->doc.sep_len;

	if (sep_end > p->doc.text.n || p->doc.style >= NUM_STYLE_NR)
		return err_set(err, ERR_DAMAGED,
			       "the document's form is wrong");
	buf_put(ret, text, p->doc.vec_at);
	numbers_print(p->vec, p->dim, p->doc.style,
		      (struct slice){text + p->doc.vec_at, p->doc.sep_len},
		      ret);
	buf_put(ret, text + sep_end, p->doc.text.n - sep_end);
	return 0;
}

int
json_point_render(const struct point *p, struct buf *ret, struct err *err)
{
	const size_t from = ret->n;
	int rc = 0;

	if (p->doc.pay_at > p->doc.text.n ||
	    p->doc.pay_len > p->doc.text.n - p->doc.pay_at)
		return err_set(err, ERR_DAMAGED,
			       "the document's form is wrong");
	if (p->doc.form == DOC_CANONICAL)
		canonical_print(p, ret);
	else if (p->doc.form == DOC_TEMPLATE)
		rc = template_print(p, ret, err);
	else if (p->doc.form == DOC_VERBATIM)
		buf_put(ret, p->doc.text.p, p->doc.text.n);
	else
		rc = err_set(err, ERR_VERSION, "document form %u is not known",
			     p->doc.form);
	if (rc == 0 && ret->failed)
		rc = no_memory(err);
	if (rc == 0 && ret->n - from != p->doc.size)
		rc = err_set(err, ERR_DAMAGED,
			     "the document has %zu bytes and should have %u",
			     ret->n - from, p->doc.size);
	if (rc < 0)
		ret->n = from;
	return rc;
}

/* The document with another id in the place of the one it has. */
static int
text_rename(const struct point *p, const struct id_key *id, struct arena *a,
	    struct buf *ret, struct err *err)
{
	CLEAN(buf_done) struct buf old = {0};
	struct scan s;
	size_t at;
	int rc = json_point_render(p, &old, err);

	if (rc == 0)
		rc = point_scan(old.p, old.n, a, &s, err);
	if (rc < 0)
		return rc;
	at = s.id.n != 0 ? (size_t)((const uint8_t *)s.id_raw.p - old.p) : 0;
	buf_put(ret, old.p, at);
	if (s.id.n != 0)
		id_print_json(id->b, id->n, ret);
	at += s.id_raw.n;
	buf_put(ret, old.p + at, old.n - at);
	return ret->failed ? no_memory(err) : 0;
}

int
json_point_rename(const struct point *p, const struct id_key *id,
		  struct arena *a, struct point *ret, struct err *err)
{
	CLEAN(buf_done) struct buf text = {0};
	struct point q = *p, renamed;
	int rc;

	q.id = *id;
	if (p->doc.form == DOC_CANONICAL) {
		rc = doc_canonical(&q, p->doc.text, err);
		if (rc == 0)
			rc = point_digest(&q, err);
	} else {
		rc = text_rename(p, id, a, &text, err);
		if (rc == 0)
			rc = json_point_parse(text.p, text.n, id, false, a,
					      &renamed, err);
		if (rc == 0) {
			q.doc = renamed.doc;
			q.vec = renamed.vec;
			memcpy(q.digest, renamed.digest, DIGEST_LEN);
		}
	}
	if (rc == 0)
		*ret = q;
	return rc;
}

int
json_point_make(const struct id_key *id, const float *vec, uint32_t dim,
		struct slice payload, struct arena *a, struct point *ret,
		struct err *err)
{
	struct point p = {.id = *id, .dim = dim};
	struct slice text = {"", 0};
	float *v = NULL;
	int rc;

	if (dim > 0) {
		v = arena_vec(a, dim);
		if (v == NULL)
			return no_memory(err);
		memcpy(v, vec, dim * sizeof *v);
	}
	if (payload.n > 0) {
		text.p = arena_dup(a, payload.p, payload.n);
		text.n = payload.n;
		if (text.p == NULL)
			return no_memory(err);
	}
	p.vec = v;
	rc = doc_canonical(&p, text, err);
	if (rc == 0)
		rc = point_digest(&p, err);
	if (rc == 0)
		*ret = p;
	return rc;
}
