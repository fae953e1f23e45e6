/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number.c - from a float to the shortest digits between its neighbours'
 * middles.
 *
 * v = c * 2^q.  Scaled by 10^-k, where 10^k is the largest power of ten not
 * above the gap between the two middles, at least one whole number lies in the
 * gap, and at most one multiple of ten.  Three products with one tabulated
 * power of ten give the lower middle, v and the upper middle as whole numbers
 * of quarters, the rest squeezed into the last bit (round to odd), which is
 * all that comparing them needs.
 */
#include "engine/json/number.h"

#include "engine/base/check.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define POW_MIN (-292)
#define POW_MAX 324

__extension__ typedef unsigned __int128 u128_int;

struct u128 {
	uint64_t high, low;
};

/* 10^k, scaled to 128 bits with the top bit set, rounded up. */
static struct u128 pow_table[POW_MAX - POW_MIN + 1];

/* --- powers of ten --------------------------------------------------- */

/* A mantissa of 320 bits: the 324 steps lose 324 of its last units, and what
 * the table keeps is 192 bits above them. */
#define WORDS 5

struct wide {
	uint64_t w[WORDS]; /* least first; the top bit is set */
};

static void
wide_shift_left(struct wide *x)
{
	int i;

	for (; (x->w[WORDS - 1] >> 63) == 0; x->w[0] <<= 1)
		for (i = WORDS - 1; i > 0; i--)
			x->w[i] = x->w[i] << 1 | x->w[i - 1] >> 63;
}

static void
wide_times_ten(struct wide *x)
{
	u128_int t = 0;
	uint64_t over;
	int i;

	for (i = 0; i < WORDS; i++) {
		t += (u128_int)x->w[i] * 10;
		x->w[i] = (uint64_t)t;
		t >>= 64;
	}
	for (over = (uint64_t)t; over != 0; over >>= 1) {
		for (i = 0; i < WORDS - 1; i++)
			x->w[i] = x->w[i] >> 1 | x->w[i + 1] << 63;
		x->w[i] = x->w[i] >> 1 | over << 63;
	}
}

static void
wide_by_ten(struct wide *x)
{
	u128_int t = 0;
	int i;

	for (i = WORDS - 1; i >= 0; i--) {
		t = t << 64 | x->w[i];
		x->w[i] = (uint64_t)(t / 10);
		t %= 10;
	}
	wide_shift_left(x);
}

static struct u128
wide_top(const struct wide *x)
{
	struct u128 g = {x->w[WORDS - 1], x->w[WORDS - 2]};
	uint64_t rest = 0;
	int i;

	for (i = 0; i < WORDS - 2; i++)
		rest |= x->w[i];
	g.low += rest != 0;
	g.high += rest != 0 && g.low == 0;
	return g;
}

__attribute__((constructor)) static void
pow_fill(void)
{
	const struct wide one = {.w[WORDS - 1] = 1ull << 63};
	struct wide x = one;
	int k;

	for (k = 0; k <= POW_MAX; k++, wide_times_ten(&x))
		pow_table[k - POW_MIN] = wide_top(&x);
	x = one;
	for (k = -1; k >= POW_MIN; k--) {
		wide_by_ten(&x);
		pow_table[k - POW_MIN] = wide_top(&x);
	}
}

/* floor(log10(2^q)), and of 3/4 * 2^q; floor(log2(10^k)).  The constants are
 * 2^22 * log10(2), 2^22 * log10(4/3) and 2^19 * log2(10). */
static inline int
log10_pow2(int q, bool three_quarters)
{
	return (q * 1262611 - (three_quarters ? 524031 : 0)) >> 22;
}

static inline int
log2_pow10(int k)
{
	return (k * 1741647) >> 19;
}

/* --- shortest digits ------------------------------------------------- */

struct digits { /* m * 10^exp */
	uint64_t m;
	int exp;
};

/* Which whole number stands for v, given the quarters of the lower middle, v
 * and the upper middle, all inclusive. */
static inline struct digits
pick(uint64_t low, uint64_t v, uint64_t high, int k)
{
	const uint64_t s = v / 4, tens = s / 10;
	bool down, up;

	if (s >= 10) {
		down = low <= 40 * tens;
		up = 40 * tens + 40 <= high;
		if (down != up)
			return (struct digits){tens + up, k + 1};
	}
	down = low <= 4 * s;
	up = 4 * s + 4 <= high;
	if (down == up) /* the nearer, the even one of two */
		up = v > 4 * s + 2 || (v == 4 * s + 2 && (s & 1) != 0);
	return (struct digits){s + up, k};
}

static inline uint64_t
scale_f32(uint64_t g, uint32_t c)
{
	const u128_int p = (u128_int)g * c;
	const uint32_t rest = (uint32_t)(p >> 32);

	return (uint64_t)(p >> 64) | (rest > 1);
}

static struct digits
shortest_f32(uint32_t bits)
{
	const uint32_t mantissa = bits & 0x7fffff, exp = bits >> 23 & 0xff;
	const uint32_t c = exp != 0 ? mantissa | 0x800000 : mantissa;
	const int q = exp != 0 ? (int)exp - 150 : -149;
	const bool close = mantissa == 0 && exp > 1; /* the lower neighbour */
	const uint32_t odd = c & 1; /* then a middle rounds to the neighbour */
	int k, h;
	struct u128 p;
	uint64_t g;

	if (q <= 0 && q > -24 && (c & ((1u << -q) - 1)) == 0)
		return (struct digits){c >> -q, 0};
	k = log10_pow2(q, close);
	h = q + log2_pow10(-k) + 1;
	p = pow_table[-k - POW_MIN];
	g = p.high + (p.low != 0);
	return pick(scale_f32(g, (4 * c - 2 + close) << h) + odd,
		    scale_f32(g, 4 * c << h),
		    scale_f32(g, (4 * c + 2) << h) - odd, k);
}

static inline uint64_t
scale_f64(struct u128 g, uint64_t c)
{
	const u128_int low = (u128_int)g.low * c;
	const u128_int p = (u128_int)g.high * c + (uint64_t)(low >> 64);

	return (uint64_t)(p >> 64) | ((uint64_t)p > 1);
}

static struct digits
shortest_f64(uint64_t bits)
{
	const uint64_t mantissa = bits & 0xfffffffffffff;
	const int exp = (int)(bits >> 52 & 0x7ff);
	const uint64_t c = exp != 0 ? mantissa | 1ull << 52 : mantissa;
	const int q = exp != 0 ? exp - 1075 : -1074;
	const bool close = mantissa == 0 && exp > 1;
	const uint64_t odd = c & 1;
	int k, h;
	struct u128 g;

	if (q <= 0 && q > -53 && (c & ((1ull << -q) - 1)) == 0)
		return (struct digits){c >> -q, 0};
	k = log10_pow2(q, close);
	h = q + log2_pow10(-k) + 1;
	g = pow_table[-k - POW_MIN];
	return pick(scale_f64(g, (4 * c - 2 + close) << h) + odd,
		    scale_f64(g, 4 * c << h),
		    scale_f64(g, (4 * c + 2) << h) - odd, k);
}

/* --- spelling -------------------------------------------------------- */

#define DIGITS_MAX 17

static const uint64_t pow_u64[] = {
	1u,
	10u,
	100u,
	1000u,
	10000u,
	100000u,
	1000000u,
	10000000u,
	100000000u,
	1000000000u,
	10000000000u,
	100000000000u,
	1000000000000u,
	10000000000000u,
	100000000000000u,
	1000000000000000u,
	10000000000000000u,
	100000000000000000u,
};

/* How many digits m has; it is not 0.  1233 / 2^12 is log10(2). */
static inline unsigned
digits_count(uint64_t m)
{
	const unsigned guess = (64 - (unsigned)__builtin_clzll(m)) * 1233 >> 12;

	return guess + (m >= pow_u64[guess]);
}

/* The eight digits of v, a byte each, the first lowest: halves of four, then
 * pairs, then single ones. */
static inline uint64_t
eight_digits(uint32_t v)
{
	uint64_t x = v / 10000 | (uint64_t)(v % 10000) << 32, t;

	t = (x * 10486 >> 20) & 0x0000007f0000007fu;
	x = t | (x - t * 100) << 16;
	t = (x * 103 >> 10) & 0x000f000f000f000fu;
	return t | (x - t * 10) << 8;
}

/* Zero bytes at the end of the text. */
static inline unsigned
zeros_behind(uint64_t x)
{
	return x != 0 ? (unsigned)__builtin_clzll(x) / 8 : 8;
}

/* The digits of a number as text that stays in registers: written to memory in
 * one size and read in another, it would wait for the store. */
struct text {
	char first;      /* digit */
	uint64_t second; /* the next eight, the first lowest */
	uint64_t third;  /* eight more, if n is above 9 */
	unsigned n;      /* digits without zeros at their end */
	int point;       /* how many of them stand in front of the point */
};

#define ZEROS_8 0x3030303030303030u

/* Without a branch on how many there are: m is brought to 9 or 17 digits. */
static inline struct text
digits_text(struct digits d)
{
	const unsigned n = digits_count(d.m);
	struct text t = {.point = (int)n + d.exp};
	uint64_t m, x, y = 0;

	if (n <= 9) {
		m = d.m * pow_u64[9 - n];
		x = eight_digits((uint32_t)(m % 100000000));
		t.n = 9 - zeros_behind(x);
	} else {
		m = d.m * pow_u64[DIGITS_MAX - n];
		y = eight_digits((uint32_t)(m % 100000000));
		m /= 100000000;
		x = eight_digits((uint32_t)(m % 100000000));
		t.n = y != 0 ? DIGITS_MAX - zeros_behind(y)
			     : 9 - zeros_behind(x);
	}
	t.first = (char)('0' + m / 100000000);
	t.second = htole64(x | ZEROS_8);
	t.third = htole64(y | ZEROS_8);
	return t;
}

/* All digits; up to eight bytes more. */
static inline void
digits_put(char *to, const struct text *t)
{
	to[0] = t->first;
	memcpy(to + 1, &t->second, 8);
	if (t->n > 9)
		memcpy(to + 9, &t->third, 8);
}

/* The digits from the from-th on, which is not the first; up to seven more. */
static inline void
digits_put_from(char *to, const struct text *t, unsigned from)
{
	uint64_t part;

	if (from < 9) {
		part = htole64(le64toh(t->second) >> 8 * (from - 1));
		memcpy(to, &part, 8);
		if (t->n > 9)
			memcpy(to + 9 - from, &t->third, 8);
		return;
	}
	part = htole64(le64toh(t->third) >> 8 * (from - 9));
	memcpy(to, &part, 8);
}

struct layout {
	int8_t point_min, point_max; /* of numbers without an exponent */
	int8_t exp_digits;           /* at least */
	char e;
	bool plus;
};

static inline struct layout
layout_of(unsigned style)
{
	switch (style >> NUM_EXP_SHIFT & 3) {
	case 0:
		return (struct layout){-5, 21, 1, 'e', true};
	case 1:
		return (struct layout){-3, 16, 2, 'e', true};
	case 2:
		if ((style & NUM_DIGITS_F64) != 0)
			return (struct layout){-4, 16, 1, 'e', false};
		return (struct layout){-5, 13, 1, 'e', false};
	default:
		return (struct layout){-2, 7, 1, 'E', false};
	}
}

static char *
exponent_print(char *at, int exp, struct layout l)
{
	char text[4];
	int n = 0;

	*at++ = l.e;
	if (exp < 0)
		*at++ = '-';
	else if (l.plus)
		*at++ = '+';
	exp = exp < 0 ? -exp : exp;
	do
		text[n++] = (char)('0' + exp % 10);
	while ((exp /= 10) > 0);
	while (n < l.exp_digits)
		text[n++] = '0';
	while (n > 0)
		*at++ = text[--n];
	return at;
}

static char *
scientific_print(char *at, const struct text *t, struct layout l)
{
	*at++ = (char)t->first;
	if (t->n > 1) {
		*at = '.';
		digits_put_from(at + 1, t, 1);
		at += t->n;
	} else if (l.e == 'E') {
		memcpy(at, ".0", 2);
		at += 2;
	}
	return exponent_print(at, t->point - 1, l);
}

static char *
spell(char *at, struct digits d, unsigned style)
{
	const struct layout l = layout_of(style);
	const struct text t = digits_text(d);

	if (t.point < l.point_min || t.point > l.point_max)
		return scientific_print(at, &t, l);
	if (t.point <= 0) {
		memcpy(at, "0.000000", 8);
		at += 2 - t.point;
		digits_put(at, &t);
		return at + t.n;
	}
	if ((int)t.n > t.point) {
		digits_put(at, &t);
		at += t.point;
		*at = '.';
		digits_put_from(at + 1, &t, (unsigned)t.point);
		return at + 1 + t.n - t.point;
	}
	digits_put(at, &t);
	memset(at + t.n, '0', (size_t)t.point - t.n);
	at += t.point;
	if ((style & NUM_WHOLE_POINT) != 0) {
		memcpy(at, ".0", 2);
		at += 2;
	}
	return at;
}

static char *
spell_zero(char *at, unsigned style)
{
	*at++ = '0';
	if ((style & NUM_WHOLE_POINT) != 0) {
		*at++ = '.';
		*at++ = '0';
	}
	return at;
}

/* --- a fixed number of decimals -------------------------------------- */

/* v * 10^decimals, rounded half to even: below 2^54 before the shift. */
static uint64_t
fixed_scale(uint32_t c, int shift, uint64_t ten)
{
	const uint64_t t = c * ten;
	uint64_t whole, rest, half;

	if (shift >= 64)
		return 0;
	whole = t >> shift;
	rest = t & ((1ull << shift) - 1);
	half = 1ull << (shift - 1);
	return whole + (rest > half || (rest == half && (whole & 1) != 0));
}

static char *
fixed_print(char *at, uint32_t bits, unsigned decimals)
{
	const uint32_t exp = bits >> 23 & 0xff;
	const uint32_t c = (bits & 0x7fffff) | (exp != 0 ? 0x800000 : 0);
	const int q = exp != 0 ? (int)exp - 150 : -149;
	uint64_t ten = 1, scaled, whole, rest;
	char text[24];
	unsigned i, n = 0;

	for (i = 0; i < decimals; i++)
		ten *= 10;
	scaled = q < 0 ? fixed_scale(c, -q, ten) : 0;
	whole = q < 0 ? scaled / ten : (uint64_t)c << q;
	rest = scaled % ten;
	do
		text[n++] = (char)('0' + whole % 10);
	while ((whole /= 10) > 0);
	while (n > 0)
		*at++ = text[--n];
	*at = '.';
	for (i = decimals; i > 0; i--, rest /= 10)
		at[i] = (char)('0' + rest % 10);
	return at + decimals + 1;
}

/* --- telling without printing ---------------------------------------- */

#define MATCH_ROOM     32 /* bytes that may be read */
#define MATCH_DECIMALS 12 /* a float times 10^12 is a whole double, exactly */

/* How many of the eight bytes are digits, and their value. */
static inline unsigned
digits_value(const char *p, uint64_t *ret)
{
	const uint64_t high = 0x8080808080808080u;
	uint64_t x, other;
	unsigned n;

	memcpy(&x, p, 8);
	x = le64toh(x) ^ ZEROS_8;
	other = (((x & ~high) + 0x7676767676767676u) | x) & high;
	n = other != 0 ? (unsigned)__builtin_ctzll(other) / 8 : 8;
	if (n == 0)
		return 0;
	x <<= 64 - 8 * n;
	x = x * 10 + (x >> 8);
	*ret = ((x & 0x000000ff000000ffu) * 0x000f424000000064u +
		(x >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u) >>
	       32;
	return n;
}

/* The text is m / 10^decimals, and m ends with no zero.  It is what is printed
 * if m is in the gap around v, is the whole number nearest to v * 10^decimals,
 * and no multiple of ten is in the gap.  All but the last differences are
 * exact; what is near to an edge is not decided here. */
static bool
is_shortest(uint32_t bits, uint64_t m, unsigned decimals)
{
	const double ten = (double)pow_u64[decimals];
	const uint64_t half_bits = (uint64_t)((bits >> 23) + 1023 - 127 - 24)
				   << 52;
	const double tens = (double)(m / 10 * 10);
	double x, gap, off;
	float v;

	memcpy(&v, &bits, sizeof v);
	memcpy(&gap, &half_bits, sizeof gap);
	x = (double)v * ten;
	gap *= ten;
	off = x > (double)m ? x - (double)m : (double)m - x;
	return off < 0.4999 && off < gap * 0.9999 && x - tens > gap * 1.0001 &&
	       tens + 10 - x > gap * 1.0001;
}

size_t
num_match_f32(float v, const char *p, size_t room)
{
	const char *at = p;
	uint64_t whole = 0, m = 0, more = 0;
	unsigned n, k;
	uint32_t bits;

	memcpy(&bits, &v, sizeof bits);
	if (room < MATCH_ROOM)
		return 0;
	if ((bits >> 31) != 0 && *at++ != '-')
		return 0;
	bits &= 0x7fffffff;
	/* Every style has a point and no exponent here; at a power of two the
	 * gap is not the same to both sides. */
	if (bits < 0x3a83126f /* 0.001 */ || bits >= 0x49742400 /* 1e6 */ ||
	    (bits & 0x7fffff) == 0)
		return 0;
	n = digits_value(at, &whole);
	if (n == 0 || n > 6 || at[n] != '.' || (*at == '0' && n > 1))
		return 0;
	at += n + 1;
	n = digits_value(at, &m);
	k = n == 8 ? digits_value(at + 8, &more) : 0;
	if (n == 0 || n + k > MATCH_DECIMALS)
		return 0;
	m = (whole * pow_u64[n] + m) * pow_u64[k] + more;
	if (m % 10 == 0 || !is_shortest(bits, m, n + k))
		return 0;
	return (size_t)(at - p) + n + k;
}

/* --- the doors ------------------------------------------------------- */

size_t
num_print_f32(float v, unsigned style, char *ret)
{
	char *at = ret;
	double wide = (double)v;
	uint64_t bits64;
	uint32_t bits;

	memcpy(&bits, &v, sizeof bits);
	if ((bits >> 31) != 0)
		*at++ = '-';
	bits &= 0x7fffffff;
	check(bits < 0x7f800000); /* finite: the parser lets nothing else in */
	if (style > NUM_FIXED && style < NUM_STYLE_NR &&
	    wide < NUM_FIXED_LIMIT && wide > -(double)NUM_FIXED_LIMIT)
		return (size_t)(fixed_print(at, bits, style - NUM_FIXED) - ret);
	if (style >= NUM_FIXED)
		style = 0;
	if (bits == 0)
		return (size_t)(spell_zero(at, style) - ret);
	if ((style & NUM_DIGITS_F64) == 0)
		return (size_t)(spell(at, shortest_f32(bits), style) - ret);
	memcpy(&bits64, &wide, sizeof bits64);
	bits64 &= ~(1ull << 63);
	return (size_t)(spell(at, shortest_f64(bits64), style) - ret);
}

size_t
num_print_f64(double v, char *ret)
{
	char *at = ret;
	uint64_t bits;

	memcpy(&bits, &v, sizeof bits);
	if ((bits >> 63) != 0)
		*at++ = '-';
	bits &= ~(1ull << 63);
	check(bits < 0x7ffull << 52);
	if (bits == 0)
		return (size_t)(spell_zero(at, 0) - ret);
	return (size_t)(spell(at, shortest_f64(bits), 0) - ret);
}
