/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/err.h"
#include "engine/store/memtable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct mem_entry *
entry(uint64_t id, uint64_t no, bool deleted, uint64_t born)
{
	static const float v[2] = {3, 4};
	struct point p = {.no = no,
			  .dim = 2,
			  .vec = v,
			  .doc = {.text = {"{}", 2}, .size = 2}};
	struct mem_entry *e;

	id_from_num(id, &p.id);
	assert_int_equal(mem_entry_new(&p, deleted, &e, NULL), 0);
	e->born = born;
	return e;
}

static struct mem_entry *
find(struct mem *m, uint64_t id)
{
	struct id_key k;

	id_from_num(id, &k);
	return mem_find_id(m, k.b, k.n);
}

static void
add(struct mem *m, struct mem_entry *e)
{
	assert_int_equal(mem_reserve(m, 1, NULL), 0);
	mem_add(m, e);
}

static void
test_the_newest_entry_of_an_id_is_found(void **state)
{
	struct mem *m;

	(void)state;
	assert_int_equal(mem_new(&m, NULL), 0);
	assert_null(find(m, 1));
	add(m, entry(1, 10, false, 1));
	add(m, entry(2, 20, false, 2));
	add(m, entry(1, 10, false, 3));
	assert_int_equal(find(m, 1)->born, 3);
	assert_int_equal(find(m, 2)->born, 2);
	add(m, entry(2, 0, true, 4));
	assert_true(find(m, 2)->deleted);
	assert_int_equal(mem_find_no(m, 20)->born, 2);
	assert_null(mem_find_no(m, 30));
	mem_unref(m);
}

static void
test_many_entries_are_found_while_the_tables_grow(void **state)
{
	struct mem *m;

	(void)state;
	assert_int_equal(mem_new(&m, NULL), 0);
	for (uint64_t i = 0; i < 5000; i++) {
		add(m, entry(i * 7919, i + 1, false, i));
		assert_int_equal(find(m, i / 2 * 7919)->born, i / 2);
	}
	assert_int_equal(mem_count(m), 5000);
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(mem_find_no(m, i + 1)->born, i);
	mem_unref(m);
}

static void
test_an_entry_is_alive_between_birth_and_death(void **state)
{
	struct mem_entry *e = entry(1, 1, false, 5);

	(void)state;
	assert_false(mem_entry_alive_at(e, 4));
	assert_true(mem_entry_alive_at(e, 5));
	assert_true(mem_entry_alive(e));
	e->died = 9;
	assert_true(mem_entry_alive_at(e, 8));
	assert_false(mem_entry_alive_at(e, 9));
	assert_false(mem_entry_alive(e));
	assert_float_equal(e->norm, 5.0f, 0);
	mem_entry_free(e);
}

static void
test_what_is_promised_stays_promised(void **state)
{
	struct mem_kill *k;
	struct mem *m;
	uint32_t n;

	(void)state;
	assert_int_equal(mem_new(&m, NULL), 0);
	assert_int_equal(mem_reserve(m, 3, NULL), 0);
	assert_int_equal(mem_kill_late(m, 1, 2, NULL), 0);
	mem_release(m, 1);
	for (uint64_t i = 0; i < 2; i++) {
		mem_kill_row(m, 7, (uint32_t)i);
		mem_add(m, entry(i, i, false, i));
	}
	k = mem_kills(m, &n);
	assert_int_equal(n, 3);
	assert_true(k[0].seg == 1 && k[0].row == 2);
	assert_true(k[2].seg == 7 && k[2].row == 1);
	mem_unref(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_newest_entry_of_an_id_is_found),
		cmocka_unit_test(
			test_many_entries_are_found_while_the_tables_grow),
		cmocka_unit_test(
			test_an_entry_is_alive_between_birth_and_death),
		cmocka_unit_test(test_what_is_promised_stays_promised),
	};

	return cmocka_run_group_tests_name("memtable", tests, NULL, NULL);
}
