/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_config.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CLEAN_ARENA CLEAN(arena_done) struct arena
#define CLEAN_BUF   CLEAN(buf_done) struct buf

static struct coll_config
merged(const struct coll_config *old, const char *s, struct arena *a)
{
	struct coll_config c;
	struct err err;

	if (json_config_merge(old, s, strlen(s), a, &c, &err) < 0)
		fail_msg("%s: %s", s, err.text);
	return c;
}

static void
check_text(const struct coll_config *c, const char *want)
{
	CLEAN_BUF b = {0};

	assert_int_equal(json_config_print(c, &b), 0);
	buf_put_u8(&b, 0);
	assert_string_equal(b.p, want);
}

static void
check_same(const struct coll_config *a, const struct coll_config *b)
{
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->distance, b->distance);
	assert_int_equal(a->shard_number, b->shard_number);
	assert_int_equal(a->hnsw_m, b->hnsw_m);
	assert_int_equal(a->hnsw_ef_construct, b->hnsw_ef_construct);
	assert_int_equal(a->full_scan_threshold_kb, b->full_scan_threshold_kb);
	assert_int_equal(a->indexing_threshold_kb, b->indexing_threshold_kb);
	assert_true(a->deleted_threshold == b->deleted_threshold);
	assert_int_equal(a->extra.n, b->extra.n);
	assert_memory_equal(a->extra.p, b->extra.p, a->extra.n);
}

static const char full[] =
	"{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"on_disk\":true,"
	"\"hnsw_config\":{\"m\":8},\"quantization_config\":null,\"datatype\":"
	"\"float32\"},\"shard_number\":2,\"sharding_method\":\"auto\","
	"\"replication_factor\":1,\"write_consistency_factor\":1,"
	"\"on_disk_payload\":true,\"hnsw_config\":{\"m\":32,\"ef_construct\":"
	"200,\"full_scan_threshold\":20000,\"max_indexing_threads\":0,"
	"\"on_disk\":false,\"payload_m\":16},\"optimizers_config\":{"
	"\"deleted_threshold\":0.3,\"vacuum_min_vector_number\":1000,"
	"\"default_segment_number\":0,\"max_segment_size\":null,"
	"\"indexing_threshold\":5000,\"flush_interval_sec\":5,"
	"\"max_optimization_threads\":\"auto\"},\"wal_config\":{"
	"\"wal_capacity_mb\":32,\"wal_segments_ahead\":0},"
	"\"quantization_config\":null,\"metadata\":{\"x\":{\"y\":[1,0.1,null]}}"
	",\"payload_schema\":{\"city\":\"keyword\",\"n\":{\"type\":\"integer\","
	"\"lookup\":true}},\"strict_mode_config\":{\"enabled\":false},"
	"\"sparse_vectors\":{},\"wait\":true}";

static void
test_default_configuration_prints(void **state)
{
	struct coll_config c;

	(void)state;
	config_defaults(&c);
	check_text(&c, "{\n  \"shard_number\": 1,\n  \"hnsw_config\": {\n"
		       "    \"m\": 16,\n    \"ef_construct\": 100,\n"
		       "    \"full_scan_threshold\": 10000\n  },\n"
		       "  \"optimizers_config\": {\n"
		       "    \"deleted_threshold\": 0.2,\n"
		       "    \"indexing_threshold\": 10000\n  }\n}\n");
}

static void
test_every_member_is_read(void **state)
{
	CLEAN_ARENA a = {0};
	struct coll_config old, c;

	(void)state;
	config_defaults(&old);
	old.implied = true;
	c = merged(&old, full, &a);
	assert_int_equal(c.size, 4);
	assert_int_equal(c.distance, DISTANCE_DOT);
	assert_false(c.implied);
	assert_int_equal(c.shard_number, 2);
	assert_int_equal(c.hnsw_m, 32);
	assert_int_equal(c.hnsw_ef_construct, 200);
	assert_int_equal(c.full_scan_threshold_kb, 20000);
	assert_int_equal(c.indexing_threshold_kb, 5000);
	assert_true(c.deleted_threshold == 0.3f);
}

static void
test_printed_configuration_reads_back_the_same(void **state)
{
	CLEAN_ARENA a = {0};
	CLEAN_BUF b = {0}, again = {0};
	struct coll_config old, c, d;

	(void)state;
	config_defaults(&old);
	c = merged(&old, full, &a);
	assert_int_equal(json_config_print(&c, &b), 0);
	buf_put_u8(&b, 0);
	d = merged(&old, (char *)b.p, &a);
	json_config_print(&d, &again);
	buf_put_u8(&again, 0);
	assert_string_equal(b.p, again.p);
	assert_non_null(strstr((char *)b.p, "\"y\": [1, 0.1, null]"));
	d = merged(&d, (char *)b.p, &a); /* and over itself */
	check_same(&d, &d);
	buf_clear(&again);
	json_config_print(&d, &again);
	buf_put_u8(&again, 0);
	assert_string_equal(b.p, again.p);
	d = merged(&c, "{}", &a);
	check_same(&c, &d);
}

static void
test_merging_keeps_absent_and_resets_null(void **state)
{
	CLEAN_ARENA a = {0};
	struct coll_config old, c;

	(void)state;
	config_defaults(&old);
	c = merged(&old, full, &a);
	c = merged(&c, "{\"hnsw_config\":{\"m\":null},\"metadata\":{\"z\":1}}",
		   &a);
	assert_int_equal(c.hnsw_m, 16);
	assert_int_equal(c.hnsw_ef_construct, 200);
	assert_int_equal(c.size, 4);
	c = merged(&c, "{\"metadata\":{\"x\":null}}", &a);
	assert_null(memmem(c.extra.p, c.extra.n, "\"x\"", 3));
	assert_non_null(memmem(c.extra.p, c.extra.n, "{\"z\":1}", 7));
	c = merged(&c, "{\"hnsw_config\":null,\"vectors\":null}", &a);
	assert_int_equal(c.hnsw_ef_construct, 100);
	assert_int_equal(c.size, 0);
	assert_int_equal(c.distance, 0);
	c = merged(&c, "{\"vectors\":{\"distance\":\"Euclid\"}}", &a);
	assert_int_equal(c.size, 0);
	assert_int_equal(c.distance, DISTANCE_EUCLID);
	c = merged(&c, "{\"vectors\":{\"size\":65536}}", &a);
	assert_int_equal(c.distance, DISTANCE_EUCLID);
	assert_int_equal(c.size, 65536);
}

static void
test_implied_ends_with_the_first_word_about_vectors(void **state)
{
	CLEAN_ARENA a = {0};
	struct coll_config old;

	(void)state;
	config_defaults(&old);
	old.implied = true;
	assert_true(merged(&old, "{\"hnsw_config\":{\"m\":8}}", &a).implied);
	assert_false(merged(&old, "{\"vectors\":{\"size\":3}}", &a).implied);
}

static void
test_wrong_configurations_are_refused_by_name(void **state)
{
	static const struct {
		const char *s;
		int rc;
		const char *part;
	} cases[] = {
		{"", -ERR_JSON, "byte 0"},
		{"[]", -ERR_TYPE, "object"},
		{"null", -ERR_TYPE, "object"},
		{"{\"a\":1}", -ERR_KEY, "\"a\""},
		{"{\"hnsw_config\":{\"em\":1}}", -ERR_KEY,
		 "hnsw_config.\"em\""},
		{"{\"shard_number\":1,\"shard_number\":1}", -ERR_KEY,
		 "duplicate"},
		{"{\"metadata\":{\"a\":{\"b\":1,\"b\":1}}}", -ERR_KEY,
		 "duplicate"},
		{"{\"vectors\":{\"size\":0}}", -ERR_CONFIG, "vectors.size"},
		{"{\"vectors\":{\"size\":65537}}", -ERR_CONFIG, "vectors.size"},
		{"{\"vectors\":{\"size\":4.5}}", -ERR_TYPE, "vectors.size"},
		{"{\"vectors\":{\"size\":\"4\"}}", -ERR_TYPE, "vectors.size"},
		{"{\"vectors\":{\"distance\":\"cosine\"}}", -ERR_CONFIG,
		 "vectors.distance"},
		{"{\"vectors\":{\"distance\":1}}", -ERR_TYPE,
		 "vectors.distance"},
		{"{\"vectors\":{\"image\":{\"size\":4}}}", -ERR_NOT_YET,
		 "named vectors"},
		{"{\"vectors\":{\"datatype\":\"float16\"}}", -ERR_NOT_YET,
		 "float16"},
		{"{\"vectors\":{\"datatype\":\"f\"}}", -ERR_CONFIG,
		 "vectors.datatype"},
		{"{\"vectors\":{\"multivector_config\":{}}}", -ERR_NOT_YET,
		 "multivector_config"},
		{"{\"vectors\":5}", -ERR_TYPE, "vectors"},
		{"{\"sparse_vectors\":{\"a\":{}}}", -ERR_NOT_YET,
		 "sparse_vectors"},
		{"{\"sharding_method\":\"custom\"}", -ERR_NOT_YET, "custom"},
		{"{\"shard_number\":0}", -ERR_CONFIG, "shard_number"},
		{"{\"shard_number\":257}", -ERR_CONFIG, "shard_number"},
		{"{\"replication_factor\":2}", -ERR_NOT_YET,
		 "replication_factor"},
		{"{\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}}}",
		 -ERR_NOT_YET, "quantization_config"},
		{"{\"optimizers_config\":{\"deleted_threshold\":1.5}}",
		 -ERR_CONFIG, "deleted_threshold"},
		{"{\"optimizers_config\":{\"deleted_threshold\":\"a\"}}",
		 -ERR_TYPE, "deleted_threshold"},
		{"{\"optimizers_config\":{\"max_optimization_threads\":\"x\"}}",
		 -ERR_TYPE, "max_optimization_threads"},
		{"{\"on_disk_payload\":1}", -ERR_TYPE, "on_disk_payload"},
		{"{\"metadata\":[]}", -ERR_TYPE, "metadata"},
		{"{\"payload_schema\":{\"a\":\"word\"}}", -ERR_CONFIG,
		 "payload_schema.a"},
		{"{\"payload_schema\":{\"a\":5}}", -ERR_TYPE, "payload_schema"},
		{"{\"init_from\":{}}", -ERR_NOT_YET, "init_from"},
		{"{\"hnsw_config\":{\"m\":1e3}}", -ERR_TYPE, "hnsw_config.m"},
		{"{\"shard_number\":99999999999999999999}", -ERR_JSON, "byte"},
		{"{\"metadata\":{\"a\":1e999}}", -ERR_NUMBER, "1e999"},
	};
	struct coll_config old, c;
	struct err err;
	size_t i;

	(void)state;
	config_defaults(&old);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN_ARENA a = {0};
		int rc = json_config_merge(&old, cases[i].s, strlen(cases[i].s),
					   &a, &c, &err);

		if (rc != cases[i].rc)
			fail_msg("%s: %d %s", cases[i].s, rc,
				 rc < 0 ? err.text : "");
		if (strstr(err.text, cases[i].part) == NULL)
			fail_msg("%s: %s", cases[i].s, err.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_configuration_prints),
		cmocka_unit_test(test_every_member_is_read),
		cmocka_unit_test(
			test_printed_configuration_reads_back_the_same),
		cmocka_unit_test(test_merging_keeps_absent_and_resets_null),
		cmocka_unit_test(
			test_implied_ends_with_the_first_word_about_vectors),
		cmocka_unit_test(test_wrong_configurations_are_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
