/* SPDX-License-Identifier: Apache-2.0 */
/* Operations, manifest and catalog: what goes in comes out, damage is refused.
 */
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/store/manifest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static int dirfd_test;

static int
dir_make(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/test_manifest.XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	dirfd_test = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd_test < 0 ? -1 : 0;
}

static int
dir_remove(void **state)
{
	(void)state;
	close(dirfd_test);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

static struct slice
text(const char *s)
{
	return (struct slice){s, strlen(s)};
}

static bool
same(struct slice a, const char *b)
{
	return a.n == strlen(b) && memcmp(a.p, b, a.n) == 0;
}

/* --- operations ------------------------------------------------------ */

static const float numbers[3] = {1.5f, -2.0f, 3.25f};

static void
put_encode(struct buf *b, struct point *p)
{
	*p = (struct point){.no = 77,
			    .mtime_ns = -5,
			    .uid = 1000,
			    .dim = 3,
			    .vec = numbers,
			    .doc = {.form = DOC_TEMPLATE,
				    .style = 3,
				    .sep_len = 2,
				    .size = 90,
				    .vec_at = 4,
				    .pay_at = 6,
				    .pay_len = 2,
				    .text = text("ab[], {}]")}};
	id_from_num(42, &p->id);
	memset(p->digest, 0xab, sizeof p->digest);
	assert_int_equal(op_put_head(b, 9, p), 0);
	assert_int_equal(buf_put(b, p->doc.text.p, p->doc.text.n), 0);
	assert_int_equal(buf_put(b, p->vec, sizeof numbers), 0);
}

static void
test_operations_come_out_as_they_went_in(void **state)
{
	struct op_entry e = {.name = text("news"),
			     .target = text("articles"),
			     .mode = 0777,
			     .uid = 5,
			     .gid = 6,
			     .mtime_us = 12345678};
	struct buf b = {0};
	struct reader r;
	struct point p;
	struct op op;

	(void)state;
	put_encode(&b, &p);
	op_encode_delete(&b, 9, &p.id);
	op_encode_coll(&b, OP_COLL_CONFIG, 9, text("{}"), true);
	op_encode_coll(&b, OP_COLL_DROP, 10, text(""), false);
	op_encode_entry(&b, OP_ENTRY_SET, &e);
	op_encode_entry(&b, OP_ENTRY_DROP, &e);
	r = (struct reader){.p = b.p, .n = b.n};
	assert_int_equal(op_next(&r, &op, NULL), 1);
	assert_int_equal(op.kind, OP_PUT);
	assert_int_equal(op.coll, 9);
	assert_int_equal(op.point.no, 77);
	assert_int_equal(op.point.mtime_ns, -5);
	assert_int_equal(op.point.doc.vec_at, 4);
	assert_true(same(op.point.doc.text, "ab[], {}]"));
	assert_memory_equal(op.point.vec, numbers, sizeof numbers);
	assert_int_equal(op_next(&r, &op, NULL), 1);
	assert_int_equal(op.kind, OP_DELETE);
	assert_int_equal(id_cmp(op.id.b, op.id.n, p.id.b, p.id.n), 0);
	assert_int_equal(op_next(&r, &op, NULL), 1);
	assert_true(op.kind == OP_COLL_CONFIG && op.implied &&
		    same(op.config, "{}"));
	assert_int_equal(op_next(&r, &op, NULL), 1);
	assert_true(op.kind == OP_COLL_DROP && op.coll == 10);
	assert_int_equal(op_next(&r, &op, NULL), 1);
	assert_true(op.kind == OP_ENTRY_SET && same(op.entry.name, "news") &&
		    same(op.entry.target, "articles") &&
		    op.entry.mtime_us == 12345678);
	assert_int_equal(op_next(&r, &op, NULL), 1);
	assert_true(op.kind == OP_ENTRY_DROP && same(op.entry.name, "news"));
	assert_int_equal(op_next(&r, &op, NULL), 0);
	buf_done(&b);
}

static void
test_a_cut_operation_is_refused_at_every_length(void **state)
{
	struct buf b = {0};
	struct point p;
	struct op op;

	(void)state;
	put_encode(&b, &p);
	for (size_t n = 1; n < b.n; n++) {
		/* in memory of its own, so that a sanitizer sees a step too far
		 */
		uint8_t *cut = malloc(n);
		struct reader r = {.p = cut, .n = n};

		assert_non_null(cut);
		memcpy(cut, b.p, n);
		assert_true(op_next(&r, &op, NULL) < 0);
		free(cut);
	}
	buf_done(&b);
}

/* --- manifest and catalog -------------------------------------------- */

static void
manifest_make(struct manifest *m, struct manifest_shard *sh, struct seg_desc *d,
	      struct pages_file *f)
{
	*f = (struct pages_file){.len = 8196, .payload = 100};
	memset(f->sum, 7, sizeof f->sum);
	*d = (struct seg_desc){.id = 3,
			       .n_rows = 10,
			       .n_vecs = 9,
			       .dim = 4,
			       .vec_bytes = 9 * 16,
			       .min_lsn = 5,
			       .max_lsn = 50,
			       .data = {1, f, 100}};
	*sh = (struct manifest_shard){.next_seg = 4, .n_segs = 1, .segs = d};
	*m = (struct manifest){.coll = 2,
			       .lsn = 50,
			       .time_us = 99,
			       .next_no = 11,
			       .distance = DISTANCE_DOT,
			       .n_shards = 1,
			       .shards = sh};
}

static void
test_a_manifest_comes_back_from_the_disk(void **state)
{
	struct manifest m, back;
	struct manifest_shard sh;
	struct seg_desc d;
	struct pages_file f;

	(void)state;
	manifest_make(&m, &sh, &d, &f);
	assert_int_equal(manifest_load(dirfd_test, &back, NULL),
			 -ERR_NOT_FOUND);
	assert_int_equal(manifest_save(dirfd_test, &m, NULL), 0);
	assert_int_equal(manifest_load(dirfd_test, &back, NULL), 0);
	assert_int_equal(back.coll, 2);
	assert_int_equal(back.lsn, 50);
	assert_int_equal(back.next_no, 11);
	assert_int_equal(back.distance, DISTANCE_DOT);
	assert_int_equal(back.n_shards, 1);
	assert_int_equal(back.shards[0].next_seg, 4);
	assert_int_equal(back.shards[0].segs[0].n_rows, 10);
	assert_int_equal(back.shards[0].segs[0].data.files[0].len, 8196);
	manifest_done(&back);
}

typedef int (*decode_fn)(const void *p, size_t n);

static int
decode_manifest(const void *p, size_t n)
{
	struct manifest m;
	int rc = manifest_decode(p, n, &m, NULL);

	if (rc == 0)
		manifest_done(&m);
	return rc;
}

static int
decode_catalog(const void *p, size_t n)
{
	struct catalog c;
	int rc = catalog_decode(p, n, &c, NULL);

	if (rc == 0)
		catalog_done(&c);
	return rc;
}

static void
refuse_damage(const char *name, decode_fn decode)
{
	struct buf b = {0};

	assert_int_equal(file_load_at(dirfd_test, name, 1 << 20, &b, NULL), 0);
	assert_int_equal(decode(b.p, b.n), 0);
	for (size_t i = 0; i < b.n; i++)
		for (int bit = 0; bit < 8; bit++) {
			b.p[i] ^= (uint8_t)(1 << bit);
			/* two bytes of the header are not used */
			if (i != 10 && i != 11)
				assert_true(decode(b.p, b.n) < 0);
			b.p[i] ^= (uint8_t)(1 << bit);
		}
	for (size_t n = 0; n < b.n; n++)
		assert_true(decode(b.p, n) < 0);
	buf_done(&b);
}

static void
test_every_flipped_bit_of_a_manifest_is_refused(void **state)
{
	struct manifest_shard sh;
	struct pages_file f;
	struct seg_desc d;
	struct manifest m;

	(void)state;
	manifest_make(&m, &sh, &d, &f);
	assert_int_equal(manifest_save(dirfd_test, &m, NULL), 0);
	refuse_damage(MANIFEST_NAME, decode_manifest);
}

static void
catalog_make(struct catalog *c, struct catalog_coll *co, struct op_entry *e)
{
	*co = (struct catalog_coll){
		.id = 5, .implied = true, .config = text("{\"vectors\": {}}")};
	e[0] = (struct op_entry){.name = text("articles"),
				 .coll = 5,
				 .mode = 0750,
				 .uid = 1,
				 .gid = 2,
				 .mtime_us = 3};
	e[1] = (struct op_entry){.name = text("news"),
				 .target = text("articles")};
	*c = (struct catalog){.checkpoint = 10,
			      .lsn = 12,
			      .next_coll = 6,
			      .n_colls = 1,
			      .colls = co,
			      .n_entries = 2,
			      .entries = e};
}

static void
test_a_catalog_comes_back_and_its_damage_is_refused(void **state)
{
	struct catalog c, back;
	struct catalog_coll co;
	struct op_entry e[2];

	(void)state;
	catalog_make(&c, &co, e);
	assert_int_equal(catalog_save(dirfd_test, &c, NULL), 0);
	assert_int_equal(catalog_load(dirfd_test, &back, NULL), 0);
	assert_int_equal(back.checkpoint, 10);
	assert_int_equal(back.next_coll, 6);
	assert_true(back.colls[0].implied);
	assert_true(same(back.colls[0].config, "{\"vectors\": {}}"));
	assert_true(same(back.entries[0].name, "articles"));
	assert_int_equal(back.entries[0].mode, 0750);
	assert_true(same(back.entries[1].target, "articles"));
	catalog_done(&back);
	refuse_damage(CATALOG_NAME, decode_catalog);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations_come_out_as_they_went_in),
		cmocka_unit_test(
			test_a_cut_operation_is_refused_at_every_length),
		cmocka_unit_test_setup_teardown(
			test_a_manifest_comes_back_from_the_disk, dir_make,
			dir_remove),
		cmocka_unit_test_setup_teardown(
			test_every_flipped_bit_of_a_manifest_is_refused,
			dir_make, dir_remove),
		cmocka_unit_test_setup_teardown(
			test_a_catalog_comes_back_and_its_damage_is_refused,
			dir_make, dir_remove),
	};

	return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
