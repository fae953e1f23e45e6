/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/payload/filter.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/json/json_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CLEAN_ARENA CLEAN(arena_done) struct arena

static const char payload[] =
	"{\"city\": \"London\", \"n\": 5, \"f\": 5.0, \"yes\": true, "
	"\"none\": null, \"empty\": [], \"tags\": [\"a\", \"b\", null], "
	"\"esc\": \"caf\\u00e9 \\\"x\\\"\", \"nums\": [1, 10, 100], "
	"\"deep\": {\"a\": {\"b\": 7}, \"list\": [{\"x\": 1}, {\"x\": 2, "
	"\"y\": [3, 4]}]}, \"a.b\": \"dotted\", \"big\": 1e300, "
	"\"grid\": [[1, 2], [3]], \"k\\u0065y\": 1}";

static struct filter *
filter_of(const char *conditions, struct arena *a)
{
	char text[1000];
	struct count_request c;
	struct err err;

	snprintf(text, sizeof text, "{\"filter\":%s}", conditions);
	if (json_count_parse(text, strlen(text), a, &c, &err) < 0)
		fail_msg("%s: %s", conditions, err.text);
	return c.filter;
}

static bool
pass(const char *filter, const char *text, uint64_t num)
{
	CLEAN_ARENA a = {0};
	const size_t n = strlen(text);
	char *exact = malloc(n + (n == 0));
	struct id_key id;
	bool result;

	memcpy(exact, text, n);
	id_from_num(num, &id);
	result = filter_pass(filter_of(filter, &a), id.b, id.n,
			     (struct slice){exact, n});
	free(exact);
	return result;
}

#define MUST(cond) "{\"must\":[{" cond "}]}"

static const struct {
	const char *filter;
	bool pass;
} cases[] = {
	{"{}", true},
	{"{\"must\":[],\"should\":[],\"must_not\":[]}", true},
	{"{\"must\":null}", true},
	/* value */
	{MUST("\"key\":\"city\",\"match\":{\"value\":\"London\"}"), true},
	{MUST("\"key\":\"city\",\"match\":{\"value\":\"london\"}"), false},
	{MUST("\"key\":\"city\",\"match\":{\"value\":5}"), false},
	{MUST("\"key\":\"n\",\"match\":{\"value\":5}"), true},
	{MUST("\"key\":\"n\",\"match\":{\"value\":\"5\"}"), false},
	{MUST("\"key\":\"f\",\"match\":{\"value\":5}"), false},
	{MUST("\"key\":\"yes\",\"match\":{\"value\":true}"), true},
	{MUST("\"key\":\"yes\",\"match\":{\"value\":false}"), false},
	{MUST("\"key\":\"yes\",\"match\":{\"value\":1}"), false},
	{MUST("\"key\":\"none\",\"match\":{\"value\":\"x\"}"), false},
	{MUST("\"key\":\"missing\",\"match\":{\"value\":\"x\"}"), false},
	{MUST("\"key\":\"tags\",\"match\":{\"value\":\"b\"}"), true},
	{MUST("\"key\":\"tags\",\"match\":{\"value\":\"c\"}"), false},
	{MUST("\"key\":\"tags[]\",\"match\":{\"value\":\"b\"}"), true},
	{MUST("\"key\":\"tags[0]\",\"match\":{\"value\":\"b\"}"), false},
	{MUST("\"key\":\"tags[1]\",\"match\":{\"value\":\"b\"}"), true},
	{MUST("\"key\":\"tags[9]\",\"match\":{\"value\":\"b\"}"), false},
	{MUST("\"key\":\"city[0]\",\"match\":{\"value\":\"London\"}"), false},
	{MUST("\"key\":\"esc\",\"match\":{\"value\":\"caf\xc3\xa9 "
	      "\\\"x\\\"\"}"),
	 true},
	{MUST("\"key\":\"esc\",\"match\":{\"any\":[\"x\",\"caf\\u00e9 \\\"x\\\""
	      "\"]}"),
	 true},
	{MUST("\"key\":\"key\",\"match\":{\"value\":1}"), true},
	{MUST("\"key\":\"deep.a.b\",\"match\":{\"value\":7}"), true},
	{MUST("\"key\":\"deep.a\",\"match\":{\"value\":7}"), false},
	{MUST("\"key\":\"deep.list[].x\",\"match\":{\"value\":2}"), true},
	{MUST("\"key\":\"deep.list[0].x\",\"match\":{\"value\":2}"), false},
	{MUST("\"key\":\"deep.list.x\",\"match\":{\"value\":2}"), false},
	{MUST("\"key\":\"deep.list[].y\",\"match\":{\"value\":4}"), true},
	{MUST("\"key\":\"deep.list[].y[1]\",\"match\":{\"value\":4}"), true},
	{MUST("\"key\":\"grid[]\",\"match\":{\"value\":3}"), true},
	{MUST("\"key\":\"grid[][]\",\"match\":{\"value\":3}"), true},
	{MUST("\"key\":\"grid\",\"match\":{\"value\":3}"), false},
	{MUST("\"key\":\"\\\"a.b\\\"\",\"match\":{\"value\":\"dotted\"}"),
	 true},
	{MUST("\"key\":\"a.b\",\"match\":{\"value\":\"dotted\"}"), false},
	/* any, except */
	{MUST("\"key\":\"n\",\"match\":{\"any\":[1,9,5,3]}"), true},
	{MUST("\"key\":\"n\",\"match\":{\"any\":[1,9,3]}"), false},
	{MUST("\"key\":\"n\",\"match\":{\"any\":[]}"), false},
	{MUST("\"key\":\"tags\",\"match\":{\"any\":[\"z\",\"a\"]}"), true},
	{MUST("\"key\":\"city\",\"match\":{\"except\":[\"Paris\"]}"), true},
	{MUST("\"key\":\"city\",\"match\":{\"except\":[\"London\"]}"), false},
	{MUST("\"key\":\"city\",\"match\":{\"except\":[]}"), true},
	{MUST("\"key\":\"city\",\"match\":{\"except\":[1]}"), true},
	{MUST("\"key\":\"tags\",\"match\":{\"except\":[\"a\"]}"), true},
	{MUST("\"key\":\"tags\",\"match\":{\"except\":[\"a\",\"b\"]}"), false},
	{MUST("\"key\":\"none\",\"match\":{\"except\":[\"a\"]}"), false},
	{MUST("\"key\":\"missing\",\"match\":{\"except\":[\"a\"]}"), false},
	{MUST("\"key\":\"empty\",\"match\":{\"except\":[\"a\"]}"), false},
	/* range */
	{MUST("\"key\":\"n\",\"range\":{\"gte\":5,\"lte\":5}"), true},
	{MUST("\"key\":\"n\",\"range\":{\"gt\":5}"), false},
	{MUST("\"key\":\"n\",\"range\":{\"lt\":5}"), false},
	{MUST("\"key\":\"f\",\"range\":{\"gt\":4.99,\"lt\":5.01}"), true},
	{MUST("\"key\":\"nums\",\"range\":{\"gt\":50}"), true},
	{MUST("\"key\":\"nums\",\"range\":{\"gt\":500}"), false},
	{MUST("\"key\":\"city\",\"range\":{\"gt\":0}"), false},
	{MUST("\"key\":\"n\",\"range\":{\"gt\":null}"), true},
	{MUST("\"key\":\"big\",\"range\":{\"gt\":1e299}"), true},
	/* ids, structure */
	{MUST("\"has_id\":[1,42,7]"), true},
	{MUST("\"has_id\":[1,7,\"x\"]"), false},
	{MUST("\"has_id\":[]"), false},
	{"{\"must_not\":{\"has_id\":[42]}}", false},
	{"{\"should\":[{\"has_id\":[1]},{\"key\":\"n\",\"match\":{\"value\":5}}"
	 "]}",
	 true},
	{"{\"should\":[{\"has_id\":[1]},{\"has_id\":[2]}]}", false},
	{"{\"must\":{\"has_id\":[42]},\"should\":{\"has_id\":[1]}}", false},
	{"{\"min_should\":{\"conditions\":[{\"has_id\":[42]},{\"has_id\":[1]},"
	 "{\"key\":\"n\",\"match\":{\"value\":5}}],\"min_count\":2}}",
	 true},
	{"{\"min_should\":{\"conditions\":[{\"has_id\":[42]},{\"has_id\":[1]}]"
	 ",\"min_count\":2}}",
	 false},
	{"{\"min_should\":{\"conditions\":[],\"min_count\":2}}", true},
	{"{\"must\":[{\"should\":[{\"has_id\":[1]},{\"must_not\":["
	 "{\"has_id\":[1]}]}]}]}",
	 true},
	{"{\"must\":[{}]}", true},
	{"{\"must_not\":[{}]}", false},
};

static void
test_conditions_pass_as_qdrants_do(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		if (pass(cases[i].filter, payload, 42) != cases[i].pass)
			fail_msg("%s", cases[i].filter);
}

static void
test_no_payload_passes_no_key(void **state)
{
	(void)state;
	assert_false(
		pass(MUST("\"key\":\"a\",\"match\":{\"except\":[1]}"), "", 1));
	assert_true(
		pass("{\"must_not\":{\"key\":\"a\",\"match\":{\"value\":1}}}",
		     "", 1));
}

static void
test_broken_payload_passes_no_key(void **state)
{
	char text[sizeof payload];
	size_t n;

	(void)state;
	for (n = 0; n < sizeof payload - 1; n += 7) {
		memcpy(text, payload, n);
		text[n] = 0;
		pass(MUST("\"key\":\"deep.list[].y\",\"range\":{\"gt\":9}"),
		     text, 1);
	}
}

/* Against plain arithmetic: sorted lists must find every value and no other. */
static void
test_long_lists_find_every_value(void **state)
{
	CLEAN_ARENA a = {0};
	CLEAN(buf_done) struct buf b = {0};
	struct count_request c;
	struct id_key id;
	char text[64];
	int i;

	(void)state;
	buf_puts(&b,
		 "{\"filter\":{\"must\":[{\"key\":\"n\",\"match\":{\"any\":["
		 "0");
	for (i = 1; i < 1000; i++)
		buf_printf(&b, ",%d", i * 7919 % 1000 * 3);
	buf_puts(&b, "]}},{\"has_id\":[0");
	for (i = 1; i < 1000; i++)
		buf_printf(&b, ",%d", i * 7919 % 1000 * 3);
	buf_puts(&b, "]}]}}");
	assert_int_equal(json_count_parse(b.p, b.n, &a, &c, NULL), 0);
	for (i = 0; i < 3000; i++) {
		int n = snprintf(text, sizeof text, "{\"n\":%d}", i);

		id_from_num((uint64_t)i, &id);
		assert_int_equal(filter_pass(c.filter, id.b, id.n,
					     (struct slice){text, (size_t)n}),
				 i % 3 == 0);
	}
}

static void
test_filter_knows_what_it_needs(void **state)
{
	CLEAN_ARENA a = {0};
	const struct condition *c;

	(void)state;
	assert_false(filter_needs_payload(
		filter_of("{\"must\":[{\"has_id\":[1]},{\"must_not\":"
			  "{\"has_id\":[2]}}]}",
			  &a)));
	assert_true(filter_needs_payload(
		filter_of("{\"must\":[{\"must_not\":{\"key\":\"a\",\"match\":"
			  "{\"value\":1}}}]}",
			  &a)));
	c = filter_ids(filter_of("{\"must\":[{\"must\":{\"has_id\":[3,1,2]}},"
				 "{\"has_id\":[1,2]}]}",
				 &a));
	assert_non_null(c);
	assert_int_equal(c->n_ids, 2);
	assert_null(filter_ids(filter_of("{\"should\":{\"has_id\":[1]}}", &a)));
}

static void
test_paths_are_parsed_or_refused(void **state)
{
	static const char *const bad[] = {
		"",       ".",
		"a.",     ".a",
		"a..b",   "[0]",
		"a[",     "a[x]",
		"a[-1]",  "a]",
		"a[0]b",  "\"a",
		"a\"b\"", "a[99999999999]",
	};
	CLEAN_ARENA a = {0};
	struct path p;
	char long_path[300];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (path_parse(bad[i], strlen(bad[i]), &a, &p, NULL) !=
		    -ERR_QUERY)
			fail_msg("%s", bad[i]);
	assert_int_equal(path_parse("a.\"b.c\"[3][].d", 14, &a, &p, NULL), 0);
	assert_int_equal(p.n, 5);
	assert_int_equal(p.steps[1].name.n, 3);
	assert_int_equal(p.steps[1].index, PATH_MEMBER);
	assert_int_equal(p.steps[2].index, 3);
	assert_int_equal(p.steps[3].index, PATH_ALL);
	for (i = 0; i < sizeof long_path; i++)
		long_path[i] = i % 2 ? '.' : 'a';
	assert_int_equal(
		path_parse(long_path, 2 * PATH_STEPS_MAX - 1, &a, &p, NULL), 0);
	assert_int_equal(
		path_parse(long_path, 2 * PATH_STEPS_MAX + 1, &a, &p, NULL),
		-ERR_QUERY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions_pass_as_qdrants_do),
		cmocka_unit_test(test_no_payload_passes_no_key),
		cmocka_unit_test(test_broken_payload_passes_no_key),
		cmocka_unit_test(test_long_lists_find_every_value),
		cmocka_unit_test(test_filter_knows_what_it_needs),
		cmocka_unit_test(test_paths_are_parsed_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
