/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on a database against a model in memory, with flushes,
 * merges, graphs and reopening in between.  POINTFS_SEED and POINTFS_STEPS make
 * it another run; a failure prints the seed.
 */
#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/check.h"
#include "engine/collection.h"
#include "engine/database.h"
#include "engine/json/json_point.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define IDS  150
#define DIM  8
#define TEXT 1024

struct model_point {
	bool there;
	char text[TEXT]; /* the document */
	int64_t mtime_ns;
	uint64_t no;
	float vec[DIM];
	int city;
};

struct world {
	char dir[64];
	struct db *db;
	struct coll *c;
	struct model_point m[IDS];
	uint64_t rnd;
};

static uint64_t
rnd(struct world *w)
{
	w->rnd ^= w->rnd << 13;
	w->rnd ^= w->rnd >> 7;
	w->rnd ^= w->rnd << 17;
	return w->rnd;
}

static void
ok_at(int rc, const struct err *err, int line)
{
	if (rc < 0)
		fail_msg("line %d: %s: %s", line, err_name(rc), err_text(err));
}
#define ok(rc) ok_at((rc), &err, __LINE__)

static struct db_settings
small_settings(void)
{
	struct db_settings s;

	db_settings_defaults(&s);
	s.sync = SYNC_FSYNC;
	s.wal_file_bytes = 1u << 20;
	s.memtable_bytes = 24u << 10;
	s.workers = 2;
	return s;
}

static void
world_open(struct world *w)
{
	struct db_settings s = small_settings();
	struct err err = {0};

	ok(db_open(w->dir, &s, DB_CREATE, &w->db, &err));
}

static void
world_reopen(struct world *w)
{
	struct err err = {0};

	coll_close(w->c);
	db_close(w->db);
	world_open(w);
	ok(db_coll_open(w->db, "c", &w->c, &err));
}

static struct id_key
id_of(int i)
{
	struct id_key id;
	char name[64];

	if (i % 3 == 0)
		id_from_num((uint64_t)i, &id);
	else if (i % 3 == 1) {
		int n = snprintf(name, sizeof name, "point-%d", i);
		assert_int_equal(id_from_name(name, (size_t)n, &id, NULL), 0);
	} else {
		int n = snprintf(name, sizeof name,
				 "00000000-0000-4000-8000-%012x", (unsigned)i);
		assert_int_equal(id_from_name(name, (size_t)n, &id, NULL), 0);
	}
	return id;
}

static void
make_text(struct world *w, int i, struct model_point *p)
{
	int n = 0;

	(void)i;
	p->city = (int)(rnd(w) % 5);
	n += snprintf(p->text + n, (size_t)(TEXT - n), "{\"vector\": [");
	for (int d = 0; d < DIM; d++) {
		p->vec[d] = (float)((int)(rnd(w) % 2000) - 1000) / 64.0f;
		n += snprintf(p->text + n, (size_t)(TEXT - n), "%s%.6g",
			      d ? ", " : "", (double)p->vec[d]);
		p->vec[d] = strtof(strrchr(p->text, d ? ' ' : '[') + 1, NULL);
	}
	n += snprintf(
		p->text + n, (size_t)(TEXT - n),
		"], \"payload\": {\"city\": \"c%d\", \"pad\": \"%.*s\"}}",
		p->city, (int)(rnd(w) % 200),
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
		"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
		"wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww");
	p->mtime_ns = (int64_t)(rnd(w) % 1000000007);
}

static void
step_put(struct world *w)
{
	struct model_point p = {.there = true};
	struct put_opts o = {.mode = (enum put_mode)(rnd(w) % 3)};
	int i = (int)(rnd(w) % IDS);
	struct id_key id = id_of(i);
	struct arena a = {0};
	struct err err = {0};
	struct point pt;
	int rc;

	make_text(w, i, &p);
	ok(json_point_parse(p.text, strlen(p.text), &id, false, &a, &pt, &err));
	pt.mtime_ns = p.mtime_ns;
	rc = coll_put(w->c, &pt, &o, &err);
	if (o.mode == PUT_INSERT && w->m[i].there) {
		assert_int_equal(rc, -ERR_EXISTS);
	} else if (o.mode == PUT_UPDATE && !w->m[i].there) {
		assert_int_equal(rc, -ERR_NOT_FOUND);
	} else {
		ok(rc);
		if (w->m[i].there)
			assert_int_equal(pt.no, w->m[i].no);
		p.no = pt.no;
		w->m[i] = p;
	}
	arena_done(&a);
}

static void
step_put_many(struct world *w)
{
	struct model_point p[20];
	struct point pt[20];
	struct err errs[20] = {{0}}, err = {0};
	struct arena a = {0};
	int at[20], rcs[20], n = 1 + (int)(rnd(w) % 20);

	for (int k = 0; k < n; k++) {
		struct id_key id;

		at[k] = (int)(rnd(w) % IDS);
		id = id_of(at[k]);
		memset(&p[k], 0, sizeof p[k]);
		p[k].there = true;
		make_text(w, at[k], &p[k]);
		ok(json_point_parse(p[k].text, strlen(p[k].text), &id, false,
				    &a, &pt[k], &err));
		pt[k].mtime_ns = p[k].mtime_ns;
	}
	ok(coll_put_many(w->c, pt, (uint32_t)n, rcs, errs, &err));
	for (int k = 0; k < n; k++) {
		ok_at(rcs[k], &errs[k], __LINE__);
		p[k].no = pt[k].no;
		w->m[at[k]] = p[k];
	}
	arena_done(&a);
}

static void
step_delete(struct world *w)
{
	int i = (int)(rnd(w) % IDS);
	struct id_key id = id_of(i);
	struct err err = {0};
	int rc = coll_delete(w->c, &id, &err);

	if (!w->m[i].there) {
		assert_int_equal(rc, -ERR_NOT_FOUND);
		return;
	}
	ok(rc);
	w->m[i].there = false;
}

static void
step_move(struct world *w)
{
	int i = (int)(rnd(w) % IDS), j = (int)(rnd(w) % IDS);
	bool no_replace = rnd(w) % 2 != 0;
	struct id_key from = id_of(i), to = id_of(j);
	struct err err = {0};
	int rc = coll_move(w->c, &from, w->c, &to, no_replace, &err);

	if (i == j)
		return;
	if (!w->m[i].there) {
		assert_int_equal(rc, -ERR_NOT_FOUND);
	} else if (no_replace && w->m[j].there) {
		assert_int_equal(rc, -ERR_EXISTS);
	} else {
		ok(rc);
		w->m[j] = w->m[i];
		w->m[i].there = false;
	}
}

static void
step_touch(struct world *w)
{
	int i = (int)(rnd(w) % IDS);
	int64_t t = (int64_t)(rnd(w) % 1000000);
	struct id_key id = id_of(i);
	struct err err = {0};
	int rc = coll_set_times(w->c, &id, t, &err);

	if (!w->m[i].there) {
		assert_int_equal(rc, -ERR_NOT_FOUND);
		return;
	}
	ok(rc);
	w->m[i].mtime_ns = t;
}

/* --- comparing ------------------------------------------------------- */

static void
compare_points(struct world *w)
{
	for (int i = 0; i < IDS; i++) {
		struct id_key id = id_of(i), back;
		struct buf text = {0};
		struct arena a = {0};
		struct err err = {0};
		struct point_stat st;
		struct point p;
		int rc = coll_get(w->c, &id, &a, &p, &err);

		if (!w->m[i].there) {
			assert_int_equal(rc, -ERR_NOT_FOUND);
			arena_done(&a);
			continue;
		}
		ok(rc);
		ok(json_point_render(&p, &text, &err));
		assert_int_equal(text.n, strlen(w->m[i].text));
		assert_memory_equal(text.p, w->m[i].text, text.n);
		assert_int_equal(p.doc.size, text.n);
		assert_int_equal(p.mtime_ns, w->m[i].mtime_ns);
		ok(coll_stat(w->c, &id, &st, &err));
		assert_int_equal(st.size, text.n);
		assert_int_equal(st.no, w->m[i].no);
		ok(coll_stat_no(w->c, st.no, &back, &st, &err));
		assert_int_equal(id_cmp(back.b, back.n, id.b, id.n), 0);
		buf_done(&text);
		arena_done(&a);
	}
}

static int
model_count(struct world *w)
{
	int n = 0;

	for (int i = 0; i < IDS; i++)
		n += w->m[i].there;
	return n;
}

static int
index_of(const struct id_key *id)
{
	for (int i = 0; i < IDS; i++) {
		struct id_key k = id_of(i);

		if (id_cmp(k.b, k.n, id->b, id->n) == 0)
			return i;
	}
	return -1;
}

static void
compare_listing(struct world *w)
{
	bool seen[IDS] = {false};
	struct coll_list *l;
	struct err err = {0};
	struct point_stat st;
	struct id_key id;
	uint64_t pos = 0, no, n = 0;
	int rc;

	ok(coll_list_open(w->c, &l, &err));
	while ((rc = coll_list_next(l, &pos, &id, &no, &st, &err)) > 0) {
		int i = index_of(&id);

		assert_true(i >= 0 && w->m[i].there && !seen[i]);
		assert_int_equal(no, w->m[i].no);
		seen[i] = true;
		n++;
	}
	ok(rc);
	assert_int_equal(n, model_count(w));
	coll_list_close(l);
	ok(coll_count(w->c, NULL, &n, &err));
	assert_int_equal(n, model_count(w));
}

static void
compare_scroll(struct world *w)
{
	struct scroll_request r = {.limit = 7};
	struct arena a = {0};
	struct err err = {0};
	struct id_key last = {0}, next;
	int n = 0;

	do {
		struct hits h;

		ok(coll_scroll(w->c, &r, &a, &h, &next, &err));
		for (uint32_t k = 0; k < h.n; k++) {
			struct id_key *id = &h.h[k].point.id;
			int i = index_of(id);

			assert_true(i >= 0 && w->m[i].there);
			if (last.n != 0)
				assert_true(id_cmp(last.b, last.n, id->b,
						   id->n) < 0);
			last = *id;
			n++;
		}
		r.offset = next;
	} while (next.n != 0);
	assert_int_equal(n, model_count(w));
	arena_done(&a);
}

static double
cosine(const float *x, const float *y)
{
	double xy = 0, xx = 0, yy = 0;

	for (int d = 0; d < DIM; d++) {
		xy += (double)x[d] * (double)y[d];
		xx += (double)x[d] * (double)x[d];
		yy += (double)y[d] * (double)y[d];
	}
	return xx == 0 || yy == 0 ? 0 : xy / sqrt(xx * yy);
}

/* The exact answer is the model's best; ties are told apart by score. */
static void
compare_search(struct world *w)
{
	struct query q = {.kind = QUERY_VECTOR, .limit = 10, .exact = true};
	double best[IDS];
	float v[DIM];
	struct arena a = {0};
	struct err err = {0};
	struct hits h;
	int n = 0;

	for (int d = 0; d < DIM; d++)
		v[d] = (float)((int)(rnd(w) % 200) - 100);
	q.vec = v;
	q.dim = DIM;
	ok(coll_search(w->c, &q, &a, &h, &err));
	for (int i = 0; i < IDS; i++)
		if (w->m[i].there)
			best[n++] = cosine(v, w->m[i].vec);
	assert_int_equal(h.n, MIN(n, 10));
	for (uint32_t k = 0; k < h.n; k++) {
		int i = index_of(&h.h[k].point.id), rank = 0;
		double s;

		assert_true(i >= 0 && w->m[i].there);
		s = cosine(v, w->m[i].vec);
		assert_true(fabs(s - (double)h.h[k].score) < 1e-4);
		for (int j = 0; j < n; j++)
			rank += best[j] > s + 1e-5;
		assert_true(rank <= (int)k);
	}
	arena_done(&a);
}

static void
compare_all(struct world *w)
{
	compare_points(w);
	compare_listing(w);
	compare_scroll(w);
	compare_search(w);
}

static void
report_bad(void *arg, const char *line)
{
	(void)arg;
	if (strstr(line, "good") == NULL)
		print_error("%s\n", line);
}

static void
step(struct world *w)
{
	struct err err = {0};
	uint64_t what = rnd(w) % 1000;

	if (what < 450)
		step_put(w);
	else if (what < 600)
		step_put_many(w);
	else if (what < 780)
		step_delete(w);
	else if (what < 900)
		step_move(w);
	else if (what < 960)
		step_touch(w);
	else if (what < 970)
		ok(db_flush(w->db, &err));
	else if (what < 978)
		ok(coll_settle(w->c, &err));
	else if (what < 985)
		world_reopen(w);
	else if (what < 987)
		ok(db_check(w->db, true, report_bad, NULL, &err));
	else
		compare_all(w);
}

static void
run_model(unsigned shards, uint64_t seed, int steps)
{
	struct world *w = calloc(1, sizeof *w);
	struct err err = {0};
	char conf[160];

	w->rnd = seed * 0x9e3779b97f4a7c15ull + 1;
	snprintf(w->dir, sizeof w->dir, "/tmp/pointfs-model-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	world_open(w);
	ok(db_coll_create(w->db, "c", 0755, 0, 0, &err));
	ok(db_coll_open(w->db, "c", &w->c, &err));
	snprintf(conf, sizeof conf,
		 "{\"shard_number\": %u, \"optimizers_config\": "
		 "{\"indexing_threshold\": 1}}",
		 shards);
	ok(coll_set_config(w->c, conf, strlen(conf), &err));
	coll_close(w->c);
	ok(db_coll_open(w->db, "c", &w->c, &err));
	for (int i = 0; i < steps; i++)
		step(w);
	compare_all(w);
	world_reopen(w);
	compare_all(w);
	ok(coll_settle(w->c, &err));
	compare_all(w);
	coll_close(w->c);
	db_close(w->db);
	ok(file_remove_tree(AT_FDCWD, w->dir, &err));
	free(w);
}

static uint64_t
env_number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s != NULL ? strtoull(s, NULL, 10) : otherwise;
}

static void
test_random_operations_equal_the_model(void **state)
{
	uint64_t seed = env_number("POINTFS_SEED", 1);
	int steps = (int)env_number("POINTFS_STEPS", 3000);

	(void)state;
	for (uint64_t s = seed; s < seed + 3; s++) {
		print_message("# seed %llu\n", (unsigned long long)s);
		run_model(1, s, steps);
	}
}

static void
test_random_operations_equal_the_model_with_three_shards(void **state)
{
	(void)state;
	run_model(3, env_number("POINTFS_SEED", 11),
		  (int)env_number("POINTFS_STEPS", 3000));
}

static double
euclid(const float *x, const float *y)
{
	double sum = 0;

	for (int d = 0; d < DIM; d++)
		sum += ((double)x[d] - (double)y[d]) *
		       ((double)x[d] - (double)y[d]);
	return sqrt(sum);
}

static void
compare_euclid(struct world *w)
{
	static const float v[DIM] = {1, -2, 3, -4, 5, -6, 7, -8};
	struct query q = {
		.kind = QUERY_VECTOR, .vec = v, .dim = DIM, .limit = 10};
	struct arena a = {0};
	struct err err = {0};
	struct hits h;

	ok(coll_search(w->c, &q, &a, &h, &err));
	assert_int_equal(h.n, 10);
	for (uint32_t k = 0; k < h.n; k++) {
		int i = index_of(&h.h[k].point.id), nearer = 0;
		double d;

		assert_true(i >= 0 && w->m[i].there);
		d = euclid(v, w->m[i].vec);
		assert_true(fabs(d - (double)h.h[k].score) < 1e-3);
		for (int j = 0; j < IDS; j++)
			nearer += w->m[j].there &&
				  euclid(v, w->m[j].vec) < d - 1e-4;
		assert_true(nearer <= (int)k);
	}
	arena_done(&a);
}

static void
set_distance(struct world *w, const char *distance)
{
	struct err err = {0};
	char conf[100];

	snprintf(conf, sizeof conf,
		 "{\"vectors\": {\"size\": %d, \"distance\": \"%s\"}}", DIM,
		 distance);
	ok(coll_set_config(w->c, conf, strlen(conf), &err));
}

/* Answers are right at once; segments and graphs follow. */
static void
test_another_distance_counts_at_once_and_reindexes(void **state)
{
	static const char conf[] = "{\"optimizers_config\": "
				   "{\"indexing_threshold\": 1}}";
	struct world *w = calloc(1, sizeof *w);
	struct err err = {0};

	(void)state;
	w->rnd = 77;
	snprintf(w->dir, sizeof w->dir, "/tmp/pointfs-model-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	world_open(w);
	ok(db_coll_create(w->db, "c", 0755, 0, 0, &err));
	ok(db_coll_open(w->db, "c", &w->c, &err));
	ok(coll_set_config(w->c, conf, sizeof conf - 1, &err));
	for (int i = 0; i < 60; i++)
		step_put_many(w);
	ok(coll_settle(w->c, &err));
	compare_search(w);
	set_distance(w, "Euclid");
	compare_euclid(w);
	world_reopen(w);
	compare_euclid(w);
	ok(coll_settle(w->c, &err));
	compare_euclid(w);
	ok(db_check(w->db, true, report_bad, NULL, &err));
	set_distance(w, "Cosine");
	compare_search(w);
	ok(coll_settle(w->c, &err));
	compare_search(w);
	coll_close(w->c);
	db_close(w->db);
	ok(file_remove_tree(AT_FDCWD, w->dir, &err));
	free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_operations_equal_the_model),
		cmocka_unit_test(
			test_random_operations_equal_the_model_with_three_shards),
		cmocka_unit_test(
			test_another_distance_counts_at_once_and_reindexes),
	};

	return cmocka_run_group_tests_name("database", tests, NULL, NULL);
}
