/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/text.h"

#include "engine/base/check.h"
#include "engine/base/err.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEPTH 128

/* Both readers of the grammar, the feed in pieces of every size up to three,
 * must agree on every text. */
static int
feed_all(const char *s, size_t n, size_t piece, struct err *err)
{
	struct json_feed f = {0};
	size_t at, m;
	int rc = JSON_MORE;

	for (at = 0; at < n && rc >= 0; at += m) {
		m = MIN(piece, n - at);
		rc = json_feed(&f, s + at, m, DEPTH, NULL, err);
	}
	if (rc >= 0) /* a number needs to know that it is over */
		rc = json_feed(&f, "\n", 1, DEPTH, NULL, err);
	return rc;
}

static int
walk_all(const char *s, size_t n, struct err *err)
{
	struct json_walk w;
	struct json_tok t;
	int rc;

	json_walk_init(&w, s, n, DEPTH);
	rc = json_next(&w, &t, err);
	if (rc == 0)
		rc = json_skip(&w, &t, NULL, err);
	return rc < 0 ? rc : json_finish(&w, err);
}

static void
expect(const char *s, size_t n, bool good)
{
	char *exact = malloc(n + (n == 0)); /* an overrun is seen */
	struct err err;
	size_t piece;
	int rc;

	memcpy(exact, s, n);
	rc = walk_all(exact, n, &err);
	if ((rc == 0) != good)
		fail_msg("walk of %.60s: %d", s, rc);
	if (!good)
		assert_int_equal(rc, -ERR_JSON);
	for (piece = 1; piece <= 3; piece++) {
		rc = feed_all(exact, n, piece, &err);
		if ((rc == JSON_WHOLE) != good)
			fail_msg("feed of %.60s by %zu: %d", s, piece, rc);
	}
	free(exact);
}

static const char *const good_texts[] = {
	"{}",
	"[]",
	" [ ] ",
	"{\"a\":1}",
	"[1,2.5,-0,0,-0.0e+00,1E5,1e-999]",
	"\"\"",
	"\"\\u00e9\\ud83d\\ude00\\n\\/\\\"\"",
	"\"\xc3\xa9\"",
	"true",
	"[null,false,true]",
	"42",
	"-1.5e3",
	"{\"\":{\"a.b/c\":[[[]]]}}",
	"{\"__proto__\":1}",
	"\"\xf4\x8f\xbf\xbf\"",
	"\"\x7f\"",
	"\t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } }\n",
};

static const char *const bad_texts[] = {
	"",
	"  ",
	"{",
	"[",
	"[1",
	"[1,",
	"[1,]",
	"{\"a\"}",
	"{\"a\":}",
	"{\"a\":1,}",
	"{a:1}",
	"{'a':1}",
	"[1 2]",
	"[1]]",
	"{}{}",
	"1 2",
	"[}",
	"{]",
	"nul",
	"nulL",
	"truee",
	"TRUE",
	"NaN",
	"Infinity",
	"-Infinity",
	"[NaN]",
	"01",
	"-01",
	"+1",
	".5",
	"1.",
	"-",
	"1e",
	"1e+",
	"0x1",
	"1.e5",
	"--1",
	"\"",
	"\"abc",
	"\"\\\"",
	"\"\\x\"",
	"\"\\u12\"",
	"\"\\u00zz\"",
	"\"\\u0000\"",
	"\"\\ud800\"",
	"\"\\ud800x\"",
	"\"\\ud800\\n\"",
	"\"\\ud800\\u0041\"",
	"\"\\udc00\"",
	"\"\\udc00\\ud800\"",
	"\"\n\"",
	"\"\x01\"",
	"\"\xff\"",
	"\"\xc0\x80\"",
	"\"\xc3\"",
	"\"\xe0\x80\x80\"",
	"\"\xed\xa0\x80\"",
	"\"\xf5\x80\x80\x80\"",
	"\"\xf0\x80\x80\x80\"",
	"\"\xf4\x90\x80\x80\"",
	"\xef\xbb\xbf{}",
	"/* */{}",
	"{}//",
	",",
	":",
	"[,1]",
	"{,}",
	"{\"a\":1 \"b\":2}",
	"{\"a\" 1}",
	"{1:2}",
	"[1:2]",
	"{\"a\",\"b\"}",
};

static void
test_good_texts_are_taken_by_both_readers(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good_texts); i++)
		expect(good_texts[i], strlen(good_texts[i]), true);
}

static void
test_bad_texts_are_refused_by_both_readers(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad_texts); i++)
		expect(bad_texts[i], strlen(bad_texts[i]), false);
	expect("{}\0", 3, false);
	expect("{\"a\0\":1}", 8, false);
	expect("{\0}", 3, false);
	expect("\xff\xfe{\0}\0", 6, false);
}

static void
test_every_cut_of_a_text_is_refused(void **state)
{
	static const char s[] = "{\"id\": 42, \"v\": [0.5, -1e-7, true, null], "
				"\"p\": {\"k\": \"\\ud83d\\ude00\xc3\xa9\"}}";
	size_t n;

	(void)state;
	for (n = 0; n < sizeof s - 1; n++)
		expect(s, n, false);
	expect(s, n, true);
}

static void
test_depth_has_a_limit(void **state)
{
	char s[2 * (DEPTH + 1)];
	struct err err;

	(void)state;
	memset(s, '[', DEPTH);
	memset(s + DEPTH, ']', DEPTH);
	expect(s, 2 * DEPTH, true);
	memset(s, '[', DEPTH + 1);
	memset(s + DEPTH + 1, ']', DEPTH + 1);
	expect(s, 2 * (DEPTH + 1), false);
	walk_all(s, sizeof s, &err);
	assert_string_equal(err.text, "byte 128: nested too deep");
	feed_all(s, sizeof s, 1, &err);
	assert_string_equal(err.text, "byte 128: nested too deep");
}

static void
test_random_bytes_get_one_verdict_from_both_readers(void **state)
{
	static const char bytes[] = "{}[]\",:0123.eE+-tfn \\u/ab\xc3\xa9\x01";
	static const char base[] = "{\"a\":[1,2.5e3,\"x\\u0041\"],\"b\":{},"
				   "\"c\":[true,false,null,-0.5]}";
	char s[sizeof base];
	struct err err;
	unsigned i, k;
	int a, b;

	(void)state;
	srand(1);
	for (i = 0; i < 200000; i++) {
		memcpy(s, base, sizeof s);
		for (k = 0; k < 1 + i % 3; k++)
			s[(size_t)rand() % (sizeof s - 1)] =
				bytes[(size_t)rand() % (sizeof bytes - 1)];
		a = walk_all(s, sizeof s - 1, &err);
		b = feed_all(s, sizeof s - 1, 1 + i % 5, &err);
		if ((a == 0) != (b == JSON_WHOLE))
			fail_msg("walk %d, feed %d: %s", a, b, s);
	}
}

static void
test_feed_says_where_the_value_ends(void **state)
{
	struct json_feed f = {0};
	struct err err;
	size_t end;

	(void)state;
	assert_int_equal(json_feed(&f, "{\"a\":", 5, DEPTH, &end, &err),
			 JSON_MORE);
	assert_int_equal(end, 5);
	assert_int_equal(json_feed(&f, "1}\n{", 4, DEPTH, &end, &err),
			 JSON_WHOLE);
	assert_int_equal(end, 2);
	assert_int_equal(json_feed(&f, " \n", 2, DEPTH, &end, &err),
			 JSON_WHOLE);
	assert_int_equal(json_feed(&f, "x", 1, DEPTH, NULL, &err), -ERR_JSON);
	assert_int_equal(json_feed(&f, " ", 1, DEPTH, NULL, &err), -ERR_JSON);
	f = (struct json_feed){0};
	assert_int_equal(json_feed(&f, "12 3", 4, DEPTH, &end, &err),
			 JSON_WHOLE);
	assert_int_equal(end, 2);
}

static void
test_feed_refuses_at_the_first_wrong_byte(void **state)
{
	struct json_feed f = {0};
	struct err err;

	(void)state;
	assert_int_equal(json_feed(&f, "{\"a\": [1, 2", 11, DEPTH, NULL, &err),
			 JSON_MORE);
	assert_int_equal(json_feed(&f, ", x", 3, DEPTH, NULL, &err), -ERR_JSON);
	assert_string_equal(err.text, "byte 13: not a JSON value");
}

static struct json_tok
tok(const char *s, struct json_walk *w)
{
	struct json_tok t;

	json_walk_init(w, s, strlen(s), DEPTH);
	assert_int_equal(json_next(w, &t, NULL), 0);
	return t;
}

static void
test_walk_gives_members_and_elements(void **state)
{
	struct json_walk w;
	struct json_tok t = tok("{\"a\": [1, \"x\"], \"b\": null}", &w);
	struct slice raw;

	(void)state;
	assert_int_equal(t.type, JSON_OBJECT);
	assert_int_equal(json_key(&w, &t, NULL), 0);
	assert_true(json_tok_is(&t, "a"));
	assert_int_equal(json_next(&w, &t, NULL), 0);
	assert_int_equal(t.type, JSON_ARRAY);
	assert_int_equal(json_skip(&w, &t, &raw, NULL), 0);
	assert_int_equal(raw.n, 8);
	assert_memory_equal(raw.p, "[1, \"x\"]", 8);
	assert_int_equal(json_key(&w, &t, NULL), 0);
	assert_true(json_tok_is(&t, "b"));
	assert_int_equal(json_next(&w, &t, NULL), 0);
	assert_int_equal(t.type, JSON_NULL);
	assert_int_equal(json_key(&w, &t, NULL), 0);
	assert_int_equal(t.type, JSON_END);
	assert_int_equal(json_finish(&w, NULL), 0);
	assert_int_equal(json_next(&w, &t, NULL), 0);
	assert_int_equal(t.type, JSON_END);
}

static void
test_strings_are_unescaped_and_compared(void **state)
{
	static const char want[] = "a\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac"
				   "\xf0\x9f\x98\x80z";
	struct json_walk w;
	struct json_tok t = tok("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00E9\\u20ac"
				"\\ud83d\\ude00z\"",
				&w);
	struct buf b = {0};

	(void)state;
	assert_int_equal(json_unescape(&t, &b, NULL), 0);
	assert_int_equal(b.n, strlen(want));
	assert_memory_equal(b.p, want, b.n);
	assert_true(json_tok_is(&t, want));
	assert_false(json_tok_is(&t, "a\""));
	assert_false(json_tok_eq(&t, (struct slice){want, b.n - 1}));
	buf_clear(&b);
	assert_int_equal(json_quote(want, strlen(want), &b), 0);
	buf_put_u8(&b, 0);
	assert_string_equal(b.p, "\"a\\\"\\\\/\\u0008\\u000c\\n\\u000d\\t"
				 "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z\"");
	buf_done(&b);
}

static void
test_blanks_between_tokens_can_be_removed(void **state)
{
	static const char s[] = " { \"a b\" : [ 1 , \"\\\" \\\\\" ] }\n";
	struct buf b = {0};

	(void)state;
	assert_int_equal(json_compact(s, sizeof s - 1, &b), 0);
	buf_put_u8(&b, 0);
	assert_string_equal(b.p, "{\"a b\":[1,\"\\\" \\\\\"]}");
	buf_done(&b);
}

static void
test_integers_have_limits(void **state)
{
	struct json_walk w;
	struct json_tok t;
	uint64_t u;
	int64_t i;

	(void)state;
	t = tok("18446744073709551615", &w);
	assert_int_equal(json_tok_u64(&t, &u, NULL), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(json_tok_i64(&t, &i, NULL), -ERR_NUMBER);
	t = tok("18446744073709551616", &w);
	assert_int_equal(json_tok_u64(&t, &u, NULL), -ERR_NUMBER);
	t = tok("-9223372036854775808", &w);
	assert_int_equal(json_tok_i64(&t, &i, NULL), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(json_tok_u64(&t, &u, NULL), -ERR_NUMBER);
	t = tok("-9223372036854775809", &w);
	assert_int_equal(json_tok_i64(&t, &i, NULL), -ERR_NUMBER);
	t = tok("1.0", &w);
	assert_int_equal(json_tok_i64(&t, &i, NULL), -ERR_NUMBER);
	t = tok("1e3", &w);
	assert_int_equal(json_tok_u64(&t, &u, NULL), -ERR_NUMBER);
}

/* --- floats against the C library ------------------------------------ */

static void
check_float(const char *s)
{
	struct json_walk w;
	struct json_tok t = tok(s, &w);
	const float want = strtof(s, NULL);
	const double want64 = strtod(s, NULL);
	float have;
	double have64;
	int rc = json_tok_f32(&t, &have, NULL);

	if (isinf(want))
		assert_int_equal(rc, -ERR_NUMBER);
	else if (rc != 0 || memcmp(&want, &have, sizeof want) != 0)
		fail_msg("%s: %a, not %a", s, (double)have, (double)want);
	rc = json_tok_f64(&t, &have64, NULL);
	if (isinf(want64))
		assert_int_equal(rc, -ERR_NUMBER);
	else if (rc != 0 || memcmp(&want64, &have64, sizeof want64) != 0)
		fail_msg("%s: %a, not %a", s, have64, want64);
}

static void
test_floats_at_the_edges_are_rounded_right(void **state)
{
	static const char *const texts[] = {
		"0",
		"-0",
		"0.0",
		"-0.0e5",
		"0e999999999999",
		"1",
		"0.1",
		"0.10000000149011612",
		"3.4028234663852886e38",
		"3.4028235677973366e38",
		"3.4028235677973365e38",
		"3.4028235677973367e38",
		"1e39",
		"-1e39",
		"1e999",
		"1e-999",
		"1e308",
		"1.7976931348623159e308",
		"1.401298464324817e-45",
		"7.006492321624085e-46",
		"7.006492321624086e-46",
		"7.0064923216240853546186479164496e-46",
		"1.1754943508222875e-38",
		"1.1754942807573643e-38",
		"16777217",
		"16777217.0000000000000000000000000001",
		"16777216.9999999999999999999999999999",
		"33554431",
		"9007199254740993",
		"0.000000000000000000000000000000000001",
		"123456789012345678901234567890",
		"1e48",
		"1e49",
		"1e-64",
		"1e-65",
		"12345678901234567e-80",
		"0.00000000000000000000000000000000000000000000000001e60",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++)
		check_float(texts[i]);
}

/* The middle between two floats, and a little to both sides: where rounding
 * twice goes wrong. */
static void
test_middles_between_floats_are_rounded_right(void **state)
{
	char text[400];
	unsigned i;

	(void)state;
	srand(2);
	for (i = 0; i < 30000; i++) {
		uint32_t bits = (uint32_t)rand() << 16 ^ (uint32_t)rand();
		float a, b;
		double mid;

		bits &= 0x7fffffff;
		if (bits >= 0x7f7fffff)
			continue;
		memcpy(&a, &bits, sizeof a);
		bits++;
		memcpy(&b, &bits, sizeof b);
		mid = ((double)a + (double)b) / 2;
		snprintf(text, sizeof text, "%.*e", 60, mid);
		check_float(text);
		snprintf(text, sizeof text, "%.16e", mid);
		check_float(text);
		snprintf(text, sizeof text, "%.17e", nextafter(mid, 0));
		check_float(text);
		snprintf(text, sizeof text, "%.17e", nextafter(mid, INFINITY));
		check_float(text);
	}
}

static void
test_random_floats_are_rounded_right(void **state)
{
	char text[400];
	unsigned i;

	(void)state;
	srand(3);
	for (i = 0; i < 200000; i++) {
		uint64_t bits = (uint64_t)rand() << 42 ^
				(uint64_t)rand() << 21 ^ (uint64_t)rand();
		double v;
		int n = (int)(bits % 30);

		memcpy(&v, &bits, sizeof v);
		if (!isfinite(v))
			continue;
		if (i % 4 != 0) /* most near to what a float holds */
			v = ldexp((double)(bits >> 11),
				  (int)(bits % 250) - 170);
		snprintf(text, sizeof text, "%.*e", n, v);
		check_float(text);
		if (fabs(v) < 1e15 && fabs(v) > 1e-15) {
			snprintf(text, sizeof text, "%.*f", n + 1, v);
			check_float(text);
		}
	}
}

static void
test_long_numbers_are_rounded_right(void **state)
{
	enum { n = 100000 };
	static char s[n + 20];

	(void)state;
	memset(s, '3', n);
	memcpy(s, "0.", 2);
	s[n] = 0;
	check_float(s);
	s[n - 1] = '4';
	check_float(s);
	memset(s, '7', 400);
	s[400] = 0;
	check_float(s); /* beyond both */
	memcpy(s + 400, "e-390", 6);
	check_float(s);
	memset(s, '0', n);
	memcpy(s, "16777217.", 9);
	memcpy(s + n, "1", 2);
	check_float(s);
}

/* --- arrays ---------------------------------------------------------- */

static int
array(const char *s, float *out, size_t max, size_t *n, size_t *at, size_t *end,
      struct err *err)
{
	struct json_walk w;
	struct json_tok t;
	char *exact = malloc(strlen(s));
	int rc;

	memcpy(exact, s, strlen(s));
	json_walk_init(&w, exact, strlen(s), DEPTH);
	assert_int_equal(json_next(&w, &t, NULL), 0);
	rc = json_f32_array(&w, out, max, n, at, end, err);
	if (rc == 0)
		rc = json_finish(&w, err);
	free(exact);
	return rc;
}

static void
test_arrays_of_numbers_are_read(void **state)
{
	float v[8];
	size_t n, at, end;
	struct err err;

	(void)state;
	assert_int_equal(
		array("[ 1, -2.5 ,3e2,\n0.1 ]", v, 8, &n, &at, &end, &err), 0);
	assert_int_equal(n, 4);
	assert_int_equal(at, 2);
	assert_int_equal(end, 19);
	assert_true(v[0] == 1 && v[1] == -2.5f && v[2] == 300 && v[3] == 0.1f);
	assert_int_equal(array("[ ]", v, 8, &n, &at, &end, &err), 0);
	assert_int_equal(n, 0);
}

static void
test_wrong_elements_are_named(void **state)
{
	static const struct {
		const char *s;
		int rc;
		const char *text;
	} cases[] = {
		{"[1, \"2\"]", -ERR_TYPE,
		 "byte 4: element 1 is a string, not a number"},
		{"[null]", -ERR_TYPE,
		 "byte 1: element 0 is null, not a number"},
		{"[true]", -ERR_TYPE, NULL},
		{"[[1]]", -ERR_TYPE, NULL},
		{"[1,{}]", -ERR_TYPE, NULL},
		{"[1,2,3,4,5]", -ERR_DIM, NULL},
		{"[1e39]", -ERR_NUMBER, "byte 1: 1e39 is beyond float32"},
		{"[-1e999]", -ERR_NUMBER, NULL},
		{"[NaN]", -ERR_JSON, NULL},
		{"[1,]", -ERR_JSON, NULL},
		{"[,1]", -ERR_JSON, NULL},
		{"[1 2]", -ERR_JSON, NULL},
		{"[1", -ERR_JSON, NULL},
		{"[1,", -ERR_JSON, NULL},
		{"[", -ERR_JSON, NULL},
		{"[-", -ERR_JSON, NULL},
		{"[1.]", -ERR_JSON, NULL},
		{"[01]", -ERR_JSON, NULL},
		{"[.5]", -ERR_JSON, NULL},
		{"[+1]", -ERR_JSON, NULL},
		{"[0x10]", -ERR_JSON, NULL},
		{"[1}", -ERR_JSON, NULL},
	};
	float v[4];
	size_t i, n, at, end;
	struct err err;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		int rc = array(cases[i].s, v, 4, &n, &at, &end, &err);

		if (rc != cases[i].rc)
			fail_msg("%s: %d (%s)", cases[i].s, rc, err.text);
		if (cases[i].text != NULL)
			assert_string_equal(err.text, cases[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_texts_are_taken_by_both_readers),
		cmocka_unit_test(test_bad_texts_are_refused_by_both_readers),
		cmocka_unit_test(test_every_cut_of_a_text_is_refused),
		cmocka_unit_test(test_depth_has_a_limit),
		cmocka_unit_test(
			test_random_bytes_get_one_verdict_from_both_readers),
		cmocka_unit_test(test_feed_says_where_the_value_ends),
		cmocka_unit_test(test_feed_refuses_at_the_first_wrong_byte),
		cmocka_unit_test(test_walk_gives_members_and_elements),
		cmocka_unit_test(test_strings_are_unescaped_and_compared),
		cmocka_unit_test(test_blanks_between_tokens_can_be_removed),
		cmocka_unit_test(test_integers_have_limits),
		cmocka_unit_test(test_floats_at_the_edges_are_rounded_right),
		cmocka_unit_test(test_middles_between_floats_are_rounded_right),
		cmocka_unit_test(test_random_floats_are_rounded_right),
		cmocka_unit_test(test_long_numbers_are_rounded_right),
		cmocka_unit_test(test_arrays_of_numbers_are_read),
		cmocka_unit_test(test_wrong_elements_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
