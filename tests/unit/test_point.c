/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_point.h"

#include "engine/base/arena.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/hash.h"
#include "engine/json/number.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CLEAN_ARENA CLEAN(arena_done) struct arena
#define CLEAN_BUF   CLEAN(buf_done) struct buf

static int
parse(const char *s, size_t n, const char *name, bool canonical,
      struct arena *a, struct point *p, struct err *err)
{
	char *exact = malloc(n + (n == 0)); /* nothing may point into it */
	struct id_key k;
	int rc;

	memcpy(exact, s, n);
	if (name != NULL)
		assert_int_equal(id_from_name(name, strlen(name), &k, NULL), 0);
	rc = json_point_parse(exact, n, name != NULL ? &k : NULL, canonical, a,
			      p, err);
	memset(exact, '#', n);
	free(exact);
	return rc;
}

static void
check_digest(const struct point *p)
{
	CLEAN_BUF b = {0};
	uint8_t sum[SHA256_LEN];

	buf_put_u16(&b, p->id.n);
	buf_put(&b, p->id.b, p->id.n);
	buf_put_u32(&b, p->dim);
	buf_put(&b, p->vec, p->dim * sizeof(float));
	buf_put(&b, p->doc.text.p, p->doc.text.n);
	sha256(b.p, b.n, sum);
	assert_memory_equal(p->digest, sum, DIGEST_LEN);
}

static void
round_trip(const char *s, const char *name, enum doc_form form, int style)
{
	CLEAN_ARENA a = {0};
	CLEAN_BUF out = {0};
	struct point p;
	struct err err;
	int rc = parse(s, strlen(s), name, false, &a, &p, &err);

	if (rc < 0)
		fail_msg("%s: %s", s, err.text);
	assert_int_equal(p.doc.size, strlen(s));
	assert_int_equal(json_point_render(&p, &out, &err), 0);
	assert_int_equal(out.n, strlen(s));
	assert_memory_equal(out.p, s, out.n);
	if (p.doc.form != form || (style >= 0 && p.doc.style != style))
		fail_msg("%s: form %d, style %d", s, p.doc.form, p.doc.style);
	check_digest(&p);
}

static void
test_documents_read_back_byte_for_byte(void **state)
{
	enum {
		PY = NUM_EXP_PYTHON | NUM_WHOLE_POINT,
		NUMPY = PY | NUM_DIGITS_F64
	};
	(void)state;
	round_trip("{\"id\": 42, \"vector\": [0.05, 0.61, 0.76, 0.74], "
		   "\"payload\": {\"city\": \"Bengaluru\"}}\n",
		   NULL, DOC_TEMPLATE, 0);
	round_trip("{\"vector\":[1,0.5,-0]}", "x", DOC_TEMPLATE, 0);
	round_trip("{\"vector\":[1]}", "x", DOC_TEMPLATE, 0);
	round_trip("{\"vector\": [1.0, 0.5, 1e-05]}", "x", DOC_TEMPLATE, PY);
	round_trip("{\"vector\": [0.10000000149011612, 1.0]}", "x",
		   DOC_TEMPLATE, NUMPY);
	round_trip("{\"vector\":[0.10000000149011612,1]}", "x", DOC_TEMPLATE,
		   NUM_DIGITS_F64);
	round_trip("{\"vector\":[0.500000,-1.250000]}", "x", DOC_TEMPLATE,
		   NUM_FIXED + 6);
	round_trip("{\n  \"vector\": [\n    0.5,\n    0.25\n  ]\n}\n", "x",
		   DOC_TEMPLATE, 0);
	round_trip("{\"vector\": [1.5E-5]}", "x", DOC_TEMPLATE, -1);
	round_trip("{\"payload\":{\"a\":[1,2]},\"vector\":[0.5,2],\"id\":7}",
		   "7", DOC_TEMPLATE, 0);
	/* no style or no one separator */
	round_trip("{\"vector\": [0.5, 0.50]}", "x", DOC_VERBATIM, -1);
	round_trip("{\"vector\": [0.5,0.5, 0.5]}", "x", DOC_VERBATIM, -1);
	round_trip("{\"vector\": [0.123456789012345]}", "x", DOC_VERBATIM, -1);
	round_trip("{\"vector\": [1, 1.0]}", "x", DOC_VERBATIM, -1);
	round_trip("{\"vector\": [1e2]}", "x", DOC_VERBATIM, -1);
	/* no vector */
	round_trip("{}", "x", DOC_VERBATIM, -1);
	round_trip("{\"vector\": {}}", "x", DOC_VERBATIM, -1);
	round_trip(" {\"id\":\"x\",\"payload\":null,\"shard_key\":null} ", "x",
		   DOC_VERBATIM, -1);
}

static void
test_long_separators_are_kept(void **state)
{
	char s[1000];
	int blanks;

	(void)state;
	for (blanks = 250; blanks <= 260; blanks++) {
		snprintf(s, sizeof s, "{\"vector\":[1,%*s2,%*s3]}", blanks, "",
			 blanks, "");
		round_trip(s, "x", blanks < 255 ? DOC_TEMPLATE : DOC_VERBATIM,
			   -1);
	}
}

static void
test_payload_is_found_in_every_form(void **state)
{
	static const char *const texts[] = {
		"{\"payload\":{\"k\": 1},\"vector\":[0.5,0.25]}",
		"{\"vector\":[0.5, 0.25],\"payload\":{\"k\": 1}}",
		"{\"vector\":[0.50, 0.25],\"payload\":{\"k\": 1}}",
		"{\"payload\":{\"k\": 1}}",
	};
	struct point p;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		CLEAN_ARENA a = {0};

		assert_int_equal(parse(texts[i], strlen(texts[i]), "x", false,
				       &a, &p, NULL),
				 0);
		assert_int_equal(p.doc.pay_len, 8);
		assert_memory_equal(point_payload(&p).p, "{\"k\": 1}", 8);
	}
}

static void
test_canonical_documents_are_compact(void **state)
{
	static const char s[] = "{ \"payload\" : { \"a b\" : [ 1 , 2 ] } ,\n"
				"\"vector\" : [ 0.10000000149011612 , 1.0 ] ,"
				" \"id\" : \"550E8400-E29B-41D4-A716-"
				"446655440000\" }";
	static const char want[] =
		"{\"id\":\"550e8400-e29b-41d4-a716-446655440000\",\"vector\":"
		"[0.1,1],\"payload\":{\"a b\":[1,2]}}";
	CLEAN_ARENA a = {0};
	CLEAN_BUF out = {0};
	struct point p;

	(void)state;
	assert_int_equal(parse(s, strlen(s), NULL, true, &a, &p, NULL), 0);
	assert_int_equal(p.doc.form, DOC_CANONICAL);
	assert_int_equal(p.doc.size, strlen(want));
	assert_int_equal(json_point_render(&p, &out, NULL), 0);
	buf_put_u8(&out, 0);
	assert_string_equal(out.p, want);
	assert_int_equal(p.doc.text.n, strlen("{\"a b\":[1,2]}"));
	check_digest(&p);
}

static void
test_points_are_made_of_parts(void **state)
{
	static const float v[] = {0.5f, -0.0f, 3};
	CLEAN_ARENA a = {0};
	CLEAN_BUF out = {0};
	struct id_key id;
	struct point p;

	(void)state;
	id_from_num(UINT64_MAX, &id);
	assert_int_equal(json_point_make(&id, v, 3, (struct slice){"{ }", 3},
					 &a, &p, NULL),
			 0);
	assert_int_equal(json_point_render(&p, &out, NULL), 0);
	buf_put_u8(&out, 0);
	assert_string_equal(out.p, "{\"id\":18446744073709551615,\"vector\":"
				   "[0.5,-0,3],\"payload\":{ }}");
	assert_int_equal(json_point_make(&id, NULL, 0, (struct slice){"", 0},
					 &a, &p, NULL),
			 0);
	buf_clear(&out);
	assert_int_equal(json_point_render(&p, &out, NULL), 0);
	buf_put_u8(&out, 0);
	assert_string_equal(out.p, "{\"id\":18446744073709551615}");
}

static void
rename_to(const char *s, const char *name, const char *to, const char *want)
{
	CLEAN_ARENA a = {0};
	CLEAN_BUF out = {0};
	struct point p, q;
	struct id_key k;
	struct err err;

	assert_int_equal(parse(s, strlen(s), name, false, &a, &p, &err), 0);
	p.mtime_ns = 77;
	p.no = 5;
	assert_int_equal(id_from_name(to, strlen(to), &k, NULL), 0);
	if (json_point_rename(&p, &k, &a, &q, &err) < 0)
		fail_msg("%s: %s", s, err.text);
	assert_int_equal(q.mtime_ns, 77);
	assert_int_equal(q.no, 5);
	assert_int_equal(q.doc.form, p.doc.form);
	assert_int_equal(q.doc.size, strlen(want));
	assert_int_equal(json_point_render(&q, &out, NULL), 0);
	buf_put_u8(&out, 0);
	assert_string_equal(out.p, want);
	check_digest(&q);
}

static void
test_rename_changes_the_id_member_only(void **state)
{
	CLEAN_ARENA a = {0};
	CLEAN_BUF out = {0};
	struct point p, q;
	struct id_key k;

	(void)state;
	rename_to(
		"{\"vector\": [0.5, 1],\n\"id\" : 42 , \"payload\":{\"id\":42}"
		"}\n",
		NULL, "abc",
		"{\"vector\": [0.5, 1],\n\"id\" : \"abc\" , \"payload\":"
		"{\"id\":42}}\n");
	rename_to("{ \"\\u0069d\": \"42\", \"vector\": [0.50]}", NULL, "43",
		  "{ \"\\u0069d\": 43, \"vector\": [0.50]}");
	rename_to("{\"vector\": [1]}", "1", "2", "{\"vector\": [1]}");
	rename_to("{\"id\":\"a\"}", NULL, "b\"", "{\"id\":\"b\\\"\"}");
	assert_int_equal(parse("{\"id\":1,\"vector\":[2]}", 21, NULL, true, &a,
			       &p, NULL),
			 0);
	id_from_num(100, &k);
	assert_int_equal(json_point_rename(&p, &k, &a, &q, NULL), 0);
	assert_int_equal(json_point_render(&q, &out, NULL), 0);
	buf_put_u8(&out, 0);
	assert_string_equal(out.p, "{\"id\":100,\"vector\":[2]}");
	check_digest(&q);
}

static void
test_wrong_points_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *s;
		int rc;
		const char *text;
	} cases[] = {
		{"", -ERR_JSON, NULL},
		{" \n", -ERR_JSON, NULL},
		{"null", -ERR_TYPE, NULL},
		{"42", -ERR_TYPE, NULL},
		{"\"x\"", -ERR_TYPE, NULL},
		{"[]", -ERR_TYPE, "byte 0: an array where an object belongs"},
		{"{}{}", -ERR_JSON, NULL},
		{"{} x", -ERR_JSON, NULL},
		{"\xef\xbb\xbf{}", -ERR_JSON, NULL},
		{"{\"vector\":null}", -ERR_TYPE, NULL},
		{"{\"vector\":\"1\"}", -ERR_TYPE, NULL},
		{"{\"vector\":true}", -ERR_TYPE, NULL},
		{"{\"vector\":5}", -ERR_TYPE, NULL},
		{"{\"vector\":[]}", -ERR_DIM,
		 "vector: byte 10: the vector is empty"},
		{"{\"vector\":[1,\"2\"]}", -ERR_TYPE,
		 "vector: byte 13: element 1 is a string, not a number"},
		{"{\"vector\":[1,null]}", -ERR_TYPE, NULL},
		{"{\"vector\":[true]}", -ERR_TYPE, NULL},
		{"{\"vector\":[1e39]}", -ERR_NUMBER, NULL},
		{"{\"vector\":[1e999]}", -ERR_NUMBER, NULL},
		{"{\"vector\":[NaN]}", -ERR_JSON, NULL},
		{"{\"vector\":[-Infinity]}", -ERR_JSON, NULL},
		{"{\"vector\":[0x1]}", -ERR_JSON, NULL},
		{"{\"vector\":[[1,2],[3,4]]}", -ERR_NOT_YET, NULL},
		{"{\"vector\":{\"text\":[1]}}", -ERR_NOT_YET, NULL},
		{"{\"vector\":{\"indices\":[1],\"values\":[1]}}", -ERR_NOT_YET,
		 NULL},
		{"{\"shard_key\":\"a\"}", -ERR_NOT_YET, NULL},
		{"{\"payload\":[]}", -ERR_TYPE, NULL},
		{"{\"payload\":\"x\"}", -ERR_TYPE, NULL},
		{"{\"payload\":{\"a\":1e999}}", -ERR_NUMBER, NULL},
		{"{\"vector\":[1],\"vector\":[1]}", -ERR_KEY, NULL},
		{"{\"vector\":[1],\"vectors\":[1]}", -ERR_KEY, NULL},
		{"{\"id\":1,\"id\":1}", -ERR_KEY, NULL},
		{"{\"id\":1,\"\\u0069d\":1}", -ERR_KEY, NULL},
		{"{\"vec\":[1]}", -ERR_KEY, "byte 1: unknown member \"vec\""},
		{"{\"\":1}", -ERR_KEY, NULL},
		{"{\"__proto__\":1}", -ERR_KEY, NULL},
		{"{\"payload\":{\"a\":1,\"a\":2}}", -ERR_KEY,
		 "payload: byte 18: duplicate member \"a\""},
		{"{\"payload\":{\"a\":1,\"\\u0061\":2}}", -ERR_KEY, NULL},
		{"{\"payload\":{\"x\":[{\"y\":{\"a\":1,\"b\":1,\"a\":1}}]}}",
		 -ERR_KEY, NULL},
		{"{\"id\":-1}", -ERR_ID, NULL},
		{"{\"id\":1.5}", -ERR_ID, NULL},
		{"{\"id\":1e3}", -ERR_ID, NULL},
		{"{\"id\":18446744073709551616}", -ERR_ID, NULL},
		{"{\"id\":null}", -ERR_ID, NULL},
		{"{\"id\":[1]}", -ERR_ID, NULL},
		{"{\"id\":\"\"}", -ERR_ID, NULL},
		{"{\"id\":\"007\"}", -ERR_ID, NULL},
		{"{\"id\":\"a/b\"}", -ERR_ID, NULL},
		{"{\"id\":\".a\"}", -ERR_ID, NULL},
		{"{\"id\":\"a\\nb\"}", -ERR_ID_NAME, NULL},
		{"{\"id\":43}", -ERR_ID_NAME,
		 "the document's id is 43, its file name says 42"},
		{"{\"id\":\"042\"}", -ERR_ID, NULL},
	};
	struct point p;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN_ARENA a = {0};
		int rc = parse(cases[i].s, strlen(cases[i].s), "42", false, &a,
			       &p, &err);

		if (rc != cases[i].rc)
			fail_msg("%s: %d %s", cases[i].s, rc,
				 rc < 0 ? err.text : "");
		if (cases[i].text != NULL)
			assert_string_equal(err.text, cases[i].text);
	}
}

static void
test_a_point_needs_an_id_from_somewhere(void **state)
{
	CLEAN_ARENA a = {0};
	struct point p;

	(void)state;
	assert_int_equal(parse("{}", 2, NULL, false, &a, &p, NULL), -ERR_ID);
	assert_int_equal(
		parse("{\"id\":\"42\"}", 11, "42", false, &a, &p, NULL), 0);
	assert_int_equal(p.id.b[0], ID_NUM);
}

/* Many names, the last of which is also the first or not; and the same name in
 * many objects. */
static void
test_duplicates_among_many_members_are_found(void **state)
{
	struct point p;
	struct err err;
	int twice, i;

	(void)state;
	for (twice = 0; twice <= 1; twice++) {
		CLEAN_ARENA a = {0};
		CLEAN_BUF b = {0};
		int rc;

		buf_puts(&b, "{\"payload\":{");
		for (i = 0; i < 100000; i++)
			buf_printf(&b, "\"key%d\":{\"x\":%d},", i, i);
		buf_printf(&b, "\"key%d\":0}}", twice ? 31415 : i);
		rc = parse((char *)b.p, b.n, "1", false, &a, &p, &err);
		assert_int_equal(rc, twice ? -ERR_KEY : 0);
		if (twice)
			assert_non_null(strstr(err.text,
					       "duplicate member \"key31415"));
	}
}

static void
test_depth_and_size_have_limits(void **state)
{
	CLEAN_ARENA a = {0};
	CLEAN_BUF b = {0};
	struct point p;
	struct err err;
	unsigned depth, i;

	(void)state;
	for (depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX; depth++) {
		buf_clear(&b);
		buf_puts(&b, "{\"payload\":");
		for (i = 1; i < depth; i++)
			buf_puts(&b, "{\"a\":");
		buf_puts(&b, "[1]");
		for (i = 0; i < depth; i++)
			buf_puts(&b, "}");
		assert_int_equal(
			parse((char *)b.p, b.n, "1", false, &a, &p, &err),
			depth < JSON_DEPTH_MAX ? 0 : -ERR_JSON);
	}
	assert_non_null(strstr(err.text, "nested too deep"));
	buf_clear(&b);
	for (i = 0; i < 1000000; i++)
		buf_put_u8(&b, '[');
	assert_int_equal(parse((char *)b.p, b.n, "1", false, &a, &p, &err),
			 -ERR_TYPE);
	buf_clear(&b);
	buf_puts(&b, "{\"vector\":[0");
	for (i = 1; i <= DIM_MAX; i++)
		buf_puts(&b, ",0");
	buf_puts(&b, "]}");
	assert_int_equal(parse((char *)b.p, b.n, "1", false, &a, &p, &err),
			 -ERR_DIM);
	assert_int_equal(json_point_parse("{}", (size_t)BODY_MAX + 1, NULL,
					  false, &a, &p, &err),
			 -ERR_TOO_BIG);
}

static void
test_every_cut_of_a_document_is_refused(void **state)
{
	static const char s[] = "{\"id\": 42, \"vector\": [0.5, -1e-7], "
				"\"payload\": {\"k\": [true, \"\xc3\xa9\"]}}";
	struct point p;
	size_t n;

	(void)state;
	for (n = 0; n < sizeof s - 1; n++) {
		CLEAN_ARENA a = {0};

		assert_int_equal(parse(s, n, NULL, false, &a, &p, NULL),
				 -ERR_JSON);
	}
}

static void
test_damaged_documents_do_not_render(void **state)
{
	CLEAN_ARENA a = {0};
	CLEAN_BUF out = {0};
	struct point p, q;

	(void)state;
	assert_int_equal(parse("{\"vector\":[1,2],\"payload\":{}}", 29, "1",
			       false, &a, &p, NULL),
			 0);
	q = p;
	q.doc.vec_at = 1000;
	assert_int_equal(json_point_render(&q, &out, NULL), -ERR_DAMAGED);
	q = p;
	q.doc.size++;
	assert_int_equal(json_point_render(&q, &out, NULL), -ERR_DAMAGED);
	q = p;
	q.doc.style = NUM_STYLE_NR;
	assert_int_equal(json_point_render(&q, &out, NULL), -ERR_DAMAGED);
	q = p;
	q.doc.pay_len = 1000;
	assert_int_equal(json_point_render(&q, &out, NULL), -ERR_DAMAGED);
	q = p;
	q.doc.form = 9;
	assert_int_equal(json_point_render(&q, &out, NULL), -ERR_VERSION);
	assert_int_equal(out.n, 0);
}

/* Vectors as programs write them: each style, random floats. */
static void
test_vectors_in_every_style_become_templates(void **state)
{
	static const char *const seps[] = {",", ", ", ",\n    ", " , "};
	unsigned style, round, i;

	(void)state;
	srand(5);
	for (round = 0; round < 400; round++) {
		CLEAN_ARENA a = {0};
		CLEAN_BUF b = {0}, out = {0};
		struct point p;
		struct err err;
		char text[NUM_TEXT_MAX];

		style = round % NUM_STYLE_NR;
		if (style == NUM_FIXED || (style >> 2 == 3 && style < 14))
			continue; /* nobody writes "1" and "1.0E7" */
		buf_puts(&b, "{\"vector\": [");
		for (i = 0; i < 50; i++) {
			float v = ldexpf((float)(rand() % 2000001 - 1000000),
					 -20 - rand() % 12);
			if (i > 0)
				buf_puts(&b, seps[round % ARRAY_LEN(seps)]);
			buf_put(&b, text, num_print_f32(v, style, text));
		}
		buf_puts(&b, "]}");
		if (parse((char *)b.p, b.n, "1", false, &a, &p, &err) < 0)
			fail_msg("%s", err.text);
		if (style < NUM_FIXED || style > NUM_FIXED + 6)
			assert_int_equal(p.doc.form, DOC_TEMPLATE);
		assert_int_equal(json_point_render(&p, &out, &err), 0);
		assert_int_equal(out.n, b.n);
		assert_memory_equal(out.p, b.p, b.n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents_read_back_byte_for_byte),
		cmocka_unit_test(test_long_separators_are_kept),
		cmocka_unit_test(test_payload_is_found_in_every_form),
		cmocka_unit_test(test_canonical_documents_are_compact),
		cmocka_unit_test(test_points_are_made_of_parts),
		cmocka_unit_test(test_rename_changes_the_id_member_only),
		cmocka_unit_test(test_wrong_points_are_refused_with_a_reason),
		cmocka_unit_test(test_a_point_needs_an_id_from_somewhere),
		cmocka_unit_test(test_duplicates_among_many_members_are_found),
		cmocka_unit_test(test_depth_and_size_have_limits),
		cmocka_unit_test(test_every_cut_of_a_document_is_refused),
		cmocka_unit_test(test_damaged_documents_do_not_render),
		cmocka_unit_test(test_vectors_in_every_style_become_templates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
