/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/number.h"

#include "engine/base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define JS     0
#define PYTHON (NUM_EXP_PYTHON | NUM_WHOLE_POINT)
#define NUMPY  (PYTHON | NUM_DIGITS_F64)

static uint64_t seed = 88172645463325252u;

static uint64_t
next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static const char *
print(float v, unsigned style)
{
	static char text[NUM_TEXT_MAX + 1];

	text[num_print_f32(v, style, text)] = 0;
	return text;
}

static void
test_styles_spell_as_their_languages_do(void **state)
{
	static const struct {
		float v;
		unsigned style;
		const char *text;
	} cases[] = {
		{0, JS, "0"},
		{-0.0f, JS, "-0"},
		{1, JS, "1"},
		{0.1f, JS, "0.1"},
		{-1.5f, JS, "-1.5"},
		{1e-6f, JS, "0.000001"},
		{1e-7f, JS, "1e-7"},
		{1.5e-7f, JS, "1.5e-7"},
		{1e20f, JS, "100000000000000000000"},
		{1e21f, JS, "1e+21"},
		{1.5e22f, JS, "1.5e+22"},
		{16777216, JS, "16777216"},
		{3.4028235e38f, JS, "3.4028235e+38"},
		{1e-45f, JS, "1e-45"},
		{1e7f, JS, "10000000"},
		{0, PYTHON, "0.0"},
		{1, PYTHON, "1.0"},
		{-0.0f, PYTHON, "-0.0"},
		{0.0001f, PYTHON, "0.0001"},
		{0.00001f, PYTHON, "1e-05"},
		{1e15f, PYTHON, "1000000000000000.0"},
		{1e17f, PYTHON, "1e+17"},
		{1e-38f, PYTHON, "1e-38"},
		{0.1f, NUMPY, "0.10000000149011612"},
		{2, NUMPY, "2.0"},
		{0.5f, NUMPY, "0.5"},
		{1e-5f, NUMPY, "9.999999747378752e-06"},
		{1e16f, NUMPY, "1.0000000272564224e+16"},
		{1e-45f, NUMPY, "1.401298464324817e-45"},
		{1e-5f, NUM_EXP_RUST | NUM_DIGITS_F64, "9.999999747378752e-6"},
		{1e13f, NUM_EXP_RUST | NUM_WHOLE_POINT, "1e13"},
		{1e12f, NUM_EXP_RUST | NUM_WHOLE_POINT, "1000000000000.0"},
		{1e-6f, NUM_EXP_RUST, "0.000001"},
		{1e-7f, NUM_EXP_RUST, "1e-7"},
		{1e-3f, NUM_EXP_JAVA | NUM_WHOLE_POINT, "0.001"},
		{1e-4f, NUM_EXP_JAVA | NUM_WHOLE_POINT, "1.0E-4"},
		{1e7f, NUM_EXP_JAVA | NUM_WHOLE_POINT, "1.0E7"},
		{1234567, NUM_EXP_JAVA | NUM_WHOLE_POINT, "1234567.0"},
		{0.5f, NUM_FIXED + 6, "0.500000"},
		{-0.0f, NUM_FIXED + 1, "-0.0"},
		{0.25f, NUM_FIXED + 1, "0.2"},
		{0.75f, NUM_FIXED + 1, "0.8"},
		{99.96f, NUM_FIXED + 1, "100.0"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(print(cases[i].v, cases[i].style),
				    cases[i].text);
}

/* The oracle: the fewest digits that read back are the shortest. */
static void
check_f32(float v)
{
	char want[64], have[NUM_TEXT_MAX + 1];
	int digits;

	have[num_print_f32(v, NUM_EXP_PYTHON, have)] = 0;
	for (digits = 0; digits < 9; digits++) {
		snprintf(want, sizeof want, "%.*e", digits, (double)v);
		if (strtof(want, NULL) == v)
			break;
	}
	if (strtof(have, NULL) != v)
		fail_msg("%a reads back from %s as another", (double)v, have);
	if (strtod(have, NULL) == strtod(want, NULL))
		return;
	/* "%.*e" rounds to the nearest of that length; where that lies outside
	 * of the gap (by a power of two) another of the same length is in it,
	 * so the loop went one too far. */
	snprintf(want, sizeof want, "%.*e", digits > 0 ? digits - 1 : 0,
		 strtod(have, NULL));
	if (strtod(want, NULL) != strtod(have, NULL))
		fail_msg("%a: %s, not %s", (double)v, have, want);
}

static void
test_random_floats_print_shortest_and_read_back(void **state)
{
	unsigned i;
	uint32_t bits;
	float v;

	(void)state;
	for (i = 0; i < 400000; i++) {
		bits = (uint32_t)next();
		if (i % 64 == 0)
			bits &= 0xff800000; /* powers of two */
		memcpy(&v, &bits, sizeof v);
		if (isfinite(v))
			check_f32(v);
	}
}

static void
check_f64(double v)
{
	char want[64], have[NUM_TEXT_MAX + 1];
	int digits;

	have[num_print_f64(v, have)] = 0;
	if (strtod(have, NULL) != v)
		fail_msg("%a reads back from %s as another", v, have);
	for (digits = 14; digits < 17; digits++) {
		snprintf(want, sizeof want, "%.*e", digits, v);
		if (strtod(want, NULL) == v)
			break;
	}
	snprintf(want, sizeof want, "%.*e", digits, strtod(have, NULL));
	if (digits < 16 && strtod(want, NULL) != v)
		fail_msg("%a: %s is not shortest", v, have);
}

static void
test_random_doubles_print_shortest_and_read_back(void **state)
{
	unsigned i;
	uint64_t bits;
	double v;

	(void)state;
	for (i = 0; i < 200000; i++) {
		bits = next();
		if (i % 64 == 0)
			bits &= 0xfff0000000000000;
		memcpy(&v, &bits, sizeof v);
		if (isfinite(v))
			check_f64(v);
	}
	check_f64(5e-324);
	check_f64(1.7976931348623157e308);
	check_f64(2.2250738585072014e-308);
	check_f64(9007199254740993.0);
	check_f64(0.1 + 0.2);
}

static void
test_fixed_decimals_are_those_of_printf(void **state)
{
	char want[80];
	unsigned i, d;
	float v;

	(void)state;
	for (i = 0; i < 300000; i++) {
		v = ldexpf((float)(int32_t)next(), (int)(next() % 90) - 80);
		if (i % 5 == 0) /* ties */
			v = (float)(int8_t)next() / 32;
		if (fabsf(v) >= NUM_FIXED_LIMIT)
			continue;
		d = 1 + i % 9;
		snprintf(want, sizeof want, "%.*f", (int)d, (double)v);
		assert_string_equal(print(v, NUM_FIXED + d), want);
	}
}

/* The cheap test may say "not sure", but neither take what is not printed nor
 * give up on what programs write. */
static void
test_match_takes_only_what_is_printed(void **state)
{
	char have[NUM_TEXT_MAX + 64], want[NUM_TEXT_MAX + 64];
	unsigned i, sure = 0, all = 0;
	uint32_t bits;
	size_t n, m, len;
	float v;

	(void)state;
	for (i = 0; i < 1000000; i++) {
		bits = (uint32_t)next();
		bits = (bits & 0x807fffff) | (115 + i % 33) << 23;
		if (i % 16 == 0)
			bits &= 0xffff0000; /* few digits */
		memcpy(&v, &bits, sizeof v);
		memset(want, ',', sizeof want);
		n = len = num_print_f32(v, i % 4 * 4, want);
		want[n] = ',';
		all += fabsf(v) >= 0.01f && fabsf(v) < 1000;
		m = num_match_f32(v, want, sizeof want);
		sure += m > 0 && fabsf(v) >= 0.01f && fabsf(v) < 1000;
		if (m != 0 && m != n)
			fail_msg("%.*s: %zu", (int)n, want, m);
		/* another spelling that reads back as the same float */
		memset(have, ',', sizeof have);
		n = (size_t)snprintf(have, sizeof have, "%.*f",
				     3 + (int)(i % 9), (double)v);
		have[n] = ',';
		m = num_match_f32(v, have, sizeof have);
		if (m != 0 && (m != len || memcmp(have, want, m) != 0))
			fail_msg("%.*s is not %.*s", (int)m, have, (int)len,
				 want);
	}
	assert_true(sure > all / 10 * 9);
}

static void
test_no_style_writes_past_its_room(void **state)
{
	static const float v[] = {
		-3.4028235e38f, -1.1754944e-38f, -1e-45f,         -9.999999e14f,
		-1.2345679e-7f, -9.8765432e20f,  -1.00000003e-4f, -16777217.f};
	unsigned style;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		for (style = 0; style < NUM_STYLE_NR + 3; style++) {
			char *text = malloc(NUM_TEXT_MAX);
			size_t n = num_print_f32(v[i], style, text);

			assert_in_range(n, 2, NUM_TEXT_MAX);
			free(text);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_styles_spell_as_their_languages_do),
		cmocka_unit_test(
			test_random_floats_print_shortest_and_read_back),
		cmocka_unit_test(
			test_random_doubles_print_shortest_and_read_back),
		cmocka_unit_test(test_fixed_decimals_are_those_of_printf),
		cmocka_unit_test(test_match_takes_only_what_is_printed),
		cmocka_unit_test(test_no_style_writes_past_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
