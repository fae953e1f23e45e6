/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_import.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/json/json_point.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CLEAN_ARENA CLEAN(arena_done) struct arena

/* What the sink saw: documents one after the other, refusals as "!text". */
struct seen {
	struct buf text;
	int stop_at; /* put fails from this point on; 0: never */
	int n;
};

static int
put(void *arg, struct point *p, struct err *err)
{
	struct seen *s = arg;

	if (++s->n == s->stop_at)
		return err_set(err, ERR_READ_ONLY, "no");
	assert_int_equal(p->doc.form, DOC_CANONICAL);
	assert_int_equal(json_point_render(p, &s->text, NULL), 0);
	buf_puts(&s->text, "\n");
	return 0;
}

static void
refuse(void *arg, uint64_t line, const struct err *err)
{
	struct seen *s = arg;

	buf_printf(&s->text, "!%d %s\n", (int)line, err->text);
}

static int
import(const char *body, int stop_at, const char *want, struct err *err)
{
	CLEAN_ARENA a = {0};
	struct seen s = {.stop_at = stop_at};
	struct import_sink sink = {put, refuse, &s};
	int rc = json_import_body(body, strlen(body), 9, &a, &sink, err);

	buf_put_u8(&s.text, 0);
	if (strcmp((char *)s.text.p, want) != 0)
		fail_msg("%s:\n%s", body, (char *)s.text.p);
	buf_done(&s.text);
	return rc;
}

static void
test_one_point_a_line(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(import("{\"id\":1, \"vector\":[0.5,1.0], \"payload\":"
				"{\"a\": 1}}",
				0,
				"{\"id\":1,\"vector\":[0.5,1],\"payload\":"
				"{\"a\":1}}\n",
				&err),
			 0);
	assert_int_equal(
		import("{\"vector\":[1]}", 0, "!9 the point has no id\n", &err),
		0);
	assert_int_equal(import("{\"id\":1,\"x\":1}", 0,
				"!9 byte 8: unknown member \"x\"\n", &err),
			 0);
	assert_int_equal(import("{\"id\":1", 0, "", &err), -ERR_JSON);
	assert_int_equal(import("", 0, "", &err), -ERR_JSON);
	assert_int_equal(import("[1]", 0, "", &err), -ERR_TYPE);
	assert_int_equal(import("{\"id\":1}{\"id\":2}", 0, "", &err),
			 -ERR_JSON);
}

static void
test_upsert_bodies_refuse_single_points(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(
		import("{\"points\":[{\"id\":1},{\"id\":-1},{\"id\":"
		       "\"b\",\"vector\":[2]}],\"wait\":true,"
		       "\"shard_key\":null,\"update_mode\":\"upsert\"}",
		       0,
		       "{\"id\":1}\n!9 points[1]: id: byte 6: an id is "
		       "an unsigned 64-bit number or a string\n"
		       "{\"id\":\"b\",\"vector\":[2]}\n",
		       &err),
		0);
	assert_int_equal(import("{\"points\":[]}", 0, "", &err), 0);
	assert_int_equal(import("{\"points\":{}}", 0, "", &err), -ERR_TYPE);
	assert_int_equal(import("{\"points\":[],\"x\":1}", 0, "", &err),
			 -ERR_KEY);
	assert_int_equal(import("{\"update_mode\":\"insert_only\",\"points\":["
				"]}",
				0, "", &err),
			 -ERR_NOT_YET);
	/* nothing is put when the grammar breaks later */
	assert_int_equal(import("{\"points\":[{\"id\":1}]", 0, "", &err),
			 -ERR_JSON);
}

static void
test_batch_bodies_are_columns(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(import("{\"batch\":{\"ids\":[1,\"x\"],\"vectors\":["
				"[1,2],[3,4]],\"payloads\":[null,{\"a\":1}]}}",
				0,
				"{\"id\":1,\"vector\":[1,2]}\n"
				"{\"id\":\"x\",\"vector\":[3,4],\"payload\":"
				"{\"a\":1}}\n",
				&err),
			 0);
	assert_int_equal(import("{\"batch\":{\"ids\":[1,2],\"vectors\":[[1],"
				"[\"x\"]]}}",
				0,
				"{\"id\":1,\"vector\":[1]}\n"
				"!9 batch row 1: vector: byte 18: element 0 is "
				"a string, not a number\n",
				&err),
			 0);
	assert_int_equal(import("{\"batch\":{\"ids\":[1,2],\"vectors\":[[1]]}}",
				0, "{\"id\":1,\"vector\":[1]}\n", &err),
			 -ERR_QUERY);
	assert_int_equal(import("{\"batch\":{\"ids\":[1]}}", 0, "", &err),
			 -ERR_QUERY);
	assert_int_equal(import("{\"batch\":{\"ids\":[1],\"vectors\":{\"a\":["
				"[1]]}}}",
				0, "", &err),
			 -ERR_NOT_YET);
	assert_int_equal(
		import("{\"batch\":{\"ids\":[],\"vectors\":[]}}", 0, "", &err),
		0);
}

static void
test_a_failing_sink_ends_the_body(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(import("{\"points\":[{\"id\":1},{\"id\":2},{\"id\":3}]"
				"}",
				2, "{\"id\":1}\n", &err),
			 -ERR_READ_ONLY);
	assert_int_equal(import("{\"batch\":{\"ids\":[1,2],\"vectors\":[[1],[1]"
				"]}}",
				1, "", &err),
			 -ERR_READ_ONLY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_point_a_line),
		cmocka_unit_test(test_upsert_bodies_refuse_single_points),
		cmocka_unit_test(test_batch_bodies_are_columns),
		cmocka_unit_test(test_a_failing_sink_ends_the_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
