/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/text.h"

#include "engine/base/err.h"
#include "engine/base/text_impl.h"

int
walk_fail(size_t at, const char *what, struct err *err)
{
	return err_set(err, ERR_JSON, "byte %zu: %s", at, what);
}

const char *
json_type_name(enum json_type t)
{
	static const char *const names[] = {
		[JSON_END] = "the end",     [JSON_OBJECT] = "an object",
		[JSON_ARRAY] = "an array",  [JSON_STRING] = "a string",
		[JSON_NUMBER] = "a number", [JSON_TRUE] = "true",
		[JSON_FALSE] = "false",     [JSON_NULL] = "null",
	};

	return names[t];
}

/* --- characters ------------------------------------------------------ */

size_t
utf8_char(const void *text, size_t n)
{
	const uint8_t *p = text;
	uint8_t low = 0x80, high = 0xbf;
	size_t len, i;

	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len > n)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0; /* shorter forms exist */
	else if (p[0] == 0xed)
		high = 0x9f; /* surrogates */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f; /* above U+10FFFF */
	if (p[1] < low || p[1] > high)
		return 0;
	for (i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool
utf8_valid(const void *text, size_t n)
{
	const uint8_t *p = text;
	size_t i = 0, len;

	while (i < n) {
		len = utf8_char(p + i, n - i);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

static int
hex4(const uint8_t *p, size_t n)
{
	int v = 0, i, d;

	if (n < 4)
		return -1;
	for (i = 0; i < 4; i++) {
		d = hex_digit(p[i]);
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* The escape at p (a backslash): how many bytes it takes and the character, or
 * 0 and what is wrong with it. */
static size_t
escape_read(const uint8_t *p, size_t n, uint32_t *ret_char, const char **ret)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	int c, low;

	*ret = "unknown escape in a string";
	if (n < 2)
		return 0;
	at = p[1] != 0 ? strchr(from, p[1]) : NULL;
	if (at != NULL) {
		*ret_char = (uint8_t)to[at - from];
		return 2;
	}
	if (p[1] != 'u')
		return 0;
	*ret = "\\u needs four hexadecimal digits";
	c = hex4(p + 2, n - 2);
	if (c < 0)
		return 0;
	*ret = "\\u0000 is not allowed";
	if (c == 0)
		return 0;
	*ret_char = (uint32_t)c;
	if (c < 0xd800 || c > 0xdfff)
		return 6;
	*ret = "half of a surrogate pair";
	if (c > 0xdbff || n < 12 || p[6] != '\\' || p[7] != 'u')
		return 0;
	low = hex4(p + 8, n - 8);
	if (low < 0xdc00 || low > 0xdfff)
		return 0;
	*ret_char = 0x10000 + (((uint32_t)c & 0x3ff) << 10) +
		    ((uint32_t)low & 0x3ff);
	return 12;
}

static size_t
utf8_put(uint32_t c, uint8_t ret[4])
{
	if (c < 0x80) {
		ret[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		ret[0] = (uint8_t)(0xc0 | c >> 6);
		ret[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		ret[0] = (uint8_t)(0xe0 | c >> 12);
		ret[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		ret[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	ret[0] = (uint8_t)(0xf0 | c >> 18);
	ret[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	ret[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	ret[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

/* --- tokens ---------------------------------------------------------- */

int
walk_blanks(struct json_walk *w)
{
	while (w->at < w->n && is_blank(w->p[w->at]))
		w->at++;
	return w->at < w->n ? w->p[w->at] : -1;
}

/* One character of a string that plain_run() left: 1 behind the string. */
static int
string_step(struct json_walk *w, struct json_tok *ret, struct err *err)
{
	const uint8_t *p = w->p + w->at;
	const size_t n = w->n - w->at;
	const char *what = "the text ends inside a string";
	uint32_t c;
	size_t len = 0;

	if (n == 0)
		return walk_fail(w->at, what, err);
	if (*p == '"') {
		w->at++;
		return 1;
	}
	if (*p == '\\') {
		ret->escaped = true;
		len = escape_read(p, n, &c, &what);
	} else if (*p < 0x20) {
		what = "control character in a string";
	} else {
		what = "not UTF-8";
		len = utf8_char(p, n);
	}
	if (len == 0)
		return walk_fail(w->at, what, err);
	w->at += len;
	return 0;
}

int
walk_string(struct json_walk *w, struct json_tok *ret, struct err *err)
{
	int rc;

	ret->type = JSON_STRING;
	ret->at = w->at++;
	ret->escaped = false;
	do {
		w->at += plain_run(w->p + w->at, w->n - w->at);
		rc = string_step(w, ret, err);
	} while (rc == 0);
	if (rc < 0)
		return rc;
	ret->raw = (struct slice){w->p + ret->at, w->at - ret->at};
	return 0;
}

static int
walk_number(struct json_walk *w, struct json_tok *ret, struct err *err)
{
	const uint8_t *wrong, *end;
	struct decimal d;

	end = num_scan(w->p + w->at, w->p + w->n, &d, &wrong);
	if (end == NULL)
		return walk_fail((size_t)(wrong - w->p), "not a JSON number",
				 err);
	ret->type = JSON_NUMBER;
	ret->at = w->at;
	w->at = (size_t)(end - w->p);
	ret->raw = (struct slice){w->p + ret->at, w->at - ret->at};
	return 0;
}

static int
walk_word(struct json_walk *w, const char *word, enum json_type type,
	  struct json_tok *ret, struct err *err)
{
	const size_t n = strlen(word);

	if (w->n - w->at < n || memcmp(w->p + w->at, word, n) != 0)
		return walk_fail(w->at, "not a JSON value", err);
	ret->type = type;
	ret->at = w->at;
	ret->raw = (struct slice){w->p + w->at, n};
	w->at += n;
	return 0;
}

static int
walk_open(struct json_walk *w, enum json_type type, struct json_tok *ret,
	  struct err *err)
{
	if (w->depth >= w->depth_max)
		return walk_fail(w->at, "nested too deep", err);
	ret->type = type;
	ret->at = w->at++;
	ret->raw = (struct slice){NULL, 0};
	w->depth++;
	w->state = WALK_OPEN;
	return 0;
}

static int
walk_value(struct json_walk *w, int c, struct json_tok *ret, struct err *err)
{
	ret->escaped = false;
	w->state = WALK_AFTER;
	switch (c) {
	case '{':
		return walk_open(w, JSON_OBJECT, ret, err);
	case '[':
		return walk_open(w, JSON_ARRAY, ret, err);
	case '"':
		return walk_string(w, ret, err);
	case 't':
		return walk_word(w, "true", JSON_TRUE, ret, err);
	case 'f':
		return walk_word(w, "false", JSON_FALSE, ret, err);
	case 'n':
		return walk_word(w, "null", JSON_NULL, ret, err);
	case -1:
		return walk_fail(w->at, "the text ends where a value belongs",
				 err);
	default:
		if (c == '-' || is_digit((unsigned)c))
			return walk_number(w, ret, err);
		return walk_fail(w->at, "not a JSON value", err);
	}
}

static int
walk_close(struct json_walk *w, struct json_tok *ret)
{
	ret->type = JSON_END;
	ret->at = w->at++;
	ret->raw = (struct slice){NULL, 0};
	ret->escaped = false;
	w->depth--;
	w->state = WALK_AFTER;
	return 0;
}

/* --- walking --------------------------------------------------------- */

void
json_walk_init(struct json_walk *w, const void *p, size_t n, unsigned depth_max)
{
	*w = (struct json_walk){
		.p = p,
		.n = n,
		.depth_max =
			depth_max < TEXT_DEPTH_MAX ? depth_max : TEXT_DEPTH_MAX,
		.state = WALK_TOP,
	};
}

int
json_next(struct json_walk *w, struct json_tok *ret, struct err *err)
{
	int c = walk_blanks(w);

	if (w->state == WALK_AFTER && w->depth == 0) {
		if (c >= 0)
			return walk_fail(w->at, "more text behind the value",
					 err);
		*ret = (struct json_tok){.type = JSON_END, .at = w->at};
		return 0;
	}
	if (w->state == WALK_AFTER || w->state == WALK_OPEN) {
		if (c == ']')
			return walk_close(w, ret);
		if (w->state == WALK_AFTER) {
			if (c != ',')
				return walk_fail(w->at, "expected ',' or ']'",
						 err);
			w->at++;
			c = walk_blanks(w);
		}
	}
	return walk_value(w, c, ret, err);
}

int
json_key(struct json_walk *w, struct json_tok *ret, struct err *err)
{
	int c = walk_blanks(w), rc;

	if (w->depth == 0)
		return walk_fail(w->at, "expected an object", err);
	if (c == '}' && (w->state == WALK_OPEN || w->state == WALK_AFTER))
		return walk_close(w, ret);
	if (w->state == WALK_AFTER) {
		if (c != ',')
			return walk_fail(w->at, "expected ',' or '}'", err);
		w->at++;
		c = walk_blanks(w);
	}
	if (c != '"')
		return walk_fail(w->at, "expected a member name in quotes",
				 err);
	rc = walk_string(w, ret, err);
	if (rc < 0)
		return rc;
	if (walk_blanks(w) != ':')
		return walk_fail(w->at, "expected ':'", err);
	w->at++;
	w->state = WALK_VALUE;
	return 0;
}

int
json_skip(struct json_walk *w, const struct json_tok *t, struct slice *raw,
	  struct err *err)
{
	bool object[TEXT_DEPTH_MAX]; /* of each level; written when it opens */
	const unsigned base = w->depth - 1;
	struct json_tok k = *t;
	int rc = 0;

	if (t->type != JSON_OBJECT && t->type != JSON_ARRAY) {
		if (raw != NULL)
			*raw = t->raw;
		return 0;
	}
	while (rc == 0 && w->depth > base) {
		if (k.type == JSON_OBJECT || k.type == JSON_ARRAY)
			object[w->depth - 1] = k.type == JSON_OBJECT;
		if (!object[w->depth - 1]) {
			rc = json_next(w, &k, err);
			continue;
		}
		rc = json_key(w, &k, err);
		if (rc == 0 && k.type != JSON_END)
			rc = json_next(w, &k, err);
	}
	if (rc == 0 && raw != NULL)
		*raw = (struct slice){w->p + t->at, w->at - t->at};
	return rc;
}

int
json_finish(struct json_walk *w, struct err *err)
{
	struct json_tok t;

	if (w->depth != 0)
		return walk_fail(w->at, "the value is not complete", err);
	return json_next(w, &t, err);
}

/* --- strings --------------------------------------------------------- */

/* The string between the quotes, piece by piece: either a run of bytes as they
 * are or one character in tmp.  *at moves on; {NULL, 0} at the end. */
static struct slice
string_piece(struct slice s, size_t *at, uint8_t tmp[4])
{
	const uint8_t *p = (const uint8_t *)s.p + *at, *slash;
	size_t n = s.n - *at, len;
	const char *what;
	uint32_t c;

	if (n == 0)
		return (struct slice){NULL, 0};
	if (*p != '\\') {
		slash = memchr(p, '\\', n);
		len = slash != NULL ? (size_t)(slash - p) : n;
		*at += len;
		return (struct slice){p, len};
	}
	len = escape_read(p, n, &c, &what);
	if (len == 0) { /* the token was not made by json_next() */
		*at = s.n;
		return (struct slice){NULL, 0};
	}
	*at += len;
	return (struct slice){tmp, utf8_put(c, tmp)};
}

static struct slice
string_inside(const struct json_tok *t)
{
	if (t->type != JSON_STRING || t->raw.n < 2)
		return (struct slice){"", 0};
	return (struct slice){(const char *)t->raw.p + 1, t->raw.n - 2};
}

int
json_unescape(const struct json_tok *t, struct buf *ret, struct err *err)
{
	struct slice s = string_inside(t), piece;
	uint8_t tmp[4];
	size_t at = 0;
	int rc = 0;

	if (!t->escaped)
		rc = buf_put(ret, s.p, s.n);
	while (t->escaped && rc == 0) {
		piece = string_piece(s, &at, tmp);
		if (piece.p == NULL)
			break;
		rc = buf_put(ret, piece.p, piece.n);
	}
	return rc < 0 ? err_set(err, ERR_NO_MEMORY, "out of memory") : 0;
}

bool
json_tok_eq(const struct json_tok *t, struct slice want)
{
	struct slice s = string_inside(t), piece;
	const uint8_t *p = want.p;
	size_t at = 0, seen = 0;
	uint8_t tmp[4];

	if (t->type != JSON_STRING)
		return false;
	if (!t->escaped)
		return s.n == want.n && (s.n == 0 || memcmp(s.p, p, s.n) == 0);
	for (;;) {
		piece = string_piece(s, &at, tmp);
		if (piece.p == NULL)
			return seen == want.n;
		if (piece.n > want.n - seen ||
		    memcmp(piece.p, p + seen, piece.n) != 0)
			return false;
		seen += piece.n;
	}
}

bool
json_tok_is(const struct json_tok *t, const char *s)
{
	return json_tok_eq(t, (struct slice){s, strlen(s)});
}

int
json_quote(const void *s, size_t n, struct buf *ret)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *p = s;
	size_t at = 0, run;
	char esc[6] = {'\\', 'u', '0', '0', 0, 0};

	buf_put_u8(ret, '"');
	while (at < n) {
		run = plain_run(p + at, n - at);
		while (at + run < n && p[at + run] >= 0x80)
			run++;
		buf_put(ret, p + at, run);
		at += run;
		if (at == n || run > 0)
			continue;
		if (p[at] == '"' || p[at] == '\\') {
			buf_put_u8(ret, '\\');
			buf_put_u8(ret, p[at]);
		} else if (p[at] == '\n') {
			buf_puts(ret, "\\n");
		} else if (p[at] == '\t') {
			buf_puts(ret, "\\t");
		} else {
			esc[4] = hex[p[at] >> 4];
			esc[5] = hex[p[at] & 15];
			buf_put(ret, esc, sizeof esc);
		}
		at++;
	}
	buf_put_u8(ret, '"');
	return ret->failed ? -ERR_NO_MEMORY : 0;
}

int
json_compact(const void *text, size_t n, struct buf *ret)
{
	const uint8_t *p = text;
	size_t from = 0, at = 0;

	while (at < n) {
		if (p[at] == '"') {
			for (at++; at < n && p[at] != '"'; at++)
				at += p[at] == '\\';
			at++;
		} else if (is_blank(p[at])) {
			buf_put(ret, p + from, at - from);
			while (at < n && is_blank(p[at]))
				at++;
			from = at;
		} else {
			at++;
		}
	}
	if (from < n)
		buf_put(ret, p + from, n - from);
	return ret->failed ? -ERR_NO_MEMORY : 0;
}
