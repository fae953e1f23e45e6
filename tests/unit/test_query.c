/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_query.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/json/json_point.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CLEAN_ARENA CLEAN(arena_done) struct arena
#define CLEAN_BUF   CLEAN(buf_done) struct buf

static int
search(const char *s, struct arena *a, struct search_request *r,
       struct err *err)
{
	const size_t n = strlen(s);
	char *exact = malloc(n + (n == 0));
	int rc;

	memcpy(exact, s, n);
	rc = json_search_parse(exact, n, a, r, err);
	memset(exact, '#', n);
	free(exact);
	return rc;
}

static struct query
one(const char *s, struct arena *a)
{
	struct search_request r;
	struct err err;

	if (search(s, a, &r, &err) < 0)
		fail_msg("%s: %s", s, err.text);
	assert_false(r.batch);
	assert_int_equal(r.n, 1);
	return r.q[0];
}

static void
test_query_has_qdrants_defaults(void **state)
{
	CLEAN_ARENA a = {0};
	struct query q = one("{}", &a);

	(void)state;
	assert_int_equal(q.kind, QUERY_LIST);
	assert_int_equal(q.limit, 10);
	assert_int_equal(q.offset, 0);
	assert_int_equal(q.ef, 0);
	assert_false(q.exact || q.has_threshold || q.with_vector ||
		     q.bare_list);
	assert_int_equal(q.payload.kind, SELECT_NONE);
	assert_null(q.filter);
}

static void
test_query_takes_vectors_and_ids(void **state)
{
	CLEAN_ARENA a = {0};
	struct query q;

	(void)state;
	q = one("{\"query\":[0.5,1]}", &a);
	assert_int_equal(q.kind, QUERY_VECTOR);
	assert_int_equal(q.dim, 2);
	assert_true(q.vec[0] == 0.5f && q.vec[1] == 1);
	assert_false(q.bare_list);
	q = one("{\"query\":{\"nearest\":[0.5,1]}}", &a);
	assert_int_equal(q.kind, QUERY_VECTOR);
	q = one("{\"query\":42}", &a);
	assert_int_equal(q.kind, QUERY_ID);
	assert_int_equal(q.id.b[0], ID_NUM);
	q = one("{\"query\":{\"nearest\":\"x\"},\"using\":\"\"}", &a);
	assert_int_equal(q.kind, QUERY_ID);
	assert_int_equal(q.id.b[0], ID_STR);
	q = one("{\"query\":null,\"filter\":null,\"using\":null}", &a);
	assert_int_equal(q.kind, QUERY_LIST);
	q = one("{\"vector\":[1],\"top\":3}", &a);
	assert_int_equal(q.kind, QUERY_VECTOR);
	assert_int_equal(q.limit, 3);
	assert_true(q.bare_list);
	q = one("{\"vector\":{\"name\":\"\",\"vector\":[1,2]}}", &a);
	assert_int_equal(q.dim, 2);
}

static void
test_query_reads_every_member(void **state)
{
	CLEAN_ARENA a = {0};
	struct query q =
		one("{\"query\":[1], \"limit\":5, \"offset\":2, \"params\":"
		    "{\"hnsw_ef\":64,\"exact\":true,\"indexed_only\":false,"
		    "\"quantization\":{\"rescore\":true},\"acorn\":{}}, "
		    "\"score_threshold\":-0.5, \"with_payload\":{\"exclude\":"
		    "[\"a.b\",\"c\"]}, \"with_vectors\":[\"\"], \"filter\":"
		    "{\"must\":{\"has_id\":[1]}}, \"consistency\":\"quorum\","
		    "\"timeout\":3,\"wait\":true,\"ordering\":\"weak\","
		    "\"shard_key\":null}",
		    &a);

	(void)state;
	assert_int_equal(q.limit, 5);
	assert_int_equal(q.offset, 2);
	assert_int_equal(q.ef, 64);
	assert_true(q.exact && q.has_threshold && q.with_vector);
	assert_true(q.threshold == -0.5f);
	assert_int_equal(q.payload.kind, SELECT_EXCLUDE);
	assert_int_equal(q.payload.n, 2);
	assert_non_null(q.filter);
	q = one("{\"with_payload\":[\"a\"],\"with_vector\":[]}", &a);
	assert_int_equal(q.payload.kind, SELECT_INCLUDE);
	assert_false(q.with_vector);
	q = one("{\"with_payload\":true}", &a);
	assert_int_equal(q.payload.kind, SELECT_ALL);
}

static void
test_batches_keep_their_order(void **state)
{
	CLEAN_ARENA a = {0};
	struct search_request r;
	uint32_t i;

	(void)state;
	assert_int_equal(search("{\"timeout\":1,\"searches\":[{\"limit\":1},"
				"{\"vector\":[1],\"limit\":2},{\"limit\":3},"
				"{\"limit\":4},{\"limit\":5}]}",
				&a, &r, NULL),
			 0);
	assert_true(r.batch);
	assert_int_equal(r.n, 5);
	for (i = 0; i < r.n; i++)
		assert_int_equal(r.q[i].limit, i + 1);
	assert_true(r.q[1].bare_list);
	assert_int_equal(search("{\"searches\":[]}", &a, &r, NULL), 0);
	assert_int_equal(r.n, 0);
}

static void
test_wrong_queries_name_the_place(void **state)
{
	static const struct {
		const char *s;
		int rc;
		const char *part;
	} cases[] = {
		{"", -ERR_JSON, "byte 0"},
		{"[]", -ERR_TYPE, "an object"},
		{"{\"query\":[1}", -ERR_JSON, "byte 11"},
		{"{\"quer\":1}", -ERR_KEY, "\"quer\""},
		{"{\"limit\":0}", -ERR_NUMBER, "limit: byte 9"},
		{"{\"limit\":-1}", -ERR_NUMBER, "limit: byte 9: -1"},
		{"{\"limit\":1.5}", -ERR_NUMBER, "limit"},
		{"{\"limit\":\"5\"}", -ERR_TYPE, "limit"},
		{"{\"limit\":1000001}", -ERR_NUMBER, "limit"},
		{"{\"limit\":600000,\"offset\":600000}", -ERR_QUERY, "offset"},
		{"{\"limit\":1,\"limit\":2}", -ERR_KEY, "duplicate"},
		{"{\"limit\":1,\"top\":2}", -ERR_KEY, "duplicate"},
		{"{\"query\":[]}", -ERR_DIM, "query"},
		{"{\"query\":[\"a\"]}", -ERR_TYPE, "query: byte 10: element 0"},
		{"{\"query\":[1e39]}", -ERR_NUMBER, "query"},
		{"{\"query\":[[1]]}", -ERR_NOT_YET, "query"},
		{"{\"query\":true}", -ERR_TYPE, "query"},
		{"{\"query\":-1}", -ERR_ID, "query"},
		{"{\"query\":{}}", -ERR_QUERY, "nearest"},
		{"{\"query\":{\"recommend\":{}}}", -ERR_NOT_YET,
		 "query.recommend is not supported yet"},
		{"{\"query\":{\"fusion\":\"rrf\"}}", -ERR_NOT_YET,
		 "query.fusion"},
		{"{\"query\":{\"indices\":[1],\"values\":[1]}}", -ERR_NOT_YET,
		 "query.indices"},
		{"{\"query\":[1],\"vector\":[1]}", -ERR_QUERY, "both"},
		{"{\"vector\":{\"name\":\"x\",\"vector\":[1]}}", -ERR_NOT_YET,
		 "vector.name"},
		{"{\"vector\":{}}", -ERR_QUERY, "vector"},
		{"{\"prefetch\":[]}", -ERR_NOT_YET,
		 "prefetch is not supported yet"},
		{"{\"positive\":[1]}", -ERR_NOT_YET, "recommend"},
		{"{\"group_by\":\"a\"}", -ERR_NOT_YET, "group_by"},
		{"{\"using\":\"image\"}", -ERR_NOT_YET, "named vectors"},
		{"{\"with_vector\":[\"image\"]}", -ERR_NOT_YET,
		 "with_vector[0]"},
		{"{\"shard_key\":\"a\"}", -ERR_NOT_YET, "shard_key"},
		{"{\"params\":{\"hnsw_ef\":0}}", -ERR_NUMBER,
		 "params.hnsw_ef: byte 21"},
		{"{\"params\":{\"ef\":1}}", -ERR_KEY, "params"},
		{"{\"score_threshold\":1e39}", -ERR_NUMBER, "score_threshold"},
		{"{\"with_payload\":5}", -ERR_TYPE, "with_payload"},
		{"{\"with_payload\":[\"a..b\"]}", -ERR_QUERY,
		 "with_payload[0]: key 'a..b'"},
		{"{\"with_payload\":{\"include\":[],\"exclude\":[]}}",
		 -ERR_QUERY, "with_payload"},
		{"{\"consistency\":\"most\"}", -ERR_TYPE, "consistency"},
		{"{\"ordering\":\"x\"}", -ERR_TYPE, "ordering"},
		{"{\"timeout\":\"x\"}", -ERR_TYPE, "timeout"},
		{"{\"filter\":[]}", -ERR_TYPE, "filter"},
		{"{\"filter\":{\"key\":\"a\"}}", -ERR_KEY, "filter"},
		{"{\"filter\":{\"must\":[{\"key\":\"a\"}]}}", -ERR_QUERY,
		 "filter.must[0]"},
		{"{\"filter\":{\"must\":[{},{\"key\":\"a\",\"range\":{\"gte\":"
		 "\"2020-01-01\"}}]}}",
		 -ERR_NOT_YET, "filter.must[1].range.gte: byte 48"},
		{"{\"filter\":{\"must\":{\"key\":\"a\",\"match\":{\"value\":"
		 "1.5}}}}",
		 -ERR_NUMBER, "filter.must.match.value"},
		{"{\"filter\":{\"must\":{\"key\":\"a\",\"match\":{\"value\":"
		 "null}}}}",
		 -ERR_TYPE, "filter.must.match.value"},
		{"{\"filter\":{\"must\":{\"key\":\"a\",\"match\":{}}}}",
		 -ERR_QUERY, "filter.must.match"},
		{"{\"filter\":{\"must\":{\"key\":\"a\",\"match\":{\"any\":[1,"
		 "\"a\"]}}}}",
		 -ERR_TYPE, "filter.must.match.any[1]"},
		{"{\"filter\":{\"must\":{\"key\":\"a\",\"match\":{\"text\":"
		 "\"x\"}}}}",
		 -ERR_NOT_YET, "filter.must.match.text"},
		{"{\"filter\":{\"must\":{\"key\":\"a\",\"geo_radius\":{}}}}",
		 -ERR_NOT_YET, "filter.must.geo_radius"},
		{"{\"filter\":{\"must\":{\"is_empty\":{\"key\":\"a\"}}}}",
		 -ERR_NOT_YET, "filter.must.is_empty"},
		{"{\"filter\":{\"must\":{\"has_id\":[-1]}}}", -ERR_ID,
		 "filter.must.has_id[0]"},
		{"{\"filter\":{\"must\":{\"has_id\":[1],\"key\":\"a\"}}}",
		 -ERR_QUERY, "filter.must"},
		{"{\"filter\":{\"min_should\":{\"conditions\":[]}}}",
		 -ERR_QUERY, "min_should"},
		{"{\"searches\":[{},{\"limit\":0}]}", -ERR_NUMBER,
		 "searches[1].limit"},
		{"{\"searches\":[{}],\"limit\":1}", -ERR_KEY, "limit"},
		{"{} {}", -ERR_JSON, "byte 3"},
	};
	struct search_request r;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN_ARENA a = {0};
		int rc = search(cases[i].s, &a, &r, &err);

		if (rc != cases[i].rc)
			fail_msg("%s: %d %s", cases[i].s, rc,
				 rc < 0 ? err.text : "");
		if (strstr(err.text, cases[i].part) == NULL)
			fail_msg("%s: %s", cases[i].s, err.text);
	}
}

static void
test_scroll_and_count_have_their_own_members(void **state)
{
	CLEAN_ARENA a = {0};
	struct scroll_request s;
	struct count_request c;

	(void)state;
	assert_int_equal(json_scroll_parse("{}", 2, &a, &s, NULL), 0);
	assert_int_equal(s.limit, 10);
	assert_int_equal(s.payload.kind, SELECT_ALL);
	assert_int_equal(s.offset.n, 0);
	assert_int_equal(json_scroll_parse("{\"offset\":\"a\",\"limit\":2}", 24,
					   &a, &s, NULL),
			 0);
	assert_int_equal(s.offset.b[0], ID_STR);
	assert_int_equal(s.limit, 2);
	assert_int_equal(
		json_scroll_parse("{\"order_by\":\"a\"}", 16, &a, &s, NULL),
		-ERR_NOT_YET);
	assert_int_equal(
		json_count_parse("{\"exact\":false}", 15, &a, &c, NULL), 0);
	assert_null(c.filter);
	assert_int_equal(json_count_parse("{\"limit\":1}", 11, &a, &c, NULL),
			 -ERR_KEY);
}

/* --- answers --------------------------------------------------------- */

static struct hit
hit_of(const char *doc, float score, struct arena *a)
{
	struct hit h = {.score = score};
	struct err err;

	if (json_point_parse(doc, strlen(doc), NULL, false, a, &h.point, &err) <
	    0)
		fail_msg("%s", err.text);
	h.point.lsn = 7;
	return h;
}

static const char doc[] =
	"{\"id\": 1, \"vector\": [0.5, 2], \"payload\": {\"city\": \"Lon "
	"don\", "
	"\"geo\": {\"lat\": 1, \"lon\": 2}, \"tags\": [\"a\", \"b\"], "
	"\"rooms\": [ {\"x\": 1, \"y\": 2}, {\"y\": 3} ], \"z\": null}}";

static void
answer(const char *body, const char *want)
{
	CLEAN_ARENA a = {0};
	CLEAN_BUF out = {0};
	struct search_request r;
	struct hit h[2];
	struct hits hits = {h, 2};

	h[0] = hit_of(doc, 0.98f, &a);
	h[1] = hit_of("{\"id\":\"b\\\"\"}", INFINITY, &a);
	assert_int_equal(search(body, &a, &r, NULL), 0);
	assert_int_equal(json_search_print(&r, &hits, 0.00125, &out, NULL), 0);
	buf_put_u8(&out, 0);
	assert_string_equal(out.p, want);
}

#define HEAD "{\"result\":{\"points\":[{\"id\":1,\"version\":7,\"score\":0.98"
#define MID  "},{\"id\":\"b\\\"\",\"version\":7,\"score\":3.4028235e+38"
#define TAIL "}]},\"status\":\"ok\",\"time\":0.00125}\n"

static void
test_answers_have_qdrants_shape(void **state)
{
	(void)state;
	answer("{}", HEAD MID TAIL);
	answer("{\"with_payload\":true,\"with_vector\":true}",
	       HEAD ",\"payload\":{\"city\":\"Lon don\",\"geo\":{\"lat\":1,"
		    "\"lon\":2},\"tags\":[\"a\",\"b\"],\"rooms\":[{\"x\":1,"
		    "\"y\":2},{\"y\":3}],\"z\":null},\"vector\":[0.5,2]" MID
		    ",\"payload\":{},\"vector\":{}" TAIL);
	answer("{\"vector\":[1]}",
	       "{\"result\":[{\"id\":1,\"version\":7,\"score\":0.98" MID
	       "}],\"status\":\"ok\",\"time\":0.00125}\n");
}

static void
test_parts_of_payloads_can_be_chosen(void **state)
{
	(void)state;
	answer("{\"with_payload\":[\"geo.lat\",\"z\",\"tags[1]\",\"nope.x\"]}",
	       HEAD ",\"payload\":{\"geo\":{\"lat\":1},\"tags\":[\"b\"],"
		    "\"z\":null}" MID ",\"payload\":{}" TAIL);
	answer("{\"with_payload\":[\"rooms[].x\"]}",
	       HEAD ",\"payload\":{\"rooms\":[{\"x\":1}]}" MID
		    ",\"payload\":{}" TAIL);
	answer("{\"with_payload\":{\"exclude\":[\"geo\",\"rooms[].y\",\"city\","
	       "\"tags[0]\"]}}",
	       HEAD ",\"payload\":{\"tags\":[\"b\"],\"rooms\":[{\"x\":1},{}],"
		    "\"z\":null}" MID ",\"payload\":{}" TAIL);
	answer("{\"with_payload\":{\"include\":[]}}",
	       HEAD ",\"payload\":{}" MID ",\"payload\":{}" TAIL);
}

static void
test_other_answers_have_their_envelopes(void **state)
{
	CLEAN_ARENA a = {0};
	CLEAN_BUF out = {0};
	struct scroll_request s;
	struct search_request r;
	struct hit h = hit_of(doc, 0, &a);
	struct hits hits[2] = {{&h, 1}, {&h, 0}};
	struct id_key next;
	struct err err;

	(void)state;
	assert_int_equal(
		json_scroll_parse("{\"with_payload\":false}", 22, &a, &s, NULL),
		0);
	id_from_num(5, &next);
	json_scroll_print(&s, hits, &next, 0, &out, NULL);
	next.n = 0;
	json_scroll_print(&s, hits, &next, 1, &out, NULL);
	json_count_print(12, 0.5, &out);
	err_set(&err, ERR_QUERY, "limit: \"x\"");
	json_error_print(&err, -1, &out);
	assert_int_equal(
		search("{\"searches\":[{},{\"vector\":[1]}]}", &a, &r, NULL),
		0);
	json_search_print(&r, hits, 0, &out, NULL);
	buf_put_u8(&out, 0);
	assert_string_equal(
		out.p,
		"{\"result\":{\"points\":[{\"id\":1}],\"next_page_offset\":5},"
		"\"status\":\"ok\",\"time\":0}\n"
		"{\"result\":{\"points\":[{\"id\":1}],\"next_page_offset\":null"
		"},\"status\":\"ok\",\"time\":1}\n"
		"{\"result\":{\"count\":12},\"status\":\"ok\",\"time\":0.5}\n"
		"{\"result\":null,\"status\":{\"error\":\"limit: \\\"x\\\"\"},"
		"\"time\":0}\n"
		"{\"result\":[{\"points\":[{\"id\":1,\"version\":7,\"score\":0}"
		"]},[]],\"status\":\"ok\",\"time\":0}\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query_has_qdrants_defaults),
		cmocka_unit_test(test_query_takes_vectors_and_ids),
		cmocka_unit_test(test_query_reads_every_member),
		cmocka_unit_test(test_batches_keep_their_order),
		cmocka_unit_test(test_wrong_queries_name_the_place),
		cmocka_unit_test(test_scroll_and_count_have_their_own_members),
		cmocka_unit_test(test_answers_have_qdrants_shape),
		cmocka_unit_test(test_parts_of_payloads_can_be_chosen),
		cmocka_unit_test(test_other_answers_have_their_envelopes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
