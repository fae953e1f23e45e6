/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writers, readers, flushes, merges and graphs at once.  Every key is always
 * there, only its version rises: so each read, listing, scroll and search must
 * find every key once, in a version between what was acknowledged before it
 * began and what was begun when it ended.
 */
#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/collection.h"
#include "engine/database.h"
#include "engine/json/json_point.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WRITERS 3
#define KEYS    40 /* of each writer */
#define ROUNDS  60
#define ALL     (WRITERS * KEYS)

static struct db *db;
static struct coll *coll;
static _Atomic int begun[ALL], acked[ALL];
static _Atomic int writers_left;
static _Atomic int wrong;

#define expect(x)                                                              \
	do {                                                                   \
		if (!(x)) {                                                    \
			print_error("%s:%d: %s\n", __FILE__, __LINE__, #x);    \
			wrong++;                                               \
		}                                                              \
	} while (0)

static void
put(int key, int version)
{
	struct put_opts o = {.mode = PUT_UPSERT};
	struct arena a = {0};
	struct err err = {0};
	struct id_key id;
	struct point p;
	char text[200];
	int n;

	id_from_num((uint64_t)key, &id);
	n = snprintf(text, sizeof text,
		     "{\"vector\": [%d, %d, 1, 2], \"payload\": {\"v\": %d}}",
		     key, version, version);
	expect(json_point_parse(text, (size_t)n, &id, false, &a, &p, &err) ==
	       0);
	begun[key] = version;
	expect(coll_put(coll, &p, &o, &err) == 0);
	acked[key] = version;
	arena_done(&a);
}

static void *
writer(void *arg)
{
	int first = *(int *)arg * KEYS;

	for (int v = 1; v <= ROUNDS; v++)
		for (int k = 0; k < KEYS; k++)
			put(first + k, v);
	writers_left--;
	return NULL;
}

static void
expect_version(const struct point *p, const int *before)
{
	int key = (int)p->vec[0], v = (int)p->vec[1];

	expect(key >= 0 && key < ALL);
	if (key < 0 || key >= ALL)
		return;
	expect(v >= before[key] && v <= begun[key]);
}

static void
read_before(int before[ALL])
{
	for (int i = 0; i < ALL; i++)
		before[i] = acked[i];
}

static void
read_scroll(void)
{
	struct scroll_request r = {.limit = ALL + 5, .with_vector = true};
	struct arena a = {0};
	struct err err = {0};
	struct id_key next;
	struct hits h = {0};
	int before[ALL];

	read_before(before);
	expect(coll_scroll(coll, &r, &a, &h, &next, &err) == 0);
	expect(h.n == ALL);
	for (uint32_t i = 0; i < h.n; i++)
		expect_version(&h.h[i].point, before);
	arena_done(&a);
}

static void
read_search(bool exact)
{
	static const float v[4] = {1, 1, 1, 1};
	struct query q = {.kind = QUERY_VECTOR,
			  .vec = v,
			  .dim = 4,
			  .limit = ALL + 5,
			  .ef = 2 * ALL,
			  .exact = exact,
			  .with_vector = true};
	struct arena a = {0};
	struct err err = {0};
	struct hits h = {0};
	int before[ALL];

	read_before(before);
	expect(coll_search(coll, &q, &a, &h, &err) == 0);
	expect(h.n == ALL);
	for (uint32_t i = 0; i < h.n; i++)
		expect_version(&h.h[i].point, before);
	arena_done(&a);
}

static void
read_list(void)
{
	struct coll_list *l;
	struct err err = {0};
	struct point_stat st;
	struct id_key id;
	uint64_t pos = 0, no;
	int n = 0;

	expect(coll_list_open(coll, &l, &err) == 0);
	while (coll_list_next(l, &pos, &id, &no, &st, &err) > 0)
		n++;
	expect(n == ALL);
	coll_list_close(l);
}

static void
read_one(unsigned *seed)
{
	struct arena a = {0};
	struct err err = {0};
	struct id_key id, back;
	struct point_stat st;
	struct point p;
	int before[ALL];

	id_from_num((uint64_t)(rand_r(seed) % ALL), &id);
	read_before(before);
	expect(coll_get(coll, &id, &a, &p, &err) == 0);
	expect_version(&p, before);
	expect(coll_stat_no(coll, p.no, &back, &st, &err) == 0);
	arena_done(&a);
}

static void *
reader(void *arg)
{
	unsigned seed = *(unsigned *)arg;

	while (writers_left > 0) {
		for (int i = 0; i < 20; i++)
			read_one(&seed);
		read_list();
		read_scroll();
		read_search(true);
		read_search(false);
	}
	return NULL;
}

static void *
flusher(void *arg)
{
	struct err err = {0};

	(void)arg;
	while (writers_left > 0) {
		expect(db_flush(db, &err) == 0);
		expect(coll_settle(coll, &err) == 0);
	}
	return NULL;
}

static void
test_readers_always_see_every_key(void **state)
{
	static const char conf[] = "{\"optimizers_config\": "
				   "{\"indexing_threshold\": 1}}";
	char dir[] = "/tmp/pointfs-conc-XXXXXX";
	pthread_t t[WRITERS + 3];
	int firsts[WRITERS];
	unsigned seeds[2] = {1, 2};
	struct db_settings s;
	struct err err = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	db_settings_defaults(&s);
	s.sync = SYNC_FSYNC;
	s.memtable_bytes = 48u << 10;
	s.workers = 2;
	assert_int_equal(db_open(dir, &s, DB_CREATE, &db, &err), 0);
	assert_int_equal(db_coll_create(db, "c", 0755, 0, 0, &err), 0);
	assert_int_equal(db_coll_open(db, "c", &coll, &err), 0);
	assert_int_equal(coll_set_config(coll, conf, sizeof conf - 1, &err), 0);
	for (int k = 0; k < ALL; k++)
		put(k, 0);
	writers_left = WRITERS;
	for (int i = 0; i < WRITERS; i++) {
		firsts[i] = i;
		pthread_create(&t[i], NULL, writer, &firsts[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_create(&t[WRITERS + i], NULL, reader, &seeds[i]);
	pthread_create(&t[WRITERS + 2], NULL, flusher, NULL);
	for (int i = 0; i < WRITERS + 3; i++)
		pthread_join(t[i], NULL);
	coll_close(coll);
	db_close(db);
	assert_int_equal(file_remove_tree(AT_FDCWD, dir, &err), 0);
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readers_always_see_every_key),
	};

	return cmocka_run_group_tests_name("concurrency", tests, NULL, NULL);
}
