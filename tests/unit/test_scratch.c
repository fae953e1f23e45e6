/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scratch files and drafts, aliases' numbers, and the log of refusals.
 */
#include "fs/alias.h"
#include "fs/errlog.h"
#include "fs/handle.h"
#include "fs/scratch.h"

#include "engine/base/arena.h"
#include "engine/base/buf.h"
#include "engine/base/err.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COLL 3

static struct scratch_tree tree;
static const struct scratch_attr attr = {.mode = 0644, .uid = 7};

static int
tree_up(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	return fd < 0 || scratch_tree_init(&tree, fd, 4u << 20, NULL);
}

static int
tree_down(void **state)
{
	int fd = tree.tmp_fd;

	(void)state;
	scratch_tree_done(&tree);
	return close(fd);
}

static struct scratch *
make(const char *name, uint64_t no, enum scratch_state st)
{
	struct scratch *s;

	assert_int_equal(
		scratch_create(&tree, COLL, no, name, st, &attr, &s, NULL), 0);
	return s;
}

static void
test_a_file_is_found_by_name_and_number(void **state)
{
	struct scratch *a = make("a", 1, SCRATCH_FILE), *b, *c;

	(void)state;
	b = scratch_find(&tree, COLL, "a");
	c = scratch_find_no(&tree, COLL, 1);
	assert_ptr_equal(a, b);
	assert_ptr_equal(a, c);
	assert_null(scratch_find(&tree, COLL + 1, "a"));
	assert_null(scratch_find_no(&tree, COLL, 2));
	assert_int_equal(scratch_create(&tree, COLL, 2, "a", SCRATCH_FILE,
					&attr, &b, NULL),
			 -ERR_EXISTS);
	scratch_unref(&tree, a);
	scratch_unref(&tree, a);
	scratch_unref(&tree, a);
}

static void
test_bytes_survive_the_way_to_disk(void **state)
{
	static const size_t at[] = {0, 100, SCRATCH_MEMORY - 2,
				    SCRATCH_MEMORY + 77};
	struct scratch *s = make("f", 1, SCRATCH_FILE);
	char back[8];
	size_t n;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(
			scratch_write(&tree, s, "12345", 5, at[i], false, NULL),
			0);
	assert_true(s->fd >= 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(scratch_read(s, back, 5, at[i], &n, NULL), 0);
		assert_int_equal(n, 5);
		assert_memory_equal(back, "12345", 5);
	}
	assert_int_equal(scratch_read(s, back, 8, 105, &n, NULL), 0);
	assert_memory_equal(back, "\0\0\0\0\0\0\0\0", 8);
	scratch_unref(&tree, s);
}

static void
test_cutting_and_growing_leaves_zeros(void **state)
{
	struct scratch *s = make("f", 1, SCRATCH_FILE);
	char back[6];
	size_t n;

	(void)state;
	assert_int_equal(scratch_write(&tree, s, "abcdef", 6, 0, false, NULL),
			 0);
	assert_int_equal(scratch_truncate(&tree, s, 2, NULL), 0);
	assert_int_equal(scratch_truncate(&tree, s, 6, NULL), 0);
	assert_int_equal(scratch_read(s, back, 6, 0, &n, NULL), 0);
	assert_memory_equal(back, "ab\0\0\0\0", 6);
	assert_int_equal(scratch_write(&tree, s, "z", 1, 0, true, NULL), 0);
	assert_int_equal(s->size, 7);
	scratch_unref(&tree, s);
}

static void
test_all_files_together_have_a_limit(void **state)
{
	struct scratch *a = make("a", 1, SCRATCH_FILE);
	struct scratch *b = make("b", 2, SCRATCH_FILE);

	(void)state;
	assert_int_equal(scratch_truncate(&tree, a, 3u << 20, NULL), 0);
	assert_int_equal(scratch_truncate(&tree, b, 2u << 20, NULL),
			 -ERR_NO_SPACE);
	assert_int_equal(b->size, 0);
	scratch_remove(&tree, a);
	scratch_unref(&tree, a);
	assert_int_equal(tree.used, 0);
	assert_int_equal(scratch_truncate(&tree, b, 2u << 20, NULL), 0);
	scratch_unref(&tree, b);
}

static void
test_a_removed_file_lives_while_it_is_open(void **state)
{
	struct scratch *s = make("f", 9, SCRATCH_FILE), *again;
	char c;
	size_t n;

	(void)state;
	assert_int_equal(scratch_write(&tree, s, "x", 1, 0, false, NULL), 0);
	scratch_remove(&tree, s);
	assert_null(scratch_find(&tree, COLL, "f"));
	again = scratch_find_no(&tree, COLL, 9);
	assert_ptr_equal(again, s);
	assert_int_equal(scratch_read(s, &c, 1, 0, &n, NULL), 0);
	assert_int_equal(c, 'x');
	scratch_unref(&tree, again);
	scratch_unref(&tree, s);
	assert_false(scratch_any(&tree));
}

static void
test_a_rename_replaces_and_counts(void **state)
{
	struct scratch *a = make("a", 1, SCRATCH_FILE);
	struct scratch *b = make("b", 2, SCRATCH_FILE), *c;

	(void)state;
	assert_int_equal(scratch_count(&tree, COLL), 2);
	assert_int_equal(
		scratch_rename(&tree, a, COLL, 1, "b", SCRATCH_DRAFT, NULL), 0);
	assert_int_equal(scratch_count(&tree, COLL), 1);
	c = scratch_find(&tree, COLL, "b");
	assert_ptr_equal(c, a);
	assert_null(b->name);
	assert_int_equal(
		scratch_rename(&tree, b, COLL, 2, "c", SCRATCH_FILE, NULL),
		-ERR_NOT_FOUND);
	scratch_unref(&tree, c);
	scratch_unref(&tree, a);
	scratch_unref(&tree, b);
}

static void
test_what_became_a_point_is_found_no_more(void **state)
{
	struct scratch *s = make("1.json", 1, SCRATCH_DRAFT);
	struct coll_memo m;

	(void)state;
	memo_get(&tree, COLL, &m);
	assert_int_equal(m.n_drafts, 1);
	scratch_claim(&tree, s);
	scratch_became_point(&tree, s);
	scratch_release(&tree, s);
	assert_null(scratch_find(&tree, COLL, "1.json"));
	assert_null(scratch_find_no(&tree, COLL, 1));
	memo_get(&tree, COLL, &m);
	assert_int_equal(m.n_drafts, 0);
	assert_int_equal(m.n_files, 0);
	scratch_unref(&tree, s);
}

static void
test_thousands_of_files_are_all_listed(void **state)
{
	struct scratch_entry *e;
	struct arena a = {0};
	char name[20];
	uint32_t n;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof name, "f%u", i);
		scratch_unref(&tree, make(name, i + 1, SCRATCH_FILE));
	}
	assert_int_equal(scratch_list(&tree, COLL, &a, &e, &n, NULL), 0);
	assert_int_equal(n, 3000);
	assert_int_equal(scratch_list(&tree, 99, &a, &e, &n, NULL), 0);
	assert_int_equal(n, 0);
	arena_done(&a);
}

static void
test_an_alias_keeps_its_number_over_a_rename(void **state)
{
	struct alias_table t;
	char name[8];
	uint64_t a, b;

	(void)state;
	alias_table_init(&t);
	a = alias_number(&t, "a");
	b = alias_number(&t, "b");
	assert_int_not_equal(a, b);
	alias_move(&t, "a", "b", false);
	assert_int_equal(alias_number(&t, "b"), a);
	/* who has looked b up and not yet read it finds what took its place */
	assert_true(alias_find(&t, b, name, sizeof name));
	assert_string_equal(name, "b");
	b = alias_number(&t, "c");
	alias_move(&t, "b", "c", true);
	assert_int_equal(alias_number(&t, "c"), a);
	assert_int_equal(alias_number(&t, "b"), b);
	alias_drop(&t, "c");
	assert_int_not_equal(alias_number(&t, "c"), a);
	alias_table_done(&t);
}

static void
refuse(struct errlog *l, uint32_t uid, const char *path)
{
	struct err err = {ERR_DIM, "wrong \"length\""};

	errlog_add(l, &(struct refusal){"write", path, uid, 22, &err});
}

static void
test_refusals_are_shown_to_their_user_and_to_root(void **state)
{
	static struct errlog l;
	struct buf b = {0};

	(void)state;
	errlog_init(&l);
	refuse(&l, 5, "/collections/a/\xFF.json");
	refuse(&l, 6, "/collections/b/1.json");
	assert_int_equal(errlog_print(&l, 5, &b), 0);
	buf_put_u8(&b, 0);
	assert_non_null(strstr((char *)b.p, "\"uid\":5,\"errno\":\"EINVAL\","
					    "\"code\":\"ERR_DIM\",\"message\":"
					    "\"wrong \\\"length\\\"\"}\n"));
	assert_non_null(strstr((char *)b.p, "a/\xEF\xBF\xBD.json"));
	assert_null(strstr((char *)b.p, "/b/"));
	buf_clear(&b);
	assert_int_equal(errlog_print(&l, 0, &b), 0);
	buf_put_u8(&b, 0);
	assert_non_null(strstr((char *)b.p, "/b/"));
	buf_done(&b);
	errlog_done(&l);
}

static void
test_the_log_of_refusals_keeps_the_last_thousand(void **state)
{
	static struct errlog l;
	struct buf b = {0};
	char path[20];
	size_t lines = 0;

	(void)state;
	errlog_init(&l);
	for (int i = 0; i < ERRLOG_LINES + 10; i++) {
		snprintf(path, sizeof path, "/p%d.", i);
		refuse(&l, 1, path);
	}
	assert_int_equal(errlog_print(&l, 0, &b), 0);
	for (size_t i = 0; i < b.n; i++)
		lines += b.p[i] == '\n';
	assert_int_equal(lines, ERRLOG_LINES);
	buf_put_u8(&b, 0);
	assert_null(strstr((char *)b.p, "\"/p9.\""));
	assert_non_null(strstr((char *)b.p, "\"/p10.\""));
	buf_done(&b);
	errlog_done(&l);
}

static void
test_a_commit_makes_the_other_readers_stale(void **state)
{
	static struct handle_table t;
	struct open_point w = {.ino = 8, .writer = true}, rd = {.ino = 8};
	struct open_point other = {.ino = 9};
	struct open_state s;
	int64_t ns;

	(void)state;
	handle_table_init(&t);
	open_point_add(&t, &w);
	open_point_add(&t, &rd);
	open_point_add(&t, &other);
	open_point_wrote(&t, &w, 100, 5);
	open_state(&t, 8, &s);
	assert_true(s.any && s.writer && s.dirty && !s.stale && !s.own_size);
	assert_true(open_points_set_mtime(&t, 8, 77));
	assert_true(open_point_mtime(&t, &w, &ns));
	assert_int_equal(ns, 77);
	open_point_committed(&t, &w);
	assert_true(rd.stale && !w.stale && !other.stale);
	assert_false(open_points_set_mtime(&t, 8, 78));
	open_point_remove(&t, &w);
	open_point_remove(&t, &rd);
	open_state(&t, 8, &s);
	assert_false(s.any);
	open_point_remove(&t, &other);
	handle_table_done(&t);
}

#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, tree_up, tree_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TREE_TEST(test_a_file_is_found_by_name_and_number),
		TREE_TEST(test_bytes_survive_the_way_to_disk),
		TREE_TEST(test_cutting_and_growing_leaves_zeros),
		TREE_TEST(test_all_files_together_have_a_limit),
		TREE_TEST(test_a_removed_file_lives_while_it_is_open),
		TREE_TEST(test_a_rename_replaces_and_counts),
		TREE_TEST(test_what_became_a_point_is_found_no_more),
		TREE_TEST(test_thousands_of_files_are_all_listed),
		cmocka_unit_test(test_an_alias_keeps_its_number_over_a_rename),
		cmocka_unit_test(
			test_refusals_are_shown_to_their_user_and_to_root),
		cmocka_unit_test(
			test_the_log_of_refusals_keeps_the_last_thousand),
		cmocka_unit_test(test_a_commit_makes_the_other_readers_stale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
