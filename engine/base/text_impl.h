/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text_impl.h - what text.c, text_num.c and text_feed.c share.
 */
#ifndef ENGINE_BASE_TEXT_IMPL_H
#define ENGINE_BASE_TEXT_IMPL_H

#include "engine/base/text.h"

#include <string.h>

#define TEXT_DEPTH_MAX 2048 /* whatever the caller allows */

/* What may come next.  The walk keeps no stack of brackets: its caller knows
 * which kind it entered, and a wrong bracket is met by the wrong call. */
enum walk_state {
	WALK_TOP,   /* the text's one value */
	WALK_OPEN,  /* just inside a bracket */
	WALK_VALUE, /* behind a colon */
	WALK_AFTER, /* behind a value */
};

/* A number's text as m * 10^exp; cut: digits behind the first 18 are lost. */
struct decimal {
	uint64_t m;
	int32_t exp;
	bool neg;
	bool cut;
};

/* Reads the number at p; NULL if it breaks the grammar, with the place. */
const uint8_t *num_scan(const uint8_t *p, const uint8_t *end,
			struct decimal *ret, const uint8_t **ret_wrong);

int walk_fail(size_t at, const char *what, struct err *err);
int walk_string(struct json_walk *w, struct json_tok *ret, struct err *err);
int walk_blanks(struct json_walk *w); /* the next byte, or -1 at the end */

static inline bool
is_blank(unsigned c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool
is_digit(unsigned c)
{
	return c - '0' < 10;
}

static inline int
hex_digit(unsigned c)
{
	if (is_digit(c))
		return (int)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (int)(c - 'a' + 10) : -1;
}

/* How many bytes of a string from p need no second look: ASCII, no quote, no
 * backslash, no control character.  Eight at a time. */
static inline size_t
plain_run(const uint8_t *p, size_t n)
{
	const uint64_t ones = 0x0101010101010101u, high = ones << 7;
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		uint64_t x, quote, slash;

		memcpy(&x, p + i, 8);
		quote = x ^ (ones * '"');
		slash = x ^ (ones * '\\');
		if ((((x - ones * 0x20) | (quote - ones) | (slash - ones) | x) &
		     high) != 0)
			break;
	}
	while (i < n && p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' &&
	       p[i] != '\\')
		i++;
	return i;
}

#endif
