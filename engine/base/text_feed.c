/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text_feed.c - the grammar byte by byte, for texts that come in pieces.
 */
#include "engine/base/text.h"

#include "engine/base/err.h"
#include "engine/base/text_impl.h"

#define LEVELS 2048

enum feed_state {
	FEED_VALUE = 0, /* a value must come */
	FEED_ARRAY,     /* behind '[': a value or ']' */
	FEED_OBJECT,    /* behind '{': a name or '}' */
	FEED_NAME,      /* behind ',' in an object */
	FEED_COLON,
	FEED_AFTER, /* behind a value in a bracket */
	FEED_WHOLE,
	FEED_STRING,
	FEED_UTF8,
	FEED_ESCAPE,
	FEED_HEX,
	FEED_LOW_SLASH, /* behind a high surrogate */
	FEED_LOW_U,
	FEED_WORD,
	FEED_MINUS,
	FEED_ZERO,
	FEED_INT,
	FEED_POINT,
	FEED_FRACTION,
	FEED_E,
	FEED_E_SIGN,
	FEED_EXPONENT,
	FEED_WRONG,
};

struct feed {
	uint64_t at; /* bytes seen */
	const char *word;
	const char *wrong;
	uint8_t state;
	bool name;        /* the string is a member's name */
	bool low;         /* \u must be the low half of a pair */
	uint8_t more;     /* of UTF-8, of hexadecimal digits */
	uint8_t min, max; /* of the next byte of UTF-8 */
	uint16_t hex;
	uint16_t depth;
	uint8_t object[LEVELS / 8]; /* a bit for each level */
} __attribute__((may_alias));

_Static_assert(sizeof(struct feed) <= sizeof(struct json_feed),
	       "json_feed is too small");

static void
feed_wrong(struct feed *f, const char *what)
{
	f->state = FEED_WRONG;
	f->wrong = what;
}

static bool
feed_in_object(const struct feed *f)
{
	unsigned l = f->depth - 1u;

	return (f->object[l / 8] >> l % 8 & 1) != 0;
}

static void
feed_after(struct feed *f)
{
	f->state = f->depth == 0 ? FEED_WHOLE : FEED_AFTER;
}

static void
feed_open(struct feed *f, bool object, unsigned depth_max)
{
	unsigned l = f->depth;

	if (l >= depth_max || l >= LEVELS) {
		feed_wrong(f, "nested too deep");
		return;
	}
	if (object)
		f->object[l / 8] |= (uint8_t)(1u << l % 8);
	else
		f->object[l / 8] &= (uint8_t) ~(1u << l % 8);
	f->depth++;
	f->state = object ? FEED_OBJECT : FEED_ARRAY;
}

static void
feed_close(struct feed *f)
{
	f->depth--;
	feed_after(f);
}

static void
feed_word(struct feed *f, const char *rest)
{
	f->word = rest;
	f->state = FEED_WORD;
}

static void
feed_value(struct feed *f, uint8_t c, unsigned depth_max)
{
	f->name = false;
	if (c == '{' || c == '[')
		feed_open(f, c == '{', depth_max);
	else if (c == '"')
		f->state = FEED_STRING;
	else if (c == '-')
		f->state = FEED_MINUS;
	else if (is_digit(c))
		f->state = c == '0' ? FEED_ZERO : FEED_INT;
	else if (c == 't')
		feed_word(f, "rue");
	else if (c == 'f')
		feed_word(f, "alse");
	else if (c == 'n')
		feed_word(f, "ull");
	else
		feed_wrong(f, "not a JSON value");
}

static void
feed_bracket(struct feed *f, uint8_t c, unsigned depth_max)
{
	const bool object = f->depth > 0 && feed_in_object(f);

	switch (f->state) {
	case FEED_VALUE:
		feed_value(f, c, depth_max);
		break;
	case FEED_ARRAY:
		if (c == ']')
			feed_close(f);
		else
			feed_value(f, c, depth_max);
		break;
	case FEED_OBJECT:
	case FEED_NAME:
		f->name = true;
		if (c == '"')
			f->state = FEED_STRING;
		else if (c == '}' && f->state == FEED_OBJECT)
			feed_close(f);
		else
			feed_wrong(f, "expected a member name in quotes");
		break;
	case FEED_COLON:
		f->state = FEED_VALUE;
		if (c != ':')
			feed_wrong(f, "expected ':'");
		break;
	case FEED_AFTER:
		if (c == ',')
			f->state = object ? FEED_NAME : FEED_VALUE;
		else if (c == (object ? '}' : ']'))
			feed_close(f);
		else
			feed_wrong(f, object ? "expected ',' or '}'"
					     : "expected ',' or ']'");
		break;
	default:
		feed_wrong(f, "more text behind the value");
		break;
	}
}

static void
feed_utf8_lead(struct feed *f, uint8_t c)
{
	if (c < 0xc2 || c > 0xf4) {
		feed_wrong(f, "not UTF-8");
		return;
	}
	f->state = FEED_UTF8;
	f->more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	f->min = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	f->max = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
}

static void
feed_hex(struct feed *f, uint8_t c)
{
	int d = hex_digit(c);

	if (d < 0) {
		feed_wrong(f, "\\u needs four hexadecimal digits");
		return;
	}
	f->hex = (uint16_t)(f->hex << 4 | d);
	if (--f->more > 0)
		return;
	f->state = FEED_STRING;
	if (f->hex == 0)
		feed_wrong(f, "\\u0000 is not allowed");
	else if (f->low != (f->hex >= 0xdc00 && f->hex <= 0xdfff))
		feed_wrong(f, "half of a surrogate pair");
	else if (f->hex >= 0xd800 && f->hex <= 0xdbff)
		f->state = FEED_LOW_SLASH;
}

static void
feed_escape(struct feed *f, uint8_t c, bool low)
{
	if (c == 'u') {
		f->state = FEED_HEX;
		f->low = low;
		f->more = 4;
		f->hex = 0;
	} else if (!low && c != 0 && strchr("\"\\/bfnrt", c) != NULL) {
		f->state = FEED_STRING;
	} else {
		feed_wrong(f, low ? "half of a surrogate pair"
				  : "unknown escape in a string");
	}
}

static void
feed_string(struct feed *f, uint8_t c)
{
	switch (f->state) {
	case FEED_STRING:
		if (c == '"' && f->name)
			f->state = FEED_COLON;
		else if (c == '"')
			feed_after(f);
		else if (c == '\\')
			f->state = FEED_ESCAPE;
		else if (c < 0x20)
			feed_wrong(f, "control character in a string");
		else if (c >= 0x80)
			feed_utf8_lead(f, c);
		break;
	case FEED_UTF8:
		if (c < f->min || c > f->max)
			feed_wrong(f, "not UTF-8");
		else if (--f->more == 0)
			f->state = FEED_STRING;
		f->min = 0x80;
		f->max = 0xbf;
		break;
	case FEED_HEX:
		feed_hex(f, c);
		break;
	case FEED_LOW_SLASH:
		f->state = FEED_LOW_U;
		if (c != '\\')
			feed_wrong(f, "half of a surrogate pair");
		break;
	default:
		feed_escape(f, c, f->state == FEED_LOW_U);
		break;
	}
}

/* Behind a digit of a number, where it may end. */
static bool
feed_number_more(struct feed *f, uint8_t c)
{
	if (is_digit(c)) {
		if (f->state == FEED_ZERO) /* 01 */
			feed_wrong(f, "not a JSON number");
		return true;
	}
	if (c == '.' && f->state < FEED_POINT) {
		f->state = FEED_POINT;
		return true;
	}
	if ((c | 0x20) == 'e' && f->state != FEED_EXPONENT) {
		f->state = FEED_E;
		return true;
	}
	feed_after(f);
	return false;
}

/* Whether the number goes on with c; if not, c comes behind it. */
static bool
feed_number(struct feed *f, uint8_t c)
{
	const bool digit = is_digit(c);

	switch (f->state) {
	case FEED_MINUS:
		f->state = c == '0' ? FEED_ZERO : FEED_INT;
		break;
	case FEED_POINT:
		f->state = FEED_FRACTION;
		break;
	case FEED_E:
		f->state = FEED_EXPONENT;
		if (c == '+' || c == '-') {
			f->state = FEED_E_SIGN;
			return true;
		}
		break;
	case FEED_E_SIGN:
		f->state = FEED_EXPONENT;
		break;
	default:
		return feed_number_more(f, c);
	}
	if (!digit) /* one must come here */
		feed_wrong(f, "not a JSON number");
	return true;
}

static void
feed_byte(struct feed *f, uint8_t c, unsigned depth_max)
{
	if (f->state >= FEED_MINUS && f->state <= FEED_EXPONENT &&
	    feed_number(f, c))
		return;
	if (f->state == FEED_WORD) {
		if (c != (uint8_t)*f->word)
			feed_wrong(f, "not a JSON value");
		else if (*++f->word == 0)
			feed_after(f);
	} else if (f->state >= FEED_STRING && f->state < FEED_WORD) {
		feed_string(f, c);
	} else if (!is_blank(c)) {
		feed_bracket(f, c, depth_max);
	}
}

/* A vector's numbers, each with the comma behind it: they lead from the state
 * FEED_VALUE back to it.  What is not whole in this piece is left. */
static size_t
feed_numbers(const struct feed *f, const uint8_t *p, size_t n)
{
	const uint8_t *const end = p + n, *at = p, *done = p, *wrong;
	struct decimal d;

	if (f->state != FEED_VALUE || f->depth == 0 || feed_in_object(f))
		return 0;
	for (;;) {
		while (at < end && is_blank(*at))
			at++;
		at = num_scan(at, end, &d, &wrong);
		if (at == NULL)
			break;
		while (at < end && is_blank(*at))
			at++;
		if (at == end || *at != ',')
			break;
		done = ++at;
	}
	return (size_t)(done - p);
}

/* Bytes that change no state, in front of the next that may. */
static size_t
feed_run(const struct feed *f, const uint8_t *p, size_t n)
{
	size_t i = 0;

	if (f->state == FEED_STRING)
		return plain_run(p, n);
	if (f->state == FEED_INT || f->state == FEED_FRACTION)
		while (i < n && is_digit(p[i]))
			i++;
	else if (f->state < FEED_STRING)
		while (i < n && is_blank(p[i]))
			i++;
	return i;
}

int
json_feed(struct json_feed *feed, const void *text, size_t n,
	  unsigned depth_max, size_t *ret_end, struct err *err)
{
	struct feed *f = (void *)feed->opaque;
	const uint8_t *p = text;
	const bool was_whole = f->state == FEED_WHOLE;
	size_t i = 0, end = n;

	while (i < n && f->state != FEED_WRONG) {
		i += feed_numbers(f, p + i, n - i);
		i += feed_run(f, p + i, n - i);
		if (i == n)
			break;
		feed_byte(f, p[i], depth_max);
		if (f->state == FEED_WRONG)
			break;
		i++;
		if (f->state == FEED_WHOLE && !was_whole && ret_end != NULL) {
			end = i - is_blank(p[i - 1]);
			break;
		}
	}
	f->at += f->state == FEED_WRONG || end == n ? i : end;
	if (f->state == FEED_WRONG)
		return err_set(err, ERR_JSON, "byte %llu: %s",
			       (unsigned long long)f->at, f->wrong);
	if (ret_end != NULL)
		*ret_end = end;
	return f->state == FEED_WHOLE ? JSON_WHOLE : JSON_MORE;
}
