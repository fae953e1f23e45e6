/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in a collection and inode numbers.
 */
#include "fs/path.h"

#include "engine/base/check.h"
#include "engine/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void
test_inode_numbers_come_back_as_they_went(void **state)
{
	static const uint64_t nos[] = {0, 1, 42, (1ull << 36) - 1};
	static const uint32_t colls[] = {0, 1, 77, (1u << 24) - 1};
	struct node n;

	(void)state;
	for (unsigned k = NODE_STATIC; k < NODE_KIND_NR; k++) {
		for (size_t i = 0; i < ARRAY_LEN(nos); i++) {
			for (size_t j = 0; j < ARRAY_LEN(colls); j++) {
				if (k == NODE_STATIC && nos[i] == STATIC_ROOT)
					continue;
				assert_true(node_parse(
					node_ino(k, colls[j], nos[i]), &n));
				assert_int_equal(n.kind, k);
				assert_int_equal(n.coll, colls[j]);
				assert_true(n.no == nos[i]);
			}
		}
	}
}

static void
test_root_is_one_and_zero_is_nothing(void **state)
{
	struct node n;

	(void)state;
	assert_int_equal(node_ino(NODE_STATIC, 0, STATIC_ROOT), 1);
	assert_true(node_parse(1, &n));
	assert_int_equal(n.kind, NODE_STATIC);
	assert_int_equal(n.no, STATIC_ROOT);
	assert_false(node_parse(0, &n));
	assert_false(node_parse(2, &n));
	assert_false(node_parse(UINT64_MAX, &n));
}

static enum name_kind
kind_of(const char *name)
{
	struct name n;

	assert_int_equal(name_parse(name, &n, NULL), 0);
	return n.kind;
}

static void
test_names_fall_into_their_kinds(void **state)
{
	static const struct {
		const char *name;
		enum name_kind kind;
	} t[] = {
		{"42.json", NAME_POINT},
		{"a.json.json", NAME_POINT},
		{"18446744073709551616.json", NAME_POINT},
		{"550e8400-e29b-41d4-a716-446655440000.json", NAME_POINT},
		{"42.json~", NAME_SCRATCH},
		{"42.JSON", NAME_SCRATCH},
		{"json", NAME_SCRATCH},
		{".json", NAME_SCRATCH},
		{"sedAbC", NAME_SCRATCH},
		{".42.json.Xy12", NAME_SCRATCH},
		{".42.json.swp", NAME_SCRATCH},
		{".searching", NAME_SCRATCH},
		{".search", NAME_CONTROL},
		{".scroll", NAME_CONTROL},
		{".count", NAME_CONTROL},
		{".import", NAME_CONTROL},
		{".config.json", NAME_CONTROL},
		{".status.json", NAME_CONTROL},
		{".near", NAME_NEAR},
		{".facet", NAME_NOT_YET},
		{".update", NAME_NOT_YET},
		{"MANIFEST", NAME_RESTORE},
		{"abc.qv", NAME_RESTORE},
		{".qv", NAME_SCRATCH},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(kind_of(t[i].name), t[i].kind);
}

static void
test_spellings_that_are_not_canonical_are_no_names(void **state)
{
	struct name n;

	(void)state;
	assert_int_equal(name_parse("007.json", &n, NULL), -ERR_ID);
	assert_int_equal(name_parse("550E8400-E29B-41D4-A716-446655440000.json",
				    &n, NULL),
			 -ERR_ID);
}

static void
test_255_bytes_are_a_name_and_256_are_not(void **state)
{
	char name[300];
	struct name n;

	(void)state;
	memset(name, 'x', sizeof name);
	memcpy(name + 250, ".json", 6);
	assert_int_equal(name_parse(name, &n, NULL), 0);
	assert_int_equal(n.kind, NAME_POINT);
	memset(name, 'x', sizeof name);
	name[256] = '\0';
	assert_int_equal(name_parse(name, &n, NULL), -ERR_NAME_LONG);
	name[255] = '\0';
	assert_int_equal(name_parse(name, &n, NULL), 0);
	assert_int_equal(n.kind, NAME_SCRATCH);
}

static void
near_back(const struct id_key *id, float score)
{
	char name[FS_NAME_MAX + 1];
	struct id_key back;

	near_name_print(7, score, id, name);
	assert_true(near_name_parse(name, &back));
	assert_int_equal(id_cmp(id->b, id->n, back.b, back.n), 0);
}

static void
test_names_of_neighbours_tell_the_id(void **state)
{
	char name[FS_NAME_MAX + 1];
	struct id_key id;

	(void)state;
	id_from_num(17, &id);
	near_name_print(1, 0.98712f, &id, name);
	assert_string_equal(name, "001_0.9871_17.json");
	near_back(&id, 0.5f);
	near_back(&id, -3.25f);
	near_back(&id, 1e9f);
	near_back(&id, -1.0f / 0.0f);
	assert_int_equal(id_from_name("with_under_score", 16, &id, NULL), 0);
	near_back(&id, 0.25f);
}

static void
test_other_names_are_no_neighbours(void **state)
{
	static const char *const bad[] = {"",
					  "42.json",
					  "001",
					  "001_",
					  "001_0.5",
					  "001_0.5_",
					  "001_0.5_.json",
					  "1_0.5_17.json",
					  "x01_0.5_17.json",
					  "001_0.5_17",
					  "001_abc!_17.json",
					  "001_0.5_007.json"};
	struct id_key id;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(near_name_parse(bad[i], &id));
}

static void
test_a_long_neighbour_is_cut_between_characters(void **state)
{
	char stem[ID_TEXT_MAX + 1], name[FS_NAME_MAX + 1];
	struct id_key id;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ID_TEXT_MAX; i += 2)
		memcpy(stem + i, "\xC3\xA9", 2);
	assert_int_equal(id_from_name(stem, ID_TEXT_MAX, &id, NULL), 0);
	n = near_name_print(1, 0.5f, &id, name);
	assert_true(n <= FS_NAME_MAX && n >= FS_NAME_MAX - 1);
	assert_int_equal(strlen(name), n);
	assert_int_equal((n - strlen("001_0.5000_")) % 2, 0);
	assert_false(near_name_parse(name, &id));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inode_numbers_come_back_as_they_went),
		cmocka_unit_test(test_root_is_one_and_zero_is_nothing),
		cmocka_unit_test(test_names_fall_into_their_kinds),
		cmocka_unit_test(
			test_spellings_that_are_not_canonical_are_no_names),
		cmocka_unit_test(test_255_bytes_are_a_name_and_256_are_not),
		cmocka_unit_test(test_names_of_neighbours_tell_the_id),
		cmocka_unit_test(test_other_names_are_no_neighbours),
		cmocka_unit_test(
			test_a_long_neighbour_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
