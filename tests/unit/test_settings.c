/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_settings.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct arena arena;
	struct settings base;
	struct settings got;
	struct err err;
};

static int
setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof f);
	assert_int_equal(settings_defaults(&f.arena, &f.base, &f.err), 0);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	arena_done(&f->arena);
	return 0;
}

static int
merge(struct fixture *f, const char *text)
{
	memset(&f->err, 0, sizeof f->err);
	return json_settings_merge(&f->base, text, strlen(text), &f->arena,
				   &f->got, &f->err);
}

static void
test_defaults_are_those_of_the_contract(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->base.sync, SYNC_CLOSE);
	assert_int_equal(f->base.sync_interval_ms, 50);
	assert_int_equal(f->base.max_point_bytes, 32u << 20);
	assert_int_equal(f->base.scratch_max_bytes, 1u << 30);
	assert_null(f->base.temp_path);
	assert_null(f->base.wal_path);
	assert_int_equal(f->base.wal_capacity_mb, 32);
	assert_int_equal(f->base.history_window_ms, 24 * 3600 * 1000);
	assert_int_equal(f->base.history_max_bytes, 0);
}

static void
test_absent_members_stay_and_null_resets(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(merge(f, "{\"sync\": \"fsync\", \"storage\": "
				  "{\"wal\": {\"wal_capacity_mb\": 64}}}"),
			 0);
	assert_int_equal(f->got.sync, SYNC_FSYNC);
	assert_int_equal(f->got.wal_capacity_mb, 64);
	f->base = f->got;
	assert_int_equal(merge(f, "{\"sync\": null}"), 0);
	assert_int_equal(f->got.sync, SYNC_CLOSE);
	assert_int_equal(f->got.wal_capacity_mb, 64);
	assert_int_equal(merge(f, "{\"storage\": null}"), 0);
	assert_int_equal(f->got.wal_capacity_mb, 32);
}

static void
test_printed_settings_merge_back_to_the_same(void **state)
{
	struct fixture *f = *state;
	struct buf out = {0};
	struct buf again = {0};

	assert_int_equal(merge(f, "{\"sync\":\"interval\",\"remotes\":{\"m\":"
				  "{\"url\":\"s3://b/p\",\"encrypt_to\":[\"a"
				  "ge1x\"]}},\"history_window\":\"7d\"}"),
			 0);
	assert_int_equal(json_settings_print(&f->got, &out), 0);
	assert_int_equal(json_settings_merge(&f->base, out.p, out.n, &f->arena,
					     &f->got, &f->err),
			 0);
	assert_int_equal(json_settings_print(&f->got, &again), 0);
	assert_int_equal(out.n, again.n);
	assert_memory_equal(out.p, again.p, out.n);
	assert_int_equal(out.p[out.n - 1], '\n');
	buf_done(&out);
	buf_done(&again);
}

static void
test_the_example_of_the_contract_is_accepted(void **state)
{
	static const char text[] =
		"{\"remotes\": {\"main\": {\"url\": \"s3://bucket/prefix\","
		"\"endpoint\": null, \"region\": \"us-east-1\","
		"\"path_style\": false, \"credentials\": {\"file\": null,"
		"\"profile\": null}, \"mode\": \"repo\", \"compress\": true,"
		"\"encrypt_to\": [\"age1...\"], \"sse\": null,"
		"\"ship_log\": true}},"
		"\"schedule\": [{\"every\": \"15min\", \"of\": \"full\","
		"\"keep\": 96, \"remote\": \"main\"}, {\"every\":"
		"\"daily at 02:00\", \"of\": \"articles\", \"keep\": 14}],"
		"\"objectives\": {\"rpo\": \"15min\", \"rto\": \"1h\","
		"\"recall_delta\": 0.01},"
		"\"recover\": {\"allow\": [\"file\", \"https\", \"s3\"],"
		"\"roots\": []}, \"post_snapshot\": null}";
	struct fixture *f = *state;

	assert_int_equal(merge(f, text), 0);
	assert_non_null(strstr(f->got.text, "daily at 02:00"));
	f->base = f->got;
	assert_int_equal(merge(f, "{\"remotes\": {\"main\": null}}"), 0);
	assert_null(strstr(f->got.text, "bucket"));
}

static void
test_wrong_settings_are_refused_by_name(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *said;
	} bad[] = {
		{"{\"snyc\": \"close\"}", ERR_KEY, "snyc"},
		{"{\"sync\": \"always\"}", ERR_CONFIG, "sync"},
		{"{\"sync\": 1}", ERR_TYPE, "sync"},
		{"{\"sync_interval_ms\": 0}", ERR_CONFIG, "sync_interval_ms"},
		{"{\"sync_interval_ms\": -1}", ERR_TYPE, "sync_interval_ms"},
		{"{\"max_point_bytes\": \"1EiB\"}", ERR_CONFIG, "EiB"},
		{"{\"max_point_bytes\": \"99999999999999TiB\"}", ERR_CONFIG,
		 "max_point_bytes"},
		{"{\"history_window\": 24}", ERR_TYPE, "history_window"},
		{"{\"history_window\": \"24\"}", ERR_CONFIG, "duration"},
		{"{\"storage\": {\"wal\": {\"x\": 1}}}", ERR_KEY,
		 "storage.wal.x"},
		{"{\"storage\": []}", ERR_TYPE, "storage"},
		{"{\"storage\": {\"temp_path\": \"tmp\"}}", ERR_CONFIG,
		 "storage.temp_path"},
		{"{\"remotes\": {\"m\": {}}}", ERR_CONFIG, "url"},
		{"{\"remotes\": {\"m\": {\"url\": \"s3://b\", \"secret\": "
		 "1}}}",
		 ERR_KEY, "remotes.m.secret"},
		{"{\"remotes\": {\"m\": {\"url\": \"https://u:p@h/x\"}}}",
		 ERR_CONFIG, "password"},
		{"{\"schedule\": [{\"every\": \"1h\"}]}", ERR_CONFIG,
		 "schedule[0]"},
		{"{\"schedule\": [{\"every\": \"daily at 24:00\", \"of\": "
		 "\"full\"}]}",
		 ERR_CONFIG, "schedule[0].every"},
		{"{\"recover\": {\"allow\": [\"ftp\"]}}", ERR_CONFIG, "ftp"},
		{"{\"objectives\": {\"recall_delta\": 2}}", ERR_TYPE,
		 "recall_delta"},
		{"{\"sync\": \"close\", \"sync\": \"fsync\"}", ERR_JSON,
		 "uplicate"},
		{"[]", ERR_TYPE, "object"},
		{"", ERR_JSON, ""},
		{"{", ERR_JSON, "line 1"},
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(merge(f, bad[i].text), -bad[i].code);
		if (!strstr(f->err.text, bad[i].said))
			fail_msg("%s: %s", bad[i].text, f->err.text);
	}
}

static void
test_single_settings_go_by_their_own_names(void **state)
{
	struct fixture *f = *state;
	struct settings *s = &f->got;

	assert_int_equal(
		settings_set(&f->base, "sync", "fsync", &f->arena, s, &f->err),
		0);
	assert_int_equal(
		settings_set(s, "wal_capacity_mb", "8", &f->arena, s, &f->err),
		0);
	assert_int_equal(settings_set(s, "temp_path", "/var/tmp/\"x\"",
				      &f->arena, s, &f->err),
			 0);
	assert_int_equal(settings_set(s, "max_point_bytes", "1MiB", &f->arena,
				      s, &f->err),
			 0);
	assert_int_equal(s->sync, SYNC_FSYNC);
	assert_int_equal(s->wal_capacity_mb, 8);
	assert_string_equal(s->temp_path, "/var/tmp/\"x\"");
	assert_int_equal(s->max_point_bytes, 1u << 20);
	assert_int_equal(
		settings_set(s, "temp_path", "null", &f->arena, s, &f->err), 0);
	assert_null(s->temp_path);
	assert_int_equal(
		settings_set(&f->base, "remotes", "x", &f->arena, s, &f->err),
		-ERR_KEY);
	assert_int_equal(settings_set(&f->base, "wal_capacity_mb", "8MB",
				      &f->arena, s, &f->err),
			 -ERR_TYPE);
	assert_int_equal(
		settings_set(&f->base, "sync", "a\xff", &f->arena, s, &f->err),
		-ERR_CONFIG);
}

static void
test_every_listed_name_can_be_set(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; settings_name(i); i++) {
		assert_true(settings_has_name(settings_name(i)));
		assert_int_equal(settings_set(&f->base, settings_name(i),
					      "null", &f->arena, &f->got,
					      &f->err),
				 0);
	}
	assert_int_equal(i, 12);
	assert_false(settings_has_name("storage"));
}

static void
test_units_are_whole_numbers_with_a_known_suffix(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(size_parse("64MiB", &v, NULL), 0);
	assert_int_equal(v, 64u << 20);
	assert_int_equal(size_parse("0B", &v, NULL), 0);
	assert_int_equal(v, 0);
	assert_int_equal(duration_parse("500ms", &v, NULL), 0);
	assert_int_equal(v, 500);
	assert_int_equal(duration_parse("7d", &v, NULL), 0);
	assert_int_equal(v, 7ull * 86400000);
	assert_int_equal(size_parse("64", &v, NULL), -ERR_CONFIG);
	assert_int_equal(size_parse("-1MiB", &v, NULL), -ERR_CONFIG);
	assert_int_equal(size_parse(" 1MiB", &v, NULL), -ERR_CONFIG);
	assert_int_equal(size_parse("1.5GiB", &v, NULL), -ERR_CONFIG);
	assert_int_equal(size_parse("16777216TiB", &v, NULL), -ERR_CONFIG);
	assert_int_equal(duration_parse("", &v, NULL), -ERR_CONFIG);
	assert_int_equal(duration_parse("5m", &v, NULL), -ERR_CONFIG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_defaults_are_those_of_the_contract),
		T(test_absent_members_stay_and_null_resets),
		T(test_printed_settings_merge_back_to_the_same),
		T(test_the_example_of_the_contract_is_accepted),
		T(test_wrong_settings_are_refused_by_name),
		T(test_single_settings_go_by_their_own_names),
		T(test_every_listed_name_can_be_set),
		T(test_units_are_whole_numbers_with_a_known_suffix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
