/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/seg.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/store/pages_format.h"
#include "engine/store/seg_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir_name[64];
static int dirfd_test = -1;

static int
dir_make(void **state)
{
	(void)state;
	snprintf(dir_name, sizeof dir_name, "/tmp/test_seg.XXXXXX");
	if (!mkdtemp(dir_name))
		return -1;
	return dir_open_at(AT_FDCWD, dir_name, false, &dirfd_test, NULL);
}

static int
dir_drop(void **state)
{
	(void)state;
	close(dirfd_test);
	return file_remove_tree(AT_FDCWD, dir_name, NULL);
}

static int
count_entry(void *arg, const char *name, struct err *err)
{
	(void)name;
	(void)err;
	++*(int *)arg;
	return 0;
}

static int
n_files(void)
{
	int n = 0;

	assert_int_equal(dir_each(dirfd_test, count_entry, &n, NULL), 0);
	return n;
}

/* --- a model: points in memory --------------------------------------- */

struct model {
	struct arena a;
	uint32_t n;
	uint32_t dim;
	struct point *p;
	uint64_t seed;
};

static uint32_t
rnd(struct model *m, uint32_t below)
{
	m->seed = m->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((m->seed >> 32) * below >> 32);
}

/* Numbers, UUIDs and strings, none twice: i is in each. */
static void
model_id(struct model *m, uint32_t i, struct id_key *ret)
{
	static const uint8_t kinds[] = {ID_NUM, ID_NUM, ID_UUID, ID_STR};
	uint8_t kind = kinds[rnd(m, 4)];
	uint32_t n = kind == ID_NUM    ? 8
		     : kind == ID_UUID ? 16
				       : 4 + rnd(m, ID_KEY_MAX - 4);

	ret->n = (uint16_t)(1 + n);
	ret->b[0] = kind;
	for (uint32_t k = 0; k < n; k++)
		ret->b[1 + k] = (uint8_t)('a' + rnd(m, 26));
	ret->b[1] = (uint8_t)i; /* neighbours differ early or late */
	ret->b[2] = (uint8_t)(i >> 8);
	ret->b[n] = (uint8_t)(i >> 16);
	ret->b[n - 1] = (uint8_t)(i >> 8);
}

static void
model_doc(struct model *m, struct doc *d, uint32_t len)
{
	char *s = arena_alloc(&m->a, len + 1);

	/* half of it repeats, so that some blocks shrink and some do not */
	for (uint32_t i = 0; i < len; i++)
		s[i] = (char)(i % 16 < 8 ? 'x' : rnd(m, 256));
	d->form = (uint8_t)(1 + rnd(m, 3));
	d->style = (uint8_t)rnd(m, 5);
	d->size = len + rnd(m, 1000);
	d->vec_at = rnd(m, len + 1);
	d->sep_len = (uint16_t)rnd(m, MIN(len - d->vec_at, 60000) + 1);
	d->pay_at = rnd(m, len + 1);
	d->pay_len = rnd(m, len - d->pay_at + 1);
	d->text = (struct slice){s, len};
}

static void
model_point(struct model *m, uint32_t i, uint32_t doc_len)
{
	struct point *p = &m->p[i];

	p->no = 3 + 7ull * i + rnd(m, 7) + (i > m->n / 2 ? 1ull << 33 : 0);
	p->lsn = 100 + rnd(m, 1000);
	p->time_us = 1700000000000000ll + rnd(m, 1000);
	p->mtime_ns = -5 + (int64_t)rnd(m, 10);
	p->uid = rnd(m, 70000);
	for (unsigned k = 0; k < DIGEST_LEN; k++)
		p->digest[k] = (uint8_t)rnd(m, 256);
	model_id(m, i, &p->id);
	model_doc(m, &p->doc, doc_len);
	if (m->dim && rnd(m, 5)) {
		float *v = arena_vec(&m->a, m->dim);

		for (uint32_t k = 0; k < m->dim; k++)
			v[k] = (float)rnd(m, 1000) / 10 - 50;
		p->dim = m->dim;
		p->vec = v;
	}
}

static void
model_init(struct model *m, uint32_t n, uint32_t dim, uint32_t doc_max)
{
	*m = (struct model){.n = n, .dim = dim, .seed = n + dim};
	m->p = arena_zalloc(&m->a, MAX(n, 1) * sizeof *m->p);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = rnd(m, doc_max + 1);

		if (doc_max > 100 && i % 97 == 50)
			len = 40000 + rnd(m, 200000); /* a block of its own */
		if (i % 5 == 0)
			len = 0;
		model_point(m, i, len);
	}
}

static int
model_write(const struct model *m, enum distance d, struct seg_desc *ret)
{
	struct seg_builder *b;
	int rc = seg_create(dirfd_test, d, m->dim, &b, NULL);

	for (uint32_t i = 0; rc == 0 && i < m->n; i++)
		rc = seg_add(b, &m->p[i], NULL);
	if (rc == 0)
		rc = seg_finish(b, ret, NULL);
	seg_abort(b);
	return rc;
}

static struct seg *
model_open(const struct model *m, enum distance d, struct seg_desc *ret)
{
	struct seg *s = NULL;

	assert_int_equal(model_write(m, d, ret), 0);
	assert_int_equal(seg_open(dirfd_test, ret, d, &s, NULL), 0);
	return s;
}

static void
doc_equal(const struct doc *a, const struct doc *b)
{
	assert_int_equal(a->form, b->form);
	assert_int_equal(a->style, b->style);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->sep_len, b->sep_len);
	assert_int_equal(a->vec_at, b->vec_at);
	assert_int_equal(a->pay_at, b->pay_at);
	assert_int_equal(a->pay_len, b->pay_len);
	assert_int_equal(a->text.n, b->text.n);
	if (b->text.n)
		assert_memory_equal(a->text.p, b->text.p, b->text.n);
}

static void
point_equal(const struct point *a, const struct point *b)
{
	assert_int_equal(a->id.n, b->id.n);
	assert_memory_equal(a->id.b, b->id.b, b->id.n);
	assert_int_equal(a->no, b->no);
	assert_int_equal(a->lsn, b->lsn);
	assert_int_equal(a->time_us, b->time_us);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_int_equal(a->uid, b->uid);
	assert_memory_equal(a->digest, b->digest, DIGEST_LEN);
	assert_int_equal(a->dim, b->dim);
	assert_int_equal(a->vec == NULL, b->vec == NULL);
	if (b->vec)
		assert_memory_equal(a->vec, b->vec, b->dim * sizeof(float));
}

/* Whether there is an answer; if not, it failed as damaged. */
static bool
answered(int rc, int *bad)
{
	if (rc == 0)
		return true;
	assert_int_equal(rc, -ERR_DAMAGED);
	++*bad;
	return false;
}

static void
stat_check(struct seg *s, uint32_t row, const struct point *want, int *bad)
{
	struct point_stat st;

	if (!answered(seg_stat(s, row, &st, NULL), bad))
		return;
	assert_int_equal(st.no, want->no);
	assert_int_equal(st.lsn, want->lsn);
	assert_int_equal(st.mtime_ns, want->mtime_ns);
	assert_int_equal(st.time_us, want->time_us);
	assert_int_equal(st.size, want->doc.size);
	assert_int_equal(st.uid, want->uid);
}

/* Every question about row i either fails as damaged or is answered right.
 * Returns how many failed. */
static int
row_check(struct seg *s, const struct model *m, uint32_t i)
{
	const struct point *want = &m->p[i];
	struct arena a = {0};
	struct point got;
	struct slice id;
	const float *v;
	uint32_t row;
	int bad = 0;

	stat_check(s, i, want, &bad);
	if (answered(seg_id(s, i, &id, NULL), &bad)) {
		assert_int_equal(id.n, want->id.n);
		assert_memory_equal(id.p, want->id.b, id.n);
	}
	if (answered(seg_find_id(s, want->id.b, want->id.n, &row, NULL), &bad))
		assert_int_equal(row, i);
	if (answered(seg_find_no(s, want->no, &row, NULL), &bad))
		assert_int_equal(row, i);
	if (answered(seg_vec(s, i, &v, NULL), &bad)) {
		assert_int_equal(v == NULL, want->vec == NULL);
		if (v)
			assert_memory_equal(v, want->vec, want->dim * 4);
	}
	if (answered(seg_point(s, i, true, &a, &got, NULL), &bad)) {
		point_equal(&got, want);
		doc_equal(&got.doc, &want->doc);
	}
	arena_done(&a);
	return bad;
}

static int
id_cmp_rows(const void *a, const void *b)
{
	const struct point *x = *(const struct point *const *)a;
	const struct point *y = *(const struct point *const *)b;

	return id_cmp(x->id.b, x->id.n, y->id.b, y->id.n);
}

static void
order_check(struct seg *s, const struct model *m)
{
	const struct point **by = calloc(MAX(m->n, 1), sizeof *by);
	uint32_t row, at;

	for (uint32_t i = 0; i < m->n; i++)
		by[i] = &m->p[i];
	qsort(by, m->n, sizeof *by, id_cmp_rows);
	for (uint32_t i = 0; i < m->n; i++) {
		struct id_key k = by[i]->id;

		assert_int_equal(seg_by_id(s, i, &row, NULL), 0);
		assert_int_equal(row, by[i] - m->p);
		assert_int_equal(seg_id_lower_bound(s, k.b, k.n, &at, NULL), 0);
		assert_int_equal(at, i);
		if (k.n == ID_KEY_MAX)
			continue;
		k.b[k.n++] = 0; /* the next greater key there is */
		assert_int_equal(seg_id_lower_bound(s, k.b, k.n, &at, NULL), 0);
		assert_int_equal(at, i + 1);
	}
	assert_int_equal(seg_id_lower_bound(s, "", 0, &at, NULL), 0);
	assert_int_equal(at, 0);
	assert_int_equal(seg_by_id(s, m->n, &row, NULL), -ERR_DAMAGED);
	free(by);
}

static void
absent_check(struct seg *s, const struct model *m)
{
	for (uint32_t i = 0; i < m->n; i++) {
		struct id_key k = m->p[i].id;
		uint32_t row = 0;

		k.b[k.n / 2] ^= 0x80; /* no model id has a byte like it there */
		if (k.n > 6) {
			assert_int_equal(seg_find_id(s, k.b, k.n, &row, NULL),
					 0);
			assert_int_equal(row, ROW_NONE);
		}
		if (i + 1 < m->n && m->p[i].no + 1 < m->p[i + 1].no) {
			assert_int_equal(
				seg_find_no(s, m->p[i].no + 1, &row, NULL), 0);
			assert_int_equal(row, ROW_NONE);
		}
	}
}

static void
vecs_check(struct seg *s, const struct model *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct point *p = &m->p[i];

		if (!p->vec) {
			assert_int_equal(seg_vec_no(s, i), ROW_NONE);
			continue;
		}
		assert_int_equal(seg_vec_no(s, i), n);
		assert_int_equal(seg_vec_row(s, n), i);
		assert_memory_equal(s->vecs.base + n * s->vecs.stride, p->vec,
				    p->dim * 4);
		if (s->vecs.norms)
			assert_float_equal(s->vecs.norms[n],
					   vec_norm(p->vec, p->dim), 1e-3);
		n++;
	}
	assert_int_equal(s->vecs.n, n);
	assert_int_equal(s->desc.n_vecs, n);
	assert_int_equal(s->desc.vec_bytes, (uint64_t)n * m->dim * 4);
	assert_int_equal(seg_vec_row(s, n), ROW_NONE);
	assert_int_equal(seg_vec_no(s, m->n), ROW_NONE);
}

static void
whole_check(struct seg *s, const struct model *m)
{
	struct err err = {0};

	assert_int_equal(s->desc.n_rows, m->n);
	for (uint32_t i = 0; i < m->n; i++)
		assert_int_equal(row_check(s, m, i), 0);
	order_check(s, m);
	absent_check(s, m);
	vecs_check(s, m);
	assert_int_equal(seg_verify(s, true, &err), 0);
}

/* --- tests ----------------------------------------------------------- */

static void
test_points_read_back_as_they_were_added(void **state)
{
	static const uint32_t sizes[] = {1, 2, 251, 252, 253, 5000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct seg_desc d;
		struct model m;
		struct seg *s;

		model_init(&m, sizes[i], 17, 1500);
		s = model_open(&m, DISTANCE_COSINE, &d);
		assert_non_null(s->vecs.norms);
		whole_check(s, &m);
		seg_unref(s);
		seg_desc_done(&d);
		arena_done(&m.a);
	}
}

static void
test_norms_are_kept_for_cosine_only(void **state)
{
	struct seg_desc d;
	struct model m;
	struct seg *s;

	(void)state;
	model_init(&m, 50, 4, 100);
	s = model_open(&m, DISTANCE_EUCLID, &d);
	assert_null(s->vecs.norms);
	whole_check(s, &m);
	seg_unref(s);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
test_points_without_documents_take_few_bytes(void **state)
{
	struct seg_desc d;
	struct model m;
	struct seg *s;

	(void)state;
	model_init(&m, 20000, 0, 0);
	s = model_open(&m, DISTANCE_DOT, &d);
	whole_check(s, &m);
	seg_unref(s);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
test_large_documents_have_blocks_of_their_own(void **state)
{
	struct seg_desc d;
	struct model m = {.n = 4, .dim = 3, .seed = 9};
	struct seg *s;

	(void)state;
	m.p = arena_zalloc(&m.a, m.n * sizeof *m.p);
	model_point(&m, 0, 100);
	model_point(&m, 1, 32u << 20);
	model_point(&m, 2, DOC_BLOCK_LEN - 20);
	model_point(&m, 3, 5);
	s = model_open(&m, DISTANCE_DOT, &d);
	whole_check(s, &m);
	seg_unref(s);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
test_empty_segment_opens_and_finds_nothing(void **state)
{
	struct seg_desc d;
	struct model m;
	struct seg *s;
	uint32_t at = 7;

	(void)state;
	model_init(&m, 0, 0, 0);
	s = model_open(&m, 0, &d);
	assert_int_equal(seg_find_no(s, 5, &at, NULL), 0);
	assert_int_equal(at, ROW_NONE);
	at = 7;
	assert_int_equal(seg_find_id(s, "\1\2", 2, &at, NULL), 0);
	assert_int_equal(at, ROW_NONE);
	assert_int_equal(seg_id_lower_bound(s, "\1\2", 2, &at, NULL), 0);
	assert_int_equal(at, 0);
	assert_false(seg_kill(s, 0));
	whole_check(s, &m);
	seg_unref(s);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
test_segment_over_64_mib_is_one(void **state)
{
	struct model m = {.n = 1200, .dim = 16384, .seed = 5};
	struct seg_desc d;
	struct seg *s;
	float *v;

	(void)state;
	m.p = arena_zalloc(&m.a, m.n * sizeof *m.p);
	v = arena_vec(&m.a, m.dim + m.n);
	for (uint32_t i = 0; i < m.dim + m.n; i++)
		v[i] = (float)rnd(&m, 1000);
	m.dim = 0;
	for (uint32_t i = 0; i < m.n; i++) {
		model_point(&m, i, 50);
		m.p[i].dim = 16384;
		m.p[i].vec = v + i; /* all differ */
	}
	m.dim = 16384;
	s = model_open(&m, DISTANCE_COSINE, &d);
	assert_int_equal(d.data.n, 2);
	whole_check(s, &m);
	seg_unref(s);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
test_without_document_the_rest_is_there(void **state)
{
	struct seg_desc d;
	struct arena a = {0};
	struct point got;
	struct model m;
	struct seg *s;

	(void)state;
	model_init(&m, 30, 4, 500);
	s = model_open(&m, DISTANCE_DOT, &d);
	for (uint32_t i = 0; i < m.n; i++) {
		assert_int_equal(seg_point(s, i, false, &a, &got, NULL), 0);
		point_equal(&got, &m.p[i]);
		assert_int_equal(got.doc.size, m.p[i].doc.size);
		assert_int_equal(got.doc.form, m.p[i].doc.form);
		assert_int_equal(got.doc.text.n, 0);
	}
	assert_int_equal(seg_point(s, m.n, true, &a, &got, NULL), -ERR_DAMAGED);
	arena_done(&a);
	seg_unref(s);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
test_same_points_make_the_same_files(void **state)
{
	struct seg_desc a, b;
	struct model m;

	(void)state;
	model_init(&m, 300, 8, 300);
	assert_int_equal(model_write(&m, DISTANCE_DOT, &a), 0);
	assert_int_equal(model_write(&m, DISTANCE_DOT, &b), 0);
	assert_memory_equal(a.data.files[0].sum, b.data.files[0].sum,
			    SHA256_LEN);
	assert_int_equal(n_files(), 1);
	seg_desc_done(&a);
	seg_desc_done(&b);
	arena_done(&m.a);
}

/* --- what a builder refuses ------------------------------------------ */

static void
test_builder_refuses_what_it_could_not_give_back(void **state)
{
	struct seg_builder *b;
	struct seg_desc d;
	struct point p;
	struct model m;

	(void)state;
	model_init(&m, 3, 4, 50);
	assert_int_equal(
		seg_create(dirfd_test, DISTANCE_DOT, DIM_MAX + 1, &b, NULL),
		-ERR_DIM);
	assert_int_equal(seg_create(dirfd_test, DISTANCE_DOT, 4, &b, NULL), 0);
	assert_int_equal(seg_add(b, &m.p[1], NULL), 0);
	assert_int_equal(seg_add(b, &m.p[1], NULL), -ERR_DAMAGED); /* order */
	assert_int_equal(seg_add(b, &m.p[0], NULL), -ERR_DAMAGED);
	p = m.p[2];
	p.id.n = 0;
	assert_int_equal(seg_add(b, &p, NULL), -ERR_ID);
	p = m.p[2];
	p.dim = 5;
	assert_int_equal(seg_add(b, &p, NULL), -ERR_DIM);
	p = m.p[2];
	p.doc.pay_at = (uint32_t)p.doc.text.n;
	p.doc.pay_len = 1;
	assert_int_equal(seg_add(b, &p, NULL), -ERR_TYPE);
	p.doc.pay_at = UINT32_MAX;
	assert_int_equal(seg_add(b, &p, NULL), -ERR_TYPE);
	assert_int_equal(seg_add(b, &m.p[2], NULL), 0); /* none the worse */
	assert_int_equal(seg_finish(b, &d, NULL), 0);
	assert_int_equal(d.n_rows, 2);
	seg_abort(b);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
test_one_id_twice_is_refused(void **state)
{
	struct seg_builder *b;
	struct seg_desc d;
	struct model m;

	(void)state;
	model_init(&m, 300, 4, 50);
	m.p[299].id = m.p[7].id;
	assert_int_equal(seg_create(dirfd_test, DISTANCE_DOT, 4, &b, NULL), 0);
	for (uint32_t i = 0; i < m.n; i++)
		assert_int_equal(seg_add(b, &m.p[i], NULL), 0);
	assert_int_equal(seg_finish(b, &d, NULL), -ERR_DAMAGED);
	assert_int_equal(n_files(), 0);
	assert_int_equal(seg_add(b, &m.p[8], NULL), -ERR_DAMAGED);
	seg_abort(b);
	arena_done(&m.a);
}

static void
test_aborted_segment_leaves_nothing(void **state)
{
	struct seg_builder *b;
	struct model m;

	(void)state;
	model_init(&m, 2000, 64, 3000);
	assert_int_equal(seg_create(dirfd_test, DISTANCE_DOT, 64, &b, NULL), 0);
	for (uint32_t i = 0; i < m.n; i++)
		assert_int_equal(seg_add(b, &m.p[i], NULL), 0);
	seg_abort(b);
	assert_int_equal(n_files(), 0);
	seg_abort(NULL);
	arena_done(&m.a);
}

/* --- deletions ------------------------------------------------------- */

static void
deleted_round(uint32_t n_rows, uint32_t one_in, uint64_t seed)
{
	uint64_t *bits = calloc(n_rows / 64 + 1, sizeof *bits);
	struct model m = {.seed = seed}, rows = {0};
	struct seg_desc d, copy;
	struct seg *s;
	uint32_t n = 0, n_set = 99;

	model_init(&rows, n_rows, 0, 0);
	assert_int_equal(model_write(&rows, 0, &d), 0);
	for (uint32_t i = 0; i < n_rows; i++) {
		bool set = one_in && rnd(&m, one_in) == 0;

		bits[i / 64] |= (uint64_t)set << (i % 64);
		n += set;
	}
	assert_int_equal(seg_write_deleted(dirfd_test, bits, n_rows, &d.deleted,
					   &n_set, NULL),
			 0);
	assert_int_equal(n_set, n);
	assert_int_equal(d.deleted.n, n > 0);
	d.n_deleted = n_set;
	assert_int_equal(seg_open(dirfd_test, &d, 0, &s, NULL), 0);
	assert_int_equal(s->n_dead, n);
	for (uint32_t i = 0; i < n_rows; i++)
		assert_int_equal(seg_is_dead(s, i),
				 bits[i / 64] >> (i % 64) & 1);
	assert_int_equal(seg_verify(s, true, NULL), 0);
	seg_unref(s);
	assert_int_equal(seg_desc_copy(&d, &copy, NULL), 0);
	copy.n_deleted++;
	assert_int_equal(seg_open(dirfd_test, &copy, 0, &s, NULL),
			 n ? -ERR_DAMAGED : 0);
	if (!n)
		seg_unref(s);
	seg_desc_done(&copy);
	seg_desc_done(&d);
	arena_done(&rows.a);
	free(bits);
}

static void
test_deleted_rows_come_back_few_or_many(void **state)
{
	(void)state;
	deleted_round(1000, 0, 1);
	deleted_round(1000, 300, 2);
	deleted_round(1000, 3, 3);
	deleted_round(1000, 1, 4);
	deleted_round(1024, 2, 5);
	deleted_round(1, 1, 6);
	deleted_round(65, 1, 7);
}

static void
test_deletions_of_another_segment_are_refused(void **state)
{
	uint64_t bits[2] = {0xf0, 0};
	struct seg_desc d;
	struct model m;
	struct seg *s;

	(void)state;
	model_init(&m, 50, 0, 0);
	assert_int_equal(model_write(&m, 0, &d), 0);
	assert_int_equal(seg_write_deleted(dirfd_test, bits, 51, &d.deleted,
					   &d.n_deleted, NULL),
			 0);
	assert_int_equal(seg_open(dirfd_test, &d, 0, &s, NULL), -ERR_DAMAGED);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
test_killed_row_is_dead_and_still_found(void **state)
{
	struct seg_desc d;
	struct model m;
	struct seg *s;

	(void)state;
	model_init(&m, 100, 4, 50);
	s = model_open(&m, DISTANCE_DOT, &d);
	assert_false(seg_is_dead(s, 63));
	assert_true(seg_kill(s, 63));
	assert_false(seg_kill(s, 63));
	assert_true(seg_is_dead(s, 63));
	assert_false(seg_is_dead(s, 64));
	assert_true(seg_is_dead(s, 100)); /* no such row */
	assert_false(seg_kill(s, 100));
	assert_int_equal(s->n_dead, 1);
	assert_int_equal(row_check(s, &m, 63), 0);
	seg_unref(s);
	seg_desc_done(&d);
	arena_done(&m.a);
}

/* --- graph ----------------------------------------------------------- */

static void
test_graph_stream_reads_back(void **state)
{
	struct pages_list l;
	struct pages *pg;
	uint8_t bytes[9999];

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 31);
	assert_int_equal(seg_write_graph(dirfd_test,
					 (struct slice){bytes, sizeof bytes},
					 &l, NULL),
			 0);
	assert_int_equal(pages_open(dirfd_test, STREAM_GRAPH, &l, &pg, NULL),
			 0);
	assert_int_equal(pages_check(pg, 0, sizeof bytes, NULL), 0);
	assert_memory_equal(pg->p, bytes, sizeof bytes);
	pages_close(pg);
	pages_list_done(&l);
}

static void
graph_make(struct seg *s, struct pages_list *ret)
{
	struct hnsw_params p = {.m = 8, .ef_construct = 40, .seed = 1};
	struct buf b = {0};

	assert_int_equal(
		hnsw_build(&s->vecs, DISTANCE_COSINE, &p, 1, NULL, &b, NULL),
		0);
	assert_int_equal(seg_write_graph(dirfd_test, (struct slice){b.p, b.n},
					 ret, NULL),
			 0);
	buf_done(&b);
}

static void
test_graph_joins_the_segment_and_shares_its_deletions(void **state)
{
	struct seg *s, *g, *again;
	struct pages_list l;
	struct seg_desc d;
	struct model m;

	(void)state;
	model_init(&m, 400, 8, 50);
	s = model_open(&m, DISTANCE_COSINE, &d);
	graph_make(s, &l);
	assert_true(seg_kill(s, 1));
	assert_int_equal(seg_with_graph(s, dirfd_test, &l, &g, NULL), 0);
	assert_null(s->graph.bytes);
	assert_non_null(g->graph.bytes);
	assert_int_equal(g->graph.n, g->vecs.n);
	assert_int_equal(g->n_dead, 1);
	assert_true(seg_kill(s, 2)); /* seen by both */
	assert_true(seg_is_dead(g, 2));
	assert_true(seg_kill(g, 3));
	assert_int_equal(g->n_dead, 3);
	seg_unref(s);
	whole_check(g, &m);
	assert_int_equal(
		seg_open(dirfd_test, &g->desc, DISTANCE_COSINE, &again, NULL),
		0);
	assert_non_null(again->graph.bytes);
	assert_int_equal(hnsw_check(&again->graph, NULL), 0);
	assert_ptr_equal(seg_ref(again), again);
	seg_unref(again);
	seg_unref(again);
	seg_unref(g);
	seg_unref(NULL);
	pages_list_done(&l);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
test_bytes_that_are_no_graph_are_refused(void **state)
{
	uint8_t bytes[9999] = {1, 2, 3};
	struct pages_list l;
	struct seg_desc d;
	struct seg *s, *g;
	struct model m;

	(void)state;
	model_init(&m, 40, 8, 50);
	s = model_open(&m, DISTANCE_COSINE, &d);
	assert_int_equal(seg_write_graph(dirfd_test,
					 (struct slice){bytes, sizeof bytes},
					 &l, NULL),
			 0);
	assert_true(seg_with_graph(s, dirfd_test, &l, &g, NULL) < 0);
	assert_int_equal(row_check(s, &m, 3), 0);
	seg_unref(s);
	pages_list_done(&l);
	seg_desc_done(&d);
	arena_done(&m.a);
}

/* --- descriptions ---------------------------------------------------- */

static void
desc_equal(const struct seg_desc *a, const struct seg_desc *b)
{
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->n_rows, b->n_rows);
	assert_int_equal(a->n_vecs, b->n_vecs);
	assert_int_equal(a->dim, b->dim);
	assert_int_equal(a->vec_bytes, b->vec_bytes);
	assert_int_equal(a->min_lsn, b->min_lsn);
	assert_int_equal(a->max_lsn, b->max_lsn);
	assert_int_equal(a->n_deleted, b->n_deleted);
	assert_int_equal(a->graph_kind, b->graph_kind);
	assert_int_equal(a->data.n, b->data.n);
	assert_int_equal(a->graph.n, b->graph.n);
	assert_int_equal(a->deleted.n, b->deleted.n);
	assert_memory_equal(a->data.files, b->data.files,
			    a->data.n * sizeof *a->data.files);
}

static void
test_description_encodes_and_decodes(void **state)
{
	uint64_t bits[2] = {5, 0};
	struct seg_desc d, got;
	struct buf b = {0};
	struct reader r;
	struct model m;

	(void)state;
	model_init(&m, 100, 8, 50);
	assert_int_equal(model_write(&m, DISTANCE_DOT, &d), 0);
	d.id = 1ull << 40;
	assert_int_equal(seg_write_deleted(dirfd_test, bits, 100, &d.deleted,
					   &d.n_deleted, NULL),
			 0);
	assert_int_equal(seg_write_graph(dirfd_test, (struct slice){bits, 9},
					 &d.graph, NULL),
			 0);
	d.graph_kind = 1;
	assert_int_equal(seg_desc_encode(&d, &b), 0);
	r = (struct reader){.p = b.p, .n = b.n};
	assert_int_equal(seg_desc_decode(&r, &got, NULL), 0);
	assert_int_equal(r.at, b.n);
	desc_equal(&got, &d);
	seg_desc_done(&got);
	for (size_t n = 0; n < b.n; n++) {
		r = (struct reader){.p = b.p, .n = n};
		assert_int_equal(seg_desc_decode(&r, &got, NULL), -ERR_DAMAGED);
	}
	b.p[0]++;
	r = (struct reader){.p = b.p, .n = b.n};
	assert_int_equal(seg_desc_decode(&r, &got, NULL), -ERR_VERSION);
	buf_done(&b);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
test_noise_is_no_description(void **state)
{
	struct model m = {.seed = 77};
	uint8_t b[200];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct reader r = {.p = b, .n = rnd(&m, sizeof b)};
		struct seg_desc d;

		for (size_t k = 0; k < sizeof b; k++)
			b[k] = (uint8_t)(rnd(&m, 2) ? rnd(&m, 4)
						    : rnd(&m, 256));
		b[0] = 1;
		if (seg_desc_decode(&r, &d, NULL) == 0)
			seg_desc_done(&d);
	}
}

static void
test_description_of_another_segment_is_refused(void **state)
{
	struct seg_desc d;
	struct model m;
	struct seg *s;

	(void)state;
	model_init(&m, 100, 8, 50);
	assert_int_equal(model_write(&m, DISTANCE_DOT, &d), 0);
	assert_int_equal(seg_open(dirfd_test, &d, DISTANCE_COSINE, &s, NULL),
			 -ERR_DAMAGED);
	d.n_rows++;
	assert_int_equal(seg_open(dirfd_test, &d, DISTANCE_DOT, &s, NULL),
			 -ERR_DAMAGED);
	d.n_rows--;
	d.dim++;
	assert_int_equal(seg_open(dirfd_test, &d, DISTANCE_DOT, &s, NULL),
			 -ERR_DAMAGED);
	seg_desc_done(&d);
	arena_done(&m.a);
}

/* --- damage ---------------------------------------------------------- */

/* 0: nothing was noticed and all answers were right. */
static int
damage_seen(const struct seg_desc *d, const struct model *m)
{
	struct seg *s;
	int rc = seg_open(dirfd_test, d, DISTANCE_COSINE, &s, NULL);
	int bad = 0;

	if (rc != 0) {
		assert_int_equal(rc, -ERR_DAMAGED);
		return 1;
	}
	for (uint32_t i = 0; i < m->n; i++)
		bad += row_check(s, m, i);
	for (uint32_t i = 0; i < m->n; i++)
		if (seg_is_dead(s, i) != (i % 3 == 0))
			fail();
	assert_int_equal(seg_verify(s, true, NULL), -ERR_DAMAGED);
	seg_unref(s);
	return bad;
}

static int
file_flips(const struct seg_desc *d, const struct pages_list *l,
	   const struct model *m, off_t step)
{
	char name[PAGES_NAME_LEN + 1];
	uint8_t b;
	int fd, n_seen = 0;

	pages_name(&l->files[0], name);
	assert_int_equal(file_open_at(dirfd_test, name, O_RDWR, &fd, NULL), 0);
	for (off_t at = 0; at < (off_t)l->files[0].len; at += step) {
		uint8_t mask = (uint8_t)(1u << (at / step % 8));

		assert_int_equal(pread(fd, &b, 1, at), 1);
		b ^= mask;
		assert_int_equal(pwrite(fd, &b, 1, at), 1);
		n_seen += damage_seen(d, m) > 0;
		b ^= mask;
		assert_int_equal(pwrite(fd, &b, 1, at), 1);
	}
	close(fd);
	return n_seen;
}

static void
test_flipped_byte_gives_an_error_or_the_right_answer(void **state)
{
	uint64_t bits[2] = {0x9249249249249249, 0x4924924924924924};
	struct seg_desc d;
	struct model m;

	(void)state;
	model_init(&m, 90, 8, 400);
	for (uint32_t i = 50; i < m.n; i += 30)
		model_point(&m, i, 900); /* no block is larger than two pages */
	assert_int_equal(model_write(&m, DISTANCE_COSINE, &d), 0);
	for (unsigned i = 0; i < 128; i++) {
		uint64_t bit = 1ull << (i % 64);

		bits[i / 64] &= ~bit;
		if (i < m.n && i % 3 == 0)
			bits[i / 64] |= bit;
	}
	assert_int_equal(seg_write_deleted(dirfd_test, bits, m.n, &d.deleted,
					   &d.n_deleted, NULL),
			 0);
	assert_true(file_flips(&d, &d.data, &m, 79) > 100);
	assert_true(file_flips(&d, &d.deleted, &m, 11) > 100);
	seg_desc_done(&d);
	arena_done(&m.a);
}

static void
questions_ask(struct seg *s, struct model *m)
{
	for (uint32_t i = 0; i < m->n; i++) {
		const struct point *want = &m->p[i];
		struct arena a = {0};
		struct point_stat st;
		struct point p;
		struct slice id;
		const float *v;
		uint32_t row;

		seg_stat(s, i, &st, NULL);
		if (seg_id(s, i, &id, NULL) == 0)
			assert_in_range(id.n, 1, ID_KEY_MAX);
		seg_find_id(s, want->id.b, want->id.n, &row, NULL);
		seg_find_no(s, want->no, &row, NULL);
		seg_id_lower_bound(s, want->id.b, want->id.n, &row, NULL);
		seg_vec(s, i, &v, NULL);
		seg_vec_row(s, seg_vec_no(s, i));
		seg_point(s, i, true, &a, &p, NULL);
		arena_done(&a);
	}
	seg_verify(s, false, NULL);
}

static void
sum_mend(int fd, const struct pages_file *f, uint32_t page)
{
	uint32_t n = pages_count(f->payload);
	uint8_t b[PAGE_LEN], sum[4];

	assert_int_equal(pread(fd, b, sizeof b, PAGE_LEN * (1 + (off_t)page)),
			 sizeof b);
	if (page == n - 1) { /* the directory has one of its own */
		set_u32(b + sizeof b - 4, crc32c(0, b, sizeof b - 4));
		assert_int_equal(
			pwrite(fd, b, sizeof b, PAGE_LEN * (1 + (off_t)page)),
			sizeof b);
	}
	set_u32(sum, pages_sum(page, b));
	assert_int_equal(
		pwrite(fd, sum, 4, PAGE_LEN * (1 + (off_t)n) + 4 * (off_t)page),
		4);
}

static void
byte_put(int fd, const struct pages_file *f, off_t at, uint8_t v)
{
	assert_int_equal(pwrite(fd, &v, 1, PAGE_LEN + at), 1);
	sum_mend(fd, f, (uint32_t)(at / PAGE_LEN));
}

/* Sums that fit the bytes do not make them true: what a broken program could
 * have written must not lead outside of the mapping. */
static void
test_wrong_bytes_with_right_sums_stay_inside(void **state)
{
	const struct pages_file *f;
	char name[PAGES_NAME_LEN + 1];
	struct seg_desc d;
	struct model m;
	int fd;

	(void)state;
	model_init(&m, 90, 8, 400);
	assert_int_equal(model_write(&m, DISTANCE_COSINE, &d), 0);
	f = &d.data.files[0];
	pages_name(f, name);
	assert_int_equal(file_open_at(dirfd_test, name, O_RDWR, &fd, NULL), 0);
	for (int i = 0; i < 1500; i++) {
		/* half of the blows fall on the directory */
		uint32_t dir = f->payload - PAGE_LEN;
		off_t at = i % 2 ? dir + rnd(&m, 320) : rnd(&m, f->payload);
		struct seg *s;
		uint8_t old;

		assert_int_equal(pread(fd, &old, 1, PAGE_LEN + at), 1);
		byte_put(fd, f, at, (uint8_t)rnd(&m, 256));
		if (seg_open(dirfd_test, &d, DISTANCE_COSINE, &s, NULL) == 0) {
			questions_ask(s, &m);
			seg_unref(s);
		}
		byte_put(fd, f, at, old);
	}
	close(fd);
	seg_desc_done(&d);
	arena_done(&m.a);
}

/* --- threads --------------------------------------------------------- */

struct reader_arg {
	struct seg *s;
	const struct model *m;
	unsigned seed;
	int bad;
};

static void *
reader_run(void *arg)
{
	struct reader_arg *r = arg;
	struct model dice = {.seed = r->seed};

	for (int i = 0; i < 3000; i++) {
		uint32_t row = rnd(&dice, r->m->n);
		struct arena a = {0};
		struct point p;

		if (seg_point(r->s, row, true, &a, &p, NULL) != 0 ||
		    p.doc.text.n != r->m->p[row].doc.text.n ||
		    (p.doc.text.n &&
		     memcmp(p.doc.text.p, r->m->p[row].doc.text.p,
			    p.doc.text.n) != 0))
			r->bad++;
		if (row % 2)
			seg_kill(r->s, row);
		arena_done(&a);
	}
	return NULL;
}

static void
test_threads_read_documents_at_once(void **state)
{
	struct reader_arg args[4];
	pthread_t t[4];
	struct seg_desc d;
	struct model m;
	struct seg *s;
	uint32_t n_dead = 0;

	(void)state;
	model_init(&m, 3000, 4, 600);
	s = model_open(&m, DISTANCE_DOT, &d);
	for (unsigned i = 0; i < 4; i++) {
		args[i] = (struct reader_arg){s, &m, i, 0};
		assert_int_equal(
			pthread_create(&t[i], NULL, reader_run, &args[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(args[i].bad, 0);
	}
	for (uint32_t i = 0; i < m.n; i++)
		n_dead += seg_is_dead(s, i);
	assert_true(n_dead > 0);
	assert_int_equal(s->n_dead, n_dead);
	seg_unref(s);
	seg_desc_done(&d);
	arena_done(&m.a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, dir_make, dir_drop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_points_read_back_as_they_were_added),
		TEST(test_norms_are_kept_for_cosine_only),
		TEST(test_points_without_documents_take_few_bytes),
		TEST(test_large_documents_have_blocks_of_their_own),
		TEST(test_empty_segment_opens_and_finds_nothing),
		TEST(test_segment_over_64_mib_is_one),
		TEST(test_without_document_the_rest_is_there),
		TEST(test_same_points_make_the_same_files),
		TEST(test_builder_refuses_what_it_could_not_give_back),
		TEST(test_one_id_twice_is_refused),
		TEST(test_aborted_segment_leaves_nothing),
		TEST(test_deleted_rows_come_back_few_or_many),
		TEST(test_deletions_of_another_segment_are_refused),
		TEST(test_killed_row_is_dead_and_still_found),
		TEST(test_graph_stream_reads_back),
		TEST(test_graph_joins_the_segment_and_shares_its_deletions),
		TEST(test_bytes_that_are_no_graph_are_refused),
		TEST(test_description_encodes_and_decodes),
		TEST(test_noise_is_no_description),
		TEST(test_description_of_another_segment_is_refused),
		TEST(test_flipped_byte_gives_an_error_or_the_right_answer),
		TEST(test_wrong_bytes_with_right_sums_stay_inside),
		TEST(test_threads_read_documents_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
