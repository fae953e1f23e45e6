/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - the grammar of JSON over bytes, strict (RFC 8259), in place.
 *
 * Two readers of one grammar.  struct json_feed takes bytes as they arrive and
 * says as early as possible that they can no longer be JSON; struct json_walk
 * walks over a complete text without building a tree.
 *
 * rules    UTF-8 is checked (overlong forms, surrogates, above U+10FFFF are
 *          refused), a lone half of a surrogate pair in \u is refused, \u0000
 *          is refused, depth is limited, NaN and Infinity are not JSON, one
 *          value and blanks.  Duplicate members are the caller's to refuse
 *          (json_point.c does, for every object).
 * errors   ERR_JSON with the byte offset ("byte 17: ...") of the mistake.
 * threads  One object, one thread.
 */
#ifndef ENGINE_BASE_TEXT_H
#define ENGINE_BASE_TEXT_H

#include "engine/base/buf.h"

struct err;

/* --- incremental ----------------------------------------------------- */

struct json_feed {
	uint64_t opaque[64]; /* state machine and its stack of depth bits; all
			      * zero is the start */
};

enum json_feed_state { JSON_MORE = 0, JSON_WHOLE = 1 };

/* JSON_MORE, JSON_WHOLE (a complete value has been seen; only blanks may
 * follow), or -ERR_JSON, which then stays.  A number outside of any bracket is
 * whole at the blank behind it.
 *
 * With ret_end NULL all n bytes are read.  Otherwise reading stops behind the
 * value: when it became whole during this call *ret_end is how many of the n
 * bytes it took, and the rest is not looked at; in all other cases it is n. */
int json_feed(struct json_feed *f, const void *p, size_t n, unsigned depth_max,
	      size_t *ret_end, struct err *err);

/* --- walking --------------------------------------------------------- */

enum json_type {
	JSON_END, /* no more members or elements; end of text */
	JSON_OBJECT,
	JSON_ARRAY,
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL
};

struct json_walk {
	const uint8_t *p;
	size_t n;
	size_t at;
	unsigned depth;
	unsigned depth_max;
	uint8_t state; /* what may come next; text.c knows */
};

/* One token of the text: for containers just the opening; the inside comes
 * next, or json_skip.  text covers the token's bytes (strings with their
 * quotes, raw). */
struct json_tok {
	enum json_type type;
	size_t at;        /* byte offset in the text */
	struct slice raw; /* scalars: their bytes; containers: empty */
	bool escaped;     /* string has a backslash: decode it */
};

void json_walk_init(struct json_walk *w, const void *p, size_t n,
		    unsigned depth_max);

/* The next value: top level, the next element of an array that was entered, or
 * the value after json_key.  JSON_END at the closing bracket, which is then
 * consumed.  A container's inside comes next, unless json_skip follows. */
int json_next(struct json_walk *w, struct json_tok *ret, struct err *err);

/* The next key of the object that was entered (its string token, and the colon
 * is consumed), or JSON_END at its closing brace. */
int json_key(struct json_walk *w, struct json_tok *ret, struct err *err);

/* After a container token: moves behind it, checking the grammar.  raw (may be
 * NULL) gets the container's bytes.  A scalar's token is skipped already. */
int json_skip(struct json_walk *w, const struct json_tok *t, struct slice *raw,
	      struct err *err);

/* After the top value: only blanks may be left. */
int json_finish(struct json_walk *w, struct err *err);

/* A string token's text, unescaped, appended to ret (no NUL). */
int json_unescape(const struct json_tok *t, struct buf *ret, struct err *err);
/* Whether it equals s, without copying where it has no escapes. */
bool json_tok_is(const struct json_tok *t, const char *s);
bool json_tok_eq(const struct json_tok *t, struct slice s);

/* Numbers: the correctly rounded value. */
int json_tok_f64(const struct json_tok *t, double *ret, struct err *err);
int json_tok_f32(const struct json_tok *t, float *ret, struct err *err);
/* ERR_NUMBER: beyond float32 */
int json_tok_u64(const struct json_tok *t, uint64_t *ret, struct err *err);
/* ERR_NUMBER: sign, fraction, exponent, above u64 */
int json_tok_i64(const struct json_tok *t, int64_t *ret, struct err *err);

/* Many numbers fast: from w, which has just entered an array, reads numbers to
 * its end into out (room for max).  ERR_TYPE names the element that is none,
 * ERR_DIM when there are more than max.  *ret_at and *ret_end: the bytes
 * from the first number's first to the last number's last. */
int json_f32_array(struct json_walk *w, float *out, size_t max, size_t *ret_n,
		   size_t *ret_at, size_t *ret_end, struct err *err);

/* Appends s as a JSON string with quotes. */
int json_quote(const void *s, size_t n, struct buf *ret);
/* Appends a valid JSON text without the blanks between its tokens. */
int json_compact(const void *p, size_t n, struct buf *ret);

/* "a string", "an array": for messages. */
const char *json_type_name(enum json_type t);

/* How many of n bytes the first character takes, 0 if it is not UTF-8. */
size_t utf8_char(const void *p, size_t n);
bool utf8_valid(const void *p, size_t n);

#endif
