/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text_num.c - numbers of JSON texts, correctly rounded and fast.
 *
 * A float32 needs 24 bits, a double has 53: the product of the digits and a
 * power of ten, each rounded to double, is at most two units of the double's
 * last place away from the truth.  Unless that is near the middle between two
 * floats (one number in ten million), rounding it to float is right, whatever
 * the number of digits.  The rest goes to strtof(), as digits and an exponent
 * without a point, so that the locale has no say.
 */
#include "engine/base/text.h"

#include "engine/base/err.h"
#include "engine/base/text_impl.h"

#include <endian.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define POW_MIN (-64)
#define POW_MAX 48
#define EXACT   22 /* 10^22 is the last power that a double holds exactly */

/* A double needs 767 digits at most to be told from its neighbours' middle;
 * what is behind them only matters as "and some more". */
#define DIGITS_MAX 800

#define DIGITS_KEEP 18 /* fit an int64, which becomes a double at once */

/* clang-format off */
#define TEN(s, d) 1e##s##d##0, 1e##s##d##1, 1e##s##d##2, 1e##s##d##3,          \
	1e##s##d##4, 1e##s##d##5, 1e##s##d##6, 1e##s##d##7, 1e##s##d##8,       \
	1e##s##d##9
#define NET(d) 1e-##d##9, 1e-##d##8, 1e-##d##7, 1e-##d##6, 1e-##d##5,          \
	1e-##d##4, 1e-##d##3, 1e-##d##2, 1e-##d##1, 1e-##d##0
static const double pow_table[] = {
	1e-64, 1e-63, 1e-62, 1e-61, 1e-60,
	NET(5), NET(4), NET(3), NET(2), NET(1), NET(),
	1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	TEN(+, 1), TEN(+, 2), TEN(+, 3),
	1e40, 1e41, 1e42, 1e43, 1e44, 1e45, 1e46, 1e47, 1e48,
};
/* clang-format on */
_Static_assert(sizeof pow_table / sizeof *pow_table == POW_MAX - POW_MIN + 1,
	       "a power of ten is missing");

/* --- digits ---------------------------------------------------------- */

static const uint32_t pow_u32[] = {1,      10,      100,      1000,     10000,
				   100000, 1000000, 10000000, 100000000};

/* A byte for each digit, the first lowest: pairs, then fours, then all. */
static inline uint32_t
eight_digits(uint64_t x)
{
	x = x * 10 + (x >> 8);
	return (uint32_t)(((x & 0x000000ff000000ffu) * 0x000f424000000064u +
			   (x >> 16 & 0x000000ff000000ffu) *
				   0x0000271000000001u) >>
			  32);
}

static const uint8_t *
digits_read_slow(const uint8_t *p, const uint8_t *end, uint64_t *m)
{
	while (p < end && is_digit(*p))
		*m = *m * 10 + (unsigned)(*p++ - '0');
	return p;
}

/* Up to eight digits at a time, without a branch on how many there are. */
static inline const uint8_t *
digits_read(const uint8_t *p, const uint8_t *end, uint64_t *m)
{
	const uint64_t high = 0x8080808080808080u;
	uint64_t x, other;
	unsigned n;

	while (end - p >= 8) {
		memcpy(&x, p, 8);
		x = le64toh(x) ^ 0x3030303030303030u;
		other = (((x & ~high) + 0x7676767676767676u) | x) & high;
		if (other == 0) {
			*m = *m * 100000000 + eight_digits(x);
			p += 8;
			continue;
		}
		n = (unsigned)__builtin_ctzll(other) / 8;
		x = x << 8 << (56 - 8 * n); /* n may be 0 */
		*m = *m * pow_u32[n] + eight_digits(x);
		return p + n;
	}
	return digits_read_slow(p, end, m);
}

/* The first digits that count, of a number with more than DIGITS_KEEP; exp is
 * that of the last digit and rises by those left out. */
static void
digits_cut(const uint8_t *p, const uint8_t *end, struct decimal *d)
{
	int taken = 0;

	d->m = 0;
	for (; p < end && (is_digit(*p) || *p == '.'); p++) {
		if (*p == '.' || (taken == 0 && *p == '0'))
			continue;
		if (taken < DIGITS_KEEP) {
			d->m = d->m * 10 + (unsigned)(*p - '0');
			taken++;
		} else {
			d->exp++;
			d->cut = true;
		}
	}
}

static const uint8_t *
exponent_read(const uint8_t *p, const uint8_t *end, int32_t *exp,
	      const uint8_t **ret_wrong)
{
	bool neg = false;
	int32_t e = 0;

	if (p < end && (*p == '+' || *p == '-'))
		neg = *p++ == '-';
	if (p == end || !is_digit(*p)) {
		*ret_wrong = p;
		return NULL;
	}
	/* Texts are below 2^30 bytes: no run of zeros makes up for this. */
	for (; p < end && is_digit(*p); p++)
		e = e < 100000000 ? e * 10 + (*p - '0') : e;
	*exp += neg ? -e : e;
	return p;
}

const uint8_t *
num_scan(const uint8_t *p, const uint8_t *end, struct decimal *d,
	 const uint8_t **ret_wrong)
{
	const uint8_t *from, *point;
	ptrdiff_t digits;

	*d = (struct decimal){.neg = p < end && *p == '-'};
	p += d->neg;
	from = p;
	*ret_wrong = p;
	if (p == end || !is_digit(*p))
		return NULL;
	d->m = (unsigned)(*p++ - '0');
	if (p < end && is_digit(*p)) {
		if (d->m == 0)
			return NULL;
		p = digits_read(p, end, &d->m);
	}
	digits = p - from - (*from == '0');
	if (p < end && *p == '.') {
		point = ++p;
		*ret_wrong = p;
		p = digits_read(p, end, &d->m);
		if (p == point)
			return NULL;
		d->exp = -(int32_t)(p - point);
		digits += p - point;
	}
	if (__builtin_expect(digits > DIGITS_KEEP, 0))
		digits_cut(from, p, d);
	if (p < end && (*p | 0x20) == 'e')
		p = exponent_read(p + 1, end, &d->exp, ret_wrong);
	return p;
}

/* --- rounding -------------------------------------------------------- */

static inline float
with_sign(float v, bool neg)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof bits);
	bits |= (uint32_t)neg << 31;
	memcpy(&v, &bits, sizeof v);
	return v;
}

static inline bool
decimal_f32(const struct decimal *d, float *ret)
{
	uint64_t bits;
	double x;

	if (d->m == 0) {
		*ret = with_sign(0, d->neg);
		return true;
	}
	if (d->exp < POW_MIN || d->exp > POW_MAX)
		return false;
	x = (double)(int64_t)d->m * pow_table[d->exp - POW_MIN];
	memcpy(&bits, &x, sizeof bits);
	if ((bits & 0x1fffffff) - 0x0ffffff0 <= 0x20) /* the middle */
		return false;
	if (!(x >= 2 * (double)FLT_MIN && x <= (double)FLT_MAX))
		return false;
	*ret = with_sign((float)x, d->neg);
	return true;
}

static bool
decimal_f64(const struct decimal *d, double *ret)
{
	double x = (double)(int64_t)d->m;

	if (d->cut || d->m > 1ull << 53 || d->exp < -EXACT || d->exp > EXACT)
		return false;
	x = d->exp < 0 ? x / pow_table[-d->exp - POW_MIN]
		       : x * pow_table[d->exp - POW_MIN];
	*ret = d->neg ? -x : x;
	return true;
}

/* The number as "-digits" "e" exponent, for strtod(). */
static void
number_respell(const uint8_t *p, size_t n, const struct decimal *d,
	       char ret[DIGITS_MAX + 32])
{
	const uint8_t *end = p + n;
	long exp = d->exp;
	size_t at = 0, taken = 0;
	bool more = false;

	if (d->neg) {
		ret[at++] = '-';
		p++;
	}
	for (; p < end && (is_digit(*p) || *p == '.'); p++) {
		if (*p == '.' || (taken == 0 && *p == '0'))
			continue;
		if (taken++ < DIGITS_MAX)
			ret[at++] = (char)*p;
		else
			more |= *p != '0';
	}
	if (taken == 0)
		ret[at++] = '0';
	if (d->cut) /* exp stands behind the last digit in m */
		exp -= (long)(taken < DIGITS_MAX ? taken : DIGITS_MAX) -
		       DIGITS_KEEP;
	if (more) {
		ret[at++] = '1';
		exp--;
	}
	snprintf(ret + at, 16, "e%ld", exp);
}

static void
tok_decimal(const struct json_tok *t, struct decimal *ret)
{
	const uint8_t *p = t->raw.p, *wrong;

	*ret = (struct decimal){0};
	if (t->type == JSON_NUMBER)
		num_scan(p, p + t->raw.n, ret, &wrong);
}

static int
tok_fail(const struct json_tok *t, const char *what, struct err *err)
{
	const int n = t->raw.n < 40 ? (int)t->raw.n : 40;

	return err_set(err, ERR_NUMBER, "byte %zu: %.*s%s is %s", t->at, n,
		       n > 0 ? (const char *)t->raw.p : "",
		       t->raw.n > 40 ? "..." : "", what);
}

int
json_tok_f64(const struct json_tok *t, double *ret, struct err *err)
{
	char text[DIGITS_MAX + 32];
	struct decimal d;
	double v;

	tok_decimal(t, &d);
	if (!decimal_f64(&d, &v)) {
		number_respell(t->raw.p, t->raw.n, &d, text);
		v = strtod(text, NULL);
	}
	if (isinf(v))
		return tok_fail(t, "beyond a 64-bit float", err);
	*ret = v;
	return 0;
}

static int
round_f32(const struct json_tok *t, const struct decimal *d, float *ret,
	  struct err *err)
{
	char text[DIGITS_MAX + 32];
	float v;

	if (decimal_f32(d, ret))
		return 0;
	number_respell(t->raw.p, t->raw.n, d, text);
	v = strtof(text, NULL);
	if (isinf(v))
		return tok_fail(t, "beyond float32", err);
	*ret = v;
	return 0;
}

int
json_tok_f32(const struct json_tok *t, float *ret, struct err *err)
{
	struct decimal d;

	tok_decimal(t, &d);
	return round_f32(t, &d, ret, err);
}

/* --- integers -------------------------------------------------------- */

static int
tok_integer(const struct json_tok *t, bool *ret_neg, uint64_t *ret,
	    struct err *err)
{
	const uint8_t *p = t->raw.p;
	size_t i = 0;
	uint64_t v = 0;

	*ret_neg = t->raw.n > 0 && p[0] == '-';
	for (i = *ret_neg; i < t->raw.n; i++) {
		if (!is_digit(p[i]))
			return tok_fail(t, "not an integer", err);
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(p[i] - '0'), &v))
			return tok_fail(t, "beyond 64 bits", err);
	}
	*ret = v;
	return 0;
}

int
json_tok_u64(const struct json_tok *t, uint64_t *ret, struct err *err)
{
	uint64_t v = 0;
	bool neg = false;
	int rc = tok_integer(t, &neg, &v, err);

	if (rc < 0)
		return rc;
	if (neg)
		return tok_fail(t, "not an unsigned integer", err);
	*ret = v;
	return 0;
}

int
json_tok_i64(const struct json_tok *t, int64_t *ret, struct err *err)
{
	uint64_t v = 0;
	bool neg = false;
	int rc = tok_integer(t, &neg, &v, err);

	if (rc < 0)
		return rc;
	if (v > (uint64_t)INT64_MAX + neg)
		return tok_fail(t, "beyond 64 bits", err);
	*ret = (int64_t)(neg ? 0 - v : v);
	return 0;
}

/* --- arrays of numbers ----------------------------------------------- */

static int
element_fail(struct json_walk *w, size_t i, struct err *err)
{
	struct json_tok t;
	int rc;

	w->state = WALK_VALUE; /* "[1,]" lacks one */
	rc = json_next(w, &t, err);
	if (rc < 0)
		return rc;
	return err_set(err, ERR_TYPE,
		       "byte %zu: element %zu is %s, not a number", t.at, i,
		       json_type_name(t.type));
}

/* One number; *p moves behind it.  1: none is there. */
static int
element_read(struct json_walk *w, const uint8_t **p, float *out,
	     struct err *err)
{
	const uint8_t *end = w->p + w->n, *from = *p, *wrong;
	struct decimal d;
	struct json_tok t;

	if (from == end || !(is_digit(*from) | (*from == '-')))
		return 1;
	*p = num_scan(from, end, &d, &wrong);
	if (*p == NULL)
		return walk_fail((size_t)(wrong - w->p), "not a JSON number",
				 err);
	if (__builtin_expect(decimal_f32(&d, out), 1))
		return 0;
	t.at = (size_t)(from - w->p);
	t.raw = (struct slice){from, (size_t)(*p - from)};
	return round_f32(&t, &d, out, err);
}

static inline const uint8_t *
blanks_skip(const uint8_t *p, const uint8_t *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

int
json_f32_array(struct json_walk *w, float *out, size_t max, size_t *ret_n,
	       size_t *ret_at, size_t *ret_end, struct err *err)
{
	const uint8_t *p, *last, *end = w->p + w->n;
	struct json_tok t;
	size_t n = 0, first;
	int rc;

	*ret_n = 0;
	if (walk_blanks(w) == ']') {
		*ret_at = *ret_end = w->at;
		return json_next(w, &t, err);
	}
	first = w->at;
	for (p = w->p + first;; p = blanks_skip(p + 1, end)) {
		if (n == max)
			return err_set(err, ERR_DIM,
				       "byte %zu: more than %zu numbers",
				       (size_t)(p - w->p), max);
		rc = element_read(w, &p, out + n, err);
		if (rc < 0)
			return rc;
		if (rc > 0) {
			w->at = (size_t)(p - w->p);
			return element_fail(w, n, err);
		}
		n++;
		last = p;
		p = blanks_skip(p, end);
		if (p == end || *p != ',')
			break;
	}
	w->at = (size_t)(p - w->p);
	w->state = WALK_AFTER;
	rc = json_next(w, &t, err);
	if (rc < 0)
		return rc;
	*ret_n = n;
	*ret_at = first;
	*ret_end = (size_t)(last - w->p);
	return 0;
}
